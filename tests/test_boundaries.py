"""Who may import whom, and what may not be loaded just to say hello."""

import ast
import itertools
import json
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "medcal_nb"
MODULES = sorted(PACKAGE.rglob("*.py"))

# from the ground up: a room may use those of lower floors; rooms of one floor don't use each other
FLOORS = (
    {"errors", "answer_key", "labels"},
    {"files", "measure"},
    {"correct", "answers", "datasets"},
    {"ask"},
    {"logs", "show", "plots", "notebook"},
    {"reader", "teach", "study"},
    {"cli"},
)
# rooms that could be published by themselves
APART = {"measure": {"errors"}, "correct": {"errors", "answer_key", "measure"}}
HEAVY = {
    "torch",
    "torchvision",
    "transformers",
    "netcal",
    "datasets",
    "openai",
    "open_clip",
    "sklearn",
    "papermill",
    "nbclient",
}
INK = {"matplotlib", "seaborn", "ipywidgets"}


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def rooms_named(file: Path) -> dict[str, int]:
    """Rooms of ours that a module imports anywhere, in functions and by name too, with the line."""
    rooms: dict[str, int] = {}
    package = ["medcal_nb", *file.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        for name in modules_named(node, package):
            parts = name.split(".")
            if parts[0] == "medcal_nb" and len(parts) > 1 and parts[1] in ROOMS:
                rooms.setdefault(parts[1], node.lineno)
    return rooms


def modules_named(node: ast.AST, package: list[str]) -> list[str]:
    """Modules that a piece of code imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parents = package[: len(package) - node.level + 1]
            base = ".".join([*parents, base]).rstrip(".")
        return [f"{base}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and node.args:
        called = ast.unparse(node.func).rpartition(".")[-1]
        if called in ("import_module", "__import__", "find_spec"):
            # the name, or what it begins with
            text = ast.unparse(node.args[0]).lstrip("f").strip("'\"")
            name = text.lstrip(".")
            level = len(text) - len(name)
            parents = package[: len(package) - level + 1] if level else []
            return [".".join([*parents, name])]
    return []


ROOMS = {room_of(file) for file in MODULES} - {"__init__"}


def imports_at_top(tree: ast.Module) -> dict[str, int]:
    """Outside packages imported when a module is, those only for type checkers left out."""
    found: dict[str, int] = {}

    def walk(body):
        for node in body:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    found.setdefault(alias.name.split(".")[0], node.lineno)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.setdefault((node.module or "").split(".")[0], node.lineno)
            elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                walk(node.orelse)
            elif isinstance(node, ast.If | ast.Try | ast.With | ast.ClassDef):
                walk(node.body)
                walk(getattr(node, "orelse", []))
                for handler in getattr(node, "handlers", []):
                    walk(handler.body)

    walk(tree.body)
    return found


def allowed_in(room: str) -> set[str]:
    floor = next(i for i, rooms in enumerate(FLOORS) if room in rooms)
    return APART.get(room) or set().union(*FLOORS[:floor])


def test_every_room_has_its_floor():
    assert set().union(*FLOORS) == ROOMS
    assert (PACKAGE / LATE).is_file()


def test_a_floor_is_no_higher_than_what_its_rooms_use():
    """The guard is no looser than the house: a floor stands on the one below it."""
    used = {room: set() for room in ROOMS}
    for file in MODULES:
        if room_of(file) in ROOMS:
            used[room_of(file)] |= rooms_named(file).keys()
    for below, floor in itertools.pairwise(FLOORS):
        assert any(used[room] & below for room in floor), floor


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_a_room_uses_only_the_rooms_below_it(file):
    room = room_of(file)
    if room == "__init__":
        return
    allowed = allowed_in(room) | {room}
    wrong = {
        used: line for used, line in rooms_named(file).items() if used not in allowed
    }
    assert not wrong, f"{file}: imports {wrong}; {room} may use {sorted(allowed)}"


@pytest.mark.parametrize(
    "code",
    [
        "def f():\n    from medcal_nb.show import charts",
        "import medcal_nb.show.charts",
        "from importlib import import_module\nimport_module('medcal_nb.show.charts')",
        "import importlib\nimportlib.import_module(f'medcal_nb.show.{name}')",
        "from ..show import charts",
        "def f():\n    from .. import show",
        "import importlib\nimportlib.import_module('..show', __name__)",
    ],
)
def test_every_way_to_import_a_room_is_seen(code, tmp_path, monkeypatch):
    (tmp_path / "measure").mkdir()
    file = tmp_path / "measure" / "a.py"
    file.write_text(code)
    monkeypatch.setattr("tests.test_boundaries.PACKAGE", tmp_path)
    assert "show" in rooms_named(file)


ALONE = """
import sys

BLOCKED = {blocked!r}


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(name)


sys.meta_path.insert(0, Absent())
import numpy as np
from medcal_nb.correct import fit
from medcal_nb.measure import ece_interval

rng = np.random.default_rng(0)
confidence = rng.random(200)
correct = rng.random(200) < confidence
print(ece_interval(confidence, correct, rng=rng))
fit(confidence, correct, method="platt")
"""
# what measure and correct stand on, with what that brings along
ENOUGH = {
    *("medcal_nb", "numpy", "scipy", "pandas", "statsmodels", "patsy"),
    *("packaging", "dateutil", "six", "tzdata", "pytz"),
}


def test_measure_and_correct_need_four_libraries():
    blocked = sorted(
        set(packages_distributions()) - ENOUGH - set(sys.stdlib_module_names)
    )
    code = ALONE.format(blocked=blocked)
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


# a module of commands that is itself imported where it is used (see what is loaded, below)
LATE = "cli/_score.py"


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_heavy_libraries_are_imported_where_used(file):
    name = str(file.relative_to(PACKAGE))
    top = imports_at_top(ast.parse(file.read_text(encoding="utf-8")))
    # the reader view is a widget and nothing else; its other modules have no ink in them
    heavy = (
        HEAVY if room_of(file) == "show" or name == "reader/view.py" else HEAVY | INK
    )
    wrong = {used: line for used, line in top.items() if used in heavy}
    assert not wrong, f"{name} imports at its top: {wrong}"
    if room_of(file) == "cli" and name != LATE:
        outside = top.keys() - set(sys.stdlib_module_names) - {"typer", "medcal_nb"}
        assert not outside, (
            f"{name} imports {outside}; a command imports in its function"
        )


LOADED = """
import json, sys
from importlib import import_module
before = set(sys.modules)
for name in {modules!r}:
    import_module(name)
print(json.dumps(sorted({{name.split(".")[0] for name in set(sys.modules) - before}})))
"""


def loaded_by(*modules: str) -> set[str]:
    """Packages that are loaded once some modules are, in one fresh interpreter."""
    command = [sys.executable, "-c", LOADED.format(modules=modules)]
    done = subprocess.run(command, capture_output=True, check=True)
    return set(json.loads(done.stdout))


def test_what_answers_at_once_loads_no_library():
    outside = loaded_by("medcal_nb.errors", "medcal_nb.cli")
    outside -= set(sys.stdlib_module_names)
    assert outside <= {"medcal_nb", "typer", "annotated_doc", "shellingham"}


def test_what_scores_loads_no_model_library():
    rooms = ("measure", "answers", "datasets", "correct", "ask", "study")
    assert not loaded_by(*(f"medcal_nb.{room}" for room in rooms)) & (
        HEAVY - {"sklearn"}
    )
