"""Scenes: the same bytes everywhere, facts that are told truly, findings that can vanish."""

import os
import subprocess
import sys

import numpy as np
import pytest

from data.pocket.factory import scenes as world
from data.pocket.factory.scenes import _canvas as canvas

# SHA-256 of five scenes per modality from numpy's default_rng(7), first 16 hex digits
PINNED = {
    "drawing": "8c34fa3143e62699",
    "digit": "94287ec49c22c50f",
    "x-ray": "e0d1ce819f416bc9",
    "ct": "ecfe93de1674bdf7",
    "mri": "62c3cd968d95fe86",
    "ultrasound": "d08f3e381b75dbd3",
    "pathology": "0d8c06b41b175a61",
    "fundus": "4a48c00bd4a54ef9",
}

HASHES = """
import hashlib, numpy as np
from data.pocket.factory import scenes as world
for name in world.MODALITIES:
    drawn = world.draw_scenes(name, 5, rng=np.random.default_rng(7))
    data = drawn.images.tobytes() + drawn.masks.tobytes() + drawn.facts.to_csv().encode()
    print(name, hashlib.sha256(data).hexdigest()[:16])
"""

# one pair of values per graded fact; the other facts keep their chance values
PAIRS = {
    "drawing": {
        "scene": [{"count": "one"}, {"count": "five"}],
        "pattern": [{"pattern": "plain"}, {"pattern": "checks"}],
    },
    "digit": {"scene": [{"digits": "one"}, {"digits": "two"}, {"ink": "red"}]},
    "x-ray": {
        "finding": [{"finding": f} for f in world.ATTRIBUTES["x-ray"]["finding"]],
        "heart": [{"heart": "normal"}, {"heart": "large"}],
        "pacemaker": [{"pacemaker": "no"}, {"pacemaker": "yes"}],
    },
    "ct": {
        "finding": [{"finding": f} for f in world.ATTRIBUTES["ct"]["finding"]],
        "aorta": [{"aorta": "normal"}, {"aorta": "large"}],
    },
    "mri": {
        "finding": [{"finding": f} for f in world.ATTRIBUTES["mri"]["finding"]],
        "ventricles": [{"ventricles": "normal"}, {"ventricles": "large"}],
    },
    "ultrasound": {
        "finding": [{"finding": f} for f in world.ATTRIBUTES["ultrasound"]["finding"]],
        "texture": [{"texture": "smooth"}, {"texture": "coarse"}],
        "vessel": [{"vessel": "no"}, {"vessel": "yes"}],
    },
    "pathology": {
        "finding": [{"finding": f} for f in world.ATTRIBUTES["pathology"]["finding"]],
        "cells": [{"cells": "few"}, {"cells": "many"}],
        "gland": [{"gland": "no"}, {"gland": "yes"}],
    },
    "fundus": {
        "finding": [{"finding": f} for f in world.ATTRIBUTES["fundus"]["finding"]],
        "cup": [{"cup": "normal"}, {"cup": "large"}],
    },
}
GRADED = [(m, fact) for m, facts in PAIRS.items() for fact in facts]


def draw(name, n=12, seed=3, **kwargs):
    return world.draw_scenes(name, n, rng=np.random.default_rng(seed), **kwargs)


def hashes_of_a_fresh_process(**env):
    out = subprocess.run(
        [sys.executable, "-c", HASHES],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | env,
    )
    return dict(line.split() for line in out.stdout.splitlines())


def test_bytes_are_those_of_every_machine_and_process():
    assert hashes_of_a_fresh_process() == PINNED


def test_bytes_do_not_depend_on_the_vector_units_of_the_processor():
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    able = [name for name in __cpu_dispatch__ if __cpu_features__[name]]
    if not able:
        pytest.skip("numpy dispatches to no vector unit on this processor")
    assert hashes_of_a_fresh_process(NPY_DISABLE_CPU_FEATURES=",".join(able)) == PINNED


@pytest.mark.parametrize("name", world.MODALITIES)
def test_shapes_types_and_facts(name):
    drawn = draw(name, n=70)
    assert drawn.images.shape == (70, 64, 64, 3)
    assert drawn.images.dtype == np.uint8
    assert drawn.masks.shape == (70, 8, 8)
    assert set(np.unique(drawn.masks)) <= {0, 1}
    assert len(drawn) == len(drawn.facts) == 70
    for fact, values in world.ATTRIBUTES[name].items():
        assert set(drawn.facts[fact]) <= set(values), fact
    graded = drawn.facts.filter(like="visibility_")
    assert graded.shape[1] >= 1
    assert ((graded >= 0) & (graded <= 1)).all().all()


@pytest.mark.parametrize("name", world.MODALITIES)
def test_every_value_of_every_fact_occurs(name):
    facts = world.draw_facts(name, 2000, rng=np.random.default_rng(0))
    for fact, values in world.ATTRIBUTES[name].items():
        assert set(facts[fact]) == set(values), fact


@pytest.mark.parametrize("name", world.MODALITIES)
def test_three_sites_each_in_equal_parts_and_each_its_own_look(name):
    assert len(world.SITES[name]) >= 3
    drawn = draw(name, n=90)
    assert set(drawn.facts["site"].value_counts()) == {90 // len(world.SITES[name])}
    looks = [draw(name, sites=[site]).images for site in world.SITES[name]]
    for k, look in enumerate(looks):
        for other in looks[k + 1 :]:
            assert (look != other).mean() > 0.3


def test_medical_sites_are_held_back_from_training():
    for name in world.MEDICAL_MODALITIES:
        assert set(world.TRAIN_SITES[name]) < set(world.SITES[name])
    for name in world.GENERAL_MODALITIES:
        assert world.TRAIN_SITES[name] == world.SITES[name]


@pytest.mark.parametrize(("name", "fact"), GRADED)
def test_at_visibility_0_no_pixel_differs_because_of_the_finding(name, fact):
    pairs = PAIRS[name][fact]
    images = [draw(name, given=g | {f"visibility_{fact}": 0.0}).images for g in pairs]
    for other in images[1:]:
        np.testing.assert_array_equal(images[0], other)


@pytest.mark.parametrize(("name", "fact"), GRADED)
def test_the_more_visible_the_more_pixels_differ(name, fact):
    base, *rest = PAIRS[name][fact]
    for other in rest:
        gaps = []
        for visibility in (0.1, 0.4, 1.0):
            seen = {f"visibility_{fact}": visibility}
            a = draw(name, given=base | seen).images.astype(int)
            b = draw(name, given=other | seen).images.astype(int)
            gaps.append(np.abs(a - b).mean())
        assert 0 < gaps[0] < gaps[1] < gaps[2], (other, gaps)


@pytest.mark.parametrize("name", world.MEDICAL_MODALITIES)
def test_a_mask_covers_where_the_finding_changes_the_image(name):
    given = {"visibility_finding": 1.0}
    for kind in world.ATTRIBUTES[name]["finding"][1:]:
        with_it = draw(name, given=given | {"finding": kind})
        without = draw(name, given=given | {"finding": "none"})
        assert without.masks.sum() == 0
        gap = np.abs(with_it.images.astype(int) - without.images).sum(axis=3)
        gap = gap.reshape(-1, 8, 8, 8, 8).sum(axis=(2, 4))
        inside, outside = gap[with_it.masks == 1].mean(), gap[with_it.masks == 0].mean()
        assert inside > 4 * outside, (kind, inside, outside)


def test_one_in_eight_is_invisible_and_the_mean_is_that_of_absence():
    seen = canvas.grade(np.random.default_rng(0), 100_000)
    assert (seen == 0).mean() == pytest.approx(0.125, abs=0.005)
    assert seen.mean() == pytest.approx(world.ABSENT_VISIBILITY, abs=0.01)


def test_digits_of_the_three_cuts_are_different_scans():
    from data.pocket.factory.scenes.digit import SCANS, _scans

    cut = _scans()[2]
    assert sorted(np.concatenate([cut[s] for s in SCANS])) == list(range(1797))
    a, b = (draw("digit", scans=s).images for s in ("fit", "test"))
    assert (a != b).any()


def test_unknown_names_are_refused_by_name():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="modality 'pet' is none of"):
        world.draw_scenes("pet", 1, rng=rng)
    with pytest.raises(ValueError, match="site 'moon' of ct is"):
        world.draw_scenes("ct", 1, rng=rng, sites=["moon"])
    with pytest.raises(ValueError, match="given: ct has no fact"):
        world.draw_scenes("ct", 1, rng=rng, given={"ink": "red"})


def test_no_scenes_are_a_table_with_columns():
    drawn = draw("ct", n=0)
    assert drawn.images.shape == (0, 64, 64, 3)
    assert "visibility_finding" in drawn.facts


class TestCanvas:
    """Exact replacements of inexact functions stay close to what they replace."""

    def test_decay_is_an_exponential(self):
        x = np.linspace(0, 6, 500, dtype=np.float32)
        np.testing.assert_allclose(canvas.decay(x), np.exp(-x), rtol=0.02)

    def test_log2_is_a_logarithm(self):
        x = np.geomspace(1e-4, 1e4, 500).astype(np.float32)
        np.testing.assert_allclose(canvas.log2(x), np.log2(x), atol=0.011)

    def test_unit_is_a_cosine_and_a_sine(self):
        turns = np.linspace(-2, 2, 401)
        c, s = canvas.unit(turns)
        np.testing.assert_allclose(c, np.cos(2 * np.pi * turns), atol=1e-6)
        np.testing.assert_allclose(s, np.sin(2 * np.pi * turns), atol=1e-6)

    def test_noise_has_mean_0_and_deviation_1(self, rng):
        planes = canvas.noise(rng, 50)
        assert planes.mean() == pytest.approx(0, abs=0.01)
        assert planes.std() == pytest.approx(1, abs=0.01)

    def test_bytes_are_rounded_half_up_and_clipped(self):
        values = np.array([-1, 0, 0.5, 1, 2], np.float32)
        assert list(canvas.byte(values)) == [0, 0, 128, 255, 255]


class TestPhysics:
    """What a site or a tissue does to the image is what its physics says."""

    def test_projection_noise_is_larger_where_less_light_arrives(self):
        # neighbours differ by noise alone in the air beside the chest and in the abdomen
        image = draw("x-ray", n=64, sites=["digital"]).images[..., 0].astype(float)
        air = np.diff(image[:, :4, :4], axis=2)
        abdomen = np.diff(image[:, 58:64, 20:28], axis=2)
        assert abdomen.std() > 1.5 * air.std() > 0

    def test_fluid_is_dark_in_t1_and_bright_in_t2(self):
        def middle(weighting):
            given = {
                "weighting": weighting,
                "finding": "none",
                "ventricles": "large",
                "visibility_ventricles": 1.0,
            }
            image = draw("mri", n=24, given=given, sites=["clinic"]).images[..., 0]
            ventricle = image[:, 20:26, 27:29].mean() + image[:, 20:26, 35:37].mean()
            white = image[:, 24:40, 12:15].mean() + image[:, 24:40, 49:52].mean()
            return ventricle / white

        assert middle("t1") < 0.9 < 1.3 < middle("t2")

    def test_a_stone_throws_a_shadow_and_a_cyst_brightens_what_is_behind(self):
        def behind(kind):
            given = {
                "finding": kind,
                "depth": "near",
                "side": "left",
                "stones": "one",
                "visibility_finding": 1.0,
                "vessel": "no",
            }
            drawn = draw("ultrasound", n=48, given=given, sites=["cart"])
            return drawn.images[:, 30:44, 14:26, 0].mean()

        assert behind("stone") < behind("none") < behind("cyst")

    def test_contrast_medium_brightens_the_aorta(self):
        aorta = [
            draw("ct", given={"contrast": c}, sites=["standard"])
            .images[:, 35:37, 33, 0]
            .mean()
            for c in ("no", "yes")
        ]
        assert aorta[1] > aorta[0] + 40

    def test_haemoglobin_takes_green_more_than_red(self):
        given = {"visibility_finding": 1.0, "spots": "three"}
        with_it = draw(
            "fundus", given=given | {"finding": "haemorrhage"}, sites=["tabletop"]
        )
        without = draw("fundus", given=given | {"finding": "none"}, sites=["tabletop"])
        left = with_it.images.astype(float)[..., :2].sum(axis=(0, 1, 2))
        gone = left / without.images.astype(float)[..., :2].sum(axis=(0, 1, 2))
        assert gone[1] < gone[0] < 1

    def test_more_eosin_is_pinker_and_sites_differ_in_it(self):
        green = [
            draw("pathology", sites=[s]).images[..., 1].mean()
            for s in ("routine", "faded")
        ]
        assert green[1] > green[0] + 10
