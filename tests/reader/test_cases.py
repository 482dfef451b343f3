"""Which cases are shown, and what is known about an answer before anyone trusts it."""

import numpy as np
import pytest

from medcal_nb.datasets import load_items
from medcal_nb.datasets.items import image_side
from medcal_nb.errors import MedcalError
from medcal_nb.measure import clustered_interval
from medcal_nb.reader.cases import error_rate, similar_answers
from tests.reader_answers import DATASET, table_of


def test_each_image_is_shown_once_in_one_order(book):
    images = book.shown(20)["image_id"]
    assert len(images) == images.nunique() == 20
    assert images.tolist()[:10] == book.shown(10)["image_id"].tolist()


def test_similar_answers_are_counted_by_hand(book_of):
    """Of 200 answers the quarter with the nearest confidence, about other images."""
    confidence = np.arange(200) // 2 / 100
    correct = np.arange(200) % 4 > 0
    images = [f"i{k // 2}" for k in range(200)]
    answers = {"answer": np.where(correct, "yes", "no"), "correct": correct}
    table = table_of(200, confidence=confidence, image_id=images, **answers)
    book = book_of(table)
    case = book.rows.loc["q0100"]
    similar, alike = similar_answers(book.rows, case)
    assert alike == ["question_type", "modality"]
    mine = np.array([image != case["image_id"] for image in images])
    apart = np.abs(confidence - case["confidence"])
    nearest = mine & (apart <= np.sort(apart[mine])[round(mine.sum() / 4) - 1])
    assert set(similar.index) == {f"q{k:04d}" for k in np.flatnonzero(nearest)}
    rate = error_rate(similar)
    assert (rate["n"], rate["n_wrong"]) == (nearest.sum(), (nearest & ~correct).sum())
    wanted = clustered_interval(~correct[nearest], np.array(images)[nearest])
    assert (rate["low"], rate["high"]) == pytest.approx(wanted, abs=1e-12)


def test_what_is_not_named_is_chosen_medical_first(book_of):
    general = table_of(80, dataset="everyday", domain="general")
    fewer = table_of(59, strategy="p_true")
    book = book_of(general, fewer, table_of(60))
    wanted = {"dataset": "d", "model": "m", "strategy": "verbalized"}
    assert book.about == wanted
    with pytest.raises(MedcalError, match="'p_tru'; did you mean 'p_true'"):
        book_of(general, fewer, dataset="d", rows="strategy == 'p_tru'")
    with pytest.raises(MedcalError, match="no case to show"):
        book_of(table_of(5, confidence=None))


def test_options_of_a_table_are_json_and_a_closed_question_has_its_own(book_of):
    book = book_of(table_of(9, options='["left", "right"]'))
    assert {one.texts for one in book.rows["options"]} == {("left", "right")}
    assert book_of(table_of(9)).rows["options"].iloc[0].texts == ("yes", "no")
    assert book_of(table_of(9, gold="a cyst")).rows["options"].iloc[0] is None


def test_images_are_taken_from_the_folder_of_the_table_alone(book_of, tmp_path):
    paths = ["ct/a.png", "../b.png", "/etc/c.png"] * 3
    images = book_of(table_of(9, image=paths)).rows["image"]
    assert images.tolist()[:3] == [str(tmp_path / "ct" / "a.png"), None, None]


def test_a_question_about_a_side_says_that_it_is_the_image_s(book):
    items = load_items(DATASET).set_index("item_id")
    side = items["fact"].isin(["side", "disc"])
    shown = items["question"].map(image_side)
    assert shown[side].str.contains("image").all()
    assert (shown == items["question"])[~side].all()
    assert (book.rows["question"] == shown[book.rows.index]).all()
