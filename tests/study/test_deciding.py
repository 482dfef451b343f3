"""A real (random) checkpoint as the expert that assesses candidates."""

import json

import numpy as np
import pandas as pd
import pytest

from medcal_nb.ask.backends.local import LocalModel
from medcal_nb.correct import decision_audit_table, expert_verdicts
from medcal_nb.errors import MedcalError
from medcal_nb.pocket import model as architecture
from medcal_nb.pocket import tokenizer as words
from medcal_nb.pocket import train
from medcal_nb.pocket.questions import fresh_items
from medcal_nb.study.deciding import ask_scores, decider, decision_pipeline
from tests.ask.tiny import tiny_checkpoint, tiny_items


@pytest.fixture(scope="module")
def backend():
    return LocalModel(*tiny_checkpoint(), name="tiny", device="cpu")


@pytest.fixture
def asked():
    items = tiny_items(6)
    rows = [
        {
            "model": "m", "dataset": "tiny", "item_id": item.item_id, "image_id": item.image_id,
            "question_type": item.question_type, "strategy": name, "answer": answer,
            "confidence": 0.7, "correct": answer == item.gold,
        }
        for item in items.itertuples()
        for name, answer in (("s", item.gold), ("t", "no" if item.options else "blue"))
    ]  # fmt: skip
    return items, pd.DataFrame(rows)


@pytest.mark.parametrize(
    "sight", [{}, {"sees_image": False}, {"sees_image": False, "knows_confidence": True}]
)
def test_a_model_assesses_every_candidate(backend, asked, sight):
    items, verdicts = asked
    out = expert_verdicts(verdicts, items, decider(backend, batch_size=4, progress=False), **sight)
    assert len(out) == 6
    assert out.confidence.between(0, 1).all()
    for row in out.itertuples():
        assert sum(row.option_probabilities.values()) == pytest.approx(1, abs=1e-4)
        assert row.prompt_tokens > 0
    options = items.set_index("item_id").options
    closed = out[out.question_type == "closed"].iloc[0]
    assert set(closed.option_probabilities) == set(options[closed.item_id])


def test_the_image_and_what_it_is_told_reach_the_model(backend, asked):
    items, verdicts = asked
    decide = decider(backend, progress=False)

    def shares(**sight):
        out = expert_verdicts(verdicts, items, decide, **sight)
        return pd.DataFrame(out.option_probabilities.tolist())

    seen, blind, told = shares(), shares(sees_image=False), shares(knows_confidence=True)
    assert not seen.equals(blind)
    assert not seen.equals(told)
    assert seen.equals(shares())


def test_a_single_candidate_is_judged_right_or_wrong(backend, asked):
    items, verdicts = asked
    one = verdicts[(verdicts.question_type == "open") & (verdicts.strategy == "s")]
    out = expert_verdicts(one, items, decider(backend, progress=False))
    assert (out.answer == "red").all()
    assert out.confidence.between(0, 1, inclusive="neither").all()


def test_a_model_that_reads_no_probabilities_is_refused():
    class Mute:
        name, can, cannot = "mute", frozenset({"generate"}), {"labels": "the server hides them"}

    with pytest.raises(MedcalError, match=r"mute can.t be the expert: the server hides them"):
        decider(Mute())


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A small model on disk that has learned nothing, and questions that ask how many."""
    folder = tmp_path_factory.mktemp("score") / "untrained"
    tokenizer = words.build_tokenizer(train.vocabulary())
    architecture.save_pocket(
        architecture.new_model("small", tokenizer, seed=3),
        architecture.new_processor(tokenizer),
        folder,
    )
    return folder, fresh_items("pocket-medical", 240, seed=5)


LEVELS = ("one", "two", "three")


def test_scores_come_from_the_decision_pipeline_and_can_be_audited(untrained):
    folder, items = untrained
    out = ask_scores(str(folder), items, LEVELS, progress=False)
    assert len(out) == items["gold"].isin(LEVELS).sum() >= 5
    assert (out["question_type"] == "score").all()
    for row in out.itertuples():
        assert list(row.option_probabilities) == list(LEVELS)
        assert sum(row.option_probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert row.confidence == row.option_probabilities[row.answer]
        assert row.correct == (row.answer == row.gold)
    audit = decision_audit_table(out, n_resamples=20, rng=np.random.default_rng(0))
    assert audit["decision_type"].tolist() == ["score", "score"]
    assert audit["ranked_score"].between(0, 1).all()


def test_a_temperature_written_beside_the_model_changes_what_it_calls(untrained, tmp_path):
    folder, items = untrained
    config = json.loads((folder / "decision.json").read_text())
    (tmp_path / "decision.json").write_text(json.dumps(config | {"temperature": {"score": 4.0}}))
    warmer = decision_pipeline(str(folder), decision_config=str(tmp_path))
    some = items[items["gold"].isin(LEVELS)].head(3)
    plain = ask_scores(str(folder), some, LEVELS, progress=False)
    flat = ask_scores(str(folder), some, LEVELS, decide=warmer, progress=False)
    for a, b in zip(plain["option_probabilities"], flat["option_probabilities"], strict=True):
        logs = [np.log(list(p.values())) for p in (a, b)]
        np.testing.assert_allclose(np.diff(logs[0]), 4 * np.diff(logs[1]), atol=1e-3)


def test_items_without_a_level_are_refused(untrained):
    with pytest.raises(MedcalError, match="the answer of no item is one of huge, tiny"):
        ask_scores("any", untrained[1], ("huge", "tiny"), decide=len)
