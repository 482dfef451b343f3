"""How many labels: curves against maps fitted by hand, and what is read from them."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.correct import fit, label_efficiency_study
from medcal_nb.correct.labels import _needed
from medcal_nb.measure import brier_score

from .worlds import graded, with_options


def test_refitting_overtakes_and_adapting_never_loses_to_both(rng):
    sides = (graded(rng, 3000, "general", slope=0.9),
             graded(rng, 3000, "medical", slope=0.7, shift=-0.25))  # fmt: skip
    sizes = (10, 50, 400, 1000, 9999)
    table, needed = label_efficiency_study(
        *sides, method="platt", sizes=sizes, n_draws=60, rng=rng
    )
    wide = table.pivot(index="n", columns="map", values="median")
    assert wide.index.tolist() == [10, 50, 400, 1000]  # 9999 are not there to be drawn
    assert wide["target"].is_monotonic_decreasing
    assert wide.loc[10, "target"] > wide.loc[10, "source"] > wide.loc[1000, "target"]
    for n in wide.index:
        assert (
            wide.loc[n, "adapted"]
            < max(wide.loc[n, "source"], wide.loc[n, "target"]) + 0.001
        )
        assert (
            wide.loc[n, "adapted"]
            < min(wide.loc[n, "source"], wide.loc[n, "target"]) + 0.01
        )
    need = needed.iloc[0]
    assert need.n_star in (50, 400)
    assert "10" in need.adapting_beats
    assert np.isnan(need.n_star_low)  # no resamples


def test_labels_are_drawn_from_one_pool_and_scored_on_another(rng):
    pool = graded(rng, 6000, "medical", slope=0.7, shift=-0.25, per_image=2)
    pool["part"] = np.where(pool.image_id < "medical-image-02000", "labels", "judged")
    judged, source = pool[pool.part == "judged"], graded(rng, 600, "general", slope=0.9)
    settings = {
        "source": source, "target": pool[pool.part == "labels"], "judged": judged,
        "method": "platt", "sizes": (10, 100, 1000, 3000), "n_draws": 50,
    }  # fmt: skip
    table, needed = label_efficiency_study(
        **settings, n_resamples=40, rng=np.random.default_rng(1)
    )
    wide = table.set_index(["n", "map"])
    carried = fit(source.confidence, source.correct)(judged.confidence)
    for n in settings["sizes"]:
        raw, moved = wide.loc[(n, "raw")], wide.loc[(n, "source")]
        assert raw.low == raw["median"] == raw.high
        assert raw["median"] == pytest.approx(
            brier_score(judged.confidence, judged.correct)
        )
        assert moved["median"] == pytest.approx(
            brier_score(carried, judged.correct), abs=1e-7
        )
    pooled = pool[
        pool.part == "labels"
    ]  # a map of the whole pool is where the curve must go
    best = brier_score(
        fit(pooled.confidence, pooled.correct)(judged.confidence), judged.correct
    )
    end, few = wide.loc[(3000, "target")], wide.loc[(100, "target")]
    assert end["median"] == pytest.approx(best, abs=2e-4)
    assert end.high - end.low < few.high - few.low
    row = needed.iloc[0]
    assert row.n_star_low <= row.n_star <= row.n_star_high
    assert {row.n_star_low, row.n_star_high} <= {*settings["sizes"], np.inf}
    again, _ = label_efficiency_study(**settings, rng=np.random.default_rng(1))
    pd.testing.assert_frame_equal(again, table)  # resampling changes no estimate
    for rows, told in ((pool, "target and judged"), (source, "source and judged")):
        with pytest.raises(ValueError, match=f"images are both {told}"):
            label_efficiency_study(**(settings | {"judged": rows}), rng=rng)


def test_labels_teach_the_temperature_of_all_options(rng):
    sides = (
        with_options(rng, 800, "general", 1.0),
        with_options(rng, 900, "medical", 3.0),
    )
    few = {"method": "temperature", "sizes": (20, 400), "n_draws": 20}
    table, _ = label_efficiency_study(*sides, **few, rng=rng)
    wide = table.pivot(index="n", columns="map", values="median")
    assert wide.loc[400, "target"] < wide.loc[400, "source"] - 0.01
    bare = [rows.drop(columns="option_probabilities") for rows in sides]
    with pytest.raises(ValueError, match="carry no option probabilities"):
        label_efficiency_study(*bare, method="temperature", sizes=[20], rng=rng)
    with pytest.raises(ValueError, match="too few labelled images"):
        label_efficiency_study(*sides, method="platt", sizes=[5000], rng=rng)


def test_the_number_of_labels_is_read_from_medians():
    medians = {
        "adapted": [0.13, 0.10, 0.08],
        "target": [0.12, 0.11, 0.07],
        "source": [0.1, 0.12, 0.1],
    }
    curves = {
        name: np.repeat(np.array([values]).T, 6, axis=1)
        for name, values in medians.items()
    }
    needed = pd.DataFrame([_needed(np.array([10, 100, 1000]), curves, [0.05, 0.95])])
    row = needed.iloc[0]
    assert [row.n_star, row.n_star_low, row.n_star_high] == [100, 100, 100]
    assert row.adapting_beats == "100"
