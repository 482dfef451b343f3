"""Recorded answers of real models and readers: the tables of ``data/recorded``, read as answers.

Each table is one Parquet file with an entry in ``manifest.json`` (source, licence, SHA-256). It is
read only where its SHA-256 is that of the manifest, so that what is read is what was published.
The entry also says how the table becomes answers (`answers`: which column is what), so that one
reader makes answers of all of them.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.special import softmax

from medcal_nb.errors import MedcalError, check_known
from medcal_nb.files import (
    check_shipped,
    read_manifest,
    recorded_folder,
)
from medcal_nb.labels import MODELS
from medcal_nb.tables.columns import GRADED_COLUMNS, TEXT


def recorded_manifest() -> dict[str, dict[str, Any]]:
    """Return what is known of each table, by its name.

    Returns
    -------
    dict of dict
        For each table:

        - file, sha256, rows, columns, title, source, commit, licence, licence_file, citation
        - repeats: questions of each data set that repeat an earlier one
        - left_out: values of each confidence that are none
        - made_from: SHA-256 of the files that it was made from
        - answers, of a table of answers, how it becomes them: ``confidence`` (each elicitation
          method, which names its column, and the column of the grades that it is judged by; not
          where a row is an answer already), ``columns`` (new name, column), ``constant`` (columns
          of one text), ``inner`` (columns that answers do not carry), ``assumed`` (sentences), and
          where there are some ``counted`` (a query for the rows that a study counts) and
          ``left_out`` (sentences about the others),
          ``items`` (a table that is joined by item), ``readings`` (a table of readings),
          ``replies`` (a table of replies) and ``logits`` (how columns of option logits begin)

    Raises
    ------
    MedcalError
        If there is no manifest, or it is damaged.
    """
    return read_manifest(recorded_folder())


def load_recorded(
    name: str,
    *,
    complete: bool = False,
) -> pd.DataFrame:
    """Return the recorded answers of one source.

    Parameters
    ----------
    name : str
        ``vlcb``, ``vlm_uncertainty_bench``, ``mmlu_pro_text``, ``viper``,
        ``aneurysm_readers`` or ``pocket``: see `recorded_names`.
    complete : bool
        Also what published totals count and a study does not: the first sentences of
        ``attrs["assumed"]`` say what that is. Of ``vlcb`` also ``self_probing_recorded``: the
        source's confidence for every reply, also for one that states none.

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
        If the name is unknown, the file is missing, or it is another file than the
        manifest says (both hashes are named).

    Examples
    --------
    >>> answers = load_recorded("viper")
    >>> sorted(answers["modality"].unique())
    ['digital', 'film']
    """
    source = _source(name)
    # a file that changed since it was read is refused all the same
    if "items" in source:
        recorded_entry(source["items"])
    manifest = json.dumps(recorded_manifest())
    return _answers(name, complete, str(recorded_folder()), manifest).copy()


def old_names(answers: pd.DataFrame) -> list[str]:
    """Say where a table has a name of before: VLCB's self-probing was called verbalized.

    Parameters
    ----------
    answers : DataFrame
        With model and strategy.

    Returns
    -------
    list of str
        A sentence where a model of VLCB has verbalized confidence; none where there is none.
    """
    is_old = answers["strategy"].eq("verbalized") & answers["model"].isin(MODELS)
    if not is_old.any():
        return []
    models = ", ".join(answers.loc[is_old, "model"].unique())
    return [
        f"verbalized of {models}: if recorded by VLCB, it is self_probing_recorded now (asked in a "
        "new prompt, with a number also where the reply states none)"
    ]


def load_readings(name: str) -> pd.DataFrame:
    """Return the readings of cases behind a source of marks, also those without a mark.

    Parameters
    ----------
    name : str
        ``aneurysm_readers``.

    Returns
    -------
    DataFrame
        One row a reading of a case by one reader in one setting:

        - reader, case, setting (assisted or unassisted by AI), session (first or second)
        - n_aneurysms: aneurysms in the case
        - n_marks, true_positives, false_positives: marks set, true and false ones
        - sensitivity: share of the case's aneurysms that were marked, missing where it has none
        - seconds: reading time

    Raises
    ------
    MedcalError
        If the source has no readings; see also `load_recorded`.

    Examples
    --------
    >>> readings = load_readings("aneurysm_readers")
    >>> readings.groupby("setting")["seconds"].median().to_dict()
    {'assisted': 110.5, 'unassisted': 94.0}
    """
    return _beside(name, "readings")


def load_replies(name: str) -> pd.DataFrame:
    """Return what the models of a source wrote when asked how sure they are.

    Parameters
    ----------
    name : str
        ``vlcb``.

    Returns
    -------
    DataFrame
        One row a model and question:

        - model, item_id: as in `load_recorded`
        - reply: the text, at most 128 tokens of it

    Raises
    ------
    MedcalError
        If the source has no replies; see also `load_recorded`.

    Examples
    --------
    >>> replies = load_replies("vlcb")
    >>> len(replies), replies["reply"].iloc[0]
    (150621, 'Confidence: 90%')
    """
    replies = _beside(name, "replies").rename(columns={"item": "item_id"})
    return replies.astype({"item_id": TEXT})


def _beside(name: str, kind: str) -> pd.DataFrame:
    """Return the table of a kind that belongs to recorded answers."""
    source = _source(name)
    if kind not in source:
        raise MedcalError(f"recorded answers '{name}' have no table of {kind}")
    return _read(source[kind])


def recorded_names() -> list[str]:
    """Return the names that `load_recorded` knows; none where the package alone is installed."""
    if not recorded_folder().is_dir():
        return []
    manifest = recorded_manifest()
    return [name for name, entry in manifest.items() if "answers" in entry]


def recorded_entry(name: str) -> dict[str, Any]:
    """Return the manifest's entry of a table, once its file is the one that the entry names.

    Parameters
    ----------
    name : str
        A name of `recorded_manifest`.

    Raises
    ------
    MedcalError
        If the file is missing or another one: both hashes are named, and how to get it.
    """
    entry = recorded_manifest()[name]
    check_shipped(recorded_folder() / entry["file"], entry["sha256"])
    return entry


# --- reading ---------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def _answers(name: str, complete: bool, folder: str, manifest: str) -> pd.DataFrame:
    """Answers as `load_recorded` returns them, made once of a folder as its manifest says."""
    source = json.loads(manifest)[name]["answers"]
    table = _read(name)
    if "items" in source:
        items = _read(source["items"])
        table = table.drop(columns="dataset").merge(items, on="item", how="left")
    if "logits" in source:
        table = _with_option_probabilities(table, source["logits"])
    copies = {new: table[column] for new, column in source["columns"].items()}
    table = table.assign(**copies, **source["constant"])
    counted = "" if complete else source.get("counted", "")
    if "confidence" in source:
        answers = _one_row_a_method(table, source, counted)
    else:
        options = table["option_probabilities"].map(json.loads, na_action="ignore")
        answers = typed(table.assign(option_probabilities=options))
    left_out = source["left_out"] if counted else []
    answers.attrs["assumed"] = [*left_out, *source["assumed"]]
    return _texts_in_one_piece(answers)


def _read(name: str) -> pd.DataFrame:
    """Return a table's columns; floats of 32 bits are the decimals they were, but for logits."""
    entry = recorded_entry(name)
    frame = pd.read_parquet(recorded_folder() / entry["file"])
    for column, values in frame.items():
        if values.dtype == np.float32 and "logit" not in column:
            # as `measure.decimals` does it without Arrow, in a third of its time
            printed = pa.array(values.to_numpy()).cast(pa.string())
            frame[column] = printed.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return frame


def _texts_in_one_piece(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose columns of text are not in chunks, which each selection would join."""
    texts = [name for name, dtype in table.dtypes.items() if dtype == TEXT]
    whole = pa.table({name: table[name] for name in texts}).combine_chunks()
    columns = {name: TEXT.__from_arrow__(whole[name]) for name in texts}
    return table.assign(**columns)


def _source(name: str) -> dict[str, Any]:
    """Return how a table becomes answers, as its entry in the manifest says."""
    check_known(name, recorded_names(), "recorded answers")
    return recorded_entry(name)["answers"]


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
    shares = pd.DataFrame(shares, table.index, options)
    chosen = shares.idxmax(axis=1).astype(TEXT)
    return table.drop(columns=values.columns).assign(
        answer=chosen,
        option_probability=shares.max(axis=1),
        option_probabilities=shares.to_dict("records"),
        correct=table["gold"] == chosen,
    )


def _one_row_a_method(
    table: pd.DataFrame, source: dict[str, Any], counted: str
) -> pd.DataFrame:
    """Return answers from a table with a column of confidences for each elicitation method.

    `counted` is a query for the rows that count; all do where it is empty.
    """
    grades = source["confidence"]
    # other grades than those of correct stay
    inner = {*source["inner"], *grades, "correct"}
    shared = typed(table.drop(columns=[*inner], errors="ignore"))
    chosen: dict[bytes, pd.DataFrame] = {}  # most methods have the same rows
    parts = []
    for strategy, column in grades.items():
        counts = np.ones(len(shared), bool)
        if counted:
            counts = shared.assign(strategy=strategy).eval(counted).to_numpy(bool)
        if counts.tobytes() not in chosen:
            chosen[counts.tobytes()] = shared[counts]
        part = chosen[counts.tobytes()].assign(strategy=strategy)
        part["confidence"] = table.loc[counts, strategy]
        part["correct"] = table.loc[counts, column].astype("boolean")
        parts.append(part)
    return pd.concat(parts, ignore_index=True).astype({"strategy": TEXT})


def typed(answers: pd.DataFrame) -> pd.DataFrame:
    """Return answers with the columns that all have, in order and typed, and then the others."""
    types = dict.fromkeys(GRADED_COLUMNS, TEXT)
    types |= {"confidence": float, "correct": "boolean"}
    common = answers.reindex(columns=list(types)).astype(types)
    return common.join(answers.drop(columns=[*types], errors="ignore"))
