"""The words that replies are read by: `words.toml`."""

import tomllib
from pathlib import Path
from typing import Any

FILE: dict[str, Any] = tomllib.loads(
    Path(__file__).with_name("words.toml").read_text(encoding="utf-8")
)
#: Regular expressions; their lines are joined.
WORDS: dict[str, str] = {
    name: "".join(text.split("\n"))
    for name, text in FILE.items()
    if isinstance(text, str)
}
