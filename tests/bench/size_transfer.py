"""Size of the non-inferiority test of transfer, and its speed; run by hand.

    python -m tests.bench.size_transfer

A row at the margin: the source's map is shifted so that its cost against the refit with these
labels is exactly the margin. The estimand is a mean over samples, found first by simulation; then
the share of samples in which transfer is called non-inferior, or inferior, is counted. Both are
to be at most 3.5 %, 2.5 % being the size of either test.
"""

import sys
import time

import numpy as np
import pandas as pd
from scipy.special import expit

from medcal_nb.correct import transfer_study

MARGIN = 0.005
N_IMAGES = 150
PER_IMAGE = 3


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


def sample(rng, shift, n_resamples):
    source = answers(rng, 2000, "general", 0.0)
    target = answers(rng, N_IMAGES * PER_IMAGE, "medical", shift)
    study = transfer_study(
        source,
        target,
        margin=MARGIN,
        n_resamples=n_resamples,
        rng=rng,
    )
    return study.table.iloc[0]


def shift_at_the_margin(n):
    """Shift of the target at which the mean cost over samples is the margin."""
    shifts = np.array([0.2, 0.3, 0.4, 0.5])
    costs = []
    for shift in shifts:
        drawn = [sample(np.random.default_rng([1, k]), shift, 2).cost for k in range(n)]
        costs.append(np.mean(drawn))
    return float(np.interp(MARGIN, costs, shifts))


def main(n_samples=600, n_resamples=400):
    start = time.process_time()
    shift = shift_at_the_margin(n_samples // 3)
    conclusions = []
    costs = []
    for k in range(n_samples):
        row = sample(np.random.default_rng([2, k]), shift, n_resamples)
        conclusions.append(row.conclusion)
        costs.append(row.cost)
    counts = pd.Series(conclusions).value_counts(normalize=True)
    print(f"shift {shift:.3f}, mean cost {np.mean(costs):.4f}, {n_samples} samples")
    print(counts.round(3).to_string())
    print(f"{time.process_time() - start:.0f} s of one core")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
