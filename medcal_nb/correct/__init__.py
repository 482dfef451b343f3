"""Correcting: recalibration maps, whether they transfer, and ensembles of elicitation methods.

Everything here takes arrays and tables and returns them; it knows no notebook, profile or file.
"""

from .ablation import image_ablation, image_ablation_table
from .agreement import agreement_table, model_agreement
from .crossfit import corrected
from .ensemble import (
    ensemble_answers,
    ensemble_change_table,
    ensemble_table,
    members_of,
    single_answer,
    token_table,
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
    accuracy_errors,
    accuracy_without_labels,
    check_shift,
    share_removed,
)
from .transfer import (
    CONCLUSIONS,
    TransferStudy,
    skill_table,
    transfer_counts,
    transfer_overview,
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
    "accuracy_errors",
    "accuracy_without_labels",
    "agreement_table",
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
    "members_of",
    "model_agreement",
    "register",
    "share_removed",
    "single_answer",
    "skill_table",
    "token_table",
    "transfer_counts",
    "transfer_overview",
    "transfer_study",
]
