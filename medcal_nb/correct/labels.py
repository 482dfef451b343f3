"""How many labelled target answers it takes until a refit beats a transferred map."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.special import expit

from medcal_nb.measure._check import check_choice, check_whole
from medcal_nb.measure.resampling import choose_clip, fit_logistic, logit
from medcal_nb.measure.rows import arrays

from .crossfit import images_of, pairs, with_images
from .families import MAPS
from .maps import fit
from .resampled import brier_of_counts


def labels_needed(
    source: pd.DataFrame,
    target: pd.DataFrame,
    *,
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
    method : str
        One of ``MAPS``.
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
    for key, left, right in pairs(*with_images(source, target)):
        draw = np.random.default_rng([seed, 0])
        losses = dict(_losses(left, right, method, sizes, n_draws, draw))
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
    """Losses by size and map, (draws,) each, in numbers."""
    rows = []
    for n, by_map in losses.items():
        for name, loss in by_map.items():
            low, median, high = np.quantile(loss, [tail, 0.5, 1 - tail])
            row = {"n": n, "map": name, "median": median, "low": low, "high": high}
            share = (loss < by_map["transferred"]).mean()
            rows.append(row | {"share_better": share})
    return pd.DataFrame(rows)


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


def _counts(
    cell: np.ndarray, correct: np.ndarray, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(B, cells): all and right answers in each cell, of the rows (B, n) that are chosen."""
    draw, row = np.nonzero(chosen)
    shape = (len(chosen), int(cell.max()) + 1)
    place = draw * shape[1] + cell[row]
    total = np.bincount(place, minlength=shape[0] * shape[1])
    right = np.bincount(place, correct[row], shape[0] * shape[1])
    return total.reshape(shape).astype(float), right.reshape(shape)


def _losses(
    left: pd.DataFrame,
    right: pd.DataFrame,
    method: str,
    sizes: Sequence[int],
    n_draws: int,
    rng: np.random.Generator,
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """(n, Brier scores (draws,) by map) for the sizes within reach."""
    confidence, correct = arrays(right)
    clip = choose_clip(np.r_[left["confidence"], confidence])
    # a map does not tell equal confidences apart
    values, cell = np.unique(confidence, return_inverse=True)
    transferred = fit(*arrays(left), method=method, clip=clip)(values)[None]
    features = MAPS[method].features(values, clip)
    order = _orders(images_of(right), n_draws, rng)
    held_out = _counts(cell, correct, order < 0)
    fixed = {
        "uncorrected": brier_of_counts(values, *held_out),
        "transferred": brier_of_counts(transferred, *held_out),
    }
    for n in sizes:
        if (order >= 0).sum(axis=1).min() < n:
            continue
        total, right_ones = _counts(cell, correct, (order >= 0) & (order < n))
        theta = MAPS[method].fit(features, right_ones, total, None)
        maps = {
            "known": _known(transferred, total, right_ones),
            "refitted": MAPS[method].apply(theta, features),
        }
        losses = {name: brier_of_counts(p, *held_out) for name, p in maps.items()}
        yield n, fixed | losses


def _known(p: np.ndarray, total: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Confidences (1, cells) with the intercepts that give them each draw's share of right answers.

    One answer more, half right, at even odds keeps them finite where all are right or wrong.
    """
    log_odds = logit(p, 1e-12)
    one = np.ones((len(total), 1))
    intercept = fit_logistic(
        np.ones((total.shape[1] + 1, 1)),
        right.sum(axis=1, keepdims=True) + 0.5,
        np.hstack([total, one]),
        offset=np.hstack([log_odds, np.zeros((1, 1))]),
    )[0]
    return expit(log_odds + intercept)
