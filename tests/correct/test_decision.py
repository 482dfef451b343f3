"""Typed decisions: the audit sees what is wrong."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.correct import decision_audit_table


def decisions(rng, kind, n, sharp, k=3):
    """Options whose stated probabilities are the honest ones with log-odds times ``sharp``."""
    z = rng.normal(0, 1.2, (n, k))
    honest = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    gold = np.array([rng.choice(k, p=p) for p in honest])
    said = np.exp(sharp * z) / np.exp(sharp * z).sum(1, keepdims=True)
    names = np.array([f"{kind}-{j}" for j in range(k)])
    return pd.DataFrame(
        {
            "model": "m", "dataset": "d", "strategy": "option_probability", "question_type": kind,
            "item_id": [f"{kind}{i}" for i in range(n)],
            "image_id": [f"{kind}{i // 2}" for i in range(n)],
            "option_probabilities": [dict(zip(names, p, strict=True)) for p in said.tolist()],
            "gold": names[gold],
        }
    )  # fmt: skip


@pytest.fixture
def three(rng):
    return pd.concat([decisions(rng, "closed", 1500, 3.0, k=2), decisions(rng, "choice", 1500, 1.0),
                      decisions(rng, "score", 1500, 0.5, k=4)])  # fmt: skip


def test_audit_finds_each_types_temperature_and_what_it_mends(three, rng):
    table = decision_audit_table(three, n_resamples=50, rng=rng)
    key = table.set_index(["decision_type", "correction"])
    truth = {"yes/no": 3.0, "choice": 1.0, "score": 0.5}
    for kind, t in truth.items():
        raw, mended = key.loc[(kind, "as stated")], key.loc[(kind, "temperature")]
        assert raw.accuracy == mended.accuracy  # a temperature keeps the answer
        if t != 1:
            assert mended.brier < raw.brier
            assert mended.ece < raw.ece
    assert 0 < key.loc[("score", "as stated"), "ranked_score"] < 1
    assert np.isnan(key.loc[("yes/no", "as stated"), "ranked_score"])


def test_rows_that_are_no_typed_decision_are_left_out(three, rng):
    table = decision_audit_table(three.assign(question_type="open"), rng=rng)
    assert table.empty
    unnamed = decision_audit_table(
        three.assign(question_type=None), n_resamples=2, rng=rng
    )
    assert set(unnamed.decision_type) == {"choice"}


def test_levels_stand_in_their_order_where_rows_tell_some_alone(rng):
    rows = decisions(rng, "score", 300, 1.0, k=4)
    whole = decision_audit_table(rows, n_resamples=0, rng=np.random.default_rng(0))
    rows = rows.iloc[::-1]
    told = [
        {**p, name: p[name]}
        for p, name in zip(rows.option_probabilities, rows.gold, strict=True)
    ]
    turned = [dict(reversed(p.items())) if i % 2 else p for i, p in enumerate(told)]
    again = decision_audit_table(
        rows.assign(option_probabilities=turned),
        n_resamples=0,
        rng=np.random.default_rng(0),
    )
    assert again.ranked_score[0] == pytest.approx(whole.ranked_score[0])
    few = [dict(list(p.items())[1:]) if i % 3 == 1 else p for i, p in enumerate(told)]
    part = decision_audit_table(
        rows.assign(option_probabilities=few),
        n_resamples=0,
        rng=np.random.default_rng(0),
    )
    assert part.ranked_score[0] == pytest.approx(whole.ranked_score[0], abs=0.05)
