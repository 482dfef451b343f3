"""What people read: the name of each thing, numbers with few digits, tables that fit a page."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from numbers import Integral

import pandas as pd

LABELS = {
    # where labels come from
    "raw": "as stated",
    "none": "as stated",
    "source": "general labels",
    "target": "medical labels",
    # data sets of the embedded world
    "pocketvqa-general": "general images",
    "pocketvqa-medical": "medical images",
    # recalibration maps
    "platt": "Platt",
    "trained": "trained fusion",
    # measures
    "mean_confidence": "mean confidence",
    "gap": "confidence minus accuracy",
    "ece": "ECE",
    "ece_width": "ECE, equal width",
    "ece_mass": "ECE, equal mass",
    "debiased_ece": "debiased ECE",
    "debiased_width": "debiased ECE, equal width",
    "debiased_mass": "debiased ECE, equal mass",
    "smooth_ece": "smooth ECE",
    "ici": "ICI",
    "ace": "ACE",
    "mce": "MCE",
    "confidently_wrong": "confidently wrong",
    "brier": "Brier score",
    "log_loss": "log loss",
    "auroc": "AUROC",
    "aurc": "AURC",
    # columns
    "dataset": "data set",
    "item_id": "item",
    "image_id": "image",
    "question_type": "question",
    "correction": "recalibration map",
    "method": "recalibration map",
    "map": "labels used",
    "fitted_on": "labels used",
    "new_tokens": "tokens written",
    "prompt_tokens": "tokens read",
    "n": "answers",
    "parse_rate": "replies that could be read",
    "confidence_rate": "replies with a confidence",
    "n_images": "images",
    "n_missing": "without confidence",
    "closed": "yes/no",
    # ways of asking
    "verbalized": "stated",
    "verbalized_cot": "stated after reasoning",
    "linguistic": "stated in words",
    "top_k": "top k",
    "two_stage": "two-stage",
    "two_stage_other": "two-stage, as another's",
    "describe_first": "describe first",
    "sequence_probability": "sequence probability",
    "option_probability": "option probability",
    "p_true": "P(True)",
    "probe_pik": "probe: P(IK)",
    "probe_saplma": "probe: SAPLMA",
    "probe_internalinspector": "probe: InternalInspector",
    "probe_ccps": "probe: CCPS",
    "probe_bicr": "probe: BICR",
    "clip_zero_shot": "CLIP, zero-shot",
    "none_of_the_above": "none of the above",
    "self_consistency": "self-consistency",
    "semantic_entropy": "semantic entropy",
    # strategies that are no way of asking
    "blank_image": "blank-image test",
    "fusion, trained": "trained fusion",
    "fusion + expert, trained": "trained fusion + expert",
    "imported": "stated",
    "recorded": "stated",
}
"""What people call the things that tables name in code."""

ROWS_SHOWN = 12
_NAMES_IN = {
    *(
        "dataset",
        "strategy",
        "system",
        "correction",
        "method",
        "map",
        "fitted_on",
        "stage",
    ),
    *("metric", "loss", "estimator", "question_type", "decision_type"),
}
"""Columns whose words are names of ours; others are left as they are (an answer may be "both")."""


def label_of(name) -> str:
    """Return what a figure, a table or a sentence calls a thing: ``Platt`` for ``platt``, say.

    Of several, set apart by a comma and a space, each is called so.
    """
    text = str(name)
    return LABELS.get(text) or ", ".join(
        LABELS.get(part, part) for part in text.split(", ")
    )


def number(value) -> str:
    """Return a number as text: two or three digits that matter, thousands set apart.

    ``0.0312`` is ``0.031``, ``0.3049`` is ``0.30``, ``12.34`` is ``12.3``, ``12345.6`` is
    ``12,346``; a missing one is ``–``.
    """
    if pd.isna(value):
        return "–"
    if isinstance(value, Integral) or (float(value).is_integer() and abs(value) >= 1):
        return f"{int(value):,}"
    return f"{value:,.{_decimals(value)}f}"


def percent(share: float) -> str:
    """Return a share in whole percent: ``84 %``; a dash where there is none."""
    # 71.5, however it was summed
    return "–" if math.isnan(share) else f"{round(100 * share, 9):.0f} %"


def estimate(value, low=None, high=None) -> str:
    """Return an estimate with its interval in one breath: ``0.12 [0.08, 0.17]``."""
    parts = [v for v in (value, low, high) if not pd.isna(v)]
    if len(parts) < 3:
        return number(value)
    places = _decimals(max(map(abs, parts)))
    # adding 0 turns -0.00 into 0.00; of more than two zeros the first says it all
    value, low, high = (
        "0" if v == 0 and places > 2 else f"{round(v, places) + 0:,.{places}f}"
        for v in (value, low, high)
    )
    return f"{value} [{low}, {high}]"


def _decimals(size: float) -> int:
    """Decimals of which two or three matter for a number of this size; never more than four."""
    size = abs(size)
    if size >= 100 or not math.isfinite(size):
        return 0
    if size >= 10:
        return 1
    if size >= 0.0995 or size == 0:
        return 2
    return 3 if size >= 0.00995 else 4


class ShownTable:
    """A table to look at: HTML in a notebook, plain text elsewhere; text left, numbers right."""

    def __init__(
        self, cells: pd.DataFrame, numeric: Sequence[bool], rest: str, title: str
    ):
        self.cells = cells
        self._numeric = numeric
        self._rest = rest
        self._title = title

    def _repr_html_(self) -> str:
        style = "white-space:normal;vertical-align:top;text-align"
        sides = [
            f"{style}:{'right' if numeric else 'left'}" for numeric in self._numeric
        ]
        rows = []
        for line in [list(self.cells.columns), *self.cells.to_numpy().tolist()]:
            tag = "td" if rows else "th"
            cells = zip(sides, map(html.escape, line), strict=True)
            told = "".join(
                f'<{tag} style="{side}">{value}</{tag}>' for side, value in cells
            )
            rows.append(f"<tr>{told}</tr>")
        body = f"<thead>{rows[0]}</thead><tbody>{''.join(rows[1:])}</tbody>"
        return f"<table><caption>{html.escape(self._title)}</caption>{body}</table>{self._rest}"

    def __repr__(self) -> str:
        return "\n".join(
            filter(None, (self._title, self.cells.to_string(index=False), self._rest))
        )


def show_table(
    frame, columns=None, *, sort=None, ascending=True, rows=ROWS_SHOWN, title=""
) -> ShownTable:
    """Return a table to look at: few digits, intervals beside their estimates, nothing cut.

    Parameters
    ----------
    frame : pandas.DataFrame
        A column ``x`` with ``x_low`` and ``x_high`` becomes one, ``0.12 [0.08, 0.17]``. The index
        is not shown.
    columns : sequence or mapping, optional
        Columns to show, in order; a mapping says what to call them. All by default, called by
        `LABELS`.
    sort : str, optional
        The column that matters, which need not be shown; the given order without.
    rows : int
        How many rows are shown at most; below them stands how many more there are.

    Raises
    ------
    KeyError
        If there is no such column.
    """
    if sort is not None:
        frame = frame.sort_values(sort, ascending=ascending, kind="stable")
    ends = {
        name: (f"{name}_low", f"{name}_high")
        for name in frame
        if f"{name}_low" in frame
    }
    wanted = [*frame.columns.difference(sum(ends.values(), ()), sort=False)]
    wanted = wanted if columns is None else columns
    names = (
        wanted
        if isinstance(wanted, Mapping)
        else {name: label_of(name) for name in wanted}
    )
    shown = frame.iloc[:rows]
    cells = {
        called: [
            _cell(name, *values)
            for values in zip(*(shown[c] for c in parts), strict=True)
        ]
        for name, called in names.items()
        for parts in [(name, *ends.get(name, ()))]
    }
    numeric = [
        pd.api.types.is_numeric_dtype(frame[name])
        and not pd.api.types.is_bool_dtype(frame[name])
        for name in names
    ]
    rest = f"and {len(frame) - len(shown):,} more" if len(frame) > len(shown) else ""
    return ShownTable(pd.DataFrame(cells, dtype=object), numeric, rest, title)


def _cell(column, value, *ends) -> str:
    """Return what stands in a cell."""
    if pd.api.types.is_bool(value):
        return "yes" if value else "no"
    if isinstance(value, str):
        return label_of(value) if column in _NAMES_IN else value
    return estimate(value, *ends)
