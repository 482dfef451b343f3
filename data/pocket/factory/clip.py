"""The pocket CLIP: an open_clip model with a configuration of its own, trained by contrast.

Each image is pulled to the sentence "question answer" of its right answer and pushed from those
of the wrong ones, and to its description against the descriptions of the other images (Radford
et al. 2021, arXiv 2103.00020). It is asked without training on the question: by which of several
sentences is nearest. ``open_clip.create_model("local-dir:FOLDER")`` loads it.
"""

import json
from pathlib import Path

import numpy as np

from . import scenes as world
from . import training, turns
from .model import to_pixels
from .tokenizer import END, build_tokenizer

CONTEXT = 48
STAGES = ("vision", "contrast")
RECIPES = {
    "pocket-clip": training.Recipe(
        "pocket-clip",
        "clip",
        steps={"vision": 2100, "contrast": 450},
        medical=0.5,
        n_general=16_000,
        n_medical=2_500,
        text_batch=48,
    )
}
WRONG = 3
"""Wrong answers per image and step."""


def clip_config(tokenizer):
    """Return the contents of ``open_clip_config.json`` for a tokenizer."""
    return {
        "model_cfg": {
            "embed_dim": 128,
            "vision_cfg": {
                "image_size": 64,
                "patch_size": 8,
                "layers": 3,
                "width": 128,
                "head_width": 32,
                "mlp_ratio": 3.0,
                "pool_type": "avg",
                "final_ln_after_pool": False,
            },
            "text_cfg": {
                "context_length": CONTEXT,
                "vocab_size": len(tokenizer),
                "width": 128,
                "heads": 4,
                "layers": 3,
                "mlp_ratio": 3.0,
                "pool_type": "eos",
                "eos_id": tokenizer.convert_tokens_to_ids(END),
                "pad_id": tokenizer.pad_token_id,
                "hf_tokenizer_name": "pocket-clip",
                "tokenizer_kwargs": {"clean": "whitespace"},
            },
        },
        "preprocess_cfg": {
            "size": 64,
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "interpolation": "bicubic",
            "resize_mode": "squash",
        },
    }


def clip_tokenizer():
    """Build the tokenizer of the pocket models for CLIP: end token added, padded on the right."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = build_tokenizer(training.vocabulary())
    end = tokenizer.convert_tokens_to_ids(END)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, end)]
    )
    tokenizer.padding_side = "right"
    tokenizer.model_max_length = CONTEXT
    return tokenizer


def new_clip(config, *, seed):
    """Make an untrained CLIP model of ``open_clip_config.json``'s ``model_cfg``."""
    import torch
    from open_clip import CLIP

    model_cfg = config["model_cfg"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CLIP(**model_cfg)


def contrast_loss(model, pixels, sentences, captions, same):
    """Return the loss of right against wrong sentences, plus that of captions against images.

    Parameters
    ----------
    sentences : int tensor (n, choices, context)
        The first choice is right. Rows of padding alone are no choice.
    captions : int tensor (n, context)
    same : bool tensor (n, n)
        Which captions say the same: they all count as right.
    """
    import torch
    from torch.nn import functional

    n, choices, context = sentences.shape
    scale = model.logit_scale.exp()
    seen = model.encode_image(pixels, normalize=True)
    texts = model.encode_text(
        torch.cat([sentences.reshape(-1, context), captions]), normalize=True
    )
    read, told = texts[: n * choices].reshape(n, choices, -1), texts[n * choices :]
    scores = scale * (read * seen[:, None]).sum(-1)
    real = (
        sentences[..., 0] != sentences[..., 1]
    ).float()  # a row of padding repeats one id
    scores = scores.float() + (real - 1) * 1e4
    right = functional.cross_entropy(scores, torch.zeros(n, dtype=torch.long))
    goal = same.float() / same.sum(1, keepdim=True)
    across = scale * seen @ told.T
    both = functional.cross_entropy(across, goal) + functional.cross_entropy(
        across.T, goal
    )
    return right + 0.25 * both, (scores.argmax(1) == 0).float().mean().item()


def train_clip(
    recipe,
    folder,
    *,
    checkpoint,
    resume=False,
    every=200,
    cache=None,
    parent=None,
    progress=True,
):
    """Train the pocket CLIP and write it; arguments as in ``training.train_pocket``.

    `parent` is not used: the model starts from random weights.
    """
    import torch
    from tqdm import tqdm

    checkpoint, folder = Path(checkpoint), Path(folder)
    tokenizer = clip_tokenizer()
    config = clip_config(tokenizer)
    model = new_clip(config, seed=recipe.seed)
    heads = training.VisionHeads(
        config["model_cfg"]["vision_cfg"]["width"], seed=recipe.seed
    )
    state, saved = {"stage": 0, "step": 0, "rows": []}, None
    if resume and checkpoint.exists():
        saved = training.read_checkpoint(checkpoint, recipe, model, heads)
        state = saved["state"]
    counts = {name: recipe.n_general for name in world.GENERAL_MODALITIES}
    counts |= {name: recipe.n_medical for name in world.MEDICAL_MODALITIES}
    pool = training.Pool(counts, seed=recipe.seed, questions=6, cache=cache)
    total = sum(recipe.steps.values())
    done = state["step"] + (recipe.steps["vision"] if state["stage"] else 0)
    bar = tqdm(total=total, initial=done, desc=recipe.name, disable=not progress)
    while state["stage"] < len(STAGES):
        stage = STAGES[state["stage"]]
        optimizer = _optimizer(recipe, stage, model, heads)
        if saved is not None:
            optimizer.load_state_dict(saved["optimizer"])
        saved = None
        while state["step"] < recipe.steps[stage]:
            step = state["step"]
            model.train()
            rng = np.random.default_rng([recipe.seed, state["stage"], step])
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=recipe.bfloat16):
                loss, right = _one_step(
                    recipe, stage, model, heads, pool, tokenizer, rng
                )
            optimizer.step(loss, step)
            with torch.no_grad():
                model.logit_scale.clamp_(max=np.log(100.0))
            state["step"] += 1
            bar.update()
            if state["step"] % 100 == 0 or state["step"] == recipe.steps[stage]:
                row = {
                    "stage": stage,
                    "step": state["step"],
                    "loss": round(loss.item(), 4),
                }
                state["rows"].append(row | {"right": round(right, 4)})
                bar.set_postfix_str(
                    f"{stage} {row['loss']:.3f} {right:.2f}", refresh=False
                )
            if state["step"] % every == 0:
                training.write_checkpoint(
                    checkpoint, recipe, model, heads, optimizer, state
                )
        state["stage"] += 1
        state["step"] = 0
    bar.close()
    _save(recipe, folder, model.eval(), tokenizer, config, state)
    checkpoint.unlink(missing_ok=True)
    return True


def _optimizer(recipe, stage, model, heads):
    named = [*model.named_parameters()]
    if stage == "vision":
        # the projection is not reached from the tokens
        named = [
            pair
            for pair in named
            if pair[0].startswith("visual.") and "proj" not in pair[0]
        ]
    # projections to the common space are learned as embeddings are
    inner = [
        (f"embed.{name}" if name.endswith("proj") else name, value)
        for name, value in named
    ]
    matrices, others = training.split_matrices(inner)
    if stage == "vision":
        others = others + heads.parameters()
    return training.Optimizer(
        [(matrices, others, 1.0 if stage == "vision" else 0.5)],
        muon=recipe.muon * recipe.rate,
        adamw=recipe.adamw * recipe.rate,
        steps=recipe.steps[stage],
    )


def _one_step(recipe, stage, model, heads, pool, tokenizer, rng):
    import torch

    if stage == "vision":
        chosen = pool.draw(rng, recipe.vision_batch, recipe.medical)
        model.visual.output_tokens = True
        _, tokens = model.visual(to_pixels(pool.images[chosen]))
        model.visual.output_tokens = False
        labels = torch.from_numpy(pool.labels[chosen].astype(np.int64))
        masks = torch.from_numpy(
            pool.masks[chosen].reshape(len(chosen), -1).astype(np.float32)
        )
        return heads.loss(tokens, labels, masks)
    chosen = pool.draw(rng, recipe.text_batch, recipe.medical)
    sentences, captions = [], []
    for i in chosen:
        one = pool.asked[i][int(rng.integers(len(pool.asked[i])))]
        wrong = [one.wrong[j] for j in rng.permutation(len(one.wrong))[:WRONG]]
        texts = [turns.sentence(one.question, o) for o in (one.gold, *wrong)]
        sentences += texts + [""] * (1 + WRONG - len(texts))
        captions.append(one.description)
    real = [bool(text) for text in sentences]
    ids = _encode(tokenizer, sentences + captions)
    choices = ids[: len(sentences)]
    choices[~torch.tensor(real)] = tokenizer.pad_token_id
    same = torch.tensor([[a == b for b in captions] for a in captions])
    return contrast_loss(
        model,
        to_pixels(pool.images[chosen]),
        choices.reshape(len(chosen), 1 + WRONG, -1),
        ids[len(sentences) :],
        same,
    )


def _encode(tokenizer, texts):
    return tokenizer(
        texts,
        padding="max_length",
        max_length=CONTEXT,
        truncation=True,
        return_tensors="pt",
    ).input_ids


def _save(recipe, folder, model, tokenizer, config, state):
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: value.half().contiguous() for name, value in model.state_dict().items()
    }
    save_file(
        weights, folder / "open_clip_model.safetensors", metadata={"format": "pt"}
    )
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    tokenizer.save_pretrained(folder)
    parameters = sum(value.numel() for value in model.parameters())
    training.write_log(recipe, folder, state, parameters=parameters)
