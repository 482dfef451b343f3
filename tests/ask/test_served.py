"""Served models: a real ``transformers serve`` on loopback, and servers that misbehave."""

import asyncio
import base64
import gzip
import io
import json
import math
import os
import random
import resource
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medcal_nb.answers import AnswerLog
from medcal_nb.ask import prompts, strategies
from medcal_nb.ask.backends.local import LocalModel
from medcal_nb.ask.backends.requests import first_token_labels
from medcal_nb.ask.backends.served import ServedModel
from medcal_nb.ask.calls import Decide, Generate, Labels, Picture, Prompt
from medcal_nb.ask.models import resolve_model, what_works
from medcal_nb.ask.run import ask
from medcal_nb.ask.strategies import STRATEGIES, Plan
from medcal_nb.datasets import iter_items
from medcal_nb.errors import MedcalError
from tests.ask import tiny
from tests.ask.tiny import noise_picture, tiny_items
from tests.ask.told import Told, entry

BLOCK = prompts.question_block("Is there a mass?", ["yes", "no"])
KEY = "sk-very-secret"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(ServedModel, "pause", 0.001)
    monkeypatch.setattr(ServedModel, "tries", 2)
    monkeypatch.setattr(ServedModel, "held", 0.0)


def prompt(seed=1, instruction=prompts.ANSWER, *later):
    return Prompt(noise_picture(seed), (f"{BLOCK}\n{instruction}", *later), BLOCK)


def run(model, calls):
    """What a model behind a URL answers to calls about an image, failures too."""
    with model.open() as portal:
        return portal.call(model.asked(**model.able).results, calls)


def faulty(told, *faults, **how):
    """The model behind a server whose next answers are faults."""
    model = ServedModel(told.url, **how)
    told.requests.clear()
    told.faults, told.armed = list(faults), True
    return model


DECISIONS = [
    Decide(noise_picture(1), "Which organ is shown?", ("heart", "lung", "none")),
    Decide(noise_picture(1), "Is there a mass?", ("yes", "no"), "noul"),
    Decide(noise_picture(2), "What is the side?", ("left", "right"), "score"),
]


def plain_decision(result):
    """The numbers of a decision; where it was asked, and how, may differ."""
    decision = result.decision
    return decision.answer, pytest.approx(decision.probabilities, abs=1e-5)


@pytest.mark.serve
def test_a_real_server_gives_the_replies_of_this_machine(tmp_path, log):
    folder = tiny.save_checkpoint(tmp_path / "llava", "llava")
    transformers = str(Path(sys.executable).with_name("transformers"))
    command = [transformers, "serve", str(folder), "--device", "cpu"]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    few = {"samples": 2, "max_new_tokens": 4}
    turns = (prompts.ANSWER, "no", strategies.TWO_STAGE)
    ways = ((prompts.ANSWER,), (strategies.VERBALIZED,), turns)
    calls = [Generate(prompt(seed, *way), 7) for seed in (1, 2) for way in ways]
    with tiny.running(command, env, tmp_path / "serve.log") as url:
        model = resolve_model(url)
        assert model.name == str(folder)
        assert model.can == {"generate", "turns", "decisions"}
        assert model.offers == ["typed decisions by /v1/systemone, the image in assets"]
        theirs = run(model, calls)
        done = ask(model, tiny_items(3), "all", log=log, **few)
        decided = run(model, DECISIONS)
        asked = set(log.read()["strategy"])
    with LocalModel(
        *tiny.tiny_checkpoint("llava"), name="", device="cpu"
    ).session() as here:
        ours = here.run(calls)
        for a, b in zip(here.run(DECISIONS), decided, strict=True):
            assert (b.decision.answer, b.decision.probabilities) == plain_decision(a)
    for a, b in zip(theirs, ours, strict=True):
        assert (a.text, a.prompt_tokens) == (b.text, b.prompt_tokens)
        assert math.isnan(a.logprob)
    assert not done.failed
    assert {"verbalized", "two_stage", "challenge", "augment"} <= asked
    assert "returns no log-probabilities" in " ".join(done.lines())


def test_log_probabilities_are_used_where_the_server_gives_them():
    with Told(logprobs=True) as told:
        model = ServedModel(told.url)
        asked = [Generate(prompt(), 5), Labels(prompt(), ("yes", "no"))]
        reply, labels = run(model, asked)
        (failed,) = run(model, [Labels(prompt(), ("up", "down"))])
    assert reply.logprob == pytest.approx(math.log(0.6))
    assert (reply.prompt_tokens, reply.new_tokens, reply.finished) == (11, 1, True)
    expected = {"yes": pytest.approx(0.7 / 0.9), "no": pytest.approx(0.2 / 0.9)}
    assert labels.probabilities == expected
    assert failed.reason == "the likely first tokens do not tell up, down apart"
    with pytest.raises(ValueError, match="a log-probability of 1"):
        first_token_labels([entry("yes", 1.0, [("yes", 5.0)])], ("yes", "no"))


def test_labels_of_several_tokens_are_read_word_by_word_where_the_server_scores_words():
    with Told(logprobs=True, scores=True) as told:
        pairs = (("up", "down"), ("up", "upper"), ("yes", "no"))
        labels = [Labels(prompt(), pair) for pair in pairs]
        plain, nested, whole = run(ServedModel(told.url), labels)
    assert nested.reason == "an option begins another one: ask with --letters"
    # with and without a capital: twice a half for each letter
    assert plain.probabilities["up"] == pytest.approx(4 / 5)
    assert whole.probabilities["yes"] == pytest.approx(0.7 / 0.9)  # one token each


ZERO = {"logprobs": {"content": [entry("yes", 1.0, [("yes", 1.0), ("no", 1.0)])]}}
ODD = [[1], "x", True, {"content": [None]}, {"content": 5}]


@pytest.mark.parametrize("fault", [ZERO, None, *({"logprobs": odd} for odd in ODD)])
def test_what_cannot_be_asked_is_said_with_the_reason_before_anything_is_asked(fault):
    with Told(sampling=False) as told:
        told.faults, told.armed = [fault], True
        model = ServedModel(told.url)
        can, *cannot = what_works(model, "verbalized,p_true,sequence_probability")
    assert model.can == {"generate", "turns"}
    assert can == "told can be asked verbalized"
    assert cannot == [
        "not p_true: the server lists no likely first tokens of a reply",
        "not sequence_probability: the server returns no log-probabilities",
    ]
    assert "same reply at every temperature" in model.cannot["sample"]


def first(*pairs):
    return [entry(pairs[0][0], 1.0, pairs)]


@pytest.mark.parametrize(
    ("entries", "labels", "expected"),
    [
        (first((" Left", 0.4), ("H", 0.2)), ("left lung", "heart"), [0.4, 0.2]),
        (first(("No", 0.4), ("none", 0.1)), ("no", "none of the above"), [0.4, 0.1]),
        # a label outside the list is at most as likely as the least one listed
        (first(("a", 0.9), ("b", 0.09), ("x", 1e-5)), ("a", "b", "c"), [0.9, 0.09, 0]),
        ([], ("up", "down"), None),
        (first(("left", 0.5), ("h", 0.2)), ("left", "left lung", "heart"), None),
        (first(("le", 0.5), ("h", 0.2)), ("left", "left lung", "heart"), None),
        (first(("one", 0.5), ("two", 0.2)), ("one", "two", "six"), None),
    ],
)
def test_first_tokens_count_for_the_one_label_they_begin(entries, labels, expected):
    mass = first_token_labels(entries, labels)
    assert (mass and [*mass.values()]) == (expected and pytest.approx(expected))


def cut(handler):
    handler.send(b'{"choices": [1, 1', length=60)
    handler.connection.close()


@pytest.mark.parametrize(
    "fault",
    [429, 503, b"{}", b'{"choices": []}', cut, lambda handler: handler.trickle(0.1)],
)
def test_passing_faults_are_tried_again(fault, monkeypatch):
    monkeypatch.setattr(ServedModel, "tries", 99)  # what is late is asked again
    with Told() as told:
        model = faulty(told, fault, fault)
        model.timeout = 1.0
        (reply,) = run(model, [Generate(prompt(), 5)])
    assert reply.text == "yes"


def test_refusals_are_not_tried_again_nor_redirects_and_proxies_followed(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")  # where nothing listens
    with Told() as elsewhere, Told() as told:
        for fault, said in ((401, "HTTP 401"), ((307, elsewhere.url), "HTTP 307")):
            (found,) = run(faulty(told, fault), [Generate(prompt(), 5)])
            assert found.reason.startswith(said)
            assert len(told.requests) == 1
            told.armed = False
        assert not elsewhere.requests


BODIES = [b"[" * 200_000, b'{"a": "x' * (5 << 20), b"\xff\xfe{}", b"NaN", b""]
BODIES.append(gzip.compress(b" " * (64 << 20)))


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_an_odd_body_fails_its_item_at_most_and_fills_no_memory(body):
    def odd(handler):
        handler.send(body, headers=[("Content-Encoding", "gzip")])

    with Told() as told:
        model = faulty(told, odd, odd)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        (failed,) = run(model, [Generate(prompt(), 5)])
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert ("more than 32 MiB" in failed.reason) == (len(body) > 1 << 25)
    assert grown < 300_000  # kilobytes


def another_shape(dice):
    """A good page in which one value somewhere is another."""
    choice = {"message": {"content": "Answer: yes\nConfidence: 80%"}}
    choice["logprobs"] = {"content": [entry("yes", 0.7, [("yes", 0.7), ("no", 0.3)])]}
    usage = {"prompt_tokens": 9, "completion_tokens": 3}
    page = place = {"choices": [choice], "usage": usage, "system_fingerprint": "v1"}
    name = "choices"
    while isinstance(place, (dict, list)) and place and dice.random() > 0.2:
        holder = place
        names = [*holder] if isinstance(holder, dict) else range(len(holder))
        name = dice.choice(names)
        place = holder[name]
    odd = (None, [], {}, "x", -1, True, 1.5, [[]], 10**400, "\ud83d \x1b]0;x\x07\0")
    (page if place is page else holder)[name] = dice.choice(odd)
    return json.dumps(page).encode()


def test_a_server_that_sends_any_shape_of_page_fails_items_at_most(log):
    dice, items = random.Random(5), tiny_items(24, kinds=("closed",))
    methods = "verbalized,sequence_probability,option_probability"
    with Told(logprobs=True) as told:
        pages = [another_shape(dice) for _ in range(60)]
        model = faulty(told, *pages, concurrency=4)
        first = ask(model, items, methods, log=log, batch_size=2)
        assert first.exit_code == 1
        assert 0 < len(first.failed) < len(items)
        answers = log.read()  # which checks every value
        assert len(answers) == first.rows
        assert answers["confidence"].dropna().between(0, 1).all()
        told.armed = False
        again = ask(model, items, methods, log=log, batch_size=2)
        assert (again.failed, again.done_before) == ({}, first.rows)
        told.faults, told.armed = [500] * 9, True  # lasting ones
        none = ask(model, tiny_items(3, dataset="b"), "verbalized", log=log)
        assert (none.rows, none.exit_code, len(none.failed)) == (0, 2, 3)
        assert all("fault 500" in why for why in none.failed.values())


def test_the_key_is_told_nowhere(monkeypatch, tmp_path, log):
    monkeypatch.setenv("OPENAI_API_KEY", KEY + "\n")  # as read from a file
    with Told(name=KEY) as told, pytest.raises(MedcalError, match="holds the key"):
        ServedModel(told.url)
    with Told() as told:
        model = faulty(told, 401)
        (refused,) = run(model, [Generate(prompt(), 5)])
        assert "for Bearer ***" in refused.reason
        for key in (b"sk-very-secret", b"sk-\\u0076ery-secret"):  # as JSON may have it
            told.faults = [b'{"choices": [{"message": {"content": "yes, %b"}}]}' % key]
            ended = ask(
                model, tiny_items(1, dataset=f"t{len(key)}"), "verbalized", log=log
            )
            assert "holds the key" in ended.failed["q0000"]
        assert log.read().empty
        told.faults = [401] * 9
        with pytest.raises(MedcalError, match="fault 401") as refused:
            ServedModel(told.url)
        assert KEY not in str(refused.value)
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.iterdir())
    for key in ("sk-né", "sk-a\r\nX-Other: 1", "sk-\u200bpasted"):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        refusal = pytest.raises(MedcalError, match="holds a character that")
        with Told() as told, refusal as refused:
            ServedModel(told.url)
        assert "sk-" not in str(refused.value)
        assert not told.requests


def test_replies_of_another_model_and_cut_ones_are_counted(log):
    cut = {"finish_reason": "length", "message": {"content": "Let me think about"}}
    with Told() as told:
        model = faulty(told, cut, lambda handler: handler.send(page))
        page = {"choices": [told.choice({"temperature": 0, "max_tokens": 9})]}
        page["model"] = "another-model"
        items = tiny_items(3, kinds=("closed",), per_image=1)
        ended = ask(model, items, "verbalized", log=log)
    answers = log.read()
    assert answers["answer"].isna().sum() == 1
    assert sorted(answers["answered_by"].dropna()) == ["another-model"]
    said = "\n".join(ended.lines())
    assert "1 replies under verbalized were cut by the limit of tokens" in said
    assert "1 replies came from another-model" in said


@pytest.mark.parametrize("key", ["none", "y", "yes"])
def test_a_word_for_no_key_rewrites_no_answer(key, monkeypatch, log):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    reply = b'{"choices": [{"message": {"content": "Answer: %b"}}]}' % key.encode()
    with Told() as told:
        ask(faulty(told, reply), tiny_items(1), "verbalized", log=log)
    assert log.read()["raw"].tolist() == [f"Answer: {key}"]


def test_a_server_is_asked_again_when_it_says(monkeypatch):
    monkeypatch.setattr(ServedModel, "patience", 5.0)
    told_to_wait = [
        lambda handler: handler.send({}, 429, [("Retry-After", "1")]),
        lambda handler: handler.send({}, 503, [("Retry-After", "999999")]),
    ]
    with Told() as told:
        model = faulty(told, told_to_wait[0])
        started = time.monotonic()
        (reply,) = run(model, [Generate(prompt(), 5)])
        assert reply.text == "yes"
        assert 1.0 <= time.monotonic() - started < 4.0
        told.faults = [told_to_wait[1]]
        (failed,) = run(model, [Generate(prompt(1, "Is it?"), 5)])
    assert "asks to wait 999999 s" in failed.reason


def test_a_limit_of_rates_costs_no_item(monkeypatch, log):
    """A server that takes ten requests in half a second and refuses the others."""
    monkeypatch.setattr(ServedModel, "pause", 0.05)
    begun = []

    def limited(handler):
        now = time.monotonic()
        begun[:] = [one for one in begun if now - one < 0.5]
        if len(begun) >= 10:
            return handler.send({}, 429)
        begun.append(now)
        return told.answer(handler, handler.asked, None)

    with Told() as told:
        model = faulty(told, *[limited] * 1000)
        ended = ask(model, tiny_items(40), "verbalized", log=log)
    assert (ended.rows, ended.failed) == (40, {})


def test_what_has_ended_is_in_the_log_while_others_are_asked(monkeypatch, log):
    monkeypatch.setattr(ServedModel, "held", 0.0)
    with Told() as told:
        model = faulty(told, "held", concurrency=2)
        answered = model.stream(two_stage_of(9))
        first = next(answered)
        assert len(first[0]) < 9
        told.free.set()
        assert sum(len(todo) for todo, _ in answered) + len(first[0]) == 9


@pytest.mark.parametrize(
    "address",
    ["http://user:hunter2@h", "http://h/v1?key=hunter2", "gpu2:8000/v1", "http://"],
)
def test_an_address_that_is_none_or_holds_a_secret_is_refused_untold(address):
    with pytest.raises(MedcalError, match="write http://HOST:PORT/v1") as refused:
        ServedModel(address)
    assert "hunter2" not in str(refused.value)


def jpeg(**more):
    buffer = io.BytesIO()
    noise_picture(1).open().save(buffer, format="JPEG", **more)
    return buffer.getvalue()


def test_an_image_is_sent_as_it_is_where_that_shows_the_same():
    turned = Image.Exif()
    turned[0x0112] = 6
    pictures = [
        (Picture("a", jpeg()), "jpeg", True),
        (Picture("b", jpeg(), "darker"), "png", False),
        (Picture("c", jpeg(exif=turned)), "png", False),
        (noise_picture(3), "png", True),
    ]
    with Told() as told:
        model = ServedModel(told.url)
        for picture, kind, same in pictures:
            run(model, [Generate(Prompt(picture, ("Is it?",)), 3)])
            head, _, data = told.shown()[-1].partition(",")
            assert head == f"data:image/{kind};base64"
            sent = base64.b64decode(data)
            assert (sent == picture.source) == same
            shown = Image.open(io.BytesIO(sent)).convert("RGB")
            assert np.array_equal(shown, picture.open())


def test_samples_differ_and_equal_calls_are_asked_once():
    """Seeds follow each other, so that a part of the samples asked alone are the same ones."""
    with Told(logprobs=True) as told:
        model = faulty(told)
        calls = [Generate(prompt(), 5, seed="0|d|q", sample=i) for i in range(6)]
        replies = run(model, calls)
        later = run(model, calls[4:])
        assert [reply.text for reply in later] == [reply.text for reply in replies[4:]]
        assert len({reply.text for reply in replies}) == 6
        told.requests.clear()
        equal = run(model, [Generate(prompt(), 5), Labels(prompt(), ("yes", "no"))] * 3)
        assert len(told.requests) == 2
        assert equal == equal[:2] * 3


def test_samples_come_in_one_request_where_the_server_gives_several():
    calls = [Generate(prompt(), 5, seed="0|d|q", sample=i) for i in range(6)]
    others = [Generate(prompt(), 5, seed="0|d|other", sample=i) for i in range(2)]
    with Told() as told:
        singly = run(faulty(told), calls)
    with Told(many=True) as told:
        model = faulty(told)
        together = run(model, calls + others)
        # they go side by side: either may come first
        assert sorted(body.get("n") for _, body in told.requests) == [2, 6]
        later = run(model, calls[4:])  # those that an earlier run lacks
    assert [reply.text for reply in together[:6]] == [reply.text for reply in singly]
    assert [reply.text for reply in later] == [reply.text for reply in singly[4:]]
    assert [reply.prompt_tokens for reply in together[:6]] == [11, 0, 0, 0, 0, 0]


def two_stage_of(n):
    """Batches of one item each, as a run streams them."""
    how = STRATEGIES["two_stage"]
    for item in iter_items(tiny_items(n, kinds=("closed",), per_image=1)):
        yield [(item, how)], [how.ask(item, Plan())]


def threads():
    names = (thread.name for thread in threading.enumerate())
    return [name for name in names if name.startswith(("medcal", "asyncio"))]


def test_leaving_a_run_ends_what_is_under_way():
    with Told() as told:
        model = faulty(told, "held")
        answered = model.stream(two_stage_of(3))
        next(answered)
        answered.close()  # while the first request waits for its answer
        assert not threads()
        assert told.under_way  # the held one: nobody waited for it
        told.free.set()


def test_a_running_event_loop_is_no_obstacle_and_no_thread_is_left(tmp_path):
    async def cell():
        with AnswerLog(tmp_path / "a.sqlite") as log:
            model = ServedModel(told.url)
            return ask(model, tiny_items(6), "two_stage", log=log, batch_size=2)

    with Told() as told:
        assert asyncio.run(cell()).rows == 6
        assert not threads()


def test_items_are_streamed_and_no_more_is_begun_than_is_needed():
    """A reply that does not come holds up its own item only, and few items are begun ahead."""
    opened, order = [], []

    def batches():
        for todo, programs in two_stage_of(60):
            assert len(opened) - len(told.requests) / 2 <= 24  # two requests to an item
            opened.append(todo[0][0].item_id)
            yield todo, programs

    with Told(keeps=True) as told:
        model = faulty(told, "held", concurrency=4)
        told.connections = 0
        for todo, outcomes in model.stream(batches()):
            assert {row["answer"] for (row,) in outcomes} == {"yes"}
            order += [item.item_id for item, _ in todo]
            if len(order) == 59:
                told.free.set()
        assert told.most <= 4
        assert told.connections <= 4
    assert sorted(order) == opened
    assert opened.index(order[-1]) < 24  # the one that was held, begun among the first
