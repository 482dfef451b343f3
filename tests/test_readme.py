"""README and docs say what is so: findings as published, snippets that run, links that lead.

``python -m tests.test_readme`` writes the findings of figures/real into the README, and the figure
map into docs.
"""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from medcal_nb.show.figures import read_figures, save_figure

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
BLOCK = re.compile(r"(?<=<!-- findings -->\n).*(?=\n<!-- /findings -->)", re.DOTALL)
# three headlines: the first sentence of the caption of a figure of real models
HEADLINES = ("fig02_says_right", "fig04_carry", "fig06_keep")
# which sentences of the answers of which notebook stand below them
ANSWERS = {
    ("real", "02_metrics"): (1, 2),
    ("real", "04_temperature_transfer"): (2, 3, 4, 5, 6),
    ("real", "05_fusion"): (0, 1, 3),
    ("real", "06_deferral"): (1,),
    ("logits", "04_temperature_transfer"): (0, 2),
}
PAIR = {"real": "", "logits": "Option logits of 13 models, MMBench to OOD-CV: "}
MORE = "<details><summary>All findings on real models, with their intervals</summary>\n"
NOT_YET = "The findings on real models stand here when `make real` has run."
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md"]


def findings(figures: Path) -> str:
    """Return what was found on real models, as published: headlines, then all with intervals."""
    told = read_figures(figures / "real")
    lines = [
        re.split(r"(?<=[.])\s", told[name]["caption"])[0]
        for name in HEADLINES
        if name in told
    ]
    more = [
        PAIR[study] + sentences[k]
        for (study, notebook), wanted in ANSWERS.items()
        for sentences in [answer(figures / study / "results" / f"{notebook}.md")]
        for k in wanted
        if k < len(sentences)
    ]
    lines = [f"- {line}" for line in lines]
    return "\n".join(
        [*lines, "", MORE, *(f"- {line}" for line in more), "\n</details>"]
        if lines
        else [NOT_YET]
    )


def figure_map(folder: Path) -> str:
    """Return a table of all figures: what each shows, and the command that makes it."""
    lines = ["| figure | notebook | what it shows | command |", "|---|---|---|---|"]
    for path in sorted(folder.glob("*.ipynb")):
        told, made = json.loads(path.read_bytes())["metadata"]["medcal"], path.stem
        lines += [
            f"| [{figure}](../figures/{figure}.png) | [{made}](../notebooks/{path.name}) | "
            f"{told['shows'][figure]} | `make figures NB={made[:2]}` |"
            for figure in told["writes"]
            if figure.startswith("fig")
        ]
    return "\n".join(lines)


def answer(path: Path) -> list[str]:
    """Return the sentences that a notebook answered, as published."""
    return (
        path.read_text(encoding="utf-8").strip().split("\n\n") if path.is_file() else []
    )


def test_findings_are_those_of_the_published_figures():
    (block,) = BLOCK.findall(README.read_text(encoding="utf-8"))
    assert block == findings(ROOT / "figures"), "run python -m tests.test_readme"


def test_findings_follow_the_figures(tmp_path):
    assert findings(tmp_path) == NOT_YET
    assert not re.search(r"\d", NOT_YET)
    for folder in ("real", "logits"):
        (results := tmp_path / folder / "results").mkdir(parents=True)
        told = "One: 0.1 [0, 0.2].\n\nTwo.\n\nThree.\n"
        (results / "04_temperature_transfer.md").write_text(told)
    caption = "It says 84.5 % and is right 52 %. Confidence: stated."
    how = {"out_dir": tmp_path / "real", "provenance": {}, "caption": caption}
    save_figure(Figure(), "fig04_carry", pd.DataFrame({"x": [1]}), **how)
    lines = findings(tmp_path).splitlines()
    assert lines[0] == "- It says 84.5 % and is right 52 %."
    assert lines[4:-2] == [
        "- Three.", f"- {PAIR['logits']}One: 0.1 [0, 0.2].", f"- {PAIR['logits']}Three."
    ]  # fmt: skip


def test_the_page_of_figures_names_every_figure_and_misses_none():
    page = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
    assert figure_map(ROOT / "notebooks") in page, "run python -m tests.test_readme"
    for figure in read_figures(ROOT / "figures"):
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


def test_the_readme_is_a_page():
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 140
    assert not re.search(r"\bhonest|\bnoul\b|\bverdict", "\n".join(lines))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)#]+)", text):
        # figures are made by the study
        if not link.startswith(("http", "mailto")) and "figures/" not in link:
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
