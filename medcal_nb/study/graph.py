"""The study as a graph: what each notebook reads and writes, and the order that follows."""

from __future__ import annotations

import ast
import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medcal_nb.errors import MedcalError
from medcal_nb.study.hashing import text_hash

ANSWERS = "answers"
# set by the runner from its own options
RESERVED = ("PROFILE", "ANSWERS", "OUT_DIR", "FAST")
_NOTEBOOK = re.compile(r"(\d\d)_[a-z0-9_]+\.ipynb")
_FIGURE = re.compile(r"fig(\d\d)_[a-z0-9_]+")


@dataclass(frozen=True)
class Notebook:
    """A notebook of the study, read but not run.

    Attributes
    ----------
    name : str
        File name without extension, such as ``02_metrics``.
    path : pathlib.Path
        The file.
    title : str
        Its first heading.
    reads, writes : tuple of str
        ``answers``, ``figNN_x``, ``results/NN_topic.json`` or, in ``reads``, a file of the
        checkout such as ``data/pocket/manifest.json``.
    optional : frozenset of str
        Those it reads that it can do without, where a profile leaves out what writes them.
    parameters : dict
        The literals of its ``parameters`` cell.
    code : str
        All of its Python code, magics left out.
    source_hash : str
        Hash of its cells, tags and declarations; outputs do not count.
    n_cells : int
        How many cells it has.
    tolerance : dict
        How far another machine's numbers may be from the published, by figure.
    shows : dict
        What each figure shows, in a line.
    """

    name: str
    path: Path
    title: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    parameters: dict[str, Any] = field(hash=False)
    code: str = field(repr=False)
    source_hash: str
    n_cells: int
    optional: frozenset[str] = frozenset()
    tolerance: dict[str, float] = field(default_factory=dict, hash=False)
    shows: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the figures it writes."""
        return tuple(name for name in self.writes if _FIGURE.fullmatch(name))

    @property
    def results(self) -> tuple[str, ...]:
        """Results files it writes."""
        return tuple(name for name in self.writes if name.startswith("results/"))

    @property
    def asks(self) -> bool:
        """Whether it fills the answers table."""
        return ANSWERS in self.writes


def find_notebooks(folder: Path) -> list[Notebook]:
    """Read all ``NN_topic.ipynb`` of a folder, in the order of their numbers.

    Raises
    ------
    MedcalError
        If there are none, or one breaks the conventions (see :func:`read_notebook`).
    """
    paths = sorted(path for path in folder.glob("*.ipynb") if _NOTEBOOK.fullmatch(path.name))
    if not paths:
        raise MedcalError(f"{folder}: no notebooks named NN_topic.ipynb: is this a full checkout?")
    numbers: dict[str, Path] = {}
    for path in paths:
        if (other := numbers.setdefault(path.name[:2], path)) != path:
            raise MedcalError(
                f"{path}: number {path.name[:2]} is taken by {other.name}: rename one of them"
            )
    return [read_notebook(path) for path in paths]


def read_notebook(path: Path) -> Notebook:
    """Read a notebook and check what the runner relies on.

    Raises
    ------
    MedcalError
        If the file is damaged; if it has no or several cells tagged ``parameters``, or that
        cell holds anything but capital names set to literals; if ``metadata.medcal`` with
        ``reads`` and ``writes`` is missing or names what can't be read or written.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        cells = [
            (cell["cell_type"], _text(cell["source"]), _tags(cell)) for cell in content["cells"]
        ]
        metadata = content["metadata"]
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise MedcalError(
            f"{path}: not a readable notebook ({type(error).__name__}: {error}): "
            "restore it with `git checkout`"
        ) from None
    declared = metadata.get("medcal")
    if not isinstance(declared, dict):
        raise MedcalError(
            f"{path}: metadata.medcal is missing: declare {{'reads': […], 'writes': […]}}"
        )
    for key in ("reads", "writes"):
        names = declared.get(key)
        if not isinstance(names, list) or any(type(name) is not str for name in names):
            raise MedcalError(f"{path}: metadata.medcal.{key}: give a list of names, not {names!r}")
    _check_writes(path, declared["writes"])
    optional = declared.get("optional", [])
    if not isinstance(optional, list) or not set(optional) <= set(declared["reads"]):
        raise MedcalError(
            f"{path}: metadata.medcal.optional: give a list of names that are in its reads, "
            f"not {optional!r}"
        )

    tagged = [i for i, (_, _, tags) in enumerate(cells) if "parameters" in tags]
    if len(tagged) != 1:
        raise MedcalError(
            f"{path}: {len(tagged) or 'no'} cell{'s' * (len(tagged) != 1)} tagged 'parameters'"
            f"{' (cells ' + ', '.join(str(i + 1) for i in tagged) + ')' if tagged else ''}: "
            "tag exactly one code cell"
        )
    kind, source, _ = cells[tagged[0]]
    if kind != "code":
        raise MedcalError(f"{path}: cell {tagged[0] + 1} tagged 'parameters' is not a code cell")
    parameters = _literals(path, tagged[0] + 1, source)
    needed = [name for name in RESERVED if name != "ANSWERS"]
    if ANSWERS in declared["reads"] or ANSWERS in declared["writes"]:
        needed.append("ANSWERS")
    for name in needed:
        if name not in parameters:
            raise MedcalError(f"{path}: cell {tagged[0] + 1} 'parameters' lacks {name}: add it")

    code = "\n".join(
        "\n".join(line for line in text.splitlines() if not line.lstrip().startswith(("%", "!")))
        for kind, text, _ in cells
        if kind == "code"
    )
    try:
        ast.parse(code)
    except SyntaxError as error:
        raise MedcalError(f"{path}: not valid Python: {error.msg}: {error.text!r}") from None
    heading = re.search(
        r"^#\s+(.+)$", "\n".join(text for kind, text, _ in cells if kind == "markdown"), re.M
    )
    return Notebook(
        name=path.stem,
        path=path,
        title=heading.group(1).strip() if heading else path.stem,
        reads=tuple(declared["reads"]),
        writes=tuple(declared["writes"]),
        parameters=parameters,
        code=code,
        # what is told about the figures changes none of them
        source_hash=text_hash(
            json.dumps([cells, {k: v for k, v in declared.items() if k != "shows"}], sort_keys=True)
        ),
        n_cells=len(cells),
        optional=frozenset(optional),
        tolerance=_tolerance(path, declared),
        shows=_shows(path, declared),
    )


def _text(source: str | list[str]) -> str:
    return source if isinstance(source, str) else "".join(source)


def _tags(cell: dict[str, Any]) -> list[str]:
    return sorted(cell.get("metadata", {}).get("tags", []))


def _check_writes(path: Path, writes: list[str]) -> None:
    for name in writes:
        figure = _FIGURE.fullmatch(name)
        if name == ANSWERS or name == f"results/{path.stem}.json":
            continue
        if figure and figure.group(1) == path.name[:2]:
            continue
        raise MedcalError(
            f"{path}: metadata.medcal.writes: {name!r} is none of 'answers', "
            f"'fig{path.name[:2]}_what', 'results/{path.stem}.json'"
        )


def _tolerance(path: Path, declared: dict[str, Any]) -> dict[str, float]:
    told = declared.get("tolerance", {})
    for name, value in told.items():
        if name not in declared["writes"] or not isinstance(value, int | float) or value < 0:
            raise MedcalError(
                f"{path}: metadata.medcal.tolerance: {name!r}: {value!r}: give a figure that it "
                "writes and a number from 0"
            )
    return told


def _shows(path: Path, declared: dict[str, Any]) -> dict[str, str]:
    told = declared.get("shows", {})
    for name, line in told.items():
        if name not in declared["writes"] or not isinstance(line, str) or not line.strip():
            raise MedcalError(
                f"{path}: metadata.medcal.shows: {name!r}: {line!r}: give a figure that it writes "
                "and a line of words"
            )
    return told


def _literals(path: Path, number: int, source: str) -> dict[str, Any]:
    where = f"{path}: cell {number} 'parameters'"
    try:
        body = ast.parse(source).body
    except SyntaxError as error:
        raise MedcalError(f"{where}: not valid Python: {error.msg}") from None
    values: dict[str, Any] = {}
    for statement in body:
        line = ast.unparse(statement)
        target = statement.targets[0] if isinstance(statement, ast.Assign) else None
        if isinstance(statement, ast.AnnAssign):
            target = statement.target
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        if not isinstance(target, ast.Name) or not re.fullmatch(r"[A-Z][A-Z0-9_]*", target.id):
            raise MedcalError(f"{where}: {line!r}: only NAME = literal belongs here, in capitals")
        try:
            values[target.id] = ast.literal_eval(statement.value)
        except (ValueError, TypeError):
            raise MedcalError(
                f"{where}: {line!r} is not a literal: derive it in a later cell, "
                "overrides are injected after this one"
            ) from None
    return values


def in_order(notebooks: Iterable[Notebook]) -> list[Notebook]:
    """Sort notebooks so that each comes after those that write what it reads.

    Among those that could come next, the lowest number is first.

    Raises
    ------
    MedcalError
        If two write the same, one reads what nobody writes, or they read in a circle.
    """
    notebooks = sorted(notebooks, key=lambda notebook: notebook.name)
    writers = writers_of(notebooks)
    needs = {notebook.name: parents(notebook, writers) for notebook in notebooks}
    for notebook in notebooks:
        for name in notebook.reads:
            made = _FIGURE.fullmatch(name) or name.startswith("results/")
            if name not in writers and name != ANSWERS and (made or "/" not in name):
                close = difflib.get_close_matches(name, writers, n=1)
                raise MedcalError(
                    f"{notebook.path}: reads {name!r}, which no notebook writes"
                    + (f": did you mean {close[0]!r}?" if close else ": see metadata.medcal.reads")
                )
    done: list[Notebook] = []
    names: set[str] = set()
    waiting = list(notebooks)
    while waiting:
        ready = next((n for n in waiting if needs[n.name] <= names), None)
        if ready is None:
            raise MedcalError(
                "notebooks read each other's outputs in a circle: "
                + ", ".join(n.name for n in waiting)
                + ": cut one of their metadata.medcal.reads"
            )
        waiting.remove(ready)
        done.append(ready)
        names.add(ready.name)
    return done


def writers_of(notebooks: Iterable[Notebook]) -> dict[str, str]:
    """Return the name of the notebook that writes each output.

    Raises
    ------
    MedcalError
        If two notebooks write the same output.
    """
    writers: dict[str, str] = {}
    for notebook in notebooks:
        for output in notebook.writes:
            other = writers.setdefault(output, notebook.name)
            if other != notebook.name:
                raise MedcalError(f"{other} and {notebook.name} both write {output!r}: rename one")
    return writers


def parents(notebook: Notebook, writers: dict[str, str]) -> set[str]:
    """Return the names of the notebooks whose outputs a notebook reads."""
    return {writers[name] for name in notebook.reads if name in writers} - {notebook.name}


def select(notebooks: list[Notebook], wanted: Iterable[str]) -> tuple[set[str], set[str]]:
    """Return the wanted notebooks, and those together with all they depend on.

    Parameters
    ----------
    notebooks : list of Notebook
        All of them, in order.
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
        found = {n for n in by_name if n == name or (name.isdecimal() and int(n[:2]) == int(name))}
        if not found:
            raise MedcalError(f"no notebook {word!r}: choose from {', '.join(sorted(by_name))}")
        chosen |= found
    chosen = chosen or set(by_name)
    writers = writers_of(notebooks)
    closed, waiting = set(), set(chosen)
    while waiting:
        name = waiting.pop()
        closed.add(name)
        waiting |= parents(by_name[name], writers) - closed
    return chosen, closed


def parse_parameters(assignments: Iterable[str]) -> dict[str, Any]:
    """Return parameters from texts ``NAME=VALUE``; a VALUE that is no Python literal is text.

    Raises
    ------
    MedcalError
        If a text has no ``=``, or names a parameter that the runner sets itself.
    """
    values: dict[str, Any] = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise MedcalError(f"-p {text!r}: write NAME=VALUE")
        if name in RESERVED:
            option = {"PROFILE": "--profile", "ANSWERS": "--answers", "OUT_DIR": "--out"}
            raise MedcalError(f"-p {name}: the runner sets it: use {option.get(name, '--fast')}")
        try:
            values[name] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            values[name] = value
    return values


def assign_parameters(
    notebooks: Iterable[Notebook], values: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return for each notebook those of the given values that its parameters cell names.

    Raises
    ------
    MedcalError
        If no notebook has such a parameter, or the value is not of its kind.
    """
    notebooks = list(notebooks)
    for name, value in values.items():
        having = [notebook for notebook in notebooks if name in notebook.parameters]
        if not having:
            known = sorted({p for n in notebooks for p in n.parameters} - set(RESERVED))
            close = difflib.get_close_matches(name, known, n=1)
            raise MedcalError(
                f"-p {name}: no parameter of {', '.join(n.name for n in notebooks)}: "
                + (f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}")
            )
        for notebook in having:
            default = notebook.parameters[name]
            if not _same_kind(value, default):
                raise MedcalError(
                    f"-p {name}={value!r}: {notebook.name} takes {type(default).__name__}, "
                    f"such as {default!r}"
                )
    return {
        notebook.name: {k: v for k, v in values.items() if k in notebook.parameters}
        for notebook in notebooks
    }


def _same_kind(value: Any, default: Any) -> bool:
    if default is None or value is None:
        return True
    if isinstance(default, bool) or isinstance(value, bool):
        return type(value) is type(default)
    if isinstance(default, float):
        return isinstance(value, int | float)
    if isinstance(default, list | tuple):
        return isinstance(value, list | tuple)
    return isinstance(value, type(default))
