"""How far stated confidence is from observed accuracy.

All functions take `(confidence, correct)`: a probability in [0, 1] and an outcome 0 or 1 per
item. Equal-width bins are (lo, hi] with 0 in the first bin, so that 0 and 1 both fall in one.
"""

import numpy as np

from ._check import check_bins, check_choice, check_pair, check_weights
from ._sums import Recipe

RECIPES: dict = {}


def recipe_for(function):
    """Register the sums form of a public metric; the bootstrap finds it by the function."""

    def keep(builder):
        RECIPES[function] = builder
        return builder

    return keep


def bin_edges(n_bins: int) -> np.ndarray:
    """Edges k / n_bins, each correctly rounded: a stated 0.6 is the edge 9/15 itself."""
    return np.arange(n_bins + 1) / n_bins


def width_bins(c: np.ndarray, n_bins: int) -> np.ndarray:
    """Index of the equal-width bin (lo, hi] of each confidence; 0 goes to the first."""
    edges = bin_edges(n_bins)
    index = np.ceil(c * n_bins).astype(np.int64) - 1
    np.clip(index, 0, n_bins - 1, out=index)
    # c * n_bins rounds: one comparison with the true edges on either side mends it
    index -= (c <= edges[index]) & (index > 0)
    index += (c > edges[index + 1]) & (index < n_bins - 1)
    return index


def mass_edges(c: np.ndarray, n_bins: int) -> np.ndarray:
    """Upper edges of equal-mass bins: the order statistics of rank ceil(k n / n_bins).

    Items of one confidence are never split; where ties are heavy, edges coincide and fewer
    bins than asked for hold items.
    """
    ranks = -(-np.arange(1, n_bins + 1) * c.size // n_bins) - 1
    return np.partition(c, np.unique(ranks))[ranks]


def ece(confidence, correct, *, n_bins=15, binning="width", norm=1, weights=None) -> float:
    r"""Expected calibration error: mean gap between confidence and accuracy over bins.

    .. math:: \left(\sum_b \frac{n_b}{n}\, |\mathrm{acc}_b - \mathrm{conf}_b|^p\right)^{1/p}

    Parameters
    ----------
    confidence : (n,) array of float
        Probability in [0, 1] that the answer is correct.
    correct : (n,) array of 0 and 1
    n_bins : int
    binning : {"width", "mass"}
        Bins (lo, hi] of equal width (0 in the first), or of equal numbers of items (ties kept
        together, so that heavy ties leave fewer bins).
    norm : float
        p; 1 is the usual ECE, 2 the root mean square, `inf` the largest gap.
    weights : (n,) array of float, optional
        How often each item counts.

    Returns
    -------
    float
        In [0, 1]; 0 is perfect. It is biased upwards at small n: see `debiased_ece`.

    Raises
    ------
    ValueError
        On input that is not a confidence and an outcome; the message names the position.

    References
    ----------
    Naeini, Cooper & Hauskrecht, AAAI 2015. Guo et al., ICML 2017, arXiv:1706.04599.
    """
    c, y = check_pair(confidence, correct)
    w = check_weights(weights, c.size)
    return _ece_recipe(c, y, n_bins=n_bins, binning=binning, norm=norm, weights=w).value(w)


@recipe_for(ece)
def _ece_recipe(c, y, *, n_bins=15, binning="width", norm=1, weights=None) -> Recipe:
    n_bins = check_bins(n_bins)
    check_choice(binning, "binning", ("width", "mass"))
    if not norm >= 1:
        raise ValueError(f"norm must be at least 1, got {norm!r}")

    if binning == "width":
        cell = width_bins(c, n_bins)
    else:
        edges = mass_edges(c if weights is None else np.repeat(c, weights.astype(int)), n_bins)
        cell = np.searchsorted(edges, c, side="left")
        np.minimum(cell, n_bins - 1, out=cell)

    def finish(sums):
        count, gap = sums[..., 0], np.abs(sums[..., 1])
        total = count.sum(1)
        if norm == 1:
            return gap.sum(1) / total
        safe = np.where(count > 0, count, 1)
        if np.isinf(norm):
            return (gap / safe).max(1)
        return (count * (gap / safe) ** norm / total[:, None]).sum(1) ** (1 / norm)

    return Recipe(cell, n_bins, np.stack([np.ones_like(c), y - c], 1), finish)


def _mean_recipe(values: np.ndarray) -> Recipe:
    return Recipe(
        np.zeros(values.size, np.int64),
        1,
        np.stack([np.ones_like(values), values], 1),
        lambda sums: sums[:, 0, 1] / sums[:, 0, 0],
    )


def accuracy(confidence, correct, *, weights=None) -> float:
    """Share of correct answers, in [0, 1]; the confidence is only checked.

    Raises
    ------
    ValueError
        On input that is not a confidence and an outcome; the message names the position.
    """
    c, y = check_pair(confidence, correct)
    return _accuracy_recipe(c, y).value(check_weights(weights, c.size))


@recipe_for(accuracy)
def _accuracy_recipe(c, y) -> Recipe:
    return _mean_recipe(y)


def mean_confidence(confidence, correct, *, weights=None) -> float:
    """Mean stated confidence, in [0, 1]; the outcome is only checked.

    Raises
    ------
    ValueError
        On input that is not a confidence and an outcome; the message names the position.
    """
    c, y = check_pair(confidence, correct)
    return _mean_confidence_recipe(c, y).value(check_weights(weights, c.size))


@recipe_for(mean_confidence)
def _mean_confidence_recipe(c, y) -> Recipe:
    return _mean_recipe(c)


def brier_score(confidence, correct, *, weights=None) -> float:
    r"""Mean squared difference of confidence and outcome.

    .. math:: \frac1n \sum_i (c_i - y_i)^2

    Returns
    -------
    float
        In [0, 1]; 0 is perfect, 0.25 is what a constant ½ scores. Proper.

    Raises
    ------
    ValueError
        On input that is not a confidence and an outcome; the message names the position.

    References
    ----------
    Brier, Monthly Weather Review 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.
    """
    c, y = check_pair(confidence, correct)
    return _brier_recipe(c, y).value(check_weights(weights, c.size))


@recipe_for(brier_score)
def _brier_recipe(c, y) -> Recipe:
    return _mean_recipe((c - y) ** 2)


def log_loss(confidence, correct, *, clip=1e-12, weights=None) -> float:
    r"""Mean negative log-likelihood of the outcomes, in nats.

    .. math:: -\frac1n \sum_i y_i \ln c_i + (1 - y_i) \ln (1 - c_i)

    Parameters
    ----------
    clip : float
        Confidence is moved into [clip, 1 − clip] first: a stated 100 % that is wrong would cost
        infinitely much. It caps the cost of one item at −ln(clip), 27.6 nats by default;
        report it with the number. `clip=0` gives the unclipped, possibly infinite, value.

    Returns
    -------
    float
        In [0, −ln clip]; 0 is perfect, ln 2 = 0.693 is what a constant ½ scores. Proper.

    Raises
    ------
    ValueError
        On input that is not a confidence and an outcome; the message names the position.

    References
    ----------
    Good, J. R. Stat. Soc. B 1952, doi:10.1111/j.2517-6161.1952.tb00104.x.
    """
    c, y = check_pair(confidence, correct)
    return _log_loss_recipe(c, y, clip=clip).value(check_weights(weights, c.size))


@recipe_for(log_loss)
def _log_loss_recipe(c, y, *, clip=1e-12) -> Recipe:
    if not 0 <= clip < 0.5:
        raise ValueError(f"clip must lie in [0, 0.5), got {clip!r}")
    likely = np.clip(np.where(y == 1, c, 1 - c), clip, 1 - clip)
    with np.errstate(divide="ignore"):
        return _mean_recipe(-np.log(likely))
