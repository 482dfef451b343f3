"""Terms that the study speaks with: none that a reader of the field would stumble over."""

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


FILES = [path for pattern in PAGES.split() for path in ROOT.glob(pattern)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_text_speaks_of_it(path):
    text = re.sub(r"(?s)```.*?```|`[^`]*`", "", path.read_text("utf-8"))
    is_lesson = any(name in path.as_posix() for name in LESSON)
    for pattern, instead in NOT_SAID.items():
        assert is_lesson or not re.search(pattern, text, re.I), f"say: {instead}"
