"""The page on what is promised names tests that there are, and that check something."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`([\w/]*test_\w+\.py)?(?:::)?(test_\w+)?`", PAGE)
FILES = sorted({file for file, _ in NAMED if file})
FUNCTIONS = sorted({name for _, name in NAMED if name})


def checks(node: ast.AST, helpers: frozenset[str] = frozenset()) -> bool:
    """Whether a function asserts, expects an error, or calls a helper that does."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Assert):
            return True
        if isinstance(inner, ast.Call):
            called = ast.unparse(inner.func)
            last = called.rpartition(".")[-1]
            if called in helpers or last.startswith(("raises", "warns", "assert_")):
                return True
    return False


def checked_in(file: Path) -> dict[str, bool]:
    """Names of the tests of a file; whether each checks something."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    functions = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    helpers = frozenset(node.name for node in functions if checks(node))
    return {
        node.name: checks(node, helpers)
        for node in functions
        if node.name.startswith("test_")
    }


def test_the_page_names_files_and_functions():
    assert len(FILES) > 15
    assert len(FUNCTIONS) > 15


@pytest.mark.parametrize("name", FILES)
def test_every_test_of_a_file_that_the_page_names_checks_something(name):
    tests = checked_in(TESTS / name)
    assert tests
    assert all(tests.values()), [test for test, holds in tests.items() if not holds]


def test_every_function_that_the_page_names_checks_something():
    tests = {}
    for file in TESTS.rglob("test_*.py"):
        tests |= checked_in(file)
    wrong = [name for name in FUNCTIONS if not tests.get(name)]
    assert not wrong


@pytest.mark.parametrize(
    ("body", "holds"),
    [
        ("pass", False),
        ("f(1)", False),
        ("assert f(1)", True),
        ("same(1)", True),
        ("with pytest.raises(ValueError):\n        f(1)", True),
    ],
)
def test_an_empty_test_holds_nothing(tmp_path, body, holds):
    file = tmp_path / "test_a.py"
    helper = "def same(x):\n    assert x\n\n\n"
    file.write_text(f"{helper}def test_it():\n    {body}\n")
    assert checked_in(file) == {"test_it": holds}
