"""From calls to OpenAI requests and back: the same whether they are sent or written to a file.

A call, or several samples of one prompt, is answered by `answer`: it is given how to `send` the
body of a request, and makes results of the replies. In a body, `IMAGE` stands for the image.
"""

import asyncio
import base64
import hashlib
import io
import itertools
import json
import math
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from medcal_nb.ask.calls import Failure, LabelProbabilities, Labels, Reply, encode_png
from medcal_nb.errors import MedcalError

#: Where requests go, below ``/v1``.
CHAT = "/chat/completions"

#: Stands for the image in a body.
IMAGE = "@@image@@"

#: What a label may have beyond what the first token tells, as a share of all labels.
UNDECIDED = 5e-4


@dataclass
class Server:
    """What a server is called and can do.

    `top` log-probabilities are listed for each token; it `draws` replies, gives `several` of one
    request, `scores` words that it is given, and finds an image again by the `names` it was sent
    with.
    """

    model: str
    top: int = 0
    draws: bool = False
    several: bool = False
    scores: bool = False
    names: bool = False

    def cannot(self):
        """Why it cannot give what it does not, by the names in `WRITING`."""
        why = {}
        if not self.draws:
            why["sample"] = "the server gives the same reply at every temperature and seed"
        if not self.top:
            why["logprobs"] = "the server answers without log-probabilities"
        if self.top < 2:
            why["labels"] = "the server does not list the likely first tokens of a reply"
        return why


# --- bodies --------------------------------------------------------------------------------------


def image_file(picture):
    """Return a picture as a file: the kind and the bytes, its own where they show it.

    A JPEG or PNG in grey or RGB, neither turned by its EXIF nor transparent nor animated, is sent
    as it is; all else as PNG of what is seen here.
    """
    from PIL import Image

    with suppress(OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        data = picture.source
        data = data if isinstance(data, bytes) else Path(data).read_bytes()
        with Image.open(io.BytesIO(data)) as own:
            plain = own.format in ("JPEG", "PNG") and own.mode in ("RGB", "L")
            plain = plain and getattr(own, "n_frames", 1) == 1 and "transparency" not in own.info
            if plain and not picture.change and own.getexif().get(0x0112, 1) == 1:
                own.load()  # damage is told here, not by the server
                return own.format.lower(), data
    return "png", encode_png(picture.open())  # which tells why it cannot be read


def data_url(kind, data):
    """Return an image file as a data URL, in bytes."""
    return b"data:image/%b;base64,%b" % (kind.encode(), base64.b64encode(data))


def fill(body, url, name=""):
    """Write a body as JSON, in it the image: by its URL, its name, or both; in parts of bytes."""
    before, _, after = json.dumps(body).encode().partition(f'"{IMAGE}"'.encode())
    before += b'{"type": "image_url", "image_url": '
    after = (f', "uuid": "{name}"}}' if name else "}").encode() + after
    if url is None:
        return (before + b"null" + after,)
    return before + b'{"url": "', url, b'"}' + after


def chat(server, prompt, limit, **more):
    """Write the body of a request for a reply."""
    messages = []
    for i, text in enumerate(prompt.turns):
        content = text if i else [IMAGE, {"type": "text", "text": text}]
        messages.append({"role": "assistant" if i % 2 else "user", "content": content})
    body = {"model": server.model, "messages": messages, "max_tokens": limit, "temperature": 0.0}
    return body | more


def seed_of(call):
    """Return the seed of a sampled call for a server: that of the item + the sample's number.

    A server that draws several samples of one request gives the n-th the request's seed + n.
    """
    base, _, number = call.seed.rpartition("|")
    digest = hashlib.blake2b(base.encode(), digest_size=4).digest()
    return (int.from_bytes(digest, "little") >> 2) + int(number)


def grouped(calls, server):
    """Split calls into those of one request: samples of a prompt, where it gives several."""

    def request(call):
        sampled = server.several and getattr(call, "seed", "")
        return replace(call, seed=call.seed.rpartition("|")[0]) if sampled else call

    return [list(members) for _, members in itertools.groupby(calls, request)]


# --- answers -------------------------------------------------------------------------------------


async def answer(calls, server, send):
    """Answer a call, or samples of one prompt that are consecutive in number.

    Parameters
    ----------
    calls : list of Generate or Labels
    server : Server
    send : callable
        From the body of a request to a reply that `check_chat` has seen; it may raise.

    Returns
    -------
    list
        A result for each call, whatever goes wrong.
    """
    try:
        if isinstance(calls[0], Labels):
            return [await _labels(calls[0], server, send)]
        return await _replies(calls, server, send)
    except MedcalError as error:
        told = str(error)
    except Exception as error:  # whatever a server answers is that call's failure
        told = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        told = f"the server answered in another form: {told}"
    return [Failure(told)] * len(calls)


async def _replies(calls, server, send):
    call, more = calls[0], {"logprobs": True} if server.top else {}
    if call.seed:
        more |= {"seed": seed_of(call), "temperature": call.temperature}
    if len(calls) > 1:
        more["n"] = len(calls)
    reply = await send(chat(server, call.prompt, call.max_new_tokens, **more))
    if len(reply["choices"]) != len(calls):
        raise ValueError(f"{len(reply['choices'])} replies to a request for {len(calls)}")
    prompt_tokens = count(reply, "prompt_tokens")
    written = count(reply, "completion_tokens") if len(calls) == 1 else 0
    return [_reply(choice, prompt_tokens, written) for choice in reply["choices"]]


async def _labels(call, server, send):
    """Ask how probable each label is: by first tokens, or word by word."""
    reply = await send(chat(server, call.prompt, 1, logprobs=True, top_logprobs=server.top))
    before, entries = count(reply, "prompt_tokens"), token_entries(reply["choices"][0])
    found = first_token_labels(entries, call.labels, whole=server.scores)
    if found is None and server.scores:
        found = await _scored(call, server, send, before)
    if found is None:
        raise MedcalError(f"the likely first tokens do not tell {', '.join(call.labels)} apart")
    return LabelProbabilities(*found, before)


def first_token_labels(entries, labels, *, whole=False):
    """Read label probabilities from the most likely first tokens of a reply.

    A token counts for the one label that it begins, by whole words or else by part of one (case and
    blanks at its ends do not count).

    Parameters
    ----------
    entries : list of dict
        Log-probabilities of a reply, one entry a token.
    labels : sequence of str
    whole : bool
        Count only tokens that are the whole label.

    Returns
    -------
    (dict, float) or None
        Shares and the mass they cover; None where the tokens listed leave a label open by more than
        `UNDECIDED`: tokens that count for none, or a label that none is listed for.
    """
    top = (entries[0].get("top_logprobs") or ()) if entries else ()
    mass, shared, least = dict.fromkeys(labels, 0.0), 0.0, 1.0
    for entry in top:
        token, p = str(entry["token"]).strip().casefold(), math.exp(_logprob(entry))
        least = min(least, p)
        told = [label for label in labels if token and label.casefold().startswith(token)]
        begun = [label for label in told if f"{label} ".casefold().startswith(f"{token} ")] or told
        if len(begun) == 1 and not (whole and begun[0].casefold() != token):
            mass[begun[0]] += p
        elif begun:
            shared += p
    total = math.fsum(mass.values())
    unseen = min(mass.values()) == 0 and least > UNDECIDED * total
    if total == 0 or unseen or shared > UNDECIDED * (total + shared):
        return None
    return {label: value / total for label, value in mass.items()}, min(1.0, total)


async def _scored(call, server, send, before):
    """Read each label's probability as the model's own next words, token by token.

    As on this machine: with and without a capital; where the tokens of one label begin another's,
    the token that follows is scored too, which ends the turn.
    """

    async def read(words, *, closed):
        form = {"add_generation_prompt": False, "continue_final_message": not closed}
        body = chat(server, call.prompt, 1, prompt_logprobs=0, **form)
        body["messages"].append({"role": "assistant", "content": words})
        told = (await send(body))["prompt_logprobs"][before:]
        entries = [next(iter(entry.items())) for entry in told]
        return [(token, _logprob(entry)) for token, entry in entries]

    ways = {(label, way) for label in call.labels for way in (label, label[:1].upper() + label[1:])}
    ways = sorted(ways)
    scored = await asyncio.gather(*(read(way, closed=False) for _, way in ways))
    written = [[token for token, _ in one] for one in scored]
    if any(a != b and b[: len(a)] == a for a in written for b in written):
        closed = await asyncio.gather(*(read(way, closed=True) for _, way in ways))
        scored = [longer[: len(one) + 1] for one, longer in zip(scored, closed, strict=True)]
    mass = dict.fromkeys(call.labels, 0.0)
    for (label, _), one in zip(ways, scored, strict=True):
        mass[label] += math.exp(math.fsum(p for _, p in one)) if one else 0.0
    total = math.fsum(mass.values())
    if not total:
        raise ValueError(f"no probability of any of {', '.join(call.labels)}")
    return {label: p / total for label, p in mass.items()}, min(1.0, total)


# --- replies -------------------------------------------------------------------------------------


def check_chat(reply):
    """Return a chat reply that holds text, or raise."""
    texts = [choice["message"]["content"] for choice in reply["choices"]]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError("the reply holds no text")
    return reply


def count(reply, name):
    """Return a count of the reply's `usage`, 0 where the server does not tell."""
    told = (reply.get("usage") or {}).get(name)
    return told if isinstance(told, int) and 0 <= told < 1 << 31 else 0


def clean(text):
    """Return a text as one that can be written: half of a surrogate pair is replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def token_entries(choice):
    """Return the entries of a choice's log-probabilities, one a token."""
    return list((choice.get("logprobs") or {}).get("content") or ())


def _logprob(entry):
    value = entry["logprob"]
    if type(value) not in (int, float) or not value <= 1e-3:
        raise ValueError(f"a log-probability of {value!r}")
    return min(0.0, float(value))


def _reply(choice, prompt_tokens, written):
    """Read a reply: its own tokens, the end token neither summed nor counted."""
    text, entries = choice["message"]["content"], token_entries(choice)
    logprobs = [_logprob(entry) for entry in entries]
    ended = choice.get("finish_reason") == "stop"
    if entries and ended:
        last = str(entries[-1].get("token"))
        if not last or not text.rstrip().endswith(last.strip() or last):
            logprobs.pop()
    total, n = math.fsum(logprobs), len(logprobs)
    if not math.isfinite(total):
        raise ValueError("a token of probability 0")
    if not entries:
        total, n = math.nan, max(0, written - ended)
    finished = choice.get("finish_reason") != "length"
    return Reply(clean(text).strip(), total, prompt_tokens, n, 0.0, finished)
