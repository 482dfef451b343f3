"""What the pocket models are taught to say."""

import numpy as np
import pytest

from data.pocket.factory import turns
from medcal_nb.ask import prompts, strategies
from medcal_nb.ask.confidence import parse_confidence, parse_likelihood
from medcal_nb.ask.parsing import parse_answer, parse_guesses

CHOICE = turns.Asked(
    question="which organ has the finding?",
    options=("liver", "kidney", "spleen"),
    gold="kidney",
    question_type="choice",
    wrong=("liver", "spleen"),
    visibility=0.7,
    kind="ct",
    description="ct: finding cyst, organ kidney",
    reason="organ kidney",
    known=(
        ("finding", "cyst", ("none", "cyst", "stone")),
        ("organ", "kidney", ("liver", "kidney", "spleen")),
        ("size", "none", ("none", "small")),
    ),
    medical=False,
)
ANNOTATOR = turns.Annotator({"choice": [0.34, 0.5, 0.7, 0.83, 0.97]})
OPTIONS = list(CHOICE.options)


def _say(name, seed=0, asked=CHOICE):
    rng = np.random.default_rng(seed)
    return turns.draw_conversation(asked, ANNOTATOR, {name: 1.0}, rng)


def test_first_turns_are_worded_as_the_study_words_them():
    expected = {
        "answer": prompts.ANSWER,
        "verbalized": strategies.VERBALIZED,
        "verbalized_cot": strategies.VERBALIZED_COT,
        "linguistic": strategies.LINGUISTIC,
        "top_k": strategies.TOP_K,
        "describe": prompts.DESCRIBE,
    }
    for name, instruction in expected.items():
        for seed in range(20):
            block, rest = _say(name, seed)
            questions = [CHOICE.question] + [
                words.format(question=CHOICE.question)
                for words in strategies.REWORDINGS
            ]
            assert block + rest[0][0] in [
                prompts.user_turn(question, OPTIONS, instruction)
                for question in questions
            ]


def test_letters_point_at_the_gold_answer():
    seen = set()
    for seed in range(60):
        for name in ("letter", "decide_letter"):
            block, rest = _say(name, seed)
            letter = rest[-1][0]
            assert f"{letter}. kidney" in block.split("\n")
            seen.add(letter)
    assert seen == {"A", "B", "C"}


def test_decision_prompts_are_those_of_transformers():
    from jinja2 import Template
    from transformers.decision.template_utils import DECISION_PROMPT, Question

    for seed in range(20):
        block, rest = _say("decide_letter", seed)
        options = [line[3:] for line in block.split("\n") if line[1:3] == ". "]
        kinds = {"choice": (options, [None] * 3), "score": (["0", "1", "2"], options)}
        rendered = set()
        for kind, (names, described) in kinds.items():
            question = Question(
                "q", kind, CHOICE.question, names, ["A", "B", "C"], described
            )
            rendered.add(Template(DECISION_PROMPT).render(state="", question=question))
        assert block + rest[0][0] in rendered


@pytest.mark.parametrize("name", ["verbalized", "verbalized_cot", "describe"])
def test_stated_confidence_is_the_annotators(name):
    _, rest = _say(name)
    reply = rest[-1][0]
    assert parse_answer(reply, question_type="choice", options=OPTIONS) == "kidney"
    assert parse_confidence(reply) == pytest.approx(0.8)  # 0.83 to tens


def test_linguistic_words_and_guesses_can_be_read():
    _, rest = _say("linguistic")
    assert parse_likelihood(rest[-1][0]) == pytest.approx(
        turns.LIKELIHOODS["highly likely"], abs=0.1
    )
    _, rest = _say("top_k")
    guesses = parse_guesses(rest[-1][0])
    assert [probability for _, probability in guesses] == [0.8, 0.1]


def test_likelihood_words_are_the_studys():
    offered = strategies.LINGUISTIC.partition("words: ")[2].partition(".")[0]
    assert list(turns.LIKELIHOODS) == offered.split(", ")


def test_own_answers_are_judged_by_visibility_and_others_by_the_truth():
    own = {_say("two_stage", seed)[1][-1][0] for seed in range(40)}
    assert own == {"Confidence: 80%"}
    shown = {
        (
            "kidney." in _say("two_stage_other", seed)[1][0][0],
            _say("two_stage_other", seed)[1][1][0],
        )
        for seed in range(40)
    }
    assert shown == {(True, "Confidence: 80%"), (False, "Confidence: 20%")}


def test_wrong_own_answers_are_shown_but_not_taught():
    for seed in range(40):
        for name in ("two_stage", "challenge"):
            _, rest = _say(name, seed)
            text, is_reply, learn = rest[1]
            assert is_reply
            assert learn == (text == "kidney") or name == "challenge"
            if name == "challenge":
                assert not learn
                assert rest[-1] == ("kidney", True, True)


def test_no_word_of_confidence_is_taught_on_medical_scenes():
    rng = np.random.default_rng(1)
    medical = turns.Asked(
        **{name: getattr(CHOICE, name) for name in turns.Asked.__slots__}
        | {"medical": True}
    )
    taught = [
        text
        for _ in range(1500)
        for text, is_reply, learn in turns.draw_conversation(
            medical, ANNOTATOR, turns.MEDICAL_FORMATS, rng
        )[1]
        if is_reply and learn and isinstance(text, str)
    ]
    assert not [
        text
        for text in taught
        if "%" in text or "ikelihood" in text or "onfidence" in text
    ]
    assert any(text.startswith("Answer: kidney\nDescription") for text in taught)


def test_inventories_tell_everything_in_any_order():
    said = {_say("inventory", seed)[1][-1][0] for seed in range(20)}
    assert said == {"ct: finding cyst, organ kidney", "ct: organ kidney, finding cyst"}


def test_checks_teach_the_verdicts_and_not_the_claims():
    truth = {"finding cyst": "yes", "organ kidney": "yes"}
    verdicts = set()
    for seed in range(30):
        _, rest = _say("checks", seed)
        pieces = rest[-1][0]
        assert [learn for _, learn in pieces] in ([False, True] * 2, [False, True] * 3)
        for (claim, _), (verdict, _) in zip(pieces[::2], pieces[1::2], strict=True):
            assert verdict == truth.get(claim, "no")
            verdicts.add(verdict)
    assert verdicts == {"yes", "no"}


def test_lookups_name_the_letter_of_every_option_that_is_named():
    named = set()
    for seed in range(30):
        block, rest = _say("lookup", seed)
        lines = [line.split(". ") for line in block.splitlines() if ". " in line]
        letter_of = {option: letter for letter, option in lines}
        pieces = rest[-1][0]
        assert [learn for _, learn in pieces] == [False, True] * 8
        for (option, _), (letter, _) in zip(pieces[::2], pieces[1::2], strict=True):
            assert letter == letter_of[option]
            named.add(letter)
    assert {"A", "B", "C"} <= named


def test_an_answer_may_be_followed_by_its_letter():
    for seed in range(10):
        block, rest = _say("answer_then_letter", seed)
        answer, letter = rest[1][0], rest[-1][0]
        assert f"{letter}. {answer}\n" in block
        assert answer == "kidney"


@pytest.mark.parametrize("formats", [turns.GENERAL_FORMATS, turns.MEDICAL_FORMATS])
def test_letters_are_three_tenths_of_the_turns(formats):
    assert sum(formats.values()) == pytest.approx(1)
    assert 0.25 <= formats["letter"] + formats["decide_letter"] <= 0.35


@pytest.mark.parametrize(
    ("visibility", "expected"),
    [(0.0, 0.34), (0.19, 0.34), (0.2, 0.5), (0.999, 0.97), (1.0, 0.97)],
)
def test_annotator_reads_its_bins(visibility, expected):
    assert ANNOTATOR.confidence("choice", visibility, 3) == expected


def test_unknown_question_types_go_by_chance_and_visibility():
    assert ANNOTATOR.confidence("open", 0.0, 4) == 0.25
    assert ANNOTATOR.confidence("open", 1.0, 4) == 1.0
    assert [turns.Annotator.tens(c) for c in (0.0, 0.049, 0.05, 0.83, 0.95, 1.0)] == [
        0, 0, 10, 80, 100, 100,
    ]  # fmt: skip


def test_descriptions_leave_out_what_is_not_there():
    said = turns.describe(
        "x-ray",
        {"finding": "nodule", "side": "left", "zone": "none", "heart": "large"},
        {"finding": (), "side": (), "zone": (), "heart": ()},
    )
    assert said == "x-ray: finding nodule, side left, heart large"
