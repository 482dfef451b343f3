"""The architecture of the pocket models: Idefics3 in miniature.

A SigLIP-like tower over 8×8 patches, a pixel shuffle that leaves 16 image tokens, and a small
Llama. The classes are those of transformers, so that a pocket model is read like any checkpoint
of the hub. Architecture: Laurençon et al. 2024, arXiv 2408.12637.
"""

from . import tokenizer as words

IMAGE_SIZE = 64
PATCH = 8
SHUFFLE = 2
N_IMAGE_TOKENS = (IMAGE_SIZE // PATCH // SHUFFLE) ** 2

SIZES = {
    "small": {"tower": (96, 3, 3, 320), "text": (160, 3, 5, 384)},
    "large": {"tower": (128, 4, 4, 448), "text": (224, 4, 7, 576)},
}
"""Per size and part: width, layers, attention heads, width of the feed-forward layer."""


def new_model(size, tokenizer, *, seed):
    """Make an untrained pocket model.

    Parameters
    ----------
    size : {"small", "large"}
        About 1.2 and 3.5 million parameters.
    tokenizer : PreTrainedTokenizerFast
        Gives the vocabulary and the ids of the special tokens.
    seed : int
        Of the initial weights.

    Returns
    -------
    Idefics3ForConditionalGeneration
        In float32, in evaluation mode. Linear weights have standard deviation 0.7/√fan_in: the
        usual 0.02 is small for narrow nets.
    """
    import torch
    from transformers import (
        GenerationConfig,
        Idefics3Config,
        Idefics3ForConditionalGeneration,
    )

    if size not in SIZES:
        raise ValueError(f"size must be one of {sorted(SIZES)}, got {size!r}")
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in words.SPECIAL}
    width, layers, heads, inner = SIZES[size]["tower"]
    tower = {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "image_size": IMAGE_SIZE,
        "patch_size": PATCH,
    }
    width, layers, heads, inner = SIZES[size]["text"]
    text = {
        "model_type": "llama",
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "intermediate_size": inner,
        "max_position_embeddings": 1024,
        "pad_token_id": ids[words.PAD],
        "eos_token_id": ids[words.END],
        "bos_token_id": None,
        "tie_word_embeddings": False,
    }
    config = Idefics3Config(
        vision_config=tower,
        text_config=text,
        scale_factor=SHUFFLE,
        image_token_id=ids[words.IMAGE],
        pad_token_id=ids[words.PAD],
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Idefics3ForConditionalGeneration(config)
        for module in model.modules():
            if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
                fan_in = module.weight[0].numel()
                torch.nn.init.normal_(module.weight, std=0.7 / fan_in**0.5)
            elif isinstance(module, torch.nn.Embedding):
                torch.nn.init.normal_(module.weight, std=0.2)
    model.generation_config = GenerationConfig(
        eos_token_id=ids[words.END],
        pad_token_id=ids[words.PAD],
        do_sample=False,
        max_new_tokens=64,
    )
    return model.eval()


def new_processor(tokenizer):
    """Make the processor: 64×64 pixels, scaled to −1…1, and 16 image tokens an image."""
    from transformers import Idefics3ImageProcessor, Idefics3Processor

    side = {"longest_edge": IMAGE_SIZE}
    image_processor = Idefics3ImageProcessor(
        size=side, max_image_size=side, do_image_splitting=False, resample=3
    )
    return Idefics3Processor(
        image_processor,
        tokenizer,
        image_seq_len=N_IMAGE_TOKENS,
        chat_template=words.CHAT_TEMPLATE,
    )


def image_prefix(tokenizer):
    """Return the token ids that stand before the text of a first user turn with one image."""
    tokens = [
        words.USER,
        words.IMAGE_EDGE,
        words.IMAGE_WHOLE,
        *[words.IMAGE] * N_IMAGE_TOKENS,
        words.IMAGE_EDGE,
    ]
    return tokenizer.convert_tokens_to_ids(tokens)


def to_pixels(images):
    """Turn uint8 images (n, 64, 64, 3) into the model's float32 pixels (n, 3, 64, 64)."""
    import torch

    return torch.tensor(images).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def save_pocket(model, processor, folder):
    """Write a model as float16 safetensors, with its configuration, tokenizer and processor.

    The configuration says float32: transformers then loads the weights into float32, which a
    CPU computes in.
    """
    import json
    from pathlib import Path

    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(folder)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["architectures"] = [type(model).__name__]
    for part in (config, config["text_config"], config["vision_config"]):
        part["dtype"] = "float32"
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    model.generation_config.save_pretrained(folder)
    weights = {
        name: value.half().contiguous() for name, value in model.state_dict().items()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    processor.save_pretrained(folder)
    # the decision pipeline's escaping of control tokens is not implemented for Idefics3 images
    decision = {"sanitize_control_tokens": False}
    (folder / "decision.json").write_text(json.dumps(decision, indent=2) + "\n")
