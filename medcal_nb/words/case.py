"""A reply beside its question, and what a grade of it is."""

import re
from typing import NamedTuple

from medcal_nb.words.lists import WORDS
from medcal_nb.words.options import Options
from medcal_nb.words.parsing import Parts
from medcal_nb.words.species import species_compared

#: What each rule says, in the order in which they are shown.
RULES = {
    "yes or no": "read as yes or no, by the first word, the one that ends a clause, or a sentence "
    "that affirms or denies what is asked",
    "option": "read as one of the options, by its words or its letter",
    "letter": "the same or another letter of an option",
    "same words": "the same words, without case, marks, articles and plurals",
    "same meaning": "other words for the same, or the same with a detail more",
    "number": "the same or another number, in whatever unit",
    "denied": "one says what the other denies",
    "another of a list": "another side, organ, modality, finding, species …, and no word beside",
    "no answer": "ungraded: a refusal, an error, or a word for nothing",
    "undecided": "ungraded: no rule decides, as where the words of one are a part of the other's",
    "empty": "ungraded: no answer, or no gold answer",
}
#: "B", "(b)", "B)", "B. right lung": a letter, and what stands behind it.
LETTERED = re.compile(r"\W*([A-Za-z])(?:\s*[).:](?:\s*(.*))?|\W*)$", re.DOTALL)
#: How a reply ends that cannot decide, or that is cut off within a sentence.
_UNSETTLED = re.compile(WORDS["unsettled"], re.I)
_CUT_OFF = re.compile(
    r"\s(?:the|an?|of|in|on|is|are|be|would|could|and|or|with|to|by|for|as|that|which|from)\s*$",
    re.I,
)
#: "A) Glioma: …": an option, and what speaks for or against it.
_DISCUSSED = re.compile(r"\W*[A-H]\s*[).]\s*[^:\n]{1,60}:\s")


class Grade(NamedTuple):
    """Whether an answer is right (None: ungraded), and by which of the `RULES`."""

    correct: bool | None
    rule: str


class Case(NamedTuple):
    """A reply that is not empty, with what is known of its question ("" where it is not)."""

    parts: Parts
    question: str
    kind: str | None
    options: Options | None

    @property
    def is_unsettled(self) -> bool:
        """Whether it ends by saying that it cannot decide, or is cut off before it answers."""
        parts = self.parts
        if parts.label is not None:  # "Confidence: 80%\nAnswer: N"
            is_one = len(parts.label) == 1 and not self.options
            return (
                is_one
                and parts.text.count("\n") > 0
                and parts.text.endswith(parts.label)
            )
        is_discussion = self.options is not None and _DISCUSSED.match(parts.text)
        return bool(
            _UNSETTLED.search(parts.whole)
            or (is_discussion and _CUT_OFF.search(parts.whole))
        )

    @property
    def places(self) -> list[str]:
        """Where the answer may stand: the label, else a conclusion, the first sentence, all."""
        parts = self.parts
        if parts.label is not None:
            return [parts.label]
        if parts.concluded:
            return [parts.concluded]
        return [part for part in (parts.first, parts.whole) if part] or [""]


def unmarked(text: str) -> str:
    """A text without the letter of an option before it."""
    marked = LETTERED.match(text)
    is_species = marked and species_compared(text, text) is not None
    return marked[2] if marked and marked[2] and not is_species else text
