"""The page on what is promised names tests that there are."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "security.md").read_text(encoding="utf-8")


def test_every_test_that_the_page_names_is_there():
    files = re.findall(r"`([\w/]*test_\w+\.py)", PAGE)
    functions = re.findall(r"\b(test_\w+)(?!\w*\.py)\b`", PAGE)
    assert len(files) > 15
    assert len(functions) > 5
    assert not [name for name in files if not (TESTS / name).is_file()]
    sources = "\n".join(
        path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py")
    )
    assert not [name for name in functions if f"def {name}(" not in sources]
