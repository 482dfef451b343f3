"""What a notebook of the study needs around it: findings, figures with their numbers, tables."""

from __future__ import annotations

import html
import io
import json
import platform
import re
import sys
import time
import warnings
from base64 import b64encode
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from medcal_nb.answers import without_formulas
from medcal_nb.errors import MedcalError, NotEnough, check_known
from medcal_nb.files import literals
from medcal_nb.wording import in_shell, rounded, show, typeset

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LIBRARIES = ("medcal-nb", "numpy", "pandas", "scipy", "matplotlib")
#: Numbers of an SVG beyond two places, and ids made of a hash of such: clips, marks, pictures.
_LONG = re.compile(r"-?\d+\.\d{3,}")
_ID = re.compile(r"""(?<=["#])([a-z]+)[0-9a-f]{10}(?=[")])""")
_HEADING = re.compile(r"(?m)^## .*$")
#: Where answers of one's own are read, or other recorded ones.
_OWN = """*On other answers than those of the study. What the text says of these ("in the study",
"in the results published here") is not about the answers here.*"""
#: How paragraphs begin that are about these alone.
_OF_STUDY = ("In the results published here", "In the study")
_FOLDED = """<details><summary>Code</summary>

{blocks}

</details>"""
# where a run reads and writes: of no use to a reader of the page
_PLACES_SET = re.compile("(?m)^(OUT|RESULTS) = .*\n?")

# a number that could not be computed, in a sentence
_NO_NUMBER = re.compile(r"\binf\b|(?<!\w)–(?!\w)")
#: Dots an inch of a figure that a notebook shows.
_SCREEN = 110
#: How papermill begins the cell of the parameters that it sets.
_SET = "# Parameters\n"


#: What a page shows of what brings a script along.
INTERACTIVE = "Interactive: it stands here when this cell is run in JupyterLab."


class Output:
    """Where a notebook writes: figures as PNG, SVG and CSV, its results as one JSON file.

    Three findings, the first or those marked so, are shown where the output was made, at the top of
    the notebook, once it is closed; until then what runs, and for how long the notebook has.

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
    on_top : int
        How many findings are shown at the top where none is marked; 3.
    results : dict
        What is written: ``parameters``, ``versions``, ``findings``, ``tables``, and of each figure
        what it draws and says, so that it can be held against its table.
    left_out : dict of str to str
        What the answers lack, by the section that it leaves out; in ``results``, too.

    Raises
    ------
    MedcalError
        If papermill set a parameter that no notebook has.

    Examples
    --------
    >>> out = Output("99_example", "figures", seed=0)
    <IPython.core.display.HTML object>
    >>> row = {"n": 100, "accuracy": 0.52, "accuracy_low": 0.42, "accuracy_high": 0.62}
    >>> out.finding("Accuracy was 52 %.", pd.DataFrame([row]))
    <IPython.core.display.HTML object>
      answers       accuracy
    0     100  52 % [42, 62]
    >>> out.close()
    <IPython.core.display.HTML object>
    >>> sorted(json.loads((out.folder / "results/99_example.json").read_text()))
    ['figures', 'findings', 'parameters', 'tables', 'versions']
    >>> list(out.tables)
    ['finding_1']
    """

    on_top = 3

    def __init__(self, notebook: str, folder: str = "", **parameters: Any) -> None:
        # `report` and `score` show tables, and need no figures of it
        from IPython import get_ipython
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
            "figures": {},
        }
        (self.folder / "results").mkdir(parents=True, exist_ok=True)
        self.left_out: dict[str, str] = {}
        self._lacking = ""
        # by what is lacking: a query that no answer fits, and parameters that would do
        self._unfit: dict[str, str] = {}
        self._examples: dict[str, dict[str, str]] = {}
        self._n_findings = 0
        self._leading: list[str] = []
        _attend(self._cell)
        plt.ioff()  # a figure is shown once, by `save`, not by the cell that draws it
        warnings.showwarning = _note
        waiting = ["Findings stand here when the notebook has run."]
        _say(waiting, display_id=f"findings-{notebook}")
        self._started = time.monotonic()
        self._places = _places(Path.cwd() / f"{notebook}.ipynb")
        self._notebook = get_ipython()
        if self._notebook is not None:
            self._notebook.events.register("pre_run_cell", self._say_what_runs)

    def data(self, answers: object, **texts: str) -> None:
        """Show what the answers are that a notebook reads, or that its text is not about them.

        Parameters
        ----------
        answers : str, path or list of these
            As of :func:`medcal_nb.answers.load_answers`.
        **texts
            By the name of recorded answers, in Markdown.

        Examples
        --------
        >>> out = Output("99_example", "figures")
        <IPython.core.display.HTML object>
        >>> out.data("mine.csv", vlcb="Answers of five models.")
        <IPython.core.display.Markdown object>
        """
        from IPython.display import Markdown, display

        display(Markdown(texts.get(str(answers), _OWN)))

    def section(
        self,
        title: str,
        needs: Mapping[str, bool | pd.DataFrame] | None = None,
        example: Mapping[str, str] | None = None,
    ) -> None:
        """Begin a section, or leave it out where the answers lack what it needs.

        The cells from here to the next call of ``section`` or ``close`` then do nothing, in
        JupyterLab as by papermill, and the page says "Left out: no …". Once the notebook is closed
        its top says what was left out for want of what, and how to have it.

        Parameters
        ----------
        title : str
            As its heading says it.
        needs : dict, optional
            By what it is called after "no": rows, which must be some, or whether it is there.
        example : dict, optional
            Parameters with which these answers have it, such as `medcal_nb.answers.two_parts`
            gives.

        Raises
        ------
        NotEnough
            If something lacks where no notebook runs, so that no cell can be left out.

        Examples
        --------
        >>> answers = pd.DataFrame({"domain": ["medical", "medical"]})
        >>> out = Output("99_example", "figures")
        <IPython.core.display.HTML object>
        >>> out.section("By domain", {"second domain": answers["domain"].nunique() > 1})
        Traceback (most recent call last):
        medcal_nb.errors.NotEnough: By domain: left out: no second domain
        """
        self._lacking = ""
        for name, rows in (needs or {}).items():
            is_there = not rows.empty if isinstance(rows, pd.DataFrame) else rows
            if not is_there:
                self._lacking = name
                if isinstance(rows, pd.DataFrame) and "lacks" in rows.attrs:
                    self._unfit[name] = rows.attrs["lacks"]
                break
        if not self._lacking:
            return
        if _shell() is None:
            raise NotEnough(f"{title}: left out: no {self._lacking}")
        self.left_out[title] = self._lacking
        self._examples.setdefault(self._lacking, dict(example or {}))
        _say([f"Left out: no {self._lacking}."], metadata={"left_out": True})

    def _cell(self, lines: list[str]) -> list[str]:
        """What is run of a cell: nothing in a section that is left out."""
        text = "".join(lines)
        if "import Output" in text:  # the notebook begins anew
            self._lacking = ""
        if not self._lacking or "out.section(" in text or "out.close()" in text:
            return lines
        return [f"{'left out: no ' + self._lacking!r}\n"]

    def finding(
        self, text: str, table: pd.DataFrame | None = None, *, top: bool = False
    ) -> None:
        """Show a sentence, the numbers that it rests on below it, and add both to the results.

        Parameters
        ----------
        text : str
            Line breaks are spaces; ``-0.1`` and ``5%`` get a minus sign and a space.
        table : DataFrame, optional
            Its estimates with intervals, n, methods: shown as by :func:`medcal_nb.wording.show`;
            ``finding_1``, ``finding_2``, … of the results, unless it is there by another name.
        top : bool
            Whether it is shown at the top: where any is, these are, in place of the first ones.

        Notes
        -----
        A sentence one of whose numbers could not be computed is no finding: it is in ``left_out``,
        and its table stands alone.
        """
        from IPython.display import display

        text = typeset(text)
        self._n_findings += 1
        if _NO_NUMBER.search(text):
            self.left_out[text] = "number"
            _say(["Left out: no number for a sentence; too few answers, or all alike."])
        else:
            self.findings.append(text)
            _say([text])
            if top:
                self._leading.append(text)
        if table is not None:
            table = self._add(f"finding_{self._n_findings}", table)
            display(show(table))

    def table(
        self, name: str, table: pd.DataFrame, columns: list[str] | None = None
    ) -> pd.DataFrame:
        """Add a table to the results, and return it, or some of its columns, to be looked at."""
        self.tables[name] = table
        return show(rounded(table), columns)

    def save(self, fig: Figure, name: str, table: pd.DataFrame, caption: str) -> None:
        """Write a figure with the numbers that it shows, show it and close it.

        Parameters
        ----------
        fig : Figure
        name : str
            File name without extension, such as ``fig04_skill``.
        table : DataFrame
            The numbers drawn, no more and no less; floats are written with six significant digits
            at most.
        caption : str
            What a mark, a bar and a band is, n, by image or by answer, synthetic or real: it is
            the alternative text.
        """
        from IPython.display import HTML, display
        from matplotlib import pyplot as plt

        from medcal_nb.figure_spec import figure_spec

        caption = typeset(caption)
        table = self._add(name, table)
        path = self.folder / name
        about = {"Software": None, "Description": caption}
        fig.savefig(path.with_suffix(".png"), metadata=about)
        fig.set_layout_engine("none")  # laid out once: that takes as long as drawing
        self.results["figures"][name] = figure_spec(fig)
        undated = {"Date": None, "Description": caption}
        drawing = io.StringIO()
        fig.savefig(drawing, format="svg", metadata=undated)
        text = settled_svg(drawing.getvalue())
        path.with_suffix(".svg").write_text(text, encoding="utf-8")
        rows = without_formulas(table)
        rows.to_csv(path.with_suffix(".csv"), index=False, float_format="%.6g")
        plt.close(fig)
        data = b64encode(_as_on_screen(path.with_suffix(".png")))
        shown = {"image/png": data.decode(), "text/plain": caption}
        alternative = re.sub(r"([^\w\s])", r"\\\1", caption)  # a name is no markup
        mark = {"medcal": f"![{alternative}]({name}.png)"}
        display(shown, metadata=mark, raw=True)
        text = html.escape(caption)
        paragraph = f'<p class="mathjax_ignore"><em>{text}</em></p>'
        display(HTML(paragraph))

    def _add(self, name: str, table: pd.DataFrame) -> pd.DataFrame:
        """Hold a table for the results, once; return it as it is written."""
        held = map(id, self.tables.values())
        if id(table) not in held:
            self.tables[name] = table
        return rounded(table)

    def close(self) -> None:
        """Write ``results/<notebook>.json``, and show the first findings at the top."""
        self._lacking = ""
        if self._notebook is not None:
            self._notebook.events.unregister("pre_run_cell", self._say_what_runs)
            self._notebook = None
        leading = self._leading or self.findings[: self.on_top]
        _say(
            [*leading, *self._what_was_left_out()],
            code=self._how_to_have_it(),
            display_id=f"findings-{self.notebook}",
            update=True,
        )
        tables = {}
        for name, table in self.tables.items():
            # a missing number is null
            text = rounded(table).to_json(orient="records", double_precision=15)
            tables[name] = json.loads(text)
        folder = self.folder / "results"
        path = folder / f"{self.notebook}.json"
        results = self.results | {"tables": tables}
        if self.left_out:
            results["left_out"] = self.left_out
        text = json.dumps(results, indent=1, ensure_ascii=False)
        path.write_text(f"{text}\n", encoding="utf-8")

    def _what_was_left_out(self) -> list[str]:
        """A line for all sections that lack the same."""
        lines = []
        for lacking in self._examples:
            n = [*self.left_out.values()].count(lacking)
            line = f"Left out, {n} section{'s' * (n > 1)}: no {lacking}."
            if lacking in self._unfit:
                line += f" Of these answers none fits {self._unfit[lacking]}."
            if self._examples[lacking]:
                line += " With two parts of these answers, for example:"
            lines.append(line)
        # lines to paste stand below the last
        return sorted(lines, key=lambda line: line.endswith(":"))

    def _how_to_have_it(self) -> str:
        """Parameters with which sections are there, for a terminal and for their cell."""
        ways = []
        for parameters in filter(None, self._examples.values()):
            own = self.results["parameters"].get("answers")
            own = {"ANSWERS": own} if isinstance(own, str) else {}
            words = [f"-p {_assigned(*one)}" for one in (own | parameters).items()]
            ways.append(" ".join([f"medcal study {self.notebook[:2]}", *words]))
            ways.append("# or in the cell of the parameters of this notebook:")
            ways += [f"{name} = {value!r}" for name, value in parameters.items()]
        return "\n".join(ways)

    def _say_what_runs(self, info: Any) -> None:
        """Show in the place of the findings which section runs, and for how long."""
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        text = f"Running for {minutes} min {seconds} s"
        place = self._places.get(info.raw_cell.strip())
        if place is not None:
            step, heading = place
            text += f", step {step} of {len(self._places)}: {heading}"
        _say([f"{text} …"], display_id=f"findings-{self.notebook}", update=True)


def _assigned(name: str, value: str) -> str:
    """A parameter as a shell reads it, in quotation marks where it has to be."""
    return f"{name}={in_shell(value)}"


def _places(path: Path) -> dict[str, tuple[int, str]]:
    """Number and heading of each cell of code, by its text, of a notebook that is there."""
    if not path.is_file():
        return {}
    places: dict[str, tuple[int, str]] = {}
    heading = "the beginning"
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            places[text.strip()] = (len(places) + 1, heading)
        else:
            for found in _HEADING.findall(text):
                heading = found.strip("# \n")
    return places


def _shell() -> Any:
    """The IPython that runs the cells of a notebook; None where none does."""
    from IPython import get_ipython

    return get_ipython()


def _attend(transform: Any) -> None:
    """Let each cell that comes pass here, in place of the output of an earlier notebook."""
    shell = _shell()
    if shell is None:
        return
    passing = shell.input_transformers_cleanup
    passing[:] = [
        one for one in passing if not isinstance(getattr(one, "__self__", None), Output)
    ]
    passing.append(transform)
    cells = shell.user_ns.get("In", [])
    for cell in cells:
        if cell.startswith(_SET):
            _check_parameters(cell)


def _check_parameters(cell: str) -> None:
    """Refuse parameters, set by papermill, that no notebook has."""
    known = {"NOTEBOOKS"}  # of a profile
    own = (_checkout() / "notebooks").glob("*.ipynb")
    beside = Path.cwd().glob("[0-9][0-9]_*.ipynb")  # the same, or of another checkout
    for path in {*own, *beside}:
        for one in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if "parameters" in one["metadata"].get("tags", ()):
                known |= literals("".join(one["source"])).keys()
    for name in literals(cell):
        check_known(name, known, "parameter")


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
    text = path.read_text(encoding="utf-8")
    results = json.loads(text)
    tables = {}
    for name, rows in results["tables"].items():
        tables[name] = pd.DataFrame(rows)
    return {"findings": results["findings"], "tables": tables}


def settled_svg(text: str) -> str:
    """Return an SVG of matplotlib that is the same on every processor.

    Coordinates have two places (hundredths of a point), and ids, which are hashes of coordinates
    to their last digit, are numbered in the order in which they occur.

    Parameters
    ----------
    text : str
        As ``Figure.savefig`` writes it.

    Examples
    --------
    >>> settled_svg('<use x="1.004999" xlink:href="#m0123456789"/><g id="m0123456789"/>')
    '<use x="1.00" xlink:href="#m1"/><g id="m1"/>'
    """
    numbers: dict[str, int] = {}

    def numbered(match: re.Match) -> str:
        n = numbers.setdefault(match[0], len(numbers) + 1)
        return f"{match[1]}{n}"

    def in_tag(match: re.Match) -> str:
        tag = _LONG.sub(lambda number: f"{float(number[0]):z.2f}", match[0])
        return _ID.sub(numbered, tag)

    return re.sub("<[^>]+>", in_tag, text)  # texts between tags stay


def page_of(executed: Path, notebook: str, *, is_own: bool = False) -> str:
    """Return an executed notebook as a page, its code folded, and take local paths out of it.

    Parameters
    ----------
    executed : Path
    notebook : str
        Where the notebook lies, seen from the page.
    is_own : bool
        Whether it was run on other answers than the study's: the page then says so, and leaves out
        what the text tells of the published results.

    Returns
    -------
    str
        Markdown: texts, tables, what was printed, and figures by relative path; at the end of
        each section its code, folded, each cell with the value that it ends in.
    """
    import nbformat
    from nbconvert import MarkdownExporter

    content = nbformat.read(executed, as_version=4)
    for part in (content, *content.cells):
        part.metadata.pop("papermill", None)
        tags = part.metadata.get("tags", ())
        if "injected-parameters" in tags:
            part.source = _PLACES_SET.sub("", part.source)
    nbformat.write(content, executed)
    code = _code_by_section(content.cells)
    left_out = _left_out(content.cells)
    for cell, is_left_out in zip(content.cells, left_out, strict=True):
        if is_own and cell.cell_type == "markdown":
            cell.source = _without_results(cell.source)
            if is_left_out:
                heading = _HEADING.match(cell.source)
                cell.source = heading[0] if heading else ""
        outputs = map(_on_page, cell.get("outputs", ()))
        cell.outputs = [*filter(None, outputs)]
    exporter = MarkdownExporter(exclude_input=True)
    page, _ = exporter.from_notebook_node(content)
    page = re.sub(r"\]\((\d\d_\w+)\.ipynb", r"](\1.md", page)  # chapters beside it
    page = page.strip()
    page = re.sub(r"\n\s*\n\s*\n", "\n\n", page)
    head = f"Executed [{executed.stem}]({notebook}), each section's code folded at its end."
    parts = [head, _OWN] if is_own and _OWN not in page else [head]
    for part in re.split(r"(?m)^(?=## )", page):
        parts.append(part.strip())
        heading = _HEADING.match(part)
        blocks = code[heading[0] if heading else ""]
        if blocks:
            parts.append(_FOLDED.format(blocks="\n\n".join(blocks)))
    return "\n\n".join(parts) + "\n"


def _without_results(text: str) -> str:
    """A text without its paragraphs on the study, and what follows a colon there."""
    paragraphs = []
    of_text = text.split("\n\n")
    for paragraph in of_text:
        if paragraph.startswith(_OF_STUDY):
            if paragraph.endswith(":"):
                break
        else:
            paragraphs.append(paragraph)
    is_heading_left = len(paragraphs) == 1 and _HEADING.fullmatch(paragraphs[0])
    if is_heading_left and len(of_text) > 1:
        return ""
    return "\n\n".join(paragraphs)


def _left_out(cells: list[Any]) -> list[bool]:
    """Whether each cell is of a section that the answers lack the rows for.

    A text belongs to the first section that the code below it begins, before the next text, or
    to the one that it stands in.
    """
    states: list[bool] = []
    is_out = False
    texts: list[int] = []  # places of texts whose section has not begun yet
    for place, cell in enumerate(cells):
        if cell.cell_type != "code":
            if texts and texts[-1] != place - 1:
                texts = []
            texts.append(place)
        elif "out.section(" in cell.source or "out.close()" in cell.source:
            marks = [output.get("metadata", {}) for output in cell.outputs]
            is_out = any("left_out" in mark for mark in marks)
            for text in texts:
                states[text] = is_out
            texts = []
        states.append(is_out)
    return states


def _code_by_section(cells: list[Any]) -> dict[str, list[str]]:
    """Blocks of Markdown by the heading they stand under: code, and text that a cell ends in."""
    code: dict[str, list[str]] = {"": []}
    heading = ""
    for cell in cells:
        if cell.cell_type != "code":
            for heading in _HEADING.findall(cell.source):
                code[heading] = []
        elif cell.source.strip() not in ("", _SET.strip()):
            code[heading].append(f"```python\n{cell.source.strip()}\n```")
            for output in cell.outputs:
                data = output.get("data", {})
                is_plain = data and data.keys() <= {"text/plain"}
                if output["output_type"] == "execute_result" and is_plain:
                    code[heading].append(f"```text\n{data['text/plain']}\n```")
    return code


def _on_page(output: Any) -> Any:
    """What a page shows of an output: a saved figure, HTML, what was printed; None of others."""
    if output["output_type"] == "stream":
        return output if output["name"] == "stdout" else None
    about = output.get("metadata", {})
    figure = about.get("medcal")
    if figure:
        output.data = {"text/markdown": figure}
        return output
    data = output.get("data", {})
    text = data.get("text/html")
    if text is None:
        return output if "text/markdown" in data else None
    if "<script" in text:  # what needs it would be dead here
        output.data = {"text/html": f"<p><em>{INTERACTIVE}</em></p>"}
        return output
    text = re.sub(r"(?s)<style\b.*?</style>", "", text)
    # a row of a table on one line; an empty line would end the block, and $ begin a formula
    text = re.sub(r"\s+(?=<(td|th|/tr)\b)", "", text)
    text = re.sub(r"\n\s*\n", "\n", text)
    text = text.strip()
    output.data = {"text/html": text.replace("$", "&#36;")}
    return output


def _as_on_screen(path: Path) -> bytes:
    """A PNG in the resolution of a screen: made smaller, which is quicker than drawn again."""
    from PIL import Image

    picture = io.BytesIO()
    with Image.open(path) as whole:
        share = _SCREEN / whole.info["dpi"][0]
        size = [round(share * side) for side in whole.size]
        small = whole.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    small.save(picture, format="png", dpi=(_SCREEN, _SCREEN))
    return picture.getvalue()


def _say(texts: list[str], code: str = "", **where: Any) -> None:
    """Show sentences, and code: names of models in them are texts, never markup."""
    from IPython.display import HTML, display  # `report` and `score` need no notebook

    lines = ""
    for text in texts:
        lines += f"<p>{html.escape(text)}</p>"
    if code:
        lines += f"<pre>{html.escape(code)}</pre>"
    quoted = f'<blockquote class="mathjax_ignore">{lines}</blockquote>'
    display(HTML(quoted), **where)


def _note(message: Warning | str, *place: Any, **more: Any) -> None:
    """Write a warning as a line, without the place in the code that gave it.

    It is of the notebook that is run, not of the page: a page says in its own words what it means.
    """
    words = str(message).split()
    print("Note:", *words, file=sys.stderr)


def _checkout() -> Path:
    """The folder that holds notebooks/: that of the package, or the current one or its parent."""
    beside = Path(__file__).resolve().parents[1]
    if (beside / "notebooks").is_dir():
        return beside
    return Path.cwd()
