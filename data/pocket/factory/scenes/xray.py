"""Frontal chest radiograph: Beer-Lambert projection with scatter and quantum noise.

A plane holds the line integral of attenuation through soft tissue, air, bone and findings. The
detector receives I = (1 - s) exp(-L) + s, with scatter fraction s; the film or display shows
-log I, bright where little arrives. Photon counts are Poisson, so that the noise of -log I goes
with 1/sqrt(I): dense regions are noisier.

J. T. Bushberg et al., The Essential Physics of Medical Imaging, 3rd ed., Lippincott 2012, ch. 7.
"""

import numpy as np

from ._canvas import (
    F,
    X,
    Y,
    bump,
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

SITES = ("digital", "film", "portable")
TRAIN_SITES = ("digital", "film")
_ACQUISITION = {
    "digital": {
        "scatter": 0.06,
        "dose": 900.0,
        "gain": 1.00,
        "curve": 0.0,
        "tilt": 0.010,
    },
    "film": {"scatter": 0.10, "dose": 420.0, "gain": 1.10, "curve": 0.6, "tilt": 0.015},
    "portable": {
        "scatter": 0.20,
        "dose": 200.0,
        "gain": 1.05,
        "curve": 0.1,
        "tilt": 0.035,
    },
}
ATTRIBUTES = {
    "finding": ("none", "opacity", "nodule", "effusion", "collapse"),
    "side": ("none", "left", "right"),
    "zone": ("none", "upper", "middle", "lower"),
    "nodules": ("none", "one", "two", "three"),
    "heart": ("normal", "large"),
    "pacemaker": ("no", "yes"),
}


def sample(n: int, rng: np.random.Generator, sites: np.ndarray) -> dict:
    """Facts and anatomy of ``n`` chests, before anything is drawn."""
    return {
        "site": sites,
        "finding": pick(
            rng, ("none", "none", "opacity", "nodule", "effusion", "collapse"), n
        ),
        "side": pick(rng, ("left", "right"), n),
        "zone": pick(rng, ("upper", "middle", "lower"), n),
        "nodules": pick(rng, ("one", "two", "three"), n),
        "visibility_finding": grade(rng, n),
        "heart": pick(rng, ("normal", "large"), n),
        "visibility_heart": grade(rng, n),
        "pacemaker": pick(rng, ("no", "yes"), n),
        "visibility_pacemaker": grade(rng, n),
        "_u": rng.random((n, 24)),
    }


def finish(raw: dict) -> dict:
    """Facts as they are told: a side only where there is a finding, and so on."""
    some = raw["finding"] != "none"
    placed = (raw["finding"] == "opacity") | (raw["finding"] == "nodule")
    return {
        "finding": raw["finding"],
        "side": np.where(some, raw["side"], "none"),
        "zone": np.where(placed, raw["zone"], "none"),
        "nodules": np.where(raw["finding"] == "nodule", raw["nodules"], "none"),
        "visibility_finding": np.where(some, raw["visibility_finding"], np.nan),
        "heart": raw["heart"],
        "visibility_heart": raw["visibility_heart"],
        "pacemaker": raw["pacemaker"],
        "visibility_pacemaker": np.where(
            raw["pacemaker"] == "yes", raw["visibility_pacemaker"], np.nan
        ),
    }


def render(raw: dict, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 64, 64, 3) and masks (n, 8, 8) of sampled chests."""
    n = len(raw["site"])
    u = raw["_u"]
    site = raw["site"]
    sign = np.where(raw["side"] == "left", -1.0, 1.0)
    shown = raw["visibility_finding"]

    def has(kind):
        return np.where(raw["finding"] == kind, shown, 0.0)

    x = X + col(2 * u[:, 0] - 1) * per_site(_ACQUISITION, site, "tilt") * Y * F(3)
    wide = col(0.92 + 0.16 * u[:, 1])
    ax = np.abs(x) / wide

    body = soft((F(0.97) - ax + np.minimum(Y + F(0.62), F(0)) * F(1.1)) * F(7))
    body *= F(1.0) - F(0.25) * ax * ax

    # lungs: two tall domes cut off by the diaphragm, the image's left one pushed up by the liver
    dome = np.minimum(np.abs(ax - F(0.44)) * F(2.2), F(1))
    floor = col(0.50 + 0.12 * u[:, 2]) - np.where(x < 0, F(0.07), F(0.0))
    floor = floor + dome * dome * F(0.30)
    lx = (ax - F(0.44)) / (F(0.345) + F(0.05) * Y)
    ly = (Y - F(0.12)) / F(0.92)
    lung = inside(lx * lx + ly * ly, 5.0) * soft((floor - Y) * F(9) + F(0.5))

    size = np.where(raw["heart"] == "large", 1.0, -1.0) * raw["visibility_heart"]
    hr = 0.335 + 0.085 * size + 0.02 * (u[:, 3] - 0.5)
    hx = 0.11 + 0.25 * (hr - 0.3)
    heart = inside(
        level(hx, 0.30 + 0.04 * u[:, 4], hr, 0.27 + 0.3 * (hr - 0.3), 0.06), 4
    )
    middle = soft(
        (F(0.17) - np.abs(x) + bump(level(0.1, -0.32, 0.1, 0.1)) * F(0.10)) * F(12)
    )
    airway = soft((F(0.045) - np.abs(x + F(0.01))) * F(40)) * soft(
        (F(-0.28) - Y) * F(8)
    )

    # ribs: posterior arches fall to the side, anterior ones rise; both are periodic in height
    def ribs(height, period, width):
        phase = height / period
        phase = np.abs(phase - np.floor(phase) - F(0.5)) * F(2)
        return soft((phase - F(1) + F(width)) * F(5))

    shift = col(u[:, 5] * 0.2)
    back = ribs(Y - F(0.55) * ax * (F(1.25) - ax) * F(1.3) + shift, F(0.245), 0.42)
    front = ribs(
        Y + F(0.62) * (ax - F(0.2)) * (ax - F(0.2)) - F(0.5) * ax + shift, F(0.29), 0.34
    )
    cage = (
        soft((F(0.93) - ax) * F(14))
        * soft((ax - F(0.10)) * F(10))
        * soft((F(0.78) - Y) * F(4))
    )
    cage = cage * soft((Y + F(0.92) - F(0.5) * ax * ax) * F(8))
    bone = (back * F(0.62) + front * F(0.34)) * cage
    slope = Y + F(0.60) + F(0.20) * (ax - F(0.1))
    clavicle = soft((F(0.055) - np.abs(slope)) * F(30)) * soft((F(0.85) - ax) * F(9))
    clavicle = clavicle * soft((ax - F(0.1)) * F(12))
    spine = soft((F(0.085) - np.abs(x)) * F(25))
    discs = Y * F(7.5) + shift * F(9)
    discs = np.abs(discs - np.floor(discs) - F(0.5))
    spine = spine * (F(0.75) + F(0.5) * discs)

    # vessels fan out of the hila: texture that fades to the side
    hilum = bump(level(0.2, 0.0, 0.13, 0.2))
    hilum += bump(level(-0.2, 0.02, 0.13, 0.2))
    marks = field(rng, n, 18) + field(rng, n, 9)
    marks *= F(0.09) * (F(1.25) - ax) * lung

    # findings
    zone_y = np.select(
        [raw["zone"] == "upper", raw["zone"] == "middle"], [-0.42, 0.0], 0.36
    )
    fx = sign * (0.42 + 0.16 * (u[:, 6] - 0.5)) * wide[:, 0, 0]
    fy = zone_y + 0.14 * (u[:, 7] - 0.5)
    rough = field(rng, n, 12)
    cloud = bump(level(fx, fy, 0.13 + 0.05 * u[:, 8], 0.12 + 0.04 * u[:, 9], u[:, 10]))
    cloud = cloud * (F(1) + F(0.45) * rough)
    number = np.select([raw["nodules"] == "one", raw["nodules"] == "two"], [1, 2], 3)
    spots = np.zeros((n, 64, 64), F)
    for k in range(3):
        dx = (0.0, 0.16, -0.14)[k] + 0.04 * (u[:, 11 + k] - 0.5)
        dy = (0.0, -0.20, -0.17)[k] * np.where(fy > -0.2, 1, -1) + 0.06 * (
            u[:, 14 + k] - 0.5
        )
        r = 0.055 + 0.02 * u[:, 17 + k]
        spots = np.maximum(
            spots, inside(level(fx + dx, fy + dy, r, r), 3) * col(k < number)
        )
    mirrored = x * col(sign)
    lateral = np.maximum(mirrored, F(0)) / wide
    top = F(0.42) - F(0.75) * lateral * lateral + col(0.12 * (u[:, 20] - 0.5))
    fluid = (
        soft((Y - top) * F(6))
        * soft(mirrored * F(12) - F(1))
        * inside(lx * lx + ly * ly, 5)
    )
    edge = F(0.62) + col(0.08 * u[:, 21]) - F(0.32) * (Y + F(0.35)) * (Y + F(0.35))
    free = (
        soft((lateral - edge) * F(16))
        * soft((F(0.25) - Y) * F(6))
        * lung
        * (mirrored > 0)
    )
    pleura = (
        soft(F(1) - np.abs(lateral - edge) * F(34))
        * soft((F(0.2) - Y) * F(6))
        * lung
        * (mirrored > 0)
    )

    case = soft(
        (F(0.11) - np.abs(x * col(np.where(u[:, 22] < 0.5, -1, 1)) - F(0.52))) * F(30)
    )
    case = case * soft((F(0.085) - np.abs(Y + F(0.42))) * F(30))
    tip = Y * F(0.25) + F(0.27)
    lead = soft(
        F(1)
        - np.abs(x * col(np.where(u[:, 22] < 0.5, -1, 1)) - tip + Y * F(0.3)) * F(26)
    )
    lead = lead * soft((Y + F(0.42)) * F(20)) * soft((F(0.34) - Y) * F(20))

    air = lung * (F(1) - F(0.92) * heart) * (F(1) - F(0.7) * middle)
    thick = F(1.55) * body - F(1.15) * air + F(0.34) * heart + F(0.34) * middle
    thick += F(0.55) * bone * body + F(0.5) * clavicle * body + F(0.42) * spine * body
    thick -= F(0.28) * airway
    thick += F(0.26) * hilum * air + marks * F(1.3)
    thick += col(has("opacity") * 1.0) * cloud * air
    thick += col(has("nodule") * 0.85) * spots * air
    thick += col(has("effusion") * 1.1) * fluid
    thick -= col(has("collapse") * 0.42) * free
    thick += col(has("collapse") * 0.35) * pleura
    paced = np.where(raw["pacemaker"] == "yes", raw["visibility_pacemaker"], 0.0)
    thick += col(paced * 1.7) * np.maximum(case, lead * F(0.7))
    np.maximum(thick, F(0), out=thick)

    scatter = per_site(_ACQUISITION, site, "scatter") * col(0.8 + 0.4 * u[:, 23])
    flux = (F(1) - scatter) * decay(thick * F(1.4)) + scatter * F(0.45)
    count = per_site(_ACQUISITION, site, "dose") * flux
    grain = noise(rng, n) / np.sqrt(count)
    shade = (log2(flux) * F(-0.6931)) + grain
    curve = per_site(_ACQUISITION, site, "curve")
    tone = shade * per_site(_ACQUISITION, site, "gain") * F(0.37) + F(0.02)
    tone = np.clip(tone, F(0), F(1))
    tone = tone + curve * (tone * tone * (F(3) - F(2) * tone) - tone)

    mask = cloud * col(raw["finding"] == "opacity") + spots * col(
        raw["finding"] == "nodule"
    )
    mask += fluid * col(raw["finding"] == "effusion") + free * col(
        raw["finding"] == "collapse"
    )
    return grey(tone), cells(mask)
