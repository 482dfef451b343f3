"""Charts and figures: ``plot_x(table, *, ax=None, …)`` draws a tidy table, `figure` sets panels.

Nothing here computes a statistic, saves a file or shows a window: tables come from
:mod:`medcal_nb.measure` and :mod:`medcal_nb.correct`. A figure is one call::

    charts.figure(
        "All five models are overconfident on medical images",
        charts.panel("Qwen3-VL-8B", charts.plot_calibration, curve, bins=bins),
        charts.panel("Overconfidence", charts.plot_dumbbell, scores, …),
        note="Band: 95 % CI by answer.",
    )
"""

from medcal_nb.show.curves import (
    plot_calibration,
    plot_label_curve,
    plot_levels,
    plot_lines,
    plot_reliability,
)
from medcal_nb.show.panels import figure, image_sheet, panel, panel_each
from medcal_nb.show.row_charts import (
    plot_dumbbell,
    plot_forest,
    plot_icons,
    plot_matrix,
)
from medcal_nb.show.tradeoffs import plot_decision_curve, plot_risk_coverage

__all__ = [
    "figure",
    "image_sheet",
    "panel",
    "panel_each",
    "plot_calibration",
    "plot_decision_curve",
    "plot_dumbbell",
    "plot_forest",
    "plot_icons",
    "plot_label_curve",
    "plot_levels",
    "plot_lines",
    "plot_matrix",
    "plot_reliability",
    "plot_risk_coverage",
]
