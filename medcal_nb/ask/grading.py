"""Decide whether an answer is right.

Answers are compared after normalisation and never by substring: "no" is not found in "normal", nor
"lung" in "left lung". Closed and choice answers are resolved to what they choose; open answers
match a gold answer word for word. Looser rules for open answers (token F1, a judge model) are
asked for by name, and :func:`judge_agreement` says how far a judge can be trusted.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass

from medcal_nb.ask.parsing import option_letter, strip_reasoning, yes_no

__all__ = [
    "JudgeAgreement",
    "is_correct",
    "judge_agreement",
    "make_judge",
    "normalise",
    "token_f1",
]

_ARTICLES = {"a", "an", "the"}
_NUMBERS = {
    word: str(i)
    for i, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
         "eleven", "twelve")
    )
}  # fmt: skip
# Plurals that no rule below gives; the left and right words are the ones radiology uses.
_PLURALS = {
    "metastases": "metastasis",
    "diagnoses": "diagnosis",
    "stenoses": "stenosis",
    "thromboses": "thrombosis",
    "anastomoses": "anastomosis",
    "prognoses": "prognosis",
    "sclerosis": "sclerosis",
    "vertebrae": "vertebra",
    "bullae": "bulla",
    "bronchi": "bronchus",
    "nuclei": "nucleus",
    "foci": "focus",
    "thrombi": "thrombus",
    "emboli": "embolus",
    "hila": "hilum",
    "septa": "septum",
    "atria": "atrium",
    "diverticula": "diverticulum",
    "feet": "foot",
    "teeth": "tooth",
    "men": "man",
    "women": "woman",
    "children": "child",
    "people": "person",
    "leaves": "leaf",
    "knives": "knife",
    "calves": "calf",
    "halves": "half",
    "mice": "mouse",
}


def _singular(word):
    if word in _PLURALS:
        return _PLURALS[word]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "as", "os")):
        return word[:-1]
    return word


def normalise(text):
    """Reduce a text to what counts when answers are compared.

    Case, mark-up, punctuation, articles and plurals go; number words become digits; "5.6cm" and
    "5.6 cm", "T2-weighted" and "t2 weighted", "X-ray" and "xray" become the same. Decimal points
    and signs of numbers stay.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        Words with single blanks between them; may be empty.

    Examples
    --------
    >>> normalise("**The** left lungs.")
    'left lung'
    >>> normalise("Two X-rays") == normalise("2 xray")
    True
    """
    text = unicodedata.normalize("NFKC", str(text)).casefold().replace("’", "'")
    text = re.sub(r"(?<=\w)'(?=s\b|t\b|re\b|ve\b|ll\b|d\b|m\b)", "", text)
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    text = re.sub(r"\bx[\s-]?rays?\b", "xray", text)
    text = re.sub(r"(?<=\d)(?=[^\W\d_])", " ", text)
    words = re.findall(r"(?:(?<![\w.])-)?\d+(?:\.\d+)?|\.\d+|[^\W_]+|[%°+]", text)
    words = [_NUMBERS.get(word, word) for word in words]
    kept = [_singular(word) for word in words if word not in _ARTICLES]
    return " ".join(kept or words)  # an answer that is nothing but "A" stays one


def token_f1(answer, gold):
    """Compute the overlap of words between an answer and a gold answer.

    F1 = 2PR / (P + R) over the normalised words as bags, P being the share of the answer's words
    that the gold answer has, R the share of the gold answer's words that the answer has. With
    several gold answers the best one counts.

    Parameters
    ----------
    answer : str
    gold : str or sequence of str

    Returns
    -------
    float
        In [0, 1]; 0 where only one side has words, 1 where neither has.

    References
    ----------
    Rajpurkar et al., EMNLP 2016, arXiv:1606.05250.
    """
    said = normalise(answer).split()
    best = 0.0
    for one in [gold] if isinstance(gold, str) else gold:
        wanted = normalise(one).split()
        if not said or not wanted:
            best = max(best, float(said == wanted))
            continue
        common = sum(min(said.count(word), wanted.count(word)) for word in set(said))
        best = max(best, 2 * common / (len(said) + len(wanted)))
    return best


def _missing(value):
    return value is None or (isinstance(value, float) and math.isnan(value))


def _golds(gold):
    """Return the gold answers as a list of texts."""
    if _missing(gold):
        return []
    golds = [gold] if isinstance(gold, str) or not hasattr(gold, "__iter__") else list(gold)
    return [str(one) for one in golds if not _missing(one) and str(one).strip()]


def is_correct(
    answer, gold, *, question_type, options=None, min_f1=None, judge=None, question=None
):
    """Decide whether an answer is right.

    - ``"closed"``: both sides are read as yes or no by their first word; where the gold answer is
      neither, they are compared as normalised texts.
    - ``"choice"``: both sides are resolved to an option, by their whole text or by their letter
      ("B", "(b)", "B. left lung"); where a letter and a text disagree, the letter counts. An
      answer that names no option is wrong.
    - ``"open"``: the normalised texts are equal; or, where asked for, token F1 reaches `min_f1`, or
      `judge` says so.

    Parameters
    ----------
    answer : str or None
        The parsed answer. ``None``, NaN and blank give ``None``: there is nothing to grade.
    gold : str or sequence of str
        The right answer; with several, any of them is right.
    question_type : {"closed", "choice", "open"}
    options : list of str, optional
        The options of a choice question, in the order they were shown.
    min_f1 : float, optional
        For open questions: the token F1 from which an answer counts as right.
    judge : callable, optional
        For open questions: ``judge(question, gold, answer) -> bool or None``, asked about answers
        that do not match; `gold` is a list. See :func:`make_judge`.
    question : str, optional
        What the judge is told was asked.

    Returns
    -------
    bool or None

    Raises
    ------
    ValueError
        If `question_type` is none of the three.

    Examples
    --------
    >>> is_correct("Yes.", "yes", question_type="closed")
    True
    >>> is_correct("B", "right lung", question_type="choice", options=["left lung", "right lung"])
    True
    >>> is_correct("lung", "left lung", question_type="open")
    False
    """
    if question_type not in {"closed", "choice", "open"}:
        raise ValueError(f"question_type: must be closed, choice or open, got {question_type!r}")
    golds = _golds(gold)
    if _missing(answer) or not golds:
        return None
    answer = strip_reasoning(str(answer))
    if not re.search(r"\w", answer):
        return None
    if question_type == "choice":
        return _same_option(answer, golds, _options(options))
    if question_type == "closed":
        wanted = {yes_no(one) for one in golds}
        if None not in wanted:
            return yes_no(answer) in wanted
    if normalise(answer) in {normalise(one) for one in golds}:
        return True
    if question_type == "open":
        if min_f1 is not None and token_f1(answer, golds) >= min_f1:
            return True
        if judge is not None:
            judged = judge(question, golds, answer)
            return None if judged is None else bool(judged)
    return False


def _options(options):
    return [] if options is None else [str(option) for option in options]


def _option_index(text, options):
    """Return which option a text is, by its words or else by its letter, or ``None``."""
    normal = normalise(text)
    same = [i for i, option in enumerate(options) if normalise(option) == normal]
    if len(same) > 1:  # options that differ in case or an article only
        same = [i for i, option in enumerate(options) if option.strip() == text.strip()]
    if len(same) == 1:
        return same[0]
    if letter := option_letter(re.sub(r"[*_`$]", "", text), len(options)):
        return ord(letter) - ord("A")
    return None


def _same_option(answer, golds, options):
    if not options:
        letter = option_letter(answer, 26)
        wanted = {option_letter(one, 26) for one in golds}
        return normalise(answer) in {normalise(one) for one in golds} or (
            letter is not None and letter in wanted
        )
    chosen = _option_index(answer, options)
    return chosen is not None and chosen in {_option_index(one, options) for one in golds}


# --- judges --------------------------------------------------------------------------------------


def make_judge(ask):
    """Make a judge for :func:`is_correct` from anything that replies to a text.

    Parameters
    ----------
    ask : callable
        ``ask(prompt) -> reply``: a language model. It is shown question, gold answers and answer,
        never an image, and replies yes or no.

    Returns
    -------
    callable
        ``judge(question, golds, answer) -> bool or None``; ``None`` where the reply is neither.
    """

    def judge(question, golds, answer):
        wanted = " or ".join(str(one) for one in golds)
        asked = f"Question: {question}\n" if question else ""
        said = yes_no(
            strip_reasoning(
                ask(
                    f"{asked}Right answer: {wanted}\nGiven answer: {answer}\n"
                    "Does the given answer mean the same as the right answer? "
                    "Answer yes or no only."
                )
            )
        )
        return None if said is None else said == "yes"

    return judge


@dataclass(frozen=True)
class JudgeAgreement:
    """How often a judge and the exact match say the same.

    Attributes
    ----------
    n : int
        Answers that both graded.
    n_unjudged : int
        Answers that the judge or the exact match left without a grade.
    agreement, low, high : float
        Share of the `n` on which they agree, with its Wilson interval; NaN where `n` is 0.
    kappa : float
        Cohen's kappa; NaN where one of them never varies.
    only_judge, only_exact : int
        Answers that only the judge, only the exact match, calls right.
    """

    n: int
    n_unjudged: int
    agreement: float
    low: float
    high: float
    kappa: float
    only_judge: int
    only_exact: int


def judge_agreement(answers, golds, judge, *, questions=None, level=0.95):
    """Compare a judge with the exact match on open answers.

    Every answer is graded twice, by normalised match and by the judge alone, so that a judge that
    would reject matching answers shows too.

    Parameters
    ----------
    answers : sequence of str or None
    golds : sequence
        A gold answer, or several, for each answer.
    judge : callable
        ``judge(question, golds, answer) -> bool or None``.
    questions : sequence of str, optional
    level : float, default 0.95
        Of the Wilson score interval.

    Returns
    -------
    JudgeAgreement

    Raises
    ------
    ValueError
        If the lengths differ or `level` is not between 0 and 1.

    References
    ----------
    Wilson, JASA 1927, doi:10.1080/01621459.1927.10502953; Cohen, Educ. Psychol. Meas. 1960,
    doi:10.1177/001316446002000104.
    """
    from statistics import NormalDist

    answers, golds = list(answers), list(golds)
    questions = [None] * len(answers) if questions is None else list(questions)
    if not len(answers) == len(golds) == len(questions):
        raise ValueError(
            f"answers, golds, questions: lengths differ: {len(answers)}, {len(golds)}, "
            f"{len(questions)}"
        )
    if not 0 < level < 1:
        raise ValueError(f"level: must be between 0 and 1, got {level!r}")
    counts = {(j, e): 0 for j in (False, True) for e in (False, True)}
    unjudged = 0
    for question, gold, answer in zip(questions, golds, answers, strict=True):
        exact = is_correct(answer, gold, question_type="open")
        judged = None if exact is None else judge(question, _golds(gold), str(answer))
        if judged is None:
            unjudged += 1
        else:
            counts[bool(judged), exact] += 1
    n = sum(counts.values())
    only_judge, only_exact = counts[True, False], counts[False, True]
    if n == 0:
        nan = math.nan
        return JudgeAgreement(0, unjudged, nan, nan, nan, nan, 0, 0)
    share = (counts[True, True] + counts[False, False]) / n
    z = NormalDist().inv_cdf(0.5 + level / 2)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    judge_yes = (counts[True, True] + only_judge) / n
    exact_yes = (counts[True, True] + only_exact) / n
    chance = judge_yes * exact_yes + (1 - judge_yes) * (1 - exact_yes)
    kappa = (share - chance) / (1 - chance) if chance < 1 else math.nan
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return JudgeAgreement(n, unjudged, share, low, high, kappa, only_judge, only_exact)
