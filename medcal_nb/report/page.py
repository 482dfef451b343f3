"""The page, its numbers and its tables as files: written whole, or not at all."""

from __future__ import annotations

import platform
import tomllib
import warnings
from collections.abc import Sequence
from datetime import date
from importlib.metadata import metadata, version
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import pandas as pd
from tqdm import tqdm

from medcal_nb.answers import load_answers, without_formulas, write_undecided
from medcal_nb.answers.recorded import recorded_entry, recorded_names
from medcal_nb.answers.together import together
from medcal_nb.errors import MedcalError, NotEnough, check_known
from medcal_nb.files import PathLike, file_hash, new_folder
from medcal_nb.labels import label_of
from medcal_nb.measure import Bootstrap
from medcal_nb.measure.rows import image_labels, images_known, measured
from medcal_nb.report import parts
from medcal_nb.report.sections import (
    SHOWN,
    SIDE_BY_SIDE,
    Judged,
    Section,
    heading,
    limits,
    p_value,
    quote,
    sections_of,
)
from medcal_nb.wording import as_latex, between, latex_table, show

_HERE = Path(__file__).parent
_NO_FOLDER = (".pdf", ".html", ".htm", ".docx", ".md", ".tex", ".json", ".csv", ".zip")
_NOTES = 8
_LONG = 24  # characters of a cell that may be broken anywhere
_WIDE = 8  # columns


class ReportWarning(UserWarning):
    """What a report assumed, left out or could not compute."""


class Shown(NamedTuple):
    """A table as texts, how many rows are left out, and the classes of its look."""

    head: list[str]
    rows: list[list[str]]
    more: str
    look: str


def write_report(
    file: PathLike,
    to: PathLike,
    *,
    force: bool = False,
    n_resamples: int = 2000,
    seed: int = 0,
    cluster: str = "",
    group: Sequence[str] = (),
    transfer_from: str = "",
    beside: PathLike = "",
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
    n_resamples, seed : int
        Bootstrap resamples, and the seed of their random numbers.
    cluster : str
        Column whose values are resampled (a patient); if empty the image, or the answer where
        images are not known.
    group : sequence of str
        Columns that make subgroups; if empty modality, question type and data set.
    transfer_from : str
        Query of the answers that a recalibration map is fitted on; the others are judged. If
        empty, general answers where there are general and medical ones.
    beside : path or str, optional
        Answers of others, such as ``vlcb``: the models of the file are compared with each of these
        on the questions that both answered.
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
    ci = Bootstrap(seed=seed, n=n_resamples)
    if Path(to).suffix.lower() in _NO_FOLDER:
        raise MedcalError(f"{to}: a report is a folder: name one without an ending")
    with (
        new_folder(to, force=force) as folder,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=UserWarning, module="medcal_nb")
        answers = load_answers(file, **columns)
        for name in filter(None, (cluster, *group)):
            check_known(name, answers.columns, "column")
        compared = None
        if beside:
            tables = {str(beside): load_answers(beside), str(file): answers}
            compared = parts.in_common(together(tables), answers)
        entries = parts.entries(answers, cluster)
        source, judged, left_out = parts.sides(entries, transfer_from)
        facts = _facts(str(file), answers, judged, cluster)
        facts |= {"n_resamples": n_resamples, "seed": seed, "missing": {}}
        report = Judged(judged, source, facts, ci, group, compared)
        sections = _computed(report)
        quoted = quote(report)
        left_out += [str(warning.message) for warning in caught]
        left_out += write_undecided(answers, to)
        notes = dict.fromkeys([*answers.attrs["assumed"], *left_out])
        facts["notes"] = list(notes)
        _write(folder, report, sections, quoted)
    for line in notes:
        warnings.warn(line, ReportWarning, stacklevel=2)
    return Path(to) / "report.html"


def _facts(
    file: str, answers: pd.DataFrame, judged: pd.DataFrame, cluster: str
) -> dict[str, Any]:
    """What is known of a file, of its answers and of those that are judged."""
    known = images_known(judged)
    asked = judged.groupby(image_labels(judged, "item_id"))["model"].nunique()
    libraries = ("medcal-nb", "numpy", "scipy", "pandas")
    versions = {name: version(name) for name in libraries}
    versions["Python"] = platform.python_version()
    entry = recorded_entry(file) if file in recorded_names() else {}
    return {
        "file": Path(file).name,
        "sha256": entry.get("sha256") or file_hash(file),
        "citation": entry.get("citation", ""),
        "url": entry.get("source", ""),
        "n_read": len(answers),
        "grading": answers.attrs.get("grading", {}),
        "unit": cluster or ("image" if known else "answer"),
        "n_units": len({*image_labels(judged)}) if known else 0,
        "n_common": int((asked == judged["model"].nunique()).sum()),
        "n_at_ends": int(measured(judged)["confidence"].isin([0, 1]).sum()),
        "date": date.today().isoformat(),
        "versions": versions,
    }


def _computed(report: Judged) -> dict[str, Section]:
    """Every section by name; one that these answers do not allow says why."""
    sections = {}
    parts = sections_of(report).items()
    for name, (title, write) in tqdm(parts, "report", unit="part", disable=None):
        try:
            section = write(report)
        except NotEnough as error:
            section = Section(sentences=[f"Not computed: {error}."])
            report.facts["missing"][name] = str(error)
        sections[name] = section._replace(title=title)
    return sections


# --- tables -------------------------------------------------------------------------------


def shown(section: Section, table: pd.DataFrame) -> Shown:
    """The texts of a section's table: the columns that hold something."""
    # equal numbers that were added up in another order are rounded alike
    table = table.round(12)
    cells = {}
    for column in section.columns:
        texts = _texts(table, column)
        if {*texts} - {"–"}:
            cells[heading(column)] = texts
    head = list(cells)
    rows = [list(row) for row in zip(*cells.values(), strict=True)]
    if section.is_turned:
        head, *rows = [list(row) for row in zip(head, *rows, strict=True)]
        return Shown(head, rows, "", "turned")
    looks = []
    if len(head) > _WIDE:
        looks.append("many")
    if len(rows) > _WIDE:
        looks.append("tall")
    more = ""
    if len(rows) > section.most:
        more = f"The first {section.most} of {len(rows)} rows; all are in its CSV file."
    return Shown(head, rows[: section.most], more, " ".join(looks))


def _texts(table: pd.DataFrame, column: str) -> list[str]:
    """A column as people read it; nothing is a dash."""
    if column.endswith("_bounds"):
        return between(table, column)
    if column not in table:
        return ["–"] * len(table)
    values = table[column]
    if column == "metric":
        return [heading(name) for name in values]
    if column == "p_holm":
        return [p_value(p).removeprefix("P = ").removeprefix("P ") for p in values]
    if pd.api.types.is_numeric_dtype(values):
        texts = show(table, [column]).iloc[:, 0].replace("0.0000", "0")
    else:
        texts = values.astype("str").fillna("–").str[:SHOWN]
        texts = texts.map(lambda text: label_of(text, column))
    return list(texts)


# --- files --------------------------------------------------------------------------------


def _write(
    folder: Path, report: Judged, sections: dict[str, Section], quoted: list[str]
) -> None:
    """Write page, numbers, tables and figures."""
    for name in ("figures", "tables"):
        (folder / name).mkdir()
    facts = report.facts
    for name, picture in facts.pop("figures", {}).items():
        (folder / "figures" / name).write_bytes(picture)
    rows = {}
    on_page = {}
    for name, section in sections.items():
        if section.table is None:
            continue
        path = folder / "tables" / f"{name}.csv"
        without_formulas(section.table).to_csv(path, index=False)
        rows[name] = section.table.to_dict("records")
        if section.columns and len(section.table):
            on_page[name] = shown(section, section.table)
            text = latex_table(on_page[name].head, on_page[name].rows)
            path.with_suffix(".tex").write_text(text, encoding="utf-8")
    numbers = pd.Series(facts | {"tables": rows})
    numbers.to_json(
        folder / "report.json",
        double_precision=15,
        force_ascii=False,
        indent=1,
    )
    loader = jinja2.FileSystemLoader(_HERE)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True)
    text = environment.get_template("page.jinja").render(
        style=(_HERE / "report.css").read_text("utf-8"),
        lead=_lead(report),
        facts=facts,
        notes=_notes(facts["notes"]),
        limits=limits(report),
        quoted=quoted,
        bibtex=_bibtex(facts),
        is_wide=len(report.scores) > SIDE_BY_SIDE - 1,
        sections=sections,
        tables=on_page,
        long=_LONG,
        checklists=_checklists(report, rows),
    )
    (folder / "report.html").write_text(text, encoding="utf-8")


def _lead(report: Judged) -> dict[str, str]:
    """The first lines: title, what it is about, what was read."""
    facts = report.facts
    names = list(report.scores["model"])
    title = ", ".join(names)
    if len(names) > SIDE_BY_SIDE:
        kind = "models"
        if len(report.methods) > 1:
            kind = "pairs of model and elicitation method"
        title = f"{len(names)} {kind}"
    how = report.method
    if len(report.methods) > 1:
        how = f"{len(report.methods)} elicitation methods"
    n = report.scores["n"].sum()
    units = f"; {facts['unit']}s: {facts['n_units']:,}" if facts["n_units"] else ""
    read = f"{facts['n_read']:,} answers. Measured: {n:,} with a confidence and a grade{units}."
    intervals = f"Intervals are by {facts['unit']}."
    if facts["unit"] == "answer":
        intervals = """Intervals are by answer: no image is named, and where answers share images
            they are too narrow."""
    return {
        "title": f"Calibration of {title}",
        "about": f"{how[:1].upper()}{how[1:]} on {report.where}",
        "read": f"{read} {intervals}",
    }


def _notes(notes: list[str]) -> list[str]:
    """The remarks on the page; the others are counted."""
    notes = [
        line for line in notes if line != "no image named: intervals are by answer"
    ]
    lines = [line[:400] for line in notes[:_NOTES]]
    more = len(notes) - len(lines)
    return [*lines, f"{more} more remarks in report.json"] if more else lines


def _bibtex(facts: dict[str, Any]) -> str:
    """What to cite: the software, and the answers."""
    summary = as_latex(metadata("medcal-nb")["Summary"])
    number = facts["versions"]["medcal-nb"]
    n = f"{facts['n_read']:,} answers, SHA-256 {facts['sha256']}"
    about = as_latex(facts["citation"] or "unpublished")
    url = f"  howpublished = {{\\url{{{facts['url']}}}}},\n" if facts["url"] else ""
    return f"""@misc{{medcal,
  title = {{{{{summary}}}}},
  author = {{{{The MedCal workbook authors}}}},
  note = {{medcal-nb {number}}},
  year = {{{facts["date"][:4]}}}
}}

@misc{{answers,
  title = {{{{{as_latex(facts["file"])}}}}},
{url}  note = {{{about}; {n}}}
}}"""


def _checklists(report: Judged, tables: dict[str, Any]) -> dict[str, list[list[str]]]:
    """Items of guidelines by name: number, topic, and the section that answers it, if one does."""
    places = {name: name for name in [*tables, "methods"]}
    for name in tables:
        if name.startswith("by_"):
            places["groups"] = name
    if report.facts["grading"]:
        places["grading"] = "methods"
    if report.prompts:
        places["prompts"] = "methods"
    text = (_HERE / "checklists.toml").read_text(encoding="utf-8")
    lists = tomllib.loads(text)
    for items in lists.values():
        for item in items:
            wanted = item.pop().split()
            item.append(next((places[name] for name in wanted if name in places), ""))
    return lists
