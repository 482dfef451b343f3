"""Groups as a sample: does a number follow how often a group is answered right?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from ._check import check_choice
from .rows import image_labels, parts_by

#: The least groups that have a trend.
LEAST_GROUPS = 6
#: The least share of the spread of accuracies that is not the noise of few questions.
LEAST_RELIABILITY = 0.5
_ESTIMATES = [
    *[
        "reliability",
        "accuracy_slope_as_measured",
        "accuracy_slope",
        "accuracy_slope_low",
        "accuracy_slope_high",
    ],
    *["offset", "offset_low", "offset_high"],
]


def group_means(
    graded: pd.DataFrame, value: str, group: str, *, kind: str | None = None
) -> pd.DataFrame:
    """Mean of a number and accuracy of each group of answers, and how sure both are.

    Parameters
    ----------
    graded : pandas.DataFrame
        With correct, the number, the column of the groups and item_id; image_id is used. Rows
        without one of them are left out.
    value : str
        Column of the number: confidence, or what a map costs on each answer.
    group : str
        Its values are the groups (subject).
    kind : str, optional
        Column that says what kind a group is of (domain); a group of two kinds is two groups.

    Returns
    -------
    pandas.DataFrame
        One row a group:

        - the `group` column; where kinds are asked for, theirs before it
        - n, n_images: answers and images
        - accuracy: share of right answers
        - the `value` column: its mean
        - accuracy_var, covariance: of the two means, by image; NaN for a single image

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> means = group_means(example_answers(), "confidence", "domain")
    >>> means[["domain", "n", "accuracy", "confidence"]].round(2).to_numpy().tolist()
    [['general', 200, 0.76, 0.77], ['medical', 200, 0.56, 0.76]]
    """
    columns = [group] if kind is None else [kind, group]
    rows = []
    for key, part in parts_by(
        graded.dropna(subset=[value, "correct", *columns]), columns
    ):
        right = part["correct"].to_numpy(float)
        number = part[value].to_numpy(float)
        images, _ = pd.factorize(image_labels(part))
        away = np.array([right - right.mean(), number - number.mean()]) / len(part)
        # sums by image, (2, images)
        pull = np.array([np.bincount(images, weights=one) for one in away])
        n_images = pull.shape[1]
        small = n_images / (n_images - 1) if n_images > 1 else np.nan
        row = {"n": len(part), "n_images": n_images, "accuracy": right.mean()}
        row |= {value: number.mean(), "accuracy_var": small * (pull[0] @ pull[0])}
        rows.append(key | row | {"covariance": small * (pull[0] @ pull[1])})
    return pd.DataFrame(rows)


def accuracy_trend_table(
    graded: pd.DataFrame,
    value: str,
    group: str,
    *,
    kind: str | None = None,
    reference: object = None,
    by: Sequence[str] = (),
    least: int = 10,
    level: float = 0.95,
) -> pd.DataFrame:
    r"""Slope of a number on groups' accuracy, and how far one kind lies off at equal accuracy.

    Groups (the subjects of an exam) are the sample: whether medical ones differ is asked of so many
    subjects, however many questions each has. Over groups g with accuracy a, of kind m = 1 or 0,

    .. math:: y_g = \alpha + \beta a_g + \delta m_g + e_g

    Slope 0: the number is the same whether a group is easy or hard; 1: a confidence moves as
    accuracy does. Accuracy is measured on few answers, whose noise pulls a slope towards 0
    (attenuation), and the same answers make both means, whose noise is then correlated (the
    coupling of a confidence or a cost with its accuracy). Both are known by image and taken off the
    normal equations (method of moments; Fuller 1987):

    .. math:: (Z'Z - D)\,\theta = Z'y - d, \quad D_{aa} = \sum_g \widehat{var}(a_g), \quad
       d_a = \sum_g \widehat{cov}(a_g, y_g)

    Intervals are Student's t with k − p degrees, for groups that scatter alike.

    Parameters
    ----------
    graded, value, group, kind
        As of `group_means`; answers of several models about one image vary together.
    reference : optional
        The value of `kind` that the other is compared with; needed with `kind`.
    by : sequence of str
        Columns within whose combinations all this is done (model).
    least : int
        Groups of answers to fewer images are left out.
    level : float
        Of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row a combination of `by`:

        - the `by` columns
        - n_groups, n_compared: groups, and those that are not of the reference
        - n: answers
        - accuracy_min, accuracy_max, value_min, value_max: of groups
        - reliability: share of the spread of accuracies (within kinds) that is not noise
        - accuracy_slope: with _low, _high; NaN where the reliability is below 0.5, and with fewer
          than 6 groups
        - accuracy_slope_as_measured: by least squares, with the noise in it
        - offset: of groups not of the reference, at equal accuracy, with _low, _high; NaN without
          `kind`

    Raises
    ------
    ValueError
        On a column the table lacks, or a reference that does not occur.

    References
    ----------
    Fuller, Measurement Error Models, 1987, section 2.2.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> share = np.repeat(np.linspace(0.2, 0.8, 12), 200)
    >>> table = pd.DataFrame({"correct": rng.random(2400) < share, "item_id": range(2400)})
    >>> table["subject"] = np.repeat(list("abcdefghijkl"), 200)
    >>> table["confidence"] = 0.6 + 0.5 * (share - 0.5)
    >>> trend = accuracy_trend_table(table, "confidence", "subject")
    >>> trend[["n_groups", "accuracy_slope"]].round(2)
       n_groups  accuracy_slope
    0        12            0.46
    """
    parts_by(graded[:0], [value, "correct", group, *([] if kind is None else [kind])])
    if kind is not None:
        check_choice(reference, "reference", list(graded[kind].unique()))
    rows = []
    for key, part in parts_by(graded.dropna(subset=[value, "correct", group]), by):
        means = group_means(part, value, group, kind=kind)
        means = means[means["n_images"] >= least]
        is_compared = np.zeros(len(means))
        if kind is not None:
            is_compared = (means[kind] != reference).to_numpy(float)
        row = {"n_groups": len(means), "n_compared": int(is_compared.sum())}
        row |= {"n": int(means["n"].sum())}
        for name, column in (("accuracy", "accuracy"), ("value", value)):
            row |= {
                f"{name}_min": means[column].min(),
                f"{name}_max": means[column].max(),
            }
        rows.append(key | row | trend(means, value, is_compared, level))
    return pd.DataFrame(rows)


def trend(
    means: pd.DataFrame, value: str, is_compared: np.ndarray, level: float
) -> dict[str, float]:
    """Slope and offset of groups, corrected for the noise of their accuracy."""
    row = dict.fromkeys(_ESTIMATES, np.nan)
    if len(means) < LEAST_GROUPS or means["accuracy"].nunique() == 1:
        return row
    y = means[value].to_numpy(float)
    noise = means["accuracy_var"].sum()
    names = ["constant", "accuracy_slope", "offset"]
    z = np.column_stack([np.ones(len(y)), means["accuracy"], is_compared])
    if is_compared.all() or not is_compared.any():
        z = z[:, :2]
    moments = z.T @ z
    products = z.T @ y
    # of the spread of accuracies within kinds, what is not noise
    reliability = 1 - noise * np.linalg.inv(moments)[1, 1]
    row["reliability"] = reliability
    row["accuracy_slope_as_measured"] = np.linalg.solve(moments, products)[1]
    if reliability < LEAST_RELIABILITY:
        return row
    known = moments.copy()
    known[1, 1] -= noise
    products[1] -= means["covariance"].sum()
    theta = np.linalg.solve(known, products)
    spreads = _standard_errors(y - z @ theta, moments, known)
    half = stdtrit(len(y) - len(theta), (1 + level) / 2) * spreads
    for k in range(1, len(theta)):
        row[names[k]] = theta[k]
        row[f"{names[k]}_low"] = theta[k] - half[k]
        row[f"{names[k]}_high"] = theta[k] + half[k]
    return row


def _standard_errors(
    residuals: np.ndarray, moments: np.ndarray, known: np.ndarray
) -> np.ndarray:
    """Standard errors of coefficients from groups that scatter alike."""
    inverse = np.linalg.inv(known)
    variance = (residuals @ residuals) / (len(residuals) - len(known))
    return np.sqrt(variance * np.diag(inverse @ moments @ inverse))
