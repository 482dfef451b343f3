"""Examples in docstrings run, and print what they say."""

import doctest
import importlib
import pkgutil

import pytest

import medcal_nb

NAMES = [
    module.name
    for module in pkgutil.walk_packages(medcal_nb.__path__, "medcal_nb.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", NAMES)
def test_examples_print_what_they_say(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    failed, _ = doctest.testmod(module, optionflags=options)
    assert failed == 0
