"""Models behind a URL: OpenAI-compatible endpoints with images.

Anything that answers ``/v1/chat/completions`` with an image as a data URL can be asked: vLLM,
SGLang, ``transformers serve``, llama.cpp, hosted APIs. What a server can do beyond that is found
out by asking it once: log-probabilities, sampling, several samples of one request (``n``),
log-probabilities of given words, images by their names (``uuid``).
"""

import asyncio
import hashlib
import os
import re
import time
from concurrent.futures import as_completed
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial
from urllib.parse import urlsplit

from medcal_nb.ask.backends import requests as rq
from medcal_nb.ask.backends.http import Http, Refused, without_user
from medcal_nb.ask.calls import WRITING, Failure, Generate, Labels, Picture, Prompt, grey_png
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
            with self.http.open() as portal:
                self.http.tries = 1 + len(urls)  # any may be dead, none must know all
                portal.call(self._find_out, model)
                del self.http.tries
        except MedcalError as error:
            advice = "start the server with a model that sees images, or name it (--served-as)"
            raise MedcalError(f"{self.told}: {error}: {advice}") from None
        self.name, self.cannot = self.server.model, self.server.cannot()
        self.can = WRITING - set(self.cannot)

    # --- finding out ------------------------------------------------------------------------------

    async def _find_out(self, model):
        """Ask for what servers may or may not do; the answers say what this one can."""
        model = model or await self.http.ask("", "/models", lambda told: told["data"][0]["id"])
        if not (model and isinstance(model, str)) or "***" in self.http.masked(model):
            raise MedcalError("it lists no model, or calls it like the key")
        server = self.server = rq.Server(rq.clean(model))
        picture, asked = Picture("probe", grey_png()), _Asked(self.http, server)
        prompt, described = (Prompt(picture, (q,)) for q in (_QUESTION, DESCRIBE))
        url, name = await asked.image(picture)

        async def reply_to(*shown, **more):
            """Ask with the image shown so: by its URL, its name, or both; None where refused."""
            with suppress(MedcalError):
                return await asked.post(rq.chat(server, prompt, 1, **more), picture, *shown)

        reply = await reply_to(url, logprobs=True, top_logprobs=20)
        reply = reply or await reply_to(url, logprobs=True, top_logprobs=5)
        reply = reply or await asked.post(rq.chat(server, prompt, 1), picture, url)
        with suppress(TypeError, AttributeError, KeyError):
            for entry in rq.token_entries(reply["choices"][0])[:1]:
                server.top = max(1, len(entry.get("top_logprobs") or ()))
        words = [Labels(prompt, ("yes, it is", "no, it is not"))]
        server.scores = bool(await self._answers(words, scores=True))
        calls = [Generate(described, 12, f"probe|{i}", 2.0) for i in range(5)]
        server.draws = len({reply.text for reply in await self._answers(calls)}) > 1
        server.several = server.draws and bool(await self._answers(calls[:2], several=True))
        known = await reply_to(url, name) and await reply_to(None, name)
        server.names = bool(known) and not await reply_to(None, name[::-1])
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
            told = r'\b(?:enable_prefix_caching|block_size|cache_dtype)="[\w.]+"'
            flags += dict.fromkeys(re.findall(told, page.decode()))
        version = str(reply.get("system_fingerprint") or "not told")
        shown = {"server": self.told, "server_version": version, "server_flags": " ".join(flags)}
        return {name: self.http.masked(text)[:200] for name, text in shown.items()}

    # --- asking -----------------------------------------------------------------------------------

    def stream(self, batches):
        """Run the programs of many batches, as many requests under way as allowed.

        Parameters
        ----------
        batches : iterable of (list of (Item, Strategy), list of programs)
            Read as they are needed.

        Yields
        ------
        (list, list)
            What was to do of a batch, and what became of it, as
            :func:`medcal_nb.ask.run.run_programs` tells.
        """
        about, waiting = lru_cache(1)(lambda image: _Asked(self.http, self.server)), set()
        with self.http.open() as portal:
            for todo, programs in batches:
                asked = [about(item.image_id or item.item_id) for item, _ in todo]  # side by side
                running, _ = portal.start_task(self._run, todo, programs, asked)
                waiting.add(running)
                done = {batch for batch in waiting if batch.done()}
                waiting -= done
                yield from (batch.result() for batch in done)
            yield from (batch.result() for batch in as_completed(waiting))

    async def _run(self, todo, programs, asked, *, task_status):
        """Run the programs of a batch, each begun when few requests wait; return what became."""
        tasks = []
        for program, about in zip(programs, asked, strict=True):
            async with self.http.room:
                tasks.append(asyncio.create_task(self._follow(program, about)))
                await asyncio.sleep(0)  # its first requests are begun
        task_status.started()  # the next batch may be
        return todo, await asyncio.gather(*tasks)

    async def _follow(self, program, asked):
        """Run a program to its end; return its rows, or the failure that ends it."""
        results = None
        try:
            while True:
                results = await asked.results(program.send(results))
                if failures := [one for one in results if isinstance(one, Failure)]:
                    return failures[0]
        except StopIteration as stop:
            return stop.value
        except Exception as error:  # of a parser, for example
            return Failure(f"{type(error).__name__}: {error}"[:200])

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
            seconds = time.perf_counter() - started
        return [f if isinstance(f, Failure) else replace(f, seconds=seconds) for f in found]

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
    urls = name.replace(",", " ").split()
    return ServedModel(urls, model=served_as, concurrency=concurrency, timeout=timeout)
