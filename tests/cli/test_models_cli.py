"""``medcal models`` as a user types it."""

import json

from medcal_nb.datasets.pocket import list_pocket, pocket_home
from tests.cli.test_answers_cli import medcal


def test_models_are_listed_with_size_and_use():
    lines = medcal("models").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list_pocket()
    for line in lines:
        recipe = json.loads(
            (pocket_home() / line.split()[0] / "recipe.json").read_text()
        )
        assert f"{recipe['parameters'] / 1e6:.2f} M parameters" in line
        assert ("clip_zero_shot" in line) == line.startswith("pocket-clip")


def test_no_models_at_hand(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDCAL_POCKET", str(tmp_path))
    done = medcal("models", ok=False)
    assert done.returncode == 2
    assert "set MEDCAL_POCKET" in done.stderr
    assert done.stderr.count("\n") == 1
