"""The study: what a notebook needs around it, and the runner of all notebooks.

A notebook imports :func:`notebook_context` and nothing else from here. The runner
(``graph``, ``run``, ``verify``, ``html``) is not imported by this module, so that a change to
it does not make the notebooks stale.
"""

from medcal_nb.study.context import (
    NotebookContext,
    load_results,
    notebook_context,
    save_results,
)
from medcal_nb.study.profiles import Job, Profile, load_profile

__all__ = [
    "Job",
    "NotebookContext",
    "Profile",
    "load_profile",
    "load_results",
    "notebook_context",
    "save_results",
]
