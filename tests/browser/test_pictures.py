"""README's pictures are of the pages as they are today."""

import pytest

from docs.screenshots import PICTURES, SHOTS, SIZE, words_of

pytestmark = [pytest.mark.browser, pytest.mark.slow]
pytestmark += [pytest.mark.filterwarnings("ignore::medcal_nb.report.ReportWarning")]


@pytest.mark.parametrize("name", SHOTS)
def test_a_picture_shows_the_page_as_it_is(chromium, tmp_path, name):
    page = chromium.new_context(viewport=SIZE).new_page()
    SHOTS[name](page, tmp_path, tmp_path / "again.png")
    words = words_of(tmp_path / "again.png")
    assert len(words) > 200
    assert words_of(PICTURES / f"{name}.png") == words, "stale: run `make pictures`"
