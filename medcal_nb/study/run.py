"""The study: one pytask task for each notebook of each profile, whole results or none."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock
import psutil
import pytask
from pytask_parallel import ParallelBackend
from tqdm import tqdm

from medcal_nb.answers.recorded import recorded_entry
from medcal_nb.errors import MedcalError, NotEnough
from medcal_nb.files import file_hash
from medcal_nb.show.figures import FORMATS, made_here, same_but_for_rounding
from medcal_nb.study.context import PUBLISHED, library_versions
from medcal_nb.study.execute import execute_notebook, finish_notebook, write_startup
from medcal_nb.study.notebooks import (
    Notebook,
    choose_notebooks,
    find_notebooks,
    parse_parameters,
)
from medcal_nb.study.own_log import check_own_log
from medcal_nb.study.profile import (
    DEFAULT,
    FOLDER,
    build_folder,
    checkout,
    load_profile,
)

_PACKAGE = Path(__file__).resolve().parents[1]
# what changes no number: who runs notebooks, and what a profile says of its study
_APART = (
    "cli/",
    "study/profiles/",
    "study/run.py",
    "study/notebooks.py",
    "study/execute.py",
)
# side by side: a notebook with its kernel takes up to 1.5 GB of memory
_AT_ONCE = 4
# figures are drawn inline, whatever this shell prefers, and libraries keep quiet
_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "JUPYTER_PREFER_ENV_PATH": "1",
}
# sums depend on the number of threads; a large model can't do with one
_ONE_THREAD = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
pytask.console.quiet = True


class _Fact(pytask.PythonNode):
    """Something other than a file that a notebook depends on, known by its name in the graph."""

    @property
    def signature(self) -> str:
        return self.name


class _File(pytask.PathNode):
    """A file that a notebook depends on or makes, known by its content; it may be absent."""

    def state(self) -> str:
        # a log leaves an empty side file
        has_content = self.path.is_file() and self.path.stat().st_size
        return super().state() if has_content else "absent"


class Study:
    """A study of one profile: where it reads and writes, and what becomes of each notebook.

    Parameters
    ----------
    profile : str
        Name or file of a profile.
    answers : path, optional
        The answers table: read where the profile asks no model, else filled by asking; by default
        the profile's own.
    parameters : sequence of str
        ``NAME=VALUE``; each goes to the notebooks that have such a parameter.
    fast : bool
        Small sizes; nothing is published to ``figures/``.
    out : path, optional
        Publish figures and results here and keep the working files below it.
    force : bool
        Run even what is unchanged.
    only : sequence of str
        Numbers (``2`` or ``02``) or names of notebooks, all by default; what they depend on runs
        too where it is stale.

    Attributes
    ----------
    steps : dict
        What was done with each notebook, or would be, once the study has run.
    failed : dict
        The errors of those that failed.

    Raises
    ------
    MedcalError
        If anything is wrong before the first notebook runs.
    """

    def __init__(
        self,
        profile: str | os.PathLike,
        *,
        answers: str | os.PathLike | None = None,
        parameters: Sequence[str] = (),
        fast: bool = False,
        out: str | os.PathLike | None = None,
        force: bool = False,
        only: Sequence[str] = (),
    ):
        self.profile = load_profile(profile)
        self.fast = fast
        self.force = force
        self.steps: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        self.answers = _resolved(answers or self.profile.answers(fast=fast))
        self._check_answers()
        # where the graph's database lies, where this profile's working files, what it publishes
        self.root = build_folder(fast=fast)
        self.work = self.profile.build(fast=fast)
        self.figures = self.profile.figures(fast=fast)
        if out is not None:
            self._publish_in(_resolved(out))
        self.notebooks = self._own_notebooks()
        self.chosen = choose_notebooks(self.notebooks, only, self.profile.name)
        self.assigned = parse_parameters(
            parameters, [self.notebooks[name] for name in self.chosen]
        )
        self._check_published()

    def _check_answers(self) -> None:
        """Refuse answers that asking would alter, and a profile without any."""
        if self.profile.asks:
            check_own_log(self.answers)
        elif self.profile.reads_recorded(self.answers, fast=self.fast):
            recorded_entry(self.profile.recorded["name"])
        elif not self.answers.is_file():
            raise MedcalError(
                f"profile {self.profile.name} asks no model, and {self.answers} is no file: "
                "give answers with --answers FILE (see `medcal import`)"
            )

    def _publish_in(self, out: Path) -> None:
        """Publish in a folder of the user's choice, which must be new or a study's."""
        self.figures = out
        self.work = out / "build"
        self.root = self.work
        is_ours = not out.exists() or (self.work / "pytask.toml").exists()
        if not is_ours and any(out.iterdir()):
            raise MedcalError(
                f"--to {out}: holds what no study made: choose a new folder"
            )

    def _own_notebooks(self) -> dict[str, Notebook]:
        """Return the notebooks of the profile; those that would ask are noted in `steps`."""
        notebooks = {}
        for name, notebook in find_notebooks(checkout() / "notebooks").items():
            listed = self.profile.notebooks
            if listed and notebook.number not in listed:
                continue
            if "answers" in notebook.writes and not self.profile.asks:
                self.steps[name] = "left out: no model is asked"
                continue
            notebooks[name] = notebook
        return notebooks

    def _check_published(self) -> None:
        """Refuse to replace a figure that no study made."""
        for notebook in self.notebooks.values():
            for name in notebook.writes:
                files = [path for path in self.files([name]) if path.is_file()]
                is_figure = name.startswith("fig")
                if is_figure and files and not any(map(made_here, files)):
                    raise MedcalError(
                        f"{files[0]}: not known as a study's: move it away, or use --to"
                    )

    def files(self, outputs: Iterable[str]) -> list[Path]:
        """Return the files of what a notebook reads or writes."""
        files = []
        for output in outputs:
            if output == "answers":
                # with rows that may wait beside the log
                waiting = self.answers.with_name(f"{self.answers.name}-wal")
                files += [self.answers, waiting]
            elif output.startswith("fig"):
                files += [self.figures / f"{output}.{kind}" for kind in FORMATS]
            elif "results/" in output:
                profile, _, name = output.rpartition(":")
                path = self._published_by(profile) / name
                files += [path.with_suffix(".json"), path.with_suffix(".md")]
            else:
                files.append(checkout() / output)
        return files

    def _published_by(self, profile: str) -> Path:
        """Return where another profile publishes; this one's place without a name."""
        if profile in ("", self.profile.name):
            return self.figures
        return load_profile(profile).figures(fast=self.fast)

    def parameters_of(self, notebook: Notebook) -> dict[str, Any]:
        """Return the parameters that a notebook is given: the profile's, then the user's."""
        values = self.profile.parameters(notebook.number, fast=self.fast)
        values |= self.assigned
        return {name: values[name] for name in notebook.parameters if name in values}

    def signature(self, notebook: Notebook) -> str:
        """Return what a notebook of this profile is called in the graph."""
        return f"{self.profile.name}/{notebook.name}"

    def run(self, *, plan_only: bool = False, keep_going: bool = False) -> Study:
        """Run this profile alone, as :func:`run_studies` does; return the study."""
        run_studies([self], plan_only=plan_only, keep_going=keep_going)
        return self


def default_studies(
    *,
    names: Sequence[str] | None = None,
    fast: bool = False,
    force: bool = False,
    only: Sequence[str] = (),
    out: str | os.PathLike | None = None,
) -> list[Study]:
    """Return the studies that run where no profile is named, or those of `names`.

    Parameters
    ----------
    names : sequence of str, optional
        Profiles; :data:`medcal_nb.study.profile.DEFAULT` by default.
    fast, force : bool
        As in :class:`Study`.
    only : sequence of str
        Notebooks; a profile that has none of them is left out.
    out : path, optional
        Publish in a folder for each profile here; models are then asked anew.

    Raises
    ------
    MedcalError
        If no profile has one of the notebooks.
    """
    profiles = [load_profile(name) for name in names or DEFAULT]
    notebooks = find_notebooks(checkout() / "notebooks")
    wanted = choose_notebooks(notebooks, only, ", ".join(names or DEFAULT))
    studies = []
    for profile in profiles:
        own = [
            name
            for name in wanted
            if not profile.notebooks or name[:2] in profile.notebooks
        ]
        if not own:
            continue
        place = None if out is None else Path(out) / profile.name
        study = Study(
            profile.name if profile.path.parent == FOLDER else profile.path,
            answers=place / "answers.sqlite" if place and profile.asks else None,
            fast=fast,
            out=place,
            force=force,
            only=own if only else (),
        )
        studies.append(study)
    return studies


def run_studies(
    studies: Sequence[Study], *, plan_only: bool = False, keep_going: bool = False
) -> None:
    """Run the notebooks that are stale, as one graph, and publish what they made.

    Parameters
    ----------
    studies : sequence of Study
        One for each profile, all fast or none.
    plan_only : bool
        Say what would run and why, and run nothing.
    keep_going : bool
        After a failure go on with all that doesn't depend on it.

    Raises
    ------
    MedcalError
        If another study is running there, or the notebooks can't be ordered.
    """
    runner = _Runner(studies)
    try:
        with filelock.FileLock(runner.root / "lock", timeout=0):
            if plan_only:
                runner.build(explain=True)
            else:
                runner.run(keep_going=keep_going)
    except filelock.Timeout:
        raise MedcalError(
            f"another study is running in {runner.root}: wait for it, or use --to"
        ) from None


class _Runner:
    """A graph of notebooks, carried out by pytask."""

    def __init__(self, studies: Sequence[Study]):
        self.studies = studies
        self.root = studies[0].root
        self.stopped = False
        self.large = threading.Lock()
        self.code = [package_hashes(), library_versions()]

    def run(self, *, keep_going: bool) -> None:
        """Run what is stale."""
        stages = []
        for study in self.studies:
            (study.work / "notebooks").mkdir(parents=True, exist_ok=True)
            (study.figures / "results").mkdir(parents=True, exist_ok=True)
            stages.append(study.work / "stage")
        for stage in stages:
            shutil.rmtree(stage, ignore_errors=True)
        write_startup(self.root / "ipython")
        with _environment(self._settings()), self._stopping_on_signals():
            self.build(
                n_workers=min(_AT_ONCE, os.cpu_count() or 1),
                parallel_backend=ParallelBackend.THREADS,
                stop_after_first_failure=not keep_going,
            )
        if self.stopped:
            raise KeyboardInterrupt
        for stage in stages:
            shutil.rmtree(stage, ignore_errors=True)

    def _settings(self) -> dict[str, str]:
        """Return the environment of the kernels."""
        published = {study.profile.name: str(study.figures) for study in self.studies}
        settings = dict(_ENVIRONMENT)
        settings[PUBLISHED] = json.dumps(published)
        settings["IPYTHONDIR"] = str(self.root / "ipython")
        if all(_needs_no_machine(study) for study in self.studies):
            settings |= _ONE_THREAD
        return settings

    @contextlib.contextmanager
    def _stopping_on_signals(self) -> Iterator[None]:
        """On Ctrl-C or a polite kill, end the kernels with the study."""

        def stop(number: int, frame: Any) -> None:
            self.stopped = True
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    process.kill()
            raise KeyboardInterrupt

        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, stop) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def build(self, **options: Any) -> None:
        """Let pytask do it, quietly, and note what came of it."""
        self.root.mkdir(parents=True, exist_ok=True)
        # its database lies beside it
        config = self.root / "pytask.toml"
        config.write_text("[tool.pytask.ini_options]\n")
        tasks = {}
        wanted = []
        for study in self.studies:
            for notebook in study.notebooks.values():
                tasks[study.signature(notebook)] = self._task(study, notebook)
            wanted += [study.signature(study.notebooks[name]) for name in study.chosen]
        session = pytask.build(
            tasks=list(tasks.values()),
            config=config,
            expression=" or ".join(wanted),  # with all that they depend on
            capture="no",
            disable_warnings=True,
            **options,
        )
        if session.exit_code not in (pytask.ExitCode.OK, pytask.ExitCode.FAILED):
            raise MedcalError(
                "pytask can't order the notebooks: do they read each other in a circle? "
                f"See their metadata.medcal, or delete {self.root}"
            )
        reports = {report.task.name: report for report in session.execution_reports}
        for study in self.studies:
            for notebook in study.notebooks.values():
                if report := reports.get(study.signature(notebook)):
                    _note_outcome(study, notebook, report)

    def _task(self, study: Study, notebook: Notebook) -> pytask.TaskWithoutPath:
        """Return a notebook as a task: what it depends on, facts and files, and what it makes."""
        name = study.signature(notebook)
        parameters = study.parameters_of(notebook)
        facts = {
            "notebook changed": notebook.cells,
            "parameters changed": parameters,
            "profile changed": study.profile.settings,
            "package or a library changed": self.code,
        }
        if study.force and notebook.name in study.chosen:
            facts["--force"] = time.time()
        inputs: list[pytask.PNode] = [
            _Fact(
                name=f"{name}: {what}",
                value=json.dumps(fact, sort_keys=True),
                hash=True,
            )
            for what, fact in facts.items()
        ]
        written = study.files(notebook.writes)
        # the profile whose results others read beside theirs does not wait for itself
        read = [file for file in study.files(notebook.reads) if file not in written]
        return pytask.TaskWithoutPath(
            name=name,
            function=lambda **_: self._take_turns(study, notebook, parameters),
            depends_on={"inputs": inputs + _nodes(read)},
            produces={"outputs": _nodes(written)},
            markers=_priority(study, notebook),
        )

    def _take_turns(
        self, study: Study, notebook: Notebook, parameters: dict[str, Any]
    ) -> None:
        """Carry a notebook out, one at a time of those that take gigabytes of memory."""
        asks = "answers" in notebook.writes
        is_large = asks or study.profile.settings.get("large", False)
        with self.large if is_large else contextlib.nullcontext():
            self._carry_out(study, notebook, parameters)

    def _carry_out(
        self, study: Study, notebook: Notebook, parameters: dict[str, Any]
    ) -> None:
        """Execute one notebook and publish what it made: its task, in a thread of its own."""
        started = time.monotonic()
        label = study.signature(notebook)
        stage = study.work / "stage" / notebook.name
        executed = study.work / "notebooks" / notebook.path.name
        note = executed.with_suffix(".left_out")
        note.unlink(missing_ok=True)

        def log(what: str) -> str:
            line = f"{label}: {what} after {time.monotonic() - started:.1f} s"
            with open(study.work / "study.log", "a", encoding="utf-8") as file:
                print(time.strftime("%F %X"), line, file=file)
            return line

        def on_cell(number: int) -> None:
            # its kernel started while the others were being killed
            if self.stopped:
                raise KeyboardInterrupt
            log(f"cell {number}/{len(notebook.cells) + 1}")

        places = {"ANSWERS": str(study.answers), "OUT_DIR": str(stage)}
        try:
            execute_notebook(
                notebook, executed, parameters | places, label=label, on_cell=on_cell
            )
            finish_notebook(executed, seconds=time.monotonic() - started)
        except NotEnough as error:
            if study.profile.asks:
                raise MedcalError(f"{error}; all of it in {executed}") from None
            note.write_text(str(error), encoding="utf-8")
            shutil.rmtree(stage, ignore_errors=True)
        finally:
            tqdm.write(log("ended"), file=sys.stderr)  # above the bars
        _publish(study, notebook, stage)


def _nodes(files: Iterable[Path]) -> list[pytask.PNode]:
    """Return files as nodes of the graph."""
    return [_File(name=f"{file.name} changed", path=file) for file in files]


def _priority(study: Study, notebook: Notebook) -> list[pytask.Mark]:
    """Return what comes first: asking, which takes longest, then the first two profiles."""
    if "answers" in notebook.writes:
        return [pytask.Mark("try_first", (), {})]
    if study.profile.name in DEFAULT[2:]:
        return [pytask.Mark("try_last", (), {})]
    return []


def _note_outcome(
    study: Study, notebook: Notebook, report: pytask.ExecutionReport
) -> None:
    """Note what was done with a notebook, or would be."""
    name = notebook.name
    note = study.work / "notebooks" / f"{name}.left_out"
    if report.outcome == pytask.TaskOutcome.SKIP:  # not wanted
        return
    outcome = report.outcome.description.lower()
    if report.outcome == pytask.TaskOutcome.FAIL:
        study.failed[name] = str(report.exc_info[1])
    elif report.outcome == pytask.TaskOutcome.WOULD_BE_EXECUTED:
        reasons = report.task.attributes["explanation"].reasons
        outcome = f"runs, because {_because(reasons)}"
    elif note.is_file():
        outcome = f"left out, because {note.read_text(encoding='utf-8')}"
    study.steps[name] = outcome


def _because(reasons: Sequence[Any]) -> str:
    """Say in a few words what pytask found."""
    if any(reason.node_type == "source" for reason in reasons):
        return "no earlier run"
    # pytask tells them in any order
    reason = min(reasons, key=lambda reason: reason.node_name)
    name = reason.node_name.split(": ")[-1]
    if reason.reason == "cascade":
        return f"{name.rpartition('/')[-1]} runs"
    return name


def _publish(study: Study, notebook: Notebook, stage: Path) -> None:
    """Replace what was published of a notebook by what it has just made, if only nothing."""
    undeclared = {path.stem for path in stage.glob("fig*")} - {*notebook.writes}
    if undeclared:
        raise MedcalError(
            f"it wrote {min(undeclared)!r}, which its metadata.medcal doesn't name"
        )
    outputs = [name for name in notebook.writes if name != "answers"]
    if not study.force:
        # what another processor rounds otherwise is no news
        outputs = [
            name
            for name in outputs
            if not same_but_for_rounding(study.figures / name, stage / name)
        ]
    for file in study.files(outputs):
        staged = stage / file.relative_to(study.figures)
        if staged.is_file():
            shutil.move(staged, file)
        else:
            file.unlink(missing_ok=True)
    for picture in study.figures.glob(f"fig{notebook.name[:2]}_*.png"):
        if picture.stem not in notebook.writes and made_here(picture):
            for file in study.files([picture.stem]):  # a figure of an earlier version
                file.unlink(missing_ok=True)


def _needs_no_machine(study: Study) -> bool:
    """Whether a study asks no model but those that come with the workbook."""
    return study.profile.name == "pocket" or not study.profile.asks


@contextlib.contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Set variables that kernels inherit, and put back what was there."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _resolved(path: str | os.PathLike) -> Path:
    return Path(path).expanduser().resolve()


def package_hashes() -> list[str]:
    """Return the SHA-256 of each file that a notebook's numbers may depend on."""
    kinds = ("*.py", "*.toml", "*.mplstyle")
    files = sorted(file for kind in kinds for file in _PACKAGE.rglob(kind))
    return [
        file_hash(file)
        for file in files
        if not file.relative_to(_PACKAGE).as_posix().startswith(_APART)
    ]
