"""The wheel, built from what git tracks and used where there is no checkout and no torch."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
BUILT_FROM = "MANIFEST.in pyproject.toml README.md LICENSE CHANGELOG.md CITATION.cff"
BUILD = "from setuptools import build_meta as b; b.build_wheel('dist'); b.build_sdist('dist')"
# what comes with medcal-nb[ask] and medcal-nb[study] alone
ABSENT = "torch transformers open_clip huggingface_hub aiohttp anyio netcal jupyterlab ipywidgets "
ABSENT += "IPython ipykernel papermill nbclient nbconvert nbformat jupyter_client"
# None in sys.modules would not do: some look there for what has been loaded
BLOCK = """\
import sys


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, Absent())
"""

pytestmark = pytest.mark.slow


def done(command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    for name in BUILT_FROM.split():
        shutil.copyfile(ROOT / name, folder / name)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "medcal_nb", folder / "medcal_nb", ignore=ignore)
    for name in ("data", "tests"):  # which setuptools would take along
        (folder / name).mkdir()
        (folder / name / "test_small.py").touch()
    built = done([sys.executable, "-c", BUILD], cwd=folder)
    assert built.returncode == 0, built.stderr
    return next((folder / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def medcal(wheel, tmp_path_factory):
    """The installed command, in an environment that borrows libraries but not the checkout."""
    home = tmp_path_factory.mktemp("home")
    done([sys.executable, "-m", "venv", "--without-pip", home / "env"], check=True)
    python = home / "env" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    done([*pip, "--no-deps", "--no-index", wheel], check=True)
    ours = next((home / "env").glob("lib/python*/site-packages"))
    (ours / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    # not sitecustomize, of which a distribution may have its own, before this one
    (ours / "absent_here.py").write_text(BLOCK.format(names=ABSENT.split()))
    (ours / "absent_here.pth").write_text("import absent_here\n")
    hidden = dict.fromkeys(("PYTHONPATH", "MEDCAL_ROOT"))
    outside = {k: v for k, v in os.environ.items() if k not in hidden}
    work = home / "work"
    work.mkdir()

    def medcal(*words, **env):
        command = [python.parent / "medcal", *map(str, words)]
        return done(command, cwd=work, env=outside | env)

    medcal.work = work
    return medcal


def test_it_holds_the_package_alone_and_so_does_the_source(wheel):
    assert wheel.stat().st_size < 3e6
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"medcal_nb"}
    assert {
        "medcal_nb/py.typed",
        "medcal_nb/labels.toml",
        "medcal_nb/plots/house.mplstyle",
        "medcal_nb/reader/reader.html",
    } <= set(names)
    assert not [name for name in names if "__pycache__" in name]
    tracked = (ROOT / "medcal_nb").rglob("*.py")
    package = {path.relative_to(ROOT).as_posix() for path in tracked}
    assert package <= set(names)
    with tarfile.open(next(wheel.parent.glob("*.tar.gz"))) as source:
        inside = {name.partition("/")[2] for name in source.getnames()}
    assert package <= inside
    assert not {name.partition("/")[0] for name in inside} & {"tests", "data"}


def test_it_says_what_is_missing_and_which_extra_brings_it(medcal):
    first, *others = medcal("doctor").stdout.splitlines()
    assert first.startswith("medcal ")
    for line in others:
        assert line[:4] not in ("note", "data") or line.endswith("MEDCAL_ROOT=FOLDER")
    recorded = ("score", "aneurysm_readers")
    assert "export MEDCAL_ROOT=FOLDER" in medcal(*recorded).stderr
    assert medcal(*recorded, MEDCAL_ROOT=str(ROOT)).returncode == 0
    refused = medcal("study", "--list")
    assert refused.returncode in (0, 2)
    assert "Traceback" not in refused.stderr
    asked = "--model pocket-general --dataset pocketvqa-medical --to a.sqlite"
    assert "medcal-nb[ask]" in medcal("ask", *asked.split()).stderr


def test_a_table_is_scored_imported_recalibrated_and_reported_without_torch(medcal):
    rows = pd.DataFrame({"id": range(60), "conf": [50 + i % 50 for i in range(60)]})
    rows["right"] = [i % 3 > 0 for i in range(60)]
    rows.to_csv(medcal.work / "mine.csv", index=False)
    scored = medcal("score", "mine.csv")
    assert scored.returncode == 0, scored.stderr
    assert "67 % [" in scored.stdout
    for words in (
        ("calibrate", "mine.csv", "--to", "corrected.sqlite"),
        ("import", "corrected.sqlite", "--to", "mine.parquet"),
        ("report", "mine.csv", "--to", "page"),
    ):
        answer = medcal(*words)
        assert answer.returncode == 0, answer.stderr
    assert len(pd.read_parquet(medcal.work / "mine.parquet")) == 60
    assert list((medcal.work / "page").glob("*.html"))
