"""Ensembles: hand-worked members, monotone weights, no leakage, rivals that are fair."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from statsmodels.stats.multitest import multipletests

from medcal_nb.correct import (
    RecalibrationWarning,
    ensemble_answers,
    ensemble_change_table,
    single_answer,
)
from medcal_nb.correct.ensemble import (
    averaged,
    combine,
    complete,
    learn_weights,
    make_members,
)
from medcal_nb.measure import Bootstrap, example_answers

from .worlds import votes


def rows(*answers, **more):
    """Graded answers from (item, strategy, answer, confidence, correct)."""
    columns = ["item_id", "strategy", "answer", "confidence", "correct"]
    frame = pd.DataFrame(answers, columns=columns).astype({"correct": "boolean"})
    return frame.assign(model="m", dataset="d", image_id=frame["item_id"], **more)


def members_of_all(data):
    strategies = sorted(set(data.strategy))
    return make_members(complete(data, strategies), strategies)


def test_members_of_a_closed_question_give_the_rest_to_the_other_option():
    pair = ("a", "s", "Yes.", 0.7, True), ("a", "t", "no", 0.6, False)
    data = rows(*pair, question_type="closed")
    members = members_of_all(data)
    assert members.candidates.answer.tolist() == ["Yes.", "no"]
    np.testing.assert_allclose(members.p, [[0.7, 0.4], [0.3, 0.6]])
    columns = ["answer", "confidence", "correct"]
    expected = ["Yes.", pytest.approx((0.7 + 0.4) / 2), True]
    assert averaged(members).loc["a", columns].tolist() == expected


def test_option_probabilities_are_used_where_a_strategy_has_them():
    data = rows(("a", "s", "ct", 0.5, False), ("a", "t", "mri", 0.4, True))
    data["option_probabilities"] = [{"ct": 0.5, "mri": 0.4, "x-ray": 0.1}, None]
    p = members_of_all(data).p
    np.testing.assert_allclose(p["s"], [0.5, 0.4])
    np.testing.assert_allclose(p["t"], [0.3, 0.4])  # three options: (1 - 0.4) / 2


def test_more_confidence_never_lowers_the_fused_one(rng):
    data = votes(rng, 200, skill=(0.7, 0.7, 0.0))
    noise = expit(1 - rng.normal(1, 1, 200))
    data.loc[data.strategy == "s2", "confidence"] = noise
    learned = learn_weights(members_of_all(data))
    answers = [("new", f"s{k}", "yes", 0.6, True) for k in range(3)]
    for k in range(3):
        fused = []
        for c in (0.5, 0.7, 0.9, 0.99):
            one = rows(*answers, question_type="closed")
            one.loc[k, "confidence"] = c
            fused.append(combine(members_of_all(one), *learned).confidence.iloc[0])
        assert np.all(np.diff(fused) >= 0)


def test_labels_of_an_image_change_none_of_its_own_confidences(rng):
    """In no system and no map: grades flipped for one image alone move only other images."""
    data = votes(rng, 120, per_image=2)
    grades = np.where(data.image_id == "x0007", ~data.correct, data.correct)
    tables = (data, data.assign(correct=grades))
    one, other = (ensemble_answers(d, rng=np.random.default_rng(0)) for d in tables)
    own = one.image_id == "x0007"
    assert (one[own].confidence == other[own].confidence).all()
    moved = one[~own].confidence != other[~own].confidence
    assert set(one[~own][moved].recalibration) == {"platt", "trained"}


def test_all_are_compared_on_the_same_items(rng):
    data = votes(rng, 200, per_image=2)
    data = data.drop(data[(data.item_id == "i0003") & (data.strategy == "s1")].index)
    fused = ensemble_answers(data, rng=rng)
    assert (fused.groupby(["ensemble", "recalibration"]).size() == 199).all()
    assert (fused["n_dropped"] == 1).all()
    stages = fused.groupby(["ensemble", "kind"])["recalibration"].unique()
    assert set(stages["average", "ensemble"]) == {"uncorrected", "platt"}
    assert set(stages["average, trained", "ensemble"]) == {"trained"}
    own = data[(data.strategy == "s0") & (data.item_id != "i0003")]
    raw = fused.query("ensemble == 's0' and recalibration == 'uncorrected'")
    assert raw.correct.mean() == pytest.approx(own.correct.mean())
    assert raw.confidence.mean() == pytest.approx(own.confidence.mean())


def test_weights_find_the_member_that_knows(rng):
    fused = ensemble_answers(votes(rng, 500, skill=(0.05, 0.05, 1.6)), rng=rng)
    table = ensemble_change_table(fused, ci=Bootstrap(n=200))
    table = table.set_index("recalibration")
    row = table.loc["uncorrected"]
    assert row.conclusion == "worse"  # two that know nothing count as much
    assert row.change == pytest.approx(row.brier - row.rival_brier)
    assert row.change > 0  # above 0 is worse
    assert table.loc["trained"].change < row.change / 2
    assert (table.p_holm >= table.p - 1e-12).all()


def test_the_best_strategy_is_chosen_on_other_images_than_it_is_judged_on(rng):
    """Of eight strategies that know next to nothing the best in hindsight looks better."""
    optimism = []
    for _ in range(3):
        fused = ensemble_answers(votes(rng, 60, skill=(0.1,) * 8), rng=rng)
        table = ensemble_change_table(fused, ci=Bootstrap(n=2))
        platt = fused[(fused.recalibration == "platt") & (fused.kind == "method")]
        loss = (platt.confidence - platt.correct.astype(float)) ** 2
        hindsight = loss.groupby(platt.ensemble).mean().min()
        optimism.append(table.rival_brier.iloc[0] - hindsight)
    assert np.mean(optimism) > 0.005


def test_bad_requests_are_refused(rng):
    data = votes(rng, 40)
    with pytest.raises(ValueError, match="only 0 items were answered"):
        ensemble_answers(data.assign(correct=pd.NA), rng=rng)
    with (
        pytest.warns(RecalibrationWarning, match="s0, s1, s2 answered less than 80 %"),
        pytest.raises(ValueError, match="answered 80 % of the items; there is none"),
    ):
        ensemble_answers(data.assign(answer=None), rng=rng)
    few = (data.strategy != "s1") | (data.item_id < "i0010")
    sparse = data.assign(confidence=data.confidence.where(few))
    with pytest.warns(RecalibrationWarning, match="s1 answered less than 80 % of"):
        assert "s1" not in set(ensemble_answers(sparse, rng=rng).ensemble)


def textless(rng, n=400):
    """Two confidences in the same answer, each with evidence of its own."""
    y = rng.random(n) < 0.5
    answers = []
    for name in ("verbalized", "probe"):
        c = expit(rng.normal(np.where(y, 1, -1), 1))
        answers += [(f"i{i}", name, None, c[i], y[i]) for i in range(n)]
    return rows(*answers)


def test_confidences_in_one_answer_are_fused_where_no_text_is_known(rng):
    data = textless(rng)
    other = data["item_id"].isin(["i3", "i7"]) & (data["strategy"] == "probe")
    differ = data.assign(correct=np.where(other, ~data["correct"], data["correct"]))
    same, n_left_out = single_answer(differ)
    assert set(data["item_id"]) - set(same["item_id"]) == {"i3", "i7"}
    assert n_left_out == 2
    assert single_answer(data)[1] == 0
    spoken = differ.assign(answer="yes")
    assert single_answer(spoken)[0] is spoken
    fused = ensemble_answers(same, rng=rng)
    own = fused.query("kind == 'ensemble' and recalibration == 'uncorrected'")
    mean = data.groupby("item_id")["confidence"].mean()
    np.testing.assert_allclose(own["confidence"], mean[own["item_id"]])
    table = ensemble_change_table(fused, ci=Bootstrap(n=200))
    # two pieces of evidence beat one
    assert table.set_index("recalibration").loc["trained", "conclusion"] == "better"


def test_p_values_of_changes_are_holm_s(rng):
    combined = ensemble_answers(example_answers(300), rng=rng)
    changes = ensemble_change_table(combined, ci=Bootstrap(n=50))
    assert len(changes) > 2
    adjusted = multipletests(changes["p"], method="holm")[1]
    np.testing.assert_allclose(changes["p_holm"], adjusted)
