"""Graded answers: hand-worked aggregation, and what stays missing."""

import math
import tempfile

import numpy as np
import pandas as pd
import pytest

from medcal_nb.answer_key import answer_key
from medcal_nb.answers import AnswerLog
from medcal_nb.ask.graded import GRADED_COLUMNS, to_graded
from medcal_nb.errors import MedcalError


def answers(*rows, strategy="self_consistency", **common):
    """Answers of one item: (answer, confidence, correct[, option_probabilities]) each."""
    base = {"model": "m", "dataset": "d", "item_id": "q", "strategy": strategy}
    table = []
    for sample, row in enumerate(rows):
        answer, confidence, correct, *shares = row
        table.append(
            {
                **base,
                "sample": sample,
                "answer": answer,
                "confidence": confidence,
                "correct": correct,
                "option_probabilities": shares[0] if shares else None,
                "prompt_tokens": 10,
                "new_tokens": 2,
                "seconds": 0.5,
                "gold": "x",
                **common,
            }
        )
    with (
        tempfile.TemporaryDirectory() as folder,
        AnswerLog(f"{folder}/a.sqlite") as log,
    ):
        log.append(table)
        return log.read()


def graded(frame):
    table = to_graded(frame)
    assert len(table) == 1
    assert list(table.columns[: len(GRADED_COLUMNS)]) == GRADED_COLUMNS
    return table.iloc[0]


def test_one_answer_is_graded_as_it_stands():
    row = graded(answers(("yes", 0.8, True), strategy="verbalized", site="s1"))
    assert (row.answer, row.confidence, row.correct, row.n_answers) == (
        "yes",
        0.8,
        True,
        1,
    )
    assert row.site == "s1"


def test_agreement_takes_the_largest_group_and_its_share():
    row = graded(
        answers(
            ("The left lung.", None, False),
            ("heart", None, True),
            ("heart", None, True),
            ("left lung", None, False),
            ("Heart", None, True),
        )
    )
    assert (row.answer, row.confidence, row.correct) == ("heart", 0.6, True)
    assert (row.n_answers, row.prompt_tokens, row.new_tokens, row.seconds) == (
        5,
        50,
        10,
        2.5,
    )


def test_agreement_breaks_ties_by_order_and_counts_unread_replies():
    row = graded(answers((None, None, None), ("b", None, True), ("a", None, False)))
    assert (row.answer, row.correct) == ("b", True)
    assert row.confidence == pytest.approx(1 / 3)


def test_semantic_entropy_is_one_over_the_effective_number_of_meanings():
    def confidence(*given):
        return graded(
            answers(*((a, None, True) for a in given), strategy="semantic_entropy")
        ).confidence

    assert confidence("a", "a", "a", "a") == pytest.approx(1)
    assert confidence("a", "b", "c", "d") == pytest.approx(1 / 4)
    assert confidence("x y", "the x y.", "z", "z") == pytest.approx(1 / 2)
    by_hand = math.exp(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert confidence("a", "a", "b", "a") == pytest.approx(by_hand)
    assert confidence("a", None, "b", "a", "a") == pytest.approx(by_hand)


def test_challenge_keeps_the_first_answer():
    row = graded(
        answers(
            ("yes", None, True),
            ("no", None, False),
            ("no", None, False),
            ("yes", None, True),
            strategy="challenge",
        )
    )
    assert (row.answer, row.confidence, row.correct) == ("yes", 0.5, True)
    row = graded(answers((None, None, None), ("no", None, False), strategy="challenge"))
    assert pd.isna(row.answer)
    assert math.isnan(row.confidence)
    assert pd.isna(row.correct)


def test_blank_image_divides_by_the_blank_image():
    seen, blank = {"yes": 0.9, "no": 0.1}, {"yes": 0.6, "no": 0.4}
    row = graded(
        answers(
            ("yes", 0.9, True, seen), ("yes", 0.6, True, blank), strategy="blank_image"
        )
    )
    expected = (0.9 / 0.6) / (0.9 / 0.6 + 0.1 / 0.4)
    assert (row.answer, row.correct) == ("yes", True)
    assert row.confidence == pytest.approx(expected)
    assert row.option_probabilities == pytest.approx(
        {"yes": expected, "no": 1 - expected}
    )
    # whether a server lists an option of probability 1e-7 or leaves it out is no evidence
    for least in (0.0, 1e-7):
        seen, dark = {"yes": 0.6, "no": 0.4}, {"yes": 1 - least, "no": least}
        row = graded(
            answers(
                ("yes", 0.6, True, seen),
                ("yes", 1.0, True, dark),
                strategy="blank_image",
            )
        )
        assert row.confidence == pytest.approx(0.6 / (0.6 + 0.4 / 1e-3), abs=1e-6)
    seen, blank = {"yes": 0.9, "no": 0.1}, {"yes": 0.6, "no": 0.4}
    row = graded(
        answers(
            ("yes", 0.6, True, blank), ("yes", 0.6, True, blank), strategy="blank_image"
        )
    )
    assert row.confidence == pytest.approx(0.5)  # a model that does not look


def test_nothing_read_stays_missing():
    row = graded(answers((None, None, None), (None, None, None)))
    assert pd.isna(row.answer)
    assert math.isnan(row.confidence)
    assert pd.isna(row.correct)
    assert row.n_answers == 2


def test_order_of_rows_does_not_matter(rng):
    parts = [
        answers(
            *((rng.choice(["a", "b", "c"]), None, True) for _ in range(5)),
            item_id=f"q{i}",
        )
        for i in range(20)
    ]
    whole = pd.concat(parts, ignore_index=True)
    key = ["item_id"]
    expected = to_graded(whole).sort_values(key).reset_index(drop=True)
    mixed = to_graded(whole.sample(frac=1, random_state=3)).sort_values(key)
    pd.testing.assert_frame_equal(expected, mixed.reset_index(drop=True))


def test_strategies_stay_apart_and_in_order_of_appearance():
    frame = pd.concat(
        [
            answers(("yes", 0.8, True), strategy="verbalized"),
            answers(("yes", None, True), ("no", None, False)),
            answers(("no", 0.7, False), strategy="top_k"),
        ],
        ignore_index=True,
    )
    table = to_graded(frame)
    assert table.strategy.tolist() == ["verbalized", "self_consistency", "top_k"]
    assert table.n_answers.tolist() == [1, 2, 1]


def test_unknown_strategies():
    row = graded(answers(("a", None, True), ("a", None, True), strategy="theirs"))
    assert row.confidence == 1.0
    with pytest.raises(MedcalError, match=r"'q' has 2.*'theirs'"):
        to_graded(answers(("a", 0.5, True), ("a", 0.6, True), strategy="theirs"))


def test_meaning():
    assert answer_key("The left lung.") == answer_key("LEFT lungs")
    assert answer_key("two nodules") == answer_key("2 nodule")
    larger = "the left lung is larger than the right"
    assert answer_key(larger) != answer_key("the right lung is larger than the left")
    assert answer_key("left lung") != answer_key("left")
    assert answer_key("a") == "a"
    assert answer_key("1.5") != answer_key("15")


def test_option_probabilities_are_carried_and_old_names_read():
    shares = {"yes": 0.7, "no": 0.3}
    row = graded(answers(("yes", 0.7, True, shares), strategy="option_probability"))
    assert row.option_probabilities == shares
    assert (
        graded(answers(("yes", None, True), ("yes", None, True))).option_probabilities
        is None
    )
    old = answers(
        ("yes", 0.7, True, shares),
        ("yes", 0.7, True, shares),
        strategy="image_ablation",
    )
    assert graded(old).strategy == "blank_image"
    blind = answers(
        ("a", None, True), ("b", None, True), strategy="self_consistency_blank"
    )
    assert graded(blind).confidence == 0.5


def test_single_answers_stay_one_row_each():
    n = 2_000
    frame = pd.DataFrame(
        {
            "model": "m",
            "dataset": "d",
            "item_id": np.arange(n).astype(str),
            "strategy": "verbalized",
            "answer": "a",
            "confidence": 0.5,
            "sample": 0,
        }
    )
    assert len(to_graded(frame)) == n
