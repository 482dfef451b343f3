"""Metrics of the probabilities given to all options, not of the answer's confidence alone."""

import numpy as np

from ._check import check_length, check_weights
from .calibration import ece


def check_options(probabilities, label) -> tuple[np.ndarray, np.ndarray]:
    """(n, k) probabilities with rows that sum to 1, and the index of the correct option.

    Raises
    ------
    ValueError
        Naming argument, count and first offending row: not two-dimensional, empty, NaN,
        outside [0, 1], rows that do not sum to 1 within 1e-6, labels that are no option.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or p.shape[0] == 0 or p.shape[1] == 0:
        raise ValueError(f"probabilities must be (items, options), has shape {p.shape}")
    for bad, what in (
        (np.isnan(p).any(1), "NaN"),
        (((p < 0) | (p > 1)).any(1), "outside [0, 1]"),
        (np.abs(p.sum(1) - 1) > 1e-6, "do not sum to 1"),
    ):
        if bad.any():
            first = int(bad.argmax())
            raise ValueError(
                f"probabilities: {int(bad.sum())} of {p.shape[0]} rows {what}, first at "
                f"position {first} ({p[first].tolist()})"
            )
    k = np.asarray(label)
    check_length(k, p.shape[0], "label", "probabilities")
    if k.ndim != 1 or k.dtype.kind not in "iu":
        raise ValueError(f"label must hold whole numbers 0 … k − 1, has type {k.dtype}")
    bad = (k < 0) | (k >= p.shape[1])
    if bad.any():
        first = int(bad.argmax())
        raise ValueError(
            f"label: {int(bad.sum())} of {k.size} are none of the {p.shape[1]} options, first at "
            f"position {first} ({k[first]})"
        )
    return p, k


def top_label(probabilities, label) -> tuple[np.ndarray, np.ndarray]:
    """Confidence in the likeliest option (the first of equals) and whether it is correct.

    Parameters
    ----------
    probabilities : (n, k) array
    label : (n,) int array

    Returns
    -------
    (confidence, correct) : (n,) arrays
        Ready for every metric of this room.
    """
    p, k = check_options(probabilities, label)
    return p.max(1), (p.argmax(1) == k).astype(np.float64)


def option_arrays(option_probabilities, gold) -> tuple[np.ndarray, np.ndarray]:
    """Arrays from what the answers table keeps: a dict option -> probability per item.

    Parameters
    ----------
    option_probabilities : sequence of dict
        Options may differ between items; absent ones get probability 0.
    gold : sequence of str
        The correct option of each item.

    Returns
    -------
    (probabilities, label) : (n, k) and (n,) arrays
        Columns in the order in which options first occur; rows divided by their sum.

    Raises
    ------
    ValueError
        Where a gold answer is none of its item's options.
    """
    place: dict = {}
    for options in option_probabilities:
        for option in options:
            place.setdefault(option, len(place))
    p = np.zeros((len(option_probabilities), len(place)))
    label = np.empty(len(option_probabilities), dtype=np.int64)
    for i, (options, right) in enumerate(zip(option_probabilities, gold, strict=True)):
        if right not in options:
            raise ValueError(
                f"gold at position {i} ({right!r}) is none of its options {list(options)}"
            )
        p[i, [place[option] for option in options]] = list(options.values())
        label[i] = place[right]
    total = p.sum(1, keepdims=True)
    return p / np.where(total > 0, total, 1), label


def classwise_ece(probabilities, label, *, n_bins=15, binning="width", weights=None) -> float:
    r"""Mean over options of the ECE of the probability given to that option.

    .. math:: \frac1k \sum_{j=1}^k \mathrm{ECE}(p_{\cdot j}, [y = j])

    Parameters
    ----------
    probabilities : (n, k) array
        Rows sum to 1.
    label : (n,) int array
        Index of the correct option.
    n_bins, binning, weights
        As in `ece`.

    Returns
    -------
    float
        In [0, 1]. With many options most probabilities are near 0 and so is this.

    Raises
    ------
    ValueError
        As `check_options`.

    References
    ----------
    Kull et al., NeurIPS 2019, arXiv:1910.12656.
    """
    p, k = check_options(probabilities, label)
    return float(
        np.mean(
            [
                ece(
                    np.ascontiguousarray(p[:, j]),
                    k == j,
                    n_bins=n_bins,
                    binning=binning,
                    weights=weights,
                )
                for j in range(p.shape[1])
            ]
        )
    )


def multiclass_brier(probabilities, label, *, weights=None) -> float:
    r"""Brier score over all options, Brier's own form.

    .. math:: \frac1n \sum_i \sum_j (p_{ij} - [y_i = j])^2

    Returns
    -------
    float
        In [0, 2]; for two options twice the `brier_score` of the answer's confidence. Proper.

    Raises
    ------
    ValueError
        As `check_options`.

    References
    ----------
    Brier, Monthly Weather Review 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.
    """
    p, k = check_options(probabilities, label)
    square = (p**2).sum(1) - 2 * p[np.arange(k.size), k] + 1
    return float(np.average(square, weights=check_weights(weights, k.size)))


def multiclass_log_loss(probabilities, label, *, clip=1e-12, weights=None) -> float:
    r"""Mean negative log-probability of the correct option, in nats.

    .. math:: -\frac1n \sum_i \ln \max(p_{i y_i}, \text{clip})

    Parameters
    ----------
    clip : float
        The least probability taken; report it. 0 gives the possibly infinite value.

    Returns
    -------
    float
        In [0, −ln clip]; ln k is what equal probabilities score. Proper.

    Raises
    ------
    ValueError
        As `check_options`; on a clip outside [0, 1).

    References
    ----------
    Good, J. R. Stat. Soc. B 1952, doi:10.1111/j.2517-6161.1952.tb00104.x.
    """
    if not 0 <= clip < 1:
        raise ValueError(f"clip must lie in [0, 1), got {clip!r}")
    p, k = check_options(probabilities, label)
    with np.errstate(divide="ignore"):
        cost = -np.log(np.maximum(p[np.arange(k.size), k], clip))
    return float(np.average(cost, weights=check_weights(weights, k.size)))
