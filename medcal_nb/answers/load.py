"""The door: answers of a recorded study or of any file, as one checked table."""

from pathlib import Path
from typing import Any

import pandas as pd

from medcal_nb.answers.cells import KNOWN, TEXT
from medcal_nb.answers.check import ANSWER_COLUMNS, checked
from medcal_nb.answers.log import AnswerLog, is_log
from medcal_nb.answers.meaning import (
    check_correct,
    check_images,
    check_of_answer,
    check_repeats,
    choices,
)
from medcal_nb.answers.recognition import NAMES, option_scores, recognise
from medcal_nb.answers.recorded import load_recorded, recorded_names
from medcal_nb.answers.samples import one_answer_an_item
from medcal_nb.answers.tables import read_source, table_of
from medcal_nb.errors import MedcalError, check_known, did_you_mean
from medcal_nb.files import PathLike
from medcal_nb.grading import grade_table, is_correct
from medcal_nb.logs import Log, Reader, detect

#: Columns that every table of `load_answers` has.
GRADED_COLUMNS = [
    *("model", "dataset", "domain", "item_id", "image_id", "modality", "question_type"),
    *("split", "strategy", "answer", "gold", "confidence", "correct"),
]

#: Answers of which one is right, else gold answers are in other words.
_LEAST = 20
#: Types of questions that are graded by rules of their own.
_KINDS = ("closed", "choice", "open")


def load_answers(source: PathLike, **how: Any) -> pd.DataFrame:
    """Graded answers of a recorded study by its name, or of any file.

    Parameters
    ----------
    source : str or path
        A name of `recorded_names`, or a file: .csv, .tsv, .xlsx, .parquet, .jsonl, .json, an
        answers log (.sqlite) or the log of an evaluation tool that `medcal_nb.logs` knows.
    **how
        As of `read_answers`, for files.

    Returns
    -------
    DataFrame
        One row a model, data set, item and elicitation method, with the columns of
        `GRADED_COLUMNS` and all others of the file.

        - item_id, image_id, model, dataset, strategy: in one normal form
        - confidence: of the answer to be right, 0 to 1, NaN where there is none
        - correct: nullable boolean, missing where ungraded
        - gold: a text, or a JSON list of texts that count as right
        - n_answers: where a method gave several to an item, how many

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
    >>> answers = load_answers("mine.csv", model="gpt")
    >>> answers[["model", "item_id", "confidence", "correct"]]
      model item_id  confidence  correct
    0   gpt       a         0.9     True
    1   gpt       b         0.6    False
    >>> answers.attrs["assumed"][0]
    "confidence from 'conf' (percent), correct from 'right', item_id from 'case'"
    """
    name = str(source)
    if name in recorded_names():
        _leave_out(name, how)
        return load_recorded(name)
    hint = did_you_mean(name, recorded_names())
    if hint and not Path(source).exists():
        raise MedcalError(f"no file {name}, and no recorded answers{hint}")
    answers = read_answers(source, **how)
    for name in GRADED_COLUMNS:
        if name not in answers:
            answers[name] = pd.Series(None, answers.index, dtype=TEXT)
    about = answers.attrs | {"assumed": answers.attrs["assumed"] + _missing(answers)}
    table = one_answer_an_item(answers, str(source)).drop(
        columns="sample", errors="ignore"
    )
    table = table[
        [*GRADED_COLUMNS, *table.columns.difference(GRADED_COLUMNS, sort=False)]
    ]
    table.attrs = about
    return table


def read_answers(
    source: PathLike,
    *,
    scale: str | float | None = None,
    logits: str | list[str] = "",
    probabilities: str | list[str] = "",
    sheet: str | None = None,
    grade: str | None = None,
    **columns: str,
) -> pd.DataFrame:
    """All answers of a file, each of several samples by itself.

    Parameters
    ----------
    source : path
    scale : str or float, optional
        The scale of the confidence where it is neither 0 to 1 nor plainly percent: ``"percent"``,
        its upper end (``10``) or both (``"1-5"``).
    logits, probabilities : str or list of str
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
        As of `load_answers`, with a column ``sample`` where there are several of an answer.
    """
    file = str(source)
    for name in columns:
        check_known(name, NAMES, "column of ours")
    if is_log(source):
        answers = _of_log(source, columns)
    else:
        value = read_source(source, sheet)
        scores = _names(probabilities or logits)
        reader = None if columns.get("confidence") or scores else _reader_of(value)
        if reader is not None:
            answers = _of_reader(
                reader, value, Log(Path(source), value, grade), columns
            )
        else:
            rows = [value] if isinstance(value, dict) else value
            raw = rows if isinstance(rows, pd.DataFrame) else table_of(rows, file)
            answers = _of_table(raw, file, columns, scale, scores, bool(probabilities))
    if "image_id" in answers:
        check_images(answers, file)
    return answers


def _names(names: str | list[str]) -> list[str]:
    several = names.split(",") if isinstance(names, str) else names
    return [name.strip() for name in several if name.strip()]


def _leave_out(source: str, how: dict[str, Any]) -> None:
    if how:
        raise MedcalError(
            f"{source}: says itself what is what: leave out {', '.join(how)}"
        )


def _of_log(path: PathLike, columns: dict[str, str]) -> pd.DataFrame:
    """The answers of a log of ours."""
    _leave_out(str(path), columns)
    with AnswerLog(path, read_only=True) as log:
        answers = log.read()
    if answers.empty:
        raise MedcalError(f"{path}: no answers in it")
    return answers


def _of_table(
    raw: pd.DataFrame,
    file: str,
    columns: dict[str, str],
    scale: str | float | None,
    scores: list[str],
    are_probabilities: bool,
) -> pd.DataFrame:
    """The answers of any table."""
    if not scores and not columns.get("confidence"):
        scores = option_scores(raw.columns)
    if unknown := [name for name in scores if name not in raw]:
        raise MedcalError(f"{file}: no column '{unknown[0]}', which was named")
    assumed: list[str] = []
    if scores:
        chosen, assumed = choices(
            raw, scores, file, are_probabilities=are_probabilities
        )
        raw = raw.drop(columns=scores).assign(**chosen)
        columns = (
            {"strategy": "option_probability"}
            | columns
            | dict(zip(chosen, chosen, strict=True))
        )
        scale = 1
    taken, asked = recognise(raw, columns, file)
    if "item_id" not in taken:
        check_repeats(raw, taken, file)
    if {"correct", "answer"} <= {*taken}:
        is_named = bool({"correct", "gold"} & {*columns})
        asked += check_correct(raw, taken, file, is_named=is_named)
    fixed = {name: text for name, text in columns.items() if name not in taken and text}
    answers = checked(raw, taken, file, fixed=fixed, scale=scale)
    answers.attrs["assumed"][:0] = [*assumed, *asked]
    last = answers["item_id"].iloc[-1]
    if last.casefold() in KNOWN["grades"]["sums"].split() and len(answers) > 1:
        raise MedcalError(
            f"{file}: row {len(answers)} is '{last}', no answer, it seems; drop it"
        )
    if "correct" not in taken:
        answers = _graded(answers, raw.get(taken.get("options", "")), file)
    if "answer" in answers:
        check_of_answer(answers, file)
    return answers


def _reader_of(value: Any) -> Reader | None:
    """The reader of a tool's log, None of another file."""
    if isinstance(value, pd.DataFrame):
        return detect(value.iloc[0].to_dict())
    return detect(value if isinstance(value, dict) else value[0])


def _of_reader(
    reader: Reader, value: Any, log: Log, columns: dict[str, str]
) -> pd.DataFrame:
    """The answers of a tool's log, graded where it does not grade them."""
    if isinstance(value, pd.DataFrame):
        log.value = value.astype(object).where(value.notna(), None).to_dict("records")
    rows = reader.rows(log)
    for row in rows:
        options = row.pop("options", None) or None
        if "correct" not in row:
            asked = row.get("question_type"), options
            row["correct"] = is_correct(row.get("answer"), row.get("gold"), *asked)
    if not rows:
        raise MedcalError(f"{log.path}: no answers in it")
    raw = table_of(rows, log.path).drop(columns=[*columns], errors="ignore")
    taken = {name: name for name in ANSWER_COLUMNS if name in raw}
    answers = checked(raw, taken, str(log.path), fixed=columns, scale=1)
    answers.attrs["assumed"][:0] = [f"read as {reader.name}", *log.notes]
    return answers


def _graded(
    answers: pd.DataFrame, options: pd.Series | None, file: str
) -> pd.DataFrame:
    """Answers with a column that says whether they are their gold answers."""
    asked = answers[["answer", "gold"]]
    if "question_type" in answers:
        kinds = answers["question_type"].str.casefold()
        asked = asked.assign(question_type=kinds.where(kinds.isin(_KINDS)))
    if options is not None:
        asked = asked.assign(options=options)
    graded = grade_table(asked)
    right = graded["correct"]
    answers["correct"] = right
    answers.attrs["grading"] = graded.attrs["grading"]
    if right.count() >= _LEAST and not right.any():
        raise MedcalError(
            f"{file}: not one of {len(right):,} answers is its gold answer; write both in the "
            "same words, or grade them in a column 'correct'"
        )
    return answers


def _missing(answers: pd.DataFrame) -> list[str]:
    """What is missing, in sentences: how many, and how right those are."""
    n = f"of {len(answers):,} answers"
    right = answers["correct"].astype(float)
    lacking = answers["confidence"].isna()
    sentences = []
    unnamed = answers["dataset"][answers["image_id"].isna()]
    if len(unnamed) == len(answers):
        sentences.append("no image named: intervals are by answer")
    elif len(unnamed):
        names = ", ".join(unnamed.unique()[:5])
        sentences.append(f"no image named in {names}: each answer counts as one")
    if lacking.any():
        sentences.append(f"{lacking.sum():,} {n} have no confidence")
        if right[lacking].notna().any() and not lacking.all():
            shares = f"{right[lacking].mean():.0%} of them are right, {right[~lacking].mean():.0%}"
            sentences[-1] += f": {shares} of the others"
    if ungraded := right.isna().sum():
        low, high = right.fillna(0).mean(), right.fillna(1).mean()
        sentences.append(
            f"{ungraded:,} {n} are not graded: accuracy {low:.0%} to {high:.0%}"
        )
    return sentences
