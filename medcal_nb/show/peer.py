"""netcal's own reliability diagram, on axes of ours."""

from types import SimpleNamespace


def plot_by_netcal(confidence, correct, *, ax, n_bins) -> None:
    """Draw the diagram that netcal draws of the same answers; its histogram is not shown.

    netcal counts a confidence at an edge in the bin above, and draws bins without answers on the
    diagonal. Source: Küppers et al., CVPR workshops 2020, arXiv:2004.13546.
    """
    from matplotlib.figure import Figure
    from netcal.presentation import ReliabilityDiagram

    axes = {1: Figure().add_subplot(), 2: ax}
    place = SimpleNamespace(
        add_subplot=lambda *at: axes[at[2]], tight_layout=lambda: None
    )
    ReliabilityDiagram(n_bins).plot(confidence, correct, fig=place)
