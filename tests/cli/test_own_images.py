"""Her own images: a folder and a table are asked at a server, reported and certified."""

import json
import os
import re
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from medcal_nb import cli
from medcal_nb.answers import AnswerLog, load_answers
from medcal_nb.ask.backends.served import ServedModel
from medcal_nb.datasets import load_items
from medcal_nb.run import ROOT
from tests.ask.told import Told

N = 40


class Sure(Told):
    """Says yes to every question, as surely as the image's text is long; each reply takes time."""

    def choice(self, body, i=0):
        time.sleep(0.05)
        shown = body["messages"][0]["content"][0]["image_url"]["url"]
        text = f"Answer: yes\nConfidence: {50 + len(shown) % 50}%"
        return {
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": text},
        }


def own_table(folder):
    """40 synthetic images as files, and a table of questions about them."""
    drawn = load_items("pocketvqa-medical", split="test", n=400).drop_duplicates(
        "image_id"
    )
    rows = []
    for i, item in enumerate(drawn[:N].itertuples()):
        name = f"scans/{i:02}.png"
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(item.image)
        gold = "yes" if i % 4 else "no"
        rows.append((name, f"Is case {i} abnormal?", gold, item.modality, item.site))
    columns = ["image", "question", "gold", "modality", "site"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "mine.csv", index=False)


def n_stored(path):
    # the process that is asked about makes the file, and a moment later what is in it
    if not Path(path).exists() or not Path(path).stat().st_size:
        return 0
    with AnswerLog(path, read_only=True) as log:
        return len(log.keys())


def killed(words, path, n):
    """Run a command in a process of its own, and kill it once its log has more than n answers."""
    child = os.fork()
    if not child:
        sys.argv = ["medcal", *map(str, words)]
        try:
            cli.main()
        finally:
            os._exit(0)
    end = time.monotonic() + 15
    while n_stored(path) <= n and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_the_three_lines_of_docs_outlive_three_kills(medcal, tmp_path, monkeypatch):
    # what has ended is written at once, not after two seconds
    monkeypatch.setattr(ServedModel, "held", 0.0)
    own_table(tmp_path)
    text = (ROOT / "docs" / "own_model.md").read_text("utf-8")
    lines = re.findall(r"^medcal (\w+) (.*mine.*)$", text, re.MULTILINE)[:3]
    with Sure() as told:
        ask, report, certify = (
            [word, *rest.replace("http://127.0.0.1:8000/v1", told.url).split()]
            for word, rest in lines
        )
        slow = ["--concurrency", 2, "--batch-size", 4]
        for n in (0, 12, 24):
            assert killed([*ask, *slow], "mine.sqlite", n)
            assert n < n_stored("mine.sqlite") < N
        before = n_stored("mine.sqlite")
        code, _, err = medcal(*ask)
        asked = [body for _, body in told.requests if "Is case" in json.dumps(body)]
    assert code == 0, err
    assert f"{N - before} answers written, {before} were in the log already" in err
    # what was under way at a kill is asked again, and nothing else
    times = Counter(str(body["messages"]) for body in asked)
    assert len(times) == N
    assert N <= len(asked) <= N + 3 * 4
    answers = load_answers("mine.sqlite")
    assert len(answers) == N == answers["image_id"].nunique()
    assert answers["correct"].mean() == 0.75
    assert set(answers["image"]) == {f"scans/{i:02}.png" for i in range(N)}
    code, out, err = medcal(*report)
    assert (code, "mine_report" in out) == (0, True), err
    code, out, err = medcal(*certify)
    assert (code, "Ledger: mine.certificate.jsonl" in out) == (0, True), (out, err)
