"""Transfer tables against the same done row by row, against known truths, and on real data."""

import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq
from scipy.special import expit

from medcal_nb.correct import (
    CONCLUSIONS,
    RecalibrationWarning,
    fit,
    resampled,
    transfer_counts,
    transfer_study,
)
from medcal_nb.correct import transfer as transfer_module
from medcal_nb.correct.crossfit import assign_folds, images_of, with_images
from medcal_nb.correct.transfer import conclude
from medcal_nb.measure import brier_score
from medcal_nb.measure.resampling import choose_clip
from medcal_nb.measure.rows import arrays

from .worlds import graded, sides, with_options


@pytest.fixture
def both(rng):
    source = graded(rng, 500, "general", slope=0.8, per_image=2)
    target = graded(rng, 300, "medical", slope=0.5, shift=-0.4, per_image=3)
    return pd.concat([source, target], ignore_index=True)


METHODS = ("log_odds", "platt", "isotonic")


def study_of(data, **settings):
    usual = {"methods": METHODS, "margin": 0.005, "rng": np.random.default_rng(3)}
    return transfer_study(*sides(data), **usual | settings)


def table_of(data, **settings):
    return study_of(data, **settings).table


def folds_of_study(data, seed):
    """Fold of each target row, as the study derives it from its generator."""
    _, target = with_images(*sides(data))
    seed = int(np.random.default_rng(seed).integers(2**63))
    rng = np.random.default_rng([seed, 0])
    return assign_folds(images_of(target), 5, rng=rng)


@pytest.mark.parametrize("decimals", [None, 2])
@pytest.mark.parametrize("method", ["log_odds", "platt", "isotonic"])
def test_estimates_equal_public_functions_row_by_row(rng, method, decimals):
    general = graded(rng, 400, "general", slope=0.8, decimals=decimals)
    medical = graded(rng, 240, "medical", slope=0.5, decimals=decimals, per_image=2)
    data = pd.concat([general, medical], ignore_index=True)
    row = table_of(data, methods=[method], n_resamples=2).iloc[0]
    c = medical.confidence.to_numpy()
    y = medical.correct.to_numpy()
    recalibrate = partial(fit, method=method, clip=choose_clip(data.confidence))
    transferred = recalibrate(general.confidence, general.correct)(c)
    assert row.brier_uncorrected == pytest.approx(brier_score(c, y))
    assert row.brier_transferred == pytest.approx(brier_score(transferred, y), abs=1e-6)
    fold = folds_of_study(data, 3)
    refitted = np.empty_like(c)
    known = np.empty_like(c)
    base = np.empty_like(c)
    for k in range(5):
        own = fold == k
        refitted[own] = recalibrate(c[~own], y[~own])(c[own])
        base[own] = (y[~own].sum() + 1) / ((~own).sum() + 2)
        log_odds = np.log(transferred / (1 - transferred))
        shift = brentq(
            lambda b, o=own, z=log_odds: expit(z[~o] + b).mean() - y[~o].mean(), -20, 20
        )
        known[own] = expit(log_odds[own] + shift)
    assert row.brier_refitted == pytest.approx(brier_score(refitted, y), abs=1e-6)
    assert row.brier_known == pytest.approx(brier_score(known, y), abs=1e-6)
    assert row.brier_base == pytest.approx(brier_score(base, y), abs=1e-9)
    assert row.cost == pytest.approx(row.brier_transferred - row.brier_refitted)
    change = row.brier_transferred - row.brier_uncorrected
    assert row.transfer_change == pytest.approx(change)
    assert row.skill_known == pytest.approx(1 - row.brier_known / row.brier_base)
    assert row.accuracy == y.mean()


@pytest.mark.parametrize("method", METHODS)
def test_an_interval_repeats_the_fits_in_each_resample(rng, method, monkeypatch):
    """One chosen resample, its rows repeated and all fits made again by hand."""
    general = with_options(rng, 120, "general", 1.0)
    medical = with_options(rng, 90, "medical", 2.0)
    data = pd.concat([general, medical], ignore_index=True)
    copies = {"general": np.arange(120) % 3, "medical": (np.arange(90) + 1) % 3}
    chosen = iter(copies.values())

    class Chosen(transfer_module.Resamples):
        def __init__(self, labels, n_resamples, rng):
            super().__init__(labels, 2, rng)
            self.counts[1:] = next(chosen)  # images are numbered in order of rows

    monkeypatch.setattr(transfer_module, "Resamples", Chosen)
    monkeypatch.setattr(resampled, "CELLS", 10_000)
    study = study_of(data, methods=[method], rng=np.random.default_rng(5))
    fold = np.repeat(folds_of_study(data, 5), copies["medical"])
    learn = general.iloc[np.repeat(np.arange(120), copies["general"])]
    judge = medical.iloc[np.repeat(np.arange(90), copies["medical"])]
    recalibrate = partial(fit, method=method, clip=choose_clip(data.confidence))
    inputs, outcomes = arrays(judge)
    crossed = np.empty_like(inputs)
    for k in range(5):
        own = fold == k
        crossed[own] = recalibrate(inputs[~own], outcomes[~own])(inputs[own])
    transferred = recalibrate(*arrays(learn))(inputs)

    for name, p in (("transferred", transferred), ("refitted", crossed)):
        assert study.draws[name][0, 1] == pytest.approx(
            np.mean((p - outcomes) ** 2), abs=2e-5
        )


def test_resampled_fits_on_cells_are_those_on_rows(both, monkeypatch):
    """More than 100 different confidences are gathered in resamples, never in the estimates."""
    settings = {"methods": ["platt", "log_odds"], "n_resamples": 200}
    cells = table_of(both, **settings)
    monkeypatch.setattr(resampled, "CELLS", 10_000)
    rows = table_of(both, **settings)
    same = ["brier_uncorrected", "brier_transferred", "brier_refitted", "cost", "auroc"]
    pd.testing.assert_frame_equal(cells[same], rows[same])
    for end in ("cost_low", "cost_high", "transfer_change_low"):
        np.testing.assert_allclose(cells[end], rows[end], atol=4e-4)


def test_conclusions_follow_the_truth():
    worlds = {  # slope of general, slope and shift of medical
        "calibrated": (1.0, 1.0, 0.0),
        "transfers": (0.4, 0.4, 0.0),
        "differs": (2.0, 0.4, -1.0),
        "guesses": (1.0, 0.0, 0.0),
    }
    parts = []
    rng = np.random.default_rng(12)
    for model, (general, medical, shift) in worlds.items():
        parts.append(graded(rng, 6000, "general", slope=general, model=model))
        how = {"slope": medical, "shift": shift, "model": model}
        parts.append(graded(rng, 6000, "medical", **how))
    parts.append(graded(rng, 40, "general", slope=1.0, model="few"))
    parts.append(graded(rng, 40, "medical", slope=0.9, model="few"))
    study = study_of(pd.concat(parts), methods=["platt"], n_resamples=400, rng=rng)
    table = study.table.set_index("model")
    assert table.conclusion.to_dict() == {
        "calibrated": "recalibration not needed",
        "transfers": "non-inferior",
        "differs": "inferior",
        "guesses": "no discrimination",
        "few": "inconclusive",
    }
    assert table.loc["transfers"].transfer_change_high < 0  # below 0 is better
    counts = transfer_counts(study.table).iloc[0]
    assert counts.pairs == 5
    assert sum(counts[name] for name in CONCLUSIONS) == 5
    changes = study.table["transfer_change_high"] < 0
    assert counts["lowered"] == changes.sum()
    assert counts["raised"] == (study.table["transfer_change_low"] > 0).sum()
    assert counts["worse_than_base"] == 2  # differs, guesses
    assert counts["lowered_holm"] <= counts["lowered"]


def test_confidence_that_ranks_wrong_answers_first_is_reversed_and_can_be_mended(rng):
    """Below one half is evidence of the reverse: a negative slope mends it."""
    turned = graded(rng, 3000, "medical", slope=-0.8)
    data = pd.concat([graded(rng, 2000, "general"), turned])
    row = table_of(data, methods=["platt"], n_resamples=100).iloc[0]
    assert row.auroc_high < 0.5
    assert row.discrimination == "reversed"
    assert row.conclusion == "inferior"
    assert row.skill_refitted > 0.02


CHANGES = ["transfer_change_low", "transfer_change_high"]
CHANGES += ["skill_transferred_low", "skill_transferred_high"]


def concluded(cost, gain, margin=0.005, auroc="shown"):
    """The conclusion of one row whose cost and gain by refitting have these intervals."""
    rng = np.random.default_rng(0)

    def draws(ends):
        spread = (ends[1] - ends[0]) / 3.92
        noise = np.append(0, rng.normal(size=4000))
        return np.mean(ends) + spread * noise[None]

    refitted = np.zeros((1, 4001))
    row = {"model": "m", "strategy": "s", "method": "platt", "margin": margin}
    row |= {"discrimination": auroc, "auroc_p": 0.5} | dict.fromkeys(CHANGES, np.nan)
    row |= {"cost_low": cost[0], "cost_high": cost[1], "refit_change_low": -gain[1]}
    stages = {"transferred": draws(cost), "uncorrected": draws(gain)}
    stages |= {"refitted": refitted, "base": refitted}
    table = conclude(pd.DataFrame([row]), stages, [500], 0.95)
    return table.conclusion[0]


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
    assert concluded(cost, gain) == expected
    assert concluded(cost, gain, auroc="not shown") == "no discrimination"


def many(n, rng, cost, gain, spread=0.001):
    """A table of many rows and their resamples, at given true cost and gain."""
    stages = dict.fromkeys(["refitted", "base"], np.zeros((n, 401)))
    for name, true in (("transferred", cost), ("uncorrected", gain)):
        estimate = rng.normal(true, spread, n)[:, None]
        stages[name] = np.hstack([estimate, estimate + rng.normal(0, spread, (n, 400))])
    low, high = np.quantile(stages["transferred"][:, 1:], [0.025, 0.975], axis=1)
    table = pd.DataFrame({"cost_low": low, "cost_high": high})
    gained = np.quantile(stages["uncorrected"][:, 1:], 0.975, axis=1)
    table = table.assign(refit_change_low=-gained, model=[f"m{i}" for i in range(n)])
    table = table.assign(strategy="s", method="platt", margin=0.005)
    table = table.assign(discrimination="shown", auroc_p=0.5)
    table[CHANGES] = np.nan
    return conclude(table, stages, [500] * n, 0.95)


def test_conclusions_read_together_are_holm_corrected(rng):
    """Rows at the margin: some are concluded by chance alone, hardly one after Holm."""
    table = many(600, rng, cost=0.005, gain=0.05)
    alone = (table.conclusion != "inconclusive").sum()
    together = (table.conclusion_holm != "inconclusive").sum()
    assert alone > 10
    assert together <= 2


def test_recalibration_not_needed_is_corrected_for_both_of_its_tests(rng):
    """Cost far below the margin, gain just below it: the p of the conjunction is the gain's."""
    table = many(35, rng, cost=-0.05, gain=0.0028)
    alone = table.conclusion == "recalibration not needed"
    together = table.conclusion_holm == "recalibration not needed"
    assert alone.sum() > 10
    assert together.sum() < alone.sum() / 2
    assert set(table.conclusion_holm[alone & ~together]) == {"non-inferior"}


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
        how = {"methods": ["platt"], "n_resamples": 200, "level": 0.90, "rng": rng}
        row = table_of(pd.concat([g, m]), **how).iloc[0]
        maps = (fit(d.confidence, d.correct) for d in (g, m))
        carried, refitted = (one(fresh.confidence) for one in maps)
        cost = np.mean((carried - true) ** 2 - (refitted - true) ** 2)
        inside.append(row.cost_low <= cost <= row.cost_high)
    # binomial(60, 0.9) lies in [0.78, 0.98] with probability 0.99
    assert 0.78 <= np.mean(inside) <= 0.99


def test_source_and_target_that_share_images_are_refused(rng):
    """400 images with two questions each, no signal: a map of question 1 would "carry over"."""
    first = graded(rng, 400, "set", slope=0.0)
    second = first.assign(item_id=first.item_id + "-2")
    with pytest.raises(ValueError, match="400 images are both source"):
        transfer_study(first, second, rng=rng)
    other = second.assign(dataset="another")  # the same ids, other images
    assert len(transfer_study(first, other, n_resamples=2, rng=rng).table) == 1


def test_resamples_are_shared_by_rows_on_the_same_images(both):
    data = pd.concat([both, both.assign(model="n")])
    study = study_of(data, methods=["platt"], n_resamples=50)
    for draws in study.draws.values():
        np.testing.assert_allclose(*draws)


def test_bad_requests_are_refused(both, rng):
    source, target = sides(both)
    with pytest.raises(ValueError, match="source: none of its 0 rows"):
        transfer_study(source[:0], target, rng=rng)
    with pytest.raises(ValueError, match="target: none of its 300 rows"):
        transfer_study(source, target.assign(confidence=np.nan), rng=rng)
    with pytest.raises(ValueError, match="no model and strategy has"):
        transfer_study(source, target.assign(model="another"), rng=rng)
    with pytest.raises(ValueError, match=r"one of 'log_odds', .*, got 'magic'"):
        table_of(both, methods=["magic"])
    with pytest.raises(ValueError, match=r"one of 'log_odds', .*, got 'temperature'"):
        table_of(both, methods=["temperature"])
    thin = pd.concat([both, both.assign(model="thin").groupby("domain").head(3)])
    with pytest.warns(RecalibrationWarning, match="thin s has 3 source and 3 target"):
        assert set(table_of(thin, n_resamples=2).model) == {"m"}


def test_one_class_and_constant_confidence_give_numbers(both):
    for name, value in (("correct", 1.0), ("correct", 0.0), ("confidence", 0.9)):
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            table = table_of(both.assign(**{name: value}), n_resamples=10)
        numbers = table[["brier_transferred", "brier_refitted", "cost_low"]]
        assert np.isfinite(numbers).all(axis=None)
        assert (table.conclusion != "").all()
