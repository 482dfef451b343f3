"""Measuring: is the confidence calibrated, does it mark the errors, and how sure are we of that?

Metrics are called as `(confidence, correct, *, …) -> float`; a `*_table` holds the numbers of a
figure. `ece_interval` is the interval of the expected calibration error that holds its level.
"""

from ._check import MeasureWarning
from .calibration import (
    accuracy,
    ace,
    brier_reliability,
    brier_resolution,
    brier_score,
    calibration_gap,
    calibration_intercept,
    calibration_slope,
    confidently_wrong,
    debiased_ece,
    ece,
    ici,
    log_loss,
    mce,
    mean_confidence,
    overconfidence,
    smooth_ece,
    spiegelhalter_z,
    underconfidence,
)
from .choice import (
    choice_sentence,
    choose_strategy,
    guarantee_shares,
    guarantee_title,
    keep_title,
    of_hundred,
    pays_title,
    shift_sentence,
    yield_sentence,
)
from .deferral import (
    Threshold,
    best_threshold,
    cost_table,
    guarantee_table,
    net_benefit_table,
    selective_threshold,
    threshold_table,
)
from .discrimination import accuracy_at_coverage, auprc, aurc, auroc, excess_aurc
from .intervals import (
    bootstrap_interval,
    clustered_interval,
    consistency_band,
    holm,
    wilson_interval,
)
from .inversion import Interval, ece_interval, ici_interval
from .planning import (
    Plan,
    coverage_table,
    estimator_bias_table,
    fitted_world,
    items_needed,
)
from .tables import (
    ALL_METRICS,
    SCORE_METRICS,
    difference_table,
    metric_functions,
    metrics_table,
    netcal_table,
    reliability_table,
    risk_coverage_table,
)
