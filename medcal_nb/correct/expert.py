"""What an expert adds to the strategies whose answers it assesses.

Another model is shown the question and the candidate answers and gives each a probability. What
it adds is of two kinds: *judging* (telling which candidate is right, from the candidates alone)
and *knowing* (having the answer itself); they are reported apart.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from medcal_nb.measure.rows import parts_by

from .fusion import BY, complete, pooled
from .maps import by_fold, fit, folds_of
from .paired import means, paired

_WHO = ("pool", "alone", "fused")


def expert_split_table(
    graded: pd.DataFrame, *, experts: Mapping[str, str], strategies: Sequence[str],
    rng: np.random.Generator, **settings,
) -> pd.DataFrame:  # fmt: skip
    """What an expert adds to the pool of strategies, and as what.

    Parameters
    ----------
    graded : DataFrame
        Of the strategies and of the expert's variants, one row per item and strategy.
    experts : mapping
        The expert's strategy → what it is, such as ``{"expert_blank": "judging",
        "expert_own": "knowing", "expert": "both"}``.
    strategies : sequence of str
        The pool without the expert.

    Returns
    -------
    DataFrame
        One row per expert: role, n (items that all answered), accuracy and brier (after Platt,
        cross-fitted by image) of the pool, of the expert alone and of both fused; accuracy_change
        and brier_change, fused - pool, with low and high of the bootstrap paired by image.
    """
    seed, frames = int(rng.integers(2**63)), []
    for _, part in parts_by(graded, BY):
        present = set(part["strategy"])
        pool = [s for s in strategies if s in present]
        for expert in [name for name in experts if name in present]:
            ballots, _ = complete(part, [*pool, expert])
            if (fold := folds_of(ballots.items, seed)) is None:
                continue
            frame = ballots.items.assign(expert=expert, role=experts[expert])
            for name, voters in zip(_WHO, (pool, [expert], [*pool, expert]), strict=True):
                rows = pooled(ballots, voters, name=name)
                c, y = rows["confidence"].to_numpy(float), rows["correct"].to_numpy(float)
                frame[f"accuracy_{name}"] = y
                frame[f"brier_{name}"] = (by_fold(fit, c, y, fold) - y) ** 2
            frames.append(frame)
    if not frames:
        return pd.DataFrame()
    losses = ("accuracy", "brier")
    columns = {f"{loss}_{name}": f"{loss}_{name}" for loss in losses for name in _WHO}
    columns |= {f"{loss}_change": (f"{loss}_fused", f"{loss}_pool") for loss in losses}
    keys = [*BY, "expert", "role"]
    return paired(pd.concat(frames), keys, means(**columns), rng=rng, **settings)
