"""Certifying: a threshold of the confidence from few grades, and how it fares in use.

What is exported here is statistics: arrays and tables in, tables out; it needs numpy, scipy and
pandas.
"""

from .design import usual_starts
from .ends import Certificate
from .methods import MethodCertificates, certify_methods
from .plan import plan_certificate
from .retained import retained_table
from .rule import certify
from .trials import certify_fitted_table, certify_table, grades_together
from .watch import watch, watch_table

__all__ = [
    "Certificate",
    "MethodCertificates",
    "certify",
    "certify_fitted_table",
    "certify_methods",
    "certify_table",
    "grades_together",
    "plan_certificate",
    "retained_table",
    "usual_starts",
    "watch",
    "watch_table",
]


def __dir__() -> list[str]:
    return __all__
