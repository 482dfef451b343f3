"""How often the intervals of `measure.accuracy_trend_table` cover, where the truth is known.

    python -m tests.bench.trend [--repeats 1000] [--seed 2027]

Exams of subjects whose accuracy is normal (mean .30, SD .12, within .05 to .95), with 57 questions
a subject, answered by 1 or 5 models that share questions' difficulty. Mean confidence of a subject
is .90 + slope × (accuracy − .30) + a normal number of a subject's own (SD .02; of a medical one
also twice that: scatter 2); medical subjects do not differ at equal accuracy (what is added to them
is added to the estimate, exactly); right answers carry .03 more of it than wrong ones (the
coupling). Prints, as a Markdown table, the coverage of slope and offset, their means, and the mean
slope of plain least squares.
"""

import argparse
from itertools import product

import numpy as np
import pandas as pd
from scipy.special import ndtri

from medcal_nb.measure.trend import trend

N_QUESTIONS = 57
MEAN, SPREAD, OWN, COUPLING = 0.30, 0.12, 0.02, 0.03


def draw(rng, subjects, *, slope, n_models, scatter=1, n_questions=N_QUESTIONS):
    """Right answers and confidences, (subjects, questions, models), the medical ones first."""
    n_groups = sum(subjects)
    share = np.clip(rng.normal(MEAN, SPREAD, n_groups), 0.05, 0.95)
    own = OWN * np.where(np.arange(n_groups) < subjects[0], scatter, 1)
    level = 0.9 + slope * (share - MEAN) + rng.normal(0, own)
    shape = (n_groups, n_questions, n_models)
    shared = rng.normal(size=(n_groups, n_questions, 1))
    noise = np.sqrt(0.4) * shared + np.sqrt(0.6) * rng.normal(size=shape)
    right = noise < ndtri(share)[:, None, None]
    sure = level[:, None, None] + COUPLING * (right - share[:, None, None])
    return right.astype(float), sure + rng.normal(0, 0.1, shape)


def exam(rng, subjects, **how):
    """The same as a table of answers."""
    right, sure = draw(rng, subjects, **how)
    group, question, _ = np.indices(right.shape).reshape(3, -1)
    return pd.DataFrame(
        {
            "subject": group,
            "domain": np.where(group < subjects[0], "medical", "other"),
            "item_id": group * right.shape[1] + question,
            "correct": right.ravel().astype(bool),
            "confidence": sure.ravel(),
        }
    )


def means_of(right, sure):
    """Means of subjects and their variances by question, as of `measure.group_means`."""
    n = right.shape[1]
    means = {"accuracy": right.mean((1, 2)), "confidence": sure.mean((1, 2))}
    # (subjects, questions)
    away = right.mean(2) - means["accuracy"][:, None]
    of_sure = sure.mean(2) - means["confidence"][:, None]
    pairs = n * (n - 1)
    means["accuracy_var"] = (away**2).sum(1) / pairs
    means["covariance"] = (away * of_sure).sum(1) / pairs
    return pd.DataFrame(means)


def cell(repeats, seed, subjects, **how):
    """Coverage in one world, and the mean estimates."""
    is_medical = (np.arange(sum(subjects)) < subjects[0]).astype(float)
    rows = []
    for k in range(repeats):
        rng = np.random.default_rng([seed, k])
        means = means_of(*draw(rng, subjects, **how))
        means = means.assign(compared=is_medical, shift=is_medical)
        rows.append(trend(means, "confidence", 0.95))
    table = pd.DataFrame(rows)
    covers = {"slope given": table["accuracy_slope"].notna().mean()}
    for name, true in (("accuracy_slope", how["slope"]), ("offset", 0)):
        inside = table[f"{name}_low"].le(true) & table[f"{name}_high"].ge(true)
        covers[f"{name} covered"] = inside[table[name].notna()].mean()
        covers[f"mean {name}"] = table[name].mean()
    covers["mean slope as measured"] = table["accuracy_slope_as_measured"].mean()
    covers["reliability"] = table["reliability"].mean()
    covers["offset width"] = (table["offset_high"] - table["offset_low"]).mean()
    return covers


def main():
    """Print one row a world."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.trend")
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=2027)
    arguments = parser.parse_args()
    worlds = product([(5, 25), (5, 5)], [1, 2], [1, 5], [0.0, 1.0])
    first = True
    for subjects, scatter, n_models, slope in worlds:
        how = {"scatter": scatter, "n_models": n_models, "slope": slope}
        covers = cell(arguments.repeats, arguments.seed, subjects, **how)
        row = {"medical and other": "{} and {}".format(*subjects)} | how | covers
        if first:
            print("| " + " | ".join(row) + " |")
            print("|" + "---|" * len(row))
            first = False
        cells = [f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values()]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
