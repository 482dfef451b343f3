"""The reader view without a browser: what is kept, what is computed, what the widget does."""

import html
import math
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from medcal_nb.answers import AnswerLog
from medcal_nb.cli import main
from medcal_nb.datasets import load_items
from medcal_nb.errors import MedcalError
from medcal_nb.reader import evidence, page, serve, view
from medcal_nb.reader.cases import Casebook
from medcal_nb.reader.decisions import DecisionLog, decisions_path
from medcal_nb.reader.view import Reader, reader_view
from tests.reader_answers import DATASET, answers_table, write_answers

ABOUT = {"reader": "ada", "model": "m", "dataset": "d", "strategy": "s"}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    return write_answers(tmp_path_factory.mktemp("answers") / "answers.sqlite")


@pytest.fixture
def reader(answers, tmp_path):
    return Reader(
        answers,
        decisions=tmp_path / "d.sqlite",
        reader="ada",
        strategy="verbalized",
        model_first=True,
    )


@pytest.fixture(scope="module")
def book(answers):
    return Casebook(answers, dataset=DATASET, model="simulated", strategy="verbalized")


def text(markup):
    """What a reader sees of HTML."""
    plain = re.sub(r"<style>.*?</style>|<[^>]+>", " ", markup, flags=re.S)
    return " ".join(html.unescape(plain).split())


def table_of(n, *, strategy="s", seed=0, **columns):
    """Answers of one model to n items, each about an image of its own."""
    confidence = np.random.default_rng(seed).random(n).round(3)
    made = {
        "model": "m", "dataset": "nowhere", "strategy": strategy, "sample": 0, "answer": "yes",
        "item_id": [f"q{i:04d}" for i in range(n)], "confidence": confidence, "gold": "yes",
        "question_type": "closed", "modality": "ct", "correct": True, "split": "test",
    }  # fmt: skip
    return pd.DataFrame(made | columns)


def casebook(tmp_path, *tables, **chosen):
    path = tmp_path / "a.parquet"
    pd.concat(tables).to_parquet(path)
    return Casebook(path, **chosen)


# decisions


def test_the_last_decision_counts_and_the_first_commitment(tmp_path):
    log = DecisionLog(tmp_path / "d.sqlite")
    log.append("commit", **ABOUT, item_id="q1", answer="yes")
    log.append("commit", **ABOUT, item_id="q1", answer="no")
    log.append("override", **ABOUT, item_id="q1", answer=" no ", reason="edge")
    log.append("accept", **ABOUT, item_id="q1", model_answer="yes", seconds=2.5)
    assert log.latest(reader="ada")["q1"].action == "accept"
    assert log.latest(reader="ada")["q1"].seconds == 2.5
    assert log.commitments(**ABOUT)["q1"].answer == "yes"
    assert log.read()["action"].tolist() == ["commit", "commit", "override", "accept"]
    assert log.read()["answer"].tolist()[2] == "no"
    assert log.latest(reader="someone else") == {}


def test_an_undo_is_a_row_and_takes_back_one_decision_at_a_time(tmp_path):
    log = DecisionLog(tmp_path / "d.sqlite")
    log.append("commit", **ABOUT, item_id="q1", answer="yes")
    log.append("defer", **ABOUT, item_id="q1")
    log.append("accept", **ABOUT, item_id="q1")
    log.append("accept", **ABOUT | {"reader": "bob"}, item_id="q1")
    assert log.undo(reader="ada").action == "accept"
    assert log.latest(reader="ada")["q1"].action == "defer"
    assert log.undo(reader="ada").action == "defer"
    # an answer given before the model's was seen can't be given so again: it stays
    with pytest.raises(MedcalError, match="no decision to take back"):
        log.undo(reader="ada")
    assert log.commitments(reader="ada")["q1"].answer == "yes"
    assert log.latest(reader="bob")["q1"].action == "accept"
    table = log.read()
    assert table["action"].tolist() == ["commit", "defer", "accept", "accept"]
    assert table["undone_at"].notna().tolist() == [False, True, True, False]


def test_looking_leaves_no_file(tmp_path):
    path = tmp_path / "d.sqlite"
    log = DecisionLog(path)
    assert log.latest(**ABOUT) == {}
    with pytest.raises(MedcalError, match="no decision to take back"):
        log.undo(**ABOUT)
    assert not path.exists()
    log.append("defer", **ABOUT, item_id="q1")
    before = path.read_bytes()
    assert len(DecisionLog(path).read()) == 1
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("action", "answer"), [("agree", None), ("override", None), ("commit", "  ")]
)
def test_a_decision_that_is_none_is_refused(tmp_path, action, answer):
    log = DecisionLog(tmp_path / "d.sqlite")
    with pytest.raises(MedcalError, match="CHECK constraint"):
        log.append(action, **ABOUT, item_id="q1", answer=answer)
    assert log.read().empty


def test_files_of_another_kind_are_left_alone(tmp_path):
    notes = tmp_path / "notes.sqlite"
    notes.write_text("not a database, but long enough to be looked at as one " * 20)
    with pytest.raises(MedcalError, match=r"not a database; .*--decisions"):
        DecisionLog(notes)
    assert notes.read_text().startswith("not a database")
    other = tmp_path / "other.sqlite"
    with AnswerLog(other):
        pass
    with pytest.raises(MedcalError, match="something else than decisions"):
        DecisionLog(other)
    with pytest.raises(MedcalError, match="folder is missing"):
        DecisionLog(tmp_path / "nowhere" / "d.sqlite")


def decide_many(path, name, n):
    log = DecisionLog(path)
    for i in range(n):
        log.append("accept", **ABOUT | {"reader": name}, item_id=f"q{i}")


def test_two_readers_at_once_lose_nothing(tmp_path):
    path = tmp_path / "d.sqlite"
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=decide_many, args=(path, name, 60)) for name in "ab"
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
        assert worker.exitcode == 0
    table = DecisionLog(path).read()
    assert table.groupby("reader").size().to_dict() == {"a": 60, "b": 60}
    assert not table.duplicated(["reader", "item_id"]).any()


def decide_forever(path, told):
    log = DecisionLog(path)
    for i in range(10**6):
        log.append("accept", **ABOUT, item_id=f"q{i}")
        told.value = i + 1


@pytest.mark.skipif(os.name != "posix", reason="kill -9 needs POSIX")
def test_a_killed_reader_loses_nothing(tmp_path):
    path = tmp_path / "d.sqlite"
    context = multiprocessing.get_context("spawn")
    told = context.Value("i", 0)
    worker = context.Process(target=decide_forever, args=(path, told))
    worker.start()
    end = time.monotonic() + 300
    while told.value < 20 and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    kept = DecisionLog(path).read()
    assert told.value >= 20
    # what was said to be saved is there; at most one more was on its way
    assert told.value <= len(kept) <= told.value + 1
    assert kept["item_id"].tolist() == [f"q{i}" for i in range(len(kept))]


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
    with pytest.raises(MedcalError, match="no answer with a confidence"):
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
    words = text(page.evidence_html(book, book.rows.loc[book.order[0]], rings=True))
    assert "a confidence of 90 %" in words
    assert "of the other ways of asking agree; the same kind of question" in words


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
    words = text(page.evidence_html(book, book.rows.loc[item_id], rings=False))
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
    assert "about 11 other images" in text(page.part("odds", found))


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


def test_the_flag_rings_for_a_fifth_that_is_worse_than_the_rest(tmp_path, rng):
    n = 600
    table = table_of(n)
    table["correct"] = rng.random(n) < table["confidence"]
    book = casebook(tmp_path, table)
    worst = evidence.worst_cases(book)
    assert len(worst) == math.ceil(len(book.order) / 5)
    shown = book.rows.loc[book.order]
    mine = shown["item_id"].isin(worst)
    assert shown.loc[mine, "correct"].mean() < shown.loc[~mine, "correct"].mean() - 0.3
    # all of one confidence, none graded: still a fifth, not all and not none
    flat = casebook(tmp_path, table.assign(confidence=0.9, correct=None, gold=None))
    assert len(evidence.worst_cases(flat)) == math.ceil(len(flat.order) / 5)
    assert evidence.case_error(flat, flat.rows.loc[flat.order[0]]) is None


def test_the_threshold_is_certified_on_the_library(tmp_path, rng):
    n = 900
    table = table_of(n, split=np.where(np.arange(n) < 300, "test", "fit"))
    table["correct"] = rng.random(n) < table["confidence"]
    book = casebook(tmp_path, table)
    rule = evidence.certified_threshold(book, 0.3)
    assert rule["n"] == 600
    # above t a calibrated forecaster of uniform confidence errs (1 - t) / 2 of the time
    assert 0.1 < (1 - rule["threshold"]) / 2 <= 0.3
    made = [SimpleNamespace(action=action) for action in ["defer"] * 2 + ["accept"] * 5]
    told = text(page.part("progress", 300, made, 60, rule, ABOUT))
    assert told.startswith("7 of 300 decided, 2 deferred by ada; answers of m to d.")
    assert (
        "at most 30 % of the answers are wrong (certified on 600 past answers" in told
    )
    strict = evidence.certified_threshold(book, 0.01)
    assert math.isinf(strict["threshold"])
    assert "no confidence keeps the errors below 1 %" in text(
        page.part("progress", 3, [], 1, strict, ABOUT)
    )


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


def test_other_ways_and_the_blank_image_are_those_of_the_item(book, answers):
    table = AnswerLog(answers, read_only=True).read()
    seen = 0
    for item_id in book.order:
        case = book.rows.loc[item_id]
        others = evidence.other_ways(book, case)
        assert others["strategy"].tolist() == ["p_true"]
        given = table.query("item_id == @item_id and strategy == 'p_true'")[
            "answer"
        ].item()
        assert (
            others["agrees"].item()
            == (given == case["answer"])
            == bool(case["agreement"])
        )
        blank = evidence.blank_image(book, case)
        if case["options"]:
            mine = table.query("item_id == @item_id and strategy == 'blank_image'")
            shares = dict(
                zip(mine["sample"], mine["option_probabilities"], strict=True)
            )
            assert blank == (shares[0][case["answer"]], shares[1][case["answer"]])
            seen += 1
        else:
            assert blank is None
    assert seen > 5


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
    told = page.part("reasons", [rows[:3], rows[3:4]], others, (0.9, 0.3))
    words = text(told)
    assert "Asked in 5 other ways, the model gave this answer in 1." in words
    assert "“Left” in 3 ways: p true (90 % sure), top k (25 % sure), challenge" in words
    assert "“&lt;b&gt;”" in told
    assert (
        "probability of 90 %; with a blank image instead, 30 %. It rests on the image."
        in words
    )
    assert "hardly matters" in page.part("reasons", [], others, (0.8, 0.75))
    assert "speaks against" in page.part("reasons", [], others, (0.4, 0.8))


def test_the_summary_compares_the_same_cases(book, tmp_path):
    about = book.about | {"reader": "ada"}
    closed = book.rows.loc[book.order]
    closed = closed[closed["question_type"] == "closed"]
    right = closed[closed["correct"].astype(bool)].head(3)
    wrong = closed[~closed["correct"].astype(bool)].head(2)
    other = {"yes": "no", "no": "yes"}
    log = DecisionLog(tmp_path / "d.sqlite")
    log.append("accept", **about, item_id=right.index[0], seconds=2.0)
    log.append(
        "override",
        **about,
        item_id=right.index[1],
        answer=other[right["gold"].iloc[1]],
        seconds=4.0,
    )
    log.append("defer", **about, item_id=right.index[2], flagged=True, seconds=9.0)
    log.append(
        "override", **about, item_id=wrong.index[0], answer=wrong["gold"].iloc[0]
    )
    log.append("commit", **about, item_id=wrong.index[1], answer=wrong["gold"].iloc[1])
    log.append("accept", **about, item_id=wrong.index[1])
    found = evidence.summarise(book, log.latest(**about), log.commitments(**about))
    table = found.pop("table").set_index(["cases", "who"])
    # the deferred one is left out for all: four cases, whoever answers
    assert table.loc["all", "n"].to_dict() == {"model": 4, "pair": 4}
    assert table.loc["all", "n_right"].to_dict() == {"model": 2, "pair": 2}
    assert table.loc["answered first", "n"].to_dict() == {
        "model": 1,
        "you": 1,
        "pair": 1,
    }
    assert table.loc["answered first", "n_right"].to_dict() == {
        "model": 0,
        "you": 1,
        "pair": 0,
    }
    assert found == {"decided": 5, "deferred": 1, "flagged": 1, "corrected": 1, "broken": 1,
                     "missed": 1, "seconds": 4.0}  # fmt: skip


def test_agreement_of_two_readers_is_cohens_kappa(tmp_path):
    log = DecisionLog(tmp_path / "d.sqlite")
    ada = ["accept", "accept", "override", "defer", "accept", "override"]
    bob = ["accept", "override", "override", "defer", "accept"]
    for name, actions in (("ada", ada), ("bob", bob)):
        for i, action in enumerate(actions):
            about = ABOUT | {"reader": name}
            log.append(
                "commit", **about, item_id=f"q{i}", answer=f"a {name if i == 2 else ''}"
            )
            log.append("defer", **about, item_id=f"q{i}")  # thought better of
            log.append(
                action, **about, item_id=f"q{i}", answer="No", model_answer="yes"
            )
    log.append("accept", **ABOUT | {"reader": "bob"}, item_id="q5")
    log.undo(reader="bob")
    found = evidence.readers_agreement(log.read()).set_index("what")
    assert found["n"].to_dict() == {"decision": 5, "own answer first": 5}
    assert found.loc["decision", "agree"] == 0.8
    assert found.loc["decision", "kappa"] == cohen_kappa_score(ada[:5], bob)
    assert found.loc["own answer first", "agree"] == 0.8
    same = DecisionLog(tmp_path / "same.sqlite")
    for name in ("ada", "bob"):
        same.append(
            "accept", **ABOUT | {"reader": name}, item_id="q1", model_answer="yes"
        )
    found = evidence.readers_agreement(same.read())
    assert found["kappa"].isna().all()
    assert "undefined" in page.part("summary", {"decided": 0}, found)


# the page


def test_nothing_shown_before_the_answer_tells_it(book):
    """Neither ids, file names, the modality nor what the image file says of itself."""
    for item_id in book.order[:8]:
        case = book.rows.loc[item_id]
        shown = page.part("case", case, 1, 9, book.note, page.picture(case["image"]))
        told = re.sub('base64,[^"]*', "", shown.replace(case["question"], ""))
        assert case["item_id"] not in told
        assert case["image_id"] not in told
        options = ", ".join(case["options"] or ())
        assert case["modality"] not in text(told.replace(options, "")), item_id


def test_a_picture_holds_its_pixels_alone_and_its_file_name_is_not_told(tmp_path):
    import base64
    import io

    from PIL import Image, ImageCms
    from PIL.PngImagePlugin import PngInfo

    told = PngInfo()
    told.add_text("Description", "pneumothorax, left")
    path = tmp_path / "pneumothorax.png"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("RGB", (300, 200), "grey").save(path, pnginfo=told, icc_profile=profile)
    shown = page.picture(str(path))
    opened = Image.open(io.BytesIO(base64.b64decode(shown["data"])))
    assert (opened.size, opened.text, opened.info) == ((300, 200), {}, {})
    assert not shown["pixels"]
    small = page.picture(str(path), small=True)
    assert Image.open(io.BytesIO(base64.b64decode(small["data"]))).size == (192, 128)
    path.write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    for why in (
        page.picture(str(path))["why"],
        page.picture(str(tmp_path / "hernia.png"))["why"],
    ):
        assert "cannot be shown" in why
        assert "pneumothorax" not in why
        assert "hernia" not in why
    assert "No image" in page.picture(None)["why"]


def test_past_cases_do_not_tell_which_modality_is_asked_for(tmp_path):
    n = 120
    modality = np.where(np.arange(n) % 2, "ct", "mri")
    split = np.where(np.arange(n) < 20, "test", "fit")
    told = {
        "modality": modality,
        "split": split,
        "gold": modality,
        "question_type": "open",
    }
    book = casebook(tmp_path, table_of(n, **told, confidence=0.5))
    past = [
        evidence.past_cases(book, book.rows.loc[i])["item_id"].tolist()
        for i in book.order
    ]
    # one confidence, one kind of question: the same three whatever the modality
    assert all(three == past[0] for three in past)


def test_what_answers_say_is_shown_and_not_run(book):
    case = book.rows.loc[book.order[0]].copy()
    case["answer"] = case["question"] = "<script>alert(1)</script>"
    for shown in (
        page.evidence_html(book, case, rings=True, own="<script>"),
        page.part("case", case, 1, 2, "<script>", page.picture(case["image"])),
        page.part("status", "<script>", False),
    ):
        assert "<script>" not in shown
        assert "&lt;script&gt;" in shown


def test_the_icons_count_and_say_so():
    svg = page.part("icons", 28)
    assert svg.count("<path") == 28
    assert svg.count("<circle") == 72
    assert 'aria-label="28 of 100' in svg


# the widget


def shown(reader, name):
    return text(reader.html[name].value)


def test_a_decision_is_kept_before_the_next_case_is_shown(reader, answers):
    first = reader.case
    assert not reader.decisions.path.exists()
    reader.buttons["accept"].click()
    assert reader.case["item_id"] != first["item_id"]
    kept = DecisionLog(reader.decisions.path).latest(reader="ada")[first["item_id"]]
    assert (kept.action, kept.model_answer) == ("accept", first["answer"])
    assert kept.confidence == first["confidence"]
    assert kept.flagged == (first["item_id"] in reader.worst)
    assert 0 <= kept.seconds < 60
    assert shown(reader, "progress").startswith(
        f"1 of {len(reader.cases.order)} decided by ada"
    )
    again = Reader(
        answers, decisions=reader.decisions.path, reader="ada", strategy="verbalized"
    )
    assert again.case["item_id"] == reader.case["item_id"]
    again.go(reader.cases.order.index(first["item_id"]))
    assert "accepted" in shown(again, "decided")


def test_undo_shows_the_case_again_and_counts_anew(reader):
    first = reader.case["item_id"]
    reader.buttons["defer"].click()
    reader.buttons["accept"].click()
    assert shown(reader, "progress").startswith(
        f"2 of {len(reader.cases.order)} decided, 1 deferred"
    )
    reader.buttons["undo"].click()
    reader.buttons["undo"].click()
    assert reader.case["item_id"] == first
    assert shown(reader, "decided") == ""
    assert reader.buttons["undo"].disabled


def test_time_runs_from_when_the_case_is_shown(answers, tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(view, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    reader = Reader(answers, decisions=tmp_path / "d.sqlite", model_first=True)
    clock[0] += 2.5
    reader.show_summary()  # the case stays
    reader.go(reader.place)
    clock[0] += 1
    reader.buttons["accept"].click()
    clock[0] += 7
    reader.buttons["accept"].click()
    assert reader.decisions.read()["seconds"].tolist() == [3.5, 7.0]


def to_case(reader, *, options):
    for place in range(len(reader.cases.order)):
        reader.go(place)
        if bool(reader.case["options"]) == options:
            return reader.case
    raise AssertionError("no such case")


def test_an_override_takes_another_answer_and_a_reason(reader):
    case = to_case(reader, options=True)
    reader.buttons["override"].click()
    assert "Choose or write" in shown(reader, "status")
    reader.own.value = case["answer"]
    reader.buttons["override"].click()
    assert "model's answer" in shown(reader, "status")
    assert not reader.decisions.path.exists()
    reader.own.value = next(o for o in case["options"] if o != case["answer"])
    reader.reason.value = "seen before"
    reader.buttons["override"].click()
    kept = reader.decisions.latest(reader="ada")[case["item_id"]]
    assert (kept.action, kept.reason) == ("override", "seen before")
    assert kept.answer != case["answer"]
    reader.go(reader.cases.order.index(case["item_id"]))
    assert reader.own.value == kept.answer
    assert reader.reason.value == "seen before"


def test_open_questions_are_overridden_in_words(reader):
    case = to_case(reader, options=False)
    assert reader.own.layout.display == "none"
    reader.own_text.value = "a nodule"
    reader.buttons["override"].click()
    assert reader.decisions.latest(reader="ada")[case["item_id"]].answer == "a nodule"


def test_the_model_is_hidden_until_an_own_answer_is_given(answers, tmp_path):
    reader = Reader(answers, decisions=tmp_path / "d.sqlite", reader="ada")
    case = to_case(reader, options=True)
    assert "hidden" in reader.html["model"].value
    assert "The model says" not in "".join(box.value for box in reader.html.values())
    assert all(
        reader.buttons[name].disabled for name in ("accept", "override", "defer")
    )
    reader.own.index = 0
    reader.buttons["commit"].click()
    assert reader.case["item_id"] == case["item_id"]
    assert "The model says" in reader.html["model"].value
    assert f"You said “{case['options'][0]}”" in shown(reader, "model")
    assert reader.buttons["commit"].disabled
    reader.buttons["accept"].click()
    assert (
        reader.decisions.commitments(reader="ada")[case["item_id"]].answer
        == case["options"][0]
    )
    assert "hidden" in reader.html["model"].value


def test_two_readers_of_one_file_see_their_own(answers, tmp_path):
    path = tmp_path / "d.sqlite"
    ada, bob, again = (
        Reader(answers, decisions=path, reader=name, model_first=True)
        for name in ("ada", "bob", "ada")
    )
    assert bob.case["item_id"] == ada.case["item_id"]
    ada.buttons["defer"].click()
    bob.go(0)
    assert bob.html["decided"].value == ""
    bob.buttons["accept"].click()
    for same in (ada, again):
        same.go(0)
        assert "ada deferred" in shown(same, "decided")
    bob.show_summary()
    assert "ada and bob, decision: the same in 0 % of 1" in shown(bob, "summary")


def test_everything_decided_ends_in_the_summary(reader):
    n = len(reader.cases.order)
    for _ in range(n):
        reader.buttons["accept"].click()
    assert "Every case is decided" in shown(reader, "status")
    right = int(reader.cases.rows.loc[reader.cases.order, "correct"].astype(int).sum())
    assert f"the model alone {right} of {n}:" in shown(reader, "summary")
    assert f"{n} decided" in shown(reader, "summary")
    reader.buttons["summary"].click()
    assert reader.html["summary"].value == ""


def test_a_damaged_file_loses_nothing_silently(reader):
    reader.buttons["accept"].click()
    place = reader.place
    reader.decisions.path.write_bytes(b"damaged by someone else" * 100)
    reader.decide("accept")
    assert "Not saved" in shown(reader, "status")
    reader.undo()
    assert "Not undone" in shown(reader, "status")
    assert reader.place == place


def test_what_is_read_and_by_whom_is_told_and_kept(answers, tmp_path):
    reader = Reader(
        answers,
        decisions=tmp_path / "d.sqlite",
        reader="ada",
        strategy="p_true",
        model_first=True,
    )
    assert f"decided by ada; answers of simulated to {DATASET}." in shown(
        reader, "progress"
    )
    reader.buttons["accept"].click()
    (kept,) = reader.decisions.read().to_dict("records")
    assert {name: kept[name] for name in reader.about} == reader.about
    assert reader.about["strategy"] == "p_true"


def test_in_a_notebook_answers_that_cannot_be_read_are_told(answers, tmp_path):
    table = answers_table(n_test=4, n_fit=4)
    table.drop(columns=["answer", "gold"]).to_parquet(tmp_path / "a.parquet")
    note = reader_view(tmp_path / "a.parquet")
    assert "No reader view of these answers" in note.data
    assert "no answer with a confidence" in note.data
    assert "'nothing'" in html.unescape(reader_view(answers, model="nothing").data)
    assert isinstance(reader_view(answers, decisions=tmp_path / "d.sqlite"), Reader)


def test_unknown_data_sets_are_shown_without_images(tmp_path):
    table = answers_table(n_test=10, n_fit=10).assign(dataset="from-elsewhere")
    table.to_parquet(tmp_path / "a.parquet")
    reader = Reader(tmp_path / "a.parquet", model_first=True)
    assert "No image" in reader.html["case"].value
    assert "from-elsewhere" in reader.html["case"].value
    reader.buttons["accept"].click()
    assert "Saved" in reader.html["status"].value


def vqa_rad_answers(path, folder):
    """What three real models answered to VQA-RAD; their agreement is the confidence."""
    items = (
        load_items(f"vqa-rad:{folder}")
        .query("question_type == 'closed'")
        .set_index("item_id")
    )
    table = pd.read_csv(folder / "closed_answers_3_models.csv")
    models = list(table.columns[-3:])
    table.index = "qid-" + table["qid"].astype(str)
    said = table.loc[table.index.isin(items.index), models]
    said = said.apply(
        lambda s: s.astype(str).str.lower().str.extract(r"\b(yes|no)\b")[0]
    )
    said = said.dropna().rename_axis("item_id")
    said = said.assign(
        dataset="vqa-rad", strategy="agreement", sample=0, domain="medical"
    )
    said = said.join(items[["image_id", "modality", "question_type", "split", "gold"]])
    long = said.reset_index().melt([c for c in said.reset_index() if c not in models],
                                   var_name="model", value_name="answer")  # fmt: skip
    share = long.groupby("item_id")["answer"].transform(lambda a: (a == "yes").mean())
    long["confidence"] = np.where(long["answer"] == "yes", share, 1 - share)
    long["correct"] = long["answer"] == long["gold"]
    long.to_parquet(path)
    return path


def test_real_answers_about_real_images_are_read(real_dir, tmp_path):
    folder = real_dir / "vqa_rad"
    path = vqa_rad_answers(tmp_path / "a.parquet", folder)
    reader = Reader(path, dataset=f"vqa-rad:{folder}", reader="ada")
    assert (
        reader.about["model"] == "gemini-2.5-pro"
    )  # the best of the three, by three quarters right
    assert 'class="smooth"' in reader.html["case"].value
    assert "synpic" not in reader.html["case"].value
    assert len(reader.worst) == math.ceil(len(reader.cases.order) / 5)
    shown = reader.cases.rows.loc[reader.cases.order]
    mine = shown["item_id"].isin(reader.worst)
    assert shown.loc[mine, "correct"].mean() < shown.loc[~mine, "correct"].mean()


def test_every_key_has_its_button_and_every_button_its_key(reader):
    script = Path(page.__file__).with_name("reader.js").read_text()
    keys = dict(re.findall(r"\b([a-z]): '(\w+)'", script.partition("};")[0]))
    assert sorted(keys.values()) == sorted(reader.buttons)
    for key, name in keys.items():
        assert f"({key.upper()})" in reader.buttons[name].description
        assert f"medcal-{name}" in reader.buttons[name]._dom_classes


def test_a_still_copy_shows_a_case_and_that_this_is_no_medical_device(
    answers, tmp_path
):
    reader = Reader(answers, decisions=tmp_path / "d.sqlite")
    still = text(reader._bundle()["text/html"])
    for part in ("Reader view", "not a medical device", "Of 100 answers like this one",
                 f"The model says “{reader.case['answer']}”", "95 % interval",
                 "Where does the doubt come from"):  # fmt: skip
        assert part in still
    assert "of 100 signs are crosses" in reader._bundle()["text/html"]


# serving


def test_decisions_go_beside_the_answers():
    assert decisions_path("a/b.sqlite").as_posix() == "a/b.decisions.sqlite"


def test_the_site_runs_this_interpreter_and_fetches_nothing(tmp_path):
    notebook = serve.write_site(tmp_path, tmp_path / "it's.sqlite", {"limit": 0.2})
    written = [p for p in tmp_path.rglob("*") if p.suffix in (".ipynb", ".json", ".j2")]
    assert len(written) == 4
    said = "".join(p.read_text() for p in written)
    assert "http" not in said
    assert sys.executable in said
    assert "it's.sqlite" in notebook.read_text()


@pytest.mark.skipif(os.name != "posix", reason="processes are listed by /proc")
def test_the_token_is_in_no_command_line_and_the_folder_goes(answers, tmp_path):
    """Port 0, a browser that writes down what it is given, SIGTERM."""
    browser, home = tmp_path / "browser", tmp_path / "tmp"
    browser.write_text(
        f'#!/bin/sh\ncd {tmp_path}\nfile="${{1#file://}}"\necho "$@" > told\n'
        'cat "$file" > page\nstat -c %a "$(dirname "$file")" > part\nmv part mode\n'
    )
    browser.chmod(0o700)
    home.mkdir()
    environment = os.environ | {
        "BROWSER": f"{browser} %s",
        "TMPDIR": str(home),
        "HOME": str(home),
    }
    command = [
        sys.executable,
        "-m",
        "medcal_nb.cli",
        "reader",
        str(answers),
        "--port",
        "0",
    ]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            address = re.search(
                r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)", process.stdout.readline()
            )
            port, token = address.groups()
            assert int(port) > 0
            end = time.monotonic() + 300
            while not (tmp_path / "mode").exists():
                assert time.monotonic() < end
                assert process.poll() is None
                time.sleep(0.2)
            lines = [
                p.read_bytes()
                for p in Path("/proc").glob("[0-9]*/cmdline")
                if readable(p)
            ]
            assert not any(token.encode() in line for line in lines)
        finally:
            process.terminate()
            assert process.wait(300) == 0
    assert token not in (tmp_path / "told").read_text()
    assert (tmp_path / "told").read_text().startswith("file:///")
    assert address.group() in (tmp_path / "page").read_text()
    assert (
        tmp_path / "mode"
    ).read_text().strip() == "700"  # of the folder: nobody else looks in
    assert not list(home.glob("medcal*"))
    assert answers.exists()


def readable(path):
    try:
        return bool(path.read_bytes())
    except OSError:
        return False


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["medcal", "reader", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def test_decisions_are_exported(answers, tmp_path, monkeypatch, capsys):
    kept = tmp_path / "d.sqlite"
    log = DecisionLog(kept)
    for name, action in (("ada", "accept"), ("bob", "accept"), ("ada", "defer")):
        log.append(
            action,
            **ABOUT | {"reader": name},
            item_id="q1",
            model_answer="yes",
            seconds=3.0,
        )
    log.undo(reader="ada")
    out = tmp_path / "out.csv"
    command = (answers, "--decisions", kept, "--export", out)
    assert not run(monkeypatch, *command)
    assert "3 rows" in capsys.readouterr().out
    table = pd.read_csv(out)
    assert table["reader"].tolist() == ["ada", "bob", "ada"]
    assert table["seconds"].tolist() == [3.0] * 3
    assert table["undone_at"].notna().tolist() == [False, False, True]
    # a second export and one over the decisions themselves are refused
    assert run(monkeypatch, *command) == 2
    assert "--force" in capsys.readouterr().err
    assert (
        run(monkeypatch, answers, "--decisions", kept, "--export", kept, "--force") == 2
    )
    assert len(log.read()) == 3
    assert (
        run(
            monkeypatch, answers, "--decisions", tmp_path / "no.sqlite", "--export", out
        )
        == 2
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--model", "nothing"],
            "no model 'nothing' with a confidence; there are simulated",
        ),
        (["--decisions", "/nowhere/d.sqlite"], "--decisions"),
        (["--errors-allowed", "20"], "'--errors-allowed': Input should be less"),
        (["--port", "70000"], "--port 70000"),
        (["--export", "/nowhere/d.csv"], "no decision yet"),
    ],
)
def test_the_command_tells_in_one_line_what_is_wrong(
    answers, monkeypatch, capsys, options, said
):
    assert run(monkeypatch, answers, "--no-browser", *options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("medcal: error: ")
    assert said in line
