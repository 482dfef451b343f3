"""Widgets of the lesson: a few sliders, a figure that follows them, a sentence that reads it.

A widget shows its figure as a PNG inside the page, so that it works offline and with a screen
reader (the sentence is its alternative text). Where widgets cannot be shown, in an HTML copy or
on a web page, the figure of the moment stands in their place.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Mapping

import ipywidgets as ipw
import numpy as np
import pandas as pd

from medcal_nb.correct import FITS
from medcal_nb.measure import best_threshold, brier_score, ece, reliability_table
from medcal_nb.show import grids, lesson, plots

DPI = 110


class Panel(ipw.VBox):
    """Controls above a figure and a sentence.

    Parameters
    ----------
    show : callable
        ``show(**values)`` returns ``(figure, table, sentence)`` for the values of the controls.
    controls : mapping of str to ipywidgets.Widget
        By the name that `show` knows them under.
    extra : sequence of ipywidgets.Widget
        Further widgets beside the controls, such as buttons.
    """

    def __init__(self, show: Callable, controls: Mapping[str, ipw.Widget], *, extra=()):
        self._show = show
        self.controls = dict(controls)
        self._picture, self._words = ipw.HTML(), ipw.HTML()
        bar = ipw.HBox(
            [*self.controls.values(), *extra],
            layout=ipw.Layout(flex_flow="row wrap", align_items="center"),
        )
        super().__init__([bar, self._words, self._picture])
        self.add_class("medcal-panel")
        for control in self.controls.values():
            control.observe(self.redraw, names="value")
        self._paused = False
        self.redraw()

    def redraw(self, _change=None) -> None:
        """Show what the controls say now."""
        if self._paused:
            return
        figure, self.table, self.sentence = self._figure_now()
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
        self._png = buffer.getvalue()
        self._words.value = f'<p aria-live="polite">{html.escape(self.sentence)}</p>'
        self._picture.value = self._image()

    def set(self, **values) -> None:
        """Set several controls and redraw once."""
        self._paused = True
        try:
            for name, value in values.items():
                self.controls[name].value = value
        finally:
            self._paused = False
        self.redraw()

    def figure(self, **values):
        """Return the figure of the moment, for saving; or of other values of some controls."""
        return self._figure_now(values)[0]

    def _figure_now(self, values=None):
        import matplotlib.pyplot as plt

        now = {name: control.value for name, control in self.controls.items()}
        shown = self._show(**now | (values or {}))
        # closed figures can still be saved, and do not pile up behind a moving slider
        plt.close(shown[0])
        return shown

    def _image(self) -> str:
        data = base64.b64encode(self._png).decode()
        alternative = html.escape(self.sentence, quote=True)
        return (
            f'<img alt="{alternative}" src="data:image/png;base64,{data}" style="max-width:100%">'
        )

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        bundle["text/plain"] = self.sentence
        bundle["text/html"] = f"<p>{html.escape(self.sentence)}</p>{self._image()}"
        return bundle


def _slider(kind, label, value, low, high, step, **options):
    return kind(
        value=value,
        min=low,
        max=high,
        step=step,
        description=label,
        continuous_update=False,
        style={"description_width": "initial"},
        layout=ipw.Layout(width="22em"),
        **options,
    )


def draw_forecaster(*, rng: np.random.Generator, n: int = 1000) -> Panel:
    """Draw a forecaster: set how often it is right at each thing it says.

    Parameters
    ----------
    rng : numpy.random.Generator
    n : int
        Answers it gives.
    """
    draws = rng.random(n)
    sliders = {
        f"at_{level * 100:.0f}": _slider(
            ipw.FloatSlider, f"right when it says {level:.0%}", right, 0, 1, 0.01,
            readout_format=".0%",
        )
        for level, right in zip(lesson.LEVELS, lesson.FORECASTERS["overconfident"], strict=True)
    }  # fmt: skip
    preset = ipw.Dropdown(
        options=["drawn by hand", *lesson.FORECASTERS],
        value="overconfident",
        description="forecaster",
    )

    def show(**right):
        right = list(right.values())
        c, y = lesson.drawn_answers(right, draws)
        table = lesson.forecaster_table(right, draws)
        note = f"ECE {ece(c, y, n_bins=len(lesson.LEVELS)):.3f}"
        figure = grids.one_panel(plots.plot_reliability, table, height=3.2, note=note)
        return figure, table, _read_forecaster(right, c, y)

    panel = Panel(show, sliders, extra=[preset])
    panel.preset = preset

    def choose(change):
        if change["new"] in lesson.FORECASTERS:
            panel.set(**dict(zip(sliders, lesson.FORECASTERS[change["new"]], strict=True)))

    def moved(_change):
        if not panel._paused:
            preset.value = "drawn by hand"

    preset.observe(choose, names="value")
    for slider in sliders.values():
        slider.observe(moved, names="value")
    return panel


def _read_forecaster(right, c, y) -> str:
    levels, right = np.asarray(lesson.LEVELS), np.asarray(right)
    gap = levels.mean() - right.mean()
    if np.abs(levels - right).mean() < 0.02:
        kind = "honest"
    elif abs(gap) >= 0.02:
        kind = "overconfident on average" if gap > 0 else "underconfident on average"
    else:
        kind = "too extreme" if (levels - right)[levels > 0.5].mean() > 0 else "too timid"
    return (
        f"This forecaster is {kind}: it says {c.mean():.0%} on average and was right "
        f"{y.mean():.0%} of the time. ECE {ece(c, y, n_bins=len(levels)):.3f}, Brier score "
        f"{brier_score(c, y):.3f}."
    )


def bins_and_size(*, rng: np.random.Generator, n_repeats: int = 100, n_most: int = 5000) -> Panel:
    """Show that the ECE of a perfectly honest forecaster is not 0, by n and number of bins."""
    draws = rng.random((n_repeats, 2, n_most))
    sample = {"at": 0}
    n_slider = ipw.SelectionSlider(
        options=[n for n in (20, 50, 100, 200, 451, 1000, 2000, 5000) if n <= n_most],
        value=min(100, n_most),
        description="answers",
        continuous_update=False,
    )
    bins = _slider(ipw.IntSlider, "bins", 15, 2, 50, 1)
    again = ipw.Button(description="Another sample", tooltip="Same forecaster, other luck")

    def show(n, n_bins):
        c, y = lesson.perfect_answers(n, draws[sample["at"]])
        reliability = reliability_table(c, y, n_bins=n_bins)
        luck = lesson.luck_table(n, n_bins, draws)
        sentence = (
            f"The forecaster is honest, its true calibration error is 0. With {n:,} answers in "
            f"{n_bins} bins, this sample has an ECE of {ece(c, y, n_bins=n_bins):.3f}; the mean "
            f"over {n_repeats} samples is {luck['ece'].mean():.3f}."
        )
        return lesson.luck_figure(reliability, luck), luck, sentence

    panel = Panel(show, {"n": n_slider, "n_bins": bins}, extra=[again])
    panel.again = again

    def next_sample(_button):
        sample["at"] = (sample["at"] + 1) % n_repeats
        panel.redraw()

    again.on_click(next_sample)
    return panel


def temperature_by_hand(
    *, rng: np.random.Generator, n: int = 1000, boldness: float = 2.2, accuracy: float = 0.68
) -> Panel:
    """Turn the temperature by hand, then compare it with the fitted one."""
    confidence, correct = lesson.bold_answers(accuracy, boldness, rng.random((2, n)))
    fitted = FITS["log_odds"](confidence, correct).params["temperature"]
    curve = lesson.temperature_table(confidence, correct, np.geomspace(0.25, 5, 60))
    before = reliability_table(confidence, correct, n_bins=10)
    hand = _slider(ipw.FloatLogSlider, "temperature T", 1.0, np.log2(0.25), np.log2(5), 0.05,
                   base=2, readout_format=".2f")  # fmt: skip
    reveal = ipw.Checkbox(value=False, description="show the fitted temperature", indent=False)

    def show(temperature, reveal):
        after = reliability_table(lesson.stretch(confidence, 1 / temperature), correct, n_bins=10)
        figure = lesson.temperature_figure(
            before, after, curve, temperature=temperature, fitted=fitted if reveal else None
        )
        now = lesson.temperature_table(confidence, correct, [temperature]).iloc[0]
        sentence = (
            f"At T = {temperature:.2f}: ECE {now['ece']:.3f}, log loss {now['log_loss']:.3f}; the "
            f"order of the answers is the same at every T (AUROC {now['auroc']:.3f})."
        )
        if reveal:
            sentence += f" The fitted temperature is {fitted:.2f}."
        return figure, curve, sentence

    panel = Panel(show, {"temperature": hand, "reveal": reveal})
    panel.fitted = fitted
    return panel


def accuracy_calibration(*, rng: np.random.Generator, n: int = 2000) -> Panel:
    """Set skill and boldness apart: accuracy is not calibration."""
    draws = rng.random((2, n))
    others = lesson.boldness_table((0.4, 0.55, 0.7, 0.85), (0.4, 0.6, 1, 1.8, 3), draws)
    skill = _slider(ipw.FloatSlider, "accuracy", 0.85, 0.3, 0.95, 0.05, readout_format=".0%")
    bold = _slider(ipw.FloatLogSlider, "boldness", 3.0, np.log2(0.25), 2, 0.1, base=2,
                   readout_format=".2f")  # fmt: skip

    def show(skill, boldness):
        here = lesson.boldness_table([skill], [boldness], draws)
        reliability = reliability_table(*lesson.bold_answers(skill, boldness, draws), n_bins=10)
        row = here.iloc[0]
        sentence = (
            f"It is right {row['accuracy']:.0%} of the time and says {row['mean_confidence']:.0%} "
            f"on average: ECE {row['ece']:.3f}, Brier score {row['brier']:.3f}, AUROC "
            f"{row['auroc']:.3f}. Boldness 1 is honest, whatever the accuracy."
        )
        table = pd.concat([here.assign(this=True), others.assign(this=False)], ignore_index=True)
        return lesson.boldness_figure(reliability, here, others), table, sentence

    return Panel(show, {"skill": skill, "boldness": bold})


def base_rates() -> Panel:
    """Show what a "yes" is worth where the finding is common and where it is rare."""
    grid = np.linspace(0, 1, 101)
    options = {"readout_format": ".0%"}
    rate = _slider(ipw.FloatSlider, "base rate", 0.05, 0.01, 0.99, 0.01, **options)
    sensitivity = _slider(ipw.FloatSlider, "sensitivity", 0.9, 0, 1, 0.01, **options)
    specificity = _slider(ipw.FloatSlider, "specificity", 0.9, 0, 1, 0.01, **options)

    def show(base_rate, sensitivity, specificity):
        rates = {"sensitivity": sensitivity, "specificity": specificity}
        here = lesson.base_rate_table([base_rate], **rates)
        curve = lesson.base_rate_table(grid, **rates)
        row = here.iloc[0]
        yes = row["found"] + row["flagged"]
        worth = f"{row['ppv']:.0%} of them are right" if yes else "so there is none to trust"
        sentence = (
            f"Of 1,000 patients {1000 * base_rate:.0f} have the finding. The model says yes to "
            f"{yes:.0f}, {row['found']:.0f} of whom have it: {worth}. It misses "
            f"{row['missed']:.0f}."
        )
        return lesson.base_rate_figure(here, curve), curve, sentence

    controls = {"base_rate": rate, "sensitivity": sensitivity, "specificity": specificity}
    return Panel(show, controls)


def choose_threshold(
    *, rng: np.random.Generator, n: int = 2000, accuracy: float = 0.75, boldness: float = 1.0
) -> Panel:
    """Choose from which confidence on an answer is kept without a check."""
    confidence, correct = lesson.bold_answers(accuracy, boldness, rng.random((2, n)))
    threshold = _slider(ipw.FloatSlider, "threshold", 0.5, 0, 1, 0.01, readout_format=".0%")
    ratio = _slider(ipw.IntSlider, "checks one error is worth", 5, 2, 50, 1)

    def show(threshold, cost_ratio):
        curve = lesson.threshold_curve_table(confidence, correct, cost_ratio=cost_ratio)
        now = curve.iloc[round(threshold * (len(curve) - 1))]
        least = curve.loc[curve["cost"].idxmin()]
        theory = best_threshold(cost_wrong=1.0, cost_check=1 / cost_ratio)
        slip = f"{now['risk']:.0%} of them wrong" if now["coverage"] else "nothing slips through"
        sentence = (
            f"From {threshold:.0%} on, {now['coverage']:.0%} of the answers are kept, {slip}; cost "
            f"{now['cost']:.3f} per answer. The costs alone say {theory:.0%}; cheapest on these "
            f"answers is {least['threshold']:.0%} (cost {least['cost']:.3f})."
        )
        figure = lesson.threshold_figure(curve, threshold=threshold, cost_ratio=cost_ratio, n=n)
        return figure, curve, sentence

    return Panel(show, {"threshold": threshold, "cost_ratio": ratio})
