"""The recipes of docs/own_data.md run, on small files in the formats that tools write."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from medcal_nb.answers import load_answers


@pytest.fixture
def recipe(root, tmp_path, monkeypatch):
    """Run a recipe where its files are, and return the answers that come of it."""
    monkeypatch.chdir(tmp_path)
    text = (root / "docs" / "own_data.md").read_text("utf-8")
    blocks = dict(re.findall(r"```python\n# (\w+): [^\n]*\n(.*?)```", text, re.DOTALL))

    def run(name):
        names = {"pd": pd, "json": json, "load_answers": load_answers}
        exec(blocks[name], names)
        return names["answers"].set_index("item_id")

    run.names = blocks
    return run


def jsonl(path, rows):
    with open(path, "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def test_every_recipe_is_tried(recipe):
    tried = [name for name in globals() if name.startswith("test_recipe_")]
    assert {name.removeprefix("test_recipe_") for name in tried} == {*recipe.names}


def test_recipe_openai(recipe):
    def call(item, text):
        choice = {"index": 0, "message": {"role": "assistant", "content": text}}
        response = {"status_code": 200, "body": {"choices": [choice]}}
        return {"custom_id": item, "response": response}

    replies = {"a": "Answer: Yes\nConfidence: 62%", "b": "No."}
    jsonl("batch_output.jsonl", [call(*pair) for pair in replies.items()])
    items = {"custom_id": [*replies], "gold": "yes", "question_type": "closed"}
    pd.DataFrame(items).to_csv("items.csv", index=False)
    answers = recipe("openai")
    assert answers["correct"].to_dict() == {"a": True, "b": False}
    assert answers["confidence"]["a"] == 0.62
    assert np.isnan(answers["confidence"]["b"])


def test_recipe_options(recipe):
    with open("scores.csv", "w") as file:
        file.write("question,p_A,p_B,key\nq,0.9,0.1,B\nr,0.3,0.6,B\n")
    answers = recipe("options")
    assert answers["confidence"].to_dict() == {"q": 0.9, "r": 0.6}
    assert answers["correct"].to_dict() == {"q": False, "r": True}


def test_recipe_logits(recipe):
    with open("scores.csv", "w") as file:
        file.write("question,p_A,p_B,p_C,key\nq,900,898,-5,B\nr,-7,-1,-2,B\n")
    answers = recipe("logits")
    shares = softmax([[900, 898, -5], [-7, -1, -2]], axis=1)
    assert answers["confidence"].tolist() == pytest.approx(shares.max(axis=1))
    assert answers["correct"].to_dict() == {"q": False, "r": True}


def test_recipe_vqa_rad(recipe):
    with open("replies.csv", "w") as file:
        file.write(
            "qid,image_name,image_organ,question,answer,answer_type,one-2.5,two\n"
            '7,x.jpg,ABD,Free air?,Yes,CLOSED,"Yes, there is.",\n'
            "8,x.jpg,HEAD,Where?,left,OPEN,left,left\n"
            "9,y.jpg,CHEST,Normal?,no,CLOSED,No.,yes\n"
        )
    answers = recipe("vqa_rad").reset_index().set_index(["model", "item_id"])
    assert answers["correct"].dropna().to_dict() == {
        ("one-2.5", "7"): True, ("one-2.5", "9"): True, ("two", "9"): False,
    }  # fmt: skip
    first = answers.loc[("one-2.5", "7")]
    assert first[["image_id", "modality"]].tolist() == ["x.jpg", "ABD"]


@pytest.mark.real
def test_real_replies_keep_their_accuracy(recipe, real_dir):
    """Published of the replies that begin with yes or no: 75.6, 60.2 and 56.1 % are right."""
    replies = pd.read_csv(real_dir / "vqa_rad" / "closed_answers_3_models.csv")
    replies.to_csv("replies.csv", index=False)
    answers = recipe("vqa_rad")
    grades = answers.groupby("model")["correct"].value_counts(dropna=False)
    # wrong, right, ungraded: those left to a person say yes or no and then what may turn it
    assert grades.unstack(fill_value=0).T.to_dict("list") == {
        "gemini-2.5-pro": [266, 826, 101],
        "llama3.2-vision_11b": [470, 715, 8],
        "llava_13b": [524, 669, 0],
    }
    begins = answers["answer"].str.match(r"\W*(?:yes|no(?![a-z]))", case=False)
    published = answers[begins.fillna(False)].groupby("model")["correct"]
    assert published.agg(["sum", "count"]).values.tolist() == [
        [826, 1092], [660, 1097], [669, 1193],
    ]  # fmt: skip
