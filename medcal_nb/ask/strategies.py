"""The interrogation strategies: each one object that asks, parses, grades and says its source.

A strategy's `ask` is a generator: it yields a list of calls (see :mod:`medcal_nb.ask.calls`), is
sent their results, and returns answer rows. It knows one item and no backend, so that the runner
can put the calls of many items and strategies to a model together, and ask equal calls once. Where
it gives several rows, its `rule` makes one graded answer of them. To add a strategy, write one
function here under :func:`strategy`: words, calls, parser, rule, family and source stand together.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache

from medcal_nb.ask import prompts
from medcal_nb.ask.calls import (
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
    grey_png,
)
from medcal_nb.ask.grading import normalise
from medcal_nb.ask.parsing import parse_answer, parse_confidence, parse_guesses, parse_likelihood
from medcal_nb.errors import MedcalError

#: New tokens allowed per kind of reply.
LIMITS = {"answer": 24, "form": 48, "guesses": 64, "reasoning": 256, "description": 96}

#: Times asked: as it is, and with each doubt, rewording or change.
_DOUBTED, _REWORDED = 1 + len(prompts.CHALLENGES), 1 + len(prompts.REWORDINGS)
_CHANGED = 1 + len(CHANGES)

#: Between the replies of several turns in the column `raw`.
TURN_MARK = "\n---\n"

#: What stands in the place of the right option where that is hidden.
NONE_OF_THEM = "none of the above"

#: A probability is known to about this much from every backend; no ratio is taken below it.
LEAST_SHARE = 1e-3

#: Families that are never ranked among the others.
APART = ("probe", "expert")

#: Names of earlier versions, in logs and on the command line.
OLD_NAMES = {"image_ablation": "blank_image"}


@dataclass(frozen=True)
class Plan:
    """The choices a run makes for all strategies.

    `samples` replies are drawn at `temperature` by the sampled strategies; `lettered` reads
    option probabilities from letters instead of the options' own words; `max_new_tokens`
    lowers every limit of `LIMITS`. `judged` holds, for an expert, the candidates of each item and
    what others gave them (see :mod:`medcal_nb.ask.expert`).
    """

    dataset: str = ""
    seed: int = 0
    samples: int = 10
    temperature: float = 1.0
    top_k: int = prompts.TOP_K
    lettered: bool = False
    max_new_tokens: int | None = None
    judged: dict | None = field(default=None, compare=False, repr=False)

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
    family : str
        ``stated``, ``second turn``, ``likelihood``, ``agreement``, ``expert`` (judges the answers
        of others) or ``probe`` (never ranked among the others): gives its colour.
    needs : frozenset of str
        What a backend must be able to do (see :mod:`medcal_nb.ask.calls`).
    ask : callable
        (item, plan) → generator of calls that returns answer rows.
    rule : callable or None
        Rows of an item → (position of the row that is its answer, confidence, option
        probabilities or None).
    n_rows, n_calls : int or None
        Answer rows and calls per item; None: as many as samples.
    options_only : bool
        Whether only questions with allowed answers can be asked.
    """

    name: str
    asks: str
    source: str
    family: str
    needs: frozenset
    ask: Callable
    rule: Callable | None = None
    n_rows: int | None = 1
    n_calls: int | None = 1
    options_only: bool = False

    def rows(self, plan):
        """Return the number of answer rows per item."""
        return plan.samples if self.n_rows is None else self.n_rows

    def calls(self, plan):
        """Return the number of calls per item."""
        return plan.samples if self.n_calls is None else self.n_calls

    def skips(self, can, cannot=None):
        """Return why a backend cannot be asked this way, or None where it can."""
        missing = sorted(self.needs - can)
        if not missing:
            return None
        return (cannot or {}).get(missing[0]) or f"the model gives no {missing[0]}"

    def applies(self, item, plan=None):
        """Return why an item cannot be asked this way, or None where it can."""
        if self.family == "expert":
            judged = (plan and plan.judged) or {}
            return None if str(item.item_id) in judged else "no answer that an expert could judge"
        if self.options_only and not item.options:
            return "open question: no allowed answers whose probability could be read"
        most = prompts.MOST_LETTERS
        if self.options_only and plan and plan.lettered and len(item.options) > most:
            return f"more options than the {most} letters that stand for them"
        return None


#: Every strategy by its name, in the order of the tables; an expert's stand in `EXPERT` alone.
STRATEGIES = {}
EXPERT = {}


def strategy(family, needs, *, calls=1, rows=1, rule=None, options_only=False):
    """Enter the decorated function as the strategy of its name.

    The first line of its docstring says what is asked, the last where that comes from.
    """

    def enter(ask):
        asks, *_, source = (line.strip() for line in ask.__doc__.strip().splitlines())
        table = EXPERT if family == "expert" else STRATEGIES
        more = {"rule": rule, "n_rows": rows, "n_calls": calls, "options_only": options_only}
        name = ask.__name__
        table[name] = Strategy(name, asks, source, family, frozenset(needs), ask, **more)
        return ask

    return enter


def find_strategy(name):
    """Return a strategy by its name, an earlier name, or ``NAME_blank``; None where there is none.

    ``NAME_blank`` is the strategy shown a blank image in every call.
    """
    known = STRATEGIES | EXPERT
    name = OLD_NAMES.get(name, name)
    base = known.get(name.removesuffix("_blank"))
    if name in known or base is None:
        return known.get(name)
    return replace(base, name=name, asks=f"{base.asks} The image is blank.", ask=_blanked(base.ask))


def choose_strategies(names):
    """Return the strategies named by a list or by ``"a,b"``; ``"all"`` is every one.

    Raises
    ------
    MedcalError
        When a name is not known.
    """
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",") if name.strip()]
    if list(names) == ["all"]:
        return list(STRATEGIES.values())
    chosen = {name: find_strategy(name) for name in names}
    known = f"choose from {', '.join(STRATEGIES)} (each also with _blank) or 'all'"
    if not chosen:
        raise MedcalError(f"no strategy named: {known}")
    for name, found in chosen.items():
        if found is None:
            raise MedcalError(f"unknown strategy {name!r}: {known}")
    return list({found.name: found for found in chosen.values()}.values())


def _blanked(ask):
    """Return a program that asks the same with a blank image in every call."""

    def blank(item, plan):
        program, results = ask(item, plan), None
        while True:
            try:
                calls = program.send(results)
            except StopIteration as stop:
                return stop.value
            results = yield [_with_blank_image(call) for call in calls]

    return blank


def _with_blank_image(call):
    if isinstance(call, Similarity):
        return replace(call, picture=replace(call.picture, change=BLANK))
    picture = replace(call.prompt.picture, change=BLANK)
    return replace(call, prompt=replace(call.prompt, picture=picture))


# --- building calls and rows ---------------------------------------------------------------------


def _picture(item, change=""):
    return Picture(str(item.image_id or item.item_id), item.image, change)


def _prompt(item, instruction, *later, question=None, options=None, lettered=False, change=""):
    question = item.question if question is None else question
    block = prompts.question_block(question, options or item.options, lettered=lettered)
    return Prompt(_picture(item, change), (block + "\n" + instruction, *later), block)


def _reply(item, plan, instruction, kind, *later):
    """Ask one greedy reply."""
    (reply,) = yield [Generate(_prompt(item, instruction, *later), plan.limit(kind))]
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
    if probabilities:
        probabilities = {name: round(float(p), 9) for name, p in probabilities.items()}
    return {
        "sample": sample,
        "answer": answer,
        "confidence": round(float(confidence), 9) if known else math.nan,
        "option_probabilities": probabilities or None,
        "raw": raw if raw is not None else TURN_MARK.join(r.text for r in replies),
        "parse_ok": parse_ok,
        "prompt_tokens": sum(getattr(r, "prompt_tokens", 0) for r in replies) or None,
        "new_tokens": sum(getattr(r, "new_tokens", 0) for r in replies),
        "seconds": math.fsum(r.seconds for r in replies),
    }


def _stated(replies, answer, confidence):
    """Write the row of an answer and a confidence, each read from the replies or missing."""
    parsed = answer is not None and confidence is not None
    return [_row(replies, answer=answer, confidence=confidence, parse_ok=parsed)]


def _unstated(item, replies):
    """One row per reply that states an answer and no confidence."""
    rows = []
    for sample, reply in enumerate(replies):
        answer = _answer(item, reply.text)
        rows.append(_row([reply], answer=answer, sample=sample, parse_ok=answer is not None))
    return rows


def _most_probable(result, shares, *, sample=0):
    """Write the row of the likeliest of several answers."""
    best = max(shares, key=shares.get)
    more = {"raw": "", "parse_ok": True, "probabilities": shares, "sample": sample}
    return _row([result], answer=best, confidence=shares[best], **more)


def _shown(item, reply):
    """Return the answer as it is shown back to a model."""
    return _answer(item, reply.text) or " ".join(reply.text.split())[:200]


# --- rules: from the rows of an item to one graded answer ----------------------------------------


def _groups(rows):
    """Return each row's answer, normalised (None without one), and how often each is given."""
    labels = [None if row["answer"] is None else normalise(row["answer"]) for row in rows]
    sizes = {}
    for label in labels:
        if label is not None:
            sizes[label] = sizes.get(label, 0) + 1
    return labels, sizes


def agreement(rows):
    """The answer most often given (ties: the first seen) and its share of all N replies."""
    labels, sizes = _groups(rows)
    if not sizes:
        return 0, math.nan, None
    best = max(sizes, key=sizes.get)
    return labels.index(best), sizes[best] / len(rows), None


def _entropy(rows):
    r"""The answer most often given, and :math:`\exp(-H)` of the shares among replies that answer.

    1 when all agree, 1/N when none do, and the share of one group when all groups are equal.
    """
    labels, sizes = _groups(rows)
    if not sizes:
        return 0, math.nan, None
    total = sum(sizes.values())
    entropy = -math.fsum(n / total * math.log(n / total) for n in sizes.values())
    return labels.index(max(sizes, key=sizes.get)), math.exp(-entropy), None


def _kept(rows):
    """The first answer, and the share of all replies, itself included, that give it."""
    labels, sizes = _groups(rows)
    return 0, math.nan if labels[0] is None else sizes[labels[0]] / len(rows), None


def _over_blank(rows):
    """The answer with the image; its probability with each option's divided by the blank image's.

    Normalised over the options; no probability counts as less than `LEAST_SHARE`.
    """
    seen, blank = (row["option_probabilities"] or {} for row in (rows + rows[:1])[:2])
    if rows[0]["answer"] is None or len(rows) < 2 or not seen or set(seen) != set(blank):
        return 0, math.nan, None
    ratios = {name: max(p, LEAST_SHARE) / max(blank[name], LEAST_SHARE) for name, p in seen.items()}
    total = math.fsum(ratios.values())
    return 0, ratios[rows[0]["answer"]] / total, {name: r / total for name, r in ratios.items()}


# --- stated: answer and confidence in words ------------------------------------------------------


def _read_both(item, replies, *, read=parse_confidence):
    return _stated(replies, _answer(item, replies[-1].text), read(replies[-1].text))


@strategy("stated", [GENERATE])
def verbalized(item, plan):
    """The answer and a confidence from 0 to 100 %, in one reply.

    Xiong et al. 2024, arXiv 2306.13063
    """
    return _read_both(item, [(yield from _reply(item, plan, prompts.VERBALIZED, "form"))])


@strategy("stated", [GENERATE])
def verbalized_cot(item, plan):
    """The same after reasoning.

    Xiong et al. 2024, arXiv 2306.13063
    """
    return _read_both(item, [(yield from _reply(item, plan, prompts.VERBALIZED_COT, "reasoning"))])


@strategy("stated", [GENERATE])
def linguistic(item, plan):
    """The answer and a word of likelihood.

    Tian et al. 2023, arXiv 2305.14975
    """
    reply = yield from _reply(item, plan, prompts.LINGUISTIC, "form")
    return _read_both(item, [reply], read=parse_likelihood)


@strategy("stated", [GENERATE])
def top_k(item, plan):
    """The k best guesses with probabilities.

    Tian et al. 2023, arXiv 2305.14975
    """
    k = min(plan.top_k, len(item.options)) if item.options else plan.top_k
    reply = yield from _reply(item, plan, prompts.top_k(k), "guesses")
    guesses = {}
    for text, probability in parse_guesses(reply.text):
        answer = _answer(item, text)
        if answer is not None and probability is not None and answer not in guesses:
            guesses[answer] = probability
    if not guesses:
        return _stated([reply], None, None)
    best = max(guesses, key=guesses.get)
    row = _row([reply], answer=best, confidence=guesses[best], parse_ok=True, probabilities=guesses)
    return [row]


@strategy("second turn", [GENERATE, TURNS], calls=2)
def two_stage(item, plan):
    """The answer, then in a new turn the confidence.

    Tian et al. 2023, arXiv 2305.14975
    """
    first = yield from _reply(item, plan, prompts.ANSWER, "answer")
    later = (first.text, prompts.TWO_STAGE)
    second = yield from _reply(item, plan, prompts.ANSWER, "form", *later)
    return _stated([first, second], _answer(item, first.text), parse_confidence(second.text))


@strategy("second turn", [GENERATE], calls=2)
def two_stage_other(item, plan):
    """The answer, then the confidence in it as someone else's.

    arXiv 2606.03437
    """
    first = yield from _reply(item, plan, prompts.ANSWER, "answer")
    instruction = prompts.two_stage_other(_shown(item, first))
    second = yield from _reply(item, plan, instruction, "form")
    return _stated([first, second], _answer(item, first.text), parse_confidence(second.text))


@strategy("stated", [GENERATE, TURNS], calls=2)
def describe_first(item, plan):
    """A description of the image, then answer and confidence.

    Xuan et al. 2025, arXiv 2505.20236
    """
    first = yield from _reply(item, plan, prompts.DESCRIBE, "description")
    later = (first.text, prompts.VERBALIZED)
    return _read_both(
        item, [first, (yield from _reply(item, plan, prompts.DESCRIBE, "form", *later))]
    )


@strategy(
    "second turn",
    [GENERATE, TURNS],
    calls=1 + len(prompts.CHALLENGES),
    rows=1 + len(prompts.CHALLENGES),
    rule=_kept,
)
def challenge(item, plan):
    """The answer, then three doubts: in what share of replies is it kept?

    Xiong et al. 2024, arXiv 2306.13063 (misleading hints)
    """
    first = yield from _reply(item, plan, prompts.ANSWER, "answer")
    limit = plan.limit("answer")
    followed = yield [
        Generate(_prompt(item, prompts.ANSWER, first.text, doubt), limit)
        for doubt in prompts.CHALLENGES
    ]
    return _unstated(item, [first, *followed])


# --- likelihood: probabilities that are read, not stated -----------------------------------------


@strategy("likelihood", [GENERATE, LOGPROBS])
def sequence_probability(item, plan):
    """The answer; its length-normalised likelihood is read.

    Malinin and Gales 2021, arXiv 2002.07650
    """
    reply = yield from _reply(item, plan, prompts.ANSWER, "answer")
    known = reply.new_tokens > 0 and not math.isnan(reply.logprob)
    confidence = math.exp(reply.logprob / reply.new_tokens) if known else None
    return _stated([reply], _answer(item, reply.text), confidence)


def _option_call(item, plan, options, change=""):
    if plan.lettered:
        prompt = _prompt(item, prompts.LETTER, options=options, lettered=True, change=change)
        return Labels(prompt, tuple(prompts.letters(len(options))))
    return Labels(_prompt(item, prompts.ANSWER, options=options, change=change), tuple(options))


def _option_row(result, options, sample=0):
    shares = dict(zip(options, result.probabilities.values(), strict=True))
    return _most_probable(result, shares, sample=sample)


@strategy("likelihood", [LABELS], options_only=True)
def option_probability(item, plan):
    """Nothing in words: the probabilities of the allowed answers are read.

    Kadavath et al. 2022, arXiv 2207.05221
    """
    (result,) = yield [_option_call(item, plan, item.options)]
    return [_option_row(result, item.options)]


@strategy("second turn", [GENERATE, LABELS], calls=2)
def p_true(item, plan):
    """The answer, then whether it is right: the probability of yes is read.

    Kadavath et al. 2022, arXiv 2207.05221
    """
    first = yield from _reply(item, plan, prompts.ANSWER, "answer")
    prompt = _prompt(item, prompts.p_true(_shown(item, first)))
    (judged,) = yield [Labels(prompt, ("yes", "no"))]
    answer, confidence = _answer(item, first.text), judged.probabilities["yes"]
    more = {"raw": first.text, "parse_ok": answer is not None}
    return [_row([first, judged], answer=answer, confidence=confidence, **more)]


@strategy("likelihood", [SIMILARITY], options_only=True)
def clip_zero_shot(item, plan):
    """Similarity of image and each answer, softmax at the model's own scale.

    Radford et al. 2021, arXiv 2103.00020
    """
    question = item.question.strip()
    texts = [prompts.CLIP_TEXT.format(question=question, option=o) for o in item.options]
    (result,) = yield [Similarity(_picture(item), tuple(texts))]
    logits = [result.logit_scale * cosine for cosine in result.cosines]
    weights = [math.exp(logit - max(logits)) for logit in logits]
    total = math.fsum(weights)
    pairs = zip(item.options, weights, strict=True)
    return [_most_probable(result, {option: weight / total for option, weight in pairs})]


# --- agreement: asked again and counted ----------------------------------------------------------


def _samples(item, plan):
    """Ask the same question again and again; strategies that sample share the draws."""
    prompt, limit = _prompt(item, prompts.ANSWER), plan.limit("answer")
    seed = f"{plan.seed}|{plan.dataset}|{item.item_id}|"
    replies = yield [
        Generate(prompt, limit, seed=seed + str(sample), temperature=plan.temperature)
        for sample in range(plan.samples)
    ]
    return _unstated(item, replies)


@strategy("agreement", [GENERATE, SAMPLE], calls=None, rows=None, rule=agreement)
def self_consistency(item, plan):
    """The answer N times, sampled: the share that agrees.

    Wang et al. 2023, arXiv 2203.11171
    """
    return (yield from _samples(item, plan))


@strategy("agreement", [GENERATE, SAMPLE], calls=None, rows=None, rule=_entropy)
def semantic_entropy(item, plan):
    """The answer N times, sampled: the entropy over groups of meaning.

    Farquhar et al. 2024, doi 10.1038/s41586-024-07421-0
    """
    return (yield from _samples(item, plan))


@strategy(
    "agreement",
    [GENERATE],
    calls=1 + len(prompts.REWORDINGS),
    rows=1 + len(prompts.REWORDINGS),
    rule=agreement,
)
def paraphrase(item, plan):
    """The question as it is and reworded: the share that agrees.

    Gao et al. 2024, arXiv 2403.02509 (perturbed inputs)
    """
    ways = range(len(prompts.REWORDINGS))
    asked = [item.question, *(prompts.reword(item.question, i) for i in ways)]
    limit = plan.limit("answer")
    replies = yield [
        Generate(_prompt(item, prompts.ANSWER, question=question), limit) for question in asked
    ]
    return _unstated(item, replies)


@strategy("agreement", [GENERATE], calls=_CHANGED, rows=_CHANGED, rule=agreement)
def augment(item, plan):
    """The question with the image as it is and mildly changed: the share that agrees.

    Wang et al. 2019, doi 10.1016/j.neucom.2019.01.103 (test-time augmentation)
    """
    limit = plan.limit("answer")
    replies = yield [
        Generate(_prompt(item, prompts.ANSWER, change=change), limit) for change in ("", *CHANGES)
    ]
    return _unstated(item, replies)


# --- probes: what does the confidence hang on? ---------------------------------------------------


@strategy("probe", [LABELS], calls=2, rows=2, rule=_over_blank, options_only=True)
def blank_image(item, plan):
    """Option probabilities with the image and with a blank one, and their ratio.

    Zhao et al. 2021, arXiv 2102.09690 (content-free input)
    """
    calls = [_option_call(item, plan, item.options, change) for change in ("", BLANK)]
    results = yield calls
    return [_option_row(found, item.options, i) for i, found in enumerate(results)]


@strategy("probe", [LABELS], options_only=True)
def none_of_the_above(item, plan):
    """Option probabilities where the right option is hidden and 'none of the above' offered.

    Fazla et al. 2026, arXiv 2606.16583
    """
    golds = {item.gold} if isinstance(item.gold, str) else set(item.gold)
    options = [option for option in item.options if option not in golds] + [NONE_OF_THEM]
    (result,) = yield [_option_call(item, plan, options)]
    return [_option_row(result, options) | {"gold": NONE_OF_THEM, "options": options}]


# --- an expert: another model judges the answers of others ---------------------------------------


def _judge(item, plan, *, blind, told):
    candidates, support = plan.judged[str(item.item_id)]
    picture = Picture("no image", grey_png(), BLANK) if blind else _picture(item)
    if len(candidates) > 1:
        words = prompts.expert_turn(item.question, list(candidates), support if told else None)
        (result,) = yield [Labels(Prompt(picture, (words,)), tuple(candidates))]
        return [_most_probable(result, dict(result.probabilities))]
    words = prompts.user_turn(item.question, None, prompts.p_true(candidates[0]))
    (result,) = yield [Labels(Prompt(picture, (words,)), ("yes", "no"))]
    right = result.probabilities["yes"]
    return [_row([result], answer=candidates[0], confidence=right, raw="", parse_ok=True)]


@strategy("expert", [LABELS])
def expert(item, plan):
    """Another model judges the answers.

    after Du et al. 2025, arXiv 2606.19950
    """
    return (yield from _judge(item, plan, blind=False, told=False))


@strategy("expert", [LABELS])
def expert_blind(item, plan):
    """Another model judges the answers without the image.

    after Du et al. 2025, arXiv 2606.19950
    """
    return (yield from _judge(item, plan, blind=True, told=False))


@strategy("expert", [LABELS])
def expert_told(item, plan):
    """Another model judges the answers, knowing the confidences.

    after Du et al. 2025, arXiv 2606.19950
    """
    return (yield from _judge(item, plan, blind=False, told=True))


@strategy("expert", [LABELS])
def expert_blind_told(item, plan):
    """Another model judges the answers without the image, knowing the confidences.

    after Du et al. 2025, arXiv 2606.19950
    """
    return (yield from _judge(item, plan, blind=True, told=True))
