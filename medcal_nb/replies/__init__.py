"""Reading what models write: the answer of a reply, and how sure it says it is."""

from medcal_nb.replies.confidence import (
    LIKELIHOOD,
    parse_confidence,
    parse_guesses,
    parse_likelihood,
    scale_of,
)
from medcal_nb.replies.parsing import parse_answer
from medcal_nb.replies.table import read_replies

__all__ = [
    "LIKELIHOOD",
    "parse_answer",
    "parse_confidence",
    "parse_guesses",
    "parse_likelihood",
    "read_replies",
    "scale_of",
]
