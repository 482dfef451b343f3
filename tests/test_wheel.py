"""The wheel, built from what git tracks and used where there is no checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
BUILT_FROM = (
    "setup.py",
    "MANIFEST.in",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "medcal_nb",
)

pytestmark = pytest.mark.slow


def done(command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    for name in BUILT_FROM:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, folder / name)
    shutil.copytree(
        ROOT / "data", folder / "data", ignore=shutil.ignore_patterns("fetched")
    )
    (folder / "data" / "pocket" / "left-by-training.checkpoint.pt").write_bytes(b"x")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
    ]
    built = done([*pip, "--wheel-dir", str(folder / "dist"), str(folder)], cwd=folder)
    assert built.returncode == 0, built.stderr
    return next((folder / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def medcal(wheel, tmp_path_factory):
    """The installed command, in an environment that borrows the libraries but not the checkout."""
    home = tmp_path_factory.mktemp("home")
    done([sys.executable, "-m", "venv", "--without-pip", str(home / "env")], check=True)
    python = home / "env" / "bin" / "python"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-deps",
    ]
    installed = done([*pip, "--no-index", str(wheel)])
    assert installed.returncode == 0, installed.stderr
    ours = next((home / "env").glob("lib/python*/site-packages"))
    (ours / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    clean = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("MEDCAL_", "PYTHONPATH"))
    }
    work = home / "work"
    work.mkdir()

    def medcal(*words, env=None):
        command = [str(python.parent / "medcal"), *map(str, words)]
        return done(command, cwd=work, env=clean | (env or {}))

    medcal.work, medcal.package = work, ours / "medcal_nb"
    return medcal


def test_it_holds_the_package_and_the_models(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert not [
        name for name in names if not name.startswith(("medcal_nb/", "medcal_nb-"))
    ]
    assert not [name for name in names if "checkpoint" in name or "__pycache__" in name]
    for name in (
        "study/profiles/hub.toml",
        "py.typed",
        "pocket_data/pocket-general/config.json",
        "pocket_data/items/pocketvqa-medical.parquet",
        "pocket_data/fresh/pocketvqa-medical--pocket-general.parquet",
        "recorded_data/manifest.json",
        "recorded_data/vlcb.parquet",
        "recorded_data/licences/viper.txt",
    ):
        assert f"medcal_nb/{name}" in names
    makers = ("factory", "templates", "prepare", "published")
    assert not [name for name in names if any(maker in name for maker in makers)]
    tracked = {
        p.relative_to(ROOT).as_posix() for p in (ROOT / "medcal_nb").rglob("*.py")
    }
    assert tracked <= set(names)


def test_recorded_answers_are_read_where_there_is_no_checkout(medcal):
    code = (
        "from medcal_nb.answers.recorded import load_recorded, recorded_folder; "
        "print(recorded_folder(), len(load_recorded('viper')))"
    )
    read = done(
        [medcal.package.parents[3] / "bin" / "python", "-I", "-c", code],
        cwd=medcal.work,
    )
    assert read.returncode == 0, read.stderr
    folder, rows = read.stdout.split()
    assert Path(folder) == medcal.package / "recorded_data"
    assert int(rows) == 20_382


BARE = """
import sys

ALLOWED = {"medcal_nb", "numpy", "scipy", "pandas", "statsmodels"}
ALLOWED |= {"dateutil", "six", "pytz", "tzdata", "patsy", "packaging"}  # what these need


class Bare:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        standard = top in sys.stdlib_module_names or top.startswith("_")
        if top not in ALLOWED and not standard:
            raise ModuleNotFoundError(f"not installed here: {top}", name=top)


sys.meta_path.insert(0, Bare())
import numpy as np
import medcal_nb.correct
from medcal_nb.measure import METRICS, ece_interval, metrics_table

rng = np.random.default_rng(0)
c = rng.random(300)
y = rng.random(300) < c
low, ece, high = ece_interval(c, y, rng=rng)
assert 0 <= low < ece < high
assert all(np.isfinite(metric(c, y)) for metric in METRICS.values())
fitted = medcal_nb.correct.fit(c, y, method="platt")
assert fitted(c).shape == (300,)
print("bare")
"""


def test_measure_and_correct_need_numpy_scipy_and_pandas_alone(medcal):
    python = medcal.package.parents[3] / "bin" / "python"
    run = done([python, "-I", "-c", BARE], cwd=medcal.work)
    assert run.stdout.strip() == "bare", run.stderr


def test_it_says_what_it_is_and_what_is_missing(medcal):
    assert medcal("--version").stdout.startswith("medcal ")
    assert " ask " in medcal("--help").stdout
    told = medcal("doctor")
    assert told.returncode == 2
    assert "\npocket models  pocket-clip, pocket-expert" in told.stdout
    assert "set MEDCAL_ROOT to the clone" in told.stderr
    study = medcal("study", "--list")
    assert study.returncode == 2
    assert "clone the repository" in study.stderr
    assert "set MEDCAL_ROOT to the clone" in study.stderr


def test_a_clone_named_by_its_folder_is_enough_for_the_study(medcal):
    told = medcal(
        "study",
        "--list",
        "--fast",
        "--profile",
        "pocket",
        "--to",
        "out",
        env={"MEDCAL_ROOT": str(ROOT)},
    )
    assert told.returncode == 0, told.stderr
    assert "01_elicitation" in told.stderr
    assert "runs, because no earlier run" in told.stderr


def test_the_shell_completes_commands_and_options(medcal):
    for words, wanted in (
        ("medcal st", "study"),
        ("medcal study --keep", "--keep-going"),
    ):
        at = str(words.count(" "))
        env = {
            "_MEDCAL_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": at,
        }
        assert wanted in medcal(env=env).stdout.split()


def test_answers_are_imported_scored_corrected_and_exported(medcal):
    rows = pd.DataFrame({"id": range(60), "conf": [50 + i % 50 for i in range(60)]})
    rows["right"] = [i % 3 > 0 for i in range(60)]
    rows.to_csv(medcal.work / "mine.csv", index=False)
    columns = [
        "--item",
        "id",
        "--confidence",
        "conf",
        "--correct",
        "right",
        "--model",
        "m",
    ]
    columns += ["--dataset", "mine", "--domain", "medical", "--to", "mine.sqlite"]
    refused = medcal("import", "mine.csv", *columns)
    assert refused.returncode == 2
    assert "write 0.85 for 85 %, or give --percent" in refused.stderr
    assert not (medcal.work / "mine.sqlite").exists()
    assert medcal("import", "mine.csv", *columns, "--percent").returncode == 0
    scored = medcal("score", "mine.sqlite", "--by", "model", "--resamples", 20)
    assert scored.returncode == 0, scored.stderr
    assert "66.7 [" in scored.stdout
    fit, apply = (
        f"item_id={','.join(map(str, part))}" for part in (range(30), range(30, 60))
    )
    for words in (
        (
            "calibrate",
            "mine.sqlite",
            "--fit",
            fit,
            "--apply",
            apply,
            "--to",
            "corrected.sqlite",
        ),
        ("export", "mine.sqlite", "--to", "mine.parquet"),
    ):
        answer = medcal(*words)
        assert answer.returncode == 0, answer.stderr
    assert (medcal.work / "corrected.sqlite").is_file()
    assert len(pd.read_parquet(medcal.work / "mine.parquet")) == 60


def test_the_models_it_brings_can_be_asked(medcal):
    asked = medcal("ask", "--model", "pocket-general", "--dataset", "pocketvqa-medical", "--n", 6,
                   "--strategies", "verbalized", "--to", "asked.sqlite")  # fmt: skip
    assert asked.returncode == 0, asked.stderr
    assert "6 answers written" in asked.stderr
    weights = medcal.package / "pocket_data" / "pocket-general" / "tokenizer.json"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-9])
    try:
        refused = medcal("ask", "--model", "pocket-general", "--dataset", "pocketvqa-medical",
                         "--to", "other.sqlite")  # fmt: skip
        assert refused.returncode == 2
        assert "tokenizer.json: is damaged or another file" in refused.stderr
        assert "pip install --force-reinstall" in refused.stderr
    finally:
        weights.write_bytes(whole)
