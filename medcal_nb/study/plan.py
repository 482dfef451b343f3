"""What a study is to do, and where: its folders, and a step for each notebook."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from medcal_nb.answers.own import check_own_log
from medcal_nb.errors import MedcalError
from medcal_nb.show.figures import FORMATS, MANIFEST, read_manifest
from medcal_nb.study.context import load_results
from medcal_nb.study.notebooks import ANSWERS, Notebook
from medcal_nb.study.places import answers_file, build_folder, figures_folder
from medcal_nb.study.profiles import Profile

RUNS, UNCHANGED, LEFT_OUT, FAILED, NOT_RUN = "runs", "unchanged", "left out", "failed", "not run"


class Layout(NamedTuple):
    """Where one study reads and writes: the checkout, working files, published files, answers."""

    root: Path
    work: Path
    figures: Path
    results: Path
    answers: Path

    def output_files(self, output: str) -> list[Path]:
        """Return the files of an output."""
        if output == ANSWERS:
            return [self.answers]
        if output.startswith("results/"):
            return [self.results / Path(output).name]
        return [self.figures / f"{output}.{kind}" for kind in FORMATS]


@dataclass
class Step:
    """What is to be done with a notebook and, afterwards, what was done and why."""

    notebook: Notebook
    action: str
    reason: str = ""
    seconds: float = 0.0
    message: str = ""


@dataclass
class Study:
    """A study, planned or done, with a step for each notebook concerned."""

    profile: Profile
    layout: Layout
    fast: bool
    steps: dict[str, Step] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether a notebook failed."""
        return any(step.action == FAILED for step in self.steps.values())

    def leave_out(self) -> None:
        """Mark what the profile can't feed: what asks models, and what can't do without it."""
        for step in self.steps.values():
            if ANSWERS in step.notebook.writes and not self.profile.asks:
                step.action, step.reason = LEFT_OUT, f"profile {self.profile.name} asks no model"
        for _ in self.steps:  # as deep as notebooks can wait for each other
            for step in self.steps.values():
                if step.action != LEFT_OUT and (reason := self.lost_reads(step.notebook)):
                    step.action, step.reason = LEFT_OUT, reason

    def lost_reads(self, notebook: Notebook) -> str:
        """Say what a notebook needs of one that is left out, or nothing; answers may be given."""
        needed = {*notebook.reads} - {ANSWERS, *notebook.declared.get("optional", [])}
        for other in self.steps.values():
            if other.action == LEFT_OUT and (lost := needed & {*other.notebook.writes}):
                return f"reads {min(lost)} of {other.notebook.name}, which is left out"
        return ""

    def check_nothing_foreign(self) -> None:
        """Refuse to publish over a file that no study of ours has published there."""
        listed = read_manifest(self.layout.figures)
        for step in self.steps.values():
            for output in {*step.notebook.writes} - {ANSWERS} - listed.keys():
                for file in filter(Path.exists, self.layout.output_files(output)):
                    if file.suffix == ".json":
                        load_results(file)
                        continue
                    raise MedcalError(
                        f"{file}: is there and no study made it ({MANIFEST} doesn't name it): "
                        "move it away, or choose another folder with --out"
                    )


def lay_out(root: Path, profile: Profile, *, answers, fast: bool, out) -> Layout:
    """Return where a study reads and writes, after a look at what is there.

    Raises
    ------
    MedcalError
        If there are no answers, answers that are not ours to add to, or no such folder.
    """
    if not profile.asks and answers is None:
        raise MedcalError(
            f"profile {profile.name} asks no model: give a file of answers with --answers FILE "
            "(`medcal import` makes one)"
        )
    table = answers_file(root, profile.name, fast=fast)
    if answers is not None:
        table = Path(answers).expanduser().resolve()
    if profile.asks:
        check_own_log(table)
    elif not table.is_file():
        raise MedcalError(f"{answers}: no such file of answers: make one with `medcal import`")
    work = build_folder(root, profile.name, fast=fast)
    if out is None:
        figures = figures_folder(root, profile.name, fast=fast)
        return Layout(root, work, figures, work / "results", table)
    folder = Path(out).expanduser().resolve()
    if folder.exists() and not folder.is_dir():
        raise MedcalError(f"--out {out}: is a file: give a folder")
    if folder == root / "figures" and (fast or profile.name != "pocket"):
        raise MedcalError(f"--out {out}: figures/ holds the full pocket study only: choose another")
    return Layout(root, folder / "build", folder, folder / "results", table)
