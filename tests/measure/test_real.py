"""Numbers that others published, recomputed from the answers they recorded."""

import json

import numpy as np
import pytest

from medcal_nb import measure

pytestmark = pytest.mark.real


def test_the_26_published_eces_of_thirteen_vision_language_models(real_dir):
    """Kostumov et al., arXiv:2402.14418: softmax of six option logits, 15 bins (lo, hi]."""
    import pandas as pd

    folder = real_dir / "vlm_uncertainty_bench"
    published = pd.read_csv(folder / "published_ece.csv").set_index("model_name")
    compared = 0
    for name in ("mmbench", "oodcv"):
        answers = pd.read_parquet(folder / f"{name}.parquet")
        options = [c for c in answers.columns if c.startswith("logit_")]
        for model, part in answers.groupby("model"):
            logits = part[options].to_numpy(float)
            odds = np.exp(logits - logits.max(1, keepdims=True))
            gold = part["gold"].map(
                {c.removeprefix("logit_"): i for i, c in enumerate(options)}
            )
            p = odds / odds.sum(1, keepdims=True)
            c, y = p.max(1), (p.argmax(1) == gold.to_numpy()).astype(float)
            assert measure.ece(c, y) == pytest.approx(
                published.loc[model, f"ece_{name}"], abs=5e-6
            ), (name, model)
            compared += 1
    assert compared == 26


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
