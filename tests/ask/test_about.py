"""A model is asked about the answers that another one gave."""

import pytest

from medcal_nb.answers import AnswerLog, load_answers
from medcal_nb.ask.about import METHODS, ask_about, choose_methods, judged_items
from medcal_nb.ask.models import resolve_model
from medcal_nb.ask.run import ask
from medcal_nb.datasets import load_items
from medcal_nb.errors import MedcalError

N = 12


@pytest.fixture(scope="module")
def models():
    return [resolve_model(name) for name in ("pocket-general", "pocket-medical")]


@pytest.fixture(scope="module")
def items():
    return load_items("pocketvqa-medical", split="test", n=N)


@pytest.fixture(scope="module")
def first(models, items, tmp_path_factory):
    """What the first model answered, by two methods."""
    path = tmp_path_factory.mktemp("about") / "first.sqlite"
    with AnswerLog(path) as log:
        ask(models[0], items, "p_true,verbalized", log=log)
    return load_answers(path, ungraded=True)


def test_another_model_s_view_stands_beside_the_answer(models, items, first, log):
    judged = judged_items(items, first)
    methods = choose_methods("all")
    done = ask_about(models[1], judged, methods, log=log)
    n_given = first["answer"].notna().sum()
    assert (done.rows, done.failed) == (n_given * len(METHODS), {})
    again = ask_about(models[1], judged, methods, log=log)
    assert (again.rows, again.done_before) == (0, done.rows)
    second = load_answers(log.path)
    assert set(second["model"]) == {"pocket-medical"}
    key = ["dataset", "item_id"]
    theirs = first.rename(
        columns={"model": "about_model", "strategy": "about_strategy"}
    )
    both = second.merge(theirs, on=[*key, "about_model", "about_strategy"])
    assert len(both) == len(second)
    for name in ("answer", "correct", "gold"):
        assert (both[f"{name}_x"] == both[f"{name}_y"]).all()
    wide = second.pivot(
        index=["item_id", "about_strategy"], columns="strategy", values="confidence"
    )
    shown = wide["p_true about pocket-general/p_true"].dropna()
    blank = wide["p_true_blank about pocket-general/p_true"].dropna()
    assert shown.between(0, 1).all()
    assert not shown.equals(blank)


def test_of_its_own_answers_a_model_says_what_it_said(models, items, first, log):
    """The turn is that of the method about one's own answers."""
    own = first.query("strategy == 'p_true'")
    ask_about(models[0], judged_items(items, own), choose_methods("p_true"), log=log)
    said = log.read().set_index("item_id")["confidence"]
    known = own.dropna(subset="answer").set_index("item_id")["confidence"]
    assert len(said) > N / 2
    assert said.to_dict() == pytest.approx(known.to_dict(), abs=1e-4)


def test_answers_to_other_questions_or_without_words_are_refused(items, first):
    with pytest.raises(MedcalError, match=r"data set elsewhere.*--dataset names"):
        judged_items(items, first.assign(dataset="elsewhere"))
    with pytest.raises(MedcalError, match="no column 'answer'"):
        judged_items(items, first.drop(columns="answer"))
    with pytest.raises(
        MedcalError, match="no method of asking about an answer 'p_tru'"
    ):
        choose_methods("p_tru")
