"""Answers that no rule grades: written for a person to grade, and taken back."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from medcal_nb.errors import MedcalError
from medcal_nb.files import PathLike
from medcal_nb.measure import metric_bounds
from medcal_nb.tables import as_in_sheet, read_sheet, sheet_beside, write_sheet
from medcal_nb.tables.columns import TEXT, flags, of_file, texts
from medcal_nb.wording import in_shell

#: Share of answers without a grade above which numbers are shown between their bounds.
UNGRADED = 0.02
#: What a person compares, and what names the case of it where a column does.
_CASE = ["question", "reply", "gold"]
_WHERE = ["item_id", "image_id"]


def write_undecided(
    answers: pd.DataFrame, to: PathLike, of: PathLike | None = None
) -> list[str]:
    """Write what no rule has graded beside an output, each case of an item and image once.

    An answer without a gold answer is none of them: no rule was asked.

    Parameters
    ----------
    answers : DataFrame
        As of `medcal_nb.answers.load_answers`.
    to : path
        The output. ``answers.csv`` has its cases in ``answers.undecided.csv``.
    of : path, optional
        The table of the answers, in whose form a new file is written; ``to`` if left out.

    Returns
    -------
    list of str
        Empty where every reply with a gold answer is graded, and where nothing was graded here;
        else a sentence on what to do with the file. Its columns are ``item_id`` and ``image_id``
        where a column of the answers names them, ``question``, ``reply``, ``gold``, ``times`` (how
        many answers the row is) and ``correct``, to be filled with 1 or 0 and taken back by
        ``grades=``. What has been filled in a file that is there stays in it.

    Raises
    ------
    MedcalError
        If the file that is there is another one.

    Examples
    --------
    >>> table = {"item_id": [1, 2], "answer": ["an opacity", "no"], "gold": ["lung", "no"]}
    >>> pd.DataFrame(table | {"confidence": 0.9}).to_csv("mine.csv", index=False)
    >>> from medcal_nb.answers import load_answers
    >>> write_undecided(load_answers("mine.csv"), "mine.csv")  # doctest: +ELLIPSIS
    ["undecided answers (1, in 1 rows) are in mine.undecided.csv: fill in 'correct' (1 or 0), ...
    """
    if "grading" not in answers.attrs:
        return []
    cases = _cases(answers)
    cases = cases[answers["correct"].isna()].dropna(subset=["reply", "gold"])
    if cases.empty:
        return []
    rows = _rows_of(cases)
    of = of or to
    path = sheet_beside(to, "undecided", of)
    if path.exists():
        filled = _read(path).dropna(subset="correct")
        # a file may name no item and no image: its grades are of all with these texts
        keys = [name for name in cases if name in filled]
        filled = filled.drop_duplicates(keys)
        grades = filled.set_index(keys)["correct"]
        rows["correct"] = rows[keys].join(grades, on=keys)["correct"]
        others = filled.merge(rows[keys], on=keys, how="left", indicator=True)
        others = others[others.pop("_merge") == "left_only"]
        rows = pd.concat([rows, others])
    write_sheet(rows, path, of, force=True)
    named = in_shell(f"grades={path}")
    return [
        f"undecided answers ({len(cases):,}, in {len(rows):,} rows) are in {path}: fill in "
        f"'correct' (1 or 0), as far as you like, and give it back by -c {named}"
    ]


def _rows_of(cases: pd.DataFrame) -> pd.DataFrame:
    """Different cases, those with the same texts one below the other, the most frequent first."""
    cases = cases.fillna("")
    alike = cases.groupby(_CASE)["reply"].transform("size")
    cases = cases.assign(alike=-alike)
    order = ["alike", *_CASE, *[name for name in _WHERE if name in cases]]
    rows = cases.value_counts(order, sort=False).rename("times").reset_index()
    rows = rows.sort_values(order)[[*cases.columns.drop("alike"), "times"]]
    rows["correct"] = pd.Series(None, rows.index, dtype=TEXT)
    return rows


def with_grades(answers: pd.DataFrame, path: PathLike) -> pd.DataFrame:
    """Grade by hand what no rule has graded.

    Parameters
    ----------
    answers : DataFrame
        With ``answer``, ``gold`` and ``correct``.
    path : path
        A file of `write_undecided`, ``correct`` filled in where a person has decided.

    Returns
    -------
    DataFrame
        The answers; what is graded already stays so. ``attrs["assumed"]`` has a sentence more.

    Raises
    ------
    MedcalError
        If the file is another one, a grade is none, or one case has two grades.
    """
    graded = _read(path).dropna(subset="correct")
    with of_file(path):
        graded["correct"] = flags(graded["correct"], "correct")
    cases = _cases(answers).fillna("")
    keys = [name for name in cases if name in graded]
    graded = graded.drop_duplicates([*keys, "correct"])
    twice = graded[graded.duplicated(keys)]
    if len(twice):
        case = " | ".join(twice[keys].iloc[0])
        raise MedcalError(f"{path}: two grades of one case ({case:.60}); leave one")
    by_hand = graded.set_index(keys)["correct"].rename("by_hand")
    cases = cases.join(by_hand, on=keys)
    is_open = answers["correct"].isna()
    n_graded = cases["by_hand"][is_open].count()
    is_known = by_hand.index.isin(cases.set_index(keys).index)
    answers["correct"] = answers["correct"].fillna(cases["by_hand"])
    sentence = f"{n_graded:,} answers graded by hand in {path}"
    if not is_known.all():
        sentence += f"; of its {len(by_hand):,} grades {(~is_known).sum():,} are of no answer here"
    answers.attrs["assumed"].append(sentence)
    return answers


def with_bounds(
    table: pd.DataFrame,
    answers: pd.DataFrame,
    by: list[str],
    metrics: Sequence[str] = (),
) -> pd.DataFrame:
    """A table of metrics with the bounds of accuracy and overconfidence of each group.

    The bounds are these numbers if all ungraded answers were wrong, and if all were right. What no
    rule could grade is not graded at random, so that a mean of the others may be far off.

    Parameters
    ----------
    table : DataFrame
        One row a group, as of `medcal_nb.measure.metrics_table`.
    answers : DataFrame
    by : list of str
        Columns that make the groups.
    metrics : sequence of str
        Further ones whose bounds are added (`medcal_nb.measure.metric_bounds`).

    Returns
    -------
    DataFrame
        The table, and of each group's answers with a confidence, missing where at most 2 % of
        them are ungraded:

        - n_ungraded: how many are
        - accuracy_least, accuracy_most: share right
        - gap_least, gap_most: mean confidence minus these
        - <metric>_least, <metric>_most: of each further one

    Examples
    --------
    >>> rows = {"model": "m", "confidence": 0.5, "correct": [True, False, None, None]}
    >>> answers = pd.DataFrame(rows).astype({"correct": "boolean"})
    >>> with_bounds(pd.DataFrame({"model": ["m"]}), answers, ["model"]).values.tolist()
    [['m', 2.0, 0.25, 0.75, -0.25, 0.25]]
    """
    stated = answers.dropna(subset="confidence").astype({"correct": float})
    # all of them are group 0, the one row of such a table
    groups = stated.groupby(by or (lambda _: 0), observed=True, dropna=False)
    n = groups.size()
    n_ungraded = n - groups["correct"].count()
    least = groups["correct"].sum() / n
    most = least + n_ungraded / n
    mean = groups["confidence"].mean()
    ends = pd.DataFrame({"n_ungraded": n_ungraded.astype(float)})
    ends["accuracy_least"] = least
    ends["accuracy_most"] = most
    ends["gap_least"] = mean - most
    ends["gap_most"] = mean - least
    is_open = n_ungraded > UNGRADED * n
    parts = [rows for (_, rows), is_one in zip(groups, is_open, strict=True) if is_one]
    ends = ends[is_open]
    for name in metrics:
        if f"{name}_least" not in ends:
            bounds = [metric_bounds(r["confidence"], r["correct"], name) for r in parts]
            ends[[f"{name}_least", f"{name}_most"]] = np.reshape(bounds, (-1, 2))
    return table.join(ends, on=by or None)


def _cases(answers: pd.DataFrame) -> pd.DataFrame:
    """What a person grades of each answer: where it is, the question, the reply, the gold."""
    table = answers.reindex(columns=["question", "raw", "answer", "gold"]).astype(TEXT)
    table["reply"] = table["raw"].fillna(table["answer"])
    taken = answers.attrs.get("taken", {}).values()
    where = [name for name in _WHERE if name in taken and name in answers]
    cases = pd.concat([answers[where].astype(TEXT), table[_CASE]], axis=1)
    return cases.apply(as_in_sheet)


def _read(path: PathLike) -> pd.DataFrame:
    """A file of `write_undecided`, as texts."""
    names = [*_CASE, "times", "correct"]
    table = read_sheet(path, names, "no file of undecided answers")
    with of_file(path):
        for name in {*_CASE, *_WHERE} & {*table}:
            table[name] = as_in_sheet(texts(table[name], name)).fillna("")
    return table
