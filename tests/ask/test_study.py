"""The asking stage of a profile: what is begun anew, and what never is."""

import json
import shutil
from types import SimpleNamespace

import pandas as pd
import pytest

from medcal_nb.answers import AnswerLog
from medcal_nb.ask import study
from medcal_nb.ask.graded import ranked
from medcal_nb.errors import MedcalError
from medcal_nb.study import load_profile

TINY = """
[[ask]]
models = ["pocket-general"]
strategies = ["verbalized", "p_true", "verbalized_blank"]
items = [{ dataset = "DATASET", split = "test", n = 4 }]

[[ask]]
models = ["pocket-general"]
expert = "pocket-expert"
of = ["verbalized", "p_true"]
strategies = ["expert", "expert_blind"]
items = [{ dataset = "DATASET", split = "test", n = 4 }]

[[ask]]
models = ["pocket-general"]
strategies = ["decision"]
levels = ["yes", "no"]
items = [{ dataset = "DATASET", split = "test", n = 4 }]
"""


@pytest.fixture
def profile(tmp_path):
    dataset = next(job.dataset for job in load_profile("pocket").jobs() if "general" in job.dataset)
    path = tmp_path / "tiny.toml"
    path.write_text(TINY.replace("DATASET", dataset))
    return load_profile(path)


def test_one_log_holds_all_that_the_study_asks(profile, tmp_path):
    log = tmp_path / "answers.sqlite"
    told = study.ask_profile(profile, log, progress=False)
    assert told["answers"].tolist() == [4 * 3, told["answers"][1], 4 * 2]
    with AnswerLog(log, read_only=True) as answers:
        first = answers.read()
    assert set(first["strategy"]) == {
        *("verbalized", "p_true", "verbalized_blank", "decision", "expert", "expert_blind"),
    }
    assert set(first["model"]) == {"pocket-general"}
    assert first.loc[first["strategy"] == "expert", "expert"].eq("pocket-expert").all()
    assert set(ranked(first)["strategy"]) == {"verbalized", "p_true"}
    again = study.ask_profile(profile, log, progress=False)
    assert again["answers"].sum() == 0
    with AnswerLog(log, read_only=True) as answers:
        pd.testing.assert_frame_equal(answers.read(), first)


def test_a_log_that_the_study_did_not_make_is_never_touched(profile, tmp_path):
    log = tmp_path / "mine.sqlite"
    with AnswerLog(log) as answers:
        row = {"model": "m", "dataset": "d", "item_id": "q", "strategy": "verbalized"}
        answers.append([{**row, "answer": "yes", "confidence": 0.8}])
    before = log.read_bytes()
    with pytest.raises(MedcalError, match=r"did not ask for.*--profile imported"):
        study.ask_profile(profile, log, progress=False)
    assert log.read_bytes() == before
    assert [path.name for path in tmp_path.glob("mine*")] == ["mine.sqlite"]


def test_our_own_log_is_begun_anew_where_what_it_was_made_from_has_changed(tmp_path):
    log = tmp_path / "answers.sqlite"
    jobs = [SimpleNamespace(model="pocket-general", dataset="d", n=3)]
    study._begin_anew_if_stale(jobs, log)
    with AnswerLog(log) as answers:
        row = {"model": "pocket-general", "dataset": "d", "item_id": "q", "strategy": "verbalized"}
        answers.append([{**row, "answer": "yes", "confidence": 0.8}])
    study._begin_anew_if_stale(jobs, log)
    assert log.exists()
    note = tmp_path / "answers.sqlite.made-from.json"
    told = json.loads(note.read_text())
    study._begin_anew_if_stale([SimpleNamespace(model="pocket-general", dataset="d", n=4)], log)
    assert not log.exists()
    assert json.loads(note.read_text()) != told


def test_embedded_answers_are_asked_anew_where_the_words_they_are_read_by_changed(
    tmp_path, monkeypatch
):
    package = tmp_path / "medcal_nb"
    shutil.copytree(study._PACKAGE / "ask", package / "ask")
    shutil.copy(study._PACKAGE / "items.py", package)
    monkeypatch.setattr(study, "_PACKAGE", package)
    before = study._code_and_weights()
    assert study._code_and_weights() == before
    for name in ("words.toml", "strategies.py"):
        with (package / "ask" / name).open("a", encoding="utf-8") as file:
            file.write("\n# a change\n")
        after = study._code_and_weights()
        assert after != before, name
        before = after


@pytest.mark.slow
@pytest.mark.parametrize("models", [["nowhere/x/y"], ["pocket-none", "pocket-general"]])
def test_a_model_that_cannot_be_reached_ends_the_asking(tmp_path, models):
    path, log = tmp_path / "two.toml", tmp_path / "answers.sqlite"
    told = TINY.split("[[ask]]")[1].replace("DATASET", "pocketvqa-general")
    path.write_text("[[ask]]" + told.replace('["pocket-general"]', json.dumps(models)))
    with pytest.raises(MedcalError, match=models[0]):
        study.ask_profile(load_profile(path), log, progress=False)
