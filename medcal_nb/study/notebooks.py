"""What notebooks say of themselves: reads and writes in ``metadata.medcal``, and parameters."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

from medcal_nb.errors import MedcalError

ANSWERS = "answers"
_PACKAGE = Path(__file__).resolve().parents[1]
# set by the study from its own options
_RESERVED = {"PROFILE", "ANSWERS", "OUT_DIR", "FAST"}


@dataclass(frozen=True)
class Notebook:
    """A notebook of the study, read but not run.

    Attributes
    ----------
    path : pathlib.Path
        The file; its name without extension is the notebook's name.
    reads, writes : list of str
        Of ``metadata.medcal``: ``answers``, ``figNN_what``, ``results/NN_topic.json`` or, in
        ``reads``, a file of the checkout.
    parameters : dict
        The literals of its ``parameters`` cell.
    cells : list
        Kind, source and tags of each cell: outputs do not count.
    """

    path: Path
    reads: list[str]
    writes: list[str]
    parameters: dict[str, Any]
    cells: list[tuple[str, str, list[str]]]

    @property
    def name(self) -> str:
        """Its name, such as ``02_metrics``."""
        return self.path.stem

    def text(self, kind: str) -> str:
        """Return the sources of all cells of a kind, ``code`` or ``markdown``."""
        return "\n".join(source for its, source, _ in self.cells if its == kind)


def is_output(name: str) -> bool:
    """Return whether what a notebook reads is published by another one."""
    return name.startswith(("fig", "results/"))


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
    written = {ANSWERS, *(output for notebook in notebooks for output in notebook.writes)}
    for notebook in notebooks:
        for name in {*notebook.reads} - written:
            if "/" not in name or is_output(name):
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
        reads, writes = list(declared["reads"]), list(declared["writes"])
        for name in writes:
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
    return Notebook(path, reads, writes, parameters, cells)


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
        found = {name for name in by_name if Path(word).stem.zfill(2) in (name, name[:2])}
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
    known = {name for notebook in notebooks for name in notebook.parameters} - _RESERVED
    for text in assignments:
        name, equals, _ = text.partition("=")
        if not equals or name not in known:
            told = f"write NAME=VALUE, VALUE as JSON; parameters of {', '.join(assigned)} are"
            raise MedcalError(f"-p {text}: {told} {', '.join(sorted(known))}")
        for notebook in notebooks:
            if name in notebook.parameters:
                assigned[notebook.name][name] = _value(text, notebook.parameters[name])
    return assigned


def _value(assignment: str, default: Any) -> Any:
    """Return the value of ``NAME=VALUE``, of the kind of the default; any where that is None."""
    text = assignment.partition("=")[2]
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if isinstance(default, str) and not isinstance(value, str):
        return text
    kinds = (int, float) if isinstance(default, float) else (type(default),)
    if type(value) not in kinds and (default is not None or value is text):
        raise MedcalError(f"-p {assignment}: write VALUE as JSON, such as {json.dumps(default)}")
    return value


def sources_used(source: str) -> str:
    """Return one SHA-256 of all modules of this package that a text imports, directly or not.

    Imports inside functions count, and so does a module's dotted name in a string, which is
    how registries name what they load late.
    """
    waiting, found = list(_names(source, "")), {}
    while waiting:
        parts = waiting.pop().split(".")
        for end in range(1, len(parts) + 1):  # importing a.b.c runs a and a.b
            name, module = ".".join(parts[:end]), _PACKAGE.parent.joinpath(*parts[:end])
            package, file = name, module / "__init__.py"
            if not file.is_file():
                package, file = name.rpartition(".")[0], module.with_suffix(".py")
            if name not in found and file.is_file():
                found[name] = file.read_text(encoding="utf-8")
                waiting += _names(found[name], package)
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


@lru_cache(maxsize=1024)
def _names(source: str, package: str) -> list[str]:
    """Return our dotted names that a module of a package imports or has in strings."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            names += [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant):
            names.append(str(node.value))
    return [name for name in names if name.split(".")[0] == _PACKAGE.name]
