"""The page of the whole study: what it takes from the others, and what it leaves out."""

import numpy as np
import pytest

from medcal_nb.show import charts
from medcal_nb.study.overview import (
    WIDTHS,
    control_table,
    figure_note,
    findings_by_notebook,
    headline_panels,
    headline_table,
)
from tests.show.legible import faults


@pytest.fixture
def calibration():
    sides = ["general images", "medical images"]
    gaps = [
        {
            "model": model, "side": side, "n": 100, "accuracy": 0.5, "accuracy_low": 0.4,
            "accuracy_high": 0.6, "mean_confidence": 0.8, "gap": 0.3, "gap_low": 0.2,
            "gap_high": 0.4,
        }
        for model in "ab" for side in sides
    ]  # fmt: skip
    grid = np.linspace(0, 1, 21)
    curve = [
        {
            "side": side, "confidence": x, "accuracy": x / 2, "low": x / 3, "high": 0.6 * x,
            "n_near": 50,
        }
        for side in sides for x in grid
    ]  # fmt: skip
    return {
        "model": "a",
        "strategy": "verbalized",
        "overconfidence": gaps,
        "curve": curve,
    }


@pytest.fixture
def transfer():
    stages = ["uncorrected", "transferred", "accuracy known", "refitted"]
    skill = [
        {
            "model": m,
            "strategy": how,
            "stage": s,
            "skill": -0.1,
            "skill_low": -0.2,
            "skill_high": 0.1,
        }
        for m in "ab"
        for s in stages
        for how in ("verbalized", "p_true")
    ]  # fmt: skip
    overview = [
        {
            "strategy": "verbalized", "method": "platt", "models": 2, "median_cost": 0.05,
            "quartile_low": 0.04, "quartile_high": 0.06,
        }
    ]  # fmt: skip
    other = overview[0] | {"method": "isotonic"}
    return {"method": "platt", "skill": skill, "overview": [*overview, other]}


def test_the_figure_holds_the_panels_whose_numbers_are_there(calibration, transfer):
    panels = headline_panels(calibration, transfer)
    assert len(panels) == 3
    fig = charts.figure("The study", *panels, note="95 % CI")
    assert len(fig.axes) >= 3
    assert len(headline_panels(calibration, {})) == 2
    assert headline_panels({}, {}) == []
    table = headline_table(calibration, transfer)
    assert table["panel"].value_counts().to_dict() == {
        "overconfidence": 4,
        "calibration": 42,
        "skill": 16,
    }
    assert headline_table({}, {}).empty


@pytest.mark.parametrize("sides", [["medical images"], ["general images", "x"]])
@pytest.mark.parametrize("models", [1, 5, 40])
@pytest.mark.parametrize(
    "name", ["Qwen3-VL-8B", "a-model-of-a-very-long-name-instruct"]
)
def test_the_figure_is_legible_at_every_size(
    calibration, transfer, models, name, sides
):
    names = [f"{name}-{k}" for k in range(models)]
    gap = calibration["overconfidence"][0]
    gaps = [gap | {"model": one, "side": side} for one in names for side in sides]
    curve = [row for row in calibration["curve"] if row["side"] == "medical images"]
    rows = [row for row in transfer["skill"] if row["model"] == "a"]
    skill = [row | {"model": one} for one in names for row in rows]
    measured = calibration | {"model": names[0], "overconfidence": gaps, "curve": curve}
    panels = headline_panels(measured, {"skill": skill})
    note = figure_note(measured, {"target": "medical images"})
    widths = WIDTHS if len(panels) == 3 else None
    fig = charts.figure("The study", *panels, note=note, widths=widths)
    assert not faults(fig)


def test_the_note_says_what_the_intervals_are_by():
    named = {"strategy": "verbalized", "scores": [{"n_images": 0}, {"n_images": 3}]}
    assert "CI by answer." in figure_note(named, {})
    assert "CI by image." in figure_note({**named, "scores": [{"n_images": 3}]}, {})
    assert "CI by answer." in figure_note({}, {})


@pytest.mark.parametrize(
    ("target", "end"),
    [
        ("x", " b: x. c: x, smoothed."),
        ("y", " b: y. c: x, smoothed."),
        ("", " c: x, smoothed."),
    ],
)
def test_the_note_says_where_skill_and_curve_were_measured(target, end):
    gaps = [{"model": "m"}, {"model": "n"}]
    measured = {"strategy": "verbalized", "curve": [{"side": "x"}]}
    note = figure_note(measured | {"overconfidence": gaps}, {"target": target})
    assert note.endswith(f"CI by answer.{end}")
    assert "Brackets" in note
    if target:
        alone = figure_note(measured, {"target": "y"})
        assert alone.endswith("Bars, band: 95 % CI by answer. a: y. b: x, smoothed.")


def test_the_control_is_shown_where_both_are_there(transfer):
    table = control_table(transfer, transfer)
    assert table["world"].tolist() == ["medical images", "health questions, no images"]
    assert control_table(transfer, {}).empty
    assert control_table({"overview": []}, transfer).empty


def test_findings_are_those_of_notebooks_that_have_some():
    results = {"02": {"findings": [{"claim": "a"}]}, "03": {}, "04": {"findings": []}}
    assert findings_by_notebook(results) == {"02": [{"claim": "a"}]}
