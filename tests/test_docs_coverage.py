"""The table of coverage in docs/intervals.md is that of docs/coverage.csv."""

from itertools import product

import pandas as pd

from medcal_nb.measure import METRICS
from tests.bench import coverage


def test_the_table_of_every_interval_is_that_of_its_numbers(root):
    table = pd.read_csv(root / "docs" / "coverage.csv")
    text = (root / "docs" / "intervals.md").read_text(encoding="utf-8")
    assert coverage.as_markdown(table) in text
    cells = table[["errors", "images", "confidences", "n"]].drop_duplicates()
    kinds = ["continuous", "heaped"]
    wanted = product(coverage.ERRORS, coverage.PER_IMAGE, kinds, coverage.ANSWERS)
    assert [*cells.itertuples(index=False, name=None)] == [*wanted]
    assert set(METRICS) <= set(table["number"])


def test_a_cell_is_made_as_it_stands_there():
    """The first samples, of all numbers."""
    row = coverage.every_cell("rare", "shared", "heaped", 100, repeats=3, seed=2027)
    assert row["samples"].tolist().count(3) == len(row) - len(coverage.SLOW)
    none = row.set_index("number")["no_interval"]
    assert none["log_loss"] == 1
    assert none[["accuracy", "gap", "brier", "deferring"]].eq(0).all()
