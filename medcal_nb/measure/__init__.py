"""Measuring: is the confidence honest, does it mark the errors, and how sure are we of that?"""

from ._check import MeasureWarning
from .calibration import accuracy, brier_score, ece, log_loss, mean_confidence
from .discrimination import aurc, auroc
from .intervals import Interval, bootstrap_interval, wilson_interval
from .tables import metrics_table, reliability_table

__all__ = [
    "Interval",
    "MeasureWarning",
    "accuracy",
    "aurc",
    "auroc",
    "bootstrap_interval",
    "brier_score",
    "ece",
    "log_loss",
    "mean_confidence",
    "metrics_table",
    "reliability_table",
    "wilson_interval",
]
