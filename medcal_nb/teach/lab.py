"""The reliability lab as a widget; all it shows is computed in the browser, by ``lab.js``."""

from __future__ import annotations

import html
import json
from pathlib import Path

import anywidget
import traitlets

SETTINGS = ("right", "n", "bins", "temperature", "threshold", "cost", "sample")
_STILL = "An interactive lab stands here: open this notebook with `make lab`."
_WAKE = """for (const el of document.querySelectorAll(".lab:not([data-live])")) {
  el.dataset.live = "";
  el.replaceChildren();
  mount(el, JSON.parse(el.dataset.start));
}"""
_CODE = Path(__file__).with_name("lab.js")


def lab_code() -> str:
    """Return the lab's ES module: ``mount(element, settings)`` draws it, without a kernel."""
    style = _CODE.with_suffix(".css").read_text(encoding="utf-8")
    return _CODE.read_text(encoding="utf-8").replace("/* lab.css */", style)


def lab_markup(settings: dict) -> str:
    """Return the place of a lab in a page without a kernel, where the page's script draws it."""
    start = html.escape(json.dumps(settings))
    return f'<div class="lab" data-start="{start}"><p><i>{_STILL}</i></p></div>'


class Lab(anywidget.AnyWidget):
    """A forecaster to be drawn by hand, with its ECE, what luck does to it, and its scores.

    Attributes
    ----------
    settings : dict
        ``right`` (how often it is right at 10, 30, 50, 70 and 90 %), ``n`` (answers), ``bins``,
        ``temperature``, ``threshold``, ``cost`` (checks worth one error), ``sample``: where it
        starts from.
    """

    _esm = lab_code()
    settings = traitlets.Dict().tag(sync=True)

    def _repr_mimebundle_(self, **kwargs):
        data, metadata = super()._repr_mimebundle_(**kwargs)
        script = f'<script type="module">{lab_code()}\n{_WAKE}</script>'
        return data | {"text/html": lab_markup(self.settings) + script}, metadata


def lab(**settings) -> Lab:
    """Return a lab that starts from some settings.

    Raises
    ------
    ValueError
        If there is no such setting.
    """
    unknown = sorted(settings.keys() - set(SETTINGS))
    if unknown:
        raise ValueError(f"no setting {unknown[0]!r}; there are {', '.join(SETTINGS)}")
    return Lab(settings=settings)
