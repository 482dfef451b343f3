"""How numbers and names are written: in tables, in sentences, and everywhere alike."""

from __future__ import annotations

import re
import shlex
import unicodedata
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from medcal_nb.labels import LATEX, UNITS, label_of
from medcal_nb.measure.decimals import half_up, percent

if TYPE_CHECKING:
    from medcal_nb.measure.selective import Threshold

_BESIDE = ("_low", "_high", "_least", "_most")  # shown with the number they are of
_TINY = 0.0001
#: Significant digits of a number that is written to a file: what is left of it on any processor.
DIGITS = 9
#: What an infinite number of a column says.
_ENDLESS = {"cases_needed": "none known to do"}
#: P values, which are small by themselves and not by rounding.
_P_VALUE = r"p(_\w+)?"
_TYPESET = {  # in this order
    r"(?<![\w-])nan(?![\w-])": "–",
    r"(?<![\w.)\]])-(?=\d)": "−",
    r"−(0(?:\.0+)?)(?![.\d])": r"\1",
    r"(?<=\d)%": " %",
    # a range of one value is that value: of one model of one's own
    r"(?<![\w.,−])(−?[\d.,]*\d(?: %)?) to \1(?![\w.,]*\d)": r"\1",
}


class _Shown(pd.DataFrame):
    """A table of texts that is shown without its index; names in it are escaped."""

    def _repr_html_(self) -> str:
        return self.to_html(
            index=False, border=0, justify="left", classes="mathjax_ignore"
        )


def show(table: pd.DataFrame, columns: list[str] | None = None) -> pd.DataFrame:
    """Return a table to look at: few digits, intervals beside estimates, names that people know.

    Parameters
    ----------
    table : DataFrame
        The ends of an interval stand in ``<column>_low`` and ``<column>_high``, bounds in
        ``<column>_least`` and ``<column>_most``. Where a column ``metric`` names what a row is
        about, a difference is in the unit of that metric.
    columns : list of str, optional
        Those shown, in order, both bounds of a number as ``<column>_bounds``; all if not given.

    Examples
    --------
    >>> row = {"model": "deepseek-vl2", "accuracy": 0.512}
    >>> row |= {"accuracy_low": 0.4, "accuracy_high": 0.6}
    >>> show(pd.DataFrame([row])).to_numpy().tolist()
    [['DeepSeek-VL2', '51 % [40, 60]']]
    >>> both = {"metric": ["brier", "gap"], "difference": [-0.0838, -0.0526]}
    >>> show(pd.DataFrame(both)).to_numpy().tolist()
    [['Brier score', '−0.084'], ['overconfidence', '−5']]
    """
    names = columns or []
    if columns is None:
        is_beside = table.columns.astype(str).str.endswith(_BESIDE)
        for name in table.columns[~is_beside]:
            names.append(name)
            if f"{name}_least" in table:
                names.append(f"{name}_bounds")
    shown = {}
    for name in names:
        heading = _heading(name)
        if str(name).endswith("_bounds"):
            shown[heading] = between(table, name)
        else:
            shown[heading] = _cells(table, name)
    return _Shown(shown)


def rounded(table: pd.DataFrame, digits: int = DIGITS) -> pd.DataFrame:
    """Return a table with the digits of its numbers that are the same on every processor.

    Parameters
    ----------
    table : DataFrame
    digits : int
        Significant ones of the largest number of a column, or of 1 where all are below it: the
        others have as many places, so that what is a rounding error beside it is 0. Of a P value
        (``p``, ``p_holm``, …) that would be 0 the first digit stays.

    Returns
    -------
    DataFrame
        Other columns are as they are.

    Examples
    --------
    >>> table = pd.DataFrame({"cost": [0.1234567891, 3e-17], "p": [0.5, 1.23456789012e-20]})
    >>> rounded(table).to_numpy().tolist()
    [[0.12345679, 0.5], [0.0, 1e-20]]
    """
    numbers = {}
    for name in table.select_dtypes("float").columns:
        values = table[name].to_numpy(float)
        largest = np.abs(values[np.isfinite(values)]).max(initial=1.0)
        places = max(0, digits - len(f"{largest:.0f}"))
        is_p = re.fullmatch(_P_VALUE, str(name))
        column = []
        for value in values.tolist():
            is_tail = is_p and 0 < value < 10**-places
            form = ".0e" if is_tail else f"z.{places}f"  # z: no minus before a zero
            column.append(float(format(value, form)))
        numbers[name] = column
    return table.assign(**numbers)


def _cells(table: pd.DataFrame, name: str) -> list[str]:
    """Cells of a column, with the ends of its interval."""
    low = f"{name}_low"
    numbers = [name]
    if low in table:
        numbers += [low, f"{name}_high"]
    kinds = pd.Series(name, table.index)
    if "metric" in table:
        # a difference has the unit of its metric
        metrics = table["metric"].astype(str)
        of_metric = f"{name}_" + metrics
        known = of_metric.isin(list(UNITS))
        kinds = of_metric.where(known, name)
    rows = table[numbers].itertuples(index=False)
    texts = []
    for kind, row in zip(kinds, rows, strict=True):
        text = _cell(kind, *row)
        texts.append(text)
    return texts


def _heading(name: str) -> str:
    number = str(name).removesuffix("_bounds")
    heading = label_of(number)
    if number != str(name):
        heading += ", between bounds"
    return heading.replace("_", " ")


def between(table: pd.DataFrame, column: str) -> list[str]:
    """Cells of ``<name>_bounds``: both bounds, percentages whole; a dash where there are none.

    Examples
    --------
    >>> table = pd.DataFrame({"accuracy_least": [0.25, None], "accuracy_most": [0.75, None]})
    >>> between(table, "accuracy_bounds")
    ['25 to 75 %', '–']
    """
    name = column.removesuffix("_bounds")
    ends = [f"{name}_least", f"{name}_most"]
    bounds = table[ends].astype(float)
    unit = UNITS.get(name, "")
    texts = []
    for least, most in bounds.itertuples(index=False):
        text = f"{least:.3f} to {most:.3f}"
        if unit == "%":
            text = f"{percent(least)} to {percent(most)}%"
        elif unit:
            text = f"{half_up(100 * least):.0f} to {half_up(100 * most):.0f}"
        if pd.isna(least):
            text = "–"
        texts.append(typeset(text))
    return texts


def estimate(
    row: pd.Series, name: str, form: str = ".2f", *, level: float = 0.95
) -> str:
    """Return an estimate with its interval for a sentence.

    Parameters
    ----------
    row : Series
        Holds `name`, ``<name>_low`` and ``<name>_high``.
    name : str
        The column.
    form : str
        As in a format: ``.3f`` for a score; ``percent`` for a share of answers; ``points`` for
        a difference of shares.
    level : float
        Of the interval.

    Examples
    --------
    >>> row = pd.Series({"gap": 0.31, "gap_low": 0.295, "gap_high": 0.33})
    >>> estimate(row, "gap", "points")
    '31 percentage points (95 % CI 30 to 33)'
    """
    low = f"{name}_low"
    high = f"{name}_high"
    numbers = row[[name, low, high]]
    unit = ""
    if form == "points":
        form = ".0f"
        numbers = 100 * numbers
        unit = " percentage points"
    texts = []
    for number in numbers:
        shown = half_up(number) if unit else number
        text = f"{percent(number)}%" if form == "percent" else format(shown, form)
        texts.append(text)
    value, *ends = texts
    interval = " to ".join(ends)
    interval = f"{percent(level)}% CI {interval}"
    return typeset(f"{value}{unit} ({interval})")


def deferral_sentence(row: pd.Series) -> str:
    """Return what passes at a threshold, what of it is wrong, and what that costs.

    Parameters
    ----------
    row : Series
        Of :func:`medcal_nb.measure.deferral_table`.

    Examples
    --------
    >>> from medcal_nb.measure import deferral_table, example_answers
    >>> row = deferral_table(example_answers(), threshold=0.9).iloc[0]
    >>> first, second = deferral_sentence(row).split("; ", 1)
    >>> first
    'Of 400 answers 102 (26 %) pass unchecked at a confidence of at least 90 %'
    >>> second[:56]
    '17 of these (17 %, 95 % CI 10 to 26) are wrong. An answe'
    """
    n_retained = row["n_retained"]
    share = percent(row["coverage"])
    text = (
        f"Of {row['n']:,.0f} answers {n_retained:,.0f} ({share}%) pass unchecked at a "
        f"confidence of at least {100 * row['threshold']:.4g}%"
    )
    if n_retained:
        low = percent(row["risk_low"])
        high = percent(row["risk_high"])
        text += (
            f"; {row['n_wrong']:,.0f} of these ({percent(row['risk'])}%, 95% CI {low} to {high}) "
            "are wrong"
        )
    text += (
        f". An answer costs {row['deferring']:.2f} checks if a wrong one that passes costs "
        f"{row['ratio']:g}; checking all 1.00, checking none {row['checking_none']:.2f}."
    )
    return typeset(text)


def certified_sentence(found: Threshold, *, risk: float, delta: float) -> str:
    """Return from which confidence on the share wrong is certified, or that no threshold is.

    Parameters
    ----------
    found : Threshold
        Of :func:`medcal_nb.measure.selective_threshold`, its coverage of all graded answers:
        where some have no confidence, those are checked, and it is less than that of the others.
    risk, delta : float
        What it was asked for: its target and δ.

    Examples
    --------
    >>> from medcal_nb.measure import selective_threshold
    >>> found = selective_threshold([0.9] * 40, [1] * 40, target=0.2, delta=0.1)
    >>> certified_sentence(found, risk=0.2, delta=0.1)
    'Certified for at most 20 % wrong (δ = 0.1): from 90 % on, the surest 100 % of all.'
    >>> found = selective_threshold([0.9] * 40, [0] * 40, target=0.2, delta=0.1)
    >>> certified_sentence(found, risk=0.2, delta=0.1)
    'No threshold is certified for at most 20 % wrong (δ = 0.1).'
    """
    asked = f"certified for at most {percent(risk)}% wrong (δ = {delta:g})"
    if not found.coverage:
        return typeset(f"No threshold is {asked}.")
    lowest = f"{100 * found.threshold:.4g}"
    share = percent(found.coverage)
    return typeset(
        f"{asked.capitalize()}: from {lowest}% on, the surest {share}% of all."
    )


def in_shell(text: str) -> str:
    """Return a text as a shell reads it: in double quotation marks, which every shell knows.

    In single ones where a shell would find something in double ones to work out.

    Examples
    --------
    >>> print(in_shell("gold=right"), in_shell("n != 'a'"), in_shell("$n"))
    gold=right "n != 'a'" '$n'
    """
    if re.fullmatch(r"[\w.,:/@%+=-]+", text):
        return text
    is_plain = not re.search(r'["$`\\]|!(?!=)', text)
    return f'"{text}"' if is_plain else shlex.quote(text)


def typeset(text: str) -> str:
    """A text on one line, with minus signs, a space before percent, and a dash for no number."""
    line = " ".join(text.split())
    for pattern, sign in _TYPESET.items():
        line = re.sub(pattern, sign, line)
    return line


def _cell(column: str, value: Any, *ends: float) -> str:
    """A value of a column as a person reads it, a number with its interval."""
    if isinstance(value, str):
        return label_of(value, column)
    if isinstance(value, bool | np.bool_):
        if value:
            return "yes"
        return "no"
    if value is None or pd.isna(value):
        return "–"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    if np.isinf(value):
        return _ENDLESS.get(column, f"{value}".replace("inf", "∞"))
    return _number(column, value, *ends)


def _number(column: str, value: float, *ends: float) -> str:
    """A number with its interval, where it has one, few digits, in its unit."""
    unit = UNITS.get(column)
    if None in ends:
        ends = ()
    if 0 < value < _TINY and not ends and not unit:
        return f"< {_TINY}"
    form = f"z,.{_digits(value, *ends)}f"
    texts = []
    for number in (value, *ends):
        text = format(number, form)
        if unit == "%":
            text = percent(number)
        elif unit:
            text = f"{half_up(100 * number):z,.0f}"
        texts.append(text)
    text = texts.pop(0)
    if unit == "%":
        text += " %"
    if ends and np.isfinite(ends).all():
        interval = ", ".join(texts)
        text += f" [{interval}]"
    return text.replace("-", "−")


def _digits(value: float, *ends: float) -> int:
    """Digits after the point: two significant ones, and those that tell ends apart.

    A score without ends has three, so that a reader can take one from another.
    """
    sizes = np.abs([value, *ends])
    largest = sizes[np.isfinite(sizes)].max()
    step = largest / 10
    for width in np.diff(ends):
        if width > 0:
            step = min(step, width)
    if not largest:  # a zero has none
        return 0
    step = max(step, _TINY)
    size = np.log10(step)
    place = int(np.floor(size))
    if not ends and largest < 1:
        place = min(place, -3)
    return max(0, -place)


# --- LaTeX --------------------------------------------------------------------------------

_LETTERS = "ßæœøåłıÆŒØÅŁ¡¿"
_MARKS = "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327"
_ACCENTS = ([], *map(list, _MARKS))  # none, or one that every font has
_FITTED = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}"


def as_latex(text: str) -> str:
    r"""A text as pdflatex prints it; a sign that its fonts lack is a question mark.

    Examples
    --------
    >>> print(as_latex("−8 [−18, 2] %, P < .001 für 脳_1"))
    $-$8 [$-$18, 2] \%, P $<$ .001 für ?\_1
    """
    signs = []
    for sign in unicodedata.normalize("NFC", text):
        letter, *accents = list(unicodedata.normalize("NFD", sign))
        is_latin = letter.isprintable() and letter.isascii()
        is_known = is_latin and accents in _ACCENTS
        printed = "?"
        if sign in LATEX:
            printed = LATEX[sign]
        elif sign in _LETTERS or is_known:
            printed = sign
        elif sign.isspace():
            printed = " "
        signs.append(printed)
    return "".join(signs)


def latex(table: pd.DataFrame, columns: list[str] | None = None) -> str:
    r"""Return a table for LaTeX, as `show` shows it.

    Parameters
    ----------
    table, columns
        As of `show`.

    Returns
    -------
    str
        As of `latex_table`.

    Examples
    --------
    >>> row = {"model": "deepseek-vl2", "gap": -0.08, "gap_low": -0.18, "gap_high": 0.02}
    >>> print(latex(pd.DataFrame([row])).splitlines()[5])
    DeepSeek-VL2 & $-$8 [$-$18, 2] \\
    """
    shown = show(table, columns)
    head = list(shown.columns)
    rows = shown.to_numpy().tolist()
    return latex_table(head, rows)


def latex_table(head: list[str], rows: list[list[str]]) -> str:
    r"""A table for LaTeX with the package graphicx, never wider than the column it stands in.

    What is too wide is printed smaller: choose the columns that a paper needs.

    Parameters
    ----------
    head : list of str
        Names of columns.
    rows : list of list of str
        Cells as people read them.

    Examples
    --------
    >>> print(latex_table(["model", "gap"], [["a_1", "−8 [−18, 2]"]]))
    {\footnotesize\setlength{\tabcolsep}{3pt}%
    \noindent\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{\begin{tabular}{ll}
    \hline
    model & gap \\
    \hline
    a\_1 & $-$8 [$-$18, 2] \\
    \hline
    \end{tabular}}%
    }
    <BLANKLINE>
    """
    printed = []
    for line in [head, *rows]:
        cells = [as_latex(text) for text in line]
        # a bracket after the end of a row would be read as its option
        cells[0] = cells[0].replace("[", "{[}", 1)
        row = " & ".join(cells)
        printed.append(rf"{row} \\")
    kinds = "l" * len(head)
    text = [
        r"{\footnotesize\setlength{\tabcolsep}{3pt}%",
        rf"\noindent{_FITTED}{{\begin{{tabular}}{{{kinds}}}",
        r"\hline",
        printed[0],
        r"\hline",
        *printed[1:],
        r"\hline",
        r"\end{tabular}}%",
        "}\n",
    ]
    return "\n".join(text)
