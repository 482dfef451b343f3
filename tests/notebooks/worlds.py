"""Small tables of a user, on each of which one thing is as it may be and seldom is."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

#: Five of one's own.
MODELS = ("first", "second", "third", "fourth", "fifth")
METHODS = ("verbalized", "p_true")


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


def answers_of(
    n_items: int = 60,
    n_models: int = 1,
    methods: tuple[str, ...] = (),
    domains: tuple[str, ...] = (),
    rightly: float = 0.75,
    per_image: int = 3,
    seed: int = 0,
) -> pd.DataFrame:
    """Graded answers of each model, by each method, about the same questions."""
    rng = np.random.default_rng(seed)
    items = pd.DataFrame({"item_id": [f"q{i}" for i in range(n_items)]})
    items["image_id"] = [f"scan{i // max(per_image, 1)}" for i in range(n_items)]
    if not per_image:
        items = items.drop(columns="image_id")
    if domains:
        items["domain"] = np.repeat(domains, n_items // len(domains))
        items["dataset"] = "set-" + items["domain"]
        items["modality"] = np.tile(["CT", "MRI"], n_items // 2)
    pairs = pd.MultiIndex.from_product([MODELS[:n_models], methods or ("stated",)])
    pairs = pairs.to_frame(index=False, name=["model", "strategy"])
    answers = items.merge(pairs, how="cross")
    if not methods:
        answers = answers.drop(columns="strategy")
    answers["correct"] = rng.random(len(answers)) < rightly
    confidence = rng.choice([0.6, 0.7, 0.8, 0.9, 0.95, 1.0], len(answers))
    return answers.assign(confidence=confidence)


_TWO = partial(answers_of, n_items=120, n_models=2, domains=("general", "medical"))
#: By name: what makes the table.
WORLDS: dict[str, Callable[[], pd.DataFrame]] = {
    "three columns": partial(replies_of, 0.7),
    "one model, images": answers_of,
    "five models, the same images": partial(answers_of, n_models=5),
    "one image each": partial(answers_of, per_image=1),
    "two methods": partial(answers_of, methods=METHODS),
    "all right": partial(replies_of, 1.0),
    "nothing certified": partial(answers_of, n_models=2, methods=METHODS, rightly=0.3),
    "no images": partial(_TWO, methods=METHODS, per_image=0),
    "two domains, one method": partial(_TWO, methods=METHODS[:1]),
    "two domains": partial(_TWO, methods=METHODS),
}
