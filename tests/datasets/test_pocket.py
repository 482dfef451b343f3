"""The synthetic benchmark: models, items and recorded answers, found and checked."""

import json
import shutil

import pandas as pd
import pytest

from data.pocket.factory.record import content_hash, enter_in_manifest
from medcal_nb.ask.models import resolve_model
from medcal_nb.datasets import load_items, pocket
from medcal_nb.errors import MedcalError


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with one shipped model, copied so that it can be damaged."""
    source = pocket.pocket_home()
    name = next(name for name in pocket.list_pocket() if name != "pocket-clip")
    folder = tmp_path / "data" / "pocket"
    shutil.copytree(source / name, folder / name)
    shutil.copytree(source / "fresh", folder / "fresh")
    whole = json.loads((source / pocket.MANIFEST).read_text())
    (folder / pocket.MANIFEST).write_text(json.dumps({name: whole[name]}))
    monkeypatch.setenv("MEDCAL_ROOT", str(tmp_path))
    return folder, name


def test_all_shipped_files_are_whole_and_small():
    home = pocket.pocket_home()
    for name in pocket.list_pocket():
        folder = pocket.pocket_dir(name)
        recipe = json.loads((folder / "recipe.json").read_text())
        assert recipe["name"] == name
        assert (folder / "training.csv").read_text().count("\n") > 2
    listed = json.loads((home / pocket.MANIFEST).read_text())
    files = [home / name / file for name in listed for file in listed[name]]
    assert sum(file.stat().st_size for file in files) < 60e6
    there = {path.name for path in home.iterdir() if path.is_dir()} - {"factory"}
    assert there == set(listed) == {*pocket.list_pocket(), "items", "fresh"}


def test_damage_and_absence_are_told(home):
    folder, name = home
    path = folder / name / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(MedcalError, match=r"safetensors: is damaged.*git checkout"):
        resolve_model(name)
    path.unlink()
    with pytest.raises(MedcalError, match=r"model\.safetensors: there is no"):
        resolve_model(name)
    with pytest.raises(MedcalError, match=f"no pocket model .*; there are {name}"):
        resolve_model("pocket-huge")
    (folder / pocket.MANIFEST).unlink()
    with pytest.raises(MedcalError, match="export MEDCAL_ROOT"):
        pocket.list_pocket()


# of what the items say and show, made by the code that first drew them: they never change
ITEMS = {
    ("general", "fit"): "579ef3690bf05637dc31503e8e82b101b6d49b3b84327abf6e1d8f7b68e11d0a",
    ("general", "test"): "c00765780e88342ffa49a26cb40afa80912b17dbf50dc5737c0f5e86a2a1b351",
    ("medical", "fit"): "74d046e9b916bc92e28b3d4392b10c0d45e84ec729b034b4abce07ab15a2d4e2",
    ("medical", "test"): "44585e8059b2c54f754e3510fab508ca8224480632bf94f589979c94205956ba",
}  # fmt: skip


@pytest.mark.parametrize(("domain", "split"), ITEMS)
def test_items_never_change(domain, split):
    items = pocket.load(f"pocketvqa-{domain}", split=split)
    assert content_hash(items) == ITEMS[domain, split]
    assert set(items["dataset"]) == {f"pocketvqa-{domain}"}


def test_a_subset_is_drawn_by_its_seed():
    whole = load_items("pocketvqa-medical", split="test")
    one, same, other = (
        load_items("pocketvqa-medical", split="test", n=40, seed=s) for s in (0, 0, 2)
    )
    pd.testing.assert_frame_equal(one, same)
    assert list(one["item_id"]) != list(other["item_id"])
    assert set(one["item_id"]) <= set(whole["item_id"])
    # the rows that the code drew which first published them
    first = "pocket-medical/test/x-ray/0000{}/1"
    assert one["item_id"].tolist()[:3] == [first.format(i) for i in range(3)]


def test_fresh_answers_are_many_and_of_no_split():
    dataset, model = "pocketvqa-medical", "pocket-medical"
    stated = pocket.fresh_answers(dataset, model, "verbalized")
    assert stated["item_id"].nunique() == len(stated) == 20_000
    assert not set(stated["image_id"]) & set(pocket.load(dataset)["image_id"])
    called = pocket.fresh_answers(dataset, model, "option_probability")
    assert set(called["question_type"]) == {"closed", "choice"}
    for row in called.iloc[::500].to_dict("records"):
        assert row["option_probabilities"][row["answer"]] == row["confidence"]
    with pytest.raises(MedcalError, match=r"pocket-expert\.parquet: there is no such"):
        pocket.fresh_answers("pocketvqa-general", "pocket-expert", "verbalized")


def test_damaged_answers_are_told(home):
    folder, _ = home
    enter_in_manifest(folder / "fresh")
    name = "pocketvqa-general--pocket-general.parquet"
    with (folder / "fresh" / name).open("ab") as file:
        file.write(b"x")
    with pytest.raises(MedcalError, match="is damaged"):
        pocket.fresh_answers("pocketvqa-general", "pocket-general", "verbalized")
    with pytest.raises(MedcalError, match=r"pocketvqa-general\.parquet: there is no"):
        pocket.load("pocketvqa-general")
