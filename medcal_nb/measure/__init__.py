"""Measuring: whether confidence is calibrated and marks the errors, and how sure that is.

Metrics are called as `(confidence, correct, *, …) -> float` and stand in `METRICS` under the names
of their columns. A `*_table` holds the numbers of a figure. `ece_interval` is the interval of the
expected calibration error that holds its level. Needs numpy, scipy and pandas.
"""

from ._check import MeasureWarning
from .beside import beside_table
from .binned import adaptive_ece, ece, ece_floor
from .checked import answers_to_check, checked_table, erring_grader_table
from .corp import corp_table
from .decisions import deferral_table, expected_cost_table, surest_errors
from .example import example_answers
from .groups import difference_table, over_models, worst_group
from .halves import split_half_table
from .heterogeneity import heterogeneity_table
from .intervals import clustered_interval, holm, holm_conclusion, wilson_interval
from .inversion import ece_interval
from .metrics import (
    accuracy,
    brier_score,
    brier_skill_score,
    calibration_gap,
    calibration_intercept,
    calibration_slope,
    confidently_wrong,
    log_loss,
    mean_confidence,
    observed_expected_ratio,
)
from .peers import netcal_table
from .planning import precision_sample_size
from .ranking import auroc, auroc_table, auroc_test
from .readers import ReaderInterval, mrmc_auroc, mrmc_table
from .registry import METRICS, Metric, register
from .resampling import Bootstrap, Interval, choose_clip
from .risk_coverage import (
    accuracy_at_50,
    accuracy_at_80,
    accuracy_at_90,
    accuracy_at_coverage,
    aurc,
    e_aurc,
    risk_coverage_table,
)
from .rows import image_labels, same_answers
from .selective import selective_threshold, threshold_table
from .smooth import ici, smooth_ece
from .tables import (
    metrics_table,
    missing_table,
    recalibration_table,
    value_table,
)
from .trend import accuracy_trend_table, group_means
from .ungraded import metric_bounds

__all__ = [
    "METRICS",
    "Bootstrap",
    "Interval",
    "MeasureWarning",
    "Metric",
    "ReaderInterval",
    "accuracy",
    "accuracy_at_50",
    "accuracy_at_80",
    "accuracy_at_90",
    "accuracy_at_coverage",
    "accuracy_trend_table",
    "adaptive_ece",
    "answers_to_check",
    "aurc",
    "auroc",
    "auroc_table",
    "auroc_test",
    "beside_table",
    "brier_score",
    "brier_skill_score",
    "calibration_gap",
    "calibration_intercept",
    "calibration_slope",
    "checked_table",
    "choose_clip",
    "clustered_interval",
    "confidently_wrong",
    "corp_table",
    "deferral_table",
    "difference_table",
    "e_aurc",
    "ece",
    "ece_floor",
    "ece_interval",
    "erring_grader_table",
    "example_answers",
    "expected_cost_table",
    "group_means",
    "heterogeneity_table",
    "holm",
    "holm_conclusion",
    "ici",
    "image_labels",
    "log_loss",
    "mean_confidence",
    "metric_bounds",
    "metrics_table",
    "missing_table",
    "mrmc_auroc",
    "mrmc_table",
    "netcal_table",
    "observed_expected_ratio",
    "over_models",
    "precision_sample_size",
    "recalibration_table",
    "register",
    "risk_coverage_table",
    "same_answers",
    "selective_threshold",
    "smooth_ece",
    "split_half_table",
    "surest_errors",
    "threshold_table",
    "value_table",
    "wilson_interval",
    "worst_group",
]


def __dir__() -> list[str]:
    return __all__
