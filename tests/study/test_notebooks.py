"""What notebooks declare, which are wanted, parameters of the command line, the figure map."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from medcal_nb.cli import app
from medcal_nb.errors import MedcalError
from medcal_nb.show.figures import read_manifest
from medcal_nb.study.notebooks import figure_map, find_notebooks, parse_parameters, select
from tests.study.toy import edit, toy, write_notebook

__all__ = ["toy"]
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"reads": ["answers"]', '"reads": ["answer"]', "reads 'answer', which no notebook writes"),
        ('"fig02_bars", "r', '"fig03_bars", "r', "writes 'fig03_bars', which bears another name"),
        ('"tags": ["parameters"]', '"tags": []', "it needs one code cell tagged 'parameters'"),
        ("SCALE = 1.0", "SCALE = 1.0 + N", "it needs one code cell .* of NAME = literal"),
        ('"medcal"', '"medical"', "metadata.medcal with lists 'reads' and 'writes'"),
        ('"nbformat": 4', "", "no notebook of the study"),
    ],
)
def test_what_breaks_the_conventions_is_named(toy, old, new, message):
    edit(toy / "notebooks" / "02_numbers.ipynb", old, new)
    with pytest.raises(MedcalError, match=message) as caught:
        find_notebooks(toy / "notebooks")
    assert "02_numbers.ipynb" in str(caught.value)


def test_wanted_notebooks_come_with_what_they_need(toy):
    notebooks = find_notebooks(toy / "notebooks")
    assert select(notebooks, ["2"]) == ({"02_numbers"}, {"01_ask", "02_numbers"})
    assert select(notebooks, ["03", "03_alone.ipynb"]) == ({"03_alone"}, {"03_alone"})
    assert len(select(notebooks, ["00"])[1]) == 4
    assert len(select(notebooks, [])[0]) == 4
    with pytest.raises(MedcalError, match="no notebook '9': choose from 00_overview, 01_ask"):
        select(notebooks, ["9"])


@pytest.fixture
def taking(tmp_path):
    own = "N = 3\nX = 1.5\nNAME = 'a'\nLEVELS = ['one']\nON = False\nBY = {}\nSHARE = None\n"
    write_notebook(tmp_path, "05_taking", [], parameters=own)
    return find_notebooks(tmp_path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("N=4", 4),
        ("X=2", 2),
        ("NAME=b c", "b c"),
        ("NAME=7", "7"),
        ('LEVELS=["x", "y"]', ["x", "y"]),
        ("ON=true", True),
        ('BY={"a": 1}', {"a": 1}),
        ("SHARE=0.1", 0.1),
    ],
)
def test_values_are_json_or_words(taking, text, value):
    (given,) = parse_parameters([text], taking)["05_taking"].values()
    assert given == value
    assert type(given) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("N", "write NAME=VALUE"),
        ("N=many", "takes int, as JSON such as 3"),
        ("N=true", "takes int"),
        ("SHARE=__import__('os')", "takes a value, as JSON such as 0.1"),
        ("M=1", "-p M: no parameter of 05_taking; there are BY, LEVELS, N, NAME, ON, SHARE, X"),
        ("OUT_DIR=x", "set by the study: use --out"),
        # what papermill would write as code
        ("LEVELS=[b'x\\']; open(\"f\",\"w\"); y=['z']", "takes list, as JSON such as"),
    ],
)
def test_other_values_are_refused(taking, text, message):
    with pytest.raises(MedcalError, match=message):
        parse_parameters([text], taking)


def test_every_figure_has_its_notebook_its_line_and_its_command(tmp_path):
    writes, shows = ["fig02_y", "results/02_b.json", "fig02_x"], {"fig02_x": "The letter x"}
    write_notebook(tmp_path, "02_b", [], writes=writes, shows=shows)
    assert figure_map(find_notebooks(tmp_path)).splitlines()[2:] == [
        "| [fig02_y](figures/fig02_y.png) | [02_b](notebooks/02_b.ipynb) |  | "
        "`make figures NB=02` |",
        "| [fig02_x](figures/fig02_x.png) | [02_b](notebooks/02_b.ipynb) | The letter x | "
        "`make figures NB=02` |",
    ]


@pytest.mark.skipif(not (ROOT / "notebooks").is_dir(), reason="no notebooks/ beside the tests")
def test_the_page_of_figures_is_what_the_command_prints_and_misses_none():
    printed = CliRunner().invoke(app, ["study", "--figures"]).stdout.strip()
    page = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
    assert printed.replace("](", "](../") in page, (
        "docs/figures.md is old: run python -m tests.test_readme"
    )
    for figure in read_manifest(ROOT / "figures"):
        assert f"| [{figure}](" in printed
