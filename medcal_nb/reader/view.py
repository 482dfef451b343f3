"""The reader view: one case at a time, decided by keystroke and kept at once."""

from __future__ import annotations

import functools
import os
import time
from pathlib import Path

import ipywidgets as ipw
import pandas as pd
from IPython.display import Javascript, display

from medcal_nb.ask.grading import is_correct
from medcal_nb.errors import MedcalError
from medcal_nb.reader import evidence, page
from medcal_nb.reader.cases import Casebook
from medcal_nb.reader.decisions import Decision, DecisionLog, decisions_path

_BUTTONS = {
    "previous": ("Previous (K)", "The case before"),
    "next": ("Next (J)", "The case after"),
    "undecided": ("Next undecided (U)", "The next case without a decision"),
    "undo": ("Undo (Z)", "Take your last decision back"),
    "summary": ("Summary (S)", "Compare yourself, the model and both; again to close"),
    "more": (
        "Next set (N)",
        "Go on with the next cases, once all of these are decided",
    ),
    "commit": ("Commit (C)", "Give your own answer, then see the model's"),
    "accept": ("Accept (A)", "The model's answer stands"),
    "override": ("Override (O)", "Your answer stands"),
    "defer": ("Defer (D)", "Someone else decides"),
}
_DECIDING = ("accept", "override", "defer")
_BOXES = ("progress", "case", "status", "decided", "summary", "model")
_OF_CASE = ("image_id", "domain", "modality", "question_type")


class Reader(ipw.VBox):
    """Read a model's answers case by case: accept, override or defer.

    The reader gives an answer and how sure it is, 0 to 100, before the model's is shown, and may
    change both after.

    Parameters
    ----------
    answers : path
        A file of answers (.sqlite, .parquet, .csv, .jsonl); it is only read.
    decisions : path, optional
        Where decisions are kept; by default beside the answers, ``NAME.decisions.sqlite``. Made
        with the first decision.
    reader : str, optional
        Whose decisions they are; by default the user of this machine.
    limit : float
        Share of wrong answers allowed, in (0, 1): a case is flagged if more of the answers like
        it were wrong.
    size : int
        Cases of a set, at the end of which a summary stands.
    model_first : bool
        Whether the model's answer is shown before the reader has given one.
    dataset, model, strategy : str, optional
        What is shown; by default the best of a medical data set, see
        :class:`medcal_nb.reader.cases.Casebook`. ``dataset`` may be ``NAME:FOLDER`` for
        items on disk.

    Attributes
    ----------
    cases : Casebook
    set_items : list of str
        The items of this set, in order.

    Raises
    ------
    MedcalError
        If there is nothing to show, or a name is not in the file.
    """

    def __init__(
        self,
        answers: str | os.PathLike,
        *,
        decisions: str | os.PathLike | None = None,
        reader: str | None = None,
        limit: float = 0.2,
        size: int = 20,
        model_first: bool = False,
        dataset: str | None = None,
        model: str | None = None,
        strategy: str | None = None,
    ):
        self.cases = Casebook(answers, dataset=dataset, model=model, strategy=strategy)
        self.decisions = DecisionLog(decisions or decisions_path(answers))
        user = os.environ.get("USER") or os.environ.get("USERNAME")
        self.about = self.cases.about | {"reader": reader or user or "reader"}
        self.limit = limit
        self.size = size
        self.model_first = model_first
        self.place = 0
        self._shown = None
        self._since = time.monotonic()
        self.html = {name: ipw.HTML() for name in _BOXES}
        super().__init__(self._layout())
        self.add_class("medcal-reader")
        self.open_set()

    # what there is to touch

    def _layout(self) -> list[ipw.Widget]:
        self.buttons = {}
        for name, (label, tip) in _BUTTONS.items():
            button = ipw.Button(description=label, tooltip=tip)
            button.on_click(functools.partial(self._press, name))
            self.buttons[name] = button.add_class(f"medcal-{name}")
        self.buttons["commit"].layout.display = "none" if self.model_first else None
        self.own = ipw.RadioButtons(options=()).add_class("medcal-own")
        self.own_text = _field("your answer", "Enter when done")
        self.sure = _field("how sure, 0 to 100", "Enter").add_class("medcal-sure")
        self.reason = _field("reason", "optional")
        keys = ipw.Checkbox(True, description="single-key commands", indent=False)
        *steps, commit, accept, override, defer = self.buttons.values()
        html = self.html
        left = ipw.VBox(
            [
                html["case"],
                ipw.HTML("<h3>Your answer</h3>"),
                self.own,
                self.own_text,
                ipw.HBox([self.sure, self.reason]),
                ipw.HBox([commit, accept, override, defer]),
                html["status"],
                html["decided"],
            ]
        )
        right = ipw.VBox([html["summary"], html["model"]])
        return [
            ipw.HTML(page.part("header")),
            ipw.HBox([*steps, keys.add_class("medcal-keys")]),
            html["progress"],
            ipw.HBox([left, right]).add_class("medcal-columns"),
            ipw.HTML(page.part("keys")),
        ]

    def _press(self, name: str, _: ipw.Button) -> None:
        """Do what a button is for."""
        if name in ("commit", *_DECIDING):
            self.decide(name)
        elif name == "previous":
            self.go(self.place - 1)
        elif name == "next":
            self.go(self.place + 1)
        elif name == "undecided":
            self.go_undecided(self.place + 1)
        elif name == "undo":
            self.undo()
        elif name == "more":
            self.open_set()
        else:
            self.show_summary(not self.html["summary"].value)

    # where in the cases

    @property
    def case(self) -> pd.Series:
        """The case that is shown."""
        return self.cases.rows.loc[self.set_items[self.place]]

    def open_set(self) -> None:
        """Open the first set that has a case without a decision; the last if there is none."""
        order = self.cases.order
        decided = self.decisions.latest(**self.about)
        left = [place for place, item_id in enumerate(order) if item_id not in decided]
        place = left[0] if left else len(order) - 1
        self.set_number = place // self.size
        start = self.set_number * self.size
        self.set_items = order[start : start + self.size]
        # the one number of each case decides its flag
        rows = [self.cases.rows.loc[item_id] for item_id in self.set_items]
        errors = [evidence.case_error(self.cases, row) for row in rows]
        self.flagged = {
            item_id
            for item_id, error in zip(self.set_items, errors, strict=True)
            if evidence.is_flagged(error, self.limit)
        }
        self.html["summary"].value = ""
        self.go_undecided(0)

    def _decided(self) -> dict[str, Decision]:
        """Return the decisions that count among the cases of this set."""
        decisions = self.decisions.latest(**self.about)
        return {name: decisions[name] for name in self.set_items if name in decisions}

    def go(self, place: int) -> None:
        """Show the case at a place of the set; beyond the ends, the nearest."""
        n = len(self.set_items)
        self.place = min(max(place, 0), n - 1)
        case = self.case
        decisions = self._decided()
        decision = decisions.get(case["item_id"])
        own = self.decisions.commitments(**self.about).get(case["item_id"])
        hidden = not (self.model_first or own or decision)
        if self._shown != (case["item_id"], hidden):
            self._shown = (case["item_id"], hidden)
            self._since = time.monotonic()
        # before the case is seen, so that its keys do what they say
        self._switch(hidden, decisions)
        image = page.picture(case["image"])
        n_sets = -(-len(self.cases.order) // self.size)
        self._show(
            "progress",
            n,
            decisions.values(),
            len(self.flagged),
            self.limit,
            self.about,
            self.set_number + 1,
            n_sets,
        )
        self._show("case", case, self.place + 1, n, self.cases.note, image)
        self._show("decided", decision)
        if hidden:
            self.html["model"].value = page.part("hidden")
        else:
            self.html["model"].value = self._evidence(own)
        self._fill(case, decision or own)
        self.reason.value = decision.reason if decision else ""

    def _switch(self, hidden: bool, decisions: dict[str, Decision]) -> None:
        """Switch off the buttons that do nothing here."""
        n = len(self.set_items)
        order = self.cases.order
        last = order[-1] == self.set_items[-1]
        off = {
            "previous": self.place == 0,
            "next": self.place == n - 1,
            "undo": not decisions,
            "more": last or len(decisions) < n,
            "commit": not hidden,
        }
        for name, button in self.buttons.items():
            button.disabled = off.get(name, hidden and name in _DECIDING)

    def go_undecided(self, begin: int) -> None:
        """Show the next case without a decision, from a place on, round the end of the set."""
        decisions = self._decided()
        items = self.set_items
        places = [*range(begin, len(items)), *range(min(begin, len(items)))]
        left = [place for place in places if items[place] not in decisions]
        self.go(left[0] if left else self.place)
        if not left:
            self._show("status", "Every case of this set is decided.")
            self.show_summary()

    def _fill(self, case: pd.Series, decision: Decision | None) -> None:
        """Show what the reader answered so far."""
        options = case["options"] or ()
        answer = decision.answer if decision else None
        self.own.layout.display = None if options else "none"
        self.own_text.layout.display = "none" if options else None
        self.own.index = None
        self.own.options = options
        self.own.value = answer if answer in options else None
        self.own_text.value = "" if options else answer or ""
        known = decision is not None and decision.confidence is not None
        self.sure.value = f"{100 * decision.confidence:g}" if known else ""

    def _evidence(self, own: Decision | None = None) -> str:
        return page.evidence_html(self.cases, self.case, limit=self.limit, own=own)

    # deciding

    def decide(self, action: str) -> None:
        """Keep a decision about the case that is shown, then go on; or say why not."""
        case = self.case
        own = (self.own.value if case["options"] else self.own_text.value) or ""
        answer = case["answer"] if action == "accept" else own.strip()
        confidence = _confidence(self.sure.value)
        refusal = ""
        if action != "defer" and not answer:
            refusal = "Choose or write your answer first (digits choose)."
        elif action != "defer" and confidence is None:
            refusal = "Say how sure you are first (H): a number from 0 to 100."
        elif action == "override" and answer == case["answer"]:
            refusal = "That is the model's answer: accept it, or choose another."
        if refusal:
            self._show("status", refusal, True)
            return
        seconds = round(time.monotonic() - self._since, 2)
        fields = {name: case[name] for name in _OF_CASE if not pd.isna(case[name])}
        if action != "defer":
            fields["answer"] = answer
            fields["confidence"] = confidence
            fields["correct"] = _grade(case, answer)
        try:
            self.decisions.append(
                action,
                **self.about,
                **fields,
                item_id=case["item_id"],
                model_answer=case["answer"],
                model_confidence=float(case["confidence"]),
                model_correct=_grade(case, case["answer"]),
                flagged=case["item_id"] in self.flagged,
                reason=self.reason.value,
                seconds=seconds,
            )
        except MedcalError as error:
            self._show("status", f"Not saved. {error}", True)
            return
        self.html["summary"].value = ""
        self._show(
            "status", f"Saved: case {self.place + 1}, {action}, after {seconds:.1f} s."
        )
        if action == "commit":
            self.go(self.place)
        else:
            self.go_undecided(self.place + 1)

    def undo(self) -> None:
        """Take the last decision of this set back and show its case again."""
        try:
            decided = self._decided().values()
            if not decided:
                raise MedcalError("There is no decision of this set to take back.")
            last = max(decided, key=lambda decision: decision.id)
            self.decisions.undo(**self.about, item_id=last.item_id)
        except MedcalError as error:
            self._show("status", f"Not undone. {error}", True)
            return
        self.html["summary"].value = ""
        self.go(self.set_items.index(last.item_id))
        self._show("status", f"Undone: case {self.place + 1}, {last.action}.")

    def _show(self, name: str, *values: object) -> None:
        self.html[name].value = page.part(name, *values)

    def show_summary(self, shown: bool = True) -> None:
        """Compare reader, model and both on this set, above what is known of the case."""
        decided = self._decided()
        own = self.decisions.commitments(**self.about)
        summary = evidence.summarise(decided, own)
        words = page.part("summary", summary, not self.buttons["more"].disabled)
        self.html["summary"].value = words if shown else ""

    # showing

    def _ipython_display_(self) -> None:
        script = Path(__file__).with_name("reader.js").read_text(encoding="utf-8")
        display(Javascript(script))
        display(self._bundle(), raw=True)

    def _bundle(self) -> dict:
        """Return what is displayed: the widget, and a still case where there are no widgets."""
        still = page.part("header") + self.html["case"].value + self._evidence()
        still = f'<div class="medcal-reader">{still}</div>'
        return self._repr_mimebundle_() | {"text/html": still}


def _field(label: str, hint: str) -> ipw.Text:
    """Return a field of text, sent whole when it is left: a click would overtake letters."""
    style = {"description_width": "initial"}
    return ipw.Text(
        description=label, placeholder=hint, continuous_update=False, style=style
    )


def _confidence(text: str) -> float | None:
    """Return a number from 0 to 100, as people write it, as a share; None if it is none."""
    try:
        number = float(text.replace("%", "").replace(",", ".").strip())
    except ValueError:
        return None
    return number / 100 if 0 <= number <= 100 else None


def _grade(case: pd.Series, answer: str) -> bool | None:
    """Return whether an answer to a case is right; None where that is not known."""
    if answer == case["answer"]:
        return None if pd.isna(case["correct"]) else bool(case["correct"])
    if case["gold"] is None:
        return None
    kind = case["question_type"] or ("choice" if case["options"] else "open")
    return is_correct(answer, case["gold"], question_type=kind, options=case["options"])
