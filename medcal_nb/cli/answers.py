"""``medcal report``, ``import``, ``score`` and ``calibrate``: tables of answers in, numbers out."""

import contextlib
import math
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medcal_nb.cli._app import Force, app, assigned, note, say, split_names, working
from medcal_nb.errors import MedcalError, NotEnough, check_known

if TYPE_CHECKING:
    import pandas as pd

File = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="A table of answers, or a log of a tool."),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "-c",
        "--column",
        metavar="NAME=COL",
        help="Say what a column holds where its name does not: confidence=conf, reply=output, "
        "image=scan, model=mine, scale=0-10. May repeat.",
    ),
]
Query = Annotated[str, typer.Option(metavar="QUERY", help="Fit maps where this holds.")]
Limits = Annotated[
    list[str] | None,
    typer.Option(
        "--require",
        metavar="LIMIT",
        help="Exit with 1 unless the whole 95 % interval keeps it, as in 'ece < 0.1'. "
        "May repeat.",
    ),
]
To = Annotated[
    Path, typer.Option(help="Write this log (.sqlite), .csv, .xlsx or .parquet.")
]

#: What `score` prints, beside the metrics of limits.
METRICS = (
    "accuracy",
    "mean_confidence",
    "gap",
    "slope",
    "intercept",
    "ece",
    "brier",
    "brier_skill",
    "auroc",
)
_OURS = {"item": "item_id", "method": "strategy"}
_SIDE_BY_SIDE = 3
#: The end of an interval that decides on a limit, its column, and that of the bound beside it.
_ENDS = {"<": ("upper", "high", "most"), ">": ("lower", "low", "least")}
_GATE = re.compile(r"\s*(\w+)\s*([<>])=?\s*(-?\d*\.?\d+)\s*")


@app.command(rich_help_panel="Answers")
def report(
    file: File,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write to this folder; FILE_report if left out.",
        ),
    ] = None,
    columns: Columns = None,
    group: Annotated[
        str,
        typer.Option(metavar="COL,COL,…", help="Also report subgroups by these."),
    ] = "",
    transfer_from: Annotated[
        str,
        typer.Option(
            metavar="QUERY",
            help="Fit a map where this holds, and judge the others.",
        ),
    ] = "",
    beside: Annotated[
        str,
        typer.Option(
            metavar="ANSWERS",
            help="Compare with vlcb (the study's five) or a file, on the same questions.",
        ),
    ] = "",
    checked: Annotated[
        Path | None,
        typer.Option(
            metavar="SHEET",
            help="Correct for errors of the grades by what a person graded of `medcal check`.",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Show images of the surest errors: folder of the paths in image (or image_id). "
            "They are on the page then, which whoever has it can see.",
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Write one page on how well a confidence is calibrated, with every number beside it.

    Example: medcal report answers.csv
    """
    from medcal_nb.report import write_report

    with _explained(file):
        page = write_report(
            file,
            to or Path(f"{file.stem}_report"),
            force=force,
            group=split_names(group),
            transfer_from=transfer_from,
            beside=beside,
            checked=checked,
            images=images,
            **_named(columns),
        )
    say(str(page))


@app.command("import", rich_help_panel="Answers")
def import_(
    file: File,
    to: To,
    columns: Columns = None,
    force: Force = False,
) -> None:
    """Bring answers of a file into a log or a table: all of them, or nothing.

    An answer that the log holds already stays; where it differs, --force replaces it.

    Example: medcal import answers.csv -c confidence=conf --to answers.sqlite
    """
    from medcal_nb.answers import read_answers

    answers = _read(read_answers, file, columns, to)
    n = _write(answers, to, file, force)
    say(f"{to}: {n:,} of {len(answers):,} answers written")


@app.command(rich_help_panel="Answers")
def score(
    file: File,
    columns: Columns = None,
    by: Annotated[
        str,
        typer.Option(
            metavar="COL,COL,…",
            help="Print a row for each of their groups.",
        ),
    ] = "model,dataset,strategy",
    csv: Annotated[
        bool, typer.Option("--csv", help="Print unrounded numbers as CSV.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print unrounded numbers as JSON.")
    ] = False,
    require: Limits = None,
) -> None:
    """Print accuracy, calibration and discrimination of each group of answers, with 95 % intervals.

    Example: medcal score answers.csv --by model,modality --require "ece < 0.1"
    """
    from medcal_nb import measure
    from medcal_nb.answers import in_order, load_answers, our_names, with_bounds
    from medcal_nb.answers.select import of_test

    limits = [_limit(text) for text in require or ()]
    answers = in_order(_read(load_answers, file, columns))
    names = our_names(answers, split_names(by))
    if "split" not in names:
        n_read = len(answers)
        answers = of_test(answers)
        if len(answers) < n_read:
            note(
                f"of the splits test alone is judged: {len(answers):,} of {n_read:,} answers; "
                "--by split shows each"
            )
    for name in names:
        check_known(name, answers.columns, "column for --by")
    asked = [metric for metric, *_ in limits]
    metrics = list(dict.fromkeys([*METRICS, *asked]))
    with _explained(file), working("score"):
        table = measure.metrics_table(answers, by=names, metrics=metrics)
    bounded = with_bounds(table, answers, names, asked)
    if bounded["n_ungraded"].any():
        table = bounded
    say(_printed(table, "csv" if csv else "json" if json else ""))
    holds = [
        _keeps(row, names, *limit) for limit in limits for _, row in bounded.iterrows()
    ]
    if not all(holds):
        raise typer.Exit(1)


def _printed(table: "pd.DataFrame", form: str) -> str:
    """A table for a program, as CSV or JSON, or for a person."""
    from medcal_nb.wording import show

    if "n_ungraded" in table:  # where too much is ungraded, bounds alone
        is_open = table["n_ungraded"].notna()
        ends = table.columns[table.columns.str.endswith("_least")]
        for name in ends.str.removesuffix("_least"):
            of_metric = [name, f"{name}_low", f"{name}_high"]
            table = table.assign(**{one: table[one].mask(is_open) for one in of_metric})
    if form == "csv":
        return table.to_csv(index=False).rstrip()
    if form == "json":
        return table.to_json(orient="records", double_precision=15, indent=1)
    shown = show(table.drop(columns="clip", errors="ignore"))
    if len(shown) <= _SIDE_BY_SIDE:
        return shown.T.to_string(header=False)
    return shown.to_string(index=False)


@app.command(rich_help_panel="Answers")
def calibrate(
    file: File,
    to: Annotated[
        Path | None,
        typer.Option(
            help="Write this log or table; if left out FILE_METHOD.csv, or .xlsx where FILE is, "
            "in the form of FILE."
        ),
    ] = None,
    columns: Columns = None,
    method: Annotated[
        str,
        typer.Option(
            metavar="MAP",
            help="Recalibrate by this map: platt, isotonic, temperature, "
            "or one of netcal, as netcal:BetaCalibration.",
        ),
    ] = "platt",
    fit: Query = "",
    apply: Annotated[
        str,
        typer.Option(
            metavar="QUERY",
            help="Recalibrate where this holds; all if left out.",
        ),
    ] = "",
    force: Force = False,
) -> None:
    """Recalibrate answers, each model and elicitation method by its own map.

    Without --fit maps are cross-fitted by image: each answer by a map that has not seen its image,
    so that ranks, and the AUROC, may move a little; answers without a grade by a map of all graded
    ones. The confidence before is kept in the column confidence_uncorrected.

    Example: medcal calibrate a.csv --fit "domain == 'general'" --apply "domain == 'medical'"
    """
    from medcal_nb.answers import in_order, load_answers, select
    from medcal_nb.correct.families import family
    from medcal_nb.tables import sheet_form

    try:
        name = family(method).name
    except ValueError as error:
        raise MedcalError(str(error)) from None
    read = _read(load_answers, file, columns)
    answers = in_order(read)
    target = select(answers, apply) if apply else answers
    target = target.assign(place=target.index)  # as they stand in the file
    source = select(answers, fit) if fit else None
    with _explained(file), working("calibrate"):
        done, n_ungraded = _mapped(source, target, name)
    to = to or Path(f"{file.stem}_{name.replace(':', '_')}{sheet_form(file).suffix}")
    whole = _with_silent(done, target, name)
    added = answers.columns.difference(read.columns).union(["place"])
    _write(whole.drop(columns=added), to, file, force)
    n_silent = whole["confidence"].isna().sum()
    n_left = len(target) - len(whole)
    text = f"{to}: {len(whole) - n_silent:,} of {len(target):,} answers recalibrated"
    if n_ungraded:
        text += f", of them {n_ungraded:,} without a grade by a map of all graded ones"
    if n_silent:
        text += f", {n_silent:,} without a confidence kept"
    if n_left:
        text += f", {n_left:,} left out (no map of their model and method)"
    say(text)


def _mapped(
    source: "pd.DataFrame | None", target: "pd.DataFrame", name: str
) -> tuple["pd.DataFrame", int]:
    """The target by maps of a source, or cross-fitted; how many of it have no grade, then."""
    import numpy as np
    import pandas as pd

    from medcal_nb.correct import corrected, recalibrated
    from medcal_nb.correct.crossfit import warn_of_same_ids

    if source is not None:
        warn_of_same_ids(source, target)
        return recalibrated(source, target, method=name), 0
    done = corrected(None, target, method=name, rng=np.random.default_rng(0))
    done = done.drop(columns="labels")
    done["strategy"] += f"+{name}"
    ungraded = _ungraded(target, done, name)
    if ungraded.empty:
        return done, 0
    more = recalibrated(target, ungraded, method=name)
    return pd.concat([done, more[done.columns]]), len(more)


def _ungraded(
    target: "pd.DataFrame", done: "pd.DataFrame", name: str
) -> "pd.DataFrame":
    """Answers with a confidence and without a grade, of models and methods that have a map."""
    from medcal_nb.correct.maps import BY

    rows = target[target["confidence"].notna() & target["correct"].isna()]
    mapped = done[[*BY]].drop_duplicates()
    mapped["strategy"] = mapped["strategy"].str.removesuffix(f"+{name}")
    return rows.merge(mapped, on=[*BY])


def _with_silent(
    done: "pd.DataFrame", target: "pd.DataFrame", name: str
) -> "pd.DataFrame":
    """Recalibrated answers and, where they stood, those without a confidence; that before, too."""
    import pandas as pd

    rest = target[~target["place"].isin(done["place"])]
    silent = rest[rest["confidence"].isna()]
    silent = silent.assign(strategy=silent["strategy"] + f"+{name}")
    whole = pd.concat([done, silent.reindex(columns=done.columns)]).sort_values("place")
    before = target.set_index("place")["confidence"].reindex(whole["place"])
    whole = whole.drop(columns="confidence_uncorrected", errors="ignore")
    beside = whole.columns.get_loc("confidence") + 1
    whole.insert(beside, "confidence_uncorrected", before.to_numpy())
    return whole


def _named(columns: list[str] | None) -> dict[str, Any]:
    """The columns and settings that -c names, by our names."""
    values = assigned(columns, "-c")
    return {_OURS.get(name, name): value for name, value in values.items()}


def _read(
    read: Any, file: Path, columns: list[str] | None, beside: Path | None = None
) -> "pd.DataFrame":
    """Answers of a file; what was assumed is noted, what is undecided written beside the output."""
    from medcal_nb.answers import write_undecided
    from medcal_nb.tables.columns import RULE
    from medcal_nb.words import bench_sentence

    with working("reading"):
        answers = read(file, **_named(columns))
    lines = list(answers.attrs.get("assumed", ()))
    if "grading" in answers.attrs:
        lines.append(answers.attrs["grading"])
    if "grade_from" in answers and (answers["grade_from"] == RULE).any():
        lines.append(bench_sentence())
    for line in [*lines, *write_undecided(answers, beside or Path(file.name), file)]:
        note(line)
    return answers


def _write(table: "pd.DataFrame", to: Path, source: Path, force: bool) -> int:
    """Write answers to a log or a table; return how many."""
    from medcal_nb.answers import AnswerLog, is_log, write_table
    from medcal_nb.tables import sheet_form

    if not is_log(to):
        form = sheet_form(source)
        write_table(table, to, form=form, sources=[source], force=force)
        return len(table)
    with AnswerLog(to) as log:
        exists = "replace" if force else "error"
        return log.append(table, if_exists=exists, where=str(source))


@contextlib.contextmanager
def _explained(file: Path) -> Iterator[None]:
    """Note warnings; what these answers do not allow is an error of the file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", module="medcal_nb")
        try:
            yield
        except NotEnough as error:
            raise MedcalError(f"{file}: {error}") from None
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        note(text)


def _limit(text: str) -> tuple[str, str, float]:
    """Metric, sign and bound of a limit such as ``ece < 0.1``."""
    from medcal_nb import measure

    match = _GATE.fullmatch(text)
    if not match:
        raise MedcalError(
            f"--require {text!r}: write METRIC < NUMBER or METRIC > NUMBER"
        )
    check_known(match[1], measure.METRICS, "metric")
    return match[1], match[2], float(match[3])


def _keeps(
    row: "pd.Series", by: list[str], metric: str, sign: str, bound: float
) -> bool:
    """Whether a row keeps a limit by its interval and bounds, noted; an unknown end keeps none."""
    end, high, most = _ENDS[sign]
    value = row[f"{metric}_{high}"]
    extreme = row.get(f"{metric}_{most}", math.nan)
    at_worst = ""
    if not math.isnan(extreme):  # the interval moves to where all the ungraded are
        value += extreme - row[metric]
        at_worst = f", the worst taken of {row['n_ungraded']:,.0f} ungraded answers,"
    is_kept = value < bound if sign == "<" else value > bound
    name = ", ".join(str(row[column]) for column in by) or "all answers"
    if math.isnan(value):
        note(f"{name}: no limit of {metric} is kept, as it has no interval here")
        return False
    note(
        f"{name}: {end} end of the 95 % CI of {metric}{at_worst} is {value:.4g}, "
        f"{'' if is_kept else 'not '}{sign} {bound:g}"
    )
    return bool(is_kept)
