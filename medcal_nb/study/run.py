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
import pytask
from pytask_parallel import ParallelBackend
from tqdm import tqdm

from medcal_nb.answers.own import check_own_log
from medcal_nb.errors import MedcalError, NotEnough
from medcal_nb.files import file_hash
from medcal_nb.show.figures import FORMATS, MANIFEST, read_manifest, replace_files, write_manifest
from medcal_nb.study.context import ANSWERS_HASH, answers_hash, library_versions, load_results
from medcal_nb.study.notebooks import (
    ANSWERS,
    Notebook,
    find_notebooks,
    is_output,
    parse_parameters,
    select,
    sources_used,
)
from medcal_nb.study.profiles import Profile, checkout, load_profile

RUNS, RAN, UNCHANGED, LEFT_OUT = "runs", "ran", "unchanged", "left out"
FAILED, NOT_RUN = "failed", "not run"
FINDINGS = "findings.json"
_ABSENT = "absent"
pytask.console.quiet = True
# a notebook with its kernel and the numerical libraries takes up to so many bytes of memory
_AT_ONCE, _MEMORY = 4, 1.5e9


@dataclass
class Step:
    """What is to be done with a notebook and, afterwards, what was done and why."""

    notebook: Notebook
    parameters: dict[str, Any]
    forced: bool
    action: str = UNCHANGED
    reason: str = ""
    seconds: float = 0.0
    message: str = ""


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

    Raises
    ------
    MedcalError
        If anything is wrong before the first notebook runs.
    """
    where = {"answers": answers, "fast": fast, "out": out}
    study = Study(load_profile(profile), keep_going=keep_going, **where)
    study.choose(find_notebooks(checkout() / "notebooks"), only, parameters, force=force)
    study.check_nothing_foreign()
    study.work.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(study.work / "lock", timeout=0):
            study.plan()
            if not plan_only and any(step.action == RUNS for step in study.steps.values()):
                study.run()
    except filelock.Timeout:
        raise MedcalError(
            f"another study is running in {study.work}: wait for it, or use --out"
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


class Study:
    """A study, planned or done: where it reads and writes, and a step for each notebook."""

    def __init__(self, profile: Profile, *, answers, fast: bool, out, keep_going: bool) -> None:
        self.profile, self.fast, self.keep_going = profile, fast, keep_going
        self.steps: dict[str, Step] = {}
        self.stopped, self.publishing = False, threading.Lock()
        self.work, self.figures = profile.build(fast=fast), profile.figures(fast=fast)
        self.results, self.answers = self.work / "results", self.work / "answers.sqlite"
        if answers is not None:
            self.answers = Path(answers).expanduser().resolve()
        if profile.asks:
            check_own_log(self.answers)
        elif not self.answers.is_file():
            raise MedcalError(
                f"profile {profile.name} asks no model, and {self.answers} is no file: give one of "
                "answers with --answers FILE (`medcal import` makes it)"
            )
        if out is not None:
            self.figures = Path(out).expanduser().resolve()
            if self.figures == checkout() / "figures" and (fast or profile.name != "pocket"):
                raise MedcalError(f"--out {out}: holds the full pocket study only: choose another")
            self.work, self.results = self.figures / "build", self.figures / "results"

    @property
    def failed(self) -> list[str]:
        """Notebooks that failed."""
        return [name for name, step in self.steps.items() if step.action == FAILED]

    def files(self, output: str) -> list[Path]:
        """Return the files of what a notebook reads or writes."""
        if output == ANSWERS:
            return [self.answers]
        if output.startswith("results/"):
            return [self.results / Path(output).name]
        if output.startswith("fig"):
            return [self.figures / f"{output}.{kind}" for kind in FORMATS]
        return [checkout() / output]

    def choose(self, notebooks, only, parameters, *, force: bool) -> None:
        """Make a step for each wanted notebook and for what it depends on."""
        chosen, closed = select(notebooks, only)
        asks = self.profile.asks
        wanted = [n for n in notebooks if n.name in chosen and (asks or ANSWERS not in n.writes)]
        if not wanted:
            raise MedcalError(f"nothing to run: profile {self.profile.name} asks no model")
        assigned = parse_parameters(parameters, wanted)
        for notebook in (n for n in notebooks if n.name in closed):
            told = self.profile.parameters(notebook) | assigned.get(notebook.name, {})
            step = Step(notebook, told, forced=force and notebook.name in chosen)
            if ANSWERS in notebook.writes and not asks:
                step.action, step.reason = LEFT_OUT, f"profile {self.profile.name} asks no model"
            self.steps[notebook.name] = step

    def check_nothing_foreign(self) -> None:
        """Refuse to publish over a file that no study of ours has published there."""
        listed = read_manifest(self.figures)
        for step in self.steps.values():
            for output in {*step.notebook.writes} - {ANSWERS} - listed.keys():
                for file in filter(Path.exists, self.files(output)):
                    if file.suffix == ".json":
                        load_results(file)
                        continue
                    raise MedcalError(
                        f"{file}: is there and no study made it ({MANIFEST} doesn't name it): "
                        "move it away, or choose another folder with --out"
                    )

    # -- the graph -------------------------------------------------------------------

    def inputs(self, step: Step) -> list[_Node]:
        """Return what a notebook depends on: facts, and the files that it reads."""
        notebook = step.notebook
        facts = {
            "notebook": [notebook.cells, notebook.reads, notebook.writes],
            "parameters": {"PROFILE": self.profile.name, "FAST": self.fast} | step.parameters,
            "package": sources_used(notebook.text("code")),
            "versions of libraries": library_versions(),
        }
        if ANSWERS in notebook.writes:
            facts[f"profile {self.profile.path.name}"] = self.profile.settings
        if step.forced:
            facts["--force"] = time.time()
        return [
            _Node(name=name, signature=f"{notebook.name}: {name}", state=partial(_digest, fact))
            for name, fact in facts.items()
        ] + self.nodes(notebook.reads)

    def nodes(self, outputs: Sequence[str]) -> list[_Node]:
        """Return the files of outputs, known by their content."""
        files = [file for output in outputs for file in self.files(output)]
        return [_Node(name=f.name, signature=str(f), state=partial(self.state, f)) for f in files]

    def state(self, file: Path) -> str:
        """Return the hash of a file."""
        if not file.is_file():
            return _ABSENT
        known = self.work / ANSWERS_HASH
        return answers_hash(file, known) if file == self.answers else file_hash(file)

    def build(self, **options: Any) -> pytask.Session:
        """Let pytask do it, quietly: its database lies below the working folder."""
        tasks = [
            pytask.TaskWithoutPath(
                name=name,
                function=lambda step=step, **_: self.carry_out(step),
                depends_on={"inputs": self.inputs(step)},
                produces={"outputs": self.nodes(step.notebook.writes)},
            )
            for name, step in self.steps.items()
            if step.action != LEFT_OUT
        ]
        config = self.work / "pytask.toml"
        config.write_text("[tool.pytask.ini_options]\n")
        quiet = {"capture": "no", "verbose": 0, "disable_warnings": True}
        session = pytask.build(tasks=tasks, config=config, **quiet, **options)
        if session.exit_code not in (pytask.ExitCode.OK, pytask.ExitCode.FAILED):
            raise MedcalError(
                "pytask can't order the notebooks: they read each other in a circle (see their "
                f"metadata.medcal), or {self.work} is damaged: delete it"
            )
        return session

    def plan(self) -> None:
        """Fill in what would run, and why."""
        for report in self.build(explain=True).execution_reports:
            name = report.task.name
            step, note = self.steps[name], self.work / "left_out" / name
            if report.exc_info and isinstance(report.exc_info[1], MedcalError):
                raise report.exc_info[1]
            if report.outcome != pytask.TaskOutcome.SKIP_UNCHANGED:
                step.action = RUNS
                step.reason = _told(report.task.attributes["explanation"].reasons)
            elif note.is_file():
                step.action, step.reason = LEFT_OUT, note.read_text(encoding="utf-8")

    # -- running ---------------------------------------------------------------------

    def run(self) -> None:
        """Run what is planned, in stages, then write the findings and the page of links."""
        import joblib
        import psutil

        from medcal_nb.study.html import save_index  # nbconvert and papermill are slow to import
        from medcal_nb.study.kernel import kernel_environment

        for folder in ("notebooks", "html", "left_out"):
            (self.work / folder).mkdir(exist_ok=True)
        shutil.rmtree(self.work / "stage", ignore_errors=True)
        embedded = self.profile.name == "pocket" or not self.profile.asks
        with (
            open(self.work / "study.log", "w", encoding="utf-8", buffering=1) as self.log,
            kernel_environment(self.work, embedded=embedded),
            self.stoppable(),
        ):
            room = int(psutil.virtual_memory().available / _MEMORY)
            jobs = max(1, min(_AT_ONCE, joblib.cpu_count(), room))
            self.build(n_workers=jobs, parallel_backend=ParallelBackend.THREADS)
        shutil.rmtree(self.work / "stage", ignore_errors=True)
        save_index(self, self.write_findings())
        if self.stopped:
            raise KeyboardInterrupt
        rest = (NOT_RUN, "an earlier failure") if self.failed else (UNCHANGED, "")
        for step in self.steps.values():
            if step.action == RUNS:  # and yet it has not run
                step.action, step.reason = rest

    @contextlib.contextmanager
    def stoppable(self) -> Iterator[None]:
        """On Ctrl-C or SIGTERM kill the kernels; what is being published is finished."""
        from medcal_nb.study.kernel import kill_kernels

        def stop(number, frame):
            self.stopped = True
            kill_kernels()
            raise KeyboardInterrupt

        before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def tell(self, line: str) -> None:
        """Print a line above the bars, and log it."""
        tqdm.write(line, file=sys.stderr)
        print(time.strftime("%X"), line, file=self.log)

    def carry_out(self, step: Step) -> None:
        """Execute and publish one notebook: the function of its task, in a thread of its own."""
        if self.stopped or (self.failed and not self.keep_going):
            raise MedcalError("not begun")
        name, started = step.notebook.name, time.monotonic()
        stage, note = self.work / "stage" / name, self.work / "left_out" / name
        self.tell(f"{name}: runs, because {step.reason}")
        try:
            note.unlink(missing_ok=True)
            try:
                self.execute(step, stage)
                step.action = RAN
            except NotEnough as error:
                if self.profile.asks:
                    raise
                step.action, step.reason = LEFT_OUT, str(error)
                note.write_text(step.reason, encoding="utf-8")
                shutil.rmtree(stage)
            self.publish(step.notebook, stage)
        except Exception as error:
            told = error if isinstance(error, MedcalError) else repr(error)
            step.action, step.message = FAILED, f"{name}: {told}"
            raise
        finally:
            step.seconds = time.monotonic() - started
            self.tell(f"{name}: {step.action} after {step.seconds:.1f} s")

    def execute(self, step: Step, stage: Path) -> None:
        """Run a notebook in its stage and copy it, with its outputs, for readers."""
        from medcal_nb.study.html import save_copies
        from medcal_nb.study.kernel import execute

        notebook, profile, started = step.notebook, self.profile, time.monotonic()
        name, total = notebook.name, len(notebook.cells) + 1
        self.hand_over(notebook, stage)
        injected = {
            "PROFILE": profile.name if profile.is_ours else str(profile.path),
            "ANSWERS": str(self.answers),
            "OUT_DIR": str(stage),
            "FAST": self.fast,
            **step.parameters,
        }
        executed = self.work / "notebooks" / f"{name}.ipynb"
        with tqdm(desc=name, total=total, unit="cell", leave=False, disable=None) as bar:

            def on_cell(cell, cell_index):
                if self.stopped:  # its kernel started while the others were being killed
                    raise KeyboardInterrupt
                bar.update(cell_index + 1 - bar.n)
                at = f"{name}: cell {cell_index + 1}/{total} after"
                print(time.strftime("%X"), at, f"{time.monotonic() - started:.1f} s", file=self.log)

            execute(notebook.path, executed, injected, on_cell=on_cell)
        page = self.work / "html" / f"{name}.html"
        save_copies(executed, page, seconds=time.monotonic() - started)

    def hand_over(self, notebook: Notebook, stage: Path) -> None:
        """Put what a notebook declares to read, and nothing else, into its stage."""
        (stage / "results").mkdir(parents=True)
        for read in filter(is_output, notebook.reads):
            for file in filter(Path.is_file, self.files(read)):
                shutil.copyfile(file, stage / Path(read).parent / file.name)
        told = read_manifest(self.figures).items()  # their captions
        write_manifest(stage, {name: entry for name, entry in told if name in notebook.reads})
        if (known := self.work / ANSWERS_HASH).is_file():
            shutil.copyfile(known, stage / ANSWERS_HASH)

    def publish(self, notebook: Notebook, stage: Path) -> None:
        """Replace what was published of a notebook by what it has just made, if only nothing."""
        entries, new = read_manifest(stage), {}
        names = {*entries, *(f"results/{path.name}" for path in stage.glob("results/*.json"))}
        if names := names - {*notebook.reads, *notebook.writes}:
            raise MedcalError(f"it wrote {min(names)!r}, which its metadata.medcal doesn't name")
        made = {name: entry for name, entry in entries.items() if name in notebook.writes}
        with self.publishing:
            for output in {*notebook.writes} - {ANSWERS}:
                for file in self.files(output):
                    file.parent.mkdir(parents=True, exist_ok=True)
                    staged = stage / Path(output).parent / file.name
                    if staged.is_file():
                        new[file] = staged.read_bytes()
                    else:
                        file.unlink(missing_ok=True)
            replace_files(new)
            listed = read_manifest(self.figures).items()
            others = {n: e for n, e in listed if e["provenance"].get("notebook") != notebook.name}
            if made or len(others) < len(listed):
                write_manifest(self.figures, others | made)

    def write_findings(self) -> dict[str, list[str]]:
        """Write the answers of notebooks, in sentences, beside the figures, and return them."""
        place = self.figures / FINDINGS
        before = json.loads(place.read_text(encoding="utf-8")) if place.is_file() else {}
        told = {name: before[name] for name in before if name not in self.steps}
        for file in self.results.glob("*.json"):
            if file.stem in self.steps and (answer := load_results(file).get("answer")):
                told[file.stem] = answer
        if told != before:
            text = json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
            place.parent.mkdir(parents=True, exist_ok=True)
            replace_files({place: text.encode()})
        return told


def _digest(fact: Any) -> str:
    return hashlib.sha256(json.dumps(fact, sort_keys=True).encode()).hexdigest()


def _told(reasons) -> str:
    """Say in a line what pytask found."""
    reason = min(reasons, key=lambda reason: reason.node_name)  # pytask tells them in any order
    if reason.node_name == "--force":
        return "--force"
    if reason.reason == "cascade":
        return f"after {reason.node_name}, if that changes what it reads"
    if any(r.node_type == "source" and r.reason == "not_in_db" for r in reasons):
        return "no earlier run"
    if reason.details.get("new_hash") == _ABSENT:
        return f"{reason.node_name} is missing"
    return f"{reason.node_name} {'was altered' if reason.node_type == 'product' else 'changed'}"
