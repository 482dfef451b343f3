"""The files around the code agree with it and with each other."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import yaml
from packaging.requirements import Requirement

import medcal_nb

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = re.findall(r"(?m)^([\w.-]+)[=>]=(\S+)", (ROOT / "constraints.txt").read_text())


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


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
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]
    versions = {medcal_nb.__version__, cited}
    assert versions == {PROJECT["version"]}
    newest = re.findall(r"(?m)^## (.+)$", (ROOT / "CHANGELOG.md").read_text())[0]
    assert newest == "Unreleased" or newest.startswith(f"[{PROJECT['version']}]")


def test_a_change_is_told_once():
    """A merge may bring back what was reworded, beside it."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for part in re.split(r"(?m)^##+ ", text):
        titles = re.findall(r"(?m)^- \*\*(.+?)\*\*", part)
        assert len(titles) == len(set(titles)), part[:40]


def test_what_comes_with_the_workbook_is_pinned_to_what_it_allows():
    pinned = {plain(name): pin for name, pin in PINS}
    everything = installed_with(("dev",))
    assert {"torch", "netcal", "sphinx"} <= everything
    # torch with CUDA, where an index has that, brings its libraries at versions of its own
    cuda = ("nvidia-", "cuda-", "triton")
    rest = {name for name in everything - pinned.keys() if not name.startswith(cuda)}
    assert rest <= {"setuptools"}
    for line in PROJECT["dependencies"]:
        needed = Requirement(line)
        assert pinned[plain(needed.name)] in needed.specifier


def test_a_table_needs_no_torch_and_less_than_700_megabytes():
    names = installed_with()
    assert not names & {"torch", "transformers", "netcal", "jupyterlab", "statsmodels"}
    assert not installed_with(("study",)) & {"torch", "netcal"}
    files = [file for name in names for file in metadata.files(name) or ()]
    assert sum(file.size or 0 for file in files) < 650e6


def test_what_notebooks_link_to_is_copied_beside_them_for_lab():
    makefile = (ROOT / "Makefile").read_text()
    assert (
        "cp -r docs build/lab && cp data/README.md data/*.csv build/lab/data"
        in makefile
    )
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        links = re.findall(r"\]\(\.\./([^)\s#]+)", notebook.read_text("utf-8"))
        for link in links:
            assert (ROOT / link).is_file()
            assert link.startswith("docs/") or link == "data/README.md", link
