"""Transfer tables against the same done row by row, against known truths, and on real data."""

import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from medcal_nb.correct import (
    RecalibrationWarning,
    fit,
    gap_table,
    images_note,
    modality_matrix,
    transfer_study,
    transfer_summary,
)
from medcal_nb.correct import transfer as transfer_module
from medcal_nb.correct.maps import choose_clip, folds_of
from medcal_nb.correct.paired import paired, weighted_auroc
from medcal_nb.correct.transfer import _conclusion
from medcal_nb.measure import auroc, brier_score
from medcal_nb.measure.rows import image_labels

from .worlds import SIDES, cross_fit, graded, with_options


@pytest.fixture
def both(rng):
    return pd.concat(
        [
            graded(rng, 500, "general", slope=0.8, per_image=2),
            graded(rng, 300, "medical", slope=0.5, shift=-0.4, per_image=3),
        ],
        ignore_index=True,
    )


METHODS = ("temperature", "log_odds", "platt", "beta", "isotonic")


def study_of(data, **settings):
    usual = SIDES | {
        "methods": METHODS,
        "margin": 0.005,
        "rng": np.random.default_rng(3),
    }
    return transfer_study(data, **usual | settings)


def table_of(data, **settings):
    return study_of(data, **settings).table


# --- one study, done by hand --------------------------------------------------------------------


@pytest.mark.parametrize("decimals", [None, 2])
@pytest.mark.parametrize("method", ["log_odds", "platt", "beta", "isotonic"])
def test_estimates_equal_public_functions_row_by_row(rng, method, decimals):
    data = pd.concat(
        [
            graded(rng, 400, "general", slope=0.8, decimals=decimals),
            graded(rng, 240, "medical", slope=0.5, decimals=decimals, per_image=2),
        ]
    )
    table = table_of(data, methods=[method], n_resamples=0).set_index("loss")
    row = table.loc["brier"]
    g, m = (data[data.domain == d] for d in ("general", "medical"))
    made = partial(fit, method=method, clip=choose_clip(data.confidence))
    start = made(g.confidence, g.correct)
    assert row.loss_raw == pytest.approx(brier_score(m.confidence, m.correct))
    assert row.loss_source == pytest.approx(
        brier_score(start(m.confidence), m.correct), abs=1e-6
    )
    # the folds come from a generator that the study derives from its own
    seed = int(np.random.default_rng(3).integers(2**63))
    folds = dict(groups=image_labels(m), rng=np.random.default_rng([seed, 0]))
    crossed = cross_fit(made, m.confidence, m.correct, **folds)
    assert row.loss_target == pytest.approx(brier_score(crossed, m.correct), abs=1e-6)
    assert row.cost == pytest.approx(row.loss_source - row.loss_target)
    assert row.carry_change == pytest.approx(row.loss_source - row.loss_raw)


@pytest.mark.parametrize("method", ["log_odds", "platt", "isotonic", "temperature"])
def test_an_interval_repeats_the_fits_in_each_resample(rng, method, monkeypatch):
    """One chosen resample, its rows repeated and all fits made again by hand."""
    data = pd.concat(
        [with_options(rng, 120, "general", 1.0), with_options(rng, 90, "medical", 2.0)]
    )
    copies = {"general": np.arange(120) % 3, "medical": (np.arange(90) + 1) % 3}
    given = iter(copies.values())

    class Chosen(transfer_module.Resamples):
        def __init__(self, labels, n_resamples, rng):
            super().__init__(labels, 0, rng)
            self.counts = np.vstack([self.counts, next(given)]).astype(float)

    monkeypatch.setattr(transfer_module, "Resamples", Chosen)
    study = study_of(
        data, methods=[method], n_resamples=1, rng=np.random.default_rng(5)
    )
    at = study.table.index[study.table.loss == "brier"][0]
    seed = int(np.random.default_rng(5).integers(2**63))
    parts = {}
    for name, counts in copies.items():
        own = data[data.domain == name]
        code = np.unique(image_labels(own), return_inverse=True)[1]
        parts[name] = own.iloc[np.repeat(np.arange(len(own)), counts[code])]
        if name == "medical":
            fold = folds_of(own, seed)
            fold = np.repeat(fold, counts[code])
    made = partial(fit, method=method, clip=choose_clip(data.confidence))
    (cg, yg), (cm, ym) = (transfer_module.arrays_of(p, method) for p in parts.values())
    right = parts["medical"].correct.to_numpy()

    def brier(p):
        return np.mean(((p if p.ndim == 1 else p.max(axis=1)) - right) ** 2)

    crossed = np.empty_like(cm)
    for k in range(5):
        crossed[fold == k] = made(cm[fold != k], ym[fold != k])(cm[fold == k])
    cost = brier(made(cg, yg)(cm)) - brier(crossed)
    assert study.cost[at, 1] == pytest.approx(cost, abs=1e-5)


def test_temperature_works_on_all_options_and_log_odds_stands_beside_it(rng):
    rows = [
        with_options(rng, 400, "general", 1.0),
        with_options(rng, 400, "medical", 2.5),
    ]
    table = table_of(pd.concat(rows), n_resamples=50)
    brier = table[table.loss == "brier"].set_index("method")
    assert {"temperature", "log_odds", "platt"} <= set(brier.index)
    row = brier.loc["temperature"]
    assert row.temperature_source == pytest.approx(1, abs=0.3)
    assert row.temperature_target == pytest.approx(2.5, abs=0.7)
    assert row.cost > 0.01
    assert row.temperature_source != pytest.approx(
        brier.loc["log_odds"].temperature_source, rel=0.02
    )
    # where a row lacks options the temperature is left out; asked for alone, it is refused
    rows[1].iloc[3, rows[1].columns.get_loc("option_probabilities")] = None
    assert "temperature" not in set(table_of(pd.concat(rows), n_resamples=0).method)
    with pytest.raises(ValueError, match="with the probabilities of all options"):
        table_of(pd.concat(rows), methods=["temperature"], n_resamples=0)


def test_resampled_fits_on_cells_are_those_on_rows(both, monkeypatch):
    """More than 400 different confidences are gathered in resamples, never in the estimates."""
    settings = {"methods": ["platt", "log_odds"], "n_resamples": 40}
    cells = table_of(both, **settings)
    monkeypatch.setattr(transfer_module, "_CELLS", 10_000)
    rows = table_of(both, **settings)
    same = ["loss_raw", "loss_source", "loss_target", "cost", "auroc"]
    pd.testing.assert_frame_equal(cells[same], rows[same])
    for end in ("cost_low", "cost_high", "carry_change_low"):
        np.testing.assert_allclose(cells[end].dropna(), rows[end].dropna(), atol=3e-4)


# --- conclusions --------------------------------------------------------------------------------


def test_four_conclusions_follow_the_truth(rng):
    worlds = {  # (slope of general, slope and shift of medical)
        "calibrated": (1.0, 1.0, 0.0),
        "carries": (0.4, 0.4, 0.0),
        "does not": (2.0, 0.4, -1.0),
    }
    parts = []
    for model, (g, m, shift) in worlds.items():
        parts.append(graded(rng, 6000, "general", slope=g, model=model))
        parts.append(graded(rng, 6000, "medical", slope=m, shift=shift, model=model))
    parts.append(graded(rng, 40, "general", slope=1.0, model="few"))
    parts.append(graded(rng, 40, "medical", slope=0.5, model="few"))
    study = study_of(pd.concat(parts), methods=["platt"], n_resamples=200, rng=rng)
    brier = study.table[study.table.loss == "brier"].set_index("model")
    assert brier.conclusion.to_dict() == {
        "calibrated": "nothing to correct", "carries": "carries over",
        "does not": "does not", "few": "undecided",
    }  # fmt: skip
    assert brier.loc["carries"].carry_change_high < 0  # below 0 is better
    assert study.table[study.table.loss != "brier"].conclusion.isna().all()


def test_what_knows_nothing_of_the_target_is_shown_as_that(rng):
    """A model that guesses on the target: the best map is one number, AUROC holds one half."""
    guesses = graded(rng, 2000, "medical", slope=0.0)
    row = table_of(pd.concat([graded(rng, 2000, "general"), guesses]), methods=["log_odds"],
                   n_resamples=100).iloc[0]  # fmt: skip
    assert row.auroc_low < 0.5 < row.auroc_high
    assert row.auroc == pytest.approx(auroc(guesses.confidence, guesses.correct))
    assert "target" in row.at_bound
    assert row.loss_target == pytest.approx(row.loss_rate, abs=0.002)
    assert row.loss_rate == pytest.approx(0.25, abs=0.001)
    assert row.loss_raw > row.loss_rate + 0.05


@pytest.mark.parametrize(
    ("cost", "gain", "expected"),
    [
        ((0.001, 0.004), (-0.03, -0.02), "carries over"),  # a difference, but within
        (
            (-0.02, -0.01),
            (-0.03, -0.02),
            "carries over",
        ),  # better than refitting: non-inferior
        ((-0.001, 0.004), (-0.004, 0.001), "nothing to correct"),
        (
            (0.006, 0.02),
            (-0.004, 0.001),
            "does not",
        ),  # harm, though nothing was to be gained
        ((-0.004, 0.006), (-0.03, -0.02), "undecided"),
        ((np.nan, np.nan), (np.nan, np.nan), ""),
    ],
)
def test_a_conclusion_from_intervals(cost, gain, expected):
    row = {"cost": np.mean(cost), "cost_low": cost[0], "cost_high": cost[1]}
    row |= {"refit_change_low": gain[0]}
    draws = np.r_[np.mean(cost), np.linspace(*cost, 50)]
    assert _conclusion(draws, row, 0.005)["conclusion"] == expected


def test_conclusions_read_together_are_holm_corrected(rng):
    """Twenty rows at the margin: some carry over by chance alone, fewer after Holm."""
    draws = [rng.normal(0.005, 0.001) + rng.normal(0, 0.001, 400) for _ in range(200)]
    rows = []
    for d in draws:
        row = {
            "cost": d[0],
            "cost_low": np.quantile(d, 0.05),
            "cost_high": np.quantile(d, 0.95),
        }
        found = _conclusion(d, row | {"refit_change_low": -1.0}, 0.005)
        rows.append({"method": "platt"} | found)
    table = transfer_module._holm(pd.DataFrame(rows), 0.90)
    alone = (table.conclusion != "undecided").sum()
    together = (table.conclusion_holm != "undecided").sum()
    assert alone > 5
    assert together < alone / 2


@pytest.mark.slow
def test_cost_intervals_cover_the_true_cost():
    """90 % intervals over 80 draws at n = 451, against the maps' true losses."""
    fresh = graded(np.random.default_rng(1), 200_000, "medical", slope=0.5, shift=-0.3)
    true = expit(0.5 * np.log(fresh.confidence / (1 - fresh.confidence)) - 0.3)
    inside = []
    for k in range(80):
        rng = np.random.default_rng([9, k])
        g = graded(rng, 600, "general", slope=0.9)
        m = graded(rng, 451, "medical", slope=0.5, shift=-0.3)
        row = table_of(
            pd.concat([g, m]), methods=["platt"], n_resamples=150, rng=rng
        ).iloc[0]
        carried, refitted = (
            fit(d.confidence, d.correct)(fresh.confidence) for d in (g, m)
        )
        cost = np.mean((carried - true) ** 2 - (refitted - true) ** 2)
        inside.append(row.cost_low <= cost <= row.cost_high)
    # binomial(80, 0.9) lies in [0.80, 0.99] with probability 0.99
    assert 0.80 <= np.mean(inside) <= 0.99


# --- images -------------------------------------------------------------------------------------


def test_source_and_target_that_share_images_are_refused(rng):
    """400 images with two questions each, no signal: a map of question 1 would "carry over"."""
    first = graded(rng, 400, "set", slope=0.0).assign(question=1)
    second = first.assign(question=2, item_id=first.item_id + "-2")
    data = pd.concat([first, second])
    sides = {"source": {"question": 1}, "target": {"question": 2}}
    for table in (study_of, gap_table):
        with pytest.raises(ValueError, match="400 images are both source and target"):
            table(data, **sides, n_resamples=0, rng=rng)
    other = pd.concat(
        [first, second.assign(dataset="another")]
    )  # the same ids, other images
    assert len(table_of(other, **sides, methods=["platt"], n_resamples=0, rng=rng)) == 2
    crossed = data.assign(modality=data.question.map({1: "ct", 2: "mri"}))
    with pytest.raises(ValueError, match="400 images are both of"):
        modality_matrix(crossed, others=crossed[:0], n_resamples=0, rng=rng)


def test_an_image_has_one_label_whatever_type_its_id_has(rng):
    ids = [7, np.int64(7), 7.0, "7", "7.0", np.float64(7)]
    rows = pd.DataFrame(
        {"dataset": "d", "item_id": range(6), "image_id": pd.Series(ids, dtype=object)}
    )
    assert set(image_labels(rows)) == {"d/7"}
    rows.loc[2, "image_id"] = None
    assert image_labels(rows)[2] == "d/2"  # the item is its own image
    assert "1 of 6 answers name no image" in images_note(rows)
    assert images_note(rows.dropna()) == ""
    assert "6 of 6" in images_note(rows.drop(columns="image_id"))


def test_resamples_are_shared_by_rows_on_the_same_images(both):
    study = study_of(
        pd.concat([both, both.assign(model="n")]), methods=["platt"], n_resamples=50,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    brier = study.table[study.table.loss == "brier"]
    np.testing.assert_allclose(*study.cost[brier.index])
    row = transfer_summary(study).iloc[0]
    # the second model is a copy: the mean is no better known than one
    first = brier.iloc[0]
    assert (row.rows, row.models, row.spread) == (2, 2, pytest.approx(0))
    assert row.cost == pytest.approx(first.cost)
    assert row.cost_high - row.cost_low == pytest.approx(
        first.cost_high - first.cost_low
    )
    assert sum(row[name] for name in transfer_module.CONCLUSIONS) == 2


def test_paired_rows_share_their_draws(rng):
    data = pd.concat([graded(rng, 60, "d", per_image=3, model=m) for m in "ab"])
    seen = []
    paired(data, ["model"], lambda part, w: seen.append(w) or {"x": w.mean(axis=1), "y": 1.0},
           n_resamples=30, rng=rng)  # fmt: skip
    np.testing.assert_array_equal(*seen)
    assert (seen[0][0] == 1).all()
    assert (seen[0].reshape(31, 20, 3).std(axis=2) == 0).all()  # whole images


def test_auroc_within_folds_is_not_fooled_by_their_different_maps(rng):
    """One number per fold, lower where more of the others are right: pooled, it looks inverted."""
    y = (rng.random(400) < np.repeat([0.3, 0.7], 200)).astype(float)
    fold = np.repeat([0, 1], 200)
    c = np.where(fold == 0, 0.7, 0.3) + rng.random(400) * 1e-6
    w = np.ones((1, 400))
    assert weighted_auroc(c, y, w)[0] < 0.4
    assert weighted_auroc(c, y, w, fold)[0] == pytest.approx(0.5, abs=0.06)
    rows = rng.integers(0, 3, 400)
    again = weighted_auroc(np.round(c, 2), y, rows[None].astype(float))[0]
    assert again == pytest.approx(
        auroc(np.repeat(np.round(c, 2), rows), np.repeat(y, rows))
    )
    assert np.isnan(weighted_auroc(c, np.ones(400), w)[0])


# --- parts and pairs ----------------------------------------------------------------------------


def test_gap_parts_tell_scale_from_shift(rng):
    worlds = {
        "scale": [
            graded(rng, 4000, "general", slope=1.5),
            graded(rng, 4000, "medical", slope=0.5),
        ],
        "shift": [
            graded(rng, 4000, "general"),
            graded(rng, 4000, "medical", shift=-1.5),
        ],
    }
    parts = {}
    for name, data in worlds.items():
        table = gap_table(pd.concat(data), **SIDES, n_resamples=30, rng=rng)
        parts[name] = table.set_index("part").value
        assert ((table.low <= table.value) & (table.value <= table.high)).all()
        assert set(table.scaled) == {"log_odds"}
    assert parts["scale"]["scale"] > 10 * abs(parts["scale"]["shape"])
    assert parts["scale"]["conditional"] > parts["scale"]["prior"]
    assert parts["shift"]["prior"] > 10 * abs(parts["shift"]["conditional"])
    assert parts["shift"]["shape"] > 0.02  # no temperature corrects it
    options = pd.concat(
        [with_options(rng, 300, "general", 1), with_options(rng, 300, "medical", 2)]
    )
    assert set(gap_table(options, **SIDES, n_resamples=0, rng=rng).scaled) == {
        "temperature"
    }


def test_modality_matrix_is_best_on_its_diagonal_where_modalities_differ(rng):
    kinds = {"ct": 2.0, "ultrasound": 0.3}
    data = pd.concat(
        [
            graded(rng, 1500, f"{k}-set", slope=s).assign(modality=k)
            for k, s in kinds.items()
        ]
    )
    others = graded(rng, 500, "general").assign(modality="general")
    table = modality_matrix(data, others=others, n_resamples=20, rng=rng)
    wide = table.pivot(index="fitted_on", columns="applied_to", values="change")
    assert wide.loc["ct", "ct"] < wide.loc["ultrasound", "ct"]
    assert wide.loc["ultrasound", "ultrasound"] < wide.loc["ct", "ultrasound"]
    assert set(wide.index) == {"ct", "ultrasound", "general"}
    assert set(wide.columns) == set(kinds)


def test_answers_without_a_modality_are_in_none(rng):
    data = graded(rng, 300, "set").assign(modality=["ct", None, "mri"] * 100)
    table = modality_matrix(data, others=data[:0], n_resamples=0, rng=rng)
    assert set(table["fitted_on"]) == set(table["applied_to"]) == {"ct", "mri"}


# --- bad and thin input -------------------------------------------------------------------------


def test_bad_requests_are_refused(both, rng):
    with pytest.raises(ValueError, match="no model and strategy has enough answers"):
        table_of(both, source={"planet": "earth"})
    with pytest.raises(ValueError, match="no model and strategy has enough answers"):
        table_of(both, target={"domain": "lunar"})
    with pytest.raises(ValueError, match=r"one of 'temperature', .*, got 'magic'"):
        table_of(both, methods=["magic"])
    thin = pd.concat([both, both.assign(model="thin").groupby("domain").head(3)])
    with pytest.warns(RecalibrationWarning, match="thin s has 3 source and 3 target"):
        assert set(table_of(thin, n_resamples=0).model) == {"m"}


def test_a_strategy_without_confidence_on_one_side_is_left_out(both, rng):
    silent = both.assign(strategy="silent")
    few = (silent["domain"] == "medical") | (silent.groupby("domain").cumcount() < 4)
    data = pd.concat([both, silent.assign(confidence=silent["confidence"].where(few))])
    with pytest.warns(
        RecalibrationWarning, match="m silent has 4 source and 300 target"
    ):
        assert set(gap_table(data, **SIDES, n_resamples=0, rng=rng).strategy) == {"s"}
    none = silent.assign(confidence=np.nan)
    assert set(
        gap_table(pd.concat([both, none]), **SIDES, n_resamples=0, rng=rng).strategy
    ) == {"s"}
    with pytest.raises(ValueError, match="no model and strategy has enough answers"):
        gap_table(none, **SIDES, n_resamples=0, rng=rng)


def test_one_class_and_constant_confidence_give_numbers(both):
    for change in (
        {"correct": 1.0},
        {"correct": 0.0},
        {"confidence": 0.9},
        {"confidence": 0.5},
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            table = table_of(both.assign(**change), n_resamples=10)
        brier = table[table.loss == "brier"]
        assert np.isfinite(brier[["loss_source", "loss_target", "cost_low"]]).all(
            axis=None
        )


def test_equal_seeds_give_equal_tables(both):
    pd.testing.assert_frame_equal(
        table_of(both, n_resamples=20), table_of(both, n_resamples=20)
    )


# --- recorded answers ---------------------------------------------------------------------------


@pytest.mark.real
def test_thirteen_real_models_from_mmbench_to_oodcv(real_dir):
    """Temperature of all six options: it fails to carry over where log-odds scaling hides it."""
    frames = []
    for name in ("mmbench", "oodcv"):
        d = pd.read_parquet(real_dir / "vlm_uncertainty_bench" / f"{name}.parquet")
        z = d[[f"logit_{k}" for k in "ABCDEF"]].to_numpy(float)
        p = np.exp(z - z.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        frames.append(
            pd.DataFrame(
                {
                    "model": d.model, "dataset": name, "item_id": d.item_id.astype(str),
                    "strategy": "option_probability", "confidence": p.max(1), "gold": d.gold,
                    "option_probabilities": [
                        dict(zip("ABCDEF", row, strict=True)) for row in p.tolist()
                    ],
                    "correct": (np.array(list("ABCDEF"))[p.argmax(1)] == d.gold).astype(float),
                }
            )
        )  # fmt: skip
    study = study_of(
        pd.concat(frames), source={"dataset": "mmbench"}, target={"dataset": "oodcv"},
        methods=["temperature", "log_odds"], n_resamples=60, rng=np.random.default_rng(0),
    )  # fmt: skip
    brier = study.table[study.table.loss == "brier"]
    options, one = (
        brier[brier.method == m].set_index("model") for m in ("temperature", "log_odds")
    )
    assert len(options) == len(one) == 13
    assert (options.n_source == 4377).all()
    assert (options.n_target == 2844).all()
    assert (options.conclusion == "does not").sum() >= 6
    assert (one.conclusion == "does not").sum() == 2
    moe = options.loc[
        "MoE-LLaVA-Phi2-2.7B-4e"
    ]  # overconfident on one set, underconfident here
    assert moe.temperature_source == pytest.approx(1.136, abs=0.01)
    assert moe.temperature_target == pytest.approx(0.700, abs=0.01)
    assert moe.conclusion == moe.conclusion_holm == "does not"
    monkey = options.loc["Monkey"]  # it knows nothing there: no map can help
    assert monkey.auroc_high < 0.5
