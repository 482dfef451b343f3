"""Clauses that say how sure the model is and nothing else: "zu 90 % sicher", "sûr à 90 %".

A clause is read whole, from one mark to the next, so that it is of nobody and of nothing else:
"90 % Sauerstoffsättigung", "90 % de los pacientes están seguros" are none, nor is a bound ("mehr
als 90 % sicher") or what is denied ("no estoy 90 % seguro"). English is read where confidences are.
"""

import re

from medcal_nb.words.lists import WORDS

_NEARLY = (
    r"etwa|rund|ca\.|circa|ungefähr|environ|aproximadamente|cerca\s+de|unos|ongeveer"
)
_ABOUT = rf"(?:(?:{_NEARLY}|~)\s*)?"
_PERCENT = rf"(?:{WORDS['percent']}|%(?=-?ige)|-?prozentige[rmn]?\b)"
_SHARE = rf"{_ABOUT}\d{{1,3}}(?:[.,]\d{{1,2}})?\s*{_PERCENT}"
_BEGINS = r"(?:^|(?<=\n)|(?<=[;(])|(?<=[,.!?]\s)|(?<=\s[-–—]\s))[ ]*"
_ENDS = (
    r"(?=\s*(?:$|[\n.;!)]|,(?!\s*(?:dass|ob|wenn|falls|que|qu'|si|che|se|dat|of)\b)))"
)
_NOUN_ENDS = r"(?=[\s.!]*(?:$|\n))"
_CLAUSE = re.compile(
    rf"{_BEGINS}(?:{WORDS['sure_clause']}{_ENDS}|(?P<noun>{WORDS['sure_noun']}){_NOUN_ENDS})"
    .replace("SHARE", _SHARE),
    re.IGNORECASE,
)  # fmt: skip
_OTHERS = re.compile(WORDS["by_others"], re.IGNORECASE)


def clause_shares(text: str) -> list[float]:
    """The shares that such clauses of a cleaned text state.

    Examples
    --------
    >>> clause_shares("Nein, zu 90 % sicher"), clause_shares("Nein, 90 % Stenose, sicher")
    ([0.9], [])
    """
    numbers = [re.sub(r"[^\d.,]", "", match[0]).strip(".,") for match in _clauses(text)]
    shares = [float(number.replace(",", ".")) / 100 for number in numbers]
    return [round(share, 12) for share in shares if share <= 1]


def without_clauses(text: str) -> str:
    """A cleaned text without such clauses, and without the marks that they leave at its ends.

    Examples
    --------
    >>> without_clauses("Nein. Meine Sicherheit liegt bei 90 %."), without_clauses("90% sicher")
    ('Nein', '')
    """
    kept = text
    for match in reversed(_clauses(text)):
        before = kept[: match.start()].rstrip(" ,;(-")
        kept = before + kept[match.end() :].removeprefix(")")
    return text if kept == text else kept.strip(" ,;.")


def _clauses(text: str) -> list[re.Match[str]]:
    """Where such clauses stand, but what others are said to be sure of, or an interval may be."""
    own = []
    for match in _CLAUSE.finditer(text):
        line = text[: match.start()].rsplit("\n", maxsplit=1)[-1]
        is_of_interval = match["noun"] and re.search(r"\d", line)
        if not is_of_interval and not _OTHERS.search(line):
            own.append(match)
    return own
