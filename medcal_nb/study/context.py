"""What a notebook needs around it: its answers, where its files go, what they came from."""

from __future__ import annotations

import ast
import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcal_nb.errors import MedcalError
from medcal_nb.files import file_hash
from medcal_nb.show.figures import replace_files, save_figure, show_figure
from medcal_nb.study.findings.finding import AT_MOST, Finding
from medcal_nb.study.profile import checkout, load_profile

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# the libraries whose version can change a number or a drawing
_LIBS = "medcal-nb numpy pandas scipy scikit-learn netcal torch transformers matplotlib seaborn"
# parameters that say where, not what: they must not change the bytes of a figure
_PLACES = ("ANSWERS", "OUT_DIR")
# the environment variable in which the runner says where each profile publishes, as JSON
PUBLISHED = "MEDCAL_PUBLISHED"


def library_versions() -> dict[str, str]:
    """Return the versions of Python and the libraries that can change a number or a drawing."""
    return {"python": platform.python_version()} | {
        n: version(n) for n in _LIBS.split()
    }


class NotebookContext:
    """A notebook's surroundings, from its parameters.

    Under the runner ``answers`` and ``out_dir`` are given. Opened by hand they are empty:
    answers are then those of the profile, and files go to ``build[/fast]/<profile>/lab``, never
    to ``figures/``.

    Parameters
    ----------
    notebook : str
        The notebook's own name without extension, such as ``02_metrics``.
    profile : str
        Name or file of a profile (``recorded``, ``pocket``, ``imported``, ``hub``).
    answers, out_dir : path
        The values of ``ANSWERS`` and ``OUT_DIR``.
    fast : bool
        The value of ``FAST``.
    parameters : dict, optional
        All parameters by name, kept in the provenance of what is saved; by default the names of
        the notebook's parameters cell with the values that they have where it runs.

    Attributes
    ----------
    answers : pathlib.Path
        The answers to read or, in the notebook that asks, to fill.
    out_dir, published : pathlib.Path
        Where figures and results go, and where those of other notebooks lie.
    provenance : dict
        What its figures come from: no path and no date in it.
    world : str
        Whose answers to what these are, in a sentence.

    Raises
    ------
    MedcalError
        If the notebook reads answers and there are none.

    Examples
    --------
    >>> ctx = NotebookContext("02_metrics", "recorded")  # doctest: +SKIP
    >>> ctx.graded().groupby("model")["correct"].mean()  # doctest: +SKIP
    """

    def __init__(
        self,
        notebook: str,
        profile: str,
        answers: str | os.PathLike = "",
        out_dir: str | os.PathLike = "",
        fast: bool = False,
        *,
        parameters: dict[str, Any] | None = None,
    ):
        self.notebook = notebook
        self.profile = load_profile(profile)
        self.fast = fast
        self.world = self.profile.world
        declared, names = _declared(notebook)
        self.shows = declared.get("shows", {})
        build = self.profile.build(fast=fast)
        self.answers = Path(answers) if answers else self.profile.answers(fast=fast)
        self.out_dir = Path(out_dir or build / "lab")
        self._places: dict[str, str] = json.loads(os.environ.get(PUBLISHED, "{}"))
        self.published = Path(
            self._places.get(self.profile.name)
            or out_dir
            or self.profile.figures(fast=fast)
        )
        if not self.answers.is_file() and "answers" in declared.get("reads", []):
            command = f"medcal study --profile {profile}"
            if fast:
                command += " --fast"
            if not self.profile.asks:
                command += " --answers FILE"
            raise MedcalError(
                f"{notebook}: no answers at {self.answers}: set ANSWERS, or run first `{command}`"
            )
        (self.out_dir / "results").mkdir(parents=True, exist_ok=True)
        self.provenance = self._provenance(
            _values(names) if parameters is None else parameters
        )
        self._findings: list[Finding] = []

    def _provenance(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return what figures come from."""
        # answers that were asked for here follow from the rest, but for their order in the file
        is_input = self.answers.is_file() and not self.profile.asks
        return {
            "notebook": self.notebook,
            "profile": self.profile.name,
            "source": self.profile.source,
            "parameters": {
                name: value for name, value in parameters.items() if name not in _PLACES
            },
            "answers": file_hash(self.answers) if is_input else None,
            "versions": library_versions(),
            "platform": f"{platform.system()} {platform.machine()}",
        }

    def graded(self, *, ranked_only: bool = True) -> pd.DataFrame:
        """Return the graded answers of the profile, from its log or its recorded table.

        Parameters
        ----------
        ranked_only : bool
            Leave out what is not compared with other elicitation methods: answers to a blank
            image, an expert's judgements, typed scores.

        Returns
        -------
        pandas.DataFrame
            One row per model, data set, item and elicitation method; columns
            :data:`medcal_nb.answers.GRADED_COLUMNS` and those that the answers bring.
        """
        from medcal_nb.answers import load_answers
        from medcal_nb.ask.graded import ranked, to_graded

        if self.profile.reads_recorded(self.answers, fast=self.fast):
            from medcal_nb.answers.recorded import load_recorded

            name, *columns = self.profile.recorded
            answers = load_recorded(self.profile.recorded[name])
            for column in columns:
                values = self.profile.recorded[column]
                answers = answers[answers[column].isin(values)]
        else:
            answers = load_answers(self.answers)
        graded = to_graded(answers)
        pool = self.profile.settings.get("pool")
        if pool:
            graded = graded.assign(model=pool)
        return ranked(graded) if ranked_only else graded

    def size(self, full: int, *, fast: int) -> int:
        """Return a number of resamples or repeats: `full`, or `fast` at most under ``--fast``."""
        return min(full, fast) if self.fast else full

    def findings(self, findings: Sequence[Finding] | None = None) -> None:
        """Show what the notebook concludes where this was first called, at its top.

        Called without findings it says which world the notebook speaks of and holds the place;
        called with them it fills the place. They are published as ``results/<notebook>.md``, and
        with their numbers in its JSON file.

        Parameters
        ----------
        findings : sequence of Finding, optional
            Three at most; the first answers the notebook's question.

        Raises
        ------
        ValueError
            If there are more than three.
        """
        if findings is None:
            self.answer()
            return
        if len(findings) > AT_MOST:
            raise ValueError(
                f"findings: {len(findings)} at the top of a notebook, at most {AT_MOST}: "
                "show the others where they belong, by ctx.say"
            )
        self._findings = list(findings)
        self.answer([finding.claim for finding in findings])

    def say(self, *findings: Finding) -> None:
        """Show findings where they are computed."""
        from IPython.display import Markdown, display

        display(Markdown("\n\n".join(finding.claim for finding in findings)))

    def answer(self, sentences: list[str] | None = None) -> None:
        """Show sentences where this was first called, and save them as ``results/<notebook>.md``.

        Called without sentences it holds the place.
        """
        from IPython.display import Markdown, display

        text = "\n\n".join(sentences or ["*It stands here when the notebook has run.*"])
        if sentences:
            path = self.out_dir / "results" / f"{self.notebook}.md"
            path.write_text(f"{text}\n", encoding="utf-8")
        about = f"*{self.world}*\n\n" if self.world else ""
        display(
            Markdown(f"{about}**Findings.** {text}"),
            display_id=f"answer-{self.notebook}",
            update=sentences is not None,
        )

    def save(
        self,
        fig: Figure,
        name: str,
        table: pd.DataFrame,
        *,
        caption: str = "",
        alt: str = "",
    ) -> None:
        """Save a figure with its numbers, show it in the notebook and close it.

        Parameters are those of :func:`medcal_nb.show.figures.save_figure`. Where it is not given,
        the caption is the title and what the figure shows; whose recorded answers these are
        follows it.
        """
        import matplotlib.pyplot as plt

        shows = self.shows.get(name, name)
        title = " ".join(fig.get_suptitle().split()).rstrip(".")
        caption = caption or ". ".join(filter(None, [title, shows])) + "."
        path = save_figure(
            fig,
            name,
            table,
            out_dir=self.out_dir,
            provenance=self.provenance,
            caption=f"{caption} {self.profile.source}".strip(),
            alt=alt or title or shows,
        )
        plt.close(fig)
        show_figure(path)

    def results(self, results: dict[str, Any]) -> None:
        """Save this notebook's numbers as ``results/<notebook>.json``: tables as lists of rows.

        The findings shown at its top go in by themselves, under ``findings``.
        """
        import pandas as pd

        plain = {
            name: value.to_dict("records") if hasattr(value, "columns") else value
            for name, value in results.items()
        }
        if self._findings:
            plain["findings"] = [finding.as_dict() for finding in self._findings]
        both = pd.Series({"provenance": self.provenance, "results": plain})
        text = both.to_json(double_precision=15, force_ascii=False, indent=1)
        path = self.out_dir / "results" / f"{self.notebook}.json"
        replace_files({path: text.encode()})

    def read_results(self, notebook: str, *, profile: str = "") -> dict[str, Any]:
        """Return the numbers that another notebook saved; nothing if there are none.

        Parameters
        ----------
        notebook : str
            Its name. Its results must be declared in ``metadata.medcal.reads``.
        profile : str
            The profile that it ran for, this one by default; declared as
            ``profile:results/NN_topic.json``.
        """
        folder = self.published
        if profile and profile != self.profile.name:
            folder = self._places.get(profile) or load_profile(profile).figures(
                fast=self.fast
            )
        path = Path(folder) / "results" / f"{notebook}.json"
        return json.loads(path.read_bytes())["results"] if path.is_file() else {}


def _declared(notebook: str) -> tuple[dict[str, Any], list[str]]:
    """Return ``metadata.medcal`` of a notebook of the checkout and the names of its parameters."""
    source = checkout() / "notebooks" / f"{notebook}.ipynb"
    if not source.is_file():
        return {}, []
    content = json.loads(source.read_bytes())
    names = []
    for cell in content["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            body = ast.parse("".join(cell["source"])).body
            names = [
                line.targets[0].id for line in body if isinstance(line, ast.Assign)
            ]
    return content["metadata"]["medcal"], names


def _values(names: list[str]) -> dict[str, Any]:
    """Return what the parameters of the notebook that runs are now; nothing outside a kernel."""
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None:
        return {}
    return {name: shell.user_ns[name] for name in names if name in shell.user_ns}
