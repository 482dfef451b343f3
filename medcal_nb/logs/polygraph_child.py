"""Opens one ``.man`` file in a process of its own; prints its numbers and texts as JSON.

It ends with 3 where the file holds other objects, 4 where memory ran out, 5 where it is damaged.
"""

import json
import pickle
import sys

_MEMORY = 8 << 30
_CPU_SECONDS = 60


def _limit():
    try:
        import resource
    except ImportError:  # Windows: the time limit of the caller alone
        return
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))


def _load(path):
    import numpy as np
    import torch

    plain = [
        *(np.ndarray, np.dtype, np.float64),
        *(np._core.multiarray._reconstruct, np._core.multiarray.scalar),
        *{type(np.dtype(t)) for t in ("f2", "f4", "f8", "i4", "i8", "?", "O", "U1")},
    ]
    with torch.serialization.safe_globals(plain):
        return torch.load(path, map_location="cpu", weights_only=True)


def _listed(values):
    """Numbers and texts; None for anything else."""
    values = values.tolist() if hasattr(values, "tolist") else values
    values = values if isinstance(values, list) else []
    return [v if isinstance(v, float | int | str) else _texts(v) for v in values]


def _texts(value):
    return value if isinstance(value, list) and all(isinstance(t, str) for t in value) else None


def _series(tables):
    """(level, name, values) of each; keys without a level are per sequence."""
    tables = tables if isinstance(tables, dict) else {}
    pairs = ((k if isinstance(k, tuple) and len(k) == 2 else ("sequence", k)) for k in tables)
    values = map(_listed, tables.values())
    return [(str(k), str(n), v) for (k, n), v in zip(pairs, values, strict=True)]


def _main(path):
    _limit()
    try:
        saved = _load(path)
    except MemoryError:
        return 4
    except pickle.UnpicklingError as err:
        return 3 if "global" in str(err).lower() else 5
    except Exception:  # torch lets zip, pickle and key errors of damaged files through
        return 5
    if not isinstance(saved, dict) or not isinstance(saved.get("estimations"), dict):
        return 5
    stats = saved.get("stats") if isinstance(saved.get("stats"), dict) else {}
    kept = {name: _listed(stats.get(name)) for name in ("greedy_texts", "target_texts")}
    told = {name: _series(saved.get(name)) for name in ("estimations", "gen_metrics")}
    json.dump(told | {"stats": kept}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1]))
