"""A real (random) checkpoint as the expert that judges answers, and as one that calls scores."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from data.pocket.factory import model as architecture
from data.pocket.factory import tokenizer as words
from data.pocket.factory import training
from medcal_nb.answers import AnswerLog
from medcal_nb.ask.backends.local import LocalModel
from medcal_nb.ask.expert import ask_scores, cases
from medcal_nb.ask.graded import ranked, to_graded
from medcal_nb.ask.run import ask, ordered_items
from tests.ask.tiny import tiny_checkpoint, tiny_items

LEVELS = ("one", "two", "three")


@pytest.fixture(scope="module")
def backend():
    return LocalModel(*tiny_checkpoint(), name="tiny", device="cpu")


@pytest.fixture
def log(tmp_path):
    with AnswerLog(tmp_path / "answers.sqlite") as log:
        yield log


def graded(items, **told):
    """What strategies answered: by name, (answer, confidence[, option probabilities])."""
    rows = [
        {
            "model": "m", "dataset": "tiny", "item_id": item.item_id, "strategy": name,
            "answer": answer, "confidence": confidence,
            "option_probabilities": shares[0] if shares else None,
        }
        for item in items.itertuples()
        for name, (answer, confidence, *shares) in told.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_candidates_and_support_by_hand():
    items = tiny_items(3)
    closed, choice, open_one = ordered_items(items)
    table = graded(items, s=("yes", 0.9), t=("No.", 0.7))
    found = cases(table, [closed], ["s", "t"])[closed.item_id]
    # yes: (.9 + .3) / 2
    assert found == (("no", "yes"), (pytest.approx(0.4), pytest.approx(0.6)))
    table = graded(items, s=("heart", 0.8), t=("the heart", 0.4, {"heart": 0.5, "left": 0.3}))
    candidates, support = cases(table, [choice], ["s", "t"])[choice.item_id]
    assert candidates == ("heart", "left", "left lung")
    # heart: (.8 + .5) / 2; nobody named the others, which share what is left
    assert support == (pytest.approx(0.65), pytest.approx(0.175), pytest.approx(0.175))
    table = graded(items, s=("red", 0.8), t=(np.nan, np.nan))
    assert cases(table, [open_one], ["s", "t"])[open_one.item_id][0] == ("red",)
    assert cases(table, [open_one], ["s", "t", "u"]) == {}  # not all have answered yet


def test_an_expert_s_judgements_lie_beside_the_answers_and_are_asked_once(backend, log):
    items = tiny_items(6)
    told = ["verbalized", "sequence_probability"]
    ask(backend, items, told, log=log, max_new_tokens=4)
    judged = cases(to_graded(log.read()), ordered_items(items), told)
    names = ["expert", "expert_blind", "expert_told", "expert_blind_told"]
    more = {"log": log, "model": "tiny", "judged": judged}
    expert = LocalModel(*tiny_checkpoint("smolvlm"), name="wise", device="cpu")
    first = ask(expert, items, names, **more)
    assert first.rows == 4 * len(judged) >= 16
    assert ask(expert, items, names, **more).rows == 0
    rows = log.read()
    rows = rows[rows["strategy"].isin(names)]
    assert set(rows["model"]) == {"tiny"}
    assert set(rows["expert"]) == {"wise"}
    assert rows["confidence"].between(0, 1).all()
    pairs = rows.pivot(index="item_id", columns="strategy", values="confidence")
    assert not np.allclose(pairs["expert"], pairs["expert_blind"])
    for p in rows["option_probabilities"].dropna():
        assert sum(p.values()) == pytest.approx(1, abs=1e-4)
    assert set(ranked(to_graded(log.read()))["strategy"]) == set(told)


def test_answers_of_one_strategy_are_not_judged_by_a_model_that_reads_nothing(log):
    class Mute:
        name, can, cannot = "mute", frozenset({"generate"}), {"labels": "the server hides them"}

    done = ask(Mute(), tiny_items(2), "expert", log=log, model="m", judged={})
    assert done.skipped == {"expert": "the server hides them"}


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A small model on disk that has learned nothing, and questions that ask how many."""
    folder = tmp_path_factory.mktemp("score") / "untrained"
    tokenizer = words.build_tokenizer(training.vocabulary())
    architecture.save_pocket(
        architecture.new_model("small", tokenizer, seed=3),
        architecture.new_processor(tokenizer),
        folder,
    )
    items = tiny_items(9, kinds=("open",)).assign(question="How many masses are there?")
    return folder, items.assign(gold=["one", "two", "three", "red", "one"] * 1 + ["two"] * 4)


def test_scores_come_from_the_decision_pipeline_once(untrained, log):
    folder, items = untrained
    first, again = (ask_scores(str(folder), items, LEVELS, log=log) for _ in range(2))
    assert (first.rows, first.done_before) == (again.done_before, again.rows) == (8, 0)
    out = log.read()
    assert (out["question_type"] == "score").all()
    for row in out.itertuples():
        assert list(row.option_probabilities) == list(LEVELS)
        assert sum(row.option_probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert row.confidence == pytest.approx(row.option_probabilities[row.answer])
        assert row.correct == (row.answer == row.gold)


def test_a_temperature_written_beside_the_model_changes_what_it_calls(untrained, tmp_path):
    folder, items = untrained
    warm = shutil.copytree(folder, tmp_path / "warm")
    config = json.loads((warm / "decision.json").read_text())
    (warm / "decision.json").write_text(json.dumps(config | {"temperature": {"score": 4.0}}))
    tables = []
    for model in (folder, warm):
        with AnswerLog(tmp_path / f"{model.name}.sqlite") as log:
            ask_scores(str(model), items.head(3), LEVELS, log=log)
            tables.append(log.read()["option_probabilities"])
    for a, b in zip(*tables, strict=True):
        logs = [np.log(list(p.values())) for p in (a, b)]
        np.testing.assert_allclose(np.diff(logs[0]), 4 * np.diff(logs[1]), atol=1e-3)


def test_items_without_a_level_are_not_asked(untrained, log):
    done = ask_scores("any", untrained[1], ("huge", "tiny"), log=log)
    assert (done.rows, done.done_before) == (0, 0)
    assert done.not_applicable == {("decision", "no answer is a level"): 9}
    several = untrained[1].assign(gold=[["huge", "big"]] * 9)  # several answers count as right
    assert ask_scores("any", several, ("huge", "tiny"), log=log).not_applicable
