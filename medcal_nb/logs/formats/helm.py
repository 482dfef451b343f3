"""Logs of HELM: ``scenario_state.json``, every request of a run with its completions.

The right answers are the references tagged ``correct``, in joint multiple choice their letters by
``output_mapping``; runs that ask for each option by itself are not read. The confidence is the
length-normalised likelihood of the reply, exp(mean log p); a run whose every ``logprob`` is 0 did
not record it.
"""

from collections.abc import Iterator

from medcal_nb.logs.nested import at, likelihood, number, one_of
from medcal_nb.logs.registry import Reader, has
from medcal_nb.logs.source import Source


def _read(source: Source) -> Iterator[dict]:
    states = source.value["request_states"]
    recorded = any(map(_has_logprobs, states))
    for state in source.each(states):
        yield from _answers(state, recorded)


def _has_logprobs(state):
    tokens = at(state, "result.completions.0.tokens") or ()
    return any(number(at(token, "logprob")) for token in tokens)


def _answers(state, recorded):
    instance = state["instance"]
    letters = state.get("output_mapping") or {}
    replies = at(state, "result.completions") or ()
    first = int(state.get("train_trial_index") or 0) * len(replies)
    for sample, reply in enumerate(replies, first):
        answer = reply["text"].strip()
        yield likelihood(reply.get("tokens") if recorded else None) | {
            "model": state["request"]["model"],
            "item_id": instance["id"],
            "question_type": "choice" if letters else "open",
            "gold": one_of(_golds(instance, letters)),
            "sample": sample,
            "answer": answer,
            "raw": reply["text"],
            "parse_ok": answer in letters if letters else bool(answer),
        }


def _golds(instance, letters):
    """The right answers: texts, or letters where the options have some."""
    texts = []
    for reference in instance["references"]:
        if "correct" in (reference.get("tags") or ()):
            texts.append(reference["output"]["text"])
    if letters:
        return [letter for letter, text in letters.items() if text in texts]
    return texts


READERS = (
    Reader(
        name="helm",
        knows=has("adapter_spec", "request_states"),
        read=_read,
        layout=r"(?P<dataset>[^/]+)/scenario_state\.json$",
    ),
)
