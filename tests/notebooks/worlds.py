"""Small tables of a user, on each of which one thing is as it may be and seldom is."""

import numpy as np
import pandas as pd

MODELS = ("first", "second")
METHODS = ("verbalized", "p_true")
WORLDS = ("nothing certified", "all right", "one image each", "one method", "no images")


def answers_of(world: str, n_items: int = 120, seed: int = 0) -> pd.DataFrame:
    """Answers of two models about medical and general questions, three to an image."""
    rng = np.random.default_rng(seed)
    per_image = 1 if world == "one image each" else 3
    items = pd.DataFrame(
        {
            "item_id": [f"q{i}" for i in range(2 * n_items)],
            "domain": np.repeat(["general", "medical"], n_items),
            "modality": np.tile(["CT", "MRI"], n_items),
            "image_id": [f"scan{i // per_image}" for i in range(2 * n_items)],
        }
    )
    methods = METHODS[:1] if world == "one method" else METHODS
    pairs = pd.MultiIndex.from_product([MODELS, methods], names=["model", "strategy"])
    answers = items.merge(pairs.to_frame(index=False), how="cross")
    rightly = {"nothing certified": 0.3, "all right": 1.0}.get(world, 0.75)
    answers["correct"] = rng.random(len(answers)) < rightly
    answers["confidence"] = rng.choice([0.6, 0.7, 0.8, 0.9, 0.95, 1.0], len(answers))
    answers["dataset"] = "set-" + answers["domain"]
    return answers.drop(columns=["image_id"] if world == "no images" else [])


def replies_of(share_right: float, n: int = 90, seed: int = 0) -> pd.DataFrame:
    """The least that is read: an image, what the model wrote and the right answer."""
    rng = np.random.default_rng(seed)
    is_right = rng.random(n) < share_right
    stated = rng.choice(["70", "80", "90", "95"], n)
    replies = [
        f"{answer}. Confidence: {c} %"
        for answer, c in zip(np.where(is_right, "yes", "no"), stated, strict=True)
    ]
    images = [f"scan{i // 3}.png" for i in range(n)]
    return pd.DataFrame({"image_id": images, "output": replies, "gold": "yes"})
