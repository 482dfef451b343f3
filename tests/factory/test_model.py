"""The architecture: it loads like any checkpoint, and what it is shown is what it was taught."""

import numpy as np
import pytest
from PIL import Image

from data.pocket.factory import model as architecture
from data.pocket.factory import tokenizer as words
from data.pocket.factory import training, turns
from medcal_nb.ask import prompts
from medcal_nb.ask.strategies import VERBALIZED


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An untrained small model on disk."""
    where = tmp_path_factory.mktemp("pocket") / "untrained"
    tokenizer = words.build_tokenizer(training.vocabulary())
    model = architecture.new_model("small", tokenizer, seed=3)
    architecture.save_pocket(model, architecture.new_processor(tokenizer), where)
    return where


@pytest.fixture(scope="module")
def loaded(folder):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    return AutoModelForImageTextToText.from_pretrained(
        folder
    ), AutoProcessor.from_pretrained(folder)


def _images(n):
    rng = np.random.default_rng(11)
    return rng.integers(0, 256, (n, 64, 64, 3), dtype=np.uint8)


def _messages(image, text):
    content = [
        {"type": "image", "image": Image.fromarray(image)},
        {"type": "text", "text": text},
    ]
    return [{"role": "user", "content": content}]


def _prepared(processor, images, texts):
    return processor.apply_chat_template(
        [_messages(image, text) for image, text in zip(images, texts, strict=True)],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"padding": True},
    )


SHORT = prompts.user_turn("is there a nodule?", ["yes", "no"], prompts.ANSWER)
LONG = prompts.user_turn("where is the red shape?", None, VERBALIZED)


def test_auto_classes_load_it_in_float32(loaded):
    model, processor = loaded
    assert type(model).__name__ == "Idefics3ForConditionalGeneration"
    assert type(processor).__name__ == "Idefics3Processor"
    assert str(model.dtype) == "torch.float32"
    assert processor.tokenizer.padding_side == "left"
    assert len(processor.tokenizer) == model.config.text_config.vocab_size


@pytest.mark.parametrize(
    ("size", "least", "most"), [("small", 1.1e6, 1.5e6), ("large", 3e6, 4e6)]
)
def test_sizes(size, least, most):
    tokenizer = words.build_tokenizer(training.vocabulary())
    model = architecture.new_model(size, tokenizer, seed=0)
    assert least < sum(parameter.numel() for parameter in model.parameters()) < most


def test_same_seed_same_weights():
    tokenizer = words.build_tokenizer(["one"])
    first, again, other = (
        architecture.new_model("small", tokenizer, seed=s) for s in (5, 5, 6)
    )
    name = "lm_head.weight"
    assert first.state_dict()[name].equal(again.state_dict()[name])
    assert not first.state_dict()[name].equal(other.state_dict()[name])


def test_cache_changes_nothing(loaded):
    model, processor = loaded
    inputs = _prepared(processor, _images(2), [SHORT, LONG])
    with_cache = model.generate(**inputs, max_new_tokens=12, use_cache=True)
    without = model.generate(**inputs, max_new_tokens=12, use_cache=False)
    assert with_cache.tolist() == without.tolist()


def test_padding_changes_nothing(loaded):
    import torch

    model, processor = loaded
    images = _images(2)
    both = _prepared(processor, images, [SHORT, LONG])
    assert (both["attention_mask"][0] == 0).any(), "the short prompt must be padded"
    batched = model(**both).logits[:, -1]
    for i, text in enumerate((SHORT, LONG)):
        alone = model(**_prepared(processor, images[i : i + 1], [text])).logits[0, -1]
        torch.testing.assert_close(batched[i], alone, rtol=1e-4, atol=1e-4)


def test_processor_writes_what_training_wrote(loaded):
    """Token ids and pixels of the processor are those of the training rows, to the last one."""
    _, processor = loaded
    images = _images(1)
    inputs = _prepared(processor, images, [SHORT])
    encoder = training.Encoder(processor.tokenizer)
    asked = turns.Asked(
        question="is there a nodule?",
        options=("yes", "no"),
        gold="no",
        question_type="closed",
        wrong=("yes",),
        visibility=0.5,
        kind="x-ray",
        description="",
        reason="",
        known=(),
        medical=True,
    )
    taught = encoder.prompt(turns.plain(asked))
    assert inputs["input_ids"][0].tolist() == taught
    pixels = architecture.to_pixels(images)
    assert float((inputs["pixel_values"][0] - pixels).abs().max()) < 1e-6


def test_packed_rows_give_the_logits_of_conversations_alone(loaded):
    """Conversations packed beside one image do not see one another."""
    import torch

    model, processor = loaded
    encoder = training.Encoder(processor.tokenizer)
    pixels = architecture.to_pixels(_images(1))
    said = [
        ("is there a nodule?\n", [(prompts.ANSWER, False, False), ("yes", True, True)]),
        (
            "is there a nodule?\n",
            [(VERBALIZED, False, False), ("Answer: no", True, True)],
        ),
        (
            "where is the cyst?\n",
            [(prompts.ANSWER, False, False), ("left", True, True)],
        ),
    ]
    with torch.inference_mode():
        seen = model.model.vision_model(pixel_values=pixels).last_hidden_state
        alone = [
            (
                training.text_loss(model, seen, training.pack(encoder, [[one]])),
                len(encoder.ids(one[1][-1][0])),
            )
            for one in said
        ]
        together = training.text_loss(model, seen, training.pack(encoder, [said]))
    # n words and the end token are taught, each weighs one over the root of how many there are
    shares = np.sqrt([n + 1 for _, n in alone])
    mean = np.average([float(loss) for loss, _ in alone], weights=shares)
    assert float(together) == pytest.approx(mean, abs=1e-4)


def test_training_computes_what_asking_computes(loaded):
    """The loss of a training row is that of the model's own forward pass on the same tokens."""
    import torch

    model, processor = loaded
    encoder = training.Encoder(processor.tokenizer)
    pixels = architecture.to_pixels(_images(1))
    row = (
        "is there a nodule?\n",
        [(prompts.ANSWER, False, False), ("yes", True, True)],
    )
    batch = training.pack(encoder, [[row]])
    with torch.inference_mode():
        seen = model.model.vision_model(pixel_values=pixels).last_hidden_state
        loss = training.text_loss(model, seen, batch)
        ids = torch.from_numpy(batch["ids"])
        logits = model(input_ids=ids, pixel_values=pixels[:, None]).logits[0]
    targets = torch.from_numpy(batch["targets"])[0]
    own = torch.nn.functional.cross_entropy(logits[targets >= 0], targets[targets >= 0])
    assert float(loss) == pytest.approx(float(own), abs=1e-5)
    assert (targets >= 0).sum() == 2


def test_decision_pipeline_answers_all_three_types(folder):
    from transformers import pipeline

    decide = pipeline("decision", model=str(folder))
    answers = decide(
        {
            "state": "scan",
            "assets": {"scan": Image.fromarray(_images(1)[0])},
            "questions": {
                "side": {
                    "type": "choice",
                    "instructions": "where is the cyst?",
                    "criteria": {"left": None, "right": None},
                },
                "any": {"type": "noul", "instructions": "is there a cyst?"},
                "size": {
                    "type": "score",
                    "instructions": "how large?",
                    "criteria": ["a", "b"],
                },
            },
        }
    )
    assert sum(answers["side"]["probabilities"].values()) == pytest.approx(1)
    assert 0 < answers["any"]["noul"] < 1
    assert 0 <= answers["size"]["score"] <= 1


@pytest.mark.parametrize(
    "text",
    [
        "Is there evidence of an aortic aneurysm?",
        "What abnormality is seen in the patient’s right hemithorax – if any?",
        "¿Dónde está la lesión? 病变在哪里 \u200d🫀",
        "x" * 500,
        "",
        "FLAIR/T2-w., 3.5mm (±0.25) <image",
    ],
)
def test_any_text_can_be_asked(loaded, text):
    model, processor = loaded
    ids = processor.tokenizer(text)["input_ids"]
    assert all(0 <= number < model.config.text_config.vocab_size for number in ids)
    inputs = _prepared(processor, _images(1), [text])
    assert (
        model.generate(**inputs, max_new_tokens=2).shape[1]
        > inputs["input_ids"].shape[1]
    )


def test_words_are_one_token_and_letters_keep_apart_from_the_article():
    tokenizer = words.build_tokenizer(training.vocabulary())
    for text in [*turns.texts(), *training.vocabulary()]:
        pieces = tokenizer.tokenize(text.replace("{", "").replace("}", ""))
        known = [piece for piece in pieces if piece.startswith("##")]
        assert not known or "_" in text, (text, known)
    assert tokenizer.tokenize("A. a cyst") == ["A", ".", "a", "cyst"]
    assert tokenizer.tokenize("80%") == ["80", "%"]


def test_decoded_replies_keep_their_form():
    tokenizer = words.build_tokenizer(training.vocabulary())
    for text in (
        "answer: left\nconfidence: 80%",
        "guess 1: two (70%)\nguess 2: one (30%)",
        "answer: yes\nlikelihood: better than even",
        "x-ray",
    ):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
