"""A sheet of answers that a person grades, a few at a time, until a threshold is certified."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from medcal_nb.answers.columns import KNOWN, RIGHT, TEXT, WRONG
from medcal_nb.answers.tables import read_source, write_table
from medcal_nb.errors import MedcalError
from medcal_nb.files import new_file
from medcal_nb.measure import Certificate, certify

#: What names an answer, and what else a person sees of it.
KEY = ["dataset", "item_id"]
SHOWN = ["image_id", "image", "question", "raw", "answer", "confidence", "gold"]
GRADE = "correct"
PLAN = "certificate"
#: An answer that nobody can grade: it counts as wrong.
UNGRADABLE = "?"
#: Words of a grade; "yes" may be the answer itself.
_ANSWERS = set(KNOWN["grades"]["answers"].split())
_RIGHT = RIGHT - _ANSWERS
_WRONG = WRONG - _ANSWERS | {UNGRADABLE}
_MOST_TOLD = 5  # rows that a message names


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
    def of(cls, text: str, path: Path) -> Plan:
        """The plan that a sheet was begun with."""
        try:
            parts = dict(part.split("=") for part in text.split())
            numbers = [kind(parts[name]) for name, kind in _KINDS.items()]
            return cls(*numbers)
        except (KeyError, ValueError):
            raise MedcalError(
                f"{path}: column '{PLAN}': {text!r} is not what was written there; put it back, "
                "or begin anew without this file"
            ) from None


_KINDS = {"risk": float, "delta": float, "budget": int, "seed": int, "pool": str}


class GradeSheet:
    """The answers of one model and method, and the sheet ``NAME.grades.csv`` of their grades.

    Parameters
    ----------
    path : path
        The sheet; begun if it is not there.
    answers : DataFrame
        As of `load_answers`, of one model and elicitation method. Those without a confidence are
        no part of the pool.
    risk, delta, budget, seed
        As in `medcal_nb.measure.certify`. None: what the sheet was begun with.

    Raises
    ------
    MedcalError
        If the sheet is of other answers or another plan, or a grade cannot be read: all is named
        by row.
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
        self.pool = _pool(answers, path)
        self._bytes = path.read_bytes() if path.exists() else b""
        self.rows = read_sheet(path) if self._bytes else pd.DataFrame()
        wanted = {"risk": risk, "delta": delta, "budget": budget, "seed": seed}
        self.plan = self._planned(wanted)
        self.grades = self.pool["correct"].to_numpy(float, na_value=np.nan)
        self.n_ungradable = 0
        self.n_filled = self._grades_of_rows()

    def _planned(self, wanted: dict[str, float | None]) -> Plan:
        """The plan of the sheet, which what is wanted may not contradict."""
        pool = _hash(self.pool)
        if self.rows.empty:
            if wanted["risk"] is None:
                raise MedcalError(f"{self.path}: to be begun: say --risk, such as 0.2")
            return Plan(
                risk=wanted["risk"],
                delta=_or(wanted["delta"], 0.1),
                budget=int(_or(wanted["budget"], 400)),
                seed=int(_or(wanted["seed"], 0)),
                pool=pool,
            )
        texts = self.rows[PLAN].dropna().unique()
        if len(texts) != 1:
            raise MedcalError(
                f"{self.path}: column '{PLAN}' must say the same in every row; put it back"
            )
        plan = Plan.of(texts[0], self.path)
        for name, value in wanted.items():
            if value is not None and value != getattr(plan, name):
                raise MedcalError(
                    f"{self.path}: was begun with {name}={getattr(plan, name)}, not {value}; a "
                    "certificate holds only as it was begun: leave the option out, or begin anew "
                    "on answers that nobody has graded"
                )
        if plan.pool != pool:
            raise MedcalError(
                f"{self.path}: was begun with other answers than these; a certificate holds only "
                "for the pool that it was begun with: bring that file back, or begin anew"
            )
        return plan

    def _grades_of_rows(self) -> int:
        """Take the grades of the sheet over; return how many there are."""
        if self.rows.empty:
            return 0
        words = self.rows[GRADE].str.strip().str.casefold()
        is_filled = words.notna() & (words != "")
        place = pd.MultiIndex.from_frame(self.pool[KEY]).get_indexer(
            pd.MultiIndex.from_frame(self.rows[KEY])
        )
        self._refuse(place < 0, "is no answer of the pool", "item_id")
        is_known = words.isin(_RIGHT | _WRONG)
        remedy = f"is no grade: write 1 (right), 0 (wrong) or {UNGRADABLE} (cannot be graded)"
        self._refuse(is_filled & ~is_known, remedy, GRADE)
        right = words.isin(_RIGHT).to_numpy(float)
        filled = pd.Series(right, place)[is_filled.to_numpy()]
        # of one answer
        is_twice = (filled.groupby(level=0).nunique() > 1).reindex(
            place, fill_value=False
        )
        self._refuse(is_twice, "has two grades; leave one", "item_id")
        self.grades[filled.index] = filled
        self.n_ungradable = int((words == UNGRADABLE).sum())
        return filled.index.nunique()

    def _refuse(
        self, is_bad: pd.Series | np.ndarray, problem: str, column: str
    ) -> None:
        """Name the rows of the sheet in which something is wrong."""
        bad = np.flatnonzero(np.asarray(is_bad, dtype=bool))
        if bad.size:
            shown = [
                f"row {i + 1} ({self.rows[column].iloc[i]!r})" for i in bad[:_MOST_TOLD]
            ]
            more = (
                f" and {bad.size - _MOST_TOLD:,} more" if bad.size > _MOST_TOLD else ""
            )
            raise MedcalError(f"{self.path}: {', '.join(shown)}{more} {problem}")

    def stand(self, batch: int) -> Certificate:
        """Where the certificate stands, and so many answers to grade next."""
        stand = certify(
            self.pool["confidence"],
            self.grades,
            risk=self.plan.risk,
            delta=self.plan.delta,
            budget=self.plan.budget,
            groups=self.pool["image_id"].fillna(self.pool["item_id"]),
            seed=self.plan.seed,
            batch=batch,
        )
        left = self.plan.budget - max(self.n_filled, stand.n_graded)
        asked = stand.next[: max(min(batch, left), 0)]
        is_over = stand.state == "grading" and not asked.size
        return stand._replace(
            next=asked, state="budget used" if is_over else stand.state
        )

    def write_next(self, stand: Certificate) -> int:
        """Add the answers to grade next below the rows that are there; return how many they are.

        What stands in the sheet is written again as it was read.
        """
        if not stand.next.size:
            return 0
        asked = self.pool.iloc[stand.next]
        new = asked.reindex(columns=[*KEY, *SHOWN]).dropna(axis=1, how="all")
        new = new.astype(TEXT).assign(**{GRADE: None, PLAN: str(self.plan)})
        rows = new
        if not self.rows.empty:
            there = pd.MultiIndex.from_frame(self.rows[KEY])
            is_new = ~pd.MultiIndex.from_frame(new[KEY]).isin(there)
            if not is_new.any():
                return len(new)
            rows = pd.concat([self.rows, new[is_new]])
        now = self.path.read_bytes() if self.path.exists() else b""
        if now != self._bytes:
            raise MedcalError(f"{self.path}: was changed meanwhile; run it again")
        write_table(rows.astype(TEXT), self.path, force=True)
        return len(new)

    def write_threshold(self, stand: Certificate, to: Path) -> None:
        """Write the threshold and its certificate for a program."""
        if to.exists() and '"pool"' not in to.read_text("utf-8", errors="replace"):
            raise MedcalError(f"{to}: is no threshold of ours; move it away")
        content = {
            "threshold": stand.threshold if stand.n else None,
            "coverage": stand.coverage,
            "n_graded": stand.n_graded,
            "n": stand.n,
            "errors": stand.errors,
            "state": stand.state,
            **self.plan._asdict(),
            "sentence": stand.sentence,
        }
        with new_file(to, force=True) as part:
            text = json.dumps(content, indent=1, ensure_ascii=False)
            part.write_text(f"{text}\n", encoding="utf-8")


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _pool(answers: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The answers that have a confidence, in an order of their own."""
    pairs = answers[["model", "strategy"]].drop_duplicates()
    if len(pairs) > 1:
        model, strategy = pairs.iloc[0]
        raise MedcalError(
            f"{path}: the answers are of {len(pairs)} models or elicitation methods, a threshold "
            f"is for one: say --rows \"model == '{model}' and strategy == '{strategy}'\""
        )
    pool = answers.dropna(subset="confidence").sort_values(KEY, ignore_index=True)
    if pool.empty:
        raise MedcalError(
            f"{path}: no answer has a confidence, so there is no threshold"
        )
    return pool.astype({"correct": "boolean"})


def _hash(pool: pd.DataFrame) -> str:
    """Twelve digits that tell a pool from another."""
    names = ["model", "strategy", *KEY, "image_id", "confidence"]
    rows = pd.util.hash_pandas_object(
        pool[names].astype({"confidence": float}), index=False
    )
    return hashlib.sha256(rows.to_numpy().tobytes()).hexdigest()[:12]


def read_sheet(path: Path) -> pd.DataFrame:
    """A sheet, all its cells as texts."""
    rows = read_source(path)
    for name in [*KEY, GRADE, PLAN]:
        if name not in rows:
            raise MedcalError(
                f"{path}: no column '{name}': not a sheet of `medcal certify`, or a column of it "
                "was renamed; put it back"
            )
    return rows.astype(TEXT)
