"""The reliability lab: a forecaster to be drawn by hand, and its answers as numbers.

``lab.js`` draws it in the browser. `answers` draws the same random numbers, so that figures and
exercises tell what the lab shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcal_nb.measure import ece
from medcal_nb.teach.lesson import Part

#: Confidences at which a forecaster has its five dots.
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
HALF_WIDTH = 0.1  # how far confidences lie from their level
N_SAMPLES = 200  # over which a mean is taken


def lab(**settings: Any) -> Part:
    """Return a lab with one control and two numbers.

    Parameters
    ----------
    **settings
        Where it starts from; what is left out has a default:

        - ``control``: what can be moved: right, n, bins, temperature, threshold, base_rate or
          prevalence;
        - ``numbers``, two that are shown: ece, ece_interval, luck, gap, claim (gap of a score of
          cancer), accuracy, log_loss, auroc, cost, coverage, risk, yes, ppv;
        - ``right``: how often it is right around a confidence of 10, 30, 50, 70 and 90 %;
        - ``n`` (answers), ``bins``, ``temperature``, ``sample`` (which one of many);
        - ``threshold``, ``cost`` (checks that cost as much as one error);
        - ``base_rate``, ``prevalence`` (shares of patients, and of women).

    Examples
    --------
    >>> lab(control="temperature", numbers=["accuracy", "ece"], n=2000).values
    {'settings': {'control': 'temperature', 'numbers': ['accuracy', 'ece'], 'n': 2000}}
    """
    return Part("lab", {"settings": settings})


def answers(
    right: Sequence[float], n: int, *, temperature: float = 1.0, sample: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the answers of a forecaster that is drawn by five dots: those that the lab draws.

    A fifth of the answers belongs to each of `LEVELS`, with confidences within 0.1 of it. The
    probability of being right rises with the confidence, as on the diagonal, and is on average
    what was asked for.

    Parameters
    ----------
    right : sequence of 5 floats
        How often it is right around 10, 30, 50, 70 and 90 %.
    n : int
        Answers.
    temperature : float
        Divides the log-odds of each confidence.
    sample : int
        Which of many samples.

    Returns
    -------
    confidence, correct : (n,) arrays

    Examples
    --------
    >>> confidence, correct = answers([0.1, 0.3, 0.5, 0.7, 0.9], 1000)
    >>> float(confidence.mean().round(2)), float(correct.mean().round(2))
    (0.5, 0.5)
    """
    draws = _uniform(2 * n, sample).reshape(n, 2)
    level = np.arange(n) % len(LEVELS)
    share = np.asarray(right)[level]
    shift = (2 * draws[:, 0] - 1) * HALF_WIDTH
    slope = np.minimum(1, np.minimum(share, 1 - share) / HALF_WIDTH)
    correct = draws[:, 1] < share + slope * shift
    drawn = np.maximum(np.asarray(LEVELS)[level] + shift, 1e-6)
    confidence = 1 / (1 + ((1 - drawn) / drawn) ** (1 / temperature))
    return confidence, correct.astype(float)


def mean_ece(right: Sequence[float], n: int, *, bins: int) -> float:
    """Return the mean ECE of a forecaster over the lab's first 200 samples.

    Examples
    --------
    >>> round(mean_ece([0.1, 0.3, 0.5, 0.7, 0.9], 200, bins=5), 2)  # calibrated: chance alone
    0.05
    """
    samples = [answers(right, n, sample=1 + k) for k in range(N_SAMPLES)]
    return float(np.mean([ece(c, y, n_bins=bins) for c, y in samples]))


def _uniform(n: int, seed: int) -> NDArray[np.float64]:
    """Return numbers in [0, 1) as the lab draws them: mulberry32, in whole numbers of 32 bits."""
    state = np.uint32(seed) + np.uint32(0x6D2B79F5) * np.arange(
        1, n + 1, dtype=np.uint32
    )
    mixed = (state ^ (state >> 15)) * (state | 1)
    mixed ^= mixed + (mixed ^ (mixed >> 7)) * (mixed | 61)
    return (mixed ^ (mixed >> 14)) / 2**32
