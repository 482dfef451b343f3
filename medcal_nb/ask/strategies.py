"""The interrogation strategies: each one object that asks, parses, grades and says its source.

A strategy's `ask` is a generator: it yields a list of calls (see :mod:`medcal_nb.ask.calls`), is
sent their results, and returns answer rows. It knows one item and no backend, so that the runner
can put the calls of many items and strategies to a model together, and ask equal calls once. Where
it gives several rows, its `rule` makes one graded answer of them.

To add a strategy, write one function here under :func:`strategy`: words, calls, parser, rule,
family and source stand together; another package does so in a module of its own, and names the
`Strategy` as an entry point of the group ``medcal_nb.strategies``. Nothing else is needed: a trial
with replies that are stood in for (:func:`rehearse`) shows how often it asks and every word of its
prompts. The words are few and plain: the embedded models know no others.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import entry_points

from medcal_nb.answer_key import answer_key
from medcal_nb.ask import calls, prompts
from medcal_nb.ask.confidence import parse_confidence, parse_likelihood
from medcal_nb.ask.parsing import parse_answer, parse_guesses
from medcal_nb.datasets import Item
from medcal_nb.errors import MedcalError

#: New tokens allowed per kind of reply.
LIMITS = {"answer": 24, "form": 48, "guesses": 64, "reasoning": 256, "description": 96}

#: Between the replies of several turns in the column `raw`.
TURN_MARK = "\n---\n"

#: A probability is known to about this much from every backend; no ratio is taken below it.
LEAST_SHARE = 1e-3

#: Families that are never ranked among the others.
UNRANKED = ("ablation", "apart")


@dataclass(frozen=True)
class Plan:
    """The choices a run makes for all strategies.

    `samples` replies are drawn at `temperature` by the sampled strategies; `lettered` reads
    option probabilities from letters instead of the options' own words; `max_new_tokens`
    lowers every limit of `LIMITS`; `blank` shows a blank image in every call.
    """

    dataset: str = ""
    seed: int = 0
    samples: int = 10
    temperature: float = 1.0
    lettered: bool = False
    max_new_tokens: int | None = None
    blank: bool = False

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
        ``stated``, ``second turn``, ``likelihood``, ``agreement``, ``ablation`` (never ranked among
        the others) or ``apart`` (nor asked, unless by its name): gives its colour.
    needs : frozenset of str
        What a backend must be able to do (see :mod:`medcal_nb.ask.calls`).
    ask : callable
        (item, plan) → generator of calls that returns answer rows.
    rule : callable or None
        Rows of an item → (position of the row that is its answer, confidence, option
        probabilities or None).
    applies : callable
        (item, plan) → why an item cannot be asked this way, or None where it can.
    """

    name: str
    asks: str
    source: str
    family: str
    needs: frozenset
    ask: Callable
    rule: Callable | None
    applies: Callable

    def words_hash(self, plan):
        """Return a hash of all that is put to a model, how long it may reply and how it is drawn.

        More samples are more of the same.
        """
        plan = replace(plan, samples=1)
        asked = [
            rehearse(self, item, plan)
            for item in _SPECIMENS
            if not self.applies(item, plan)
        ]
        return hashlib.blake2b(repr(asked).encode(), digest_size=8).hexdigest()

    def skips(self, backend):
        """Return why a backend cannot be asked this way, or None where it can."""
        missing = min(self.needs - backend.can, default=None)
        return missing and backend.cannot.get(missing, f"the model gives no {missing}")


def _applies_always(item: Item, plan: Plan | None = None) -> None:
    """No reason why an item could not be asked."""


#: Every strategy by its name, in the order of the tables; those asked by name only in `APART`.
STRATEGIES = {}
APART = {}


def strategy(
    *,
    family: str,
    needs: tuple[str, ...],
    asks: str,
    source: str,
    rule: Callable | None = None,
    applies: Callable = _applies_always,
) -> Callable:
    """Enter the decorated function as the strategy of its name.

    Parameters
    ----------
    family, needs, asks, source, rule, applies
        As the attributes of `Strategy`.
    """

    def enter(ask: Callable) -> Callable:
        entered = Strategy(
            name=ask.__name__,
            asks=asks,
            source=source,
            family=family,
            needs=frozenset(needs),
            ask=ask,
            rule=rule,
            applies=applies,
        )
        table = APART if family == "apart" else STRATEGIES
        table[entered.name] = entered
        return ask

    return enter


def load_strategies_of_others() -> None:
    """Enter the strategies of other packages: entry points of the group ``medcal_nb.strategies``.

    The value of an entry point is a `Strategy`. A name of ours stays ours.
    """
    for point in entry_points(group="medcal_nb.strategies"):
        theirs = point.load()
        table = APART if theirs.family == "apart" else STRATEGIES
        table.setdefault(theirs.name, theirs)


def find_strategy(name):
    """Return a strategy by its name, or None.

    ``NAME_blank`` is the strategy shown a blank image in every call.
    """
    base = (STRATEGIES | APART).get(name.removesuffix("_blank"))
    if base is None or base.name == name:
        return base

    def blanked(item, plan):
        return base.ask(item, replace(plan, blank=True))

    asks = f"{base.asks} The image is blank."
    return replace(base, name=name, asks=asks, family="ablation", ask=blanked)


def choose_strategies(names):
    """Return the strategies named by a list or by ``"a,b"``; ``"all"`` is every one.

    Raises
    ------
    MedcalError
        When a name is not known.
    """
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",") if name.strip()] or [names]
    if list(names) == ["all"]:
        return list(STRATEGIES.values())
    chosen = {name: find_strategy(name) for name in names}
    for name, how in chosen.items():
        if how is None:
            known = (
                f"choose from {', '.join(STRATEGIES)} (each also with _blank) or 'all'"
            )
            raise MedcalError(f"unknown strategy {name!r}: {known}")
    return list(chosen.values())


# --- trials: what a strategy asks, without a model -----------------------------------------------

_SO = Item(
    "so",
    "so",
    "",
    "general",
    "",
    "closed",
    "Is it so?",
    ("yes", "no"),
    "no",
    "test",
    b"",
)
_SPECIMENS = (
    _SO,
    replace(_SO, item_id="which", question_type="choice", options=("yes", "no, but")),
    replace(_SO, item_id="what", question_type="open", options=None, gold="one"),
)


def rehearse(how, item, plan):
    """Return the calls that a strategy makes about an item, with results that are stood in."""
    program = how.ask(item, plan)
    made = []
    results = None
    with suppress(StopIteration):
        while asked := program.send(results):
            made += asked
            results = [_stand_in(call, item) for call in asked]
    return made


def _stand_in(call, item):
    if isinstance(call, calls.Generate):
        return calls.Reply(item.options[0] if item.options else "<reply>")
    names = call.labels if isinstance(call, calls.Labels) else call.texts
    return calls.LabelProbabilities(dict.fromkeys(names, 1 / len(names)))


# --- building calls and rows ---------------------------------------------------------------------


def _picture(item, plan, change=""):
    change = calls.BLANK if plan.blank else change
    return calls.Picture(str(item.image_id), item.image, change)


def _prompt(item, plan, instruction, *later, change="", **block):
    """Lay out the first turn about an item, and the turns after it."""
    block = prompts.question_block(
        **{"question": item.question, "options": item.options} | block
    )
    return calls.Prompt(
        _picture(item, plan, change), (block + "\n" + instruction, *later), block
    )


def _reply(item, plan, kind, instruction, *later):
    """Ask one greedy reply."""
    (reply,) = yield [
        calls.Generate(_prompt(item, plan, instruction, *later), plan.limit(kind))
    ]
    return reply


# the same short replies come again and again
_parse = lru_cache(maxsize=1 << 16)(parse_answer)


def _answer(item, text):
    return _parse(text, question_type=item.question_type, options=item.options)


def _row(replies, answer, confidence=None, *, probabilities=None, sample=0, ok=None):
    """Write one answer row; texts are joined, tokens and seconds summed over what is behind it."""
    if probabilities:
        probabilities = {name: round(float(p), 9) for name, p in probabilities.items()}
    return {
        "sample": sample,
        "answer": answer,
        "confidence": math.nan if confidence is None else round(float(confidence), 9),
        "option_probabilities": probabilities or None,
        "raw": TURN_MARK.join(r.text for r in replies if isinstance(r, calls.Reply)),
        "parse_ok": answer is not None if ok is None else ok,
        "prompt_tokens": sum(r.prompt_tokens for r in replies) or None,
        "new_tokens": sum(getattr(r, "new_tokens", 0) for r in replies),
        "seconds": math.fsum(r.seconds for r in replies),
    }


def _whole(reply):
    """Return a reply without a number at its end that the limit of tokens may have cut in two."""
    return reply.text if reply.finished else reply.text.rstrip("0123456789.,")


def _stated(item, replies, *, answered=0, read=parse_confidence):
    """Write the row of the answer in one reply and the confidence in the last."""
    said = _whole(replies[-1])
    if replies[answered] is replies[-1] and not said.strip("0123456789.,"):
        said = ""  # a number alone is the answer
    answer = _answer(item, replies[answered].text)
    confidence = read(said)
    return [_row(replies, answer, confidence, ok=None not in (answer, confidence))]


def _unstated(item, replies):
    """One row per reply that states an answer and no confidence."""
    return [
        _row([reply], _answer(item, reply.text), sample=i)
        for i, reply in enumerate(replies)
    ]


def _likeliest(result, options, sample=0):
    """Write the row of the likeliest of several answers."""
    shares = dict(zip(options, result.probabilities.values(), strict=True))
    best = max(shares, key=shares.get)
    return _row([result], best, shares[best], probabilities=shares, sample=sample)


def _shown(item, reply):
    """Return the answer as it is shown back to a model."""
    return _answer(item, reply.text) or " ".join(reply.text.split())[:200]


# --- rules: from the rows of an item to one graded answer ----------------------------------------


def _groups(rows):
    """Return each row's answer, normalised (None without one), and how often each is given."""
    labels = [
        None if row["answer"] is None else answer_key(row["answer"]) for row in rows
    ]
    return labels, Counter(label for label in labels if label is not None)


def agreement(rows):
    """The answer most often given (ties: the first seen) and its share of all N replies."""
    labels, sizes = _groups(rows)
    if not sizes:
        return 0, math.nan, None
    ((best, n),) = sizes.most_common(1)
    return labels.index(best), n / len(rows), None


def _entropy(rows):
    r"""The answer most often given, and :math:`\exp(-H)` of the shares among replies that answer.

    1 when all agree, 1/N when none do, and the share of one group when all groups are equal.
    """
    at, share, _ = agreement(rows)
    sizes = _groups(rows)[1].values()
    entropy = -math.fsum(n / sum(sizes) * math.log(n / sum(sizes)) for n in sizes)
    return at, math.exp(-entropy) if sizes else share, None


def _kept(rows):
    """The first answer, and the share of all replies, itself included, that give it."""
    labels, sizes = _groups(rows)
    return 0, math.nan if labels[0] is None else sizes[labels[0]] / len(rows), None


def _over_blank(rows):
    """The answer with the image; its probability with each option's divided by the blank image's.

    Normalised over the options; no probability counts as less than `LEAST_SHARE`.
    """
    seen, blank = (row["option_probabilities"] or {} for row in (rows + rows[:1])[:2])
    if (
        rows[0]["answer"] is None
        or len(rows) < 2
        or not seen
        or set(seen) != set(blank)
    ):
        return 0, math.nan, None
    ratios = {
        name: max(p, LEAST_SHARE) / max(blank[name], LEAST_SHARE)
        for name, p in seen.items()
    }
    total = math.fsum(ratios.values())
    return (
        0,
        ratios[rows[0]["answer"]] / total,
        {name: r / total for name, r in ratios.items()},
    )


# --- stated: answer and confidence in words ------------------------------------------------------

VERBALIZED = """\
Give your answer and how sure you are, from 0% to 100%.
Reply in this form:
Answer: ...
Confidence: ...%"""


@strategy(
    family="stated",
    needs=(calls.GENERATE,),
    asks="The answer and a confidence from 0 to 100 %, in one reply.",
    source="Xiong et al. 2024, arXiv 2306.13063",
)
def verbalized(item, plan):
    """The answer and a confidence from 0 to 100 %, in one reply."""
    reply = yield from _reply(item, plan, "form", VERBALIZED)
    return _stated(item, [reply])


VERBALIZED_COT = """\
Think step by step. Then give your answer and how sure you are, from 0% to 100%.
Reply in this form:
Reason: ...
Answer: ...
Confidence: ...%"""


@strategy(
    family="stated",
    needs=(calls.GENERATE,),
    asks="The same after reasoning.",
    source="Xiong et al. 2024, arXiv 2306.13063",
)
def verbalized_cot(item, plan):
    """The same after reasoning."""
    reply = yield from _reply(item, plan, "reasoning", VERBALIZED_COT)
    return _stated(item, [reply])


LINGUISTIC = """\
Give your answer and how likely it is to be right, in one of these words: almost certain, \
highly likely, likely, better than even, about even, unlikely, highly unlikely, almost no chance.
Reply in this form:
Answer: ...
Likelihood: ..."""


@strategy(
    family="stated",
    needs=(calls.GENERATE,),
    asks="The answer and a word of likelihood.",
    source="Tian et al. 2023, arXiv 2305.14975",
)
def linguistic(item, plan):
    """The answer and a word of likelihood."""
    reply = yield from _reply(item, plan, "form", LINGUISTIC)
    return _stated(item, [reply], read=parse_likelihood)


TOP_K = """\
Give your 2 best guesses and how likely each is to be right, from 0% to 100%.
Reply in this form:
Guess 1: ... (...%)
Guess 2: ... (...%)"""


@strategy(
    family="stated",
    needs=(calls.GENERATE,),
    asks="The two best guesses with probabilities.",
    source="Tian et al. 2023, arXiv 2305.14975",
)
def top_k(item, plan):
    """The two best guesses with probabilities."""
    reply = yield from _reply(item, plan, "guesses", TOP_K)
    guesses = {}
    for text, probability in parse_guesses(_whole(reply)):
        answer = _answer(item, text)
        if answer is not None and probability is not None:
            guesses.setdefault(answer, probability)
    best = max(guesses, key=guesses.get, default=None)
    return [_row([reply], best, guesses.get(best), probabilities=guesses)]


TWO_STAGE = """\
How sure are you that your answer is right, from 0% to 100%?
Reply in this form:
Confidence: ...%"""


@strategy(
    family="second turn",
    needs=(
        calls.GENERATE,
        calls.TURNS,
    ),
    asks="The answer, then in a new turn the confidence.",
    source="Tian et al. 2023, arXiv 2305.14975",
)
def two_stage(item, plan):
    """The answer, then in a new turn the confidence."""
    first = yield from _reply(item, plan, "answer", prompts.ANSWER)
    second = yield from _reply(
        item, plan, "form", prompts.ANSWER, first.text, TWO_STAGE
    )
    return _stated(item, [first, second])


TWO_STAGE_OTHER = """\
Someone else gave this answer: {answer}.
How sure are you that this answer is right, from 0% to 100%?
Reply in this form:
Confidence: ...%"""


@strategy(
    family="second turn",
    needs=(calls.GENERATE,),
    asks="The answer, then the confidence in it as someone else's.",
    source="arXiv 2606.03437",
)
def two_stage_other(item, plan):
    """The answer, then the confidence in it as someone else's."""
    first = yield from _reply(item, plan, "answer", prompts.ANSWER)
    instruction = TWO_STAGE_OTHER.format(answer=_shown(item, first))
    second = yield from _reply(item, plan, "form", instruction)
    return _stated(item, [first, second])


@strategy(
    family="stated",
    needs=(
        calls.GENERATE,
        calls.TURNS,
    ),
    asks="A description of the image, then answer and confidence.",
    source="Xuan et al. 2025, arXiv 2505.20236",
)
def describe_first(item, plan):
    """A description of the image, then answer and confidence."""
    first = yield from _reply(item, plan, "description", prompts.DESCRIBE)
    second = yield from _reply(
        item, plan, "form", prompts.DESCRIBE, first.text, VERBALIZED
    )
    return _stated(item, [first, second], answered=1)


CHALLENGES = (
    "Are you sure? Look again and give your answer only.",
    "Someone else does not think so. Look again and give your answer only.",
    "That may be wrong. Look again and give your answer only.",
)


@strategy(
    family="second turn",
    needs=(
        calls.GENERATE,
        calls.TURNS,
    ),
    asks="The answer, then three doubts: in what share of replies is it kept?",
    source="Xiong et al. 2024, arXiv 2306.13063 (misleading hints)",
    rule=_kept,
)
def challenge(item, plan):
    """The answer, then three doubts; the share of replies that keep it is read."""
    first = yield from _reply(item, plan, "answer", prompts.ANSWER)
    doubted = [
        _prompt(item, plan, prompts.ANSWER, first.text, doubt) for doubt in CHALLENGES
    ]
    followed = yield [
        calls.Generate(prompt, plan.limit("answer")) for prompt in doubted
    ]
    return _unstated(item, [first, *followed])


# --- likelihood: probabilities that are read, not stated -----------------------------------------


def _has_options(item, plan=None):
    if not item.options:
        return "open question: no allowed answers whose probability could be read"
    if plan and plan.lettered and len(item.options) > prompts.MOST_LETTERS:
        return (
            f"more options than the {prompts.MOST_LETTERS} letters that stand for them"
        )
    return None


@strategy(
    family="likelihood",
    needs=(
        calls.GENERATE,
        calls.LOGPROBS,
    ),
    asks="The answer; its length-normalised likelihood is read.",
    source="Malinin and Gales 2021, arXiv 2002.07650",
)
def sequence_probability(item, plan):
    """The answer; its length-normalised likelihood is read."""
    reply = yield from _reply(item, plan, "answer", prompts.ANSWER)
    known = reply.new_tokens > 0 and not math.isnan(reply.logprob)
    confidence = math.exp(reply.logprob / reply.new_tokens) if known else None
    return _stated(item, [reply], read=lambda text: confidence)


def _option_call(item, plan, options, change=""):
    labels = options
    words = prompts.ANSWER
    if plan.lettered:
        labels = prompts.letters(len(options))
        words = prompts.LETTER
    asked = {"options": options, "lettered": plan.lettered, "change": change}
    return calls.Labels(_prompt(item, plan, words, **asked), tuple(labels))


@strategy(
    family="likelihood",
    needs=(calls.LABELS,),
    asks="Nothing in words: the probabilities of the allowed answers are read.",
    source="Kadavath et al. 2022, arXiv 2207.05221",
    applies=_has_options,
)
def option_probability(item, plan):
    """Nothing in words: the probabilities of the allowed answers are read."""
    (result,) = yield [_option_call(item, plan, item.options)]
    return [_likeliest(result, item.options)]


P_TRUE = (
    "Proposed answer: {answer}.\nIs the proposed answer right? Answer yes or no only."
)


@strategy(
    family="second turn",
    needs=(
        calls.GENERATE,
        calls.LABELS,
    ),
    asks="The answer, then whether it is right: the probability of yes is read.",
    source="Kadavath et al. 2022, arXiv 2207.05221",
)
def p_true(item, plan):
    """The answer, then whether it is right: the probability of yes is read."""
    first = yield from _reply(item, plan, "answer", prompts.ANSWER)
    prompt = _prompt(item, plan, P_TRUE.format(answer=_shown(item, first)))
    (judged,) = yield [calls.Labels(prompt, ("yes", "no"))]
    return [
        _row([first, judged], _answer(item, first.text), judged.probabilities["yes"])
    ]


CLIP_TEXT = "{question} {option}"


@strategy(
    family="likelihood",
    needs=(calls.SIMILARITY,),
    asks="Similarity of image and each answer, softmax at the model's own scale.",
    source="Radford et al. 2021, arXiv 2103.00020",
    applies=_has_options,
)
def clip_zero_shot(item, plan):
    """Similarity of image and each answer, softmax at the model's own scale."""
    question = item.question.strip()
    texts = [
        CLIP_TEXT.format(question=question, option=option) for option in item.options
    ]
    (result,) = yield [calls.Similarity(_picture(item, plan), tuple(texts))]
    return [_likeliest(result, item.options)]


# --- agreement: asked again and counted ----------------------------------------------------------


def _samples(item, plan):
    """Ask the same question again and again; strategies that sample share the draws."""
    prompt = _prompt(item, plan, prompts.ANSWER)
    limit = plan.limit("answer")
    seed = f"{plan.seed}|{plan.dataset}|{item.item_id}|"
    replies = yield [
        calls.Generate(
            prompt, limit, seed=seed + str(sample), temperature=plan.temperature
        )
        for sample in range(plan.samples)
    ]
    return _unstated(item, replies)


@strategy(
    family="agreement",
    needs=(
        calls.GENERATE,
        calls.SAMPLE,
    ),
    asks="The answer N times, sampled: the share that agrees.",
    source="Wang et al. 2023, arXiv 2203.11171",
    rule=agreement,
)
def self_consistency(item, plan):
    """The answer N times, sampled: the share that agrees."""
    return _samples(item, plan)


@strategy(
    family="agreement",
    needs=(
        calls.GENERATE,
        calls.SAMPLE,
    ),
    asks="The answer N times, sampled: the entropy over groups of meaning.",
    source="Farquhar et al. 2024, doi 10.1038/s41586-024-07421-0",
    rule=_entropy,
)
def semantic_entropy(item, plan):
    """The answer N times, sampled: the entropy over groups of meaning."""
    return _samples(item, plan)


REWORDINGS = (
    "Look at the image. {question}",
    "Here is a question about the image: {question}",
    "{question} Look at the image and answer.",
    "Can you tell me this from the image: {question}",
)


@strategy(
    family="agreement",
    needs=(calls.GENERATE,),
    asks="The question as it is and reworded: the share that agrees.",
    source="Gao et al. 2024, arXiv 2403.02509 (perturbed inputs)",
    rule=agreement,
)
def paraphrase(item, plan):
    """The question as it is and reworded: the share that agrees."""
    asked = [
        words.format(question=item.question.strip())
        for words in ("{question}", *REWORDINGS)
    ]
    turns = [
        _prompt(item, plan, prompts.ANSWER, question=question) for question in asked
    ]
    return _unstated(
        item, (yield [calls.Generate(turn, plan.limit("answer")) for turn in turns])
    )


@strategy(
    family="agreement",
    needs=(calls.GENERATE,),
    asks="The question with the image as it is and mildly changed: the share that agrees.",
    source="Wang et al. 2019, doi 10.1016/j.neucom.2019.01.103 (test-time augmentation)",
    rule=agreement,
)
def augment(item, plan):
    """The question with the image as it is and mildly changed: the share that agrees."""
    turns = [
        _prompt(item, plan, prompts.ANSWER, change=change)
        for change in ("", *calls.CHANGES)
    ]
    return _unstated(
        item, (yield [calls.Generate(turn, plan.limit("answer")) for turn in turns])
    )


# --- probes: what does the confidence hang on? ---------------------------------------------------


@strategy(
    family="ablation",
    needs=(calls.LABELS,),
    asks="Option probabilities with the image and with a blank one, and their ratio.",
    source="Zhao et al. 2021, arXiv 2102.09690 (content-free input)",
    rule=_over_blank,
    applies=_has_options,
)
def blank_image(item, plan):
    """Option probabilities with the image and with a blank one, and their ratio."""
    results = yield [
        _option_call(item, plan, item.options, change) for change in ("", calls.BLANK)
    ]
    return [_likeliest(result, item.options, i) for i, result in enumerate(results)]


#: What stands in the place of the right option where that is hidden.
NONE_OF_THEM = "none of the above"


@strategy(
    family="ablation",
    needs=(calls.LABELS,),
    asks="Option probabilities where the right option is hidden and 'none of the above' offered.",
    source="Fazla et al. 2026, arXiv 2606.16583",
    applies=_has_options,
)
def none_of_the_above(item, plan):
    """Option probabilities where the right option is hidden and 'none of the above' offered."""
    golds = {item.gold} if isinstance(item.gold, str) else set(item.gold)
    options = [option for option in item.options if option not in golds] + [
        NONE_OF_THEM
    ]
    (result,) = yield [_option_call(item, plan, options)]
    return [_likeliest(result, options) | {"gold": NONE_OF_THEM, "options": options}]


# --- apart: asked where they are named, of another model or of other items ------------------------


@strategy(
    family="apart",
    needs=(calls.LABELS,),
    asks="Another model judges the answers given: the allowed ones or, without these, those named.",
    source="after Du et al. 2025, arXiv 2606.19950",
    applies=_has_options,
)
def expert(item, plan):
    """Another model judges the answers given: the allowed ones or, without these, those named."""
    candidates = sorted(item.options)
    if len(candidates) > 1:
        (result,) = yield [_option_call(item, plan, candidates)]
        return [_likeliest(result, candidates)]
    instruction = P_TRUE.format(answer=candidates[0])
    (judged,) = yield [
        calls.Labels(_prompt(item, plan, instruction, options=None), ("yes", "no"))
    ]
    return [_row([judged], candidates[0], judged.probabilities["yes"])]


DECISION = """

{question}
A. one
B. two
C. three
Answer with the letter of the level that fits best (A to C) only."""

#: What the letters of `DECISION` stand for, from the lowest level.
LEVELS = ("one", "two", "three")


def _has_level(item, plan=None):
    return None if item.gold in LEVELS else "no answer is a level"


@strategy(
    family="apart",
    needs=(calls.LABELS,),
    asks="A typed decision: the probabilities of the levels of a scale are read "
    "from their letters.",
    source="as transformers' decision pipeline puts it",
    applies=_has_level,
)
def decision(item, plan):
    """A typed decision: the probabilities of the levels of a scale are read from their letters."""
    turn = DECISION.format(question=item.question)
    (result,) = yield [
        calls.Labels(calls.Prompt(_picture(item, plan), (turn,)), ("A", "B", "C"))
    ]
    return [_likeliest(result, LEVELS) | {"question_type": "score", "options": LEVELS}]


load_strategies_of_others()
