"""Correcting: maps from confidence to confidence, where they carry over, and fusing strategies."""

# ruff: noqa: F401
from .agreement import agreement_table, model_agreement
from .closeup import corrected, stage_scores, true_cost, yield_table
from .decision import decision_audit_table
from .fusion import (
    abstention_table,
    fused_answers,
    fusion_change_table,
    fusion_table,
    one_answer,
    tokens_table,
    voters,
)
from .labels import label_efficiency_study
from .looking import blank_pairs, image_reliance_table
from .maps import RecalibrationWarning, fit
from .paired import images_note
from .told import (
    MAP_NAMES,
    carry_rows,
    change_title,
    labels_told,
    system_name,
    with_told,
)
from .transfer import gap_table, modality_matrix, transfer_study, transfer_summary
