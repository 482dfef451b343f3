"""What a number shares with accuracy over groups, where accuracy is of other answers."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.measure import split_half_table
from tests.bench.trend import exam


def costs_of(rng, n_groups=30, **how):
    """An exam whose cost falls with accuracy, answer by answer, as that of a flat map does."""
    answers = exam(rng, (0, n_groups), slope=0.0, n_models=5, **how)
    noise = rng.normal(0, 0.02, n_groups)[answers["subject"]]
    return answers.assign(cost=0.3 - 0.76 * answers["correct"] + noise)


def row_of(answers, value="cost", n_splits=20, seed=0, **how):
    rng = np.random.default_rng(seed)
    table = split_half_table(
        answers, value, "subject", n_splits=n_splits, rng=rng, **how
    )
    return table.iloc[0]


def test_two_halves_of_two_images_a_group_by_hand():
    """With two images a group a half is one of them, whichever way they are dealt."""
    rng = np.random.default_rng(1)
    answers = pd.DataFrame({"subject": np.repeat(range(8), 2), "item_id": range(16)})
    answers["correct"] = rng.random(16) < 0.5
    answers["cost"] = rng.normal(size=16)
    row = row_of(answers, n_splits=4000, least=2)
    right, cost = answers[["correct", "cost"]].to_numpy(float).T.reshape(2, 8, 2)
    every = []
    for deal in range(2**8):
        one = (deal >> np.arange(8)) & 1
        a = right[range(8), one], right[range(8), 1 - one]
        y = cost[range(8), 1 - one], cost[range(8), one]
        every.append(
            np.mean([np.corrcoef(*pair)[0, 1] for pair in zip(a, y, strict=True)])
        )
    assert row["correlation"] == pytest.approx(np.mean(every), abs=0.01)
    both = np.corrcoef(right.mean(1), cost.mean(1))[0, 1] ** 2
    assert row["r2_same_answers"] == pytest.approx(both)


def test_chance_in_an_answer_counts_where_both_means_have_it():
    """Groups that are equally hard: the coupling alone, and nothing of it in other answers."""
    rng = np.random.default_rng(2)
    answers = pd.DataFrame(
        {"subject": np.repeat(range(30), 60), "item_id": range(1800)}
    )
    answers["correct"] = rng.random(1800) < 0.3
    answers["cost"] = 0.3 - 0.76 * answers["correct"]
    row = row_of(answers, n_splits=100)
    assert row["r2_same_answers"] == pytest.approx(1)
    assert row["r2"] < 0.1
    assert row["r2_low"] == 0
    assert np.isnan(row["r2_without_noise"]) or row["r2_without_noise"] > row["r2"]


def test_the_interval_holds_the_correlation_of_many_groups():
    """Eighty exams: coverage of .95 lies above .87 in 99.9 of 100 runs of other seeds."""
    many = row_of(costs_of(np.random.default_rng(3), 4000))
    true = many["correlation"]
    assert -0.9 < true < -0.6
    assert many["r2_same_answers"] == pytest.approx(many["r2_without_noise"], abs=0.03)
    exams = [row_of(costs_of(np.random.default_rng([4, k])), seed=k) for k in range(80)]
    table = pd.DataFrame(exams)
    held = (table["correlation_low"] <= true) & (true <= table["correlation_high"])
    assert held.mean() >= 0.87
    # subjects that nothing binds to their accuracy
    free = [costs_of(np.random.default_rng([5, k])) for k in range(80)]
    flat = [row_of(one.assign(cost=one.groupby("subject")["cost"].transform("size")
            + np.random.default_rng(k).normal(size=30)[one["subject"]]), seed=k)
            for k, one in enumerate(free)]  # fmt: skip
    holds_zero = [
        row["correlation_low"] <= 0 <= row["correlation_high"] for row in flat
    ]
    assert np.mean(holds_zero) >= 0.87


def test_few_groups_have_none_and_columns_are_named():
    answers = costs_of(np.random.default_rng(6))
    few = row_of(answers[answers["subject"] < 5])
    assert np.isnan(few["r2"])
    assert few[["n_groups", "n"]].tolist() == [5, 5 * 57 * 5]
    by_kind = answers.assign(form=np.where(answers["item_id"] % 2, "a", "b"))
    table = split_half_table(
        by_kind,
        "cost",
        "subject",
        by=["form"],
        n_splits=3,
        rng=np.random.default_rng(0),
    )
    assert table["form"].tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="lost"):
        row_of(answers, "lost")


def test_a_weaker_model_with_more_of_a_groups_answers_is_moved_first():
    rng = np.random.default_rng(7)
    parts = []
    for model, shift in (("weak", -0.3), ("strong", 0.3)):
        for g in range(12):
            n = 40 + 20 * (g if model == "strong" else 11 - g)
            part = pd.DataFrame({"correct": rng.random(n) < 0.5 + shift})
            parts.append(part.assign(cost=-shift, model=model, subject=g))
    answers = pd.concat(parts, ignore_index=True)
    answers["item_id"] = answers.index
    assert row_of(answers)["r2"] > 0.5
    alone = row_of(answers.assign(cost=answers["cost"] + rng.normal(size=len(answers))),
                   within="model")  # fmt: skip
    assert alone["r2_low"] == 0
