"""The reader view: one case at a time, decided by keystroke and kept at once."""

from __future__ import annotations

import getpass
import os
import time
from pathlib import Path

import ipywidgets as ipw

from medcal_nb.errors import MedcalError
from medcal_nb.reader import evidence, page
from medcal_nb.reader.cases import AnswerBook, Case, Casebook
from medcal_nb.reader.decisions import Decision, DecisionLog, decisions_path

_BUTTONS = {
    "previous": ("Previous (K)", "The case before"),
    "next": ("Next (J)", "The case after"),
    "undecided": ("Next undecided (U)", "The next case without a decision"),
    "undo": ("Undo (Z)", "Take your last decision back"),
    "summary": ("Summary (S)", "Compare yourself, the model and the pair; again to close"),
    "commit": ("Commit (C)", "Give your own answer, then see the model's"),
    "accept": ("Accept (A)", "The model's answer stands"),
    "override": ("Override (O)", "Your answer stands"),
    "defer": ("Defer (D)", "Someone else decides"),
}
_CHOICES = ("dataset", "model", "strategy")


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
        :attr:`medcal_nb.reader.cases.AnswerBook.ranking`. ``dataset`` may be ``NAME:FOLDER`` for
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
        answers: str | os.PathLike,
        *,
        decisions: str | os.PathLike | None = None,
        reader: str | None = None,
        dataset: str | None = None,
        model: str | None = None,
        strategy: str | None = None,
        limit: float = 0.2,
        model_first: bool = False,
    ):
        self.book = AnswerBook(answers, items=dataset)
        self.decisions = DecisionLog(decisions or decisions_path(answers))
        self._filling = False
        self._shown = None, time.monotonic()
        self._make_controls(reader or _user(), limit, model_first)
        self._fill(self.book.choose(dataset, model, strategy))
        super().__init__(self._layout(), tabbable=False)  # takes the focus by click, not by Tab
        self.add_class("medcal-reader")
        self._connect()
        self._open_casebook()

    # what there is to touch

    def _make_controls(self, reader, limit, model_first):
        # text is sent whole when the field is left: a click would overtake letters under way
        text = {"style": {"description_width": "initial"}, "continuous_update": False}
        self.reader = ipw.Text(reader, description="reader", **text)
        self.choices = {
            name: ipw.Dropdown(description=label, style=text["style"])
            for name, label in zip(_CHOICES, ("data set", "model", "confidence by"), strict=True)
        }
        self.limit = ipw.BoundedIntText(
            round(100 * limit), min=1, max=99, description="errors allowed, %", style=text["style"]
        )
        self.model_first = ipw.Checkbox(
            model_first, description="show the model's answer first", indent=False
        )
        self.single_keys = ipw.Checkbox(True, description="single-key commands", indent=False)
        self.buttons = {
            name: ipw.Button(description=label, tooltip=tip)
            for name, (label, tip) in _BUTTONS.items()
        }
        for name, button in self.buttons.items():
            button.add_class(f"medcal-{name}")
        self.settings = ipw.ToggleButton(description="Settings", tooltip="Data set, model, keys")
        self.own = ipw.RadioButtons(options=(), layout=ipw.Layout(width="auto"))
        self.own.add_class("medcal-own")
        self.own_text = ipw.Text(description="your answer", **text)
        self.reason = ipw.Text(description="reason", placeholder="optional", **text)
        self.progress, self.case_box, self.model_box = ipw.HTML(), ipw.HTML(), ipw.HTML()
        self.status, self.summary_box, self.decided = ipw.HTML(), ipw.HTML(), ipw.HTML()

    def _layout(self):
        b = self.buttons
        steps = (b["previous"], b["next"], b["undecided"], b["undo"], b["summary"])
        switches = (self.reader, self.limit, self.model_first, self.single_keys)
        self.settings_box = ipw.VBox([_row(*self.choices.values()), _row(*switches)])
        left = ipw.VBox(
            [
                self.case_box,
                ipw.HTML("<h3>Your answer</h3>"),
                self.own,
                self.own_text,
                self.reason,
                _row(b["commit"], b["accept"], b["override"], b["defer"]),
                self.status,
                self.decided,
            ],
            layout=ipw.Layout(flex="1 1 24rem"),
        )
        right = ipw.VBox([self.summary_box, self.model_box], layout=ipw.Layout(flex="1 1 30rem"))
        return [
            ipw.HTML(page.part("header")),
            _row(*steps, self.settings),
            self.settings_box,
            self.progress,
            ipw.HBox([left, right], layout=ipw.Layout(flex_flow="row wrap", grid_gap="1.5rem")),
        ]

    def _connect(self):
        press = {
            "previous": lambda: self.go(self.place - 1),
            "next": lambda: self.go(self.place + 1),
            "undecided": self.go_undecided,
            "undo": self.undo,
            "summary": lambda: self.show_summary(not self.summary_box.value),
        }
        for name, button in self.buttons.items():
            do = press.get(name, lambda name=name: self.decide(name))
            button.on_click(lambda _, do=do: do())
        for name, box in self.choices.items():
            box.observe(lambda _, name=name: self._chosen(name), names="value")
        self.reader.observe(self._open_casebook, names="value")
        self.limit.observe(self._rank, names="value")
        self.model_first.observe(lambda _: self.go(self.place), names="value")
        self.single_keys.observe(self._keys_switched, names="value")
        self.settings.observe(self._settings_switched, names="value")
        self._settings_switched()

    def _keys_switched(self, change):
        (self.remove_class if change["new"] else self.add_class)("medcal-no-keys")

    def _settings_switched(self, _change=None):
        self.settings_box.layout.display = None if self.settings.value else "none"

    # which answers

    def _fill(self, names):
        """Offer what there is and choose, before anything listens."""
        chosen = {}
        for column, name in zip(_CHOICES, names, strict=True):
            self.choices[column].options = self.book.names(column, **chosen)
            self.choices[column].value = chosen[column] = name

    def _chosen(self, column):
        """Open what was chosen, with the best of what follows from it."""
        if self._filling:
            return
        fixed = _CHOICES[: _CHOICES.index(column) + 1]
        self._filling = True
        try:
            self._fill(self.book.choose(**{name: self.choices[name].value for name in fixed}))
        finally:
            self._filling = False
        self._open_casebook()

    def _open_casebook(self, _change=None):
        self.cases: Casebook = self.book.casebook(*(self.choices[c].value for c in _CHOICES))
        self.place = 0
        self._say("")
        self.summary_box.value = ""
        self._rank()
        self.go_undecided(start=0)

    def _rank(self, _change=None):
        self.alarm = evidence.alarm(self.cases, limit=self.limit.value / 100)
        self.go(self.place)

    # where in them

    @property
    def case(self) -> Case:
        """The case that is shown."""
        return self.cases.case(self.cases.order[self.place])

    def _mine(self) -> dict[str, str]:
        return {
            "reader": self.reader.value.strip() or _user(),
            "model": self.cases.model,
            "dataset": self.cases.dataset,
            "strategy": self.cases.strategy,
        }

    def go(self, place: int) -> None:
        """Show the case at a place; beyond the ends, the nearest."""
        self.place = min(max(place, 0), len(self.cases) - 1)
        case, decisions = self.case, self.decisions.latest(**self._mine())
        done = decisions.get(case.item_id)
        own = self.decisions.commitments(**self._mine()).get(case.item_id)
        hidden = not self.model_first.value and own is None and done is None
        if self._shown[0] != case.item_id:
            self._shown = case.item_id, time.monotonic()
        n_deferred = sum(made.action == "defer" for made in decisions.values())
        self.progress.value = page.part(
            "progress", len(self.cases), len(decisions), n_deferred, self.alarm
        )
        self.case_box.value = page.case_html(
            case, place=self.place + 1, total=len(self.cases), note=self.cases.note
        )
        self._ask_for_own(case, (done and done.answer) or (own and own.answer))
        self.reason.value = done.reason if done else ""
        self.model_box.value = page.part("hidden") if hidden else self._evidence(own)
        self.decided.value = page.part("decided", page.decision_words(done)) if done else ""
        self._switch(hidden, bool(decisions))

    def _switch(self, hidden: bool, any_decided: bool) -> None:
        """Let only those buttons be pressed that can do something here."""
        for action in ("accept", "override", "defer"):
            self.buttons[action].disabled = hidden
        self.buttons["commit"].disabled = not hidden
        self.buttons["commit"].layout.display = "none" if self.model_first.value else None
        self.buttons["undo"].disabled = not any_decided
        self.buttons["previous"].disabled = self.place == 0
        self.buttons["next"].disabled = self.place == len(self.cases) - 1

    def go_undecided(self, start: int | None = None) -> None:
        """Show the next case without a decision, from the one after this on, round the end."""
        begin = self.place + 1 if start is None else start
        done = self.decisions.latest(**self._mine())
        n = len(self.cases)
        places = [(begin + k) % n for k in range(n)]
        open_places = [p for p in places if self.cases.order[p] not in done]
        self.go(open_places[0] if open_places else self.place)
        if not open_places:
            self._say("Every case is decided.")
            self.show_summary()

    def _ask_for_own(self, case, chosen):
        listed = bool(case.options)
        self.own.layout.display = None if listed else "none"
        self.own_text.layout.display = "none" if listed else None
        self.own.index = None
        self.own.options = case.options
        self.own.index = None
        self.own_text.value = ""
        if chosen and listed and chosen in case.options:
            self.own.value = chosen
        elif chosen and not listed:
            self.own_text.value = chosen

    def _evidence(self, own: Decision | None = None) -> str:
        return page.evidence_html(self.cases, self.case, self.alarm, own)

    # deciding

    def decide(self, action: str) -> Decision | None:
        """Keep a decision about the case that is shown, then go on; None where it was refused."""
        case = self.case
        own = (self.own.value if case.options else self.own_text.value) or ""
        if action in ("override", "commit") and not own.strip():
            return self._refuse("Choose or write your answer first (digits choose).")
        if action == "override" and own.strip() == case.answer:
            return self._refuse("That is the model's answer: accept it, or choose another.")
        seconds = time.monotonic() - self._shown[1]
        try:
            made = self.decisions.append(
                action,
                **self._mine(),
                item_id=case.item_id,
                answer=own if action in ("override", "commit") else None,
                reason=self.reason.value if action != "commit" else "",
                model_answer=case.answer,
                confidence=case.confidence,
                flagged=case.item_id in self.alarm.items,
                seconds=round(seconds, 2),
            )
        except MedcalError as error:
            return self._refuse(f"Not saved. {error}")
        self.summary_box.value = ""
        self._say(f"Saved: case {self.place + 1}, {action}, after {seconds:.1f} s.")
        if action == "commit":
            self.go(self.place)
        else:
            self.go_undecided()
        return made

    def undo(self) -> None:
        """Take the last decision back and show its case again."""
        try:
            undone = self.decisions.undo(**self._mine())
        except MedcalError as error:
            return self._refuse(f"Not undone. {error}")
        if undone is None:
            return self._refuse("Nothing to undo.")
        self.summary_box.value = ""
        if undone.item_id in self.cases.order:
            self.go(self.cases.order.index(undone.item_id))
        self._say(f"Undone: case {self.place + 1}, {undone.action}.")

    def _refuse(self, words: str) -> None:
        self.status.value = page.part("refused", words)

    def _say(self, words: str) -> None:
        self.status.value = page.part("said", words)

    def show_summary(self, shown: bool = True) -> None:
        """Compare the reader, the model and the pair, above what is known of the case."""
        if not shown:
            self.summary_box.value = ""
            return
        mine = self._mine()
        summary = evidence.summarise(
            self.cases, self.decisions.latest(**mine), self.decisions.commitments(**mine)
        )
        agreement = page.agreement_words(evidence.readers_agreement(self.decisions.read()))
        self.summary_box.value = page.part("summary", summary, agreement)

    # showing

    def _ipython_display_(self):
        from IPython.display import Javascript, display

        script = Path(__file__).with_name("reader.js").read_text(encoding="utf-8")
        display(Javascript(script))
        display(self._bundle(), raw=True)

    def _bundle(self) -> dict:
        """Return what is displayed: the widget, and a still case where there are no widgets."""
        bundle = ipw.VBox._repr_mimebundle_(self)
        still = page.part("header") + self.case_box.value + self._evidence()
        bundle["text/plain"] = repr(self)
        bundle["text/html"] = f'<div class="medcal-reader">{still}</div>'
        return bundle

    def __repr__(self) -> str:
        return f"<Reader of {self.book.path.name}: {len(self.cases)} cases, {self.cases.model}>"


def reader_view(answers: str | os.PathLike, **options):
    """Return a :class:`Reader`, or a note that says why there is nothing to read.

    For a notebook that is run on any answers: those without texts, say, cannot be read case by
    case.

    Parameters
    ----------
    answers : path
    **options
        As for :class:`Reader`.

    Returns
    -------
    Reader or IPython.display.HTML
    """
    try:
        return Reader(answers, **options)
    except MedcalError as error:
        from IPython.display import HTML

        return HTML(page.part("nothing", error))


def _row(*children) -> ipw.HBox:
    wrap = ipw.Layout(flex_flow="row wrap", align_items="center", grid_gap="0.4rem")
    return ipw.HBox(children, layout=wrap)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "reader"
