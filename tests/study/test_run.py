"""The runner on toy notebooks: real papermill, real kernels, a folder of its own."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from filelock import FileLock

from medcal_nb.answers import AnswerLog, recorded
from medcal_nb.errors import MedcalError
from medcal_nb.show.figures import read_figure
from medcal_nb.study.run import Study, _Runner, run_studies
from tests.study import toy as toys
from tests.study.toy import contents, edit, load_results, study, write_notebook

pytestmark = pytest.mark.notebooks

RAN, UNCHANGED = "succeeded", "skipped because unchanged"


def plan(toy, **options) -> dict[str, str]:
    return study(toy, plan_only=True, **options).steps


@pytest.fixture(scope="module")
def ran_once(tmp_path_factory):
    """A checkout whose study ran, to be copied and changed."""
    folder = tmp_path_factory.mktemp("ran")
    toys.write_checkout(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDCAL_ROOT", str(folder))
        done = study(folder)
    assert set(done.steps.values()) == {RAN}, done.failed
    return folder


@pytest.fixture
def ran(ran_once, tmp_path, monkeypatch):
    """A copy of it."""
    folder = tmp_path / "copy"
    shutil.copytree(ran_once, folder)
    monkeypatch.setenv("MEDCAL_ROOT", str(folder))
    return folder


def test_a_plan_of_a_cold_study_names_every_step_and_writes_nothing(toy):
    first = "runs, because no earlier run"
    planned = plan(toy)
    assert planned.items() >= {("01_ask", first), ("03_alone", first)}
    assert planned["02_numbers"] == "runs, because 01_ask runs"
    assert planned.keys() == {"00_overview", "01_ask", "02_numbers", "03_alone"}
    assert not list(toy.glob("figures/**/*.*"))
    assert not (toy / "answers.sqlite").exists()


def test_a_study_publishes_figures_tables_and_answers(ran):
    figures = ran / "figures" / "pocket"
    assert contents(figures).keys() == {
        f"{name}.{kind}"
        for name in ("fig02_bars", "fig03_line")
        for kind in ("png", "svg", "csv")
    }
    assert load_results(figures / "results" / "00_overview.json") == {"twice": 1.3}
    assert (figures / "results" / "00_overview.md").read_text() == "Twice 0.65.\n"
    provenance = read_figure(figures / "fig02_bars.png")["provenance"]
    assert provenance["parameters"] == {"SCALE": 1.0}
    assert provenance["profile"] == "pocket"


def test_nothing_published_names_the_folder_it_was_made_in(ran, ran_once):
    figure = ran / "figures" / "pocket" / "fig02_bars.png"
    executed = (ran / "build" / "pocket" / "notebooks" / "02_numbers.ipynb").read_text()
    assert str(ran_once) not in json.dumps(read_figure(figure))
    assert str(ran_once) not in executed
    assert "papermill" not in json.loads(executed)["metadata"]


def test_a_study_writes_down_how_far_it_is(ran):
    log = (ran / "build" / "pocket" / "study.log").read_text()
    line = r"\d\d:\d\d:\d\d pocket/02_numbers: cell 4/5 after [\d.]+ s"
    assert re.search(line, log), log
    assert re.search(r"pocket/03_alone: ended after [\d.]+ s", log)


def test_where_nothing_changed_nothing_runs(ran):
    figures = ran / "figures" / "pocket"
    before = {path: path.stat().st_mtime_ns for path in figures.iterdir()}
    assert set(study(ran).steps.values()) == {UNCHANGED}
    assert {path: path.stat().st_mtime_ns for path in before} == before
    # an output of a notebook or a remark of an editor is no change
    edit(ran / "notebooks" / "02_numbers.ipynb", '"outputs": []', '"outputs":  []')
    assert set(plan(ran).values()) == {UNCHANGED}
    # asking again that adds nothing leaves the log, and so all that reads it
    assert study(ran, force=True, only=["01"]).steps == {"01_ask": RAN}
    assert set(plan(ran).values()) == {UNCHANGED}


def test_a_changed_notebook_runs_with_what_reads_it_and_no_other(ran):
    edit(ran / "notebooks" / "03_alone.ipynb", "N = 3", "N = 4")
    planned = plan(ran)
    assert planned["03_alone"] == "runs, because notebook changed"
    assert planned["00_overview"] == "runs, because 03_alone runs"
    again = dict.fromkeys(("03_alone", "00_overview"), RAN)
    left = dict.fromkeys(("01_ask", "02_numbers"), UNCHANGED)
    assert study(ran).steps == left | again


def test_a_parameter_that_is_given_and_taken_back_leaves_no_trace(ran):
    halved = {"parameters": ["SCALE=0.5"], "only": ["2"]}
    assert plan(ran, **halved)["02_numbers"] == "runs, because parameters changed"
    assert study(ran, **halved).steps == {"01_ask": UNCHANGED, "02_numbers": RAN}
    results = ran / "figures" / "pocket" / "results"
    assert load_results(results / "02_numbers.json") == {"mean": 0.325}
    study(ran, only=["02"])
    assert set(plan(ran).values()) == {UNCHANGED}
    assert plan(ran, force=True, only=["3"]) == {"03_alone": "runs, because --force"}


def test_a_published_file_that_is_gone_or_altered_is_made_again(ran):
    figure = ran / "figures" / "pocket" / "fig02_bars.csv"
    drawn = figure.read_bytes()
    for spoil in (figure.unlink, lambda: figure.write_text("x\n1\n")):
        spoil()
        assert plan(ran)["02_numbers"] == "runs, because fig02_bars.csv changed"
    study(ran, only=["02"])
    assert figure.read_bytes() == drawn


def test_other_answers_are_seen_though_they_wait_beside_the_log(ran):
    with AnswerLog(ran / "answers.sqlite") as log:
        changed = log.read().assign(confidence=0.1).to_dict("records")
        log.append(changed, if_exists="replace")
        assert plan(ran)["01_ask"].startswith("runs, because answers.sqlite")


def test_two_profiles_are_one_graph_in_which_one_reads_the_other(toy):
    study(toy, only=["01"])
    write_notebook(
        toy / "notebooks",
        "04_beside",
        [toys.BESIDE],
        # for pocket these are its own: no circle
        reads=["pocket:results/02_numbers.json", "pocket:results/04_beside.json"],
        writes=["results/04_beside.json"],
    )
    mine = toy / "mine.toml"
    mine.write_text('summary = "mine"\nnotebooks = ["03", "04"]\n')
    answers = toy / "answers.sqlite"

    def both(**options):
        studies = [
            Study("pocket", answers=answers, only=["02"]),
            Study(mine, answers=answers),
        ]
        run_studies(studies, **options)
        return [one.steps for one in studies]

    planned = both(plan_only=True)
    assert planned[1]["04_beside"].endswith(" runs")
    ran = {"03_alone": RAN, "04_beside": RAN}
    theirs = {"01_ask": UNCHANGED, "02_numbers": RAN, "04_beside": RAN}
    assert both() == [theirs, ran]
    assert both()[1] == dict.fromkeys(ran, UNCHANGED)
    results = toy / "build" / "mine" / "figures" / "results" / "04_beside.json"
    assert load_results(results) == {"theirs": 0.65}
    # each alone knows what both together did
    assert plan(toy, only=["02"])["02_numbers"] == UNCHANGED


def test_same_study_elsewhere_gives_the_same_bytes_and_a_fast_one_goes_to_build(
    toy, tmp_path
):
    study(toy, only=["03"])
    other, here = tmp_path / "other", contents(toy / "figures" / "pocket")
    study(toy, answers=tmp_path / "elsewhere.sqlite", out=other, only=["03"])
    assert contents(other) == here
    assert not study(toy, fast=True, only=["03"]).failed
    assert (toy / "build" / "fast" / "pocket" / "figures" / "fig03_line.csv").is_file()
    assert contents(toy / "figures" / "pocket") == here


def test_a_figure_that_a_notebook_no_longer_makes_goes(toy):
    study(toy, only=["02"])
    folder = toy / "figures" / "pocket"
    old = []
    for kind in ("png", "svg", "csv"):
        old.append(folder / f"fig02_old.{kind}")
        shutil.copy(folder / f"fig02_bars.{kind}", old[-1])
    other = folder / "fig02_other.png"
    other.write_bytes(b"somebody else's")
    study(toy, only=["02"], force=True)
    assert not any(file.exists() for file in old)
    assert other.exists()
    assert (folder / "fig02_bars.png").is_file()


def test_what_a_processor_rounds_otherwise_is_not_published_again(toy):
    study(toy, only=["02"])
    table = toy / "figures" / "pocket" / "fig02_bars.csv"
    elsewhere = table.read_text().replace("0.4,", "0.400001,")
    assert elsewhere != table.read_text()
    table.write_text(elsewhere)
    assert study(toy, only=["02"]).steps["02_numbers"] == RAN
    assert table.read_text() == elsewhere
    study(toy, only=["02"], force=True)
    assert table.read_text() != elsewhere


def test_damaged_or_missing_recorded_answers_stop_a_study_before_it_runs(
    toy, monkeypatch
):
    folder = toy / "recorded"
    folder.mkdir()
    for name in ("manifest.json", "viper.parquet"):
        shutil.copy(recorded.recorded_folder() / name, folder / name)
    monkeypatch.setattr(recorded, "_CHECKOUT", folder)
    Study("readers", only=["00"])
    table = folder / "viper.parquet"
    table.write_bytes(table.read_bytes()[:-1] + b"x")
    with pytest.raises(MedcalError, match=r"viper\.parquet: is damaged or another"):
        Study("readers", only=["00"])
    table.unlink()
    with pytest.raises(MedcalError, match="no such file; get it"):
        Study("readers", only=["00"])
    assert not (toy / "figures" / "readers").exists()


def test_failure_is_named_and_publishes_nothing(toy):
    study(toy, only=["02", "03"])
    old, notebook = (
        contents(toy / "figures" / "pocket"),
        toy / "notebooks" / "02_numbers.ipynb",
    )
    edit(notebook, "ctx.results(", "fig, 1 / 0\\nctx.results(")
    edit(toy / "notebooks" / "03_alone.ipynb", "N = 3", "N = 5")
    done = study(toy, keep_going=True)
    previous = {"00_overview": "skipped because previous failed"}
    told = {"01_ask": UNCHANGED, "02_numbers": "failed", "03_alone": RAN}
    assert done.steps == told | previous
    copy = done.work / "notebooks" / notebook.name
    message = "in cell In [4]: ZeroDivisionError: division by zero; all of it in "
    assert done.failed == {"02_numbers": f"{message}{copy}"}
    assert "ZeroDivisionError" in copy.read_text()
    now = contents(toy / "figures" / "pocket")
    for name in old:
        assert (now[name] == old[name]) == name.startswith("fig02"), name
    assert plan(toy, only=["02"])["02_numbers"].startswith("runs")

    edit(notebook, "fig, 1 / 0", 'ctx.save(fig, \\"fig02_new\\", table)')
    done = study(toy, only=["02"])
    assert "it wrote 'fig02_new', which its metadata" in done.failed["02_numbers"]
    dies = "import os\\nos.kill(os.getpid(), 9)"
    edit(
        toy / "notebooks" / "01_ask.ipynb",
        "from medcal_nb.answers import AnswerLog",
        dies,
    )
    done = study(toy, only=["02"])
    assert done.steps == {"01_ask": "failed"}
    assert "the kernel died" in done.failed["01_ask"]
    assert contents(toy / "figures" / "pocket") == now


def test_answers_that_cannot_feed_a_notebook_leave_it_out(toy):
    too_few = 'from medcal_nb.errors import NotEnough\nif N > 5: raise NotEnough("one data set")\n'
    cells, writes = [too_few + toys.ALONE], ["fig03_line"]
    write_notebook(
        toy / "notebooks", "03_alone", cells, writes=writes, parameters="N = 3\n"
    )
    study(toy, only=["01"])
    (toy / "mine.toml").write_text('summary = "mine"\n[parameters.02]\nSCALE = 0.5\n')
    mine, asking = (
        {"profile": str(toy / "mine.toml")},
        {"01_ask": "left out: no model is asked"},
    )
    for told, where in (
        (
            "profile mine has not all of these notebooks: 01: choose from 00_o",
            {"only": ["01"]},
        ),
        ("asks no model, and .* is no file: .* --answers FILE", {"answers": None}),
        ("nothing.parquet is no file", {"answers": toy / "nothing.parquet"}),
    ):
        with pytest.raises(MedcalError, match=told):
            study(toy, **mine, **where)
    done = study(toy, **mine, only=["00"])
    ran = dict.fromkeys(("00_overview", "02_numbers", "03_alone"), RAN)
    assert done.steps == ran | asking
    # a profile sets the parameters of what runs only because another needs it, too
    results = toy / "build" / "mine" / "figures" / "results"
    assert load_results(results / "02_numbers.json") == {"mean": pytest.approx(0.325)}
    figure = toy / "build" / "mine" / "figures" / "fig03_line.png"
    assert figure.is_file()
    assert not list((toy / "figures" / "pocket").glob("fig*"))
    done = study(toy, **mine, parameters=["N=9"])
    left = {"03_alone": "left out, because one data set", "02_numbers": UNCHANGED}
    left |= {"00_overview": "left out, because no fig03_line"}
    assert done.steps == left | asking
    assert not figure.exists()  # it was of other answers
    assert not (results / "00_overview.json").exists()
    assert not (results / "00_overview.md").exists()
    assert plan(toy, **mine, parameters=["N=9"]) == left | asking
    assert study(toy, parameters=["N=9"], only=["3"]).steps == {"03_alone": "failed"}


SLOW = """\
import time
Path(OUT_DIR, "..", "..", "started").touch()
time.sleep(SLEEP)
"""


def alive(pid: int) -> bool:
    return (
        psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_study_leaves_published_figures_and_no_kernel_and_goes_on(
    toy, number
):
    study(toy, only=["02"])
    old, work = contents(toy / "figures" / "pocket"), toy / "build" / "pocket"
    slow = {
        "parameters": "SCALE = 3.0\nSLEEP = 600\n",
        "before": "from pathlib import Path\n",
    }
    toys.write_numbers(toy / "notebooks", SLOW, **slow)
    command = [sys.executable, "-m", "medcal_nb.cli", "study", "02", "--profile"]
    process = subprocess.Popen(
        [*command, "pocket", "--answers", str(toy / "answers.sqlite")],
        env=os.environ | {"MEDCAL_ROOT": str(toy)}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (work / "started").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    kernels = [
        child.pid for child in psutil.Process(process.pid).children(recursive=True)
    ]
    assert kernels
    process.send_signal(number)
    process.wait(900)
    assert contents(toy / "figures" / "pocket") == old
    if number != signal.SIGKILL:
        said = process.stderr.read()
        assert process.returncode == 130
        assert "Traceback" not in said
        assert said.endswith(
            "medcal: interrupted; the same command goes on where it was\n"
        )
        assert not any(map(alive, kernels))
    waited = time.monotonic()
    while any(map(alive, kernels)):  # of a killed study they notice it
        assert time.monotonic() - waited < 120, "a kernel outlives the study"
        time.sleep(0.2)
    assert plan(toy, only=["02"])["02_numbers"] == "runs, because notebook changed"
    done = study(toy, only=["02"], parameters=["SLEEP=0"])
    assert done.steps["02_numbers"] == RAN
    assert not (work / "stage").exists()
    assert contents(toy / "figures" / "pocket").keys() == old.keys()
    assert contents(toy / "figures" / "pocket") != old


MEET = """\
from pathlib import Path
import time
Path(ANSWERS).with_name(f"here-{NAME}").touch()
for _ in range(6000):
    if len(list(Path(ANSWERS).parent.glob("here-*"))) == 2:
        break
    time.sleep(0.1)
else:
    raise RuntimeError("alone")
"""


def test_what_takes_gigabytes_runs_one_at_a_time(toy, monkeypatch):
    mine = toy / "mine.toml"
    mine.write_text('summary = "mine"\nlarge = true\n')
    large = Study(mine, answers=toy / "notebooks" / "03_alone.ipynb")
    small = Study("pocket")
    runner = _Runner([large, small])
    inside = []
    most = []

    def carry_out(study, notebook, parameters):
        inside.append(study.profile.name)
        time.sleep(0.2)
        most.append(inside.count("mine") + (notebook.name == "01_ask"))
        time.sleep(0.2)
        inside.remove(study.profile.name)

    monkeypatch.setattr(runner, "_carry_out", carry_out)
    turns = [(large, "02_numbers"), (large, "03_alone"), (small, "01_ask")]
    with ThreadPoolExecutor() as pool:
        for study_, name in turns:
            pool.submit(runner._take_turns, study_, study_.notebooks[name], {})
    assert most == [1, 1, 1]


def test_notebooks_run_side_by_side(toy, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    for name in ("04_left", "05_right"):
        write_notebook(toy / "notebooks", name, [MEET], parameters=f"NAME = {name!r}\n")
    done = study(toy, only=["4", "5"])
    assert set(done.steps.values()) == {RAN}, done.failed


def test_a_second_study_in_the_same_folder_and_a_circle_are_refused(toy):
    (toy / "build").mkdir()
    with (
        FileLock(toy / "build" / "lock"),
        pytest.raises(MedcalError, match="another study is running"),
    ):
        study(toy)
    write_notebook(toy / "notebooks", "04_a", [], reads=["fig05_b"], writes=["fig04_a"])
    write_notebook(toy / "notebooks", "05_b", [], reads=["fig04_a"], writes=["fig05_b"])
    with pytest.raises(MedcalError, match="read each other in a circle"):
        study(toy, only=["4"])
