"""A real (random) checkpoint as the expert that judges answers, and as one that calls levels."""

import numpy as np
import pandas as pd
import pytest
from transformers import pipeline

from data.pocket.factory import model as architecture
from data.pocket.factory import tokenizer as words
from data.pocket.factory import training
from medcal_nb.answers import AnswerLog
from medcal_nb.ask.backends.local import LocalModel
from medcal_nb.ask.graded import ranked, to_graded, with_candidates
from medcal_nb.ask.models import resolve_model
from medcal_nb.ask.run import ask
from medcal_nb.ask.strategies import LEVELS
from medcal_nb.datasets import open_image
from tests.ask.tiny import tiny_checkpoint, tiny_items


@pytest.fixture
def log(tmp_path):
    with AnswerLog(tmp_path / "answers.sqlite") as log:
        yield log


def graded(items, **told):
    """What strategies answered: by name, (answer, confidence)."""
    rows = [
        {
            "item_id": item_id,
            "strategy": name,
            "answer": answer,
            "confidence": confidence,
        }
        for item_id in items["item_id"]
        for name, (answer, confidence) in told.items()
    ]
    return pd.DataFrame(rows)


def test_open_questions_get_the_answers_that_were_given_as_options():
    items = tiny_items(3)
    told = {
        "s": ("Red.", 0.8),
        "t": ("the red", 0.4),
        "u": ("blue", 0.4),
        "v": (np.nan, np.nan),
    }
    found = with_candidates(items, graded(items, **told))
    assert found["item_id"].tolist() == items["item_id"].tolist()
    assert found["options"].tolist()[:2] == items["options"].tolist()[:2]
    assert sorted(found["options"].iloc[2]) == [
        "Red.",
        "blue",
    ]  # the first spelling of each
    silent = with_candidates(items, graded(items, s=("red", np.nan)))
    assert silent["question_type"].tolist() == ["closed", "choice"]


def test_items_that_not_all_strategies_have_answered_are_not_judged():
    items = tiny_items(3)
    table = graded(items, s=("red", 0.8), t=("red", 0.4))
    assert with_candidates(items, table.iloc[1:])["item_id"].tolist() == [
        "q0001",
        "q0002",
    ]
    assert with_candidates(items, table.iloc[:0]).empty


def test_an_expert_s_judgements_lie_beside_the_answers_and_are_asked_once(log):
    items = tiny_items(6)
    told = ["verbalized", "sequence_probability"]
    backend = LocalModel(*tiny_checkpoint(), name="tiny", device="cpu")
    ask(backend, items, told, log=log, max_new_tokens=4)
    judged = with_candidates(items, to_graded(log.read()))
    names = ["expert", "expert_blank"]
    expert = LocalModel(*tiny_checkpoint("smolvlm"), name="wise", device="cpu")
    first = ask(expert, judged, names, log=log, model="tiny")
    assert first.rows == 2 * len(judged) >= 8
    assert ask(expert, judged, names, log=log, model="tiny").rows == 0
    rows = log.read()
    rows = rows[rows["strategy"].isin(names)]
    assert set(rows["model"]) == {"tiny"}
    assert set(rows["expert"]) == {"wise"}
    assert rows["confidence"].between(0, 1).all()
    pairs = rows.pivot(index="item_id", columns="strategy", values="confidence")
    assert not np.allclose(pairs["expert"], pairs["expert_blank"])
    for p in rows["option_probabilities"].dropna():
        assert sum(p.values()) == pytest.approx(1, abs=1e-4)
    assert set(ranked(to_graded(log.read()))["strategy"]) == set(told)


def test_nothing_is_asked_of_an_expert_where_there_is_nothing_to_judge(log):
    class Mute:
        name, can, cannot = (
            "mute",
            frozenset({"generate"}),
            {"labels": "the server hides them"},
        )

    assert ask(Mute(), tiny_items(2), "expert", log=log, model="m").skipped == {
        ("expert", "the server hides them"): 2
    }
    assert ask(Mute(), tiny_items(2).head(0), "expert", log=log, model="m").rows == 0


def test_a_decision_calls_what_the_decision_pipeline_of_transformers_calls(
    log, tmp_path
):
    tokenizer = words.build_tokenizer(training.vocabulary())
    architecture.save_pocket(
        architecture.new_model("small", tokenizer, seed=3),
        architecture.new_processor(tokenizer),
        tmp_path / "untrained",
    )
    items = tiny_items(5, kinds=("open",)).assign(question="How many masses are there?")
    items["gold"] = ["one", "two", "three", "red", ["one", "two"]]
    done = ask(resolve_model(str(tmp_path / "untrained")), items, "decision", log=log)
    assert (done.rows, done.skipped) == (3, {("decision", "no answer is a level"): 2})
    decide = pipeline("decision", model=str(tmp_path / "untrained"))
    for row, image in zip(log.read().itertuples(), items["image"], strict=False):
        question = {"type": "score", "criteria": list(LEVELS)}
        question["instructions"] = "How many masses are there?"
        request = {"state": "image", "assets": {"image": open_image(image)}}
        told = decide(request | {"questions": {"q": question}})["q"]["probabilities"]
        assert list(row.option_probabilities) == list(LEVELS)
        assert list(row.option_probabilities.values()) == pytest.approx(
            list(told.values()), abs=1e-5
        )
        assert row.question_type == "score"
        assert row.correct == (row.answer == row.gold)
