"""Tables as people and spreadsheets write them: what comes in, what is asked, what is refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medcal_nb.answers import GRADED_COLUMNS, load_answers
from medcal_nb.errors import MedcalError
from tests.damage import refusals

HEAD = "item_id,confidence,correct\n"
MODELS = "item_id,model,confidence,correct\n"


def table(folder, content, name="in.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows(n, line):
    """Lines of a table: `line` of each number and whether it is odd."""
    return "".join(
        line.format(i=i, odd=i % 2, p=0.5 + (i % 40) / 100) + "\n" for i in range(n)
    )


YES_NO = ["yes" if i % 3 else "no" for i in range(60)]
"""Of 60 answers: every third is no."""
GOLD = [
    YES_NO[i] if i % 4 else ("no" if YES_NO[i] == "yes" else "yes") for i in range(60)
]
"""Of 60 answers: three of four are right."""


def lines(head, *columns):
    return (
        head
        + "\n"
        + "".join(",".join(map(str, row)) + "\n" for row in zip(*columns, strict=False))
    )


ONE_CLASS = [0.9 if YES_NO[i] == "yes" else 0.1 for i in range(60)]
RUN = "gold,confidence,correct\n" + "".join(f"{g},.5,1\n" for g in GOLD[:30])

CASES = {
    # --- what comes in
    "our own names": (HEAD + "007,0.5,true\n08,1,0\n", {},
     {"item_id": ["007", "08"], "correct": [True, False], "model": ["unnamed"] * 2,
      "dataset": ["in"] * 2, "strategy": ["unspecified"] * 2}),
    "English": ("case,LLM,Conf,isCorrect,img,note\n1,net,95,1,a,x\n2,net,40,0,b,y\n", {},
     {"item_id": ["1", "2"], "model": ["net"] * 2, "confidence": [0.95, 0.4], "correct": [True,
      False], "image_id": ["a", "b"], "note": ["x", "y"]}),
    "German, semicolons, decimal commas": (
     "Fall;Konfidenz (%);Richtig;Modalität\n1;97,5 %;ja;CT\n2;20 %;nein;MRT\n",
     {"confidence": "Konfidenz (%)"},
     {"confidence": [0.975, 0.2], "correct": [True, False], "modality": ["CT", "MRT"]}),
    "byte order mark, CR LF, empty cells": (
     '\ufeffitem_id;confidence;correct;answer\r\n1;0.5;1;\r\n2;0.5;1;""\r\n',
     {}, {"item_id": ["1", "2"], "answer": [np.nan, ""]}),
    "a value for all rows": (HEAD + "1,0.5,1\n",
     {"model": "gpt", "dataset": "mine", "domain": "medical", "split": "test"},
     {"model": ["gpt"], "dataset": ["mine"], "domain": ["medical"], "split": ["test"]}),
    "a column that is named": ("id,p,prob,correct,source\n1,.9,.8,1,s\n",
     {"confidence": "prob", "dataset": "source"},
     {"confidence": [0.8], "dataset": ["s"], "p": ["\u200b.9"[1:]]}),
    "a score of fractions is a confidence": ("id,score,hit\n1,0.9,1\n2,0.2,0\n", {},
     {"confidence": [0.9, 0.2]}),
    "a name whose cells are something else": (
     "id,conf,p,right,hit\n1,high,.9,lung,1\n2,.3,.2,lung,0\n3,.4,.1,lung,0\n",
     {}, {"confidence": [0.9, 0.2, 0.1], "correct": [True, False, False]}),
    "a score of 0 and 1 is a grade": ("id,conf,score\n1,0.9,1\n2,0.2,0\n", {},
     {"correct": [True, False]}),
    "a reader stands for a model": ("case,reader,conf,correct\n1,Ada,0.9,1\n1,Bo,0.4,0\n", {},
     {"model": ["Ada", "Bo"], "reader": ["Ada", "Bo"]}),
    "answers are graded": (
     "id,prediction,ground_truth,p\na,yes,Yes,0.9\nb,no,yes,0.8\nc,,yes,0.7\nd,yes,,0.7\n",
     {}, {"correct": [True, False, pd.NA, pd.NA], "answer": ["yes", "no", np.nan, "yes"]}),
    "a few of which none is right": ("id,answer,gold,p\na,no,yes,.9\n", {}, {"correct": [False]}),
    "by their type and options": (
     "item_id,answer,gold,confidence,question_type,options\n"
     '1,"Yes, there is.",yes,.9,CLOSED,\n2,B,right lung,.8,choice,"[""left"",""right lung""]"\n',
     {}, {"correct": [True, True]}),
    "several right answers": ('item_id,answer,gold,confidence\n1,yeah,"[""yes"",""yeah""]",0.5\n',
     {}, {"correct": [True], "gold": ['["yes","yeah"]']}),
    "grades in words": (
     HEAD + "1,.5,richtig\n2,.5,FALSCH\n3,.5,oui\n4,.5,Non\n5,.5,sí\n6,.5,incorrect\n7,.5,\n",
     {}, {"correct": [True, False, True, False, True, False, pd.NA]}),
    "plainly percent": (HEAD + "1,95,1\n2,0,0\n3,80.5,1\n", {}, {"confidence": [0.95, 0, 0.805]}),
    "percent that is said": (HEAD + "1,0,1\n2,0.5,0\n3,95,1\n4,100.00000001,1\n5,85%,1\n",
     {"scale": "percent"}, {"confidence": [0, 0.005, 0.95, 1, 0.85]}),
    "lines with commas in a text": (
     'item_id,confidence,correct,note\n1,.5,1,"a, b, c, d\ne, f, g, h\ni"\n', {},
     {"note": ["a, b, c, d\ne, f, g, h\ni"]}),
    "log-probabilities": (HEAD + "1,-0.5,1\n2,0,0\n3,-1e-9,1\n", {"scale": "log"},
     {"confidence": [np.exp(-0.5), 1.0, 1.0]}),
    "0 to 10": (HEAD + "1,7,1\n2,10,0\n", {"scale": 10}, {"confidence": [0.7, 1]}),
    "1 to 5": (HEAD + "1,1,1\n2,3.5,0\n", {"scale": "1-5"}, {"confidence": [0, 0.625]}),
    "rounding outside 0 to 1": (HEAD + "1,1.0000000001,1\n2,-1e-9,0\n", {},
     {"confidence": [1, 0]}),
    "numbers widened from 32 bits": (HEAD + "1,0.8999999761581421,1\n2, .5,0\n", {},
     {"confidence": [0.9, 0.5]}),
    "missing confidences and grades": (HEAD + "1,0.5,1\n2,,1\n3,nan,\n", {},
     {"confidence": [0.5, np.nan, np.nan]}),
    "names in one form": (
     MODELS + "q\u200b1,mode\u0300le,.5,1\nq 2 ,mod\u00e8le,.5,1\n"
     "3.0,\uff4dod\u00e8le,.5,1\n4,mod\u00e8le ,.5,0\n",
     {}, {"model": ["mod\u00e8le"] * 4, "item_id": ["q1", "q 2", "3", "4"]}),
    "no-break hyphens and blanks": (
     MODELS + "1,GPT\u20114,.5,1\n2,GPT-4,.5,1\n3,a  b,.5,1\n4,a\u00a0b,.5,1\n",
     {}, {"model": ["GPT-4", "GPT-4", "a b", "a b"]}),
    "our own names of columns are free in what they say": (
     "domain,split,question_type," + HEAD + "animals,train,vqa,1,0.5,1\n",
     {}, {"domain": ["animals"], "split": ["train"], "question_type": ["vqa"]}),
    "a column that is not to be taken": ("item_id,answer,gold,confidence,right\n1,a,b,.5,1\n",
     {"gold": "", "correct": "right"}, {"correct": [True]}),
    "a few contradictions": (lines("item_id,answer,gold,confidence,correct", range(60),
     YES_NO, GOLD, [0.8] * 60,
     [int(YES_NO[i] == GOLD[i] and i not in (5, 6, 7)) for i in range(60)]),
     {}, {"item_id": [str(i) for i in range(60)]}),
    "no item named": ("confidence,correct\n0.5,1\n0.5,1\n", {}, {"item_id": ["1", "2"]}),
    "a pattern that is no second run": ("gold,answer,confidence\n" + rows(60, "{odd},{odd},{p}"),
     {}, {"model": ["unnamed"] * 60}),
    # --- what is said
    "what is taken for what": ("case,Conf,right\n1,95,1\n", {},
     {"said": "confidence from 'Conf' (percent), correct from 'right', item_id from 'case'"}),
    "what is assumed": (HEAD + "1,.5,1\n", {},
     {"said": "no column 'model': it is 'unnamed'"}),
    "that images are unknown": (HEAD + "1,.5,1\n", {},
     {"said": "no image named: intervals are by answer"}),
    "a model with and without its maker": (
     MODELS + "1,gpt-4o,.5,1\n2,openai/gpt-4o,.5,0\n3,gpt 3,.5,0\n", {},
     {"said": "'gpt-4o', 'openai/gpt-4o' may be names of one model"}),
    "what is left out": ("p," + HEAD + ".9,1,.5,1\n", {"confidence": "p"},
     {"said": "left out, as they hold something else: 'confidence'", "confidence": [0.9]}),
    "a column that is none of ours": ("seconds," + HEAD + "n/a,1,.5,1\n", {"seconds": ""},
     {"seconds": ["n/a"]}),
    "what is missing": (HEAD + "1,.5,1\n2,.5,1\n3,,0\n", {},
     {"said": "1 of 3 answers have no confidence"}),
    "what is not graded": (
     "id,answer,gold,p\n1,yes,yes,.9\n2,opacity,lung,.9\n", {},
     {"said": "1 of 2 answers are not graded"}),
    # --- what is asked or refused
    "in sentences of many forms": (lines("id,pred,label,prob", range(60),
     [f"{word}; finding {i}" for i, word in enumerate(YES_NO)], GOLD, ONE_CLASS),
     {}, "lies below 0.5 just where the answer is 'no'.*write 1 − p"),
    "in sentences": (lines("id,answer,correct,conf", range(60), [f"{a.title()}." for a in YES_NO],
     GOLD, [0.9] * 60),
     {}, "holds the words of the answers"),
    "the chance of yes, of answers that are drawn": (lines("id,pred,label,prob", range(60),
     YES_NO, GOLD, [p if i % 20 not in (3, 8) else 1 - p for i, p in enumerate(ONE_CLASS)]),
     {}, "lies below 0.5 just where the answer is"),
    "an uncertainty": ("item_id,uncertainty,correct\n1,.2,1\n", {"confidence": "uncertainty"},
     "says by its name how unsure an answer is"),
    "a correct that is another text": (HEAD + "1,.5,pneumonia\n", {},
     "row 1, column 'correct': value 'pneumonia' is neither"),
    "a disease taken for a grade": (lines("id,answer,correct_answer,label,conf", range(60), YES_NO,
     GOLD, [i // 2 % 2 for i in range(60)], [0.9] * 60),
     {}, "15 of 60 grades in 'label' contradict the gold answers, the first in row 2;"),
    "a grade that contradicts": (lines("id,answer,gold,correct,conf", range(60), YES_NO, GOLD,
     [int(YES_NO[i] != GOLD[i]) for i in range(60)], [0.9] * 60),
     {}, "60 of 60 grades in 'correct' contradict"),
    "gold answers in other words": (lines("id,answer,gold,conf", range(60),
     ["left", "MRI"] * 30, ["right", "ct"] * 30, [0.9] * 60),
     {}, "not one of 60 answers is its gold answer; .*same words"),
    "1 to 10": (HEAD + "1,3,1\n2,5,0\n", {}, "row 2, column 'confidence': value '5'.*scale=10"),
    "1 to 10 with a half": (HEAD + "1,7.5,1\n2,10,0\n", {}, "'10' is the largest.*scale=10"),
    "percent beside probabilities": (HEAD + "1,95,1\n2,0.95,0\n3,80,1\n", {},
     "value '95'.*percent and probabilities mixed"),
    "a model on each scale": (MODELS + "1,a,1,1\n2,a,0,1\n1,b,95,1\n2,b,80,0\n", {},
     "percent and probabilities mixed"),
    "a method on each scale": ("strategy," + HEAD + "a,1,1,1\na,2,0,1\nb,1,95,1\nb,2,80,0\n", {},
     "percent and probabilities mixed"),
    "0.85 % in every cell": (HEAD + "1,0.85%,1\n2,0.9%,0\n", {}, "reaches 0.9 at most"),
    "some percent signs": (HEAD + "1,0.5,1\n2,85%,1\n", {},
     "row 2, column 'confidence': value '85%' is the largest: .*scale=percent"),
    "no scale": (HEAD + "1,.5,1\n", {"scale": "high"}, "no scale 'high': write its ends"),
    "above a scale": (HEAD + "1,850,1\n", {"scale": "percent"}, "'850' is outside 0 to 100"),
    "just above 1": (HEAD + "1,1.005,1\n", {}, "'1.005' is outside 0 to 1"),
    "a word for seconds": ("seconds," + HEAD + "n/a,1,.5,1\n", {},
     "row 1, column 'seconds': value 'n/a' is not a number; .*seconds= .nothing"),
    "a word": (HEAD + "1,sure,1\n", {},
     "row 1, column 'confidence': value 'sure' is not a number"),
    "merged cells of images": ("item_id,image,confidence,correct\n1,a,.5,1\n2,,.5,1\n3,b,.5,1\n"
     "4,,.5,1\n5,c,.5,1\n6,,.5,1\n", {},
     "row 2 does not name its image, and in 'in' each name stands once"),
    "names that differ by case": (MODELS + "1,m,.5,1\n2,M,.5,1\n", {},
     "row 2, column 'model': value 'M' is written in another case elsewhere"),
    "ids that a spreadsheet shortened": (HEAD + "1.23457E+18,.5,1\n", {},
     "value '1.23457E.18' is a long number .*write ids as text"),
    "the same answer twice": (HEAD + "1,0.5,1\n2,0.5,1\n1,0.5,0\n", {},
     "rows 1 and 3 are the same answer.*'sample'"),
    "the same in two forms": (HEAD + "q1,0.5,1\nq\u200b1,0.5,1\n", {},
     "rows 1 and 2 are the same answer"),
    "no id": (HEAD + ",0.5,1\n", {}, "row 1, column 'item_id': .* is missing; every answer needs"),
    "two runs": (RUN + RUN.partition("\n")[2].replace(".5,1", ".6,0"), {},
     "60 rows are 2 times the same 30 items"),
    "every row twice, some alike": ("confidence,correct\n"
     + rows(50, "{p},{odd}\n{p},{odd}"),
     {}, "100 rows are 2 times the same 50 items.*item_id=COLUMN"),
    "two answers": ("pred,other,prediction," + HEAD + "a,b,c,1,.5,1\n", {},
     "2 columns may be the answer: 'pred', 'prediction'; name one: .*answer= .nothing"),
    "two confidences": ("id,p,prob,correct\n1,.9,.8,1\n", {},
     "2 columns may be the confidence: 'p', 'prob'; name one"),
    "no confidence": ("item_id,correct\n1,1\n", {},
     "no column 'confidence'; name it by confidence="),
    "no grade": ("item_id,confidence\n1,1\n", {}, "nothing says which answers are correct"),
    "other names": ("case,how sure,marked\n1,90,1\n2,80,0\n", {},
     "; perhaps -c \"confidence=how sure\" -c correct=marked .in Python confidence='how sure', "),
    "no name that says it": ("case,age,marked\n1,90,1\n2,80,0\n", {},
     "; perhaps -c correct=marked .in Python"),
    "answers in two columns": ("case,conf,KI,Arzt\n1,90,Ja,Ja\n2,80,Ja,Nein\n3,70,Nein,Nein\n", {},
     "; perhaps -c answer=KI -c gold=Arzt "),
    "a column that is not there": (HEAD + "1,.5,1\n", {"confidence": "confidense"},
     "no column 'confidense', which was named; did you mean 'confidence'"),
    "a name of ours that is none": ("scan," + HEAD + "a,1,.5,1\n", {"imge_id": "scan"},
     "no column of ours 'imge_id'; did you mean 'image_id'"),
    "empty": ("", {}, "cut off or damaged .Empty CSV file"),
    "header only": (HEAD, {}, "no rows"),
    "blank header": ("\n1,2\n3,4\n", {}, "no column .confidence.; .*columns are 1, 2"),
    "double columns": ("a,confidence,confidence\n1,1,1\n", {},
     "two columns are called 'confidence'"),
    "cut off": (HEAD + "1,0.5,1\n2,0.", {}, "cut off.*Row #3: Expected 3 columns, got 2"),
    "too many cells": (HEAD + "1,0.5,1,9\n", {}, "as many cells in every row"),
    "letters of another script": (HEAD.encode() + "да,0.5,1\n".encode("cp1251") * 30, {},
     "not in UTF-8, .*save it as 'CSV UTF-8', or as .xlsx"),
    "damaged UTF-8": (HEAD.encode() + "müde,0.5,1\n".encode() + b"m\xfc,0.5,1\n", {},
     "not in UTF-8, .*save it as 'CSV UTF-8', or as .xlsx"),
    "utf-16": (HEAD.encode("utf-16"), {}, "not in UTF-8"),
    "a quote that swallows rows": (HEAD + '1,.5,1\n"2,.5,1\n3,.5,1\n4",.5,1\n5,.5,1\n', {},
     "row 2, column 'item_id'.*holds whole rows"),
    "a quote that swallows rows, further on": (
     HEAD + '1,".5,1\n2,.6,1\n3,.7",1\n', {}, "row 1, column 'confidence'.*holds whole rows"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_table_is_right_or_refused(tmp_path, name):
    content, how, expected = CASES[name]
    path = table(tmp_path, content)
    if isinstance(expected, str):
        message = rf"(?s)(in\.csv.*|^){expected}"
        with pytest.raises(MedcalError, match=message) as caught:
            load_answers(path, **how)
        assert "\n" not in str(caught.value)
        return
    answers = load_answers(path, **how)
    assert {*GRADED_COLUMNS} <= {*answers}
    for column, wanted in expected.items():
        if column == "said":
            assert [t for t in answers.attrs["assumed"] if t.startswith(wanted)]
        else:
            assert_cells(answers[column], wanted)


def assert_cells(values, expected):
    """Cells of a column are those wanted, numbers to rounding."""
    for one, wanted in zip(values, expected, strict=True):
        if pd.isna(wanted):
            assert pd.isna(one)
        else:
            is_float = isinstance(wanted, float)
            assert one == (pytest.approx(wanted) if is_float else wanted)


TWO = HEAD + "a,0.5,1\nb,0.6,0\n"
OBJECT = '{"item_id": 1, "confidence": 1, "correct": 1}'
REFUSED = [
    ("none.csv", None, "no such file"),
    (".", None, "a folder"),
    ("notes.txt", "x", "cannot tell the format"),
    ("a.sqlite", "no database " * 99, "not an answers log"),
    # tables that are written in another form
    ("a.csv", TWO.replace(",", "|"), "cells between '|'"),
    ("a.csv", "sep=;\n" + TWO.replace(",", ";"), "title .*remove what stands above"),
    ("a.csv", "Results of our study\n" + TWO, "title .*remove what stands above"),
    ("a.csv", "Results of our study,,\n" + TWO, "title .*remove what stands above"),
    ("a.json", '{"p": {"0": 1, "1": 2}, "right": {"0": 3}}', "no column 'confidence'"),
    ("a.json", '{"confidence": [1, 2], "correct": [1, 0]}', "row 1, column 'correct'"),
    ("a.json", "5", "row 1 is not an object"),
    ("a.json", '[{"a": 1}', "not JSON in UTF-8, cut off"),
    ("a.jsonl", f'{OBJECT}\n{{"item_id": 2, "con', "line 2"),
    ("a.jsonl", '{\n  "a": 0\n}\n', "line 1 is not JSON.*over several lines"),
    ("a.jsonl", "[1, 2]\n", "row 1 is not an object"),
    ("a.jsonl", "[" * 100_000, "line 1 is .*cut off"),
    # cells of JSON that do not belong there
    ("a.jsonl", OBJECT.replace("id\": 1", 'id": "\\ud800"'), "surrogates not allowed"),
    ("a.jsonl", OBJECT.replace("e\": 1", 'e": {"p": 1}'), "not a number"),
    ("a.jsonl", OBJECT.replace("e\": 1", 'e": true'), "True is not a number"),
    ("a.jsonl", OBJECT.replace("}", ', "answer": ["a"]}'), "is a list, not text"),
    ("a.jsonl", OBJECT.replace("id\": 1", 'id": 12345678901234567890.5'), "is rounded"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), REFUSED)
def test_a_file_is_refused_as_what_it_is(tmp_path, name, content, message):
    if content is not None:
        table(tmp_path, content, name)
    with pytest.raises(MedcalError, match=message) as caught:
        load_answers(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


# --- formats -------------------------------------------------------------------------------------

FRAME = pd.DataFrame(
    {
        "item_id": ["1", "2", "3"],
        "answer": ["yes", 'a,\t"b"\nc', "a\u2028b\x85c"],
        "confidence": [0.5, 0.25, 0.9],
        "correct": [True, False, True],
        "model": pd.Categorical(["m", "m", "m"]),
    }
)


def written(path):
    """FRAME in a file of the kind that its name says."""
    kind = path.name.partition(".")[2]
    if kind == "parquet":
        FRAME.to_parquet(path)
    elif kind == "xlsx":
        FRAME.to_excel(path, index=False)
    elif "json" in kind:
        FRAME.to_json(path, orient="records", lines="jsonl" in kind, force_ascii=False)
    else:
        FRAME.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json", "parquet", "xlsx"])
def test_every_format_gives_the_same_answers(tmp_path, kind):
    read = load_answers(written(tmp_path / f"in.{kind}"))[[*FRAME]]
    pd.testing.assert_frame_equal(
        read, FRAME, check_dtype=False, check_categorical=False
    )


@pytest.mark.parametrize(
    "width", ["float16", "float32", "Float32", "float64", "decimal"]
)
def test_a_file_is_the_same_answers_in_every_width(tmp_path, rng, width):
    values = rng.uniform(0, 1, 300).round(3 if width == "float16" else 6)
    values[7] = np.nan
    frame = pd.DataFrame({"item_id": range(300), "correct": True, "confidence": values})
    if width != "decimal":
        frame = frame.astype({"confidence": width})
    arrow = pa.Table.from_pandas(frame)
    if width == "decimal":
        exact = arrow["confidence"].cast(pa.decimal128(12, 6))
        arrow = arrow.set_column(2, "confidence", exact)
    pq.write_table(arrow, tmp_path / "in.parquet")
    read = load_answers(tmp_path / "in.parquet")["confidence"]
    np.testing.assert_allclose(read, values, atol=5e-4 if width == "float16" else 0)


def test_letters_of_windows_are_read_and_said(tmp_path):
    text = (
        "N° cas;Réponse;Certitude (%);Correct\n1;côté créé;85;vrai\n2;œdème;92,5;faux\n"
    )
    (tmp_path / "a.csv").write_bytes(text.encode("cp1252"))
    (tmp_path / "b.csv").write_text(text, encoding="utf-8-sig")
    windows, usual = (
        load_answers(tmp_path / name, dataset="mine", scale="percent")
        for name in ("a.csv", "b.csv")
    )
    pd.testing.assert_frame_equal(windows, usual)
    assert windows["answer"].tolist() == ["côté créé", "œdème"]
    said = [line for line in windows.attrs["assumed"] if "not in UTF-8" in line]
    assert len(said) == 1
    assert not [line for line in usual.attrs["assumed"] if "UTF-8" in line]


def test_labels_of_rows_are_no_column_unless_they_have_a_name(tmp_path):
    frame = pd.concat([FRAME, FRAME.assign(item_id=["4", "5", "6"])])
    for labelled in (frame, frame.set_index("item_id")):
        labelled.to_parquet(tmp_path / "in.parquet")
        read = load_answers(tmp_path / "in.parquet")
        assert read["item_id"].tolist() == list("123456")
        assert not [name for name in read if "index" in name]


def test_nested_columns_of_parquet(tmp_path):
    options = pa.map_(pa.string(), pa.float64())
    row = {
        "item_id": [1],
        "confidence": [0.8],
        "answer": ["yes"],
        "gold": [["yes", "ja"]],
        "option_probabilities": pa.array([[("yes", 0.8), ("no", 0.2)]], options),
    }
    pq.write_table(pa.table(row), tmp_path / "in.parquet")
    read = load_answers(tmp_path / "in.parquet").iloc[0]
    assert read["option_probabilities"] == {"yes": 0.8, "no": 0.2}
    assert (read["gold"], read["correct"]) == ('["yes","ja"]', True)


# --- Excel ---------------------------------------------------------------------------------------


def sheets(path, *parts):
    """An Excel file of (title, state, rows)."""
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, state, lines_ in parts:
        sheet = book.create_sheet(title)
        sheet.sheet_state = state
        for line in lines_:
            sheet.append(line)
    book.save(path)
    return path


ROWS = [["cas", "confiance", "juste"], [1, "0,85", "oui"], [None] * 3, [2, 0.4, "non"]]


def test_the_one_sheet_is_read_and_several_are_refused(tmp_path):
    path = sheets(tmp_path / "in.xlsx", ("A", "visible", ROWS))
    answers = load_answers(path)
    assert answers["item_id"].tolist() == ["1", "2"]
    assert answers["confidence"].tolist() == [0.85, 0.4]
    assert answers["correct"].tolist() == [True, False]
    path = sheets(tmp_path / "two.xlsx", ("A", "visible", ROWS), ("B", "hidden", ROWS))
    with pytest.raises(MedcalError, match="has 2 sheets, hidden ones included; save"):
        load_answers(path)


def test_a_cell_beyond_the_named_columns_is_refused(tmp_path):
    rows_ = [*ROWS, [3, 0.5, "oui", None, "x"]]
    path = sheets(tmp_path / "in.xlsx", ("A", "visible", rows_))
    with pytest.raises(MedcalError, match="row 3 has a value in a column that has no"):
        load_answers(path)


# --- damage and odd content ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "xlsx"])
def test_damaged_tables_raise_our_error_only(tmp_path, kind):
    assert refusals(written(tmp_path / f"in.{kind}"), 40, 3) > 10


cell = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
cell |= st.lists(st.text(max_size=2), max_size=2) | st.dictionaries(
    st.text(max_size=2), cell, max_size=2
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(cell, cell, cell, cell), min_size=1, max_size=4))
def test_any_cells_come_in_whole_or_not_at_all(tmp_path_factory, cells):
    columns = ("item_id", "confidence", "correct", "note")
    text = "\n".join(json.dumps(dict(zip(columns, row, strict=True))) for row in cells)
    path = table(tmp_path_factory.mktemp("cells"), text, "in.jsonl")
    try:
        answers = load_answers(path)
    except MedcalError:
        pass
    else:
        assert len(answers) == len(cells)
        assert answers["confidence"].dropna().between(0, 1).all()


def test_columns_may_come_and_go_in_jsonl(tmp_path):
    lines_ = [{"item_id": i, "confidence": 0.5, "correct": 1} for i in range(6)]
    lines_[4]["site"] = "east"
    lines_[5] |= {"answer": "late", "site": None}
    text = "\n".join(map(json.dumps, lines_))
    answers = load_answers(table(tmp_path, text, "in.jsonl"))
    assert answers["answer"].tolist()[5] == "late"
    assert answers["site"].tolist()[4] == "east"


def test_a_percent_sign_that_ends_after_many_rows_is_refused(tmp_path):
    n = 70_000
    signed = np.where(np.arange(n) < n - 10, "80%", "0.8")
    table = pd.DataFrame({"item_id": range(n), "confidence": signed})
    table.assign(model="m", correct=1).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(MedcalError, match=r"row 1, .*'80%' is the largest: percent"):
        load_answers(tmp_path / "a.csv")


def test_the_raw_replies_to_try_it_on_are_read_and_graded():
    file = Path(__file__).resolve().parents[2] / "data" / "raw_answers.csv"
    replies = pd.read_csv(file)["output"]
    answers = load_answers(file)
    assert len(answers) == 300
    stated = replies.str.extract(r"confidence: (\d+)%")[0].astype(float) / 100
    np.testing.assert_allclose(answers["confidence"].astype(float), stated)
    is_right = replies.str.extract("answer: (.*)")[0] == answers["gold"]
    is_graded = answers["correct"].notna()
    assert is_graded.mean() > 0.9
    answers_once = replies.str.count("answer: ") == 1
    assert (answers["correct"] == is_right)[is_graded & answers_once].all()
