"""When two short answers are the same: one notion for whoever compares them.

Answers are the same where their keys are: what is left of a text when case, mark-up, punctuation,
articles and plurals are gone, number words are digits, and British spelling is American.
"""

import re
import unicodedata
from functools import lru_cache

from medcal_nb.words.lists import FILE, WORDS

#: Articles: "a mass". "A. fumigatus", "vitamin A", "hepatitis A virus" and "A" alone hold none.
_ARTICLE = re.compile(
    rf"\b((?:{WORDS['before_letter']})\s+a)\b|(?<![\w.-])(?:the|an|a)[*_]*\s+(?=[^\W_])"
)
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe"})
#: Of Latin, Greek and Cyrillic letters; marks of other scripts are letters of their own.
_ACCENT = re.compile(r"[\u0300-\u036f]")
#: "1,5 cm"; "5,000" is five thousand, "5,6,7" are three numbers.
_DECIMAL_COMMA = re.compile(r"(?<!\d,)\b(\d+),(\d{1,2})(?![\d,])")
#: Roman numerals: of grades any, elsewhere those that are no letters.
_ROMAN = re.compile(
    rf"\b(?:(?P<of>(?:{WORDS['before_numeral']})[\s-]*)(?P<any>iv|v|vi{{0,3}}|i{{1,3}})"
    r"|(?P<plain>ii|iii|vi|vii|viii|ix)|^\W*(?P<alone>iv)\W*$)(?P<sub>[a-f]?)\b"
)
#: Of capitals any that is no letter; "IV contrast" is none.
_CAPITALS = re.compile(
    r"\b(?:I{2,3}|VI{1,3}|IX|IV)(?=[a-fA-C]?\b)"
    r"(?!\s+(?:contrast|line|access|drug|fluid|antibiotic|cannula|gadolinium)|-)(?!\))"
)
_ARABIC = {
    "i": 1,
    "ii": 2,
    "iii": 3,
    "iv": 4,
    "v": 5,
    "vi": 6,
    "vii": 7,
    "viii": 8,
    "ix": 9,
}
_NUMBER_WORDS: list[str] = FILE["lists"]["numbers"].split()
_SMALL = _NUMBER_WORDS[:20]
_TENS = _NUMBER_WORDS[20:]
_NUMBERS = dict(zip(_SMALL, range(20), strict=True))
_NUMBERS |= dict(zip(_TENS, range(20, 100, 10), strict=True))
_BELOW_100 = re.compile(
    rf"\b(?:(?:{'|'.join(_TENS)})[\s-](?:{'|'.join(_SMALL[1:10])})|{'|'.join(_NUMBERS)})\b"
)
_HUNDRED = re.compile(
    r"\b(?:(?P<hundreds>[1-9])\s|a\s)?hundred(?:\s(?:and\s)?(?P<rest>\d\d?)(?![\d.]))?\b"
)
_FORMS: dict[str, str] = FILE["forms"]
_PLURALS = (
    (re.compile(r"(\w*thor)aces"), r"\1ax"),
    (re.compile(r"(\w{2,}om)ata"), r"\1a"),
    (re.compile(r"(\w{2,})ies"), r"\1y"),
    (re.compile(r"(?=\w{5})(\w+(?:ss|sh|ch|x|z))es"), r"\1"),
    (re.compile(r"(\w{2,}(?:ni|om|ri|ll))as"), r"\1a"),
    (re.compile(r"(\w{2,}[^suiao])s"), r"\1"),
)
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
    >>> answer_key("twenty-one oedematous metastases")
    '21 edematous metastasis'
    """
    return _key(str(text))


# gold answers and options come with every answer to their question
@lru_cache(maxsize=1 << 12)
def _key(text: str) -> str:
    text = _ARTICLE.sub(lambda article: article[1] or "", spelled(text))
    text = re.sub(r"\bx[\s-]?rays?\b", "xray", text)
    text = re.sub(r"(?<=\d)(?=[^\W\d_])", " ", text)
    return " ".join(_form(word) for word in _WORD.findall(text))


def spelled(text: str) -> str:
    """A text in small letters without accents, with its numbers in Arabic digits.

    Examples
    --------
    >>> spelled("Grade III, 1,5 cm; twenty-one Ödeme")
    'grade 3, 1.5 cm; 21 oedeme'
    """
    text = _CAPITALS.sub(_of_capitals, unicodedata.normalize("NFKC", text))
    text = text.casefold().replace("’", "'")
    text = _ACCENT.sub("", unicodedata.normalize("NFD", text.translate(_UMLAUTS)))
    text = unicodedata.normalize("NFC", text)
    text = re.sub(r"(?<=\w)'(?=s\b|t\b|re\b|ve\b|ll\b|d\b|m\b)", "", text)
    text = re.sub(r"(?<=\w)\((?:s|e|es|ae)\)", "", text)
    text = in_digits(re.sub(r"(?<=\d),(?=\d{3}\b)", "", text))
    text = _DECIMAL_COMMA.sub(r"\1.\2", text)
    return _ROMAN.sub(_in_arabic, text)


def is_nothing(text: object) -> bool:
    """Tell whether a text stands for no answer: a word for nothing, or an error of a program.

    Examples
    --------
    >>> is_nothing("N/A"), is_nothing("[ERROR] 429 rate limit"), is_nothing("none")
    (True, True, False)
    """
    # the message of an error may be long
    return re.fullmatch(NOTHING, str(text).strip()[:200], re.DOTALL) is not None


def in_digits(text: str) -> str:
    """A text in small letters with its number words below 1000 as digits.

    Examples
    --------
    >>> in_digits("ninety-five percent, or a hundred and two")
    '95 percent, or 102'
    """
    text = _BELOW_100.sub(_below_100, text)
    return _HUNDRED.sub(_hundred, text)


def _in_arabic(match: re.Match[str]) -> str:
    numeral = match["any"] or match["plain"] or match["alone"]
    return f"{match['of'] or ''}{_ARABIC[numeral]}{match['sub']}"


def _of_capitals(match: re.Match[str]) -> str:
    return str(_ARABIC.get(match[0].lower(), match[0]))


def _below_100(match: re.Match[str]) -> str:
    return str(sum(_NUMBERS[word] for word in re.split(r"[\s-]", match[0])))


def _hundred(match: re.Match[str]) -> str:
    return str(100 * int(match["hundreds"] or 1) + int(match["rest"] or 0))


def _form(word: str) -> str:
    """A word in the singular, in American spelling."""
    if word not in _FORMS:
        for plural, singular in _PLURALS:
            if plural.fullmatch(word):
                word = plural.sub(singular, word)
                break
    # anaemia is anemia; the "e" of a toe stays
    return re.sub(r"[ao]+e(?=\w)", "e", _FORMS.get(word, word))
