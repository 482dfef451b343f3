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

_MODULES = ("harness", "frameworks", "batch", "results", "sheets", "replies")


@dataclass(frozen=True)
class Reader:
    """A format: its name, whether a file plainly is of it, and the rows of one.

    Attributes
    ----------
    name : str
    knows : callable
        (source) -> bool, from the name of the file and its first row.
    read : callable
        (source, columns, notes) -> rows with our column names, None where not known. A row may
        also hold ``options`` (for grading); remarks for the user are appended to `notes`.
    ungraded : bool
        Rows without ``correct`` are graded by holding ``answer`` against ``gold``.
    unparsed : bool
        The replies in ``raw`` have yet to be taken apart.
    states : bool
        Models were asked for their confidence: without, a number in a reply is none, and the whole
        reply answers an open question.
    """

    name: str
    knows: Callable[[Source], bool]
    read: Callable[..., Iterator[dict]]
    ungraded: bool = False
    unparsed: bool = False
    states: bool = True


def has(*names: str) -> Callable[[Source], bool]:
    """True of files whose first object has all of these members."""
    return lambda source: set(names) <= source.first.keys()


@cache
def readers() -> dict[str, Reader]:
    """Every reader by its name: ours, then those of other packages."""
    ours = [r for name in _MODULES for r in import_module(f"medcal_nb.logs.{name}").READERS]
    others = [point.load() for point in entry_points(group="medcal_nb.readers")]
    return {reader.name: reader for reader in [*others, *ours]}


def detect(source: Source) -> str:
    """The reader whose format this plainly is, else "table"."""
    return next((name for name, reader in readers().items() if reader.knows(source)), "table")
