"""Models behind a URL: OpenAI-compatible endpoints with images.

Anything that answers ``/v1/chat/completions`` with an image as a data URL can be asked: vLLM,
SGLang, ``transformers serve``, llama.cpp, hosted APIs. What a server can do beyond that is found
out by asking it once: log-probabilities, sampling, log-probabilities of given words.
"""

import asyncio
import io
import json
import os
import random
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
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache, partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import aiohttp

from medcal_nb.ask.backends import decisions as typed
from medcal_nb.ask.backends import requests as rq
from medcal_nb.ask.calls import (
    DECISIONS,
    WRITING,
    Backend,
    Call,
    Decide,
    Decided,
    Failure,
    Generate,
    Labels,
    Outcome,
    Pair,
    Picture,
    Program,
    Prompt,
    Todo,
    grey_png,
)
from medcal_nb.ask.prompts import DESCRIBE
from medcal_nb.errors import MedcalError

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

#: Bytes of a reply that are read; more is a fault.
MOST_BYTES = 1 << 25

#: Seconds in which a connection must open.
_CONNECT = 10.0

#: What a URL may be: user, password and query would be shown.
_ADDRESS = re.compile(r"https?://[^@?#\s]+")

#: Statuses below 500 after which asking again can help.
_AGAIN = frozenset((408, 409, 425))

#: The status of what a server will not do however often it is asked.
_NEVER = 501

#: Statuses of a server that has too much to do: no try is spent on them.
_LATER = frozenset((429, 503))

#: The longest pause between two tries at a busy server that does not say how long, in seconds.
_LONGEST = 60.0

#: Characters from which on a key is masked in messages: shorter ones are no secrets.
_MASKED = 4
#: From here on an answer that holds it is refused; "none" and "EMPTY" may be answers.
_SECRET = 12

#: How many programs are begun for each request that may be under way.
_AHEAD = 3


class _Repeated(MedcalError):
    """An answer repeats the key."""


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
    #: What has ended is handed on after so many seconds.
    held = 2.0
    #: Seconds in which a server that limits rates may put a request off.
    patience = 3600.0

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
        usual = self.tries, self.patience
        self.tries = 2  # a server that is not there is named soon
        self.patience = min(self.patience, 60.0)
        try:
            with self.open() as portal:
                portal.call(self._find_out, served_as)
        except Exception as error:  # it may answer anything
            advice = "start the server with a model that sees images, or name it (--served-as)"
            raise MedcalError(f"{self.url}: {error}: {advice}") from error
        self.tries, self.patience = usual
        self.can = (WRITING | {DECISIONS}) - set(self.cannot)

    # --- finding out ------------------------------------------------------------------------------

    async def _find_out(self, served_as: str | None) -> None:
        """Ask for what servers may or may not do; the answers say what this one can.

        What is known of its version and abilities stands beside each answer.
        """
        name = served_as or await self.ask(
            "/models", lambda page: page["data"][0]["id"]
        )
        if not (name and isinstance(name, str)):
            raise MedcalError("it lists no model")
        self.name = rq.clean(name)
        picture = Picture("probe", grey_png())
        self.form, why_none = await self._find_form(picture)
        self.able: dict[str, Any] = {}
        self.cannot = {} if self.form else {DECISIONS: why_none}
        self.provenance = {"server": self.masked(self.url)[:200]}
        try:
            await self._find_out_writing(Prompt(picture, (DESCRIBE,)))
        except MedcalError as error:
            if self.form is None:
                raise
            # a model that decides and does nothing else
            self.cannot |= dict.fromkeys(
                WRITING, f"the server writes no replies: {error}"
            )

    async def _find_form(self, picture: Picture) -> tuple[typed.Form | None, str]:
        """Find out how typed decisions are asked here, and note it."""

        async def send(path: str, body: bytes) -> rq.Body:
            return await self.ask(path, dict, body)

        url = rq.data_url(picture).decode()
        form, why_none = await typed.find_form(self.name, send, url)
        if form:
            self.offers = [f"typed decisions by /v1{form.path}, the image {form.image}"]
        return form, why_none

    async def _find_out_writing(self, prompt: Prompt) -> None:
        """Ask for replies: log-probabilities, samples, and where nothing else tells, words."""
        reply, top = await self._listed(prompt)
        words = [Labels(prompt, ("yes, it is", "no, it is not"))]
        # decisions take the place of labels that are probed word by word
        scores = [] if self.form else await self._tried(words, top=top, scores=True)
        samples = [Generate(prompt, 12, "probe", i, 2.0) for i in range(5)]
        at_once = {reply.text for reply in await self._tried(samples, many=True)}
        many = len(at_once) > 1
        draws = many or len({one.text for one in await self._tried(samples)}) > 1
        self.able = {"top": top, "scores": bool(scores), "many": many}
        if not draws:
            self.cannot["sample"] = (
                "the server gives the same reply at every temperature and seed"
            )
        if top == 0:
            self.cannot["logprobs"] = "the server returns no log-probabilities"
        if top < 2:
            self.cannot["labels"] = "the server lists no likely first tokens of a reply"
        self.provenance["server_version"] = self.masked(rq.version_of(reply))[:200]

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
        """Run the programs of many batches, as many requests under way as allowed.

        What has ended is handed on every two seconds: a kill loses no more.
        """
        ended: SimpleQueue[tuple[Pair, Outcome]] = SimpleQueue()
        under_way = 0
        with self.open() as portal:
            self.room = asyncio.Semaphore(_AHEAD * self.concurrency)
            self.about: rq.Asked | None = None
            self.image: str | None = None
            held: list[tuple[Pair, Outcome]] = []
            since = time.monotonic()
            pairs = (pair for batch in batches for pair in zip(*batch, strict=True))
            for pair, program in pairs:
                portal.call(self._begin, pair, program, ended)
                under_way += 1
                while not ended.empty():
                    held.append(ended.get())
                if held and time.monotonic() - since >= self.held:
                    yield _batch(held)
                    under_way -= len(held)
                    held, since = [], time.monotonic()
            portal.call(self._end_image)
            while under_way:
                with suppress(Empty):
                    held.append(ended.get(timeout=self.held))
                is_last = len(held) == under_way
                if held and (is_last or time.monotonic() - since >= self.held):
                    yield _batch(held)
                    under_way -= len(held)
                    held, since = [], time.monotonic()

    def asked(self, **able: Any) -> rq.Asked:
        """Begin to ask about an image, which is read once."""

        @cache
        def shown(picture: Picture) -> asyncio.Task[bytes]:
            return asyncio.create_task(asyncio.to_thread(rq.data_url, picture))

        async def send(call: rq.Asking, body: rq.Body) -> rq.Body:
            return await self.post(body, await shown(call.prompt.picture))

        async def decide(calls: Sequence[Decide]) -> list[Decided]:
            url = (await shown(calls[0].picture)).decode()
            form = self.form
            assert form is not None  # nothing else asks for decisions
            body = form.body(self.name, calls, url)
            return await self.ask(form.path, partial(typed.read_reply, calls), body)

        return rq.Asked(
            self.name,
            send,
            gate=self.gate,
            decide=decide if self.form else None,
            **able,
        )

    async def post(self, body: rq.Body, url: bytes) -> rq.Body:
        """Send a request that shows the image of a data URL."""
        return await self.ask(rq.CHAT, rq.check_chat, rq.fill(body, url))

    async def _end_image(self) -> None:
        """Send the questions about an image that wait for each other."""
        if self.about is not None:
            self.about.send_decisions()

    async def _begin(
        self, pair: Pair, program: Program, ended: "SimpleQueue[tuple[Pair, Outcome]]"
    ) -> None:
        """Begin a program once there is room; its outcome goes to a queue."""
        item, _ = pair
        # items of an image stand side by side
        if self.about is None or item.image_id != self.image:
            await self._end_image()
            self.image = item.image_id
            self.about = self.asked(gathers=True, **self.able)
        if self.room.locked():
            self.about.send_decisions()
        await self.room.acquire()
        task = asyncio.create_task(self.about.follow(program))

        def end(done: asyncio.Task[Outcome]) -> None:
            self.room.release()
            if not done.cancelled():
                ended.put((pair, done.result()))

        self.under_way.add(task)
        task.add_done_callback(self.under_way.discard)
        task.add_done_callback(end)

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
        self.under_way: set[asyncio.Task[Outcome]] = set()
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.concurrency),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(self.timeout, sock_connect=_CONNECT),
            headers=headers | own,
            auto_decompress=False,
        ) as self.client:
            yield

    def masked(self, text: str) -> str:
        """Return a message of a server or a library without the key."""
        return text.replace(self.key, "***") if len(self.key) >= _MASKED else text

    async def ask(self, path: str, read: Callable, body: bytes = b"") -> Any:
        """Send a request, again after a pause where that can help.

        `body` is posted; without it a page is got. Returns what `read` makes of the answer, a table
        of JSON; it raises where that has another form.

        Raises
        ------
        MedcalError
            When no try got an answer, or the server refuses.
        """
        now = asyncio.get_running_loop().time
        until = now() + self.patience
        left = self.tries
        pause = self.pause
        while True:
            wait: float | None = None
            try:
                status, answer, wait = await self.once(path, body)
                if status < 300:
                    return read(self._untold(json.loads(answer)))
                problem = f"HTTP {status}: {answer[:3000].decode(errors='replace')}"
            except _Repeated:
                raise
            except Exception as error:  # whatever a server sends fails that request
                status = 500
                problem = f"{type(error).__name__}: {str(error) or 'not in time'}"
            problem = " ".join(self.masked(problem).split())[:300]
            if status in _LATER:
                # of many that wait, no two begin again together
                wait = random.uniform(pause / 2, pause) if wait is None else wait
                if now() + wait > until:
                    raise MedcalError(
                        f"{problem} (asks to wait {wait:.0f} s; given up after "
                        f"{self.patience / 60:.0f} minutes)"
                    )
            elif status not in _AGAIN and (status < 500 or status == _NEVER):
                raise MedcalError(problem)
            else:
                left -= 1
                if not left:
                    raise MedcalError(f"{problem} ({self.tries} tries)")
                wait = pause
            await asyncio.sleep(wait)
            pause = min(2 * pause, max(_LONGEST, self.pause))

    def _untold(self, page: Any) -> Any:
        """Return a page that does not hold the key, or raise; a reply is never rewritten."""
        if self._holds_key(json.dumps(page, ensure_ascii=False)):
            raise _Repeated("the server's answer holds the key: it is not kept")
        return page

    def _holds_key(self, text: str) -> bool:
        """Whether a text repeats a key that is a secret."""
        return len(self.key) >= _SECRET and self.key in text

    async def once(
        self, path: str, body: bytes = b""
    ) -> tuple[int, bytearray, float | None]:
        """Return status, body, and the seconds that the server asks to wait.

        No more than so much of the body is read.
        """
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
            return reply.status, answer, _seconds(reply.headers.get("Retry-After", ""))


def _seconds(header: str) -> float | None:
    """Return the seconds of a ``Retry-After``: a number, or a date; None where it is neither."""
    with suppress(ValueError, TypeError):
        return max(0.0, float(header))
    with suppress(ValueError, TypeError):
        until = parsedate_to_datetime(header)
        return max(0.0, (until - datetime.now(UTC)).total_seconds())
    return None


def _batch(held: list[tuple[Pair, Outcome]]) -> tuple[Todo, list[Outcome]]:
    """What was to do, and what became of it."""
    todo = [pair for pair, _ in held]
    return todo, [outcome for _, outcome in held]


def find(
    name: str, *, device: str | None = None, revision: str | None = None, **reach: Any
) -> ServedModel | None:
    """Return the model at a URL; None where the name is none."""
    if not name.startswith(("http://", "https://")):
        return None
    return ServedModel(name, **reach)
