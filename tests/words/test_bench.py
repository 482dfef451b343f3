"""The bench is what its page says: its parts, its labels."""

import hashlib

import pandas as pd

from tests.words.bench import PARTS, labelled

BENCH = pd.concat([labelled(part).assign(part=part) for part in PARTS])


def test_a_third_of_each_kind_is_kept_apart():
    for _, rows in BENCH.groupby("kind"):
        by_hash = sorted(
            rows.index, key=lambda name: hashlib.sha256(f"57:{name}".encode()).digest()
        )
        third = {*by_hash[: round(len(rows) / 3)]}
        assert {*rows.index[rows["part"] == "report"]} == third


def test_no_case_stands_twice():
    assert BENCH.index.is_unique
    assert not BENCH.duplicated(["question", "options", "gold", "reply"]).any()


def test_what_is_decided_has_an_answer():
    is_decidable = BENCH["decidable"] == "1"
    assert (BENCH.loc[is_decidable, "answer"] != "").all()
    assert (is_decidable == BENCH["verdict"].isin(["right", "wrong"])).all()


def test_confidences_are_shares():
    stated = BENCH.loc[BENCH["confidence"] != "", "confidence"].astype(float)
    assert stated.between(0, 1).all()
