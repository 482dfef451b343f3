"""Correcting: recalibration maps, whether they transfer, and ensembles of elicitation methods.

Everything here takes arrays and tables and returns them; it knows no notebook, profile or file.
"""

from .crossfit import answer_costs, before_and_after, corrected
from .ensemble import ensemble_answers, ensemble_change_table, single_answer
from .families import MAPS, Family, installed_maps, register
from .maps import RecalibrationWarning, Recalibrator, fit, recalibrated
from .needed import label_draws, label_table, labels_needed_table
from .opinion import Combination, combination, second_opinion, second_opinion_table
from .options import at_temperature, option_temperature
from .transfer import CONCLUSIONS, TransferStudy, transfer_study
from .transfer_tables import cost_table, share_removed, skill_table, transfer_counts

__all__ = [
    "CONCLUSIONS",
    "MAPS",
    "Combination",
    "Family",
    "RecalibrationWarning",
    "Recalibrator",
    "TransferStudy",
    "answer_costs",
    "at_temperature",
    "before_and_after",
    "combination",
    "corrected",
    "cost_table",
    "ensemble_answers",
    "ensemble_change_table",
    "fit",
    "installed_maps",
    "label_draws",
    "label_table",
    "labels_needed_table",
    "option_temperature",
    "recalibrated",
    "register",
    "second_opinion",
    "second_opinion_table",
    "share_removed",
    "single_answer",
    "skill_table",
    "transfer_counts",
    "transfer_study",
]


def __dir__() -> list[str]:
    return __all__
