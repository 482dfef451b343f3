"""Whether an answer says yes or no, by a word or by a sentence, or declines to answer."""

import re
from typing import NamedTuple

from medcal_nb.words.claims import claim_of, is_all_well
from medcal_nb.words.key import answer_key, spelled
from medcal_nb.words.lists import FILE, WORDS
from medcal_nb.words.meaning import DETAIL, content_of, excluded_by, meaning_of
from medcal_nb.words.numbers import beyond

# words for yes and no, of Latin, Cyrillic and other scripts, and signs that begin an answer
_YES = WORDS["yes"]
_NO = WORDS["no"]
_CJK_YES = WORDS["yes_cjk"]
_CJK_NO = WORDS["no_cjk"]
_REFUSAL = re.compile(rf"\W*(?:{WORDS['refusal']})", re.IGNORECASE)
_YES_WORD = re.compile(
    rf"(?:{_YES})(?![\w-])|(?:{_CJK_YES})|y(?=[\s.)(]*(?:$|[(]))", re.I
)
_NO_WORD = re.compile(rf"(?:{_NO})(?![\w-])|(?:{_CJK_NO})|n(?=[\s.)(]*(?:$|[(]))", re.I)
_BOTH = re.compile(
    r"\b(?:yes|ja|oui|s[iíì]|sim|да)\s*(?:/|or|and|oder|ou|o|или|\||\?)\s*(?:no|nein|non|não|нет)\b"
    r"|\bno\s*(?:/|or|and|\|)\s*yes\b",
    re.I,
)
#: "yes in part, no in part"
_IN_PART = re.compile(WORDS["in_part"], re.I)
#: Yes and no by turns, and nothing else.
_TURNS = re.compile(rf"\W*(?:(?:{_YES}|{_NO})\b\W*){{2,}}", re.I)
_OR_NOT = re.compile(r"\s+or not(?=\s*\?|\s*$)", re.I)
#: What was thought before: "(previously: yes, 60%)".
_BEFORE = re.compile(
    r"\((?:previously|initially|before|earlier|formerly|was)\b[^()]*\)", re.I
)
_INSIDE = re.compile(
    r"(?<![\w-])(?<!not )(yes|no|ja|nein|oui|sí|sim|não|sì)(?=\s*(?:[.,;:!)\]\"']|\n|$))",
    re.IGNORECASE,
)
_ONLY_YES_NO = re.compile(rf"\W*(?:{_YES}|{_NO}|{_CJK_YES}|{_CJK_NO})\W*", re.I)

#: What an answer ends with: "so yes", "I would say no", "the answer is negative".
_CONCLUDES = re.compile(
    r"(?:\b(?:so|hence|therefore|thus|answer|say|lean|bet|mean|settle on|conclusion|strictly"
    r"|actually|on (?:second thought|reflection)|final(?:ly)?|presumably|majority[^:.]*"
    r"|overall)[,:]?\s+"
    r"(?:the answer )?(?:is |would be |to |towards )?|[:.?!]\s+)"
    r"(?P<word>yes|no|positive|negative)\b(?!\s+(?:or|and|/))"
    r"(?=\s*(?:$|[.,;:!)(\n-]|\d|since|because|it |there ))",
    re.IGNORECASE,
)
#: Behind a word for yes or no: a sign or a new line, or nothing but a number.
_APART = re.compile(
    r"\s*(?:(?:indeed|definitely|certainly|absolutely|clearly)\b|[^\w\s]|\n|[\d.,%\s]*$)|(?=\S)"
)
_HEDGED = re.compile(WORDS["hedged"], re.IGNORECASE)
#: Of questions: "no" and "not" turn what yes means, "without" and "noncontrast" do not.
_NEGATED = re.compile(WORDS["negated"])
_DENYING = frozenset(answer_key(word) for word in FILE["lists"]["denying"].split())
#: Two words for one denial: "neither … nor", "ne … pas", "no … ningún".
_NEITHER = re.compile(r"\b(?:neither|weder|ni)\b(.*?)\b(?:nor|noch|ni)\b")
_TWICE = re.compile(WORDS["denied_twice"])
_DENYING_CJK = re.compile(WORDS["denying_cjk"])
_DENIALS = re.compile(WORDS["denials"])
_SENTENCE = re.compile(r"(?<!\b[A-Z]\.)(?<=[.!?;。])\s*(?=\S)|\n")
#: Parts of a sentence that are set against each other.
_AGAINST = re.compile(WORDS["against"], re.IGNORECASE)
#: "A mass would show as …", "In general, masses …": of masses, not of this picture.
_SUPPOSED = re.compile(
    r"\bwould (?:show|look|present|be (?:seen|visible|expected))\b|\W*(?:in general|generally)\b",
    re.IGNORECASE,
)
_ASKED_AGAIN = re.compile(WORDS["asked_again"], re.IGNORECASE)
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_ASKING_CJK = re.compile(WORDS["asking_cjk"])
_ASKING = frozenset(answer_key(word) for word in FILE["lists"]["asking"].split())
_PLACING = frozenset(FILE["lists"]["placing"].split())
_MODALITIES = frozenset(("ct", "mri", "xray", "ultrasou", "pet"))
#: "There is none.", "I doubt it", "There is one."
_SHORTLY = re.compile(WORDS["shortly"], re.IGNORECASE)
#: Questions whether something is there.
_EXISTS = re.compile(WORDS["exists"], re.IGNORECASE)
_PRESENT = re.compile(WORDS["present"], re.IGNORECASE)


def yes_no(text: str) -> str | None:
    """Return "yes", "no" or None for a short text, by its first word or a lone word inside.

    The first word counts, in any of some twenty languages ("No evidence of …" is "no"); failing
    that, a "yes" or "no" that ends a clause ("I would say yes."), if only one of them does.

    Examples
    --------
    >>> yes_no("No evidence of a fracture.")
    'no'
    """
    text = _BEFORE.sub("", re.sub(r"^[\W_]+", "", text))
    if _TURNS.fullmatch(text) and "?" not in text:
        words = {_NO_WORD.match(word) is None for word in re.findall(r"\w+", text)}
        if len(words) > 1:
            return None
    ended = [match["word"].lower() for match in _CONCLUDES.finditer(text)]
    if ended:
        return "yes" if ended[-1] in ("yes", "positive") else "no"
    if not text or _BOTH.match(text) or _IN_PART.match(text) or is_refusal(text):
        return None
    if _NO_WORD.match(text):
        return "no"
    if _YES_WORD.match(text):
        return "yes"
    inside = {
        "no" if match[1].lower() in ("no", "nein", "não") else "yes"
        for match in _INSIDE.finditer(text)
    }
    return inside.pop() if len(inside) == 1 and not _BOTH.search(text) else None


def yes_no_to(question: str, text: str) -> str | None:
    """Return "yes", "no" or None for an answer to a question, which may be a sentence.

    Beside a word for it (`yes_no`) a sentence counts that holds what is asked and affirms or denies
    it ("The heart is not enlarged."), in the languages of `yes_no`. To a question that is negated
    "no mass" is a yes: where words follow, they must say the same as the word for yes or no. A word
    alone is taken as it stands, as whoever wrote the gold answer took it.

    Examples
    --------
    >>> yes_no_to("Is the heart enlarged?", "The heart is not enlarged.")
    'no'
    >>> yes_no_to("Is there no mass?", "No."), yes_no_to("Is there no mass?", "No mass.")
    ('no', 'yes')
    >>> yes_no_to("Is there no mass?", "No, there is no mass.") is None
    True
    """
    text = re.sub(r"^[^?\n]*\?[\"'\s]+(?=\S)", "", text)  # the question, once more
    question = _OR_NOT.sub("", question)
    word = None if _HEDGED.match(text.strip()) else yes_no(text)
    if not question:
        return word
    behind = _behind_word(text)
    # "No effusion" denies one finding, "No, …" what is asked; "…, so no" concludes
    is_apart = (
        behind is None
        or _APART.match(behind) is not None
        or _CONCLUDES.search(text) is not None
    )
    known = {*_ASKING, *_DENYING, *DETAIL}
    # "No evidence of it."
    is_general = not {*answer_key(behind or "").split()} - known
    if not _denials(question) or "n't" in question:
        is_answer = word and (is_apart or is_general)
        return word if is_answer else by_sentence(question, text)
    if not (word and is_apart):
        return by_sentence(question, text)
    said = by_sentence(question, behind) if behind else word
    # "Is there no mass?", "No, the lungs are clear."
    is_open = said is None and _NEGATED.search(spelled(question)) is not None
    return word if said == word or (said is None and not is_open) else None


def _behind_word(text: str) -> str | None:
    """What follows a word for yes or no that begins a text, None where none does or nothing."""
    text = re.sub(r"^[\W_]+", "", text)
    match = _NO_WORD.match(text) or _YES_WORD.match(text)
    rest = text[match.end() :] if match else ""
    return rest if re.search(r"\w", rest) else None


class _Asked(NamedTuple):
    """The stems of what a question asks about, and of where."""

    what: frozenset[str]
    where: frozenset[str]
    last: str = ""
    words: frozenset[str] = frozenset()


def by_sentence(question: str, text: str) -> str | None:
    """Return "yes" or "no" where the sentences that hold what is asked affirm or deny it."""
    if _HEDGED.search(text) or _BOTH.search(text):
        return None
    if _CJK.search(question):
        return _by_characters(question, text)
    asked = asked_words(question)
    said = {
        _said_by(_of_asked(sentence, asked), question, asked)
        for sentence in _SENTENCE.split(text)
    } - {""}
    if said:
        return said.pop() if len(said) == 1 else None
    is_beyond = beyond(question, text)
    return None if is_beyond is None else ("yes" if is_beyond else "no")


def _said_by(sentence: str, question: str, asked: _Asked) -> str | None:
    """What a sentence says: "yes", "no", "" where it is about another thing, None in doubt."""
    # what is asked, once more
    is_asked = "?" in sentence or _ASKED_AGAIN.search(sentence)
    if is_asked or _SUPPOSED.search(sentence) or is_refusal(sentence):
        return ""
    is_turned = _denials(question) % 2 == 1
    if not is_turned and (short := _SHORTLY.fullmatch(sentence.strip())):
        return "no" if short["no"] else "yes"
    about = content_of(meaning_of(answer_key(question.split("?")[0])))
    is_well_asked = "normal" in about.members.get("sign", ()) and not is_turned
    if is_well_asked and is_all_well(claim_of(answer_key(sentence))):
        return "yes"
    denied = "yes" if is_turned else "no"
    if _denies_part(sentence, question, asked):
        return denied
    denials = _denials(sentence)
    if not _is_about(sentence, asked):
        # "hyperdense", where hypodense is asked about
        other = content_of(meaning_of(answer_key(sentence)))
        known = other._replace(others=other.others - about.others - _ASKING)
        is_other = excluded_by(known, about._replace(others=frozenset()))
        return denied if is_other and not denials else ""
    if denials > 1 or not (denials or _affirms(sentence, asked)):
        return None
    return "yes" if (denials % 2 == 1) == is_turned else "no"


def _of_asked(sentence: str, asked: _Asked) -> str:
    """The parts of a sentence that hold what is asked, all where none does.

    "a liver, but no spleen" says nothing of livers by its "no".
    """
    stems = tuple(asked.what | asked.where)
    parts = _AGAINST.split(sentence)
    held = [
        any(word.startswith(stems) for word in meaning_of(answer_key(part)).split())
        for part in parts
    ]
    if not stems or not any(held):
        return sentence
    return " ".join(
        part
        for part, is_held in zip(parts, held, strict=True)
        if is_held or not _denials(part)
    )


def asked_words(question: str) -> _Asked:
    """What a question asks about, and where; what follows it ("Answer yes or no.") goes."""
    key = meaning_of(answer_key(question.split("?")[0]), is_whole=False)
    what: list[str] = []
    where: list[str] = []
    is_place = False
    for word in _DENIALS.sub(" no ", key).split():
        if word in _DENYING and not is_place:  # "Are the lungs free of masses?"
            what, where = [], what
        is_place = is_place or (word in _PLACING and bool(what))
        if word not in _ASKING | _DENYING and len(word) > 1:
            (where if is_place else what).append(_stem(word))
    what, where = what or where, where if what else []
    # "Does the CT show a mass?" is about the mass, "Is this a CT?" about the CT
    about = [stem for stem in what if stem not in _MODALITIES]
    last = (about or what or [""])[-1]
    return _Asked(
        frozenset(about or what),
        frozenset(where) - _MODALITIES,
        last,
        frozenset([*key.split(), *answer_key(question).split()]),
    )


def _is_about(sentence: str, asked: _Asked) -> bool:
    """Whether a sentence holds what is asked, and the place or no other one."""
    words = meaning_of(answer_key(sentence), is_whole=False).split()
    known = asked.what | asked.where
    held = {stem for stem in known for word in words if word.startswith(stem)}
    if not asked.what or not asked.what <= held:
        return False
    others = [
        word
        for word in words
        if word not in _ASKING | _DENYING | DETAIL and not word.startswith(tuple(known))
    ]
    return asked.where <= held or not others


def _denies_part(sentence: str, question: str, asked: _Asked) -> bool:
    """Whether a sentence denies what is asked in fewer words: "no effusion" for one on the left.

    All its words are those of the question; where a thing's state is asked, the state is denied.
    """
    if _denials(sentence) != 1:
        return False
    key = meaning_of(answer_key(sentence), is_whole=False)
    words = [
        word
        for word in _DENIALS.sub(" no ", key).split()
        if word not in _ASKING | _DENYING | DETAIL and len(word) > 1
    ]
    known = asked.what | asked.where
    # "Erguss" of "Pleuraerguss"
    parts = {
        word
        for word in words
        if len(word) > 4 and any(one.endswith(word) for one in asked.words)
    }
    words = [word for word in words if word != "bilateral" or word in parts]
    if not words or not all(word in parts or _is_form(word, known) for word in words):
        return False
    if _EXISTS.match(question):
        return any(word in parts or _is_form(word, asked.what) for word in words)
    return _is_form(words[-1], frozenset({asked.last}))


def _is_form(word: str, stems: frozenset[str]) -> bool:
    """Whether a word is a form of one that has one of the stems."""
    return any(
        word.startswith(stem) or stem.startswith(_stem(word)) for stem in stems if stem
    )


def _affirms(sentence: str, asked: _Asked) -> bool:
    """Whether a sentence says that something is there, or is little more than its name."""
    words = meaning_of(answer_key(sentence), is_whole=False).split()
    named = [word for word in words[:4] if word.startswith(tuple(asked.what))]
    is_name = len(words) <= 10 and bool(named)
    return _PRESENT.search(sentence) is not None or is_name


def _stem(word: str) -> str:
    """The beginning of a word, which its forms have in common."""
    return word[: max(4, len(word) - 2)]


def _denials(text: str) -> int:
    """How many words deny."""
    key = _DENIALS.sub(" no ", meaning_of(answer_key(text), is_whole=False))
    key = _NEITHER.sub(r"no\1", _TWICE.sub(r"no\1", key))
    return sum(word in _DENYING for word in key.split())


def denies(text: str) -> bool:
    """Tell whether a text holds a word that denies, of whatever it may be.

    Examples
    --------
    >>> denies("It is large; no fat is seen"), denies("It is large")
    (True, False)
    """
    return _denials(text) > 0


def _by_characters(question: str, text: str) -> str | None:
    """The same where words have no blanks between them."""
    asked = _ASKING_CJK.sub("", re.sub(r"\W", "", question))
    sentences = [one for one in _SENTENCE.split(text) if asked and asked in one]
    if len(sentences) == 1:
        n = len(_DENYING_CJK.findall(sentences[0]))
        return None if n > 1 else ("no" if n else "yes")
    # "心影不大" for "心影是否扩大": all its characters are asked about, but one that denies
    first = _SENTENCE.split(text)[0]
    n = len(_DENYING_CJK.findall(first))
    plain = _ASKING_CJK.sub("", _DENYING_CJK.sub("", re.sub(r"[\W\d]", "", first)))
    is_part = len(plain) > 1 and {*plain} <= {*asked}
    return "no" if n == 1 and is_part else None


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
