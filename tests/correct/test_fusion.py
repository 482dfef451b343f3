"""Fusion: hand-worked ballots, monotone weights, no leakage, honest tables."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from medcal_nb.correct import (
    Fusion,
    RecalibrationWarning,
    average_reduction,
    best_subset_table,
    cross_fuse,
    fit_fusion,
    fused_verdicts,
    fusion_gain_table,
    fusion_table,
    left_out_sentence,
    left_out_table,
    make_ballots,
    pool_strategies,
)
from medcal_nb.measure import accuracy, brier_score


def rows(*given, **more):
    """Verdicts from (item, strategy, answer, confidence, correct)."""
    frame = pd.DataFrame(given, columns=["item_id", "strategy", "answer", "confidence", "correct"])
    frame["correct"] = frame["correct"].astype("boolean")
    return frame.assign(model="m", dataset="d", image_id=frame["item_id"], **more)


def simulated(rng, n=300, skill=(0.8, 1.2, 0.2), over=1.0, per_image=1):
    """Closed questions; each strategy sees the truth through noise of its own."""
    gold = np.where(rng.random(n) < 0.5, 1, -1)
    frames = []
    for k, s in enumerate(skill):
        z = gold * s + rng.normal(0, 1, n)  # its honest log-odds for yes are 2 s z
        honest = 2 * s * z
        said = honest > 0
        frames.append(
            pd.DataFrame(
                {
                    "item_id": [f"i{i:04d}" for i in range(n)],
                    "image_id": [f"x{i // per_image:04d}" for i in range(n)],
                    "strategy": f"s{k}",
                    "answer": np.where(said, "yes", "no"),
                    "confidence": expit(over * np.abs(honest)),
                    "correct": said == (gold > 0),
                    "prompt_tokens": 10,
                    "new_tokens": k + 1,
                    "seconds": 0.1,
                }
            )
        )
    frame = pd.concat(frames, ignore_index=True)
    return frame.assign(model="m", dataset="d", question_type="closed")


# --- by hand ------------------------------------------------------------------------------------


def test_ballots_of_a_closed_question_give_the_rest_to_the_other_option():
    data = rows(("a", "s", "Yes.", 0.7, True), ("a", "t", "no", 0.6, False), question_type="closed")
    ballots = make_ballots(data)
    assert ballots.answers[0].tolist() == ["Yes.", "no"]
    np.testing.assert_allclose(ballots.p[0], [[0.7, 0.4], [0.3, 0.6]])
    fused = pool_strategies(data).iloc[0]
    assert fused.answer == "Yes."
    assert fused.confidence == pytest.approx((0.7 + 0.4) / 2)
    assert fused.correct


def test_support_is_the_share_of_confidence_given_by_name():
    data = rows(("a", "s", "left", 0.5, True), ("a", "t", "left", 0.2, True),
                ("a", "u", "right", 0.3, False))  # fmt: skip
    fused = pool_strategies(data, rule="support").iloc[0]
    assert fused.answer == "left"
    assert fused.confidence == pytest.approx(0.7 / 1.0)
    sure = pool_strategies(data[data.answer == "left"], rule="support").iloc[0]
    assert sure.confidence == 1  # unanimous, however unsure: what the linear pool avoids
    assert pool_strategies(data[data.answer == "left"]).iloc[0].confidence == pytest.approx(0.35)


def test_weights_and_silence():
    data = rows(("a", "s", "x", 0.9, True), ("a", "t", "y", 0.9, False),
                ("b", "s", None, np.nan, None), ("b", "t", "y", 0.8, True),
                ("c", "s", None, np.nan, None), ("c", "t", None, np.nan, None))  # fmt: skip
    fused = pool_strategies(data, weights={"s": 3, "t": 1}).set_index("item_id")
    assert fused.loc["a", "answer"] == "x"
    assert fused.loc["b", "confidence"] == pytest.approx(0.8)  # a silent strategy has no vote
    assert np.isnan(fused.loc["c", "confidence"])
    assert pd.isna(fused.loc["c", "correct"])
    assert fused.n_answers.tolist() == [2, 1, 0]


def test_option_probabilities_are_used_where_a_strategy_has_them():
    shares = {"ct": 0.5, "mri": 0.4, "x-ray": 0.1}
    data = rows(("a", "s", "ct", 0.5, False), ("a", "t", "mri", 0.4, True))
    data["option_probabilities"] = [shares, None]
    p = make_ballots(data).p[0]
    np.testing.assert_allclose(p[:, 0], [0.5, 0.4])
    np.testing.assert_allclose(p[:, 1], [0.3, 0.4])  # three options: (1 - 0.4) / 2


# --- pools and trained fusion -------------------------------------------------------------------


def test_fusing_helps_where_strategies_know_different_things(rng):
    data = simulated(rng, 1500, skill=(0.8, 0.8, 0.8))
    single = data[data.strategy == "s0"]
    pooled = pool_strategies(data)
    trained = cross_fuse(data, rng=rng)
    assert (
        accuracy(pooled.confidence, pooled.correct)
        > accuracy(single.confidence, single.correct) + 0.03
    )
    for fused in (pooled, trained):
        assert brier_score(fused.confidence, fused.correct) < brier_score(
            single.confidence, single.correct
        )
    # independent evidence adds up in log-odds, which the trained fusion can and the mean cannot
    assert brier_score(trained.confidence, trained.correct) < brier_score(
        pooled.confidence, pooled.correct
    )


def test_trained_weights_find_the_informative_strategy_and_mend_overconfidence(rng):
    # stated log-odds are three times the honest ones; a clip would cut them off
    data = simulated(rng, 3000, skill=(1.2, 0.0), over=3.0)
    noise = data.strategy == "s1"  # answers by coin, sure of itself by chance
    data.loc[noise, "confidence"] = expit(np.abs(rng.normal(0, 3, noise.sum())))
    fitted = fit_fusion(data, clip=1e-9)
    assert fitted.weights["s0"] == pytest.approx(1 / 3, abs=0.05)
    assert fitted.weights["s1"] < 0.05
    assert min(fitted.weights.values()) >= 0


def test_more_confidence_never_lowers_the_fused_one(rng):
    data = simulated(rng, 200, skill=(0.7, 0.7, 0.0))
    data.loc[data.strategy == "s2", "confidence"] = expit(-rng.normal(1, 1, 200) + 1)  # noise
    fitted = fit_fusion(data)
    one = rows(("new", "s0", "yes", 0.7, True), ("new", "s1", "yes", 0.6, True),
               ("new", "s2", "yes", 0.5, True), question_type="closed")  # fmt: skip
    for k in range(3):
        confidences = []
        for c in (0.5, 0.7, 0.9, 0.99):
            one.loc[k, "confidence"] = c
            confidences.append(fitted(one).confidence.iloc[0])
        assert np.all(np.diff(confidences) >= 0)
        one.loc[k, "confidence"] = 0.6


def test_a_fusion_refuses_its_own_items_and_survives_json(rng):
    data = simulated(rng, 60)
    fitted = fit_fusion(data[data.item_id < "i0040"])
    with pytest.raises(ValueError, match=r"40 of 60 items were used .* the first 'i0000'"):
        fitted(data)
    fresh = data[data.item_id >= "i0040"]
    back = Fusion.from_json(fitted.to_json())
    assert back == fitted
    pd.testing.assert_frame_equal(back(fresh), fitted(fresh))
    assert "i0001" not in json.dumps(fitted.to_json())


def test_cross_fused_noise_does_not_look_good(rng):
    """Grades by coin: whatever the weights, the fused confidence must not beat the coin."""
    data = simulated(rng, 400, skill=(0.5, 0.5, 0.5, 0.5))
    coin = dict(zip(data.item_id.unique(), rng.random(400) < 0.5, strict=True))
    # the candidate "yes" is right by coin, whoever says it
    data["correct"] = data.item_id.map(coin) == (data.answer == "yes")
    fused = cross_fuse(data, rng=rng)
    assert brier_score(fused.confidence, fused.correct) > 0.245


# --- tables -------------------------------------------------------------------------------------


def test_fusion_table_is_complete_and_on_the_same_items(rng):
    data = simulated(rng, 200, per_image=2)
    data = data.drop(data[(data.item_id == "i0003") & (data.strategy == "s1")].index)
    fused = fused_verdicts(data, expert="s2", rng=rng)
    assert (fused.groupby(["system", "correction", "left_out"]).size() == 199).all()
    table = fusion_table(fused, n_resamples=20, rng=rng)
    assert (table.n == 199).all()
    assert (table.n_dropped == 1).all()
    key = table.set_index(["system", "correction", "left_out"])
    assert key.loc[("s0", "none", ""), "accuracy"] == pytest.approx(
        data[(data.strategy == "s0") & (data.item_id != "i0003")].correct.mean()
    )
    assert key.loc[("ms_fbi", "none", ""), "new_tokens"] == pytest.approx(6)  # 1 + 2 + 3
    assert key.loc[("fusion", "none", ""), "new_tokens"] == pytest.approx(3)
    assert key.loc[("ms_fbi", "none", "s0"), "new_tokens"] == pytest.approx(5)
    untold = fusion_table(fused_verdicts(data.assign(new_tokens=None), rng=rng), n_resamples=0,
                          rng=rng)  # fmt: skip
    assert untold.new_tokens.isna().all()  # a cost that nobody recorded is not 0
    assert untold.seconds.gt(0).all()
    assert (table[table.correction == "none"].labels == 0).all()
    assert (table[table.correction != "none"].labels == 159).all()
    assert set(table[table.kind == "ablation"].left_out) == {"s0", "s1", "s2"}
    assert set(table[table.kind == "expert"].system) == {"s2"}
    assert (table.ece_low <= table.ece_high).all()
    for name in ("fusion", "fusion_support", "ms_fbi"):
        assert set(table[(table.system == name) & (table.kind == "fusion")].correction) == {
            "none", "temperature", "platt", "isotonic"
        }  # fmt: skip


def test_two_readings_of_average_reduction():
    table = pd.DataFrame(
        {
            "model": "m", "dataset": "d", "left_out": "",
            "system": ["a", "b", "ms_fbi", "a"],
            "correction": ["none", "none", "none", "platt"],
            "kind": ["strategy", "strategy", "fusion", "strategy"],
            "ece": [0.4, 0.1, 0.1, 0.01],
        }
    )  # fmt: skip
    row = average_reduction(table).iloc[0]
    assert row.mean_of_reductions == pytest.approx((0.75 + 0) / 2)
    assert row.reduction_of_mean == pytest.approx((0.25 - 0.1) / 0.25)
    assert row.beaten == 1
    with pytest.raises(ValueError, match="no row of system 'magic'"):
        average_reduction(table, system="magic")


def test_gain_over_platt_is_paired_and_plain(rng):
    data = simulated(rng, 600, skill=(0.9, 0.9, 0.9))
    gains = fusion_gain_table(fused_verdicts(data, rng=rng), n_resamples=200, rng=rng)
    key = gains[gains.loss == "brier"].set_index(["system", "correction", "left_out"])
    assert key.loc[("fusion_trained", "trained", ""), "verdict"] == "beats it"
    rival = key.rival.iloc[0]
    own = key.loc[(rival, "platt", "")]
    assert (own.gain, own.gain_low, own.gain_high) == (0, 0, 0)
    alone = simulated(rng, 600, skill=(0.9, 0.0))
    gains = fusion_gain_table(fused_verdicts(alone, rng=rng), n_resamples=200, rng=rng)
    key = gains[gains.loss == "brier"].set_index(["system", "correction", "left_out"])
    assert key.loc[("fusion", "platt", ""), "verdict"] != "beats it"


@pytest.mark.parametrize("how", ["exact", "greedy"])
def test_best_subset_leaves_the_useless_strategy_for_last(rng, how):
    data = simulated(rng, 800, skill=(0.8, 0.0, 1.1))
    table = best_subset_table(data, how=how, rng=rng).set_index("size")
    assert table.loc[1, "chosen"] == "s2"
    assert table.loc[2, "chosen"] == "s0 + s2"
    assert table.loc[1, "new_tokens"] == pytest.approx(3)
    assert table.loc[2, "brier"] < table.loc[1, "brier"]
    assert (table.stability > 0.5).all()


def test_best_subset_chosen_on_noise_is_not_scored_on_its_own_choice(rng):
    data = simulated(rng, 120, skill=(0.0,) * 8)
    table = best_subset_table(data, rng=rng)
    assert table.brier.min() > 0.245  # a coin scores 0.25


# --- bad input ----------------------------------------------------------------------------------


def test_bad_requests_are_refused(rng):
    data = simulated(rng, 40)
    with pytest.raises(ValueError, match="no verdict of 'magic'"):
        make_ballots(data, strategies=["magic"])
    with pytest.raises(ValueError, match="two verdicts of 's0'"):
        make_ballots(pd.concat([data, data]))
    with pytest.raises(ValueError, match="ballots are of one model"):
        make_ballots(pd.concat([data, data.assign(model="n")]))
    with pytest.raises(ValueError, match="rule"):
        pool_strategies(data, rule="magic")
    with pytest.raises(ValueError, match="weights"):
        pool_strategies(data, weights={"s0": -1, "s1": 1, "s2": 1})
    with pytest.raises(ValueError, match="not a fusion"):
        Fusion.from_json("{}")
    with pytest.raises(ValueError, match="unknown 'magic'"):
        fused_verdicts(data, baselines=["magic"], rng=rng)
    with pytest.raises(ValueError, match="up to 12"):
        best_subset_table(simulated(rng, 40, skill=(0.5,) * 13), rng=rng)
    ungraded = data.assign(correct=pd.NA)
    with pytest.raises(ValueError, match="no candidate answer is graded"):
        fit_fusion(ungraded)
    sparse = data.assign(
        confidence=data.confidence.where((data.strategy != "s1") | (data.item_id < "i0010"))
    )
    with pytest.warns(RecalibrationWarning, match=r"s1 answered 25% of the items"):
        systems = fused_verdicts(sparse, rng=rng).system
    assert "s1" not in set(systems)


def test_an_expert_costs_what_the_answers_cost_that_it_judges(rng):
    data = simulated(rng, 60, skill=(0.8, 0.8, 1.5))  # new tokens: 1, 2, and its own 3
    judged = data.item_id.isin([f"i{i:04d}" for i in range(15)]) | (data.strategy != "s2")
    data["judges_answers"] = judged.where(data.strategy == "s2", None)
    keys = ["system", "correction", "left_out"]

    def tokens(data):
        fused = fused_verdicts(data, expert="s2", rng=np.random.default_rng(0))
        return fusion_table(fused, rng=rng).set_index(keys)["new_tokens"]

    told = tokens(data)
    assert told["s2", "none", ""] == pytest.approx(3 + 3 * 15 / 60)
    assert told["s2", "platt", ""] == told["s2", "none", ""]
    assert told["ms_fbi", "none", ""] == pytest.approx(6)  # nothing is paid twice
    # where nothing is told, it judged all of them
    assert tokens(data.drop(columns="judges_answers"))["s2", "none", ""] == pytest.approx(6)


def test_leaving_one_out_is_paired_by_image(rng):
    data = simulated(rng, 400, skill=(1.5, 0.0, 0.1), per_image=2)
    fused = fused_verdicts(data, rng=rng)
    table = left_out_table(fused, n_resamples=300, rng=rng)
    assert (table[["n", "n_images"]] == [400, 200]).all(axis=None)
    assert set(table.left_out) == {"s0", "s1", "s2"}
    row = table.query("system == 'fusion' and left_out == 's0'").squeeze()
    assert row.rise == pytest.approx(row.brier - row.brier_whole)
    measured = fusion_table(fused, rng=rng).set_index(["system", "correction", "left_out"])
    assert row.brier == pytest.approx(measured.brier["fusion", "none", "s0"])
    assert row.brier_whole == pytest.approx(measured.brier["fusion", "none", ""])
    assert row.rise_low > 0  # the one voter who knows
    # paired, even a voter of no use is told from chance
    noise = table.query("system == 'fusion' and left_out == 's1'").squeeze()
    assert noise.rise_high < 0
    assert noise.rise_high - noise.rise_low < 0.03
    told = left_out_sentence(table)
    assert "fusion is shown to be worse without s0 and better without s1" in told


def test_one_voter_alone_leaves_nothing_to_leave_out(rng):
    fused = fused_verdicts(simulated(rng, 60, skill=(1.0,)), rng=rng)
    table = left_out_table(fused, n_resamples=20, rng=rng)
    assert table.empty
    assert "nothing to leave out" in left_out_sentence(table)
