"""Costs are reckoned from the profile, before anything is asked."""

import math

import pytest

from medcal_nb.answers import AnswerLog
from medcal_nb.study import load_profile
from medcal_nb.study.costs import IMAGE_TOKENS, PROMPT_TOKENS, REPLY_TOKENS, cost_lines, cost_table
from medcal_nb.study.run import run_study
from tests.study.test_hashing import rows
from tests.study.test_run import toy  # noqa: F401

TEXT = """
summary = "toy"
[asking]
samples = 5
[[ask]]
models = ["owner/a", "owner/b"]
strategies = ["verbalized", "self_consistency"]
items = [{ dataset = "vqa-rad", split = "test" }, { dataset = "slake", split = "fit", n = 100 }]
[fast]
models = ["owner/a"]
strategies = ["verbalized"]
n = 10
[models."owner/a"]
disk_gb = 8
seconds_per_call = 0.5
image_tokens = 10
[datasets.vqa-rad]
items = 50
disk_gb = 2
"""


@pytest.fixture
def profile(tmp_path):
    (tmp_path / "toy.toml").write_text(TEXT)
    return load_profile(tmp_path / "toy.toml")


def test_cost_table(profile):
    table = cost_table(profile).set_index("model")
    # (50 + 100) items · (1 call verbalized + 5 samples)
    assert table.loc["owner/a", ["items", "calls"]].tolist() == [150, 900]
    assert table.loc["owner/a", "prompt_tokens"] == 900 * (10 + PROMPT_TOKENS)
    assert table.loc["owner/b", "prompt_tokens"] == 900 * (IMAGE_TOKENS + PROMPT_TOKENS)
    assert table.loc["owner/a", "new_tokens"] == 900 * REPLY_TOKENS
    assert table.loc["owner/a", "hours"] == pytest.approx(900 * 0.5 / 3600)
    fast = cost_table(profile, fast=True)
    assert fast[["model", "items", "calls"]].values.tolist() == [["owner/a", 20, 20]]


def test_what_is_answered_is_taken_off(profile, tmp_path):
    log = tmp_path / "a.sqlite"
    with AnswerLog(log) as answers:
        answers.append(rows(45).assign(model="owner/a"))
    table = cost_table(profile, answers=log).set_index("model")
    # 45 of 150 + 750 answers are there
    assert table.loc["owner/a", "calls"] == pytest.approx(900 * (1 - 45 / 900))
    assert table.loc["owner/b", "calls"] == 900


def test_unknown_size_is_a_question_mark(tmp_path):
    (tmp_path / "toy.toml").write_text(TEXT.replace("items = 50\n", ""))
    profile = load_profile(tmp_path / "toy.toml")
    assert math.isnan(cost_table(profile).loc[0, "calls"])
    assert "? calls" in cost_lines(profile)[-2]


def test_lines_tell_calls_tokens_disk_and_time(profile):
    text = "\n".join(cost_lines(profile))
    assert "owner/a  150 items, 900 calls, 90.0k" in text.replace("90k", "90.0k")
    assert "10 GB on disk with the data sets" in text
    assert "8 min" in text


@pytest.mark.parametrize("name", ["hub", "served"])
def test_shipped_profiles_know_their_costs(name):
    table = cost_table(load_profile(name))
    assert table.notna().all().all()
    assert (table[["items", "calls", "hours"]] > 0).all().all()


def test_costs_are_told_before_the_pocket_study_never(toy, profile, capsys):  # noqa: F811
    run_study(str(profile.path), root=toy, plan_only=True)
    assert "profile toy will ask, at most:" in capsys.readouterr().err
    run_study("pocket", root=toy, plan_only=True)
    assert capsys.readouterr().err == ""
