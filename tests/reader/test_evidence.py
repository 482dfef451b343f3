"""Which cases are shown, and what is computed about one."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.answers import AnswerLog
from medcal_nb.errors import MedcalError
from medcal_nb.reader import evidence, page
from medcal_nb.reader.cases import Casebook
from medcal_nb.reader.decisions import DecisionLog
from medcal_nb.reader.view import Reader
from tests.reader.conftest import casebook, table_of, text
from tests.reader_answers import answers_table

# what is opened


def test_the_best_model_under_a_confidence_that_discriminates_is_opened(tmp_path):
    n = 400
    correct = np.random.default_rng(1).random(n) < 0.85
    told = {"correct": correct, "answer": np.where(correct, "yes", "no")}
    flat = table_of(
        n, strategy="flat", **told, confidence=0.85
    )  # lowest Brier score, knows nothing
    sharp = table_of(
        n, strategy="sharp", **told, confidence=np.where(correct, 0.7, 0.45)
    )
    worse = table_of(n, **told, confidence=np.where(correct, 0.55, 0.5)).assign(
        model="a"
    )
    few = sharp.head(40).assign(strategy="few", confidence=correct[:40].astype(float))
    blank = sharp.assign(strategy="verbalized_blank", confidence=correct.astype(float))
    expert = blank.assign(strategy="expert_blank")
    pd.concat([flat, worse, blank, expert, few, sharp]).to_parquet(
        tmp_path / "a.parquet"
    )
    book = Casebook(tmp_path / "a.parquet")
    assert tuple(book.about.values()) == ("nowhere", "m", "sharp")
    other = Casebook(tmp_path / "a.parquet", model="a")
    assert tuple(other.about.values()) == ("nowhere", "a", "s")
    assert set(book.ranking["strategy"]) == {"flat", "sharp", "s", "few"}
    # nor are probes other ways of asking
    assert set(book.ways["strategy"]) == {"flat", "sharp", "few"}


@pytest.mark.parametrize("name", ["dataset", "model", "strategy"])
def test_what_is_not_in_the_file_is_told(answers, name):
    with pytest.raises(MedcalError, match="'nothing'"):
        Reader(answers, **{name: "nothing"})


def test_answers_without_confidence_are_told(tmp_path):
    table = answers_table(n_test=4, n_fit=4).assign(confidence=np.nan)
    table[table["strategy"] == "p_true"].to_parquet(tmp_path / "a.parquet")
    with pytest.raises(MedcalError, match="no answer has a confidence"):
        Casebook(tmp_path / "a.parquet")


def test_answers_without_texts_are_refused_for_their_texts(tmp_path):
    """A plain CSV of confidences and grades holds nothing to read."""
    table_of(30, answer=None, gold=None).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(MedcalError, match=r"no answer has a text .*--answer"):
        Casebook(tmp_path / "a.parquet")


def test_past_cases_are_never_asked_nor_about_the_same_image(book):
    asked = set(book.order)
    assert set(book.rows.loc[book.order, "split"]) == {"test"}
    for item_id in book.order:
        case = book.rows.loc[item_id]
        past = evidence.past_cases(book, case)
        assert len(past) == 3
        assert not asked & set(past["item_id"])
        assert case["image_id"] not in set(past["image_id"])
        assert past["image_id"].is_unique
        assert past["correct"].notna().all()


def test_without_a_fit_split_some_images_are_set_aside(tmp_path):
    table = answers_table(n_test=30, n_fit=10)
    table = table[table["split"] == "test"].assign(split=None)
    book = casebook(tmp_path, table, strategy="verbalized")
    library = set(book.rows.loc[book.rows["library"], "image_id"])
    assert library
    assert not library & set(book.rows.loc[book.order, "image_id"])
    assert len(book.order) + book.rows["library"].sum() == len(book.rows)


# evidence


def test_answers_like_this_one_are_like_in_agreement_and_kind_too(tmp_path):
    n = 240
    agrees = (
        np.arange(n) % 2 == 0
    )  # whether the other way of asking gives the same answer
    kind = np.where(np.arange(n) % 4 < 2, "closed", "open")
    correct = agrees | (kind == "open")
    told = {"confidence": 0.9, "question_type": kind, "correct": correct}
    other = table_of(n, strategy="other", **told, answer=np.where(agrees, "yes", "no"))
    book = casebook(tmp_path, table_of(n, **told), other, strategy="s")
    assert book.rows["agreement"].tolist() == agrees.astype(float).tolist()
    found = {i: evidence.case_error(book, book.rows.loc[i]) for i in book.order}
    for item_id, error in found.items():
        case = book.rows.loc[item_id]
        # all have one confidence: by that alone a quarter were wrong, of these all or none
        assert error["share"] == 1 - float(case["correct"]), item_id
        assert error["like"] == ["kind", "agreement", "modality"]
        assert error["agreement"] == (case["agreement"], case["agreement"])
        assert error["n"] == n / 4 - 1
    words = text(page.evidence_html(book, book.rows.loc[book.order[0]], limit=0.2))
    assert "a confidence of 90 %" in words
    assert "of the other elicitation methods agree; the same kind of question" in words


def test_what_too_few_answers_have_in_common_is_left_out_and_said(tmp_path):
    n = 60
    kind = np.where(np.arange(n) < 8, "open", "closed")
    book = casebook(
        tmp_path, table_of(n, question_type=kind, correct=np.arange(n) % 3 > 0)
    )
    item_id = next(i for i in book.order if book.rows.loc[i, "question_type"] == "open")
    error = evidence.case_error(book, book.rows.loc[item_id])
    assert error["like"] == [
        "modality"
    ]  # asked in one way only, and seven other open questions
    assert error["n"] == 20
    near = book.rows.loc[item_id, "confidence"]
    apart = (book.past["confidence"].drop(item_id) - near).abs()
    reach = max(abs(end - near) for end in error["confidence"])
    assert (apart < reach - 1e-9).sum() < 20 <= (apart <= reach + 1e-9).sum()
    words = text(page.evidence_html(book, book.rows.loc[item_id], limit=0.2))
    assert "Too few answers to match the kind of question too." in words


def test_the_error_is_less_sure_where_answers_share_images(tmp_path):
    correct = np.repeat([True, False, False, False], 15)
    book = casebook(tmp_path, table_of(60, confidence=0.5, correct=correct))
    images = [f"i{k // 5}" for k in range(60)]
    shared = casebook(
        tmp_path, table_of(60, confidence=0.5, correct=correct, image_id=images)
    )
    alone = evidence.case_error(book, book.rows.loc[book.order[0]])
    found = evidence.case_error(shared, shared.rows.loc[shared.order[0]])
    assert (found["n"], found["n_images"]) == (55, 11)
    assert (alone["n"], alone["n_images"]) == (59, 59)
    assert np.ptp(found["interval"]) > np.ptp(alone["interval"])
    case = shared.rows.loc[shared.order[0]]
    assert "about 11 other images" in text(page.part("odds", case, found, True, 0.2))


def test_the_error_of_a_calibrated_forecaster_is_right(tmp_path, rng):
    n = 4000
    table = table_of(n)
    table["correct"] = rng.random(n) < table["confidence"]
    book = casebook(tmp_path, table)
    cases = [book.rows.loc[i] for i in book.order[:60]]
    apart = [
        evidence.case_error(book, c)["share"] - (1 - c["confidence"]) for c in cases
    ]
    # 100 answers each: a standard error of at most 0.05
    assert abs(np.mean(apart)) < 0.03
    assert np.max(np.abs(apart)) < 0.2


def test_a_case_is_flagged_by_the_number_that_is_shown(tmp_path):
    book = casebook(
        tmp_path, table_of(60, confidence=0.9, correct=np.arange(60) % 5 > 0)
    )
    case = book.rows.loc[book.order[0]]
    error = evidence.case_error(book, case)
    assert error["of_100"] in (19, 20)
    assert not evidence.is_flagged(error, 0.2)
    assert evidence.is_flagged(error, 0.18)
    # 20.3 of 100 are shown as 20: not more than 20
    assert not evidence.is_flagged(error | {"of_100": 20, "share": 0.203}, 0.2)
    ungraded = casebook(tmp_path, table_of(60, correct=None, gold=None))
    case = ungraded.rows.loc[ungraded.order[0]]
    assert evidence.case_error(ungraded, case) is None
    assert evidence.is_flagged(None, 0.2)
    words = text(page.evidence_html(ungraded, case, limit=0.2))
    assert "nothing is known about answers like it" in words


def test_options_that_are_texts_are_read_as_json(tmp_path):
    """As a CSV file holds them; what is no list of options is left out."""
    options = ['["yes", "no"]', "[1, 2]", "yes, no", "{}", "[]", None] * 10
    book = casebook(tmp_path, table_of(60, options=options, question="is it there?"))
    shown = book.rows["options"].tolist()[:6]
    assert shown == [["yes", "no"], ["1", "2"], None, None, None, None]
    for item_id in book.order:
        case = book.rows.loc[item_id]
        page.evidence_html(book, case, limit=0.2)
        page.part("case", case, 1, 9, book.note, page.picture(case["image"]))


def test_past_cases_are_of_the_same_kind_and_modality_first(tmp_path):
    n = 200
    kind = np.where(np.arange(n) % 2, "closed", "open")
    modality = np.where(np.arange(n) % 3, "ct", "mri")
    split = np.where(np.arange(n) < 40, "test", "fit")
    book = casebook(
        tmp_path, table_of(n, question_type=kind, modality=modality, split=split)
    )
    for item_id in book.order:
        case = book.rows.loc[item_id]
        past = evidence.past_cases(book, case)
        assert set(past["question_type"]) == {case["question_type"]}
        assert set(past["modality"]) == {case["modality"]}
        library = book.rows[book.rows["library"]]
        alike = library[
            (library["question_type"] == case["question_type"])
            & (library["modality"] == case["modality"])
        ]
        nearest = (alike["confidence"] - case["confidence"]).abs().min()
        assert (past["confidence"] - case["confidence"]).abs().min() == pytest.approx(
            nearest
        )


def test_other_ways_are_those_of_the_item(book, answers):
    table = AnswerLog(answers, read_only=True).read()
    for item_id in book.order:
        case = book.rows.loc[item_id]
        others = evidence.other_ways(book, case)
        assert others["strategy"].tolist() == ["p_true"]
        mine = table.query("item_id == @item_id and strategy == 'p_true'")
        same = mine["answer"].item() == case["answer"]
        assert others["agrees"].item() == same == bool(case["agreement"])


def test_other_answers_are_gathered_and_named_in_words():
    others = pd.DataFrame(
        {
            "strategy": ["p_true", "top_k", "challenge", "augment", "verbalized"],
            "answer": ["Left", "left", "left.", "<b>", "right"],
            "confidence": [0.9, 0.25, 0.5, np.nan, 0.8],
            "agrees": [False] * 4 + [True],
        }
    )
    rows = list(others.itertuples())
    markup = page.part("reasons", [rows[:3], rows[3:4]], others)
    words = text(markup)
    assert "Asked in 5 other ways, the model gave this answer in 1." in words
    assert (
        "“Left” in 3 ways: P(True) (90 % sure), top k (25 % sure), challenge" in words
    )
    assert "“&lt;b&gt;”" in markup


# what readers made of it


def decide(log, about, item_id, *, own=None, action="accept", right, model, sure=0.6):
    """Log a case: whether the own answer, the final one and the model's are right."""
    case = about | {"item_id": item_id, "model_correct": model, "model_confidence": 0.9}
    if own is not None:
        log.append("commit", **case, answer="a", confidence=0.5, correct=own)
    if action == "defer":
        log.append("defer", **case, seconds=9.0)
    else:
        log.append(
            action, **case, answer="b", confidence=sure, correct=right, seconds=2.0
        )


def test_the_summary_compares_three_on_the_same_cases(tmp_path):
    about = {"reader": "ada", "model": "m", "dataset": "d", "strategy": "s"}
    log = DecisionLog(tmp_path / "d.sqlite")
    decide(log, about, "q1", own=False, right=True, model=True)
    decide(log, about, "q2", own=True, right=False, model=False)
    decide(log, about, "q3", own=False, right=True, model=True, sure=0.8)
    decide(log, about, "q4", own=True, right=True, model=False, action="override")
    decide(log, about, "q5", own=True, right=None, model=True, action="defer")
    decide(log, about, "q6", own=None, right=None, model=None)
    log.append("commit", **about, item_id="q7", answer="a", confidence=0.5)
    summary = evidence.summarise(log.latest(**about), log.commitments(**about))
    table = summary.pop("table").set_index("who")
    assert table["n"].to_dict() == {"you": 4, "model": 4, "both": 4}
    assert table["n_right"].to_dict() == {"you": 2, "model": 2, "both": 3}
    assert table["confidence"].to_dict() == pytest.approx(
        {"you": 0.5, "model": 0.9, "both": 0.65}
    )
    assert table["brier"].to_dict() == pytest.approx(
        {
            "you": 0.25,
            "model": (0.01 + 0.81 + 0.01 + 0.81) / 4,
            "both": (0.16 + 0.36 + 0.04 + 0.16) / 4,
        }
    )
    assert summary == {
        "to_right": 2,
        "to_wrong": 1,
        "right_model": 2,
        "decided": 6,
        "deferred": 1,
        "ungraded": 1,
        "flagged": 0,
        "seconds": 2.0,
    }


def test_without_own_answers_the_reader_alone_is_not_known(tmp_path):
    about = {"reader": "ada", "model": "m", "dataset": "d", "strategy": "s"}
    log = DecisionLog(tmp_path / "d.sqlite")
    empty = evidence.summarise(log.latest(**about), log.commitments(**about))
    assert text(page.part("summary", empty, False)) == "Summary Nothing decided yet."
    decide(log, about, "q1", own=True, right=True, model=True)
    decide(log, about, "q2", own=None, right=True, model=True)
    summary = evidence.summarise(log.latest(**about), log.commitments(**about))
    assert summary["table"]["who"].tolist() == ["model", "both"]
    assert "You alone: not known" in text(page.part("summary", summary, False))
    deferred = DecisionLog(tmp_path / "e.sqlite")
    decide(deferred, about, "q1", own=True, right=None, model=True, action="defer")
    summary = evidence.summarise(deferred.latest(**about), deferred.commitments())
    assert "0 compared" in text(page.part("summary", summary, False))
