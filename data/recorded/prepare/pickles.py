"""Rows out of a foreign pickle, read as data by a process of its own: nothing in it is run.

The process knows no class and no function: the few numpy names that arrays need stand for a note
of what they were called with, any other name is refused, and memory and time are bounded.
"""

import json
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

from medcal_nb.errors import MedcalError

LETTERS = "ABCDEF"
_FIELDS = ("id", "answer", "category", "situation", "image_path")
_BYTES = 1 << 30
_SECONDS = 60
_ROWS = 100_000
_LETTERS_IN_A_TEXT = 500
_TOO_MUCH = "takes more memory or time than any file expected here"
_KINDS = {"f2": "e", "f4": "f", "f8": "d", "i4": "i", "i8": "q"}
_NUMPY = {
    "ndarray",
    "dtype",
    "_reconstruct",
    "_frombuffer",
}  # what arrays are written with


def read_rows(path: Path) -> list[dict]:
    """Rows of a pickled list of dicts: ``_FIELDS`` as text or None, and six finite ``logits``.

    Raises
    ------
    MedcalError
        For a pickle that asks for anything but arrays, is damaged, too large or too slow, or
        whose rows are of another form: file and row.
    """
    command = [sys.executable, "-P", "-m", "data.recorded.prepare.pickles", str(path)]
    found = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=2 * _SECONDS, env=found
        )
        rows = json.loads(done.stdout)
    except (
        subprocess.TimeoutExpired,
        ValueError,
    ):  # nothing whole comes from a process killed
        rows = _TOO_MUCH
    if isinstance(rows, str):
        raise MedcalError(f"{path}: {rows}; move it away to fetch it anew")
    return rows


class _Note:
    """What a numpy name was called with, and the state it was given; of no other use."""

    __slots__ = ("args", "state")

    def __init__(self, *args):
        self.args = args
        self.state = ()

    def __setstate__(self, state):
        self.state = state


class _DataOnly(pickle.Unpickler):
    def find_class(self, module, name):
        if module.split(".")[0] != "numpy" or name not in _NUMPY:
            raise ValueError(f"it asks for {module}.{name}")
        return _Note


def _numbers(value):
    """The numbers of a list, or of the note of an array as numpy writes it."""
    if isinstance(value, _Note):
        if len(value.args) == 4:
            data, kind, _, _ = value.args
        else:
            _, _, kind, _, data = value.state
        form = kind.state[1] + _KINDS[kind.args[0]]
        value = [number for (number,) in struct.iter_unpack(form, data)]
    if len(value) != len(LETTERS) or not all(abs(float(x)) < 1e30 for x in value):
        raise ValueError("not six finite numbers")
    return [float(x) for x in value]


def _text(value):
    if not isinstance(value, str | int | None) or len(str(value)) > _LETTERS_IN_A_TEXT:
        raise ValueError("no short text or number")
    return None if value is None else str(value)


def _row(record):
    row = {name: _text(record.get(name)) for name in _FIELDS}
    row["answer"] = row["answer"].strip().upper()
    if row["id"] is None or row["answer"] not in [*LETTERS]:
        raise ValueError("no id, or no answer of a letter")
    return row | {"logits": _numbers(record["logits"])}


def _rows(path):
    with open(path, "rb") as file:
        records = _DataOnly(file).load()
    if not isinstance(records, list) or not 0 < len(records) <= _ROWS:
        raise ValueError(f"it holds no list of 1 to {_ROWS:,} rows")
    rows = []
    for record in records:
        try:
            rows.append(_row(record))
        except Exception:  # whatever it is that a row holds instead
            wanted = "id, answer (A to F), 6 finite logits, short texts"
            raise ValueError(
                f"row {len(rows) + 1} is of another form ({wanted})"
            ) from None
    return rows


def _main(path):
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_BYTES, _BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    except ImportError:
        pass  # Windows has no such limits; the time is bounded by the caller
    try:
        print(json.dumps(_rows(path)))
    except MemoryError:
        print(json.dumps(_TOO_MUCH))
    except Exception as error:
        why = " ".join(str(error).split())[:200]
        print(
            json.dumps(
                f"is damaged, or no pickle of plain values and arrays alone ({why})"
            )
        )


if __name__ == "__main__":
    _main(sys.argv[1])
