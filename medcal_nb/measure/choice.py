"""Which way of asking should I take? Strategies by what an answer costs in the end."""

import numpy as np
import pandas as pd

from ._check import check_level, warn
from ._sums import Draws
from .decisions import best_threshold
from .intervals import holm, normal_p
from .selective import DELTA, selective_threshold
from .rows import arrays, halves, image_labels, measured, parts_by, rows_where

_MOST = 5  # names listed in a sentence
LEAST = 20  # images in either half of a group


def choose_strategy(
    graded,
    *,
    cost_wrong=1.0,
    cost_check=0.1,
    cost_tokens=0.0,
    errors_allowed=None,
    by=(),
    level=0.95,
    n_resamples=1000,
    rng,
):
    r"""What an answer costs under each strategy, and which cannot be told from the chosen one.

    An answer is kept where its confidence reaches the threshold that the costs imply
    (`best_threshold`) and, if errors are limited, the one certified on the fit half
    (`selective_threshold`, δ = 0.1, by image); else, and where it states no confidence, it is
    checked. To that comes what its tokens cost. The strategy with the least mean cost on one half
    of the images is chosen; all are judged on the other half.

    Parameters
    ----------
    graded : pandas.DataFrame
        Graded answers of one model: strategy, confidence, correct, item_id and where known
        image_id, dataset, prompt_tokens, new_tokens. Rows with another value of an optional
        column `map` hold the same answers with corrected confidences (none: "as stated"). Items
        that some strategy has no grade for are left out of all.
    cost_wrong, cost_check
        Of a wrong answer acted on, and of a check.
    cost_tokens : float
        Of a thousand tokens, in the unit of the other costs.
    errors_allowed : float, optional
        Share of wrong answers allowed among those kept, in (0, 1).
    by : sequence of str
        Columns (modality) within whose combinations a choice is made, too; those with fewer than
        20 images in either half are left out with a warning.
    level, n_resamples, rng
        As in `bootstrap_interval`, by image.

    Returns
    -------
    pandas.DataFrame
        The `by` columns, strategy, map, threshold, checked (share), errors_kept (share among those
        kept), tokens (an answer), cost_fit, cost, cost_low, cost_high (an answer, judged half),
        chosen, difference (cost − that of the chosen) with difference_low, difference_high, p and
        p_holm (over all rows), tied (not told from the chosen: p_holm > 1 − level), n, n_images.
        Cheapest on the judged half first.

    Raises
    ------
    ValueError
        On a column the table lacks, or costs out of range.
    """
    check_level(level)
    costs = {"cost_wrong": cost_wrong, "cost_check": cost_check}
    graded = _complete(graded)
    halved = halves(graded, rng=rng)
    parts = []
    for key, _ in parts_by(graded, by):
        fit, judged = (rows_where(half, key) for half in halved)
        fewest = min(len(np.unique(image_labels(half))) for half in (fit, judged))
        if fewest < LEAST:
            name = ", ".join(map(str, key.values())) or "the answers"
            warn(
                f"{name}: {fewest} images in a half are too few to choose a strategy on"
            )
            continue
        one = _compared(
            fit, judged, costs, cost_tokens, errors_allowed, level, n_resamples, rng
        )
        parts.append(one.assign(**key)[[*key, *one.columns]])
    if not parts:
        return pd.DataFrame()
    table = pd.concat(parts, ignore_index=True)
    table["p_holm"] = holm(table["p"].to_numpy(float))
    table["tied"] = table["chosen"] | ~(table["p_holm"] <= 1 - level)
    return table


def _complete(graded):
    """Rows with a grade, of the items that every strategy and map has one for."""
    graded = graded[graded["correct"].notna()]
    maps = graded.get("map", pd.Series(None, graded.index, dtype=object)).fillna(
        "as stated"
    )
    graded = graded.assign(map=maps, _item=image_labels(graded, "item_id"))
    systems = graded.groupby(["strategy", "map"]).ngroups
    held = graded.groupby("_item")["_item"].transform("size")
    return graded[held == systems]


def _compared(fit, judged, costs, cost_tokens, errors_allowed, level, n_resamples, rng):
    judged = judged.sort_values("_item", kind="stable")
    rows = []
    values = []
    for key, part in parts_by(fit, ["strategy", "map"]):
        threshold = _threshold(measured(part), costs, errors_allowed)
        other = rows_where(judged, key)
        cost_fit = _decided(part, threshold, costs, cost_tokens)[-1].mean()
        kept, wrong, cost = _decided(other, threshold, costs, cost_tokens)
        values.append(cost)
        row = key | {"threshold": threshold, "checked": 1 - kept.mean()}
        row |= {"errors_kept": wrong[kept].mean() if kept.any() else np.nan}
        rows.append(row | {"tokens": _tokens(other).mean(), "cost_fit": cost_fit})
    table = pd.DataFrame(rows)
    one = rows_where(judged, key)  # the same items in the same order under each
    images = image_labels(one)
    drawn = Draws(images, images.size, n_resamples, rng).means(np.stack(values, 1))
    best = int(table["cost_fit"].argmin())
    shares = [(1 - level) / 2, (1 + level) / 2]
    gap = drawn - drawn[:, [best]]
    table["cost"] = [value.mean() for value in values]
    table["cost_low"], table["cost_high"] = np.quantile(drawn, shares, axis=0)
    table["chosen"] = table.index == best
    table["difference"] = table["cost"] - table.loc[best, "cost"]
    table["difference_low"], table["difference_high"] = np.quantile(gap, shares, axis=0)
    table["p"] = [
        normal_p(g, d) for g, d in zip(gap.T, table["difference"], strict=True)
    ]
    table["n"] = len(one)
    table["n_images"] = len(np.unique(images))
    return table.sort_values("cost", ignore_index=True, kind="stable")


def _threshold(part, costs, errors_allowed) -> float:
    """What the costs imply and, where errors are limited, what is certified."""
    threshold = best_threshold(**costs)
    if errors_allowed is None:
        return threshold
    if part.empty:
        return np.inf
    limits = {"target": errors_allowed, "delta": DELTA, "groups": image_labels(part)}
    return max(threshold, selective_threshold(*arrays(part), **limits).threshold)


def _tokens(part) -> np.ndarray:
    known = [
        part[name].fillna(0) for name in ("prompt_tokens", "new_tokens") if name in part
    ]
    return np.asarray(sum(known), float) if known else np.zeros(len(part))


def _decided(part, threshold, costs, cost_tokens) -> tuple[np.ndarray, ...]:
    """(kept, wrong, cost) of each answer, checked where below the threshold or not stated."""
    kept = part["confidence"].fillna(-1).to_numpy(float) >= threshold - 1e-9
    wrong = 1 - part["correct"].to_numpy(float)
    cost = np.where(kept, wrong * costs["cost_wrong"], costs["cost_check"])
    return kept, wrong, cost + cost_tokens * _tokens(part) / 1000


def choice_sentence(table) -> str:
    """Which strategy to take, and which cannot be told from it: rows of one group, in words."""
    name = table["strategy"] + " (" + table["map"] + ")"
    best = table[table["chosen"]].iloc[0]
    tied = name[table["tied"]]
    listed = ", ".join(tied[:_MOST]) + ", …" * (len(tied) > _MOST)
    return (
        f"{name[best.name]} was chosen on one half of the images; on the other ({best['n']:,} "
        f"answers on {best['n_images']:,} images) an answer costs {best['cost']:.3f} "
        f"[{best['cost_low']:.3f}, {best['cost_high']:.3f}], {100 * best['checked']:.0f} % are "
        f"checked. {len(tied)} of {len(table)} cannot be told apart after correction for their "
        f"number, the cheapest first: {listed}."
    )
