"""Scenes: the same bytes everywhere, of which facts, masks and sites are a part."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

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


def hashes():
    """A line for each modality."""
    lines = []
    for name in world.MODALITIES:
        drawn = world.draw_scenes(name, 5, rng=np.random.default_rng(7))
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
