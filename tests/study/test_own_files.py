"""No command of the study deletes or alters a file that it did not make."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from medcal_nb.answers import AnswerLog
from medcal_nb.errors import MedcalError
from medcal_nb.study import load_profile
from medcal_nb.study.asking import ask_profile
from medcal_nb.study.own_log import check_own_log, note_beside
from tests.study.toy import study

ROW = {
    "model": "mine", "dataset": "d", "domain": "general", "question_type": "closed", "gold": "yes",
    "split": "test", "strategy": "verbalized", "sample": 0, "parse_ok": True, "item_id": "a",
    "image_id": "a", "answer": "yes", "confidence": 0.9, "correct": True,
}  # fmt: skip


@pytest.fixture
def mine(tmp_path) -> Path:
    """A log of the user's own, left by a killed writer: rows wait in its -wal file."""
    path = tmp_path / "mine.sqlite"
    script = (
        "import json, os, sys\nfrom medcal_nb.answers import AnswerLog\n"
        "AnswerLog(sys.argv[1]).close()\nlog = AnswerLog(sys.argv[1])\nlog.keys()\n"
        "log.append(json.loads(sys.argv[2]))\nos._exit(9)"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(path), json.dumps([ROW])], check=False
    )
    assert path.with_name("mine.sqlite-wal").stat().st_size > 0
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("mine.sqlite*")}


def test_asking_into_a_foreign_log_is_refused_by_name(toy, mine):
    before = content(toy)
    remedy = re.escape(f"`medcal study --profile imported --answers {mine}`")
    for options in (
        {},
        {"force": True, "keep_going": True},
        {"profile": "hub", "fast": True},
    ):
        with pytest.raises(MedcalError, match=remedy) as caught:
            study(toy, answers=mine, **options)
        assert f"{mine}: holds answers" in str(caught.value)
        assert content(toy) == before
    # a note that does not name all models protects it, too, and the notebook that asks refuses it
    for note in ("", '{"jobs": [{"model": "pocket-general"}]}'):
        note_beside(mine).write_text(note)
        with pytest.raises(MedcalError, match=remedy):
            ask_profile(load_profile("pocket"), mine, fast=True)
    job = {"model": "mine", "dataset": "d", "strategies": ["verbalized"]}
    note_beside(mine).write_text(json.dumps({"jobs": [job]}))
    check_own_log(mine)
    with AnswerLog(mine, read_only=True) as log:
        assert log.read()["model"].tolist() == ["mine"]


@pytest.mark.notebooks
def test_imported_answers_are_only_read(toy, mine):
    with AnswerLog(mine, read_only=True) as log:
        before = log.read()
    written = mine.read_bytes()
    done = study(toy, profile="imported", answers=mine, only=["02"])
    assert not done.failed
    assert mine.read_bytes() == written
    with AnswerLog(mine, read_only=True) as log:
        assert log.read().equals(before)


def test_a_folder_that_no_study_made_is_not_published_to(toy, tmp_path):
    (folder := tmp_path / "talk").mkdir()
    (folder / "fig03_line.png").write_bytes(b"drawn by hand")
    (toy / "figures" / "pocket").mkdir(parents=True)
    (toy / "figures" / "pocket" / "notes.txt").write_text("mine")
    for out in (
        folder,
        toy / "figures" / "pocket",
    ):  # where the full study publishes a fast one does not
        with pytest.raises(MedcalError, match="holds what no study made"):
            study(toy, out=out, only=["03"], fast=True)
        assert len(list(out.iterdir())) == 1


def test_a_foreign_figure_is_named_and_left_as_it_is(toy):
    (toy / "figures" / "pocket").mkdir(parents=True)
    own = toy / "figures" / "pocket" / "fig03_line.png"
    own.write_bytes(b"drawn by hand")
    for options in ({}, {"plan_only": True}, {"force": True}):
        with pytest.raises(MedcalError, match=r"fig03_line\.png: not known as"):
            study(toy, only=["03"], **options)
        assert own.read_bytes() == b"drawn by hand"
    own.write_bytes(b"my own medcal drawing")
    with pytest.raises(MedcalError, match="not known as a study's"):
        study(toy, only=["03"], plan_only=True)
