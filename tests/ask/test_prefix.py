"""Cutting prompts into batches: never beyond what fits, and no other cut costs less."""

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from medcal_nb.ask.backends.prefix import _cuts

ENTRIES = st.lists(
    st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(1, 30)), min_size=1, max_size=8
)


def price(parts, sizes, cost):
    return sum(cost + (p.stop - p.start) * max(sizes[p]) for p in parts)


def fits(part, rows, lengths, most, positions):
    n = sum(rows[part])
    return part.stop - part.start == 1 or (n <= most and n * max(lengths[part]) <= positions)


@given(ENTRIES, st.integers(0, 20), st.integers(1, 12), st.integers(10, 300))
def test_slices_cover_the_list_and_fit(entries, cost, most, positions):
    sizes, rows, lengths = map(list, zip(*sorted(entries), strict=True))
    parts = _cuts(sizes, most, cost=cost, rows=rows, lengths=lengths, most_positions=positions)
    assert [i for part in parts for i in range(len(sizes))[part]] == list(range(len(sizes)))
    assert all(fits(part, rows, lengths, most, positions) for part in parts)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8, unique=True), st.integers(0, 60))
def test_no_other_cut_costs_less(sizes, cost):
    sizes, n = sorted(sizes), len(sizes)
    cheapest = math.inf
    for marks in itertools.product((False, True), repeat=n - 1):
        ends = [0, *(i + 1 for i, mark in enumerate(marks) if mark), n]
        cheapest = min(
            cheapest, price(list(itertools.starmap(slice, itertools.pairwise(ends))), sizes, cost)
        )
    assert price(_cuts(sizes, n, cost=cost), sizes, cost) == cheapest


def test_dear_passes_keep_a_batch_together_and_cheap_ones_part_it():
    sizes = [10] * 5 + [50] * 5
    assert _cuts(sizes, 99, cost=1000) == [slice(0, 10)]
    assert _cuts(sizes, 99, cost=10) == [slice(0, 5), slice(5, 10)]
    assert _cuts(sizes, 3, cost=0) == [slice(0, 3), slice(3, 5), slice(5, 8), slice(8, 10)]
    assert _cuts([], 3, cost=1) == []
