"""How often intervals of the ECE hold the truth, in worlds where it is known.

    python -m tests.bench.coverage_ece [--repeats 1000] [--binning width] [--out build/bench]

The table in docs/ece_interval.md is made by this. Every cell draws samples from a known world,
and asks the percentile bootstrap (by image) and `ece_interval` for 95 %.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from medcal_nb.measure import WORLDS, coverage_table, true_accuracy

STATED = np.array([0.2, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
SHARES = [0.02, 0.03, 0.1, 0.15, 0.2, 0.2, 0.25, 0.05]
CELLS = ((100, 1), (100, 3), (451, 1), (451, 3), (2000, 1), (2000, 3))
POOL = 200_000
BOOTSTRAPS = 200  # repeats that tell how rarely the percentile bootstrap holds


def confidences(kind: str) -> np.ndarray:
    """A pool of stated confidences: any number, or one of eight."""
    rng = np.random.default_rng(1)
    return rng.beta(4, 2, POOL) if kind == "continuous" else rng.choice(STATED, POOL, p=SHARES)


def cell(kind, world, n, per_image, *, binning, repeats, seed=0) -> pd.DataFrame:
    """The two rows (bootstrap, inversion) of one cell of the table."""
    c = confidences(kind)
    p = true_accuracy(c, *WORLDS[world])
    rng = np.random.default_rng([seed, n, per_image])
    options = {"binning": binning, "per_image": per_image, "n_repeats": repeats, "rng": rng}
    table = coverage_table(c, p, (n,), only=("ece",), made=("inversion",), **options)
    options["n_repeats"] = min(repeats, BOOTSTRAPS)
    plain = coverage_table(c, p, (n,), only=("ece",), made=("bootstrap",), **options)
    table = pd.concat([plain, table])
    place = {"confidence": kind, "world": world, "per_image": per_image, "binning": binning}
    return table.assign(**place)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--binning", default="width", choices=["width", "mass"])
    parser.add_argument("--kinds", nargs="+", default=["continuous", "discrete"])
    parser.add_argument("--out", default="build/bench", help="folder of coverage_ece_*.csv")
    options = parser.parse_args()
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    name = f"coverage_ece_{options.binning}_{'_'.join(options.kinds)}.csv"
    parts = []
    for kind in options.kinds:
        for world in WORLDS:
            for n, per_image in CELLS:
                binning, repeats = options.binning, options.repeats
                parts.append(cell(kind, world, n, per_image, binning=binning, repeats=repeats))
                pd.concat(parts).to_csv(out / name, index=False, float_format="%.5g")


if __name__ == "__main__":
    main()
