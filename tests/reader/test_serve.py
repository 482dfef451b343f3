"""The reader view as a command: what it serves, how it ends, what it exports."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from medcal_nb.cli import main
from medcal_nb.reader import serve
from medcal_nb.reader.decisions import DecisionLog
from tests.reader.conftest import ABOUT


def test_the_site_runs_this_interpreter_and_fetches_nothing(tmp_path):
    notebook = serve.write_site(tmp_path, tmp_path / "it's.sqlite", {"limit": 0.2})
    written = [p for p in tmp_path.rglob("*") if p.suffix in (".ipynb", ".json", ".j2")]
    assert len(written) == 4
    said = "".join(p.read_text() for p in written)
    assert "http" not in said
    assert sys.executable in said
    assert "it's.sqlite" in notebook.read_text()


@pytest.mark.skipif(os.name != "posix", reason="processes are listed by /proc")
def test_the_token_is_in_no_command_line_and_the_folder_goes(answers, tmp_path):
    """Port 0, a browser that writes down what it is given, SIGTERM."""
    browser, home = tmp_path / "browser", tmp_path / "tmp"
    browser.write_text(
        f'#!/bin/sh\ncd {tmp_path}\nfile="${{1#file://}}"\necho "$@" > told\n'
        'cat "$file" > page\nstat -c %a "$(dirname "$file")" > part\nmv part mode\n'
    )
    browser.chmod(0o700)
    home.mkdir()
    environment = os.environ | {
        "BROWSER": f"{browser} %s",
        "TMPDIR": str(home),
        "HOME": str(home),
    }
    command = [
        sys.executable,
        "-m",
        "medcal_nb.cli",
        "reader",
        str(answers),
        "--port",
        "0",
    ]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            address = re.search(
                r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)", process.stdout.readline()
            )
            port, token = address.groups()
            assert int(port) > 0
            end = time.monotonic() + 300
            while not (tmp_path / "mode").exists():
                assert time.monotonic() < end
                assert process.poll() is None
                time.sleep(0.2)
            lines = [
                p.read_bytes()
                for p in Path("/proc").glob("[0-9]*/cmdline")
                if readable(p)
            ]
            assert not any(token.encode() in line for line in lines)
        finally:
            process.terminate()
            assert process.wait(300) == 0
    assert token not in (tmp_path / "told").read_text()
    assert (tmp_path / "told").read_text().startswith("file:///")
    assert address.group() in (tmp_path / "page").read_text()
    assert (
        tmp_path / "mode"
    ).read_text().strip() == "700"  # of the folder: nobody else looks in
    assert not list(home.glob("medcal*"))
    assert answers.exists()


def readable(path):
    try:
        return bool(path.read_bytes())
    except OSError:
        return False


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["medcal", "reader", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def test_decisions_are_exported(answers, tmp_path, monkeypatch, capsys):
    kept = tmp_path / "d.sqlite"
    log = DecisionLog(kept)
    for name, action in (("ada", "accept"), ("bob", "accept"), ("ada", "defer")):
        log.append(
            action,
            **ABOUT | {"reader": name},
            item_id="q1",
            answer="yes",
            confidence=0.5,
            model_answer="yes",
            seconds=3.0,
        )
    log.undo(reader="ada")
    out = tmp_path / "out.csv"
    command = (answers, "--decisions", kept, "--export", out)
    assert not run(monkeypatch, *command)
    assert "3 rows" in capsys.readouterr().out
    table = pd.read_csv(out)
    assert table["reader"].tolist() == ["ada", "bob", "ada"]
    assert table["seconds"].tolist() == [3.0] * 3
    assert table["undone_at"].notna().tolist() == [False, False, True]
    # a second export and one over the decisions themselves are refused
    assert run(monkeypatch, *command) == 2
    assert "--force" in capsys.readouterr().err
    assert (
        run(monkeypatch, answers, "--decisions", kept, "--export", kept, "--force") == 2
    )
    assert len(log.read()) == 3
    assert (
        run(
            monkeypatch, answers, "--decisions", tmp_path / "no.sqlite", "--export", out
        )
        == 2
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--model", "nothing"],
            "no model 'nothing' with a confidence; there are simulated",
        ),
        (["--decisions", "/nowhere/d.sqlite"], "--decisions"),
        (["--max-risk", "20"], "'--max-risk': 20"),
        (["--port", "70000"], "--port 70000"),
        (["--export", "/nowhere/d.csv"], "no decision yet"),
    ],
)
def test_the_command_tells_in_one_line_what_is_wrong(
    answers, monkeypatch, capsys, options, said
):
    assert run(monkeypatch, answers, "--no-browser", *options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("medcal: error: ")
    assert said in line


@pytest.mark.skipif(os.name != "posix", reason="sockets have names")
def test_a_kernel_is_spoken_to_by_sockets_that_are_ours_alone():
    assert serve.transport_in(Path("/tmp/medcal-reader-12345678")) == "ipc"
    assert serve.transport_in(Path("/tmp") / ("long" * 20)) == "tcp"
