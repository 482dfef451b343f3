"""Batches: requests written to files for a fleet, and what came back read like a server's replies.

A folder holds ``plan.json`` (what is asked), ``images`` (each once; requests name them by path,
or embed them) and a folder for each round: ``round-01`` with ``requests-000.jsonl`` … (OpenAI batch
lines, at most 50,000 and 200 MB a file, lines of one image together) and, put there by whoever runs
them, ``results-*.jsonl``. It is asked like any other model, each time from the start: what has no
result yet, or a failed one, is the next round. A round is written beside its place and renamed,
once it is whole; nothing is ever replaced or removed.
"""

import hashlib
import json
import shlex
from collections.abc import Generator, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from anyio.from_thread import start_blocking_portal

from medcal_nb.answers import AnswerLog
from medcal_nb.ask.backends import requests as rq
from medcal_nb.ask.calls import (
    DECISIONS,
    WRITING,
    Backend,
    Failure,
    Outcome,
    Picture,
    Program,
    Todo,
)
from medcal_nb.ask.run import ask
from medcal_nb.ask.strategies import choose_strategies
from medcal_nb.datasets import load_items
from medcal_nb.errors import MedcalError
from medcal_nb.files import new_file, require_file

if TYPE_CHECKING:
    from medcal_nb.ask.run import Summary

MOST_LINES = 50_000
MOST_BYTES = 200_000_000

_WAITS = "its reply is not there yet"
_PLAN = "plan.json"


def export_batch(
    folder: Path | str,
    model: str,
    strategies: str | list[str],
    *,
    dataset: str,
    split: str | None = None,
    n: int | None = None,
    columns: Mapping[str, str] | None = None,
    embed: bool = False,
    **settings: int | float | bool | None,
) -> list[Path]:
    """Write the first round of requests about a data set, and the plan that says what is asked.

    Parameters
    ----------
    folder : path
        Made where it is not there; it may hold no plan and no round.
    model : str
        The model's name at the server that will run the batch; it is taken to be a vLLM.
    strategies : str or list of str
    dataset, split, n, columns
        The items, as :func:`medcal_nb.datasets.load_items` finds them again.
    embed : bool
        Write images into the requests, as base64; else requests name files of ``images``.
    **settings
        Of :class:`medcal_nb.ask.strategy.Plan`.

    Returns
    -------
    list of path
        The files of requests.

    Raises
    ------
    MedcalError
        Where the folder holds a batch.
    """
    folder = Path(folder)
    items: dict[str, Any] = {"name": dataset, "split": split, "n": n}
    if columns:
        items["columns"] = dict(columns)
    load_items(**items)  # a misspelt name leaves nothing behind
    about = {
        "model": model,
        "strategies": [how.name for how in choose_strategies(strategies)],
        "items": items,
        "embed": embed,
        "settings": settings,
    }
    if (folder / _PLAN).exists() or _rounds(folder):
        raise MedcalError(
            f"{folder}: a batch is there already: collect it, or name another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory() as place,
        AnswerLog(Path(place) / "none.sqlite") as nowhere,
    ):
        _, requests = _next_round(folder, about, nowhere)
    # last, so that an export which was killed is begun again
    with new_file(folder / _PLAN) as part:
        part.write_text(json.dumps(about, indent=1), encoding="utf-8")
    return requests


def collect_batch(folder: Path | str, log: AnswerLog) -> tuple["Summary", list[Path]]:
    """Write the answers that results complete to a log, and the requests that come next.

    Parameters
    ----------
    folder : path
    log : AnswerLog

    Returns
    -------
    (Summary, list of path)
        What was written, and the files of the round that is to be run; none where all is answered.

    Raises
    ------
    MedcalError
        Where the folder holds no plan, or where a line of a result is no JSON.
    """
    folder = Path(folder)
    return _next_round(folder, _read_plan(folder), log)


def what_is_next(
    folder: Path | str, waiting: list[Path], to: Path | str = "answers.sqlite"
) -> list[str]:
    """Tell in lines how many requests wait for replies, and the commands that get them.

    Parameters
    ----------
    folder : path
    waiting : list of path
        As `export_batch` and `collect_batch` return them.
    to : path
        The log that answers go to.
    """
    if not waiting:
        return []
    folder = Path(folder)
    n = sum(path.read_bytes().count(b"\n") for path in waiting)
    about = _read_plan(folder)
    run = ["vllm", "run-batch", "-i", "FILE", "-o", "RESULTS", "--model"]
    run.append(about["model"])
    if not about["embed"]:
        run += ["--allowed-local-media-path", str(_images(folder))]
    collect = ["medcal", "ask", "--collect", str(folder), "--to", str(to)]
    return [
        f"{n:,} requests in {len(waiting)} files wait for replies; for each FILE, with RESULTS "
        "named like it (requests-000.jsonl, results-000.jsonl):",
        f"  {shlex.join(run)}",
        f"and then: {shlex.join(collect)}",
    ]


def _images(folder: Path) -> Path:
    return folder.resolve() / "images"


def _rounds(folder: Path) -> list[Path]:
    """The folders of rounds, in order."""
    return sorted(folder.glob("round-[0-9]*"))


def _lines(place: Path, kind: str) -> list[Path]:
    """The files of a round that hold ``requests`` or ``results``, in order."""
    return sorted(place.glob(f"{kind}-*.jsonl"))


def _next_round(
    folder: Path, about: dict[str, Any], log: AnswerLog
) -> tuple["Summary", list[Path]]:
    """Ask from the start; what waits for a reply is a new round, once the last one has results."""
    rounds = _rounds(folder)
    is_open = bool(rounds) and not _lines(rounds[-1], "results")
    with TemporaryDirectory(dir=folder, prefix=".round-") as beside:
        part = Path(beside) / "round"
        part.mkdir()
        batch = _Batch(about, part, _images(folder))
        for path in sorted(folder.glob("round-[0-9]*/results-*.jsonl")):
            batch.read(path)
        items = load_items(**about["items"])
        summary = ask(batch, items, about["strategies"], log=log, **about["settings"])
        is_due = bool(_lines(part, "requests"))
        if is_due and not is_open:
            rounds.append(folder / f"round-{len(rounds) + 1:02}")
            part.rename(rounds[-1])
    return summary, _lines(rounds[-1], "requests") if is_due else []


def _read_plan(folder: Path) -> dict[str, Any]:
    """What the plan says."""
    path = require_file(folder / _PLAN)
    return json.loads(path.read_text(encoding="utf-8"))


class _Batch(Backend):
    """A model whose replies are in the files of a folder, or wanted there."""

    def __init__(self, about: dict[str, Any], place: Path, images: Path) -> None:
        self.place = place
        self.images = images
        self.embeds = about["embed"]
        self.name = about["model"]
        self.can = WRITING
        self.cannot = {DECISIONS: "batches are of replies: ask a server directly"}
        self.provenance = {"server": "batch"}
        self.results: dict[str, str] = {}
        self.asked: set[str] = set()
        self.n_lines = 0
        self.n_bytes = 0
        self.url = lru_cache(maxsize=8)(self._url)

    def read(self, path: Path) -> None:
        """Keep the lines of results by what they answer."""
        with path.open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    record = json.loads(line)
                    digest = str(record["custom_id"]).rpartition("|")[2]
                except (ValueError, TypeError, KeyError, RecursionError) as error:
                    raise MedcalError(
                        f"{path}, line {number}: no line of a batch's results ({error})"
                    ) from None
                self.results[digest] = line  # a seventh of the memory of what it says

    def stream(
        self, batches: Iterable[tuple[Todo, list[Program]]]
    ) -> Generator[tuple[Todo, list[Outcome]], None, None]:
        """Run programs as far as the replies go; those that wait for one have no rows."""
        with start_blocking_portal() as portal:
            for todo, programs in batches:
                outcomes: list[Outcome] = []
                for (item, how), program in zip(todo, programs, strict=True):
                    send = partial(self._send, f"{item.item_id}|{how.name}")
                    asked = rq.Asked(self.name, send, top=20, scores=True)
                    outcome = portal.call(asked.follow, program)
                    outcomes.append([] if outcome == Failure(_WAITS) else outcome)
                yield todo, outcomes

    async def _send(self, about: str, call: rq.Asking, body: rq.Body) -> rq.Body:
        """Return what came back for a request; its line is due where that is nothing good."""
        picture = call.prompt.picture
        content = repr((picture, body)).encode()
        digest = hashlib.blake2b(content, digest_size=8).hexdigest()
        record = json.loads(self.results.get(digest, "{}"))
        with suppress(Exception):  # it is not there, or nothing good
            reply = rq.check_chat(record["response"]["body"])
            self.provenance["server_version"] = rq.version_of(reply)
            return reply
        if digest not in self.asked:
            line = {
                "custom_id": f"{about}|{digest}",
                "method": "POST",
                "url": f"/v1{rq.CHAT}",
                "body": body,
            }
            self._write(rq.fill(line, self.url(picture)) + b"\n")
            self.asked.add(digest)
        answer = json.dumps(record.get("error") or record.get("response"))[:200]
        raise MedcalError(f"the server answered {answer}" if record else _WAITS)

    def _url(self, picture: Picture) -> bytes:
        """Return where a request has its image from: itself, or a file that is written once."""
        if self.embeds:
            return rq.data_url(picture)
        data, kind, name = rq.encoded(picture)
        # a folder of millions of files is slow on the disks of clusters
        path = self.images / name[:2] / f"{name}.{kind}"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with new_file(path) as part:
                part.write_bytes(data)
        return path.as_uri().encode()

    def _write(self, line: bytes) -> None:
        """Add a line to the last file, or to a new one where that has enough."""
        self.n_bytes += len(line)
        if self.n_lines % MOST_LINES == 0 or self.n_bytes > MOST_BYTES:
            number = len(_lines(self.place, "requests"))
            self.path = self.place / f"requests-{number:03}.jsonl"
            self.n_lines = 0
            self.n_bytes = len(line)
        with self.path.open("ab") as file:
            file.write(line)
        self.n_lines += 1
