"""A report quotes the ledger beside its file, as `medcal certify --check` replays it."""

import json

import numpy as np
import pandas as pd
import pytest

from medcal_nb.answers import load_answers, select
from medcal_nb.certify.certification import Certification
from medcal_nb.certify.check import check, quoted
from medcal_nb.certify.ledger import Ledger
from tests.test_report import report_of, table_of

pytestmark = pytest.mark.filterwarnings("ignore::medcal_nb.report.ReportWarning")


HOW = ["altered", "empty", "no ledger", "other answers", "missing"]
ROWS = "model == 'a'"


@pytest.fixture
def table(tmp_path):
    """Answers of two models, with a certificate of one of them beside their file."""
    one = table_of(shift=0, model="a", dataset="scans")
    one["correct"] = (np.random.default_rng(1).random(len(one)) < 0.95).astype(int)
    table = pd.concat([one, table_of(seed=1, model="b", dataset="scans")])
    file = tmp_path / "answers.csv"
    table.to_csv(file, index=False)
    answers = select(load_answers(file), ROWS)
    run = Certification(file, answers, risk=0.2, rows=ROWS)
    run.write_threshold(run.stand(1))
    return table


def test_threshold_and_head_are_those_that_the_check_gives(table, tmp_path):
    known = json.loads((tmp_path / "answers.threshold.json").read_text("utf-8"))
    before = Ledger(tmp_path / "answers.certificate.jsonl").head
    assert before == known["head"]
    _, text, numbers = report_of(table, tmp_path)
    file = tmp_path / "answers.csv"
    faults, facts = check(file, select(load_answers(file), ROWS))
    assert not faults
    threshold = f"with a confidence of at least {known['threshold']:.10g}"
    for holds in (before, threshold, f"({known['coverage']:.1%} of those with one)"):
        assert holds in text
        assert holds in numbers["certificate"][0]
        assert holds in "; ".join(facts)
    assert Ledger(tmp_path / "answers.certificate.jsonl").head == before


@pytest.mark.parametrize("how", HOW)
def test_a_ledger_that_does_not_hold_is_not_quoted(table, tmp_path, how):
    path = tmp_path / "answers.certificate.jsonl"
    lines = path.read_text("utf-8")
    if how == "altered":
        path.write_text(lines.replace('"risk": 0.2', '"risk": 0.1', 1), "utf-8")
    if how == "no ledger":
        path.write_text('{"a": 1}\n', "utf-8")
    if how == "other answers":
        table = table.assign(confidence=table["confidence"].to_numpy()[::-1])
    if how == "empty":
        path.write_bytes(b"")
    if how == "missing":
        path.unlink()
    head = Ledger(path).head if how in ("altered", "other answers") else "of at least"
    file = tmp_path / "answers.csv"
    table.to_csv(file, index=False)
    lines = quoted(file, load_answers(file))
    assert len(lines) == (how != "missing")
    for line in lines:
        assert "answers.certificate.jsonl is damaged, or of other answers: " in line
        assert head not in line
        assert str(tmp_path) not in line


def test_a_report_names_a_ledger_that_does_not_hold(table, tmp_path):
    (tmp_path / "answers.certificate.jsonl").write_bytes(b"")
    _, text, numbers = report_of(table, tmp_path)
    (line,) = numbers["certificate"]
    assert "answers.certificate.jsonl is damaged" in line
    assert line in text
    assert "performance" in numbers["tables"]
