"""How numbers are written: what a reader sees of them, and what a file holds."""

import re

import numpy as np
import pandas as pd
import pytest

from medcal_nb.run import ROOT
from medcal_nb.wording import between, estimate, percent, rounded, show, typeset

#: A format that writes 99.6 % as 100 %.
ROUNDS_TO_ALL = re.compile(r"\.\d%|\{100 \* [^}]*f\} ?%")
SOURCES = [*ROOT.glob("medcal_nb/**/*.py"), *ROOT.glob("notebooks/*.ipynb")]
SOURCES += [*ROOT.glob("docs/*.py")]


def test_a_range_of_one_value_is_that_value():
    for text, expected in {
        "by 16 to 16 points": "by 16 points",
        "67% to 67% of them": "67 % of them",
        "-5 to -5.": "−5.",
        "-5 to 5": "−5 to 5",
        "1 to 10, 0.1 to 0.12, 12 to 2": "1 to 10, 0.1 to 0.12, 12 to 2",
    }.items():
        assert typeset(text) == expected


@pytest.mark.parametrize("n", [1, 3, 250, 1_000, 4_549, 100_000])
def test_a_share_that_is_neither_none_nor_all_is_never_written_so(n):
    for k in {0, 1, n // 3, n - 1, n}:
        share = k / n
        text = percent(share)
        assert (text == "0") == (k == 0)
        assert (text == "100") == (k == n)
        if text[0] not in "<>":
            assert abs(float(text) - 100 * share) <= 0.5


def test_every_way_to_write_a_share_tells_it_from_none_and_all():
    row = {"accuracy": 0.996, "accuracy_low": 0.981, "accuracy_high": 0.9994}
    row |= {"accuracy_least": 0.0034, "accuracy_most": 0.996}
    table = pd.DataFrame([row])
    assert show(table).to_numpy().tolist() == [["99.6 % [98, 99.9]", "0.3 to 99.6 %"]]
    assert between(table, "accuracy_bounds") == ["0.3 to 99.6 %"]
    assert (
        estimate(table.iloc[0], "accuracy", "percent")
        == "99.6 % (95 % CI 98 % to 99.9 %)"
    )
    tiny = pd.DataFrame({"accuracy": [1e-7, 0.0]})
    assert show(tiny)["accuracy"].tolist() == ["< 0.01 %", "0 %"]


def test_no_share_is_written_by_a_format_that_rounds_it_to_none_or_all():
    assert len(SOURCES) > 150
    assert ROUNDS_TO_ALL.search('f"{share:.0%}"')
    assert ROUNDS_TO_ALL.search('f"{100 * share:.0f} %"')
    lines = {}
    for path in SOURCES:
        by_format = ROUNDS_TO_ALL.findall(path.read_text("utf-8"))
        lines |= {path.name: by_format} if by_format else {}
    assert lines == {}


def test_numbers_that_differ_by_rounding_are_written_alike(rng):
    values = rng.normal(size=2000) * 10.0 ** rng.integers(-6, 5, 2000)
    noise = 1 + 1e-15 * rng.normal(size=2000)
    table = pd.DataFrame({"x": values, "p": np.abs(values) / 1e40})
    other = pd.DataFrame({"x": values * noise, "p": np.abs(values * noise) / 1e40})
    pd.testing.assert_frame_equal(rounded(table), rounded(other), rtol=0, atol=0)
    assert np.allclose(rounded(table)["x"], values, rtol=0, atol=1e-4)
    assert (rounded(table)["p"] > 0).all()
    gone = rounded(pd.DataFrame({"x": [-3e-12, 0.5, np.nan, np.inf]}))["x"]
    assert gone.tolist()[:2] == [0.0, 0.5]
    assert not np.signbit(gone[0])
    assert gone.isna().tolist() == [False, False, True, False]


def test_a_tie_is_rounded_away_from_zero_as_a_browser_does():
    assert [percent(k / 24) for k in (3, 9, 15)] == ["13", "38", "63"]
    row = {"gap": -0.125, "gap_low": -0.25, "gap_high": 0.025}
    assert show(pd.DataFrame([row])).to_numpy().tolist() == [["−13 [−25, 3]"]]


def test_an_endless_number_of_cases_is_said_in_words():
    table = pd.DataFrame({"cases_needed": [float("inf"), 12.0]})
    assert show(table).iloc[0, 0] == "none known to do"
