"""Image ablation: whether a confidence falls where the image is blank."""

import pandas as pd

from medcal_nb.errors import NotEnough
from medcal_nb.measure import Bootstrap
from medcal_nb.measure.paired import means, paired
from medcal_nb.measure.rows import parts_by

from .ensemble import BY, averaged, complete, ensembles, make_members

#: What a method's name ends in where it was shown a blank image.
BLANK = "_blank"


def image_ablation(
    graded: pd.DataFrame, *, ci: Bootstrap = Bootstrap()
) -> pd.DataFrame:
    """How confidence and accuracy change when the image is taken away.

    Parameters
    ----------
    graded : DataFrame
        Answers of methods and of the same methods with a blank image, ``<strategy>_blank``;
        methods without these are left out, and items that not all answered both times.
    ci : Bootstrap
        Of the intervals, by image.

    Returns
    -------
    DataFrame
        One row per model, data set and method or ensemble, confidence uncorrected:

        - model, dataset: as in ``graded``
        - ensemble: the method or ensemble
        - n, n_images: answers and images
        - confidence_shown, confidence_blank: mean confidence with _low, _high
        - accuracy_shown, accuracy_blank: accuracy with _low, _high
        - excess: change of the confidence minus change of the accuracy (blank - shown), above 0
          if the confidence falls less than the accuracy; with _low, _high

    Raises
    ------
    NotEnough
        If no method was asked with a blank image.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> answers = example_answers(strategies=["verbalized", "verbalized_blank"])
    >>> table = image_ablation(answers, ci=Bootstrap(n=200))
    >>> table[["ensemble", "excess"]].round(2).to_numpy().tolist()
    [['verbalized', 0.03], ['verbalized', -0.11]]
    """
    pairs = []
    for _, rows in parts_by(graded, BY):
        is_blank = rows["strategy"].str.endswith(BLANK)
        method = rows["strategy"].str.removesuffix(BLANK)
        names = sorted(set(method[is_blank]) & set(method[~is_blank]))
        asked = rows.assign(strategy=method)
        shown = complete(asked[~is_blank], names)
        blank = complete(asked[is_blank], names)
        shown = shown[shown["item_id"].isin(blank["item_id"])]
        blank = blank[blank["item_id"].isin(shown["item_id"])]
        if shown.empty:
            continue
        with_image = make_members(shown, names)
        without = make_members(blank, names)
        for name, members in ensembles(names).items():
            before = averaged(with_image.of(members))
            after = averaged(without.of(members))
            pairs.append(_joined(before, after).assign(ensemble=name))
    if not pairs:
        raise NotEnough("no method was asked with the image and with a blank one")
    columns = ["accuracy_shown", "accuracy_blank"]
    columns += ["confidence_shown", "confidence_blank", "excess"]
    statistic = means(**dict(zip(columns, columns, strict=True)))
    return paired(pd.concat(pairs), [*BY, "ensemble"], statistic, ci=ci)


def _joined(shown: pd.DataFrame, blank: pd.DataFrame) -> pd.DataFrame:
    """Answers of one method or ensemble with the image, beside those to the blank one."""
    rows = shown[[*BY, "item_id", "image_id"]].copy()
    rows["confidence_shown"] = shown["confidence"]
    rows["confidence_blank"] = blank["confidence"]
    rows["accuracy_shown"] = shown["correct"].astype(float)
    rows["accuracy_blank"] = blank["correct"].astype(float)
    confidence_change = rows["confidence_blank"] - rows["confidence_shown"]
    accuracy_change = rows["accuracy_blank"] - rows["accuracy_shown"]
    rows["excess"] = confidence_change - accuracy_change
    return rows
