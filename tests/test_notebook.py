"""What a notebook of the study says while it runs."""

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from medcal_nb.notebook import page_of


@pytest.fixture
def shell():
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def test_the_place_of_the_findings_says_which_cell_runs_until_they_stand_there(
    shell, tmp_path
):
    def shown(cell):
        with capture_output() as captured:
            shell.run_cell(cell).raise_error()
        return [output.data.get("text/html", "") for output in captured.outputs]

    shown("from medcal_nb.notebook import Output")
    shown(f"out = Output('99_example', {str(tmp_path)!r})")
    (said,) = shown("n = 2 < 3\nn = 4")
    assert "0 min 0 s so far. Now: n = 2 &lt; 3<" in said
    assert "A finding." in "".join(shown("out.finding('A finding.')\nout.close()"))
    assert shown("n = 5") == []


@pytest.mark.parametrize("is_own", [False, True])
def test_a_page_of_other_answers_tells_nothing_of_the_published_results(
    is_own, tmp_path
):
    texts = [
        "# 99 · Example\n\nWhat is asked.",
        "In the results published here all of five were wrong.\n\nHow to read it.\n\n## Next",
        "## What this means for you\n\nIn the results published here:\n\n**A clinician** waits.",
    ]
    cells = [nbformat.v4.new_markdown_cell(text) for text in texts]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "99_example.ipynb")
    page = page_of(tmp_path / "99_example.ipynb", "99_example.ipynb", is_own=is_own)
    for of_study in ("all of five", "**A clinician**", "What this means"):
        assert (of_study in page) != is_own
    assert ("other answers than those of the study" in page) == is_own
    for both in ("What is asked.", "How to read it.", "## Next"):
        assert both in page
