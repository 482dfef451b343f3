"""``medcal ask`` against a server that fails: how it ends, and what it says."""

import subprocess
import sys

import pytest

from medcal_nb.answers import load_answers
from medcal_nb.datasets import dataset_names
from tests.loopback import Handler, Loopback

POCKET = next(
    n for n in dataset_names() if n.startswith("pocket") and n.endswith("-medical")
)


def asks_for_confidence(body):
    """The trial question that opens a run does not."""
    return "onfiden" in body


@pytest.fixture
def server():
    """An OpenAI-compatible server that refuses the questions it is told to refuse."""

    class Refusing(Handler):
        refuses = staticmethod(asks_for_confidence)

        def do_POST(self):
            body = self.body().decode()
            if self.refuses(body):
                self.send({"error": {"message": "no", "type": "auth"}}, 401)
                return
            message = {"role": "assistant", "content": "Answer: no\nConfidence: 70%"}
            self.send(
                {"id": "1", "object": "chat.completion", "created": 1, "model": "m",
                 "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                 "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}},
            )  # fmt: skip

    with Loopback(Refusing) as served:
        yield Refusing, f"{served.url}/v1"


def ask(url, to):
    words = ["ask", "--model", url, "--dataset", POCKET, "--n", "6"]
    command = [
        sys.executable,
        "-m",
        "medcal_nb.cli",
        *words,
        "--strategies",
        "verbalized",
    ]
    return subprocess.run(
        [*command, "--to", str(to)], capture_output=True, text=True, timeout=900
    )


@pytest.mark.slow
def test_the_exit_status_says_whether_anything_failed(server, tmp_path):
    handler, url = server
    log = tmp_path / "a.sqlite"
    done = ask(url, log)
    assert done.returncode == 2
    assert "6 items lack answers" in done.stderr
    refused = []

    def refuse_the_first(body):
        if not refused and asks_for_confidence(body):
            refused.append(body)
        return body in refused

    handler.refuses = staticmethod(refuse_the_first)
    done = ask(url, log)
    assert done.returncode == 1
    assert "1 items lack answers" in done.stderr
    assert len(load_answers(log)) == 5
    handler.refuses = staticmethod(lambda body: False)
    done = ask(url, log)
    assert done.returncode == 0
    assert "failed" not in done.stderr
    assert len(load_answers(log)) == 6
