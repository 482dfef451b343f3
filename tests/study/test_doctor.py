"""The doctor: every topic is looked at, and damage is found."""

import hashlib
import json

from medcal_nb.study.doctor import examine


def test_topics_and_remedies(monkeypatch, tmp_path):
    monkeypatch.setenv("MEDCAL_ROOT", str(tmp_path))
    monkeypatch.setenv("MEDCAL_POCKET", str(tmp_path))
    found = {finding.topic: finding for finding in examine()}
    topics = ["medcal", "libraries", "notebooks", "pocket models", "machine", "disk", "GPU"]
    assert list(found) == topics
    assert "numpy" in found["libraries"].told
    for topic, remedy in (("notebooks", "MEDCAL_ROOT"), ("pocket models", "MEDCAL_POCKET")):
        assert found[topic].state == "missing"
        assert f"set {remedy}" in found[topic].told
    # weights are checked by their hashes
    (tmp_path / "pocket-m").mkdir()
    weights = tmp_path / "pocket-m" / "model.safetensors"
    weights.write_bytes(b"abd")
    listed = {"pocket-m": {weights.name: hashlib.sha256(b"abc").hexdigest()}}
    (tmp_path / "manifest.json").write_text(json.dumps(listed))
    (damaged,) = (finding for finding in examine() if finding.topic == "pocket models")
    assert damaged.state == "missing"
    assert f"{weights} is damaged" in damaged.told
