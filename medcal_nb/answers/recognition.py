"""Which column of somebody's table is which of ours, where that is plain; else it is asked."""

import re
import unicodedata
from collections.abc import Iterable, Mapping

import pandas as pd

from medcal_nb.answers.cells import RIGHT, WRONG, Place, numbers
from medcal_nb.errors import MedcalError, did_you_mean

#: Names that a column goes by, in small letters without accents, words joined by ``_``. The
#: first set that has one column of the table decides; two columns of one set are asked about.
NAMES: dict[str, tuple[str, ...]] = {
    "item_id": (
        "item_id",
        "item question_id qid case case_id item_no item_nr sample_id uid frage fall fall_id "
        "fallnummer fall_nr question_no cas id_cas numero_cas",
        "id nr no number numero",
        "index idx row",
    ),
    "image_id": (
        "image_id",
        "image img img_id image_name image_file image_path img_name img_path filename file_name "
        "bild bild_id bildname bilddatei image_nom fichier",
    ),
    "model": (
        "model",
        "model_name model_id llm mllm vlm modell modele nom_modele engine system",
    ),
    "reader": (
        "reader",
        "rater radiologist annotator observer clinician reader_id rater_id arzt aerztin radiologe "
        "befunder lecteur radiologue medecin",
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
    "options": ("options", "choices"),
    "split": ("split",),
    "answer": (
        "answer",
        "model_answer predicted_answer prediction predicted pred response reply antwort "
        "modellantwort vorhersage reponse prediction_modele",
    ),
    "gold": (
        "gold",
        "gold_answer ground_truth groundtruth truth target reference reference_answer "
        "correct_answer right_answer richtige_antwort goldstandard verite bonne_reponse "
        "reponse_correcte",
        "label",
    ),
    "confidence": (
        "confidence",
        "conf model_confidence stated_confidence verbalized_confidence verbalised_confidence "
        "confidence_score confidence_percent confidence_pct conf_pct self_confidence konfidenz "
        "konfidenz_prozent sicherheit zuversicht confiance certitude",
        "certainty p_correct prob_correct probability prob p_true p confidence_value",
        "score",
    ),
    "correct": (
        "correct",
        "is_correct right is_right correctness richtig korrekt ist_richtig ist_korrekt juste "
        "est_correct",
        "hit graded grade acc accuracy",
        "score label",
    ),
    **{
        name: (name,)
        for name in (
            "sample run_id option_probabilities raw parse_ok prompt_tokens new_tokens seconds"
        ).split()
    },
}

#: Ours that are a column where the table has one of the name, else one value for all rows.
COLUMN_OR_VALUE = ("model", "strategy", "dataset", "domain", "split")

#: Names that say both "is it right" and "the right answer".
_TWO_MEANINGS = frozenset("correct right richtig korrekt juste label".split())
_OPTIONAL = ("answer", "gold", "strategy", "modality", "reader", "options")
_OPTIONS = {"item_id": "--item", "image_id": "--image"}
_SCORES = re.compile(r"(?:logit|logits|logprob|log_prob)_[^_]+", re.IGNORECASE)
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})
_MOST_WORDS = 50


def plain_column(name: str) -> str:
    """A column's name in small letters without accents, its words joined by ``_``.

    Examples
    --------
    >>> plain_column("Konfidenz (%)"), plain_column("isCorrect")
    ('konfidenz', 'is_correct')
    """
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(name)).casefold()
    text = unicodedata.normalize("NFC", text).translate(_UMLAUTS)
    text = unicodedata.normalize("NFKD", text)
    text = "".join(letter for letter in text if not unicodedata.combining(letter))
    return re.sub(r"[^a-z0-9]+", "_", text).strip("_")


def recognise(
    raw: pd.DataFrame, named: Mapping[str, str], file: str
) -> tuple[dict[str, str], list[str]]:
    """Which column of a table each of ours is taken from, and what was left open.

    Names and contents have to agree: a column called "score" is the confidence where it holds
    fractions and the grade where it holds 0 and 1 alone.

    Parameters
    ----------
    raw : DataFrame
    named : mapping
        Of ours to theirs, as the user named them; an empty name says that there is none.
    file : str
        For messages.

    Raises
    ------
    MedcalError
        Where two columns may be the one that is needed, or one that was named is not there.
    """
    for ours, theirs in named.items():
        if theirs and theirs not in raw and ours not in COLUMN_OR_VALUE:
            near = did_you_mean(theirs, raw.columns)
            raise _lacking(file, f"no column '{theirs}', which was named{near}", raw)
    taken = {ours: theirs for ours, theirs in named.items() if theirs in raw}
    free = [name for name in raw if name not in taken.values()]
    asked = []
    for ours in NAMES:
        if ours in named:
            continue
        theirs = _candidates(ours, free, raw)
        if len(theirs) > 1 and ours not in _OPTIONAL:
            option = _OPTIONS.get(ours, f"--{ours}")
            raise MedcalError(
                f"{file}: {len(theirs)} columns may be the {ours}: {quoted(theirs)}; name one by "
                f"{option}"
            )
        if len(theirs) > 1:
            asked.append(f"{ours}: {quoted(theirs)} may be it, none is taken")
        elif theirs:
            taken[ours] = theirs[0]
            free.remove(theirs[0])
    _check_words(raw, taken, named, file)
    return taken, asked


def option_scores(names: Iterable[str]) -> list[str]:
    """Columns that are called as scores of options are: ``logit_A``, ``logprob_yes``."""
    return [name for name in names if _SCORES.fullmatch(str(name))]


def _lacking(file, problem, raw):
    shown = ", ".join(map(str, raw.columns[:40]))
    return MedcalError(f"{file}: {problem}; columns are {shown}")


def check_enough(raw: pd.DataFrame, have: Iterable[str], file: str) -> None:
    """Refuse a table in which nothing says how sure, or how right, the answers are."""
    have = set(have)
    if "confidence" not in have:
        near = did_you_mean("confidence", raw.columns)
        problem = f"no column 'confidence'{near}; name it by --confidence, or option scores by "
        raise _lacking(file, problem + "--logits or --probabilities", raw)
    if not (have >= {"correct"} or have >= {"answer", "gold"}):
        near = did_you_mean("correct", raw.columns)
        problem = f"nothing says which answers are correct{near}; name a column by --correct, or "
        raise _lacking(file, problem + "two by --answer and --gold", raw)


def _candidates(ours: str, free: list[str], raw: pd.DataFrame) -> list[str]:
    """The columns that one of ours may be taken from: of the first set of names that has any."""
    for names in NAMES[ours]:
        there = [name for name in free if plain_column(name) in names.split()]
        there = [name for name in there if _fits(ours, name, raw[name])]
        if there:
            return there
    return []


def _fits(ours: str, name: str, values: pd.Series) -> bool:
    """Whether what stands in a column may be one of ours."""
    if ours == "correct":
        return is_grade(values)
    if ours == "confidence":
        may_be_grade = plain_column(name) in NAMES["correct"][-1]
        return _is_number(values) and not (may_be_grade and is_grade(values))
    return bool(values.notna().any())


def words_of(values: pd.Series) -> set[str]:
    """The different cells of a column in small letters, if they are few; else none."""
    try:
        cells = values.dropna().drop_duplicates()
    except TypeError:  # lists and tables
        return set()
    if len(cells) > _MOST_WORDS:
        return set()
    return {str(cell).strip().casefold() for cell in cells} - {""}


def is_grade(values: pd.Series) -> bool:
    """Whether every cell says right or wrong."""
    words = words_of(values)
    return bool(words) and words <= RIGHT | WRONG


def _is_number(values: pd.Series) -> bool:
    """Whether nearly all cells are numbers: a few may be refusals in words."""
    if pd.api.types.is_bool_dtype(values.dtype):
        return False
    cells = values[values.notna() & (values != "")].iloc[:5000]
    n = 0
    for cell in cells:
        try:
            numbers(pd.Series([cell], dtype=object), Place("", ""), "")
            n += 1
        except MedcalError:
            pass
    return n > 0 and n >= 0.9 * len(cells)


def _check_words(raw, taken, named, file):
    """Ask whether a column called "correct" holds grades, or right answers in the same words."""
    theirs = taken.get("correct")
    if not {"correct", "answer"} <= {*taken} or "correct" in named or "gold" in taken:
        return
    words = words_of(raw[theirs])
    if plain_column(theirs) in _TWO_MEANINGS and words == words_of(raw[taken["answer"]]):
        raise MedcalError(
            f"{file}: column '{theirs}' holds the words of the answers: does it say whether the "
            f"answer is right, or is it the right answer? Write --correct '{theirs}' or "
            f"--gold '{theirs}'"
        )


def quoted(names: Iterable[str]) -> str:
    """Names in quotation marks, for a sentence."""
    return ", ".join(f"'{name}'" for name in names)
