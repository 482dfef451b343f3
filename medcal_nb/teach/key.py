"""The key to the student's sheet: its numbers are those of the labs, computed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd

from medcal_nb.measure import accuracy, auroc, ece, log_loss
from medcal_nb.teach import lesson
from medcal_nb.teach.exercises import NAMES, exercise
from medcal_nb.teach.lab import LEVELS, answers

#: Where the labs of the lesson start from (notebook 07).
_LOUD = [0.3, 0.4, 0.5, 0.6, 0.7]  # section 5
_EXTREME = [0.25, 0.4, 0.5, 0.6, 0.75]  # section 6
_N = 2000
_FIRST = 4  # sample that sections 2 and 3 begin with
_SURE = (0.85, 0.95)  # section 10
_EXAM = "MMMU-Pro (10 options)"
_PAGE = """# Calibration by hand: key to your sheet

Numbers that you read off the page are those of its labs as they stand when it is opened; what you
drew or answered yourself is your own. `make lesson-site` computes this key.

Page 1 is the 45 minutes, page 2 the rest of the hour. This key is public, as the page is: for
practice, not for marks.

**1 · What does "90 %" mean?** Of all answers that are called 90 % sure, about 90 % are right. The
names: calibrated, overconfident, too extreme, too timid, half right, upside down.

**4 · And I?** Your own. The model: right in {model_right} of 20, mean confidence {model_sure} %
(of the first ten: {model_first}).

**7 · Rare findings.** Sensitivity and specificity 90 %, of 1,000 patients:

| have it | get a yes | a yes is right in |
|---:|---:|---:|
{rare}

**8 · Elsewhere.** Where 46 % have a cancer: too sure by {claim_here} points, AUROC {auroc_here}.
Where 5 % do: by {claim_there} points, AUROC {auroc_there}.

**9 · Threshold.** From 80 % on, 1 − 1/5; then {kept} % are kept. If it is worth R checks:
from 1 − 1/R.

**10 · Real models.** Of the answers called about 90 % sure, {medical} % were right on medical
questions (GMAI-MMBench).

**After.** Your own. Numbers worth asking for: of the answers called about 90 % sure, how many were
right, on cases like ours, among how many answers (2, 10); how many of our patients have the finding
(7, 8); what a wrong answer costs beside a check (9).

## In the hour, or at home

**2 · Luck.** Three samples of 100 answers: ECE {luck}. With 2,000 answers: {many}. The
true one is 0.

**3 · Bins.** The same 200 answers: ECE {few_bins} in 5 bins, {many_bins} in 30: fewer answers in
each bin, more luck in each gap.

**5 · Accuracy and ECE.** At T = 1 the ECE is {ece_1}, at T = 0.5 it is {ece_half}; the accuracy is
{accuracy} % at both. You moved the temperature, that is, only what it says.

**6 · Temperature.** Best T: {best} (log loss {least}). The AUROC and the accuracy stayed the same.

**9 · More.** No; and 11: the last two exercises below say why.

**10 · Real models, the other rows.** On everyday photographs (GQA) {everyday} % were right. Is it
medicine, or the test? Compare two rows of one exam (MMMU-Pro): {exam_medical} % on its medical
subjects, {exam_other} % on its others.

## The exercises

{exercises}
"""


def answer_key(recorded: pd.DataFrame) -> str:
    """Return the key to the student's sheet as Markdown.

    Parameters
    ----------
    recorded : DataFrame
        The recorded answers of the five models (``load_recorded("vlcb")``), for section 10.
    """
    exam = recorded[recorded["dataset"] == _EXAM]
    return _PAGE.format(
        **_of_samples(),
        **_of_quiz(),
        **_of_temperature(),
        **_of_mammograms(),
        rare="\n".join(_rare(share) for share in (0.01, 0.1, 0.5)),
        medical=_worth(recorded, "GMAI-MMBench"),
        everyday=_worth(recorded, "GQA"),
        exam_medical=_worth(exam[exam["domain"] == "medical"], _EXAM),
        exam_other=_worth(exam[exam["domain"] == "general"], _EXAM),
        exercises="\n\n".join(map(_exercise, NAMES)),
    )


def _of_samples() -> dict[str, str]:
    """Sections 2, 3 and 9: a calibrated forecaster."""

    def error(n: int, bins: int, sample: int) -> str:
        return f"{ece(*answers(LEVELS, n, sample=sample), n_bins=bins):.3f}"

    confidence, _ = answers(LEVELS, _N, sample=2)
    return {
        "luck": ", ".join(error(100, 15, _FIRST + k) for k in range(3)),
        "many": error(_N, 15, _FIRST),
        "few_bins": error(200, 5, _FIRST),
        "many_bins": error(200, 30, _FIRST),
        "kept": f"{100 * (confidence >= 0.8).mean():.0f}",
    }


def _of_quiz() -> dict[str, str]:
    """Section 4: the model's answers to the same twenty images."""
    cases = pd.DataFrame(lesson.quiz().values["cases"])
    right = int((cases["answer"] == cases["gold"]).sum())
    sure = f"{100 * cases['confidence'].mean():.0f}"
    first = cases.head(10)
    right_first = int((first["answer"] == first["gold"]).sum())
    sure_first = f"{100 * first['confidence'].mean():.0f}"
    return {
        "model_right": str(right),
        "model_sure": sure,
        "model_first": f"{right_first}, {sure_first} %",
    }


def _of_temperature() -> dict[str, str]:
    """Sections 5 and 6: what a temperature changes, and the best one."""
    temperatures = np.arange(25, 501, 5) / 100  # those of the slider
    losses = [log_loss(*answers(_EXTREME, _N, temperature=t)) for t in temperatures]
    least = int(np.argmin(losses))
    loud = answers(_LOUD, _N)
    return {
        "ece_1": f"{ece(*loud):.3f}",
        "ece_half": f"{ece(*answers(_LOUD, _N, temperature=0.5)):.3f}",
        "accuracy": f"{100 * accuracy(*loud):.0f}",
        "best": f"{temperatures[least]:.2f}",
        "least": f"{losses[least]:.3f}",
    }


def _rare(share: float) -> str:
    """A row of section 7: sensitivity and specificity are 90 %."""
    found, flagged = 900 * share, 100 * (1 - share)
    right = 100 * found / (found + flagged)
    return f"| {1000 * share:.0f} | {found + flagged:.0f} | {right:.0f} % |"


def _of_mammograms() -> dict[str, str]:
    """Section 8: the scores of the lab, where 46 % and where 5 % have a cancer."""
    script = Path(__file__).with_name("lab.js").read_text(encoding="utf-8")
    found = re.search(r"(?s)SCORES = (\[\[.*?\]\]);", script)
    assert found, "lab.js holds the scores"
    ill, healthy = np.array(json.loads(found[1]), float).T
    says = ill / (ill + healthy)
    texts = {}
    for place, share in (("here", 0.46), ("there", 0.05)):
        right = share * ill / ill.sum()
        wrong = (1 - share) * healthy / healthy.sum()
        gap = ((right + wrong) * says).sum() - share
        # each score as often as it occurs: the AUROC counts pairs
        counts = np.append(ill, healthy).astype(int)
        correct = np.repeat(np.repeat([1, 0], ill.size), counts)
        texts[f"claim_{place}"] = f"{round(100 * gap)}"
        texts[f"auroc_{place}"] = (
            f"{auroc(np.repeat(np.tile(says, 2), counts), correct):.3f}"
        )
    return texts


def _worth(recorded: pd.DataFrame, dataset: str) -> str:
    """How many answers called about 90 % sure were right, from model to model."""
    rows = recorded[recorded["dataset"] == dataset]
    rows = rows[rows["strategy"] == "self_probing"].dropna(subset="correct")
    sure = rows[rows["confidence"].between(*_SURE)]
    shares = 100 * sure["correct"].astype(float).groupby(sure["model"]).mean()
    return f"{shares.min():.0f} to {shares.max():.0f}"


def _exercise(name: str) -> str:
    """An exercise with its answer."""
    asked = exercise(name)
    unit = " %" if asked["unit"] else ""
    answer = asked["answer"] if asked["options"] else f"{asked['answer']:g}"
    return f"*{asked['question']}* **{answer}{unit}.** {asked['why']}"
