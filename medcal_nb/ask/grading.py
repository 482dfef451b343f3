"""The grader of :mod:`medcal_nb.grading`."""

from medcal_nb.grading import is_correct as is_correct
