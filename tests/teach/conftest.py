"""Every test of drawings starts and ends without an open figure."""

import pytest


@pytest.fixture(autouse=True)
def no_figure_left_open():
    import matplotlib.pyplot as plt

    plt.close("all")
    yield
    plt.close("all")
