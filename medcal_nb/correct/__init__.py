"""Correcting: maps from confidence to confidence, where they carry over, and fusing strategies."""

# ruff: noqa: F401
from medcal_nb.measure.rows import side_name, sides

from .agreement import (
    agreement_sentence,
    agreement_table,
    agreement_title,
    model_agreement,
)
from .carrying import (
    carry_rows,
    carry_title,
    cost_title,
    method_name,
    modalities_title,
    order_sentence,
    parts_sentence,
    parts_title,
    rate_sentence,
    stays_sentence,
    stays_table,
    traps_title,
    with_told,
    yield_sentence,
    yield_table,
)
from .closeup import (
    correction_stages,
    fitted_on_table,
    label_sides,
    pareto_front,
    shifted_thresholds,
    stage_scores,
    temperature_traps,
    true_cost,
    used_confidences,
    voters,
)
from .decision import decision_audit_table, fit_decision_temperatures, write_decision_config
from .expert import expert_split_table
from .fusion import (
    abstention_table,
    fused_answers,
    fusion_change_table,
    fusion_table,
    left_out_table,
    one_answer,
    tokens_table,
)
from .labels import label_efficiency_study, labels_needed, labels_sentence
from .looking import blank_pairs, image_reliance_table, image_sentence
from .maps import (
    FITS,
    MAP_METHODS,
    RecalibrationWarning,
    Recalibrator,
    apply_maps,
    corrected,
    cross_apply,
    fit,
    fit_maps,
    load_maps,
    save_maps,
)
from .paired import images_note
from .telling import (
    change_sentence,
    change_title,
    falls,
    image_title,
    left_out_sentence,
    system_name,
    systems_title,
    tokens_title,
)
from .transfer import (
    gap_table,
    modality_matrix,
    transfer_sentence,
    transfer_study,
    transfer_summary,
)
