"""Numbers that once stayed unnoticed when they were changed by hand (mutants that survived)."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import stdtrit
from statsmodels.stats.multitest import multipletests

from medcal_nb import correct, measure, plots
from medcal_nb.answers import load_answers
from medcal_nb.errors import MedcalError
from medcal_nb.wording import show


def test_a_percent_sign_that_ends_after_many_rows_is_refused(tmp_path):
    n = 70_000
    signed = np.where(np.arange(n) < n - 10, "80%", "0.8")
    table = pd.DataFrame({"item_id": range(n), "confidence": signed})
    table.assign(model="m", correct=1).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(MedcalError, match=r"row 69991,.*percent sign"):
        load_answers(tmp_path / "a.csv")


def test_a_band_of_accuracy_stays_between_0_and_1():
    confidence = np.repeat([0.5, 0.7, 0.9], 4)
    grades = [0, 0, 0, 1, 0, 1, 0, 1, 1, 1, 1, 0]
    groups = np.arange(12) // 2
    band = measure.calibration_curve_table(confidence, grades, groups=groups)
    assert band["accuracy_low"].min() == 0
    assert band["accuracy_high"].max() == 1


def test_one_pair_is_ranked():
    assert measure.auroc([0.9, 0.1], [1, 0]) == 1
    assert measure.auroc([0.9, 0.1], [0, 1]) == 0


def test_two_groups_are_worth_less_than_their_items():
    grades, groups = [1, 1, 1, 0, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1, 1]
    # k - m p is 1 and -1: deff = 2 · 7 · 2 / (8² · ¼)
    worth = 8 / 1.75 * (stdtrit(7, 0.975) / stdtrit(1, 0.975)) ** 2
    low, high = measure.wilson_interval(worth / 2, worth)
    interval = measure.clustered_interval(grades, groups)
    assert interval == pytest.approx((float(low), float(high)))


def holm(p):
    return multipletests(p, method="holm")[1]


def test_p_values_of_a_table_are_holm_s():
    answers = measure.example_answers(300)
    table = measure.auroc_table(answers, by=["dataset", "strategy"])
    assert len(table) > 2
    np.testing.assert_allclose(table["p_holm"], holm(table["p"]))

    rng = np.random.default_rng(0)
    combined = correct.ensemble_answers(answers, rng=rng)
    changes = correct.ensemble_change_table(combined, ci=measure.Bootstrap(n=50))
    assert len(changes) > 2
    for _, rows in changes.groupby("rival"):
        np.testing.assert_allclose(rows["p_holm"], holm(rows["p"]))


def test_a_table_shows_two_digits_of_a_small_number():
    row = {"brier": 0.0523, "brier_low": 0.049, "brier_high": 0.0561}
    assert show(pd.DataFrame([row])).to_numpy().tolist() == [["0.052 [0.049, 0.056]"]]


def test_rows_of_a_forest_bear_the_names_of_what_they_show():
    table = pd.DataFrame({"model": ["deepseek-vl2", "mine"], "accuracy": [0.5, 0.7]})
    ax = plots.forest(table, "accuracy", label="model")
    assert [text.get_text() for text in ax.get_yticklabels()] == [
        "DeepSeek-VL2",
        "mine",
    ]
