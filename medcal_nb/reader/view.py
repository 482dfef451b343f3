"""The reader view: one case at a time, decided by keystroke and kept at once."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable

import ipywidgets as ipw

from medcal_nb.errors import MedcalError
from medcal_nb.reader import evidence, page
from medcal_nb.reader.cases import AnswerBook, Case, Casebook
from medcal_nb.reader.decisions import Decision, DecisionLog, decisions_path

#: Keys by the class of the button they press.
KEYS = {
    "a": "accept",
    "o": "override",
    "d": "defer",
    "c": "commit",
    "j": "next",
    "k": "previous",
    "u": "undecided",
    "s": "summary",
}
# The listener sits on the window and captures, so that it comes before JupyterLab's own, for which
# "a" inserts a cell. Fields that take text keep their letters, and other parts of a notebook keep
# their keys. Digits choose an answer.
_SCRIPT = """
(() => {
  if (window.medcalReaderKeys) { return; }
  window.medcalReaderKeys = true;
  const keys = %s;
  window.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) { return; }
    const target = event.target;
    const inside = target.closest && target.closest('.medcal-reader');
    const alone = document.body.dataset.voila === 'voila';
    const root = inside || (alone && document.querySelector('.medcal-reader'));
    if (!root || root.classList.contains('medcal-no-keys')) { return; }
    const writes = 'input:not([type=radio]):not([type=checkbox]), textarea, select';
    if (target.matches(writes)) { return; }
    let control = null;
    if (/^[1-9]$/.test(event.key)) {
      control = root.querySelectorAll('.medcal-own input[type=radio]')[Number(event.key) - 1];
    } else if (keys[event.key.toLowerCase()]) {
      control = root.querySelector('.medcal-' + keys[event.key.toLowerCase()]);
    }
    if (!control) { return; }
    event.preventDefault();
    event.stopImmediatePropagation();
    if (!control.disabled) { control.focus(); control.click(); }
  }, true);
})();
"""


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
        What is shown first; by default the first medical data set and the model asked most ways.
        ``dataset`` may be ``NAME:FOLDER`` for items on disk.
    limit : float
        Share of wrong answers allowed among those that are not flagged.
    commit_first : bool
        Whether an own answer is asked for before the model's is shown.
    seed : int
        Of the order of the cases.

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
        commit_first: bool = False,
        seed: int = 0,
    ):
        self.book = AnswerBook(answers, items=dataset, seed=seed)
        self.decisions = DecisionLog(decisions or decisions_path(answers))
        self._filling = False
        self._make_controls(reader or _user(), limit, commit_first)
        self._choose(*self.book.choose(dataset, model, strategy))
        super().__init__(self._layout())
        self.add_class("medcal-reader")
        self._connect()
        self._open_casebook()

    # what there is to touch

    def _make_controls(self, reader, limit, commit_first):
        wide = {"description_width": "initial"}
        self.reader = ipw.Text(
            reader, description="reader", style=wide, continuous_update=False,
            layout=ipw.Layout(width="14em"),
        )  # fmt: skip
        self.dataset = ipw.Dropdown(description="data set", style=wide)
        self.model = ipw.Dropdown(description="model", style=wide)
        self.strategy = ipw.Dropdown(description="confidence by", style=wide)
        self.limit = ipw.BoundedIntText(
            value=round(100 * limit), min=1, max=99, description="errors allowed, %", style=wide,
            layout=ipw.Layout(width="13em"),
        )  # fmt: skip
        self.commit_first = ipw.Checkbox(
            value=commit_first, description="answer before seeing the model's", indent=False
        )
        self.single_keys = ipw.Checkbox(value=True, description="single-key commands", indent=False)
        self.buttons = {
            name: self._button(name, label, tip)
            for name, label, tip in (
                ("previous", "Previous (K)", "The case before"),
                ("next", "Next (J)", "The case after"),
                ("undecided", "Next undecided (U)", "The next case without a decision"),
                ("commit", "Commit (C)", "Give your own answer, then see the model's"),
                ("accept", "Accept (A)", "The model's answer stands"),
                ("override", "Override (O)", "Your answer stands"),
                ("defer", "Defer (D)", "Someone else decides"),
                ("summary", "Summary (S)", "Compare yourself, the model and the pair"),
            )
        }
        self.own = ipw.RadioButtons(options=(), layout=ipw.Layout(width="auto"))
        self.own.add_class("medcal-own")
        self.own_text = ipw.Text(description="your answer", style=wide, continuous_update=False)
        self.reason = ipw.Text(
            # sent whole when the field is left: a click would overtake letters under way
            continuous_update=False,
            description="reason", placeholder="optional", style=wide,
            layout=ipw.Layout(width="34em"),
        )  # fmt: skip
        self.case_box, self.model_box = ipw.HTML(), ipw.HTML()
        self.status, self.summary_box, self.decided = ipw.HTML(), ipw.HTML(), ipw.HTML()

    @staticmethod
    def _button(name, label, tip):
        button = ipw.Button(description=label, tooltip=tip)
        button.add_class(f"medcal-{name}")
        return button

    def _layout(self):
        wrap = ipw.Layout(flex_flow="row wrap", align_items="center", grid_gap="0.5rem")
        row = lambda *children: ipw.HBox(list(children), layout=wrap)  # noqa: E731
        own = ipw.VBox([ipw.HTML("<h3>Your answer</h3>"), self.own, self.own_text, self.reason])
        b = self.buttons
        decide = row(b["commit"], b["accept"], b["override"], b["defer"])
        left = ipw.VBox(
            [self.case_box, own, decide, self.status, self.decided],
            layout=ipw.Layout(flex="1 1 24rem"),
        )
        right = ipw.VBox([self.model_box], layout=ipw.Layout(flex="1 1 30rem"))
        return [
            ipw.HTML(page.header()),
            row(self.dataset, self.model, self.strategy),
            row(self.reader, self.limit, self.commit_first, self.single_keys),
            row(b["previous"], b["next"], b["undecided"], b["summary"]),
            ipw.HBox([left, right], layout=ipw.Layout(flex_flow="row wrap", grid_gap="1.5rem")),
            self.summary_box,
        ]

    def _connect(self):
        b = self.buttons
        b["previous"].on_click(lambda _: self.go(self.place - 1))
        b["next"].on_click(lambda _: self.go(self.place + 1))
        b["undecided"].on_click(lambda _: self.go_undecided())
        b["summary"].on_click(lambda _: self.show_summary())
        for action in ("accept", "override", "defer", "commit"):
            b[action].on_click(lambda _, action=action: self.decide(action))
        self.dataset.observe(self._dataset_chosen, names="value")
        self.model.observe(self._model_chosen, names="value")
        self.strategy.observe(self._open_casebook, names="value")
        self.limit.observe(self._limit_chosen, names="value")
        self.reader.observe(self._open_casebook, names="value")
        self.commit_first.observe(lambda _: self.go(self.place), names="value")
        self.single_keys.observe(self._keys_switched, names="value")

    # which answers

    def _choose(self, dataset, model, strategy):
        """Fill the lists and choose from them, before anything listens."""
        for box, chosen, names in (
            (self.dataset, dataset, self.book.datasets()),
            (self.model, model, self.book.models(dataset)),
            (self.strategy, strategy, self.book.strategies(dataset, model)),
        ):
            box.options = names
            box.value = chosen

    def _dataset_chosen(self, _change):
        self._refill(self.model, self.book.models(self.dataset.value))
        self._model_chosen()

    def _model_chosen(self, _change=None):
        if not self._filling:
            self._refill(self.strategy, self.book.strategies(self.dataset.value, self.model.value))
            self._open_casebook()

    def _refill(self, box, names):
        """Offer other names, keeping the choice where it is one of them."""
        kept = box.value if box.value in names else names[0]
        self._filling = True
        try:
            box.options = names
            box.value = kept
        finally:
            self._filling = False

    def _open_casebook(self, _change=None):
        if self._filling:
            return
        self.cases: Casebook = self.book.casebook(
            self.dataset.value, self.model.value, self.strategy.value
        )
        self.rule = evidence.check_rule(self.cases, limit=self.limit.value / 100)
        self.place = 0
        self._say("")
        self.summary_box.value = ""
        self.go_undecided(start=0)

    def _limit_chosen(self, _change):
        self.rule = evidence.check_rule(self.cases, limit=self.limit.value / 100)
        self.go(self.place)

    def _keys_switched(self, change):
        (self.remove_class if change["new"] else self.add_class)("medcal-no-keys")

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
        case, shown = self.case, self._mine()
        done = self.decisions.latest(**shown).get(case.item_id)
        own = self.decisions.commitments(**shown).get(case.item_id)
        hidden = self.commit_first.value and own is None and done is None
        self.case_box.value = page.case_html(
            case, place=self.place + 1, total=len(self.cases), note=self.cases.note
        )
        self._ask_for_own(case, (done and done.answer) or (own and own.answer))
        self.reason.value = done.reason if done else ""
        self.model_box.value = _HIDDEN if hidden else self._evidence(case, own)
        self.decided.value = (
            f'<p class="medcal-decided">{page._e(page.decision_words(done))}</p>' if done else ""
        )
        b = self.buttons
        b["commit"].disabled = not hidden
        b["commit"].layout.display = None if self.commit_first.value else "none"
        for action in ("accept", "override", "defer"):
            b[action].disabled = hidden
        b["previous"].disabled = self.place == 0
        b["next"].disabled = self.place == len(self.cases) - 1

    def go_undecided(self, start: int | None = None) -> None:
        """Show the next case without a decision, from the one after this on, round the end."""
        begin = self.place + 1 if start is None else start
        done = self.decisions.latest(**self._mine())
        n = len(self.cases)
        places = [(begin + k) % n for k in range(n)]
        open_places = [p for p in places if self.cases.order[p] not in done]
        if open_places:
            self.go(open_places[0])
        else:
            self.go(self.place)
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

    def _evidence(self, case, own: Decision | None) -> str:
        return "".join(
            [
                page.model_html(case, own=own.answer if own else None),
                page.flag_html(self.rule, case.confidence),
                "<h3>How often is it wrong?</h3>",
                page.odds_html(evidence.case_error(self.cases, case)),
                "<h3>Where does the doubt come from?</h3>",
                page.reasons_html(
                    evidence.other_ways(self.cases, case),
                    evidence.blank_image(self.cases, case),
                    case,
                ),
                "<h3>Past cases of like confidence</h3>",
                page.past_html(evidence.past_cases(self.cases, case)),
            ]
        )

    # deciding

    def decide(self, action: str) -> Decision | None:
        """Keep a decision about the case that is shown, then go on; None where it was refused."""
        case = self.case
        own = (self.own.value if case.options else self.own_text.value) or ""
        if action in ("override", "commit") and not own.strip():
            return self._refuse("Choose or write your answer first (digits choose).")
        if action == "override" and own.strip() == case.answer:
            return self._refuse("That is the model's answer: accept it, or choose another.")
        try:
            made = self.decisions.append(
                action,
                **self._mine(),
                item_id=case.item_id,
                answer=own if action in ("override", "commit") else None,
                reason=self.reason.value if action != "commit" else "",
                model_answer=case.answer,
                confidence=case.confidence,
                flagged=self.rule.flags(case.confidence),
            )
        except MedcalError as error:
            return self._refuse(f"Not saved. {error}")
        self._say(f"Saved. Case {self.place + 1}: {page.decision_words(made)}")
        self.summary_box.value = ""
        if action == "commit":
            self.go(self.place)
        else:
            self.go_undecided()
        return made

    def _refuse(self, words: str) -> None:
        self.status.value = f'<p role="alert" class="error">{page._e(words)}</p>'

    def _say(self, words: str) -> None:
        self.status.value = f'<p role="status">{page._e(words)}</p>'

    def show_summary(self) -> None:
        """Compare the reader, the model and the pair, below the buttons."""
        mine = self._mine()
        summary = evidence.summarise(
            self.cases, self.decisions.latest(**mine), self.decisions.commitments(**mine)
        )
        self.summary_box.value = page.summary_html(summary)

    # showing

    def _ipython_display_(self):
        from IPython.display import Javascript, display

        display(Javascript(key_script()))
        display(self._bundle(), raw=True)

    def _bundle(self) -> dict:
        bundle = ipw.VBox._repr_mimebundle_(self)
        still = page.header() + self.case_box.value + self.model_box.value
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

        return HTML(f"<p>No reader view of these answers: {page._e(error)}</p>")


_HIDDEN = (
    "<h2>The model's answer is hidden</h2><p>Choose or write your own first, then press "
    "<b>Commit</b>.</p>"
)


def key_script(keys: dict[str, str] | Callable = KEYS) -> str:
    """Return the script that lets single keys press the reader view's buttons."""
    import json

    return _SCRIPT % json.dumps(keys)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "reader"
