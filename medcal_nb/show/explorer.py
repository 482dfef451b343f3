"""Explore answers in a notebook: choose, see the diagram and the numbers, open what is behind."""

from __future__ import annotations

import base64
import html
import io
from functools import partial

import ipywidgets as ipw
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from medcal_nb import correct, measure
from medcal_nb.errors import MedcalError
from medcal_nb.items import open_image
from medcal_nb.show.charts import plot_reliability
from medcal_nb.show.words import estimate, label_of, percent

MAPS = {
    "as stated": None,
    "log-odds scaling": partial(correct.fit, method="log_odds"),
    "Platt": partial(correct.fit, method="platt"),
    "isotonic": partial(correct.fit, method="isotonic"),
}
"""Recalibration maps to look through, fitted on the answers of the fit split."""

_CHOICES = ("model", "strategy", "dataset", "modality")
_PAGE, _BINS = 6, 10


class Explorer(ipw.VBox):
    """Choices above, a diagram and its numbers below, and the answers of a bin beside them.

    Parameters
    ----------
    answers : pandas.DataFrame
        Graded answers, or answers asked for once: ``model, strategy, dataset, confidence,
        correct``; ``modality, split, image_id, item_id, answer, gold, raw`` where known.
    items : pandas.DataFrame, optional
        The item table (``item_id, dataset, question, image``), for the questions and images.

    Raises
    ------
    MedcalError
        If no answer has both a confidence and a grade.
    """

    def __init__(self, answers: pd.DataFrame, items: pd.DataFrame | None = None):
        frame = answers[answers["confidence"].notna() & answers["correct"].notna()]
        if not len(frame):
            raise MedcalError("answers: none has a confidence and a grade; nothing to explore")
        self._frame = frame.reset_index(drop=True)
        self._codes = {}
        key = ["dataset", "item_id"]
        self._items = {} if items is None else items.set_index(key).to_dict("index")
        self.controls = {name: self._choice(name) for name in _CHOICES if name in frame}
        self.controls["map"] = ipw.Dropdown(options=list(MAPS), description="map")
        datasets = self.controls["dataset"].options[1:]
        self.controls["labels"] = ipw.Dropdown(options=datasets, description="fitted on")
        self._diagram, self._numbers, self._list = ipw.HTML(), ipw.HTML(), ipw.HTML()
        self.bins = ipw.Select(description="bin", rows=_BINS + 1, layout={"width": "24em"})
        self.page = ipw.BoundedIntText(1, min=1, max=1, description="page")
        for control in self.controls.values():
            control.observe(self._chosen, names="value")
        self.bins.observe(self._opened, names="value")
        self.page.observe(self._listed, names="value")
        bar = ipw.HBox(list(self.controls.values()), layout={"flex_flow": "row wrap"})
        behind = ipw.VBox([self.bins, self.page, self._list])
        super().__init__([bar, self._numbers, ipw.HBox([self._diagram, behind])])
        self.add_class("medcal-explorer")
        self._chosen()

    def _choice(self, name) -> ipw.Dropdown:
        """Return a control for the values of a column; the first is chosen where one must be."""
        codes, values = pd.factorize(self._frame[name], sort=True)
        self._codes[name] = codes
        options = [(label_of(value), k) for k, value in enumerate(values)]
        if name in ("dataset", "modality"):
            options = [("all", -1), *options]
        return ipw.Dropdown(options=options, description=name.replace("dataset", "data set"))

    def _rows(self, **other) -> np.ndarray:
        """Return the places of the rows that are chosen; ``other`` choices win."""
        kept = np.ones(len(self._frame), dtype=bool)
        for name, codes in self._codes.items():
            code = other.get(name, self.controls[name].value)
            if code >= 0:
                kept &= codes == code
        return np.flatnonzero(kept)

    def _split(self, rows, split) -> np.ndarray:
        """Return the rows of a split; all of them where the answers are not split."""
        if "split" not in self._frame or self._frame["split"].isna().all():
            return rows
        return rows[(self._frame["split"].to_numpy()[rows] == split)]

    def _chosen(self, _change=None) -> None:
        """Draw what the controls say now."""
        rows = self._split(self._rows(), "test")
        c, y = self._pair(rows)
        c, words = self._mapped(c) if len(rows) else (c, "")
        self.rows, self.confidence, self.table = rows, c, None
        if not len(rows):
            self._numbers.value = "<p role='status'>No answers of this choice.</p>"
            self._diagram.value, self.bins.options = "", ()
            return
        self.table = measure.reliability_table(c, y, n_bins=_BINS)
        self.numbers = self._measured(c, y, rows)
        told = " · ".join(f"{name} <b>{value}</b>" for name, value in self.numbers.items())
        self._numbers.value = f"<p role='status'>{told}{words}</p>"
        fig = plot_reliability(self.table).figure
        self._diagram.value = _image(fig.savefig, f"Reliability diagram of {len(rows):,} answers")
        plt.close(fig)
        self.bins.options = [
            (f"to {percent(r.high)}: {r.n:,} answers, {percent(r.accuracy)} right", int(r.bin))
            for r in self.table[self.table["n"] > 0].itertuples()
        ]
        self.bins.value = int(self.table["n"].idxmax())
        self._opened()

    def _pair(self, rows) -> tuple[np.ndarray, np.ndarray]:
        part = self._frame.iloc[rows]
        return part["confidence"].to_numpy(float), part["correct"].to_numpy(bool)

    def _mapped(self, c) -> tuple[np.ndarray, str]:
        """Return the confidences through the chosen map, and a word on what it was fitted on."""
        fitted = MAPS[self.controls["map"].value]
        if fitted is None:
            return c, ""
        rows = self._rows(dataset=self.controls["labels"].value, modality=-1)
        fit = self._split(rows, "fit")
        if not len(fit) or len(fit) == len(rows):
            return c, " · no answers kept for fitting: shown as stated"
        return np.asarray(fitted(*self._pair(fit))(c)), f" · map fitted on {len(fit):,} answers"

    def _measured(self, c, y, rows) -> dict[str, str]:
        """Return the numbers in words, intervals by image where images are known."""
        part, groups = self._frame.iloc[rows], None
        if "image_id" in part and part["image_id"].notna().all():
            groups = part.groupby(["dataset", "image_id"], sort=False).ngroup().to_numpy()
        options = {"groups": groups, "rng": np.random.default_rng(0)}  # one choice, one interval
        low, ece, high = measure.ece_interval(c, y, n_bins=_BINS, **options)
        numbers = {"Answers": f"{len(c):,}", "ECE, 10 bins": estimate(ece, low, high)}
        for stat in (measure.accuracy, measure.mean_confidence, measure.brier_score):
            low, value, high = measure.bootstrap_interval(stat, c, y, n_resamples=400, **options)
            name = stat.__name__.replace("_", " ").capitalize()
            numbers[name] = estimate(value, low, high)
        return numbers

    def _opened(self, _change=None) -> None:
        """List the answers of the chosen bin from its first page on."""
        self.page.max = max(1, -(-len(self._behind()) // _PAGE))
        self.page.value = 1
        self._listed()

    def _behind(self) -> np.ndarray:
        """Return the rows behind the chosen bin."""
        if self.table is None or self.bins.value is None:
            return np.array([], dtype=int)
        low, high = self.table.loc[self.bins.value, ["low", "high"]]
        above = (self.confidence > low) | (low == 0)
        return self.rows[above & (self.confidence <= high)]

    def _listed(self, _change=None) -> None:
        first = (self.page.value - 1) * _PAGE
        shown = self._frame.iloc[self._behind()[first : first + _PAGE]]
        cards = [self._card(row) for row in shown.to_dict("records")]
        self._list.value = "".join(cards) or "<p>No answers.</p>"

    def _card(self, row) -> str:
        """Return an answer as HTML: image, question, reply, right answer."""
        item = self._items.get((row["dataset"], row.get("item_id")), {})
        image = _thumbnail(item["image"]) if item.get("image") is not None else "<i>no image</i>"
        said = row.get("answer") if pd.notna(row.get("answer")) else row.get("raw")
        lines = {
            "question": item.get("question") or row.get("question") or row.get("item_id"),
            "reply": f"{said} ({percent(row['confidence'])} sure)",
            "right answer": row.get("gold"),
            "graded": "right" if row["correct"] else "wrong",
        }
        told = "".join(f"<br>{k}: <b>{html.escape(str(v))}</b>" for k, v in lines.items())
        return f"<div class='medcal-answer' style='padding:4px'>{image}{told}</div>"


def _thumbnail(image) -> str:
    picture = open_image(image)
    picture.thumbnail((160, 160))
    return _image(picture.save, "image of the question")


def _image(save, words: str) -> str:
    """Return as HTML what ``save`` writes to a file as PNG."""
    buffer = io.BytesIO()
    save(buffer, format="png")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{html.escape(words)}" src="data:image/png;base64,{data}">'


def explore(answers: pd.DataFrame, items: pd.DataFrame | None = None) -> Explorer:
    """Return a view of answers to choose from and look into; see :class:`Explorer`."""
    return Explorer(answers, items)
