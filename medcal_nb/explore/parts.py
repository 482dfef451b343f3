"""What the panel shows of one choice of answers: numbers for a script that sums and looks up."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cached_property, lru_cache, partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medcal_nb import correct, measure
from medcal_nb.answers.select import group_columns
from medcal_nb.correct.crossfit import N_FOLDS, assign_folds, by_fold
from medcal_nb.errors import MedcalError, check_known
from medcal_nb.labels import label_of
from medcal_nb.measure.decisions import TOLERANCE
from medcal_nb.measure.resampling import FEW_IMAGES
from medcal_nb.measure.rows import image_labels, images_counted, images_known
from medcal_nb.measure.selective import thresholds_at
from medcal_nb.plots import look

#: Share wrong that may be allowed, and the probability that a certificate fails.
RISKS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
DELTA = 0.1
#: Errors shown.
ERRORS = 10
SEED = 0  # of the folds of a map
#: Digits of a confidence, and those with which a threshold is written where they are enough.
DIGITS = 6
FEW_DIGITS = 3
#: Maps of netcal that are offered: its temperature, ENIR and BBQ take too long for a control.
NETCAL = ("LogisticCalibration", "BetaCalibration", "HistogramBinning")
NETCAL += ("IsotonicRegression",)
#: Its Beta calibration takes over a second on more answers.
SLOW = "netcal:BetaCalibration"
MOST_FITTED = 50_000
_STEPS = ["threshold", "n", "risk", "risk_low", "risk_high"]
_NAMES = {"model": "unnamed", "strategy": "confidence"}
_TEXTS = {
    "question": ("question",),
    "reply": ("reply", "raw", "answer"),
    "gold": ("gold",),
    "item": ("item_id",),
    "image": ("image", "image_id"),
}
LONGEST = 200  # characters of a text that is shown
BINS = 20  # of a recalibrated confidence: each fold's map has values of its own
_SCORES = {
    "accuracy": measure.accuracy,
    "mean_confidence": measure.mean_confidence,
    "brier": measure.brier_score,
    "slope": measure.calibration_slope,
    "auroc": measure.auroc,
}


class Choice(NamedTuple):
    """What is looked at: all answers of a model by a method, or those of a subgroup.

    Attributes
    ----------
    model, strategy : str
    map : str
        A recalibration map, cross-fitted by image on the model's and method's answers; none if
        empty.
    column, value : str
        The subgroup; all answers if empty.
    """

    model: str
    strategy: str
    map: str = ""
    column: str = ""
    value: str = ""


class Explored:
    """A table of graded answers and what it shows of each choice, computed once.

    Parameters
    ----------
    answers : pandas.DataFrame
        With confidence, in [0, 1], and correct; those without a grade are left out, those without
        a confidence count as checked.

    Raises
    ------
    MedcalError
        If a column is lacking, or no answer has both a confidence and a grade.
    """

    def __init__(self, answers: pd.DataFrame) -> None:
        for name in ("confidence", "correct"):
            check_known(name, answers.columns, "column of the answers")
        is_graded = answers["correct"].notna()
        rows = answers[is_graded].reset_index(drop=True)
        self._ungraded = _with_names(answers[~is_graded])
        if rows["confidence"].notna().sum() == 0:
            raise MedcalError("no answer has both a confidence and a grade")
        self.unit = "image" if images_known(rows) else "answer"
        self._labels = image_labels(rows)
        # in the order of their names, by which folds and answers of an image are drawn
        images, _ = pd.factorize(self._labels, sort=True)
        rows = _with_names(rows)
        self.answers = rows
        numbers = {
            "confidence": rows["confidence"].astype(float).round(DIGITS),
            "exact": rows["confidence"].astype(float),
            "correct": rows["correct"].astype(float),
            "image_id": images,
        }
        self._graded = pd.DataFrame(numbers)
        self._own = rows.groupby(["model", "strategy"], sort=False).groups
        self.part = lru_cache(256)(self._part)
        self._fold = lru_cache(64)(self._folds)
        self._before = lru_cache(256)(self._uncorrected)
        self._mapped = lru_cache(64)(self._after)
        self._certified = lru_cache(256)(self._thresholds)

    def controls(self) -> dict[str, Any]:
        """Return what can be chosen, with its labels, in the order in which it stands.

        Returns
        -------
        dict
            ``models``, ``maps``, ``columns``: lists of (name, label); ``strategies``: such a list
            by model; ``values``: by column, which is called as in the file; ``counts``: by model,
            method and column, how many answers have each value; ``risks``, ``delta``.
        """
        strategies = {}
        for model, part in self.answers.groupby("model")["strategy"]:
            strategies[model] = _named(part, "strategy")
        maps = _maps(max(map(len, self._own.values())))
        named = [("", "none"), *((name, label_of(name)) for name in maps)]
        values = {}
        for column, names in self._values.items():
            values[column] = [(value, label_of(value)) for value in names]
        taken = self.answers.attrs.get("taken", {})
        heads = {ours: head for head, ours in taken.items() if head != ours}
        columns = [(name, heads.get(name, label_of(name))) for name in values]
        return {
            "models": _named(self.answers["model"], "model"),
            "strategies": strategies,
            "maps": named,
            "columns": columns,
            "values": values,
            "counts": self._counts,
            "risks": RISKS,
            "delta": DELTA,
        }

    @cached_property
    def _values(self) -> dict[str, list[str]]:
        """Values of each column of subgroups, the most frequent first."""
        groups = self._groups.items()
        return {name: texts.value_counts().index.tolist() for name, texts in groups}

    @cached_property
    def _counts(self) -> dict[str, dict[str, dict[str, list[int]]]]:
        """Answers of each value, in the order of the values, by model, method and column."""
        counts: dict[str, dict[str, dict[str, list[int]]]] = {}
        for (model, strategy), rows in self._own.items():
            of_columns = {}
            for column, names in self._values.items():
                found = self._groups[column].reindex(rows).value_counts()
                of_columns[column] = found.reindex(names, fill_value=0).tolist()
            counts.setdefault(model, {})[strategy] = of_columns
        return counts

    @cached_property
    def _groups(self) -> dict[str, pd.Series]:
        """Columns of few values, as texts."""
        return group_columns(self.answers)

    def choices(self, columns: list[str]) -> Iterator[Choice]:
        """Every choice there is, with the subgroups of some columns."""
        for model, strategies in self.controls()["strategies"].items():
            for strategy, _ in strategies:
                for name in ("", *correct.MAPS):
                    whole = Choice(model, strategy, name)
                    yield whole
                    for column in columns:
                        own = self._groups[column].reindex(self._own[model, strategy])
                        for value in own.dropna().unique():
                            yield whole._replace(column=column, value=value)

    def first(self, model: str | None = None, strategy: str | None = None) -> Choice:
        """Return a model and method; those that stand first where none is named.

        Raises
        ------
        MedcalError
            If no answer is of such a model, or of the model by such a method.
        """
        controls = self.controls()
        models = [name for name, _ in controls["models"]]
        model = models[0] if model is None else model
        check_known(model, models, "model of the answers")
        methods = [name for name, _ in controls["strategies"][model]]
        strategy = methods[0] if strategy is None else strategy
        check_known(strategy, methods, f"method of {model}")
        return Choice(model, strategy)

    def _folds(self, model: str, strategy: str) -> np.ndarray | None:
        """A fold of each answer with a confidence, as `correct.corrected` draws them."""
        rows = self._rows(Choice(model, strategy))
        labels = self._labels[rows.index[rows["confidence"].notna()]]
        if len(set(labels)) < N_FOLDS:
            return None
        return assign_folds(labels, N_FOLDS, rng=np.random.default_rng(SEED))

    def _after(self, choice: Choice) -> pd.Series | None:
        """Confidences of a model's answers by a method after a map, cross-fitted by image.

        The choice names no subgroup: a map is of all of them.
        """
        fold = self._fold(choice.model, choice.strategy)
        if fold is None:
            return None
        rows = self._rows(choice)
        rows = rows[rows["confidence"].notna()]
        c = rows["confidence"].to_numpy()
        fit = partial(correct.fit, method=choice.map, clip=measure.choose_clip(c))
        mapped = by_fold(fit, c, rows["correct"].to_numpy(), fold)
        return pd.Series(mapped, rows.index)

    def _rows(self, choice: Choice) -> pd.DataFrame:
        """Graded answers of a choice, before any map."""
        rows = self._graded.loc[self._own[choice.model, choice.strategy]]
        if choice.column:
            values = self._groups[choice.column].reindex(rows.index)
            rows = rows[values == choice.value]
        return rows

    def _count_ungraded(self, choice: Choice) -> int:
        """Answers of a choice that have no grade."""
        rows = self._ungraded
        is_own = (rows["model"] == choice.model) & (rows["strategy"] == choice.strategy)
        if choice.column:
            is_own &= rows[choice.column].astype(str) == choice.value
        return int(is_own.sum())

    def _uncorrected(self, choice: Choice) -> dict[str, Any]:
        """Calibration of a choice before any map."""
        return self._calibration(self._rows(choice), n_bins=None)

    def _part(self, choice: Choice) -> dict[str, Any]:
        """Return what the panel shows of a choice.

        Returns
        -------
        dict
            - n: graded answers; n_stated: those with a confidence; n_images: images, or answers
            - n_ungraded: answers without a grade, which are left out
            - before, after (None without a map): ``dots``, rows of `measure.value_table`, and
              ``scores``
            - steps: rows of `measure.risk_coverage_table`: threshold, answers retained, wrong ones
              of these, and the ends of the interval of their share
            - written: for each step a threshold of few digits from which on the same answers pass
            - wrong: wrong answers of all
            - certified: (threshold, coverage) for each of `RISKS` before any map, or None
            - errors: the surest wrong answers
            - note: what to know of it
        """
        rows = self._rows(choice)
        notes = []
        after = None
        if choice.map:
            mapped = self._mapped(choice._replace(column="", value=""))
            if mapped is None:
                notes.append(f"No map: fewer than {N_FOLDS} {self.unit}s.")
            else:
                exact = mapped.reindex(rows.index)
                after = rows.assign(confidence=exact.round(DIGITS), exact=exact)
        n_images = rows["image_id"].nunique()
        if n_images < FEW_IMAGES:
            notes.append(f"Fewer than {FEW_IMAGES} {self.unit}s: intervals are wide.")
        named = self.answers.loc[rows.index]
        if images_known(named) and named["image_id"].isna().any():
            notes.append(f"Intervals are by image ({images_counted(named)}).")
        shown = rows if after is None else after
        curve = measure.risk_coverage_table(shown, by=[])
        # of a subgroup without any confidence it has no row, and no column
        curve = curve.reindex(columns=_STEPS)
        n_wrong = (curve["n"] * curve["risk"]).round()
        steps = curve.assign(wrong=n_wrong)
        steps = steps[["threshold", "n", "wrong", "risk_low", "risk_high"]]
        return {
            "n": len(rows),
            "n_stated": int(rows["confidence"].notna().sum()),
            "n_images": n_images,
            "n_ungraded": self._count_ungraded(choice),
            "unit": self.unit,
            "before": self._before(choice._replace(map="")),
            "after": None if after is None else self._calibration(after, n_bins=BINS),
            "steps": _numbers(steps),
            "written": _written(
                shown["exact"].to_numpy(), steps["n"].to_numpy(int)
            ).tolist(),
            "wrong": int((1 - rows["correct"]).sum()),
            "certified": self._certified(choice._replace(map="")),
            "errors": self._errors(shown),
            "note": " ".join(notes),
        }

    def _thresholds(self, choice: Choice) -> list[list[float] | None]:
        """Threshold and coverage certified for each risk, on confidences before any map."""
        rows = self._rows(choice)
        stated = rows.dropna(subset="confidence")
        if stated.empty:
            return [None] * len(RISKS)
        certified: list[list[float] | None] = []
        thresholds = thresholds_at(
            RISKS,
            stated["confidence"].to_numpy(),
            stated["correct"].to_numpy(),
            delta=DELTA,
            groups=stated["image_id"],
        )
        for threshold, coverage in thresholds:
            share = coverage * len(stated) / len(rows)
            certified.append([threshold, round(share, 6)] if coverage else None)
        return certified

    def _calibration(self, rows: pd.DataFrame, n_bins: int | None) -> dict[str, Any]:
        """Accuracy at each confidence, and scores with the interval of the ECE."""
        stated = rows.dropna(subset="confidence")
        if stated.empty:
            return {"dots": [], "scores": {}}
        c, y, images = (stated[name] for name in ("confidence", "correct", "image_id"))
        # by their names, from which its random numbers follow
        labels = self._labels[stated.index]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", measure.MeasureWarning)  # shown as a dash
            error = measure.ece_interval(c, y, groups=labels)
            scores = {name: score(c, y) for name, score in _SCORES.items()}
        scores |= {"ece": error.estimate, "ece_low": error.low, "ece_high": error.high}
        dots = measure.value_table(c, y, n_bins=n_bins, groups=images)
        known = {name: _number(value) for name, value in scores.items()}
        return {"dots": _numbers(dots), "scores": known}

    def _errors(self, shown: pd.DataFrame) -> list[dict[str, Any]]:
        """The surest wrong answers, as texts."""
        errors = []
        surest = measure.surest_errors(shown, n=ERRORS)["confidence"]
        for place, confidence in surest.items():
            row = self.answers.loc[place]
            one = {name: _text(row, columns) for name, columns in _TEXTS.items()}
            errors.append(one | {"row": int(place), "confidence": confidence})
        return errors


def _with_names(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows whose model and method are named, as texts."""
    names = {}
    for name, value in _NAMES.items():
        named = rows[name] if name in rows else pd.Series(value, rows.index)
        names[name] = named.astype(object).fillna(value).astype(str)
    return rows.assign(**names)


def _maps(n: int) -> list[str]:
    """Maps of n answers: ours, and netcal's where it is installed, which is not loaded for this."""
    if find_spec("netcal") is None:
        return [*correct.MAPS]
    theirs = [f"netcal:{name}" for name in NETCAL]
    if n > MOST_FITTED:
        theirs.remove(SLOW)
    return [*correct.MAPS, *theirs]


def _named(values: pd.Series, column: str) -> list[tuple[str, str]]:
    """Names of models or methods, each with its label, in the order of the figures."""
    return [(name, label_of(name, column)) for name in look(values, column)]


def _numbers(table: pd.DataFrame) -> list[list[float | None]]:
    """Rows of a table, as a page holds them."""
    return [[_number(value) for value in row] for row in table.to_numpy(float)]


def _number(value: float) -> float | None:
    """A number with seven digits after the point; None for what is not defined."""
    return round(float(value), 7) if np.isfinite(value) else None


def _written(
    confidences: NDArray[np.float64], sizes: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Thresholds of as few digits as let so many of the answers pass, the surest first."""
    stated = np.sort(confidences[~np.isnan(confidences)])[::-1]
    lowest = stated[sizes - 1]
    next_one = np.append(stated, -1.0)[sizes]
    written = lowest.copy()
    for digits in range(DIGITS + 3, FEW_DIGITS - 1, -1):
        scale = 10.0**digits
        # 0.29 in hundredths is 28.999…
        short = np.floor((lowest * scale).round(DIGITS)) / scale
        is_enough = (short > next_one + TOLERANCE) & ((short > 0) | (lowest == 0))
        written = np.where(is_enough, short, written)
    return written


def _text(row: pd.Series, columns: tuple[str, ...]) -> str:
    """The first of some columns that a row has, shortened."""
    for name in columns:
        value = row.get(name)
        if isinstance(value, (list, tuple)):
            value = ", ".join(map(str, value))
        if value is not None and not pd.isna(value):
            text = str(value)
            return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return ""
