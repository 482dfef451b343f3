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
from .source import at, flag, grade, likelihood, number, one_of


def _read_inspect(source):
    about = source.value["eval"]
    for sample in source.each(source.value.get("samples") or ()):
        scores = list((sample.get("scores") or {}).values())
        score = next((s for s in scores if _mark(s) is not None), scores[0] if scores else None)
        raw, gold = _written(at(sample, "output.choices.0.message.content")), sample.get("target")
        answer = at(score, "answer")
        yield likelihood(at(sample, "output.choices.0.logprobs.content")) | {
            "run_id": about.get("run_id"),
            "model": about.get("model"),
            "dataset": at(about, "dataset.name") or about.get("task"),
            "item_id": sample["id"],
            "sample": int(sample.get("epoch") or 1) - 1,
            "question_type": "choice" if sample.get("choices") else "open",
            "answer": answer if isinstance(answer, str) else raw,
            "raw": raw,
            "gold": gold.strip() if isinstance(gold, str) else gold or None,
            "correct": _mark(score),
            "prompt_tokens": at(sample, "output.usage.input_tokens"),
            "new_tokens": at(sample, "output.usage.output_tokens"),
        }


def _mark(score):
    value = at(score, "value")
    return flag({"C": True, "I": False}.get(value, value) if isinstance(value, str) else value)


def _written(content):
    """The text of a message, which may come in parts."""
    if isinstance(content, list):
        content = "".join(part.get("text") or "" for part in content)
    return content or None


def _read_evalscope(source):
    folders = source.path.resolve().parts[:-1]
    known = {"strategy": "generate"}
    if folders[-2:-1] == ("reviews",):
        known |= {"model": folders[-1], "dataset": source.path.stem}
    asked: Counter = Counter()
    for line in source.rows():
        score, group = line["sample_score"]["score"], line["sample_score"].get("group_id")
        item = line["index"] if group is None else group  # repeats of one item share it
        yield known | {
            "item_id": item,
            "sample": asked[item],
            "answer": score["extracted_prediction"] or None,
            "raw": score["prediction"],
            "gold": line.get("target"),
            "correct": grade(score["value"]),
        }
        asked[item] += 1


def _read_helm(source):
    states = source.value["request_states"]
    replies = [reply for state in states for reply in at(state, "result.completions") or ()]
    tokens = [token for reply in replies for token in reply.get("tokens") or ()]
    recorded = any(number(at(token, "logprob")) for token in tokens)
    folder = source.path.resolve().parent.name
    for state in source.each(states):
        instance, mapping = state["instance"], state.get("output_mapping") or {}
        right = [r for r in instance["references"] if "correct" in (r.get("tags") or ())]
        golds = [reference["output"]["text"] for reference in right]
        golds = [letter for letter, text in mapping.items() if text in golds] if mapping else golds
        perturbed = at(instance, "perturbation.name")
        each = at(state, "result.completions") or ()
        for k, reply in enumerate(each):
            answer = reply["text"].strip()
            yield likelihood(reply.get("tokens") if recorded else None) | {
                "model": state["request"]["model"],
                "dataset": folder if source.path.stem == "scenario_state" else None,
                "item_id": instance["id"] + (f":{perturbed}" if perturbed else ""),
                "sample": int(state.get("train_trial_index") or 0) * len(each) + k,
                "question_type": "choice" if mapping else "open",
                "answer": answer,
                "raw": reply["text"],
                "gold": one_of(golds),
                "parse_ok": answer in mapping if mapping else bool(answer),
            }


READERS = (
    Reader("inspect", has("eval", "plan"), _read_inspect),
    Reader("evalscope", has("index", "sample_score"), _read_evalscope),
    Reader("helm", has("adapter_spec", "request_states"), _read_helm),
)
