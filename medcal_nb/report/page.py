"""The page, its numbers and its tables as files: written whole, or not at all."""

from __future__ import annotations

import base64
import platform
import warnings
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl
import pandas as pd
from tqdm import tqdm

from medcal_nb.answers import (
    in_order,
    load_answers,
    our_names,
    without_formulas,
    write_undecided,
)
from medcal_nb.answers.recorded import recorded_entry, recorded_names
from medcal_nb.answers.together import together
from medcal_nb.certify.check import quoted
from medcal_nb.errors import MedcalError, NotEnough, check_known
from medcal_nb.files import PathLike, file_hash, new_folder
from medcal_nb.measure import Bootstrap
from medcal_nb.measure.rows import images_counted, images_known, measured
from medcal_nb.plots import STYLE
from medcal_nb.report import parts
from medcal_nb.report.checks import with_checks
from medcal_nb.report.sections import Judged, Section, lead, sections_of
from medcal_nb.wording import latex_table, show

_HERE = Path(__file__).parent
_NO_FOLDER = (".pdf", ".html", ".htm", ".docx", ".md", ".tex", ".json", ".csv", ".zip")


class ReportWarning(UserWarning):
    """What a report assumed, left out or could not compute."""


def write_report(
    file: PathLike,
    to: PathLike,
    *,
    force: bool = False,
    ci: Bootstrap = Bootstrap(),
    group: Sequence[str] = (),
    transfer_from: str = "",
    beside: PathLike = "",
    checked: PathLike | None = None,
    images: PathLike | None = None,
    **columns: Any,
) -> Path:
    """Write one page on a file of answers into a folder, whole or not at all.

    Parameters
    ----------
    file : path or str
        As of :func:`medcal_nb.answers.load_answers`.
    to : path
        Folder of ``report.html``, ``report.json`` with every number, ``figures`` and ``tables``
        (CSV, and LaTeX as on the page).
    force : bool
        Replace a report that is there as it was written; never a folder that holds anything else.
    ci : Bootstrap
        Of the intervals.
    group : sequence of str
        Columns that make subgroups; if empty modality, question type and data set.
    transfer_from : str
        Query of the answers that a recalibration map is fitted on; the others are judged. If
        empty, general answers where there are general and medical ones.
    beside : path or str, optional
        Answers of others, such as ``vlcb``: the models of the file are compared with each of these
        on the questions that both answered.
    checked : path, optional
        A sheet of `medcal check` with a person's grades of a random share of the answers.
    images : path, optional
        Folder that paths in a column ``image`` are of: images of the surest errors are then on
        the page, which can be sent to others.
    **columns
        As of :func:`medcal_nb.answers.load_answers`.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    MedcalError
        If the file cannot be read without guessing, a column is not there, a query fits nothing,
        or the folder holds something else.

    Warns
    -----
    ReportWarning
        Everything that the page says was assumed or left out.
    """
    if Path(to).suffix.lower() in _NO_FOLDER:
        raise MedcalError(f"{to}: a report is a folder: name one without an ending")
    with (
        new_folder(to, force=force) as folder,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=UserWarning, module="medcal_nb")
        answers = in_order(load_answers(file, **columns))
        certificate = quoted(Path(file), answers) if Path(file).is_file() else []
        group = our_names(answers, group)
        for name in group:
            check_known(name, answers.columns, "column")
        if checked:
            answers = with_checks(answers, checked)
        compared = None
        paired: list[str] = []
        if beside:
            others = load_answers(beside)
            compared = parts.in_common(
                together({str(beside): others, str(file): answers}), answers
            )
            paired = parts.pairing(answers, others, Path(beside).stem)
        entries = parts.entries(answers)
        source, judged, notes = parts.sides(entries, transfer_from)
        notes += paired
        facts = _facts(str(file), answers, judged) | {"certificate": certificate}
        report = Judged(judged, source, facts, ci, group, compared, images)
        sections = _computed(report)
        for warning in caught:
            notes.append(str(warning.message))
        notes += write_undecided(answers, to, file)
        notes = [*dict.fromkeys([*answers.attrs["assumed"], *notes])]
        facts["notes"] = notes
        _write(folder, report, {"lead": lead(report)} | sections)
    for line in notes:
        warnings.warn(line, ReportWarning, stacklevel=2)
    return Path(to) / "report.html"


def _facts(file: str, answers: pd.DataFrame, judged: pd.DataFrame) -> dict[str, Any]:
    """What is known of a file, of its answers and of those that are judged."""
    libraries = ("medcal-nb", "numpy", "scipy", "pandas")
    versions = {name: version(name) for name in libraries}
    versions["Python"] = platform.python_version()
    entry = {"citation": "unpublished", "source": "", "sha256": ""}
    if file in recorded_names():
        entry = recorded_entry(file)
    return {
        "file": Path(file).name,
        "sha256": entry["sha256"] or file_hash(file),
        "citation": f"{entry['citation']} {entry['source']}".strip(),
        "n_read": len(answers),
        "grading": answers.attrs.get("grading", ""),
        "grade_from": parts.counted(judged, "correct", "grade_from"),
        "confidence_from": parts.counted(judged, "confidence", "confidence_from"),
        "unit": "image" if images_known(judged) else "answer",
        "units": images_counted(measured(judged)),
        "date": date.today().isoformat(),
        "versions": versions,
    }


def _computed(report: Judged) -> dict[str, Section]:
    """Every section by name; one that these answers do not allow says why."""
    sections = {}
    writers = sections_of(report).items()
    for name, write in tqdm(writers, "report", unit="part", disable=None):
        try:
            section = write(report)
            sections[name] = section._replace(caption=_of_rows(section))
        except NotEnough as error:
            title = name.replace("_", " ").capitalize()
            sections[name] = Section(title, [f"Not computed: {error}."])
    return sections


def _of_rows(section: Section) -> str:
    """The caption of a table, which says whether all of it is on the page."""
    n = 0 if section.table is None else len(section.table)
    if n <= section.most:
        return section.caption
    return f"{section.caption} The first {section.most} of {n} rows; all are in its CSV file."


# --- files --------------------------------------------------------------------------------


def _write(folder: Path, report: Judged, sections: dict[str, Section]) -> None:
    """Write page, numbers, tables and figures."""
    for name in ("figures", "tables"):
        (folder / name).mkdir()
    numbers = {}
    tables = {}
    pictures = {}
    for name, section in sections.items():
        if section.figure is not None:
            path = folder / "figures" / f"{name}.png"
            with mpl.style.context(STYLE):  # what is saved follows it, too
                for ending in (".png", ".svg", ".pdf"):
                    section.figure.savefig(path.with_suffix(ending), transparent=True)
                    section.figure.set_layout_engine("none")  # it is laid out once
            pictures[name] = base64.b64encode(path.read_bytes()).decode()
        table = section.table
        if table is None:
            continue
        path = folder / "tables" / f"{name}.csv"
        without_formulas(table).to_csv(path, index=False)
        numbers[name] = table.to_dict("records")
        if section.columns and len(table):
            tables[name] = shown(section, table)
            head, rows = tables[name]
            path.with_suffix(".tex").write_text(latex_table(head, rows), "utf-8")
    everything = pd.Series(report.facts | {"tables": numbers})
    everything.to_json(
        folder / "report.json",
        double_precision=15,
        force_ascii=False,
        indent=1,
    )
    loader = jinja2.FileSystemLoader(_HERE)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True)
    text = environment.get_template("page.jinja").render(
        title=f"Calibration of {report.title}",
        style=(_HERE / "report.css").read_text("utf-8"),
        sections=sections,
        tables=tables,
        pictures=pictures,
    )
    (folder / "report.html").write_text(text, encoding="utf-8")


def shown(section: Section, table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """A section's table as people read it: its head and its rows."""
    # equal numbers that were added up in another order are rounded alike
    known = table.round(12)
    if "p_holm" in table:  # which may be smaller than that
        known["p_holm"] = table["p_holm"]
    columns = [name for name in section.columns if _holds(known, name)]
    texts = show(known[: section.most], columns)
    # an interval stands on one line
    texts = texts.replace(r"\[(\S+), (\S+)\]$", "[\\1,\u00a0\\2]", regex=True)
    head = list(texts)
    rows = texts.to_numpy().tolist()
    if section.is_turned:
        head, *rows = [list(row) for row in zip(head, *rows, strict=True)]
    return head, rows


def _holds(table: pd.DataFrame, column: str) -> bool:
    """Whether a column, or the bounds that it names, hold anything."""
    name = column.replace("_bounds", "_least")
    return name in table and bool(table[name].notna().any())
