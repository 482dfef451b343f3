"""JupyterLab, driven as a reader would: by keyboard and menu."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def open_notebook(page, lab, name):
    """Open a notebook and wait until its kernel is idle."""
    page.goto(lab.address(f"lab/tree/{name}"))
    page.locator(".jp-Notebook").wait_for()
    # the indicator in the toolbar says "idle" before the kernel is there
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()


def run_all(page):
    """Run → Run All Cells, from the menu bar."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def test_a_notebook_runs_and_shows_its_output(page, lab):
    open_notebook(page, lab, "hello.ipynb")
    run_all(page)
    page.get_by_text("sum 42", exact=True).wait_for()
    slider = page.get_by_role("slider")
    slider.wait_for()
    slider.press("ArrowRight")
    page.locator(".widget-readout", has_text="1").wait_for()
