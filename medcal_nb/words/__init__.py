"""What text from outside means: answer and confidence of a reply, and whether it is right."""

from medcal_nb.words.blind import blinded
from medcal_nb.words.case import RULES, Grade
from medcal_nb.words.confidence import (
    LIKELIHOOD,
    parse_confidence,
    parse_guesses,
    parse_likelihood,
    scale_of,
)
from medcal_nb.words.grading import grade, grade_table, is_correct
from medcal_nb.words.key import NOTHING, answer_key, is_nothing
from medcal_nb.words.measured import bench_sentence
from medcal_nb.words.options import Options, option_letter, options_of
from medcal_nb.words.parsing import parse_answer
from medcal_nb.words.says import yes_no
from medcal_nb.words.table import read_replies

__all__ = [
    "LIKELIHOOD",
    "NOTHING",
    "RULES",
    "Grade",
    "Options",
    "answer_key",
    "bench_sentence",
    "blinded",
    "grade",
    "grade_table",
    "is_correct",
    "is_nothing",
    "option_letter",
    "options_of",
    "parse_answer",
    "parse_confidence",
    "parse_guesses",
    "parse_likelihood",
    "read_replies",
    "scale_of",
    "yes_no",
]
