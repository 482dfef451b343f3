"""What notebooks say of themselves: reads and writes in ``metadata.medcal``, and parameters."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medcal_nb.errors import MedcalError

ANSWERS = "answers"
_PACKAGE = Path(__file__).resolve().parents[1]
# what runs notebooks changes no number in them
_RUNNER = tuple(f"study/{name}.py" for name in ("run", "copies", "doctor"))
# set by the study from its own options
_RESERVED = {"PROFILE", "ANSWERS", "OUT_DIR", "FAST"}


@dataclass(frozen=True)
class Notebook:
    """A notebook of the study, read but not run.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    name : str
        Its name without extension, such as ``02_metrics``.
    reads, writes : list of str
        Of ``metadata.medcal``: ``answers``, ``figNN_what``, ``results/NN_topic.json`` or, in
        ``reads``, a file of the checkout.
    parameters : dict
        The literals of its ``parameters`` cell.
    cells : list of str
        The source of each cell: outputs do not count.
    """

    path: Path
    name: str
    reads: list[str]
    writes: list[str]
    parameters: dict[str, Any]
    cells: list[str]


def find_notebooks(folder: Path) -> dict[str, Notebook]:
    """Read all ``NN_topic.ipynb`` of a folder, by name in the order of their numbers.

    Raises
    ------
    MedcalError
        If one can't be read.
    """
    return {path.stem: _read(path) for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}


def _read(path: Path) -> Notebook:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        said, cells = content["metadata"]["medcal"], content["cells"]
        (source,) = (c["source"] for c in cells if "parameters" in c["metadata"].get("tags", []))
        set_ = ast.parse("".join(source)).body
        parameters = {s.targets[0].id: ast.literal_eval(s.value) for s in set_}
        sources = ["".join(cell["source"]) for cell in cells]
        return Notebook(path, path.stem, said["reads"], said["writes"], parameters, sources)
    except (ValueError, KeyError, TypeError, AttributeError, SyntaxError) as error:
        told = f"{path}: no notebook of the study ({type(error).__name__}: {error})"
        raise MedcalError(f"{told}: see 'Add a notebook' in CONTRIBUTING.md") from None


def select(notebooks: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Return the names of the wanted notebooks.

    Parameters
    ----------
    notebooks : iterable of str
        The names of all.
    wanted : iterable of str
        Numbers (``2`` or ``02``) or names (``02_metrics``); none means all.

    Raises
    ------
    MedcalError
        If there is no such notebook.
    """
    chosen = []
    for word in wanted:
        found = [name for name in notebooks if Path(word).stem.zfill(2) in (name, name[:2])]
        if not found:
            raise MedcalError(f"no notebook {word!r}: choose from {', '.join(notebooks)}")
        chosen += found
    return chosen or [*notebooks]


def parse_parameters(assignments: Iterable[str], notebooks: Iterable[Notebook]) -> dict[str, Any]:
    """Return the parameters that texts ``NAME=VALUE`` set.

    VALUE is JSON or, for a parameter that is a text, the text itself; it is never code.

    Raises
    ------
    MedcalError
        If no notebook has the parameter or the value is no JSON.
    """
    known = {name: default for n in notebooks for name, default in n.parameters.items()}
    known = {name: known[name] for name in sorted(known.keys() - _RESERVED)}
    assigned = {}
    for text in assignments:
        name, _, value = text.partition("=")
        try:
            is_text = isinstance(known[name], str)
            assigned[name] = value.strip('"') if is_text else json.loads(value)
        except (KeyError, ValueError):
            told = "write NAME=VALUE, VALUE as JSON; parameters of these notebooks are"
            raise MedcalError(f"-p {text}: {told} {', '.join(known)}") from None
    return assigned


def package_hash() -> str:
    """Return one SHA-256 of this package but for what runs notebooks and the command line."""
    digest = hashlib.sha256()
    for file in sorted([*_PACKAGE.rglob("*.py"), *_PACKAGE.rglob("*.toml")]):
        name = file.relative_to(_PACKAGE).as_posix()
        if not name.startswith(("cli/", "profiles/", *_RUNNER)):
            digest.update(name.encode() + file.read_bytes())
    return digest.hexdigest()
