"""What a notebook of the study needs around it: findings, figures with their numbers, tables."""

from __future__ import annotations

import ast
import html
import io
import json
import platform
import re
from base64 import b64encode
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from medcal_nb.answers import without_formulas
from medcal_nb.errors import MedcalError, check_known
from medcal_nb.labels import UNITS, label_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LIBRARIES = ("medcal-nb", "numpy", "pandas", "scipy", "matplotlib")
_ON_TOP = 3
_ENDS = ("_low", "_high")
_TINY = 0.0001


class Output:
    """Where a notebook writes: figures as PNG, SVG and CSV, its results as one JSON file.

    The first three findings are shown where the output was made, at the top of the notebook, once
    it is closed.

    Parameters
    ----------
    notebook : str
        Its name, such as ``04_transfer``.
    folder : str
        Where files go, made if absent; if empty, ``build/lab`` beside the notebooks' folder.
    **parameters
        What the numbers follow from, written beside them.

    Attributes
    ----------
    folder : Path
    findings : list of str
        The sentences.
    tables : dict of str to DataFrame
        By name.
    results : dict
        What is written: ``parameters``, ``versions``, ``findings``, ``tables``.

    Examples
    --------
    >>> out = Output("99_example", "figures", seed=0)
    <IPython.core.display.HTML object>
    >>> out.finding("Accuracy was 52 % (n = 100).")
    <IPython.core.display.HTML object>
    >>> out.close()
    <IPython.core.display.HTML object>
    >>> sorted(json.loads((out.folder / "results/99_example.json").read_text()))
    ['findings', 'parameters', 'tables', 'versions']
    """

    def __init__(self, notebook: str, folder: str = "", **parameters: Any) -> None:
        # `report` and `score` show tables, and need no figures of it
        from matplotlib import pyplot as plt

        self.notebook = notebook
        self.folder = Path(folder)
        if not folder:
            self.folder = _checkout() / "build" / "lab"
        versions = {"python": platform.python_version()}
        for name in _LIBRARIES:
            versions[name] = version(name)
        self.findings: list[str] = []
        self.tables: dict[str, pd.DataFrame] = {}
        self.results: dict[str, Any] = {
            "parameters": parameters,
            "versions": versions,
            "findings": self.findings,
            "tables": self.tables,
        }
        (self.folder / "results").mkdir(parents=True, exist_ok=True)
        plt.ioff()  # a figure is shown once, by `save`, not by the cell that draws it
        waiting = ["Findings stand here when the notebook has run."]
        _say(waiting, display_id=f"findings-{notebook}")

    def finding(self, text: str) -> None:
        """Show a sentence of counts, estimates and intervals, and add it to the results.

        Line breaks are spaces; ``-0.1`` and ``5%`` are written with a minus sign and a space.
        """
        text = _typeset(text)
        self.findings.append(text)
        _say([text])

    def table(
        self, name: str, table: pd.DataFrame, columns: list[str] | None = None
    ) -> pd.DataFrame:
        """Add a table to the results, and return it, or some of its columns, to be looked at."""
        self.tables[name] = table
        return show(table, columns)

    def save(self, fig: Figure, name: str, table: pd.DataFrame, caption: str) -> None:
        """Write a figure with the numbers that it shows, show it and close it.

        Parameters
        ----------
        fig : Figure
        name : str
            File name without extension, such as ``fig04_skill``.
        table : DataFrame
            The numbers drawn; floats are written with six significant digits.
        caption : str
            What a mark, a bar and a band is, n, by image or by answer, synthetic or real: it is
            the alternative text.
        """
        from IPython.display import HTML, display
        from matplotlib import pyplot as plt

        caption = _typeset(caption)
        is_there = any(table is other for other in self.tables.values())
        if not is_there:
            self.tables[name] = table
        path = self.folder / name
        about = {"Software": None, "Description": caption}
        fig.savefig(path.with_suffix(".png"), metadata=about)
        undated = {"Date": None, "Description": caption}
        fig.savefig(path.with_suffix(".svg"), metadata=undated)
        rows = without_formulas(table)
        rows.to_csv(path.with_suffix(".csv"), index=False, float_format="%.6g")
        picture = io.BytesIO()
        fig.savefig(picture, format="png", dpi=110, metadata=about)
        plt.close(fig)
        data = b64encode(picture.getvalue()).decode()
        shown = {"image/png": data, "text/plain": caption}
        alternative = re.sub(r"([^\w\s])", r"\\\1", caption)  # a name is no markup
        mark = f"![{alternative}]({name}.png)"
        display(shown, metadata={"medcal": mark}, raw=True)
        text = html.escape(caption)
        display(HTML(f'<p class="mathjax_ignore"><em>{text}</em></p>'))

    def close(self) -> None:
        """Write ``results/<notebook>.json``, and show the first findings at the top."""
        leading = self.findings[:_ON_TOP]
        _say(leading, display_id=f"findings-{self.notebook}", update=True)
        tables = {}
        for name, table in self.tables.items():
            # a missing number is null
            text = table.to_json(orient="records", double_precision=15)
            tables[name] = json.loads(text)
        path = self.folder / "results" / f"{self.notebook}.json"
        results = self.results | {"tables": tables}
        text = json.dumps(results, indent=1, ensure_ascii=False)
        path.write_text(f"{text}\n", encoding="utf-8")


class _Shown(pd.DataFrame):
    """A table of texts that is shown without its index; names in it are escaped."""

    def _repr_html_(self) -> str:
        return self.to_html(
            index=False, border=0, justify="left", classes="mathjax_ignore"
        )


def published(notebook: str, folder: str = "") -> dict[str, Any]:
    """Return what another notebook found: its sentences, and its tables by name.

    Parameters
    ----------
    notebook : str
        Its name, such as ``04_transfer``.
    folder : str
        Where its results lie; if empty, ``figures/results`` beside the notebooks' folder.

    Returns
    -------
    dict
        ``findings``: list of sentences; ``tables``: DataFrames by name.

    Raises
    ------
    MedcalError
        If it has no results there.
    """
    place = Path(folder)
    if not folder:
        place = _checkout() / "figures" / "results"
    path = place / f"{notebook}.json"
    if not path.is_file():
        raise MedcalError(f"{path}: not there: run `medcal study {notebook[:2]}` first")
    results = json.loads(path.read_text(encoding="utf-8"))
    tables = {}
    for name, rows in results["tables"].items():
        tables[name] = pd.DataFrame(rows)
    return {"findings": results["findings"], "tables": tables}


def show(table: pd.DataFrame, columns: list[str] | None = None) -> pd.DataFrame:
    """Return a table to look at: few digits, intervals beside estimates, names that people know.

    Parameters
    ----------
    table : DataFrame
        The ends of an interval stand in ``<column>_low`` and ``<column>_high``.
    columns : list of str, optional
        Those shown, in order; all but ends of intervals if not given.

    Examples
    --------
    >>> row = {"model": "deepseek-vl2", "accuracy": 0.512}
    >>> row |= {"accuracy_low": 0.4, "accuracy_high": 0.6}
    >>> show(pd.DataFrame([row])).to_numpy().tolist()
    [['DeepSeek-VL2', '51 % [40, 60]']]
    """
    names = columns or [name for name in table if not str(name).endswith(_ENDS)]
    shown = {}
    for name in names:
        ends = [f"{name}{end}" for end in _ENDS]
        ends = [end for end in ends if end in table]
        rows = table[[name, *ends]].itertuples(index=False)
        heading = label_of(name).replace("_", " ")
        shown[heading] = [_cell(name, *row) for row in rows]
    return _Shown(shown)


def page_of(executed: Path, notebook: str) -> str:
    """Return an executed notebook as a page without its code, and take local paths out of it.

    Parameters
    ----------
    executed : Path
    notebook : str
        Where the notebook lies, seen from the page.

    Returns
    -------
    str
        Markdown: texts, tables, what was printed, and figures by relative path.
    """
    import nbformat
    from nbconvert import MarkdownExporter

    content = nbformat.read(executed, as_version=4)
    for part in (content, *content.cells):
        part.metadata.pop("papermill", None)
        if "injected-parameters" in part.metadata.get("tags", ()):
            part.source = re.sub("(?m)^OUT = .*$", 'OUT = ""', part.source)
    nbformat.write(content, executed)
    for cell in content.cells:
        outputs = map(_on_page, cell.get("outputs", ()))
        cell.outputs = [output for output in outputs if output]
    page, _ = MarkdownExporter(exclude_input=True).from_notebook_node(content)
    page = re.sub(r"\]\((\d\d_\w+)\.ipynb", r"](\1.md", page)  # chapters beside it
    page = re.sub(r"\n\s*\n\s*\n", "\n\n", page.strip())
    head = f"Executed [{executed.stem}]({notebook}), without its code."
    return f"{head}\n\n{page}\n"


def _on_page(output: Any) -> Any:
    """What a page shows of an output: a saved figure, HTML, what was printed; None of others."""
    if output.get("name") == "stdout":
        return output
    figure = output.get("metadata", {}).get("medcal")
    if figure:
        output.data = {"text/markdown": figure}
        return output
    text = output.get("data", {}).get("text/html")
    if text is None:
        return None
    text = re.sub(r"(?s)<(style|script)\b.*?</\1>", "", text)
    # a row of a table on one line; an empty line would end the block, and $ begin a formula
    text = re.sub(r"\s+(?=<(td|th|/tr)\b)", "", text)
    text = re.sub(r"\n\s*\n", "\n", text)
    output.data = {"text/html": text.strip().replace("$", "&#36;")}
    return output


def select(table: pd.DataFrame, query: str) -> pd.DataFrame:
    """Return the rows of a table that a query names; a value that no row has is an error.

    Parameters
    ----------
    table : DataFrame
    query : str
        As for :meth:`pandas.DataFrame.query`: ``"dataset == 'GQA' and domain == 'general'"``.

    Raises
    ------
    MedcalError
        If the query cannot be read, names a column or a value that the table does not hold, or no
        row fits: what there is stands beside it.

    Examples
    --------
    >>> table = pd.DataFrame({"domain": ["general", "medical"], "n": [1, 2]})
    >>> select(table, "domain == 'medical'")["n"].tolist()
    [2]
    >>> select(table, "domain == 'medcal'")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    medcal_nb.errors.MedcalError: no row has domain 'medcal'; did you mean 'medical'?; there ...
    """
    try:
        nodes = list(ast.walk(ast.parse(query, mode="eval")))
        for node in nodes:
            if isinstance(node, ast.Name):
                check_known(node.id, table.columns, "column")
        for node in nodes:
            if isinstance(node, ast.Compare) and isinstance(node.left, ast.Name):
                column = node.left.id
                known = table[column].dropna().unique()
                for value in _texts(node.comparators):
                    check_known(value, known, f"row has {column}")
        rows = table.query(query)
    except (SyntaxError, TypeError, ValueError) as error:
        raise MedcalError(f"{query!r} is no query of a table: {error}") from None
    if rows.empty:
        raise MedcalError(f"no row fits {query!r}")
    return rows


def _texts(nodes: list[ast.expr]) -> list[str]:
    """Texts that a comparison names, alone or in a list."""
    texts = []
    for node in nodes:
        for leaf in ast.walk(node):
            if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str):
                texts.append(leaf.value)
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
        As in a format: ``.3f`` for a score, ``.0%`` for a share of answers; ``points`` for a
        difference of shares.
    level : float
        Of the interval.

    Examples
    --------
    >>> row = pd.Series({"gap": 0.31, "gap_low": 0.295, "gap_high": 0.33})
    >>> estimate(row, "gap", "points")
    '31 percentage points (95 % CI 30 to 33)'
    """
    scale = 1
    unit = ""
    if form == "points":
        form = ".0f"
        scale = 100
        unit = " percentage points"
    texts = []
    for column in (name, f"{name}_low", f"{name}_high"):
        number = scale * row[column]
        texts.append(format(number, form))
    value, low, high = texts
    return _typeset(f"{value}{unit} ({level:.0%} CI {low} to {high})")


def _typeset(text: str) -> str:
    """A text on one line, with minus signs, a space before percent, and a dash for no number."""
    line = re.sub(r"(?<![\w-])nan(?![\w-])", "–", " ".join(text.split()))
    line = re.sub(r"(?<![\w.)\]])-(?=\d)", "−", line)
    line = re.sub(r"−(0(?:\.0+)?)(?![.\d])", r"\1", line)
    return re.sub(r"(?<=\d)%", " %", line)


def _cell(column: str, value: Any, *ends: float) -> str:
    """A value of a column as a person reads it, a number with its interval."""
    unit = UNITS.get(column, "")
    if isinstance(value, str):
        return label_of(value, column)
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if value is None or pd.isna(value):
        return "–"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if not isinstance(value, float) or np.isinf(value):
        return str(value).replace("inf", "∞")
    if 0 < value < _TINY and not ends:
        return f"< {_TINY}"
    scale = 1
    if unit:
        scale = 100
        digits = 0
    else:
        digits = _digits(value, *ends)
    text = f"{scale * value:z,.{digits}f}"
    if unit == "%":
        text += " %"
    if ends and np.isfinite(ends).all():
        interval = [f"{scale * end:z.{digits}f}" for end in ends]
        text += f" [{', '.join(interval)}]"
    return text.replace("-", "−")


def _digits(value: float, *ends: float) -> int:
    """Digits after the point: two significant ones, and those that tell ends apart."""
    sizes = np.abs([value, *ends])
    largest = sizes[np.isfinite(sizes)].max()
    step = largest / 10
    for width in np.diff(ends):
        if width > 0:
            step = min(step, width)
    size = np.log10(max(step, 1e-4))
    return max(0, -int(np.floor(size)))


def _say(texts: list[str], **where: Any) -> None:
    """Show sentences: names of models in them are texts, never markup."""
    from IPython.display import HTML, display  # `report` and `score` need no notebook

    lines = ""
    for text in texts:
        lines += f"<p>{html.escape(text)}</p>"
    quoted = f'<blockquote class="mathjax_ignore">{lines}</blockquote>'
    display(HTML(quoted), **where)


def _checkout() -> Path:
    """The folder that holds notebooks/: that of the package, or the current one or its parent."""
    beside = Path(__file__).resolve().parents[1]
    if (beside / "notebooks").is_dir():
        return beside
    return Path.cwd()
