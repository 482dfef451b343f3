"""Terms that the study speaks with: none that a reader of the field would stumble over."""

import ast
import json
import re
from pathlib import Path

import pytest

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
    r"stand alone|errors?[ -]allowed": "coverage at a risk of at most",
    r"(embedded|pocket) world": "synthetic benchmark",
    r"blank-image test": "image ablation",
    r"\bvoters?\b|\bballots?\b": "ensemble, member",
    r"the usual (interval|bootstrap|one)": "percentile bootstrap",
    r"holds? the truth": "covers the true value",
    r"\bparcels?\b": "resamples",
}
LESSON = ("07_teaching", "docs/lesson")
PAGES = "README.md CONTRIBUTING.md data/README.md docs/**/*.md notebooks/*.ipynb "
PAGES += "medcal_nb/cli/*.py medcal_nb/reader/*.py medcal_nb/*.py medcal_nb/labels.toml"


def prose():
    """Texts that people read, by where they stand; names of calls are none."""
    for path in (path for pattern in PAGES.split() for path in ROOT.glob(pattern)):
        text = path.read_text("utf-8")
        if path.suffix == ".py":
            text = texts_of(text)
        elif path.suffix == ".ipynb":
            cells = json.loads(text)["cells"]
            sources = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
            texts = [texts_of(s) if kind == "code" else s for kind, s in sources]
            text = "\n".join(texts)
        yield str(path.relative_to(ROOT)), re.sub(r"(?s)```.*?```|`[^`]*`", "", text)


def texts_of(source: str) -> str:
    """The texts of some code that are sentences, docstrings among them."""
    nodes = ast.walk(ast.parse(source))
    values = [node.value for node in nodes if isinstance(node, ast.Constant)]
    return "\n".join(text for text in values if isinstance(text, str) and " " in text)


@pytest.mark.parametrize("pattern", NOT_SAID)
def test_no_text_speaks_of_it(pattern):
    texts = [pair for pair in prose() if not any(name in pair[0] for name in LESSON)]
    assert len(texts) > 20
    found = [place for place, text in texts if re.search(pattern, text, re.I)]
    assert not found, f"say: {NOT_SAID[pattern]}"
