"""Writing a file of the user: whole or not at all, and never over what is not ours."""

import os
import sqlite3
import subprocess
import sys

import pytest

from medcal_nb import files
from medcal_nb.errors import MedcalError
from medcal_nb.files import new_file


def write(path, text="new", **options):
    with new_file(path, **options) as part:
        part.write_text(text)


def test_a_file_is_made_whole_or_not_at_all(tmp_path):
    write(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "new"
    with pytest.raises(ZeroDivisionError), new_file(tmp_path / "b.csv") as part:
        part.write_text(f"half {1 / 0}")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_what_is_there_is_kept_unless_forced(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(MedcalError, match=r"there already.*--force"):
        write(path)
    assert path.read_text() == "old"
    write(path, force=True)
    assert path.read_text() == "new"


def test_sources_logs_folders_pipes_and_dead_links_are_refused_even_when_forced(
    tmp_path,
):
    source, log, pipe = tmp_path / "s.csv", tmp_path / "log.sqlite", tmp_path / "pipe"
    source.write_text("rows")
    (tmp_path / "same.csv").hardlink_to(source)
    with sqlite3.connect(log) as db:
        db.execute("create table t (x)")
    before = log.read_bytes()
    os.mkfifo(pipe)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "link.csv").symlink_to(source)
    for path, why in [
        (source, "is what would be read"),
        (tmp_path / "same.csv", "is what would be read"),
        (tmp_path / "link.csv", "is what would be read"),
        (log, "an answers log"),
        (pipe, "no regular file"),
        (tmp_path, "a folder"),
        (tmp_path / "none" / "x.csv", "make it first"),
        (tmp_path / "dangling", "a link to nothing"),
        (tmp_path / ("x" * 300), "can't be written"),
    ]:
        with pytest.raises(MedcalError, match=why):
            write(path, force=True, sources=[source])
    assert source.read_text() == "rows"
    assert log.read_bytes() == before
    assert not list(tmp_path.glob(".*.part"))


def test_parts_of_the_dead_are_removed_and_those_of_the_living_kept(tmp_path):
    path = tmp_path / "a.csv"
    code = (
        "import os, sys; from medcal_nb.files import new_file\n"
        "with new_file(sys.argv[1]) as part: print(part, flush=True); sys.stdin.read()"
    )
    there = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    part = there.stdout.readline().strip()
    write(path)
    assert os.path.exists(part), "a part in use was removed"
    there.kill()
    there.wait()
    assert os.path.exists(part)
    write(path, force=True)
    assert not os.path.exists(part)


def test_no_part_is_seen_before_it_is_locked(tmp_path, monkeypatch):
    """Another process would take it for one of the dead, and remove it."""
    lock, seen = files._lock, []

    def watched(handle):
        seen.append(list(tmp_path.glob(".*.part")))
        lock(handle)

    monkeypatch.setattr(files, "_lock", watched)
    write(tmp_path / "a.csv")
    assert seen == [[]]
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
