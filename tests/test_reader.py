"""The reader view without a browser: what is kept, what is computed, what the widget does."""

import html
import math
import multiprocessing
import os
import re
import signal
import time

import numpy as np
import pandas as pd
import pytest

from medcal_nb.answers import AnswerLog
from medcal_nb.cli import main
from medcal_nb.errors import MedcalError
from medcal_nb.measure import wilson_interval
from medcal_nb.reader import evidence, page
from medcal_nb.reader.cases import AnswerBook
from medcal_nb.reader.decisions import DecisionLog, decisions_path
from medcal_nb.reader.serve import write_site
from medcal_nb.reader.view import KEYS, Reader, key_script, reader_view
from tests.reader_answers import answers_table, write_answers

ABOUT = {"reader": "ada", "model": "m", "dataset": "d", "strategy": "s"}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    return write_answers(tmp_path_factory.mktemp("answers") / "answers.sqlite")


@pytest.fixture
def reader(answers, tmp_path):
    return Reader(answers, decisions=tmp_path / "d.sqlite", reader="ada")


@pytest.fixture
def book(answers):
    return AnswerBook(answers).casebook("pocketvqa-medical", "simulated", "verbalized")


# decisions


def test_the_last_decision_counts_and_the_first_commitment(tmp_path):
    with DecisionLog(tmp_path / "d.sqlite") as log:
        log.append("commit", **ABOUT, item_id="q1", answer="yes")
        log.append("commit", **ABOUT, item_id="q1", answer="no")
        log.append("override", **ABOUT, item_id="q1", answer=" no ", reason="edge")
        log.append("accept", **ABOUT, item_id="q1", model_answer="yes", confidence=0.5)
        assert log.latest(reader="ada")["q1"].action == "accept"
        assert log.commitments(**ABOUT)["q1"].answer == "yes"
        assert log.read()["action"].tolist() == ["commit", "commit", "override", "accept"]
        assert log.read()["answer"].tolist()[2] == "no"
        assert log.latest(reader="someone else") == {}


def test_looking_leaves_no_file(tmp_path):
    path = tmp_path / "d.sqlite"
    log = DecisionLog(path)
    assert log.latest(**ABOUT) == {}
    assert log.readers() == []
    assert not path.exists()
    log.append("defer", **ABOUT, item_id="q1")
    assert path.exists()


@pytest.mark.parametrize(
    ("action", "answer", "named"),
    [("agree", None, "action"), ("override", None, "answer"), ("commit", "  ", "answer")],
)
def test_a_decision_that_is_none_is_refused(tmp_path, action, answer, named):
    log = DecisionLog(tmp_path / "d.sqlite")
    with pytest.raises(ValueError, match=f"^{named}:"):
        log.append(action, **ABOUT, item_id="q1", answer=answer)
    assert log.read().empty


def test_files_of_another_kind_are_left_alone(tmp_path):
    text = tmp_path / "notes.sqlite"
    text.write_text("not a database, but long enough to be looked at as one " * 20)
    with pytest.raises(MedcalError, match="no SQLite file"):
        DecisionLog(text)
    assert text.read_text().startswith("not a database")
    other = tmp_path / "other.sqlite"
    with AnswerLog(other):
        pass
    with pytest.raises(MedcalError, match="something else than decisions"):
        DecisionLog(other)
    with pytest.raises(MedcalError, match="folder is missing"):
        DecisionLog(tmp_path / "nowhere" / "d.sqlite")


def decide_many(path, name, n):
    with DecisionLog(path) as log:
        for i in range(n):
            log.append("accept", **ABOUT | {"reader": name}, item_id=f"q{i}")


def test_two_readers_at_once_lose_nothing(tmp_path):
    path = tmp_path / "d.sqlite"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=decide_many, args=(path, name, 60)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    table = DecisionLog(path).read()
    assert table.groupby("reader").size().to_dict() == {"a": 60, "b": 60}
    assert not table.duplicated(["reader", "item_id"]).any()


def decide_forever(path, told):
    with DecisionLog(path) as log:
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
    end = time.monotonic() + 60
    while told.value < 20 and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    kept = DecisionLog(path).read()
    assert told.value >= 20
    # what was said to be saved is there; at most one more was on its way
    assert told.value <= len(kept) <= told.value + 1
    assert kept["item_id"].tolist() == [f"q{i}" for i in range(len(kept))]


# evidence


def test_local_error_by_hand():
    confidence = np.repeat([0.2, 0.5, 0.9], 40)
    correct = np.r_[np.zeros(40), np.tile([1, 0, 0, 0], 10), np.ones(40)]
    found = evidence.local_error(confidence, correct, 0.55)
    assert (found.n, found.n_wrong, found.share) == (40, 30, 0.75)
    assert (found.low, found.high) == pytest.approx([float(v) for v in wilson_interval(30, 40)])
    assert (found.nearest_low, found.nearest_high) == (0.5, 0.5)
    assert found.n_images == 40


def test_local_error_is_less_sure_where_answers_share_images():
    confidence, correct = np.full(40, 0.5), np.repeat([1, 0, 0, 0], 10)
    alone = evidence.local_error(confidence, correct, 0.5)
    shared = evidence.local_error(confidence, correct, 0.5, images=np.arange(40) // 5)
    assert (shared.n, shared.n_images, shared.share) == (40, 8, alone.share)
    # eight images, each right or wrong as a whole, are worth fewer than eight answers or so
    eight = [float(v) for v in wilson_interval(6, 8)]
    assert shared.high - shared.low > eight[1] - eight[0] > alone.high - alone.low


def test_a_case_is_judged_by_images(book):
    case = book.case(book.order[0])
    others = book.others(case)
    everything = np.full(len(others), case.confidence)
    found = evidence.local_error(
        everything, others["correct"].astype(float), case.confidence,
        images=others["image_id"].to_numpy(str),
    )  # fmt: skip
    assert found.n_images == others["image_id"].nunique() < found.n == len(others)
    assert f"about {found.n_images} other images" in page.odds_html(found)
    near = evidence.case_error(book, case)
    mine = others[others["confidence"].between(near.nearest_low, near.nearest_high)]
    assert (near.n, near.n_images) == (len(mine), mine["image_id"].nunique())


def test_local_error_takes_all_ties_and_a_hundred_of_many(rng):
    assert evidence.local_error([0.9] * 450, [1] * 450, 0.9).n == 450
    confidence = rng.random(5000)
    found = evidence.local_error(confidence, rng.random(5000) < confidence, 0.7)
    assert found.n == 100
    assert found.nearest_high - found.nearest_low < 0.05
    assert evidence.local_error(confidence[:12], np.ones(12), 0.7).n == 10
    assert evidence.local_error([], [], 0.5).n == 0


def test_local_error_is_right_about_an_honest_forecaster(rng):
    confidence = rng.random(100_000)
    correct = rng.random(100_000) < confidence
    found = [evidence.local_error(confidence, correct, at, nearest=4000) for at in (0.3, 0.6, 0.9)]
    # four standard errors of a share of 4000
    assert [f.share for f in found] == pytest.approx([0.7, 0.4, 0.1], abs=0.03)


def test_evidence_never_uses_the_image_in_question(book):
    for item_id in book.order:
        case = book.case(item_id)
        assert case.image_id not in set(book.others(case)["image_id"])
        past = evidence.past_cases(book, case)
        assert 0 < len(past) <= 3
        assert case.image_id not in {p.image_id for p in past}
        assert len({p.image_id for p in past}) == len(past)
        assert all(p.correct is not None for p in past)


def test_past_cases_are_never_asked(book):
    asked = set(book.order)
    for item_id in book.order:
        assert not asked & {p.item_id for p in evidence.past_cases(book, book.case(item_id))}
    assert set(book.rows.loc[book.order, "split"]) == {"test"}


def test_without_a_fit_split_some_images_are_set_aside(tmp_path):
    table = answers_table(n_test=30, n_fit=10)
    path = tmp_path / "a.parquet"
    table[table["split"] == "test"].assign(split=None).to_parquet(path)
    book = AnswerBook(path).casebook("pocketvqa-medical", "simulated", "verbalized")
    library = set(book.rows.loc[book.rows["library"], "image_id"])
    assert library
    assert not library & set(book.rows.loc[book.order, "image_id"])
    assert len(book.order) + book.rows["library"].sum() == len(book.rows)


def test_past_cases_are_the_nearest(book):
    case = book.case(book.order[0])
    past = evidence.past_cases(book, case)
    library = book.rows[book.rows["library"]].drop_duplicates("image_id")
    gaps = sorted(abs(p.confidence - case.confidence) for p in past)
    nearest = (library["confidence"] - case.confidence).abs().min()
    assert gaps[0] <= nearest + 1e-9


def test_other_ways_and_the_blank_image_are_those_of_the_item(book, answers):
    table = AnswerLog(answers, read_only=True).read()
    seen = 0
    for item_id in book.order:
        case = book.case(item_id)
        others = evidence.other_ways(book, case)
        assert others["strategy"].tolist() == ["p_true"]
        given = table.query("item_id == @item_id and strategy == 'p_true'")["answer"].item()
        assert others["agrees"].item() == (given == case.answer)
        blank = evidence.blank_image(book, case)
        if case.options:
            mine = table.query("item_id == @item_id and strategy == 'blank_image'")
            shares = dict(zip(mine["sample"], mine["option_probabilities"], strict=True))
            assert blank.seen == shares[0][case.answer]
            assert blank.blank == shares[1][case.answer]
            seen += 1
        else:
            assert blank is None
    assert seen > 5


def test_other_answers_are_gathered_and_few_ways_put_in_words(book):
    case = book.case(book.order[0])
    others = pd.DataFrame(
        {
            "strategy": ["p_true", "top_k", "augment", "challenge", "verbalized"],
            "answer": ["Left", "left", "<b>", "left.", case.answer],
            "confidence": [0.9, 0.25, np.nan, 0.5, 0.8],
            "agrees": [False] * 4 + [True],
        }
    )
    told = page.reasons_html(others, None, case)
    assert "Asked in 5 other ways, the model gave this answer in 1." in told
    first, second = told.partition("<ul>")[2].partition("</ul>")[0].split("</li>")[:2]
    text = re.sub("<[^>]+>", "", first)
    assert text == "“Left” in 3 ways: p_true (90% sure), top_k (25% sure), challenge (50% sure)"
    assert page.strategy_words("top_k") in html.unescape(first)
    assert re.sub("<[^>]+>", "", second) == (
        f"“&lt;b&gt;”, by augment: {html.escape(page.strategy_words('augment'))}"
    )


def test_the_rule_flags_below_the_threshold_and_everything_without_one(tmp_path):
    rng = np.random.default_rng(1)
    n = 900
    confidence = rng.random(n)
    table = pd.DataFrame(
        {
            "model": "m", "dataset": "nowhere", "strategy": "verbalized",
            "item_id": [f"q{i}" for i in range(n)], "sample": 0, "answer": "yes",
            "confidence": confidence, "correct": rng.random(n) < confidence,
            "split": np.where(np.arange(n) < 300, "test", "fit"),
        }
    )  # fmt: skip
    path = tmp_path / "a.parquet"
    table.to_parquet(path)
    book = AnswerBook(path).casebook("nowhere", "m", "verbalized")
    rule = evidence.check_rule(book, limit=0.3)
    assert rule.apart
    assert rule.n == 600
    # above t an honest forecaster of uniform confidence errs (1 - t) / 2 of the time
    assert 0.1 < (1 - rule.threshold) / 2 <= 0.3
    assert rule.flags(rule.threshold - 0.01)
    assert not rule.flags(rule.threshold)
    strict = evidence.check_rule(book, limit=0.01)
    assert math.isinf(strict.threshold)
    assert strict.flags(1.0)


def test_summary_by_hand(book, tmp_path):
    about = {"reader": "ada", "model": book.model, "dataset": book.dataset,
             "strategy": book.strategy}  # fmt: skip
    cases = [book.case(item_id) for item_id in book.order]
    closed = [c for c in cases if c.question_type == "closed"]
    right = [c for c in closed if c.correct][:3]
    wrong = [c for c in closed if not c.correct][:2]
    other = {"yes": "no", "no": "yes"}
    with DecisionLog(tmp_path / "d.sqlite") as log:
        log.append("accept", **about, item_id=right[0].item_id)
        log.append("override", **about, item_id=right[1].item_id, answer=other[right[1].gold])
        log.append("defer", **about, item_id=right[2].item_id, flagged=True)
        log.append("override", **about, item_id=wrong[0].item_id, answer=wrong[0].gold)
        log.append("commit", **about, item_id=wrong[1].item_id, answer=wrong[1].gold)
        log.append("accept", **about, item_id=wrong[1].item_id)
        found = evidence.summarise(book, log.latest(**about), log.commitments(**about))
    table = found.table.set_index("who")
    assert table["n"].to_dict() == {"the model alone": 5, "you alone": 1, "you and the model": 4}
    assert table["n_right"].tolist() == [3, 1, 2]
    assert (found.n_decided, found.n_deferred, found.n_flagged) == (5, 1, 1)
    assert (found.n_mended, found.n_spoiled, found.n_missed) == (1, 1, 1)


# the page


def test_the_icon_array_counts_and_says_so():
    svg = page.icon_array(28)
    assert svg.count("<path") == 28
    assert svg.count("<circle") == 72
    assert 'aria-label="28 of 100' in svg


def test_what_answers_say_is_shown_and_not_run(book):
    case = book.case(book.order[0])
    bad = case.__class__(**case.__dict__ | {"answer": "<script>alert(1)</script>"})
    assert "<script>" not in page.model_html(bad)
    assert "&lt;script&gt;" in page.model_html(bad)


def test_a_damaged_image_and_no_image_are_told(book):
    case = book.case(book.order[0])
    assert "<img" in page.picture(case)
    assert "No image" in page.picture(case.__class__(**case.__dict__ | {"image": None}))
    damaged = case.__class__(**case.__dict__ | {"image": b"\x89PNG\r\n\x1a\nnot really"})
    assert "cannot be shown" in page.picture(damaged)


@pytest.mark.parametrize(
    ("seen", "blank", "said"),
    [(0.9, 0.3, "rests on the image"), (0.8, 0.75, "hardly matters"), (0.4, 0.8, "against")],
)
def test_a_blank_image_in_words(seen, blank, said):
    assert said in page.blank_words(evidence.BlankImage("yes", seen, blank))


# the widget


def test_a_decision_is_kept_before_the_next_case_is_shown(reader, answers):
    first = reader.case
    assert not reader.decisions.path.exists()
    reader.buttons["accept"].click()
    assert reader.case.item_id != first.item_id
    kept = DecisionLog(reader.decisions.path).latest(reader="ada")[first.item_id]
    assert (kept.action, kept.model_answer) == ("accept", first.answer)
    assert kept.confidence == first.confidence
    again = Reader(answers, decisions=reader.decisions.path, reader="ada")
    assert again.case.item_id == reader.case.item_id
    again.go(reader.cases.order.index(first.item_id))
    assert "accepted" in again.decided.value


def to_case(reader, *, options):
    for place in range(len(reader.cases)):
        reader.go(place)
        if bool(reader.case.options) == options:
            return reader.case
    raise AssertionError("no such case")


def test_an_override_takes_another_answer_and_a_reason(reader):
    case = to_case(reader, options=True)
    reader.buttons["override"].click()
    assert "Choose or write" in reader.status.value
    reader.own.value = case.answer
    reader.buttons["override"].click()
    assert "model's answer" in reader.status.value or "model&#x27;s answer" in reader.status.value
    assert not reader.decisions.path.exists()
    reader.own.value = next(o for o in case.options if o != case.answer)
    reader.reason.value = "seen before"
    reader.buttons["override"].click()
    kept = reader.decisions.latest(reader="ada")[case.item_id]
    assert (kept.action, kept.reason) == ("override", "seen before")
    assert kept.answer != case.answer
    reader.go(reader.cases.order.index(case.item_id))
    assert reader.own.value == kept.answer
    assert reader.reason.value == "seen before"


def test_open_questions_are_overridden_in_words(reader):
    case = to_case(reader, options=False)
    assert reader.own.layout.display == "none"
    reader.own_text.value = "a nodule"
    reader.buttons["override"].click()
    assert reader.decisions.latest(reader="ada")[case.item_id].answer == "a nodule"


def test_the_model_is_hidden_until_an_own_answer_is_given(answers, tmp_path):
    reader = Reader(answers, decisions=tmp_path / "d.sqlite", reader="ada", commit_first=True)
    case = to_case(reader, options=True)
    assert "hidden" in reader.model_box.value
    assert "The model says" not in reader.model_box.value
    assert all(reader.buttons[name].disabled for name in ("accept", "override", "defer"))
    reader.own.index = 0
    reader.buttons["commit"].click()
    assert reader.case.item_id == case.item_id
    assert "The model says" in reader.model_box.value
    assert "You said" in reader.model_box.value
    assert reader.buttons["commit"].disabled
    reader.buttons["accept"].click()
    assert reader.decisions.commitments(reader="ada")[case.item_id].answer == case.options[0]
    assert "hidden" in reader.model_box.value


def test_two_readers_of_one_file_see_their_own(answers, tmp_path):
    path = tmp_path / "d.sqlite"
    ada, bob = (Reader(answers, decisions=path, reader=name) for name in ("ada", "bob"))
    item = ada.case.item_id
    assert bob.case.item_id == item
    ada.buttons["defer"].click()
    bob.go(0)
    assert bob.decided.value == ""
    bob.buttons["accept"].click()
    ada.go(0)
    assert "deferred" in ada.decided.value
    assert DecisionLog(path).readers() == ["ada", "bob"]
    bob.reader.value = "ada"
    bob.go(0)
    assert "ada deferred" in bob.decided.value


def test_everything_decided_ends_in_the_summary(reader):
    for _ in range(len(reader.cases)):
        reader.buttons["accept"].click()
    assert "Every case is decided" in reader.status.value
    n = len(reader.cases)
    assert f"{n} decided" in reader.summary_box.value
    right = int(reader.cases.rows.loc[reader.cases.order, "correct"].astype(int).sum())
    assert f"{right} of {n}" in reader.summary_box.value


def test_a_full_or_locked_file_loses_nothing_silently(reader):
    reader.buttons["accept"].click()
    place = reader.place
    reader.decisions.close()
    reader.decisions.path.write_bytes(b"damaged by someone else" * 100)
    for name in ("-wal", "-shm"):
        reader.decisions.path.with_name(reader.decisions.path.name + name).unlink(missing_ok=True)
    reader.decide("accept")
    assert "Not saved" in reader.status.value
    assert reader.place == place


def test_the_strategy_and_the_limit_change_what_is_shown(reader):
    before = reader.model_box.value
    reader.limit.value = 60
    assert reader.rule.limit == 0.6
    assert reader.model_box.value != before
    reader.strategy.value = "p_true"
    assert reader.cases.strategy == "p_true"
    assert [type(o) for o in reader.own.options] == [str] * len(reader.own.options)


def test_the_model_asked_in_most_ways_is_shown_first(tmp_path):
    both = answers_table(n_test=8, n_fit=30)
    few = both[both["strategy"] == "verbalized"].assign(model="a")
    pd.concat([few, both]).to_parquet(tmp_path / "a.parquet")
    book = AnswerBook(tmp_path / "a.parquet")
    assert book.models("pocketvqa-medical") == ["simulated", "a"]
    assert book.choose() == ("pocketvqa-medical", "simulated", "verbalized")


@pytest.mark.parametrize("name", ["dataset", "model", "strategy"])
def test_what_is_not_in_the_file_is_told(answers, name):
    with pytest.raises(MedcalError, match="'nothing'"):
        Reader(answers, **{name: "nothing"})


def test_answers_without_confidence_are_told(tmp_path):
    table = answers_table(n_test=4, n_fit=4).assign(confidence=np.nan)
    table = table[table["strategy"] == "p_true"]
    table.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(MedcalError, match="no answer with a confidence"):
        AnswerBook(tmp_path / "a.parquet")


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
    reader = Reader(tmp_path / "a.parquet")
    assert "No image" in reader.case_box.value
    assert "from-elsewhere" in reader.case_box.value
    reader.buttons["accept"].click()
    assert "Saved" in reader.status.value


def test_every_key_has_its_button_and_every_button_its_key(reader):
    assert sorted(KEYS.values()) == sorted(reader.buttons)
    for key, name in KEYS.items():
        assert f"({key.upper()})" in reader.buttons[name].description
        assert f"medcal-{name}" in reader.buttons[name]._dom_classes
    assert '"a": "accept"' in key_script()


def test_no_medical_device_and_a_still_copy(reader):
    still = reader._bundle()["text/html"]
    assert "not a medical device" in still
    assert reader.case.answer in still
    assert "of 100 signs are crosses" in still
    assert "95 % interval" in still
    assert "Where does the doubt come from" in still
    assert ("Check this one" in still) == reader.rule.flags(reader.case.confidence)


def test_decisions_go_beside_the_answers():
    assert decisions_path("a/b.sqlite").as_posix() == "a/b.decisions.sqlite"


def test_the_site_runs_this_interpreter_and_fetches_nothing(tmp_path):
    notebook = write_site(tmp_path, tmp_path / "it's.sqlite", {"limit": 0.2, "model": None})
    text = "".join(p.read_text() for p in tmp_path.rglob("*") if p.is_file())
    assert "http" not in text
    assert "it's.sqlite" in notebook.read_text()
    assert "model" not in notebook.read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "nothing"], "no model 'nothing' with a confidence; there are simulated"),
        (["--decisions", "/nowhere/d.sqlite"], "--decisions"),
        (["--limit", "20"], "--limit 20"),
        (["--port", "70000"], "--port 70000"),
    ],
)
def test_the_command_tells_in_one_line_what_is_wrong(answers, monkeypatch, capsys, options, said):
    monkeypatch.setattr("sys.argv", ["medcal", "reader", str(answers), "--no-browser", *options])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("medcal: error: ")
    assert said in line
