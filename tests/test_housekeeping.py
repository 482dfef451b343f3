"""The files around the code agree with it and with each other."""

import ast
import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
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


def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_with(name, extras=("",)):
    """What is installed because of a distribution, by its plain name."""
    seen = set()
    waiting = [(name, tuple(extras))]
    while waiting:
        name, extras = waiting.pop()
        for line in metadata.requires(name) or ():
            needed = Requirement(line)
            marker = needed.marker
            if marker and not any(marker.evaluate({"extra": e}) for e in extras):
                continue
            wanted = (plain(needed.name), ("", *sorted(needed.extras)))
            if wanted not in seen:
                seen.add(wanted)
                waiting.append(wanted)
    return {name for name, _ in seen}


def test_every_distribution_that_comes_with_the_workbook_is_pinned():
    pins = (ROOT / "constraints.txt").read_text()
    pinned = {
        plain(name) for name in re.findall(r"^([\w.-]+)(?:==|>=)", pins, re.MULTILINE)
    }
    needed = installed_with("medcal-nb", ("", "dev"))
    assert {"num2words", "docopt", "tomli"} <= needed
    assert not needed - pinned - {"medcal-nb", "setuptools"}


def made(target, **variables):
    """What a target of the Makefile does with other environments than its own."""
    words = [f"{name}={value}" for name, value in variables.items()]
    command = ["make", "--no-print-directory", target, *words]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )


def executable(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("is_link", [True, False])
def test_a_linked_environment_is_not_installed_into(tmp_path, is_link):
    own = tmp_path / "own"
    executable(own / "bin" / "python", f'echo "$@" >> {tmp_path}/called')
    environment = own
    if is_link:
        environment = tmp_path / "link"
        environment.symlink_to(own)
    done = made(f"{environment}/.installed", VENV=environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "called").exists() is not is_link
    assert (own / ".installed").exists() is not is_link


@pytest.mark.parametrize(
    ("said", "status", "expected"),
    [
        ("No known vulnerabilities found", 0, 0),
        ("Found 2 known vulnerabilities in 1 package", 1, 2),
        ("connection refused", 1, 2),
    ],
)
def test_an_audit_without_a_database_is_told_as_not_run(
    tmp_path, said, status, expected
):
    own = tmp_path / "own"
    executable(own / "bin" / "pip-audit", f"echo '{said}'; exit {status}")
    linked = tmp_path / "link"
    linked.symlink_to(own)
    (own / ".installed").touch()
    done = made("audit", AUDIT=own, VENV=linked)
    assert done.returncode == expected
    assert ("NOT RUN" in done.stdout) is (said == "connection refused")
