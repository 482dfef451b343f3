"""The benches of asking run, on tiny sizes, and compare what they say they compare."""

import sys

import pandas as pd
import pytest

from medcal_nb.ask.backends.local import LocalModel
from medcal_nb.ask.run import ordered_items
from medcal_nb.ask.strategies import Plan
from tests.ask.tiny import save_checkpoint, tiny_checkpoint, tiny_items
from tests.bench import bench_ask, bench_ask_large, bench_ask_peers

pytest.importorskip("torch")


@pytest.mark.slow
@pytest.mark.parametrize("family", ["idefics3", "qwen2_5_vl"])
def test_the_peer_gives_the_same_answers_for_more_positions(family):
    backend = LocalModel(*tiny_checkpoint(family), name="tiny", device="cpu")
    items = ordered_items(tiny_items(4))
    plan = Plan(dataset="tiny", samples=2, max_new_tokens=5)
    frame, table = bench_ask.measure(
        backend,
        bench_ask.askable(backend),
        items,
        plan,
        ways={"ours": None, "batched": len(items), "single": 1},
    )
    assert frame["way"].tolist() == ["ours", "batched", "single"]
    assert len(table) == sum(
        s.applies(i, Plan()) is None for s in bench_ask.askable(backend) for i in items
    )
    assert frame["positions"].iloc[1:].min() > 1.5 * frame["positions"].iloc[0]
    for column in ("greedy_equal", "labels_close"):
        for told in frame[column].iloc[1:]:
            same, of = map(int, told.split("/"))
            assert same == of > 0


def test_each_way_is_given_its_best_number_of_threads():
    frame = pd.DataFrame(
        {
            "way": ["ours", "single", "ours", "single"],
            "threads": [1, 1, 2, 2],
            "seconds": [2.0, 9.0, 1.0, 10.0],
            "cpu_seconds": [2.0, 9.0, 2.5, 20.0],
        }
    )
    (line,) = bench_ask.compare(frame)
    assert line.startswith(
        "single: 9.0 times the seconds of ours, 4.5 times its processor time"
    )


def test_the_floor_is_that_of_the_multiplications():
    import torch

    backend = LocalModel(*tiny_checkpoint("idefics3"), name="tiny", device="cpu")
    items, plan = (
        ordered_items(tiny_items(2)),
        Plan(dataset="tiny", samples=2, max_new_tokens=3),
    )
    strategies = bench_ask.askable(backend)[:2]
    before, used = backend.positions, torch.get_num_threads()
    floors = bench_ask.floor_seconds(backend, strategies, items, plan, [1])
    torch.set_num_threads(used)
    n = backend.positions - before
    text = 2 * n * bench_ask_large.weights(backend.model.model.text_model)
    # text alone at a rate that no processor has, and all of it at one that any has
    assert text / 1e14 < floors[1] < 1000 * text / 1e8

    frame = pd.DataFrame({"way": ["ours", "single"], "seconds": [2.0, 30.0]})
    told = bench_ask.compare_to_floor(frame, {1: 1.0, 2: 1.5})
    assert (
        told[0]
        == "ours: 2.00 s, its multiplications alone 1.00 s at full rate (50% of it)"
    )
    assert told[1].startswith("single: at most 30.0 times that floor")


@pytest.mark.slow
def test_the_large_bench_runs_at_tiny_size(tmp_path):
    arguments = ["--tiny", "--items", "3", "--size", "112x84", "--samples", "2"]
    frame = bench_ask_large.main(
        [*arguments, "--max-new-tokens", "4", "--out", str(tmp_path)]
    )
    assert frame["way"].tolist() == ["ours", "batched"]
    assert frame["positions"].is_monotonic_increasing
    assert frame["patches"].is_monotonic_increasing
    # 112 x 84 pixels are 8 x 6 patches of 14; each image and its five changes, a blank one for all
    assert frame["patches"].iloc[0] == (3 * 6 + 1) * 48
    same, of = map(int, frame["greedy_equal"].iloc[1].split("/"))
    assert same == of > 0
    assert frame["floor_seconds"].gt(0).all()
    assert (tmp_path / "ask_large.csv").is_file()


def test_a_peer_that_is_not_installed_is_skipped_with_the_reason(
    tmp_path, monkeypatch, capsys
):
    for name in bench_ask_peers.PEERS.values():
        monkeypatch.setenv(name, str(tmp_path))
    assert bench_ask_peers.main(["--out", str(tmp_path)]) is None
    told = capsys.readouterr().out
    assert "uqlm: skipped, no environment with it (set MEDCAL_UQLM" in told
    assert "lm-polygraph: skipped, no environment with it" in told
    assert not list(tmp_path.iterdir())


def test_a_peer_that_fails_says_why(monkeypatch):
    # this interpreter has no uqlm
    told = bench_ask_peers.ask_peer("uqlm", sys.executable, {"logprobs": []})
    assert told == "ModuleNotFoundError: No module named 'uqlm'"


def test_confidences_are_compared_where_both_read_one():
    ours, theirs = (
        ([0.5, 0.8, None, 0.2], 1e-3, 1e-3),
        ([0.5, 0.9, 0.1, None], 4e-3, 2e-3),
    )
    row = bench_ask_peers.compare("verbalized", "peer", ours, theirs)
    assert (row["items"], row["read_by_ours"], row["read_by_peer"], row["same"]) == (
        4,
        3,
        3,
        1,
    )
    assert row["largest_gap"] == pytest.approx(0.1)
    assert (row["times_ours"], row["cpu_times_ours"]) == (
        pytest.approx(4),
        pytest.approx(2),
    )


@pytest.mark.slow
def test_the_records_hold_what_the_peers_need(tmp_path):
    save_checkpoint(tmp_path)
    record, ours = bench_ask_peers.record_replies(
        str(tmp_path), "pocketvqa-medical", 5, 3
    )
    assert {len(part) for part in record.values()} == {5}
    assert all(len(texts) == 3 for texts in record["samples"])
    for texts, known, classes, every in zip(
        *(record[name] for name in ("samples", "known", "classes", "all_classes")),
        strict=True,
    ):
        assert sorted(i for group in every for i in group) == list(range(len(texts)))
        assert sorted(i for group in classes for i in group) == list(range(len(known)))
    assert all(len(values) == 5 for values, _, _ in ours.values())
