"""Handwritten digits: real scans of scikit-learn's bundled set, one or two on a sheet.

The scans are 8 x 8 block counts of pen strokes from 43 writers. Here they are enlarged, inked in
a colour and laid on paper; fading and noise are the scene's visibility. The 1,797 scans are cut
in three (train 3/4, fit 1/8, test 1/8) so that a question is never asked about a scan that a
model was trained on.

E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
Repository 1998, doi:10.24432/C50P49.
"""

from functools import cache

import numpy as np

from ._canvas import (
    F,
    byte,
    cells,
    col,
    field,
    grade,
    noise,
    patch,
    per_site,
    pick,
)

SITES = ("scanner", "phone", "fax")
TRAIN_SITES = SITES
_ACQUISITION = {
    "scanner": {"noise": 0.04, "paper": 0.90, "shade": 0.03, "ink": 1.0},
    "phone": {"noise": 0.09, "paper": 0.68, "shade": 0.20, "ink": 0.85},
    "fax": {"noise": 0.15, "paper": 0.84, "shade": 0.04, "ink": 0.9},
}
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
INKS = ("black", "blue", "red", "green")
_RGB = np.array(
    [(0.08, 0.08, 0.1), (0.1, 0.2, 0.7), (0.75, 0.1, 0.1), (0.05, 0.45, 0.15)], F
)
_SIZES = (20, 24, 28)
_PATCH = 29
ATTRIBUTES = {
    "digits": ("one", "two"),
    "left_digit": WORDS,
    "right_digit": ("none", *WORDS),
    "ink": INKS,
}
SCANS = ("train", "fit", "test")


@cache
def _scans() -> tuple[np.ndarray, np.ndarray, dict]:
    """Enlarged scans (size, scan, 29, 29) as float32, their digits, and the cut in three."""
    from sklearn.datasets import load_digits

    bundle = load_digits()
    small = (bundle.images / 16).astype(F)
    sheets = np.zeros((len(_SIZES), len(small), _PATCH, _PATCH), F)
    for k, size in enumerate(_SIZES):
        at = (np.arange(size) + 0.5) / size * 10 - 0.5
        low = np.clip(np.floor(at).astype(int), 0, 8)
        part = np.clip(at - low, 0, 1).astype(F)
        wide = np.pad(small, ((0, 0), (1, 1), (1, 1)))
        rows = wide[:, low] + (wide[:, low + 1] - wide[:, low]) * part[None, :, None]
        full = rows[:, :, low] + (rows[:, :, low + 1] - rows[:, :, low]) * part
        start = (_PATCH - size) // 2
        sheets[k, :, start : start + size, start : start + size] = full
    place = np.arange(len(small)) % 8
    cut = {
        "train": np.flatnonzero(place < 6),
        "fit": np.flatnonzero(place == 6),
        "test": np.flatnonzero(place == 7),
    }
    return sheets, bundle.target.astype(int), cut


def sample(
    n: int, rng: np.random.Generator, sites: np.ndarray, scans: str = "train"
) -> dict:
    """Facts and layout of ``n`` sheets, before anything is drawn."""
    _, digit, cut = _scans()
    chosen = cut[scans][rng.integers(0, len(cut[scans]), (n, 2))]
    names = np.array(WORDS, object)[digit[chosen]]
    return {
        "site": sites,
        "digits": pick(rng, ("one", "two"), n),
        "left_digit": names[:, 0],
        "right_digit": names[:, 1],
        "ink": pick(rng, INKS, n),
        "visibility_scene": grade(rng, n),
        "_scan": chosen,
        "_u": rng.random((n, 12)),
    }


def finish(raw: dict) -> dict:
    """Facts as they are told; a lone digit counts as the left one."""
    return {
        "digits": raw["digits"],
        "left_digit": raw["left_digit"],
        "right_digit": np.where(raw["digits"] == "two", raw["right_digit"], "none"),
        "ink": raw["ink"],
        "visibility_scene": raw["visibility_scene"],
    }


def render(raw: dict, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 64, 64, 3) and masks (n, 8, 8) of sampled sheets."""
    sheets, _, _ = _scans()
    n = len(raw["site"])
    u = raw["_u"]
    site = raw["site"]
    paper = per_site(_ACQUISITION, site, "paper") + col(0.1 * (u[:, 0] - 0.5))
    paper = paper + per_site(_ACQUISITION, site, "shade") * field(rng, n, 4)
    pad = _PATCH
    side = 64 + 2 * pad
    ink = np.zeros((n, side, side), F)
    lone = raw["digits"] == "one"
    for k in range(2):
        there = ~lone if k else np.ones(n, bool)
        cx = np.where(
            lone, 32 + 20 * (u[:, 1] - 0.5), (17, 47)[k] + 5 * (u[:, 2 + k] - 0.5)
        )
        cy = 32 + 22 * (u[:, 4 + k] - 0.5)
        where, _, _ = patch(cx, cy, _PATCH)
        size = (u[:, 6 + k] * len(_SIZES)).astype(int)
        stroke = sheets[size, raw["_scan"][:, k]] * col(there)
        ink[where] = np.maximum(ink[where], stroke)
    ink = ink[:, pad:-pad, pad:-pad]
    strength = ink * col(raw["visibility_scene"]) * per_site(_ACQUISITION, site, "ink")
    paint = _RGB[[INKS.index(k) for k in raw["ink"]]][:, None, None, :]
    ground = np.broadcast_to(paper, (n, 64, 64))[..., None]
    image = ground + strength[..., None] * (paint - ground)
    image += (per_site(_ACQUISITION, site, "noise") * noise(rng, n))[..., None]
    return byte(image), cells(ink)
