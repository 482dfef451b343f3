"""Graded answers whose truth is known, for the tests of this room."""

import numpy as np
import pandas as pd
from scipy.special import expit


def sides(data):
    """(source, target): its general and its medical rows."""
    return data[data.domain == "general"], data[data.domain == "medical"]


def draw(rng, n, *, slope=1.0, shift=0.0, centre=1.0):
    """Confidences c whose true accuracy is sigma(slope * logit(c) + shift)."""
    z = rng.normal(centre, 1.5, n)
    return expit(z), (rng.random(n) < expit(slope * z + shift)).astype(float)


def graded(
    rng, n, domain, *, slope=1.0, shift=0.0, decimals=None, per_image=1, model="m"
):
    """One model's graded answers to one strategy."""
    c, y = draw(rng, n, slope=slope, shift=shift)
    image = np.arange(n) // per_image
    names = {"model": model, "dataset": domain, "domain": domain, "strategy": "s"}
    names["item_id"] = [f"{domain}-{i}" for i in range(n)]
    names["image_id"] = [f"{domain}-image-{i:05d}" for i in image]
    names["modality"] = np.array(["ct", "mri", "x-ray"])[image % 3]
    stated = c if decimals is None else np.round(c, decimals)
    return pd.DataFrame(names | {"confidence": stated, "correct": y})


def votes(rng, n=300, skill=(0.8, 1.2, 0.2), over=1.0, per_image=1):
    """Closed questions; each strategy sees the truth through noise of its own."""
    gold = np.where(rng.random(n) < 0.5, 1, -1)
    frames = []
    for k, s in enumerate(skill):
        true = 2 * s * (gold * s + rng.normal(0, 1, n))  # its log-odds for yes
        said = true > 0
        part = pd.DataFrame({"item_id": [f"i{i:04d}" for i in range(n)]})
        part["image_id"] = [f"x{i // per_image:04d}" for i in range(n)]
        part["answer"] = np.where(said, "yes", "no")
        part["confidence"] = expit(over * np.abs(true))
        part["correct"] = said == (gold > 0)
        frames.append(part.assign(strategy=f"s{k}"))
    frame = pd.concat(frames, ignore_index=True)
    return frame.assign(model="m", dataset="d", question_type="closed")
