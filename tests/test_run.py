"""The runner on toy notebooks: real papermill, real kernels, a checkout of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medcal_nb import run
from medcal_nb.errors import MedcalError
from medcal_nb.run import compare_results, run_study, steps_of, verify_study

pytestmark = pytest.mark.notebooks

NUMBERS = """\
import warnings
import pandas as pd
from matplotlib import pyplot as plt
from medcal_nb import plots
from medcal_nb.notebook import Output
plots.use_style()
out = Output("02_numbers", OUT, scale=SCALE)
warnings.warn("images are shared")
"""
DRAW = """\
table = pd.DataFrame({"model": ["<b>m</b> $x$", "n"], "mean": [SCALE / 3, 2.5]})
fig, ax = plt.subplots()
ax.plot(table["mean"])
out.save(fig, "fig02_line", table, "Mean of *m*; n = 2")
out.finding(f"The mean was {SCALE / 3:.3f}.")
out.table("means", table)
"""
ALONE = """\
from pathlib import Path
from medcal_nb.notebook import Output
out = Output("03_alone", OUT)
answers = Path(ANSWERS).read_text() if ANSWERS else "none"
if "few" in answers: raise ValueError("too few answers")
out.finding(f"Answers: {answers}.")
"""
OVERVIEW = """\
import json
from pathlib import Path
from medcal_nb.notebook import Output
out = Output("00_overview", OUT)
published = json.loads((Path(RESULTS) / "02_numbers.json").read_text())
out.finding(f"In 02: {published['findings'][0]}")
out.close()
"""
SLOW = "import time; Path(OUT, '../../../started').touch(); time.sleep(600)"


def write_notebook(root, name, parameters, *cells):
    """Write a notebook of a title, a parameters cell and code cells."""
    content = [("markdown", [], f"# {name}"), ("code", ["parameters"], parameters)]
    content += [("code", [], source) for source in cells]
    more = {"outputs": [], "execution_count": None}
    cells = [
        {"cell_type": kind, "id": f"c{i}", "metadata": {"tags": tags}, "source": source}
        | (more if kind == "code" else {})
        for i, (kind, tags, source) in enumerate(content)
    ]
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}
    (root / "notebooks" / f"{name}.ipynb").write_text(json.dumps(notebook))


def write_checkout(root: Path) -> None:
    """Write three toy notebooks, data and parameters: 02 → 00, and 03 by itself."""
    for folder in ("notebooks/params", "data/recorded"):
        (root / folder).mkdir(parents=True)
    (root / "data" / "recorded" / "manifest.json").write_text("{}")
    (root / "notebooks" / "params" / "double.yaml").write_text("SCALE: 2\n")
    own = 'SCALE = 1.0  # factor\nOUT = ""\n'
    write_notebook(root, "02_numbers", own, NUMBERS, DRAW, "out.close()")
    own = 'ANSWERS = ""  # file\nN = 3\nOUT = ""\n'
    write_notebook(root, "03_alone", own, ALONE, "out.close()")
    own = 'RESULTS = "../figures/results"\nOUT = ""\n'
    write_notebook(root, "00_overview", own, OVERVIEW)


def edit(path: Path, old: str, new: str) -> None:
    """Replace a piece of a text file."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of all files below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def finding(folder: Path, name: str) -> str:
    return json.loads((folder / "results" / f"{name}.json").read_text())["findings"][0]


def study(root, *chosen, force=False, plan_only=False, **options):
    steps = steps_of(chosen, root=root, **options)
    return run_study(steps, force=force, plan_only=plan_only)


def plan(root, *chosen, **options) -> dict[str, str]:
    return study(root, *chosen, plan_only=True, **options)


@pytest.fixture(scope="module")
def ran_once(tmp_path_factory):
    """A checkout whose study ran, to be copied and changed."""
    root = tmp_path_factory.mktemp("ran")
    write_checkout(root)
    planned = plan(root)
    assert set(planned.values()) == {"runs: no earlier run"}
    assert not (root / "figures").exists()
    assert all(what.startswith("ran in") for what in study(root).values())
    return root


@pytest.fixture
def ran(ran_once, tmp_path):
    """A copy of it."""
    return shutil.copytree(ran_once, tmp_path / "copy")


def test_a_study_publishes_figures_results_and_a_page(ran, ran_once):
    figures = ran / "figures"
    assert contents(figures).keys() == {
        *(f"fig02_line.{kind}" for kind in ("png", "svg", "csv")),
        *(f"{name}.md" for name in ("00_overview", "02_numbers", "03_alone")),
        *(f"results/{name}.json" for name in ("00_overview", "02_numbers", "03_alone")),
    }
    assert finding(figures, "00_overview") == "In 02: The mean was 0.333."
    page = (figures / "02_numbers.md").read_text()
    assert page.startswith("Executed [02_numbers](../notebooks/02_numbers.ipynb)")
    assert r"![Mean of \*m\*\; n \= 2](fig02_line.png)" in page
    assert "&lt;b&gt;m&lt;/b&gt; &#36;x&#36;" in page
    assert "Note: images are shared" in page
    assert "plt.subplots" not in page
    executed = (ran / "build" / "study" / "02_numbers.ipynb").read_bytes()
    for content in [executed, *contents(figures).values()]:
        assert str(ran_once).encode() not in content


def test_where_nothing_changed_nothing_runs_and_a_forced_run_changes_no_file(ran):
    assert set(plan(ran).values()) == {"unchanged"}
    before = contents(ran / "figures")
    edit(ran / "notebooks" / "02_numbers.ipynb", '"outputs": []', '"outputs":  []')
    assert set(study(ran).values()) == {"unchanged"}
    # as another processor rounds
    for name, old, new in (
        ("results/02_numbers.json", "0.33333333333", "0.33333333334"),
        ("fig02_line.csv", "0.333333", "0.333334"),
    ):
        edit(ran / "figures" / name, old, new)
    results = ran / "figures" / "results" / "02_numbers.json"
    digest = run.study._file_hash(ran / "figures" / "fig02_line.csv")
    listed = json.loads(results.read_text())["files"]["fig02_line.csv"]
    edit(results, listed, digest)
    elsewhere = contents(ran / "figures")
    assert elsewhere != before
    assert study(ran, "2", force=True)["02_numbers"].startswith("ran in")
    assert contents(ran / "figures") == elsewhere
    assert plan(ran, "2") == {"02_numbers": "unchanged"}


@pytest.mark.parametrize(
    ("path", "old", "new", "reason"),
    [
        ("notebooks/02_numbers.ipynb", "of *m*", "of _m_", "notebook"),
        ("data/recorded/manifest.json", "{}", '{"a": 1}', "recorded/manifest.json"),
        ("figures/fig02_line.csv", "2.5", "2.6", "published files"),
    ],
)
def test_what_changed_is_named(ran, path, old, new, reason):
    edit(ran / path, old, new)
    planned = plan(ran)
    assert planned["02_numbers"] == f"runs: changed: {reason}"
    assert planned["00_overview"] != "unchanged"
    assert (planned["03_alone"] == "unchanged") == ("manifest" not in path)


def test_a_changed_caption_or_an_altered_file_is_published_again(ran):
    before = contents(ran / "figures")
    (ran / "figures" / "fig02_line.png").write_bytes(b"retouched")
    study(ran)
    assert contents(ran / "figures") == before
    edit(ran / "notebooks" / "02_numbers.ipynb", "fig02_line", "fig02_curve")
    assert study(ran).keys() == {"00_overview", "02_numbers", "03_alone"}
    after = contents(ran / "figures")
    stems = {name.partition(".")[0] for name in after.keys() ^ before.keys()}
    assert stems == {"fig02_line", "fig02_curve"}
    assert set(plan(ran).values()) == {"unchanged"}


def test_the_package_is_part_of_what_results_are_made_from(ran, monkeypatch):
    monkeypatch.setattr(run.study, "_code_hash", lambda names=(): "other")
    changed = "runs: changed: package or a library"
    assert set(plan(ran).values()) == {changed}


def test_other_parameters_go_to_build_and_unknown_ones_are_named(ran, monkeypatch):
    before = contents(ran / "figures")
    done = study(ran, assignments=["SCALE=6"], profile="double")
    assert done.keys() == {"02_numbers"}  # the only one with such a parameter
    assert finding(ran / "build" / "trial", "02_numbers") == "The mean was 2.000."
    assert plan(ran, assignments=["SCALE=6"]) == {"02_numbers": "unchanged"}
    assert study(ran, profile="double").keys() == {"02_numbers"}
    assert finding(ran / "build" / "double", "02_numbers") == "The mean was 0.667."
    assert contents(ran / "figures") == before
    for options, said in (
        ({"assignments": ["SCALLE=6"]}, "'SCALLE'; did you mean 'SCALE'.*ANSWERS"),
        ({"assignments": ["SCALE=six"]}, "of another kind than 1.0"),
        ({"assignments": ["N=true"]}, "of another kind than 3"),
        ({"profile": "dubble"}, "no profile 'dubble'; did you mean 'double'"),
        ({"chosen": ["02_number"]}, "did you mean '02_numbers'"),
        ({"to": ran / "figures"}, "is the study's own"),
    ):
        with pytest.raises(MedcalError, match=said):
            steps_of(root=ran, **options)


def test_parameters_that_come_with_the_study_name_what_notebooks_have():
    profiles = sorted((run.ROOT / "notebooks" / "params").glob("*.yaml"))
    assert len(profiles) == 4
    for profile in profiles:
        assert all(step.given for step in steps_of(profile=profile.stem))


def test_answers_are_seen_by_content_and_too_few_leave_nothing(ran, tmp_path):
    answers = tmp_path / "answers.csv"
    answers.write_text("some")
    mine = {"assignments": [f"ANSWERS={answers}"]}
    assert study(ran, **mine).keys() == {"03_alone"}
    stamp = answers.stat().st_mtime_ns
    answers.write_text("few!")
    os.utime(answers, ns=(stamp, stamp))
    reason = f"runs: changed: {tmp_path.name}/answers.csv"
    assert plan(ran, **mine) == {"03_alone": reason}
    assert study(ran, **mine)["03_alone"].startswith("failed: cell In [3]")
    assert not list((ran / "build" / "trial").rglob("03_alone.[mj]*"))


def test_a_failure_names_cell_line_and_copy_and_publishes_nothing(ran):
    before = contents(ran / "figures")
    notebook = ran / "notebooks" / "02_numbers.ipynb"
    edit(notebook, "out.finding(", "table[0 / 0]\\nout.finding(")
    copy = ran / "build" / "study" / "running" / "02_numbers" / notebook.name
    assert study(ran, "2")["02_numbers"] == (
        "failed: cell In [4], 'table[0 / 0]': ZeroDivisionError: division by zero; "
        f"all of it in {copy}"
    )
    assert contents(ran / "figures") == before
    assert plan(ran, "2") == {"02_numbers": "runs: no earlier run"}
    edit(notebook, "table[0 / 0]", "import os; os.kill(os.getpid(), 9)")
    assert "the kernel died" in study(ran, "2")["02_numbers"]


def test_a_file_that_no_study_wrote_is_never_replaced(ran, tmp_path):
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "fig02_line.csv").write_text("mine")
    (said,) = study(ran, "2", to=folder, force=True).values()
    assert f"{folder}/fig02_line.csv: no study wrote it" in said
    assert contents(folder) == {"fig02_line.csv": b"mine"}
    # results that somebody else wrote list nothing of ours
    (folder / "results").mkdir()
    listed = {"files": {"../thesis.tex": "", str(tmp_path / "thesis.tex"): ""}}
    (folder / "results" / "02_numbers.json").write_text(json.dumps(listed))
    (tmp_path / "thesis.tex").write_text("mine")
    study(ran, "2", to=folder, assignments=["SCALE=3"])
    assert (tmp_path / "thesis.tex").read_text() == "mine"
    (folder / "fig02_line.csv").rename(folder / "mine.csv")
    assert study(ran, "2", to=folder)["02_numbers"].startswith("ran")
    assert (folder / "mine.csv").read_text() == "mine"


MEET = """\
import json, os, time
from pathlib import Path
from ipykernel.kernelapp import IPKernelApp
from medcal_nb.notebook import Output
Path(ANSWERS, NAME).touch()
while len(list(Path(ANSWERS).glob("0?_here"))) < 2: time.sleep(0.1)
about = json.load(open(IPKernelApp.instance().abs_connection_file))
out = Output(NAME, OUT)
out.finding(f"{len(about['curve_publickey'])} {os.environ['OMP_NUM_THREADS']} {os.getcwd()}")
out.close()
"""


def test_notebooks_run_side_by_side_encrypted_on_one_thread_in_their_folder(tmp_path):
    (tmp_path / "notebooks").mkdir()
    for name in ("01_here", "02_here"):
        own = f'NAME = {name!r}\nANSWERS = {str(tmp_path)!r}\nOUT = ""'
        write_notebook(tmp_path, name, own, MEET)
    assert all(what.startswith("ran") for what in study(tmp_path).values())
    said = finding(tmp_path / "figures", "01_here")
    assert said == f"40 1 {tmp_path}/notebooks"


def children(pid: int) -> set[int]:
    """Processes that a process started."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return {int(word) for path in lists for word in path.read_text().split()}


COMMAND = """\
import sys
from pathlib import Path
from medcal_nb.run import run_study, steps_of
print(run_study(steps_of(["3"], root=Path(sys.argv[1]))))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_study_publishes_nothing_and_leaves_no_kernel(ran, number):
    before = contents(ran / "figures")
    edit(ran / "notebooks" / "03_alone.ipynb", "out.close()", SLOW)
    # ^C reaches it also where the tests themselves run in the background, which ignores it
    code = f"import signal\nsignal.signal(2, signal.default_int_handler)\n{COMMAND}"
    command = [sys.executable, "-c", code, ran]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    work = ran / "build" / "study"
    while not (work / "started").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    kernels = children(process.pid)
    assert kernels
    with pytest.raises(MedcalError, match="another study runs it"):
        study(ran, "3")
    process.send_signal(number)
    process.wait(60)
    for _ in range(600):  # of a killed study they notice it
        if not any(Path(f"/proc/{pid}").exists() for pid in kernels):
            break
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in kernels)
    assert contents(ran / "figures") == before
    assert plan(ran, "3") == {"03_alone": "runs: no earlier run"}


def test_verify_sees_what_differs(ran):
    results = ran / "figures" / "results" / "02_numbers.json"
    assert verify_study(["2"], root=ran) == {"02_numbers": []}
    edit(results, "2.5", "2.50001")
    differs = "row 2: mean 2.50001, now 2.5"
    lines = [f"{table}, {differs}" for table in ("fig02_line", "means")]
    assert verify_study(["2"], root=ran) == {"02_numbers": lines}


def test_a_twentieth_of_an_interval_is_a_difference():
    row = {"model": "m", "gap": 0.3, "gap_low": 0.2, "gap_high": 0.4, "n": 5}

    def lines(**changes):
        again = {"tables": {"t": [row | changes]}, "findings": ["b"]}
        published = {"tables": {"t": [row]}, "findings": ["a"]}
        return compare_results(published, again, asks=True)

    assert lines(gap=0.309, gap_low=0.191) == []
    assert lines(gap=0.3101) == ["t, row 1: gap 0.3, now 0.3101"]
    assert lines(n=6, model="o") == ["t, row 1: model m, now o", "t, row 1: n 5, now 6"]
    published = {"tables": {"t": [row]}, "findings": []}
    assert compare_results(published, published | {"tables": {}})
