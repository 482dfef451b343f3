"""One page on a table of answers: what notebook 08 computed, as HTML, JSON, figures, tables."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from medcal_nb.errors import NotEnough
from medcal_nb.measure.rows import image_labels, images_known, rows_where
from medcal_nb.show.figures import FORMATS, table_csv
from medcal_nb.show.words import show_table
from medcal_nb.study.context import NotebookContext
from medcal_nb.study.findings import report as sentences
from medcal_nb.study.findings.finding import AT_MOST, Finding

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Sections in the order of the page: key in ``report.json`` and heading.
SECTIONS: dict[str, str] = sentences.TEXTS["sections"]


class Report:
    """What a report says, section by section; a section that nothing was added to is left out.

    Parameters
    ----------
    ctx : NotebookContext
        The notebook's context: it saves and shows the figures.
    to : path
        Folder of the page, its figures and tables; by default ``report`` in the profile's folder
        of derived files.

    Attributes
    ----------
    numbers : dict
        Everything that ``report.json`` will hold, by section.
    """

    def __init__(self, ctx: NotebookContext, to: str | Path = ""):
        self.ctx = ctx
        self.out_dir = Path(to) if to else ctx.profile.build(fast=ctx.fast) / "report"
        self.numbers: dict[str, Any] = {key: {} for key in SECTIONS}
        self._parts: dict[str, list[dict[str, Any]]] = {key: [] for key in SECTIONS}
        shutil.rmtree(self.out_dir, ignore_errors=True)
        for folder in ("figures", "tables"):
            (self.out_dir / folder).mkdir(parents=True)

    # -- which answers, and what they allow ----------------------------------------------

    @staticmethod
    def why_empty(rows: pd.DataFrame) -> str:
        """Return why answers cannot be calibrated or ranked; nothing where they can."""
        if rows["confidence"].isna().all():
            return "No answer has a confidence."
        return "All answers have one grade." if rows["correct"].nunique() < 2 else ""

    @staticmethod
    def leading(rows: pd.DataFrame, *, model: str, strategy: str) -> pd.DataFrame:
        """Return the answers of the model and the elicitation method that lead.

        Parameters
        ----------
        rows : pandas.DataFrame
            Graded answers. Several readers are taken together, as a model such as "5 readers",
            where no model is named.
        model, strategy : str
            Those that lead; where they are empty, those with most answers.

        Raises
        ------
        NotEnough
            If there is no such answer.
        """
        asked = {"model": model, "strategy": strategy}
        named = {column: name for column, name in asked.items() if name}
        people = rows[rows["reader"].notna()] if "reader" in rows else rows.head(0)
        if people["model"].nunique() > 1 and not model:
            rows = people.assign(model=f"{people['reader'].nunique()} readers")
        rows = rows_where(rows, named)
        if rows.empty:
            raise NotEnough(
                f"no graded answer of {' by '.join(named.values()) or 'any'}"
            )
        pairs = rows.groupby(list(asked), sort=False, observed=True).size()
        return rows_where(rows, dict(zip(asked, pairs.idxmax(), strict=True)))

    @staticmethod
    def sides(
        answers: pd.DataFrame, source: str, target: Mapping[str, str]
    ) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Return the source of a transfer and its target, as columns and values.

        Parameters
        ----------
        answers : pandas.DataFrame
            Graded answers.
        source : str
            A data set or a domain; nothing without one.
        target : mapping
            What is judged; where it is empty, the one other data set or domain.

        Raises
        ------
        NotEnough
            If no data set and no domain has the name, or there is nothing or several besides.
        """
        if not source:
            return {}, target
        for column in ("dataset", "domain"):
            names = set(answers[column].dropna())
            if source in names and (target or len(names) == 2):
                return {column: source}, target or {column: (names - {source}).pop()}
        known = ", ".join(map(str, answers["dataset"].unique()))
        raise NotEnough(
            f"--transfer-from {source}: name one of two data sets or domains; there are {known}"
        )

    @staticmethod
    def images(rows: pd.DataFrame) -> Any:
        """Return the image of each row; None where images are not named."""
        return image_labels(rows) if images_known(rows) else None

    @staticmethod
    def findings(
        row: pd.Series, why_empty: str, *findings: Finding, least: int
    ) -> list[Finding]:
        """Return what stands on top, three at most: first what these answers cannot say."""
        return [*sentences.limits(row, why_empty, least=least), *findings][:AT_MOST]

    # -- what is said ------------------------------------------------------------------

    def note(self, section: str, **numbers: Any) -> None:
        """Keep numbers of a section, by name, for ``report.json`` and the guideline table.

        A row of a metrics table becomes `{metric: {estimate, low, high}}` and plain numbers.
        """
        for name, value in numbers.items():
            is_row = isinstance(value, pd.Series)
            self.numbers[section][name] = _nested(value) if is_row else value

    def say(self, section: str, *claims: Finding | str, kind: str = "text") -> None:
        """Add sentences to a section; of the kind ``code`` they are set as they are."""
        for claim in claims:
            text = claim.claim if isinstance(claim, Finding) else claim
            self._parts[section].append({"kind": kind, "text": text})

    def empty(self, section: str, reason: str) -> None:
        """Say in a sentence why a section, or a part of it, could not be computed."""
        self.numbers[section].setdefault("not_computed", []).append(reason)
        self.say(section, reason, kind="empty")

    def table(
        self,
        section: str,
        name: str,
        table: pd.DataFrame,
        *,
        legend: str,
        columns: Sequence[str] | None = None,
        turned: bool = False,
    ) -> None:
        """Show a table and add it: all numbers to ``report.json`` and a CSV, some to the page.

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
        columns : sequence of str, optional
            Columns on the page, of those that there are; those with an interval are named.
        turned : bool
            One column a line; the numbers shown of the last row are the section's own.
        """
        columns = [one for one in columns or table if one in table]
        if turned:
            ends = [f"{one}{end}" for one in columns for end in ("", "_low", "_high")]
            table = table[[one for one in ends if one in table]]
        from IPython.display import display

        rows = {name: table.to_dict("records")}
        self.note(section, **(_nested(table.iloc[-1]) if turned else rows))
        path = self.out_dir / "tables" / f"{name}.csv"
        path.write_text(table_csv(table), encoding="utf-8")
        shown = show_table(table, columns, rows=len(table), title=legend, turned=turned)
        display(shown)
        part = {"kind": "table", "name": name, "turned": turned, "n": len(table)}
        part |= {"html": shown._repr_html_(), "n_columns": shown.cells.shape[1]}
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
        for kind in FORMATS:
            shutil.copy(self.ctx.out_dir / f"{name}.{kind}", self.out_dir / "figures")
        data = (self.ctx.out_dir / f"{name}.png").read_bytes()
        part = {"kind": "figure", "name": name, "alt": alt, "legend": legend}
        self._parts[section].append(part | {"data": base64.b64encode(data).decode()})

    def write(self, title: str, about: str, findings: Sequence[Finding]) -> Path:
        """Write ``report.html`` and ``report.json``; return the page.

        Methods and the guideline table are made here, of all numbers that there are by then: the
        notes of ``methods`` say how everything was computed (`level`, `n_resamples`, `n_bins`,
        `seed` and the like).

        Parameters
        ----------
        title, about : str
            What the report is about, and a line below it.
        findings : sequence of Finding
            What stands on top, three at most.
        """
        import jinja2

        today = date.today()
        dates = {"date": today.isoformat(), "year": str(today.year)}
        self.note("methods", **self.ctx.provenance["versions"], **dates)
        texts = sentences.TEXTS
        code = [sentences.fill(texts[key], self.numbers) for key in ("bibtex", "again")]
        self.say("methods", sentences.methods(self.numbers))
        self.say("methods", *texts["references"], kind="reference")
        self.say("methods", *filter(None, code), kind="code")
        items = sentences.guideline_rows(self.numbers)
        self.note("guidelines", items=items)
        self._parts["guidelines"] = [{"kind": "guidelines", "items": items}]
        self.numbers["findings"] = [finding.as_dict() for finding in findings]
        numbers = pd.Series(self.numbers)
        text = numbers.to_json(double_precision=15, force_ascii=False, indent=1)
        (self.out_dir / "report.json").write_text(f"{text}\n", encoding="utf-8")
        loader = jinja2.PackageLoader("medcal_nb", "study")
        environment = jinja2.Environment(loader=loader, autoescape=True)
        page = environment.get_template("report.html.jinja").render(
            title=title,
            about=about,
            numbers=self.numbers,
            findings=[finding.claim for finding in findings],
            sections={key: name for key, name in SECTIONS.items() if self._parts[key]},
            parts=self._parts,
        )
        path = self.out_dir / "report.html"
        path.write_text(page, encoding="utf-8")
        return path


def _nested(row: pd.Series) -> dict[str, Any]:
    """Return a row of a metrics table as `{metric: {estimate, low, high}}` and plain numbers."""
    values = row.to_dict()
    for name in [name for name in values if f"{name}_low" in values]:
        low = values.pop(f"{name}_low")
        high = values.pop(f"{name}_high")
        values[name] = {"estimate": values[name], "low": low, "high": high}
    return values
