"""What deferring is worth: expected costs, and who should decide what."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .intervals import wilson_interval
from .paired import with_ends
from .readers import mrmc_mean
from .resampling import Resamples
from .rows import image_labels, parts_by

ALONE = "alone"
WITH_MODEL = "with_model"
DECISION_COLUMNS = (
    "reader",
    "phase",
    "item_id",
    "confidence",
    "correct",
    "model_confidence",
    "model_correct",
)
HALF_A_STEP = 1e-6  # confidences so close to a threshold are at it


def expected_cost_table(
    graded: pd.DataFrame,
    *,
    ratios: Sequence[float] = (2, 5, 10, 20),
    by: Sequence[str] = (),
    level: float = 0.95,
    n_resamples: int = 2000,
    rng: np.random.Generator,
) -> pd.DataFrame:
    r"""What an answer costs, in checks: deferring by confidence, checking all, checking none.

    A check costs 1 and a wrong answer that is acted on costs R checks. An answer that is kept
    costs R (1 - c) on average if its confidence c is calibrated, so that it is deferred where

    .. math:: R (1 - c) > 1, \quad c < 1 - 1 / R,

    the threshold of `best_threshold`. Checking all costs 1; checking none costs R times the error
    rate. A decision curve shows the same at the threshold probability of an error
    :math:`p_t = 1 / R`: its net benefit is what deferring saves against checking none, divided by
    :math:`R (1 - p_t)`.

    Parameters
    ----------
    graded : pandas.DataFrame
        Graded answers; those without a confidence are deferred.
    ratios : sequence of float
        R, checks that a wrong answer acted on is worth; above 1.
    by : sequence of str
        Columns that make the groups.
    level, n_resamples, rng
        Of the intervals, by image.

    Returns
    -------
    pandas.DataFrame
        One row a group and ratio:

        - the `by` columns
        - ratio, threshold: R, and 1 - 1 / R
        - n, n_images: graded answers and images
        - deferred: share of answers
        - deferring: cost of an answer if confidence decides, with _low, _high
        - checking_all: 1
        - checking_none: with _low, _high
        - saving: of deferring, against the cheaper of checking all and none, with _low, _high

    Raises
    ------
    ValueError
        On a ratio that is not above 1, or a column the table lacks.

    References
    ----------
    Chow, IEEE Transactions on Information Theory 1970, doi:10.1109/TIT.1970.1054406; net benefit:
    Vickers & Elkin, Medical Decision Making 2006, doi:10.1177/0272989X06295361.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> rng = np.random.default_rng(0)
    >>> table = expected_cost_table(example_answers(), ratios=[2, 5], n_resamples=200, rng=rng)
    >>> table[["ratio", "deferring", "checking_none"]].round(2).to_numpy().tolist()
    [[2.0, 0.68, 0.68], [5.0, 1.0, 1.71]]
    """
    if not np.greater(ratios, 1).all():
        raise ValueError(f"ratios: checks for a wrong answer, above 1; got {ratios!r}")
    rows = []
    for key, part in parts_by(graded[graded["correct"].notna()], by):
        images = image_labels(part)
        drawn = Resamples(images, n_resamples, rng)
        about = {"n": len(part), "n_images": len(set(images))}
        for ratio in ratios:
            row = {"ratio": ratio, "threshold": best_threshold(cost_wrong=ratio)}
            rows.append(key | row | about | _costs(part, ratio, drawn, level))
    return pd.DataFrame(rows)


def _costs(
    graded: pd.DataFrame, ratio: float, drawn: Resamples, level: float
) -> dict[str, float]:
    """Expected costs of an answer at one ratio, with intervals."""
    confidence = graded["confidence"].to_numpy(dtype=float, na_value=np.nan)
    loss = ratio * (1 - graded["correct"].to_numpy(dtype=float))
    kept = confidence >= best_threshold(cost_wrong=ratio) - HALF_A_STEP
    costs = np.column_stack([np.where(kept, loss, 1), loss, np.ones_like(loss)])
    deferring, none, n = _totals(drawn, costs).T
    deferring = deferring / n
    none = none / n
    cheaper = none if none[0] < 1 else 1.0
    draws = {"deferring": deferring, "checking_all": 1.0}
    draws |= {"checking_none": none, "saving": cheaper - deferring}
    bounds = dict.fromkeys(["deferring", "checking_none"], (0, ratio))
    n_groups = drawn.effective()
    ends = with_ends(draws, level=level, n_groups=n_groups, bounds=bounds)
    return {"deferred": 1 - kept.mean()} | ends


def _totals(drawn: Resamples, values: NDArray) -> NDArray:
    """(1 + r, k) sums of the columns of (n, k) values in every resample."""
    table = np.zeros((drawn.n_units, values.shape[1]))
    np.add.at(table, drawn.codes(), values)
    return drawn.counts @ table


def best_threshold(*, cost_wrong: float = 1.0, cost_check: float = 1.0) -> float:
    r"""The threshold that a calibrated confidence makes cheapest, from the costs alone.

    .. math:: \tau^* = 1 - C_c / C_w

    An answer is worth a check where its probability of an error, times the cost of a wrong answer
    acted on, exceeds the cost of the check.

    Parameters
    ----------
    cost_wrong, cost_check : float
        Of a wrong answer acted on, and of the check of an answer.

    Returns
    -------
    float
        In [0, 1]; 0 (keep every answer) where a check costs more than it can save.

    Raises
    ------
    ValueError
        On costs below 0.

    References
    ----------
    Chow, IEEE Transactions on Information Theory 1970, doi:10.1109/TIT.1970.1054406.

    Examples
    --------
    >>> best_threshold(cost_wrong=5, cost_check=1)
    0.8
    """
    if not (cost_wrong > 0 and cost_check >= 0):
        raise ValueError(
            f"costs: at least 0, wrong above it; got {cost_wrong!r}, {cost_check!r}"
        )
    return max(0.0, 1 - cost_check / cost_wrong)


# --- who should decide what -----------------------------------------------------------------


def policy_table(
    decisions: pd.DataFrame,
    *,
    cost_wrong: float = 1.0,
    cost_check: float = 0.1,
    level: float = 0.95,
) -> pd.DataFrame:
    """Who should decide what: expected cost of policies, averaged over readers and cases.

    The policies: the model alone; the reader alone; the reader who has seen the model's answer;
    the model, but where its confidence is below `best_threshold` of the costs the reader alone;
    reader and model, the more confident of the two deciding.

    Parameters
    ----------
    decisions : pandas.DataFrame
        Graded answers of which some are decisions: one row a reader, case and phase, with columns
        reader, phase ("alone", "with_model"), item_id (and dataset where known), confidence,
        correct, model_confidence, model_correct. Other rows, and cases without a grade in either
        phase, are left out.
    cost_wrong, cost_check : float
        Of a wrong answer acted on, and of an answer that a reader gives.
    level : float

    Returns
    -------
    pandas.DataFrame
        One row a policy, the cheapest first; empty where no case has both phases:

        - policy: its name
        - n, n_readers, n_cases: pairs of reader and case, readers, cases
        - reader_share: share of cases that a reader works on
        - accuracy: of the answers that are acted on
        - cost, cost_low, cost_high: of an answer
        - difference, difference_low, difference_high, p: to the model alone, paired

        (intervals over readers and cases: `mrmc_mean`)

    Raises
    ------
    ValueError
        On a column the table lacks.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> phases = ["alone", "with_model"]
    >>> decisions = example_answers(models=["r1", "r2", "r3"], strategies=phases)
    >>> decisions = decisions.rename(columns={"model": "reader", "strategy": "phase"})
    >>> decisions = decisions.assign(model_confidence=0.7, model_correct=True)
    >>> policy_table(decisions)[["policy", "cost"]].round(2).iloc[0].tolist()
    ['model alone', np.float64(0.0)]
    """
    both = _both_phases(decisions)
    if both.empty:
        return pd.DataFrame()
    threshold = best_threshold(cost_wrong=cost_wrong, cost_check=cost_check)
    policies = _policies(both, threshold)
    readers = both["reader"].to_numpy()
    cases = both["case"].to_numpy()
    base = cost_wrong * (1 - both["model_correct"].to_numpy(float))
    rows = []
    for name, (right, read) in policies.items():
        cost = cost_wrong * (1 - right) + cost_check * read
        mean = mrmc_mean(cost, readers, cases, level=level)
        change = mrmc_mean(cost - base, readers, cases, level=level)
        rows.append(
            {
                "policy": name,
                "n": len(both),
                "n_readers": mean.n_readers,
                "n_cases": mean.n_cases,
                "reader_share": read.mean(),
                "accuracy": right.mean(),
                "cost": mean.estimate,
                # no expected cost is below that of the readings
                "cost_low": max(mean.low, cost_check * read.min()),
                "cost_high": mean.high,
                "difference": change.estimate,
                "difference_low": change.low,
                "difference_high": change.high,
                "p": change.p,
            }
        )
    return pd.DataFrame(rows).sort_values("cost", ignore_index=True, kind="stable")


def _policies(
    both: pd.DataFrame, threshold: float
) -> dict[str, tuple[NDArray, NDArray]]:
    """Of each policy: which answers are right, and which a reader works on."""
    alone = both["correct_alone"].to_numpy(float)
    with_model = both["correct_with_model"].to_numpy(float)
    model = both["model_correct"].to_numpy(float)
    model_confidence = both["model_confidence"].fillna(-1).to_numpy(float)
    own_confidence = both["confidence_alone"].fillna(-1).to_numpy(float)
    sure = model_confidence >= threshold - HALF_A_STEP
    surer = model_confidence > own_confidence
    none = np.zeros(len(both))
    return {
        "model alone": (model, none),
        "reader alone": (alone, none + 1),
        "reader with model": (with_model, none + 1),
        "reader where the model is unsure": (
            np.where(sure, model, alone),
            none + ~sure,
        ),
        "the more confident of the two": (np.where(surer, model, alone), none + 1),
    }


def reliance_table(decisions: pd.DataFrame, *, by: Sequence[str] = ()) -> pd.DataFrame:
    """How readers used the model: answers put right and made wrong, by the model's correctness.

    Parameters
    ----------
    decisions : pandas.DataFrame
        As in `policy_table`, with `answer` and, where known, `model_answer`.
    by : sequence of str
        Columns (reader) whose combinations are told apart.

    Returns
    -------
    pandas.DataFrame
        One row a group, for a right and a wrong model:

        - the `by` columns
        - model_correct: True or False
        - n: decisions (a reader and a case)
        - right_alone: share of them
        - right_with_model: share of them
        - changed: decisions whose answer changed
        - n_wrong_alone: answers wrong alone
        - put_right: those of them that became right; with a right model that is fitting reliance
        - put_right_share: the share, with _low, _high
        - n_right_alone: answers right alone
        - made_wrong: those of them that became wrong; with a wrong model that is over-reliance
        - made_wrong_share: the share, with _low, _high

        (Wilson's 95 % intervals, decisions counted as independent)

    Raises
    ------
    ValueError
        On a column the table lacks.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> phases = ["alone", "with_model"]
    >>> decisions = example_answers(models=["r1", "r2"], strategies=phases)
    >>> decisions = decisions.rename(columns={"model": "reader", "strategy": "phase"})
    >>> decisions = decisions.assign(model_confidence=0.7, model_correct=True)
    >>> table = reliance_table(decisions)
    >>> table[["model_correct", "n", "put_right", "made_wrong"]].to_numpy().tolist()
    [[True, 400, 90, 99]]
    """
    both = _both_phases(decisions)
    both["model_correct"] = both["model_correct"].astype(bool)
    rows = []
    for key, part in parts_by(both, [*by, "model_correct"]):
        alone = part["correct_alone"].to_numpy(bool)
        with_model = part["correct_with_model"].to_numpy(bool)
        changed = part["answer_alone"] != part["answer_with_model"]
        row = {"n": len(part), "right_alone": alone.mean()}
        row |= {"right_with_model": with_model.mean(), "changed": int(changed.sum())}
        row |= _share_changed("put_right", "n_wrong_alone", ~alone, with_model)
        row |= _share_changed("made_wrong", "n_right_alone", alone, ~with_model)
        rows.append(key | row)
    return pd.DataFrame(rows)


def _share_changed(name: str, of: str, before: NDArray, after: NDArray) -> dict:
    """Of the decisions `before`, those that are `after`, with Wilson's interval."""
    n = int(before.sum())
    k = int((before & after).sum())
    low, high = wilson_interval(k, n)
    row = {of: n, name: k, f"{name}_share": k / n if n else np.nan}
    return row | {f"{name}_share_low": float(low), f"{name}_share_high": float(high)}


def _both_phases(decisions: pd.DataFrame) -> pd.DataFrame:
    """One row a reader and case that has a grade alone, with the model, and of the model."""
    parts_by(decisions[:0], DECISION_COLUMNS)
    graded = decisions[
        decisions["correct"].notna() & decisions["model_correct"].notna()
    ]
    graded = graded.assign(case=image_labels(graded, "item_id"))
    if "sample" in graded:  # a case read again beside another model is one by itself
        graded["case"] += "/" + graded["sample"].astype(str)
    keys = ["reader", "case"]
    own = [name for name in ("correct", "confidence", "answer") if name in graded]
    alone = graded[graded["phase"] == ALONE]
    with_model = graded[graded["phase"] == WITH_MODEL][[*keys, *own]]
    return alone.merge(with_model, on=keys, suffixes=("_alone", "_with_model"))
