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


def rows_of(folder, data):
    file = folder / "a.pkl"
    file.write_bytes(data if isinstance(data, bytes) else pickle.dumps(data))
    return read_rows(file)


@pytest.mark.parametrize("dtype", ["float16", "float64", ">f4", "int64"])
def test_rows_come_back(tmp_path, dtype):
    logits = np.array([1.5, -2, 3, 0, 4, 5]).astype(dtype)
    data = pickle.dumps([row(logits=logits)], protocol=3 if dtype == "float64" else 5)
    data = data.replace(b"cnumpy._core.", b"cnumpy.core.")  # numpy 1 wrote that
    (one,) = rows_of(tmp_path, data)
    assert one["logits"] == logits.astype(float).tolist()
    assert (one["id"], one["answer"], one["image_path"]) == ("7", "B", None)


class Evil:
    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 4])
def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path, protocol):
    victim = tmp_path / "ran"
    for evil in (
        Evil(os.system, f"touch {victim}"),
        Evil(np.fromfile, str(victim)),
        [row(logits=Evil(exec, f"open({str(victim)!r}, 'w')"))],
    ):
        with pytest.raises(MedcalError, match=r"plain values and arrays.*\(it asks"):
            rows_of(tmp_path, pickle.dumps(evil, protocol=protocol))
        assert not victim.exists()


# a tower of shared lists: 2^39 in a walk
TOWER = b"(lp0\n" + b"".join(
    b"(lp%d\ng%d\nag%d\na" % (k, k - 1, k - 1) for k in range(1, 40)
)
OF_ANOTHER_FORM = r"row 1 is of another form \(id, answer \(A to F\), 6 fin"
REFUSED = [
    (b"cnumpy\nload\n(S'x'\ntR.", "it asks for numpy.load"),
    (b"\x80\x02\x82\x01.", "is damaged, or no pickle"),  # extension registry
    (b"Pwhatever\n.", "persistent"),
    (b"cnumpy\nndarray\n(dp0\nS'__init__'\nI1\nsb.", "is damaged"),  # a stand-in built
    (b"\x80\x04Nr\x00\x00\x00\x08.", "takes more memory or time"),  # 2 GB of memo
    (TOWER + b".", "row 1 is of another form"),
    ([], "holds no list of 1 to 100,000 rows"),
    ([row(), {"id": 1, "answer": "A"}], "row 2 is of another form"),
    (pickle.dumps([row(), row()])[:-20], "is damaged"),
    ([row(logits=np.full(6, np.nan))], OF_ANOTHER_FORM),
    ([row(logits=[10**400] * 6)], OF_ANOTHER_FORM),
    ([row(answer="AB")], OF_ANOTHER_FORM),
    ([row(category="x" * 10_000)], OF_ANOTHER_FORM),
]


@pytest.mark.parametrize(("data", "message"), REFUSED)
def test_what_is_no_table_of_logits_is_refused_in_one_line(tmp_path, data, message):
    with pytest.raises(MedcalError, match=message) as error:
        rows_of(tmp_path, data)
    assert "\n" not in str(error.value)
