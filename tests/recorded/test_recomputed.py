"""Transfer and certified thresholds of the recorded answers, computed again in plain numpy."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import binom, rankdata

from medcal_nb import measure
from medcal_nb.answers.recorded import load_recorded
from medcal_nb.correct import transfer_study

FOLDS = 5
SCORES = ("uncorrected", "transferred", "known", "refitted")


def platt(c, y):
    """Intercept and slope of a logistic fit on the log-odds, by Newton's method."""
    x = np.column_stack([np.ones(len(c)), logit(c)])
    theta = np.zeros(2)
    for _ in range(30):
        p = expit(x @ theta)
        curvature = (x * (p * (1 - p))[:, None]).T @ x
        theta += np.linalg.solve(curvature, x.T @ (y - p))
    return theta


def area(c, y):
    """AUROC, by ranks."""
    n_right = int(y.sum())
    ranks = rankdata(c)[y == 1].sum()
    return (ranks - n_right * (n_right + 1) / 2) / (n_right * (len(y) - n_right))


def cross_fitted(c, y, rng):
    """Confidences of maps that were fitted on the other four fifths."""
    fold = rng.permutation(len(y)) % FOLDS
    mapped = np.empty(len(y))
    for k in range(FOLDS):
        intercept, slope = platt(c[fold != k], y[fold != k])
        mapped[fold == k] = expit(intercept + slope * logit(c[fold == k]))
    return mapped


def arrays(rows):
    """Confidence and grade of the rows that have both."""
    rows = rows.dropna(subset=["confidence", "correct"])
    return rows["confidence"].to_numpy(), rows["correct"].to_numpy(float)


def transferred(source, target, clip, rng):
    """Brier scores on the target and AUROC of both sides, for one model and method."""
    stated_source, y_source = arrays(source)
    stated, y = arrays(target)
    c = np.clip(stated, clip, 1 - clip)
    intercept, slope = platt(np.clip(stated_source, clip, 1 - clip), y_source)
    log_odds = slope * logit(c)
    accuracy = y.mean()
    shift = brentq(lambda s: expit(s + log_odds).mean() - accuracy, -30, 30)
    mapped = {
        "uncorrected": stated,
        "transferred": expit(intercept + log_odds),
        "known": expit(shift + log_odds),
        "refitted": cross_fitted(c, y, rng),
    }
    scores = {name: ((p - y) ** 2).mean() for name, p in mapped.items()}
    areas = {"auroc_source": area(stated_source, y_source), "auroc": area(stated, y)}
    return scores | areas


def certified(c, y, risk, delta):
    """Lowest threshold that passes the exact tests from a start fixed by n; inf without one."""
    k = np.arange(1, len(c) + 1)
    allowed = binom.ppf(delta, k, risk)
    allowed -= binom.cdf(allowed, k, risk) > delta
    # an answer more helps only where it allows an error more
    needed = k[np.diff(allowed, prepend=-1) > 0]
    most = max(needed[0], min(0.2 * len(c), 3 * len(c) ** 0.5))
    start = needed[needed <= most][-1]
    ordered = np.sort(c)[::-1]
    passed = np.inf
    for n in needed[needed >= start]:
        above = c >= ordered[n - 1]
        if (1 - y[above]).sum() > allowed[above.sum() - 1]:
            break
        passed = ordered[n - 1]
    return passed


@pytest.fixture(scope="module")
def vlcb():
    return load_recorded("vlcb").query("model == 'Qwen3-VL-8B-Instruct'")


def one_transfer(answers, source, target, strategy, clip):
    rows = answers[answers["strategy"] == strategy]
    sides = rows.query(source), rows.query(target)
    study = transfer_study(*sides, n_resamples=20, rng=np.random.default_rng(0))
    row = pd.DataFrame(study.table).iloc[0]
    return row, transferred(*sides, clip, np.random.default_rng(5))


@pytest.mark.parametrize(
    ("source", "target", "strategy", "clip"),
    [
        ("dataset in ['GQA', 'POPE']", "dataset == 'GMAI-MMBench'", "verbalized", 5e-3),
        ("dataset == 'GQA'", "dataset == 'POPE'", "probe_ccps", 1e-6),
    ],
)
def test_a_transfer_by_plain_numpy(vlcb, source, target, strategy, clip):
    row, expected = one_transfer(vlcb, source, target, strategy, clip)
    for name in SCORES:
        # other folds for the refit, and Platt's targets are a little within 0 and 1
        assert row[f"brier_{name}"] == pytest.approx(expected[name], abs=8e-4)
    for name in ("auroc_source", "auroc"):
        assert row[name] == pytest.approx(expected[name], abs=1e-9)


def test_a_certified_threshold_by_plain_numpy(vlcb):
    rows = vlcb[vlcb["strategy"] == "probe_pik"]
    c, y = arrays(rows[rows["dataset"] == "GMAI-MMBench"])
    for delta in (0.1, 0.1 / 7):
        ours = measure.selective_threshold(c, y, target=0.2, delta=delta)
        assert ours.threshold == pytest.approx(certified(c, y, 0.2, delta), abs=1e-9)
        assert ours.coverage == (c >= ours.threshold).mean()
