"""Results of lm-polygraph: the ``.man`` file of its ``UEManager``, written by ``torch.save``.

``estimations`` maps (level, estimator) to one uncertainty per text, ``gen_metrics`` maps (level,
metric) to one score per text, ``stats`` holds the texts. Only uncertainties that are a probability
in other clothes become a confidence: minus a log-probability (MaximumSequenceProbability,
Perplexity, PTrue) or one minus a stated one (Verbalized…). Others have no scale: they are kept as
``uncertainty`` with no confidence. Each sequence-level estimator becomes a strategy.

The file is a pickle: a process of its own, with limits on memory and time, opens it by torch's
restricted loader and hands back numbers and texts alone.
"""

import json
import math
import subprocess
import sys
import tempfile

from medcal_nb.errors import MedcalError

from .registry import Reader
from .source import flag, number, table

_MINUS_LOG = ("MaximumSequenceProbability", "Perplexity", "PTrue")
_COMPLEMENT = ("Verbalized",)
_GRADES = ("Accuracy", "AlignScoreBinary", "ExactMatch")
_SECONDS = 120
_MOST = 1 << 30


def _read(source, columns, notes):
    saved = _loaded(source)
    series = {}
    for level, name, values in source.need(saved, "estimations", None, list):
        if level == "sequence":
            series[name] = values
        else:
            notes.append(f"{source.path}: {name} is a {level}-level estimate: left out")
    lengths = {len(values) for values in series.values()}
    if len(lengths) != 1:
        raise source.broken(None, "estimates of different length, or none per sequence")
    (n,) = lengths
    texts = {name: values for name, values in saved["stats"].items() if len(values) == n}
    answers = texts.get("greedy_texts", [None] * n)
    golds = texts.get("target_texts", [None] * n)
    marks = {name: [flag(v) for v in values] for _, name, values in saved["gen_metrics"]}
    marks = {k: v for k, v in marks.items() if len(v) == n and None not in v}
    grades = next((marks[name] for name in _GRADES if name in marks), None)
    if grades is None:
        notes.append(
            f"{source.path}: no metric that is 0 or 1: answers are held against their targets"
        )
    odd = [s for s in series if not s.startswith(_MINUS_LOG + _COMPLEMENT)]
    if odd:
        notes.append(
            f"{source.path}: {', '.join(odd)}: an uncertainty without a scale, kept as column "
            "'uncertainty', no confidence"
        )
    for name, values in series.items():
        for i in range(n):
            uncertainty = number(values[i])
            yield {
                "item_id": i,
                "strategy": name,
                "answer": answers[i],
                "raw": answers[i],
                "gold": golds[i],
                "confidence": _confidence(name, uncertainty),
                "correct": grades[i] if grades else None,
                "ungraded": True,
                "uncertainty": uncertainty,
                "parse_ok": uncertainty is not None,
            }


def _confidence(name, uncertainty):
    if uncertainty is None or not name.startswith(_MINUS_LOG + _COMPLEMENT):
        return None
    minus_log = name.startswith(_MINUS_LOG)
    p = math.exp(min(-uncertainty, 1.0)) if minus_log else 1 - uncertainty
    return min(max(p, 0.0), 1.0) if -1e-6 <= p <= 1 + 1e-6 else None


def _loaded(source):
    """What the process that opens the pickle found in it."""
    with tempfile.TemporaryFile() as out:
        call = [sys.executable, "-m", "medcal_nb.logs.polygraph_child", str(source.path)]
        try:
            done = subprocess.run(call, stdout=out, stderr=subprocess.DEVNULL, timeout=_SECONDS)
            code = done.returncode
        except subprocess.TimeoutExpired:
            code = -1
        size = out.tell()
        out.seek(0)
        if code == 3:
            raise MedcalError(
                f"{source.path}: holds objects that are not loaded, for safety; save the "
                "estimations, gen_metrics and stats as plain lists and import that"
            )
        if code < 0 or code == 4 or size > _MOST:
            raise MedcalError(
                f"{source.path}: takes more time or memory to open than such files do; not read"
            )
        if code:
            raise MedcalError(
                f"{source.path}: not a torch file, cut off or damaged; fetch it anew"
            )
        return table(json.loads(out.read()))


READERS = (Reader("lm-polygraph", lambda source: source.suffix == ".man", _read),)
