"""Models behind a URL: OpenAI-compatible endpoints with images.

Anything that answers ``/v1/chat/completions`` with an image as a data URL can be asked: vLLM,
SGLang, ``transformers serve``, llama.cpp, hosted APIs. What a server can do beyond that is found
out by asking it once: log-probabilities, sampling, several samples of one request (``n``),
log-probabilities of given words, images by their names (``uuid``).
"""

import asyncio
import hashlib
import os
import queue
import re
import time
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial
from urllib.parse import urlsplit

from medcal_nb.ask.backends import requests as rq
from medcal_nb.ask.backends.http import Http, Refused, without_user
from medcal_nb.ask.calls import Failure, Generate, Labels, Picture, Prompt, grey_png
from medcal_nb.ask.prompts import DESCRIBE
from medcal_nb.errors import MedcalError

_QUESTION = "Is it blue? Answer yes or no."


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
        key = os.environ.get("OPENAI_API_KEY") or ""
        if not key.isascii() or not key.isprintable():
            raise MedcalError("OPENAI_API_KEY holds a character that no key has: set it again")
        urls = [_address(url) for url in urls]
        self.http = Http(urls, key, concurrency, timeout)
        self.told = ", ".join(map(without_user, urls))
        try:
            with self.http.open():
                self.http.tries = 1 + len(urls)  # any may be dead, none must know all
                self.http.portal.call(self._find_out, model)
                del self.http.tries
        except MedcalError as error:
            advice = "start the server with a model that sees images, or name it (--served-as)"
            raise MedcalError(f"{self.told}: {error}: {advice}") from None
        self.name, self.cannot = self.server.model, self.server.cannot()
        self.can = rq.CAN - set(self.cannot)

    # --- finding out ------------------------------------------------------------------------------

    async def _find_out(self, model):
        """Ask for what servers may or may not do; the answers say what this one can."""
        model = model or await self.http.ask("", "/models", _first_listed)
        if "***" in self.http.masked(model):
            raise MedcalError("it names its model like the key: refused")
        server = self.server = rq.Server(model)
        picture, asked = Picture("probe", grey_png()), _Asked(self.http, server)
        prompt, described = (Prompt(picture, (q,)) for q in (_QUESTION, DESCRIBE))
        url, name = await asked.image(picture)

        async def told(*shown, **more):
            """The reply to a question with the image shown so; None where it is refused."""
            with suppress(MedcalError):
                return await asked.post(rq.chat(server, prompt, 1, **more), picture, *shown)

        reply = await told(url, logprobs=True, top_logprobs=20)
        reply = reply or await told(url, logprobs=True, top_logprobs=5)
        reply = reply or await asked.post(rq.chat(server, prompt, 1), picture, url)
        with suppress(TypeError, AttributeError, KeyError):
            for entry in rq.token_entries(reply["choices"][0])[:1]:
                server.top = max(1, len(entry.get("top_logprobs") or ()))
        words = [Labels(prompt, ("yes, it is", "no, it is not"))]
        server.scores = bool(await self._answers(words, scores=True))
        calls = [Generate(described, 12, f"probe|{i}", 2.0) for i in range(5)]
        server.draws = len({reply.text for reply in await self._answers(calls)}) > 1
        server.several = server.draws and bool(await self._answers(calls[:2], several=True))
        known = await told(url, name) and await told(None, name)
        server.names = bool(known) and not await told(None, name[::-1])
        self.provenance = await self._provenance(reply)

    async def _answers(self, calls, **more):
        """What a server that could do `more` gives, without failures."""
        found = await _Asked(self.http, replace(self.server, **more)).results(calls)
        return [one for one in found if not isinstance(one, Failure)]

    async def _provenance(self, reply):
        """What stands beside each answer: server, version, and what is known of its settings."""
        flags = [f"{name}={value}" for name, value in vars(self.server).items() if name != "model"]
        with suppress(Exception):  # vLLM tells more
            *_, page = await self.http.once(self.http.urls[0], "/../metrics")
            told = rb'\b(?:enable_prefix_caching|block_size|cache_dtype)="[\w.]+"'
            flags += dict.fromkeys(map(bytes.decode, re.findall(told, page)))
        version = str(reply.get("system_fingerprint") or "not told")
        shown = {"server": self.told, "server_version": version, "server_flags": " ".join(flags)}
        return {name: self.http.masked(text)[:200] for name, text in shown.items()}

    # --- asking -----------------------------------------------------------------------------------

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

        about = lru_cache(1)(lambda image: _Asked(self.http, self.server))
        async with asyncio.TaskGroup() as group:
            for todo, programs in batches:
                ended, failed, tasks = {}, {}, []
                for i, (item, _) in enumerate(todo):
                    asked = about(item.image_id or item.item_id)
                    async with self.http.room:
                        work = self._follow(i, programs[i], asked, ended, failed)
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
            failed[i] = f"{type(error).__name__}: {error}"[:200]

    def show(self, prompt):
        """Return the turns that are sent; their template is the server's."""
        return "[image]\n" + "\n\n".join(prompt.turns)


class _Asked:
    """What is known while an image is asked about: results of calls, and pictures as sent."""

    def __init__(self, http, server):
        self.http, self.server = http, server
        self.calls, self.images, self.there = {}, {}, {}

    async def results(self, calls):
        """Answer calls, in order; equal ones are asked once, samples of a prompt together."""
        fresh = [call for call in dict.fromkeys(calls) if call not in self.calls]
        for members in rq.grouped(fresh, self.server):
            task = asyncio.create_task(self._answer(members))
            self.calls.update((call, (task, i)) for i, call in enumerate(members))
        return [(await task)[i] for task, i in map(self.calls.get, calls)]

    async def _answer(self, calls):
        """Answer what is one request."""
        send = partial(self.send, picture=calls[0].prompt.picture)
        async with self.http.room:
            started = time.perf_counter()
            found = await rq.answer(calls, self.server, send)
            taken = {"seconds": time.perf_counter() - started}
        return [one if isinstance(one, Failure) else replace(one, **taken) for one in found]

    async def image(self, picture):
        """Return a picture as it is sent, and its name; made in a thread, once."""
        if picture not in self.images:
            self.images[picture] = asyncio.create_task(asyncio.to_thread(_named, picture))
        return await self.images[picture]

    async def send(self, body, picture):
        """Send a request; where the server finds images by name, the bytes of each once."""
        url, name = await self.image(picture)
        if not self.server.names:
            return await self.post(body, picture, url)
        if picture not in self.there:
            self.there[picture] = asyncio.create_task(self.post(body, picture, url, name))
            return await self.there[picture]
        await asyncio.wait([self.there[picture]])
        if self.there[picture].exception() is None:
            with suppress(Refused):  # the server let go of it, or is another one now
                return await self.post(body, picture, None, name)
        return await self.post(body, picture, url, name)

    async def post(self, body, picture, url, name=""):
        """Send a request with the image's bytes, its name, or both."""
        parts = rq.fill(body, url, name)
        return await self.http.ask(picture.key, rq.CHAT, rq.check_chat, parts)


def _first_listed(told):
    """The first model of a list."""
    if name := rq.clean(told["data"][0]["id"]):
        return name
    raise ValueError("it lists no model")


def _named(picture):
    url = rq.data_url(*rq.image_file(picture))
    return url, hashlib.blake2b(url, digest_size=16).hexdigest()


def _address(url):
    """Return the address of an endpoint, with /v1 at its end."""
    with suppress(ValueError):
        if urlsplit(url).hostname and urlsplit(url).port != 0:
            return url.rstrip("/").removesuffix("/v1") + "/v1"
    raise MedcalError(f"{url.rpartition('@')[2]}: no address: write http://HOST:PORT/v1")


def find(name, *, served_as=None, concurrency=16, timeout=120.0, **reach):
    """Return the model at one or several URLs, separated by commas; None where the name is none."""
    if not name.startswith(("http://", "https://")):
        return None
    urls = [url.strip() for url in name.split(",") if url.strip()]
    return ServedModel(urls, model=served_as, concurrency=concurrency, timeout=timeout)
