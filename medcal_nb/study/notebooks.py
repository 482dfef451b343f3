"""What notebooks say of themselves: reads and writes in ``metadata.medcal``, and parameters."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medcal_nb.errors import MedcalError

ANSWERS = "answers"
# set by the study from its own options
_RESERVED = {"PROFILE": "--profile", "ANSWERS": "--answers", "OUT_DIR": "--out", "FAST": "--fast"}


@dataclass(frozen=True)
class Notebook:
    """A notebook of the study, read but not run.

    Attributes
    ----------
    path : pathlib.Path
        The file; its name without extension is the notebook's name.
    declared : dict
        ``metadata.medcal``: ``reads`` and ``writes`` are lists of ``answers``, ``figNN_what``,
        ``results/NN_topic.json`` or, in ``reads``, a file of the checkout; ``optional`` are those
        it can do without; ``shows`` a line per figure; ``tolerance`` what `medcal verify` allows.
    parameters : dict
        The literals of its ``parameters`` cell.
    cells : list
        Kind, source and tags of each cell: outputs do not count.
    """

    path: Path
    declared: dict[str, Any] = field(hash=False)
    parameters: dict[str, Any] = field(hash=False)
    cells: list[tuple[str, str, list[str]]] = field(hash=False, repr=False)

    @property
    def name(self) -> str:
        """Its name, such as ``02_metrics``."""
        return self.path.stem

    @property
    def reads(self) -> list[str]:
        """Outputs and files that it reads."""
        return self.declared["reads"]

    @property
    def writes(self) -> list[str]:
        """Outputs that it writes."""
        return self.declared["writes"]

    @property
    def figures(self) -> list[str]:
        """Figures that it writes."""
        return [name for name in self.writes if name.startswith("fig")]

    def text(self, kind: str) -> str:
        """Return the sources of all cells of a kind, ``code`` or ``markdown``."""
        return "\n".join(source for its, source, _ in self.cells if its == kind)


def find_notebooks(folder: Path) -> list[Notebook]:
    """Read all ``NN_topic.ipynb`` of a folder, in the order of their numbers.

    Raises
    ------
    MedcalError
        If there are none, one can't be read or declares what nobody writes.
    """
    notebooks = [_read(path) for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))]
    if not notebooks:
        raise MedcalError(f"{folder}: no notebooks named NN_topic.ipynb: is this a full checkout?")
    written = {output for notebook in notebooks for output in notebook.writes} | {ANSWERS}
    for notebook in notebooks:
        for name in {*notebook.reads} - written:
            if "/" not in name or name.startswith("results/"):
                raise MedcalError(f"{notebook.path}: reads {name!r}, which no notebook writes")
    return notebooks


def _read(path: Path) -> Notebook:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        cells = [
            (cell["cell_type"], "".join(cell["source"]), cell["metadata"].get("tags", []))
            for cell in content["cells"]
        ]
        declared = content["metadata"]["medcal"]
        _ = declared["reads"] + declared["writes"]
        for name in declared["writes"]:
            if not re.fullmatch(rf"answers|fig{path.name[:2]}_\w+|results/{path.stem}\.json", name):
                raise ValueError(f"writes {name!r}, which bears another name than its own")
        (source,) = (s for kind, s, tags in cells if kind == "code" and "parameters" in tags)
        statements = ast.parse(source).body
        parameters = {s.targets[0].id: ast.literal_eval(s.value) for s in statements}
    except (ValueError, KeyError, TypeError, AttributeError, SyntaxError) as error:
        raise MedcalError(
            f"{path}: no notebook of the study ({type(error).__name__}: {error}): it needs one "
            "code cell tagged 'parameters' of NAME = literal, and metadata.medcal with lists "
            "'reads' and 'writes' (of 'answers', 'figNN_what', 'results/NN_topic.json')"
        ) from None
    return Notebook(path, declared, parameters, cells)


def select(notebooks: list[Notebook], wanted: Iterable[str]) -> tuple[set[str], set[str]]:
    """Return the wanted notebooks, and those together with all they depend on.

    Parameters
    ----------
    notebooks : list of Notebook
        All of them.
    wanted : iterable of str
        Numbers (``2`` or ``02``) or names (``02_metrics``); none means all.

    Raises
    ------
    MedcalError
        If there is no such notebook.
    """
    by_name = {notebook.name: notebook for notebook in notebooks}
    chosen: set[str] = set()
    for word in wanted:
        name = Path(word).name.removesuffix(".ipynb")
        found = {n for n in by_name if name in (n, n[:2], str(int(n[:2])))}
        if not found:
            raise MedcalError(f"no notebook {word!r}: choose from {', '.join(by_name)}")
        chosen |= found
    chosen = chosen or set(by_name)
    writers = {output: notebook.name for notebook in notebooks for output in notebook.writes}
    closed, waiting = set(), set(chosen)
    while waiting:
        name = waiting.pop()
        closed.add(name)
        waiting |= {writers[read] for read in by_name[name].reads if read in writers} - closed
    return chosen, closed


def parse_parameters(
    assignments: Iterable[str], notebooks: list[Notebook]
) -> dict[str, dict[str, Any]]:
    """Return by notebook the parameters that texts ``NAME=VALUE`` set.

    VALUE is JSON or, for a parameter that is a text, the text itself; it is never code.

    Raises
    ------
    MedcalError
        If a text has no ``=``, no notebook has the parameter, or the value is not of its kind.
    """
    assigned: dict[str, dict[str, Any]] = {notebook.name: {} for notebook in notebooks}
    known = {name for notebook in notebooks for name in notebook.parameters} - _RESERVED.keys()
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals:
            raise MedcalError(f"-p {text!r}: write NAME=VALUE, VALUE as JSON")
        if name in _RESERVED:
            raise MedcalError(f"-p {name}: set by the study: use {_RESERVED[name]}")
        if name not in known:
            told = f"no parameter of {', '.join(assigned)}; there are {', '.join(sorted(known))}"
            raise MedcalError(f"-p {name}: {told}")
        for notebook in notebooks:
            if name in notebook.parameters:
                default = notebook.parameters[name]
                assigned[notebook.name][name] = _value(name, value, default, notebook.name)
    return assigned


def _value(name: str, text: str, default: Any, notebook: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if isinstance(default, str):
        return value if isinstance(value, str) else text
    kinds = (int, float) if isinstance(default, float) else (type(default),)
    if type(value) in kinds or (default is None and value is not text):
        return value
    kind = "a value" if default is None else type(default).__name__
    such = json.dumps(0.1 if default is None else default)
    raise MedcalError(f"-p {name}={text}: {notebook} takes {kind}, as JSON such as {such}")


def figure_map(notebooks: Iterable[Notebook]) -> str:
    """Return a Markdown table of all figures: what each shows, and the command that makes it.

    Links are as seen from the checkout's root.
    """
    lines = ["| figure | notebook | what it shows | command |", "|---|---|---|---|"]
    for notebook in notebooks:
        made, shows = notebook.name, notebook.declared.get("shows", {})
        lines += [
            f"| [{figure}](figures/{figure}.png) | [{made}](notebooks/{made}.ipynb) | "
            f"{shows.get(figure, '')} | `make figures NB={made[:2]}` |"
            for figure in notebook.figures
        ]
    return "\n".join(lines)
