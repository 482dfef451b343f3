"""What a notebook needs around it: its answers, where its files go, what they came from."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import platform
import warnings
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcal_nb.errors import MedcalError, NotEnough
from medcal_nb.files import file_hash
from medcal_nb.show.figures import read_manifest, replace_files, save_figure
from medcal_nb.study.profiles import Profile, checkout, load_profile

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# the libraries whose version can change a number or a drawing
_LIBRARIES = (
    "medcal-nb numpy pandas scipy scikit-learn netcal torch transformers matplotlib seaborn"
)
# parameters that say where, not what: they must not change the bytes of a figure
_PLACES = ("ANSWERS", "OUT_DIR")
# dots of a page per inch of a figure: sharp, because the picture has 300
_SHOWN_DPI = 110
# in a notebook's folder, what :func:`answers_hash` keeps
ANSWERS_HASH = ".answers-hash.json"
# what differs from one asking to the next although the answers are the same
_INCIDENTAL = ("run_id", "seconds")


@cache
def library_versions() -> dict[str, str]:
    """Return the versions of Python and the libraries that can change a number or a drawing."""
    return {"python": platform.python_version()} | {n: version(n) for n in _LIBRARIES.split()}


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
    fast : bool
        Whether sizes are to be small.
    parameters : dict
        The notebook's parameters, for the provenance.
    by_hand : bool
        Whether no runner gave ``OUT_DIR``: what it reads is then that of the last study.
    """

    notebook: str
    profile: Profile
    answers: Path
    out_dir: Path
    fast: bool
    parameters: dict[str, Any]
    by_hand: bool

    @property
    def provenance(self) -> dict[str, Any]:
        """What figures of this notebook come from, as of now: no path and no date in it."""
        declared, given = _declared(self.notebook), None
        # what doesn't read answers may run while another notebook still fills them
        named = [*declared.get("reads", ["answers"]), *declared.get("writes", [])]
        if "answers" in named and self.answers.is_file():
            given = answers_hash(self.answers, self.out_dir / ANSWERS_HASH)
        told = {key: value for key, value in self.parameters.items() if key not in _PLACES}
        return {
            "notebook": self.notebook,
            "profile": self.profile.name,
            "fast": self.fast,
            "parameters": _plain(told),
            "answers": given,
            **({"source": self.profile.source} if self.profile.source else {}),
            "versions": library_versions(),
            "platform": f"{platform.system()} {platform.machine()}",
        }

    def answer(self, sentences: list[str] | None = None) -> None:
        """Show what the notebook found where this was first called, at its top.

        Called without sentences it holds the place; called with them, it fills it.
        """
        from IPython.display import Markdown, display

        told = "\n\n".join(sentences or ["*It stands here when the notebook has run.*"])
        place = {"display_id": f"answer-{self.notebook}", "update": sentences is not None}
        display(Markdown(f"**Answer.** {told}"), **place)

    def show(self, figure: str) -> None:
        """Show a figure that another notebook saved, by its name, with its caption."""
        from IPython.display import Image, Markdown, display

        path = self.path_of(figure).with_suffix(".png")
        told = read_manifest(path.parent).get(figure, {})
        display(Image(data=path.read_bytes(), width=760, alt=told.get("alt") or figure))
        if told.get("caption"):
            display(Markdown(f"*{told['caption']}*"))

    def save(
        self, fig: Figure, name: str, table: pd.DataFrame, *, caption: str = "", alt: str = ""
    ) -> None:
        """Save a figure with its numbers, show it in the notebook and close it.

        See :func:`medcal_nb.show.figures.save_figure`; what is shown are the bytes of the PNG.
        Below it stand the caption and, of recorded answers, where these come from.
        """
        import matplotlib.pyplot as plt
        from IPython.display import Image, Markdown, display

        shows = _declared(self.notebook).get("shows", {}).get(name, name)
        title = " ".join(fig.get_suptitle().split()).rstrip(".")
        caption = caption or ". ".join(filter(None, [title, shows.rstrip(".")])) + "."
        caption = " ".join(filter(None, [caption, self.profile.source]))
        alt = alt or title or shows
        told = {"provenance": self.provenance, "caption": caption, "alt": alt}
        paths = save_figure(fig, name, table, out_dir=self.out_dir, **told)
        width = round(_SHOWN_DPI * fig.get_figwidth())
        plt.close(fig)
        display(Image(data=paths["png"].read_bytes(), width=width, alt=alt))
        display(Markdown(f"*{caption}*"))

    def results(self, results: dict[str, Any]) -> None:
        """Save this notebook's numbers as ``results/<notebook>.json``.

        Floats keep 10 significant digits; NaN and infinities become null; numpy values, named
        tuples and tables become plain JSON.

        Raises
        ------
        TypeError
            If a value is no data.
        """
        told = {"results": _plain(results), "provenance": self.provenance}
        text = json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        path = self.out_dir / "results" / f"{self.notebook}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_files({path: (text + "\n").encode()})

    def path_of(self, output: str) -> Path:
        """Return the file of another notebook's output: ``figNN_x`` (its CSV) or ``results/…``.

        Where ``OUT_DIR`` is given it lies there; else that of the last study is read.

        Raises
        ------
        NotEnough
            If it is not there.
        """
        is_result, place = output.startswith("results/"), self.out_dir
        if self.by_hand:
            where = self.profile.build if is_result else self.profile.figures
            place = where(fast=self.fast)
        file = place / (output if is_result else f"{output}.csv")
        if not file.is_file():
            raise NotEnough(
                f"no {file.name} to read: its notebook was left out or has not run (`medcal study` "
                "runs it), or it is not declared in metadata medcal.reads"
            )
        return file

    def has(self, output: str) -> bool:
        """Return whether another notebook's output was made: its profile may leave it out."""
        try:
            return self.path_of(output).is_file()
        except NotEnough:
            return False

    def read_results(self, notebook: str) -> dict[str, Any]:
        """Return the numbers that another notebook saved, by its name (``02_metrics``)."""
        return load_results(self.path_of(f"results/{notebook}.json"))


def notebook_context(
    notebook: str,
    profile: str,
    answers: str | os.PathLike = "",
    out_dir: str | os.PathLike = "",
    fast: bool = False,
    *,
    parameters: dict[str, Any] | None = None,
) -> NotebookContext:
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

    Raises
    ------
    MedcalError
        If the notebook reads answers and there are none.
    """
    warnings.showwarning = _tell
    told = load_profile(profile)
    table = Path(answers or told.build(fast=fast) / "answers.sqlite")
    folder = Path(out_dir or told.build(fast=fast) / "lab")
    if not table.is_file() and "answers" in _declared(notebook).get("reads", []):
        raise MedcalError(
            f"{notebook}: no answers at {table}: set ANSWERS, or run `medcal study --profile "
            f"{profile}{' --fast' if fast else ''}`, with --answers FILE where it asks no model"
        )
    folder.mkdir(parents=True, exist_ok=True)
    given = dict(parameters or {})
    return NotebookContext(notebook, told, table, folder, bool(fast), given, not out_dir)


def _tell(message, *_, **__) -> None:
    """Print a warning as a line for a reader: what it says, not where in whose code."""
    print(f"Note: {' '.join(str(message).split())}")


def _declared(notebook: str) -> dict[str, Any]:
    """What a notebook of this checkout says of itself; nothing where it is none of them."""
    try:
        text = (checkout() / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8")
    except (MedcalError, OSError):
        return {}
    return json.loads(text)["metadata"].get("medcal", {})


def answers_hash(path: Path, known: Path) -> str:
    """Return a hash of what a file of answers says, reckoned once while it stays as it is.

    For an answers log it depends on the rows alone: not on their order, nor on the run
    that asked or the seconds it took. For any other file it is the file's SHA-256.

    Parameters
    ----------
    path : pathlib.Path
        A file of answers.
    known : pathlib.Path
        A file that keeps the hash with the size and times of what it was reckoned from.
    """
    beside = path.with_name(path.name + "-wal")  # rows that wait beside a log
    stats = [file.stat() for file in (path, beside) if file.exists()]
    stamp = [[s.st_size, s.st_mtime_ns, s.st_ctime_ns] for s in stats if s.st_size]
    with contextlib.suppress(OSError, ValueError):
        before, digest = json.loads(known.read_text())
        if before == [str(path), stamp]:
            return digest
    digest = _reckoned(path)
    replace_files({known: json.dumps([[str(path), stamp], digest]).encode()})
    return digest


def _reckoned(path: Path) -> str:
    from medcal_nb.answers import ANSWER_COLUMNS, AnswerLog, is_log

    if not is_log(path):
        return file_hash(path)
    columns = [name for name in ANSWER_COLUMNS if name not in _INCIDENTAL]
    total = 0  # a sum over rows is the same in any order
    with AnswerLog(path, read_only=True) as log:
        for frame in log.iter_frames(columns, ordered=False):
            rows = frame[columns].astype(object).itertuples(index=False, name=None)
            total += sum(int(hashlib.sha256(repr(row).encode()).hexdigest(), 16) for row in rows)
    return hashlib.sha256(f"{columns} {total}".encode()).hexdigest()


def load_results(path: str | os.PathLike) -> dict[str, Any]:
    """Return the numbers of a file that :meth:`NotebookContext.results` wrote."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))["results"]
    except (ValueError, KeyError, TypeError):
        raise MedcalError(f"{path}: not a results file: run `medcal study --force`") from None


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it; what is no data stays, for JSON to refuse."""
    if hasattr(value, "columns"):
        value = value.to_dict(orient="records")
    elif hasattr(value, "_asdict"):
        value = value._asdict()
    elif hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.10g}") if math.isfinite(value) else None
    return None if type(value).__name__ in ("NAType", "NaTType") else value
