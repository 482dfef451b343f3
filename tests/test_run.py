"""The runner on toy notebooks: real papermill, real kernels, a checkout of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from medcal_nb import run
from medcal_nb.errors import MedcalError
from medcal_nb.files import file_hash
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
print(open("../data/recorded/manifest.json").read())
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
assert answers != "few!"
out.finding(f"Answers: {answers}.")
"""
OVERVIEW = """\
from medcal_nb.notebook import Output, published
out = Output("00_overview", OUT)
out.finding(f"In 02: {published('02_numbers', RESULTS)['findings'][0]}")
out.close()
"""
NOTEBOOK = "notebooks/02_numbers.ipynb"
MANIFEST = "data/recorded/manifest.json"
NEVER = "runs: no whole run yet in this checkout"


def write_notebook(root, name, parameters, *cells):
    own = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    cells = [new_markdown_cell(f"# {name}"), own, *map(new_code_cell, cells)]
    (root / "notebooks").mkdir(exist_ok=True)
    path = root / "notebooks" / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=cells), path)


def write_checkout(root: Path) -> None:
    """Write three toy notebooks, data and parameters: 02 → 00, and 03 by itself."""
    own = 'SCALE = 1.0  # factor\nOUT = ""\n'
    write_notebook(root, "02_numbers", own, NUMBERS, "len(table)", "out.close()")
    own = 'ANSWERS = ""  # file\nN = 3\nOUT = ""\n'
    write_notebook(root, "03_alone", own, ALONE, "out.close()")
    own = 'RESULTS = "../figures/results"\nOUT = ""\n'
    write_notebook(root, "00_overview", own, OVERVIEW)
    (root / MANIFEST).parent.mkdir(parents=True)
    (root / MANIFEST).write_text("{}")
    (root / "notebooks" / "params").mkdir()
    (root / "notebooks" / "params" / "double.yaml").write_text("SCALE: 2\n")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def finding(folder: Path, name: str) -> str:
    return json.loads((folder / "results" / f"{name}.json").read_text())["findings"][0]


def study(root, *chosen, force=False, **options):
    return run_study(steps_of(chosen, root=root, **options), force=force)


def plan(root, *chosen, **options) -> dict[str, str]:
    return run_study(steps_of(chosen, root=root, **options), plan_only=True)


@pytest.fixture(scope="module")
def ran_once(tmp_path_factory):
    """A checkout whose study ran, to be copied and changed."""
    root = tmp_path_factory.mktemp("ran")
    write_checkout(root)
    assert set(plan(root).values()) == {NEVER}
    assert not (root / "figures").exists()
    assert all(what.startswith("ran in") for what in study(root).values())
    return root


@pytest.fixture
def ran(ran_once, tmp_path):
    return shutil.copytree(ran_once, tmp_path / "copy")


def test_a_study_publishes_figures_results_and_a_page(ran, ran_once):
    figures = ran / "figures"
    files = {f"fig02_line.{kind}" for kind in ("png", "svg", "csv")}
    for name in ("00_overview", "02_numbers", "03_alone"):
        files |= {f"{name}.md", f"results/{name}.json"}
    assert contents(figures).keys() == files
    assert finding(figures, "00_overview") == "In 02: The mean was 0.333."
    page = (figures / "02_numbers.md").read_text()
    assert page.startswith("Executed [02_numbers](../notebooks/02_numbers.ipynb)")
    assert r"![Mean of \*m\*\; n \= 2](fig02_line.png)" in page
    assert "&lt;b&gt;m&lt;/b&gt; &#36;x&#36;" in page
    assert "Note: images are shared" not in page  # for who runs it, not for readers
    shown, _, folded = page.partition("<details><summary>Code</summary>")
    assert "plt.subplots" in folded
    assert "plt.subplots" not in shown
    assert 'OUT = ""' in folded
    assert "# Parameters" not in page
    assert "```\n\n```text\n2\n```" in folded  # the value that a cell ends in
    executed = (ran / "build" / "study" / "02_numbers.ipynb").read_bytes()
    assert b"Note: images are shared" in executed
    for content in [executed, *contents(figures).values()]:
        assert str(ran_once).encode() not in content


def test_what_is_the_same_stays_and_what_is_altered_is_published_again(ran, capsys):
    before = contents(ran / "figures")
    edit(ran / NOTEBOOK, '"outputs": []', '"outputs":  []')
    assert set(study(ran).values()) == {"unchanged"}
    # as another processor rounds
    table = ran / "figures" / "fig02_line.csv"
    results = ran / "figures" / "results" / "02_numbers.json"
    listed = file_hash(table)[:16]
    edit(table, "0.333333", "0.333334")
    edit(results, listed, file_hash(table)[:16])
    edit(results, "0.33333333", "0.33333334")
    elsewhere = contents(ran / "figures")
    assert study(ran, "2", force=True)["02_numbers"].startswith("ran in")
    assert "02_numbers: ran in" in capsys.readouterr().err
    assert contents(ran / "figures") == elsewhere
    assert plan(ran, "2") == {"02_numbers": "unchanged"}
    # the page alone differs by the data that it prints, and what was retouched is mended
    (ran / "figures" / "fig02_line.png").write_bytes(b"retouched")
    edit(ran / MANIFEST, "{}", "other data")
    study(ran, "2")
    after = contents(ran / "figures")
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"02_numbers.md", "results/02_numbers.json"}
    edit(ran / NOTEBOOK, "ax.plot(", "ax.step([0, 1], ")
    study(ran, "2")
    name = "fig02_line.png"
    assert contents(ran / "figures")[name] != before[name]
    edit(results, "2.5", "2.50001")
    lines = verify_study(["2"], root=ran)["02_numbers"]
    assert [line.partition(".")[0] for line in lines] == ["fig02_line", "means"]
    assert all(line.endswith("first diff: 2.50001 != 2.5") for line in lines)


def test_what_changed_is_named_and_what_is_no_longer_written_goes(ran, monkeypatch):
    for path, old, new, reason in (
        (MANIFEST, "{}", "[]", "recorded/manifest.json"),
        ("figures/fig02_line.csv", "2.5", "2.6", "published files"),
        (NOTEBOOK, "fig02_line", "fig02_curve", "notebook"),
    ):
        edit(ran / path, old, new)
        planned = plan(ran)
        assert planned["02_numbers"] == f"runs: changed: {reason}"
        assert planned["00_overview"] != "unchanged"
        assert (planned["03_alone"] == "unchanged") == ("manifest" not in path)
        edit(ran / path, new, old)
    before = contents(ran / "figures")
    edit(ran / path, old, new)
    study(ran, "2")
    after = contents(ran / "figures")
    stems = {name.partition(".")[0] for name in after.keys() ^ before.keys()}
    assert stems == {"fig02_line", "fig02_curve"}
    monkeypatch.setattr(run, "_code_hash", lambda: "other")
    assert plan(ran, "2") == {"02_numbers": "runs: changed: package or a library"}


def test_other_parameters_go_to_build_and_unknown_ones_are_named(ran):
    before = contents(ran / "figures")
    double = ran / "notebooks" / "params" / "double.yaml"
    six = {"assignments": {"SCALE": "6"}, "profile": double}
    assert study(ran, **six).keys() == {"02_numbers"}  # alone has such a parameter
    assert finding(ran / "build" / "trial", "02_numbers") == "The mean was 2.000."
    assert plan(ran, **six) == {"02_numbers": "unchanged"}
    assert plan(ran, profile=double) == {"02_numbers": NEVER}
    assert contents(ran / "figures") == before
    for options, said in (
        ({"assignments": {"SCALLE": "6"}}, "'SCALLE'; did you mean 'SCALE'.*ANSWERS"),
        ({"assignments": {"SCALE": "six"}}, "of another kind than 1.0"),
        ({"assignments": {"N": "true"}}, "of another kind than 3"),
        ({"assignments": {"ANSWERS": "[1]"}}, "ANSWERS = 1: of another kind"),
        ({"profile": "dubble.yaml"}, r"dubble\.yaml: not read"),
        ({"chosen": ["02_number"]}, "did you mean '02_numbers'"),
        ({"to": ran / "figures"}, "is the study's own"),
    ):
        with pytest.raises(MedcalError, match=said):
            steps_of(root=ran, **options)
    # those that come with the study name what notebooks have
    for path in run.ROOT.glob("notebooks/params/*.yaml"):
        assert all(step.overrides for step in steps_of(profile=path))


def test_answers_are_seen_by_content_and_too_few_publish_nothing(ran, tmp_path):
    answers = tmp_path / "answers.csv"
    answers.write_text("some")
    mine = {"assignments": {"ANSWERS": str(answers)}}
    assert study(ran, **mine).keys() == {"03_alone"}
    stamp = answers.stat().st_mtime_ns
    answers.write_text("few!")
    os.utime(answers, ns=(stamp, stamp))
    reason = f"runs: changed: {tmp_path.name}/answers.csv"
    assert plan(ran, **mine) == {"03_alone": reason}
    several = {"assignments": {"ANSWERS": f'["vlcb", "{answers}"]'}}
    (step,) = steps_of(root=ran, **several)
    assert step.overrides["ANSWERS"] == ["vlcb", str(answers)]
    assert f"{tmp_path.name}/answers.csv" in step.state()
    assert study(ran, **mine)["03_alone"] == (
        f"failed: cell In [3]: AssertionError: ; all of it in {ran}/build/trial/03_alone.ipynb"
    )
    # the last whole results stay, and don't count as these
    assert finding(ran / "build" / "trial", "03_alone") == "Answers: some."
    assert plan(ran, **mine) == {"03_alone": NEVER}
    # nor is there anything to sum up
    edit(ran / NOTEBOOK, "ax.plot(", "ax.plat(")
    outcomes = study(ran, "2", "0", force=True)
    assert "AttributeError" in outcomes["02_numbers"]
    assert outcomes["00_overview"] == "runs: --force"


def test_a_file_that_no_study_wrote_is_never_touched(ran, tmp_path):
    folder = tmp_path / "papers"
    (folder / "results").mkdir(parents=True)
    table = folder / "fig02_line.csv"
    thesis = tmp_path / "thesis.tex"
    table.write_text("mine")
    thesis.write_text("mine")
    (said,) = study(ran, "2", to=folder, force=True).values()
    assert f"{table}: no study wrote it" in said
    # nor is what results of somebody else list
    results = folder / "results" / "02_numbers.json"
    for name in ("../thesis.tex", str(thesis), ".."):
        results.write_text(json.dumps({"files": {name: ""}}))
        (said,) = study(ran, "2", to=folder, assignments={"SCALE": "3"}).values()
        assert f"{results}: no study wrote it" in said
    assert table.read_text() == "mine"
    # a link is replaced, what it leads to is not
    table = ran / "figures" / table.name
    table.unlink()
    table.symlink_to(thesis)
    assert study(ran, "2")["02_numbers"].startswith("ran")
    assert not table.is_symlink()
    assert thesis.read_text() == "mine"


def test_a_cell_that_never_ends_is_ended_and_a_kernel_dies(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "_LONGEST", 3)
    monkeypatch.setattr(run, "_LONGEST_ASKING", 4)
    hangs = "import time; time.sleep(60)"
    write_notebook(tmp_path, "01_hangs", 'OUT = ""', hangs)
    dies = "import os; os.kill(os.getpid(), 9)"
    write_notebook(tmp_path, "02_dies", 'OUT = ""', dies)
    write_notebook(tmp_path, "03_asks", 'LOG = "a.sqlite"\nOUT = ""', hangs)
    outcomes = study(tmp_path)
    assert outcomes["01_hangs"] == "failed: a cell took more than 3 s"
    assert "the kernel died" in outcomes["02_dies"]
    assert set(plan(tmp_path).values()) == {NEVER}
    (asked,) = study(tmp_path, assignments={"LOG": "b.sqlite"}).values()
    assert asked == "failed: a cell took more than 4 s"


SHOWS = "for i in range(20):\n    with widgets.Output(): print(i)"


def test_widgets_that_show_output_do_not_stall_a_study(tmp_path, monkeypatch):
    # a cell that stalls takes as long, and the study fails
    monkeypatch.setattr(run, "_LONGEST", 100)
    first = "import ipywidgets as widgets\nfrom medcal_nb.notebook import Output"
    end = 'Output("01_shows", OUT).close()'
    write_notebook(tmp_path, "01_shows", 'OUT = ""', first, *[SHOWS] * 15, end)
    assert study(tmp_path)["01_shows"].startswith("ran in")


MEET = """\
import json, os, time
from pathlib import Path
from ipykernel.kernelapp import IPKernelApp
from medcal_nb.notebook import Output
Path(NAME).touch()
end = time.monotonic() + 180
while len(list(Path().glob("0?_here"))) < 2 and time.monotonic() < end: time.sleep(0.1)
assert len(list(Path().glob("0?_here"))) == 2, "they do not run side by side"
about = json.load(open(IPKernelApp.instance().abs_connection_file))
out = Output(NAME, OUT)
out.finding(f"{len(about['curve_publickey'])} {os.environ['OMP_NUM_THREADS']} {os.getcwd()}")
out.close()
"""


def test_notebooks_run_side_by_side_encrypted_on_one_thread_in_their_folder(tmp_path):
    for name in ("01_here", "02_here"):
        write_notebook(tmp_path, name, f'NAME = {name!r}\nOUT = ""', MEET)
    assert all(what.startswith("ran") for what in study(tmp_path).values())
    assert finding(tmp_path / "figures", "01_here") == f"40 1 {tmp_path}/notebooks"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (9, -9)])
def test_a_stopped_study_publishes_nothing_and_leaves_no_kernel(
    number, code, ran, monkeypatch
):
    monkeypatch.setattr(run, "_LONGEST", 60)  # where it is not refused, below
    before = contents(ran / "figures")
    slow = "import os, time; Path(f'{os.getpid()}.pid').touch(); time.sleep(600)"
    alone = ran / "notebooks" / "03_alone.ipynb"
    edit(alone, "out.close()", slow)
    for name in ("07_more", "08_waits"):  # one more than run at once
        shutil.copy(alone, alone.with_stem(name))
    process = subprocess.Popen(
        [sys.executable, "-m", "medcal_nb.cli", "study", "3", "7", "8"],
        env=os.environ | {"MEDCAL_ROOT": str(ran)},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, 2, signal.SIG_DFL),  # also in the background
    )
    end = time.monotonic() + 180
    while len(pids := list(ran.glob("notebooks/*.pid"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < end, f"{len(pids)} of two notebooks run"
        time.sleep(0.1)
    kernels = [Path("/proc", pid.stem) for pid in pids]
    assert all(kernel.exists() for kernel in kernels)
    assert study(ran, "3") == {"03_alone": "failed: another study runs it: wait"}
    process.send_signal(number)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == code
    assert messages.count("failed: the kernel died") == 2 * (number == signal.SIGINT)
    end = time.monotonic() + 60  # those of a killed study notice it
    while any(kernel.exists() for kernel in kernels) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(kernel.exists() for kernel in kernels)
    assert contents(ran / "figures") == before
    assert plan(ran, "3") == {"03_alone": NEVER}


def test_two_runs_are_compared_by_table_and_in_words():
    row = {"model": "m", "gap": 0.3, "p": None, "n": 5}
    published = {"tables": {"t": [row]}, "findings": ["a"]}

    def columns(asks=True, **changes):
        again = {"tables": {"t": [row | changes]}, "findings": ["b"]}
        lines = compare_results(published, again, asks=asks)
        return [line.partition('name="')[2].partition('"')[0] or line for line in lines]

    assert columns(gap=0.3001) == []
    assert columns(gap=0.3004) == ["gap"]
    assert columns(gap=0.3 + 4e-8, asks=False) == ["gap", "findings, in words"]
    assert columns(gap=0.3 + 1e-8, asks=False) == ["findings, in words"]
    for change in ({"n": 6}, {"model": "o"}, {"p": 0.1}):
        assert columns(**change) == list(change)
    assert compare_results(published, published | {"tables": {}})
