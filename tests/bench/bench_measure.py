"""How fast the statistics are beside their peers, in one process.

    python -m tests.bench.bench_measure [--rounds 5] [--n 10000 100000] [--out build/bench]

Each task is run by ours and by each peer in turn, round after round; seconds are CPU time, medians
over rounds, and ratios medians of the ratios within rounds, so that a busy machine slows both
sides of a ratio. A loop over 1,000 resamples does ten of them, counted up.
"""

import argparse
import time
import warnings
from functools import partial
from pathlib import Path

import netcal.metrics
import numpy as np
import pandas as pd
import relplot
from sklearn.metrics import brier_score_loss, roc_auc_score
from threadpoolctl import threadpool_limits

from medcal_nb import measure
from medcal_nb.measure.tables import scores

RESAMPLES = 1000
PART = 10  # resamples that a looping peer really does


def timed(run):
    """CPU seconds of one call."""
    start = time.process_time()
    run()
    return time.process_time() - start


def compare(task, ours, peers, rounds):
    """One row for ours and one a peer; a peer is what to run, and how often that is counted."""
    ours()  # not measured
    seconds = np.median([timed(ours) for _ in range(rounds)])
    rows = [task | {"tool": "medcal", "seconds": seconds, "ratio": 1.0}]
    for tool, (run, times) in peers.items():
        pairs = [(timed(ours), times * timed(run)) for _ in range(rounds)]
        mine, theirs = np.transpose(pairs)
        row = {"seconds": np.median(theirs), "ratio": np.median(theirs / mine)}
        rows.append(task | {"tool": tool} | row)
    return rows


def looped(stat, c, y):
    """The bootstrap as a loop over resamples of rows, as scripts around netcal have it."""
    rng = np.random.default_rng(0)

    def run():
        rows = rng.integers(0, c.size, (PART, c.size))
        values = [stat(c[row], y[row]) for row in rows]
        return np.quantile(values, [0.025, 0.975])

    return run, RESAMPLES / PART


def interval(name, c, y):
    """The interval that tables show, of the metric's own kind."""
    ci = measure.Bootstrap(n=RESAMPLES)
    return scores(c, y, np.arange(c.size), [name], ci)


def area(c, y):
    """AURC as scripts compute it: answers sorted, a cumulative mean; ties as they come."""
    wrong = 1 - y[np.argsort(-c, kind="stable")]
    return np.mean(np.cumsum(wrong) / np.arange(1, c.size + 1))


def tasks(n):
    """Each task with ours and its peers, on `n` overconfident answers."""
    rng = np.random.default_rng(0)
    c = rng.beta(4, 2, n)
    y = (rng.random(n) < c**1.3).astype(int)
    netcal_ece = netcal.metrics.ECE(15).measure
    once = {"netcal": (partial(netcal_ece, c, y), 1)}
    loops = {
        "netcal in a loop": looped(netcal_ece, c, y),
        "relplot in a loop": looped(relplot.metrics.binnedECE, c, y),
    }
    brier = {"loop": looped(lambda a, b: brier_score_loss(b, a), c, y)}
    auroc = {"loop": looped(lambda a, b: roc_auc_score(b, a), c, y)}
    by_image = {"groups": np.arange(n) // 3}
    return {
        "ECE, 15 bins": (partial(measure.ece, c, y), once),
        "ECE interval": (partial(measure.ece_interval, c, y), loops),
        "ECE interval by image": (partial(measure.ece_interval, c, y, **by_image), {}),
        "Brier score, interval": (partial(interval, "brier", c, y), brier),
        "AURC, interval": (
            partial(interval, "aurc", c, y),
            {"loop": looped(area, c, y)},
        ),
        "AUROC, interval": (partial(measure.auroc_test, c, y), auroc),
    }


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--n", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    options = parser.parse_args(arguments)
    rows = []
    # processor time of threads that wait would count
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n in options.n:
            for task, how in tasks(n).items():
                rows += compare({"task": task, "n": n}, *how, options.rounds)
    table = pd.DataFrame(rows)
    options.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(options.out / "measure.csv", index=False, float_format="%.6g")
    print(table.to_string(index=False, float_format="%.3g"))
    return table


if __name__ == "__main__":
    main()
