"""The explorer in JupyterLab: choices redraw it, a bin opens the answers behind it."""

import pytest
from playwright.sync_api import expect

from tests.browser.test_lab import open_notebook, run_all

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_choices_redraw_and_a_bin_opens_its_answers(page, lab):
    open_notebook(page, lab, "explorer.ipynb")
    run_all(page)
    view = page.locator(".medcal-explorer").first
    figure = view.get_by_role("img", name="Reliability diagram")
    figure.wait_for()
    before = figure.get_attribute("src")
    view.get_by_label("model").select_option("cautious")
    expect(figure).not_to_have_attribute("src", before)
    numbers = view.get_by_role("status")
    stated = numbers.inner_text()
    view.get_by_label("map", exact=True).select_option("Platt scaling")
    expect(numbers).to_contain_text("map fitted on")
    assert numbers.inner_text().split("·")[1] != stated.split("·")[1]
    view.get_by_label("map", exact=True).select_option("uncorrected")
    expect(numbers).to_have_text(stated)

    bins = view.get_by_label("bin")
    last = bins.locator("option").count() - 1
    bins.select_option(index=0)
    card = view.locator(".medcal-answer").first
    expect(card).to_contain_text("question: is it there?")
    expect(card).to_contain_text("right answer: no")
    opened = view.locator(".medcal-answer").all_inner_texts()
    bins.select_option(index=last)
    expect(view.locator(".medcal-answer").first).not_to_have_text(opened[0])
