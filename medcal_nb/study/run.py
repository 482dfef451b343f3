"""The study: one pytask task for each notebook, publishing whole results or none."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pytask
from pytask_parallel import ParallelBackend

from medcal_nb.answers.own import check_own_log
from medcal_nb.errors import MedcalError, NotEnough
from medcal_nb.show.figures import FORMATS, MANIFEST, read_manifest, replace_files, write_manifest
from medcal_nb.study.context import library_versions, load_results
from medcal_nb.study.hashing import answers_hash, file_hash, sources_used, stamp
from medcal_nb.study.html import save_copies, save_index
from medcal_nb.study.notebooks import (
    ANSWERS,
    Notebook,
    find_notebooks,
    parse_parameters,
    select,
    writers_of,
)
from medcal_nb.study.places import (
    answers_file,
    build_folder,
    checkout,
    figures_folder,
)
from medcal_nb.study.profiles import FOLDER, Profile, load_profile

RUNS, UNCHANGED, LEFT_OUT, FAILED, NOT_RUN = "runs", "unchanged", "left out", "failed", "not run"
_ABSENT = "absent"
# what a notebook with its kernel and the numerical libraries takes at most, by observation
_MEMORY_PER_NOTEBOOK = 1.5e9


@dataclass(frozen=True)
class Layout:
    """Where one study reads and writes: the checkout, working files, published files, answers."""

    root: Path
    work: Path
    figures: Path
    results: Path
    answers: Path

    def output_files(self, output: str) -> list[Path]:
        """Return the published files of an output, the answers aside."""
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
        optional = [ANSWERS, *notebook.declared.get("optional", [])]
        for other in self.steps.values():
            for output in other.notebook.writes if other.action == LEFT_OUT else ():
                if output in notebook.reads and output not in optional:
                    return f"reads {output} of {other.notebook.name}, which is left out"
        return ""


def run_study(
    profile: str = "pocket",
    *,
    answers: str | os.PathLike | None = None,
    parameters: Sequence[str] = (),
    fast: bool = False,
    out: str | os.PathLike | None = None,
    force: bool = False,
    plan_only: bool = False,
    keep_going: bool = False,
    jobs: int | None = None,
    only: Sequence[str] = (),
    root: Path | None = None,
) -> Study:
    """Run the notebooks that are stale, and publish what they made.

    Parameters
    ----------
    profile : str
        Name or file of a profile.
    answers : path, optional
        The answers table: read where the profile asks no model, else filled by asking.
    parameters : sequence of str
        ``NAME=VALUE``; each goes to the wanted notebooks that have such a parameter.
    fast : bool
        Small sizes; nothing is published to ``figures/``.
    out : path, optional
        Publish figures and results here and keep the working files below it.
    force : bool
        Run even what is unchanged.
    plan_only : bool
        Say what would run, and run nothing.
    keep_going : bool
        After a failure go on with all that doesn't depend on it.
    jobs : int, optional
        How many notebooks at a time, by default as cores and memory allow.
    only : sequence of str
        Numbers or names of notebooks; what they depend on runs too where it is stale.
    root : pathlib.Path, optional
        The checkout, by default the package's.

    Raises
    ------
    MedcalError
        If anything is wrong before the first notebook runs.
    """
    if jobs is not None and jobs < 1:
        raise MedcalError(f"-j {jobs}: give a whole number above 0")
    root = root or checkout()
    settings = load_profile(profile)
    notebooks = find_notebooks(root / "notebooks")
    layout = _layout(root, settings, answers=answers, fast=fast, out=out)
    chosen, closed = select(notebooks, only)
    study = Study(settings, layout, fast)
    for notebook in notebooks:
        if notebook.name in closed:
            study.steps[notebook.name] = Step(notebook, UNCHANGED)
    study.leave_out()
    feasible = [name for name in chosen if study.steps[name].action != LEFT_OUT]
    if not feasible:
        name = min(chosen)
        raise MedcalError(f"nothing to run: {name} is left out: {study.steps[name].reason}")
    _check_nothing_foreign(layout, [step.notebook for step in study.steps.values()])
    given = parse_parameters(parameters, [study.steps[name].notebook for name in feasible])
    assigned = {
        name: {
            key: value
            for key, value in settings.parameters(name).items()
            if key in study.steps[name].notebook.parameters
        }
        | own
        for name, own in given.items()
    }
    layout.work.mkdir(parents=True, exist_ok=True)
    with _alone(layout.work):
        runner = _Runner(study, assigned, forced=chosen if force else set(), keep_going=keep_going)
        runner.plan()
        if not plan_only and any(step.action == RUNS for step in study.steps.values()):
            runner.run(jobs or _jobs())
    return study


def _layout(root, profile, *, answers, fast, out) -> Layout:
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
    work, figures = build_folder(root, profile.name, fast=fast), root / "figures"
    if out is None:
        figures = figures_folder(root, profile.name, fast=fast)
        return Layout(root, work, figures, work / "results", table)
    folder = Path(out).expanduser().resolve()
    if folder.exists() and not folder.is_dir():
        raise MedcalError(f"--out {out}: is a file: give a folder")
    if folder == figures and (fast or profile.name != "pocket"):
        raise MedcalError(f"--out {out}: figures/ holds the full pocket study only: choose another")
    return Layout(root, folder / "build", folder, folder / "results", table)


def _check_nothing_foreign(layout: Layout, notebooks: list[Notebook]) -> None:
    """Refuse to publish over a file that no study of ours has published there."""
    listed = read_manifest(layout.figures)
    for notebook in notebooks:
        for output in notebook.writes:
            for file in layout.output_files(output):
                if not file.exists() or output in listed:
                    continue
                if output in notebook.figures:
                    raise MedcalError(
                        f"{file}: is there and no study made it ({MANIFEST} doesn't name it): "
                        "move it away, or choose another folder with --out"
                    )
                load_results(file)


def _jobs() -> int:
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    free = psutil.virtual_memory().available
    return max(1, min(cores or 1, int(free / _MEMORY_PER_NOTEBOOK)))


@contextlib.contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Refuse a second study in the same folder."""
    try:
        import fcntl
    except ImportError:  # no advisory locks on this system
        yield
        return
    with open(work / "lock", "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise MedcalError(
                f"another study is running in {work}: wait for it, or use --out"
            ) from None
        yield


@dataclass(kw_only=True)
class _Node:
    """Something that a notebook depends on or makes, known by a hash of its content."""

    name: str
    signature: str
    read: Callable[[], str]
    attributes: dict = field(default_factory=dict)

    def state(self) -> str:
        return self.read()

    def load(self, is_product: bool = False) -> None:
        return None

    def save(self, value: Any) -> None:
        raise NotImplementedError


@dataclass(kw_only=True)
class _Task(pytask.TaskWithoutPath):
    """A notebook as pytask sees it."""

    forced: bool = False

    def state(self) -> str:
        return "forced" if self.forced else "notebook"


class _Runner:
    """Makes tasks of notebooks, and runs them in stages of their own."""

    def __init__(self, study: Study, assigned, *, forced: set[str], keep_going: bool) -> None:
        self.study, self.layout = study, study.layout
        self.assigned, self.forced, self.keep_going = assigned, forced, keep_going
        self.todo = [s.notebook for s in study.steps.values() if s.action != LEFT_OUT]
        self.writers = writers_of(step.notebook for step in study.steps.values())
        self.versions = library_versions()
        self.publishing = threading.Lock()
        self.stopped = False

    # -- the graph -------------------------------------------------------------------

    def tasks(self) -> list[_Task]:
        return [
            _Task(
                name=notebook.name,
                function=partial(self.work, notebook),
                depends_on={"inputs": self.inputs(notebook)},
                produces={"outputs": self.outputs(notebook, notebook.writes)},
                forced=notebook.name in self.forced,
            )
            for notebook in self.todo
        ]

    def inputs(self, notebook: Notebook) -> list[_Node]:
        profile = self.study.profile
        told = notebook.declared | {"shows": None}  # what is told of the figures changes none
        parameters = {"PROFILE": profile.name, "FAST": self.study.fast}
        facts = {
            "notebook": [notebook.cells, told],
            "parameters": parameters | self.assigned.get(notebook.name, {}),
            "package": sources_used(notebook.code),
            "versions of libraries": self.versions,
        }
        if ANSWERS in notebook.writes:
            facts[f"profile {profile.path.name}"] = file_hash(profile.path)
        nodes = [
            _Node(name=name, signature=f"{notebook.name}: {name}", read=partial(_json_hash, fact))
            for name, fact in facts.items()
        ]
        return nodes + self.outputs(notebook, notebook.reads)

    def outputs(self, notebook: Notebook, names: Sequence[str]) -> list[_Node]:
        nodes = []
        for name in names:
            files = [self.layout.root / name]
            if name == ANSWERS:
                files = [self.layout.answers]
            elif name in self.writers:
                files = self.layout.output_files(name)
            elif name.startswith("data/pocket/") and self.study.profile.name != "pocket":
                continue  # the embedded models matter only to their own profile
            read = self.answers_state if name == ANSWERS else _file_state
            nodes += [
                _Node(
                    name=name if file.suffix == Path(name).suffix else file.name,
                    signature=str(file),
                    read=partial(read, file),
                )
                for file in files
            ]
        return nodes

    def answers_state(self, file: Path) -> str:
        """Return the hash of the answers, reckoned once for as long as they stay as they are."""
        if not file.is_file():
            return _ABSENT
        note = self.layout.work / "answers-hash.json"
        key = f"{file} {stamp(file)}"
        with contextlib.suppress(OSError, ValueError):
            if (known := json.loads(note.read_text())).get(key):
                return known[key]
        found = answers_hash(file)
        note.write_text(json.dumps({key: found}))
        return found

    def build(self, tasks: list[_Task], **options: Any) -> pytask.Session:
        """Let pytask do it, quietly: its database lies below the working folder."""
        config = self.layout.work / "pytask.toml"
        config.write_text("[tool.pytask.ini_options]\n")
        pytask.console.quiet = True
        try:
            session = pytask.build(
                tasks=tasks, config=config, capture="no", verbose=0, disable_warnings=True,
                show_errors_immediately=False, **options,
            )  # fmt: skip
        finally:
            pytask.console.quiet = False
        if session.exit_code == pytask.ExitCode.DAG_FAILED:
            raise MedcalError(
                "notebooks read each other's outputs in a circle, or two write the same: "
                f"see metadata.medcal of {', '.join(task.name for task in tasks)}"
            )
        if session.exit_code not in (pytask.ExitCode.OK, pytask.ExitCode.FAILED):
            raise MedcalError(f"{config.parent}: pytask can't run there: delete that folder")
        return session

    def plan(self) -> None:
        """Fill in what would run, and why."""
        for report in self.build(self.tasks(), explain=True).execution_reports:
            step = self.study.steps[report.task.name]
            last = self.last(step.notebook)
            if report.outcome == pytask.TaskOutcome.SKIP_UNCHANGED:
                if last.get("left out"):
                    step.action, step.reason = LEFT_OUT, last["left out"]
                continue
            step.action = RUNS
            (reason, *_) = report.task.attributes["explanation"].reasons
            step.reason = _told(reason) if last else "no earlier run"

    def note(self, notebook: Notebook) -> Path:
        return self.layout.work / "runs" / f"{notebook.name}.json"

    def last(self, notebook: Notebook) -> dict[str, Any]:
        """Return what is known of a notebook's last run: seconds, and why it was left out."""
        with contextlib.suppress(OSError, ValueError):
            return json.loads(self.note(notebook).read_text())
        return {}

    # -- running ---------------------------------------------------------------------

    def run(self, jobs: int) -> None:
        from medcal_nb.study.kernel import Progress, kernel_environment

        for folder in ("notebooks", "html", "runs"):
            (self.layout.work / folder).mkdir(exist_ok=True)
        shutil.rmtree(self.layout.work / "stage", ignore_errors=True)
        asks = any(ANSWERS in notebook.writes for notebook in self.todo)
        environment = kernel_environment(
            self.layout.work,
            embedded=self.study.profile.name == "pocket" or not asks,
        )
        progress = Progress(self.layout.work / "study.log")
        with environment, progress as self.progress, self.stoppable():
            session = self.build(
                self.tasks(), n_workers=jobs, parallel_backend=ParallelBackend.THREADS
            )
        shutil.rmtree(self.layout.work / "stage", ignore_errors=True)
        save_index(self.study)
        if self.stopped:
            raise KeyboardInterrupt
        steps = self.study.steps
        for report in session.execution_reports:
            step = steps[report.task.name]
            if report.outcome == pytask.TaskOutcome.SKIP_PREVIOUS_FAILED:
                _, before = select([s.notebook for s in steps.values()], [step.notebook.name])
                failed = [name for name in sorted(before) if steps[name].action == FAILED]
                step.action = NOT_RUN
                step.reason = f"{failed[0]} failed" if failed else "an earlier failure"
            elif report.outcome == pytask.TaskOutcome.SKIP_UNCHANGED and step.action == RUNS:
                step.action, step.reason = UNCHANGED, ""

    @contextlib.contextmanager
    def stoppable(self) -> Iterator[None]:
        """On Ctrl-C or SIGTERM kill the kernels; what is being published is finished."""

        from medcal_nb.study.kernel import kill_kernels

        def stop(number, frame):
            self.stopped = True
            kill_kernels()
            raise KeyboardInterrupt

        main = threading.current_thread() is threading.main_thread()
        before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM) if main}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def work(self, notebook: Notebook, **_: Any) -> None:
        """Execute and publish one notebook: the function of its task, in a thread of its own."""
        step = self.study.steps[notebook.name]
        if self.stopped or (self.study.failed and not self.keep_going):
            step.action, step.reason = NOT_RUN, "an earlier failure"
            raise MedcalError(step.reason)
        started, stage = time.monotonic(), self.layout.work / "stage" / notebook.name
        step.action = RUNS
        reason = self.study.lost_reads(notebook)
        try:
            if not reason:
                self.progress.start(notebook.name, len(notebook.cells) + 1, step.reason)
                reason = self.execute(notebook, stage)
            self.publish(notebook, stage)
        except Exception as error:
            told = f"{'' if isinstance(error, MedcalError) else type(error).__name__ + ': '}{error}"
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                told += ": free some space and run the same command again"
            step.action, step.message = FAILED, f"{notebook.name} failed {told}"
            raise
        finally:
            step.seconds = time.monotonic() - started
            self.progress.end(notebook.name, step.seconds, failed=step.action == FAILED)
        if reason:
            step.action, step.reason = LEFT_OUT, reason
        told = {"seconds": round(step.seconds, 1), "left out": reason}
        self.note(notebook).write_text(json.dumps(told))

    def execute(self, notebook: Notebook, stage: Path) -> str:
        """Run a notebook in its stage; return why its answers can't feed it, or nothing."""
        from medcal_nb.study.kernel import Failure, execute

        profile, name = self.study.profile, notebook.name
        self.hand_over(notebook, stage / "reads")
        injected = {
            "PROFILE": profile.name if profile.path.parent == FOLDER else str(profile.path),
            "OUT_DIR": str(stage),
            "FAST": self.study.fast,
            **self.assigned.get(name, {}),
        }
        if "ANSWERS" in notebook.parameters:
            self.layout.answers.parent.mkdir(parents=True, exist_ok=True)
            injected["ANSWERS"] = str(self.layout.answers)
        executed = self.layout.work / "notebooks" / f"{name}.ipynb"
        started = time.monotonic()
        try:
            execute(notebook.path, executed, injected, on_cell=partial(self.cell, name))
        except Failure as failure:
            if failure.kind != NotEnough.__name__ or profile.asks:
                raise
            shutil.rmtree(stage)
            return failure.told
        self.check_declared(notebook, stage)
        page = self.layout.work / "html" / f"{name}.html"
        save_copies(executed, page, seconds=time.monotonic() - started)
        return ""

    def cell(self, name: str, index: int) -> None:
        if self.stopped:  # its kernel started while the others were being killed
            raise KeyboardInterrupt
        self.progress.cell(name, index)

    def hand_over(self, notebook: Notebook, folder: Path) -> None:
        """Copy what a notebook declares to read, and nothing else, to where it will look."""
        (folder / "results").mkdir(parents=True)
        for name in {*notebook.reads} & self.writers.keys() - {ANSWERS}:
            for file in self.layout.output_files(name):
                if file.is_file():
                    shutil.copyfile(file, folder / Path(name).parent / file.name)

    def check_declared(self, notebook: Notebook, stage: Path) -> None:
        """Compare the files that a notebook wrote with its declaration."""
        made = {*read_manifest(stage)}
        made |= {f"results/{path.name}" for path in (stage / "results").glob("*.json")}
        if ANSWERS in notebook.writes and self.layout.answers.is_file():
            made.add(ANSWERS)
        if extra := made - {*notebook.writes}:
            raise MedcalError(
                f"after its last cell: it wrote {min(extra)!r}, which its metadata.medcal.writes "
                "doesn't name"
            )
        # other answers can't show everything, say no truth is known for them
        missing = {*notebook.writes} - made
        if ANSWERS in missing or (missing and self.study.profile.name == "pocket"):
            raise MedcalError(
                f"after its last cell: it didn't write {min(missing)!r}, which its "
                "metadata.medcal.writes names"
            )

    def publish(self, notebook: Notebook, stage: Path) -> None:
        """Replace what was published of a notebook by what it has just made, if only nothing."""
        folder, made = self.layout.figures, read_manifest(stage)
        with self.publishing:
            entries = read_manifest(folder)
            mine = {
                name for name, entry in entries.items()
                if entry["provenance"].get("notebook") == notebook.name
            }  # fmt: skip
            new, old = {}, []
            for output in {*notebook.writes, *mine} - {ANSWERS}:
                for file in self.layout.output_files(output):
                    staged = (
                        stage / ("results" if output.startswith("results/") else "") / file.name
                    )
                    if staged.is_file():
                        file.parent.mkdir(parents=True, exist_ok=True)
                        new[file] = staged.read_bytes()
                    elif file.is_file():
                        old.append(file)
            replace_files(new)
            for file in old:
                file.unlink()
            if mine or made:
                kept = {name: entry for name, entry in entries.items() if name not in mine}
                write_manifest(folder, kept | made)


def _json_hash(fact: Any) -> str:
    return hashlib.sha256(json.dumps(fact, sort_keys=True).encode()).hexdigest()


@lru_cache(maxsize=4096)
def _hash_of(file: Path, stamp: str) -> str:
    return file_hash(file)


def _file_state(file: Path) -> str:
    return _hash_of(file, stamp(file)) if file.is_file() else _ABSENT


def _told(reason) -> str:
    """Say in a line what pytask found."""
    if reason.node_type == "source":
        return "--force"
    if reason.reason == "cascade":
        return f"after {reason.node_name}, if that changes what it reads"
    if reason.details.get("new_hash") == _ABSENT:
        return f"{reason.node_name} is missing"
    return f"{reason.node_name} {'was altered' if reason.node_type == 'product' else 'changed'}"


def report(study: Study, *, planned: bool) -> None:
    """Print what a study will do or has done, a line for each notebook, failures at the end."""
    wide = max(len(name) for name in study.steps)
    for name, step in study.steps.items():
        ran = not planned and step.action == RUNS
        action = f"ran {step.seconds:.1f} s" if ran else step.action
        told = f"{name:<{wide}}  {action}{', because ' * bool(step.reason)}{step.reason}"
        print(told, file=sys.stderr)
    for step in study.steps.values():
        if step.message:
            print(f"medcal: error: {step.message}", file=sys.stderr)
