"""The study: what a notebook needs around it, and the runner of all notebooks.

A notebook imports :class:`NotebookContext` from here, the one that asks also
:func:`medcal_nb.study.asking.ask_profile`::

    ctx = NotebookContext("02_metrics", PROFILE, ANSWERS, OUT_DIR, FAST, parameters=parameters)
    answers = load_answers(ctx.answers)
    ctx.save(fig, "fig02_reliability", table)
    ctx.results({"ece": ece})
    ctx.read_results("01_elicitation")  # declared in medcal.reads

The runner is not imported by this module: notebooks do without it.
"""

from medcal_nb.study.context import NotebookContext
from medcal_nb.study.profile import load_profile
from medcal_nb.study.selection import select

__all__ = ["NotebookContext", "load_profile", "select"]
