"""The steps of the study: which are stale, and how what they wrote is published."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from medcal_nb.errors import MedcalError, check_known
from medcal_nb.files import file_hash, new_file
from medcal_nb.run.compare import compare_results
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
_DRAWING = ("house.mplstyle", "labels.py", "labels.toml", "notebook.py", "plots.py")
_KINDS = (".csv", ".md", ".png", ".svg")


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
        The executed copy, also of a run that failed.
    record : Path
        What the last whole run was made from; written last.
    page : str
        File name of the executed notebook without its code.
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
        self.page = f"{self.name}.md"
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
        names = [*self._published()["files"], f"results/{self.results.name}"]
        hashes = {
            "notebook": _hash(self.cells),
            "parameters": _hash(self.given),
            "package or a library": _code_hash(),
            "published files": _hash(_contents(self.figures, names)),
        }
        files = [*self.notebook.parents[1].glob("data/*/manifest.json")]
        values = self.defaults | self.given | {"LOG": None}  # it is what it writes
        for value in values.values():
            if isinstance(value, str):
                file = self.notebook.parent / value
                files += [file, Path(f"{file}-wal")]  # rows wait beside a log
        if self.is_last:
            files += set(self.figures.glob("results/*.json")) - {self.results}
        for file in files:
            if os.path.isfile(file) and file.stat().st_size:
                hashes[f"{file.parent.name}/{file.name}"] = file_hash(file)
        return hashes

    def reason(self) -> str:
        """Return why the notebook has to run; an empty text where nothing changed."""
        if not (self.record.is_file() and self.executed.is_file()):
            return "no earlier run in this checkout"
        differing = _read(self.record).items() ^ self.state().items()
        names = sorted({name for name, _ in differing})
        return f"changed: {', '.join(names)}" if names else ""

    def run(self, kernels: type) -> list[str]:
        """Execute the notebook, and publish what it wrote once all of it has ended well.

        Parameters
        ----------
        kernels : type
            The kernel manager.

        Returns
        -------
        list of str
            The warnings that stand on its page: "Note: …".

        Raises
        ------
        MedcalError
            If a cell fails, with its number and the path of the executed copy.
        """
        state = self.state()  # before it runs: what changes meanwhile is a change
        self.record.unlink(missing_ok=True)
        if self.given:  # what lies there may be of other answers
            for name in self._published()["files"]:
                (self.figures / name).unlink(missing_ok=True)
            self.results.unlink(missing_ok=True)
        with TemporaryDirectory(dir=self.work) as stage:
            execute_notebook(
                self.notebook,
                self.executed,
                self.given | {"OUT": stage},
                kernels=kernels,
                seconds=None if self.asks and self.given else _LONGEST,
            )
            page = finish_notebook(self.executed)
            head = f"Executed [{self.name}](../notebooks/{self.notebook.name}), without its code."
            Path(stage, self.page).write_text(f"{head}\n\n{page}\n", encoding="utf-8")
            self._publish(Path(stage))
        published = self.state()["published files"]
        _write(self.record, state | {"published files": published})
        return re.findall("(?m)^ *(Note: .*)$", page)

    def _published(self) -> dict[str, Any]:
        """The published results: only what they list is ever replaced or removed."""
        if not self.results.is_file():
            return {"files": {}}
        results = _read(self.results)
        names = results.get("files", ["/"])
        if not all(re.fullmatch(r"\w[\w.-]*", name) for name in names):
            raise _not_ours(self.results)
        return results

    def _publish(self, out: Path) -> None:
        """Replace what is published by what a run wrote, if it differs.

        Results are written before the files that they list: a run killed here is not taken for a
        whole one.
        """
        results = out / "results" / self.results.name
        if not results.is_file():
            raise MedcalError("no results were written: end it with out.close()")
        files = sorted(path.name for path in out.iterdir() if path.suffix in _KINDS)
        before = self._published()
        for name in set(files) - set(before["files"]):
            if (self.figures / name).exists():
                raise _not_ours(self.figures / name)
        drawing = [file_hash(_PACKAGE / name)[:16] for name in _DRAWING]
        drawn_from = [self.cells, _hash(drawing), version("matplotlib")]
        now = _read(results)
        now |= {"drawn_from": _hash(drawn_from), "files": _contents(out, files)}
        if self._is_published(before, now):
            return
        for name in set(before["files"]) - set(files):
            (self.figures / name).unlink(missing_ok=True)
        _write(self.results, now)
        for name in files:
            with new_file(self.figures / name, force=True) as part:
                part.write_bytes((out / name).read_bytes())

    def _is_published(self, before: dict, now: dict) -> bool:
        """Whether what a run wrote is there already, but for the rounding of a processor."""
        return (
            before.get("drawn_from") == now["drawn_from"]
            and before["files"].get(self.page) == now["files"][self.page]
            and before["files"] == _contents(self.figures, before["files"])
            and not compare_results(before, now, tolerance=1e-9)
        )


def steps_of(
    chosen: Sequence[str] = (),
    *,
    assignments: Mapping[str, Any] | None = None,
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
    assignments : dict, optional
        Values of parameters by name; a text is read as JSON where the parameter is no text.
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
        If a notebook, a profile or a parameter is unknown, a value is of another kind than the
        parameter, or there are no results to sum up.
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
    for name in assignments or ():
        check_known(name, _parameters(steps), "parameter")
    values |= assignments or {}
    for step in steps:
        step.given = _given(step, values)
    if values and not words:
        steps = [step for step in steps if step.given]
    if figures != root / "figures":
        _sum_up(steps, figures / "results")
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
        wave = [step for step in steps if step.is_last == is_last]
        for step in wave:
            reason = "--force" if force else step.reason()
            if plan_only and is_last and set(outcomes.values()) - {"unchanged"}:
                reason = reason or "others run"
            outcomes[step.name] = f"runs: {reason}" if reason else "unchanged"
        stale = [step for step in wave if outcomes[step.name] != "unchanged"]
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
    import fcntl

    asks = any(step.asks and step.given for step in steps)
    folder = steps[0].notebook.parent
    kernels = kernel_manager(folder, steps[0].work, one_thread=not asks)
    with contextlib.ExitStack() as stack:
        for step in steps:
            step.work.mkdir(parents=True, exist_ok=True)
            # the system lets go of it after a kill
            lock = stack.enter_context(step.record.with_suffix(".lock").open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise MedcalError(f"{step.name}: another study runs it: wait") from None
        pool = stack.enter_context(ThreadPoolExecutor(_AT_ONCE))
        tasks = {step.name: pool.submit(_carry_out, step, kernels) for step in steps}
        try:
            return {name: task.result() for name, task in tasks.items()}
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            while wait(tasks.values(), timeout=0.2).not_done:
                kernels.end_all()
            raise


def _carry_out(step: Step, kernels: Any) -> str:
    """Run a notebook; return what became of it."""
    from tqdm import tqdm

    started = time.monotonic()
    notes = []
    try:
        notes = step.run(kernels)
        outcome = f"ran in {time.monotonic() - started:.0f} s"
    except MedcalError as error:
        outcome = f"failed: {error}"
    for line in dict.fromkeys([*notes, outcome]):
        tqdm.write(f"{step.name}: {line}", file=sys.stderr)
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


def _given(step: Step, values: dict[str, Any]) -> dict[str, Any]:
    """Those values that a notebook has as parameters, each of the kind that it has there."""
    given = {}
    for name in step.defaults.keys() & values.keys():
        value = values[name]
        default = step.defaults[name]
        if isinstance(value, str) and not isinstance(default, str):
            with contextlib.suppress(ValueError):
                value = json.loads(value)
        kinds = (int, float) if isinstance(default, float) else (type(default),)
        if type(value) not in kinds:
            raise MedcalError(f"{name} = {value!r}: of another kind than {default!r}")
        if type(value) is str and (os.path.isfile(value) or value.endswith(".sqlite")):
            value = os.path.abspath(value)  # notebooks run in their folder
        given[name] = value
    return given


def _sum_up(steps: Sequence[Step], results: Path) -> None:
    """Let the notebook that sums up others read what these published beside it."""
    for step in steps:
        if "RESULTS" in step.defaults.keys() - step.given.keys():
            step.given["RESULTS"] = str(results)
            if len(steps) == 1 and not any(results.glob("*.json")):
                raise MedcalError(
                    f"{results}: no results for {step.name} to sum up: run the other notebooks "
                    "first, with the same --to, --profile and -p"
                )


def _places(root: Path, profile: str, is_trial: bool, to: str | Path) -> list[Path]:
    """Folders of what a study publishes and of its work; other values never go to figures/."""
    if to:
        figures = Path(to).expanduser().resolve()
        if figures == root / "figures":
            raise MedcalError(f"--to {to}: is the study's own: name another folder")
        return [figures, root / "build" / "to" / _hash(str(figures))]
    name = "trial" if is_trial else Path(profile).stem
    work = root / "build" / (name or "study")
    return [work if name else root / "figures", work]


# --- files ----------------------------------------------------------------------------------------


@cache
def _code_hash() -> str:
    """Hash of the package, but for what no notebook imports, and of libraries below it."""
    hashes = [version(library) for library in _LIBRARIES]
    for path in sorted(_PACKAGE.rglob("*.*")):
        room = path.relative_to(_PACKAGE).parts[0]
        if room not in _APART and path.is_file() and path.suffix != ".pyc":
            hashes.append(file_hash(path))
    return _hash(hashes)


def _not_ours(path: Path) -> MedcalError:
    return MedcalError(f"{path}: no study wrote it: move it away, or use --to")


def _contents(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Hashes of those files of a folder that are there."""
    files = [name for name in names if (folder / name).is_file()]
    return {name: file_hash(folder / name)[:16] for name in files}


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise MedcalError(f"{path}: is damaged, no JSON: remove it") from None


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1, ensure_ascii=False)
    with new_file(path, force=True) as part:
        part.write_text(f"{text}\n", encoding="utf-8")
