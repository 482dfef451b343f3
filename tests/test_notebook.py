"""What a notebook of the study says while it runs."""

import re

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from medcal_nb.notebook import page_of


@pytest.fixture
def shell():
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def test_the_place_of_the_findings_says_what_runs_until_they_stand_there(
    shell, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    cells = [nbformat.v4.new_markdown_cell("## A <b> heading\n\nText.")]
    cells += [
        nbformat.v4.new_code_cell(code) for code in ("n = 1", "n = 2 < 3\nn = 4\n")
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), "99_example.ipynb")

    def shown(cell):
        with capture_output() as captured:
            shell.run_cell(cell).raise_error()
        return [output.data.get("text/html", "") for output in captured.outputs]

    shown("from medcal_nb.notebook import Output")
    shown(f"out = Output('99_example', {str(tmp_path)!r})")
    (said,) = shown("n = 2 < 3\nn = 4")
    assert "Running for 0 min 0 s, step 2 of 2: A &lt;b&gt; heading …<" in said
    (said,) = shown("n = 5")  # which the notebook in the folder has not
    assert "Running for 0 min 0 s …<" in said
    assert "A finding." in "".join(shown("out.finding('A finding.')\nout.close()"))
    assert shown("n = 5") == []


def test_findings_that_are_marked_stand_at_the_top(shell, tmp_path):
    def top_of(*findings):
        lines = ["from medcal_nb.notebook import Output"]
        lines += [f"out = Output('99_example', {str(tmp_path)!r})", *findings]
        with capture_output():
            shell.run_cell("\n".join(lines)).raise_error()
        with capture_output() as captured:
            shell.run_cell("out.close()").raise_error()
        last = captured.outputs[-1].data.get("text/html", "")
        return re.findall(r"<p>(.*?)</p>", last)

    plain = [f"out.finding('{name}.')" for name in "abcd"]
    assert top_of(*plain) == ["a.", "b.", "c."]
    marked = "out.finding('e.', top=True)"
    assert top_of(*plain, marked, "out.finding('nan', top=True)") == ["e."]


def test_a_notebook_that_found_nothing_says_at_its_top_what_lacked(shell, tmp_path):
    cells = ["from medcal_nb.notebook import Output"]
    cells += [f"out = Output('99_example', {str(tmp_path)!r})"]
    cells += ["out.section('By kind', {'second kind': False})", "out.close()"]
    with capture_output() as captured:
        for cell in cells:
            shell.run_cell(cell).raise_error()
    shown = [output.data.get("text/html", "") for output in captured.outputs]
    assert any("Left out, 1 section: no second kind." in text for text in shown)


@pytest.mark.parametrize("is_own", [False, True])
def test_a_page_of_other_answers_tells_nothing_of_the_published_results(
    is_own, tmp_path
):
    texts = [
        "# 99 · Example\n\nWhat is asked.",
        "In the results published here all of five were wrong.\n\nHow to read it.\n\n## Next",
        "In the study exams were asked.",
        "## What this means for you\n\nIn the results published here:\n\n**A clinician** waits.",
    ]
    cells = [nbformat.v4.new_markdown_cell(text) for text in texts]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "99_example.ipynb")
    page = page_of(tmp_path / "99_example.ipynb", "99_example.ipynb", is_own=is_own)
    for of_study in ("all of five", "exams", "**A clinician**", "What this means"):
        assert (of_study in page) != is_own
    assert ("other answers than those of the study" in page) == is_own
    for both in ("What is asked.", "How to read it.", "## Next"):
        assert both in page


SECTIONS = """# 99 · Example
from medcal_nb.notebook import Output
out = Output("99_example", OUT)
out.data(ANSWERS, vlcb="Five *models*.")
## Lacks
This section has no rows.
outer = 1
out.section("Lacks", {"second row": False})
Nor has this.
1 / 0
Of the next one.
out.section("Has")
## Goes on
out.close()"""


@pytest.mark.parametrize("answers", ["vlcb", "mine.csv"])
def test_of_own_answers_no_text_stands_that_is_about_the_study_or_of_what_is_left_out(
    answers, shell, tmp_path
):
    cells = []
    shell.push({"OUT": str(tmp_path), "ANSWERS": answers})
    for line in SECTIONS.splitlines():
        if not line.startswith(("from ", "out", "1")):
            cells.append(nbformat.v4.new_markdown_cell(line))
            continue
        with capture_output() as captured:
            shell.run_cell(line).raise_error()
        outputs = []
        for one in captured.outputs:
            parts = {"data": one.data, "metadata": one.metadata}
            outputs.append(nbformat.v4.new_output("display_data", **parts))
        cells.append(nbformat.v4.new_code_cell(line, outputs=outputs))
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "99_example.ipynb")
    is_own = answers == "mine.csv"
    page = page_of(tmp_path / "99_example.ipynb", "99_example.ipynb", is_own=is_own)
    assert ("\n\nFive *models*.\n" in page) != is_own
    assert page.count("other answers than those of the study") == is_own
    for left_out in ("This section has no rows.", "Nor has this."):
        assert (left_out in page) != is_own
    for both in ("## Lacks", "Left out: no second row.", "Of the next one.", "## Goes"):
        assert both in page
