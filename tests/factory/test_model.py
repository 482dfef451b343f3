"""The architecture: it loads like any checkpoint, and is asked what it was taught."""

import numpy as np
import pytest
from PIL import Image

from data.pocket.factory import model as architecture
from data.pocket.factory import tokenizer as words
from data.pocket.factory import training, turns
from medcal_nb.ask import prompts
from medcal_nb.ask.strategies import VERBALIZED
from tests.factory.test_turns import CHOICE

torch = pytest.importorskip("torch")
SCAN = np.random.default_rng(11).integers(0, 256, (64, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """An untrained small model, from disk."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    tokenizer = words.build_tokenizer(training.vocabulary())
    where = tmp_path_factory.mktemp("pocket") / "untrained"
    model = architecture.new_model("small", tokenizer, seed=3)
    architecture.save_pocket(model, architecture.new_processor(tokenizer), where)
    model = AutoModelForImageTextToText.from_pretrained(where)
    return model, AutoProcessor.from_pretrained(where)


def prepared(processor, text):
    image = {"type": "image", "image": Image.fromarray(SCAN)}
    content = [image, {"type": "text", "text": text}]
    return processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )


def test_processor_writes_what_training_wrote(loaded):
    """Token ids and pixels are those of the training rows, to the last one."""
    model, processor = loaded
    assert type(model).__name__ == "Idefics3ForConditionalGeneration"
    assert model.dtype is torch.float32
    assert processor.tokenizer.padding_side == "left"
    assert len(processor.tokenizer) == model.config.text_config.vocab_size
    text = prompts.user_turn(CHOICE.question, CHOICE.options, prompts.ANSWER)
    inputs = prepared(processor, text)
    taught = training.Encoder(processor.tokenizer).prompt(turns.plain(CHOICE))
    assert inputs["input_ids"][0].tolist() == taught
    pixels = architecture.to_pixels(SCAN[None])
    assert float((inputs["pixel_values"][0] - pixels).abs().max()) < 1e-6


def test_training_computes_what_asking_computes(loaded):
    """Alone, as the model's own forward pass; packed beside one image, as each alone."""
    model, processor = loaded
    encoder = training.Encoder(processor.tokenizer)
    pixels = architecture.to_pixels(SCAN[None])
    nodule, cyst = "is there a nodule?\n", "where is the cyst?\n"
    rows = [
        (nodule, [(prompts.ANSWER, False, False), ("yes", True, True)]),
        (nodule, [(VERBALIZED, False, False), ("Answer: no", True, True)]),
        (cyst, [(prompts.ANSWER, False, False), ("left", True, True)]),
    ]
    batches = [training.pack(encoder, [part]) for part in (*([r] for r in rows), rows)]
    with torch.inference_mode():
        seen = model.model.vision_model(pixel_values=pixels).last_hidden_state
        losses = [float(training.text_loss(model, seen, batch)) for batch in batches]
        ids = torch.from_numpy(batches[0]["ids"])
        logits = model(input_ids=ids, pixel_values=pixels[:, None]).logits[0]
    targets = torch.from_numpy(batches[0]["targets"])[0]
    own = torch.nn.functional.cross_entropy(logits[targets >= 0], targets[targets >= 0])
    assert losses[0] == pytest.approx(float(own), abs=1e-5)
    # n words and the end token are taught, each weighs one over the root of how many there are
    shares = np.sqrt([len(encoder.ids(row[1][-1][0])) + 1 for row in rows])
    assert losses[3] == pytest.approx(np.average(losses[:3], weights=shares), abs=1e-4)
