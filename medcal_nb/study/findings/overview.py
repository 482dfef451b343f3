"""Findings of notebook 00: those of the others that lead, and what the study's figure is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from medcal_nb.show.panels import MOST_LETTERS
from medcal_nb.show.words import short_name
from medcal_nb.study.findings.finding import (
    AT_MOST,
    Finding,
    counted,
    decimal,
    number_word,
    sentence,
)

#: Whose first findings lead: calibration, transfer, selective prediction; then the others.
#: Of transfer the second one leads, whether it is worth more than one number for all answers.
LEADING = (
    "02_metrics",
    "04_temperature_transfer",
    "06_deferral",
    "03_modalities",
    "05_fusion",
    "01_elicitation",
)
_SECOND = "04_temperature_transfer"


#: The two worlds that the control compares.
IMAGES = "medical images"
TEXT = "health questions, no images"


def leading_findings(
    published: Mapping[str, Sequence[dict[str, Any]]],
) -> list[Finding]:
    """Return the findings that stand at the top of the overview, three at most.

    The first of each notebook in the order of :data:`LEADING`; where fewer than three notebooks
    ran, the second of each.

    Parameters
    ----------
    published : mapping
        Findings as the notebooks' results hold them, by the name of the notebook.
    """
    chosen = []
    for place in range(AT_MOST):
        for name in LEADING:
            findings = list(published.get(name, ()))
            if name == _SECOND:
                findings = findings[1:2] + findings[:1] + findings[2:]
            if place < len(findings):
                chosen.append(Finding(**findings[place]))
    return chosen[:AT_MOST]


def headline(
    overconfidence: pd.DataFrame | list[dict[str, Any]], event: str = ""
) -> str:
    """Return the title of the study's figure: how many models are overconfident on the target.

    Parameters
    ----------
    overconfidence : pandas.DataFrame or list of dict
        One row per model and side: `model, side, gap_low, gap_high`.
    event : str
        What confidence is a probability of, where it is not the answer's being correct: ``cancer``.
    """
    overconfidence = pd.DataFrame(overconfidence)
    side = overconfidence["side"].iloc[-1]
    if "medical images" in set(overconfidence["side"]):
        side = "medical images"
    rows = overconfidence[overconfidence["side"] == side]
    n = len(rows)
    over = int((rows["gap_low"] > 0).sum())
    under = int((rows["gap_high"] < 0).sum())
    if event and over:
        return f"Confidence is too high for a probability of {event}"
    k = max(over, under)
    if k == 0:
        return f"No clear over- or underconfidence on {side}"
    word = "overconfident" if over == k else "underconfident"
    who = counted(k, n, "model")
    if n == 1:
        who = short_name(rows["model"].iloc[0], 20)
    verb = "are" if k > 1 or who[:1].isdigit() else "is"
    title = sentence(f"{who} {verb} {word} on {side}").rstrip(".")
    return title if len(title) <= MOST_LETTERS else title.removesuffix(f" on {side}")


def medicine_or_image(control: pd.DataFrame) -> Finding:
    """Return the transfer cost of medical images beside that of medical text.

    The two are not matched: other models, other questions, another shift of accuracy.

    Parameters
    ----------
    control : pandas.DataFrame
        One row per world and elicitation method: `world` (:data:`IMAGES` or :data:`TEXT`),
        `strategy, models, median_cost`. Verbalized confidence is compared, which both have.
    """
    if control.empty:
        control = pd.DataFrame(columns=["world", "strategy"])
    verbalized = control[control["strategy"] == "verbalized"]
    rows = [verbalized[verbalized["world"] == world] for world in (IMAGES, TEXT)]
    if any(row.empty for row in rows):
        return Finding(
            claim="There is nothing to compare with: the control without images (profile text) "
            "was not run beside this one, or holds no verbalized confidence.",
            of="models",
            method="medians over models",
            title="Transfer cost with and without images",
        )
    images, text = (row.iloc[0] for row in rows)
    image_cost = images["median_cost"]
    text_cost = text["median_cost"]
    image_n = int(images["models"])
    text_n = int(text["models"])
    claim = (
        f"transferring verbalized confidence cost a median {decimal(image_cost)} of the "
        f"Brier score on medical images ({_models(image_n)}) and {decimal(text_cost)} on "
        f"health questions without images ({_models(text_n)}), a control that is not matched"
    )
    return Finding(
        claim=claim,
        estimate=image_cost - text_cost,
        n=image_n + text_n,
        of="models",
        method="medians over models; no interval, as the models are not a sample of any population",
        title=f"Transfer costs {decimal(image_cost)} with images, {decimal(text_cost)} without",
    )


def _models(n: int) -> str:
    return "one model" if n == 1 else f"{number_word(n)} models"
