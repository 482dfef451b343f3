"""Does a confidence look at the image? The same asked with a blank image, before and after fusion.

What is learned, a Platt map or a fusion's weights, is learned with the image shown, cross-fitted
by image, and used unchanged on the left-out answers to the blank one: nothing is taught what a
blank image looks like.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from medcal_nb.measure.rows import parts_by

from .fusion import (
    BY,
    FUSION,
    TRAINED,
    alone,
    chosen,
    fit_weights,
    make_ballots,
    plain_answer,
    pool,
)
from .maps import FITS, folds_of
from .paired import means, paired

BLANK = "_blank"
"""What a strategy's name ends in where it was shown a blank image."""


def blank_pairs(
    graded: pd.DataFrame, *, strategies: Sequence[str], n_folds: int = 5, rng: np.random.Generator
) -> pd.DataFrame:  # fmt: skip
    """Single strategies and fusions with the image and with a blank one, on the same items.

    Parameters
    ----------
    graded : DataFrame
        Answers of strategies and of the same strategies with a blank image, ``<strategy>_blank``.
    strategies : sequence of str
        Which to fuse; those without answers to the blank image are left out.

    Returns
    -------
    DataFrame
        One row per item with ``system`` (a strategy; "fusion"; "fusion, trained"), ``correction``
        (as stated, platt, trained), confidence_shown and _blank, correct_shown and _blank,
        ``same_answer``, of the items that every strategy answered both times.
        Empty where nothing was asked with a blank image.
    """
    seed, out = int(rng.integers(2**63)), []
    for _, part in parts_by(graded, BY):
        present = set(part["strategy"])
        names = [s for s in strategies if {s, s + BLANK} <= present]
        if not names:
            continue
        bare = part["strategy"].str.removesuffix(BLANK)
        blank = part["strategy"].str.endswith(BLANK)
        both = [
            make_ballots(part.assign(strategy=bare)[at], strategies=names) for at in (~blank, blank)
        ]
        told = [set(b.rows["item_id"][b.answered().all(axis=1) & b.graded()]) for b in both]
        seen, unseen = (b.part(b.rows["item_id"].isin(told[0] & told[1]).to_numpy()) for b in both)
        if (fold := folds_of(seen.rows, n_folds, seed)) is None:
            continue
        for system, correction, (a, b) in _systems(seen, unseen, names, fold):
            out.append(
                a.assign(
                    system=system, correction=correction,
                    confidence_shown=a["confidence"].to_numpy(float),
                    confidence_blank=b["confidence"].to_numpy(float),
                    accuracy_shown=a["correct"].to_numpy(float),
                    accuracy_blank=b["correct"].to_numpy(float),
                    same_answer=[plain_answer(x) == plain_answer(y)
                          for x, y in zip(a["answer"], b["answer"], strict=True)],
                )
            )  # fmt: skip
    return pd.concat(out, ignore_index=True) if out else pd.DataFrame()


def _systems(seen, unseen, names, fold):
    """(system, correction, graded answers with and without the image)."""
    plain = {s: [alone(b, s) for b in (seen, unseen)] for s in names}
    plain[FUSION] = [chosen(b.of(names), pool(b.of(names)), name=FUSION) for b in (seen, unseen)]
    for system, rows in plain.items():
        yield system, "as stated", rows
        c, y = [f["confidence"].to_numpy(float) for f in rows], rows[0]["correct"].to_numpy(float)
        moved = [np.empty(len(fold)) for _ in rows]
        for k in np.unique(fold):
            platt = FITS["platt"](c[0][fold != k], y[fold != k])
            for values, to in zip(c, moved, strict=True):
                to[fold == k] = platt(values[fold == k])
        yield system, "platt", [r.assign(confidence=m) for r, m in zip(rows, moved, strict=True)]
    trained = [[], []]
    for k in np.unique(fold):
        fused = fit_weights(seen.part(fold != k))
        for b, parts in zip((seen, unseen), trained, strict=True):
            parts.append(fused(b.part(fold == k), FUSION + TRAINED))
    yield FUSION + TRAINED, "trained", [pd.concat(parts).sort_index() for parts in trained]


def image_reliance_table(
    pairs: pd.DataFrame, *, rng: np.random.Generator, **settings
) -> pd.DataFrame:
    r"""How confidence and accuracy change when the image is taken away.

    Parameters
    ----------
    pairs : DataFrame
        From :func:`blank_pairs`.

    Returns
    -------
    DataFrame
        One row per model, data set, system and correction: n, n_images; ``confidence_shown``,
        ``confidence_blank``, ``confidence_change`` (blank - shown); the same of accuracy;
        ``excess`` = confidence_change - accuracy_change, above 0 where the confidence does not miss
        the image as much as the answers do; ``same_answer``, the share of items whose answer stays
        the same. Each with ``_low`` and ``_high`` of the bootstrap by image.
    """
    columns = {"same_answer": "same_answer"}
    for name in ("accuracy", "confidence"):
        shown, blank = f"{name}_shown", f"{name}_blank"
        columns |= {shown: shown, blank: blank, f"{name}_change": (blank, shown)}
        pairs = pairs.assign(**{f"{name}_moved": pairs[blank] - pairs[shown]})
    columns |= {"excess": ("confidence_moved", "accuracy_moved")}
    return paired(pairs, [*BY, "system", "correction"], means(**columns), rng=rng, **settings)
