"""A file of another tool, as its reader sees it; and looking into loosely typed JSON."""

import contextlib
import json
import math
import zipfile
from collections.abc import Iterable, Iterator
from functools import cached_property

import numpy as np
import pandas as pd

from medcal_nb.answers.files import (
    MOST_BYTES,
    block_of,
    iter_json,
    iter_table,
    read_json,
    require_file,
    rows_of,
)
from medcal_nb.errors import MedcalError

_GRADES = ("acc", "exact_match", "em", "accuracy", "score", "correct")
_LAST_ROW = 1_048_576
"""Where sheets end; a false number of a row stands for as many empty ones."""


class Source:
    """A file, looked into only as far as is asked.

    Attributes
    ----------
    path : Path
    suffix : str
        The end of its name in small letters; ``.json`` for ``.json.gz``.
    notes : list of str
        What there is to tell the user.
    row : int or None
        The row that was read last, counted from 1.
    """

    def __init__(self, path):
        self.path = require_file(path)
        name = self.path.name.lower()
        self.suffix = ".json" if name.endswith(".json.gz") else self.path.suffix.lower()
        self.notes: list[str] = []
        self.row: int | None = None

    @cached_property
    def value(self):
        """What a JSON file or a packed log of Inspect holds; None for other files."""
        if self.suffix == ".eval":
            return _unpacked(self.path)
        return read_json(self.path) if self.suffix == ".json" else None

    @cached_property
    def first(self) -> dict:
        """The one object that a JSON file is, else the first row of a table."""
        with self.told():
            return self.value if isinstance(self.value, dict) else next(self.rows(), {})

    def rows(self) -> Iterator[dict]:
        """The rows of a table; but for JSON, None where a value is missing."""
        if self.suffix in (".json", ".jsonl", ".ndjson"):
            yield from self.each(iter_json(self.path))
        elif self.suffix == ".xlsx":
            yield from self.each(_sheet(self.path))
        else:
            yield from self.each(
                row for block in iter_table(self.path) for row in rows_of(block)
            )

    def each(self, rows: Iterable[dict]) -> Iterator[dict]:
        """The rows; faults name the one that is at hand."""
        for self.row, row in enumerate(rows, 1):
            yield row

    @contextlib.contextmanager
    def told(self):
        """Tell whatever fails in here as a fault of the file, in one line."""
        self.row = None
        try:
            yield
        except MedcalError:
            raise
        except (
            Exception
        ) as err:  # odd values and damaged files raise errors of every kind
            said = " ".join(str(err).split())[:160]
            said = (
                f"no {said}"
                if isinstance(err, KeyError)
                else f"{type(err).__name__}: {said}"
            )
            place = "" if self.row is None else f"row {self.row}: "
            raise MedcalError(
                f"{self.path}: {place}{said}; not the format that its reader knows, cut off or "
                "damaged: export it anew, or import it as a table with --reader table"
            ) from err


def _open_zip(path) -> zipfile.ZipFile:
    """A zip file that does not unpack to a hundred times its size."""
    archive = zipfile.ZipFile(path)
    size = sum(member.file_size for member in archive.infolist())
    if size > MOST_BYTES or size > 100 * path.stat().st_size + (1 << 20):
        raise MedcalError(f"{path}: unpacks to {size:,} bytes; not read, for safety")
    return archive


def _unpacked(path) -> dict:
    """A packed log of Inspect as its JSON would be; its samples can be read once."""
    archive = _open_zip(path)
    names = [name for name in archive.namelist() if name.startswith("samples/")]
    samples = (json.loads(archive.read(name)) for name in names)
    return json.loads(archive.read("header.json")) | {"samples": samples}


def _sheet(path) -> Iterator[dict]:
    """Rows of the first sheet of an Excel file."""
    _open_zip(path).close()
    plain = {"dtype": object, "keep_default_na": False, "na_values": [""]}
    return rows_of(
        block_of(pd.read_excel(path, nrows=_LAST_ROW, **plain).dropna(how="all"), path)
    )


def at(value, path: str):
    """What stands under a dotted path in nested JSON, None where nothing does."""
    for key in path.split("."):
        if isinstance(value, list):
            value = value[int(key)] if key.isdigit() and int(key) < len(value) else None
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value


def text_of(content) -> str | None:
    """The text of a message, which may come in parts."""
    if isinstance(content, list):
        content = "".join(part.get("text") or "" for part in content)
    return content or None


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


def chosen(options: list[str], scores) -> dict[str, list]:
    """Our columns of choices by the scores of their options, a row each: their softmax."""
    from scipy.special import softmax

    scores = np.asarray(scores, dtype=float)
    with np.errstate(
        invalid="ignore"
    ):  # infinite ones make no probabilities, and are refused
        p = softmax(scores, axis=1)
    return {
        "answer": [options[k] for k in scores.argmax(axis=1)],
        "confidence": p.max(axis=1).tolist(),
        "option_probabilities": [
            dict(zip(options, row, strict=True)) for row in p.tolist()
        ],
    }


def choice(options: list[str], scores: list[float]) -> dict:
    """Our columns of one choice by the log-likelihoods of its options."""
    first = {name: values[0] for name, values in chosen(options, [scores]).items()}
    return first | {"strategy": "option_probability", "question_type": "choice"}


def likelihood(tokens: list | None) -> dict:
    """Our columns of a reply by its tokens: the confidence is exp of the mean ``logprob``."""
    values = [number(at(token, "logprob")) for token in tokens or ()]
    if not values or None in values:
        return {"strategy": "generate"}
    mean = math.fsum(values) / len(values)
    return {"strategy": "sequence_probability", "confidence": math.exp(min(0.0, mean))}


def one_of(golds: list):
    """Right answers as they are kept: one text, a list of several, or None."""
    return golds[0] if len(golds) == 1 else golds or None


def grade(metrics: dict) -> bool | None:
    """The first metric that says right or wrong, the well-known ones before others."""
    for name in (*_GRADES, *metrics):
        value = metrics.get(name)
        for found in (
            value,
            at(value, "score"),
            at(value, "correct"),
            at(value, "acc"),
        ):
            if flag(found) is not None:
                return flag(found)
        told = at(value, "parsed_pred") or at(value, "pred")
        wanted = at(value, "answer")
        if told and wanted:
            return told.strip().casefold() == wanted.strip().casefold()
    return None
