"""Sections that answers lack the rows for, and parameters that no notebook has, by papermill."""

import json

import nbformat
import papermill
import pytest

from medcal_nb.run import ROOT

CELLS = (
    "from medcal_nb.notebook import Output",
    "OUT = ''",
    "import pandas as pd\nout = Output('99_small', OUT)",
    "rows = pd.DataFrame({'n': [1]})\nout.section('Has', {'rows': rows})",
    "out.finding('One in 2.')",
    "needs = {'rows': rows, 'second row': rows[1:], 'third row': False}\n"
    "out.section('Lacks', needs, example={'SOURCE': \"n != 'a'\"})",
    "import math\n\nrows.no_such_column",
    "out.finding('Two in 2.')",
    "out.section('Goes on')",
    "out.finding('Three in 2.')\nout.finding('It was –% or nan.', rows)",
    "out.close()",
)

pytestmark = [pytest.mark.notebooks, pytest.mark.slow]


def run(folder, **parameters):
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    notebook.cells[1].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, folder / "99_small.ipynb")
    places = (folder / "99_small.ipynb", folder / "out.ipynb")
    how = {"cwd": ROOT / "notebooks", "progress_bar": False}
    how |= {"kernel_name": "python3", "language": "python"}
    papermill.execute_notebook(*places, parameters | {"OUT": str(folder)}, **how)
    return nbformat.read(places[1], as_version=4)


def test_a_section_without_its_rows_is_left_out_and_the_notebook_goes_on(tmp_path):
    executed = run(tmp_path)
    results = json.loads((tmp_path / "results" / "99_small.json").read_text("utf-8"))
    assert results["findings"] == ["One in 2.", "Three in 2."]
    assert results["left_out"] == {
        "Lacks": "second row",
        "It was –% or –.": "number",
    }
    assert [*results["tables"]] == ["finding_3"]
    outputs = [cell.outputs for cell in executed.cells]
    assert "Left out: no second row." in outputs[6][0]["data"]["text/html"]
    # at the top, once, with what to do about it
    top = outputs[3][0]["data"]["text/html"]
    assert "One in 2." in top
    assert top.count("Left out, 1 section: no second row. With two parts") == 1
    line = "<pre>medcal study 99 -p SOURCE=&quot;n != &#x27;a&#x27;&quot;"
    assert line in top
    # its code stays, and says that it did nothing
    assert executed.cells[7].source == CELLS[6]
    assert outputs[7][0]["data"]["text/plain"] == "'left out: no second row'"


def test_a_parameter_that_no_notebook_has_is_refused(tmp_path):
    with pytest.raises(papermill.PapermillExecutionError, match="no parameter 'SEDE'"):
        run(tmp_path, SEDE=1, SEED=1)
