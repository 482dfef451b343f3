"""Batches: written to files, run by something else, and collected, as if asked directly."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from itertools import pairwise

import pytest

from medcal_nb.answers import AnswerLog
from medcal_nb.ask.backends import batch
from medcal_nb.ask.backends.batch import collect_batch, export_batch, what_is_next
from medcal_nb.ask.backends.served import ServedModel
from medcal_nb.ask.run import ask
from medcal_nb.datasets import dataset_names, load_items
from medcal_nb.errors import MedcalError
from tests.ask.told import Told

DATASET = next(name for name in dataset_names() if name.endswith("-general"))
NAMES = "verbalized,two_stage,challenge,sequence_probability,p_true,self_consistency"
INCIDENTAL = ["run_id", "server", "server_version"]


def exported(folder, names="verbalized", **more):
    return export_batch(folder, "told", names, dataset=DATASET, **more)


def run_lines(url, path, refuse=()):
    """Do what whoever runs a batch does: post each line, write each reply to a line."""
    results = path.with_name(path.name.replace("requests", "results"))
    with results.open("w") as replies:
        for line in lines_of([path]):
            body = json.dumps(line["body"]).encode()
            how = {"method": line["method"]}
            request = urllib.request.Request(url + line["url"], body, **how)
            answer = json.load(urllib.request.urlopen(request))
            response = {"status_code": 200, "body": answer}
            if line["custom_id"] in refuse:
                response = {"status_code": 500, "body": {"error": "out of memory"}}
            result = {"custom_id": line["custom_id"], "response": response}
            replies.write(json.dumps(result | {"error": None}) + "\n")


def lines_of(paths):
    return [json.loads(line) for path in paths for line in path.open()]


def table(log):
    answers = log.read().sort_values(["strategy", "item_id", "sample"])
    return answers.drop(columns=INCIDENTAL, errors="ignore").reset_index(drop=True)


def test_a_batch_gives_what_a_direct_run_gives(tmp_path, log, monkeypatch):
    monkeypatch.setattr(batch, "MOST_LINES", 7)
    folder, few = tmp_path / "batch", {"split": "test", "n": 6}
    items = load_items(DATASET, **few)
    with Told(logprobs=True) as told:
        waiting = exported(folder, NAMES, samples=3, **few)
        assert len(waiting) > 1
        assert all(len(lines_of([path])) <= 7 for path in waiting)
        lines = lines_of(waiting)
        ids = [line["custom_id"] for line in lines]
        assert len(set(ids)) == len(ids)
        assert {i.split("|")[0] for i in ids} == set(items["item_id"])
        # lines of one image stand together
        parts = [line["body"]["messages"][0]["content"][0] for line in lines]
        images = [part["image_url"]["url"] for part in parts]
        assert sum(a != b for a, b in pairwise(images)) == 5
        # a request names its image, which is written once
        assert all(len(json.dumps(line)) < 2000 for line in lines)
        files = {path.as_uri() for path in folder.glob("images/*/*.png")}
        assert files == set(images)
        while waiting:
            for path in waiting:
                run_lines(told.url, path)
            summary, waiting = collect_batch(folder, log)
            assert not summary.failed
        assert len(list(folder.glob("round-*"))) == 2  # a second turn
        assert collect_batch(folder, log)[1] == []
        with AnswerLog(tmp_path / "direct.sqlite") as other:
            model = ServedModel(told.url)
            assert not ask(model, items, NAMES, log=other, samples=3).failed
            direct = table(other)
    assert len(direct) > 40
    assert table(log).equals(direct)


def test_what_failed_or_is_not_there_is_asked_again(tmp_path, log, monkeypatch):
    monkeypatch.setattr(batch, "MOST_LINES", 1)
    folder = tmp_path / "batch"
    with Told() as told:
        paths = exported(folder, n=3)
        ids = [line["custom_id"] for line in lines_of(paths)]
        assert collect_batch(folder, log)[1] == paths  # nothing came back
        run_lines(told.url, paths[0])
        run_lines(told.url, paths[1], refuse={ids[1]})
        summary, waiting = collect_batch(folder, log)
        assert summary.rows == 1
        assert "out of memory" in summary.failed[ids[1].split("|")[0]]
        names = ("requests-000.jsonl", "requests-001.jsonl")
        assert waiting == [folder / "round-02" / name for name in names]
        assert [line["custom_id"] for line in lines_of(waiting)] == ids[1:]
        first, run, collect = what_is_next(folder, waiting)
        assert first.startswith("2 requests in 2 files")
        assert run.endswith(f"--allowed-local-media-path {folder / 'images'}")
        assert f"medcal ask --collect {folder}" in collect
        run_lines(told.url, paths[2])  # late, and counted
        summary, again = collect_batch(folder, log)
        assert (summary.rows, len(summary.failed), again) == (1, 1, waiting)
        run_lines(told.url, waiting[0])
        summary, waiting = collect_batch(folder, log)
        assert (summary.rows, summary.failed, waiting) == (1, {}, [])
        assert len(log.keys()) == 3


def test_what_is_no_batch_is_refused(tmp_path, log):
    with pytest.raises(MedcalError, match=r"plan\.json"):
        collect_batch(tmp_path, log)
    (path,) = exported(tmp_path / "b", n=2)
    with pytest.raises(MedcalError, match="a batch is there already"):
        exported(tmp_path / "b", n=2)
    (path.parent / "results-000.jsonl").write_text('{"custom_id": 3\n')
    with pytest.raises(MedcalError, match=r"results-000\.jsonl, line 1: no line"):
        collect_batch(tmp_path / "b", log)
    os.mkfifo(tmp_path / "plan.json")  # which is not waited for
    with pytest.raises(MedcalError, match="no regular file"):
        collect_batch(tmp_path, log)


KILLED = """
import os, signal
from medcal_nb.ask.backends import batch

def dies(*args, ask=batch.ask, **settings):
    ask(*args, **settings)
    os.kill(os.getpid(), signal.SIGKILL)

batch.ask = dies
about = {{"dataset": {dataset!r}, "n": 2, "embed": True}}
batch.export_batch({folder!r}, "told", "verbalized", **about)
"""


def test_an_export_that_was_killed_is_begun_again(tmp_path, log):
    (whole,) = exported(tmp_path / "whole", n=2, embed=True)
    folder = tmp_path / "killed"
    code = KILLED.format(folder=str(folder), dataset=DATASET)
    died = subprocess.run([sys.executable, "-c", code], check=False)
    assert died.returncode == -signal.SIGKILL
    with pytest.raises(MedcalError, match=r"plan\.json"):
        collect_batch(folder, log)
    (path,) = exported(folder, n=2, embed=True)
    assert path.read_bytes() == whole.read_bytes()
    assert b"data:image/png;base64" in path.read_bytes()
    assert path == folder / "round-01" / "requests-000.jsonl"
