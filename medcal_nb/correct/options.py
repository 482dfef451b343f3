"""Temperature scaling over all options of a question, as it was published.

The two-class form, right and wrong, that needs a confidence alone is ``MAPS["log_odds"]``.
"""

import numpy as np
import pandas as pd

from medcal_nb.errors import NotEnough
from medcal_nb.measure.rows import parts_by

from .families import T_MAX, T_MIN
from .maps import MIN_FIT

#: A recorded probability of 0 has no logit: it is moved so far up.
LEAST_SHARE = 1e-12


def option_temperature(answers: pd.DataFrame) -> float:
    r"""The temperature that makes the right options of graded questions most likely.

    .. math:: \hat T = \arg\min_T -\sum_i \log p_{i, y_i}(T), \qquad
       p_{ik}(T) = \frac{e^{z_{ik} / T}}{\sum_j e^{z_{ij} / T}}

    with :math:`z_{ik}` the logarithm of a recorded probability: the option's logit but for a number
    that all options of a question share, and that takes nothing from :math:`p`.

    Parameters
    ----------
    answers : DataFrame
        With option_probabilities (a mapping from option to probability) and gold, the right one.

    Returns
    -------
    float
        In [0.02, 50]; 1 changes nothing, above 1 the options come closer to each other.

    Raises
    ------
    NotEnough
        Where fewer than five questions have both.

    References
    ----------
    Guo et al., ICML 2017, arXiv 1706.04599.

    Examples
    --------
    >>> sure = [{"A": 0.9, "B": 0.05, "C": 0.05}] * 10
    >>> answers = pd.DataFrame({"option_probabilities": sure, "gold": list("AAAAAABBCC")})
    >>> round(option_temperature(answers), 2)
    2.63
    """
    from scipy.optimize import minimize_scalar

    known = answers.dropna(subset=["option_probabilities", "gold"])
    logits, options = _logits(known)
    right = options.get_indexer(known["gold"])
    logits = logits[right >= 0]
    right = right[right >= 0]
    if right.size < MIN_FIT:
        raise NotEnough(
            f"{right.size} questions with option probabilities and a right option among them, "
            f"fewer than {MIN_FIT}"
        )

    def loss(log_temperature: float) -> float:
        p = _shares(logits, np.exp(log_temperature))
        return -np.log(p[np.arange(right.size), right]).mean()

    ends = np.log([T_MIN, T_MAX])
    best = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(best.x))


def at_temperature(answers: pd.DataFrame, temperature: float) -> pd.DataFrame:
    """The answers with the confidence that a temperature gives their option.

    Which option is the likeliest stays as it is: no answer changes.

    Parameters
    ----------
    answers : DataFrame
        With option_probabilities and answer.
    temperature : float
        Above 0, of `option_temperature`.

    Returns
    -------
    DataFrame
        The columns of `answers`; the confidence is the answer's probability, missing where there
        are no probabilities or the answer has none.

    Raises
    ------
    ValueError
        On a temperature that is not above 0, or a column the table lacks.

    Examples
    --------
    >>> shares = [{"A": 0.8, "B": 0.2}, None]
    >>> answers = pd.DataFrame({"answer": ["A", "B"], "option_probabilities": shares})
    >>> at_temperature(answers, 2.0)["confidence"].round(2).tolist()
    [0.67, nan]
    """
    if not temperature > 0:
        raise ValueError(f"temperature: above 0; got {temperature!r}")
    parts_by(answers[:0], ["answer", "option_probabilities"])
    known = answers.dropna(subset=["option_probabilities", "answer"])
    logits, options = _logits(known)
    chosen = options.get_indexer(known["answer"])
    p = _shares(logits, temperature)[np.arange(len(known)), chosen]
    confidence = pd.Series(np.where(chosen >= 0, p, np.nan), known.index)
    return answers.assign(confidence=confidence.reindex(answers.index))


def _logits(answers: pd.DataFrame) -> tuple[np.ndarray, pd.Index]:
    """(n, K) logarithms of the probabilities, -inf of options that a question has not."""
    shares = pd.DataFrame(answers["option_probabilities"].tolist(), dtype=float)
    logits = np.log(shares.clip(lower=LEAST_SHARE)).fillna(-np.inf)
    return logits.to_numpy(), shares.columns


def _shares(logits: np.ndarray, temperature: float) -> np.ndarray:
    """(n, K) softmax of logits / T."""
    from scipy.special import softmax

    return np.asarray(softmax(logits / temperature, axis=1))
