"""How many labels: curves against maps fitted by hand, and what is read from them."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.correct import fit, label_efficiency_study, labels_needed, labels_sentence
from medcal_nb.correct.labels import LabelStudy
from medcal_nb.measure import brier_score

from .worlds import graded, with_options


def test_refitting_overtakes_and_adapting_never_loses_to_both(rng):
    data = pd.concat([graded(rng, 3000, "general", slope=0.9),
                      graded(rng, 3000, "medical", slope=0.7, shift=-0.25)])  # fmt: skip
    study = label_efficiency_study(data, sizes=(10, 50, 400, 1000, 9999), n_draws=60, rng=rng)
    table = study.table
    wide = table.pivot(index="n", columns="map", values="median")
    assert wide.index.tolist() == [10, 50, 400, 1000]  # 9999 are not there to be drawn
    assert wide["target"].is_monotonic_decreasing
    assert wide.loc[10, "target"] > wide.loc[10, "source"] > wide.loc[1000, "target"]
    for n in wide.index:
        assert wide.loc[n, "adapted"] < max(wide.loc[n, "source"], wide.loc[n, "target"]) + 0.001
        assert wide.loc[n, "adapted"] < min(wide.loc[n, "source"], wide.loc[n, "target"]) + 0.01
    need = labels_needed(study).iloc[0]
    assert need.n_star in (50, 400)
    assert "10" in need.adapting_beats
    assert np.isnan(need.n_star_low)  # no resamples


def test_labels_are_drawn_from_one_pool_and_scored_on_another(rng):
    pool = graded(rng, 6000, "medical", slope=0.7, shift=-0.25, per_image=2)
    pool["part"] = np.where(pool.image_id < "medical-image-02000", "labels", "judged")
    data = pd.concat([graded(rng, 600, "general", slope=0.9).assign(part="source"), pool])
    settings = {
        "source": {"part": "source"}, "target": {"part": "labels"}, "judged": {"part": "judged"},
        "sizes": (10, 100, 1000, 3000), "n_draws": 50,
    }  # fmt: skip
    study = label_efficiency_study(data, **settings, n_resamples=40, rng=np.random.default_rng(1))
    wide = study.table.set_index(["n", "map"])
    judged, source = pool[pool.part == "judged"], data[data.part == "source"]
    carried = fit(source.confidence, source.correct)(judged.confidence)
    for n in settings["sizes"]:
        raw, moved = wide.loc[(n, "raw")], wide.loc[(n, "source")]
        assert raw.low == raw["median"] == raw.high
        assert raw["median"] == pytest.approx(brier_score(judged.confidence, judged.correct))
        assert moved["median"] == pytest.approx(brier_score(carried, judged.correct), abs=1e-7)
    pooled = pool[pool.part == "labels"]  # a map of the whole pool is where the curve must go
    best = brier_score(fit(pooled.confidence, pooled.correct)(judged.confidence), judged.correct)
    end, few = wide.loc[(3000, "target")], wide.loc[(100, "target")]
    assert end["median"] == pytest.approx(best, abs=2e-4)
    assert end.high - end.low < few.high - few.low
    row = labels_needed(study).iloc[0]
    assert row.n_star_low <= row.n_star <= row.n_star_high
    assert {row.n_star_low, row.n_star_high} <= {*settings["sizes"], np.inf}
    again = label_efficiency_study(data, **settings, rng=np.random.default_rng(1))
    pd.testing.assert_frame_equal(again.table, study.table)  # resampling changes no estimate
    for part, told in (({"domain": "medical"}, "in target and judged"),
                       ({"part": "source"}, "in source and judged")):  # fmt: skip
        with pytest.raises(ValueError, match=f"images are both {told}"):
            label_efficiency_study(data, **(settings | {"judged": part}), rng=rng)


def test_labels_teach_the_temperature_of_all_options(rng):
    data = pd.concat(
        [with_options(rng, 800, "general", 1.0), with_options(rng, 900, "medical", 3.0)]
    )
    study = label_efficiency_study(data, method="temperature", sizes=(20, 400), n_draws=20, rng=rng)
    wide = study.table.pivot(index="n", columns="map", values="median")
    assert wide.loc[400, "target"] < wide.loc[400, "source"] - 0.01
    bare = data.drop(columns="option_probabilities")
    with pytest.raises(ValueError, match="carry no option probabilities"):
        label_efficiency_study(bare, method="temperature", rng=rng)
    with pytest.raises(ValueError, match="too few labelled images"):
        label_efficiency_study(data, sizes=[5000], rng=rng)


def test_the_number_of_labels_is_read_from_medians_and_said():
    medians = {
        "adapted": [0.13, 0.10, 0.08],
        "target": [0.12, 0.11, 0.07],
        "source": [0.1, 0.12, 0.1],
    }
    table = pd.DataFrame(
        {"model": "m", "strategy": "s", "method": "platt", "map": name, "n": n,
         "median": value, "low": 0.0, "high": 1.0}
        for name, values in medians.items()
        for n, value in zip((10, 100, 1000), values, strict=True)
    )  # fmt: skip
    needed = labels_needed(LabelStudy(table, table[["median"]].to_numpy().repeat(5, 1), 0.9))
    row = needed.iloc[0]
    assert [row.n_star, row.n_star_low, row.n_star_high] == [100, 100, 100]
    assert row.adapting_beats == "100"
    text = labels_sentence(needed)
    assert "from 100 labels on (95 % interval: 100)" in text
    assert "beats refitting at 100 labels. Numbers tried: from 10 to 1,000." in text
    ends = needed.assign(n_star=10.0, n_star_low=10.0, n_star_high=np.inf)
    assert "from 10 or fewer labels on (95 % interval: 10 or fewer to more than 1,000)" in (
        labels_sentence(ends)
    )
    never = needed.assign(n_star=np.inf, n_star_low=np.nan, adapting_beats="")
    assert "not at up to 1,000 labels; starting" in labels_sentence(never)
    assert "at no number of labels" in labels_sentence(never)
