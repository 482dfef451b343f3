"""Replay a ledger: is what was planned, graded and said still what it was?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from medcal_nb.answers import select
from medcal_nb.certify import ledger as lines
from medcal_nb.certify.certification import (
    Certification,
    Places,
    end_of,
    read_threshold,
    threshold_of,
)
from medcal_nb.certify.ledger import Ledger
from medcal_nb.certify.plans import altered_items, plans_on
from medcal_nb.certify.pool import METHOD, pool_of
from medcal_nb.errors import MedcalError
from medcal_nb.files import require_file
from medcal_nb.tables.columns import of_file


def check(file: Path, answers: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Replay the ledger of a table of answers; no file is changed.

    Parameters
    ----------
    file : path
        The table.
    answers : pandas.DataFrame
        What is in it, as of `load_answers`.

    Returns
    -------
    faults : list of str
        What was altered, a sentence each; empty where all is as it was entered.
    facts : list of str
        What the ledger holds; where nothing is to be entered, what is certified, too.

    Raises
    ------
    MedcalError
        If there is no ledger.
    """
    places = Places.beside(file)
    ledger = Ledger(require_file(places.ledger))
    broken = ledger.chain.faults or ["holds no line"] * (not ledger.entries)
    if broken:
        return [f"{places.ledger}: {text}" for text in broken], []
    facts = _facts(ledger)
    with of_file(file):
        pool = pool_of(answers)
    if ledger.plan["pool"] != pool.hash:
        names = ", ".join(altered_items(ledger, pool)) or "none of those graded"
        return [f"{file}: answers were altered: {names}"], facts
    try:
        run = Certification(file, answers, read_only=True)
    except MedcalError as error:
        return [str(error)], facts
    n_new = len(run.ledger.entries) - len(ledger.entries)
    if n_new:
        facts.append(f"{n_new} grades are not in it yet: run `medcal certify {file}`")
    stand = run.stand(1)
    if not n_new:
        facts += _said(stand.table)
    faults = []
    ends = ledger.of_kind(lines.END)
    if ends and not n_new and ends[-1]["methods"] != end_of(stand):
        faults.append(f"{places.ledger}: its grades do not give the end that it holds")
    # of a ledger that has not got all grades the threshold is an earlier one
    now = {} if n_new else threshold_of(run.ledger, stand)
    return faults + _of_threshold(places, ledger, now), facts


def quoted(file: Path, answers: pd.DataFrame) -> list[str]:
    """What another page says of the ledger beside a table: its replay, or why it is not quoted.

    Parameters
    ----------
    file, answers
        As in `check`; all rows of the table.

    Returns
    -------
    list of str
        Sentences; none without a ledger.
    """
    ledger = Places.beside(file).ledger
    if not ledger.exists():
        return []
    try:
        rows = Places.beside(file).rows()
        faults, facts = check(file, select(answers, rows) if rows else answers)
    except MedcalError as error:
        faults, facts = [str(error)], []
    begin = f"{ledger.name}: "
    if faults:
        begin = f"{ledger.name} is damaged, or of other answers: "
        facts = faults[:1]
    text = begin + ". ".join(fact.removesuffix(".") for fact in facts)
    # a page that is handed on says nothing of the folders here
    text = text.replace(str(file).removesuffix(file.name), "")
    return [f"{text}. To check it: medcal certify {file.name} --check."]


def _of_threshold(places: Places, ledger: Ledger, now: dict[str, Any]) -> list[str]:
    """What the file of the threshold holds otherwise than it follows from the ledger."""
    if not places.threshold.exists():
        return []
    known = read_threshold(places.threshold)
    faults = []
    if known["head"] not in ledger.chain.hashes:
        faults.append(
            f"{places.threshold}: quotes a line that the ledger does not hold: lines at the "
            "ledger's end were altered or taken out"
        )
    for name in [name for name in now if name != "head"]:
        if known.get(name) != now[name]:
            faults.append(
                f"{places.threshold}: {name} is {known.get(name)!r}, by the ledger {now[name]!r}"
            )
    return faults


def _said(table: pd.DataFrame) -> list[str]:
    """What is certified, a sentence a method."""
    if len(table) == 1:
        return [*table["sentence"]]
    names = table[METHOD].agg(", ".join, axis=1)
    return [*(names + ": " + table["sentence"])]


def _facts(ledger: Ledger) -> list[str]:
    """What a ledger holds, in sentences."""
    plan = ledger.plan
    n_others = len(plans_on(ledger)) - 1
    grades = ledger.of_kind(lines.GRADE)
    n_changes = sum("was" in entry for entry in grades)
    who = sorted({entry["who"] for entry in grades} - {""})
    by = f" by {', '.join(who)}" if who else ""
    return [
        f"begun {plan['time']} on {plan['n_answers']:,} answers: risk {plan['risk']:g}, delta "
        f"{plan['delta']:g}, budget {plan['budget']:,}",
        f"{n_others} other plans on these answers were refused",
        f"{len(grades)} grades entered{by}, {n_changes} of them changes",
        f"{len(ledger.entries)} lines, head {ledger.head}",
    ]
