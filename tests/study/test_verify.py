"""What is published is verified by a rerun elsewhere; the doctor names what is missing."""

import hashlib
import json

import pytest
from typer.testing import CliRunner

from medcal_nb.cli import app
from medcal_nb.errors import MedcalError
from tests.study.toy import edit, study


def told(*words):
    done = CliRunner().invoke(app, words)
    if isinstance(done.exception, MedcalError):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.notebooks
def test_a_published_study_and_what_can_be_wrong_with_it(toy):
    study(toy, only=["3"])
    code, said, _ = told("verify", "3", "--profile", "pocket")
    assert (code, said.split()) == (0, ["pocket", "fig03_line", "agrees"])
    edit(toy / "figures" / "pocket" / "fig03_line.csv", "3", "4")
    code, said, remark = told("verify", "3", "--profile", "pocket")
    assert code == 1
    assert "first diff: 3 != 4" in said
    assert "1 of 1 figures differ" in remark
    # a study that fails is no agreement
    edit(toy / "notebooks" / "03_alone.ipynb", "ctx.save(", "1 / 0\\nctx.save(")
    with pytest.raises(
        MedcalError, match=r"pocket: 03_alone: in cell .*ZeroDivisionError"
    ):
        told("verify", "3", "--profile", "pocket")


def test_the_doctor_names_what_is_missing_and_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("MEDCAL_ROOT", str(tmp_path))
    with pytest.raises(MedcalError, match="set MEDCAL_ROOT"):
        told("doctor")
    (tmp_path / "notebooks").mkdir()
    code, said, _ = told("doctor")
    assert code == 0
    for topic in ("libraries", "machine", "pocket models", "notebooks"):
        assert f"\n{topic} " in f"\n{said}"
    monkeypatch.setenv("MEDCAL_POCKET", str(tmp_path))
    with pytest.raises(MedcalError, match="set MEDCAL_POCKET"):
        told("doctor")
    # weights are checked by their hashes
    (tmp_path / "pocket-m").mkdir()
    weights = tmp_path / "pocket-m" / "model.safetensors"
    weights.write_bytes(b"abd")
    listed = {"pocket-m": {weights.name: hashlib.sha256(b"abc").hexdigest()}}
    (tmp_path / "manifest.json").write_text(json.dumps(listed))
    with pytest.raises(MedcalError, match=f"{weights}: is damaged"):
        told("doctor")
