"""What notebooks declare, which are wanted, what they use, parameters of the command line."""

import pytest

from medcal_nb.errors import MedcalError
from medcal_nb.study import notebooks as room
from medcal_nb.study.notebooks import find_notebooks, parse_parameters, select, sources_used
from tests.study.toy import edit, write_notebook


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
    assert select(notebooks, ["03", "x/03_alone.ipynb"]) == ({"03_alone"}, {"03_alone"})
    assert len(select(notebooks, ["00"])[1]) == len(select(notebooks, [])[0]) == 4
    with pytest.raises(MedcalError, match="no notebook '9': choose from 00_overview, 01_ask"):
        select(notebooks, ["9"])


@pytest.fixture
def taking(tmp_path):
    own = "N = 3\nX = 1.5\nNAME = 'a'\nLEVELS = ['one']\nON = False\nBY = {}\nSHARE = None\n"
    write_notebook(tmp_path, "05_taking", [], parameters=own)
    return find_notebooks(tmp_path)


def test_values_are_json_or_words(taking):
    values = {
        "N=4": 4, "X=2": 2, "NAME=b c": "b c", "NAME=7": "7", 'LEVELS=["x", "y"]': ["x", "y"],
        "ON=true": True, 'BY={"a": 1}': {"a": 1}, "SHARE=0.1": 0.1,
    }  # fmt: skip
    for text, value in values.items():
        (given,) = parse_parameters([text], taking)["05_taking"].values()
        assert (given, type(given)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("N", "-p N: write NAME=VALUE"),
        ("N=many", "-p N=many: write VALUE as JSON, such as 3"),
        ("N=true", "such as 3"),
        ("SHARE=__import__('os')", "write VALUE as JSON"),
        ("M=1", "parameters of 05_taking are BY, LEVELS, N, NAME, ON, SHARE, X$"),
        ("OUT_DIR=x", "parameters of 05_taking are BY, LEVELS"),  # the study's own options
        # what papermill would write as code
        ("LEVELS=[b'x\\']; open(\"f\",\"w\"); y=['z']", "write VALUE as JSON"),
    ],
)
def test_other_values_are_refused(taking, text, message):
    with pytest.raises(MedcalError, match=message):
        parse_parameters([text], taking)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package of the name in a folder of its own."""
    files = dict.fromkeys(("__init__.py", "errors.py", "a/late.py", "other.py"), "")
    files["a/__init__.py"] = "from . import one\n"
    files["a/one.py"] = "def f():\n    from ..errors import MedcalError\n"
    for name, text in files.items():
        (tmp_path / "medcal_nb" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "medcal_nb" / name).write_text(text)
    monkeypatch.setattr(room, "_PACKAGE", tmp_path / "medcal_nb")
    return tmp_path / "medcal_nb"


def test_one_hash_of_the_sources_that_a_text_uses(package):
    late = ["a/__init__.py", "a/one.py", "a/late.py", "errors.py"]
    for source, uses in {
        "import medcal_nb.errors": ["errors.py"],
        "from medcal_nb import errors": ["errors.py"],
        "def f():\n    from medcal_nb.errors import MedcalError": ["errors.py"],
        "import medcal_nb.a": ["a/__init__.py", "a/one.py", "errors.py"],  # relative imports
        "load('medcal_nb.a.late')": late,  # how registries name what they load late
        "'medcal_nb is a package'\nimport numpy, medcal_nbx": [],
    }.items():
        before = sources_used(source)
        for file in package.rglob("*.py"):
            text, name = file.read_text(), file.relative_to(package).as_posix()
            file.write_text(text + "\n# changed\n")
            used = name in uses or (name == "__init__.py" and bool(uses))
            assert (sources_used(source) != before) == used, (source, name)
            file.write_text(text)


def test_the_runner_makes_no_notebook_stale():
    code = "from medcal_nb.study import context, notebook_context"
    with_runner = sources_used(code + "\nimport medcal_nb.study.run")
    assert sources_used(code) not in (with_runner, sources_used("import medcal_nb.show"))
