"""How many requests one client process keeps under way: against a server that does nothing.

    python -m tests.bench.bench_ask_client [--items 200] [--only late] [--out build/bench]

The server is a process of its own on loopback that reads a request and sends a fixed reply. Images
are noise as JPEG of 1,024 pixels a side; `own` asks the methods that show the image as it is, `all`
those with changed images too. Processor time is the client's, start-up left out.
`steady_per_second` is the rate between the first tenth of the requests and the last, which is what
a long run has; it reaches concurrency / delay at most.
"""

import argparse
import asyncio
import io
import json
import multiprocessing
import tempfile
import time
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pandas as pd
from PIL import Image

from medcal_nb.answers import AnswerLog
from medcal_nb.ask.backends.served import ServedModel
from medcal_nb.ask.run import ask
from medcal_nb.ask.strategies import STRATEGIES
from tests.ask.tiny import tiny_items

_TOP = [{"token": "yes", "logprob": -0.4}, {"token": "no", "logprob": -1.2}]
_TOP.append({"token": "none", "logprob": -3.2})
_CHOICE = {
    "index": 0,
    "finish_reason": "stop",
    "message": {"role": "assistant", "content": "Answer: yes\nConfidence: 80%"},
    "logprobs": {"content": [{"token": "yes", "logprob": -0.4, "top_logprobs": _TOP}]},
}
SIDE = 1024
CHANGED = ("augment", "blank_image")

#: Name, items for each of `--items`, then what `measure` is told.
RUNS = (
    ("at once", 1, 16, 0.0, "own"),
    ("late", 3, 256, 0.5, "own"),
    ("changed", 0.3, 16, 0.0, "all"),
)


def serve(ready, delay, counts):
    """Answer every request after `delay` seconds with the same reply; count them; tell the port."""

    def body(request):
        n = 1
        if b'"n": ' in request[-400:]:
            n = int(request.rpartition(b'"n": ')[2].split(b"}")[0].split(b",")[0])
        choices = [{**_CHOICE, "index": i} for i in range(n)]
        return json.dumps({"choices": choices, "usage": {"prompt_tokens": 9}}).encode()

    async def one(reader, writer):
        with counts.get_lock():
            counts[1] += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = 0
                for line in head.split(b"\r\n"):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                request = await reader.readexactly(length)
                if delay:
                    await asyncio.sleep(delay)
                text = (
                    b'{"data": [{"id": "m"}]}'
                    if head.startswith(b"GET")
                    else body(request)
                )
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"
                    % (len(text), text)
                )
                counts[0] += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def main():
        server = await asyncio.start_server(
            one, "127.0.0.1", 0, limit=1 << 22, backlog=4096
        )
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def items_of(n, rng):
    """Items about images of `SIDE` pixels, two to an image."""
    items = tiny_items(n, kinds=("closed",))
    images = []
    for _ in range(0, n, 2):
        small = rng.integers(0, 255, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(small).resize((SIDE, SIDE)).save(buffer, "JPEG", quality=92)
        images += [buffer.getvalue()] * 2
    question = [f"Is there a mass of {i} mm?" for i in range(n)]
    return items.assign(image=images[:n], question=question)


def note_replies(ended, counts, seen):
    """Note seconds and replies, until an event."""
    while not ended.wait(0.1):
        seen.append((time.perf_counter(), counts[0]))


def steady(seen):
    """Replies a second between the first tenth of them and the last."""
    seconds, replies = np.array(seen).T
    first, last = np.interp([0.1 * replies[-1], 0.9 * replies[-1]], replies, seconds)
    return 0.8 * replies[-1] / (last - first)


def measure(name, n, concurrency, delay, which, rng):
    """Ask `n` items and return one row of the table."""
    counts = multiprocessing.Array("q", 2)
    items = items_of(n, rng)
    names = [how for how in STRATEGIES if which == "all" or how not in CHANGED]
    ready, free = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.Process(
        target=serve, args=(free, delay, counts), daemon=True
    )
    server.start()
    port = ready.recv()
    try:
        model = ServedModel([f"http://127.0.0.1:{port}"], concurrency=concurrency)
        counts[0] = counts[1] = 0
        with (
            tempfile.TemporaryDirectory() as folder,
            AnswerLog(Path(folder) / "a.sqlite") as log,
        ):
            ended, seen = Event(), []
            watch = Thread(target=note_replies, args=(ended, counts, seen))
            watch.start()
            wall, cpu = time.perf_counter(), time.process_time()
            done = ask(model, items, names, log=log)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        ended.set()
        watch.join()
        assert not done.failed, done.lines()
    finally:
        server.terminate()
    return {
        "run": name,
        "images": which,
        "delay_ms": 1000 * delay,
        "concurrency": concurrency,
        "requests": counts[0],
        "connections": counts[1],
        "requests_per_second": counts[0] / wall,
        "steady_per_second": steady(seen),
        "client_cpu_ms_per_request": 1000 * cpu / counts[0],
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--only", choices=[name for name, *_ in RUNS])
    options = parser.parse_args()
    rows = []
    for name, times, *how in RUNS:
        if options.only in (None, name):
            n = max(2, int(options.items * times))
            rows.append(measure(name, n, *how, np.random.default_rng(5)))
            print(pd.DataFrame(rows[-1:]).round(3).to_string(index=False), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(options.out / "ask_client.csv", index=False)


if __name__ == "__main__":
    main()
