"""Sections of a report: what is said of each part, around its table.

A section computes its numbers by a function of ``parts`` or of ``measure`` and says in sentences
what they are of. What answers do not allow is a `NotEnough`, whose message takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import metadata
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from medcal_nb import certify, measure
from medcal_nb.answers.check import UNSPECIFIED
from medcal_nb.files import PathLike
from medcal_nb.labels import label_of
from medcal_nb.measure import Bootstrap
from medcal_nb.report import captions, parts, rows
from medcal_nb.report.checks import about_undrawn
from medcal_nb.report.parts import LEAST
from medcal_nb.tables.columns import RULE
from medcal_nb.wording import as_latex, between, estimate, percent, typeset
from medcal_nb.words import bench_sentence

#: Columns that make subgroups where none is named.
GROUPS = ["modality", "question_type", "dataset"]
#: Probability that a certified threshold may fail with.
DELTA = 0.1
#: Up to so many entries stand side by side; more have a row each.
SIDE_BY_SIDE = 2
#: Entries named in a sentence.
NAMED = 3


class Section(NamedTuple):
    """What stands under one title of the page: sentences, a table and what it is, a figure."""

    title: str = ""
    sentences: Sequence[str] = ()
    table: pd.DataFrame | None = None
    caption: str = ""
    columns: Sequence[str] = ()  # those shown; none: the table is a file alone
    most: int = 20  # rows shown
    is_turned: bool = False  # entries stand side by side
    figure: Figure | None = None
    alt: str = ""
    images: Sequence[str] = ()  # beside the rows of the table, as data URIs
    code: str = ""


@dataclass
class Judged:
    """The answers that a report judges, and what is known of them."""

    answers: pd.DataFrame
    source: pd.DataFrame | None
    facts: dict[str, Any]
    ci: Bootstrap
    groups: Sequence[str] = ()
    compared: pd.DataFrame | None = None  # with others, on the questions in common
    images_in: PathLike | None = None  # folder of the images that are shown

    def __post_init__(self) -> None:
        self.performance = parts.performance(self.answers, ci=self.ci)
        # equal numbers that were added up in another order are rounded alike
        self.scores = self.performance.round(12)
        names = list(self.scores["model"])
        self.title = ", ".join(names)
        if len(names) > SIDE_BY_SIDE:
            self.title = f"{len(names)} models"
        order = pd.CategoricalDtype(names)
        self.answers = self.answers.astype({"model": order})
        #: Entries of which something can be concluded.
        self.firm = self.scores[self.scores["gap"].notna() & ~self.scores["few"]]
        is_firm = self.answers["model"].isin(self.firm["model"])
        self.concluded = self.answers[is_firm]
        if not self.groups:
            n_groups = self.answers[GROUPS].nunique()
            self.groups = list(n_groups.index[n_groups > 1])
        self.unit = self.facts["unit"]
        #: The column of images, where they are what intervals are by.
        self.images = ["n_images"] if self.unit == "image" else []
        named = self.answers["strategy"][self.answers["strategy"] != UNSPECIFIED]
        #: Elicitation methods by label; none where the file does not name them.
        self.methods = list(named.map(label_of).unique())
        names = self.answers["dataset"].unique()
        datasets = [label_of(name, "dataset") for name in names]
        self.where = ", ".join(datasets)
        if len(datasets) > NAMED:
            self.where = f"{len(datasets)} data sets"

    @property
    def method(self) -> str:
        """Whose confidence a sentence is about."""
        is_one = len(self.methods) == 1
        return f"{self.methods[0]} confidence" if is_one else "confidence"

    @cached_property
    def differences(self) -> pd.DataFrame:
        """Entries of which something can be concluded, two by two."""
        return parts.comparison(self.concluded, ci=self.ci)


# --- numbers in sentences -----------------------------------------------------------------


def _overconfidence(row: pd.Series) -> str:
    """Of an entry, in the first sentence: between bounds where too much is ungraded."""
    bounds = row.to_frame().T
    if bounds["gap_least"].notna().all():
        (gap,) = between(bounds, "gap_bounds")
        (accuracy,) = between(bounds, "accuracy_bounds")
        return (
            f"between bounds of {gap} percentage points for {row['model']} (accuracy "
            f"{accuracy}, as {row['n_ungraded']:,.0f} answers are not graded; n = {row['n']:,})"
        )
    return (
        f"{estimate(row, 'gap', 'points')} for {row['model']} (mean confidence "
        f"{percent(row['mean_confidence'])}%, accuracy {percent(row['accuracy'])}%, "
        f"n = {row['n']:,})"
    )


# --- sections -----------------------------------------------------------------------------


def lead(r: Judged) -> Section:
    """What it is about, what was read, assumed and left out."""
    facts = r.facts
    about = (
        f"Answers: {r.where}; {r.method} · {facts['date']} · medcal "
        f"{facts['versions']['medcal-nb']} · research use only, not a medical device"
    )
    read = (
        f"{facts['n_read']:,} answers of {facts['file']}. Measured: {r.scores['n'].sum():,} with a "
        f"confidence and a grade. Intervals are by {r.unit} ({facts['units']}); where answers "
        "share images that are not named, they are too narrow."
    )
    return Section(sentences=[about, read, *facts["notes"]])


def limits(r: Judged) -> Section:
    """What cannot be said of which entries."""
    cases = [
        (
            f"fewer than {LEAST} answers or images. Nothing can be concluded on calibration, "
            "discrimination or a threshold",
            r.scores["few"],
        ),
        (
            "all answers are correct, or all are wrong. Calibration slope, Brier skill score and "
            "AUROC are undefined, and no map can be fitted",
            r.scores["accuracy"].isin([0, 1]),
        ),
        (
            "more than 2 % of the answers are not graded. Bounds are accuracy and overconfidence "
            "if all of these were wrong, and if all were right; other numbers are of graded "
            "answers alone",
            r.scores["n_ungraded"].notna(),
        ),
    ]
    texts = []
    for text, holds in cases:
        names = r.scores.loc[holds, "model"]
        if len(names):
            texts.append(f"{', '.join(names)}: {text}.")
    return Section(sentences=texts)


def quote(r: Judged) -> Section:
    """Sentences to quote."""
    first = [_overconfidence(row) for _, row in r.firm.head(NAMED).iterrows()]
    said = "; ".join(first)
    texts = [f"On {r.where}, mean {r.method} minus accuracy was {said}, by {r.unit}."]
    row = r.firm.iloc[0]
    whose = f" of {row['model']}" if len(r.firm) > 1 else ""
    for name, text in captions.QUOTED.items():
        if pd.notna(row[name]):
            texts.append(f"The {text}{whose} was {estimate(row, name, '.3f')}.")
    return Section(sentences=[typeset(text) for text in texts])


def performance(r: Judged) -> Section:
    """Metrics of each entry."""
    columns = ["model", "n", "n_missing", *r.images]
    columns += ["accuracy", "accuracy_bounds", "mean_confidence", "gap", "gap_bounds"]
    columns += ["ece", "brier", "brier_skill", "auroc"]
    return Section(
        sentences=[captions.METRICS],
        table=r.performance,
        caption=f"Performance with 95 % CIs by {r.unit}, the lowest Brier score first.",
        columns=columns,
        most=40,
        is_turned=len(r.scores) <= SIDE_BY_SIDE,
    )


def further(r: Judged) -> Section:
    """Metrics that do not stand on the first screen."""
    columns = ["model", "slope", "intercept", "observed_expected", "ece_floor"]
    return Section(
        "Further measures",
        table=r.performance,
        caption=captions.FURTHER.format(unit=r.unit),
        columns=[*columns, "confidently_wrong", "aurc", "accuracy_at_80"],
        most=40,
    )


def flow(r: Judged) -> Section:
    """Which answers were measured."""
    fig, table = rows.flow(r.facts["n_read"], r.source, r.answers)
    texts = (table["step"] + table["n"].map(" {:,}".format)).tolist()
    return Section(
        "Which answers were measured?",
        [captions.FLOW],
        table=table,
        figure=fig,
        alt=", ".join(texts),
    )


def surest(r: Judged) -> Section:
    """The ten surest errors, with their images where a folder of these is named."""
    table, images = rows.surest(r.answers, r.images_in)
    return Section(
        "Which errors were made with most confidence?",
        table=table,
        caption=captions.SUREST,
        columns=list(table),
        images=images,
    )


def calibration(r: Judged) -> Section:
    """The figure that `parts.calibration_figure` draws, and its numbers."""
    fig, table = parts.calibration_figure(r.answers)
    return Section(
        sentences=[captions.CURVE],
        table=table,
        figure=fig,
        alt="Accuracy against confidence; below, the share of answers at each, correct and wrong",
    )


def recalibrated(r: Judged) -> Section:
    """What a map fitted on the answers' own labels gains."""
    fig, table = parts.recalibrated(r.concluded, ci=r.ci)
    columns = ["model", "n", *r.images, "brier_uncorrected", "brier_refitted"]
    return Section(
        "Recalibrated",
        table=table,
        caption=captions.RECALIBRATED.format(unit=r.unit),
        columns=[*columns, "refit_change"],
        figure=fig,
        alt="Accuracy against confidence, before and after recalibration on other folds",
    )


def risk_coverage(r: Judged) -> Section:
    """The risk–coverage curves, and their numbers."""
    fig, table = parts.risk_coverage_figure(r.answers)
    return Section(
        "What does each further answer cost?",
        sentences=[captions.RISK_COVERAGE],
        table=table,
        figure=fig,
        alt="Share wrong of the answers retained, over the share retained, by model",
    )


def grader(r: Judged) -> Section:
    """What errors of the grades do: by what a person checked, or what they could do."""
    title = "What if grades are wrong?"
    if "checked" not in r.answers:
        return Section(title, [_erring(r)])
    columns = ["model", "metric", "n", "n_checked", "graded_alike", "by_grader"]
    return Section(
        title,
        [f"{text}." for text in about_undrawn(r.answers)],
        table=measure.checked_table(r.answers, by=["model"], ci=r.ci),
        caption=captions.CHECKED.format(unit=r.unit),
        columns=[*columns, "corrected", "n_more"],
        most=40,
    )


def _erring(r: Judged) -> str:
    """What a grader who errs as often as `GRADER_RIGHT` says would hide, in a sentence."""
    right = measure.checked.GRADER_RIGHT
    table = measure.erring_grader_table(r.concluded, by=["model"], right=right)
    cases = []
    for model, part in table.groupby("model", sort=False, observed=True):
        rows = part.set_index("metric")
        gap = rows.loc["gap"]
        area = rows.loc["auroc"]
        case = "such a grader cannot have given these grades"
        if pd.notna(gap["corrected"]):
            case = (
                f"overconfidence {100 * gap['corrected']:.0f} points in place of "
                f"{100 * gap['by_grader']:.0f}"
            )
        if pd.notna(area["corrected"]):
            case += (
                f", AUROC {area['corrected']:.2f} in place of {area['by_grader']:.2f}"
            )
        cases.append(f"{model}: {case}")
    named = "; ".join(cases[:NAMED])
    text = captions.ERRING.format(
        right=percent(right), wrong=100 * (1 - right), cases=named
    )
    return typeset(text)


def comparison(r: Judged) -> Section:
    """Entries two by two."""
    columns = ["metric", "a", "b", "n_a", "n_b", "value_a", "value_b"]
    return Section(
        "Which is better calibrated, which discriminates better?",
        table=r.differences,
        caption=captions.COMPARED,
        columns=[*columns, "difference", "p_holm"],
        most=30,
    )


def second_opinion(r: Judged) -> Section:
    """What the other models of the file know about each model's answers."""
    return Section(
        "A second opinion",
        table=parts.second_opinion(r.concluded, ci=r.ci),
        caption=captions.SECOND_OPINION.format(risk=percent(parts.RISK)),
        columns=[
            "model",
            "opinion",
            "n",
            "auroc",
            "auroc_gain",
            "coverage",
            "coverage_gain",
        ],
        most=20,
    )


def beside(r: Judged) -> Section:
    """The models of the file beside those of another source, on the questions in common."""
    fig, table = parts.beside(r.compared, ci=r.ci)
    columns = ["dataset", "strategy", "metric", "a", "b", "n_a", "value_a", "value_b"]
    return Section(
        "Where does it stand beside others, on the same questions?",
        table=table,
        caption=captions.BESIDE,
        columns=[*columns, "difference", "p_holm"],
        most=30,
        figure=fig,
        alt="Accuracy and overconfidence of each model, by data set and elicitation method",
    )


def transfer(r: Judged) -> Section:
    """A map fitted on the source, judged on the others, and its control."""
    columns = ["transfer", "model", "brier_uncorrected", "brier_base"]
    columns += ["brier_transferred", "brier_known", "brier_refitted", "cost"]
    return Section(
        "Does a recalibration map transfer?",
        table=parts.transfer(r.source, r.concluded, ci=r.ci),
        caption=captions.TRANSFER,
        columns=[*columns, "conclusion"],
        most=12,
    )


def group(column: str, r: Judged) -> Section:
    """Subgroups by one column."""
    table = parts.by_group(r.answers, column, ci=r.ci)
    caption = f"""Groups of at least {LEAST} answers, the largest overconfidence first. 95 % CIs
        hold for all rows together (Bonferroni): also for the row that is the largest."""
    columns = ["model", column, "n", *r.images, "gap", "gap_bounds", "accuracy"]
    return Section(
        f"By {label_of(column).replace('_', ' ')}",
        table=table,
        caption=caption,
        columns=[*columns, "accuracy_bounds", "auroc"],
    )


def certificate(r: Judged) -> Section:
    """What the ledger beside the file holds: threshold or end, and its head."""
    return Section("Was a threshold certified?", r.facts["certificate"])


def certified(r: Judged) -> Section:
    """Coverage of a certified threshold."""
    table = certify.certify_table(
        r.answers,
        [len(r.answers)],  # all of a half
        risk=parts.RISK,
        delta=DELTA / len(r.scores),
        by=["model"],
        gradings=["at random"],
        ci=r.ci,
    )
    return Section(
        "How many answers could be retained?",
        table=table,
        caption=captions.CERTIFIED.format(risk=percent(parts.RISK), delta=DELTA),
        columns=["model", "n_graded", "certified", "coverage", "risk"],
    )


def cost(r: Judged) -> Section:
    """Expected cost of deferring."""
    columns = ["model", "ratio", "deferred", "deferring", "checking_all"]
    return Section(
        "Is deferring worth it?",
        table=measure.expected_cost_table(r.answers, by=["model"], ci=r.ci),
        caption=captions.COST,
        columns=[*columns, "checking_none", "saving"],
        most=16,
    )


def methods(r: Judged) -> Section:
    """What was done, as an appendix says it."""
    facts = r.facts
    graded = "; ".join(
        f"{captions.GRADED.get(k, k)} ({n:,})" for k, n in facts["grade_from"].items()
    )
    if facts["grading"]:
        graded += f". {facts['grading'].removesuffix('.')}"
    if RULE in facts["grade_from"]:
        graded += f". {bench_sentence().removesuffix('.')}"
    where = "; ".join(f"from {k} ({n:,})" for k, n in facts["confidence_from"].items())
    how = ", ".join(r.methods) or "the file does not name the elicitation method"
    software = ", ".join(f"{name} {text}" for name, text in facts["versions"].items())
    text = captions.METHODS.format(
        graded=graded or "none",
        how=how,
        where=where or "none",
        unit=r.unit,
        n=r.ci.n,
        seed=r.ci.seed,
        software=software,
    )
    return Section("Methods", [text, captions.SOURCES])


def file(r: Judged) -> Section:
    """Where its numbers are, and what to cite: the software, and the answers."""
    facts = r.facts
    text = captions.BIBTEX.format(
        summary=as_latex(metadata("medcal-nb")["Summary"]),
        version=facts["versions"]["medcal-nb"],
        date=facts["date"],
        file=as_latex(facts["file"]),
        citation=as_latex(facts["citation"]),
        n_read=facts["n_read"],
        sha256=facts["sha256"],
    )
    return Section("Files, and what to cite", [captions.FILES], code=text)


def sections_of(r: Judged) -> dict[str, Callable[[Judged], Section]]:
    """The page in its order: what writes each section, by its name."""
    of_ledger = [certificate] if r.facts["certificate"] else []
    if not r.scores["n"].any():
        return _by_name([limits, performance, *of_ledger, flow, methods, file])
    first = [performance, calibration]
    last = [risk_coverage, *of_ledger, certified, cost, surest, further, flow, methods]
    if len(r.firm) > 1:
        first.append(comparison)
    if r.concluded["asked"].nunique() > 1:
        first.append(second_opinion)
    if len(r.firm):  # of others nothing can be concluded
        first.insert(0, quote)
        first += [recalibrated, grader]
        if r.compared is not None:
            first.append(beside)
        if r.source is not None:
            first.append(transfer)
    groups = {f"by_{column}": partial(group, column) for column in r.groups}
    return _by_name([limits, *first]) | groups | _by_name([*last, file])


def _by_name(writers: list[Callable[[Judged], Section]]) -> dict[str, Any]:
    """Functions by their names."""
    return {write.__name__: write for write in writers}
