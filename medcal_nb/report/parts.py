"""Parts of a report: functions from answers to tables.

The column ``model`` names an *entry* of the page: a model, with the elicitation method where there
are several.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from medcal_nb import correct, measure, plots
from medcal_nb.answers import select, with_bounds
from medcal_nb.answers.select import of_test
from medcal_nb.errors import MedcalError, NotEnough
from medcal_nb.labels import label_of
from medcal_nb.measure import Bootstrap
from medcal_nb.measure.paired import means, paired
from medcal_nb.measure.rows import arrays, image_labels, measured, parts_by

COMPARED = ["brier", "gap", "auroc"]
#: Fewer answers make no subgroup, and allow no conclusion.
LEAST = 30
#: Entries drawn.
SQUARES = 4
#: What names a question that was asked by a method.
QUESTION = ["dataset", "strategy", "item_id"]
#: Share wrong allowed of answers that pass: by a certified threshold, by a second opinion.
RISK = 0.2
#: Up to so many entries are compared two by two, more with the first alone.
ALL_PAIRS = 5


# --- which answers ------------------------------------------------------------------------


def entries(answers: pd.DataFrame) -> pd.DataFrame:
    """Answers whose ``model`` is what people call it, with its method where there are several.

    ``asked`` is the name of the model alone.

    Parameters
    ----------
    answers : DataFrame
        Of :func:`medcal_nb.answers.load_answers`.

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
    return answers.assign(model=entry, asked=answers["model"].map(names))


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
    judged = of_test(answers)
    if len(judged) < len(answers):
        notes.append(f"of the splits test alone is judged: {len(judged):,}")
    return source, judged, notes


def counted(answers: pd.DataFrame, column: str, source: str) -> dict[str, int]:
    """How many values of a column are from where, by what ``source`` says; most first.

    Examples
    --------
    >>> rows = {"correct": [True, False, None], "grade_from": ["rule", None, None]}
    >>> counted(pd.DataFrame(rows), "correct", "grade_from")
    {'the file': 1, 'rule': 1}
    """
    known = answers[answers[column].notna()].reindex(columns=[source])
    counts = known[source].astype(object).fillna("the file").value_counts(sort=False)
    by_number = counts.sort_index(ascending=False).sort_values(
        ascending=False, kind="stable"
    )
    return {str(name): int(n) for name, n in by_number.items()}


# --- parts --------------------------------------------------------------------------------


def performance(answers: pd.DataFrame, *, ci: Bootstrap) -> pd.DataFrame:
    """Metrics of each entry with 95 % intervals, the lowest Brier score first.

    Entries of fewer than 30 answers or images come last.

    Parameters
    ----------
    answers : DataFrame
    ci : Bootstrap
        Of the intervals.

    Returns
    -------
    DataFrame
        As of :func:`medcal_nb.measure.metrics_table`, with

        - few: whether there are fewer than 30 answers or known images
        - n_ungraded, accuracy_least, …: of `medcal_nb.answers.with_bounds`
    """
    # one of which one answer may decide is asked for by name
    names = [m.name for m in measure.METRICS.values() if not m.is_endless]
    table = measure.metrics_table(answers, by=["model"], metrics=names, ci=ci)
    n_images = table["n_images"]
    images = n_images.where(n_images > 0, LEAST)
    fewest = np.minimum(table["n"], images)
    table["few"] = fewest < LEAST
    table = with_bounds(table, answers, ["model"])
    return table.sort_values(["few", "brier"], ignore_index=True, kind="stable")


def comparison(answers: pd.DataFrame, *, ci: Bootstrap) -> pd.DataFrame:
    """Entries compared pair by pair, paired by image, in Brier score, overconfidence and AUROC.

    Parameters
    ----------
    answers : DataFrame
    ci : Bootstrap
        Of the intervals.

    Returns
    -------
    DataFrame
        As of :func:`medcal_nb.measure.difference_table`.
    """
    names = [key["model"] for key, _ in parts_by(measured(answers), "model")]
    reference = None if len(names) <= ALL_PAIRS else names[0]
    return measure.difference_table(
        answers, "model", metrics=COMPARED, reference=reference, ci=ci
    )


def second_opinion(answers: pd.DataFrame, *, ci: Bootstrap) -> pd.DataFrame:
    """What the other models of a file know about each model's answers.

    By their probabilities of its answer where all have option probabilities, else by their
    confidences in their own.

    Parameters
    ----------
    answers : DataFrame
        With ``asked``, the model of each.
    ci : Bootstrap
        Of the intervals; at most 500 resamples.

    Returns
    -------
    DataFrame
        As of :func:`medcal_nb.correct.second_opinion_table`, with ``about``: "question" or
        "answer".

    Raises
    ------
    NotEnough
        If no model has enough answers to questions that another answered.
    """
    own = measured(answers).assign(model=lambda rows: rows["asked"])
    # the order of a file's rows decides no fold
    own = own.sort_values(["model", *QUESTION])
    has_options = own.reindex(columns=["option_probabilities"]).notna().any(axis=1)
    every = has_options.groupby(own["model"]).any().all()
    about = "answer" if every else "question"
    rng = np.random.default_rng(ci.seed)
    opinions = correct.second_opinion(own, own, about=about, rng=rng)
    if opinions.empty:
        raise NotEnough("left out: no model has enough answers that another gave, too")
    few = replace(ci, n=min(ci.n, 500))
    table = correct.second_opinion_table(opinions, risk=RISK, ci=few)
    return table.assign(about=about)


def recalibrated(
    answers: pd.DataFrame, *, ci: Bootstrap
) -> tuple[Figure, pd.DataFrame]:
    """What Platt scaling on the answers' own labels, cross-fitted by image, gains.

    Returns
    -------
    figure : Figure
        Reliability diagrams before and after, of the first entries.
    table : DataFrame
        One row an entry: model, n, n_images, brier_uncorrected, brier_refitted and refit_change,
        the second minus the first, each with _low, _high.

    Raises
    ------
    NotEnough
        If no entry has answers on five images.
    """
    own = measured(answers)
    refitted = correct.corrected(None, own, rng=np.random.default_rng(ci.seed))
    keys = ["model", "strategy", "dataset", "item_id"]
    both = own.merge(
        refitted[[*keys, "confidence"]], on=keys, suffixes=("", "_refitted")
    )
    for name, column in (
        ("uncorrected", "confidence"),
        ("refitted", "confidence_refitted"),
    ):
        away = both[column].astype(float) - both["correct"].astype(float)
        both[f"brier_{name}"] = away**2
    scores = ("brier_refitted", "brier_uncorrected")
    statistic = means(
        brier_uncorrected=scores[1], brier_refitted=scores[0], refit_change=scores
    )
    table = paired(both, ["model"], statistic, ci=ci)
    stages = {"uncorrected": own, "refitted": refitted}
    rows = pd.concat(stages, names=["stage"]).reset_index(level=0)
    return _before_and_after(rows, [*table["model"]][:SQUARES]), table


def _width(n: int) -> float:
    """Width of a figure of so many entries, in inches: of one column of a journal, or two."""
    return plots.ONE_COLUMN if n == 1 else plots.TWO_COLUMNS


def _before_and_after_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The confidences of one entry before and after, of the same answers."""
    keys = ["strategy", "dataset", "item_id"]
    before = rows[rows["stage"] == "uncorrected"]
    after = rows.loc[rows["stage"] == "refitted", [*keys, "confidence"]]
    moved = before.merge(after, on=keys, suffixes=("", "_after"))
    columns = ["confidence", "confidence_after", "correct"]
    three = moved[columns].to_numpy(float).T
    return measure.recalibration_table(*three, groups=image_labels(moved))


def _before_and_after(rows: pd.DataFrame, models: list) -> Figure:
    """A reliability diagram with both stages for each of these entries."""
    with mpl.style.context(plots.STYLE):
        n_rows = -(-len(models) // 2)  # two beside each other
        n_columns = min(len(models), 2)
        size = (_width(len(models)), 4.2 * n_rows)
        fig = Figure(figsize=size, layout="constrained")
        grid = fig.subplots(n_rows, n_columns, sharey=True, squeeze=False)
        for ax in grid.flat[len(models) :]:
            ax.remove()
        for ax, model in zip(grid.flat, models, strict=False):
            own = rows[rows["model"] == model]
            names = ["accuracy", "mean_confidence", "brier"]
            scores = measure.metrics_table(
                own, by=["stage"], metrics=names, intervals=False
            )
            square: dict[str, Any] = {"hue": "stage", "joined": "value", "ax": ax}
            plots.calibration(_before_and_after_table(own), **square, scores=scores)
            ax.set_title(fill(str(model), 24))
            ax.label_outer()
        called = {"refitted": "recalibrated on other folds"}
        heading = "Before and after recalibration"
        plots.title_and_key(fig, heading, names=called, ncols=n_columns)
    return fig


def risk_coverage_figure(answers: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Risk–coverage curves of the first entries, and the table of all.

    Returns
    -------
    figure : Figure
    table : DataFrame
        Of :func:`medcal_nb.measure.risk_coverage_table`.

    Raises
    ------
    NotEnough
        If no answer has a confidence and a grade.
    """
    table = measure.risk_coverage_table(answers)
    if table.empty:
        raise NotEnough("No answer has both a confidence and a grade")
    drawn = table[table["model"].isin(table["model"].unique()[:SQUARES])]
    with mpl.style.context(plots.STYLE):
        fig = Figure(figsize=(plots.TWO_COLUMNS, 3.4), layout="constrained")
        plots.risk_coverage(drawn, hue="model", ax=fig.subplots())
        # longer names would leave the figure
        names = {str(name): fill(str(name), 40) for name in drawn["model"].unique()}
        plots.title_and_key(fig, "Risk and coverage", names=names, ncols=2)
    return fig, table


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
        study = correct.transfer_study(left, right, ci=ci)
        name = f"{_datasets(left)} → {_datasets(right)}"
        named = study.table.assign(transfer=name)
        tables.append(named)
    return pd.concat(tables, ignore_index=True)


def _datasets(answers: pd.DataFrame) -> str:
    """Data sets of answers, as people call them."""
    names = answers["dataset"].unique()
    labels = map(label_of, names)
    return ", ".join(labels)


def by_group(answers: pd.DataFrame, column: str, *, ci: Bootstrap) -> pd.DataFrame:
    """Metrics of subgroups of at least 30 answers, the largest overconfidence first.

    Returns
    -------
    DataFrame
        As of :func:`medcal_nb.measure.metrics_table`, one row an entry and group; intervals hold
        for all rows together (Bonferroni), so that a row may be picked for what it shows.

    Raises
    ------
    NotEnough
        If no group is large enough.
    """
    keys = ["model", column]
    known = measured(answers)
    groups = known.groupby(keys, observed=True)
    large = groups.filter(lambda group: len(group) >= LEAST)
    n_rows = len(parts_by(large, keys))
    if not n_rows:
        raise NotEnough(f"No group has {LEAST} answers")
    metrics = ["gap", "accuracy", "auroc"]
    outside = 1 - ci.level
    each = replace(ci, level=1 - outside / n_rows)
    table = measure.metrics_table(large, by=keys, metrics=metrics, ci=each)
    table = with_bounds(table, answers, keys)
    return table.sort_values(["model", "gap"], ascending=[True, False])


def in_common(answers: pd.DataFrame, own: pd.DataFrame) -> pd.DataFrame:
    """Answers by the methods and to the questions of one's own; ``is_own`` says whose they are."""
    keys = own[QUESTION].drop_duplicates()
    common = answers.merge(keys, on=QUESTION)
    return common.assign(is_own=common["model"].isin(own["model"]))


def pairing(own: pd.DataFrame, others: pd.DataFrame, name: str) -> list[str]:
    """Say which methods and questions of one's own stand beside others, and what does not.

    Parameters
    ----------
    own, others : DataFrame
        Graded answers.
    name : str
        What the others are called.

    Returns
    -------
    list of str
        A sentence a data set and method of one's own, and one for each model without any question
        in common.
    """
    others = measured(others)
    asked = pd.MultiIndex.from_frame(others[QUESTION])
    own = measured(own)
    is_common = pd.MultiIndex.from_frame(own[QUESTION]).isin(asked)
    own = own.assign(is_common=is_common)
    sentences = []
    for (dataset, strategy), rows in own.groupby(["dataset", "strategy"], sort=False):
        n = rows.loc[rows["is_common"], "item_id"].nunique()
        where = label_of(dataset, "dataset")
        sentence = f"beside {name}, {where}, {label_of(strategy)}: "
        if n:
            sentences.append(f"{sentence}{n:,} questions in common")
            continue
        methods = others.loc[others["dataset"] == dataset, "strategy"].unique()
        there = ", ".join(map(label_of, methods)) or "nothing of this data set"
        sentences.append(
            f"{sentence}no question in common, only equal methods are compared ({name} has {there})"
        )
    has_any = own.groupby("model", sort=False)["is_common"].any()
    for model in has_any.index[~has_any]:
        sentences.append(
            f"beside {name}: {model} has no question in common, and is left out"
        )
    return sentences


def beside(compared: pd.DataFrame, *, ci: Bootstrap) -> tuple[Figure, pd.DataFrame]:
    """One's own models beside others, on the questions in common.

    Parameters
    ----------
    compared : DataFrame
        Of `in_common`.
    ci : Bootstrap
        Of the intervals.

    Returns
    -------
    figure : Figure
        Accuracy and overconfidence of every model, a row for each data set and method.
    table : DataFrame
        As of :func:`medcal_nb.measure.beside_table`.

    Raises
    ------
    NotEnough
        If no question was answered by both.
    """
    known = measured(compared)
    models = known.loc[known["is_own"], "model"].unique()
    others = known[~known["is_own"]]
    if others.empty or not len(models):
        raise NotEnough("No question of the file was answered by the others")
    tables = []
    for model in models:
        rows = known[known["model"] == model]
        if rows.merge(others[QUESTION], on=QUESTION).empty:
            continue  # its questions are another's of the file
        pair = pd.concat([others, rows])
        tables.append(measure.beside_table(pair, model, ci=ci))
    by = ["dataset", "strategy", "model"]
    metrics = ["accuracy", "gap"]
    scores = measure.metrics_table(known, by=by, metrics=metrics, ci=ci)
    names = [label_of(name, "dataset") for name in scores["dataset"]]
    scores["row"] = pd.Series(names, scores.index) + "\n"
    scores["row"] += scores["strategy"].map(label_of)
    with mpl.style.context(plots.STYLE):
        n_rows = scores["row"].nunique()
        fig = Figure(
            figsize=(plots.TWO_COLUMNS, 1.2 + 0.9 * n_rows), layout="constrained"
        )
        axes = fig.subplots(1, 2, sharey=True)
        shown: dict[str, Any] = {"label": "row", "hue": "model"}
        plots.forest(scores, "accuracy", ax=axes[0], **shown)
        line = {"mean confidence = accuracy": 0.0}
        plots.forest(scores, "gap", reference=line, ax=axes[1], **shown)
        plots.title_and_key(fig, "Accuracy and overconfidence", ncols=3)
    return fig, pd.concat(tables, ignore_index=True)


def calibration_figure(answers: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """A reliability diagram for each entry, its correct and wrong answers below it.

    Parameters
    ----------
    answers : DataFrame

    Returns
    -------
    figure : Figure
    table : DataFrame
        The numbers drawn above, as of :func:`medcal_nb.measure.value_table`.

    Raises
    ------
    NotEnough
        If no answer has a confidence and a grade.
    """
    tables = []
    parts = parts_by(measured(answers), "model")[:SQUARES]
    if not parts:
        raise NotEnough("No answer has both a confidence and a grade")
    with mpl.style.context(plots.STYLE):
        size = (_width(len(parts)), 4.4)
        fig = Figure(figsize=size, layout="constrained")
        shared: dict[str, Any] = {"sharex": True, "sharey": "row", "squeeze": False}
        axes = fig.subplots(2, len(parts), height_ratios=[2, 1], **shared)
        for (above, below), (key, part) in zip(axes.T, parts, strict=True):
            pair = arrays(part)
            table = measure.value_table(*pair, groups=image_labels(part))
            name = key["model"]
            plots.calibration(table, model=name, ax=above)
            plots.outcomes(table, model=name, ax=below)
            number = plots.number_of(table[["n"]].sum())
            above.set(title=f"{fill(name, 24)}\n{number}", xlabel="")
            below.set_box_aspect(0.5)  # as wide as the square above it
            below.set_xticks([0, 0.5, 1])
            tables.append(table.assign(**key))
        for ax in axes.flat:
            ax.label_outer()
        n_columns = 1 if len(parts) == 1 else 3
        plots.title_and_key(fig, "Accuracy at each confidence", ncols=n_columns)
    return fig, pd.concat(tables, ignore_index=True)
