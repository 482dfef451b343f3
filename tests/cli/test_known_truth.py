"""Tables of which the truth is known, through the command: what is written otherwise is not wrong.

In each three of five answers are right, whatever the form they are written in.
"""

import json

import pandas as pd
import pytest

from medcal_nb.words import bench_sentence

N = 40
RIGHT = [i % 5 < 3 for i in range(N)]
CONFIDENCE = [(0.55, 0.7, 0.85, 0.95)[i % 4] for i in range(N)]
PLACES = ["left lung", "right lung", "heart", "spine"]
LETTERS = "ABCD"
ORGANISMS = ["C. difficile", "E. coli", "S. aureus", "K. pneumoniae"]


def choices(shown, *, options, gold=LETTERS, texts=PLACES):
    """Answers to questions of four options, the right one changing from question to question.

    ``shown(letter, text)`` is the answer, ``gold`` what each of the options is called as gold.
    """
    rows = []
    for i, is_right in enumerate(RIGHT):
        wanted = i % 4
        place = wanted if is_right else (wanted + 1 + i % 3) % 4
        answer = shown(LETTERS[place], texts[place])
        rows.append({"gold": gold[wanted], "answer": answer, "options": options})
    return pd.DataFrame(rows).assign(question_type="choice", confidence=CONFIDENCE)


def opens(pairs, wrong):
    """Answers in other words than the gold ones, and wrong ones."""
    rows = []
    for i, is_right in enumerate(RIGHT):
        answer, gold = pairs[i % len(pairs)]
        rows.append(
            {"gold": gold, "answer": answer if is_right else wrong[i % len(wrong)]}
        )
    return pd.DataFrame(rows).assign(question_type="open", confidence=CONFIDENCE)


def replies(form):
    """Replies to yes-or-no questions, which hold the answer and the confidence."""
    rows = []
    for i, is_right in enumerate(RIGHT):
        gold = ("yes", "no")[i % 2]
        answer = gold if is_right else {"yes": "no", "no": "yes"}[gold]
        text = form.format(answer=answer, percent=f"{CONFIDENCE[i]:.0%}")
        rows.append({"gold": gold, "reply": text})
    return pd.DataFrame(rows).assign(question_type="closed")


def text_alone(_, text):
    return text


def letter_alone(letter, _):
    return letter


def as_list(form):
    """Options in a JSON list, each written in a form."""
    pairs = zip(LETTERS, PLACES, strict=True)
    return json.dumps([form.format(letter=letter, text=text) for letter, text in pairs])


IN_ORDER = dict(zip(LETTERS, PLACES, strict=True))
BACKWARDS = dict(reversed(IN_ORDER.items()))
ONE_MISSING = {"E": None} | BACKWARDS
IN_TEXT = " ".join(f"{letter}) {text}" for letter, text in IN_ORDER.items())
SYNONYMS = [
    ("MR", "MRI"),
    ("plain film", "X-ray"),
    ("Oedem", "Ödem"),
    ("pneumothoraces", "pneumothorax"),
    ("Grade II", "Grade 2"),
    ("1,5 cm", "1.5 cm"),
    ("both", "bilateral"),
]

ALL_GRADED = {
    "options with their letters": choices(
        text_alone, options=as_list("{letter}: {text}")
    ),
    "options in brackets": choices(text_alone, options=as_list("({letter}) {text}")),
    "options with a point": choices(letter_alone, options=as_list("{letter}. {text}")),
    "letter and text": choices("{}. {}".format, options=as_list("{text}")),
    "a dictionary": choices(text_alone, options=json.dumps(BACKWARDS)),
    "a dictionary, by letter": choices(
        letter_alone, options=json.dumps(BACKWARDS), gold=PLACES
    ),
    "an empty option": choices(text_alone, options=json.dumps(ONE_MISSING)),
    "a list of pandas": choices(letter_alone, options=str(PLACES), gold=PLACES),
    "a text": choices(letter_alone, options=IN_TEXT, gold=PLACES),
    "organisms": choices(
        lambda _, text: f"{text} infection",
        options=json.dumps(ORGANISMS),
        gold=ORGANISMS,
        texts=ORGANISMS,
    ),
    "final confidence": replies(
        "Initial confidence: 50%.\nAnswer: {answer}\nFinal confidence: {percent}"
    ),
    "steps": replies(
        "Step 1, confidence: 50 %\nAnswer: {answer}\nFinal confidence: {percent}"
    ),
    "emoji": replies("**Answer:** {answer}\n📊 **Confidence:** `{percent}` 🎉"),
    "a table": replies("| Answer | Confidence |\n|---|---|\n| {answer} | {percent} |"),
    "tags": replies("Answer: <b>{answer}</b> Confidence: <b>{percent}</b>"),
    "a word": replies("Answer: {answer}\nConfidence: High"),
}
IN_PART = {
    "synonyms": opens(SYNONYMS, ["CT", "pacemaker", "Grade 3", "2,5 cm", "left"]),
    "German": opens(
        [("Pneumonie", "Pneumonie")],
        ["keine Pneumonie", "ohne Nachweis einer Pneumonie"],
    ),
    "French": opens(
        [("une fracture", "fracture")], ["pas de fracture", "aucune fracture"]
    ),
    "Spanish": opens([("fractura", "fractura")], ["sin fractura", "no hay fractura"]),
    "Chinese": opens([("肺炎", "肺炎")], ["没有肺炎", "无肺炎"]),
}


def scored(medcal, tmp_path, table):
    """What `medcal score` prints of a table."""
    table.assign(item_id=range(N), model="m").to_csv(tmp_path / "mine.csv", index=False)
    code, out, err = medcal("score", "mine.csv", "--json")
    assert code == 0, err
    assert bench_sentence() in err
    return json.loads(out)[0]


@pytest.mark.parametrize("table", ALL_GRADED.values(), ids=ALL_GRADED)
def test_every_answer_is_graded_as_it_is_meant(medcal, tmp_path, table):
    row = scored(medcal, tmp_path, table)
    assert row["n"] == N
    assert row["accuracy"] == pytest.approx(0.6)


@pytest.mark.parametrize("table", IN_PART.values(), ids=IN_PART)
def test_no_answer_is_wrong_for_being_written_otherwise(medcal, tmp_path, table):
    """What is graded is graded rightly; what is not leaves bounds that hold the truth."""
    row = scored(medcal, tmp_path, table)
    if row["accuracy"] is None:
        assert row["accuracy_least"] <= 0.6 <= row["accuracy_most"]
    else:
        assert row["accuracy"] == pytest.approx(0.6)
