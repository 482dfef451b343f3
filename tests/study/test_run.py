"""The runner on toy notebooks: real papermill, real kernels, a folder of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medcal_nb.answers import AnswerLog
from medcal_nb.errors import MedcalError
from medcal_nb.show.figures import read_manifest
from medcal_nb.study import load_results
from medcal_nb.study.plan import FAILED, LEFT_OUT, NOT_RUN, RUNS, UNCHANGED
from medcal_nb.study.run import run_study

PARAMETERS = """\
PROFILE = "pocket"
ANSWERS = ""
OUT_DIR = ""
FAST = False
"""

ASK = """\
from medcal_nb.answers import AnswerLog

row = {"model": "m", "dataset": "d", "domain": "general", "question_type": "closed",
       "split": "test", "strategy": "verbalized", "sample": 0, "gold": "yes", "parse_ok": True}
told = [("a", "yes", HIGH, True), ("b", "no", 0.4, False)]
rows = [row | {"item_id": i, "image_id": i, "answer": a, "confidence": c, "correct": y}
        for i, a, c, y in told]
with AnswerLog(ANSWERS) as log:
    log.append(rows, if_exists="replace")
with open(ANSWERS + ".made-from.json", "w") as note:
    note.write('{"jobs": [{"model": "m"}]}')
"""

NUMBERS = """\
import pandas as pd
from matplotlib.figure import Figure

from medcal_nb.answers import load_answers
from medcal_nb.study import notebook_context

ctx = notebook_context("02_numbers", PROFILE, ANSWERS, OUT_DIR, FAST, parameters={"SCALE": SCALE})
table = load_answers(ctx.answers)[["item_id", "confidence", "correct"]]
table["confidence"] *= SCALE
fig = Figure()
fig.subplots().bar(table["item_id"], table["confidence"])
"""

SAVE = """\
ctx.save(fig, "fig02_bars", table)
ctx.results({"mean": table["confidence"].mean()})
"""

ALONE = """\
from matplotlib.figure import Figure
import pandas as pd

from medcal_nb.study import notebook_context

ctx = notebook_context("03_alone", PROFILE, ANSWERS, OUT_DIR, FAST, parameters={"N": N})
table = pd.DataFrame({"n": [N]})
fig = Figure()
fig.subplots().plot([0, N])
ctx.save(fig, "fig03_line", table)
"""

OVERVIEW = """\
from medcal_nb.study import notebook_context

ctx = notebook_context("00_overview", PROFILE, "", OUT_DIR, FAST)
mean = ctx.read_results("02_numbers")["mean"]
ctx.results({"twice": 2 * mean, "rows": len(ctx.read_table("fig03_line"))})
"""


def write_notebook(folder, name, cells, *, reads=(), writes=(), parameters=PARAMETERS, tags=None):
    """Write a notebook of markdown title, parameters cell and the given code cells."""
    content = [("markdown", [], f"# {name}\n\n**Question:** what is {name}?")]
    content.append(("code", ["parameters"] if tags is None else tags, parameters))
    content += [("code", [], source) for source in cells]
    notebook = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"medcal": {"reads": list(reads), "writes": list(writes)}},
        "cells": [
            {"cell_type": kind, "id": f"c{i}", "metadata": {"tags": tagged}, "source": source}
            | ({"outputs": [], "execution_count": None} if kind == "code" else {})
            for i, (kind, tagged, source) in enumerate(content)
        ],
    }
    (folder / f"{name}.ipynb").write_text(json.dumps(notebook))


@pytest.fixture
def toy(tmp_path) -> Path:
    """A checkout of four toy notebooks: 01 → 02 → 00 ← 03."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    write_notebook(
        folder, "01_ask", [ASK], writes=["answers"], parameters=PARAMETERS + "HIGH = 0.9\n"
    )
    write_notebook(
        folder,
        "02_numbers",
        [NUMBERS, SAVE],
        reads=["answers"],
        writes=["fig02_bars", "results/02_numbers.json"],
        parameters=PARAMETERS + "SCALE = 1.0\n",
    )
    write_notebook(
        folder, "03_alone", [ALONE], writes=["fig03_line"], parameters=PARAMETERS + "N = 3\n"
    )
    write_notebook(
        folder,
        "00_overview",
        [OVERVIEW],
        reads=["results/02_numbers.json", "fig03_line"],
        writes=["results/00_overview.json"],
    )
    return tmp_path


def study(toy, **options):
    return run_study(root=toy, **{"answers": toy / "answers.sqlite"} | options)


def actions(done) -> dict[str, str]:
    return {name: step.action for name, step in done.steps.items()}


def reasons(done) -> dict[str, str]:
    return {name: step.reason for name, step in done.steps.items()}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.notebooks
def test_a_study_from_cold_to_one_change(toy):
    planned = study(toy, plan_only=True)
    assert list(actions(planned)) == ["00_overview", "01_ask", "02_numbers", "03_alone"]
    assert set(actions(planned).values()) == {RUNS}
    assert not (toy / "figures").exists()
    assert not (toy / "answers.sqlite").exists()

    cold = study(toy)
    assert set(actions(cold).values()) == {RUNS}
    assert set(reasons(cold).values()) == {"no earlier run"}
    published = {path.name for path in (toy / "figures").iterdir()}
    assert published == {
        f"{name}.{kind}" for name in ("fig02_bars", "fig03_line") for kind in ("png", "svg", "csv")
    } | {"manifest.json"}
    results = toy / "build" / "pocket" / "results"
    assert load_results(results / "00_overview.json") == {"twice": 1.3, "rows": 1}
    told = read_manifest(toy / "figures")["fig02_bars"]["provenance"]
    assert told["parameters"] == {"SCALE": 1.0}
    assert told["profile"] == "pocket"
    assert str(toy) not in json.dumps(told)

    page = (toy / "build" / "pocket" / "html" / "index.html").read_text()
    for link in ("02_numbers.html", "figures/fig02_bars.svg", "results/00_overview.json"):
        assert f'"{link}"' in page
        assert (toy / "build" / "pocket" / "html" / link).is_file()
    assert "what is 02_numbers?" in page

    before = {path: path.stat().st_mtime_ns for path in (toy / "figures").iterdir()}
    warm = study(toy)
    assert set(actions(warm).values()) == {UNCHANGED}
    assert {path: path.stat().st_mtime_ns for path in before} == before

    # an output of a notebook or a remark of an editor is no change
    edit(toy / "notebooks" / "02_numbers.ipynb", '"outputs": []', '"outputs":  []')
    assert set(actions(study(toy, plan_only=True)).values()) == {UNCHANGED}

    # one constant of 03: it and what reads it
    edit(toy / "notebooks" / "03_alone.ipynb", "N = 3", "N = 4")
    changed = study(toy)
    assert actions(changed) == {
        "01_ask": UNCHANGED,
        "02_numbers": UNCHANGED,
        "03_alone": RUNS,
        "00_overview": RUNS,
    }
    assert reasons(changed)["03_alone"] == "notebook changed"
    assert reasons(changed)["00_overview"] == "after 03_alone, if that changes what it reads"

    # a parameter given, then taken back; what reads the same numbers again is left alone
    given = study(toy, parameters=["SCALE=0.5"], only=["2"])
    assert actions(given) == {"01_ask": UNCHANGED, "02_numbers": RUNS}
    assert reasons(given)["02_numbers"] == "parameters changed"
    assert load_results(results / "02_numbers.json") == {"mean": 0.325}
    back = study(toy, plan_only=True)
    assert reasons(back)["02_numbers"] == "parameters changed"
    study(toy, only=["02"])
    assert set(actions(study(toy, plan_only=True)).values()) == {UNCHANGED}

    # a published file that is gone or altered is made again
    (toy / "figures" / "fig02_bars.csv").write_text("x\n1\n")
    assert reasons(study(toy, plan_only=True))["02_numbers"] == "fig02_bars.csv was altered"
    (toy / "figures" / "fig02_bars.csv").unlink()
    assert reasons(study(toy, plan_only=True))["02_numbers"] == "fig02_bars.csv is missing"
    # other answers
    with AnswerLog(toy / "answers.sqlite") as log:
        log.append(log.read().assign(confidence=0.1), if_exists="replace")
    assert reasons(study(toy, plan_only=True))["01_ask"] == "answers.sqlite was altered"


@pytest.mark.notebooks
def test_same_study_elsewhere_gives_the_same_bytes(toy, tmp_path):
    study(toy, only=["02"])
    other = tmp_path / "other"
    run_study(root=toy, answers=tmp_path / "elsewhere.sqlite", out=other, only=["02"])
    for kind in ("png", "svg", "csv"):
        name = f"fig02_bars.{kind}"
        assert (other / name).read_bytes() == (toy / "figures" / name).read_bytes()
    assert (other / "results" / "02_numbers.json").is_file()


@pytest.mark.notebooks
def test_failure_is_named_and_publishes_nothing(toy):
    study(toy, only=["02", "03"])
    old = {path.name: path.read_bytes() for path in (toy / "figures").iterdir()}
    notebook = toy / "notebooks" / "02_numbers.ipynb"
    edit(notebook, "ctx.results(", "fig, 1 / 0\\nctx.results(")
    edit(notebook, "SCALE = 1.0", "SCALE = 2.0")
    edit(toy / "notebooks" / "03_alone.ipynb", "N = 3", "N = 5")
    done = study(toy, keep_going=True)
    assert actions(done) == {
        "01_ask": UNCHANGED,
        "02_numbers": FAILED,
        "03_alone": RUNS,
        "00_overview": NOT_RUN,
    }
    assert reasons(done)["00_overview"] == "02_numbers failed"
    assert done.failed
    message = done.steps["02_numbers"].message
    assert message.startswith("02_numbers failed in cell In [4]: ZeroDivisionError: division by")
    assert "1 / 0" in message
    copy = toy / "build" / "pocket" / "notebooks" / "02_numbers.ipynb"
    assert str(copy) in message
    assert "ZeroDivisionError" in copy.read_text()
    now = {path.name: path.read_bytes() for path in (toy / "figures").iterdir()}
    for name, content in old.items():
        assert (now[name] == content) == name.startswith("fig02"), name
    assert actions(study(toy, plan_only=True, only=["02"]))["02_numbers"] == RUNS


@pytest.mark.notebooks
def test_dead_kernel_stops_the_study(toy):
    edit(
        toy / "notebooks" / "01_ask.ipynb",
        "from medcal_nb.answers import AnswerLog",
        "import os\\nos.kill(os.getpid(), 9)",
    )
    done = study(toy, only=["02"])
    assert actions(done)["01_ask"] == FAILED
    assert actions(done)["02_numbers"] == NOT_RUN
    assert "the kernel died" in done.steps["01_ask"].message


@pytest.mark.notebooks
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('ctx.save(fig, \\"fig02_bars\\"', 'ctx.save(fig, \\"fig02_new\\"', "wrote 'fig02_new'"),
        ('ctx.save(fig, \\"fig02_bars\\", table)', "fig", "didn't write 'fig02_bars'"),
    ],
)
def test_what_is_written_must_be_declared(toy, old, new, message):
    edit(toy / "notebooks" / "02_numbers.ipynb", old, new)
    done = study(toy, only=["02"])
    assert message in done.steps["02_numbers"].message
    assert not (toy / "figures").exists()


@pytest.mark.notebooks
def test_fast_never_publishes_to_figures(toy):
    done = study(toy, fast=True, only=["03"])
    assert not done.failed
    assert not (toy / "figures").exists()
    assert (toy / "build" / "fast" / "pocket" / "figures" / "fig03_line.csv").is_file()
    with pytest.raises(MedcalError, match="full pocket study only"):
        study(toy, fast=True, out=toy / "figures")


GATHER = """\
from medcal_nb.study import notebook_context

ctx = notebook_context("04_gather", PROFILE, ANSWERS, OUT_DIR, FAST)
names = [name for name in ("01_ask", "02_numbers") if ctx.has(f"results/{name}.json")]
ctx.results({"found": names})
"""


@pytest.mark.notebooks
def test_what_a_notebook_can_do_without_may_be_left_out(toy):
    folder, reads = toy / "notebooks", ["results/01_ask.json", "results/02_numbers.json"]
    asks = GATHER.partition("names")[0].replace("04_gather", "01_ask") + "ctx.results({})"
    write_notebook(
        folder,
        "01_ask",
        [ASK, asks],
        writes=["answers", "results/01_ask.json"],
        parameters=PARAMETERS + "HIGH = 0.9\n",
    )
    write_notebook(folder, "04_gather", [GATHER], reads=reads, writes=["results/04_gather.json"])
    done = study(toy, only=["04"])
    assert load_results(done.layout.results / "04_gather.json")["found"] == ["01_ask", "02_numbers"]

    with pytest.raises(MedcalError, match=r"04_gather is left out: reads results/01_ask\.json"):
        study(toy, profile="imported", only=["04"])
    path = folder / "04_gather.ipynb"
    edit(path, '"reads": [', '"optional": ["results/01_ask.json"], "reads": [')
    done = study(toy, profile="imported", only=["04"])
    assert actions(done) == {"01_ask": LEFT_OUT, "02_numbers": RUNS, "04_gather": RUNS}
    assert load_results(done.layout.results / "04_gather.json")["found"] == ["02_numbers"]


@pytest.mark.notebooks
def test_recorded_leaves_out_what_asks(toy):
    study(toy, only=["01"])
    done = study(toy, profile="imported", only=["01", "02"])
    assert actions(done) == {"01_ask": LEFT_OUT, "02_numbers": RUNS}
    assert reasons(done)["01_ask"] == "profile imported asks no model"
    assert not (toy / "figures").exists()
    assert (toy / "build" / "imported" / "figures" / "fig02_bars.png").is_file()
    with pytest.raises(MedcalError, match="nothing to run: 01_ask is left out"):
        study(toy, profile="imported", only=["01"])


def test_answers_that_cannot_feed_a_notebook_leave_it_out(toy):
    too_few = 'from medcal_nb.errors import NotEnough\nif N > 5: raise NotEnough("one data set")\n'
    path = toy / "notebooks" / "03_alone.ipynb"
    write_notebook(
        path.parent, "03_alone", [too_few + ALONE], writes=["fig03_line"],
        parameters=PARAMETERS + "N = 3\n",
    )  # fmt: skip
    study(toy, only=["01"])
    figure = toy / "build" / "imported" / "figures" / "fig03_line.png"
    done = study(toy, profile="imported")
    assert figure.is_file()
    done = study(toy, profile="imported", parameters=["N=9"])
    assert not done.failed
    assert (actions(done)["03_alone"], reasons(done)["03_alone"]) == (LEFT_OUT, "one data set")
    assert actions(done)["02_numbers"] == UNCHANGED
    assert actions(done)["00_overview"] == LEFT_OUT
    assert reasons(done)["00_overview"] == "reads fig03_line of 03_alone, which is left out"
    assert not figure.exists()  # it was of other answers
    assert not (toy / "build" / "imported" / "results" / "00_overview.json").exists()
    asked = study(toy, parameters=["N=9"], keep_going=True)
    assert actions(asked)["03_alone"] == FAILED


def test_recorded_needs_a_file(toy):
    with pytest.raises(MedcalError, match="--answers FILE"):
        run_study("imported", root=toy)
    with pytest.raises(MedcalError, match="no such file of answers"):
        run_study("imported", root=toy, answers=toy / "nothing.parquet")


SLOW = """\
import time
Path(OUT_DIR, "..", "..", "started").touch()
time.sleep(600)
"""


@pytest.mark.notebooks
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_leaves_published_figures_and_no_kernel(toy, number):
    study(toy, only=["02"])
    old = {path.name: path.read_bytes() for path in (toy / "figures").iterdir()}
    write_notebook(
        toy / "notebooks",
        "02_numbers",
        ["from pathlib import Path\n" + NUMBERS, SAVE, SLOW],
        reads=["answers"],
        writes=["fig02_bars", "results/02_numbers.json"],
        parameters=PARAMETERS + "SCALE = 3.0\n",
    )
    command = [sys.executable, "-m", "medcal_nb.cli", "study", "02", "--answers"]
    process = subprocess.Popen(
        [*command, str(toy / "answers.sqlite")],
        env=os.environ | {"MEDCAL_ROOT": str(toy)},
        stderr=subprocess.PIPE,
        text=True,
    )
    started = toy / "build" / "pocket" / "started"
    while not started.exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    kernels = children(process.pid)
    assert kernels
    process.send_signal(number)
    _, said = process.communicate(timeout=900)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert said.endswith("medcal: interrupted; the same command goes on where it was\n")
    assert {path.name: path.read_bytes() for path in (toy / "figures").iterdir()} == old
    assert not (toy / "build" / "pocket" / "stage").exists()
    for kernel in kernels:
        assert not Path(f"/proc/{kernel}").exists() or zombie(kernel)
    assert reasons(study(toy, plan_only=True, only=["02"]))["02_numbers"] == "notebook changed"


def children(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"


@pytest.mark.notebooks
def test_kill_leaves_published_figures_and_the_next_study_goes_on(toy):
    study(toy, only=["02"])
    old = {path.name: path.read_bytes() for path in (toy / "figures").iterdir()}
    slow = ["from pathlib import Path\n" + NUMBERS, SAVE, SLOW.replace("600", "SLEEP")]
    write_notebook(
        toy / "notebooks", "02_numbers", slow, reads=["answers"],
        writes=["fig02_bars", "results/02_numbers.json"],
        parameters=PARAMETERS + "SCALE = 3.0\nSLEEP = 600\n",
    )  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "medcal_nb.cli", "study", "02", "--answers", toy / "answers.sqlite"],
        env=os.environ | {"MEDCAL_ROOT": str(toy)},
        stderr=subprocess.DEVNULL,
    )
    while not (toy / "build" / "pocket" / "started").exists():
        assert process.poll() is None
        time.sleep(0.1)
    kernels = children(process.pid)
    process.kill()
    process.wait()
    assert {path.name: path.read_bytes() for path in (toy / "figures").iterdir()} == old
    waited = time.monotonic()
    while any(Path(f"/proc/{kernel}").exists() and not zombie(kernel) for kernel in kernels):
        assert time.monotonic() - waited < 120, "a kernel outlives the study"
        time.sleep(0.2)
    done = study(toy, only=["02"], parameters=["SLEEP=0"])
    assert (actions(done)["02_numbers"], reasons(done)["02_numbers"]) == (
        RUNS,
        "notebook changed",
    )
    assert not (toy / "build" / "pocket" / "stage").exists()
    assert {path.name: path.read_bytes() for path in (toy / "figures").iterdir()} != old


MEET = """\
import time
Path(ANSWERS).with_name(f"here-{NAME}").touch()
for _ in range(1200):
    if len(list(Path(ANSWERS).parent.glob("here-*"))) == 2:
        break
    time.sleep(0.1)
else:
    raise RuntimeError("alone")
"""


@pytest.mark.notebooks
def test_notebooks_run_side_by_side_and_are_logged(toy):
    for name in ("04_left", "05_right"):
        parameters = PARAMETERS + f"NAME = {name!r}\n"
        cell = "from pathlib import Path\n" + MEET
        write_notebook(toy / "notebooks", name, [cell], parameters=parameters)
    done = study(toy, only=["4", "5"])
    assert set(actions(done).values()) == {RUNS}, [s.message for s in done.steps.values()]
    log = (done.layout.work / "study.log").read_text()
    assert re.search(r"\d\d:\d\d:\d\d 04_left: cell 4/4 after [\d.]+ s", log), log
    assert re.search(r"05_right: done after [\d.]+ s", log)


@pytest.mark.notebooks
def test_second_study_in_the_same_folder_is_refused(toy):
    fcntl = pytest.importorskip("fcntl")
    work = toy / "build" / "pocket"
    work.mkdir(parents=True)
    with open(work / "lock", "w") as file:
        file.write("4711")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(MedcalError, match="another study is running"):
            study(toy)
