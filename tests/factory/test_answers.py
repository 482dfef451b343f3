"""The recorded answers of the pocket models are what the models say, asked again."""

import json

import pandas as pd

from data.pocket.factory import answers as recording
from medcal_nb.answers.recorded import load_recorded

JOBS = """
seed = 0
[[ask]]
models = ["pocket-medical"]
strategies = ["option_probability", "p_true", "top_k"]
items = [{ dataset = "pocketvqa-medical", split = "test", n = 30 }]
[[ask]]
models = ["pocket-medical"]
expert = "pocket-expert"
of = ["p_true", "top_k"]
strategies = ["expert"]
items = [{ dataset = "pocketvqa-medical", split = "test", n = 30 }]
"""
KEY = ["model", "dataset", "item_id", "strategy"]


def test_answers_asked_again_are_the_recorded_ones(tmp_path, monkeypatch):
    jobs = tmp_path / "answers.toml"
    jobs.write_text(JOBS)
    monkeypatch.setattr(recording, "JOBS", jobs)
    monkeypatch.setattr(recording, "WORK", tmp_path / "work")
    path = recording.record_answers(to=tmp_path)
    (log,) = (tmp_path / "work").glob("*.sqlite")
    whole = path.read_bytes()
    before = log.read_bytes()
    assert recording.record_answers(to=tmp_path).read_bytes() == whole
    assert log.read_bytes() == before
    table = pd.read_parquet(path)
    assert "raw" not in table
    assert len(table) == table.groupby(KEY).ngroups > 90
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["pocket"]["rows"] == len(table)
    # in other batches: the same but for rounding; the expert is asked about other answers here
    plain = table[table["strategy"] != "expert"]
    both = plain.merge(load_recorded("pocket"), on=KEY, suffixes=("", "_recorded"))
    assert len(both) == len(plain)
    same = both["answer"].fillna("") == both["answer_recorded"].fillna("")
    assert same.mean() > 0.95
    gap = (both["confidence"] - both["confidence_recorded"])[same].abs()
    assert gap.quantile(0.95) < 1e-4
