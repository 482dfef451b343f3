"""The files around the code agree with it and with each other."""

import re
import tomllib
from pathlib import Path

import yaml
from packaging.specifiers import SpecifierSet

import medcal_nb

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def loaded(name):
    return yaml.safe_load((ROOT / name).read_text())


def test_one_version_everywhere():
    assert (
        PROJECT["version"] == medcal_nb.__version__ == loaded("CITATION.cff")["version"]
    )
    newest = re.findall(
        r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )[0]
    assert newest == "Unreleased" or newest.startswith(f"[{PROJECT['version']}]")


def test_the_workflow_does_what_ci_run_does():
    (job,) = loaded(".github/workflows/test.yml")["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands == ["bash .ci/run"]
    python = next(
        s["with"]["python-version"] for s in job["steps"] if "setup-python" in s["uses"]
    )
    assert python in SpecifierSet(PROJECT["requires-python"])
    assert "exec make test" in (ROOT / ".ci" / "run").read_text()


def test_the_conda_environment_installs_this_checkout():
    told = loaded("environment.yml")["dependencies"]
    python = next(x for x in told if isinstance(x, str) and x.startswith("python="))
    assert python.removeprefix("python=") in SpecifierSet(PROJECT["requires-python"])
    pip = next(x["pip"] for x in told if isinstance(x, dict))
    assert "-e ." in pip
    (constraints,) = [x.removeprefix("-c ") for x in pip if x.startswith("-c ")]
    assert (ROOT / constraints).is_file()


def test_every_requirement_that_is_pinned_is_pinned_to_what_it_allows():
    pinned = dict(
        re.findall(
            r"^([A-Za-z0-9_.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M
        )
    )
    pinned = {
        name.lower().replace("_", "-"): version for name, version in pinned.items()
    }
    checked = 0
    for line in PROJECT["dependencies"]:
        name, allowed = re.match(r"([A-Za-z0-9_.-]+)(?:\[.*\])?(.*)", line).groups()
        version = pinned.get(name.lower().replace("_", "-"))
        if version:
            assert version in SpecifierSet(allowed), line
            checked += 1
    assert checked > 15
