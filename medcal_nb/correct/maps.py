"""One map for every model and strategy: fitted, saved, loaded and applied together."""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from .recalibrate import (
    FITS,
    RecalibrationWarning,
    Recalibrator,
    choose_clip,
    cross_fit,
    fit_option_temperature,
    option_arrays,
    top_option,
)
from .transfer import image_labels, scorable

MAP_METHODS = (*FITS, "option_temperature")
_FORMAT = "medcal-maps/1"


def fit_maps(
    verdicts: pd.DataFrame,
    *,
    method: str = "temperature",
    by: Sequence[str] = ("model", "strategy"),
    clip: float | str = "auto",
) -> dict[tuple, Recalibrator]:
    """One map of a family for each group of verdicts.

    Parameters
    ----------
    verdicts : DataFrame
        Rows without a confidence or a grade are left out.
    method : str
        One of ``MAP_METHODS``; ``option_temperature`` needs option_probabilities and gold.
    clip : float or "auto"
        See :func:`~medcal_nb.correct.choose_clip`.

    Returns
    -------
    dict
        Values of ``by`` → map, which remembers the items (data set and id) that it saw.

    Raises
    ------
    ValueError
        On an unknown method or column, or if no row can be used.
    """
    _check(verdicts, method, by)
    rows = _usable(verdicts, method)
    if rows.empty:
        raise ValueError("no row has what the fit needs: a confidence and a grade")
    return {
        _key(key): _fit(method, part, clip)
        for key, part in rows.groupby(list(by), sort=True, observed=True)
    }


def apply_maps(
    verdicts: pd.DataFrame,
    maps: Mapping[tuple, Recalibrator],
    *,
    by: Sequence[str] = ("model", "strategy"),
) -> pd.DataFrame:
    """Correct the confidences of verdicts whose groups have a map; the others are left out.

    Returns
    -------
    DataFrame
        The rows with ``confidence`` corrected (missing stays missing), the one before as
        ``confidence_raw``, and ``strategy`` followed by ``+`` and the map's name: a corrected
        strategy is another strategy, and its raw one stays comparable.

    Raises
    ------
    ValueError
        If no group has a map, or an item was used to fit its map.
    """
    out = []
    for key, part in verdicts.groupby(list(by), sort=True, observed=True):
        if _key(key) in maps:
            fitted = maps[_key(key)]
            has = _has(part, fitted.name).to_numpy()
            moved, options = np.full(len(part), np.nan), None
            if has.any():
                moved[has], options = _apply(fitted, part[has])
            out.append(_corrected(part, moved, options, has, fitted.name))
    if not out:
        raise ValueError(f"none of the {len(maps)} maps is for these verdicts' {', '.join(by)}")
    return pd.concat(out).sort_index(kind="stable").reset_index(drop=True)


def cross_apply(
    verdicts: pd.DataFrame,
    *,
    method: str = "temperature",
    by: Sequence[str] = ("model", "strategy"),
    n_folds: int = 5,
    clip: float | str = "auto",
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Correct verdicts by maps that never saw their image: fitted and applied on the same rows.

    Returns
    -------
    DataFrame
        As from :func:`apply_maps`; ungraded rows have no corrected confidence.
    """
    _check(verdicts, method, by)
    out = []
    for _, part in verdicts.groupby(list(by), sort=True, observed=True):
        rows = _usable(part, method)
        has = part.index.isin(rows.index)
        moved, options = np.full(len(part), np.nan), None
        if has.any():
            c = choose_clip(rows["confidence"]) if clip == "auto" else clip
            folds = {"n_folds": n_folds, "rng": rng}
            if method == "option_temperature":
                p, gold, names = option_arrays(rows["option_probabilities"], rows["gold"])
                q = cross_fit(lambda a, b, c=c: fit_option_temperature(a, b, clip=c), p, gold,
                              image_labels(rows), **folds)  # fmt: skip
                moved[has], options = top_option(q)[1], _named(q, names)
            else:
                moved[has] = cross_fit(
                    lambda a, b, c=c: FITS[method](a, b, clip=c),
                    rows["confidence"].to_numpy(float), rows["correct"].to_numpy(float),
                    image_labels(rows), **folds,
                )  # fmt: skip
        out.append(_corrected(part, moved, options, has, method))
    return pd.concat(out).sort_index(kind="stable").reset_index(drop=True)


def save_maps(
    maps: Mapping[tuple, Recalibrator],
    path: str | Path,
    *,
    by: Sequence[str] = ("model", "strategy"),
    fitted_on: str = "",
) -> None:
    """Write maps as one JSON file; ``fitted_on`` says in words on which rows."""
    body = {
        "format": _FORMAT,
        "by": list(by),
        "fitted_on": fitted_on,
        "maps": [
            {"group": dict(zip(by, key, strict=True)), "map": json.loads(m.to_json())}
            for key, m in sorted(maps.items())
        ],
    }
    Path(path).write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load_maps(path: str | Path) -> tuple[dict[tuple, Recalibrator], tuple[str, ...]]:
    """Maps and the columns they are for, from a file of :func:`save_maps`.

    Raises
    ------
    ValueError
        If the file is none.
    """
    try:
        body = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a file of maps ({error})") from None
    if not isinstance(body, dict) or body.get("format") != _FORMAT:
        raise ValueError(f"{path}: not a file of maps (its format is not {_FORMAT})")
    by = tuple(body["by"])
    maps = {
        tuple(entry["group"][c] for c in by): Recalibrator.from_json(json.dumps(entry["map"]))
        for entry in body["maps"]
    }
    return maps, by


def item_keys(rows: pd.DataFrame) -> list[str]:
    """Data set and id of each row's item: what a map remembers."""
    return (rows["dataset"].astype(str) + ": " + rows["item_id"].astype(str)).tolist()


def _key(key) -> tuple:
    return tuple(key) if isinstance(key, tuple) else (key,)


def _check(verdicts, method, by):
    if method not in MAP_METHODS:
        raise ValueError(f"method: unknown {method!r}; known: {', '.join(MAP_METHODS)}")
    for column in by:
        if column not in verdicts:
            raise ValueError(f"no column {column!r} to group by")


def _has(rows, method):
    has = rows["confidence"].notna()
    if method == "option_temperature":
        if "option_probabilities" not in rows:
            return has & False
        has &= rows["option_probabilities"].map(lambda p: isinstance(p, Mapping)).astype(bool)
    return has


def _usable(rows, method):
    rows = scorable(rows)
    return rows[_has(rows, method)]


def _fit(method, rows, clip) -> Recalibrator:
    if clip == "auto":
        clip = choose_clip(rows["confidence"])
    items = item_keys(rows)
    if method == "option_temperature":
        p, gold, _ = option_arrays(rows["option_probabilities"], rows["gold"])
        return fit_option_temperature(p, gold, items=items, clip=clip)
    fit: Callable = FITS[method]
    c, y = rows["confidence"].to_numpy(float), rows["correct"].to_numpy(float)
    return fit(c, y, items=items, clip=clip)


def _apply(fitted, rows):
    items = item_keys(rows)
    if fitted.name == "option_temperature":
        p, _, names = option_arrays(rows["option_probabilities"], [None] * len(rows))
        q = fitted.apply(p, items=items)
        return top_option(q)[1], _named(q, names)
    return fitted.apply(rows["confidence"].to_numpy(float), items=items), None


def _named(q, names):
    return [
        {name: float(v) for name, v in zip(own, row, strict=False) if not np.isnan(v)}
        for own, row in zip(names, q, strict=True)
    ]


def _corrected(part, moved, options, has, name):
    out = part.assign(confidence_raw=part["confidence"], confidence=np.clip(moved, 0, 1))
    out["strategy"] = out["strategy"].astype(str) + f"+{name}"
    if options is not None:
        given = iter(options)
        out["option_probabilities"] = pd.Series(
            [next(given) if ok else None for ok in has], index=out.index, dtype=object
        )
    elif "option_probabilities" in out:
        out = out.drop(columns="option_probabilities")  # they would contradict the confidence
    return out


def warnings_of(function: Callable, *args, **kwargs):
    """The result of a call, and what it warned of as a list of texts."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RecalibrationWarning)
        result = function(*args, **kwargs)
    texts = [str(w.message) for w in caught if issubclass(w.category, RecalibrationWarning)]
    return result, list(dict.fromkeys(texts))
