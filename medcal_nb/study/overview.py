"""The study on one page, from what the other notebooks published: tables and panels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from medcal_nb.show import charts
from medcal_nb.show.words import label_of, short_name
from medcal_nb.study.findings.finding import unit_of
from medcal_nb.study.findings.overview import IMAGES, TEXT

#: The question of each notebook, in the order in which the overview answers them.
QUESTIONS = {
    "02_metrics": "How far is confidence from accuracy?",
    "03_modalities": "Where is it worst?",
    "04_temperature_transfer": "Does recalibration transfer from general to medical images?",
    "05_fusion": "Does combining elicitation methods help?",
    "06_deferral": "Which answers need a clinician?",
    "01_elicitation": "How were the models asked?",
}

#: Relative widths of the three panels of the study's figure.
WIDTHS = (1.05, 2.0, 1.65)

#: Results of one notebook, of :meth:`medcal_nb.study.NotebookContext.read_results`.
Results = Mapping[str, Any]


def headline_panels(calibration: Results, transfer: Results) -> list:
    """Return the panels of the study in one figure: those whose numbers are there.

    Overconfidence of every model; Brier skill of every model uncorrected, transferred, with the
    accuracy known, and refitted; one calibration picture.

    Parameters
    ----------
    calibration, transfer : mapping
        Results of notebooks 02 and 04.
    """
    panels = []
    event = calibration.get("event", "")
    gaps = pd.DataFrame(calibration.get("overconfidence") or [])
    if len(gaps) > 1:
        panel = charts.panel(
            "Overconfidence in points",
            charts.plot_dumbbell,
            gaps,
            label="model",
            first="accuracy",
            second="mean_confidence",
            hue="side",
            difference="gap",
        )
        panels.append(panel)
    skill = pd.DataFrame(transfer.get("skill") or [])
    if len(skill):
        skill = skill[skill["strategy"] == calibration.get("strategy", "")]
    if len(skill):
        panel = charts.panel(
            "Brier skill score",
            charts.plot_forest,
            skill,
            value="skill",
            label="model",
            hue="stage",
            reference=0,
            xlabel=f"0: {'prevalence' if event else 'accuracy'} alone",
        )
        panels.append(panel)
    curve = pd.DataFrame(calibration.get("curve") or [])
    if len(curve):
        side = curve["side"].iloc[-1]
        panel = charts.panel(
            short_name(calibration["model"], 20),
            charts.plot_calibration,
            curve[curve["side"] == side],
            bins=_of_side(calibration.get("outcomes"), side),
            event=event,
        )
        panels.append(panel)
    return panels


def figure_note(calibration: Results, transfer: Results) -> str:
    """Return the note below the study's figure: its intervals, and where b and c were measured."""
    scores = pd.DataFrame(calibration.get("scores") or [])
    method = label_of(calibration.get("strategy", ""))
    curve = pd.DataFrame(calibration.get("curve") or [])
    gaps = len(calibration.get("overconfidence") or []) > 1
    places = {}
    if transfer.get("target"):
        places["b" if gaps else "a"] = transfer["target"]
    if len(curve):
        places["c" if gaps else "b"] = f"{curve['side'].iloc[-1]}, smoothed"
    where = "".join(f" {letter}: {place}." for letter, place in places.items())
    intervals = f"95 % CI by {unit_of(scores)}"
    brackets = "Brackets, bars, band" if gaps else "Bars, band"
    return f"Confidence: {method}. {brackets}: {intervals}.{where}"


def _of_side(rows: list | None, side: str) -> pd.DataFrame | None:
    """Return the rows of a side, None where there are none."""
    table = pd.DataFrame(rows or [])
    if "side" in table:
        table = table[table["side"] == side]
    return table if len(table) else None


def headline_table(calibration: Results, transfer: Results) -> pd.DataFrame:
    """Return the numbers of the study's figure as one long table: a column `panel`, then theirs."""
    parts = {
        "overconfidence": calibration.get("overconfidence"),
        "calibration": calibration.get("curve"),
        "skill": transfer.get("skill"),
    }
    tables = [
        pd.DataFrame(rows).assign(panel=name) for name, rows in parts.items() if rows
    ]
    if not tables:
        return pd.DataFrame()
    table = pd.concat(tables, ignore_index=True)
    return table[["panel", *table.columns.drop("panel")]]


def control_table(images: Results, text: Results) -> pd.DataFrame:
    """Return the transfer cost of medical images beside that of medical text, by method.

    Parameters
    ----------
    images, text : mapping
        Results of notebook 04 in this profile and in profile text.

    Returns
    -------
    pandas.DataFrame
        ``world`` (medical images, health questions without images), then the columns of the
        overviews, `strategy, models, median_cost` with its ends among them; empty
        where one of the two is missing.
    """
    tables = []
    for world, results in ((IMAGES, images), (TEXT, text)):
        table = pd.DataFrame(results.get("overview") or [])
        if table.empty:
            return table
        leads = table["method"] == results["method"]
        tables.append(table[leads].assign(world=world))
    both = pd.concat(tables, ignore_index=True)
    ends = {"quartile_low": "median_cost_low", "quartile_high": "median_cost_high"}
    return both.rename(columns=ends)


def findings_by_notebook(results: Mapping[str, Results]) -> dict[str, list[dict]]:
    """Return the findings that each notebook published, of those that did."""
    return {
        name: list(one["findings"])
        for name, one in results.items()
        if one.get("findings")
    }


def score_table(calibration: Results) -> pd.DataFrame:
    """Return the close-up's scores by side, as notebook 02 published them."""
    scores = pd.DataFrame(calibration.get("scores") or [])
    names = ["side", "n", "mean_confidence", "accuracy", "ece", "brier", "auroc"]
    with_ends = [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
    for column in ("model", "strategy"):
        if column in scores:
            scores = scores[scores[column] == calibration[column]]
    return scores[[name for name in with_ends if name in scores]]
