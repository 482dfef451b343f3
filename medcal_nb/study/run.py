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
from medcal_nb.show.figures import FORMATS, MANIFEST, read_manifest, replace_files, write_manifest
from medcal_nb.study.context import library_versions, load_results
from medcal_nb.study.hashing import content_hash, sources_used
from medcal_nb.study.notebooks import ANSWERS, Notebook, find_notebooks, parse_parameters, select
from medcal_nb.study.profiles import FOLDER, Profile, checkout, load_profile

RUNS, UNCHANGED, LEFT_OUT, FAILED, NOT_RUN = "runs", "unchanged", "left out", "failed", "not run"
_ABSENT = "absent"
FINDINGS = "findings.json"
# what a notebook with its kernel and the numerical libraries takes at most, by observation
_MEMORY_PER_NOTEBOOK = 1.5e9


@dataclass
class Step:
    """What is to be done with a notebook and, afterwards, what was done and why."""

    notebook: Notebook
    action: str = UNCHANGED
    reason: str = ""
    seconds: float = 0.0
    message: str = ""


@dataclass
class Study:
    """A study, planned or done: where it reads and writes, and a step for each notebook."""

    profile: Profile
    fast: bool
    root: Path
    work: Path
    figures: Path
    results: Path
    answers: Path
    steps: dict[str, Step] = field(default_factory=dict)

    @property
    def failed(self) -> list[str]:
        """Notebooks that failed."""
        return [name for name, step in self.steps.items() if step.action == FAILED]

    def files(self, output: str) -> list[Path]:
        """Return the files of an output of a notebook."""
        if output == ANSWERS:
            return [self.answers]
        if output.startswith("results/"):
            return [self.results / Path(output).name]
        return [self.figures / f"{output}.{kind}" for kind in FORMATS]

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
    settings, root = load_profile(profile), root or checkout()
    notebooks = find_notebooks(root / "notebooks")
    study = _begin(root, settings, answers=answers, fast=fast, out=out)
    chosen, closed = select(notebooks, only)
    study.steps = {n.name: Step(n) for n in notebooks if n.name in closed}
    study.leave_out()
    feasible = [s.notebook for n, s in study.steps.items() if n in chosen and s.action != LEFT_OUT]
    if not feasible:
        name = min(chosen)
        raise MedcalError(f"nothing to run: {name} is left out: {study.steps[name].reason}")
    study.check_nothing_foreign()
    assigned = parse_parameters(parameters, feasible)
    for notebook in (step.notebook for step in study.steps.values()):
        told = settings.parameters(notebook.name)
        told = {key: value for key, value in told.items() if key in notebook.parameters}
        assigned[notebook.name] = told | assigned.get(notebook.name, {})
    study.work.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(study.work / "lock", timeout=0):
            runner = _Runner(study, assigned, chosen if force else set(), keep_going)
            runner.plan()
            if not plan_only and any(step.action == RUNS for step in study.steps.values()):
                runner.run()
    except filelock.Timeout:
        raise MedcalError(
            f"another study is running in {study.work}: wait for it, or use --out"
        ) from None
    return study


def _begin(root: Path, profile: Profile, *, answers, fast: bool, out) -> Study:
    """Return a study without steps, after a look at where it is to read and write."""
    if not profile.asks and answers is None:
        raise MedcalError(
            f"profile {profile.name} asks no model: give a file of answers with --answers FILE "
            "(`medcal import` makes one)"
        )
    table = profile.answers(root, fast=fast)
    if answers is not None:
        table = Path(answers).expanduser().resolve()
    if profile.asks:
        check_own_log(table)
    elif not table.is_file():
        raise MedcalError(f"{answers}: no such file of answers: make one with `medcal import`")
    work, figures = profile.build(root, fast=fast), profile.figures(root, fast=fast)
    if out is None:
        return Study(profile, fast, root, work, figures, work / "results", table)
    folder = Path(out).expanduser().resolve()
    if folder.exists() and not folder.is_dir():
        raise MedcalError(f"--out {out}: is a file: give a folder")
    if folder == root / "figures" and (fast or profile.name != "pocket"):
        raise MedcalError(f"--out {out}: figures/ holds the full pocket study only: choose another")
    return Study(profile, fast, root, folder / "build", folder, folder / "results", table)


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
        self.study, self.assigned, self.forced = study, assigned, forced
        self.keep_going, self.stopped = keep_going, False
        self.todo = [s.notebook for s in study.steps.values() if s.action != LEFT_OUT]
        self.made = {output for s in study.steps.values() for output in s.notebook.writes}
        self.publishing = threading.Lock()
        # of each notebook that has run, why it was left out then; of files, their hashes
        self.notes, self.left_out, self.hashes = study.work / "notes.json", {}, {}
        with contextlib.suppress(OSError, ValueError):
            self.left_out, self.hashes = json.loads(self.notes.read_text())

    # -- the graph -------------------------------------------------------------------

    def inputs(self, notebook: Notebook) -> list[_Node]:
        profile = self.study.profile
        told = notebook.declared | {"shows": None}  # what is told of the figures changes none
        parameters = {"PROFILE": profile.name, "FAST": self.study.fast}
        facts = {
            "notebook": [notebook.cells, told],
            "parameters": parameters | self.assigned.get(notebook.name, {}),
            "package": sources_used(notebook.text("code")),
            "versions of libraries": library_versions(),
        }
        if ANSWERS in notebook.writes:
            facts[f"profile {profile.path.name}"] = profile.settings
        if notebook.name in self.forced:
            facts["--force"] = time.time()
        return [
            _Node(name=name, signature=f"{notebook.name}: {name}", state=partial(_digest, fact))
            for name, fact in facts.items()
        ] + self.outputs(notebook.reads)

    def outputs(self, names: Sequence[str]) -> list[_Node]:
        files = []
        for name in names:
            if name in self.made or name == ANSWERS:
                files += self.study.files(name)
            # the embedded models matter only to their own profile
            elif self.study.profile.name == "pocket" or not name.startswith("data/pocket/"):
                files.append(self.study.root / name)
        return [_Node(name=f.name, signature=str(f), state=partial(self.state, f)) for f in files]

    def state(self, file: Path) -> str:
        return content_hash(file, self.hashes) if file.is_file() else _ABSENT

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
        config = self.study.work / "pytask.toml"
        config.write_text("[tool.pytask.ini_options]\n")
        pytask.console.quiet = True
        try:
            quiet = {"capture": "no", "verbose": 0, "disable_warnings": True}
            session = pytask.build(tasks=tasks, config=config, **quiet, **options)
        finally:
            pytask.console.quiet = False
            self.remember()
        if session.exit_code == pytask.ExitCode.DAG_FAILED:
            raise MedcalError("notebooks read each other in a circle: see their metadata.medcal")
        if session.exit_code not in (pytask.ExitCode.OK, pytask.ExitCode.FAILED):
            raise MedcalError(f"{config.parent}: pytask can't run there: delete that folder")
        return session

    def remember(self) -> None:
        with self.publishing:
            told = json.dumps([self.left_out, dict(self.hashes)])
            replace_files({self.notes: told.encode()})

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
        import joblib
        import psutil

        from medcal_nb.study.html import save_index  # nbconvert and papermill are slow to import
        from medcal_nb.study.kernel import kernel_environment

        for folder in ("notebooks", "html"):
            (self.study.work / folder).mkdir(exist_ok=True)
        stages, log = self.study.work / "stage", self.study.work / "study.log"
        shutil.rmtree(stages, ignore_errors=True)
        asks = any(ANSWERS in notebook.writes for notebook in self.todo)
        embedded = self.study.profile.name == "pocket" or not asks
        with (
            open(log, "w", encoding="utf-8", buffering=1) as self.log,
            kernel_environment(self.study.work, embedded=embedded),
            self.stoppable(),
        ):
            free = int(psutil.virtual_memory().available / _MEMORY_PER_NOTEBOOK)
            jobs = max(1, min(joblib.cpu_count(), free))
            session = self.build(n_workers=jobs, parallel_backend=ParallelBackend.THREADS)
        shutil.rmtree(stages, ignore_errors=True)
        notebooks = [step.notebook for step in self.study.steps.values()]
        where = {"figures": self.study.figures, "results": self.study.results}
        pages = self.study.work / "html"
        save_index(pages, notebooks, self.study.profile, fast=self.study.fast, **where)
        if self.stopped:
            raise KeyboardInterrupt
        for report in session.execution_reports:
            step = self.study.steps[report.task.name]
            if report.outcome == pytask.TaskOutcome.SKIP_PREVIOUS_FAILED:
                step.action, step.reason = NOT_RUN, f"{', '.join(self.study.failed)} failed"
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
        started, stage = time.monotonic(), self.study.work / "stage" / name
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
        self.left_out[name] = reason
        self.remember()
        if reason:
            step.action, step.reason = LEFT_OUT, reason

    def execute(self, notebook: Notebook, stage: Path, because: str) -> str:
        """Run a notebook in its stage; return why its answers can't feed it, or nothing."""
        from medcal_nb.study.html import save_copies
        from medcal_nb.study.kernel import Failure, execute

        profile, name, started = self.study.profile, notebook.name, time.monotonic()
        self.hand_over(notebook, stage / "reads")
        injected = {
            "PROFILE": profile.name if profile.path.parent == FOLDER else str(profile.path),
            "OUT_DIR": str(stage),
            "FAST": self.study.fast,
            **self.assigned.get(name, {}),
        }
        if "ANSWERS" in notebook.parameters:
            self.study.answers.parent.mkdir(parents=True, exist_ok=True)
            injected["ANSWERS"] = str(self.study.answers)
        self.tell(f"{name}: runs, because {because}")
        executed, total = self.study.work / "notebooks" / f"{name}.ipynb", len(notebook.cells) + 1
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
        page = self.study.work / "html" / f"{name}.html"
        save_copies(executed, page, seconds=time.monotonic() - started)
        return ""

    def hand_over(self, notebook: Notebook, folder: Path) -> None:
        """Put what a notebook declares to read, and nothing else, where it looks for it."""
        (folder / "results").mkdir(parents=True)
        for read in {*notebook.reads} & self.made - {ANSWERS}:
            for file in filter(Path.is_file, self.study.files(read)):
                shutil.copyfile(file, folder / Path(read).parent / file.name)
        told = read_manifest(self.study.figures).items()  # their captions
        write_manifest(folder, {k: v for k, v in told if k in notebook.reads})
        given = str(self.study.answers)
        known = {given: self.hashes[given]} if given in self.hashes else {}
        (folder / "hashes.json").write_text(json.dumps(known))

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
        folder, made, new = self.study.figures, read_manifest(stage), {}
        with self.publishing:
            entries = read_manifest(folder)
            makers = {name: entry["provenance"].get("notebook") for name, entry in entries.items()}
            kept = {name: entries[name] for name in entries if makers[name] != notebook.name}
            for output in ({*notebook.writes} | entries.keys() - kept.keys()) - {ANSWERS}:
                for file in self.study.files(output):
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
            self.publish_findings(notebook, stage)

    def publish_findings(self, notebook: Notebook, stage: Path) -> None:
        """Write a notebook's answer, in sentences, beside the figures; none where it has none."""
        place, own = self.study.figures / FINDINGS, stage / "results" / f"{notebook.name}.json"
        before = json.loads(place.read_text(encoding="utf-8")) if place.is_file() else {}
        answer = load_results(own).get("answer") if own.is_file() else None
        found = {k: v for k, v in before.items() if k != notebook.name}
        found |= {notebook.name: answer} if answer else {}
        if found != before:
            place.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
            replace_files({place: text.encode()})


def _digest(fact: Any) -> str:
    return hashlib.sha256(json.dumps(fact, sort_keys=True).encode()).hexdigest()


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
