"""Size and power of the tests of transfer, alone and after Holm; run by hand.

    python -m tests.bench.size_transfer [answers of the target] [samples]

At the margin: the source's map is shifted so that its mean cost over samples, against the refit
with these labels, is exactly the margin (found first by simulation). "Non-inferior" is then to be
concluded in at most 2.5 % of samples, and in at most 3 % of families of such rows after Holm; so is
"inferior". Power: no cost at all, and a cost of four margins. docs/intervals.md has the numbers.
"""

import sys

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from medcal_nb.correct import transfer_study
from medcal_nb.measure import Bootstrap, holm

MARGIN = 0.005
FAMILIES = (1, 4, 10, 35)
SIZE = 0.025


def answers(rng, n, domain, shift):
    """Confidences in steps of 2 %; three answers an image, correlated within it."""
    image = np.arange(n) // 3
    common = rng.normal(0, 0.5, image.max() + 1)[image]
    c = np.clip(np.round(rng.beta(4, 1.5, n) * 50) / 50, 0.01, 0.99)
    y = rng.random(n) < expit(-0.4 + 0.8 * logit(c) + shift + common)
    names = {"model": "m", "strategy": "s", "dataset": domain, "domain": domain}
    ids = {"item_id": np.arange(n), "image_id": image}
    return pd.DataFrame(names | ids | {"confidence": c, "correct": y.astype(float)})


def samples(seed, n_samples, n, shift, n_resamples):
    """The row of the transfer table of each sample."""
    rows = []
    for k in range(n_samples):
        rng = np.random.default_rng([seed, k])
        source = answers(rng, 2000, "general", 0.0)
        target = answers(rng, n, "medical", shift)
        how = {"margin": MARGIN, "ci": Bootstrap(seed=k, n=n_resamples)}
        rows.append(transfer_study(source, target, **how).table.iloc[0])
    return pd.DataFrame(rows)


def shift_at(cost, n, n_samples):
    """Shift of the target at which the mean cost over samples is this one."""
    low, high = 0.1, 0.9
    for step in (0.1, 0.02):
        shifts = np.arange(low, high + step, step)
        costs = [samples(1, n_samples, n, s, 2)["cost"].mean() for s in shifts]
        shift = float(np.interp(cost, costs, shifts))
        low, high = shift - 0.03, shift + 0.03
        n_samples = 4 * n_samples
    return shift


def concluded(p_values, k):
    """After Holm over k rows: share of families with any conclusion, and of rows with one."""
    families = p_values[: len(p_values) // k * k].reshape(-1, k)
    holds = np.array([holm(family) <= SIZE for family in families])
    return f"any of {k} {holds.any(axis=1).mean():.3f}, each {holds.mean():.3f}"


def main(n=1000, n_samples=1600):
    for times in (1, 0, 4):
        cost = times * MARGIN
        shift = shift_at(cost, n, n_samples // 6) if cost else 0.0
        table = samples(2, n_samples, n, shift, 1000)
        print(f"n {n}, shift {shift:.3f}, mean cost {table['cost'].mean():.4f}")
        for name in ("p_non_inferior", "p_inferior"):
            p = table[name].to_numpy(float)
            print(name, *[concluded(p, k) for k in FAMILIES], sep="; ")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
