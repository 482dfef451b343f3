"""Models behind a URL: OpenAI-compatible endpoints with images, and typed decisions.

Anything that answers ``/v1/chat/completions`` with an image as a data URL can be asked: vLLM,
SGLang, ``transformers serve``, llama.cpp, hosted APIs. What a server can do beyond that is found
out by asking it once: log-probabilities (some servers take the request and answer without), and
``/v1/systemone`` (typed decisions: probabilities of allowed answers, no text generated).
"""

import asyncio
import base64
import hashlib
import json
import math
import os
import re
import threading
import time
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

from medcal_nb.ask.models import (
    GENERATE,
    LABELS,
    LOGPROBS,
    SAMPLE,
    TURNS,
    Failure,
    Generate,
    LabelProbabilities,
    Labels,
    Reply,
    encode_png,
)
from medcal_nb.ask.prompts import DESCRIBE
from medcal_nb.errors import MedcalError

#: Stands for the image in the text of a typed decision.
ASSET = "image-to-judge"

#: What reading an answer of unexpected form raises.
_ODD = (ValueError, TypeError, AttributeError, KeyError)

_NO_LOGPROBS = "the server answers without log-probabilities"
_NO_SAMPLE = "the server gives the same reply at every temperature and seed"
_NO_LABELS = (
    "the server gives neither typed decisions (/v1/systemone) nor log-probabilities of first tokens"
)


#: ``transformers serve`` keeps to a model's greedy default unless it is told to draw.
_DRAWING = {"generation_config": {"do_sample": True, "top_k": 0, "top_p": 1.0}}


def _with_limit(drawing, limit):
    """Write the extra fields of a sampled request; the server reads its settings as JSON text."""
    return {
        name: json.dumps({**settings, "max_new_tokens": limit})
        for name, settings in (drawing or {}).items()
    }


class ServedModel:
    """A model behind one or several URLs.

    Parameters
    ----------
    urls : list of str
        Endpoints of the same model; requests are spread over them, and one that fails is tried
        again at the next. ``/v1`` is added where it is missing.
    model : str, optional
        Its name there; by default the first that the server lists.
    concurrency : int
        Requests under way at once, over all URLs.
    timeout : float
        Seconds a request may take.
    retries : int
        How often a request is tried again, after pauses that double from `pause` seconds.

    Notes
    -----
    The key is read from the environment variable ``OPENAI_API_KEY``. Sampled replies pass a seed
    made of item and sample; whether the server keeps it apart from its other requests is up to it.
    """

    def __init__(self, urls, *, model=None, concurrency=16, timeout=120.0, retries=5, pause=0.5):
        if not urls:
            raise MedcalError("no URL: give one or several, separated by commas")
        self.urls = [self._base(url) for url in urls]
        self.concurrency = concurrency
        self.timeout = timeout
        self.retries = retries
        self.pause = pause
        self.key = os.environ.get("OPENAI_API_KEY") or "none"
        self.decides = False
        self.top = 0
        self.model = model or self._first_model()
        self.name = self.model
        can = {GENERATE, TURNS}
        self.cannot = {}
        self.drawing = None
        with _Clients(self) as clients:
            clients.run(self._find_out(clients))
        if self.drawing is None:
            self.cannot[SAMPLE] = _NO_SAMPLE
        else:
            can.add(SAMPLE)
        if self.top:
            can.add(LOGPROBS)
        else:
            self.cannot[LOGPROBS] = _NO_LOGPROBS
        if self.decides or self.top > 1:
            can.add(LABELS)
        else:
            self.cannot[LABELS] = _NO_LABELS
        self.can = frozenset(can)

    @staticmethod
    def _base(url):
        url = url.rstrip("/")
        return url if url.endswith("/v1") else url + "/v1"

    def _first_model(self):
        from openai import OpenAI, OpenAIError

        told = ""
        for url in self.urls:
            try:
                with OpenAI(base_url=url, api_key=self.key, timeout=30, max_retries=2) as client:
                    listed = [entry.id for entry in client.models.list().data]
            except (OpenAIError, ValueError, TypeError) as error:
                told = _in_short(error, self.key)
                continue
            if listed:
                return listed[0]
            told = "it lists no model"
        shown = ", ".join(map(_shown, self.urls))
        raise MedcalError(f"{shown}: {told}: start the server, or name its model (--served-as)")

    async def _find_out(self, clients):
        """Ask once with an image for log-probabilities, and once for a typed decision."""
        from PIL import Image

        picture = _data(Image.new("RGB", (32, 32), (90, 120, 150)))
        request = {
            "messages": [_user("Is it blue? Answer yes or no.", picture)],
            "max_tokens": 1,
            "temperature": 0.0,
        }
        reply = None
        for top in (20, 5, 0):
            more = {"logprobs": True, "top_logprobs": top} if top else {}
            reply = await self._chat(clients, 0, {**request, **more}, retries=1)
            if not isinstance(reply, Failure):
                break
        if isinstance(reply, Failure):
            raise MedcalError(
                f"{_shown(self.urls[0])}: model {self.model!r} does not answer a question with an "
                f"image: {reply.reason}"
            )
        content = _logprob_content(reply)
        if content:
            self.top = max(1, len(getattr(content[0], "top_logprobs", None) or ()))
        body = _decision(self.model, "Is it blue?", picture, ("yes", "no"))
        answer = await self._post(clients, 0, "/systemone", body, retries=0)
        self.decides = isinstance(answer, dict) and "answers" in answer
        for drawing in ({}, _DRAWING):
            if await self._samples(clients, picture, drawing):
                self.drawing = drawing
                break

    async def _samples(self, clients, picture, drawing):
        """Whether sampled replies differ when a request carries `drawing`."""
        texts = set()
        for seed in range(5):
            request = {
                "messages": [_user(DESCRIBE, picture)],
                "max_tokens": 12,
                "temperature": 2.0,
                "seed": seed,
                "extra_body": _with_limit(drawing, 12),
            }
            reply = await self._chat(clients, 0, request, retries=1)
            if not isinstance(reply, Failure):
                texts.add(reply.choices[0].message.content)
            if len(texts) > 1:
                return True
        return False

    # --- one request --------------------------------------------------------------------------

    async def _try(self, clients, turn, send, retries=None):
        """Send a request, again at the next URL after a pause where that can help."""
        import openai

        retries = self.retries if retries is None else retries
        told = ""
        for attempt in range(retries + 1):
            client = clients.pick(turn + attempt)
            wait = self.pause * 2**attempt
            try:
                return await asyncio.wait_for(send(client), self.timeout)
            except TimeoutError:
                told = f"no whole answer within {self.timeout:g} s"
            except openai.APIStatusError as error:
                told = _in_short(error, self.key)
                if error.status_code < 500 and error.status_code not in (408, 409, 425, 429):
                    return Failure(told)
                after = error.response.headers.get("retry-after", "")
                if re.fullmatch(r"[0-9]+(\.[0-9]+)?", after):
                    wait = max(wait, min(60.0, float(after)))
            except (openai.OpenAIError, *_ODD) as error:
                told = _in_short(error, self.key)
            if attempt < retries:
                await asyncio.sleep(wait)
        return Failure(f"{told} ({retries + 1} tries)")

    async def _chat(self, clients, turn, request, retries=None):
        async def send(client):
            reply = await client.chat.completions.create(model=self.model, **request)
            if not reply.choices or not isinstance(reply.choices[0].message.content, str):
                raise ValueError("the reply holds no text")
            return reply

        return await self._try(clients, turn, send, retries)

    async def _post(self, clients, turn, path, body, retries=None):
        async def send(client):
            answer = await client.post(path, body=body, cast_to=object)
            if not isinstance(answer, dict):
                raise ValueError(f"{path} did not answer in JSON")
            return answer

        return await self._try(clients, turn, send, retries)

    # --- the backend's side ---------------------------------------------------------------------

    @contextmanager
    def session(self):
        """Open a batch: an image that stands in several calls is encoded once."""
        with _Clients(self) as clients:
            yield _ServedSession(self, clients)

    def show(self, prompt):
        """Return the conversation that is sent; its template is the server's."""
        change = f" {prompt.picture.change}" if prompt.picture.change else ""
        lines = []
        for i, text in enumerate(prompt.turns):
            role = "assistant" if i % 2 else "user"
            lines.append(f"{role}: {'[image' + change + '] ' if i == 0 else ''}{text}")
        return "\n".join(lines)

    def count_tokens(self, prompt):
        """Unknown: the server's tokenizer is not at hand."""
        return None


class _Clients:
    """One client per URL, on an event loop in a thread of its own.

    A notebook's own loop is running already when its cells are, so that none can be run there.
    """

    def __init__(self, backend):
        from openai import AsyncOpenAI

        self.clients = [
            AsyncOpenAI(base_url=url, api_key=backend.key, timeout=backend.timeout, max_retries=0)
            for url in backend.urls
        ]
        self.open = threading.Event()
        self.thread = threading.Thread(
            target=lambda: asyncio.run(self._stay()), name="medcal-requests", daemon=True
        )

    def __enter__(self):
        self.thread.start()
        self.open.wait()
        return self

    def __exit__(self, *exc):
        self.loop.call_soon_threadsafe(self.leave.set)
        self.thread.join()

    async def _stay(self):
        """Keep the loop running until the batch is left; what is under way then is cancelled."""
        self.loop, self.leave = asyncio.get_running_loop(), asyncio.Event()
        self.open.set()
        await self.leave.wait()
        for client in self.clients:
            await client.close()

    def run(self, coroutine):
        """Run a coroutine on the loop, wait for it, and return its result."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def pick(self, turn):
        return self.clients[turn % len(self.clients)]


class _ServedSession:
    def __init__(self, backend, clients):
        self.backend = backend
        self.clients = clients
        self.images = {}

    def run(self, calls):
        """Answer `calls`, in order, a bounded number of them under way at once."""
        for call in calls:
            if not isinstance(call, (Generate, Labels)):
                raise TypeError(f"a served model cannot answer a {type(call).__name__} call")
            picture = call.prompt.picture
            if picture not in self.images:
                try:
                    self.images[picture] = _data(picture.open())
                except MedcalError as error:
                    self.images[picture] = Failure(str(error))
        return self.clients.run(self._run(calls))

    async def _run(self, calls):
        gate = asyncio.Semaphore(self.backend.concurrency)

        async def one(turn, call):
            image = self.images[call.prompt.picture]
            if isinstance(image, Failure):
                return image
            async with gate:
                ask = self._reply if isinstance(call, Generate) else self._labels
                try:
                    return await ask(self.clients, turn, call, image)
                except _ODD as error:
                    told = _in_short(error, self.backend.key)
                    return Failure(f"the server answered in another form: {told}")

        return await asyncio.gather(*(one(i, call) for i, call in enumerate(calls)))

    async def _reply(self, clients, turn, call, image):
        backend = self.backend
        request = {
            "messages": _messages(call.prompt, image),
            "max_tokens": call.max_new_tokens,
            "temperature": call.temperature if call.seed else 0.0,
        }
        if call.seed:
            digest = hashlib.blake2b(call.seed.encode(), digest_size=4).digest()
            request["seed"] = int.from_bytes(digest, "little") >> 1
            request["extra_body"] = _with_limit(backend.drawing, call.max_new_tokens)
        if backend.top:
            request["logprobs"] = True
        started = time.perf_counter()
        reply = await backend._chat(clients, turn, request)
        if isinstance(reply, Failure):
            return reply
        content = _logprob_content(reply)
        written = _tokens(reply, "completion_tokens")
        logprob = math.fsum(token.logprob for token in content) if content else math.nan
        return Reply(
            reply.choices[0].message.content.strip(),
            logprob,
            _tokens(reply, "prompt_tokens"),
            len(content) or written,
            time.perf_counter() - started,
            reply.choices[0].finish_reason != "length",
        )

    async def _labels(self, clients, turn, call, image):
        backend = self.backend
        started = time.perf_counter()
        if backend.decides:
            state = call.prompt.turns[0]
            if call.labels != ("yes", "no"):
                # the server lists the options itself, with letters
                state = call.prompt.block or state
            body = _decision(backend.model, state, image, call.labels)
            answer = await backend._post(clients, turn, "/systemone", body)
            if isinstance(answer, Failure):
                return answer
            return _decided(answer, call.labels, time.perf_counter() - started)
        request = {
            "messages": _messages(call.prompt, image),
            "max_tokens": 1,
            "temperature": 0.0,
            "logprobs": True,
            "top_logprobs": backend.top,
        }
        reply = await backend._chat(clients, turn, request)
        if isinstance(reply, Failure):
            return reply
        return first_token_labels(
            _logprob_content(reply),
            call.labels,
            prompt_tokens=_tokens(reply, "prompt_tokens"),
            seconds=time.perf_counter() - started,
        )


def first_token_labels(content, labels, *, prompt_tokens=0, seconds=0.0):
    """Read label probabilities from the most likely first tokens of a reply.

    A token counts for a label when it begins that label and no other (case and blanks at its ends
    do not count). Tokens outside the server's list have no probability here.

    Returns
    -------
    LabelProbabilities or Failure
        A failure where no token begins a label.
    """
    top = (getattr(content[0], "top_logprobs", None) or ()) if content else ()
    mass = dict.fromkeys(labels, 0.0)
    for entry in top:
        token = entry.token.strip().casefold()
        begun = [label for label in labels if token and label.casefold().startswith(token)]
        if len(begun) == 1:
            mass[begun[0]] += math.exp(entry.logprob)
    total = math.fsum(mass.values())
    if not total:
        return Failure(f"none of the labels {list(labels)} is among the likely first tokens")
    shares = {label: value / total for label, value in mass.items()}
    return LabelProbabilities(shares, min(1.0, total), prompt_tokens, seconds)


def _decided(answer, labels, seconds):
    try:
        decision = answer["answers"]["q"]
        if decision["type"] == "noul":
            shares = {"yes": float(decision["noul"]), "no": 1.0 - float(decision["noul"])}
        else:
            shares = {label: float(decision["probabilities"][label]) for label in labels}
        tokens = int(answer.get("usage", {}).get("input_tokens", 0))
    except (KeyError, TypeError, ValueError) as error:
        return Failure(f"/v1/systemone answered in another form: {_in_short(error)}")
    return LabelProbabilities(shares, math.nan, tokens, seconds)


def _decision(model, state, image, labels):
    """Write the request of a typed decision: yes or no, or a choice between options."""
    if labels == ("yes", "no"):
        question = {"type": "noul"}
    else:
        question = {"type": "choice", "criteria": dict.fromkeys(labels)}
    return {
        "model": model,
        "state": f"{ASSET}{state}",
        "questions": {"q": question},
        "assets": {ASSET: {"data_base64": image, "media_type": "image/png"}},
    }


def _data(image):
    return base64.b64encode(encode_png(image)).decode("ascii")


def _user(text, image):
    url = f"data:image/png;base64,{image}"
    return {
        "role": "user",
        "content": [
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "text", "text": text},
        ],
    }


def _messages(prompt, image):
    messages = [_user(prompt.turns[0], image)]
    for i, text in enumerate(prompt.turns[1:], start=1):
        messages.append({"role": "assistant" if i % 2 else "user", "content": text})
    return messages


def _logprob_content(reply):
    found = getattr(reply.choices[0], "logprobs", None)
    return list(getattr(found, "content", None) or ())


def _tokens(reply, name):
    """Return a count of the reply's `usage`, 0 where the server does not tell."""
    return int(getattr(reply.usage, name, None) or 0)


def _shown(url):
    """Return a URL without user, password and query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _in_short(error, key="none"):
    """Tell an error in a line; a server that repeats the key does not make us repeat it."""
    body = getattr(error, "body", None)
    text = json.dumps(body) if isinstance(body, (dict, list)) else str(error)
    if key != "none":
        text = text.replace(key, "***")
    return f"{type(error).__name__}: {' '.join(text.split())[:200]}"
