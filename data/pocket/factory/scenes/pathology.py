"""H&E-stained tissue section: stains add optical density, nuclei over stroma and glands.

Light that passes dye of concentration c leaves I = I0 exp(-c OD); haematoxylin (blue, nuclei) and
eosin (pink, cytoplasm and fibres) each have a colour of optical density, and densities add.

A. C. Ruifrok and D. A. Johnston, Quantification of histochemical staining by color
deconvolution, Anal. Quant. Cytol. Histol. 23 (2001) 291-299.
"""

import numpy as np

from ._canvas import (
    F,
    X,
    Y,
    blur,
    bump,
    byte,
    cells,
    col,
    decay,
    field,
    grade,
    inside,
    level,
    noise,
    patch,
    per_site,
    pick,
    soft,
    unit,
)

SITES = ("routine", "faded", "violet")
TRAIN_SITES = ("routine", "faded")
_ACQUISITION = {
    "routine": {
        "h": 1.00,
        "e": 1.00,
        "shift": 0.0,
        "blur": 0.0,
        "noise": 0.020,
        "warm": 0.0,
    },
    "faded": {
        "h": 0.72,
        "e": 0.70,
        "shift": -0.3,
        "blur": 0.3,
        "noise": 0.026,
        "warm": 0.05,
    },
    "violet": {
        "h": 0.95,
        "e": 1.45,
        "shift": 1.0,
        "blur": 0.8,
        "noise": 0.038,
        "warm": -0.04,
    },
}
# optical density per channel, and how a stain that leans to violet differs
_HAEMATOXYLIN = (0.650, 0.704, 0.286)
_EOSIN = (0.092, 0.954, 0.283)
_VIOLET = (0.22, -0.10, -0.10)
ATTRIBUTES = {
    "finding": ("none", "mitosis", "inflammation", "necrosis", "tumour"),
    "side": ("none", "left", "right"),
    "zone": ("none", "upper", "lower"),
    "mitoses": ("none", "one", "two", "three"),
    "cells": ("few", "many"),
    "gland": ("no", "yes"),
}
_NUCLEI = 34
_PATCH = 15


def sample(n: int, rng: np.random.Generator, sites: np.ndarray) -> dict:
    """Facts and layout of ``n`` fields of view, before anything is drawn."""
    return {
        "site": sites,
        "finding": pick(
            rng, ("none", "none", "mitosis", "inflammation", "necrosis", "tumour"), n
        ),
        "side": pick(rng, ("left", "right"), n),
        "zone": pick(rng, ("upper", "lower"), n),
        "mitoses": pick(rng, ("one", "two", "three"), n),
        "visibility_finding": grade(rng, n),
        "cells": pick(rng, ("few", "many"), n),
        "visibility_cells": grade(rng, n),
        "gland": pick(rng, ("no", "yes"), n),
        "visibility_gland": grade(rng, n),
        "_u": rng.random((n, 28)),
        "_nuclei": rng.random((n, _NUCLEI, 5)),
    }


def finish(raw: dict) -> dict:
    """Facts as they are told."""
    some = raw["finding"] != "none"
    return {
        "finding": raw["finding"],
        "side": np.where(some, raw["side"], "none"),
        "zone": np.where(some, raw["zone"], "none"),
        "mitoses": np.where(raw["finding"] == "mitosis", raw["mitoses"], "none"),
        "visibility_finding": np.where(some, raw["visibility_finding"], np.nan),
        "cells": raw["cells"],
        "visibility_cells": raw["visibility_cells"],
        "gland": raw["gland"],
        "visibility_gland": np.where(
            raw["gland"] == "yes", raw["visibility_gland"], np.nan
        ),
    }


def _stamp(canvas, cx, cy, rx, ry, turns, strength):
    """Lay nuclei of density ``strength`` on the padded canvas where it is above 0; densest wins."""
    on = np.flatnonzero(strength)
    (_, rows, columns), u, v = patch(cx[on], cy[on], _PATCH)
    where = (on[:, None, None], rows, columns)
    c, s = unit(turns[on])
    a = (u * col(c) + v * col(s)) / col(rx[on])
    b = (v * col(c) - u * col(s)) / col(ry[on])
    q = a * a + b * b
    cover = inside(q, 2.5) * (F(0.78) + F(0.3) * np.minimum(q, F(1)))
    canvas[where] = np.maximum(canvas[where], cover * col(strength[on]))


def render(raw: dict, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 64, 64, 3) and masks (n, 8, 8) of sampled fields of view."""
    n = len(raw["site"])
    u, w = raw["_u"], raw["_nuclei"]
    site = raw["site"]
    sign = np.where(raw["side"] == "left", -1.0, 1.0)
    rise = np.where(raw["zone"] == "upper", -1.0, 1.0)
    fx = sign * (0.46 + 0.10 * (u[:, 0] - 0.5))
    fy = rise * (0.46 + 0.10 * (u[:, 1] - 0.5))
    shown = raw["visibility_finding"]

    def has(kind, much=1.0):
        return np.where(raw["finding"] == kind, shown * much, 0.0)

    # stroma: wavy collagen fibres, and clefts where the section has torn
    wave = field(rng, n, 5)
    fine = field(rng, n, 21)
    c, s = unit(u[:, 2])
    across = (X * col(c) + Y * col(s)) * col(4.5 + 2.0 * u[:, 3]) + F(1.5) * wave
    fibres = np.abs(across - np.floor(across) - F(0.5)) * F(2)
    eosin = F(0.40) + F(0.22) * fibres + F(0.10) * fine
    cleft = soft((F(0.16) - fibres) * F(6)) * soft((wave - F(0.05)) * F(3))
    eosin = eosin * (F(1) - F(0.85) * cleft)

    # a gland: a ring of columnar cells around an empty lumen, opposite or beside the finding
    gx, gy = 0.30 * (2 * u[:, 4] - 1), 0.30 * (2 * u[:, 5] - 1)
    gr = 0.36 + 0.08 * u[:, 6]
    gland = np.where(raw["gland"] == "yes", raw["visibility_gland"], 0.0)
    ring = level(gx, gy, gr, gr * (0.8 + 0.3 * u[:, 7]), u[:, 8]) + F(0.10) * fine
    lumen = inside(ring * F(3.6), 3)
    epithelium = inside(ring, 4)
    eosin = eosin + col(gland) * epithelium * (F(0.62) - eosin)
    eosin = eosin + col(gland) * lumen * (F(0.03) - eosin)

    pad = _PATCH
    density = np.zeros((n, 64 + 2 * pad, 64 + 2 * pad), F)
    many = np.where(raw["cells"] == "many", 1.0, -1.0) * raw["visibility_cells"]
    amount = np.round(_NUCLEI * (0.55 + 0.36 * many)).astype(int)
    step = np.array([0.75487766624669, 0.56984029099805])
    for k in range(_NUCLEI):
        # a plastic-number sequence spreads the nuclei without clumps
        at = (u[:, 9:11] + (k + 1) * step + 0.10 * (w[:, k, :2] - 0.5)) % 1
        cx, cy = 64 * at[:, 0], 64 * at[:, 1]
        rx = 1.7 + 0.8 * w[:, k, 2]
        turns = u[:, 2] + 0.25 + 0.16 * (w[:, k, 4] - 0.5)
        strength = np.where(k < amount, 0.80 + 0.3 * w[:, k, 3], 0.0)
        _stamp(density, cx, cy, rx * 1.45, rx * 0.85, turns, strength)
    inner = density[:, pad:-pad, pad:-pad]
    inner *= F(1) - col(gland) * lumen
    # nuclei of the gland stand at the base of its cells
    rim = np.zeros_like(density)
    for k in range(11):
        c, s = unit(u[:, 11] + k / 11)
        cx = 32 + 32 * (gx + c * gr * 0.86)
        cy = 32 + 32 * (gy + s * gr * 0.86)
        _stamp(
            rim,
            cx,
            cy,
            np.full(n, 2.5),
            np.full(n, 1.9),
            u[:, 11] + k / 11,
            gland * 1.05,
        )
    np.maximum(density, rim, out=density)

    # tumour: crowded, large, uneven nuclei; inflammation: many small dark round ones
    grown = np.zeros_like(density)
    for k in range(9):
        c, s = unit(u[:, 12] + k * 0.381966)
        reach = 10.5 * (k / 9) ** 0.5
        cx, cy = 32 + 32 * fx + reach * c, 32 + 32 * fy + reach * s
        rx = 2.5 + 2.0 * w[:, k, 3]
        _stamp(
            grown,
            cx,
            cy,
            rx,
            rx * (0.6 + 0.4 * w[:, k, 4]),
            w[:, k, 2],
            has("tumour", 1.15),
        )
    for k in range(22):
        c, s = unit(u[:, 13] + k * 0.381966)
        reach = 11.5 * ((k + 0.5) / 22) ** 0.5
        cx, cy = 32 + 32 * fx + reach * c, 32 + 32 * fy + reach * s
        _stamp(
            grown,
            cx,
            cy,
            np.full(n, 1.45),
            np.full(n, 1.45),
            u[:, 13],
            has("inflammation", 1.5),
        )
    np.maximum(density, grown, out=density)

    # mitosis: a dark plate of chromatin, two short bars, in a cleared cell
    number = np.select([raw["mitoses"] == "one", raw["mitoses"] == "two"], [1, 2], 3)
    plate = np.zeros_like(density)
    halo = np.zeros((n, 64, 64), F)
    for k in range(3):
        dx = (-6.5, 6.0, 0.5)[k] + 2.5 * (u[:, 14 + k] - 0.5)
        dy = (-4.5, -3.5, 6.5)[k] + 2.5 * (u[:, 17 + k] - 0.5)
        cx, cy = 32 + 32 * fx + dx, 32 + 32 * fy + dy
        power = has("mitosis", 2.2) * (k < number)
        c, s = unit(u[:, 20 + k])
        for side in (-1, 1):
            ox, oy = side * -s * 1.3, side * c * 1.3
            _stamp(
                plate,
                cx + ox,
                cy + oy,
                np.full(n, 2.7),
                np.full(n, 0.95),
                u[:, 20 + k],
                power,
            )
        clear = inside(level(cx / 32 - 1, cy / 32 - 1, 0.15, 0.15), 3) * col(k < number)
        halo = np.maximum(halo, clear)
    clearing = col(has("mitosis", 0.9)) * halo
    inner = density[:, pad:-pad, pad:-pad] * (F(1) - clearing)
    inner = np.maximum(inner, plate[:, pad:-pad, pad:-pad])
    eosin = eosin * (F(1) - F(0.45) * clearing)

    # necrosis: nuclei gone, smudged bright pink ghosts and debris
    area = inside(level(fx, fy, 0.42, 0.38, u[:, 23]) + F(0.35) * wave, 2.5)
    dead = col(has("necrosis")) * area
    inner = inner * (F(1) - F(0.93) * dead)
    eosin = eosin + dead * (F(0.74) + F(0.16) * fine - eosin)
    inner = inner + dead * F(0.35) * soft((fine - F(0.55)) * F(6))

    h = inner * F(1.35) + F(0.06) + F(0.03) * fine
    amount_h = per_site(_ACQUISITION, site, "h") * col(0.9 + 0.2 * u[:, 24])
    amount_e = per_site(_ACQUISITION, site, "e") * col(0.85 + 0.3 * u[:, 25])
    smear = per_site(_ACQUISITION, site, "blur")
    h = h + smear * (blur(h) - h)
    eosin = eosin + smear * (blur(eosin) - eosin)
    shift = per_site(_ACQUISITION, site, "shift") + col(0.3 * (u[:, 26] - 0.5))
    grain = per_site(_ACQUISITION, site, "noise")
    warm = per_site(_ACQUISITION, site, "warm")
    image = np.empty((n, 64, 64, 3), F)
    for channel in range(3):
        od = (
            amount_h
            * h
            * (F(_HAEMATOXYLIN[channel] * 1.25) + shift * F(0.3 * _VIOLET[channel]))
        )
        od = od + amount_e * eosin * (
            F(_EOSIN[channel] * 0.62) + shift * F(0.5 * _VIOLET[channel])
        )
        np.maximum(od, F(0), out=od)
        tint = F(0.965) + warm * F((1, 0, -1)[channel])
        image[..., channel] = decay(od * F(1.1)) * tint + grain * noise(rng, n)

    mask = area * col(raw["finding"] == "necrosis") + halo * col(
        raw["finding"] == "mitosis"
    )
    lump = bump(level(fx, fy, 0.24, 0.24)) * F(1.3)
    mask = mask + lump * col(
        (raw["finding"] == "tumour") | (raw["finding"] == "inflammation")
    )
    return byte(image), cells(mask)
