"""Recorded answers of real models and readers: the tables of ``data/recorded``, read as columns.

Each table is one Parquet file with an entry in ``manifest.json`` (source, licence, SHA-256). It is
read only where its SHA-256 is that of the manifest, so that what is read is what was published.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import expit, softmax

from medcal_nb.answers.columns import ANSWER_COLUMNS, COLUMNS, KINDS, TEXT
from medcal_nb.errors import MedcalError
from medcal_nb.files import check_shipped, read_manifest
from medcal_nb.measure.decimals import shortest_decimals

_PACKAGE = Path(__file__).resolve().parents[1]
_CHECKOUT = _PACKAGE.parent / "data" / "recorded"
_INSTALLED = _PACKAGE / "recorded_data"
_GET_IT = (
    "get it from a clone of the repository (`git checkout data/recorded`), or install "
    "the package anew"
)


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
        none) and ``made_from`` (SHA-256 of the files it was made from).

    Raises
    ------
    MedcalError
        If there is no manifest, or it is damaged.
    """
    return read_manifest(Path(folder or recorded_folder()), _GET_IT)


def load_recorded(
    name: str,
    *,
    repeats: bool = False,
    folder: Path | None = None,
    **filters: Any,
) -> pd.DataFrame:
    """Return the recorded answers of one source.

    Parameters
    ----------
    name : str
        ``vlcb``, ``vlm_uncertainty_bench``, ``mmlu_pro_text`` or ``viper``.
    repeats : bool
        Keep the questions that repeat an earlier one (three settings of POPE share their
        positive questions). By default each question is kept once.
    folder : Path, optional
        Where the tables lie; `recorded_folder` if not given.
    **filters
        ``column=value`` or ``column=[values]`` for columns of the result, such as ``model``,
        ``dataset``, ``strategy``, ``domain``, ``modality``, ``split``.

    Returns
    -------
    DataFrame
        One row a model, question and elicitation method, with all ``ANSWER_COLUMNS`` as
        `medcal_nb.answers.load_answers` gives them, and the table's further columns.
        ``confidence`` is missing where none was recorded. ``attrs["repeats"]`` holds the
        number of questions left out of each data set as repeats.

    Raises
    ------
    MedcalError
        If the name is unknown, the file is missing, it is another file than the manifest says
        (both hashes are named).

    Examples
    --------
    >>> answers = load_recorded("viper", dataset="screeningLowP", split="test")
    >>> sorted(answers["modality"].unique())
    ['digital', 'film']
    """
    if name not in _TABLES:
        known = ", ".join(_TABLES)
        raise MedcalError(f"no recorded answers {name!r}; there are {known}")
    table = _TABLES[name]
    folder = Path(folder or recorded_folder())
    entry = recorded_entry(name, folder)
    stored = _read(folder / entry["file"], table)
    left_out = {}
    if "repeat" in stored and not repeats:
        stored = stored[~stored["repeat"]]
        left_out = dict(entry["repeats"])
    stored = table.named(stored.drop(columns="repeat", errors="ignore"))
    stored = _filtered(stored, filters)
    wanted = _as_list(filters.get("strategy", list(table.strategies)))
    parts = []
    for strategy in table.strategies:
        if strategy in wanted:
            parts.append(table.answers(stored, strategy).assign(strategy=strategy))
    if not parts:
        parts = [stored.iloc[:0].assign(strategy="")]
    answers = _typed(pd.concat(parts, ignore_index=True))
    answers.attrs["repeats"] = left_out
    return answers


# --- reading ---------------------------------------------------------------------------------


def recorded_entry(name: str, folder: Path | None = None) -> dict[str, Any]:
    """Return the manifest's entry of a table, once its file is the one that the entry names.

    Parameters
    ----------
    name : str
        As in `load_recorded`.
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


def _read(path: Path, table: _Table) -> pd.DataFrame:
    """Return a file's columns: texts as texts, floats as the decimals they were."""
    try:
        arrow = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise MedcalError(f"{path}: no Parquet file ({error}); {_GET_IT}") from None
    frame = arrow.to_pandas()
    for column, values in frame.items():
        if values.dtype == np.float32 and not column.startswith(table.logits):
            frame[column] = shortest_decimals(values.to_numpy())
    return frame


def _filtered(frame: pd.DataFrame, filters: dict[str, Any]) -> pd.DataFrame:
    for column, wanted in filters.items():
        if column == "strategy":
            continue
        if column not in frame:
            known = ", ".join([*frame.columns, "strategy"])
            raise MedcalError(f"recorded answers have no column {column!r}; {known}")
        frame = frame[frame[column].isin(_as_list(wanted))]
    return frame


def _as_list(value: Any) -> list:
    return list(value) if pd.api.types.is_list_like(value) else [value]


def _typed(answers: pd.DataFrame) -> pd.DataFrame:
    """Return answers with all columns of an answers table, in order, with their types."""
    others = answers.columns.difference(ANSWER_COLUMNS, sort=False)
    answers = answers.assign(sample=0)
    for name in ANSWER_COLUMNS:
        dtype = KINDS[COLUMNS[name].kind].dtype
        if name not in answers:
            answers[name] = pd.Series(None, answers.index, dtype=dtype)
        if dtype is object:
            values = answers[name].astype(object)
            answers[name] = values.where(values.notna(), None)
        elif name != "sample":
            answers[name] = answers[name].astype(dtype)
    return answers[[*ANSWER_COLUMNS, *others]]


# --- the tables ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Table:
    """How one file becomes answers.

    Attributes
    ----------
    strategies : tuple of str
        Elicitation methods, in order.
    named : callable
        From the file's columns to columns of answers that all methods share.
    answers : callable
        From those and a method to its answers.
    logits : str
        How names of columns begin whose 32 bits are no decimals.
    """

    strategies: tuple[str, ...]
    named: Callable[[pd.DataFrame], pd.DataFrame]
    answers: Callable[[pd.DataFrame, str], pd.DataFrame]
    logits: str = "logit_"


def _text_ids(values: pd.Series) -> pd.Series:
    return values.astype(str).astype(TEXT)


def _probabilities(table: Iterable[Iterable[float]], names: list[str]) -> list[dict]:
    """Return each row's probabilities (rows of a table) by name."""
    return [dict(zip(names, row, strict=True)) for row in table]


# labels as published: those of P(True), verbalized confidence and BICR; of the others
_FIRST_LABELS = (
    "probe_pik",
    "probe_saplma",
    "probe_internalinspector",
    "probe_ccps",
)
_VLCB = ("verbalized", "p_true", *_FIRST_LABELS, "probe_bicr")
_VLCB_DOMAINS = {"GMAI-MMBench": "medical", "GQA": "general", "POPE": "general"}
_P_TRUE_LOGITS = ["p_true_logit_yes", "p_true_logit_no"]


def _name_vlcb(stored: pd.DataFrame) -> pd.DataFrame:
    domains = stored["dataset"].map(_VLCB_DOMAINS).fillna("other")
    stored = stored.assign(item_id=_text_ids(stored["item"]), domain=domains)
    return stored.drop(columns="item")


def _answer_vlcb(stored: pd.DataFrame, strategy: str) -> pd.DataFrame:
    labels = "correct_first_labels" if strategy in _FIRST_LABELS else "correct"
    shared = stored[["model", "dataset", "domain", "item_id"]]
    answers = shared.assign(
        confidence=stored[strategy], correct=stored[labels].astype("boolean")
    )
    if strategy == "p_true":
        yes, no = (stored[name].to_numpy(float) for name in _P_TRUE_LOGITS)
        share = expit(yes - no)
        pairs = np.column_stack([share, 1 - share])
        table = pd.Series(_probabilities(pairs.tolist(), ["yes", "no"]), stored.index)
        answers["option_probabilities"] = table.where(~np.isnan(share), None)
    return answers


_LETTERS = list("ABCDEF")
_OPTION_LOGITS = [f"logit_{letter}" for letter in _LETTERS]


def _name_bench(stored: pd.DataFrame) -> pd.DataFrame:
    return stored.assign(
        item_id=_text_ids(stored["item"]),
        domain="general",
        modality=stored["category"],
        question_type="choice",
    ).drop(columns=["item", "category"])


def _answer_bench(stored: pd.DataFrame, strategy: str) -> pd.DataFrame:
    logits = stored[_OPTION_LOGITS].to_numpy(float)  # questions × options
    shares = softmax(logits, axis=1)
    letters = np.array(_LETTERS)[shares.argmax(axis=1)]
    answers = stored.drop(columns=_OPTION_LOGITS)
    return answers.assign(
        answer=letters,
        confidence=shares.max(axis=1),
        correct=stored["gold"].to_numpy() == letters,
        option_probabilities=_probabilities(shares.tolist(), _LETTERS),
    )


_TEXT_CONFIDENCES = ("verbalized", "linguistic", "token_probability")


def _name_text(stored: pd.DataFrame) -> pd.DataFrame:
    is_health = stored["category"] == "health"
    # without an answer there is no grade
    graded = stored["correct"].astype("boolean").where(stored["answered"])
    return stored.assign(
        item_id=_text_ids(stored["item"]),
        dataset="MMLU-Pro",
        domain=np.where(is_health, "medical", "general"),
        modality=stored["category"],
        question_type="choice",
        correct=graded,
    ).drop(columns=["item", "category"])


def _answer_text(stored: pd.DataFrame, strategy: str) -> pd.DataFrame:
    return stored.drop(columns=list(_TEXT_CONFIDENCES)).assign(
        confidence=stored[strategy]
    )


_LARGEST_SCORE = 200
"""Of the recall scale of VIPER; scores of 201 occur and count as 200."""


def _name_viper(stored: pd.DataFrame) -> pd.DataFrame:
    cases = _text_ids(stored["case"])
    confidence = stored["score"].clip(upper=_LARGEST_SCORE) / _LARGEST_SCORE
    return stored.assign(
        model=stored["reader"],
        domain="medical",
        item_id=cases + "-" + stored["modality"],
        image_id=cases,
        question_type="closed",
        answer="cancer",
        gold=np.where(stored["cancer_455"], "cancer", "no cancer"),
        confidence=confidence,
        correct=stored["cancer_455"],
    ).drop(columns=["case", "cancer_455"])


def _answer_viper(stored: pd.DataFrame, strategy: str) -> pd.DataFrame:
    return stored


_TABLES = {
    "vlcb": _Table(
        strategies=_VLCB,
        named=_name_vlcb,
        answers=_answer_vlcb,
        logits="p_true_logit_",
    ),
    "vlm_uncertainty_bench": _Table(
        strategies=("option_probability",),
        named=_name_bench,
        answers=_answer_bench,
    ),
    "mmlu_pro_text": _Table(
        strategies=_TEXT_CONFIDENCES,
        named=_name_text,
        answers=_answer_text,
    ),
    "viper": _Table(
        strategies=("recall_score",),
        named=_name_viper,
        answers=_answer_viper,
    ),
}
