"""What strategies share: calls about an item, rows of its replies, rules that grade rows."""

import math
import re
from collections.abc import Callable, Generator, Sequence
from functools import lru_cache

from medcal_nb.ask import calls, prompts
from medcal_nb.ask.strategy import Plan
from medcal_nb.datasets import Item
from medcal_nb.logs.typed import CHOSEN
from medcal_nb.words import parse_answer, parse_confidence

#: Between the replies of several turns in the column `raw`.
TURN_MARK = "\n---\n"
#: Of a probability that is logged: more are not the same on another processor.
PLACES = 4


def picture(item: Item, change: str = "") -> calls.Picture:
    """The image of an item, changed."""
    return calls.Picture(str(item.image_id), item.image, change)


#: The item's own.
_OWN = ("",)


def prompt(
    item: Item,
    instruction: str,
    *later: str,
    change: str = "",
    question: str = "",
    options: Sequence[str] | None = _OWN,
    lettered: bool = False,
) -> calls.Prompt:
    """Lay out the first turn about an item, and the turns after it.

    `question` and `options` stand in place of the item's own.
    """
    block = prompts.question_block(
        question or item.question,
        item.options if options is _OWN else options,
        lettered=lettered,
    )
    turns = (f"{block}\n{instruction}", *later)
    return calls.Prompt(picture(item, change), turns, block)


def ask(
    item: Item, plan: Plan, kind: str, instruction: str, *later: str
) -> Generator[list[calls.Call], list[calls.Reply], calls.Reply]:
    """Ask one greedy reply."""
    (reply,) = yield [
        calls.Generate(prompt(item, instruction, *later), plan.limit(kind))
    ]
    return reply


# the same short replies come again and again
_parse = lru_cache(maxsize=1 << 16)(parse_answer)


def parse(item: Item, text: str) -> str | None:
    """The answer to an item that a text states, or None."""
    return _parse(text, question_type=item.question_type, options=item.options)


#: A line of the answer that has come to its end.
_ANSWER_LINE = re.compile(r"^\W*answer\W*:.*\n", re.IGNORECASE | re.MULTILINE)


def answer_of(item: Item, reply: calls.Reply) -> str | None:
    """The answer that a reply states, or None.

    A reply that its limit of tokens cut has one where the line "Answer: …" is whole, or where all
    of it is an option.
    """
    answer = parse(item, reply.text)
    if reply.finished or reply.text.strip().casefold() in map(
        str.casefold, item.options or ()
    ):
        return answer
    lines = _ANSWER_LINE.findall(reply.text)
    return parse(item, lines[-1]) if lines else None


def row(
    replies: Sequence[calls.Result],
    answer: str | None,
    confidence: float | None = None,
    *,
    probabilities: dict[str, float] | None = None,
    sample: int = 0,
    ok: bool | None = None,
) -> calls.Row:
    """Write one answer row; texts are joined, tokens summed over what is behind it."""
    shares = {}
    for name, p in (probabilities or {}).items():
        shares[name] = round(float(p), PLACES)
    if confidence is not None:
        confidence = round(float(confidence), PLACES)
    models = {getattr(reply, "model", "") for reply in replies} - {""}
    by = {"answered_by": "; ".join(sorted(models))} if models else {}
    return by | {
        "sample": sample,
        "answer": answer,
        "confidence": math.nan if confidence is None else confidence,
        "option_probabilities": shares or None,
        "raw": TURN_MARK.join(r.text for r in replies if isinstance(r, calls.Reply)),
        "parse_ok": answer is not None if ok is None else ok,
        "prompt_tokens": sum(r.prompt_tokens for r in replies) or None,
        "new_tokens": sum(getattr(r, "new_tokens", 0) for r in replies),
        "n_cut": sum(not getattr(r, "finished", True) for r in replies),
    }


def whole(reply: calls.Reply) -> str:
    """Return a reply without a number at its end that the limit of tokens may have cut in two."""
    return reply.text if reply.finished else reply.text.rstrip("0123456789.,")


def stated(
    item: Item,
    replies: Sequence[calls.Reply],
    *,
    answered: int = 0,
    read: Callable[[str], float | None] = parse_confidence,
) -> list[calls.Row]:
    """Write the row of the answer in one reply and the confidence in the last."""
    text = whole(replies[-1])
    if replies[answered] is replies[-1] and not text.strip("0123456789.,"):
        text = ""  # a number alone is the answer
    answer = answer_of(item, replies[answered])
    confidence = read(text)
    return [row(replies, answer, confidence, ok=None not in (answer, confidence))]


def unstated(item: Item, replies: Sequence[calls.Reply]) -> list[calls.Row]:
    """One row per reply that states an answer and no confidence."""
    return [
        row([reply], answer_of(item, reply), sample=i)
        for i, reply in enumerate(replies)
    ]


def likeliest(
    result: calls.LabelProbabilities, options: Sequence[str], sample: int = 0
) -> calls.Row:
    """Write the row of the likeliest of several answers."""
    shares = dict(zip(options, result.probabilities.values(), strict=True))
    best = max(shares, key=shares.__getitem__)
    return row([result], best, shares[best], probabilities=shares, sample=sample)


def decided(result: calls.Decided) -> calls.Row:
    """Write the row of a typed decision; a question that was refused has no answer."""
    decision = result.decision
    extra = {
        "label_mass": decision.label_mass,
        "vendor_number": decision.vendor_number,
    }
    known: calls.Row = {
        name: round(p, PLACES) for name, p in extra.items() if p is not None
    }
    if decision.answer is None:
        return row([result], None) | {"refused": True}
    known |= {"confidence_from": CHOSEN}
    shares = decision.probabilities
    return (
        row([result], decision.answer, decision.confidence, probabilities=shares)
        | known
    )


def shown(item: Item, reply: calls.Reply) -> str:
    """Return the answer as it is shown back to a model."""
    return parse(item, reply.text) or " ".join(reply.text.split())[:200]
