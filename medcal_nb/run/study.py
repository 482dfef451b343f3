"""The steps of the study: which are stale, and how what they wrote is published."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from medcal_nb.errors import MedcalError, check_known
from medcal_nb.run.compare import compare_results, same_text
from medcal_nb.run.execute import execute_notebook, finish_notebook, kernel_manager

_PACKAGE = Path(__file__).resolve().parents[1]
#: The checkout: notebooks/, data/ and figures/ lie in it (``MEDCAL_ROOT`` names another).
ROOT = Path(os.environ.get("MEDCAL_ROOT") or _PACKAGE.parent).resolve()

_AT_ONCE = 2
# seconds of a cell of the study; asking a large model may take longer
_LONGEST = 600
_LIBRARIES = ("numpy", "scipy", "pandas", "matplotlib", "seaborn")
# what no notebook imports, and what alone decides how figures and tables look
_APART = ("cli", "reader", "run")
_DRAWING = ("plots.py", "notebook.py", "labels.py", "labels.toml", "house.mplstyle")


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
    defaults, given : dict
        Parameters that the notebook holds, and those that are set otherwise.
    results : Path
        The published results; they list the files that were published with them.
    executed : Path
        The executed copy.
    record : Path
        What that was made from; written last.
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
            if "parameters" in cell["metadata"].get("tags", ()):
                self.defaults = _literals(source)
        self.given: dict[str, Any] = {}
        self.is_last = self.name.startswith("00")
        self.asks = "LOG" in self.defaults

    def state(self) -> dict[str, str]:
        """Return a hash of each thing that the results follow from, and of what is published."""
        hashes = {
            "notebook": _hash(self.cells),
            "parameters": _hash(self.given),
            "package or a library": _code_hash(),
            "published files": _hash(_contents(self.figures, self._listed())),
        }
        for file in self._read_files():
            if os.path.isfile(file) and file.stat().st_size:
                hashes[f"{file.parent.name}/{file.name}"] = _file_hash(file)
        return hashes

    def _read_files(self) -> list[Path]:
        """Files that the notebook may read: data, those that parameters name, others' results."""
        files = [*self.notebook.parents[1].glob("data/*/manifest.json")]
        values = self.defaults | self.given
        values.pop("LOG", None)  # it is what it writes
        for value in values.values():
            if isinstance(value, str):
                file = self.notebook.parent / value
                files += [file, Path(f"{file}-wal")]  # rows wait beside a log
        if self.is_last:
            files += set(self.figures.glob("results/*.json")) - {self.results}
        return files

    def reason(self) -> str:
        """Return why the notebook has to run; an empty text where nothing changed."""
        if not (self.record.is_file() and self.executed.is_file()):
            return "no earlier run"
        differing = _read(self.record).items() ^ self.state().items()
        names = sorted({name for name, _ in differing})
        return f"changed: {', '.join(names)}" if names else ""

    def run(self, kernels: type, on_cell: Callable[..., None]) -> list[str]:
        """Execute the notebook, and publish what it wrote once all of it has ended well.

        Parameters
        ----------
        kernels : type
            The kernel manager.
        on_cell : callable
            Called before each cell.

        Returns
        -------
        list of str
            Notes that it printed, such as warnings.

        Raises
        ------
        MedcalError
            If a cell fails, with its number and the path of the executed copy.
        """
        state = self.state()  # before it runs: what changes meanwhile is a change
        self.record.unlink(missing_ok=True)
        if self.given:  # what lies there may be of other answers
            for name in self._listed():
                (self.figures / name).unlink(missing_ok=True)
        stage = self.work / "running" / self.name
        shutil.rmtree(stage, ignore_errors=True)
        out = stage / "out"
        out.mkdir(parents=True)
        copy = stage / self.notebook.name
        given = self.given | {"OUT": str(out)}
        limit = None if self.asks and self.given else _LONGEST
        execute_notebook(
            self.notebook,
            copy,
            given,
            kernels=kernels,
            on_cell=on_cell,
            seconds=limit,
        )
        notes, page = finish_notebook(copy)
        head = f"Executed [{self.name}](../notebooks/{self.notebook.name}), without its code."
        (out / f"{self.name}.md").write_text(f"{head}\n\n{page}\n", encoding="utf-8")
        self._publish(out)
        os.replace(copy, self.executed)
        state["published files"] = _hash(_contents(self.figures, self._listed()))
        _write(self.record, state)
        shutil.rmtree(stage)
        return notes

    def _listed(self) -> list[str]:
        """Names of published files: those that the results list, and the results; no others."""
        if not self.results.is_file():
            return []
        names = _read(self.results).get("files")
        if names is None:
            raise _not_ours(self.results)
        inside = [n for n in names if not {"..", "/"} & {*Path(n).parts}]
        return [*inside, f"results/{self.results.name}"]

    def _publish(self, out: Path) -> None:
        """Replace what is published by what a run wrote, if it differs.

        Results are written before the files that they list: a run killed here is not taken for a
        whole one. A file that no results list is never replaced.
        """
        results = out / "results" / self.results.name
        if not results.is_file():
            raise MedcalError("no results were written: end it with out.close()")
        now = _read(results)
        results.unlink()
        everything = [file.relative_to(out) for file in sorted(out.rglob("*.*"))]
        files = [str(file) for file in everything if ".sqlite" not in file.name]
        drawing = [self.cells, _code_hash(_DRAWING), version("matplotlib")]
        now |= {"drawn_from": _hash(drawing), "files": _contents(out, files)}
        listed = self._listed()
        for name in files:
            if name not in listed and (self.figures / name).exists():
                raise _not_ours(self.figures / name)
        if self._is_published(now, out):
            return
        for name in set(listed[:-1]) - set(files):
            (self.figures / name).unlink(missing_ok=True)
        _write(self.results, now)
        for name in files:
            shutil.move(out / name, self.figures / name)

    def _is_published(self, now: dict, out: Path) -> bool:
        """Whether what a run wrote is there already, but for the rounding of a processor."""
        if not self.results.is_file():
            return False
        before = _read(self.results)
        files = before["files"]
        return (
            all(before.get(part) == now[part] for part in ("drawn_from", "parameters"))
            and files.keys() == now["files"].keys()
            and files == _contents(self.figures, files)
            and not compare_results(before, now, tolerance=1e-9)
            and all(same_text(self.figures / name, out / name) for name in files)
        )


def steps_of(
    chosen: Sequence[str] = (),
    *,
    assignments: Sequence[str] = (),
    profile: str = "",
    to: str | Path = "",
    root: Path = ROOT,
) -> list[Step]:
    """Return the steps of a study; none of them has run.

    Parameters
    ----------
    chosen : sequence of str
        Numbers (``4`` or ``04``) or names of notebooks; all if empty, or those that have one of
        the parameters set here.
    assignments : sequence of str
        ``NAME=VALUE``, the value as JSON or a plain text.
    profile : str
        Name of a file of ``notebooks/params``, or a path: values of parameters as YAML; its
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
    values = _profile(profile, root) if profile else {}
    numbers = values.pop("NOTEBOOKS", ())
    figures, work = _places(root, profile, bool(assignments), to)
    paths = sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    steps = [Step(path, figures, work) for path in paths]
    if not steps:
        raise MedcalError(f"{root}: no notebooks/ there: clone the repository")
    for name in values:
        check_known(name, _parameters(steps), "parameter")
    words = {Path(str(word)).stem.zfill(2) for word in chosen or numbers}
    for word in words - {step.name[:2] for step in steps}:
        check_known(word, [step.name for step in steps], "notebook")
    if words:
        steps = [step for step in steps if words & {step.name, step.name[:2]}]
    known = _parameters(steps)
    for text in assignments:
        name, _, value = text.partition("=")
        check_known(name, known, "parameter")
        values[name] = _parsed(value, known[name])
    for step in steps:
        step.given = _given(step, values)
    if values and not words:
        steps = [step for step in steps if step.given]
    for step in steps:
        if "RESULTS" in step.defaults and figures != root / "figures":
            step.given.setdefault("RESULTS", str(figures / "results"))
    return steps


def run_study(
    steps: Sequence[Step], *, force: bool = False, plan_only: bool = False
) -> dict[str, str]:
    """Run the notebooks that are stale, side by side; last the one that sums up.

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

    Raises
    ------
    MedcalError
        If another study runs one of the notebooks.
    """
    outcomes: dict[str, str] = {}
    for is_last in (False, True):
        stale = []
        for step in steps:
            if step.is_last != is_last:
                continue
            reason = "--force" if force else step.reason()
            if plan_only and is_last and set(outcomes.values()) - {"unchanged"}:
                reason = reason or "others run"
            outcomes[step.name] = f"runs: {reason}" if reason else "unchanged"
            if reason:
                stale.append(step)
        if stale and not plan_only:
            outcomes |= _run_side_by_side(stale)
    return outcomes


def verify_study(
    chosen: Sequence[str] = (), *, root: Path = ROOT
) -> dict[str, list[str]]:
    """Run notebooks again in ``build/verify`` and compare their results with the published ones.

    Numbers may differ by 1e-6 or, where models are asked, by less than a twentieth of the width of
    their interval.

    Parameters
    ----------
    chosen : sequence of str
        As in `steps_of`.
    root : Path
        The checkout.

    Returns
    -------
    dict
        Where each notebook differs, a line each, by name.

    Raises
    ------
    MedcalError
        If a notebook fails.
    FileNotFoundError
        If it was never published.
    """
    steps = steps_of(chosen, to=root / "build" / "verify", root=root)
    folder = root / "figures" / "results"
    published = {step: _read(folder / step.results.name) for step in steps}
    for name, outcome in run_study(steps, force=True).items():
        if not outcome.startswith("ran"):
            raise MedcalError(f"{name} {outcome}")
    return {
        step.name: compare_results(before, _read(step.results), asks=step.asks)
        for step, before in published.items()
    }


# --- executing ------------------------------------------------------------------------------------


def _run_side_by_side(steps: Sequence[Step]) -> dict[str, str]:
    """Run notebooks, a few at a time; return what became of each."""
    from tqdm import tqdm

    first = steps[0]
    asks = any(step.asks and step.given for step in steps)
    kernels = kernel_manager(first.work, first.notebook.parent, one_thread=not asks)
    total = sum(len(step.cells) for step in steps)
    bar = tqdm(total=total, unit="cell", leave=False, disable=None)
    with contextlib.ExitStack() as stack:
        for step in steps:
            stack.enter_context(_lock(step))
        stack.enter_context(bar)
        pool = stack.enter_context(ThreadPoolExecutor(_AT_ONCE))
        tasks = {one.name: pool.submit(_carry_out, one, kernels, bar) for one in steps}
        try:
            wait(tasks.values())
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            while wait(tasks.values(), timeout=0.2).not_done:
                kernels.end_all()
            raise
    return {name: task.result() for name, task in tasks.items()}


def _carry_out(step: Step, kernels: Any, bar: Any) -> str:
    """Run a notebook; return what became of it."""
    started = time.monotonic()
    cells = iter(range(1, len(step.cells) + 2))  # one more holds the parameters

    def on_cell(*_: Any, **__: Any) -> None:
        bar.update()
        bar.set_postfix_str(f"{step.name}: cell {next(cells)}/{len(step.cells) + 1}")

    try:
        notes = step.run(kernels, on_cell)
        outcome = f"ran in {time.monotonic() - started:.0f} s"
    except MedcalError as error:
        notes = []
        outcome = f"failed: {error}"
    for line in dict.fromkeys([*notes, outcome]):
        bar.write(f"{step.name}: {line}", file=sys.stderr)
    return outcome


# --- names, values, places ------------------------------------------------------------------------


def _profile(profile: str, root: Path) -> dict[str, Any]:
    """Values of parameters that a YAML file holds."""
    from papermill.iorw import read_yaml_file

    path = Path(profile)
    if path.suffix != ".yaml":
        folder = root / "notebooks" / "params"
        check_known(profile, [file.stem for file in folder.glob("*.yaml")], "profile")
        path = folder / f"{profile}.yaml"
    return read_yaml_file(str(path)) or {}


def _literals(source: str) -> dict[str, Any]:
    """Values by name of a parameters cell, but for where it writes."""
    values = {}
    for line in ast.parse(source).body:
        if isinstance(line, ast.Assign):
            name = ast.unparse(line.targets[0])
            values[name] = ast.literal_eval(line.value)
    values.pop("OUT", None)
    return values


def _parameters(steps: Iterable[Step]) -> dict[str, Any]:
    """Names and values of all parameters of notebooks."""
    values: dict[str, Any] = {}
    for step in steps:
        values |= step.defaults
    return values


def _parsed(text: str, default: Any) -> Any:
    """The value that a text stands for: never code."""
    if isinstance(default, str):
        return text.strip('"')
    with contextlib.suppress(ValueError):
        return json.loads(text)
    return text


def _given(step: Step, values: dict[str, Any]) -> dict[str, Any]:
    """Those values that a notebook has as parameters, each of the kind that it has there."""
    given = {name: values[name] for name in step.defaults.keys() & values.keys()}
    for name, value in given.items():
        default = step.defaults[name]
        kinds = (int, float) if isinstance(default, float) else (type(default),)
        if type(value) not in kinds:
            raise MedcalError(f"{name} = {value!r}: of another kind than {default!r}")
        if type(value) is str and (os.path.isfile(value) or value.endswith(".sqlite")):
            given[name] = os.path.abspath(value)  # notebooks run in their folder
    return given


def _places(root: Path, profile: str, is_trial: bool, to: str | Path) -> list[Path]:
    """Folders of what a study publishes and of its work; other values never go to figures/."""
    if to:
        figures = Path(to).expanduser().resolve()
        if figures == root / "figures":
            raise MedcalError(f"--to {to}: is the study's own: name another folder")
        return [figures, root / "build" / "to" / _hash(str(figures))]
    name = "trial" if is_trial else Path(profile).stem
    if name:
        return [root / "build" / name, root / "build" / name / "work"]
    return [root / "figures", root / "build" / "study"]


# --- files ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _lock(step: Step) -> Iterator[None]:
    """Hold the lock of a notebook in its folder; the system lets it go after a kill."""
    import fcntl

    step.work.mkdir(parents=True, exist_ok=True)
    with open(step.work / f"{step.name}.lock", "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise MedcalError(f"{step.name}: another study runs it: wait") from None
        yield


@cache
def _code_hash(names: Sequence[str] = ()) -> str:
    """Hash of the package and of libraries below it, or of some of its files."""
    hashes = []
    for path in sorted(_PACKAGE.rglob("*.*")):
        place = path.relative_to(_PACKAGE)
        is_used = str(place) in names if names else place.parts[0] not in _APART
        if is_used and path.is_file() and path.suffix != ".pyc":
            hashes.append(_file_hash(path))
    return _hash(hashes + [version(library) for library in _LIBRARIES if not names])


def _not_ours(path: Path) -> MedcalError:
    return MedcalError(f"{path}: no study wrote it: move it away, or use --to")


def _contents(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Hashes of those files of a folder that are there."""
    files = {name: folder / name for name in names}
    return {name: _file_hash(file) for name, file in files.items() if file.is_file()}


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _file_hash(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise MedcalError(f"{path}: is damaged, no JSON: remove it") from None


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    text = json.dumps(content, indent=1, ensure_ascii=False)
    part.write_text(f"{text}\n", encoding="utf-8")
    os.replace(part, path)
