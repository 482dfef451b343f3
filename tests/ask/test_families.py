"""Every strategy through the real classes of each model family, shared prefix against whole."""

import os
from functools import cache

import pytest

from medcal_nb.ask import prompts, strategies
from medcal_nb.ask.backends.local import MODEL_TYPES, LocalModel
from medcal_nb.ask.calls import Generate, Prompt
from medcal_nb.ask.strategies import STRATEGIES
from tests.ask.families import FAMILIES, INTRODUCTION, family_table, format_table
from tests.ask.test_local import same, some_calls
from tests.ask.tiny import noise_picture, tiny_checkpoint
from tests.ask.whole import answer_whole

pytest.importorskip("torch")

NEVER_LOCAL = {"clip_zero_shot"}


@cache
def whole_table():
    return family_table()


def test_each_model_type_that_is_asked_here_has_been_tried():
    assert set(FAMILIES) == set(MODEL_TYPES)


@pytest.mark.parametrize("name", FAMILIES)
def test_real_classes(name):
    model, processor = tiny_checkpoint(name)
    assert model.config.model_type == name
    assert type(model).__module__ == f"transformers.models.{name}.modeling_{name}"
    assert type(processor).__module__.startswith("transformers.models.")
    assert sum(weight.numel() for weight in model.parameters()) < 400_000


@pytest.mark.parametrize("name", FAMILIES)
def test_every_strategy_runs(name):
    (row,) = whole_table().query("family == @FAMILIES[@name].title").to_dict("records")
    for strategy in STRATEGIES:
        assert (row[strategy] == "runs") == (strategy not in NEVER_LOCAL), row[strategy]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_shared_prefix_gives_what_whole_prompts_give(name):
    checkpoint = tiny_checkpoint(name)
    shared = LocalModel(*checkpoint, name=name, device="cpu")
    calls = some_calls()
    with shared.session() as session:
        first = session.run(calls)
        followed = []
        for call in calls:
            if isinstance(call, Generate) and not call.seed:
                asked = call.prompt
                turns = (*asked.turns, "no", strategies.TWO_STAGE)
                followed.append(Generate(Prompt(asked.picture, turns, asked.block), 6))
        second = session.run(followed)
    same(first + second, answer_whole(shared, calls + followed))


def test_beyond_a_sliding_window_prompts_are_asked_whole():
    model = LocalModel(*tiny_checkpoint("gemma3"), name="gemma3", device="cpu")
    assert model.window == 512
    long = prompts.question_block("Is there a mass? " * 80, ["yes", "no"])
    calls = [
        Generate(Prompt(noise_picture(1), (long + "\n" + text,), long), 5)
        for text in (prompts.ANSWER, strategies.VERBALIZED)
    ]
    short = [Generate(Prompt(noise_picture(1), (prompts.ANSWER,)), 5)]
    with model.session() as session:
        same(
            session.run(short) + session.run(calls), answer_whole(model, short + calls)
        )


def test_the_table_in_the_docs_is_what_was_tried(root):
    page = root / "docs" / "families.md"
    printed = INTRODUCTION + format_table(whole_table()) + "\n"
    if os.environ.get("MEDCAL_WRITE_DOCS"):
        page.write_text(printed, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == printed
