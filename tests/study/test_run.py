"""The runner on toy notebooks: real papermill, real kernels, a folder of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
from filelock import FileLock

from medcal_nb.answers import AnswerLog
from medcal_nb.errors import MedcalError
from medcal_nb.show.figures import read_manifest
from medcal_nb.study import load_results
from medcal_nb.study.run import FAILED, FINDINGS, LEFT_OUT, NOT_RUN, RAN, RUNS, UNCHANGED
from tests.study.toy import (
    ALONE,
    actions,
    contents,
    edit,
    reasons,
    study,
    write_notebook,
    write_numbers,
)

pytestmark = pytest.mark.notebooks


def test_a_study_from_cold_to_one_change(toy):
    planned = study(toy, plan_only=True)
    assert list(actions(planned)) == ["00_overview", "01_ask", "02_numbers", "03_alone"]
    assert set(actions(planned).values()) == {RUNS}
    assert not (toy / "figures").exists()
    assert not (toy / "answers.sqlite").exists()

    cold = study(toy)
    assert set(actions(cold).values()) == {RAN}
    after = {"02_numbers": "after 01_ask, if that changes what it reads"}
    first = dict.fromkeys(("01_ask", "03_alone"), "no earlier run")
    assert reasons(cold).items() >= (after | first).items()
    assert contents(toy / "figures").keys() == {
        f"{name}.{kind}" for name in ("fig02_bars", "fig03_line") for kind in ("png", "svg", "csv")
    } | {"manifest.json", FINDINGS}
    results = toy / "build" / "pocket" / "results"
    told = {"answer": ["Twice 0.65."], "twice": 1.3, "rows": 1}
    assert load_results(results / "00_overview.json") == told
    assert json.loads((toy / "figures" / FINDINGS).read_text()) == {"00_overview": ["Twice 0.65."]}
    told = read_manifest(toy / "figures")["fig02_bars"]["provenance"]
    assert told["parameters"] == {"SCALE": 1.0}
    assert told["profile"] == "pocket"
    assert str(toy) not in json.dumps(told)

    html = toy / "build" / "pocket" / "html"
    page = (html / "index.html").read_text()
    for link in ("02_numbers.html", "figures/fig02_bars.svg"):
        assert f'"{link}"' in page
        assert (html / link).is_file()
    assert "what is 02_numbers?" in page

    before = {path: path.stat().st_mtime_ns for path in (toy / "figures").iterdir()}
    assert set(actions(study(toy)).values()) == {UNCHANGED}
    assert {path: path.stat().st_mtime_ns for path in before} == before

    # an output of a notebook or a remark of an editor is no change
    edit(toy / "notebooks" / "02_numbers.ipynb", '"outputs": []', '"outputs":  []')
    assert set(actions(study(toy, plan_only=True)).values()) == {UNCHANGED}

    # one constant of 03: it and what reads it
    edit(toy / "notebooks" / "03_alone.ipynb", "N = 3", "N = 4")
    changed = study(toy)
    ran = dict.fromkeys(("03_alone", "00_overview"), RAN)
    assert actions(changed) == dict.fromkeys(("01_ask", "02_numbers"), UNCHANGED) | ran
    assert reasons(changed)["03_alone"] == "notebook changed"
    assert reasons(changed)["00_overview"] == "after 03_alone, if that changes what it reads"

    # a parameter given, then taken back; what reads the same numbers again is left alone
    given = study(toy, parameters=["SCALE=0.5"], only=["2"])
    assert actions(given) == {"01_ask": UNCHANGED, "02_numbers": RAN}
    assert reasons(given)["02_numbers"] == "parameters changed"
    assert load_results(results / "02_numbers.json") == {"mean": 0.325}
    assert reasons(study(toy, plan_only=True))["02_numbers"] == "parameters changed"
    study(toy, only=["02"])
    assert set(actions(study(toy, plan_only=True)).values()) == {UNCHANGED}
    forced = study(toy, plan_only=True, force=True, only=["3"])
    assert reasons(forced) == {"03_alone": "--force"}

    # a published file that is gone or altered is made again
    figure = toy / "figures" / "fig02_bars.csv"
    drawn = figure.read_bytes()
    figure.write_text("x\n1\n")
    assert reasons(study(toy, plan_only=True))["02_numbers"] == "fig02_bars.csv was altered"
    figure.unlink()
    assert reasons(study(toy, plan_only=True))["02_numbers"] == "fig02_bars.csv is missing"
    study(toy, only=["02"])
    assert figure.read_bytes() == drawn
    # other answers
    with AnswerLog(toy / "answers.sqlite") as log:
        log.append(log.read().assign(confidence=0.1), if_exists="replace")
    assert reasons(study(toy, plan_only=True))["01_ask"] == "answers.sqlite was altered"


def test_same_study_elsewhere_gives_the_same_bytes_and_a_fast_one_goes_to_build(toy, tmp_path):
    study(toy, only=["02"])
    other = tmp_path / "other"
    study(toy, answers=tmp_path / "elsewhere.sqlite", out=other, only=["02"])
    here = contents(toy / "figures")
    assert contents(other) == here
    assert (other / "results" / "02_numbers.json").is_file()
    assert not study(toy, fast=True, only=["03"]).failed
    assert (toy / "build" / "fast" / "pocket" / "figures" / "fig03_line.csv").is_file()
    assert contents(toy / "figures") == here
    with pytest.raises(MedcalError, match="full pocket study only"):
        study(toy, fast=True, out=toy / "figures")


def test_failure_is_named_and_publishes_nothing(toy):
    study(toy, only=["02", "03"])
    old, notebook = contents(toy / "figures"), toy / "notebooks" / "02_numbers.ipynb"
    edit(notebook, "ctx.results(", "fig, 1 / 0\\nctx.results(")
    edit(notebook, "SCALE = 1.0", "SCALE = 2.0")
    edit(toy / "notebooks" / "03_alone.ipynb", "N = 3", "N = 5")
    done = study(toy, keep_going=True)
    assert actions(done) == {
        "01_ask": UNCHANGED, "02_numbers": FAILED, "03_alone": RAN, "00_overview": NOT_RUN
    }  # fmt: skip
    assert reasons(done)["00_overview"] == "an earlier failure"
    assert done.failed == ["02_numbers"]
    message, copy = done.steps["02_numbers"].message, done.work / "notebooks" / notebook.name
    assert message.startswith("02_numbers: in cell In [4]: ZeroDivisionError: division by")
    assert "1 / 0" in message
    assert str(copy) in message
    assert "ZeroDivisionError" in copy.read_text()
    now = contents(toy / "figures")
    for name in old.keys() - {FINDINGS}:
        assert (now[name] == old[name]) == name.startswith("fig02"), name
    assert actions(study(toy, plan_only=True, only=["02"]))["02_numbers"] == RUNS


def test_a_dead_kernel_and_what_is_written_undeclared_stop_the_study(toy):
    path = toy / "notebooks" / "02_numbers.ipynb"
    edit(path, 'ctx.save(fig, \\"fig02_bars\\"', 'ctx.save(fig, \\"fig02_new\\"')
    done = study(toy, only=["02"])
    assert "it wrote 'fig02_new', which its metadata" in done.steps["02_numbers"].message
    assert not (toy / "figures").exists()
    dies = "import os\\nos.kill(os.getpid(), 9)"
    edit(toy / "notebooks" / "01_ask.ipynb", "from medcal_nb.answers import AnswerLog", dies)
    done = study(toy, only=["02"])
    assert actions(done) == {"01_ask": FAILED, "02_numbers": NOT_RUN}
    assert "the kernel died" in done.steps["01_ask"].message


def test_answers_that_cannot_feed_a_notebook_leave_it_out(toy):
    too_few = 'from medcal_nb.errors import NotEnough\nif N > 5: raise NotEnough("one data set")\n'
    cells, writes = [too_few + ALONE], ["fig03_line"]
    write_notebook(toy / "notebooks", "03_alone", cells, writes=writes, parameters="N = 3\n")
    study(toy, only=["01"])
    (toy / "mine.toml").write_text('summary = "mine"\n[parameters.02]\nSCALE = 0.5\n')
    mine = {"profile": str(toy / "mine.toml")}
    for told, where in (
        ("nothing to run: profile mine asks no model", {"only": ["01"]}),
        ("asks no model, and .* is no file: .* with --answers FILE", {"answers": None}),
        ("nothing.parquet is no file", {"answers": toy / "nothing.parquet"}),
    ):
        with pytest.raises(MedcalError, match=told):
            study(toy, **mine, **where)
    done = study(toy, **mine, only=["00"])
    assert actions(done) == dict.fromkeys(actions(done), RAN) | {"01_ask": LEFT_OUT}
    assert reasons(done)["01_ask"] == "profile mine asks no model"
    # a profile sets the parameters of what runs only because another needs it, too
    assert load_results(done.results / "02_numbers.json") == {"mean": pytest.approx(0.325)}
    assert actions(study(toy, **mine, only=["02"], plan_only=True))["02_numbers"] == UNCHANGED
    figure = toy / "build" / "mine" / "figures" / "fig03_line.png"
    assert figure.is_file()
    assert not (toy / "figures").exists()
    done = study(toy, **mine, parameters=["N=9"])
    assert not done.failed
    assert actions(done) == dict.fromkeys(actions(done), LEFT_OUT) | {"02_numbers": UNCHANGED}
    assert reasons(done)["03_alone"] == "one data set"
    assert reasons(done)["00_overview"].startswith("no fig03_line.csv to read: its notebook was")
    assert not figure.exists()  # it was of other answers
    assert not (done.results / "00_overview.json").exists()
    again = study(toy, **mine, parameters=["N=9"], plan_only=True)
    assert (actions(again), reasons(again)["03_alone"]) == (actions(done), "one data set")
    asked = study(toy, parameters=["N=9"], keep_going=True)
    assert actions(asked)["03_alone"] == FAILED


SLOW = """\
import time
Path(OUT_DIR, "..", "..", "started").touch()
time.sleep(SLEEP)
"""


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_study_leaves_published_figures_and_no_kernel_and_goes_on(toy, number):
    study(toy, only=["02"])
    old, work = contents(toy / "figures"), toy / "build" / "pocket"
    slow = {"parameters": "SCALE = 3.0\nSLEEP = 600\n", "before": "from pathlib import Path\n"}
    write_numbers(toy / "notebooks", SLOW, **slow)
    command = [sys.executable, "-m", "medcal_nb.cli", "study", "02", "--answers"]
    process = subprocess.Popen(
        [*command, str(toy / "answers.sqlite")],
        env=os.environ | {"MEDCAL_ROOT": str(toy)}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (work / "started").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    kernels = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    assert kernels
    process.send_signal(number)
    process.wait(900)
    assert contents(toy / "figures") == old
    if number != signal.SIGKILL:
        said = process.stderr.read()
        assert process.returncode == 130
        assert "Traceback" not in said
        assert said.endswith("medcal: interrupted; the same command goes on where it was\n")
        assert not (work / "stage").exists()
        assert not any(map(alive, kernels))
    waited = time.monotonic()
    while any(map(alive, kernels)):  # of a killed study they notice it
        assert time.monotonic() - waited < 120, "a kernel outlives the study"
        time.sleep(0.2)
    done = study(toy, only=["02"], parameters=["SLEEP=0"])
    assert (actions(done)["02_numbers"], reasons(done)["02_numbers"]) == (RAN, "notebook changed")
    assert not (work / "stage").exists()
    assert contents(toy / "figures").keys() == old.keys()
    assert contents(toy / "figures") != old


MEET = """\
from pathlib import Path
import time
Path(ANSWERS).with_name(f"here-{NAME}").touch()
for _ in range(1200):
    if len(list(Path(ANSWERS).parent.glob("here-*"))) == 2:
        break
    time.sleep(0.1)
else:
    raise RuntimeError("alone")
"""


def test_notebooks_run_side_by_side_and_are_logged(toy):
    for name in ("04_left", "05_right"):
        write_notebook(toy / "notebooks", name, [MEET], parameters=f"NAME = {name!r}\n")
    done = study(toy, only=["4", "5"])
    assert set(actions(done).values()) == {RAN}, [s.message for s in done.steps.values()]
    log = (done.work / "study.log").read_text()
    assert re.search(r"\d\d:\d\d:\d\d 04_left: cell 4/4 after [\d.]+ s", log), log
    assert re.search(r"05_right: ran after [\d.]+ s", log)


def test_a_second_study_in_the_same_folder_and_a_circle_are_refused(toy):
    work = toy / "build" / "pocket"
    work.mkdir(parents=True)
    with FileLock(work / "lock"), pytest.raises(MedcalError, match="another study is running"):
        study(toy)
    write_notebook(toy / "notebooks", "04_a", [], reads=["fig05_b"], writes=["fig04_a"])
    write_notebook(toy / "notebooks", "05_b", [], reads=["fig04_a"], writes=["fig05_b"])
    with pytest.raises(MedcalError, match="read each other in a circle"):
        study(toy, only=["4"])
