"""The doctor: every topic is looked at, and damage is found."""

import hashlib
import json

from medcal_nb.study.doctor import examine


def test_topics_and_remedies(monkeypatch, tmp_path):
    monkeypatch.setenv("MEDCAL_ROOT", str(tmp_path))
    monkeypatch.setenv("MEDCAL_POCKET", str(tmp_path))
    found = {topic: (state, told) for topic, state, told in examine()}
    assert list(found) == ["libraries", "notebooks", "pocket models", "machine"]
    assert "numpy" in found["libraries"][1]
    for topic, remedy in (("notebooks", "MEDCAL_ROOT"), ("pocket models", "MEDCAL_POCKET")):
        state, told = found[topic]
        assert state == "missing"
        assert f"set {remedy}" in told
    # weights are checked by their hashes
    (tmp_path / "pocket-m").mkdir()
    weights = tmp_path / "pocket-m" / "model.safetensors"
    weights.write_bytes(b"abd")
    listed = {"pocket-m": {weights.name: hashlib.sha256(b"abc").hexdigest()}}
    (tmp_path / "manifest.json").write_text(json.dumps(listed))
    (damaged,) = ((state, told) for topic, state, told in examine() if topic == "pocket models")
    assert damaged[0] == "missing"
    assert f"{weights} is damaged" in damaged[1]
