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
    shifted = []
    for k in range(400):
        rng = np.random.default_rng([1, k])
        null.append(measure.guard(rng.random(1500) < 0.2, risk=0.2)["alarm"].iloc[-1])
        alarm = measure.guard(rng.random(300) < 0.45, risk=0.2)["alarm"]
        shifted.append(alarm.argmax() + 1 if alarm.any() else np.inf)
    assert np.mean(null) <= 0.1
    assert 15 < np.median(shifted) < 40
    assert np.mean(np.isfinite(shifted)) > 0.99


def test_an_alarm_stays(rng):
    alarm = measure.guard([1] * 20 + [0] * 500, risk=0.2)
    assert alarm["wealth"].iloc[-1] < 10
    assert alarm["alarm"].iloc[-1]


def test_orders_by_threshold_and_image(rng):
    n = 900
    models = ["sound", "shifted", "nothing"]
    graded = pd.DataFrame({"model": np.repeat(models, n // 3), "item_id": np.arange(n)})
    graded["image_id"] = np.arange(n) // 3
    graded["confidence"] = rng.uniform(0.5, 1, n)
    risk = np.where(graded["model"] == "shifted", 0.5, 0.1)
    graded["correct"] = rng.random(n) > risk
    thresholds = pd.DataFrame({"model": models, "threshold": [0.6, 0.6, np.inf]})
    how = {"risk": 0.2, "by": ["model"], "n_orders": 50, "rng": rng}
    table = measure.guard_table(graded, thresholds, **how).set_index("model")
    assert set(table.index) == {"sound", "shifted"}
    assert table.loc["sound", "alarms"] <= 0.1
    assert np.isinf(table.loc["sound", "median_kept"])
    assert table.loc["shifted", "alarms"] > 0.9
    assert table.loc["shifted", "median_kept"] < 60
    own = graded[(graded["model"] == "shifted") & (graded["confidence"] >= 0.6)]
    assert table.loc["shifted", "n_kept"] == len(own)
    assert table.loc["shifted", "risk"] == pytest.approx(1 - own["correct"].mean())


def test_bad_input_is_refused(rng):
    with pytest.raises(ValueError, match="risk must lie"):
        measure.guard([0, 1], risk=20)
    with pytest.raises(ValueError, match="neither 0 nor 1"):
        measure.guard([0, 2], risk=0.2)
