"""JupyterLab, driven as a reader would: by keyboard and menu."""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def open_notebook(page, lab, name):
    """Open a notebook and wait until its kernel is idle."""
    # a workspace of its own, in which the tabs of another test are not opened again
    workspace = name.removesuffix(".ipynb")
    page.goto(lab.address(f"lab/workspaces/{workspace}/tree/{name}"))
    page.locator(".jp-Notebook").wait_for()
    # the indicator in the toolbar says "idle" before the kernel is there
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()


def run_all(page):
    """Run → Run All Cells, from the menu bar."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def all_run(page):
    """Wait until the last cell has put the first finding to its top."""
    answer = page.locator(".jp-OutputArea-output", has_text="multimodal LLMs called")
    answer.first.wait_for(timeout=240_000)


def test_a_notebook_runs_and_shows_its_output(page, lab):
    open_notebook(page, lab, "hello.ipynb")
    run_all(page)
    page.get_by_text("sum 42", exact=True).wait_for()
    slider = page.get_by_role("slider")
    slider.wait_for()
    slider.press("ArrowRight")
    page.locator(".widget-readout", has_text="1").wait_for()


def test_the_lesson_runs_and_its_labs_move(page, lab):
    open_notebook(page, lab, "07_teaching.ipynb")
    run_all(page)
    all_run(page)
    assert page.locator(".jp-RenderedText[data-mime-type$='stderr']").count() == 0
    view = page.locator(".medcal-lab", has=page.locator("[name=temperature]")).first
    view.scroll_into_view_if_needed()
    value = view.locator(".number").nth(1)
    before = value.inner_text()
    view.locator("input").press("ArrowRight")
    expect(value).not_to_have_text(before)


def test_exercises_and_quiz_by_keyboard_leave_the_notebook_alone(page, lab):
    open_notebook(page, lab, "exercise.ipynb")
    run_all(page)
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
    number.get_by_text("Right. All answers fall into one bin").wait_for()
    # letters that are commands of JupyterLab where the focus is on no text
    for field in (
        choice.get_by_label("B", exact=True),
        page.locator(".medcal-quiz [name=sure]"),
    ):
        field.focus()
        for key in "abddxjk":
            page.keyboard.press(key)
    choice.get_by_label("B", exact=True).press("Space")
    choice.get_by_role("button", name="Check").press("Enter")
    choice.get_by_text("B can be better calibrated, but").wait_for()
    assert page.locator(".medcal-score").inner_text() == "1 of 10 exercises right"
    quiz = page.locator(".medcal-quiz")
    quiz.get_by_label("no", exact=True).press("Space")
    quiz.get_by_role("button", name="Next").press("Enter")
    expect(quiz.locator(".place")).to_have_text("Image 2 of 20")
    assert page.locator(".jp-Cell").count() == cells
