"""The reliability lab as a widget; all it shows is computed in the browser, by ``lab.js``."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets

SETTINGS = ("right", "n", "bins", "temperature", "threshold", "cost", "sample")
STILL = "An interactive lab stands here: open this notebook with `make lab`."
"""What a copy without a kernel shows."""
_CODE = Path(__file__).with_name("lab.js")


def lab_code() -> str:
    """Return the lab's ES module: ``mount(element, settings)`` draws it, without a kernel."""
    return _CODE.read_text(encoding="utf-8")


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
        bundle = super()._repr_mimebundle_(**kwargs)
        # anywidget may return a pair of data and metadata
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        data["text/html"] = f"<p><i>{STILL}</i></p>"
        return bundle


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
