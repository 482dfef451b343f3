"""Batches: requests written to files for a fleet, and what came back read like a server's replies.

A folder holds ``plan.json`` (what is asked), ``requests-RR-CCC.jsonl`` (OpenAI batch lines of round
RR, at most 50,000 lines and 200 MB each, lines of one image together) and, put there by whoever
runs them, ``results-RR-*.jsonl``. The programs of the strategies are run again each time as far as
the replies carry them: what has none yet, or a failed one, is the next round.
"""

import base64
import hashlib
import json
from collections import defaultdict
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path
from types import SimpleNamespace

from medcal_nb.ask.backends import requests as rq
from medcal_nb.ask.calls import Failure
from medcal_nb.ask.run import Run, ordered_items, run_programs
from medcal_nb.ask.strategies import Plan, choose_strategies, find_strategy
from medcal_nb.errors import MedcalError
from medcal_nb.files import new_file
from medcal_nb.items import load_items

MOST_LINES, MOST_BYTES = 50_000, 200_000_000

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
    load_items(name=dataset, split=split, n=n)  # a misspelt name leaves nothing behind
    folder.mkdir(parents=True, exist_ok=True)
    names = [how.name for how in choose_strategies(strategies) if how.skips(rq.CAN) is None]
    told = {"model": model, "strategies": names, "items": {"name": dataset, "split": split, "n": n}}
    told |= {"plan": asdict(Plan(dataset=dataset, **settings)), "files": files}
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
    """What a folder says is asked, and the replies in it by what they reply to."""

    def __init__(self, folder):
        self.folder = folder
        try:
            self.told = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
            self.plan, model = Plan(**self.told["plan"]), self.told["model"]
            self.strategies = self.told["strategies"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise MedcalError(f"{folder}: no plan.json that can be read ({error})") from None
        self.server = rq.Server(model, top=20, draws={}, several=True, scores=True)
        self.replies, self.version, self.asked, self.due = {}, "not told", set(), []
        self.url = lru_cache(maxsize=8)(self._url)
        results = sorted(folder.glob("results-*.jsonl"))
        self.round = 1 + len({path.name[8:10] for path in results})
        for path in results:
            with path.open(encoding="utf-8", errors="replace") as lines:
                for number, line in enumerate(lines, start=1):
                    try:
                        self._read(json.loads(line))
                    except (ValueError, TypeError, KeyError, RecursionError) as error:
                        told = f"{path}, line {number}: no line of a batch's results ({error})"
                        raise MedcalError(told) from None

    def _read(self, told):
        """Keep the reply, or the failure, that a line of results holds."""
        digest = str(told["custom_id"]).rpartition("|")[2]
        try:
            self.replies[digest] = rq.check_chat(told["response"]["body"])
            self.version = str(told["response"]["body"].get("system_fingerprint") or self.version)
        except Exception:  # whatever a server answers is that request's failure
            answer = json.dumps(told.get("error") or told.get("response"))[:200]
            self.replies[digest] = Failure(f"the server answered {answer}")

    def advance(self, log=None):
        """Write what the replies answer to a log; return a summary, and the files that are due."""
        run = None
        if log is not None:
            name, extra = self.server.model, {"server": "batch", "server_version": self.version}
            backend = SimpleNamespace(name=name, can=rq.CAN, cannot={}, provenance=extra)
            run = Run(backend, self.strategies, self.plan, log, name)
        paths = self._write(self._lines(run))
        return run and run.summary, paths

    def _lines(self, run):
        """Run all programs as far as the replies go, item by item; yield the lines that are due."""
        for item in ordered_items(load_items(**self.told["items"])):
            todo = run.to_do([item]) if run else [(item, name) for name in self.strategies]
            ended, failed = defaultdict(list), {}
            for i, (_, name) in enumerate(todo):
                strategy, answer = find_strategy(name), partial(self._answer, item.item_id, name)
                if strategy.applies(item, self.plan) is None:
                    rows, reasons = run_programs([strategy.ask(item, self.plan)], answer)
                    if rows:
                        ended[i] = rows[0]
                    elif reasons[0] != _WAITS.reason:
                        failed[i] = reasons[0]
            if run and (ended or failed):
                run.write(todo, ended, failed)
            yield from self.due
            self.due.clear()

    def _answer(self, item_id, name, calls):
        """Answer calls as far as there are replies; the others wait."""
        results = []
        for members in rq.grouped(calls, self.server):
            exchange, replies, found = rq.exchange(members, self.server), None, None
            prompt, seed = members[0].prompt, getattr(members[0], "seed", "")
            sample = rq.seed_of(members[0])[1] if seed else 0
            at = f"{item_id}|{name}|{len(prompt.turns) // 2}|{sample}"
            while found is None:
                requests, found = rq.advance(exchange, replies, len(members))
                replies = [self._reply(at, prompt.picture, *request) for request in requests or ()]
            results += found
        return results

    def _reply(self, at, picture, path, body):
        """Return what came back for a request; its line is due where that is nothing good."""
        digest = hashlib.blake2b(repr((picture, path, body)).encode(), digest_size=8).hexdigest()
        reply = self.replies.get(digest, _WAITS)
        if isinstance(reply, Failure) and digest not in self.asked:
            try:
                url = self.url(picture)
            except MedcalError as error:  # it cannot be opened
                return Failure(str(error))
            head = {"custom_id": f"{at}|{digest}", "method": "POST", "url": f"/v1{path}"}
            self.due.append(b"".join((*rq.fill(path, head | {"body": body}, url), b"\n")))
            self.asked.add(digest)
        return reply

    def _url(self, picture):
        """The image as a data URL, or written beside the requests, where a server may read it."""
        url = rq.image_url(picture)
        if not self.told["files"]:
            return url
        head, _, data = url.partition(b";base64,")
        name = f"{hashlib.blake2b(data, digest_size=12).hexdigest()}.{head.decode().split('/')[1]}"
        (self.folder / "images").mkdir(exist_ok=True)
        with new_file(self.folder / "images" / name, force=True) as part:
            part.write_bytes(base64.b64decode(data))
        return (self.folder / "images" / name).resolve().as_uri().encode()

    def _write(self, lines):
        """Write lines to files of bounded size, in place of those that this round had before."""
        paths, line = [], next(lines, None)
        while line:
            paths.append(self.folder / f"requests-{self.round:02}-{len(paths):03}.jsonl")
            with new_file(paths[-1], force=True) as part, part.open("wb") as file:
                n = size = 0
                while line and not (n and (n == MOST_LINES or size + len(line) > MOST_BYTES)):
                    n, size = n + 1, size + file.write(line)
                    line = next(lines, None)
        for path in set(self.folder.glob(f"requests-{self.round:02}-*.jsonl")) - set(paths):
            path.unlink()
        return paths
