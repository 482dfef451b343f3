"""Every word that is put to a model, in one place.

A user turn is the image followed by one text: the *question block* (question and, where the
answer is one of a few, its options) and then one instruction:

    Is there a fracture?
    Options: yes, no.
    Answer with one option or a few words only.

The question block comes first so that all strategies share it (and the image before it), and
only the instruction differs. The words are few and plain: the pocket models know no others.
The asked reply is always ``Label: value``, one a line; parsers also accept it on one line.

Nothing here imports anything of ours, and nothing here reads a reply.
"""

import hashlib
from functools import cache

# --- one turn: question block + instruction ----------------------------------------------------

ANSWER = "Answer with one option or a few words only."

LETTER = "Answer with the letter of one option only."

VERBALIZED = (
    "Give your answer and how sure you are, from 0% to 100%.\n"
    "Reply in this form:\n"
    "Answer: ...\n"
    "Confidence: ...%"
)

VERBALIZED_COT = (
    "Think step by step. Then give your answer and how sure you are, from 0% to 100%.\n"
    "Reply in this form:\n"
    "Reason: ...\n"
    "Answer: ...\n"
    "Confidence: ...%"
)

LIKELIHOOD_WORDS = (
    "almost certain",
    "highly likely",
    "likely",
    "better than even",
    "about even",
    "unlikely",
    "highly unlikely",
    "almost no chance",
)

LINGUISTIC = (
    "Give your answer and how likely it is to be right, in one of these words: "
    + ", ".join(LIKELIHOOD_WORDS)
    + ".\nReply in this form:\nAnswer: ...\nLikelihood: ..."
)

TOP_K = 2

TOP_K_HEAD = "Give your {k} best guesses and how likely each is to be right, from 0% to 100%."

TOP_K_LINE = "Guess {i}: ... (...%)"

DESCRIBE = "First describe the image in a few words. Do not answer yet."

P_TRUE = "Proposed answer: {answer}.\nIs the proposed answer right? Answer yes or no only."

TWO_STAGE_OTHER = (
    "Someone else gave this answer: {answer}.\n"
    "How sure are you that this answer is right, from 0% to 100%?\n"
    "Reply in this form:\n"
    "Confidence: ...%"
)

# --- second turns, after the model's own reply ---------------------------------------------------

TWO_STAGE = (
    "How sure are you that your answer is right, from 0% to 100%?\n"
    "Reply in this form:\n"
    "Confidence: ...%"
)

CHALLENGES = (
    "Are you sure? Look again and give your answer only.",
    "Someone else does not think so. Look again and give your answer only.",
    "That may be wrong. Look again and give your answer only.",
)

# --- the same question in other words ------------------------------------------------------------

REWORDINGS = (
    "Look at the image. {question}",
    "Here is a question about the image: {question}",
    "{question} Look at the image and answer.",
    "Can you tell me this from the image: {question}",
)

# --- the sentence an image is compared with, one per option (CLIP) --------------------------------

CLIP_TEXT = "{question} {option}"

# --- an expert model judges the candidates of others ---------------------------------------------

EXPERT_CONFIDENCES = "Others gave these answers: {votes}."

# --- how the model replies when it does as asked (what the pocket models are trained on) ---------

REPLIES = {
    "answer": "{answer}",
    "letter": "{letter}",
    "verbalized": "Answer: {answer}\nConfidence: {percent}%",
    "verbalized_cot": "Reason: {reason}\nAnswer: {answer}\nConfidence: {percent}%",
    "linguistic": "Answer: {answer}\nLikelihood: {likelihood}",
    "top_k": "Guess {i}: {answer} ({percent}%)",
    "describe": "{description}",
    "two_stage": "Confidence: {percent}%",
    "two_stage_other": "Confidence: {percent}%",
    "challenge": "{answer}",
    "p_true": "{yes_or_no}",
}


#: Options that can be told apart by a letter.
MOST_LETTERS = 26


def letters(n):
    """Return the first `n` option letters: ``["A", "B", …]``."""
    if not 0 <= n <= MOST_LETTERS:
        raise ValueError(f"letters: n must be between 0 and {MOST_LETTERS}, got {n}")
    return [chr(ord("A") + i) for i in range(n)]


def options_line(options):
    """Write options as a list: ``Options: yes, no.``; ``""`` where the question is open.

    Options that hold a comma stand one a line, so that they stay apart.
    """
    if not options:
        return ""
    if any("," in option or "\n" in option for option in options):
        return "Options:\n" + "\n".join(f"- {' '.join(option.split())}" for option in options)
    return "Options: " + ", ".join(options) + "."


def lettered_options(options):
    """Write options with letters, one a line: ``Options:\\nA. yes\\nB. no``."""
    rows = zip(letters(len(options)), options, strict=True)
    return "Options:\n" + "\n".join(f"{letter}. {option}" for letter, option in rows)


def question_block(question, options=None, *, lettered=False):
    """Write the part of the turn that all strategies share: question, then options."""
    listed = (lettered_options(options) if lettered else options_line(options)) if options else ""
    return question.strip() + ("\n" + listed if listed else "")


def user_turn(question, options, instruction, *, lettered=False):
    """Write a whole first turn: question block, newline, instruction."""
    return question_block(question, options, lettered=lettered) + "\n" + instruction


def top_k(k=TOP_K):
    """Write the instruction for `k` guesses with probabilities (Tian et al. 2023)."""
    if k < 1:
        raise ValueError(f"top_k: k must be at least 1, got {k}")
    lines = [TOP_K_HEAD.format(k=k), "Reply in this form:"]
    return "\n".join(lines + [TOP_K_LINE.format(i=i) for i in range(1, k + 1)])


def p_true(answer):
    """Write the instruction that asks whether a proposed answer is right."""
    return P_TRUE.format(answer=answer)


def two_stage_other(answer):
    """Write the instruction that asks for confidence in someone else's answer."""
    return TWO_STAGE_OTHER.format(answer=answer)


def reword(question, which):
    """Put a question in other words; `which` counts from 0 over `REWORDINGS`."""
    return REWORDINGS[which].format(question=question.strip())


def expert_turn(question, candidates, confidences=None):
    """Write the turn that asks an expert which candidate is right.

    With `confidences` (0–1, one per candidate) the expert is also told the others' support.
    """
    if confidences is None:
        return user_turn(question, candidates, ANSWER)
    pairs = zip(candidates, confidences, strict=True)
    votes = ", ".join(f"{answer} ({round(100 * share)}%)" for answer, share in pairs)
    told = EXPERT_CONFIDENCES.format(votes=votes)
    return user_turn(question, candidates, told + "\n" + ANSWER)


def all_texts(k=TOP_K):
    """Return every fixed text a model may be shown, for building a vocabulary."""
    return [
        ANSWER,
        LETTER,
        VERBALIZED,
        VERBALIZED_COT,
        LINGUISTIC,
        top_k(k),
        DESCRIBE,
        P_TRUE,
        TWO_STAGE_OTHER,
        TWO_STAGE,
        *CHALLENGES,
        *REWORDINGS,
        EXPERT_CONFIDENCES,
        "Options: , . - A. B. C. D. E. F. G. H.",
        *REPLIES.values(),
    ]


@cache
def words_hash():
    """Return a hash of all that is put to a model: other words, other answers."""
    words = [*all_texts(), CLIP_TEXT]
    return hashlib.blake2b("\0".join(words).encode(), digest_size=8).hexdigest()
