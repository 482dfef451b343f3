"""Who may import whom, and what may not be loaded just to say hello."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "medcal_nb"
MODULES = sorted(PACKAGE.rglob("*.py"))

# room → rooms it may use; errors and files are open to all, study and cli use all
ALLOWED = {
    "errors": set(),
    "files": set(),
    "datasets": {"datasets"},
    "answers": {"answers", "measure"},
    "logs": {"logs", "ask", "answers"},
    "measure": {"measure"},
    "correct": {"correct", "measure"},
    "ask": {"ask", "datasets", "answers"},
    "show": {"show", "answers", "measure", "correct"},
    "teach": {"teach", "show", "datasets", "measure", "correct"},
    "reader": {"reader", "measure", "ask", "datasets", "answers"},
}
# files that may do more, with what; each needs a reason
EXCEPTIONS = {
    # a strategy tells its family, and so its colour, where it is defined
    "show/look.py": {"ask"},
    # the answers behind a bin are looked at with their images
    "show/explorer.py": {"datasets"},
}
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
    "nbconvert",
    "nbclient",
}
INK = {"matplotlib", "seaborn", "ipywidgets"}


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def rooms_named(file: Path) -> dict[str, int]:
    """Rooms of ours that a module imports anywhere, with the line."""
    rooms: dict[str, int] = {}
    package = ["medcal_nb", *file.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join(
                    [*package[: len(package) - node.level + 1], base]
                ).rstrip(".")
            names = [f"{base}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "medcal_nb" and len(parts) > 1 and parts[1] in ROOMS:
                rooms.setdefault(parts[1], node.lineno)
    return rooms


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


def test_every_room_is_known():
    assert ROOMS - {"study", "cli"} == set(ALLOWED)


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_a_room_uses_only_the_rooms_before_it(file):
    room = room_of(file)
    if room in ("study", "cli", "__init__"):
        return
    name = str(file.relative_to(PACKAGE))
    allowed = ALLOWED[room] | {"errors", "files"} | EXCEPTIONS.get(name, set())
    wrong = {
        used: line for used, line in rooms_named(file).items() if used not in allowed
    }
    assert not wrong, f"{name} imports {wrong}; {room} may use {sorted(allowed)}"


def test_exceptions_are_needed():
    for name, more in EXCEPTIONS.items():
        file = PACKAGE / name
        if file.exists():
            assert rooms_named(file).keys() & more, f"{name} needs no exception"


# modules that are themselves imported where they are used (see what is loaded, below), and why
LATE = {
    "cli/_score.py": (),
}


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_heavy_libraries_are_imported_where_used(file):
    name = str(file.relative_to(PACKAGE))
    top = imports_at_top(ast.parse(file.read_text(encoding="utf-8")))
    # the reader view is a widget and nothing else; its other modules have no ink in them
    heavy = (
        HEAVY if room_of(file) == "show" or name == "reader/view.py" else HEAVY | INK
    )
    wrong = {used: line for used, line in top.items() if used in heavy}
    wrong = {
        used: line for used, line in wrong.items() if used not in LATE.get(name, ())
    }
    assert not wrong, f"{name} imports at its top: {wrong}"
    if room_of(file) == "cli" and name not in LATE:
        outside = top.keys() - set(sys.stdlib_module_names) - {"typer", "medcal_nb"}
        assert not outside, (
            f"{name} imports {outside}; a command imports in its function"
        )


LOADED = """
import json, sys
before = set(sys.modules)
import {module}
print(json.dumps(sorted({{name.split(".")[0] for name in set(sys.modules) - before}})))
"""


def loaded_by(module: str) -> set[str]:
    command = [sys.executable, "-c", LOADED.format(module=module)]
    return set(
        json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    )


@pytest.mark.parametrize("module", ["medcal_nb", "medcal_nb.errors", "medcal_nb.cli"])
def test_what_answers_at_once_loads_no_library(module):
    outside = loaded_by(module) - set(sys.stdlib_module_names)
    assert outside <= {"medcal_nb", "typer", "annotated_doc", "shellingham"}


@pytest.mark.parametrize(
    "module", ["measure", "answers", "datasets", "correct", "ask", "study"]
)
def test_what_scores_loads_no_model_library(module):
    assert not loaded_by(f"medcal_nb.{module}") & (HEAVY - {"sklearn"})


def seconds(code: str) -> float:
    """Fastest of five fresh interpreters; the fastest is the least disturbed one."""
    timed = (
        f"import time; t = time.perf_counter(); {code}; print(time.perf_counter() - t)"
    )
    runs = [
        float(
            subprocess.run(
                [sys.executable, "-c", timed], capture_output=True, check=True
            ).stdout
        )
        for _ in range(5)
    ]
    return min(runs)


def test_the_command_line_loads_faster_than_numpy_and_pandas():
    # relative, so that it holds on a slow or busy machine
    assert seconds("import medcal_nb.cli") < seconds("import numpy, pandas")
