"""The doctor: every topic is looked at, and damage is found."""

import hashlib
import json

from medcal_nb.study.doctor import _weights, examine


def test_topics_and_remedies(monkeypatch, tmp_path):
    monkeypatch.setenv("MEDCAL_ROOT", str(tmp_path))
    monkeypatch.setenv("MEDCAL_POCKET", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "https://127.0.0.1:9")
    found = {finding.topic: finding for finding in examine()}
    topics = {"Python", "medcal", "libraries", "notebooks", "machine", "disk", "GPU", "hub"}
    assert topics <= found.keys()
    assert found["Python"].state == "ok"
    assert "numpy" in found["libraries"].told
    # a folder without notebooks
    assert found["notebooks"].state == "missing"
    assert "set MEDCAL_ROOT" in found["notebooks"].told
    assert found["hub"].state == "note"
    # and without models
    assert found["pocket models"].state == "missing"
    assert "set MEDCAL_POCKET" in found["pocket models"].told


def test_weights_are_checked_by_hash(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDCAL_POCKET", str(tmp_path))
    (tmp_path / "m").mkdir()
    weights = tmp_path / "m" / "model.safetensors"
    weights.write_bytes(b"abc")
    digest = hashlib.sha256(b"abc").hexdigest()
    listed = {"m": {"model.safetensors": digest}}
    (tmp_path / "manifest.json").write_text(json.dumps(listed))
    assert _weights().state == "ok"
    weights.write_bytes(b"abd")
    assert _weights().state == "missing"
    told = _weights().told
    assert f"{weights} is absent or damaged: `git checkout data/pocket` restores it" in told
    assert "`make pocket` makes it again" in told
    (tmp_path / "manifest.json").write_text("{")
    assert "manifest.json is absent or damaged" in _weights().told
