"""Drawing tools that give the same bytes on every machine.

Only operations that IEEE 754 rounds exactly are used on pixels (``+ - * /``, square root,
comparison): ``exp``, ``log``, ``cos`` and matrix products come out differently with other vector
units. Where physics asks for them, the functions below build them from exact ones.

Planes are float32 of shape (n, 64, 64); ``X`` and ``Y`` run from -1 (left, top) to 1.
"""

from collections.abc import Mapping, Sequence

import numpy as np

IMAGE_SIZE = 64
CELLS = 8
#: Images drawn at a time: planes of a chunk stay in the cache. Part of what fixes the bytes.
CHUNK = 64
#: Visibility written for what is absent: the mean of :func:`grade`, since nobody can see how
#: visible a thing that is not there would have been.
ABSENT_VISIBILITY = 0.5

F = np.float32
_AXIS = ((np.arange(IMAGE_SIZE) + 0.5) / (IMAGE_SIZE / 2) - 1).astype(F)
X = _AXIS[None, None, :]
Y = _AXIS[None, :, None]


def col(values) -> np.ndarray:
    """One number per image as float32 of shape (n, 1, 1), ready to meet planes; scalars stay."""
    out = np.asarray(values, F)
    return out[:, None, None] if out.ndim else out


def between(rng: np.random.Generator, low: float, high: float, n: int) -> np.ndarray:
    """``n`` uniform numbers between ``low`` and ``high``."""
    return low + (high - low) * rng.random(n)


def pick(rng: np.random.Generator, values: Sequence, n: int) -> np.ndarray:
    """``n`` values drawn with equal chance, as an object array."""
    return np.array(values, dtype=object)[rng.integers(0, len(values), n)]


def grade(rng: np.random.Generator, n: int) -> np.ndarray:
    """Visibilities: one in eight is 0 (invisible), the rest uniform between 0.15 and 1."""
    u = rng.random(n)
    return np.round(np.where(rng.random(n) < 0.125, 0.0, 0.15 + 0.85 * u), 3)


def per_site(table: Mapping[str, Mapping[str, float]], sites, name: str) -> np.ndarray:
    """The parameter ``name`` of each image's acquisition site, float32 of shape (n, 1, 1)."""
    return col([table[site][name] for site in sites])


def noise(rng: np.random.Generator, n: int) -> np.ndarray:
    """White noise planes, mean 0 and standard deviation 1 (Irwin-Hall sum of four bytes)."""
    raw = np.frombuffer(rng.bytes(4 * n * IMAGE_SIZE**2), np.uint8)
    raw = raw.reshape(4, n, IMAGE_SIZE, IMAGE_SIZE)
    total = raw[0].astype(np.uint16)
    for plane in raw[1:]:
        total += plane
    out = total.astype(F)
    out -= F(510)
    out *= F(1 / 147.7994)
    return out


def field(rng: np.random.Generator, n: int, knots: int) -> np.ndarray:
    """A smooth random field in [-1, 1]: bilinear between ``knots`` x ``knots`` uniform values."""
    grid = (2 * rng.random((n, knots, knots)) - 1).astype(F)
    at = (np.arange(IMAGE_SIZE) + 0.5) / IMAGE_SIZE * (knots - 1)
    low = np.floor(at).astype(int)
    part = (at - low).astype(F)
    part = part * part * (3 - 2 * part)
    rows = grid[:, low] + (grid[:, low + 1] - grid[:, low]) * part[None, :, None]
    left = rows[:, :, low]
    right = rows[:, :, low + 1]
    right -= left
    right *= part
    right += left
    return right


def unit(turns) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine of an angle in turns, by Taylor polynomials (error below 1e-6)."""
    y = 2 * np.pi * (np.asarray(turns, float) % 1 - 0.5)
    square = y * y
    cos = np.ones_like(y)
    sin = np.ones_like(y)
    for k in range(10, 0, -1):
        cos = 1 - square / ((2 * k - 1) * (2 * k)) * cos
        sin = 1 - square / ((2 * k) * (2 * k + 1)) * sin
    return -cos, -y * sin


def decay(x: np.ndarray) -> np.ndarray:
    """exp(-x) for x >= 0 from exact operations: (1 + y + y^2/2 + y^3/6)^-16, y = x/16."""
    y = x * F(1 / 16)
    s = y * F(1 / 6)
    s += F(0.5)
    s *= y
    s += F(1)
    s *= y
    s += F(1)
    for _ in range(4):
        s *= s
    return F(1) / s


def log2(x: np.ndarray) -> np.ndarray:
    """Base-2 logarithm of positive float32 from its bits (error below 0.01)."""
    bits = np.ascontiguousarray(x, F).view(np.int32)
    exponent = ((bits >> 23) - 127).astype(F)
    mantissa = ((bits & 0x7FFFFF) | 0x3F800000).view(F)
    return exponent + (mantissa - F(1)) * (
        F(4.0 / 3.0) + F(0.01) - (mantissa - F(1)) * F(0.34333)
    )


def level(cx, cy, rx, ry, turns=None) -> np.ndarray:
    """Squared elliptic radius: below 1 inside the ellipse, 1 on its edge.

    Centre and radii in plane units, one per image; ``turns`` rotates the ellipse.
    """
    dx = X - col(cx)
    dy = Y - col(cy)
    if turns is None:
        dx = dx / col(rx)
        dy = dy / col(ry)
        return dx * dx + dy * dy
    c, s = unit(turns)
    u = (dx * col(c) + dy * col(s)) / col(rx)
    v = (dy * col(c) - dx * col(s)) / col(ry)
    u *= u
    v *= v
    u += v
    return u


def inside(q: np.ndarray, sharp: float = 6.0) -> np.ndarray:
    """Coverage 0..1 of what lies inside ``q < 1``; the edge is about ``1/sharp`` radii wide."""
    out = (F(1) - q) * F(sharp / 2)
    out += F(0.5)
    return np.clip(out, F(0), F(1), out=out)


def bump(q: np.ndarray) -> np.ndarray:
    """A compact Gaussian of the squared radius in standard deviations: max(0, 1 - q/8)^4."""
    out = F(1) - q * F(1 / 8)
    np.maximum(out, F(0), out=out)
    out *= out
    out *= out
    return out


def soft(x: np.ndarray) -> np.ndarray:
    """Smooth step from 0 at x <= 0 to 1 at x >= 1."""
    t = np.clip(x, F(0), F(1))
    return t * t * (F(3) - F(2) * t)


def blur(plane: np.ndarray) -> np.ndarray:
    """A 3 x 3 binomial blur (1 2 1), edges repeated."""
    out = plane.copy()
    out[:, 1:-1] += F(0.25) * (plane[:, :-2] + plane[:, 2:] - F(2) * plane[:, 1:-1])
    again = out.copy()
    again[:, :, 1:-1] += F(0.25) * (
        out[:, :, :-2] + out[:, :, 2:] - F(2) * out[:, :, 1:-1]
    )
    return again


def cells(coverage: np.ndarray) -> np.ndarray:
    """The 8 x 8 cells that a coverage plane touches with at least 0.4, uint8 0 or 1."""
    n = len(coverage)
    side = IMAGE_SIZE // CELLS
    peak = coverage.reshape(n, CELLS, side, CELLS, side).max(axis=(2, 4))
    return (peak >= 0.4).astype(np.uint8)


def patch(cx: np.ndarray, cy: np.ndarray, size: int):
    """Where a ``size`` x ``size`` patch around pixel (cx, cy) lies, and its local coordinates.

    Returns
    -------
    where : index arrays into a canvas padded by ``size`` pixels on each side.
    u, v : float32 (n, 1, size) and (n, size, 1), pixels from the centre.
    """
    half = size // 2
    left = np.floor(cx).astype(int) - half
    top = np.floor(cy).astype(int) - half
    steps = np.arange(size)
    columns = left[:, None] + steps
    rows = top[:, None] + steps
    u = (columns + 0.5 - np.asarray(cx)[:, None]).astype(F)[:, None, :]
    v = (rows + 0.5 - np.asarray(cy)[:, None]).astype(F)[:, :, None]
    n = len(left)
    rows = np.clip(rows, -size, IMAGE_SIZE + size - 1) + size
    columns = np.clip(columns, -size, IMAGE_SIZE + size - 1) + size
    where = (np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :])
    return where, u, v


def grey(plane: np.ndarray) -> np.ndarray:
    """A plane in [0, 1] as RGB bytes (n, 64, 64, 3); outside values are clipped."""
    return np.repeat(byte(plane)[..., None], 3, axis=-1)


def byte(values: np.ndarray) -> np.ndarray:
    """Values in [0, 1] as bytes, rounded half up, clipped."""
    out = values * F(255)
    out += F(0.5)
    np.clip(out, F(0), F(255), out=out)
    return out.astype(np.uint8)
