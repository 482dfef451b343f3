"""Size and power of the tests of transfer, alone and after Holm; run by hand.

    python -m tests.bench.size_transfer [answers of the target] [samples]

At the margin: the source's map is shifted so that its mean cost over samples, against the refit
with these labels, is exactly the margin (found first by simulation). "Non-inferior" is then to be
concluded in at most 2.5 % of samples, and in at most 3 % of families of 4 or 10 such rows after
Holm; so is "inferior". Power: no cost at all, and a cost of 0.02.

The numbers in docs/intervals.md are of 1,600 samples.
"""

import sys
import time

import numpy as np
import pandas as pd
from scipy.special import expit

from medcal_nb.correct import transfer_study
from medcal_nb.measure import holm

MARGIN = 0.005
PER_IMAGE = 3
FAMILIES = (1, 4, 10)
SIZE = 0.025


def answers(rng, n, domain, shift):
    """Confidences in steps of 2 %; three answers an image, correlated within it."""
    image = np.arange(n) // PER_IMAGE
    common = rng.normal(0, 0.5, image.max() + 1)[image]
    c = np.round(rng.beta(4, 1.5, n) * 50) / 50
    c = np.clip(c, 0.01, 0.99)
    log_odds = np.log(c / (1 - c))
    y = rng.random(n) < expit(-0.4 + 0.8 * log_odds + shift + common)
    return pd.DataFrame(
        {
            "model": "m",
            "strategy": "s",
            "dataset": domain,
            "domain": domain,
            "item_id": [f"{domain}{i}" for i in range(n)],
            "image_id": [f"{domain}{i}" for i in image],
            "confidence": c,
            "correct": y.astype(float),
        }
    )


def sample(rng, n, shift, n_resamples):
    source = answers(rng, 2000, "general", 0.0)
    target = answers(rng, n, "medical", shift)
    study = transfer_study(
        source, target, margin=MARGIN, n_resamples=n_resamples, rng=rng
    )
    return study.table.iloc[0]


def shift_at(cost, n, n_samples):
    """Shift of the target at which the mean cost over samples is this one."""
    low = 0.1
    high = 0.9
    for step in (0.1, 0.02):
        shifts = np.arange(low, high + step, step)
        costs = []
        for shift in shifts:
            seeds = [[1, k] for k in range(n_samples)]
            rows = [sample(np.random.default_rng(s), n, shift, 2) for s in seeds]
            costs.append(np.mean([row.cost for row in rows]))
        found = float(np.interp(cost, costs, shifts))
        low = found - 0.03
        high = found + 0.03
        n_samples = 4 * n_samples
    return found


def concluded(p_values, k):
    """After Holm over k rows: share of families with any conclusion, and of rows with one."""
    families = p_values[: len(p_values) // k * k].reshape(-1, k)
    holds = np.array([holm(family) <= SIZE for family in families])
    return f"any of {k} {holds.any(axis=1).mean():.3f}, each {holds.mean():.3f}"


def main(n=1000, n_samples=600, n_resamples=1000):
    start = time.process_time()
    for world, cost in (
        ("cost at the margin", MARGIN),
        ("no cost", 0.0),
        ("cost .02", 0.02),
    ):
        shift = 0.0 if cost == 0 else shift_at(cost, n, n_samples // 6)
        rows = [
            sample(np.random.default_rng([2, k]), n, shift, n_resamples)
            for k in range(n_samples)
        ]
        table = pd.DataFrame(rows)
        print(
            f"{world}: n {n}, shift {shift:.3f}, mean cost {table['cost'].mean():.4f}"
        )
        for name in ("p_non_inferior", "p_inferior"):
            p = table[name].to_numpy(float)
            print(name, *[concluded(p, k) for k in FAMILIES], sep="; ")
    print(f"{time.process_time() - start:.0f} s of one core")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
