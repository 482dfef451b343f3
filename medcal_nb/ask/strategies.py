"""The elicitation methods: each one object that asks, parses, grades and says its source.

A strategy's `ask` is a generator: it yields a list of calls (see :mod:`medcal_nb.ask.calls`), is
sent their results, and returns answer rows. It knows one item and no backend, so that the runner
can put the calls of many items and strategies to a model together, and ask equal calls once. Where
it gives several rows, its `rule` makes one graded answer of them.

To add one, write a function here under :func:`strategy`: words, calls, parser, rule, family and
source stand together, and its docstring says what is asked (the rule of one that gives several
answers stands in :mod:`medcal_nb.answers.samples`).
Nothing else is needed. The words are few and plain: the pocket models know no others.
"""

import math
from collections.abc import Callable, Sequence

from medcal_nb.answers.samples import RULES
from medcal_nb.ask import calls, prompts, rows
from medcal_nb.ask.strategy import Plan, Program, Strategy, applies_always
from medcal_nb.datasets import Item
from medcal_nb.errors import check_known
from medcal_nb.words import parse_guesses, parse_likelihood

#: Every strategy by its name, in the order of the tables. Those that judge answers or ask about
#: items of their own, and are asked by name only, stand in `APART`.
STRATEGIES: dict[str, Strategy] = {}
APART: dict[str, Strategy] = {}


def strategy(
    *,
    family: str,
    needs: tuple[str, ...],
    source: str,
    applies: Callable = applies_always,
) -> Callable:
    """Enter the decorated function as the strategy of its name; its docstring says what it asks.

    Parameters
    ----------
    family, needs, source, applies
        As the attributes of `Strategy`.
    """

    def enter(ask: Callable) -> Callable:
        entered = Strategy(
            name=ask.__name__,
            asks=str(ask.__doc__),
            source=source,
            family=family,
            needs=frozenset(needs),
            ask=ask,
            rule=RULES.get(ask.__name__),
            applies=applies,
        )
        table = APART if family == "apart" else STRATEGIES
        table[entered.name] = entered
        return ask

    return enter


def choose_strategies(names: str | list[str] | list[Strategy]) -> list[Strategy]:
    """Return the strategies named by a list or by ``"a,b"``; ``"all"`` is every one.

    Strategies themselves stay as they are.

    Raises
    ------
    MedcalError
        When a name is not known.

    Examples
    --------
    >>> [how.name for how in choose_strategies("verbalized, p_true")]
    ['verbalized', 'p_true']
    """
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",") if name.strip()]
    if list(names) == ["all"]:
        return list(STRATEGIES.values())
    known = STRATEGIES | APART
    chosen: list[Strategy] = []
    for one in names or [""]:
        if isinstance(one, str):
            check_known(one, known, "elicitation method")
        how = known[one] if isinstance(one, str) else one
        if how not in chosen:
            chosen.append(how)
    return chosen


# --- stated: answer and confidence in words ------------------------------------------------------

_XIONG = "Xiong et al. 2024, arXiv 2306.13063"
_TIAN = "Tian et al. 2023, arXiv 2305.14975"
_KADAVATH = "Kadavath et al. 2022, arXiv 2207.05221"

VERBALIZED = """\
Give your answer and how sure you are, from 0% to 100%.
Reply in this form:
Answer: ...
Confidence: ...%"""


@strategy(
    family="stated",
    needs=(calls.GENERATE,),
    source=_XIONG,
)
def verbalized(item: Item, plan: Plan) -> Program:
    """The answer and a confidence from 0 to 100 %, in one reply."""
    reply = yield from rows.ask(item, plan, "form", VERBALIZED)
    return rows.stated(item, [reply])


VERBALIZED_COT = """\
Think step by step. Then give your answer and how sure you are, from 0% to 100%.
Reply in this form:
Reason: ...
Answer: ...
Confidence: ...%"""


@strategy(
    family="stated",
    needs=(calls.GENERATE,),
    source=_XIONG,
)
def verbalized_cot(item: Item, plan: Plan) -> Program:
    """The same after reasoning."""
    reply = yield from rows.ask(item, plan, "reasoning", VERBALIZED_COT)
    return rows.stated(item, [reply])


LINGUISTIC = """\
Give your answer and how likely it is to be right, in one of these words: almost certain, \
highly likely, likely, better than even, about even, unlikely, highly unlikely, almost no chance.
Reply in this form:
Answer: ...
Likelihood: ..."""


@strategy(
    family="stated",
    needs=(calls.GENERATE,),
    source=_TIAN,
)
def linguistic(item: Item, plan: Plan) -> Program:
    """The answer and a word of likelihood."""
    reply = yield from rows.ask(item, plan, "form", LINGUISTIC)
    return rows.stated(item, [reply], read=parse_likelihood)


TOP_K = """\
Give your 2 best guesses and how likely each is to be right, from 0% to 100%.
Reply in this form:
Guess 1: ... (...%)
Guess 2: ... (...%)"""


@strategy(
    family="stated",
    needs=(calls.GENERATE,),
    source=_TIAN,
)
def top_k(item: Item, plan: Plan) -> Program:
    """The two best guesses with probabilities."""
    reply = yield from rows.ask(item, plan, "guesses", TOP_K)
    guesses: dict[str, float] = {}
    for text, probability in parse_guesses(rows.whole(reply)):
        answer = rows.parse(item, text)
        if answer is not None and probability is not None:
            guesses.setdefault(answer, probability)
    best = max(guesses, key=guesses.__getitem__, default=None)
    confidence = None if best is None else guesses[best]
    return [rows.row([reply], best, confidence, probabilities=guesses)]


TWO_STAGE = """\
How sure are you that your answer is right, from 0% to 100%?
Reply in this form:
Confidence: ...%"""


@strategy(
    family="second turn",
    needs=(calls.GENERATE, calls.TURNS),
    source=_TIAN,
)
def two_stage(item: Item, plan: Plan) -> Program:
    """The answer, then in a new turn the confidence."""
    first = yield from rows.ask(item, plan, "answer", prompts.ANSWER)
    second = yield from rows.ask(
        item, plan, "form", prompts.ANSWER, first.text, TWO_STAGE
    )
    return rows.stated(item, [first, second])


SELF_PROBING = """\
Proposed answer: {answer}.
How sure are you that this answer is right, from 0% to 100%?
Reply in this form:
Confidence: ...%"""


@strategy(
    family="second turn",
    needs=(calls.GENERATE,),
    source=f"{_XIONG} (self-probing)",
)
def self_probing(item: Item, plan: Plan) -> Program:
    """The answer, then in a new prompt how likely it is, as a proposed one."""
    first = yield from rows.ask(item, plan, "answer", prompts.ANSWER)
    instruction = SELF_PROBING.format(answer=rows.shown(item, first))
    second = yield from rows.ask(item, plan, "form", instruction)
    return rows.stated(item, [first, second])


@strategy(
    family="stated",
    needs=(calls.GENERATE, calls.TURNS),
    source="Xuan et al. 2025, arXiv 2505.20236",
)
def describe_first(item: Item, plan: Plan) -> Program:
    """A description of the image, then answer and confidence."""
    first = yield from rows.ask(item, plan, "description", prompts.DESCRIBE)
    second = yield from rows.ask(
        item, plan, "form", prompts.DESCRIBE, first.text, VERBALIZED
    )
    return rows.stated(item, [first, second], answered=1)


CHALLENGES = (
    "Are you sure? Look again and give your answer only.",
    "Someone else does not think so. Look again and give your answer only.",
    "That may be wrong. Look again and give your answer only.",
)


@strategy(
    family="second turn",
    needs=(calls.GENERATE, calls.TURNS),
    source="Xiong et al. 2024, arXiv 2306.13063 (misleading hints)",
)
def challenge(item: Item, plan: Plan) -> Program:
    """The answer, then three doubts; the share of replies that keep it is read."""
    first = yield from rows.ask(item, plan, "answer", prompts.ANSWER)
    doubted = [
        rows.prompt(item, prompts.ANSWER, first.text, doubt) for doubt in CHALLENGES
    ]
    followed = yield [
        calls.Generate(prompt, plan.limit("answer")) for prompt in doubted
    ]
    return rows.unstated(item, [first, *followed])


# --- likelihood: probabilities that are read, not stated -----------------------------------------


def has_options(item: Item, plan: Plan) -> str | None:
    """Why the options of an item cannot be asked about, or None where they can."""
    if not item.options:
        return "open question: no allowed answers whose probability could be read"
    if plan.lettered and len(item.options) > prompts.MOST_LETTERS:
        return (
            f"more options than the {prompts.MOST_LETTERS} letters that stand for them"
        )
    return None


@strategy(
    family="likelihood",
    needs=(calls.GENERATE, calls.LOGPROBS),
    source="Malinin and Gales 2021, arXiv 2002.07650",
)
def sequence_probability(item: Item, plan: Plan) -> Program:
    """The answer; its length-normalised likelihood is read."""
    reply = yield from rows.ask(item, plan, "answer", prompts.ANSWER)
    known = reply.new_tokens > 0 and not math.isnan(reply.logprob)
    confidence = math.exp(reply.logprob / reply.new_tokens) if known else None
    return rows.stated(item, [reply], read=lambda text: confidence)


def option_call(
    item: Item, plan: Plan, options: Sequence[str], change: str = ""
) -> calls.Labels:
    """Ask how probable each option is, by its words or its letter."""
    labels = prompts.letters(len(options)) if plan.lettered else options
    prompt = rows.prompt(
        item,
        prompts.LETTER if plan.lettered else prompts.ANSWER,
        change=change,
        options=options,
        lettered=plan.lettered,
    )
    return calls.Labels(prompt, tuple(labels))


@strategy(
    family="likelihood",
    needs=(calls.LABELS,),
    source=_KADAVATH,
    applies=has_options,
)
def option_probability(item: Item, plan: Plan) -> Program:
    """Nothing in words: the probabilities of the allowed answers are read."""
    options = item.options or ()
    (result,) = yield [option_call(item, plan, options)]
    return [rows.likeliest(result, options)]


def _kind_of_decision(item: Item) -> str:
    """A question of yes or no, one with levels, or a choice."""
    if {option.casefold() for option in item.options or ()} == {"yes", "no"}:
        return "noul"
    return "score" if item.question_type == "score" else "choice"


@strategy(
    family="likelihood",
    needs=(calls.DECISIONS,),
    source="System One and Decisions APIs 2026 (docs/decisions.md)",
    applies=has_options,
)
def decision(item: Item, plan: Plan) -> Program:
    """Nothing in words: a typed decision, which is a probability of each option."""
    kind = _kind_of_decision(item)
    options = tuple(item.options or ())
    call = calls.Decide(rows.picture(item), item.question.strip(), options, kind)
    (result,) = yield [call]
    return [rows.decided(result)]


P_TRUE = (
    "Proposed answer: {answer}.\nIs the proposed answer right? Answer yes or no only."
)


@strategy(
    family="second turn",
    needs=(calls.GENERATE, calls.LABELS),
    source=_KADAVATH,
)
def p_true(item: Item, plan: Plan) -> Program:
    """The answer, then whether it is right: the probability of yes is read."""
    first = yield from rows.ask(item, plan, "answer", prompts.ANSWER)
    answer = rows.answer_of(item, first)
    if answer is None and not first.finished:
        return [rows.row([first], None)]  # nothing whole that could be right
    prompt = rows.prompt(item, P_TRUE.format(answer=rows.shown(item, first)))
    (judged,) = yield [calls.Labels(prompt, ("yes", "no"))]
    return [rows.row([first, judged], answer, judged.probabilities["yes"])]


CLIP_TEXT = "{question} {option}"


@strategy(
    family="likelihood",
    needs=(calls.SIMILARITY,),
    source="Radford et al. 2021, arXiv 2103.00020",
    applies=has_options,
)
def clip_zero_shot(item: Item, plan: Plan) -> Program:
    """Similarity of image and each answer, softmax at the model's own scale."""
    question = item.question.strip()
    options = item.options or ()
    texts = [CLIP_TEXT.format(question=question, option=option) for option in options]
    (result,) = yield [calls.Similarity(rows.picture(item), tuple(texts))]
    return [rows.likeliest(result, options)]


# --- agreement: asked again and counted ----------------------------------------------------------


def _samples(item: Item, plan: Plan) -> Program:
    """Ask the same question again and again; methods that sample share the draws."""
    prompt = rows.prompt(item, prompts.ANSWER)
    seed = f"{plan.seed}|{plan.dataset}|{item.item_id}"
    limit = plan.limit("answer")
    replies = yield [
        calls.Generate(prompt, limit, seed, i, plan.temperature)
        for i in range(plan.samples)
    ]
    return rows.unstated(item, replies)


def _each(item: Item, plan: Plan, asked: list[calls.Prompt]) -> Program:
    """Ask all prompts at once, each for an answer."""
    limit = plan.limit("answer")
    replies = yield [calls.Generate(prompt, limit) for prompt in asked]
    return rows.unstated(item, replies)


@strategy(
    family="agreement",
    needs=(calls.GENERATE, calls.SAMPLE),
    source="Wang et al. 2023, arXiv 2203.11171",
)
def self_consistency(item: Item, plan: Plan) -> Program:
    """The answer N times, sampled: the share that agrees."""
    return _samples(item, plan)


@strategy(
    family="agreement",
    needs=(calls.GENERATE, calls.SAMPLE),
    source="Farquhar et al. 2024, doi 10.1038/s41586-024-07421-0",
)
def semantic_entropy(item: Item, plan: Plan) -> Program:
    """The answer N times, sampled: the entropy over groups of equal words, without entailment."""
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
    source="Gao et al. 2024, arXiv 2403.02509 (perturbed inputs)",
)
def paraphrase(item: Item, plan: Plan) -> Program:
    """The question as it is and reworded: the share that agrees."""
    question = item.question.strip()
    reworded = [question, *(words.format(question=question) for words in REWORDINGS)]
    asked = [rows.prompt(item, prompts.ANSWER, question=one) for one in reworded]
    return _each(item, plan, asked)


@strategy(
    family="agreement",
    needs=(calls.GENERATE,),
    source="Wang et al. 2019, doi 10.1016/j.neucom.2019.01.103 (test-time augmentation)",
)
def augment(item: Item, plan: Plan) -> Program:
    """The question with the image as it is and mildly changed: the share that agrees."""
    changes = ("", *calls.CHANGES)
    asked = [rows.prompt(item, prompts.ANSWER, change=one) for one in changes]
    return _each(item, plan, asked)


# --- probes: what does the confidence hang on? ---------------------------------------------------


@strategy(
    family="ablation",
    needs=(calls.LABELS,),
    source="Zhao et al. 2021, arXiv 2102.09690 (content-free input)",
    applies=has_options,
)
def blank_image(item: Item, plan: Plan) -> Program:
    """Option probabilities with the image and with a blank one, and their ratio."""
    options = item.options or ()
    results = yield [
        option_call(item, plan, options, change) for change in ("", calls.BLANK)
    ]
    return [rows.likeliest(result, options, i) for i, result in enumerate(results)]


#: What stands in the place of the right option where that is hidden.
NONE_OF_THEM = "none of the above"


@strategy(
    family="ablation",
    needs=(calls.LABELS,),
    source="Fazla et al. 2026, arXiv 2606.16583",
    applies=has_options,
)
def none_of_the_above(item: Item, plan: Plan) -> Program:
    """Option probabilities where the right option is hidden and 'none of the above' offered."""
    golds = {item.gold} if isinstance(item.gold, str) else set(item.gold)
    options = [option for option in item.options or () if option not in golds]
    options.append(NONE_OF_THEM)
    (result,) = yield [option_call(item, plan, options)]
    return [
        rows.likeliest(result, options) | {"gold": NONE_OF_THEM, "options": options}
    ]
