"""The one error that users are meant to read."""


class MedcalError(Exception):
    """A fault in the input or the surroundings, told in one line.

    The message names what is wrong (file, row, column, value) and what to do about it.
    The command line prints it without a traceback and exits with status 2.
    """
