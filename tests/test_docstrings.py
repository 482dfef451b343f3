"""The manual is in the docstrings: what goes in, what comes back, column by column."""

import importlib
import inspect
import re

import pytest

from medcal_nb import measure
from medcal_nb.measure import METRICS

ROOMS = ("measure", "correct", "answers", "datasets", "logs", "study")


def exported():
    """Functions that a room exports, with their name."""
    for room in ROOMS:
        package = importlib.import_module(f"medcal_nb.{room}")
        for name, value in vars(package).items():
            ours = getattr(value, "__module__", "").startswith("medcal_nb.")
            if ours and inspect.isfunction(value) and not name.startswith("_"):
                yield pytest.param(value, id=f"{room}.{name}")


def section(function, name):
    """The lines below a heading of a docstring."""
    text = inspect.getdoc(function) or ""
    found = re.search(rf"^{name}\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", text, re.M | re.S)
    return found[1] if found else ""


@pytest.mark.parametrize("function", exported())
def test_every_parameter_is_told(function):
    names = set(inspect.signature(function).parameters)
    told = section(function, "Parameters")
    heads = re.findall(r"^([*\w]+(?:, [*\w]+)*)(?: : .*)?$", told, re.M)
    listed = {name.lstrip("*") for head in heads for name in head.split(", ")}
    assert len(names) < 2 or names <= listed, sorted(names - listed)


@pytest.mark.parametrize("function", exported())
def test_columns_of_a_table_stand_on_lines_of_their_own(function):
    returned = str(inspect.signature(function).return_annotation)
    if "DataFrame" not in returned:
        return
    told = section(function, "Returns")
    lines = re.findall(r"^\s*(?:- )?(?:``)?[\w, ]+(?:``)?(?: :|: )", told, re.M)
    named = re.search(r"Columns|columns|rows|[Aa]s ", told)
    assert lines or named, told or f"no Returns in {function.__module__}"


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_metric_is_the_function_that_is_exported(metric):
    function = metric.value
    assert getattr(measure, function.__name__) is function
    assert list(inspect.signature(function).parameters)[:2] == ["confidence", "correct"]
    assert function.__annotations__["return"] is float
