"""Chapters 02 to 06 and 10 on small tables of a user, most of them by naming the file alone."""

import json
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

from medcal_nb.answers import load_answers, two_parts
from medcal_nb.errors import MedcalError
from medcal_nb.explore import Panel
from medcal_nb.explore.parts import Explored
from medcal_nb.report.parts import risk_coverage_figure
from medcal_nb.run import ROOT, steps_of
from tests.notebooks.worlds import METHODS, WORLDS, answers_of, replies_of

#: What chapters are run on, by naming the file alone.
CASES = {
    "02_metrics": ["three columns", "five models, the same images", "all right"],
    "03_modalities": ["three columns", "no images", "one image each"],
    "04_transfer": ["three columns", "two domains, one method"],
    "05_second_opinion": [
        "three columns",
        "two methods",
        "one model, images",
        "five models, the same images",
    ],
    "06_deferral": ["five models, the same images", "all right", "nothing certified"],
}
CHAPTERS = [
    "02_metrics",
    "03_modalities",
    "04_transfer",
    "05_second_opinion",
    "06_deferral",
]
#: Two parts of the medical answers of a table.
PARTS = {
    kind: f"domain == 'medical' and modality == '{kind}'" for kind in ("CT", "MRI")
}
#: The profile that a user copies.
IMPORTED = ROOT / "notebooks" / "params" / "imported.yaml"
#: Sizes at which a chapter runs in seconds.
SMALL = {
    "N_RESAMPLES": 50,
    "N_SPLITS": 3,
    "N_SAMPLES": 10,
    "N_BEFORE": 50,
    "N_DRAWS": 3,
}
SMALL |= {
    "BUDGETS": [30, 50],
    "BUDGET": 50,
    "SPENT": [30, 50],
    "LABELS": [20, 50],
    "RISKS": [0.1, 0.2],
    "MODEL": "first",
}
#: Names of what the study is about: no page on other answers has them as its own.
OF_STUDY = re.compile(
    "GMAI|VLCB|GQA|POPE|everyday|InternVL|Qwen|ten options|five models|MMBench"
)

pytestmark = [pytest.mark.notebooks, pytest.mark.slow]


@pytest.mark.parametrize(
    ("chapter", "world"), [(one, world) for one in CASES for world in CASES[one]]
)
def test_a_chapter_runs_where_a_file_is_named_and_nothing_else(
    chapter, world, tmp_path, monkeypatch
):
    results = run_on(WORLDS[world](), chapter, {}, tmp_path, monkeypatch)
    shown = [*results["findings"], json.dumps(results["figures"], ensure_ascii=False)]
    shown += [path.read_text("utf-8") for path in tmp_path.glob("*.svg")]
    for text in shown:
        assert not OF_STUDY.search(text)
        # of a table that names no method
        assert not re.search(r"(?:a|stated|[Mm]ean) the method\b", text)
    assert "mean of models" not in "".join(shown) or world.startswith("five")
    for text in results["findings"]:
        assert not re.search(r"\bnan\b|\binf\b|(?<!\w)–(?!\w)", text)
    # 03 and 05 compare kinds and methods, of which there may be one
    assert results["findings"] or chapter[:2] in ("03", "04", "05")
    assert results["left_out"]
    if chapter.startswith("06"):  # without answers to fit on elsewhere
        costs = pd.DataFrame(results["tables"]["fig06_cost"])
        assert {*costs["stage"].dropna()} == {"uncorrected", "refitted"}


@pytest.mark.parametrize("chapter", ["04_transfer", "06_deferral"])
def test_the_parameters_that_a_page_names_give_the_sections_that_it_lacks(
    chapter, tmp_path, monkeypatch
):
    table = WORLDS["two domains, one method"]()
    without = run_on(table, chapter, {}, tmp_path, monkeypatch)
    own = two_parts(load_answers(tmp_path / "answers.csv"))
    assert own["SOURCE"] == "domain == 'general'"
    results = run_on(table, chapter, own, tmp_path, monkeypatch)
    lacking = "answers to fit on, named by SOURCE"
    assert lacking in without["left_out"].values()
    assert lacking not in results["left_out"].values()
    assert "general" in " ".join(results["findings"])


@pytest.mark.parametrize("is_all_right", [False, True])
def test_two_parts_of_one_data_set_lend_grades_to_each_other(
    is_all_right, tmp_path, monkeypatch
):
    table = answers_of(240, n_models=2)
    table["modality"] = np.where(table["image_id"].str[-1] < "6", "CT", "MRI")
    table.loc[is_all_right & (table["modality"] == "CT"), "correct"] = True
    table.to_csv(tmp_path / "answers.csv", index=False)
    own = two_parts(load_answers(tmp_path / "answers.csv"))
    assert own["SOURCE"] == "modality == 'CT'"
    results = run_on(table, "06_deferral", own, tmp_path, monkeypatch)
    # without grades of both kinds nothing is learnt there
    lacking = "right and wrong answers of each model, CT"
    assert (lacking in results["left_out"].values()) == is_all_right
    opinions = pd.DataFrame(results["tables"]["second_opinion"])["opinion"]
    assert ("weighted on CT" in set(opinions)) == (not is_all_right)
    # what stands after it
    assert "fig06_cost" in results["tables"]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_runs_by_the_profile(chapter, tmp_path, monkeypatch):
    (step,) = steps_of([chapter], profile=IMPORTED, to=tmp_path)
    table = WORLDS["two domains"]()
    own = step.overrides
    results = run_on(table, chapter, own, tmp_path, monkeypatch)
    assert results["findings"]


@pytest.mark.parametrize(("rightly", "retains"), [(0.95, True), (0.3, False)])
def test_parts_of_one_test_stand_beside_the_target(
    rightly, retains, tmp_path, monkeypatch
):
    table = answers_of(240, 4, METHODS[:1], ("general", "medical"), rightly)
    (step,) = steps_of(["06_deferral"], profile=IMPORTED, to=tmp_path)
    own = step.overrides | {"SOURCE": "domain == 'general'", "CONTROLS": PARTS}
    results = run_on(table, "06_deferral", own, tmp_path, monkeypatch)
    rows = pd.DataFrame(results["tables"]["fig06_shift"])
    parts = rows[rows["side"].isin(list(PARTS))]
    assert set(parts["side"]) == set(PARTS)
    assert (parts["n_retained"] > 0).any() == retains


@pytest.mark.parametrize("share_right", [0.7, 1.0])
def test_your_answers_runs_on_three_columns(share_right, tmp_path, monkeypatch):
    table = replies_of(share_right)
    results = run_on(table, "10_your_answers", {"ROWS": ""}, tmp_path, monkeypatch)
    (scores,) = results["tables"]["finding_1"]
    assert (scores["n"], scores["n_images"]) == (90, 30)
    assert (scores["accuracy"] == 1) == (share_right == 1)
    (group,) = results["tables"]["fig10_groups"]
    assert group["group"] == "not stated"
    assert "MMMU" not in json.dumps(results)
    assert results["left_out"]["What is left out"] == "model with over 2 % ungraded"


def test_your_answers_says_what_is_left_out_and_between_which_bounds(
    tmp_path, monkeypatch
):
    table = answers_of(100, n_models=2)  # of the same questions
    table["correct"] = table["correct"].astype("boolean")
    table.loc[:59, "correct"] = pd.NA  # 30 of each model
    panels = []
    monkeypatch.setattr(
        "medcal_nb.explore.explore",
        lambda *one, **how: panels.append(Panel(*one, **how)),
    )
    results = run_on(table, "10_your_answers", {"ROWS": ""}, tmp_path, monkeypatch)
    # the panel has all models, and opens on the chapter's
    (panel,) = panels
    (part,) = panel._data([panel._first])["parts"].values()
    assert (panel._first.model, part["n"], part["n_ungraded"]) == ("first", 70, 30)
    assert len(panel.explored.controls()["models"]) == 2
    rows = {row["step"]: row["n"] for row in results["tables"]["rows"]}
    counts = {"rows read": 200, "of another model or method": 100}
    counts |= {"not graded": 30, "measured below": 70}
    assert counts.items() <= rows.items()
    # what a map makes of confidences that no answer has is no news
    mapped = pd.DataFrame(results["tables"]["map"])["confidence"]
    assert mapped.between(0.6, 1.0).all()
    assert mapped.size > 3
    # of the first model alone, all of it
    (scores,) = results["tables"]["finding_1"]
    assert (scores["model"], scores["n"]) == ("first", 70)
    # what is taken along says how many it is of
    written = InteractiveShell.instance().user_ns["written"]
    assert (written["answers measured"], written["answers written"]) == (70, 70)
    assert 0 < written["moved by the map"] <= 70
    drawn = pd.DataFrame(results["tables"]["fig10_calibration"])
    assert drawn["n"].sum() == 70
    (bounds,) = results["tables"]["bounds"]
    assert bounds["n_ungraded"] == 30
    assert bounds["accuracy_most"] - bounds["accuracy_least"] == pytest.approx(0.3)


def test_a_silent_answer_is_checked_on_the_panel_in_the_chapter_and_in_a_report(
    tmp_path, monkeypatch
):
    table = answers_of(200, per_image=0)
    table.loc[table.index[::3], "confidence"] = np.nan
    table["correct"] = table["correct"].astype("boolean")
    table.loc[table.index[::20], "correct"] = pd.NA
    results = run_on(table, "10_your_answers", {"ROWS": ""}, tmp_path, monkeypatch)
    answers = load_answers(tmp_path / "answers.csv")
    explored = Explored(answers)
    part = explored.part(explored.first())
    on_panel = [[step[0], step[1] / part["n"]] for step in part["steps"]]
    assert on_panel[-1][1] == pytest.approx(part["n_stated"] / part["n"])
    _, of_report = risk_coverage_figure(answers)
    of_chapter = pd.DataFrame(results["tables"]["risk_coverage"])
    for curve in (of_report, of_chapter):
        pairs = curve[["threshold", "coverage"]].to_numpy(float)
        assert pairs == pytest.approx(np.array(on_panel))
        base = part["wrong"] / part["n"]
        assert curve["base_risk"].unique() == pytest.approx(base)


def test_a_group_that_is_no_column_is_told_with_those_there_are(tmp_path, monkeypatch):
    own = {"ROWS": "", "GROUP": "sites"}
    with pytest.raises(MedcalError, match="no column 'sites'; did you mean 'site'"):
        run_on(
            replies_of(0.7).assign(site="a"),
            "10_your_answers",
            own,
            tmp_path,
            monkeypatch,
        )


def run_on(table, chapter, overrides, folder, monkeypatch):
    """Results of a chapter on a table, cell by cell, without a kernel's start."""
    table.to_csv(folder / "answers.csv", index=False)
    own = {"ANSWERS": str(folder / "answers.csv"), "OUT": str(folder)}
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(ROOT / "notebooks")
    with warnings.catch_warnings():  # a notebook prints them
        run_cells(chapter, overrides | SMALL | own)
    written = folder / "results" / f"{chapter}.json"
    return json.loads(written.read_text("utf-8"))


@pytest.fixture(autouse=True, scope="module")
def no_shell_stays():
    """Other tests of the process find no notebook running."""
    yield
    InteractiveShell.clear_instance()


def run_cells(chapter, overrides):
    """Cells one after the other, as a kernel runs them, but for the kernel."""
    shell = InteractiveShell.instance()
    shell.reset(new_session=False)
    notebook = json.loads((ROOT / "notebooks" / f"{chapter}.ipynb").read_text("utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            shell.run_cell("".join(cell["source"])).raise_error()
        if "parameters" in cell["metadata"].get("tags", ()):
            known = overrides.keys() & shell.user_ns.keys()
            shell.push({name: overrides[name] for name in known})
