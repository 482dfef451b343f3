"""Models behind a URL: OpenAI-compatible endpoints with images.

Anything that answers ``/v1/chat/completions`` with an image as a data URL can be asked: vLLM,
SGLang, ``transformers serve``, llama.cpp, hosted APIs. What a server can do beyond that is found
out by asking it once: log-probabilities, sampling, several samples of one request (``n``),
log-probabilities of given words, images by their names (``uuid``).
"""

import asyncio
import os
import re
from concurrent.futures import as_completed, wait
from contextlib import suppress
from functools import cache, lru_cache
from urllib.parse import urlsplit

from medcal_nb.ask.backends import requests as rq
from medcal_nb.ask.backends.http import Http, Refused
from medcal_nb.ask.calls import WRITING, Failure, Generate, Labels, Picture, Prompt, grey_png
from medcal_nb.ask.prompts import DESCRIBE
from medcal_nb.errors import MedcalError

_QUESTION = "Is it blue? Answer yes or no."

#: How many programs are begun for each request that may be under way.
_AHEAD = 3


class ServedModel:
    """A model behind one or several URLs.

    Parameters
    ----------
    urls : list of str
        Endpoints of the same model, one per engine: all requests about an image go to one of them,
        as its cache holds that image. ``/v1`` is added where it is missing.
    served_as : str, optional
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

    def __init__(self, urls, *, served_as=None, concurrency=16, timeout=120.0):
        key = os.environ.get("OPENAI_API_KEY") or ""
        if not key.isascii() or not key.isprintable():
            raise MedcalError("OPENAI_API_KEY holds a character that no key has: set it again")
        urls = [_address(url) for url in urls]
        self.http, told = Http(urls, key, concurrency, timeout), ", ".join(urls)
        try:
            with self.http.open() as portal:
                self.http.tries = 1 + len(urls)  # any may be dead, none must know all
                portal.call(self._find_out, served_as)
                del self.http.tries
        except Exception as error:  # it may answer anything
            advice = "start the server with a model that sees images, or name it (--served-as)"
            raise MedcalError(f"{told}: {error}: {advice}") from None
        self.can = WRITING - set(self.cannot)

    # --- finding out ------------------------------------------------------------------------------

    async def _find_out(self, name):
        """Ask for what servers may or may not do; the answers say what this one can."""
        name = name or await self.http.ask("", "/models", lambda told: told["data"][0]["id"])
        if not (name and isinstance(name, str)) or "***" in self.http.masked(name):
            raise MedcalError("it lists no model, or calls it like the key")
        self.name, picture, sent = rq.clean(name), Picture("probe", grey_png()), _Sent(self.http)
        prompt, described = (Prompt(picture, (q,)) for q in (_QUESTION, DESCRIBE))
        url, image = await sent.image(picture)

        async def reply_to(*shown, **more):
            """Ask with the image shown so: by its URL, its name, or both; None where refused."""
            with suppress(MedcalError):
                return await sent.post(rq.chat(self.name, prompt.turns, 1, **more), picture, *shown)

        async def answers(calls, **could):
            """What a server that could do this gives, without failures."""
            found = await rq.Asked(self.name, sent, **could).results(calls)
            return [one for one in found if not isinstance(one, Failure)]

        reply = await reply_to(url, logprobs=True, top_logprobs=20)
        reply = reply or await reply_to(url, logprobs=True, top_logprobs=5)
        reply = reply or await sent.post(rq.chat(self.name, prompt.turns, 1), picture, url)
        entries = rq.token_entries(reply["choices"][0])
        top = max(1, len(entries[0].get("top_logprobs") or ())) if entries else 0
        words = [Labels(prompt, ("yes, it is", "no, it is not"))]
        calls = [Generate(described, 12, f"probe|{i}", 2.0) for i in range(5)]
        scores = bool(await answers(words, top=top, scores=True))
        draws = len({reply.text for reply in await answers(calls)}) > 1
        several = draws and bool(await answers(calls[:2], several=True))
        known = await reply_to(url, image) and await reply_to(None, image)
        self.names = bool(known) and not await reply_to(None, image[::-1])
        self.able = {"top": top, "several": several, "scores": scores}
        why = {
            "sample": not draws and "the server gives the same reply at every temperature and seed",
            "logprobs": not top and "the server answers without log-probabilities",
            "labels": top < 2 and "the server does not list the likely first tokens of a reply",
        }
        self.cannot = {name: reason for name, reason in why.items() if reason}
        self.provenance = await self._provenance(reply)

    async def _provenance(self, reply):
        """What stands beside each answer: server, version, and what is known of its settings."""
        flags = [f"{name}={value}" for name, value in {**self.able, "names": self.names}.items()]
        with suppress(Exception):  # vLLM tells more
            *_, page = await self.http.once(self.http.urls[0], "/../metrics")
            told = r'\b(?:enable_prefix_caching|block_size|cache_dtype)="[\w.]+"'
            flags += dict.fromkeys(re.findall(told, page.decode()))
        told = {"server": ", ".join(self.http.urls), "server_flags": " ".join(flags)}
        told["server_version"] = rq.version(reply)
        return {name: self.http.masked(text)[:200] for name, text in told.items()}

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
        waiting = set()
        with self.http.open() as portal:
            self.room = asyncio.Semaphore(_AHEAD * self.http.concurrency)
            self.about = lru_cache(1)(lambda image: self.asked())  # its items stand side by side
            for batch in batches:
                running, _ = portal.start_task(self._run, *batch)
                done, waiting = wait({running, *waiting}, timeout=0)
                yield from (batch.result() for batch in done)
            yield from (batch.result() for batch in as_completed(waiting))

    def asked(self):
        """Begin to ask about an image."""
        return rq.Asked(self.name, _Sent(self.http, self.names), **self.able)

    async def _run(self, todo, programs, *, task_status):
        """Run the programs of a batch, each begun when there is room; return what became."""
        tasks = []
        for (item, _), program in zip(todo, programs, strict=True):
            await self.room.acquire()
            tasks.append(asyncio.create_task(self.about(item.image_id).follow(program)))
            tasks[-1].add_done_callback(lambda _: self.room.release())
        task_status.started()  # the next batch may be
        return todo, await asyncio.gather(*tasks)

    def show(self, prompt):
        """Return the turns that are sent; their template is the server's."""
        return "[image]\n" + "\n\n".join(prompt.turns)


class _Sent:
    """Sends requests about an image; what is known of it meanwhile."""

    def __init__(self, http, names=False):
        self.http, self.names, self.there = http, names, {}
        self.image = cache(lambda picture: asyncio.create_task(asyncio.to_thread(_image, picture)))

    async def __call__(self, call, body):
        """Send a request; where the server finds images by name, the bytes of each once."""
        picture = call.prompt.picture
        url, name = await self.image(picture)
        if not self.names:
            return await self.post(body, picture, url)
        if picture not in self.there:
            self.there[picture] = asyncio.create_task(self.post(body, picture, url, name))
            return await self.there[picture]
        await asyncio.wait([self.there[picture]])
        with suppress(Refused):  # it never came, the server let go of it, or is another one now
            return await self.post(body, picture, None, name)
        return await self.post(body, picture, url, name)

    async def post(self, body, picture, url, name=""):
        """Send a request with the image's bytes, its name, or both."""
        parts = rq.fill(body, url, name)
        return await self.http.ask(picture.key, rq.CHAT, rq.check_chat, parts)


def _image(picture):
    """Return a picture as a data URL, and its name."""
    name, data = rq.image_file(picture)
    return rq.data_url(name, data), name


def _address(url):
    """Return the address of an endpoint, with /v1 at its end."""
    with suppress(ValueError):
        if urlsplit(url).hostname and urlsplit(url).port != 0 and not {"@", "?"} & set(url):
            return url.rstrip("/").removesuffix("/v1") + "/v1"
    shown = url.rpartition("@")[2].partition("?")[0]
    raise MedcalError(f"{shown}: no address: write http://HOST:PORT/v1, the key apart from it")


def find(name, *, device=None, revision=None, **reach):
    """Return the model at one or several URLs, separated by commas; None where the name is none."""
    if not name.startswith(("http://", "https://")):
        return None
    return ServedModel(name.replace(",", " ").split(), **reach)
