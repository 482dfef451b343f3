"""Questions of one's own: a table of images, questions and right answers.

Read with the care that tables of answers are: columns are found by their names, options come in any
form, and what does not belong there is refused with file, row and remedy. Images are looked for
beside the table, hashed, and opened once before anything is asked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from medcal_nb.datasets.asked import asked_plainly, one_line
from medcal_nb.datasets.items import ITEM_COLUMNS, chosen, open_image
from medcal_nb.errors import MedcalError, check_known
from medcal_nb.tables import read_source, table_of
from medcal_nb.tables.columns import (
    ANSWER_COLUMNS,
    KNOWN,
    NAMES,
    each,
    fault,
    golds,
    names,
    of_file,
    refuse,
    texts,
)
from medcal_nb.tables.match import (
    lacking,
    match_columns,
    option_columns,
    options_by_letter,
)
from medcal_nb.words import Options, options_of

#: Names of files that hold such a table.
SUFFIXES = (".csv", ".tsv", ".xlsx", ".parquet", ".jsonl", ".json")
DIGITS = 16  # of a hash, hexadecimal
_NEEDED = ("image", "question", "gold")
#: Names that each column goes by, a line of them after the other; the data set is called as the
#: file. "Frage" is the question before it is its id.
_CALLED = {
    name: [name, *KNOWN["asked"].get(name, NAMES.get(name, [])[1:])]
    for name in dict.fromkeys([*_NEEDED, *ITEM_COLUMNS])
    if name != "dataset"
}
#: What is assumed of questions where no column says it.
_USUAL = {"domain": "medical", "modality": "unknown", "split": "test"}
_OPTIONS = "columns of one option each"


def load(
    path: Path,
    *,
    split: str | None = None,
    n: int | None = None,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Return the questions of a table as an item table; see `medcal_nb.datasets.load_items`.

    Parameters
    ----------
    path : path
        .csv, .tsv, .xlsx, .parquet, .jsonl or .json, a row a question: ``image`` (a path beside
        the table, or bytes), ``question`` and ``gold``, and where there are such ``options``,
        ``item_id``, ``image_id``, ``modality``, ``domain``, ``split``, ``question_type``; further
        columns stand in the answers.
    split, n, seed
        As of `load_items`.
    columns : mapping, optional
        Which column of the table is which of these; ``{"gold": ""}``: there is none, so that
        answers are not graded.

    Returns
    -------
    DataFrame
        As of `load_items`, and ``image_hash``: 16 digits of the SHA-256 of the image, and
        ``image_file``: its path as it is written in the table.

        - image_id: that hash, where no column says it
        - item_id: a hash of image, question, options and gold answer, where no column says it, so
          that a row more, or another order, changes none
        - question_type: choice where there are options, closed where the gold answer is yes or no,
          else open

        ``attrs["assumed"]`` says in sentences what was taken for what.

    Raises
    ------
    MedcalError
        Naming file, row (data rows counted from 1), column, value and remedy.
    """
    columns = columns or {}
    for name in columns:
        check_known(name, ITEM_COLUMNS, "column of ours")
    with of_file(path):
        source = read_source(path)
        raw = source if isinstance(source, pd.DataFrame) else table_of(source)
        taken = _taken(raw, columns)
        letters = option_columns(raw, taken.values()) if "options" not in taken else {}
        if letters and "options" not in columns:
            raw = raw.assign(**{_OPTIONS: options_by_letter(raw, letters)})
            taken["options"] = _OPTIONS
        items = _checked(raw, taken, path)
        others = raw.columns.difference([*taken.values(), *letters], sort=False)
        ours = [name for name in others if name in {*ANSWER_COLUMNS, *items}]
        items = items.join(raw[others.difference(ours, sort=False)])
        items.attrs["assumed"] = _assumed(raw, taken, ours, items)
    return _plain(chosen(items, split, n, seed))


def _plain(items: pd.DataFrame) -> pd.DataFrame:
    """Rows anew from 0, with no texts of Arrow in them."""
    return items.astype(object).reset_index(drop=True)


def _taken(raw: pd.DataFrame, named: Mapping[str, str]) -> dict[str, str]:
    """Which column is which; refused where one that is needed is missing."""
    for theirs in named.values():
        if theirs and theirs not in raw:
            raise lacking(f"no column '{theirs}', which was named", theirs, raw)
    taken = match_columns(raw, _CALLED, named)
    for name in _NEEDED:
        is_left_out = name == "gold" and named.get(name) == ""
        if name not in taken and not is_left_out:
            hint = ", or gold= where nobody knows it" if name == "gold" else ""
            raise lacking(
                f"no column '{name}'; name it by {name}=COLUMN (-c on the command line){hint}",
                name,
                raw,
            )
    return taken


def _checked(raw: pd.DataFrame, taken: Mapping[str, str], path: Path) -> pd.DataFrame:
    """The item table of all rows, every cell checked."""

    def column(ours: str, usual: str | None = None) -> pd.Series:
        if ours not in taken:
            return pd.Series(usual, raw.index, dtype=object)
        return texts(raw[taken[ours]], taken[ours]).astype(object)

    questions = column("question").map(one_line, na_action="ignore")
    is_empty = questions.isna() | (questions == "")
    refuse(taken["question"], questions, is_empty, "is empty", "write a question")
    images = _images(raw[taken["image"]], path.parent)
    asked = [*_asked(raw, taken, questions, column("question_type"))]
    rows = pd.DataFrame(asked, index=raw.index, dtype=object)
    rows["image"] = images.str[0]
    rows["image_hash"] = images.str[1]
    is_named = raw[taken["image"]].map(lambda cell: isinstance(cell, str))
    rows["image_file"] = raw[taken["image"]].astype(object).where(is_named, None)
    rows["dataset"] = names(pd.Series([path.stem]), "dataset")[0]
    for name, usual in _USUAL.items():
        rows[name] = column(name).fillna(usual)
    is_odd = ~rows["split"].isin(["fit", "test"])
    refuse(taken.get("split", ""), rows["split"], is_odd, "is no split", "fit or test")
    rows["image_id"] = _image_ids(raw, taken, rows)
    rows["item_id"] = _item_ids(raw, taken, rows)
    return rows[[*ITEM_COLUMNS, "image_hash", "image_file"]]


def _images(cells: pd.Series, folder: Path) -> pd.Series:
    """The source of each image, and its hash; opened to see that it can be."""

    def opened(cell: Any) -> tuple[Path | bytes, str]:
        if isinstance(cell, Mapping):  # as the hub's sets hold them
            cell = cell.get("bytes") or cell.get("path")
        if not isinstance(cell, str | bytes):
            raise ValueError("is no image")
        if isinstance(cell, str) and "://" in cell:
            raise ValueError("is an address, and nothing is fetched")
        source = cell if isinstance(cell, bytes) else str(folder / cell.strip())
        try:
            open_image(source)
            data = source if isinstance(source, bytes) else Path(source).read_bytes()
        except MedcalError as error:
            raise ValueError(str(error).removeprefix(f"{source}: ")) from None
        return source, _hash(data)

    column = str(cells.name)
    refuse(column, cells, cells.isna(), "is missing", "every question needs its image")
    where = f"paths are read from the folder of the table, {folder.resolve()}"
    return each(cells, opened, column, where)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:DIGITS]


def _asked(
    raw: pd.DataFrame,
    taken: Mapping[str, str],
    questions: pd.Series,
    kinds: pd.Series,
) -> Iterator[dict[str, Any]]:
    """Question, its type, options and right answer of each row."""
    nothing = pd.Series([None] * len(raw), raw.index, dtype=object)
    options = options_of(raw[taken["options"]]) if "options" in taken else nothing
    right = nothing
    if "gold" in taken:
        right = golds(raw[taken["gold"]], taken["gold"]).astype(object)
    known = kinds.str.casefold().eq("open")
    if "options" in taken:
        is_odd = [one is not None and not _differ(one) for one in options]
        problem = "are fewer than two different options"
        remedy = "write each option once, or none for an open question"
        refuse(taken["options"], raw[taken["options"]], is_odd, problem, remedy)
    cells = zip(questions, options, right, known, strict=True)
    for row, (question, shown, gold, is_open) in enumerate(cells):
        several = _several(gold)
        if is_open or (shown is None and len(several) != 1):
            kind, texts_shown = "open", None
        elif shown is None:
            yield asked_plainly({"question": question, "answer": several[0]})
            continue
        else:
            try:
                kind, texts_shown, several = _choice(shown, several)
            except ValueError as error:
                remedy = "write the text or the letter of one option, as it is shown"
                raise fault(taken["gold"], row, gold, error, remedy) from None
        yield {
            "question": question,
            "question_type": kind,
            "options": texts_shown,
            # nobody grades by rule what nobody has answered
            "gold": several[0] if len(several) == 1 else several or "",
        }


def _differ(shown: Options) -> bool:
    """Whether these are options to choose from: two or more, none of them twice."""
    return len({*map(one_line, shown.texts)}) == len(shown) > 1


def _several(gold: object) -> list[str]:
    """The right answers of a cell: none, one, or those of a JSON list of texts."""
    if not isinstance(gold, str) or not gold.strip():
        return []
    if gold.startswith("["):
        try:
            listed = json.loads(gold)
        except ValueError:
            return [one_line(gold)]
        if listed and all(isinstance(one, str) for one in listed):
            return [*map(one_line, listed)]
    return [one_line(gold)]


def _choice(shown: Options, several: list[str]) -> tuple[str, list[str], list[str]]:
    """The kind of a question with options, their texts, and the right ones of them."""
    options = [*map(one_line, shown.texts)]
    places = [shown.index(one) for one in several]
    if None in places:
        raise ValueError(f"is not one of the options {', '.join(options):.100}")
    right = [options[place] for place in places if place is not None]
    if {option.lower() for option in options} == {"yes", "no"}:
        return "closed", ["yes", "no"], [one.lower() for one in right]
    return "choice", options, right


def _image_ids(
    raw: pd.DataFrame, taken: Mapping[str, str], rows: pd.DataFrame
) -> pd.Series:
    """What images are called: as a column says, else by their hashes."""
    if "image_id" not in taken:
        return rows["image_hash"]
    theirs = taken["image_id"]
    ids = names(raw[theirs], theirs)
    refuse(theirs, ids, ids.isna(), "is missing", "every image needs an id")
    n_images = rows["image_hash"].groupby(ids).transform("nunique")
    problem = "names several images"
    remedy = "give each its own id, or leave the column out (image_id=)"
    refuse(theirs, ids, n_images > 1, problem, remedy)
    return ids.astype(object)


def _item_ids(
    raw: pd.DataFrame, taken: Mapping[str, str], rows: pd.DataFrame
) -> pd.Series:
    """What questions are called: as a column says, else by a hash of all that is asked."""
    theirs = taken.get("item_id", "")
    if theirs:
        ids = names(raw[theirs], theirs)
        refuse(theirs, ids, ids.isna(), "is missing", "every question needs an id")
        problem = "is the id of another row, too"
    else:
        asked = rows[["image_hash", "question", "options", "gold"]]
        lines = map(json.dumps, asked.itertuples(index=False, name=None))
        ids = pd.Series([_hash(line.encode()) for line in lines], rows.index)
        theirs, problem = "question", "is asked twice about this image"
    shown = ids if "item_id" in taken else rows["question"]
    refuse(theirs, shown, ids.duplicated(), problem, "drop one, or give each an id")
    return ids.astype(object)


def _assumed(
    raw: pd.DataFrame,
    taken: Mapping[str, str],
    left_out: list[str],
    items: pd.DataFrame,
) -> list[str]:
    """What was taken for what, in sentences."""
    sentences = [*raw.attrs.get("unseen", [])]
    parts = []
    for ours, theirs in taken.items():
        if ours != theirs:
            parts.append(f"{ours} from '{theirs}'")
    if parts:
        sentences.append(", ".join(parts))
    if "image_id" not in taken:
        n = items["image_id"].nunique()
        sentences.append(f"{n:,} images, called by their hashes")
    n_open = (items["gold"].astype(str) == "").sum()
    if n_open:
        sentences.append(
            f"{n_open:,} of {len(items):,} questions have no gold answer: what is answered to them "
            "is graded by a person (`medcal certify`)"
        )
    if left_out:
        shown = ", ".join(map(repr, left_out))
        sentences.append(f"left out, as answers have columns of these names: {shown}")
    return sentences
