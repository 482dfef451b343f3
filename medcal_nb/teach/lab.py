"""The reliability lab as a widget; all it shows is computed in the browser, by ``lab.js``."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from pathlib import Path

import anywidget
import traitlets

CONTROLS = (
    "right",
    "n",
    "bins",
    "temperature",
    "threshold",
    "base_rate",
    "prevalence",
)
NUMBERS = (
    "ece",
    "ece_interval",
    "luck",
    "gap",
    "accuracy",
    "log_loss",
    "auroc",
    "cost",
    "kept",
    "risk",
    "yes",
    "ppv",
)
SETTINGS = (*CONTROLS, "control", "numbers", "cost", "sample")
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
    """A forecaster to be drawn by hand, with one control and two numbers.

    Attributes
    ----------
    settings : dict
        Where it starts from; what is left out has a default:

        - ``control``: one of :data:`CONTROLS`, what can be moved;
        - ``numbers``: two of :data:`NUMBERS`, what is shown;
        - ``right``: how often it is right around a confidence of 10, 30, 50, 70 and 90 %;
        - ``n`` (answers), ``bins``, ``temperature``, ``sample`` (which one of many);
        - ``threshold``, ``cost`` (checks worth one error);
        - ``base_rate``, ``prevalence`` (shares of patients, and of women).
    """

    _esm = lab_code()
    settings = traitlets.Dict().tag(sync=True)

    def _repr_mimebundle_(self, **kwargs: object) -> tuple[dict, dict]:
        data, metadata = super()._repr_mimebundle_(**kwargs)
        script = f'<script type="module">{lab_code()}\n{_WAKE}</script>'
        return data | {"text/html": lab_markup(self.settings) + script}, metadata


def lab(**settings: object) -> Lab:
    """Return a lab that starts from some settings, those of :attr:`Lab.settings`.

    Raises
    ------
    ValueError
        If there is no such setting, control or number.

    Examples
    --------
    >>> lab(control="temperature", numbers=["accuracy", "ece"], n=2000).settings["n"]
    2000
    """
    _require("setting", settings, SETTINGS)
    _require("control", [settings.get("control", "right")], CONTROLS)
    _require("number", settings.get("numbers", []), NUMBERS)
    return Lab(settings=settings)


def _require(what: str, names: Iterable[str], known: tuple[str, ...]) -> None:
    """Refuse a name that is not known."""
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(f"no {what} {unknown[0]!r}; there are {', '.join(known)}")
