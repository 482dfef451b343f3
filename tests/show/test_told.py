"""Titles and sentences: another table gives another one, also when the finding is the opposite."""

import pandas as pd
import pytest

from medcal_nb.measure import tables
from medcal_nb.show import told


def says(gap, half=0.02, side="medical images"):
    ends = {"gap": gap, "gap_low": gap - half, "gap_high": gap + half}
    row = {"model": "m", "side": side, "accuracy": 0.52, "mean_confidence": 0.52 + gap}
    return pd.DataFrame([row | ends])


@pytest.mark.parametrize(
    ("gap", "title"),
    [
        (0.32, "On medical images m says 84 % and is right 52 %"),
        (-0.12, "On medical images m says 40 % and is right 52 %: it is better than it says"),
        (0.01, "On medical images m says 53 % and is right 52 %: no gap beyond chance"),
    ],
)
def test_the_headline_says_what_the_numbers_say(gap, title):
    assert told.says_right(says(gap)) == title


def test_a_side_is_called_worse_only_where_intervals_are_apart():
    far = pd.concat([says(0.1, side="general images"), says(0.3)])
    assert "farther off on medical images than on general images, by 20" in (
        told.gaps_between_sides(far)
    )
    turned = pd.concat([says(0.3, side="general images"), says(0.1)])
    assert "farther off on general images" in told.gaps_between_sides(turned)
    near = pd.concat([says(0.1, side="general images"), says(0.11)])
    assert "overlap" in told.gaps_between_sides(near)
    assert "overlap" not in told.gaps_between_sides(says(0.1))
    opposite = pd.concat([says(0.1, side="general images"), says(-0.1)])
    assert told.gaps_between_sides(opposite).endswith(
        "It claims too much on general images and too little on medical images."
    )


def test_an_estimator_errs_least_by_its_squared_error():
    table = pd.DataFrame({"estimator": ["ece_width", "smooth_ece"], "n": 451, "truth": 0.098})
    table = table.assign(mean=[0.1, 0.09], rmse=[0.021, 0.017])
    assert told.closest(table, 451) == (
        "With 451 answers plain ECE reads 0.100 where the truth is 0.098; smooth ECE errs least in "
        "a single sample (root mean square 0.017 against 0.021)"
    )
    for rmse in ([0.01, 0.017], [0.0211, 0.0209]):
        assert told.closest(table.assign(rmse=rmse), 451).endswith(
            "none errs less in a single sample"
        )


def test_icons_count_errors_stated_with_certainty():
    graded = pd.DataFrame({"confidence": [0.9, 0.95, 0.2, 1.0], "correct": [1, 0, 0, 0]})
    assert told.icons_of(graded)["count"].tolist() == [1, 1, 2]


@pytest.mark.parametrize(
    ("usual", "words"), [(0.0, "the usual 95 % interval holds"), (0.95, "the usual interval holds")]
)
def test_the_usual_interval_is_blamed_only_where_it_misses(usual, words):
    luck = pd.DataFrame({"n": [100, 451], "mean": [0.08, 0.041]})
    coverage = pd.DataFrame(
        {"n": 451, "made": ["bootstrap", "inversion"], "coverage": [usual, 0.96]}
    )
    title = told.by_luck(luck, coverage, 451, 0.95)
    assert "451 answers shows an ECE of 0.041 by luck" in title
    assert words in title
    assert ("96 %" in title) == (usual == 0)


def test_what_decides_names_the_strictest_yield_there_is():
    row = {"model": "m", "side": "medical images", "confidently_wrong": 0.65}
    none = dict.fromkeys(tables.YIELDS, 0.0)
    scores = pd.DataFrame(
        [row | none | {"strategy": "verbalized"}, row | none | {"strategy": "p_true"}]
    )
    assert "no confidence lets" in told.decides(scores, "verbalized")
    scores.loc[1, "yield_at_20"] = 0.5
    assert "at 20 % errors allowed at most 50 %" in told.decides(scores, "verbalized")
    scores.loc[1, "yield_at_5"] = 0.1
    assert "at 5 % errors allowed at most 10 % of the answers may stand alone (P(True))" in (
        told.decides(scores, "verbalized")
    )


def groups(**gaps):
    rows = [
        {"model": "m", "group": k, "gap": v, "accuracy": 0.5, "mean_confidence": 0.5 + v}
        for k, v in gaps.items()
    ]
    return pd.DataFrame(rows)


def test_no_group_is_called_worst_where_none_differs():
    differ, alike = pd.DataFrame({"differs": [True]}), pd.DataFrame({"differs": [False]})
    one = groups(ct=0.3, mri=0.1)
    assert told.worst_group(one, differ, "modalities").endswith(
        "on ct: it says 80 % and is right 50 %"
    )
    assert "no two modalities differ" in told.worst_group(one, alike, "modalities")
    assert "less than it knows" in told.worst_group(groups(ct=-0.1, mri=-0.3), differ, "groups")
    assert told.worst_group(groups(ct=0.3), alike, "x") == "On ct m says 80 % and is right 50 %"


def test_small_groups_are_left_out_and_named():
    table = groups(ct=0.3, mri=0.1).assign(n=[50, 12])
    kept, words = told.enough_answers(table, 30)
    assert kept["group"].tolist() == ["ct"]
    assert "mri" in words
    kept, words = told.enough_answers(table, 100)
    assert len(kept) == 2
    assert "fewer than 100" in words


@pytest.mark.parametrize(
    ("right", "said", "words"),
    [
        ([0.4, 0.8], [0.7, 0.75], "says nearly the same"),
        ([0.4, 0.8], [0.4, 0.8], "sees less, says less"),
        ([0.8, 0.8], [0.7, 0.7], "not shown to be less often right"),
    ],
)
def test_whether_confidence_falls_with_visibility(right, said, words):
    levels = pd.DataFrame(
        {"model": "m", "level": ["0.0–0.5", "0.5–1.0"], "accuracy": right, "mean_confidence": said}
    )
    levels = levels.assign(
        accuracy_low=levels["accuracy"] - 0.05, accuracy_high=levels["accuracy"] + 0.05
    )
    absent = levels.head(1).assign(level="absent", accuracy=0.0)
    assert words in told.sees_less(pd.concat([levels, absent]))


def test_models_that_claim_too_much_nowhere_are_not_said_to():
    one = groups(ct=0.3, mri=0.1)
    both = pd.concat([one, one.assign(model="other")])
    both = both.assign(gap_low=both["gap"] - 0.05)
    assert told.same_worst(both, "modalities").startswith("2 of 2 models claim most")
    timid = both.assign(gap_low=both["gap_low"].where(both["model"] == "m", -1))
    assert told.same_worst(timid, "modalities") == (
        "1 of 2 models claims most beyond what it knows on ct; the others are not shown to"
    )
    assert told.same_worst(both.assign(gap_low=-1), "modalities").startswith("None of 2 models")
    assert (
        told.same_worst(one, "modalities") == "Stated minus right by modalities: +10 to +30 points"
    )
