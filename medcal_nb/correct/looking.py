"""Does a confidence look at the image? The same asked with a blank image, before and after fusion.

What is learned, a Platt map or a fusion's weights, is learned with the image shown, cross-fitted
by image, and used unchanged on the left-out answers to the blank one: nothing is taught what a
blank image looks like.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ._resample import draw_groups
from .fusion import _chosen, _fit_ballots, _pooled, make_ballots, plain_answer
from .recalibrate import CLIP, RecalibrationWarning, assign_folds, fit_platt
from .transfer import image_labels, interval

_SYSTEM = ("system", "correction")


def blank_pairs(
    shown: pd.DataFrame,
    blank: pd.DataFrame,
    *,
    strategies: Sequence[str] | None = None,
    n_folds: int = 5,
    penalty: float = 1.0,
    clip: float = CLIP,
    by: Sequence[str] = ("model", "dataset"),
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Single strategies and fusions with the image and with a blank one, on the same items.

    Parameters
    ----------
    shown, blank : DataFrames
        Verdicts of the same strategies on the same items; ``blank`` saw a blank image.
    strategies : sequence of str, optional
        Which to fuse; all that ``shown`` and ``blank`` share by default.

    Returns
    -------
    DataFrame
        Verdicts with ``system`` (a strategy; ``fusion``, the mean of the ballots;
        ``fusion_trained``), ``correction`` (none, platt, trained) and ``image`` (shown, blank), of
        the items that every strategy answered both times.

    Raises
    ------
    ValueError
        If the two share no strategy, or fewer images than folds are left.
    """
    both = set(shown["strategy"]) & set(blank["strategy"])
    names = [s for s in strategies or sorted(both) if s in both]
    if not names:
        raise ValueError("shown and blank share no strategy")
    seed, out = int(rng.integers(2**63)), []
    blanks = dict(list(blank.groupby(list(by), sort=True, observed=True)))
    for key, part in shown.groupby(list(by), sort=True, observed=True):
        if key not in blanks:
            continue
        ballots = [make_ballots(rows, strategies=names) for rows in (part, blanks[key])]
        answered = [b.rows["item_id"][_answered(b)] for b in ballots]
        common = sorted(set(answered[0]) & set(answered[1]))
        seen, unseen = (b.part(b.rows["item_id"].isin(common).to_numpy()) for b in ballots)
        images = image_labels(seen.rows)
        fold = assign_folds(images, n_folds, rng=np.random.default_rng([seed, 0]))
        for system, correction, rows in _systems(seen, unseen, names, fold, penalty, clip):
            for image, frame in zip(("shown", "blank"), rows, strict=True):
                out.append(frame.assign(system=system, correction=correction, image=image))
    if not out:
        raise ValueError(f"shown and blank share no {' and '.join(by)}")
    return pd.concat(out, ignore_index=True)


def _answered(ballots):
    """Items that all strategies answered and whose named answers are all graded."""
    graded = ~np.isnan(np.where(ballots.answers != None, ballots.right, 0)).any(axis=1)  # noqa: E711
    return ~np.isnan(ballots.p).all(axis=1).any(axis=1) & graded


def _systems(seen, unseen, names, fold, penalty, clip):
    """(system, correction, verdicts with and without the image)."""
    plain = {}
    for s in names:
        alone = [b.of([s]) for b in (seen, unseen)]
        plain[s] = [
            _chosen(b, np.where(b.named_by()[:, :, 0], b.p[:, :, 0], -1), name=s) for b in alone
        ]
    weights = np.ones(len(names))
    plain["fusion"] = [
        _chosen(b, _pooled(b, weights, "linear"), name="fusion") for b in (seen, unseen)
    ]
    for system, rows in plain.items():
        yield system, "none", rows
        c = [frame["confidence"].to_numpy(float) for frame in rows]
        y, moved = rows[0]["correct"].to_numpy(float), [np.empty(len(fold)) for _ in rows]
        for k in range(fold.max() + 1):
            own = fold == k
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RecalibrationWarning)
                platt = fit_platt(c[0][~own], y[~own], clip=clip)
            for values, to in zip(c, moved, strict=True):
                to[own] = platt(values[own])
        yield system, "platt", [r.assign(confidence=m) for r, m in zip(rows, moved, strict=True)]
    trained = [[], []]
    for k in range(fold.max() + 1):
        fusion = _fit_ballots(seen.part(fold != k), penalty, clip)
        for b, parts in zip((seen, unseen), trained, strict=True):
            parts.append(fusion._apply(b.part(fold == k), "fusion_trained"))
    yield "fusion_trained", "trained", [pd.concat(parts).sort_index() for parts in trained]


_MEASURED = (
    "confidence_shown",
    "confidence_blank",
    "confidence_fall",
    "accuracy_shown",
    "accuracy_blank",
    "accuracy_fall",
    "excess",
    "same_answer",
    "correlation",
)


def image_reliance_table(
    pairs: pd.DataFrame,
    *,
    level: float = 0.95,
    n_resamples: int = 1000,
    by: Sequence[str] = ("model", "dataset"),
    rng: np.random.Generator,
) -> pd.DataFrame:
    r"""How far confidence and accuracy fall when the image is taken away.

    Parameters
    ----------
    pairs : DataFrame
        From :func:`blank_pairs`.

    Returns
    -------
    DataFrame
        One row per ``by``, system and correction: n, n_images; mean ``confidence_shown`` and
        ``confidence_blank`` and their difference ``confidence_fall``; the same of accuracy;
        ``excess`` = confidence_fall - accuracy_fall, below 0 where the confidence does not miss
        the image as much as the answers do; ``same_answer``, the share of items whose answer stays
        the same; ``correlation`` (Pearson) of the two confidences over the items, 1 where the
        image changes none. Each with ``_low`` and ``_high`` of the bootstrap by image.
    """
    seed, rows = int(rng.integers(2**63)), []
    for key, part in pairs.groupby([*by, *_SYSTEM], sort=False, observed=True):
        seen, unseen = (
            part[part["image"] == image].sort_values("item_id").reset_index(drop=True)
            for image in ("shown", "blank")
        )
        _, code = np.unique(image_labels(seen), return_inverse=True)
        n_images = int(code.max()) + 1
        drawn = draw_groups(n_images, n_resamples, np.random.default_rng(seed))
        w = np.vstack([np.ones(len(code)), drawn[:, code]])
        w /= w.sum(axis=1, keepdims=True)
        c = [frame["confidence"].to_numpy(float) for frame in (seen, unseen)]
        y = [frame["correct"].to_numpy(float) for frame in (seen, unseen)]
        same = [
            plain_answer(a) == plain_answer(b)
            for a, b in zip(seen["answer"], unseen["answer"], strict=True)
        ]
        draws = {
            "confidence_shown": w @ c[0],
            "confidence_blank": w @ c[1],
            "accuracy_shown": w @ y[0],
            "accuracy_blank": w @ y[1],
            "same_answer": w @ np.array(same, float),
            "correlation": _correlation(*c, w),
        }
        for name in ("confidence", "accuracy"):
            draws[f"{name}_fall"] = draws[f"{name}_shown"] - draws[f"{name}_blank"]
        draws["excess"] = draws["confidence_fall"] - draws["accuracy_fall"]
        row = dict(zip([*by, *_SYSTEM], key, strict=True))
        row |= {"n": len(code), "n_images": n_images}
        for name in _MEASURED:
            row[name], row[f"{name}_low"], row[f"{name}_high"] = interval(draws[name], level)
        rows.append(row)
    return pd.DataFrame(rows)


def _correlation(a, b, w):
    """Pearson's, for each row of weights that sum to 1; NaN where one is constant."""
    mean_a, mean_b = w @ a, w @ b
    covariance = w @ (a * b) - mean_a * mean_b
    variance = (w @ a**2 - mean_a**2) * (w @ b**2 - mean_b**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(variance > 1e-18, covariance / np.sqrt(variance), np.nan)


def image_sentence(table: pd.DataFrame, *, fusion: str = "fusion", correction: str = "none") -> str:
    """Does the confidence look at the image, before and after fusion: computed from the table.

    Parameters
    ----------
    table : DataFrame
        From :func:`image_reliance_table`, of one model and data set.

    Raises
    ------
    ValueError
        If the table has no row of that fusion and correction, or no single strategy beside it.
    """
    fused = table[(table["system"] == fusion) & (table["correction"] == correction)]
    single = table[
        ~table["system"].isin(["fusion", "fusion_trained"]) & (table["correction"] == "none")
    ]
    if len(fused) != 1 or single.empty:
        raise ValueError(f"no row of {fusion!r} with correction {correction!r}, or no strategies")
    row = fused.iloc[0]

    def said(name):
        return f"{row[name]:.3f} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"

    if row["excess_high"] < 0:
        verdict = "less than the accuracy: it is not about the image as much as the answers are"
    elif row["excess_low"] > 0:
        verdict = "more than the accuracy"
    else:
        verdict = "and no difference to the fall of the accuracy is shown"
    blind = int((single["excess_high"] < 0).sum())
    return (
        f"Without the image {fusion.replace('_', ' ')}'s accuracy falls by {said('accuracy_fall')} "
        f"and its confidence by {said('confidence_fall')}, {verdict}. Before fusion the "
        f"confidence of {len(single)} strategies falls by {single['confidence_fall'].min():.3f} to "
        f"{single['confidence_fall'].max():.3f}; for {blind} of them by less than the accuracy."
    )
