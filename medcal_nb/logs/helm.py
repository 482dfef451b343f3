"""``scenario_state.json`` of HELM: every request of a run with its completions.

The right answers are the references tagged ``correct``, in joint multiple choice their letters by
``output_mapping``. The confidence is the length-normalised likelihood of the completion, exp(mean
log p); a run whose every ``logprob`` is 0 did not record them and has none.
"""

from medcal_nb.errors import MedcalError

from .registry import Reader
from .source import likelihood, number, table


def _read(source, columns, notes):
    method = str(table(table(source.value).get("adapter_spec")).get("method"))
    if method.startswith(("multiple_choice_separate", "ranking")):
        raise MedcalError(
            f"{source.path}: method '{method}' asks for each option by itself; runs of "
            "multiple_choice_joint and of generation are read"
        )
    states = source.need(source.value, "request_states", None, list)
    recorded = any(
        number(t.get("logprob"))
        for s in states
        for c in _replies(s)
        for t in _tables(c.get("tokens"))
    )
    if not recorded:
        notes.append(f"{source.path}: every logprob is 0: not recorded, so no confidence")
    named = source.path.resolve().parent.name if source.path.stem == "scenario_state" else None
    for row, state in enumerate(states, 1):
        instance = source.need(state, "instance", row, dict)
        mapping = table(state.get("output_mapping"))
        golds = [_text(r) for r in _tables(instance.get("references")) if _right(r)]
        golds = [k for k, v in mapping.items() if v in golds] if mapping else golds
        perturbed = table(instance.get("perturbation")).get("name")
        item = source.need(instance, "id", row)
        trial = int(number(state.get("train_trial_index")) or 0)
        replies = _replies(state)
        for k, completion in enumerate(replies):
            raw = completion.get("text")
            answer = raw.strip() if isinstance(raw, str) else None
            confidence = likelihood(completion.get("tokens")) if recorded else None
            yield {
                "model": table(state.get("request")).get("model"),
                **({"dataset": named} if named else {}),
                "item_id": f"{item}:{perturbed}" if perturbed else item,
                "sample": trial * len(replies) + k,
                "strategy": "generate" if confidence is None else "sequence_probability",
                "question_type": "choice" if mapping else "open",
                "answer": answer,
                "raw": raw,
                "gold": golds[0] if len(golds) == 1 else golds or None,
                "confidence": confidence,
                "ungraded": True,
                "parse_ok": answer in mapping if mapping else bool(answer),
            }


def _replies(state):
    return _tables(table(table(state).get("result")).get("completions"))


def _tables(values):
    return [table(v) for v in values] if isinstance(values, list) else []


def _text(reference):
    return table(reference.get("output")).get("text")


def _right(reference):
    tags = reference.get("tags")
    return isinstance(tags, list) and "correct" in tags


READERS = (
    Reader("helm", lambda source: {"adapter_spec", "request_states"} <= source.first.keys(), _read),
)
