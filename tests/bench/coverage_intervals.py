"""How often intervals by image cover the true value, where images are few and in GQA's structure.

    python -m tests.bench.coverage_intervals [--repeats 200] [--seed 2027] [--images 9 23 70 398]
        [--metrics brier auroc slope risk ece …] [--worlds calibrated …]
        [--confidences continuous tens bimodal] [--out build/bench]

The table in docs/intervals.md is made by this. Images carry 1 to 12 answers, which are right or
wrong together: outcomes share a normal variable with a correlation of 0.4. 398 images are GQA's:
31 questions each, with a correlation of 0.15 and confidences that are alike within an image, too
(the design effect of the accuracy is then about 3, as GQA's). An interval that is not given (NaN:
one image holds all wrong answers, say) is counted apart, in `no_interval`.
"""

import argparse
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, ndtr

from medcal_nb import measure
from medcal_nb.measure import METRICS
from medcal_nb.measure.intervals import metric_interval
from medcal_nb.measure.resampling import Resamples, logit

from .coverage_ece import inversion, limit

POOL = 50_000
GQA_IMAGES = 398
GQA_ANSWERS = 31
STATED = np.array([0, 0.2, 0.7, 0.8, 0.85, 0.9, 0.95, 1])
SHARES = np.array([0.03, 0.05, 0.1, 0.2, 0.2, 0.22, 0.15, 0.05])
WORLDS = {  # slope and intercept of the logit of the accuracy on that of the confidence
    "calibrated": (1.0, 0.0),
    "overconfident": (0.6, -0.6),
    "underconfident": (1.25, 0.4),
    "high accuracy": (0.8, 2.0),
}
BOOTSTRAP = ("brier", "brier_skill", "slope", "intercept", "gap")
INVERTED = ("ece", "ece_mass", "ici")
NAMES = ("accuracy", "risk", "auroc", *BOOTSTRAP, *INVERTED)
KEPT_FROM = 0.8  # confidence from which answers count for the risk
CLIP = {"clip": 0.005}


def confidences(kind: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """Any number, one of eight, or three in ten low and the others high."""
    if kind == "continuous":
        return rng.beta(5, 1.3, n)
    if kind == "bimodal":
        return np.where(rng.random(n) < 0.3, rng.beta(2, 8, n), rng.beta(12, 1.5, n))
    return rng.choice(STATED, n, p=SHARES)


def true_accuracy(confidence: np.ndarray, world: str) -> np.ndarray:
    """Accuracy at each confidence."""
    slope, intercept = WORLDS[world]
    if world == "calibrated":
        return confidence
    return expit(slope * logit(confidence, 0.01) + intercept)


def sample(kind: str, world: str, n_images: int, rng: np.random.Generator) -> tuple:
    """Confidence, outcome and image of answers about some images."""
    size = rng.integers(1, 13, n_images)
    correlation = 0.4
    if n_images == GQA_IMAGES:
        size = np.full(n_images, GQA_ANSWERS)
        correlation = 0.15
    images = np.repeat(np.arange(n_images), size)
    c = confidences(kind, images.size, rng)
    if n_images == GQA_IMAGES:  # a third of the answers repeat what their image got
        own = confidences(kind, n_images, rng)[images]
        c = np.where(rng.random(c.size) < 1 / 3, own, c)
    common = rng.standard_normal(n_images)[images]
    alone = rng.standard_normal(images.size)
    z = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * alone
    return c, (ndtr(z) < true_accuracy(c, world)).astype(float), images


def truth(name: str, kind: str, world: str) -> float:
    """The value on endlessly many answers."""
    c = confidences(kind, POOL, np.random.default_rng(1))
    p = true_accuracy(c, world)
    if name == "accuracy":
        return float(p.mean())
    if name == "risk":
        return float(1 - p[c >= KEPT_FROM].mean())
    return limit(name, c, p, **(CLIP if name in ("slope", "intercept") else {}))


def interval(name: str, c, y, images, rng) -> tuple[float, float]:
    """Ends of the package's own interval."""
    if name == "accuracy":
        return measure.clustered_interval(y, images)
    if name == "risk":
        kept = c >= KEPT_FROM
        return measure.clustered_interval(1 - y[kept], images[kept])
    if name == "auroc":
        test = measure.auroc_test(c, y, groups=images)
        return test["low"], test["high"]
    if name in INVERTED:
        return inversion(c, y, images, name, rng)
    drawn = Resamples(images, 1000, rng)
    options = CLIP if name in ("slope", "intercept") else {}
    return metric_interval(METRICS[name], c, y, drawn, level=0.95, **options)[::2]


def cell(name: str, kind: str, world: str, n_images: int, repeats: int, seed: int):
    """One row: how often the interval covers, misses below and above, is not given."""
    rng = np.random.default_rng([seed, n_images])
    true = truth(name, kind, world)
    ends = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(repeats):
            ends.append(interval(name, *sample(kind, world, n_images, rng), rng))
    low, high = np.array(ends, dtype=float).T
    known = ~np.isnan(low)
    low, high = low[known], high[known]
    covered = ((low <= true + 1e-9) & (true - 1e-9 <= high)).mean()
    return {
        "metric": name,
        "confidence": kind,
        "world": world,
        "images": n_images,
        "truth": true,
        "coverage": covered,
        "error": np.sqrt(covered * (1 - covered) / max(known.sum(), 1)),
        "missed_below": (high < true).mean(),
        "missed_above": (low > true).mean(),
        "mean_width": (high - low).mean(),
        "no_interval": 1 - known.mean(),
        "repeats": repeats,
    }


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """By metric and number of images: mean and least coverage over the cells."""
    grouped = table.groupby(["metric", "images"], sort=False)["coverage"]
    wide = grouped.agg(["mean", "min"]).reset_index()
    text = wide["mean"].map("{:.3f}".format) + " (" + wide["min"].map("{:.3f})".format)
    return wide.assign(text=text).pivot(index="metric", columns="images", values="text")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--seed", type=int, default=2027)
    parser.add_argument("--images", type=int, nargs="+", default=[9, 23, 70, 398])
    parser.add_argument("--metrics", nargs="+", default=list(NAMES))
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS))
    parser.add_argument("--confidences", nargs="+", default=["continuous", "tens"])
    parser.add_argument("--out", default="build/bench")
    options = parser.parse_args()
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, n, kind, world in product(
        options.metrics, options.images, options.confidences, options.worlds
    ):
        rows.append(cell(name, kind, world, n, options.repeats, options.seed))
        table = pd.DataFrame(rows)
        table.to_csv(out / "coverage_intervals.csv", index=False, float_format="%.5g")
    print(summary(table).to_string())
    print(table.nsmallest(12, "coverage").to_string())


if __name__ == "__main__":
    main()
