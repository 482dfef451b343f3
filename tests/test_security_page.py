"""Every promise of docs/security.md names a test that exists."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([\w/]*test_\w+(?:\.py)?(?:::\w+)?)`", PAGE)))
SOURCES = {path: path.read_text("utf-8") for path in TESTS.rglob("test_*.py")}


@pytest.mark.parametrize("name", NAMED)
def test_a_test_that_is_named_exists(name):
    file, _, test = name.rpartition("::")
    if name.endswith(".py"):
        assert TESTS / name in SOURCES
    else:
        texts = [SOURCES[TESTS / file]] if file else SOURCES.values()
        assert any(f"def {test}(" in text for text in texts)
