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
from contextlib import contextmanager, suppress
from dataclasses import replace
from urllib.parse import urlsplit

from medcal_nb.ask.backends import requests as rq
from medcal_nb.ask.backends.http import Http, without_user
from medcal_nb.ask.calls import Failure, Generate, Labels, Picture, Prompt, Reply, grey_png
from medcal_nb.ask.prompts import DESCRIBE
from medcal_nb.errors import MedcalError

#: ``transformers serve`` keeps to a model's greedy default unless it is told to draw.
_DRAWING = {"generation_config": {"do_sample": True, "top_k": 0, "top_p": 1.0}}


class ServedModel:
    """A model behind one or several URLs.

    Parameters
    ----------
    urls : list of str
        Endpoints of the same model, one per engine: all requests about an image go to one of them,
        as its cache holds that image. ``/v1`` is added where it is missing.
    model : str, optional
        Its name there; by default the first that a server lists.
    concurrency : int
        Requests under way at once, over all URLs.
    timeout : float
        Seconds a request may take.

    Notes
    -----
    The key is read from the environment variable ``OPENAI_API_KEY``. Sampled replies pass a seed
    made of item and sample; whether the server keeps it apart from its other requests is up to it.
    """

    def __init__(self, urls, *, model=None, concurrency=16, timeout=120.0):
        urls = [url.rstrip("/").removesuffix("/v1") + "/v1" for url in urls]
        key = os.environ.get("OPENAI_API_KEY") or ""
        if not key.isascii() or not key.isprintable():
            raise MedcalError("OPENAI_API_KEY holds a character that no key has: set it again")
        self.http = Http(urls, key, concurrency, timeout)
        self.told = ", ".join(map(without_user, urls))
        with self.http.open():
            self.name = model or self._first_model()
            if key and key in self.name:
                raise MedcalError(f"{self.told}: it names its model like the key: refused")
            self.server = rq.Server(self.name)
            self.http.portal.call(self._find_out)
        self.cannot = self.server.cannot()
        self.can = rq.CAN - set(self.cannot)

    # --- finding out ------------------------------------------------------------------------------

    def _first_model(self):
        """The first model that a server lists."""
        tries = 2 + len(self.http.urls)
        found = self.http.portal.call(self.http.ask, "", "/models", _listed, (), tries)
        if isinstance(found, Failure):
            raise MedcalError(
                f"{self.told}: {found.reason}: start the server, or name its model (--served-as)"
            )
        return found

    async def _find_out(self):
        """Ask for what servers may or may not do; the answers say what this one can."""
        server, picture = self.server, Picture("probe", grey_png())
        prompt = Prompt(picture, ("Is it blue? Answer yes or no.",))
        for top in (20, 5, 0):
            more = {"logprobs": True, "top_logprobs": top} if top else {}
            request = rq.chat(server, prompt, 1, **more)
            reply = await self._probe().send(request, picture)
            if not isinstance(reply, Failure):
                break
        else:
            raise MedcalError(
                f"{self.told}: model {server.model!r} does not answer a question with an image: "
                f"{reply.reason}"
            )
        try:
            entries = rq.token_entries(reply["choices"][0])
            server.top = max(1, len(entries[0].get("top_logprobs") or ())) if entries else 0
        except (TypeError, AttributeError, KeyError):
            server.top = 0
        server.decides = bool(await self._answers([Labels(prompt, ("yes", "no"))], decides=True))
        words = [Labels(prompt, ("yes, it is", "no, it is not"))]
        server.scores = bool(await self._answers(words, decides=False, scores=True))
        described = Prompt(picture, (DESCRIBE,))
        calls = [Generate(described, 12, f"probe|{i}", 2.0) for i in range(5)]
        for draws in ({}, _DRAWING):
            if len({reply.text for reply in await self._answers(calls, draws=draws)}) > 1:
                server.draws = draws
                server.several = len(await self._answers(calls[:2], several=True)) == 2
                break
        server.names = await self._knows_names(request, picture, rq.count(reply, "prompt_tokens"))
        self.provenance = await self._provenance(reply)

    def _probe(self, **more):
        return _Asked(self.http, replace(self.server, **more), tries=2)

    async def _answers(self, calls, **more):
        """What a server that could do `more` gives, without failures."""
        found = await self._probe(**more).results(calls)
        return [one for one in found if not isinstance(one, Failure)]

    async def _knows_names(self, request, picture, n_tokens):
        """Whether the server finds an image again by its name, and no image by another."""
        asked = self._probe()
        url, name = await asked.image(picture)
        there = await asked.post(request, picture, url, name)
        again = await asked.post(request, picture, None, name)
        other = await asked.post(request, picture, None, name[::-1])
        if isinstance(there, Failure) or isinstance(again, Failure):
            return False
        refused = isinstance(other, Failure) and other.reason.startswith("HTTP 4")
        return refused and rq.count(again, "prompt_tokens") == n_tokens

    async def _provenance(self, reply):
        """What stands beside each answer: server, version, and what is known of its settings."""
        metrics = await self.http.ask("", "/../metrics", bytes.decode)
        flags = ("top", "several", "scores", "decides", "names")
        flags = [f"{name}={getattr(self.server, name)}" for name in flags]
        if isinstance(metrics, str):  # of vLLM
            names = "enable_prefix_caching|block_size|cache_dtype"
            flags += dict.fromkeys(re.findall(rf'\b(?:{names})="[\w.]+"', metrics))
        version = str(reply.get("system_fingerprint") or "not told")
        shown = {"server": self.told, "server_version": version, "server_flags": " ".join(flags)}
        return {name: self.http.masked(text)[:200] for name, text in shown.items()}

    # --- asking -----------------------------------------------------------------------------------

    @contextmanager
    def session(self):
        """Open a batch of items."""
        with self.http.open():
            yield self

    def run(self, calls):
        """Answer `calls` of an open session, in order."""
        return self.http.portal.call(_Asked(self.http, self.server).results, calls)

    def stream(self, batches):
        """Run the programs of many batches, as many requests under way as allowed.

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
        """Begin programs as long as few requests wait; emit each batch when it has ended."""

        async def finish(tasks, batch):
            await asyncio.gather(*tasks)
            emit(batch)

        asked = {}
        async with asyncio.TaskGroup() as group:
            for todo, programs in batches:
                ended, failed, tasks = {}, {}, []
                for i, (item, _) in enumerate(todo):
                    image = str(item.image_id or item.item_id)
                    if image not in asked:  # those about one image stand side by side
                        asked = {image: _Asked(self.http, self.server)}
                    async with self.http.room:
                        work = self._follow(i, programs[i], asked[image], ended, failed)
                        tasks.append(group.create_task(work))
                        await asyncio.sleep(0)  # its first requests are begun
                group.create_task(finish(tasks, (todo, ended, failed)))

    async def _follow(self, i, program, asked, ended, failed):
        """Run a program to its end."""
        results = None
        try:
            while True:
                results = await asked.results(program.send(results))
                for bad in (one for one in results if isinstance(one, Failure)):
                    failed[i] = bad.reason
                    return
        except StopIteration as stop:
            ended[i] = stop.value
        except Exception as error:  # of a parser, for example
            failed[i] = self.http.masked(f"{type(error).__name__}: {error}"[:200])

    def show(self, prompt):
        """Return the turns that are sent; their template is the server's."""
        return "[image]\n" + "\n\n".join(prompt.turns)


class _Asked:
    """What is known while an image is asked about: results of calls, and pictures as sent."""

    def __init__(self, http, server, tries=None):
        self.http, self.server, self.tries = http, server, tries or http.tries
        self.calls, self.images, self.there = {}, {}, {}

    async def results(self, calls):
        """Answer calls, in order; equal ones are asked once, samples of a prompt together."""
        fresh = [call for call in dict.fromkeys(calls) if call not in self.calls]
        for members in rq.grouped(fresh, self.server):
            task = asyncio.create_task(self._drive(members))
            self.calls.update((call, (task, i)) for i, call in enumerate(members))
        return [(await task)[i] for task, i in map(self.calls.get, calls)]

    async def _drive(self, members):
        """Carry an exchange through to its results, which tell no key."""
        exchange, replies = rq.exchange(members, self.server), None
        picture = members[0].prompt.picture
        async with self.http.room:
            started = time.perf_counter()
            while True:
                requests, found = rq.advance(exchange, replies, len(members))
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
        try:
            url, name = await self.image(picture)
        except Exception as error:  # it cannot be opened
            return Failure(str(error))
        if request[0] != rq.CHAT or not self.server.names:
            return await self.post(request, picture, url)
        if picture not in self.there:
            self.there[picture] = asyncio.create_task(self.post(request, picture, url, name))
            return await self.there[picture]
        if not isinstance(await self.there[picture], Failure):
            reply = await self.post(request, picture, None, name)
            if not (isinstance(reply, Failure) and reply.reason.startswith("HTTP 4")):
                return reply
        # the server let go of it, or is another one now
        return await self.post(request, picture, url, name)

    async def post(self, request, picture, url, name=""):
        """Send a request with the image's bytes, its name, or both."""
        path, body = request
        parts, read = rq.fill(path, body, url, name), _chat if path == rq.CHAT else json.loads
        return await self.http.ask(picture.key, path, read, parts, self.tries)


def _chat(told):
    return rq.check_chat(json.loads(told))


def _listed(told):
    """The first model of a list."""
    name = json.loads(told)["data"][0]["id"]
    if not isinstance(name, str) or not name:
        raise ValueError("it lists no model")
    return rq.clean(name)


def _named(picture):
    url = rq.image_url(picture)
    return url, hashlib.blake2b(url, digest_size=16).hexdigest()


def find(name, *, served_as=None, concurrency=16, timeout=120.0, **reach):
    """Return the model at one or several URLs, separated by commas; None where the name is none."""
    if not name.startswith(("http://", "https://")):
        return None
    urls = [url.strip() for url in name.split(",") if url.strip()]
    for url in urls:
        with suppress(ValueError):
            if urlsplit(url).hostname and urlsplit(url).port != 0:
                continue
        raise MedcalError(f"{url.rpartition('@')[2]}: no address: write http://HOST:PORT/v1")
    return ServedModel(urls, model=served_as, concurrency=concurrency, timeout=timeout)
