"""Profile files: those that come with the package, and what is refused."""

import json
from pathlib import Path

import pytest

from medcal_nb.answers.recorded import load_recorded
from medcal_nb.errors import MedcalError
from medcal_nb.study.profile import DEFAULT, FOLDER, load_profile

GOOD = """
summary = "toy"
seed = 4
[asking]
samples = 5
[[ask]]
models = ["a", "b"]
strategies = ["s", "t"]
items = [{ dataset = "d", split = "fit", n = 100 }, { dataset = "e" }]
[fast]
models = ["a"]
strategies = ["t"]
n = 10
[models.a]
revision = "main"
[parameters]
SOURCE = { domain = "general" }
N = 1
[parameters.04]
N = 2
"""


def written(tmp_path, text):
    path = tmp_path / "toy.toml"
    path.write_text(text)
    return path


def test_jobs_and_parameters(tmp_path):
    profile = load_profile(written(tmp_path, GOOD))
    jobs, sets = profile.jobs(), (("d", "fit", 100), ("e", None, None))
    wanted = [(model, *one) for model in "ab" for one in sets]
    assert [(j.model, j.dataset, j.split, j.n) for j in jobs] == wanted
    assert {(j.strategies, j.seed) for j in jobs} == {(("s", "t"), 4)}
    assert jobs[0].options == {"samples": 5, "revision": "main"}
    fast = [(j.model, j.dataset, j.n, j.strategies) for j in profile.jobs(fast=True)]
    assert fast == [("a", "d", 10, ("t",)), ("a", "e", 10, ("t",))]
    # SOURCE is a parameter of all; [parameters.04] is what one notebook gets
    for number, n in (("02", 1), ("04", 2)):
        given = profile.parameters(number, fast=True)
        assert given["SOURCE"] == {"domain": "general"}
        assert (given["N"], given["FAST"], given["PROFILE"]) == (
            n,
            True,
            str(profile.path),
        )


def test_an_old_name_is_the_profile_of_today():
    parameters = load_profile("real").parameters("04", fast=False)
    assert parameters["PROFILE"] == "recorded"


@pytest.mark.parametrize("name", DEFAULT)
def test_what_a_study_of_all_runs_says_whose_answers_it_looks_at(name):
    profile = load_profile(name)
    assert len(profile.world.split()) < 45
    assert profile.world.endswith(".")
    assert bool(profile.source) == bool(profile.recorded)
    assert "06" not in profile.notebooks or "02" in profile.notebooks


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.toml")))
def test_every_profile_loads_says_what_it_is_and_publishes_in_its_place(
    name, tmp_path, monkeypatch
):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setenv("MEDCAL_ROOT", str(tmp_path))
    profile = load_profile(name)
    assert profile.settings["summary"]
    assert profile.asks == (name in ("pocket", "hub", "served"))
    if profile.asks:
        full, fast = profile.jobs(), profile.jobs(fast=True)
        assert 0 < len(fast) <= len(full)
        splits = {(job.split, job.dataset) for job in fast}
        assert len(splits) > 1, "a fast run needs items to fit on and items to score"
    published = f"figures/{name}" if name in DEFAULT else f"build/{name}/figures"
    place = tmp_path / published
    assert profile.figures(fast=False) == place
    assert profile.figures(fast=True) == tmp_path / f"build/fast/{name}/figures"
    own = load_profile(written(tmp_path, profile.path.read_text(encoding="utf-8")))
    assert own.figures(fast=False) == tmp_path / "build/toy/figures"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed = 4", "sed = 4", "profile must not contain {'sed'} properties"),
        ("seed = 4", "seed = ", "no profile: Invalid value"),
        (
            'strategies = ["s", "t"]\nitems',
            "items",
            r"ask\[0\] must contain \['strategies'\]",
        ),
        ('split = "fit"', 'split = "train"', r"split must be one of \['fit', 'test'\]"),
        ("n = 100", "n = 0", "n must be bigger than or equal to 1"),
        ("n = 10\n", "m = 10\n", "profile.fast must not contain {'m'}"),
        ("samples = 5", "sample = 5", "profile.asking must not contain {'sample'}"),
        ("revision", "revisions", "profile.models.a must not contain {'revisions'}"),
    ],
)
def test_mistakes_are_named(tmp_path, old, new, message):
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(MedcalError, match=message) as caught:
        load_profile(path)
    assert str(path) in str(caught.value)


def test_unknown_profile_lists_the_known(tmp_path):
    with pytest.raises(MedcalError, match=r"no profile 'pockets':.*pocket"):
        load_profile("pockets")


NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
#: Of the bootstrap, and of labels drawn; the least that a conclusion rests on.
LEAST_DRAWS = {"N_RESAMPLES": 2000, "N_BOOT": 2000, "N_DRAWS": 2000}
#: Of what stands in a table beside the findings.
FEWER_DRAWS = {("logits", "N_DRAWS"): 200}


@pytest.mark.parametrize("profile", sorted(path.stem for path in FOLDER.glob("*.toml")))
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_conclusions_rest_on_two_thousand_resamples(profile, notebook):
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    (cell,) = (c for c in cells if "parameters" in c["metadata"].get("tags", []))
    values = {}
    exec("".join(cell["source"]), {}, values)
    values |= load_profile(profile).parameters(notebook.stem[:2], fast=False)
    for name, least in LEAST_DRAWS.items():
        if name in values:
            assert values[name] >= FEWER_DRAWS.get((profile, name), least)


def test_the_logits_are_of_all_models_and_say_that_they_are_no_medicine(root):
    """One half of the models by itself gave another headline than the other."""
    profile = load_profile("logits")
    recorded = load_recorded("vlm_uncertainty_bench")
    assert recorded["model"].nunique() == 26
    asked = profile.parameters("04", fast=False)
    for side in ("SOURCE", "TARGET", "MORE_TARGET"):
        assert asked[side].keys() == {"dataset"}  # no split of the models
    assert "Nothing here is about medicine" in profile.world
    told = root / "figures" / "logits" / "results" / "04_temperature_transfer.md"
    assert "of 26 models" in told.read_text(encoding="utf-8")
    assert "medical" not in told.read_text(encoding="utf-8")
