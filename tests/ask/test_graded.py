"""Graded answers: hand-worked aggregation, and what stays missing."""

import math

import pandas as pd
import pytest

from medcal_nb.answers import AnswerLog
from medcal_nb.answers.samples import one_answer_an_item
from medcal_nb.errors import MedcalError


@pytest.fixture
def graded(tmp_path):
    """The one graded answer that a log gives of rows (answer, confidence, correct, shares)."""

    def make(*rows, strategy="self_consistency"):
        names = ("answer", "confidence", "correct", "option_probabilities")
        common = {"model": "m", "dataset": "d", "item_id": "q", "strategy": strategy}
        common |= {"prompt_tokens": 10, "new_tokens": 2, "seconds": 0.5, "gold": "x"}
        table = [
            common | {"sample": sample} | dict(zip(names, row, strict=False))
            for sample, row in enumerate(rows)
        ]
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.sqlite"
        with AnswerLog(path) as log:
            log.append(table)
            (row,) = one_answer_an_item(log.read(), "log").to_dict("records")
        return row

    return make


def said(*answers):
    return [(answer, None, True) for answer in answers]


def test_agreement_takes_the_largest_group_and_its_share(graded):
    replies = ("The left lung.", "heart", "heart", "left lung", "Heart")
    rights = (False, True, True, False, True)
    rows = [(reply, None, right) for reply, right in zip(replies, rights, strict=True)]
    row = graded(*rows)
    assert (row["answer"], row["confidence"], row["correct"]) == ("heart", 0.6, True)
    sums = [
        row[name] for name in ("n_answers", "prompt_tokens", "new_tokens", "seconds")
    ]
    assert sums == [5, 50, 10, 2.5]
    # ties by order; unread replies count
    row = graded((None, None, None), ("b", None, True), ("a", None, False))
    assert (row["answer"], row["correct"]) == ("b", True)
    assert row["confidence"] == pytest.approx(1 / 3)
    blind = graded(*said("a", "b"), strategy="self_consistency_blank")
    assert blind["confidence"] == 0.5


def test_semantic_entropy_is_one_over_the_effective_number_of_meanings(graded):
    def confidence(*answers):
        return graded(*said(*answers), strategy="semantic_entropy")["confidence"]

    assert confidence("a", "a", "a", "a") == pytest.approx(1)
    assert confidence("a", "b", "c", "d") == pytest.approx(1 / 4)
    assert confidence("x y", "the x y.", "z", "z") == pytest.approx(1 / 2)
    by_hand = math.exp(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert confidence("a", None, "b", "a", "a") == pytest.approx(by_hand)


def test_challenge_keeps_the_first_answer(graded):
    row = graded(*said("yes", "no", "no", "yes"), strategy="challenge")
    assert (row["answer"], row["confidence"], row["correct"]) == ("yes", 0.5, True)
    row = graded((None, None, None), ("no", None, False), strategy="challenge")
    assert pd.isna([row["answer"], row["confidence"], row["correct"]]).all()


def test_blank_image_divides_by_the_blank_image(graded):
    def confidence(seen, blank):
        rows = [("yes", one["yes"], True, one) for one in (seen, blank)]
        return graded(*rows, strategy="blank_image")["confidence"]

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
    assert graded(*said("a", "a"), strategy="theirs")["confidence"] == 1.0
    with pytest.raises(MedcalError, match=r"'q' has 2.*'theirs'"):
        graded(("a", 0.5, True), ("a", 0.6, True), strategy="theirs")
