"""Groups as a sample: slope on accuracy and offset at equal accuracy, where the truth is known."""

import numpy as np
import pytest
import statsmodels.formula.api as smf

from medcal_nb.measure import accuracy_trend_table, group_means
from tests.bench.trend import cell, draw, exam, means_of

HOW = {"kind": "domain", "reference": "other"}


def of_exam(**changes):
    how = {"slope": 0.5, "n_models": 1} | changes
    return exam(np.random.default_rng(1), (5, 25), **how)


def test_with_many_questions_it_is_least_squares_of_the_groups():
    answers = of_exam(n_questions=20_000)
    table = accuracy_trend_table(answers, "confidence", "subject", **HOW).iloc[0]
    means = group_means(answers, "confidence", "subject", kind="domain")
    fit = smf.ols("confidence ~ C(domain, Treatment('other')) + accuracy", means).fit()
    offset = "C(domain, Treatment('other'))[T.medical]"
    assert table["reliability"] > 0.998
    for name, term in (("accuracy_slope", "accuracy"), ("offset", offset)):
        ends = [table[name], table[f"{name}_low"], table[f"{name}_high"]]
        expected = [fit.params[term], *fit.conf_int().loc[term]]
        assert ends == pytest.approx(expected, abs=2e-3)
    assert table["accuracy_slope_as_measured"] == pytest.approx(
        fit.params["accuracy"], abs=1e-9
    )


def test_variances_are_those_of_means_by_image():
    answers = of_exam(n_models=2)
    means = group_means(answers, "confidence", "subject").set_index("subject")
    rows = answers[answers["subject"] == 3]
    of_items = rows.groupby("item_id")[["correct", "confidence"]].mean()
    expected = of_items.cov() / len(of_items)
    assert means.loc[3, "accuracy_var"] == pytest.approx(
        expected.loc["correct", "correct"]
    )
    assert means.loc[3, "covariance"] == pytest.approx(
        expected.loc["correct", "confidence"]
    )
    assert means.loc[3, ["n", "n_images"]].tolist() == [114, 57]


def test_the_bench_has_the_means_of_the_table():
    how = {"slope": 0.5, "n_models": 2, "n_questions": 30}
    answers = exam(np.random.default_rng(4), (5, 25), **how)
    fast = means_of(*draw(np.random.default_rng(4), (5, 25), **how))
    means = group_means(answers, "confidence", "subject")
    np.testing.assert_allclose(means[fast.columns], fast)


@pytest.mark.parametrize("subjects", [(5, 25), (5, 5)])
def test_noise_is_taken_off_and_intervals_hold(subjects):
    """Eighty samples: coverage of .95 lies above .87 in 99.9 of 100 runs of other seeds."""
    found = cell(80, 3, subjects, slope=1.0, n_models=5)
    assert found["mean slope as measured"] < 0.95
    assert found["mean accuracy_slope"] == pytest.approx(1, abs=0.06)
    assert found["mean offset"] == pytest.approx(0, abs=0.012)
    assert min(found["accuracy_slope covered"], found["offset covered"]) >= 0.87


def test_a_shift_of_one_kind_is_the_offset():
    answers = of_exam()
    moved = answers["confidence"] + 0.05 * answers["domain"].eq("medical")
    both = (answers, answers.assign(confidence=moved))
    a, b = (accuracy_trend_table(t, "confidence", "subject", **HOW) for t in both)
    assert (b["offset"] - a["offset"]).item() == pytest.approx(0.05)
    assert b["accuracy_slope"].item() == pytest.approx(a["accuracy_slope"].item())


def test_where_accuracies_are_mostly_noise_no_slope_is_given():
    answers = of_exam(n_questions=10)
    row = accuracy_trend_table(answers, "confidence", "subject", **HOW).iloc[0]
    assert row["reliability"] < 0.5
    assert np.isnan(row["accuracy_slope"])
    assert np.isfinite(row["accuracy_slope_as_measured"])


def test_without_kinds_there_is_no_offset_and_of_few_groups_no_slope():
    answers = of_exam()
    table = accuracy_trend_table(answers, "confidence", "subject", by=["domain"])
    by = table.set_index("domain")
    assert by["offset"].isna().all()
    assert by["n_groups"].to_dict() == {"medical": 5, "other": 25}
    assert by["n_compared"].eq(0).all()
    assert by["accuracy_slope"].isna().to_dict() == {"medical": True, "other": False}
    with pytest.raises(ValueError, match="reference"):
        accuracy_trend_table(answers, "confidence", "subject", kind="domain")
