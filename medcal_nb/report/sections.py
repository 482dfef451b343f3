"""Sections of a report: what is said of each part, around its table.

A section computes its numbers by a function of ``parts`` or of ``measure`` and says in sentences
what they are of. What answers do not allow is a `NotEnough`, whose message takes its place.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from medcal_nb import measure
from medcal_nb.errors import NotEnough
from medcal_nb.labels import UNITS, label_of
from medcal_nb.measure import Bootstrap
from medcal_nb.report import parts
from medcal_nb.report.parts import ALL_PAIRS, LEAST
from medcal_nb.wording import estimate, typeset

#: Columns that make subgroups where none is named.
GROUPS = ["modality", "question_type", "dataset"]
#: Allowed of a certified threshold.
RISK = 0.2
DELTA = 0.1
#: Fewer answers give wide intervals.
WIDE = 100
#: Up to so many entries stand side by side; more have a row each.
SIDE_BY_SIDE = 3
#: Entries named in a sentence.
NAMED = 6
#: Characters of a text of the file that are shown.
SHOWN = 200

CURVE = """Accuracy at each confidence: a dot for each value that at least 1 % of the answers
carry, its area by their number, or a smooth curve where values are many; 95 % CIs. Dashed:
calibrated. Below: correct answers up, wrong ones down, at the same confidences."""
METRICS = """Overconfidence: mean confidence minus accuracy (calibration-in-the-large), of numbers
before rounding. Slope: 1 is ideal, below it confidences are too extreme. ECE: 15 bins of equal
width. Brier skill score: 1 − Brier score / that of giving every answer the accuracy; below 0
confidence is worse than that one number. AUROC: chance that a correct answer carries more
confidence than a wrong one; 0.5 is none. O:E, intercept, ICI and errors at ≥ 90 % confidence:
tables/performance.csv."""
BOUNDS = """Between bounds: if all ungraded answers were wrong, and if all were right; the other
numbers are of graded answers alone."""
GRADED = "Of graded answers alone."
TRANSFER = """Brier scores with 95 % CIs: Platt scaling fitted on the source and judged on the
target. One constant: every answer given the target's accuracy. Accuracy known: the map's
intercept set by it. Refitted: cross-fitted on the target. Transfer cost: transferred − refitted;
conclusion at a margin of 0.005, after Holm's correction."""
CERTIFIED = """Threshold certified on random halves for a risk (share wrong among the answers
retained) of at most {risk:.0%}, exceeded with a probability of at most δ = {delta}{together}, and
judged on the other halves: mean coverage, 0 where none is certified. It rests on the graded answers
of a half."""
COST = """Expected cost of an answer, in checks, with 95 % CIs, if a wrong answer acted on costs as
much as R checks: deferring answers below a confidence of 1 − 1/R, as elicited; checking all;
checking none. Saving: of deferring against the cheaper of the other two; below 0 deferring costs
more."""
BESIDE = """Each model on the questions that it and the models of this file both answered, by data
set and elicitation method. Difference: a − b on the questions of the pair, 95 % CIs, paired by
image where it is known. P value (Holm): corrected for all rows. Answers of the two sources may have
been asked for and graded in other ways."""
RECALIBRATED = """Platt scaling, cross-fitted in five folds by {unit}; 95 % CIs. Answers needed: for
95 % CIs of O:E, slope and AUROC as narrow as 0.2, 0.2 and 0.1 (Riley et al., BMJ
2024;384:e074821), if independent. Where AUROC is near 0.5 a map has nothing to fit, and the slope
means nothing."""
SOURCES = """Calibration: Van Calster et al., BMC Medicine 2019;17:230. ECE: Guo et al., ICML 2017,
arXiv:1706.04599. Certified thresholds: Angelopoulos et al., arXiv:2110.01052. Cost of deferring:
Chow, IEEE Trans Inf Theory 1970, doi:10.1109/TIT.1970.1054406."""


class Section(NamedTuple):
    """What stands under one title of the page: sentences, a table and what it is, a figure."""

    title: str = ""
    sentences: Sequence[str] = ()
    table: pd.DataFrame | None = None
    columns: Sequence[str] = ()  # those shown; none: the table is a file alone
    caption: str = ""
    is_turned: bool = False  # entries stand side by side
    most: int = 20  # rows shown
    picture: str = ""
    alt: str = ""


@dataclass
class Judged:
    """The answers that a report judges, and what is known of them."""

    answers: pd.DataFrame
    source: pd.DataFrame | None
    facts: dict[str, Any]
    ci: Bootstrap
    groups: Sequence[str] = ()
    compared: pd.DataFrame | None = None  # with others, on the questions in common

    def __post_init__(self) -> None:
        self.performance = parts.performance(self.answers, ci=self.ci)
        # equal numbers that were added up in another order are rounded alike
        self.scores = self.performance.round(12)
        order = pd.CategoricalDtype(self.scores["model"])
        self.answers = self.answers.astype({"model": order})
        self.known = self.scores.dropna(subset="gap")
        #: Entries of which something can be concluded.
        self.firm = self.known[~self.known["few"]]
        is_firm = self.answers["model"].isin(self.firm["model"])
        self.concluded = self.answers[is_firm]
        names = [name for name in GROUPS if self.answers[name].nunique() > 1]
        self.groups = self.groups or names
        self.unit = self.facts["unit"]

    @cached_property
    def methods(self) -> list[str]:
        """Elicitation methods by label; none where the file does not name them."""
        names = self.answers["strategy"].map(label_of).unique()
        return [name for name in names if name != "stated"]

    @property
    def method(self) -> str:
        """Whose confidence a sentence is about."""
        is_one = len(self.methods) == 1
        return f"{self.methods[0]} confidence" if is_one else "confidence"

    @property
    def prompts(self) -> list[str]:
        """The first prompts of the file, cut."""
        if "prompt" not in self.answers:
            return []
        texts = self.answers["prompt"].dropna().unique()
        return [text[:300] for text in texts[:3]]

    @cached_property
    def where(self) -> str:
        """The data sets, in a sentence."""
        names = list(self.answers["dataset"].map(label_of).unique())
        where = ", ".join(names) if len(names) < 4 else f"{len(names)} data sets"
        is_file = self.facts["file"].startswith(f"{where}.")
        return "these answers" if is_file else where

    @cached_property
    def differences(self) -> pd.DataFrame:
        """Entries of which something can be concluded, two by two."""
        return parts.comparison(self.concluded, self.firm, ci=self.ci)

    @property
    def images(self) -> list[str]:
        """The column of images, where they are what intervals are by."""
        return ["n_images"] if self.unit == "image" else []


# --- numbers in sentences -----------------------------------------------------------------


def percent(share: float) -> str:
    """A share as a whole percentage."""
    return typeset(f"{share:.0%}")


def in_points(share: float) -> str:
    """A difference of shares in whole percentage points."""
    return f"{100 * share:.0f}"


def p_value(p: float) -> str:
    """A P value of three digits."""
    if np.isnan(p):
        return "P not known"
    if p < 0.001:
        return "P < .001"
    return "P = 1" if p >= 0.9995 else f"P = {p:.3f}".replace("0.", ".", 1)


def number(row: pd.Series, name: str, form: str) -> str:
    """An estimate with its interval, if it has one."""
    if np.isnan(row[name]):
        return "undefined"
    text = estimate(row, name, form)
    has_ends = np.isfinite(row[f"{name}_low"])
    return text if has_ends else f"{text.split(' (')[0]} (no interval)"


def each(table: pd.DataFrame, write: Callable[[pd.Series], str]) -> str:
    """What is said of the first rows of a table, separated by semicolons."""
    texts = [write(row) for _, row in table.head(NAMED).iterrows()]
    return "; ".join(texts)


def _overconfidence(row: pd.Series) -> str:
    """Of an entry, in the first sentence: between bounds where too much is ungraded."""
    if np.isfinite(row["gap_least"]):
        least = in_points(row["gap_least"])
        most = in_points(row["gap_most"])
        accuracy = (
            f"{in_points(row['accuracy_least'])} to {percent(row['accuracy_most'])}"
        )
        return (
            f"between {least} and {most} percentage points for {row['model']} (accuracy "
            f"{accuracy}, as {row['n_ungraded']:,.0f} answers are not graded; n = {row['n']:,})"
        )
    return (
        f"{number(row, 'gap', 'points')} for {row['model']} (mean confidence "
        f"{percent(row['mean_confidence'])}, accuracy {percent(row['accuracy'])}, "
        f"n = {row['n']:,})"
    )


# --- sections -----------------------------------------------------------------------------


def quote(r: Judged) -> list[str]:
    """One or two sentences to quote; none where nothing can be concluded."""
    if r.firm.empty:
        return []
    said = each(r.firm.head(SIDE_BY_SIDE), _overconfidence)
    texts = [f"On {r.where}, mean {r.method} minus accuracy was {said}, by {r.unit}."]
    if len(r.firm) > 1:
        table = r.differences
        brier, _, auroc = [row for _, row in table.head(3).iterrows()]
        texts.append(
            f"The Brier score of {brier['a']} minus that of {brier['b']} was "
            f"{number(brier, 'difference', '.3f')}, {p_value(brier['p_holm'])}, and the AUROC of "
            f"the first minus that of the second {number(auroc, 'difference', '.3f')}, "
            f"{p_value(auroc['p_holm'])} (P by Holm's method over {len(table)} comparisons)."
        )
    else:
        row = r.firm.iloc[0]
        texts.append(
            f"The Brier score was {number(row, 'brier', '.3f')}, the Brier skill score over "
            f"giving every answer the accuracy {number(row, 'brier_skill', '.3f')}, the AUROC of "
            f"confidence for correct against wrong answers {number(row, 'auroc', '.3f')}."
        )
    return [typeset(text) for text in texts]


def limits(r: Judged) -> list[str]:
    """What cannot be said of which entries."""
    scores = r.scores
    n = scores["n"]
    is_few = scores["few"] & (n > 0)
    is_alike = scores["accuracy"].isin([0, 1])
    cases = [
        (n == 0, "no answer has both a confidence and a grade. Nothing can be said of calibration"),
        (is_few, f"fewer than {LEAST} answers or images. Nothing can be concluded on calibration, "
         "discrimination or a threshold"),
        (~scores["few"] & (n < WIDE), f"fewer than {WIDE} answers. Slope, ECE and AUROC are known "
         "within wide intervals only, and a threshold is certified on half of the answers"),
        (is_alike, "all answers are correct, or all are wrong. Calibration slope, Brier skill "
         "score and AUROC are undefined, and no map can be fitted"),
    ]  # fmt: skip
    texts = []
    for holds, text in cases:
        names = ", ".join(scores.loc[holds, "model"])
        if names:
            texts.append(f"{names}: {text}.")
    return texts


def performance(r: Judged) -> Section:
    """Metrics of each entry."""
    is_narrow = len(r.scores) <= SIDE_BY_SIDE
    columns = ["model", "n", *r.images]
    if is_narrow and r.scores["n_missing"].sum():
        columns += ["n_missing", "accuracy_graded"]
    columns += ["accuracy", "accuracy_bounds", "mean_confidence", "gap", "gap_bounds"]
    columns += ["slope", "ece", "brier", "brier_skill", "auroc"]
    caption = f"Performance with 95 % CIs by {r.unit}"
    if len(r.scores) > 1:
        caption += "; the lowest Brier score first"
    caption = " ".join([f"{caption}.", *_of_bounds(r.scores)])
    return Section(
        sentences=[METRICS],
        table=r.performance,
        columns=columns,
        caption=caption,
        is_turned=is_narrow,
        most=40,
    )


def _of_bounds(table: pd.DataFrame, text: str = BOUNDS) -> list[str]:
    """What bounds are, or that there are none, where too much of a table is ungraded."""
    return [text] if table["n_ungraded"].notna().any() else []


def calibration(r: Judged) -> Section:
    """The figure, as PNG; `parts.calibration_figure` draws it."""
    fig, table = parts.calibration_figure(r.answers, ci=r.ci)
    picture = _pictured(r, "calibration", fig)
    caption = CURVE
    if len(r.scores) > parts.SQUARES:
        caption = f"{CURVE} The {parts.SQUARES} lowest Brier scores."
    alt = "Accuracy against confidence; below, correct answers up and wrong ones down"
    return Section(table=table, caption=caption, picture=picture, alt=alt)


def _pictured(r: Judged, name: str, fig: Figure) -> str:
    """A figure as PNG for the page; its files go to the folder of figures."""
    figures = r.facts.setdefault("figures", {})
    for kind in ("svg", "png"):
        file = io.BytesIO()
        fig.savefig(file, format=kind, bbox_inches="tight", transparent=True)
        figures[f"{name}.{kind}"] = file.getvalue()
    return base64.b64encode(figures[f"{name}.png"]).decode()


def beside(r: Judged) -> Section:
    """The models of the file beside those of another source, on the questions in common."""
    fig, table = parts.beside(r.compared, ci=r.ci)
    columns = ["dataset", "strategy", "metric", "a", "b", "n_a", "value_a", "value_b"]
    return Section(
        table=table,
        columns=[*columns, "difference", "p_holm"],
        caption=" ".join([BESIDE, *_of_bounds(r.scores, GRADED)]),
        most=30,
        picture=_pictured(r, "beside", fig),
        alt="Accuracy and overconfidence of each model, by data set and elicitation method",
    )


def comparison(r: Judged) -> Section:
    """Entries two by two."""
    n = len(r.firm)
    is_long = n > ALL_PAIRS
    second = [] if is_long else ["b"]
    columns = ["metric", "a", *second, "n_a", "n_b", "value_a", "value_b"]
    caption = (
        f"Difference: a − b, 95 % CIs, paired by {r.unit if r.facts['n_units'] else 'item'}; "
        f"{r.facts['n_common']:,} items were answered by {'both' if n == 2 else 'all'}. P value "
        "(Holm): corrected for all rows."
    )
    if is_long:
        caption += (
            f" b is {r.firm['model'].iloc[0]}, whose Brier score is the lowest here."
        )
    return Section(
        table=r.differences,
        columns=[*columns, "difference", "difference_bounds", "p_holm"],
        caption=" ".join([caption, *_of_bounds(r.firm)]),
        most=12 if is_long else 30,
    )


def transfer(r: Judged) -> Section:
    """A map fitted on the source, judged on the others, and its control."""
    table = parts.transfer(r.source, r.concluded, ci=r.ci)
    first = table[table["transfer"] == table["transfer"].iloc[0]]
    said = each(
        first,
        lambda row: (
            f"{row['model']} {percent(row['accuracy_source'])} to {percent(row['accuracy'])} and "
            f"{row['auroc_source']:.2f} to {number(row, 'auroc', '.2f')}"
        ),
    )
    control = f"""The control: the rows after the first {len(first)} transfer between data sets of
        the source."""
    if len(first) == len(table):
        control = """There is no control: the source is one data set, so that a loss on the target
            cannot be distinguished from that on any other data set."""
    columns = ["transfer", "model", "brier_uncorrected", "brier_base"]
    columns += ["brier_transferred", "brier_known", "brier_refitted", "cost"]
    return Section(
        sentences=[f"From source to target, accuracy and AUROC: {said}.", control],
        table=table,
        columns=[*columns, "conclusion_holm"],
        caption=TRANSFER,
        most=12,
    )


def group(column: str, r: Judged) -> Section:
    """Subgroups by one column."""
    table = parts.by_group(r.answers, column, ci=r.ci)
    columns = ["model", column, "n", *r.images, "gap", "gap_bounds", "accuracy"]
    caption = f"""Groups of at least {LEAST} answers, the largest overconfidence first. 95 % CIs
        hold for all rows together (Bonferroni): also for the row that is the largest."""
    return Section(
        table=table,
        columns=[*columns, "accuracy_bounds", "auroc"],
        caption=" ".join([caption, *_of_bounds(table)]),
    )


def certified(r: Judged) -> Section:
    """Coverage of a certified threshold."""
    table = measure.certify_table(
        r.answers,
        [len(r.answers)],  # all of a half
        risk=RISK,
        delta=DELTA / len(r.scores),
        by=["model"],
        gradings=["at random"],
        ci=r.ci,
    )
    together = " for all rows together" if len(r.scores) > 1 else ""
    columns = ["model", "n_graded", "certified", "coverage", "risk"]
    caption = CERTIFIED.format(risk=RISK, delta=DELTA, together=together)
    return Section(table=table, columns=columns, caption=caption)


def cost(r: Judged) -> Section:
    """Expected cost of deferring."""
    table = measure.expected_cost_table(r.answers, by=["model"], ci=r.ci)
    columns = ["model", "ratio", "deferred", "deferring", "checking_all"]
    return Section(
        table=table,
        columns=[*columns, "checking_none", "saving"],
        caption=COST,
        most=16,
    )


def recalibration(r: Judged) -> Section:
    """A map on these answers' own labels."""
    table = parts.recalibration(r.answers, ci=r.ci)
    columns = ["model", "n", "gap", "slope", "brier", "brier_skill", "n_needed"]
    caption = RECALIBRATED.format(unit=r.unit)
    caption = " ".join([caption, *_of_bounds(r.scores, GRADED)])
    return Section(table=table, columns=columns, caption=caption, most=10)


def errors(r: Judged) -> Section:
    """The most confident wrong answers."""
    table = parts.errors(r.answers)
    wrong = r.known.dropna(subset="confidently_wrong")
    said = each(
        wrong,
        lambda row: f"{row['model']} {number(row, 'confidently_wrong', '.0%')}",
    )
    sentence = (
        f"Share of the wrong answers that carry a confidence of at least 90 %: {said}."
    )
    columns = ["model", "item_id", "image_id", "modality", "question", "answer"]
    return Section(
        sentences=[sentence],
        table=table,
        columns=[*columns, "gold", "confidence"],
        caption="Wrong answers to look at.",
        most=10,
    )


def methods(r: Judged) -> Section:
    """What was done, as an appendix says it."""
    facts = r.facts
    texts = [
        f"Answers with a confidence and a grade: {each(r.scores, _counts)}.",
        _grades(facts["grading"]),
        _asked(r),
    ]
    if facts["n_at_ends"]:
        texts.append(
            f"{facts['n_at_ends']:,} confidences of exactly 0 or 100 % were moved inwards by at "
            f"most {r.scores['clip'].max()} for slope, intercept and recalibration alone."
        )
    known = ""
    one = ""
    kinds = "Wilson's for shares; DeLong's for the AUROC"
    if facts["n_units"]:
        known = f" ({facts['n_units']:,})"
        one = f", on one answer of each {r.unit}"
        kinds = "Wilson's for shares, clustered; Obuchowski's for the AUROC"
    texts.append(
        f"Intervals are 95 % CIs by {r.unit}{known}: {kinds}; inversion of a test for ECE and "
        f"ICI; percentile bootstrap ({r.ci.n:,} resamples) for the others."
    )
    if len(r.firm) > 1:
        texts.append("P values of differences were corrected by Holm's method.")
    software = ", ".join(f"{name} {text}" for name, text in facts["versions"].items())
    texts += [
        f"Thresholds were certified by Learn then Test with exact binomial tails{one}.",
        f"Random numbers start from seed {r.ci.seed}. Software: {software}.",
    ]
    return Section(sentences=[" ".join(texts), SOURCES])


def pairs(r: Judged) -> Section:
    """Answers beside what they were graded against."""
    table = parts.graded_pairs(r.answers, r.facts["grading"])
    if table.empty:
        raise NotEnough("The file holds no replies with gold answers")
    return Section(
        table=table,
        columns=["answer", "gold", "correct", "graded_by"],
        caption="Up to ten graded pairs, correct ones too.",
    )


def file(r: Judged) -> Section:
    """Which file it was, and where its numbers are."""
    columns = ", ".join(r.answers.dropna(axis=1, how="all").columns)
    sentence = (
        f"{r.facts['file']}, SHA-256 {r.facts['sha256']}; columns that hold something: {columns}. "
        "Every table of this page lies in tables as CSV and LaTeX, the figures in figures, every "
        "number in report.json."
    )
    return Section(sentences=[sentence])


def _grades(grading: dict[str, Any]) -> str:
    """Who graded."""
    if not grading:
        return "Grades are those of the file."
    return (
        "Answers were graded by rule against their gold answers, whatever their confidence: "
        f"{grading['text']}"
    )


def _asked(r: Judged) -> str:
    """How the confidence was obtained, and the first prompts where the file holds them."""
    how = ", ".join(r.methods) or "the file does not name the elicitation method"
    text = f"Confidence, read as the probability that the answer is correct: {how}"
    if r.prompts:
        text += f"; asked by {', '.join(f'“{prompt}”' for prompt in r.prompts)}"
    return f"{text}."


def _counts(row: pd.Series) -> str:
    """How many answers of an entry are in, and how many are not."""
    text = f"{row['model']}: {row['n']:,}"
    if row["n_missing"]:
        text += f", {row['n_missing']:,} excluded for want of a confidence or a grade"
    return text


def sections_of(r: Judged) -> dict[str, tuple[str, Any]]:
    """The page in its order: name, title and what writes each section."""
    first: dict[str, tuple[str, Any]] = {"performance": ("", performance)}
    last: dict[str, tuple[str, Any]] = {
        "methods": ("Methods", methods),
        "pairs": ("Graded pairs", pairs),
        "file": ("The file", file),
    }
    if r.known.empty:
        return first | last
    first["calibration"] = ("", calibration)
    if len(r.firm) > 1:
        title = "Which is better calibrated, which discriminates better?"
        first["comparison"] = (title, comparison)
    if r.compared is not None and len(r.firm):
        title = "Where does it stand beside others, on the same questions?"
        first["beside"] = (title, beside)
    if r.source is not None and len(r.firm):
        first["transfer"] = ("Does a recalibration map transfer?", transfer)
    groups: dict[str, tuple[str, Any]] = {}
    for column in r.groups:
        groups[f"by_{column}"] = (f"By {heading(column)}", partial(group, column))
    labels = "Recalibration on these answers' own labels"
    others = {
        "certified": ("How many answers could be retained?", certified),
        "cost": ("Is deferring worth it?", cost),
        "recalibration": (labels, recalibration),
        "errors": ("The most confident errors", errors),
    }
    return first | groups | others | last


def heading(column: str) -> str:
    """What a column is called, with its unit where it is percentage points."""
    unit = ", points" if UNITS.get(column) == "points" else ""
    return f"{label_of(column).replace('_', ' ')}{unit}"
