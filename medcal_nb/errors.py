"""The errors that users are meant to read."""


class MedcalError(Exception):
    """A fault in the input or the surroundings, told in one line.

    The message names what is wrong (file, row, column, value) and what to do about it.
    The command line prints it without a traceback and exits with status 2.
    """


class NotEnough(MedcalError):
    """Sound answers that are of too few kinds for what is asked of them.

    A study of recorded answers leaves out a notebook that raises it, and goes on.
    """
