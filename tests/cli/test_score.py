"""What ``medcal score`` computes, group by group."""

import re

import numpy as np
import pandas as pd
import pytest

from medcal_nb import measure
from medcal_nb.answers import AnswerLog, export_answers
from medcal_nb.cli._score import (
    METRICS,
    MORE_METRICS,
    as_text,
    choices,
    score_answers,
    table_of,
)
from medcal_nb.errors import MedcalError
from medcal_nb.measure import aurc, auroc, brier_score, ece, ici, log_loss


def rows(n, rng, **more):
    confidence = rng.uniform(0.2, 1, n)
    return [
        {
            "model": "m",
            "dataset": "d",
            "item_id": i,
            "strategy": "verbalized",
            "confidence": confidence[i],
            "correct": bool(rng.random() < confidence[i]),
        }
        | more
        for i in range(n)
    ]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.sqlite"


def write(path, rows):
    with AnswerLog(path) as log:
        log.append(rows)
    return path


def test_log_and_table_give_the_same_numbers(path, rng):
    write(path, rows(80, rng))
    table, reasons = score_answers(path, n_resamples=50)
    assert reasons == []
    for kind in ("csv", "parquet"):
        export_answers(path, path.with_suffix(f".{kind}"))
        other, _ = score_answers(path.with_suffix(f".{kind}"), n_resamples=50)
        pd.testing.assert_frame_equal(other, table)


def test_a_table_without_grades_says_who_grades(tmp_path):
    table = pd.DataFrame(rows(5, np.random.default_rng(0))).drop(columns="correct")
    table.assign(answer="yes", gold="no").to_csv(tmp_path / "a.csv", index=False)
    _, reasons = score_answers(tmp_path / "a.csv", n_resamples=10)
    assert any(
        "5 of 5" in reason and "`medcal import` grades" in reason for reason in reasons
    )


def test_the_numbers_are_those_of_the_metrics(path, rng):
    answers = pd.DataFrame(rows(80, rng))
    write(path, answers.to_dict("records"))
    (row,) = score_answers(path, n_resamples=20)[0].to_dict("records")
    pair = answers["confidence"].to_numpy(), answers["correct"].to_numpy()
    assert row["ece"] == pytest.approx(ece(*pair))
    for name, metric in (
        ("brier", brier_score),
        ("log_loss", log_loss),
        ("auroc", auroc),
        ("aurc", aurc),
    ):
        assert row[name] == pytest.approx(metric(*pair)), name


def test_what_decides_is_told_with_intervals(path, rng):
    answers = pd.DataFrame(rows(400, rng))
    (row,) = score_answers(write(path, answers.to_dict("records")))[0].to_dict(
        "records"
    )
    c, y = answers["confidence"].to_numpy(), answers["correct"].to_numpy()
    assert row["confidently_wrong"] == pytest.approx((c[~y] >= 0.9).mean())
    assert row["ici"] == pytest.approx(ici(c, y))
    # no interval of these two holds its level
    assert np.isnan([row["e50_low"], row["e90_high"]]).all()
    for name in {*METRICS, *MORE_METRICS} - {"e50", "e90"}:
        assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"], name
    assert (
        row["yield_at_5"] <= row["yield_at_10"] < row["yield_at_20"] < row["accuracy"]
    )
    kept = c >= row["yield_at_20_threshold"]
    assert row["yield_at_20"] == kept.mean()
    assert (~y[kept]).mean() < 0.2


def test_a_group_does_not_depend_on_the_others(path, tmp_path, rng):
    one, two = rows(60, rng), rows(90, rng, model="other")
    write(path, one + two)
    both, _ = score_answers(path, n_resamples=100)
    alone, _ = score_answers(write(tmp_path / "b.sqlite", one), n_resamples=100)
    pd.testing.assert_frame_equal(both.iloc[:1], alone)


def test_several_samples_make_one_graded_answer(path, rng):
    said = {0: "yes yes no", 1: "no no no", 2: "yes no no"}
    sampled = [
        {
            "model": "m",
            "dataset": "d",
            "item_id": item,
            "strategy": "self_consistency",
            "sample": k,
            "answer": word,
            "gold": "yes",
            "correct": word == "yes",
            "parse_ok": True,
        }
        for item, words in said.items()
        for k, word in enumerate(words.split())
    ]
    write(path, sampled + rows(10, rng))
    table, _ = score_answers(path, n_resamples=20)
    table = table.set_index("strategy")
    assert table.loc["self_consistency", "n"] == 3
    assert table.loc["self_consistency", "mean_confidence"] == pytest.approx(
        (2 / 3 + 1 + 2 / 3) / 3
    )
    assert table.loc["self_consistency", "accuracy"] == pytest.approx(1 / 3)
    assert table.loc["verbalized", "n"] == 10


def test_missing_values_are_counted_and_said(path, rng):
    some = rows(30, rng)
    some[3]["confidence"] = None
    some[4]["correct"] = None
    none = [row | {"model": "mute", "confidence": None} for row in rows(5, rng)]
    table, reasons = score_answers(write(path, some + none), n_resamples=20)
    table = table.set_index("model")
    assert table["n"].tolist() == [28, 0]
    assert table["n_missing"].tolist() == [2, 5]
    assert np.isnan(table.loc["mute", "ece"])
    assert any("model=m" in r and "2 of 30" in r for r in reasons)
    assert any("model=mute" in r and "5 of 5" in r for r in reasons)


def test_without_any_confidence_accuracy_is_that_of_the_graded(path, rng):
    mute = rows(20, rng, model="mute", confidence=None)
    for i, answer in enumerate(mute):
        answer["correct"] = None if i < 4 else i % 4 == 0
    some = rows(20, rng, model="some")
    some[0] |= {"confidence": None, "correct": True}
    write(path, mute + some)
    table, reasons = score_answers(path, n_resamples=20)
    table = table.set_index("model")
    assert table.loc["mute", ["n", "n_missing", "accuracy"]].tolist() == [0, 20, 0.25]
    assert np.isnan(table.loc["mute", ["ece", "brier", "auroc"]].astype(float)).all()
    assert any(
        "model=mute" in r and "that of the 16 graded of 20" in r for r in reasons
    )
    rest = [a["correct"] for a in some[1:]]
    assert table.loc["some", "accuracy"] == pytest.approx(np.mean(rest))
    assert not any("model=some" in r and "that of" in r for r in reasons)


def test_groups_without_a_value_come_last(path, rng):
    table, _ = score_answers(
        write(path, rows(20, rng, modality="ct") + rows(9, rng, model="n")),
        by=["modality"],
        n_resamples=20,
    )
    assert table["modality"].tolist()[0] == "ct"
    assert table["modality"].isna().tolist() == [False, True]
    numbers, _ = score_answers(path, by=["correct", "model"], n_resamples=20)
    assert numbers["correct"].tolist() == sorted(numbers["correct"])
    everything, _ = score_answers(path, by=[], n_resamples=20)
    assert everything["n"].tolist() == [29]


def test_images_of_two_data_sets_are_not_mixed_up(path, rng):
    """Equal names in different data sets are different images."""
    write(
        path,
        [
            r | {"dataset": d, "image_id": str(r["item_id"] // 5)}
            for d in "ab"
            for r in rows(50, rng)
        ],
    )
    from medcal_nb.cli import _score

    frame = _score._parts(path, ["model"])[("m",)].frame()
    assert frame["image_id"].nunique() == 20


def test_what_cannot_be_scored_is_said(path, tmp_path, rng):
    AnswerLog(path).close()
    with pytest.raises(MedcalError, match="no answers"):
        score_answers(path)
    write(path, rows(3, rng))
    with pytest.raises(MedcalError, match="no column 'hospital'"):
        score_answers(path, by=["hospital"])
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(MedcalError, match="cannot tell the format"):
        score_answers(tmp_path / "a.txt")


def test_a_column_named_twice_groups_once(path, rng):
    write(path, rows(40, rng))
    once, _ = score_answers(path, by=("model",), n_resamples=20)
    twice, _ = score_answers(path, by=("model", "model"), n_resamples=20)
    pd.testing.assert_frame_equal(twice, once)


def test_the_strategy_that_costs_least_is_told_group_by_group(path, rng):
    costs = {"cost_check": 0.3, "max_risk": None}
    known = rng.random(300) < 0.5
    told = [
        row
        | {
            "strategy": name,
            "correct": bool(known[i]),
            "confidence": c,
            "image_id": str(i),
        }
        for name, confidence in (
            ("knows", np.where(known, 0.95, 0.05)),
            ("guesses", np.full(300, 0.5)),
        )
        for i, (row, c) in enumerate(zip(rows(300, rng), confidence, strict=True))
    ]
    write(path, told + rows(8, rng, model="few"))
    few, many = choices(path, by=["model", "dataset", "strategy"], costs=costs)
    assert few.startswith("few, d: No method was chosen: fewer than 40 images")
    assert many.startswith("m, d: Knows cost least")
    assert "in 100 % of 25 random splits" in many
    with pytest.raises(MedcalError, match="no column 'hospital'"):
        list(choices(path, by=["hospital"], costs=costs))


def test_few_groups_stand_side_by_side_with_intervals_and_units(path, rng):
    write(path, rows(60, rng) + rows(60, rng, model="other"))
    table, _ = score_answers(path, n_resamples=50, metrics=METRICS)
    text = as_text(table, ["model", "dataset", "strategy"])
    lines = text.splitlines()
    assert lines[0].split() == ["model", "m", "other"]
    assert any(
        re.fullmatch(r"accuracy, % +(\d+\.\d \[\d+\.\d, \d+\.\d\] *){2}", x)
        for x in lines
    )
    assert any(x.startswith("Brier skill score") for x in lines)
    assert "95 % CI in brackets, by answer, as images are unknown" in text
    assert "log loss" not in text


def test_many_groups_stand_below_each_other_in_tables_of_a_few_metrics(path, rng):
    write(path, [row for k in range(5) for row in rows(20, rng, model=f"m{k}")])
    table, _ = score_answers(path, by=["model"], n_resamples=20)
    blocks = as_text(table, ["model"]).split("\n\n")
    assert len(blocks) == 5  # sixteen metrics, five at a time, and the note
    assert [len(block.splitlines()) for block in blocks[:4]] == [6, 6, 6, 6]
    assert "medcal score --all" not in blocks[-1]


# --- other tables ---------------------------------------------------------------------------


def test_curve_and_distribution_are_those_of_the_package(path, rng):
    answers = pd.DataFrame(rows(300, rng))
    c, y = answers["confidence"].to_numpy(), answers["correct"].to_numpy()
    write(path, answers.to_dict("records"))
    curve, reasons = table_of(path, "curve", n_resamples=50)
    assert reasons == []
    assert curve["model"].eq("m").all()
    seed = np.random.default_rng(0)
    own = measure.calibration_curve_table(c, y, n_resamples=50, n_points=21, rng=seed)
    assert curve["accuracy"].to_numpy() == pytest.approx(own["accuracy"].to_numpy())
    assert (curve["accuracy_low"] < curve["accuracy_high"]).all()
    counts, _ = table_of(path, "distribution")
    assert counts["n_correct"].sum() == y.sum()
    assert counts["n_wrong"].sum() == (~y).sum()


def test_heterogeneity_is_of_the_rows_that_by_makes(path, rng):
    groups = [rows(200, rng, model=f"m{k}") for k in range(4)]
    for k, group in enumerate(groups):  # the fourth model is right half as often
        for row in group:
            row["correct"] &= k < 3 or rng.random() < 0.5
    write(path, [row for group in groups for row in group])
    table, _ = table_of(path, "heterogeneity", by=["model"], n_resamples=50)
    assert table["metric"].tolist() == list(METRICS)
    accuracy = table.set_index("metric").loc["accuracy"]
    assert accuracy["n_groups"] == 4
    assert accuracy["tau2"] > 0.003
    assert accuracy["prediction_low"] < accuracy["mean_low"]
    with pytest.raises(MedcalError, match="3 rows or more"):
        table_of(path, "heterogeneity", by=["dataset"], n_resamples=10)


def test_planning_says_how_many_answers_narrow_intervals_need(path, rng):
    few = rows(3, rng, model="few")
    write(path, rows(400, rng) + few)
    table, reasons = table_of(path, "planning")
    assert table["quantity"].tolist() == ["O:E ratio", "calibration slope", "AUROC"]
    assert table["n"].is_monotonic_increasing is False
    assert (table["n"] > 50).all()
    (reason,) = reasons
    assert reason.startswith("few, d, verbalized: ")


def test_other_tables_are_printed_as_they_are(path, rng):
    write(path, rows(60, rng))
    table, _ = table_of(path, "distribution")
    assert "n_correct" in as_text(table, ["model"])
    header = as_text(table, ["model"], "csv").splitlines()[0]
    assert header.startswith("model,dataset,strategy,low,high,n,")
