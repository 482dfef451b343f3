"""What came back: answers of recorded studies, of any file, and of a model that is being asked."""

from medcal_nb.answers.load import in_order, load_answers, read_answers
from medcal_nb.answers.log import AnswerLog, is_log
from medcal_nb.answers.select import (
    called,
    known_names,
    known_or_first,
    our_names,
    select,
    two_parts,
)
from medcal_nb.answers.undecided import with_bounds, write_undecided
from medcal_nb.tables import without_formulas, write_table
from medcal_nb.tables.columns import ANSWER_COLUMNS, GRADED_COLUMNS

__all__ = [
    "ANSWER_COLUMNS",
    "GRADED_COLUMNS",
    "AnswerLog",
    "called",
    "in_order",
    "is_log",
    "known_names",
    "known_or_first",
    "load_answers",
    "our_names",
    "read_answers",
    "select",
    "two_parts",
    "with_bounds",
    "without_formulas",
    "write_table",
    "write_undecided",
]
