"""Profile files: those that come with the package, and what is refused."""

import pytest

from medcal_nb.errors import MedcalError
from medcal_nb.study import load_profile
from medcal_nb.study.profiles import FOLDER

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
"""


def written(tmp_path, text):
    path = tmp_path / "toy.toml"
    path.write_text(text)
    return path


def test_jobs(tmp_path):
    profile = load_profile(written(tmp_path, GOOD))
    jobs = profile.jobs()
    assert [(j.model, j.dataset, j.split, j.n) for j in jobs] == [
        ("a", "d", "fit", 100),
        ("a", "e", None, None),
        ("b", "d", "fit", 100),
        ("b", "e", None, None),
    ]
    assert {j.strategies for j in jobs} == {("s", "t")}
    assert {j.seed for j in jobs} == {4}
    assert jobs[0].options == {"samples": 5, "revision": "main"}
    fast = profile.jobs(fast=True)
    assert [(j.model, j.dataset, j.n, j.strategies) for j in fast] == [
        ("a", "d", 10, ("t",)),
        ("a", "e", 10, ("t",)),
    ]


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.toml")))
def test_every_profile_loads_and_says_what_it_is(name):
    profile = load_profile(name)
    assert profile.summary
    assert profile.asks == (name not in ("imported", "real", "logits"))
    if profile.asks:
        full, fast = profile.jobs(), profile.jobs(fast=True)
        assert 0 < len(fast) <= len(full)
        splits = {(job.split, job.dataset) for job in fast}
        assert len(splits) > 1, "a fast run needs items to fit on and items to score"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed = 4", "sed = 4", r"\$: .*'sed' was unexpected"),
        ("seed = 4", "seed = ", "not valid TOML"),
        (
            'models = ["a", "b"]',
            'models = "a"',
            r"\$\.ask\[0\]\.models: 'a' is not of type 'array'",
        ),
        ('strategies = ["s", "t"]\nitems', "items", r"\$\.ask\[0\]: 'strategies' is a required"),
        ('split = "fit"', 'split = "train"', r"'train' is not one of \['fit', 'test'\]"),
        ("n = 100", "n = 0", "n: 0 is less than the minimum of 1"),
        ('{ dataset = "e" }', '{ data = "e" }', "'dataset' is a required|'data' was unexpected"),
        ("n = 10\n", "m = 10\n", r"\$\.fast: .*'m' was unexpected"),
        ("samples = 5", "sample = 5", r"\$\.asking: .*'sample' was unexpected"),
        ("revision", "revisions", r"\$\.models\.a: .*'revisions' was unexpected"),
        ("[[ask]]", "[ask]", r"\$\.ask: .* is not of type 'array'"),
    ],
)
def test_mistakes_are_named(tmp_path, old, new, message):
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(MedcalError, match=message) as caught:
        load_profile(path)
    assert str(path) in str(caught.value)


def test_unknown_profile_lists_the_known(tmp_path):
    with pytest.raises(MedcalError, match=r"no profile 'pockets': choose one of .*pocket"):
        load_profile("pockets")
    (tmp_path / "pocket.toml").write_text(GOOD)
    with pytest.raises(MedcalError, match="rename the file"):
        load_profile(tmp_path / "pocket.toml")


def test_a_profile_sets_parameters_of_all_notebooks_and_of_one(tmp_path):
    text = '[parameters]\nSOURCE = { domain = "general" }\nN = 1\n[parameters.04]\nN = 2\n'
    profile = load_profile(written(tmp_path, text))
    assert profile.parameters("02_x") == {"SOURCE": {"domain": "general"}, "N": 1}
    assert profile.parameters("04_x")["N"] == 2


def test_parameters_that_are_tables_reach_every_notebook():
    """SOURCE = { dataset = … } is a parameter; [parameters.04] is what one notebook gets."""
    logits = load_profile("logits")
    assert logits.parameters("04_temperature_transfer")["SOURCE"] == {"dataset": "mmbench"}
    assert logits.parameters("04_temperature_transfer")["METHOD"] == "temperature"
    assert logits.parameters("02_metrics") == {
        name: value for name, value in logits.settings["parameters"].items() if name != "04"
    }
