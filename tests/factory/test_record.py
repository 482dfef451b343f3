"""What is stored is what the seeds make, and a recording goes on where it was."""

import pandas as pd
import pytest

from data.pocket.factory import record as recording
from data.pocket.factory.questions import split_items
from medcal_nb.datasets import pocket
from medcal_nb.errors import MedcalError


@pytest.mark.parametrize("name", ["pocketvqa-general", "pocketvqa-medical"])
def test_items_drawn_anew_are_the_stored_ones(name):
    drawn = split_items(name, "test")
    pd.testing.assert_frame_equal(drawn, pocket.load(name, split="test"))


def test_the_quiz_drawn_anew_is_the_stored_one():
    pd.testing.assert_frame_equal(recording.quiz_items(), pocket.load("quiz"))


@pytest.mark.parametrize("strategy", recording.STRATEGIES)
def test_recorded_answers_are_what_the_model_says(strategy, tmp_path):
    """Asked again, in other batches: the same answers, and the same confidence but for rounding."""
    from medcal_nb.answers import AnswerLog
    from medcal_nb.answers.samples import one_answer_an_item
    from medcal_nb.ask.models import resolve_model
    from medcal_nb.ask.run import ask

    dataset = "pocketvqa-general"
    stored = pocket.fresh_answers(dataset, "pocket-general", strategy)
    (first, *_) = recording.draw_fresh(dataset, recording.BATCH)
    with AnswerLog(tmp_path / "a.sqlite") as log:
        ask(resolve_model("pocket-general"), first.iloc[::50], [strategy], log=log)
        said = one_answer_an_item(log.read(), "the log")
    both = said.merge(stored, on="item_id", suffixes=("", "_stored"))
    assert len(both) == len(said) > 20
    assert (both["answer"].fillna("") == both["answer_stored"].fillna("")).mean() > 0.95
    gap = (both["confidence"] - both["confidence_stored"]).abs()
    assert gap.quantile(0.95) < 1e-4


def test_a_recording_goes_on_and_keeps_what_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "BATCH", 12)
    where = {"home": tmp_path / "home", "work": tmp_path / "work", "progress": False}
    how = ("pocketvqa-general", "pocket-general")
    path = recording.record(*how, ["verbalized"], 20, **where)
    whole = path.read_bytes()
    first = pd.read_parquet(path)
    assert sorted(first["number"]) == list(range(20))
    assert first["item_id"].str.contains("/fresh-1/").sum() == 8
    (log,) = (tmp_path / "work").glob("*.sqlite")
    before = log.read_bytes()
    assert recording.record(*how, ["verbalized"], 20, **where).read_bytes() == whole
    assert log.read_bytes() == before
    recording.record(*how, ["option_probability"], 20, **where)
    both = pd.read_parquet(path)
    kept = both[both["strategy"] == "verbalized"].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, first)
    called = both[both["strategy"] == "option_probability"]
    for row in called.to_dict("records"):
        shares = dict(row["option_probabilities"])
        assert shares[row["answer"]] == row["confidence"] == max(shares.values())
        assert sum(shares.values()) == pytest.approx(1)
    monkeypatch.setenv(pocket.VARIABLE, str(tmp_path / "home"))
    assert len(pocket.fresh_answers(*how, "verbalized")) == 20


def test_a_strategy_that_cannot_be_asked_is_told(tmp_path):
    with pytest.raises(
        MedcalError, match="pocket-general can't be asked clip_zero_shot"
    ):
        recording.record(
            "pocketvqa-general", "pocket-general", ["clip_zero_shot"], 10,
            home=tmp_path, work=tmp_path, progress=False,
        )  # fmt: skip


def test_manifest_is_entered_and_replaced(tmp_path):
    import json

    folder = tmp_path / "pocket-new"
    folder.mkdir()
    hashes = []
    for text in "ab":
        (folder / "a.txt").write_text(text)
        recording.enter_in_manifest(folder)
        told = json.loads((tmp_path / pocket.MANIFEST).read_text())
        assert told["pocket-new"].keys() == {"a.txt"}
        hashes.append(told["pocket-new"]["a.txt"])
    assert hashes[0] != hashes[1]
