"""What saved figures say of themselves."""

from pathlib import Path

from medcal_nb.show.figures import read_figure


def read_figures(folder: Path) -> dict[str, dict]:
    """What the figures of a folder say, by name, those that a study made."""
    figures = {path.stem: read_figure(path) for path in sorted(folder.glob("fig*.png"))}
    return {name: about for name, about in figures.items() if about}
