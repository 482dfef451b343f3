"""What a notebook needs around it: its answers, where its files go, what they came from."""

from __future__ import annotations

import json
import os
import platform
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from medcal_nb.errors import MedcalError
from medcal_nb.files import file_hash
from medcal_nb.show.figures import read_manifest, replace_files, save_figure
from medcal_nb.study.profiles import Profile, checkout, load_profile

# the libraries whose version can change a number or a drawing
_LIBS = "medcal-nb numpy pandas scipy scikit-learn netcal torch transformers matplotlib seaborn"
# parameters that say where, not what: they must not change the bytes of a figure
_PLACES = ("ANSWERS", "OUT_DIR")
# dots of a page per inch of a figure: sharp, because the picture has 300
_SHOWN_DPI = 110
# names the environment variable in which the runner says where the study publishes
PUBLISHED = "MEDCAL_PUBLISHED"


def library_versions() -> dict[str, str]:
    """Return the versions of Python and the libraries that can change a number or a drawing."""
    return {"python": platform.python_version()} | {n: version(n) for n in _LIBS.split()}


@dataclass(frozen=True)
class NotebookContext:
    """A notebook's surroundings; made by :func:`notebook_context`.

    Attributes
    ----------
    notebook : str
        Name of the notebook without extension, such as ``02_metrics``.
    profile : Profile
        Where its answers come from.
    answers : pathlib.Path
        The answers table to read or, in the notebook that asks, to fill.
    out_dir : pathlib.Path
        Where figures and results go.
    published : pathlib.Path
        Where the figures and results of other notebooks lie.
    provenance : dict
        What its figures come from: no path and no date in it.
    shows : dict
        What each of its figures shows, in a line: ``metadata.medcal.shows``.
    """

    notebook: str
    profile: Profile
    answers: Path
    out_dir: Path
    published: Path
    provenance: dict[str, Any]
    shows: dict[str, str]

    def answer(self, sentences: list[str] | None = None) -> None:
        """Show what the notebook found where this was first called, at its top.

        Called without sentences it holds the place; called with them, it fills it.
        """
        from IPython.display import Markdown, display

        told = "\n\n".join(sentences or ["*It stands here when the notebook has run.*"])
        place = {"display_id": f"answer-{self.notebook}", "update": sentences is not None}
        display(Markdown(f"**Answer.** {told}"), **place)

    def show(self, figure: str) -> bool:
        """Show a figure that another notebook saved, with its caption; return whether there is."""
        from IPython.display import Image, Markdown, display

        path, told = self.published / f"{figure}.png", read_manifest(self.published)
        if there := path.is_file() and figure in told:
            display(Image(data=path.read_bytes(), width=760, alt=told[figure]["alt"]))
            display(Markdown(f"*{told[figure]['caption']}*"))
        return there

    def save(self, fig, name, table, *, caption="", alt="") -> None:
        """Save a figure with its numbers, show it in the notebook and close it.

        Parameters are those of :func:`medcal_nb.show.figures.save_figure`; what is shown are the
        bytes of the PNG. Below them stand the caption and whose recorded answers these are.
        """
        import matplotlib.pyplot as plt
        from IPython.display import Image, Markdown, display

        shows = self.shows.get(name, name)
        title = " ".join(fig.get_suptitle().split()).rstrip(".")
        caption = caption or ". ".join(filter(None, [title, shows])) + "."
        caption = " ".join(filter(None, [caption, self.profile.source]))
        alt = alt or title or shows
        told = {"provenance": self.provenance, "caption": caption, "alt": alt}
        paths = save_figure(fig, name, table, out_dir=self.out_dir, **told)
        width = round(_SHOWN_DPI * fig.get_figwidth())
        plt.close(fig)
        display(Image(data=paths["png"].read_bytes(), width=width, alt=alt))
        display(Markdown(f"*{caption}*"))

    def results(self, results: dict[str, Any]) -> None:
        """Save this notebook's numbers as ``results/<notebook>.json``: tables as lists of rows."""
        import pandas as pd

        told = {n: v.to_dict("records") if hasattr(v, "columns") else v for n, v in results.items()}
        told = {"provenance": self.provenance, "results": told}
        text = pd.Series(told).to_json(double_precision=15, force_ascii=False, indent=1)
        path = self.out_dir / "results" / f"{self.notebook}.json"
        replace_files({path: text.encode()})

    def read_results(self, notebook: str) -> dict[str, Any]:
        """Return the numbers that another notebook saved, by its name; nothing if there are none.

        The other one's results must be declared in ``metadata.medcal.reads``.
        """
        path = self.published / "results" / f"{notebook}.json"
        return json.loads(path.read_bytes())["results"] if path.is_file() else {}


def notebook_context(notebook, profile, answers="", out_dir="", fast=False, *, parameters=None):
    """Return a notebook's surroundings from its parameters.

    Under the runner ``answers`` and ``out_dir`` are given. Opened by hand they are empty:
    answers are then those of the profile's last study, and files go to
    ``build[/fast]/<profile>/lab``, never to ``figures/``.

    Parameters
    ----------
    notebook : str
        The notebook's own name, such as ``02_metrics``.
    profile : str
        Name or file of a profile (``pocket``, ``imported``, ``hub``, ``served``).
    answers, out_dir : path
        The values of ``ANSWERS`` and ``OUT_DIR``.
    fast : bool
        The value of ``FAST``.
    parameters : dict, optional
        All parameters by name, kept in the provenance of what is saved.

    Returns
    -------
    NotebookContext

    Raises
    ------
    MedcalError
        If the notebook reads answers and there are none.
    """
    warnings.showwarning = _tell
    told, source = load_profile(profile), checkout() / "notebooks" / f"{notebook}.ipynb"
    declared = json.loads(source.read_bytes())["metadata"]["medcal"] if source.is_file() else {}
    table = Path(answers or told.build(fast=fast) / "answers.sqlite")
    folder = Path(out_dir or told.build(fast=fast) / "lab")
    published = os.environ.get(PUBLISHED) or out_dir or told.figures(fast=fast)
    if not table.is_file() and "answers" in declared.get("reads", []):
        raise MedcalError(
            f"{notebook}: no answers at {table}: set ANSWERS, or run `medcal study --profile "
            f"{profile}{' --fast' if fast else ''}`, with --answers FILE where it asks no model"
        )
    (folder / "results").mkdir(parents=True, exist_ok=True)
    provenance = {
        "notebook": notebook,
        "profile": told.name,
        "source": told.source,
        "parameters": {k: v for k, v in (parameters or {}).items() if k not in _PLACES},
        # those that were asked for here follow from the rest, but for their order in the file
        "answers": file_hash(table) if table.is_file() and not told.asks else None,
        "versions": library_versions(),
        "platform": f"{platform.system()} {platform.machine()}",
    }
    places = table, folder, Path(published)
    return NotebookContext(notebook, told, *places, provenance, declared.get("shows", {}))


def _tell(message, *_, **__) -> None:
    """Print a warning as a line for a reader: what it says, not where in whose code."""
    print(f"Note: {' '.join(str(message).split())}")
