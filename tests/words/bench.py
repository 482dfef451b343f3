"""How the grader and the reader of replies do on the bench: ``python -m tests.words.bench build``.

Each row comes in by `load_answers`, as a user's table would, as a run of its own: a reply says
nothing about the scale or form of another. Of the part that is kept apart (``report``) only counts
are printed; ``--write`` puts them into `docs/grader.md`. What reports quote are counts of
``other_hand``, taken once before anything was built on it: no command renews them.
"""

import argparse
import json
import re
import tempfile
from pathlib import Path

import pandas as pd

from medcal_nb.answers import load_answers
from medcal_nb.errors import MedcalError
from medcal_nb.words.options import options_of

HERE = Path(__file__).parent
PARTS = ("build", "report", "other_hand")
#: The counts of the other hand's part by the rules of then: for the package.
COUNTS = HERE.parents[1] / "medcal_nb" / "words" / "bench.json"
PAGE = HERE.parents[1] / "docs" / "grader.md"
#: A confidence is read rightly where it differs by less (0.667 of 0.6667).
NEAR = 0.005
#: Columns of the bench that a table of answers has, too.
_ASKED = ["options", "question_type", "gold", "reply"]


def labelled(part: str) -> pd.DataFrame:
    """The rows of a part by their ids, as labelled by hand."""
    path = HERE / f"bench_{part}.csv"
    return pd.read_csv(path, dtype=str, keep_default_na=False, index_col="id")


def graded(rows: pd.DataFrame) -> pd.DataFrame:
    """Read and grade the rows.

    Parameters
    ----------
    rows : DataFrame
        As of `labelled`.

    Returns
    -------
    DataFrame
        As of `judged`. Nothing is read in a row whose options are refused.
    """
    is_read = rows["options"].map(_are_options)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.csv"
        rows.loc[is_read, ["question", *_ASKED]].assign(
            model=rows.index[is_read]
        ).to_csv(path)
        columns = {name: name for name in _ASKED}
        answers = load_answers(
            path, item_id="id", model="model", ungraded=True, **columns
        )
    answers = answers.set_index("item_id").reindex(rows.index)
    return judged(rows, correct=answers["correct"], read=answers["confidence"])


def _are_options(text):
    try:
        options_of(pd.Series([text or None], dtype="string"))
    except MedcalError:
        return False
    return True


def judged(rows: pd.DataFrame, correct: pd.Series, read: pd.Series) -> pd.DataFrame:
    """Compare what came of the rows with their labels.

    Parameters
    ----------
    rows : DataFrame
        As of `labelled`.
    correct : Series of boolean
        Whether each reply is right, missing where undecided.
    read : Series of float
        The confidence that is read, NaN where none is.

    Returns
    -------
    DataFrame
        The rows with both, and of each

        - verdict_error: "wrong", "undecided" (though decidable), "decided" (though not), or ""
        - confidence_error: "wrong", "missed", "invented", or ""
    """
    rows = rows.assign(correct=correct, read=read)
    return rows.assign(
        verdict_error=rows.apply(_verdict_error, axis=1),
        confidence_error=rows.apply(_confidence_error, axis=1),
    )


def counts(rows: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """How many rows there are of each kind and each error, and of how many.

    Parameters
    ----------
    rows : DataFrame
        As of `judged`.
    """
    is_decidable = rows["decidable"] == "1"
    is_word = rows["confidence_word"] != ""
    is_stated = rows["confidence"] != ""
    verdict = rows["verdict_error"].value_counts()
    confidence = rows["confidence_error"].value_counts()
    n_decidable = int(is_decidable.sum())
    n_stated = int(is_stated.sum())
    n_words = int(is_word.sum())
    n_decided = int(rows.loc[is_decidable, "correct"].notna().sum())
    words_read = int(rows.loc[is_word, "read"].notna().sum())
    return {
        "decided": (int(rows["correct"].notna().sum()), len(rows)),
        "decided where decidable": (n_decided, n_decidable),
        "wrong verdicts": (int(verdict.get("wrong", 0)), n_decidable),
        "undecided though decidable": (int(verdict.get("undecided", 0)), n_decidable),
        "decided though not decidable": (
            int(verdict.get("decided", 0)),
            len(rows) - n_decidable,
        ),
        "confidences read wrongly": (int(confidence.get("wrong", 0)), n_stated),
        "confidences missed": (int(confidence.get("missed", 0)), n_stated),
        "confidences invented": (
            int(confidence.get("invented", 0)),
            len(rows) - n_stated - n_words,
        ),
        "words of confidence read": (words_read, n_words),
    }


def _verdict_error(row):
    is_decided = not pd.isna(row["correct"])
    if row["decidable"] == "0":
        return "decided" if is_decided else ""
    if not is_decided:
        return "undecided"
    return "" if row["correct"] == (row["verdict"] == "right") else "wrong"


def _confidence_error(row):
    """What is wrong with a confidence; how a word is read is not judged here."""
    if row["confidence_word"]:
        return ""
    if pd.isna(row["read"]):
        return "missed" if row["confidence"] else ""
    if not row["confidence"]:
        return "invented"
    return "" if abs(float(row["confidence"]) - row["read"]) < NEAR else "wrong"


def _described(row):
    """A row that went wrong, in three lines."""
    verdict = f"verdict {row['verdict_error']}; " if row["verdict_error"] else ""
    confidence = row["confidence_error"] and f"confidence {row['confidence_error']}"
    return (
        f"{row.name}: {verdict}{confidence}\n"
        f"  {row['question']} {row['options']} gold {row['gold']!r}: {row['reply']!r}\n"
        f"  by hand {row['verdict']}, {row['confidence'] or None}; "
        f"here {row['correct']}, {row['read']}"
    )


def frozen() -> dict[str, tuple[int, int]]:
    """The counts that reports quote, as of `counts`."""
    table = json.loads(COUNTS.read_text(encoding="utf-8"))
    return {name: (count, n) for name, (count, n) in table.items()}


def as_page(table: dict[str, tuple[int, int]], page: str, part: str) -> str:
    """The page with the counts in the part's table."""
    rows = [
        f"| {name} | {count} of {n} | {count / n:.1%} |"
        for name, (count, n) in table.items()
    ]
    text = "\n".join(["| | replies | share |", "|---|---|---|", *rows, ""])
    place = rf"(?<=<!-- {part} -->\n).*?(?=<!-- end -->)"
    return re.sub(place, text, page, count=1, flags=re.DOTALL)


def main() -> None:
    """Print the counts of a part, and of those to build on each row that went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.words.bench")
    parser.add_argument("part", choices=PARTS)
    parser.add_argument(
        "--write",
        action="store_true",
        help="report: write the counts into the page, too",
    )
    options = parser.parse_args()
    rows = graded(labelled(options.part))
    if options.part != "report":
        is_off = (rows["verdict_error"] != "") | (rows["confidence_error"] != "")
        print(*rows[is_off].apply(_described, axis=1), sep="\n")
    table = counts(rows)
    for name, (count, n) in table.items():
        print(f"{name:<30}{count:>5} of {n:>4} ({count / n:.1%})")
    if options.write and options.part == "report":
        page = as_page(table, PAGE.read_text(encoding="utf-8"), options.part)
        PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
