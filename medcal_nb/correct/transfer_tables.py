"""What is read off transfer studies: a contrast, what one number removes, skill, counts.

The resamples of a :class:`~medcal_nb.correct.TransferStudy` are common to all its models and
methods, and to other studies of the same images and resampling.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd

from medcal_nb.measure._check import check_choice
from medcal_nb.measure.paired import with_ends
from medcal_nb.measure.resampling import percentile_ends, student

from .transfer import CONCLUSIONS, COUNTED, STAGES, TransferStudy

#: The model of a row that is about all of them.
ALL_MODELS = "all models"
CONTRASTED = ("cost", "gap")
_KEY = ["strategy", "method", "model"]


def transfer_contrast(
    one: TransferStudy, other: TransferStudy, *, value: str = "cost"
) -> pd.DataFrame:
    r"""A number on one target minus the same on another, by maps of the same source.

    Is the cost higher on medical questions than on other ones? The source's resamples are common
    to both, so that what its sample does to both costs cancels; targets about the same images are
    paired as well. A row for each model has the uncertainty of its questions alone. The row of all
    models takes models as a sample, too, as readers are in a multi-reader study: with the
    differences :math:`d_m` of k models and the mean covariance :math:`c` of two models' differences
    over common resamples,

    .. math:: \bar d \pm t_{\nu} \sqrt{V}, \quad V = \frac{s_d^2}{k} + \max(c, 0), \quad
       \nu = (k - 1) \left(\frac{k V}{s_d^2}\right)^2

    Parameters
    ----------
    one, other : TransferStudy
        From the same source, with the same resampling.
    value : {"cost", "gap"}
        The transfer cost, or overconfidence as elicited: mean confidence minus accuracy.

    Returns
    -------
    DataFrame
        One row per strategy, method and model in both studies, and one for all models:

        - strategy, method, model: "all models" in the last of a strategy and method
        - n_models: models in the row
        - cost_one, cost_other: on either target; means over models in the row of all
        - cost_difference: one minus other, with _low, _high; of a single model the row of all is
          that of the model

        with gap instead of cost in the names where that is the value.

    Raises
    ------
    ValueError
        If the studies are of other sources or resampling, share some images of their targets and
        not all, or have no model, strategy and method in common.

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
    check_choice(value, "value", CONTRASTED)
    _refuse_unpaired(one, other)
    sides = []
    for study in (one, other):
        keys = study.table[_KEY].astype(str)
        sides.append(keys.assign(row=np.arange(len(keys)), n=study.table["n_images"]))
    both = sides[0].merge(sides[1], on=_KEY, suffixes=("_one", "_other"))
    if both.empty:
        raise ValueError("the studies have no model, strategy and method in common")
    rows = []
    for (strategy, method), part in both.groupby(["strategy", "method"], sort=False):
        # (models, 1 + B)
        values = one.draws[value][part["row_one"]]
        others = other.draws[value][part["row_other"]]
        difference = values - others
        n_images = part[["n_one", "n_other"]].min(axis=1)
        ends: list[tuple] = []
        for draws, n in zip(difference, n_images, strict=True):
            ends.append(percentile_ends(draws, level=one.level, n_groups=n))
        of_all = ends[0]
        if len(part) > 1:
            of_all = _models_as_sample(difference, one.level)
        low, high = np.array([*ends, of_all], float).T
        table = pd.DataFrame({"model": [*part["model"], ALL_MODELS]})
        table["n_models"] = [1] * len(part) + [len(part)]
        shown = {"one": values, "other": others, "difference": difference}
        for name, draws in shown.items():
            table[f"{value}_{name}"] = [*draws[:, 0], draws[:, 0].mean()]
        table[f"{value}_difference_low"] = low
        table[f"{value}_difference_high"] = high
        table.insert(0, "strategy", strategy)
        table.insert(1, "method", method)
        rows.append(table)
    return pd.concat(rows, ignore_index=True)


def _refuse_unpaired(one: TransferStudy, other: TransferStudy) -> None:
    """Raise ValueError where the resamples of two studies are not common."""
    if one.ci != other.ci or not one.source_images.equals(other.source_images):
        raise ValueError("the studies are of different sources, or of other resamples")
    shared = one.target_images.intersection(other.target_images)
    if len(shared) > 0 and not one.target_images.equals(other.target_images):
        raise ValueError(
            f"{len(shared)} images are in both targets and others are not, the first "
            f"{shared[0]}: compare targets of the same images, or of different ones"
        )


def _models_as_sample(draws: np.ndarray, level: float) -> tuple[float, float]:
    """Interval of the mean over models, of (models, 1 + B) draws, with models as a sample."""
    k = len(draws)
    estimates = draws[:, 0]
    by_model = estimates.var(ddof=1) / k
    covariances = np.cov(draws[:, 1:])  # (models, models)
    shared = (covariances.sum() - np.trace(covariances)) / (k * (k - 1))
    variance = by_model + max(shared, 0.0)
    df = (k - 1) * (variance / max(by_model, 1e-300)) ** 2
    half = student(level, min(df, 1e9)) * np.sqrt(variance)
    return estimates.mean() - half, estimates.mean() + half


def share_removed(study: TransferStudy, by: Sequence[str] = ()) -> pd.DataFrame:
    r"""Share of the transfer cost that the accuracy on the target, one number, removes.

    .. math:: \frac{\sum (B_\mathrm{transferred} - B_\mathrm{known})}
                   {\sum (B_\mathrm{transferred} - B_\mathrm{refitted})}

    over pairs of model and strategy, whose resamples are common: answers of two models about one
    image do not count twice.

    Parameters
    ----------
    study : TransferStudy
    by : sequence of str
        Columns beside the method ("model", "strategy") that make the groups.

    Returns
    -------
    DataFrame
        One row per method and group:

        - method: the map's name
        - the `by` columns
        - pairs: models and strategies in it
        - cost: mean transfer cost, with _low, _high
        - cost_known: what an intercept set by the accuracy leaves of it, with _low, _high
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
    >>> answers = example_answers()
    >>> sides = answers.query("domain == 'general'"), answers.query("domain == 'medical'")
    >>> study = transfer_study(*sides, ci=Bootstrap(n=200))
    >>> share_removed(study)[["cost", "cost_known", "share_constant"]].round(2).iloc[0].tolist()
    [0.03, -0.0, 0.29]
    """
    names = ["method", *by]
    rows = []
    for key, part in study.table.groupby(names, sort=False):
        at = study.table.index.get_indexer(part.index)
        mean = {name: draws[at].mean(axis=0) for name, draws in study.draws.items()}
        draws = {
            "cost": mean["transferred"] - mean["refitted"],
            "cost_known": mean["known"] - mean["refitted"],
        }
        cost = np.where(draws["cost"] > 0, draws["cost"], np.nan)
        draws["share_removed"] = (mean["transferred"] - mean["known"]) / cost
        draws["share_constant"] = (mean["transferred"] - mean["base"]) / cost
        row = dict(zip(names, key, strict=True)) | {"pairs": len(part)}
        n_images = part["n_images"].min()
        rows.append(row | with_ends(draws, level=study.level, n_groups=n_images))
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
        - conclusion: after Holm's correction

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
        for name, end in product(("brier", "skill"), ("", "_low", "_high")):
            part[f"{name}{end}"] = table[f"{name}_{ending}{end}"]
        parts.append(part.assign(conclusion=table["conclusion_holm"]))
    return pd.concat(parts, ignore_index=True)


def transfer_counts(table: pd.DataFrame) -> pd.DataFrame:
    """How many pairs of model and strategy come to each conclusion.

    Parameters
    ----------
    table : DataFrame
        Of :func:`transfer_study`.

    Returns
    -------
    DataFrame
        One row per method:

        - method: the map's name
        - pairs: models and strategies
        - each of `CONCLUSIONS`: number after Holm's correction
        - conclusions: the same in words, those that occur
        - lowered, raised: pairs in which the interval of the change of the Brier score by transfer
          is below, or above, 0
        - lowered_holm, raised_holm: the same after Holm's correction
        - better_than_base, worse_than_base: pairs in which the interval of the transferred Brier
          score minus that of the accuracy alone is below, or above, 0
        - better_than_base_holm, worse_than_base_holm: the same after Holm's correction
        - median_cost, lowest_cost, highest_cost: of the Brier score
        - cost_floor: median of the costs expected of perfect maps

    Examples
    --------
    >>> from medcal_nb.correct import transfer_study
    >>> from medcal_nb.measure import Bootstrap, example_answers
    >>> answers = example_answers()
    >>> general = answers.query("domain == 'general'")
    >>> medical = answers.query("domain == 'medical'")
    >>> study = transfer_study(general, medical, ci=Bootstrap(n=200))
    >>> transfer_counts(study.table)[["pairs", "inferior"]].to_numpy().tolist()
    [[2, 0]]
    """
    rows = []
    for method, part in table.groupby("method", sort=False):
        row = {"method": method, "pairs": len(part)}
        words = []
        for name in CONCLUSIONS:
            n = int((part["conclusion_holm"] == name).sum())
            row[name] = n
            if n:
                words.append(f"{n} {name}")
        row["conclusions"] = ", ".join(words)
        for name in COUNTED:
            row[name] = int(part[name].sum())
            row[f"{name}_holm"] = int(part[f"{name}_holm"].sum())
        costs = part["cost"]
        costs = costs.agg(median_cost="median", lowest_cost="min", highest_cost="max")
        row |= dict(costs)
        rows.append(row | {"cost_floor": part["cost_floor"].median()})
    return pd.DataFrame(rows)
