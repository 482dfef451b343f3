"""Typed decisions: the audit sees what is wrong, the file is what transformers reads."""

import json

import numpy as np
import pandas as pd
import pytest

from medcal_nb.correct import (
    decision_audit_table,
    fit,
    fit_decision_temperatures,
    write_decision_config,
)


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
        assert raw.temperature == pytest.approx(t, rel=0.15)
        assert raw.accuracy == mended.accuracy  # a temperature keeps the answer
        if t != 1:
            assert mended.brier_options < raw.brier_options
            assert mended.brier < raw.brier
            assert mended.ece < raw.ece
    assert 0 < key.loc[("score", "as stated"), "ranked_score"] < 1
    assert np.isnan(key.loc[("yes/no", "as stated"), "ranked_score"])


def test_the_file_is_read_by_transformers_and_keeps_what_else_it_says(three, tmp_path):
    (tmp_path / "decision.json").write_text(
        json.dumps({"labels": {"noul": ["yes", "no"]}, "temperature": {"choice": 9.0, "noul": 2.0}})
    )
    fitted = fit_decision_temperatures(three[three.question_type != "choice"])
    path = write_decision_config(tmp_path, fitted)
    assert path.name == "decision.json"
    transformers = pytest.importorskip("transformers.decision")
    config = transformers.DecisionConfig.from_pretrained(tmp_path)
    assert config.labels == {"noul": ["yes", "no"]}
    assert config.temperature["choice"] == 9.0
    assert config.temperature["noul"] == pytest.approx(3.0, rel=0.15)
    assert config.temperature["score"] == pytest.approx(0.5, rel=0.15)


def test_the_pipelines_own_processor_gives_our_corrected_probabilities(three, tmp_path):
    import torch

    transformers = pytest.importorskip("transformers.decision")
    fitted = fit_decision_temperatures(three)
    write_decision_config(tmp_path, fitted)
    config = transformers.DecisionConfig.from_pretrained(tmp_path)
    rows = three[three.question_type == "choice"].head(20)
    p = np.array([list(r.values()) for r in rows.option_probabilities])
    tail = torch.zeros((1, 1), dtype=torch.long)
    theirs = [
        config.get_logits_processor("choice")(tail, torch.tensor(np.log(row))[None]).softmax(-1)
        for row in p
    ]
    np.testing.assert_allclose(fitted["choice"](p), torch.cat(theirs).numpy(), atol=1e-3)


def test_maps_that_are_no_temperature_are_refused(rng, tmp_path):
    c, y = rng.random(50), rng.random(50) < 0.5
    with pytest.raises(ValueError, match="platt map of yes/no decisions cannot be written"):
        write_decision_config(tmp_path, {"yes/no": fit(c, y)})
    with pytest.raises(ValueError, match="log_odds map of choice decisions cannot"):
        write_decision_config(tmp_path, {"choice": fit(c, y, method="log_odds")})
    with pytest.raises(ValueError, match="unknown decision type 'open'"):
        write_decision_config(tmp_path, {"open": fit(c, y)})
    (tmp_path / "decision.json").write_text("{")
    with pytest.raises(ValueError, match="not JSON"):
        write_decision_config(tmp_path, {"yes/no": fit(c, y, method="log_odds")})
    with pytest.raises(ValueError, match="no column 'gold'"):
        fit_decision_temperatures(pd.DataFrame({"question_type": ["closed"],
                                                "option_probabilities": [{}]}))  # fmt: skip
