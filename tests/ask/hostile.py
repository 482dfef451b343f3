"""An OpenAI-compatible server on loopback that answers with every fault there is.

``python -m tests.ask.hostile 60`` asks it for a minute and tells what came of it.
"""

import contextlib
import gzip
import hashlib
import json
import math
import random
import resource
import socket
import struct
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from tests.loopback import Handler, Loopback

KEY = "sk-never-to-be-told"

_ODD_TEXTS = (
    "Answer: yes \ud83d 80%",
    "\x1b]0;owned\x07 yes\x00 \u202e",
    f"Answer: yes, {KEY}",
    "9" * 5000 + "%",
    "Answer: " + "(" * 3000,
    "",
    " ",
    "=cmd|' /C calc'!A0",
    "Confidence: 1e999%\nAnswer: yes",
    "A" * 100_000,
)
_ODD_LOGPROBS = (
    math.nan,
    -math.inf,
    math.inf,
    1e308,
    -1e308,
    5,
    True,
    None,
    "x",
    [],
    10**400,
)
_ODD_VALUES = (
    None,
    [],
    {},
    "x",
    5,
    -1,
    True,
    1.5,
    [[]],
    [None],
    {"a": 1},
    [5],
    math.nan,
)
_PACKED = gzip.compress(bytes(1 << 24), 1)


class Hostile(Loopback):
    """The server; while ``armed``, a share of its answers is a fault.

    Which one depends on the seed, the request and how often it was sent, not on the order.
    """

    def __init__(self, seed=0, share=0.6, most_bytes=1 << 26):
        self.seed, self.share, self.most_bytes = seed, share, most_bytes
        self.armed, self.sent, self.told = False, Counter(), Counter()
        self.lock, self.elsewhere = threading.Lock(), 0
        outer = self

        class Faulty(Handler):
            protocol_version = "HTTP/1.1"
            timeout = 60

            def do_POST(self):
                body = self.body()
                with contextlib.suppress(OSError, ValueError):
                    outer.answer(self, body)

        super().__init__(Faulty)

    def answer(self, handler, body):
        asked, digest = (
            json.loads(body),
            hashlib.sha256(handler.path.encode() + body).hexdigest(),
        )
        with self.lock:
            self.sent[digest] += 1
            self.elsewhere += handler.path.startswith("/elsewhere")
            dice = random.Random(f"{self.seed} {digest} {self.sent[digest]}")
        good = self.good(handler.path, asked)
        if good is None:
            handler.send({"detail": "Not Found"}, 404)
        elif not self.armed or dice.random() > self.share:
            handler.send(good)
        else:
            fault = dice.choice(FAULTS)
            with self.lock:
                self.told[fault.__name__] += 1
            fault(self, handler, good, dice)

    @staticmethod
    def good(path, asked):
        """What a server that means well would answer; None where there is no such page."""
        if not path.endswith("/chat/completions"):
            return None
        drawn = f" {asked.get('seed')}" if asked["temperature"] else ""
        choice = {
            "index": 0,
            "finish_reason": "stop",
            "message": {
                "role": "assistant",
                "content": f"Answer: yes\nConfidence: 80%{drawn}",
            },
        }
        if asked.get("logprobs"):
            top = [
                {"token": t, "logprob": math.log(p)}
                for t, p in (("yes", 0.7), ("no", 0.3))
            ]
            entry = {
                "token": "yes",
                "logprob": -0.1,
                "top_logprobs": top[: asked.get("top_logprobs")],
            }
            choice["logprobs"] = {"content": [entry]}
        told = {
            "choices": [choice],
            "usage": {"prompt_tokens": 9, "completion_tokens": 3},
        }
        if (
            "prompt_logprobs" in asked
        ):  # each letter a token, and one more that closes the turn
            words = asked["messages"][-1]["content"] + "." * (
                not asked["continue_final_message"]
            )
            told["prompt_logprobs"] = [None] * 9 + [
                {c: {"logprob": -0.1}} for c in words
            ]
        return told


# --- faults: the server, the handler, what would be a good answer, and dice -----------------------


def says_no(server, handler, good, dice):
    status = dice.choice([400, 401, 403, 404, 408, 413, 422, 429, 500, 502, 503, 529])
    told = {"error": {"message": f"no: {handler.headers['Authorization']}"}}
    wait = dice.choice(["0", "0.01", "²", "-5", "nan", "soon", "1e999"])
    handler.send(told, status, [("Retry-After", wait)])


def is_cut_off(server, handler, good, dice):
    body = json.dumps(good).encode()
    at = dice.randrange(len(body))
    handler.send(body[:at], length=dice.choice([len(body), at, at // 2, "²", "-1"]))
    handler.close_connection = True


def hangs_up(server, handler, good, dice):
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.close_connection = True
    handler.connection.close()


def speaks_no_http(server, handler, good, dice):
    handler.wfile.write(
        dice.choice([b"\xff\xfe\0", b"HTTP/1.1 xyz\r\n\r\n", b"220 mail\r\n"])
    )
    handler.close_connection = True


def breaks_chunks(server, handler, good, dice):
    handler.wfile.write(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n"
    )
    handler.close_connection = True


def drips(server, handler, good, dice):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b" ")
        time.sleep(0.05)
    handler.close_connection = True


def is_huge(server, handler, good, dice):
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    for _ in range(server.most_bytes >> 20):
        handler.wfile.write(b"[" * (1 << 20))
    handler.close_connection = True


def is_packed(server, handler, good, dice):
    body = dice.choice([gzip.compress(json.dumps(good).encode()), _PACKED])
    handler.send(body, headers=[("Content-Encoding", dice.choice(["gzip", "br", "x"]))])


def sends_elsewhere(server, handler, good, dice):
    status = dice.choice([301, 302, 303, 307, 308])
    handler.send({}, status, [("Location", f"{server.url}/elsewhere{handler.path}")])


def is_no_answer(server, handler, good, dice):
    bodies = [b"", b"null", b"[]", b"5", b'"x"', b"{}", b"\xff", b"NaN", b"[" * 100_000, b"{" * 9,
              b'{"choices": 1e999}', b'{"choices": ' + b"9" * 5000 + b"}"]  # fmt: skip
    handler.send(dice.choice(bodies))


def has_another_shape(server, handler, good, dice):
    """A value somewhere in a good answer is another."""
    at = good
    while isinstance(at, (dict, list)) and at:
        holder, name = (
            at,
            dice.choice(list(at) if isinstance(at, dict) else range(len(at))),
        )
        at = holder[name]
        if dice.random() < 0.25:
            break
    holder[name] = dice.choice(_ODD_VALUES)
    handler.send(good)


def has_odd_numbers(server, handler, good, dice):
    odd = dice.choice(_ODD_LOGPROBS)
    for choice in good.get("choices", ()):
        entry = {"token": dice.choice(["yes", "", None, 5]), "logprob": odd}
        choice["logprobs"] = {"content": [entry | {"top_logprobs": [dict(entry)] * 3}]}
    for entry in filter(None, good.get("prompt_logprobs", ())):
        for told in entry.values():
            told["logprob"] = odd
    good["usage"] = {"prompt_tokens": odd, "completion_tokens": odd}
    handler.send(good)


def says_odd_words(server, handler, good, dice):
    for choice in good.get("choices", ()):
        choice["message"]["content"] = dice.choice(_ODD_TEXTS)
    handler.send(good)


FAULTS = (
    says_no, is_cut_off, hangs_up, speaks_no_http, breaks_chunks, drips, is_huge, is_packed,
    sends_elsewhere, is_no_answer, has_another_shape, has_odd_numbers, says_odd_words,
)  # fmt: skip


def main(seconds):
    """Ask for so many seconds and tell what came of it."""
    import os

    os.environ["OPENAI_API_KEY"] = KEY
    from medcal_nb.answers import AnswerLog
    from medcal_nb.ask.backends.served import ServedModel
    from medcal_nb.ask.run import ask
    from tests.ask.tiny import tiny_items

    ServedModel.tries, ServedModel.pause = 3, 0.01
    asked, rows, failed, reasons, runs = 0, 0, 0, Counter(), 0
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder, Hostile() as server:
        model = ServedModel([server.url], timeout=2, concurrency=32)
        server.armed = True
        path = Path(folder) / "a.sqlite"
        while time.monotonic() < end:
            items = tiny_items(60, dataset=f"tiny-{runs}")
            with AnswerLog(path) as log:
                done = ask(model, items, "all", log=log, samples=3)
            rows, failed, runs = rows + done.rows, failed + len(done.failed), runs + 1
            reasons.update(" ".join(why.split()[1:4]) for why in done.failed.values())
            assert KEY not in str(done)
        asked = sum(server.sent.values())
        with AnswerLog(path, read_only=True) as log:
            assert len(log.read()) == rows
        assert KEY.encode() not in path.read_bytes()
        print(
            f"{asked:,} requests, {sum(server.told.values()):,} faults: {dict(server.told)}"
        )
        print(
            f"{rows:,} answers, {failed} of {60 * runs} items with a failure recorded"
        )
        print(f"followed elsewhere: {server.elsewhere}; {dict(reasons.most_common(8))}")
    print(
        f"memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB"
    )


if __name__ == "__main__":
    main(float(sys.argv[1]))
