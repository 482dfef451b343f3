"""Answers in, one page out: how well a confidence is calibrated, with every number beside it.

A part of the page is a function from answers to a table. What is said around the tables, and which
columns are shown, stands in ``report.html.jinja``. The column ``model`` names an *entry* of the
page: a model, with the elicitation method where there are several.
"""

from __future__ import annotations

import base64
import platform
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path
from textwrap import fill
from typing import Any

import jinja2
import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from tqdm import tqdm

from medcal_nb import correct, measure, plots
from medcal_nb.answers import load_answers, select, without_formulas
from medcal_nb.answers.recorded import recorded_entry, recorded_names
from medcal_nb.errors import MedcalError, check_known
from medcal_nb.files import PathLike, file_hash, new_folder
from medcal_nb.labels import UNITS, label_of
from medcal_nb.measure import Bootstrap
from medcal_nb.measure.rows import (
    arrays,
    image_labels,
    images_known,
    measured,
    parts_by,
)
from medcal_nb.wording import estimate, show

COMPARED = ["brier", "gap", "auroc"]
#: Columns that make subgroups where none is named.
GROUPS = ["modality", "question_type", "dataset"]
#: Allowed of a certified threshold.
RISK = 0.2
#: Fewer answers make no subgroup, and allow no conclusion.
LEAST = 30
#: Entries drawn.
SQUARES = 4
#: Up to so many entries are compared two by two, more with the first alone.
ALL_PAIRS = 5
#: The most confident ones listed, of each entry.
ERRORS = 5


class ReportWarning(UserWarning):
    """What a report assumed, left out or could not compute."""


def write_report(
    file: PathLike,
    to: PathLike,
    *,
    force: bool = False,
    n_resamples: int = 2000,
    seed: int = 0,
    cluster: str = "",
    group: Sequence[str] = (),
    transfer_from: str = "",
    **columns: Any,
) -> Path:
    """Write one page on a file of answers into a folder, whole or not at all.

    Parameters
    ----------
    file : path or str
        As of :func:`medcal_nb.answers.load_answers`.
    to : path
        Folder of ``report.html``, ``report.json`` with every number, ``figures`` and ``tables``
        (CSV, and LaTeX as on the page).
    force : bool
        Replace a report that is there; never a folder that holds anything else.
    n_resamples, seed : int
        Bootstrap resamples, and the seed of their random numbers.
    cluster : str
        Column whose values are resampled (a patient); if empty the image, or the answer where
        images are not known.
    group : sequence of str
        Columns that make subgroups; if empty those of `GROUPS` that there are.
    transfer_from : str
        Query of the answers that a recalibration map is fitted on; the others are judged. If
        empty, general answers where there are general and medical ones.
    **columns
        As of :func:`medcal_nb.answers.load_answers`.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    MedcalError
        If the file cannot be read without guessing, a column is not there, a query fits nothing,
        or the folder holds something else.

    Warns
    -----
    ReportWarning
        Everything that the page says was assumed or left out.
    """
    with (
        new_folder(to, force=force) as folder,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=UserWarning, module="medcal_nb")
        answers = load_answers(file, **columns)
        for name in filter(None, (cluster, *group)):
            check_known(name, answers.columns, "column")
        source, judged, left_out = sides(entries(answers, cluster), transfer_from)
        facts = _facts(str(file), answers, judged, cluster)
        facts |= {"n_resamples": n_resamples, "seed": seed}
        page = _Page(folder)
        page.compute(source, judged, group, facts)
        left_out += [str(warning.message) for warning in caught]
        notes = dict.fromkeys([*answers.attrs["assumed"], *left_out])
        facts["notes"] = list(notes)
        page.write(facts)
    for line in notes:
        warnings.warn(line, ReportWarning, stacklevel=2)
    return Path(to) / "report.html"


# --- which answers ------------------------------------------------------------------------


def entries(answers: pd.DataFrame, cluster: str = "") -> pd.DataFrame:
    """Answers whose ``model`` is what people call it, with its method where there are several.

    Parameters
    ----------
    answers : DataFrame
        Of :func:`medcal_nb.answers.load_answers`.
    cluster : str
        A column that takes the place of the image.

    Examples
    --------
    >>> answers = measure.example_answers().assign(model="/home/me/my-model")
    >>> entries(answers)["model"].unique().tolist()
    ['my-model, verbalized', 'my-model, P(True)']
    """
    names = {}
    for model in answers["model"].unique():
        path = Path(model)
        names[model] = path.name if path.is_absolute() else label_of(model, "model")
    if len({*names.values()}) < len(names):
        raise MedcalError(f"models of one name: {', '.join(names)}; rename one")
    entry = answers["model"].map(names)
    if answers["strategy"].nunique() > 1:
        entry = entry + ", " + answers["strategy"].map(label_of)
    answers = answers.assign(model=entry)
    if not cluster:
        return answers
    if answers[cluster].isna().any():
        raise MedcalError(f"column '{cluster}': empty in some rows; no cluster there")
    return answers.assign(image_id=answers[cluster].astype(str))


def sides(
    answers: pd.DataFrame, transfer_from: str = ""
) -> tuple[pd.DataFrame | None, pd.DataFrame, list[str]]:
    """Answers that a map is fitted on, if any, those that are judged, and what is left out.

    Parameters
    ----------
    answers : DataFrame
    transfer_from : str
        Query of the first; if empty general answers, where there are general and medical ones.

    Returns
    -------
    source : DataFrame or None
    judged : DataFrame
        The others; where there are several splits, those of ``test``.
    left_out : list of str
        In sentences.
    """
    notes = []
    source = None
    if not transfer_from and {*answers["domain"].dropna()} == {"general", "medical"}:
        transfer_from = "domain == 'general'"
    if transfer_from:
        source = select(answers, transfer_from)
        answers = answers.drop(source.index)
        if answers.empty:
            raise MedcalError(f"all answers fit {transfer_from!r}: none is judged")
        notes.append(f"{len(source):,} answers ({transfer_from}) serve transfer alone")
    splits = answers["split"].value_counts()
    is_test = answers["split"] == "test"
    names = ", ".join(splits.index)
    if len(splits) > 1 and is_test.any():
        answers = answers[is_test]
        notes.append(f"of the splits {names} test alone is judged: {len(answers):,}")
    elif len(splits) > 1:
        notes.append(f"the splits {names} are judged together")
    return source, answers, notes


def _facts(
    file: str, answers: pd.DataFrame, judged: pd.DataFrame, cluster: str
) -> dict[str, Any]:
    """What is known of a file, of its answers and of those that are judged."""
    known = images_known(judged)
    asked = judged.groupby(image_labels(judged, "item_id"))["model"].nunique()
    libraries = ("medcal-nb", "numpy", "scipy", "pandas")
    versions = {name: version(name) for name in libraries}
    versions["Python"] = platform.python_version()
    is_recorded = file in recorded_names()
    sha256 = recorded_entry(file)["sha256"] if is_recorded else file_hash(file)
    return {
        "file": Path(file).name,
        "sha256": sha256,
        "n_read": len(answers),
        "grading": answers.attrs.get("grading", {}),
        "unit": cluster or ("image" if known else "answer"),
        "n_units": len({*image_labels(judged)}) if known else 0,
        "n_common": int((asked == judged["model"].nunique()).sum()),
        "n_at_ends": int(measured(judged)["confidence"].isin([0, 1]).sum()),
        "date": date.today().isoformat(),
        "versions": versions,
    }


# --- parts --------------------------------------------------------------------------------


def performance(answers: pd.DataFrame, *, ci: Bootstrap) -> pd.DataFrame:
    """Metrics of each entry with 95 % intervals, the lowest Brier score first.

    Entries of fewer than 30 answers come last.

    Parameters
    ----------
    answers : DataFrame
    ci : Bootstrap
        Of the intervals.

    Returns
    -------
    DataFrame
        As of :func:`medcal_nb.measure.metrics_table`, with

        - accuracy_graded: also of answers without a confidence
        - few: whether there are fewer than 30 answers
    """
    table = measure.metrics_table(answers, by=["model"], metrics="all", ci=ci)
    grades = answers["correct"].astype("Float64").groupby(answers["model"])
    accuracy = table["model"].map(grades.mean())
    table["accuracy_graded"] = accuracy.astype(float)
    table["few"] = table["n"] < LEAST
    return table.sort_values(["few", "brier"], ignore_index=True, kind="stable")


def comparison(answers: pd.DataFrame, *, ci: Bootstrap) -> pd.DataFrame:
    """Entries compared pair by pair, paired by image, in Brier score, overconfidence and AUROC.

    Returns
    -------
    DataFrame
        As of :func:`medcal_nb.measure.difference_table`.
    """
    parts = parts_by(measured(answers), "model")
    reference = None if len(parts) <= ALL_PAIRS else parts[0][0]["model"]
    return measure.difference_table(
        answers, "model", metrics=COMPARED, reference=reference, ci=ci
    )


def recalibration(answers: pd.DataFrame, *, ci: Bootstrap) -> pd.DataFrame:
    """Metrics of each entry by a Platt map that is cross-fitted by image on its own labels.

    Entries whose answers are all correct, or all wrong, are left out.

    Returns
    -------
    DataFrame
        As of :func:`medcal_nb.measure.metrics_table`, with ``n_needed``, the answers that make
        the intervals of O:E, slope and AUROC narrow (`measure.precision_sample_size`).
    """
    grades = answers.groupby("model", observed=True)["correct"].transform("nunique")
    rng = np.random.default_rng(ci.seed)
    mapped = correct.corrected(None, answers[grades > 1], labels=["target"], rng=rng)
    metrics = ["gap", "slope", "brier", "brier_skill"]
    table = measure.metrics_table(mapped, by=["model"], metrics=metrics, ci=ci)
    plans = [
        measure.precision_sample_size(part["confidence"])
        for _, part in parts_by(mapped, "model")
    ]
    return table.assign(n_needed=[plan["n"].max() for plan in plans])


def transfer(
    source: pd.DataFrame, answers: pd.DataFrame, *, ci: Bootstrap
) -> pd.DataFrame:
    """Brier scores of a map fitted on the source, of its rivals and of one constant.

    The control follows: to each data set of the source from its others.

    Returns
    -------
    DataFrame
        The table of :func:`medcal_nb.correct.transfer_study`, with ``transfer``, which names both
        sides.
    """
    pairs = [(source, answers)]
    names = source["dataset"].unique()
    if len(names) > 1:
        for name in names:
            own = source["dataset"] == name
            pairs.append((source[~own], source[own]))
    tables = []
    for left, right in pairs:
        ends = [
            ", ".join(map(label_of, side["dataset"].unique())) for side in (left, right)
        ]
        study = correct.transfer_study(left, right, ci=ci)
        tables.append(study.table.assign(transfer=" → ".join(ends)))
    return pd.concat(tables, ignore_index=True)


def by_group(answers: pd.DataFrame, column: str, *, ci: Bootstrap) -> pd.DataFrame:
    """Metrics of subgroups of at least 30 answers, the largest overconfidence first.

    Returns
    -------
    DataFrame
        As of :func:`medcal_nb.measure.metrics_table`, one row an entry and group; intervals hold
        for all rows together (Bonferroni), so that a row may be picked for what it shows.

    Raises
    ------
    ValueError
        If no group is large enough.
    """
    keys = ["model", column]
    groups = measured(answers).groupby(keys, observed=True)
    large = groups.filter(lambda group: len(group) >= LEAST)
    n_rows = len(parts_by(large, keys))
    if not n_rows:
        raise ValueError(f"no group has {LEAST} answers")
    metrics = ["gap", "accuracy", "auroc"]
    each = replace(ci, level=1 - (1 - ci.level) / n_rows)
    table = measure.metrics_table(large, by=keys, metrics=metrics, ci=each)
    return table.sort_values(["model", "gap"], ascending=[True, False])


def errors(answers: pd.DataFrame) -> pd.DataFrame:
    """The most confident wrong answers of each entry."""
    known = measured(answers)
    wrong = known[known["correct"] == 0]
    wrong = wrong.sort_values(["model", "confidence"], ascending=[True, False])
    first = wrong.groupby("model", observed=True).head(ERRORS)
    return first.dropna(axis=1, how="all")


def graded_pairs(answers: pd.DataFrame, grading: dict[str, Any]) -> pd.DataFrame:
    """Up to ten answers with their gold answers and grades, correct ones too."""
    if grading:
        return pd.DataFrame(grading["pairs"])
    pairs = answers.dropna(subset=["answer", "gold", "correct"])
    pairs = pairs.drop_duplicates(["answer", "gold"])
    pairs = pairs.groupby("correct").head(5)
    return pairs[["answer", "gold", "correct"]]


def calibration_figure(
    answers: pd.DataFrame, *, ci: Bootstrap
) -> tuple[Figure, pd.DataFrame]:
    """A calibration square for each entry, its correct and wrong answers below it.

    Parameters
    ----------
    answers : DataFrame
    ci : Bootstrap
        Of the intervals.

    Returns
    -------
    figure : Figure
    table : DataFrame
        The numbers drawn above: each value where confidences are heaped, else a smooth curve.
    """
    tables = []
    parts = parts_by(measured(answers), "model")[:SQUARES]
    style = Path(plots.__file__).with_name("house.mplstyle")
    with mpl.style.context(style):
        size = (2.5 * len(parts) + 0.5, 3.5)
        fig = Figure(figsize=size, layout="constrained")
        axes = fig.subplots(
            2,
            len(parts),
            squeeze=False,
            gridspec_kw={"height_ratios": [4, 1.2]},
        )
        for (above, below), (key, part) in zip(axes.T, parts, strict=True):
            pair = arrays(part)
            images = image_labels(part)
            if measure.is_heaped(pair[0]):
                table = measure.value_table(*pair, groups=images)
                often = table["n"] >= 0.01 * len(part)
                plots.calibration(table[often], ax=above)
            else:
                table = measure.calibration_curve_table(*pair, groups=images, ci=ci)
                plots.calibration(table, ax=above)
            plots.outcomes(measure.reliability_table(*pair, n_bins=20), ax=below)
            above.set(title=fill(key["model"], 24), xlabel="")
            below.set_box_aspect(0.3)
            tables.append(table.assign(**key))
        marks = below.get_legend_handles_labels()
        fig.legend(*marks, loc="outside lower left", ncols=2)
    return fig, pd.concat(tables, ignore_index=True)


# --- the page -----------------------------------------------------------------------------


class _Page:
    """Tables by name, why others are missing, what they are of, and where they go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tables: dict[str, pd.DataFrame] = {}
        self.missing: dict[str, str] = {}
        self.picture = ""
        (folder / "figures").mkdir()
        (folder / "tables").mkdir()

    def compute(
        self,
        source: pd.DataFrame | None,
        answers: pd.DataFrame,
        groups: Sequence[str],
        facts: dict[str, Any],
    ) -> None:
        """Compute every part; one that these answers do not allow says why."""
        ci = Bootstrap(seed=facts["seed"], n=facts["n_resamples"])
        scores = performance(answers, ci=ci)
        self.tables["performance"] = scores
        order = pd.CategoricalDtype(scores["model"])
        self.answers = answers = answers.astype({"model": order})
        groups = groups or [name for name in GROUPS if answers[name].nunique() > 1]
        by = {"by": ["model"], "ci": ci}
        parts: dict[str, Callable[[], pd.DataFrame]] = {
            "calibration": partial(self.draw, answers, ci=ci),
            "recalibration": partial(recalibration, answers, ci=ci),
            "certified": partial(
                measure.selective_coverage_table,
                answers,
                target=RISK,
                rng=np.random.default_rng(ci.seed),
                **by,
            ),
            "cost": partial(measure.expected_cost_table, answers, **by),
            "errors": partial(errors, answers),
            "pairs": partial(graded_pairs, answers, facts["grading"]),
        }
        if len(scores) > 1:
            parts["comparison"] = partial(comparison, answers, ci=ci)
        if source is not None:
            parts["transfer"] = partial(transfer, source, answers, ci=ci)
        for name in groups:
            parts[f"by_{name}"] = partial(by_group, answers, name, ci=ci)
        for name, part in tqdm(parts.items(), "report", unit="part", disable=None):
            try:
                self.tables[name] = part()
            except ValueError as error:
                self.missing[name] = str(error)

    def draw(self, answers: pd.DataFrame, *, ci: Bootstrap) -> pd.DataFrame:
        """Draw the figure; return its numbers."""
        fig, table = calibration_figure(answers, ci=ci)
        for kind in ("svg", "png"):
            path = self.folder / "figures" / f"calibration.{kind}"
            fig.savefig(path, bbox_inches="tight", transparent=True)
        self.picture = base64.b64encode(path.read_bytes()).decode()
        return table

    def shown(self, name: str, columns: Sequence[str]) -> pd.DataFrame:
        """Texts of some columns of a table, also written as LaTeX; those without a value go."""
        # equal numbers that were added up in another order are rounded alike
        table = self.tables[name].round(12)
        if "metric" in table:  # overconfidence in percentage points, as elsewhere
            in_points = table["metric"].map(UNITS) == "points"
            numbers = table.filter(regex="^(value|difference)").columns
            table.loc[in_points, numbers] *= 100
            table["metric"] = table["metric"].map(heading)
        filled = table.reindex(columns=columns).dropna(axis=1, how="all")
        cells = {}
        for column, values in filled.items():
            if pd.api.types.is_numeric_dtype(values):
                texts = show(table, [column]).iloc[:, 0]
            else:
                texts = values.astype("str").fillna("–").str[:200]
            zero = "< 0.0001" if column == "p_holm" else "0"
            texts = texts.replace("0.0000", zero)
            cells[heading(column)] = list(texts)
        texts = pd.DataFrame(cells)
        path = self.folder / "tables" / f"{name}.tex"
        path.write_text(texts.to_latex(index=False, escape=True), encoding="utf-8")
        return texts

    def write(self, facts: dict[str, Any]) -> None:
        """Write page, numbers and tables."""
        rows = {}
        for name, table in self.tables.items():
            path = self.folder / "tables" / f"{name}.csv"
            without_formulas(table).to_csv(path, index=False)
            rows[name] = table.to_dict("records")
        numbers = pd.Series(facts | {"missing": self.missing, "tables": rows})
        path = self.folder / "report.json"
        numbers.to_json(
            path,
            double_precision=15,
            force_ascii=False,
            indent=1,
        )
        source = Path(__file__).with_name("report.html.jinja")
        text = source.read_text("utf-8")
        template = jinja2.Template(text, autoescape=True, trim_blocks=True)
        # captions name this module's constants
        text = template.render(globals(), page=self, facts=facts, estimate=estimate)
        (self.folder / "report.html").write_text(text, encoding="utf-8")


def heading(column: str) -> str:
    """What a column is called, with its unit where it is percentage points."""
    unit = ", points" if UNITS.get(column) == "points" else ""
    return f"{label_of(column).replace('_', ' ')}{unit}"
