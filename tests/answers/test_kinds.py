"""Tables whose columns may mean two things: each gives its true numbers, or is asked about."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.answers import load_answers
from medcal_nb.errors import MedcalError

N = 200
DICE = np.random.default_rng(12)
RIGHT = DICE.random(N) < 0.7
GOLD = np.where(DICE.random(N) < 0.4, "yes", "no")
ANSWER = np.where(RIGHT, GOLD, np.where(GOLD == "yes", "no", "yes"))
SURE = np.round(0.5 + 0.5 * DICE.random(N), 2)
ITEM = [f"q{k}" for k in range(N)]
TABLE = pd.DataFrame(
    {"item_id": ITEM, "answer": ANSWER, "gold": GOLD, "confidence": SURE}
)
GRADED = TABLE.drop(columns="gold").assign(correct=RIGHT.astype(int))
BARE = GRADED[["confidence", "correct"]]

# of four options, the largest probability is that of the answer
LETTERS = np.array(list("abcd"))
SHARES = DICE.dirichlet(np.ones(4), N).round(4)
CHOSEN = LETTERS[SHARES.argmax(axis=1)]
KEYED = np.where(RIGHT, CHOSEN, np.roll(LETTERS, 1)[SHARES.argmax(axis=1)])


def scores(values, begin="p", **more):
    """A table of a score for each option."""
    columns = {f"{begin}_{one}": values[:, k] for k, one in enumerate(LETTERS)}
    return pd.DataFrame({"item_id": ITEM, **columns, **more})


SCORES = "no column 'confidence'; name it by confidence="
WRITTEN = np.where(RIGHT, "yes", "no")
"""Grades in words that answers have, too."""
THIRD = TABLE.assign(
    answer=np.where(np.arange(N) % 30 == 0, "unsure", ANSWER),
    confidence=np.where(ANSWER == "yes", SURE, 1 - SURE).round(2),
)
TWO = pd.concat([GRADED.assign(model="a"), GRADED.assign(model="b")])
HUNDRED = np.r_[(SURE * 100).round(), (SURE * 10).round()]


def without(share, column, word):
    """TABLE with a word for nothing in some cells of a column."""
    cells = TABLE[column].astype(object).where(DICE.random(N) >= share, word)
    return TABLE.assign(**{column: cells})


def with_sum(name, place=N, column="item_id", n=1, table=GRADED):
    """GRADED with rows that sum it up."""
    row = {"confidence": SURE.mean(), "correct": 1, column: name}
    rows = [dict.fromkeys(table, np.nan) | {"item_id": "x"} | row] * n
    extra = pd.DataFrame(rows)[[*table, *({column} - {*table})]]
    return pd.concat([table[:place], extra, table[place:]])


def runs(*columns):
    """Three runs of the items, each item's beside each other."""
    three = GRADED.assign(gold=GOLD).loc[np.repeat(np.arange(N), 3), [*columns]]
    return three.assign(confidence=np.tile([0.5, 0.6, 0.7], N))


ASKED = "as grades .* are right, as right answers .*; write correct=.* gold="
SUM = "row {} is '{}', no answer, it seems"
KINDS = {
    # scores of options are no confidence
    "probabilities of options": (scores(SHARES, answer=KEYED), {"gold": "answer"}, SCORES),
    "probabilities beside an answer": (scores(SHARES, answer=CHOSEN, gold=KEYED), {}, SCORES),
    "percentages": (scores(99.5 * SHARES, gold=KEYED), {}, SCORES),
    "logits": (scores(np.log(SHARES), "logit", answer=KEYED), {"gold": "answer"}, SCORES),
    # grades or right answers
    **{f"{name}, in words of answers": (
        GRADED.assign(**{name: WRITTEN}).drop(columns={"correct"} - {name}), {}, ASKED)
       for name in ("correct", "is_correct", "hit", "acc", "graded", "grade", "richtig")},
    "grades, said": (GRADED.assign(hit=WRITTEN).drop(columns="correct"), {"correct": "hit"}, RIGHT),
    "right answers, said": (TABLE.rename(columns={"gold": "hit"}), {"gold": "hit"}, RIGHT),
    # scales and classes
    "a class with third answers": (THIRD, {},
     "below 0.5 just where the answer is 'no': it is the probability of 'yes'.*is 'no'"),
    "a class of three": (TABLE.assign(
        answer=np.where(ANSWER == "yes", "A", np.where(np.arange(N) % 2, "B", "C")), gold="A",
        confidence=np.where(ANSWER == "yes", SURE, 1 - SURE).round(2)), {},
     "just where the answer is '[bc]' or '[bc]': it is the probability of 'a'"),
    "a scale of one of two models": (TWO.assign(confidence=HUNDRED), {"scale": "percent"},
     "'b', 'unspecified', 'in' reaches 10 at most"),
    "five unsure answers": (pd.concat([GRADED.assign(model="a", confidence=(SURE * 100).round()),
     GRADED[:5].assign(model="b", confidence=[5, 10, 8, 4, 9])]), {"scale": "percent"},
     "'b', 'unspecified', 'in' reaches 10 at most"),
    "log-probabilities": (GRADED.assign(confidence=np.log(SURE)), {},
     "is outside 0 to 1; .*scale=log"),
    # words for nothing
    **{f"gold {word}": (without(0.1, "gold", word), {}, None)
       for word in ("nan", "NaN", "None", "n/a", "unknown")},
    **{f"answer {word}": (without(0.1, "answer", word), {}, None)
       for word in ("None", "Error: timeout", "[ERROR] 429 rate limit")},
    **{f"confidence {word}": (without(0.1, "confidence", word), {}, None)
       for word in ("N/A", "None", "-", "refused", "#N/A")},
    "correct NA": (GRADED.assign(correct=np.where(RIGHT, "1", "NA")), {}, [True] * RIGHT.sum()),
    "is_correct NA": (GRADED.rename(columns={"correct": "is_correct"}).assign(
        is_correct=np.where(RIGHT, "1", "NA")), {}, [True] * RIGHT.sum()),
    "many N/A under another name": (GRADED.rename(columns={"confidence": "conf"}).assign(
        conf=np.where(RIGHT, SURE, "N/A")), {}, RIGHT),
    # rows of sums
    **{f"a sum: {name}": (with_sum(name, place), {}, SUM.format(place + 1, r".*"))
       for name, place in {"Mittel": N, "Average:": N, "Total (n=200)": N, "∑": N, "Summe": 0,
                           "subtotal": 70, "Mean ± SD": N, "合计": 3, "Moyenne": N}.items()},
    "a sum: mean and deviation": (with_sum("SD", N + 1, table=with_sum("Mean")), {},
     SUM.format(N + 1, "Mean")),
    "a sum: a model": (with_sum("Total", column="model", table=GRADED.assign(model="m")), {},
     SUM.format(N + 1, "Total")),
    "a sum: no item column": (with_sum("mean", column="note", table=BARE.assign(note="")), {},
     SUM.format(N + 1, "mean")),
    "a model that is a mean": (pd.concat([GRADED.assign(model="a"), GRADED.assign(model="mean")]),
     {}, np.r_[RIGHT, RIGHT]),
    "items called sum_1": (GRADED.assign(item_id=[f"sum_{k}" for k in range(N)]), {}, RIGHT),
    # repeats
    "runs sorted by item": (runs("gold", "answer"), {}, "600 rows are 3 times the same 200"),
    "runs sorted by item, numbered": (
        runs("correct").assign(image=np.repeat(np.arange(N), 3), run=np.tile([0, 1, 2], N)), {},
        "600 rows are 3 times the same 200 items.*item_id= .nothing"),
    "three questions about each image": (
        runs("correct").assign(image=np.repeat(np.arange(N), 3)), {"item_id": ""},
        np.repeat(RIGHT, 3)),
    # forms of tables
    "a line break in the header": (GRADED.rename(columns={"confidence": "Confidence\n(0-1)"}),
     {"confidence": "Confidence\n(0-1)"}, RIGHT),
    "a column for each model": (
        TABLE[["item_id", "gold"]].assign(A_confidence=SURE, B_confidence=SURE, A_answer=ANSWER),
        {}, "a column for each model, it seems .'A_confidence', 'B_confidence'"),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_of_table_is_right_or_asked_about(tmp_path, name):
    content, how, truth = KINDS[name]
    path = tmp_path / "in.csv"
    content.to_csv(path, index=False)
    if isinstance(truth, str):
        with pytest.raises(MedcalError, match=truth) as caught:
            load_answers(path, **how)
        assert "\n" not in str(caught.value)
        return
    answers = load_answers(path, **how)
    if truth is None:  # of the rows that hold all, as if the others were not there
        is_told = ["nothing is there" in text for text in answers.attrs["assumed"]]
        assert any(is_told)
        whole = answers.dropna(subset=["answer", "gold", "confidence"])
        assert 0.8 * N < len(whole) < N
        truth = RIGHT[whole.index]
        answers = whole
    assert answers["correct"].dropna().tolist() == [*truth]


def test_dictionaries_in_cells_are_refused_by_their_row(tmp_path):
    cells = [{"a": 1.0, "b": None}] * N
    for name in ("confidence", "gold", "item_id", "answer", "options", "note"):
        path = tmp_path / f"{name}.parquet"
        TABLE.astype({"item_id": object}).assign(**{name: cells}).to_parquet(path)
        if name in ("options", "note"):
            assert load_answers(path)["correct"].tolist() == RIGHT.tolist()
            continue
        with pytest.raises(MedcalError, match=f"row 1, column '{name}'"):
            load_answers(path)


def test_a_title_above_the_header_of_a_sheet_is_named(tmp_path):
    sheet = pd.DataFrame(
        [["Our study", None], [None, None], *GRADED.iloc[:3, :2].values]
    )
    sheet.to_excel(tmp_path / "in.xlsx", index=False, header=False)
    with pytest.raises(MedcalError, match=r"title .*remove what stands above"):
        load_answers(tmp_path / "in.xlsx")


def test_a_column_that_is_said_not_to_be_there_is_none_whatever_it_is_called(tmp_path):
    rows = {"item_id": [1, 2, 3], "answer": ["yes", "no", "no"], "confidence": 0.8}
    rows["gold"] = ["yes", "no", "yes"]
    pd.DataFrame(rows).to_csv(tmp_path / "mine.csv", index=False)
    answers = load_answers(tmp_path / "mine.csv", gold="", ungraded=True)
    assert answers["gold"].isna().all()
    assert answers["correct"].isna().all()
    assert load_answers(tmp_path / "mine.csv")["correct"].notna().all()
