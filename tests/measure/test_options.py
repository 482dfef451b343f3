"""Metrics of all option probabilities."""

import math

import numpy as np
import pytest

from medcal_nb import measure

P = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.4, 0.4, 0.2], [0.05, 0.9, 0.05]])
K = np.array([0, 1, 1, 1])


def test_worked_by_hand():
    brier = (
        (0.09 + 0.04 + 0.01)
        + (0.01 + 0.49 + 0.36)
        + (0.16 + 0.36 + 0.04)
        + (0.0025 + 0.01 + 0.0025)
    ) / 4
    assert measure.multiclass_brier(P, K) == pytest.approx(brier)
    assert measure.multiclass_log_loss(P, K) == pytest.approx(-math.log(0.7 * 0.3 * 0.4 * 0.9) / 4)
    # two bins: option a has .05, .1, .4 (none right) and .7 (right); b .2, .3, .4 (two right)
    # and .9 (right); c .05, .1, .2 (none right) and .6 (wrong)
    a = (0.55 + 0.3) / 4
    b = (abs(2 - 0.9) + 0.1) / 4
    c = (0.35 + 0.6) / 4
    assert measure.classwise_ece(P, K, n_bins=2) == pytest.approx((a + b + c) / 3)


def test_two_options_are_twice_the_binary_score(rng):
    p = rng.random(200)
    label = (rng.random(200) < p).astype(int)
    both = np.stack([1 - p, p], 1)
    assert measure.multiclass_brier(both, label) == pytest.approx(2 * measure.brier_score(p, label))
    assert measure.multiclass_log_loss(both, label) == pytest.approx(measure.log_loss(p, label))


def test_against_scikit_learn(rng):
    from sklearn.metrics import log_loss

    p = rng.dirichlet(np.ones(4), 300)
    label = rng.integers(0, 4, 300)
    assert measure.multiclass_log_loss(p, label) == pytest.approx(
        log_loss(label, p, labels=range(4))
    )


def test_weights_are_repetitions(rng):
    p, label, times = rng.dirichlet(np.ones(3), 50), rng.integers(0, 3, 50), rng.integers(0, 3, 50)
    rows = np.repeat(np.arange(50), times)
    for metric in (measure.classwise_ece, measure.multiclass_brier, measure.multiclass_log_loss):
        assert metric(p, label, weights=times) == pytest.approx(metric(p[rows], label[rows]))


def test_top_label_takes_the_first_of_equals():
    confidence, correct = measure.top_label(P, K)
    assert confidence.tolist() == [0.7, 0.6, 0.4, 0.9]
    assert correct.tolist() == [1, 0, 0, 1]


def test_dicts_of_the_answers_table():
    p, label = measure.option_arrays(
        [{"yes": 0.6, "no": 0.2}, {"no": 0.1, "maybe": 0.9}], ["no", "no"]
    )
    assert p.tolist() == [[0.6 / 0.8, 0.2 / 0.8, 0], [0, 0.1, 0.9]]
    assert label.tolist() == [1, 1]
    with pytest.raises(ValueError, match="gold at position 0"):
        measure.option_arrays([{"yes": 1.0}], ["no"])


@pytest.mark.parametrize(
    ("p", "label", "message"),
    [
        ([[0.5, 0.6]], [0], "1 of 1 rows do not sum to 1, first at position 0"),
        ([[0.5, 0.5], [1.2, -0.2]], [0, 0], "1 of 2 rows outside"),
        ([[0.5, np.nan]], [0], "1 of 1 rows NaN"),
        ([[0.5, 0.5]], [2], "label: 1 of 1 are none of the 2 options, first at position 0"),
        ([[0.5, 0.5]], [0.5], "label must hold whole numbers"),
        ([[0.5, 0.5]], [0, 1], "label has 2 values, probabilities has 1"),
        ([0.5, 0.5], [0], "probabilities must be"),
    ],
)
def test_refuses(p, label, message):
    with pytest.raises(ValueError, match=message):
        measure.multiclass_brier(p, label)
