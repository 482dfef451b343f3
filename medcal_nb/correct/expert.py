"""What an expert adds to the strategies whose answers it assesses.

Another model is shown the question and the candidate answers and gives each a probability. What
it adds is of two kinds: *judging* (telling which candidate is right, from the candidates alone)
and *knowing* (having the answer itself); they are reported apart.
"""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from medcal_nb.measure.rows import image_labels

from .fusion import BY, chosen, make_ballots, pool
from .maps import FITS, RecalibrationWarning, assign_folds, by_fold
from .paired import mean, paired


def expert_split_table(
    graded: pd.DataFrame, *, experts: Mapping[str, str], strategies: Sequence[str],
    n_folds: int = 5, rng: np.random.Generator, **settings,
) -> pd.DataFrame:  # fmt: skip
    """What an expert adds to the pool of strategies, and as what.

    Parameters
    ----------
    graded : DataFrame
        Of the strategies and of the expert's variants, one row per item and strategy.
    experts : mapping
        The expert's strategy → what it is, such as ``{"expert_blind": "judging",
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
    for key, part in graded.groupby(list(BY), sort=True, observed=True):
        for expert, role in experts.items():
            if expert not in set(part["strategy"]):
                continue
            ballots = make_ballots(part, strategies=[*strategies, expert])
            ballots = ballots.part(ballots.answered().all(axis=1) & ballots.graded())
            images = image_labels(ballots.rows)
            if len(set(images)) < n_folds:
                warnings.warn(
                    f"expert: {' '.join(map(str, key))}: {expert} shares {len(images)} items with "
                    "the strategies; left out",
                    RecalibrationWarning,
                    stacklevel=2,
                )
                continue
            fold = assign_folds(images, n_folds, rng=np.random.default_rng([seed, 0]))
            frame = ballots.rows.assign(expert=expert, role=role)
            whos = {"pool": strategies, "alone": [expert], "fused": [*strategies, expert]}
            for name, members in whos.items():
                own = ballots.of(members)
                rows = chosen(own, pool(own), name=name)
                c, y = rows["confidence"].to_numpy(float), rows["correct"].to_numpy(float)
                frame[f"accuracy_{name}"] = y
                frame[f"brier_{name}"] = (by_fold(FITS["platt"], c, y, fold) - y) ** 2
            frames.append(frame)

    def statistic(part, w):
        out = {}
        for loss in ("accuracy", "brier"):
            own = {name: mean(w, part[f"{loss}_{name}"]) for name in ("pool", "alone", "fused")}
            out |= {f"{loss}_{name}": float(v[0]) for name, v in own.items()}
            out[f"{loss}_change"] = own["fused"] - own["pool"]
        return out

    if not frames:
        return pd.DataFrame()
    return paired(
        pd.concat(frames), [*BY, "expert", "role"], statistic,
        rng=rng, **settings,
    )  # fmt: skip
