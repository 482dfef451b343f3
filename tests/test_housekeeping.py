"""The files around the code agree with it and with each other."""

import ast
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


def texts_asserted(test):
    """The texts that a test compares with: in its assertions, and of the errors it expects."""
    for node in ast.walk(test):
        is_match = isinstance(node, ast.keyword) and node.arg == "match"
        if isinstance(node, ast.Assert) or is_match:
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value


def test_at_most_one_test_in_twenty_pins_a_sentence():
    six_words = re.compile(r"(?:[A-Za-z’]+[,;:]? ){5,}[A-Za-z]+")
    tests = []
    for file in (ROOT / "tests").rglob("test_*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
        tests += [one for one in functions if one.name.startswith("test_")]
    pinned = [t.name for t in tests if any(map(six_words.search, texts_asserted(t)))]
    assert len(pinned) <= len(tests) / 20, pinned
