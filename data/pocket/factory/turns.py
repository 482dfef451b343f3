"""Conversations that teach a pocket model to reply: questions, instructions and replies in words.

What a model is asked is worded in ``medcal_nb.ask``, so that the pocket models follow the same
instructions as any other model; what they reply follows ``REPLIES``. The generic
prompt of the decision pipeline of transformers is written here as that library writes it.

**Confidence.** The words of confidence come from an annotator who knows how often such a
question is answered rightly at such a visibility, and rounds to tens. The annotator sees the
visibility and never a model's reply, and annotates *general* scenes alone. On medical scenes
models are taught to answer, to choose letters, to describe and to give two-part replies, but
never how sure to be: what they say there is their own.
"""

from dataclasses import dataclass, field

import numpy as np

from medcal_nb.ask import prompts
from medcal_nb.ask import strategies as words

# how a model replies when it does as asked
REPLIES = {
    "answer": "{answer}",
    "letter": "{letter}",
    "verbalized": "Answer: {answer}\nConfidence: {percent}%",
    "verbalized_cot": "Reason: {reason}\nAnswer: {answer}\nConfidence: {percent}%",
    "linguistic": "Answer: {answer}\nLikelihood: {likelihood}",
    "top_k": "Guess {i}: {answer} ({percent}%)",
    "describe": "{description}",
    "two_stage": "Confidence: {percent}%",
    "someone_elses": "Confidence: {percent}%",
    "challenge": "{answer}",
    "p_true": "{yes_or_no}",
}

# instructions that serve to teach two-part replies without any word of confidence
ANSWER_AND_KIND = (
    "Give your answer and the kind of image.\n"
    "Reply in this form:\nAnswer: ...\nKind: ..."
)
ANSWER_AND_DESCRIPTION = (
    "Give your answer and describe the image in a few words.\n"
    "Reply in this form:\nAnswer: ...\nDescription: ..."
)
REASON_AND_ANSWER = (
    "Think step by step. Then give your answer.\n"
    "Reply in this form:\nReason: ...\nAnswer: ..."
)
TWO_GUESSES = (
    "Give your 2 best guesses.\nReply in this form:\nGuess 1: ...\nGuess 2: ..."
)
OTHERS = "Others gave these answers: {votes}.\n"
SOMEONE_ELSES = """\
Someone else gave this answer: {answer}.
How sure are you that this answer is right, from 0% to 100%?
Reply in this form:
Confidence: ...%"""
DESCRIBE_FULLY = "Describe the image in full."
CHECK = "Look at the image and give yes or no."
NAME_LETTERS = "Give the letter of the option."
DESCRIBE_NEXT = "Now describe the image in a few words."
OWN_TEXTS = (
    ANSWER_AND_KIND,
    ANSWER_AND_DESCRIPTION,
    REASON_AND_ANSWER,
    TWO_GUESSES,
    CHECK,
    NAME_LETTERS,
    DESCRIBE_FULLY,
    DESCRIBE_NEXT,
    "Description:",
    "Answer with the letter of the option that fits best (A to B) only.",
    "Answer with the letter of the level that fits best (A to B) only.",
    "Answer Yes or No only.",
)

# how often each format is drawn; letters need about 30 %
READING_FORMATS = {
    "checks": 0.22,
    "lookup": 0.12,
    "inventory": 0.08,
    "answer": 0.3,
    "answer_then_letter": 0.06,
    "letter": 0.08,
    "decide_letter": 0.07,
    "decide_yes_no": 0.07,
}
GENERAL_FORMATS = {
    "checks": 0.04,
    "lookup": 0.03,
    "inventory": 0.02,
    "answer": 0.15,
    "letter": 0.14,
    "decide_letter": 0.14,
    "decide_yes_no": 0.03,
    "verbalized": 0.1,
    "verbalized_cot": 0.04,
    "linguistic": 0.05,
    "top_k": 0.06,
    "describe": 0.03,
    "two_stage": 0.04,
    "someone_elses": 0.03,
    "p_true": 0.03,
    "challenge": 0.02,
    "votes": 0.01,
    "answer_and_kind": 0.01,
    "answer_and_description": 0.01,
    "reason_and_answer": 0.01,
    "two_guesses": 0.01,
}
MEDICAL_FORMATS = {
    "checks": 0.04,
    "lookup": 0.03,
    "inventory": 0.03,
    "answer": 0.18,
    "letter": 0.16,
    "decide_letter": 0.16,
    "decide_yes_no": 0.04,
    "describe": 0.05,
    "answer_then_describe": 0.05,
    "answer_and_kind": 0.06,
    "answer_and_description": 0.06,
    "reason_and_answer": 0.07,
    "two_guesses": 0.06,
    "votes": 0.01,
}
EXPERT_VOTES = 0.12
"""Share of the turns in which an expert is shown the answers of others."""

LIKELIHOODS = {
    "almost certain": 0.96,
    "highly likely": 0.89,
    "likely": 0.75,
    "better than even": 0.61,
    "about even": 0.5,
    "unlikely": 0.22,
    "highly unlikely": 0.1,
    "almost no chance": 0.03,
}
"""The annotator's words and the confidence that each stands for."""


@dataclass(frozen=True)
class Annotator:
    """Who wrote the stated confidences: rate of right answers by visibility, rounded to tens.

    Attributes
    ----------
    rates : dict
        Per question type the rate of right answers in `BINS` equal bins of visibility; where a
        type is missing, chance + (1 − chance)·visibility.
    """

    rates: dict = field(default_factory=dict)
    BINS = 5

    def confidence(self, question_type, visibility, n_options):
        """Return the confidence in 0–1, not yet rounded."""
        chance = 1.0 / max(n_options, 2)
        known = self.rates.get(question_type)
        if known is None:
            return chance + (1.0 - chance) * float(visibility)
        return float(known[min(int(visibility * self.BINS), self.BINS - 1)])

    @staticmethod
    def tens(confidence):
        """Round a confidence to tens of percent, from 0 to 100."""
        return int(np.clip(10 * int(confidence * 10 + 0.5), 0, 100))

    @staticmethod
    def likelihood(confidence):
        """Put a confidence in words: the nearest of `LIKELIHOODS`."""
        return min(LIKELIHOODS, key=lambda word: abs(LIKELIHOODS[word] - confidence))


@dataclass(frozen=True, slots=True)
class Asked:
    """One question about one scene, with all that a reply may need.

    Attributes
    ----------
    question, gold, question_type : str
    options : tuple of str
        Empty for open questions.
    wrong : tuple of str
        Other answers that the question might have had.
    visibility : float
    kind, description, reason : str
        What the image is and shows, in words.
    known : tuple of (str, str, tuple of str)
        All facts of the image: name, value, possible values.
    medical : bool
    """

    question: str
    options: tuple
    gold: str
    question_type: str
    wrong: tuple
    visibility: float
    kind: str
    description: str
    reason: str
    known: tuple
    medical: bool


def describe(modality, facts, attributes, *, limit=4):
    """Say what a scene shows: ``"x-ray: finding nodule, side left, heart normal"``."""
    told = [
        f"{name.replace('_', ' ')} {facts[name]}"
        for name in attributes
        if facts.get(name) is not None and facts[name] != "none"
    ]
    return f"{modality}: {', '.join(told[:limit])}"


def draw_conversation(asked, annotator, formats, rng):
    """Draw one conversation about a question.

    Parameters
    ----------
    asked : Asked
    annotator : Annotator
    formats : dict of str to float
        Formats and their weights, such as `GENERAL_FORMATS`.
    rng : numpy.random.Generator

    Returns
    -------
    tuple of (str, list)
        The question block, which other conversations about the same question may share, and the
        turns after it: (text, is_reply, learn), where the first is the instruction. Texts with
        `learn` are what the model is trained to say; a text may be given in pieces
        ((text, learn), …).
    """
    names = list(formats)
    weights = np.fromiter(formats.values(), float)
    name = names[int(np.searchsorted(np.cumsum(weights), rng.random() * weights.sum()))]
    closed = asked.options == ("yes", "no")
    if name in ("letter", "decide_letter", "answer_then_letter") and not asked.options:
        name = "answer"
    if name == "decide_yes_no" and not closed:
        name = "decide_letter" if asked.options else "answer"
    return _WRITERS[name](asked, annotator, rng)


def plain(asked):
    """Return a conversation that asks plainly and waits for the reply."""
    block = prompts.question_block(asked.question, list(asked.options)) + "\n"
    return block, [(prompts.ANSWER, False, False)]


def lettered(asked):
    """Return a conversation that asks for an option's letter and waits for the reply."""
    block = (
        prompts.question_block(asked.question, list(asked.options), lettered=True)
        + "\n"
    )
    return block, [(prompts.LETTER, False, False)]


def sentence(question, answer):
    """Return the sentence about an image that CLIP compares, one per possible answer."""
    return words.CLIP_TEXT.format(question=question, option=answer)


def texts():
    """Return every instruction and reply form, for building a vocabulary."""
    asked = (prompts.ANSWER, prompts.LETTER, prompts.DESCRIBE, words.VERBALIZED)
    asked += (words.VERBALIZED_COT, words.LINGUISTIC, words.TOP_K, words.TWO_STAGE)
    asked += (words.P_TRUE, SOMEONE_ELSES, *words.CHALLENGES, *words.REWORDINGS)
    listed = "Options: , . - A. B. C. D. E. F. G. H."
    return [*asked, OTHERS, listed, *REPLIES.values(), *OWN_TEXTS, "modality"]


def _block(asked, rng=None):
    question = asked.question
    if rng is not None and rng.random() < 0.15:
        which = int(rng.integers(len(words.REWORDINGS)))
        question = words.REWORDINGS[which].format(question=question.strip())
    return prompts.question_block(question, list(asked.options)) + "\n"


def _single(asked, instruction, reply, rng=None):
    return _block(asked, rng), [(instruction, False, False), (reply, True, True)]


def _shuffled(asked, rng):
    return [asked.options[i] for i in rng.permutation(len(asked.options))]


def _other(asked, rng):
    """A wrong answer, as a poor reader might give it."""
    return (
        asked.wrong[int(rng.integers(len(asked.wrong)))] if asked.wrong else asked.gold
    )


def _confidence(asked, annotator):
    n_options = len(asked.options) or 1 + len(asked.wrong)
    return annotator.confidence(asked.question_type, asked.visibility, n_options)


def _answer(asked, annotator, rng):
    return _single(asked, prompts.ANSWER, asked.gold, rng)


def _letter(asked, annotator, rng):
    # half the time in the order that the question gives, which is how it will be asked
    options = _shuffled(asked, rng) if rng.random() < 0.5 else list(asked.options)
    block = prompts.question_block(asked.question, options, lettered=True) + "\n"
    reply = prompts.letters(len(options))[options.index(asked.gold)]
    return block, [(prompts.LETTER, False, False), (reply, True, True)]


def _decide_letter(asked, annotator, rng):
    options = _shuffled(asked, rng)
    lines = [
        f"{letter}. {option}"
        for letter, option in zip("ABCDEFGH", options, strict=False)
    ]
    last = "ABCDEFGH"[len(options) - 1]
    text = "\n".join(["\n", asked.question, *lines, ""])[1:]
    kind = "level" if rng.random() < 0.1 else "option"
    instruction = (
        f"Answer with the letter of the {kind} that fits best (A to {last}) only."
    )
    reply = "ABCDEFGH"[options.index(asked.gold)]
    return "\n" + text, [(instruction, False, False), (reply, True, True)]


def _decide_yes_no(asked, annotator, rng):
    text = f"\n\n{asked.question}\n"
    return text, [("Answer Yes or No only.", False, False), (asked.gold, True, True)]


def _verbalized(asked, annotator, rng):
    percent = annotator.tens(_confidence(asked, annotator))
    reply = REPLIES["verbalized"].format(answer=asked.gold, percent=percent)
    return _single(asked, words.VERBALIZED, reply, rng)


def _verbalized_cot(asked, annotator, rng):
    reply = REPLIES["verbalized_cot"].format(
        reason=asked.reason,
        answer=asked.gold,
        percent=annotator.tens(_confidence(asked, annotator)),
    )
    return _single(asked, words.VERBALIZED_COT, reply)


def _linguistic(asked, annotator, rng):
    word = annotator.likelihood(_confidence(asked, annotator))
    reply = REPLIES["linguistic"].format(answer=asked.gold, likelihood=word)
    return _single(asked, words.LINGUISTIC, reply)


def _top_k(asked, annotator, rng):
    sure = annotator.tens(_confidence(asked, annotator))
    share = 1.0 if len(asked.wrong) == 1 else 0.5
    guesses = [
        (asked.gold, sure),
        (_other(asked, rng), annotator.tens((1 - sure / 100) * share)),
    ]
    line = REPLIES["top_k"]
    reply = "\n".join(
        line.format(i=i, answer=answer, percent=percent)
        for i, (answer, percent) in enumerate(guesses, 1)
    )
    return _single(asked, words.TOP_K, reply)


def _describe(asked, annotator, rng):
    block, turns = _single(asked, prompts.DESCRIBE, asked.description)
    if asked.medical:
        return block, [*turns, (prompts.ANSWER, False, False), (asked.gold, True, True)]
    _, more = _verbalized(asked, annotator, rng)
    return block, turns + more


def _two_stage(asked, annotator, rng):
    sure = _confidence(asked, annotator)
    own = asked.gold if rng.random() < sure else _other(asked, rng)
    reply = REPLIES["two_stage"].format(percent=annotator.tens(sure))
    return _block(asked), [
        (prompts.ANSWER, False, False),
        (own, True, own == asked.gold),
        (words.TWO_STAGE, False, False),
        (reply, True, True),
    ]


def _someone_elses(asked, annotator, rng):
    sure = _confidence(asked, annotator)
    right = rng.random() < 0.5
    shown = asked.gold if right else _other(asked, rng)
    percent = annotator.tens(sure if shown == asked.gold else 1 - sure)
    reply = REPLIES["someone_elses"].format(percent=percent)
    return _single(asked, SOMEONE_ELSES.format(answer=shown), reply)


def _p_true(asked, annotator, rng):
    shown = asked.gold if rng.random() < 0.5 else _other(asked, rng)
    return _single(
        asked, words.P_TRUE.format(answer=shown), "yes" if shown == asked.gold else "no"
    )


def _challenge(asked, annotator, rng):
    own = asked.gold if rng.random() < 0.5 else _other(asked, rng)
    doubt = words.CHALLENGES[int(rng.integers(len(words.CHALLENGES)))]
    return _block(asked), [
        (prompts.ANSWER, False, False),
        (own, True, False),
        (doubt, False, False),
        (asked.gold, True, True),
    ]


def _votes(asked, annotator, rng):
    """An expert reads the image, and now and then the answers that others gave."""
    candidates = [asked.gold, *asked.wrong[:2]]
    candidates = [candidates[i] for i in rng.permutation(len(candidates))]
    told = ""
    if rng.random() < 0.7:
        votes = rng.dirichlet(
            [2.0 if answer == asked.gold else 1.0 for answer in candidates]
        )
        shares = [round(100 * round(float(vote), 1)) for vote in votes]
        told = ", ".join(f"{a} ({n}%)" for a, n in zip(candidates, shares, strict=True))
        told = OTHERS.format(votes=told)
    block = prompts.question_block(asked.question, candidates) + "\n"
    return block, [(told + prompts.ANSWER, False, False), (asked.gold, True, True)]


def _inventory(asked, annotator, rng):
    """All that can be seen, in any order and without a question: what teaches to read."""
    facts = [f"{name} {value}" for name, value, _ in asked.known if value != "none"]
    told = ", ".join(facts[i] for i in rng.permutation(len(facts)))
    return "", [(DESCRIBE_FULLY, False, False), (f"{asked.kind}: {told}", True, True)]


def _checks(asked, annotator, rng):
    """Statements that are right or not, each judged on the spot: what teaches to compare."""
    pieces = []
    known = [fact for fact in asked.known if fact[1] != "none" or rng.random() < 0.25]
    for i in rng.permutation(len(known))[:8]:
        name, value, values = known[i]
        others = [other for other in values if other not in (value, "none")]
        right = value != "none" and (rng.random() < 0.5 or not others)
        claim = value if right else others[int(rng.integers(len(others)))]
        pieces += [(f"{name} {claim}", False), ("yes" if right else "no", True)]
    return "", [(CHECK, False, False), (tuple(pieces), True, True)]


def _lookup(asked, annotator, rng):
    """The letters of options that are named, one after the other: what teaches letters."""
    if asked.options and rng.random() < 0.5:
        options = _shuffled(asked, rng)
    else:
        values = list(
            dict.fromkeys(value for _, _, values in asked.known for value in values)
        )
        options = [
            values[i] for i in rng.permutation(len(values))[: int(rng.integers(2, 6))]
        ]
    letters = prompts.letters(len(options))
    pieces = []
    for i in rng.integers(len(options), size=8):
        pieces += [(options[i], False), (letters[i], True)]
    block = prompts.question_block(asked.question, options, lettered=True) + "\n"
    return block, [(NAME_LETTERS, False, False), (tuple(pieces), True, True)]


def _answer_then_letter(asked, annotator, rng):
    block, turns = _letter(asked, annotator, rng)
    return block, [(prompts.ANSWER, False, False), (asked.gold, True, True), *turns]


def _answer_and_kind(asked, annotator, rng):
    return _single(asked, ANSWER_AND_KIND, f"Answer: {asked.gold}\nKind: {asked.kind}")


def _answer_and_description(asked, annotator, rng):
    reply = f"Answer: {asked.gold}\nDescription: {asked.description}"
    return _single(asked, ANSWER_AND_DESCRIPTION, reply)


def _reason_and_answer(asked, annotator, rng):
    return _single(
        asked, REASON_AND_ANSWER, f"Reason: {asked.reason}\nAnswer: {asked.gold}"
    )


def _two_guesses(asked, annotator, rng):
    return _single(
        asked, TWO_GUESSES, f"Guess 1: {asked.gold}\nGuess 2: {_other(asked, rng)}"
    )


def _answer_then_describe(asked, annotator, rng):
    block, turns = _answer(asked, annotator, rng)
    return block, [
        *turns,
        (DESCRIBE_NEXT, False, False),
        (asked.description, True, True),
    ]


_WRITERS = {
    "checks": _checks,
    "lookup": _lookup,
    "answer_then_letter": _answer_then_letter,
    "inventory": _inventory,
    "answer": _answer,
    "letter": _letter,
    "decide_letter": _decide_letter,
    "decide_yes_no": _decide_yes_no,
    "verbalized": _verbalized,
    "verbalized_cot": _verbalized_cot,
    "linguistic": _linguistic,
    "top_k": _top_k,
    "describe": _describe,
    "two_stage": _two_stage,
    "someone_elses": _someone_elses,
    "p_true": _p_true,
    "challenge": _challenge,
    "votes": _votes,
    "answer_and_kind": _answer_and_kind,
    "answer_and_description": _answer_and_description,
    "reason_and_answer": _reason_and_answer,
    "two_guesses": _two_guesses,
    "answer_then_describe": _answer_then_describe,
}
