"""Which room may import which (docs/house.md), and what may not be loaded just to say hello."""

import ast
import json
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.test_wheel import BLOCK

PACKAGE = Path(__file__).resolve().parents[1] / "medcal_nb"
MODULES = sorted(PACKAGE.rglob("*.py"))
# from the ground up: a room uses those of lower floors, never one of its own
FLOORS = (
    {"errors", "labels"},
    {"files", "measure", "words"},
    {"logs", "tables", "wording", "figure_spec"},
    {"correct", "answers", "datasets"},
    {"ask"},
    {"plots", "notebook"},
    {"reader"},
    {"certify"},
    {"explore", "report", "teach"},
    {"run"},
    {"cli"},
)
# what could be published by itself: rooms, and modules of a room
APART = {
    "measure": {"errors"},
    "correct": {"errors", "measure", "words"},
}
# what `certify` exports, of which its files and its page make use
STATISTICS = (
    "__init__",
    "design",
    "ends",
    "methods",
    "plan",
    "retained",
    "rule",
    "trials",
    "watch",
)
APART |= {f"certify/{module}": {"errors", "measure"} for module in STATISTICS}
HEAVY = {"torch", "transformers", "open_clip", "netcal", "papermill", "matplotlib"}
HEAVY |= {"seaborn", "nbconvert", "aiohttp", "ipywidgets"}


def room_of(file: Path, package: Path = PACKAGE) -> str:
    return file.relative_to(package).parts[0].removesuffix(".py")


ROOMS = {room_of(file) for file in MODULES} - {"__init__"}


def rooms_named(file: Path, package: Path = PACKAGE) -> set[str]:
    """Rooms of ours that a module imports anywhere, in functions and by name too."""
    here = ["medcal_nb", *file.relative_to(package).parts[:-1]]
    names = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = here[: len(here) - node.level + 1] if node.level else []
            base = ".".join(filter(None, [*above, node.module]))
            names += [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant):
            names.append(str(node.value))
    parts = [name.split(".") for name in names if name.startswith("medcal_nb.")]
    return {part[1] for part in parts if part[1] in ROOMS}


def test_every_room_has_its_floor():
    assert set().union(*FLOORS) == ROOMS


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_a_room_uses_only_the_rooms_below_it(file):
    room = room_of(file)
    if room == "__init__":
        return
    floor = next(i for i, rooms in enumerate(FLOORS) if room in rooms)
    module = file.relative_to(PACKAGE).with_suffix("").as_posix()
    below = set().union(*FLOORS[:floor])
    allowed = APART.get(module) or APART.get(room) or below
    assert rooms_named(file) <= allowed | {room}


ALONE = """
import numpy as np
from medcal_nb.correct import fit
from medcal_nb.measure import ece_interval

rng = np.random.default_rng(0)
confidence = rng.random(200)
correct = rng.random(200) < confidence
ece_interval(confidence, correct)
fit(confidence, correct, method="platt")
"""
ENOUGH = {"medcal_nb", "numpy", "scipy", "pandas", "dateutil", "six", "tzdata", "pytz"}


def test_measure_and_correct_need_three_libraries():
    blocked = set(packages_distributions()) - ENOUGH - set(sys.stdlib_module_names)
    code = BLOCK.format(names=sorted(blocked)) + ALONE
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


LOADED = """
import json, sys
from importlib import import_module
for name in {modules!r}:
    import_module("medcal_nb." + name)
print(json.dumps(sorted({{name.split(".")[0] for name in sys.modules}})))
"""


def loaded_by(*modules: str) -> set[str]:
    """Packages that are loaded once some rooms are, in one fresh interpreter."""
    command = [sys.executable, "-c", LOADED.format(modules=modules)]
    done = subprocess.run(command, capture_output=True, check=True)
    return set(json.loads(done.stdout))


def test_help_loads_no_library_and_tables_load_no_model():
    outside = loaded_by("errors", "cli") - set(sys.stdlib_module_names)
    outside -= loaded_by()  # an editable install
    assert outside <= {"medcal_nb", "typer", "annotated_doc", "shellingham"}
    rooms = (
        "measure",
        "certify",
        "correct",
        "answers",
        "datasets",
        "ask",
        "run",
        "reader",
    )
    assert not loaded_by(*rooms) & HEAVY


def test_a_study_is_listed_without_what_runs_it():
    code = "import sys; from medcal_nb.run import run_study, steps_of\n"
    code += "run_study(steps_of(), plan_only=True)\n"
    code += "assert not {'papermill', 'nbformat', 'pandas'} & {*sys.modules}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
