"""Measuring: is the confidence calibrated, does it mark the errors, and how sure are we of that?

Metrics are called as `(confidence, correct, *, …) -> float`; all are defined in `metrics` and stand
in `METRICS` under the names of their columns. A `*_table` holds the numbers of a figure.
`ece_interval` is the interval of the expected calibration error that holds its level.
"""

from ._check import MeasureWarning
from ._sums import METRICS
from .choice import choose_strategy
from .decisions import (
    best_threshold,
    net_benefit_table,
    policy_table,
    reliance_table,
)
from .intervals import bootstrap_interval, clustered_interval, holm, wilson_interval
from .inversion import ece_interval, ici_interval
from .metrics import (
    accuracy,
    aurc,
    auroc,
    brier_score,
    ece,
    ici,
    log_loss,
    mean_confidence,
)
from .planning import coverage_table, estimator_bias_table, fitted_world, items_needed
from .readers import ReaderInterval, mrmc_auroc, mrmc_mean, mrmc_table
from .selective import (
    certification_table,
    conformal_selection,
    selective_coverage_table,
    selective_threshold,
    threshold_table,
)
from .tables import (
    difference_table,
    metrics_table,
    netcal_table,
    reliability_table,
    risk_coverage_table,
)
