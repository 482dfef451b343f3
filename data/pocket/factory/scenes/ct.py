"""Axial CT of the upper abdomen: Hounsfield units, reconstruction noise and a display window.

A plane holds Hounsfield units, 1000 (mu - mu_water) / mu_water. Filtered back-projection makes
noise that is strongest in the middle of the body, where rays are most attenuated, and has little
low-frequency power; too few photons along the widest direction leave horizontal streaks. The
display maps level - width/2 … level + width/2 to black … white. The image's left is the
patient's right, so that the liver lies on the left.

S. J. Riederer, N. J. Pelc and D. A. Chesler, The noise power spectrum in computed X-ray
tomography, Phys. Med. Biol. 23 (1978) 446-454, doi:10.1088/0031-9155/23/3/008. J. T. Bushberg
et al., The Essential Physics of Medical Imaging, 3rd ed., Lippincott 2012, ch. 10.
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

SITES = ("standard", "sharp", "lowdose")
TRAIN_SITES = ("standard", "sharp")
_ACQUISITION = {
    "standard": {
        "noise": 16.0,
        "streak": 2.0,
        "level": 45.0,
        "width": 380.0,
        "kernel": -0.4,
    },
    "sharp": {
        "noise": 24.0,
        "streak": 4.0,
        "level": 60.0,
        "width": 520.0,
        "kernel": 0.7,
    },
    "lowdose": {
        "noise": 36.0,
        "streak": 30.0,
        "level": 30.0,
        "width": 330.0,
        "kernel": 0.0,
    },
}
ATTRIBUTES = {
    "finding": ("none", "cyst", "tumour", "stone", "air"),
    "organ": ("none", "liver", "spleen", "kidney"),
    "side": ("none", "left", "right"),
    "size": ("none", "small", "large"),
    "aorta": ("normal", "large"),
    "contrast": ("no", "yes"),
}


def sample(n: int, rng: np.random.Generator, sites: np.ndarray) -> dict:
    """Facts and anatomy of ``n`` slices, before anything is drawn."""
    return {
        "site": sites,
        "finding": pick(rng, ("none", "none", "cyst", "tumour", "stone", "air"), n),
        "organ": pick(rng, ("liver", "spleen", "kidney"), n),
        "side": pick(rng, ("left", "right"), n),
        "size": pick(rng, ("small", "large"), n),
        "visibility_finding": grade(rng, n),
        "aorta": pick(rng, ("normal", "large"), n),
        "visibility_aorta": grade(rng, n),
        "contrast": pick(rng, ("no", "yes"), n),
        "_u": rng.random((n, 24)),
    }


def _side(raw: dict) -> np.ndarray:
    """The liver is always on the image's left, the spleen on its right."""
    free = (raw["organ"] == "kidney") | (raw["finding"] == "air")
    fixed = np.where(raw["organ"] == "liver", "left", "right").astype(object)
    return np.where(free, raw["side"], fixed)


def finish(raw: dict) -> dict:
    """Facts as they are told."""
    some = raw["finding"] != "none"
    solid = some & (raw["finding"] != "air")
    sized = solid & (raw["finding"] != "stone")
    return {
        "finding": raw["finding"],
        "organ": np.where(solid, raw["organ"], "none"),
        "side": np.where(some, _side(raw), "none"),
        "size": np.where(sized, raw["size"], "none"),
        "visibility_finding": np.where(some, raw["visibility_finding"], np.nan),
        "aorta": raw["aorta"],
        "visibility_aorta": raw["visibility_aorta"],
        "contrast": raw["contrast"],
    }


def render(raw: dict, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 64, 64, 3) and masks (n, 8, 8) of sampled slices."""
    n = len(raw["site"])
    u = raw["_u"]
    site = raw["site"]
    dye = np.where(raw["contrast"] == "yes", 1.0, 0.0)
    rx, ry = 0.94 + 0.06 * (u[:, 0] - 0.5), 0.73 + 0.07 * (u[:, 1] - 0.5)
    fat = 0.86 + 0.10 * u[:, 2]
    body = level(0.0, 0.0, rx, ry)
    wave = field(rng, n, 9)
    fine = field(rng, n, 17)

    hu = np.full((n, 64, 64), -1000, F)

    def paint(cover, value):
        nonlocal hu
        hu += cover * (value - hu)

    paint(
        soft((F(0.05) - np.abs(Y - F(0.86) - F(0.08) * X * X)) * F(30)) * F(0.35),
        F(120),
    )
    paint(inside(body, 9), F(-95))
    cavity = body / col(fat * fat)
    paint(inside(cavity, 9), F(52))
    flank = cavity * F(1.30)
    paint(inside(flank, 8), F(-90) + F(25) * fine)

    # ribs: bright ovals in the wall
    for k, (angle_x, angle_y) in enumerate(
        ((0.93, 0.15), (0.80, -0.50), (0.72, 0.60), (0.98, -0.18), (0.45, -0.80))
    ):
        for sign in (-1, 1):
            cx = sign * angle_x * rx * fat * 0.965
            cy = (angle_y + 0.06 * (u[:, 3 + k] - 0.5)) * ry * fat * 0.965
            paint(
                inside(level(cx, cy, 0.062, 0.042, sign * (0.25 - 0.2 * (k != 4))), 3),
                F(520),
            )

    # organs; enhancement by contrast medium in HU
    lx, ly = -0.40 * rx / 0.9, -0.10
    liver = level(lx, ly, 0.40 * rx / 0.9, 0.41 * ry / 0.68, 0.03)
    lobe = level(-0.05, -0.27 * ry / 0.68, 0.34, 0.17, 0.03)
    liver = np.minimum(liver, lobe) + F(0.10) * wave
    inner = inside(flank * F(1.02), 8)
    paint(inside(liver, 6) * inner, col(58 + 52 * dye) + F(9) * fine)
    vessel = soft((np.abs(field(rng, n, 7)) * F(-9) + F(0.9)) * F(1.2)) * inside(
        liver * F(1.4), 4
    )
    paint(vessel * inner * F(0.6), col(45 + 110 * dye))
    stomach = level(0.36, -0.24 * ry / 0.68, 0.24, 0.20, 0.06 * (u[:, 8] - 0.5))
    paint(inside(stomach, 5) * inner, F(28))
    gas = inside(level(0.36, -0.26 * ry / 0.68, 0.19, 0.14), 4) * soft(
        (F(-0.26) - Y) * F(25)
    )
    paint(gas * inner, F(-900))
    spleen = level(0.62 * rx / 0.9, 0.10, 0.15, 0.27, 0.94) + F(0.08) * wave
    paint(inside(spleen, 5) * inner, col(52 + 62 * dye))
    kx = 0.40 + 0.03 * (u[:, 9] - 0.5)
    ky = 0.26 + 0.03 * (u[:, 10] - 0.5)
    for sign in (-1, 1):
        kidney = level(sign * kx, ky, 0.135, 0.165, sign * 0.06)
        paint(inside(kidney, 5), col(34 + 120 * dye))
        paint(inside(level(sign * (kx - 0.055), ky, 0.055, 0.07), 3), F(-60))
    aorta = np.where(raw["aorta"] == "large", 1.0, -1.0) * raw["visibility_aorta"]
    ra = 0.085 + 0.030 * aorta + 0.01 * (u[:, 11] - 0.5)
    paint(inside(level(0.05, 0.13, ra, ra), 4), col(42 + 170 * dye))
    paint(inside(level(-0.10, 0.11, 0.068, 0.055), 4), col(40 + 95 * dye))
    muscle = np.minimum(level(-0.21, 0.43, 0.15, 0.12), level(0.21, 0.43, 0.15, 0.12))
    paint(inside(muscle, 4) * inside(cavity, 8), F(55))
    paint(inside(level(0.0, 0.30, 0.145, 0.12), 5), F(560))
    paint(inside(level(0.0, 0.30, 0.105, 0.085), 4), F(210) + F(60) * fine)
    arch = soft((F(0.055) - np.abs(Y - F(0.47) + F(0.35) * np.abs(X))) * F(28))
    paint(arch * soft((F(0.24) - np.abs(X)) * F(18)) * F(0.9), F(480))
    paint(inside(level(0.0, 0.43, 0.058, 0.050), 3), F(30))
    paint(
        soft((F(0.035) - np.abs(X)) * F(40))
        * soft((F(0.09) - np.abs(Y - F(0.55))) * F(20)),
        F(430),
    )

    # findings
    where = _side(raw)
    sign = np.where(where == "left", -1.0, 1.0)
    organ = raw["organ"]
    a, b = u[:, 12] - 0.5, u[:, 13] - 0.5
    cx = np.select(
        [organ == "liver", organ == "spleen"],
        [-0.42 + 0.28 * a, 0.62 * rx / 0.9 + 0.04 * a],
        sign * (kx + 0.05 + 0.04 * a),
    )
    cy = np.select(
        [organ == "liver", organ == "spleen"],
        [-0.10 + 0.36 * b, 0.10 + 0.22 * b],
        ky + 0.14 * b,
    )
    big = np.where(raw["size"] == "large", 0.128, 0.074) * (0.92 + 0.16 * u[:, 14])
    big = np.where(organ == "liver", big, big * 0.82)
    lump = level(cx, cy, big, big * (0.85 + 0.3 * u[:, 15]), u[:, 16])
    ball = inside(lump, 4)
    ragged = lump * (F(1) + F(0.45) * fine)
    shown = raw["visibility_finding"]

    def has(kind):
        return col(np.where(raw["finding"] == kind, shown, 0.0))

    paint(has("cyst") * ball, F(4))
    rim = inside(ragged, 3) - inside(ragged * F(2.2), 3)
    paint(has("tumour") * inside(ragged, 3), col(24 + 34 * dye))
    paint(has("tumour") * np.maximum(rim, F(0)), col(88 + 60 * dye))
    grit = inside(level(cx, cy, 0.038 + 0.012 * u[:, 17], 0.038 + 0.012 * u[:, 18]), 3)
    paint(has("stone") * grit, F(430))
    # free gas rises to the front wall of a patient lying on the back
    pocket = level(
        sign * (0.36 + 0.12 * u[:, 19]),
        -0.80 * ry * fat / 1.14 + 0.10,
        0.20,
        0.075 + 0.03 * u[:, 20],
        -sign * 0.055,
    )
    pocket = inside(pocket, 4) * inside(flank * F(0.98), 8)
    paint(has("air") * pocket, F(-820))

    # noise: white noise less its low frequencies, scaled by the attenuation of the path
    white = noise(rng, n)
    smooth = blur(white)
    kernel = per_site(_ACQUISITION, site, "kernel")
    sharp = white + kernel * (white - smooth) - F(0.5) * smooth
    sharp = np.where(kernel < 0, smooth * F(1.6), sharp)
    path = F(0.35) + F(0.75) * bump(body * F(1.6))
    level_ = per_site(_ACQUISITION, site, "noise") * (col(0.85 + 0.3 * u[:, 21]))
    streak = noise(rng, n)
    lines = streak.copy()
    for step in (1, 2, 4, 8):
        lines = lines + np.roll(lines, step, axis=2)
    lines *= F(1 / 16)
    hu += level_ * path * sharp
    hu += per_site(_ACQUISITION, site, "streak") * lines * inside(body, 6) * F(2.2)

    centre = per_site(_ACQUISITION, site, "level") + col(16 * (u[:, 22] - 0.5))
    width = per_site(_ACQUISITION, site, "width") * col(0.94 + 0.12 * u[:, 23])
    shade = (hu - centre) / width + F(0.5)

    mask = ball * col((raw["finding"] == "cyst") | (raw["finding"] == "tumour"))
    mask = (
        mask
        + grit * col(raw["finding"] == "stone")
        + pocket * col(raw["finding"] == "air")
    )
    return grey(shade), cells(mask)
