"""What a notebook gets: paths, provenance, results."""

import json

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from medcal_nb.errors import MedcalError
from medcal_nb.files import file_hash
from medcal_nb.study import NotebookContext
from tests.study.toy import load_results, write_notebook


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    write_notebook(tmp_path / "notebooks", "02_numbers", [], reads=["answers"])
    monkeypatch.setenv("MEDCAL_ROOT", str(tmp_path))
    monkeypatch.chdir("/")
    return tmp_path


def test_by_hand_files_go_to_build_and_reads_are_those_of_the_last_study(checkout):
    ctx = NotebookContext("03_free", "pocket")
    assert ctx.answers == checkout / "build" / "pocket" / "answers.sqlite"
    assert ctx.out_dir == checkout / "build" / "pocket" / "lab"
    fast = NotebookContext("03_free", "pocket", fast=True)
    assert fast.out_dir == checkout / "build" / "fast" / "pocket" / "lab"
    ctx.save(Figure(), "fig03_x", pd.DataFrame({"x": [1]}))
    assert not (checkout / "figures").exists()
    assert ctx.read_results("04_b") == {}
    published = NotebookContext(
        "04_b", "pocket", out_dir=checkout / "figures" / "pocket"
    )
    published.results({"x": 1})
    published.save(Figure(), "fig04_x", pd.DataFrame({"x": [1]}))
    assert ctx.read_results("04_b") == {"x": 1}
    # where a folder is given they lie there
    given = NotebookContext("03_free", "pocket", out_dir=checkout / "elsewhere")
    assert given.read_results("04_b") == {}


def test_missing_answers_come_with_the_command_that_makes_them(checkout, monkeypatch):
    for how, message in (
        (
            {},
            "no answers at .*: set ANSWERS, or run first `medcal study --profile pocket`",
        ),
        ({"fast": True}, "or run first `medcal study --profile pocket --fast`"),
    ):
        with pytest.raises(MedcalError, match=message):
            NotebookContext("02_numbers", **{"profile": "pocket"} | how)
    monkeypatch.setenv("MEDCAL_ROOT", str(checkout / "notebooks"))
    with pytest.raises(MedcalError, match="set MEDCAL_ROOT to the clone"):
        NotebookContext("02_numbers", "pocket")


def test_provenance_says_what_and_not_where(checkout, tmp_path):
    answers, out = tmp_path / "a.csv", tmp_path / "o"
    answers.write_text("x\n")
    parameters = {
        "SEED": 1,
        "ANSWERS": str(answers),
        "OUT_DIR": str(tmp_path),
        "BINS": (5, 10),
    }
    told = NotebookContext(
        "02_numbers", "imported", answers, out, parameters=parameters
    )
    told = told.provenance
    assert told["parameters"] == {"SEED": 1, "BINS": (5, 10)}
    assert told["answers"] == file_hash(answers)
    assert told["versions"]["numpy"] == np.__version__
    assert str(tmp_path) not in json.dumps(told)
    # the order in which models answered side by side must not change a figure
    assert (
        NotebookContext("02_numbers", "pocket", answers, out).provenance["answers"]
        is None
    )


def test_results_are_plain_json(checkout):
    ctx, pairs = NotebookContext("03_free", "pocket"), [
        (np.float64(1 / 3), pytest.approx(1 / 3)), (np.int64(3), 3), (np.bool_(True), True),
        (np.nan, None), (np.inf, None), (pd.NA, None), (np.array([1.0, np.nan]), [1.0, None]),
        (pd.DataFrame({"a": [1, 2], "b": ["x", None]}), [{"a": 1, "b": "x"}, {"a": 2, "b": None}]),
        ({"b": {"c": (1, 2)}}, {"b": {"c": [1, 2]}}), (None, None), ("é", "é"),
    ]  # fmt: skip
    ctx.results({str(k): value for k, (value, _) in enumerate(pairs)})
    found = load_results(ctx.out_dir / "results" / "03_free.json")
    assert [*found.values()] == [plain for _, plain in pairs]
