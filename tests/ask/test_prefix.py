"""How prompts are cut into passes."""

from hypothesis import given
from hypothesis import strategies as st

from medcal_nb.ask.backends.prefix import slices


@given(
    st.lists(st.integers(1, 300), max_size=60).map(sorted),
    st.integers(0, 500),
    st.integers(1, 2000),
)
def test_slices_cover_the_list_pad_little_and_keep_to_what_fits(sizes, cost, most):
    cut = list(slices(sizes, cost, most))
    assert [i for part in cut for i in range(part.start, part.stop)] == list(
        range(len(sizes))
    )
    for part in cut:
        rows = sizes[part]
        assert len(rows) == 1 or len(rows) * max(rows) <= most
        assert len(rows) * max(rows) - sum(rows) <= cost
