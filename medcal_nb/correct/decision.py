"""Typed decisions: is the probability that is called for each allowed answer calibrated?"""

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd

from medcal_nb.measure.rows import parts_by

from .fusion import BY, scores_of
from .maps import by_fold, fit, folds_of, option_arrays
from .paired import paired

DECISION_TYPES = {
    "closed": "yes/no",
    "yes/no": "yes/no",
    "choice": "choice",
    "score": "score",
}
"""Question type → what we call the type of decision."""


def decision_audit_table(graded: pd.DataFrame, *, rng, **settings) -> pd.DataFrame:
    """Calibration of called probabilities per type of decision, as called and with a temperature.

    Parameters
    ----------
    graded : DataFrame
        With question_type, option_probabilities and gold; options of an unnamed type are a choice.
        Rows of other types, or whose right answer has no probability, are left out.

    Returns
    -------
    DataFrame
        One row per model, data set, decision_type and correction (as stated; temperature of all
        options, cross-fitted by image): n, n_images, accuracy, mean_confidence, brier, log_loss,
        auroc of the called option with _low and _high, its ece (15 equal-width bins);
        ranked_score, the ranked probability score over levels in their order, for scores (0 is
        perfect).
    """
    seed = int(rng.integers(2**63))
    frames = []
    fitted = partial(fit, method="temperature")
    typed = [
        isinstance(p, Mapping) and len(p) > 1 for p in graded["option_probabilities"]
    ]
    rows = graded[typed]
    rows = rows.assign(
        decision_type=rows["question_type"].fillna("choice").map(DECISION_TYPES)
    )
    by = [*BY, "decision_type"]
    for key, part in parts_by(rows.dropna(subset="decision_type"), by):
        called = part["option_probabilities"]
        if (
            key["decision_type"] == "score"
        ):  # levels stand in their order, also where some lack
            called = [
                {k: row.get(k, np.nan) for k in max(called, key=len)} for row in called
            ]
        p, gold, _ = option_arrays(called, part["gold"])
        known = (gold >= 0) & ~np.isnan(p[np.arange(len(p)), gold])
        part = part[known]
        p = p[known]
        gold = gold[known]
        if not len(part):
            continue
        p = p / np.nansum(p, axis=1, keepdims=True)
        frames.append(_called(part, p, gold).assign(correction="as stated", fold=-1))
        if (fold := folds_of(part, seed)) is not None:
            q = by_fold(fitted, p, gold, fold)
            frames.append(
                _called(part, q, gold).assign(correction="temperature", fold=fold)
            )
    if not frames:
        return pd.DataFrame()

    def statistic(part, w):
        return scores_of(part, w) | {"ranked_score": part["ranked_score"].mean()}

    return paired(
        pd.concat(frames), [*by, "correction"], statistic, rng=rng, **settings
    )


def _called(part, q, gold):
    """The leading option of each row; on a scale, how far the called level is off."""
    right = np.zeros_like(q)
    right[np.arange(len(gold)), gold] = 1
    gap = np.cumsum(np.nan_to_num(q) - right, axis=1)
    off = (gap**2).sum(axis=1) / (q.shape[1] - 1)
    return part.assign(
        confidence=np.clip(np.nanmax(q, axis=1), 0, 1),
        correct=(np.nanargmax(q, axis=1) == gold).astype(float),
        ranked_score=np.where(part["decision_type"] == "score", off, np.nan),
    )
