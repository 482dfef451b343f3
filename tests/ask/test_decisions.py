"""Typed decisions: asked at servers of each form and here, one request for an image's questions."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medcal_nb.answers import load_answers
from medcal_nb.ask.backends.local import LocalModel
from medcal_nb.ask.backends.served import ServedModel
from medcal_nb.ask.calls import Decide, Failure
from medcal_nb.ask.estimate import estimate
from medcal_nb.ask.models import what_works
from medcal_nb.ask.run import ask
from medcal_nb.errors import MedcalError
from tests.ask.sold import Sold
from tests.ask.tiny import noise_picture, tiny_checkpoint
from tests.ask.told import Told

#: question, options, what is right
QUESTIONS = [
    ("Is there a mass?", ["Yes", "no"], "Yes"),
    ("Which organ?", ["heart", "lung", "liver"], "heart"),
    ("Is there a secret?", ["yes", "no"], "no"),
]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(ServedModel, "pause", 0.001)
    monkeypatch.setattr(ServedModel, "tries", 2)


def grey_items(levels, questions=QUESTIONS):
    """An item table: the same questions about each of some grey images."""
    rows = []
    for i, level in enumerate(levels):
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8), (level,) * 3).save(buffer, "PNG")
        for k, (question, options, gold) in enumerate(questions):
            rows.append({
                "item_id": f"{i}-{k}", "image_id": f"im{i}", "dataset": "grey", "domain": "medical",
                "modality": "ct", "question_type": "closed" if k != 1 else "choice",
                "question": question, "options": options, "gold": gold, "split": "test",
                "image": buffer.getvalue(),
            })  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("by", "place"),
    [
        ("decisions", "/v1/decisions, the image in the message"),
        ("assets", "/v1/systemone, the image in assets"),
        ("images", "/v1/systemone, the image in images"),
    ],
)
@pytest.mark.parametrize("counts", [True, False])
def test_each_form_is_found_out_and_asked_once_an_image(by, place, counts, log):
    with Sold(by, counts=counts) as sold:
        model = ServedModel(sold.url)
        assert model.can == {"decisions"}
        able, offer, *cannot = what_works(model, "decision,verbalized")
        assert able == "sold-1 can be asked decision"
        assert offer == f"typed decisions by {place}"
        assert "the server writes no replies: HTTP 404" in cannot[0]
        sold.requests.clear()
        levels = [51, 204, 255]
        done = ask(model, grey_items(levels), "decision", log=log)
    assert len(sold.requests) == 3  # one for all questions of an image
    assert (done.rows, done.failed) == (9, {})
    assert "3 questions were refused under decision" in " ".join(done.lines())
    answers = load_answers(log.path).set_index("item_id")
    share = [0.2, 0.8, 1.0]
    for i, p in enumerate(share):
        yes, organ, refused = (answers.loc[f"{i}-{k}"] for k in range(3))
        assert (yes["answer"], yes["confidence"]) == (
            ("Yes", p) if p > 0.5 else ("no", 1 - p)
        )
        assert organ["confidence"] == max(p, (1 - p) / 2)
        assert organ["option_probabilities"]["heart"] == p
        assert refused[["answer", "confidence"]].isna().all()
        assert organ["vendor_number"] == pytest.approx(
            (3 * organ["confidence"] - 1) / 2
        )
    assert answers["correct"].fillna(False).sum() == 4
    assert ("label_mass" in answers) == (by != "decisions")
    said = " ".join(load_answers(log.path).attrs["assumed"])
    assert "(k p - 1) / (k - 1)" in said
    assert "3 questions were refused" in said


def test_one_question_at_fault_fails_alone(log):
    items = grey_items([51], [*QUESTIONS[:2], ("How many?", ["a", "b"], "a")])
    with Sold() as sold:
        done = ask(ServedModel(sold.url), items, "decision", log=log)
    assert done.rows == 2
    assert "at most 26 options" in done.failed["0-2"]


def test_decisions_wait_for_no_room_and_no_further_image(log):
    """More questions about an image than programs are begun at once, and than a request takes."""
    many = [(f"Question {i}?", ["yes", "no"], "yes") for i in range(70)]
    with Sold() as sold:
        model = ServedModel(sold.url, concurrency=1)
        sold.requests.clear()
        done = ask(model, grey_items([204, 51], many), "decision", log=log)
    assert (done.rows, done.failed) == (140, {})
    assert len(sold.requests) < 140
    wide = ServedModel.__init__.__kwdefaults__["concurrency"]
    assert wide * 3 < 70  # so that the room was full


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"blind": True}, "/v1/decisions: it answers without looking at the image"),
        (
            {"status": 501},
            "/v1/decisions: HTTP 501: .*does not support the structured decision",
        ),
        ({"by": "assets", "status": 501}, "/v1/systemone: HTTP 501"),
    ],
)
def test_what_a_server_does_not_offer_is_said_in_a_line(how, reason):
    with Sold(**how) as sold, pytest.raises(MedcalError, match="404"):
        ServedModel(sold.url)  # nor does it write
    assert len(sold.requests) <= 7

    class Both(Told):
        def answer(self, handler, body, fault):
            if handler.path.endswith("/chat/completions"):
                return super().answer(handler, body, fault)
            return served(handler, body)

    sold = Sold(**how)

    def served(handler, body):
        try:
            return handler.send(sold.answered(handler.path.removeprefix("/v1/"), body))
        except Exception as refused:
            return handler.send(
                {"error": {"message": refused.args[1]}}, refused.args[0]
            )

    with Both() as both:
        model = ServedModel(both.url)
        _, line = what_works(model, "decision")
    sold.http.server_close()
    assert "decisions" not in model.can
    assert "generate" in model.can
    assert "\n" not in line
    import re

    assert re.match(f"not decision: {reason}", line)


def test_words_are_probed_only_where_nothing_else_is_offered():
    with Told(logprobs=True, scores=True) as told:
        model = ServedModel(told.url)
        probed = [body for _, body in told.requests if "prompt_logprobs" in body]
    assert model.able["scores"]
    assert probed
    assert (
        model.cannot["decisions"]
        == "the server has neither /v1/systemone nor /v1/decisions"
    )
    sold = Sold()

    class Both(Told):
        def answer(self, handler, body, fault):
            if handler.path.endswith("/decisions"):
                return handler.send(sold.answered("decisions", body))
            return super().answer(handler, body, fault)

    with Both(logprobs=True, scores=True) as both:
        model = ServedModel(both.url)
        probed = [body for _, body in both.requests if "prompt_logprobs" in body]
    sold.http.server_close()
    assert not model.able["scores"]
    assert not probed
    assert {"decisions", "labels", "generate"} <= model.can


def test_decisions_here_are_the_probabilities_that_we_read_ourselves():
    import torch

    backend = LocalModel(*tiny_checkpoint("llava"), name="tiny", device="cpu")
    picture = noise_picture(1)
    choice = Decide(picture, "Which organ is shown?", ("heart", "lung", "none"))
    marked = Decide(picture, "<image> ?", ("yes", "no"), "noul")
    with backend.session() as here:
        found, refused = here.run([choice, marked])
    text = "\n".join([
        "\n\nWhich organ is shown?", "A. heart", "B. lung", "C. none",
        "Answer with the letter of the option that fits best (A to C) only.",
    ])  # fmt: skip
    turn = [{"type": "image"}, {"type": "text", "text": text}]
    written = backend.processor.apply_chat_template(
        [{"role": "user", "content": turn}], tokenize=False, add_generation_prompt=True
    )
    inputs = backend.read(written, picture)
    with torch.inference_mode():
        logits = backend.model(**inputs).logits[0, -1].double()
    ids = backend.tokenizer.convert_tokens_to_ids(["A", "B", "C"])
    shares = logits.softmax(0)[ids].numpy()
    ours = [*found.decision.probabilities.values()]
    assert ours == pytest.approx(shares / shares.sum(), abs=1e-5)
    assert found.decision.label_mass == pytest.approx(shares.sum(), rel=1e-4)
    assert found.decision.confidence == max(ours)
    assert isinstance(refused, Failure)
    assert "stands for an image" in refused.reason


def test_an_estimate_counts_one_request_an_image():
    about = estimate(grey_items([1, 2]), "decision")
    assert (about.requests, about.at_once, about.most_new_tokens) == (6, 2, 0)
    assert np.isclose(about.price(1.0, 1.0), about.text_tokens / 1e6 + 2000 / 1e6)
