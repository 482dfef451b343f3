"""The study: its notebooks through papermill where something changed, published whole or not."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import logging
import math
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from medcal_nb.errors import MedcalError, NotEnough, did_you_mean

ROOT = Path(os.environ.get("MEDCAL_ROOT") or Path(__file__).parents[1]).resolve()
"""The checkout: notebooks/, data/ and figures/ lie in it (``MEDCAL_ROOT`` names another)."""

_AT_ONCE = 2
_LIBRARIES = ("numpy", "scipy", "pandas", "matplotlib", "seaborn")
# what no notebook imports, and what alone decides how figures and tables look
_APART = ("cli", "reader", "run.py")
_DRAWING = ("plots.py", "notebook.py", "labels.py", "labels.toml", "house.mplstyle")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
# figures are drawn inline whatever this shell prefers, and libraries keep quiet
_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}
# sums depend on the number of threads; a large model asked live can't do with one
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_ONE_THREAD = {name: "1" for name in ("HF_HUB_OFFLINE", *_THREADS)}
# a warning is a line for a reader, without the place in the code that gave it
_STARTUP = """\
import warnings
warnings.showwarning = lambda m, *_, **__: print("Note:", " ".join(str(m).split()))
"""


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
        cells = _read(notebook)["cells"]
        self.cells = ["".join(cell["source"]) for cell in cells]
        self.defaults = {
            ast.unparse(line.targets[0]): ast.literal_eval(line.value)
            for source, cell in zip(self.cells, cells, strict=True)
            if "parameters" in cell["metadata"].get("tags", ())
            for line in ast.parse(source).body
            if isinstance(line, ast.Assign)
        }
        self.defaults.pop("OUT", None)
        self.given: dict[str, Any] = {}
        self.is_last = self.name.startswith("00")
        self.asks = "LOG" in self.defaults

    def state(self) -> dict[str, str]:
        """Return a hash of each thing that the results follow from, and of what is published."""
        values = self.defaults | self.given | {"LOG": ""}  # a log is what it writes
        texts = [value for value in values.values() if isinstance(value, str)]
        files = [self.notebook.parent / text for text in texts]
        files += [Path(f"{file}-wal") for file in files]  # rows that wait beside a log
        files += self.notebook.parents[1].glob("data/*/manifest.json")
        if self.is_last:
            files += set(self.figures.glob("results/*.json")) - {self.results}
        hashes = {
            f"{file.parent.name}/{file.name}": _file_hash(file)
            for file in files
            if os.path.isfile(file) and file.stat().st_size
        }
        hashes["notebook"] = _hash(self.cells)
        hashes["parameters"] = _hash(self.given)
        hashes["package or a library"] = _code_hash()
        hashes["published files"] = _hash(_contents(self.figures, self._listed()))
        return hashes

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
        _execute(self.notebook, copy, self.given | {"OUT": str(out)}, kernels, on_cell)
        notes, page = _finish(copy)
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
            and all(_same_text(self.figures / name, out / name) for name in files)
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
    known: dict[str, Any] = {}
    for step in steps:
        known |= step.defaults
    values |= dict(_assignment(text, known) for text in assignments)
    for name in values:
        _check_name(name, known, "parameter")
    words = {Path(str(word)).stem.zfill(2) for word in chosen or numbers}
    for word in words - {step.name[:2] for step in steps}:
        _check_name(word, [step.name for step in steps], "notebook")
    for step in steps:
        _give(step, values, root)
    if words:
        return [step for step in steps if words & {step.name, step.name[:2]}]
    return [step for step in steps if not values or step.given.keys() & values.keys()]


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
        What became of each notebook, by name: "unchanged", "runs: …", "ran in 12 s", "left out: …"
        or "failed: …".

    Raises
    ------
    MedcalError
        If another study runs one of the notebooks.
    """
    outcomes: dict[str, str] = {}
    for is_last in (False, True):
        wave = [step for step in steps if step.is_last == is_last]
        reasons = {step.name: "--force" if force else step.reason() for step in wave}
        if plan_only and is_last and set(outcomes.values()) - {"unchanged"}:
            reasons = {name: reason or "others run" for name, reason in reasons.items()}
        stale = [step for step in wave if reasons[step.name]]
        outcomes |= {step.name: "unchanged" for step in wave}
        if plan_only:
            outcomes |= {one.name: f"runs: {reasons[one.name]}" for one in stale}
        elif stale:
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


def compare_results(
    published: dict, again: dict, *, tolerance: float = 1e-6, asks: bool = False
) -> list[str]:
    """Return where two runs differ in tables or, if not there, in findings: a line each.

    Parameters
    ----------
    published, again : dict
        Results of a notebook.
    tolerance : float
        How far a number may be off, relative to its size above 1.
    asks : bool
        Whether models were asked: a number may be off by a part of its interval.
    """
    before = _values_of(published["tables"])
    now = _values_of(again["tables"])
    lines = []
    for place in before | now:
        a, b = before.get(place), now.get(place)
        allowed = _width(before, place) / 20 if asks else 0
        if a != b and not _is_near(a, b, tolerance, allowed):
            lines.append(f"{place[0]}, row {place[1]}: {place[2]} {a}, now {b}")
    if not lines and not asks and published["findings"] != again["findings"]:
        lines.append("findings, in words")
    return lines


# --- executing ------------------------------------------------------------------------------------


def _run_side_by_side(steps: Sequence[Step]) -> dict[str, str]:
    """Run notebooks, a few at a time; return what became of each."""
    from tqdm import tqdm

    kernels = _kernels(steps)
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
        is_left_out = isinstance(error, NotEnough) and step.given
        outcome = f"{'left out' if is_left_out else 'failed'}: {error}"
    for line in dict.fromkeys([*notes, outcome]):
        bar.write(f"{step.name}: {line}", file=sys.stderr)
    return outcome


def _execute(
    notebook: Path, copy: Path, parameters: dict, kernels: type, on_cell: Callable
) -> None:
    """Execute a notebook into a copy, which is written after each cell."""
    import papermill
    from nbclient.exceptions import DeadKernelError

    logging.getLogger("papermill").setLevel(logging.CRITICAL + 1)  # we say it
    # papermill takes a path as a format string
    paths = [re.sub("([{}])", r"\1\1", str(path)) for path in (notebook, copy)]
    try:
        papermill.execute_notebook(
            *paths,
            parameters,
            kernel_name="python3",
            language="python",
            kernel_manager_class=kernels,
            start_timeout=180,
            shutdown_kernel="immediate",
            progress_bar=False,
            on_cell_start=on_cell,
        )
    except papermill.PapermillExecutionError as error:
        if error.ename == NotEnough.__name__:
            raise NotEnough(error.evalue) from None
        trace = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(error.traceback))
        lines = re.findall(r"(?m)^-+> *\d+ *(.*)$", trace)  # the first is the cell's
        raise MedcalError(
            f"cell In [{error.exec_count}], {' '.join(lines[:1])!r}: {error.ename}: "
            f"{error.evalue}; all of it in {copy}"
        ) from None
    except DeadKernelError:
        raise MedcalError("the kernel died: out of memory, or ended") from None


def _kernels(steps: Sequence[Step]) -> Any:
    """A manager of kernels that others on the machine can't listen to, and that can be ended."""
    from jupyter_client.manager import AsyncKernelManager

    ipython = steps[0].work / "ipython"
    startup = ipython / "profile_default" / "startup"
    startup.mkdir(parents=True, exist_ok=True)
    (startup / "notes.py").write_text(_STARTUP, encoding="utf-8")
    settings = os.environ | _ENVIRONMENT | {"IPYTHONDIR": str(ipython)}
    if not any(step.asks and step.given for step in steps):
        settings |= _ONE_THREAD
    running = []

    class Kernels(AsyncKernelManager):
        async def start_kernel(self, **options: Any) -> None:
            self.transport_encryption = "auto"
            options |= {"env": settings, "cwd": str(steps[0].notebook.parent)}
            await self._async_start_kernel(**options)
            running.append(self.provisioner.pid)

        @staticmethod
        def end_all() -> None:
            while running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(running.pop(), signal.SIGKILL)

    return Kernels


def _finish(executed: Path) -> tuple[list[str], str]:
    """Leave an executed notebook without local paths; return what it noted, and it as Markdown."""
    import nbformat
    from nbconvert import MarkdownExporter

    content = nbformat.read(executed, as_version=4)
    notes = []
    content.metadata.pop("papermill", None)
    for cell in content.cells:
        cell.metadata.pop("papermill", None)
        if "injected-parameters" in cell.metadata.get("tags", ()):
            cell.source = re.sub("(?m)^OUT = .*$", 'OUT = ""', cell.source)
    nbformat.write(content, executed)
    for cell in content.cells:
        if cell.cell_type == "code":
            for output in cell.outputs:
                notes += re.findall("(?m)^Note: .*$", output.get("text", ""))
            cell.outputs = [one for one in map(_on_page, cell.outputs) if one]
    page, _ = MarkdownExporter(exclude_input=True).from_notebook_node(content)
    return notes, re.sub(r"\n\s*\n\s*\n", "\n\n", page.strip())


def _on_page(output: Any) -> Any:
    """An output of a cell as it stands on a page; None where it has no place there."""
    data = output.get("data")
    if data is None:
        return output if output.get("name") == "stdout" else None
    if mark := output.metadata.get("medcal"):
        caption = re.sub(r"([^\w\s])", r"\\\1", mark["caption"])  # a name is no markup
        output.data = {"text/markdown": f"![{caption}]({mark['figure']})"}
    elif "text/html" in data:
        text = re.sub(r"(?s)<(style|script)\b.*?</\1>", "", data["text/html"])
        # a row of a table on one line
        text = re.sub(r"\s+(?=<(td|th|/tr)\b)", "", text)
        # an empty line would end the block, and $ begin a formula
        text = re.sub(r"\n\s*\n", "\n", text).strip().replace("$", "&#36;")
        output.data = {"text/html": text}
    elif any("widget" in kind for kind in data):
        return None
    return output


# --- comparing ------------------------------------------------------------------------------------

_Values = dict[tuple[str, int, str], Any]


def _values_of(tables: dict[str, list[dict]]) -> _Values:
    """Values of tables by table, row and column."""
    return {
        (table, i, column): value
        for table, rows in tables.items()
        for i, row in enumerate(rows, 1)
        for column, value in row.items()
    }


def _width(values: _Values, place: tuple[str, int, str]) -> float:
    """Width of the interval that stands beside a value; 0 without one."""
    table, row, column = place
    name = re.sub("_(low|high)$", "", column)
    low, high = (values.get((table, row, f"{name}_{end}")) for end in ("low", "high"))
    return 0 if low is None or high is None else high - low


def _is_near(a: Any, b: Any, relative: float, absolute: float = 0) -> bool:
    """Whether two numbers are the same but for a tolerance; sizes below 1 count as 1."""
    if not isinstance(a, int | float) or not isinstance(b, int | float):
        return False
    return abs(a - b) < max(relative * max(1, abs(a)), absolute)


def _same_text(before: Path, now: Path) -> bool:
    """Whether a CSV is the same but for the last of its six digits, a page but for its numbers.

    Both are written from tables that were compared already; pictures are drawn from them.
    """
    if now.suffix not in (".csv", ".md"):
        return True
    texts = [path.read_text(encoding="utf-8") for path in (before, now)]
    words, others = (_NUMBER.sub("#", text) for text in texts)
    if words != others or now.suffix == ".md":
        return words == others
    numbers = (map(float, _NUMBER.findall(text)) for text in texts)
    return all(math.isclose(a, b, rel_tol=1e-5) for a, b in zip(*numbers, strict=True))


# --- names, values, places ------------------------------------------------------------------------


def _check_name(name: str, known: Iterable[str], kind: str) -> None:
    """Refuse a name that is not known."""
    names = sorted(known)
    if name not in names:
        hint = did_you_mean(name, names)
        raise MedcalError(f"no {kind} {name!r}{hint}: there are {', '.join(names)}")


def _profile(profile: str, root: Path) -> dict[str, Any]:
    """Values of parameters that a YAML file holds."""
    from papermill.iorw import read_yaml_file

    path = Path(profile)
    if path.suffix != ".yaml":
        folder = root / "notebooks" / "params"
        _check_name(profile, [file.stem for file in folder.glob("*.yaml")], "profile")
        path = folder / f"{profile}.yaml"
    return read_yaml_file(str(path)) or {}


def _assignment(text: str, known: dict[str, Any]) -> tuple[str, Any]:
    """Name and value of a text ``NAME=VALUE``; the value is never code."""
    name, _, value = text.partition("=")
    if isinstance(known.get(name), str):
        return name, value.strip('"')
    with contextlib.suppress(ValueError):
        return name, json.loads(value)
    return name, value


def _give(step: Step, values: dict[str, Any], root: Path) -> None:
    """Give a step those values that its notebook has as parameters."""
    for name in step.defaults.keys() & values.keys():
        value = values[name]
        default = step.defaults[name]
        kinds = (int, float) if isinstance(default, float) else (type(default),)
        if default is not None and type(value) not in kinds:
            raise MedcalError(f"{name} = {value!r}: of another kind than {default!r}")
        if type(value) is str and (os.path.isfile(value) or value.endswith(".sqlite")):
            value = os.path.abspath(value)  # notebooks run in their folder
        step.given[name] = value
    if "RESULTS" in step.defaults and step.figures != root / "figures":
        step.given.setdefault("RESULTS", str(step.figures / "results"))


def _places(root: Path, profile: str, is_trial: bool, to: str | Path) -> list[Path]:
    """Folders of what a study publishes and of its work; other values never go to figures/."""
    name = "trial" if is_trial else Path(profile).stem
    figures = root / "build" / name if name else root / "figures"
    work = root / "build" / (f"{name}/work" if name else "study")
    if to:
        figures = Path(to).expanduser().resolve()
        work = root / "build" / "to" / _hash(str(figures))
        if figures == root / "figures":
            raise MedcalError(f"--to {to}: is the study's own: name another folder")
    return [figures, work]


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
    package = Path(__file__).parent
    files = [path for path in sorted(package.rglob("*.*")) if path.suffix != ".pyc"]
    relative = {path: path.relative_to(package) for path in files if path.is_file()}
    hashes = [
        _file_hash(path)
        for path, place in relative.items()
        if (str(place) in names if names else place.parts[0] not in _APART)
    ]
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
