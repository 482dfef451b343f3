"""The manual is in the docstrings: what goes in, what comes back, column by column."""

import ast
import contextlib
import doctest
import functools
import importlib
import inspect
import re
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = (
    "measure",
    "certify",
    "correct",
    "answers",
    "datasets",
    "plots",
    "notebook",
    "run",
)
# tables whose columns are those of the file that is read
AS_READ = {
    "load_answers",
    "read_answers",
    "load_items",
    "at_temperature",
    "same_answers",
}


def exported(*rooms):
    """Functions that a room exports, with their name."""
    for room in rooms:
        package = importlib.import_module(f"medcal_nb.{room}")
        for name, value in vars(package).items():
            ours = getattr(value, "__module__", "").startswith(package.__name__)
            if ours and inspect.isfunction(value) and not name.startswith("_"):
                yield pytest.param(value, id=f"{room}.{name}")


def section(function, name):
    """The lines below a heading of a docstring."""
    text = inspect.getdoc(function) or ""
    found = re.search(rf"^{name}\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", text, re.M | re.S)
    return found[1] if found else ""


@pytest.mark.parametrize("function", exported(*ROOMS))
def test_every_parameter_is_told(function):
    names = set(inspect.signature(function).parameters)
    form = r"^([*\w]+(?:, [*\w]+)*)(?: : .*)?$"
    heads = re.findall(form, section(function, "Parameters"), re.M)
    listed = {name.lstrip("*") for head in heads for name in head.split(", ")}
    assert len(names) < 2 or names <= listed, sorted(names - listed)


@pytest.mark.parametrize("function", exported(*ROOMS))
def test_a_signature_is_short_enough_for_a_tooltip(function):
    # without `from __future__ import annotations` ArrayLike is a line of its own
    assert len(str(inspect.signature(function))) < 320


@pytest.mark.parametrize("function", exported("measure", "certify", "correct"))
def test_every_function_has_an_example_and_a_formula_its_source(function):
    assert section(function, "Examples")
    assert ".. math" not in function.__doc__ or section(function, "References")


def columns_told(function, arguments):
    """Columns that the Returns section names at the heads of its list, of a call.

    ``- a, b: …`` names two columns; where the words of the item say "_low, _high", each has two
    more. A head in words stands for the value of an argument: "the `by` columns".
    """
    names, maybe = set(), set()
    for item in re.split(r"(?m)^ *- ", section(function, "Returns"))[1:]:
        head, _, words = item.partition(":")
        heads = re.findall(r"\w+", head.split("\n\n")[0])
        if argument := re.search(r"(?:the|each of|of) `(\w+)`", head):
            value = (inspect.getmodule(function).__dict__ | arguments)[argument[1]]
            heads = [value] if isinstance(value, str) else list(value)
        if re.search(r"_low,\s+_high", item):
            heads += [f"{name}{end}" for name in heads for end in ("_low", "_high")]
        if "… (uncorrected)" in item:
            heads += [f"{name} (uncorrected)" for name in heads]
        (maybe if "where" in words else names).update(heads)
    return names, maybe


def calls_of_its_example(function):
    """Arguments and results of a function's calls in its own example."""
    calls = []

    def recorded(*values, **named):
        bound = inspect.signature(function).bind(*values, **named)
        bound.apply_defaults()
        calls.append((bound.arguments, function(*values, **named)))
        return calls[-1][1]

    name = function.__name__
    names = vars(importlib.import_module(function.__module__)) | {name: recorded}
    text = inspect.getdoc(function)
    example = doctest.DocTestParser().get_doctest(text, names, name, None, 0)
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    doctest.DocTestRunner(optionflags=flags).run(example, clear_globs=False)
    return calls


def returns_a_table(function):
    returned = str(inspect.signature(function).return_annotation)
    is_table = "DataFrame" in returned or "TransferStudy" in returned
    return is_table and function.__name__ not in AS_READ


RETURNING = [
    f for f in exported("measure", "certify", "correct") if returns_a_table(f.values[0])
]


@pytest.mark.parametrize("function", RETURNING)
def test_the_columns_told_are_those_of_the_table_that_its_example_makes(function):
    calls = calls_of_its_example(function)
    assert calls
    for arguments, result in calls:
        parts = result if isinstance(result, tuple) else (result,)
        found = [getattr(part, "table", part) for part in parts]
        tables = [part for part in found if isinstance(part, pd.DataFrame)]
        there = {column for table in tables for column in table}
        told, maybe = columns_told(function, arguments)
        assert there - told - maybe == set()
        assert told - there == set()


def documented():
    """Every module with the docstrings in it."""
    for file in sorted((ROOT / "medcal_nb").rglob("*.py")):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
        texts = [ast.get_docstring(node) for node in nodes if isinstance(node, kinds)]
        yield name.removesuffix(".__init__"), "\n".join(filter(None, texts))


def is_there(name):
    """Whether a dotted name is that of a module, or of something in one."""
    for n_parts in range(name.count(".") + 1, 0, -1):
        module, rest = name.split(".")[:n_parts], name.split(".")[n_parts:]
        with contextlib.suppress(ImportError, AttributeError):
            functools.reduce(getattr, rest, importlib.import_module(".".join(module)))
            return True
    return False


def test_what_docstrings_refer_to_is_there():
    dead = []
    for module, text in documented():
        named = re.findall(r":(?:func|class|mod|meth):`~?([\w.]+)`", text)
        named += re.findall(r"`(medcal_nb\.\w+\.[\w.]+)`", text)
        for name in named:
            places = ("", f"{module}.", f"{module.rpartition('.')[0]}.", "medcal_nb.")
            if not any(is_there(place + name) for place in places):
                dead.append((module, name))
    assert dead == []
