"""From a file of answers to a report: read it, run notebook 08 on it, publish the folder whole."""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medcal_nb.errors import MedcalError, did_you_mean
from medcal_nb.files import file_hash
from medcal_nb.study.execute import execute_notebook
from medcal_nb.study.notebooks import find_notebooks
from medcal_nb.study.profile import checkout

NOTEBOOK = "08_report"


def write_report(
    file: Path,
    to: Path,
    *,
    named: Mapping[str, str],
    parameters: Mapping[str, Any],
    percent: bool | None = None,
    decimal: str | None = None,
    force: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> Path:
    """Write a report of a file of answers into a folder, whole or not at all.

    Parameters
    ----------
    file : path
        A table of answers, an answers log, or a log of another tool.
    to : path
        Folder of the report.
    named : mapping
        Our column names to those of the table; the others are recognised.
    parameters : mapping
        Parameters of notebook 08.
    percent, decimal : optional
        How numbers are written, where that is not plain.
    force : bool
        Replace a report that is there.
    tell : callable
        Takes a line on how it goes.

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    MedcalError
        If the file cannot be read without guessing, or the folder holds something else.
    """
    from medcal_nb.answers import is_log
    from medcal_nb.logs import import_file, recognise_columns
    from medcal_nb.logs.registry import detect
    from medcal_nb.logs.source import Source

    _check_folder(to, force=force)
    command = shlex.join(["medcal", *sys.argv[1:]])
    facts = {"file": file.name, "sha256": file_hash(file), "command": command}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        answers = file.absolute()
        if not is_log(file):
            answers = work / "answers.sqlite"
            kind = "table" if named else detect(Source(file))
            columns = None
            if kind == "table":
                known = recognise_columns(
                    file, named=named, percent=percent, decimal=decimal
                )
                columns = known.columns
                _check_names(file, (*known.names, *named), parameters)
                facts["columns"] = known.description
                tell(f"{file.name}: {known.description}")
            for remark in import_file(file, answers, columns, reader=kind).notes:
                tell(remark)
        own = {"PROFILE": "imported", "ANSWERS": str(answers), "INPUT": facts}
        places = {"OUT_DIR": str(work / "out"), "TO": str(work / "report")}
        execute_notebook(
            find_notebooks(checkout() / "notebooks")[NOTEBOOK],
            work / f"{NOTEBOOK}.ipynb",
            {**parameters, **own, **places},
            label="report",
            on_cell=lambda number: None,
        )
        part = to.with_name(f".{to.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(work / "report", part)
        shutil.rmtree(to, ignore_errors=True)
        part.rename(to)
    return to / "report.html"


def _check_names(file: Path, there: Sequence[str], parameters: Mapping) -> None:
    """Refuse columns to split a table by that it has not, by its own names or ours."""
    from medcal_nb.answers import GRADED_COLUMNS

    for option, parameter in (("--by", "BY"), ("--group", "GROUP_BY")):
        for name in parameters.get(parameter, ()):
            if name not in {*there, *GRADED_COLUMNS}:
                problem = f"no column '{name}' for {option}{did_you_mean(name, there)}"
                shown = ", ".join(there)
                raise MedcalError(f"{file}: {problem}; columns are {shown}")


def _check_folder(to: Path, *, force: bool) -> None:
    """Raise MedcalError where a folder may not be written: it is there, or holds other things."""
    if not to.exists():
        return
    if not (to / "report.json").is_file() and (not to.is_dir() or any(to.iterdir())):
        raise MedcalError(f"{to}: holds something that is no report: name another")
    if not force:
        raise MedcalError(
            f"{to}: a report already: add --force, or name another by --to"
        )
