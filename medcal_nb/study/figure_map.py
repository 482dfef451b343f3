"""The figure map: every figure, its notebook, what it shows, and the command that makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medcal_nb.study.notebooks import find_notebooks
from medcal_nb.study.places import checkout

if TYPE_CHECKING:
    import pandas as pd


def figure_map() -> pd.DataFrame:
    """Return ``figure, notebook, shows, command`` of all figures, from the notebooks' metadata."""
    import pandas as pd

    rows = [
        (name, notebook.name, notebook.declared.get("shows", {}).get(name, ""))
        for notebook in find_notebooks(checkout() / "notebooks")
        for name in notebook.figures
    ]
    table = pd.DataFrame(rows, columns=["figure", "notebook", "shows"])
    return table.assign(command="make figures NB=" + table["notebook"].str[:2])


def format_figure_map(table: pd.DataFrame, *, links: bool = False) -> str:
    """Write the figure map as a Markdown table, with links as seen from the checkout's root."""
    lines = ["| figure | notebook | what it shows | command |", "|---|---|---|---|"]
    for figure, notebook, shows, command in table.itertuples(index=False):
        if links:
            figure = f"[{figure}](figures/{figure}.png)"
            notebook = f"[{notebook}](notebooks/{notebook}.ipynb)"
        lines.append(f"| {figure} | {notebook} | {shows} | `{command}` |")
    return "\n".join(lines)
