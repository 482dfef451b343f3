"""Abdominal ultrasound, curved probe: speckle, attenuation, shadowing and log compression.

Each resolution cell holds many scatterers of random phase: their sum is complex Gaussian and its
magnitude Rayleigh distributed, which is speckle. The beam widens with depth, so that speckle is
stretched sideways there. Echoes fade with depth faster than the time-gain compensation makes up
for; a stone throws a shadow along the beam, a cyst, which attenuates nothing, leaves the tissue
behind it too bright. The display shows 20 log10 of the amplitude over its dynamic range.

C. B. Burckhardt, Speckle in ultrasound B-mode scans, IEEE Trans. Sonics Ultrason. 25 (1978) 1-6,
doi:10.1109/T-SU.1978.30978. J. T. Bushberg et al., The Essential Physics of Medical Imaging,
3rd ed., Lippincott 2012, ch. 14.
"""

import numpy as np

from ._canvas import (
    F,
    X,
    Y,
    blur,
    cells,
    col,
    decay,
    field,
    grade,
    grey,
    inside,
    level,
    log2,
    noise,
    per_site,
    pick,
    soft,
)

SITES = ("curved", "cart", "handheld")
TRAIN_SITES = ("curved", "cart")
_ACQUISITION = {
    "curved": {
        "gain": 0.0,
        "range": 54.0,
        "loss": 0.55,
        "smear": 0.5,
        "angle": 0.72,
        "floor": 0.010,
    },
    "cart": {
        "gain": 4.0,
        "range": 46.0,
        "loss": 0.25,
        "smear": 0.2,
        "angle": 0.60,
        "floor": 0.006,
    },
    "handheld": {
        "gain": 1.0,
        "range": 42.0,
        "loss": 0.90,
        "smear": 1.0,
        "angle": 0.85,
        "floor": 0.03,
    },
}
ATTRIBUTES = {
    "finding": ("none", "cyst", "mass", "stone", "fluid"),
    "side": ("none", "left", "right"),
    "depth": ("none", "near", "far"),
    "stones": ("none", "one", "two", "three"),
    "texture": ("smooth", "coarse"),
    "vessel": ("no", "yes"),
}
_APEX = 1.55


def sample(n: int, rng: np.random.Generator, sites: np.ndarray) -> dict:
    """Facts and anatomy of ``n`` scans, before anything is drawn."""
    return {
        "site": sites,
        "finding": pick(rng, ("none", "none", "cyst", "mass", "stone", "fluid"), n),
        "side": pick(rng, ("left", "right"), n),
        "depth": pick(rng, ("near", "far"), n),
        "stones": pick(rng, ("one", "two", "three"), n),
        "visibility_finding": grade(rng, n),
        "texture": pick(rng, ("smooth", "coarse"), n),
        "visibility_texture": grade(rng, n),
        "vessel": pick(rng, ("no", "yes"), n),
        "visibility_vessel": grade(rng, n),
        "_u": rng.random((n, 24)),
    }


def finish(raw: dict) -> dict:
    """Facts as they are told."""
    some = raw["finding"] != "none"
    placed = some & (raw["finding"] != "fluid")
    return {
        "finding": raw["finding"],
        "side": np.where(some, raw["side"], "none"),
        "depth": np.where(placed, raw["depth"], "none"),
        "stones": np.where(raw["finding"] == "stone", raw["stones"], "none"),
        "visibility_finding": np.where(some, raw["visibility_finding"], np.nan),
        "texture": raw["texture"],
        "visibility_texture": raw["visibility_texture"],
        "vessel": raw["vessel"],
        "visibility_vessel": np.where(
            raw["vessel"] == "yes", raw["visibility_vessel"], np.nan
        ),
    }


def _wide(plane: np.ndarray) -> np.ndarray:
    """Sideways blur over five pixels (1 2 3 2 1) that keeps the variance of white noise."""
    out = F(3) * plane
    for step, weight in ((1, 2), (2, 1)):
        out += F(weight) * (
            np.roll(plane, step, axis=2) + np.roll(plane, -step, axis=2)
        )
    out *= F(1 / 19**0.5)
    return out


def render(raw: dict, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 64, 64, 3) and masks (n, 8, 8) of sampled scans."""
    n = len(raw["site"])
    u = raw["_u"]
    site = raw["site"]
    down = Y + F(_APEX)
    tangent = X / down
    radius = np.sqrt(X * X + down * down)
    depth = (radius - F(0.60)) / F(1.90)
    angle = per_site(_ACQUISITION, site, "angle") * col(0.95 + 0.1 * u[:, 0])
    sector = (
        soft((angle - np.abs(tangent)) * F(28))
        * soft(depth * F(30))
        * soft((F(0.985) - depth) * F(30))
    )

    # echogenicity of the tissue, amplitude 1 in liver
    wave = field(rng, n, 6)
    clumps = field(rng, n, 20) + field(rng, n, 12)
    echo = np.ones((n, 64, 64), F) + F(0.22) * wave
    bend = F(0.06) * wave
    near = F(0.10) + col(0.04 * u[:, 1]) + bend
    layer = np.abs(depth - near) * F(26)
    echo += F(1.1) * soft(F(1.4) - layer) + F(0.9) * soft(
        (F(0.04) - depth) * F(30) + F(1)
    )
    echo -= (
        F(0.45)
        * soft((near - F(0.015) - depth) * F(30))
        * soft((depth - F(0.03)) * F(40))
    )
    dome = (
        F(0.80)
        + col(0.06 * (u[:, 2] - 0.5))
        + F(0.22) * (tangent - col(0.3 * (u[:, 3] - 0.5))) ** 2
    )
    echo += F(3.2) * soft(F(1) - np.abs(depth - dome) * F(34))
    beyond = soft((depth - dome - F(0.02)) * F(25))
    echo -= F(0.55) * beyond
    coarse = np.where(raw["texture"] == "coarse", raw["visibility_texture"], 0.0)
    echo *= F(1) + col(0.75 * coarse) * clumps

    # a portal vessel runs obliquely through the liver with bright walls
    slope = col(0.5 * (u[:, 4] - 0.5))
    line = Y - F(0.02) - col(0.3 * (u[:, 5] - 0.5)) - slope * X - F(0.25) * X * X
    seen = np.where(raw["vessel"] == "yes", raw["visibility_vessel"], 0.0)
    tube = soft((F(0.075) - np.abs(line)) * F(22)) * soft((F(0.50) - np.abs(X)) * F(7))
    wall = soft(F(1) - np.abs(np.abs(line) - F(0.095)) * F(26)) * soft(
        (F(0.50) - np.abs(X)) * F(7)
    )
    echo += col(seen) * wall * F(0.9)
    echo += col(seen * 0.92) * tube * (F(0.06) - echo)

    sign = np.where(raw["side"] == "left", -1.0, 1.0)
    far = raw["depth"] == "far"
    fy = np.where(far, 0.32, -0.28) + 0.10 * (u[:, 6] - 0.5)
    fx = sign * np.where(far, 0.42, 0.33) * (0.85 + 0.3 * u[:, 7])
    shown = raw["visibility_finding"]

    def has(kind, much=1.0):
        return col(np.where(raw["finding"] == kind, shown * much, 0.0))

    size = 0.115 + 0.055 * u[:, 8]
    q = level(fx, fy, size, size * (0.8 + 0.3 * u[:, 9]), 0.1 * (u[:, 10] - 0.5))
    ball = inside(q, 5)
    ragged = inside(q * (F(1) + F(0.5) * clumps), 3)
    beam = np.abs(tangent - col(fx / (fy + _APEX)))
    behind = soft((down - col(fy + _APEX + 0.5 * size)) * F(14))
    column = soft((col(size / (fy + _APEX)) * F(0.95) - beam) * F(24)) * behind
    echo += has("cyst", 0.97) * ball * (F(0.03) - echo)
    echo += has("cyst", 0.9) * column * (F(1) - ball) * echo * F(1.3)
    echo += has("mass", 0.78) * ragged * (F(0.10) - echo)
    number = np.select([raw["stones"] == "one", raw["stones"] == "two"], [1, 2], 3)
    stones = np.zeros((n, 64, 64), F)
    shadow = np.zeros((n, 64, 64), F)
    for k in range(3):
        sx = fx + (0.0, 0.20, -0.19)[k] + 0.03 * (u[:, 11 + k] - 0.5)
        sy = fy + 0.12 * (u[:, 14 + k] - 0.5)
        there = col(k < number)
        stone = inside(level(sx, sy, 0.060, 0.040, 0.0), 3) * there
        cast = soft(
            (
                F(0.042) / col(sy + _APEX) * F(1.3)
                - np.abs(tangent - col(sx / (sy + _APEX)))
            )
            * F(40)
        )
        stones = np.maximum(stones, stone)
        shadow = np.maximum(
            shadow, cast * soft((down - col(sy + _APEX + 0.05)) * F(16)) * there
        )
    echo += has("stone") * stones * (F(5.0) - echo)
    echo -= has("stone", 0.9) * shadow * (F(1) - stones) * echo
    # free fluid collects as a dark crescent above the diaphragm, on one side
    over = depth - dome + F(0.19) - F(0.06) * soft(F(1) - np.abs(tangent) * F(2))
    crescent = soft(over * F(26)) * soft((dome - F(0.035) - depth) * F(30))
    crescent = crescent * soft(tangent * col(sign) * F(12) - F(0.3))
    echo += has("fluid", 0.96) * crescent * (F(0.04) - echo)
    np.maximum(echo, F(0.02), out=echo)

    # speckle: complex Gaussian, narrow beam near the probe, wide far from it
    smear = np.clip(
        depth * F(1.1) + per_site(_ACQUISITION, site, "smear") - F(0.2), F(0), F(1)
    )
    parts = []
    for _ in range(2):
        plane = noise(rng, n)
        parts.append(plane + smear * (_wide(plane) - plane))
    amplitude = np.sqrt(parts[0] * parts[0] + parts[1] * parts[1]) * F(0.75)
    loss = decay(
        per_site(_ACQUISITION, site, "loss") * np.maximum(depth, F(0)) * F(1.6)
    )
    amplitude = amplitude * echo * loss + per_site(_ACQUISITION, site, "floor")
    decibel = log2(amplitude) * F(6.0206)
    gain = per_site(_ACQUISITION, site, "gain") + col(4 * (u[:, 17] - 0.5))
    span = per_site(_ACQUISITION, site, "range")
    shade = (decibel + gain - F(10)) / span + F(0.72)
    shade = (shade + F(0.25) * (blur(shade) - shade)) * sector

    mask = ball * col((raw["finding"] == "cyst") | (raw["finding"] == "mass"))
    mask = (
        mask
        + stones * col(raw["finding"] == "stone")
        + crescent * col(raw["finding"] == "fluid")
    )
    return grey(shade), cells(mask)
