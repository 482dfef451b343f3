"""Models behind a URL: OpenAI-compatible endpoints with images, and typed decisions.

Anything that answers ``/v1/chat/completions`` with an image as a data URL can be asked: vLLM,
SGLang, ``transformers serve``, llama.cpp, hosted APIs. What a server can do beyond that is found
out by asking it once: log-probabilities, sampling, several samples of one request (``n``),
log-probabilities of given words, images by their names (``uuid``), ``/v1/systemone`` (typed
decisions: no text generated).
"""

import asyncio
import hashlib
import json
import os
import queue
import re
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

from medcal_nb.ask.backends import requests as rq
from medcal_nb.ask.backends.http import Http, without_user
from medcal_nb.ask.calls import (
    GENERATE,
    LABELS,
    LOGPROBS,
    SAMPLE,
    TURNS,
    Failure,
    Generate,
    Labels,
    Picture,
    Prompt,
    Reply,
    encode_png,
)
from medcal_nb.ask.prompts import DESCRIBE
from medcal_nb.ask.run import step
from medcal_nb.errors import MedcalError

_NO_LOGPROBS = "the server answers without log-probabilities"
_NO_SAMPLE = "the server gives the same reply at every temperature and seed"
_NO_LABELS = (
    "the server gives neither typed decisions (/v1/systemone) nor log-probabilities of first tokens"
)

#: ``transformers serve`` keeps to a model's greedy default unless it is told to draw.
_DRAWING = {"generation_config": {"do_sample": True, "top_k": 0, "top_p": 1.0}}

#: How many requests are begun for each that may be under way.
_AHEAD = 3


class ServedModel:
    """A model behind one or several URLs.

    Parameters
    ----------
    urls : list of str
        Endpoints of the same model, one per engine: all requests about an image go to one of them,
        as its cache holds that image. ``/v1`` is added where it is missing.
    model : str, optional
        Its name there; by default the first that the server lists.
    concurrency : int
        Requests under way at once, over all URLs.
    timeout : float
        Seconds a request may take.
    retries, pause : int and float
        How often a request is tried again, after pauses that double from `pause` seconds.

    Notes
    -----
    The key is read from the environment variable ``OPENAI_API_KEY``. Sampled replies pass a seed
    made of item and sample; whether the server keeps it apart from its other requests is up to it.
    """

    def __init__(self, urls, *, model=None, concurrency=16, timeout=120.0, retries=5, pause=0.5):
        if not urls:
            raise MedcalError("no URL: give one or several, separated by commas")
        urls = [url.rstrip("/").removesuffix("/v1") + "/v1" for url in urls]
        key = os.environ.get("OPENAI_API_KEY") or ""
        if not key.isascii() or not key.isprintable():
            raise MedcalError("OPENAI_API_KEY holds a character that no key has: set it again")
        told = {"concurrency": concurrency, "timeout": timeout, "retries": retries, "pause": pause}
        self.http, self.begun = Http(urls, key, **told), 0
        self.told = ", ".join(map(without_user, urls))
        with self.http.open():
            self.server = rq.Server(model or self._first_model())
            self.name = self.server.model
            if key and key in self.name:
                raise MedcalError(f"{self.told}: it names its model like the key: refused")
            self.http.run(self._find_out)
        self.cannot = {}
        if self.server.draws is None:
            self.cannot[SAMPLE] = _NO_SAMPLE
        if not self.server.top:
            self.cannot[LOGPROBS] = _NO_LOGPROBS
        if not (self.server.decides or self.server.top > 1):
            self.cannot[LABELS] = _NO_LABELS
        self.can = frozenset({GENERATE, TURNS, SAMPLE, LOGPROBS, LABELS} - set(self.cannot))

    # --- finding out ------------------------------------------------------------------------------

    def _first_model(self):
        """The first model that a server lists."""
        for url in self.http.urls:
            found = self.http.run(self.http.get, url, "/models", _listed)
            if isinstance(found, str):
                return found
        raise MedcalError(
            f"{self.told}: {found.reason}: start the server, or name its model (--served-as)"
        )

    async def _find_out(self):
        """Ask for what servers may or may not do; the answers say what this one can."""
        from PIL import Image

        server = self.server
        picture = Picture("probe", encode_png(Image.new("RGB", (32, 32), (90, 120, 150))))
        prompt = Prompt(picture, ("Is it blue? Answer yes or no.",))
        for top in (20, 5, 0):
            more = {"logprobs": True, "top_logprobs": top} if top else {}
            request = rq.chat(server, prompt, 1, **more)
            reply = await self._probe().send(request, picture)
            if not isinstance(reply, Failure):
                break
        if isinstance(reply, Failure):
            raise MedcalError(
                f"{self.told}: model {server.model!r} does not answer a question with an image: "
                f"{reply.reason}"
            )
        try:
            entries = rq.token_entries(reply["choices"][0])
            server.top = max(1, len(entries[0].get("top_logprobs") or ())) if entries else 0
        except (TypeError, AttributeError, KeyError):
            server.top = 0
        (decided,) = await self._probe(decides=True).results([Labels(prompt, ("yes", "no"))])
        server.decides = not isinstance(decided, Failure)
        before = rq.count(reply, "prompt_tokens")
        words = rq.scored(Labels(prompt, ("yes",)), server, before)
        (scored,) = await self._probe().drive(words, picture, 1)
        server.scores = not isinstance(scored, Failure)
        described = Prompt(picture, (DESCRIBE,))
        calls = [Generate(described, 12, f"probe|{i}", 2.0) for i in range(5)]
        for draws in ({}, _DRAWING):
            if server.draws is None:
                found = await self._probe(draws=draws).results(calls)
                texts = {reply.text for reply in found if isinstance(reply, Reply)}
                server.draws = draws if len(texts) > 1 else None
        if server.draws is not None:
            pair = await self._probe(several=True).results(calls[:2])
            server.several = all(isinstance(reply, Reply) for reply in pair)
        server.names = await self._knows_names(request, picture, before)
        self.provenance = await self._provenance(reply)

    def _probe(self, **more):
        return _Asked(self.http, replace(self.server, **more), retries=1)

    async def _knows_names(self, request, picture, n_tokens):
        """Whether the server finds an image again by its name, and no image by another."""
        asked, (path, body) = self._probe(), request
        url, name = await asked.image(picture)
        there = await asked.post(picture, path, body, url, name)
        again = await asked.post(picture, path, body, url, name, True)
        other = await asked.post(picture, path, body, url, name[::-1], True)
        if isinstance(there, Failure) or isinstance(again, Failure):
            return False
        refused = isinstance(other, Failure) and other.reason.startswith("HTTP 4")
        return refused and rq.count(again, "prompt_tokens") == n_tokens

    async def _provenance(self, reply):
        """What stands beside each answer: server, version, and what is known of its settings."""
        server, url = self.server, self.http.urls[0]
        metrics = await self.http.get(url.removesuffix("/v1"), "/metrics")
        flags = ("top", "several", "scores", "decides", "names")
        flags = [f"{name}={getattr(server, name)}" for name in flags]
        if isinstance(metrics, str):
            names = "enable_prefix_caching|block_size|cache_dtype"
            told = re.search(r"^vllm:cache_config_info\{(.*)\}", metrics, re.MULTILINE)
            flags += re.findall(rf'\b(?:{names})="[\w.]+"', told[1] if told else "")
        version = str(reply.get("system_fingerprint") or reply.get("owned_by") or "not told")
        shown = {"server": self.told, "server_version": version, "server_flags": " ".join(flags)}
        return {name: self.http.masked(text)[:200] for name, text in shown.items()}

    # --- asking -----------------------------------------------------------------------------------

    @contextmanager
    def session(self):
        """Open a batch: equal images are encoded once."""
        with self.http.open():
            yield self

    def run(self, calls):
        """Answer `calls` of an open session, in order."""
        return self.http.run(_Asked(self.http, self.server).results, calls)

    def stream(self, batches):
        """Run the programs of many batches item by item, as many requests under way as allowed.

        Parameters
        ----------
        batches : iterable of (list of (Item, str), list of programs)
            Read as they are needed.

        Yields
        ------
        (list, dict, dict)
            What was to do of a batch, what its programs returned and why some could not go on, as
            :func:`medcal_nb.ask.run.run_programs`.
        """
        done = queue.SimpleQueue()
        with self.http.open():
            future = self.http.portal.start_task_soon(self._stream, batches, done.put)
            future.add_done_callback(lambda _: done.put(None))
            while (batch := done.get()) is not None:
                yield batch
            future.result()

    async def _stream(self, batches, emit):
        """Begin items as long as few requests wait; emit each batch when it has ended."""

        async def finish(tasks, batch):
            await asyncio.gather(*tasks)
            emit(batch)

        self.begun, self.room = 0, asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for todo, programs in batches:
                ended, failed, items, tasks = {}, {}, defaultdict(dict), []
                for i, (item, _) in enumerate(todo):
                    items[item.item_id][i] = programs[i]
                for members in items.values():
                    while self.begun >= _AHEAD * self.http.concurrency:
                        self.room.clear()
                        await self.room.wait()
                    tasks.append(group.create_task(self._item(members, ended, failed)))
                    await asyncio.sleep(0)  # its first requests are begun, and counted
                group.create_task(finish(tasks, (todo, ended, failed)))

    async def _item(self, programs, ended, failed):
        """Run the programs of an item, a round of calls at a time."""
        asked, waiting = _Asked(self.http, self.server, count=self._count), {}
        replies = dict.fromkeys(programs)
        while replies:
            for i, results in replies.items():
                try:
                    step(i, programs[i], results, waiting, ended, failed)
                except Exception as error:  # of a parser, for example
                    failed[i] = self.http.masked(f"{type(error).__name__}: {error}"[:200])
            calls = [call for calls in waiting.values() for call in calls]
            found = dict(zip(calls, await asked.results(calls), strict=True))
            replies = {i: [found[call] for call in calls] for i, calls in waiting.items()}
            waiting = {}

    def _count(self, n):
        self.begun += n
        if n < 0:
            self.room.set()

    def show(self, prompt):
        """Return the conversation that is sent; its template is the server's."""
        change = f" {prompt.picture.change}" if prompt.picture.change else ""
        lines = []
        for i, text in enumerate(prompt.turns):
            role = "assistant" if i % 2 else "user"
            lines.append(f"{role}: {'[image' + change + '] ' if i == 0 else ''}{text}")
        return "\n".join(lines)

    def count_tokens(self, prompt):
        """Unknown: the server's tokenizer is not at hand."""
        return None


class _Asked:
    """What is known while an item is asked: results of calls, and images as they are sent."""

    def __init__(self, http, server, *, retries=None, count=lambda n: None):
        self.http, self.server, self.retries, self.count = http, server, retries, count
        self.calls, self.images, self.there = {}, {}, {}

    async def results(self, calls):
        """Answer calls, in order; equal ones are asked once, samples of a prompt together."""
        fresh = [call for call in dict.fromkeys(calls) if call not in self.calls]
        for members in rq.grouped(fresh, self.server):
            exchange = rq.exchange(members, self.server)
            work = self.drive(exchange, members[0].prompt.picture, len(members))
            task = asyncio.create_task(work)
            self.count(1)
            task.add_done_callback(lambda _: self.count(-1))
            self.calls.update((call, (task, i)) for i, call in enumerate(members))
        return [(await task)[i] for task, i in map(self.calls.get, calls)]

    async def drive(self, exchange, picture, n):
        """Carry an exchange through to its `n` results, which tell no key."""
        started, replies = time.perf_counter(), None
        while True:
            requests, found = rq.advance(exchange, replies, n)
            if requests is None:
                seconds = time.perf_counter() - started
                return [self._masked(one, seconds) for one in found]
            replies = await asyncio.gather(*(self.send(r, picture) for r in requests))

    def _masked(self, found, seconds):
        if isinstance(found, Failure):
            return Failure(self.http.masked(found.reason))
        if isinstance(found, Reply):
            found = replace(found, text=self.http.masked(found.text))
        return replace(found, seconds=seconds)

    async def image(self, picture):
        """Return a picture as it is sent, and its name; made in a thread, once."""
        if picture not in self.images:
            self.images[picture] = asyncio.create_task(asyncio.to_thread(_named, picture))
        return await self.images[picture]

    async def send(self, request, picture):
        """Send a request; where the server finds images by name, the bytes of each once."""
        path, body = request
        try:
            url, name = await self.image(picture)
        except Exception as error:  # it cannot be opened
            return Failure(str(error))
        if path != rq.CHAT or not self.server.names:
            return await self.post(picture, path, body, url)
        if picture not in self.there:
            self.there[picture] = asyncio.get_running_loop().create_future()
            reply = await self.post(picture, path, body, url, name)
            self.there[picture].set_result(not isinstance(reply, Failure))
            return reply
        if await self.there[picture]:
            reply = await self.post(picture, path, body, url, name, True)
            if not (isinstance(reply, Failure) and reply.reason.startswith("HTTP 4")):
                return reply
        # the server let go of it, or is another one now
        return await self.post(picture, path, body, url, name)

    async def post(self, picture, path, body, url, name="", known=False):
        """Send a request with the image's bytes, its name, or both."""
        return await self.http.post(
            picture.key,
            path,
            lambda: rq.fill(path, body, url, name, known),
            check=rq.check_chat if path == rq.CHAT else dict,
            retries=self.retries,
        )


def _listed(told):
    """The first model of a list."""
    name = json.loads(told)["data"][0]["id"]
    if not isinstance(name, str) or not name:
        raise ValueError("it lists no model")
    return name


def _named(picture):
    url = rq.image_url(picture)
    return url, hashlib.blake2b(url, digest_size=16).hexdigest()


def find(name, *, served_as=None, concurrency=16, timeout=120.0, **reach):
    """Return the model at one or several URLs, separated by commas; None where the name is none."""
    if not name.startswith(("http://", "https://")):
        return None
    urls = [url.strip() for url in name.split(",") if url.strip()]
    for url in urls:
        try:
            there = urlsplit(url).hostname and urlsplit(url).port != 0
        except ValueError:
            there = False
        if not there:
            raise MedcalError(f"{url.rpartition('@')[2]}: no address: write http://HOST:PORT/v1")
    return ServedModel(urls, model=served_as, concurrency=concurrency, timeout=timeout)
