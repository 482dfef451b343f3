"""``medcal certify``: a threshold certified by grading a few answers, and watched in use."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medcal_nb.cli._app import app, note, say
from medcal_nb.cli.answers import Columns, _explained, _named
from medcal_nb.errors import MedcalError

if TYPE_CHECKING:
    from medcal_nb.answers.grades import GradeSheet
    from medcal_nb.certify import MethodCertificates

NO_CLEARANCE = (
    "This is a statistical statement about answers like these, not a clearance: not for use on "
    "patients."
)
#: So many answers are graded before the next run.
BATCH = 20
#: Why no more is graded.
ENDS = {
    "grading": "",
    "certified": "; no lower threshold can be certified",
    "refuted": "; more of the most confident answers are wrong than allowed",
    "not shown": "; these answers cannot show it",
    "too few cases": "; these are too few cases",
    "budget used": "; the budget is used: those left cannot certify a lower threshold",
}


@app.command(rich_help_panel="Answers")
def certify(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A table of answers, graded or not.")
    ],
    risk: Annotated[
        float | None,
        typer.Option(help="Allow this share of wrong answers among those retained."),
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(
            help="Let a certificate fail with at most this probability; 0.1 if left out."
        ),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(min=1, help="Grade at most so many answers; 400 if left out."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Draw the order of grading from this; 0 if left out."),
    ] = None,
    rows: Annotated[
        str,
        typer.Option(
            metavar="QUERY", help="Take the models and methods where it holds."
        ),
    ] = "",
    watch: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Watch graded answers in use, in their order."
        ),
    ] = None,
    columns: Columns = None,
) -> None:
    """Certify a threshold by grading few answers: which to grade next, and what holds by now.

    The next answers are written to NAME.grades.csv. Fill its column 'correct' (1, 0, or ? for what
    cannot be graded, which counts as wrong) and run the same command again. Answers, risk, delta,
    budget and seed are fixed by the first run. Of several models or methods each is certified at
    its part of delta, and they share grades and budget: any may be used.

    Example: medcal certify answers.csv --risk 0.2
    """
    from medcal_nb.answers import load_answers, select
    from medcal_nb.answers.grades import GradeSheet

    name = file.stem
    to = file.with_name(f"{name}.threshold.json")
    if watch:
        _watch(watch, to, columns)
        return
    with _explained(file):
        answers = load_answers(file, ungraded=True, **_named(columns))
        for line in answers.attrs.get("assumed", ()):
            note(line)
        answers = select(answers, rows) if rows else answers
        path = file.with_name(f"{name}.grades.csv")
        sheet = GradeSheet(
            path, answers, risk=risk, delta=delta, budget=budget, seed=seed
        )
        stand = sheet.stand(BATCH)
    n_open = sheet.write_next(stand)
    sheet.write_threshold(stand, to)
    _say_stand(sheet, stand, n_open, to)


def _say_stand(
    sheet: "GradeSheet", stand: "MethodCertificates", n_open: int, to: Path
) -> None:
    """Print where grading stands, a line a method, and at the end what may be quoted."""
    table = stand.table
    budget = sheet.plan.budget
    n_graded = max(table["n_graded"].max(), sheet.n_filled)
    for one in table.itertuples():
        reached = "nothing certified so far"
        if one.n:
            reached = (
                f"certified down to a confidence of {one.threshold:.10g}, which retains "
                f"{one.coverage:.1%} of {one.n_pool:,} answers"
            )
        if len(table) > 1:
            reached = f"{one.model}, {one.strategy}: {reached}"
        left = f"{budget - n_graded} left of {budget}"
        say(f"{n_graded} graded, {left}: {reached}{ENDS[one.state]}")
    if n_open:
        say(
            f"{sheet.path}: grade {n_open} answers in the column 'correct' (1, 0 or ?), then run "
            "this again"
        )
        return
    for sentence in table["sentence"]:
        say(sentence)
    if len(table) > 1:
        say(
            f"{len(table)} methods were tested, each with a probability of {table['delta'][0]:.3g} "
            f"to fail: all hold with probability {1 - sheet.plan.delta:.3g}."
        )
    say(f"{NO_CLEARANCE} For a program: {to}")


def _watch(file: Path, threshold_file: Path, columns: list[str] | None) -> None:
    """Print whether the risk of the answers retained in use has become too large."""
    import json

    from medcal_nb.answers import load_answers
    from medcal_nb.answers.grades import METHOD
    from medcal_nb.certify import watch
    from medcal_nb.files import require_file

    known = json.loads(require_file(threshold_file).read_text("utf-8"))
    threshold = known["threshold"]
    if threshold is None:
        raise MedcalError(
            f"{threshold_file}: no threshold was certified, so none is in use"
        )
    answers = load_answers(file, **_named(columns))
    if len(answers[METHOD].drop_duplicates()) > 1:
        own = [known[name] for name in METHOD]
        answers = answers[(answers[METHOD] == own).all(axis=1)]
    kept = answers[answers["confidence"] >= threshold]
    if kept.empty:
        raise MedcalError(
            f"{file}: no answer has a confidence of at least {threshold:.3g}"
        )
    wrong = 1 - kept["correct"].to_numpy(float, na_value=float("nan"))
    table = watch(wrong, risk=known["risk"])
    last = table.iloc[-1]
    say(
        f"{len(kept):,} answers retained at {threshold:.3g}, {last['n']:.0f} graded, "
        f"{last['errors']:.0f} wrong (allowed {known['risk']:.1%}); evidence "
        f"{last['evidence']:.3g} of 1,000"
    )
    if last["alarm"]:
        n = table.loc[table["alarm"], "n"].iloc[0]
        say(f"ALARM after {n:.0f} graded answers: use this threshold no longer")
        raise typer.Exit(1)
    say("no alarm")
