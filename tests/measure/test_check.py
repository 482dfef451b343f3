"""What is refused, and how it is said."""

import re

import numpy as np
import pytest

from medcal_nb import measure
from medcal_nb.measure import METRICS, MeasureWarning
from medcal_nb.measure._check import check_groups

BAD = [
    ([0.5, 1.2, 90], [1, 0, 1], "confidence: 2 of 3 values outside [0, 1], first at position 1"),
    ([0.5, -0.1], [1, 0], "confidence: 1 of 2 values outside [0, 1], first at position 1"),
    ([85, 90, 0.4], [1, 1, 0], "first at position 0 (85): percent? divide by 100"),
    ([0.5, 0.1, np.nan], [1, 0, 1], "confidence: 1 of 3 values NaN, first at position 2"),
    ([0.5, 0.1], [1, 0.5], "correct: 1 of 2 values neither 0 nor 1, first at position 1"),
    ([0.5, 0.1], [1, np.nan], "correct: 1 of 2 values NaN, first at position 1"),
    ([0.5, 0.1], [1, 0, 1], "correct has 3 values, confidence has 2"),
    ([], [], "confidence is empty"),
    ([[0.5, 0.1]], [[1, 0]], "confidence must have one dimension, has shape (1, 2)"),
    (["high", "low"], [1, 0], "confidence is not numeric"),
]  # fmt: skip


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize(("confidence", "correct", "message"), BAD)
def test_refuses_by_name_count_and_position(name, confidence, correct, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        METRICS[name].value(confidence, correct)


OPTIONS = [
    (measure.ece, {"n_bins": 2.5}, "n_bins must be a whole number"),
    (measure.wilson_interval, {"level": 95}, "level must be a share"),
    (measure.ece_interval, {"n_bins": 0}, "n_bins must be a whole"),
    (measure.ece_interval, {"groups": [1, 2]}, "groups has 2 values"),
    (measure.ece_interval, {"groups": ["a", None, "b"]}, "groups: 1 of 3 values missing"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "options", "message"), OPTIONS)
def test_options_out_of_range_are_refused(call, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call([0.2, 0.6, 0.9], [0, 1, 1], **options)


LABELS = [
    np.array([2, 0, 1, 1], np.uint64),  # codes already
    np.array([2, 0, 3, 3]),
    np.array([-1, 0, 1, 1]),
    np.array([2**62, 0, 1, 1]),
    np.array(["b", "a", "c", "b"]),
    np.array([], int),
]


@pytest.mark.parametrize("labels", LABELS, ids=repr)
def test_groups_are_numbered_by_their_order(labels):
    codes, n_groups = check_groups(labels, labels.size)
    names = sorted(set(labels.tolist()))
    assert n_groups == len(names)
    assert codes.tolist() == [names.index(one) for one in labels.tolist()]
    assert codes.dtype == np.intp


@pytest.mark.parametrize("y", [0, 1])
def test_one_class_gives_a_value_or_nan_with_its_reason(y):
    undefined = {"auroc", "brier_skill", "slope", "intercept"}
    undefined |= {"confidently_wrong"} if y else set()
    for name, metric in METRICS.items():
        if name not in undefined:
            assert np.isfinite(metric.value([0.2, 0.9, 0.4], [y] * 3)), name
            continue
        with pytest.warns(MeasureWarning, match="undefined"):
            assert np.isnan(metric.value([0.2, 0.9, 0.4], [y] * 3)), name


def test_constant_confidence():
    c, y = [0.8] * 10, [1] * 6 + [0] * 4
    assert measure.auroc(c, y) == 0.5
    assert measure.ece(c, y) == pytest.approx(0.2)
    with pytest.warns(MeasureWarning, match="constant"):
        assert np.isnan(measure.calibration_slope(c, y))
