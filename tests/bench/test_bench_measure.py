"""The benchmark itself: it runs, compares like with like, and says what failed."""

import time

import pandas as pd
import pytest

from tests.bench import bench_measure as bench


def test_a_peer_computes_the_same_number():
    pytest.importorskip("netcal")
    rows = {row["tool"]: row for row in bench.ece_tasks((5_000,))[0].measure(rounds=1)}
    assert abs(rows["netcal"]["difference"]) < 1e-6
    assert rows["netcal"]["ratio"] > 0


def test_a_peer_that_fails_is_named_and_not_timed():
    def fails():
        raise RuntimeError("no such thing\nsecond line")

    task = bench.Task("t", 1, lambda: 0.5, {"peer": bench.Peer(fails)}, "a bar")
    mine, peer = task.measure(rounds=2)
    assert mine["bar"] == "a bar"
    assert peer["note"] == "failed: RuntimeError: no such thing"
    assert "seconds" not in peer


def test_parts_are_counted_up():
    def work():
        end = time.process_time() + 0.01
        while time.process_time() < end:
            pass

    row = bench.Task("t", 1, lambda: 0.5, {"peer": bench.Peer(work, 0.1)}).measure(
        rounds=2
    )[1]
    assert row["seconds"] >= 0.1
    assert "difference" not in row


def test_markdown_leaves_blank_what_is_not_known():
    table = pd.DataFrame(
        [{"task": "t", "n": 10, "tool": "medcal", "seconds": 0.5, "bar": "fast"}]
    )
    assert "| t | 10 | medcal | 0.5 |  |  | fast |  |" in bench.as_markdown(table)
