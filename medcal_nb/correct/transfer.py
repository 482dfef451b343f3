"""Whether a map fitted on one kind of images transfers to another.

A map is fitted on source answers (general images) and applied to target answers (medical ones);
its rival, of the same family, is cross-fitted by image on the target itself. The **transfer
cost** is the Brier score of the first minus that of the second. All fits are repeated in each
resample of images, and all models and strategies see the same resamples.

``source`` and ``target`` are tables of graded answers: one row per model, item and strategy.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from medcal_nb.measure import METRICS, Bootstrap, auroc_test, holm
from medcal_nb.measure.paired import with_ends
from medcal_nb.measure.resampling import (
    Resamples,
    choose_clip,
    p_above,
    p_below,
    two_sided_p,
)
from medcal_nb.measure.rows import image_labels, refuse_shared

from .crossfit import IMAGE, N_FOLDS, assign_folds, pairs
from .families import Family, family
from .maps import BY
from .resampled import Losses, Side, pair_losses

CONCLUSIONS = (
    "non-inferior",
    "inferior",
    "inconclusive",
    "recalibration not needed",
    "no discrimination",
)
#: Stages of a confidence, by the ending of their columns: how they are called.
STAGES = {
    "uncorrected": "uncorrected",
    "transferred": "transferred",
    "known": "accuracy known",
    "refitted": "refitted",
}
_DIFFERENCES = {
    "transfer_change": ("transferred", "uncorrected"),
    "refit_change": ("refitted", "uncorrected"),
    "cost": ("transferred", "refitted"),
    "cost_known": ("known", "refitted"),
}
#: Numbers that are tested against 0, each by itself.
_TESTED = ("transfer_change", "cost", "cost_known", "skill_transferred")
UNIT = "_unit"  # a column of rows: the image that is drawn again with them
_NEEDED = [*BY, IMAGE, UNIT, "confidence", "correct"]  # columns of a pair's rows


@dataclass(frozen=True)
class TransferStudy:
    """The transfer table and, row by row, the resamples behind its intervals.

    Attributes
    ----------
    table : DataFrame
        See :func:`transfer_study`.
    draws : dict of str to (rows, 1 + B) array
        Of the sample first and then of its resamples: Brier scores by stage ("uncorrected",
        "base", "transferred", "known", "refitted"), the transfer "cost", and the "distance" of
        refits from the refit.
    ci : Bootstrap
        What the resamples follow from.
    """

    table: pd.DataFrame
    draws: Mapping[str, np.ndarray]
    ci: Bootstrap


def transfer_study(
    source: pd.DataFrame,
    target: pd.DataFrame,
    *,
    method: str = "platt",
    margin: float = 0.005,
    ci: Bootstrap = Bootstrap(),
) -> TransferStudy:
    r"""Brier scores on the target of maps fitted on the source, and of their rivals.

    The **estimand** of the conclusions is the transfer cost against a refit *with these labels*:
    five maps, each fitted on four fifths of the target's answers and scored on the others. Against
    a refit with unlimited labels the cost is higher, by what their number costs the refit.

    - *non-inferior*: the cost is below the margin (one-sided, size (1 - level) / 2);
    - *inferior*: the cost is above the margin (likewise);
    - *recalibration not needed*: non-inferior, and the refit lowers the score by less than the
      margin, an intersection-union test whose p value is the larger of the two;
    - *no discrimination*: the interval of the AUROC on the target holds ½, so that only the
      accuracy is left to learn; it goes before the other four;
    - *inconclusive*: the rest.

    Parameters
    ----------
    source, target : DataFrame
        Graded answers that a map is fitted on, and that it is judged on. They need model, dataset,
        item_id, strategy, confidence, correct; image_id is used. They must share no image.
    method : str
        One of ``MAPS``.
    margin : float
        Of the Brier score: a transfer that costs less is non-inferior.
    ci : Bootstrap
        Resamples of the images of either side; its seed also deals them into folds. Resampled fits
        gather confidences into 100 cells of equal mass; estimates do not.

    Returns
    -------
    TransferStudy
        Its ``table`` has one row per model and strategy:

        - model, strategy, method
        - n_source, n_target: answers on either side
        - n_images, n_effective: images of the target, and how many equally large ones tell as much
        - accuracy_source, accuracy: on the source, and on the target
        - auroc_source: on the source; NaN if all answers are equal
        - auroc: on the target, with _low, _high
        - discrimination: what :func:`medcal_nb.measure.auroc_test` concludes on the target
        - brier_uncorrected, brier_transferred, brier_known, brier_refitted: Brier scores with _low,
          _high, known with the source's map and the intercept that the target's accuracy sets
        - brier_base: of one number for all answers, the accuracy (of the other folds); with
          _low, _high
        - skill_uncorrected, skill_transferred, skill_known, skill_refitted: 1 - the Brier score /
          ``brier_base``, with _low, _high
        - transfer_change, refit_change: Brier score minus the uncorrected one, with _low, _high
        - cost, cost_known: transferred and known minus refitted; with _low, _high
        - p_transfer_change, p_cost, p_cost_known, p_skill_transferred: two-sided, of each being 0,
          by itself; NaN where it does not vary
        - cost_floor: the cost that is expected of a perfect map, below 0: a refit on so few labels
          misses the best map of its family by this mean squared distance, which is that of refits
          on resamples from the refit; a cost is judged above it
        - temperature_source, temperature_target, at_bound: where the map is a temperature
        - p_non_inferior, p_inferior, p_not_needed: of the three tests, one-sided
        - conclusion: one of ``CONCLUSIONS``, after Holm's correction over the rows

    Raises
    ------
    ValueError
        If a table is empty, an image is both source and target, or no group has enough.

    References
    ----------
    Guo et al., ICML 2017, arXiv 1706.04599; Holm, Scand. J. Stat. 6:65, 1979.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> answers = example_answers(900, strategies=["verbalized"])
    >>> general = answers.query("domain == 'general'")
    >>> medical = answers.query("domain == 'medical'")
    >>> study = transfer_study(general, medical, ci=Bootstrap(n=200))
    >>> study.table[["brier_transferred", "brier_refitted", "cost"]].round(3)
       brier_transferred  brier_refitted   cost
    0              0.282           0.228  0.054
    >>> study.table["conclusion"].tolist()
    ['inferior']
    """
    asked = family(method)
    source, of_source = _numbered(source, ci)
    target, of_target = _numbered(target, ci)
    if len(of_source.names.intersection(of_target.names)):
        refuse_shared(source, target, "source and target")
    rows = []
    of_pairs = []
    for key, left, right in _sides(source, target, of_source, of_target, ci.seed):
        row, draws = _compared(left, right, asked, ci.level)
        rows.append(key | {"method": method} | row)
        of_pairs.append(draws)
    stacked = {}
    for name in of_pairs[0]:
        stacked[name] = np.array([draws[name] for draws in of_pairs])
    return TransferStudy(
        table=conclude(pd.DataFrame(rows), stacked, margin, ci.level),
        draws=stacked,
        ci=ci,
    )


def _numbered(rows: pd.DataFrame, ci: Bootstrap) -> tuple[pd.DataFrame, Resamples]:
    """Rows with numbers in the place of their images' names, and the resamples of these."""
    images = image_labels(rows)
    resamples = ci.of(images)
    number, _ = pd.factorize(images)
    own = [name for name in ("item_id", "image_id", *_NEEDED) if name in rows]
    rows = rows[[*dict.fromkeys(own)]]
    return rows.assign(**{IMAGE: number, UNIT: resamples.codes}), resamples


def _sides(
    source: pd.DataFrame,
    target: pd.DataFrame,
    of_source: Resamples,
    of_target: Resamples,
    seed: int,
) -> Iterator[tuple[dict, Side, Side]]:
    """(key, source, target) of each model and strategy, on common resamples of each side."""
    seed = int(np.random.default_rng(seed).integers(2**63))
    folds: dict[bytes, np.ndarray] = {}
    for key, fitted, judged in pairs(source, target, _NEEDED):
        # of the same images, by whichever model, the same folds
        images = judged[IMAGE].to_numpy()
        known = images.tobytes()
        if known not in folds:
            rng = np.random.default_rng([seed, 0])
            folds[known] = assign_folds(images, N_FOLDS, rng=rng)
        whole = np.zeros(len(fitted), int)
        left = _side(fitted, of_source, whole)
        right = _side(judged, of_target, folds[known])
        yield key, left, right


def _side(rows: pd.DataFrame, resamples: Resamples, fold: np.ndarray) -> Side:
    return Side(
        confidence=rows["confidence"].to_numpy(float),
        correct=rows["correct"].to_numpy(float),
        images=rows[IMAGE].to_numpy(),
        units=rows[UNIT].to_numpy(),
        fold=fold,
        resamples=resamples,
    )


def _compared(
    source: Side, target: Side, family: Family, level: float
) -> tuple[dict, dict[str, np.ndarray]]:
    """A row of the table, and the draws behind it."""
    clip = choose_clip(np.append(source.confidence, target.confidence))
    losses = pair_losses(source, target, family, clip)
    n_effective = target.resamples.effective(target.units)
    row = _about(source, target, level) | {"n_effective": n_effective}
    row |= _scores(losses.draws, n_effective, level)
    # the expected cost of a perfect map against these refits
    distance = losses.draws["distance"][1:]
    row["cost_floor"] = -float(distance.mean())
    return row | _bounded(family, losses), losses.draws


def _about(source: Side, target: Side, level: float) -> dict:
    """Sizes, accuracy and discrimination of a pair."""
    c = target.confidence
    of_source = auroc_test(source.confidence, source.correct)
    test = auroc_test(c, target.correct, groups=target.images, level=level)
    return {
        "n_source": len(source.correct),
        "n_target": len(target.correct),
        "n_images": len(np.unique(target.images)),
        "accuracy_source": source.correct.mean(),
        "accuracy": target.correct.mean(),
        "auroc_source": of_source["auroc"],
        "auroc": test["auroc"],
        "auroc_low": test["low"],
        "auroc_high": test["high"],
        "discrimination": test["conclusion"],
    }


def _scores(losses: Mapping, n_groups: float, level: float) -> dict:
    """Brier scores, skill and their differences, with intervals and P values."""
    draws = {}
    bounds = {}
    for name in (*STAGES, "base"):
        draws[f"brier_{name}"] = losses[name]
        bounds[f"brier_{name}"] = METRICS["brier"].bounds
    for name in STAGES:
        ratio = losses[name] / losses["base"]
        draws[f"skill_{name}"] = 1 - ratio
        bounds[f"skill_{name}"] = METRICS["brier_skill"].bounds
    for name, (one, other) in _DIFFERENCES.items():
        draws[name] = losses[one] - losses[other]
    row = with_ends(draws, level=level, n_groups=n_groups, bounds=bounds)
    for name, values in draws.items():
        # the same in every resample, as two temperatures at their bound: known exactly
        if np.ptp(values) < 1e-12:
            row[f"{name}_low"] = values[0]
            row[f"{name}_high"] = values[0]
    for name in _TESTED:
        row[f"p_{name}"] = two_sided_p(draws[name], n_groups=n_groups)
    return row


def _bounded(family: Family, losses: Losses) -> dict:
    """A bounded parameter of both sides, and on which the likelihood ended at a bound."""
    if family.bounds is None:
        return {}
    (name,) = family.parameters
    row: dict[str, float | str] = {}
    ended = []
    sides = {"source": losses.theta_source, "target": losses.theta_target}
    for side, theta in sides.items():
        mean = theta.mean()
        row[f"{name}_{side}"] = float(mean)
        if family.at_bound(mean):
            ended.append(side)
    row["at_bound"] = " and ".join(ended)
    return row


# --- conclusions --------------------------------------------------------------------------------


def conclude(
    table: pd.DataFrame,
    draws: Mapping[str, np.ndarray],
    margin: float,
    level: float,
) -> pd.DataFrame:
    """The table with p values of its tests, and conclusions after Holm's correction."""
    gain = draws["uncorrected"] - draws["refitted"]  # (rows, 1 + B)
    tests: dict[str, list] = defaultdict(list)
    rows = zip(draws["cost"], gain, table["n_effective"], strict=True)
    for of_cost, of_gain, n in rows:
        below = p_below(of_cost, n_groups=n, null=margin)
        small = p_below(of_gain, n_groups=n, null=margin)
        tests["non_inferior"].append(below)
        tests["inferior"].append(p_above(of_cost, n_groups=n, null=margin))
        tests["not_needed"].append(max(below, small))
    p = pd.DataFrame(tests, index=table.index)
    table = table.join(p.add_prefix("p_"))
    adjusted = p.apply(lambda one: holm(one.to_numpy()))
    is_shown = adjusted <= (1 - level) / 2
    # each asks for both: the p value of its test, and the interval on the same side
    below = is_shown["non_inferior"] & (table["cost_high"] < margin)
    above = is_shown["inferior"] & (table["cost_low"] > margin)
    small = is_shown["not_needed"] & (table["refit_change_low"] > -margin)
    flat = table["discrimination"] == "no discrimination shown"
    table["conclusion"] = np.select(
        [flat, above, below & small, below],
        [
            "no discrimination",
            "inferior",
            "recalibration not needed",
            "non-inferior",
        ],
        default="inconclusive",
    )
    return table
