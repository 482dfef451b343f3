"""What a notebook needs around it: its answers, where its files go, what they came from."""

from __future__ import annotations

import json
import os
import platform
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

from medcal_nb.errors import MedcalError
from medcal_nb.files import file_hash
from medcal_nb.show.figures import replace_files, save_figure, show_figure
from medcal_nb.study.profile import checkout, load_profile

# the libraries whose version can change a number or a drawing
_LIBS = "medcal-nb numpy pandas scipy scikit-learn netcal torch transformers matplotlib seaborn"
# parameters that say where, not what: they must not change the bytes of a figure
_PLACES = ("ANSWERS", "OUT_DIR")
# names the environment variable in which the runner says where the study publishes
PUBLISHED = "MEDCAL_PUBLISHED"


def library_versions() -> dict[str, str]:
    """Return the versions of Python and the libraries that can change a number or a drawing."""
    return {"python": platform.python_version()} | {
        n: version(n) for n in _LIBS.split()
    }


class NotebookContext:
    """A notebook's surroundings, from its parameters.

    Under the runner ``answers`` and ``out_dir`` are given. Opened by hand they are empty:
    answers are then those of the profile's last study, and files go to
    ``build[/fast]/<profile>/lab``, never to ``figures/``.

    Parameters
    ----------
    notebook : str
        The notebook's own name without extension, such as ``02_metrics``.
    profile : str
        Name or file of a profile (``pocket``, ``imported``, ``hub``, ``served``).
    answers, out_dir : path
        The values of ``ANSWERS`` and ``OUT_DIR``.
    fast : bool
        The value of ``FAST``.
    parameters : dict, optional
        All parameters by name, kept in the provenance of what is saved.

    Attributes
    ----------
    answers : pathlib.Path
        The answers table to read or, in the notebook that asks, to fill.
    out_dir, published : pathlib.Path
        Where figures and results go, and where those of other notebooks lie.
    provenance : dict
        What its figures come from: no path and no date in it.

    Raises
    ------
    MedcalError
        If the notebook reads answers and there are none.
    """

    def __init__(
        self, notebook, profile, answers="", out_dir="", fast=False, *, parameters=None
    ):
        warnings.showwarning = _tell
        source = checkout() / "notebooks" / f"{notebook}.ipynb"
        declared = (
            json.loads(source.read_bytes())["metadata"]["medcal"]
            if source.is_file()
            else {}
        )
        self.notebook = notebook
        self.profile = load_profile(profile)
        self.shows = declared.get("shows", {})
        build = self.profile.build(fast=fast)
        asks = self.profile.asks
        self.answers = Path(answers or build / "answers.sqlite")
        self.out_dir = Path(out_dir or build / "lab")
        published = (
            os.environ.get(PUBLISHED) or out_dir or self.profile.figures(fast=fast)
        )
        self.published = Path(published)
        if not self.answers.is_file() and "answers" in declared.get("reads", []):
            told = (
                f"{notebook}: no answers at {self.answers}: set ANSWERS, or run first"
            )
            how = f"{' --fast' * fast}{' --answers FILE' * (not asks)}"
            raise MedcalError(f"{told} `medcal study --profile {profile}{how}`")
        (self.out_dir / "results").mkdir(parents=True, exist_ok=True)
        self.provenance = {
            "notebook": notebook,
            "profile": self.profile.name,
            "source": self.profile.source,
            "parameters": {
                k: v for k, v in (parameters or {}).items() if k not in _PLACES
            },
            # those that were asked for here follow from the rest, but for their order in the file
            "answers": file_hash(self.answers)
            if self.answers.is_file() and not asks
            else None,
            "versions": library_versions(),
            "platform": f"{platform.system()} {platform.machine()}",
        }

    def answer(self, sentences: list[str] | None = None) -> None:
        """Show what the notebook found where this was first called, at its top.

        Called without sentences it holds the place; called with them, it fills it, and they are
        saved as ``results/<notebook>.md``.
        """
        from IPython.display import Markdown, display

        told = "\n\n".join(sentences or ["*It stands here when the notebook has run.*"])
        if sentences:
            path = self.out_dir / "results" / f"{self.notebook}.md"
            path.write_text(f"{told}\n", encoding="utf-8")
        place = {
            "display_id": f"answer-{self.notebook}",
            "update": sentences is not None,
        }
        display(Markdown(f"**Answer.** {told}"), **place)

    def show(self, figure: str) -> bool:
        """Show a figure that another notebook saved, with its caption; return whether there is."""
        return show_figure(self.published / f"{figure}.png")

    def save(self, fig, name, table, *, caption="", alt="") -> None:
        """Save a figure with its numbers, show it in the notebook and close it.

        Parameters are those of :func:`medcal_nb.show.figures.save_figure`. Where it is not given,
        the caption is the title and what the figure shows; whose recorded answers these are
        follows it.
        """
        import matplotlib.pyplot as plt

        shows = self.shows.get(name, name)
        title = " ".join(fig.get_suptitle().split()).rstrip(".")
        caption = caption or ". ".join(filter(None, [title, shows])) + "."
        told = {
            "caption": f"{caption} {self.profile.source}".strip(),
            "alt": alt or title or shows,
        }
        path = save_figure(
            fig, name, table, out_dir=self.out_dir, provenance=self.provenance, **told
        )
        plt.close(fig)
        show_figure(path)

    def results(self, results: dict[str, Any]) -> None:
        """Save this notebook's numbers as ``results/<notebook>.json``: tables as lists of rows."""
        import pandas as pd

        told = {
            n: v.to_dict("records") if hasattr(v, "columns") else v
            for n, v in results.items()
        }
        told = pd.Series({"provenance": self.provenance, "results": told})
        text = told.to_json(double_precision=15, force_ascii=False, indent=1)
        path = self.out_dir / "results" / f"{self.notebook}.json"
        replace_files({path: text.encode()})

    def read_results(self, notebook: str) -> dict[str, Any]:
        """Return the numbers that another notebook saved, by its name; nothing if there are none.

        The other one's results must be declared in ``metadata.medcal.reads``.
        """
        path = self.published / "results" / f"{notebook}.json"
        return json.loads(path.read_bytes())["results"] if path.is_file() else {}


def _tell(message, *_, **__) -> None:
    """Print a warning as a line for a reader: what it says, not where in whose code."""
    print(f"Note: {' '.join(str(message).split())}")
