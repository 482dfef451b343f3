"""What a short answer says, and when two are the same: one notion for whoever compares answers.

Answers are the same where their keys are: what is left of a text when case, mark-up, punctuation,
articles and plurals are gone, number words are digits, and British spelling is American. An answer
may also say yes or no, name an option, decline to answer, or be a word for nothing.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

_ARTICLES = frozenset(("a", "an", "the"))
_WORDS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen
twenty thirty forty fifty sixty seventy eighty ninety
"""
_WORDS = _WORDS.split()
_SMALL = _WORDS[:20]
_TENS = _WORDS[20:]
_NUMBERS = dict(zip(_SMALL, range(20), strict=True))
_NUMBERS |= dict(zip(_TENS, range(20, 100, 10), strict=True))
_BELOW_100 = re.compile(
    rf"\b(?:(?:{'|'.join(_TENS)})[\s-](?:{'|'.join(_SMALL[1:10])})|{'|'.join(_NUMBERS)})\b"
)
_HUNDRED = re.compile(
    r"\b(?:(?P<hundreds>[1-9])\s|a\s)?hundred(?:\s(?:and\s)?(?P<rest>\d\d?)(?![\d.]))?\b"
)
# plurals that no rule below gives, and other forms of a word
_FORMS = """
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
tumour tumor
colour color
centre center
fibre fiber
grey gray
radiograph xray
percent %
centimeter cm
centimetre cm
millimeter mm
millimetre mm
"""
_FORMS = dict(line.split() for line in _FORMS.strip().splitlines())
_PLURALS = (
    (re.compile(r"(\w{2,})ies"), r"\1y"),
    (re.compile(r"(?=\w{5})(\w+(?:ss|sh|ch|x|z))es"), r"\1"),
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
    text = unicodedata.normalize("NFKC", str(text)).casefold().replace("’", "'")
    text = re.sub(r"(?<=\w)'(?=s\b|t\b|re\b|ve\b|ll\b|d\b|m\b)", "", text)
    text = re.sub(r"(?<=\w)\((?:s|e|es|ae)\)", "", text)
    text = in_digits(re.sub(r"(?<=\d),(?=\d{3}\b)", "", text))
    text = re.sub(r"\bx[\s-]?rays?\b", "xray", text)
    text = re.sub(r"(?<=\d)(?=[^\W\d_])", " ", text)
    words = _WORD.findall(text)
    forms = [_form(word) for word in words if word not in _ARTICLES]
    return " ".join(forms or words)  # an answer that is nothing but "A" stays one


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


def _below_100(match):
    return str(sum(_NUMBERS[word] for word in re.split(r"[\s-]", match[0])))


def _hundred(match):
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


# --- what a short answer says --------------------------------------------------------------------

# words for yes and no, of Latin, Cyrillic and other scripts, and signs that begin an answer
_YES = (
    "yes|yeah|yep|yup|true"
    "|oui|ja|jawohl|sí|si|sì|sim|tak|evet|kyllä|ano|igen|ya|vâng"
    "|да|так"
    "|نعم|हाँ|हां|ใช่|ναι|כן"
)
_NO = (
    "no|nope|nah|false"
    "|non|nein|nee|não|nao|nie|hayır|hayir|nej|nei|ei|nem|tidak|không"
    "|нет|ні"
    "|لا|नहीं|ไม่|όχι|לא"
)
_CJK_YES = "是的|是|有|对|對|能|はい|ええ|예|네|그렇습니다"
_CJK_NO = "不是|没有|沒有|不能|不|否|无|無|いいえ|いえ|ない|아니요|아니오|아뇨|아니"
_OPTION = "option|choice|answer|letter|opción|opção|réponse|antwort|вариант|选项|选|選"
_REFUSAL = re.compile(
    r"\W*(?:i(?:'m|\s+am)\s+(?:sorry|unable|not\s+(?:able|sure))"
    r"|(?:i\s+)?do(?:\s+not|n't)\s+know"
    r"|(?:i\s+)?(?:can(?:'t|\s?not)|could(?:n't|\s+not))\b"
    r"|sorry\b|as\s+an\s+ai|(?:un|not\s+)able\s+to"
    r"|(?:it\s+is\s+)?(?:not\s+possible|impossible)\s+to"
    r"|n/a\b|not?\s+(?:answer|idea|response|sure)\b"
    r"|(?:unknown|unsure|unclear|undetermined|indeterminate)\W*$"
    r"|无法|不能|抱歉|je\s+ne\s+peux|ich\s+kann\s+nicht|no\s+puedo|não\s+posso|не\s+могу)",
    re.IGNORECASE,
)
_YES_WORD = re.compile(rf"(?:{_YES})(?![\w-])|(?:{_CJK_YES})|y(?=[\s.)]*$)", re.I)
_NO_WORD = re.compile(rf"(?:{_NO})(?![\w-])|(?:{_CJK_NO})|n(?=[\s.)]*$)", re.I)
_BOTH = re.compile(
    r"\byes\s*(?:/|or|and|\||\?)\s*no\b|\bno\s*(?:/|or|and|\|)\s*yes\b", re.I
)
_INSIDE = re.compile(
    r"(?<![\w-])(?<!not )(yes|no)(?=\s*(?:[.,;:!)\]\"']|\n|$))", re.IGNORECASE
)
_ONLY_YES_NO = re.compile(rf"\W*(?:{_YES}|{_NO}|{_CJK_YES}|{_CJK_NO})\W*", re.I)
_ENDS = r"\s*(?:[.):,\]|;!-](?!\w)|[.):](?=\w)|$|\n|\(\d|\d{1,3}\s*(?:%|$)|(?:is|because|since)\b)"
#: "(B)", "Option B", "B. left lung"; "I would choose B"; "left lung (B)".
_LETTER_FORMS = [
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"(?:(?:{_OPTION})\s*:?\s*)?(?:[(\[]\s*([A-Z])\s*[)\]]|([A-Z])(?={_ENDS}))",
        r"(?:\W*(?:i|the|it|is|think|choose|pick|select|answer|option|correct|best|my|would|be|go"
        r"|with|say|most|likely)\W+){0,8}[(\[]?\s*([A-Z])\s*[)\]]?\W*$",
        r".*[^\W\d].*\(([A-Z])\)\W*$",
    )
]
_TWO = re.compile(
    r"[(\[]?[A-Z][)\]]?\s*(?:,|/|and|or|&|\+)\s*[(\[]?[A-Z][)\]]?(?![\w'])", re.I
)
_LISTED = re.compile(r"(?<!\w)([A-Z])[:.)]\s")
#: "A is wrong" rejects it, and "A is …" may be an article gone astray.
_ASTRAY = re.compile(r"\s*is\b(?!\s+(?:the\s+)?(?:correct|right|best|answer)\b)")
_REJECTING = "not no non nor without isnt rather cannot cant exclude excluded"
_REJECTING = frozenset(_REJECTING.split())


def yes_no(text: str) -> str | None:
    """Return "yes", "no" or None for a short text, by its first word or a lone word inside.

    The first word counts, in any of some twenty languages ("No evidence of …" is "no"); failing
    that, a "yes" or "no" that ends a clause ("I would say yes."), if only one of them does.

    Examples
    --------
    >>> yes_no("No evidence of a fracture.")
    'no'
    """
    text = re.sub(r"^[\W_]+", "", text)
    if not text or _BOTH.match(text):
        return None
    if _NO_WORD.match(text):
        return "no"
    if _YES_WORD.match(text):
        return "yes"
    inside = {match[1].lower() for match in _INSIDE.finditer(text)}
    return inside.pop() if len(inside) == 1 and not _BOTH.search(text) else None


def is_refusal(text: str) -> bool:
    """Tell whether a text declines to answer.

    Examples
    --------
    >>> is_refusal("I can't tell from this image."), is_refusal("none")
    (True, False)
    """
    return _REFUSAL.match(text) is not None


def only_yes_no(text: str) -> bool:
    """Tell whether a text is a word for yes or no and nothing else.

    Examples
    --------
    >>> only_yes_no("Yes."), only_yes_no("Yes, on the left")
    (True, False)
    """
    return _ONLY_YES_NO.fullmatch(text) is not None


def option_letter(text: str, n: int = 26) -> str | None:
    """Return the option letter that a short text names, among the first `n`, or None.

    Examples
    --------
    >>> option_letter("(b)", 4)
    'B'
    """
    text = text.strip()[:500]
    # two letters are no choice, nor is the whole list
    if _TWO.match(text) or len(set(_LISTED.findall(text.upper()))) > 1:
        return None
    for form in _LETTER_FORMS:
        if match := form.match(text):
            letter = match[match.lastindex].upper()
            is_one = ord(letter) - ord("A") < n and not _ASTRAY.match(text, match.end())
            return letter if is_one else None
    return None


def option_index(text: str, options: Sequence[str]) -> int | None:
    """Return the index of the one option that a text names, or None.

    It is named by its words alone, by its letter ("B", "(b)", "B. left lung", "The answer is B")
    or by its words among others, unless the words before reject it. Where a letter and a text
    disagree, the letter counts; two options are no choice. An option inside a longer one ("lung"
    in "left lung") is not meant by the longer one's words.

    Examples
    --------
    >>> option_index("It is the right lung.", ["left lung", "right lung"])
    1
    """
    key = answer_key(text)
    keys = [answer_key(option) for option in options]
    same = [i for i, option in enumerate(keys) if option == key]
    if len(same) > 1:  # options that differ in case or an article only
        same = [i for i in same if options[i].strip() == text.strip()]
    if len(same) == 1:
        return same[0]
    if letter := option_letter(text, len(options)):
        return ord(letter) - ord("A")
    inside = list(_any_of(tuple(keys)).finditer(key))
    named = {match[0] for match in inside}
    if len(named) != 1 or keys.count(inside[0][0]) != 1:
        return None
    before = key[: inside[0].start()].split()
    is_rejected = _REJECTING & {*before[-3:]}
    return None if is_rejected else keys.index(inside[0][0])


@lru_cache(maxsize=4096)
def _any_of(keys):
    """What finds any of several texts as whole words, a longer one before those inside it."""
    longest = sorted(filter(None, keys), key=len, reverse=True)
    return re.compile(rf"(?<!\S)(?:{'|'.join(map(re.escape, longest))})(?!\S)(?<=\S)")
