"""The form of a notebook that one copies from: no kernel is started here."""

import ast
import io
import json
import re
import tokenize
from pathlib import Path

import pytest

from tests.test_readme import NUMBER

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_LINES = 15
MOST_COLUMNS = 100


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return request.param


def cells_of(path: Path, kind: str = "code") -> list[dict]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == kind]


def sources_of(path: Path, kind: str = "code") -> list[str]:
    return ["".join(cell["source"]) for cell in cells_of(path, kind)]


def parameters_of(path: Path) -> str:
    (cell,) = [cell for cell in cells_of(path) if cell["metadata"].get("tags")]
    return "".join(cell["source"])


def test_names_are_numbered_and_the_title_repeats_the_number(notebook):
    assert re.fullmatch(r"\d\d_[a-z_]+", notebook.stem)
    assert sources_of(notebook, "markdown")[0].startswith(f"# {notebook.stem[:2]} · ")


def test_outputs_are_stripped_and_no_cell_is_hidden(notebook):
    metadata = json.loads(notebook.read_text(encoding="utf-8"))["metadata"]
    assert metadata["kernelspec"]["name"] == "python3"
    for cell in cells_of(notebook):
        assert not cell["outputs"]
        assert cell["execution_count"] is None
        assert cell["metadata"] in ({}, {"tags": ["parameters"]})


def test_cells_are_short_and_branch_nowhere(notebook):
    for source in sources_of(notebook):
        lines = source.splitlines()
        is_parameters = source == parameters_of(notebook)
        assert len(lines) <= MOST_LINES or is_parameters, source
        assert max(map(len, lines)) <= MOST_COLUMNS, source
        nodes = [*ast.walk(ast.parse(source))]
        branches = (ast.If, ast.IfExp, ast.While, ast.Try)
        assert not [node for node in nodes if isinstance(node, branches)], source


def test_parameters_are_literals_with_a_comment_and_used(notebook):
    source = parameters_of(notebook)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    commented = {token.start[0] for token in tokens if token.type == tokenize.COMMENT}
    code = "\n".join(s for s in sources_of(notebook) if s != source)
    for line in ast.parse(source).body:
        name = line.targets[0].id
        assert name.isupper()
        value = ast.literal_eval(line.value)
        assert commented & set(range(line.lineno, line.end_lineno + 1)), name
        assert re.search(rf"\b{name}\b", code), name
    assert (name, value) == ("OUT", "")


def test_rows_that_tie_stay_in_order(notebook):
    # another processor sorts ties otherwise, unless the sort is stable, as that by several columns
    for source in sources_of(notebook):
        for call in re.findall(r"sort_values\((?!\[)[^()]*\)", source):
            assert 'kind="stable"' in call, call


def test_figures_carry_the_number_of_their_notebook(notebook):
    code = "\n".join(sources_of(notebook))
    names = re.findall(r"out\.save\(\s*\w+,\s*f?[\"']([^\"']+)", code)
    assert len(names) == code.count("out.save(")
    assert all(name.startswith(f"fig{notebook.stem[:2]}_") for name in names)
    assert len(set(names)) == len(names)


def test_a_figure_is_drawn_and_saved_in_one_cell(notebook):
    for source in sources_of(notebook):
        if "plt.subplots(" in source or "plt.figure(" in source:
            assert "out.save(" in source, source  # else JupyterLab shows it twice


OF_STUDY = re.compile(r"VLCB|GMAI|MMMU|InternVL|Qwen|five (multimodal|models)")


def test_an_introduction_names_data_where_they_are_read_alone(notebook):
    """So that on other answers nothing is said of the study's."""
    if '"vlcb"' in parameters_of(notebook) and notebook.stem[:2] not in ("07", "08"):
        assert not OF_STUDY.search(sources_of(notebook, "markdown")[0])
        (said,) = (text for text in sources_of(notebook) if "out.data(" in text)
        assert OF_STUDY.search(said)


def told_by_hand(notebook: Path) -> list[str]:
    """Paragraphs about the results published here, and those on what it means."""
    paragraphs = []
    for source in sources_of(notebook, "markdown"):
        is_meaning = source.startswith("## What this means")
        for paragraph in source.split("\n\n"):
            if is_meaning or "In the results published here" in paragraph:
                paragraphs.append(re.sub(r"\[[^]]*\]\([^)]*\)", "", paragraph))
    return paragraphs


def test_numbers_that_prose_tells_of_the_study_are_on_its_page(notebook):
    page = (ROOT / "figures" / f"{notebook.stem}.md").read_text(encoding="utf-8")
    computed = re.findall(r"(?m)^ *<.*$|^    .*$", page)  # HTML, and what was printed
    published = NUMBER.findall("\n".join([*computed, parameters_of(notebook)]))
    for paragraph in told_by_hand(notebook):
        assert set(NUMBER.findall(paragraph)) <= set(published), paragraph


def test_a_chapter_on_answers_of_real_models_says_who_graded_them(notebook):
    if '"vlcb"' in parameters_of(notebook) or notebook.stem.startswith("00"):
        text = " ".join("\n".join(sources_of(notebook, "markdown")).split())
        graded = r"(?i)a language model graded|graded by an LLM|who graded them"
        assert re.search(graded, text)


def test_a_line_drawn_by_hand_has_a_name_in_the_key():
    for path in NOTEBOOKS:
        for line in "\n".join(sources_of(path)).splitlines():
            if re.search(r"\.ax[hv]line\(", line):
                assert "label=" in line, line


def test_a_share_of_broken_promises_stands_beside_what_the_promise_allows():
    for path in NOTEBOOKS:
        for source in sources_of(path):
            if "out.finding(" in source and '"exceeded"' in source:
                assert "allows {allowed}%" in " ".join(source.split()), source


def test_a_figure_has_a_width_of_a_journal(notebook):
    code = "\n".join(sources_of(notebook))
    widths = re.findall(r"(?:figsize=|^size = )\((\w+(?:\.\w+)?),", code, re.MULTILINE)
    assert len(widths) == len(re.findall(r"out\.save\(", code))
    assert set(widths) <= {"wide"}
    assert "wide" not in code or "wide = plots.TWO_COLUMNS" in code
