"""The lesson: its numbers against closed forms, its figures, its exercises, its quiz."""

import base64
import html
import io
import json
import re

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from medcal_nb.datasets import open_image, pocket
from medcal_nb.measure import ece
from medcal_nb.teach import exercises, lesson

mpl.use("Agg")


# numbers


def test_drawn_answers_are_right_as_often_as_drawn(rng):
    right = (0.0, 0.25, 0.5, 1.0, 0.6)
    confidence, correct = lesson.drawn_answers(right, rng.random((2, 50_000)))
    for level, share in zip(lesson.LEVELS, right, strict=True):
        mine = correct[np.abs(confidence - level) < lesson.HALF_WIDTH]
        assert len(mine) == 10_000
        assert mine.mean() == pytest.approx(share, abs=0.02)  # 4 standard errors


def test_a_forecaster_on_the_line_is_calibrated_in_bins_of_any_width(rng):
    answers = lesson.drawn_answers(lesson.LEVELS, rng.random((2, 200_000)))
    assert ece(*answers, n_bins=5) < 0.005
    assert ece(*answers, n_bins=40) < 0.012


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
    lines = table.pivot(index="threshold", columns="line", values="share").loc[
        [0.0, 0.5, 1.0]
    ]
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
    told = lesson.reopening().markup
    assert "90 % sure" in " ".join(told.split())
    for row in worth.itertuples():
        assert f"{100 * row.right:.0f} % of {row.sure:,}" in told


# figures: their titles are findings, and another table gives another


def title_of(figure) -> str:
    mpl.pyplot.close(figure)
    return " ".join(figure._suptitle.get_text().split())


def test_forecasters_figure_names_the_best_and_the_worst(rng):
    table = lesson.forecasters_table(rng.random((2, 2000)))
    figure = lesson.forecasters_figure(table)
    assert len([ax for ax in figure.axes if ax.get_title(loc="left")]) == len(
        lesson.FORECASTERS
    )
    assert re.search(
        r"from 0\.0\d \(calibrated\) to 0\.[45]\d \(upside down\)", title_of(figure)
    )
    others = table[table["forecaster"].isin(["too timid", "half right"])]
    assert "(too timid)" in title_of(lesson.forecasters_figure(others))


def test_base_rate_and_threshold_titles_follow_their_numbers(rng):
    table = lesson.base_rate_table([0.5, 0.1], sensitivity=0.9, specificity=0.9)
    assert title_of(lesson.base_rate_figure(table)).startswith(
        "A yes is right in 90 % or 50 %"
    )
    answers = lesson.bold_answers(0.75, 1.0, rng.random((2, 4000)))
    for checks in (2, 20):
        figure = lesson.threshold_figure(
            lesson.threshold_table(*answers, checks=checks), checks=checks
        )
        below = int(re.search(r"check below (\d+) %", title_of(figure)).group(1))
        assert below == pytest.approx(100 * (1 - 1 / checks), abs=8)


# exercises: how they are checked is tested in a browser, tests/browser/test_lesson_site.py


@pytest.mark.parametrize("name", exercises.NAMES)
def test_each_exercise_knows_its_answer_and_the_mistakes_of_students(name):
    asked = exercises.exercise(name)
    wrong = {option for option in asked["options"] if option != asked["answer"]}
    mistakes = [mistake for mistake, _ in asked["mistakes"]]
    if asked["options"]:
        assert asked["answer"] in asked["options"]
        assert set(mistakes) == wrong
    else:
        apart = [abs(mistake - asked["answer"]) for mistake in mistakes]
        assert min(apart) > asked["tolerance"] > 0
    assert asked["hints"]
    assert "{" not in asked["question"] + asked["why"]


def test_known_answers():
    answers = {name: exercises.exercise(name)["answer"] for name in exercises.NAMES}
    assert answers["boaster"] == pytest.approx(ece([0.9] * 10, [1] * 6 + [0] * 4))
    assert answers["base_rate"] == pytest.approx(100 * 19 / 117)
    assert answers["threshold"] == pytest.approx(95)
    assert answers["temperature_half"] == 10
    assert answers["more_bins"] == "grows"
    assert answers["prevalence"] == "AUROC stays, they claim too much"
    assert answers["sample_size"] == "about half of it"
    # the rough interval of the hint leads to the answer that is right by Wilson's
    rough = 0.28 - 2 * (0.28 * 0.72 / 100) ** 0.5
    assert (rough < 0.15) == (answers["interval"] == "yes, the interval holds it")


def test_the_base_rate_slip_is_named():
    told = dict(exercises.exercise("base_rate")["mistakes"])
    assert "base-rate slip" in told[95]


def test_a_part_brings_its_script_and_escapes_what_it_says():
    part = lesson.Part("answer", "data:,", "<b>which?</b>", 'a "cyst"')
    assert "&lt;b&gt;which?" in part.markup
    assert "<script" not in part.markup
    assert part._repr_html_().startswith(part.markup)
    assert part._repr_html_().count('<script type="module">') == 1


# the quiz


def quiz_cases() -> list[dict]:
    data = re.search(r'data-cases="([^"]*)"', lesson.quiz().markup)[1]
    return json.loads(html.unescape(data))


def test_the_quiz_holds_recorded_answers_to_its_own_images():
    cases, items = quiz_cases(), pocket.load("quiz")
    said = pocket.fresh_answers("pocketvqa-medical", lesson.MODEL, "verbalized")
    said = said.set_index("item_id").loc[items["item_id"]]
    assert [case["answer"] for case in cases] == said["answer"].tolist()
    assert [case["confidence"] for case in cases] == pytest.approx(
        said["confidence"].tolist()
    )
    assert (
        [case["gold"] for case in cases]
        == said["gold"].tolist()
        == items["gold"].tolist()
    )
    assert [case["answer"] == case["gold"] for case in cases] == said[
        "correct"
    ].tolist()
    for case, image in zip(cases, items["image"], strict=True):
        shown = Image.open(
            io.BytesIO(base64.b64decode(case["picture"].partition(",")[2]))
        )
        assert (np.asarray(shown) == np.asarray(open_image(image).convert("RGB"))).all()
        assert not shown.info


def test_the_quiz_is_fair():
    items = pocket.load("quiz")
    assert len(items) == 20
    assert items["image_id"].is_unique
    assert items["modality"].value_counts().between(3, 4).all()
    assert all(
        gold in options
        for gold, options in zip(items["gold"], items["options"], strict=True)
    )
    assert (items["visibility"] > 0).all()
    # nobody, the model least of all, has been asked or trained on them
    for split in ("fit", "test"):
        known = pocket.load("pocketvqa-medical", split=split)
        assert not set(items["item_id"]) & set(known["item_id"])
