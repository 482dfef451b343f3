"""Which reader takes which log, and a log as its reader sees it.

Each module of `medcal_nb.logs.formats` holds readers.
"""

import math
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from medcal_nb.errors import MedcalError
from medcal_nb.words import is_correct

#: Members of a metric that is an object which may hold its value.
_INNER = ("score", "correct", "acc")


@dataclass
class Log:
    """A file of another tool, taken apart.

    Attributes
    ----------
    path : Path
    value : list of dict
        Its rows; one, where the file is one object.
    wanted : str, optional
        The metric that says whether an answer is right, where there are several.
    row : int
        The row that was read last, counted from 1; 0 before the first.
    metric : str
        The metric, or those that agree, by which the last answer was graded.
    """

    path: Path
    value: list[dict]
    wanted: str | None = None
    row: int = 0
    metric: str = ""

    def rows(self) -> Iterator[dict]:
        """The rows, None where a value is missing."""
        yield from self.each(self.value)

    def each(self, rows: Iterable[dict]) -> Iterator[dict]:
        """The rows; faults name the one that is at hand."""
        for self.row, row in enumerate(rows, 1):
            yield row

    def graded(self, metrics: Mapping, main: str | None = None) -> bool | None:
        """Whether an answer is right, by the one metric that may say so.

        That is the metric which the user names, else the one that the format names as its main
        one, else the only one. Several are one where they agree.

        Parameters
        ----------
        metrics : mapping
            The metrics of one answer by name: truth values, 0 or 1, or objects that hold one.
        main : str, optional
            The metric that the format names as its main one.

        Raises
        ------
        MedcalError
            Where several metrics differ, or where there is none of the name wanted.
        """
        names = ", ".join(sorted(map(str, metrics)))
        name = self.wanted or main
        self.metric = names
        if name in metrics:
            self.metric = str(name)
            return _verdict(metrics[name])
        if self.wanted and metrics:
            raise MedcalError(
                f"{self.path}: row {self.row}: no metric '{self.wanted}', there are {names}"
            )
        verdicts = {_verdict(value) for value in metrics.values()}
        if len(verdicts) > 1:
            raise MedcalError(
                f"{self.path}: several metrics may say what is right, and they differ: {names}; "
                "name the one that does by grade=NAME"
            )
        return next(iter(verdicts), None)


def _verdict(metric: Any) -> bool | None:
    """What one metric says: right, wrong, or neither (0.5)."""
    inner = [at(metric, name) for name in _INNER]
    for value in map(number, [metric, *inner]):
        if value in (0, 1):
            return bool(value)
    answer = at(metric, "parsed_pred") or at(metric, "pred")
    return is_correct(answer, at(metric, "answer"))


def at(value: Any, path: str) -> Any:
    """What stands under a dotted path in nested JSON, None where nothing does."""
    for key in path.split("."):
        if isinstance(value, list) and key.isdigit():
            value = value[int(key)] if int(key) < len(value) else None
        elif isinstance(value, dict):
            value = value.get(key)
        else:
            return None
    return value


def number(value: Any) -> float | None:
    """A finite float from a number or its text, else None."""
    try:
        value = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


@dataclass(frozen=True)
class Reader:
    """A format: its name, whether a file plainly is of it, and the rows of one.

    Attributes
    ----------
    name : str
    knows : callable
        (first row of the file, or the one object in it, as a dictionary) -> bool. Of several
        readers that know a file, the first by name of module and place in it takes it.
    read : callable
        (`Log`) -> rows with our column names, left out or None where not known. Where ``correct``
        is left out, the answer is graded against ``gold``; ``options`` of the question help with
        it. Metrics go through `Log.graded`.
    layout : str
        A regular expression for the whole path of a file where its tool writes it: what its named
        groups match (model, dataset) holds for all rows that do not say it themselves.
    """

    name: str
    knows: Callable[[dict], bool]
    read: Callable[[Log], Iterator[dict]]
    layout: str = ""

    def rows(self, log: Log) -> list[dict]:
        """The rows of a log, with what its path says; whatever fails is an error of one line."""
        match = re.search(self.layout, log.path.resolve().as_posix())
        about = match.groupdict() if match else {}
        # a folder or file cannot be called org/net: it is org__net
        about = {name: text.replace("__", "/") for name, text in about.items()}
        rows = []
        try:
            for row in self.read(log):
                # a grade that is none stays none: it is not to be found out
                known = {
                    k: v for k, v in row.items() if v is not None or k == "correct"
                }
                if known.get("correct") is not None:
                    known["grade_from"] = f"metric {log.metric}".strip()
                rows.append(about | known)
        except MedcalError:
            raise
        except Exception as error:  # odd values raise errors of every kind
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
            raise MedcalError(
                f"{log.path}: row {log.row}: {reason}; not the format of {self.name}, cut off or "
                "damaged: export it anew"
            ) from error
        return rows


def has(*names: str) -> Callable[[dict], bool]:
    """Whether a file's first object has all of these members, and no confidence as a table."""

    def knows(first: dict) -> bool:
        return first.keys() >= {*names} and "confidence" not in first

    return knows


@cache
def readers() -> dict[str, Reader]:
    """Every reader by its name."""
    from medcal_nb.logs import formats

    known = {}
    for module in pkgutil.iter_modules(formats.__path__):
        for reader in import_module(f"{formats.__name__}.{module.name}").READERS:
            known[reader.name] = reader
    return known


def detect(first: dict) -> Reader | None:
    """The reader whose format this plainly is, by the first row or the one object."""
    return next((one for one in readers().values() if one.knows(first)), None)
