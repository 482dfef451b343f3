"""Explore answers in a notebook: choose, see the diagram and the numbers, open what is behind."""

from __future__ import annotations

import html
from typing import Any

import ipywidgets as ipw
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.core.pylabtools import print_figure

from medcal_nb import correct, measure
from medcal_nb.errors import MedcalError
from medcal_nb.show.charts import plot_reliability
from medcal_nb.show.words import estimate, is_share, label_of, percent, shares

MAPS = ("log_odds", "platt", "isotonic")
"""Recalibration maps to look through, fitted on the answers of the fit split."""

_CHOICES = ("model", "strategy", "dataset", "modality")
_OFFERED = ("model", "strategy")
"""Choices that must be made; only those with answers are offered."""
_MEASURES = {
    "ece": "ECE, 15 bins",
    "accuracy": "Accuracy",
    "mean_confidence": "Mean confidence",
    "brier": "Brier score",
}
_PAGE = 6
_BINS = 15


class Explorer(ipw.VBox):
    """Choices above, a diagram and its numbers below, and the answers of a bin beside them.

    Parameters
    ----------
    answers : pandas.DataFrame
        Graded answers, or answers asked for once: ``model, strategy, dataset, confidence,
        correct``; ``modality, split, image_id, item_id, answer, gold, raw`` where known.
    model, strategy, dataset : str, optional
        Where to open, if there are answers; without, on the pair with most answers, of all data
        sets. Pairs without answers are not offered.

    Raises
    ------
    MedcalError
        If no answer has both a confidence and a grade.
    """

    def __init__(
        self,
        answers: pd.DataFrame,
        *,
        model: str | None = None,
        strategy: str | None = None,
        dataset: str | None = None,
    ):
        frame = answers.dropna(subset=["confidence", "correct"]).reset_index(drop=True)
        if frame.empty:
            raise MedcalError(
                "answers: none has a confidence and a grade; nothing to explore"
            )
        if "split" not in frame or frame["split"].isna().all():
            frame = frame.assign(split="test")
        self._named = [
            name for name in _CHOICES if name in frame and frame[name].notna().any()
        ]
        self._frame = frame.astype(dict.fromkeys(self._named, "category"))
        self.controls = {name: self._choice(name) for name in self._named}
        self._begin_at({"model": model, "strategy": strategy})
        maps = [("uncorrected", "")]
        maps += [(label_of(name), name) for name in MAPS]
        self.controls["map"] = ipw.Dropdown(options=maps, description="map")
        datasets = self.controls["dataset"].options[1:]
        if dataset in dict(datasets).values():
            self.controls["dataset"].value = dataset
        self.controls["labels"] = ipw.Dropdown(
            options=datasets, description="fitted on"
        )
        self._diagram = ipw.HTML()
        self._numbers = ipw.HTML()
        self._list = ipw.HTML()
        self.bins = ipw.Select(
            description="bin", rows=_BINS + 1, layout={"width": "24em"}
        )
        self.page = ipw.BoundedIntText(1, min=1, max=1, description="page")
        for name, control in self.controls.items():
            control.observe(
                self._narrowed if name in _OFFERED else self._chosen, "value"
            )
        self.bins.observe(self._opened, names="value")
        self.page.observe(self._listed, names="value")
        bar = ipw.HBox(list(self.controls.values()), layout={"flex_flow": "row wrap"})
        behind = ipw.VBox([self.bins, self.page, self._list])
        super().__init__([bar, self._numbers, ipw.HBox([self._diagram, behind])])
        self.add_class("medcal-explorer")
        self._chosen()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Return the live view, and what a page without Python shows in its place."""
        live = super()._repr_mimebundle_() or {}
        still = f"{self._numbers.value}{self._diagram.value}"
        words = "Explorer of answers: live in JupyterLab."
        return live | {
            "text/plain": words,
            "text/html": f"{still}<p><em>{words}</em></p>",
        }

    def _begin_at(self, wanted: dict[str, str | None]) -> None:
        """Choose the wanted pair of model and method where it has answers, else the fullest."""
        names = [name for name in _OFFERED if name in self._named]
        tested = self._frame[self._frame["split"] == "test"]
        if not names or tested.empty:
            return
        pairs = tested.groupby(names, observed=True).size().reset_index(name="n")
        for name in names:
            same = pairs[name].astype(str) == str(wanted[name])
            if same.any():
                pairs = pairs[same]
        fullest = pairs.loc[pairs["n"].idxmax()]
        for name in names:
            self._offer(name)
            self.controls[name].value = fullest[name]

    def _offer(self, name: str) -> None:
        """Offer only what has answers beside the choices that stand before it."""
        held = self._frame[self._frame["split"] == "test"]
        for earlier in _OFFERED[: _OFFERED.index(name)]:
            if earlier in self._named:
                held = held[held[earlier] == self.controls[earlier].value]
        values = held[name].cat.remove_unused_categories().cat.categories
        control = self.controls[name]
        before = control.value
        control.options = [(label_of(value), value) for value in values]
        if before in values:
            control.value = before

    def _narrowed(self, change: dict[str, Any]) -> None:
        """Follow a choice of the model: offer its methods, then draw."""
        name = change["owner"].description
        if name == "model" and "strategy" in self._named:
            self._offer("strategy")
        self._chosen()

    def _choice(self, name: str) -> ipw.Dropdown:
        """Return a control for the values of a column; the first is chosen where one must be."""
        options = [
            (label_of(value), value) for value in self._frame[name].cat.categories
        ]
        if name in ("dataset", "modality"):
            options = [("all", ""), *options]
        names = {"dataset": "data set", "strategy": "method"}
        return ipw.Dropdown(options=options, description=names.get(name, name))

    def _rows(self, split: str, **other: Any) -> pd.DataFrame:
        """Return the rows of a split that are chosen; ``other`` choices win."""
        kept = (self._frame["split"] == split).to_numpy()
        for name in self._named:
            value = other.get(name, self.controls[name].value)
            if value not in (None, ""):
                kept = kept & (self._frame[name] == value).to_numpy()
        return self._frame[kept]

    def _chosen(self, _change: Any = None) -> None:
        """Draw what the controls say now."""
        self.rows = self._rows("test").assign(bin=-1)
        if self.rows.empty:
            self._numbers.value = "<p role='status'>No answers of this choice.</p>"
            self._diagram.value = ""
            self.bins.options = ()
            return
        c, y = _pair(self.rows)
        c, words = self._mapped(c)
        self.table = measure.reliability_table(c, y, n_bins=_BINS)
        self.rows = self.rows.assign(
            confidence=c, bin=self.table["high"].searchsorted(c)
        )
        self.numbers = self._measured()
        lines = " · ".join(
            f"{name} <b>{value}</b>" for name, value in self.numbers.items()
        )
        self._numbers.value = f"<p role='status'>{lines}{words}</p>"
        fig = plot_reliability(self.table).figure
        data = print_figure(fig, bbox_inches=None, base64=True)
        self._diagram.value = (
            f'<img alt="Reliability diagram of {len(c):,} answers" '
            f'src="data:image/png;base64,{data}">'
        )
        plt.close(fig)
        self.bins.options = [
            (
                f"to {percent(r.high)}: {r.n:,} answers, {percent(r.accuracy)} right",
                int(r.bin),
            )
            for r in self.table[self.table["n"] > 0].itertuples()
        ]
        self.bins.value = int(self.table["n"].idxmax())
        self._opened()

    def _mapped(self, c: np.ndarray) -> tuple[np.ndarray, str]:
        """Return the confidences through the chosen map, and a word on what it was fitted on."""
        method = self.controls["map"].value
        if not method:
            return c, ""
        fit = self._rows("fit", dataset=self.controls["labels"].value, modality=None)
        if fit.empty:
            return c, " · no answers kept for fitting: shown uncorrected"
        return correct.fit(*_pair(fit), method=method)(
            c
        ), f" · map fitted on {len(fit):,} answers"

    def _measured(self) -> dict[str, str]:
        """Return the numbers in words, intervals by image where images are known."""
        options = {
            "n_bins": _BINS,
            "n_resamples": 1000,
            "rng": np.random.default_rng(0),
        }
        table = measure.metrics_table(
            self.rows, by=[], metrics=list(_MEASURES), **options
        )
        numbers = {"Answers": f"{len(self.rows):,}"}
        for name, called in _MEASURES.items():
            ends = table[[name, f"{name}_low", f"{name}_high"]].iloc[0]
            numbers[called] = shares(*ends) if is_share(name) else estimate(*ends)
        return numbers

    def _opened(self, _change: Any = None) -> None:
        """List the answers of the chosen bin from its first page on."""
        self.behind = self.rows[self.rows["bin"] == self.bins.value]
        self.page.max = max(1, -(-len(self.behind) // _PAGE))
        self.page.value = 1
        self._listed()

    def _listed(self, _change: Any = None) -> None:
        shown = self.behind[_PAGE * (self.page.value - 1) :][:_PAGE]
        self._list.value = "".join(map(_card, shown.to_dict("records")))


def _card(row: dict[str, Any]) -> str:
    """Return an answer as HTML: question, reply, right answer; what is not known is left out."""
    reply = row.get("answer")
    if pd.isna(reply):
        reply = row.get("raw")
    lines = {
        "question": row.get("question"),
        "item": row.get("item_id"),
        "reply": reply,
        "right answer": row.get("gold"),
        "confidence": percent(row["confidence"]),
        "graded": "right" if row["correct"] else "wrong",
    }
    words = "".join(
        f"<br>{name}: <b>{html.escape(str(value))}</b>"
        for name, value in lines.items()
        if pd.notna(value)
    )
    return f"<div class='medcal-answer' style='padding:4px'>{words}</div>"


def _pair(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return rows["confidence"].to_numpy(float), rows["correct"].to_numpy(bool)


explore = Explorer
"""What a notebook calls."""
