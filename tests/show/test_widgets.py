"""The lesson: its numbers against closed forms, its widgets by their traits, its exercises."""

import base64
import io
import re

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from medcal_nb.measure import ece
from medcal_nb.show import exercises, lesson, widgets

mpl.use("Agg")


def picture(panel) -> Image.Image:
    """The figure that a panel shows, read back from the page."""
    data = re.search(r"base64,([^\"]+)", panel._picture.value).group(1)
    return Image.open(io.BytesIO(base64.b64decode(data)))


# numbers


def test_drawn_answers_are_right_as_often_as_drawn(rng):
    right = (0.0, 0.25, 0.5, 1.0, 0.6)
    confidence, correct = lesson.drawn_answers(right, rng.random(50_000))
    for level, share in zip(lesson.LEVELS, right, strict=True):
        mine = correct[confidence == level]
        assert len(mine) == 10_000
        assert mine.mean() == pytest.approx(share, abs=0.02)  # 4 standard errors


def test_stretching_is_a_temperature_and_keeps_the_half():
    assert lesson.stretch(0.9, 2.0) == pytest.approx(81 / 82)  # odds 9 become 81
    assert lesson.stretch(0.5, 7.0) == pytest.approx(0.5)
    assert lesson.stretch(np.array([0.2, 0.8]), 1.0) == pytest.approx([0.2, 0.8])


def test_luck_shrinks_with_answers_and_grows_with_bins(rng):
    table = lesson.luck_curve_table([50, 800], [5, 30], rng.random((60, 2, 800)))
    mean = table.set_index(["n", "n_bins"])["ece"]
    assert mean[50, 5] < mean[50, 30]
    assert mean[800, 30] < mean[50, 30]
    assert (table["ece_low"] < table["ece"]).all()
    assert (table["ece"] < table["ece_high"]).all()


def test_boldness_one_is_honest_at_every_skill(rng):
    table = lesson.boldness_table((0.4, 0.8), (1.0, 3.0), rng.random((2, 20_000)))
    honest = table[table["boldness"] == 1.0]
    assert (honest["ece"] < 0.02).all()
    assert honest["accuracy"].tolist() == pytest.approx([0.4, 0.8], abs=0.02)
    # stretching keeps the order
    assert table.groupby("skill")["auroc"].apply(np.ptp).max() == pytest.approx(0, abs=1e-9)


def test_base_rates_by_hand():
    table = lesson.base_rate_table([0.0, 0.1, 1.0], sensitivity=0.8, specificity=0.9)
    row = table.iloc[1]
    assert row[["found", "missed", "flagged", "cleared"]].tolist() == pytest.approx(
        [80, 20, 90, 810]
    )
    assert table["ppv"].tolist() == pytest.approx([0, 80 / 170, 1])
    nobody = lesson.base_rate_table([0.0], sensitivity=1.0, specificity=1.0)
    assert np.isnan(nobody["ppv"].iloc[0])


@pytest.mark.parametrize(
    ("parts", "counts"),
    [([1, 1, 1], [34, 33, 33]), ([0.5, 0.25, 0.25], [50, 25, 25]), ([0, 0, 9], [0, 0, 100])],
)
def test_whole_counts_add_up(parts, counts):
    assert lesson.whole_counts(parts, 100) == counts


def test_threshold_costs_by_hand():
    confidence, correct = np.array([0.2, 0.4, 0.6, 0.8]), np.array([0.0, 1.0, 0.0, 1.0])
    table = lesson.threshold_curve_table(confidence, correct, cost_ratio=4, n_points=3)
    assert table["coverage"].tolist() == [1.0, 0.5, 0.0]
    assert table["risk"].tolist()[:2] == [0.5, 0.5]
    assert np.isnan(table["risk"].iloc[2])
    # two errors; one error and two checks; four checks
    assert table["cost"].tolist() == pytest.approx([2 / 4, (1 + 2 / 4) / 4, (4 / 4) / 4])


def test_forecasters_figure_has_a_panel_each(rng):
    table = lesson.forecasters_table(rng.random(500))
    figure = lesson.forecasters_figure(table)
    assert [ax.get_title(loc="left") for ax in figure.axes] == list(lesson.FORECASTERS)
    mpl.pyplot.close(figure)


# widgets


def test_a_drawn_forecaster_is_scored_as_drawn(rng):
    panel = widgets.draw_forecaster(rng=rng, n=500)
    before = panel._picture.value
    panel.set(**{f"at_{100 * level:.0f}": level for level in lesson.LEVELS})
    assert "honest" in panel.sentence
    assert panel._picture.value != before
    panel.controls["at_90"].value = 0.0
    assert panel.preset.value == "drawn by hand"
    assert panel.table["accuracy"].iloc[-1] == 0.0
    panel.preset.value = "too timid"
    assert "too timid" in panel.sentence
    assert panel.controls["at_10"].value == pytest.approx(0.02)


def test_a_moved_slider_redraws_and_luck_stays_the_same(rng):
    panel = widgets.bins_and_size(rng=rng, n_repeats=5, n_most=200)
    first, sentence = panel._picture.value, panel.sentence
    panel.controls["n_bins"].value = 40
    assert panel._picture.value != first
    assert (panel.table["n_bins"] == 40).all()
    panel.controls["n_bins"].value = 15
    assert (panel._picture.value, panel.sentence) == (first, sentence)


def test_another_sample_is_another_sample_of_the_same_forecaster(rng):
    panel = widgets.bins_and_size(rng=rng, n_repeats=4, n_most=100)
    table, sentence = panel.table, panel.sentence
    panel.again.click()
    assert panel.sentence != sentence
    assert panel.table.equals(table)


def test_no_temperature_by_hand_beats_the_fitted_one(rng):
    panel = widgets.temperature_by_hand(rng=rng, n=400)
    least = panel.table.loc[panel.table["log_loss"].idxmin(), "temperature"]
    assert panel.fitted == pytest.approx(least, rel=0.06)  # one step of the curve
    assert panel.fitted > 1.3  # it exaggerates
    assert "fitted" not in panel.sentence
    panel.controls["reveal"].value = True
    assert f"{panel.fitted:.2f}" in panel.sentence


def test_accuracy_and_honesty_move_apart(rng):
    panel = widgets.accuracy_calibration(rng=rng, n=2000)
    loud = panel.table[panel.table["this"]].iloc[0]
    panel.controls["boldness"].value = 1.0
    honest = panel.table[panel.table["this"]].iloc[0]
    assert loud["accuracy"] == honest["accuracy"]
    assert honest["ece"] < loud["ece"] / 2


def test_a_yes_is_worth_less_where_the_finding_is_rare():
    panel = widgets.base_rates()
    panel.set(base_rate=0.5, sensitivity=0.9, specificity=0.9)
    assert "90% of them are right" in panel.sentence
    panel.controls["base_rate"].value = 0.01
    assert "8% of them are right" in panel.sentence
    panel.set(base_rate=0.01, sensitivity=0.0, specificity=1.0)
    assert "none to trust" in panel.sentence


def test_theory_and_trial_agree_on_the_threshold(rng):
    panel = widgets.choose_threshold(rng=rng, n=4000)
    panel.set(threshold=0.8, cost_ratio=5)
    assert "costs alone say 80%" in panel.sentence
    cost = panel.table.set_index(panel.table["threshold"].round(2))["cost"]
    assert cost[0.8] <= cost.min() + 0.01
    panel.controls["threshold"].value = 1.0
    assert "nothing slips through" in panel.sentence or "wrong" in panel.sentence


MAKERS = [
    widgets.draw_forecaster,
    widgets.bins_and_size,
    widgets.temperature_by_hand,
    widgets.accuracy_calibration,
    widgets.choose_threshold,
]


def test_what_is_not_alive_shows_the_figure_of_the_moment():
    panel = widgets.base_rates()
    bundle = panel._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert panel._picture.value in bundle["text/html"]
    assert panel.sentence == bundle["text/plain"]
    assert picture(panel).size[0] > 500


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_panels_are_reproducible_labelled_and_leave_no_figure_open(make):
    one, two = (make(rng=np.random.default_rng(3)) for _ in range(2))
    assert one._png == two._png
    assert one.table.equals(two.table)
    assert len(one.table) > 0
    assert 'alt="' in one._picture.value
    assert all(control.description for control in one.controls.values())
    assert one.figure().axes
    assert mpl.pyplot.get_fignums() == []


# exercises


@pytest.mark.parametrize("name", exercises.NAMES)
def test_exercises_take_their_own_answer_and_no_other(name):
    task = exercises.exercise(name)
    if task.options:
        assert task.answer in task.options
        verdicts = {option: task.check(option)[0] for option in task.options}
        assert [option for option, right in verdicts.items() if right] == [task.answer]
    else:
        assert task.check(task.answer)[0]
        assert task.check(task.answer + 3 * max(task.tolerance, 0.01))[1].startswith("Too large")
        assert task.check(task.answer - 3 * max(task.tolerance, 0.01))[1].startswith("Too small")
    assert not task.check("")[0]
    assert task.hints
    assert task.solution


def test_known_answers():
    answers = {name: exercises.exercise(name).answer for name in exercises.NAMES}
    assert answers["boaster"] == pytest.approx(ece([0.9] * 10, [1] * 6 + [0] * 4))
    assert answers["base_rate"] == pytest.approx(100 * 19 / 117)
    assert answers["threshold"] == pytest.approx(95)
    assert answers["temperature_half"] == 10
    assert answers["more_bins"] == "grows"
    assert answers["sample_size"] == "about half of it"
    # the rough interval of the hint leads to the answer that is right by Wilson's
    rough = 0.28 - 2 * (0.28 * 0.72 / 100) ** 0.5
    assert (rough < 0.15) == (answers["interval"] == "yes, the interval holds it")


@pytest.mark.parametrize(
    ("written", "percent", "value"),
    [
        ("0.25", False, 0.25),
        ("0,25", False, 0.25),
        ("25 %", False, 0.25),
        ("25%", True, 25.0),
        (" 25 ", True, 25.0),
        ("", False, np.nan),
        ("a lot", False, np.nan),
    ],
)
def test_numbers_as_students_write_them(written, percent, value):
    assert exercises.read_number(written, percent=percent) == pytest.approx(value, nan_ok=True)


def test_a_share_given_for_a_percentage_is_told():
    right, words = exercises.exercise("threshold").check("0.95")
    assert not right
    assert "In percent" in words


def test_an_exercise_box_checks_hints_and_folds_its_solution():
    box = exercises.ask("boaster")
    box.field.value = "0.5"
    assert "✗" in box.feedback.value
    box.hint.click()
    assert box.hints.value.count("<li>") == 1
    box.hint.click()
    assert box.hint.disabled
    box.field.value = "30 %"
    assert "✓" in box.feedback.value
    assert box.solution.value.startswith("<details><summary>")
    assert "<details>" in box._repr_mimebundle_()["text/html"]


def test_an_unknown_exercise_is_refused_by_name():
    with pytest.raises(ValueError, match="no exercise 'nothing'"):
        exercises.exercise("nothing")
