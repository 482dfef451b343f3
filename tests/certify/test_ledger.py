"""The ledger: lines that are only added, each with the hash of the one before it."""

import json

import pytest

from medcal_nb.certify.ledger import Ledger, read_chain
from medcal_nb.errors import MedcalError

PLAN = {"kind": "plan", "rule": 3, "risk": 0.2, "delta": 0.1, "budget": 400, "rows": ""}
PLAN |= {"n_answers": 9, "pool": "0f", "seed": 1, "starts": None}
PLAN |= {"marks": {"limit": "g", "marks": []}}
GRADE = {"kind": "grade", "item_id": "1", "case": "a", "row": "0f", "who": ""}
WATCH = {"kind": "watch", "file": "use.csv"}


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path / "a.certificate.jsonl")
    ledger.append(PLAN, GRADE | {"grade": "1"})
    ledger.append(GRADE | {"grade": "0"}, {"kind": "end", "methods": []})
    return ledger


def test_what_is_added_is_on_the_disk_and_follows_from_what_was_there(ledger):
    again = Ledger(ledger.path)
    assert again.chain == ledger.chain
    assert [entry["kind"] for entry in again.entries] == [
        "plan",
        "grade",
        "grade",
        "end",
    ]
    assert not again.chain.faults
    assert all(entry["time"].endswith("+00:00") for entry in again.entries)


@pytest.mark.parametrize("line", range(3))
@pytest.mark.parametrize("how", ["altered", "out", "twice", "swapped", "no line"])
def test_a_line_that_was_touched_is_named(ledger, line, how):
    lines = ledger.path.read_text().splitlines()
    altered = lines[line].replace('"time": "2', '"time": "1')
    both = lines[line : line + 2]
    new = {
        "altered": [altered],
        "out": [],
        "twice": [lines[line]] * 2,
        "swapped": both[::-1],
        "no line": ["{}"],
    }[how]
    end = line + (2 if how == "swapped" else 1)
    text = "\n".join([*lines[:line], *new, *lines[end:], ""])
    faults = read_chain(text.encode()).faults
    assert faults
    assert int(faults[0].split()[1]) in (line, line + 1, line + 2)
    ledger.path.write_text(text)
    with pytest.raises(MedcalError, match=r"certificate\.jsonl: line \d"):
        Ledger(ledger.path).require_whole()


@pytest.mark.parametrize("n_bytes", [1, 40, 150])
def test_a_line_cut_off_by_a_kill_makes_room(ledger, n_bytes):
    whole = ledger.path.read_bytes()
    with ledger.path.open("ab") as file:
        file.write(b'{"before": "' + b"0" * n_bytes)
    again = Ledger(ledger.path)
    assert again.chain == ledger.chain
    again.append(WATCH)
    stored = ledger.path.read_bytes()
    assert stored.startswith(whole)
    assert Ledger(ledger.path).entries[-1]["kind"] == "watch"
    assert not Ledger(ledger.path).chain.faults


def test_two_processes_do_not_write_over_each_other(ledger):
    other = Ledger(ledger.path)
    other.append(WATCH)
    with pytest.raises(MedcalError, match="was changed meanwhile"):
        ledger.append(WATCH)
    assert len(Ledger(ledger.path).entries) == 5


def test_reading_alone_writes_nothing(ledger):
    whole = ledger.path.read_bytes()
    again = Ledger(ledger.path, read_only=True)
    again.append(WATCH)
    assert again.entries[-1]["kind"] == "watch"
    assert ledger.path.read_bytes() == whole


@pytest.mark.parametrize(
    "text",
    ["1,2\n", "[]\n", json.dumps({"kind": "end", "methods": [], "before": ""}) + "\n"],
)
def test_another_file_is_no_ledger(tmp_path, text):
    path = tmp_path / "a.certificate.jsonl"
    path.write_text(text)
    with pytest.raises(MedcalError, match=r"line 1|no ledger"):
        Ledger(path).require_whole()


@pytest.mark.parametrize("kind", ["plan", "grade"])
def test_a_line_that_lacks_a_field_is_named_whatever_field_it_is(tmp_path, kind):
    # made by hand: every hash is right
    whole = {"plan": PLAN, "grade": GRADE | {"grade": "1"}}
    for name in [*whole[kind], "limit"]:
        lines = json.loads(json.dumps(whole))
        for values in (lines[kind], lines["plan"]["marks"]):
            values.pop(name, None)
        path = tmp_path / f"{kind}-{name}.certificate.jsonl"
        Ledger(path).append(*lines.values())
        number = 1 if kind == "plan" or name == "limit" else 2
        with pytest.raises(
            MedcalError, match=f"line {number} is no .*bring the ledger"
        ):
            Ledger(path).require_whole()
