"""Graded answers: hand-worked aggregation, and what stays missing."""

import math

import pandas as pd
import pytest

from medcal_nb.answers import AnswerLog, load_answers
from medcal_nb.errors import MedcalError

COLUMNS = ("answer", "confidence", "correct", "option_probabilities")
COMMON = {"model": "m", "dataset": "d", "item_id": "q", "gold": "x"}
COMMON |= {"prompt_tokens": 10, "new_tokens": 2, "seconds": 0.5}


@pytest.fixture
def graded(tmp_path):
    """The one graded answer that a log gives of rows of `COLUMNS`."""

    def make(strategy, *rows):
        table = [dict(zip(COLUMNS, row, strict=False)) for row in rows]
        for sample, row in enumerate(table):
            row.update(COMMON, strategy=strategy, sample=sample)
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.sqlite"
        with AnswerLog(path) as log:
            log.append(table)
        return load_answers(path).to_dict("records")[0]

    return make


def unsure(*answers):
    return [(answer, None, True) for answer in answers]


def test_agreement_takes_the_largest_group_and_its_share(graded):
    answers = ("The left lung.", "heart", "heart", "left lung", "Heart")
    rows = [(answer, None, "eart" in answer) for answer in answers]
    row = graded("self_consistency", *rows)
    assert [row[name] for name in COLUMNS[:3]] == ["heart", 0.6, True]
    sums = [row[n] for n in ("n_answers", "prompt_tokens", "new_tokens", "seconds")]
    assert sums == [5, 50, 10, 2.5]
    # ties by order; unread replies count
    rows = (None, None, None), ("b", None, True), ("a", None, False)
    row = graded("self_consistency", *rows)
    assert [row[name] for name in COLUMNS[:3]] == ["b", pytest.approx(1 / 3), True]
    assert graded("self_consistency_blank", *unsure("a", "b"))["confidence"] == 0.5
    assert graded("paraphrase", *unsure("a", "b", "b"))["answer"] == "b"
    nothing = graded("self_consistency", (None, None, None), (None, None, None))
    assert pd.isna([nothing[name] for name in COLUMNS[:3]]).all()


def test_semantic_entropy_is_one_over_the_effective_number_of_meanings(graded):
    by_hand = math.exp(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    for answers, expected in (
        (["a", "a", "a", "a"], 1),
        (["a", "b", "c", "d"], 1 / 4),
        (["x y", "the x y.", "z", "z"], 1 / 2),
        (["a", None, "b", "a", "a"], by_hand),
    ):
        row = graded("semantic_entropy", *unsure(*answers))
        assert row["confidence"] == pytest.approx(expected)


def test_challenge_keeps_the_first_answer(graded):
    row = graded("challenge", *unsure("yes", "no", "no", "yes"))
    assert [row[name] for name in COLUMNS[:3]] == ["yes", 0.5, True]
    row = graded("challenge", (None, None, None), ("no", None, False))
    assert pd.isna([row[name] for name in COLUMNS[:3]]).all()


def test_blank_image_divides_by_the_blank_image(graded):
    def confidence(seen, blank):
        rows = [("yes", one["yes"], True, one) for one in (seen, blank)]
        row = graded("blank_image", *rows)
        assert row["option_probabilities"]["yes"] == row["confidence"]
        return row["confidence"]

    seen, blank = {"yes": 0.9, "no": 0.1}, {"yes": 0.6, "no": 0.4}
    expected = (0.9 / 0.6) / (0.9 / 0.6 + 0.1 / 0.4)
    assert confidence(seen, blank) == pytest.approx(expected)
    assert confidence(blank, blank) == pytest.approx(0.5)  # a model that does not look
    # whether a server lists an option of probability 1e-7 or leaves it out is no evidence
    for least in (0.0, 1e-7):
        dark = {"yes": 1 - least, "no": least}
        expected = 0.6 / (0.6 + 0.4 / 1e-3)
        assert confidence(blank, dark) == pytest.approx(expected, abs=1e-6)


def test_what_no_rule_sums_up_is_refused(graded):
    assert graded("theirs", *unsure("a", "a"))["confidence"] == 1.0
    with pytest.raises(MedcalError, match=r"'q' has several.*'theirs'"):
        graded("theirs", ("a", 0.5, True), ("a", 0.6, True))
