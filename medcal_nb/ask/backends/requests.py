"""From calls to OpenAI requests and back: the same whether they are sent or written to a file.

A call becomes an *exchange*: a generator that yields lists of (path, body) and is sent as many
replies, until it returns the call's result; a failure ends it. In a body, `IMAGE` stands for the
image.
"""

import base64
import hashlib
import json
import math
from dataclasses import dataclass

from medcal_nb.ask.calls import Failure, Generate, LabelProbabilities, Reply

#: Stands for the image in a body, and for its kind.
IMAGE, KIND = "@@image@@", "@@kind@@"

#: Stands for the image in the text of a typed decision.
ASSET = "image-to-judge"

CHAT, DECISION = "/chat/completions", "/systemone"

#: What a label may have beyond what the first token tells, as a share of all labels.
UNDECIDED = 5e-4


@dataclass
class Server:
    """What a server is called and can do."""

    model: str
    top: int = 0
    decides: bool = False
    draws: dict | None = None
    several: bool = False
    scores: bool = False


# --- images --------------------------------------------------------------------------------------


def image_data(picture):
    """Return (kind, base64 text as bytes) of a picture: its own bytes where these show it.

    A JPEG or PNG in grey or RGB, neither turned by its EXIF nor transparent nor animated, is sent
    as it is; all else is opened as everywhere here and sent as PNG.
    """
    data = None if picture.change else _own_bytes(picture.source)
    kind, data = data or ("png", None)
    if data is None:
        import io

        buffer = io.BytesIO()
        picture.open().save(buffer, format="PNG", compress_level=1)
        data = buffer.getvalue()
    return kind, base64.b64encode(data)


def _own_bytes(source):
    import io
    from pathlib import Path

    from PIL import Image, UnidentifiedImageError

    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            plain = image.format in ("JPEG", "PNG") and image.mode in ("RGB", "L")
            plain = plain and getattr(image, "n_frames", 1) == 1
            plain = plain and "transparency" not in image.info
            if not plain or image.getexif().get(0x0112, 1) != 1:
                return None
            kind = image.format.lower()
            image.load()  # damaged files are told here, not by the server
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    return kind, data


def encode(body, image):
    """Write a body as JSON bytes, in it the image: (kind, base64 data) or (None, URL)."""
    kind, data = image
    text = json.dumps(body).replace(KIND, kind or KIND)
    mark = IMAGE if kind else f"data:image/{KIND};base64,{IMAGE}"
    before, found, after = text.encode().partition(mark.encode())
    return b"".join((before, data if found else b"", after))


# --- bodies --------------------------------------------------------------------------------------


def user(text):
    """Write a user's turn about the image."""
    picture = {"type": "image_url", "image_url": {"url": f"data:image/{KIND};base64,{IMAGE}"}}
    return {"role": "user", "content": [picture, {"type": "text", "text": text}]}


def _chat(server, prompt, limit, **more):
    messages = [user(prompt.turns[0])]
    for i, text in enumerate(prompt.turns[1:], start=1):
        messages.append({"role": "assistant" if i % 2 else "user", "content": text})
    body = {"model": server.model, "messages": messages, "max_tokens": limit, "temperature": 0.0}
    return CHAT, body | more


def drawing(server, seed, temperature, limit, n=1):
    """Write the fields of a sampled request; `transformers serve` reads its own as JSON text."""
    more = {"seed": seed, "temperature": temperature} | ({"n": n} if n > 1 else {})
    for name, settings in (server.draws or {}).items():
        more[name] = json.dumps({**settings, "max_new_tokens": limit})
    return more


def seed_of(call):
    """Return (seed of the item, number of the sample) of a sampled call, for a server.

    A server that draws several samples of one request gives the n-th the seed + n.
    """
    base, _, number = call.seed.rpartition("|")
    digest = hashlib.blake2b(base.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 2, int(number) if number.isdecimal() else 0


def reply_exchange(calls, server):
    """Ask for a reply, or for several samples of one prompt, consecutive in number."""
    call, more = calls[0], {"logprobs": True} if server.top else {}
    if call.seed:
        base, number = seed_of(call)
        limit = call.max_new_tokens
        more |= drawing(server, base + number, call.temperature, limit, len(calls))
    (reply,) = yield [_chat(server, call.prompt, call.max_new_tokens, **more)]
    choices = sorted(reply["choices"], key=lambda choice: choice.get("index", 0))
    if len(choices) != len(calls):
        return [Failure(f"{len(choices)} replies to a request for {len(calls)}")] * len(calls)
    prompt_tokens = count(reply, "prompt_tokens")
    written = count(reply, "completion_tokens") if len(calls) == 1 else 0
    return [_reply(choice, prompt_tokens, written) for choice in choices]


def label_exchange(call, server):
    """Ask how probable each label is: as a typed decision, by first tokens, or word by word."""
    if server.decides:
        (answer,) = yield [(DECISION, _decision(server, call))]
        return _decided(answer, call.labels)
    (reply,) = yield [_chat(server, call.prompt, 1, logprobs=True, top_logprobs=server.top)]
    tokens = count(reply, "prompt_tokens")
    found, whole = first_token_labels(token_entries(reply["choices"][0]), call.labels)
    if server.scores and not whole:
        found = yield from _scored(call, server, tokens)
    if isinstance(found, Failure):
        return found
    shares, mass = found
    return LabelProbabilities(shares, mass, tokens)


def exchange(call, server):
    """Turn one call into its exchange."""
    if isinstance(call, Generate):
        return (yield from reply_exchange([call], server))[0]
    return (yield from label_exchange(call, server))


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
    """Return text that can be written: half of a surrogate pair is replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def token_entries(choice):
    """Return the entries of a choice's log-probabilities, one a token."""
    return list((choice.get("logprobs") or {}).get("content") or ())


def _logprob(entry):
    value = entry["logprob"]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value <= 1e-3:
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
    top = [
        (str(entry["token"]).strip().casefold(), math.exp(_logprob(entry)))
        for entry in (entries[0].get("top_logprobs") or () if entries else ())
    ]
    mass, shared, whole = dict.fromkeys(labels, 0.0), 0.0, True
    for token, p in top:
        begun = [label for label in labels if token and label.casefold().startswith(token)]
        begun = [label for label in begun if label.casefold() == token] or begun
        if len(begun) == 1:
            mass[begun[0]] += p
            whole = whole and token == begun[0].casefold()
        elif begun:
            shared += p
    total = math.fsum(mass.values())
    least = min((p for _, p in top), default=1.0)
    if total == 0 or shared > UNDECIDED * (total + shared):
        return Failure(f"likely first tokens do not tell {' and '.join(labels)} apart"), False
    if min(mass.values()) == 0 and least > UNDECIDED * total:
        told = f"not all of {', '.join(labels)} are among the {len(top)} likely first tokens"
        return Failure(told), False
    return ({label: value / total for label, value in mass.items()}, min(1.0, total)), whole


def _scored(call, server, before):
    """Read each label's probability as the model's own next words, token by token.

    As on this machine: with and without a capital; where the tokens of one label begin another's,
    the token that follows is scored too, which ends the turn.
    """
    ways = {(label, way) for label in call.labels for way in (label, label[:1].upper() + label[1:])}
    told = yield from _forced(call, server, sorted(ways), before, closed=False)
    flat = [ids for ids, _ in told.values()]
    if any(a != b and b[: len(a)] == a for a in flat for b in flat):
        sizes = {way: len(ids) + 1 for way, (ids, _) in told.items()}
        told = yield from _forced(call, server, sorted(ways), before, closed=True)
        told = {way: ([], scores[: sizes[way]]) for way, (_, scores) in told.items()}
    mass = dict.fromkeys(call.labels, 0.0)
    for (label, _), (_, scores) in told.items():
        mass[label] += math.exp(math.fsum(scores)) if scores else 0.0
    total = math.fsum(mass.values())
    if not total:
        return Failure(f"the server gives no probability to any of {', '.join(call.labels)}")
    return {label: p / total for label, p in mass.items()}, min(1.0, total)


def _forced(call, server, ways, before, *, closed):
    """Have each way of writing a label read: its tokens and their log-probabilities."""
    requests, more = [], {"add_generation_prompt": False, "continue_final_message": not closed}
    for _, words in ways:
        path, body = _chat(server, call.prompt, 1, prompt_logprobs=0, **more)
        body["messages"].append({"role": "assistant", "content": words})
        requests.append((path, body))
    found = {}
    for way, reply in zip(ways, (yield requests), strict=True):
        entries = [next(iter(entry.items())) for entry in reply["prompt_logprobs"][before:]]
        found[way] = [token for token, _ in entries], [_logprob(entry) for _, entry in entries]
    return found


def _decision(server, call):
    """Write the request of a typed decision: yes or no, or a choice between options."""
    state = call.prompt.turns[0]
    question = {"type": "noul"}
    if call.labels != ("yes", "no"):
        # the server lists the options itself, with letters
        state = call.prompt.block or state
        question = {"type": "choice", "criteria": dict.fromkeys(call.labels)}
    return {
        "model": server.model,
        "state": f"{ASSET}{state}",
        "questions": {"q": question},
        "assets": {ASSET: {"data_base64": IMAGE, "media_type": f"image/{KIND}"}},
    }


def _decided(answer, labels):
    decision = answer["answers"]["q"]
    if decision["type"] == "noul":
        shares = {"yes": float(decision["noul"]), "no": 1.0 - float(decision["noul"])}
    else:
        shares = {label: float(decision["probabilities"][label]) for label in labels}
    total = math.fsum(shares.values())
    if not all(0 <= p <= 1 for p in shares.values()) or abs(total - 1) > 1e-3:
        return Failure(
            f"the server answered in another form: probabilities {list(shares.values())}"
        )
    return LabelProbabilities(shares, math.nan, count(answer, "input_tokens"))
