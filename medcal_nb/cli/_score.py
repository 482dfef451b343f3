"""The numbers behind ``medcal score``: a table of metrics, as text, and what is required of it."""

import operator
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from medcal_nb.errors import MedcalError
from medcal_nb.labels import UNITS, label_of
from medcal_nb.measure import all_metrics, metrics_table

METRICS = (
    *("accuracy", "mean_confidence", "gap", "slope", "intercept"),
    *("ece", "brier", "brier_skill", "auroc"),
)
"""What is computed where nothing is named."""

N_RESAMPLES = 2000
_SIDE_BY_SIDE = 3
"""Groups that stand side by side; more become the rows of a table."""

_NOTE = (
    "95 % CI in brackets. Slope and intercept: logistic recalibration on the log-odds, 1 and 0 if "
    "calibrated. ECE: 15 bins of equal width. Brier skill score: over giving every answer the "
    "accuracy."
)
_SIGNS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


class Condition(NamedTuple):
    """A bound that the interval of a metric has to keep."""

    metric: str
    sign: str
    bound: float


def condition(text: str) -> Condition:
    """Read what ``--require`` names.

    Examples
    --------
    >>> condition("ece < 0.1")
    Condition(metric='ece', sign='<', bound=0.1)
    """
    match = re.fullmatch(r"\s*(\w+)\s*(<=?|>=?)\s*(-?[\d.]+)\s*", text)
    if not match or match[1] not in all_metrics():
        names = ", ".join(all_metrics())
        raise MedcalError(
            f"--require {text!r}: write METRIC < NUMBER, METRIC one of {names}"
        )
    return Condition(match[1], match[2], float(match[3]))


def table_of(
    answers: pd.DataFrame,
    by: Sequence[str],
    metrics: str,
    conditions: Sequence[Condition],
) -> tuple[pd.DataFrame, list[str]]:
    """`metrics_table` of answers, and what it warned of, each reason once.

    Every group starts from the same seed: its row does not depend on which other groups there are.
    """
    names = [name.strip() for name in metrics.split(",") if name.strip()] or [*METRICS]
    if names == ["all"]:
        names = [*all_metrics()]
    names += [one.metric for one in conditions if one.metric not in names]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            table = metrics_table(
                answers,
                by=by,
                metrics=names,
                n_resamples=N_RESAMPLES,
                rng=np.random.default_rng(0),
            )
        except ValueError as error:
            raise MedcalError(str(error)) from None
    pairs = [str(warning.message).rpartition(": ") for warning in caught]
    first = {reason: where for where, _, reason in reversed(pairs)}
    times = Counter(reason for *_, reason in pairs)
    sentences = []
    for reason, where in reversed(first.items()):
        more = f" (and {times[reason] - 1} more rows)" if times[reason] > 1 else ""
        sentences.append(f"{where}{more}: {reason}")
    return table, sentences


def as_text(table: pd.DataFrame, by: Sequence[str]) -> str:
    """A table of metrics as a person reads it, intervals beside the estimates."""
    cells = table[[*by]].astype(object)
    cells["answers"] = [f"{n:,}" for n in table["n"]]
    cells["without confidence or grade"] = [f"{n:,}" for n in table["n_missing"]]
    metrics = [name for name in all_metrics() if name in table]
    for name in metrics:
        unit = UNITS.get(name, "")
        factor = 100 if unit else 1
        ends = [name, f"{name}_low", f"{name}_high"]
        numbers = factor * table.reindex(columns=ends).astype(float)
        heading = f"{label_of(name)}, {unit}" if unit else label_of(name)
        cells[heading] = [_cell(row, 1 if unit else 3) for row in numbers.to_numpy()]
    known = table["n_images"] > 0
    units = (
        "by image" if known.all() else "by image where images are known, else by answer"
    )
    note = f"{_NOTE} Intervals {units if known.any() else 'by answer'}."
    if len(table) <= _SIDE_BY_SIDE:
        return f"{cells.T.to_string(header=False)}\n\n{note}"
    return f"{cells.to_string(index=False, line_width=120)}\n\n{note}"


def _cell(numbers, digits):
    estimate, low, high = ("–" if np.isnan(x) else f"{x:.{digits}f}" for x in numbers)
    return estimate if low == high == "–" else f"{estimate} [{low}, {high}]"


def broken(
    table: pd.DataFrame, by: Sequence[str], conditions: Sequence[Condition]
) -> list[str]:
    """The conditions that a row does not keep, with the end of the interval that decides."""
    sentences = []
    for metric, sign, bound in conditions:
        end = "high" if sign.startswith("<") else "low"
        for row in table.to_dict("records"):
            value = row.get(f"{metric}_{end}", np.nan)
            if not _SIGNS[sign](value, bound):
                where = ", ".join(f"{name}={row[name]}" for name in by) or "all"
                low, high = (
                    row.get(f"{metric}_low", np.nan),
                    row.get(f"{metric}_high", np.nan),
                )
                upper = "upper" if end == "high" else "lower"
                sentences.append(
                    f"{where}: {metric} {row[metric]:.3f} (95 % CI {low:.3f} to {high:.3f}): the "
                    f"{upper} end is not {sign} {bound:g}"
                )
    return sentences
