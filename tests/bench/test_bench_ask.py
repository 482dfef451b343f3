"""The bench of asking runs, on a tiny size, and compares what it says it compares."""

import pandas as pd
import pytest

from medcal_nb.ask.backends.local import LocalModel
from medcal_nb.ask.run import ordered_items
from medcal_nb.ask.strategies import STRATEGIES, Plan
from tests.ask.tiny import tiny_checkpoint, tiny_items
from tests.bench import bench_ask

pytest.importorskip("torch")


@pytest.mark.slow
def test_the_peer_gives_the_same_answers_for_more_positions():
    backend = LocalModel(*tiny_checkpoint("qwen2_5_vl"), name="tiny", device="cpu")
    plan = Plan(dataset="tiny", samples=2, max_new_tokens=5)
    asked = [how for how in STRATEGIES.values() if how.skips(backend) is None]
    ways = {"ours": None, "batched": 4, "single": 1}
    items = ordered_items(tiny_items(4))
    frame = bench_ask.measure(backend, asked, items, plan, ways=ways)
    assert frame["way"].tolist() == ["ours", "batched", "single"]
    assert frame["positions"].iloc[1:].min() > 1.5 * frame["positions"].iloc[0]
    for shares in frame.loc[1:, ["greedy_equal", "labels_close"]].to_numpy().ravel():
        same, of = map(int, shares.split("/"))
        assert same == of > 0


def test_each_way_is_given_its_best_number_of_threads():
    names = ["way", "threads", "seconds", "cpu_seconds"]
    rows = [("ours", 1, 2.0, 2.0), ("single", 1, 9.0, 9.0), ("ours", 2, 1.0, 2.5)]
    (line,) = bench_ask.compare(pd.DataFrame(rows, columns=names))
    assert line.startswith(
        "single: 9.0 times the seconds of ours, 4.5 times its processor"
    )
