"""Writing files and folders of the user: whole or not at all, and never over what is not ours."""

import json
import os
import sqlite3

import pytest

from medcal_nb.errors import MedcalError
from medcal_nb.files import LIST, file_hash, new_file, new_folder


def write(path, text="new", **options):
    with new_file(path, **options) as part:
        part.write_text(text)


def put(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def make(path, *names, **options):
    with new_folder(path, **options) as part:
        put(part, dict.fromkeys(names, "new"))


def tree(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != LIST
    }


def test_a_file_is_made_whole_or_not_at_all_and_replaced_by_force_alone(tmp_path):
    path = tmp_path / "a.csv"
    write(path, "old")
    with pytest.raises(MedcalError, match=r"there already.*--force"):
        write(path)
    assert tree(tmp_path) == {"a.csv": "old"}
    write(path, force=True)
    with pytest.raises(ZeroDivisionError), new_file(tmp_path / "b.csv") as part:
        part.write_text(f"half {1 / 0}")
    assert tree(tmp_path) == {"a.csv": "new"}


def test_sources_logs_folders_and_pipes_are_refused_even_when_forced(tmp_path):
    source, log, pipe = tmp_path / "s.csv", tmp_path / "log.sqlite", tmp_path / "pipe"
    source.write_text("rows")
    (tmp_path / "same.csv").hardlink_to(source)
    with sqlite3.connect(log) as db:
        db.execute("create table t (x)")
    before = log.read_bytes()
    os.mkfifo(pipe)
    (tmp_path / "link.csv").symlink_to(source)
    for name, why in [
        ("s.csv", "is what would be read"),
        ("same.csv", "is what would be read"),
        ("link.csv", "is what would be read"),
        ("log.sqlite", "an answers log"),
        ("pipe", "no regular file"),
        (".", "a folder"),
        ("none/x.csv", "make it first"),
        ("x" * 300, "can't be written"),
    ]:
        with pytest.raises(MedcalError, match=why):
            write(tmp_path / name, force=True, sources=[source])
    assert (source.read_text(), log.read_bytes()) == ("rows", before)
    assert not list(tmp_path.glob(".*.part"))


def test_a_folder_of_ours_is_made_whole_and_replaced_with_its_older_files(tmp_path):
    folder = tmp_path / "rep"
    folder.mkdir()
    make(folder, "page.html", "tables/a.csv")
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "b") as part:
        (part / "half").write_text(f"{1 / 0}")
    with pytest.raises(MedcalError, match="there already"):
        make(folder, "page.html")
    assert sorted(tree(tmp_path)) == ["rep/page.html", "rep/tables/a.csv"]
    make(folder, "page.html", "tables/b.csv", force=True)
    assert sorted(tree(folder)) == ["page.html", "tables/b.csv"]
    (folder / "page.html").write_text("new, and edited")
    with pytest.raises(MedcalError, match=r"page\.html.* changed since"):
        make(folder, "page.html", force=True)
    assert tree(folder)["page.html"] == "new, and edited"
    assert [path.name for path in tmp_path.iterdir()] == ["rep"]


@pytest.mark.parametrize(
    ("mine", "named"),
    [
        ({"papers/thesis.tex": "x"}, "papers/thesis.tex"),
        ({"a.csv": "x", "report.json": '{"files": ["a.csv"]}'}, "a.csv"),
        ({LIST: "not JSON", "page.html": "x"}, "page.html"),
        ({LIST: '["page.html"]', "page.html": "x"}, "page.html"),
        ({LIST: '{"files": ["../../outside.txt"]}', "page.html": "x"}, "page.html"),
        ({LIST: '{"files": {"page.html": 7}}', "page.html": "x"}, "page.html"),
    ],
)
def test_a_file_of_somebody_else_is_named_and_nothing_goes(tmp_path, mine, named):
    """With force too."""
    put(tmp_path, {"outside.txt": "mine"})
    folder = tmp_path / "proj" / "rep"
    put(folder, mine)
    before = tree(tmp_path)
    for force in (False, True):
        with pytest.raises(MedcalError, match=f"holds {named}, which medcal did not"):
            make(folder, "page.html", force=force)
    assert tree(tmp_path) == before


def test_what_comes_or_is_listed_otherwise_while_we_write_stays(tmp_path):
    folder = tmp_path / "rep"
    make(folder, "page.html")
    refused = pytest.raises(MedcalError, match="holds late")
    with refused, new_folder(folder, force=True):
        (folder / "late").write_text("mine")
    assert tree(folder) == {"late": "mine", "page.html": "new"}
    refused = pytest.raises(MedcalError, match=r"there already|can't be")
    with refused, new_folder(tmp_path / "b"):
        make(tmp_path / "b", "other.html")
    assert tree(tmp_path / "b") == {"other.html": "new"}
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    listed = json.loads((tmp_path / "b" / LIST).read_text())
    digest = file_hash(outside)
    listed["files"] |= {"../outside.txt": digest, str(outside): digest}
    (tmp_path / "b" / LIST).write_text(json.dumps(listed))
    make(tmp_path / "b", "page.html", force=True)
    assert outside.read_text() == "mine"


@pytest.mark.parametrize("name", ["file", "link", "no/such", "."])
def test_what_is_no_folder_to_write_is_refused(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(MedcalError):
        make(name, "page.html", force=True)
    assert (tmp_path / "file").read_text() == "mine"
