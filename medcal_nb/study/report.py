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
from medcal_nb.measure.rows import image_labels, measured
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
    "table_1": "Table 1: the answers",
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


#: Metrics of the table of performance, in their order.
METRICS = [
    "accuracy",
    "mean_confidence",
    "gap",
    "observed_expected",
    "slope",
    "intercept",
    "ece",
    "ici",
    "e50",
    "e90",
]
METRICS += ["brier", "brier_skill", "auroc"]


class Report:
    """What a report says, section by section.

    Parameters
    ----------
    title : str
        Heading of the page.
    out_dir : path
        Folder of the page, its figures and tables; made if absent.
    ctx : NotebookContext
        The notebook's context: it saves and shows the figures.

    Attributes
    ----------
    numbers : dict
        Everything that ``report.json`` will hold, by section.
    """

    def __init__(self, title: str, out_dir: str | Path, *, ctx: NotebookContext):
        self.title = title
        self.out_dir = Path(out_dir)
        self.ctx = ctx
        self.numbers: dict[str, Any] = {key: {} for key in SECTIONS}
        self._parts: dict[str, list[dict[str, Any]]] = {key: [] for key in SECTIONS}
        self.out_dir.mkdir(parents=True, exist_ok=True)

    def note(self, section: str, numbers: Mapping[str, Any]) -> None:
        """Keep numbers of a section, by name, for ``report.json`` and the guideline table."""
        self.numbers[section] |= dict(numbers)

    def empty(self, section: str, reason: str) -> None:
        """Say in a sentence why a section, or a part of it, could not be computed."""
        self.numbers[section].setdefault("not_computed", []).append(reason)
        self._parts[section].append({"kind": "empty", "text": reason})

    def say(self, section: str, *findings: Finding | str) -> None:
        """Add sentences to a section."""
        for finding in findings:
            text = finding.claim if isinstance(finding, Finding) else finding
            self._parts[section].append({"kind": "text", "text": text})

    def code(self, section: str, text: str) -> None:
        """Add lines that are shown as they are, such as a BibTeX entry."""
        self._parts[section].append({"kind": "code", "text": text})

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
            What the table holds, how intervals were made, in sentences.
        shown : pandas.DataFrame, optional
            Cells as text; by default every estimate with its interval in one cell.
        """
        self.numbers[section][name] = plain(table.to_dict("records"))
        self._write(f"tables/{name}.csv", table_csv(table))
        cells = readable(table) if shown is None else shown
        part = {"kind": "table", "name": name, "legend": legend}
        part |= {
            "columns": list(cells.columns),
            "rows": cells.astype(str).to_numpy().tolist(),
        }
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

    def performance(self, table: pd.DataFrame, row: pd.Series, *, legend: str) -> None:
        """Add the table of performance: one metric a line for the leading rows, then all rows."""
        self.note("performance", {"leading": nested(row), "n_rows": len(table)})
        one = pd.DataFrame([row])
        self.table("performance", "leading_row", one, legend=legend, shown=upright(row))
        if len(table) > 1:
            self.table("performance", "all_rows", table, legend=f"All rows. {legend}")

    def subgroups(self, column: str, groups: pd.DataFrame, *, legend: str) -> None:
        """Add the metrics of groups, and their heterogeneity where there are three or more."""
        numbers = self.numbers["subgroups"]
        columns = [*numbers.get("columns", "").split(", "), words.heading_of(column)]
        shown = numbers.get("n_groups_shown", 0) + len(groups)
        numbers["columns"] = ", ".join(filter(None, columns))
        numbers["n_groups_shown"] = shown
        self.table("subgroups", f"by_{column}", groups, legend=legend)
        worst = groups.loc[groups["gap"].abs().idxmax()]
        numbers.setdefault("worst_group", {"column": column} | nested(worst))
        errors = (groups["gap_high"] - groups["gap_low"]) / (2 * norm.ppf(0.975))
        if len(groups) < 3:
            self.empty(
                "subgroups", f"Heterogeneity by {column}: three groups are needed."
            )
            return
        spread = measure.heterogeneity_table(groups["gap"], errors)
        one = spread.iloc[0]
        if "tau" not in numbers:
            self.note("subgroups", one.to_dict() | {"tau": one["tau2"] ** 0.5})
        legend = "Calibration-in-the-large over groups: random effects, REML."
        self.table("subgroups", f"heterogeneity_{column}", spread, legend=legend)

    def recalibration(
        self, stages: pd.DataFrame, *, map_name: str, n_folds: int, legend: str
    ) -> None:
        """Add metrics before and after recalibration (rows `raw` and `target` of `labels`)."""
        scores = stages.set_index("labels")
        numbers = {"map": map_name, "n_folds": n_folds}
        numbers["folds_by"] = self.numbers["read"]["intervals"]
        for stage, name in {"before": "raw", "after": "target"}.items():
            numbers[f"brier_{stage}"] = nested(scores.loc[name])["brier"]
        self.note("recalibration", numbers)
        legend = f"{map_name}, cross-fitted in {n_folds} folds. {legend}"
        self.table("recalibration", "stages", stages, legend=legend)

    def transfer(
        self, table: pd.DataFrame, *, source: dict, target: dict, legend: str
    ) -> None:
        """Add the transfer study of the leading rows: uncorrected, transferred, refitted."""
        row = nested(table.iloc[0])
        numbers = {"source": _named(source), "target": _named(target)}
        numbers["accuracy_source"] = row["accuracy_source"]
        numbers["accuracy_target"] = row["accuracy"]
        self.note("transfer", numbers | {"study": row})
        self.say("transfer", *sentences.transferred(row, numbers))
        columns = [
            c for c in table if c.startswith(("brier_", "skill_", "cost", "concl"))
        ]
        self.table(
            "transfer",
            "transfer_study",
            table,
            legend=legend,
            shown=readable(table[columns]),
        )

    def methods(self) -> None:
        """Add how everything was computed, what it rests on, how to cite and to reproduce it."""
        versions = {
            "python": platform.python_version(),
            "version": version("medcal-nb"),
        }
        versions |= {name: version(name) for name in ("numpy", "scipy", "pandas")}
        self.note("methods", versions)
        text = sentences.methods(self.numbers)
        self.note("methods", {"text": text, "references": sentences.REFERENCES})
        self.say("methods", text, *sentences.REFERENCES.values())
        self.code("methods", sentences.bibtex(versions["version"], date.today().year))
        if command := self.numbers["read"].get("command"):
            self.code(
                "methods",
                f"{command}\n# input: SHA-256 {self.numbers['read']['sha256']}",
            )

    def write(self, *, findings: Sequence[Finding]) -> Path:
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
        self.numbers["findings"] = [
            {"claim": f.claim, "estimate": f.estimate, "interval": f.interval, "n": f.n}
            | {"of": f.of, "method": f.method}
            for f in findings
        ]
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


def answers_read(answers: pd.DataFrame) -> dict[str, Any]:
    """Return how many answers, images, models and methods there are, and what is missing.

    Returns
    -------
    dict
        `n_answers`, `n_measured` (with confidence and grade), `n_missing_confidence`,
        `n_missing_correct`, `n_images` (0 where they are not named), `n_readers`, `n_models`,
        `n_methods`, `n_datasets`, `images` in words, and `intervals`: ``by image``, ``by answer``
        or ``by reader and case``.
    """
    rows = measured(answers)
    named = "image_id" in rows and rows["image_id"].notna().any()
    n_images = len(set(image_labels(rows))) if named else 0
    n_readers = rows["reader"].nunique() if "reader" in rows else 0
    intervals = "by image" if named else "by answer"
    if n_readers > 1:
        intervals = "by reader and case"
    return {
        "n_answers": len(answers),
        "n_measured": len(rows),
        "n_missing_confidence": int(answers["confidence"].isna().sum()),
        "n_missing_correct": int(answers["correct"].isna().sum()),
        "n_images": n_images,
        "n_readers": n_readers,
        "n_models": answers["model"].nunique(),
        "n_methods": answers["strategy"].nunique(),
        "n_datasets": answers["dataset"].nunique(),
        "images": f"{n_images:,}" if named else "not named",
        "intervals": intervals,
    }


def leading(rows: pd.DataFrame, model: str = "", strategy: str = "") -> pd.DataFrame:
    """Return the rows of one model and elicitation method: those named, else those of most rows.

    Raises
    ------
    MedcalError
        If there are no such rows.
    """
    wanted = {"model": model, "strategy": strategy}
    for column, value in wanted.items():
        if value:
            rows = rows[rows[column] == value]
    if rows.empty:
        raise MedcalError(
            f"no answer with a confidence and a grade of model {model or '(any)'!r} "
            f"by {strategy or '(any method)'!r}"
        )
    sizes = rows.groupby(["model", "strategy"], sort=False, observed=True).size()
    first_model, first_strategy = sizes.idxmax()
    one = (rows["model"] == first_model) & (rows["strategy"] == first_strategy)
    return rows[one]


def table_1(answers: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return what the answers are, a row for each value of a column.

    Returns
    -------
    pandas.DataFrame
        `group`, `n`, `n_images` (where named), `n_correct`, `accuracy`, `mean_confidence`,
        `n_missing` (without confidence or grade).
    """
    lines = []
    for name, part in answers.groupby(by, sort=False, dropna=False, observed=True):
        rows = measured(part)
        line = {"group": name, "n": len(part), "n_missing": len(part) - len(rows)}
        if "image_id" in rows and rows["image_id"].notna().any():
            line["n_images"] = len(set(image_labels(rows)))
        line["n_correct"] = int(rows["correct"].sum())
        line["accuracy"] = rows["correct"].mean()
        line["mean_confidence"] = rows["confidence"].mean()
        lines.append(line)
    return pd.DataFrame(lines)


def has_groups(rows: pd.DataFrame, columns: Sequence[str], *, least: int) -> list[str]:
    """Return those of the columns that name two or more groups of at least so many rows."""
    there = [column for column in columns if column in rows]
    return [c for c in there if (rows[c].value_counts() >= least).sum() > 1]


def in_large_groups(rows: pd.DataFrame, column: str, *, least: int) -> pd.DataFrame:
    """Return the rows whose group has at least so many rows."""
    sizes = rows[column].map(rows[column].value_counts())
    return rows[sizes >= least]


def images_of(rows: pd.DataFrame) -> Any:
    """Return the image of each row; None where images are not named."""
    named = "image_id" in rows and rows["image_id"].notna().any()
    return image_labels(rows) if named else None


def _named(where: Mapping[str, Any]) -> str:
    return ", ".join(str(value) for value in where.values()) or "all other answers"


def nested(row: pd.Series) -> dict[str, Any]:
    """Return a row of a metrics table as `{metric: {estimate, low, high}}` and plain numbers."""
    values = {}
    for name in row.index:
        if name.endswith(("_low", "_high")):
            continue
        if f"{name}_low" in row.index:
            ends = {"low": row[f"{name}_low"], "high": row[f"{name}_high"]}
            values[name] = {"estimate": row[name], **ends}
        else:
            values[name] = row[name]
    return values


def upright(row: pd.Series) -> pd.DataFrame:
    """Return a row of a metrics table as cells to read: one metric a line."""
    lines = [
        {
            "Metric": words.heading_of(name),
            "Estimate": words.number(value["estimate"]),
            "Interval": f"{words.number(value['low'])} to {words.number(value['high'])}",
        }
        for name, value in nested(row).items()
        if isinstance(value, dict)
    ]
    return pd.DataFrame(lines)


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of cells to read: an estimate and its interval in one, headings in words."""
    cells = {}
    for column in table.columns:
        if column.endswith(("_low", "_high")) and column.rsplit("_", 1)[0] in table:
            continue
        low = table.get(f"{column}_low")
        high = table.get(f"{column}_high")
        values = table[column]
        if low is not None and high is not None:
            triples = zip(values, low, high, strict=True)
            texts = [words.estimate(*triple) for triple in triples]
        elif pd.api.types.is_float_dtype(values):
            texts = [words.number(value) for value in values]
        else:
            texts = [words.label_of(value) for value in values]
        cells[words.heading_of(column)] = texts
    return pd.DataFrame(cells)


def plain(value: Any) -> Any:
    """Return a value as JSON knows it: no numpy types; a number that is none is null."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(one) for one in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    return value if isinstance(value, str | bool | int) else str(value)
