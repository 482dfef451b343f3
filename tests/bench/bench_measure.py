"""How fast the measuring room is beside its peers, in one process.

    python -m tests.bench.bench_measure [--rounds 5] [--quick] [--out build/bench]

Each task is run by ours and by each peer in turn, round after round; seconds are CPU time, medians
over rounds, and ratios medians of the ratios within rounds, so that a busy machine slows both
sides of a ratio. A peer too slow for the whole task does a part of it, counted up.
"""

import argparse
import importlib
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from medcal_nb import measure
from medcal_nb.measure.intervals import metric_interval
from medcal_nb.measure.resampling import Resamples

RESAMPLES = 1000
PART = 10  # resamples that a looping peer really does, counted up to 1,000
COLUMNS = ["task", "n", "tool", "seconds", "ratio", "difference", "bar", "note"]


@dataclass
class Peer:
    """One way to do a task; `part` is the share of the task that a call does."""

    run: Callable
    part: float = 1.0


@dataclass
class Task:
    """What is timed: ours against peers, with the bar that the ratio should reach."""

    name: str
    n: int
    ours: Callable
    peers: dict[str, Peer]
    bar: str = ""

    def measure(self, rounds: int) -> list[dict]:
        """One row a tool; `difference` is the peer's value less ours where it does all of it."""
        value, rows = self.ours(), []
        spent = [timed(self.ours) for _ in range(rounds)]
        base = {"task": self.name, "n": self.n}
        mine = base | {
            "tool": "medcal",
            "seconds": statistics.median(spent),
            "ratio": 1.0,
        }
        rows.append(mine | {"bar": self.bar})
        for tool, peer in self.peers.items():
            try:
                found = peer.run()
                pairs = [
                    (timed(self.ours), timed(peer.run) / peer.part)
                    for _ in range(rounds)
                ]
            except Exception as error:
                told = str(error).splitlines()[0] if str(error) else ""
                rows.append(
                    base
                    | {"tool": tool, "note": f"failed: {type(error).__name__}: {told}"}
                )
                continue
            row = base | {
                "tool": tool,
                "seconds": statistics.median(p for _, p in pairs),
            }
            row["ratio"] = statistics.median(p / max(o, 1e-9) for o, p in pairs)
            if peer.part == 1 and isinstance(value, float):
                row["difference"] = float(found) - value
            rows.append(row)
        return rows


def timed(run: Callable) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    run()
    return time.process_time() - start


def sample(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Overconfident answers with continuous confidences."""
    rng = np.random.default_rng(seed)
    c = rng.beta(4, 2, n)
    return c, (rng.random(n) < c**1.3).astype(float)


def loop(stat, c, y, part=PART) -> Peer:
    """The bootstrap as a loop over resamples of rows, as scripts around netcal have it."""
    rng = np.random.default_rng(0)

    def run():
        values = []
        for _ in range(part):
            at = rng.integers(0, c.size, c.size)
            values.append(stat(c[at], y[at]))
        return np.quantile(values, [0.025, 0.975])

    return Peer(run, part / RESAMPLES)


def load(name: str):
    """A peer's module, or None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def ece_tasks(sizes) -> list[Task]:
    """The ECE itself, and its interval against a thousand resamples of a peer's."""
    tasks = []
    netcal, relplot = load("netcal.metrics"), load("relplot")
    for n in sizes:
        c, y = sample(n)
        peers, loops = {}, {}
        if netcal:
            metric, labels = netcal.ECE(15), y.astype(int)
            peers["netcal"] = Peer(lambda m=metric, c=c, y=labels: m.measure(c, y))
            loops["netcal in a loop"] = loop(
                lambda a, b, m=metric: m.measure(a, b), c, labels
            )
        if relplot:
            loops["relplot in a loop"] = loop(relplot.metrics.binnedECE, c, y)
        ours, rng = (lambda c=c, y=y: measure.ece(c, y)), np.random.default_rng(0)
        tasks.append(Task("ECE, 15 bins", n, ours, peers))
        for name, groups in (
            ("ECE interval", None),
            ("ECE interval by image", np.arange(n) // 3),
        ):
            tasks.append(
                Task(
                    name,
                    n,
                    lambda c=c, y=y, g=groups, rng=rng: measure.ece_interval(
                        c, y, groups=g, rng=rng
                    ),
                    loops if groups is None else {},
                    "netcal 200x, relplot 20x" if groups is None else "",
                )
            )
    return tasks


def bootstrap_tasks(sizes) -> list[Task]:
    """Intervals of Brier score, log loss and AUROC against the loop."""
    from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

    rng = np.random.default_rng(0)

    def interval(name, c, y):
        drawn = Resamples(None, RESAMPLES, rng, n=c.size)
        return metric_interval(measure.METRICS[name], c, y, drawn, level=0.95)

    plain = {
        "Brier score": (
            partial(interval, "brier"),
            lambda c, y: brier_score_loss(y, c),
        ),
        "log loss": (partial(interval, "log_loss"), lambda c, y: log_loss(y, c)),
        "AUROC": (measure.auroc_test, lambda c, y: roc_auc_score(y, c)),
    }
    tasks = []
    for n in sizes:
        c, y = sample(n)
        for name, (stat, peer) in plain.items():
            ours = partial(stat, c, y)
            tasks.append(
                Task(
                    f"{name}, interval",
                    n,
                    ours,
                    {"loop": loop(peer, c, y)},
                    "loop 20x",
                )
            )
    return tasks


def as_markdown(table: pd.DataFrame) -> str:
    """The table as Markdown, blank where nothing is known."""
    shown = table.reindex(columns=COLUMNS).fillna("")
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for row in shown.itertuples(index=False):
        cells = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="small sizes, one round")
    parser.add_argument(
        "--out", default="build/bench", help="folder of measure.md and measure.csv"
    )
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    threadpool_limits(1)  # processor time of threads that wait would count
    sizes = (1_000,) if options.quick else (10_000, 100_000)
    rounds = 1 if options.quick else options.rounds
    tasks = [*ece_tasks(sizes), *bootstrap_tasks(sizes)]
    rows = [row for task in tasks for row in task.measure(rounds)]
    table = pd.DataFrame(rows).reindex(columns=COLUMNS)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / "measure.csv", index=False, float_format="%.6g")
    (out / "measure.md").write_text(as_markdown(table), encoding="utf-8")
    print(as_markdown(table))


if __name__ == "__main__":
    main()
