"""Recalibrators: closed forms, known truths, invariants, peers, refusals."""

import json
import warnings

import numpy as np
import pytest
from scipy.special import expit
from scipy.special import logit as true_logit

from medcal_nb.correct import (
    FITS,
    RecalibrationWarning,
    Recalibrator,
    assign_folds,
    choose_clip,
    cross_fit,
    fit_bbq,
    fit_beta,
    fit_group_temperature,
    fit_histogram,
    fit_intercept,
    fit_isotonic,
    fit_option_temperature,
    fit_platt,
    fit_shrunken,
    fit_temperature,
    fit_vector,
    identity,
    option_arrays,
    top_option,
)
from medcal_nb.measure import ece, log_loss


def draw(rng, n, *, slope=1.0, shift=0.0, centre=1.0):
    """Confidences c whose true accuracy is sigma(slope * logit(c) + shift)."""
    z = rng.normal(centre, 1.5, n)
    return expit(z), (rng.random(n) < expit(slope * z + shift)).astype(float)


# --- closed forms -----------------------------------------------------------------------------


def test_temperature_of_one_repeated_confidence_is_worked_by_hand():
    # all say 0.9, 7 of 10 are right: sigma(logit(.9)/T) = .7, so T = logit(.9)/logit(.7)
    fit = fit_temperature([0.9] * 10, [1] * 7 + [0] * 3)
    assert fit.params["temperature"] == pytest.approx(true_logit(0.9) / true_logit(0.7), rel=1e-9)
    assert fit([0.9])[0] == pytest.approx(0.7, rel=1e-9)


def test_option_temperature_of_two_options_equals_the_one_of_their_maximum(rng):
    c, y = draw(rng, 400)
    options = np.column_stack([c, 1 - c])
    single = fit_temperature(c, y).params["temperature"]
    double = fit_option_temperature(options, np.where(y == 1, 0, 1)).params["temperature"]
    assert double == pytest.approx(single, rel=1e-6)


@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.parametrize("true", [0.3, 1.0, 4.0])
def test_option_temperature_is_where_the_likelihood_is_largest(rng, true, absent):
    from scipy.optimize import minimize_scalar

    logits = 2 * rng.normal(size=(500, 4))
    if absent:
        logits[:200, 3] = np.nan
    odds = np.exp(logits / true)
    share = np.nan_to_num(odds / np.nansum(odds, axis=1, keepdims=True)).cumsum(axis=1)
    gold = (rng.random((500, 1)) * share[:, -1:] > share).sum(axis=1)
    odds = np.exp(logits)
    options = odds / np.nansum(odds, axis=1, keepdims=True)

    def cost(log_t):
        powered = options ** np.exp(-log_t)
        right = powered[np.arange(500), gold] / np.nansum(powered, axis=1)
        return -np.log(right).sum()

    wanted = np.exp(minimize_scalar(cost, bounds=(-3.5, 3.5), options={"xatol": 1e-9}).x)
    fit = fit_option_temperature(options, gold, clip=1e-12)
    # a search by values alone finds a minimum to the root of the rounding of those values
    assert fit.params["temperature"] == pytest.approx(wanted, rel=1e-6)
    assert fit.params["at_bound"] is False


@pytest.mark.parametrize(("right", "bound"), [(60, 0.02), (20, 50.0)])
def test_option_temperature_stops_at_its_bounds(right, bound):
    # three in five right at a lead of a hair would need an endless slope; one in five, one below 0
    p = 1 / 3 + (1e-9 if bound < 1 else 0.1)
    options = np.tile([p, (1 - p) / 2, (1 - p) / 2], (100, 1))
    gold = np.where(np.arange(100) < right, 0, 1 + np.arange(100) % 2)
    with pytest.warns(RecalibrationWarning, match="no maximum inside"):
        fit = fit_option_temperature(options, gold)
    assert fit.params == {"temperature": bound, "at_bound": True, "n_options": 3}


def test_options_that_are_all_alike_have_no_temperature():
    fit = fit_option_temperature(np.full((9, 3), 1 / 3), np.arange(9) % 3)
    assert fit.params == {"temperature": 1.0, "at_bound": False, "n_options": 3}


def test_intercept_alone_matches_the_mean():
    # Platt's targets for 6 of 8: high 7/8, low 1/4, so the mean target is (6*7/8 + 2/4)/8
    fit = fit_intercept([0.5] * 8, [1] * 6 + [0] * 2)
    assert fit([0.5])[0] == pytest.approx((6 * 7 / 8 + 2 / 4) / 8, abs=1e-8)


def test_histogram_gives_the_share_of_each_bin():
    fit = fit_histogram([0.1, 0.2, 0.3, 0.8, 0.9, 1.0], [0, 0, 1, 1, 1, 0], n_bins=2)
    np.testing.assert_allclose(fit([0.0, 0.3, 0.9, 1.0]), [1 / 3, 1 / 3, 2 / 3, 2 / 3])


# --- known truths -----------------------------------------------------------------------------


@pytest.mark.parametrize("true_t", [0.5, 1.0, 2.5])
def test_temperature_recovers_the_truth_within_its_standard_error(rng, true_t):
    c, y = draw(rng, 20_000, slope=1 / true_t)
    x, t = true_logit(c), fit_temperature(c, y).params["temperature"]
    p = expit(x / true_t)
    standard_error = true_t**2 / np.sqrt((x**2 * p * (1 - p)).sum())
    assert abs(t - true_t) < 4 * standard_error


def test_platt_and_beta_recover_a_slope_and_a_shift(rng):
    c, y = draw(rng, 40_000, slope=0.6, shift=-0.7)
    platt, beta = fit_platt(c, y).params, fit_beta(c, y).params
    assert platt["slope"] == pytest.approx(0.6, abs=0.04)
    assert platt["intercept"] == pytest.approx(-0.7, abs=0.06)
    assert beta["a"] == pytest.approx(0.6, abs=0.12)
    assert beta["b"] == pytest.approx(0.6, abs=0.12)


@pytest.mark.parametrize("name", sorted(FITS))
def test_every_family_mends_overconfidence_on_new_answers(rng, name):
    c, y = draw(rng, 4000, slope=0.4)
    fresh_c, fresh_y = draw(rng, 4000, slope=0.4)
    fitted = FITS[name](c, y)
    assert ece(fresh_c, fresh_y) > 0.1
    assert ece(fitted(fresh_c), fresh_y) < 0.05
    assert log_loss(fitted(fresh_c), fresh_y) < log_loss(fresh_c, fresh_y)


def test_vector_scaling_mends_a_liking_for_one_letter(rng):
    n, k = 4000, 4
    gold = rng.integers(0, k, n)
    z = rng.normal(0, 1, (n, k))
    z[np.arange(n), gold] += 1.5
    honest = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    biased = np.exp(z + np.array([1.5, 0, 0, 0]))
    biased /= biased.sum(1, keepdims=True)
    mended = fit_vector(biased[:2000], gold[:2000])(biased[2000:])
    right = [np.mean(top_option(p)[0] == gold[2000:]) for p in (biased[2000:], mended)]
    assert right[1] > right[0] + 0.03
    assert np.abs(mended.mean(0) - np.bincount(gold[2000:], minlength=k) / 2000).max() < 0.03
    assert np.abs(mended - honest[2000:]).mean() < np.abs(biased - honest)[2000:].mean()


def test_group_temperature_draws_the_little_known_group_to_the_pooled_one(rng):
    truth = {"ct": 1.5, "mri": 1.5, "x-ray": 1.5, "ultrasound": 4.0}
    n = {"ct": 2000, "mri": 2000, "x-ray": 8, "ultrasound": 2000}
    rows = [(*draw(rng, n[g], slope=1 / t), [g] * n[g]) for g, t in truth.items()]
    c, y, g = (np.concatenate([r[i] for r in rows]) for i in range(3))
    params = fit_group_temperature(c, y, groups=g).params
    own = params["temperature"]
    assert own["ct"] == pytest.approx(1.5, rel=0.15)
    assert own["ultrasound"] == pytest.approx(4.0, rel=0.25)
    assert own["ct"] < own["x-ray"] < own["ultrasound"]
    assert params["tau"] > 0.2


def test_group_temperature_shrinks_fully_where_groups_do_not_differ(rng):
    c, y = draw(rng, 3000, slope=0.5)
    g = rng.integers(0, 6, 3000)
    fit = fit_group_temperature(c, y, groups=g)
    own = np.array(list(fit.params["temperature"].values()))
    alone = [fit_temperature(c[g == k], y[g == k]).params["temperature"] for k in range(6)]
    assert own.std() < 0.6 * np.std(alone)
    np.testing.assert_allclose(
        fit(c[:3], groups=["never seen"] * 3), expit(true_logit(c[:3]) / fit.params["pooled"])
    )


def test_shrunken_map_never_loses_much_to_carrying_over_or_refitting():
    """Over many small label sets, its mean log loss stays near the better of the two."""
    rng = np.random.default_rng(7)
    fresh = {s: draw(rng, 20_000, slope=s, shift=b) for s, b in ((0.5, 0.0), (0.25, -1.0))}
    general = fit_temperature(*draw(rng, 20_000, slope=0.5))
    for (slope, shift), worst in (((0.5, 0.0), 0.012), ((0.25, -1.0), 0.03)):
        c1, y1 = fresh[slope]
        for n in (10, 40, 160):
            losses = []
            for _ in range(25):
                c, y = draw(rng, n, slope=slope, shift=shift)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RecalibrationWarning)
                    maps = general, fit_platt(c, y), fit_shrunken(c, y, start=general)
                losses.append([log_loss(m(c1), y1) for m in maps])
            carried, refitted, shrunken = np.mean(losses, axis=0)
            limit = max(carried, refitted) if n == 10 else min(carried, refitted)
            assert shrunken < limit + worst


# --- invariants -------------------------------------------------------------------------------


def test_temperature_keeps_the_order_and_never_crosses_one_half(rng):
    c, y = draw(rng, 500, slope=0.2, shift=-1.5)  # accuracy far below one half
    assert y.mean() < 0.4
    with pytest.warns(RecalibrationWarning, match="no maximum inside"):
        out = fit_temperature(c, y)(c)
    assert (np.diff(out[np.argsort(c)]) >= 0).all()
    assert ((out >= 0.5) == (c >= 0.5)).all()
    assert fit_platt(c, y)(c).mean() == pytest.approx(y.mean(), abs=0.01)  # Platt can cross


@pytest.mark.parametrize("fit", [fit_temperature, fit_platt, fit_beta, fit_isotonic])
def test_a_weight_of_two_equals_the_row_twice(rng, fit):
    c, y = draw(rng, 60, slope=0.5)
    w = rng.integers(0, 3, 60)
    weighted, repeated = fit(c, y, weights=w), fit(np.repeat(c, w), np.repeat(y, w))
    x = np.linspace(c[w > 0].min(), c[w > 0].max(), 50)
    np.testing.assert_allclose(weighted(x), repeated(x), atol=1e-7)


@pytest.mark.parametrize("name", sorted(FITS))
def test_order_of_rows_does_not_matter(rng, name):
    c, y = draw(rng, 300)
    order = rng.permutation(300)
    x = np.linspace(0, 1, 41)
    np.testing.assert_allclose(FITS[name](c, y)(x), FITS[name](c[order], y[order])(x), atol=1e-9)


def test_json_round_trip_is_exact(rng, tmp_path):
    c, y = draw(rng, 200)
    options = np.column_stack([c * 0.9, (1 - c) * 0.9, np.full(200, 0.1)])
    gold = np.where(y == 1, 0, 1)
    general = fit_temperature(c, y, items=range(200))
    maps = [f(c, y) for f in FITS.values()] + [
        general, identity(), fit_intercept(c, y), fit_shrunken(c, y, start=general),
    ]  # fmt: skip
    for m in maps:
        m.to_json(tmp_path / "map.json")
        back = Recalibrator.from_json(tmp_path / "map.json")
        assert back == m
        np.testing.assert_array_equal(back(c), m(c))
    for m in (fit_option_temperature(options, gold), fit_vector(options, gold)):
        np.testing.assert_array_equal(Recalibrator.from_json(m.to_json())(options), m(options))
    grouped = fit_group_temperature(c, y, groups=["a", "b"] * 100)
    back = Recalibrator.from_json(grouped.to_json())
    np.testing.assert_array_equal(back(c, groups=["a"] * 200), grouped(c, groups=["a"] * 200))


# --- its own items ----------------------------------------------------------------------------


def test_a_fit_refuses_to_be_scored_on_its_own_items(rng):
    c, y = draw(rng, 50)
    items = [f"item-{i}" for i in range(50)]
    fitted = Recalibrator.from_json(fit_platt(c, y, items=items).to_json())
    assert "item-3" not in fitted.to_json()  # keys are hashed
    with pytest.raises(ValueError, match=r"1 of 2 were used to fit .* position 1 \('item-3'\)"):
        fitted.apply(c[:2], items=["new", "item-3"])
    np.testing.assert_array_equal(fitted.apply(c[:2], items=["new", "newer"]), fitted(c[:2]))


def test_cross_fit_of_pure_noise_does_not_look_good(rng):
    """Right answers fall by coin, independent of confidence: nothing can be learned.

    A map scored on its own items would show it below the coin's log loss.
    """
    c, y = rng.random(300), (rng.random(300) < 0.5).astype(float)
    images = np.repeat(np.arange(100), 3)
    own = log_loss(fit_isotonic(c, y)(c), y)
    crossed = log_loss(cross_fit(fit_isotonic, c, y, images, rng=rng), y)
    assert own < np.log(2) - 0.005
    assert crossed > np.log(2)


def test_cross_fit_leaves_whole_images_out(rng):
    """Each image has its own answer; only a map that saw the image could know it."""
    image = np.repeat(np.arange(60), 4)
    c, y = image / 60 + 0.002, (rng.random(60) < 0.5).astype(float)[image]
    leaky = cross_fit(fit_isotonic, c, y, np.arange(240), rng=rng)
    clean = cross_fit(fit_isotonic, c, y, image, rng=rng)
    assert log_loss(leaky, y) < log_loss(clean, y)


def test_cross_fit_by_group_passes_the_labels_on(rng):
    c, y = draw(rng, 300, slope=0.5)
    by = np.where(np.arange(300) % 2, "ct", "mri")
    out = cross_fit(fit_group_temperature, c, y, np.arange(300), rng=rng, by=by)
    assert out.shape == (300,)
    assert log_loss(out, y) < log_loss(c, y)


def test_folds_are_even_and_whole(rng):
    groups = np.repeat(np.arange(23), rng.integers(1, 9, 23))
    fold = assign_folds(groups, 5, rng=rng)
    assert all(len(set(fold[groups == g])) == 1 for g in range(23))
    sizes = np.bincount(fold)
    assert sizes.max() - sizes.min() <= 8
    with pytest.raises(ValueError, match="3 different ones cannot fill 5 folds"):
        assign_folds([1, 2, 3, 3], 5, rng=rng)


# --- peers ------------------------------------------------------------------------------------


def test_platt_equals_scikit_learn(rng):
    from sklearn.calibration import _SigmoidCalibration

    c, y = draw(rng, 500, slope=0.5, shift=-0.3)
    x = true_logit(c)
    peer = _SigmoidCalibration().fit(x, y)
    np.testing.assert_allclose(fit_platt(c, y, clip=1e-9)(c), peer.predict(x), atol=1e-5)


def test_isotonic_equals_netcal_but_for_certainty(rng):
    from netcal.binning import IsotonicRegression

    c, y = draw(rng, 500)
    c, y = np.r_[c, 0.9999], np.r_[y, 1.0]
    peer = IsotonicRegression().fit(c, y.astype(int)).transform(c)
    ours = fit_isotonic(c, y)(c)
    assert peer.max() == 1.0  # netcal claims certainty
    np.testing.assert_allclose(ours, np.clip(peer, 1 / 503, 502 / 503), atol=1e-9)


def test_histogram_of_equal_width_equals_netcal(rng):
    from netcal.binning import HistogramBinning

    c, y = draw(rng, 500, slope=0.5)
    peer = HistogramBinning(bins=10, equal_intervals=True).fit(c, y.astype(int)).transform(c)
    np.testing.assert_allclose(fit_histogram(c, y, binning="width")(c), peer, atol=1e-9)


@pytest.mark.slow
def test_scaling_equals_netcal_where_netcal_is_right(rng, tmp_path, monkeypatch):
    from netcal.scaling import BetaCalibration, TemperatureScaling

    monkeypatch.chdir(tmp_path)  # netcal writes a tensorboard log into the working folder
    c, y = draw(rng, 2000, slope=0.5)
    peer = TemperatureScaling()
    peer.fit(c, y.astype(int), random_state=0, tensorboard=False)
    np.testing.assert_allclose(fit_temperature(c, y, clip=1e-12)(c), peer.transform(c), atol=2e-4)
    beta = BetaCalibration()
    beta.fit(c, y.astype(int), random_state=0, tensorboard=False)
    np.testing.assert_allclose(fit_beta(c, y, clip=1e-12)(c), beta.transform(c), atol=0.01)


@pytest.mark.slow
def test_temperature_finds_the_maximum_that_netcal_misses(rng, tmp_path, monkeypatch):
    """netcal moves a stated 100 % to 1 - 2e-16, where its loss saturates and its gradient is lost.

    At netcal's own clip, its temperature is then not the most likely one.
    """
    from netcal.scaling import TemperatureScaling

    monkeypatch.chdir(tmp_path)
    c, y = draw(rng, 1000)
    c, y = np.r_[c, np.ones(20)], np.r_[y, np.ones(18), np.zeros(2)]
    eps = np.finfo(float).eps
    peer = TemperatureScaling()
    peer.fit(c, y.astype(int), random_state=0, tensorboard=False)
    x = true_logit(np.clip(c, eps, 1 - eps))

    def likelihood(inverse_t):
        return -np.logaddexp(0, -np.where(y == 1, x, -x) * inverse_t).sum()

    ours = likelihood(1 / fit_temperature(c, y, clip=eps).params["temperature"])
    assert ours > likelihood(float(peer.temperature[0])) + 5


def test_clip_is_half_the_last_step_that_is_stated():
    assert choose_clip([0.5, 0.99, 1.0]) == pytest.approx(0.005)
    assert choose_clip([0.5, 0.9, 1.0]) == 0.005
    assert choose_clip([0.5, 0.999, 0.0]) == pytest.approx(0.0005)
    assert choose_clip([0.5, 0.999]) == 1e-6
    assert choose_clip([1.0]) == 0.005


def test_bbq_is_close_to_the_truth_and_to_netcal(rng, capsys):
    from netcal.binning import BBQ

    c, y = draw(rng, 3000, slope=0.5)
    truth = expit(0.5 * true_logit(c))
    ours = np.abs(fit_bbq(c, y)(c) - truth).mean()
    peer = np.abs(BBQ().fit(c, y.astype(int)).transform(c) - truth).mean()
    assert ours < 0.03
    assert ours < peer + 0.01


# --- degenerate and bad input -----------------------------------------------------------------


def test_degenerate_data_give_a_told_and_finite_map():
    one_class = ([0.6, 0.7, 0.8, 0.9, 0.95, 1.0], [1] * 6)
    with pytest.warns(RecalibrationWarning, match="all 6 answers are right; temperature left"):
        assert fit_temperature(*one_class).params["temperature"] == 1
    with pytest.warns(RecalibrationWarning, match="every confidence becomes 0.875"):
        out = fit_platt(*one_class)(one_class[0])
    np.testing.assert_allclose(out, 7 / 8, atol=1e-6)
    with pytest.warns(RecalibrationWarning, match="intercept alone"):
        out = fit_platt([0.9] * 10, [1] * 5 + [0] * 5)([0.9])
    assert out[0] == pytest.approx(0.5)
    with pytest.warns(RecalibrationWarning, match="one half"):
        assert fit_temperature([0.5] * 10, [1, 0] * 5).params["temperature"] == 1
    with pytest.warns(RecalibrationWarning, match="no maximum"):
        assert fit_temperature([0.9] * 10, [0] * 9 + [1]).params["at_bound"]
    for fit in FITS.values():
        with pytest.warns(RecalibrationWarning, match="3 labelled answers, fewer than 5"):
            np.testing.assert_allclose(fit([0.2, 0.6, 0.9], [0, 1, 1])([0.3, 0.7]), [0.3, 0.7])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RecalibrationWarning)
            for c, y in (one_class, (one_class[0], [0] * 6), ([0.9] * 8, [1, 0] * 4),
                         ([0, 1] * 4, [0, 1] * 4), ([0, 1] * 4, [1, 0] * 4)):  # fmt: skip
                out = fit(c, y)(np.linspace(0, 1, 11))
                assert ((out >= 0) & (out <= 1)).all()


def test_separable_answers_keep_platt_finite():
    fit = fit_platt([0.1, 0.2, 0.3, 0.7, 0.8, 0.9], [0, 0, 0, 1, 1, 1])
    assert np.isfinite([fit.params["slope"], fit.params["intercept"]]).all()
    assert 0 < fit([0.1])[0] < fit([0.9])[0] < 1


@pytest.mark.parametrize("name", sorted(FITS))
def test_bad_input_is_refused_by_name_and_position(name):
    fit = FITS[name]
    with pytest.raises(ValueError, match=r"confidence: 1 of 3 .* position 2"):
        fit([0.1, 0.5, 85], [0, 1, 1])
    with pytest.raises(ValueError, match=r"confidence: 1 of 2 .* position 0"):
        fit([np.nan, 0.5], [0, 1])
    with pytest.raises(ValueError, match=r"correct: 1 of 2 .* position 1"):
        fit([0.1, 0.5], [0, 2])
    with pytest.raises(ValueError, match="correct"):
        fit([0.1, 0.5, 0.7], [0, 1])
    with pytest.raises(ValueError, match="clip"):
        fit([0.1, 0.5], [0, 1], clip=0.5)
    with pytest.raises(ValueError, match="items: 1 keys for 6"):
        fit(np.linspace(0.1, 0.9, 6), [0, 1] * 3, items=["a"])


def test_bad_maps_are_refused(tmp_path):
    with pytest.raises(ValueError, match="not a recalibration map"):
        Recalibrator.from_json('{"format": "something"}')
    with pytest.raises(ValueError, match="not a recalibration map"):
        Recalibrator.from_json("{not json")
    text = json.loads(identity().to_json()) | {"name": "magic"}
    with pytest.raises(ValueError, match="unknown map 'magic'"):
        Recalibrator.from_json(json.dumps(text))
    with pytest.raises(ValueError, match=r"groups: this map needs"):
        fit_group_temperature([0.3, 0.9] * 5, [0, 1] * 5, groups=["a"] * 10)([0.5])
    with pytest.raises(ValueError, match="expected shape"):
        fit_option_temperature(np.full((6, 1), 1.0), [0] * 6)
    with pytest.raises(ValueError, match=r"gold: 1 of 6 .* position 5 \(option 2\)"):
        fit_option_temperature(np.full((6, 2), 0.5), [0, 1, 0, 1, 0, 2])


def test_options_of_different_items_become_columns():
    rows = [{"yes": 0.7, "no": 0.3}, {"yes": 0.2, "no": 0.8}]
    options, gold, names = option_arrays(rows, ["no", "perhaps"])
    np.testing.assert_allclose(options, [[0.3, 0.7], [0.8, 0.2]])
    assert gold.tolist() == [0, -1]
    assert names[0] == ["no", "yes"]
    options, gold, names = option_arrays([{"a": 0.5, "b": 0.5}, {"ct": 0.1, "mri": 0.2, "us": 0.7}],
                                         ["b", "us"])  # fmt: skip
    assert np.isnan(options[0, 2])
    assert gold.tolist() == [1, 2]
    assert names[1][2] == "us"
    gold = np.r_[np.tile(gold, 3), [0, 0]]
    out = fit_option_temperature(np.tile(options, (4, 1)), gold)(options)
    np.testing.assert_allclose(np.nansum(out, axis=1), 1)
    assert np.isnan(out[0, 2])
