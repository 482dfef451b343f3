"""How often intervals cover the true value, in worlds where it is known.

    python -m tests.bench.coverage all [--repeats 240]
    python -m tests.bench.coverage checked [--repeats 200]
    python -m tests.bench.coverage ece [--repeats 200] [--seed 2027]
        [--worlds calibrated …] [--confidences continuous discrete] [--out build/bench]
    python -m tests.bench.coverage images [--metrics brier auroc slope risk ece …]
        [--confidences continuous tens bimodal] [--images 9 23 70 398] […]
    python -m tests.bench.coverage rare [--metrics gap observed_expected brier …]
        [--confidences independent dependent reversed] [--worlds 0.95 0.98 0.995] […]

*all* makes the numbers of docs/coverage.csv and their table in docs/intervals.md: every interval
that tables and reports print, in worlds where errors are many or rare (accuracy about .7 and .97),
answers alone or five to an image of which half share one fate, confidences continuous or heaped
(one in ten is 1).

*checked* makes the table of grades that err in docs/intervals.md: the same worlds, 800 answers with
the grades of a grader who takes 4 % of the right answers for wrong and 10 % of the wrong for right,
and a person's grades of 100 or 200 of them.

*ece* makes the table of docs/ece_interval.md: samples from a pool of answers, ours beside the
percentile bootstrap by image. In all but the last two worlds gaps point one way; in those the
forecaster is over- here and underconfident there.

*images* makes the table of docs/intervals.md. Images carry 1 to 12 answers, which are right or
wrong together: outcomes share a normal variable with a correlation of 0.4. 398 images are GQA's:
31 questions each, a correlation of 0.15, and confidences that are alike within an image, too. An
interval that is not given (NaN) is counted apart, in `no_interval`.

*rare* makes the table of rare errors in docs/intervals.md: worlds are accuracies, and confidences
from 0.8 to 1 say nothing of errors (*independent*), less where wrong, or more where wrong. Half of
the answers about an image share their fate, three in ten its confidence.
"""

import argparse
import warnings
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit, logit, ndtr

from medcal_nb import measure
from medcal_nb.measure import METRICS
from medcal_nb.measure.resampling import Resamples
from medcal_nb.measure.tables import scores

# worlds: slope and intercept of the logit of the accuracy on that of the confidence
ECE_WORLDS = {
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
ECE_SIZES = ((100, 1), (100, 3), (451, 1), (451, 3), (2000, 1), (2000, 3))
IMAGE_WORLDS = {
    "calibrated": (1.0, 0.0),
    "overconfident": (0.6, -0.6),
    "underconfident": (1.25, 0.4),
    "high accuracy": (0.8, 2.0),
}
DISCRETE = [0.2, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
DISCRETE_SHARES = [0.02, 0.03, 0.1, 0.15, 0.2, 0.2, 0.25, 0.05]
TENS = [0, 0.2, 0.7, 0.8, 0.85, 0.9, 0.95, 1]
TENS_SHARES = [0.03, 0.05, 0.1, 0.2, 0.2, 0.22, 0.15, 0.05]
RARE = [0.8, 0.9, 0.95, 1.0]
RARE_SHARES = [0.1, 0.3, 0.3, 0.3]
RARE_WRONG = {
    "independent": 1.0,
    "dependent": [21, 11, 6, 1],
    "reversed": [1, 2, 2.5, 3],
}
RARE_SIZES = [(n, per_image) for per_image in (1, 2, 5) for n in (41, 100, 300)]
BOOTSTRAPS = 200  # repeats that show how rarely the percentile bootstrap covers an ECE
MANY = 1e9  # times that each answer of a pool counts: sampling noise is not in a limit
KEPT_FROM = 0.8  # confidence from which answers count for the risk
CLIP = 0.005  # confidences of slope and intercept are moved so far inwards
GQA_IMAGES = 398
GQA_ANSWERS = 31


def true_accuracy(confidence, slope, intercept) -> np.ndarray:
    """Accuracy at each confidence; a calibrated world (1, 0) is so at 0 and 1, too."""
    if (slope, intercept) == (1, 0):
        return confidence
    return expit(intercept + slope * logit(np.clip(confidence, 0.01, 0.99)))


def inside(name, c):
    """Confidences as the slope and the intercept see them."""
    return np.clip(c, CLIP, 1 - CLIP) if name in ("slope", "intercept") else c


def limit(name, c, p) -> float:
    """A metric on endlessly many answers: each counts as right and as wrong, by its chance."""
    outcome = np.repeat([1.0, 0.0], c.size)
    sums = METRICS[name].sums(np.tile(inside(name, c), 2), outcome)
    weights = MANY * np.concatenate([p, 1 - p])
    place = np.broadcast_to(sums.cell, weights.shape)
    columns = [np.bincount(place, weights * one) for one in (1, *sums.features)]
    return sums.finish(np.stack(columns, axis=-1)[None])[0]


def covered(interval, sample, repeats, true) -> dict[str, float]:
    """How often the interval of a new sample covers the true value; NaN is no interval."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ends = np.array([interval(*sample()) for _ in range(repeats)], dtype=float)
    return shares(ends, true)


def shares(ends: np.ndarray, true: float) -> dict[str, float]:
    """How often (samples, 2) ends hold the true value, and on which side they miss it."""
    low, high = ends[~np.isnan(ends[:, 0])].T
    if not low.size:
        return {"truth": true, "coverage": np.nan, "no_interval": 1.0}
    return {
        "truth": true,
        "coverage": ((low <= true + 1e-9) & (true - 1e-9 <= high)).mean(),
        "missed_above": (low > true).mean(),
        "missed_below": (high < true).mean(),
        "mean_width": (high - low).mean(),
        "no_interval": 1 - low.size / len(ends),
    }


def percentiles(name, c, y, images, rng):
    """The percentile bootstrap that others use."""
    draws = METRICS[name].resampled(c, y, Resamples(images, 300, rng))
    return np.quantile(draws[1:], [0.025, 0.975])


def ours(name, c, y, images, rng):
    """Ends of the package's own interval."""
    # draws of its own for each sample: what they have in common would be in all of them
    ci = measure.Bootstrap(seed=int(rng.integers(2**32)), n=1000)
    if name == "risk":
        kept = c >= KEPT_FROM
        return measure.clustered_interval(1 - y[kept], images[kept])
    row = scores(inside(name, c), y, images, [name], ci)
    return row.get(f"{name}_low", np.nan), row.get(f"{name}_high", np.nan)


def confidences(kind: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """Any number, one of eight, or three in ten low and the others high."""
    if kind == "continuous":
        return rng.beta(5, 1.3, n)
    if kind == "bimodal":
        return np.where(rng.random(n) < 0.3, rng.beta(2, 8, n), rng.beta(12, 1.5, n))
    return rng.choice(TENS, n, p=TENS_SHARES)


def pool_sample(c, p, size, per_image, rng, alike=0.0):
    """Answers from a pool; half of those about an image share their fate, some their confidence."""
    chosen = rng.integers(0, c.size, size)
    fate = rng.random(size)
    images = np.arange(size) // per_image
    if per_image > 1:
        chosen = np.where(rng.random(size) < alike, chosen[images * per_image], chosen)
        fate = np.where(rng.random(size) < 0.5, rng.random(size)[images], fate)
    return c[chosen], (fate < p[chosen]).astype(float), images


def image_sample(kind: str, world: str, n_images: int, rng: np.random.Generator):
    """Confidence, outcome and image of answers about some images."""
    size = rng.integers(1, 13, n_images)
    correlation = 0.4
    if n_images == GQA_IMAGES:
        size = np.full(n_images, GQA_ANSWERS)
        correlation = 0.15
    images = np.repeat(np.arange(n_images), size)
    c = confidences(kind, images.size, rng)
    if n_images == GQA_IMAGES:  # a third of the answers repeat what their image got
        own = confidences(kind, n_images, rng)[images]
        c = np.where(rng.random(c.size) < 1 / 3, own, c)
    common = rng.standard_normal(n_images)[images]
    alone = rng.standard_normal(images.size)
    z = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * alone
    right = ndtr(z) < true_accuracy(c, *IMAGE_WORLDS[world])
    return c, right.astype(float), images


def ece_cell(name, kind, world, size, *, repeats, seed=0) -> list[dict]:
    """One row for ours and one for the percentile bootstrap."""
    n, per_image = size
    pool = np.random.default_rng(1)
    if kind == "continuous":
        c = pool.beta(4, 2, 200_000)
    else:
        c = pool.choice(DISCRETE, 200_000, p=DISCRETE_SHARES)
    p = true_accuracy(c, *ECE_WORLDS[world])
    true = limit(name, c, p)
    rng = np.random.default_rng([seed, n, per_image])
    answers = partial(pool_sample, c, p, n, per_image, rng)
    ways = {ours: repeats, percentiles: min(repeats, BOOTSTRAPS)}
    rows = []
    for way, times in ways.items():
        row = {"metric": name, "confidence": kind, "world": world, "n": n}
        row |= {"per_image": per_image, "interval": way.__name__}
        rows.append(row | covered(partial(way, name, rng=rng), answers, times, true))
    return rows


def image_cell(name, kind, world, n_images, *, repeats, seed=0) -> list[dict]:
    """One row."""
    c = confidences(kind, 50_000, np.random.default_rng(1))
    p = true_accuracy(c, *IMAGE_WORLDS[world])
    true = p.mean() if name == "accuracy" else 1 - p[c >= KEPT_FROM].mean()
    if name not in ("accuracy", "risk"):
        true = limit(name, c, p)
    rng = np.random.default_rng([seed, n_images])
    answers = partial(image_sample, kind, world, n_images, rng)
    row = {"metric": name, "confidence": kind, "world": world, "images": n_images}
    return [row | covered(partial(ours, name, rng=rng), answers, repeats, true)]


def rare_cell(name, kind, world, size, *, repeats, seed=0) -> list[dict]:
    """One row."""
    # 20 answers stand for the four confidences in their shares
    n_each = (20 * np.array(RARE_SHARES)).round().astype(int)
    c = np.repeat(RARE, n_each)
    weights = np.repeat(np.broadcast_to(RARE_WRONG[kind], len(RARE)), n_each)
    p = 1 - (1 - float(world)) * weights / weights.mean()
    rng = np.random.default_rng([seed, *size])
    answers = partial(pool_sample, c, p, *size, rng, alike=0.3)
    row = {"metric": name, "confidence": kind, "accuracy": world, "n": size[0]}
    row["per_image"] = size[1]
    interval = partial(ours, name, rng=rng)
    return [row | covered(interval, answers, repeats, limit(name, c, p))]


# how a cell is made, and its metrics, confidences, worlds and sizes
ECE = (["ece"], ["continuous", "discrete"], ECE_WORLDS, ECE_SIZES)
NAMES = "accuracy risk auroc brier brier_skill slope intercept gap ece"
IMAGES = (NAMES.split(), ["continuous", "tens"], IMAGE_WORLDS, [9, 23, 70, GQA_IMAGES])
RARES = (
    ["gap", "observed_expected", "brier"],
    list(RARE_WRONG),
    ["0.95", "0.98", "0.995"],
    RARE_SIZES,
)
BY = {"ece": "interval", "images": "images", "rare": "accuracy"}
DESIGNS = {
    "ece": (ece_cell, *ECE),
    "images": (image_cell, *IMAGES),
    "rare": (rare_cell, *RARES),
}


# --- every interval --------------------------------------------------------------------------

ERRORS = ["many", "rare"]
PER_IMAGE = {"alone": 1, "shared": 5}
HEAPS = [0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0]
HEAP_SHARES = [0.05, 0.1, 0.2, 0.15, 0.25, 0.15, 0.1]
ANSWERS = [100, 300]
SLOW = ["slope", "intercept"]  # of which a third of the samples is looked at
CHECKS = 5  # that a wrong answer costs
DIFFERENCES = ["accuracy", "gap", "brier", "brier_skill", "auroc"]
COSTS = ["deferring", "checking_none", "saving", "net_benefit"]
POOL = 20_000


class Pool(NamedTuple):
    """Answers to sample from: confidence, and the chance of being right."""

    c: np.ndarray
    p: np.ndarray


def pool_of(errors: str, kind: str) -> Pool:
    """Overconfident answers, or such of which 3 % are wrong, the less the surer they are."""
    rng = np.random.default_rng(1)
    c = rng.beta(5, 1.3, POOL)
    if kind == "heaped":
        c = rng.choice(HEAPS, POOL, p=HEAP_SHARES)
    if errors == "many":
        return Pool(c=c, p=true_accuracy(c, 0.6, 0.0))
    doubt = 1.1 - c
    return Pool(c=c, p=1 - 0.03 * doubt / doubt.mean())


def sampled(pool: Pool, n: int, per_image: int, rng) -> pd.DataFrame:
    """Answers; half of the images share one fate, and some the confidence."""
    images = np.arange(n) // per_image
    chosen = rng.integers(0, POOL, n)
    fate = rng.random(n)
    if per_image > 1:
        is_one = (rng.random(n) < 0.5)[images]  # (n,) whether its image is
        fate = np.where(is_one, rng.random(n)[images], fate)
        alike = rng.random(n) < 0.3
        chosen = np.where(alike, chosen[images * per_image], chosen)
    answers = pd.DataFrame({"item_id": np.arange(n), "image_id": images})
    answers["confidence"] = pool.c[chosen]
    answers["correct"] = (fate < pool.p[chosen]).astype(float)
    return answers


def other_method(pool: Pool, answers: pd.DataFrame, rng) -> pd.DataFrame:
    """A second confidence and answer to the same questions: half of them are the first's."""
    again = sampled(pool, len(answers), 1, rng)
    is_new = rng.random(len(answers)) < 0.5
    columns = ["confidence", "correct"]
    values = np.where(is_new[:, None], again[columns], answers[columns])
    return answers.assign(confidence=values[:, 0], correct=values[:, 1])


def truths(pool: Pool) -> dict[str, float]:
    """Every number on endlessly many answers."""
    c, p = pool
    true = {name: limit(name, c, p) for name in METRICS}
    is_kept = c >= 1 - 1 / CHECKS - 1e-6
    wrong = 1 - p
    true["deferring"] = np.where(is_kept, CHECKS * wrong, 1).mean()
    true["checking_none"] = CHECKS * wrong.mean()
    true["saving"] = min(1.0, true["checking_none"]) - true["deferring"]
    caught = np.where(is_kept, 0, wrong - p / (CHECKS - 1))
    true["net_benefit"] = caught.mean()
    true["risk"] = wrong[c >= KEPT_FROM].mean()
    for name in DIFFERENCES:
        for design in ("paired", "two samples"):
            true[f"{name}, {design}"] = 0.0
    return true


def intervals_of(pool: Pool, n: int, per_image: int, is_slow: bool, rng) -> dict:
    """Name -> ends, of every number of one sample."""
    ci = measure.Bootstrap(seed=int(rng.integers(2**32)), n=1000)
    answers = sampled(pool, n, per_image, rng)
    c = answers["confidence"].to_numpy()
    y = answers["correct"].to_numpy()
    images = answers["image_id"].to_numpy()
    ends = {}
    for name in METRICS:
        if is_slow or name not in SLOW:
            row = scores(inside(name, c), y, images, [name], ci)
            ends[name] = (
                row.get(f"{name}_low", np.nan),
                row.get(f"{name}_high", np.nan),
            )
    kept = c >= KEPT_FROM
    ends["risk"] = measure.clustered_interval(1 - y[kept], images[kept])
    costs = measure.expected_cost_table(answers, ratios=[CHECKS], ci=ci).iloc[0]
    for name in COSTS:
        ends[name] = costs[f"{name}_low"], costs[f"{name}_high"]
    two = sampled(pool, n, per_image, rng)
    others = {
        "paired": other_method(pool, answers, rng),
        "two samples": two.assign(image_id=two["image_id"] + n),
    }
    for design, other in others.items():
        both = pd.concat([answers.assign(arm="a"), other.assign(arm="b")])
        table = measure.difference_table(both, "arm", metrics=DIFFERENCES, ci=ci)
        for row in table.to_dict("records"):
            name = f"{row['metric']}, {design}"
            ends[name] = row["difference_low"], row["difference_high"]
    return ends


def every_cell(errors, images, kind, n, *, repeats, seed) -> pd.DataFrame:
    """One row for every number."""
    pool = pool_of(errors, kind)
    rng = np.random.default_rng([seed, n, PER_IMAGE[images]])
    samples = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k in range(repeats):
            of_sample = intervals_of(pool, n, PER_IMAGE[images], k % 3 == 0, rng)
            samples.append(of_sample)
    rows = []
    for name, true in truths(pool).items():
        ends = np.array([one[name] for one in samples if name in one], dtype=float)
        row = {"number": name, "errors": errors, "images": images}
        row |= {"confidences": kind, "n": n, "samples": len(ends)}
        rows.append(row | shares(ends, true))
    return pd.DataFrame(rows)


# --- grades that err -------------------------------------------------------------------------

CHECKED = [100, 200]
GRADED = 800
CORRECTED = ["accuracy", "gap", "brier", "ece", "auroc"]


def graded_twice(pool: Pool, n_checked: int, per_image: int, rng, errors=(0.04, 0.1)):
    """Answers with the grades of a grader, the right ones, and a person's of the first images.

    The grader errs in such shares of the right and of the wrong answers.
    """
    answers = sampled(pool, GRADED, per_image, rng)
    right = answers["correct"].to_numpy()
    errs = rng.random(GRADED) < np.where(right == 1, *errors)
    is_checked = answers["image_id"] * per_image < n_checked
    answers["checked"] = np.where(is_checked, right, np.nan)
    return answers.assign(correct=np.where(errs, 1 - right, right), right=right)


def checked_cell(errors, images, n_checked, *, repeats, seed) -> pd.DataFrame:
    """One row for every number, corrected, and by the grader's grades."""
    pool = pool_of(errors, "continuous")
    true = truths(pool)
    rng = np.random.default_rng([seed, n_checked, PER_IMAGE[images]])
    ends = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(repeats):
            ci = measure.Bootstrap(seed=int(rng.integers(2**32)), n=500)
            answers = graded_twice(pool, n_checked, PER_IMAGE[images], rng)
            table = measure.checked_table(answers, by=[], ci=ci)
            naive = measure.metrics_table(answers, by=[], metrics=CORRECTED, ci=ci)
            for row in table.to_dict("records"):
                name = row["metric"]
                own = row["corrected_low"], row["corrected_high"]
                grader = naive.loc[0, [f"{name}_low", f"{name}_high"]]
                ends.setdefault((name, "corrected"), []).append(own)
                ends.setdefault((name, "grader's"), []).append(grader)
    rows = []
    for (name, grades), of_samples in ends.items():
        row = {"number": name, "grades": grades, "errors": errors, "images": images}
        row["n_checked"] = n_checked
        row |= shares(np.array(of_samples, dtype=float), true[name])
        rows.append(row)
    return pd.DataFrame(rows)


def every_checked(repeats: int, seed: int, to: Path) -> None:
    """All cells, written after each."""
    tables = []
    for cell in product(ERRORS, PER_IMAGE, CHECKED):
        tables.append(checked_cell(*cell, repeats=repeats, seed=seed))
        table = pd.concat(tables, ignore_index=True)
        table.to_csv(to, index=False, float_format="%.4g")
    columns = ["errors", "images", "n_checked"]
    values = ["coverage", "mean_width"]
    wide = table.pivot_table(values, ["number", "grades"], columns, sort=False)
    print(wide.round(3).to_string())


def as_markdown(table: pd.DataFrame) -> str:
    """The table of docs/intervals.md: coverage with 100 and 300 answers, by world."""
    given = table["coverage"].map("{:.3f}".format).str.lstrip("0")
    rare = table["no_interval"] > 0.2  # of the samples have none
    given = given.where(~rare, given + "*").where(table["no_interval"] < 1, "–")
    wide = table.assign(text=given).pivot_table(
        index="number",
        columns=["errors", "images", "confidences"],
        values="text",
        aggfunc=" ".join,
        sort=False,
    )
    heads = [", ".join(column) for column in wide]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (1 + len(heads)) + "|"]
    for name, row in wide.iterrows():
        lines.append(f"| {name.replace('_', ' ')} | " + " | ".join(row) + " |")
    return "\n".join(lines)


def every_interval(repeats: int, seed: int, to: Path) -> None:
    """All cells, written after each."""
    tables = []
    for cell in product(ERRORS, PER_IMAGE, ["continuous", "heaped"], ANSWERS):
        tables.append(every_cell(*cell, repeats=repeats, seed=seed))
        table = pd.concat(tables, ignore_index=True)
        table.to_csv(to, index=False, float_format="%.4g")
    print(as_markdown(table))


#: Designs that have all of their cells in one run, and the file of each.
WHOLE = {
    "all": (every_interval, "coverage.csv"),
    "checked": (every_checked, "coverage_checked.csv"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("design", choices=[*WHOLE, *DESIGNS])
    for name in ("--metrics", "--confidences", "--worlds"):
        parser.add_argument(name, nargs="+")
    parser.add_argument("--images", nargs="+", type=int)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--seed", type=int, default=2027)
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.design in WHOLE:
        make, name = WHOLE[options.design]
        make(options.repeats, options.seed, options.out / name)
        return
    cell, names, kinds, worlds, sizes = DESIGNS[options.design]
    rows = []
    for one in product(
        options.metrics or names,
        options.confidences or kinds,
        options.worlds or worlds,
        options.images or sizes,
    ):
        rows += cell(*one, repeats=options.repeats, seed=options.seed)
        table = pd.DataFrame(rows)
        table.to_csv(options.out / f"coverage_{options.design}.csv", index=False)
    by = ["metric", BY[options.design]]
    print(table.groupby(by)["coverage"].agg(["mean", "min"]).round(3).to_string())


if __name__ == "__main__":
    main()
