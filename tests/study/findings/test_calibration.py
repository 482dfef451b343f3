"""Sentences of notebook 02, each branch."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.study.findings import calibration
from tests.study.findings.rules import faults

SIDE = "medical images"
MODELS = ["Qwen3-VL-8B-Instruct", "gemma-3-27b-it", "deepseek-vl2"]


def overconfident(*gaps, half=0.02, n_images=0):
    """One row a model, all correct on 52 %."""
    gaps = np.array(gaps)
    return pd.DataFrame(
        {
            "model": MODELS[: len(gaps)],
            "side": SIDE,
            "n": 4549,
            "n_images": n_images,
            "accuracy": 0.52,
            "accuracy_low": 0.51,
            "accuracy_high": 0.54,
            "mean_confidence": 0.52 + gaps,
            "gap": gaps,
            "gap_low": gaps - half,
            "gap_high": gaps + half,
        }
    )


@pytest.mark.parametrize(
    ("gaps", "start"),
    [
        (
            (0.32, 0.29, 0.49),
            "All three models were overconfident on medical images, by",
        ),
        ((0.32, 0.01, -0.1), "One of three models was overconfident"),
        ((0.32, 0.3, -0.1), "Two of three models were overconfident"),
        ((-0.2, -0.1, -0.1), "All three models were underconfident"),
        ((0.01, 0.0, -0.01), "No model was clearly over- or underconfident"),
        ((0.32,), "On medical images Qwen3-VL-8B was overconfident by 32 percentage"),
        ((-0.32,), "On medical images Qwen3-VL-8B was underconfident by 32"),
        ((0.0,), "On medical images Qwen3-VL-8B was neither clearly"),
    ],
)
def test_overconfidence(gaps, start):
    scores = overconfident(*gaps)
    finding = calibration.overconfidence(scores, MODELS[0], SIDE)
    assert finding.claim.startswith(start)
    assert not faults(finding)
    assert finding.estimate == gaps[0]
    assert "by answer" in finding.method


@pytest.mark.parametrize(
    ("gap", "part"),
    [
        (0.27, "too high by 27 percentage points: its mean was 79 %"),
        (-0.27, "too low by 27 percentage points"),
        (0.0, "was not clearly too high or too low"),
    ],
)
def test_the_confidence_of_a_claim_is_a_probability_of_it(gap, part):
    scores = overconfident(gap).assign(model="43 radiologists")
    finding = calibration.overconfidence(
        scores, "43 radiologists", SIDE, event="cancer"
    )
    assert part in finding.claim
    assert "with cancer in 52 % of 4,549 answers" in finding.claim
    assert "correct" not in finding.claim
    assert not faults(finding)
    errors = calibration.confident_errors(
        scores.assign(
            confidently_wrong=0.03,
            confidently_wrong_low=0.02,
            confidently_wrong_high=0.04,
        ),
        SIDE,
        event="cancer",
    )
    assert "to 3 % of 2,184 answers without cancer (" in errors.claim
    assert not faults(errors)
    worth = calibration.skill(skilled(-0.4), SIDE, event="cancer")
    assert "than giving every answer the prevalence of cancer (" in worth.claim
    assert not faults(worth)


def test_several_readers_taken_as_one_are_plural():
    scores = overconfident(0.3).assign(model="43 radiologists")
    finding = calibration.overconfidence(scores, "43 radiologists", SIDE)
    assert "43 radiologists were overconfident" in finding.claim
    assert finding.claim.count("43 radiologists") == 1
    assert finding.title.startswith("43 radiologists are overconfident")


def test_intervals_are_by_image_only_where_images_are_known():
    assert calibration.resampled_by(overconfident(0.1, 0.2)) == "by answer"
    assert calibration.resampled_by(overconfident(0.1, n_images=80)) == "by image"


def test_the_note_says_what_bars_are():
    assert calibration.note(overconfident(0.1), 0.95) == "Bars: 95 % CI by answer."


def skilled(*values, half=0.02):
    values = np.array(values, dtype=float)
    return pd.DataFrame(
        {
            "brier_skill": values,
            "brier_skill_low": values - half,
            "brier_skill_high": values + half,
            "n": 4549,
            "n_images": 0,
        }
    )


@pytest.mark.parametrize(
    ("values", "part"),
    [
        (
            (-0.5, -0.2, 0.1),
            "worse than giving every answer the model's accuracy in two",
        ),
        ((-0.5, -0.2, -0.1), "in all three model–method pairs"),
        # the estimate counts, as it does where confidence is transferred
        (
            (-0.5, -0.01, 0.1),
            "in two of three model–method pairs (in one the 95 % CI",
        ),
        (
            (0.5, 0.2, 0.1),
            "better than giving every answer the model's accuracy in all",
        ),
        ((0.0, 0.0), "better than giving every answer the model's accuracy in none of"),
        ((-0.5,), "worse than giving"),
        ((0.5,), "better than giving"),
        ((0.0,), "not clearly different from giving"),
        ((np.nan,), "could not be measured"),
    ],
)
def test_skill(values, part):
    scores = skilled(*values)
    finding = calibration.skill(scores, SIDE)
    assert part in finding.claim
    assert not faults(finding)
    assert 0 < len(finding.title) <= 60


def wrong(share, n=100):
    return pd.DataFrame(
        {
            "model": MODELS[0],
            "side": [SIDE],
            "n": n,
            "accuracy": 0.9 if np.isfinite(share) else 1.0,
            "confidently_wrong": share,
            "confidently_wrong_low": max(share - 0.1, 0),
            "confidently_wrong_high": min(share + 0.1, 1),
        }
    )


@pytest.mark.parametrize(
    ("scores", "part"),
    [
        (wrong(0.65), "to 65 % of its 10 errors (95 % CI 55–75)"),
        (wrong(0.0), "below 90 % to its 10 errors"),
        (wrong(1.0, n=10), "to 100 % of its single error"),
        (wrong(np.nan), "made no error"),
    ],
)
def test_confident_errors(scores, part):
    finding = calibration.confident_errors(scores, SIDE)
    assert part in finding.claim
    assert not faults(finding)


@pytest.mark.parametrize(
    ("conclusions", "part"),
    [
        (["discriminates"] * 3, "all three model–method pairs"),
        (
            ["discriminates", "reversed"],
            "it was reversed, AUROC below one half, in one of",
        ),
        (["no discrimination shown"] * 2, "in none of the two"),
        (["discriminates"], "in the model–method pair"),
    ],
)
def test_discrimination(conclusions, part):
    tests = pd.DataFrame({"auroc": 0.6, "conclusion": conclusions})
    finding = calibration.discrimination(tests, SIDE)
    assert part in finding.claim
    assert not faults(finding)


@pytest.mark.parametrize("usual", [0.0, 0.4])
def test_ece_by_chance(usual):
    bias = pd.DataFrame({"estimator": ["ece_width"], "n": [451], "mean": [0.023]})
    coverage = pd.DataFrame(
        {
            "interval": ["bootstrap", "inversion"],
            "coverage": [usual, 0.98],
            "n_repeats": 400,
        }
    )
    finding = calibration.ece_by_chance(bias, coverage)
    assert "expected ECE of 0.023" in finding.claim
    assert ("never covered" in finding.claim) == (usual == 0)
    assert not faults(finding)
