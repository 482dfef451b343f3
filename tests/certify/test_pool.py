"""By what answers are known again."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.certify.pool import SAME, marks_of, pool_of, shared
from medcal_nb.errors import MedcalError


def answers(n=300, seed=0, **columns):
    rng = np.random.default_rng(seed)
    rows = {
        "dataset": "a",
        "model": "m",
        "strategy": "p_true",
        "item_id": [f"q{i}" for i in range(n)],
        "question": [f"Is there a mass in {i}?" for i in range(n)],
        "answer": rng.choice(["yes", "no"], n),
        "confidence": rng.random(n),
        "correct": pd.Series(np.nan, range(n)),
    }
    return pd.DataFrame(rows | columns)


def test_a_pool_is_the_same_in_any_order_and_under_any_name():
    one = pool_of(answers())
    other = pool_of(answers(dataset="b").sample(frac=1, random_state=0))
    assert one.hash == other.hash
    assert one.seed == other.seed


@pytest.mark.parametrize(
    "column",
    ["question", "answer", "gold", "confidence", "model", "strategy", "image_id"],
)
def test_whatever_counts_is_in_the_hash(column):
    table = answers()
    before = pool_of(table)
    value = 0.123 if column == "confidence" else "other"
    table[column] = table.get(column, pd.Series("one", table.index)).mask(
        table.index == 7, value
    )
    assert pool_of(table).hash != before.hash


@pytest.mark.parametrize("n", [40, 3000])
def test_a_part_of_the_same_answers_is_known(n):
    table = answers(n)
    whole = marks_of(pool_of(table))
    part = table.sample(n // 2, random_state=1).assign(model="other", confidence=0.5)
    assert shared(whole, marks_of(pool_of(part))) == 1
    edited = table.assign(answer=table["answer"].where(table.index % 10 > 0, "both"))
    assert SAME < shared(whole, marks_of(pool_of(edited))) < 1
    assert shared(whole, marks_of(pool_of(answers(n, seed=5)))) < SAME


def test_rows_that_are_only_numbered_are_known_by_their_confidence_too():
    first, second = (
        answers(seed=seed, question="Fracture?", answer="no") for seed in (0, 1)
    )
    assert shared(marks_of(pool_of(first)), marks_of(pool_of(second))) == 0
    assert shared(marks_of(pool_of(first)), marks_of(pool_of(first))) == 1


def test_methods_share_the_cases_of_equal_answers():
    table = answers(20)
    both = pd.concat([table, table.assign(strategy="verbalized", confidence=0.5)])
    assert len(set(pool_of(both).cases)) == 20
    assert len(set(pool_of(both.assign(answer=None)).cases)) == 40


def test_without_a_confidence_there_is_no_pool():
    with pytest.raises(MedcalError, match="no answer has a confidence"):
        pool_of(answers(confidence=np.nan))
