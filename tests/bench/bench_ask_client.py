"""How many requests one client process keeps under way: against a server that does nothing.

    python -m tests.bench.bench_ask_client [--items 200] [--only late] [--out build/bench]

The server, a process of its own on loopback, reads a request and sends a fixed reply. Images are
noise as JPEG of 1,024 pixels a side; *changed* asks the methods that change images, too. Processor
time is the client's. `steady_per_second` is the rate between the first tenth of the requests and
the last, as in a long run; it reaches concurrency / delay at most.
"""

import argparse
import asyncio
import io
import itertools
import json
import multiprocessing
import re
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from medcal_nb.answers import AnswerLog
from medcal_nb.ask.backends.served import ServedModel
from medcal_nb.ask.run import ask
from medcal_nb.ask.strategies import STRATEGIES
from tests.ask.tiny import tiny_items
from tests.ask.told import entry

TOKEN = entry("yes", 0.67, [("yes", 0.67), ("no", 0.3), ("none", 0.04)])
MESSAGE = {"role": "assistant", "content": "Answer: yes\nConfidence: 80%"}
CHOICE = {"message": MESSAGE, "logprobs": {"content": [TOKEN]}}
PAGE = {"data": [{"id": "m"}], "choices": [CHOICE], "usage": {"prompt_tokens": 9}}

#: Name, items for each of `--items`, requests under way, seconds of delay, methods left out.
RUNS = (
    ("at once", 1, 16, 0.0, ("augment", "blank_image")),
    ("late", 3, 256, 0.5, ("augment", "blank_image")),
    ("changed", 0.3, 16, 0.0, ()),
)


def serve(ready, delay, times):
    """Tell the port; answer requests after `delay` seconds, all the same; note when."""
    text = json.dumps(PAGE).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)
    numbers = itertools.count()

    async def one(reader, writer):
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: *(\d+)", head)
                await reader.readexactly(int(length[1]) if length else 0)
                await asyncio.sleep(delay)
                writer.write(answer)
                times[next(numbers)] = time.perf_counter()
        writer.close()

    async def main():
        how = {"limit": 1 << 22, "backlog": 4096}
        server = await asyncio.start_server(one, "127.0.0.1", 0, **how)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def items_of(n, side=1024):
    """Items about images of `side` pixels, two to an image."""
    rng, images = np.random.default_rng(5), []
    for _ in range(0, n, 2):
        small = rng.integers(0, 255, (side // 8, side // 8, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(small).resize((side, side)).save(buffer, "JPEG", quality=92)
        images += [buffer.getvalue()] * 2
    questions = [f"Is there a mass of {i} mm?" for i in range(n)]
    return tiny_items(n, kinds=("closed",)).assign(image=images[:n], question=questions)


def measure(name, n, concurrency, delay, without):
    """Ask `n` items and return one row of the table."""
    items = items_of(n)
    names = [name for name in STRATEGIES if name not in without]
    times = multiprocessing.Array("d", 1 << 20, lock=False)
    ready, free = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.Process(target=serve, args=(free, delay, times))
    server.start()
    try:
        url = f"http://127.0.0.1:{ready.recv()}"
        model = ServedModel(url, concurrency=concurrency)
        began, cpu = time.perf_counter(), time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            with AnswerLog(Path(folder) / "a.sqlite") as log:
                done = ask(model, items, names, log=log)
            wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    finally:
        server.terminate()
    assert not done.failed, done.lines()
    replies = np.array(times)
    replies = replies[replies > began]
    first, last = np.quantile(replies, [0.1, 0.9])
    return {
        "run": name,
        "requests": len(replies),
        "requests_per_second": len(replies) / wall,
        "steady_per_second": 0.8 * len(replies) / (last - first),
        "client_cpu_ms_per_request": 1000 * cpu / len(replies),
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
            rows.append(measure(name, max(2, int(options.items * times)), *how))
            print(pd.DataFrame(rows[-1:]).round(3).to_string(index=False), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(options.out / "ask_client.csv", index=False)


if __name__ == "__main__":
    main()
