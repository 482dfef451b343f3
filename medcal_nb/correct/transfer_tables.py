"""What is read off transfer studies: what one number removes, skill, counts.

The resamples of a :class:`~medcal_nb.correct.TransferStudy` are common to all its models and
methods, and to other studies of the same images and resampling.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from medcal_nb.measure import Bootstrap
from medcal_nb.measure.paired import means, paired, with_ends

from .crossfit import answer_costs
from .transfer import CONCLUSIONS, STAGES, TransferStudy


def share_removed(study: TransferStudy, *, margin: float = 0.005) -> pd.DataFrame:
    r"""Share of the transfer cost that the accuracy on the target, one number, removes.

    .. math:: \frac{\sum (B_\mathrm{transferred} - B_\mathrm{known})}
                   {\sum (B_\mathrm{transferred} - B_\mathrm{refitted})}

    over the models of a strategy, whose resamples are common: answers of two models about one
    image do not count twice.

    Parameters
    ----------
    study : TransferStudy
    margin : float
        A cost whose interval is not above it has no share: a share of nearly nothing is no number.

    Returns
    -------
    DataFrame
        One row per strategy:

        - strategy
        - n_models: models in it
        - share_removed: with _low, _high; NaN without a cost above the margin
        - share_constant: of the same cost, what giving every answer the accuracy (of the other
          folds) removes, no confidence at all; with _low, _high

    References
    ----------
    A ratio of means over pairs, with the interval of Efron & Tibshirani, An Introduction to the
    Bootstrap, 1993, chapter 13.

    Examples
    --------
    >>> from medcal_nb.correct import transfer_study
    >>> from medcal_nb.measure import Bootstrap, example_answers
    >>> answers = example_answers(900, strategies=["verbalized"])
    >>> sides = answers.query("domain == 'general'"), answers.query("domain == 'medical'")
    >>> study = transfer_study(*sides, ci=Bootstrap(n=200))
    >>> share_removed(study)[["share_removed", "share_constant"]].round(2).iloc[0].tolist()
    [1.01, 0.62]
    """
    rows = []
    for strategy, part in study.table.groupby("strategy", sort=False):
        mean = {}
        for name in ("transferred", "known", "base", "cost"):
            of_models = study.draws[name][part.index]  # (models, 1 + B)
            mean[name] = of_models.mean(axis=0)
        how = {"level": study.ci.level, "n_groups": part["n_images"].min()}
        is_costly = with_ends({"cost": mean["cost"]}, **how)["cost_low"] > margin
        cost = np.where(is_costly & (mean["cost"] > 0), mean["cost"], np.nan)
        removed = {
            "share_removed": (mean["transferred"] - mean["known"]) / cost,
            "share_constant": (mean["transferred"] - mean["base"]) / cost,
        }
        row = {"strategy": strategy, "n_models": len(part)}
        row |= with_ends(removed, **how)
        rows.append(row)
    return pd.DataFrame(rows)


def cost_table(
    source: pd.DataFrame,
    target: pd.DataFrame,
    *,
    methods: Sequence[str],
    seed: int = 0,
    ci: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """Transfer costs of several maps, each fitted once: also of maps that take long to fit.

    Parameters
    ----------
    source, target : DataFrame
        Graded answers that share no image.
    methods : sequence of str
        Of ``MAPS``, or maps of netcal.
    seed : int
        Of the folds, the same for all maps.
    ci : Bootstrap
        Of the intervals by image, of these maps: that they were fitted on few answers is not in
        them, as it is in those of :func:`transfer_study`.

    Returns
    -------
    DataFrame
        One row per model, strategy and map:

        - model, strategy, method
        - n, n_images: answers with a confidence, and images, of the target
        - brier: Brier score transferred, with _low, _high
        - cost: that minus the score refitted (cross-fitted), with _low, _high: a map that can do
          little has a poor refit, and a small cost

    Raises
    ------
    ValueError
        If a table is empty, or source and target share an image.

    Examples
    --------
    >>> from medcal_nb.measure import Bootstrap, example_answers
    >>> answers = example_answers(900, strategies=["verbalized"])
    >>> sides = answers.query("domain == 'general'"), answers.query("domain == 'medical'")
    >>> table = cost_table(*sides, methods=["platt", "isotonic"], ci=Bootstrap(n=200))
    >>> table["method"].tolist(), bool((table["cost"] > 0).all())
    (['platt', 'isotonic'], True)
    """
    tables = []
    for method in methods:
        rng = np.random.default_rng(seed)
        costs = answer_costs(source, target, method=method, rng=rng)
        costs = costs.dropna(subset="cost")  # answers without a confidence
        scores = means(brier="loss", cost="cost")
        table = paired(costs, ["model", "strategy"], scores, ci=ci)
        tables.append(table.assign(method=method))
    return pd.concat(tables, ignore_index=True)


def skill_table(table: pd.DataFrame) -> pd.DataFrame:
    """Brier skill scores of a transfer table, one row a stage.

    Parameters
    ----------
    table : DataFrame
        Of :func:`transfer_study`.

    Returns
    -------
    DataFrame
        One row per model, strategy, method and stage:

        - model, strategy, method
        - stage: "uncorrected", "transferred", "accuracy known" or "refitted"
        - brier: Brier score, with _low, _high
        - skill: over the base rate, with _low, _high

    Examples
    --------
    >>> from medcal_nb.correct import transfer_study
    >>> from medcal_nb.measure import Bootstrap, example_answers
    >>> answers = example_answers()
    >>> general = answers.query("domain == 'general'")
    >>> medical = answers.query("domain == 'medical'")
    >>> study = transfer_study(general, medical, ci=Bootstrap(n=200))
    >>> skill_table(study.table)[["stage", "skill"]].round(2).head(4).to_numpy().tolist()
    [['uncorrected', 0.12], ['uncorrected', -0.26], ['transferred', 0.17], ['transferred', -0.23]]
    """
    parts = []
    for ending, stage in STAGES.items():
        part = table[["model", "strategy", "method"]].assign(stage=stage)
        for name in ("brier", "skill"):
            for end in ("", "_low", "_high"):
                part[f"{name}{end}"] = table[f"{name}_{ending}{end}"]
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def transfer_counts(table: pd.DataFrame, by: str = "method") -> pd.DataFrame:
    """How many pairs of model and strategy come to each conclusion, and what transfer costs.

    Parameters
    ----------
    table : DataFrame
        Of :func:`transfer_study`, or several of them one below the other.
    by : str
        The column that makes the groups.

    Returns
    -------
    DataFrame
        One row per group:

        - the `by` column
        - pairs: models and strategies
        - median_cost, lowest_cost, highest_cost: of the Brier score
        - cost_floor: median of the costs expected of perfect maps
        - conclusions: how many pairs have each of `CONCLUSIONS`, in words, those that occur

    Examples
    --------
    >>> from medcal_nb.correct import transfer_study
    >>> from medcal_nb.measure import Bootstrap, example_answers
    >>> answers = example_answers()
    >>> general = answers.query("domain == 'general'")
    >>> medical = answers.query("domain == 'medical'")
    >>> study = transfer_study(general, medical, ci=Bootstrap(n=200))
    >>> transfer_counts(study.table)[["pairs", "conclusions"]].to_numpy().tolist()
    [[2, '1 inconclusive, 1 no discrimination']]
    """
    groups = table.groupby(by, sort=False)
    counts = groups["cost"].agg(
        pairs="size", median_cost="median", lowest_cost="min", highest_cost="max"
    )
    counts["cost_floor"] = groups["cost_floor"].median()
    counts["conclusions"] = groups["conclusion"].agg(_in_words)
    return counts.reset_index()


def _in_words(conclusions: pd.Series) -> str:
    """How often each conclusion occurs, those that do."""
    texts = []
    for name in CONCLUSIONS:
        n = (conclusions == name).sum()
        if n:
            texts.append(f"{n} {name}")
    return ", ".join(texts)
