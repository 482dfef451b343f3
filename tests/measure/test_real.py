"""Numbers that others published, recomputed from the answers they recorded."""

import json

import numpy as np
import pytest

from medcal_nb import measure

pytestmark = pytest.mark.real


def ece_with_bins_closed_on_the_left(c, y, n_bins):
    """Five bins [0, .2) … [.8, 1], as that source cuts them: `ece` of the mirrored answers.

    1 − c turns [lo, hi) into (1 − hi, 1 − lo], which is how `ece` cuts; gaps keep their size.
    Stated confidences are short decimals, so 1 − c is rounded back to them.
    """
    return measure.ece(np.round(1 - c, 12), 1 - y, n_bins=n_bins)


@pytest.mark.parametrize("items", [100, 250])
def test_stored_numbers_of_a_text_model_on_medqa(items, real_dir):
    (path,) = (real_dir / "medqa_text").glob(f"*_{items}q_*.json")
    stored = json.loads(path.read_text())["configurations"]
    assert len(stored) == 4
    for name, run in stored.items():
        c = np.array([row["confidence"] for row in run["results"]], dtype=float)
        y = np.array([row["is_correct"] for row in run["results"]], dtype=float)
        assert c.size == items
        assert measure.accuracy(c, y) == pytest.approx(run["accuracy"], abs=1e-12), name
        assert measure.auroc(c, y) == pytest.approx(run["auroc"], abs=1e-12), name
        left = ece_with_bins_closed_on_the_left(c, y, 5)
        assert left == pytest.approx(run["ece"], abs=1e-12), name


def test_how_far_the_binning_alone_moves_that_number(real_dir):
    (path,) = (real_dir / "medqa_text").glob("*_250q_*.json")
    run = json.loads(path.read_text())["configurations"]["config4"]
    c = np.array([row["confidence"] for row in run["results"]], dtype=float)
    y = np.array([row["is_correct"] for row in run["results"]], dtype=float)
    found = [ece_with_bins_closed_on_the_left(c, y, n) for n in (5, 10, 15)]
    assert found == pytest.approx([0.091, 0.0995, 0.126], abs=5e-4)
