"""A certificate on disk: its answers, its ledger, the sheet of its grades and its threshold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from medcal_nb.certify import MethodCertificates, certify_methods, watch
from medcal_nb.certify import ledger as lines
from medcal_nb.certify.ledger import Entry, Ledger
from medcal_nb.certify.plans import plan_of
from medcal_nb.certify.pool import METHOD, pool_of
from medcal_nb.certify.rule import BATCH
from medcal_nb.certify.sheets import (
    grades_of,
    has_grades,
    take_grades_of_file,
    take_sheet,
    take_sitting,
    write_sheet,
)
from medcal_nb.errors import MedcalError
from medcal_nb.files import beside, new_file, require_file
from medcal_nb.tables import sheet_beside
from medcal_nb.tables.columns import of_file

#: What an end holds of each method.
_OF_AN_END = [*METHOD, "state", "threshold", "coverage", "n_graded", "n", "errors"]


class Places(NamedTuple):
    """The files beside a table of answers."""

    file: Path
    ledger: Path
    threshold: Path
    page: Path

    @classmethod
    def beside(cls, file: Path) -> Places:
        """Those of ``NAME.csv``: ``NAME.certificate.jsonl`` and the others."""
        return cls(
            file=file,
            ledger=beside(file, "certificate.jsonl"),
            threshold=beside(file, "threshold.json"),
            page=beside(file, "grading.html"),
        )

    @property
    def sheet(self) -> Path:
        """``NAME.grades.csv`` or ``.xlsx``: the one that is there, or in the form of the table."""
        return sheet_beside(self.file, "grades")

    def rows(self) -> str:
        """The query that the ledger was begun with; none where it is damaged or missing."""
        ledger = Ledger(self.ledger)
        is_read = ledger.entries and not ledger.chain.faults
        return str(ledger.plan["rows"]) if is_read else ""

    def sittings(self) -> list[Path]:
        """What grading pages downloaded, as browsers name it."""
        begin = self.ledger.name.removesuffix("certificate.jsonl") + "sitting"
        files = self.ledger.resolve().parent.glob("*.jsonl")
        return sorted(path for path in files if path.name.startswith(begin))


class Certification:
    """A certificate that is being graded, or was.

    Parameters
    ----------
    file : path
        The table of answers; ledger, sheet, sittings and threshold lie beside it.
    answers : pandas.DataFrame
        As of `load_answers`; each model and elicitation method has a certificate.
    risk, delta, budget, starts
        As in `certify_methods`; the budget is of all grades together. None: what the ledger was
        begun with.
    rows : str
        The query by which `answers` were taken from the table, for the next run.
    read_only : bool
        Change no file.

    Attributes
    ----------
    plan : dict
        That of the ledger.
    grades : (n,) array of 1, 0 and NaN
        Of the rows of the pool.
    grades_of_table : (n,) array of 1, 0 and NaN
        Those that the table has, asked for yet or not.
    n_graded_by_hand : int
        Answers that people graded.

    Raises
    ------
    MedcalError
        If the ledger is missing, altered, or of another plan or other answers; if the same answers
        have a ledger under another name in the folder; if a grade cannot be read or was altered.
    """

    def __init__(
        self,
        file: Path,
        answers: pd.DataFrame,
        *,
        risk: float | None = None,
        delta: float | None = None,
        budget: int | None = None,
        starts: list[int] | None = None,
        rows: str = "",
        read_only: bool = False,
    ) -> None:
        self.places = Places.beside(file)
        with of_file(file):
            self.pool = pool_of(answers)
        self.ledger = Ledger(self.places.ledger, read_only=read_only)
        self.ledger.require_whole()
        if not self.ledger.entries:
            _require_no_remains(self.places)
        said = {"risk": risk, "delta": delta, "budget": budget, "starts": starts}
        wanted = {name: value for name, value in said.items() if value is not None}
        is_open = (
            self.ledger.is_open
            and not has_grades(self.places.sheet)
            and not self.places.sittings()
        )
        self.plan = plan_of(
            self.ledger, self.pool, file, wanted, rows=rows, is_open=is_open
        )
        take_grades_of_file(self.ledger, self.pool, file)
        self._sheet = take_sheet(self.ledger, self.pool, self.places.sheet)
        self.n_of_sittings = {
            path.name: take_sitting(self.ledger, self.pool, path)
            for path in self.places.sittings()
        }
        by_hand, self.n_graded_by_hand = grades_of(self.ledger, self.pool)
        self.grades_of_table = self.pool.rows["correct"].to_numpy(
            float, na_value=np.nan
        )
        self.grades = by_hand
        if np.isnan(self.grades_of_table).any():
            self._take_those_asked()
        else:
            self.grades = np.where(np.isnan(by_hand), self.grades_of_table, by_hand)

    def _take_those_asked(self) -> None:
        """Of a table that has some grades take those that are asked, one after the other."""
        if np.isnan(self.grades_of_table).all():
            return
        while (asked := self._certified(BATCH).next).size:
            for row in asked:
                grade = self.grades_of_table[row]
                if np.isnan(grade):
                    return
                self.grades[row] = grade
                # those named after it suppose that it is right
                if not grade:
                    break

    def _certified(
        self, batch: int, grades: np.ndarray | None = None
    ) -> MethodCertificates:
        grades = self.grades if grades is None else grades
        return certify_methods(
            self.pool.rows.assign(correct=grades),
            risk=self.plan["risk"],
            delta=self.plan["delta"],
            budget=self.plan["budget"],
            starts=self.plan["starts"],
            by=METHOD,
            seed=self.plan["seed"],
            batch=batch,
        )

    def stand(self, batch: int) -> MethodCertificates:
        """Where the certificates stand, and so many answers to grade next."""
        stand = self._certified(batch)
        left = self.plan["budget"] - self.n_graded(stand)
        n = max(min(batch, left), 0)
        asked = stand.next[:n] if self.n_of_table == 0 else self._without_grade(n)
        states = stand.table["state"]
        if not asked.size:
            states = states.replace("grading", "budget used")
        return stand._replace(next=asked, table=stand.table.assign(state=states))

    @property
    def n_of_table(self) -> int:
        """Grades that the table has itself."""
        return int((~np.isnan(self.grades_of_table)).sum())

    def _without_grade(self, n: int) -> np.ndarray:
        """The next n answers (n,) that the table has no grade of, each supposed to be right.

        On the way to them the table's own grades are taken as they are.
        """
        supposed = self.grades.copy()
        wanted: list[int] = []
        while len(wanted) < n and (asked := self._certified(BATCH, supposed).next).size:
            for row in asked:
                grade = self.grades_of_table[row]
                supposed[row] = 1.0 if np.isnan(grade) else grade
                if np.isnan(grade):
                    wanted.append(row)
                elif not grade:  # those named after it suppose that it is right
                    break
        return np.array(wanted[:n], dtype=int)

    def n_graded(self, stand: MethodCertificates) -> int:
        """Answers graded: by people, or, of those that the table has, looked at."""
        return max(self.n_graded_by_hand, int(stand.table["n_graded"].max()))

    @property
    def most_grades(self) -> int:
        """Answers that are graded at most: those planned, or all that there are."""
        return min(self.plan["budget"], len(set(self.pool.cases)))

    def write_sheet(self, stand: MethodCertificates) -> int:
        """Add the answers to grade next to the sheet; return how many they are."""
        places = self.places
        return write_sheet(
            self._sheet, self.pool, stand.next, places.sheet, places.file
        )

    def write_threshold(self, stand: MethodCertificates) -> None:
        """Enter the end in the ledger, where it is one, and write the threshold."""
        if not stand.next.size:
            table = end_of(stand)
            ends = self.ledger.of_kind(lines.END)
            if not ends or ends[-1]["methods"] != table:
                n = self.n_graded(stand)
                self.ledger.append({"kind": lines.END, "n_graded": n, "methods": table})
        content = threshold_of(self.ledger, stand)
        with new_file(self.places.threshold, force=True) as part:
            text = json.dumps(content, indent=1, ensure_ascii=False)
            part.write_text(f"{text}\n", encoding="utf-8")


def _require_no_remains(places: Places) -> None:
    """Refuse to begin a ledger where files of an earlier one are there."""
    for path in (places.threshold, places.sheet):
        if path.exists():
            raise MedcalError(
                f"{places.ledger}: is missing, and {path} is there: bring the ledger back, in "
                "which its plan stands; a file that is no certificate's: move it away"
            )


def end_of(stand: MethodCertificates) -> list[Entry]:
    """How each method ended, as JSON has it."""
    return _plain(stand.table[_OF_AN_END])


def _plain(table: pd.DataFrame) -> list[Entry]:
    """Rows as JSON has them: no number, or an infinite one, is null."""
    numbers = table.select_dtypes("number")
    table = table.astype({name: object for name in numbers})
    table[numbers.columns] = table[numbers.columns].where(np.isfinite(numbers), None)
    rows: list[Entry] = json.loads(json.dumps(table.to_dict("records")))
    return rows


def threshold_of(ledger: Ledger, stand: MethodCertificates) -> dict[str, Any]:
    """The threshold that retains most, the others, and the ledger that they follow from."""
    table = stand.table.sort_values("coverage", ascending=False, kind="stable")
    first, *others = _plain(table)
    plan = ledger.plan
    fixed = {name: plan[name] for name in ("risk", "budget", "seed", "pool")}
    # of several methods, delta is each one's part
    return {
        "ledger": ledger.path.name,
        "head": ledger.head,
        **fixed,
        **first,
        "others": others,
    }


def read_threshold(path: Path) -> dict[str, Any]:
    """A threshold that `Certification.write_threshold` wrote.

    Raises
    ------
    MedcalError
        If it is another file, or damaged.
    """
    needed = {
        "ledger": str,
        "head": str,
        "risk": float,
        "threshold": float | None,
        "model": str,
        "strategy": str,
    }
    try:
        known = json.loads(require_file(path).read_text("utf-8"))
        is_one = all(isinstance(known[name], kind) for name, kind in needed.items())
    except (ValueError, KeyError, TypeError, RecursionError):
        is_one = False
    if not is_one or not 0 < known["risk"] < 1:
        raise MedcalError(
            f"{path}: is damaged, or no threshold of `medcal certify`: run `medcal certify` on the "
            "answers again, which writes it from the ledger"
        )
    return known


def watch_in_use(
    places: Places, known: dict[str, Any], answers: pd.DataFrame, use: Path
) -> dict[str, Any]:
    """Watch graded answers in use at a threshold, and enter in the ledger what was seen.

    Parameters
    ----------
    places : Places
        Of the certificate.
    known : dict
        Its threshold, as of `read_threshold`.
    answers : pandas.DataFrame
        The answers in use, in their order.
    use : path
        Where they are.

    Returns
    -------
    dict
        ``n_retained``, ``n_graded``, ``errors``, ``evidence``; ``alarm_after``: graded answers
        until the alarm, None without one.

    Raises
    ------
    MedcalError
        If the ledger is missing or not the threshold's, if no answer in use is of the certified
        model and method, or none is retained.
    """
    ledger = Ledger(require_file(places.ledger))
    ledger.require_whole()
    if known["head"] not in ledger.chain.hashes:
        raise MedcalError(
            f"{places.threshold}: does not follow from {ledger.path}: "
            "`medcal certify FILE --check` says what was altered"
        )
    own = [known[name] for name in METHOD]
    of_own = answers[(answers[METHOD] == own).all(axis=1)]
    if of_own.empty:
        others = answers[METHOD].drop_duplicates().agg("/".join, axis=1)
        raise MedcalError(
            f"{use}: holds answers of {', '.join(others)}; the threshold is of {'/'.join(own)}, "
            f"and holds for no other (if they are of it, say so: -c model='{own[0]}' "
            f"-c method='{own[1]}')"
        )
    retained = of_own[of_own["confidence"] >= known["threshold"]]
    if retained.empty:
        raise MedcalError(
            f"{use}: no answer has a confidence of at least {known['threshold']:.3g}"
        )
    wrong = 1 - retained["correct"].to_numpy(float, na_value=np.nan)
    table = watch(wrong, risk=known["risk"])
    last = table.iloc[-1]
    alarms = table.loc[table["alarm"], "n"]
    seen = {
        "n_retained": len(retained),
        "n_graded": int(last["n"]),
        "errors": int(last["errors"]),
        "evidence": float(last["evidence"]),
        "alarm_after": int(alarms.iloc[0]) if len(alarms) else None,
    }
    ledger.append({"kind": lines.WATCH, "file": use.name, **seen})
    return seen
