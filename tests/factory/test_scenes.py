"""Scenes: the same bytes everywhere, true facts, findings that can vanish."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data.pocket.factory import scenes as world

ROOT = Path(__file__).resolve().parents[2]
# SHA-256 of five scenes per modality from numpy's default_rng(7), first 16 hex digits
PINNED = """\
drawing 8c34fa3143e62699
digit 94287ec49c22c50f
x-ray e0d1ce819f416bc9
ct ecfe93de1674bdf7
mri 62c3cd968d95fe86
ultrasound d08f3e381b75dbd3
pathology 0d8c06b41b175a61
fundus 4a48c00bd4a54ef9
"""
# of these the visibility of the scene as a whole is graded
SCENE = {"drawing": "count", "digit": "digits"}


def draw(name, n=12, seed=3, **how):
    return world.draw_scenes(name, n, rng=np.random.default_rng(seed), **how)


def hashes():
    """A line for each modality."""
    lines = []
    for name in world.MODALITIES:
        drawn = draw(name, 5, seed=7)
        data = [drawn.images.tobytes(), drawn.masks.tobytes()]
        data.append(drawn.facts.to_csv().encode())
        lines.append(f"{name} {hashlib.sha256(b''.join(data)).hexdigest()[:16]}\n")
    return "".join(lines)


def test_bytes_do_not_depend_on_process_or_vector_units():
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    able = [name for name in __cpu_dispatch__ if __cpu_features__[name]]
    assert hashes() == PINNED
    code = "from tests.factory.test_scenes import hashes; print(hashes(), end='')"
    variables = os.environ | {"NPY_DISABLE_CPU_FEATURES": ",".join(able)}
    command = [sys.executable, "-c", code]
    how = {"env": variables, "cwd": ROOT, "text": True}
    assert subprocess.check_output(command, **how) == PINNED


@pytest.mark.parametrize("name", world.MODALITIES)
def test_what_is_invisible_changes_no_pixel_and_more_of_it_more(name):
    """With all else the same, noise included."""
    for column in draw(name, n=1).facts.filter(like="visibility_"):
        fact = column.removeprefix("visibility_").replace("scene", SCENE.get(name, ""))
        first, *others = world.ATTRIBUTES[name][fact]
        for other in others:
            gaps = []
            for visibility in (0.0, 0.1, 0.4, 1.0):
                given = [{fact: value, column: visibility} for value in (first, other)]
                a, b = (draw(name, given=facts).images for facts in given)
                gaps.append(np.abs(a.astype(int) - b).mean())
            assert 0 == gaps[0] < gaps[1] < gaps[2] < gaps[3], (other, gaps)


@pytest.mark.parametrize("name", world.MEDICAL_MODALITIES)
def test_a_mask_covers_where_the_finding_changes_the_image(name):
    visible = {"visibility_finding": 1.0}
    without = draw(name, given=visible | {"finding": "none"})
    assert without.masks.sum() == 0
    for finding in world.ATTRIBUTES[name]["finding"][1:]:
        drawn = draw(name, given=visible | {"finding": finding})
        gap = np.abs(drawn.images.astype(int) - without.images).sum(axis=3)
        cells = gap.reshape(-1, 8, 8, 8, 8).sum(axis=(2, 4))
        assert cells[drawn.masks == 1].mean() > 4 * cells[drawn.masks == 0].mean()
