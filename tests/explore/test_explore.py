"""The panel's numbers are the package's; what it copies draws the same; odd tables are answered."""

import ast
import json
import re
import sys

import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

from medcal_nb import correct, measure
from medcal_nb.answers import load_answers
from medcal_nb.cli import main
from medcal_nb.errors import MedcalError
from medcal_nb.explore import Panel, explore, write_page
from medcal_nb.explore.panel import _load
from medcal_nb.explore.parts import (
    DELTA,
    MOST_FITTED,
    NETCAL,
    RISKS,
    SLOW,
    Choice,
    Explored,
    _maps,
    _written,
)


@pytest.fixture(scope="module")
def answers():
    """Two methods; images with several answers; some without confidence or grade."""
    table = measure.example_answers(240).reset_index(drop=True)
    table["modality"] = np.resize(["ct", "mri", "ct"], len(table))
    table["image_id"] = "i" + (table.index // 2 % 97).astype(str)
    table["question"] = "what is <b>it</b>?"
    table.loc[table.index[::31], "confidence"] = np.nan
    table["correct"] = table["correct"].astype(object)
    table.loc[table.index[::53], "correct"] = None
    return table


def test_a_part_is_what_the_public_functions_give(answers):
    explored = Explored(answers)
    first = explored.first()
    choice = first._replace(map="isotonic", column="modality", value="ct")
    part = explored.part(choice)
    own = (answers["model"] == first.model) & (answers["strategy"] == first.strategy)
    graded = answers[own & answers["correct"].notna()]
    graded = graded.assign(correct=graded["correct"].astype(float))
    graded["confidence"] = graded["confidence"].round(6)
    rng = np.random.default_rng(0)
    both = correct.before_and_after(graded, method="isotonic", rng=rng)
    both = both[both["modality"] == "ct"].round(
        {"confidence": 6}
    )  # as a page holds them
    before, after = (both[both["labels"] == name] for name in ("raw", "target"))
    assert part["n"] == len(before)
    for name, rows in (("before", before), ("after", after)):
        stated = rows.dropna(subset="confidence")
        pair = stated["confidence"], stated["correct"]
        images = measure.image_labels(stated)
        scores = part[name]["scores"]
        assert scores["brier"] == pytest.approx(measure.brier_score(*pair), abs=1e-6)
        assert scores["auroc"] == pytest.approx(measure.auroc(*pair), abs=1e-6)
        ece = measure.ece_interval(*pair, groups=images)
        ends = [scores[f"ece{end}"] for end in ("_low", "", "_high")]
        assert ends == pytest.approx([ece.low, ece.estimate, ece.high], abs=1e-5)
    assert len(part["steps"]) > 5
    for threshold, n, wrong, low, high in part["steps"]:
        row = measure.deferral_table(after, threshold=threshold).iloc[0]
        counts = [row["n_retained"], row["n_wrong"]]
        assert [n, wrong] == counts
        assert [low, high] == pytest.approx([row["risk_low"], row["risk_high"]])
    stated = before.dropna(subset="confidence")
    for risk, found in zip(RISKS, part["certified"], strict=True):
        threshold, coverage = measure.selective_threshold(
            stated["confidence"],
            stated["correct"],
            target=risk,
            delta=DELTA,
            groups=measure.image_labels(stated),
        )
        share = coverage * len(stated) / len(before)
        assert (found is None) == (coverage == 0)
        if found:
            assert found == pytest.approx([threshold, share], abs=1e-6)
    surest = measure.surest_errors(after)
    shown = [error["confidence"] for error in part["errors"]]
    assert shown == pytest.approx(surest["confidence"].tolist(), abs=1e-6)


@pytest.mark.parametrize("name", ["", "platt", "isotonic"])
def test_a_threshold_is_written_as_shortly_as_it_keeps_the_same_answers(name):
    table = measure.example_answers(400, strategies=["p_true"])
    table["correct"] = table["correct"].astype(float)
    explored = Explored(table)
    part = explored.part(explored.first()._replace(map=name))
    rows = table
    if name:
        rng = np.random.default_rng(0)
        both = correct.before_and_after(table, method=name, rng=rng)
        rows = both[both["labels"] == "target"]
    for (threshold, n, *_), written in zip(part["steps"], part["written"], strict=True):
        row = measure.deferral_table(rows, threshold=written).iloc[0]
        assert row["n_retained"] == n
        assert threshold - 0.001 < written < threshold + 1e-6
    shortest = [round(one, 3) == one for one in part["written"]]
    assert np.mean(shortest) > 0.5


@pytest.mark.parametrize(
    ("confidences", "written"),
    [
        ([1.0, 0.9, 0.875], [1.0, 0.9, 0.875]),  # as they were stated
        ([0.29, 0.008772], [0.29, 0.008]),
        ([0.87731, 0.87722, 0.87719, 0.4], [0.8773, 0.8772, 0.877, 0.4]),
        ([0.9999996, 0.99], [0.999, 0.99]),
        ([0.0004, 0.0], [0.0004, 0.0]),
    ],
)
def test_digits_of_a_threshold_are_those_that_it_needs(confidences, written):
    sizes = np.arange(1, len(confidences) + 1)
    assert _written(np.array(confidences), sizes).tolist() == written


def test_a_map_is_fitted_once_and_its_errors_say_whose_they_are(answers, monkeypatch):
    explored = Explored(answers)
    choice = explored.first()._replace(map="platt")
    explored.part(choice)
    monkeypatch.setattr(correct, "fit", None)  # as one more fit would fail
    of_group = explored.part(choice._replace(column="modality", value="ct"))
    assert of_group["after"]
    for error in of_group["errors"]:
        row = explored.answers.loc[error["row"]]
        assert (error["item"], error["image"]) == (row["item_id"], row["image_id"])


def test_the_slow_map_of_netcal_is_offered_where_it_is_quick():
    pytest.importorskip("netcal")
    assert _maps(MOST_FITTED)[-len(NETCAL) :] == [f"netcal:{name}" for name in NETCAL]
    assert {*_maps(MOST_FITTED)} - {*_maps(MOST_FITTED + 1)} == {SLOW}


def test_netcal_is_loaded_in_short_turns_and_python_s_own_come_back(monkeypatch):
    usual = sys.getswitchinterval()
    turns = []

    def load(maps):
        turns.append(sys.getswitchinterval())
        raise MedcalError("not installed")

    monkeypatch.setattr(correct, "installed_maps", load)
    with pytest.raises(MedcalError):
        _load(["netcal:HistogramBinning"])
    assert turns[0] < usual / 5
    assert sys.getswitchinterval() == usual


N = 40
PLAIN = {"confidence": np.tile([0.5, 0.9], N // 2), "correct": np.resize([1, 0, 0], N)}


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({}, ""),
        ({"correct": 1}, ""),
        ({"confidence": 0.7}, ""),
        ({"model": None, "image_id": "one"}, "No map: fewer than 5 images."),
        ({"group": [["a", "b"], ["c"]] * (N // 2)}, ""),
        ({"model": 7, "site": np.resize([1, 2, 3], N)}, ""),
    ],
)
def test_any_table_of_answers_is_shown(columns, words):
    panel = explore(pd.DataFrame(PLAIN | columns))
    first = panel.explored.first()
    part = panel.explored.part(first._replace(map="platt"))
    assert words in part["note"]
    json.dumps(part, allow_nan=False)
    controls = panel.explored.controls()
    for column in ("group", "site"):
        assert (column in controls["values"]) == (column in columns)
        if column in columns:
            value, _ = controls["values"][column][0]
            assert panel.explored.part(Choice(*first[:3], column, value))["n"] < N


def test_it_opens_on_a_model_and_a_method_and_offers_all(answers):
    answers = pd.concat([answers, answers.assign(model="m2")], ignore_index=True)
    controls = Explored(answers).controls()
    model, _ = controls["models"][1]
    strategy, _ = controls["strategies"][model][1]
    data = explore(answers, model=model, strategy=strategy)._data([])
    assert data["first"] == (model, strategy, "", "", "")
    assert data["controls"] == controls
    own = (answers["model"] == model) & (answers["strategy"] == strategy)
    of_choice = Explored(answers).part(Choice(*data["first"]))
    counts = own.sum(), (own & answers["correct"].isna()).sum()
    assert (of_choice["n"] + of_choice["n_ungraded"], of_choice["n_ungraded"]) == counts
    for how in ({"model": "third"}, {"strategy": "by hand"}):
        with pytest.raises(MedcalError, match=r"there (is|are)"):
            explore(answers, **how)


def test_what_cannot_be_shown_is_said(answers, tmp_path):
    with pytest.raises(MedcalError, match="confidence"):
        explore(pd.DataFrame({"correct": [1]}))
    with pytest.raises(MedcalError, match="no answer has both"):
        explore(pd.DataFrame({"confidence": [0.5], "correct": [None]}))
    with pytest.raises(MedcalError, match="modality"):
        write_page(answers, tmp_path / "a.html", columns=["modalty"])


def test_no_name_of_a_table_becomes_markup(answers):
    html = Panel(answers.assign(model="</script><b>x")).html("bridge")
    assert "<b>" not in html
    (text,) = re.findall(r'(?s)<script type="application/json">(.*?)</script>', html)
    data = json.loads(text)
    assert list(data["parts"]) == [json.dumps(data["first"], separators=(",", ":"))]
    assert data["first"][0] == "</script><b>x"


def test_the_command_writes_a_page_and_its_images_only_if_asked(
    tmp_path, monkeypatch, capsys
):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (400, 300), "red").save("scan.png")
    table = pd.DataFrame(PLAIN | {"Bild": "scan.png", "item_id": range(N)})
    table.to_csv("answers.csv", index=False)
    for more, has_image in (([], False), (["--images", "."], True)):
        argv = ["medcal", "explore", "answers.csv", "--to", "page.html", "--force"]
        monkeypatch.setattr("sys.argv", [*argv, *more])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code in (0, None), capsys.readouterr().err
        page = (tmp_path / "page.html").read_text("utf-8")
        assert ("data:image/png" in page) == has_image
    said = capsys.readouterr().out
    assert "wrote page.html: 4 choices of 40 graded answers" in said
    assert "could not be read" not in said
    (tmp_path / "empty").mkdir()
    for folder, code, words in (
        ("empty", 0, "images could not be read, the first 'scan.png'"),
        ("nowhere", 2, "nowhere: no such folder: name the one that paths in image"),
    ):
        monkeypatch.setattr("sys.argv", [*argv, "--images", folder])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        assert (end.value.code or 0, words in said.out + said.err) == (code, True), said


def test_a_subgroup_without_any_confidence_is_shown_and_a_reply_makes_none():
    rows = {"confidence": [0.9, 0.6, None, None], "correct": [1, 0, 1, 0]}
    table = pd.DataFrame(rows).assign(site=[*"aabb"], output=[*"ynyn"])
    explored = Explored(pd.concat([table] * 10, ignore_index=True))
    assert [name for name, _ in explored.controls()["columns"]] == ["site"]
    assert explored.controls()["counts"]["unnamed"]["confidence"] == {"site": [20, 20]}
    part = explored.part(explored.first()._replace(column="site", value="b"))
    assert (part["n"], part["n_stated"], part["wrong"]) == (20, 0, 10)
    assert (part["steps"], part["errors"]) == ([], [])
    assert part["certified"] == [None] * len(RISKS)


def test_a_column_is_called_as_in_the_file(tmp_path):
    table = pd.DataFrame(PLAIN | {"Modalité": np.resize(["IRM", "CT"], N)})
    table.to_csv(tmp_path / "a.csv", index=False)
    explored = Explored(load_answers(tmp_path / "a.csv"))
    assert explored.controls()["columns"] == [("modality", "Modalité")]


def names_of(code):
    """What code at the top of a cell binds: imported names, and its own."""
    imported, own = set(), set()
    for node in ast.parse(code).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            imported |= {(alias.asname or alias.name) for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            own.add(node.name)
        else:
            for one in ast.walk(node):
                if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
                    own.add(one.id)
    return imported, own


@pytest.mark.parametrize("left_out", ["@no_", "@(?!no_)"])
def test_the_cell_to_copy_leaves_the_names_of_the_chapters_alone(root, left_out):
    template = (root / "medcal_nb" / "explore" / "cell.txt").read_text("utf-8")
    lines = [line for line in template.splitlines() if not re.match(left_out, line)]
    text = "\n".join(re.sub(r"^@\w+ ", "", line) for line in lines)
    code = re.sub(r"\{(\w+)\}", "1", text)
    assert max(map(len, code.splitlines())) <= 100
    imported, own = names_of(code)
    assert own == {"picture_of"}
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        sources = [
            "".join(one["source"]) for one in cells if one["cell_type"] == "code"
        ]
        text = "\n".join(sources)
        _, of_chapter = names_of(text)
        taken = own | imported if "explore(" in text else own
        assert {"ANSWERS", "OUT"} & of_chapter, path
        assert of_chapter & taken == set(), path


def test_the_cell_to_copy_is_of_the_table_that_the_notebook_calls_so():
    code = """
from medcal_nb.explore import explore
from medcal_nb.measure import example_answers
answers = example_answers()
own = answers[~answers["correct"].astype(bool)].copy()
own.loc[own.index[:20], "correct"] = True
panel = explore(own)
"""
    shell = InteractiveShell.instance()
    try:
        assert shell.run_cell(code).success
        panel = shell.user_ns["panel"]
        data = panel._data([panel.explored.first()])
    finally:
        InteractiveShell.clear_instance()
    assert data["table"] == "own"
    assert data["cell"].endswith("@no_page picture_of({table})\n")
    assert explore(shell.user_ns["own"])._data([])["table"] == "answers"  # no notebook
