"""The findings of the study: every sentence that a notebook concludes with.

A module for each notebook; :mod:`medcal_nb.study.findings.finding` holds what they share.
"""

from medcal_nb.study.findings.finding import Finding

__all__ = ["Finding"]
