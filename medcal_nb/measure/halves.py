"""How much of a number's spread over groups goes with their accuracy, on other answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from .paired import IMAGE
from .resampling import FloatArray
from .rows import parts_by
from .trend import LEAST_GROUPS, levelled, numbered

_NAMES = ["r2_same_answers", "correlation", "correlation_low", "correlation_high"]
_NAMES += ["r2", "r2_low", "r2_high", "r2_without_noise"]


def split_half_table(
    graded: pd.DataFrame,
    value: str,
    group: str,
    *,
    by: Sequence[str] = (),
    within: str | None = None,
    n_splits: int = 200,
    least: int = 10,
    level: float = 0.95,
    rng: np.random.Generator,
) -> pd.DataFrame:
    r"""How much of a number's spread over groups goes with their accuracy, on other answers.

    A mean and the accuracy of the same answers are coupled: of a cost, a right answer that was
    chance moves both. Here each group's images are dealt at random into two halves; the accuracy of
    one half is correlated with the number of the other, both ways, and the correlations r of many
    deals are averaged. The interval is Fisher's, groups as a sample of k:

    .. math:: \tanh\bigl(\operatorname{artanh} \bar r \pm z / \sqrt{k - 3}\bigr)

    Half of the answers are noisier than all of them, which lowers r. Without that noise it would be
    :math:`\bar r / \sqrt{\bar r_{aa} \bar r_{yy}}`, of the correlations of each half with its
    other half (Spearman 1904).

    Parameters
    ----------
    graded, value, group
        As of `group_means`.
    by : sequence of str
        Columns within whose combinations all this is done.
    within : str, optional
        As of `accuracy_trend_table`: its levels are moved to the mean of all first.
    n_splits : int
        Random deals of the images.
    least : int
        Groups of answers to fewer images are left out.
    level : float
        Of the interval.
    rng : numpy.random.Generator
        Deals the images.

    Returns
    -------
    pandas.DataFrame
        One row a combination of `by`:

        - the `by` columns
        - n_groups, n: groups and answers
        - r2_same_answers: squared correlation of accuracy and number of the same answers
        - correlation: mean r of one half and the other, with _low, _high
        - r2: its square, with _low, _high: the squares of these ends, 0 where they hold 0
        - r2_without_noise: at most 1; NaN where halves of a group do not go together

        NaN with fewer than 6 groups.

    Raises
    ------
    ValueError
        On a column the table lacks.

    References
    ----------
    Fisher, Metron 1921, 1:3; Spearman, American Journal of Psychology 1904, doi:10.2307/1412159.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> share = np.repeat(np.linspace(0.2, 0.8, 12), 200)
    >>> table = pd.DataFrame({"correct": rng.random(2400) < share, "item_id": range(2400)})
    >>> table["subject"] = np.repeat(list("abcdefghijkl"), 200)
    >>> table["cost"] = 0.5 - table["correct"]
    >>> row = split_half_table(table, "cost", "subject", rng=rng).iloc[0]
    >>> row[["r2_same_answers", "r2"]].astype(float).round(2).tolist()
    [1.0, 0.93]
    """
    levels = [] if within is None else [within]
    parts_by(graded[:0], [value, "correct", group, *levels])
    rows = []
    graded = numbered(graded.dropna(subset=["correct", group, value]))
    for key, part in parts_by(graded, by):
        n_images = part.groupby(group, observed=True)[IMAGE].transform("nunique")
        kept = part[n_images >= least]
        row: dict[str, float] = dict.fromkeys(_NAMES, np.nan)
        if kept[group].nunique() >= LEAST_GROUPS:
            if within is not None:
                kept = levelled(kept.assign(shift=0.0), value, within)
            row |= _Images.of(kept, value, group).compared(n_splits, level, rng)
        sizes = {"n_groups": kept[group].nunique(), "n": len(kept)}
        rows.append(key | sizes | row)
    return pd.DataFrame(rows)


class _Images(NamedTuple):
    """Right answers, numbers and answers of each image of each group."""

    sums: FloatArray  # (3, images)
    of_group: NDArray[np.intp]  # (images,)

    @classmethod
    def of(cls, part: pd.DataFrame, value: str, group: str) -> _Images:
        numbers = part[["correct", value]].astype(float).assign(n=1.0)
        sums = numbers.groupby([part[group], part[IMAGE]], observed=True).sum()
        of_group, _ = pd.factorize(sums.index.get_level_values(0))
        return cls(sums=sums.to_numpy().T, of_group=of_group)

    def means(self, taken: NDArray[np.bool_]) -> FloatArray:
        """(2, groups) accuracy and mean number of some images."""
        of_group = self.of_group[taken]
        right, number, n = (np.bincount(of_group, one) for one in self.sums[:, taken])
        return np.array([right, number]) / n

    def dealt(self, rng: np.random.Generator) -> NDArray[np.bool_]:
        """A random half of each group's images."""
        # groups one after the other, the images of each in a random order
        order = np.lexsort([rng.random(self.of_group.size), self.of_group])
        size = np.bincount(self.of_group)
        first = np.repeat(size.cumsum() - size, size)
        is_half = np.empty(self.of_group.size, bool)
        is_half[order] = np.arange(order.size) - first < np.repeat(size // 2, size)
        return is_half

    def compared(
        self, n_splits: int, level: float, rng: np.random.Generator
    ) -> dict[str, float]:
        """Correlations over groups, of the same answers and of one half with the other."""
        whole = self.means(np.full(self.of_group.size, True))
        found = []
        for _ in range(n_splits):
            half = self.dealt(rng)
            found.append(np.corrcoef([*self.means(half), *self.means(~half)]))
        # of accuracy and number of one half, then of the other
        mean = np.stack(found).mean(axis=0)  # (4, 4)
        r = (mean[0, 3] + mean[1, 2]) / 2
        reach = ndtri((1 + level) / 2) / np.sqrt(whole.shape[1] - 3)
        low, high = np.tanh(np.arctanh(r) + np.array([-reach, reach]))
        least, most = sorted([low**2, high**2])
        own = mean[0, 2], mean[1, 3]
        clean = min(r**2 / np.prod(own), 1.0) if min(own) > 0 else np.nan
        return {
            "r2_same_answers": np.asarray(np.corrcoef(whole))[0, 1] ** 2,
            "correlation": r,
            "correlation_low": low,
            "correlation_high": high,
            "r2": r**2,
            "r2_low": 0.0 if low < 0 < high else least,
            "r2_high": most,
            "r2_without_noise": clean,
        }
