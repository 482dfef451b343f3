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
PINS = re.findall(r"(?m)^([\w.-]+)[=>]=(\S+)", (ROOT / "constraints.txt").read_text())


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def loaded(name):
    return yaml.safe_load((ROOT / name).read_text())


def installed_with(extras: tuple[str, ...] = ()) -> set[str]:
    """Distributions that come with ours and some of its extras, as pyproject.toml has them."""
    own = {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
    seen = set()
    waiting = [("medcal-nb", ("", *extras))]
    while waiting:
        name, wanted = waiting.pop()
        lines = metadata.requires(name) or ()
        if name == "medcal-nb":
            lines = [line for extra in wanted for line in own[extra]]
        for needed in map(Requirement, lines):
            marker = needed.marker
            if marker and not any(marker.evaluate({"extra": e}) for e in wanted):
                continue
            one = (plain(needed.name), ("", *sorted(needed.extras)))
            if one not in seen:
                seen.add(one)
                waiting.append(one)
    return {name for name, _ in seen} - {"medcal-nb"}


def test_one_version_everywhere():
    versions = {medcal_nb.__version__, loaded("CITATION.cff")["version"]}
    assert versions == {PROJECT["version"]}
    newest = re.findall(r"(?m)^## (.+)$", (ROOT / "CHANGELOG.md").read_text())[0]
    assert newest == "Unreleased" or newest.startswith(f"[{PROJECT['version']}]")


def test_the_workflow_and_conda_do_what_make_does():
    (job,) = loaded(".github/workflows/test.yml")["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"]
    assert "make test\n" in (ROOT / ".ci" / "run").read_text()
    python, _, pip = loaded("environment.yml")["dependencies"]
    assert python.removeprefix("python=") in SpecifierSet(PROJECT["requires-python"])
    assert pip["pip"] == ["-c constraints.txt", "-e .[dev]"]


def test_what_comes_with_the_workbook_is_pinned_to_what_it_allows():
    pinned = {plain(name): pin for name, pin in PINS}
    everything = installed_with(("dev",))
    assert {"torch", "netcal", "sphinx"} <= everything
    assert everything - pinned.keys() <= {"setuptools"}
    for line in PROJECT["dependencies"]:
        needed = Requirement(line)
        assert pinned[plain(needed.name)] in needed.specifier


def test_a_table_needs_no_torch_and_less_than_700_megabytes():
    names = installed_with()
    assert not names & {"torch", "transformers", "netcal", "jupyterlab", "statsmodels"}
    files = [file for name in names for file in metadata.files(name) or ()]
    assert sum(file.size or 0 for file in files) < 650e6


def test_at_most_one_test_in_twenty_pins_a_sentence():
    six_words = re.compile(r"(?:[A-Za-z’]+[,;:]? ){5,}[A-Za-z]+")
    files = (ROOT / "tests").rglob("test_*.py")
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    tests = [one for one in functions if one.name.startswith("test_")]
    pinned = []
    for test in tests:
        for node in ast.walk(test):
            if isinstance(node, ast.Assert) or getattr(node, "arg", "") == "match":
                texts = [str(getattr(part, "value", "")) for part in ast.walk(node)]
                pinned += [test.name] if any(map(six_words.search, texts)) else []
    assert len(set(pinned)) <= len(tests) / 20, pinned


@pytest.mark.parametrize(
    ("said", "status", "expected"),
    [
        ("No known vulnerabilities found", 0, 0),
        ("Found 2 known vulnerabilities in 1 package", 1, 2),
        ("connection refused", 1, 2),
    ],
)
def test_an_audit_without_a_database_is_no_success(tmp_path, said, status, expected):
    own = tmp_path / "own"
    (own / "bin").mkdir(parents=True)
    (own / ".installed").touch()
    program = own / "bin" / "pip-audit"
    program.write_text(f"#!/bin/sh\necho '{said}'; exit {status}\n")
    program.chmod(0o755)
    (tmp_path / "linked").symlink_to(own)  # a link is not installed into
    command = ["make", "audit", f"AUDIT={own}", f"VENV={tmp_path / 'linked'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == expected
    assert ("NOT RUN" in done.stdout) is (said == "connection refused")
