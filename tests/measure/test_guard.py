"""The guard of a threshold: false alarms, delay, and by image."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb import measure


def test_wealth_by_hand():
    table = measure.guard([1, 1, 0], risk=0.2, delta=0.1)
    # nothing is bet on the first; then mean .6 of (1 and α), variance (¼ + .64) / 2
    bet = 0.4 / (0.445 + 0.16)
    mean = (0.2 + 2) / 3
    variance = (0.25 + 0.64 + 0.16) / 3
    second = (mean - 0.2) / (variance + (mean - 0.2) ** 2)
    wealth = [1, 1 + bet * 0.8, (1 + bet * 0.8) * (1 - second * 0.2)]
    assert table["wealth"].tolist() == pytest.approx(wealth)
    assert table["errors"].tolist() == [1, 2, 2]
    assert not table["alarm"].any()


def test_false_alarms_are_rarer_than_promised_and_shifts_are_seen():
    null = []
    delays = []
    for k in range(400):
        rng = np.random.default_rng([1, k])
        null.append(measure.guard(rng.random(1500) < 0.2, risk=0.2)["alarm"].iloc[-1])
        alarm = measure.guard(rng.random(300) < 0.45, risk=0.2)["alarm"]
        delays.append(alarm.argmax() + 1 if alarm.any() else np.inf)
    assert np.mean(null) <= 0.1
    assert 15 < np.median(delays) < 40
    assert np.mean(np.isfinite(delays)) > 0.99
    # an alarm stays
    table = measure.guard([1] * 20 + [0] * 500, risk=0.2)
    assert table["wealth"].iloc[-1] < 10
    assert table["alarm"].iloc[-1]


def test_orders_by_threshold_and_image(rng):
    models = ["sound", "shifted", "nothing"]
    graded = pd.DataFrame({"model": np.repeat(models, 300), "item_id": range(900)})
    graded["image_id"] = graded["item_id"] // 3
    graded["confidence"] = rng.uniform(0.5, 1, 900)
    graded["correct"] = rng.random(900) > np.repeat([0.1, 0.5, 0.1], 300)
    thresholds = pd.DataFrame({"model": models, "threshold": [0.6, 0.6, np.inf]})
    how = {"risk": 0.2, "by": ["model"], "n_orders": 50, "rng": rng}
    shifted, sound = measure.guard_table(graded, thresholds, **how).itertuples()
    assert (shifted.model, sound.model) == ("shifted", "sound")
    assert sound.alarms <= 0.1
    assert np.isinf(sound.median_kept)
    assert shifted.alarms > 0.9
    assert shifted.median_kept < 60
    own = graded[(graded["model"] == "shifted") & (graded["confidence"] >= 0.6)]
    assert shifted.n_kept == len(own)
    assert shifted.risk == pytest.approx(1 - own["correct"].mean())


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="risk must be"):
        measure.guard([0, 1], risk=20)
    with pytest.raises(ValueError, match="neither 0 nor 1"):
        measure.guard([0, 2], risk=0.2)
