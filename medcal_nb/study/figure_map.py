"""The figure map: every figure, its notebook, what it shows, and the command that makes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from medcal_nb.study.graph import Notebook, find_notebooks
from medcal_nb.study.places import checkout

if TYPE_CHECKING:
    import pandas as pd


def figure_map(notebooks: Iterable[Notebook] | None = None) -> pd.DataFrame:
    """Return all figures of notebooks, from what their metadata say.

    Parameters
    ----------
    notebooks : iterable of Notebook, optional
        By default those of the checkout.

    Returns
    -------
    pandas.DataFrame
        ``figure, notebook, shows, command``; ``shows`` is empty where nothing is told.
    """
    import pandas as pd

    if notebooks is None:
        notebooks = find_notebooks(checkout() / "notebooks")
    rows = [
        (name, notebook.name, notebook.shows.get(name, ""), f"make figures NB={notebook.name[:2]}")
        for notebook in notebooks
        for name in notebook.figures
    ]
    return pd.DataFrame(rows, columns=["figure", "notebook", "shows", "command"])


def format_figure_map(table: pd.DataFrame, *, links: bool = False) -> str:
    """Write the figure map as a Markdown table.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`figure_map`.
    links : bool
        Make figures and notebooks links, as seen from the root of the checkout.
    """
    lines = ["| figure | notebook | what it shows | command |", "|---|---|---|---|"]
    for figure, notebook, shows, command in table.itertuples(index=False):
        if links:
            figure = f"[{figure}](figures/{figure}.png)"
            notebook = f"[{notebook}](notebooks/{notebook}.ipynb)"
        lines.append(f"| {figure} | {notebook} | {shows} | `{command}` |")
    return "\n".join(lines)
