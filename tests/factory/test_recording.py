"""What is stored is what the seeds make and the models answer, asked again."""

import json

import pandas as pd
import pytest

from data.pocket.factory import answers as recorded
from data.pocket.factory import record as recording
from data.pocket.factory.questions import split_items
from medcal_nb.answers import AnswerLog
from medcal_nb.answers.recorded import load_recorded
from medcal_nb.answers.samples import one_answer_an_item
from medcal_nb.ask.models import resolve_model
from medcal_nb.ask.run import ask
from medcal_nb.datasets import pocket
from medcal_nb.errors import MedcalError

KEY = ["model", "dataset", "item_id", "strategy"]
ITEMS = '[{ dataset = "pocketvqa-medical", split = "test", n = 30 }]'
JOBS = f"""
seed = 0
[[ask]]
models = ["pocket-medical"]
strategies = ["option_probability", "p_true", "top_k"]
items = {ITEMS}
[[ask]]
models = ["pocket-medical"]
expert = "pocket-expert"
of = ["p_true", "top_k"]
strategies = ["expert"]
items = {ITEMS}
"""


def test_items_drawn_anew_are_the_stored_ones():
    for name in ("pocketvqa-general", "pocketvqa-medical"):
        stored = pocket.load(name, split="test")
        pd.testing.assert_frame_equal(split_items(name, "test"), stored)
    pd.testing.assert_frame_equal(recording.quiz_items(), pocket.load("quiz"))


def assert_same_answers(asked, stored, key):
    """In other batches: the same answers and, but for rounding, the same confidences."""
    both = asked.merge(stored, on=key, suffixes=("", "_stored"))
    assert len(both) == len(asked) > 20
    same = both["answer"].fillna("") == both["answer_stored"].fillna("")
    assert same.mean() > 0.95
    gap = (both["confidence"] - both["confidence_stored"])[same].abs()
    assert gap.quantile(0.95) < 1e-4


def test_fresh_answers_are_what_the_model_says(tmp_path):
    how = ("pocketvqa-general", "pocket-general")
    stored = [pocket.fresh_answers(*how, strategy) for strategy in recording.STRATEGIES]
    items = next(iter(recording.draw_fresh(how[0], recording.BATCH))).iloc[::50]
    with AnswerLog(tmp_path / "a.sqlite") as log:
        ask(resolve_model(how[1]), items, recording.STRATEGIES, log=log)
        assert_same_answers(
            one_answer_an_item(log.read(), "the log"), pd.concat(stored), KEY
        )


def test_recorded_answers_are_what_the_models_say(tmp_path, monkeypatch):
    (tmp_path / "answers.toml").write_text(JOBS)
    monkeypatch.setattr(recorded, "JOBS", tmp_path / "answers.toml")
    monkeypatch.setattr(recorded, "WORK", tmp_path / "work")
    path = recorded.record_answers(to=tmp_path)
    (log,) = (tmp_path / "work").glob("*.sqlite")
    before = path.read_bytes(), log.read_bytes()
    again = recorded.record_answers(to=tmp_path).read_bytes()
    assert (again, log.read_bytes()) == before
    table = pd.read_parquet(path)
    assert not table.duplicated(KEY).any()
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["pocket"]["rows"] == len(table) > 90
    # the expert is asked about other answers here
    plain = table[table["strategy"] != "expert"]
    assert_same_answers(plain, load_recorded("pocket"), KEY)


def test_a_recording_goes_on_and_changes_nothing_that_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "BATCH", 12)
    where = {
        "home": tmp_path / "data" / "pocket",
        "work": tmp_path / "work",
        "progress": False,
    }
    how = ("pocketvqa-general", "pocket-general")
    path = recording.record(*how, ["verbalized"], 20, **where)
    (log,) = (tmp_path / "work").glob("*.sqlite")
    before = path.read_bytes(), log.read_bytes()
    first = pd.read_parquet(path)
    assert sorted(first["number"]) == list(range(20))
    recording.record(*how, ["verbalized"], 20, **where)
    assert (path.read_bytes(), log.read_bytes()) == before
    recording.record(*how, ["option_probability"], 20, **where)
    parts = dict(list(pd.read_parquet(path).groupby("strategy")))
    same = parts["verbalized"].reset_index(drop=True)
    pd.testing.assert_frame_equal(same, first)
    for row in parts["option_probability"].to_dict("records"):
        shares = dict(row["option_probabilities"])
        assert shares[row["answer"]] == row["confidence"] == max(shares.values())
    with pytest.raises(MedcalError, match="can't be asked clip_zero_shot"):
        recording.record(*how, ["clip_zero_shot"], 10, **where)
    monkeypatch.setenv("MEDCAL_ROOT", str(tmp_path))
    assert len(pocket.fresh_answers(*how, "verbalized")) == 20
