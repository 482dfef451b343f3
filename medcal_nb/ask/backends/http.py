"""Requests to one or several URLs of the same model: bounded, retried, each image to one server."""

import asyncio
import hashlib
import io
import json
import re
import time
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit, urlunsplit

from medcal_nb.ask.calls import Failure

#: Bytes of a reply that are read; more is a fault.
MOST_BYTES = 1 << 25

#: Seconds in which a connection must open; seconds for which a URL that opens none is left alone.
_CONNECT, _REST = 10.0, 30.0

#: Statuses below 500 after which asking again can help.
_AGAIN = frozenset((408, 409, 425, 429))


def without_user(url):
    """Return a URL without user, password and query, as it may be shown."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


class Http:
    """A client on an event loop in a thread of its own, so that a notebook's loop is no obstacle.

    Parameters
    ----------
    urls : list of str
        Endpoints of the same model.
    key : str
        Sent as a bearer token; it never appears in what is returned.
    concurrency : int
        Requests, and connections, at once over all URLs.
    timeout : float
        Seconds a request may take from the moment it is sent.
    retries, pause : int and float
        How often a request is tried again, after pauses that double from `pause` seconds.
    """

    def __init__(self, urls, key, *, concurrency, timeout, retries, pause):
        self.urls = [without_user(url) if key else url for url in urls]
        self.key = key
        self.concurrency, self.timeout = concurrency, timeout
        self.retries, self.pause = retries, pause
        self.down = dict.fromkeys(self.urls, 0.0)

    def masked(self, text):
        """Return `text` without the key, should a server repeat it."""
        return text.replace(self.key, "***") if self.key else text

    @contextmanager
    def open(self):
        """Open the client; `run` calls coroutine functions on its loop from other threads."""
        from anyio.from_thread import start_blocking_portal

        with start_blocking_portal() as self.portal:
            self.run = self.portal.call
            with self.portal.wrap_async_context_manager(self._client()):
                yield

    @asynccontextmanager
    async def _client(self):
        import aiohttp

        self.gate = asyncio.Semaphore(self.concurrency)
        headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.concurrency),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT),
            headers=headers,
            auto_decompress=False,
            trust_env=True,
        ) as self.client:
            yield

    def pick(self, place, failed=()):
        """Return the URL for what belongs to `place`, always the same; a dead one's share moves.

        Of those that can be reached it is the first in the place's own order, after those that
        stand in `failed` (once for each try).
        """

        def order(url):
            rank = hashlib.blake2b(f"{place}\0{url}".encode(), digest_size=8).digest()
            return failed.count(url), rank

        now = time.monotonic()
        return min([url for url in self.urls if self.down[url] <= now] or self.urls, key=order)

    async def post(self, place, path, body, *, check=dict, retries=None):
        """Send a request, again after a pause where that can help.

        `body` makes its bytes when it is sent, not before, so that few are in memory. Returns the
        reply as `check` gives it back (it raises where the reply has another form), or
        a `Failure`.
        """
        return await self._tried(place, path, body, lambda told: check(json.loads(told)), retries)

    async def get(self, url, path, read=bytes.decode):
        """Return a page of one URL as it is read, or a `Failure`."""
        return await self._tried(url, path, None, read, 2)

    async def _tried(self, place, path, body, read, retries):
        """Ask until there is an answer that can be read, or no more tries."""
        import aiohttp

        told, failed, retries = "", [], self.retries if retries is None else retries
        async with self.gate:
            for attempt in range(retries + 1):
                url, wait = self.pick(place, failed) if body else place, self.pause * 2**attempt
                try:
                    async with asyncio.timeout(self.timeout):
                        status, after, answer = await self._once(url + path, body)
                    if status < 300:
                        return read(answer)
                    if status < 400:
                        return Failure(f"HTTP {status}: it sends elsewhere, which is not followed")
                    told = " ".join(answer[:300].decode(errors="replace").split())
                    told = f"HTTP {status}: {told}"
                    if status < 500 and status not in _AGAIN:
                        return Failure(self.masked(told))
                    wait = max(wait, min(60.0, after))
                except TimeoutError as error:
                    told = f"no whole answer within {self.timeout:g} s"
                    if isinstance(error, aiohttp.ConnectionTimeoutError):
                        self.down[url] = time.monotonic() + _REST
                except Exception as error:  # whatever a server sends is that request's failure
                    told = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
                    if isinstance(error, aiohttp.ClientConnectorError):
                        self.down[url] = time.monotonic() + _REST
                failed.append(url)
                if attempt < retries:
                    await asyncio.sleep(wait)
        return Failure(self.masked(f"{told} ({retries + 1} tries)"))

    async def _once(self, url, body):
        """Return status, seconds of Retry-After and body, of which no more than so much is read."""
        data = io.BytesIO(body()) if body else None
        method = "POST" if body else "GET"
        async with self.client.request(method, url, data=data, allow_redirects=False) as reply:
            answer = bytearray()
            async for part in reply.content.iter_any():
                answer += part
                if len(answer) > MOST_BYTES:
                    raise ValueError(f"a reply of more than {MOST_BYTES >> 20} MiB")
            after = reply.headers.get("Retry-After", "")
            seconds = float(after) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", after) else 0.0
            return reply.status, seconds, bytes(answer)
