"""From calls to OpenAI requests and back: the same whether they are sent or written to a file.

`Asked` answers calls: it is given how to `send` the body of a request, and makes results of the
replies. In a body, `IMAGE` stands for the URL of the image.
"""

import asyncio
import base64
import hashlib
import io
import json
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from medcal_nb.ask.backends.decisions import MOST_QUESTIONS
from medcal_nb.ask.backends.rows import is_nested
from medcal_nb.ask.calls import (
    Call,
    Decide,
    Failure,
    Generate,
    LabelProbabilities,
    Labels,
    Outcome,
    Picture,
    Program,
    Reply,
    Result,
    encode_png,
)
from medcal_nb.errors import MedcalError

#: Where requests go, below ``/v1``.
CHAT = "/chat/completions"

#: Stands for the URL of the image in a body.
IMAGE = "@@image@@"
#: What an unforeseen error says of a server.
_FORM = "the server answered in another form: "

#: The body of a request, and what came back for it: JSON.
Body = dict[str, Any]
#: Calls that are put to a server.
Asking = Generate | Labels

#: Statuses of a request that the server will not take as it is.
_FAULTS = ("HTTP 400", "HTTP 413", "HTTP 422")

#: What a label may have beyond what the first token tells, as a share of all labels.
UNDECIDED = 5e-4


# --- bodies --------------------------------------------------------------------------------------


def encoded(picture: Picture) -> tuple[bytes, str, str]:
    """Return a picture as a file's bytes, their kind ("jpeg" or "png"), and a hash as its name.

    A JPEG or PNG in grey or RGB, neither turned by its EXIF nor transparent, is sent as it is; all
    else as PNG of what is seen here.
    """
    from PIL import Image

    # opened first: that tells what is wrong with it
    shown = picture.open()
    source = picture.source
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    with Image.open(io.BytesIO(data)) as own:
        kind = str(own.format).lower()
        turned = own.getexif().get(0x0112, 1) != 1
        plain = (
            own.mode in ("RGB", "L") and "transparency" not in own.info and not turned
        )
    if picture.change or not plain or kind not in ("jpeg", "png"):
        kind = "png"
        data = encode_png(shown)
    return data, kind, hashlib.blake2b(data, digest_size=16).hexdigest()


def data_url(picture: Picture) -> bytes:
    """Return a picture as a data URL, in bytes."""
    data, kind, _ = encoded(picture)
    return b"data:image/%b;base64,%b" % (kind.encode(), base64.b64encode(data))


def fill(body: Body, url: bytes) -> bytes:
    """Write a body as JSON, in it the URL of the image."""
    return json.dumps(body).encode().replace(IMAGE.encode(), url, 1)


def chat(model: str, turns: Sequence[str], limit: int, **more: Any) -> Body:
    """Write the body of a request for a reply."""
    image = {"type": "image_url", "image_url": {"url": IMAGE}}
    messages = []
    for i, text in enumerate(turns):
        content: Any = text if i else [image, {"type": "text", "text": text}]
        messages.append({"role": "assistant" if i % 2 else "user", "content": content})
    return {
        "model": model,
        "messages": messages,
        "max_tokens": limit,
        "temperature": 0.0,
    } | more


def seed_of(call: Generate) -> int:
    """Return the seed of a sampled call for a server: that of the item + the sample's number."""
    digest = hashlib.blake2b(call.seed.encode(), digest_size=4).digest()
    return (int.from_bytes(digest, "little") >> 2) + call.sample


# --- asking --------------------------------------------------------------------------------------


class Asked:
    """Programs and calls, answered by requests; equal calls are asked once.

    Parameters
    ----------
    model : str
        Its name at the server.
    send : callable
        From a call and the body of a request to a reply that `check_chat` has seen; it may raise.
    gate : async context manager
        What a call waits at before it is asked.
    top : int
        How many log-probabilities the server lists for each token.
    scores : bool
        Whether it scores words that it is given.
    many : bool
        Whether it gives several samples for one request, so that the image is sent, and paid for,
        once.
    decide : callable, optional
        From questions about one picture to their typed decisions, by one request.
    gathers : bool
        Questions for typed decisions wait until `send_decisions` is called, so that one request
        has all of them.
    """

    def __init__(
        self,
        model: str,
        send: Callable[[Asking, Body], Awaitable[Body]],
        *,
        gate: AbstractAsyncContextManager[None] = nullcontext(),
        top: int = 0,
        scores: bool = False,
        many: bool = False,
        decide: Callable[[Sequence[Decide]], Awaitable[Sequence[Result]]] | None = None,
        gathers: bool = False,
    ) -> None:
        self.decide = decide
        self.gathers = gathers
        #: questions that wait, by their picture, and what will hold their decisions
        self.waiting: dict[Picture, tuple[asyncio.Future, list[Decide]]] = {}
        self.under_way: set[asyncio.Task] = set()
        self.model = model
        self.send = send
        self.gate = gate
        #: of each call the request that answers it, and which of its replies does
        self.tasks: dict[Call, tuple[asyncio.Future, int]] = {}
        self.top = top
        self.scores = scores
        self.many = many

    async def follow(self, program: Program) -> Outcome:
        """Run a program to its end; return its rows, or the failure that ends it."""
        try:
            calls = next(program)
            while True:
                results = await self.results(calls)
                if failures := [one for one in results if isinstance(one, Failure)]:
                    return failures[0]
                calls = program.send(results)
        except StopIteration as stop:
            return stop.value
        except Exception as error:  # of a parser, for example
            return Failure.of(error, _FORM)

    async def results(self, calls: Sequence[Call]) -> list[Result | Failure]:
        """Answer calls, in order."""
        fresh = [call for call in dict.fromkeys(calls) if call not in self.tasks]
        for call in fresh:
            if isinstance(call, Decide):
                self._wait(call)
        if not self.gathers:
            self.send_decisions()
        fresh = [call for call in fresh if not isinstance(call, Decide)]
        for group in self._groups(fresh):
            task = asyncio.create_task(self._answer(group))
            self.tasks |= {call: (task, i) for i, call in enumerate(group)}
        results = []
        for call in calls:
            answered, i = self.tasks[call]
            results.append((await answered)[i])
        return results

    def _wait(self, call: Decide) -> None:
        """Let a question wait for the others about its picture."""
        made = asyncio.get_running_loop().create_future
        future, asked = self.waiting.setdefault(call.picture, (made(), []))
        self.tasks[call] = (future, len(asked))
        asked.append(call)

    def send_decisions(self) -> None:
        """Send the questions that wait, and from here on each as it comes."""
        self.gathers = False
        for future, asked in self.waiting.values():
            task = asyncio.create_task(self._decided(future, asked))
            self.under_way.add(task)
            task.add_done_callback(self.under_way.discard)
        self.waiting = {}

    async def _decided(self, future: asyncio.Future, asked: list[Decide]) -> None:
        """Ask for decisions; where a request with several fails, each by itself."""
        results: list[Result | Failure] = []
        for start in range(0, len(asked), MOST_QUESTIONS):
            part = asked[start : start + MOST_QUESTIONS]
            found = await self._decisions(part)
            if len(part) > 1 and _is_refused(found[0]):
                alone = [await self._decisions([call]) for call in part]
                found = [one for (one,) in alone]
            results += found
        future.set_result(results)

    async def _decisions(self, calls: list[Decide]) -> list[Result | Failure]:
        async with self.gate:
            try:
                if self.decide is None:
                    raise MedcalError("no typed decisions can be asked for here")
                return [*await self.decide(calls)]
            except Exception as error:
                return [Failure.of(error, _FORM)] * len(calls)

    def _groups(self, calls: Sequence[Call]) -> list[list[Any]]:
        """Put samples of one prompt that follow each other into one request."""
        groups: list[list[Any]] = []
        for call in calls:
            last = groups[-1][-1] if groups else None
            is_next = (
                isinstance(call, Generate)
                and isinstance(last, Generate)
                and call.seed != ""
                and replace(last, sample=call.sample) == call
                and call.sample == last.sample + 1
            )
            if self.many and is_next:
                groups[-1].append(call)
            else:
                groups.append([call])
        return groups

    async def _answer(self, group: list[Any]) -> list[Result | Failure]:
        """Answer calls by one request; what has another form is a failure of them all."""
        async with self.gate:
            try:
                if isinstance(group[0], Labels):
                    return [await self._labels(group[0])]
                return await self._replied(group)
            except Exception as error:
                return [Failure.of(error, _FORM)] * len(group)

    async def _chat(self, call: Asking, limit: int, *later: str, **more: Any) -> Body:
        """Ask for a reply to a call's prompt, or what it makes of later turns."""
        return await self.send(
            call, chat(self.model, (*call.prompt.turns, *later), limit, **more)
        )

    async def _replied(self, group: list[Generate]) -> list[Result | Failure]:
        call = group[0]
        more: Body = {"logprobs": True} if self.top else {}
        if call.seed:
            more |= {"seed": seed_of(call), "temperature": call.temperature}
        if len(group) > 1:
            more["n"] = len(group)
        return [
            *_replies(await self._chat(call, call.max_new_tokens, **more), len(group))
        ]

    async def _labels(self, call: Labels) -> LabelProbabilities:
        """Ask how probable each label is: by first tokens, or word by word."""
        reply = await self._chat(call, 1, logprobs=True, top_logprobs=self.top)
        before = count(reply, "prompt_tokens")
        entries = token_entries(reply["choices"][0])
        mass = first_token_labels(entries, call.labels, whole=self.scores)
        if not mass and self.scores:
            mass = await self._scored(call, before)
        total = math.fsum(mass.values()) if mass else 0.0
        if not mass or not total:
            raise MedcalError(
                f"the likely first tokens do not tell {', '.join(call.labels)} apart"
            )
        shares = {label: p / total for label, p in mass.items()}
        return LabelProbabilities(shares, before)

    async def _scored(self, call: Labels, before: int) -> dict[str, float]:
        """Read each label's probability as the model's own next words, token by token.

        As on this machine: with and without a capital.
        """
        form = {"add_generation_prompt": False, "continue_final_message": True}

        async def read(words: str) -> list[tuple[str, float]]:
            reply = await self._chat(call, 1, words, prompt_logprobs=0, **form)
            tokens = [
                next(iter(one.items())) for one in reply["prompt_logprobs"][before:]
            ]
            return [(token, _logprob(entry)) for token, entry in tokens]

        ways = {}
        for label in call.labels:
            ways[label] = label
            ways[label[:1].upper() + label[1:]] = label
        scored = await asyncio.gather(*map(read, ways))
        if is_nested([[token for token, _ in one] for one in scored]):
            raise MedcalError("an option begins another one: ask with --letters")
        mass = dict.fromkeys(call.labels, 0.0)
        for label, one in zip(ways.values(), scored, strict=True):
            mass[label] += math.exp(math.fsum(p for _, p in one)) if one else 0.0
        return mass


def _is_refused(result: Result | Failure) -> bool:
    """Whether a server found fault with what it was asked: it may be one question of many."""
    return isinstance(result, Failure) and result.reason.startswith(_FAULTS)


# --- replies -------------------------------------------------------------------------------------


def first_token_labels(
    entries: list[Body], labels: Sequence[str], *, whole: bool = False
) -> dict[str, float] | None:
    """Read label probabilities from the most likely first tokens of a reply.

    A token counts for the one label that it begins, by whole words or else by part of one (case and
    blanks at its ends do not count).

    Parameters
    ----------
    entries : list of dict
        Log-probabilities of a reply, one entry a token, the likeliest tokens in the first.
    labels : sequence of str
    whole : bool
        Count only tokens that are the whole label.

    Returns
    -------
    dict or None
        The probability of each; None where the tokens listed leave a label open by more than
        `UNDECIDED` of all labels: tokens that count for none, or a label that none is listed for.
    """
    mass = dict.fromkeys(labels, 0.0)
    shared = 0.0
    least = 1.0
    for entry in entries[0]["top_logprobs"] if entries else ():
        token = str(entry["token"]).strip().casefold()
        p = math.exp(_logprob(entry))
        least = min(least, p)
        matching = [
            label for label in labels if token and label.casefold().startswith(token)
        ]
        begun = [
            label
            for label in matching
            if f"{label} ".casefold().startswith(f"{token} ")
        ] or matching
        if len(begun) == 1 and not (whole and begun[0].casefold() != token):
            mass[begun[0]] += p
        elif begun:
            shared += p
    total = math.fsum(mass.values())
    unseen = min(mass.values()) == 0 and least > UNDECIDED * total
    return (
        None if total == 0 or unseen or shared > UNDECIDED * (total + shared) else mass
    )


def check_chat(reply: Body) -> Body:
    """Return a chat reply that holds text, or raise."""
    text = reply["choices"][0]["message"]["content"]
    if not isinstance(text, str):
        raise ValueError("the reply holds no text")
    return reply


def count(reply: Body, name: str) -> int:
    """Return a count of the reply's `usage`, 0 where the server does not tell."""
    number = (reply.get("usage") or {}).get(name)
    return number if isinstance(number, int) and 0 <= number < 1 << 31 else 0


def clean(text: str) -> str:
    """Return a text as one that can be written: half of a surrogate pair is replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def version_of(reply: Body) -> str:
    """Return the version of itself that a server tells with a reply."""
    return clean(str(reply.get("system_fingerprint") or "not named"))[:200]


def token_entries(choice: Body) -> list[Body]:
    """Return the entries of a choice's log-probabilities, one a token."""
    return list((choice.get("logprobs") or {}).get("content") or ())


def n_listed(reply: Body) -> int:
    """Return how many log-probabilities stand at a reply's first token: 1 is that token's own.

    0 where none do, they have another form, or a server has filled them with zeros.
    """
    with suppress(AttributeError, LookupError, TypeError):
        listed = token_entries(reply["choices"][0])[0].get("top_logprobs") or ()
        is_filled = len(listed) > 1 and not any(one["logprob"] for one in listed)
        return 0 if is_filled else max(1, len(listed))
    return 0


def _logprob(entry: Body, least: float = -math.inf) -> float:
    value = entry["logprob"]
    if type(value) not in (int, float) or not least <= value <= 1e-3:
        raise ValueError(f"a log-probability of {value!r}")
    return min(0.0, float(value))


def _replies(answer: Body, n: int) -> list[Reply]:
    """Read the `n` replies of an answer; what they share stands with the first."""
    choices = sorted(answer["choices"], key=lambda one: one.get("index") or 0)
    if len(choices) < n:
        raise MedcalError(f"asked for {n} replies, the server gave {len(choices)}")
    written = count(answer, "completion_tokens")
    shares = [written // n + (i < written % n) for i in range(n)]
    prompt = [count(answer, "prompt_tokens")] + [0] * (n - 1)
    model = clean(str(answer.get("model") or ""))[:200]
    return [
        _reply(choice, n_prompt, n_new, model)
        for choice, n_prompt, n_new in zip(choices[:n], prompt, shares, strict=True)
    ]


def _reply(choice: Body, n_prompt: int, n_new: int, model: str) -> Reply:
    """Read a reply: its own tokens, none of probability 0, the end token left out."""
    text = clean(choice["message"]["content"]).strip()
    entries = token_entries(choice)
    logprobs = [_logprob(one, -1e308) for one in entries]
    end = choice.get("finish_reason")
    if entries and end == "stop":
        last = str(entries[-1].get("token"))
        if not last or not text.endswith(last.strip() or last):
            logprobs.pop()
    return Reply(
        text,
        math.fsum(logprobs) if entries else math.nan,
        n_prompt,
        len(logprobs) if entries else n_new,
        finished=end != "length",
        model=model,
    )
