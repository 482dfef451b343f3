"""Maps of many groups: what is corrected, what is refused, what is kept."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from medcal_nb.correct import (
    apply_maps,
    cross_apply,
    fit_maps,
    fit_platt,
    load_maps,
    save_maps,
)
from medcal_nb.measure import log_loss


@pytest.fixture
def verdicts(rng):
    frames = []
    for domain, slope in (("general", 0.5), ("medical", 0.5)):
        for model in ("a", "b"):
            z = rng.normal(1, 1.5, 300)
            y = rng.random(300) < expit(slope * z)
            p = expit(z)
            frames.append(
                pd.DataFrame(
                    {
                        "model": model, "dataset": domain, "domain": domain, "strategy": "s",
                        "item_id": [f"{i}" for i in range(300)],
                        "image_id": [f"{i // 2}" for i in range(300)],
                        "confidence": np.maximum(p, 1 - p), "correct": y,
                        "gold": np.where(y == (p > 0.5), "yes", "no"),
                        "option_probabilities": [{"yes": v, "no": 1 - v} for v in p.tolist()],
                    }
                )
            )  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def test_each_group_has_its_own_map_and_a_name_of_its_own(verdicts, tmp_path):
    general, medical = (verdicts[verdicts.domain == d] for d in ("general", "medical"))
    maps = fit_maps(general, method="platt", clip=0.001)
    assert sorted(maps) == [("a", "s"), ("b", "s")]
    out = apply_maps(medical, maps)
    assert set(out.strategy) == {"s+platt"}
    own = medical[medical.model == "b"]
    alone = general[general.model == "b"]
    expected = fit_platt(alone.confidence, alone.correct, clip=0.001)(own.confidence)
    got = out[out.model == "b"]
    np.testing.assert_allclose(got.confidence, expected)
    np.testing.assert_allclose(got.confidence_raw, own.confidence)
    save_maps(maps, tmp_path / "maps.json", fitted_on="domain=general")
    back, by = load_maps(tmp_path / "maps.json")
    assert by == ("model", "strategy")
    pd.testing.assert_frame_equal(apply_maps(medical, back, by=by), out)


def test_own_items_are_refused_but_the_same_id_of_another_data_set_is_not(verdicts):
    maps = fit_maps(verdicts[verdicts.domain == "general"])
    with pytest.raises(ValueError, match="300 of 600 were used to fit"):
        apply_maps(verdicts, maps)
    assert len(apply_maps(verdicts[verdicts.domain == "medical"], maps)) == 600


def test_option_temperature_moves_all_options_together(verdicts):
    general, medical = (verdicts[verdicts.domain == d] for d in ("general", "medical"))
    out = apply_maps(medical, fit_maps(general, method="option_temperature"))
    first = out.iloc[0]
    assert max(first.option_probabilities.values()) == pytest.approx(first.confidence)
    assert sum(first.option_probabilities.values()) == pytest.approx(1)
    assert "option_probabilities" not in apply_maps(medical, fit_maps(general))


def test_missing_confidences_stay_missing(verdicts):
    verdicts.loc[verdicts.index[-3:], "confidence"] = np.nan
    maps = fit_maps(verdicts[verdicts.domain == "general"])
    out = apply_maps(verdicts[verdicts.domain == "medical"], maps)
    assert out.confidence.isna().sum() == 3
    assert len(out) == 600


def test_cross_apply_corrects_without_another_set(verdicts, rng):
    medical = verdicts[verdicts.domain == "medical"]
    for method in ("temperature", "option_temperature"):
        out = cross_apply(medical, method=method, rng=rng)
        assert log_loss(out.confidence, out.correct) < log_loss(out.confidence_raw, out.correct)


def test_bad_requests_are_refused(verdicts, tmp_path):
    with pytest.raises(ValueError, match="unknown 'magic'"):
        fit_maps(verdicts, method="magic")
    with pytest.raises(ValueError, match="no column 'planet'"):
        fit_maps(verdicts, by=["planet"])
    with pytest.raises(ValueError, match="no row has what the fit needs"):
        fit_maps(verdicts.assign(confidence=np.nan))
    maps = fit_maps(verdicts[verdicts.domain == "general"])
    with pytest.raises(ValueError, match="none of the 2 maps"):
        apply_maps(verdicts.assign(model="c"), maps)
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(ValueError, match="not a file of maps"):
        load_maps(tmp_path / "x.json")
