"""The door: answers of a recorded study or of any file, as one checked table."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from medcal_nb.answers import cells
from medcal_nb.answers.cells import TEXT, Place
from medcal_nb.answers.meaning import (
    check_grades,
    check_images,
    check_of_answer,
    check_repeats,
    choices,
    confidences,
)
from medcal_nb.answers.recognition import (
    COLUMN_OR_VALUE,
    check_enough,
    option_scores,
    quoted,
    recognise,
)
from medcal_nb.answers.recorded import RECORDED, load_recorded
from medcal_nb.answers.samples import KEY, one_answer_an_item
from medcal_nb.answers.tables import read_table
from medcal_nb.errors import MedcalError
from medcal_nb.files import PathLike
from medcal_nb.grading import grade_table

ANSWER_COLUMNS = (
    "run_id model dataset domain item_id image_id modality question_type split strategy sample "
    "answer confidence option_probabilities correct gold raw parse_ok prompt_tokens new_tokens "
    "seconds"
).split()
"""Columns of answers, in order. Others may follow them and are kept."""

GRADED_COLUMNS = (
    "model dataset domain item_id image_id modality question_type split strategy answer gold "
    "confidence correct"
).split()
"""Columns that every table of `load_answers` has."""

_NAMES = ("model", "dataset", "strategy", "item_id", "image_id")
_TEXTS = ("domain", "modality", "question_type", "split", "answer", "raw", "run_id", "reader")
_KINDS = ("closed", "choice", "open")
"""Types of questions that are graded by rules of their own."""


def load_answers(
    source: PathLike,
    *,
    scale: str | float | None = None,
    logits: list[str] | None = None,
    probabilities: list[str] | None = None,
    sheet: str | None = None,
    grade: str | None = None,
    **columns: str,
) -> pd.DataFrame:
    """Graded answers of a recorded study by its name, or of any file.

    Parameters
    ----------
    source : str or path
        A name of `recorded.RECORDED`, or a file: .csv, .tsv, .xlsx, .parquet, .jsonl, .json, an
        answers log (.sqlite) or the log of an evaluation tool that `medcal_nb.logs` knows.
    scale : str or float, optional
        The scale of the confidence where it is none of 0 to 1 and plainly percent: its upper end
        (``100``, ``10``) or both (``"1-5"``).
    logits, probabilities : list of str, optional
        Columns of one score for each option, named by the option after the last ``_``: logits or
        log-probabilities, of which the softmax is taken, or probabilities. The answer is the
        option of the largest, the confidence its probability.
    sheet : str, optional
        Which sheet of an Excel file that has several.
    grade : str, optional
        Which metric of a log tells right from wrong, where it holds several; names with commas
        between them: the first that there is.
    **columns : str
        Which column of the file is which of ours, where its name does not say: ``item_id="case"``.
        For ``model``, ``dataset``, ``domain``, ``split`` and ``strategy`` also one value for all
        rows. ``""``: there is none.

    Returns
    -------
    DataFrame
        One row a model, data set, item and elicitation method, with the columns of
        `GRADED_COLUMNS` and all others of the file.

        - item_id, image_id, model, dataset, strategy: in one normal form
        - confidence: of the answer to be right, 0 to 1, NaN where none was stated
        - correct: nullable boolean, missing where ungraded
        - gold: a text, or a JSON list of texts that count as right

        ``attrs["assumed"]`` is a list of sentences: what was taken for what, what was assumed,
        what is missing. ``attrs["grading"]`` is that of `grade_table` where answers were graded
        here.

    Raises
    ------
    MedcalError
        Naming file, row (data rows counted from 1), column, value and remedy.

    Examples
    --------
    >>> table = pd.DataFrame({"case": ["a", "b"], "conf": [90, 60], "right": [1, 0]})
    >>> table.to_csv("mine.csv", index=False)
    >>> answers = load_answers("mine.csv")
    >>> answers[["item_id", "confidence", "correct"]]
      item_id  confidence  correct
    0       a         0.9     True
    1       b         0.6    False
    >>> answers.attrs["assumed"][0]
    "confidence from 'conf' (percent), correct from 'right', item_id from 'case'"
    """
    if str(source) in RECORDED:
        return load_recorded(str(source))
    answers = read_answers(
        source,
        scale=scale,
        logits=logits,
        probabilities=probabilities,
        sheet=sheet,
        grade=grade,
        **columns,
    )
    assumed = answers.attrs["assumed"] + _missing(answers)
    about = answers.attrs | {"assumed": assumed}
    one = one_answer_an_item(answers, str(source))
    names = [*GRADED_COLUMNS, *(name for name in one if name not in GRADED_COLUMNS)]
    one = one.reindex(columns=[name for name in names if name != "sample"])
    for name in GRADED_COLUMNS:
        if name not in answers:
            one[name] = one[name].astype(TEXT)
    one.attrs = about
    return one


def read_answers(
    source: PathLike,
    *,
    scale: str | float | None = None,
    logits: list[str] | None = None,
    probabilities: list[str] | None = None,
    sheet: str | None = None,
    grade: str | None = None,
    **columns: str,
) -> pd.DataFrame:
    """All answers of a file, several samples of one as they are; parameters as `load_answers`."""
    file = str(source)
    raw = read_table(source, sheet)
    assumed: list[str] = []
    scores = probabilities or logits or []
    if not scores and not columns.get("confidence"):
        scores = option_scores(raw.columns)
        scores = scores if len(scores) > 1 else []
    if scores:
        chosen, notes = choices(raw, scores, file, are_probabilities=bool(probabilities))
        assumed.append(f"confidence from the scores of options {quoted(scores)}")
        assumed += notes
        raw = raw.drop(columns=scores).assign(**chosen)
        own = {"answer": "answer", "confidence": "confidence"}
        columns = own | {"strategy": "option_probability"} | columns
        scale = scale or 1
    taken, asked = recognise(raw, columns, file)
    check_enough(raw, taken, file)
    if "item_id" not in taken:
        check_repeats(raw, taken, file)
    return checked(raw, taken, columns, file, scale=scale, assumed=[*assumed, *asked])


def checked(
    raw: pd.DataFrame,
    taken: Mapping[str, str],
    named: Mapping[str, str],
    file: str,
    *,
    scale: str | float | None = None,
    assumed: list[str] | None = None,
    first_row: int = 1,
) -> pd.DataFrame:
    """A table with our columns, every value of them checked and in one form.

    Parameters
    ----------
    raw : DataFrame
    taken : mapping
        Of our columns to its own.
    named : mapping
        What the user said of ours: columns, or one value for all rows.
    file : str
        For messages.
    scale : str or float, optional
        As of `load_answers`.
    assumed : list of str, optional
        What is known to be assumed already.
    first_row : int
        Number of the first row.
    """
    n = len(raw)
    place = {ours: Place(file, theirs, first_row) for ours, theirs in taken.items()}
    values = {ours: raw[theirs] for ours, theirs in taken.items()}
    if "reader" in values and "model" not in values and not named.get("model"):
        values["model"] = values["reader"]  # a person answers in the place of a model
        place["model"] = place["reader"]
    assumed = list(assumed or [])
    out: dict[str, pd.Series] = {}
    for name in _NAMES:
        if name in values:
            column = cells.names(values[name], place[name])
            _check_name(column, values[name], place[name], name)
            out[name] = column
        elif name in COLUMN_OR_VALUE:
            usual = {"model": "unnamed", "strategy": "stated"}
            usual["dataset"] = Path(file).name.split(".")[0]
            value = named.get(name) or usual[name]
            out[name] = pd.Series(value, index=raw.index, dtype=TEXT)
            if not named.get(name) and name != "strategy":
                assumed.append(f"no column '{name}': it is '{value}'")
    if "item_id" not in out:
        numbered = pd.Series(range(first_row, first_row + n), index=raw.index)
        out["item_id"] = numbered.astype(TEXT)
        assumed.append("no column of items: rows are numbered")
    for name in _TEXTS:
        if name in values:
            out[name] = cells.texts(values[name], place[name])
        elif named.get(name):
            out[name] = pd.Series(named[name], index=raw.index, dtype=TEXT)
    if "gold" in values:
        out["gold"] = cells.golds(values["gold"], place["gold"])
    word = ""
    if "confidence" in values:
        shares, word = confidences(
            values["confidence"], scale, out["model"], place["confidence"]
        )
        out["confidence"] = pd.Series(shares, index=raw.index)
    if "correct" in values:
        out["correct"] = cells.flags(values["correct"], place["correct"])
    left_out = _optional(values, place, out)
    table = pd.DataFrame(out)
    if "correct" in table:
        assumed += check_grades(table, place["correct"].column, file)
    elif {"answer", "gold"} <= {*table}:
        table = _graded(table, values.get("options"))
    for name in ("confidence", "correct"):
        if name not in table:
            table[name] = pd.Series(np.nan, index=raw.index)
    table["correct"] = table["correct"].astype("boolean")
    check_of_answer(table, file)
    check_images(table, file)
    _check_keys(table, file, first_row)
    used = {*taken.values()}
    others = [name for name in raw if name not in used and name not in table]
    hidden = [name for name in raw if name not in used and name in table]
    table = pd.concat([table, raw[others]], axis=1) if others else table
    told = [f"{ours} from '{theirs}'" for ours, theirs in taken.items() if ours != theirs]
    told = [t + f" ({word})" if word and t.startswith("confidence") else t for t in told]
    if word and "confidence" == taken.get("confidence"):
        told.insert(0, f"confidence ({word})")
    if told:
        told.sort(key=lambda text: not text.startswith(("confidence", "correct")))
        assumed.insert(0, ", ".join(told))
    if left_out or hidden:
        assumed.append(f"left out: {quoted([*left_out, *hidden])}")
    if "image_id" not in table:
        assumed.append("no image named: intervals are by answer")
    order = [name for name in ANSWER_COLUMNS if name in table]
    table = table[[*order, *(name for name in table if name not in order)]]
    table.attrs["assumed"] = assumed
    return table


def _graded(table, options):
    kinds = table.get("question_type", pd.Series(None, table.index, dtype=TEXT))
    kinds = kinds.str.casefold()
    asked = table[["answer", "gold"]].assign(question_type=kinds.where(kinds.isin(_KINDS)))
    if options is not None:
        asked["options"] = options
    graded = grade_table(asked)
    table = table.assign(correct=graded["correct"])
    table.attrs = graded.attrs
    return table


def _optional(values, place, out):
    """Add columns that nothing hangs on; those that hold something else are left out."""
    readers = {
        "sample": cells.counts,
        "prompt_tokens": cells.counts,
        "new_tokens": cells.counts,
        "seconds": cells.amounts,
        "parse_ok": cells.flags,
        "option_probabilities": cells.option_tables,
    }
    left_out = []
    for name, read in readers.items():
        if name in values:
            try:
                out[name] = read(values[name], place[name])
            except MedcalError:
                left_out.append(place[name].column)
    return left_out


def _check_name(column, values, place, name):
    """Refuse names that are missing, and models that differ by nothing but case."""
    if name != "image_id":
        remedy = "every answer needs one text here, it is part of the key"
        place.refuse(values, column.isna(), "is missing", remedy)
    if name in ("model", "dataset", "strategy"):
        first = {}
        for text in column.drop_duplicates():
            other = first.setdefault(text.casefold(), text)
            if other != text:
                problem = f"and {other!r} differ by case"
                place.refuse(values, column == text, problem, "write one name")


def _check_keys(table, file, first_row):
    key = [*KEY, "sample"] if "sample" in table else KEY
    twice = table.duplicated(key, keep=False)
    if twice.any():
        at = int(twice.argmax())
        same = (table[key] == table[key].iloc[at]).all(axis=1).to_numpy()
        rows = np.flatnonzero(same)[:2] + first_row
        shown = ", ".join(f"{name}={table[name].iloc[at]}" for name in key)
        raise MedcalError(
            f"{file}: rows {rows[0]} and {rows[1]} are the same answer ({shown}); drop one, or "
            "number repeated replies in a column 'sample'"
        )


def _missing(answers):
    """What is missing, in sentences: how many, and how right those are."""
    lacking = answers["confidence"].isna()
    ungraded = answers["correct"].isna()
    sentences = []
    if lacking.any():
        right = answers["correct"].groupby(lacking).mean()
        sentence = f"{lacking.sum():,} of {len(answers):,} answers have no confidence"
        if len(right) == 2 and right.notna().all():
            sentence += f": {right[True]:.0%} of them are right, {right[False]:.0%} of the others"
        sentences.append(sentence)
    if ungraded.any():
        sentences.append(f"{ungraded.sum():,} of {len(answers):,} answers are not graded")
    return sentences
