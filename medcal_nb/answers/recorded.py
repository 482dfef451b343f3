"""Recorded answers of real models and readers: the tables of ``data/recorded``, read as answers.

Each table is one Parquet file with an entry in ``manifest.json`` (source, licence, SHA-256). It is
read only where its SHA-256 is that of the manifest, so that what is read is what was published.
The entry also says how the table becomes answers (`answers`: which column is what), so that one
reader makes answers of all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import softmax

from medcal_nb.answers.columns import TEXT
from medcal_nb.errors import MedcalError, did_you_mean
from medcal_nb.files import check_shipped, read_manifest
from medcal_nb.measure.decimals import shortest_decimals

_PACKAGE = Path(__file__).resolve().parents[1]
_CHECKOUT = _PACKAGE.parent / "data" / "recorded"
_INSTALLED = _PACKAGE / "recorded_data"
_GET_IT = (
    "get it from a clone of the repository (`git checkout data/recorded`), or install "
    "the package anew"
)
_COLUMNS = (
    *("model", "dataset", "domain", "item_id", "image_id", "image_set", "modality"),
    *("question_type", "split", "strategy", "answer", "gold"),
)
"""Columns of text that all recorded answers have, in order; confidence and correct follow."""


def recorded_folder() -> Path:
    """Return where recorded answers lie: ``data/recorded`` of a checkout, or in the package."""
    return _CHECKOUT if _CHECKOUT.is_dir() else _INSTALLED


def recorded_manifest(folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """Return what is known of each table, by its name.

    Parameters
    ----------
    folder : Path, optional
        Where the tables lie; `recorded_folder` if not given.

    Returns
    -------
    dict of dict
        For each table: ``file``, ``sha256``, ``rows``, ``columns``, ``title``, ``source``,
        ``commit``, ``licence``, ``licence_file``, ``citation``, ``repeats`` (questions of each
        data set that repeat an earlier one), ``left_out`` (values of each confidence that are
        none), ``made_from`` (SHA-256 of the files it was made from) and, of a table of answers,
        ``answers``: ``confidence`` (each elicitation method, which names its column, and the
        column of the grades that it is judged by), ``columns`` (new name, column), ``constant``
        (columns of one text), ``inner`` (columns that answers do not carry), ``assumed``
        (sentences), and where there are some ``items`` (a table that is joined by item) and
        ``logits`` (how columns of option logits begin).

    Raises
    ------
    MedcalError
        If there is no manifest, or it is damaged.
    """
    return read_manifest(Path(folder or recorded_folder()), _GET_IT)


def load_recorded(
    name: str,
    *,
    complete: bool = False,
    folder: Path | None = None,
    **filters: Any,
) -> pd.DataFrame:
    """Return the recorded answers of one source.

    Parameters
    ----------
    name : str
        ``vlcb``, ``vlm_uncertainty_bench``, ``mmlu_pro_text``, ``viper``: see `recorded_names`.
    complete : bool
        Also what published totals count and a study does not: questions that repeat an earlier
        one (three settings of POPE share their positive questions), and two small data sets of
        VLCB that are neither medical nor general images.
    folder : Path, optional
        Where the tables lie; `recorded_folder` if not given.
    **filters
        ``column=value`` or ``column=[values]`` for columns of the result, such as ``model``,
        ``dataset``, ``strategy``, ``domain``, ``modality``, ``split``.

    Returns
    -------
    DataFrame
        One row a model, question and elicitation method:

        - model, dataset, domain, item_id, question_type, strategy: text
        - image_id: the image, missing where it is not known; image_set: data sets of one image
          set share its images, and an image is one image in all of them
        - modality, split, answer, gold: text, missing where the source has none
        - confidence: 0 to 1, missing where none was recorded
        - correct: True, False or missing
        - option_probabilities: where all options have one
        - further columns of the source, as its card in data/README.md says

        ``attrs["assumed"]`` says in sentences what was assumed and what was left out.

    Raises
    ------
    MedcalError
        If a name or value is unknown, the file is missing, or it is another file than the
        manifest says (both hashes are named).

    Examples
    --------
    >>> answers = load_recorded("viper", dataset="screeningLowP", split="test")
    >>> sorted(answers["modality"].unique())
    ['digital', 'film']
    """
    source = _source(name, folder)
    table = _read(name, folder)
    if "items" in source:
        items = _read(source["items"], folder)
        table = table.drop(columns="dataset").merge(items, on="item", how="left")
    if "logits" in source:
        table = _with_option_probabilities(table, source["logits"])
    copies = {new: table[column] for new, column in source["columns"].items()}
    table = table.assign(**copies, **source["constant"])
    is_counted = table["domain"] != "other"
    if "repeat" in table:
        is_counted &= ~table["repeat"]
    table = table[is_counted | complete]
    grades = source["confidence"]
    strategies = _as_list(filters.pop("strategy", list(grades)))
    _check_known("strategy", strategies, grades)
    for column, values in filters.items():
        _check_known("recorded answers' columns", [column], table.columns)
        _check_known(column, _as_list(values), table[column].dropna().unique())
        table = table[table[column].isin(_as_list(values))]
    # grades stay where they say more than correct does
    inner = {*source["inner"], *grades, "correct"}
    shared = _typed(table.drop(columns=[*inner], errors="ignore"))
    parts = []
    for strategy in strategies:
        part = shared.assign(strategy=strategy, confidence=table[strategy])
        part["correct"] = table[grades[strategy]].astype("boolean")
        parts.append(part)
    answers = pd.concat(parts, ignore_index=True)
    answers["strategy"] = answers["strategy"].astype(TEXT)
    answers.attrs["assumed"] = [] if complete else source["assumed"]
    return answers


def recorded_names(folder: Path | None = None) -> list[str]:
    """Return the names that `load_recorded` knows."""
    manifest = recorded_manifest(folder)
    return [name for name, entry in manifest.items() if "answers" in entry]


def recorded_entry(name: str, folder: Path | None = None) -> dict[str, Any]:
    """Return the manifest's entry of a table, once its file is the one that the entry names.

    Parameters
    ----------
    name : str
        A name of `recorded_manifest`.
    folder : Path, optional
        Where the tables lie; `recorded_folder` if not given.

    Raises
    ------
    MedcalError
        If the file is missing or another one: both hashes are named, and how to get it.
    """
    folder = Path(folder or recorded_folder())
    manifest = recorded_manifest(folder)
    if name not in manifest:
        raise MedcalError(f"{folder / 'manifest.json'}: no entry {name!r}; {_GET_IT}")
    entry = manifest[name]
    check_shipped(folder / entry["file"], entry["sha256"], _GET_IT)
    return entry


# --- reading ---------------------------------------------------------------------------------


def _read(name: str, folder: Path | None) -> pd.DataFrame:
    """Return a table's columns; floats of 32 bits are the decimals they were, but for logits."""
    folder = Path(folder or recorded_folder())
    path = folder / recorded_entry(name, folder)["file"]
    try:
        frame = pq.read_table(path).to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise MedcalError(f"{path}: no Parquet file ({error}); {_GET_IT}") from None
    for column, values in frame.items():
        if values.dtype == np.float32 and "logit" not in column:
            frame[column] = shortest_decimals(values.to_numpy())
    return frame


def _source(name: str, folder: Path | None) -> dict[str, Any]:
    """Return how a table becomes answers, as its entry in the manifest says."""
    _check_known("recorded answers", [name], recorded_names(folder))
    return recorded_entry(name, folder)["answers"]


def _check_known(what: str, values: list, known: Iterable) -> None:
    """Refuse a name or value that does not occur."""
    texts = [str(value) for value in known]
    for value in values:
        if str(value) not in texts:
            shown = ", ".join(texts[:20])
            hint = did_you_mean(str(value), texts)
            raise MedcalError(f"{what}: no '{value}'; there are {shown}{hint}")


def _as_list(value: Any) -> list:
    return list(value) if pd.api.types.is_list_like(value) else [value]


def _with_option_probabilities(table: pd.DataFrame, logits: str) -> pd.DataFrame:
    """Return a table with what the softmax over its option logits says.

    Parameters
    ----------
    table : DataFrame
        ``gold`` and a column of logits for each option.
    logits : str
        How those columns begin; an option's name follows.
    """
    values = table.filter(regex=f"^{logits}")
    options = values.columns.str.removeprefix(logits)
    shares = softmax(values.to_numpy(float), axis=1)  # questions × options
    answer = options[shares.argmax(axis=1)]
    rows = pd.DataFrame(shares, table.index, options).to_dict("records")
    return table.drop(columns=values.columns).assign(
        answer=answer,
        option_probability=shares.max(axis=1),
        option_probabilities=rows,
        correct=table["gold"] == answer,
    )


def _typed(answers: pd.DataFrame) -> pd.DataFrame:
    """Return answers with the columns that all have, in order and typed, and then the others."""
    texts = answers.reindex(columns=list(_COLUMNS)).astype(TEXT)
    empty = texts.assign(confidence=np.nan, correct=pd.NA)
    return empty.join(answers.drop(columns=texts.columns, errors="ignore"))
