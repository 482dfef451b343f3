"""The grading page: one file on which a certificate is graded in one sitting."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from medcal_nb.certify.certification import Certification
from medcal_nb.certify.design import Design, Rule
from medcal_nb.certify.ends import REFUTED, plain_of
from medcal_nb.certify.ledger import PAGE
from medcal_nb.certify.methods import with_shared_grades
from medcal_nb.certify.pool import METHOD
from medcal_nb.certify.rule import HOPELESS, order_of_grading
from medcal_nb.certify.sheets import shown_of
from medcal_nb.errors import MedcalError
from medcal_nb.files import new_file
from medcal_nb.measure.rows import parts_by
from medcal_nb.reader.cases import in_folder
from medcal_nb.reader.page import page_text, picture

#: Characters of all images that a browser still opens as one page.
_LARGEST = 300_000_000
_FOLDER = Path(__file__).parent


def write_page(
    run: Certification, *, own_answer: bool = False, only: int | None = None
) -> str:
    """Write the page of a certificate beside its answers; return what it holds.

    A grader presses 1, 0 or ?; the page runs the certifying test after each grade, asks the next
    answer that the test needs, and stops where it needs none. It holds no confidence, also none
    that a reply states. What was graded is kept in the browser and downloaded as a chain of lines,
    which `medcal certify` checks and takes in.

    Parameters
    ----------
    run : Certification
        What is graded already is not asked again.
    own_answer : bool
        The grader answers before the model's answer is shown.
    only : int, optional
        The answers that the next so many grades may ask for; all that may be asked if None.

    Returns
    -------
    str

    Raises
    ------
    MedcalError
        If nothing is to be graded, or an image that the table names cannot be shown.
    """
    test = test_of(run)
    if only is not None:
        wanted = run.stand(only).next
        first = [test.case_of_row[row] for row in wanted]
    else:
        graded = test.known | test.of_table
        first = [case for case in test.asked if case not in graded]
    if not first:
        raise MedcalError(
            f"{run.places.page}: nothing is left to grade: run `medcal certify` without --page"
        )
    # cases by hash: their places tell nothing
    first.sort(key=lambda case: run.pool.contents[test.rows[case]])
    cases, note = _cases(run, [test.rows[case] for case in first])
    number = {case: k for k, case in enumerate(first)}
    for case in test.asked:
        number.setdefault(case, len(number))
    tables = test.as_json(number)
    plan = run.plan
    data = {
        "name": run.places.ledger.name.removesuffix(".certificate.jsonl"),
        "plan": run.ledger.plan_hash,
        "own": own_answer,
        "cases": cases,
        "ends": plain_of(plan["risk"], plan["delta"], run.pool.n_cases, plan["budget"]),
        # not to be read in passing
        "test": base64.b64encode(json.dumps(tables).encode()).decode(),
    }
    data["set"] = hashlib.sha256(json.dumps(data).encode()).hexdigest()[:16]
    scripts = [_FOLDER / name for name in ("sha256.js", "rule.js", "page.js")]
    with new_file(run.places.page, force=True) as part:
        text = page_text(data, body=_FOLDER / "page.html", scripts=scripts)
        part.write_text(text, encoding="utf-8")
    run.ledger.append({"kind": PAGE, "file": run.places.page.name})
    return f"{len(cases)} answers that may be asked, {note}"


class _Test(NamedTuple):
    """The certifying test of a certificate, for a program that counts and looks up."""

    sequences: list[dict[str, Any]]
    constants: dict[str, float]
    rows: dict[int, int]  # a row of the pool, by number of the case
    case_of_row: dict[int, int]
    known: dict[int, int]  # grades, by number of the case
    of_table: dict[int, int]  # grades that the table has, taken when they are asked for

    @property
    def asked(self) -> list[int]:
        """Cases that may be asked."""
        cases = [case for sequence in self.sequences for case in sequence["order"]]
        return [*dict.fromkeys(cases)]

    def as_json(self, number: dict[int, int]) -> dict[str, Any]:
        """Its tables, with cases of other numbers."""
        sequences = []
        for sequence in self.sequences:
            order = [number[case] for case in sequence["order"]]
            sequences.append(sequence | {"order": order})
        grades = {}
        for name, known in (("known", self.known), ("of_table", self.of_table)):
            grades[name] = {number[k]: known[k] for k in number if k in known}
        return {"sequences": sequences, **grades, **self.constants}


def test_of(run: Certification) -> _Test:
    """The tables of the certifying test.

    Returns
    -------
    _Test
        ``sequences``, one a method: ``order``, cases that may be asked in the order of grading;
        ``first``, the first group that holds each; ``groups``, of each the ``horizon``, grades at
        most, the starts that it ``opens``, and of 1, 2, … open starts the ``steps``, grades after
        which 0, 1, … errors are allowed; ``coverages`` of the groups.
    """
    plan = run.plan
    table = with_shared_grades(run.pool.rows.assign(correct=run.grades), METHOD)
    items = table.drop_duplicates("item").sort_values("item")
    order = order_of_grading(items["image"], len(items), plan["seed"])
    parts = parts_by(table, METHOD)
    rule = Rule(
        risk=plan["risk"],
        delta=plan["delta"] / len(parts),
        budget=plan["budget"],
        starts=plan["starts"],
    )
    sequences = []
    for _, part in parts:
        place = pd.Series(np.arange(len(part)), part["item"])
        in_order = part.iloc[place.reindex(order).dropna().to_numpy(np.intp)]
        design = Design(in_order["confidence"].to_numpy(float), rule)
        sequence = _sequence(design, in_order["graded"].to_numpy())
        of_all = part["confidence"].to_numpy(float)
        sequence["coverages"] = [
            float((of_all >= group.lowest).mean()) for group in design.groups()
        ]
        sequences.append(sequence)
    graded = table[table["correct"].notna()]
    rows = dict(zip(table["graded"], table["row"], strict=True))
    of_table = {case: run.grades_of_table[row] for case, row in rows.items()}
    return _Test(
        sequences=sequences,
        constants={
            "risk": plan["risk"],
            "budget": plan["budget"],
            "budget_in_all": plan["budget"],
            "n_known": graded["graded"].nunique(),
            "hopeless": HOPELESS,
            "refuted": REFUTED,
        },
        rows=rows,
        case_of_row=dict(zip(table["row"], table["graded"], strict=True)),
        known=dict(zip(graded["graded"], graded["correct"].astype(int), strict=True)),
        of_table={
            k: int(grade) for k, grade in of_table.items() if not np.isnan(grade)
        },
    )


def _sequence(design: Design, cases: np.ndarray) -> dict[str, Any]:
    """Order, groups and allowances of one method, of the answers that it may ask."""
    first = np.full(cases.size, -1)
    groups = []
    n_begun = 0
    for number, group in enumerate(design.groups()):
        asked = design.sample(group)
        first[asked[first[asked] < 0]] = number
        n_begun += group.opens
        steps = []
        for n_open in range(1, n_begun + 1):
            allowed = design.allowed(group, n_open, n_begun)
            errors = np.arange(allowed[-1] + 1)
            steps.append((allowed.searchsorted(errors) + 1).tolist())
        groups.append({"horizon": group.horizon, "opens": group.opens, "steps": steps})
    is_asked = first >= 0
    return {
        "order": cases[is_asked].tolist(),
        "first": first[is_asked].tolist(),
        "groups": groups,
    }


def _cases(run: Certification, rows: list[int]) -> tuple[list[dict], str]:
    """What a page shows of some rows of the pool, and a sentence on their images."""
    of_rows = run.pool.rows.iloc[rows]
    table = pd.concat([of_rows["item_id"], shown_of(of_rows)], axis=1)
    table = table.astype(object).where(table.notna(), None)
    folder = run.places.page.resolve().parent
    cases = []
    missing = []
    for row, one in zip(rows, table.to_dict("records"), strict=True):
        named = one["image"] or one["image_id"]
        image = picture(in_folder(folder, named))
        if one["image"] and not image:
            missing.append(f"{one['image']} of {one['item_id']}")
        at = f", image {one['image_id']}" if one["image_id"] else ""
        cases.append(
            {
                "row": run.pool.contents[row],
                "where": f"item {one['item_id']}{at}",
                "question": one["question"] or "",
                "answer": one["answer"] or "",
                "gold": str(one["gold"] or ""),
                "image": image,
            }
        )
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise MedcalError(
            f"{run.places.page}: images cannot be shown: {', '.join(missing[:5])}{more}; put them "
            f"into {folder} or below (PNG or JPEG), as the column image names them"
        )
    n = sum(bool(case["image"]) for case in cases)
    size = sum(len(case["image"]) for case in cases)
    if size > _LARGEST:
        raise MedcalError(
            f"{run.places.page}: its {n} images are {size / 1e6:,.0f} MB, too much for a browser: "
            f"say --batch {max(int(len(cases) * _LARGEST / size), 1)}, which holds fewer answers"
        )
    note = f"{n} with an image"
    if not n:
        note = (
            "without images (a column image with their files puts them on the page; else it names "
            "item and image, to be looked up)"
        )
    return cases, note
