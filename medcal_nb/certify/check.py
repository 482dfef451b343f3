"""Replay a ledger: is what was planned, graded and said still what it was?"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from medcal_nb.answers.columns import of_file
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
from medcal_nb.certify.pool import pool_of
from medcal_nb.errors import MedcalError
from medcal_nb.files import require_file


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
        What the ledger holds.

    Raises
    ------
    MedcalError
        If there is no ledger.
    """
    places = Places.beside(file)
    ledger = Ledger(require_file(places.ledger))
    if ledger.chain.faults:
        return [f"{places.ledger}: {text}" for text in ledger.chain.faults], []
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
    faults = []
    ends = ledger.of_kind(lines.END)
    if ends and not n_new and ends[-1]["methods"] != end_of(stand):
        faults.append(f"{places.ledger}: its grades do not give the end that it holds")
    if places.threshold.exists():
        known = read_threshold(places.threshold)
        if known["head"] not in ledger.chain.hashes:
            faults.append(
                f"{places.threshold}: quotes a line that the ledger does not hold: lines at the "
                "ledger's end were altered or taken out"
            )
        now = threshold_of(run.ledger, stand)
        for name in [name for name in now if name != "head" and not n_new]:
            if known.get(name) != now[name]:
                faults.append(
                    f"{places.threshold}: {name} is {known.get(name)!r}, by the ledger "
                    f"{now[name]!r}"
                )
    return faults, facts


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
        f"{len(ledger.entries)} lines, head {ledger.head[:16]}",
    ]
