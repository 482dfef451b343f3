"""PocketVQA scenes: images with known truth, drawn from a seed. **Synthetic**, no patient in them.

``draw_scenes(modality, n, rng=...)`` gives images, the facts that are true of them and where to
look. Each modality is a module with its own physics; findings are planted with a visibility
between 0 (no pixel differs) and 1.

Every modality has acquisition sites. Models are trained on ``TRAIN_SITES``; the other sites
appear only in the medical test and fresh draws.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import pandas as pd

from ._canvas import ABSENT_VISIBILITY, CELLS, CHUNK, IMAGE_SIZE

GENERAL_MODALITIES = ("drawing", "digit")
MEDICAL_MODALITIES = ("x-ray", "ct", "mri", "ultrasound", "pathology", "fundus")
MODALITIES = GENERAL_MODALITIES + MEDICAL_MODALITIES

_MODULES = {
    name: import_module(f".{name.replace('-', '')}", __name__) for name in MODALITIES
}
SITES: dict[str, tuple[str, ...]] = {name: m.SITES for name, m in _MODULES.items()}
#: Sites that training may draw from. The rest is met for the first time in the medical test.
TRAIN_SITES: dict[str, tuple[str, ...]] = {
    name: m.TRAIN_SITES for name, m in _MODULES.items()
}
#: Every fact a classification head can be trained on, with its possible values.
ATTRIBUTES: dict[str, dict[str, tuple[str, ...]]] = {
    name: m.ATTRIBUTES for name, m in _MODULES.items()
}

__all__ = [
    "ABSENT_VISIBILITY",
    "ATTRIBUTES",
    "CELLS",
    "GENERAL_MODALITIES",
    "IMAGE_SIZE",
    "MEDICAL_MODALITIES",
    "MODALITIES",
    "SITES",
    "TRAIN_SITES",
    "Scenes",
    "draw_scenes",
]


@dataclass(frozen=True)
class Scenes:
    """Images and what is true of them.

    Attributes
    ----------
    images : uint8 array (n, 64, 64, 3)
    facts : DataFrame of n rows: ``modality``, ``site``, one column per fact of the modality,
        and ``visibility_<fact>`` in [0, 1] where a fact is graded (``ABSENT_VISIBILITY`` where
        there is nothing to see)
    masks : uint8 array (n, 8, 8), 1 in the cells that a finding or object touches
    """

    images: np.ndarray
    facts: pd.DataFrame
    masks: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


def _check(modality: str, sites) -> tuple[str, ...]:
    if modality not in _MODULES:
        raise ValueError(f"modality {modality!r} is none of {', '.join(MODALITIES)}")
    chosen = SITES[modality] if sites is None else tuple(sites)
    for site in chosen:
        if site not in SITES[modality]:
            raise ValueError(
                f"site {site!r} of {modality} is none of {', '.join(SITES[modality])}"
            )
    return chosen


def _sampled(modality, n, rng, sites, first, given, options) -> tuple[dict, dict]:
    """Raw facts of ``n`` scenes, going round the sites from ``first``, and the facts told."""
    module = _MODULES[modality]
    site = np.array(sites, object)[(np.arange(n) + first) % len(sites)]
    raw = module.sample(n, rng, site, **options)
    for name, value in (given or {}).items():
        if name not in raw or name.startswith("_"):
            known = ", ".join(k for k in raw if not k.startswith("_"))
            raise ValueError(f"given: {modality} has no fact {name!r}; known: {known}")
        raw[name] = np.full(n, value, raw[name].dtype)
    told = {
        "modality": np.full(n, modality, object),
        "site": raw["site"],
        **module.finish(raw),
    }
    for name, values in told.items():
        if name.startswith("visibility_"):
            told[name] = np.where(np.isnan(values), ABSENT_VISIBILITY, values)
    return raw, told


def draw_facts(
    modality, n, *, rng, sites=None, given=None, scans="train"
) -> pd.DataFrame:
    """The facts of ``n`` scenes without drawing them: what ``draw_scenes`` would tell."""
    chosen = _check(modality, sites)
    options = {"scans": scans} if modality == "digit" else {}
    first = int(rng.integers(0, len(chosen)))
    return pd.DataFrame(_sampled(modality, n, rng, chosen, first, given, options)[1])


def draw_scenes(
    modality: str,
    n: int,
    *,
    rng: np.random.Generator,
    sites: Sequence[str] | None = None,
    given: Mapping[str, object] | None = None,
    scans: str = "train",
) -> Scenes:
    """Draw ``n`` scenes of one modality.

    Parameters
    ----------
    modality : one of ``MODALITIES``
    n : number of scenes
    rng : source of chance; the same state gives the same bytes
    sites : acquisition sites to go round (default: all of the modality)
    given : facts to hold fixed, for controlled pairs: with the same ``rng`` state and other
        facts given, everything else about the scenes stays as it was, noise included
    scans : which real scans digits are made of: ``train``, ``fit`` or ``test``

    Raises
    ------
    ValueError
        for an unknown modality, site or fact.
    """
    chosen = _check(modality, sites)
    options = {"scans": scans} if modality == "digit" else {}
    images = np.empty((n, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    masks = np.empty((n, CELLS, CELLS), np.uint8)
    told = []
    first = int(rng.integers(0, len(chosen)))
    for start in range(0, n, CHUNK):
        size = min(CHUNK, n - start)
        here = slice(start, start + size)
        raw, facts = _sampled(
            modality, size, rng, chosen, first + start, given, options
        )
        images[here], masks[here] = _MODULES[modality].render(raw, rng)
        told.append(facts)
    columns = (
        told[0] if told else _sampled(modality, 0, rng, chosen, 0, given, options)[1]
    )
    facts = pd.DataFrame(
        {
            name: np.concatenate([t[name] for t in told]) if told else columns[name]
            for name in columns
        }
    )
    return Scenes(images, facts, masks)
