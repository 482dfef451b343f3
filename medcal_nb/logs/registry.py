"""Which reader takes which file.

Each module of `medcal_nb.logs.formats` holds readers. Another package adds one by an entry point
of the group ``medcal_nb.readers`` whose value is a `Reader`.
"""

import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from .source import Source


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
        (`Source`) -> rows with our column names, left out or None where not known. An ``answer``
        that is left out is read out of ``raw``; where ``correct`` is left out, the answer is held
        against ``gold``; ``options`` of the question help with both. Metrics go through
        ``source.graded``.
    layout : str
        A regular expression for the whole path of a file where its tool writes it: what its named
        groups find (model, dataset) holds for all rows that do not say it themselves.
    """

    name: str
    knows: Callable[[dict], bool]
    read: Callable[[Source], Iterator[dict]]
    layout: str = ""


def has(*names: str) -> Callable[[dict], bool]:
    """Whether a file's first object has all of these members, and no confidence as a table."""
    wanted = frozenset(names)

    def knows(first: dict) -> bool:
        return first.keys() >= wanted and "confidence" not in first

    return knows


@cache
def readers() -> dict[str, Reader]:
    """Every reader by its name: ours, then those of other packages."""
    from . import formats

    known = {}
    for point in entry_points(group="medcal_nb.readers"):
        reader = point.load()
        known[reader.name] = reader
    for module in pkgutil.iter_modules(formats.__path__):
        for reader in import_module(f"{formats.__name__}.{module.name}").READERS:
            known[reader.name] = reader
    return known


def detect(source: Source) -> str:
    """The reader whose format this plainly is, else "table"."""
    for name, reader in readers().items():
        if reader.knows(source.first):
            return name
    return "table"
