"""Whether a short answer says yes or no, or declines to answer."""

import re

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
