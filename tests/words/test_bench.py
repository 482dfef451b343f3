"""The bench is what its page says: its parts, its labels."""

import pandas as pd

from medcal_nb.words import bench_sentence
from tests.words import bench
from tests.words.bench import PAGE, PARTS, labelled

BENCH = pd.concat([labelled(part).assign(part=part) for part in PARTS])


def test_each_kind_of_the_part_kept_apart_has_replies_that_nobody_could_decide():
    kept = BENCH[BENCH["part"] == "report"]
    assert len(kept) >= 350
    assert (kept["decidable"] == "0").mean() > 0.15


def test_no_case_stands_twice():
    assert BENCH.index.is_unique
    assert not BENCH.duplicated(["question", "options", "gold", "reply"]).any()


def test_what_is_decided_has_an_answer():
    is_decidable = BENCH["decidable"] == "1"
    lacks = BENCH[is_decidable & (BENCH["answer"] == "")]
    # two answers without a choice, both of which exclude the gold answer
    assert (lacks["verdict"] == "wrong").all()
    assert len(lacks) <= 1
    assert (is_decidable == BENCH["verdict"].isin(["right", "wrong"])).all()


def test_confidences_are_shares():
    stated = BENCH.loc[BENCH["confidence"] != "", "confidence"].astype(float)
    assert stated.between(0, 1).all()


def test_the_page_has_what_the_command_gives_of_the_part_kept_apart():
    table = bench.counts(bench.graded(labelled("report")))
    page = PAGE.read_text(encoding="utf-8")
    assert bench.as_page(table, page, "report") == page
    assert bench.as_page({}, page, "report") != page


def test_reports_and_the_page_say_what_was_counted_once():
    table = bench.frozen()
    page = PAGE.read_text(encoding="utf-8")
    assert bench.as_page(table, page, "other_hand") == page
    decided, n = table["decided"]
    erred = table["wrong verdicts"][0] + table["decided though not decidable"][0]
    assert (
        f"decides {1000 * decided / n:.0f} and errs in {1000 * erred / n:.0f}"
        in bench_sentence()
    )


def test_the_grader_of_today_errs_no_more_than_that_which_was_counted():
    now = bench.counts(bench.graded(labelled("other_hand")))
    for name, (count, n) in bench.frozen().items():
        assert now[name][1] == n
        is_error = name.startswith(("wrong", "decided though", "confidences"))
        assert now[name][0] <= count or not is_error
    lost = bench.frozen()["decided where decidable"][0]
    assert now["decided where decidable"][0] >= lost


def test_each_kind_of_error_is_counted():
    nothing = float("nan")
    rows = pd.DataFrame(
        columns=["verdict", "confidence", "confidence_word", "correct", "read"],
        data=[
            ("right", "0.8", "", True, 0.8),
            ("right", "0.8", "", False, 0.7),
            ("wrong", "0.8", "", pd.NA, nothing),
            ("undecided", "", "", True, 0.5),
            ("undecided", "", "high", pd.NA, 0.9),
        ],
    )
    rows["decidable"] = rows["verdict"].map(
        {"right": "1", "wrong": "1", "undecided": "0"}
    )
    assert bench.counts(bench.judged(rows, rows["correct"], rows["read"])) == {
        "decided": (3, 5),
        "decided where decidable": (2, 3),
        "wrong verdicts": (1, 3),
        "undecided though decidable": (1, 3),
        "decided though not decidable": (1, 2),
        "confidences read wrongly": (1, 3),
        "confidences missed": (1, 3),
        "confidences invented": (1, 1),
        "words of confidence read": (1, 1),
    }
