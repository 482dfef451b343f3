"""The figure map: from the notebooks' own words, the same in docs and in the terminal."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from medcal_nb.cli import app
from medcal_nb.show.figures import read_manifest
from medcal_nb.study.figure_map import figure_map, format_figure_map
from tests.study.test_run import write_notebook

ROOT = Path(__file__).resolve().parents[2]
whole = pytest.mark.skipif(
    not (ROOT / "notebooks").is_dir(), reason="no notebooks/ beside the tests"
)


def test_every_figure_has_its_notebook_its_line_and_its_command(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDCAL_ROOT", str(tmp_path))
    (folder := tmp_path / "notebooks").mkdir()
    write_notebook(folder, "02_b", [], writes=["fig02_y", "results/02_b.json", "fig02_x"])
    write_notebook(folder, "03_c", [], reads=["fig02_y"])
    path = folder / "02_b.ipynb"
    words = '"shows": {"fig02_x": "The letter x"}, "writes"'
    path.write_text(path.read_text().replace('"writes"', words))
    table = figure_map()
    assert table.to_numpy().tolist() == [
        ["fig02_y", "02_b", "", "make figures NB=02"],
        ["fig02_x", "02_b", "The letter x", "make figures NB=02"],
    ]
    last = format_figure_map(table).splitlines()[-1]
    assert last == "| fig02_x | 02_b | The letter x | `make figures NB=02` |"
    linked = format_figure_map(table, links=True).splitlines()[-1]
    assert linked.startswith(
        "| [fig02_x](figures/fig02_x.png) | [02_b](notebooks/02_b.ipynb) | The letter x |"
    )


@whole
def test_the_page_shows_what_the_command_prints():
    printed = CliRunner().invoke(app, ["study", "--figures"]).stdout.strip()
    assert printed == format_figure_map(figure_map(), links=True)
    there = printed.replace("](", "](../")
    assert there in (ROOT / "docs" / "figures.md").read_text(encoding="utf-8"), (
        "docs/figures.md is old: run python -m tests.test_readme"
    )


@whole
def test_every_published_figure_is_in_the_map():
    assert set(read_manifest(ROOT / "figures")) <= set(figure_map()["figure"])
