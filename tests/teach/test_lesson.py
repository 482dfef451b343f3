"""The lesson: its numbers against closed forms, its exercises, its quiz."""

import base64
import html
import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binom

from medcal_nb.datasets import open_image, pocket
from medcal_nb.measure import auroc, ece, wilson_interval
from medcal_nb.teach import exercises, lesson
from medcal_nb.teach.lab import HALF_WIDTH, LEVELS, answers
from medcal_nb.teach.lesson_site import AT_HOME
from tests.teach.plan import plan, sections


def test_answers_are_right_as_often_as_drawn():
    right = (0.0, 0.25, 0.5, 1.0, 0.6)
    confidence, correct = answers(right, 50_000)
    for level, share in zip(LEVELS, right, strict=True):
        mine = correct[np.abs(confidence - level) < HALF_WIDTH]
        assert len(mine) == 10_000
        assert mine.mean() == pytest.approx(share, abs=0.02)  # 4 standard errors


def test_a_temperature_divides_log_odds_and_leaves_the_answers_alone():
    one, correct = answers(LEVELS, 500, sample=3)
    two, same = answers(LEVELS, 500, temperature=2, sample=3)
    assert np.log(two / (1 - two)) == pytest.approx(np.log(one / (1 - one)) / 2)
    assert (correct == same).all()


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


def test_the_right_answers_follow_from_what_is_asked():
    """Those of the labs above them: tests/browser/test_lesson_site.py."""

    def of(name):
        asked = exercises.exercise(name)
        return asked["answer"], asked["why"]

    answer, _ = of("boaster")
    assert answer == pytest.approx(ece(np.full(10, 0.9), np.arange(10) < 6))
    answer, _ = of("temperature_order")
    ordered = [auroc(*answers(LEVELS, 500, temperature=t)) for t in (1, 2)]
    assert (answer, np.ptp(ordered)) == ("AUROC", 0)
    answer, why = of("base_rate")
    assert answer == pytest.approx(100 * 19 / 117, abs=0.01)
    assert "19 of 117 yes" in why
    answer, why = of("prevalence")
    odds = (0.01 / 0.99) / (0.46 / 0.54)  # of a woman called 50 % sure
    assert f"only {100 * odds / (1 + odds):.1f} % have a cancer" in why
    assert "claim too much" in answer
    assert of("threshold")[0] == 100 * (1 - 1 / 20)  # a wrong one costs 20 checks
    answer, why = of("interval")
    low, high = wilson_interval(28, 100)
    assert low > 0.15
    assert f"from {100 * low:.0f} to {100 * high:.0f} %" in why
    # the rough interval of the hint leads to the same answer
    assert 0.28 - 2 * (0.28 * 0.72 / 100) ** 0.5 > 0.15
    answer, why = of("grades")
    assert 0.8**answer <= 0.1 < 0.8 ** (answer - 1)
    assert "10.7 % for 10, 8.6 % for 11" in why
    one_wrong = binom.cdf(1, np.arange(1, 100), 0.2) <= 0.1
    assert f"it takes {1 + one_wrong.argmax()}." in why


def test_the_teacher_s_numbers_about_ten_answers_and_a_look_that_misses_follow(root):
    text = (root / "docs" / "lesson" / "teacher.md").read_text(encoding="utf-8")
    text = " ".join(text.split())
    assert "until ten answers are called 90 % sure. Of these nine should be" in text
    assert "Eight or seven may be luck" in text
    six, seven = binom.cdf([6, 7], 10, 0.9)
    assert seven > 0.05  # may be luck
    few = f"six or fewer in about {100 * six:.0f} of 100 such classes"
    assert f"a calibrated chat would get {few}" in text
    ratio = 20 * 4 / 5  # what a look prevents, if it finds 4 of 5 errors
    assert f"count with R = {ratio:.0f} in place of 20" in text
    assert f"below 1 − 1/{ratio:.0f}, about {100 * (1 - 1 / ratio):.0f} %" in text


def test_a_part_brings_its_script_and_escapes_what_it_says():
    values = {"picture": "data:,", "question": "<b>which?</b>", "answer": 'a "cyst"'}
    part = lesson.Part("case", values | {"gold": "", "when": "start"})
    markup, script = part._repr_html_().split(lesson.SCRIPT)
    assert "&lt;b&gt;which?" in markup
    assert "<script" not in markup
    assert script.count('<script type="module">') == 1


def test_the_quiz_holds_recorded_answers_to_its_own_images():
    data = re.search(r'data-cases="([^"]*)"', lesson.quiz()._repr_html_())[1]
    cases, items = json.loads(html.unescape(data)), pocket.load("quiz")
    model = pocket.fresh_answers(lesson.DATASET, lesson.MODEL, "verbalized")
    model = model.set_index("item_id").loc[items["item_id"]]
    assert [case["answer"] for case in cases] == model["answer"].tolist()
    confidence = [case["confidence"] for case in cases]
    assert confidence == pytest.approx(model["confidence"].tolist(), abs=1e-4)
    gold = [case["gold"] for case in cases]
    assert gold == model["gold"].tolist() == items["gold"].tolist()
    right = [case["answer"] == case["gold"] for case in cases]
    assert right == model["correct"].tolist()
    for case, image in zip(cases, items["image"], strict=True):
        # a radiologist would take a bare "right" for the patient's
        about_side = re.search("left|right|side", case["question"])
        assert not about_side or "image" in case["question"]
        file = io.BytesIO(base64.b64decode(case["picture"].partition(",")[2]))
        with Image.open(file) as shown:
            assert (np.asarray(shown) == np.asarray(open_image(image))).all()
            assert not shown.info


@pytest.mark.parametrize(
    ("heading", "minutes", "left"),
    [("## Timing", 60, ()), ("### In 45 minutes", 45, AT_HOME)],
)
def test_the_teacher_s_minutes_are_the_notebook_s_and_some_are_spare(
    heading, minutes, left
):
    rows = plan(heading)
    taught = {
        name: long for name, long in sections().items() if name.split()[0] not in left
    }
    known = {name: end - start for name, (start, end) in rows.items() if name in taught}
    assert known == taught
    starts, ends = zip(*rows.values(), strict=True)
    assert starts == (0, *ends[:-1])
    name, (start, end) = list(rows.items())[-1]
    assert (name, end) == ("to spare", minutes)
    assert end - start >= 3
