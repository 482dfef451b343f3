"""Does a correction learned on one kind of images carry over to another?

A map is fitted on source answers G (general images) and used on target answers M (medical ones);
its rival is the same family fitted on M itself, cross-fitted by image. Losses, gains and the
regret of carrying over are computed for every model and strategy on the same resamples of
images, each with its fits repeated.

All tables take verdicts: one row per model, item and strategy, with ``confidence`` and
``correct``. ``source`` and ``target`` pick rows by any columns, so two data sets serve as well
as two domains: ``source={"dataset": "mmbench"}, target={"dataset": "oodcv"}``.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.special import expit

from ._logistic import logit, solve_temperature, temperature_scores
from ._resample import CHUNK, Cells, collapse, draw_groups, weighted_losses
from .recalibrate import (
    RecalibrationWarning,
    assign_folds,
    beta_features,
    choose_clip,
    fit_beta_batch,
    fit_shrunken_batch,
    fit_smoothed_batch,
    group_log_temperatures,
    option_arrays,
    temperature_likelihoods,
)

METHODS = ("temperature", "platt", "beta", "isotonic")
LOSSES = ("ece", "brier", "log_loss")
MARGINS = {"ece": 0.02, "ece_debiased": 0.02, "brier": 0.005}
"""Regret below the margin counts as carrying over."""

GENERAL, MEDICAL = {"domain": "general"}, {"domain": "medical"}


# --- picking rows -----------------------------------------------------------------------------


def select(verdicts: pd.DataFrame, where: Mapping) -> pd.DataFrame:
    """Rows whose columns have the given value, or one of the given values.

    Raises
    ------
    ValueError
        If a column is absent or no row is left.
    """
    keep = np.ones(len(verdicts), bool)
    for column, value in where.items():
        if column not in verdicts:
            raise ValueError(f"no column {column!r} to pick rows by")
        values = [value] if isinstance(value, str) or not isinstance(value, Sequence) else value
        keep &= verdicts[column].isin(list(values)).to_numpy()
    if not keep.any():
        raise ValueError(f"no rows with {', '.join(map(_said, where.items()))}")
    return verdicts[keep]


def _said(condition) -> str:
    column, value = condition
    if not isinstance(value, str) and isinstance(value, Sequence):
        value = " or ".join(map(str, value))
    return f"{column} = {value}"


def scorable(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows that have both a confidence and a grade."""
    return rows[rows["confidence"].notna() & rows["correct"].notna()]


def image_labels(rows: pd.DataFrame) -> np.ndarray:
    """The image of each row; the item where no image is known."""
    if "image_id" not in rows:
        return rows["item_id"].astype(str).to_numpy()
    return rows["image_id"].astype(object).where(rows["image_id"].notna(), rows["item_id"]).astype(
        str
    ).to_numpy()  # fmt: skip


def _pairs(verdicts, source, target, by):
    """(key, source rows, target rows) of each model and strategy that has both."""
    left, right = select(verdicts, source), select(verdicts, target)
    if shared := set(left["item_id"].astype(str) + "\0" + left["dataset"].astype(str)) & set(
        right["item_id"].astype(str) + "\0" + right["dataset"].astype(str)
    ):
        item = sorted(shared)[0].replace("\0", " of ")
        raise ValueError(
            f"{len(shared)} items are both source and target, the first {item}: "
            "a map would be scored on items that it was fitted on"
        )
    by = list(by)
    sources = dict(list(left.groupby(by, sort=True, observed=True)))
    for key, rows in right.groupby(by, sort=True, observed=True):
        if key in sources:
            yield key, sources[key], rows


def _enough(key, left, right, n_folds) -> bool:
    """Whether scorable answers allow a cross-fitted comparison; warns where they do not."""
    if len(left) >= 2 * n_folds and len(set(image_labels(right))) >= n_folds:
        return True
    warnings.warn(
        f"transfer: {' '.join(map(str, key))} has {len(left)} source and {len(right)} "
        "target answers with a confidence and a grade; left out",
        RecalibrationWarning,
        stacklevel=3,
    )
    return False


_NO_PAIR = "no model and strategy has enough answers in both source and target"


# --- maps on resamples ------------------------------------------------------------------------


@dataclass
class _Problem:
    """Source and target answers of one model and strategy, ready for many resamples."""

    source: Cells
    target: Cells
    clip: float
    n_folds: int
    source_options: tuple | None = None
    target_options: tuple | None = None

    def __post_init__(self):
        self.xs = logit(self.source.confidence, self.clip)
        self.xt = logit(self.target.confidence, self.clip)
        self.folds = [self.target.fold == k for k in range(self.n_folds)]

    @cached_property
    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """What any temperature fit needs of each source and each target cell."""
        if self.source_options is None:
            return (
                temperature_scores(self.xs, self.source.correct),
                temperature_scores(self.xt, self.target.correct),
            )
        out = []
        for z, gold in (self.source_options, self.target_options):
            scores = temperature_scores(z, np.maximum(gold, 0))
            scores[gold < 0] = 0  # the right answer is no option: no say in the temperature
            out.append(scores)
        return tuple(out)


def _problem(left, right, *, clip, n_folds, rng, options=False) -> _Problem:
    c_s, y_s = left["confidence"].to_numpy(float), left["correct"].to_numpy(float)
    c_t, y_t = right["confidence"].to_numpy(float), right["correct"].to_numpy(float)
    if clip == "auto":
        clip = choose_clip(np.concatenate([c_s, c_t]))
    images = image_labels(right)
    fold = assign_folds(images, n_folds, rng=rng)
    problem = _Problem(
        collapse(c_s, y_s, image_labels(left), keep_rows=options),
        collapse(c_t, y_t, images, fold, keep_rows=options),
        clip,
        n_folds,
    )
    if options:
        problem.source_options, problem.target_options = _option_logs(left, clip), _option_logs(
            right, clip
        )  # fmt: skip
    return problem


def _option_logs(rows, clip):
    p, gold, _ = option_arrays(rows["option_probabilities"], rows["gold"])
    return np.log(np.maximum(p / np.nansum(p, axis=1, keepdims=True), clip / p.shape[1])), gold


def _temperatures(scores, y, weights, folds=None, extra=0.0):
    """Temperatures per resample, (B,), or per resample and left-out fold, (B, folds)."""
    if folds is None:
        sums, right = weights @ scores, weights @ y
        n = weights.sum(axis=1)
    else:
        parts = [(weights[:, f] @ scores[f], weights[:, f] @ y[f]) for f in folds]
        size = np.stack([weights[:, f].sum(axis=1) for f in folds], axis=1)
        sums = np.stack([p[0] for p in parts], axis=1)
        right = np.stack([p[1] for p in parts], axis=1)
        sums = sums.sum(axis=1, keepdims=True) - sums
        right = right.sum(axis=1, keepdims=True) - right
        n = size.sum(axis=1, keepdims=True) - size
        if not np.isscalar(extra):
            sums, right, n = (s + e[:, None] for s, e in zip((sums, right, n), extra, strict=True))
    t, _ = solve_temperature(sums)
    return np.where((right == 0) | (right == n), 1.0, t)  # one class: left as it was


def _each_fold(problem, fit, weights):
    """``fit(weights)`` -> (B, d) without each fold in turn, laid out over cells: (B, cells, d)."""
    out = None
    for k, own in enumerate(problem.folds):
        kept = ~own
        theta = fit(kept, weights[:, kept])
        if out is None:
            out = np.empty((problem.n_folds, *theta.shape))
        out[k] = theta
    return out[problem.target.fold].transpose(1, 0, 2)


def _temperature_maps(problem, ws, wt, pooled):
    ss, st = problem.scores
    t_source = _temperatures(ss, problem.source.correct, ws)
    t_target = _temperatures(st, problem.target.correct, wt, problem.folds)
    x, fold = problem.xt, problem.target.fold
    maps = {"source": expit(x / t_source[:, None]), "target": expit(x / t_target[:, fold])}
    if pooled:
        extra = (ws @ ss, ws @ problem.source.correct, ws.sum(axis=1))
        t_pooled = _temperatures(st, problem.target.correct, wt, problem.folds, extra)
        maps["pooled"] = expit(x / t_pooled[:, fold])
    return maps, {"source": t_source, "target": t_target.mean(axis=1)}


def _option_maps(problem, ws, wt, pooled):
    ss, st = problem.scores
    right_s, right_t = problem.source.correct, problem.target.correct
    t_source = _temperatures(ss, right_s, ws)
    t_target = _temperatures(st, right_t, wt, problem.folds)
    z, fold = problem.target_options[0], problem.target.fold
    gap = np.where(np.isnan(z), -np.inf, z) - np.nanmax(z, axis=1, keepdims=True)

    def top(t):
        return 1 / sum(np.exp(gap[:, j] / t) for j in range(gap.shape[1]))

    maps = {"source": top(t_source[:, None]), "target": top(t_target[:, fold])}
    if pooled:
        extra = (ws @ ss, ws @ right_s, ws.sum(axis=1))
        maps["pooled"] = top(_temperatures(st, right_t, wt, problem.folds, extra)[:, fold])
    return maps, {"source": t_source, "target": t_target.mean(axis=1)}


def _linear_maps(features: Callable, fit: Callable):
    def maps(problem, ws, wt, pooled):
        fs = features(problem.source.confidence, problem.clip)
        ft = features(problem.target.confidence, problem.clip)
        ys, yt = problem.source.correct, problem.target.correct
        cross = _each_fold(problem, lambda kept, w: fit(ft[kept], yt[kept], w), wt)
        out = {
            "source": expit(fit(fs, ys, ws) @ ft.T),
            "target": expit(np.einsum("bcd,cd->bc", cross, ft)),
        }
        if pooled:
            both = _each_fold(
                problem,
                lambda kept, w: fit(
                    np.concatenate([fs, ft[kept]]),
                    np.concatenate([ys, yt[kept]]),
                    np.hstack([ws, w]),
                ),
                wt,
            )
            out["pooled"] = expit(np.einsum("bcd,cd->bc", both, ft))
        return out, {}

    return maps


def _platt_features(c, clip):
    x = logit(c, clip)
    return np.column_stack([x, np.ones_like(x)])


def _isotonic_maps(problem, ws, wt, pooled):
    ys, yt = problem.source.correct, problem.target.correct
    cs, ct = problem.source.confidence, problem.target.confidence
    maps = {name: np.empty(wt.shape) for name in ("source", "target", "pooled")[: 2 + pooled]}
    from_source = _Steps(cs, ys)
    for b in range(len(wt)):
        maps["source"][b] = from_source(ws[b], ct)
    for own in problem.folds:
        kept = ~own
        crossed = _Steps(ct[kept], yt[kept])
        for b in range(len(wt)):
            maps["target"][b, own] = crossed(wt[b, kept], ct[own])
        if pooled:
            both = _Steps(np.r_[cs, ct[kept]], np.r_[ys, yt[kept]])
            for b in range(len(wt)):
                maps["pooled"][b, own] = both(np.r_[ws[b], wt[b, kept]], ct[own])
    return maps, {}


class _Steps:
    """Isotonic regression on one set of rows, again and again with other weights."""

    def __init__(self, confidence, correct):
        self.x, self.at = np.unique(confidence, return_inverse=True)
        self.at = self.at.ravel()
        self.correct = correct

    def __call__(self, weights, new):
        from scipy.optimize import isotonic_regression

        n = np.bincount(self.at, weights, len(self.x))
        y = np.bincount(self.at, weights * self.correct, len(self.x))
        has = n > 0
        n, y, x = n[has], y[has], self.x[has]
        fit = isotonic_regression(y / n, weights=n).x
        total = n.sum()
        return np.clip(np.interp(new, x, fit), 1 / (total + 2), (total + 1) / (total + 2))


_MAKERS: dict[str, Callable] = {
    "temperature": _temperature_maps,
    "option_temperature": _option_maps,
    "platt": _linear_maps(_platt_features, fit_smoothed_batch),
    "beta": _linear_maps(beta_features, fit_beta_batch),
    "isotonic": _isotonic_maps,
}


# --- the transfer table -----------------------------------------------------------------------


@dataclass(frozen=True)
class TransferStudy:
    """The transfer table and, row by row, the resampled regret behind its intervals."""

    table: pd.DataFrame
    regret: np.ndarray  # (rows, resamples)
    level: float


def transfer_table(verdicts: pd.DataFrame, **settings) -> pd.DataFrame:
    """The table of :func:`transfer_study`, which takes the same arguments."""
    return transfer_study(verdicts, **settings).table


def transfer_study(
    verdicts: pd.DataFrame,
    *,
    source: Mapping = GENERAL,
    target: Mapping = MEDICAL,
    by: Sequence[str] = ("model", "strategy"),
    methods: Sequence[str] = METHODS,
    losses: Sequence[str] = LOSSES,
    n_bins: int = 15,
    n_folds: int = 5,
    level: float = 0.90,
    n_resamples: int = 1000,
    more_resamples: int | None = None,
    margins: Mapping[str, float] = MARGINS,
    modality: str = "modality",
    clip: float | str = "auto",
    rng: np.random.Generator,
) -> TransferStudy:
    r"""Losses on the target of maps fitted on the source, on the target, and between.

    With loss L on the target: carry-over gain = L(raw) - L(source map); refit gain =
    L(raw) - L(target map); **regret** of carrying over = L(source map) - L(target map), where
    the target map is cross-fitted by image.

    Parameters
    ----------
    verdicts : DataFrame
        Needs model, dataset, item_id, strategy, confidence, correct; uses image_id, modality;
        ``option_temperature`` also needs option_probabilities and gold.
    source, target : mappings
        Column → value or values. They must share no item.
    methods : sequence of {"temperature", "platt", "beta", "isotonic", "option_temperature"}
    losses : sequence of {"ece", "ece_debiased", "brier", "log_loss"}
        ECE over ``n_bins`` bins of equal mass. Plain ECE of a finite sample stays above zero even
        for a perfect map (``noise_floor``), so that its regret is drawn towards zero: simulated
        with 451 answers, 90 % intervals covered the true regret in 60 % of the draws for a large
        regret and 85 % for none. ``ece_debiased`` covered 88 %, the Brier score 94 %: read
        the verdict there.
    level : float
        Of the intervals. "Carries over" is an equivalence test of size (1 - level) / 2.
    n_resamples : int
        Bootstrap resamples of source images and of target images, all fits repeated in each.
        Every model sees the same resamples where the images are the same.
    more_resamples : int, optional
        How many of these, the first, also repeat the pooled, shrunken and per-modality fits, which
        take the most time; all by default.
    margins : mapping
        Loss → largest regret that still counts as carrying over.
    modality : str
        Column whose values get a temperature each, shrunk to the pooled one.
    clip : float or "auto"
        See :func:`~medcal_nb.correct.choose_clip`.

    Returns
    -------
    TransferStudy
        ``table`` has one row per model, strategy, method and loss: n_source, n_target, n_images,
        n_missing, clip; loss_raw, loss_source, loss_target, loss_pooled (fitted on both),
        loss_shrunken (from the source's map, moved by the target's labels), loss_modality
        (temperature only), each with _low and _high; carry_gain, refit_gain and regret with _low
        and _high; pooled_gain, shrunken_gain and modality_gain, L(source map) - L(that map), with
        _low and _high; regret_se;
        margin; verdict ("carries over", "does not", "undecided", or "" without a margin);
        temperature_source, temperature_target; noise_floor (ECE only).

    Raises
    ------
    ValueError
        If a selection is empty, or an item is both source and target.
    """
    unknown = [m for m in methods if m not in _MAKERS]
    if unknown:
        raise ValueError(f"methods: unknown {unknown[0]!r}; known: {', '.join(_MAKERS)}")
    seed = int(rng.integers(2**63))
    rows, regrets = [], []
    for key, left_all, right_all in _pairs(verdicts, source, target, by):
        left, right = scorable(left_all), scorable(right_all)
        names = dict(zip(by, key, strict=True))
        info = {
            "n_source": len(left),
            "n_target": len(right),
            "n_images": len(set(image_labels(right))),
            "n_missing": len(left_all) + len(right_all) - len(left) - len(right),
        }
        if not _enough(key, left, right, n_folds):
            continue
        more = n_resamples if more_resamples is None else min(more_resamples, n_resamples)
        done = _one_study(left, right, seed, methods, losses, n_bins, n_folds, n_resamples, more,
                          modality, clip)  # fmt: skip
        for method, loss, values, extra in done:
            row = {**names, "method": method, "loss": loss, **info, **extra}
            draws = {f"loss_{k}": v for k, v in values.items()} | {
                "carry_gain": values["raw"] - values["source"],
                "refit_gain": values["raw"] - values["target"],
                "regret": values["source"] - values["target"],
            }
            for k in [k for k in _MORE if k in values]:
                draws[f"{k}_gain"] = values["source"][: len(values[k])] - values[k]
            for name, d in draws.items():
                row[name], row[f"{name}_low"], row[f"{name}_high"] = interval(d, level)
            row["regret_se"] = float(np.std(draws["regret"][1:])) if n_resamples else np.nan
            row["margin"] = margins.get(loss, np.nan)
            row["verdict"] = equivalence(row["regret_low"], row["regret_high"], row["margin"])
            rows.append(row)
            regrets.append(draws["regret"])
    if not rows:
        raise ValueError(_NO_PAIR)
    return TransferStudy(pd.DataFrame(rows), np.array(regrets), level)


_MORE = ("pooled", "shrunken", "modality")


def _one_study(
    left, right, seed, methods, losses, n_bins, n_folds, n_resamples, more, modality, clip
):  # fmt: skip
    """(method, loss, losses of each map, extras) for one model and strategy."""
    for method in methods:
        options = method == "option_temperature"
        problem = _problem(left, right, clip=clip, n_folds=n_folds, options=options,
                           rng=np.random.default_rng([seed, 0]))  # fmt: skip
        scored: dict[str, list] = {}
        groups = None
        if method == "temperature" and modality in right and right[modality].notna().all():
            groups = _Grouped(problem, right, modality)

        def score(name, p, y, w, scored=scored, clip_used=problem.clip):
            losses_of = weighted_losses(p, y, w, losses, n_bins=n_bins, clip=clip_used)
            scored.setdefault(name, []).append(losses_of)

        for ws, wt, images, all_maps in _resamples(problem, n_resamples, seed, more):
            maps, temperatures = _MAKERS[method](problem, ws, wt, all_maps)
            maps = {"raw": problem.target.confidence} | maps
            if all_maps:
                maps["shrunken"] = _shrunken_map(problem, maps["source"], wt)
            if "raw" not in scored:
                extra = {f"temperature_{k}": float(v[0]) for k, v in temperatures.items()}
                extra["clip"] = problem.clip
                floor = _noise_floor(maps["target"][0], wt[0], n_bins)
            for name, p in maps.items():
                score(name, p, problem.target.correct, wt)
            if groups is not None and all_maps:
                w = groups.cells.weights(images)
                score("modality", groups(w), groups.cells.correct, w)
        for loss in losses:
            values = {k: np.concatenate([d[loss] for d in v]) for k, v in scored.items()}
            yield method, loss, values, extra | ({"noise_floor": floor} if loss == "ece" else {})


def _resamples(problem, n_resamples, seed, more=0):
    """(source weights, target weights, target images, one of the first?), in pieces for memory.

    The sample itself comes first; it and the first ``more`` resamples are marked. Groups are in
    the order of their names, so equal sets of images get equal resamples.
    """
    rng_s, rng_t = (np.random.default_rng([seed, k]) for k in (1, 2))

    def weights(groups_s, groups_t, marked):
        return (
            problem.source.weights(groups_s),
            problem.target.weights(groups_t),
            groups_t,
            marked,
        )

    n_s, n_t = problem.source.n_groups, problem.target.n_groups
    yield weights(np.ones((1, n_s)), np.ones((1, n_t)), True)
    step = max(1, CHUNK // max(len(problem.xs), len(problem.xt)))
    first = 0
    while first < n_resamples:
        n = min(step, (more if first < more else n_resamples) - first)
        yield weights(draw_groups(n_s, n, rng_s), draw_groups(n_t, n, rng_t), first < more)
        first += n


def _shrunken_map(problem, p_source, wt):
    """The cross-fitted map that starts at the source map, once per resample."""
    x, y = logit(p_source, problem.clip), problem.target.correct
    one = len(wt) == 1
    theta = _each_fold(
        problem,
        lambda kept, w: fit_shrunken_batch(x[0][kept] if one else x[:, kept], y[kept], w)[0],
        wt,
    )
    return expit(theta[..., 0] * x + theta[..., 1])


class _Grouped:
    """Shrunken temperatures of groups (modalities), cross-fitted, on many resamples."""

    def __init__(self, problem, rows, column):
        names, code = np.unique(rows[column].astype(str), return_inverse=True)
        cell, n_folds = problem.target.cell, problem.n_folds
        c, y, fold = (
            values[cell]
            for values in (problem.target.confidence, problem.target.correct, problem.target.fold)
        )
        self.cells = collapse(c, y, image_labels(rows), fold + n_folds * code)
        self.n_folds, self.n_groups = n_folds, len(names)
        self.group, self.fold = np.divmod(self.cells.fold, n_folds)
        self.x = logit(self.cells.confidence, problem.clip)
        self.rows = temperature_likelihoods(np.where(self.cells.correct > 0, self.x, -self.x))

    def __call__(self, weights):
        """Confidences, (B, cells), from counts of cells."""
        parts = np.zeros((self.n_folds, len(weights), self.n_groups, self.rows.shape[1]))
        for k in range(self.n_folds):
            for g in range(self.n_groups):
                at = (self.fold == k) & (self.group == g)
                parts[k, :, g] = weights[:, at] @ self.rows[at]
        whole, out = parts.sum(axis=0), np.empty(weights.shape)
        for k in range(self.n_folds):
            own = self.fold == k
            t = np.exp(group_log_temperatures(whole - parts[k])[0])
            right = weights[:, ~own] @ self.cells.correct[~own]
            t[(right == 0) | (right == weights[:, ~own].sum(axis=1))] = 1.0  # one class
            out[:, own] = expit(self.x[own] / t[:, self.group[own]])
        return out


def _noise_floor(p, w, n_bins: int) -> float:
    r"""Expected plain ECE of confidences p that are exactly right.

    Each bin's gap is then near normal with variance :math:`\sum p (1 - p) / n_b^2`.
    """
    order = np.argsort(p, kind="stable")
    n, v = np.cumsum(w[order]), np.cumsum((w * p * (1 - p))[order])
    total = n[-1]
    at = np.searchsorted(n, np.ceil(np.arange(1, n_bins + 1) * total / n_bins - 1e-9))
    return float(np.sqrt(np.diff(v[at], prepend=0) * 2 / np.pi).sum() / total)


def interval(draws: np.ndarray, level: float) -> tuple[float, float, float]:
    """Estimate and interval from the estimate (first) and its resamples (the rest).

    Percentiles of the resamples, moved so that their mean is the estimate: resampling adds to a
    binned ECE what sampling had added before.
    """
    estimate, rest = float(draws[0]), draws[1:]
    if not len(rest):
        return estimate, np.nan, np.nan
    low, high = np.quantile(rest, [(1 - level) / 2, (1 + level) / 2]) - rest.mean() + estimate
    return estimate, float(low), float(high)


def equivalence(low: float, high: float, margin: float) -> str:
    """ "carries over" if the interval lies below the margin, "does not" if above."""
    if not np.isfinite(margin) or not np.isfinite(low):
        return ""
    if high < margin:
        return "carries over"
    return "does not" if low > margin else "undecided"


# --- what the gap is made of ------------------------------------------------------------------


def gap_table(
    verdicts: pd.DataFrame,
    *,
    source: Mapping = GENERAL,
    target: Mapping = MEDICAL,
    by: Sequence[str] = ("model", "strategy"),
    losses: Sequence[str] = LOSSES,
    n_bins: int = 15,
    n_folds: int = 5,
    level: float = 0.90,
    n_resamples: int = 1000,
    clip: float | str = "auto",
    rng: np.random.Generator,
) -> pd.DataFrame:
    r"""What the loss of a carried-over map is made of, part by part.

    With T a temperature, P Platt, P + b Platt of the source with only its intercept refitted, I
    isotonic, all target fits cross-fitted by image:

    - ``scale``: L(T source) - L(T target), what another temperature mends;
    - ``shape``: L(T target) - L(I target), what no temperature mends;
    - ``prior``: L(P source) - L(P source + b), a shift of accuracy at equal confidence order;
    - ``conditional``: L(P source + b) - L(P target), what asks for another slope as well.

    Returns
    -------
    DataFrame
        One row per model, strategy, loss and part: value, low, high.

    Raises
    ------
    ValueError
        If no model and strategy has enough answers in both; one that has not is left out with a
        warning.
    """
    seed, rows = int(rng.integers(2**63)), []
    for key, left, right in _pairs(verdicts, source, target, by):
        left, right = scorable(left), scorable(right)
        if not _enough(key, left, right, n_folds):
            continue
        problem = _problem(left, right, clip=clip, n_folds=n_folds,
                           rng=np.random.default_rng([seed, 0]))  # fmt: skip
        y, pieces = problem.target.correct, []
        for ws, wt, *_ in _resamples(problem, n_resamples, seed):
            t, _ = _temperature_maps(problem, ws, wt, False)
            platt, _ = _MAKERS["platt"](problem, ws, wt, False)
            maps = {
                "T source": t["source"],
                "T target": t["target"],
                "P source": platt["source"],
                "P moved": _moved(problem, platt["source"], wt),
                "P target": platt["target"],
                "I target": _isotonic_maps(problem, ws, wt, False)[0]["target"],
            }
            pieces.append(
                {
                    k: weighted_losses(p, y, wt, losses, n_bins=n_bins, clip=problem.clip)
                    for k, p in maps.items()
                }
            )
        for loss in losses:
            v = {k: np.concatenate([d[k][loss] for d in pieces]) for k in pieces[0]}
            for part, (a, b) in _PARTS.items():
                estimate, low, high = interval(v[a] - v[b], level)
                rows.append(
                    dict(zip(by, key, strict=True))
                    | {"loss": loss, "part": part, "value": estimate, "low": low, "high": high}
                )
    if not rows:
        raise ValueError(_NO_PAIR)
    return pd.DataFrame(rows)


_PARTS = {
    "scale": ("T source", "T target"),
    "shape": ("T target", "I target"),
    "prior": ("P source", "P moved"),
    "conditional": ("P moved", "P target"),
}


def _moved(problem, p_source, wt):
    """The source map with its intercept refitted on the target, cross-fitted."""
    x = logit(p_source, 1e-12)
    y, one = problem.target.correct, np.ones((x.shape[1], 1))
    b = _each_fold(
        problem,
        lambda kept, w: fit_smoothed_batch(one[kept], y[kept], w, offset=x[:, kept]),
        wt,
    )
    return expit(x + b[..., 0])


# --- from one modality to another -------------------------------------------------------------


def modality_matrix(
    verdicts: pd.DataFrame,
    *,
    column: str = "modality",
    sources: Mapping[str, Mapping] | None = None,
    where: Mapping = MEDICAL,
    by: Sequence[str] = ("model", "strategy"),
    method: str = "temperature",
    losses: Sequence[str] = ("brier",),
    n_bins: int = 15,
    n_folds: int = 5,
    level: float = 0.90,
    n_resamples: int = 300,
    clip: float | str = "auto",
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Fit on one modality, use on another: the loss for every pair.

    Parameters
    ----------
    column : str
        Whose values are crossed, among the rows picked by ``where``.
    sources : mapping, optional
        More rows to fit on, by name: ``{"general": {"domain": "general"}}``.

    Returns
    -------
    DataFrame
        One row per model, strategy, loss, ``fitted_on`` and ``applied_to``: n_fit, n_applied,
        loss_raw, value, gain (raw - value) with low and high. Where the two are the same, the fit
        is cross-fitted by image. Modalities of fewer than ``n_folds`` images are left out.
    """
    seed, rows = int(rng.integers(2**63)), []
    inside = scorable(select(verdicts, where))
    more = {name: scorable(select(verdicts, w)) for name, w in (sources or {}).items()}
    for key, own in inside.groupby(list(by), sort=True, observed=True):
        parts = {
            str(m): r
            for m, r in own.groupby(column, sort=True, observed=True)
            if len(set(image_labels(r))) >= n_folds
        }
        fits = {}
        for name, extra in more.items():
            same = extra[(extra[list(by)] == list(key)).all(axis=1)]
            if len(same):
                fits[name] = same
        fits |= parts
        for applied, right in parts.items():
            for fitted, left in fits.items():
                problem = _problem(left, right, clip=clip, n_folds=n_folds,
                                   rng=np.random.default_rng([seed, 0]))  # fmt: skip
                y, pieces = problem.target.correct, []
                for ws, wt, *_ in _resamples(problem, n_resamples, seed):
                    maps, _ = _MAKERS[method](problem, ws, wt, False)
                    p = maps["target" if applied == fitted else "source"]
                    pieces.append(
                        [
                            weighted_losses(q, y, wt, losses, n_bins=n_bins, clip=problem.clip)
                            for q in (problem.target.confidence, p)
                        ]
                    )
                for loss in losses:
                    raw, value = (np.concatenate([d[i][loss] for d in pieces]) for i in (0, 1))
                    gain, low, high = interval(raw - value, level)
                    rows.append(
                        dict(zip(by, key, strict=True))
                        | {"method": method, "loss": loss, "fitted_on": fitted,
                           "applied_to": applied, "n_fit": len(left), "n_applied": len(right),
                           "loss_raw": raw[0], "value": value[0], "gain": gain,
                           "gain_low": low, "gain_high": high}
                    )  # fmt: skip
    return pd.DataFrame(rows)


# --- how many labels --------------------------------------------------------------------------


def _fit_apply(method, c, y, weights, clip):
    """Confidences (B, cells) of a family fitted on each row of weights of the cells themselves."""
    if method == "temperature":
        x = logit(c, clip)
        return expit(x / _temperatures(temperature_scores(x, y), y, weights)[:, None])
    if method == "platt":
        f = _platt_features(c, clip)
        return expit(fit_smoothed_batch(f, y, weights) @ f.T)
    if method == "beta":
        f = beta_features(c, clip)
        return expit(fit_beta_batch(f, y, weights) @ f.T)
    steps = _Steps(c, y)
    return np.stack([steps(w, c) for w in weights])


@dataclass(frozen=True)
class LabelStudy:
    """The label-efficiency table and, row by row, the resampled medians behind its intervals."""

    table: pd.DataFrame
    medians: np.ndarray  # (rows, resamples)
    level: float


def label_efficiency_table(verdicts: pd.DataFrame, **settings) -> pd.DataFrame:
    """The table of :func:`label_efficiency_study`, which takes the same arguments."""
    return label_efficiency_study(verdicts, **settings).table


def label_efficiency_study(
    verdicts: pd.DataFrame,
    *,
    source: Mapping = GENERAL,
    target: Mapping = MEDICAL,
    judged: Mapping | None = None,
    by: Sequence[str] = ("model", "strategy"),
    method: str = "platt",
    sizes: Sequence[int] = (10, 20, 50, 100, 200, 400, 1000),
    n_draws: int = 200,
    holdout: float = 0.5,
    losses: Sequence[str] = LOSSES,
    n_bins: int = 15,
    level: float = 0.90,
    n_resamples: int = 0,
    clip: float | str = "auto",
    rng: np.random.Generator,
) -> LabelStudy:
    """Loss on the target against the number of target labels that the fit may use.

    In each draw the labels come from images drawn at random until n answers are reached, and are
    never scored on. Scored are the rows ``judged``, the same in every draw; without them a share
    ``holdout`` of the target's images, set aside anew in each draw and the same number of them at
    every size, so that a binned ECE means the same throughout.

    Parameters
    ----------
    target : mapping
        Rows that labels are drawn from. The fewer there are beside n, the more the draws share,
        and the narrower the band than that of n new labels.
    judged : mapping, optional
        Rows to score on; they may share no image with ``target``.
    n_resamples : int
        Resamples behind the intervals of :func:`labels_needed`: judged images drawn again, and up
        to 60 of the draws. The source's map is taken as it is.

    Returns
    -------
    LabelStudy
        ``table`` has one row per model, strategy, loss, n and ``map``: ``raw``, ``source`` (carried
        over), ``target`` (refitted on n labels), ``shrunken`` (from the source map, moved by n
        labels); median over draws, with low and high of their ``level`` band. Sizes for which the
        images do not suffice are absent. See :func:`labels_needed`.

    Raises
    ------
    ValueError
        If ``holdout`` is not in (0, 1), no size is within reach, or an image is both in ``target``
        and ``judged``.
    """
    if not 0 < holdout < 1:
        raise ValueError(f"holdout: expected a share in (0, 1), got {holdout}")
    if method not in METHODS:
        raise ValueError(f"method: unknown {method!r}; known: {', '.join(METHODS)}")
    seed, rows, medians = int(rng.integers(2**63)), [], []
    tail = [(1 - level) / 2, (1 + level) / 2]
    more = None if judged is None else scorable(select(verdicts, judged))
    for key, left, right in _pairs(verdicts, source, target, by):
        left, right = scorable(left), scorable(right)
        if not _enough(key, left, right, 1):
            continue
        held = None
        if more is not None:
            held = more[(more[list(by)] == list(key)).all(axis=1)]
            if shared := set(image_labels(held)) & set(image_labels(right)):
                raise ValueError(
                    f"{len(shared)} images are both in target and judged, the first "
                    f"{sorted(shared)[0]}: a map would be scored on images that it was fitted on"
                )
        draws = _LabelDraws(left, right, held, method, n_draws, holdout, clip, seed)
        n_images = draws.image.max() + 1
        again = draw_groups(n_images, n_resamples, np.random.default_rng([seed, 1]))
        picked = np.random.default_rng([seed, 2]).integers(
            n_draws, size=(n_resamples, min(n_draws, 60))
        )
        known = {}
        for n, maps in draws.maps(sizes):
            for name, p in maps.items():
                if p.ndim == 2 or name not in known:  # the others are the same at every n
                    known[name] = (
                        draws.score(p, losses, n_bins),
                        [
                            draws.score(p, losses, n_bins, only=d, images=w)
                            for d, w in zip(picked, again, strict=True)
                        ],
                    )
                scored, resampled = known[name]
                for loss, v in scored.items():
                    low, high = np.quantile(v, tail)
                    rows.append(
                        dict(zip(by, key, strict=True))
                        | {"method": method, "loss": loss, "n": n, "map": name}
                        | {"median": np.median(v), "low": low, "high": high}
                    )
                    medians.append([np.median(r[loss]) for r in resampled])
    if not rows:
        raise ValueError(
            f"sizes: no source, or the target has too few labelled images for {min(sizes)} labels"
        )
    return LabelStudy(pd.DataFrame(rows), np.array(medians), level)


class _LabelDraws:
    """Draws of labels for one model and strategy: which answers teach, which are scored."""

    def __init__(self, left, right, held, method, n_draws, holdout, clip, seed):
        both = right if held is None else pd.concat([right, held])
        c_s, y_s = left["confidence"].to_numpy(float), left["correct"].to_numpy(float)
        c_t, y_t = both["confidence"].to_numpy(float), both["correct"].to_numpy(float)
        self.method = method
        self.clip = choose_clip(np.r_[c_s, c_t]) if clip == "auto" else clip
        self.cells = collapse(c_t, y_t, [f"{i:09d}" for i in range(len(c_t))])
        c, y = self.cells.confidence, self.cells.correct
        once = np.r_[np.ones(len(c_s)), np.zeros(len(c))][None]
        self.carried = _fit_apply(method, np.r_[c_s, c], np.r_[y_s, y], once, self.clip)[
            0, len(c_s) :
        ]
        self.image = np.unique(image_labels(both), return_inverse=True)[1]
        rng = np.random.default_rng(seed)
        if held is None:
            self.hold, self.order = _draws(image_labels(right), n_draws, holdout, rng)
        else:  # one row of scored answers serves all draws
            _, order = _draws(image_labels(right), n_draws, 0.0, rng)
            self.hold = np.r_[np.zeros(len(right)), np.ones(len(held))][None]
            self.order = np.hstack([order, np.full((n_draws, len(held)), np.inf)])
        self.weights = self.cells.weights(self.hold)

    def maps(self, sizes):
        """(n, {name: confidences of cells}) for each size within reach."""
        c, y, x = self.cells.confidence, self.cells.correct, logit(self.carried, self.clip)
        for n in sizes:
            if (self.order < np.inf).sum(axis=1).min() < n:
                continue
            w = self.cells.weights((self.order < n).astype(float))
            theta = fit_shrunken_batch(x, y, w)[0]
            yield (
                n,
                {
                    "raw": c,
                    "source": self.carried,
                    "target": _fit_apply(self.method, c, y, w, self.clip),
                    "shrunken": expit(theta[:, :1] * x + theta[:, 1:]),
                },
            )

    def score(self, p, losses, n_bins, *, only=None, images=None):
        """Losses of each draw, or of some draws with the images counted anew."""
        w, size = self.weights, len(self.order)
        if images is not None:
            held = self.hold if len(self.hold) == 1 else self.hold[only]
            w, size = self.cells.weights(held * images[self.image]), len(only)
            p = p if p.ndim == 1 else p[only]
        if p.ndim == 2 and len(w) == 1:
            w = np.broadcast_to(w, (size, w.shape[1]))
        found = weighted_losses(p, self.cells.correct, w, losses, n_bins=n_bins, clip=self.clip)
        return {name: np.broadcast_to(values, size) for name, values in found.items()}


def _draws(images, n_draws, holdout, rng):
    """Held-out rows (draws, n), and each other row's place in its draw's order of labels."""
    names, code = np.unique(images, return_inverse=True)
    n_hold = max(1, round(holdout * len(names))) if holdout else 0
    hold, order = np.zeros((n_draws, len(code))), np.full((n_draws, len(code)), np.inf)
    for d in range(n_draws):
        place = np.empty(len(names), int)
        place[rng.permutation(len(names))] = np.arange(len(names))
        row_place = place[code]
        hold[d] = row_place < n_hold
        free = np.flatnonzero(row_place >= n_hold)
        order[d, free[np.argsort(row_place[free], kind="stable")]] = np.arange(len(free))
    return hold, order


def labels_needed(study: LabelStudy | pd.DataFrame) -> pd.DataFrame:
    """How many labels until refitting pays, and until shrinkage stops to.

    Parameters
    ----------
    study : LabelStudy or DataFrame
        From :func:`label_efficiency_study`; its table alone gives the numbers without intervals.

    Returns
    -------
    DataFrame
        One row per model, strategy, method and loss: ``n_star``, the smallest n from which on the
        refitted map's median loss lies below the carried-over map's at every larger n; and
        ``n_shrink_from`` and ``n_shrink``, the first and the last n of the longest run of sizes
        tried at which the shrunken map's lies below the refitted one's. NaN where there is none
        among the sizes tried. ``_low`` and ``_high`` are quantiles of the same numbers over the
        resamples: infinite where refitting did not pay up to ``n_max``, 0 where shrinkage helped
        at no size, NaN without resamples. ``n_shrink_also`` names the sizes outside the run at
        which shrinkage helps; ``n_min`` and ``n_max`` are the smallest and the largest size.
    """
    if isinstance(study, pd.DataFrame):
        study = LabelStudy(study, np.empty((len(study), 0)), np.nan)
    table, tail = study.table, [(1 - study.level) / 2, (1 + study.level) / 2]
    keys = [k for k in table.columns if k not in ("n", "map", "median", "low", "high")]
    rows = []
    for key, part in table.groupby(keys, sort=True, observed=True):
        n = np.sort(part["n"].unique())
        curves = {}
        for name, one in part.groupby("map"):
            at = table.index.get_indexer(one.sort_values("n").index)
            own = one.sort_values("n")["median"].to_numpy()
            curves[name] = np.column_stack([own, study.medians[at]])
        better = curves["target"] < curves["source"]
        stays = np.logical_and.accumulate(better[::-1], axis=0)[::-1]
        star = np.where(stays.any(axis=0), n[stays.argmax(axis=0)], np.inf)
        helps = curves["shrunken"] < curves["target"]
        first, last = (n[at] * helps.any(axis=0) for at in _longest_run(helps))
        row = dict(zip(keys, key, strict=True))
        row["n_star"] = star[0] if np.isfinite(star[0]) else np.nan
        row["n_shrink_from"], row["n_shrink"] = (v[0] if v[0] else np.nan for v in (first, last))
        for name, draws in (("n_star", star), ("n_shrink_from", first), ("n_shrink", last)):
            draws, ends = draws[1:], [np.nan] * 2
            if len(draws):  # no steps in between: an end is a size that was tried
                ends = [np.quantile(draws, q, method="inverted_cdf") for q in tail]
            row[f"{name}_low"], row[f"{name}_high"] = map(float, ends)
        outside = helps[:, 0] & ((n < first[0]) | (n > last[0]))
        row["n_shrink_also"] = ", ".join(f"{size:,}" for size in n[outside])
        rows.append(row | {"n_min": int(n[0]), "n_max": int(n[-1])})
    return pd.DataFrame(rows)


def _longest_run(holds) -> tuple[np.ndarray, np.ndarray]:
    """First and last row of each column's longest run of True, of equal ones the first."""
    length = np.zeros(holds.shape, int)
    for k, row in enumerate(holds):
        length[k] = np.where(row, 1 + (length[k - 1] if k else 0), 0)
    last = length.argmax(axis=0)
    return last - np.maximum(length.max(axis=0), 1) + 1, last


def labels_sentence(
    needed: pd.DataFrame,
    *,
    loss: str = "brier",
    level: float = 0.90,
    target: str = "medical images",
) -> str:
    """How many labels until refitting pays, as sentences computed from :func:`labels_needed`.

    Raises
    ------
    ValueError
        If the table has no row of that loss, or several.
    """
    part = needed[needed["loss"] == loss]
    if len(part) != 1:
        raise ValueError(f"needed: {len(part)} rows of loss {loss!r}, not one")
    row = part.iloc[0]
    name, least, most = _LOSS_NAMES.get(loss, loss), row["n_min"], row["n_max"]

    def said(value, beyond=""):
        if not 0 < value < np.inf:
            return beyond
        # no smaller and no larger number was tried
        words = {least: f"{least:,} or fewer", most: beyond or f"{most:,}"}
        return words.get(value, f"{value:,.0f}")

    def band(which, beyond=""):
        low, high = row[f"{which}_low"], row[f"{which}_high"]
        if np.isnan(low):
            return ""
        ends = [said(v, beyond) if 0 < v < np.inf else "none" if v == 0 else f"more than {most:,}"
                for v in (low, high)]  # fmt: skip
        return f" ({level:.0%} interval: {' to '.join(dict.fromkeys(ends))})"

    up_to = f"at least {most:,}"
    pays = f"not at up to {most:,} labels"
    if not np.isnan(row["n_star"]):
        pays = f"from {said(row['n_star'])} labels on"
    stops = "at no number of labels" + band("n_shrink", up_to)
    if not np.isnan(row["n_shrink"]):
        stops = (
            f"from {said(row['n_shrink_from'])}{band('n_shrink_from')} to "
            f"{said(row['n_shrink'], up_to)} labels{band('n_shrink', up_to)}"
        )
        if row["n_shrink_also"]:
            stops += f", and also at {row['n_shrink_also']}, but not in between"
    return (
        f"On {target}, refitting has a lower {name} than carrying over {pays}{band('n_star')}; "
        f"starting from the carried-over map and moving it with the labels beats refitting {stops}"
        f". Numbers of labels tried: from {least:,} to {most:,}."
    )


# --- over models and strategies ---------------------------------------------------------------


def transfer_summary(study: TransferStudy) -> pd.DataFrame:
    r"""Regret over all models and strategies, none left out.

    The mean's interval comes from the resamples that all rows share, so that models asked about
    the same images are not counted as independent. The spread between rows, :math:`\tau`, is
    DerSimonian and Laird's; the prediction interval is for one more model and strategy.

    Returns
    -------
    DataFrame
        One row per method and loss: rows, mean, mean_low, mean_high, random_effects (the mean
        weighted by precision and spread), tau, i_squared, predicted_low, predicted_high, and how
        many rows carry over, do not, or are undecided.

    References
    ----------
    DerSimonian and Laird, Control. Clin. Trials 7, 1986, doi 10.1016/0197-2456(86)90046-2;
    Higgins, Thompson and Spiegelhalter, JRSS A 172, 2009, doi 10.1111/j.1467-985X.2008.00552.x.
    """
    from scipy.stats import t as student

    out = []
    for (method, loss), part in study.table.groupby(["method", "loss"], sort=False):
        at = part.index.to_numpy()
        value, variance = part["regret"].to_numpy(), part["regret_se"].to_numpy() ** 2
        mean, low, high = interval(study.regret[at].mean(axis=0), study.level)
        k = len(part)
        row = {"method": method, "loss": loss, "rows": k, "mean": mean,
               "mean_low": low, "mean_high": high}  # fmt: skip
        variance = np.maximum(variance, 1e-12)
        w = 1 / variance
        fixed = (w * value).sum() / w.sum()
        q = (w * (value - fixed) ** 2).sum()
        spread = w.sum() - (w**2).sum() / w.sum()
        tau2 = max(0.0, (q - (k - 1)) / spread) if k > 1 and np.isfinite(q) else 0.0
        w = 1 / (variance + tau2)
        random = (w * value).sum() / w.sum()
        reach = np.nan
        if k > 2:
            reach = student.ppf((1 + study.level) / 2, k - 2) * np.sqrt(tau2 + 1 / w.sum())
        row |= {"random_effects": random, "tau": np.sqrt(tau2),
                "i_squared": max(0.0, 1 - (k - 1) / q) if k > 1 and q > 0 else 0.0,
                "predicted_low": random - reach, "predicted_high": random + reach}  # fmt: skip
        for name, verdict in (("carries_over", "carries over"), ("does_not", "does not"),
                              ("undecided", "undecided")):  # fmt: skip
            row[name] = int((part["verdict"] == verdict).sum())
        out.append(row)
    return pd.DataFrame(out)


_LOSS_NAMES = {
    "ece": "ECE",
    "ece_debiased": "debiased ECE",
    "brier": "Brier score",
    "log_loss": "log loss",
}


def transfer_sentence(
    table: pd.DataFrame,
    *,
    method: str = "temperature",
    loss: str = "brier",
    source: str = "general images",
    target: str = "medical images",
) -> str:
    """The verdict on carrying over, as a sentence computed from a transfer table.

    Raises
    ------
    ValueError
        If the table has no row of that method and loss.
    """
    part = table[(table["method"] == method) & (table["loss"] == loss)]
    if part.empty:
        raise ValueError(f"no rows with method {method!r} and loss {loss!r}")
    n, name = len(part), _LOSS_NAMES.get(loss, loss)
    said = "Platt scaling" if method == "platt" else method.replace("_", " ")
    helps = int((part["carry_gain_low"] > 0).sum())
    harms = int((part["carry_gain_high"] < 0).sum())
    regret = part["regret"]
    text = (
        f"Fitted on {source} and used on {target}, {said} lowers the {name} "
        f"for {helps} of {n} model and strategy pairs and raises it for {harms} "
        f"(the others' intervals hold zero)"
    )
    margin = part["margin"].iloc[0]
    if np.isfinite(margin):
        count = part["verdict"].value_counts()
        text += (
            f"; against refitting it carries over within {margin:g} for "
            f"{count.get('carries over', 0)}, does not for {count.get('does not', 0)}, and is "
            f"undecided for {count.get('undecided', 0)}"
        )
    return (
        text + f"; its regret has median {regret.median():.4f}, "
        f"from {regret.min():.4f} to {regret.max():.4f}."
    )
