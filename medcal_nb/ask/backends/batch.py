"""Batches: requests written to files for a fleet, and what came back read like a server's replies.

A folder holds ``plan.json`` (what is asked), ``requests-RR-CCC.jsonl`` (OpenAI batch lines of round
RR, at most 50,000 lines and 200 MB each, lines of one image together) and, put there by whoever
runs them, ``results-*.jsonl``. The programs of the strategies are run again each time as far as the
results carry them: what they need next is the next round.
"""

import base64
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

from medcal_nb.ask.backends import requests as rq
from medcal_nb.ask.calls import GENERATE, LABELS, LOGPROBS, SAMPLE, TURNS, Failure
from medcal_nb.ask.run import Run, ordered_items, step
from medcal_nb.ask.strategies import Plan, choose_strategies, find_strategy
from medcal_nb.errors import MedcalError
from medcal_nb.items import load_items

MOST_LINES, MOST_BYTES = 50_000, 200_000_000

_CAN = frozenset({GENERATE, TURNS, SAMPLE, LOGPROBS, LABELS})


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
    (folder / "plan.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return _Batch(folder).advance()[0]


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
    return _Batch(Path(folder)).advance(log)[::-1]


class _Batch:
    def __init__(self, folder):
        self.folder = folder
        try:
            self.told = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
            self.plan, model = Plan(**self.told["plan"]), self.told["model"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise MedcalError(f"{folder}: no plan.json that can be read ({error})") from None
        self.server = rq.Server(model, top=20, draws={}, several=True, scores=True)
        self.replies, self.version = {}, "not told"
        for path in sorted(folder.glob("results-*.jsonl")):
            lines = path.open(encoding="utf-8", errors="replace")
            for number, line in enumerate(lines, start=1):
                self._read(line, f"{path}, line {number}")

    def _read(self, line, where):
        try:
            told = json.loads(line)
            name, response = str(told["custom_id"]), told.get("response") or {}
            body = response.get("body") or {}
            if told.get("error") or response.get("status_code", 200) != 200:
                reason = json.dumps(told.get("error") or body)[:200]
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
        """Run all programs as far as the results go; return the next requests and a summary."""
        exported = set()
        for path in self.folder.glob("requests-*.ids"):
            exported |= set(path.read_text(encoding="utf-8").split("\n"))
        items = ordered_items(load_items(**self.told["items"]))
        extra = {"server": "batch", "server_version": self.version}
        backend = SimpleNamespace(name=self.told["model"], can=_CAN, cannot={}, provenance=extra)
        run = None
        if log is not None:
            run = Run(backend, self.told["strategies"], self.plan, log, backend.name)
            run.progress = run.bar(0, False)
        lines = _Lines(self.folder, exported)
        for item in items:
            names = [
                name
                for name in self.told["strategies"]
                if find_strategy(name).applies(item, self.plan) is None
            ]
            todo = [(item, name) for name in names] if run is None else run.to_do([item])
            ended, failed, known = {}, {}, {}
            for i, (_, name) in enumerate(todo):
                self._run(i, item, name, known, ended, failed, lines)
            settled = [i for i in range(len(todo)) if i in ended or i in failed]
            if run is not None and settled:
                at = {i: k for k, i in enumerate(settled)}
                run.write(
                    [todo[i] for i in settled],
                    {at[i]: rows for i, rows in ended.items()},
                    {at[i]: reason for i, reason in failed.items()},
                )
        return lines.close(), run.finish() if run else None

    def _run(self, i, item, name, known, ended, failed, lines):
        """Run one program until it ends, fails or needs a reply that is not there."""
        program, waiting, turn = find_strategy(name).ask(item, self.plan), {}, 0
        step(i, program, None, waiting, ended, failed)
        while waiting:
            calls = waiting.pop(i)
            self._answer(calls, f"{item.item_id}|{name}|{turn}", known, lines)
            results = [known[call] for call in calls]
            if any(result is None for result in results):
                return program.close()
            step(i, program, results, waiting, ended, failed)
            turn += 1

    def _answer(self, calls, place, known, lines):
        """Fill in the result of each call, None where it waits; samples of a prompt are one."""
        fresh = [call for call in dict.fromkeys(calls) if call not in known]
        sampled = [call for call in fresh if getattr(call, "seed", "")]
        groups = [[call] for call in fresh if call not in sampled] + ([sampled] if sampled else [])
        for number, members in enumerate(groups):
            one = not sampled or members != sampled
            ask = (
                rq.exchange(members[0], self.server)
                if one
                else rq.reply_exchange(members, self.server)
            )
            found = self._drive(ask, f"{place}|{number}", members[0].prompt.picture, lines)
            found = found if isinstance(found, list) else [found] * len(members)
            known.update(zip(members, found, strict=True))

    def _drive(self, exchange, at, picture, lines):
        """Carry an exchange as far as there are replies; None where one is still to come."""
        replies, turn = None, 0
        try:
            while True:
                requests = exchange.send(replies)
                ids = [f"{at}|{turn}.{number}" for number in range(len(requests))]
                for custom_id, (path, body) in zip(ids, requests, strict=True):
                    if custom_id not in self.replies:
                        lines.add(custom_id, path, body, picture, files=self.told["files"])
                replies, turn = [self.replies.get(custom_id) for custom_id in ids], turn + 1
                if any(reply is None for reply in replies):
                    return None
                if bad := next((r for r in replies if isinstance(r, Failure)), None):
                    return bad
        except StopIteration as stop:
            return stop.value
        except MedcalError as error:
            return Failure(str(error))
        except Exception as error:
            told = " ".join(str(error).split())[:200]
            return Failure(f"the server answered in another form: {told}")


class _Lines:
    """The requests of a round, in files of bounded size; none is there before all are."""

    def __init__(self, folder, exported):
        self.folder, self.exported = folder, exported
        rounds = [int(path.name.split("-")[1][:2]) for path in folder.glob("requests-*.ids")]
        self.round, self.ids, self.parts, self.image = 1 + max(rounds, default=0), [], [], None
        self.lines = self.size = 0

    def add(self, custom_id, path, body, picture, *, files):
        """Add a request, unless an earlier round holds it."""
        if custom_id in self.exported:
            return
        if self.image is None or self.image[0] != picture:
            self.image = picture, self._file(picture) if files else rq.image_data(picture)
        head = {"custom_id": custom_id, "method": "POST", "url": f"/v1{path}", "body": body}
        line = rq.encode(head, self.image[1]) + b"\n"
        if not self.parts or self.lines >= MOST_LINES or self.size + len(line) > MOST_BYTES:
            name = f"requests-{self.round:02}-{len(self.parts):03}.jsonl"
            self.parts.append((self.folder / f"{name}.part").open("wb"))
            self.lines = self.size = 0
        self.parts[-1].write(line)
        self.lines, self.size = self.lines + 1, self.size + len(line)
        self.ids.append(custom_id)

    def _file(self, picture):
        """Write an image beside the requests; return its URL in place of kind and bytes."""
        kind, data = rq.image_data(picture)
        name = f"{hashlib.blake2b(data, digest_size=12).hexdigest()}.{kind}"
        (self.folder / "images").mkdir(exist_ok=True)
        (self.folder / "images" / name).write_bytes(base64.b64decode(data))
        return None, (self.folder / "images" / name).resolve().as_uri().encode()

    def close(self):
        """Give the files their names; return them."""
        made = []
        for part in self.parts:
            part.close()
            made.append(Path(part.name).rename(part.name.removesuffix(".part")))
        if self.ids:
            told = "\n".join(self.ids)
            (self.folder / f"requests-{self.round:02}.ids").write_text(told, encoding="utf-8")
        return made
