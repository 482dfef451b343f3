"""The study: one pytask task for each notebook, publishing whole results or none."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import filelock
import joblib
import psutil
import pytask
from pytask_parallel import ParallelBackend
from tqdm import tqdm

from medcal_nb.errors import MedcalError, NotEnough
from medcal_nb.files import file_hash
from medcal_nb.show.figures import FORMATS, made_here
from medcal_nb.study.context import PUBLISHED, library_versions
from medcal_nb.study.own_log import check_own_log
from medcal_nb.study.profile import checkout, load_profile

_PACKAGE = Path(__file__).resolve().parents[1]
# what changes no number: who runs notebooks, and what is told of a study in its profile
_APART = ("cli/", "study/profiles/", "study/run.py", "show/pages.py")
# set by the study from its own options
_RESERVED = {"PROFILE", "ANSWERS", "OUT_DIR", "FAST"}
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
_EMBEDDED = [
    "HF_HUB_OFFLINE",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
]
pytask.console.quiet = True


class Notebook(NamedTuple):
    """A notebook of the study, read but not run.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    name : str
        Its name without extension, such as ``02_metrics``.
    reads, writes : list of str
        Of ``metadata.medcal``: ``answers``, ``figNN_what``, ``results/NN_topic.json`` (with the
        answer beside it, ``.md``) or, in ``reads``, a file of the checkout.
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
    return {
        path.stem: _read(path) for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    }


def _read(path: Path) -> Notebook:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        said = content["metadata"]["medcal"]
        cells = content["cells"]
        (source,) = (
            c["source"] for c in cells if "parameters" in c["metadata"].get("tags", [])
        )
        told = {
            s.targets[0].id: ast.literal_eval(s.value)
            for s in ast.parse("".join(source)).body
        }
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
        there = (
            self.path.is_file() and self.path.stat().st_size
        )  # a log leaves an empty side file
        return super().state() if there else "absent"


class Study:
    """A study of one profile: where it reads and writes, and what becomes of each notebook.

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
        Numbers (``2`` or ``02``) or names of notebooks, all by default; what they depend on runs
        too where it is stale.

    Attributes
    ----------
    steps : dict
        What was done with each notebook, or would be, once :meth:`run` has run.
    failed : dict
        The errors of those that failed.

    Raises
    ------
    MedcalError
        If anything is wrong before the first notebook runs.
    """

    def __init__(
        self,
        profile,
        *,
        answers=None,
        parameters=(),
        fast=False,
        out=None,
        force=False,
        only=(),
    ):
        self.profile = load_profile(profile)
        self.fast = fast
        self.force = force
        self.stopped = False
        self.failed = {}
        self.code = [package_hashes(), library_versions()]
        self.work = self.profile.build(fast=fast)
        self.figures = self.profile.figures(fast=fast)
        self.answers = (
            Path(answers or self.profile.answers(fast=fast)).expanduser().resolve()
        )
        if self.profile.asks:
            check_own_log(self.answers)
        elif not self.answers.is_file():
            told = f"profile {self.profile.name} asks no model, and {self.answers} is no file"
            raise MedcalError(
                f"{told}: give answers with --answers FILE (see `medcal import`)"
            )
        if out is not None:
            self.figures = Path(out).expanduser().resolve()
            self.work = self.figures / "build"
            ours = not self.figures.exists() or (self.work / "pytask.toml").exists()
            if not ours and any(self.figures.iterdir()):
                raise MedcalError(
                    f"--out {out}: holds what no study made: choose a new folder"
                )
        found = find_notebooks(checkout() / "notebooks")
        asks = self.profile.asks
        listed = self.profile.notebooks
        self.notebooks = {
            n: b
            for n, b in found.items()
            if (asks or "answers" not in b.writes) and (not listed or n[:2] in listed)
        }
        self.steps = dict.fromkeys(
            found.keys() - self.notebooks, "left out: no model is asked"
        )
        wanted = {Path(word).stem.zfill(2) for word in only}
        self.chosen = [n for n in self.notebooks if not wanted or {n, n[:2]} & wanted]
        if wanted - {w for n in found for w in (n, n[:2])} or not self.chosen:
            told = f"profile {self.profile.name} has not all of these notebooks: {', '.join(only)}"
            raise MedcalError(f"{told}: choose from {', '.join(self.notebooks)}")
        self.assigned = parse_parameters(
            parameters, map(self.notebooks.get, self.chosen)
        )
        writes = [
            name for notebook in self.notebooks.values() for name in notebook.writes
        ]
        for name in [name for name in writes if name.startswith("fig")]:
            there = [file for file in self.files([name]) if file.is_file()]
            if there and not any(map(made_here, there)):
                raise MedcalError(
                    f"{there[0]}: not known as a study's: move it away, or use --out"
                )

    def files(self, outputs) -> list[Path]:
        """Return the files of what a notebook reads or writes."""
        files = []
        for output in outputs:
            if output == "answers":  # with rows that may wait beside the log
                files += [
                    self.answers,
                    self.answers.with_name(self.answers.name + "-wal"),
                ]
            elif output.startswith("fig"):
                files += [self.figures / f"{output}.{kind}" for kind in FORMATS]
            elif output.startswith("results/"):
                files += [
                    (self.figures / output).with_suffix(end) for end in (".json", ".md")
                ]
            else:
                files.append(checkout() / output)
        return files

    def _task(self, notebook: Notebook) -> pytask.TaskWithoutPath:
        """Return a notebook as a task: what it depends on, facts and files, and what it makes."""
        name = notebook.name
        given = self.profile.parameters(name[:2], fast=self.fast) | self.assigned
        given = {key: given[key] for key in notebook.parameters if key in given}
        facts = {
            "notebook changed": notebook.cells,
            "parameters changed": given,
            "profile changed": self.profile.settings,
            "package or a library changed": self.code,
        }
        if self.force and name in self.chosen:
            facts["--force"] = time.time()
        known = [
            _Fact(
                name=f"{name}: {what}",
                value=json.dumps(fact, sort_keys=True),
                hash=True,
            )
            for what, fact in facts.items()
        ]
        reads, writes = (
            [
                _File(name=f"{file.name} changed", path=file)
                for file in self.files(names)
            ]
            for names in (notebook.reads, notebook.writes)
        )
        return pytask.TaskWithoutPath(
            name=name,
            function=lambda **_: self._carry_out(notebook, given),
            depends_on={"inputs": [*known, *reads]},
            produces={"outputs": writes},
        )

    def _build(self, **options) -> None:
        """Let pytask do it, quietly, and note what came of it."""
        config = self.work / "pytask.toml"  # its database lies beside it
        config.write_text("[tool.pytask.ini_options]\n")
        session = pytask.build(
            tasks=[self._task(notebook) for notebook in self.notebooks.values()],
            config=config,
            expression=" or ".join(self.chosen),  # with all that they depend on
            capture="no",
            disable_warnings=True,
            **options,
        )
        if session.exit_code not in (pytask.ExitCode.OK, pytask.ExitCode.FAILED):
            told = (
                "pytask can't order the notebooks: do they read each other in a circle?"
            )
            raise MedcalError(
                f"{told} See their metadata.medcal, or delete {self.work}"
            )
        for report in session.execution_reports:
            name = report.task.name
            told = report.outcome.description.lower()
            note = self.work / "notebooks" / f"{name}.left_out"
            if report.outcome == pytask.TaskOutcome.SKIP:
                continue  # not wanted
            if report.outcome == pytask.TaskOutcome.FAIL:
                self.failed[name] = str(report.exc_info[1])
            elif report.outcome == pytask.TaskOutcome.WOULD_BE_EXECUTED:
                told = f"runs, because {_because(report.task.attributes['explanation'].reasons)}"
            elif note.is_file():
                told = f"left out, because {note.read_text(encoding='utf-8')}"
            self.steps[name] = told

    def run(self, *, plan_only=False, keep_going=False) -> Study:
        """Run the notebooks that are stale, and publish what they made.

        Parameters
        ----------
        plan_only : bool
            Say what would run and why, and run nothing.
        keep_going : bool
            After a failure go on with all that doesn't depend on it.

        Returns
        -------
        Study
            This one.
        """
        try:
            with filelock.FileLock(self.work / "lock", timeout=0):
                self._build(explain=True) if plan_only else self._run(keep_going)
        except filelock.Timeout:
            told = f"another study is running in {self.work}: wait for it, or use --out"
            raise MedcalError(told) from None
        return self

    def _run(self, keep_going: bool) -> None:
        """Run what is stale, then write the page of links."""

        def stop(number, frame):
            self.stopped = True
            for process in psutil.Process().children(
                recursive=True
            ):  # kernels, and theirs
                with contextlib.suppress(psutil.Error):
                    process.kill()
            raise KeyboardInterrupt

        for folder in (self.work / "notebooks", self.figures / "results"):
            folder.mkdir(parents=True, exist_ok=True)
        stage = self.work / "stage"
        shutil.rmtree(stage, ignore_errors=True)
        published = json.dumps({self.profile.name: str(self.figures)})
        told = {PUBLISHED: published, "IPYTHONDIR": str(self.work / "ipython")}
        if self.profile.name == "pocket" or not self.profile.asks:
            told |= dict.fromkeys(_EMBEDDED, "1")
        with (
            contextlib.ExitStack() as stack
        ):  # what is set for the kernels goes with them
            stack.enter_context(mock.patch.dict(os.environ, _ENVIRONMENT | told))
            for number in (signal.SIGINT, signal.SIGTERM):
                stack.callback(signal.signal, number, signal.signal(number, stop))
            self._build(
                n_workers=min(_AT_ONCE, joblib.cpu_count()),
                parallel_backend=ParallelBackend.THREADS,
                stop_after_first_failure=not keep_going,
            )
        if self.stopped:
            raise KeyboardInterrupt
        if stage.exists():  # something has run
            from medcal_nb.show.pages import save_index

            about = f"{self.profile.settings['summary']}. {self.profile.source}"
            save_index(self.work / "html", self.figures, self.notebooks.values(), about)
            shutil.rmtree(stage)

    def _carry_out(self, notebook: Notebook, parameters: dict) -> None:
        """Execute one notebook and publish what it made: its task, in a thread of its own."""
        import papermill
        from nbclient.exceptions import DeadKernelError
        from traitlets.config import Config

        from medcal_nb.show.pages import save_copies

        started = time.monotonic()
        stage = self.work / "stage" / notebook.name
        executed = self.work / "notebooks" / notebook.path.name
        (note := executed.with_suffix(".left_out")).unlink(missing_ok=True)

        def tell(what):
            told = f"{notebook.name}: {what} after {time.monotonic() - started:.1f} s"
            with open(self.work / "study.log", "a", encoding="utf-8") as log:
                print(time.strftime("%F %X"), told, file=log)
            return told

        def on_cell(cell, cell_index):
            if self.stopped:  # its kernel started while the others were being killed
                raise KeyboardInterrupt
            tell(f"cell {cell_index + 1}/{len(notebook.cells) + 1}")

        # papermill takes a path as a format string
        paths = (
            str(p).replace("{", "{{").replace("}", "}}")
            for p in (notebook.path, executed)
        )
        try:
            papermill.execute_notebook(
                *paths,
                parameters | {"ANSWERS": str(self.answers), "OUT_DIR": str(stage)},
                kernel_name="python3",
                progress_bar={"desc": notebook.name, "leave": False, "disable": None},
                start_timeout=180,
                shutdown_kernel="immediate",
                cwd=notebook.path.parent,
                on_cell_start=on_cell,
                # what runs over loopback can't be read by others on the machine
                config=Config(KernelManager={"transport_encryption": "auto"}),
            )
            save_copies(
                executed, self.work / "html", seconds=time.monotonic() - started
            )
        except papermill.PapermillExecutionError as error:
            if error.ename != NotEnough.__name__ or self.profile.asks:
                told = f"in cell In [{error.exec_count}]: {error.ename}: {error.evalue}"
                raise MedcalError(f"{told}; all of it in {executed}") from None
            note.write_text(error.evalue, encoding="utf-8")
            shutil.rmtree(stage, ignore_errors=True)
        except DeadKernelError:
            raise MedcalError(
                "the kernel died: out of memory, or killed from outside"
            ) from None
        finally:
            tqdm.write(tell("ended"), file=sys.stderr)  # above the bars
        self._publish(notebook, stage)

    def _publish(self, notebook: Notebook, stage: Path) -> None:
        """Replace what was published of a notebook by what it has just made, if only nothing."""
        if names := {path.stem for path in stage.glob("fig*")} - {*notebook.writes}:
            raise MedcalError(
                f"it wrote {min(names)!r}, which its metadata.medcal doesn't name"
            )
        for file in self.files([name for name in notebook.writes if name != "answers"]):
            staged = stage / file.relative_to(self.figures)
            shutil.move(staged, file) if staged.is_file() else file.unlink(
                missing_ok=True
            )


def parse_parameters(assignments, notebooks) -> dict:
    """Return the parameters that texts ``NAME=VALUE`` set.

    VALUE is JSON or, for a parameter that is a text, the text itself; it is never code.

    Raises
    ------
    MedcalError
        If no notebook has the parameter or the value is no JSON.
    """
    known = {
        n: v for b in notebooks for n, v in b.parameters.items() if n not in _RESERVED
    }
    assigned = {}
    for text in assignments:
        name, _, value = text.partition("=")
        try:
            assigned[name] = (
                value.strip('"') if isinstance(known[name], str) else json.loads(value)
            )
        except (KeyError, ValueError):
            told = "write NAME=VALUE, VALUE as JSON; parameters of these notebooks are"
            raise MedcalError(f"-p {text}: {told} {', '.join(sorted(known))}") from None
    return assigned


def package_hashes() -> list[str]:
    """Return the SHA-256 of each file that a notebook's numbers may depend on."""
    kinds = ("*.py", "*.toml", "*.mplstyle")
    files = sorted(file for kind in kinds for file in _PACKAGE.rglob(kind))
    return [
        file_hash(f)
        for f in files
        if not f.relative_to(_PACKAGE).as_posix().startswith(_APART)
    ]


def _because(reasons) -> str:
    """Say in a few words what pytask found."""
    if any(reason.node_type == "source" for reason in reasons):
        return "no earlier run"
    reason = min(
        reasons, key=lambda reason: reason.node_name
    )  # pytask tells them in any order
    name = reason.node_name.split(": ")[-1]
    return f"{name} runs" if reason.reason == "cascade" else name
