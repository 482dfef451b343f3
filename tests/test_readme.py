"""README and docs say what is so: findings as published, snippets that run, links that lead.

``python -m tests.test_readme`` writes the findings of figures/recorded into the README, and the
figure map into docs.
"""

import json
import re
from pathlib import Path

import pytest

from medcal_nb.study.profile import DEFAULT, load_profile
from tests.show.saved import read_figures

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
BLOCK = re.compile(r"(?<=<!-- findings -->\n).*(?=\n<!-- /findings -->)", re.DOTALL)
NOT_YET = "The findings on real models stand here when `make study` has run."
# the site's front page is filled in, and its links lead to what is built
DOCS = [page for page in (ROOT / "docs").rglob("*.md") if page.name != "index.md"]
PAGES = [README, *sorted(DOCS), ROOT / "CONTRIBUTING.md"]
# what words.md of the field replaces: see tests/study/findings/rules.py for sentences
NOT_SAID = (
    r"\bhonest|\bverdict|carr(y|ies|ied) over|\bsurely\b|ways? of asking|embedded"
)


def findings(figures: Path) -> str:
    """Return what the overview of recorded answers concludes, as published: three findings."""
    path = figures / "recorded" / "results" / "00_overview.md"
    if not path.is_file():
        return NOT_YET
    sentences = path.read_text(encoding="utf-8").strip().split("\n\n")
    return "\n".join(f"- {sentence}" for sentence in sentences)


def figure_map(folder: Path) -> str:
    """Return a table of all figures: what each shows, and the first profile that makes it."""
    lines = ["| figure | notebook | what it shows | command |", "|---|---|---|---|"]
    for path in sorted(folder.glob("*.ipynb")):
        declared = json.loads(path.read_bytes())["metadata"]["medcal"]
        number = path.stem[:2]
        profiles = [name for name in DEFAULT if number in load_profile(name).notebooks]
        for figure in declared["writes"]:
            if not figure.startswith("fig"):
                continue
            published = folder.parent / "figures"
            made = [p for p in profiles if (published / p / f"{figure}.png").is_file()]
            profile = (made or profiles)[0]
            place = f"../figures/{profile}/{figure}.png"
            command = f"make figures NB={number} PROFILE={profile}"
            lines.append(
                f"| [{figure}]({place}) | [{path.stem}](../notebooks/{path.name}) | "
                f"{declared['shows'][figure]} | `{command}` |"
            )
    return "\n".join(lines)


def test_findings_are_those_of_the_published_figures():
    (block,) = BLOCK.findall(README.read_text(encoding="utf-8"))
    assert block == findings(ROOT / "figures"), "run python -m tests.test_readme"


def test_findings_follow_the_figures(tmp_path):
    assert findings(tmp_path) == NOT_YET
    results = tmp_path / "recorded" / "results"
    results.mkdir(parents=True)
    (results / "00_overview.md").write_text("One.\n\nTwo (95 % CI 0–1).\n")
    assert findings(tmp_path) == "- One.\n- Two (95 % CI 0–1)."


def test_the_page_of_figures_names_every_figure_and_misses_none():
    page = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
    assert figure_map(ROOT / "notebooks") in page, "run python -m tests.test_readme"
    for profile in DEFAULT:
        for figure in read_figures(ROOT / "figures" / profile):
            assert f"| [{figure}](" in page


def test_snippets_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    snippets = re.findall(
        r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL
    )
    assert snippets
    for snippet in snippets:
        exec(compile(snippet, "README.md", "exec"), {})
    assert (tmp_path / "reliability.png").stat().st_size > 5000


def test_the_readme_is_a_page_and_names_every_profile_and_notebook():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 140
    for profile in DEFAULT:
        assert f"| `{profile}` |" in text
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        (row,) = re.findall(rf"(?m)^\| {notebook.stem} \|.*$", text)
        # the lesson is read where its exercises work
        page = rf"(notebooks/\w+/{notebook.stem}|lesson/index)\.html"
        assert re.search(rf"\[read\]\(build/site/{page}\)", row)
        assert f"[run](notebooks/{notebook.name})" in row


def test_the_readme_speaks_the_words_of_the_field():
    found = re.search(NOT_SAID, README.read_text(encoding="utf-8"))
    assert not found, found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)#]+)", text):
        # figures are made by the study; pages of the site are looked up where one is built
        made = "figures/" in link or link.startswith("build/site/")
        if not link.startswith(("http", "mailto")) and not made:
            assert (page.parent / link).exists(), link


if __name__ == "__main__":
    written = findings(ROOT / "figures")
    README.write_text(
        BLOCK.sub(lambda _: written, README.read_text(encoding="utf-8")), "utf-8"
    )
    page = ROOT / "docs" / "figures.md"
    words = page.read_text(encoding="utf-8").partition("| figure")[0]
    page.write_text(f"{words}{figure_map(ROOT / 'notebooks')}\n", "utf-8")
    print(written)
