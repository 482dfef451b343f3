"""Which elicitation method to take: by what an answer costs in the end."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ._check import check_groups, check_level, warn
from .decisions import HALF_A_STEP, best_threshold
from .intervals import holm
from .resampling import Resamples, one_sided_p, percentile_ends, two_sided_p
from .rows import image_labels, parts_by, rows_where
from .selective import DELTA, selective_threshold

LEAST = 20  # images in either half of a group
UNCORRECTED = "uncorrected"
RECALIBRATED = "recalibrated"

Fit = Callable[[NDArray, NDArray, NDArray], Callable[[NDArray], ArrayLike]]
"""Fits a map: (confidence, correct, numbers of images) -> function of confidences."""


class _Methods(NamedTuple):
    """The answers of k methods to the same n items, as (n, k) arrays."""

    names: pd.DataFrame  # strategy and map of each method
    confidence: NDArray  # NaN where none is stated
    correct: NDArray
    tokens: NDArray
    images: NDArray  # (n,) number of each item's image


class _Costs(NamedTuple):
    wrong: float
    check: float
    tokens: float
    max_risk: float | None

    @property
    def threshold(self) -> float:
        return best_threshold(cost_wrong=self.wrong, cost_check=self.check)


def choose_strategy(
    graded: pd.DataFrame,
    *,
    fit: Fit | None = None,
    cost_wrong: float = 1.0,
    cost_check: float = 0.1,
    cost_tokens: float = 0.0,
    max_risk: float | None = None,
    margin: float = 0.01,
    by: Sequence[str] = (),
    level: float = 0.95,
    n_splits: int = 25,
    n_resamples: int = 2000,
    rng: np.random.Generator,
) -> pd.DataFrame:
    r"""What an answer costs under each elicitation method, and which are as good as the chosen.

    An answer is kept where its confidence reaches the threshold that the costs imply
    (`best_threshold`) and, where the risk is limited, the one certified for it
    (`selective_threshold`, δ = 0.1, by image); else, and where it has no confidence, it is
    checked. To that comes what its tokens cost. On a random half of the images maps are fitted,
    thresholds certified and the cheapest method is chosen; every method is judged on the other
    half. All numbers are averages over many such splits.

    Parameters
    ----------
    graded : pandas.DataFrame
        Graded answers of one model: strategy, confidence, correct, item_id and where known
        image_id, dataset, prompt_tokens, new_tokens. Rows with another value of an optional
        column `map` hold the same answers under a map fitted elsewhere. Items that some method
        has no grade for are left out of all.
    fit : callable, optional
        `fit(confidence, correct, images)` returns a function from confidence to confidence. It is
        fitted for each method on each half, and its confidences compete as "recalibrated".
    cost_wrong, cost_check : float
        Of a wrong answer acted on, and of a check.
    cost_tokens : float
        Of a thousand tokens, in the unit of the other costs.
    max_risk : float, optional
        Share of wrong answers allowed among those kept, in (0, 1).
    margin : float
        A difference of cost that does not matter: methods within it are equivalent.
    by : sequence of str
        Columns (modality) within whose combinations a choice is made, too; those with fewer than
        20 images in a half are left out with a warning.
    level, n_resamples, rng
        Of the bootstrap intervals, by image.
    n_splits : int
        Random halves.

    Returns
    -------
    pandas.DataFrame
        One row a method, the cheapest first:

        - the `by` columns
        - strategy, map: the method, and "uncorrected", "recalibrated" or the map of the rows
        - cost, cost_low, cost_high: of an answer, judged on images not used for choosing
        - checked: share of answers
        - risk: share wrong among those kept
        - tokens: of an answer
        - share_chosen: share of the splits in which it was the cheapest of its half
        - chosen: the method chosen most often
        - procedure_cost: of an answer, each split using its own choice (one number a group)
        - difference, difference_low, difference_high: cost − that of the chosen
        - p, p_holm: of no difference
        - p_equivalent, p_equivalent_holm: of a difference of the margin or more, either way (the
          larger of two one-sided p values)
        - conclusion: "chosen", "equivalent", "dearer", "cheaper" or "inconclusive", after Holm
        - margin: as given
        - n, n_images: answers (items) and their images
        - n_splits: random halves

    Raises
    ------
    ValueError
        On a column the table lacks, an item that a method answers twice, or costs out of range.

    References
    ----------
    Equivalence: Schuirmann, J. Pharmacokinetics and Biopharmaceutics 1987,
    doi:10.1007/BF01068419.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> general = example_answers().query("domain == 'general'")
    >>> table = choose_strategy(general, n_resamples=200, rng=np.random.default_rng(0))
    >>> table[["strategy", "conclusion"]].to_numpy().tolist()
    [['p_true', 'chosen'], ['verbalized', 'inconclusive']]
    """
    check_level(level)
    costs = _Costs(cost_wrong, cost_check, cost_tokens, max_risk)
    graded = _complete(graded)
    tables = []
    for key, _ in parts_by(graded, by):
        methods = _arranged(rows_where(graded, key))
        n_images = int(methods.images.max()) + 1 if methods.images.size else 0
        if n_images // 2 < LEAST:
            name = ", ".join(map(str, key.values())) or "the answers"
            warn(
                f"{name}: {n_images // 2} images in a half are too few to choose a method on"
            )
            continue
        table = _compared(
            methods, fit, costs, margin, level, n_splits, n_resamples, rng
        )
        tables.append(table.assign(**key)[[*key, *table.columns]])
    if not tables:
        return pd.DataFrame()
    table = pd.concat(tables, ignore_index=True)
    for name in ("p", "p_equivalent"):
        table[f"{name}_holm"] = holm(table[name].to_numpy(float))
    table["conclusion"] = _conclusions(table, 1 - level)
    table["margin"] = margin
    return table


def _complete(graded: pd.DataFrame) -> pd.DataFrame:
    """Rows with a grade, of the items that every method has one for."""
    graded = graded[graded["correct"].notna()]
    maps = graded.get("map", pd.Series(None, index=graded.index, dtype=object))
    graded = graded.assign(map=maps.astype(object).fillna(UNCORRECTED))
    names = [name for name in ("dataset", "item_id") if name in graded]
    graded["_item"] = graded.groupby(names, dropna=False).ngroup()
    graded["_method"] = graded.groupby(["strategy", "map"]).ngroup()
    twice = graded.duplicated(["_item", "_method"])
    if twice.any():
        row = graded[twice].iloc[0]
        raise ValueError(
            f"item {row['item_id']!r} has two answers by {row['strategy']!r}: "
            "choose within one model"
        )
    n_methods = graded["_method"].nunique()
    answered = graded.groupby("_item")["_method"].transform("size")
    return graded[answered == n_methods]


def _arranged(graded: pd.DataFrame) -> _Methods:
    """The answers as arrays: a row an item, a column a method."""
    graded = graded.sort_values(["_item", "_method"], kind="stable")
    n_methods = graded["_method"].nunique()
    tokens = np.zeros(len(graded))
    for name in ("prompt_tokens", "new_tokens"):
        if name in graded:
            tokens += graded[name].fillna(0).to_numpy(float)
    first = graded.iloc[::n_methods] if n_methods else graded
    codes, _ = check_groups(image_labels(first), len(first))
    shape = (-1, max(n_methods, 1))
    confidence = graded["confidence"].to_numpy(dtype=float, na_value=np.nan)
    return _Methods(
        names=graded[["strategy", "map"]].iloc[:n_methods].reset_index(drop=True),
        confidence=confidence.reshape(shape),
        correct=graded["correct"].to_numpy(float).reshape(shape),
        tokens=tokens.reshape(shape),
        images=codes,
    )


def _with_maps(methods: _Methods, fit: Fit, in_fit: NDArray) -> NDArray:
    """(n, 2 k) confidences, uncorrected and recalibrated by maps fitted on some rows."""
    mapped = methods.confidence.copy()
    for column, stated in enumerate(methods.confidence.T):
        known = ~np.isnan(stated)
        rows = known & in_fit
        if not rows.any():
            continue
        outcome = methods.correct[rows, column]
        fitted = fit(stated[rows], outcome, methods.images[rows])
        mapped[known, column] = np.asarray(fitted(stated[known]), dtype=float)
    return np.hstack([methods.confidence, mapped])


def _thresholds(
    confidence: NDArray, wrong: NDArray, images: NDArray, costs: _Costs
) -> NDArray:
    """(k,) thresholds: what the costs imply and, where the risk is limited, what is certified."""
    thresholds = np.full(confidence.shape[1], costs.threshold)
    if costs.max_risk is None:
        return thresholds
    for column, c in enumerate(confidence.T):
        known = ~np.isnan(c)
        certified = np.inf
        if known.any():
            certified = selective_threshold(
                c[known],
                1 - wrong[known, column],
                target=costs.max_risk,
                delta=DELTA,
                groups=images[known],
            ).threshold
        thresholds[column] = max(thresholds[column], certified)
    return thresholds


class _Tally:
    """What the splits add up to, for n items and k methods."""

    def __init__(self, n: int, k: int) -> None:
        self.cost = np.zeros((n, k))  # over the splits in which an item is judged
        self.times = np.zeros(n)
        self.kept = np.zeros(k)
        self.wrong_kept = np.zeros(k)
        self.chosen = np.zeros(k)
        self.cost_of_choice: list[float] = []

    def add(
        self, kept: NDArray, wrong: NDArray, cost: NDArray, judged: NDArray
    ) -> None:
        """Choose on the items that are not judged, and judge on the others."""
        best = int(cost[~judged].mean(axis=0).argmin())
        self.chosen[best] += 1
        self.cost_of_choice.append(float(cost[judged, best].mean()))
        self.cost[judged] += cost[judged]
        self.times += judged
        self.kept += kept[judged].sum(axis=0)
        self.wrong_kept += (kept & (wrong == 1))[judged].sum(axis=0)


def _compared(
    methods: _Methods,
    fit: Fit | None,
    costs: _Costs,
    margin: float,
    level: float,
    n_splits: int,
    n_resamples: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    names = methods.names
    wrong = 1 - methods.correct
    tokens = methods.tokens
    if fit is not None:
        names = pd.concat([names, names.assign(map=RECALIBRATED)], ignore_index=True)
        wrong = np.hstack([wrong, wrong])
        tokens = np.hstack([tokens, tokens])
    tally = _Tally(*wrong.shape)
    n_images = int(methods.images.max()) + 1
    for _ in range(n_splits):
        is_first = np.zeros(n_images, dtype=bool)
        is_first[rng.permutation(n_images)[: n_images // 2]] = True
        in_fit = is_first[methods.images]
        confidence = methods.confidence
        if fit is not None:
            confidence = _with_maps(methods, fit, in_fit)
        thresholds = _thresholds(
            confidence[in_fit], wrong[in_fit], methods.images[in_fit], costs
        )
        kept = np.nan_to_num(confidence, nan=-1.0) >= thresholds - HALF_A_STEP
        cost = np.where(kept, costs.wrong * wrong, costs.check)
        cost += costs.tokens * tokens / 1000
        tally.add(kept, wrong, cost, ~in_fit)
    drawn = Resamples(methods.images, n_resamples, rng)
    draws = _mean_costs(drawn, tally)
    table = names.assign(share_chosen=tally.chosen / n_splits)
    table = table.assign(**_costs_of(draws, level, drawn.effective()))
    table["checked"] = 1 - tally.kept / tally.times.sum()
    table["risk"] = tally.wrong_kept / np.where(tally.kept > 0, tally.kept, np.nan)
    table["tokens"] = tokens.mean(axis=0)
    table["procedure_cost"] = np.mean(tally.cost_of_choice)
    chosen = _chosen_most_often(table)
    table["chosen"] = table.index == chosen
    table = table.assign(
        **_differences(draws, chosen, margin, level, drawn.effective()),
        n=len(wrong),
        n_images=n_images,
        n_splits=n_splits,
    )
    return table.sort_values("cost", ignore_index=True, kind="stable")


def _chosen_most_often(table: pd.DataFrame) -> int:
    """Row of the method chosen in most splits; of several the cheapest."""
    most = table["share_chosen"] == table["share_chosen"].max()
    return int(table["cost"].where(most).idxmin())


def _costs_of(draws: NDArray, level: float, n_groups: float) -> dict:
    low, high = percentile_ends(draws, level=level, n_groups=n_groups)
    return {"cost": draws[0], "cost_low": low, "cost_high": high}


def _mean_costs(drawn: Resamples, tally: _Tally) -> NDArray:
    """(1 + r, k) mean cost of each method in every resample."""
    sums = np.zeros((drawn.n_units, tally.cost.shape[1]))
    np.add.at(sums, drawn.codes(), tally.cost)
    judged = np.bincount(drawn.codes(), tally.times, drawn.n_units)
    return (drawn.counts @ sums) / (drawn.counts @ judged)[:, None]


def _differences(
    draws: NDArray, chosen: int, margin: float, level: float, n_groups: float
) -> dict:
    """Columns of the difference of each method's cost to that of the chosen."""
    apart = draws - draws[:, [chosen]]
    low, high = percentile_ends(apart, level=level, n_groups=n_groups)
    p = [two_sided_p(column, n_groups=n_groups) for column in apart.T]
    equivalent = []
    for column in apart.T:
        below = one_sided_p(column, n_groups=n_groups, null=margin, alternative="less")
        above = one_sided_p(
            column, n_groups=n_groups, null=-margin, alternative="greater"
        )
        equivalent.append(np.maximum(below, above))
    columns = {"difference": apart[0], "difference_low": low, "difference_high": high}
    return columns | {"p": p, "p_equivalent": equivalent}


def _conclusions(table: pd.DataFrame, alpha: float) -> list[str]:
    """What can be said of each method beside the chosen one."""
    never_apart = table["p"].isna() & (table["difference"].abs() < 1e-12)
    conclusions = []
    for row, is_same in zip(table.itertuples(), never_apart, strict=True):
        if row.chosen:
            conclusions.append("chosen")
        elif row.p_equivalent_holm <= alpha or is_same:
            conclusions.append("equivalent")
        elif row.p_holm <= alpha:
            conclusions.append("dearer" if row.difference > 0 else "cheaper")
        else:
            conclusions.append("inconclusive")
    return conclusions
