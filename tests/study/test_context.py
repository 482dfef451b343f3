"""What a notebook gets: paths, provenance, results."""

import json
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from medcal_nb.errors import MedcalError, NotEnough
from medcal_nb.study import load_results, notebook_context
from medcal_nb.study.context import ANSWERS_HASH, answers_hash
from tests.study.toy import write_notebook


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    write_notebook(tmp_path / "notebooks", "02_numbers", [], reads=["answers"])
    monkeypatch.setenv("MEDCAL_ROOT", str(tmp_path))
    monkeypatch.chdir("/")
    return tmp_path


def test_by_hand_files_go_to_build_and_reads_are_those_of_the_last_study(checkout):
    ctx = notebook_context("03_free", "pocket")
    assert ctx.answers == checkout / "build" / "pocket" / "answers.sqlite"
    assert ctx.out_dir == checkout / "build" / "pocket" / "lab"
    fast = notebook_context("03_free", "pocket", fast=True)
    assert fast.out_dir == checkout / "build" / "fast" / "pocket" / "lab"
    ctx.save(Figure(), "fig03_x", pd.DataFrame({"x": [1]}))
    assert not (checkout / "figures").exists()
    with pytest.raises(NotEnough, match="`medcal study` runs it"):
        ctx.read_results("02_numbers")
    notebook_context("04_b", "pocket", out_dir=checkout / "build" / "pocket").results({"x": 1})
    (checkout / "figures").mkdir()
    (checkout / "figures" / "fig02_x.csv").write_text("a\n1.5\n")
    assert ctx.read_results("04_b") == {"x": 1}
    assert ctx.path_of("fig02_x") == checkout / "figures" / "fig02_x.csv"
    assert ctx.has("fig02_x")
    assert not ctx.has("fig02_y")
    # where a folder is given they lie there
    given = notebook_context("03_free", "pocket", out_dir=checkout / "stage")
    with pytest.raises(NotEnough, match=r"no fig02_x\.csv to read: .* metadata medcal\.reads"):
        given.path_of("fig02_x")


def test_missing_answers_come_with_the_command_that_makes_them(checkout, monkeypatch):
    for how, message in (
        ({}, "no answers at .*: set ANSWERS, or run `medcal study --profile pocket`"),
        ({"fast": True}, "or run `medcal study --profile pocket --fast`"),
        ({"profile": "imported"}, "--profile imported`, with --answers FILE where it asks no"),
    ):
        with pytest.raises(MedcalError, match=message):
            notebook_context("02_numbers", **{"profile": "pocket"} | how)
    monkeypatch.setenv("MEDCAL_ROOT", str(checkout / "notebooks"))
    with pytest.raises(MedcalError, match="set MEDCAL_ROOT to the clone"):
        notebook_context("02_numbers", "pocket")


def test_provenance_says_what_and_not_where(checkout, tmp_path):
    answers, out = tmp_path / "a.csv", tmp_path / "o"
    answers.write_text("x\n")
    parameters = {"SEED": 1, "ANSWERS": str(answers), "OUT_DIR": str(tmp_path), "BINS": (5, 10)}
    ctx = notebook_context("02_numbers", "pocket", answers, out, parameters=parameters)
    told = ctx.provenance
    assert told["parameters"] == {"SEED": 1, "BINS": [5, 10]}
    assert told["answers"] == answers_hash(answers, tmp_path / "known.json")
    assert told["versions"]["numpy"] == np.__version__
    assert str(tmp_path) not in json.dumps(told)
    # what the runner has reckoned is taken, for that content alone
    known = out / ANSWERS_HASH
    known.write_text(known.read_text().replace(told["answers"], "as handed over"))
    assert ctx.provenance["answers"] == "as handed over"
    answers.write_text("x\ny\n")
    assert ctx.provenance["answers"] not in ("as handed over", told["answers"])


def test_what_reads_no_answers_does_not_look_at_them(checkout, tmp_path):
    """They may be half filled: a notebook that asks runs beside one that needs none."""
    answers = tmp_path / "a.sqlite"
    answers.write_bytes(b"")
    write_notebook(checkout / "notebooks", "07_alone", [])
    told = notebook_context("07_alone", "pocket", answers, tmp_path / "o").provenance
    assert told["answers"] is None
    with pytest.raises(MedcalError, match="the file is empty"):
        print(notebook_context("02_numbers", "pocket", answers, tmp_path / "o").provenance)


class Interval(NamedTuple):
    low: float
    high: float


def test_results_are_plain_json(checkout):
    ctx, pairs = notebook_context("03_free", "pocket"), [
        (np.float64(1 / 3), 0.3333333333), (np.int64(3), 3), (np.bool_(True), True),
        (np.nan, None), (np.inf, None), (pd.NA, None), (np.array([1.0, np.nan]), [1.0, None]),
        (Interval(0.1, 0.2), {"low": 0.1, "high": 0.2}), (pd.Series([1, 2]), [1, 2]),
        (pd.DataFrame({"a": [1], "b": ["x"]}), [{"a": 1, "b": "x"}]),
        ({"b": {"c": (1, 2)}}, {"b": {"c": [1, 2]}}), (None, None),
    ]  # fmt: skip
    ctx.results({"v": [value for value, _ in pairs]})
    found = load_results(ctx.out_dir / "results" / "03_free.json")["v"]
    for (value, plain), kept in zip(pairs, found, strict=True):
        assert (kept, type(kept)) == (plain, type(plain)), value


def test_results_that_are_no_data_are_refused_and_damaged_ones_named(checkout, tmp_path):
    with pytest.raises(TypeError, match="not JSON serializable"):
        notebook_context("03_free", "pocket").results({"v": object()})
    path = tmp_path / "02_x.json"
    path.write_text("[")
    with pytest.raises(MedcalError, match=r"02_x\.json: not a results file"):
        load_results(path)
