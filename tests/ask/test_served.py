"""Served models: a real ``transformers serve`` on loopback, and servers that misbehave."""

import asyncio
import base64
import contextlib
import gzip
import io
import json
import math
import os
import resource
import subprocess
import sys
import threading
import time
import urllib.request
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from medcal_nb.answers import AnswerLog
from medcal_nb.ask import prompts, strategies
from medcal_nb.ask.backends.local import LocalModel
from medcal_nb.ask.backends.requests import first_token_labels
from medcal_nb.ask.backends.served import ServedModel
from medcal_nb.ask.calls import Failure, Generate, Labels, Picture, Prompt
from medcal_nb.ask.models import resolve_model
from medcal_nb.ask.run import ask
from medcal_nb.ask.strategies import STRATEGIES, Plan
from medcal_nb.datasets import iter_items
from medcal_nb.errors import MedcalError
from tests.ask.tiny import (
    noise_picture,
    reserved_port,
    save_checkpoint,
    tiny_checkpoint,
    tiny_items,
)
from tests.loopback import Handler, Loopback


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(ServedModel, "pause", 0.01)


BLOCK = prompts.question_block("Is there a mass?", ["yes", "no"])


def prompt(seed=1, instruction=prompts.ANSWER, *later):
    return Prompt(noise_picture(seed), (f"{BLOCK}\n{instruction}", *later), BLOCK)


def run(model, calls):
    """What a model behind a URL answers to calls about an image, failures too."""
    with model.open() as portal:
        return portal.call(model.asked().results, calls)


# --- transformers serve ---------------------------------------------------------------------------


@contextlib.contextmanager
def serving(folder):
    """`transformers serve` with the checkpoint of a folder; its address and the folder."""
    stack = contextlib.ExitStack()
    port = stack.enter_context(reserved_port())
    log = stack.enter_context((folder / "serve.log").open("w"))
    command = os.path.join(os.path.dirname(sys.executable), "transformers")
    process = subprocess.Popen(
        f"{command} serve {folder} --host 127.0.0.1 --port {port} --device cpu".split(),
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1800):
            if process.poll() is not None:
                pytest.fail((folder / "serve.log").read_text()[-2000:])
            with contextlib.suppress(OSError):
                urllib.request.urlopen(url + "/health", timeout=2)
                break
            time.sleep(0.5)
        else:
            pytest.fail("transformers serve did not start in a quarter of an hour")
        yield SimpleNamespace(url=url, folder=folder)
    finally:
        process.terminate()
        process.wait(timeout=120)
        stack.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory, root):
    folder = save_checkpoint(tmp_path_factory.mktemp("served"), "llava")
    with serving(folder) as found:
        yield found


@pytest.mark.serve
def test_what_transformers_serve_can_do_is_found_out(server):
    model = resolve_model(server.url)
    assert model.name == str(server.folder)
    assert model.can == {"generate", "turns"}
    assert model.cannot["logprobs"] == "the server's log-probabilities are not returned"


@pytest.mark.serve
def test_served_replies_equal_local_ones(server):
    model = ServedModel([server.url])
    local = LocalModel(*tiny_checkpoint("llava"), name="tiny", device="cpu")
    calls = [
        Generate(prompt(seed, text, *later), 7)
        for seed in (1, 2)
        for text, *later in (
            (prompts.ANSWER,),
            (strategies.VERBALIZED,),
            (prompts.ANSWER, "no", strategies.TWO_STAGE),
        )
    ]
    with local.session() as session:
        for theirs, ours in zip(run(model, calls), session.run(calls), strict=True):
            assert theirs.text == ours.text
            assert theirs.prompt_tokens == ours.prompt_tokens
            assert math.isnan(theirs.logprob)


@pytest.mark.serve
def test_every_strategy_on_the_server_or_skipped_with_the_reason(server, tmp_path):
    model = ServedModel([server.url])
    with AnswerLog(tmp_path / "a.sqlite") as log:
        summary = ask(model, tiny_items(3), "all", log=log, samples=2, max_new_tokens=4)
        answers = log.read()
    assert not summary.failed
    told = " ".join(summary.lines())
    for reason in (
        "log-probabilities are not returned",
        "same reply at every",
        "first tokens",
    ):
        assert reason in told
    assert {"verbalized", "two_stage", "challenge", "augment"} <= set(answers.strategy)


# --- a server that does as it is told -------------------------------------------------------------


class Told(Loopback):
    """An OpenAI-compatible server on loopback whose faults and log-probabilities are scripted."""

    def __init__(
        self,
        *,
        logprobs=False,
        faults=(),
        delay=0.0,
        sampling=True,
        several=False,
        names=None,
        scores=False,
        keeps=False,
        name="told",
    ):
        self.several, self.names, self.scores = several, names, scores
        self.free, self.there = threading.Event(), set()
        self.requests = []
        self.faults = list(faults)
        self.under_way = self.most = self.connections = 0
        self.lock = threading.Lock()
        told = self

        class Scripted(Handler):
            protocol_version = "HTTP/1.1" if keeps else "HTTP/1.0"
            model = name

            def setup(self):
                super().setup()
                with told.lock:
                    told.connections += 1

            def do_POST(self):
                body = json.loads(self.body())
                with told.lock:
                    told.requests.append((self.path, body))
                    told.under_way += 1
                    told.most = max(told.most, told.under_way)
                    fault = told.faults.pop(0) if told.faults and told.armed else None
                time.sleep(delay)
                if fault == "held":
                    told.free.wait(60)
                # before the answer, after which the next request may come at once
                with told.lock:
                    told.under_way -= 1
                told.answer(self, body, fault, logprobs, sampling)

        self.armed = False
        super().__init__(Scripted)

    def answer(self, handler, body, fault, logprobs, sampling):
        if fault == "wrong":
            return handler.send({"hello": "there"})
        if fault == "empty":
            return handler.send({"id": "x", "object": "chat.completion", "choices": []})
        if fault == "cut":
            handler.send(b'{"choices": [1, 1', length=60)
            return handler.connection.close()
        if fault == "slow":
            time.sleep(1.5)
        if fault == "key":
            told = {
                "error": {"message": f"no such key: {handler.headers['Authorization']}"}
            }
            return handler.send(told, 401)
        if fault == "trickle":
            return handler.trickle(0.1)
        if isinstance(fault, tuple):
            status, elsewhere = fault
            headers = [("Location", elsewhere + handler.path)]
            return handler.send({}, status, headers)
        if isinstance(fault, bytes):
            packed = [("Content-Encoding", "gzip")] if fault[:2] == b"\x1f\x8b" else []
            with contextlib.suppress(OSError):
                handler.send(fault, headers=packed)
            return None
        if isinstance(fault, int):
            extra = [("Retry-After", "0.05")] if fault == 429 else []
            return handler.send({"error": {"message": f"fault {fault}"}}, fault, extra)
        part = body["messages"][0]["content"][0]
        if self.names == "kept" and part["image_url"]:
            self.there.add(part.get("uuid"))
        there = (
            part["image_url"]
            or part.get("uuid") in self.there
            or self.names == "ignored"
        )
        if not there:
            return handler.send({"error": {"message": "no image of that name"}}, 400)
        text = "yes"
        if sampling and body["temperature"] > 0:
            text = f"maybe {body['seed']}"
        choice = {
            "index": 0,
            "finish_reason": "length" if body["max_tokens"] == 1 else "stop",
            "message": {"role": "assistant", "content": text},
        }
        if logprobs and body.get("logprobs"):
            top = [(" Yes", 0.6), ("yes", 0.1), ("No", 0.2), ("Maybe", 0.05)]
            choice["logprobs"] = {
                "content": [
                    {
                        "token": "yes",
                        "logprob": math.log(0.6),
                        "bytes": None,
                        "top_logprobs": [
                            {"token": token, "logprob": math.log(p), "bytes": None}
                            for token, p in top[: body.get("top_logprobs", 0)]
                        ],
                    }
                ]
            }
        if isinstance(fault, dict):
            choice.update(fault)
        choices = [choice]
        if self.several and body.get("n", 1) > 1:
            choices = [
                {
                    **choice,
                    "index": i,
                    "message": {"content": f"maybe {body['seed'] + i}"},
                }
                for i in range(body["n"])
            ]
        more, usage = (
            {},
            {"prompt_tokens": 11, "completion_tokens": 1, "total_tokens": 12},
        )
        if self.scores and "prompt_logprobs" in body:
            # each letter a token, and one more at the end of a closed turn
            words = body["messages"][-1]["content"] + "." * (
                not body["continue_final_message"]
            )
            other = {
                "likelier": {"logprob": math.log(0.4)}
            }  # what is listed after it counts not
            read = [{letter: {"logprob": math.log(0.5)}} | other for letter in words]
            more = {"prompt_logprobs": [None] * 11 + read}
        if fault == "no usage":
            usage = dict.fromkeys(usage)
        if fault == "no logprob":
            choice["logprobs"]["content"][0]["logprob"] = None
        return handler.send(
            {
                "id": "x",
                "object": "chat.completion",
                "created": 0,
                "model": "told",
                "choices": choices,
                "usage": usage,
                **more,
            }
        )


def test_log_probabilities_are_used_where_the_server_gives_them():
    with Told(logprobs=True) as told:
        model = ServedModel([told.url])
        assert {"logprobs", "labels"} <= model.can
        reply, labels = run(
            model, [Generate(prompt(), 5), Labels(prompt(), ("yes", "no"))]
        )
    assert reply.logprob == pytest.approx(math.log(0.6))
    assert (reply.prompt_tokens, reply.new_tokens, reply.finished) == (11, 1, True)
    assert labels.probabilities == {
        "yes": pytest.approx(0.7 / 0.9),
        "no": pytest.approx(0.2 / 0.9),
    }
    assert labels.mass == pytest.approx(0.9)


def test_labels_of_several_tokens_are_read_word_by_word_where_the_server_scores_words():
    with Told(logprobs=True, scores=True) as told:
        model = ServedModel([told.url])
        assert model.able["scores"]
        plain, nested, whole = run(
            model,
            [
                Labels(prompt(), ("up", "down")),
                Labels(prompt(), ("up", "upper")),
                Labels(prompt(), ("yes", "no")),
            ],
        )
    # with and without a capital: twice a half for each letter
    assert plain.mass == pytest.approx(2 * 0.5**2 + 2 * 0.5**4)
    assert plain.probabilities["up"] == pytest.approx(4 / 5)
    # where one begins the other, its end counts too
    assert nested.mass == pytest.approx(2 * 0.5**3 + 2 * 0.5**6)
    assert nested.probabilities["up"] == pytest.approx(8 / 9)
    assert whole.probabilities["yes"] == pytest.approx(0.7 / 0.9)  # one token each


def first(*pairs):
    top = [{"token": token, "logprob": math.log(p)} for token, p in pairs]
    return [{"token": pairs[0][0], "logprob": 0.0, "top_logprobs": top}]


def test_first_tokens_count_for_the_one_label_they_begin():
    entries = first((" Left", 0.4), ("H", 0.2), ("", 0.1))
    mass = first_token_labels(entries, ("left lung", "heart"))
    assert mass == {"left lung": pytest.approx(0.4), "heart": pytest.approx(0.2)}
    # "left" is the beginning of "left lung" only
    assert first_token_labels(entries, ("left lung", "heart"), whole=True) is None
    mass = first_token_labels(
        first((" Yes", 0.5), ("no", 0.3)), ("yes", "no"), whole=True
    )
    assert mass == {"yes": pytest.approx(0.5), "no": pytest.approx(0.3)}
    # "no" is the beginning of a word there
    mass = first_token_labels(
        first(("No", 0.4), ("none", 0.1)), ("no", "none of the above")
    )
    assert mass == {"no": pytest.approx(0.4), "none of the above": pytest.approx(0.1)}


@pytest.mark.parametrize(
    ("entries", "labels"),
    [
        ([], ("up", "down")),
        (first(("left", 0.5), ("h", 0.2)), ("left", "left lung", "heart")),
        (first(("le", 0.5), ("h", 0.2)), ("left", "left lung", "heart")),
        (first(("one", 0.5), ("two", 0.2)), ("one", "two", "six")),
        # a label that begins another says nothing of the other, however much is listed
        (
            first(("left", 0.5), ("heart", 0.2), ("x", 1e-6)),
            ("left", "left lung", "heart"),
        ),
    ],
)
def test_what_first_tokens_leave_open_is_not_guessed(entries, labels):
    assert first_token_labels(entries, labels) is None


def test_what_stays_open_fails_with_the_reason():
    with Told(logprobs=True) as told:
        model = ServedModel([told.url])
        (found,) = run(model, [Labels(prompt(), ("up", "down"))])
    assert found.reason == "the likely first tokens do not tell up, down apart"


def test_a_label_that_can_have_no_weight_needs_none():
    """A label outside the list is at most as likely as the least one listed."""
    entries = first(("one", 0.9), ("two", 0.09), ("x", 1e-5))
    assert first_token_labels(entries, ("one", "two", "six"))["six"] == 0


def test_a_listed_token_may_have_no_probability():
    listed = first(("yes", 0.6), ("no", 0.3))
    listed[0]["top_logprobs"].append({"token": "x", "logprob": -math.inf})
    mass = first_token_labels(listed, ("yes", "no"))
    assert mass == {"yes": pytest.approx(0.6), "no": pytest.approx(0.3)}


def test_a_server_that_lists_no_tokens_and_cannot_draw_says_so():
    with Told(sampling=False) as told:
        model = ServedModel([told.url])
    assert model.can == {"generate", "turns"}
    assert "does not list the likely first tokens" in model.cannot["labels"]
    assert "same reply at every temperature" in model.cannot["sample"]


@pytest.mark.parametrize(
    "fault", [429, 500, 503, "wrong", "empty", "cut", "slow", "trickle"]
)
def test_passing_faults_are_tried_again(fault, monkeypatch):
    monkeypatch.setattr(
        ServedModel, "tries", 99
    )  # what is late on a busy machine is asked again
    monkeypatch.setattr(ServedModel, "pause", 0.0)
    with Told(faults=[fault, fault]) as told:
        model = ServedModel([told.url])
        told.armed = True
        if fault in ("slow", "trickle"):
            model.timeout = 1.0
        (reply,) = run(model, [Generate(prompt(), 5)])
    assert reply.text == "yes"


def test_lasting_faults_fail_the_item_and_a_rerun_asks_it_again(tmp_path, monkeypatch):
    monkeypatch.setattr(ServedModel, "tries", 3)
    with Told(faults=[500] * 3) as told, AnswerLog(tmp_path / "a.sqlite") as log:
        model = ServedModel([told.url], concurrency=1)
        told.armed = True
        items = tiny_items(3, kinds=("closed",), per_image=1)
        first = ask(model, items, "verbalized", log=log, batch_size=2)
        assert len(first.failed) == 1
        assert "fault 500" in next(iter(first.failed.values()))
        assert first.rows == 2
        second = ask(model, items, "verbalized", log=log, batch_size=2)
        assert (second.rows, second.done_before, second.failed) == (1, 2, {})


def test_a_refusal_is_not_tried_again():
    with Told(faults=[401]) as told:
        model = ServedModel([told.url])
        told.armed, before = True, len(told.requests)
        (result,) = run(model, [Generate(prompt(), 5)])
        assert len(told.requests) == before + 1
    assert isinstance(result, Failure)
    assert "fault 401" in result.reason


def test_a_server_that_repeats_the_key_does_not_make_us_repeat_it(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    with Told(faults=["key"]) as told:
        model = ServedModel([told.url])
        told.armed = True
        (result,) = run(model, [Generate(prompt(), 5)])
    assert "no such key: Bearer ***" in result.reason
    with Told(faults=["key"] * 9) as told:
        told.armed = True
        with pytest.raises(MedcalError, match="no such key") as refused:
            ServedModel([told.url])
    assert "sk-very-secret" not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    ["http://user:hunter2@h", "http://h/v1?key=hunter2", "gpu2:8000/v1", "http://"],
)
def test_an_address_that_is_none_or_holds_a_secret_is_refused_without_telling_it(
    address,
):
    with pytest.raises(MedcalError, match="write http://HOST:PORT/v1") as refused:
        ServedModel(["http://127.0.0.1:1/v1", address])
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("odd", [[1], "x", True, {"content": [None]}, {"content": 5}])
def test_a_server_whose_log_probabilities_have_another_form_is_asked_without(odd):
    with Told(faults=[{"logprobs": odd}]) as told:
        told.armed = True
        assert "logprobs" in ServedModel([told.url]).cannot


@pytest.mark.parametrize(
    ("fault", "told_of"), [("no usage", None), ("no logprob", "another form")]
)
def test_an_odd_answer_fails_its_item_at_most(fault, told_of):
    with Told(faults=[fault], logprobs=True) as told:
        model = ServedModel([told.url], concurrency=1)
        told.armed = True
        pair = run(model, [Generate(prompt(1), 5), Generate(prompt(2), 5)])
    # whichever was sent first
    odd, plain = sorted(pair, key=lambda found: getattr(found, "prompt_tokens", 0))
    assert (plain.text, plain.prompt_tokens) == ("yes", 11)
    if told_of is None:
        assert (odd.text, odd.prompt_tokens) == ("yes", 0)
    else:
        assert told_of in odd.reason


def images_of(told):
    """The images that each request to a server holds."""
    bodies = [body for _, body in told.requests if "messages" in body]
    return [body["messages"][0]["content"][0]["image_url"]["url"] for body in bodies]


def test_each_image_goes_to_one_server_and_a_dead_one_s_share_moves():
    with Told(delay=0.02) as one, Told(delay=0.02) as two, reserved_port() as port:
        dead = f"http://127.0.0.1:{port}"
        model = ServedModel([one.url, two.url, dead], concurrency=3)
        for told in (one, two):
            told.requests.clear()
            told.most = 0
        ways = (prompts.ANSWER, strategies.VERBALIZED, prompts.DESCRIBE)
        # different images under way at once when the dead one is found out
        calls = [Generate(prompt(seed, way), 4) for way in ways for seed in range(32)]
        replies = run(model, calls)
        assert [reply.text for reply in replies] == ["yes"] * 96
        first, second = images_of(one), images_of(two)
        assert not set(first) & set(second)
        assert len(first) + len(second) == 96
        assert first
        assert second
        assert one.most + two.most <= 6
        assert max(one.most, two.most) <= 3


def threads():
    return [
        t for t in threading.enumerate() if t.name.startswith(("medcal", "asyncio"))
    ]


def test_a_running_event_loop_is_no_obstacle_and_no_thread_is_left(tmp_path):
    async def cell():
        with AnswerLog(tmp_path / "a.sqlite") as log:
            return ask(
                ServedModel([told.url]),
                tiny_items(6),
                "two_stage",
                log=log,
                batch_size=2,
            )

    with Told() as told:
        assert asyncio.run(cell()).rows == 6
        assert not threads()


def two_stage_of(items):
    """Batches of one item each, as a run streams them."""
    for item in iter_items(items):
        how = STRATEGIES["two_stage"]
        yield [(item, how)], [how.ask(item, Plan())]


def test_leaving_a_run_ends_what_is_under_way():
    with Told() as told:
        model = ServedModel([told.url])
        told.faults, told.armed = ["held"], True
        answered = model.stream(
            two_stage_of(tiny_items(3, kinds=("closed",), per_image=1))
        )
        next(answered)
        answered.close()  # while the first request waits for its answer
        assert not threads()
        assert told.under_way  # the held one: nobody waited for it
        told.free.set()


def jpeg(seed, size=(64, 48), **more):
    pixels = np.random.default_rng(seed).integers(
        0, 255, (size[1], size[0], 3), dtype=np.uint8
    )
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", **more)
    return buffer.getvalue()


def test_an_image_is_sent_as_it_is_where_that_shows_the_same():
    turned = Image.Exif()
    turned[0x0112] = 6
    with Told() as told:
        model = ServedModel([told.url])
        told.requests.clear()
        for picture, kind, same in (
            (Picture("a", jpeg(1)), "jpeg", True),
            (Picture("b", jpeg(1), "darker"), "png", False),
            (Picture("c", jpeg(1, exif=turned)), "png", False),
            (noise_picture(3), "png", True),
        ):
            run(model, [Generate(Prompt(picture, ("Is it?",)), 3)])
            head, _, data = images_of(told)[-1].partition(",")
            assert head == f"data:image/{kind};base64"
            sent = base64.b64decode(data)
            assert (sent == picture.source) == same
            shown = Image.open(io.BytesIO(sent)).convert("RGB")
            assert np.array_equal(np.array(shown), np.array(picture.open()))


def test_items_are_streamed_and_no_more_is_begun_than_is_needed():
    """A reply that does not come holds up its own item only, and few items are begun ahead."""
    opened, order = [], []

    def batches():
        for todo, programs in two_stage_of(
            tiny_items(60, kinds=("closed",), per_image=1)
        ):
            assert len(opened) - len(told.requests) / 2 <= 24  # two requests to an item
            opened.append(todo[0][0].item_id)
            yield todo, programs

    with Told() as told:
        model = ServedModel([told.url], concurrency=4)
        told.requests.clear()
        told.faults, told.armed = ["held"], True
        for todo, ((row,),) in model.stream(batches()):
            assert row["answer"] == "yes"
            order.append(todo[0][0].item_id)
            if len(order) == 59:
                told.free.set()
        assert told.most <= 4
    assert sorted(order) == opened
    assert opened.index(order[-1]) < 24  # the one that was held, begun among the first


def test_no_more_connections_are_opened_than_requests_may_be_under_way():
    with Told(keeps=True, delay=0.005) as told:
        model = ServedModel([told.url], concurrency=4)
        told.connections = told.most = 0
        replies = run(model, [Generate(prompt(seed), 3) for seed in range(60)])
        assert [reply.text for reply in replies] == ["yes"] * 60
        assert told.connections <= 4
        assert told.most <= 4


def test_samples_go_in_one_request_where_the_server_knows_how():
    """Seeds follow each other, so that a part of the samples asked alone are the same ones."""
    with Told(several=True) as told:
        model = ServedModel([told.url])
        assert model.able["several"]
        told.requests.clear()
        calls = [Generate(prompt(), 5, seed=f"0|d|q|{i}") for i in range(6)]
        replies = run(model, calls)
        assert [body.get("n") for _, body in told.requests] == [6]
        later = run(model, calls[4:])
        assert [reply.text for reply in later] == [reply.text for reply in replies[4:]]
        assert len({reply.text for reply in replies}) == 6


def test_equal_calls_are_asked_once():
    with Told(several=True, logprobs=True) as told:
        model = ServedModel([told.url])
        told.requests.clear()
        labels = Labels(prompt(), ("yes", "no"))
        replies = run(model, [Generate(prompt(), 5), labels] * 3)
        assert [body.get("n", 1) for _, body in told.requests] == [1, 1]
    assert replies == replies[:2] * 3


def test_the_time_of_a_call_begins_when_it_is_sent():
    with Told(delay=0.02) as told:
        model = ServedModel([told.url], concurrency=1)
        started = time.perf_counter()
        replies = run(model, [Generate(prompt(seed), 3) for seed in range(8)])
        assert (
            8 * 0.02
            <= sum(one.seconds for one in replies)
            <= time.perf_counter() - started
        )


# --- what a hostile server may send -------------------------------------------------------------

HOSTILE = {
    "a log-probability of 1e308": {
        "logprobs": {"content": [{"token": "yes", "logprob": 1e308}]}
    },
    "one above 0": {"logprobs": {"content": [{"token": "yes", "logprob": 5}]}},
    "one that is no number": {
        "logprobs": {"content": [{"token": "yes", "logprob": float("nan")}]}
    },
    "an endless one": {
        "logprobs": {"content": [{"token": "yes", "logprob": float("-inf")}]}
    },
    "log-probabilities that are a number": {"logprobs": {"content": 5}},
    "no message": {"message": None},
    "a table for a text": {"message": {"content": {"a": 1}}},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_an_odd_value_fails_its_item_alone(name, tmp_path, monkeypatch):
    monkeypatch.setattr(ServedModel, "tries", 2)
    with Told(logprobs=True) as told, AnswerLog(tmp_path / "a.sqlite") as log:
        model = ServedModel([told.url], concurrency=1)
        told.faults, told.armed = [HOSTILE[name]] * 2, True
        items = tiny_items(3, kinds=("closed",), per_image=1)
        summary = ask(model, items, "sequence_probability", log=log)
    # a reply without text is asked for again; one that holds text is not
    failed = 1 if "message" in HOSTILE[name] else 2
    assert (summary.rows, len(summary.failed)) == (3 - failed, failed)
    assert summary.exit_code == 1


RAW = {
    "deep": b"[" * 200_000,
    "huge": b'{"a": "' + b"x" * (40 << 20) + b'"}',
    "no utf-8": b"\xff\xfe{}",
    "infinite": b'{"choices": [{"message": {"content": "yes"}}],'
    b' "usage": {"prompt_tokens": 1e999}}',
    "packed": gzip.compress(b" " * (64 << 20)),
}


@pytest.mark.parametrize("name", RAW)
def test_an_odd_body_fails_its_item_at_most(name, monkeypatch):
    monkeypatch.setattr(ServedModel, "tries", 2)
    with Told() as told:
        model = ServedModel([told.url])
        told.faults, told.armed = [RAW[name]] * 2, True
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        (found,) = run(model, [Generate(prompt(), 5)])
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if name == "infinite":
        assert (found.text, found.prompt_tokens) == ("yes", 0)
    else:
        assert isinstance(found, Failure)
    assert grown < 300_000  # kilobytes


def test_half_a_surrogate_pair_is_replaced(tmp_path):
    with Told() as told, AnswerLog(tmp_path / "a.sqlite") as log:
        model = ServedModel([told.url])
        choices = b'"choices": [{"message": {"content": "Answer: yes \\ud83d 80%"}}]'
        body = b'{"system_fingerprint": "v\\ud83d", %b}' % choices
        told.faults, told.armed = [body], True
        summary = ask(model, tiny_items(1), "verbalized", log=log)
        assert summary.rows == 1
        assert "\ufffd" in log.read()["raw"][0]
        told.faults = [body]  # the first that is asked, to find out
        assert ServedModel([told.url]).provenance["server_version"] == "v\ufffd"


def test_neither_redirects_nor_proxies_are_followed(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")  # where nothing listens
    with Told() as elsewhere, Told() as told:
        model = ServedModel([told.url])
        told.faults, told.armed = [(307, elsewhere.url)], True
        (found,) = run(model, [Generate(prompt(), 5)])
        assert found.reason.startswith("HTTP 307")
        assert not elsewhere.requests


def test_the_key_is_neither_a_model_s_name_nor_in_a_reply(monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    with (
        Told(name="sk-very-secret") as told,
        pytest.raises(MedcalError, match="like the key"),
    ):
        ServedModel([told.url])
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret\n")  # as read from a file
    with Told() as told, AnswerLog(tmp_path / "a.sqlite") as log:
        model = ServedModel([told.url])
        told.armed = True
        for key in (
            b"sk-very-secret",
            b"sk-\\u0076ery-secret",
        ):  # as JSON may have it
            told.faults = [b'{"choices": [{"message": {"content": "yes, %b"}}]}' % key]
            ask(model, tiny_items(1, dataset=f"tiny-{len(key)}"), "verbalized", log=log)
        assert log.read()["raw"].tolist() == ["yes, ***"] * 2
    assert b"sk-very-secret" not in (tmp_path / "a.sqlite").read_bytes()
    for key in ("sk-né", "sk-a\r\nX-Other: 1", "sk-\u200bpasted"):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        with (
            Told() as told,
            pytest.raises(MedcalError, match="holds a character that") as refused,
        ):
            ServedModel([told.url])
        assert "sk-" not in str(refused.value)
        assert not told.requests


def test_when_everything_fails_the_run_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(ServedModel, "tries", 1)
    with Told() as told, AnswerLog(tmp_path / "a.sqlite") as log:
        model = ServedModel([told.url])
        told.faults, told.armed = [500] * 9, True
        summary = ask(model, tiny_items(3), "verbalized", log=log)
        assert (summary.rows, summary.exit_code) == (0, 2)
        told.armed = False
        assert ask(model, tiny_items(3), "verbalized", log=log).exit_code == 0


def shown_of(told):
    """How each request shows its image: (by its bytes, by a name)."""
    bodies = [body for _, body in told.requests if "messages" in body]
    parts = [body["messages"][0]["content"][0] for body in bodies]
    return [(part["image_url"] is not None, "uuid" in part) for part in parts]


def test_an_image_s_bytes_go_once_to_a_server_that_finds_it_by_name(tmp_path):
    with Told(names="kept") as told, AnswerLog(tmp_path / "a.sqlite") as log:
        model = ServedModel([told.url], concurrency=8)
        assert model.names
        told.requests.clear()
        items = tiny_items(3, kinds=("closed",), per_image=1)
        assert not ask(
            model, items, "verbalized,two_stage,p_true,challenge", log=log
        ).failed
        shown = shown_of(told)
        assert sum(whole for whole, _ in shown) == 3
        assert len(shown) > 15
        assert all(named for _, named in shown)
        # what the server lets go of is sent again
        with model.open() as portal:
            asked = model.asked()
            first, second = Generate(prompt(1), 3), Generate(prompt(1), 4)
            portal.call(asked.results, [first])
            told.there.clear()
            told.requests.clear()
            (reply,) = portal.call(asked.results, [second])
            portal.call(asked.results, [Generate(prompt(1), 5)])
        assert reply.text == "yes"
        assert shown_of(told) == [(False, True), (True, True), (False, True)]


@pytest.mark.parametrize("names", [None, "ignored"])
def test_a_server_that_does_not_know_images_by_name_is_sent_none(names):
    """One that answers whatever image it is not shown least of all."""
    with Told(names=names) as told:
        model = ServedModel([told.url])
        assert not model.names
        told.requests.clear()
        run(model, [Generate(prompt(1), 3), Generate(prompt(1), 4)])
        assert shown_of(told) == [(True, False)] * 2


def test_an_image_that_a_named_server_refuses_fails_without_waiting_in_line(
    monkeypatch,
):
    monkeypatch.setattr(ServedModel, "tries", 1)
    with Told(names="kept") as told:
        model = ServedModel([told.url])
        told.faults, told.armed = [400, 400, 400], True
        calls = [Generate(prompt(1), limit) for limit in (3, 4, 5, 6)]
        found = run(model, calls)
    assert isinstance(found[0], Failure)


def test_the_image_is_sent_with_the_first_turn():
    with Told() as told:
        model = ServedModel([told.url])
        run(
            model, [Generate(prompt(1, "x", "no", "y"), 4, seed="s|0", temperature=0.7)]
        )
        _, body = told.requests[-1]
    kinds = [part["type"] for part in body["messages"][0]["content"]]
    assert kinds == ["image_url", "text"]
    url = body["messages"][0]["content"][0]["image_url"]["url"]
    assert url.startswith("data:image/png;base64,")
    assert [m["role"] for m in body["messages"]] == ["user", "assistant", "user"]
    assert (body["temperature"], body["max_tokens"]) == (0.7, 4)
    assert isinstance(body["seed"], int)


def test_a_damaged_image_fails_alone():
    with Told() as told:
        model = ServedModel([told.url])
        broken = Prompt(Picture("x", b"no image"), ("q",))
        bad, good = run(model, [Generate(broken, 3), Generate(prompt(), 3)])
    assert isinstance(bad, Failure)
    assert good.text == "yes"


def test_no_server_says_what_to_do():
    with reserved_port() as port, pytest.raises(MedcalError, match="start the server"):
        ServedModel([f"http://127.0.0.1:{port}"])


def test_the_first_model_is_found_though_most_urls_are_dead(monkeypatch):
    monkeypatch.setattr(ServedModel, "pause", 0.0)
    dead = [f"http://127.0.0.1:{port}" for port in (1, 2, 3)]  # where nothing listens
    with Told() as told:
        assert ServedModel([*dead, told.url]).name == "told"
    with Told(name="") as told, pytest.raises(MedcalError, match="it lists no model"):
        ServedModel([told.url])
