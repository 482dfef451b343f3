"""Ranking and selective prediction: worked by hand, ties, peers."""

import math

import numpy as np
import pytest

from medcal_nb import measure

C = np.array([0.9, 0.7, 0.7, 0.2])
Y = np.array([1.0, 0.0, 1.0, 0.0])


@pytest.fixture
def sample(rng):
    c = rng.random(500).round(2)
    return c, (rng.random(500) < c).astype(float)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        # pairs (right, wrong): .9>.7, .9>.2, .7=.7, .7>.2
        (measure.auroc, 3.5 / 4),
        # top 1: 0; top 2: half of the tied pair's error; top 3: 1; top 4: 2
        (measure.aurc, (0 + 0.5 / 2 + 1 / 3 + 2 / 4) / 4),
    ],
)
def test_worked_by_hand(metric, expected):
    assert metric(C, Y) == pytest.approx(expected, abs=1e-12)


def test_aurc_is_the_mean_over_random_orders_of_ties(sample, rng):
    c, y = sample[0][:60].round(1), sample[1][:60]
    areas = []
    for _ in range(4000):
        order = np.lexsort((rng.random(c.size), -c))
        areas.append(((1 - y[order]).cumsum() / np.arange(1, c.size + 1)).mean())
    error = np.std(areas) / math.sqrt(len(areas))
    assert measure.aurc(c, y) == pytest.approx(np.mean(areas), abs=4 * error)


def test_aurc_without_ties_is_the_plain_mean(rng):
    c = rng.permutation(300) / 300
    y = (rng.random(300) < c).astype(float)
    order = np.argsort(-c)
    expected = ((1 - y[order]).cumsum() / np.arange(1, 301)).mean()
    assert measure.aurc(c, y) == pytest.approx(expected, abs=1e-12)


def test_aurc_under_ties_does_not_depend_on_row_order():
    # a stable sort of tied rows would give 0.29 for one order and 0.79 for the other
    c, y = np.full(4, 0.5), np.array([1.0, 1.0, 0.0, 0.0])
    assert measure.aurc(c, y) == measure.aurc(c, y[::-1]) == pytest.approx(0.5)


def test_ideal_area_tends_to_its_limit():
    n, r = 20_000, 0.3
    y = (np.arange(n) >= r * n).astype(float)
    c = np.arange(n) / n
    assert measure.aurc(c, y) == pytest.approx(r + (1 - r) * math.log(1 - r), abs=1e-4)


@pytest.mark.parametrize("metric", [measure.auroc, measure.aurc])
def test_an_increasing_map_changes_nothing(metric, sample):
    c, y = sample
    assert metric(c**3 / 2, y) == pytest.approx(metric(c, y), abs=1e-12)


def test_auroc_mirrors(sample):
    c, y = sample
    assert measure.auroc(1 - c, y) == pytest.approx(1 - measure.auroc(c, y))
    assert measure.auroc(1 - c, 1 - y) == pytest.approx(measure.auroc(c, y))


def test_against_scikit_learn(sample):
    from sklearn.metrics import roc_auc_score

    c, y = sample
    assert measure.auroc(c, y) == pytest.approx(roc_auc_score(y, c))
