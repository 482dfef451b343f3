"""When are two answers the same? One notion for grading, ensembles, agreement and image ablation.

Answers are the same where their keys are: what is left of a text when case, mark-up, punctuation,
articles and plurals are gone, and number words are digits.
"""

import re
import unicodedata

_ARTICLES = frozenset(("a", "an", "the"))
_NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve"
_DIGITS = {word: str(number) for number, word in enumerate(_NUMBERS.split())}
# plurals that no rule below gives
_PLURALS = """
metastases metastasis
diagnoses diagnosis
stenoses stenosis
thromboses thrombosis
anastomoses anastomosis
prognoses prognosis
sclerosis sclerosis
vertebrae vertebra
bullae bulla
bronchi bronchus
nuclei nucleus
foci focus
thrombi thrombus
emboli embolus
hila hilum
septa septum
atria atrium
diverticula diverticulum
feet foot
teeth tooth
men man
women woman
"""
_PLURALS = dict(line.split() for line in _PLURALS.strip().splitlines())
_ES_PLURALS = ("sses", "shes", "ches", "xes", "zes")
_NO_PLURALS = ("ss", "us", "is", "as", "os")
#: What stands where there is no answer, no gold answer, no confidence: signs and words for nothing,
#: errors of spreadsheets and of programs. Python writes "None"; "none" may be an answer.
NOTHING = (
    r"\s*(?:[-–—.?]+|[(<\[]?(?:None|NONE|N/?A|n/?a|<NA>|(?i:nan|nat|null|n\.a\.|undefined|unknown"
    r"|refused|refusal|no answer|no response|not available|not applicable))[)>\]]?"
    r"|#(?:N/A|VALUE!|REF!|DIV/0!|NUM!|NAME\?|NULL!).*"
    r"|\W*(?:(?i:(?:(?:api|http|server|request|connection|network|internal|runtime)[ _-]*)*"
    r"error)|(?:\w+\.)*[A-Z]\w*(?:Error|Exception))[\])>]*(?:\s*:.*|\s+(?:code\s+)?\d.*|\W*)"
    r"|\W*(?i:traceback \(most.*|(?:http|status)[ :]*[45]\d\d\b.*|[45]\d\d (?:too|bad|service).*"
    r"|(?:request |read )?time(?:d )?out\W*|rate limit.*|content.filter(?:ed)?\W*))\s*"
)
_WORD = re.compile(r"(?:(?<![\w.])-)?\d+(?:\.\d+)?|\.\d+|[^\W_]+|[%°+]")


def answer_key(text: object) -> str:
    """Reduce a text to what counts when answers are compared.

    "5.6cm" and "5.6 cm", "T2-weighted" and "t2 weighted", "X-ray" and "xray" become the same.
    Decimal points, signs of numbers and the order of the words stay ("left is larger than right"
    is not "right is larger than left").

    Parameters
    ----------
    text : object
        An answer; what is no text is read as one.

    Returns
    -------
    str
        Words with single spaces.

    Examples
    --------
    >>> answer_key("**The** left lungs.")
    'left lung'
    >>> answer_key("Two X-rays") == answer_key("2 xray")
    True
    """
    text = unicodedata.normalize("NFKC", str(text)).casefold().replace("’", "'")
    text = re.sub(r"(?<=\w)'(?=s\b|t\b|re\b|ve\b|ll\b|d\b|m\b)", "", text)
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    text = re.sub(r"\bx[\s-]?rays?\b", "xray", text)
    text = re.sub(r"(?<=\d)(?=[^\W\d_])", " ", text)
    words = [_DIGITS.get(word, word) for word in _WORD.findall(text)]
    singular = [_singular(word) for word in words if word not in _ARTICLES]
    return " ".join(singular or words)  # an answer that is nothing but "A" stays one


def same_answer(one: object, other: object) -> bool:
    """Tell whether two answers are the same.

    Examples
    --------
    >>> same_answer("two nodules", "2 nodule"), same_answer("left lung", "lung")
    (True, False)
    """
    return answer_key(one) == answer_key(other)


def is_nothing(text: object) -> bool:
    """Tell whether a text stands for no answer: a word for nothing, or an error of a program.

    Examples
    --------
    >>> is_nothing("N/A"), is_nothing("[ERROR] 429 rate limit"), is_nothing("none")
    (True, True, False)
    """
    return re.fullmatch(NOTHING, str(text), re.DOTALL) is not None


def _singular(word: str) -> str:
    if word in _PLURALS:
        return _PLURALS[word]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(_ES_PLURALS):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(_NO_PLURALS):
        return word[:-1]
    return word
