"""Watch a threshold in use: has the risk of the answers retained become too large?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from medcal_nb.measure._check import (
    check_correct,
    check_groups,
    check_level,
    check_whole,
)
from medcal_nb.measure.resampling import Bootstrap, FloatArray
from medcal_nb.measure.rows import arrays, image_labels, judged_by, measured, rows_by
from medcal_nb.measure.selective import one_answer_an_image

#: Bets, as shares of the largest: each is the best where the risk has come so far from α to 1.
BETS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7)
LARGEST = 1e300  # evidence that is told from more
BLOCK = 64  # answers whose wealth is multiplied up at once
ORDERS = 100


def watch(errors: ArrayLike, *, risk: float, run_length: int = 1000) -> pd.DataFrame:
    r"""Evidence, after each graded answer, that the risk of a threshold in use is too large.

    .. math:: M_t = \frac1K \sum_k M_{t,k}, \qquad
        M_{t,k} = (M_{t-1,k} + 1) \, (1 + \lambda_k (x_t - \alpha)), \quad x_t = 1 \text{ if wrong}

    An alarm is raised once it reaches `run_length`. Every answer is a start from which the risk may
    have changed, so that a change after thousands of good answers is seen as soon as one at the
    beginning. While the risk is at most α, given the answers before, the average number of
    graded answers until a false alarm is at least `run_length`.

    Parameters
    ----------
    errors : (n,) array of 1, 0 and NaN
        1 where an answer that was retained is wrong, in the order of use, one answer an image. NaN
        where it was not graded: it is passed over. Which answers are graded must not hang on
        whether they are right: all of them, or a random share.
    risk : float
        α, the risk that the threshold was certified for, in (0, 1).
    run_length : int
        Graded answers until a false alarm, on average, at least.

    Returns
    -------
    pandas.DataFrame
        One row an answer:

        - n: answers graded so far
        - errors: wrong ones among them
        - evidence: M after this answer
        - alarm: whether it has reached `run_length` by now

    Raises
    ------
    ValueError
        On outcomes other than 0, 1 and NaN; on a risk outside (0, 1); on a run length below 2.

    References
    ----------
    Shin, Ramdas & Rinaldo, E-detectors, New England Journal of Statistics in Data Science 2023,
    doi:10.51387/23-NEJSDS51, arXiv:2203.03532.

    Examples
    --------
    >>> table = watch([0] * 500 + [1, 0, 1, 1, 0, 1, 1, 1], risk=0.2, run_length=100)
    >>> int(table["alarm"].argmax()), table["evidence"].round(1).tail(3).tolist()
    (506, [53.4, 126.2, 332.0])
    """
    check_level(risk, "risk")
    check_whole(run_length, "run_length", 2)
    x = np.asarray(errors, dtype=float)
    is_graded = ~np.isnan(x)
    wrong = check_correct(x[is_graded]) if is_graded.any() else x[:0]
    # row 0: before the first graded answer
    evidence = np.append(0.0, _evidence(wrong, risk))
    n = is_graded.cumsum()
    return pd.DataFrame(
        {
            "n": n,
            "errors": np.append(0, wrong.cumsum()).astype(int)[n],
            "evidence": evidence[n],
            "alarm": (np.maximum.accumulate(evidence) >= run_length)[n],
        }
    )


def _evidence(wrong: FloatArray, risk: float) -> FloatArray:
    """(…, n) mean of the bets' evidence after each answer of (…, n) outcomes.

    Of a block of answers it is products and sums alone; so few answers can make neither as large as
    no float is.
    """
    bets = np.array(BETS)[:, None] / risk  # (bets, 1)
    won = 1 + bets * (1 - risk)
    lost = 1 - bets * risk
    means = []
    carried: FloatArray = np.zeros(1)  # (…, bets, 1) evidence before the block
    for first in range(0, wrong.shape[-1], BLOCK):
        block = wrong[..., None, first : first + BLOCK]
        after_each = np.where(block == 1, won, lost)  # (…, bets, answers)
        with np.errstate(over="ignore"):
            wealth = after_each.cumprod(axis=-1)
            # the sum over all starts s of the wealth won since
            since = (after_each / wealth).cumsum(axis=-1)
            evidence = np.minimum(wealth * (carried + since), LARGEST)
        means.append(evidence.mean(axis=-2))
        carried = evidence[..., -1:]
    return np.concatenate([wrong[..., :0], *means], axis=-1)


def watch_table(
    before: pd.DataFrame,
    after: pd.DataFrame,
    thresholds: pd.DataFrame,
    *,
    risk: float,
    run_length: int = 1000,
    by: Sequence[str] = (),
    n_before: int = 0,
    ci: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """How soon `watch` sees that answers of another kind have come, in 100 random orders.

    Parameters
    ----------
    before, after : pandas.DataFrame
        Graded answers: `n_before` of the first are drawn with replacement, then all of the second
        follow; one answer an image in each order.
    thresholds : pandas.DataFrame
        With the columns of `by` and threshold, as `threshold_table` has them. Infinite thresholds
        retain nothing and get no row.
    risk, run_length
        As in `watch`.
    by : sequence of str
        Columns that tell which threshold is for which answers.
    n_before : int
        Retained answers before the change; 0: a new place, from the first answer on.
    ci : Bootstrap
        Its seed is that of the orders.

    Returns
    -------
    pandas.DataFrame
        One row a threshold that retains answers of both:

        - the `by` columns
        - threshold
        - early: share of the orders with an alarm before the change
        - median_delay: graded answers from the change to the alarm, median of the others;
          infinite where less than half of them have one

    Raises
    ------
    ValueError
        On a column that a table lacks; on what `watch` refuses.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> answers = pd.DataFrame({"item_id": np.arange(800), "confidence": rng.uniform(0.5, 1, 800)})
    >>> good = answers.assign(correct=rng.random(800) < 0.9)
    >>> bad = answers.assign(correct=rng.random(800) < 0.6)
    >>> one = pd.DataFrame({"threshold": [0.65]})
    >>> table = watch_table(good, bad, one, risk=0.2, n_before=2000)
    >>> table[["early", "median_delay"]].to_numpy().tolist()
    [[0.0, 51.0]]
    """
    check_level(risk, "risk")
    check_whole(run_length, "run_length", 2)
    check_whole(n_before, "n_before", 0)
    first = rows_by(measured(judged_by(before, by)), by)
    second = rows_by(measured(judged_by(after, by)), by)
    rows = []
    for name, part in rows_by(thresholds, by).items():
        if name not in first or name not in second:
            continue
        threshold = part["threshold"].iloc[0]
        good = _retained(first[name], threshold)
        other = _retained(second[name], threshold)
        if not good.wrong.size or not other.wrong.size:
            continue
        rng = ci.stream(image_labels(second[name]))
        orders = []
        for _ in range(ORDERS):
            earlier = rng.choice(good.one_an_image(rng), n_before)
            later = rng.permutation(other.one_an_image(rng))
            orders.append(np.append(earlier, later))
        delays = _alarms(np.array(orders), risk, run_length) - n_before
        late = delays[delays > 0]
        row = dict(zip(by, name, strict=True)) | {"threshold": threshold}
        row["early"] = np.mean(delays <= 0)
        row["median_delay"] = np.median(late) if late.size else np.nan
        rows.append(row)
    # a table without rows has its columns, too
    return pd.DataFrame(rows, columns=[*by, "threshold", "early", "median_delay"])


class _Retained(NamedTuple):
    """Outcomes of the answers that a threshold retains, and what draws one of each image."""

    wrong: FloatArray
    draw: Callable[[np.random.Generator], NDArray | slice]

    def one_an_image(self, rng: np.random.Generator) -> FloatArray:
        """Whether one random answer of each image is wrong."""
        return self.wrong[self.draw(rng)]


def _retained(graded: pd.DataFrame, threshold: float) -> _Retained:
    kept = graded[graded["confidence"] >= threshold]
    c, correct = arrays(kept)
    images, _ = check_groups(image_labels(kept), c.size)
    wrong = 1 - correct
    return _Retained(wrong, draw=one_answer_an_image(c, wrong, images))


def _alarms(wrong: FloatArray, risk: float, run_length: int) -> FloatArray:
    """(orders,) answers until an alarm in orders of (orders, n); infinite where there is none."""
    is_alarm = _evidence(wrong, risk) >= run_length
    return np.where(is_alarm.any(axis=1), is_alarm.argmax(axis=1) + 1, np.inf)
