"""Correcting: recalibration maps, whether they transfer, and ensembles of elicitation methods.

Everything here takes arrays and tables and returns them; it knows no notebook, profile or file.
"""

from .ablation import image_ablation, image_ablation_table
from .crossfit import corrected
from .ensemble import (
    ensemble_answers,
    ensemble_change_table,
    ensemble_table,
    single_answer,
)
from .families import MAPS, Family, register
from .labels import labels_needed
from .maps import (
    RecalibrationWarning,
    Recalibrator,
    apply_maps,
    fit,
    fit_maps,
)
from .shift import (
    ShiftWarning,
    check_shift,
    share_removed,
)
from .transfer import (
    CONCLUSIONS,
    TransferStudy,
    skill_table,
    transfer_counts,
    transfer_study,
)

__all__ = [
    "CONCLUSIONS",
    "MAPS",
    "Family",
    "RecalibrationWarning",
    "Recalibrator",
    "ShiftWarning",
    "TransferStudy",
    "apply_maps",
    "check_shift",
    "corrected",
    "ensemble_answers",
    "ensemble_change_table",
    "ensemble_table",
    "fit",
    "fit_maps",
    "image_ablation",
    "image_ablation_table",
    "labels_needed",
    "register",
    "share_removed",
    "single_answer",
    "skill_table",
    "transfer_counts",
    "transfer_study",
]
