"""The interrogation strategies: each a small object that asks, parses and says its source.

A strategy's `ask` is a generator: it yields a list of calls (see :mod:`medcal_nb.ask.models`),
is sent their results, and returns answer rows. It knows one item and no backend, so that the
runner can put the calls of many items and strategies to a model together, and ask equal calls
once. How the rows become one verdict is told by `aggregate`
(see :mod:`medcal_nb.ask.graded`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from medcal_nb.ask import prompts
from medcal_nb.ask.models import (
    BLANK,
    CHANGES,
    GENERATE,
    LABELS,
    LOGPROBS,
    SAMPLE,
    SIMILARITY,
    TURNS,
    Generate,
    Labels,
    Picture,
    Prompt,
    Similarity,
)
from medcal_nb.ask.parsing import (
    parse_answer,
    parse_confidence,
    parse_guesses,
    parse_likelihood,
)
from medcal_nb.errors import MedcalError

#: New tokens allowed per kind of reply.
LIMITS = {"answer": 24, "form": 48, "guesses": 64, "reasoning": 256, "description": 96}

#: Between the replies of several turns in the column `raw`.
TURN_MARK = "\n---\n"


@dataclass(frozen=True)
class Plan:
    """The choices a run makes for all strategies.

    `samples` replies are drawn at `temperature` by the sampled strategies; `lettered` reads
    option probabilities from letters instead of the options' own words; `max_new_tokens`
    lowers every limit of `LIMITS`.
    """

    dataset: str = ""
    seed: int = 0
    samples: int = 10
    temperature: float = 1.0
    top_k: int = prompts.TOP_K
    lettered: bool = False
    max_new_tokens: int | None = None

    def limit(self, kind):
        """Return the number of new tokens allowed for a kind of reply."""
        return min(LIMITS[kind], self.max_new_tokens or LIMITS[kind])


@dataclass(frozen=True)
class Strategy:
    """How to ask a model how sure it is.

    Attributes
    ----------
    name, asks, source : str
        Name in the answers table, what is asked in one line, and where it comes from.
    needs : frozenset of str
        What a backend must be able to do (see :mod:`medcal_nb.ask.models`).
    aggregate : str
        Rule of :mod:`medcal_nb.ask.graded` that makes a verdict of the rows.
    rows, calls : callable
        Plan → answer rows and calls per item.
    ask : callable or None
        (item, plan) → generator of calls that returns rows; None where nothing is asked
        because the verdict is made from other answers.
    options_only : bool
        Whether only questions with allowed answers can be asked.
    """

    name: str
    asks: str
    source: str
    needs: frozenset
    aggregate: str
    rows: Callable
    calls: Callable
    ask: Callable | None
    options_only: bool = False

    def skips(self, can, cannot=None):
        """Return why a backend cannot be asked this way, or None where it can."""
        if self.ask is None:
            return "made from the answers of at least two models, nothing is asked"
        missing = sorted(self.needs - can)
        if not missing:
            return None
        told = (cannot or {}).get(missing[0])
        return told or f"the model gives no {missing[0]}"

    def applies(self, item, plan=None):
        """Return why an item cannot be asked this way, or None where it can."""
        if self.options_only and not item.options:
            return "open question: no allowed answers whose probability could be read"
        most = prompts.MOST_LETTERS
        if self.options_only and plan and plan.lettered and len(item.options) > most:
            return f"more options than the {most} letters that stand for them"
        return None


# --- building calls and rows ---------------------------------------------------------------------


def _picture(item, change=""):
    return Picture(str(item.image_id or item.item_id), item.image, change)


def _prompt(item, instruction, *later, question=None, lettered=False, change=""):
    block = prompts.question_block(
        item.question if question is None else question, item.options, lettered=lettered
    )
    turns = (block + "\n" + instruction, *later)
    return Prompt(_picture(item, change), turns, block)


def _reply(item, plan, instruction, kind, **how):
    """Ask one greedy reply to one instruction."""
    (reply,) = yield [Generate(_prompt(item, instruction, **how), plan.limit(kind))]
    return reply


@lru_cache(maxsize=1 << 16)
def _parse(text, question_type, options):
    """Read an answer; the same short replies come again and again."""
    return parse_answer(text, question_type=question_type, options=list(options) or None)


def _answer(item, text):
    return _parse(text, item.question_type, tuple(item.options or ()))


def _row(replies, *, answer, confidence=None, sample=0, raw=None, parse_ok, probabilities=None):
    """Write one answer row; tokens and seconds are summed over the replies behind it."""
    known = confidence is not None and not math.isnan(confidence)
    return {
        "sample": sample,
        "answer": answer,
        "confidence": round(float(confidence), 9) if known else math.nan,
        "option_probabilities": (
            {name: round(float(p), 9) for name, p in probabilities.items()}
            if probabilities
            else None
        ),
        "raw": raw if raw is not None else TURN_MARK.join(r.text for r in replies),
        "parse_ok": parse_ok,
        "prompt_tokens": sum(r.prompt_tokens for r in replies),
        "new_tokens": sum(getattr(r, "new_tokens", 0) for r in replies),
        "seconds": math.fsum(r.seconds for r in replies),
    }


def _stated(item, replies, *, read=parse_confidence):
    """Write the row of a reply that states an answer and a confidence."""
    text = replies[-1].text
    answer, confidence = _answer(item, text), read(text)
    parsed = answer is not None and confidence is not None
    return _row(replies, answer=answer, confidence=confidence, parse_ok=parsed)


def _shown(item, reply):
    """Return the answer as it is shown back to a model."""
    return _answer(item, reply.text) or " ".join(reply.text.split())[:200]


# --- asking --------------------------------------------------------------------------------------


def _verbalized(item, plan):
    reply = yield from _reply(item, plan, prompts.VERBALIZED, "form")
    return [_stated(item, [reply])]


def _verbalized_cot(item, plan):
    reply = yield from _reply(item, plan, prompts.VERBALIZED_COT, "reasoning")
    return [_stated(item, [reply])]


def _linguistic(item, plan):
    reply = yield from _reply(item, plan, prompts.LINGUISTIC, "form")
    return [_stated(item, [reply], read=parse_likelihood)]


def _top_k(item, plan):
    k = min(plan.top_k, len(item.options)) if item.options else plan.top_k
    reply = yield from _reply(item, plan, prompts.top_k(k), "guesses")
    guesses = {}
    for text, probability in parse_guesses(reply.text):
        answer = _answer(item, text)
        if answer is not None and probability is not None and answer not in guesses:
            guesses[answer] = probability
    if not guesses:
        return [_row([reply], answer=None, parse_ok=False)]
    best = max(guesses, key=guesses.get)
    row = _row([reply], answer=best, confidence=guesses[best], parse_ok=True, probabilities=guesses)
    return [row]


def _two_stage(item, plan):
    first = yield from _reply(item, plan, prompts.ANSWER, "answer")
    prompt = _prompt(item, prompts.ANSWER, first.text, prompts.TWO_STAGE)
    (second,) = yield [Generate(prompt, plan.limit("form"))]
    return [_two_parts(item, first, second)]


def _two_stage_other(item, plan):
    first = yield from _reply(item, plan, prompts.ANSWER, "answer")
    shown = _shown(item, first)
    second = yield from _reply(item, plan, prompts.two_stage_other(shown), "form")
    return [_two_parts(item, first, second)]


def _two_parts(item, first, second):
    answer, confidence = _answer(item, first.text), parse_confidence(second.text)
    parsed = answer is not None and confidence is not None
    return _row([first, second], answer=answer, confidence=confidence, parse_ok=parsed)


def _describe_first(item, plan):
    first = yield from _reply(item, plan, prompts.DESCRIBE, "description")
    prompt = _prompt(item, prompts.DESCRIBE, first.text, prompts.VERBALIZED)
    (second,) = yield [Generate(prompt, plan.limit("form"))]
    return [_stated(item, [first, second])]


def _challenge(item, plan):
    first = yield from _reply(item, plan, prompts.ANSWER, "answer")
    followed = yield [
        Generate(_prompt(item, prompts.ANSWER, first.text, doubt), plan.limit("answer"))
        for doubt in prompts.CHALLENGES
    ]
    return _unstated(item, [first, *followed])


def _unstated(item, replies):
    """One row per reply that states an answer and no confidence."""
    rows = []
    for sample, reply in enumerate(replies):
        answer = _answer(item, reply.text)
        rows.append(_row([reply], answer=answer, sample=sample, parse_ok=answer is not None))
    return rows


def _sequence_probability(item, plan):
    reply = yield from _reply(item, plan, prompts.ANSWER, "answer")
    answer = _answer(item, reply.text)
    known = reply.new_tokens > 0 and not math.isnan(reply.logprob)
    confidence = math.exp(reply.logprob / reply.new_tokens) if known else None
    parsed = answer is not None and known
    return [_row([reply], answer=answer, confidence=confidence, parse_ok=parsed)]


def _option_call(item, plan, change=""):
    if plan.lettered:
        prompt = _prompt(item, prompts.LETTER, lettered=True, change=change)
        return Labels(prompt, tuple(prompts.letters(len(item.options))))
    return Labels(_prompt(item, prompts.ANSWER, change=change), tuple(item.options))


def _option_row(item, result, sample=0):
    shares = dict(zip(item.options, result.probabilities.values(), strict=True))
    best = max(shares, key=shares.get)
    return _row(
        [result],
        answer=best,
        confidence=shares[best],
        sample=sample,
        raw="",
        parse_ok=True,
        probabilities=shares,
    )


def _option_probability(item, plan):
    (result,) = yield [_option_call(item, plan)]
    return [_option_row(item, result)]


def _image_ablation(item, plan):
    seen, blank = yield [_option_call(item, plan), _option_call(item, plan, change=BLANK)]
    return [_option_row(item, seen), _option_row(item, blank, sample=1)]


def _p_true(item, plan):
    first = yield from _reply(item, plan, prompts.ANSWER, "answer")
    prompt = _prompt(item, prompts.p_true(_shown(item, first)))
    (verdict,) = yield [Labels(prompt, ("yes", "no"))]
    answer = _answer(item, first.text)
    row = _row(
        [first, verdict],
        answer=answer,
        confidence=verdict.probabilities["yes"],
        raw=first.text,
        parse_ok=answer is not None,
    )
    return [row]


def _samples(item, plan):
    """Ask the same question again and again; strategies that sample share the draws."""
    prompt = _prompt(item, prompts.ANSWER)
    replies = yield [
        Generate(
            prompt,
            plan.limit("answer"),
            seed=f"{plan.seed}|{plan.dataset}|{item.item_id}|{sample}",
            temperature=plan.temperature,
        )
        for sample in range(plan.samples)
    ]
    return _unstated(item, replies)


def _paraphrase(item, plan):
    asked = [item.question] + [
        prompts.reword(item.question, i) for i in range(len(prompts.REWORDINGS))
    ]
    replies = yield [
        Generate(_prompt(item, prompts.ANSWER, question=question), plan.limit("answer"))
        for question in asked
    ]
    return _unstated(item, replies)


def _augment(item, plan):
    replies = yield [
        Generate(_prompt(item, prompts.ANSWER, change=change), plan.limit("answer"))
        for change in ("", *CHANGES)
    ]
    return _unstated(item, replies)


def _clip(item, plan, *, own_scale):
    texts = tuple(
        prompts.CLIP_TEXT.format(question=item.question.strip(), option=option)
        for option in item.options
    )
    (result,) = yield [Similarity(_picture(item), texts)]
    scale = result.logit_scale if own_scale else 1.0
    logits = [scale * cosine for cosine in result.cosines]
    top = max(logits)
    weights = [math.exp(logit - top) for logit in logits]
    shares = {
        option: weight / math.fsum(weights)
        for option, weight in zip(item.options, weights, strict=True)
    }
    best = max(shares, key=shares.get)
    return [
        {
            "sample": 0,
            "answer": best,
            "confidence": round(shares[best], 9),
            "option_probabilities": {name: round(share, 9) for name, share in shares.items()},
            "raw": "",
            "parse_ok": True,
            "prompt_tokens": None,
            "new_tokens": 0,
            "seconds": result.seconds,
        }
    ]


def _clip_zero_shot(item, plan):
    return (yield from _clip(item, plan, own_scale=True))


def _clip_zero_shot_raw(item, plan):
    return (yield from _clip(item, plan, own_scale=False))


def blanked(strategy):
    """Return a strategy that asks the same with a blank image in every call."""

    def ask(item, plan):
        program, results = strategy.ask(item, plan), None
        while True:
            try:
                calls = program.send(results)
            except StopIteration as stop:
                return stop.value
            results = yield [_with_blank_image(call) for call in calls]

    return strategy if strategy.ask is None else replace(strategy, ask=ask)


def _with_blank_image(call):
    if isinstance(call, Similarity):
        return replace(call, picture=replace(call.picture, change=BLANK))
    picture = replace(call.prompt.picture, change=BLANK)
    return replace(call, prompt=replace(call.prompt, picture=picture))


# --- the table -----------------------------------------------------------------------------------


def _strategy(name, asks, source, needs, ask, *, aggregate="single", rows=1, calls=1, **more):
    def constant(value):
        return value if callable(value) else lambda plan: value

    return Strategy(
        name=name,
        asks=asks,
        source=source,
        needs=frozenset(needs),
        aggregate=aggregate,
        rows=constant(rows),
        calls=constant(calls),
        ask=ask,
        **more,
    )


_ALL = (
    _strategy(
        "verbalized",
        "the answer and a confidence from 0 to 100 %, in one reply",
        "Xiong et al. 2024, arXiv 2306.13063",
        [GENERATE],
        _verbalized,
    ),
    _strategy(
        "verbalized_cot",
        "the same after reasoning",
        "Xiong et al. 2024, arXiv 2306.13063",
        [GENERATE],
        _verbalized_cot,
    ),
    _strategy(
        "linguistic",
        "the answer and a word of likelihood",
        "Tian et al. 2023, arXiv 2305.14975",
        [GENERATE],
        _linguistic,
    ),
    _strategy(
        "top_k",
        "the k best guesses with probabilities",
        "Tian et al. 2023, arXiv 2305.14975",
        [GENERATE],
        _top_k,
    ),
    _strategy(
        "two_stage",
        "the answer, then in a new turn the confidence",
        "Tian et al. 2023, arXiv 2305.14975",
        [GENERATE, TURNS],
        _two_stage,
        calls=2,
    ),
    _strategy(
        "two_stage_other",
        "the answer, then the confidence in it as someone else's",
        "arXiv 2606.03437",
        [GENERATE],
        _two_stage_other,
        calls=2,
    ),
    _strategy(
        "describe_first",
        "a description of the image, then answer and confidence",
        "Xuan et al. 2025, arXiv 2505.20236",
        [GENERATE, TURNS],
        _describe_first,
        calls=2,
    ),
    _strategy(
        "challenge",
        "the answer, then three doubts: in what share of replies is it kept?",
        "Xiong et al. 2024, arXiv 2306.13063 (misleading hints)",
        [GENERATE, TURNS],
        _challenge,
        aggregate="kept",
        rows=1 + len(prompts.CHALLENGES),
        calls=1 + len(prompts.CHALLENGES),
    ),
    _strategy(
        "sequence_probability",
        "the answer; its length-normalised likelihood is read",
        "Malinin and Gales 2021, arXiv 2002.07650",
        [GENERATE, LOGPROBS],
        _sequence_probability,
    ),
    _strategy(
        "option_probability",
        "nothing in words: the probabilities of the allowed answers are read",
        "Kadavath et al. 2022, arXiv 2207.05221",
        [LABELS],
        _option_probability,
        options_only=True,
    ),
    _strategy(
        "p_true",
        "the answer, then whether it is right: the probability of yes is read",
        "Kadavath et al. 2022, arXiv 2207.05221",
        [GENERATE, LABELS],
        _p_true,
        calls=2,
    ),
    _strategy(
        "self_consistency",
        "the answer N times, sampled: the share that agrees",
        "Wang et al. 2023, arXiv 2203.11171",
        [GENERATE, SAMPLE],
        _samples,
        aggregate="agreement",
        rows=lambda plan: plan.samples,
        calls=lambda plan: plan.samples,
    ),
    _strategy(
        "semantic_entropy",
        "the answer N times, sampled: the entropy over groups of meaning",
        "Farquhar et al. 2024, doi 10.1038/s41586-024-07421-0",
        [GENERATE, SAMPLE],
        _samples,
        aggregate="entropy",
        rows=lambda plan: plan.samples,
        calls=lambda plan: plan.samples,
    ),
    _strategy(
        "paraphrase",
        "the question as it is and reworded: the share that agrees",
        "Gao et al. 2024, arXiv 2403.02509 (perturbed inputs)",
        [GENERATE],
        _paraphrase,
        aggregate="agreement",
        rows=1 + len(prompts.REWORDINGS),
        calls=1 + len(prompts.REWORDINGS),
    ),
    _strategy(
        "augment",
        "the question with the image as it is and mildly changed: the share that agrees",
        "Wang et al. 2019, doi 10.1016/j.neucom.2019.01.103 (test-time augmentation)",
        [GENERATE],
        _augment,
        aggregate="agreement",
        rows=1 + len(CHANGES),
        calls=1 + len(CHANGES),
    ),
    _strategy(
        "blank_image",
        "option probabilities with the image and with a blank one, and their ratio",
        "Zhao et al. 2021, arXiv 2102.09690 (content-free input)",
        [LABELS],
        _image_ablation,
        aggregate="ablation",
        rows=2,
        calls=2,
        options_only=True,
    ),
    _strategy(
        "cross_model",
        "nothing: the share of other models that give the same answer",
        "Lakshminarayanan et al. 2017, arXiv 1612.01474 (ensembles), read over models",
        [],
        None,
        aggregate="cross_model",
        calls=0,
    ),
    _strategy(
        "clip_zero_shot",
        "similarity of image and each answer, softmax at the model's own scale",
        "Radford et al. 2021, arXiv 2103.00020",
        [SIMILARITY],
        _clip_zero_shot,
        options_only=True,
    ),
    _strategy(
        "clip_zero_shot_raw",
        "the same at scale 1: the bare cosines",
        "Radford et al. 2021, arXiv 2103.00020",
        [SIMILARITY],
        _clip_zero_shot_raw,
        options_only=True,
    ),
)

#: Every strategy by its name, in the order of the tables.
STRATEGIES = {strategy.name: strategy for strategy in _ALL}


def choose_strategies(names):
    """Return the strategies named by a list or by ``"a,b"``; ``"all"`` is every one.

    Raises
    ------
    MedcalError
        When a name is not known, or is named twice.
    """
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",") if name.strip()]
    if list(names) == ["all"]:
        return list(STRATEGIES.values())
    unknown = [name for name in names if name not in STRATEGIES]
    if unknown or not names:
        raise MedcalError(
            f"unknown strategy {unknown[0]!r}: choose from {', '.join(STRATEGIES)} or 'all'"
            if unknown
            else f"no strategy named: choose from {', '.join(STRATEGIES)} or 'all'"
        )
    return [STRATEGIES[name] for name in dict.fromkeys(names)]
