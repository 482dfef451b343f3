"""The numbers behind ``medcal score``: few columns of many answers, group by group."""

IMAGE = "image"
METRICS = ("accuracy", "mean_confidence", "ece", "brier", "log_loss", "auroc", "aurc")


def score_answers(
    path,
    *,
    by=("model", "dataset", "strategy"),
    n_bins: int = 15,
    binning: str = "width",
    closed: str = "right",
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
    progress: bool = False,
):
    """Metrics of each group of verdicts in a log or a table of answers.

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
        One row per group: `by`, n, n_missing, accuracy, mean_confidence, ece, ece_low, ece_high,
        brier, log_loss, auroc, aurc. n counts answers with a confidence and a grade; where no
        answer of a group has a confidence, accuracy is that of the graded ones.
    reasons : list of str
        Why a number is NaN, or less than it seems.
    """
    import warnings

    import numpy as np
    import pandas as pd

    from medcal_nb.errors import MedcalError
    from medcal_nb.measure import metrics_table

    by = list(by)
    columns, labels, codes = _gather(_blocks(path, by), by)
    if len(codes) == 0:
        raise MedcalError(f"{path}: no answers; nothing to score")
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(len(labels) + 1))
    reasons, parts = [], []
    ranks = sorted(range(len(labels)), key=lambda g: [_rank(v) for v in labels[g]])
    for g in _with_bar(ranks, progress):
        rows = order[starts[g] : starts[g + 1]]
        frame = _sorted(pd.DataFrame({name: array[rows] for name, array in columns.items()}))
        name = ", ".join(f"{k}={v}" for k, v in zip(by, labels[g], strict=True)) or "all"
        ids = _resampled(frame)
        if ids is not None:
            frame[IMAGE] = ids
        missing = int((frame["confidence"].isna() | frame["correct"].isna()).sum())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            options = {
                "by": (),
                "n_bins": n_bins,
                "binning": binning,
                "level": level,
                "n_resamples": n_resamples,
                "groups": IMAGE if IMAGE in frame else None,
                "intervals": ("ece",),
            }
            row = metrics_table(frame, **options, metrics=METRICS, rng=np.random.default_rng(seed))
            if closed == "left":
                # ECE with bins [lo, hi) is ECE with bins (lo, hi] of the mirrored pair
                for column in ("confidence", "correct"):
                    frame[column] = 1 - frame[column]
                mirrored = metrics_table(
                    frame, **options, metrics=("ece",), rng=np.random.default_rng(seed)
                )
                row = row.assign(**mirrored[["ece", "ece_low", "ece_high"]])
        reasons += [f"{name}: {str(w.message).removeprefix('all: ')}" for w in caught]
        if frame["correct"].isna().all():
            reasons.append(
                f"{name}: no answer is graded: `medcal import` grades an answer against its gold"
            )
        elif frame["confidence"].isna().all():
            graded = frame["correct"].dropna()
            row["accuracy"] = graded.mean() if closed == "right" else 1 - graded.mean()
            reasons.append(
                f"{name}: no answer has a confidence; accuracy is that of the {len(graded)} "
                f"graded of {len(rows)} answers, all else is NaN"
            )
        elif missing == len(rows):
            reasons.append(f"{name}: no answer has both a confidence and a grade; all is NaN")
        elif missing:
            reasons.append(
                f"{name}: {missing} of {len(rows)} answers have no confidence or no grade "
                "and are left out"
            )
        if (row["ece"] < row["ece_low"]).any():
            reasons.append(
                f"{name}: the ECE lies below its own interval: resampling adds differences by "
                "chance in each bin to those that sampling had made"
            )
        for at, (column, value) in enumerate(zip(by, labels[g], strict=True)):
            row.insert(at, column, value)
        parts.append(row)
    return pd.concat(parts, ignore_index=True), list(dict.fromkeys(reasons))


def _with_bar(groups, progress):
    if not progress or len(groups) < 2:
        return groups
    from tqdm.auto import tqdm

    return tqdm(groups, desc="score", unit="group", leave=False, disable=None)


def _rank(value):
    """Numbers, then texts, then what is missing."""
    return value is None, isinstance(value, str), "" if value is None else value


def _sorted(frame):
    """Rows in an order of their own: equal answers give equal draws, however they were stored."""
    import numpy as np

    order = np.lexsort([frame[name].to_numpy() for name in reversed(frame.columns)])
    return frame.take(order).reset_index(drop=True)


def _resampled(frame):
    """What the bootstrap draws: images, else items that occur more than once, else rows."""
    for name in ("image_id", "item_id"):
        if name in frame and not (frame[name] == 0).any():
            return frame[name]
    return None


def _blocks(path, by):
    """Blocks {column: values} of verdicts with what scoring needs."""
    from medcal_nb.answers import ANSWER_COLUMNS, AnswerLog, is_log, load_answers

    needed = ["confidence", "correct", "dataset", "image_id"]
    if not {"model", "strategy"} <= set(by):
        needed.append("item_id")
    needed = list(dict.fromkeys([*by, *needed]))
    if not is_log(path):
        answers = load_answers(path)
        _check_by(path, by, list(answers.columns))
        single = answers.groupby("strategy")["sample"].transform("max") == 0
        if single.any():
            yield _block(answers[single], needed)
        if not single.all():
            yield _block(_verdicts(answers[~single]), needed)
        return
    with AnswerLog(path, read_only=True) as log:
        _check_by(path, by, [*ANSWER_COLUMNS, *log.extra_columns()])
        strategies = log.samples()
        single = [name for name, last in strategies.items() if last == 0]
        for rows in log.iter_stored(needed, strategy=single) if single else ():
            yield dict(zip(needed, zip(*rows, strict=True), strict=True))
        if len(single) < len(strategies):
            several = [name for name in strategies if name not in single]
            yield _block(_verdicts(log.read(strategy=several)), needed)


def _check_by(path, by, names):
    from medcal_nb.errors import MedcalError

    for name in by:
        if name not in names:
            raise MedcalError(f"{path}: no column '{name}' (--by); columns are {', '.join(names)}")


def _verdicts(answers):
    from medcal_nb.ask.graded import to_graded

    return to_graded(answers)


def _block(frame, needed):
    return {
        name: [
            str(v) if isinstance(v, dict | list) else v
            for v in frame[name].astype(object).where(frame[name].notna(), None)
        ]
        for name in needed
    }


def _gather(blocks, by):
    """Arrays for measuring, the labels of the groups, and the group of each row."""
    import numpy as np

    known: dict[tuple, int] = {}
    codes = []
    arrays: dict[str, list] = {"confidence": [], "correct": []}
    for block in blocks:
        n = len(block["confidence"])
        labels = zip(*(block[name] for name in by), strict=True) if by else [()] * n
        codes.append(np.array([known.setdefault(v, len(known)) for v in labels], dtype=np.int32))
        for name in ("confidence", "correct"):
            arrays[name].append(np.array(block[name], dtype=np.float64))
        for name in ("image_id", "item_id"):
            if name in block:
                arrays.setdefault(name, []).append(_hashes(block[name], block["dataset"]))
    if not codes:
        return {}, [], np.empty(0, dtype=np.int32)
    columns = {name: np.concatenate(parts) for name, parts in arrays.items()}
    if "image_id" in columns and not columns["image_id"].any():
        del columns["image_id"]
    return columns, list(known), np.concatenate(codes)


def _hashes(names, datasets):
    """64 bits for each (data set, name), 0 where there is no name: ids without a dictionary."""
    import numpy as np
    import pandas as pd

    present = np.array([name is not None for name in names])
    out = np.zeros(len(names), dtype=np.uint64)
    if present.any():
        of = {d: pd.util.hash_array(np.array([d], dtype=object))[0] for d in set(datasets)}
        texts = np.array([str(n) for n in names], dtype=object)[present]
        mixed = np.array([of[d] for d in datasets], dtype=np.uint64)[present]
        out[present] = (
            pd.util.hash_array(texts, categorize=False) * np.uint64(0x9E3779B97F4A7C15) ^ mixed
        ) | np.uint64(1)
    return out
