"""The command line as users meet it: help, version, one-line errors, exit codes."""

import subprocess
import sys

import pytest

import medcal_nb
from tests.study.test_run import PARAMETERS, write_notebook

COMMAND = [sys.executable, "-m", "medcal_nb.cli"]


def medcal(*words, **options):
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, **options)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    write_notebook(folder, "02_a", ["1 / SCALE"], parameters=PARAMETERS + "SCALE = 1\n")
    monkeypatch.setenv("MEDCAL_ROOT", str(tmp_path))
    return tmp_path


def test_version():
    done = medcal("--version")
    assert (done.returncode, done.stdout) == (0, f"medcal {medcal_nb.__version__}\n")


def test_help_lists_every_room():
    done = medcal("--help")
    assert done.returncode == 0
    for command in ("study", "verify", "doctor", "ask", "import", "score", "export"):
        assert f"\n  {command} " in done.stdout, command
    assert medcal("-h").stdout == done.stdout


def test_every_command_explains_itself():
    from medcal_nb.cli import app

    names = [c.name or c.callback.__name__.replace("_", "-") for c in app.registered_commands]
    assert len(names) == len(set(names))
    for command in app.registered_commands:
        assert (command.help or command.callback.__doc__ or "").strip(), command.name


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["study", "-p", "SCAL=2"], "-p SCAL: no parameter of 02_a: did you mean SCALE?"),
        (["study", "-p", "SCALE"], "-p 'SCALE': write NAME=VALUE"),
        (["study", "9"], "no notebook '9': choose from 02_a"),
        (["study", "--profile", "pockets"], "no profile 'pockets': choose one of"),
        (["study", "--profile", "imported"], "give a file of answers with --answers FILE"),
        (["study", "--profile", "imported", "--answers", "no.csv"], "no.csv: no such file"),
        (["study", "-j", "0"], "-j 0: give a whole number above 0"),
    ],
)
def test_mistakes_are_told_in_one_line(checkout, words, said):
    done = medcal(*words)
    assert done.returncode == 2
    assert done.stderr.startswith("medcal: error: ")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (checkout / "build").exists()


def test_wrong_usage_exits_with_2():
    done = medcal("studdy")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_list_runs_nothing(checkout):
    done = medcal("study", "--list")
    assert done.returncode == 0
    assert done.stderr == "02_a  runs: no earlier run\n"
    assert not (checkout / "build").exists()


@pytest.mark.notebooks
def test_failed_notebook_exits_with_1(checkout):
    done = medcal("study", "-p", "SCALE=0")
    assert done.returncode == 1
    assert "medcal: error: 02_a failed in cell In [3]: ZeroDivisionError: division by zero" in (
        done.stderr
    )
    assert "Traceback (most recent call last):\n  File" not in done.stderr


def test_package_without_notebooks_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDCAL_ROOT", str(tmp_path))
    done = medcal("study")
    assert done.returncode == 2
    assert "set MEDCAL_ROOT to the clone" in done.stderr


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        ("MedcalError('a.csv: row 3')", 2, "medcal: error: a.csv: row 3\n"),
        ("MedcalError('two\\nlines')", 2, "medcal: error: two lines\n"),
        ("OSError(28, 'No space left', 'x.db')", 2, "no space left on the disk writing x.db"),
        ("PermissionError(13, 'denied', 'x.db')", 2, "x.db: permission denied"),
        ("KeyboardInterrupt()", 130, "medcal: interrupted; the same command goes on where it was"),
    ],
)
def test_faults_become_exit_codes(fault, code, said):
    program = f"""
from medcal_nb.cli import app, main
from medcal_nb.errors import MedcalError
import sys
@app.command("fail")
def fail():
    raise {fault}
sys.argv = ["medcal", "fail"]
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
