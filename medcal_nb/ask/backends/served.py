"""Models behind a URL: OpenAI-compatible endpoints with images.

Anything that answers ``/v1/chat/completions`` with an image as a data URL can be asked: vLLM,
SGLang, ``transformers serve``, llama.cpp, hosted APIs. What a server can do beyond that is found
out by asking it once: log-probabilities, sampling, log-probabilities of given words.
"""

import asyncio
import io
import json
import os
import re
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

#: Seconds in which a connection must open.
_CONNECT = 10.0

#: What a URL may be: user, password and query would be shown.
_ADDRESS = re.compile(r"https?://[^@?#\s]+")

#: Statuses below 500 after which asking again can help.
_AGAIN = frozenset((408, 409, 425, 429))

#: How many programs are begun for each request that may be under way.
_AHEAD = 3


class ServedModel(Backend):
    """A model behind a URL.

    Parameters
    ----------
    url : str
        Of the endpoint; ``/v1`` is added where it is missing.
    served_as : str, optional
        Its name there; by default the first that the server lists.
    concurrency : int
        Requests under way at once.
    timeout : float
        Seconds a request may take.

    Notes
    -----
    A key is read from the environment variable ``OPENAI_API_KEY``. Sampled replies pass a seed
    made of item and sample; whether the server keeps it apart from its other requests is up to it.
    """

    #: How often a request is tried, after pauses that double from so many seconds.
    tries = 7
    pause = 1.0

    def __init__(
        self,
        url: str,
        *,
        served_as: str | None = None,
        concurrency: int = 16,
        timeout: float = 120.0,
    ) -> None:
        if not _ADDRESS.fullmatch(url):
            raise MedcalError(
                "an address without http://, or with more: write http://HOST:PORT/v1"
            )
        self.url = url.rstrip("/").removesuffix("/v1") + "/v1"
        self.key = os.environ.get("OPENAI_API_KEY", "").strip()
        if not self.key.isascii() or not self.key.isprintable():
            raise MedcalError(
                "OPENAI_API_KEY holds a character that no key has: set it again"
            )
        self.concurrency = concurrency
        self.timeout = timeout
        usual = self.tries
        self.tries = 2  # a server that is not there is named soon
        try:
            with self.open() as portal:
                portal.call(self._find_out, served_as)
        except Exception as error:  # it may answer anything
            advice = "start the server with a model that sees images, or name it (--served-as)"
            raise MedcalError(f"{self.url}: {error}: {advice}") from error
        self.tries = usual
        self.can = WRITING - set(self.cannot)

    # --- finding out ------------------------------------------------------------------------------

    async def _find_out(self, served_as: str | None) -> None:
        """Ask for what servers may or may not do; the answers say what this one can.

        What is known of its version and abilities stands beside each answer.
        """
        name = served_as or await self.ask(
            "/models", lambda page: page["data"][0]["id"]
        )
        if not (name and isinstance(name, str)) or "***" in self.masked(name):
            raise MedcalError("it lists no model, or calls it like the key")
        self.name = rq.clean(name)
        prompt = Prompt(Picture("probe", grey_png()), (DESCRIBE,))
        reply, top = await self._listed(prompt)
        words = [Labels(prompt, ("yes, it is", "no, it is not"))]
        scores = await self._tried(words, top=top, scores=True)
        samples = [Generate(prompt, 12, "probe", i, 2.0) for i in range(5)]
        draws = len({reply.text for reply in await self._tried(samples)}) > 1
        self.able: dict[str, Any] = {"top": top, "scores": bool(scores)}
        self.cannot = {}
        if not draws:
            self.cannot["sample"] = (
                "the server gives the same reply at every temperature and seed"
            )
        if top == 0:
            self.cannot["logprobs"] = "the server returns no log-probabilities"
        if top < 2:
            self.cannot["labels"] = "the server lists no likely first tokens of a reply"
        server = {
            "server": self.url,
            "server_version": rq.version_of(reply),
        }
        self.provenance = {
            name: self.masked(text)[:200] for name, text in server.items()
        }

    async def _listed(self, prompt: Prompt) -> tuple[rq.Body, int]:
        """Return a reply, and how many log-probabilities stand at its first token.

        Some servers refuse what they do not know, some drop it without a word.
        """
        body = rq.chat(self.name, prompt.turns, 1)
        url = rq.data_url(prompt.picture)
        for top in (20, 5):
            with suppress(MedcalError):
                listing = body | {"logprobs": True, "top_logprobs": top}
                reply = await self.post(listing, url)
                return reply, rq.n_listed(reply)
        return await self.post(body, url), 0

    async def _tried(self, calls: Sequence[Call], **could: Any) -> list[Any]:
        """Return what a server that could do this gives, without failures."""
        results = await self.asked(**could).results(calls)
        return [one for one in results if not isinstance(one, Failure)]

    # --- asking -----------------------------------------------------------------------------------

    def stream(
        self, batches: Iterable[tuple[Todo, list[Program]]]
    ) -> Generator[tuple[Todo, list[Outcome]], None, None]:
        """Run the programs of many batches, as many requests under way as allowed."""
        waiting: set[Future] = set()
        with self.open() as portal:
            self.room = asyncio.Semaphore(_AHEAD * self.concurrency)
            # items of an image stand side by side
            self.about = lru_cache(1)(lambda image: self.asked(**self.able))
            for batch in batches:
                running, _ = portal.start_task(self._run, *batch)
                done, waiting = wait({running, *waiting}, timeout=0)
                yield from (batch.result() for batch in done)
            yield from (batch.result() for batch in as_completed(waiting))

    def asked(self, **able: Any) -> rq.Asked:
        """Begin to ask about an image, which is read once."""

        @cache
        def shown(picture: Picture) -> asyncio.Task[bytes]:
            return asyncio.create_task(asyncio.to_thread(rq.data_url, picture))

        async def send(call: rq.Asking, body: rq.Body) -> rq.Body:
            return await self.post(body, await shown(call.prompt.picture))

        return rq.Asked(self.name, send, gate=self.gate, **able)

    async def post(self, body: rq.Body, url: bytes) -> rq.Body:
        """Send a request that shows the image of a data URL."""
        return await self.ask(rq.CHAT, rq.check_chat, rq.fill(body, url))

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

    async def ask(self, path: str, read: Callable, body: bytes = b"") -> Any:
        """Send a request, again after a pause where that can help.

        `body` is posted; without it a page is got. Returns what `read` makes of the answer, a table
        of JSON; it raises where that has another form.

        Raises
        ------
        MedcalError
            When no try got an answer, or the server refuses.
        """
        problem = ""
        pause = 0.0
        for n in range(self.tries):
            await asyncio.sleep(pause)
            pause = self.pause * 2**n
            try:
                status, answer = await self.once(path, body)
                if status < 300:
                    page = json.loads(answer)
                    if self.key:  # however a server has written it
                        page = json.loads(self.masked(json.dumps(page)))
                    return read(page)
                problem = f"HTTP {status}: {answer[:3000].decode(errors='replace')}"
            except (
                Exception
            ) as error:  # whatever a server sends is that request's failure
                status = 500
                problem = f"{type(error).__name__}: {str(error) or 'not in time'}"
            problem = " ".join(self.masked(problem).split())[:300]
            if status < 500 and status not in _AGAIN:
                raise MedcalError(problem)
        raise MedcalError(f"{problem} ({self.tries} tries)")

    async def once(self, path: str, body: bytes = b"") -> tuple[int, bytearray]:
        """Return status and body, of which no more than so much is read."""
        async with self.client.request(
            "POST" if body else "GET",
            self.url + path,
            allow_redirects=False,
            data=io.BytesIO(body) if body else None,
        ) as reply:
            answer = bytearray()
            async for part in reply.content.iter_any():
                answer += part
                if len(answer) > MOST_BYTES:
                    raise ValueError(f"a reply of more than {MOST_BYTES >> 20} MiB")
            return reply.status, answer


def find(
    name: str, *, device: str | None = None, revision: str | None = None, **reach: Any
) -> ServedModel | None:
    """Return the model at a URL; None where the name is none."""
    if not name.startswith(("http://", "https://")):
        return None
    return ServedModel(name, **reach)
