"""The numbers behind ``medcal score``: few columns of many answers, group by group."""

METRICS = ("accuracy", "mean_confidence", "ece", "brier", "log_loss", "auroc", "aurc")


def score_answers(
    path,
    *,
    by=("model", "dataset", "strategy"),
    n_bins=15,
    binning="width",
    closed="right",
    level=0.95,
    n_resamples=1000,
    seed=0,
    progress=False,
):
    """Metrics of each group of graded answers in a log or a table of answers.

    Intervals resample images where every answer of the group names its image, else items where
    a group holds an item more than once (several models or strategies), else rows. Every group
    starts from the same seed: its row does not depend on which other groups there are.

    Parameters
    ----------
    path : path
        A log, or a table that `load_answers` reads.
    by : sequence of str
        Columns, of ours or not.
    n_bins, binning, level, n_resamples
        As in `measure.metrics_table`.
    closed : {"right", "left"}
        Bins (lo, hi], or [lo, hi) as some published numbers have them.
    seed : int
    progress : bool
        Show a bar on stderr.

    Returns
    -------
    table : DataFrame
        One row per group: `by`, n, n_missing and `METRICS`, the ECE and the Brier score with
        their intervals. n counts answers with a confidence and a grade; where no answer of a
        group has a confidence, accuracy is that of the graded ones.
    reasons : list of str
        Why a number is NaN, or less than it seems.
    """
    import numpy as np
    import pandas as pd
    from tqdm.auto import tqdm

    from medcal_nb.errors import MedcalError

    by = list(by)
    columns, labels, codes = _gather(_blocks(path, by), by)
    if len(codes) == 0:
        raise MedcalError(f"{path}: no answers; nothing to score")
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(len(labels) + 1))
    ranks = sorted(range(len(labels)), key=lambda g: [_rank(v) for v in labels[g]])
    how = {"n_bins": n_bins, "binning": binning, "level": level}
    reasons, parts = [], []
    hidden = not progress or len(ranks) < 2 or None
    for g in tqdm(ranks, desc="score", unit="group", leave=False, disable=hidden):
        rows = order[starts[g] : starts[g + 1]]
        frame = _sorted(pd.DataFrame({name: array[rows] for name, array in columns.items()}))
        row, told = _row(frame, closed, seed, n_resamples, how)
        name = ", ".join(f"{k}={v}" for k, v in zip(by, labels[g], strict=True)) or "all"
        reasons += [f"{name}: {reason}" for reason in told]
        for at, (column, value) in enumerate(zip(by, labels[g], strict=True)):
            row.insert(at, column, value)
        parts.append(row)
    return pd.concat(parts, ignore_index=True), list(dict.fromkeys(reasons))


def _row(frame, closed, seed, n_resamples, how):
    """The metrics of one group, and what has to be said of them."""
    import warnings

    import numpy as np

    from medcal_nb import measure

    unit = next((c for c in ("image_id", "item_id") if c in frame and (frame[c] != 0).all()), None)
    given = frame["confidence"].notna() & frame["correct"].notna()
    options = how | {"by": (), "n_resamples": n_resamples, "groups": unit, "metrics": METRICS}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rng = np.random.default_rng(seed)
        row = measure.metrics_table(frame, **options, intervals=("brier",), rng=rng)
        if given.any():
            # ECE with bins [lo, hi) is ECE with bins (lo, hi] of the mirrored pair
            pair = frame.loc[given, ["confidence", "correct"]].to_numpy(float).T
            pair = pair if closed == "right" else 1 - pair
            groups = None if unit is None else frame.loc[given, unit].to_numpy()
            for column, value in _ece(pair, groups, rng, how).items():
                if column not in row:
                    row.insert(row.columns.get_loc("brier"), column, value)
                row[column] = value
    told = [str(w.message).removeprefix("all: ") for w in caught]
    graded = frame["correct"].dropna()
    if not len(graded):
        told.append("no answer is graded: `medcal import` grades an answer against its gold")
    elif frame["confidence"].isna().all():
        row["accuracy"] = graded.mean()
        told.append(
            f"no answer has a confidence; accuracy is that of the {len(graded)} graded of "
            f"{len(frame)} answers, all else is NaN"
        )
    elif not given.any():
        told.append("no answer has both a confidence and a grade; all is NaN")
    elif not given.all():
        told.append(
            f"{(~given).sum()} of {len(frame)} answers have no confidence or no grade and are "
            "left out"
        )
    return row, told


def _ece(pair, groups, rng, how):
    """The ECE with an interval that holds its level, where the room of metrics has one."""
    from medcal_nb import measure

    bins = {"n_bins": how["n_bins"], "binning": how["binning"]}
    interval = getattr(measure, "ece_interval", None)
    if interval is None or pair.shape[1] < 2:
        return {"ece": measure.ece(*pair, **bins)}
    low, estimate, high = interval(*pair, **bins, level=how["level"], groups=groups, rng=rng)
    return {"ece": estimate, "ece_low": low, "ece_high": high}


def _rank(value):
    """Numbers, then texts, then what is missing."""
    return value is None, isinstance(value, str), "" if value is None else value


def _sorted(frame):
    """Rows in an order of their own: equal answers give equal draws, however they were stored."""
    import numpy as np

    order = np.lexsort([frame[name].to_numpy() for name in reversed(frame.columns)])
    return frame.take(order).reset_index(drop=True)


def _blocks(path, by):
    """Frames of graded answers with what scoring needs."""
    from medcal_nb.answers import ANSWER_COLUMNS, AnswerLog, is_log
    from medcal_nb.ask.graded import to_graded

    if not is_log(path):
        answers = _table(path)
        _check_by(path, by, list(answers.columns))
        single = answers.groupby("strategy")["sample"].transform("max") == 0
        yield answers[single]
        if not single.all():
            yield to_graded(answers[~single])
        return
    needed = [*by, "confidence", "correct", "dataset", "image_id"]
    needed += [] if {"model", "strategy"} <= set(by) else ["item_id"]
    with AnswerLog(path, read_only=True) as log:
        _check_by(path, by, [*ANSWER_COLUMNS, *log.extra_columns()])
        strategies = log.samples()
        single = [name for name, last in strategies.items() if last == 0]
        if single:
            yield from log.iter_frames(dict.fromkeys(needed), ordered=False, strategy=single)
        if len(single) < len(strategies):
            several = [name for name in strategies if name not in single]
            yield to_graded(log.read(strategy=several))


def _table(path):
    from medcal_nb.answers import load_answers
    from medcal_nb.errors import MedcalError

    try:
        return load_answers(path)
    except MedcalError as error:
        if "no column" not in str(error):
            raise
        raise MedcalError(
            f"{error}; a table with other names comes in first: "
            f"`medcal import {path} --to answers.sqlite`"
        ) from None


def _check_by(path, by, names):
    from medcal_nb.errors import MedcalError

    for name in by:
        if name not in names:
            raise MedcalError(f"{path}: no column '{name}' (--by); columns are {', '.join(names)}")


def _gather(frames, by):
    """Arrays for measuring, the labels of the groups, and the group of each row."""
    import numpy as np

    known: dict[tuple, int] = {}
    codes = []
    arrays: dict[str, list] = {}
    for frame in frames:
        texts = [
            [
                str(v) if isinstance(v, dict | list) else v
                for v in column.where(column.notna(), None)
            ]
            for column in (frame[name].astype(object) for name in by)
        ]
        labels = zip(*texts, strict=True) if by else [()] * len(frame)
        codes.append(np.array([known.setdefault(v, len(known)) for v in labels], dtype=np.int32))
        found = {
            n: frame[n].to_numpy("float64", na_value=np.nan) for n in ("confidence", "correct")
        }
        for name in ("image_id", "item_id"):
            if name == "image_id" or not {"model", "strategy"} <= set(by):
                found[name] = _hashes(frame[name], frame["dataset"])
        for name, values in found.items():
            arrays.setdefault(name, []).append(values)
    if not known:
        return {}, [], np.empty(0, dtype=np.int32)
    columns = {name: np.concatenate(parts) for name, parts in arrays.items()}
    if not columns["image_id"].any():
        del columns["image_id"]
    return columns, list(known), np.concatenate(codes)


def _hashes(names, datasets):
    """64 bits for each (data set, name), 0 where there is no name: ids without a dictionary."""
    import numpy as np
    import pandas as pd

    texts = names.astype(object).where(names.notna(), "").to_numpy()
    out = pd.util.hash_array(texts, categorize=False) * np.uint64(0x9E3779B97F4A7C15)
    out ^= pd.util.hash_array(datasets.astype(object).to_numpy())
    return np.where(names.isna(), np.uint64(0), out | np.uint64(1))
