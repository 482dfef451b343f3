"""The notebooks of the study as files: what each reads and writes, and its parameters."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medcal_nb.errors import MedcalError

# set by the study from its own options
_RESERVED = {"PROFILE", "ANSWERS", "OUT_DIR", "FAST"}
# what a value of a parameter is called in a message
_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object",
}


@dataclass(frozen=True, kw_only=True)
class Notebook:
    """A notebook of the study, read but not run.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    reads, writes : list of str
        Of ``metadata.medcal``: ``answers``, ``figNN_what``, ``results/NN_topic.json`` (with the
        findings beside it, ``.md``) or, in ``reads``, ``profile:results/NN_topic.json`` of another
        profile or a file of the checkout.
    parameters : dict
        The literals of its ``parameters`` cell.
    cells : list of str
        The source of each cell: outputs do not count.
    """

    path: Path
    reads: list[str]
    writes: list[str]
    parameters: dict[str, Any]
    cells: list[str]

    @property
    def name(self) -> str:
        """Its name without extension, such as ``02_metrics``."""
        return self.path.stem

    @property
    def number(self) -> str:
        """The number that its name begins with, such as ``02``."""
        return self.name[:2]


def find_notebooks(folder: Path) -> dict[str, Notebook]:
    """Read all ``NN_topic.ipynb`` of a folder, by name in the order of their numbers.

    Raises
    ------
    MedcalError
        If one can't be read.
    """
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    return {path.stem: _read(path) for path in paths}


def _read(path: Path) -> Notebook:
    """Read one notebook."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        declared = content["metadata"]["medcal"]
        sources = ["".join(cell["source"]) for cell in content["cells"]]
        (parameters,) = [
            source
            for cell, source in zip(content["cells"], sources, strict=True)
            if "parameters" in cell["metadata"].get("tags", [])
        ]
        return Notebook(
            path=path,
            reads=declared["reads"],
            writes=declared["writes"],
            parameters={
                line.targets[0].id: ast.literal_eval(line.value)
                for line in ast.parse(parameters).body
            },
            cells=sources,
        )
    except (ValueError, KeyError, TypeError, AttributeError, SyntaxError) as error:
        raise MedcalError(
            f"{path}: no notebook of the study ({type(error).__name__}: {error}): "
            "see 'Add a notebook' in CONTRIBUTING.md"
        ) from None


def choose_notebooks(
    notebooks: Iterable[str], wanted: Sequence[str], profile: str
) -> list[str]:
    """Return the names of notebooks that are wanted, by number or name; all where none is named.

    Parameters
    ----------
    notebooks : iterable of str
        The names there are.
    wanted : sequence of str
        Numbers (``2`` or ``02``), names or files.
    profile : str
        Whose notebooks they are.

    Raises
    ------
    MedcalError
        If one of the wanted is not there.
    """
    names = list(notebooks)
    words = {Path(word).stem.zfill(2) for word in wanted}
    known = {*names, *(name[:2] for name in names)}
    if not names or words - known:
        raise MedcalError(
            f"profile {profile} has not all of these notebooks: {', '.join(wanted)}: "
            f"choose from {', '.join(names)}"
        )
    return [name for name in names if not words or {name, name[:2]} & words]


def parse_parameters(
    assignments: Sequence[str], notebooks: Iterable[Notebook]
) -> dict[str, Any]:
    """Return the parameters that texts ``NAME=VALUE`` set.

    VALUE is JSON or, for a parameter that is a text, the text itself; it is never code. It must
    be of the kind of the parameter in the notebook: a whole number will do for a number, and
    anything for a parameter that is ``None``.

    Parameters
    ----------
    assignments : sequence of str
        Such as ``N_BOOT=200``.
    notebooks : iterable of Notebook
        Those that may have such parameters.

    Returns
    -------
    dict
        Value by name.

    Raises
    ------
    MedcalError
        If no notebook has the parameter, or the value is no JSON or of another kind.
    """
    known: dict[str, Any] = {}
    for notebook in notebooks:
        known |= notebook.parameters
    for name in _RESERVED:
        known.pop(name, None)
    assigned = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            raise MedcalError(
                f"-p {text}: write NAME=VALUE, VALUE as JSON; parameters of these notebooks are "
                f"{', '.join(sorted(known))}"
            )
        assigned[name] = _parsed(text, value, known[name])
    return assigned


def _parsed(text: str, value: str, default: Any) -> Any:
    """Return a value of the kind of a parameter's default."""
    if isinstance(default, str):
        return value.strip('"')
    try:
        parsed = json.loads(value)
    except ValueError:
        parsed = None
        is_right = False
    else:
        kinds = (int, float) if isinstance(default, float) else (type(default),)
        # a truth value is a whole number in Python, and in no notebook
        is_flag = isinstance(parsed, bool) and not isinstance(default, bool)
        is_right = default is None or (isinstance(parsed, kinds) and not is_flag)
    if not is_right:
        kind = _KINDS.get(type(default), "a value")
        raise MedcalError(
            f"-p {text}: the notebook has {json.dumps(default)} there: write {kind}, "
            "VALUE as JSON"
        )
    return parsed
