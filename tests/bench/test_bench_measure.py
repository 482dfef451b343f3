"""The benchmark itself: it runs, compares like with like, and says what is absent."""

import numpy as np
import pytest

from tests.bench import bench_measure as bench


@pytest.fixture(scope="module")
def found():
    pytest.importorskip("netcal")
    return {k: v for k, v in bench.load_peers()[0].items() if k in ("netcal", "scikit-learn")}


def test_peers_compute_the_same_number(found):
    (task,) = bench.ece_tasks(found, (5_000,))
    task.measure(rounds=1)
    rows = {row["tool"]: row for row in task.rows}
    assert set(rows) == {"medcal", "numpy", "netcal", "scikit-learn"}
    for name in ("numpy", "netcal", "scikit-learn"):
        assert abs(rows[name]["difference"]) < 1e-6, name
        assert rows[name]["ratio"] > 0


def test_a_peer_that_fails_is_named_and_not_timed():
    def fails():
        raise RuntimeError("no such thing\nsecond line")

    task = bench.Task("t", 1, lambda: 0.5, {"peer": bench.Peer(fails)}, "a bar")
    task.measure(rounds=2)
    mine, peer = task.rows
    assert mine["bar"] == "a bar"
    assert peer["note"] == "failed: RuntimeError: no such thing"
    assert "seconds" not in peer


def test_parts_are_counted_up():
    import time

    task = bench.Task("t", 1, lambda: 0.5, {"peer": bench.Peer(lambda: time.sleep(0.01), 0.1)})
    task.measure(rounds=2)
    assert task.rows[1]["seconds"] >= 0.1
    assert np.isnan(task.rows[1]["difference"])


def test_markdown_names_what_is_absent():
    import pandas as pd

    columns = ["task", "n", "tool", "seconds", "ratio", "difference", "bar", "note"]
    table = pd.DataFrame([["t", 10, "medcal", 0.5, 1.0, np.nan, "fast", ""]], columns=columns)
    text = bench.as_markdown(table, {"peer": "ImportError: gone"}, 3)
    assert "Absent here: peer (ImportError: gone)." in text
    assert "| t | 10 | medcal | 0.5 | 1 |  | fast |  |" in text
