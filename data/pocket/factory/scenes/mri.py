"""Axial brain MRI: spin-echo contrast, coil bias and Rician noise.

Each tissue's signal is PD (1 - exp(-TR/T1)) exp(-TE/T2); pixels mix tissues by the share that
they cover (partial volume). The receive coil multiplies by a smooth field. The magnitude of a
complex signal with Gaussian noise in both channels is Rician: sqrt((S + a)^2 + b^2).

Relaxation times: G. J. Stanisz et al., T1, T2 relaxation and magnetization transfer in tissue
at 3T, Magn. Reson. Med. 54 (2005) 507-512, doi:10.1002/mrm.20605. Noise: H. Gudbjartsson and
S. Patz, The Rician distribution of noisy MRI data, Magn. Reson. Med. 34 (1995) 910-914,
doi:10.1002/mrm.1910340618.
"""

import numpy as np

from ._canvas import (
    F,
    X,
    Y,
    blur,
    bump,
    cells,
    col,
    decay,
    field,
    grade,
    grey,
    inside,
    level,
    noise,
    per_site,
    pick,
    soft,
)

SITES = ("clinic", "research", "lowfield")
TRAIN_SITES = ("clinic", "research")
_ACQUISITION = {
    "clinic": {"noise": 0.045, "bias": 0.12, "t1": 1.0, "blur": 0.0, "gain": 1.0},
    "research": {"noise": 0.025, "bias": 0.32, "t1": 1.3, "blur": 0.0, "gain": 1.05},
    "lowfield": {"noise": 0.080, "bias": 0.10, "t1": 0.55, "blur": 1.0, "gain": 0.95},
}
ATTRIBUTES = {
    "weighting": ("t1", "t2"),
    "finding": ("none", "mass", "bleed", "infarct", "plaque"),
    "side": ("none", "left", "right"),
    "zone": ("none", "front", "back"),
    "plaques": ("none", "one", "two", "three"),
    "ventricles": ("normal", "large"),
}
# PD, T1 in s at 1.5 T, T2 in s
_TISSUE = {
    "white": (0.70, 0.62, 0.075),
    "grey": (0.82, 1.00, 0.098),
    "fluid": (1.00, 3.80, 1.400),
    "fat": (0.90, 0.26, 0.065),
    "bone": (0.06, 0.60, 0.010),
    "skin": (0.75, 0.85, 0.045),
    "mass": (0.90, 1.55, 0.190),
    "oedema": (0.88, 1.30, 0.150),
    "blood": (0.88, 0.34, 0.028),
    "infarct": (0.90, 1.45, 0.180),
    "plaque": (0.88, 1.35, 0.170),
}
_SEQUENCE = {"t1": (0.50, 0.012), "t2": (3.50, 0.095)}


def sample(n: int, rng: np.random.Generator, sites: np.ndarray) -> dict:
    """Facts and anatomy of ``n`` heads, before anything is drawn."""
    return {
        "site": sites,
        "weighting": pick(rng, ("t1", "t2"), n),
        "finding": pick(rng, ("none", "none", "mass", "bleed", "infarct", "plaque"), n),
        "side": pick(rng, ("left", "right"), n),
        "zone": pick(rng, ("front", "back"), n),
        "plaques": pick(rng, ("one", "two", "three"), n),
        "visibility_finding": grade(rng, n),
        "ventricles": pick(rng, ("normal", "large"), n),
        "visibility_ventricles": grade(rng, n),
        "_u": rng.random((n, 24)),
    }


def finish(raw: dict) -> dict:
    """Facts as they are told."""
    some = raw["finding"] != "none"
    placed = some & (raw["finding"] != "plaque")
    return {
        "weighting": raw["weighting"],
        "finding": raw["finding"],
        "side": np.where(some, raw["side"], "none"),
        "zone": np.where(placed, raw["zone"], "none"),
        "plaques": np.where(raw["finding"] == "plaque", raw["plaques"], "none"),
        "visibility_finding": np.where(some, raw["visibility_finding"], np.nan),
        "ventricles": raw["ventricles"],
        "visibility_ventricles": raw["visibility_ventricles"],
    }


def _signals(raw: dict, u: np.ndarray) -> dict:
    """Spin-echo signal of every tissue per image, float32 (n, 1, 1), white matter near 0.5."""
    tr = np.array([_SEQUENCE[w][0] for w in raw["weighting"]]) * (0.92 + 0.16 * u[:, 0])
    te = np.array([_SEQUENCE[w][1] for w in raw["weighting"]]) * (0.92 + 0.16 * u[:, 1])
    scale = np.array([_ACQUISITION[s]["t1"] for s in raw["site"]])
    out = {}
    for name, (pd, t1, t2) in _TISSUE.items():
        rise = 1 - decay(np.minimum(tr / (t1 * scale), 60).astype(F))
        out[name] = pd * rise * decay((te / t2).astype(F))
    # the display is scaled so that the brain fills it in either weighting
    top = np.where(
        raw["weighting"] == "t1", out["white"] * F(1.45), out["fluid"] * F(1.05)
    )
    return {name: col(value / top) for name, value in out.items()}


def render(raw: dict, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 64, 64, 3) and masks (n, 8, 8) of sampled heads."""
    n = len(raw["site"])
    u = raw["_u"]
    site = raw["site"]
    tissue = _signals(raw, u)
    turn = 0.04 * (u[:, 2] - 0.5)
    rx, ry = 0.76 + 0.07 * (u[:, 3] - 0.5), 0.92 + 0.05 * (u[:, 4] - 0.5)
    head = level(0.0, 0.0, rx, ry, turn)
    folds = (field(rng, n, 18) + field(rng, n, 13)) * F(0.72)
    coarse = field(rng, n, 9)

    radius = np.sqrt(head)
    skin = soft((F(1.0) - radius) * F(16) + F(0.5))
    fat = soft((F(0.975) - radius) * F(18) + F(0.5))
    skull = soft((F(0.925) - radius) * F(20) + F(0.5))
    brain = soft((F(0.845) - radius) * F(20) + F(0.5))
    # the cortex is folded: sulci of fluid run inwards, white matter follows the gyri outwards
    sulci = soft((F(0.20) - np.abs(folds)) * F(7)) * soft((radius - F(0.58)) * F(9))
    cortex = soft((F(0.82) - radius + F(0.03) * coarse) * F(16) + F(0.5)) * (
        F(1) - F(0.75) * sulci
    )
    white = soft(
        (F(0.66) - radius + F(0.26) * np.abs(folds) + F(0.05) * coarse) * F(10)
    )
    midline = soft(F(1) - np.abs(X) * F(22)) * soft((np.abs(Y) - F(0.34)) * F(9))
    white = white * (
        F(1)
        - F(0.8) * soft(F(1) - np.abs(X) * F(9)) * soft((np.abs(Y) - F(0.36)) * F(9))
    )

    large = (
        np.where(raw["ventricles"] == "large", 1.0, -1.0) * raw["visibility_ventricles"]
    )
    grow = 1.0 + 0.38 * large + 0.12 * (u[:, 5] - 0.5)
    water = np.zeros((n, 64, 64), F)
    deep = np.zeros((n, 64, 64), F)
    for sign in (-1, 1):
        front = level(sign * 0.115, -0.20, 0.062 * grow, 0.17 * grow, sign * 0.045)
        back = level(sign * 0.175, 0.24, 0.060 * grow, 0.20 * grow, -sign * 0.055)
        body = level(sign * 0.10, 0.02, 0.035 * grow, 0.16 * grow, 0.0)
        water = np.maximum(
            water, inside(np.minimum(np.minimum(front, back), body), 3.5)
        )
        nuclei = np.minimum(
            level(sign * 0.235, -0.10, 0.085, 0.17, -sign * 0.03),
            level(sign * 0.12, 0.10, 0.09, 0.11),
        )
        deep = np.maximum(deep, inside(nuclei, 3.0))

    # mix outside in: air, skin, fat, bone, fluid, grey, white, deep grey, ventricles
    signal = tissue["skin"] * skin
    for cover, name in (
        (fat, "fat"),
        (skull, "bone"),
        (brain, "fluid"),
        (cortex, "grey"),
        (white, "white"),
        (deep * F(0.85), "grey"),
        (water, "fluid"),
        (midline * brain, "fluid"),
    ):
        signal = signal + cover * (tissue[name] - signal)

    sign = np.where(raw["side"] == "left", -1.0, 1.0)
    ahead = np.where(raw["zone"] == "front", -1.0, 1.0)
    fx = sign * (0.34 + 0.08 * (u[:, 6] - 0.5))
    fy = ahead * (0.34 + 0.16 * (u[:, 7] - 0.5))
    shown = raw["visibility_finding"]
    size = 0.085 + 0.055 * u[:, 8]
    lump = level(fx, fy, size, size * (0.8 + 0.4 * u[:, 9]), u[:, 10])
    lump = lump * (F(1) + F(0.35) * coarse)
    core = inside(lump, 3.0)
    rim = soft((F(3.4) - lump * (F(1) + F(0.4) * folds)) * F(0.8)) * white

    # an infarct is a wedge of a vessel's territory: a sector that widens to the cortex
    along = X * col(sign) * F(0.72) + Y * col(ahead) * F(0.69)
    off = np.abs(
        Y * col(sign * 0.72) - X * col(ahead * 0.69) + col(0.1 * (u[:, 11] - 0.5))
    )
    wedge = soft((along * F(0.42) - off + F(0.03) * folds) * F(12)) * soft(
        (along - F(0.30)) * F(10)
    )
    wedge = wedge * cortex

    number = np.select([raw["plaques"] == "one", raw["plaques"] == "two"], [1, 2], 3)
    spots = np.zeros((n, 64, 64), F)
    for k in range(3):
        px = sign * (0.30 + 0.09 * (u[:, 12 + k] - 0.5))
        py = (-0.30, 0.04, 0.36)[k] + 0.10 * (u[:, 15 + k] - 0.5)
        spot = inside(
            level(px, py, 0.045 + 0.02 * u[:, 18 + k], 0.075, 0.02 * sign), 3.0
        )
        order = (k + (u[:, 21] * 3).astype(int)) % 3
        spots = np.maximum(spots, spot * col(order < number))

    for kind, cover, name, much in (
        ("mass", rim, "oedema", 0.8),
        ("mass", core, "mass", 1.0),
        ("bleed", core, "blood", 1.0),
        ("infarct", wedge, "infarct", 0.9),
        ("plaque", spots, "plaque", 1.0),
    ):
        weight = col(np.where(raw["finding"] == kind, shown * much, 0.0)) * cover
        signal = signal + weight * (tissue[name] - signal)

    bias = F(1) + per_site(_ACQUISITION, site, "bias") * (
        col(2 * u[:, 22] - 1) * X
        + col(2 * u[:, 23] - 1) * Y
        - F(0.35) * bump(head * F(4))
    )
    signal = signal * bias
    smear = per_site(_ACQUISITION, site, "blur")
    signal = signal + smear * (blur(signal) - signal)
    sigma = per_site(_ACQUISITION, site, "noise")
    real = signal + sigma * noise(rng, n)
    imaginary = sigma * noise(rng, n)
    shade = np.sqrt(real * real + imaginary * imaginary) * per_site(
        _ACQUISITION, site, "gain"
    )

    mask = core * col((raw["finding"] == "mass") | (raw["finding"] == "bleed"))
    mask = (
        mask
        + wedge * col(raw["finding"] == "infarct")
        + spots * col(raw["finding"] == "plaque")
    )
    return grey(shade), cells(mask)
