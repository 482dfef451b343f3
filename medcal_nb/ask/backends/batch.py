"""Batches: requests written to files for a fleet, and what came back read like a server's replies.

A folder holds ``plan.json`` (what is asked), ``requests-RR-CCC.jsonl`` (OpenAI batch lines of round
RR, at most 50,000 lines and 200 MB each, lines of one image together) and, put there by whoever
runs them, ``results-RR-*.jsonl``. It is asked like any other model, each time from the start: what
has no result yet, or a failed one, is the next round.
"""

import hashlib
import json
from contextlib import ExitStack, suppress
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from anyio.from_thread import start_blocking_portal

from medcal_nb.answers import AnswerLog
from medcal_nb.ask.backends import requests as rq
from medcal_nb.ask.calls import WRITING, Failure
from medcal_nb.ask.run import ask
from medcal_nb.ask.strategies import choose_strategies
from medcal_nb.datasets import load_items
from medcal_nb.errors import MedcalError
from medcal_nb.files import new_file

MOST_LINES = 50_000
MOST_BYTES = 200_000_000

_WAITS = "its reply is not there yet"


def export_batch(
    folder, model, strategies, *, dataset, split=None, n=None, files=False, **plan
):
    """Write the first round of requests about a data set, and the plan that says what is asked.

    Parameters
    ----------
    folder : path
        Made where it is not there; it may hold no plan yet.
    model : str
        The model's name at the server that will run the batch; it is taken to be a vLLM.
    strategies : str or list of str
    dataset, split, n
        The items, as :func:`medcal_nb.datasets.items.load_items` finds them again.
    files : bool
        Put images beside the requests as files, named by ``file://`` URLs, in place of their bytes.
    **plan
        Of :class:`medcal_nb.ask.strategies.Plan`.

    Returns
    -------
    list of path
        The files of requests.
    """
    folder = Path(folder)
    if (folder / "plan.json").exists():
        raise MedcalError(
            f"{folder}: a batch is there already: collect it, or name another folder"
        )
    told = {
        "model": model,
        "strategies": [how.name for how in choose_strategies(strategies)],
    }
    told |= {
        "items": {"name": dataset, "split": split, "n": n},
        "files": files,
        "settings": plan,
    }
    load_items(**told["items"])  # a misspelt name leaves nothing behind
    folder.mkdir(parents=True, exist_ok=True)
    with new_file(folder / "plan.json") as part:
        part.write_text(json.dumps(told, indent=1), encoding="utf-8")
    with (
        TemporaryDirectory() as place,
        AnswerLog(Path(place) / "none.sqlite") as nowhere,
    ):
        return collect_batch(folder, nowhere)[1]


def collect_batch(folder, log):
    """Write the answers that results complete to a log, and the requests that come next.

    Returns
    -------
    (Summary, list of path)
        What was written, and the files of the next round; none where all is answered.

    Raises
    ------
    MedcalError
        Where the folder holds no plan, or a line of a result is no JSON.
    """
    folder = Path(folder)
    try:
        told = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        batch = _Batch(folder, told["model"], told["files"])
        how = told["settings"]
        items = told["items"]
        strategies = told["strategies"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise MedcalError(
            f"{folder}: no plan.json that can be read ({error})"
        ) from None
    batch.read(sorted(folder.glob("results-*.jsonl")))
    summary = ask(batch, load_items(**items), strategies, log=log, **how)
    for path in set(folder.glob(f"requests-{batch.round:02}-*.jsonl")) - set(
        batch.paths
    ):
        path.unlink()  # of this round, when less had come back
    return summary, batch.paths


class _Batch:
    """A model whose replies are in the files of a folder, or wanted there."""

    can = WRITING
    cannot: ClassVar[dict] = {}

    def __init__(self, folder, model, files):
        self.folder = folder
        self.name = model
        self.files = files
        self.provenance = {"server": "batch"}
        self.results = {}
        self.asked = set()
        self.paths = []
        self.writing = ExitStack()
        self.url = lru_cache(maxsize=8)(self._url)

    def read(self, paths):
        """Keep the lines of results by what they answer."""
        self.round = 1 + len({path.name[8:10] for path in paths})
        for path in paths:
            with path.open(encoding="utf-8", errors="replace") as lines:
                for number, line in enumerate(lines, start=1):
                    try:
                        told = json.loads(line)
                        self.results[str(told["custom_id"]).rpartition("|")[2]] = told
                    except (ValueError, TypeError, KeyError, RecursionError) as error:
                        told = f"{path}, line {number}: no line of a batch's results ({error})"
                        raise MedcalError(told) from None

    def stream(self, batches):
        """Run programs as far as the replies go; those that wait for one have no rows."""
        with start_blocking_portal() as portal, self.writing:
            for todo, programs in batches:
                outcomes = []
                for (item, how), program in zip(todo, programs, strict=True):
                    send = partial(self._send, f"{item.item_id}|{how.name}")
                    asked = rq.Asked(self.name, send, top=20, several=True, scores=True)
                    outcome = portal.call(asked.follow, program)
                    outcomes.append([] if outcome == Failure(_WAITS) else outcome)
                yield todo, outcomes

    async def _send(self, at, call, body):
        """Return what came back for a request; its line is due where that is nothing good."""
        picture = call.prompt.picture
        seed = getattr(call, "seed", "")
        digest = hashlib.blake2b(
            repr((picture, body)).encode(), digest_size=8
        ).hexdigest()
        told = self.results.get(digest, {})
        with suppress(Exception):  # it is not there, or nothing good
            reply = rq.check_chat(told["response"]["body"])
            version = str(reply.get("system_fingerprint") or "not told")
            self.provenance["server_version"] = rq.clean(version)[:200]
            return reply
        if digest not in self.asked:
            step = len(call.prompt.turns) // 2
            sample = seed.rpartition("|")[2] or 0
            line = {"custom_id": f"{at}|{step}|{sample}|{digest}", "method": "POST"}
            line |= {"url": f"/v1{rq.CHAT}", "body": body}
            self._write(b"".join((*rq.fill(line, self.url(picture)), b"\n")))
            self.asked.add(digest)
        answer = json.dumps(told.get("error") or told.get("response"))[:200]
        raise MedcalError(f"the server answered {answer}" if told else _WAITS)

    def _url(self, picture):
        """The image as a data URL, or written beside the requests, where a server may read it."""
        if not self.files:
            return rq.data_url(picture)[0]
        name, data = rq.image_file(picture)
        path = self.folder.resolve() / "images" / name
        path.parent.mkdir(exist_ok=True)
        with new_file(path, force=True) as part:
            part.write_bytes(data)
        return path.as_uri().encode()

    def _write(self, line):
        """Write a line to the file that is open, or to the next where that has enough."""
        if not self.paths or self.n == MOST_LINES or self.size + len(line) > MOST_BYTES:
            self.writing.close()  # which puts a file in its place
            path = self.folder / f"requests-{self.round:02}-{len(self.paths):03}.jsonl"
            part = self.writing.enter_context(new_file(path, force=True))
            self.file = self.writing.enter_context(part.open("wb"))
            self.paths.append(path)
            self.n = self.size = 0
        self.n = self.n + 1
        self.size = self.size + self.file.write(line)
