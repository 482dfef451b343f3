"""``medcal certify``: a threshold certified by grading a few answers, and watched in use."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medcal_nb.cli._app import app, command, note, say, split_names, working
from medcal_nb.cli.answers import Columns, _explained, _named
from medcal_nb.errors import MedcalError

if TYPE_CHECKING:
    import pandas as pd

    from medcal_nb.certify import MethodCertificates
    from medcal_nb.certify.certification import Certification

NO_CLEARANCE = (
    "This is a statistical statement about answers like these, not a clearance: not for use on "
    "patients."
)
#: Why no more is graded.
ENDS = {
    "grading": "",
    "certified": "; no lower threshold can be certified",
    "refuted": "; more of the most confident answers are wrong than allowed",
    "not shown": "; these answers cannot show it",
    "too few cases": "; these are too few cases",
    "budget used": "; the budget is used: those left cannot certify a lower threshold",
}


# what an option is called, what it takes and what it does
File = Annotated[
    Path, typer.Argument(metavar="FILE", help="A table of answers, graded or not.")
]
Risk = Annotated[
    float | None,
    typer.Option(help="Allow this share of wrong answers among those retained."),
]
Delta = Annotated[
    float | None,
    typer.Option(
        help="Let a certificate fail with at most this probability; 0.1 if left out."
    ),
]
Budget = Annotated[
    int | None,
    typer.Option(min=1, help="Grade at most so many answers; 400 if left out."),
]
Starts = Annotated[
    str,
    typer.Option(
        metavar="N,N",
        help="Begin tests at so many of the most confident answers, as --plan says.",
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Ask for so many grades at a time: 20 in the sheet, all on the page, if left out.",
    ),
]
Rows = Annotated[
    str,
    typer.Option(metavar="QUERY", help="Take the models and methods where it holds."),
]
Plan = Annotated[
    bool,
    typer.Option(
        "--plan", help="Say what can be expected, before a grade; begin nothing."
    ),
]
Wrong = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="For --plan, suppose that of the most confident fifth this share is wrong.",
    ),
]
Accuracy = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="For --plan, suppose that of all this share is right."
    ),
]
Seconds = Annotated[
    float, typer.Option(min=0, help="For --plan, so long a grade takes.")
]
Page = Annotated[
    bool,
    typer.Option(
        "--page", help="Write NAME.grading.html: grade in one sitting, by keys."
    ),
]
OwnAnswer = Annotated[
    bool,
    typer.Option(
        "--own-answer",
        help="On the page, the grader answers before the model's is shown.",
    ),
]
Check = Annotated[
    bool,
    typer.Option("--check", help="Replay the ledger and name what was altered."),
]
Watch = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Watch graded answers in use, in their order."),
]


@app.command(rich_help_panel="Answers")
def certify(
    file: File,
    risk: Risk = None,
    delta: Delta = None,
    budget: Budget = None,
    starts: Starts = "",
    batch: Batch = None,
    rows: Rows = "",
    plan: Plan = False,
    wrong: Wrong = None,
    accuracy: Accuracy = None,
    seconds: Seconds = 30,
    page: Page = False,
    own_answer: OwnAnswer = False,
    check: Check = False,
    watch: Watch = None,
    columns: Columns = None,
) -> None:
    """Certify a threshold by grading few answers: which to grade next, and what holds by now.

    The next answers are written to NAME.grades.csv (.xlsx beside an Excel table). Fill its column
    'correct' (1, 0, or ? for what cannot be graded, which counts as wrong) and run the same command
    again; or grade all in one sitting on a page (--page). The first run fixes answers, risk, delta
    and budget in a ledger, NAME.certificate.jsonl, which keeps every grade and refuses another plan
    on the same answers.

    Example: medcal certify answers.csv --risk 0.2
    """
    from medcal_nb.certify.certification import Certification, Places
    from medcal_nb.certify.check import check as replay
    from medcal_nb.certify.rule import BATCH
    from medcal_nb.wording import in_shell

    if watch:
        _watch(watch, file, columns)
        return
    again = command("certify", file, columns)
    rows = rows or Places.beside(file).rows()
    with _explained(file):
        answers = _answers_of(file, columns, rows)
        if check:
            _say_check(*replay(file, answers))
            return
        if plan:
            if rows:
                again += f" --rows {in_shell(rows)}"
            _say_plan(answers, risk, delta, budget, wrong, accuracy, seconds, again)
            return
        run = Certification(
            file,
            answers,
            risk=risk,
            delta=delta,
            budget=budget,
            starts=_numbers(starts),
            rows=rows,
        )
        with working("certify"):
            stand = run.stand(batch or BATCH)
    for name, n in run.n_of_sittings.items():
        say(f"{name}: {n} new grades")
    if page or own_answer:
        run.write_threshold(stand)
        _write_page(run, own_answer, batch, again)
        return
    n_open = run.write_sheet(stand)
    run.write_threshold(stand)
    _say_stand(run, stand, n_open, again)


def _answers_of(file: Path, columns: list[str] | None, rows: str) -> "pd.DataFrame":
    from medcal_nb.answers import load_answers, select

    answers = load_answers(file, ungraded=True, **_named(columns))
    for line in answers.attrs.get("assumed", ()):
        note(line)
    return select(answers, rows) if rows else answers


def _numbers(text: str) -> list[int] | None:
    """Numbers of a list written with commas; None without any."""
    names = split_names(text)
    if not all(name.isdecimal() and int(name) for name in names):
        raise MedcalError(f"--starts {text}: write whole numbers, such as 77,248")
    return sorted({int(name) for name in names}) or None


def _say_plan(
    answers: "pd.DataFrame",
    risk: float | None,
    delta: float | None,
    budget: int | None,
    wrong: float | None,
    accuracy: float | None,
    seconds: float,
    again: str,
) -> None:
    """Print what can be expected of a certificate, by allowed risk."""
    from medcal_nb.certify.plans import USUAL, check_share
    from medcal_nb.certify.pool import METHOD, pool_of
    from medcal_nb.certify.result import plan_lines, plan_of_pool

    delta = USUAL["delta"] if delta is None else delta
    check_share("delta", delta)
    if risk is not None:
        check_share("risk", risk)
    supposed, table = plan_of_pool(
        pool_of(answers),
        delta=delta,
        budget=budget or USUAL["budget"],
        wrong=wrong,
        accuracy=accuracy,
        seconds=seconds,
        risk=risk,
    )
    pilot = ""
    if answers["correct"].notna().any():
        pilot = (
            "A pilot, whose grades are seen, has to be of cases drawn at random: certify other "
            "cases than these. "
        )
    has_starts = (~table["is_usual"] & table["starts"].map(len).gt(0)).any()
    parts = table.groupby(METHOD, sort=False)
    for line, (_, part) in zip(supposed, parts, strict=True):
        say(line)
        for text in plan_lines(part):
            say(f"  {text}")
    starts = " --starts …, where its line names them" if has_starts else ""
    say(
        f"Simulated, by what was supposed. {pilot}Choose one risk and begin: "
        f"{again} --risk R{starts}"
    )


def _say_check(faults: list[str], facts: list[str]) -> None:
    """Print what a ledger holds and what was altered; exit with 1 where something was."""
    for fact in facts:
        say(fact)
    for fault in faults:
        say(f"ALTERED: {fault}")
    if faults:
        raise typer.Exit(1)
    say("the ledger is whole, and gives what was said")


def _say_stand(
    run: "Certification", stand: "MethodCertificates", n_open: int, again: str
) -> None:
    """Print where grading stands, a line a method, and at the end what may be quoted."""
    from medcal_nb.certify.graders import agreements
    from medcal_nb.certify.result import called, plainly, worth_of

    table = stand.table
    budget = run.most_grades
    n_graded = run.n_graded(stand)
    # grades that the table has already and no test looks at are not counted
    used = f"{n_graded} answers graded in all, {budget - n_graded} left of {budget}"
    if n_open and run.n_of_table:
        say(
            f"the table has {run.n_of_table} grades: each is taken when its answer is asked for, "
            "in the order of the plan; only answers without a grade are on the sheet"
        )
    for one in table.itertuples():
        reached = _reached(one)
        if len(table) > 1:
            reached = f"{called(one.model, one.strategy)}: {reached}"
        say(f"{used}: {reached}{ENDS[one.state]}")
    for agreement in agreements(run.ledger):
        say(f"{agreement}.")
    if n_open:
        say(
            f"{run.places.sheet}: grade {n_open} answers in the column 'correct' (1, 0 or ?), then "
            f"run this again: {again}"
        )
        say(f"or grade all in one sitting: {again} --page")
        return
    plain_ones = plainly(stand, run.pool, run.plan["risk"], run.plan["budget"])
    for plain, sentence in zip(plain_ones, table["sentence"], strict=True):
        say(plain)
        say(sentence)
    if (table["state"] == "too few cases").all():
        say(
            f"Nobody has graded, so another risk may be begun: `{again} --plan` says "
            "what is within reach."
        )
    for sentence in worth_of(stand, run.pool, run.grades, run.plan["risk"]):
        say(sentence)
    if len(table) > 1:
        say(
            f"{len(table)} methods were tested, each with a probability of {table['delta'][0]:.3g} "
            f"to fail: all hold with probability {1 - run.plan['delta']:.3g}."
        )
    say(f"{NO_CLEARANCE} For a program: {run.places.threshold}")
    say(f"Ledger: {run.places.ledger}, head {run.ledger.head[:16]}")


def _reached(one: Any) -> str:
    """How far down a method is certified, in words; `one` is a row of the stand."""
    from medcal_nb.wording import percent

    if not one.n:
        return "nothing certified so far"
    return (
        f"certified down to a confidence of {one.threshold:.10g}, which retains "
        f"{percent(one.coverage, 1)}% of {one.n_pool:,} answers"
    )


def _write_page(
    run: "Certification", own_answer: bool, batch: int | None, again: str
) -> None:
    """Write the page on which the certificate is graded in one sitting."""
    from medcal_nb.certify.page import write_page

    holds = write_page(run, own_answer=own_answer, only=batch)
    say(f"wrote {run.places.page}: {holds}")
    say(
        "Open it in a browser and grade until it stops. Put the file that it downloads beside "
        f"{run.places.page.name} and run again: {again}"
    )


def _watch(use: Path, file: Path, columns: list[str] | None) -> None:
    """Print whether the risk of the answers retained in use has become too large."""
    from medcal_nb.answers import load_answers
    from medcal_nb.certify.certification import Places, read_threshold, watch_in_use
    from medcal_nb.wording import percent

    places = Places.beside(file)
    known = read_threshold(places.threshold)
    if known["threshold"] is None:
        raise MedcalError(
            f"{places.threshold}: no threshold was certified, so none is in use"
        )
    answers = load_answers(use, **_named(columns))
    seen = watch_in_use(places, known, answers, use)
    say(
        f"{seen['n_retained']:,} answers retained at {known['threshold']:.3g}, "
        f"{seen['n_graded']} graded, {seen['errors']} wrong (allowed "
        f"{percent(known['risk'], 1)}%); evidence {seen['evidence']:.3g} of 1,000"
    )
    if seen["alarm_after"] is not None:
        say(
            f"ALARM after {seen['alarm_after']} graded answers: use this threshold no longer"
        )
        raise typer.Exit(1)
    say("no alarm")
