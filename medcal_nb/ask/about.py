"""A second opinion: a model is asked about the answers that another one gave.

Image, question and that answer are shown, and how probable it is that the answer is right is read.
What comes back stands in a log like any answers: ``model`` is who was asked, ``about_model`` and
``about_strategy`` whose answer it is about, ``answer`` and ``correct`` that answer and its grade,
``confidence`` the probability that it is right.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from medcal_nb.answers import AnswerLog
from medcal_nb.ask import calls, rows
from medcal_nb.ask.run import Summary, ask
from medcal_nb.ask.strategies import P_TRUE, SELF_PROBING, STRATEGIES
from medcal_nb.ask.strategy import Plan, Program, Strategy, applies_always
from medcal_nb.datasets import Item
from medcal_nb.errors import MedcalError, check_known
from medcal_nb.words import parse_confidence

#: What is known of the answer that an item asks about, as its column ``about`` holds it.
_OF_ANSWER = ["model", "strategy", "answer", "correct", "grade_from"]


_IS_RIGHT = "Is the proposed answer right?"


def _answer(item: Item) -> str:
    """The answer that is asked about; the right one of an item that names a method's words."""
    return str(item.extra["about"]["answer"] if "about" in item.extra else item.gold)


def _judged(item: Item, row: calls.Row) -> list[calls.Row]:
    """The row of another's answer, with its grade."""
    known = dict(item.extra.get("about", {}))
    whose = {f"about_{name}": known.pop(name, None) for name in ("model", "strategy")}
    return [row | known | whose]


def _p_true(item: Item, change: str) -> Program:
    asked = rows.prompt(item, P_TRUE.format(answer=_answer(item)), change=change)
    (judged,) = yield [calls.Labels(asked, ("yes", "no"))]
    row = rows.row([judged], _answer(item), judged.probabilities["yes"])
    return _judged(item, row)


def p_true(item: Item, plan: Plan) -> Program:
    """Whether the answer that another model gave is right: the probability of yes is read."""
    return _p_true(item, "")


def p_true_blank(item: Item, plan: Plan) -> Program:
    """The same with a blank image: does it look, or does it know the question?"""
    return _p_true(item, calls.BLANK)


def decision(item: Item, plan: Plan) -> Program:
    """The same as a typed decision: its probability of yes."""
    question = (
        f"{item.question.strip()}\nProposed answer: {_answer(item)}.\n{_IS_RIGHT}"
    )
    call = calls.Decide(rows.picture(item), question, ("yes", "no"), "noul")
    (result,) = yield [call]
    row = rows.decided(result)
    shares = row["option_probabilities"] or {}
    # of a question that was refused there is none
    row |= {"confidence": shares.get("yes", math.nan), "option_probabilities": None}
    return _judged(item, row | {"confidence_from": "probability of yes"})


def self_probing(item: Item, plan: Plan) -> Program:
    """How likely the answer that another model gave is to be right, in words."""
    text = SELF_PROBING.format(answer=_answer(item))
    reply = yield from rows.ask(item, plan, "form", text)
    stated = parse_confidence(rows.whole(reply))
    return _judged(
        item, rows.row([reply], _answer(item), stated, ok=stated is not None)
    )


#: Methods by which a model is asked about another's answer, by their names.
METHODS: dict[str, Strategy] = {}
for _how, _own, _need in (
    (p_true, "p_true", calls.LABELS),
    (p_true_blank, "p_true", calls.LABELS),
    (decision, "decision", calls.DECISIONS),
    (self_probing, "self_probing", calls.GENERATE),
):
    METHODS[_how.__name__] = replace(
        STRATEGIES[_own],
        name=_how.__name__,
        asks=str(_how.__doc__),
        needs=frozenset({_need}),
        ask=_how,
        applies=applies_always,  # to open questions, too
    )


def choose_methods(names: str) -> list[Strategy]:
    """The methods of `METHODS` named by ``"a,b"``; ``"all"`` is every one.

    Examples
    --------
    >>> [how.name for how in choose_methods("p_true")]
    ['p_true']
    """
    if names == "all":
        return list(METHODS.values())
    parts = [name.strip() for name in names.split(",")]
    for name in parts:
        check_known(name, METHODS, "method of asking about an answer")
    return [METHODS[name] for name in dict.fromkeys(parts)]


def judged_items(items: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """The questions of a data set to which others gave answers, a row an answer.

    Parameters
    ----------
    items : DataFrame
        As of `medcal_nb.datasets.load_items`.
    answers : DataFrame
        As of `medcal_nb.answers.load_answers`: of any models and methods, to these items or others.

    Returns
    -------
    DataFrame
        The items with a column ``about``, a dictionary: whose answer it is (``model``,
        ``strategy``), what it says (``answer``), its grade (``correct``, ``grade_from``). Rows
        without an answer are left out.

    Raises
    ------
    MedcalError
        If no answer is to an item.
    """
    key = ["dataset", "item_id"]
    if "answer" not in answers:
        raise MedcalError(
            "the answers hold no words (no column 'answer'): nothing can be shown"
        )
    given = answers.dropna(subset=["answer"])
    known = given.reindex(columns=_OF_ANSWER).astype(object)
    known = known.where(known.notna(), None)
    given = given[key].astype(object).assign(about=known.to_dict("records"))
    judged = items.merge(given, on=key)
    if judged.empty:
        names = ", ".join(map(str, answers["dataset"].unique()[:3]))
        raise MedcalError(
            f"none of the answers (data set {names}) is to an item of "
            f"{items['dataset'].iloc[0]}: --dataset names the data set that was asked about"
        )
    judged.attrs = items.attrs
    return judged


def about(how: Strategy, whose: str) -> Strategy:
    """A method under the name that what it says of somebody's answers has.

    Examples
    --------
    >>> about(METHODS["p_true"], "mine/verbalized").name
    'p_true about mine/verbalized'
    """
    return replace(how, name=f"{how.name} about {whose}")


def ask_about(
    backend: calls.Backend,
    judged: pd.DataFrame,
    methods: Sequence[Strategy],
    *,
    log: AnswerLog,
    **how: Any,
) -> Summary:
    """Ask a model about the answers of others, and write what it says to a log.

    Parameters
    ----------
    backend : Backend
        As :func:`medcal_nb.ask.models.resolve_model` returns it.
    judged : DataFrame
        As of `judged_items`.
    methods : sequence of Strategy
        As of `choose_methods`.
    log : AnswerLog
        Where it goes; what is there already is not asked again.
    **how
        As of :func:`medcal_nb.ask.run.ask`.

    Returns
    -------
    Summary
        Of all together.
    """
    summary = Summary()
    whose = judged["about"].map(lambda known: f"{known['model']}/{known['strategy']}")
    for name, part in judged.groupby(whose, sort=False):
        named = [about(method, str(name)) for method in methods]
        summary.add(ask(backend, part, named, log=log, **how))
    return summary
