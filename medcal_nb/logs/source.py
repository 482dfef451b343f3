"""A file of another tool, as its reader sees it; and looking into loosely typed JSON."""

import gzip
import json
import math
import zlib
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path

from medcal_nb.answers.files import csv_header, iter_json, iter_table, read_json, require_file
from medcal_nb.errors import MedcalError

from .packed import MOST_BYTES, read_sheet

GRADES = ("acc", "exact_match", "em", "accuracy", "score", "correct")


class Source:
    """A file, looked into only as far as is asked.

    Attributes
    ----------
    path : Path
    suffix : str
        The end of its name in small letters; ``.json`` for ``.json.gz``.
    """

    def __init__(self, path):
        self.path = require_file(path)
        name = self.path.name.lower()
        self.packed = name.endswith(".gz")
        self.suffix = Path(name.removesuffix(".gz")).suffix

    @cached_property
    def value(self):
        """What a JSON file holds; None for other files."""
        if self.suffix != ".json":
            return None
        if not self.packed:
            return read_json(self.path)
        try:
            with gzip.open(self.path) as file:
                text = file.read(MOST_BYTES + 1)
            if len(text) > MOST_BYTES:
                raise MedcalError(f"{self.path}: unpacks to over 2 GB; unpack it and cut it up")
            return json.loads(text)
        except (OSError, EOFError, zlib.error, ValueError, RecursionError) as err:
            raise self.damaged(err) from err

    @cached_property
    def first(self) -> dict:
        """The first object of a JSONL file or of a list in JSON, or the one object that it is."""
        found: object = self.value
        if self.suffix in (".jsonl", ".ndjson") and not self.packed:
            found = [row for _, row in islice(iter_json(self.path), 1)]
        if isinstance(found, list):
            found = found[0] if found else None
        return found if isinstance(found, dict) else {}

    @cached_property
    def names(self) -> list[str]:
        """Names of the columns, or of the members of the first object."""
        if self.packed or self.suffix not in (".csv", ".tsv", ".parquet", ".pq", ".xlsx"):
            return list(self.first)
        if self.suffix in (".csv", ".tsv"):
            return csv_header(self.path, "\t" if self.suffix == ".tsv" else None)[0]
        return list(next(self.records() if self.suffix == ".xlsx" else iter_table(self.path), {}))

    def objects(self) -> Iterator[tuple[int, dict]]:
        """(row, object) of a JSONL file or of a list in JSON."""
        if self.suffix == ".json" and isinstance(self.value, list):
            for row, value in enumerate(self.value, 1):
                if not isinstance(value, dict):
                    raise self.broken(row, "not an object")
                yield row, value
        else:
            yield from iter_json(self.path)

    def records(self) -> Iterator[dict]:
        """Rows of a table as dictionaries, None where missing."""
        if self.suffix == ".xlsx":
            yield from read_sheet(self.path)
            return
        for frame in iter_table(self.path):
            yield from frame.astype(object).where(frame.notna(), None).to_dict("records")

    def broken(self, row, what) -> MedcalError:
        """A row that is not what the format says."""
        place = f"row {row}: " if row is not None else ""
        return MedcalError(
            f"{self.path}: {place}{what}; not the format this reader knows: export it anew, "
            "or import it as a table with --reader table"
        )

    def damaged(self, err) -> MedcalError:
        """A file that cannot be taken apart."""
        said = f"{type(err).__name__}: {str(err)[:80]}".strip(": ")
        return MedcalError(f"{self.path}: cut off or damaged ({said}); fetch it anew")

    def need(self, mapping, key, row=None, kind: type | tuple = object):
        """A value that the format promises."""
        if not isinstance(mapping, dict) or key not in mapping:
            raise self.broken(row, f"no '{key}'")
        if not isinstance(mapping[key], kind):
            raise self.broken(row, f"'{key}' is {str(mapping[key])[:40]!r}")
        return mapping[key]


def number(value) -> float | None:
    """A finite float from a number or its text, else None."""
    try:
        value = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def flag(value) -> bool | None:
    """True or False from a boolean, 0 or 1; None from anything else."""
    value = number(value)
    return bool(value) if value in (0.0, 1.0) else None


def table(value) -> dict:
    """A dictionary; an empty one where it is something else."""
    return value if isinstance(value, dict) else {}


def softmax(scores: list[float]) -> list[float]:
    """Probabilities from log-likelihoods."""
    top = max(scores)
    weights = [math.exp(s - top) for s in scores]
    total = sum(weights)
    return [w / total for w in weights]


def likelihood(tokens) -> float | None:
    """exp of the mean of the tokens' ``logprob``; None where a token has none."""
    tokens = tokens if isinstance(tokens, list) else []
    values = [number(table(token).get("logprob")) for token in tokens]
    if not values or None in values:
        return None
    return math.exp(min(0.0, math.fsum(values) / len(values)))


def grade(metrics: dict, listed=()) -> bool | None:
    """The first metric that says right or wrong, the well-known ones before others."""
    listed = [n for n in listed if isinstance(n, str)] if isinstance(listed, list) else []
    for name in [*(n for n in GRADES if n in metrics), *listed, *metrics]:
        value = metrics.get(name)
        inner = table(value)
        for found in map(flag, (value, *(inner.get(k) for k in ("score", "correct", "acc")))):
            if found is not None:
                return found
        told, wanted = inner.get("parsed_pred", inner.get("pred")), inner.get("answer")
        if isinstance(told, str) and isinstance(wanted, str):
            return told.strip().casefold() == wanted.strip().casefold()
    return None
