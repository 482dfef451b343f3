"""From calls to OpenAI requests and back: the same whether they are sent or written to a file.

A call, or several samples of one prompt, becomes an *exchange*: a generator that yields lists of
(path, body) and is sent as many replies, until it returns the results; a failure ends it. In a
body, `IMAGE` stands for the image.
"""

import base64
import hashlib
import io
import itertools
import json
import math
from dataclasses import dataclass

from medcal_nb.ask.calls import Failure, LabelProbabilities, Labels, Reply, encode_png

#: What a server gives at best.
CAN = frozenset(("generate", "turns", "sample", "logprobs", "labels"))

#: Stands for the image in a body.
IMAGE = "@@image@@"

#: Stands for the image in the text of a typed decision.
ASSET = "image-to-judge"

CHAT, DECISION = "/chat/completions", "/systemone"

#: What a label may have beyond what the first token tells, as a share of all labels.
UNDECIDED = 5e-4


@dataclass
class Server:
    """What a server is called and can do.

    `top` log-probabilities are listed for each token; it `decides` between labels; `draws` holds
    what it must be told to sample; it gives `several` samples of one request, `scores` words that
    it is given, and finds an image again by the `names` it was sent with.
    """

    model: str
    top: int = 0
    decides: bool = False
    draws: dict | None = None
    several: bool = False
    scores: bool = False
    names: bool = False

    def cannot(self):
        """Why it cannot give what it does not, by the names in `CAN`."""
        why = {}
        if self.draws is None:
            why["sample"] = "the server gives the same reply at every temperature and seed"
        if not self.top:
            why["logprobs"] = "the server answers without log-probabilities"
        if not (self.decides or self.top > 1):
            why["labels"] = "the server gives neither typed decisions nor likely first tokens"
        return why


# --- images --------------------------------------------------------------------------------------


def image_url(picture):
    """Return a picture as a data URL, in bytes: its own file where that shows it.

    A JPEG or PNG in grey or RGB, neither turned by its EXIF nor transparent nor animated, is sent
    as it is; all else is opened as everywhere here and sent as PNG.
    """
    found = None if picture.change else _own_bytes(picture.source)
    kind, data = found or (b"png", encode_png(picture.open()))
    return b"data:image/%b;base64,%b" % (kind, base64.b64encode(data))


def _own_bytes(source):
    """Return kind and bytes of a file that shows what is meant as it is, or None."""
    from pathlib import Path

    from PIL import Image

    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            plain = image.format in ("JPEG", "PNG") and image.mode in ("RGB", "L")
            plain = plain and getattr(image, "n_frames", 1) == 1
            plain = plain and "transparency" not in image.info
            if not plain or image.getexif().get(0x0112, 1) != 1:
                return None
            image.load()  # damaged files are told here, not by the server
            return image.format.lower().encode(), data
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def fill(path, body, url, name=""):
    """Write a body as JSON, in it the image: by its URL, its name, or both; in parts of bytes."""
    before, _, after = json.dumps(body).encode().partition(f'"{IMAGE}"'.encode())
    if path == DECISION:
        head, _, data = url.partition(b";base64,")
        kind = head.removeprefix(b"data:")
        return before + b'{"media_type": "%b", "data_base64": "' % kind, data, b'"}' + after
    called = f', "uuid": "{name}"}}'.encode() if name else b"}"
    before += b'{"type": "image_url", "image_url": '
    if url is None:
        return (before + b"null" + called + after,)
    return before + b'{"url": "', url, b'"}' + called + after


# --- bodies --------------------------------------------------------------------------------------


def chat(server, prompt, limit, **more):
    """Write the request of a reply."""
    messages = []
    for i, text in enumerate(prompt.turns):
        content = text if i else [IMAGE, {"type": "text", "text": text}]
        messages.append({"role": "assistant" if i % 2 else "user", "content": content})
    body = {"model": server.model, "messages": messages, "max_tokens": limit, "temperature": 0.0}
    return CHAT, body | more


def seed_of(call):
    """Return (seed of the item, number of the sample) of a sampled call, for a server.

    A server that draws several samples of one request gives the n-th the seed + n.
    """
    base, _, number = call.seed.rpartition("|")
    digest = hashlib.blake2b(base.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 2, int(number) if number.isdecimal() else 0


def grouped(calls, server):
    """Split calls into those of one request: samples of a prompt, where it gives several."""

    def request(numbered):
        i, call = numbered
        if not (server.several and getattr(call, "seed", "")):
            return i
        base, number = seed_of(call)  # of consecutive numbers, so that i runs with them
        return call.prompt, call.temperature, call.max_new_tokens, base, number - i

    for _, members in itertools.groupby(enumerate(calls), request):
        yield [call for _, call in members]


# --- exchanges -----------------------------------------------------------------------------------


def exchange(calls, server):
    """Turn a call, or samples of one prompt that are consecutive in number, into an exchange."""
    call, more = calls[0], {"logprobs": True} if server.top else {}
    if isinstance(call, Labels):
        return (yield from _label_exchange(call, server))
    if call.seed:
        more |= {"seed": sum(seed_of(call)), "temperature": call.temperature}
        more |= {"n": len(calls)} if len(calls) > 1 else {}
        for name, settings in (server.draws or {}).items():  # `transformers serve` reads JSON text
            more[name] = json.dumps({**settings, "max_new_tokens": call.max_new_tokens})
    (reply,) = yield [chat(server, call.prompt, call.max_new_tokens, **more)]
    choices = sorted(reply["choices"], key=lambda choice: choice.get("index", 0))
    if len(choices) != len(calls):
        return [Failure(f"{len(choices)} replies to a request for {len(calls)}")] * len(calls)
    prompt_tokens = count(reply, "prompt_tokens")
    written = count(reply, "completion_tokens") if len(calls) == 1 else 0
    return [_reply(choice, prompt_tokens, written) for choice in choices]


def advance(exchange, replies, n):
    """Send an exchange its replies.

    Returns
    -------
    (list, None) or (None, list)
        The requests that come next, or `n` results, whatever goes wrong.
    """
    failed = next((reply for reply in replies or () if isinstance(reply, Failure)), None)
    try:
        if failed is None:
            return exchange.send(replies), None
    except StopIteration as stop:
        return None, stop.value
    except Exception as error:
        told = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        failed = Failure(f"the server answered in another form: {told}")
    return None, [failed] * n


def _label_exchange(call, server):
    """Ask how probable each label is: as a typed decision, by first tokens, or word by word."""
    if server.decides:
        (answer,) = yield [(DECISION, _decision(server, call))]
        return [_decided(answer, call.labels)]
    (reply,) = yield [chat(server, call.prompt, 1, logprobs=True, top_logprobs=server.top)]
    tokens = count(reply, "prompt_tokens")
    found, whole = first_token_labels(token_entries(reply["choices"][0]), call.labels)
    if server.scores and not whole:
        return (yield from scored(call, server, tokens))
    return [found if isinstance(found, Failure) else LabelProbabilities(*found, tokens)]


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


def first_token_labels(entries, labels):
    """Read label probabilities from the most likely first tokens of a reply.

    A token counts for a label when it is that label, or begins it and no other (case and blanks at
    its ends do not count).

    Returns
    -------
    found : (dict, float) or Failure
        Shares and the mass they cover; a failure where the tokens listed leave a label open by more
        than `UNDECIDED`: tokens that begin several, or a label that none begins.
    whole : bool
        Whether each label is one token, so that its share is that of its first.
    """
    top = (entries[0].get("top_logprobs") or ()) if entries else ()
    mass, shared, whole, least = dict.fromkeys(labels, 0.0), 0.0, True, 1.0
    for entry in top:
        token, p = str(entry["token"]).strip().casefold(), math.exp(_logprob(entry))
        least = min(least, p)
        begun = [label for label in labels if token and label.casefold().startswith(token)]
        begun = [label for label in begun if label.casefold() == token] or begun
        if len(begun) == 1:
            mass[begun[0]] += p
            whole = whole and token == begun[0].casefold()
        elif begun:
            shared += p
    total = math.fsum(mass.values())
    unseen = min(mass.values()) == 0 and least > UNDECIDED * total
    if total == 0 or unseen or shared > UNDECIDED * (total + shared):
        told = f"the {len(top)} likely first tokens do not tell {', '.join(labels)} apart"
        return Failure(told), False
    return ({label: value / total for label, value in mass.items()}, min(1.0, total)), whole


def scored(call, server, before):
    """Read each label's probability as the model's own next words, token by token.

    As on this machine: with and without a capital; where the tokens of one label begin another's,
    the token that follows is scored too, which ends the turn.
    """
    ways = {(label, way) for label in call.labels for way in (label, label[:1].upper() + label[1:])}
    told = yield from _forced(call, server, sorted(ways), before, closed=False)
    written = [[token for token, _ in read] for read in told.values()]
    if any(a != b and b[: len(a)] == a for a in written for b in written):
        sizes = {way: len(read) + 1 for way, read in told.items()}
        told = yield from _forced(call, server, sorted(ways), before, closed=True)
        told = {way: read[: sizes[way]] for way, read in told.items()}
    mass = dict.fromkeys(call.labels, 0.0)
    for (label, _), read in told.items():
        mass[label] += math.exp(math.fsum(p for _, p in read)) if read else 0.0
    total = math.fsum(mass.values())
    if not total:
        return [Failure(f"the server gives no probability to any of {', '.join(call.labels)}")]
    shares = {label: p / total for label, p in mass.items()}
    return [LabelProbabilities(shares, min(1.0, total), before)]


def _forced(call, server, ways, before, *, closed):
    """Have each way of writing a label read: its tokens and their log-probabilities."""
    requests, more = [], {"add_generation_prompt": False, "continue_final_message": not closed}
    for _, words in ways:
        path, body = chat(server, call.prompt, 1, prompt_logprobs=0, **more)
        body["messages"].append({"role": "assistant", "content": words})
        requests.append((path, body))
    found = {}
    for way, reply in zip(ways, (yield requests), strict=True):
        entries = [next(iter(entry.items())) for entry in reply["prompt_logprobs"][before:]]
        found[way] = [(token, _logprob(entry)) for token, entry in entries]
    return found


def _decision(server, call):
    """Write the request of a typed decision: yes or no, or a choice between options."""
    state, question = call.prompt.turns[0], {"type": "noul"}
    if call.labels != ("yes", "no"):
        # the server lists the options itself, with letters
        state = call.prompt.block or state
        question = {"type": "choice", "criteria": dict.fromkeys(call.labels)}
    body = {"model": server.model, "state": f"{ASSET}{state}", "questions": {"q": question}}
    return body | {"assets": {ASSET: IMAGE}}


def _decided(answer, labels):
    """Read a typed decision."""
    decision = answer["answers"]["q"]
    told = decision.get("probabilities") or {"yes": decision["noul"], "no": 1 - decision["noul"]}
    shares = {label: float(told[label]) for label in labels}
    total = math.fsum(shares.values())
    if not all(0 <= p <= 1 for p in shares.values()) or abs(total - 1) > 1e-3:
        raise ValueError(f"probabilities {list(shares.values())}")
    return LabelProbabilities(shares, math.nan, count(answer, "input_tokens"))
