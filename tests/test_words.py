"""Terms that the study speaks with: none that a reader of the field would stumble over."""

import ast
import json
import re
from pathlib import Path

import pytest

from medcal_nb.show.words import LABELS

ROOT = Path(__file__).resolve().parents[1]

#: What is not said, and what is said instead. *Luck*, *checked* and *says* are the lesson's.
NOT_SAID = {
    r"as stated|\bstated confidence": "uncorrected; verbalized confidence",
    r"\bsays? \d+ ?%|\bis right \d+ ?%": "mean confidence, accuracy",
    r"ways? of asking|kinds? of confidence": "elicitation method",
    r"claims? most|least cautious": "overconfident by … percentage points",
    r"carr(y|ies|ied|ying) over": "transfer",
    r"labels used": "recalibrated on",
    r"nothing to correct": "recalibration not needed",
    r"\bsurely\b|for sure": "clearly, with the interval",
    r"confidence adds": "Brier skill score",
    r"another slope|one number mends": "intercept re-estimated, slope re-estimated",
    r"stand alone": "coverage at a risk",
    r"errors?[ -]allowed": "risk of at most",
    r"embedded world|pocket world": "synthetic benchmark",
    r"blank-image test": "image ablation",
    r"\bvoters?\b|\bballots?\b": "ensemble, member",
    r"the usual (interval|bootstrap|one)": "percentile bootstrap",
    r"holds? the truth": "covers the true value",
    r"\bparcels?\b": "resamples",
    r"not as it stands": "a claim with an estimand",
}
LESSON = ("07_teaching", "docs/lesson")
#: Names of calls, not prose.
CODE = re.compile(r"```.*?```|`[^`]*`", re.S)


def prose():
    """Texts that people read, by where they stand."""
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
    pages += [ROOT / "data" / "README.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        yield str(page.relative_to(ROOT)), CODE.sub("", page.read_text("utf-8"))
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            text = "".join(cell["source"])
            if cell["cell_type"] == "code":
                text = "\n".join(texts_of(text))
            yield path.stem, CODE.sub("", text)
    for folder in ("study", "study/findings", "cli", "reader"):
        for path in (ROOT / "medcal_nb" / folder).glob("*.py"):
            text = "\n".join(texts_of(path.read_text("utf-8")))
            yield str(path.relative_to(ROOT)), CODE.sub("", text)
    yield "medcal_nb/show/words.py", "\n".join(LABELS.values())


def texts_of(source):
    """The texts of some code that are sentences, docstrings among them."""
    for node in ast.walk(ast.parse(source)):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and " " in text:
            yield text


@pytest.mark.parametrize("pattern", NOT_SAID)
def test_no_text_speaks_of_it(pattern):
    found = []
    for place, text in prose():
        if not place.startswith(LESSON):
            found += [(place, hit[0]) for hit in re.finditer(pattern, text, re.I)]
    assert not found, f"say: {NOT_SAID[pattern]}"


def test_the_check_sees_what_it_looks_for():
    assert re.search(next(iter(NOT_SAID)), "confidence as stated")
    assert list(texts_of('x = "a b"; y = "c"')) == ["a b"]
    places = {place for place, _ in prose()}
    assert {"README.md", "04_temperature_transfer", "docs/own_data.md"} <= places
