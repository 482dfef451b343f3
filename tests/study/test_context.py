"""What a notebook gets: paths, provenance, results."""

import json
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from medcal_nb.errors import MedcalError
from medcal_nb.study import context, load_results, notebook_context
from medcal_nb.study.hashing import content_hash
from tests.study.toy import write_notebook


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    write_notebook(tmp_path / "notebooks", "02_numbers", [], reads=["answers"])
    monkeypatch.setenv("MEDCAL_ROOT", str(tmp_path))
    monkeypatch.chdir("/")
    return tmp_path


def test_by_hand_files_go_to_build_and_never_to_figures(checkout):
    ctx = notebook_context("03_free", "pocket")
    assert ctx.answers == checkout / "build" / "pocket" / "answers.sqlite"
    assert ctx.out_dir == checkout / "build" / "pocket" / "lab"
    fast = notebook_context("03_free", "pocket", fast=True)
    assert fast.out_dir == checkout / "build" / "fast" / "pocket" / "lab"
    ctx.save(Figure(), "fig03_x", pd.DataFrame({"x": [1]}))
    assert not (checkout / "figures").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no answers at .*: run `medcal study 01` first"),
        ({"fast": True}, "run `medcal study 01 --fast` first"),
        ({"profile": "hub"}, "run `medcal study 01 --profile hub` first"),
        ({"profile": "imported"}, "set ANSWERS, or run `medcal study --profile imported"),
        ({"profile": "real"}, "profile real works on a file of answers: set ANSWERS"),
        ({"profile": "reel"}, "no profile 'reel': choose one of"),
    ],
)
def test_missing_answers_come_with_the_command_that_makes_them(checkout, options, message):
    with pytest.raises(MedcalError, match=message):
        notebook_context("02_numbers", **{"profile": "pocket"} | options)


def test_no_checkout_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("MEDCAL_ROOT", str(tmp_path))
    with pytest.raises(MedcalError, match="set MEDCAL_ROOT to the clone"):
        notebook_context("02_numbers", "pocket")


def test_provenance_says_what_and_not_where(checkout, tmp_path):
    answers = tmp_path / "a.csv"
    answers.write_text("x\n")
    parameters = {"SEED": 1, "ANSWERS": str(answers), "OUT_DIR": str(tmp_path), "BINS": (5, 10)}
    ctx = notebook_context("02_numbers", "pocket", answers, tmp_path / "o", parameters=parameters)
    told = ctx.provenance
    assert told["parameters"] == {"SEED": 1, "BINS": [5, 10]}
    assert len(told["answers"]) == 64
    assert told["versions"]["numpy"] == np.__version__
    assert str(tmp_path) not in json.dumps(told)


def test_the_hash_of_the_answers_that_the_runner_hands_over_is_taken(checkout, monkeypatch):
    monkeypatch.setattr(context, "_hashes", {})
    answers, stage = checkout / "a.csv", checkout / "stage"
    answers.write_text("x\n")
    known = {}
    real = content_hash(answers, known)
    (stage / "reads").mkdir(parents=True)
    handed = {str(answers): [known[str(answers)][0], "as handed over"]}
    (stage / "reads" / "hashes.json").write_text(json.dumps(handed))
    ctx = notebook_context("02_numbers", "pocket", answers, stage)
    assert ctx.provenance["answers"] == "as handed over"
    answers.write_text("x\ny\n")  # which holds for that content alone
    assert ctx.provenance["answers"] not in ("as handed over", real)


def test_what_reads_nothing_does_not_look_at_the_answers(checkout, tmp_path):
    """They may be half filled: a notebook that asks runs beside one that needs none."""
    folder, answers = checkout / "notebooks", tmp_path / "a.sqlite"
    answers.write_bytes(b"")
    write_notebook(folder, "07_alone", [])
    write_notebook(folder, "00_after", [], reads=["results/02_numbers.json"])
    told = notebook_context("07_alone", "pocket", answers, tmp_path / "o").provenance
    assert told["answers"] is None
    after = notebook_context("00_after", "pocket", answers, tmp_path / "o")
    with pytest.raises(MedcalError, match="the file is empty"):
        print(after.provenance)


def test_figure_of_another_number_is_refused(checkout):
    ctx = notebook_context("03_free", "pocket")
    with pytest.raises(ValueError, match="must start with 'fig03_'"):
        ctx.save(Figure(), "fig02_x", pd.DataFrame({"x": [1]}))


def test_reads_are_those_of_the_last_study(checkout):
    ctx = notebook_context("03_free", "pocket")
    with pytest.raises(MedcalError, match="run `medcal study` first"):
        ctx.read_results("02_numbers")
    notebook_context("04_b", "pocket", out_dir=checkout / "build" / "pocket").results({"x": 1})
    (checkout / "figures").mkdir()
    (checkout / "figures" / "fig02_x.csv").write_text("a\n1.5\n")
    assert ctx.read_results("04_b") == {"x": 1}
    assert ctx.path_of("fig02_x") == checkout / "figures" / "fig02_x.csv"
    assert ctx.has("fig02_x")
    assert not ctx.has("fig02_y")


def test_under_the_runner_only_declared_reads_are_there(checkout, tmp_path):
    stage = tmp_path / "stage"
    (stage / "reads" / "results").mkdir(parents=True)
    ctx = notebook_context("03_free", "pocket", tmp_path / "a.csv", stage)
    with pytest.raises(MedcalError, match=r"declare 'fig02_x' in metadata medcal\.reads"):
        ctx.path_of("fig02_x")


class Interval(NamedTuple):
    low: float
    high: float


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float64(1 / 3), 0.3333333333),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.nan, None),
        (np.inf, None),
        (pd.NA, None),
        (np.array([1.0, np.nan]), [1.0, None]),
        (Interval(0.1, 0.2), {"low": 0.1, "high": 0.2}),
        (pd.DataFrame({"a": [1], "b": ["x"]}), [{"a": 1, "b": "x"}]),
        (pd.Series([1, 2]), [1, 2]),
        ({"b": {"c": (1, 2)}}, {"b": {"c": [1, 2]}}),
        (None, None),
    ],
)
def test_results_are_plain_json(checkout, value, plain):
    ctx = notebook_context("03_free", "pocket")
    ctx.results({"v": value})
    found = load_results(ctx.out_dir / "results" / "03_free.json")["v"]
    assert found == plain
    assert type(found) is type(plain)


def test_results_that_are_no_data_are_refused_and_damaged_ones_named(checkout, tmp_path):
    with pytest.raises(TypeError, match="not JSON serializable"):
        notebook_context("03_free", "pocket").results({"v": object()})
    path = tmp_path / "02_x.json"
    path.write_text("[")
    with pytest.raises(MedcalError, match=r"02_x\.json: not a results file"):
        load_results(path)
