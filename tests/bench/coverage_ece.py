"""How often intervals of the ECE hold the truth, in worlds where it is known.

    python -m tests.bench.coverage_ece [--repeats 1000] [--seed 2027] [--out build/bench] [--ici]

The table in docs/ece_interval.md is made by this. Every cell draws samples from a known world,
and asks the percentile bootstrap (by image) and `ece_interval` for 95 %. In all but the last two
worlds gaps point one way; in those the forecaster is over- here and underconfident there.
"""

import argparse
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from medcal_nb.measure import coverage_table, ici, ici_interval
from medcal_nb.measure.planning import limit, world_sample

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
BOOTSTRAPS = 200  # repeats that tell how rarely the percentile bootstrap holds


def confidences(kind: str) -> np.ndarray:
    """A pool of stated confidences: any number, or one of eight."""
    rng = np.random.default_rng(1)
    return (
        rng.beta(4, 2, POOL)
        if kind == "continuous"
        else rng.choice(STATED, POOL, p=SHARES)
    )


def true_accuracy(confidence, slope, intercept) -> np.ndarray:
    """Accuracy at each confidence: logit p = intercept + slope · logit c, c within [0.01, 0.99].

    A calibrated world (1, 0) is so at 0 and 1, too.
    """
    if (slope, intercept) == (1, 0):
        return confidence
    inside = np.clip(confidence, 0.01, 0.99)
    return 1 / (1 + np.exp(-slope * np.log(inside / (1 - inside)) - intercept))


def cell(kind, world, n, per_image, *, binning, repeats, seed=0) -> pd.DataFrame:
    """The two rows (bootstrap, inversion) of one cell of the table."""
    c = confidences(kind)
    p = true_accuracy(c, *WORLDS[world])
    rng = np.random.default_rng([seed, n, per_image])
    options = {
        "binning": binning,
        "per_image": per_image,
        "n_repeats": repeats,
        "rng": rng,
    }
    table = coverage_table(c, p, (n,), made=("inversion",), **options)
    options["n_repeats"] = min(repeats, BOOTSTRAPS)
    plain = coverage_table(c, p, (n,), made=("bootstrap",), **options)
    table = pd.concat([plain, table])
    place = {
        "confidence": kind,
        "world": world,
        "per_image": per_image,
        "binning": binning,
    }
    return table.assign(**place)


def ici_cell(kind, world, n, per_image, *, repeats, seed=0) -> dict:
    """How often `ici_interval` holds the ICI of endlessly many answers, in one cell."""
    c = confidences(kind)
    p = true_accuracy(c, *WORLDS[world])
    truth = limit(c, p, ici)
    rng = np.random.default_rng([seed, n, per_image])
    samples = (world_sample(c, p, n, per_image, rng) for _ in range(repeats))
    ends = [ici_interval(c, y, groups=images, rng=rng)[::2] for c, y, images in samples]
    low, high = np.array(ends).T
    row = {
        "confidence": kind,
        "world": world,
        "n": n,
        "per_image": per_image,
        "truth": truth,
    }
    row |= {"coverage": np.mean((low <= truth) & (truth <= high))}
    row |= {"missed_above": np.mean(low > truth), "missed_below": np.mean(high < truth)}
    return row | {"mean_width": np.mean(high - low), "n_repeats": repeats}


def as_markdown(table: pd.DataFrame) -> str:
    """The table in words of the page: one row a cell, equal width and equal mass side by side."""
    keys = ["confidence", "world", "n", "per_image"]
    lines = []
    for key, part in table.groupby(keys, sort=False):
        kind, world, n, per_image = key
        cells = [kind, world, f"{n:,}", str(per_image)]
        for binning in part["binning"].unique():
            two = part[part["binning"] == binning].set_index("interval")
            held, plain = two.loc["inversion"], two.loc["bootstrap"]
            cells += [f"{held.truth:.4f}", f"**{held.coverage:.3f}**"]
            cells += [f"{held.missed_above:.3f}", f"{held.missed_below:.3f}"]
            cells += [
                f"{held.mean_width:.3f}",
                f"{held.mean_width / plain.mean_width:.2f}",
            ]
            cells += [f"{plain.coverage:.3f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=2027)
    parser.add_argument(
        "--out", default="build/bench", help="folder of coverage_ece.csv and .md"
    )
    parser.add_argument(
        "--ici", action="store_true", help="check ici_interval: coverage_ici.csv"
    )
    options = parser.parse_args()
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    if options.ici:
        how = {"repeats": options.repeats, "seed": options.seed}
        cells = product(("continuous", "discrete"), WORLDS, CELLS)
        rows = [ici_cell(kind, world, *size, **how) for kind, world, size in cells]
        pd.DataFrame(rows).to_csv(
            out / "coverage_ici.csv", index=False, float_format="%.5g"
        )
        return
    parts = []
    for binning, kind, world, (n, per_image) in product(
        ("width", "mass"), ("continuous", "discrete"), WORLDS, CELLS
    ):
        how = {"binning": binning, "repeats": options.repeats, "seed": options.seed}
        parts.append(cell(kind, world, n, per_image, **how))
        table = pd.concat(parts)
        table.to_csv(out / "coverage_ece.csv", index=False, float_format="%.5g")
    (out / "coverage_ece.md").write_text(as_markdown(table), encoding="utf-8")


if __name__ == "__main__":
    main()
