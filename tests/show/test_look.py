"""The look: colours that mean one thing, and distances between them, by number."""

import itertools

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from medcal_nb.show import look
from medcal_nb.show.look import FAMILIES, GENERAL, INKS, MEDICAL, looks

mpl.use("Agg")

# Machado, Oliveira & Fernandes 2009, severity 1 (doi:10.1109/TVCG.2009.113), on linear RGB
VISION = {
    "full": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
     [0.0193339, 0.1191920, 0.9503041]]
)  # fmt: skip


def lab(colour, vision):
    """CIE L*a*b* of a colour as people of some vision see it (D65)."""
    rgb = np.array(mpl.colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.asarray(VISION[vision]) @ linear, 0, 1)
    x = TO_XYZ @ seen / [0.95047, 1, 1.08883]
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(one, other, vision):
    return np.linalg.norm(lab(one, vision) - lab(other, vision))


# 10 is told apart at a glance, side by side about 2.3 is
@pytest.mark.parametrize("vision", VISION)
def test_colours_differ_for_every_vision(vision):
    for one, other in itertools.combinations([GENERAL, MEDICAL, *INKS], 2):
        assert distance(one, other, vision) > 14, (one, other)


@pytest.mark.parametrize("vision", VISION)
def test_general_and_medical_differ_most(vision):
    assert distance(GENERAL, MEDICAL, vision) > 40


STRATEGIES = (
    "verbalized", "verbalized_cot", "top_k", "two_stage", "p_true", "option_probability",
    "self_consistency", "augment", "fusion", "blank_image",
)  # fmt: skip


@pytest.mark.parametrize(
    "levels",
    [
        ("general", "medical"),
        ("raw", "source", "target", "accuracy known", "slope re-estimated"),
        STRATEGIES,
        look.MODELS,
        tuple("abcdefghijklmnop"),
        ("verbalized", "p_true", *look._PROBES),
    ],
)
def test_levels_differ_on_a_grey_print_by_marker_or_lightness(levels):
    looked = looks(levels)
    for one, other in itertools.combinations(looked.values(), 2):
        apart = abs(lab(one.colour, "full")[0] - lab(other.colour, "full")[0])
        marks_differ = (one.marker, one.filled) != (other.marker, other.filled)
        assert marks_differ or apart > 10, (one, other)


@pytest.mark.parametrize(
    "levels", [STRATEGIES, tuple("abcdefghij"), ("none", "platt", "both")]
)
def test_blue_and_orange_mean_general_and_medical_and_nothing_else(levels):
    assert not {GENERAL, MEDICAL} & {one.colour for one in looks(levels).values()}


def test_general_and_medical_are_blue_and_orange_whatever_they_are_said_of():
    for name in (
        "general",
        "general images",
        "general labels",
        "source",
        "pocketvqa-general",
    ):
        assert looks([name])[name].colour == GENERAL, name
    for name in (
        "medical",
        "medical images",
        "medical labels",
        "target",
        "pocketvqa-medical",
    ):
        assert looks([name])[name].colour == MEDICAL, name
    # a model is not its data set, and an adapted map is not a general one
    for name in ("pocket-general", "pocket-medical", "adapted"):
        assert looks([name])[name].colour not in (GENERAL, MEDICAL), name


@pytest.mark.parametrize(
    "name", ["Qwen3-VL-8B-Instruct", "p_true", "Yi-VL-6B", "top_k"]
)
def test_a_name_is_drawn_alike_whatever_stands_beside_it(name):
    alone = looks([name])[name]
    for others in (look.MODELS, STRATEGIES, ("zz", "zzz")):
        assert looks([*others, name])[name] == alone


def test_two_names_of_one_figure_never_share_colour_and_mark():
    names = [f"model {k}" for k in range(20)]
    looked = looks([*names, *look.MODELS])
    pairs = [(one.colour, one.marker) for one in looked.values()]
    assert len(set(pairs)) >= 30


def test_every_strategy_that_can_be_asked_has_a_family_with_a_colour():
    from medcal_nb.ask.strategies import STRATEGIES as asked

    families = {name: look.strategy_family(name) for name in asked}
    assert set(families.values()) <= FAMILIES.keys(), families
    assert look.strategy_family("a model's name") == "other"


def test_style_puts_back_what_it_sets_and_leaves_the_rest():
    before = dict(mpl.rcParams)
    with look.style():
        assert mpl.rcParams["axes.spines.top"] is False
        mpl.rcParams["interactive"] = not before[
            "interactive"
        ]  # as a notebook's backend does
    assert mpl.rcParams["interactive"] is not before["interactive"]
    mpl.rcParams["interactive"] = before["interactive"]
    assert dict(mpl.rcParams) == before


def test_a_dollar_begins_no_formula():
    fig, ax = look.figure("half", 2)
    look.headline(fig, "model $^{$ is right", "note $_{")
    with look.style():
        ax.set_xlabel("$^{$")
    fig.savefig("/dev/null", format="png")  # an unfinished formula would not be drawn
    assert "^{" in fig.get_suptitle()
    assert "_{" in fig.get_supxlabel()


def test_no_line_of_a_note_begins_with_a_percent_sign():
    fig, _ = look.figure()
    look.headline(fig, "a title", "right 30 % of " * 12)
    lines = fig.get_supxlabel().splitlines()
    assert len(lines) > 1
    assert not any(line.startswith("%") for line in lines)


def test_synthetic_images_are_known_by_data_set_model_or_label():
    for table in (
        {"dataset": ["pocketvqa-medical"]},
        {"model": ["other", "pocket-clip"]},
        {"label": ["pocket-medical"], "value": [1.0]},
    ):
        assert look.synthetic_note(pd.DataFrame(table)) == look.SYNTHETIC
    real = pd.DataFrame(
        {"model": ["Qwen3-VL-8B-Instruct"], "n": [3], "dataset": [None]}
    )
    assert look.synthetic_note(real) == ""
