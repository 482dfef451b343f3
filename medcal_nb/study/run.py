"""Run the study: the notebooks that are stale, in order, in parallel, publishing whole results."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import queue
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medcal_nb.errors import MedcalError, NotEnough
from medcal_nb.show.figures import FORMATS, MANIFEST, read_manifest, replace_files, write_manifest
from medcal_nb.study.context import library_versions
from medcal_nb.study.graph import (
    ANSWERS,
    Notebook,
    assign_parameters,
    find_notebooks,
    in_order,
    parents,
    select,
    writers_of,
)
from medcal_nb.study.hashing import answers_hash, file_hash, sources_used
from medcal_nb.study.places import (
    answers_file,
    build_folder,
    check_own_log,
    checkout,
    figures_folder,
)
from medcal_nb.study.profiles import FOLDER, Profile, load_profile

# what a notebook with its kernel and the numerical libraries takes at most, by observation
MEMORY_PER_NOTEBOOK = 1.5e9

RUNS, UNCHANGED, LEFT_OUT, FAILED, NOT_RUN = "runs", "unchanged", "left out", "failed", "not run"


@dataclass(frozen=True)
class Layout:
    """Where one study reads and writes.

    Attributes
    ----------
    root : pathlib.Path
        The checkout.
    work : pathlib.Path
        Executed copies, HTML, state.
    figures : pathlib.Path
        Published figures.
    results : pathlib.Path
        Published results files.
    answers : pathlib.Path
        The answers table.
    """

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
    """What is to be done with a notebook and, afterwards, what was."""

    notebook: Notebook
    action: str
    reason: str = ""
    seconds: float = 0.0
    message: str = ""


@dataclass
class Study:
    """A study, planned or done: its steps in order.

    Attributes
    ----------
    profile : Profile
    layout : Layout
    steps : list of Step
        One for each notebook concerned.
    """

    profile: Profile
    layout: Layout
    fast: bool
    steps: list[Step] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether a notebook failed."""
        return any(step.action == FAILED for step in self.steps)


def run_study(
    profile: str = "pocket",
    *,
    answers: str | os.PathLike | None = None,
    parameters: dict[str, Any] | None = None,
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
    parameters : dict, optional
        Values for the notebooks' parameters; each goes to the notebooks that name it.
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

    Returns
    -------
    Study
        With what was done and why.

    Raises
    ------
    MedcalError
        If anything is wrong before the first notebook runs.
    """
    if jobs is not None and jobs < 1:
        raise MedcalError(f"-j {jobs}: give a whole number above 0")
    root = root or checkout()
    settings = load_profile(profile)
    notebooks = in_order(find_notebooks(root / "notebooks"))
    layout = _layout(root, settings, answers=answers, fast=fast, out=out)
    chosen, closed = select(notebooks, only)
    left_out = _left_out(notebooks, settings)
    _check_nothing_foreign(layout, [n for n in notebooks if n.name in closed])
    if chosen <= left_out.keys():
        name = sorted(chosen)[0]
        raise MedcalError(f"nothing to run: {name} is left out: {left_out[name]}")
    concerned = [notebook for notebook in notebooks if notebook.name in closed]
    written = writers_of(notebooks)
    for notebook in concerned:
        for name in notebook.reads:
            kept = name != ANSWERS and name not in written and _counts(name, settings)
            if kept and notebook.name not in left_out and not (root / name).is_file():
                raise MedcalError(
                    f"{notebook.path}: reads {root / name}, which is not there: is this a full "
                    "checkout?"
                )
    assigned = assign_parameters(
        [n for n in concerned if n.name in chosen and n.name not in left_out], parameters or {}
    )
    study = Study(settings, layout, fast)
    runner = _Runner(study, notebooks, assigned, forced=chosen if force else set())
    for notebook in concerned:
        if notebook.name in left_out:
            study.steps.append(Step(notebook, LEFT_OUT, left_out[notebook.name]))
        else:
            study.steps.append(runner.plan(notebook, study.steps))
    for line in told_beforehand(study):
        print(line, file=sys.stderr, flush=True)
    if plan_only or all(step.action != RUNS for step in study.steps):
        return study
    layout.work.mkdir(parents=True, exist_ok=True)
    with _alone(layout.work):
        runner.run(jobs or _jobs(), keep_going=keep_going)
    return study


def _layout(
    root: Path,
    profile: Profile,
    *,
    answers: str | os.PathLike | None,
    fast: bool,
    out: str | os.PathLike | None,
) -> Layout:
    if not profile.asks and answers is None:
        raise MedcalError(
            f"profile {profile.name} asks no model: give a file of answers with --answers FILE "
            "(`medcal import` makes one)"
        )
    if answers is None:
        table = answers_file(root, profile.name, fast=fast)
    else:
        table = Path(answers).expanduser().resolve()
        if profile.asks:
            check_own_log(table)
        if not profile.asks and not table.is_file():
            raise MedcalError(f"{answers}: no such file of answers: make one with `medcal import`")
    work = build_folder(root, profile.name, fast=fast)
    if out is None:
        return Layout(
            root, work, figures_folder(root, profile.name, fast=fast), work / "results", table
        )
    folder = Path(out).expanduser().resolve()
    if folder.exists() and not folder.is_dir():
        raise MedcalError(f"--out {out}: is a file: give a folder")
    if folder == root / "figures" and (fast or profile.name != "pocket"):
        raise MedcalError(f"--out {out}: figures/ holds the full pocket study only: choose another")
    return Layout(root, folder / "build", folder, folder / "results", table)


def _check_nothing_foreign(layout: Layout, notebooks: list[Notebook]) -> None:
    """Refuse to publish over a file that no study of ours has published there."""
    listed = read_manifest(layout.figures)
    for notebook in notebooks:
        for figure in notebook.figures:
            for file in layout.output_files(figure):
                if file.exists() and figure not in listed:
                    raise MedcalError(
                        f"{file}: is there and no study made it ({MANIFEST} doesn't name it): "
                        "move it away, or choose another folder with --out"
                    )


def _counts(name: str, profile: Profile) -> bool:
    """Whether a file of the checkout matters: the embedded models only to their own profile."""
    return profile.name == "pocket" or not name.startswith("data/pocket/")


def _left_out(notebooks: list[Notebook], profile: Profile) -> dict[str, str]:
    """Return why a notebook can't run in a profile, by name."""
    if profile.asks:
        return {}
    writers = writers_of(notebooks)
    reasons: dict[str, str] = {}
    for notebook in notebooks:
        if notebook.asks:
            reasons[notebook.name] = f"profile {profile.name} asks no model"
            continue
        for output in notebook.reads:
            if output in notebook.optional or output == ANSWERS:
                continue
            if writers.get(output) in reasons:
                reasons[notebook.name] = (
                    f"reads {output} of {writers[output]}, which profile {profile.name} leaves out"
                )
                break
    return reasons


def _jobs() -> int:
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    free = psutil.virtual_memory().available
    with contextlib.suppress(OSError, ValueError):
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        free = min(free, limit - used)
    return max(1, min(cores or 1, int(free / MEMORY_PER_NOTEBOOK)))


@contextlib.contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Refuse a second study in the same folder."""
    try:
        import fcntl
    except ImportError:  # no advisory locks on this system
        yield
        return
    path = work / "lock"
    with open(path, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise MedcalError(
                f"another study (process {file.read().strip() or 'unknown'}) is running in "
                f"{work}: wait for it, or use --out"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until the block is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held = []
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda signum, frame: held.append(signum))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if held:
            raise KeyboardInterrupt


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(signum, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _LeftOut(str):
    """Why the answers can't feed a notebook."""


class _Runner:
    """Plans and runs the steps of one study."""

    def __init__(
        self,
        study: Study,
        notebooks: list[Notebook],
        assigned: dict[str, dict[str, Any]],
        forced: set[str],
    ) -> None:
        self.study = study
        self.layout = study.layout
        self.writers = writers_of(notebooks)
        self.assigned = assigned
        self.forced = forced
        self.versions = library_versions()

    # -- what is stale ---------------------------------------------------------------

    def plan(self, notebook: Notebook, steps: Iterable[Step]) -> Step:
        waits = [
            step.notebook.name
            for step in steps
            if step.action == RUNS and step.notebook.name in parents(notebook, self.writers)
        ]
        reason = self.stale(notebook)
        if waits and not reason:
            reason = f"if {', '.join(waits)} changes what it reads"
        return Step(notebook, RUNS if reason else UNCHANGED, reason)

    def stale(self, notebook: Notebook) -> str:
        """Return why a notebook has to run, or nothing."""
        if notebook.name in self.forced:
            return "--force"
        last = self.last(notebook)
        if last is None:
            return "no earlier run"
        return _difference(last["made_from"], self.made_from(notebook)) or self.lost(
            last["outputs"]
        )

    def last(self, notebook: Notebook) -> dict[str, Any] | None:
        try:
            state = json.loads(self.state_file(notebook).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return state if {"made_from", "outputs", "seconds"} <= state.keys() else None

    def state_file(self, notebook: Notebook) -> Path:
        return self.layout.work / "state" / f"{notebook.name}.json"

    def made_from(self, notebook: Notebook) -> dict[str, dict[str, Any]]:
        """Return all that a notebook's outputs depend on, hashed, in the order of telling."""
        inputs = {}
        for name in notebook.reads:
            if name == ANSWERS:
                file = self.layout.answers
                inputs[name] = answers_hash(file) if file.is_file() else None
                continue
            if not _counts(name, self.study.profile):
                continue
            for file in self.input_files(name):
                inputs[file.name] = file_hash(file) if file.is_file() else None
        if notebook.asks:
            inputs[self.study.profile.path.name] = file_hash(self.study.profile.path)
        return {
            "notebook": {"cells": notebook.source_hash},
            "parameter": {
                "PROFILE": self.study.profile.name,
                "FAST": self.study.fast,
                **self.assigned.get(notebook.name, {}),
            },
            "module": sources_used(notebook.code),
            "input": inputs,
            "version": self.versions,
        }

    def input_files(self, name: str) -> list[Path]:
        if name in self.writers:
            return self.layout.output_files(name)
        return [self.layout.root / name]

    def lost(self, outputs: dict[str, str]) -> str:
        """Return which output is gone or altered since it was made, or nothing."""
        for output, digest in outputs.items():
            folder = self.layout.results if output.endswith(".json") else self.layout.figures
            file = self.layout.answers if output == ANSWERS else folder / output
            if not file.is_file():
                return f"{file.name} is missing"
            if (answers_hash(file) if output == ANSWERS else file_hash(file)) != digest:
                return f"{file.name} was altered"
        return ""

    # -- running ---------------------------------------------------------------------

    def run(self, jobs: int, *, keep_going: bool) -> None:
        from medcal_nb.study.kernel import Kernels
        from medcal_nb.study.progress import Progress

        steps = {step.notebook.name: step for step in self.study.steps}
        waiting = [step for step in self.study.steps if step.action == RUNS]
        running: dict[str, threading.Thread] = {}
        finished: queue.Queue[tuple[str, Any, float]] = queue.Queue()
        kernels = Kernels()
        for folder in ("notebooks", "html", "state", "stage"):
            (self.layout.work / folder).mkdir(parents=True, exist_ok=True)
        stop = False
        with Progress() as progress, _terminable():
            try:
                while waiting or running:
                    for step in list(waiting):
                        if len(running) >= jobs and not stop:
                            break
                        name = step.notebook.name
                        before = parents(step.notebook, self.writers) & steps.keys()
                        bad = sorted(p for p in before if steps[p].action in (FAILED, NOT_RUN))
                        if lost := self._lost_reads(step.notebook, steps):
                            waiting.remove(step)
                            step.action, step.reason = LEFT_OUT, lost
                            self._withdraw(step.notebook)
                            continue
                        if bad or stop:
                            waiting.remove(step)
                            step.action = NOT_RUN
                            step.reason = (
                                f"{bad[0]} {steps[bad[0]].action}" if bad else "an earlier failure"
                            )
                            continue
                        pending = {other.notebook.name for other in waiting} | running.keys()
                        if before & pending:
                            continue
                        waiting.remove(step)
                        reason = self.stale(step.notebook)
                        if not reason:
                            step.action, step.reason = UNCHANGED, ""
                            continue
                        step.reason = reason
                        made_from = self.made_from(step.notebook)
                        progress.start(name, step.notebook.n_cells + 1, reason)
                        thread = threading.Thread(
                            target=self._work,
                            args=(step.notebook, made_from, kernels, progress, finished),
                            name=f"study-{name}",
                            daemon=True,
                        )
                        running[name] = thread
                        thread.start()
                    if not running:
                        continue
                    try:
                        name, outcome, seconds = finished.get(timeout=0.5)
                    except queue.Empty:
                        progress.refresh()
                        continue
                    running.pop(name).join()
                    step = steps[name]
                    step.seconds = seconds
                    if isinstance(outcome, dict):
                        outcome = self._publish(step.notebook, outcome, seconds)
                    if isinstance(outcome, _LeftOut):
                        step.action, step.reason = LEFT_OUT, outcome
                        self._withdraw(step.notebook)
                    elif outcome:
                        step.action, step.message = FAILED, outcome
                        stop = stop or not keep_going
                    progress.end(name, seconds, failed=step.action == FAILED)
            except BaseException:
                kernels.kill()
                for thread in running.values():
                    thread.join(timeout=10)
                raise
            finally:
                shutil.rmtree(self.layout.work / "stage", ignore_errors=True)
                self._index()

    def _work(self, notebook, made_from, kernels, progress, finished) -> None:
        """Execute one notebook in its stage; runs in a thread of its own."""
        started = time.monotonic()
        try:
            outcome = self._execute(notebook, made_from, kernels, progress)
        except BaseException as error:
            outcome = f"{notebook.name} failed: {type(error).__name__}: {error}"
        finished.put((notebook.name, outcome, time.monotonic() - started))

    def _execute(self, notebook, made_from, kernels, progress) -> dict[str, Any] | str:
        from medcal_nb.study.html import save_html
        from medcal_nb.study.kernel import execute, kernel_environment

        layout, profile = self.layout, self.study.profile
        stage = layout.work / "stage" / notebook.name
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir(parents=True)
        self._hand_over(notebook, stage / "reads")
        layout.answers.parent.mkdir(parents=True, exist_ok=True)
        injected = {
            "PROFILE": profile.name if profile.path.parent == FOLDER else str(profile.path),
            "OUT_DIR": str(stage),
            "FAST": self.study.fast,
            **self.assigned.get(notebook.name, {}),
        }
        if "ANSWERS" in notebook.parameters:
            injected["ANSWERS"] = str(layout.answers)
        embedded = profile.name in ("pocket", "imported")
        executed = layout.work / "notebooks" / f"{notebook.name}.ipynb"
        failure = execute(
            notebook.path,
            executed,
            injected,
            environment=kernel_environment(
                # sums depend on the number of threads; a large model can't do with one
                threads=1 if embedded or not notebook.asks else os.cpu_count() or 1,
                scratch=layout.work,
                offline=embedded,
            ),
            kernels=kernels,
            on_cell=lambda index, total: progress.cell(notebook.name, index, total),
        )
        if failure is not None and failure.kind == NotEnough.__name__ and not profile.asks:
            return _LeftOut(failure.error.removeprefix(f"{failure.kind}: "))
        if failure is not None:
            said = "".join(f"\n    {line}" for line in failure.last_lines.splitlines())
            return (
                f"{notebook.name} failed in cell {failure.cell}: {failure.error}{said}\n"
                f"  executed copy: {executed}"
            )
        wrong = self._undeclared(notebook, stage)
        if wrong:
            return f"{notebook.name} failed after its last cell: {wrong}"
        save_html(executed, layout.work / "html" / f"{notebook.name}.html")
        return {"made_from": made_from, "stage": stage}

    def _lost_reads(self, notebook: Notebook, steps: dict[str, Step]) -> str:
        """Say what a notebook needs of one that was left out, or nothing."""
        for output in notebook.reads:
            step = steps.get(self.writers.get(output, ""))
            if output == ANSWERS or output in notebook.optional:
                continue
            if step and step.action == LEFT_OUT:
                return f"reads {output} of {step.notebook.name}, which is left out"
        return ""

    def _withdraw(self, notebook: Notebook) -> None:
        """Take back what an earlier run published: it may be of other answers."""
        self.state_file(notebook).unlink(missing_ok=True)
        for output in notebook.results:
            for file in self.layout.output_files(output):
                file.unlink(missing_ok=True)
        if notebook.figures:
            self._merge_manifest(notebook, {})

    def _hand_over(self, notebook: Notebook, folder: Path) -> None:
        """Copy what a notebook declares to read, and nothing else, to where it will look."""
        (folder / "results").mkdir(parents=True)
        for name in notebook.reads:
            if name in self.writers and name != ANSWERS:
                for file in self.layout.output_files(name):
                    if file.is_file():
                        place = folder / "results" if name.startswith("results/") else folder
                        shutil.copyfile(file, place / file.name)

    def _undeclared(self, notebook: Notebook, stage: Path) -> str:
        """Return how the files that a notebook wrote differ from its declaration, or nothing."""
        drawn = set(read_manifest(stage))
        saved = {f"results/{path.name}" for path in (stage / "results").glob("*.json")}
        declared = set(notebook.figures) | set(notebook.results)
        if extra := sorted((drawn | saved) - declared):
            return f"it wrote {extra[0]!r}, which its metadata.medcal.writes doesn't name"
        missing = sorted(declared - drawn - saved)
        # other answers can't show everything, say no truth is known for them
        if missing and self.study.profile.name == "pocket":
            return f"it didn't write {missing[0]!r}, which its metadata.medcal.writes names"
        if notebook.asks and not self.layout.answers.is_file():
            return f"it didn't write the answers to {self.layout.answers}"
        return ""

    def _publish(self, notebook: Notebook, done: dict[str, Any], seconds: float) -> str:
        """Replace what was published of a notebook by what it has just made."""
        layout, stage = self.layout, done["stage"]
        made = read_manifest(stage)
        contents: dict[Path, bytes] = {}
        for output in (*notebook.figures, *notebook.results):
            for file in layout.output_files(output):
                new = stage / ("results" if output in notebook.results else "") / file.name
                if new.is_file():
                    contents[file] = new.read_bytes()
        try:
            with _uninterrupted():
                for folder in {file.parent for file in contents}:
                    folder.mkdir(parents=True, exist_ok=True)
                self.state_file(notebook).unlink(missing_ok=True)
                replace_files(contents)
                if made or notebook.figures:
                    self._merge_manifest(notebook, made)
                outputs = {file.name: file_hash(file) for file in contents}
                if notebook.asks:
                    outputs[ANSWERS] = answers_hash(layout.answers)
                state = {"made_from": done["made_from"], "outputs": outputs, "seconds": seconds}
                replace_files(
                    {self.state_file(notebook): json.dumps(state, indent=1).encode() + b"\n"}
                )
        except (OSError, MedcalError) as error:
            full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
            remedy = ": free some space and run the same command again" if full else ""
            return f"{notebook.name} ran, but publishing failed: {error}{remedy}"
        return ""

    def _merge_manifest(self, notebook: Notebook, made: dict[str, Any]) -> None:
        folder = self.layout.figures
        folder.mkdir(parents=True, exist_ok=True)
        entries = read_manifest(folder)
        mine = [
            name
            for name, entry in entries.items()
            if entry.get("provenance", {}).get("notebook") == notebook.name
        ]
        for name in mine:
            if name not in made:
                del entries[name]
                for file in self.layout.output_files(name):
                    file.unlink(missing_ok=True)
        # not in the figures themselves, whose bytes would then differ from machine to machine
        cpu = cpu_name()
        write_manifest(folder, entries | {name: made[name] | {"cpu": cpu} for name in made})

    def _index(self) -> None:
        from medcal_nb.study.html import save_index

        try:
            save_index(self.study)
        except OSError as error:  # what was done is to be reported all the same
            print(f"medcal: the index page was not written: {error}", file=sys.stderr)


def cpu_name() -> str:
    """Return the name of the processor: sums may be taken in another order on another one."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Return the first thing that two notebooks' makings differ in, or nothing."""
    for kind, now in new.items():
        then = old.get(kind, {})
        for name in [*now, *(name for name in then if name not in now)]:
            if now.get(name) == then.get(name):
                continue
            if kind == "notebook":
                return "notebook changed"
            if kind == "version":
                return f"{name} {then.get(name, 'absent')} is now {now.get(name, 'absent')}"
            if kind == "input":
                return f"{name} changed"
            return f"{kind} {name} changed"
    return ""


def told_beforehand(study: Study) -> list[str]:
    """Return what asking will take, where models that cost something are about to be asked."""
    from medcal_nb.study.costs import cost_lines

    asking = any(step.notebook.asks and step.action == RUNS for step in study.steps)
    jobs = study.profile.jobs(fast=study.fast) if asking else []
    if all(job.model.startswith("pocket-") and "url" not in job.options for job in jobs):
        return []
    return cost_lines(study.profile, fast=study.fast, answers=study.layout.answers)


def report(study: Study, *, planned: bool, stream=None) -> None:
    """Print what a study will do or has done, a line for each notebook, failures at the end."""
    stream = stream or sys.stderr
    wide = max(len(step.notebook.name) for step in study.steps)
    for step in study.steps:
        action = step.action
        if not planned and action == RUNS:
            action = f"ran {step.seconds:.1f} s"
        reason = f": {step.reason}" if step.reason else ""
        print(f"{step.notebook.name:<{wide}}  {action}{reason}", file=stream)
    for step in study.steps:
        if step.message:
            print(f"medcal: error: {step.message}", file=stream)
