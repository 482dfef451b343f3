"""How often intervals of the ECE hold the truth, in worlds where it is known.

    python -m tests.bench.coverage_ece [--repeats 1000] [--seed 2027] [--out build/bench] [--ici]

The table in docs/ece_interval.md is made by this. Every cell draws samples from a known world,
and asks the percentile bootstrap (by image) and `ece_interval` for 95 %. In all but the last two
worlds gaps point one way; in those the forecaster is over- here and underconfident there.
"""

import argparse
import warnings
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from medcal_nb.measure import METRICS, ece_interval, ici_interval
from medcal_nb.measure.resampling import Resamples

WORLDS = {  # slope and intercept of the logit of the accuracy on that of the confidence
    "calibrated": (1.0, 0.0),
    "slightly overconfident": (0.9, -0.05),
    "mildly overconfident": (0.8, -0.1),
    "strongly overconfident": (0.6, -0.6),
    "slightly underconfident": (1.1, 0.05),
    "mildly underconfident": (1.25, 0.2),
    "strongly underconfident": (1.6, 0.6),
    "too extreme": (0.4, 0.45),
    "too cautious": (1.8, -0.7),
}
STATED = np.array([0.2, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
SHARES = [0.02, 0.03, 0.1, 0.15, 0.2, 0.2, 0.25, 0.05]
CELLS = ((100, 1), (100, 3), (451, 1), (451, 3), (2000, 1), (2000, 3))
POOL = 200_000
MANY = 1e9  # times that each answer of a pool counts: chance is not in a limit
COMMON = 0.5  # how often answers about one image share their fate
BOOTSTRAPS = 200  # repeats that tell how rarely the percentile bootstrap holds


def confidences(kind: str) -> np.ndarray:
    """A pool of stated confidences: any number, or one of eight."""
    rng = np.random.default_rng(1)
    if kind == "continuous":
        return rng.beta(4, 2, POOL)
    return rng.choice(STATED, POOL, p=SHARES)


def true_accuracy(confidence, slope, intercept) -> np.ndarray:
    """Accuracy at each confidence: logit p = intercept + slope · logit c, c within [0.01, 0.99].

    A calibrated world (1, 0) is so at 0 and 1, too.
    """
    if (slope, intercept) == (1, 0):
        return confidence
    inside = np.clip(confidence, 0.01, 0.99)
    return 1 / (1 + np.exp(-slope * np.log(inside / (1 - inside)) - intercept))


def limit(name, c, p, **options) -> float:
    """A metric on endlessly many answers: each counts as right and as wrong, by its chance."""
    outcome = np.repeat([1.0, 0.0], c.size)
    sums = METRICS[name].sums(np.tile(c, 2), outcome, **options)
    return sums.value(MANY * np.concatenate([p, 1 - p]))


def world_sample(c, p, size, per_image, rng):
    """Confidence, outcome and image of answers from a pool; those of an image share their fate."""
    chosen = rng.integers(0, c.size, size)
    fate = rng.random(size)
    images = np.arange(size) // per_image
    if per_image > 1:
        common = rng.random(size)[images]
        fate = np.where(rng.random(size) < COMMON, common, fate)
    return c[chosen], (fate < p[chosen]).astype(float), images


def bootstrap(c, y, images, name, rng):
    """The plain percentiles that others use."""
    draws = METRICS[name].resampled(c, y, Resamples(images, 300, rng))
    return np.quantile(draws[1:], [0.025, 0.975])


def inversion(c, y, images, name, rng):
    """Ours."""
    if name == "ici":
        return ici_interval(c, y, groups=images, rng=rng)[::2]
    binning = "mass" if name == "ece_mass" else "width"
    return ece_interval(c, y, binning=binning, groups=images, rng=rng)[::2]


def cell(kind, world, n, per_image, *, name="ece", repeats, seed=0) -> pd.DataFrame:
    """How often either interval covers in one cell of the table: one row each."""
    c = confidences(kind)
    p = true_accuracy(c, *WORLDS[world])
    truth = limit(name, c, p)
    rng = np.random.default_rng([seed, n, per_image])
    rows = []
    few = min(repeats, BOOTSTRAPS)
    for made, times in ((inversion, repeats), (bootstrap, few)):
        ends = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(times):
                sample = world_sample(c, p, n, per_image, rng)
                ends.append(made(*sample, name, rng))
        low, high = np.array(ends).T
        row = {"confidence": kind, "world": world, "n": n, "per_image": per_image}
        row |= {"metric": name, "interval": made.__name__, "truth": truth}
        row |= {"coverage": ((low <= truth) & (truth <= high)).mean()}
        row |= {"missed_above": (low > truth).mean()}
        row |= {"missed_below": (high < truth).mean()}
        rows.append(row | {"mean_width": (high - low).mean()})
        if name == "ici":
            break  # its bootstrap would take minutes
    return pd.DataFrame(rows)


def as_markdown(table: pd.DataFrame) -> str:
    """The table of the page: one row a cell, equal width and equal mass side by side."""
    keys = ["confidence", "world", "n", "per_image"]
    lines = []
    for key, part in table.groupby(keys, sort=False):
        cells = [f"{value}" for value in key]
        for name in part["metric"].unique():
            two = part[part["metric"] == name].set_index("interval")
            held, plain = two.loc["inversion"], two.loc["bootstrap"]
            cells += [f"{held.truth:.4f}", f"**{held.coverage:.3f}**"]
            cells += [f"{held.missed_above:.3f}", f"{held.missed_below:.3f}"]
            cells += [f"{held.mean_width:.3f}"]
            cells += [f"{held.mean_width / plain.mean_width:.2f}"]
            cells += [f"{plain.coverage:.3f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=2027)
    parser.add_argument("--out", default="build/bench", help="folder of the tables")
    parser.add_argument("--ici", action="store_true", help="check ici_interval")
    options = parser.parse_args()
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    one = partial(cell, repeats=options.repeats, seed=options.seed)
    names = ["ici"] if options.ici else ["ece", "ece_mass"]
    parts = []
    for name, kind, world, size in product(
        names, ("continuous", "discrete"), WORLDS, CELLS
    ):
        parts.append(one(kind, world, *size, name=name))
        table = pd.concat(parts)
        table.to_csv(out / f"coverage_{names[0]}.csv", index=False)
    if not options.ici:
        (out / "coverage_ece.md").write_text(as_markdown(table), encoding="utf-8")


if __name__ == "__main__":
    main()
