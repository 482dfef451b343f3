"""Chapters 02 to 06 on five small tables of a user, by the profile that the project hands out."""

import json
from contextlib import nullcontext

import pytest
from IPython.core.interactiveshell import InteractiveShell

from medcal_nb.errors import NotEnough
from medcal_nb.run import ROOT, steps_of
from tests.notebooks.worlds import WORLDS, answers_of, replies_of

CHAPTERS = [
    "02_metrics",
    "03_modalities",
    "04_transfer",
    "05_second_opinion",
    "06_deferral",
]
#: No threshold is certified in 06 alone, images are resampled by 04 as by 02, 03 and 05,
#: and 03 compares no methods.
CASES = [(chapter, world) for chapter in CHAPTERS for world in WORLDS]
for chapter in CHAPTERS[:-1]:
    CASES.remove((chapter, "nothing certified"))
for chapter in ("02_metrics", "03_modalities", "05_second_opinion"):
    CASES.remove((chapter, "one image each"))
CASES.remove(("03_modalities", "one method"))
#: The profile that a user copies.
IMPORTED = ROOT / "notebooks" / "params" / "imported.yaml"
#: What a user writes into the profile, and sizes at which a chapter runs in seconds.
OWN = {"MODEL": "first", "N_RESAMPLES": 50, "N_SPLITS": 3, "N_BEFORE": 50}
OWN |= {"BUDGETS": [30, 50], "BUDGET": 50, "SPENT": [30, 50]}


@pytest.mark.notebooks
@pytest.mark.slow
@pytest.mark.parametrize(("chapter", "world"), CASES)
def test_a_chapter_runs_on_it(chapter, world, tmp_path, monkeypatch):
    answers_of(world).to_csv(tmp_path / "answers.csv", index=False)
    (step,) = steps_of([chapter], profile=IMPORTED, to=tmp_path)
    own = OWN | {"ANSWERS": str(tmp_path / "answers.csv"), "OUT": str(tmp_path)}
    known = step.defaults.keys() | {"OUT"}
    overrides = step.overrides | {key: own[key] for key in own.keys() & known}
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(ROOT / "notebooks")
    alone = pytest.raises(NotEnough, match="needs two elicitation methods")
    if world == "one method":
        overrides |= {
            key: ["verbalized"] for key in ("STRATEGIES",) if key in overrides
        }
    with alone if chapter.startswith("05") and world == "one method" else nullcontext():
        run_cells(chapter, overrides)
        results = tmp_path / "results" / f"{chapter}.json"
        assert json.loads(results.read_text("utf-8"))["findings"]


@pytest.mark.notebooks
@pytest.mark.slow
@pytest.mark.parametrize("share_right", [0.7, 1.0])
def test_your_answers_runs_on_three_columns(share_right, tmp_path, monkeypatch):
    replies_of(share_right).to_csv(tmp_path / "replies.csv", index=False)
    own = {"ANSWERS": str(tmp_path / "replies.csv"), "ROWS": "", "N_RESAMPLES": 50}
    monkeypatch.setenv("MPLBACKEND", "Agg")
    run_cells("10_your_answers", own | {"OUT": str(tmp_path)})
    written = (tmp_path / "results" / "10_your_answers.json").read_text("utf-8")
    results = json.loads(written)
    (scores,) = results["tables"]["finding_1"]
    assert (scores["n"], scores["n_images"]) == (90, 30)
    assert (scores["accuracy"] == 1) == (share_right == 1)
    (group,) = results["tables"]["fig10_groups"]
    assert group["group"] == "not stated"
    assert "MMMU" not in written


def run_cells(chapter, overrides):
    """Cells one after the other, as a kernel runs them, without the kernel's start."""
    shell = InteractiveShell.instance()
    shell.reset(new_session=False)
    notebook = json.loads((ROOT / "notebooks" / f"{chapter}.ipynb").read_text("utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            shell.run_cell("".join(cell["source"])).raise_error()
        if "parameters" in cell["metadata"].get("tags", ()):
            shell.push(overrides)
