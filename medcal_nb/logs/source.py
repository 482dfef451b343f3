"""A file of another tool, as its reader sees it; and looking into loosely typed JSON."""

import math
import zipfile
from collections.abc import Iterator
from functools import cached_property

from medcal_nb.answers.files import (
    MOST_BYTES,
    check_names,
    damaged,
    iter_json,
    iter_table,
    read_json,
    require_file,
    rows_of,
)
from medcal_nb.errors import MedcalError

_GRADES = ("acc", "exact_match", "em", "accuracy", "score", "correct")
_LAST_ROW = 1_048_576


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
        self.suffix = ".json" if name.endswith(".json.gz") else self.path.suffix.lower()

    @cached_property
    def value(self):
        """What a JSON file holds; None for other files."""
        return read_json(self.path) if self.suffix == ".json" else None

    @cached_property
    def first(self) -> dict:
        """The first row of a table, or the one object that a JSON file is; else nothing."""
        if self.suffix == ".eval" or isinstance(self.value, dict):
            return self.value or {}
        return next((row for _, row in self.rows()), {})

    def rows(self) -> Iterator[tuple[int, dict]]:
        """(number, row) of a table, the row as a dictionary with None where a value is missing."""
        if self.suffix == ".xlsx":
            yield from enumerate(_sheet(self.path), 1)
        elif self.suffix in (".json", ".jsonl", ".ndjson"):
            yield from iter_json(self.path)
        else:
            rows = (row for block in iter_table(self.path) for row in rows_of(block))
            yield from enumerate(rows, 1)

    def broken(self, row, what) -> MedcalError:
        """A row that is not what the format says."""
        place = f"row {row}: " if row is not None else ""
        return MedcalError(
            f"{self.path}: {place}{what}; not the format this reader knows: export it anew, "
            "or import it as a table with --reader table"
        )

    def need(self, mapping, key, row=None, kind: type | tuple = object):
        """A value that the format promises."""
        if not isinstance(mapping, dict) or key not in mapping:
            raise self.broken(row, f"no '{key}'")
        if not isinstance(mapping[key], kind):
            raise self.broken(row, f"'{key}' is {str(mapping[key])[:40]!r}")
        return mapping[key]

    def take(self, record, columns: dict[str, str], row) -> dict:
        """Our columns from a record, by their paths in it; one with a ``!`` must be there."""
        return {
            ours: self.need(record, path[1:], row) if path[0] == "!" else at(record, path)
            for ours, path in columns.items()
        }


def open_zip(path) -> zipfile.ZipFile:
    """A zip file that does not unpack to a hundred times its size."""
    archive = zipfile.ZipFile(path)
    size = sum(member.file_size for member in archive.infolist())
    if size > MOST_BYTES or size > 100 * path.stat().st_size + (1 << 20):
        raise MedcalError(
            f"{path}: unpacks to {size:,} bytes, far more than such files do; not read, for safety"
        )
    return archive


def _sheet(path) -> Iterator[dict]:
    """Rows of the first sheet of an Excel file, by the names in its first line."""
    import openpyxl

    try:
        open_zip(path).close()
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # which may be told wrong
        rows = sheet.iter_rows(values_only=True)
        header = next(rows, ())
        names = [str(n) if n is not None else f"column {k}" for k, n in enumerate(header)]
        check_names(names, path)
        for number, values in enumerate(rows, 2):
            if number > _LAST_ROW:  # a false number of a row stands for as many empty ones
                raise MedcalError(
                    f"{path}: goes on after row {_LAST_ROW:,}, where sheets end: save it as CSV"
                )
            if any(v is not None for v in values):
                yield dict.fromkeys(names) | dict(zip(names, values, strict=False))
    except MedcalError:
        raise
    except Exception as err:  # openpyxl lets zip, XML and key errors of damaged books through
        raise damaged(path, "an Excel sheet", err) from err


def at(value, path: str, kind: type = object):
    """The value in nested JSON under a dotted path; None, or an empty list or dictionary where
    that is wanted, if there is none of the kind."""
    for key in path.split("."):
        if isinstance(value, list):
            value = value[int(key)] if key.isdigit() and int(key) < len(value) else None
        else:
            value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, kind):
        return value
    return kind() if kind in (list, dict) else None


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


def chosen(options: list[str], scores) -> dict:
    """Our columns of a choice by the log-likelihoods of its options: their softmax."""
    from scipy.special import softmax

    p = softmax(scores).tolist()
    return {
        "strategy": "option_probability",
        "question_type": "choice",
        "answer": options[p.index(max(p))],
        "confidence": max(p),
        "option_probabilities": dict(zip(options, p, strict=True)),
    }


def one_of(golds: list):
    """Right answers as they are kept: one text, a list of several, or None."""
    return golds[0] if len(golds) == 1 else golds or None


def likelihood(tokens) -> dict:
    """Our columns of a reply by its tokens: the confidence is exp of the mean ``logprob``."""
    tokens = tokens if isinstance(tokens, list) else []
    values = [number(at(token, "logprob")) for token in tokens]
    if not values or None in values:
        return {"strategy": "generate"}
    mean = math.fsum(values) / len(values)
    return {"strategy": "sequence_probability", "confidence": math.exp(min(0.0, mean))}


def grade(metrics: dict, listed=()) -> bool | None:
    """The first metric that says right or wrong, the well-known ones before others."""
    listed = [n for n in listed if isinstance(n, str)] if isinstance(listed, list) else []
    for name in [*(n for n in _GRADES if n in metrics), *listed, *metrics]:
        value = metrics.get(name)
        inner = [at(value, key) for key in ("score", "correct", "acc")]
        for found in map(flag, (value, *inner)):
            if found is not None:
                return found
        told = at(value, "parsed_pred", str) or at(value, "pred", str)
        wanted = at(value, "answer", str)
        if told is not None and wanted is not None:
            return told.strip().casefold() == wanted.strip().casefold()
    return None
