"""Colour fundus photograph: light that crosses pigment and blood on its way in and out.

Reflectance per channel falls with the optical density of melanin and of haemoglobin, both far
denser for green and blue than for red: the ground is orange, vessels and haemorrhages are dark
red, and what hides the pigment (optic disc, exudate, scar) is pale. Illumination falls off
towards the rim of the aperture; the lens yellows with age and scatters.

F. C. Delori and K. P. Pflibsen, Spectral reflectance of the human ocular fundus, Appl. Opt. 28
(1989) 1061-1077, doi:10.1364/AO.28.001061.
"""

import numpy as np

from ._canvas import (
    F,
    X,
    Y,
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
    per_site,
    pick,
    soft,
    unit,
)

SITES = ("tabletop", "widefield", "phone")
TRAIN_SITES = ("tabletop", "widefield")
_ACQUISITION = {
    "tabletop": {
        "gain": 1.00,
        "fall": 0.30,
        "haze": 0.02,
        "noise": 0.016,
        "pigment": 1.0,
        "disc": 0.94,
    },
    "widefield": {
        "gain": 0.92,
        "fall": 0.15,
        "haze": 0.05,
        "noise": 0.026,
        "pigment": 0.72,
        "disc": 1.0,
    },
    "phone": {
        "gain": 0.98,
        "fall": 0.62,
        "haze": 0.14,
        "noise": 0.050,
        "pigment": 1.35,
        "disc": 0.80,
    },
}
_LIGHT = (1.00, 0.86, 0.66)
_MELANIN = (0.14, 0.62, 1.10)
_BLOOD = (0.32, 1.75, 1.50)
ATTRIBUTES = {
    "disc": ("left", "right"),
    "finding": ("none", "haemorrhage", "exudate", "scar", "drusen"),
    "side": ("none", "left", "right"),
    "zone": ("none", "upper", "lower"),
    "spots": ("none", "one", "two", "three"),
    "cup": ("normal", "large"),
}


def sample(n: int, rng: np.random.Generator, sites: np.ndarray) -> dict:
    """Facts and anatomy of ``n`` eyes, before anything is drawn."""
    return {
        "site": sites,
        "disc": pick(rng, ("left", "right"), n),
        "finding": pick(
            rng, ("none", "none", "haemorrhage", "exudate", "scar", "drusen"), n
        ),
        "side": pick(rng, ("left", "right"), n),
        "zone": pick(rng, ("upper", "lower"), n),
        "spots": pick(rng, ("one", "two", "three"), n),
        "visibility_finding": grade(rng, n),
        "cup": pick(rng, ("normal", "large"), n),
        "visibility_cup": grade(rng, n),
        "_u": rng.random((n, 32)),
    }


def finish(raw: dict) -> dict:
    """Facts as they are told; drusen lie about the macula and have no side."""
    placed = (raw["finding"] != "none") & (raw["finding"] != "drusen")
    spotted = (raw["finding"] == "haemorrhage") | (raw["finding"] == "exudate")
    return {
        "disc": raw["disc"],
        "finding": raw["finding"],
        "side": np.where(placed, raw["side"], "none"),
        "zone": np.where(placed, raw["zone"], "none"),
        "spots": np.where(spotted, raw["spots"], "none"),
        "visibility_finding": np.where(
            raw["finding"] != "none", raw["visibility_finding"], np.nan
        ),
        "cup": raw["cup"],
        "visibility_cup": raw["visibility_cup"],
    }


def render(raw: dict, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 64, 64, 3) and masks (n, 8, 8) of sampled eyes."""
    n = len(raw["site"])
    u = raw["_u"]
    site = raw["site"]
    mirror = np.where(raw["disc"] == "left", 1.0, -1.0)
    aperture = level(
        0.0, 0.0, *(2 * (np.array([_ACQUISITION[s]["disc"] for s in site]),))
    )
    cloud = field(rng, n, 7)
    fine = field(rng, n, 23)

    # coordinates with the disc on the left
    x = X * col(mirror)
    dx, dy = -0.50 + 0.06 * (u[:, 0] - 0.5), 0.06 * (u[:, 1] - 0.5)
    px = x - col(dx)
    macula = level(0.16 * mirror, dy + 0.07, 0.20, 0.20)
    melanin = (
        F(0.72) + F(0.16) * cloud + F(0.05) * fine + F(0.50) * bump(macula * F(2.2))
    )
    melanin = (
        melanin * per_site(_ACQUISITION, site, "pigment") * col(0.85 + 0.3 * u[:, 2])
    )
    # choroidal vessels shimmer through
    blood = F(0.10) + F(0.07) * soft(F(1) - np.abs(field(rng, n, 11)) * F(3))

    # arcades: parabolas that leave the disc up and down, bend round the macula and branch
    vessels = np.zeros((n, 64, 64), F)
    run = np.maximum(px, F(0))
    reach = soft((F(1.35) - px) * F(2.5)) * soft((px + F(0.04)) * F(30))
    for k, (bend, fade, thick) in enumerate(((0.58, 1.0, 0.034), (0.50, 0.66, 0.022))):
        for sign in (-1, 1):
            wobble = F(0.035) * cloud
            arc = col(bend + 0.10 * (u[:, 3 + 2 * k + (sign > 0)] - 0.5)) * np.sqrt(
                run + F(0.0004)
            )
            arc = arc * (F(1.05) - F(0.28) * run * run * F(0.6))
            gap = np.abs(Y * F(sign) - col(sign * dy) - arc * F(1 + 0.12 * k) + wobble)
            width = F(thick) * (F(1.15) - F(0.5) * np.minimum(run, F(1.2)))
            vessels = np.maximum(
                vessels, soft(F(1.15) - gap / width * F(0.75)) * reach * F(fade)
            )
    back = np.maximum(-px, F(0))
    for sign in (-1, 1):
        gap = np.abs(
            Y * F(sign)
            - col(sign * dy)
            - F(0.85) * np.sqrt(back + F(0.0004))
            + F(0.03) * cloud
        )
        vessels = np.maximum(vessels, soft(F(1.1) - gap * F(30)) * (px < 0) * F(0.8))
        # branches leave the arcade outwards and towards the macula
        for start, slope, fade in (
            (0.35, 0.95, 0.7),
            (0.62, -0.85, 0.55),
            (0.80, 0.70, 0.6),
        ):
            bx = px - F(start) - col(0.10 * (u[:, 7] - 0.5))
            from_y = 0.56 * start**0.5
            gap = np.abs(
                Y * F(sign)
                - col(sign * dy)
                - F(from_y)
                - F(slope) * bx * F(0.8)
                + F(0.05) * cloud
            )
            limit = soft(bx * F(20) + F(0.5)) * soft((F(0.42) - bx) * F(6))
            vessels = np.maximum(vessels, soft(F(1.05) - gap * F(44)) * limit * F(fade))
    blood = blood + F(0.62) * vessels

    disc = inside(level(dx * mirror, dy, 0.135, 0.155), 4)
    wide = np.where(raw["cup"] == "large", 1.0, -1.0) * raw["visibility_cup"]
    rc = 0.072 + 0.032 * wide
    cup = inside(level(dx * mirror, dy, rc, rc * 1.1), 3)

    sign = np.where(raw["side"] == "left", -1.0, 1.0)
    rise = np.where(raw["zone"] == "upper", -1.0, 1.0)
    fx = sign * (0.36 + 0.12 * (u[:, 8] - 0.5))
    fy = rise * (0.40 + 0.12 * (u[:, 9] - 0.5))
    shown = raw["visibility_finding"]

    def has(kind, much=1.0):
        return col(np.where(raw["finding"] == kind, shown * much, 0.0))

    number = np.select([raw["spots"] == "one", raw["spots"] == "two"], [1, 2], 3)
    blots = np.zeros((n, 64, 64), F)
    flecks = np.zeros((n, 64, 64), F)
    for k in range(3):
        ox = (-0.13, 0.13, 0.01)[k] + 0.06 * (u[:, 10 + k] - 0.5)
        oy = (-0.08, -0.07, 0.14)[k] + 0.06 * (u[:, 13 + k] - 0.5)
        r = 0.050 + 0.025 * u[:, 16 + k]
        there = col(k < number)
        spot = level(fx + ox, fy + oy, r * 1.2, r, u[:, 19 + k])
        blots = np.maximum(blots, inside(spot * (F(1) + F(0.4) * fine), 3) * there)
        flecks = np.maximum(
            flecks, inside(spot * F(1.7) * (F(1) + F(0.5) * fine), 4) * there
        )
    blood = blood + has("haemorrhage", 0.85) * blots
    patch_ = (
        level(fx, fy, 0.15 + 0.05 * u[:, 22], 0.13 + 0.05 * u[:, 23], u[:, 24])
        + F(0.25) * cloud
    )
    scar = inside(patch_, 4)
    border = inside(patch_ * F(0.66), 4) * (F(1) - scar)
    melanin = melanin + has("scar", 1.1) * border

    # drusen: small pale deposits on a ring of the golden angle about the macula
    deposits = np.zeros((n, 64, 64), F)
    for k in range(8):
        c, s = unit(u[:, 25] + k * 0.381966)
        far = 0.07 + 0.035 * (k % 4)
        r = 0.026 + 0.014 * u[:, 26]
        deposits = np.maximum(
            deposits,
            inside(level(0.16 * mirror + far * c, dy + 0.07 + far * s, r, r), 2),
        )

    rho = np.sqrt(aperture)
    light = F(1) - per_site(_ACQUISITION, site, "fall") * aperture
    light = light * (F(1) + F(0.10) * col(2 * u[:, 27] - 1) * X)
    stop = soft((F(1) - rho) * F(22) + F(0.5))
    gain = per_site(_ACQUISITION, site, "gain") * col(0.92 + 0.16 * u[:, 28])
    haze = per_site(_ACQUISITION, site, "haze") * col(0.6 + 0.8 * u[:, 29])
    grain = per_site(_ACQUISITION, site, "noise")
    pale = {
        "disc": (1.02, 0.83, 0.55),
        "cup": (1.06, 0.98, 0.84),
        "exudate": (1.02, 0.92, 0.50),
        "scar": (0.98, 0.92, 0.78),
        "drusen": (0.98, 0.76, 0.36),
    }
    through = F(1) - F(0.75) * vessels
    image = np.empty((n, 64, 64, 3), F)
    for channel in range(3):
        od = melanin * F(_MELANIN[channel]) + blood * F(_BLOOD[channel])
        value = decay(od) * F(_LIGHT[channel])
        for cover, name in (
            (disc * through, "disc"),
            (cup * through, "cup"),
            (has("exudate", 0.95) * flecks, "exudate"),
            (has("scar", 0.85) * scar, "scar"),
            (has("drusen", 0.75) * deposits, "drusen"),
        ):
            value = value + cover * (F(pale[name][channel]) - value)
        value = value * light * gain
        value = value + haze * (F((0.55, 0.50, 0.42)[channel]) - value)
        image[..., channel] = value * stop * F(0.92) + grain * noise(rng, n) * (
            stop + F(0.2)
        )

    spotted = flecks * col(raw["finding"] == "exudate") + blots * col(
        raw["finding"] == "haemorrhage"
    )
    mask = (
        spotted
        + scar * col(raw["finding"] == "scar")
        + deposits * col(raw["finding"] == "drusen")
    )
    return byte(image), cells(mask)
