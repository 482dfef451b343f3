"""Which column of somebody's table is which of ours, where that is plain; else it is asked."""

import contextlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from medcal_nb.answer_key import is_nothing
from medcal_nb.answers.columns import (
    KNOWN,
    NAMES,
    RIGHT,
    WRONG,
    by_option,
    columns_of,
    flags,
    number,
    numbers,
    refuse,
)
from medcal_nb.errors import MedcalError, did_you_mean
from medcal_nb.grading import grade_table
from medcal_nb.replies import read_replies

#: Ours that are a column where the table has one of the name, else one value for all rows.
COLUMN_OR_VALUE = columns_of("value")

#: Answers by which it is judged what a column means, and those that are looked at to see it.
LEAST = 20
MOST = 2000

#: Types of questions that are read and graded by rules of their own.
KINDS = ("closed", "choice", "open")
#: Whose replies have one form and one scale.
_RUN = ("model", "dataset", "strategy")

#: How far from 1 a row of probabilities may sum.
_SUM = 0.01
#: Where the option of the largest score comes from, and its probability.
SCORED = "the option scores: "
#: Where the answer and the confidence come from that a reply states.
REPLIED = "the replies: "

_OPTIONAL = ("answer", "gold", "strategy", "modality", "reader", "options", "reply")
_SCORES = re.compile(r"(?:logit|logits|logprob|log_prob)_[^_]+", re.IGNORECASE)
_OF_MODELS = ("_confidence", "_conf", "_correct", "_answer", "_prediction")
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})
_MOST_WORDS = 50
_MOST_LOOKED_AT = 5000


@dataclass
class Recognised:
    """A table, and what is what in it.

    Attributes
    ----------
    table : DataFrame
        As it stood in the file, with the options chosen in the place of option scores.
    taken : dict of str
        The column of the table that each of ours is taken from.
    fixed : dict of str
        Ours that are one value in all rows.
    assumed : list of str
        What was left open, in sentences.
    named : set of str
        Ours of which the user said what they are.
    """

    table: pd.DataFrame
    taken: dict[str, str]
    fixed: dict[str, str] = field(default_factory=dict)
    assumed: list[str] = field(default_factory=list)
    named: set[str] = field(default_factory=set)

    @property
    def is_scored(self) -> bool:
        """Whether the confidence is a probability: of scores of options, or read from replies."""
        return self.taken.get("confidence", "").startswith((SCORED, REPLIED))

    def said(self, words: str) -> list[str]:
        """Sentences of what was assumed that hold some words."""
        return [sentence for sentence in self.assumed if words in sentence]


def plain_column(name: object) -> str:
    """A column's name in small letters without accents, its words joined by ``_``.

    Examples
    --------
    >>> plain_column("Konfidenz (%)"), plain_column("isCorrect")
    ('konfidenz', 'is_correct')
    """
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(name)).casefold()
    text = unicodedata.normalize("NFC", text).translate(_UMLAUTS)
    text = re.sub(r"[\u0300-\u036f]", "", unicodedata.normalize("NFKD", text))
    return re.sub(r"[^a-z0-9]+", "_", text).strip("_")


def recognise(
    raw: pd.DataFrame,
    named: Mapping[str, str],
    *,
    logits: Sequence[str] = (),
    probabilities: Sequence[str] = (),
    scale: str | float | None = None,
) -> Recognised:
    """Which column of a table each of ours is taken from, and what was left open.

    Names and contents have to agree: a column called "score" is the confidence where it holds
    fractions and the grade where it holds 0 and 1 alone.

    Parameters
    ----------
    raw : DataFrame
    named : mapping
        Of ours to theirs, as the user named them; an empty name says that there is none.
    logits, probabilities : sequence of str
        Columns of one score for each option; those that are called so, if none are named.
    scale : str or float, optional
        Of the confidences that replies state.

    Raises
    ------
    MedcalError
        Where two columns may be the one that is needed, where one that was named is not there,
        where nothing says how sure, or how right, the answers are, and where a column has two
        meanings.
    """
    for ours, theirs in named.items():
        if theirs and theirs not in raw and ours not in COLUMN_OR_VALUE:
            raise _lacking(f"no column '{theirs}', which was named", theirs, raw)
    scores = [*probabilities, *logits]
    if not scores and not named.get("confidence"):
        scores = _called_scores(raw, named)
    table = raw
    assumed: list[str] = []
    named = dict(named)
    if scores:
        table, assumed = _choices(raw, scores, named, bool(probabilities))
        named.setdefault("strategy", "option_probability")
        named.update((name, SCORED + name) for name in _CHOSEN)
    taken, asked = _by_name(table, named)
    fixed = {name: text for name, text in named.items() if name not in taken and text}
    found = Recognised(
        table=table,
        taken=taken,
        fixed=fixed,
        assumed=[*assumed, *asked],
        named={*named},
    )
    fill_from_replies(found, scale)
    if {"correct", "answer"} <= {*taken} and not {"correct", "gold"} & {*named}:
        _ask_for_gold(found.table, taken)
    return found


def _by_name(
    raw: pd.DataFrame, named: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """The column that each of ours is taken from, and where two may be it, in sentences."""
    taken = {ours: theirs for ours, theirs in named.items() if theirs in raw}
    free = [name for name in raw if name not in taken.values()]
    asked = []
    for ours in NAMES:
        candidates = [] if ours in named else _candidates(ours, free, raw)
        names = ", ".join(map(repr, candidates))
        if len(candidates) > 1 and ours not in _OPTIONAL:
            raise MedcalError(
                f"{len(candidates)} columns may be the {ours}: {names}; name one: "
                f"{ours}={candidates[0]}"
            )
        if len(candidates) > 1:
            asked.append(f"{ours}: {names} may be it, none is taken")
        elif candidates:
            taken[ours] = candidates[0]
            free.remove(candidates[0])
    return taken, asked


def check_enough(found: Recognised, *, ungraded: bool = False) -> None:
    """Refuse a table that does not say how sure, or (unless `ungraded`) how right answers are."""
    raw = found.table
    taken = found.taken
    if "confidence" not in {*taken, *found.named}:
        _refuse_wide(raw)
        problem = (
            "no column 'confidence'; name it by confidence=COLUMN (-c on the command line), option "
            "scores by logits=A,B or probabilities=A,B, or replies by reply=COLUMN"
        )
        raise _lacking(problem, "confidence", raw, found.said("replies in"))
    is_graded = "correct" in taken or {"answer", "gold"} <= {*taken}
    if not is_graded and not ungraded:
        problem = (
            "nothing says which answers are correct; name a column by correct=COLUMN, or two by "
            "answer=COLUMN and gold=COLUMN"
        )
        raise _lacking(problem, "correct", raw, found.said("may be it"))


def _refuse_wide(raw: pd.DataFrame) -> None:
    """Refuse a table with a column a model as what it is."""
    for end in _OF_MODELS:
        names = [name for name in raw if plain_column(name).endswith(end)]
        if len(names) > 1:
            shown = ", ".join(map(repr, names[:3]))
            raise MedcalError(
                f"a column for each model, it seems ({shown}); write one row an answer, "
                "with columns model, confidence and answer or correct (in pandas: melt, or "
                "wide_to_long)"
            )


def _lacking(
    problem: str, name: str, raw: pd.DataFrame, said: Sequence[str] = ()
) -> MedcalError:
    shown = ", ".join(map(str, raw.columns[:40]))
    near = did_you_mean(name, raw.columns)
    return MedcalError(f"{'; '.join([problem, *said])}{near}; columns are {shown}")


def _candidates(ours: str, free: list[str], raw: pd.DataFrame) -> list[str]:
    """The columns that one of ours may be taken from: of the first line of names that has any."""
    for line in NAMES[ours]:
        words = line.split()
        there = [name for name in free if plain_column(name) in words]
        fitting = [name for name in there if _fits(ours, name, raw[name])]
        if fitting:
            return fitting
    return []


def _fits(ours: str, name: str, values: pd.Series) -> bool:
    """Whether what stands in a column may be one of ours."""
    if name == ours:
        return True  # what does not fit is refused with its row
    if ours == "correct":
        return is_grade(values)
    if ours == "confidence":
        may_be_grade = plain_column(name) in NAMES["correct"][-1]
        return _is_number(values) and not (may_be_grade and is_grade(values))
    return bool(values.notna().any())


def words_of(values: pd.Series) -> set[str]:
    """The different cells of a column in small letters, if they are few; else none."""
    try:
        cells = values.dropna().unique()
    except TypeError:  # lists and tables
        return set()
    few = cells if len(cells) <= _MOST_WORDS else []
    words = {str(cell).strip().casefold() for cell in few if not is_nothing(cell)}
    return words - {""}


def is_grade(values: pd.Series) -> bool:
    """Whether every cell says right or wrong."""
    words = words_of(values)
    return bool(words) and words <= RIGHT | WRONG


def _is_number(values: pd.Series) -> bool:
    """Whether nearly all cells are numbers: a few may be refusals in words."""
    cells = values[values.notna() & (values != "")].iloc[:_MOST_LOOKED_AT]
    n = 0
    n_numbers = 0
    for cell in cells:
        if is_nothing(cell):
            continue
        n += 1
        with contextlib.suppress(ValueError):
            number(cell)
            n_numbers += 1
    return n_numbers > 0.9 * n


def _ask_for_gold(raw: pd.DataFrame, taken: Mapping[str, str]) -> None:
    """Ask whether a column of grades is that, or holds the right answers in words of answers."""
    if "gold" in taken:
        return
    theirs = taken["correct"]
    known = sample_of(raw, [taken["answer"], theirs])
    known.columns = ["answer", "gold"]
    words = words_of(known["gold"])
    has_words = not words.isdisjoint(KNOWN["grades"]["answers"].split())
    if known.empty or not (has_words or words == words_of(known["answer"])):
        return
    is_gold = grade_table(known)["correct"].fillna(False).astype(bool)
    share = is_gold.mean()
    if share <= 0.1:
        return
    shown = f"as right answers {share:.0%}"
    if is_grade(known["gold"]):
        right = flags(known["gold"], theirs)
        shown = f"as grades {right.mean():.0%} are right, {shown}"
    raise MedcalError(
        f"column '{theirs}' holds the words of the answers: {shown}; write "
        f"correct={theirs} if it says whether an answer is right, gold={theirs} if it is the right "
        "answer"
    )


def sample_of(raw: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Rows of a table by which columns are judged, as evenly as they come."""
    step = max(1, len(raw) // MOST)
    return raw[[*names]].iloc[::step].dropna()


# --- replies -------------------------------------------------------------------------------------


def fill_from_replies(found: Recognised, scale: str | float | None) -> None:
    """Take the answer and the confidence that a table lacks from its replies."""
    taken = found.taken
    theirs = taken.pop("reply", None)
    if theirs is None:
        return
    wanted = {"answer", "confidence"} - {*taken} - {*found.named}
    if "reply" not in found.named and "confidence" not in wanted:
        if "answer" in wanted:
            taken["answer"] = theirs
        return
    replies = found.table[theirs]
    read = read_column(found, replies, scale)
    if read["confidence"].isna().all() and {"answer", "reply"} <= {
        *taken,
        *found.named,
    }:
        # the answer stands elsewhere: these may say how sure it is, and nothing else
        found.assumed.pop()
        own = found.table[taken["answer"]].astype(str).str.strip()
        others = replies.mask(replies.astype(str).str.strip() == own)
        read = read_column(found, others, scale, kind="confidence")
    if read["confidence"].isna().all():
        wanted.discard("confidence")
    for name in wanted:
        taken[name] = REPLIED + name
        found.table = found.table.assign(**{REPLIED + name: read[name]})


def read_column(
    found: Recognised,
    replies: pd.Series,
    scale: str | float | None,
    kind: str | None = None,
) -> pd.DataFrame:
    """What the replies of a column say, each model's and method's as one run.

    A sentence on how many state a confidence, in which forms, with three examples, is added to
    what was assumed.

    Returns
    -------
    DataFrame
        As of `medcal_nb.replies.read_replies`, with the index of the table.
    """
    table = found.table
    asked = pd.DataFrame({"reply": replies.astype(object)})
    for name in ("options", "question_type"):
        asked[name] = None
        if name in found.taken:
            asked[name] = table[found.taken[name]]
    by = [table[found.taken[name]] for name in _RUN if name in found.taken]
    parts = []
    for _, rows in asked.groupby(by or np.zeros(len(asked)), sort=False, dropna=False):
        options = [listed(cell) for cell in rows["options"]]
        kinds = [kind or _kind_or_none(cell) for cell in rows["question_type"]]
        part = read_replies(
            rows["reply"],
            options=options,
            kinds=kinds,
            scale=scale,
        )
        parts.append(part)
    read = pd.concat(parts).reindex(table.index)
    about = _about_replies(read.assign(reply=asked["reply"]), replies.name)
    found.assumed.append(about)
    return read


def _about_replies(read: pd.DataFrame, name: object) -> str:
    """How many replies state a confidence, in which forms, and three of them."""
    stated = read.dropna(subset="confidence")
    sentence = (
        f"{len(stated):,} of {len(read):,} replies in '{name}' state a confidence"
    )
    forms = stated["form"].value_counts()
    shown = ", ".join(f"{form} {count:,}" for form, count in forms.items())
    if shown:
        sentence += f" ({shown})"
    # of each form one, then others
    order = stated["form"].duplicated().argsort(kind="stable")
    for row in stated.iloc[order[:3]].itertuples():
        answer = row.answer or "–"
        sentence += f"; {row.reply[-60:]!r}: {answer:.40}, {row.confidence:.3g}"
    return sentence


def listed(cell: Any) -> list | None:
    """The options of a question: of a list, a table by letter, or one of these as JSON."""
    if isinstance(cell, str):
        with contextlib.suppress(ValueError, RecursionError):
            cell = json.loads(cell)
    if isinstance(cell, dict):
        cell = [text for text in cell.values() if text is not None]
    return [*cell] if isinstance(cell, list | tuple | np.ndarray) else None


def _kind_or_none(cell: Any) -> str | None:
    kind = str(cell).casefold()
    return kind if kind in KINDS else None


# --- scores of options ---------------------------------------------------------------------------

#: What follows from the scores of options.
_CHOSEN = ("answer", "confidence", "option_probabilities")


def _called_scores(raw: pd.DataFrame, named: Mapping[str, str]) -> list[str]:
    """Columns that are called as scores of options are (``logit_A``, ``logprob_B``), if several."""
    scores = [str(name) for name in raw if _SCORES.fullmatch(str(name))]
    if len(scores) < 2:
        return []
    free = [name for name in raw if name not in named.values()]
    if rivals := _candidates("confidence", free, raw):
        raise MedcalError(
            f"the confidence may be '{rivals[0]}' or follow from the scores of options "
            f"({', '.join(scores)}); write confidence={rivals[0]} or logits={','.join(scores)}"
        )
    return scores


def _choices(
    raw: pd.DataFrame,
    names: Sequence[str],
    named: Mapping[str, str],
    are_probabilities: bool,
) -> tuple[pd.DataFrame, list[str]]:
    """A table with answers, confidences and probabilities in the place of options' scores.

    Each score's column is named by its option after the last ``_``. Logits and log-probabilities
    become probabilities by their softmax.
    """
    if unknown := [name for name in names if name not in raw]:
        raise MedcalError(f"no column '{unknown[0]}', which was named")
    _check_replaced(raw, names, named)
    options = [str(name).rsplit("_", 1)[-1] for name in names]
    if len(set(options)) < max(2, len(names)):
        raise MedcalError(
            "option scores need two columns or more that end in different options after the last "
            "'_'"
        )
    remedy = "write a number, or drop the row"
    columns = [numbers(raw[name], name, remedy)[0] for name in names]
    scores = np.column_stack(columns)  # (n_rows, n_options)
    missing = np.isnan(scores)
    _check_scores(scores, are_probabilities)
    if are_probabilities:
        p = np.nan_to_num(scores)
        bad = (p < 0).any(axis=1) | missing.all(axis=1)
        bad |= p.sum(axis=1) > 1 + _SUM
    else:
        scores = np.where(missing, -np.inf, scores)
        with np.errstate(invalid="ignore"):
            p = softmax(scores, axis=1)
        bad = np.isnan(p).any(axis=1)
    problem = "and the other options: missing, or no such scores"
    refuse(names[0], raw[names[0]], bad, problem, remedy)
    assumed = [f"confidence from the scores of options {', '.join(map(repr, names))}"]
    if missing.any():
        assumed.append(
            f"{missing.sum():,} scores of options are missing: they count as 0"
        )
    chosen = by_option(pd.DataFrame(p, raw.index, options)).add_prefix(SCORED)
    return raw.drop(columns=[*names]).join(chosen), assumed


def _check_replaced(
    raw: pd.DataFrame, scores: Sequence[str], named: Mapping[str, str]
) -> None:
    """Refuse scores of options beside another answer, or confidence, of the file."""
    for ours in _CHOSEN:
        if named.get(ours):
            raise MedcalError(
                f"{ours}={named[ours]} beside scores of options, from which the {ours} "
                "follows; leave one of them out"
            )
    used = {*named.values(), *scores}
    if "answer" in raw and "answer" not in named and "answer" not in used:
        raise MedcalError(
            "column 'answer' stands beside scores of options, from which the model's "
            "answer follows; write gold=answer if it is the right answer, answer= (nothing) if it "
            "is to be left out"
        )


def _check_scores(scores: np.ndarray, are_probabilities: bool) -> None:
    """Refuse scores of options, (n_rows, n_options), that are other ones than the user says."""
    sums = np.nansum(scores, axis=1)
    top = np.nanmax(scores, initial=-np.inf)
    if np.nanmin(scores, initial=np.inf) < 0:
        return
    problem = ""
    if top <= 1 and (sums <= 1 + _SUM).all() and not are_probabilities:
        problem = "lie between 0 and 1 and sum to at most 1: they are probabilities; name them by"
    elif 1 < top <= 100 and np.median(np.abs(sums - 100)) <= 1:
        problem = (
            "sum to 100: they are percentages; divide them by 100 and name them by"
        )
    if problem:
        raise MedcalError(f"the option scores {problem} probabilities=")
