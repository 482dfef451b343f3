"""What a number of grades certifies, and how often a certificate fails: docs/certify.md.

    python -m tests.bench.certify trials [--repeats 100] [--out build/bench]
    python -m tests.bench.certify others [--repeats 20]
    python -m tests.bench.certify active [--repeats 40]
    python -m tests.bench.certify null [--repeats 1000]
    python -m tests.bench.certify null_of_starts [--repeats 1000]
    python -m tests.bench.certify starts [--repeats 200]
    python -m tests.bench.certify plans [--repeats 20]
    python -m tests.bench.certify intervals [--repeats 200]

*trials*: every model and method of GMAI-MMBench, a random half as the pool, judged on the other.
*others*: the same of GQA, POPE and MMMU-Pro, whose halves are hardly larger than the budget.
*active*: beside active, anytime-valid risk control (Xu, Karampatziakis & Mineiro 2024,
arXiv:2406.10490) and beside Learn then Test on a pool that is graded whole, on the same halves.
*null*: pools whose risk is just above the allowed one everywhere; *null_of_starts*: at a risk of
.05 from three starts, each of which could be violated.
*starts*: pools that are better than the allowed risk, from one start and from several.
*plans*: what a plan expects of recorded answers, beside what samples of them give.
*intervals*: how often the interval of a mean coverage holds it, in samples of recorded answers.
"""

import argparse
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from medcal_nb import certify, measure
from medcal_nb.answers import load_answers
from medcal_nb.certify import usual_starts
from medcal_nb.certify.design import starts_at

RISK = 0.2
DELTA = 0.1 / 7  # of seven methods the best is taken
KINDS = ["trials", "others", "active", "null", "null_of_starts"]
KINDS += ["starts", "plans", "intervals"]
PAIRS = [
    ("InternVL3_5-14B-HF", "p_true"),
    ("Qwen3-VL-8B-Instruct", "probe_pik"),
    ("gemma-3-27b-it", "probe_pik"),
]
CALIBRATED = ("calibrated", "simulated")
LEAST_SHARE = 1 / 3  # of the rate of grading, of any answer, in active risk control


def recorded(is_it: str = "==") -> pd.DataFrame:
    return load_answers("vlcb").query(f"dataset {is_it} 'GMAI-MMBench'")


def trials(repeats: int, is_it: str = "==") -> pd.DataFrame:
    rule = {"risk": RISK, "delta": DELTA, "by": ["dataset", "model", "strategy"]}
    budgets = [100, 200, 400, 600]
    return certify.certify_table(recorded(is_it), budgets, n_splits=repeats, **rule)


def others(repeats: int) -> pd.DataFrame:
    return trials(repeats, "!=")


def active_threshold(c, y, *, risk, delta, budget, rng) -> float:
    """Lowest threshold by active risk control, of selective risk on thresholds in a fixed sequence.

    Answers come in random order; one is graded with a probability q that is larger where the
    threshold now tested retains it, in proportion to the spread of its loss if its confidence is
    right. Of every threshold the wealth of a bet on α − loss, weighted by 1 / q, is held.
    """
    descending = np.sort(c)[::-1]
    first = 0.06 * c.size
    sizes = first * 1.03 ** np.arange(np.ceil(np.log(c.size / first) / np.log(1.03)))
    thresholds = np.unique(descending[sizes.astype(int) - 1])[::-1]
    rate = budget / c.size
    spread = np.sqrt((1 - c) * (1 - risk) ** 2 + c * risk**2)
    log_wealth, total, squares = np.zeros((3, thresholds.size))
    now = n_graded = 0
    order = iter(rng.permutation(c.size))
    while now < thresholds.size and n_graded < budget:
        retained = c >= thresholds[now]
        q = np.where(retained, spread, 0)
        q = np.clip(q * rate * (1 - LEAST_SHARE) / q.mean(), 0, 1) + rate * LEAST_SHARE
        q = np.minimum(q, 1)
        # no gain is below −(1 − α) / q of the answers that a threshold retains
        least = np.where(thresholds >= thresholds[now], q[retained].min(), q.min())
        largest = 0.5 * least / (1 - risk)
        while log_wealth[now] < -np.log(delta) and n_graded < budget:
            i = next(order, None)
            if i is None:
                return thresholds[now - 1] if now else np.inf
            if rng.random() >= q[i]:
                continue
            n_graded += 1
            bet = np.clip(total / np.maximum(total + squares, 1e-9), 0, largest)
            gain = (c[i] >= thresholds) * (risk - (1 - y[i])) / q[i]
            log_wealth += np.log1p(bet * gain)
            total += gain
            squares += gain**2
        now += log_wealth[now] >= -np.log(delta)
    return thresholds[now - 1] if now else np.inf


def active(repeats: int) -> pd.DataFrame:
    answers = recorded().dropna(subset=["confidence", "correct"])
    answers = answers.set_index(["model", "strategy"])
    rows = []
    for pair, budget, k in product([*PAIRS, CALIBRATED], [200, 400], range(repeats)):
        c = np.random.default_rng([k, 8]).uniform(0.5, 1, 5000)
        y = (np.random.default_rng([k, 9]).random(5000) < c).astype(float)
        if pair != CALIBRATED:
            c, y = answers.loc[pair, ["confidence", "correct"]].to_numpy(float).T
        rng = np.random.default_rng([k, 7])
        order = rng.permutation(c.size)
        pool, other = np.split(order, [c.size // 2])
        whole = c[pool], y[pool]
        rule = {"risk": RISK, "delta": DELTA, "budget": budget}
        exact = {"target": RISK, "delta": DELTA}
        few = [part[:budget] for part in whole]
        ends = {
            "certify": certify.certify(*whole, seed=k, **rule).threshold,
            "active": active_threshold(*whole, rng=rng, **rule),
            "at random": measure.selective_threshold(*few, **exact).threshold,
            "all graded": measure.selective_threshold(*whole, **exact).threshold,
        }
        for way, threshold in ends.items():
            kept = c[other] >= threshold
            row = {"model": pair[0], "budget": budget, "way": way}
            row |= {"coverage": kept.mean(), "certified": np.isfinite(threshold)}
            row["risk"] = 1 - y[other][kept].mean() if kept.any() else np.nan
            rows.append(row)
    table = pd.DataFrame(rows)
    return table.groupby(["model", "budget", "way"], sort=False).mean().reset_index()


def null_pool(kind: str, n: int, rng: np.random.Generator, risk: float = RISK):
    """Confidence, grades and images of a pool whose risk is just above the allowed one."""
    c = rng.random(n)
    wrong = rng.random(n) < risk + 0.0005
    images = None
    if kind == "heaped":
        c = np.where(rng.random(n) < 0.6, 0.9, c.round(1))
    if kind == "clustered":  # three answers an image, right or wrong together
        images = np.arange(n) // 3
        wrong = wrong[images]
    return c, 1.0 - wrong, images


def null(repeats: int, risk: float = RISK, starts=None) -> pd.DataFrame:
    rows = []
    kinds = ["continuous", "heaped", "clustered"]
    for n, kind, budget in product([600, 2000], kinds, [50, 100, 400, 1000]):
        ends = []
        rule = {"risk": risk, "delta": 0.1, "budget": budget, "starts": starts}
        for k in range(repeats):
            pool = null_pool(kind, n, np.random.default_rng([k, budget]), risk)
            c, y, images = pool
            ends.append(certify.certify(c, y, groups=images, seed=k, **rule))
        states = pd.Series([end.state for end in ends]).value_counts(normalize=True)
        row = {"risk": risk, "pool": n, "kind": kind, "budget": budget}
        row |= {"starts": ends[0].starts, "violated": np.mean([e.n > 0 for e in ends])}
        rows.append(row | {"refuted": states.get("refuted", 0.0)})
    return pd.DataFrame(rows)


def null_of_starts(repeats: int) -> pd.DataFrame:
    risk = 0.05
    three = starts_at(2000, (0, 6, 16), risk=risk, is_first_usual=False)
    return null(repeats, risk, three)


WORLDS = {  # share wrong of the answers, from the most confident, as a part of the allowed risk
    "all at half": (1, 0.5),
    "all at a fifth": (1, 0.2),
    "top 30 % at half": (0.3, 0.5),
    "top 30 % at a fifth": (0.3, 0.2),
}


def starts(repeats: int) -> pd.DataFrame:
    rows = []
    for n, risk, world in product([300, 1000, 2000], [0.02, 0.05, 0.1, 0.2], WORLDS):
        share, part = WORLDS[world]
        rule = {"risk": risk, "delta": 0.1, "budget": 400}
        ways = {"one": usual_starts(n, **rule)[:1], "usual": usual_starts(n, **rule)}
        wrong = np.where(np.arange(n) < share * n, part * risk, 0.4)
        for (way, at), k in product(ways.items(), range(repeats)):
            right = np.random.default_rng([k, n]).random(n) >= wrong
            end = certify.certify(
                np.linspace(1, 0, n), right, starts=at, seed=k, **rule
            )
            row = {"pool": n, "risk": risk, "world": world, "way": way, "starts": at}
            row |= {"certified": end.n > 0, "coverage": end.coverage}
            rows.append(row | {"n_graded": end.n_graded})
    table = pd.DataFrame(rows)
    cells = ["pool", "risk", "world", "way", "starts"]
    return table.groupby(cells, sort=False).mean().reset_index()


PLANNED = [  # data set, model and method: good, fair and none to be had
    ("GMAI-MMBench", "InternVL3_5-14B-HF", "p_true"),
    ("GMAI-MMBench", "Qwen3-VL-8B-Instruct", "probe_pik"),
    ("GMAI-MMBench", "deepseek-vl2", "p_true"),
    ("POPE", "Qwen3-VL-8B-Instruct", "p_true"),
    ("POPE", "gemma-3-27b-it", "p_true"),
    ("GQA", "InternVL3_5-14B-HF", "p_true"),
]


def plans(repeats: int) -> pd.DataFrame:
    answers = load_answers("vlcb").dropna(subset=["confidence", "correct"])
    answers = answers.set_index(["dataset", "model", "strategy"]).sort_index()
    rows = []
    risks = [0.02, 0.05, 0.1, 0.2]
    for name in PLANNED:
        pair = answers.loc[name, ["confidence", "correct"]].to_numpy(float)
        c, y = pair.T
        plan = certify.plan_certificate(
            c, pilot=y, risks=risks, budget=400, n_draws=400
        )
        # other samples of such answers
        pools = [
            np.random.default_rng(k).choice(pair, len(pair)) for k in range(repeats)
        ]
        for row in plan.to_dict("records"):
            rule = {"risk": row["risk"], "budget": 400, "starts": row["starts"]}
            ends = [
                certify.certify(*pool.T, seed=k, **rule) for k, pool in enumerate(pools)
            ]
            row |= dict(zip(["dataset", "model", "strategy"], name, strict=True))
            row["certified"] = np.mean([end.n > 0 for end in ends])
            row["coverage_got"] = np.mean([end.coverage for end in ends])
            row["n_graded_got"] = np.median([end.n_graded for end in ends])
            rows.append(row)
    names = ["dataset", "model", "strategy", "risk", "starts", "chance", "certified"]
    names += ["coverage", "coverage_got", "n_graded", "n_graded_got"]
    return pd.DataFrame(rows)[names]


def intervals(repeats: int) -> pd.DataFrame:
    answers = recorded().dropna(subset=["correct"])
    how = {"budgets": [400], "risk": RISK, "delta": DELTA, "by": []}
    rows = []
    for model, strategy in PAIRS:
        own = answers.query("model == @model and strategy == @strategy")

        def sample(seed, own=own):
            drawn = own.sample(len(own), replace=True, random_state=seed)
            return drawn.assign(item_id=range(len(own)), image_id=None)

        one = {"n_splits": 1, "n_resamples": 0}
        others = range(10_000, 10_000 + 10 * repeats)
        parts = [certify.certify_table(sample(k), **how, **one) for k in others]
        true = pd.concat(parts).groupby("grading")["coverage"].mean()
        parts = [certify.certify_table(sample(k), **how) for k in range(repeats)]
        table = pd.concat(parts).dropna(subset="coverage_low")
        table["true"] = table["grading"].map(true)
        table["held"] = table["true"].between(
            table["coverage_low"], table["coverage_high"]
        )
        table["width"] = table["coverage_high"] - table["coverage_low"]
        by_grading = table.groupby("grading")
        row = by_grading[["true", "held", "width"]].mean()
        row["spread"] = by_grading["coverage"].std()
        row["n"] = by_grading.size()
        rows.append(row.reset_index().assign(model=model, strategy=strategy))
    return pd.concat(rows, ignore_index=True)


def main(words: list[str] | None = None) -> pd.DataFrame:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=KINDS)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    asked = parser.parse_args(words)
    table = globals()[asked.what](asked.repeats)
    asked.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(asked.out / f"certify_{asked.what}.csv", index=False)
    print(table.round(3).to_string(index=False))
    return table


if __name__ == "__main__":
    main()
