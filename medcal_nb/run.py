"""The study: its notebooks through papermill where something changed, published whole or not."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from medcal_nb.errors import MedcalError, check_known
from medcal_nb.files import checkout, file_hash, literals, new_file

_PACKAGE = Path(__file__).resolve().parent
#: The checkout: notebooks/, data/ and figures/ lie in it.
ROOT = checkout()

_AT_ONCE = 2
# notebooks of most seconds: begun first, so that no process ends long after the others
_LONGEST_FIRST = ("04", "06", "02", "01", "05")
# seconds of a cell: of the study, and of one that asks a model of the user's
_LONGEST = 600
_LONGEST_ASKING = 24 * 3600
_LIBRARIES = ("numpy", "scipy", "pandas", "matplotlib", "seaborn")
# what no notebook imports, and what alone decides how figures and tables look
_APART = ("cli", "reader", "run.py")
_DRAWING = (
    "labels.py",
    "labels.toml",
    "notebook.py",
    "wording.py",
    "report/parts.py",
)
_KINDS = (".csv", ".md", ".png", ".svg")
# two in the last digit: of results (`medcal_nb.wording.rounded`), of a logged confidence
_NEAR = 2e-8
_NEAR_ASKED = 2e-4
_FILES = (".sqlite", ".csv", ".tsv", ".xlsx", ".parquet", ".json", ".jsonl")
# sums depend on the number of threads; a large model asked live can't do with one
_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "HF_HUB_OFFLINE",
)
# figures are drawn inline whatever this shell prefers; progress is shown by the study's own bar,
# so that what a cell prints, on either stream, is for the page
_INLINE = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "TQDM_DISABLE": "1",
    "PYTHONHASHSEED": "0",
}


class Step:
    """One notebook of the study: what it is given, and where its files go.

    Parameters
    ----------
    notebook : Path
    figures : Path
        Folder of what it publishes.
    work : Path
        Folder of its executed copy.

    Attributes
    ----------
    name : str
        Such as ``04_transfer``.
    cells : list of str
        Their sources; outputs do not count.
    defaults, overrides : dict
        Parameters that the notebook holds, and those that are set otherwise.
    results : Path
        The published results; they list the files that were published with them.
    executed : Path
        The executed copy, also of a run that failed.
    record : Path
        What the last whole run was made from; written last.
    is_last : bool
        Whether it sums up the results of the others.
    asks : bool
        Whether it asks models: answers differ between machines.
    """

    def __init__(self, notebook: Path, figures: Path, work: Path) -> None:
        self.notebook = notebook
        self.figures = figures
        self.work = work
        self.name = notebook.stem
        self.results = figures / "results" / f"{self.name}.json"
        self.executed = work / notebook.name
        self.record = work / f"{self.name}.json"
        self.cells = []
        self.defaults: dict[str, Any] = {}
        for cell in _read(notebook)["cells"]:
            source = "".join(cell["source"])
            self.cells.append(source)
            tags = cell["metadata"].get("tags", [])
            if "parameters" in tags:
                self.defaults = literals(source)
                self.defaults.pop("OUT", None)  # a step sets it
        self.overrides: dict[str, Any] = {}
        self.is_last = self.name.startswith("00")
        self.asks = "LOG" in self.defaults

    def state(self) -> dict[str, str]:
        """Return a hash of each thing that the results follow from, and of what is published."""
        checkout = self.notebook.parents[1]
        files = [*checkout.glob("data/*/manifest.json"), *self._named()]
        if self.is_last:
            files += set(self.figures.glob("results/*.json")) - {self.results}
        hashes = {
            "notebook": _hash(self.cells),
            "parameters": _hash(self.overrides),
            "package or a library": _code_hash(),
            "published files": self._published_hash(),
        }
        for file in files:
            if os.path.isfile(file) and file.stat().st_size:
                name = f"{file.parent.name}/{file.name}"
                hashes[name] = file_hash(file)
        return hashes

    def _named(self) -> list[Path]:
        """Paths that parameters may name; its log is no source, it is what it writes."""
        values = self.defaults | self.overrides
        values.pop("LOG", None)
        files = []
        for value in values.values():
            several = value if isinstance(value, list) else [value]
            for name in several:
                file = self.notebook.parent / str(name)
                files += [file, Path(f"{file}-wal")]  # rows wait beside a log
        return files

    def reason(self) -> str:
        """Return why the notebook has to run; an empty text where nothing changed."""
        if not self.record.is_file():
            return "no whole run yet in this checkout"
        before = _read(self.record)
        now = self.state()
        names = []
        for name in sorted(before | now):
            if before.get(name) != now.get(name):
                names.append(name)
        return f"changed: {', '.join(names)}" if names else ""

    def run(self, kernels: Any) -> None:
        """Execute the notebook, and publish what it wrote once all of it has ended well.

        Parameters
        ----------
        kernels : type
            The kernel manager.

        Raises
        ------
        MedcalError
            If another study runs it, or a cell fails, with its number and the path of the executed
            copy.
        """
        from medcal_nb.notebook import page_of

        stage = self.work / f"{self.name}.part"
        self.work.mkdir(parents=True, exist_ok=True)
        with self.record.with_suffix(".lock").open("w") as lock:
            _lock(lock)
            state = self.state()  # before it runs: what changes meanwhile is a change
            self.record.unlink(missing_ok=True)
            shutil.rmtree(stage, ignore_errors=True)  # of a run that was killed
            stage.mkdir()
            _execute(self, stage, kernels)
            of_study = self.defaults.get("ANSWERS")
            is_own = self.overrides.get("ANSWERS", of_study) != of_study
            notebook = f"../notebooks/{self.notebook.name}"
            page = page_of(self.executed, notebook, is_own=is_own)
            (stage / f"{self.name}.md").write_text(page, encoding="utf-8")
            self._publish(stage)
            shutil.rmtree(stage)
            state["published files"] = self._published_hash()
            _write(self.record, state)

    def _published(self) -> dict[str, Any]:
        """The published results: only what they list is ever replaced or removed."""
        if not self.results.is_file():
            return {"files": {}}
        results = _read(self.results)
        for name in results.get("files", ["/"]):
            if not re.fullmatch(r"\w[\w.-]*", name):
                raise _not_ours(self.results)
        return results

    def _published_hash(self) -> str:
        names = [*self._published()["files"], f"results/{self.results.name}"]
        return _hash(_contents(self.figures, names))

    def _publish(self, stage: Path) -> None:
        """Replace what is published by what a run wrote, unless all of it is the same.

        Results are written before the files that they list: a run killed here is not taken for a
        whole one.
        """
        now = _read(stage / "results" / self.results.name)
        names = []
        for path in sorted(stage.iterdir()):
            if path.suffix in _KINDS:
                names.append(path.name)
        files = _contents(stage, names)
        charts = (f"plots/{path.name}" for path in _PACKAGE.glob("plots/[a-z]*.*"))
        drawing = _contents(_PACKAGE, sorted([*_DRAWING, *charts]))
        drawn_from = _hash([self.cells, drawing, version("matplotlib")])
        before = self._published()
        listed = before["files"]
        new = files.keys() - listed.keys()
        for name in new:
            if (self.figures / name).exists():
                raise _not_ours(self.figures / name)
        page = f"{self.name}.md"
        if (
            before.get("drawn_from") == drawn_from
            and listed.get(page) == files[page]
            and listed == _contents(self.figures, listed)
            and not compare_results(before, now, asks=self.asks)
        ):
            return
        for name in listed.keys() - files.keys():
            (self.figures / name).unlink(missing_ok=True)
        _write(self.results, now | {"drawn_from": drawn_from, "files": files})
        for name in files:
            with new_file(self.figures / name, force=True) as part:
                shutil.copyfile(stage / name, part)


def steps_of(
    chosen: Sequence[str] = (),
    *,
    assignments: Mapping[str, Any] | None = None,
    profile: str | Path = "",
    to: str | Path = "",
    root: Path = ROOT,
) -> list[Step]:
    """Return the steps of a study; none of them has run.

    Parameters
    ----------
    chosen : sequence of str
        Numbers (``4`` or ``04``) or names of notebooks; all if empty, or those that have one of
        the parameters set here.
    assignments : dict, optional
        Values of parameters by name; a text is read as JSON where the parameter is no text.
    profile : path or str
        A file of values of parameters as YAML, such as those of ``notebooks/params``; its
        ``NOTEBOOKS`` are those that run where none is chosen.
    to : path
        Publish here; if empty, in ``figures/`` or, with other parameters, below ``build/``.
    root : Path
        The checkout.

    Raises
    ------
    MedcalError
        If a notebook, a profile or a parameter is unknown, or a value is of another kind than the
        parameter.
    """
    figures, work = _places(root, profile, bool(assignments), to)
    paths = sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    steps = [Step(path, figures, work) for path in paths]
    if not steps:
        raise MedcalError(
            f"{root}: no notebooks/ there: use the medcal of a clone's .venv"
        )
    values = _profile(profile)
    listed = values.pop("NOTEBOOKS", [])
    _check_parameters(values, steps)
    words = chosen or listed
    steps = _chosen(steps, words)
    _check_parameters(assignments or {}, steps)
    values |= assignments or {}
    for step in steps:
        for name in step.defaults.keys() & values.keys():
            step.overrides[name] = _value(name, values[name], step.defaults[name])
    if values and not words:
        steps = [step for step in steps if step.overrides]
    if figures != root / "figures":
        for step in steps:
            if "RESULTS" in step.defaults:  # of the others, which publish beside it
                step.overrides.setdefault("RESULTS", str(figures / "results"))
    return steps


def _chosen(steps: list[Step], words: Sequence[str]) -> list[Step]:
    """Those that numbers or names choose, or all."""
    by_word = {step.name: step for step in steps}
    by_word |= {step.name[:2]: step for step in steps}
    names = set()
    for word in words:
        number = str(word).zfill(2)
        check_known(number, by_word, "notebook")
        names.add(by_word[number].name)
    return [step for step in steps if step.name in names or not words]


def run_study(
    steps: Sequence[Step], *, force: bool = False, plan_only: bool = False
) -> dict[str, str]:
    """Run the notebooks that are stale, side by side; last, if all are whole, the one that sums up.

    Parameters
    ----------
    steps : sequence of Step
        As `steps_of` returns them.
    force : bool
        Run all of them.
    plan_only : bool
        Say what would run and why, and run nothing.

    Returns
    -------
    dict
        What became of each notebook, by name: "unchanged", "runs: …", "ran in 12 s" or "failed: …".
    """
    outcomes: dict[str, str] = {}
    for is_last in (False, True):
        wave = [step for step in steps if step.is_last == is_last]
        is_whole = not any(line.startswith("failed") for line in outcomes.values())
        for step in wave:
            reason = "--force" if force else step.reason()
            others_run = set(outcomes.values()) - {"unchanged"}
            if plan_only and is_last and others_run:
                reason = reason or "others run"
            outcomes[step.name] = "unchanged"
            if reason:
                outcomes[step.name] = f"runs: {reason}"
        stale = [step for step in wave if outcomes[step.name] != "unchanged"]
        if stale and is_whole and not plan_only:
            outcomes |= _run_side_by_side(stale)
    return outcomes


def verify_study(
    chosen: Sequence[str] = (), *, root: Path = ROOT
) -> dict[str, list[str]]:
    """Run notebooks again in ``build/verify`` and compare their results with the published ones.

    Parameters
    ----------
    chosen : sequence of str
        As in `steps_of`.
    root : Path
        The checkout.

    Returns
    -------
    dict
        Where each notebook differs (`compare_results`), by name.

    Raises
    ------
    MedcalError
        If a notebook fails, or was never published.
    """
    steps = steps_of(chosen, to=root / "build" / "verify", root=root)
    folder = root / "figures" / "results"
    published = {step: _read(folder / step.results.name) for step in steps}
    for name, outcome in run_study(steps, force=True).items():
        if not outcome.startswith("ran"):
            raise MedcalError(f"{name} {outcome}")
    differences = {}
    for step, before in published.items():
        again = _read(step.results)
        differences[step.name] = compare_results(before, again, asks=step.asks)
    return differences


def compare_results(published: dict, again: dict, *, asks: bool = False) -> list[str]:
    """Return where two runs of a notebook differ in tables or in findings: a line each.

    A number is the same where it is off by two in its last digit that is written, at most: that is
    what another processor may round otherwise. What is the same is neither published again nor
    named by ``medcal study --verify``.

    Parameters
    ----------
    published, again : dict
        Results of the notebook.
    asks : bool
        Whether models were asked: confidences are then logged with four places, and findings are
        not compared.
    """
    from pandas import DataFrame
    from pandas.testing import assert_frame_equal

    near = _NEAR_ASKED if asks else _NEAR
    lines = []
    for name in published["tables"] | again["tables"]:
        try:
            assert_frame_equal(
                DataFrame(published["tables"].get(name)),
                DataFrame(again["tables"].get(name)),
                check_dtype=False,
                rtol=near,
                atol=near,
                obj=name,
            )
        except AssertionError as error:
            lines.append("; ".join(str(error).split("\n")))
    if not asks and published["findings"] != again["findings"]:
        lines.append("findings, in words")
    return lines


# --- executing ------------------------------------------------------------------------------------


def _run_side_by_side(steps: Sequence[Step]) -> dict[str, str]:
    """Run notebooks, a few at a time; return what became of each."""
    kernels = _kernels(steps)
    pool = ThreadPoolExecutor(_AT_ONCE)
    tasks = {}
    for step in sorted(steps, key=_place):
        tasks[step.name] = pool.submit(_run, step, kernels)
    try:
        return {step.name: tasks[step.name].result() for step in steps}
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        # those that wait are cancelled, which `concurrent.futures.wait` would wait for
        while not all(task.done() for task in tasks.values()):
            kernels.end_all()
            time.sleep(0.2)
        raise


def _place(step: Step) -> int:
    """When a notebook is begun: what takes long before the others, else in their order."""
    number = step.name[:2]
    first = _LONGEST_FIRST
    return first.index(number) if number in first else len(first)


def _run(step: Step, kernels: Any) -> str:
    """Run a notebook, and say what became of it."""
    from tqdm import tqdm

    started = time.monotonic()
    try:
        step.run(kernels)
        outcome = f"ran in {time.monotonic() - started:.0f} s"
    except MedcalError as error:
        outcome = f"failed: {error}"
    tqdm.write(f"{step.name}: {outcome}", file=sys.stderr)
    return outcome


def _kernels(steps: Sequence[Step]) -> Any:
    """A manager of kernels that no other user can listen to, and that can be ended."""
    from jupyter_client.manager import AsyncKernelManager
    from nbclient.output_widget import OutputWidget

    # nbclient tells the kernel what an Output widget holds on the very socket that it polls for
    # the cell's reply: the poll misses the reply, and the cell "never ends". No kernel needs it.
    OutputWidget.sync_state = lambda self: None  # type: ignore[method-assign]
    folder = steps[0].notebook.parent
    # settings of IPython's user change nothing
    own = _INLINE | {"IPYTHONDIR": str(steps[0].work / "ipython")}
    if not any(step.asks and step.overrides for step in steps):
        own |= dict.fromkeys(_ONE_THREAD, "1")
    running = []

    class Kernels(AsyncKernelManager):
        async def start_kernel(self, **options: Any) -> None:
            self.transport_encryption = "auto"
            options |= {"env": os.environ | own, "cwd": str(folder)}
            await super().start_kernel(**options)
            running.append(self.provisioner.pid)

        @staticmethod
        def end_all() -> None:
            while running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(running.pop(), signal.SIGKILL)

    return Kernels


def _execute(step: Step, stage: Path, kernels: Any) -> None:
    """Execute a notebook into a copy, which is written after each cell."""
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # we say it
    longest = _LONGEST_ASKING if step.asks and step.overrides else _LONGEST
    try:
        papermill.execute_notebook(
            step.notebook,
            step.executed,
            step.overrides | {"OUT": str(stage)},
            kernel_name="python3",
            language="python",
            kernel_manager_class=kernels,
            start_timeout=180,
            execution_timeout=longest,
            shutdown_kernel="immediate",
            progress_bar={"desc": step.name, "leave": False, "disable": None},
        )
    except papermill.PapermillExecutionError as error:
        message = f"cell In [{error.exec_count}]: {error.ename}: {error.evalue}"
        raise MedcalError(f"{message}; all of it in {step.executed}") from None
    except DeadKernelError:
        raise MedcalError("the kernel died: out of memory, or ended") from None
    except CellTimeoutError:
        raise MedcalError(f"a cell took more than {longest} s") from None


def _lock(file: Any) -> None:
    """Refuse a notebook that another study runs; the system lets go of it after a kill."""
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise MedcalError("another study runs it: wait") from None


# --- names, values, places ------------------------------------------------------------------------


def _profile(profile: str | Path) -> dict[str, Any]:
    """Values of parameters that a YAML file holds; none without a profile."""
    if not profile:
        return {}
    from papermill.iorw import read_yaml_file  # which takes seconds to load

    try:
        return dict(read_yaml_file(str(profile)))
    except Exception as error:  # of the file system, of yaml or of dict
        raise MedcalError(
            f"{profile}: not read as NAME: value, a line each: {error}"
        ) from None


def _check_parameters(values: Mapping[str, Any], steps: Sequence[Step]) -> None:
    known = {name for step in steps for name in step.defaults}
    for name in values:
        check_known(name, known, "parameter")


def _value(name: str, value: Any, default: Any) -> Any:
    """A value of the kind that a parameter has in its notebook; answers may be several."""
    is_text = isinstance(value, str)
    if is_text and (value.startswith("[") or not isinstance(default, str)):
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    if name == "ANSWERS" and isinstance(value, list):
        return [_value(name, one, default) for one in value]
    kinds = [type(default)]
    if isinstance(default, float):
        kinds.append(int)
    if type(value) not in kinds:
        raise MedcalError(
            f"{name} = {value!r}: of another kind than {json.dumps(default)}"
        )
    if isinstance(value, str) and (value.endswith(_FILES) or os.path.isfile(value)):
        return os.path.abspath(value)  # notebooks run in their folder
    return value


def _places(
    root: Path, profile: str | Path, is_trial: bool, to: str | Path
) -> tuple[Path, Path]:
    """Folders of what a study publishes and of its work; other values never go to figures/."""
    build = root / "build"
    if to:
        figures = Path(to).expanduser().resolve()
        if figures == root / "figures":
            raise MedcalError(f"--to {to}: is the study's own: name another folder")
        return figures, build / "to" / f"{figures.name}-{_hash(str(figures))[:8]}"
    if is_trial:
        return build / "trial", build / "trial"
    if profile:
        name = Path(profile).stem
        return build / name, build / name
    return root / "figures", build / "study"


# --- files ----------------------------------------------------------------------------------------


@cache
def _code_hash() -> str:
    """Hash of the package, but for what no notebook imports, and of libraries below it."""
    hashes = [version(library) for library in _LIBRARIES]
    for path in sorted(_PACKAGE.rglob("*.*")):
        room = path.relative_to(_PACKAGE).parts[0]
        if room in _APART or path.suffix == ".pyc":
            continue
        if path.is_file():
            hashes.append(file_hash(path))
    return _hash(hashes)


def _not_ours(path: Path) -> MedcalError:
    return MedcalError(f"{path}: no study wrote it: move it away, or use --to")


def _contents(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Hashes of those files of a folder that are there."""
    hashes = {}
    for name in names:
        path = folder / name
        if path.is_file():
            hashes[name] = file_hash(path)[:16]
    return hashes


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise MedcalError(
            f"{path}: missing or damaged: remove it and run its notebook again, which ends with "
            "out.close()"
        ) from None


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1, ensure_ascii=False)
    with new_file(path, force=True) as part:
        part.write_text(f"{text}\n", encoding="utf-8")
