"""A guard of a threshold in use: does the risk among the answers kept still hold?"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ._check import check_correct, check_groups, check_level, check_whole
from .intervals import wilson_interval
from .resampling import FloatArray
from .rows import arrays, image_labels, measured, parts_by
from .selective import DELTA, one_answer_an_image

LARGEST_BET = 0.75  # of what would lose all the wealth on one right answer
LARGEST_LOG = 700.0  # of a wealth that is a number


def guard(wrong: ArrayLike, *, risk: float, delta: float = DELTA) -> pd.DataFrame:
    r"""Watch the answers kept, one after the other: an alarm that holds at any time.

    A bet on each next answer being wrong changes the wealth, which starts at 1, by

    .. math:: W_t = W_{t-1} \, (1 + \lambda_t (x_t - \alpha)), \qquad x_t = 1 \text{ if wrong}

    with a bet λ that is chosen from the answers before (aGRAPA). If every answer, given those
    before, is wrong with a probability of at most α, no bet gains on average, and the wealth ever
    reaches 1 / δ with a probability of at most δ, however long and however often one looks.

    Parameters
    ----------
    wrong : (n,) array of 0 and 1
        1 where a kept answer turned out wrong, in the order of use; one answer an image.
    risk : float
        α, the risk that the threshold was certified for, in (0, 1).
    delta : float
        δ, the probability of a false alarm, in (0, 1).

    Returns
    -------
    pandas.DataFrame
        One row an answer:

        - n: kept answers so far
        - errors: wrong ones so far
        - wealth: after this answer
        - alarm: whether the wealth has reached 1 / δ by now

    Raises
    ------
    ValueError
        On outcomes that are neither 0 nor 1; on a risk or delta outside (0, 1).

    References
    ----------
    Waudby-Smith & Ramdas, J. R. Stat. Soc. B 2024, doi:10.1093/jrsssb/qkad009; the bound is
    Ville's inequality.

    Examples
    --------
    >>> guard([0, 1, 1, 1, 1, 1, 0], risk=0.2)["wealth"].round(1).tolist()
    [1.0, 1.0, 1.4, 2.2, 3.7, 6.3, 5.1]
    """
    x = check_correct(wrong)
    log_wealth = _log_wealth(x, check_level(risk, "risk"))
    limit = -np.log(check_level(delta, "delta"))
    return pd.DataFrame(
        {
            "n": np.arange(1, x.size + 1),
            "errors": x.cumsum().astype(int),
            "wealth": np.exp(np.minimum(log_wealth, LARGEST_LOG)),
            "alarm": np.maximum.accumulate(log_wealth) >= limit,
        }
    )


def _log_wealth(wrong: FloatArray, risk: float) -> FloatArray:
    """(n,) log of the wealth after each answer, of the bets called aGRAPA."""
    n = np.arange(2, wrong.size + 1)
    # mean and variance of the answers before each one, with one answer at α and ¼ added
    mean = np.append(risk, (risk + wrong.cumsum()[:-1]) / n)
    deviation = (wrong - mean) ** 2
    variance = np.append(0.25, (0.25 + deviation.cumsum()[:-1]) / n)
    excess = mean - risk
    bet = np.clip(excess / (variance + excess**2), 0, LARGEST_BET / risk)
    return np.asarray(np.log1p(bet * (wrong - risk)).cumsum())


def guard_table(
    graded: pd.DataFrame,
    thresholds: pd.DataFrame,
    *,
    risk: float,
    delta: float = DELTA,
    by: Sequence[str] = (),
    n_orders: int = 200,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """How soon `guard` sees a shift: answers put in random orders, one answer an image in each.

    On answers whose risk is at most α the share of alarms is that of false ones.

    Parameters
    ----------
    graded : pandas.DataFrame
        Graded answers on which thresholds are in use.
    thresholds : pandas.DataFrame
        With the columns of `by` and threshold, as `threshold_table` has them. Infinite thresholds
        keep nothing and get no row.
    risk, delta
        As in `guard`.
    by : sequence of str
        Columns that tell which threshold is for which answers.
    n_orders : int
        Random orders.
    rng : numpy.random.Generator

    Returns
    -------
    pandas.DataFrame
        One row a threshold that keeps an answer:

        - the `by` columns
        - threshold
        - n_kept: answers at or above it
        - risk: share of them that is wrong
        - n_orders: as given
        - alarms, alarms_low, alarms_high: share of the orders that end with an alarm, with
          Wilson's 95 % interval, which is that of the simulation
        - median_kept: kept answers until the alarm, median over orders; infinite where less than
          half of them have one

    Raises
    ------
    ValueError
        On a column that a table lacks; on a risk or delta outside (0, 1).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> answers = pd.DataFrame({"item_id": np.arange(800), "confidence": rng.uniform(0.5, 1, 800)})
    >>> answers["correct"] = rng.random(800) < answers["confidence"] - 0.3
    >>> one = pd.DataFrame({"threshold": [0.65]})
    >>> guard_table(answers, one, risk=0.2, rng=rng)[["alarms", "median_kept"]].iloc[0].tolist()
    [1.0, 22.0]
    """
    check_whole(n_orders, "n_orders", 1)
    check_level(risk, "risk")
    check_level(delta, "delta")
    in_use = {tuple(key.values()): part for key, part in parts_by(thresholds, by)}
    rows = []
    for key, part in parts_by(measured(graded), by):
        own = in_use.get(tuple(key.values()))
        if own is None:
            continue
        threshold = float(own["threshold"].iloc[0])
        kept = part[part["confidence"] >= threshold]
        if kept.empty:
            continue
        c, y = arrays(kept)
        codes, _ = check_groups(image_labels(kept), len(kept))
        delays = []
        for _ in range(n_orders):
            order = rng.permutation(1 - y[one_answer_an_image(c, y, codes, rng)])
            reached = guard(order, risk=risk, delta=delta)["alarm"].to_numpy()
            delays.append(reached.argmax() + 1 if reached.any() else np.inf)
        row = {"threshold": threshold, "n_kept": len(kept), "risk": 1 - y.mean()}
        rows.append(key | row | _delayed(np.array(delays, dtype=float)))
    return pd.DataFrame(rows)


def _delayed(delays: FloatArray) -> dict[str, float]:
    """The share of orders with an alarm, and after how many answers it came."""
    n_alarms = int(np.isfinite(delays).sum())
    low, high = wilson_interval(n_alarms, delays.size)
    return {
        "n_orders": delays.size,
        "alarms": n_alarms / delays.size,
        "alarms_low": float(low),
        "alarms_high": float(high),
        "median_kept": float(np.median(delays)),
    }
