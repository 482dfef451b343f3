"""Requests to one or several URLs of the same model: bounded, retried, each image to one server."""

import asyncio
import hashlib
import json
import re
import threading
import time
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

    def told(self, error):
        """Tell an error in a line."""
        return self.masked(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")

    # --- the loop ---------------------------------------------------------------------------------

    def __enter__(self):
        begun = threading.Event()
        self.thread = threading.Thread(
            target=lambda: asyncio.run(self._stay(begun)), name="medcal-requests", daemon=True
        )
        self.thread.start()
        begun.wait()
        return self

    def __exit__(self, *error):
        self.loop.call_soon_threadsafe(self.leave.set)
        self.thread.join()

    async def _stay(self, begun):
        """Keep the loop running until it is left; what is under way then is cancelled."""
        import aiohttp

        self.loop, self.leave = asyncio.get_running_loop(), asyncio.Event()
        self.gate = asyncio.Semaphore(self.concurrency)
        headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        self.client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.concurrency),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT),
            headers=headers,
            auto_decompress=False,
            trust_env=True,
        )
        async with self.client:
            begun.set()
            await self.leave.wait()

    def run(self, coroutine):
        """Run a coroutine on the loop, wait for it, and return its result."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    # --- one request ------------------------------------------------------------------------------

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
        import io

        return await self._tried(
            place, lambda url: self.client.post(url + path, data=io.BytesIO(body()),
                                                allow_redirects=False), check, retries
        )  # fmt: skip

    async def get(self, url, path):
        """Return the text of a page of one URL, or a `Failure`."""

        def send(_):
            return self.client.get(url + path, allow_redirects=False)

        return await self._tried(url, send, None, 2)

    async def _tried(self, place, send, check, retries):
        import aiohttp

        told, failed, retries = "", [], self.retries if retries is None else retries
        async with self.gate:
            for attempt in range(retries + 1):
                url, wait = self.pick(place, failed), self.pause * 2**attempt
                try:
                    async with asyncio.timeout(self.timeout):
                        status, after, body = await self._once(send(url))
                    if status < 300:
                        return check(json.loads(body)) if check else body.decode()
                    told = f"HTTP {status}: {' '.join(body[:300].decode(errors='replace').split())}"
                    if status < 400:
                        return Failure(f"HTTP {status}: it sends elsewhere, which is not followed")
                    if status < 500 and status not in _AGAIN:
                        return Failure(self.masked(told))
                    wait = max(wait, min(60.0, after))
                except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                    self.down[url] = time.monotonic() + _REST
                    told = self.told(error)
                except TimeoutError:
                    told = f"no whole answer within {self.timeout:g} s"
                except Exception as error:  # whatever a server sends is that request's failure
                    told = self.told(error)
                failed.append(url)
                if attempt < retries:
                    await asyncio.sleep(wait)
        return Failure(self.masked(f"{told} ({retries + 1} tries)"))

    @staticmethod
    async def _once(request):
        """Return status, seconds of Retry-After and body, of which no more than so much is read."""
        async with request as reply:
            body = bytearray()
            async for part in reply.content.iter_any():
                body += part
                if len(body) > MOST_BYTES:
                    raise ValueError(f"a reply of more than {MOST_BYTES >> 20} MiB")
            after = reply.headers.get("Retry-After", "")
            seconds = float(after) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", after) else 0.0
            return reply.status, seconds, bytes(body)
