"""Rows out of a foreign pickle, read as data by a process of its own: nothing in it is run.

The process knows no class and no function: the few numpy names that arrays need stand for a note
of what they were called with, any other name is refused, and memory and time are bounded.
"""

import json
import os
import pickle
import re
import struct
import subprocess
import sys
from pathlib import Path

from medcal_nb.errors import MedcalError

LETTERS = "ABCDEF"
_FIELDS = ("id", "answer", "category", "situation", "image_path")
_BYTES, _SECONDS, _ROWS, _LETTERS_IN_A_TEXT = 1 << 30, 60, 100_000, 500
_NOT_DATA = "is refused as a pickle, only plain values and arrays of numbers are read"
_TOO_MUCH = "takes more memory or time than any file expected here"
_KINDS = {"f2": "e", "f4": "f", "f8": "d", "i4": "i", "i8": "q"}
_ADMITTED = {("numpy", "ndarray"), ("numpy", "dtype")} | {
    (f"numpy.{core}.{name}", made)
    for core in ("core", "_core")
    for name, made in (("multiarray", "_reconstruct"), ("numeric", "_frombuffer"))
}


def read_rows(path: Path) -> list[dict]:
    """Rows of a pickled list of dicts: ``_FIELDS`` as text or None, and six finite ``logits``.

    Raises
    ------
    MedcalError
        For a pickle that asks for anything but arrays, is damaged, too large or too slow, or
        whose rows are of another form: file, row, field.
    """
    command = [sys.executable, "-P", "-m", "medcal_nb.pickles", str(path)]
    found = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    try:
        done = subprocess.run(command, capture_output=True, timeout=2 * _SECONDS, env=found)
    except subprocess.TimeoutExpired:
        done = None
    if done is not None and done.returncode == 0:
        return json.loads(done.stdout)
    told = "" if done is None or done.returncode != 3 else done.stderr.decode().strip()
    raise MedcalError(f"{path}: {told or _TOO_MUCH}; move it away to fetch it anew")


class _Refused(Exception):
    """What is not read, told to the user."""


class _Note:
    """What a numpy name was called with, and the state it was given; of no other use."""

    __slots__ = ("args", "state")

    def __init__(self, *args):
        self.args, self.state = args, ()

    def __setstate__(self, state):
        self.state = state


class _DataOnly(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in _ADMITTED:
            raise _Refused(f"{_NOT_DATA}: it asks for {module}.{name}")
        return _Note

    def persistent_load(self, pid):
        raise _Refused(f"{_NOT_DATA}: it asks for an object kept elsewhere")


def _numbers(value):
    """The numbers of a list, or of the note of an array as numpy writes it."""
    if isinstance(value, _Note):
        if len(value.args) == 4:
            data, kind, _, _ = value.args
        else:
            _, _, kind, _, data = value.state
        code, order = kind.args[0], kind.state[1].replace("|", "<").replace("=", "<")
        if code not in _KINDS or order not in "<>" or not isinstance(data, bytes | bytearray):
            raise _Refused("not an array of numbers")
        width = struct.calcsize(order + _KINDS[code])
        value = struct.unpack(f"{order}{len(data) // width}{_KINDS[code]}", data)
    if len(value) != len(LETTERS) or not all(abs(float(x)) < 1e30 for x in value):
        raise _Refused("not six finite numbers")
    return [float(x) for x in value]


def _row(number, record):
    out = {}
    for name in _FIELDS:
        value = record.get(name)
        if not isinstance(value, str | int | None) or len(str(value)) > _LETTERS_IN_A_TEXT:
            raise _Refused(f"row {number}: {name!r} is no short text or number")
        out[name] = None if value is None else str(value)
    for name in ("id", "answer", "logits"):
        if record.get(name) is None:
            raise _Refused(f"row {number}: no {name!r}")
    if not re.fullmatch(f"[{LETTERS}]", out["answer"].strip().upper()):
        raise _Refused(f"row {number}: 'answer' {out['answer']!r} is no letter from A to F")
    try:
        out["logits"] = _numbers(record["logits"])
    except Exception:
        raise _Refused(f"row {number}: 'logits' are not 6 finite numbers") from None
    return out


def _main(path):
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_BYTES, _BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    except ImportError:
        pass  # Windows has no such limits; the time is bounded by the caller
    try:
        with open(path, "rb") as file:
            records = _DataOnly(file).load()
        if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
            raise _Refused("holds no list of rows")
        if len(records) > _ROWS:
            raise _Refused(f"holds more than {_ROWS:,} rows")
        print(json.dumps([_row(i, record) for i, record in enumerate(records, start=1)]))
    except _Refused as error:
        told = str(error)
    except MemoryError:
        told = _TOO_MUCH
    except Exception as error:
        told = f"is damaged ({type(error).__name__})"
    else:
        return
    print(" ".join(told.split())[:300].encode("ascii", "replace").decode(), file=sys.stderr)
    sys.exit(3)


if __name__ == "__main__":
    _main(sys.argv[1])
