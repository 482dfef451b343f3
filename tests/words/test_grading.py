"""Deciding whether an answer is right."""

import math
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcal_nb.words import grade_table, is_correct

SIDES = ["left lung", "right lung", "both lungs", "neither"]


# kind of the question, reply, right answer, grade; those of texts alone stand in grades.csv
GRADES = [
    ("closed", None, "yes", None),
    ("closed", math.nan, "yes", None),
    ("closed", "yes", None, None),
    ("closed", "yes", ["yes", "probably"], True),
    ("closed", "no", ["yes", "no"], True),
    ("choice", "A", ["left lung", "right lung"], True),
    ("choice", None, "left lung", None),
    ("choice", "Of both, A fits; by exclusion: B", "right lung", True),
    ("choice", "So B it is; 83% confident.", "right lung", True),
    ("choice", r"A narrow (90\%) one: $\boxed{B}$", "right lung", True),
    ("choice", "A and B.", "A, B", True),
    ("choice", "A, C", "A, B", False),
    ("choice", "many", "A, B", None),
    ("choice", "Opaque, with a fluid level. Not the left lung.", "left lung", False),
    ("choice", "None is certain. If I'm forced to choose: B", "right lung", True),
    ("choice", "None of the options. If I had to guess: A", "right lung", False),
    ("choice", "Left lung is not likely, right lung is it.", "right lung", True),
    ("choice", "The left lung is the best answer here. Right lung.", "left lung", None),
    ("open", "ct", ["CT", "computed tomography"], True),
    ("open", "MRI", ["CT", "computed tomography"], False),
    ("open", "CT", [], None),
    ("open", "MRI", ["CT", "glioma"], None),  # wrong for one, open for the other
]


@pytest.mark.parametrize(("kind", "answer", "gold", "right"), GRADES)
def test_a_reply_is_graded_by_the_kind_of_its_question(kind, answer, gold, right):
    options = SIDES if kind == "choice" else None
    assert is_correct(answer, gold, question_type=kind, options=options) is right


# the options of two kinds of choice
OPTIONS = {"choice": ["pneumonia", "no pneumonia", "None", "effusion"], "sides": SIDES}


def test_replies_have_the_verdicts_of_a_careful_reader():
    file = Path(__file__).with_name("grades.csv")
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    options = table["kind"].map(OPTIONS).astype(object)
    options = options.where(options.notna(), None)
    asked = table.rename(columns={"reply": "answer", "kind": "question_type"})
    graded = grade_table(asked.assign(options=options))
    verdicts = graded["correct"].map({True: "right", False: "wrong"}).fillna("ungraded")
    differs = verdicts != table["verdict"]
    assert graded.loc[differs, ["answer", "gold", "verdict", "graded_by"]].empty
    is_known = table["rule"] != ""
    assert graded["graded_by"][is_known].tolist() == table["rule"][is_known].tolist()
    assert set(table["rule"]) >= {"yes or no", "letter", "denied", "no answer"}
    assert len(table) >= 120


def test_a_table_is_graded_as_its_answers_are_and_says_how():
    answers = ["B", "A", "the lung", None, "left lung", "B"]
    table = pd.DataFrame({"answer": answers}, index=range(6)[::-1])
    table["gold"] = "right lung"
    table = table.assign(question_type="choice", options=[SIDES] * 5 + [None])
    graded = grade_table(table)
    correct = graded["correct"].astype(object).where(graded["correct"].notna(), None)
    assert correct.tolist() == [True, False, None, None, False, None]
    assert graded.index.equals(table.index)
    counts = graded["graded_by"].value_counts()
    assert counts[["option", "undecided", "empty"]].tolist() == [3, 2, 1]
    assert graded.attrs["grading"].startswith("3 of 6 answers graded: read as one of")


@pytest.mark.parametrize(
    ("options", "right"),
    [
        ("A) CT B) MRI C) X-ray D) Ultrasound", True),
        ("\nA. CT\nB. MRI\nC. X-ray\nD. Ultrasound\nGive the letter.", True),
        ("(A) CT (B) MRI (C) X-ray (D) Ultrasound", True),
        ("Options: A: CT, B: MRI, C: X-ray, D: Ultrasound", True),
        ("One of CT, MRI, X-ray, ultrasound, A to D", None),
    ],
)
def test_options_may_stand_in_the_question_alone(options, right):
    asked = f"What modality? {options}"
    wrong = None if right is None else False
    for reply, verdict in (
        ("It looks like ultrasound", right),
        ("CT", wrong),
        ("MRI, not ultrasound", wrong),
        ("D", True),
        ("B", False),
    ):
        assert is_correct(reply, "D", question=asked) is verdict


@given(
    st.one_of(st.none(), st.text(max_size=30)),
    st.text(max_size=20),
    st.sampled_from(["closed", "choice", "open"]),
    st.lists(st.text(max_size=9), max_size=5),
)
def test_grading_never_raises_and_an_answer_equals_itself(
    answer, gold, question_type, options
):
    assert is_correct(gold, gold, question_type="open") is not False
    graded = is_correct(answer, gold, question_type=question_type, options=options)
    assert graded in {None, True, False}


@pytest.mark.parametrize(
    ("text", "gold", "verdict"),
    [
        ("Yes.", "yes", True),
        ("Yes, by the meniscus on the left.", "yes", True),
        ("Yes, there is high signal, although the surface is intact", "yes", None),
        ("Yes, or so it seems", "yes", None),
        ("Answer: Yes\nExplanation: no thrombus is seen", "yes", None),
        ("I see no reason to doubt it: the line is displaced", "yes", None),
        ("Answer: no\n\nAnswer: yes", "yes", None),
    ],
)
def test_what_may_turn_a_statement_leaves_it_undecided(text, gold, verdict):
    assert is_correct(text, gold, question="Is there a thrombus?") is verdict


def test_two_options_in_a_statement_are_no_choice():
    sides = ["left lung", "right lung"]
    assert (
        is_correct("The right lung looks dark: left lung", "A", options=sides) is None
    )


@pytest.mark.parametrize("reply", ["Left lung (right lung)", "right lung (left lung)"])
def test_another_option_in_brackets_leaves_a_reply_undecided(reply):
    sides = ["left lung", "right lung"]
    assert is_correct(reply, "left lung", options=sides) is None
    assert is_correct("left lung (upper lobe)", "left lung", options=sides)
