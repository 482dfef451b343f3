"""Groups as a sample: does a number follow how often a group is answered right?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from ._check import check_choice
from .paired import IMAGE
from .rows import image_labels, parts_by

#: The least groups that have a trend.
LEAST_GROUPS = 6
#: The least share of the spread of accuracies that is not the noise of few questions.
LEAST_RELIABILITY = 0.5
_TINY = 1e-9
_ESTIMATES = ["accuracy_slope", "accuracy_slope_low", "accuracy_slope_high"]
_ESTIMATES += ["p_accuracy_slope", "offset", "offset_low", "offset_high", "p_offset"]
_ESTIMATES += ["accuracy_slope_as_measured", "reliability"]


def group_means(
    graded: pd.DataFrame,
    value: str,
    group: str,
    *,
    kind: str | None = None,
    level: float = 0.95,
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
    level : float
        Of the interval.

    Returns
    -------
    pandas.DataFrame
        One row a group:

        - the `group` column; where kinds are asked for, theirs before it
        - n, n_images: answers and images
        - accuracy: share of right answers
        - the `value` column: its mean, with _low, _high: Student's t by image
        - accuracy_var, covariance: of the two means, by image; NaN for a single image

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> means = group_means(example_answers(), "confidence", "domain")
    >>> means[["domain", "n", "accuracy", "confidence"]].round(2).to_numpy().tolist()
    [['general', 200, 0.76, 0.77], ['medical', 200, 0.56, 0.76]]
    """
    columns = [group] if kind is None else [kind, group]
    graded = graded.dropna(subset=[value, "correct", *columns])
    return _group_means(numbered(graded), value, columns, level)


def _group_means(
    graded: pd.DataFrame, value: str, columns: list[str], level: float = 0.95
) -> pd.DataFrame:
    """As `group_means`, by any columns, of answers with numbered images and nothing missing."""
    by_group = graded.groupby(columns, sort=True, observed=True)
    code = by_group.ngroup().to_numpy()
    n = np.bincount(code)
    values = graded[["correct", value]].to_numpy(float).T  # (2, answers)
    accuracy, mean = (np.bincount(code, one) / n for one in values)
    away = (values - np.array([accuracy, mean])[:, code]) / n[code]
    n_images, moments = _of_images(code, graded[IMAGE], away)
    half = stdtrit(n_images - 1, (1 + level) / 2) * np.sqrt(moments[2])
    means = by_group.size().index.to_frame(index=False)
    return means.assign(
        **{"n": n, "n_images": n_images, "accuracy": accuracy, value: mean},
        **{f"{value}_low": mean - half, f"{value}_high": mean + half},
        **{"accuracy_var": moments[0], "covariance": moments[1]},
    )


def _of_images(
    code: np.ndarray, images: pd.Series, away: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Images of each group, and variance, covariance and variance of its two means, by image."""
    image, _ = pd.factorize(images)
    n_known = image.max(initial=0) + 1
    cell, cells = pd.factorize(code * n_known + image)
    of_group = cells // n_known
    n_images = np.bincount(of_group)
    small = n_images / np.where(n_images > 1, n_images - 1, np.nan)
    right, number = (np.bincount(cell, one) for one in away)
    products = (right**2, right * number, number**2)
    return n_images, [small * np.bincount(of_group, one) for one in products]


def accuracy_trend_table(
    graded: pd.DataFrame,
    value: str,
    group: str,
    *,
    kind: str | None = None,
    reference: object = None,
    by: Sequence[str] = (),
    within: str | None = None,
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
    coupling of a confidence or a cost with its accuracy). Both are known by image, and what is left
    of them beside the constant and the kind is taken off the normal equations (method of moments;
    Fuller 1987):

    .. math:: (Z'Z - D)\,\theta = Z'y - d, \quad
       D_{aa} = \sum_g (1 - h_g)\, \widehat{var}(a_g), \quad
       d_a = \sum_g (1 - h_g)\, \widehat{cov}(a_g, y_g)

    with h the leverage of a group from (1, m). Groups of each kind scatter in their own way: the
    variance of a coefficient is the sum of what each kind gives it, from residuals e of a variance

    .. math:: s_k^2 = \sum_{g \in k} e_g^2 \,/\, \nu_k, \quad \nu_k = \sum_{g \in k} (1 - h_g)

    with h here from all of Z; Student's t has the degrees of Welch and Satterthwaite.

    Parameters
    ----------
    graded, value, group, kind
        As of `group_means`; answers of several models about one image vary together.
    reference : optional
        The value of `kind` that the other is compared with; needed with `kind`.
    by : sequence of str
        Columns within whose combinations all this is done (model).
    within : str, optional
        Column whose levels (models) are moved to the mean of all before groups are compared (fixed
        effects): else a group looks harder where a weaker model has more of its answers.
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
        - share_missing: of graded answers, the share that has no number
        - accuracy_slope: with _low, _high; NaN where the reliability is below 0.5, and with fewer
          than 6 groups
        - p_accuracy_slope, p_offset: two-sided, of each being 0 (Student's t)
        - offset: of groups not of the reference, at equal accuracy, with _low, _high; NaN without
          `kind`, the ends also where a kind has a single group
        - accuracy_slope_as_measured: by least squares, with the noise in it
        - reliability: share of the spread of accuracies (within kinds) that is not noise
        - accuracy_min, accuracy_max, value_min, value_max: of groups, as they are
        - slope_min, slope_median, slope_max: of the slopes in each level of `within` by itself;
          with `within`

    Raises
    ------
    ValueError
        On a column the table lacks, or a reference that does not occur.

    References
    ----------
    Fuller, Measurement Error Models, 1987, section 2.2; Welch, Biometrika 1947,
    doi:10.1093/biomet/34.1-2.28.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> share = np.repeat(np.linspace(0.2, 0.8, 12), 200)
    >>> table = pd.DataFrame({"correct": rng.random(2400) < share, "item_id": range(2400)})
    >>> table["subject"] = np.repeat(list("abcdefghijkl"), 200)
    >>> table["confidence"] = 0.6 + 0.5 * (share - 0.5)
    >>> table["model"] = "m"
    >>> trend = accuracy_trend_table(table, "confidence", "subject", within="model")
    >>> trend[["n_groups", "accuracy_slope"]].round(2)
       n_groups  accuracy_slope
    0        12            0.46
    """
    keys = [group] if kind is None else [kind, group]
    levels = [] if within is None else [within]
    parts_by(graded[:0], [value, "correct", *keys, *levels])
    if kind is not None and len(graded):
        check_choice(reference, "reference", list(graded[kind].unique()))
    rows = []
    graded = numbered(graded.dropna(subset=["correct", *keys]))
    # millions of rows are split by model: numbers are, texts are not
    texts = [*dict.fromkeys([*keys, *levels, *by])]
    graded = graded[[*dict.fromkeys([value, "correct", *texts, IMAGE])]]
    graded = graded.assign(**{name: graded[name].astype("category") for name in texts})
    compared = 0.0 if kind is None else (graded[kind] != reference).astype(float)
    for key, asked in parts_by(graded.assign(compared=compared, shift=compared), by):
        part = asked.dropna(subset=[value])
        means = _means(part, value, keys, least)
        row: dict[str, float] = {"n_groups": len(means)}
        row["n_compared"] = int(means["compared"].sum())
        row["n"] = int(means["n"].sum())
        row["share_missing"] = asked[value].isna().mean()
        ranges = {}
        for name, column in (("accuracy", "accuracy"), ("value", value)):
            ranges[f"{name}_min"] = means[column].min()
            ranges[f"{name}_max"] = means[column].max()
        for column in levels:
            alone = _means(part, value, [column, *keys], least)
            slopes = pd.Series(
                [
                    trend(one, value, level)["accuracy_slope"]
                    for _, one in parts_by(alone, column)
                ],
                dtype=float,
            )
            for name in ("min", "median", "max"):
                ranges[f"slope_{name}"] = slopes.agg(name)
            moved = levelled(part.merge(means[keys]), value, column)
            means = _means(moved, value, keys, least)
        rows.append(key | row | trend(means, value, level) | ranges)
    return pd.DataFrame(rows)


def numbered(graded: pd.DataFrame) -> pd.DataFrame:
    """Answers with the number of their image, which they keep where they have one."""
    if IMAGE in graded:
        return graded
    return graded.assign(**{IMAGE: pd.factorize(image_labels(graded))[0]})


def _means(
    part: pd.DataFrame, value: str, columns: list[str], least: int
) -> pd.DataFrame:
    """Means of the groups that have enough images: for `trend`."""
    means = _group_means(part, value, columns)
    by_group = part.groupby(columns, observed=True)[["compared", "shift"]].mean()
    means = means.assign(**by_group.reset_index(drop=True))
    return means[means["n_images"] >= least]


def levelled(part: pd.DataFrame, value: str, within: str) -> pd.DataFrame:
    """Answers with every level of a column moved to the mean of all."""
    numbers = part[["correct", "shift", value]].astype(float)
    of_level = numbers.groupby(part[within], observed=True).transform("mean")
    return part.assign(**(numbers - of_level + numbers.mean()))


def trend(means: pd.DataFrame, value: str, level: float) -> dict[str, float]:
    """Slope and offset over groups, corrected for the noise of their accuracy.

    `means` has, beside those of `group_means`, whether a group is of the kind that is compared
    (compared: 0 or 1), and the same with levels taken off (shift).
    """
    row = dict.fromkeys(_ESTIMATES, np.nan)
    if len(means) < LEAST_GROUPS or means["accuracy"].nunique() == 1:
        return row
    y = means[value].to_numpy(float)
    constant = np.ones(len(y))
    around = np.column_stack([constant, means["shift"]])
    if means["compared"].nunique() == 1:
        around = around[:, :1]
    z = np.column_stack([around, means["accuracy"]])
    moments = z.T @ z
    products = z.T @ y
    free = 1 - _leverage(around)
    noise = free @ means["accuracy_var"]
    # of the spread of accuracies within kinds, what is not noise
    reliability = 1 - noise * np.linalg.inv(moments)[-1, -1]
    row["reliability"] = reliability
    row["accuracy_slope_as_measured"] = np.linalg.solve(moments, products)[-1]
    if reliability < LEAST_RELIABILITY:
        return row
    known = moments.copy()
    known[-1, -1] -= noise
    products[-1] -= free @ means["covariance"]
    theta = np.linalg.solve(known, products)
    pull = np.linalg.solve(known, z.T)  # (coefficients, groups)
    error, freedom = _errors(y - z @ theta, pull, _leverage(z), means["compared"])
    if means["compared"].value_counts().min() == 1:
        error[1] = np.nan
    for name, k in (("accuracy_slope", -1), ("offset", 1))[: z.shape[1] - 1]:
        row |= _by_student(name, theta[k], error[k], freedom[k], level)
    return row


def _by_student(
    name: str, value: float, error: float, freedom: float, level: float
) -> dict[str, float]:
    """A coefficient with its interval and P value by Student's t."""
    half = stdtrit(freedom, (1 + level) / 2) * error
    p = 2 * stdtr(freedom, -abs(value) / error) if error else np.nan
    row = {name: value, f"{name}_low": value - half, f"{name}_high": value + half}
    return row | {f"p_{name}": p}


def _leverage(z: np.ndarray) -> np.ndarray:
    """(n,) diagonal of the projection on the columns of z."""
    q, _ = np.linalg.qr(z)
    return (q**2).sum(axis=1)


def _errors(
    residuals: np.ndarray,
    pull: np.ndarray,
    leverage: np.ndarray,
    compared: pd.Series,
) -> tuple[np.ndarray, np.ndarray]:
    """Standard errors of coefficients and their degrees, each kind scattering in its own way."""
    parts = []
    degrees = []
    for kind in compared.unique():
        of_kind = (compared == kind).to_numpy()
        # a single group's residual is 0: it says nothing of its scatter, nor pulls at the slope
        nu = max((1 - leverage[of_kind]).sum(), _TINY)
        spread = (residuals[of_kind] ** 2).sum() / nu
        parts.append(spread * (pull[:, of_kind] ** 2).sum(axis=1))
        degrees.append(nu)
    of_kinds = np.array(parts)  # (kinds, coefficients)
    variance = of_kinds.sum(axis=0)
    freedom = variance**2 / (of_kinds**2 / np.array(degrees)[:, None]).sum(axis=0)
    return np.sqrt(variance), freedom
