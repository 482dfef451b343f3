"""Names of organisms: "E. coli" is *Escherichia coli*, and *Enterobacter coli* is none."""

import re
from typing import NamedTuple

from medcal_nb.words.lists import FILE

#: Genera by what they are written as: themselves, or shorter.
_GENERA: dict[str, str] = {
    name.casefold(): name.casefold() for name in FILE["genera"].split()
}
_GENERA |= FILE["genera_short"]
_SHORT = re.compile(r"\b([A-Z])\.\s?([a-z]{4,})\b")
_WHOLE = re.compile(
    rf"\b({'|'.join(sorted(_GENERA, key=len, reverse=True))})\b\.?(?:\s+([a-z]{{4,}})\b)?",
    re.I,
)
#: A name of an organism.
SPECIES = re.compile(f"{_SHORT.pattern}|(?i:{_WHOLE.pattern})")
#: Words behind a genus that are no species.
_NO_SPECIES = frozenset(FILE["no_species"].split())


class _Name(NamedTuple):
    """A genus (or its letter) and a species, "" where there is none."""

    genus: str
    species: str


def species_compared(text: str, gold: str) -> bool | None:
    """Whether the one organism that a text names is that of the gold answer; None where open.

    Examples
    --------
    >>> species_compared("Escherichia coli", "E. coli"), species_compared("S. aureus", "E. coli")
    (True, False)
    >>> species_compared("Echinococcus", "E. granulosus") is None
    True
    """
    wanted = _names(gold)
    answered = _names(text)
    if len(wanted) != 1 or len(answered) != 1 or _DENYING.search(text):
        return None
    (gold_name,) = wanted
    (name,) = answered
    if not gold_name.species and not name.species:
        return name.genus == gold_name.genus if len(name.genus) > 1 else None
    is_genus = name.genus.startswith(gold_name.genus) or gold_name.genus.startswith(
        name.genus
    )
    if not is_genus:
        return False
    if name.species and not gold_name.species:  # a detail more
        return True if len(name.genus) > 1 else None
    if not name.species:
        return None if gold_name.species else len(name.genus) > 1 or None
    return name.species == gold_name.species


_DENYING = re.compile(r"\b(?:not|no|nor|neither|rather|excluded|unlikely)\b", re.I)


def _names(text: str) -> frozenset[_Name]:
    """The organisms that a text names."""
    names = {_Name(letter.lower(), species) for letter, species in _SHORT.findall(text)}
    for genus, behind in _WHOLE.findall(text):
        species = behind.lower() if behind.lower() not in _NO_SPECIES else ""
        names.add(_Name(_GENERA[genus.lower()], species))
    # "E. coli (Escherichia coli)" is one
    return frozenset(
        one
        for one in names
        if not any(
            other != one
            and other.species == one.species
            and other.genus.startswith(one.genus)
            for other in names
        )
    )
