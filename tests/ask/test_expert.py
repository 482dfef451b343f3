"""A real (random) checkpoint as the expert that judges answers, and as one that calls levels."""

from dataclasses import replace

import numpy as np
import pytest

from data.pocket.factory import model as architecture
from data.pocket.factory import tokenizer as words
from data.pocket.factory import training
from data.pocket.factory.answers import (
    LEVELS,
    beside_the_judged,
    with_candidates,
    with_levels,
)
from medcal_nb.answers.samples import one_answer_an_item
from medcal_nb.ask.about import about
from medcal_nb.ask.backends.local import LocalModel
from medcal_nb.ask.models import resolve_model
from medcal_nb.ask.run import ask
from medcal_nb.ask.strategies import APART, Plan, choose_strategies
from medcal_nb.datasets import open_image
from tests.ask.test_strategies import CHOICE, CLOSED, OPEN, any_answer, run, shares
from tests.ask.tiny import tiny_checkpoint, tiny_items


def test_an_expert_judges_the_options_or_the_one_answer_given():
    def asked(name, item):
        ((row,), ((call,),)) = run(name, item, shares)
        return row, call

    row, call = asked("expert", CHOICE)
    assert call.labels == ("heart", "left", "left lung")
    assert call.prompt.picture.source == CHOICE.image
    assert set(row["option_probabilities"]) == set(CHOICE.options)
    assert asked("expert_blank", CHOICE)[1].prompt.picture.change == "blank"
    row, call = asked("expert", replace(OPEN, options=("red",)))
    assert "Proposed answer: red." in call.prompt.turns[0]
    assert (row["answer"], row["confidence"]) == ("red", 0.5)
    assert "no allowed answers" in APART["expert"].applies(OPEN, Plan())


def test_an_expert_s_judgements_lie_beside_the_answers_and_are_asked_once(log):
    names = ["verbalized", "sequence_probability"]
    backend = LocalModel(*tiny_checkpoint(), name="tiny", device="cpu")
    ask(backend, tiny_items(6), names, log=log, max_new_tokens=4)
    judged = with_candidates(tiny_items(6), one_answer_an_item(log.read(), "log"))
    experts = ["expert", "expert_blank"]
    expert = LocalModel(*tiny_checkpoint("gemma3"), name="wise", device="cpu")
    judged["about_model"] = "tiny"
    methods = [about(how, "tiny") for how in choose_strategies(experts)]
    first = ask(expert, judged, methods, log=log)
    assert first.rows == 2 * len(judged) >= 8
    assert ask(expert, judged, methods, log=log).rows == 0
    rows = beside_the_judged(log.read()).query("strategy in @experts")
    assert set(rows["model"]) == {"tiny"}
    assert set(rows["expert"]) == {"wise"}
    assert rows["confidence"].between(0, 1).all()
    pairs = rows.pivot(index="item_id", columns="strategy", values="confidence")
    assert not np.allclose(pairs["expert"], pairs["expert_blank"])


def test_a_decision_is_that_of_the_pipeline_of_transformers(log, tmp_path):
    from transformers import pipeline  # seconds, in each process that collects

    folder = tmp_path / "untrained"
    tokenizer = words.build_tokenizer(training.vocabulary())
    model = architecture.new_model("small", tokenizer, seed=3)
    architecture.save_pocket(model, architecture.new_processor(tokenizer), folder)
    items = tiny_items(5, kinds=("open",)).assign(question="How many masses are there?")
    items["gold"] = ["one", "two", "three", "red", ["one", "two"]]
    done = ask(resolve_model(str(folder)), with_levels(items), "decision", log=log)
    assert (done.rows, done.failed) == (3, {})
    decide = pipeline("decision", model=str(folder))
    question = {"type": "score", "criteria": list(LEVELS)}
    question["instructions"] = "How many masses are there?"
    for row, image in zip(log.read().itertuples(), items["image"], strict=False):
        request = {"state": "image", "assets": {"image": open_image(image)}}
        theirs = decide(request | {"questions": {"q": question}})["q"]["probabilities"]
        ours = [row.option_probabilities[level] for level in LEVELS]
        assert ours == pytest.approx(
            list(theirs.values()), abs=1e-4
        )  # as they are logged
        assert row.question_type == "score"
        assert row.correct == (row.answer == row.gold)


@pytest.mark.parametrize("name", ["verbalized", "two_stage", "paraphrase", "p_true"])
def test_a_blanked_strategy_asks_the_same_with_a_blank_image(name):
    def shown(rounds):
        calls = [getattr(call, "prompt", call) for calls in rounds for call in calls]
        turns = {getattr(call, "turns", None) for call in calls}
        return {call.picture.change for call in calls}, turns

    rows, rounds = run(name, CLOSED, any_answer)
    blank_rows, blank_rounds = run(f"{name}_blank", CLOSED, any_answer)
    assert blank_rows == rows  # the replies were the same, so are the rows
    assert shown(blank_rounds) == ({"blank"}, shown(rounds)[1])
    assert "" in shown(rounds)[0]
