"""The panel of `explore`: in JupyterLab, where its script asks the kernel, and as a page."""

from __future__ import annotations

import html
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any

import pandas as pd

from medcal_nb import correct
from medcal_nb.answers import our_names
from medcal_nb.errors import check_known
from medcal_nb.explore.parts import BINS, SEED, Choice, Explored
from medcal_nb.files import new_file
from medcal_nb.measure.binned import N_BINS
from medcal_nb.reader.cases import image_folder
from medcal_nb.reader.page import page_text, shown_images

_FOLDER = Path(__file__).parent
_STYLE = _FOLDER / "explore.css"
_SCRIPT = _FOLDER / "explore.js"
#: Longest side of an image on the panel, in pixels.
LARGEST = 192
#: Seconds after which a thread makes way for another: Python's own, and while a package is loaded.
TURN = sys.getswitchinterval()
SHORT_TURN = TURN / 10
#: Choices beyond which a page names no subgroups by itself: it would take minutes.
MOST_CHOICES = 1000


def _name_of(answers: pd.DataFrame) -> str:
    """What the notebook calls these answers, for a cell that is copied to draw them."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    names = getattr(shell, "user_ns", {}).items()
    own = [name for name, one in names if one is answers and not name.startswith("_")]
    return own[-1] if own else "answers"


class Panel:
    """A panel on graded answers, shown by JupyterLab where a cell ends with it.

    Parameters
    ----------
    answers : pandas.DataFrame
        Of :func:`medcal_nb.answers.load_answers`, or any table with confidence and correct.
    images : path, optional
        Folder that paths in a column ``image``, or ``image_id``, are of; without it none is shown.
    model, strategy : str, optional
        What it opens on; if left out the model and the method that stand first.
    """

    def __init__(
        self,
        answers: pd.DataFrame,
        images: str | os.PathLike | None = None,
        model: str | None = None,
        strategy: str | None = None,
    ) -> None:
        self.explored = Explored(answers)
        self._first = self.explored.first(model, strategy)
        self._columns = answers.columns
        self._table = _name_of(answers)
        #: Images that were to be shown and are not, in words.
        self.missing = ""
        self._images = None if images is None else image_folder(images)

    def _pictures(self, parts: Iterable[dict[str, Any]]) -> dict[str, str]:
        """Images of the errors of some parts, each once: addresses that hold them, by row."""
        if self._images is None:
            return {}
        rows = {error["row"] for part in parts for error in part["errors"]}
        errors = self.explored.answers.iloc[sorted(rows)]
        pictures, self.missing = shown_images(errors, self._images, LARGEST)
        return dict(zip(map(str, errors.index), pictures, strict=True))

    def _data(self, choices: Iterable[Choice], load: str = "") -> dict[str, Any]:
        """What the script needs: controls, the parts of some choices, the cell to copy."""
        parts = {_key(choice): self.explored.part(choice) for choice in choices}
        table = self._table
        by = (
            "medcal explore --images FOLDER"
            if load
            else f"explore({table}, images=FOLDER)"
        )
        return {
            "controls": self.explored.controls(),
            "parts": parts,
            "pictures": self._pictures(parts.values()),
            "first": self._first,
            "cell": (_FOLDER / "cell.txt").read_text(encoding="utf-8"),
            "load": load,
            "table": table,
            "named": [name in self._columns for name in ("model", "strategy")],
            "seed": SEED,
            "bins": BINS,
            "ece_bins": N_BINS,
            "images_by": by if self._images is None else "",
        }

    def _ipython_display_(self) -> None:
        """Show the panel, and two hidden widgets by which its script asks for other choices."""
        import ipywidgets
        from IPython.display import HTML, display

        asked = ipywidgets.Textarea()
        reply = ipywidgets.HTML()
        bridge = ipywidgets.VBox([asked, reply], layout={"display": "none"})
        name = f"medcal-explore-{bridge.model_id}"
        bridge.add_class(name)

        def answer(change: dict[str, Any]) -> None:
            question = json.loads(change["new"])
            choice = Choice(*question["choice"])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # said on the panel
                part = self.explored.part(choice)
                answered = {"id": question["id"], "part": part}
                answered |= {"pictures": self._pictures([part])}
            reply.value = f"<pre>{html.escape(json.dumps(answered))}</pre>"

        asked.observe(answer, "value")
        # netcal brings torch along, which takes seconds: while the panel is looked at
        maps = [name for name, _ in self.explored.controls()["maps"] if name]
        Thread(target=_load, args=[maps], daemon=True).start()
        display(bridge, HTML(self.html(name)))

    def html(self, bridge: str = "") -> str:
        """Return the panel with its first choice as HTML for a notebook.

        Parameters
        ----------
        bridge : str
            Class of the widgets by which its script asks for other choices.
        """
        data = self._data([self._first]) | {"bridge": bridge}
        text = json.dumps(data).replace("<", "\\u003c")
        style, script = _parts()
        return (
            '<div class="medcal-explore"><p><i>A panel to explore these answers stands here: '
            "run this cell in JupyterLab (<code>make lab</code>).</i></p>"
            f'<script type="application/json">{text}</script></div>'
            f'<style>{style}</style><script type="module">{script}</script>'
        )


def _load(maps: Sequence[str]) -> None:
    """Load what maps need, in turns so short that a choice of the panel hardly waits for them."""
    sys.setswitchinterval(SHORT_TURN)
    try:
        correct.installed_maps(maps)
    finally:
        sys.setswitchinterval(TURN)


def _key(choice: Choice) -> str:
    """A choice as JavaScript writes it."""
    return json.dumps(choice, ensure_ascii=False, separators=(",", ":"))


@cache
def _parts() -> tuple[str, str]:
    """Style and script of the panel."""
    style, script = (path.read_text(encoding="utf-8") for path in (_STYLE, _SCRIPT))
    return style, script


def explore(
    answers: pd.DataFrame,
    *,
    model: str | None = None,
    strategy: str | None = None,
    images: str | os.PathLike | None = None,
) -> Panel:
    """Return a panel to explore graded answers with; JupyterLab shows it.

    Model, method, map and subgroup are chosen; threshold, allowed risk, checks per missed error
    and the share of right answers are moved. It shows calibration before and after the map, risk
    and coverage with what is certified, what passes and what of it is wrong, and the ten surest
    errors; its button copies the cell that draws the same from public functions, of the table by
    the name that the notebook has for it.

    It is for looking: a threshold, map or subgroup that was chosen by looking is certified anew
    (:mod:`medcal_nb.certify`). The certificate shown is of the confidences before any map, for a
    map has seen the grades.

    Where the package netcal is installed its maps are offered, too, but for BBQ, and on more than
    50,000 answers BetaCalibration, which take too long for a control (``corrected(...,
    method="netcal:BBQ")`` has them); a page (`write_page`) has ours.

    Parameters
    ----------
    answers : pandas.DataFrame
        Of :func:`medcal_nb.answers.load_answers`, or any table with columns confidence (in
        [0, 1]) and correct (1 right, 0 wrong). Answers without a grade are left out, those
        without a confidence count as checked. Subgroups are columns of 2 to 20 values.
    model, strategy : str, optional
        What the panel opens on, of all that its menus offer; if left out the model, and the
        method, that stand first.
    images : path, optional
        Folder that paths in a column ``image``, or ``image_id``, are of; without it none is shown.

    Raises
    ------
    MedcalError
        If a column is lacking, no answer has both a confidence and a grade, or none is of the
        model and the method.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> panel = explore(example_answers())
    >>> choice = panel.explored.first()._replace(map="platt")
    >>> panel.explored.part(choice)["after"]["scores"]["accuracy"]
    0.645
    """
    return Panel(answers, images, model, strategy)


def write_page(
    answers: pd.DataFrame,
    to: str | os.PathLike,
    *,
    columns: Sequence[str] | None = None,
    images: str | os.PathLike | None = None,
    load: str = "",
    sources: Sequence[str | os.PathLike] = (),
    force: bool = False,
    progress: Callable[[Sequence[Choice]], Iterable[Choice]] = iter,
) -> str:
    """Write the panel of `explore` as one page that needs no kernel and asks no host.

    Parameters
    ----------
    answers : pandas.DataFrame
        As of `explore`. Questions, replies and ids of the surest errors are on the page.
    to : path
        The page, ``.html``.
    columns : sequence of str, optional
        Columns of the subgroups; if None all of 2 to 20 values, unless that is more than 1,000
        choices.
    images : path, optional
        Folder of the images; only then images are on the page, which can be sent to others.
    load : str
        Arguments of `load_answers` in the cell to copy, as Python writes them.
    sources : sequence of path
        Files that are never replaced.
    force : bool
        Replace a file that is there.
    progress : callable
        Wraps the list of choices while they are computed.

    Returns
    -------
    str
        What the page holds.

    Raises
    ------
    MedcalError
        As of `explore`; if a column is none of subgroups, or the page cannot be written.
    """
    panel = Panel(answers, images)
    known = [name for name, _ in panel.explored.controls()["columns"]]
    columns = None if columns is None else our_names(answers, [*columns])
    for name in columns or ():
        check_known(name, known, "column of 2 to 20 values")
    choices = [*panel.explored.choices(known if columns is None else [*columns])]
    note = ""
    if columns is None and len(choices) > MOST_CHOICES:
        note = f"; without subgroups, {len(choices):,} choices: name columns"
        choices = [*panel.explored.choices([])]
    with new_file(to, sources=sources, force=force) as part:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said on the panel
            data = panel._data(progress(choices), load)
        names = {choice.column for choice in choices}
        maps = {
            choice.map for choice in choices
        }  # those of netcal are JupyterLab's alone
        controls = data["controls"]
        controls["maps"] = [one for one in controls["maps"] if one[0] in maps]
        controls["columns"] = [one for one in controls["columns"] if one[0] in names]
        text = page_text(
            data, body=_FOLDER / "explore.html", scripts=[_SCRIPT], styles=[_STYLE]
        )
        part.write_text(text, encoding="utf-8")
    if panel.missing:
        note += f"; surest errors: {panel.missing}"
    return f"{len(choices):,} choices of {len(panel.explored.answers):,} graded answers{note}"
