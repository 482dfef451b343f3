"""Batches: requests written to files for a fleet, and what came back read like a server's replies.

A folder holds ``plan.json`` (what is asked), ``requests-RR-CCC.jsonl`` (OpenAI batch lines of round
RR, at most 50,000 lines and 200 MB each, lines of one image together) and, put there by whoever
runs them, ``results-*.jsonl``. The programs of the strategies are run again each time as far as the
results carry them: what they need next is the next round.
"""

import base64
import hashlib
import json
from contextlib import ExitStack
from dataclasses import asdict
from itertools import count
from pathlib import Path
from types import SimpleNamespace

from medcal_nb.ask.backends import requests as rq
from medcal_nb.ask.calls import GENERATE, LABELS, LOGPROBS, SAMPLE, TURNS, Failure
from medcal_nb.ask.run import Run, ordered_items, run_programs
from medcal_nb.ask.strategies import Plan, choose_strategies, find_strategy
from medcal_nb.errors import MedcalError
from medcal_nb.files import new_file
from medcal_nb.items import load_items

MOST_LINES, MOST_BYTES = 50_000, 200_000_000

_CAN = frozenset({GENERATE, TURNS, SAMPLE, LOGPROBS, LABELS})

_WAITS = Failure("its reply is not there yet")


def export_batch(
    folder, model, strategies, *, dataset, split=None, n=None, files=False, **settings
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
        The items, as :func:`medcal_nb.items.load_items` finds them again.
    files : bool
        Put images beside the requests as files, named by ``file://`` URLs, in place of their bytes.
    **settings
        Of :class:`medcal_nb.ask.strategies.Plan`.

    Returns
    -------
    list of path
        The files of requests.
    """
    folder = Path(folder)
    if (folder / "plan.json").exists():
        raise MedcalError(f"{folder}: a batch is there already: collect it, or name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    plan = asdict(Plan(dataset=dataset, **settings)) | {"judged": None}
    names = [how.name for how in choose_strategies(strategies) if how.skips(_CAN) is None]
    told = {"model": model, "strategies": names, "items": {"name": dataset, "split": split, "n": n}}
    told |= {"plan": plan, "files": files}
    with new_file(folder / "plan.json") as part:
        part.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return _Batch(folder).advance()[1]


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
    return _Batch(Path(folder)).advance(log)


class _Batch:
    """What a folder says is asked, and the replies in it by custom id."""

    def __init__(self, folder):
        self.folder = folder
        try:
            self.told = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
            self.plan, model = Plan(**self.told["plan"]), self.told["model"]
            self.strategies = self.told["strategies"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise MedcalError(f"{folder}: no plan.json that can be read ({error})") from None
        self.server = rq.Server(model, top=20, draws={}, several=True, scores=True)
        self.replies, self.version = {}, "not told"
        for path in sorted(folder.glob("results-*.jsonl")):
            with path.open(encoding="utf-8", errors="replace") as lines:
                for number, line in enumerate(lines, start=1):
                    self._read(line, f"{path}, line {number}")

    def _read(self, line, where):
        """Keep the reply, or the failure, that a line of results holds."""
        try:
            told = json.loads(line)
            name, response = str(told["custom_id"]), told.get("response") or {}
            body = response.get("body") or {}
            error = told.get("error") or (isinstance(body, dict) and body.get("error"))
            if error or response.get("status_code", 200) != 200:
                reason = json.dumps(error or body)[:200]
                self.replies[name] = Failure(f"the server answered {reason}")
                return
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise MedcalError(f"{where}: no line of a batch's results ({error})") from None
        try:
            self.replies[name] = rq.check_chat(body)
            self.version = str(body.get("system_fingerprint") or self.version)
        except Exception as error:  # whatever a server answers is that request's failure
            self.replies[name] = Failure(f"the server answered in another form: {error}")

    def advance(self, log=None):
        """Run all programs as far as the results go; return a summary and the next requests."""
        run, name = None, self.told["model"]
        if log is not None:
            extra = {"server": "batch", "server_version": self.version}
            backend = SimpleNamespace(name=name, can=_CAN, cannot={}, provenance=extra)
            run = Run(backend, self.strategies, self.plan, log, name)
            run.progress = run.bar(0, False)
        with _Lines(self.folder, self.told["files"]) as lines:
            for item in ordered_items(load_items(**self.told["items"])):
                asked = ((item, name) for name in self.strategies)
                todo = [(i, s) for i, s in asked if find_strategy(s).applies(i, self.plan) is None]
                answered = self._item(run.to_do([item]) if run else todo, lines)
                if run and answered[0]:
                    run.write(*answered)
        return run.finish() if run else None, lines.made()

    def _item(self, todo, lines):
        """Run the programs of an item; return what is settled, as `run_programs` tells it."""
        known, settled, ended, failed = {}, [], {}, {}
        for item, name in todo:
            turn = count()

            def answer(calls, at=f"{item.item_id}|{name}", turn=turn):
                fresh = [call for call in calls if call not in known]
                at = f"{at}|{next(turn)}"
                for number, members in enumerate(rq.grouped(fresh, self.server)):
                    found = self._drive(members, f"{at}|{number}", lines)
                    known.update(zip(members, found, strict=True))
                return [known[call] for call in calls]

            program = find_strategy(name).ask(item, self.plan)
            rows, reasons = run_programs([program], answer)
            if reasons.get(0) != _WAITS.reason:
                ended |= {len(settled): told for told in rows.values()}
                failed |= {len(settled): told for told in reasons.values()}
                settled.append((item, name))
        return settled, ended, failed

    def _drive(self, members, at, lines):
        """Carry an exchange as far as there are replies; the others wait."""
        exchange, replies = rq.exchange(members, self.server), None
        for turn in count():
            requests, found = rq.advance(exchange, replies, len(members))
            if requests is None:
                return found
            ids = [f"{at}|{turn}.{number}" for number in range(len(requests))]
            for custom_id, request in zip(ids, requests, strict=True):
                if custom_id not in self.replies:
                    lines.add(custom_id, *request, members[0].prompt.picture)
            replies = [self.replies.get(custom_id, _WAITS) for custom_id in ids]


class _Lines(ExitStack):
    """The requests of a round, in files of bounded size; none is there before all are."""

    def __init__(self, folder, as_files):
        super().__init__()
        self.folder, self.as_files = folder, as_files
        before = list(folder.glob("requests-*.ids"))
        self.exported = {i for path in before for i in path.read_text(encoding="utf-8").split("\n")}
        self.round, self.ids, self.paths = 1 + len(before), [], []
        self.image, self.lines, self.size = (None, b""), 0, 0

    def add(self, custom_id, path, body, picture):
        """Add a request, unless an earlier round holds it."""
        if custom_id in self.exported:
            return
        if self.image[0] != picture:
            self.image = picture, self._url(picture)
        head = {"custom_id": custom_id, "method": "POST", "url": f"/v1{path}", "body": body}
        line = rq.fill(path, head, self.image[1]) + b"\n"
        if not self.paths or self.lines >= MOST_LINES or self.size + len(line) > MOST_BYTES:
            name = f"requests-{self.round:02}-{len(self.paths):03}.jsonl"
            self.paths.append(self.folder / name)
            part = self.enter_context(new_file(self.paths[-1], force=True))
            self.file = self.enter_context(part.open("wb"))
            self.lines = self.size = 0
        self.file.write(line)
        self.lines, self.size = self.lines + 1, self.size + len(line)
        self.ids.append(custom_id)

    def _url(self, picture):
        """The image as a data URL, or written beside the requests, where a server may read it."""
        url = rq.image_url(picture)
        if not self.as_files:
            return url
        head, _, data = url.partition(b";base64,")
        name = f"{hashlib.blake2b(data, digest_size=12).hexdigest()}.{head.decode().split('/')[1]}"
        (self.folder / "images").mkdir(exist_ok=True)
        with new_file(self.folder / "images" / name, force=True) as part:
            part.write_bytes(base64.b64decode(data))
        return (self.folder / "images" / name).resolve().as_uri().encode()

    def made(self):
        """Note what was written, and return the files."""
        if self.ids:
            with new_file(self.folder / f"requests-{self.round:02}.ids", force=True) as part:
                part.write_text("\n".join(self.ids), encoding="utf-8")
        return self.paths
