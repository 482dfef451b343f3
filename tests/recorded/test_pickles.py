"""Foreign pickles read as data: nothing runs, memory and time are bounded, one line of error."""

import os
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.recorded.prepare.pickles import read_rows
from medcal_nb.errors import MedcalError


def row(**more):
    logits = np.arange(6, dtype=np.float32)
    return {"id": 7, "answer": "b", "category": "x", "logits": logits} | more


@pytest.fixture
def file(tmp_path):
    return tmp_path / "Qwen-VL" / "a.pkl"


def written(file, data):
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(data if isinstance(data, bytes) else pickle.dumps(data))
    return file


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", "int64"])
def test_rows_come_back(file, protocol, dtype):
    logits = np.array([1.5, -2, 3, 0, 4, 5]).astype(dtype)
    (found,) = read_rows(
        written(file, pickle.dumps([row(logits=logits)], protocol=protocol))
    )
    assert found["logits"] == logits.astype(float).tolist()
    assert (found["id"], found["answer"], found["image_path"]) == ("7", "B", None)


def test_the_names_that_numpy_1_wrote_and_a_plain_list(file):
    data = pickle.dumps([row()], protocol=3)
    old = data.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    assert b"cnumpy.core.multiarray\n" in old
    assert read_rows(written(file, old))[0]["logits"] == [0, 1, 2, 3, 4, 5]
    assert read_rows(written(file, [row(logits=[0.5] * 6)]))[0]["logits"] == [0.5] * 6


class Evil:
    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_hostile_pickle_is_refused_and_runs_nothing(file, tmp_path, protocol):
    victim = tmp_path / "ran"
    for evil in (
        Evil(os.system, f"touch {victim}"),
        Evil(eval, f"open({str(victim)!r}, 'w')"),
        Evil(os.mkdir, str(victim)),
        Evil(np.fromfile, str(victim)),
        [row(logits=Evil(exec, f"open({str(victim)!r}, 'w')"))],
    ):
        written(file, pickle.dumps(evil, protocol=protocol))
        with pytest.raises(
            MedcalError, match=r"a.pkl: .* plain values and arrays.*\(it asks for"
        ):
            read_rows(file)
        assert not victim.exists()


LISTS = b"(lp0\n" + b"".join(b"(lp%d\n" % k + b"g%d\n" % (k - 1) + b"ag%d\n" % (k - 1) + b"a"
                             for k in range(1, 40))  # fmt: skip


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"cnumpy\nload\n(S'x'\ntR.", "it asks for numpy.load"),
        (b"cbuiltins\ngetattr\n.", "it asks for builtins.getattr"),
        (b"ccopyreg\n_reconstructor\n.", "it asks for copyreg"),
        (b"\x80\x02\x82\x01.", "is damaged, or no pickle"),  # extension registry
        (b"Pwhatever\n.", "persistent"),
        (
            b"cnumpy\nndarray\n(dp0\nS'__init__'\nI1\nsb.",
            "is damaged",
        ),  # BUILD on a stand-in
        (
            b"\x80\x04Nr\xff\xff\xff\x7f.",
            "takes more memory or time",
        ),  # LONG_BINPUT 2^31
        (b"\x80\x04Nr\x00\x00\x00\x08.", "takes more memory or time"),  # 2^27: 2 GB
        (
            LISTS + b".",
            "row 1 is of another form",
        ),  # a tower of shared lists: 2^39 in a walk
        (pickle.dumps({"a": 1}), "holds no list of 1 to 100,000 rows"),
        (pickle.dumps([]), "holds no list of 1 to 100,000 rows"),
        (pickle.dumps([1]), "row 1 is of another form"),
        (pickle.dumps([row(), {"id": 1, "answer": "A"}]), "row 2 is of another form"),
        (b"", "is damaged"),
        *(
            (
                pickle.dumps([row(**odd)]),
                r"row 1 is of another form \(id, answer \(A to F\), 6 fin",
            )
            for odd in (
                {"logits": np.ones(4)},
                {"logits": np.full(6, np.nan)},
                {"logits": [10**400] * 6},
                {"logits": np.array(["a"] * 6)},
                {"logits": np.array([None] * 6)},
                {"answer": "Z"},
                {"answer": "AB"},
                {"answer": None},
                {"id": [1]},
                {"id": None},
                {"category": "x" * 10_000},
            )
        ),
    ],
)
def test_what_is_no_table_of_logits_is_told(file, data, says):
    with pytest.raises(MedcalError, match=says) as told:
        read_rows(written(file, data))
    assert "\n" not in str(told.value)
    assert str(told.value).startswith(str(file))


def test_an_array_that_lies_about_itself_is_refused(file):
    whole = pickle.dumps([row()], protocol=3)
    for honest, lie in ((b"\x89C", b"\x89]C"), (b"cnumpy\nndarray", b"cnumpy\nload")):
        assert honest in whole
        with pytest.raises(MedcalError):
            read_rows(written(file, whole.replace(honest, lie)))


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_damaged_pickle_is_one_line_of_error_or_rows(file, data):
    whole = bytearray(pickle.dumps([row(), row(id="é")]))
    kind = data.draw(st.sampled_from(["cut", "flip", "noise"]))
    if kind == "cut":
        whole = whole[: data.draw(st.integers(0, len(whole) - 1))]
    elif kind == "flip":
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(
            st.integers(0, 7)
        )
    else:
        whole = data.draw(st.binary(max_size=200))
    written(file, bytes(whole))
    message = str(file)
    try:
        read_rows(file)
    except MedcalError as error:
        message = str(error)
    assert message.startswith(str(file))
    assert "\n" not in message
