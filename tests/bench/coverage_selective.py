"""Certified thresholds in worlds whose truth is known: how much is kept, how often it is wrong.

Run by hand: ``python -m tests.bench.coverage_selective``; two minutes on one core. Prints the
mean coverage over all samples, the share of samples without a threshold, and the share whose
threshold exceeds the risk, for thresholds by answer and by image.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, logit

from medcal_nb.measure import (
    certification_table,
    mrmc_auroc,
)

TARGET = 0.2
DELTA = 0.1
SAMPLES = 600
POOL = 40_000
#: Variances of case, condition and case, interaction with readers, noise, reader (Roe & Metz).
STRUCTURES = {
    "cases shared, readers alike": (0.3, 0.3, 0.2, 0.2, 0.0055),
    "cases shared, readers differ": (0.3, 0.3, 0.2, 0.2, 0.03),
    "cases apart, readers alike": (0.1, 0.1, 0.2, 0.6, 0.0055),
    "cases apart, readers differ": (0.1, 0.1, 0.2, 0.6, 0.03),
}


def shifted(risk: float, slope: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return a truth of logit shape that has this risk over all answers of Beta(4, 1.5)."""
    c = np.random.default_rng(0).beta(4, 1.5, POOL)
    odds = slope * logit(np.clip(c, 0.005, 0.995))
    shift = brentq(lambda a: (1 - expit(a + odds)).mean() - risk, -8, 8)

    def truth(confidence: np.ndarray) -> np.ndarray:
        return expit(shift + slope * logit(np.clip(confidence, 0.005, 0.995)))

    return truth


def qwen() -> tuple[np.ndarray, np.ndarray]:
    """Return confidence and grade of a real model's trained probe on medical images."""
    from medcal_nb.answers.recorded import load_recorded

    answers = load_recorded("vlcb").query(
        "dataset == 'GMAI-MMBench' and model == 'Qwen3-VL-8B-Instruct' "
        "and strategy == 'probe_pik'"
    )
    return answers["confidence"].to_numpy(float), answers["correct"].to_numpy(float)


def pool_of(
    truth: Callable[[np.ndarray], np.ndarray],
    rng: np.random.Generator,
    *,
    uniform: bool,
    per_image: int = 1,
    correlation: float = 0.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return confidence, grade and image; images have 1 to `per_image` answers."""
    images = np.repeat(np.arange(POOL), rng.integers(1, per_image + 1, POOL))
    n = images.size
    c = rng.uniform(0.5, 1, n) if uniform else rng.beta(4, 1.5, n)
    own = rng.random(n)
    shared = rng.random(POOL)[images]
    threshold = np.where(rng.random(n) < correlation, shared, own)
    return c, (threshold < truth(c)).astype(float), images


def row(world: str, table: pd.DataFrame) -> list[str]:
    """Return the lines of one world."""
    lines = []
    for size in table.itertuples():
        lines.append(
            f"{world:<44} {size.n_fit:>5} {size.mean_coverage:>9.3f} "
            f"{1 - size.certified:>8.3f} {size.violated:>9.3f}"
        )
    return lines


def certified() -> None:
    """Print the coverage of certified thresholds."""
    rng = np.random.default_rng(1)
    options = {"target": TARGET, "delta": DELTA, "n_repeats": SAMPLES, "rng": rng}
    print(f"{'world':<44} {'n':>5} {'coverage':>9} {'nothing':>8} {'exceeded':>9}")
    c, y = qwen()
    table = certification_table(c, y, sizes=(100, 200, 400, 1000), **options)
    print("\n".join(row("Qwen3-VL-8B, P(IK)", table)))
    worlds = {
        "calibrated, uniform .5 to 1": lambda c: c,
        "risk .203 everywhere": lambda c: np.full(c.size, 0.797),
    }
    for name, truth in worlds.items():
        c, y, _ = pool_of(truth, rng, uniform=True)
        table = certification_table(c, y, sizes=(50, 100, 200, 400, 1000), **options)
        print("\n".join(row(name, table)))
    by_image = {
        "risk .16": shifted(0.16, 0.8),
        "risk .30": shifted(0.30, 0.8),
        "risk .203 everywhere": lambda c: np.full(c.size, 0.797),
    }
    for name, truth in by_image.items():
        for correlation in (0.0, 0.4):
            c, y, images = pool_of(
                truth, rng, uniform=False, per_image=3, correlation=correlation
            )
            table = certification_table(
                c, y, groups=images, sizes=(50, 100, 200, 400), **options
            )
            world = f"by image, {name}, correlation {correlation:g}"
            print("\n".join(row(world, table)))


def roe_metz(
    rng: np.random.Generator, n_readers: int, n_cases: int, separation: float, name: str
) -> np.ndarray:
    """Return scores of two conditions that do not differ: (condition, reader, case)."""
    case, arm_case, interaction, noise, reader = np.sqrt(STRUCTURES[name])
    positive = np.arange(2 * n_cases) >= n_cases
    shape = (n_readers, 2 * n_cases)

    def of_readers() -> np.ndarray:
        both = rng.normal(0, reader, (n_readers, 2))  # a reader's shift in each class
        return both[:, positive.astype(int)]

    shared = of_readers() + rng.normal(0, case, 2 * n_cases)
    shared = shared + rng.normal(0, interaction / np.sqrt(2), shape)
    arms = []
    for _ in range(2):
        own = of_readers() + rng.normal(0, arm_case, 2 * n_cases)
        own = own + rng.normal(0, interaction / np.sqrt(2), shape)
        arms.append(separation * positive + shared + own + rng.normal(0, noise, shape))
    return np.array(arms)


def readers(worlds: int = 300, n_cases: int = 40) -> None:
    """Print how often 95 % intervals over readers and cases cover the truth."""
    from scipy.special import ndtr

    print(
        f"{'structure':<32} {'readers':>7} {'AUROC':>6} {'one':>6} {'difference':>10}"
    )
    for name, variances in STRUCTURES.items():
        for n_readers, separation in ((5, 0.75), (5, 1.5), (10, 1.5), (20, 0.75)):
            rng = np.random.default_rng(3)
            true = ndtr(separation / np.sqrt(2 * (1 + 2 * variances[-1])))
            reader, case = np.divmod(np.arange(n_readers * 2 * n_cases), 2 * n_cases)
            hits = np.zeros((worlds, 2))
            for world in range(worlds):
                scores = roe_metz(rng, n_readers, n_cases, separation, name)
                one = mrmc_auroc(scores[0].ravel(), case >= n_cases, reader, case)
                difference = mrmc_auroc(
                    scores.ravel(),
                    np.tile(case >= n_cases, 2),
                    np.tile(reader, 2),
                    np.tile(case, 2),
                    condition=np.repeat([0, 1], reader.size),
                )
                hits[world, 0] = one.low <= true <= one.high
                hits[world, 1] = difference.low <= 0 <= difference.high
            shares = hits.mean(axis=0)
            print(
                f"{name:<32} {n_readers:>7} {true:>6.3f} {shares[0]:>6.3f} {shares[1]:>10.3f}"
            )


if __name__ == "__main__":
    certified()
    readers()
