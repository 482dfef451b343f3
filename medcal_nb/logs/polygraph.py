"""Results of lm-polygraph: the ``.man`` file of its ``UEManager``, written by ``torch.save``.

``estimations`` maps (level, estimator) to one uncertainty per text, ``gen_metrics`` maps (level,
metric) to one score per text, ``stats`` holds the texts. Only uncertainties that are a probability
in other clothes become a confidence: minus a log-probability (MaximumSequenceProbability,
Perplexity, PTrue) or one minus a stated one (Verbalized…). Others have no scale: they are kept as
``uncertainty`` with no confidence. Each sequence-level estimator becomes a strategy.

The file is a pickle; it is opened by torch's restricted loader, which makes no objects but
containers, numbers, texts and arrays.
"""

import math

from medcal_nb.errors import MedcalError

from ._rows import broken, flag, number

MINUS_LOG = ("MaximumSequenceProbability", "Perplexity", "PTrue")
COMPLEMENT = ("Verbalized",)
GRADES = ("Accuracy", "AlignScoreBinary", "ExactMatch")


def read_lm_polygraph(path, columns, notes):
    """Rows of every sequence-level estimator."""
    saved = _load(path)
    estimations = saved.get("estimations")
    stats = saved.get("stats") if isinstance(saved.get("stats"), dict) else {}
    if not isinstance(estimations, dict) or not estimations:
        raise broken(path, None, "no 'estimations'")
    series = {}
    for key, values in estimations.items():
        level, name = key if isinstance(key, tuple) and len(key) == 2 else ("sequence", str(key))
        if level == "sequence":
            series[str(name)] = _listed(values)
        else:
            notes.append(f"{path}: {name} is a {level}-level estimate: left out")
    lengths = {len(v) for v in series.values()}
    if len(lengths) != 1:
        raise broken(path, None, "estimates of different length, or none per sequence")
    (n,) = lengths
    answers = _column(stats, "greedy_texts", n)
    golds = _column(stats, "target_texts", n)
    metric, grades = _grades(saved.get("gen_metrics"), n)
    if metric is None:
        notes.append(f"{path}: no metric that is 0 or 1: answers are held against their targets")
    odd = [s for s in series if not s.startswith(MINUS_LOG + COMPLEMENT)]
    if odd:
        notes.append(
            f"{path}: {', '.join(odd)}: an uncertainty without a scale, kept as column "
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
                "correct": grades[i],
                "ungraded": True,
                "uncertainty": uncertainty,
                "parse_ok": uncertainty is not None,
            }


def _confidence(name, uncertainty):
    if uncertainty is None:
        return None
    if name.startswith(MINUS_LOG):
        p = math.exp(min(-uncertainty, 1.0))
    elif name.startswith(COMPLEMENT):
        p = 1 - uncertainty
    else:
        return None
    return min(max(p, 0.0), 1.0) if -1e-6 <= p <= 1 + 1e-6 else None


def _grades(metrics, n):
    if isinstance(metrics, dict):
        for wanted in GRADES:
            for key, values in metrics.items():
                name = key[1] if isinstance(key, tuple) and len(key) == 2 else key
                marks = [flag(v) for v in _listed(values)]
                if name == wanted and len(marks) == n and None not in marks:
                    return name, marks
    return None, [None] * n


def _column(stats, name, n):
    values = _listed(stats.get(name))
    if len(values) != n:
        return [None] * n
    return [v if isinstance(v, str | list) else None for v in values]


def _listed(values):
    if hasattr(values, "tolist"):
        values = values.tolist()
    return values if isinstance(values, list) else []


def _load(path):
    import pickle

    import numpy as np
    import torch

    plain = [
        np.ndarray,
        np.dtype,
        np.float64,
        np._core.multiarray._reconstruct,
        np._core.multiarray.scalar,
        *{type(np.dtype(t)) for t in ("f2", "f4", "f8", "i4", "i8", "?", "O", "U1")},
    ]
    try:
        with torch.serialization.safe_globals(plain):
            saved = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as err:
        if "GLOBAL" in str(err) or "global" in str(err):
            raise MedcalError(
                f"{path}: holds objects that are not loaded, for safety; save the dictionary of "
                "estimations, gen_metrics and stats as plain lists and import that"
            ) from err
        raise MedcalError(f"{path}: not a torch file, cut off or damaged; fetch it anew") from err
    except Exception as err:  # torch lets zip, pickle and key errors of damaged files through
        raise MedcalError(
            f"{path}: not a torch file, cut off or damaged ({type(err).__name__}); fetch it anew"
        ) from err
    if not isinstance(saved, dict):
        raise broken(path, None, "not a saved manager")
    return saved
