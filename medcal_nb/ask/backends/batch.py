"""Batches: requests written to files for a fleet, and what came back read like a server's replies.

A folder holds ``plan.json`` (what is asked, and which files of requests were written here: no
other file is ever replaced or removed; ``plan-begun.json`` until its first round is whole),
``requests-RR-CCC.jsonl`` (OpenAI batch lines of round RR, at most 50,000 lines and 200 MB each,
lines of one image together) and, put there by whoever runs them, ``results-RR-*.jsonl``. It is
asked like any other model, each time from the start: what has no result yet, or a failed one, is
the next round.
"""

import hashlib
import json
from contextlib import ExitStack, suppress
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ClassVar

from anyio.from_thread import start_blocking_portal

from medcal_nb.answers import AnswerLog
from medcal_nb.ask.backends import requests as rq
from medcal_nb.ask.calls import WRITING, Failure
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
_BEGUN = "plan-begun.json"
_SCHEMA = Path(__file__).with_name("plan.schema.json")


def export_batch(
    folder: Path | str,
    model: str,
    strategies: str | list[str],
    *,
    dataset: str,
    split: str | None = None,
    n: int | None = None,
    files: bool = False,
    **plan: int | float | bool | None,
) -> list[Path]:
    """Write the first round of requests about a data set, and the plan that says what is asked.

    Parameters
    ----------
    folder : path
        Made where it is not there; it may hold neither a plan nor requests.
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
        The files of requests; those that are there where the same was exported before.

    Raises
    ------
    MedcalError
        Where the folder holds another plan, or requests, whoever wrote them.
    """
    folder = Path(folder)
    about = {
        "model": model,
        "strategies": [how.name for how in choose_strategies(strategies)],
        "items": {"name": dataset, "split": split, "n": n},
        "files": files,
        "settings": plan,
    }
    if (folder / _PLAN).exists():
        return _whole(folder, about)
    killed = _read_plan(folder, _BEGUN)["written"] if (folder / _BEGUN).exists() else []
    there = sorted(folder.glob("requests-*.jsonl"))
    for path in there:
        if path.name not in killed:
            raise MedcalError(
                f"{path}: requests are there that no plan speaks of: name another folder"
            )
    about["written"] = killed
    load_items(**about["items"])  # a misspelt name leaves nothing behind
    folder.mkdir(parents=True, exist_ok=True)
    _save(about, folder, _BEGUN)
    with (
        TemporaryDirectory() as place,
        AnswerLog(Path(place) / "none.sqlite") as nowhere,
    ):
        _, paths = _next_round(folder, nowhere, _BEGUN)
    (folder / _BEGUN).rename(folder / _PLAN)
    return paths


def _whole(folder, about):
    """The requests of a first round that the same export has written, before it was killed."""
    there = _read_plan(folder, _PLAN)
    paths = [folder / name for name in there.pop("written")]
    is_same = there == about and all(path.is_file() for path in paths)
    if not is_same or list(folder.glob("results-*.jsonl")):
        raise MedcalError(
            f"{folder}: a batch is there already: collect it, or name another folder"
        )
    return paths


def collect_batch(folder: Path | str, log: AnswerLog) -> tuple["Summary", list[Path]]:
    """Write the answers that results complete to a log, and the requests that come next.

    Parameters
    ----------
    folder : path
    log : AnswerLog

    Returns
    -------
    (Summary, list of path)
        What was written, and the files of the next round; none where all is answered.

    Raises
    ------
    MedcalError
        Where the folder holds no plan, a plan that was altered, a file of requests that is not
        of this batch, or where a line of a result is no JSON.
    """
    return _next_round(Path(folder), log, _PLAN)


def _next_round(folder, log, plan):
    """What `collect_batch` does, with the plan under either of its names."""
    about = _read_plan(folder, plan)
    batch = _Batch(folder, about, plan)
    batch.read(sorted(folder.glob("results-*.jsonl")))
    batch.check_names()
    items = load_items(**about["items"])
    summary = ask(batch, items, about["strategies"], log=log, **about["settings"])
    batch.remove_left_over()
    return summary, batch.paths


def _read_plan(folder, name):
    """What a plan says, each part of the kind that it has to be."""
    import fastjsonschema

    path = folder / name
    schema = json.loads(_SCHEMA.read_text(encoding="utf-8"))
    try:
        text = require_file(path).read_text(encoding="utf-8")
        plan = json.loads(text, parse_constant=_no_number)
        about = fastjsonschema.compile(schema)(plan, name_prefix="plan")
        choose_strategies(about["strategies"])
    except (ValueError, RecursionError, MedcalError) as error:
        begun = name == _PLAN and (folder / _BEGUN).exists()
        problem = f"no {name} that can be read ({error})"
        if begun:
            problem = "its export was not finished: run `medcal ask --export` again"
        raise MedcalError(f"{folder}: {problem}") from None
    return about


def _no_number(constant):
    raise ValueError(f"{constant} is no number of JSON")


def _save(about, folder, name):
    with new_file(folder / name, force=True) as part:
        part.write_text(json.dumps(about, indent=1), encoding="utf-8")


class _Batch:
    """A model whose replies are in the files of a folder, or wanted there."""

    can = WRITING
    cannot: ClassVar[dict] = {}

    def __init__(self, folder, about, plan):
        self.folder = folder
        self.plan = plan
        self.about = about
        self.name = about["model"]
        self.files = about["files"]
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
                        record = json.loads(line)
                        self.results[str(record["custom_id"]).rpartition("|")[2]] = (
                            record
                        )
                    except (ValueError, TypeError, KeyError, RecursionError) as error:
                        message = f"{path}, line {number}: no line of a batch's results ({error})"
                        raise MedcalError(message) from None

    def remove_left_over(self):
        """Remove requests of this round that were written here when less had come back."""
        written = self.about["written"]
        for name in list(written):
            path = self.folder / name
            if name.startswith(f"requests-{self.round:02}-") and path not in self.paths:
                path.unlink(missing_ok=True)
                written.remove(name)
        _save(self.about, self.folder, self.plan)

    def check_names(self):
        """Refuse to begin where a file that is not of this batch bears a name of its next round."""
        for path in sorted(
            self.folder.glob(f"requests-{self.round:02}-[0-9][0-9][0-9].jsonl")
        ):
            if path.name not in self.about["written"]:
                raise MedcalError(
                    f"{path}: not written by this batch, and its name is needed: move it away"
                )

    def _claim(self, path):
        """Put a file of requests on the plan, before it is written."""
        if path.name not in self.about["written"]:
            self.about["written"].append(path.name)
            _save(self.about, self.folder, self.plan)

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
        record = self.results.get(digest, {})
        with suppress(Exception):  # it is not there, or nothing good
            reply = rq.check_chat(record["response"]["body"])
            self.provenance["server_version"] = rq.version_of(reply)
            return reply
        if digest not in self.asked:
            step = len(call.prompt.turns) // 2
            sample = seed.rpartition("|")[2] or 0
            line = {"custom_id": f"{at}|{step}|{sample}|{digest}", "method": "POST"}
            line |= {"url": f"/v1{rq.CHAT}", "body": body}
            self._write(b"".join((*rq.fill(line, self.url(picture)), b"\n")))
            self.asked.add(digest)
        answer = json.dumps(record.get("error") or record.get("response"))[:200]
        raise MedcalError(f"the server answered {answer}" if record else _WAITS)

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
            self._claim(path)
            part = self.writing.enter_context(new_file(path, force=True))
            self.file = self.writing.enter_context(part.open("wb"))
            self.paths.append(path)
            self.n = self.size = 0
        self.n = self.n + 1
        self.size = self.size + self.file.write(line)
