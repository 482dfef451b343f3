"""Image ablation: whether a confidence falls where the image is blank.

What is fitted, a Platt map or an ensemble's weights, is fitted with the image shown, cross-fitted
by image, and applied unchanged to the left-out answers to the blank one.
"""

import numpy as np
import pandas as pd

from medcal_nb.answer_key import same_answer
from medcal_nb.measure import Bootstrap
from medcal_nb.measure.paired import means, paired
from medcal_nb.measure.rows import parts_by

from .crossfit import folds_of
from .ensemble import BY, EXPERT, Members, complete, every_ensemble

#: What a method's name ends in where it was shown a blank image.
BLANK = "_blank"


def image_ablation(graded: pd.DataFrame, *, rng: np.random.Generator) -> pd.DataFrame:
    """Methods and ensembles with the image and with a blank one, on the same items.

    Parameters
    ----------
    graded : DataFrame
        Answers of methods and of the same methods with a blank image, ``<strategy>_blank``;
        methods without these are left out.
    rng : numpy.random.Generator

    Returns
    -------
    DataFrame
        One row per item that every method answered both times, none if nothing was asked with
        a blank image:

        - model, dataset, item_id, strategy, answer, confidence, correct: with the image
        - image_id: where ``graded`` has it
        - ensemble, recalibration: as in :func:`medcal_nb.correct.ensemble_answers`
        - confidence_shown, confidence_blank, confidence_change: change is blank - shown
        - accuracy_shown, accuracy_blank, accuracy_change: the same of being correct
        - same_answer: whether the answer stays the same

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> answers = example_answers(strategies=["verbalized", "verbalized_blank"])
    >>> pairs = image_ablation(answers, rng=np.random.default_rng(0))
    >>> pairs["ensemble"].unique().tolist()
    ['verbalized']
    """
    seed = int(rng.integers(2**63))
    parts = []
    for _, rows_of_model in parts_by(graded, BY):
        present = set(rows_of_model["strategy"])
        names = sorted(s for s in present - {EXPERT} if s + BLANK in present)
        if not names:
            continue
        shown, blank = _shown_and_blank(rows_of_model, names)
        fold = folds_of(shown.items, seed)
        if fold is None:
            continue
        with_image = every_ensemble(shown, fold, to=shown)
        without = every_ensemble(shown, fold, to=blank)
        for one, other in zip(with_image, without, strict=True):
            _, recalibration, answers = one
            rows = _joined(answers, other[2])
            parts.append(rows.assign(recalibration=recalibration))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _shown_and_blank(rows: pd.DataFrame, names: list[str]) -> tuple[Members, Members]:
    """Members with the image and with a blank one, on the items that both answered."""
    is_blank = rows["strategy"].str.endswith(BLANK)
    rows = rows.assign(strategy=rows["strategy"].str.removesuffix(BLANK))
    shown, _ = complete(rows[~is_blank], names)
    blank, _ = complete(rows[is_blank], names)
    common = shown.items.index.intersection(blank.items.index)
    shown = shown.part(shown.items.index.isin(common))
    return shown, blank.part(blank.items.index.isin(common))


def _joined(shown: pd.DataFrame, blank: pd.DataFrame) -> pd.DataFrame:
    """Answers of one method or ensemble with the image, beside those to the blank one."""
    same = [
        same_answer(*pair)
        for pair in zip(shown["answer"], blank["answer"], strict=True)
    ]
    rows = shown.assign(ensemble=shown["strategy"], same_answer=same)
    for name, column in (("accuracy", "correct"), ("confidence", "confidence")):
        before = shown[column].to_numpy(float)
        after = blank[column].to_numpy(float)
        rows[f"{name}_shown"] = before
        rows[f"{name}_blank"] = after
        rows[f"{name}_change"] = after - before
    return rows


def image_ablation_table(
    pairs: pd.DataFrame,
    *,
    ci: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    r"""How confidence and accuracy change when the image is taken away.

    Parameters
    ----------
    pairs : DataFrame
        Of :func:`image_ablation`.
    ci : Bootstrap
        Of the intervals, by image.

    Returns
    -------
    DataFrame
        One row per model, data set, ensemble and recalibration:

        - model, dataset, ensemble, recalibration: as in ``pairs``
        - n, n_images: answers and images
        - confidence_shown, confidence_blank, confidence_change: means with _low, _high; change is
          blank - shown
        - accuracy_shown, accuracy_blank, accuracy_change: the same of accuracy, with _low, _high
        - excess: confidence_change - accuracy_change, above 0 if the confidence falls less than
          the accuracy; with _low, _high
        - same_answer: share of items whose answer stays the same, with _low, _high

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> answers = example_answers(strategies=["verbalized", "verbalized_blank"])
    >>> pairs = image_ablation(answers, rng=np.random.default_rng(0))
    >>> table = image_ablation_table(pairs, ci=Bootstrap(n=200))
    >>> table[["recalibration", "accuracy_change"]].round(2).to_numpy().tolist()
    [['uncorrected', -0.03], ['platt', -0.03], ['uncorrected', 0.08], ['platt', 0.08]]
    """
    columns: dict = {"same_answer": "same_answer"}
    for name in ("accuracy", "confidence"):
        for side in ("shown", "blank", "change"):
            columns[f"{name}_{side}"] = f"{name}_{side}"
    columns["excess"] = ("confidence_change", "accuracy_change")
    by = [*BY, "ensemble", "recalibration"]
    return paired(pairs, by, means(**columns), ci=ci)
