"""Which column of somebody's table is which of ours, where that is plain; else it is asked."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from medcal_nb.errors import MedcalError
from medcal_nb.tables.columns import (
    KNOWN,
    NAMES,
    RIGHT,
    TEXT,
    WRONG,
    columns_of,
    flags,
)
from medcal_nb.tables.match import (
    lacking,
    match_columns,
    option_columns,
    options_by_letter,
    plain_column,
)
from medcal_nb.wording import in_shell, percent
from medcal_nb.words import grade_table, is_nothing, options_of, read_replies

#: Ours that are a column where the table has one of the name, else one value for all rows.
COLUMN_OR_VALUE = columns_of("value")

#: Answers by which it is judged what a column means, and those that are looked at to see it.
LEAST = 20
MOST = 2000

#: Types of questions that are read and graded by rules of their own.
KINDS = ("closed", "choice", "open")
#: Whose replies have one form and one scale.
_RUN = ("model", "dataset", "strategy")

#: How columns begin that are no columns of the file: of a reply, or a value for all.
OWN = "as read: "

_OF_MODELS = ("_confidence", "_conf", "_correct", "_answer", "_prediction")
_ANSWERS = frozenset(KNOWN["grades"]["answers"].split())
#: One of these is in the name of a column that may say how sure a model was.
SURE_WORDS = frozenset(KNOWN["rows"]["sure"].split())
_NUMBER = r"\s*[+-]?[\d.,]+(?:[eE][+-]?\d+)?\s*%?\s*"
_MOST_WORDS = 50
_MOST_LOOKED_AT = 5000
#: What a reply may mean whose confidence is not read, by its form.
_UNREAD = {
    "no scale": "have a number on a scale that is not known",
    "in doubt": "have a number behind the answer that may be another ('confidence: 90%' is read)",
    "unread": "speak of it in a form that is not read",
}
#: Rows by which columns are tried out, and the share of them that is more than chance.
_MOST_TRIED = 200
_SOME = 0.1


@dataclass
class Recognised:
    """A table, and what is what in it.

    Attributes
    ----------
    table : DataFrame
        As it stood in the file, and what was read from it.
    taken : dict of str
        The column of the table that each of ours is taken from.
    assumed : list of str
        What was left open, in sentences.
    named : set of str
        Ours of which the user said what they are.
    replies : str, optional
        The column of replies that answers were read from.
    """

    table: pd.DataFrame
    taken: dict[str, str]
    assumed: list[str] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    replies: str | None = None

    def add(self, ours: str, values: Any) -> None:
        """Take one of ours from elsewhere than a column of the file."""
        self.table = self.table.assign(**{OWN + ours: values})
        self.taken[ours] = OWN + ours

    @property
    def is_scored(self) -> bool:
        """Whether the confidence is a probability already: read from replies."""
        return self.taken.get("confidence", "").startswith(OWN)


def recognise(
    raw: pd.DataFrame,
    named: Mapping[str, str],
    *,
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
            raise lacking(f"no column '{theirs}', which was named", theirs, raw)
    found = Recognised(
        table=raw,
        taken={},
        named={*named},
    )
    _by_name(found, named)
    _fill_options(found)
    _fill_from_replies(found, scale)
    if {"correct", "answer"} <= {*found.taken} and not {"correct", "gold"} & {*named}:
        _ask_for_gold(found)
    return found


def _by_name(found: Recognised, named: Mapping[str, str]) -> None:
    """Take each of ours from the column that is named, or called, so; a value is for all rows."""
    raw = found.table
    found.taken |= match_columns(raw, NAMES, named, _fits)
    for ours, theirs in named.items():
        if theirs and theirs not in raw:
            found.add(ours, theirs)


def check_enough(found: Recognised, *, ungraded: bool = False) -> None:
    """Refuse a table that does not say how sure, or (unless `ungraded`) how right answers are.

    The message says all that is missing, and ends in what may be written: columns that hold it, by
    the look of their cells.
    """
    taken = found.taken
    problems = []
    has_confidence = "confidence" in {*taken, *found.named}
    if not has_confidence:
        _refuse_wide(found.table)
        problems.append(
            "no column 'confidence'; name it by confidence=COLUMN (-c on the command line), or "
            "replies by reply=COLUMN"
        )
    # replies hold answers, too
    compared = {"answer", "gold"} if has_confidence else {"gold"}
    has_grades = ungraded or "correct" in taken or compared <= {*taken}
    if not has_grades:
        problems.append(
            "nothing says which answers are correct; name a column by correct=COLUMN, or two by "
            "answer=COLUMN and gold=COLUMN"
        )
    if problems:
        theirs = [name for name in found.table if not str(name).startswith(OWN)]
        problem = "; ".join([*problems, *found.assumed])
        error = lacking(problem, "confidence", found.table[theirs])
        likely = _likely(found, not has_confidence, not has_grades)
        raise MedcalError(f"{error}{_to_write(likely)}")


def _likely(found: Recognised, wants_sure: bool, wants_right: bool) -> dict[str, str]:
    """Ours that are lacking, and the columns that may be them by the look of their cells."""
    raw = found.table
    aside = {found.taken.get(name) for name in (*columns_of("item"), "model")}
    aside -= {found.taken.get("gold")}
    names = [one for one in raw if one not in aside and not str(one).startswith(OWN)]
    step = max(1, len(raw) // _MOST_TRIED)
    cells = raw[names].iloc[::step].astype(object)
    cells = cells.map(lambda cell: None if isinstance(cell, dict | list) else cell)
    likely = {}
    replies = found.replies or found.taken.get("answer")
    if wants_sure:
        likely = _likely_sure(cells)
        replies = likely.get("reply", replies)
    if wants_right:
        likely |= _likely_right(cells, replies)
    return likely


def _likely_sure(cells: pd.DataFrame) -> dict[str, str]:
    """The column of replies that states confidences, or the one number that may be one."""
    stating = {name: _share_stating(cells[name]) for name in cells}
    best = max(stating, key=stating.__getitem__, default="")
    if stating.get(best, 0) > _SOME:
        return {"reply": best}
    numbers = [name for name in cells if _looks_sure(name, cells[name])]
    return {"confidence": numbers[0]} if len(numbers) == 1 else {}


def _likely_right(cells: pd.DataFrame, replies: str | None) -> dict[str, str]:
    """The column that holds what replies answer, else the one column of grades."""
    if replies:
        pairs = [(replies, name) for name in cells if name != replies]
    else:  # two columns of the same words; answers come first
        texts = [name for name in cells if not _is_number(cells[name])]
        pairs = [*itertools.combinations(texts, 2)]
    alike = {pair: _share_alike(cells, *pair) for pair in pairs}
    best = max(alike, key=alike.__getitem__, default=None)
    if best and alike[best] > _SOME:
        answer, gold = best
        return {"gold": gold} if replies else {"answer": answer, "gold": gold}
    grades = [name for name in cells if name != replies and is_grade(cells[name])]
    return {"correct": grades[0]} if len(grades) == 1 else {}


def _looks_sure(name: object, cells: pd.Series) -> bool:
    """Whether a column of numbers says by its name, or by fractions alone, how sure one was."""
    if not says_how_sure(cells):
        return False
    texts = cells.dropna().astype(str).str.strip()
    is_fraction = texts.str.fullmatch(r"0?[.,]\d+|[01]([.,]0+)?")
    return bool(SURE_WORDS & {*plain_column(name).split("_")}) or is_fraction.all()


def _share_stating(cells: pd.Series) -> float:
    """Share of a column's cells that state a confidence in words of a reply."""
    texts = cells.dropna().astype(str)
    read = read_replies(texts)
    return float(read["confidence"].count() / max(1, len(read)))


def _share_alike(cells: pd.DataFrame, replies: str, theirs: str) -> float:
    """Share of the replies that the cells of a column would make right answers."""
    if replies not in cells:  # a value for all rows
        return 0.0
    both = cells[[replies, theirs]].dropna().astype(str)
    both.columns = ["answer", "gold"]
    return float(grade_table(both)["correct"].sum() / max(1, len(both)))


def _to_write(likely: Mapping[str, str]) -> str:
    """How to name columns on the command line and in Python, to be copied."""
    if not likely:
        return ""
    options = []
    for ours, theirs in likely.items():
        options.append("-c " + in_shell(f"{ours}={theirs}"))
    keywords = ", ".join(f"{ours}={theirs!r}" for ours, theirs in likely.items())
    return f"; perhaps {' '.join(options)} (in Python {keywords})"


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
    cells = values.dropna().astype(str).unique()
    few = cells if len(cells) <= _MOST_WORDS else []
    words = {cell.strip().casefold() for cell in few if not is_nothing(cell)}
    return words - {""}


def is_grade(values: pd.Series) -> bool:
    """Whether every cell says right or wrong."""
    words = words_of(values)
    return bool(words) and words <= RIGHT | WRONG


def _is_number(values: pd.Series) -> bool:
    """Whether nearly all cells are numbers: a few may be refusals in words."""
    cells = values.dropna().iloc[:_MOST_LOOKED_AT].astype(str)
    cells = cells[~cells.map(is_nothing).astype(bool) & (cells != "")]
    return cells.str.fullmatch(_NUMBER).sum() > 0.9 * len(cells)


def says_how_sure(values: pd.Series) -> bool:
    """Whether a column may be a confidence: different numbers, or shares in percent."""
    return values.nunique() > 1 and _is_number(values) and not is_grade(values)


def _ask_for_gold(found: Recognised) -> None:
    """Ask whether a column of grades is that, or holds the right answers in words of answers."""
    if "gold" in found.taken:
        return
    theirs = found.taken["correct"]
    known = sample_of(found.table, [found.taken["answer"], theirs])
    known.columns = ["answer", "gold"]
    words = words_of(known["gold"])
    if not (words & _ANSWERS or words == words_of(known["answer"])):
        return
    share = grade_table(known)["correct"].fillna(False).mean()
    if known.empty or share <= 0.1:
        return
    shown = f"as right answers {percent(share)}%"
    if is_grade(known["gold"]):
        right = flags(known["gold"], theirs)
        shown = f"as grades {percent(right.mean())}% are right, {shown}"
    raise MedcalError(
        f"column '{theirs}' holds the words of the answers: {shown}; write "
        f"correct={theirs} if it says whether an answer is right, gold={theirs} if it is the right "
        "answer"
    )


def sample_of(raw: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Rows of a table by which columns are judged, as evenly as they come."""
    step = max(1, len(raw) // MOST)
    return raw[[*names]].iloc[::step].dropna()


def _fill_options(found: Recognised) -> None:
    """Take the options from columns A, B, C … (or option_a, option_b …) where there are such."""
    if "options" in {*found.taken, *found.named}:
        return
    letters = option_columns(found.table, found.taken.values())
    if letters:
        found.add("options", options_by_letter(found.table, letters))
        last = max(letters.values())
        found.assumed.append(f"options from {len(letters)} columns, A to {last}")


# --- replies -------------------------------------------------------------------------------------


def _fill_from_replies(found: Recognised, scale: str | float | None) -> None:
    """Take the answer and the confidence that a table lacks from its replies."""
    taken = found.taken
    theirs = taken.pop("reply", None)
    # without a column of confidences they are those of the replies
    wanted = {"answer", "confidence"} - {*taken} - (found.named - {"confidence"})
    if theirs is None or not wanted:
        return
    if "confidence" not in wanted and "reply" not in found.named:
        _say_of_unread(found, theirs, scale)
        taken["answer"] = theirs
        return
    if "confidence" not in wanted:
        _say_of_unread(found, theirs, scale)
    read = read_column(found, found.table[theirs], scale)
    if read["confidence"].isna().all():
        wanted.discard("confidence")
    for name in wanted:
        found.add(name, read[name])
    if "answer" in wanted:
        found.replies = theirs
        if "raw" not in taken:
            found.add("raw", found.table[theirs])


def _say_of_unread(found: Recognised, theirs: str, scale: str | float | None) -> None:
    """Say that replies state a confidence where it is taken from a column all the same."""
    column = found.taken.get("confidence")
    texts = sample_of(found.table, [theirs])[theirs].astype(str)
    is_stated = pd.Series(False)
    with suppress(MedcalError):  # of their scale, which nobody needs
        is_stated = read_replies(texts, scale=scale)["confidence"].notna()
    if column is not None and is_stated.any():
        found.assumed.append(
            f"replies in '{theirs}' state a confidence, which is not used: it is '{column}'; "
            "confidence= (nothing) takes that of the replies"
        )


def read_column(
    found: Recognised, replies: pd.Series, scale: str | float | None
) -> pd.DataFrame:
    """What the replies of a column say, each model's and method's as one run.

    How many state a confidence, in which forms, and what may be one and is not read, with three
    examples each, is added to what was assumed.

    Returns
    -------
    DataFrame
        As of `medcal_nb.words.read_replies`, with the index of the table.
    """
    table = found.table
    taken = found.taken
    options = kinds = pd.Series(None, table.index, dtype=object)
    if "options" in taken:
        options = options_of(table[taken["options"]])
    if "question_type" in taken:
        kinds = known_kinds(table[taken["question_type"]])
    runs = [table[taken[name]] for name in _RUN if name in taken]
    parts = []
    by_run = replies.groupby(runs or (lambda _: 0), sort=False, dropna=False)
    for _, texts in by_run:
        part = read_replies(
            texts,
            options=options[texts.index],
            kinds=kinds[texts.index],
            scale=scale,
        )
        parts.append(part)
    read = pd.concat(parts).reindex(table.index)
    found.assumed += _about_replies(read.assign(reply=replies), replies.name)
    return read


def _about_replies(read: pd.DataFrame, name: object) -> list[str]:
    """How many replies state a confidence, in which forms, and three of them; what is not read."""
    stated = read.dropna(subset="confidence")
    sentence = (
        f"{len(stated):,} of {len(read):,} replies in '{name}' state a confidence"
    )
    unread = read[read["confidence"].isna() & read["form"].notna()]
    about_unread = _about_unread(unread, len(read) - len(stated))
    if stated.empty:
        return [sentence, *about_unread]
    forms = stated["form"].value_counts()
    shown = ", ".join(f"{form} {count:,}" for form, count in forms.items())
    examples = []
    for row in _of_each_form(stated):
        example = f"{row.reply[-60:]!r}: {row.answer or '–':.40}, {row.confidence:.3g}"
        examples.append(example)
    return [f"{sentence} ({shown}); {'; '.join(examples)}", *about_unread]


def _of_each_form(rows: pd.DataFrame) -> Iterator[Any]:
    """Three different rows: of each form one, then others, first what differs beyond numbers."""
    ends = rows["reply"].str.strip().str[-60:]
    rows = rows[~ends.duplicated()]
    alike = ends[rows.index].str.replace(r"\d+", "0", regex=True).duplicated()
    rank = rows["form"].duplicated() * (1 + alike)
    order = rank.argsort(kind="stable")
    return rows.iloc[order[:3]].itertuples()


def _about_unread(unread: pd.DataFrame, n_without: int) -> list[str]:
    """What may state a confidence and is not read: how many replies of each form, and three."""
    if unread.empty:
        return []
    beside: dict[str, list[str]] = {}
    for row in _of_each_form(unread):
        beside.setdefault(row.form, []).append(repr(row.reply.strip()[-60:]))
    parts = []
    for form, count in unread["form"].value_counts().items():
        words = _UNREAD.get(form, f"have a number {form} behind the answer")
        shown = beside.get(form, [])
        if form == "no scale":
            shown.append("scale=10 or scale=percent names it")
        elif form not in _UNREAD:
            shown.append(f"scale={form.removeprefix('of ')} takes it, if it is one")
        in_brackets = f" ({', '.join(shown)})" if shown else ""
        parts.append(f"{count:,} {words}{in_brackets}")
    return [f"of the {n_without:,} replies without one {'; '.join(parts)}"]


def known_kinds(values: pd.Series) -> pd.Series:
    """The kinds of questions that have rules of their own; None where it is another."""
    kinds = values.astype(TEXT).str.casefold().astype(object)
    return kinds.where(kinds.isin(KINDS), None)
