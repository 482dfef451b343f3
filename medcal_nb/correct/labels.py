"""How many labelled target answers it takes until a refit beats a transferred map."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from medcal_nb.measure._check import check_choice, check_whole
from medcal_nb.measure.resampling import choose_clip, fit_logistic, logit

from .crossfit import images_of, pairs, with_images
from .families import MAPS
from .maps import arrays_of, leading, option_rows


def labels_needed(
    source: pd.DataFrame,
    target: pd.DataFrame,
    *,
    more_target: pd.DataFrame | None = None,
    method: str = "platt",
    sizes: Sequence[int] = (10, 20, 50, 100, 200, 400, 1000),
    n_draws: int = 200,
    share: float = 0.95,
    level: float = 0.95,
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Brier score on the target against the number of target labels, for every pair.

    In each draw half of the target's images are set aside for scoring; labels come from the other
    half, image by image in random order until n answers are reached. The number of labels needed
    is the smallest size from which on a refit beats the transferred map in at least ``share`` of
    the draws: a median would let half of the draws lose.

    Parameters
    ----------
    source, target : DataFrame
        Graded answers; they must share no image.
    more_target : DataFrame, optional
        More of the target than what tables report on: labels and scores come from these rows.
    method : str
        One of ``MAPS``. Pairs without option probabilities are left out for a map of all options.
    sizes : sequence of int
        Numbers of labels to try.
    n_draws : int
        Random draws of labels.
    share : float
        Of the draws in which the refit must win.
    level : float
        Of the band over draws.
    rng : numpy.random.Generator

    Returns
    -------
    curve : DataFrame
        One row per model, strategy, size and map; sizes for which the images do not suffice are
        absent:

        - model, strategy, method: method is the map's name
        - n: target labels
        - map: "uncorrected", "transferred", "known" (the source's map with the intercept that
          the same n labels set) or "refitted" (on n labels)
        - median, low, high: Brier score over draws, and the band that holds ``level`` of them
        - share_better: of the draws in which it beats the transferred map
        - share_removed: with _low, _high, of the transfer cost against a refit on all labels that
          are not scored on, median over draws; of "known" with the uncertainty of an accuracy
          that n answers give; NaN if the cost is not positive in most draws
    needed : DataFrame
        One row per model and strategy:

        - model, strategy, method: as there
        - n_refitted, n_known: labels needed for either, infinite if no size tried is enough
        - n_min, n_max: smallest and largest size tried
        - n_draws, share: as given

    Raises
    ------
    ValueError
        If no size is within reach, or images of one side are in the other.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> answers = example_answers(600, strategies=["verbalized"])
    >>> rng = np.random.default_rng(0)
    >>> sides = answers.query("domain == 'general'"), answers.query("domain == 'medical'")
    >>> curve, needed = labels_needed(*sides, sizes=(10, 200), n_draws=50, rng=rng)
    >>> needed[["n_refitted", "n_known"]].to_numpy().tolist()
    [[200.0, 200.0]]
    """
    check_choice(method, "method", MAPS)
    check_whole(n_draws, "n_draws", 2)
    seed = int(rng.integers(2**63))
    curves = []
    needed = []
    judged = target if more_target is None else more_target
    for key, left, right in pairs(*with_images(source, judged)):
        has_options = option_rows(left).all() and option_rows(right).all()
        if MAPS[method].inputs == "options" and not has_options:
            continue
        draw = np.random.default_rng([seed, 0])
        # the refit on all answers that are not scored on is the last
        losses = dict(_losses(left, right, method, [*sizes, None], n_draws, draw))
        curve = _curve(losses, (1 - level) / 2)
        if len(curve):
            about = key | {"method": method}
            curves.append(curve.assign(**about)[[*about, *curve.columns]])
            row = about | smallest_sizes(curve, share)
            needed.append(row | {"n_draws": n_draws, "share": share})
    if not curves:
        raise ValueError(
            f"sizes: the target has too few labelled images for {min(sizes)} labels"
        )
    return pd.concat(curves, ignore_index=True), pd.DataFrame(needed)


def _curve(losses: dict, tail: float) -> pd.DataFrame:
    """Losses by size and map, (draws,) each, in numbers; None stands for all labels."""
    best = losses.pop(None)["refitted"]
    rows = []
    for n, by_map in losses.items():
        for name, loss in by_map.items():
            low, median, high = np.quantile(loss, [tail, 0.5, 1 - tail])
            row = {"n": n, "map": name, "median": median, "low": low, "high": high}
            row["share_better"] = (loss < by_map["transferred"]).mean()
            rows.append(row | _removed(by_map["transferred"], loss, best, tail))
    return pd.DataFrame(rows)


def _removed(
    transferred: np.ndarray, loss: np.ndarray, best: np.ndarray, tail: float
) -> dict:
    """Share of the transfer cost that is gone, over draws; all arguments (draws,)."""
    names = ("share_removed_low", "share_removed", "share_removed_high")
    cost = transferred - best
    if np.median(cost) <= 0:
        return dict.fromkeys(names, np.nan)
    # where a draw has next to no cost the share is of the mean cost
    removed = (transferred - loss) / np.maximum(cost, cost.mean() / 10)
    ends = np.quantile(removed, [tail, 0.5, 1 - tail])
    return dict(zip(names, ends.tolist(), strict=True))


def smallest_sizes(curve: pd.DataFrame, share: float) -> dict:
    """Smallest sizes from which on a map wins in enough draws, at that and every larger size."""
    row = {}
    for name in ("refitted", "known"):
        part = curve[curve["map"] == name].sort_values("n")
        wins = part["share_better"].to_numpy() >= share
        stays = np.logical_and.accumulate(wins[::-1])[::-1]
        row[f"n_{name}"] = part["n"].to_numpy(float)[stays].min(initial=np.inf)
    row["n_min"] = int(curve["n"].min())
    row["n_max"] = int(curve["n"].max())
    return row


def _orders(images: np.ndarray, n_draws: int, rng: np.random.Generator) -> np.ndarray:
    """Order (draws, n) in which rows are labelled, image by image; below 0 they are scored on."""
    _, image, size = np.unique(images, return_inverse=True, return_counts=True)
    # (n,) place of each row among those of its image
    within = np.empty(image.size, dtype=np.int32)
    first = np.repeat(size.cumsum() - size, size)
    within[image.argsort(kind="stable")] = np.arange(image.size) - first
    held_out = round(size.size / 2)
    orders = np.empty((n_draws, image.size), dtype=np.int32)
    for order in orders:
        rank = rng.permutation(size.size)
        size_at = np.empty_like(size)
        size_at[rank] = size
        start = size_at.cumsum() - size_at
        order[:] = start[rank[image]] + within - size_at[:held_out].sum()
    return orders


class _Cells:
    """Answers gathered into cells that a map does not tell apart: equal confidences, or rows."""

    def __init__(self, rows: pd.DataFrame, method: str, clip: float) -> None:
        inputs, outcomes = arrays_of(rows, method)
        self.family = MAPS[method]
        self.correct = rows["correct"].to_numpy(float)
        self.gold = None
        if self.family.inputs == "options":
            self.gold = outcomes
            self.cell = np.arange(len(rows))
            self.inputs = inputs
        else:
            self.inputs, self.cell = np.unique(inputs, return_inverse=True)
        self.features = self.family.features(self.inputs, clip)

    def counts(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, cells): all and right answers among the rows (B, n) that are chosen."""
        draw, row = np.nonzero(chosen)
        shape = (len(chosen), len(self.inputs))
        place = draw * shape[1] + self.cell[row]
        total = np.bincount(place, minlength=shape[0] * shape[1])
        right = np.bincount(place, self.correct[row], shape[0] * shape[1])
        return total.reshape(shape).astype(float), right.reshape(shape)

    def fit(self, total: np.ndarray, right: np.ndarray) -> Any:
        """Parameter sets under counts (B, cells)."""
        learned = right if self.gold is None else self.gold
        return self.family.fit(self.features, learned, total, None)


def _losses(
    left: pd.DataFrame,
    right: pd.DataFrame,
    method: str,
    sizes: Sequence[int | None],
    n_draws: int,
    rng: np.random.Generator,
) -> Iterator[tuple[int | None, dict[str, np.ndarray]]]:
    """(n, Brier scores (draws,) by map) for the sizes within reach; None stands for all labels."""
    clip = choose_clip(
        pd.concat([left["confidence"], right["confidence"]]).to_numpy(float)
    )
    learned = _Cells(left, method, clip)
    judged = _Cells(right, method, clip)
    fitted = learned.fit(*learned.counts(np.ones((1, len(left)), dtype=bool)))
    transferred = learned.family.apply(fitted, judged.features)  # (1, cells)
    log_odds = logit(transferred, 1e-12)
    order = _orders(images_of(right), n_draws, rng)
    held_out, held_out_right = judged.counts(order < 0)

    def score(p: np.ndarray) -> np.ndarray:
        """Brier score (draws,) of confidences (draws or 1, cells) on the rows held out."""
        loss = p * (held_out * p - 2 * held_out_right) + held_out_right
        return loss.sum(axis=1) / held_out.sum(axis=1)

    fixed = {
        "uncorrected": score(leading(judged.inputs)[None]),
        "transferred": score(transferred),
    }
    for n in sizes:
        labelled = order >= 0
        if n is not None:
            if labelled.sum(axis=1).min() < n:
                continue
            labelled &= order < n
        total, correct = judged.counts(labelled)
        refitted = judged.family.apply(judged.fit(total, correct), judged.features)
        known = expit(log_odds + _intercept(log_odds, total, correct))
        yield n, fixed | {"known": score(known), "refitted": score(refitted)}


def _intercept(
    log_odds: np.ndarray, total: np.ndarray, right: np.ndarray
) -> np.ndarray:
    """Intercepts (B, 1) that give log-odds (1, cells) the share of right answers of each row.

    One answer more, half right, at even odds keeps them finite where all are right or wrong.
    """
    draws = len(total)
    return fit_logistic(
        np.ones((total.shape[1] + 1, 1)),
        right.sum(axis=1, keepdims=True) + 0.5,
        np.hstack([total, np.ones((draws, 1))]),
        offset=np.hstack([log_odds, np.zeros((1, 1))]),
    )[0]
