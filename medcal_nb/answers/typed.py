"""Tables of typed decisions: what their ``confidence`` is, or a question to the user.

A table of a decision model has a column ``choice`` (an option) or ``noul`` (the probability of
yes). Its confidence is the probability of the option chosen. A bare ``confidence`` beside a choice
may mean four things, and is never scored as that probability before the user says so.
"""

from collections.abc import Hashable
from typing import Any

import pandas as pd

from medcal_nb.answers.recognise import Recognised, plain_column
from medcal_nb.errors import MedcalError
from medcal_nb.logs.typed import (
    CHOSEN,
    MEANINGS,
    Decision,
    read_decision,
    readings,
    shares_of,
)
from medcal_nb.tables.columns import fault
from medcal_nb.wording import percent

#: How far a vendor's number may be from a meaning and still be it: replies have two decimals.
_CLOSE = 0.0101
#: The share of answers that have to agree with a meaning.
_MOST = 0.95
_REMEDY = (
    'write JSON of the probabilities of all options such as {"yes": 0.8, "no": 0.2}, of a noul '
    "a number from 0 to 1"
)


def fill_from_decisions(found: Recognised) -> None:
    """Take answer and confidence of a table of typed decisions from its probabilities.

    Raises
    ------
    MedcalError
        Where a confidence stands beside a choice and there are no probabilities: which of four
        things it is, the user has to say.
    """
    plain = {plain_column(name): name for name in found.table}
    choice = found.taken.get("answer")
    if choice is not None and plain_column(choice) != "choice":
        return  # the answers are others
    noul = plain.get("noul")
    theirs = found.taken.get("option_probabilities")
    if "confidence" in found.named or not (choice or noul):
        return
    if (
        choice
        and not theirs
        and plain_column(found.taken.get("confidence")) == "confidence"
    ):
        raise MedcalError(_question(found.taken["confidence"]))
    if not (noul or theirs):
        return
    read = _decisions(found.table, choice, theirs, noul, plain.get("confidence"))
    found.table = found.table.drop(
        columns=[plain["confidence"]] if "confidence" in plain else []
    )
    found.add("answer", [one.answer for one in read])
    found.add("confidence", [one.confidence for one in read])
    found.add("option_probabilities", [one.probabilities or None for one in read])
    found.add("confidence_from", CHOSEN)
    if not {"strategy"} & {*found.taken, *found.named}:
        found.add("strategy", "decision")
    numbers = pd.Series(
        [one.vendor_number for one in read], found.table.index, dtype=float
    )
    found.table = found.table.assign(vendor_number=numbers)
    found.assumed.append(f"typed decisions: the confidence is {CHOSEN}")


def _decisions(
    table: pd.DataFrame,
    choice: Hashable | None,
    shares: Hashable | None,
    noul: Hashable | None,
    number: Hashable | None,
) -> list[Decision]:
    """The decision of each row, one without an answer where there is none."""
    records = table.astype(object).where(table.notna(), None).to_dict("records")
    read = []
    for row, record in enumerate(records):
        answer: dict[str, Any] = {"type": "refusal"}
        column = shares or noul
        if choice and shares and None not in (record[choice], record[shares]):
            answer = {"type": "choice", "choice": record[choice]}
        elif noul and record[noul] is not None:
            answer = {"type": "noul", "noul": record[noul]}
            column = noul
        answer["confidence"] = record.get(number)
        try:
            if answer["type"] == "choice":
                answer["probabilities"] = shares_of(record[shares])
            read.append(read_decision(answer))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise fault(
                str(column), row, record[column], f"({error})", _REMEDY
            ) from None
    return read


def _question(column: str) -> str:
    """What a confidence beside a choice may be, and how to say it."""
    meanings = "; ".join(MEANINGS.values())
    return (
        f"'{column}' beside 'choice' may be one of four things: {meanings}. Only the first is how "
        "often such an answer should be right. Give the probabilities of the options "
        "(option_probabilities=COLUMN, -c on the command line), or write "
        f"confidence={column} to have it scored as that probability"
    )


def about_vendor(answers: pd.DataFrame) -> list[str]:
    """What vendors' numbers beside typed decisions are, and how many were refused, in sentences.

    Parameters
    ----------
    answers : DataFrame
        With ``option_probabilities`` and ``vendor_number`` where they are typed decisions, maybe
        ``label_mass`` and ``refused``.
    """
    sentences = []
    if "refused" in answers and (n_refused := (answers["refused"] == True).sum()):  # noqa: E712
        sentences.append(
            f"{n_refused:,} questions were refused: no answer, no confidence"
        )
    names = ["option_probabilities", "vendor_number", "label_mass"]
    known = answers.reindex(columns=names).dropna(subset=names[:2])
    if known.empty:
        return sentences
    differences = []
    for shares, number, label_mass in known.itertuples(index=False):
        read = readings(
            [*shares.values()], float(label_mass) if label_mass else float("nan")
        )
        differences.append({name: abs(value - number) for name, value in read.items()})
    agree = (pd.DataFrame(differences) <= _CLOSE).mean()
    meaning = agree.idxmax()
    share = percent(agree.max())
    what = f"{MEANINGS[str(meaning)]}, in {share}% of {len(known):,} answers"
    if agree.max() < _MOST:
        what = "none of the four things that vendors call so"
    sentences.append(
        f"the vendor's number 'confidence' is in the column vendor_number and is not scored: "
        f"it is {what}"
    )
    return sentences
