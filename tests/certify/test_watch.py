"""The detector of a risk that has become too large: by hand, false alarms, delays."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb import certify
from medcal_nb.certify.watch import BETS


def alarm_after(errors, **rule):
    alarm = certify.watch(errors, risk=0.2, **rule)["alarm"].to_numpy()
    return alarm.argmax() + 1 if alarm[-1] else np.inf


def test_the_evidence_by_hand():
    errors = [0, 1, np.nan, 1, 0]
    table = certify.watch(errors, risk=0.2, run_length=5)
    evidence = np.zeros(len(BETS))
    for row, wrong in zip(table.itertuples(), errors, strict=True):
        if not np.isnan(wrong):
            evidence = (evidence + 1) * (1 + np.array(BETS) / 0.2 * (wrong - 0.2))
        assert row.evidence == pytest.approx(evidence.mean())
    assert table["n"].tolist() == [1, 2, 2, 3, 4]
    assert table["errors"].tolist() == [0, 1, 1, 2, 2]
    assert table["alarm"].tolist() == [False, False, False, True, True]
    long = certify.watch([1] * 3000, risk=0.2)
    assert np.isfinite(long["evidence"]).all()
    assert certify.watch([np.nan], risk=0.2)["evidence"].tolist() == [0]


def test_false_alarms_come_no_sooner_than_promised():
    rng = np.random.default_rng(1)
    runs = [alarm_after(rng.random(6000) < 0.2, run_length=200) for _ in range(200)]
    runs = np.minimum(runs, 6000)
    assert runs.mean() - 2 * runs.std() / np.sqrt(200) >= 200
    assert np.mean(runs <= 40) <= 0.2


@pytest.mark.parametrize(
    ("before", "n_before"), [(0.15, 0), (0.15, 2000), (0.02, 2000)]
)
def test_a_change_is_seen_soon_whenever_it_comes(before, n_before):
    delays = []
    for k in range(100):
        rng = np.random.default_rng([k, n_before])
        errors = rng.random(n_before + 1000) < np.repeat(
            [before, 0.4], [n_before, 1000]
        )
        delays.append(alarm_after(errors) - n_before)
    delays = np.array(delays)
    assert np.median(delays[delays > 0]) <= 60
    assert np.mean(delays <= 0) < 0.12


def test_orders_by_threshold_and_image(rng):
    models = ["sound", "shifted", "nothing"]
    good = pd.DataFrame({"model": np.repeat(models, 300), "item_id": range(900)})
    good["image_id"] = good["item_id"] // 3
    good["confidence"] = rng.uniform(0.5, 1, 900)
    good["correct"] = rng.random(900) > 0.1
    after = good.assign(correct=rng.random(900) > np.repeat([0.1, 0.5, 0.1], 300))
    thresholds = pd.DataFrame({"model": models, "threshold": [0.6, 0.6, np.inf]})
    rule = {"risk": 0.2, "by": ["model"]}
    table = certify.watch_table(good, after, thresholds, n_before=500, **rule)
    shifted, sound = table.itertuples(index=False)
    assert (shifted.model, sound.model) == ("shifted", "sound")
    assert sound.median_delay == np.inf
    assert sound.early < 0.05
    assert shifted.median_delay < 60
    again = certify.watch_table(good, after, thresholds, n_before=500, **rule)
    pd.testing.assert_frame_equal(table, again)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"risk": 20}, "risk must be"),
        ({"errors": [0, 2]}, "neither 0 nor 1"),
        ({"run_length": 1}, "run_length must be"),
    ],
)
def test_bad_input_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        certify.watch(**({"errors": [0, 1], "risk": 0.2} | change))


@pytest.mark.parametrize("change", [{"run_length": 1}, {"n_before": -1}, {"risk": 20}])
def test_bounds_of_a_watch_over_orders(change):
    graded = pd.DataFrame({"item_id": [1, 2], "confidence": 0.9, "correct": 1})
    thresholds = pd.DataFrame({"threshold": [0.5]})
    how = {"risk": 0.2, "run_length": 2, "n_before": 0}
    assert len(certify.watch_table(graded, graded, thresholds, **how)) == 1
    with pytest.raises(ValueError, match=next(iter(change))):
        certify.watch_table(graded, graded, thresholds, **how | change)
