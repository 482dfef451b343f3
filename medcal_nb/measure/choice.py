"""Which way of asking should I take? Strategies by what an answer costs in the end."""

import warnings

import numpy as np
import pandas as pd

from ._check import check_level, check_rng, warn
from ._sums import Draws
from .deferral import DELTA, answer_costs, best_threshold, selective_threshold
from .intervals import holm, normal_p
from .rows import halves, image_labels, measured, parts_by, rows_where

_MOST = 5  # names listed in a sentence
LEAST = 20  # images in either half of a group


def choose_strategy(
    graded,
    *,
    cost_wrong=1.0,
    cost_check=0.1,
    cost_tokens=0.0,
    miss_rate=0.0,
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
    cost_wrong, cost_check, miss_rate
        As `cost_table`.
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
    check_rng(rng)
    check_level(level)
    costs = {"cost_wrong": cost_wrong, "cost_check": cost_check, "miss_rate": miss_rate}
    graded = _complete(graded)
    halved = halves(graded, rng=rng)
    parts = []
    for key, _ in parts_by(graded, by):
        fit, judged = (rows_where(half, key) for half in halved)
        fewest = min(len(np.unique(image_labels(half))) for half in (fit, judged))
        if fewest < LEAST:
            name = ", ".join(map(str, key.values())) or "the answers"
            warn(f"{name}: {fewest} images in a half are too few to choose a strategy on")
            continue
        one = _compared(fit, judged, costs, cost_tokens, errors_allowed, level, n_resamples, rng)
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
    if "map" not in graded:
        graded = graded.assign(map="as stated")
    graded = graded.assign(map=graded["map"].fillna("as stated"))
    graded = graded.assign(_item=image_labels(graded, "item_id"))
    systems = graded.groupby(["strategy", "map"]).ngroups
    held = graded.groupby("_item")["_item"].transform("size")
    return graded[held == systems]


def _compared(fit, judged, costs, cost_tokens, errors_allowed, level, n_resamples, rng):
    judged = judged.sort_values("_item", kind="stable")
    rows, values = [], []
    for key, part in parts_by(fit, ["strategy", "map"]):
        threshold = _threshold(measured(part), costs, errors_allowed)
        other = rows_where(judged, key)
        cost_fit = _answer_costs(part, threshold, costs, cost_tokens).mean()
        values.append(_answer_costs(other, threshold, costs, cost_tokens))
        kept = other["confidence"].fillna(-1).to_numpy(float) >= threshold - 1e-9
        wrong = 1 - other["correct"].to_numpy(float)
        row = key | {"threshold": threshold, "checked": 1 - kept.mean()}
        row |= {"errors_kept": wrong[kept].mean() if kept.any() else np.nan}
        rows.append(row | {"tokens": _tokens(other).mean(), "cost_fit": cost_fit})
    table = pd.DataFrame(rows)
    one = rows_where(judged, key)  # the same items in the same order under each
    images = image_labels(one)
    drawn = Draws(images, images.size, n_resamples, rng).means(np.stack(values, 1))
    cost, best = np.array([value.mean() for value in values]), int(table["cost_fit"].argmin())
    gap, shares = drawn - drawn[:, [best]], [(1 - level) / 2, (1 + level) / 2]
    table["cost"], (table["cost_low"], table["cost_high"]) = (
        cost,
        np.quantile(drawn, shares, axis=0),
    )
    table["chosen"] = np.arange(len(table)) == best
    table["difference"] = cost - cost[best]
    table["difference_low"], table["difference_high"] = np.quantile(gap, shares, axis=0)
    table["p"] = [normal_p(g, d) for g, d in zip(gap.T, table["difference"], strict=True)]
    table["n"], table["n_images"] = len(one), len(np.unique(images))
    return table.sort_values("cost", ignore_index=True, kind="stable")


def _threshold(part, costs, errors_allowed) -> float:
    """What the costs imply and, where errors are limited, what is certified."""
    threshold = best_threshold(**costs)
    if errors_allowed is None:
        return threshold
    if part.empty:
        return np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        certified = selective_threshold(
            part["confidence"],
            part["correct"],
            target=errors_allowed,
            delta=DELTA,
            groups=image_labels(part),
        )
    return max(threshold, certified.threshold)


def _tokens(part) -> np.ndarray:
    known = [part[name].fillna(0) for name in ("prompt_tokens", "new_tokens") if name in part]
    return np.asarray(sum(known), float) if known else np.zeros(len(part))


def _answer_costs(part, threshold, costs, cost_tokens) -> np.ndarray:
    confidence = part["confidence"].fillna(-1).to_numpy(float)
    decided = answer_costs(confidence, part["correct"].to_numpy(float), threshold, **costs)
    return decided + cost_tokens * _tokens(part) / 1000


def choice_sentence(table) -> str:
    """Which strategy to take, and which cannot be told from it, in words.

    `table` holds rows of `choose_strategy` of one group.
    """
    stated = table["map"] == "as stated"
    name = table["strategy"] + np.where(
        stated, "" if stated.all() else " as stated", " with " + table["map"]
    )
    best = table[table["chosen"]].iloc[0]
    chosen = name[table["chosen"]].iloc[0]
    told = (
        f"{chosen} was chosen on one half of the images; on the other ({best['n']:,} answers on "
        f"{best['n_images']:,} images) an answer costs {best['cost']:.3f} "
        f"[{best['cost_low']:.3f}, {best['cost_high']:.3f}], "
        + (
            "every one is checked. "
            if best["checked"] == 1
            else f"{100 * best['checked']:.0f} % are checked. "
        )
    )
    tied, others = table["tied"] & ~table["chosen"], len(table) - 1
    if not others:
        return told.strip()
    if not tied.any():
        rest = f"All {others} others differ" if others > 1 else "The other one differs"
        return f"{told}{rest} from it after correction for their number."
    names = list(name[table["tied"]])
    listed = ", ".join(names[:_MOST]) + (f" and {len(names) - _MOST} more" * (len(names) > _MOST))
    told += f"{len(names)} of {len(table)} cannot be told apart ({listed})"
    tokens = table.loc[table["tied"], "tokens"]
    if tokens.nunique() < 2:  # none told, or all alike: nothing to say about them
        return told + "."
    return told + f"; of these {name[tokens.idxmin()]} takes the fewest tokens."


# --- what is kept and what is checked -------------------------------------------------------


def of_hundred(thresholds) -> pd.DataFrame:
    """Of 100 answers, how many a threshold keeps, how many of those are wrong, how many are left.

    Parameters
    ----------
    thresholds : pandas.DataFrame
        From `threshold_table`.

    Returns
    -------
    pandas.DataFrame
        Its rows with kept, wrong and checked, judged on the test half.
    """
    shares = {"kept": thresholds["test_coverage"], "wrong": thresholds["test_missed"]}
    shares["checked"] = 1 - thresholds["test_coverage"]
    return thresholds.assign(**{name: 100 * share for name, share in shares.items()})


def keep_title(row, *, errors_allowed) -> str:
    """What the threshold of one strategy does to 100 answers: a row of `of_hundred`, in words."""
    kept, wrong, checked = (round(row[name]) for name in ("kept", "wrong", "checked"))
    allowed = f"{100 * errors_allowed:.0f} % errors allowed"
    if not row["kept"]:
        return f"No answer may stand alone: with {allowed} no threshold can be certified"
    lead = "Keep half, check half" if 45 <= kept <= 55 else f"Keep {kept}, check {checked}"
    over = "more than allowed" if row["test_risk"] > errors_allowed else "as allowed"
    ending = f"{wrong or 'none'} of {kept} kept {'is' if wrong < 2 else 'are'} wrong, {over}"
    return (
        f"{lead} of 100 answers: with {allowed}, {ending}"
        if "half" not in lead
        else (f"{lead}: of 100 answers {kept} are kept, {wrong or 'none'} of them wrong, {over}")
    )


def guarantee_title(table, *, delta) -> str:
    """How often nothing is certified and the limit is exceeded: rows of `guarantee_table`."""
    few, many = (table[table["n_fit"] == n] for n in (table["n_fit"].min(), table["n_fit"].max()))
    empty = [f"{100 * (1 - part['certified'].max()):.0f} %" for part in (few, many)]
    nothing = f"With {few['n_fit'].iloc[0]} images even the best confidence certifies nothing in "
    nothing += f"{empty[0]} of draws"
    if len(few) != len(table):
        nothing += f", with {many['n_fit'].iloc[0]} in {empty[1]}"
    most = 100 * table["violated"].max()
    kept = "is kept" if (table["violated_low"] <= delta).all() else "is broken"
    told = "none" if not most else "under 1 %" if most < 0.5 else f"at most {most:.0f} %"
    return f"{nothing}; the promise {kept}: too many errors in {told}"


def pays_title(decisions, column: str) -> str:
    """Where deferring by confidence beats checking all and none, by the intervals of both.

    `decisions` holds rows of `net_benefit_table` for each kind of confidence named by a column.
    """
    won, lost = [], []
    for name, part in decisions.groupby(column, sort=False):
        pays = part[(part["net_benefit_low"] > 0) & (part["over_all_low"] > 0)]
        worth = (1 - pays["threshold"]) / pays["threshold"]  # checks that an error found is worth
        span = list(dict.fromkeys(f"{w:.0f}" if w >= 9.95 else f"{w:.2g}" for w in sorted(worth)))
        if span:
            ends = " to ".join(dict.fromkeys([span[0], span[-1]]))
            won.append(f"{ends} {'check' if ends == '1' else 'checks'} {_with(name)}")
        else:
            lost.append(_with(name))
    where = f"where an error is worth {', '.join(won)}" if won else ""
    never = f"never {' or '.join(lost)}" if lost else ""
    return f"Deferring pays {', and '.join(filter(None, [where, never]))}"


def _with(labels: str) -> str:
    return labels if labels == "as stated" else f"with {labels}"


def guarantee_shares(table) -> pd.DataFrame:
    """Rows of `guarantee_table` as shares of draws to look at, one row per share.

    Returns
    -------
    pandas.DataFrame
        strategy, n_fit, share ("nothing certified", "more errors than allowed"), value, low, high.
    """
    keys, parts = table[["strategy", "n_fit"]], []
    ends = {"value": 1 - table["certified"], "low": 1 - table["certified_high"]}
    ends["high"] = 1 - table["certified_low"]
    parts.append(keys.assign(share="nothing certified", **ends))
    ends = {"value": table["violated"], "low": table["violated_low"]}
    ends["high"] = table["violated_high"]
    parts.append(keys.assign(share="more errors than allowed", **ends))
    return pd.concat(parts, ignore_index=True)


def yield_sentence(deciding, strategy: str, column: str, *, percent: int = 10) -> str:
    """How many answers may stand alone, before and after maps: rows of `metrics_table`.

    `column` names the labels that maps were learned with; "as stated" comes first.
    """
    rows = deciding[deciding["strategy"] == strategy]
    name = f"yield_at_{percent}"
    told = [
        f"{100 * row[name]:.0f} % {_with(row[column])} (Brier score {row['brier']:.3f}, "
        f"{100 * row['confidently_wrong']:.0f} % of the errors stated at 0.9 or more)"
        for row in rows.to_dict("records")
    ]
    return (
        f"With at most {percent} % errors allowed, of the answers of {strategy} may stand alone: "
        f"{'; '.join(told)}. {100 * rows['accuracy'].iloc[0]:.0f} % are right."
    )


def shift_sentence(shift, source: str, target: str, *, errors_allowed) -> str:
    """What thresholds chosen on other images do: rows of `correct.shifted_thresholds`, in words."""
    kept = shift[shift["test_coverage"] > 0]
    if kept.empty:
        return f"On {source}, too, no threshold could be certified that keeps an answer."
    over, worst = int((kept["test_risk"] > errors_allowed).sum()), kept["test_risk"].max()
    return (
        f"Chosen on {source} for {100 * errors_allowed:.0f} % errors, {over} of {len(kept)} "
        f"thresholds let more pass on {target}; at most {100 * worst:.0f} % of the kept are wrong."
    )
