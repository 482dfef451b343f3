"""What notebooks declare, which are wanted, what they use, parameters of the command line."""

import pytest

from medcal_nb.errors import MedcalError
from medcal_nb.study import run
from medcal_nb.study.notebooks import find_notebooks, parse_parameters
from medcal_nb.study.run import package_hashes
from tests.study.toy import edit, write_notebook


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"tags": ["parameters"]', '"tags": []'),
        ("SCALE = 1.0", "SCALE = 1.0 + N"),
        ('"medcal"', '"medical"'),
        ('"nbformat": 4', ""),
    ],
)
def test_what_breaks_the_conventions_is_named(toy, old, new):
    edit(toy / "notebooks" / "02_numbers.ipynb", old, new)
    with pytest.raises(
        MedcalError, match=r"02_numbers\.ipynb: no notebook .* CONTRIBUTING\.md"
    ):
        find_notebooks(toy / "notebooks")


def test_wanted_notebooks_are_named_by_number_or_name(toy):
    def chosen(*only):
        return run.Study("pocket", only=only).chosen

    assert chosen("2", "x/03_alone.ipynb") == ["02_numbers", "03_alone"]
    assert chosen("2", "02_numbers") == ["02_numbers"]
    assert chosen() == ["00_overview", "01_ask", "02_numbers", "03_alone"]
    with pytest.raises(MedcalError, match="has not all of these"):
        chosen("9", "2")


@pytest.fixture
def taking(tmp_path):
    own = "N = 3\nX = 1.5\nNAME = 'a'\nLEVELS = ['one']\nON = False\nBY = {}\nSHARE = None\n"
    write_notebook(tmp_path, "05_taking", [], parameters=own)
    return find_notebooks(tmp_path).values()


def test_values_are_json_or_words(taking):
    values = {
        "N=4": 4, "X=2": 2, "NAME=b c": "b c", "NAME=7": "7", 'NAME="a b"': "a b",
        'LEVELS=["x", "y"]': ["x", "y"], "ON=true": True, 'BY={"a": 1}': {"a": 1}, "SHARE=0.1": 0.1,
    }  # fmt: skip
    for text, value in values.items():
        (given,) = parse_parameters([text], taking).values()
        assert (given, type(given)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("N", "-p N: write NAME=VALUE"),
        (
            "N=many",
            "-p N=many: the notebook has 3 there: write a whole number, VALUE as J",
        ),
        ("SHARE=__import__('os')", "VALUE as JSON"),
        # of another kind
        ("N=true", "write a whole number"),
        ("N=1.5", "write a whole number"),
        ('X="1"', "write a number"),
        ("X=[1]", "write a number"),
        ('LEVELS="x"', "write a list"),
        ("LEVELS=", "write a list"),
        ("ON=1", "write true or false"),
        ("BY=null", "write an object"),
        ("M=1", "parameters of these notebooks are BY, LEVELS, N, NAME, ON, SHARE, X$"),
        (
            "OUT_DIR=x",
            "parameters of these notebooks are BY, LEVELS",
        ),  # the study's own options
        # what papermill would write as code
        ("LEVELS=[b'x\\']; open(\"f\",\"w\"); y=['z']", "VALUE as JSON"),
    ],
)
def test_other_values_are_refused(taking, text, message):
    with pytest.raises(MedcalError, match=message):
        parse_parameters([text], taking)


def test_the_package_is_known_by_its_files_but_for_what_runs_notebooks(
    tmp_path, monkeypatch
):
    counted = ["study/profile.py", "ask/words.toml", "study/context.py"]
    apart = ["cli/a.py", "study/profiles/a.toml", "study/run.py"]
    for name in (*counted, *apart):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
        assert (run._PACKAGE / name).exists() or name.endswith(("a.py", "a.toml"))
    monkeypatch.setattr(run, "_PACKAGE", tmp_path)
    for name in (*counted, *apart):
        before = package_hashes()
        (tmp_path / name).write_text("changed")
        assert (package_hashes() != before) == (name in counted), name
