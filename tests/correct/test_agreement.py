"""Agreement of several models as the confidence of answers that state none."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.answers import load_answers
from medcal_nb.ask.graded import to_graded
from medcal_nb.correct import (
    agreement_table,
    model_agreement,
)
from medcal_nb.logs import import_file


def said(answers, gold, model):
    return pd.DataFrame(
        {
            "model": model, "dataset": "d", "strategy": "generate", "confidence": np.nan,
            "item_id": [f"i{k}" for k in range(len(gold))], "answer": list(answers),
            "correct": pd.array([a == g for a, g in zip(answers, gold, strict=True)], "boolean"),
        }
    )  # fmt: skip


def three(gold="YYNNYN"):
    answers = {"a": "YYNNYY", "b": "YNNYYY", "c": ["yes", "N", "N", "N", "N", None]}
    answers["c"][0] = "y."  # the same answer, otherwise written
    return pd.concat([said(v, gold, k) for k, v in answers.items()], ignore_index=True)


def test_confidence_is_the_share_that_says_the_same_and_the_majority_is_one_more_model():
    rows = model_agreement(three())
    assert set(rows["item_id"]) == {
        f"i{k}" for k in range(5)
    }  # not all answered the last one
    by = rows.set_index(["model", "item_id"])
    assert by.loc[("a", "i0"), "confidence"] == 1
    assert by.loc[("b", "i1"), "confidence"] == pytest.approx(2 / 3)
    assert by.loc[("a", "i1"), "confidence"] == pytest.approx(1 / 3)
    most = by.loc["majority"].sort_index()
    assert list(most["answer"].str.upper().str[0]) == ["Y", "N", "N", "N", "Y"]
    assert list(most["agree"] == "all agree") == [True, False, True, False, False]
    table = agreement_table(
        rows, rng=np.random.default_rng(0), n_resamples=50
    ).set_index("who")
    assert table.loc["majority", "accuracy"] == pytest.approx(4 / 5)
    assert table.loc["majority", "change"] == pytest.approx(
        4 / 5 - 1
    )  # a is always right
    assert table.loc["majority, all agree", "share"] == pytest.approx(2 / 5)


def test_of_two_models_or_with_stated_confidences_there_is_no_majority():
    assert model_agreement(three().query("model != 'c'")).empty
    assert model_agreement(three().assign(confidence=0.7)).empty


@pytest.mark.real
def test_a_majority_of_real_models_loses_to_the_best_and_unanimity_is_worth_more(
    real_dir, tmp_path
):
    path, log = (
        real_dir / "vqa_rad" / "closed_answers_3_models.csv",
        tmp_path / "a.sqlite",
    )
    import_file(path, log)
    graded = to_graded(load_answers(log))
    assert len(graded) == 3 * 1193
    gemini = graded.query("model == 'gemini-2.5-pro'")["correct"].dropna()
    assert (len(gemini), round(gemini.mean(), 3)) == (1093, 0.757)
    rows = model_agreement(graded)
    assert set(rows["modality"]) == {"head", "chest", "abdomen"}
    table = agreement_table(rows, rng=np.random.default_rng(0), n_resamples=300)
    found = table.set_index("who")["accuracy"].round(3)
    assert found["majority"] == 0.684
    assert found["gemini-2.5-pro"] == 0.756
    assert found["majority, all agree"] == 0.85
