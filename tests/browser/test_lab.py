"""JupyterLab, driven as a reader would: by keyboard and menu."""

import time

import pandas as pd
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import expect

from tests.browser.conftest import PATIENCE
from tests.browser.test_explore_page import HEIGHTS

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SCRIPT = "window.PWN = 1"
NAME = f'm<img src=x onerror="{SCRIPT}"><script>{SCRIPT}</script>'
EXERCISE = """
from IPython.display import display
from medcal_nb.teach import exercises, lesson
from medcal_nb.teach.lab import lab
display(exercises.ask("accuracy"), exercises.ask("boaster"), lesson.quiz(), exercises.hand_in())
display(lab(n=100))
"""
HOSTILE = """
from ipywidgets import interact
from matplotlib import pyplot as plt
from medcal_nb import measure, plots
from medcal_nb.answers import load_answers
from medcal_nb.labels import label_of
from medcal_nb.notebook import Output
from medcal_nb.wording import show
out = Output("02_metrics", FOLDER)
answers = load_answers(FILE)
print(*answers.attrs["assumed"], sep="\\n")
scores = measure.metrics_table(answers, by=["model"], metrics=["accuracy"])
out.finding(f"{label_of(scores['model'].iloc[0])}: {scores['accuracy'].iloc[0]:.2f}")
fig, ax = plt.subplots()
plots.forest(scores, "accuracy", label="model", ax=ax)
out.save(fig, "fig02_models", scores, f"Accuracy of {label_of(scores['model'].iloc[0])}")
"""


def test_a_model_s_name_runs_no_script(chromium, page, lab):
    """Neither where cells are run, which Lab trusts, nor in the page that nbconvert writes."""
    table = {"model": [NAME] * 40, "item_id": range(40), "confidence": [0.5, 0.9] * 20}
    answers = lab.folder / "answers.csv"
    pd.DataFrame(table | {"correct": [0, 1] * 20}).to_csv(answers, index=False)
    code = HOSTILE.replace("FILE", repr(str(answers)))
    code = code.replace("FOLDER", repr(str(lab.folder / "out")))
    cells = ("out.table('scores', scores)", "show(scores)", "scores", "out.close()")
    choose = "interact(lambda model: model, model=list(scores['model'])); print(6 * 7)"
    lab.write("hostile", code, *cells, choose)
    lab.run("hostile")
    page.get_by_text("42", exact=True).wait_for()
    expect(page.get_by_label("model", exact=True)).to_have_value(NAME)
    assert page.get_by_text(NAME).count() >= 5
    assert page.locator(".jp-OutputArea-output img").count() == 1
    assert page.locator("[data-mime-type$='stderr']").all_inner_texts() == []
    assert page.evaluate("window.PWN") is None

    page.keyboard.press("Control+s")
    path = lab.folder / "hostile.ipynb"
    end = time.monotonic() + PATIENCE / 1000
    while r'"42\n"' not in path.read_text():  # an id may begin with 42
        assert time.monotonic() < end
        page.wait_for_timeout(100)
    text, _ = HTMLExporter().from_filename(str(path))
    path.with_suffix(".html").write_text(text)
    converted = chromium.new_context(offline=True).new_page()
    converted.goto(path.with_suffix(".html").as_uri())
    assert converted.get_by_text(NAME).count() >= 5
    assert converted.evaluate("window.PWN") is None
    converted.context.close()


def test_exercises_quiz_and_lab_by_keyboard_leave_the_notebook_alone(page, lab):
    lab.write("exercise", EXERCISE)
    lab.run("exercise")
    forms = page.locator(".medcal-exercise[data-live]")
    choice, number = forms.first, forms.nth(1)
    cells = page.locator(".jp-Cell").count()
    answer = number.get_by_role("textbox")
    answer.focus()
    page.keyboard.type("0.6")
    page.keyboard.press("Enter")
    number.get_by_text("That is its accuracy").wait_for()
    answer.fill("30 %")
    page.keyboard.press("Enter")
    number.get_by_text("Right. All answers are called 90 % sure").wait_for()
    # letters that are commands of JupyterLab where the focus is on no text
    b = choice.get_by_label("B", exact=True)
    for field in (b, page.locator(".medcal-quiz [name=sure]")):
        field.focus()
        for key in "abddxjk":
            page.keyboard.press(key)
    b.press("Space")
    choice.get_by_role("button", name="Check").press("Enter")
    choice.get_by_text("B can be better calibrated, but").wait_for()
    assert page.locator(".medcal-score").inner_text() == "1 of 11 exercises right"
    quiz = page.locator(".medcal-quiz")
    quiz.get_by_label("no", exact=True).press("Space")
    quiz.get_by_role("button", name="Next").press("Enter")
    expect(quiz.locator(".place")).to_have_text("Image 2 of 20")
    view = page.locator(".medcal-lab").first
    handle = view.locator(".handle").last
    handle.focus()
    now = int(handle.get_attribute("aria-valuenow"))
    for key in (*["PageDown"] * 4, "a", "b"):  # the last two: commands of JupyterLab
        page.keyboard.press(key)
    assert int(handle.get_attribute("aria-valuenow")) == now - 20
    assert page.locator(".jp-Cell").count() == cells
    for number in view.locator(".numbers > div").all():
        label, value = (part.bounding_box() for part in number.locator("div").all())
        assert label["y"] + label["height"] <= value["y"]  # below its label, not on it


EXPLORER = """
import pandas as pd
from medcal_nb.measure import example_answers
from medcal_nb.explore import explore
explore(example_answers(1000))
"""


CHOOSE = """(menu, value) => {
  menu.value = value;
  menu.dispatchEvent(new Event("change"));
  const root = menu.closest(".medcal-explore");
  const buttons = [...root.querySelectorAll("button")];
  return [root.medcal.text(), buttons.find((one) => one.textContent.startsWith("Copy")).disabled];
}"""


def test_the_explorer_asks_the_kernel_and_leaves_the_notebook_alone(page, lab):
    lab.write("explorer", EXPLORER)
    lab.run("explorer")
    panel = page.locator(".medcal-explore[data-live]")
    panel.get_by_text("pass unchecked at").wait_for()
    cells = page.locator(".jp-Cell").count()
    heights = panel.locator(".controls label").evaluate_all(HEIGHTS)
    assert max(heights) < 60  # the words of a control stand in one line
    elicited = panel.evaluate("root => root.medcal.part().steps")
    choose = panel.get_by_label("Recalibration")
    choose.focus()
    # the kernel computes it; until then the title is that of what is shown, and none can be copied
    code, is_disabled = choose.evaluate(CHOOSE, "platt")
    assert "Platt" not in code
    assert is_disabled
    panel.locator("figcaption", has_text="Platt").wait_for()
    assert panel.evaluate("root => root.medcal.part().steps") != elicited
    passes = panel.get_by_label("Unchecked from")
    passes.focus()
    for key in ("End", "ArrowLeft", "a", "b", "d", "d", "x", "j"):
        page.keyboard.press(key)
    # to the right, a higher threshold: the second step from the surest answers down
    assert panel.evaluate("root => root.medcal.state.step") == 1
    panel.get_by_role("button", name="Copy the code").focus()
    for key in "abdd":
        page.keyboard.press(key)
    assert page.locator(".jp-Cell").count() == cells
    # Escape, and a click, give the keys back: b makes a cell below
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    expect(page.locator(".jp-Cell")).to_have_count(cells + 1)
    panel.get_by_role("button", name="Copy the code").click()
    page.keyboard.press("b")
    expect(page.locator(".jp-Cell")).to_have_count(cells + 2)
    size = page.viewport_size
    page.locator("#jp-main-statusbar").click()
    page.keyboard.press("Control+b")  # a phone has no room for the list of files
    expect(page.locator("#jp-left-stack")).to_be_hidden()
    page.set_viewport_size({"width": 390, "height": 800})
    assert panel.evaluate("root => root.scrollWidth <= root.clientWidth")
    page.set_viewport_size(size)
