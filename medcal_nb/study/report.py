"""One page from a table of answers: its sections, its numbers, and how they are written.

Notebook 08 computes; a :class:`Report` takes what it computed and writes one self-contained HTML
page, ``report.json`` with every number, and the figures and tables beside them.
"""

from __future__ import annotations

import base64
import json
import math
import platform
import shutil
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from scipy.stats import norm

from medcal_nb import measure
from medcal_nb.errors import MedcalError
from medcal_nb.files import new_file
from medcal_nb.measure.rows import image_labels, measured, parts_by, rows_where
from medcal_nb.show import words
from medcal_nb.show.figures import FORMATS, table_csv
from medcal_nb.study.findings import report as sentences
from medcal_nb.study.findings.finding import Finding

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from medcal_nb.study.context import NotebookContext

#: Sections in the order of the page: key in ``report.json`` and heading.
SECTIONS = {
    "read": "What was read",
    "table_1": "The answers by group (Table 1)",
    "performance": "Performance",
    "subgroups": "Subgroups and heterogeneity",
    "recalibration": "Recalibration",
    "transfer": "Transfer from another data set",
    "selective": "Selective prediction and decision curve",
    "errors": "The most confident errors",
    "sample_size": "Sample size",
    "methods": "Methods",
    "guidelines": "Reporting guidelines",
}
#: Sections that are left out, rather than explained, where nothing was asked of them.
OPTIONAL = {"transfer"}
#: What is told of the input, in these words.
READ = {
    "file": "File",
    "sha256": "SHA-256",
    "columns": "Columns",
    "n_answers": "Answers",
    "n_measured": "Answers with confidence and grade",
    "n_missing_confidence": "Without a confidence",
    "n_missing_correct": "Without a grade",
    "images": "Images",
    "n_models": "Models",
    "n_methods": "Elicitation methods",
    "n_readers": "Readers",
    "intervals": "Intervals",
}
#: Columns of the tables of performance that fit a page, of all that stand in the CSV.
NARROW = ["model", "strategy", "labels", "n", "accuracy", "gap", "slope", "ece"]
NARROW += ["brier", "brier_skill", "auroc"]
#: Columns of a selective coverage table that are read; the others stand in the CSV.
SELECTIVE = ["n_fit", "observed_coverage", "certified", "coverage", "risk"]
SELECTIVE += ["risk_low", "risk_high"]
#: What names an answer in a list of errors.
ERROR_COLUMNS = ["item_id", "image_id", "modality", "answer", "gold", "confidence"]


class Report:
    """What a report says, section by section.

    Parameters
    ----------
    ctx : NotebookContext
        The notebook's context: it saves and shows the figures.
    to : path
        Folder of the page, its figures and tables; by default ``report`` in the profile's folder
        of derived files.

    Attributes
    ----------
    title : str
        Heading of the page.
    numbers : dict
        Everything that ``report.json`` will hold, by section.
    """

    def __init__(self, ctx: NotebookContext, to: str | Path = ""):
        self.ctx = ctx
        self.out_dir = Path(to) if to else ctx.profile.build(fast=ctx.fast) / "report"
        self.title = "Calibration report"
        self.name = ""
        self.numbers: dict[str, Any] = {key: {} for key in SECTIONS}
        self._parts: dict[str, list[dict[str, Any]]] = {key: [] for key in SECTIONS}
        shutil.rmtree(self.out_dir, ignore_errors=True)
        self.out_dir.mkdir(parents=True)

    @property
    def intervals(self) -> str:
        """What was resampled: ``by image``, ``by answer`` or ``by reader and case``."""
        return self.numbers["read"]["intervals"]

    # -- parts of any section ----------------------------------------------------------------

    def note(self, section: str, numbers: Mapping[str, Any]) -> None:
        """Keep numbers of a section, by name, for ``report.json`` and the guideline table."""
        self.numbers[section] |= dict(numbers)

    def empty(self, section: str, reason: str) -> None:
        """Say in a sentence why a section, or a part of it, could not be computed."""
        self.numbers[section].setdefault("not_computed", []).append(reason)
        self._parts[section].append({"kind": "empty", "text": reason})

    def say(self, section: str, *claims: Finding | str) -> None:
        """Add sentences to a section."""
        for claim in claims:
            text = claim.claim if isinstance(claim, Finding) else claim
            self._parts[section].append({"kind": "text", "text": text})

    def table(
        self,
        section: str,
        name: str,
        table: pd.DataFrame,
        *,
        legend: str,
        shown: pd.DataFrame | None = None,
    ) -> None:
        """Add a table: every number to ``report.json`` and a CSV, cells to read to the page.

        Parameters
        ----------
        section : str
            Key of :data:`SECTIONS`.
        name : str
            Name in ``report.json`` and of the CSV.
        table : pandas.DataFrame
            All numbers, one row per entity.
        legend : str
            What the table holds and how its intervals were made, in sentences.
        shown : pandas.DataFrame, optional
            Cells as text; by default every estimate with its interval in one cell.
        """
        self.numbers[section][name] = table.to_dict("records")
        self._write(f"tables/{name}.csv", table_csv(table))
        cells = readable(table) if shown is None else shown
        part = {"kind": "table", "name": name, "legend": legend}
        part["columns"] = list(cells.columns)
        part["rows"] = cells.astype(str).to_numpy().tolist()
        self._parts[section].append(part)

    def figure(
        self,
        section: str,
        fig: Figure,
        name: str,
        table: pd.DataFrame,
        *,
        alt: str,
        legend: str,
    ) -> None:
        """Save a figure with its numbers (PNG, SVG, CSV), and show it with its legend."""
        self.ctx.save(fig, name, table, caption=legend, alt=alt)
        folder = self.out_dir / "figures"
        folder.mkdir(exist_ok=True)
        for kind in FORMATS:
            shutil.copy(self.ctx.out_dir / f"{name}.{kind}", folder)
        data = base64.b64encode((folder / f"{name}.png").read_bytes()).decode()
        part = {"kind": "figure", "name": name, "alt": alt, "legend": legend}
        self._parts[section].append(part | {"data": data})

    # -- sections ----------------------------------------------------------------------------

    def read(
        self, answers: pd.DataFrame, source: Mapping[str, Any], *, by: Sequence[str]
    ) -> None:
        """Add what was read: counts, what is missing, what was resampled, answers by group.

        Parameters
        ----------
        answers : pandas.DataFrame
            All graded answers, also those without a confidence or a grade.
        source : mapping
            `file`, `sha256`, `columns` and `command`, where known.
        by : sequence of str
            Columns that set the rows of Table 1 apart.
        """
        rows = measured(answers)
        images = images_of(rows)
        n_readers = int(rows["reader"].nunique()) if "reader" in rows else 0
        by_image = "by answer" if images is None else "by image"
        numbers = {
            "n_answers": len(answers),
            "n_measured": len(rows),
            "n_missing_confidence": int(answers["confidence"].isna().sum()),
            "n_missing_correct": int(answers["correct"].isna().sum()),
            "images": "not named" if images is None else f"{len(set(images)):,}",
            "n_models": int(answers["model"].nunique()),
            "n_methods": int(answers["strategy"].nunique()),
            "n_readers": n_readers,
            "intervals": "by reader and case" if n_readers > 1 else by_image,
        }
        self.note("read", dict(source) | numbers)
        facts = self.numbers["read"]
        cells = [(label, facts[name]) for name, label in READ.items() if name in facts]
        shown = pd.DataFrame(cells, columns=["What", "Value"])
        self.table("read", "input", shown, legend="What was read.", shown=shown)
        self.note("table_1", {"n_correct": int(rows["correct"].sum())})
        groups = table_1(answers, by)
        self.table("table_1", "answers", groups, legend="All answers that were read.")

    def leading(self, rows: pd.DataFrame, model: str, strategy: str) -> pd.DataFrame:
        """Return the rows of one model and elicitation method: those named, else the most.

        Raises
        ------
        MedcalError
            If there are no such rows.
        """
        for column, value in {"model": model, "strategy": strategy}.items():
            rows = rows[rows[column] == value] if value else rows
        if rows.empty:
            raise MedcalError(
                f"no answer with a confidence and a grade of model {model or '(any)'!r} "
                f"by {strategy or '(any method)'!r}"
            )
        sizes = rows.groupby(["model", "strategy"], sort=False, observed=True).size()
        first = dict(zip(["model", "strategy"], sizes.idxmax(), strict=True))
        unnamed = first["model"] == "unnamed"
        model_label, method_label = map(words.label_of, first.values())
        self.name = "The model" if unnamed else f"{model_label} ({method_label})"
        self.title = f"Calibration report: {self.name}"
        return rows_where(rows, first)

    def performance(self, table: pd.DataFrame, row: pd.Series, *, legend: str) -> None:
        """Add the table of performance: one metric a line for the leading rows, then all rows."""
        leading = nested(row)
        self.note("performance", {"leading": leading})
        lines = [
            (words.heading_of(name), words.number(value["estimate"]), _ends(value))
            for name, value in leading.items()
            if isinstance(value, dict)
        ]
        shown = pd.DataFrame(lines, columns=["Metric", "Estimate", "Interval"])
        one = pd.DataFrame([row])
        self.table("performance", "leading_row", one, legend=legend, shown=shown)
        if len(table) > 1:
            self.note("performance", {"n_rows": len(table)})
            shown = readable(narrow(table))
            legend = f"All models and methods. {legend}"
            self.table("performance", "all_rows", table, legend=legend, shown=shown)

    def subgroups(self, column: str, groups: pd.DataFrame, *, legend: str) -> None:
        """Add the metrics of groups, and their heterogeneity where there are three or more."""
        numbers = self.numbers["subgroups"]
        named = [numbers.get("columns", ""), words.heading_of(column)]
        worst = groups.loc[groups["gap"].abs().idxmax()]
        numbers.setdefault("worst_group", {"column": column} | nested(worst))
        numbers["columns"] = ", ".join(filter(None, named))
        numbers["n_groups_shown"] = numbers.get("n_groups_shown", 0) + len(groups)
        self.table("subgroups", f"by_{column}", groups, legend=legend)
        if len(groups) < 3:
            self.empty("subgroups", f"Heterogeneity by {column}: takes three groups.")
            return
        errors = (groups["gap_high"] - groups["gap_low"]) / (2 * norm.ppf(0.975))
        spread = measure.heterogeneity_table(groups["gap"], errors)
        if "tau" not in numbers:
            one = spread.iloc[0]
            self.note("subgroups", one.to_dict() | {"tau": math.sqrt(one["tau2"])})
        legend = "Calibration-in-the-large over groups: random effects, REML."
        self.table("subgroups", f"heterogeneity_{column}", spread, legend=legend)

    def recalibration(self, stages: pd.DataFrame, *, n_folds: int, legend: str) -> None:
        """Add metrics before and after recalibration (rows `raw` and `target` of `labels`)."""
        scores = stages.set_index("labels")
        numbers = {"map": legend, "n_folds": n_folds, "folds_by": self.intervals}
        numbers["brier_before"] = nested(scores.loc["raw"])["brier"]
        numbers["brier_after"] = nested(scores.loc["target"])["brier"]
        self.note("recalibration", numbers)
        legend = (
            f"{legend}, cross-fitted in {n_folds} folds; intervals {self.intervals}."
        )
        self.table("recalibration", "stages", stages, legend=legend)

    def transfer(
        self, table: pd.DataFrame, *, source: dict, target: dict, legend: str
    ) -> None:
        """Add the transfer study of the leading rows: uncorrected, transferred, refitted."""
        row = nested(table.iloc[0])
        numbers = {
            "source": _sets(source),
            "target": _sets(target) or "all other answers",
            "accuracy_source": row["accuracy_source"],
            "accuracy_target": row["accuracy"],
        }
        self.note("transfer", numbers)
        self.say("transfer", *sentences.transferred(row, numbers))
        starts = ("brier_", "skill_", "cost", "conclusion")
        shown = table[[name for name in table if name.startswith(starts)]]
        self.table(
            "transfer",
            "study",
            table,
            legend=legend,
            shown=readable(shown).T.reset_index(),
        )

    def selective(self, table: pd.DataFrame, *, target: float, delta: float) -> None:
        """Add the certified threshold: chosen on one half of the answers, judged on the other."""
        row = table.iloc[0]
        self.note("selective", {"target": target, "delta": delta} | nested(row))
        self.say("selective", sentences.certified(row, target=target, delta=delta))
        legend = "Threshold chosen on one half of the answers and judged on the other."
        shown = readable(table[SELECTIVE])
        self.table("selective", "threshold", table, legend=legend, shown=shown)

    def errors(self, rows: pd.DataFrame, *, most: int) -> None:
        """Add the wrong answers of the highest confidence."""
        wrong = rows[rows["correct"] == 0].sort_values("confidence", ascending=False)
        if wrong.empty:
            self.empty("errors", "No answer was wrong.")
            return
        named = [name for name in ERROR_COLUMNS if name in wrong]
        shown = wrong.head(most)[named].dropna(axis=1, how="all")
        self.note("errors", {"n_wrong": len(wrong), "n_shown": len(shown)})
        self.table(
            "errors", "errors", shown, legend="Wrong answers, most confident first."
        )

    def methods(self, **numbers: Any) -> None:
        """Add how everything was computed, what it rests on, how to cite and to reproduce it."""
        numbers["python"] = platform.python_version()
        numbers["version"] = version("medcal-nb")
        for library in ("numpy", "scipy", "pandas"):
            numbers[library] = version(library)
        self.note("methods", numbers)
        text = sentences.methods(self.numbers)
        self.note("methods", {"text": text, "references": sentences.REFERENCES})
        self.say("methods", text, *sentences.REFERENCES.values())
        lines = [sentences.bibtex(numbers["version"], date.today().year)]
        read = self.numbers["read"]
        if "command" in read:
            lines.append(f"{read['command']}\n# input: SHA-256 {read['sha256']}")
        code = [{"kind": "code", "text": text} for text in lines]
        self._parts["methods"].extend(code)

    def overconfidence(self, row: pd.Series) -> Finding:
        """Return how far mean confidence and accuracy of the leading rows lie apart."""
        return sentences.overconfidence(
            self.name, row, method=f"bootstrap {self.intervals}"
        )

    def findings(
        self, row: pd.Series, kept: pd.Series | None, *, target: float, delta: float
    ) -> list[Finding]:
        """Return what stands on top: overconfidence, discrimination, what may be kept."""
        return [
            self.overconfidence(row),
            sentences.discrimination(row, method=f"bootstrap {self.intervals}"),
            sentences.certified(kept, target=target, delta=delta),
        ]

    # -- the page ----------------------------------------------------------------------------

    def write(self, findings: Sequence[Finding]) -> Path:
        """Write ``report.html`` and ``report.json``; return the page.

        The guideline table is made last, of all numbers that there are by then.

        Parameters
        ----------
        findings : sequence of Finding
            What stands on top, three at most.
        """
        import jinja2

        rows = sentences.guideline_rows(self.numbers)
        self.numbers["guidelines"] = {"items": rows}
        self.numbers["findings"] = [finding.as_dict() for finding in findings]
        text = json.dumps(plain(self.numbers), indent=1, allow_nan=False)
        self._write("report.json", text + "\n")
        loader = jinja2.PackageLoader("medcal_nb", "study")
        environment = jinja2.Environment(loader=loader, autoescape=True)
        page = environment.get_template("report.html.jinja").render(
            title=self.title,
            findings=[finding.claim for finding in findings],
            sections=[
                {"key": key, "heading": heading, "parts": self._parts[key]}
                for key, heading in SECTIONS.items()
                if self._parts[key] or key not in OPTIONAL
            ],
            guidelines=rows,
        )
        return self._write("report.html", page)

    def _write(self, name: str, text: str) -> Path:
        path = self.out_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_file(path, force=True) as part:
            part.write_text(text, encoding="utf-8")
        return path


def table_1(answers: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return what the answers are, a row for each value of some columns.

    Returns
    -------
    pandas.DataFrame
        The columns of `by`, `n`, `n_missing` (without confidence or grade), `n_images` (where
        named), `n_correct`, `accuracy`, `mean_confidence`.
    """
    lines = []
    for names, part in parts_by(answers, by):
        rows = measured(part)
        images = images_of(rows)
        line = dict(names)
        line["n"] = len(part)
        line["n_missing"] = len(part) - len(rows)
        if images is not None:
            line["n_images"] = len(set(images))
        line["n_correct"] = int(rows["correct"].sum())
        line["accuracy"] = rows["correct"].mean()
        line["mean_confidence"] = rows["confidence"].mean()
        lines.append(line)
    return pd.DataFrame(lines)


def images_of(rows: pd.DataFrame) -> Any:
    """Return the image of each row; None where images are not named."""
    named = "image_id" in rows and rows["image_id"].notna().any()
    return image_labels(rows) if named else None


def in_groups(rows: pd.DataFrame, column: str, *, least: int) -> pd.DataFrame:
    """Return the rows of groups of at least so many rows; none where that is one group."""
    if column not in rows:
        return rows.head(0)
    large = rows[rows[column].map(rows[column].value_counts()).fillna(0) >= least]
    return large if large[column].nunique() > 1 else rows.head(0)


def nested(row: pd.Series) -> dict[str, Any]:
    """Return a row of a metrics table as `{metric: {estimate, low, high}}` and plain numbers."""
    values = {}
    for name in row.index:
        if name.endswith(("_low", "_high")):
            continue
        values[name] = row[name]
        if f"{name}_low" in row.index:
            ends = {"low": row[f"{name}_low"], "high": row[f"{name}_high"]}
            values[name] = {"estimate": row[name], **ends}
    return values


def narrow(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of a metrics table that fit a page, with their ends."""
    wanted = [f"{name}{end}" for name in NARROW for end in ("", "_low", "_high")]
    return table[[name for name in wanted if name in table]]


def _sets(where: Mapping[str, Any]) -> str:
    named = [where[name] for name in ("dataset", "domain") if name in where]
    return " ".join(map(str, named))


def _ends(value: Mapping[str, float]) -> str:
    if pd.isna(value["low"]):
        return "–"
    return f"{words.number(value['low'])} to {words.number(value['high'])}"


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of cells to read: an estimate and its interval in one, headings in words."""
    cells = {}
    for name in table.columns:
        values = table[name]
        if name.endswith(("_low", "_high")) and name.rsplit("_", 1)[0] in table:
            continue
        if f"{name}_low" in table:
            ends = (table[f"{name}_low"], table[f"{name}_high"])
            rows = zip(values, *ends, strict=True)
            texts = [words.estimate(*row) for row in rows]
        elif pd.api.types.is_numeric_dtype(values):
            texts = [words.number(value) for value in values]
        else:
            texts = [words.label_of(value) for value in values]
        cells[words.heading_of(name)] = texts
    return pd.DataFrame(cells)


def plain(value: Any) -> Any:
    """Return a value as JSON knows it: no numpy types; a number that is none is null."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    return value if isinstance(value, str | bool | int) else str(value)
