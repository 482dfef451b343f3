"""Logs of Inspect, of evalscope and of HELM.

Inspect writes ``.eval`` (a zip of JSON, one member a sample) or ``.json``. A sample holds ``id,
epoch, input, choices, target, output, scores``. A score's ``value`` is C or I (right, wrong), a
truth value, or a number: one that is neither right nor wrong (P, N, 0.5) is kept ungraded.

evalscope writes ``…/reviews/<model>/<data set>.jsonl``, one graded sample a line: ``{"index",
"target", "sample_score": {"score": {"value": {metric: number}, "extracted_prediction",
"prediction"}, "sample_id", "group_id"}}``. There is no confidence.

HELM writes ``scenario_state.json``, every request of a run with its completions. The right answers
are the references tagged ``correct``, in joint multiple choice their letters by ``output_mapping``.

The confidence is the length-normalised likelihood of the reply, exp(mean log p), where the
log-probabilities of its tokens were recorded; a run of HELM whose every ``logprob`` is 0 did not.
"""

import json
import zipfile

from medcal_nb.answers.files import damaged
from medcal_nb.errors import MedcalError

from .registry import Reader, has
from .source import at, flag, grade, likelihood, number, one_of, open_zip

_INSPECT = {
    "item_id": "!id",
    "gold": "target",
    "prompt_tokens": "output.usage.input_tokens",
    "new_tokens": "output.usage.output_tokens",
}


def _read_inspect(source, columns, notes):
    header, samples = _opened(source)
    about = source.need(header, "eval", None, dict)
    run = {"model": about.get("model"), "run_id": about.get("run_id")}
    run["dataset"] = at(about, "dataset.name") or about.get("task")
    for row, sample in enumerate(samples, 1):
        scores = at(sample, "scores", dict)
        graded = [name for name in scores if _mark(scores[name]) is not None]
        if len(graded) > 1 and row == 1:
            notes.append(f"{source.path}: graded by {graded[0]}, the first of its scorers")
        score = scores.get(next(iter(graded or scores), None))
        raw = _written(at(sample, "output.choices.0.message.content"))
        out = run | source.take(sample, _INSPECT, row)
        out |= likelihood(at(sample, "output.choices.0.logprobs.content"))
        out["gold"] = out["gold"].strip() if isinstance(out["gold"], str) else out["gold"] or None
        out["answer"] = raw if at(score, "answer", str) is None else score["answer"]
        yield out | {
            "sample": max(int(number(sample.get("epoch")) or 1) - 1, 0),
            "question_type": "choice" if sample.get("choices") else "open",
            "raw": raw,
            "correct": _mark(score),
            "parse_ok": out["answer"] is not None,
        }


def _opened(source):
    """The header, and the samples one after another."""
    if source.suffix == ".json":
        header, samples = source.value, at(source.value, "samples", list)
    else:
        try:
            archive = open_zip(source.path)
        except (ValueError, OSError, zipfile.BadZipFile) as err:
            raise damaged(source.path, "a log of Inspect", err) from err
        names = [n for n in archive.namelist() if n.startswith("samples/") and n.endswith(".json")]
        header = _member(source, archive, "header.json")
        samples = names and (_member(source, archive, name) for name in names)
    if not samples:
        raise source.broken(None, "no 'samples', as in a header alone")
    return header, samples


def _member(source, archive, name):
    try:
        return json.loads(archive.read(name))
    except Exception as err:  # zip, its packings and JSON each have errors of their own
        raise damaged(source.path, "a log of Inspect", err) from err


def _mark(score):
    value = at(score, "value")
    return flag({"C": True, "I": False}.get(value, value) if isinstance(value, str) else value)


def _written(content):
    """The text of a message, which may come in parts."""
    if isinstance(content, list):
        content = "".join(at(part, "text", str) or "" for part in content) or None
    return content if isinstance(content, str) else None


_EVALSCOPE = {"item_id": "!index", "gold": "target", "raw": "sample_score.score.prediction"}


def _read_evalscope(source, columns, notes):
    folders = source.path.resolve().parts[:-1]
    seen: dict = {}
    for row, line in source.rows():
        if "model_output" in line:
            raise MedcalError(
                f"{source.path}: row {row} is a prediction of evalscope, without a grade; import "
                "the file of the same name in the folder reviews"
            )
        score = source.need(source.need(line, "sample_score", row, dict), "score", row, dict)
        out = source.take(line, _EVALSCOPE, row) | {"strategy": "generate"}
        group = at(line, "sample_score.group_id")
        out["item_id"] = out["item_id"] if group is None else group  # repeats of one item share it
        out["sample"] = seen[str(out["item_id"])] = seen.get(str(out["item_id"]), -1) + 1
        out["gold"] = out["gold"] if isinstance(out["gold"], str | list) else None
        if folders[-2:-1] == ("reviews",):
            out |= {"model": folders[-1], "dataset": source.path.stem}
        answer = at(score, "extracted_prediction", str) or None
        yield out | {
            "answer": answer,
            "correct": grade(at(score, "value", dict)),
            "parse_ok": answer is not None,
        }


def _read_helm(source, columns, notes):
    method = str(at(source.value, "adapter_spec.method"))
    if method.startswith(("multiple_choice_separate", "ranking")):
        raise MedcalError(
            f"{source.path}: method '{method}' asks for each option by itself; runs of "
            "multiple_choice_joint and of generation are read"
        )
    states = source.need(source.value, "request_states", None, list)
    replies = [at(state, "result.completions", list) for state in states]
    tokens = [t for each in replies for reply in each for t in at(reply, "tokens", list)]
    recorded = any(number(at(token, "logprob")) for token in tokens)
    if not recorded:
        notes.append(f"{source.path}: every logprob is 0: not recorded, so no confidence")
    named = source.path.resolve().parent.name if source.path.stem == "scenario_state" else None
    for row, (state, each) in enumerate(zip(states, replies, strict=True), 1):
        instance = source.need(state, "instance", row, dict)
        mapping = at(state, "output_mapping", dict)
        right = [r for r in at(instance, "references", list) if "correct" in at(r, "tags", list)]
        golds = [at(r, "output.text") for r in right]
        golds = [k for k, v in mapping.items() if v in golds] if mapping else golds
        item, perturbed = source.need(instance, "id", row), at(instance, "perturbation.name")
        trial = int(number(state.get("train_trial_index")) or 0)
        for k, reply in enumerate(each):
            raw = at(reply, "text", str)
            answer = None if raw is None else raw.strip()
            yield likelihood(at(reply, "tokens") if recorded else None) | {
                "model": at(state, "request.model"),
                "dataset": named,
                "item_id": f"{item}:{perturbed}" if perturbed else item,
                "sample": trial * len(each) + k,
                "question_type": "choice" if mapping else "open",
                "answer": answer,
                "raw": raw,
                "gold": one_of(golds),
                "parse_ok": answer in mapping if mapping else bool(answer),
            }


def _is_evalscope(source):
    return has("index", "sample_score")(source) or has("index", "model_output")(source)


READERS = (
    Reader("inspect", lambda s: s.suffix == ".eval" or has("eval", "plan")(s), _read_inspect),
    Reader("evalscope", _is_evalscope, _read_evalscope),
    Reader("helm", has("adapter_spec", "request_states"), _read_helm, ungraded=True),
)
