"""One value for randomness: the same call, the same resamples, whatever ran before."""

import numpy as np
import pytest

from medcal_nb.measure import Bootstrap

IMAGES = ["scan 2", "scan 1", "scan 1", "scan 3"] * 10


def test_the_same_images_have_the_same_resamples_in_any_order_of_rows():
    ci = Bootstrap(seed=3, n=50)
    once = ci.of(IMAGES)
    again = ci.of(IMAGES[::-1])
    assert once.names.equals(again.names)
    assert (once.counts == again.counts).all()


def test_seed_images_and_number_change_the_resamples():
    counts = Bootstrap(seed=3, n=50).of(IMAGES).counts
    other = [image.replace("3", "4") for image in IMAGES]
    assert (counts != Bootstrap(seed=4, n=50).of(IMAGES).counts).any()
    assert (counts != Bootstrap(seed=3, n=50).of(other).counts).any()


def test_rows_without_images_follow_from_their_number():
    ci = Bootstrap(n=20)
    assert (ci.of(n=40).counts == ci.of(n=40).counts).all()
    assert ci.of(n=40).counts.shape == (21, 40)


def test_more_images_than_are_drawn_one_by_one_are_dealt_out_alike():
    images = np.arange(3000)
    ci = Bootstrap(n=20)
    drawn, again = ci.of(images), ci.of(images[::-1])
    assert (drawn.total(images) == again.total(images[::-1])).all()


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"n": 1}, {"level": 1.0}])
def test_what_is_no_bootstrap_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Bootstrap(**wrong)
