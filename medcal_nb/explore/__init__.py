"""Exploring: one panel on any table of graded answers, in JupyterLab and as a page by itself.

It is for looking: what was chosen by looking is certified anew by `medcal_nb.certify`.
"""

from .panel import Panel, explore, write_page

__all__ = ["Panel", "explore", "write_page"]


def __dir__() -> list[str]:
    return __all__
