"""Answers of whole prompts through ``model.generate``: what a shared prefix has to give, too."""

from medcal_nb.ask.backends.local import _LocalSession
from medcal_nb.ask.backends.whole import WholePrompts


def answer_whole(model, calls):
    """Answer calls, in order; nothing is shared."""
    return _LocalSession(model, WholePrompts(model)).run(calls)
