"""Transfer of the recorded answers, computed again in plain numpy."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from medcal_nb.correct import transfer_study
from medcal_nb.measure import Bootstrap


def platt(c, y):
    """Intercept and slope of a logistic fit on the log-odds, by Newton's method."""
    x = np.column_stack([np.ones(len(c)), logit(c)])
    theta = np.zeros(2)
    for _ in range(30):
        p = expit(x @ theta)
        curvature = (x * (p * (1 - p))[:, None]).T @ x
        theta += np.linalg.solve(curvature, x.T @ (y - p))
    return theta


def cross_fitted(c, y, rng):
    """Confidences of maps that were fitted on the other four fifths."""
    fold = rng.permutation(len(y)) % 5
    mapped = np.empty(len(y))
    for k in range(5):
        intercept, slope = platt(c[fold != k], y[fold != k])
        mapped[fold == k] = expit(intercept + slope * logit(c[fold == k]))
    return mapped


def arrays(rows, clip=0.0):
    """Confidence and grade of the rows that have both."""
    rows = rows.dropna(subset=["confidence", "correct"])
    confidence = rows["confidence"].to_numpy().clip(clip, 1 - clip)
    return confidence, rows["correct"].to_numpy(float)


def transferred(source, target, clip, rng):
    """Brier scores on the target and AUROC of both sides, for one model and method."""
    c, y = arrays(target, clip)
    intercept, slope = platt(*arrays(source, clip))
    log_odds = slope * logit(c)
    accuracy = y.mean()
    shift = brentq(lambda s: expit(s + log_odds).mean() - accuracy, -30, 30)
    mapped = {
        "uncorrected": arrays(target)[0],
        "transferred": expit(intercept + log_odds),
        "known": expit(shift + log_odds),
        "refitted": cross_fitted(c, y, rng),
    }
    scores = {name: ((p - y) ** 2).mean() for name, p in mapped.items()}
    for name, rows in (("auroc_source", source), ("auroc", target)):
        c, y = arrays(rows)
        scores[name] = roc_auc_score(y, c)
    return scores


@pytest.fixture(scope="module")
def vlcb(five):
    return five.query("model == 'Qwen3-VL-8B-Instruct'")


@pytest.mark.parametrize(
    ("source", "target", "strategy", "clip"),
    [
        ("dataset in ['GQA', 'POPE']", "dataset == 'GMAI-MMBench'", "verbalized", 5e-3),
        ("dataset == 'GQA'", "dataset == 'POPE'", "probe_ccps", 1e-6),
    ],
)
def test_a_transfer_by_plain_numpy(vlcb, source, target, strategy, clip):
    rows = vlcb[vlcb["strategy"] == strategy]
    sides = rows.query(source), rows.query(target)
    study = transfer_study(*sides, ci=Bootstrap(n=20))
    row = study.table.iloc[0]
    expected = transferred(*sides, clip, np.random.default_rng(5))
    for name in ("uncorrected", "transferred", "known", "refitted"):
        # other folds for the refit, and Platt's targets are a little within 0 and 1
        assert row[f"brier_{name}"] == pytest.approx(expected[name], abs=8e-4)
    for name in ("auroc_source", "auroc"):
        assert row[name] == pytest.approx(expected[name], abs=1e-9)


def test_p_true_on_pope_is_no_confidence(five):
    """A model repeats its yes or no; so the data card says, and no source of 04 holds it."""
    rows = five.query("dataset == 'POPE' and strategy == 'p_true'")
    for model, part in rows.groupby("model"):
        confidence, correct = arrays(part)
        echoes = not model.startswith("llava")
        assert (roc_auc_score(correct, confidence) < 0.4) == echoes
        low = confidence < 0.1
        assert (0.5 < low.mean() < 0.8) == echoes
        assert not echoes or 0.88 < correct[low].mean() < 0.98


def test_the_study_has_its_controls_its_constant_and_all_models(root):
    """Maps between general sets, too; no confidence at all; thresholds on medical images."""
    notebooks = " ".join(path.read_text() for path in root.glob("notebooks/*.ipynb"))
    assert set(re.findall(r"N_RESAMPLES = (\d+)", notebooks)) == {"2000"}
    results = root / "figures" / "results"
    tables = json.loads((results / "04_transfer.json").read_text())["tables"]
    rows = pd.DataFrame(tables["fig04_control"])
    controls = {"GQA → POPE", "POPE → GQA", "MMMU-Pro, other → MMMU-Pro, medical"}
    assert controls < set(rows["transfer"])
    lead = rows[rows["transfer"].str.endswith("→ GMAI-MMBench")]
    tables = json.loads((results / "06_deferral.json").read_text())["tables"]
    shift = pd.DataFrame(tables["fig06_shift"])
    assert shift.groupby("side")["model"].nunique().min() == 5
    assert shift["side"].str.contains("everyday").any()
    for models in (lead["model"], shift["model"], tables["fig06_cost"]):
        assert len(pd.DataFrame(models)["model"].unique()) == 5
