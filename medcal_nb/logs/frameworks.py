"""Logs of Inspect, of evalscope and of HELM.

Inspect writes ``.eval`` (a zip of JSON, one member a sample) or ``.json``. A sample holds ``id,
epoch, input, choices, target, output, scores``. A score's ``value`` is C or I (right, wrong), a
truth value, or a number: one that is neither right nor wrong (P, N, 0.5) is kept ungraded. Of
several scorers the first that says right or wrong counts.

evalscope writes ``…/reviews/<model>/<data set>.jsonl``, one graded sample a line: ``{"index",
"target", "sample_score": {"score": {"value": {metric: number}, "extracted_prediction",
"prediction"}, "sample_id", "group_id"}}``. There is no confidence.

HELM writes ``scenario_state.json``, every request of a run with its completions. The right answers
are the references tagged ``correct``, in joint multiple choice their letters by ``output_mapping``;
runs that ask for each option by itself are not read.

The confidence is the length-normalised likelihood of the reply, exp(mean log p), where the
log-probabilities of its tokens were recorded; a run of HELM whose every ``logprob`` is 0 did not.
"""

from collections import Counter

from .registry import Reader, has
from .source import at, flag, grade, likelihood, number, one_of, text_of


def _read_inspect(source):
    about = source.value["eval"]
    run = {"run_id": about.get("run_id"), "model": about.get("model")}
    run["dataset"] = at(about, "dataset.name") or about.get("task")
    for sample in source.each(source.value.get("samples") or ()):
        reply = at(sample, "output.choices.0")
        usage = at(sample, "output.usage") or {}
        out = (
            run | likelihood(at(reply, "logprobs.content")) | {"item_id": sample["id"]}
        )
        out["prompt_tokens"] = usage.get("input_tokens")
        out["new_tokens"] = usage.get("output_tokens")
        out["sample"] = int(sample.get("epoch") or 1) - 1
        out["question_type"] = "choice" if sample.get("choices") else "open"
        scores = list((sample.get("scores") or {}).values())
        score = next(
            (s for s in scores if _mark(s) is not None), scores[0] if scores else None
        )
        answer = at(score, "answer")
        gold = sample.get("target")
        out["raw"] = text_of(at(reply, "message.content"))
        out["answer"] = answer if isinstance(answer, str) else out["raw"]
        out["gold"] = gold.strip() if isinstance(gold, str) else gold or None
        yield out | {"correct": _mark(score)}


def _mark(score):
    value = at(score, "value")
    return flag(
        {"C": True, "I": False}.get(value, value) if isinstance(value, str) else value
    )


def _read_evalscope(source):
    asked = Counter()
    for line in source.rows():
        graded = line["sample_score"]
        group = graded.get("group_id")
        score = graded["score"]
        item = line["index"] if group is None else group  # repeats of one item share it
        out = {"strategy": "generate", "item_id": item, "sample": asked[item]}
        asked[item] += 1
        out |= {
            "answer": score["extracted_prediction"] or None,
            "raw": score["prediction"],
        }
        yield out | {"gold": line.get("target"), "correct": grade(score["value"])}


def _read_helm(source):
    states = source.value["request_states"]
    tokens = [at(state, "result.completions.0.tokens") or () for state in states]
    recorded = any(number(at(token, "logprob")) for each in tokens for token in each)
    for state in source.each(states):
        instance = state["instance"]
        letters = state.get("output_mapping") or {}
        right = [
            r for r in instance["references"] if "correct" in (r.get("tags") or ())
        ]
        golds = [reference["output"]["text"] for reference in right]
        golds = (
            [letter for letter, text in letters.items() if text in golds]
            if letters
            else golds
        )
        out = {"model": state["request"]["model"], "item_id": instance["id"]}
        out |= {"question_type": "choice" if letters else "open", "gold": one_of(golds)}
        replies = at(state, "result.completions") or ()
        first = int(state.get("train_trial_index") or 0) * len(replies)
        for sample, reply in enumerate(replies, first):
            answer = reply["text"].strip()
            known = out | likelihood(reply.get("tokens") if recorded else None)
            known |= {"sample": sample, "answer": answer, "raw": reply["text"]}
            yield known | {"parse_ok": answer in letters if letters else bool(answer)}


_REVIEWS = r"reviews/(?P<model>[^/]+)/(?P<dataset>[^/]+)\.jsonl$"
_STATES = r"(?P<dataset>[^/]+)/scenario_state\.json$"

READERS = (
    Reader("inspect", has("eval", "plan"), _read_inspect),
    Reader("evalscope", has("index", "sample_score"), _read_evalscope, _REVIEWS),
    Reader("helm", has("adapter_spec", "request_states"), _read_helm, _STATES),
)
