"""Null of a second opinion: grades permuted among questions that are equally hard.

Run as `python -m tests.bench.opinion --repeats 20`. Of each model's recorded answers the grades are
permuted among questions that equally many other models answered rightly: how hard a question is
stays, and which of the equally hard ones is answered rightly is known to nobody.
"""

import argparse

import numpy as np
import pandas as pd

from medcal_nb.answers import load_answers, select
from medcal_nb.correct import second_opinion, second_opinion_table
from medcal_nb.measure import Bootstrap


def hardness(answers: pd.DataFrame) -> pd.Series:
    """How many other models answered the question of each row rightly."""
    once = answers.drop_duplicates(["model", "item_id"])
    n_right = once.groupby("item_id")["correct"].sum().astype(float)
    return answers["item_id"].map(n_right) - answers["correct"].astype(float)


def permuted(answers: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The answers with a model's grades permuted within strata, the same for all its methods."""
    once = answers.drop_duplicates(["model", "item_id"])
    strata = once.groupby(["model", "others_right"])["correct"]
    shuffled = strata.transform(lambda part: rng.permutation(part.to_numpy(bool)))
    key = pd.MultiIndex.from_frame(once[["model", "item_id"]])
    new = pd.Series(shuffled.to_numpy(bool), key)
    of_rows = pd.MultiIndex.from_frame(answers[["model", "item_id"]])
    return answers.assign(correct=new.reindex(of_rows).to_numpy(bool))


def gains(answers: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """By model: AUROC that other models' confidences add, over all and within strata."""
    opinions = second_opinion(answers, answers, rng=rng)
    known = answers.drop_duplicates(["model", "item_id"])
    known = known[["model", "item_id", "others_right"]]
    opinions = opinions.merge(known, on=["model", "item_id"])
    few = Bootstrap(n=2)  # no interval is shown
    table = second_opinion_table(opinions, within=["others_right"], ci=few)
    wide = table.pivot(
        index="model", columns="opinion", values=["auroc", "auroc_within"]
    )
    added = {
        name: wide[name]["with others"] - wide[name]["own methods"]
        for name in ("auroc", "auroc_within")
    }
    return pd.DataFrame(added)


def main() -> None:
    """Print the gain as recorded, and its mean and standard error over permutations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20, help="Permutations.")
    repeats = parser.parse_args().repeats
    answers = select(load_answers("vlcb"), "dataset == 'GMAI-MMBench'")
    answers = answers.assign(others_right=hardness(answers))
    recorded = gains(answers, np.random.default_rng(0))
    rngs = [np.random.default_rng(seed) for seed in range(repeats)]
    null = pd.concat([gains(permuted(answers, rng), rng) for rng in rngs])
    by_model = null.groupby("model")
    of_null = [
        by_model.mean().add_suffix("_null"),
        by_model.sem().add_suffix("_null_se"),
    ]
    shown = pd.concat([recorded, *of_null], axis=1)
    print(shown.sort_index(axis=1).round(4).to_string())


if __name__ == "__main__":
    main()
