"""Models behind a URL: OpenAI-compatible endpoints with images.

Anything that answers ``/v1/chat/completions`` with an image as a data URL can be asked: vLLM,
SGLang, ``transformers serve``, llama.cpp, hosted APIs. What a server can do beyond that is found
out by asking it once: log-probabilities, sampling, several samples of one request (``n``),
log-probabilities of given words, images by their names (``uuid``).
"""

import asyncio
import hashlib
import json
import os
import re
import time
from collections.abc import (
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Sequence,
)
from concurrent.futures import Future, as_completed, wait
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import aiohttp

from medcal_nb.ask.backends import requests as rq
from medcal_nb.ask.calls import (
    WRITING,
    Backend,
    Call,
    Failure,
    Generate,
    Labels,
    Outcome,
    Picture,
    Program,
    Prompt,
    Todo,
    grey_png,
)
from medcal_nb.ask.prompts import DESCRIBE
from medcal_nb.errors import MedcalError

if TYPE_CHECKING:
    from anyio.abc import TaskStatus
    from anyio.from_thread import BlockingPortal

#: Bytes of a reply that are read; more is a fault.
MOST_BYTES = 1 << 25

#: Seconds in which a connection must open; seconds for which a URL that opens none is left alone.
_CONNECT = 10.0
_REST = 30.0
_UNREACHED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)

#: What a URL may be: user, password and query would be shown.
_ADDRESS = re.compile(r"https?://[^@?#\s]+")

#: Statuses below 500 after which asking again can help.
_AGAIN = frozenset((408, 409, 425, 429))

#: How many programs are begun for each request that may be under way.
_AHEAD = 3


class Refused(MedcalError):
    """A server says no, and will again."""


class ServedModel(Backend):
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

    #: How often a request is tried, after pauses that double from so many seconds.
    tries = 6
    pause = 0.5

    def __init__(
        self,
        urls: list[str],
        *,
        served_as: str | None = None,
        concurrency: int = 16,
        timeout: float = 120.0,
    ) -> None:
        if not all(map(_ADDRESS.fullmatch, urls)):
            raise MedcalError(
                "an address without http://, or with more: write http://HOST:PORT/v1"
            )
        self.urls = [url.rstrip("/").removesuffix("/v1") + "/v1" for url in urls]
        self.where = ", ".join(self.urls)
        self.down = dict.fromkeys(self.urls, 0.0)
        self.key = os.environ.get("OPENAI_API_KEY", "").strip()
        if not self.key.isascii() or not self.key.isprintable():
            raise MedcalError(
                "OPENAI_API_KEY holds a character that no key has: set it again"
            )
        self.concurrency = concurrency
        self.timeout = timeout
        usual = self.tries
        self.tries = 1 + len(urls)  # any may be dead, none must know all
        try:
            with self.open() as portal:
                portal.call(self._find_out, served_as)
        except Exception as error:  # it may answer anything
            advice = "start the server with a model that sees images, or name it (--served-as)"
            raise MedcalError(f"{self.where}: {error}: {advice}") from error
        self.tries = usual
        self.can = WRITING - set(self.cannot)

    # --- finding out ------------------------------------------------------------------------------

    async def _find_out(self, served_as: str | None) -> None:
        """Ask for what servers may or may not do; the answers say what this one can.

        What is known of its version and abilities stands beside each answer.
        """
        name = served_as or await self.ask(
            "", "/models", lambda page: page["data"][0]["id"]
        )
        if not (name and isinstance(name, str)) or "***" in self.masked(name):
            raise MedcalError("it lists no model, or calls it like the key")
        self.name = rq.clean(name)
        probe = _Probe(self)
        reply, top, absent = await probe.listed()
        scores = await probe.scores(top)
        draws, several = await probe.draws()
        self.names = await probe.finds_names()
        self.able: dict[str, Any] = {"top": top, "several": several, "scores": scores}
        why = {
            "sample": "the server gives the same reply at every temperature and seed",
            "logprobs": f"the server's log-probabilities are {absent}",
            "labels": f"the likely first tokens of a reply are {absent}",
        }
        can = {"sample": draws, "logprobs": top > 0, "labels": top > 1}
        self.cannot = {name: why[name] for name in why if not can[name]}
        known = self.able | {"names": self.names}
        flags = [f"{name}={value}" for name, value in known.items()]
        server = {
            "server": self.where,
            "server_flags": " ".join(flags),
            "server_version": rq.version_of(reply),
        }
        self.provenance = {
            name: self.masked(text)[:200] for name, text in server.items()
        }

    # --- asking -----------------------------------------------------------------------------------

    def stream(
        self, batches: Iterable[tuple[Todo, list[Program]]]
    ) -> Generator[tuple[Todo, list[Outcome]], None, None]:
        """Run the programs of many batches, as many requests under way as allowed."""
        waiting: set[Future] = set()
        with self.open() as portal:
            self.room = asyncio.Semaphore(_AHEAD * self.concurrency)
            self.about = lru_cache(1)(
                lambda image: self.asked()
            )  # its items stand side by side
            for batch in batches:
                running, _ = portal.start_task(self._run, *batch)
                done, waiting = wait({running, *waiting}, timeout=0)
                yield from (batch.result() for batch in done)
            yield from (batch.result() for batch in as_completed(waiting))

    def asked(self) -> rq.Asked:
        """Begin to ask about an image."""
        return rq.Asked(self.name, _Sent(self, self.names), gate=self.gate, **self.able)

    async def _run(
        self, todo: Todo, programs: list[Program], *, task_status: "TaskStatus[None]"
    ) -> tuple[Todo, list[Outcome]]:
        """Run the programs of a batch, each begun when there is room; return what became."""
        tasks = []
        for (item, _), program in zip(todo, programs, strict=True):
            await self.room.acquire()
            tasks.append(asyncio.create_task(self.about(item.image_id).follow(program)))
            tasks[-1].add_done_callback(lambda _: self.room.release())
        task_status.started()  # the next batch may be
        return todo, await asyncio.gather(*tasks)

    # --- requests ---------------------------------------------------------------------------------

    @contextmanager
    def open(self) -> "Iterator[BlockingPortal]":
        """Open the client; the portal calls coroutine functions on its loop from other threads."""
        from anyio.from_thread import start_blocking_portal

        with (
            start_blocking_portal() as portal,
            portal.wrap_async_context_manager(self._opened()),
        ):
            yield portal

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[None]:
        headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
        own = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        self.gate = asyncio.Semaphore(self.concurrency)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.concurrency),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(self.timeout, sock_connect=_CONNECT),
            headers=headers | own,
            auto_decompress=False,
        ) as self.client:
            yield

    def masked(self, text: str) -> str:
        """Return what a server or a library says, without the key."""
        return text.replace(self.key, "***") if self.key else text

    def pick(self, place: str, failed: list[str]) -> str:
        """Return the URL for what belongs to `place`, always the same; a dead one's share moves.

        Of those that can be reached it is the first in the place's own order, after those that
        stand in `failed` (once for each try).
        """

        def order(url: str) -> tuple[bool, int, bytes]:
            own = hashlib.blake2b(f"{place}\0{url}".encode()).digest()
            return self.down[url] > time.monotonic(), failed.count(url), own

        return min(self.urls, key=order)

    async def ask(
        self, place: str, path: str, read: Callable, body: Sequence[bytes] = ()
    ) -> Any:
        """Send a request, again after a pause where that can help.

        `body` is posted, in parts, so that the requests that wait share the bytes of their image;
        without it a page is got. Returns what `read` makes of the answer, a table of JSON; it
        raises where that has another form.

        Raises
        ------
        MedcalError
            When no try got an answer; `Refused` where trying again does not help.
        """
        failed: list[str] = []
        wait = 0.0
        while len(failed) < self.tries:
            await asyncio.sleep(wait)
            url = self.pick(place, failed)
            wait = min(8.0, self.pause * 2 ** len(failed))
            failed.append(url)
            try:
                status, after, answer = await self.once(url, path, body)
                if status < 300:
                    page = json.loads(answer)
                    if self.key:  # however a server has written it
                        page = json.loads(self.masked(json.dumps(page)))
                    return read(page)
                problem = f"HTTP {status}: {answer[:3000].decode(errors='replace')}"
                wait = max(wait, min(60.0, float(after) if after.isdecimal() else 0.0))
            except (
                Exception
            ) as error:  # whatever a server sends is that request's failure
                status = 500
                problem = f"{type(error).__name__}: {str(error) or 'not in time'}"
                if isinstance(error, _UNREACHED):
                    self.down[url] = time.monotonic() + _REST
            problem = " ".join(self.masked(problem).split())[:300]
            if status < 500 and status not in _AGAIN:
                raise Refused(problem)
        raise MedcalError(f"{problem} ({len(failed)} tries)")

    async def once(
        self, url: str, path: str, body: Sequence[bytes] = ()
    ) -> tuple[int, str, bytearray]:
        """Return status, Retry-After and body, of which no more than so much is read."""
        size = {"Content-Length": str(sum(map(len, body)))}
        async with self.client.request(
            "POST" if body else "GET",
            url + path,
            allow_redirects=False,
            data=_each(body) if body else None,
            headers=size if body else None,
        ) as reply:
            answer = bytearray()
            async for part in reply.content.iter_any():
                answer += part
                if len(answer) > MOST_BYTES:
                    raise ValueError(f"a reply of more than {MOST_BYTES >> 20} MiB")
            return reply.status, reply.headers.get("Retry-After", ""), answer


async def _each(parts: Sequence[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


class _Probe:
    """Questions about a grey image, one for each thing that a server may or may not do."""

    def __init__(self, model: ServedModel) -> None:
        self.model = model
        self.sent = _Sent(model)
        self.picture = Picture("probe", grey_png())
        self.prompt = Prompt(self.picture, (DESCRIBE,))

    async def ask(self, url: bytes | None, name: str = "", **more: Any) -> rq.Body:
        """Ask with the image shown so: by its URL, its name, or both."""
        body = rq.chat(self.model.name, self.prompt.turns, 1, **more)
        return await self.sent.post(body, self.picture, url, name)

    async def answered(
        self, url: bytes | None, name: str = "", **more: Any
    ) -> rq.Body | None:
        """Return the reply to the same; None where it is refused."""
        with suppress(MedcalError):
            return await self.ask(url, name, **more)
        return None

    async def results(self, calls: Sequence[Call], **could: Any) -> list[Any]:
        """Return what a server that could do this gives, without failures."""
        found = await rq.Asked(self.model.name, self.sent, **could).results(calls)
        return [one for one in found if not isinstance(one, Failure)]

    async def listed(self) -> tuple[rq.Body, int, str]:
        """Return a reply, how many log-probabilities stand at its first token, and why none do.

        Some servers drop what they do not know without a word, or fill it with zeros.
        """
        url, _ = await self.sent.image(self.picture)
        reply = await self.answered(url, logprobs=True, top_logprobs=20)
        reply = reply or await self.answered(url, logprobs=True, top_logprobs=5)
        reply = reply or await self.ask(url)
        with suppress(AttributeError, LookupError, TypeError):
            entries = rq.token_entries(reply["choices"][0])
            listed = [
                one for entry in entries for one in entry.get("top_logprobs") or ()
            ]
            if len(listed) > 1 and not any(one["logprob"] for one in listed):
                return reply, 0, "all zero"
            top = len(entries[0].get("top_logprobs") or ())
            return reply, max(1, top), "not listed"
        return reply, 0, "not returned"  # none, or of another form

    async def scores(self, top: int) -> bool:
        """Whether it scores words that it is given."""
        words = [Labels(self.prompt, ("yes, it is", "no, it is not"))]
        return bool(await self.results(words, top=top, scores=True))

    async def draws(self) -> tuple[bool, bool]:
        """Whether it draws samples, and whether it gives several of one request."""
        calls = [Generate(self.prompt, 12, "probe", i, 2.0) for i in range(5)]
        draws = len({reply.text for reply in await self.results(calls)}) > 1
        return draws, draws and bool(await self.results(calls[:2], several=True))

    async def finds_names(self) -> bool:
        """Whether it finds an image that it has seen by its name, and no other one."""
        url, name = await self.sent.image(self.picture)
        if not await self.answered(url, name) or not await self.answered(None, name):
            return False
        never_shown = name[::-1]
        return not await self.answered(None, never_shown)


class _Sent:
    """Sends requests about an image; what is known of it meanwhile."""

    def __init__(self, model: ServedModel, names: bool = False) -> None:
        self.model = model
        self.names = names
        self.there: dict[Picture, asyncio.Task[rq.Body]] = {}
        self.image = cache(self._image)

    def _image(self, picture: Picture) -> asyncio.Task[tuple[bytes, str]]:
        return asyncio.create_task(asyncio.to_thread(rq.data_url, picture))

    async def __call__(self, call: rq.Asking, body: rq.Body) -> rq.Body:
        """Send a request; where the server finds images by name, the bytes of each once."""
        picture = call.prompt.picture
        url, name = await self.image(picture)
        if not self.names:
            return await self.post(body, picture, url)
        if sent := self.there.get(picture):
            await asyncio.wait([sent])
            with suppress(Refused):  # it never came, or the server let go of it
                return await self.post(body, picture, None, name)
        self.there[picture] = asyncio.create_task(self.post(body, picture, url, name))
        return await self.there[picture]

    async def post(
        self, body: rq.Body, picture: Picture, url: bytes | None, name: str = ""
    ) -> rq.Body:
        """Send a request with the image's bytes, its name, or both."""
        parts = rq.fill(body, url, name)
        return await self.model.ask(picture.key, rq.CHAT, rq.check_chat, parts)


def find(
    name: str, *, device: str | None = None, revision: str | None = None, **reach: Any
) -> ServedModel | None:
    """Return the model at one or several URLs, separated by commas; None where the name is none."""
    if not name.startswith(("http://", "https://")):
        return None
    return ServedModel(name.replace(",", " ").split(), **reach)
