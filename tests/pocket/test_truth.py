"""The true calibration curve, from as many fresh items as it takes."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.errors import MedcalError
from medcal_nb.pocket import truth


@pytest.fixture(scope="module")
def backend():
    from medcal_nb.ask.models import resolve_model

    return resolve_model("pocket-general")


def test_curve_counts_every_item_once(backend):
    parts = list(truth.fresh_verdicts(backend, "verbalized", 60, batch=40, seed=5))
    assert [len(part) for part in parts] == [40, 20]
    assert not set(parts[0]["item_id"]) & set(parts[1]["item_id"])
    table = truth.true_calibration(backend, "verbalized", 60, batch=40, seed=5, n_bins=10)
    confidence = np.concatenate([part["confidence"] for part in parts]).astype(float)
    correct = np.concatenate([part["correct"].astype(float) for part in parts])
    known = ~np.isnan(confidence) & ~np.isnan(correct)
    assert table.attrs["n"] == known.sum() == table["n"].sum()
    assert table.attrs["n_missing"] == 60 - known.sum()
    assert table["share"].sum() == pytest.approx(1)
    weighted = (table["accuracy"] * table["n"]).sum() / table["n"].sum()
    assert weighted == pytest.approx(correct[known].mean())
    gaps = (table["accuracy"] - table["mean_confidence"]).abs()
    assert table.attrs["ece"] == pytest.approx((gaps * table["share"]).sum())
    assert (table["mean_confidence"].between(table["low"] - 1e-9, table["high"] + 1e-9)).all()


def test_it_stops_when_the_curve_is_known(backend):
    loose = truth.true_calibration(
        backend, "option_probability", 400, standard_error=0.49, batch=40, seed=6, n_bins=2
    )
    assert loose["settled"].all()
    assert loose.attrs["n"] + loose.attrs["n_missing"] <= 40


def test_curve_puts_zero_and_one_in_bins():
    total = np.zeros((3, 4))
    total[:, 0], total[:, 3] = (10, 1.0, 2), (30, 28.0, 27)
    table = truth._curve(total, 4, 0.07)
    assert table["bin"].tolist() == [0, 3]
    assert table["accuracy"].tolist() == [0.2, 0.9]
    assert table["settled"].tolist() == [False, True]
    p = 28 / 32
    assert table["standard_error"].iloc[1] == pytest.approx((p * (1 - p) / 30) ** 0.5)


def test_a_strategy_that_cannot_be_asked_is_told(backend):
    with pytest.raises(MedcalError, match="answers nothing under clip_zero_shot"):
        truth.true_calibration(backend, "clip_zero_shot", 20, batch=20)
    with pytest.raises(ValueError, match="must be positive"):
        truth.true_calibration(backend, "verbalized", 0)


@pytest.fixture
def asked(monkeypatch):
    """A study's verdicts, and the data sets that fresh ones are asked of, without a model."""
    names = []

    def fresh(model, strategy, n, *, dataset):
        names.append(dataset)
        domain = dataset.removeprefix("pocket-")
        row = {"dataset": dataset, "domain": domain, "split": "test", "confidence": 0.5}
        yield pd.DataFrame([row | {"correct": True, "modality": m} for m in ("ct", "x-ray")])

    monkeypatch.setattr(truth, "fresh_verdicts", fresh)
    verdicts = pd.DataFrame(
        [
            {"dataset": f"{maker}-{domain}", "domain": domain, "split": split, "modality": "ct"}
            for maker in ("pocket", "other")
            for domain in ("general", "medical")
            for split in ("fit", "test")
        ]
    )
    return names, verdicts


@pytest.mark.parametrize("domain", ["general", "medical"])
def test_fresh_items_are_those_of_the_targets_own_data_set(asked, domain):
    names, verdicts = asked
    verdicts = verdicts[verdicts["dataset"].str.startswith("pocket-")]
    target = {"domain": domain, "split": "test"}
    fresh, why = truth.fresh_like("pocket-general", "verbalized", 2, verdicts=verdicts,
                                  target=target)  # fmt: skip
    assert (names, why) == ([f"pocket-{domain}"], "")
    assert set(fresh["domain"]) == {domain}
    fresh, why = truth.fresh_like("pocket-general", "verbalized", 2, verdicts=verdicts,
                                  target=target | {"modality": "ct"})  # fmt: skip
    assert (fresh["modality"].tolist(), why) == (["ct"], "")


@pytest.mark.parametrize(
    ("model", "target", "why"),
    [
        ("pocket-general", {"dataset": "pocket-medical"}, "the target's are of fit and test"),
        ("pocket-general", {"dataset": "pocket-medical", "split": "fit"}, "like those of a test"),
        ("pocket-general", {"dataset": "other-general"}, "like those of other-general"),
        ("pocket-general", {"domain": "general"}, "like those of other-general, pocket-general"),
        ("somebody's", {"dataset": "pocket-medical"}, "no embedded model"),
    ],
)
def test_where_no_fresh_items_are_like_the_targets_none_are_asked(asked, model, target, why):
    names, verdicts = asked
    fresh, said = truth.fresh_like(model, "verbalized", 2, verdicts=verdicts, target=target)
    assert fresh.empty
    assert why in said
    assert names == []
