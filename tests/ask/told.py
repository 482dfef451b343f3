"""An OpenAI-compatible server on loopback whose faults and log-probabilities are scripted."""

import json
import math
import threading

from tests.loopback import Handler, Loopback

_TOP = [(" Yes", 0.6), ("yes", 0.1), ("No", 0.2), ("Maybe", 0.05)]


def entry(token, p, top=()):
    """The log-probability of a token as servers list it."""
    one = {"token": token, "logprob": math.log(p)}
    return one | {"top_logprobs": [entry(*pair) for pair in top]}


class Told(Loopback):
    """Says yes to every question; while `armed`, the next of its `faults` comes first.

    A fault is a status, bytes (a body), a pair (status and address to go to), a dictionary (of what
    another choice holds), a function of the handler, or "held": no answer until `free` is set.
    It draws where `sampling`, and can give `logprobs`, `scores` of words, and `many` samples.
    """

    def __init__(self, *, name="told", keeps=False, **can):
        self.sampling = can.pop("sampling", True)
        self.can = {name for name in can if can[name]}
        self.free, self.lock = threading.Event(), threading.Lock()
        self.requests, self.faults, self.armed = [], [], False
        self.under_way = self.most = self.connections = 0
        told = self

        class Scripted(Handler):
            protocol_version = "HTTP/1.1" if keeps else "HTTP/1.0"
            model = name

            def setup(self):
                super().setup()
                with told.lock:
                    told.connections += 1

            def do_POST(self):
                body = self.asked = json.loads(self.body())
                with told.lock:
                    is_chat = self.path.endswith("/chat/completions")
                    told.requests.append((self.path, body))
                    told.under_way += 1
                    told.most = max(told.most, told.under_way)
                    is_due = bool(told.faults) and told.armed and is_chat
                    fault = told.faults.pop(0) if is_due else None
                if fault == "held":
                    told.free.wait(60)
                with told.lock:  # before the answer: after it the next may come
                    told.under_way -= 1
                told.answer(self, body, fault)

        super().__init__(Scripted)

    def answer(self, handler, body, fault):
        """Send the answer to a request, or what a fault has in its place."""
        if not handler.path.endswith("/chat/completions"):
            return handler.send({"error": {"message": "no such path"}}, 404)
        if callable(fault):
            return fault(handler)
        if isinstance(fault, tuple):
            return handler.send({}, fault[0], [("Location", fault[1] + handler.path)])
        if isinstance(fault, bytes):
            return handler.send(fault)
        if isinstance(fault, int):
            message = f"fault {fault} for {handler.headers['Authorization']}"
            return handler.send({"error": {"message": message}}, fault)
        n = body.get("n", 1) if "many" in self.can else 1
        page = {"choices": [self.choice(body, i) | {"index": i} for i in range(n)]}
        page["choices"].reverse()  # their order is not theirs to keep
        page["usage"] = {"prompt_tokens": 11, "completion_tokens": 1}
        if "scores" in self.can and "prompt_logprobs" in body:
            # each letter is a token of a half
            words = body["messages"][-1]["content"]
            other = {"likelier": {"logprob": math.log(0.4)}}  # listed after it
            scored = [{letter: {"logprob": math.log(0.5)}} | other for letter in words]
            page["prompt_logprobs"] = [None] * 11 + scored
        if isinstance(fault, dict):
            page["choices"][0].update(fault)
        return handler.send(page)

    def choice(self, body, i=0):
        """The reply to a request, or its sample number i."""
        is_drawn = self.sampling and body["temperature"] > 0
        text = f"maybe {body['seed'] + i}" if is_drawn else "yes"
        message = {"role": "assistant", "content": text}
        end = "length" if body["max_tokens"] == 1 else "stop"
        choice = {"finish_reason": end, "message": message}
        if "logprobs" in self.can and body.get("logprobs"):
            listed = _TOP[: body.get("top_logprobs", 0)]
            choice["logprobs"] = {"content": [entry("yes", 0.6, listed)]}
        return choice

    def shown(self):
        """The URL of the image of each request."""
        bodies = [body for _, body in self.requests if "messages" in body]
        return [
            body["messages"][0]["content"][0]["image_url"]["url"] for body in bodies
        ]
