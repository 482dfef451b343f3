"""Profiles: which models answer which items under which strategies, one TOML file each."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medcal_nb.errors import MedcalError

FOLDER = Path(__file__).resolve().parents[1] / "profiles"
_KEYS = {"summary", "seed", "asking", "ask", "fast", "models", "datasets"}
# how any model is asked, how one model is reached, and what one costs
ASKING = {"samples", "temperature", "batch_size", "max_new_tokens", "lettered"}
REACHING = {"url", "served_as", "device", "revision", "concurrency"}
COSTS = {"disk_gb", "seconds_per_call", "image_tokens"}
_ASK_KEYS = {"models", "items", "strategies"}
#: of an expert that judges answers, and of typed scores
_STAGE_KEYS = {"expert", "of", "levels"}
_ITEM_KEYS = {"dataset", "split", "n"}
_FAST_KEYS = {"models", "strategies", "n"}


@dataclass(frozen=True)
class Job:
    """One piece of asking: a model, a set of items, the strategies to ask them with.

    Attributes
    ----------
    model, dataset : str
        Names as ``medcal ask`` knows them.
    split : str or None
        ``fit``, ``test`` or None for both.
    n : int or None
        How many items to draw, None for all.
    strategies : tuple of str
        Names of strategies.
    seed : int
        Seed of the draw and of sampling.
    options : dict
        How it is asked and reached: what the profile says of all models, then of this one.
    """

    model: str
    dataset: str
    split: str | None
    n: int | None
    strategies: tuple[str, ...]
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Profile:
    """What a profile file says.

    Attributes
    ----------
    name, summary : str
        Its name and what it is for.
    path : pathlib.Path
        The TOML file.
    settings : dict
        The whole file.
    """

    name: str
    summary: str
    path: Path
    settings: dict[str, Any] = field(hash=False)

    @property
    def asks(self) -> bool:
        """Whether models are asked; ``imported`` takes answers as they are."""
        return bool(self.settings.get("ask"))

    def jobs(self, *, fast: bool = False) -> list[Job]:
        """Return the pieces of asking in the order of the file.

        Parameters
        ----------
        fast : bool
            Keep only the models and strategies that ``[fast]`` names, and at most its ``n``
            items of each set.
        """
        settings = self.settings
        small = settings.get("fast", {}) if fast else {}
        limit = small.get("n")
        jobs = []
        for block in settings.get("ask", []):
            strategies = [s for s in block["strategies"] if s in small.get("strategies", [s])]
            for model in block["models"]:
                if model not in small.get("models", [model]) or not strategies:
                    continue
                for items in block["items"]:
                    n = items.get("n")
                    if limit is not None:
                        n = limit if n is None else min(n, limit)
                    jobs.append(
                        Job(
                            model=model,
                            dataset=items["dataset"],
                            split=items.get("split"),
                            n=n,
                            strategies=tuple(strategies),
                            seed=settings.get("seed", 0),
                            options=settings.get("asking", {})
                            | settings.get("models", {}).get(model, {})
                            | {key: block[key] for key in _STAGE_KEYS if key in block},
                        )
                    )
        return jobs


def profile_names() -> list[str]:
    """Return the names of the profiles that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_profile(name: str | os.PathLike) -> Profile:
    """Return a profile by its name or the path of a TOML file.

    Raises
    ------
    MedcalError
        If there is no such profile, or its file says something that is not understood.
    """
    path = Path(name).expanduser().resolve()
    if path.suffix != ".toml":
        path = FOLDER / f"{name}.toml"
    if not path.is_file():
        raise MedcalError(
            f"no profile {os.fspath(name)!r}: choose one of {', '.join(profile_names())}, "
            "or give the path of a .toml file"
        )
    if path.parent != FOLDER and path.stem in profile_names():
        raise MedcalError(f"{path}: a profile of that name comes with the package: rename the file")
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MedcalError(f"{path}: not valid TOML: {error}") from None
    _check(settings, path)
    return Profile(path.stem, settings.get("summary", ""), path, settings)


def _check(settings: dict[str, Any], path: Path) -> None:
    def known(found, allowed, where):
        strange = sorted(set(found) - allowed)
        if strange:
            raise MedcalError(
                f"{path}: {where}: unknown key {strange[0]!r}: known are {sorted(allowed)}"
            )

    def texts(values, where):
        if not isinstance(values, list) or not values or any(type(v) is not str for v in values):
            raise MedcalError(f"{path}: {where}: give a list of names, not {values!r}")

    def count(value, where):
        if type(value) is not int or value < 1:
            raise MedcalError(f"{path}: {where}: give a whole number above 0, not {value!r}")

    known(settings, _KEYS, "top level")
    blocks = settings.get("ask", [])
    if not isinstance(blocks, list):
        raise MedcalError(f"{path}: ask: write it as [[ask]] blocks")
    for number, block in enumerate(blocks, 1):
        where = f"[[ask]] block {number}"
        known(block, _ASK_KEYS | _STAGE_KEYS, where)
        for key in sorted({"of", "levels"} & set(block)):
            texts(block[key], f"{where}, {key}")
        for key in sorted(_ASK_KEYS):
            if key not in block:
                raise MedcalError(f"{path}: {where}: {key} is missing")
        texts(block["models"], f"{where}, models")
        texts(block["strategies"], f"{where}, strategies")
        for items in block["items"]:
            if not isinstance(items, dict) or "dataset" not in items:
                raise MedcalError(f"{path}: {where}, items: give {{dataset = …}}, not {items!r}")
            known(items, _ITEM_KEYS, f"{where}, items")
            if items.get("split") not in (None, "fit", "test"):
                raise MedcalError(
                    f"{path}: {where}, items: split is {items['split']!r}: give 'fit' or 'test'"
                )
            if "n" in items:
                count(items["n"], f"{where}, items, n")
    known(settings.get("asking", {}), ASKING, "[asking]")
    for model, told in settings.get("models", {}).items():
        known(told, ASKING | REACHING | COSTS, f"[models.{model!r}]")
    for dataset, told in settings.get("datasets", {}).items():
        known(told, {"items", "disk_gb"}, f"[datasets.{dataset!r}]")
    small = settings.get("fast", {})
    known(small, _FAST_KEYS, "[fast]")
    for key in ("models", "strategies"):
        if key in small:
            texts(small[key], f"[fast], {key}")
    if "n" in small:
        count(small["n"], "[fast], n")
