"""A real (random) checkpoint as the expert that assesses candidates."""

import pandas as pd
import pytest

from medcal_nb.ask.local import LocalModel
from medcal_nb.correct import expert_verdicts
from medcal_nb.errors import MedcalError
from medcal_nb.study.deciding import decider
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
