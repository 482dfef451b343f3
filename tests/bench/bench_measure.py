"""How fast the measuring room is beside its peers, in one process.

    python -m tests.bench.bench_measure [--rounds 5] [--quick] [--out build/bench]

Each task is run by ours and by each peer in turn, round after round; seconds are medians over
rounds and ratios medians of the ratios within rounds, so that a busy machine slows both sides of
a ratio. A peer too slow for the whole task does a part of it, counted up (its note says so). A
peer that is not installed, or cannot do a task, is named as such. Before anything is timed, its
value is compared with ours: the column `difference` is peer − ours.
"""

import argparse
import importlib
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from medcal_nb import measure

PEERS = {
    "netcal": "netcal.metrics",
    "relplot": "relplot",
    "torchmetrics": "torchmetrics.functional.classification",
    "MAPIE": "mapie.metrics.calibration",
    "scikit-learn": "sklearn.calibration",
    "calibstats": "calibstats",
    "uncertainty-calibration": "calibration",
    "torch-uncertainty": "torch_uncertainty.metrics.classification",
}
RESAMPLES = 1000


@dataclass
class Peer:
    """One way to do a task; `part` is the share of the task that a call does."""

    run: Callable
    part: float = 1.0
    note: str = ""


@dataclass
class Task:
    name: str
    n: int
    ours: Callable
    peers: dict[str, Peer]
    bar: str = ""
    rows: list = field(default_factory=list)

    def measure(self, rounds: int) -> None:
        reference = _number(self.ours())
        seconds = {"medcal": []}
        values = {}
        notes = {name: peer.note for name, peer in self.peers.items()}
        for name, peer in self.peers.items():
            try:
                values[name] = _number(peer.run())
                seconds[name] = []
            except Exception as error:
                notes[name] = f"failed: {type(error).__name__}: {str(error).splitlines()[0][:80]}"
        for _ in range(rounds):
            for name in seconds:
                run = self.ours if name == "medcal" else self.peers[name].run
                start = time.perf_counter()
                run()
                spent = time.perf_counter() - start
                seconds[name].append(spent / (1 if name == "medcal" else self.peers[name].part))
        for name in ["medcal", *self.peers]:
            row = {"task": self.name, "n": self.n, "tool": name, "bar": ""}
            if name in seconds:
                row["seconds"] = statistics.median(seconds[name])
                pairs = zip(seconds[name], seconds["medcal"], strict=True)
                row["ratio"] = statistics.median(theirs / mine for theirs, mine in pairs)
            if name == "medcal":
                row |= {"note": "", "bar": self.bar}
            else:
                row |= {"note": notes[name], "difference": values.get(name, np.nan) - reference}
            self.rows.append(row)


def _number(value) -> float:
    if value is None:
        return np.nan
    if hasattr(value, "estimate"):
        value = value.estimate
    return float(value)


def load_peers() -> tuple[dict, dict]:
    """Modules of the peers that import here, and why the others do not."""
    found, absent = {}, {}
    for name, module in PEERS.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found[name] = importlib.import_module(module)
        except Exception as error:
            absent[name] = f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"
    return found, absent


def forecasts(n: int, digits: int | None = None, seed: int = 0):
    rng = np.random.default_rng(seed)
    c = rng.beta(3, 1.2, n)
    if digits is not None:
        c = c.round(digits)
    return c, (rng.random(n) < c**1.4).astype(float)


def ece_peers(found: dict, c, y) -> dict[str, Callable]:
    """ECE of 15 equal-width bins by each peer, on data in the form it likes."""
    peers = {"numpy": partial(numpy_ece, c, y)}
    labels = y.astype(int)
    if "netcal" in found:
        metric = found["netcal"].ECE(15)
        peers["netcal"] = lambda: metric.measure(c, labels)
    if "relplot" in found:
        peers["relplot"] = lambda: found["relplot"].metrics.binnedECE(c, y, nbins=15)
    if "torchmetrics" in found:
        import torch

        tensors = torch.from_numpy(c), torch.from_numpy(labels)
        call = found["torchmetrics"].binary_calibration_error
        peers["torchmetrics"] = lambda: call(*tensors, n_bins=15)
    if "MAPIE" in found:
        call_mapie = found["MAPIE"].expected_calibration_error
        peers["MAPIE"] = lambda: call_mapie(labels, c, num_bins=15, split_strategy="uniform")
    if "scikit-learn" in found:
        peers["scikit-learn"] = lambda: sklearn_ece(found["scikit-learn"], c, labels)
    if "calibstats" in found:
        peers["calibstats"] = lambda: found["calibstats"].ece(c, labels)
    if "uncertainty-calibration" in found:
        peers["uncertainty-calibration"] = lambda: found["uncertainty-calibration"].get_ce(
            c, labels
        )
    if "torch-uncertainty" in found:
        import torch

        pair = torch.from_numpy(c), torch.from_numpy(labels)
        kind = found["torch-uncertainty"].CalibrationError

        def torch_uncertainty_ece():
            metric = kind(task="binary", num_bins=15)
            metric.update(*pair)
            return metric.compute()

        peers["torch-uncertainty"] = torch_uncertainty_ece
    return peers


def numpy_ece(c, y):
    """What one would write: no checks, edges not looked at."""
    index = np.minimum((c * 15).astype(np.intp), 14)
    return np.abs(np.bincount(index, y - c, 15)).sum() / c.size


def sklearn_ece(module, c, labels):
    acc, conf = module.calibration_curve(labels, c, n_bins=15)
    count, _ = np.histogram(c, np.linspace(0, 1, 16))
    return (count[count > 0] * np.abs(acc - conf)).sum() / c.size


def uncertainty_calibration_ece(module):
    """Its equal-width bins on a plain (confidence, outcome) pair, which it has no name for."""

    def get_ce(c, labels):
        edges = list(np.arange(1, 16) / 15)
        data = list(zip(c, labels, strict=True))
        return module.utils.plugin_ce(module.utils.bin(data, edges), power=1)

    return get_ce


def ece_tasks(found, sizes):
    for n in sizes:
        c, y = forecasts(n)
        peers = {name: Peer(run) for name, run in ece_peers(found, c, y).items()}
        yield Task("ECE, 15 bins", n, partial(measure.ece, c, y), peers)


def interval_peers(found, c, y, groups, part):
    """A loop around each peer's ECE; by images, rows of the drawn images are gathered."""
    rng = np.random.default_rng(1)
    members = None
    if groups is not None:
        order = np.argsort(groups, kind="stable")
        members = np.split(order, np.bincount(groups).cumsum()[:-1])

    def rows():
        if members is None:
            return rng.integers(0, c.size, c.size)
        drawn = rng.integers(0, len(members), len(members))
        return np.concatenate([members[g] for g in drawn])

    def loop(share):
        def run(name):
            for _ in range(max(1, round(share * RESAMPLES))):
                at = rows()
                ece_peers({k: v for k, v in found.items() if k == name}, c[at], y[at])[name]()

        return run

    out = {}
    names = ["numpy", *(name for name in found)]
    slow = {"uncertainty-calibration": 0.002, "torch-uncertainty": 0.02}
    for name in names:
        share = min(part, slow.get(name, 1.0))
        if name == "calibstats" and members is None:
            module, count = found[name], max(2, round(share * RESAMPLES))
            run = partial(module.bootstrap_ci, c, y.astype(int), module.ece, n_boot=count)
            out[name] = Peer(run, count / RESAMPLES, _share_note(count / RESAMPLES, "bootstrap_ci"))
            continue
        share = max(1, round(share * RESAMPLES)) / RESAMPLES
        out[name] = Peer(partial(loop(share), name), share, _share_note(share, "loop"))
    return out


def _share_note(share, what):
    return what if share == 1 else f"{what}; {round(share * RESAMPLES)} resamples, counted up"


def interval_tasks(found, quick):
    for n in (10_000, 100_000):
        for kind, digits in (("continuous", None), ("two decimals", 2)):
            for by_image in (False, True):
                c, y = forecasts(n, digits)
                groups = np.arange(n) // 3 if by_image else None
                part = (0.02 if n > 10_000 else 0.1) / (2 if quick else 1)
                peers = interval_peers(found, c, y, groups, part)
                bar = ""
                if n == 10_000 and not by_image:
                    bar = f"≥ {20 if digits is None else 50}× netcal"
                yield Task(
                    f"ECE interval, {RESAMPLES} resamples, {kind}"
                    + (", by image" if by_image else ""),
                    n,
                    partial(
                        measure.bootstrap_interval,
                        measure.ece,
                        c,
                        y,
                        groups=groups,
                        n_resamples=RESAMPLES,
                        rng=np.random.default_rng(2),
                    ),
                    peers,
                    bar,
                )


def aurc_task(found, n):
    rng = np.random.default_rng(3)
    c = 0.5 + 0.5 * rng.random(n)
    y = (rng.random(n) < c).astype(float)

    def numpy_aurc():
        order = np.argsort(-c)
        return ((1 - y[order]).cumsum() / np.arange(1, n + 1)).mean()

    peers = {"numpy": Peer(numpy_aurc, note="sort and cumulate; wrong under ties")}
    if "torch-uncertainty" in found:
        import torch

        probabilities = torch.from_numpy(np.stack([1 - c, c], 1))
        labels = torch.from_numpy(y.astype(int))

        def torch_uncertainty_aurc():
            metric = found["torch-uncertainty"].AURC()
            metric.update(probabilities, labels)
            return metric.compute()

        peers["torch-uncertainty"] = Peer(torch_uncertainty_aurc)
    if "uncertainty-calibration" in found:
        module = found["uncertainty-calibration"]
        peers["uncertainty-calibration"] = Peer(
            lambda: 1 - module.utils.get_selective_stats(c, y)[0]
        )
    return Task("AURC", n, partial(measure.aurc, c, y), peers)


def smooth_tasks(found):
    n = 100_000
    c, y = forecasts(n)
    peers = {}
    if "relplot" in found:
        found["relplot"].config.use_logit_scaling = False
        peers["relplot"] = Peer(lambda: found["relplot"].smECE(c, y))
    if "torch-uncertainty" in found:
        import torch

        pair = torch.from_numpy(c).float(), torch.from_numpy(y).float()

        def torch_uncertainty_smooth():
            """Its defaults measure something else: `update` mirrors answers with a confidence
            below ½ (confidence 1 − c, outcome 1 − y), which cancels residuals of opposite sign,
            and it smooths in log-odds. Given the pairs as they are and the reflected kernel of
            the definition it meets ours and relplot."""
            metric = found["torch-uncertainty"].SmoothCalibrationError(kernel_type="reflected")
            metric.confidences.append(pair[0])
            metric.accuracies.append(pair[1])
            return metric.compute()

        peers["torch-uncertainty"] = Peer(
            torch_uncertainty_smooth,
            note="reflected kernel, pairs as given: its update() mirrors confidences below ½",
        )
    yield Task("smooth ECE", n, partial(measure.smooth_ece, c, y), peers, "faster than relplot")

    n = 10_000
    few_c, few_y = forecasts(n)
    peers = {}
    if "relplot" in found:
        rng = np.random.default_rng(4)

        def relplot_loop():
            for _ in range(20):
                at = rng.integers(0, n, n)
                found["relplot"].smECE(few_c[at], few_y[at])

        peers["relplot"] = Peer(relplot_loop, 20 / RESAMPLES, "loop; 20 resamples, counted up")
    yield Task(
        f"smooth ECE interval, {RESAMPLES} resamples",
        n,
        partial(
            measure.bootstrap_interval,
            measure.smooth_ece,
            few_c,
            few_y,
            n_resamples=RESAMPLES,
            rng=np.random.default_rng(5),
        ),
        peers,
        "faster than relplot",
    )


def temperature_task(found, n=100_000, k=4):
    from medcal_nb.correct import fit

    rng = np.random.default_rng(6)
    logits = 1.5 * rng.normal(size=(n, k))
    odds = np.exp(logits / 2)
    share = odds / odds.sum(1, keepdims=True)
    gold = (rng.random((n, 1)) > share.cumsum(1)).sum(1)
    odds = np.exp(logits)
    p = odds / odds.sum(1, keepdims=True)
    peers = {}
    if "netcal" in found:
        from netcal.scaling import TemperatureScaling

        def netcal_fit():
            return 1 / TemperatureScaling().fit(p, gold).weights[0]

        peers["netcal"] = Peer(netcal_fit)
    if "calibstats" in found:
        kind = found["calibstats"].TemperatureScaler
        peers["calibstats"] = Peer(lambda: kind("probs").fit(p, gold).temperature_)
    if "scikit-learn" in found:
        peers["scikit-learn"] = Peer(lambda: sklearn_temperature(logits, gold))
    if "torch-uncertainty" in found:
        peers["torch-uncertainty"] = Peer(lambda: torch_uncertainty_temperature(logits, gold))

    def ours():
        return fit(p, gold, method="temperature").params["temperature"]

    return Task(f"temperature of {k} options", n, ours, peers)


def sklearn_temperature(logits, gold):
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    class Given(ClassifierMixin, BaseEstimator):
        classes_ = np.arange(logits.shape[1])

        def __sklearn_is_fitted__(self):
            return True

        def fit(self, X, y):
            return self

        def decision_function(self, X):
            return X

        def predict(self, X):
            return X.argmax(1)

    fitted = CalibratedClassifierCV(FrozenEstimator(Given()), method="temperature").fit(
        logits, gold
    )
    return 1 / fitted.calibrated_classifiers_[0].calibrators[0].beta_


def torch_uncertainty_temperature(logits, gold):
    import torch
    from torch.utils.data import DataLoader, TensorDataset
    from torch_uncertainty.post_processing import TemperatureScaler

    data = TensorDataset(torch.from_numpy(logits).float(), torch.from_numpy(gold))
    scaler = TemperatureScaler()
    scaler.fit(DataLoader(data, batch_size=len(data)), progress=False)
    return 1 / float(scaler.inv_temperature[0])


def import_rows(rounds: int) -> list[dict]:
    """Seconds to import, less those of an empty interpreter, and `medcal --help`."""

    def seconds(*command):
        spent = []
        for _ in range(rounds):
            start = time.perf_counter()
            done = subprocess.run(command, capture_output=True)
            spent.append(time.perf_counter() - start)
        return statistics.median(spent) if done.returncode == 0 else np.nan

    empty = seconds(sys.executable, "-c", "pass")
    rows = []
    modules = ["medcal_nb", "medcal_nb.measure", *PEERS.values()]
    names = ["medcal", "medcal", *PEERS]
    mine = None
    for module, name in zip(modules, names, strict=True):
        spent = seconds(sys.executable, "-c", f"import {module}") - empty
        mine = spent if module == "medcal_nb.measure" else mine
        rows.append(
            {
                "task": f"import {module}",
                "tool": name,
                "seconds": spent,
                "ratio": spent / mine if mine else np.nan,
                "bar": "under 0.3 s" if module == "medcal_nb" else "",
                "note": "" if np.isfinite(spent) else "does not import here",
            }
        )
    command = Path(sys.executable).with_name("medcal")
    program = [str(command)] if command.exists() else [sys.executable, "-m", "medcal_nb.cli"]
    rows.append(
        {
            "task": "medcal --help",
            "tool": "medcal",
            "seconds": seconds(*program, "--help"),
            "bar": "under 0.5 s",
        }
    )
    return rows


LARGE = """
import resource, sys, time
import numpy as np
from medcal_nb import measure
n, digits = int(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(0)
c = rng.beta(3, 1.2, n)
if digits:
    c = c.round(digits)
y = (rng.random(n) < c).astype(float)
held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
for metric in measure.metric_functions().values():
    if getattr(metric, "__name__", "") not in ("ici", "e50", "e90"):
        metric(c, y)
points = time.perf_counter() - start
start = time.perf_counter()
measure.bootstrap_interval(measure.ece, c, y, n_resamples=int(sys.argv[3]), rng=rng)
interval = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(points, interval, peak / 2**20, held / 2**20)
"""


def large_rows(quick: bool) -> list[dict]:
    """Ten million answers in a process of their own: seconds and peak memory."""
    rows = []
    resamples = 100
    sizes = (1_000_000,) if quick else (1_000_000, 10_000_000)
    for n in sizes:
        for kind, digits in (("continuous", 0), ("two decimals", 2)):
            done = subprocess.run(
                [sys.executable, "-c", LARGE, str(n), str(digits), str(resamples)],
                capture_output=True,
                text=True,
                check=True,
            )
            points, interval, peak, held = map(float, done.stdout.split())
            memory = f"peak {peak:.2f} GB, {held:.2f} of it the data"
            for task, seconds in (
                (f"all metrics, {kind}", points),
                (f"ECE interval, {resamples} resamples, {kind}", interval),
            ):
                rows.append(
                    {
                        "task": task,
                        "n": n,
                        "tool": "medcal",
                        "seconds": seconds,
                        "note": memory,
                        "bar": "under 2 GB" if n == 10_000_000 else "",
                    }
                )
    return rows


def shown(value, form: str) -> str:
    return "" if value is None or pd.isna(value) else format(value, form)


def ratio_table(table: pd.DataFrame) -> str:
    """The tasks as rows: our seconds, and how many times longer each peer takes."""
    known = table[table["ratio"].notna() & table["n"].notna()]
    ours = known[known["tool"] == "medcal"].set_index(["task", "n"])["seconds"]
    peers = list(dict.fromkeys(known["tool"][known["tool"] != "medcal"]))
    ratio = known.set_index(["task", "n", "tool"])["ratio"]
    lines = [
        "| task | n | ours, ms | " + " | ".join(peers) + " |",
        "|---|---:|---:|" + "---:|" * len(peers),
    ]
    for (task, n), seconds in ours.items():
        cells = [shown(ratio.get((task, n, peer)), ",.1f") for peer in peers]
        lines.append(f"| {task} | {int(n):,} | {1000 * seconds:.3g} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def as_markdown(table: pd.DataFrame, absent: dict, rounds: int) -> str:
    lines = [
        "# Measuring, beside its peers",
        "",
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy "
        f"{np.__version__}; one process, {rounds} rounds in turn, medians. A ratio above 1: the "
        "peer takes that many times longer. `difference`: peer − ours.",
        "",
    ]
    if absent:
        lines += ["Absent here: " + "; ".join(f"{k} ({v})" for k, v in absent.items()) + ".", ""]
    lines += [ratio_table(table), ""]
    lines += [
        "| task | n | tool | seconds | ratio | difference | bar | note |",
        "|---|---:|---|---:|---:|---:|---|---|",
    ]

    for row in table.itertuples():
        n = "" if pd.isna(row.n) else f"{int(row.n):,}"
        lines.append(
            f"| {row.task} | {n} | {row.tool} | {shown(row.seconds, '.4g')} | "
            f"{shown(row.ratio, '.3g')} | {shown(row.difference, '.1e')} | "
            f"{row.bar if isinstance(row.bar, str) else ''} | "
            f"{row.note if isinstance(row.note, str) else ''} |"
        )
    return "\n".join(lines) + "\n"


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="build/bench", help="folder of measure.md and measure.csv")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and resamples of peers")
    options = parser.parse_args(argv)
    rounds = 3 if options.quick else options.rounds
    warnings.simplefilter("ignore")
    found, absent = load_peers()
    if "uncertainty-calibration" in found:
        module = found["uncertainty-calibration"]
        module.get_ce = uncertainty_calibration_ece(module)

    def tasks():
        yield from ece_tasks(found, (100_000, 1_000_000))
        yield from interval_tasks(found, options.quick)
        yield aurc_task(found, 1_000_000)
        yield from smooth_tasks(found)
        yield temperature_task(found)

    rows = []
    for task in tasks():
        task.measure(rounds)
        rows += task.rows
        for row in task.rows:
            print(
                f"{row['task']:58} {row['n']:>9,} {row['tool']:24} "
                f"{row.get('seconds', np.nan):9.4f} s {row.get('ratio', np.nan):9.2f}×  "
                f"{row['note']}",
                flush=True,
            )
    rows += import_rows(rounds)
    rows += large_rows(options.quick)
    columns = ["task", "n", "tool", "seconds", "ratio", "difference", "bar", "note"]
    table = pd.DataFrame(rows, columns=columns)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / "measure.csv", index=False, float_format="%.6g")
    (out / "measure.md").write_text(as_markdown(table, absent, rounds), encoding="utf-8")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{out / 'measure.md'}; absent: {', '.join(absent) or 'none'}; peak {peak:.1f} GB")


if __name__ == "__main__":
    main()
