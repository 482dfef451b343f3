"""A server of typed decisions on loopback, strict on what it is sent, as the public schemas say.

``/v1/decisions`` is OpenAI's (openai-python, ``decision_create_params`` and ``decision``, beta of
October 2026), ``/v1/systemone`` vLLM's and TypeSafe's. It sees an image in the bytes that it is
sent: the probability of the first option is the share of grey in its first pixel.
"""

import base64
import io
import json
import threading

from PIL import Image

from tests.loopback import Handler, Loopback

_PREFIX = "data:image/png;base64,"


def level_of(data):
    """The grey of the first pixel of an image, 0 to 1, and 0.3 where there is none."""
    if not data:
        return 0.3
    pixel = Image.open(io.BytesIO(base64.b64decode(data))).convert("L").getpixel((0, 0))
    return round(pixel / 255, 2)


class Refused(Exception):
    """A status and what is said with it."""


class Sold(Loopback):
    """Serves decisions by some of ``decisions``, ``assets`` and ``images``; writes no replies.

    Parameters
    ----------
    by : str
        The one that it has.
    blind : bool
        It takes an image and does not look at it.
    counts : bool
        It counts tokens.
    refuses : str
        Questions that hold this are refused; those that hold "many" are faults.
    status : int
        What it answers in place of everything.
    """

    def __init__(
        self, by="decisions", *, blind=False, counts=True, refuses="secret", status=0
    ):
        self.by, self.blind, self.counts, self.refuses = by, blind, counts, refuses
        self.status = status
        self.requests, self.lock = [], threading.Lock()
        sold = self

        class Scripted(Handler):
            model = "sold-1"

            def do_POST(self):
                body = json.loads(self.body())
                with sold.lock:
                    sold.requests.append((self.path, body))
                try:
                    self.send(sold.answered(self.path.removeprefix("/v1/"), body))
                except Refused as refused:
                    status, message = refused.args
                    self.send({"error": {"message": message}}, status)

        super().__init__(Scripted)

    def answered(self, path, body):
        """The reply to a request."""
        if path != ("decisions" if self.by == "decisions" else "systemone"):
            raise Refused(404, "no such path")
        if self.status:
            raise Refused(
                self.status, "The model does not support the structured decision API"
            )
        data, questions = (self.listed if self.by == "decisions" else self.mapped)(body)
        level = level_of("" if self.blind else data)
        answers = [
            self.answer(name, level, *about) for name, about in questions.items()
        ]
        usage = {
            "input_tokens": 10 * len(answers) + (7 if data and not self.blind else 0)
        }
        reply = {"model": body["model"], "answers": [one for one in answers if one]}
        reply["usage"] = usage if self.counts else {}
        if self.by != "decisions":
            reply["answers"] = {one.pop("name"): one for one in reply["answers"]}
            reply["diagnostics"] = {name: {"label_mass": 0.25} for name in questions}
        return reply

    def listed(self, body):
        """Image and questions of OpenAI's form: name -> (type, instructions, options)."""
        self.only(body, "model", "input", "questions")
        (message,) = body["input"]
        (part,) = message["content"]
        data = (
            part["image_url"].removeprefix(_PREFIX)
            if part["type"] == "input_image"
            else ""
        )
        questions = {}
        for one in body["questions"]:
            kind = one["type"]
            names = {"predicate": (), "choice": ("choices",), "score": ("levels",)}[
                kind
            ]
            self.only(one, "type", "name", "instructions", *names)
            given = one.get("choices") or one.get("levels") or ()
            options = [option.get("value") or option["label"] for option in given]
            questions[one["name"]] = (kind, one["instructions"], options)
        return data, questions

    def mapped(self, body):
        """The same of System One's form, the image in assets or in images."""
        extra = () if self.by == "loose" else (self.by,)
        if self.by == "images":
            extra = ("images", "assets")  # vLLM drops what it does not know
        self.only(body, "model", "state", "questions", *extra)
        data = ""
        if self.by == "assets":
            for name, asset in body.get("assets", {}).items():
                assert name in body["state"]
                assert asset["type"] == "image"
                data = asset["data_base64"]
        else:
            data = "".join(body.get("images", ())).removeprefix(_PREFIX)
        questions = {}
        for name, one in body["questions"].items():
            self.only(one, "type", "instructions", "criteria")
            questions[name] = (
                one["type"],
                one["instructions"],
                [*(one.get("criteria") or ())],
            )
        return data, questions

    @staticmethod
    def only(found, *names):
        if extra := found.keys() - {*names}:
            raise Refused(422, f"unknown fields {sorted(extra)}")

    def answer(self, name, level, kind, instructions, options):
        """One answer; none where System One leaves a question out."""
        if "many" in instructions:
            raise Refused(400, f"question {name}: at most 26 options")
        if self.refuses in instructions:
            return {"type": "refusal", "name": name} if self.by == "decisions" else None
        if kind in ("predicate", "noul"):
            number = {"predicate": "probability", "noul": "noul"}[kind]
            return {"type": kind, "name": name, number: level}
        rest = round((1 - level) / (len(options) - 1), 4)
        shares = [level] + [rest] * (len(options) - 1)
        best = max(range(len(options)), key=shares.__getitem__)
        k = len(options)
        about = {
            "type": kind,
            "name": name,
            "confidence": (k * max(shares) - 1) / (k - 1),
        }
        levels = [str(n) for n in range(k)] if kind == "score" else options
        if self.by == "decisions":
            pairs = zip(
                range(k) if kind == "score" else options, options, shares, strict=True
            )
            about["probabilities"] = [
                {"value": value, "probability": p}
                | ({"label": label} if kind == "score" else {})
                for value, label, p in pairs
            ]
        else:
            about["probabilities"] = dict(zip(levels, shares, strict=True))
        if kind == "score":
            about["score"] = 0.5
            if self.by != "decisions":
                about["legend"] = dict(zip(levels, options, strict=True))
            return about
        return about | {"choice": options[best]}
