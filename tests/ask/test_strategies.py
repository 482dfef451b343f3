"""Strategies: what each asks, and the rows it makes of given replies."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest

from medcal_nb.ask import prompts, strategies
from medcal_nb.ask.calls import (
    BLANK,
    CHANGES,
    Failure,
    Generate,
    LabelProbabilities,
    Labels,
    Reply,
)
from medcal_nb.ask.run import run_programs
from medcal_nb.ask.strategies import (
    APART,
    LEVELS,
    NONE_OF_THEM,
    STRATEGIES,
    Plan,
    choose_strategies,
    find_strategy,
    rehearse,
)
from medcal_nb.datasets import iter_items
from medcal_nb.errors import MedcalError
from tests.ask.tiny import tiny_items

PLAN = Plan(dataset="tiny", samples=4)
CLOSED, CHOICE, OPEN = iter_items(tiny_items(3))


def run(name, item, script, plan=PLAN):
    """Rows of a strategy about one item, each call answered by `script`; and the rounds."""
    rounds = []

    def answer(calls):
        rounds.append(calls)
        return [script(call) for call in calls]

    (outcome,) = run_programs([STRATEGIES[name].ask(item, plan)], answer)
    return (None if isinstance(outcome, Failure) else outcome), rounds


def says(text, **more):
    return lambda call: Reply(text, -0.5, 10, 2, 0.25, **more)


def test_every_strategy_says_its_family_and_source():
    for strategy in (STRATEGIES | APART).values():
        assert strategy.family in {
            *("stated", "second turn", "likelihood", "agreement", "apart", "ablation"),
        }
        assert strategy.source
        assert strategy.name in (APART if strategy.family == "apart" else STRATEGIES)
        assert "\n" not in strategy.asks


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_rows_and_calls_are_as_declared(name):
    def script(call):
        if isinstance(call, Generate):
            return Reply("Answer: yes\nConfidence: 80%", -1.0, 5, 3)
        if isinstance(call, Labels):
            return LabelProbabilities(dict.fromkeys(call.labels, 1 / len(call.labels)))
        return LabelProbabilities(dict.fromkeys(call.texts, 1 / len(call.texts)))

    rows, rounds = run(name, CLOSED, script)
    assert [row["sample"] for row in rows] == list(range(len(rows)))
    assert (len(rows) > 1) == (STRATEGIES[name].rule is not None)
    assert sum(map(len, rounds)) == len(rehearse(STRATEGIES[name], CLOSED, PLAN))


@pytest.mark.parametrize("name", [*STRATEGIES, *APART])
def test_what_is_needed_is_what_the_calls_ask(name):
    how, asked = find_strategy(name), set()
    for call in rehearse(how, CLOSED, PLAN):
        if isinstance(call, Generate):
            asked |= {"generate"} | ({"sample"} if call.seed else set())
            asked |= {"turns"} if len(call.prompt.turns) > 1 else set()
        else:
            asked.add("labels" if isinstance(call, Labels) else "similarity")
    assert how.needs - {"logprobs"} == asked
    assert ("logprobs" in how.needs) == (name == "sequence_probability")


def test_the_hash_of_the_words_holds_what_an_answer_depends_on_and_no_more():
    def changed(name, **choice):
        how = find_strategy(name)
        return how.words_hash(PLAN) != how.words_hash(replace(PLAN, **choice))

    for choice in ({"seed": 1}, {"temperature": 0.5}):
        assert changed("self_consistency", **choice)
        assert not changed("verbalized", **choice)
    assert not changed("self_consistency", samples=9)
    assert changed("option_probability", lettered=True)
    assert not changed("verbalized", lettered=True)
    assert changed("verbalized", max_new_tokens=5)
    assert not changed(
        "verbalized", max_new_tokens=500
    )  # above its limit: nothing is lowered
    hashes = {
        name: find_strategy(name).words_hash(PLAN) for name in [*STRATEGIES, *APART]
    }
    assert (
        hashes.pop("semantic_entropy") == hashes["self_consistency"]
    )  # they share their draws
    assert len(set(hashes.values())) == len(hashes)
    assert find_strategy("verbalized_blank").words_hash(PLAN) not in hashes.values()


@pytest.mark.parametrize("name", ["verbalized", "verbalized_cot"])
def test_stated_answer_and_confidence(name):
    (row,), rounds = run(
        name, CLOSED, says("Reason: dark\nAnswer: No\nConfidence: 85%")
    )
    assert (row["answer"], row["confidence"], row["parse_ok"]) == ("no", 0.85, True)
    assert (row["prompt_tokens"], row["new_tokens"], row["seconds"]) == (10, 2, 0.25)
    assert (
        rounds[0][0].prompt.turns[0].startswith("Is there a mass?\nOptions: yes, no.\n")
    )


def test_a_number_alone_is_the_answer_and_no_confidence():
    (row,), _ = run("verbalized", OPEN, says("4"))
    assert row["answer"] == "4"
    assert math.isnan(row["confidence"])
    (row,), _ = run(
        "two_stage", OPEN, says("4")
    )  # here the confidence has a reply of its own
    assert row["confidence"] == 0.04


def test_a_reply_that_cannot_be_read_is_kept_as_it_is():
    (row,), _ = run("verbalized", CLOSED, says("I cannot tell."))
    assert row["answer"] is None
    assert math.isnan(row["confidence"])
    assert row["parse_ok"] is False
    assert row["raw"] == "I cannot tell."


@pytest.mark.parametrize(
    "name", ["verbalized", "two_stage", "two_stage_other", "describe_first"]
)
def test_a_confidence_that_the_limit_cut_in_two_is_none(name):
    for text, finished, stated in (
        ("Answer: yes\nConfidence: 8", False, None),
        ("Answer: yes\nConfidence: 8", True, 0.08),
        ("Answer: yes\nConfidence: 80%", False, 0.8),
    ):
        (row,), _ = run(name, CLOSED, says(text, finished=finished))
        assert row["confidence"] == stated or (
            stated is None and math.isnan(row["confidence"])
        )
        assert row["raw"].endswith(text)


def test_the_guess_before_one_that_was_cut_stands():
    (row,), _ = run(
        "top_k", CLOSED, says("Guess 1: yes (30%)\nGuess 2: no (7", finished=False)
    )
    assert row["option_probabilities"] == {"yes": 0.3}


def test_linguistic_maps_words():
    (row,), _ = run(
        "linguistic", CLOSED, says("Answer: yes\nLikelihood: almost no chance")
    )
    assert row["answer"] == "yes"
    assert 0 < row["confidence"] < 0.1


def test_top_k_takes_the_most_probable_guess_and_keeps_all():
    (row,), rounds = run(
        "top_k", CHOICE, says("Guess 1: heart (30%)\nGuess 2: left lung (60%)")
    )
    assert (row["answer"], row["confidence"]) == ("left lung", 0.6)
    assert row["option_probabilities"] == {"heart": 0.3, "left lung": 0.6}
    assert "Guess 2" in rounds[0][0].prompt.turns[0]


def test_two_stage_shows_the_model_its_own_reply():
    replies = iter(["heart", "Confidence: 40%"])
    (row,), rounds = run(
        "two_stage", CHOICE, lambda call: Reply(next(replies), -1, 10, 2, 0.5)
    )
    assert (row["answer"], row["confidence"]) == ("heart", 0.4)
    assert row["raw"] == "heart\n---\nConfidence: 40%"
    assert (row["prompt_tokens"], row["new_tokens"], row["seconds"]) == (20, 4, 1.0)
    assert rounds[1][0].prompt.turns[1:] == ("heart", strategies.TWO_STAGE)


def test_two_stage_other_hides_whose_answer_it_is():
    replies = iter(["It is the heart.", "Confidence: 40%"])
    _, rounds = run("two_stage_other", CHOICE, lambda call: Reply(next(replies)))
    (turn,) = rounds[1][0].prompt.turns
    assert "Someone else gave this answer: heart." in turn
    assert "your" not in turn


def test_describe_first_answers_after_its_description():
    replies = iter(["a dark spot", "Answer: yes\nConfidence: 70%"])
    (row,), rounds = run("describe_first", CLOSED, lambda call: Reply(next(replies)))
    assert (row["answer"], row["confidence"]) == ("yes", 0.7)
    assert rounds[1][0].prompt.turns[1:] == ("a dark spot", strategies.VERBALIZED)


def test_challenge_doubts_the_same_answer_in_each_way():
    rows, rounds = run("challenge", CLOSED, says("yes"))
    assert [row["answer"] for row in rows] == ["yes"] * 4
    assert [call.prompt.turns[2] for call in rounds[1]] == list(strategies.CHALLENGES)


def test_sequence_probability_is_the_geometric_mean():
    (row,), _ = run("sequence_probability", OPEN, says("dark red"))
    assert row["answer"] == "dark red"
    assert row["confidence"] == pytest.approx(math.exp(-0.5 / 2))
    (row,), _ = run(
        "sequence_probability", OPEN, lambda call: Reply("red", math.nan, 1, 1)
    )
    assert math.isnan(row["confidence"])
    assert row["parse_ok"] is False


def test_option_probability_by_words_and_by_letters():
    def script(call):
        weights = {label: i + 1 for i, label in enumerate(call.labels)}
        return LabelProbabilities(
            {k: v / sum(weights.values()) for k, v in weights.items()}
        )

    (row,), rounds = run("option_probability", CHOICE, script)
    assert rounds[0][0].labels == ("left lung", "heart", "left")
    assert row["answer"] == "left"
    assert row["option_probabilities"] == {
        "left lung": pytest.approx(1 / 6),
        "heart": pytest.approx(1 / 3),
        "left": 0.5,
    }
    (row,), rounds = run("option_probability", CHOICE, script, Plan(lettered=True))
    assert rounds[0][0].labels == ("A", "B", "C")
    assert "A. left lung\nB. heart\nC. left\n" in rounds[0][0].prompt.turns[0]
    assert row["answer"] == "left"


def test_p_true_reads_yes():
    def script(call):
        if isinstance(call, Labels):
            assert "Proposed answer: heart." in call.prompt.turns[0]
            return LabelProbabilities({"yes": 0.7, "no": 0.3}, prompt_tokens=12)
        return Reply("heart", -1, 10, 1)

    (row,), _ = run("p_true", CHOICE, script)
    assert (row["answer"], row["confidence"], row["prompt_tokens"]) == (
        "heart",
        0.7,
        22,
    )


def test_sampled_strategies_share_their_draws():
    _, first = run("self_consistency", OPEN, says("red"))
    _, second = run("semantic_entropy", OPEN, says("red"))
    assert first == second
    assert len({call.seed for call in first[0]}) == 4
    _, other = run(
        "self_consistency", OPEN, says("red"), Plan(dataset="tiny", seed=1, samples=4)
    )
    assert not {call.seed for call in other[0]} & {call.seed for call in first[0]}


def test_paraphrase_and_augment_begin_with_the_question_as_it_is():
    _, rounds = run("paraphrase", CLOSED, says("yes"))
    blocks = [call.prompt.block for call in rounds[0]]
    assert blocks[0] == "Is there a mass?\nOptions: yes, no."
    assert len(set(blocks)) == 1 + len(strategies.REWORDINGS)
    _, rounds = run("augment", CLOSED, says("yes"))
    assert [call.prompt.picture.change for call in rounds[0]] == ["", *CHANGES]


def test_blank_image_asks_with_and_without_the_image():
    def script(call):
        yes = 0.9 if call.prompt.picture.change == "" else 0.6
        return LabelProbabilities({"yes": yes, "no": 1 - yes})

    rows, _ = run("blank_image", CLOSED, script)
    assert [row["confidence"] for row in rows] == [0.9, 0.6]


def test_clip_compares_the_image_with_a_sentence_an_option():
    def script(call):
        assert call.texts == ("Is there a mass? yes", "Is there a mass? no")
        return LabelProbabilities(dict(zip(call.texts, (0.7, 0.3), strict=True)))

    (row,), _ = run("clip_zero_shot", CLOSED, script)
    assert (row["confidence"], row["option_probabilities"]) == (
        0.7,
        {"yes": 0.7, "no": 0.3},
    )
    assert row["answer"] == "yes"
    assert row["prompt_tokens"] is None


def test_none_of_the_above_hides_the_right_option():
    def script(call):
        assert call.labels == ("left lung", "left", NONE_OF_THEM)
        assert "Options: left lung, left, none of the above." in call.prompt.turns[0]
        return LabelProbabilities(dict(zip(call.labels, (0.5, 0.2, 0.3), strict=True)))

    (row,), _ = run("none_of_the_above", CHOICE, script)
    assert (row["answer"], row["confidence"], row["gold"]) == (
        "left lung",
        0.5,
        NONE_OF_THEM,
    )


def test_an_expert_judges_the_options_or_the_one_answer_given():
    def asked(name, item):
        found = []

        def answer(calls):
            found.extend(calls)
            return [
                LabelProbabilities(
                    dict.fromkeys(calls[0].labels, 1 / len(calls[0].labels))
                )
            ]

        return run_programs([find_strategy(name).ask(item, PLAN)], answer)[0][0], found[
            0
        ]

    row, call = asked("expert", CHOICE)
    assert call.labels == ("heart", "left", "left lung")
    assert call.prompt.picture.source == CHOICE.image
    assert set(row["option_probabilities"]) == set(CHOICE.options)
    assert asked("expert_blank", CHOICE)[1].prompt.picture.change == BLANK
    row, call = asked("expert", replace(OPEN, options=("red",)))
    assert "Proposed answer: red." in call.prompt.turns[0]
    assert (row["answer"], row["confidence"]) == ("red", 0.5)
    assert "no allowed answers" in APART["expert"].applies(OPEN, Plan())


def test_a_decision_reads_the_levels_of_a_scale_from_their_letters():
    """The prompt is that of transformers' decision pipeline."""
    from jinja2 import Template
    from transformers.decision.template_utils import DECISION_PROMPT, Question

    item = replace(OPEN, question="How many masses are there?", gold="two")
    found = []

    def answer(calls):
        found.extend(calls)
        return [LabelProbabilities({"A": 0.2, "B": 0.7, "C": 0.1})]

    decision = APART["decision"]
    ((row,),) = run_programs([decision.ask(item, PLAN)], answer)
    asked = Question(
        "q", "score", item.question, list("012"), list("ABC"), list(LEVELS)
    )
    wanted = Template(DECISION_PROMPT).render(state="", question=asked)
    assert found[0].prompt.turns == (wanted,)
    assert row["option_probabilities"] == {"one": 0.2, "two": 0.7, "three": 0.1}
    assert (row["answer"], row["confidence"], row["question_type"]) == (
        "two",
        0.7,
        "score",
    )
    assert decision.applies(item, Plan()) is None
    for gold in ("red", ("one", "two")):  # several answers count as right
        assert (
            decision.applies(replace(item, gold=gold), Plan()) == "no answer is a level"
        )


def test_a_failed_call_fails_its_program_only():
    programs = [STRATEGIES["verbalized"].ask(item, PLAN) for item in (CLOSED, OPEN)]

    def answer(calls):
        return [
            Failure("server down")
            if "mass" in c.prompt.turns[0]
            else Reply("Answer: red, 50%")
            for c in calls
        ]

    failed, (row,) = run_programs(programs, answer)
    assert failed == Failure("server down")
    assert row["answer"] == "red"


def test_equal_calls_are_asked_once_over_strategies_and_rounds():
    asked = []

    def answer(calls):
        asked.extend(calls)
        return [
            LabelProbabilities({"yes": 0.5, "no": 0.5})
            if isinstance(c, Labels)
            else Reply("heart", -1, 1, 1)
            for c in calls
        ]

    names = [
        "two_stage",
        "two_stage_other",
        "p_true",
        "challenge",
        "sequence_probability",
    ]
    run_programs([STRATEGIES[name].ask(CHOICE, PLAN) for name in names], answer)
    greedy = [c for c in asked if isinstance(c, Generate) and c.prompt.turns[0].endswith(
        prompts.ANSWER) and len(c.prompt.turns) == 1]  # fmt: skip
    assert len(greedy) == 1
    assert len(asked) == len(set(asked))


def test_what_a_backend_cannot_do_is_skipped_with_the_reason():
    backend = SimpleNamespace(
        can=frozenset({"generate"}), cannot={"turns": "no template"}
    )
    assert STRATEGIES["verbalized"].skips(backend) is None
    assert STRATEGIES["two_stage"].skips(backend) == "no template"
    assert STRATEGIES["p_true"].skips(backend) == "the model gives no labels"
    assert "open question" in STRATEGIES["option_probability"].applies(OPEN, Plan())
    assert STRATEGIES["option_probability"].applies(CLOSED, Plan()) is None
    many = replace(CLOSED, options=tuple(f"option {i}" for i in range(27)))
    assert STRATEGIES["option_probability"].applies(many, Plan()) is None
    assert "26 letters" in STRATEGIES["option_probability"].applies(
        many, Plan(lettered=True)
    )


def test_choosing():
    assert [s.name for s in choose_strategies("p_true, verbalized,p_true")] == [
        "p_true",
        "verbalized",
    ]
    assert len(choose_strategies("all")) == len(STRATEGIES)
    with pytest.raises(MedcalError, match="unknown strategy 'verbalised': choose from"):
        choose_strategies("verbalised")
    for nothing in ("", ","):
        with pytest.raises(MedcalError, match="unknown strategy"):
            choose_strategies(nothing)
    assert [how.name for how in choose_strategies("verbalized,,")] == ["verbalized"]
    names = ["blank_image", "verbalized_blank", "expert_blank", "decision"]
    assert [how.name for how in choose_strategies(names)] == names
    assert (
        find_strategy("verbalized_blank").family == find_strategy("blank_image").family
    )


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_a_blanked_strategy_asks_the_same_with_a_blank_image(name):
    def script(call):
        if isinstance(call, Labels):
            return LabelProbabilities(
                dict.fromkeys(call.labels, 1 / len(call.labels)), 1.0, 5
            )
        if isinstance(call, Generate):
            return Reply("yes 80%", -0.5, 10, 2, 0.25)
        return LabelProbabilities({text: k + 0.1 for k, text in enumerate(call.texts)})

    def asked(strategy):
        rounds = []

        def answer(calls):
            rounds.extend(calls)
            return [script(call) for call in calls]

        return run_programs([strategy.ask(CLOSED, PLAN)], answer)[0], rounds

    def picture(call):
        return call.prompt.picture if hasattr(call, "prompt") else call.picture

    (rows, calls), (blank_rows, blank_calls) = map(
        asked, (STRATEGIES[name], find_strategy(f"{name}_blank"))
    )
    assert blank_rows == rows  # the replies were the same, so are the rows
    assert {picture(call).change for call in blank_calls} == {BLANK}
    assert any(picture(call).change == "" for call in calls)
    turns = {call.prompt.turns for call in calls if hasattr(call, "prompt")}
    assert {
        call.prompt.turns for call in blank_calls if hasattr(call, "prompt")
    } == turns


def test_another_package_may_add_a_strategy(monkeypatch):
    def ask_twice(item, plan):
        yield from ()
        return []

    theirs = replace(STRATEGIES["verbalized"], name="ask_twice", ask=ask_twice)
    ours = replace(theirs, name="verbalized")
    points = [SimpleNamespace(load=lambda: theirs), SimpleNamespace(load=lambda: ours)]
    monkeypatch.setattr(strategies, "entry_points", lambda group: points)
    monkeypatch.setattr(strategies, "STRATEGIES", dict(STRATEGIES))
    strategies.load_strategies_of_others()
    assert strategies.find_strategy("ask_twice") is theirs
    assert strategies.find_strategy("verbalized") is not ours
