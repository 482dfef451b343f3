"""The notebooks' form, without a kernel: what readers and the runner rely on."""

import ast
import contextlib
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medcal_nb import measure
from medcal_nb.correct import fit
from medcal_nb.measure.tables import all_metrics
from medcal_nb.study.notebooks import find_notebooks
from medcal_nb.study.overview import QUESTIONS

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
#: Lines of a code cell, blank ones counted: one idea. Of a text: what a reader takes in at once.
MOST_LINES = 10
MOST_LINES_OF_TEXT = 20

pytestmark = pytest.mark.skipif(not PATHS, reason="no notebooks/ beside the tests")


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def cells(path):
    return [
        (
            cell["cell_type"],
            cell["metadata"].get("tags", []),
            "".join(cell["source"]),
            cell,
        )
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
    ]


def code_of(cells):
    return [source for kind, _, source, _ in cells if kind == "code"]


def test_the_overview_rests_on_all_others_but_the_lesson():
    notebooks = find_notebooks(FOLDER)
    writers = {
        made: name for name, notebook in notebooks.items() for made in notebook.writes
    }
    reads = [read.rpartition(":")[-1] for read in notebooks["00_overview"].reads]
    needed = {writers[read] for read in reads}
    # the lesson and the report are about something else
    others = {"00_overview", "07_teaching", "08_report"}
    assert needed == notebooks.keys() - others


def test_what_a_notebook_reads_another_one_writes_or_the_checkout_holds():
    notebooks = find_notebooks(FOLDER).values()
    written = {made for notebook in notebooks for made in notebook.writes}
    for notebook in notebooks:
        reads = {read.rpartition(":")[-1] for read in notebook.reads}
        for read in reads - written:
            assert (FOLDER.parent / read).is_file(), (notebook.name, read)
        own = rf"answers|fig{notebook.name[:2]}_\w+|results/{notebook.name}\.json"
        assert all(re.fullmatch(own, made) for made in notebook.writes), notebook.name


def test_names_carry_a_number(path):
    assert re.fullmatch(r"\d\d_[a-z0-9_]+", path.stem)


def test_sources_are_stripped(cells):
    for _, _, source, cell in cells:
        assert not cell.get("outputs"), f"outputs are committed:\n{source}"
        assert cell.get("execution_count") is None, (
            f"an execution count is committed:\n{source}"
        )


def test_header_tells_question_answer_reads_writes_runtime(path, cells):
    kind, _, header, _ = cells[0]
    assert kind == "markdown"
    assert header.startswith(f"# {path.stem[:2]}")
    for field in ("Question", "Reads", "Writes", "Runtime"):
        assert f"**{field}" in header, field
    # the answer stands at the top when the notebook has run
    code = "\n".join(code_of(cells))
    assert "ctx.findings()" in code or "ctx.answer()" in code


def test_what_stands_before_the_answer_is_folded(cells):
    for kind, _, source, cell in cells:
        if kind == "code":
            assert cell["metadata"].get("jupyter", {}).get("source_hidden"), source
            if "ctx.findings()" in source or "ctx.answer()" in source:
                return
    raise AssertionError("no cell shows the findings")


def test_last_code_cell_is_the_results(cells):
    kind, tags, source, _ = cells[-1]
    assert kind == "code"
    assert "results" in tags
    assert re.search(r"\bctx\.results\(|\bsave_results\(", source)
    assert sum("results" in tags for _, tags, _, _ in cells) == 1


def test_no_level_is_typed_where_a_parameter_sets_it(cells):
    if "\nLEVEL = " not in "\n".join(code_of(cells)):
        pytest.skip("no LEVEL among the parameters")
    prose = "\n".join(source for kind, _, source, _ in cells if kind == "markdown")
    assert not re.findall(r"\d+ ?% (?:interval|band)|holds \d+ ?%", prose)


def test_limits_are_told(cells):
    prose = "\n".join(source for kind, _, source, _ in cells if kind == "markdown")
    assert "## What this does not show" in prose


def test_declared_figures_are_those_that_are_saved(path, cells):
    declared = {
        name
        for name in json.loads(path.read_text())["metadata"]["medcal"]["writes"]
        if name.startswith("fig")
    }
    saved = set()
    for source in code_of(cells):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                saved.update(
                    re.findall(rf"^fig{path.stem[:2]}_[a-z0-9_]+$", node.value)
                )
    assert saved == declared


def test_every_figure_says_what_it_shows_in_a_line(path):
    declared = json.loads(path.read_text())["metadata"]["medcal"]
    shows = declared.get("shows", {})
    assert sorted(shows) == sorted(
        name for name in declared["writes"] if name.startswith("fig")
    )
    for name, line in shows.items():
        assert 20 < len(line) < 100, name
        assert line[0].isupper(), name
        assert not line.endswith("."), name
        assert "|" not in line, name


def test_the_overview_gathers_the_findings_of_all_that_ask_a_question():
    notebooks = find_notebooks(FOLDER)
    asking = [name for name in notebooks if "01" <= name[:2] <= "06"]
    assert sorted(QUESTIONS) == asking
    for name in asking:
        assert f"results/{name}.json" in notebooks["00_overview"].reads


def test_notebooks_define_nothing_and_draw_nothing_themselves(cells):
    for source in code_of(cells):
        for node in ast.walk(ast.parse(source)):
            assert not isinstance(
                node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef
            ), f"belongs into the package: {ast.unparse(node)[:80]}"
        assert "rcParams" not in source
        assert "plt.show" not in source
        assert "savefig" not in source


def test_no_path_literal_and_no_magic(cells):
    for source in code_of(cells):
        assert not re.search(r"^\s*[%!]", source, re.M), f"a magic:\n{source}"
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                literal = node.value
                assert not re.match(r"^(\.{0,2}/|~/|[A-Z]:\\)\S+$", literal), literal


def test_cells_are_short(cells):
    for kind, tags, source, _ in cells[1:]:
        if "parameters" in tags:  # a list of settings, one a line
            continue
        most = MOST_LINES if kind == "code" else MOST_LINES_OF_TEXT
        assert len(source.splitlines()) <= most, source


def test_no_cell_changes_what_another_made(cells):
    for source in code_of(cells):
        nodes = list(ast.walk(ast.parse(source)))
        made = {
            node.id
            for node in nodes
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        for node in nodes:
            if isinstance(node, ast.Subscript | ast.Attribute) and not isinstance(
                node.ctx, ast.Load
            ):
                assert ast.unparse(node.value).split("[")[0].split(".")[0] in made, (
                    f"made by another cell: {ast.unparse(node)}"
                )
            if isinstance(node, ast.AugAssign):
                assert ast.unparse(node.target) in made, source


def test_every_code_cell_is_introduced_in_prose(cells):
    kinds = [kind for kind, _, _, _ in cells]
    # imports, parameters, context and answers may follow each other at the top; then get,
    # compute, draw, say
    for i in range(6, len(kinds)):
        assert kinds[i - 4 : i + 1] != ["code"] * 5, (
            f"five code cells in a row, up to cell {i + 1}"
        )


def test_seed_is_a_parameter_where_chance_enters(cells):
    code = "\n".join(code_of(cells))
    if "default_rng" in code:
        assert "default_rng(SEED)" in code
    assert "np.random.seed" not in code


# --- what a monotone map cannot change ---------------------------------------------------------


def unchanged_by_a_monotone_map():
    """Metrics that are the same before and after Platt scaling of positive slope."""
    rng = np.random.default_rng(0)
    c = rng.random(400).round(2)
    y = (rng.random(400) < 0.9 * c**0.5).astype(float)
    mapped = fit(c, y, method="platt")(c)
    rows = pd.DataFrame(
        {
            "confidence": np.append(c, mapped),
            "correct": np.append(y, y),
            "stage": np.repeat(["before", "after"], c.size),
        }
    )
    table = measure.metrics_table(
        rows, by="stage", metrics="all", intervals=[], groups=None, rng=rng
    ).set_index("stage")
    names = [name for name in all_metrics() if name in table]
    same = [name for name in names if np.isclose(*table[name], atol=1e-9)]
    return set(same)


def named_in(code, parameters):
    """Metrics of each call that tabulates stages of recalibration."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == (
            "metrics_table"
        ):
            options = {k.arg: k.value for k in node.keywords if k.arg}
            if "stage" in ast.unparse(options.get("by", ast.Constant(""))):
                metrics = options["metrics"]
                if isinstance(metrics, ast.Name):
                    yield parameters[metrics.id]
                else:
                    yield ast.literal_eval(metrics)


def test_no_table_of_recalibration_shows_what_a_monotone_map_cannot_change():
    """Coverage at a risk "left where it was" by Platt scaling is a tautology, no finding."""
    same = unchanged_by_a_monotone_map()
    assert {"auroc", "aurc", "yield_at_10", "yield_at_20"} <= same
    assert not same & {"brier", "ece", "gap", "slope"}
    n_tables = 0
    for path in PATHS:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = "\n".join(
            "".join(c["source"]) for c in cells if c["cell_type"] == "code"
        )
        constants = {}
        for node in ast.parse(code).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                with contextlib.suppress(ValueError):
                    constants[node.targets[0].id] = ast.literal_eval(node.value)
        for metrics in named_in(code, constants):
            n_tables += 1
            assert not same & set(metrics), f"{path.stem}: {same & set(metrics)}"
    assert n_tables >= 2
