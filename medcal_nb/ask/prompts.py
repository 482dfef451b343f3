"""How a user turn is laid out: the question, its options, and then one instruction.

    Is there a fracture?
    Options: yes, no.
    Answer with one option or a few words only.

Question and options, the *block*, come first, so that all strategies share them (and the image
before them) and only the instruction differs. What a strategy says beside stands with it in
:mod:`medcal_nb.ask.strategies`; here are the instructions that others share.
"""

from collections.abc import Sequence
from string import ascii_uppercase

ANSWER = "Answer with one option or a few words only."

LETTER = "Answer with the letter of one option only."

DESCRIBE = "First describe the image in a few words. Do not answer yet."

#: Options that a letter can name.
MOST_LETTERS = len(ascii_uppercase)


def letters(n: int) -> list[str]:
    """Return the first `n` option letters: ``["A", "B", …]``."""
    return list(ascii_uppercase[:n])


def question_block(
    question: str, options: Sequence[str] | None = None, *, lettered: bool = False
) -> str:
    """Write what all strategies share: the question, then its options.

    They stand in one line, or one a line with a letter each, or, where one of them holds a comma
    or a line of its own, one a line behind a dash, so that they stay apart.
    """
    if not options:
        return question.strip()
    if lettered:
        rows = zip(letters(len(options)), options, strict=True)
        listed = "\n" + "\n".join(f"{letter}. {option}" for letter, option in rows)
    elif any("," in option or "\n" in option for option in options):
        listed = "\n" + "\n".join(f"- {' '.join(option.split())}" for option in options)
    else:
        listed = " " + ", ".join(options) + "."
    return f"{question.strip()}\nOptions:{listed}"


def user_turn(question: str, options: Sequence[str] | None, instruction: str) -> str:
    """Write a whole first turn: question block, newline, instruction."""
    return question_block(question, options) + "\n" + instruction
