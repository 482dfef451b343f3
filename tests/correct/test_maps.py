"""Recalibration maps: closed forms, known truths, peers, refusals; then whole tables of them."""

import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit as true_logit

from medcal_nb.correct import RecalibrationWarning, fit, recalibrated
from medcal_nb.correct.crossfit import assign_folds
from medcal_nb.errors import MedcalError

from .worlds import draw, graded

OURS = ("log_odds", "platt", "isotonic")


def test_log_odds_scaling_of_one_repeated_confidence_is_worked_by_hand():
    # all say 0.9, 7 of 10 are right: sigma(logit(.9)/T) = .7, so T = logit(.9)/logit(.7)
    with pytest.warns(RecalibrationWarning, match=r"every confidence is 0\.9"):
        fitted = fit([0.9] * 10, [1] * 7 + [0] * 3, method="log_odds")
    expected = true_logit(0.9) / true_logit(0.7)
    assert fitted.params["temperature"] == pytest.approx(expected, rel=1e-9)
    assert fitted([0.9])[0] == pytest.approx(0.7, rel=1e-9)


def test_platt_equals_scikit_learn(rng):
    from sklearn.calibration import _SigmoidCalibration

    c, y = draw(rng, 500, slope=0.5, shift=-0.3)
    x = true_logit(c)
    peer = _SigmoidCalibration().fit(x, y)
    np.testing.assert_allclose(fit(c, y, clip=1e-9)(c), peer.predict(x), atol=1e-5)


def test_only_a_map_that_has_bounds_ends_at_one(rng):
    c, y = draw(rng, 500)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(c, y, method="platt")
    with pytest.warns(RecalibrationWarning, match="no maximum inside"):
        fit(c, 1 - y, method="log_odds")


def test_isotonic_equals_scikit_learn_but_for_certainty(rng):
    from sklearn.isotonic import IsotonicRegression

    c, y = draw(rng, 500)
    c, y = np.r_[c.round(2), 0.9999], np.r_[y, 1.0]
    peer = IsotonicRegression(out_of_bounds="clip").fit(c, y).predict(c)
    assert peer.max() == 1.0  # it claims certainty
    ours = fit(c, y, method="isotonic")(c)
    np.testing.assert_allclose(ours, np.clip(peer, 1 / 503, 502 / 503), atol=1e-9)


@pytest.mark.parametrize("kind", ["BetaCalibration", "HistogramBinning", "ENIR"])
def test_a_map_of_netcal_is_netcals(rng, kind):
    from netcal import binning, scaling

    c, y = draw(rng, 400, slope=0.5, shift=-0.3)
    peer = getattr(scaling, kind, None) or getattr(binning, kind)
    expected = peer().fit(c, y).transform(c).ravel()
    ours = fit(c, y, method=f"netcal:{kind}")(c)
    np.testing.assert_allclose(ours, expected, rtol=1e-4)  # the order of rows counts


def test_where_netcal_and_this_package_have_one_map_it_is_the_same(rng):
    c, y = draw(rng, 500, slope=0.5, shift=-0.3)
    c = np.clip(c, 0.01, 0.99)
    for ours, netcal, tolerance in [
        ("log_odds", "TemperatureScaling", 1e-5),
        ("isotonic", "IsotonicRegression", 2 / 500),  # ours never claims certainty
        ("platt", "LogisticCalibration", 5e-3),  # ours has Platt's targets
    ]:
        other = fit(c, y, method=f"netcal:{netcal}")(c)
        np.testing.assert_allclose(fit(c, y, method=ours)(c), other, atol=tolerance)


def test_netcals_temperature_turns_the_order_where_confident_answers_are_wrong(rng):
    c, y = draw(rng, 500)
    c = 0.5 + c / 2.1
    theirs = fit(c, 1 - y, method="netcal:TemperatureScaling")(np.sort(c))
    assert (np.diff(theirs) <= 0).all()
    with pytest.warns(RecalibrationWarning, match="no maximum inside"):
        ours = fit(c, 1 - y, method="log_odds")(np.sort(c))
    assert (np.diff(ours) >= 0).all()


def test_a_map_of_netcal_that_cannot_be_had_is_refused_by_name(monkeypatch):
    with pytest.raises(ValueError, match="did you mean 'BetaCalibration'"):
        fit([0.5] * 9, [1] * 9, method="netcal:BetaCalibrate")
    monkeypatch.setitem(sys.modules, "netcal", None)
    with pytest.raises(MedcalError, match=r"pip install 'medcal-nb\[netcal\]'"):
        fit([0.5] * 9, [1] * 9, method="netcal:BetaCalibration")


def test_folds_are_even_and_whole(rng):
    groups = np.repeat(np.arange(23), rng.integers(1, 9, 23))
    fold = assign_folds(groups, 5, rng=rng)
    assert all(len(set(fold[groups == g])) == 1 for g in range(23))
    assert np.ptp(np.bincount(fold)) <= 8


def test_degenerate_data_give_a_told_and_finite_map():
    rising = [0.6, 0.7, 0.8, 0.9, 0.95, 1.0]
    with pytest.warns(RecalibrationWarning, match="all 6 answers are right"):
        assert fit(rising, [1] * 6, method="log_odds").params["temperature"] == 1
    with pytest.warns(RecalibrationWarning, match="all 6 answers are right"):
        np.testing.assert_allclose(fit(rising, [1] * 6)(rising), 7 / 8, atol=1e-5)
    with pytest.warns(RecalibrationWarning, match="share of right answers"):
        assert fit([0.9] * 10, [1] * 5 + [0] * 5)([0.9])[0] == pytest.approx(0.5)
    odd = [(rising, [1] * 6), (rising, [0] * 6), ([0.9] * 8, [1, 0] * 4)]
    odd += [([0, 1] * 4, [0, 1] * 4), ([0, 1] * 4, [1, 0] * 4)]
    for name in OURS:
        with pytest.warns(RecalibrationWarning, match="3 labelled answers, fewer"):
            few = fit([0.2, 0.6, 0.9], [0, 1, 1], method=name)
        np.testing.assert_allclose(few([0.3, 0.7]), [0.3, 0.7], atol=1e-9)
        warnings.simplefilter("ignore", RecalibrationWarning)
        for c, y in odd:
            out = fit(c, y, method=name)(np.linspace(0, 1, 11))
            assert ((out >= 0) & (out <= 1)).all(), name


def test_bad_input_is_refused_by_name_and_position():
    with pytest.raises(ValueError, match=r"confidence: 1 of 3 .* position 2"):
        fit([0.1, 0.5, 85], [0, 1, 1])
    with pytest.raises(ValueError, match=r"correct: 1 of 2 .* position 1"):
        fit([0.1, 0.5], [0, 2])
    with pytest.raises(ValueError, match=r"one of 'log_odds',.*got 'magic'"):
        fit([0.1, 0.5], [0, 1], method="magic")


def test_each_group_has_its_own_map_and_a_name_of_its_own(rng):
    general, medical = (
        pd.concat([graded(rng, 300, domain, slope=0.5, model=m) for m in "ab"])
        for domain in ("general", "medical")
    )
    medical["option_probabilities"] = [{"yes": c} for c in medical["confidence"]]
    out = recalibrated(general, medical)
    assert set(out.strategy) == {"s+platt"}
    own, alone = medical[medical.model == "b"], general[general.model == "b"]
    got = out[out.model == "b"]
    expected = fit(alone.confidence, alone.correct)(own.confidence)
    np.testing.assert_allclose(got.confidence, expected)
    np.testing.assert_allclose(got.confidence_uncorrected, own.confidence)
    assert out.option_probabilities.isna().all()  # they would contradict the confidence
    ungraded = medical.assign(correct=np.nan)
    assert recalibrated(general, ungraded).confidence.equals(out.confidence)
    with pytest.raises(ValueError, match=r"method must be.*got 'magic'"):
        recalibrated(general, medical, method="magic")
    with pytest.raises(ValueError, match="no row has what"):
        recalibrated(general.assign(confidence=np.nan), medical)
    with pytest.raises(ValueError, match="none of the 2 maps"):
        recalibrated(general, medical.assign(model="c"))
    with pytest.raises(ValueError, match="300 images are both source and target"):
        recalibrated(general, general.assign(model="a"))
