"""A server that answers with every fault there is: items fail one by one, and nothing else."""

import json
import resource

import pytest

from medcal_nb.answers import AnswerLog
from medcal_nb.ask.backends.batch import collect_batch, export_batch
from medcal_nb.ask.backends.served import ServedModel
from medcal_nb.ask.calls import Failure, Generate, Prompt
from medcal_nb.ask.run import ask
from medcal_nb.errors import MedcalError
from tests.ask import hostile
from tests.ask.hostile import FAULTS, KEY, Hostile
from tests.ask.test_served import run
from tests.ask.tiny import noise_picture, tiny_items

STRATEGIES = (
    "verbalized,sequence_probability,option_probability,self_consistency,two_stage"
)


@pytest.mark.slow
def test_every_fault_fails_an_item_at_most_and_a_rerun_asks_what_is_missing(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(ServedModel, "tries", 2)
    monkeypatch.setattr(ServedModel, "pause", 0.001)
    items, path = tiny_items(24), tmp_path / "a.sqlite"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Hostile(seed=1) as server, AnswerLog(path) as log:
        model = ServedModel([server.url], concurrency=4)
        server.armed, model.timeout = True, 3
        first = ask(model, items, STRATEGIES, log=log, samples=3)
        assert len(server.told) > len(FAULTS) / 2
        assert first.exit_code == 1
        assert 0 < len(first.failed) <= len(items)
        assert all(first.failed.values())
        assert len(log.keys()) == first.rows
        assert len(log.read())  # which checks every value
        assert server.elsewhere == 0
        assert KEY not in str(first)
        server.armed = False
        model = ServedModel([server.url])
        again = ask(model, items, STRATEGIES, log=log, samples=3)
        assert (again.exit_code, again.failed) == (0, {})
        assert again.done_before == first.rows
        assert len(log.keys()) == first.rows + again.rows
    assert (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000
    )  # kilobytes
    assert KEY.encode() not in b"".join(p.read_bytes() for p in tmp_path.iterdir())


def test_numbers_that_cannot_be_are_no_answers(tmp_path, monkeypatch):
    """Of log-probabilities and counts; none gets as far as the log."""
    monkeypatch.setattr(hostile, "FAULTS", (hostile.has_odd_numbers,))
    monkeypatch.setattr(ServedModel, "tries", 1)
    with Hostile(share=1.0) as server, AnswerLog(tmp_path / "a.sqlite") as log:
        model = ServedModel([server.url], timeout=600, concurrency=4)
        server.armed = True
        asked = "option_probability,sequence_probability"
        for name, items in tiny_items(36, per_image=1).groupby("question_type"):
            done = ask(model, items, asked, log=log)
            assert done.failed
            reasons = " ".join(done.failed.values())
            assert "a.sqlite" not in reasons, name
            assert "another form" in reasons
        answers = log.read()
    assert len(answers)
    assert answers["prompt_tokens"].fillna(0).between(0, 1 << 31).all()
    assert answers["confidence"].dropna().between(0, 1).all()


def test_what_is_too_large_or_packed_is_not_read(monkeypatch):
    monkeypatch.setattr(ServedModel, "tries", 1)
    calls = [
        Generate(Prompt(noise_picture(i), ("Is there a mass? yes or no",)), 9)
        for i in range(9)
    ]
    with Hostile(share=1.0) as server:
        model = ServedModel([server.url], timeout=600, concurrency=2)
        server.armed = True
        for fault, said in (
            (hostile.is_huge, "a reply of more than 32 MiB"),
            (hostile.is_packed, ""),
        ):
            monkeypatch.setattr(hostile, "FAULTS", (fault,))
            found = run(model, calls)
            assert all(
                isinstance(one, Failure) and said in one.reason for one in found
            ), found


def test_an_odd_line_of_a_batch_fails_its_item_alone(tmp_path):
    export_batch(tmp_path, "m", "verbalized", dataset="pocketvqa-medical", n=4)
    (asked,) = tmp_path.glob("requests-*.jsonl")
    names = [json.loads(line)["custom_id"] for line in asked.read_text().splitlines()]
    good = {"choices": [{"message": {"content": "Answer: yes\nConfidence: 80%"}}]}
    bodies = [good, {"choices": [{"message": {"content": None}}]}, {"choices": 5}, [1]]
    results = tmp_path / "results-01.jsonl"
    lines = [
        json.dumps({"custom_id": name, "response": {"status_code": 200, "body": body}})
        for name, body in zip(names, bodies, strict=True)
    ]
    results.write_text("\n".join(lines))
    with AnswerLog(tmp_path / "a.sqlite") as log:
        summary, _ = collect_batch(tmp_path, log)
        assert (summary.rows, len(summary.failed), summary.exit_code) == (1, 3, 1)
        assert all("the server answered {" in why for why in summary.failed.values())
        for odd in (b"{", b"5", b"{}", b"\xff"):
            results.write_bytes(odd)
            with pytest.raises(MedcalError, match=r"results-01.jsonl, line 1: no line"):
                collect_batch(tmp_path, log)
        for odd in ("{}", "5", '{"plan": {"x": 1}, "model": "m"}'):
            (tmp_path / "plan.json").write_text(odd)
            with pytest.raises(MedcalError, match=r"no plan.json that can be"):
                collect_batch(tmp_path, log)
