"""Findings: each title and sentence follows its numbers."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.correct import (
    carry_rows,
    change_title,
    labels_told,
    transfer_study,
    with_told,
    yield_table,
)

from .worlds import SIDES, graded

WORDS = {"source": "general labels", "target": "medical labels"}


@pytest.fixture
def world(rng):
    return pd.concat(
        [graded(rng, 800, "general", slope=0.6), graded(rng, 600, "medical", slope=0.3)]
    )


def test_a_number_of_labels_beyond_those_tried_is_said_to_be():
    needed = {
        "n_min": 10,
        "n_max": 1000,
        "n_star": 50.0,
        "n_star_low": 10.0,
        "n_star_high": np.inf,
    }
    told = [
        labels_told(pd.Series(needed), f"n_star{end}") for end in ("", "_low", "_high")
    ]
    assert told == ["50", "10 or fewer", "more than 1,000"]


def test_rows_of_the_headline_are_the_scores_of_the_study(world):
    settings = SIDES | {"methods": ["platt"], "margin": 0.005, "n_resamples": 30}
    study = transfer_study(world, **settings, rng=np.random.default_rng(0))
    brier = study.table.query("loss == 'brier'")
    rows = carry_rows(
        brier, model="m", strategy="s", source="general labels", target="medical labels"
    )
    assert rows["stage"].tolist() == ["as stated", "general labels", "medical labels"]
    assert (
        rows["value"].tolist()
        == brier[["loss_raw", "loss_source", "loss_target"]].iloc[0].tolist()
    )
    assert (rows["low"] < rows["value"]).all()
    told = with_told(brier.assign(auroc_low=[0.4]))
    assert told["told"].iloc[0] == f"{brier['conclusion'].iloc[0]} (no order)"


def test_a_rising_map_leaves_the_yield_and_moves_who_trusts_the_number(world):
    table = yield_table(world, **SIDES, method="platt", rng=np.random.default_rng(0))
    row = table.iloc[0]
    assert row.ece_source < row.ece_raw
    assert row.yield_at_20_source == row.yield_at_20_raw
    part = world[world.domain == "medical"]
    sure = part[part.confidence >= 0.8]
    assert row.kept_raw == len(sure) / len(part)
    assert row.wrong_raw == pytest.approx(1 - sure.correct.astype(float).mean())
    assert row.kept_source < row.kept_raw


def test_fusions_are_counted_against_each_rival():
    table = pd.DataFrame(
        {
            "rival": "expert",
            "conclusion": ["better", "worse", ""],
            "change": [-0.1, 0.2, 0.0],
        }
    )
    assert change_title(table) == (
        "With the same labels, against the expert alone 1 of 3 fusions do better, 1 worse (-0.100 "
        "to +0.200)"
    )
