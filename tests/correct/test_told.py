"""Findings on carrying over: each title and sentence follows its numbers, either way."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.correct import (
    carry_rows,
    carry_title,
    cost_title,
    modalities_title,
    order_sentence,
    parts_title,
    rate_sentence,
    stays_sentence,
    stays_table,
    transfer_study,
    with_told,
    yield_sentence,
    yield_table,
)
from medcal_nb.measure import auroc, ece

from .worlds import SIDES, graded

WORDS = {"source": "general labels", "target": "medical labels"}


@pytest.fixture
def world(rng):
    return pd.concat(
        [graded(rng, 800, "general", slope=0.6), graded(rng, 600, "medical", slope=0.3)]
    )


def needed(star, high=np.nan):
    row = {"n_star": star, "n_star_high": high, "n_min": 10, "n_max": 1000}
    return pd.DataFrame([row])


def outcomes(*conclusions, helps=False, harms=False):
    names = list("abcd")[: len(conclusions)]
    rows = {"label": names, "model": names, "outcome": conclusions}
    return pd.DataFrame(rows).assign(helps=helps, harms=harms)


@pytest.mark.parametrize(
    ("conclusions", "said"),
    [
        (["carries over"], "What general labels teach carries over;"),
        (["does not"], "What general labels teach does not carry over;"),
        (["undecided"], "Whether what general labels teach carries over is undecided;"),
        (["undecided", "undecided"], "carries over is undecided;"),
        (["nothing to correct"] * 2, "There is nothing to correct for general labels;"),
        (["does not"] * 3, "carries over for none of 3 models;"),
        (["carries over", "nothing to correct"], "carries over for all 2 models;"),
        (
            ["carries over", "does not", "undecided"],
            "surely carries over for 1 of 3 models, surely not for 1;",
        ),
        (["undecided", "does not"], "surely carries over for none of 2 models, surely not for 1;"),
    ],
)
def test_the_headline_says_what_the_conclusions_are(conclusions, said):
    title = carry_title(outcomes(*conclusions), needed(50.0), **WORDS)
    assert said in title
    assert title.endswith("; 50 medical labels do better")


def test_the_headline_says_whether_carrying_over_helps_or_harms():
    three = ("does not", "does not", "carries over")
    worse = carry_title(outcomes(*three, harms=True), needed(50.0), **WORDS)
    assert "teach makes 3 of 3 models worse than as stated;" in worse
    better = carry_title(outcomes(*three, helps=True), needed(50.0), **WORDS)
    assert "teach helps 3 of 3 models and carries over for 1;" in better
    one = carry_title(outcomes("does not", helps=True), needed(50.0), **WORDS)
    assert "teach helps but does not carry over;" in one


def test_the_headline_says_how_many_labels_do_better():
    def end(*star):
        return carry_title(outcomes("does not"), needed(*star), **WORDS).split("; ")[1]

    assert end(10.0) == "10 medical labels already do better"
    assert end(100.0, np.inf) == "100 medical labels may do better"
    assert end(np.inf) == "up to 1,000 medical labels do no better"


def test_rows_of_the_headline_are_the_scores_of_the_study(world):
    study = transfer_study(world, methods=["platt"], n_resamples=30, rng=np.random.default_rng(0))
    brier = study.table.query("loss == 'brier'")
    rows = carry_rows(
        brier, model="m", strategy="s", source="general labels", target="medical labels"
    )
    assert rows["stage"].tolist() == ["as stated", "general labels", "medical labels"]
    assert (
        rows["value"].tolist() == brier[["loss_raw", "loss_source", "loss_target"]].iloc[0].tolist()
    )
    assert (rows["low"] < rows["value"]).all()
    told = with_told(brier.assign(auroc_low=[0.4]))
    assert told["told"].iloc[0] == f"{brier['conclusion'].iloc[0]} (no order)"
    assert "the confidence does not rank" in order_sentence(
        brier.assign(auroc_low=0.4), target="medical images"
    )
    assert order_sentence(brier.assign(auroc_low=0.6), target="x").startswith("Every confidence")


def test_a_confidence_is_held_against_one_number():
    row = {"model": "m", "strategy": "s", "margin": 0.005, "loss_raw": 0.4, "loss_source": 0.3}
    for own, said in ((0.247, "tells no more than that number"), (0.2, "tells more than that")):
        table = pd.DataFrame([row | {"loss_target": own, "loss_rate": 0.25}])
        assert said in rate_sentence(table, model="m", strategy="s", target="x")


def test_the_title_of_costs_counts_what_stands_after_holm():
    def table(*names):
        return pd.DataFrame({"conclusion_holm": names, "margin": 0.005})

    assert "is open for all 2" in cost_title(table("undecided", "undecided"), target="t")
    most = cost_title(table("does not", "does not", "carries over"), target="medical labels")
    assert most.startswith("Without medical labels, 2 of 3 lose more than 0.005")
    few = cost_title(table("nothing to correct", "carries over", "undecided"), target="t")
    assert few.startswith("2 of 3 do as well without t")
    assert "none surely lose more" in few
    one = table("undecided").assign(cost=0.01, cost_low=-0.1, cost_high=0.2, conclusion="undecided")
    assert cost_title(one, target="t").endswith(
        "0.010 [-0.100, 0.200] of the Brier score: undecided"
    )


def test_what_stays_is_measured_on_both_sides(world):
    table = stays_table(world, **SIDES, n_resamples=20, rng=np.random.default_rng(0))
    row = table.iloc[0]
    for side, where in (("source", "general"), ("target", "medical")):
        part = world[world.domain == where]
        assert row[f"ece_{side}"] == pytest.approx(ece(part.confidence, part.correct))
        assert row[f"auroc_{side}"] == pytest.approx(auroc(part.confidence, part.correct))
    names = {"source": "general images", "target": "medical images"}
    said = f"AUROC {row.auroc_source:.2f} [{row.auroc_source_low:.2f}"
    assert said in stays_sentence(table, **names)
    two = pd.concat([table, table])
    assert stays_sentence(two.assign(ece_source_high=0.3), **names).startswith("None of 2")
    good = stays_sentence(two.assign(ece_source_high=0.01, ece_target_high=0.2), **names)
    assert "2 of 2 confidences are calibrated on general images" in good
    assert "none of them stay so" in good
    kept = stays_sentence(two.assign(ece_source_high=0.01, ece_target_high=[0.02, 0.2]), **names)
    assert "1 of them stays so" in kept


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
    assert "lowers ECE and leaves the yield" in yield_sentence(table, "s")
    assert "and moves the yield" in yield_sentence(table.assign(yield_at_20_source=0.9), "s")
    assert "reports the same." in yield_sentence(table, "s")
    assert "reports lower ECE" in yield_sentence(table.assign(ece_source=1.0), "s")
    two = yield_sentence(pd.concat([table, table], ignore_index=True), "s")
    assert "lowers ECE for 2 of 2" in two
    assert "within one point, for 2 of 2" in two


def test_titles_of_parts_and_groups_turn_with_the_numbers():
    parts = pd.DataFrame(
        {"part": ["prior", "conditional"], "value": [0.03, 0.01], "low": [0.02, 0.0]}
    )
    assert "one number mends 0.030 of 0.040" in parts_title(parts)
    assert "another slope" in parts_title(parts.assign(value=[0.01, 0.03]))
    assert parts_title(parts.assign(low=-1)).startswith("No part")
    pairs = pd.DataFrame({"fitted_on": list("gaba"), "applied_to": list("abaa")}).assign(
        change_low=[0.1, -0.3, -0.1, 0.0], change_high=[0.2, -0.1, 0.1, 0.0]
    )
    assert modalities_title(pairs) == (
        "The map of g surely helps none of 1 groups, surely harms 1; another group's helps 1 of 2 "
        "times, surely harms none"
    )
    assert modalities_title(pairs[1:]) == (
        "A map used elsewhere surely helps 1 of 2 times, surely harms none"
    )
