"""Models behind a URL: OpenAI-compatible endpoints with images, and typed decisions.

Anything that answers ``/v1/chat/completions`` with an image as a data URL can be asked: vLLM,
SGLang, ``transformers serve``, llama.cpp, hosted APIs. What a server can do beyond that is found
out by asking it once: log-probabilities, sampling, several samples of one request (``n``),
log-probabilities of given words, ``/v1/systemone`` (typed decisions: no text generated).
"""

import asyncio
import json
import os
import queue
import re
import time
from concurrent.futures import ThreadPoolExecutor
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

#: Threads that encode images; how many calls are begun for each request under way.
_ENCODERS, _AHEAD = 2, 3


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
        urls = [
            url if url.endswith("/v1") else url + "/v1" for url in (u.rstrip("/") for u in urls)
        ]
        key = os.environ.get("OPENAI_API_KEY") or ""
        if not key.isascii() or not key.isprintable():
            raise MedcalError("OPENAI_API_KEY holds a character that no key has: set it again")
        told = {"concurrency": concurrency, "timeout": timeout, "retries": retries, "pause": pause}
        self.http = Http(urls, key, **told)
        with self._open():
            self.server = rq.Server(model or self._first_model())
            self.name = self.server.model
            if key and key in self.name:
                raise MedcalError(
                    f"{without_user(urls[0])}: it names its model like the key: refused"
                )
            self.http.run(self._find_out())
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
        for url in self.http.urls:
            told = self.http.run(self.http.get(url, "/models"))
            if not isinstance(told, Failure):
                try:
                    listed = [entry["id"] for entry in json.loads(told)["data"]]
                    if isinstance(listed[0], str) and listed[0]:
                        return listed[0]
                    told = "its list of models is none"
                except (ValueError, TypeError, KeyError, IndexError, RecursionError):
                    told = "it lists no model"
            else:
                told = told.reason
        shown = ", ".join(map(without_user, self.http.urls))
        raise MedcalError(f"{shown}: {told}: start the server, or name its model (--served-as)")

    async def _find_out(self):
        """Ask for what servers may or may not do; the answers say what this one can."""
        from PIL import Image

        server = self.server
        picture = Picture("probe", encode_png(Image.new("RGB", (32, 32), (90, 120, 150))))
        prompt = Prompt(picture, ("Is it blue? Answer yes or no.",))
        reply = None
        for top in (20, 5, 0):
            more = {"logprobs": True, "top_logprobs": top} if top else {}
            reply = await self._send(rq._chat(server, prompt, 1, **more), picture, {}, retries=1)
            if not isinstance(reply, Failure):
                break
        if isinstance(reply, Failure):
            raise MedcalError(
                f"{without_user(self.http.urls[0])}: model {server.model!r} does not answer a "
                f"question with an image: {reply.reason}"
            )
        try:
            entries = rq.token_entries(reply["choices"][0])
            server.top = max(1, len(entries[0].get("top_logprobs") or ())) if entries else 0
        except (TypeError, AttributeError, KeyError):
            server.top = 0
        labels = replace(server, decides=True)
        answer = await self._call(Labels(prompt, ("yes", "no")), {}, labels, retries=0)
        server.decides = not isinstance(answer, Failure)
        before = rq.count(reply, "prompt_tokens")
        scored = rq._scored(Labels(prompt, ("yes",)), server, before)
        server.scores = not isinstance(await self._drive(scored, picture, {}, 0), Failure)
        for draws in ({}, _DRAWING):
            if server.draws is None and await self._samples(picture, replace(server, draws=draws)):
                server.draws = draws
        if server.draws is not None:
            calls = [Generate(prompt, 4, f"probe|{i}", 2.0) for i in (0, 1)]
            pair = await self._drive(rq.reply_exchange(calls, server), picture, {}, 0)
            server.several = isinstance(pair, list) and isinstance(pair[0], Reply)
        self.provenance = await self._provenance(reply)

    async def _samples(self, picture, server):
        """Whether sampled replies differ."""
        prompt, texts, known = Prompt(picture, (DESCRIBE,)), set(), {}
        for seed in range(5):
            call = Generate(prompt, 12, f"probe|{seed}", 2.0)
            found = await self._call(call, known, server, retries=1)
            texts |= set() if isinstance(found, Failure) else {found.text}
        return len(texts) > 1

    async def _provenance(self, reply):
        """What stands beside each answer: server, version, and what is known of its settings."""
        url, server = self.http.urls[0], self.server
        version = str(reply.get("system_fingerprint") or reply.get("owned_by") or "not told")
        metrics = await self.http.get(url.removesuffix("/v1"), "/metrics")
        flags = [
            f"{name}={getattr(server, name)}" for name in ("top", "several", "scores", "decides")
        ]
        if isinstance(metrics, str):
            names = "enable_prefix_caching|block_size|cache_dtype"
            told = re.search(r"^vllm:cache_config_info\{(.*)\}", metrics, re.MULTILINE)
            flags += re.findall(rf'\b(?:{names})="[\w.]+"', told[1] if told else "")
        shown = {"server": ", ".join(map(without_user, self.http.urls)), "server_version": version}
        shown["server_flags"] = " ".join(flags)
        return {name: self.http.masked(text)[:200] for name, text in shown.items()}

    # --- one call ---------------------------------------------------------------------------------

    @contextmanager
    def _open(self):
        self.tasks, self.load, self.freed = set(), 0, asyncio.Event()
        with ThreadPoolExecutor(_ENCODERS) as self.encoders, self.http:
            yield

    async def _image(self, picture, known):
        """Return a picture as it is sent, encoded in a thread, once while its item is asked."""
        if picture not in known:
            work = self.http.loop.run_in_executor(self.encoders, rq.image_data, picture)
            known[picture] = asyncio.ensure_future(work)
        return await known[picture]

    async def _send(self, request, picture, known, retries=None):
        path, body = request
        image = await self._image(picture, known)
        check = rq.check_chat if path == rq.CHAT else dict
        return await self.http.post(
            picture.key, path, lambda: rq.encode(body, image), check=check, retries=retries
        )

    async def _drive(self, exchange, picture, known, retries=None):
        """Carry an exchange through; whatever goes wrong is this call's failure."""
        started, replies = time.perf_counter(), None
        try:
            while True:
                requests = exchange.send(replies)
                sent = (self._send(request, picture, known, retries) for request in requests)
                replies = await asyncio.gather(*sent)
                if bad := next((r for r in replies if isinstance(r, Failure)), None):
                    return bad
        except StopIteration as stop:
            return self._timed(stop.value, time.perf_counter() - started)
        except MedcalError as error:
            return Failure(str(error))
        except Exception as error:
            return Failure(f"the server answered in another form: {self.http.told(error)}")

    def _timed(self, found, seconds):
        """Return results with the time they took, and without the key should they hold it."""
        if isinstance(found, list):
            return [self._timed(one, seconds) for one in found]
        if isinstance(found, Reply):
            found = replace(found, text=self.http.masked(found.text))
        return replace(found, seconds=seconds) if hasattr(found, "seconds") else found

    async def _call(self, call, known, server=None, retries=None):
        exchange = rq.exchange(call, server or self.server)
        return await self._drive(exchange, call.prompt.picture, known, retries)

    def _begin(self, calls, known):
        """Start the calls that are not known yet; samples of a prompt go in one request."""
        members, last = [], None
        for call in dict.fromkeys(calls):
            if not isinstance(call, (Generate, Labels)):
                raise TypeError(f"a served model cannot answer a {type(call).__name__} call")
            if call in known:
                continue
            at = None
            if self.server.several and isinstance(call, Generate) and call.seed:
                base, number = rq.seed_of(call)
                at = (base, call.prompt, call.temperature, call.max_new_tokens, number)
            if members and (at is None or last is None or at != (*last[:-1], last[-1] + 1)):
                self._start(members, known)
                members = []
            members.append(call)
            last = at
        if members:
            self._start(members, known)
        return [known[call] for call in calls]

    def _start(self, members, known):
        loop = self.http.loop
        futures = [loop.create_future() for _ in members]
        known.update(zip(members, futures, strict=True))
        self.load += len(members)

        async def work():
            if len(members) > 1:
                exchange = rq.reply_exchange(members, self.server)
                found = await self._drive(exchange, members[0].prompt.picture, known)
                found = found if isinstance(found, list) else [found] * len(members)
            else:
                found = [await self._call(members[0], known)]
            for future, result in zip(futures, found, strict=True):
                if not future.done():
                    future.set_result(result)
            self.load -= len(members)
            self.freed.set()

        task = loop.create_task(work())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _all(self, calls):
        return await asyncio.gather(*self._begin(calls, {}))

    # --- the backend's side -----------------------------------------------------------------------

    @contextmanager
    def session(self):
        """Open a batch: equal images are encoded once."""
        with self._open():
            yield self

    def run(self, calls):
        """Answer `calls` of an open session, in order."""
        return self.http.run(self._all(calls))

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
        done, end = queue.SimpleQueue(), object()
        with self._open():
            future = asyncio.run_coroutine_threadsafe(
                self._stream(batches, done.put), self.http.loop
            )
            future.add_done_callback(lambda _: done.put(end))
            try:
                while (batch := done.get()) is not end:
                    yield batch
                future.result()
            finally:
                future.cancel()

    async def _stream(self, batches, emit):
        async with asyncio.TaskGroup() as group:
            for todo, programs in batches:
                ended, failed, items = {}, {}, {}
                for i, (item, _) in enumerate(todo):
                    items.setdefault(item.item_id, []).append(i)
                left = [len(items)]
                for members in items.values():
                    while self.load >= _AHEAD * self.http.concurrency:
                        self.freed.clear()
                        await self.freed.wait()
                    known = {}
                    runs = [self._program(i, programs[i], known, ended, failed) for i in members]

                    async def one(runs=runs, left=left, batch=(todo, ended, failed)):
                        await asyncio.gather(*runs)
                        left[0] -= 1
                        if not left[0]:
                            emit(batch)

                    group.create_task(one())
                    await asyncio.sleep(0)  # its first calls are begun, and counted

    async def _program(self, i, program, known, ended, failed):
        waiting = {}
        try:
            step(i, program, None, waiting, ended, failed)
            while waiting:
                results = await asyncio.gather(*self._begin(waiting.pop(i), known))
                step(i, program, results, waiting, ended, failed)
        except Exception as error:
            failed[i] = self.http.told(error)

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
