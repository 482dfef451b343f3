"""A made model beside the five, whose difference is known."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb import measure
from medcal_nb.errors import NotEnough

OTHERS = ["InternVL3_5-14B-HF", "deepseek-vl2"]


@pytest.fixture(scope="module")
def answers(five):
    """Two of the five, and mine: a third of the questions, 10 points more of them right."""
    chosen = five["model"].isin(OTHERS) & five["strategy"].eq("self_probing")
    five = five[chosen & five["dataset"].isin(["GMAI-MMBench", "POPE"])]
    mine = five[five["model"] == OTHERS[0]].assign(model="mine")
    mine = mine.sample(frac=0.34, random_state=0)
    wrong = mine.index[mine["correct"].eq(False)]
    mended = np.random.default_rng(0).permutation(wrong)[: len(mine) // 10]
    mine.loc[mended, "correct"] = True
    # only my copy of the benchmark says which image a question is of
    medical = mine["dataset"] == "GMAI-MMBench"
    mine.loc[medical, "image_id"] = "image " + mine.loc[medical, "item_id"]
    return pd.concat([five, mine], ignore_index=True)


def test_the_difference_is_that_of_the_questions_that_both_answered(answers):
    table = measure.beside_table(answers, "mine")
    assert len(table) == len(OTHERS) * 2 * 3
    rows = table.set_index(["b", "metric", "dataset"])
    mine = answers[answers["model"] == "mine"].dropna(subset=["confidence", "correct"])
    for other in OTHERS:
        theirs = answers[answers["model"] == other].dropna(
            subset=["confidence", "correct"]
        )
        both = mine.merge(theirs, on=["dataset", "item_id"], suffixes=("", "_b"))
        for dataset, part in both.groupby("dataset"):
            row = rows.loc[(other, "accuracy", dataset)]
            assert row["n_a"] == row["n_b"] == len(part)
            expected = part["correct"].mean() - part["correct_b"].mean()
            assert row["difference"] == pytest.approx(expected, abs=1e-12)
    first = rows.loc[(OTHERS[0], "accuracy", "GMAI-MMBench")]
    # more of these than of POPE's were wrong, and so mended
    assert first["difference"] == pytest.approx(0.148, abs=0.005)
    assert first["difference_low"] < 0.148 < first["difference_high"]
    # paired: narrower than of two samples of these sizes
    apart = 2 * 1.96 * np.sqrt(2 * 0.25 / first["n_a"])
    assert first["difference_high"] - first["difference_low"] < 0.7 * apart
    assert not table["differs"].isna().any()


def test_who_answered_nothing_in_common_is_told(answers):
    with pytest.raises(ValueError, match="'nobody'"):
        measure.beside_table(answers, "nobody")
    alone = answers[answers["model"].eq("mine")].assign(item_id="x", dataset="other")
    apart = pd.concat([answers[answers["model"] != "mine"], alone])
    with pytest.raises(NotEnough, match="no question was answered by 'mine'"):
        measure.beside_table(apart, "mine")
