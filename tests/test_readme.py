"""README and docs say what is so: findings as published, snippets that run, links that lead.

``python -m tests.test_readme`` writes the findings of figures/real into the README, and the figure
map into docs.
"""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
BLOCK = re.compile(r"(?<=<!-- findings -->\n).*(?=\n<!-- /findings -->)", re.DOTALL)
# figure of a study of real models → what its finding is of, where that is not the main one
HEADLINES = {
    "real/fig02_says_right": "",
    "real/fig04_carry": "",
    "real/fig04_parts": "",
    "real/fig05_change": "",
    "real/fig06_keep": "",
    "logits/fig04_carry": "Of option logits on other images (MMBench to OOD-CV): ",
}
NOT_YET = "The findings on real models stand here when `make real` has run."
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md"]


def findings(figures: Path) -> str:
    """Return the first sentence of each headline figure's caption, as published."""
    lines = []
    for headline, of in HEADLINES.items():
        folder, name = headline.split("/")
        path = figures / folder / "manifest.json"
        told = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if name in told:
            first = re.split(r"(?<=[.])\s", told[name]["caption"])[0]
            lines.append(f"- {of}{first[0].lower() + first[1:] if of else first}")
    return "\n".join(lines) or NOT_YET


def test_findings_are_those_of_the_published_figures():
    (block,) = BLOCK.findall(README.read_text(encoding="utf-8"))
    assert block == findings(ROOT / "figures"), "run python -m tests.test_readme"


def test_findings_follow_the_figures(tmp_path):
    assert findings(tmp_path) == NOT_YET
    assert not re.search(r"\d", NOT_YET)
    caption = "It says 84.5 % and is right 52 %. Confidence: stated."
    for folder in ("real", "logits"):
        (tmp_path / folder).mkdir()
        told = json.dumps({"fig04_carry": {"caption": caption}})
        (tmp_path / folder / "manifest.json").write_text(told)
    assert findings(tmp_path) == (
        "- It says 84.5 % and is right 52 %.\n"
        "- Of option logits on other images (MMBench to OOD-CV): it says 84.5 % and is right 52 %."
    )


def test_snippets_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    snippets = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert snippets
    for snippet in snippets:
        exec(compile(snippet, "README.md", "exec"), {})
    assert (tmp_path / "reliability.png").stat().st_size > 5000


def test_the_readme_is_a_page():
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 125
    assert not re.search(r"\bhonest|\bnoul\b|\bverdict", "\n".join(lines))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)#]+)", text):
        # figures are made by the study
        if not link.startswith(("http", "mailto")) and "figures/" not in link:
            assert (page.parent / link).exists(), link


if __name__ == "__main__":
    from medcal_nb.study.notebooks import figure_map, find_notebooks

    written = findings(ROOT / "figures")
    README.write_text(BLOCK.sub(lambda _: written, README.read_text(encoding="utf-8")), "utf-8")
    page = ROOT / "docs" / "figures.md"
    words = page.read_text(encoding="utf-8").partition("| figure")[0]
    table = figure_map(find_notebooks(ROOT / "notebooks")).replace("](", "](../")
    page.write_text(f"{words}{table}\n", "utf-8")
    print(written)
