"""What a notebook of the study says while it runs."""

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output


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
