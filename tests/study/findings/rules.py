"""What every sentence of the study keeps to; used by the tests of all findings."""

import re

from medcal_nb.show.panels import MOST_LETTERS
from medcal_nb.study.findings import Finding

MOST_WORDS = 40
#: What is not said, and what is said instead.
NOT_SAID = {
    r"surely|for sure": "clearly, or the interval",
    r"carr(y|ies|ied|ying) over": "transfer",
    r"as stated": "uncorrected",
    r"says? \d+ %": "mean confidence",
    r"is right \d+ %": "accuracy",
    r"helps \d+ of|harms \d+": "a claim with its interval",
    r"ways? of asking|kinds? of confidence": "elicitation method",
    r"\bluck\b": "sampling noise",
    r"stand alone": "coverage at a risk",
    r"errors allowed": "risk of at most",
    r"of the kept": "risk",
    r"\bfusions?\b": "ensemble",
    r"\bvoters?\b|\bballots?\b": "member",
    r"not as it stands": "a finding with an estimand",
    r"pocket world|embedded world": "synthetic benchmark",
    r"\bnan\b|\binf\b|\bNone\b(?! of)": "a branch for what is missing",
}


def faults(finding: Finding) -> list[str]:
    """Return what is wrong with a finding's sentence, nothing where it can be cited."""
    claim = finding.claim
    wrong = [
        f"{pattern!r}: say {instead}"
        for pattern, instead in NOT_SAID.items()
        if re.search(pattern, f"{claim}\n{finding.title}")
    ]
    if len(finding.title) > MOST_LETTERS or "\n" in finding.title:
        wrong.append(f"{len(finding.title)} letters in its title")
    if re.search(r"\b0 of\b|\b0 labels", finding.title):
        wrong.append("a count of 0 in its title")
    # a number with its unit, or a sign between numbers, is no word of its own
    words = [word for word in claim.split() if re.search(r"\w", word)]
    if len(words) > MOST_WORDS:
        wrong.append(f"{len(words)} words, at most {MOST_WORDS}")
    if re.search(r"(?<![\d.,–−\-])0 (?!%)(?=[a-z])|\b0 of\b", claim):
        wrong.append("a count of 0 without a branch")
    if not claim.endswith(".") or claim.endswith(".."):
        wrong.append("one point at its end")
    if "  " in claim or claim != claim.strip():
        wrong.append("spaces")
    if not finding.method:
        wrong.append("no method")
    if finding.interval is not None:
        low, high = finding.interval
        if not low <= high:
            wrong.append("the ends of the interval are the wrong way round")
    return wrong
