"""How the grader and the reader of replies do on the bench: ``python -m tests.words.bench build``.

Each row comes in by `load_answers`, as a user's table would, as a run of its own: a reply says
nothing about the scale or form of another. Of the part that is kept apart (``report``) only counts
are printed.
"""

import argparse
import tempfile
from pathlib import Path

import pandas as pd

from medcal_nb.answers import load_answers

HERE = Path(__file__).parent
PARTS = ("build", "report")
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
        The rows, and of each

        - correct: whether the reply is right, missing where undecided
        - read: the confidence that is read, NaN where none is
        - verdict_error, confidence_error: what is wrong with them, "" where nothing is
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.csv"
        rows[["question", *_ASKED]].assign(model=rows.index).to_csv(path)
        columns = {name: name for name in _ASKED}
        answers = load_answers(
            path, item_id="id", model="model", ungraded=True, **columns
        )
    answers = answers.set_index("item_id").reindex(rows.index)
    rows = rows.assign(correct=answers["correct"], read=answers["confidence"])
    return rows.assign(
        verdict_error=rows.apply(_verdict_error, axis=1),
        confidence_error=rows.apply(_confidence_error, axis=1),
    )


def counts(rows: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """How many rows there are of each kind and each error, and of how many.

    Parameters
    ----------
    rows : DataFrame
        As of `graded`.
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


def main() -> None:
    """Print the counts of a part, and of the one to build on each row that went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.words.bench")
    parser.add_argument("part", choices=PARTS)
    part = parser.parse_args().part
    rows = graded(labelled(part))
    if part == "build":
        is_off = (rows["verdict_error"] != "") | (rows["confidence_error"] != "")
        print(*rows[is_off].apply(_described, axis=1), sep="\n")
    for name, (count, n) in counts(rows).items():
        print(f"{name:<30}{count:>5} of {n:>4} ({count / n:.1%})")


if __name__ == "__main__":
    main()
