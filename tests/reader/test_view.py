"""The page's parts and the widget, without a browser."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from medcal_nb.datasets import load_items
from medcal_nb.reader import evidence, page, view
from medcal_nb.reader.decisions import DecisionLog
from medcal_nb.reader.view import Reader
from tests.reader.conftest import casebook, table_of, text
from tests.reader_answers import DATASET, answers_table, write_answers

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
    own = SimpleNamespace(answer="<script>", confidence=0.5)
    for shown in (
        page.evidence_html(book, case, limit=0.2, own=own),
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


def accept(reader, sure="70"):
    reader.sure.value = sure
    reader.buttons["accept"].click()


def test_no_case_contradicts_itself(tmp_path):
    """Banner, flag, words and picture of all embedded cases rest on one number."""
    answers = write_answers(tmp_path / "a.sqlite", n_test=None, n_fit=200)
    options = {"strategy": "verbalized", "model_first": True, "limit": 0.25}
    reader = Reader(answers, decisions=tmp_path / "d.sqlite", size=50, **options)
    order = reader.cases.order
    assert len(order) == len(load_items(DATASET, split="test"))
    seen = []
    for start in range(0, len(order), 50):
        reader.cases.order = order[start:]
        reader.open_set()
        banner = re.search(
            r"more than 25 of 100 .*: (\d+) of", shown(reader, "progress")
        )
        flags = 0
        for place, item_id in enumerate(reader.set_items):
            reader.go(place)
            words = shown(reader, "model")
            said = re.search(r"Of 100 answers like this one, (\d+) were wrong", words)
            wrong = int(said.group(1))
            in_flag = re.search(r"of 100 answers like it (\d+) were wrong", words)
            assert int(in_flag.group(1)) == wrong
            assert f"{wrong} of 100 signs are crosses" in reader.html["model"].value
            counted = re.search(r"Counted: (\d+) of (\d+) answers", words).groups()
            k, n = map(int, counted)
            assert wrong == round(100 * k / n)
            assert f"n = {n})" in words
            assert ("Check this one" in words) == (wrong > 25)
            assert ("Not flagged" in words) == (wrong <= 25)
            assert (item_id in reader.flagged) == (wrong > 25)
            flags += wrong > 25
            seen.append(item_id)
        assert int(banner.group(1)) == flags
    assert seen == order


def test_a_decision_is_kept_before_the_next_case_is_shown(reader, answers):
    first = reader.case
    assert not reader.decisions.path.exists()
    accept(reader, "85 %")
    assert reader.case["item_id"] != first["item_id"]
    kept = DecisionLog(reader.decisions.path).latest(reader="ada")[first["item_id"]]
    assert (kept.action, kept.answer) == ("accept", first["answer"])
    assert kept.model_answer == first["answer"]
    assert kept.model_confidence == first["confidence"]
    assert kept.confidence == 0.85
    assert kept.correct == kept.model_correct == bool(first["correct"])
    assert kept.image_id == first["image_id"]
    assert kept.flagged == (first["item_id"] in reader.flagged)
    assert 0 <= kept.seconds < 60
    assert shown(reader, "progress").startswith("1 of 20 decided by ada, set 1 of 2")
    again = Reader(
        answers, decisions=reader.decisions.path, reader="ada", strategy="verbalized"
    )
    assert again.case["item_id"] == reader.case["item_id"]
    again.go(again.set_items.index(first["item_id"]))
    assert "accepted" in shown(again, "decided")
    assert "(85 % sure)" in shown(again, "decided")


def test_undo_shows_the_case_again_and_counts_anew(reader):
    first = reader.case["item_id"]
    reader.buttons["defer"].click()
    accept(reader)
    assert shown(reader, "progress").startswith("2 of 20 decided, 1 deferred")
    reader.buttons["undo"].click()
    reader.buttons["undo"].click()
    assert reader.case["item_id"] == first
    assert shown(reader, "decided") == ""
    assert reader.buttons["undo"].disabled


def test_time_runs_from_when_the_case_and_the_answer_are_shown(
    answers, tmp_path, monkeypatch
):
    clock = [100.0]
    monkeypatch.setattr(view, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    reader = Reader(answers, decisions=tmp_path / "d.sqlite")
    to_case(reader, options=True)
    clock[0] += 2.5
    reader.show_summary()  # the case stays
    reader.go(reader.place)
    reader.own.index = 0
    reader.sure.value = "60"
    clock[0] += 1
    reader.buttons["commit"].click()
    clock[0] += 7
    accept(reader)
    clock[0] += 2
    assert reader.decisions.read()["seconds"].tolist() == [3.5, 7.0]


def to_case(reader, *, options):
    for place in range(len(reader.set_items)):
        reader.go(place)
        if bool(reader.case["options"]) == options:
            return reader.case
    raise AssertionError("no such case")


@pytest.mark.parametrize("sure", ["", "very", "101", "-1", "nan"])
def test_nothing_is_kept_before_the_reader_says_how_sure(reader, sure):
    accept(reader, sure)
    assert "a number from 0 to 100" in shown(reader, "status")
    assert not reader.decisions.path.exists()


def test_an_override_takes_another_answer_and_a_reason(reader):
    case = to_case(reader, options=True)
    reader.sure.value = "62,5"
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
    assert kept.confidence == 0.625
    assert kept.correct == (kept.answer == case["gold"])
    reader.go(reader.set_items.index(case["item_id"]))
    assert reader.own.value == kept.answer
    assert reader.sure.value == "62.5"
    assert reader.reason.value == "seen before"


def test_open_questions_are_overridden_in_words(reader):
    case = to_case(reader, options=False)
    assert reader.own.layout.display == "none"
    reader.own_text.value = "a nodule"
    reader.sure.value = "50"
    reader.buttons["override"].click()
    assert reader.decisions.latest(reader="ada")[case["item_id"]].answer == "a nodule"


def test_the_model_is_hidden_until_an_own_answer_is_given(answers, tmp_path):
    reader = Reader(answers, decisions=tmp_path / "d.sqlite", reader="ada")
    case = to_case(reader, options=True)
    assert "hidden" in reader.html["model"].value
    assert "The model says" not in "".join(box.value for box in reader.html.values())
    deciding = ("accept", "override", "defer")
    assert all(reader.buttons[name].disabled for name in deciding)
    reader.own.index = 0
    reader.buttons["commit"].click()
    assert "a number from 0 to 100" in shown(reader, "status")
    reader.sure.value = "65"
    reader.buttons["commit"].click()
    assert reader.case["item_id"] == case["item_id"]
    assert "The model says" in reader.html["model"].value
    assert f"You said “{case['options'][0]}” (65 % sure)" in shown(reader, "model")
    assert reader.buttons["commit"].disabled
    accept(reader, "90")
    own = reader.decisions.commitments(reader="ada")[case["item_id"]]
    final = reader.decisions.latest(reader="ada")[case["item_id"]]
    assert (own.answer, own.confidence) == (case["options"][0], 0.65)
    assert (final.answer, final.confidence) == (case["answer"], 0.9)
    assert "hidden" in reader.html["model"].value


def test_two_windows_and_two_readers_on_one_file_lose_nothing(answers, tmp_path):
    path = tmp_path / "d.sqlite"
    ada, bob, again = (
        Reader(answers, decisions=path, reader=name, model_first=True)
        for name in ("ada", "bob", "ada")
    )
    assert bob.case["item_id"] == ada.case["item_id"]
    ada.buttons["defer"].click()
    bob.go(0)
    assert bob.html["decided"].value == ""
    accept(bob)
    for same in (ada, again):
        same.go(0)
        assert "ada deferred" in shown(same, "decided")
    # the second window decides the same case: both are kept, the last counts
    accept(again)
    ada.go(0)
    assert "ada accepted" in shown(ada, "decided")
    assert DecisionLog(path).read()["reader"].tolist() == ["ada", "bob", "ada"]


def test_a_set_ends_in_a_summary_and_another_follows(answers, tmp_path):
    options = {"decisions": tmp_path / "d.sqlite", "reader": "ada", "size": 5}
    reader = Reader(answers, **options)
    first = list(reader.set_items)
    assert len(first) == 5
    for _ in range(5):
        case = reader.case
        if case["options"]:
            reader.own.value = case["options"][-1]
        else:
            reader.own_text.value = "a nodule"
        reader.sure.value = "40"
        assert reader.buttons["more"].disabled
        reader.buttons["commit"].click()
        accept(reader, "80")
    assert "Every case of this set is decided" in shown(reader, "status")
    made = reader.decisions.read()
    alone = made[made["action"] == "commit"]["correct"].astype(int).sum()
    right = int(reader.cases.rows.loc[first, "correct"].astype(int).sum())
    words = shown(reader, "summary")
    assert f"({alone} of 5) 40 %" in words
    assert words.count(f"({right} of 5)") >= 2  # the model, and you with it
    assert f"{right} of these 5" in words
    assert "This set is done." in words
    reader.buttons["summary"].click()
    assert reader.html["summary"].value == ""
    reader.buttons["more"].click()
    assert not set(reader.set_items) & set(first)
    assert shown(reader, "progress").startswith("0 of 5 decided by ada, set 2 of")
    again = Reader(answers, **options)
    assert again.set_items == reader.set_items


def test_a_damaged_file_loses_nothing_silently(reader):
    accept(reader)
    place = reader.place
    reader.decisions.path.write_bytes(b"damaged by someone else" * 100)
    reader.sure.value = "70"
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
    assert f"answers of simulated to {DATASET}." in shown(reader, "progress")
    accept(reader)
    (kept,) = reader.decisions.read().to_dict("records")
    assert {name: kept[name] for name in reader.about} == reader.about
    assert reader.about["strategy"] == "p_true"


def test_unknown_data_sets_are_shown_without_images(tmp_path):
    table = answers_table(n_test=10, n_fit=10).assign(dataset="from-elsewhere")
    table.to_parquet(tmp_path / "a.parquet")
    reader = Reader(tmp_path / "a.parquet", model_first=True)
    assert "No image" in reader.html["case"].value
    assert "from-elsewhere" in reader.html["case"].value
    accept(reader)
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
    parts = (
        "Reader view",
        "not a medical device",
        "Of 100 answers like this one",
        f"The model says “{reader.case['answer']}”",
        "95 % CI",
        "How consistent is the model?",
    )
    for part in parts:
        assert part in still
    assert "of 100 signs are crosses" in reader._bundle()["text/html"]
