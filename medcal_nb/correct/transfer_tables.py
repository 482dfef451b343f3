"""What is read off transfer studies: a contrast, what one number removes, skill, counts.

The resamples of a :class:`~medcal_nb.correct.TransferStudy` are common to all its models and
methods, and to other studies of the same images and resampling.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from medcal_nb.measure.paired import with_ends
from medcal_nb.measure.resampling import student

from .transfer import CONCLUSIONS, STAGES, TransferStudy

#: The model of a row that is about all of them.
ALL_MODELS = "all models"
_CONTRASTED = ("cost", "gap")
_KEY = ["strategy", "method", "model"]


def transfer_contrast(one: TransferStudy, other: TransferStudy) -> pd.DataFrame:
    r"""Transfer cost and overconfidence on one target minus those on another, of one source.

    Is the cost higher on medical questions than on other ones? The source's resamples are common
    to both, so that what its sample does to both costs cancels; targets about the same images, all
    of them, are paired as well. A row for each model has the uncertainty of its questions alone.
    The row of all models takes models as a sample, too, as readers are in a multi-reader study:
    with the differences :math:`d_m` of k models and the mean covariance :math:`c` of two models'
    differences over common resamples,

    .. math:: \bar d \pm t_{\nu} \sqrt{V}, \quad V = \frac{s_d^2}{k} + \max(c, 0), \quad
       \nu = (k - 1) \left(\frac{k V}{s_d^2}\right)^2

    Parameters
    ----------
    one, other : TransferStudy
        From the same source, with the same resampling.

    Returns
    -------
    DataFrame
        One row per strategy, method and model in both studies, and one for all models:

        - strategy, method, model: "all models" in the last of a strategy and method
        - cost_one, cost_other: transfer cost on either target; means over models in the row of all
        - cost_difference: one minus other, with _low, _high; of a single model the row of all is
          that of the model
        - gap_difference: the same of overconfidence (mean confidence minus accuracy), with
          _low, _high

    Raises
    ------
    ValueError
        If the studies are of other sources or resampling, or have no model, strategy and method in
        common.

    References
    ----------
    Obuchowski & Rockette, Communications in Statistics 1995, 24(2), 285-308; Hillis, Statistics in
    Medicine 2007, doi 10.1002/sim.2532.

    Examples
    --------
    >>> from medcal_nb.correct import transfer_study
    >>> from medcal_nb.measure import Bootstrap, example_answers
    >>> answers = example_answers(strategies=["verbalized"], models=["m1", "m2", "m3"])
    >>> general = answers.query("domain == 'general'")
    >>> medical = answers.query("domain == 'medical'")
    >>> is_source = general["image_id"].str[-1] < "5"
    >>> source, other = general[is_source], general[~is_source]
    >>> ci = Bootstrap(n=200)
    >>> studies = [transfer_study(source, target, ci=ci) for target in (medical, other)]
    >>> table = transfer_contrast(*studies)
    >>> table[["model", "cost_difference"]].round(2).to_numpy().tolist()
    [['m1', 0.04], ['m2', 0.04], ['m3', 0.08], ['all models', 0.05]]
    """
    if one.ci != other.ci or not one.source_images.equals(other.source_images):
        raise ValueError("the studies are of different sources, or of other resamples")
    sides = []
    for study in (one, other):
        side = study.table[[*_KEY, "n_images", "cost"]]
        sides.append(side.reset_index(names="row"))
    both = sides[0].merge(sides[1], on=_KEY, suffixes=("_one", "_other"))
    if both.empty:
        raise ValueError("the studies have no model, strategy and method in common")
    differences = {}
    for value in _CONTRASTED:
        # (rows, 1 + B)
        of_one = one.draws[value][both["row_one"]]
        of_other = other.draws[value][both["row_other"]]
        differences[f"{value}_difference"] = of_one - of_other
    n_images = both[["n_images_one", "n_images_other"]].min(axis=1)
    rows = []
    costs = both[[*_KEY, "cost_one", "cost_other"]]
    for k, row in enumerate(costs.to_dict("records")):
        own = {name: draws[k] for name, draws in differences.items()}
        rows.append(row | with_ends(own, level=one.ci.level, n_groups=n_images[k]))
    tables = []
    for _, table in pd.DataFrame(rows).groupby("strategy", sort=False):
        tables.append(table)
        own = {name: draws[table.index] for name, draws in differences.items()}
        tables.append(_of_all_models(table, own, one.ci.level))
    return pd.concat(tables, ignore_index=True)


def _of_all_models(
    table: pd.DataFrame, differences: Mapping[str, np.ndarray], level: float
) -> pd.DataFrame:
    """The row of all models of a strategy, by their (models, 1 + B) draws, as a sample."""
    row = table.iloc[[0]].assign(model=ALL_MODELS)
    if len(table) == 1:
        return row
    for name in ("cost_one", "cost_other", *differences):
        row[name] = table[name].mean()
    for name, draws in differences.items():
        low, high = interval_of_models(draws, level)
        row[f"{name}_low"] = low
        row[f"{name}_high"] = high
    return row


def interval_of_models(draws: np.ndarray, level: float) -> tuple[float, float]:
    """Interval of the mean over models, of (models, 1 + B) draws, with models as a sample."""
    k = len(draws)
    estimates = draws[:, 0]
    mean = estimates.mean()
    by_model = estimates.var(ddof=1) / k
    covariances = np.cov(draws[:, 1:])  # (models, models)
    shared = covariances.sum() - np.trace(covariances)
    shared /= k * (k - 1)
    variance = by_model + max(shared, 0.0)
    ratio = variance / max(by_model, 1e-300)
    df = (k - 1) * ratio**2
    half = student(level, min(df, 1e9)) * np.sqrt(variance)
    return mean - half, mean + half


def share_removed(study: TransferStudy) -> pd.DataFrame:
    r"""Share of the transfer cost that the accuracy on the target, one number, removes.

    .. math:: \frac{\sum (B_\mathrm{transferred} - B_\mathrm{known})}
                   {\sum (B_\mathrm{transferred} - B_\mathrm{refitted})}

    over the models of a strategy, whose resamples are common: answers of two models about one
    image do not count twice.

    Parameters
    ----------
    study : TransferStudy

    Returns
    -------
    DataFrame
        One row per strategy:

        - strategy
        - n_models: models in it
        - share_removed: with _low, _high; NaN without a cost
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
        cost = np.where(mean["cost"] > 0, mean["cost"], np.nan)
        removed = {
            "share_removed": (mean["transferred"] - mean["known"]) / cost,
            "share_constant": (mean["transferred"] - mean["base"]) / cost,
        }
        row = {"strategy": strategy, "n_models": len(part)}
        n_images = part["n_images"].min()
        row |= with_ends(removed, level=study.ci.level, n_groups=n_images)
        rows.append(row)
    return pd.DataFrame(rows)


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
