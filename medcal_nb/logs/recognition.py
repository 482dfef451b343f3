"""Which column of a foreign table is which of ours, where that is plain."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from medcal_nb.answers.columns import COLUMNS
from medcal_nb.errors import MedcalError

from .cells import RIGHT, WRONG, plain_number
from .placing import ColumnMap, Placing
from .source import Source

#: Names that a column goes by, in small letters without accents, words joined by ``_``. The
#: first set that has one column of the table decides; two columns of one set are asked about.
NAMES: dict[str, tuple[frozenset[str], ...]] = {
    ours: tuple(frozenset(names.split()) for names in sets)
    for ours, sets in {
        "item_id": (
            "item_id",
            "item question_id qid case case_id item_no item_nr sample_id uid frage fall "
            "fall_id fallnummer fall_nr question_no cas id_cas numero_cas",
            "id nr no number numero",
            "index idx row",
        ),
        "image_id": (
            "image_id",
            "image img img_id image_name image_file image_path img_name img_path filename "
            "file_name bild bild_id bildname bilddatei image_nom fichier",
        ),
        "model": (
            "model",
            "model_name model_id llm mllm vlm modell modele nom_modele engine system",
        ),
        "reader": (
            "reader",
            "rater radiologist annotator observer clinician reader_id rater_id arzt aerztin "
            "radiologe befunder lecteur radiologue medecin",
        ),
        "dataset": (
            "dataset",
            "data_set dataset_name benchmark datensatz jeu_de_donnees",
        ),
        "domain": ("domain",),
        "strategy": ("strategy", "elicitation elicitation_method prompting_method"),
        "modality": (
            "modality",
            "imaging_modality image_modality modalitaet modalitat modalite",
        ),
        "question_type": ("question_type",),
        "split": ("split",),
        "answer": (
            "answer",
            "model_answer predicted_answer prediction predicted pred response reply antwort "
            "modellantwort vorhersage reponse prediction_modele",
        ),
        "gold": (
            "gold",
            "gold_answer ground_truth groundtruth truth target reference reference_answer "
            "correct_answer right_answer richtige_antwort goldstandard verite "
            "bonne_reponse reponse_correcte",
            "label",
        ),
        "confidence": (
            "confidence",
            "conf model_confidence stated_confidence verbalized_confidence verbalised_confidence "
            "confidence_score confidence_percent confidence_pct conf_pct self_confidence "
            "konfidenz konfidenz_prozent sicherheit zuversicht confiance certitude",
            "certainty p_correct prob_correct probability prob p_true p confidence_value",
            "score",
        ),
        "correct": (
            "correct",
            "is_correct right is_right correctness richtig korrekt ist_richtig ist_korrekt "
            "juste est_correct",
            "hit graded grade acc accuracy",
            "score label",
        ),
    }.items()
}

_OPTIONS = {"item_id": "--item", "image_id": "--image"}
_OPTIONAL = ("answer", "gold", "strategy", "modality", "reader")
"""Where two columns may be one of these, neither is taken, and the description says so."""

_LOGITS = re.compile(r"(?:logit|logits|logprob|log_prob)_[^_]+", re.IGNORECASE)
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})
_LIKERT = 10


@dataclass(frozen=True)
class Recognised:
    """What was recognised of a table.

    Attributes
    ----------
    columns : ColumnMap
        As `import_file` and `read_answers` take it.
    description : str
        One line for a reader: which column is what, the scale, and what is missing.
    names : tuple of str
        The table's own names of its columns.
    """

    columns: ColumnMap
    description: str
    names: tuple[str, ...]


@dataclass
class _Look:
    """What stands in one column; equal cells of a block count once.

    ``most`` and ``least`` are those of its numbers; ``words`` are up to 51 different cells.
    """

    n: int = 0
    numbers: int = 0
    whole: bool = True
    least: float = float("inf")
    most: float = float("-inf")
    fractions: bool = False
    sign: bool = False
    comma: bool = False
    words: set = field(default_factory=set)

    def add(self, values: Iterable) -> None:
        """Look at the different cells of one block."""
        try:
            different = set(values)
        except TypeError:  # lists and tables are neither names nor numbers
            self.n += 1
            return
        for value in different:
            if value is None or value == "" or value != value:
                continue
            self.n += 1
            if len(self.words) <= 50:
                self.words.add(str(value).strip().casefold())
            self._number(value)

    def _number(self, value):
        if isinstance(value, bool):
            return
        if isinstance(value, str):
            text = plain_number(value, comma=True)
            self.comma |= text != value and "," in value
            self.sign |= text.endswith("%")
            value = text.removesuffix("%")
        try:
            value = float(value)
        except (TypeError, ValueError, OverflowError):
            return
        self.numbers += 1
        self.whole &= value.is_integer()
        self.fractions |= 0 < value < 1
        self.least = min(self.least, value)
        self.most = max(self.most, value)

    @property
    def is_number(self) -> bool:
        """Whether nearly all cells are numbers: a few may be refusals in words."""
        return self.n > 0 and self.numbers >= 0.9 * self.n

    @property
    def is_grade(self) -> bool:
        """Whether every cell says right or wrong."""
        return self.n > 0 and self.words <= RIGHT | WRONG


def recognise_columns(
    path: Path | str,
    *,
    named: Mapping[str, str] | None = None,
    percent: bool | None = None,
    decimal: str | None = None,
) -> Recognised:
    """Recognise which columns of a table of answers are which, and on which scale.

    Names and contents have to agree: a column called "score" is the confidence where it holds
    fractions and the grade where it holds 0 and 1 alone. Where two columns may be the one that
    is needed, none is guessed.

    Parameters
    ----------
    path : path
        A table, one row an answer: .csv, .tsv, .parquet, .xlsx, .jsonl or .json.
    named : mapping, optional
        Of our columns to theirs, where the user said so; only the others are looked for.
    percent : bool, optional
        Whether the confidence runs from 0 to 100; found out where left out.
    decimal : {".", ","}, optional
        The decimal mark of option scores.

    Returns
    -------
    Recognised

    Raises
    ------
    MedcalError
        Where nothing, or more than one column, may be the confidence or the grade, or where the
        scale is not plain; it names the option that decides.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"case": ["a", "b"], "conf": [90, 60], "right": [1, 0]})
    >>> table.to_csv("mine.csv", index=False)
    >>> recognise_columns("mine.csv").description
    "confidence from 'conf' (percent), correct from 'right', item_id from 'case', ..."
    """
    looks = _look(Source(path).blocks())
    if not looks:
        raise MedcalError(f"{path}: no rows in it; nothing to read")
    named = dict(named or {})
    logits = [] if "confidence" in named else [n for n in looks if _LOGITS.fullmatch(n)]
    logits = logits if len(logits) > 1 else []
    asked = []
    free = [name for name in looks if name not in {*named.values(), *logits}]
    for ours in NAMES:
        if ours in named or (logits and ours in ("confidence", "answer")):
            continue
        theirs = _candidates(ours, free, looks)
        if len(theirs) > 1 and ours not in _OPTIONAL:
            raise _ambiguous(path, ours, theirs)
        if len(theirs) > 1:
            asked.append(f"{ours}: {_quoted(theirs)} may be it, none is taken")
        elif theirs:
            named[ours] = theirs[0]
            free.remove(theirs[0])
    if "reader" in named and "model" not in named:
        named["model"] = named["reader"]  # a person answers in the place of a model
    columns = ColumnMap(
        named=named,
        logits=logits,
        allow_missing=True,
        decimal=decimal or ".",
        left_out=_unfit(named, free, looks),
    )
    # refuses a table in which nothing says how sure, or how right, the answers are
    confidence = Placing(Path(path), looks, columns).theirs("confidence")
    scale = None
    if not logits:
        scale = looks[confidence]
        is_percent = _is_percent(path, confidence, scale, percent)
        columns = replace(columns, percent=is_percent)
    description = _describe(columns, scale, asked)
    return Recognised(columns=columns, description=description, names=tuple(looks))


def _look(blocks: Iterable[dict[str, list]]) -> dict[str, _Look]:
    """What stands in each column of a table."""
    looks: dict[str, _Look] = {}
    for block in blocks:
        for name, values in block.items():
            looks.setdefault(name, _Look()).add(values)
    return looks


def plain_name(name: str) -> str:
    """A column's name in small letters without accents, its words joined by ``_``.

    >>> plain_name("Konfidenz (%)"), plain_name("isCorrect")
    ('konfidenz', 'is_correct')
    """
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(name)).casefold()
    text = unicodedata.normalize("NFC", text).translate(_UMLAUTS)
    text = unicodedata.normalize("NFKD", text)
    text = "".join(letter for letter in text if not unicodedata.combining(letter))
    return re.sub(r"[^a-z0-9]+", "_", text).strip("_")


def _candidates(ours: str, free: list[str], looks: dict[str, _Look]) -> list[str]:
    """The columns that one of ours may be taken from: of the first set of names that has any."""
    for names in NAMES[ours]:
        there = [
            name
            for name in free
            if plain_name(name) in names and _fits(ours, looks[name])
        ]
        if there:
            return there
    return []


def _fits(ours: str, look: _Look) -> bool:
    """Whether what stands in a column may be one of ours."""
    if ours == "confidence":
        return look.is_number and not (look.is_grade and look.most <= 1 and look.whole)
    if ours == "correct":
        return look.is_grade
    allowed = COLUMNS[ours].allowed if ours in COLUMNS else ()
    if allowed:
        return look.words <= {*allowed}
    return look.n > 0


def _ambiguous(path, ours, theirs):
    option = _OPTIONS.get(ours, f"--{ours}")
    return MedcalError(
        f"{path}: {len(theirs)} columns may be the {ours}: {_quoted(theirs)}; name one by {option}"
    )


def _quoted(names):
    return ", ".join(f"'{name}'" for name in names)


def _is_percent(path, name, look, percent):
    """Whether a column of confidences runs from 0 to 100."""
    if percent is not None:
        return percent
    if look.sign or look.most <= 1 + 1e-6:
        return False  # a sign is read cell by cell
    if look.whole and look.most <= _LIKERT:
        raise MedcalError(
            f"{path}: column '{name}' runs from {look.least:g} to {look.most:g} in whole numbers: "
            "percent, or a scale of its own? Give --percent, or write probabilities"
        )
    if look.fractions:
        raise MedcalError(
            f"{path}: column '{name}' runs to {look.most:g}, and some cells lie between 0 and 1: "
            "percent and probabilities mixed? Give --percent if all are percent, or write all alike"
        )
    return True


def _unfit(
    named: Mapping[str, str], free: list[str], looks: Mapping[str, _Look]
) -> list[str]:
    """Columns that are called like ours and hold something else: they are left out."""
    unfit = []
    for name in free:
        column = COLUMNS.get(name)
        if column is not None and name not in named and not _holds(column, looks[name]):
            unfit.append(name)
    return unfit


def _holds(column, look):
    if column.allowed:
        return look.words <= {*column.allowed}
    if column.kind in ("count", "amount"):
        return look.is_number and look.least >= 0
    return True


def _describe(columns: ColumnMap, scale: _Look | None, asked: list[str]) -> str:
    parts = []
    if columns.logits:
        parts.append(f"confidence from the option scores {_quoted(columns.logits)}")
    for ours in ("confidence", "correct", "gold", *COLUMNS, "reader"):
        theirs = columns.named.get(ours)
        part = f"{ours} from '{theirs}'"
        if theirs is None or any(known.startswith(part) for known in parts):
            continue
        if ours == "confidence":
            part += _scale(columns.percent, scale)
        parts.append(part)
    if "image_id" not in columns.named:
        parts.append("no image named: intervals by answer")
    if columns.left_out:
        parts.append(f"left out: {_quoted(columns.left_out)}")
    return "; ".join([", ".join(parts), *asked])


def _scale(percent, look):
    marks = []
    if percent or look.sign:
        marks.append("percent")
    if look.comma:
        marks.append("decimal comma")
    return f" ({', '.join(marks)})" if marks else ""
