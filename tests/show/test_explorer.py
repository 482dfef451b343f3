"""The explorer: what it shows is what the answers say."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb import correct, measure
from medcal_nb.errors import MedcalError
from medcal_nb.show.explorer import MAPS, explore


def answers(n=300, models=("m1", "m2"), strategies=("verbalized", "p_true")):
    rng = np.random.default_rng(0)
    k = np.arange(n)
    base = pd.DataFrame(
        {
            "item_id": [f"i{j}" for j in k],
            "image_id": [f"g{j // 2}" for j in k],
            "dataset": np.where(k % 2, "set-b", "set-a"),
            "modality": np.where(k % 3, "ct", "mri"),
            "split": np.where(k // 2 % 2, "fit", "test"),
        }
    )
    parts = []
    for model in models:
        for strategy in strategies:
            c = rng.integers(0, 21, n) / 20
            parts.append(
                base.assign(
                    model=model, strategy=strategy, confidence=c, correct=rng.random(n) < 0.8 * c,
                    answer="<script>yes", gold="no",
                )
            )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def choose(view, name, label):
    options = dict(view.controls[name].options)
    view.controls[name].value = options[label]


def test_numbers_follow_the_choices():
    table = answers()
    view = explore(table)
    choose(view, "model", "m2")
    choose(view, "strategy", "P(True)")
    choose(view, "dataset", "set-b")
    choose(view, "modality", "CT")
    rows = table.query(
        "model == 'm2' and strategy == 'p_true' and dataset == 'set-b' and modality == 'ct' "
        "and split == 'test'"
    )
    assert len(view.rows) == len(rows) > 10
    c, y = rows["confidence"].to_numpy(), rows["correct"].to_numpy()
    assert view.numbers["Answers"] == str(len(rows))
    assert view.numbers["Brier score"].startswith(f"{measure.brier_score(c, y):.2f}")
    assert view.table["n"].sum() == len(rows)
    assert view.numbers["Accuracy"] in view._numbers.value
    assert "data:image/png" in view._diagram.value


def test_a_bin_lists_the_answers_behind_it_with_words_escaped():
    view = explore(answers())
    view.bins.value = int(view.bins.options[-1][1])
    behind = view.behind
    low, high = view.table.loc[view.bins.value, ["low", "high"]]
    assert behind["confidence"].between(low, high).all()
    assert len(behind) == view.table.loc[view.bins.value, "n"]
    assert "<script>" not in view._list.value
    assert "&lt;script&gt;yes" in view._list.value
    first = view._list.value
    view.page.value = 2
    assert view._list.value != first


def test_every_answer_is_in_one_bin():
    view = explore(answers())
    n = 0
    for _, place in view.bins.options:
        view.bins.value = place
        n += len(view.behind)
    assert n == len(view.rows)


def test_a_map_is_fitted_on_the_fit_split_of_the_chosen_labels():
    table = answers()
    view = explore(table)
    choose(view, "dataset", "set-b")
    choose(view, "labels", "set-a")
    stated = view.rows["confidence"].to_numpy()
    choose(view, "map", "Platt scaling")
    fit = table.query(
        "model == 'm1' and strategy == 'p_true' and dataset == 'set-a' and split == 'fit'"
    )
    moved = correct.fit(fit["confidence"], fit["correct"], method="platt")(stated)
    assert np.allclose(view.rows["confidence"], moved)
    assert f"map fitted on {len(fit)} answers" in view._numbers.value


def test_without_a_split_nothing_is_fitted_and_it_says_so():
    view = explore(answers().drop(columns=["split", "modality", "image_id", "gold"]))
    choose(view, "map", "Platt scaling")
    assert "no answers kept for fitting" in view._numbers.value


def test_no_answers_of_a_choice_are_told():
    table = answers()
    view = explore(
        table[~((table["dataset"] == "set-b") & (table["modality"] == "ct"))]
    )
    choose(view, "dataset", "set-b")
    choose(view, "modality", "CT")
    assert "No answers" in view._numbers.value
    assert view._diagram.value == ""
    choose(view, "modality", "MRI")
    assert view.numbers


def test_answers_without_confidences_are_refused():
    with pytest.raises(MedcalError, match="confidence"):
        explore(answers(20).assign(confidence=np.nan))


def test_a_choice_measures_and_draws_the_chosen_answers_alone(monkeypatch):
    table = answers(2_000, "abcde", ["verbalized", "p_true"])
    view = explore(table)
    sizes = []

    def counted(function):
        def count(first, *rest, **options):
            sizes.append(len(first))
            return function(first, *rest, **options)

        return count

    for name in ("reliability_table", "metrics_table"):
        monkeypatch.setattr(measure, name, counted(getattr(measure, name)))
    chosen = table.query("strategy == 'p_true' and split == 'test'")
    for model in "bcd":
        sizes.clear()
        choose(view, "model", model)
        assert sizes == [(chosen["model"] == model).sum()] * 2


@pytest.mark.parametrize("name", MAPS)
def test_every_map_can_be_chosen(name):
    view = explore(answers(models=("m1",), strategies=("verbalized",)))
    stated = view.rows["confidence"].to_numpy()
    view.controls["map"].value = name
    assert len(view.rows) == len(stated)
    assert not np.allclose(view.rows["confidence"], stated)
    assert "map fitted on" in view._numbers.value


def test_it_opens_where_asked_or_where_most_answers_are():
    table = answers(60)
    few = table[(table["model"] == "m1") | (table.index % 3 == 0)]
    view = explore(few, model="m2", strategy="p_true")
    assert view.controls["model"].value == "m2"
    assert view.controls["strategy"].value == "p_true"
    assert len(view.rows)
    assert explore(few).controls["model"].value == "m1"
    assert explore(few, model="nobody").controls["model"].value == "m1"


def test_pairs_without_answers_are_not_offered():
    table = answers(60)
    gone = (table["model"] == "m2") & (table["strategy"] == "verbalized")
    view = explore(table[~gone])
    choose(view, "model", "m1")
    assert len(view.controls["strategy"].options) == 2
    choose(view, "strategy", "verbalized")
    choose(view, "model", "m2")
    assert dict(view.controls["strategy"].options) == {"P(True)": "p_true"}
    assert len(view.rows)
    assert "No answers" not in view._numbers.value


def test_a_page_without_python_shows_the_numbers_and_no_code():
    view = explore(answers(60))
    shown = view._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in shown
    assert "(children" not in shown["text/plain"]
    assert "Accuracy" in shown["text/html"]
    assert "data:image/png" in shown["text/html"]
