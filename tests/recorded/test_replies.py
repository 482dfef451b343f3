"""What VLCB's models wrote about their own answers, and which confidence follows from it."""

import re

import pandas as pd
import pytest

from medcal_nb.answers.recorded import load_recorded, load_replies
from medcal_nb.words import parse_confidence

# of the answers that a study counts, those whose reply states a confidence
STATED = {
    "InternVL3_5-14B-HF": (4_547, 4_549),
    "Qwen3-VL-8B-Instruct": (4_549, 4_549),
    "gemma-3-27b-it": (2_160, 4_549),
    "deepseek-vl2": (3_757, 4_549),
    "llava-v1.6-vicuna-13b-hf": (3_496, 4_549),
}


@pytest.fixture(scope="module")
def replies():
    """Each reply: what the table holds as read in it, and what the source recorded for it."""
    texts = load_replies("vlcb")
    complete = load_recorded("vlcb", complete=True)
    key = ["model", "item_id", "dataset"]
    wide = complete[complete["strategy"].str.startswith("self_probing")].pivot(
        index=key, columns="strategy", values="confidence"
    )
    table = texts.merge(wide.reset_index(), on=["model", "item_id"], validate="1:1")
    return table.assign(read=table["self_probing"])


def test_the_table_holds_what_the_reader_reads_and_nothing_else(replies):
    assert len(replies) == 150_621
    assert replies["self_probing_recorded"].notna().all()
    # of the different replies every fourth is read: all of them take a minute
    texts = replies["reply"].drop_duplicates().iloc[::4]
    read = texts.map(parse_confidence).astype(float)
    table = replies["read"][read.index]
    pd.testing.assert_series_equal(read, table, check_names=False)
    assert replies["read"].count() == 139_495


def test_the_source_read_the_same_number_but_for_nine_replies(replies):
    """Six of 1 % and less, which it took for shares, and three of another number in the reply."""
    read = replies.dropna(subset="read")
    off = read[(read["read"] - read["self_probing_recorded"]).abs() > 1e-6]
    small = off[off["read"] <= 0.01]
    assert (small["read"] * 100).tolist() == pytest.approx(
        small["self_probing_recorded"]
    )
    other = off[off["read"] > 0.01]
    assert other["reply"].str.contains("confidence in this answer is 100%").all()
    assert (len(small), len(other)) == (6, 3)


def test_nothing_is_read_where_nothing_is_said(replies):
    """Without a digit there is no number; the source has one for every such reply."""
    silent = replies[~replies["reply"].str.contains(r"\d")]
    assert len(silent) == 7_093
    assert silent["read"].isna().all()


def test_what_is_said_as_asked_for_is_read(replies):
    """'Confidence: 85%', found by a plain pattern: 3 in 10,000 are left out, none is misread."""
    pattern = r"(?i)^\W*confidence\W{1,6}(\d+(?:\.\d+)?)\s*%"
    plain = replies["reply"].str.extract(pattern)[0].astype(float) / 100
    rows = replies[plain.notna()].assign(plain=plain.dropna())
    assert len(rows) == 135_758
    assert rows["read"].isna().sum() == 55
    both = rows.dropna(subset="read")
    pd.testing.assert_series_equal(both["read"], both["plain"], check_names=False)


def elsewhere(reply):
    """The last percentage of a reply, else the last number at its end: no statement of anything."""
    found = re.findall(r"(\d+(?:\.\d+)?)\s*%", reply)
    found = found or [
        one for one in re.findall(r"\d+(?:\.\d+)?", reply[-200:]) if float(one) <= 100
    ]
    if not found:
        return None
    value = float(found[-1])
    return min(value / 100 if value > 1 else value, 1)


def test_where_nothing_is_stated_the_source_took_a_number_from_elsewhere(replies):
    """On MMMU-Pro another number of the reply, on GMAI-MMBench a language model's."""
    silent = replies[replies["read"].isna()]
    label = silent["reply"].str.contains(r"[Cc]onfidence:\s*\d")
    silent = silent[~label]
    value = silent["reply"].map(elsewhere).astype(float)
    same = (value - silent["self_probing_recorded"]).abs() < 1e-6
    assert same[value.notna()].all()
    by = same.groupby(silent["dataset"])
    exam = ["MMMU-Pro (10 options)", "MMMU-Pro (4 options)"]
    assert (by.mean()[exam] == 1).all()
    assert by.sum()[exam].tolist() == [1_718, 1_632]
    assert (by.size() - by.sum())["GMAI-MMBench"] == 4_037


def test_a_confidence_is_there_only_where_the_reply_states_it(five):
    rows = five.query("strategy == 'self_probing' and dataset == 'GMAI-MMBench'")
    counted = rows.groupby("model")["confidence"].agg(["count", "size"])
    assert dict(zip(counted.index, counted.to_numpy().tolist(), strict=True)) == {
        model: [*pair] for model, pair in STATED.items()
    }
    assert "self_probing_recorded" not in set(five["strategy"])
    assert "states none" in str(five.attrs["assumed"])
