"""Notebooks as a graph: what is refused before anything runs, and the order."""

import json

import pytest

from medcal_nb.errors import MedcalError
from medcal_nb.study.graph import (
    assign_parameters,
    find_notebooks,
    in_order,
    parse_parameters,
    read_notebook,
    select,
)
from medcal_nb.study.run import RUNS, run_study
from tests.study.test_run import PARAMETERS, write_notebook


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "notebooks").mkdir()
    return tmp_path / "notebooks"


def names(folder):
    return [n.name for n in in_order(find_notebooks(folder))]


def test_order_follows_what_is_read(folder):
    write_notebook(folder, "00_all", [], reads=["fig02_b", "results/03_c.json"])
    write_notebook(folder, "01_ask", [], writes=["answers"])
    write_notebook(folder, "02_b", [], reads=["answers", "results/03_c.json"], writes=["fig02_b"])
    write_notebook(folder, "03_c", [], reads=["answers"], writes=["results/03_c.json"])
    write_notebook(folder, "07_d", [])
    assert names(folder) == ["01_ask", "03_c", "02_b", "00_all", "07_d"]
    notebooks = in_order(find_notebooks(folder))
    assert select(notebooks, ["2"]) == ({"02_b"}, {"01_ask", "02_b", "03_c"})
    assert select(notebooks, ["02", "07_d.ipynb"])[0] == {"02_b", "07_d"}
    assert select(notebooks, [])[0] == set(names(folder))
    with pytest.raises(MedcalError, match="no notebook '9': choose from 00_all"):
        select(notebooks, ["9"])


def test_circle_is_refused(folder):
    write_notebook(folder, "01_a", [], reads=["fig02_b"], writes=["fig01_a"])
    write_notebook(folder, "02_b", [], reads=["fig01_a"], writes=["fig02_b"])
    with pytest.raises(MedcalError, match="in a circle: 01_a, 02_b"):
        names(folder)


def test_unwritten_input_is_refused_with_a_guess(folder):
    write_notebook(folder, "01_a", [], writes=["fig01_bars"])
    write_notebook(folder, "02_b", [], reads=["fig01_bar"])
    with pytest.raises(MedcalError, match=r"02_b.*'fig01_bar'.*did you mean 'fig01_bars'"):
        names(folder)


def test_a_file_of_the_checkout_may_be_read(folder):
    write_notebook(folder, "01_a", [], reads=["data/card.json"])
    with pytest.raises(MedcalError, match=r"01_a.*data/card\.json, which is not there"):
        run_study(root=folder.parent, plan_only=True)
    (folder.parent / "data").mkdir()
    (folder.parent / "data" / "card.json").write_text("{}")
    planned = run_study(root=folder.parent, plan_only=True)
    assert [step.action for step in planned.steps] == [RUNS]


def test_two_writers_and_two_of_a_number_are_refused(folder):
    write_notebook(folder, "01_a", [], writes=["answers"])
    write_notebook(folder, "02_b", [], writes=["answers"])
    with pytest.raises(MedcalError, match="01_a and 02_b both write 'answers'"):
        names(folder)
    write_notebook(folder, "01_c", [])
    with pytest.raises(MedcalError, match=r"number 01 is taken by 01_a\.ipynb"):
        find_notebooks(folder)


def test_empty_folder_is_refused(folder):
    with pytest.raises(MedcalError, match="no notebooks named NN_topic"):
        find_notebooks(folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tags": []}, "no cells tagged 'parameters'"),
        ({"parameters": PARAMETERS + "N = 2 * 3\n"}, r"'N = 2 \* 3' is not a literal"),
        ({"parameters": PARAMETERS + "n = 2\n"}, "'n = 2': only NAME = literal"),
        ({"parameters": PARAMETERS + "import os\n"}, "'import os': only NAME = literal"),
        ({"parameters": PARAMETERS + "N = = 2\n"}, "cell 2 'parameters': not valid Python"),
        ({"parameters": 'PROFILE = "pocket"\nFAST = False\n'}, "'parameters' lacks OUT_DIR"),
        (
            {"reads": ["answers"], "parameters": PARAMETERS.replace('ANSWERS = ""\n', "")},
            "lacks ANSWERS",
        ),
        ({"writes": ["fig02_x"]}, r"writes: 'fig02_x' is none of 'answers', 'fig01_what'"),
        ({"writes": ["results/02_b.json"]}, r"'results/01_a\.json'"),
        ({"writes": ["../fig01_x"]}, r"'\.\./fig01_x' is none of"),
    ],
)
def test_conventions_are_checked(folder, options, message):
    write_notebook(folder, "01_a", [], **options)
    with pytest.raises(MedcalError, match=message):
        read_notebook(folder / "01_a.ipynb")


def test_doubled_parameters_cell_is_refused(folder):
    write_notebook(folder, "01_a", ["N = 1"])
    path = folder / "01_a.ipynb"
    content = json.loads(path.read_text())
    content["cells"][2]["metadata"]["tags"] = ["parameters"]
    path.write_text(json.dumps(content))
    with pytest.raises(MedcalError, match=r"2 cells tagged 'parameters' \(cells 2, 3\)"):
        read_notebook(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content["metadata"].clear(), r"metadata\.medcal is missing"),
        (lambda content: content.pop("cells"), "not a readable notebook"),
        (
            lambda content: content["metadata"]["medcal"].update(reads="answers"),
            r"medcal\.reads: give a list of names, not 'answers'",
        ),
        (
            lambda content: content["metadata"]["medcal"].update(optional=["answers"]),
            r"medcal\.optional: give a list of names that are in its reads, not \['answers'\]",
        ),
        (
            lambda content: content["cells"][1].update(cell_type="markdown"),
            "cell 2 tagged 'parameters' is not a code cell",
        ),
        (
            lambda content: content["cells"].append(
                {"cell_type": "code", "source": "1 +", "metadata": {}}
            ),
            "not valid Python",
        ),
    ],
)
def test_damage_is_named(folder, damage, message):
    write_notebook(folder, "01_a", [])
    path = folder / "01_a.ipynb"
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))
    with pytest.raises(MedcalError, match=message) as caught:
        read_notebook(path)
    assert str(path) in str(caught.value)


def test_truncated_notebook_is_named(folder):
    write_notebook(folder, "01_a", [])
    path = folder / "01_a.ipynb"
    path.write_text(path.read_text()[:100])
    with pytest.raises(MedcalError, match=r"01_a\.ipynb: not a readable notebook"):
        read_notebook(path)


def test_what_a_figure_shows_is_read_and_no_part_of_the_hash(folder):
    write_notebook(folder, "02_b", [], writes=["fig02_b"])
    path = folder / "02_b.ipynb"
    before = read_notebook(path)
    assert before.shows == {}
    content = json.loads(path.read_text())
    content["metadata"]["medcal"]["shows"] = {"fig02_b": "The letter b"}
    path.write_text(json.dumps(content))
    after = read_notebook(path)
    assert after.shows == {"fig02_b": "The letter b"}
    assert after.source_hash == before.source_hash


@pytest.mark.parametrize("shows", [{"fig02_c": "Another"}, {"fig02_b": " "}, {"fig02_b": 1}])
def test_a_line_about_no_figure_and_an_empty_one_are_refused(folder, shows):
    write_notebook(folder, "02_b", [], writes=["fig02_b"])
    path = folder / "02_b.ipynb"
    content = json.loads(path.read_text())
    content["metadata"]["medcal"]["shows"] = shows
    path.write_text(json.dumps(content))
    with pytest.raises(MedcalError, match=r"02_b.ipynb: metadata.medcal.shows"):
        read_notebook(path)


def test_outputs_and_counts_are_no_part_of_the_hash(folder):
    write_notebook(folder, "01_a", ["1"])
    path = folder / "01_a.ipynb"
    before = read_notebook(path).source_hash
    content = json.loads(path.read_text())
    content["cells"][2]["execution_count"] = 7
    content["cells"][2]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "1"}]
    content["cells"][2]["source"] = ["1"]
    path.write_text(json.dumps(content, indent=1))
    assert read_notebook(path).source_hash == before
    content["cells"][2]["source"] = ["2"]
    path.write_text(json.dumps(content, indent=1))
    assert read_notebook(path).source_hash != before


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("N=200", 200),
        ("N=0.5", 0.5),
        ("N=abc", "abc"),
        ("N='a=b'", "a=b"),
        ("N=[1, 2]", [1, 2]),
        ("N=a=b", "a=b"),
        ("N=True", True),
        ("N=", ""),
    ],
)
def test_parse_parameters(text, value):
    assert parse_parameters([text]) == {"N": value}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("N", "write NAME=VALUE"),
        ("=3", "write NAME=VALUE"),
        ("PROFILE=hub", "use --profile"),
        ("FAST=True", "use --fast"),
        ("OUT_DIR=/x", "use --out"),
    ],
)
def test_parse_parameters_refuses(text, message):
    with pytest.raises(MedcalError, match=message):
        parse_parameters([text])


def test_assign_parameters(folder):
    write_notebook(folder, "01_a", [], parameters=PARAMETERS + "N_BOOT = 100\nRATE = 0.5\n")
    write_notebook(folder, "02_b", [], parameters=PARAMETERS + "N_BOOT = 50\nNAMES = ['a']\n")
    notebooks = find_notebooks(folder)
    assert assign_parameters(notebooks, {"N_BOOT": 7, "RATE": 1}) == {
        "01_a": {"N_BOOT": 7, "RATE": 1},
        "02_b": {"N_BOOT": 7},
    }
    for values, message in [
        ({"N_BOOTS": 7}, "no parameter of 01_a, 02_b: did you mean N_BOOT?"),
        ({"XYZ": 7}, "there are NAMES, N_BOOT, RATE"),
        ({"N_BOOT": "many"}, "01_a takes int, such as 100"),
        ({"N_BOOT": 0.5}, "01_a takes int"),
        ({"N_BOOT": True}, "01_a takes int"),
        ({"NAMES": "a"}, "02_b takes list"),
    ]:
        with pytest.raises(MedcalError, match=message.replace("?", r"\?")):
            assign_parameters(notebooks, values)
