"""Grades that come in: of the table of answers itself, of a sheet, of sittings at the page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from medcal_nb import tables
from medcal_nb.certify import ledger as lines
from medcal_nb.certify.ledger import Entry, Ledger, read_chain
from medcal_nb.certify.pool import KEY, Pool
from medcal_nb.errors import MedcalError
from medcal_nb.tables.columns import KNOWN, RIGHT, TEXT, WRONG, of_file, refuse
from medcal_nb.words import blinded

_SHOWN = ["image_id", "image", "question", "answer", "gold"]
GRADE = "correct"
WHO = "grader"
RIGHT_GRADE = "1"
WRONG_GRADE = "0"
#: An answer that nobody can grade: it counts as wrong.
UNGRADABLE = "?"
#: Words of a grade; "yes" may be the answer itself.
_ANSWERS = set(KNOWN["grades"]["answers"].split())
_WORDS = dict.fromkeys(RIGHT - _ANSWERS, RIGHT_GRADE)
_WORDS |= dict.fromkeys(WRONG - _ANSWERS, WRONG_GRADE)
_WORDS |= {UNGRADABLE: UNGRADABLE}
_NO_SHEET = (
    "not a sheet of `medcal certify`, or a column of it was renamed; put it back"
)
_HOW = f"write 1 (right), 0 (wrong) or {UNGRADABLE} (cannot be graded)"


def shown_of(answers: pd.DataFrame) -> pd.DataFrame:
    """What a person sees of answers to grade: no confidence, also none that a reply states.

    Returns
    -------
    DataFrame
        With the index of the answers: image_id, image, question, answer, gold, as far as they are
        known. The answer is the reply without its confidence (`medcal_nb.words.blinded`).
    """
    names = ["raw", "answer", "confidence"]
    texts = answers.reindex(columns=names).astype(object)
    said = texts.where(texts.notna(), None).itertuples(index=False, name=None)
    shown = answers.reindex(columns=_SHOWN)
    shown["answer"] = [blinded(*one) or None for one in said]
    return shown


def take_grades_of_file(ledger: Ledger, pool: Pool, file: Path) -> None:
    """Enter the grades that the table of answers has; one that was there may not change.

    Raises
    ------
    MedcalError
        If a grade is another one now, or gone.
    """
    marks = pool.rows["correct"].map({True: "1", False: "0"}).fillna(".")
    now = "".join(marks)
    entered = ledger.of_kind(lines.OF_THE_FILE)
    before = entered[-1]["grades"] if entered else "." * len(now)
    if now == before:
        return
    pairs = enumerate(zip(before, now, strict=True))
    changed = [row for row, (old, new) in pairs if old not in (".", new)]
    if changed:
        row = changed[0]
        raise MedcalError(
            f"{file}: {len(changed)} grades were altered since {ledger.path} was begun: "
            f"{pool.rows['item_id'][row]} was {before[row]}, is {now[row]}; bring them back"
        )
    ledger.append({"kind": lines.OF_THE_FILE, "grades": now})


def has_grades(path: Path) -> bool:
    """Whether somebody has filled a grade into a sheet, taken in yet or not."""
    if not path.exists():
        return False
    words = tables.read_sheet(path, [GRADE], _NO_SHEET)[GRADE]
    return bool((words.fillna("").str.strip() != "").any())


def take_sheet(ledger: Ledger, pool: Pool, path: Path) -> pd.DataFrame:
    """Enter the grades of a sheet, and return its rows as texts.

    Raises
    ------
    MedcalError
        If it is no sheet, an answer of it is not in the pool, a word is no grade, or a row of the
        ledger's certificate was graded otherwise before it ended.
    """
    if not path.exists():
        return pd.DataFrame()
    rows = tables.read_sheet(path, [*KEY, GRADE], _NO_SHEET)
    with of_file(path):
        filled = _filled(rows, pool)
        known = latest(ledger)
        entries = []
        for row, grade, who in filled:
            before = known.get((pool.cases[row], who))
            if before is None or before["grade"] != grade:
                entry = _grade_entry(pool, row) | {"grade": grade, "who": who}
                entries.append(entry | {"from": path.name})
        _enter(ledger, entries, known)
    return rows


def _filled(rows: pd.DataFrame, pool: Pool) -> list[tuple[int, str, str]]:
    """Row of the pool, grade and grader of what is filled in a sheet."""
    place = pool.keys.get_indexer(pd.MultiIndex.from_frame(rows[KEY]))
    remedy = "put back what stood in this row"
    items = rows["item_id"]
    refuse("item_id", items, place < 0, "is no answer of the pool", remedy)
    grades = read_grades(rows)
    is_filled = grades.notna().to_numpy(bool)
    who = pd.Series("", rows.index)
    if WHO in rows:
        who = rows[WHO].fillna("").str.strip()
    n_grades = grades.groupby([place, who]).transform("nunique")
    refuse("item_id", items, n_grades > 1, "has two grades", "leave one")
    filled = pd.DataFrame({"row": place, "grade": grades, "who": who})[is_filled]
    return [*filled.drop_duplicates().itertuples(index=False, name=None)]


def read_grades(rows: pd.DataFrame) -> pd.Series:
    """Grades of a sheet's rows: 1, 0, ? or missing, whatever words they were written in.

    Raises
    ------
    MedcalError
        If a word is no grade.
    """
    words = rows[GRADE].fillna("").str.strip().str.casefold()
    grades = words.map(_WORDS)
    is_odd = ((words != "") & grades.isna()).to_numpy(bool)
    refuse(GRADE, rows[GRADE], is_odd, "is no grade", _HOW)
    return grades


def take_sitting(ledger: Ledger, pool: Pool, path: Path) -> int:
    """Enter the grades of a sitting at the page; return how many are new.

    Raises
    ------
    MedcalError
        If it is of another certificate, a line of it was altered, or an answer is not of the pool.
    """
    chain = read_chain(path.read_bytes(), before=ledger.plan_hash)
    first = chain.entries[0] if chain.entries else {}
    if first.get("kind") != lines.SITTING or first.get("before") != ledger.plan_hash:
        raise MedcalError(
            f"{path}: is no sitting of this certificate; move it out of this folder"
        )
    if chain.faults:
        raise MedcalError(
            f"{path}: {chain.faults[0]}; download it from the page anew, or move it away"
        )
    place = {content: row for row, content in enumerate(pool.contents)}
    entered = {entry.get("line") for entry in ledger.of_kind(lines.GRADE)}
    entries = []
    for number, entry in enumerate(chain.entries[1:], start=1):
        row = place.get(str(entry.get("row")))
        grade = entry.get("grade")
        if row is None or grade not in (RIGHT_GRADE, WRONG_GRADE, UNGRADABLE):
            raise MedcalError(f"{path}: line {number + 1} is no grade of these answers")
        line = chain.hashes[number]
        if line in entered:
            continue
        kept = {name: entry[name] for name in ("time", "own") if name in entry}
        origin = {"who": str(first.get("who", "")), "from": path.name, "line": line}
        entries.append(_grade_entry(pool, row) | {"grade": grade} | origin | kept)
    _enter(ledger, entries, latest(ledger))
    return len(entries)


def _grade_entry(pool: Pool, row: int) -> Entry:
    key = pool.rows.loc[row, KEY].to_dict()
    return {
        "kind": lines.GRADE,
        **key,
        "case": pool.cases[row],
        "row": pool.contents[row],
    }


def _enter(ledger: Ledger, entries: list[Entry], known: dict) -> None:
    """Append grades; what the same person graded otherwise is a change, and none after the end."""
    has_ended = bool(ledger.of_kind(lines.END))
    known = dict(known)
    for entry in entries:
        key = (entry["case"], entry["who"])
        before = known.get(key)
        if before is not None and before["grade"] != entry["grade"]:
            if has_ended:
                raise MedcalError(
                    f"{entry['item_id']} was graded {before['grade']} on {before['time']}, is "
                    f"{entry['grade']}: the certificate has ended, its grades stay; put it back"
                )
            entry["was"] = before["grade"]
        known[key] = entry
    ledger.append(*entries)


def latest(ledger: Ledger) -> dict[tuple[str, str], Entry]:
    """The last grade of each case by each grader, by hash of the case and name."""
    return {
        (entry["case"], entry["who"]): entry for entry in ledger.of_kind(lines.GRADE)
    }


def grades_of(ledger: Ledger, pool: Pool) -> tuple[np.ndarray, int]:
    """Grades that people gave to the rows of a pool, 1, 0 and NaN, and to how many answers.

    Of several graders an answer is right where all of them say so.
    """
    verdicts: dict[str, bool] = {}
    for (case, _), entry in latest(ledger).items():
        is_right = entry["grade"] == RIGHT_GRADE
        verdicts[case] = verdicts.get(case, True) and is_right
    grades = [float(verdicts.get(case, np.nan)) for case in pool.cases]
    return np.array(grades), len(verdicts)


def write_sheet(
    rows: pd.DataFrame, pool: Pool, asked: np.ndarray, path: Path, file: Path
) -> int:
    """Add the answers to grade next below the rows of a sheet; return how many are asked.

    What stands in the sheet is written again as it was read, a new one in the form of the table of
    answers, `file`.
    """
    if not len(asked):
        return 0
    rows_asked = pool.rows.iloc[asked]
    new = pd.concat([rows_asked[KEY], shown_of(rows_asked)], axis=1)
    new = new.dropna(axis=1, how="all").astype(TEXT)
    new[GRADE] = None
    new[WHO] = None
    if not rows.empty:
        there = pd.MultiIndex.from_frame(rows[KEY])
        new = new[~pd.MultiIndex.from_frame(new[KEY]).isin(there)]
    if len(new):
        whole = pd.concat([rows, new]).astype(TEXT)
        tables.write_sheet(whole, path, file, force=True)
    return len(asked)
