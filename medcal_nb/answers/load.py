"""The door: answers of a recorded study or of any file, as one checked table."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from medcal_nb.answers.check import (
    about_rows,
    checked,
    refuse_contradictions,
    with_images,
)
from medcal_nb.answers.log import AnswerLog, is_log
from medcal_nb.answers.recognise import (
    COLUMN_OR_VALUE,
    LEAST,
    OWN,
    Recognised,
    check_enough,
    known_kinds,
    read_column,
    recognise,
)
from medcal_nb.answers.recorded import load_recorded, old_names, recorded_names, typed
from medcal_nb.answers.samples import one_answer_an_item
from medcal_nb.answers.together import OF_FILE, together
from medcal_nb.answers.typed import about_vendor, fill_from_decisions
from medcal_nb.answers.undecided import with_grades
from medcal_nb.errors import MedcalError, check_known, did_you_mean
from medcal_nb.files import FROM_A_CLONE, PathLike
from medcal_nb.logs import Log, at, detect
from medcal_nb.tables import read_source, table_of
from medcal_nb.tables.columns import (
    ANSWER_COLUMNS,
    ANSWER_KEY,
    KNOWN,
    NAMES,
    PERSON,
    RULE,
    TEXT,
    of_file,
)
from medcal_nb.tables.match import lacking, plain_column
from medcal_nb.words import grade_table, options_of


def load_answers(source: PathLike | list[PathLike], **how: Any) -> pd.DataFrame:
    """Graded answers of a recorded study by its name, of any file, or of several as one table.

    Parameters
    ----------
    source : str, path or list of these
        A name of `recorded_names`, or a file: .csv, .tsv, .xlsx, .parquet, .jsonl, .json, an
        answers log (.sqlite) or the log of an evaluation tool that `medcal_nb.logs` knows.
        ``["vlcb", "mine.sqlite"]`` is one table, in which a model of one's own stands beside
        the recorded ones: `medcal_nb.answers.together.together` says what is warned of.
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
        - grade_from, confidence_from: where they are from: a column of the file, a metric of a
          log, ``rule`` (this package's grader) or ``a person``; a column, ``reply`` or
          ``probabilities``. An answers log keeps both
        - n_answers: where a method gave several to an item, how many

        ``attrs["taken"]`` has the column of the answers that each column of a file was taken for.
        ``attrs["assumed"]`` is a list of sentences: what was taken for what, what was assumed,
        what is missing. ``attrs["grading"]`` is that of `grade_table` where answers were graded
        here. ``attrs["is_own"]`` is true of a file, which is no answers of this study.

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
    recorded = recorded_names()
    if isinstance(source, list):
        tables = {}
        for one in map(str, source):
            options = {} if one in recorded else how
            tables[one] = load_answers(one, **options)
        return together(tables)
    name = str(source)
    if name in recorded:
        _leave_out(name, how)
        return load_recorded(name)
    if not Path(source).exists():
        hint = did_you_mean(name, recorded) if recorded else f"; {FROM_A_CLONE}"
        raise MedcalError(f"{name}: no such file, and no recorded answers{hint}")
    answers = typed(read_answers(source, **how))
    assumed = answers.attrs["assumed"] + old_names(answers) + about_vendor(answers)
    table = one_answer_an_item(answers, name).drop(columns="sample", errors="ignore")
    assumed += _missing(table)
    table.attrs = answers.attrs | {"assumed": assumed, "is_own": True}
    return table


def in_order(answers: pd.DataFrame) -> pd.DataFrame:
    """Answers in the order of their keys, with the index that they had.

    What is drawn at random from them, and the last digit of a sum, then do not depend on the order
    of a file. Nor does it depend on its name, after which a data set may be called: ``image_set``,
    which names images in its place, is then "the file".

    Parameters
    ----------
    answers : DataFrame
        As of `load_answers`. Where items were numbered here, for want of ids, rows stand in the
        order of what they say.

    Examples
    --------
    >>> table = pd.DataFrame({"item": ["b", "a"], "conf": [0.9, 0.6], "right": [1, 0]})
    >>> table.to_csv("mine.csv", index=False)
    >>> in_order(load_answers("mine.csv"))["item_id"].to_dict()
    {1: 'a', 0: 'b'}
    """
    keys = ANSWER_KEY
    if answers.attrs.get("is_numbered"):
        keys = [name for name in ANSWER_KEY if name != "item_id"]
        keys += ["image_id", "confidence", "correct", "answer"]
    if answers.attrs.get("is_called_as_file") and "image_set" not in answers:
        answers = answers.assign(image_set=OF_FILE)
    return answers.sort_values(keys, kind="stable")


def read_answers(
    source: PathLike,
    *,
    scale: str | float | None = None,
    grade: str | None = None,
    grades: PathLike | None = None,
    ungraded: bool = False,
    **columns: str,
) -> pd.DataFrame:
    """All answers of a file, each of several samples by itself.

    Parameters
    ----------
    source : path
    scale : str or float, optional
        The scale of the confidence where it is neither 0 to 1 nor plainly percent: ``"percent"``,
        its upper end (``10``), both (``"1-5"``) or ``"log"`` for log-probabilities.
    grade : str, optional
        Which metric of a log tells right from wrong, where it holds several, or graded replies
        with their confidence in them.
    grades : path, optional
        A file of `write_undecided` in which a person has graded what no rule could.
    ungraded : bool
        Answers that nobody has graded are read, too.
    **columns : str
        Which column of the file is which of ours, where its name does not say: ``item_id="case"``.
        For ``model``, ``dataset``, ``domain``, ``split`` and ``strategy`` also one value for all
        rows. ``""``: there is none. Of the log of a tool: a member of its rows, also one within
        another (``image_id="doc.image"``). ``image`` is the column of the images' files, and where
        ``image_id`` is not named their names, too.

    Returns
    -------
    DataFrame
        As of `load_answers`, with a column ``sample`` where there are several of an answer.
    """
    file_of_image = ""
    if "image" in columns:  # the image's name, unless another column is
        file_of_image = columns.pop("image")
        columns.setdefault("image_id", file_of_image)
    for name in columns:
        check_known(name, NAMES, "column of ours")
    if is_log(source):
        return _of_log(source, columns)
    is_table = bool(columns.get("confidence"))
    raw = open_table(source, grade, is_table=is_table, named=columns)
    is_of_tool = "reader" in raw.attrs
    with of_file(source):
        if is_of_tool:
            found = _of_tool(raw, {*columns}, scale, is_named=bool(grade))
        else:
            found = recognise(raw, columns, scale=scale)
            fill_from_decisions(found)
            check_enough(found, ungraded=ungraded)
            _drop_denied(found, columns)
        answers = checked(
            found.table,
            found.taken,
            dataset=Path(source).stem,
            scale=1 if is_of_tool or found.is_scored else scale,
        )
        answers.attrs["taken"] = {
            theirs: ours
            for ours, theirs in found.taken.items()
            if not theirs.startswith(OWN) and ours in answers
        }
        answers = _with_question(answers)
        answers.attrs["assumed"][:0] = found.assumed
        if "item_id" not in found.taken:
            answers = _with_items(answers)
        answers.attrs["is_called_as_file"] = "dataset" not in found.taken
        answers.attrs["assumed"] += [*raw.attrs.get("unseen", []), *about_rows(found)]
        _add_sources(answers, found)
        _grade(answers, found)
        if not is_of_tool:
            refuse_contradictions(answers, found)
        answers = with_images(answers)
        if file_of_image and file_of_image != columns["image_id"]:
            if file_of_image not in answers:
                named = f"no column '{file_of_image}', which was named"
                raise lacking(named, file_of_image, raw)
            answers["image"] = answers[file_of_image]
    if grades:
        is_open = answers["correct"].isna()
        answers = with_grades(answers, grades)
        by_hand = is_open & answers["correct"].notna()
        answers["grade_from"] = answers["grade_from"].mask(by_hand, PERSON)
    return answers


def open_table(
    source: PathLike,
    grade: str | None = None,
    *,
    is_table: bool = False,
    named: Mapping[str, str] = MappingProxyType({}),
) -> pd.DataFrame:
    """What stands in a file as a table; the log of another tool with our columns.

    Parameters
    ----------
    source, grade
        As of `read_answers`.
    is_table : bool
        It is a table, even where it looks like the log of a tool.
    named : mapping
        Of the log of a tool: ours that are named members of its rows, or one value for all.

    Returns
    -------
    DataFrame
        As it stands there. Of a log of a tool ``attrs`` hold the reader's name (``reader``) and
        which rows it does not grade (``ungraded``, a list of bool).
    """
    value = read_source(source)
    is_frame = isinstance(value, pd.DataFrame)
    first = value.iloc[0].to_dict() if is_frame else value[0]
    reader = None if is_table else detect(first)
    with of_file(source):
        if reader is None:
            return value if is_frame else table_of(value)
        if is_frame:
            value = value.astype(object).where(value.notna(), None).to_dict("records")
        log = Log(
            path=Path(source),
            value=value,
            wanted=grade,
        )
        rows = reader.rows(log)
        if not rows:
            raise MedcalError("no answers in it")
        raw = table_of(rows)
        # a column that is said not to be there grades nothing
        no_grades = named.get("correct") == ""
        is_ungraded = [no_grades or "correct" not in row for row in rows]
        for ours, theirs in named.items():
            raw[ours] = _named_in_log(ours, theirs, raw, value)
    raw.attrs["reader"] = reader.name
    raw.attrs["ungraded"] = is_ungraded
    return raw


def _named_in_log(ours: str, theirs: str, raw: pd.DataFrame, rows: list[dict]) -> Any:
    """What the user named in the log of a tool: a member of its rows, or one value for all."""
    if not theirs:
        return None
    if theirs in raw:
        return raw[theirs]
    cells = [at(row, theirs) for row in rows] if len(rows) == len(raw) else []
    if any(cell is not None for cell in cells):
        return pd.Series(cells, raw.index, dtype=object)
    if ours in COLUMN_OR_VALUE:
        return theirs
    names = ", ".join(dict.fromkeys([*map(str, rows[0]), *raw]))
    raise MedcalError(f"no '{theirs}' in its rows, which was named; they hold {names}")


def _leave_out(source: str, how: dict[str, Any]) -> None:
    if how:
        raise MedcalError(
            f"{source}: says itself what is what: leave out {', '.join(how)}"
        )


def _of_log(path: PathLike, columns: dict[str, str]) -> pd.DataFrame:
    """The answers of a log of ours."""
    _leave_out(str(path), columns)
    with of_file(path), AnswerLog(path, read_only=True) as log:
        answers = log.read()
        if answers.empty:
            raise MedcalError("no answers in it")
        return with_images(answers)


def _of_tool(
    raw: pd.DataFrame, named: set[str], scale: str | float | None, *, is_named: bool
) -> Recognised:
    """What is what in the log of a tool, which says it itself but for what the user names.

    Its metric counts for every answer that it graded if the user named it (`is_named`).
    """
    taken = {name: name for name in [*ANSWER_COLUMNS, "options"] if name in raw}
    found = Recognised(
        table=raw,
        taken=taken,
        named=named,
    )
    is_sure = "confidence" in raw and raw["confidence"].notna().any()
    if "answer" in raw and not is_sure:
        _read_replies(found, scale, is_named=is_named)
    found.assumed.insert(0, f"read as {raw.attrs['reader']}")
    return found


def _read_replies(
    found: Recognised, scale: str | float | None, *, is_named: bool
) -> None:
    """Add the confidence that replies of a tool's log state, and the answers to be graded here.

    These are the answers that it did not grade, and, unless the user named the metric, those that
    it graded with their confidence in them: "No. Confidence: 80 %" is no "no" to a metric.
    """
    table = found.table
    replies = table["answer"]
    if "raw" in table:
        replies = table["raw"].fillna(replies)
    read = read_column(found, replies, scale)
    if read["confidence"].isna().all():
        found.assumed.clear()
        return
    is_ungraded = pd.Series(table.attrs["ungraded"], table.index)
    is_open = is_ungraded
    if not is_named and "gold" in table:
        is_whole = read["confidence"].notna() & (replies == table["answer"])
        is_open = is_ungraded | (is_whole & table["gold"].notna())
    table = table.assign(answer=table["answer"].mask(is_open, read["answer"]))
    table.attrs["ungraded"] = is_open.tolist()
    found.table = table.drop(columns="confidence", errors="ignore")
    found.add("confidence", read["confidence"])


def _drop_denied(found: Recognised, named: Mapping[str, str]) -> None:
    """Drop an answer or gold answer that is none, as the user says (``gold=``): it would grade."""
    used = {*found.taken.values()}
    denied = [one for one in ("answer", "gold") if named.get(one) == ""]
    denied = [one for one in denied if one not in used]
    found.table = found.table.drop(columns=denied, errors="ignore")


def _with_question(answers: pd.DataFrame) -> pd.DataFrame:
    """Answers whose column of the questions' texts has our name, if it goes by a known one."""
    (others,) = KNOWN["asked"]["question"]
    # a prompt says more than what is asked
    names = {"question", *others.split()} - {"prompt"}
    theirs = next((one for one in answers if plain_column(one) in names), None)
    if theirs is None or "question" in answers:
        return answers
    answers.attrs["assumed"].append(f"question from '{theirs}'")
    answers.attrs["taken"][theirs] = "question"
    return answers.rename(columns={theirs: "question"})


def _with_items(answers: pd.DataFrame) -> pd.DataFrame:
    """Answers of which no column names the item: who was asked the same about the same image.

    Items are numbered in the order of their names, so that the order of rows moves no number. Rows
    stay numbered where nothing tells items apart, or one model answered by one method alone.
    """
    asked = [name for name in ("image_id", "question") if name in answers]
    who = [
        name for name in ("dataset", "model", "strategy", "sample") if name in answers
    ]
    is_alone = len(answers[who].drop_duplicates()) == 1
    is_numbered = is_alone or not asked or not _are_items(answers, who, asked)
    told = "no column of items: rows are numbered"
    if not is_numbered:
        item = answers.groupby(["dataset", *asked]).ngroup() + 1
        answers = answers.assign(item_id=item.astype(str).astype(TEXT))
        told = (
            f"no column of items: answers with the same {' and '.join(asked)} are of one item "
            f"({item.nunique():,} items; -c item_id=COLUMN where another column names them)"
        )
    elif not is_alone:
        told += (
            ", and no two models or methods are known to have answered the same (-c "
            "item_id=COLUMN names the column by which they did)"
        )
    answers.attrs["assumed"].append(told)
    answers.attrs["is_numbered"] = is_numbered
    return answers


def _are_items(answers: pd.DataFrame, who: list[str], asked: list[str]) -> bool:
    """Whether these columns name what was asked: once of each, the same gold, of several."""
    is_whole = answers[asked].notna().all(axis=None)
    is_once = not answers.duplicated([*who, *asked]).any()
    items = answers.groupby(["dataset", *asked])
    is_shared = items.ngroups < len(answers)
    gold = items["gold"].nunique().max() if "gold" in answers else 1
    return bool(is_whole and is_once and is_shared and gold <= 1)


def _grade(answers: pd.DataFrame, found: Recognised) -> None:
    """Say whether answers are their gold answers, where no column does."""
    is_open = found.table.attrs.get("ungraded", "correct" not in found.taken)
    rows = answers[pd.Series(is_open, answers.index)]
    if rows.empty or not {"answer", "gold"} <= {*rows}:
        return
    asked = rows[[name for name in ("answer", "gold", "question") if name in rows]]
    if found.replies:  # a whole reply says more than what was read of it
        replies = found.table[found.replies].reindex(rows.index)
        asked = asked.assign(answer=replies.where(replies.notna(), asked["answer"]))
    if "question_type" in rows:
        asked = asked.assign(question_type=known_kinds(rows["question_type"]))
    if options := found.taken.get("options"):
        asked = asked.assign(options=options_of(found.table[options]))
    graded = grade_table(asked)
    right = graded["correct"]
    if right.count() >= LEAST and not right.any():
        raise MedcalError(
            f"not one of {len(right):,} answers is its gold answer; write both in the same words, "
            "or grade them in a column 'correct'"
        )
    both = rows["correct"].notna() & right.notna()
    if both.any():
        n_other = (rows["correct"] != right)[both].sum()
        metric = rows["grade_from"].dropna().iloc[0]
        answers.attrs["assumed"].append(
            f"{rows['correct'].count():,} answers that {metric} graded with their confidence in "
            f"them are graded anew by rule: {n_other:,} of {both.sum():,} grades differ "
            "(grade=NAME keeps those of a metric)"
        )
    answers.loc[rows.index, "correct"] = right
    by_rule = pd.Series(RULE, rows.index).where(right.notna())
    answers.loc[rows.index, "grade_from"] = by_rule
    answers.attrs["grading"] = graded.attrs["grading"]


def _add_sources(answers: pd.DataFrame, found: Recognised) -> None:
    """Add where grades and confidences are from, as far as the file does not say it itself."""
    for name, ours in (("grade_from", "correct"), ("confidence_from", "confidence")):
        theirs = found.taken.get(ours, "")
        source = f"column '{theirs}'"
        if theirs.startswith(OWN):
            source = "reply"
        elif name == "confidence_from" and "option_probabilities" in found.taken:
            source = "probabilities"
        known = pd.Series(source, answers.index, dtype=TEXT)
        if name in answers:
            known = answers[name].fillna(known)
        answers[name] = known.where(answers[ours].notna())


def _missing(answers: pd.DataFrame) -> list[str]:
    """What is missing, in sentences."""
    sentences = []
    n = f"of {len(answers):,} answers"
    n_unnamed = answers["image_id"].isna().sum()
    if n_unnamed == len(answers):
        sentences.append("no image named: intervals are by answer")
    elif n_unnamed:
        sentences.append(
            f"{n_unnamed:,} {n} name no image: each of their questions counts as an image of "
            "its own (where cells were merged, write the name in every row)"
        )
    n_lacking = answers["confidence"].isna().sum()
    if n_lacking:
        sentences.append(f"{n_lacking:,} {n} have no confidence")
    grades = answers["correct"].dropna()
    if len(grades) >= LEAST and grades.nunique() == 1:
        word = "right" if grades.all() else "wrong"
        sentences.append(f"all {len(grades):,} grades say {word}: look at some of them")
    n_ungraded = answers["correct"].isna().sum()
    if 0 < n_ungraded < len(answers):
        sentences.append(f"{n_ungraded:,} {n} are not graded")
    return sentences
