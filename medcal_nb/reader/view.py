"""The reader view: one case at a time, decided by keystroke and kept at once."""

from __future__ import annotations

import os
import time
from pathlib import Path

import ipywidgets as ipw
import pandas as pd
from IPython.display import HTML, Javascript, display

from medcal_nb.errors import MedcalError
from medcal_nb.reader import evidence, page
from medcal_nb.reader.cases import Casebook
from medcal_nb.reader.decisions import DecisionLog, decisions_path

_BUTTONS = {
    "previous": ("Previous (K)", "The case before"),
    "next": ("Next (J)", "The case after"),
    "undecided": ("Next undecided (U)", "The next case without a decision"),
    "undo": ("Undo (Z)", "Take your last decision back"),
    "summary": (
        "Summary (S)",
        "Compare yourself, the model and the pair; again to close",
    ),
    "commit": ("Commit (C)", "Give your own answer, then see the model's"),
    "accept": ("Accept (A)", "The model's answer stands"),
    "override": ("Override (O)", "Your answer stands"),
    "defer": ("Defer (D)", "Someone else decides"),
}
_DECIDING = ("accept", "override", "defer")
_BOXES = ("progress", "case", "status", "decided", "summary", "model")


class Reader(ipw.VBox):
    """Read a model's answers case by case: accept, override or defer.

    Parameters
    ----------
    answers : path
        A file of answers (.sqlite, .parquet, .csv, .jsonl); it is only read.
    decisions : path, optional
        Where decisions are kept; by default beside the answers, ``NAME.decisions.sqlite``. Made
        with the first decision.
    reader : str, optional
        Whose decisions they are; by default the user of this machine.
    dataset, model, strategy : str, optional
        What is shown first; by default the best of a medical data set, see
        :class:`medcal_nb.reader.cases.Casebook`. ``dataset`` may be ``NAME:FOLDER`` for
        items on disk.
    limit : float
        Share of wrong answers allowed above the certified confidence, in (0, 1).
    model_first : bool
        Whether the model's answer is shown before the reader has given one.

    Raises
    ------
    MedcalError
        If there is nothing to show, or a name is not in the file.
    """

    def __init__(
        self,
        answers,
        *,
        decisions=None,
        reader=None,
        limit=0.2,
        model_first=False,
        **chosen,
    ):
        self.cases = Casebook(answers, **chosen)
        self.worst = evidence.worst_cases(self.cases)
        self.rule = evidence.certified_threshold(self.cases, limit)
        self.decisions = DecisionLog(decisions or decisions_path(answers))
        user = os.environ.get("USER") or os.environ.get("USERNAME")
        self.about = self.cases.about | {"reader": reader or user or "reader"}
        self.place = 0
        self.model_first = model_first
        self._shown = None, time.monotonic()
        self.html = {name: ipw.HTML() for name in _BOXES}
        super().__init__(self._layout())
        self.add_class("medcal-reader")
        self.go_undecided(0)

    # what there is to touch

    def _layout(self):
        press = {
            "previous": lambda _: self.go(self.place - 1),
            "next": lambda _: self.go(self.place + 1),
            "undecided": lambda _: self.go_undecided(self.place + 1),
            "undo": lambda _: self.undo(),
            "summary": lambda _: self.show_summary(not self.html["summary"].value),
        }
        self.buttons = {}
        for name, (label, tip) in _BUTTONS.items():
            button = ipw.Button(description=label, tooltip=tip).add_class(
                f"medcal-{name}"
            )
            button.on_click(press.get(name) or (lambda _, name=name: self.decide(name)))
            self.buttons[name] = button
        self.buttons["commit"].layout.display = "none" if self.model_first else None
        self.own = ipw.RadioButtons(options=()).add_class("medcal-own")
        # a text is sent whole when its field is left: a click would overtake letters
        whole = {"continuous_update": False, "style": {"description_width": "initial"}}
        self.own_text = ipw.Text(
            description="your answer", placeholder="Enter when done", **whole
        )
        self.reason = ipw.Text(description="reason", placeholder="optional", **whole)
        keys = ipw.Checkbox(True, description="single-key commands", indent=False)
        *steps, commit, accept, override, defer = self.buttons.values()
        deciding = ipw.HBox([commit, accept, override, defer])
        html = self.html
        title = ipw.HTML("<h3>Your answer</h3>")
        left = [html["case"], title, self.own, self.own_text, self.reason, deciding]
        left = ipw.VBox([*left, html["status"], html["decided"]])
        columns = ipw.HBox([left, ipw.VBox([html["summary"], html["model"]])])
        top = ipw.HBox([*steps, keys.add_class("medcal-keys")])
        header = ipw.HTML(page.part("header"))
        return [header, top, html["progress"], columns.add_class("medcal-columns")]

    # where in the cases

    @property
    def case(self) -> pd.Series:
        """The case that is shown."""
        return self.cases.rows.loc[self.cases.order[self.place]]

    def go(self, place: int) -> None:
        """Show the case at a place; beyond the ends, the nearest."""
        n = len(self.cases.order)
        self.place = min(max(place, 0), n - 1)
        case = self.case
        decisions = self.decisions.latest(**self.about)
        done = decisions.get(case["item_id"])
        own = self.decisions.commitments(**self.about).get(case["item_id"])
        hidden = not (self.model_first or own or done)
        if self._shown[0] != case["item_id"]:
            self._shown = case["item_id"], time.monotonic()
        # before the case is seen, so that its keys do what they say
        off = {
            "previous": self.place == 0,
            "next": self.place == n - 1,
            "undo": not decisions,
        }
        off |= {"commit": not hidden} | dict.fromkeys(_DECIDING, hidden)
        for name, disabled in off.items():
            self.buttons[name].disabled = disabled
        shown = page.picture(case["image"])
        self._show(
            "progress", n, decisions.values(), len(self.worst), self.rule, self.about
        )
        self._show("case", case, self.place + 1, n, self.cases.note, shown)
        self._show("decided", done)
        self.html["model"].value = (
            page.part("hidden") if hidden else self._evidence(own)
        )
        self._ask_for_own(case, (done and done.answer) or (own and own.answer))
        self.reason.value = done.reason if done else ""

    def go_undecided(self, begin: int) -> None:
        """Show the next case without a decision, from a place on, round the end."""
        done = self.decisions.latest(**self.about)
        order = self.cases.order
        left = [
            item_id for item_id in order[begin:] + order[:begin] if item_id not in done
        ]
        self.go(order.index(left[0]) if left else self.place)
        if not left:
            self._show("status", "Every case is decided.")
            self.show_summary()

    def _ask_for_own(self, case, chosen):
        options = case["options"] or ()
        self.own.layout.display = None if options else "none"
        self.own_text.layout.display = "none" if options else None
        self.own.index = None
        self.own.options = options
        self.own.value = chosen if chosen in options else None
        self.own_text.value = "" if options else chosen or ""

    def _evidence(self, own=None) -> str:
        rings = self.case["item_id"] in self.worst
        return page.evidence_html(
            self.cases, self.case, rings=rings, own=own and own.answer
        )

    # deciding

    def decide(self, action: str) -> None:
        """Keep a decision about the case that is shown, then go on; or say why not."""
        case = self.case
        own = (self.own.value if case["options"] else self.own_text.value) or ""
        gives = action in ("override", "commit")
        if gives and not own.strip():
            return self._show(
                "status", "Choose or write your answer first (digits choose).", True
            )
        if action == "override" and own.strip() == case["answer"]:
            return self._show(
                "status",
                "That is the model's answer: accept it, or choose another.",
                True,
            )
        seconds = round(time.monotonic() - self._shown[1], 2)
        try:
            self.decisions.append(
                action,
                **self.about,
                item_id=case["item_id"],
                answer=own if gives else None,
                reason=self.reason.value if action != "commit" else "",
                model_answer=case["answer"],
                confidence=float(case["confidence"]),
                flagged=case["item_id"] in self.worst,
                seconds=seconds,
            )
        except MedcalError as error:
            return self._show("status", f"Not saved. {error}", True)
        self.html["summary"].value = ""
        self._show(
            "status", f"Saved: case {self.place + 1}, {action}, after {seconds:.1f} s."
        )
        if action == "commit":
            self.go(self.place)
        else:
            self.go_undecided(self.place + 1)

    def undo(self) -> None:
        """Take the last decision back and show its case again."""
        try:
            undone = self.decisions.undo(**self.about)
        except MedcalError as error:
            return self._show("status", f"Not undone. {error}", True)
        self.html["summary"].value = ""
        self.go(self.cases.order.index(undone.item_id))
        self._show("status", f"Undone: case {self.place + 1}, {undone.action}.")

    def _show(self, name: str, *values) -> None:
        self.html[name].value = page.part(name, *values)

    def show_summary(self, shown: bool = True) -> None:
        """Compare the reader, the model and the pair, above what is known of the case."""
        log = self.decisions
        mine = self.about
        made = evidence.summarise(
            self.cases, log.latest(**mine), log.commitments(**mine)
        )
        words = page.part("summary", made, evidence.readers_agreement(log.read()))
        self.html["summary"].value = words if shown else ""

    # showing

    def _ipython_display_(self):
        display(
            Javascript(
                Path(__file__).with_name("reader.js").read_text(encoding="utf-8")
            )
        )
        display(self._bundle(), raw=True)

    def _bundle(self) -> dict:
        """Return what is displayed: the widget, and a still case where there are no widgets."""
        still = page.part("header") + self.html["case"].value + self._evidence()
        still = f'<div class="medcal-reader">{still}</div>'
        return self._repr_mimebundle_() | {"text/html": still}


def reader_view(answers: str | os.PathLike, **options):
    """Return a :class:`Reader`, or a note that says why there is nothing to read.

    For a notebook that is run on any answers: those without texts, say, cannot be read case by
    case. The options are those of :class:`Reader`.

    Returns
    -------
    Reader or IPython.display.HTML
    """
    try:
        return Reader(answers, **options)
    except MedcalError as error:
        return HTML(page.part("nothing", error))
