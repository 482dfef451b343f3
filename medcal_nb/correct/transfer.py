"""Whether a map fitted on one kind of images transfers to another.

A map is fitted on source answers (general images) and applied to target answers (medical ones);
its rival, of the same family, is cross-fitted by image on the target itself. The **transfer
cost** is the Brier score of the first minus that of the second. All fits are repeated in each
resample of images, and all models and strategies see the same resamples.

``source`` and ``target`` are tables of graded answers: one row per model, item and strategy.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from medcal_nb.measure import METRICS, Bootstrap, auroc_difference, auroc_test, holm
from medcal_nb.measure._check import check_choice
from medcal_nb.measure.paired import with_ends
from medcal_nb.measure.resampling import choose_clip, p_above, p_below
from medcal_nb.measure.rows import image_labels

from .crossfit import IMAGE, N_FOLDS, assign_folds, pairs
from .families import MAPS
from .maps import BY
from .resampled import UNIT, Losses, Side, pair_losses

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
COUNTED = ("lowered", "raised", "better_than_base", "worse_than_base")
_DIFFERENCES = {
    "transfer_change": ("transferred", "uncorrected"),
    "known_change": ("known", "uncorrected"),
    "refit_change": ("refitted", "uncorrected"),
    "cost": ("transferred", "refitted"),
    "cost_known": ("known", "refitted"),
}


_NEEDED = [*BY, IMAGE, UNIT, "confidence", "correct"]  # columns of a pair's rows
_TESTS = {  # a test, and the Brier scores whose difference is tested against so many margins
    "non_inferior": (p_below, "transferred", "refitted", 1),
    "inferior": (p_above, "transferred", "refitted", 1),
    "not_needed": (p_below, "uncorrected", "refitted", 1),
    "lowered": (p_below, "transferred", "uncorrected", 0),
    "raised": (p_above, "transferred", "uncorrected", 0),
    "better_than_base": (p_below, "transferred", "base", 0),
    "worse_than_base": (p_above, "transferred", "base", 0),
}


@dataclass(frozen=True)
class TransferStudy:
    """The transfer table and, row by row, the resamples behind its intervals.

    Attributes
    ----------
    table : DataFrame
        See :func:`transfer_study`.
    draws : dict of str to (rows, 1 + B) array
        Of the sample first and then of its resamples: Brier scores by stage ("uncorrected",
        "base", "transferred", "known", "refitted"), the transfer "cost", and the "gap", mean
        confidence as elicited minus accuracy.
    ci : Bootstrap
        What the resamples follow from.
    source_images, target_images : Index
        What is drawn again.
    """

    table: pd.DataFrame
    draws: Mapping[str, np.ndarray]
    ci: Bootstrap
    source_images: pd.Index
    target_images: pd.Index

    @property
    def level(self) -> float:
        """Nominal coverage of the intervals."""
        return self.ci.level


def transfer_study(
    source: pd.DataFrame,
    target: pd.DataFrame,
    *,
    methods: Sequence[str] = ("platt",),
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
    methods : sequence of str
        Of ``MAPS``.
    margin : float
        Of the Brier score: a transfer that costs less is non-inferior.
    ci : Bootstrap
        Resamples of the images of either side; its seed also deals them into folds. Resampled fits
        gather confidences into 100 cells of equal mass; estimates do not.

    Returns
    -------
    TransferStudy
        Its ``table`` has one row per model, strategy and method:

        - model, strategy, method
        - n_source, n_target: answers on either side
        - n_images: images of the target
        - clip: confidences are moved into [clip, 1 - clip] before log-odds are taken
        - accuracy_source: on the source
        - accuracy, confidence: on the target, with mean confidence
        - auroc_source, auroc: as elicited, with _low, _high; NaN if all answers are equal
        - auroc_difference: target - source with _low, _high
        - auroc_p, auroc_p_holm: of a two-sample test, alone and over the pairs
        - discrimination: "shown", "not shown" or "reversed" on the target
        - brier_uncorrected, brier_transferred, brier_known, brier_refitted: Brier scores with _low,
          _high, known with the source's map and the intercept that the target's accuracy sets
        - brier_base: of one number for all answers, the accuracy (of the other folds); with
          _low, _high
        - skill_uncorrected, skill_transferred, skill_known, skill_refitted: 1 - the Brier score /
          ``brier_base``, with _low, _high
        - transfer_change, known_change, refit_change: Brier score minus the uncorrected one, with
          _low, _high
        - cost, cost_known: transferred and known minus refitted; with _low, _high
        - cost_floor: the cost that is expected of a perfect map, below 0: a refit on so few labels
          misses the best map of its family by this mean squared distance, which is that of refits
          on resamples from the refit; a cost is judged above it
        - temperature_source, temperature_target, at_bound: where the map is a temperature
        - margin: as given
        - p_non_inferior, p_inferior, p_not_needed: of the three tests, one-sided
        - p_lowered, p_raised, p_better_than_base, p_worse_than_base: one-sided, of the Brier score
          transferred against the uncorrected one and against ``brier_base``
        - lowered, raised, better_than_base, worse_than_base: whether the interval of that
          difference is below or above 0
        - lowered_holm, raised_holm, better_than_base_holm, worse_than_base_holm: the same after
          Holm's correction
        - conclusion, conclusion_holm: one of ``CONCLUSIONS``; after Holm's correction over the
          rows of a method

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
    for method in methods:
        check_choice(method, "method", MAPS)
    rows = []
    draws: dict[str, list] = defaultdict(list)
    n_groups = []
    for key, left, right in _sides(source, target, ci):
        clip = choose_clip(np.r_[left.confidence, right.confidence])
        about = key | _about(left, right, ci.level) | {"clip": clip}
        for method, one in pair_losses(left, right, methods, clip).items():
            row = about | {"method": method} | _scores(one, right.n_effective, ci.level)
            row |= {"cost_floor": one.cost_floor}
            rows.append(row | _bounded(method, one) | {"margin": margin})
            n_groups.append(right.n_effective)
            cost = one.brier["transferred"] - one.brier["refitted"]
            for name, values in (one.brier | {"cost": cost, "gap": one.gap}).items():
                draws[name].append(values)
    arrays = {name: np.array(values) for name, values in draws.items()}
    return TransferStudy(
        table=conclude(pd.DataFrame(rows), arrays, n_groups, ci.level),
        draws=arrays,
        ci=ci,
        source_images=left.resamples.names,
        target_images=right.resamples.names,
    )


def _sides(
    source: pd.DataFrame, target: pd.DataFrame, ci: Bootstrap
) -> Iterable[tuple[dict, Side, Side]]:
    """(key, source, target) of each model and strategy, on common resamples of each side."""
    seed = int(np.random.default_rng(ci.seed).integers(2**63))
    # names of images are written once: numbers stand for them from here on
    fitted_on = image_labels(source)
    judged_on = image_labels(target)
    images, _ = pd.factorize(np.r_[judged_on, fitted_on])
    of_source = ci.of(fitted_on)
    of_target = ci.of(judged_on)
    n = len(target)
    source = source.assign(**{IMAGE: images[n:], UNIT: of_source.codes()})
    target = target.assign(**{IMAGE: images[:n], UNIT: of_target.codes()})
    folds: dict[
        bytes, np.ndarray
    ] = {}  # of the same images, by whichever model, the same
    for key, left, right in pairs(source, target, _NEEDED):
        known = right[IMAGE].to_numpy().tobytes()
        if known not in folds:
            rng = np.random.default_rng([seed, 0])
            folds[known] = assign_folds(right[IMAGE], N_FOLDS, rng=rng)
        whole = np.zeros(len(left), int)
        yield key, Side(left, of_source, whole), Side(right, of_target, folds[known])


def _about(source: Side, target: Side, level: float) -> dict:
    """Sizes, accuracy and discrimination of a pair."""
    row = {
        "n_source": len(source.rows),
        "n_target": len(target.rows),
        "n_images": target.n_images,
        "accuracy_source": source.correct.mean(),
        "accuracy": target.correct.mean(),
        "confidence": target.confidence.mean(),
    }
    for name, side in {"auroc_source": source, "auroc": target}.items():
        test = auroc_test(
            side.confidence, side.correct, groups=side.images, level=level
        )
        row |= {name: test["auroc"]}
        row |= {f"{name}_low": test["low"], f"{name}_high": test["high"]}
    test = auroc_difference(
        target.confidence,
        target.correct,
        source.confidence,
        source.correct,
        groups_a=target.images,
        groups_b=source.images,
        level=level,
    )
    row |= {"auroc_difference": test["difference"], "auroc_p": test["p"]}
    row |= {"auroc_difference_low": test["low"], "auroc_difference_high": test["high"]}
    row["discrimination"] = "not shown"
    if row["auroc_low"] > 0.5:
        row["discrimination"] = "shown"
    elif row["auroc_high"] < 0.5:
        row["discrimination"] = "reversed"
    return row


def _scores(losses: Losses, n_groups: float, level: float) -> dict:
    """Brier scores, skill and their differences, with intervals."""
    brier = losses.brier
    draws = {f"brier_{name}": values for name, values in brier.items()}
    for name in STAGES:
        draws[f"skill_{name}"] = 1 - brier[name] / brier["base"]
    for name, (one, other) in _DIFFERENCES.items():
        draws[name] = brier[one] - brier[other]
    bounds = {f"brier_{name}": METRICS["brier"].bounds for name in brier}
    bounds |= {f"skill_{name}": METRICS["brier_skill"].bounds for name in STAGES}
    row = with_ends(draws, level=level, n_groups=n_groups, bounds=bounds)
    for name, values in draws.items():
        # the same in every resample, as two temperatures at their bound: known exactly
        if np.ptp(values) < 1e-12:
            row |= {f"{name}_low": values[0], f"{name}_high": values[0]}
    return row


def _bounded(method: str, losses: Losses) -> dict:
    """A bounded parameter of both sides, and on which the likelihood ended at a bound."""
    family = MAPS[method]
    if family.bounds is None:
        return {}
    (name,) = family.parameters
    row = {}
    ended = []
    sides = {"source": losses.theta_source, "target": losses.theta_target}
    for side, theta in sides.items():
        mean = np.atleast_1d(np.mean(theta))
        row[f"{name}_{side}"] = float(mean[0])
        if family.at_bound(mean):
            ended.append(side)
    return row | {"at_bound": " and ".join(ended)}


# --- conclusions --------------------------------------------------------------------------------


def conclude(
    table: pd.DataFrame,
    draws: Mapping[str, np.ndarray],
    n_groups: Sequence[float],
    level: float,
) -> pd.DataFrame:
    """The table with p values and conclusions, alone and after Holm's correction."""
    tests = {}
    for name, (test, one, other, times) in _TESTS.items():
        rows = zip(draws[one] - draws[other], n_groups, table["margin"], strict=True)
        tests[name] = [
            test(d, n_groups=n, null=times * margin) for d, n, margin in rows
        ]
    p = pd.DataFrame(tests, index=table.index)
    p["not_needed"] = p[["non_inferior", "not_needed"]].max(axis=1)
    by_method = p.groupby(table["method"], sort=False)
    adjusted = by_method.transform(lambda one: holm(one.to_numpy()))
    size = (1 - level) / 2
    # each asks for both: the interval on one side, and the p value of its test
    shown = {
        "lowered": table["transfer_change_high"] < 0,
        "raised": table["transfer_change_low"] > 0,
        "better_than_base": table["skill_transferred_low"] > 0,
        "worse_than_base": table["skill_transferred_high"] < 0,
    }
    table = table.join(p.add_prefix("p_"))
    for name, is_shown in shown.items():
        table[name] = is_shown
        table[f"{name}_holm"] = is_shown & (adjusted[name] <= size)
    pairs_once = table.drop_duplicates(list(BY)).set_index(list(BY))["auroc_p"]
    held = pd.Series(holm(pairs_once.to_numpy()), pairs_once.index)
    keys = pd.MultiIndex.from_frame(table[list(BY)])
    table["auroc_p_holm"] = held.reindex(keys).to_numpy()
    table["conclusion"] = _conclusions(table, p, size)
    table["conclusion_holm"] = _conclusions(table, adjusted, size)
    return table


def _conclusions(table: pd.DataFrame, p: pd.DataFrame, size: float) -> np.ndarray:
    """One of ``CONCLUSIONS`` for each row.

    A conclusion asks for both: the p value of its test, and that the percentile interval lies on
    the same side of the margin.
    """
    margin = table["margin"]
    below = (p["non_inferior"] <= size) & (table["cost_high"] < margin)
    above = (p["inferior"] <= size) & (table["cost_low"] > margin)
    small = (p["not_needed"] <= size) & (table["refit_change_low"] > -margin)
    return np.select(
        [table["discrimination"] == "not shown", above, below & small, below],
        [
            "no discrimination",
            "inferior",
            "recalibration not needed",
            "non-inferior",
        ],
        default="inconclusive",
    )
