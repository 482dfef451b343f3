"""Requests to one or several URLs of the same model: bounded, retried, each image to one server."""

import asyncio
import hashlib
import json
import time
from contextlib import asynccontextmanager, contextmanager

from medcal_nb.errors import MedcalError

#: Bytes of a reply that are read; more is a fault.
MOST_BYTES = 1 << 25

#: Seconds in which a connection must open; seconds for which a URL that opens none is left alone.
_CONNECT, _REST = 10.0, 30.0

#: Statuses below 500 after which asking again can help.
_AGAIN = frozenset((408, 409, 425, 429))


async def _each(parts):
    for part in parts:
        yield part


class Refused(MedcalError):
    """A server says no, and will again."""


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
    """

    #: How often a request is tried, after pauses that double from so many seconds.
    tries, pause = 6, 0.5

    def __init__(self, urls, key, concurrency, timeout):
        self.urls, self.key = urls, key
        self.concurrency, self.timeout = concurrency, timeout
        self.down = dict.fromkeys(urls, 0.0)

    def masked(self, value):
        """Return what a server or a library says, text or table, without the key in its texts."""
        if isinstance(value, dict):
            return {name: self.masked(one) for name, one in value.items()}
        if isinstance(value, list):
            return [self.masked(one) for one in value]
        return value.replace(self.key, "***") if self.key and isinstance(value, str) else value

    @contextmanager
    def open(self):
        """Open the client; the portal calls coroutine functions on its loop from other threads."""
        from anyio.from_thread import start_blocking_portal

        with start_blocking_portal() as portal, portal.wrap_async_context_manager(self._opened()):
            yield portal

    @asynccontextmanager
    async def _opened(self):
        import aiohttp

        headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        self.gate = asyncio.Semaphore(self.concurrency)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.concurrency),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(self.timeout, sock_connect=_CONNECT),
            headers=headers,
            auto_decompress=False,
        ) as self.client:
            yield

    def pick(self, place, failed):
        """Return the URL for what belongs to `place`, always the same; a dead one's share moves.

        Of those that can be reached it is the first in the place's own order, after those that
        stand in `failed` (once for each try).
        """

        def order(url):
            own = hashlib.blake2b(f"{place}\0{url}".encode()).digest()
            return self.down[url] > time.monotonic(), failed.count(url), own

        return min(self.urls, key=order)

    async def ask(self, place, path, read, body=()):
        """Send a request, again after a pause where that can help.

        `body` is posted, in parts, so that the requests that wait share the bytes of their image;
        without it a page is got. Returns what `read` makes of the answer, a table of JSON; it
        raises where that has another form.

        Raises
        ------
        MedcalError
            When no try got an answer; `Refused` where trying again does not help.
        """
        from aiohttp import ClientConnectorError, ConnectionTimeoutError

        failed, wait = [], 0.0
        async with self.gate:
            while len(failed) < self.tries:
                await asyncio.sleep(wait)
                url, wait = self.pick(place, failed), min(8.0, self.pause * 2 ** len(failed))
                failed.append(url)
                try:
                    status, after, answer = await self.once(url, path, body)
                    if status < 300:
                        return read(self.masked(json.loads(answer)))
                    told = f"HTTP {status}: {answer[:3000].decode(errors='replace')}"
                    wait = max(wait, min(60.0, float(after) if after.isdecimal() else 0.0))
                except Exception as error:  # whatever a server sends is that request's failure
                    why = str(error) or f"no whole answer within {self.timeout:g} s"
                    status, told = 500, f"{type(error).__name__}: {why}"
                    if isinstance(error, (ClientConnectorError, ConnectionTimeoutError)):
                        self.down[url] = time.monotonic() + _REST
                told = " ".join(self.masked(told).split())[:300]
                if status < 500 and status not in _AGAIN:
                    raise Refused(told)
        raise MedcalError(f"{told} ({len(failed)} tries)")

    async def once(self, url, path, body=()):
        """Return status, Retry-After and body, of which no more than so much is read."""
        how = {"allow_redirects": False}
        if body:
            how |= {"data": _each(body), "headers": {"Content-Length": str(sum(map(len, body)))}}
        async with self.client.request("POST" if body else "GET", url + path, **how) as reply:
            answer = bytearray()
            async for part in reply.content.iter_any():
                answer += part
                if len(answer) > MOST_BYTES:
                    raise ValueError(f"a reply of more than {MOST_BYTES >> 20} MiB")
            return reply.status, reply.headers.get("Retry-After", ""), answer
