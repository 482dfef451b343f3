"""A sheet of answers that a person grades, a few at a time, until a threshold is certified."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from medcal_nb.answers.columns import KNOWN, RIGHT, TEXT, WRONG, of_file, refuse
from medcal_nb.answers.tables import read_columns, write_table
from medcal_nb.certify import MethodCertificates, certify_methods
from medcal_nb.errors import MedcalError
from medcal_nb.files import new_file

#: What names an answer, and what else a person sees of it.
METHOD = ["model", "strategy"]
KEY = ["dataset", "item_id", *METHOD]
SHOWN = [
    "image_id",
    "image",
    "question",
    "raw",
    "answer",
    "confidence",
    "gold",
]
GRADE = "correct"
PLAN = "certificate"
#: An answer that nobody can grade: it counts as wrong.
UNGRADABLE = "?"
#: Words of a grade; "yes" may be the answer itself.
_ANSWERS = set(KNOWN["grades"]["answers"].split())
_RIGHT = RIGHT - _ANSWERS
_WRONG = WRONG - _ANSWERS | {UNGRADABLE}
_GRADES = f"write 1 (right), 0 (wrong) or {UNGRADABLE} (cannot be graded)"
_BACK = "put back what stood in this row"
#: What of a plan need not be said.
_USUAL = {
    "delta": 0.1,
    "budget": 400,
    "seed": 0,
}
#: Regions and tests of `certify`, a part of the hash: a sheet begun with others is not continued.
_DESIGN = 2


class Plan(NamedTuple):
    """What is fixed before the first grade is seen."""

    risk: float
    delta: float
    budget: int
    seed: int
    pool: str  # a hash of its answers

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self._asdict().items())

    @classmethod
    def of(cls, text: str) -> Plan:
        """The plan that a sheet was begun with."""
        try:
            values = dict(part.split("=") for part in text.split())
            return cls(
                risk=float(values["risk"]),
                delta=float(values["delta"]),
                budget=int(values["budget"]),
                seed=int(values["seed"]),
                pool=values["pool"],
            )
        except (KeyError, ValueError):
            raise MedcalError(
                f"column '{PLAN}': {text!r} is not what was written there; put it back, "
                "or begin anew without this file"
            ) from None


class GradeSheet:
    """The answers of one method or several, and the sheet ``NAME.grades.csv`` of their grades.

    Parameters
    ----------
    path : path
        The sheet; begun if it is not there.
    answers : DataFrame
        As of `load_answers`; each model and elicitation method has a certificate. Those without a
        confidence are no part of the pool.
    risk, delta, budget, seed
        As in `medcal_nb.certify.certify_methods`; the budget is of all grades together. None: what
        the sheet was begun with.

    Raises
    ------
    MedcalError
        If the sheet is of other answers or another plan, or a grade cannot be read.
    """

    def __init__(
        self,
        path: Path,
        answers: pd.DataFrame,
        *,
        risk: float | None,
        delta: float | None = None,
        budget: int | None = None,
        seed: int | None = None,
    ) -> None:
        self.path = path
        self._bytes = self._stored()
        self.rows = read_sheet(path) if self._bytes else pd.DataFrame()
        wanted = {
            "risk": risk,
            "delta": delta,
            "budget": budget,
            "seed": seed,
        }
        with of_file(path):
            self.pool = _pool(answers)
            self.plan = self._planned(wanted)
            self.grades = self.pool["correct"].to_numpy(float, na_value=np.nan)
            self.n_filled = self._grades_of_rows()

    def _stored(self) -> bytes:
        """The sheet as it lies there."""
        return self.path.read_bytes() if self.path.exists() else b""

    def _planned(self, wanted: dict[str, Any]) -> Plan:
        """The plan of the sheet, which what is wanted may not contradict."""
        pool = _hash(self.pool)
        wanted = {name: value for name, value in wanted.items() if value is not None}
        if self.rows.empty:
            if "risk" not in wanted:
                raise MedcalError("to be begun: say --risk, such as 0.2")
            return Plan(pool=pool, **_USUAL | wanted)
        texts = self.rows[PLAN].dropna().unique()
        if len(texts) != 1:
            raise MedcalError(
                f"column '{PLAN}' must say the same in every row; put it back"
            )
        plan = Plan.of(texts[0])
        for name, value in wanted.items():
            begun = getattr(plan, name)
            if value != begun:
                raise MedcalError(
                    f"was begun with {name}={begun}, not {value}; a certificate holds only as it "
                    "was begun: leave the option out, or begin anew on answers that nobody has "
                    "graded"
                )
        if plan.pool != pool:
            raise MedcalError(
                "was begun with other answers than these, or by another version of medcal; a "
                "certificate holds only for the pool that it was begun with: bring that file back, "
                "or begin anew"
            )
        return plan

    def _grades_of_rows(self) -> int:
        """Take the grades of the sheet over; return how many there are."""
        if self.rows.empty:
            return 0
        grades = grades_of(self.rows, self.pool)
        self.grades[grades.index] = grades
        return len(grades)

    def stand(self, batch: int) -> MethodCertificates:
        """Where the certificates stand, and so many answers to grade next."""
        stand = certify_methods(
            self.pool.assign(correct=self.grades),
            risk=self.plan.risk,
            delta=self.plan.delta,
            budget=self.plan.budget,
            by=METHOD,
            seed=self.plan.seed,
            batch=batch,
        )
        left = self.plan.budget - max(self.n_filled, stand.table["n_graded"].max())
        asked = stand.next[: max(min(batch, left), 0)]
        states = stand.table["state"]
        if not asked.size:
            states = states.replace("grading", "budget used")
        return MethodCertificates(next=asked, table=stand.table.assign(state=states))

    def write_next(self, stand: MethodCertificates) -> int:
        """Add the answers to grade next below the rows that are there; return how many they are.

        What stands in the sheet is written again as it was read.
        """
        if not stand.next.size:
            return 0
        asked = self.pool.iloc[stand.next]
        # of several confidences none is shown
        if len(stand.table) > 1:
            asked = asked.drop(columns="confidence")
        new = asked.reindex(columns=[*KEY, *SHOWN]).dropna(axis=1, how="all")
        new = new.astype(TEXT)
        new[GRADE] = None
        new[PLAN] = str(self.plan)
        n = len(new)
        if not self.rows.empty:
            new = new[~_keys(new).isin(_keys(self.rows))]
        if len(new):
            if self._stored() != self._bytes:
                raise MedcalError(f"{self.path}: was changed meanwhile; run it again")
            rows = pd.concat([self.rows, new]).astype(TEXT)
            write_table(rows, self.path, force=True)
        return n

    def write_threshold(self, stand: MethodCertificates, to: Path) -> None:
        """Write the threshold that retains most and its certificate, and the others, as JSON."""
        if to.exists() and '"pool"' not in to.read_text("utf-8", errors="replace"):
            raise MedcalError(f"{to}: is no threshold of ours; move it away")
        table = stand.table.sort_values("coverage", ascending=False, kind="stable")
        is_one = np.isfinite(table["threshold"])
        table = table.assign(
            threshold=table["threshold"].astype(object).where(is_one, None)
        )
        first, *others = table.to_dict("records")
        # of several methods, delta is each one's part
        content = self.plan._asdict() | first | {"others": others}
        with new_file(to, force=True) as part:
            text = json.dumps(content, indent=1, ensure_ascii=False)
            part.write_text(f"{text}\n", encoding="utf-8")


def grades_of(rows: pd.DataFrame, pool: pd.DataFrame) -> pd.Series:
    """Whether answers are right, by their place in the pool, as the rows of a sheet say it.

    Raises
    ------
    MedcalError
        If a row is none of the pool, or its grade cannot be read, or is another than before.
    """
    place = _keys(pool).get_indexer(_keys(rows))
    refuse("item_id", rows["item_id"], place < 0, "is no answer of the pool", _BACK)
    words = rows[GRADE].fillna("").str.strip().str.casefold()
    is_filled = words != ""
    is_odd = is_filled & ~words.isin(_RIGHT | _WRONG)
    refuse(GRADE, rows[GRADE], is_odd, "is no grade", _GRADES)
    right = words[is_filled].isin(_RIGHT).groupby(place[is_filled])
    is_twice = (right.transform("nunique") > 1).reindex(rows.index, fill_value=False)
    refuse("item_id", rows["item_id"], is_twice, "has two grades", "leave one")
    return right.first()


def _keys(table: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(table[KEY])


def _pool(answers: pd.DataFrame) -> pd.DataFrame:
    """The answers that have a confidence, in an order of their own."""
    pool = answers.dropna(subset="confidence").sort_values(KEY, ignore_index=True)
    if pool.empty:
        raise MedcalError("no answer has a confidence, so there is no threshold")
    return pool.astype({"correct": "boolean"})


def _hash(pool: pd.DataFrame) -> str:
    """Twelve digits that tell a pool from another."""
    names = [*METHOD, "dataset", "item_id", "image_id", "confidence"]
    table = pool[names].astype({"confidence": float})
    rows = pd.util.hash_pandas_object(table, index=False)
    content = rows.to_numpy().tobytes() + bytes([_DESIGN])
    return hashlib.sha256(content).hexdigest()[:12]


def read_sheet(path: Path) -> pd.DataFrame:
    """A sheet, all its cells as texts."""
    problem = (
        "not a sheet of `medcal certify`, or a column of it was renamed; put it back"
    )
    return read_columns(path, [*KEY, GRADE, PLAN], problem).astype(TEXT)
