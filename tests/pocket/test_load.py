"""Finding and checking the shipped models."""

import json
import shutil

import pytest

from medcal_nb.errors import MedcalError
from medcal_nb.pocket import load


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with one shipped model, copied so that it can be damaged."""
    source = load.pocket_home()
    name = next(name for name in load.list_pocket() if name != "pocket-clip")
    shutil.copytree(source / name, tmp_path / name)
    whole = json.loads((source / load.MANIFEST).read_text())
    (tmp_path / load.MANIFEST).write_text(json.dumps({name: whole[name]}))
    monkeypatch.setenv(load.VARIABLE, str(tmp_path))
    return tmp_path, name


def test_all_shipped_files_are_whole_and_small():
    home = load.pocket_home()
    total = 0
    for name in load.list_pocket():
        folder = load.pocket_dir(name)
        total += sum(file.stat().st_size for file in folder.iterdir())
        recipe = json.loads((folder / "recipe.json").read_text())
        assert recipe["name"] == name
        assert (folder / "training.csv").read_text().count("\n") > 2
    assert total < 60 * 2**20
    assert sorted(path.name for path in home.iterdir() if path.is_dir()) == load.list_pocket()


def test_load_gives_a_model_for_the_cpu(home):
    _, name = home
    model, processor = load.load_pocket(name)
    assert not model.training
    assert str(model.dtype) == "torch.float32"
    assert processor.tokenizer.padding_side == "left"


def test_damage_is_told(home):
    folder, name = home
    path = folder / name / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(MedcalError, match=r"model\.safetensors is damaged .*train-pocket"):
        load.load_pocket(name)


def test_absence_is_told(home):
    folder, name = home
    (folder / name / "tokenizer.json").unlink()
    with pytest.raises(MedcalError, match=r"tokenizer\.json is missing"):
        load.load_pocket(name)


def test_unknown_names_are_told(home):
    _, name = home
    with pytest.raises(
        MedcalError, match=f"'pocket-huge' is no pocket model: choose one of {name}"
    ):
        load.load_pocket("pocket-huge")


def test_no_home_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv(load.VARIABLE, str(tmp_path))
    with pytest.raises(MedcalError, match="set MEDCAL_POCKET"):
        load.list_pocket()
    (tmp_path / load.MANIFEST).write_text("{")
    with pytest.raises(MedcalError, match="is no JSON"):
        load.list_pocket()


def test_manifest_is_entered_and_replaced(tmp_path):
    folder = tmp_path / "pocket-new"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    load.enter_in_manifest(folder)
    first = json.loads((tmp_path / load.MANIFEST).read_text())
    (folder / "a.txt").write_text("b")
    load.enter_in_manifest(folder)
    second = json.loads((tmp_path / load.MANIFEST).read_text())
    assert first["pocket-new"].keys() == second["pocket-new"].keys() == {"a.txt"}
    assert first != second
