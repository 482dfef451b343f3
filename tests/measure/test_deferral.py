"""Deferral: thresholds with a guarantee, net benefit, costs."""

import math

import numpy as np
import pandas as pd
import pytest

from medcal_nb import measure
from medcal_nb.measure.choice import _decided
from medcal_nb.measure.deferral import _betting_p

C = np.array([0.9, 0.7, 0.7, 0.2])
Y = np.array([1.0, 0.0, 1.0, 0.0])


@pytest.fixture(scope="module")
def pool():
    rng = np.random.default_rng(8)
    c = rng.beta(4, 1.5, 30_000)
    return c, (rng.random(c.size) < c**1.3).astype(float)


def test_certified_threshold_passes_its_own_test(pool):
    from scipy.stats import binom

    c, y = pool[0][:2000], pool[1][:2000]
    found = measure.selective_threshold(c, y, target=0.2, delta=0.05)
    keep = c >= found.threshold
    assert found.coverage == pytest.approx(keep.mean())
    # four starts share delta
    assert binom.cdf((1 - y[keep]).sum(), keep.sum(), 0.2) <= 0.05 / 4
    assert (1 - y[keep]).mean() < 0.2


def test_a_stricter_target_or_delta_keeps_less(pool):
    c, y = pool[0][:3000], pool[1][:3000]
    coverage = [
        measure.selective_threshold(c, y, target=t, delta=d).coverage
        for t, d in ((0.3, 0.1), (0.2, 0.1), (0.2, 0.001))
    ]
    assert coverage[0] > coverage[1] > coverage[2] > 0


def test_nothing_is_certified_without_evidence():
    assert measure.selective_threshold([0.9] * 5, [1] * 5, target=0.1) == (math.inf, 0)


@pytest.mark.parametrize("sizes", [(150, 600)])
def test_the_guarantee_holds_over_repetitions(pool, sizes):
    table = measure.guarantee_table(
        *pool,
        target=0.2,
        delta=0.1,
        sizes=sizes,
        n_repeats=1000,
        rng=np.random.default_rng(2),
    )
    # Monte-Carlo error of 10 % over 1,000 repeats is 0.95 %
    assert (table["violated"] <= 0.1 + 3 * 0.0095).all()
    assert table["certified"].iloc[1] > 0.5
    assert table["mean_coverage"].iloc[1] > table["mean_coverage"].iloc[0]


def test_the_guarantee_holds_where_images_share_their_errors():
    """Three questions an image, right or wrong together: binomial tests would be misled."""
    rng = np.random.default_rng(3)
    images = 8000
    c = np.repeat(rng.beta(4, 1.5, images), 3)
    # whatever the threshold, the risk is a hair above the target of 0.2
    y = np.repeat(rng.random(images) < 0.799, 3).astype(float)
    codes = np.repeat(np.arange(images), 3)
    grouped = measure.guarantee_table(
        c, y, target=0.2, delta=0.1, sizes=(200,), groups=codes, n_repeats=300, rng=rng
    )
    naive = []
    for _ in range(300):
        chosen = np.isin(codes, rng.choice(images, 200, replace=False))
        found = measure.selective_threshold(c[chosen], y[chosen], target=0.2, delta=0.1)
        naive.append(np.isfinite(found.threshold))
    # on a pool at the target any certificate is worth nothing; 3 MC errors of 10 % over 300
    assert grouped["certified"].iloc[0] <= 0.1 + 3 * 0.018
    assert np.mean(naive) > 0.15


def test_net_benefit_by_hand():
    # error probabilities .1 .3 .3 .8; at ½ only the last is checked, and is wrong
    # at .25 three are checked: two wrong, one right at odds 1/3
    table = measure.net_benefit_table(
        np.tile(C, 5),
        np.tile(Y, 5),
        thresholds=[0.5, 0.25],
        rng=np.random.default_rng(0),
    )
    assert table["net_benefit"].tolist() == pytest.approx([0.25, (2 - 1 / 3) / 4])


def test_net_benefit_table_has_the_plain_policies(pool, rng):
    c, y = pool[0][:800], pool[1][:800]
    table = measure.net_benefit_table(
        c, y, thresholds=[0.05, 0.2, 0.5], n_resamples=200, rng=rng
    )
    error = 1 - y.mean()
    assert table["check_all"].tolist() == pytest.approx(
        [error - (1 - error) * t / (1 - t) for t in (0.05, 0.2, 0.5)]
    )
    assert (table["net_benefit_low"] <= table["net_benefit"]).all()
    assert (table["net_benefit"] <= table["net_benefit_high"]).all()
    assert (table["net_benefit"] <= error).all()


def test_the_best_threshold_is_best_for_a_calibrated_forecaster():
    rng = np.random.default_rng(6)
    c = rng.random(100_000)
    answers = pd.DataFrame({"confidence": c, "correct": rng.random(c.size) < c})
    costs = {"cost_wrong": 5.0, "cost_check": 1.0}
    best = measure.best_threshold(**costs)
    assert best == pytest.approx(1 - 1 / 5)
    at_best = _decided(answers, best, costs, 0)[-1].mean()
    for other in (best - 0.1, best + 0.1):
        assert _decided(answers, other, costs, 0)[-1].mean() > at_best
    assert measure.best_threshold(cost_check=2) == 0


def test_costs_out_of_range_are_refused():
    with pytest.raises(ValueError, match="costs: at least 0"):
        measure.best_threshold(cost_check=-1)
    with pytest.raises(ValueError, match="target must lie strictly between"):
        measure.selective_threshold(C, Y, target=5)


def test_threshold_table_judges_on_other_items(pool):
    frame = pd.DataFrame(
        {
            "confidence": pool[0][:4000],
            "correct": pool[1][:4000],
            "modality": np.where(np.arange(4000) % 2, "ct", "mri"),
            "image_id": np.arange(4000) // 2,
            "item_id": np.arange(4000),
            "dataset": "d",
        }
    )
    fit, test = frame.iloc[:2000], frame.iloc[2000:].copy()
    test.loc[test.index[:10], "confidence"] = np.nan
    table = measure.threshold_table(fit, test, target=0.2, by=["modality"])
    assert table["modality"].tolist() == ["ct", "mri"]
    for row in table.itertuples():
        part = test[test["modality"] == row.modality]
        keep = (part["confidence"] >= row.threshold).to_numpy()
        wrong = 1 - part["correct"].to_numpy()
        assert row.n_test == len(part)
        assert row.test_coverage == pytest.approx(keep.mean())
        assert row.test_risk == pytest.approx(wrong[keep].mean())
        assert row.test_missed == pytest.approx(wrong[keep].sum() / len(part))
        assert row.test_risk_low <= row.test_risk <= row.test_risk_high


@pytest.mark.parametrize("size", [1, 3])
def test_betting_p_is_valid_at_the_boundary_and_has_power(size):
    rng = np.random.default_rng(5)
    codes = np.repeat(np.arange(300), size)
    c, kept = np.full(codes.size, 0.9), np.array([0.9])
    null, good = [], []
    for values, share in ((null, 0.8), (good, 0.9)):
        for _ in range(800):
            y = np.repeat(rng.random(300) < share, size).astype(float)
            values.append(_betting_p(c, y, codes, 300, kept, 0.2)[0])
    assert np.mean(np.array(null) <= 0.1) <= 0.1 + 3 * math.sqrt(0.09 / 800)
    assert np.mean(np.array(good) <= 0.1) > 0.9


def test_betting_p_is_the_mean_capital_of_the_stakes(rng, monkeypatch):
    """By its definition, group by group; counted either way."""
    from medcal_nb.measure import deferral

    codes = rng.integers(0, 40, 200)
    c, y = rng.random(200).round(1), (rng.random(200) < 0.9).astype(float)
    thresholds = np.array([0.8, 0.5, 0.0])
    expected = []
    for t in thresholds:
        errors = (
            np.bincount(codes, (c >= t) * (1 - y - 0.2), 40) / np.bincount(codes).max()
        )
        capital = [np.prod(1 - s / 0.8 * errors) for s in deferral.STAKES]
        expected.append(min(1, 1 / np.mean(capital)))
    for block in (4096, 7):
        monkeypatch.setattr(deferral, "BLOCK", block)
        found = _betting_p(c, y, codes, 40, thresholds, 0.2)
        assert found == pytest.approx(np.array(expected))
    assert found.min() < 0.9
    few = deferral._counted(np.array([3, 1, 3, 900]), 1000)
    many = deferral._counted(np.array([3, 1, 3, 900]), 10**9)
    assert (
        [v.tolist() for v in few]
        == [v.tolist() for v in many]
        == [[1, 3, 900], [1, 2, 1]]
    )


def test_a_threshold_does_not_depend_on_the_order_of_rows(pool):
    rng = np.random.default_rng(2)
    c, y, groups = pool[0][:1200], pool[1][:1200], np.arange(1200) // 3
    found = {
        measure.selective_threshold(c[at], y[at], target=0.3, groups=groups[at])
        for at in (np.arange(1200), *(rng.permutation(1200) for _ in range(5)))
    }
    assert len(found) == 1
    assert found.pop().coverage > 0


@pytest.mark.parametrize("percent", range(1, 61))
def test_who_is_checked_at_the_boundary_does_not_depend_on_rounding(percent):
    """A stated 90 % has an error probability of 10 %: at a threshold of 10 % it is checked."""
    t = percent / 100
    stated = [(100 - percent) / 100]
    table = measure.net_benefit_table(
        stated * 20, [0] * 20, thresholds=[t], rng=np.random.default_rng(0)
    )
    assert table.loc[0, ["checked", "net_benefit"]].tolist() == [1, 1]


def test_checking_by_confidence_is_held_against_checking_all(pool, rng):
    c, y = pool[0][:800], pool[1][:800]
    table = measure.net_benefit_table(
        c, y, thresholds=[0.2, 0.4], n_resamples=300, rng=rng
    )
    expected = table["net_benefit"] - table["check_all"]
    assert table["over_all"].tolist() == pytest.approx(expected.tolist())
    assert (table["over_all_low"] <= table["over_all"]).all()
    assert (table["over_all"] <= table["over_all_high"]).all()


def test_bands_by_image_are_wider_where_images_share_their_errors(rng):
    images = 150
    c = np.repeat(rng.beta(4, 1.5, images), 3)
    y, groups = (
        np.repeat(rng.random(images) < 0.7, 3) * 1.0,
        np.repeat(np.arange(images), 3),
    )
    width = {}
    for name, ids in (("rows", None), ("images", groups)):
        table = measure.net_benefit_table(c, y, thresholds=[0.3], groups=ids, rng=rng)
        width[name] = (table["net_benefit_high"] - table["net_benefit_low"])[0]
    assert width["images"] > 1.4 * width["rows"]


def test_a_guarantee_is_judged_on_the_population():
    """Risk of 0.19 at every threshold and 0.2 allowed: no lucky draw can leave an unlucky rest."""
    y = np.repeat([0.0, 1.0], [19, 81])
    c = np.full(100, 0.9)
    table = measure.guarantee_table(
        c,
        y,
        target=0.2,
        delta=0.1,
        sizes=(60,),
        n_repeats=300,
        rng=np.random.default_rng(7),
    )
    row = table.iloc[0]
    assert 0 < row.certified < 0.5
    assert (row.violated, row.mean_risk) == (0, pytest.approx(0.19))


def test_a_threshold_is_judged_on_other_images(pool):
    frame = pd.DataFrame({"confidence": pool[0][:400], "correct": pool[1][:400]})
    frame = frame.assign(
        item_id=np.arange(400), image_id=np.arange(400) // 2, dataset="d"
    )
    first, second = frame.iloc[::2], frame.iloc[1::2]
    with pytest.raises(
        ValueError, match="200 images are both fit and test, the first d/0"
    ):
        measure.threshold_table(first, second, target=0.2)
    other = measure.threshold_table(first, second.assign(dataset="e"), target=0.4)
    assert other["n_test"].tolist() == [200]
