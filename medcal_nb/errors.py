"""The errors that users are meant to read."""

import re

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class MedcalError(Exception):
    """A fault in the input or the surroundings, told in one line.

    The message names what is wrong (file, row, column, value) and what to do about it.
    The command line prints it without a traceback and exits with status 2.
    """


class NotEnough(MedcalError):
    """Sound answers that are of too few kinds for what is asked of them.

    A study of recorded answers leaves out a notebook that raises it, and goes on.
    """


def printable(text: str) -> str:
    """A text without the characters by which a name from outside could steer a terminal."""
    return _CONTROL.sub("\ufffd", text)
