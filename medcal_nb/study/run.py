"""The study: one pytask task for each notebook, publishing whole results or none."""

from __future__ import annotations

import contextlib
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
from functools import partial
from pathlib import Path
from typing import Any

import filelock
import joblib
import psutil
import pytask
from pytask_parallel import ParallelBackend
from tqdm import tqdm

from medcal_nb.errors import MedcalError, NotEnough
from medcal_nb.show.figures import read_manifest, replace_files, write_manifest
from medcal_nb.study.context import library_versions
from medcal_nb.study.hashing import content_hash, sources_used
from medcal_nb.study.html import save_copies, save_index
from medcal_nb.study.notebooks import ANSWERS, Notebook, find_notebooks, parse_parameters, select
from medcal_nb.study.places import checkout
from medcal_nb.study.plan import FAILED, LEFT_OUT, NOT_RUN, RUNS, UNCHANGED, Step, Study, lay_out
from medcal_nb.study.profiles import FOLDER, load_profile

_ABSENT = "absent"
# what a notebook with its kernel and the numerical libraries takes at most, by observation
_MEMORY_PER_NOTEBOOK = 1.5e9


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
    only : sequence of str
        Numbers or names of notebooks; what they depend on runs too where it is stale.
    root : pathlib.Path, optional
        The checkout, by default the package's.

    Raises
    ------
    MedcalError
        If anything is wrong before the first notebook runs.
    """
    root, settings = root or checkout(), load_profile(profile)
    notebooks = find_notebooks(root / "notebooks")
    layout = lay_out(root, settings, answers=answers, fast=fast, out=out)
    chosen, closed = select(notebooks, only)
    steps = {n.name: Step(n, UNCHANGED) for n in notebooks if n.name in closed}
    study = Study(settings, layout, fast, steps)
    study.leave_out()
    feasible = [steps[name].notebook for name in chosen if steps[name].action != LEFT_OUT]
    if not feasible:
        name = min(chosen)
        raise MedcalError(f"nothing to run: {name} is left out: {steps[name].reason}")
    study.check_nothing_foreign()
    assigned = parse_parameters(parameters, feasible)
    for notebook in feasible:
        told = settings.parameters(notebook.name)
        told = {key: value for key, value in told.items() if key in notebook.parameters}
        assigned[notebook.name] = told | assigned[notebook.name]
    layout.work.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(layout.work / "lock", timeout=0):
            runner = _Runner(study, assigned, chosen if force else set(), keep_going)
            runner.plan()
            if not plan_only and any(step.action == RUNS for step in steps.values()):
                runner.run()
    except filelock.Timeout:
        raise MedcalError(
            f"another study is running in {layout.work}: wait for it, or use --out"
        ) from None
    return study


@dataclass(kw_only=True)
class _Node:
    """Something that a notebook depends on or makes, known by a hash of its content."""

    name: str
    signature: str
    state: Callable[[], str]
    attributes: dict = field(default_factory=dict)

    def load(self, is_product: bool = False) -> None:
        """Hand nothing to the task: it knows its notebook."""

    def save(self, value: Any) -> None:
        """Save nothing: the task has published it."""


class _Runner:
    """Makes tasks of notebooks, and runs them in stages of their own."""

    def __init__(self, study: Study, assigned: dict, forced: set[str], keep_going: bool) -> None:
        self.study, self.layout = study, study.layout
        self.assigned, self.forced, self.keep_going = assigned, forced, keep_going
        self.todo = [s.notebook for s in study.steps.values() if s.action != LEFT_OUT]
        self.made = {output for s in study.steps.values() for output in s.notebook.writes}
        # of each notebook that has run, why it was left out then
        self.notes, self.left_out = self.layout.work / "left-out.json", {}
        with contextlib.suppress(OSError, ValueError):
            self.left_out = json.loads(self.notes.read_text())
        self.publishing = threading.Lock()
        self.stopped = False

    # -- the graph -------------------------------------------------------------------

    def inputs(self, notebook: Notebook) -> list[_Node]:
        profile = self.study.profile
        told = notebook.declared | {"shows": None}  # what is told of the figures changes none
        parameters = {"PROFILE": profile.name, "FAST": self.study.fast}
        facts = {
            "notebook": [notebook.cells, told],
            "parameters": parameters | self.assigned.get(notebook.name, {}),
            "package": sources_used(notebook.code),
            "versions of libraries": library_versions(),
        }
        if ANSWERS in notebook.writes:
            facts[f"profile {profile.path.name}"] = profile.settings
        if notebook.name in self.forced:
            facts["--force"] = time.time()
        nodes = [
            _Node(name=name, signature=f"{notebook.name}: {name}", state=partial(_json_hash, fact))
            for name, fact in facts.items()
        ]
        return nodes + self.outputs(notebook.reads)

    def outputs(self, names: Sequence[str]) -> list[_Node]:
        files = []
        for name in names:
            if name in self.made or name == ANSWERS:
                files += self.layout.output_files(name)
            # the embedded models matter only to their own profile
            elif self.study.profile.name == "pocket" or not name.startswith("data/pocket/"):
                files.append(self.layout.root / name)
        return [_Node(name=f.name, signature=str(f), state=partial(_state, f)) for f in files]

    def build(self, **options: Any) -> pytask.Session:
        """Let pytask do it, quietly: its database lies below the working folder."""
        tasks = [
            pytask.TaskWithoutPath(
                name=notebook.name,
                function=lambda notebook=notebook, **_: self.work(notebook),
                depends_on={"inputs": self.inputs(notebook)},
                produces={"outputs": self.outputs(notebook.writes)},
            )
            for notebook in self.todo
        ]
        config = self.layout.work / "pytask.toml"
        config.write_text("[tool.pytask.ini_options]\n")
        pytask.console.quiet = True
        try:
            quiet = {"capture": "no", "verbose": 0, "disable_warnings": True}
            quiet |= {"show_errors_immediately": False}
            session = pytask.build(tasks=tasks, config=config, **quiet, **options)
        finally:
            pytask.console.quiet = False
        if session.exit_code == pytask.ExitCode.DAG_FAILED:
            raise MedcalError("notebooks read each other in a circle: see their metadata.medcal")
        if session.exit_code not in (pytask.ExitCode.OK, pytask.ExitCode.FAILED):
            raise MedcalError(f"{config.parent}: pytask can't run there: delete that folder")
        return session

    def plan(self) -> None:
        """Fill in what would run, and why."""
        for report in self.build(explain=True).execution_reports:
            step = self.study.steps[report.task.name]
            if report.outcome != pytask.TaskOutcome.SKIP_UNCHANGED:
                step.action, step.reason = RUNS, "no earlier run"
                if report.task.name in self.left_out:
                    step.reason = _told(report.task.attributes["explanation"].reasons)
            elif reason := self.left_out.get(report.task.name):
                step.action, step.reason = LEFT_OUT, reason

    # -- running ---------------------------------------------------------------------

    def run(self) -> None:
        from medcal_nb.study.kernel import kernel_environment  # papermill is slow to import

        for folder in ("notebooks", "html"):
            (self.layout.work / folder).mkdir(exist_ok=True)
        stages, log = self.layout.work / "stage", self.layout.work / "study.log"
        shutil.rmtree(stages, ignore_errors=True)
        asks = any(ANSWERS in notebook.writes for notebook in self.todo)
        embedded = self.study.profile.name == "pocket" or not asks
        with (
            open(log, "w", encoding="utf-8", buffering=1) as self.log,
            kernel_environment(self.layout.work, embedded=embedded),
            self.stoppable(),
        ):
            free = int(psutil.virtual_memory().available / _MEMORY_PER_NOTEBOOK)
            jobs = max(1, min(joblib.cpu_count(), free))
            session = self.build(n_workers=jobs, parallel_backend=ParallelBackend.THREADS)
        shutil.rmtree(stages, ignore_errors=True)
        save_index(self.study)
        if self.stopped:
            raise KeyboardInterrupt
        failed = [name for name, step in self.study.steps.items() if step.action == FAILED]
        for report in session.execution_reports:
            step = self.study.steps[report.task.name]
            if report.outcome == pytask.TaskOutcome.SKIP_PREVIOUS_FAILED:
                step.action, step.reason = NOT_RUN, f"{', '.join(failed)} failed"
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

    def tell(self, line: str) -> None:
        """Print a line above the bars, and log it."""
        tqdm.write(line, file=sys.stderr)
        print(time.strftime("%X"), line, file=self.log)

    def work(self, notebook: Notebook) -> None:
        """Execute and publish one notebook: the function of its task, in a thread of its own."""
        step, name = self.study.steps[notebook.name], notebook.name
        if self.stopped or (self.study.failed and not self.keep_going):
            step.action, step.reason = NOT_RUN, "an earlier failure"
            raise MedcalError(step.reason)
        started, stage = time.monotonic(), self.layout.work / "stage" / name
        step.action = RUNS
        try:
            reason = self.study.lost_reads(notebook) or self.execute(notebook, stage, step.reason)
            self.publish(notebook, stage)
        except Exception as error:
            told = f"{'' if isinstance(error, MedcalError) else type(error).__name__ + ': '}{error}"
            step.action, step.message = FAILED, f"{name} failed {told}"
            raise
        finally:
            step.seconds = time.monotonic() - started
            ended = "done" if step.action == RUNS else "failed"
            self.tell(f"{name}: {ended} after {step.seconds:.1f} s")
        with self.publishing:
            self.left_out[name] = reason
            self.notes.write_text(json.dumps(self.left_out))
        if reason:
            step.action, step.reason = LEFT_OUT, reason

    def execute(self, notebook: Notebook, stage: Path, because: str) -> str:
        """Run a notebook in its stage; return why its answers can't feed it, or nothing."""
        from medcal_nb.study.kernel import Failure, execute

        profile, name, started = self.study.profile, notebook.name, time.monotonic()
        (stage / "reads" / "results").mkdir(parents=True)
        for read in {*notebook.reads} & self.made - {ANSWERS}:  # these, and nothing else
            for file in filter(Path.is_file, self.layout.output_files(read)):
                shutil.copyfile(file, stage / "reads" / Path(read).parent / file.name)
        told = read_manifest(self.layout.figures).items()  # their captions
        write_manifest(stage / "reads", {k: v for k, v in told if k in notebook.reads})
        injected = {
            "PROFILE": profile.name if profile.path.parent == FOLDER else str(profile.path),
            "OUT_DIR": str(stage),
            "FAST": self.study.fast,
            **self.assigned.get(name, {}),
        }
        if "ANSWERS" in notebook.parameters:
            self.layout.answers.parent.mkdir(parents=True, exist_ok=True)
            injected["ANSWERS"] = str(self.layout.answers)
        self.tell(f"{name}: runs, because {because}")
        executed, total = self.layout.work / "notebooks" / f"{name}.ipynb", len(notebook.cells) + 1
        with tqdm(desc=name, total=total, unit="cell", leave=False, disable=None) as bar:

            def on_cell(cell, cell_index):
                if self.stopped:  # its kernel started while the others were being killed
                    raise KeyboardInterrupt
                bar.update(cell_index + 1 - bar.n)
                at = f"{name}: cell {cell_index + 1}/{total} after"
                print(time.strftime("%X"), at, f"{time.monotonic() - started:.1f} s", file=self.log)

            try:
                execute(notebook.path, executed, injected, on_cell=on_cell)
            except Failure as failure:
                if failure.kind != NotEnough.__name__ or profile.asks:
                    raise
                shutil.rmtree(stage)
                return failure.told
        self.check_declared(notebook, stage)
        page = self.layout.work / "html" / f"{name}.html"
        save_copies(executed, page, seconds=time.monotonic() - started)
        return ""

    def check_declared(self, notebook: Notebook, stage: Path) -> None:
        """Compare what a notebook wrote with what it declares."""
        declared, made = {*notebook.writes} - {ANSWERS}, {*read_manifest(stage)}
        made |= {f"results/{path.name}" for path in (stage / "results").glob("*.json")}
        # other answers can't show everything, say no truth is known for them
        lost = declared - made if self.study.profile.name == "pocket" else ()
        for names, told in ((made - declared, "it wrote"), (lost, "it didn't write")):
            if names:
                raise MedcalError(
                    f"after its last cell: {told} {min(names)!r}; its metadata.medcal "
                    f"names {', '.join(sorted(declared))}"
                )

    def publish(self, notebook: Notebook, stage: Path) -> None:
        """Replace what was published of a notebook by what it has just made, if only nothing."""
        folder, made, new = self.layout.figures, read_manifest(stage), {}
        with self.publishing:
            entries = read_manifest(folder)
            makers = {name: entry["provenance"].get("notebook") for name, entry in entries.items()}
            kept = {name: entries[name] for name in entries if makers[name] != notebook.name}
            for output in ({*notebook.writes} | entries.keys() - kept.keys()) - {ANSWERS}:
                for file in self.layout.output_files(output):
                    staged = stage / Path(output).parent / file.name
                    new[file] = staged.read_bytes() if staged.is_file() else None
            written = {file: content for file, content in new.items() if content is not None}
            for file in written:
                file.parent.mkdir(parents=True, exist_ok=True)
            replace_files(written)
            for file in new.keys() - written.keys():
                file.unlink(missing_ok=True)
            if kept != entries or made:
                write_manifest(folder, kept | made)


def _json_hash(fact: Any) -> str:
    return hashlib.sha256(json.dumps(fact, sort_keys=True).encode()).hexdigest()


def _state(file: Path) -> str:
    return content_hash(file) if file.is_file() else _ABSENT


def _told(reasons) -> str:
    """Say in a line what pytask found."""
    reason = min(reasons, key=lambda reason: reason.node_name)  # pytask tells them in any order
    if reason.node_name == "--force":
        return "--force"
    if reason.reason == "cascade":
        return f"after {reason.node_name}, if that changes what it reads"
    if reason.details.get("new_hash") == _ABSENT:
        return f"{reason.node_name} is missing"
    return f"{reason.node_name} {'was altered' if reason.node_type == 'product' else 'changed'}"
