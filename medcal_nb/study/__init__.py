"""The study: what a notebook needs around it, and the runner of all notebooks.

A notebook imports :func:`notebook_context` from here, the one that asks also
:func:`medcal_nb.ask.study.ask_profile`::

    ctx = notebook_context("02_metrics", PROFILE, ANSWERS, OUT_DIR, FAST, parameters=parameters)
    answers = load_answers(ctx.answers)
    ctx.save(fig, "fig02_reliability", table)
    ctx.results({"ece": ece})
    ctx.read_results("01_elicitation")  # declared in medcal.reads

The runner (all but ``context`` and ``profiles``) is not imported by this module, so that a change
to it does not make the notebooks stale.
"""

from medcal_nb.study.context import notebook_context
from medcal_nb.study.profiles import load_profile

__all__ = ["load_profile", "notebook_context"]
