"""Foreign pickles read as data: nothing runs, memory and time are bounded, one line of error."""

import os
import pickle

import numpy as np
import pytest

from data.recorded.prepare.pickles import read_rows
from medcal_nb.errors import MedcalError


def row(**more):
    logits = np.arange(6, dtype=np.float32)
    return {"id": 7, "answer": "b", "category": "x", "logits": logits} | more


@pytest.fixture
def file(tmp_path):
    return tmp_path / "a.pkl"


def written(file, data):
    file.write_bytes(data if isinstance(data, bytes) else pickle.dumps(data))
    return file


@pytest.mark.parametrize("protocol", [3, 5])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", "int64"])
def test_rows_come_back(file, protocol, dtype):
    logits = np.array([1.5, -2, 3, 0, 4, 5]).astype(dtype)
    data = pickle.dumps([row(logits=logits)], protocol=protocol)
    # numpy 1 wrote another name
    for whole in (data, data.replace(b"numpy._core.", b"numpy.core.")):
        (one,) = read_rows(written(file, whole if protocol == 3 else data))
        assert one["logits"] == logits.astype(float).tolist()
        assert (one["id"], one["answer"], one["image_path"]) == ("7", "B", None)
    assert read_rows(written(file, [row(logits=[0.5] * 6)]))[0]["logits"] == [0.5] * 6


class Evil:
    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 4])
def test_a_hostile_pickle_is_refused_and_runs_nothing(file, tmp_path, protocol):
    victim = tmp_path / "ran"
    for evil in (
        Evil(os.system, f"touch {victim}"),
        Evil(np.fromfile, str(victim)),
        [row(logits=Evil(exec, f"open({str(victim)!r}, 'w')"))],
    ):
        written(file, pickle.dumps(evil, protocol=protocol))
        with pytest.raises(MedcalError, match=r"plain values and arrays.*\(it asks"):
            read_rows(file)
        assert not victim.exists()


# a tower of shared lists: 2^39 in a walk
TOWER = b"(lp0\n" + b"".join(
    b"(lp%d\ng%d\nag%d\na" % (k, k - 1, k - 1) for k in range(1, 40)
)
ODD_ROWS = (
    {"logits": np.ones(4)},
    {"logits": np.full(6, np.nan)},
    {"logits": [10**400] * 6},
    {"logits": np.array([None] * 6)},
    {"answer": "AB"},
    {"id": None},
    {"category": "x" * 10_000},
)
OF_ANOTHER_FORM = r"row 1 is of another form \(id, answer \(A to F\), 6 fin"
REFUSED = [
    (b"cnumpy\nload\n(S'x'\ntR.", "it asks for numpy.load"),
    (b"cbuiltins\ngetattr\n.", "it asks for builtins.getattr"),
    (b"\x80\x02\x82\x01.", "is damaged, or no pickle"),  # extension registry
    (b"Pwhatever\n.", "persistent"),
    (b"cnumpy\nndarray\n(dp0\nS'__init__'\nI1\nsb.", "is damaged"),  # a stand-in built
    (b"\x80\x04Nr\x00\x00\x00\x08.", "takes more memory or time"),  # 2 GB of memo
    (TOWER + b".", "row 1 is of another form"),
    (pickle.dumps([]), "holds no list of 1 to 100,000 rows"),
    (pickle.dumps([row(), {"id": 1, "answer": "A"}]), "row 2 is of another form"),
    (b"", "is damaged"),
    (pickle.dumps([row(), row()])[:-20], "is damaged"),
    *((pickle.dumps([row(**odd)]), OF_ANOTHER_FORM) for odd in ODD_ROWS),
]


@pytest.mark.parametrize(("data", "message"), REFUSED)
def test_what_is_no_table_of_logits_is_refused_in_one_line(file, data, message):
    with pytest.raises(MedcalError, match=message) as error:
        read_rows(written(file, data))
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(file))
