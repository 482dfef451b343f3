"""Coloured shapes on a patterned ground, under haze: the general world.

Up to five shapes of different colours lie on a 3 x 3 grid. Haze follows Koschmieder's law: what
the eye gets of an object is ``t J + (1 - t) A``, with transmission t (here the visibility) and
airlight A (here the ground itself), so that contrast fades linearly to nothing.

S. G. Narasimhan and S. K. Nayar, Vision and the Atmosphere, Int. J. Comput. Vis. 48 (2002)
233-254, doi:10.1023/A:1016328200723.
"""

import numpy as np

from ._canvas import (
    F,
    X,
    Y,
    byte,
    cells,
    col,
    field,
    grade,
    noise,
    patch,
    per_site,
    pick,
    unit,
)

SITES = ("paper", "screen", "photo")
TRAIN_SITES = SITES
_ACQUISITION = {
    "paper": {"noise": 0.035, "ground": 0.86, "texture": 0.04, "cast": 0.03},
    "screen": {"noise": 0.020, "ground": 0.16, "texture": 0.02, "cast": -0.03},
    "photo": {"noise": 0.065, "ground": 0.55, "texture": 0.16, "cast": 0.06},
}
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange")
SHAPES = ("circle", "square", "triangle", "ring", "cross")
PLACES = tuple(
    "middle" if (c, r) == ("middle", "middle") else f"{c} {r}"
    for r in ("upper", "middle", "lower")
    for c in ("left", "middle", "right")
)
PATTERNS = ("plain", "stripes", "dots", "checks")
_RGB = np.array(
    [
        (0.86, 0.16, 0.15),
        (0.13, 0.62, 0.22),
        (0.16, 0.34, 0.86),
        (0.93, 0.83, 0.16),
        (0.56, 0.22, 0.68),
        (0.96, 0.53, 0.10),
    ],
    F,
)
_COUNTS = ("one", "two", "three", "four", "five")
_MOST = len(_COUNTS)
ATTRIBUTES = {
    "count": _COUNTS,
    "pattern": PATTERNS,
    "largest": COLOURS,
    **{f"{c}_shape": ("none", *SHAPES) for c in COLOURS},
    **{f"{c}_place": ("none", *PLACES) for c in COLOURS},
}


def sample(n: int, rng: np.random.Generator, sites: np.ndarray) -> dict:
    """Facts and layout of ``n`` drawings, before anything is drawn."""
    order = np.argsort(rng.random((n, len(COLOURS))), axis=1, kind="stable")
    spots = np.argsort(rng.random((n, len(PLACES))), axis=1, kind="stable")[:, :_MOST]
    count = 1 + rng.integers(0, _MOST, n)
    return {
        "site": sites,
        "count": np.array(_COUNTS, object)[count - 1],
        "pattern": pick(rng, PATTERNS, n),
        "visibility_pattern": grade(rng, n),
        "visibility_scene": grade(rng, n),
        "_colour": order[:, :_MOST],
        "_place": spots,
        "_shape": rng.integers(0, len(SHAPES), (n, _MOST)),
        "_u": rng.random((n, 8)),
        "_v": rng.random((n, _MOST, 4)),
    }


def finish(raw: dict) -> dict:
    """Facts as they are told: one shape and one place per colour, ``none`` where it is absent."""
    n = len(raw["site"])
    rows = np.arange(n)
    count = np.array([_COUNTS.index(c) + 1 for c in raw["count"]])
    shape = np.full((n, len(COLOURS)), "none", object)
    place = shape.copy()
    for k in range(_MOST):
        here = rows[k < count]
        shape[here, raw["_colour"][here, k]] = np.array(SHAPES, object)[
            raw["_shape"][here, k]
        ]
        place[here, raw["_colour"][here, k]] = np.array(PLACES, object)[
            raw["_place"][here, k]
        ]
    told = {
        "count": raw["count"],
        "pattern": raw["pattern"],
        "largest": np.array(COLOURS, object)[raw["_colour"][:, 0]],
    }
    told |= {f"{c}_shape": shape[:, k] for k, c in enumerate(COLOURS)}
    told |= {f"{c}_place": place[:, k] for k, c in enumerate(COLOURS)}
    told["visibility_scene"] = raw["visibility_scene"]
    told["visibility_pattern"] = np.where(
        raw["pattern"] == "plain", np.nan, raw["visibility_pattern"]
    )
    return told


def _cover(
    kind: np.ndarray, u: np.ndarray, v: np.ndarray, radius: np.ndarray
) -> np.ndarray:
    """Coverage of shape ``kind`` at local pixels (u, v); edges one pixel wide."""
    r = np.sqrt(u * u + v * v)
    au, av = np.abs(u), np.abs(v)
    circle = radius - r
    square = radius * F(0.86) - np.maximum(au, av)
    triangle = radius * F(0.56) - np.maximum(v, au * F(0.866) - v * F(0.5))
    ring = radius * F(0.22) - np.abs(r - radius * F(0.78))
    cross = np.minimum(
        radius - np.maximum(au, av), radius * F(0.3) - np.minimum(au, av)
    )
    distance = np.select(
        [kind == 0, kind == 1, kind == 2, kind == 3],
        [circle, square, triangle, ring],
        cross,
    )
    return np.clip(distance + F(0.5), F(0), F(1)).astype(F)


def render(raw: dict, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 64, 64, 3) and masks (n, 8, 8) of sampled drawings."""
    n = len(raw["site"])
    u, w = raw["_u"], raw["_v"]
    site = raw["site"]
    base = per_site(_ACQUISITION, site, "ground") + col(0.12 * (u[:, 0] - 0.5))
    tilt = col(0.12 * (u[:, 1] - 0.5)) * X + col(0.12 * (u[:, 2] - 0.5)) * Y
    plane = base + tilt + per_site(_ACQUISITION, site, "texture") * field(rng, n, 10)

    c, s = unit(u[:, 3])
    along = (X * col(c) + Y * col(s)) * col(3.2 + 1.2 * u[:, 4]) + col(u[:, 5])
    across = (Y * col(c) - X * col(s)) * col(3.2 + 1.2 * u[:, 4]) + col(u[:, 6])
    along = np.abs(along - np.floor(along) - F(0.5)) * F(4) - F(1)
    across = np.abs(across - np.floor(across) - F(0.5)) * F(4) - F(1)
    kind = col([PATTERNS.index(p) for p in raw["pattern"]])
    dots = F(2.2) - F(2.2) * np.sqrt((F(1) + along) ** 2 + (F(1) + across) ** 2)
    pattern = np.select(
        [kind == 1, kind == 2, kind == 3],
        [along * F(2), np.maximum(dots, F(-1)) + F(0.4), along * across * F(4)],
        F(0),
    )
    pattern = np.clip(pattern, F(-1), F(1)).astype(F)
    plane += pattern * col(0.11 * raw["visibility_pattern"])

    pad = 25
    size = 64 + 2 * pad
    canvas = np.zeros((n, size, size, 3), F)
    cast = per_site(_ACQUISITION, site, "cast")
    inner = canvas[:, pad:-pad, pad:-pad]
    inner[..., 0] = plane + cast
    inner[..., 1] = plane
    inner[..., 2] = plane - cast
    mask = np.zeros((n, size, size), F)
    count = np.array([_COUNTS.index(k) + 1 for k in raw["count"]])
    for k in range(_MOST):
        place = raw["_place"][:, k]
        cx = 32 + 19.5 * (place % 3 - 1) + 5 * (w[:, k, 0] - 0.5)
        cy = 32 + 19.5 * (place // 3 - 1) + 5 * (w[:, k, 1] - 0.5)
        radius = 9.2 + 1.6 * w[:, k, 2] if k == 0 else 5.0 + 2.0 * w[:, k, 2]
        where, du, dv = patch(cx, cy, pad)
        turn = np.where(raw["_shape"][:, k] == 2, 0.0, 0.12 * (w[:, k, 3] - 0.5))
        c, s = unit(turn)
        cover = _cover(
            raw["_shape"][:, k][:, None, None],
            du * col(c) + dv * col(s),
            dv * col(c) - du * col(s),
            col(radius),
        )
        cover *= col(k < count)
        paint = _RGB[raw["_colour"][:, k]][:, None, None, :]
        ground = canvas[where]
        ground += (cover * col(raw["visibility_scene"]))[..., None] * (paint - ground)
        canvas[where] = ground
        mask[where] = np.maximum(mask[where], cover)
    image = canvas[:, pad:-pad, pad:-pad].copy()
    image += (per_site(_ACQUISITION, site, "noise") * noise(rng, n))[..., None]
    return byte(image), cells(mask[:, pad:-pad, pad:-pad])
