"""Decide whether an answer is right, and whether two answers are the same.

Answers are compared after normalisation and never by substring: "no" is not found in "normal", nor
"lung" in "left lung". Closed and choice answers are resolved to what they choose; open answers
match a gold answer word for word.
"""

import re
from collections.abc import Sequence

import pandas as pd

from medcal_nb.answer_key import answer_key
from medcal_nb.ask.parsing import option_letter, yes_no
from medcal_nb.ask.reading import strip_reasoning


def _texts(value):
    """Return one value or several as texts, without missing and blank ones."""
    several = (
        [value] if isinstance(value, str) or not hasattr(value, "__iter__") else value
    )
    texts = [str(one) for one in several if not pd.isna(one)]
    return [text for text in texts if text.strip()]


def is_correct(
    answer: str | None,
    gold: str | Sequence[str],
    *,
    question_type: str,
    options: Sequence[str] | None = None,
) -> bool | None:
    """Decide whether an answer is right.

    - ``"closed"``: both sides are read as yes or no by their first word; where the gold answer is
      neither, they are compared as normalised texts.
    - ``"choice"``: both sides are resolved to an option, by their whole text or by their letter
      ("B", "(b)", "B. left lung"); where a letter and a text disagree, the letter counts. An
      answer that names no option is wrong.
    - ``"open"``: the normalised texts are equal.

    Parameters
    ----------
    answer : str or None
        The parsed answer. ``None``, NaN and blank give ``None``: there is nothing to grade.
    gold : str or sequence of str
        The right answer; with several, any of them is right.
    question_type : {"closed", "choice", "open"}
    options : list of str, optional
        The options of a choice question, in the order they were shown.

    Returns
    -------
    bool or None

    Examples
    --------
    >>> is_correct("Yes.", "yes", question_type="closed")
    True
    >>> is_correct("B", "right lung", question_type="choice", options=["left lung", "right lung"])
    True
    >>> is_correct("lung", "left lung", question_type="open")
    False
    """
    said = _texts(answer)
    golds = _texts(gold)
    answer = strip_reasoning(said[0]) if said else ""
    if not golds or not re.search(r"\w", answer):
        return None
    if question_type == "choice":
        return _same_option(answer, golds, [str(option) for option in options or ()])
    if question_type == "closed":
        wanted = {yes_no(one) for one in golds}
        if None not in wanted:
            return yes_no(answer) in wanted
    return answer_key(answer) in {answer_key(one) for one in golds}


def _same_option(answer, golds, options):
    """Whether an answer names the right option, by words or letter."""
    if options:
        chosen = _option_index(answer, options)
        return chosen is not None and chosen in {
            _option_index(one, options) for one in golds
        }
    said, *right = (
        {answer_key(one), option_letter(one, 26)} - {None} for one in (answer, *golds)
    )
    return any(said & one for one in right)


def _option_index(text, options):
    """Return which option a text is, by its words or else by its letter, or ``None``."""
    normal = answer_key(text)
    same = [i for i, option in enumerate(options) if answer_key(option) == normal]
    if len(same) > 1:  # options that differ in case or an article only
        same = [i for i, option in enumerate(options) if option.strip() == text.strip()]
    if len(same) == 1:
        return same[0]
    letter = option_letter(re.sub(r"[*_`$]", "", text), len(options))
    return ord(letter) - ord("A") if letter else None
