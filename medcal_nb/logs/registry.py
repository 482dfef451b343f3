"""Which reader takes which file.

Another package adds a reader by an entry point of the group ``medcal_nb.readers`` whose value is
a `Reader`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from .source import Source

_MODULES = ("frameworks", "harness", "results", "replies", "formats.decisions")


@dataclass(frozen=True)
class Reader:
    """A format: its name, whether a file plainly is of it, and the rows of one.

    Attributes
    ----------
    name : str
    knows : callable
        (first row of the file, or the one object in it, as a dictionary) -> bool.
    read : callable
        (`Source`) -> rows with our column names, left out or None where not known. An ``answer``
        that is left out is read out of ``raw``; where ``correct`` is left out, the answer is held
        against ``gold``; ``options`` of the question help with both.
    layout : str
        A regular expression for the whole path of a file where its tool writes it: what its named
        groups find (model, dataset) holds for all rows that do not say it themselves.
    """

    name: str
    knows: Callable[[dict], bool]
    read: Callable[[Source], Iterator[dict]]
    layout: str = ""


def has(*names: str) -> Callable[[dict], bool]:
    """True of files whose first object has all of these members, and no confidence as a table."""
    return lambda first: first.keys() >= {*names} and "confidence" not in first


@cache
def readers() -> dict[str, Reader]:
    """Every reader by its name: ours, then those of other packages."""
    ours = [
        r for name in _MODULES for r in import_module(f"medcal_nb.logs.{name}").READERS
    ]
    others = [point.load() for point in entry_points(group="medcal_nb.readers")]
    return {reader.name: reader for reader in [*others, *ours]}


def detect(source: Source) -> str:
    """The reader whose format this plainly is, else "table"."""
    return next(
        (name for name, reader in readers().items() if reader.knows(source.first)),
        "table",
    )
