"""The lesson's numbers and figures: forecasters made by design, so that the truth is known.

Simulations take their uniform numbers as arguments: what differs between two of them is then the
forecaster and not the luck.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from medcal_nb.datasets import open_image, png_text, pocket
from medcal_nb.measure import best_threshold, ece, reliability_table
from medcal_nb.measure.resampling import logit
from medcal_nb.show import charts
from medcal_nb.show.words import percent
from medcal_nb.teach.lab import lab_code

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
HALF_WIDTH = 0.1  # how far confidences lie from their level
FORECASTERS = {
    "calibrated": (0.1, 0.3, 0.5, 0.7, 0.9),
    "overconfident": (0.05, 0.15, 0.3, 0.45, 0.6),
    "too extreme": (0.3, 0.4, 0.5, 0.6, 0.7),
    "too timid": (0.02, 0.15, 0.5, 0.85, 0.98),
    "half right": (0.5, 0.5, 0.5, 0.5, 0.5),
    "upside down": (0.9, 0.7, 0.5, 0.3, 0.1),
}
DATASETS = {
    "everyday images": "pocketvqa-general",
    "medical images": "pocketvqa-medical",
}
MODEL = "pocket-general"
_CLIP = 1e-6


class Part:
    """A part of the lesson as HTML that needs no kernel: a notebook shows it with its script.

    Attributes
    ----------
    markup : str
        The part alone, as the lesson's page holds it.
    """

    def __init__(self, name: str, *values: object):
        self.markup = str(getattr(template("lesson.jinja").module, name)(*values))

    def _repr_html_(self) -> str:
        return self.markup + str(
            template("lesson.jinja").module.script(Markup(lab_code()))
        )


@cache
def template(name: str) -> jinja2.Template:
    """Return a template of the lesson, which escapes all that is filled in."""
    loader = jinja2.PackageLoader("medcal_nb", "teach")
    return jinja2.Environment(loader=loader, autoescape=True).get_template(name)


def _picture(image: object) -> str:
    """Return an image as an address that holds it."""
    return f"data:image/png;base64,{png_text(open_image(image))}"


def _case() -> tuple:
    """Return picture, question, wrong answer and right one of the lesson's first image."""
    items = pocket.load(DATASETS["medical images"], split="test")
    item = (
        items[items["template"] == "ct:finding_choice"]
        .nlargest(1, "visibility")
        .iloc[0]
    )
    wrong = next(option for option in item["options"] if option != item["gold"])
    return _picture(item["image"]), item["question"], wrong, item["gold"]


def opening() -> Part:
    """Return the picture that the lesson begins with: an image, an answer, "90 %", a vote."""
    return Part("answer", *_case()[:3], "start")


def worth_of_90() -> pd.DataFrame:
    """Return how often a small model was right when it said about 90 %, by kind of image.

    Recorded answers of ``pocket-general`` to fresh items: ``kind, asked, sure`` (stated confidence
    from 85 to 95 %) and ``right``, the share of the sure ones that are.
    """
    rows = []
    for kind, dataset in DATASETS.items():
        graded = pocket.fresh_answers(dataset, MODEL, "verbalized")
        sure = graded[graded["confidence"].between(0.85, 0.95)]
        rows.append(
            (kind, len(graded), len(sure), float(sure["correct"].astype(float).mean()))
        )
    return pd.DataFrame(rows, columns=["kind", "asked", "sure", "right"])


def reopening() -> Part:
    """Return the first picture again, with what is known by the end of the hour."""
    worth = worth_of_90()
    shares = [
        f"{percent(row.right)} of {row.sure:,} on {row.kind}"
        for row in worth.itertuples()
    ]
    return Part("answer_again", *_case(), int(worth["asked"].sum()), shares)


def quiz() -> Part:
    """Return the quiz: twenty synthetic images, a student's answers beside a model's.

    The model's answers and confidences are recorded ones of ``pocket-general``.
    """
    items = pocket.load("quiz")
    answers = pocket.fresh_answers(DATASETS["medical images"], MODEL, "verbalized")
    answers = answers.set_index("item_id").loc[items["item_id"]].reset_index()
    cases = items[["question", "options", "gold"]].join(
        answers[["answer", "confidence"]]
    )
    cases["picture"] = [_picture(image) for image in items["image"]]
    return Part("quiz", cases.round({"confidence": 4}).to_dict("records"), MODEL)


def stretch(p: ArrayLike, factor: float) -> np.ndarray:
    r"""Return :math:`\sigma(f \operatorname{logit} p)`: bolder for f > 1, more timid for f < 1."""
    from scipy.special import expit

    return expit(factor * logit(p, _CLIP))


def drawn_answers(
    right: Sequence[float], draws: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return answers of a forecaster that is drawn by five dots, as the lab draws them.

    A fifth of the answers belongs to each of :data:`LEVELS`, with confidences within 0.1 of it.
    The probability of being right rises with the confidence, as on the diagonal, and is on
    average what was asked for.

    Parameters
    ----------
    right : sequence of 5 floats
        How often it is right around 10, 30, 50, 70 and 90 %.
    draws : (2, n) array
        Uniform on (0, 1): where in its fifth a confidence lies, and what happens.

    Returns
    -------
    (confidence, correct) : arrays of shape (n,)
    """
    level = np.arange(draws.shape[1]) % len(LEVELS)
    share = np.asarray(right)[level]
    shift = (2 * draws[0] - 1) * HALF_WIDTH
    slope = np.minimum(1, np.minimum(share, 1 - share) / HALF_WIDTH)
    confidence = np.asarray(LEVELS)[level] + shift
    correct = draws[1] < share + slope * shift
    return confidence, correct.astype(float)


def forecasters_table(draws: np.ndarray) -> pd.DataFrame:
    """Reliability of all :data:`FORECASTERS`, a bin for each of five levels, and their ECE.

    `draws` are those of :func:`drawn_answers`, the same for all.
    """
    parts = []
    for name, right in FORECASTERS.items():
        c, y = drawn_answers(right, draws)
        table = reliability_table(c, y, n_bins=len(LEVELS))
        parts.append(table.assign(forecaster=name, ece=ece(c, y, n_bins=len(LEVELS))))
    return pd.concat(parts, ignore_index=True)


def forecasters_figure(table: pd.DataFrame) -> Figure:
    """Draw :func:`forecasters_table`, a small diagram for each forecaster."""
    errors = table.groupby("forecaster", sort=False)["ece"].first()
    names = table["forecaster"] + table["ece"].map(" ({:.2f})".format)
    low = errors.idxmin()
    high = errors.idxmax()
    diagrams = table.assign(panel=names)
    return charts.figure(
        f"ECE runs from {errors[low]:.2f} ({low}) to {errors[high]:.2f} ({high})",
        *charts.panel_each(charts.plot_reliability, diagrams, "panel", shares=False),
        note="Simulated answers of forecasters made by design; in brackets: ECE. "
        "Bands: 95 % of samples of a calibrated one.",
    )


def luck(n: int, n_bins: int, draws: np.ndarray) -> np.ndarray:
    """Return the ECEs of a calibrated forecaster, one per sample: its true error is 0.

    It says between 50 and 100 %.

    Parameters
    ----------
    n, n_bins : int
    draws : (samples, 2, m) array, m ≥ n
        Uniform on (0, 1): what it says, and what happens.
    """
    says = 0.5 + 0.5 * draws[:, 0, :n]
    happens = draws[:, 1, :n]
    pairs = zip(says, happens < says, strict=True)
    return np.array([ece(c, y.astype(float), n_bins=n_bins) for c, y in pairs])


def bold_answers(
    accuracy: float, boldness: float, draws: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return answers of a forecaster of a given skill that over- or understates what it knows.

    Its true chances of being right follow a Beta distribution with mean `accuracy`; what it says
    are those chances stretched by `boldness` (:func:`stretch`): 1 is calibrated.

    Parameters
    ----------
    accuracy, boldness : float
    draws : (2, n) array
        Uniform on (0, 1).
    """
    from scipy.stats import beta

    chance = beta.ppf(draws[0], 4 * accuracy, 4 * (1 - accuracy))
    return stretch(chance, boldness), (draws[1] < chance).astype(float)


def base_rate_table(
    base_rates: Sequence[float], *, sensitivity: float, specificity: float
) -> pd.DataFrame:
    r"""What a "yes" is worth, by how common the finding is.

    .. math:: \mathrm{PPV} = \frac{s\,\pi}{s\,\pi + (1 - t)(1 - \pi)}

    with sensitivity s, specificity t and base rate π.

    Returns
    -------
    pandas.DataFrame
        ``base_rate, found, missed, flagged, cleared`` (of 1,000 patients) and ``ppv`` (NaN where
        nobody gets a yes).
    """
    table = pd.DataFrame({"base_rate": base_rates}, dtype=float)
    ill = 1000 * table["base_rate"]
    table["found"] = ill * sensitivity
    table["missed"] = ill - table["found"]
    table["flagged"] = (1000 - ill) * (1 - specificity)
    table["cleared"] = 1000 - ill - table["flagged"]
    table["ppv"] = table["found"] / (table["found"] + table["flagged"])
    return table


def base_rate_figure(table: pd.DataFrame) -> Figure:
    """Draw 100 yes answers for each row of :func:`base_rate_table`: right, and false alarms."""
    shares = [percent(share) for share in table["ppv"]]
    panels = []
    for row in table.itertuples():
        answers = {"right": row.found, "false alarms": row.flagged}
        counts = pd.DataFrame(answers.items(), columns=["outcome", "count"])
        yes = row.found + row.flagged
        title = f"{percent(row.base_rate)} have it: {row.found:.0f} of {yes:.0f}"
        panels.append(charts.panel(title, charts.plot_icons, counts))
    return charts.figure(
        f"A yes is right in {', '.join(shares[:-1])} or {shares[-1]}, by prevalence",
        *panels,
        note="Right yes answers of all, counted among 1,000 patients (made up, exact). "
        "Drawn: 100 yes answers each.",
    )


def threshold_table(
    confidence: np.ndarray, correct: np.ndarray, *, checks: float
) -> pd.DataFrame:
    """What each threshold keeps, lets slip and costs.

    Parameters
    ----------
    confidence, correct : (n,) arrays
    checks : float
        How many checks cost as much as one wrong answer.

    Returns
    -------
    pandas.DataFrame
        ``threshold, line, share``: the line is ``kept``, ``wrong among kept`` (NaN where none is)
        or ``cost per answer``, in wrong answers.
    """
    rows = []
    for threshold in np.linspace(0, 1, 101):
        above = confidence >= threshold
        wrong = float((1 - correct[above]).sum())
        risk = wrong / above.sum() if above.any() else np.nan
        cost = (wrong + (~above).sum() / checks) / len(correct)
        lines = {
            "kept": above.mean(),
            "wrong among kept": risk,
            "cost per answer": cost,
        }
        rows += [(threshold, line, share) for line, share in lines.items()]
    return pd.DataFrame(rows, columns=["threshold", "line", "share"])


def threshold_figure(table: pd.DataFrame, *, checks: float) -> Figure:
    """Draw :func:`threshold_table`; above it stands the cheapest threshold."""
    cost = table[table["line"] == "cost per answer"]
    cheapest = cost.loc[cost["share"].idxmin(), "threshold"]
    theory = best_threshold(cost_wrong=1.0, cost_check=1 / checks)
    axes = {"x": "threshold", "y": "share", "xlabel": "keep from this confidence on, %"}
    panels = []
    for line, ylabel in (
        ("kept", "answers kept"),
        ("wrong among kept", "wrong among those kept"),
        ("cost per answer", "cost (1: a wrong answer)"),
    ):
        part = table[table["line"] == line].dropna()  # nothing is wrong of nothing
        part = part.assign(threshold=100 * part["threshold"])
        shares = line != "cost per answer"
        drawn = charts.panel(
            line.capitalize(),
            charts.plot_lines,
            part,
            **axes,
            ylabel=ylabel,
            percent=shares,
        )
        panels.append(drawn)
    whole = charts.figure(
        f"If an error costs {checks:g} checks, check below {percent(cheapest)}",
        *panels,
        note="Simulated answers. Dotted: the cheapest threshold of this sample. "
        f"From the costs alone, 1 − 1/{checks:g}: {percent(theory)}.",
    )
    for ax in whole.axes:
        ax.axvline(100 * cheapest, color="0.4", linestyle=":")
    return whole
