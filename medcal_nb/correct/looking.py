"""Does a confidence look at the image? The same asked with a blank image, before and after fusion.

What is learned, a Platt map or a fusion's weights, is learned with the image shown, cross-fitted
by image, and used unchanged on the left-out answers to the blank one: nothing is taught what a
blank image looks like.
"""

import numpy as np
import pandas as pd

from medcal_nb.measure.rows import parts_by

from .fusion import BY, EXPERT, complete, every_system, plain_answer
from .maps import folds_of
from .paired import means, paired

BLANK = "_blank"
"""What a strategy's name ends in where it was shown a blank image."""


def blank_pairs(graded: pd.DataFrame, *, rng: np.random.Generator) -> pd.DataFrame:
    """Single strategies and fusions with the image and with a blank one, on the same items.

    Parameters
    ----------
    graded : DataFrame
        Answers of strategies and of the same strategies with a blank image, ``<strategy>_blank``;
        strategies without these are left out.

    Returns
    -------
    DataFrame
        One row per item with ``system`` (a strategy; "fusion"; "fusion, trained"), ``correction``
        (as stated, platt, trained), confidence_shown, _blank and _change (blank - shown), the same
        of accuracy, and ``same_answer``, of the items that every strategy answered both times.
        Empty where nothing was asked with a blank image.
    """
    seed = int(rng.integers(2**63))
    out = []
    for _, part in parts_by(graded, BY):
        present = set(part["strategy"])
        names = sorted(s for s in present - {EXPERT} if s + BLANK in present)
        if not names:
            continue
        blank = part["strategy"].str.endswith(BLANK)
        part = part.assign(strategy=part["strategy"].str.removesuffix(BLANK))
        both = [complete(part[at], names)[0] for at in (~blank, blank)]
        ids = both[0].items.index.intersection(both[1].items.index)
        both = [ballots.part(ballots.items.index.isin(ids)) for ballots in both]
        if (fold := folds_of(both[0].items, seed)) is not None:
            answers = [every_system(both[0], fold, to=ballots) for ballots in both]
            for (_, correction, shown), (_, _, blind) in zip(*answers, strict=True):
                out.append(_joined(shown, blind).assign(correction=correction))
    return pd.concat(out, ignore_index=True) if out else pd.DataFrame()


def _joined(shown, blank):
    """Answers of one system with the image, beside those to the blank one."""
    same = shown["answer"].map(plain_answer) == blank["answer"].map(plain_answer)
    out = shown.assign(system=shown["strategy"], same_answer=same)
    for name, column in (("accuracy", "correct"), ("confidence", "confidence")):
        one, other = (frame[column].to_numpy(float) for frame in (shown, blank))
        out[f"{name}_shown"] = one
        out[f"{name}_blank"] = other
        out[f"{name}_change"] = other - one
    return out


def image_reliance_table(pairs: pd.DataFrame, *, rng, **settings) -> pd.DataFrame:
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
    sides = ("shown", "blank", "change")
    names = [f"{name}_{side}" for name in ("accuracy", "confidence") for side in sides]
    columns = {name: name for name in ("same_answer", *names)}
    columns |= {"excess": ("confidence_change", "accuracy_change")}
    return paired(
        pairs, [*BY, "system", "correction"], means(**columns), rng=rng, **settings
    )
