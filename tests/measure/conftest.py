"""Answers for the tests of this room."""

import pytest


@pytest.fixture
def sample(rng):
    """Confidence and outcome of 500 answers of an overconfident model."""
    c = rng.beta(3, 1.5, 500)
    return c, (rng.random(500) < c**1.4).astype(float)
