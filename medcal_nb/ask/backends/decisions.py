"""Typed decisions: the requests and replies of their endpoints, and transformers' pipeline here.

There are two endpoints. ``/v1/systemone`` has questions and answers in maps, and its images stand
in ``assets`` that the state names (TypeSafe, ``transformers serve``) or in a list of ``images``
(vLLM); ``/v1/decisions`` has them in lists, and its image in a message (OpenAI, SGLang). Some
servers drop an image that they do not read without a word, so that a way of showing it counts where
the server read more of a request with an image than of the same without.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

from medcal_nb.ask.calls import Decide, Decided, Failure, Picture, Prompt
from medcal_nb.errors import MedcalError
from medcal_nb.logs.typed import Decision, read_decision

#: The body of a request, and what came back for it: JSON.
Body: TypeAlias = dict[str, Any]

#: Questions in one request at most (vLLM, transformers; OpenAI takes more).
MOST_QUESTIONS = 64

#: Stands for the image: a name that no question holds.
_SHOWN = "image-7f3a9c"
_STATE = "An image."

#: Statuses of a path that a server does not have.
_NOT_THERE = ("HTTP 404", "HTTP 405")


# --- requests and replies ------------------------------------------------------------------------


@dataclass(frozen=True)
class Form:
    """A way to ask a server for typed decisions.

    Attributes
    ----------
    path : str
        Of the endpoint, below ``/v1``.
    image : str
        Where the image stands, for a reader.
    write : callable
        (calls, data URL of the image or "") -> the body of a request, without the model.
    """

    path: str
    image: str
    write: Callable[[Sequence[Decide], str], Body]

    def body(self, model: str, calls: Sequence[Decide], url: str) -> bytes:
        """Write the request for decisions about one image; about none where `url` is empty."""
        return json.dumps({"model": model} | self.write(calls, url)).encode()


def _as_assets(calls: Sequence[Decide], url: str) -> Body:
    kind, _, data = url.removeprefix("data:image/").partition(";base64,")
    asset = {"type": "image", "format": kind, "data_base64": data}
    body = {"state": _SHOWN, "questions": _by_name(calls)}
    return body | ({"assets": {_SHOWN: asset}} if url else {})


def _as_images(calls: Sequence[Decide], url: str) -> Body:
    body = {"state": _STATE, "questions": _by_name(calls)}
    return body | ({"images": [url]} if url else {})


def _as_message(calls: Sequence[Decide], url: str) -> Body:
    part = {"type": "input_text", "text": _STATE}
    if url:
        part = {"type": "input_image", "image_url": url}
    return {
        "input": [{"type": "message", "role": "user", "content": [part]}],
        "questions": [_listed(name, call) for name, call in _names(calls).items()],
    }


FORMS = (
    Form("/systemone", "in assets", _as_assets),
    Form("/systemone", "in images", _as_images),
    Form("/decisions", "in the message", _as_message),
)


def _names(calls: Sequence[Decide]) -> dict[str, Decide]:
    return {f"q{n}": call for n, call in enumerate(calls, 1)}


def _by_name(calls: Sequence[Decide]) -> Body:
    """Questions in System One's map."""
    return {name: system_one(call) for name, call in _names(calls).items()}


def system_one(call: Decide) -> Body:
    """Return a question as System One has it."""
    question: Body = {"type": call.kind, "instructions": call.question}
    if call.kind == "choice":
        question["criteria"] = dict.fromkeys(call.options)
    elif call.kind == "score":
        question["criteria"] = [*call.options]
    return question


def _listed(name: str, call: Decide) -> Body:
    """Return a question as OpenAI has it."""
    question: Body = {"type": call.kind, "name": name, "instructions": call.question}
    if call.kind == "noul":
        question["type"] = "predicate"
    elif call.kind == "choice":
        question["choices"] = [{"value": option} for option in call.options]
    else:
        question["levels"] = [{"label": option} for option in call.options]
    return question


def read_reply(calls: Sequence[Decide], reply: Body) -> list[Decided]:
    """Read the decisions of a reply, in the order of their calls.

    A question without an answer is one that was refused. Tokens are those of the whole reply, in
    equal parts.

    Raises
    ------
    ValueError, TypeError, LookupError
        Where the reply has another form, or answers with options that were not offered.
    """
    answers = reply["answers"]
    if isinstance(answers, list):
        answers = {one["name"]: one for one in answers}
    tokens = _tokens(reply)
    model = str(reply.get("model") or "")[:200]
    results = []
    for n, (name, call) in enumerate(_names(calls).items()):
        beside = (reply.get("diagnostics") or {}).get(name) or {}
        answer = answers.get(name) or {"type": "refusal"}
        decision = with_options(call, read_decision(answer, beside.get("label_mass")))
        share = tokens // len(calls) + (n < tokens % len(calls))
        results.append(Decided(decision, share, model))
    return results


def with_options(call: Decide, decision: Decision) -> Decision:
    """Return a decision with the options of the question as the item has them, in their order.

    Raises
    ------
    ValueError
        Where its options are others.
    """
    if decision.answer is None:
        return decision
    theirs = decision.probabilities
    if call.kind == "score":
        # levels come by their numbers or by their names, always from the lowest
        same = dict(zip(theirs, call.options, strict=True))
    else:
        plain = {option.casefold(): option for option in call.options}
        same = {name: plain.get(name.casefold(), "") for name in theirs}
    if set(same.values()) != {*call.options}:
        raise ValueError(f"the options of the answer are {', '.join(theirs)}")
    mine = {same[name]: p for name, p in theirs.items()}
    shares = {option: mine[option] for option in call.options}
    return replace(decision, answer=same[decision.answer], probabilities=shares)


# --- what a server offers ------------------------------------------------------------------------

#: What a server is asked to find out whether it sees an image.
PROBE = (Decide(Picture("probe"), "Is this an image?", ("yes", "no"), "noul"),)


async def find_form(
    model: str, send: Callable[[str, bytes], Any], url: str
) -> tuple[Form | None, str]:
    """Find out how a server takes typed decisions about an image.

    Parameters
    ----------
    model : str
        Its name at the server.
    send : callable
        (path, body) -> the reply, awaited; it raises `MedcalError` where there is none.
    url : str
        An image as a data URL.

    Returns
    -------
    Form or None, str
        How it is asked, and where there is no way the reason in a line.
    """
    reasons: dict[str, str] = {}
    for form in FORMS:
        if reasons.get(form.path, "").startswith((*_NOT_THERE, "HTTP 501")):
            continue
        try:
            shown = await send(form.path, form.body(model, PROBE, url))
            read_reply(PROBE, shown)
            blind = await send(form.path, form.body(model, PROBE, ""))
            if _reads_more(shown, blind):
                return form, ""
            reasons[form.path] = "it answers without looking at the image"
        except MedcalError as error:
            reasons[form.path] = str(error)
        except Exception as error:  # it may answer anything
            reasons[form.path] = (
                f"another form of reply: {type(error).__name__}: {error}"[:200]
            )
    there = [
        f"/v1{path}: {reason}"
        for path, reason in reasons.items()
        if not reason.startswith(_NOT_THERE)
    ]
    return None, "; ".join(
        there
    ) or "the server has neither /v1/systemone nor /v1/decisions"


def _reads_more(shown: Body, blind: Body) -> bool:
    """Whether a server read an image: more tokens or, where it does not count, another answer."""
    n_shown, n_blind = (_tokens(reply) for reply in (shown, blind))
    return n_shown > n_blind if n_blind else shown["answers"] != blind["answers"]


def _tokens(reply: Body) -> int:
    """Tokens that a server read, 0 where it does not count them."""
    return int((reply.get("usage") or {}).get("input_tokens") or 0)


# --- here ----------------------------------------------------------------------------------------


class _Processor:
    """A processor that keeps what it makes of images apart from the tokens.

    The pipeline takes whatever is as wide as the prompt is long for tokens: of an image of 64
    pixels and 64 tokens too (transformers 5.24, ``read_marks``).
    """

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self.pixels: Body = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.processor, name)

    def apply_chat_template(self, *given: Any, **how: Any) -> Body:
        """Return tokens alone; the rest is in `pixels`."""
        inputs = dict(self.processor.apply_chat_template(*given, **how))
        shape = inputs["input_ids"].shape
        self.pixels = {
            name: inputs.pop(name) for name in [*inputs] if inputs[name].shape != shape
        }
        return inputs


class LocalDecisions:
    """Typed decisions of a model on this machine, through transformers' pipeline of that name.

    Parameters
    ----------
    model, processor
        Of transformers.
    refusal : callable
        prompt -> why it cannot be asked, a `Failure`, or None.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        refusal: Callable[[Prompt], Failure | None],
    ) -> None:
        self.model = model
        self.processor = processor
        self.refusal = refusal

    @staticmethod
    def missing() -> str:
        """Return why there are none here; nothing where there are."""
        try:
            from transformers.pipelines import decision  # noqa: F401
        except ImportError:
            return (
                "this version of transformers has no decision pipeline (5.24 has one)"
            )
        return ""

    @cached_property
    def decide(self) -> Any:
        """The pipeline around the model that is loaded."""
        from transformers.pipelines.decision import DecisionPipeline

        decide: Any = DecisionPipeline(
            model=self.model,
            tokenizer=self.processor.tokenizer,
            processor=self.processor,
        )
        # not written for Idefics3's images; texts of the other methods are not escaped either
        decide.decision_config.sanitize_control_tokens = False
        return decide

    def run(self, calls: Sequence[Decide]) -> dict[Decide, Decided | Failure]:
        """Answer calls, those about one picture together."""
        about: dict[Picture, list[Decide]] = {}
        for call in calls:
            about.setdefault(call.picture, []).append(call)
        results: dict[Decide, Decided | Failure] = {}
        for picture, asked in about.items():
            try:
                image = picture.open()
            except MedcalError as error:
                results |= dict.fromkeys(asked, Failure(str(error)))
                continue
            results |= {call: self._one(call, image) for call in asked}
        return results

    def _one(self, call: Decide, image: Any) -> Decided | Failure:
        text = "\n".join([call.question, *call.options])
        if refusal := self.refusal(Prompt(call.picture, (text,))):
            return refusal
        request = {"state": _SHOWN, "assets": {_SHOWN: image}}
        request["questions"] = {"q1": system_one(call)}
        seen: list[Any] = []
        hook = self.model.register_forward_hook(
            lambda model, given, output: seen.append(output)
        )
        try:
            shown = _Processor(self.processor)
            config = self.decide.decision_config
            ((tokens, (question,)),) = config.prepare_inputs(request, shown)
            inputs = {"prompts": [(tokens | shown.pixels, [question])]}
            answers = self.decide.postprocess(self.decide.forward(inputs))
            mass = self._label_mass(question.labels, seen[-1])
            decision = with_options(call, read_decision(answers["q1"], mass))
        except Exception as error:  # of a processor, a template, a head
            return Failure.of(error)
        finally:
            hook.remove()
        return Decided(decision, int(tokens["input_ids"].shape[-1]))

    def _label_mass(self, labels: Sequence[str], output: Any) -> float | None:
        """The share of the vocabulary that the labels have; None where a head read the answer."""
        if not isinstance(output, Mapping) or "logits" not in output:
            return None
        logits = output["logits"][0, -1].float()
        ids = list(self.decide.label_token_ids(tuple(labels)))
        return math.exp(float(logits[ids].logsumexp(0) - logits.logsumexp(0)))
