"""The published findings of the recorded study, computed again in plain numpy from its data."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import binom, norm, rankdata

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "figures" / "recorded"
FIRST_LABELS = ("probe_pik", "probe_saplma", "probe_internalinspector", "probe_ccps")
STRATEGIES = ("verbalized", "p_true", *FIRST_LABELS, "probe_bicr")
FOLDS = 5


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
    """AUROC and DeLong's variance of it."""
    right, wrong = c[y == 1], c[y == 0]
    rank = rankdata(np.r_[right, wrong])
    above = (rank[: len(right)] - rankdata(right)) / len(wrong)
    below = 1 - (rank[len(right) :] - rankdata(wrong)) / len(right)
    variance = above.var(ddof=1) / len(right) + below.var(ddof=1) / len(wrong)
    return above.mean(), variance


def cross_fitted(c, y, rng):
    """Confidences of maps that were fitted on the other four fifths."""
    fold = rng.permutation(len(y)) % FOLDS
    mapped = np.empty(len(y))
    for k in range(FOLDS):
        intercept, slope = platt(c[fold != k], y[fold != k])
        mapped[fold == k] = expit(intercept + slope * logit(c[fold == k]))
    return mapped


def decimals(values):
    """Single-precision numbers as the decimals that they were."""
    return values.to_numpy("float32").astype(str).astype(float)


def pair(rows, strategy, rng):
    """Brier scores, AUROC of both sides and its test, for one model and method."""
    labels = "correct_first_labels" if strategy in FIRST_LABELS else "correct"
    rows = rows.dropna(subset=[strategy, labels])
    is_medical = (rows["dataset"] == "GMAI-MMBench").to_numpy()
    stated = decimals(rows[strategy])
    clip = 0.005 if strategy == "verbalized" else 1e-6
    c = np.clip(stated, clip, 1 - clip)
    y = rows[labels].to_numpy()
    source, target = ~is_medical, is_medical
    outcome = y[target]
    a, b = platt(c[source], y[source])
    log_odds = b * logit(c[target])
    accuracy = outcome.mean()
    shift = brentq(lambda s: expit(s + log_odds).mean() - accuracy, -30, 30)
    refitted = cross_fitted(c[target], outcome, rng)
    area_source, variance_source = area(stated[source], y[source])
    area_target, variance_target = area(stated[target], outcome)
    z = (area_target - area_source) / np.sqrt(variance_source + variance_target)

    def brier(p):
        return ((p - outcome) ** 2).mean()

    return {
        "gap": stated[target].mean() - accuracy,
        "base": accuracy * (1 - accuracy),
        "uncorrected": brier(stated[target]),
        "transferred": brier(expit(a + log_odds)),
        "known": brier(expit(shift + log_odds)),
        "refitted": brier(refitted),
        "auroc_source": area_source,
        "auroc": area_target,
        "p": 2 * norm.sf(abs(z)),
    }


@pytest.fixture(scope="module")
def images():
    rows = pd.read_parquet(ROOT / "data" / "recorded" / "vlcb.parquet")
    rows = rows[~rows["repeat"]]
    return rows[rows["dataset"].isin(["GMAI-MMBench", "GQA", "POPE"])]


@pytest.fixture(scope="module")
def recomputed(images):
    rng = np.random.default_rng(5)
    pairs = []
    for model, part in images.groupby("model"):
        for strategy in STRATEGIES:
            about = {"model": model, "strategy": strategy}
            pairs.append(about | pair(part, strategy, rng))
    return pd.DataFrame(pairs).set_index(["model", "strategy"])


def published(name):
    table = pd.read_csv(FIGURES / f"{name}.csv")
    if "method" in table:
        table = table[table["method"] == "platt"]
    return table


def sentence(notebook, words):
    text = (FIGURES / "results" / f"{notebook}.md").read_text(encoding="utf-8")
    return words in " ".join(text.split())


def test_overconfidence_of_every_model(recomputed):
    table = pd.read_csv(FIGURES / "fig00_study.csv")
    table = table[table["panel"] == "overconfidence"]
    shown = table[table["side"] == "medical images"].set_index("model")["gap"]
    gap = recomputed["gap"].xs("verbalized", level="strategy")
    assert shown.to_numpy() == pytest.approx(gap[shown.index].to_numpy(), abs=1e-6)
    low, high = (100 * gap).round().agg(["min", "max"]).astype(int)
    assert sentence("02_metrics", f"{low} to {high} percentage points")


def test_skill_over_one_number(recomputed):
    table = published("fig04_cost").set_index(["model", "strategy"])
    for stage in ("uncorrected", "transferred", "known", "refitted"):
        shown = table[f"brier_{stage}"][recomputed.index]
        # other folds for the refit, and Platt's targets are a little within 0 and 1
        assert shown.to_numpy() == pytest.approx(recomputed[stage].to_numpy(), abs=8e-4)
    worse = int((recomputed["transferred"] > recomputed["base"]).sum())
    assert sentence("04_temperature_transfer", f"{worse} of 35")
    skill = 1 - recomputed["refitted"] / recomputed["base"]
    assert table["skill_refitted"].median() == pytest.approx(skill.median(), abs=0.004)


def test_one_number_removes_most_of_the_cost(recomputed):
    cost = (recomputed["transferred"] - recomputed["refitted"]).mean()
    left = (recomputed["known"] - recomputed["refitted"]).mean()
    removed = 1 - left / cost
    assert sentence("04_temperature_transfer", f"{100 * removed:.0f} %")
    assert sentence("04_temperature_transfer", f"{cost:.3f}")


def test_loss_of_discrimination(recomputed):
    table = published("fig04_cost").set_index(["model", "strategy"])
    for name in ("auroc_source", "auroc"):
        shown = table[name][recomputed.index].to_numpy()
        assert shown == pytest.approx(recomputed[name].to_numpy(), abs=1e-6)
    # Holm over 35 pairs; Student's t with thousands of degrees for the normal
    p = np.sort(recomputed["p"])
    holm = np.maximum.accumulate(np.minimum(1, p * np.arange(len(p), 0, -1)))
    assert (holm < 0.05).sum() == (table["auroc_p_holm"] < 0.05).sum()
    lost = recomputed["auroc"] < recomputed["auroc_source"]
    shown_lost = table["auroc"] < table["auroc_source"]
    assert lost.sum() == shown_lost.sum()


def certified(c, y, risk, delta):
    """Lowest threshold that passes the exact tests from a start fixed by n; None without one."""
    k = np.arange(1, len(c) + 1)
    allowed = binom.ppf(delta, k, risk)
    allowed -= binom.cdf(allowed, k, risk) > delta
    # an answer more helps only where it allows an error more
    needed = k[np.diff(allowed, prepend=-1) > 0]
    most = max(needed[0], min(0.2 * len(c), 3 * len(c) ** 0.5))
    start = needed[needed <= most][-1]
    ordered = np.sort(c)[::-1]
    passed = None
    for n in needed[needed >= start]:
        kept = c >= ordered[n - 1]
        if (1 - y[kept]).sum() > allowed[kept.sum() - 1]:
            break
        passed = ordered[n - 1]
    return passed


def test_what_a_certified_threshold_keeps(images):
    """Over other splits than the study's: one split's coverage has a spread of 0.04."""
    rows = images[images["model"] == "Qwen3-VL-8B-Instruct"]
    rows = rows[rows["dataset"] == "GMAI-MMBench"]
    c = decimals(rows["probe_pik"])
    y = rows["correct_first_labels"].to_numpy()
    rng = np.random.default_rng(12)
    kept = []
    wrong = []
    for _ in range(25):
        fit, judged = np.array_split(rng.permutation(len(c)), 2)
        threshold = certified(c[fit], y[fit], 0.2, 0.1 / len(STRATEGIES))
        stays = c[judged] >= (np.inf if threshold is None else threshold)
        kept.append(stays.mean())
        wrong.append((1 - y[judged][stays]).sum())
    row = pd.read_csv(FIGURES / "fig06_coverage.csv").set_index("strategy")
    assert row.loc["probe_pik", "coverage"] == pytest.approx(np.mean(kept), abs=0.035)
    risk = sum(wrong) / (np.sum(kept) * len(judged))
    assert row.loc["probe_pik", "risk"] == pytest.approx(risk, abs=0.02)
    assert row.loc["verbalized", "coverage"] == 0


def test_medical_text_costs_less_than_medical_images(recomputed):
    rows = pd.read_parquet(ROOT / "data" / "recorded" / "mmlu_pro_text.parquet")
    rows = rows[rows["answered"]].dropna(subset=["verbalized"])
    rng = np.random.default_rng(2)
    costs = []
    for _, part in rows.groupby("model"):
        is_health = (part["category"] == "health").to_numpy()
        c = np.clip(decimals(part["verbalized"]), 0.005, 0.995)
        y = part["correct"].to_numpy(float)
        intercept, slope = platt(c[~is_health], y[~is_health])
        transferred = expit(intercept + slope * logit(c[is_health]))
        refitted = cross_fitted(c[is_health], y[is_health], rng)
        cost = (transferred - y[is_health]) ** 2 - (refitted - y[is_health]) ** 2
        costs.append(cost.mean())
    table = pd.read_csv(FIGURES / "fig00_control.csv")
    stated = table[table["strategy"] == "verbalized"].set_index("world")["median_cost"]
    text = stated.drop("medical images").item()
    assert text == pytest.approx(np.median(costs), abs=4e-4)
    of_images = recomputed["transferred"] - recomputed["refitted"]
    of_images = of_images.xs("verbalized", level="strategy").median()
    assert stated["medical images"] == pytest.approx(of_images, abs=8e-4)
