"""Every strategy through the real classes of each model family, shared prefix against whole."""

import os
from functools import cache

import pytest

from medcal_nb.ask import prompts, strategies
from medcal_nb.ask.backends.local import SHAREABLE, LocalModel
from medcal_nb.ask.calls import Generate, Labels, Prompt
from medcal_nb.ask.strategies import STRATEGIES
from tests.ask.families import FAMILIES, INTRODUCTION, family_table, format_table
from tests.ask.test_local import answer, same, some_calls
from tests.ask.tiny import noise_picture, tiny_checkpoint

pytest.importorskip("torch")

NO_TURNS = {"two_stage", "describe_first", "challenge"}
NEVER_LOCAL = {"clip_zero_shot"}


@cache
def whole_table():
    return family_table()


def test_the_ten_families_stand():
    assert set(FAMILIES) >= {
        "qwen2_5_vl",
        "qwen3_vl",
        "internvl",
        "llava",
        "llava_next",
        "llava_onevision",
        "gemma3",
        "smolvlm",
        "paligemma",
        "mllama",
    }


@pytest.mark.parametrize("name", FAMILIES)
def test_real_classes(name):
    model, processor = tiny_checkpoint(name)
    assert model.config.model_type == name
    assert type(model).__module__ == f"transformers.models.{name}.modeling_{name}"
    assert type(processor).__module__.startswith("transformers.models.")
    assert sum(weight.numel() for weight in model.parameters()) < 400_000


@pytest.mark.parametrize("name", FAMILIES)
def test_every_strategy_runs_or_is_skipped_with_the_reason(name):
    table = whole_table()
    (row,) = table[table.family == FAMILIES[name].title].to_dict("records")
    for strategy in STRATEGIES:
        if strategy in NEVER_LOCAL:
            assert row[strategy] != "runs"
        elif name == "paligemma" and strategy in NO_TURNS:
            assert (
                row[strategy] == "the checkpoint has no chat template, so there is no second turn"
            )
        else:
            assert row[strategy] == "runs", strategy


@pytest.mark.parametrize("name", sorted(SHAREABLE & set(FAMILIES)))
def test_a_shared_prefix_gives_what_whole_prompts_give(name):
    checkpoint = tiny_checkpoint(name)
    shared = LocalModel(*checkpoint, name=name, device="cpu")
    assert shared.share
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
    shared.share = False
    same(first + second, answer(shared, calls + followed))


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - SHAREABLE))
def test_whole_prompts_do_not_depend_on_the_batch(name):
    model = LocalModel(*tiny_checkpoint(name), name=name, device="cpu")
    assert not model.share
    block = prompts.question_block("Is there a mass?", ["yes", "no"])
    calls = []
    for seed in range(3):
        for text in (prompts.ANSWER, strategies.VERBALIZED):
            prompt = Prompt(noise_picture(seed, size=(40 + 16 * seed, 48)), (f"{block}\n{text}",))
            calls += [Generate(prompt, 6), Generate(prompt, 6, seed=f"{seed}")]
            calls.append(Labels(prompt, ("yes", "no")))
    together = answer(model, calls)
    same(together, [answer(model, [call])[0] for call in calls])


def test_beyond_a_sliding_window_prompts_are_asked_whole():
    model = LocalModel(*tiny_checkpoint("gemma3"), name="gemma3", device="cpu")
    assert model.window == 512
    long = prompts.question_block("Is there a mass? " * 80, ["yes", "no"])
    calls = [
        Generate(Prompt(noise_picture(1), (long + "\n" + text,), long), 5)
        for text in (prompts.ANSWER, strategies.VERBALIZED)
    ]
    shared = answer(model, calls)
    model.share = False
    same(shared, answer(model, calls))


def test_the_table_in_the_docs_is_what_was_tried(root):
    page = root / "docs" / "families.md"
    printed = INTRODUCTION + format_table(whole_table()) + "\n"
    if os.environ.get("MEDCAL_WRITE_DOCS"):
        page.write_text(printed, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == printed


def test_the_table_is_readable():
    text = format_table(whole_table().query("family in ['LLaVA', 'PaliGemma']"))
    assert text.startswith("|  | LLaVA | PaliGemma |")
    assert "| two_stage | runs | skipped (1) |" in text
    assert "(1) the checkpoint has no chat template" in text
    assert "clip" not in text
