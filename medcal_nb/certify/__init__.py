"""Certifying: a threshold of the confidence from few grades, and how it fares in use.

What is exported here is statistics: arrays and tables in, tables out; it needs numpy, scipy and
pandas.
"""

from .rule import (
    Certificate,
    MethodCertificates,
    certify,
    certify_methods,
    certify_table,
)
from .watch import watch, watch_table

__all__ = [
    "Certificate",
    "MethodCertificates",
    "certify",
    "certify_methods",
    "certify_table",
    "watch",
    "watch_table",
]


def __dir__() -> list[str]:
    return __all__
