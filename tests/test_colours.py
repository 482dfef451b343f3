"""Colours that share a figure stay apart, for colour-blind readers too."""

import json
from itertools import combinations

import numpy as np
import pytest

from medcal_nb import plots
from medcal_nb.labels import LOOKS, MODELS
from medcal_nb.run import ROOT

#: Linear RGB as it is seen without one kind of cone: Machado, Oliveira & Fernandes 2009,
#: doi:10.1109/TVCG.2009.113, severity 1.0.
SEEN = {
    "all cones": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
#: From sRGB, linear, to XYZ under D65 (IEC 61966-2-1), and its white.
XYZ = np.array(
    [
        [0.4124, 0.3576, 0.1805],
        [0.2126, 0.7152, 0.0722],
        [0.0193, 0.1192, 0.9505],
    ]
)
WHITE = XYZ.sum(axis=1)
LEAST = 10  # of CIE 1976 ΔE between two colours
MODELS_OF_STUDY = [name for name in LOOKS if name in MODELS] + ["models together"]
SPECS = [
    (name, spec)
    for path in sorted((ROOT / "figures" / "results").glob("*.json"))
    for name, spec in json.loads(path.read_text("utf-8"))["figures"].items()
]


def cielab(colour: str, seen: np.ndarray) -> np.ndarray:
    """(3,) lightness, a and b of a colour as it is seen."""
    share = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    ratio = XYZ @ np.clip(seen @ linear, 0, 1) / WHITE
    end = 6 / 29
    root = np.where(ratio > end**3, np.cbrt(ratio), ratio / (3 * end**2) + 4 / 29)
    x, y, z = root
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def apart(first: str, second: str) -> float:
    """The least ΔE of two colours, over all ways to see them."""
    return min(
        np.linalg.norm(cielab(first, seen) - cielab(second, seen))
        for seen in SEEN.values()
    )


def test_the_measure_knows_black_white_and_a_pair_that_is_mistaken():
    assert apart("#000000", "#FFFFFF") == pytest.approx(100, abs=0.1)
    # red and a green as light are far apart, and alike without one kind of cone
    red, green = (cielab(one, np.eye(3)) for one in ("#B71C1C", "#6B6B00"))
    assert np.linalg.norm(red - green) > 50
    assert apart("#B71C1C", "#6B6B00") < LEAST


def test_colours_of_the_models_stay_apart_whatever_their_marks():
    looks = plots.look(MODELS_OF_STUDY, "model")
    for (one, (first, _)), (other, (second, _)) in combinations(looks.items(), 2):
        assert apart(first, second) >= LEAST, (one, other)


def shown_together(spec: dict) -> dict:
    """Look of each level that has a colour in a figure."""
    looks = {}
    for part in (part for panel in spec["panels"] for part in panel["drawn"]):
        looks |= plots.look(part["hue"], part["columns"].get("hue"))
    return looks


@pytest.mark.parametrize(("name", "spec"), SPECS, ids=[name for name, _ in SPECS])
def test_levels_of_a_figure_differ_in_colour_or_mark(name, spec):
    looks = shown_together(spec)
    for (one, (first, mark)), (other, (second, shape)) in combinations(
        looks.items(), 2
    ):
        is_apart = apart(first, second) >= LEAST
        assert is_apart or mark != shape, (one, other)
        # one colour, one meaning
        assert first != second, (one, other)
