"""The lesson: its numbers against closed forms, its figures, its exercises."""

import csv
import io
import re
from urllib.parse import unquote

import matplotlib as mpl
import numpy as np
import pytest

from medcal_nb.measure import ece
from medcal_nb.show import exercises, lesson

mpl.use("Agg")


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
    draws = rng.random((60, 2, 800))
    mean = {(n, k): lesson.luck(n, k, draws).mean() for n in (50, 800) for k in (5, 30)}
    assert mean[50, 5] < mean[50, 30]
    assert mean[800, 30] < mean[50, 30]


def test_boldness_one_is_calibrated_and_another_keeps_the_answers(rng):
    draws = rng.random((2, 20_000))
    calm, bold = (lesson.bold_answers(0.8, boldness, draws) for boldness in (1.0, 3.0))
    assert ece(*calm) < 0.02 < ece(*bold)
    assert calm[1].mean() == pytest.approx(0.8, abs=0.02)
    assert (calm[1] == bold[1]).all()


def test_base_rates_by_hand():
    table = lesson.base_rate_table([0.0, 0.1, 1.0], sensitivity=0.8, specificity=0.9)
    row = table.iloc[1]
    assert row[["found", "missed", "flagged", "cleared"]].tolist() == pytest.approx(
        [80, 20, 90, 810]
    )
    assert table["ppv"].tolist() == pytest.approx([0, 80 / 170, 1])
    nobody = lesson.base_rate_table([0.0], sensitivity=1.0, specificity=1.0)
    assert np.isnan(nobody["ppv"].iloc[0])


def test_threshold_costs_by_hand():
    confidence, correct = np.array([0.2, 0.4, 0.6, 0.8]), np.array([0.0, 1.0, 0.0, 1.0])
    table = lesson.threshold_table(confidence, correct, checks=4)
    lines = table.pivot(index="threshold", columns="line", values="share").loc[[0.0, 0.5, 1.0]]
    assert lines["kept"].tolist() == [1.0, 0.5, 0.0]
    assert lines["wrong among kept"].tolist()[:2] == [0.5, 0.5]
    assert np.isnan(lines["wrong among kept"].iloc[2])
    # two errors; one error and two checks; four checks
    costs = [2 / 4, (1 + 2 / 4) / 4, (4 / 4) / 4]
    assert lines["cost per answer"].tolist() == pytest.approx(costs)


def test_what_90_percent_is_worth_is_counted_from_recorded_answers():
    worth = lesson.worth_of_90().set_index("kind")
    assert list(worth.index) == ["everyday images", "medical images"]
    assert worth["right"]["medical images"] < worth["right"]["everyday images"] < 1
    assert worth["asked"].sum() == 25_000
    told = lesson.reopening()
    assert "90 % sure" in told
    for row in worth.itertuples():
        assert f"{100 * row.right:.0f} % of {row.sure:,}" in told


# figures: their titles are findings, and another table gives another


def title_of(figure) -> str:
    mpl.pyplot.close(figure)
    return " ".join(figure._suptitle.get_text().split())


def test_forecasters_figure_names_the_best_and_the_worst(rng):
    table = lesson.forecasters_table(rng.random(2000))
    figure = lesson.forecasters_figure(table)
    assert len([ax for ax in figure.axes if ax.get_title(loc="left")]) == len(lesson.FORECASTERS)
    assert re.search(r"from 0\.0\d \(calibrated\) to 0\.[45]\d \(upside down\)", title_of(figure))
    others = table[table["forecaster"].isin(["too timid", "half right"])]
    assert "(too timid)" in title_of(lesson.forecasters_figure(others))


def test_base_rate_and_threshold_titles_follow_their_numbers(rng):
    table = lesson.base_rate_table([0.5, 0.1], sensitivity=0.9, specificity=0.9)
    assert "90 % are right if the finding is common, 50 %" in title_of(
        lesson.base_rate_figure(table)
    )
    answers = lesson.bold_answers(0.75, 1.0, rng.random((2, 4000)))
    for checks in (2, 20):
        figure = lesson.threshold_figure(
            lesson.threshold_table(*answers, checks=checks), checks=checks
        )
        below = int(re.search(r"check below (\d+) %", title_of(figure)).group(1))
        assert below == pytest.approx(100 * (1 - 1 / checks), abs=8)


# exercises


@pytest.mark.parametrize("name", exercises.NAMES)
def test_exercises_take_their_own_answer_and_no_other(name):
    task = exercises.exercise(name)
    if task.options:
        assert task.answer in task.options
        assert [option for option in task.options if task.check(option)[0]] == [task.answer]
    else:
        assert task.check(task.answer)[0]
        away = 3 * max(task.tolerance, 0.01)
        assert task.check(task.answer + away)[1].startswith("Too large")
        assert task.check(task.answer - away)[1].startswith("Too small")
    assert not task.check("")[0]
    assert task.hints
    assert task.why


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


@pytest.mark.parametrize("name", exercises.NAMES)
def test_each_mistake_is_told_its_own_words(name):
    asked = exercises.exercise(name)
    wrong = [option for option in asked.options if option != asked.answer]
    assert {mistake for mistake, _ in asked.mistakes} >= set(wrong)
    told = [asked.check(mistake) for mistake, _ in asked.mistakes]
    assert told == [(False, words) for _, words in asked.mistakes]
    assert asked.check(asked.answer) == (True, f"Right. {asked.why}")
    assert "{" not in asked.question + asked.why


def test_the_base_rate_slip_is_named():
    assert "base-rate slip" in exercises.exercise("base_rate").check("95 %")[1]


def test_an_exercise_box_checks_and_hints():
    box = exercises.Sheet().ask("boaster")
    box.field.value = "0.6"
    assert "✗" in box.feedback.value
    assert "That is its accuracy" in box.feedback.value
    box.hint.click()
    assert box.hints.value.count("<li>") == 1
    box.hint.click()
    assert box.hint.disabled
    box.field.value = "30 %"
    assert "✓" in box.feedback.value
    assert "<details>" in box._repr_mimebundle_()["text/html"]
    assert (box.right, box.given, box.tries) == (True, "30 %", 2)


def test_a_page_to_hand_in_holds_what_was_answered():
    sheet = exercises.Sheet()
    for name in exercises.NAMES:
        sheet.ask(name)
    sheet.boxes["accuracy"].field.value = "B"
    sheet.boxes["accuracy"].check.click()
    sheet.boxes["boaster"].field.value = "0,3"
    page = sheet.hand_in()
    page.children[0].click()
    told = page.children[1].value
    assert f"<b>1 of {len(exercises.NAMES)}</b>" in told
    text = unquote(re.search(r'href="data:text/csv;charset=utf-8,([^"]+)"', told)[1])
    head, *rows = csv.reader(io.StringIO(text))
    assert head == list(exercises.HEAD)
    assert [row[1:] for row in rows if row[1]] == [["0,3", "right", "1"], ["B", "open", "1"]]


def test_an_unknown_exercise_is_refused_by_name():
    with pytest.raises(ValueError, match="no exercise 'nothing'"):
        exercises.exercise("nothing")
