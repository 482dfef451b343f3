"""How fast the statistics are beside their peers, in one process.

    python -m tests.bench.bench_measure [--rounds 5] [--quick] [--out build/bench]

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
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from threadpoolctl import threadpool_limits

from medcal_nb import measure
from medcal_nb.measure.intervals import metric_interval
from medcal_nb.measure.resampling import Resamples

RESAMPLES = 1000
PART = 10  # resamples that a looping peer really does


def timed(run):
    """CPU seconds of one call."""
    start = time.process_time()
    run()
    return time.process_time() - start


def compare(task, ours, peers, rounds):
    """One row for ours and one a peer; a peer is what to run, and how often that is counted.

    `difference` is the peer's value less ours, where it does the whole task.
    """
    value = ours()
    seconds = np.median([timed(ours) for _ in range(rounds)])
    rows = [task | {"tool": "medcal", "seconds": seconds, "ratio": 1.0}]
    for tool, (run, times) in peers.items():
        row = task | {"tool": tool}
        if times == 1:
            row["difference"] = run() - value
        pairs = [(timed(ours), times * timed(run)) for _ in range(rounds)]
        mine, theirs = np.transpose(pairs)
        row["seconds"] = np.median(theirs)
        row["ratio"] = np.median(theirs / np.maximum(mine, 1e-9))
        rows.append(row)
    return rows


def looped(stat, c, y):
    """The bootstrap as a loop over resamples of rows, as scripts around netcal have it."""
    rng = np.random.default_rng(0)

    def run():
        values = []
        for _ in range(PART):
            rows = rng.integers(0, c.size, c.size)
            values.append(stat(c[rows], y[rows]))
        return np.quantile(values, [0.025, 0.975])

    return run, RESAMPLES / PART


def interval(name, c, y):
    resamples = Resamples(None, RESAMPLES, np.random.default_rng(0), n=c.size)
    return metric_interval(measure.METRICS[name], c, y, resamples, level=0.95)


def tasks(n):
    """Name of each task, ours, and its peers, on `n` overconfident answers."""
    rng = np.random.default_rng(0)
    c = rng.beta(4, 2, n)
    y = (rng.random(n) < c**1.3).astype(int)
    ece = netcal.metrics.ECE(15).measure
    loops = {
        "netcal in a loop": looped(ece, c, y),
        "relplot in a loop": looped(relplot.metrics.binnedECE, c, y),
    }
    by_image = partial(measure.ece_interval, groups=np.arange(n) // 3)
    yield (
        "ECE, 15 bins",
        partial(measure.ece, c, y),
        {"netcal": (partial(ece, c, y), 1)},
    )
    yield "ECE interval", partial(measure.ece_interval, c, y, rng=rng), loops
    yield "ECE interval by image", partial(by_image, c, y, rng=rng), {}
    for name, ours, peer in (
        ("Brier score", partial(interval, "brier"), brier_score_loss),
        ("log loss", partial(interval, "log_loss"), log_loss),
        ("AUROC", measure.auroc_test, roc_auc_score),
    ):
        loop = looped(lambda a, b, score=peer: score(b, a), c, y)
        yield f"{name}, interval", partial(ours, c, y), {"loop": loop}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="small sizes, one round")
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    options = parser.parse_args(arguments)
    rows = []
    # processor time of threads that wait would count
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n in (1_000,) if options.quick else (10_000, 100_000):
            for name, ours, peers in tasks(n):
                task = {"task": name, "n": n}
                rounds = 1 if options.quick else options.rounds
                rows += compare(task, ours, peers, rounds)
    table = pd.DataFrame(rows)
    options.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(options.out / "measure.csv", index=False, float_format="%.6g")
    print(table.to_string(index=False, float_format="%.3g"))
    return table


if __name__ == "__main__":
    main()
