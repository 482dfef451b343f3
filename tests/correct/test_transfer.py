"""Transfer tables against the same done row by row, against known truths, and on real data."""

import warnings
from functools import partial
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq
from scipy.special import expit, logit

from medcal_nb.correct import (
    CONCLUSIONS,
    RecalibrationWarning,
    fit,
    resampled,
    transfer_counts,
    transfer_study,
)
from medcal_nb.correct.crossfit import assign_folds, by_fold
from medcal_nb.correct.transfer import conclude
from medcal_nb.measure import Bootstrap, brier_score, choose_clip
from medcal_nb.measure.rows import arrays, image_labels

from .worlds import graded, sides


@pytest.fixture
def both(rng):
    source = graded(rng, 500, "general", slope=0.8, per_image=2)
    target = graded(rng, 300, "medical", slope=0.5, shift=-0.4, per_image=3)
    return pd.concat([source, target], ignore_index=True)


METHODS = ("log_odds", "platt", "isotonic")


def study_of(data, method="platt", ci=Bootstrap(seed=3)):
    return transfer_study(*sides(data), method=method, ci=ci)


def table_of(data, method="platt", n=20):
    return study_of(data, method, Bootstrap(seed=3, n=n)).table


def folds_of_study(data, seed):
    """Fold of each target row, as the study derives it from its seed."""
    source, target = sides(data)
    images = np.r_[image_labels(target), image_labels(source)]
    images, _ = pd.factorize(images)
    seed = int(np.random.default_rng(seed).integers(2**63))
    rng = np.random.default_rng([seed, 0])
    return assign_folds(images[: len(target)], 5, rng=rng)


@pytest.mark.parametrize("decimals", [None, 2])
@pytest.mark.parametrize("method", METHODS)
def test_estimates_equal_public_functions_row_by_row(rng, method, decimals):
    general = graded(rng, 400, "general", slope=0.8, decimals=decimals)
    medical = graded(rng, 240, "medical", slope=0.5, decimals=decimals, per_image=2)
    data = pd.concat([general, medical], ignore_index=True)
    study = study_of(data, method, Bootstrap(seed=3, n=2))
    row = study.table.iloc[0]
    c, y = arrays(medical)
    recalibrate = partial(fit, method=method, clip=choose_clip(data.confidence))
    transferred = recalibrate(general.confidence, general.correct)(c)
    log_odds = logit(transferred)
    fold = folds_of_study(data, 3)
    stages = {"uncorrected": c, "transferred": transferred}
    stages |= {name: np.empty_like(c) for name in ("refitted", "known", "base")}
    for k in range(5):
        own = fold == k
        others = y[~own]

        def excess(shift, z=log_odds[~own], mean=others.mean()):
            return expit(z + shift).mean() - mean

        stages["refitted"][own] = recalibrate(c[~own], others)(c[own])
        stages["base"][own] = (others.sum() + 1) / (others.size + 2)
        stages["known"][own] = expit(log_odds[own] + brentq(excess, -20, 20))
    for name, p in stages.items():
        assert row[f"brier_{name}"] == pytest.approx(brier_score(p, y), abs=1e-6)
    assert row.cost == pytest.approx(row.brier_transferred - row.brier_refitted)
    change = row.brier_transferred - row.brier_uncorrected
    assert row.transfer_change == pytest.approx(change)
    assert row.skill_known == pytest.approx(1 - row.brier_known / row.brier_base)
    assert row.accuracy == y.mean()


class Chosen(Bootstrap):
    """One resample, that of images 0, 1, 2, … with as many copies as its domain says."""

    copies: ClassVar = {}

    def of(self, images):
        resamples = super().of(images)
        resamples.counts[1:] = self.copies[images[0].split("/")[0]]
        return resamples


@pytest.mark.parametrize("method", METHODS)
def test_an_interval_repeats_the_fits_in_each_resample(rng, method, monkeypatch):
    """One chosen resample, its rows repeated and all fits made again by hand."""
    general = graded(rng, 120, "general")
    medical = graded(rng, 90, "medical", slope=0.5)
    data = pd.concat([general, medical], ignore_index=True)
    copies = {"general": np.arange(120) % 3, "medical": (np.arange(90) + 1) % 3}
    monkeypatch.setattr(Chosen, "copies", copies)
    monkeypatch.setattr(resampled, "CELLS", 10_000)
    study = study_of(data, method, Chosen(seed=5, n=2))
    fold = np.repeat(folds_of_study(data, 5), copies["medical"])
    learn = general.iloc[np.repeat(np.arange(120), copies["general"])]
    judge = medical.iloc[np.repeat(np.arange(90), copies["medical"])]
    recalibrate = partial(fit, method=method, clip=choose_clip(data.confidence))
    c, y = arrays(judge)
    mapped = {"transferred": recalibrate(*arrays(learn))(c)}
    mapped["refitted"] = by_fold(recalibrate, c, y, fold)
    for name, p in mapped.items():
        expected = pytest.approx(brier_score(p, y), abs=2e-5)
        assert study.draws[name][0, 1] == expected


@pytest.mark.parametrize("method", ["platt", "log_odds"])
def test_resampled_fits_on_cells_are_those_on_rows(both, method, monkeypatch):
    """More than 100 different confidences are gathered in resamples, never in the estimates."""
    cells = table_of(both, method, n=200)
    monkeypatch.setattr(resampled, "CELLS", 10_000)
    rows = table_of(both, method, n=200)
    same = ["brier_transferred", "brier_refitted", "cost", "auroc"]
    pd.testing.assert_frame_equal(cells[same], rows[same])
    for end in ("cost_low", "cost_high", "transfer_change_low"):
        np.testing.assert_allclose(cells[end], rows[end], atol=4e-4)


def test_conclusions_follow_the_truth():
    worlds = {  # answers, slope of general, slope and shift of medical
        "calibrated": (6000, 1.0, 1.0, 0.0),
        "transfers": (6000, 0.4, 0.4, 0.0),
        "differs": (6000, 2.0, 0.4, -1.0),
        "guesses": (6000, 1.0, 0.0, 0.0),
        "reversed": (6000, 1.0, -0.8, 0.0),
        "few": (40, 1.0, 0.9, 0.0),
    }
    parts = []
    rng = np.random.default_rng(12)
    for model, (n, general, medical, shift) in worlds.items():
        parts.append(graded(rng, n, "general", slope=general, model=model))
        how = {"slope": medical, "shift": shift, "model": model}
        parts.append(graded(rng, n, "medical", **how))
    study = study_of(pd.concat(parts), ci=Bootstrap(n=400))
    table = study.table.set_index("model")
    assert table.conclusion.to_dict() == {
        "calibrated": "recalibration not needed",
        "transfers": "non-inferior",
        "differs": "inferior",
        "guesses": "no discrimination",
        "reversed": "inferior",
        "few": "inconclusive",
    }
    assert table.loc["transfers"].transfer_change_high < 0  # below 0 is better
    # below one half is evidence of the reverse: a negative slope turns it round
    assert table.loc["reversed"].auroc_high < 0.5
    assert table.loc["reversed"].discrimination == "reversed"
    assert table.loc["reversed"].skill_refitted > 0.02
    counts = transfer_counts(study.table).iloc[0]
    assert counts["pairs"] == 6
    assert counts["conclusions"].startswith(
        "1 non-inferior, 2 inferior, 1 inconclusive"
    )
    assert counts["lowest_cost"] == table["cost"].min()
    assert counts["median_cost"] == table["cost"].median()
    assert counts["highest_cost"] == table["cost"].max()


def concluded(costs, gains, auroc="discriminates"):
    """Rows concluded from the resamples (rows, 1 + B) of cost and of gain by refitting."""
    table = pd.DataFrame({"discrimination": [auroc] * len(costs), "n_effective": 500})
    table["cost_low"], table["cost_high"] = np.quantile(costs, [0.025, 0.975], axis=1)
    table["refit_change_low"] = -np.quantile(gains, 0.975, axis=1)
    draws = {"cost": costs, "uncorrected": gains, "refitted": np.zeros_like(costs)}
    return conclude(table, draws, 0.005, 0.95)


@pytest.mark.parametrize(
    ("cost", "gain", "expected"),
    [
        ((0.001, 0.004), (0.02, 0.03), "non-inferior"),  # a difference, but within
        ((-0.02, -0.01), (0.02, 0.03), "non-inferior"),  # better than refitting
        ((-0.001, 0.004), (-0.001, 0.004), "recalibration not needed"),
        ((0.006, 0.02), (-0.001, 0.004), "inferior"),  # though nothing was to be gained
        ((-0.004, 0.006), (0.02, 0.03), "inconclusive"),
    ],
)
def test_a_conclusion_from_intervals(cost, gain, expected):
    noise = np.append(0, np.random.default_rng(0).normal(size=4000))
    draws = [np.mean(e) + (e[1] - e[0]) / 3.92 * noise[None] for e in (cost, gain)]
    assert concluded(*draws).conclusion.item() == expected
    blind = concluded(*draws, auroc="no discrimination shown")
    assert blind.conclusion.item() == "no discrimination"


def many(n, rng, cost, gain, spread=0.001):
    """A table of many rows at given true cost and gain."""
    draws = []
    for true in (cost, gain):
        estimate = rng.normal(true, spread, n)[:, None]
        noise = rng.normal(0, spread, (n, 400))
        draws.append(np.hstack([estimate, estimate + noise]))
    return concluded(*draws)


def test_conclusions_read_together_are_holm_corrected(rng):
    """Rows at the margin: some are concluded by chance alone, hardly one after Holm."""
    table = many(600, rng, cost=0.005, gain=0.05)
    alone = (table[["p_non_inferior", "p_inferior"]] <= 0.025).any(axis=1).sum()
    together = (table.conclusion != "inconclusive").sum()
    assert alone > 10
    assert together <= 2


def test_recalibration_not_needed_is_corrected_for_both_of_its_tests(rng):
    """Cost far below the margin, gain just below it: the p of the conjunction is the gain's."""
    table = many(35, rng, cost=-0.05, gain=0.0028)
    alone = table.p_not_needed <= 0.025
    together = table.conclusion == "recalibration not needed"
    assert alone.sum() > 10
    assert together.sum() < alone.sum() / 2
    assert set(table.conclusion[alone & ~together]) == {"non-inferior"}


@pytest.mark.slow
def test_cost_intervals_cover_the_true_cost():
    """90 % intervals over 60 draws at n = 451, against the maps' true losses."""
    fresh = graded(np.random.default_rng(1), 20_000, "medical", slope=0.5, shift=-0.3)
    true = expit(0.5 * np.log(fresh.confidence / (1 - fresh.confidence)) - 0.3)
    inside = []
    for k in range(60):
        rng = np.random.default_rng([9, k])
        g = graded(rng, 600, "general", slope=0.9)
        m = graded(rng, 451, "medical", slope=0.5, shift=-0.3)
        ci = Bootstrap(seed=k, n=100, level=0.90)
        row = transfer_study(g, m, ci=ci).table.iloc[0]
        maps = (fit(d.confidence, d.correct) for d in (g, m))
        losses = [np.mean((one(fresh.confidence) - true) ** 2) for one in maps]
        cost = losses[0] - losses[1]
        inside.append(row.cost_low <= cost <= row.cost_high)
    # binomial(60, 0.9) lies in [0.78, 0.98] with probability 0.99
    assert 0.78 <= np.mean(inside) <= 0.99


def test_source_and_target_that_share_images_are_refused(rng):
    """400 images with two questions each, no signal: a map of question 1 would "transfer"."""
    first = graded(rng, 400, "set", slope=0.0)
    second = first.assign(item_id=first.item_id + "-2")
    with pytest.raises(ValueError, match="400 images are both source"):
        transfer_study(first, second)
    other = second.assign(dataset="another")  # the same ids, other images
    assert len(transfer_study(first, other, ci=Bootstrap(n=2)).table) == 1


def test_bad_requests_are_refused(both):
    source, target = sides(both)
    with pytest.raises(ValueError, match="source: none of its 0 rows"):
        transfer_study(source[:0], target)
    with pytest.raises(ValueError, match="target: none of its 300 rows"):
        transfer_study(source, target.assign(confidence=np.nan))
    with pytest.raises(ValueError, match="no model and strategy has"):
        transfer_study(source, target.assign(model="another"))
    with pytest.raises(ValueError, match=r"one of 'log_odds', .*, got 'magic'"):
        table_of(both, "magic")
    thin = pd.concat([both, both.assign(model="thin").groupby("domain").head(3)])
    with pytest.warns(RecalibrationWarning, match="thin s has 3 source and 3 target"):
        assert set(table_of(thin, n=2).model) == {"m"}


def test_one_class_and_constant_confidence_give_numbers(both):
    warnings.simplefilter("error", RuntimeWarning)
    for name, value in (("correct", 1.0), ("correct", 0.0), ("confidence", 0.9)):
        for method in METHODS:
            table = table_of(both.assign(**{name: value}), method, n=10)
            numbers = table[["brier_transferred", "brier_refitted", "cost_low"]]
            assert np.isfinite(numbers).all(axis=None)
            assert set(table.conclusion) < set(CONCLUSIONS)
