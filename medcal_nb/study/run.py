"""The study: one pytask task for each notebook, publishing whole results or none."""

import ast
import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import filelock
import joblib
import psutil
import pytask
from pytask_parallel import ParallelBackend
from tqdm import tqdm

from medcal_nb.answers.own import check_own_log
from medcal_nb.errors import MedcalError, NotEnough
from medcal_nb.show.figures import FORMATS, read_manifest, replace_files, write_manifest
from medcal_nb.study.context import PUBLISHED, library_versions
from medcal_nb.study.profiles import checkout, load_profile

_PACKAGE = Path(__file__).resolve().parents[1]
# what runs notebooks changes no number in them
_RUNNER = tuple(f"study/{name}.py" for name in ("run", "copies", "doctor"))
# set by the study from its own options
_RESERVED = {"PROFILE", "ANSWERS", "OUT_DIR", "FAST"}
# |new - old| may be this much of max(1, |old|): rounding moves a confidence across a bin's edge,
# and a handful of sampled replies
_TOLERANCE = 0.005
# side by side: a notebook with its kernel takes up to 1.5 GB of memory
_AT_ONCE = 4
# figures are drawn inline, whatever this shell prefers, and libraries keep quiet
_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}
# sums depend on the number of threads; a large model can't do with one
_EMBEDDED = ["HF_HUB_OFFLINE", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"]
pytask.console.quiet = True


@dataclass(frozen=True)
class Notebook:
    """A notebook of the study, read but not run.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    name : str
        Its name without extension, such as ``02_metrics``.
    reads, writes : list of str
        Of ``metadata.medcal``: ``answers``, ``figNN_what``, ``results/NN_topic.json`` or, in
        ``reads``, a file of the checkout.
    parameters : dict
        The literals of its ``parameters`` cell.
    cells : list of str
        The source of each cell: outputs do not count.
    """

    path: Path
    name: str
    reads: list[str]
    writes: list[str]
    parameters: dict
    cells: list[str]


def find_notebooks(folder: Path) -> dict[str, Notebook]:
    """Read all ``NN_topic.ipynb`` of a folder, by name in the order of their numbers.

    Raises
    ------
    MedcalError
        If one can't be read.
    """
    return {path.stem: _read(path) for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}


def _read(path: Path) -> Notebook:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        said, cells = content["metadata"]["medcal"], content["cells"]
        (source,) = (c["source"] for c in cells if "parameters" in c["metadata"].get("tags", []))
        told = {s.targets[0].id: ast.literal_eval(s.value) for s in ast.parse("".join(source)).body}
        sources = ["".join(cell["source"]) for cell in cells]
        return Notebook(path, path.stem, said["reads"], said["writes"], told, sources)
    except (ValueError, KeyError, TypeError, AttributeError, SyntaxError) as error:
        told = f"{path}: no notebook of the study ({type(error).__name__}: {error})"
        raise MedcalError(f"{told}: see 'Add a notebook' in CONTRIBUTING.md") from None


class _Fact(pytask.PythonNode):
    """Something other than a file that a notebook depends on, known by its name in the graph."""

    @property
    def signature(self) -> str:
        return self.name


class _File(pytask.PathNode):
    """A file that a notebook depends on or makes, known by its content; it may be absent."""

    def state(self) -> str:
        there = self.path.is_file() and self.path.stat().st_size  # a log leaves an empty side file
        return super().state() if there else "absent"


def run_study(profile="pocket", *, plan_only=False, keep_going=False, **choice):
    """Run the notebooks that are stale, and publish what they made.

    Parameters
    ----------
    profile : str
        Name or file of a profile.
    plan_only : bool
        Say what would run and why, and run nothing.
    keep_going : bool
        After a failure go on with all that doesn't depend on it.
    choice
        As for :class:`Study`.

    Returns
    -------
    Study
        What was done with each notebook is in its ``steps``, errors are in ``failed``.

    Raises
    ------
    MedcalError
        If anything is wrong before the first notebook runs.
    """
    study = Study(profile, **choice)
    study.work.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(study.work / "lock", timeout=0):
            study.build(explain=True) if plan_only else study.run(keep_going=keep_going)
    except filelock.Timeout:
        told = f"another study is running in {study.work}: wait for it, or use --out"
        raise MedcalError(told) from None
    return study


class Study:
    """A study, planned or done: where it reads and writes, and a step for each notebook.

    Parameters
    ----------
    profile : str
        Name or file of a profile.
    answers : path, optional
        The answers table: read where the profile asks no model, else filled by asking.
    parameters : sequence of str
        ``NAME=VALUE``; each goes to the notebooks that have such a parameter.
    fast : bool
        Small sizes; nothing is published to ``figures/``.
    out : path, optional
        Publish figures and results here and keep the working files below it.
    force : bool
        Run even what is unchanged.
    only : sequence of str
        Numbers or names of notebooks; what they depend on runs too where it is stale.
    """

    def __init__(
        self, profile, *, answers=None, parameters=(), fast=False, out=None, force=False, only=()
    ):
        self.profile, self.fast, self.force = load_profile(profile), fast, force
        self.stopped, self.publishing = False, threading.Lock()
        self.work, self.figures = self.profile.build(fast=fast), self.profile.figures(fast=fast)
        self.answers = Path(answers or self.work / "answers.sqlite").expanduser().resolve()
        if self.profile.asks:
            check_own_log(self.answers)
        elif not self.answers.is_file():
            told = f"profile {self.profile.name} asks no model, and {self.answers} is no file"
            raise MedcalError(f"{told}: give answers with --answers FILE (see `medcal import`)")
        if out is not None:
            self.figures = Path(out).expanduser().resolve()
            self.work = self.figures / "build"
            ours = not self.figures.exists() or (self.work / "pytask.toml").exists()
            if not ours and any(self.figures.iterdir()):
                raise MedcalError(f"--out {out}: holds what no study made: choose a new folder")
        found, asks = find_notebooks(checkout() / "notebooks"), self.profile.asks
        self.notebooks = {n: b for n, b in found.items() if asks or "answers" not in b.writes}
        self.steps = dict.fromkeys(found.keys() - self.notebooks, "left out: no model is asked")
        place, listed, self.failed = self.figures / "findings.json", read_manifest(self.figures), {}
        self.findings = json.loads(place.read_bytes()) if place.is_file() else {}
        self.chosen = [name for name in select(found, only) if name in self.notebooks]
        if not self.chosen:
            raise MedcalError(f"nothing to run: profile {self.profile.name} asks no model")
        self.assigned = parse_parameters(parameters, map(self.notebooks.get, self.chosen))
        for notebook in self.notebooks.values():
            drawn = [n for n in notebook.writes if n.startswith("fig") and n not in listed]
            for file in filter(Path.exists, self.files(drawn)):
                told = f"{file}: is there and no study made it: move it away, or use --out"
                raise MedcalError(told)

    def files(self, outputs) -> list[Path]:
        """Return the files of what a notebook reads or writes."""
        files = []
        for output in outputs:
            if output == "answers":  # with rows that may wait beside the log
                files += [self.answers, self.answers.with_name(self.answers.name + "-wal")]
            elif output.startswith("fig"):
                files += [self.figures / f"{output}.{kind}" for kind in FORMATS]
            else:
                root = self.figures if output.startswith("results/") else checkout()
                files.append(root / output)
        return files

    def task(self, notebook: Notebook) -> pytask.TaskWithoutPath:
        """Return a notebook as a task: what it depends on, facts and files, and what it makes."""
        name = notebook.name
        given = self.profile.parameters(name[:2], fast=self.fast) | self.assigned
        given = {key: given[key] for key in notebook.parameters if key in given}
        facts = {
            "notebook changed": notebook.cells,
            "parameters changed": given,
            "profile changed": self.profile.settings,
            "package or a library changed": [package_hash(), library_versions()],
        }
        if self.force and name in self.chosen:
            facts["--force"] = time.time()
        known = [
            _Fact(name=f"{name}: {what}", value=json.dumps(fact, sort_keys=True), hash=True)
            for what, fact in facts.items()
        ]
        reads, writes = (
            [_File(name=f"{file.name} changed", path=file) for file in self.files(names)]
            for names in (notebook.reads, notebook.writes)
        )
        return pytask.TaskWithoutPath(
            name=name,
            function=lambda **_: self.carry_out(notebook, given),
            depends_on={"inputs": [*known, *reads]},
            produces={"outputs": writes},
        )

    def build(self, **options) -> None:
        """Let pytask do it, quietly, and note what came of it."""
        config = self.work / "pytask.toml"  # its database lies beside it
        config.write_text("[tool.pytask.ini_options]\n")
        session = pytask.build(
            tasks=[self.task(notebook) for notebook in self.notebooks.values()],
            config=config,
            expression=" or ".join(self.chosen),  # with all that they depend on
            capture="no",
            disable_warnings=True,
            **options,
        )
        if session.exit_code not in (pytask.ExitCode.OK, pytask.ExitCode.FAILED):
            told = "pytask can't order the notebooks: do they read each other in a circle?"
            raise MedcalError(f"{told} See their metadata.medcal, or delete {self.work}")
        for report in session.execution_reports:
            name, told = report.task.name, report.outcome.description.lower()
            note = self.work / "left_out" / name
            if report.outcome == pytask.TaskOutcome.SKIP:
                continue  # not wanted
            if report.outcome == pytask.TaskOutcome.FAIL:
                self.failed[name] = str(report.exc_info[1])
            elif report.outcome == pytask.TaskOutcome.WOULD_BE_EXECUTED:
                told = f"runs, because {_because(report.task.attributes['explanation'].reasons)}"
            elif note.is_file():
                told = f"left out, because {note.read_text(encoding='utf-8')}"
            self.steps[name] = told

    def run(self, *, keep_going: bool) -> None:
        """Run what is stale, then write the findings and the page of links."""

        def stop(number, frame):
            self.stopped = True
            for process in psutil.Process().children(recursive=True):  # kernels, and theirs
                with contextlib.suppress(psutil.Error):
                    process.kill()
            raise KeyboardInterrupt

        for folder in (self.work / "notebooks", self.work / "left_out", self.figures / "results"):
            folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.work / "stage", ignore_errors=True)
        told = _ENVIRONMENT | {PUBLISHED: str(self.figures)}
        told |= {"IPYTHONDIR": str(self.work / "ipython"), "JUPYTER_PREFER_ENV_PATH": "1"}
        if self.profile.name == "pocket" or not self.profile.asks:
            told |= dict.fromkeys(_EMBEDDED, "1")
        with contextlib.ExitStack() as stack:  # what is set for the kernels goes with them
            stack.enter_context(mock.patch.dict(os.environ, told))
            for number in (signal.SIGINT, signal.SIGTERM):
                stack.callback(signal.signal, number, signal.signal(number, stop))
            self.build(
                n_workers=min(_AT_ONCE, joblib.cpu_count()),
                parallel_backend=ParallelBackend.THREADS,
                stop_after_first_failure=not keep_going,
            )
        if self.stopped:
            raise KeyboardInterrupt
        if (self.work / "stage").exists():  # something has run
            from medcal_nb.study.copies import save_index

            save_index(self)
            shutil.rmtree(self.work / "stage")

    def carry_out(self, notebook: Notebook, parameters: dict) -> None:
        """Execute and publish one notebook: the function of its task, in a thread of its own."""
        from medcal_nb.study.copies import execute, save_copies  # slow to import

        started = time.monotonic()
        stage, note = (self.work / place / notebook.name for place in ("stage", "left_out"))
        executed = self.work / "notebooks" / notebook.path.name
        note.unlink(missing_ok=True)

        def tell(what):
            told = f"{notebook.name}: {what} after {time.monotonic() - started:.1f} s"
            with open(self.work / "study.log", "a", encoding="utf-8") as log:
                print(time.strftime("%F %X"), told, file=log)
            return told

        def on_cell(cell, cell_index):
            if self.stopped:  # its kernel started while the others were being killed
                raise KeyboardInterrupt
            tell(f"cell {cell_index + 1}/{len(notebook.cells) + 1}")

        given = parameters | {"ANSWERS": str(self.answers), "OUT_DIR": str(stage)}
        try:
            execute(notebook.path, executed, given, on_cell=on_cell)
            save_copies(executed, self.work / "html", seconds=time.monotonic() - started)
        except NotEnough as error:
            if self.profile.asks:
                raise
            note.write_text(str(error), encoding="utf-8")
            shutil.rmtree(stage, ignore_errors=True)
        finally:
            tqdm.write(tell("ended"), file=sys.stderr)  # above the bars
        self.publish(notebook, stage)

    def publish(self, notebook: Notebook, stage: Path) -> None:
        """Replace what was published of a notebook by what it has just made, if only nothing."""
        made, results = read_manifest(stage), stage / "results" / f"{notebook.name}.json"
        if names := made.keys() - {*notebook.writes}:
            raise MedcalError(f"it wrote {min(names)!r}, which its metadata.medcal doesn't name")
        told = json.loads(results.read_bytes())["results"] if results.is_file() else {}
        with self.publishing:
            listed = read_manifest(self.figures)
            write_manifest(self.figures, listed | made)  # before: a kill leaves nothing unnamed
            for file in self.files([name for name in notebook.writes if name != "answers"]):
                staged = stage / file.relative_to(self.figures)
                shutil.move(staged, file) if staged.is_file() else file.unlink(missing_ok=True)
            others = {
                n: e for n, e in listed.items() if e["provenance"]["notebook"] != notebook.name
            }
            write_manifest(self.figures, others | made)
            self.findings.pop(notebook.name, None)
            self.findings |= {notebook.name: told["answer"]} if "answer" in told else {}
            text = json.dumps(self.findings, indent=1, sort_keys=True, ensure_ascii=False)
            replace_files({self.figures / "findings.json": f"{text}\n".encode()})


def select(notebooks, wanted) -> list[str]:
    """Return the names of the wanted notebooks.

    Parameters
    ----------
    notebooks : iterable of str
        The names of all.
    wanted : iterable of str
        Numbers (``2`` or ``02``) or names (``02_metrics``); none means all.

    Raises
    ------
    MedcalError
        If there is no such notebook.
    """
    chosen = []
    for word in wanted:
        found = [name for name in notebooks if Path(word).stem.zfill(2) in (name, name[:2])]
        if not found:
            raise MedcalError(f"no notebook {word!r}: choose from {', '.join(notebooks)}")
        chosen += found
    return chosen or [*notebooks]


def parse_parameters(assignments, notebooks) -> dict:
    """Return the parameters that texts ``NAME=VALUE`` set.

    VALUE is JSON or, for a parameter that is a text, the text itself; it is never code.

    Raises
    ------
    MedcalError
        If no notebook has the parameter or the value is no JSON.
    """
    known = {name: default for n in notebooks for name, default in n.parameters.items()}
    known = {name: known[name] for name in sorted(known.keys() - _RESERVED)}
    assigned = {}
    for text in assignments:
        name, _, value = text.partition("=")
        try:
            is_text = isinstance(known[name], str)
            assigned[name] = value.strip('"') if is_text else json.loads(value)
        except (KeyError, ValueError):
            told = "write NAME=VALUE, VALUE as JSON; parameters of these notebooks are"
            raise MedcalError(f"-p {text}: {told} {', '.join(known)}") from None
    return assigned


def package_hash() -> str:
    """Return one SHA-256 of this package but for what runs notebooks and the command line."""
    digest = hashlib.sha256()
    kinds = ("*.py", "*.toml", "*.mplstyle")
    for file in sorted(file for kind in kinds for file in _PACKAGE.rglob(kind)):
        name = file.relative_to(_PACKAGE).as_posix()
        if not name.startswith(("cli/", "profiles/", *_RUNNER)):
            digest.update(name.encode() + file.read_bytes())
    return digest.hexdigest()


def _because(reasons) -> str:
    """Say in a few words what pytask found."""
    if any(reason.node_type == "source" for reason in reasons):
        return "no earlier run"
    reason = min(reasons, key=lambda reason: reason.node_name)  # pytask tells them in any order
    name = reason.node_name.split(": ")[-1]
    return f"{name} runs" if reason.reason == "cascade" else name


def verify(only=()) -> dict[str, str]:
    """Run the pocket study anew in a folder of its own and compare the CSV of every figure.

    Numbers may differ by 0.005 · max(1, |number|).

    Parameters
    ----------
    only : sequence of str
        Numbers or names of notebooks; all by default.

    Returns
    -------
    dict
        How each figure differs from the published one, in words: nothing where it agrees.

    Raises
    ------
    MedcalError
        If the study fails.
    """
    published = checkout() / "figures"
    with tempfile.TemporaryDirectory(prefix="medcal-verify-") as folder:
        made = Path(folder) / "figures"
        done = run_study(only=only, out=made, answers=Path(folder) / "answers.sqlite")
        for name, error in done.failed.items():
            raise MedcalError(f"{name}: {error}")
        files = sorted(made.glob("fig*.csv"))
        return {file.stem: _difference(published / file.name, file) for file in files}


def _difference(old: Path, new: Path) -> str:
    """Say how two tables differ beyond the tolerance; nothing where they don't."""
    import pandas as pd

    tables, near = (pd.read_csv(new), pd.read_csv(old)), {"rtol": _TOLERANCE, "atol": _TOLERANCE}
    try:
        pd.testing.assert_frame_equal(*tables, check_dtype=False, **near)
    except AssertionError as error:
        return " ".join(str(error).split())
    return ""
