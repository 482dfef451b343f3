"""The same comparison on a model of real size, where the shared prefix is most of the work.

    python -m tests.bench.bench_ask_large [--items 16] [--size 1024x768] [--max-new-tokens 32]
    python -m tests.bench.bench_ask_large --mid --items 3 --size 448x448    # in minutes
    python -m tests.bench.bench_ask_large --tiny                            # in seconds

A checkpoint with the configuration of Qwen2.5-VL-7B and random weights (15 GiB in bfloat16) is
asked about noise images of real size, under every strategy, in one session (*ours*) and batched
per strategy (*batched*, see :mod:`tests.bench.bench_ask`). Random weights answer nonsense, and
never end a reply early, so that every reply has the length that ``--max-new-tokens`` allows:
seconds, not answers, are what is measured. Equal greedy replies are counted all the same; in
bfloat16 random logits tie often, with ``--float32`` they do not.

The compute floor of a way is what its positions cost in the multiplications with the weights of
language and vision model, at the rate that the card reaches on a large product of matrices,
measured in the same run; the share is that of the seconds taken. Attention and logits are left out
of the floor, so that the share is told a little low.

No checkpoint is downloaded. Needs a GPU with 40 GiB or more, except with ``--tiny``, and with
``--mid``, a model of 47 million weights on the processor, one thread.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from medcal_nb.ask.backends.local import LocalModel
from medcal_nb.ask.calls import encode_png
from medcal_nb.ask.run import ordered_items
from medcal_nb.ask.strategies import Plan
from tests.ask.families import build_family
from tests.bench.bench_ask import askable, compare, measure, rate, write

#: Sizes of language and vision model: those published for Qwen2.5-VL-7B, smaller, and tiny ones.
SIZES = {
    "7b": (
        {
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "vocab_size": 152064,
            "max_position_embeddings": 128000,
            "rope_parameters": {
                "rope_type": "default",
                "mrope_section": [16, 24, 24],
                "rope_theta": 1000000.0,
            },
        },
        {
            "depth": 32,
            "hidden_size": 1280,
            "intermediate_size": 3420,
            "num_heads": 16,
            "patch_size": 14,
            "window_size": 112,
            "out_hidden_size": 3584,
            "fullatt_block_indexes": [7, 15, 23, 31],
        },
    ),
    "mid": (
        {
            "hidden_size": 512,
            "intermediate_size": 1408,
            "num_hidden_layers": 12,
            "num_attention_heads": 8,
            "num_key_value_heads": 2,
            "vocab_size": 8192,
            "max_position_embeddings": 4096,
            "rope_parameters": {
                "rope_type": "default",
                "mrope_section": [8, 12, 12],
                "rope_theta": 1000000.0,
            },
        },
        {
            "depth": 6,
            "hidden_size": 256,
            "intermediate_size": 684,
            "num_heads": 4,
            "patch_size": 14,
            "window_size": 112,
            "out_hidden_size": 512,
            "fullatt_block_indexes": [2, 5],
        },
    ),
    "tiny": (
        {
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "rope_parameters": {
                "rope_type": "default",
                "mrope_section": [2, 3, 3],
                "rope_theta": 1000000.0,
            },
        },
        {
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "patch_size": 14,
            "window_size": 112,
            "out_hidden_size": 64,
            "fullatt_block_indexes": [1],
        },
    ),
}
QUESTIONS = (
    ("closed", "Is there a mass?", ["yes", "no"], "yes"),
    ("choice", "Which organ is shown?", ["lung", "heart"], "heart"),
    ("open", "What colour is it?", None, "red"),
)


def build_random(size, device, dtype):
    """Return model and processor: real classes, the sizes named `size`, random weights."""
    import torch
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    small, processor = build_family("qwen2_5_vl")
    config = small.config.to_dict()
    for part, sizes in zip(("text_config", "vision_config"), SIZES[size], strict=True):
        config[part] = {**config[part], **sizes}
    config["text_config"].pop("layer_types", None)
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = Qwen2_5_VLForConditionalGeneration(
                Qwen2_5_VLConfig.from_dict(config)
            )
    finally:
        torch.set_default_dtype(torch.float32)
    model.generation_config.eos_token_id = small.generation_config.eos_token_id
    processor.image_processor = Qwen2VLImageProcessor(patch_size=14)
    processor.video_processor = Qwen2VLVideoProcessor(patch_size=14)
    return model, processor


def noise_items(n, size):
    """Questions of three types about noise images, one image each."""
    rng, rows = np.random.default_rng(0), []
    for i in range(n):
        kind, question, options, gold = QUESTIONS[i % len(QUESTIONS)]
        pixels = rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
        rows.append(
            {
                "item_id": f"q{i}",
                "image_id": f"im{i}",
                "dataset": "noise",
                "domain": "general",
                "modality": "drawing",
                "question_type": kind,
                "question": question,
                "options": options,
                "gold": gold,
                "split": "test",
                "image": encode_png(Image.fromarray(pixels)),
            }
        )
    return ordered_items(pd.DataFrame(rows))


def weights(module):
    """Weights that every position is multiplied with: those of matrices, embeddings left out."""
    import torch

    linear = (torch.nn.Linear, torch.nn.Conv3d)
    return sum(m.weight.numel() for m in module.modules() if isinstance(m, linear))


def operations(backend, positions, patches):
    """Operations that text positions and image patches cost, two a weight."""
    vision, merger = backend.model.model.visual, backend.model.model.visual.merger
    per_patch = (
        weights(vision) - weights(merger) + weights(merger) / vision.spatial_merge_unit
    )
    return 2 * (
        positions * weights(backend.model.model.language_model) + patches * per_patch
    )


class PatchCounter:
    """Counts the image patches that go through the vision model."""

    def __init__(self, backend):
        self.patches = 0
        backend.model.model.visual.register_forward_pre_hook(
            self._count, with_kwargs=True
        )

    def _count(self, module, args, kwargs):
        self.patches += len(args[0] if args else kwargs["hidden_states"])


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, on the CPU")
    parser.add_argument(
        "--mid", action="store_true", help="47 million weights, on the CPU"
    )
    parser.add_argument("--items", type=int, default=16)
    parser.add_argument("--size", default="1024x768", help="of the images, in pixels")
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--max-new-tokens", type=int, default=32)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    options = parser.parse_args(arguments)

    import torch

    if options.tiny or options.mid:
        size, device, card = "mid" if options.mid else "tiny", "cpu", "cpu"
        torch.set_num_threads(1)
    elif torch.cuda.is_available():
        size, device, card = "7b", "cuda", torch.cuda.get_device_name()
    else:
        print(
            "model of real size: skipped, no GPU here (--mid and --tiny run anywhere)"
        )
        return None
    dtype = torch.float32 if device == "cpu" or options.float32 else torch.bfloat16
    model, processor = build_random(size, device, dtype)
    backend = LocalModel(model, processor, name="qwen2.5-vl-random", device=device)
    counter = PatchCounter(backend)
    width, height = map(int, options.size.split("x"))
    items, strategies = noise_items(options.items, (width, height)), askable(backend)
    frame, table = measure(
        backend,
        strategies,
        items,
        Plan(
            dataset="noise",
            samples=options.samples,
            max_new_tokens=options.max_new_tokens,
        ),
        ways={"ours": None, "batched": len(items)},
        threads=[torch.get_num_threads()],
        repeat=options.repeat,
        patches=lambda: counter.patches,
    )
    floor = operations(backend, frame["positions"], frame["patches"]) / rate(
        device, dtype, 8192 if device == "cuda" else 1024
    )
    frame["floor_seconds"] = floor.round(3)
    frame["share_of_floor"] = (floor / frame["seconds"]).round(3)
    title = (
        f"random weights, {sum(p.numel() for p in model.parameters()) / 1e6:,.1f} million, "
        f"{str(dtype).removeprefix('torch.')} on {card}: {len(items)} items, images of "
        f"{options.size}, {len(strategies)} strategies, {sum(map(len, table.values()))} answers"
    )
    write(frame, title, compare(frame), options.out / "ask_large.csv")
    return frame


if __name__ == "__main__":
    main()
