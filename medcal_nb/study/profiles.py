"""Profiles: which models answer which items under which strategies, one TOML file each."""

from __future__ import annotations

import os
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medcal_nb.errors import MedcalError

FOLDER = Path(__file__).resolve().parents[1] / "profiles"
# how any model is asked, and how one model is reached
ASKING = {"samples", "temperature", "batch_size", "max_new_tokens", "lettered"}
_REACHING = {"url", "served_as", "device", "revision", "concurrency"}
_ASK = {"models", "items", "strategies"}
_STAGE = {"expert", "of", "levels"}  # of an expert that judges, and of typed scores
_BLOCKS = {
    "ask": _ASK | _STAGE,
    "items": {"dataset", "split", "n"},
    "asking": ASKING,
    "models": ASKING | _REACHING,
    "fast": {"models", "strategies", "n"},
}
_RENAMED = {"recorded": "imported"}


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

    def parameters(self, notebook: str) -> dict[str, Any]:
        """Return what the profile sets of a notebook's parameters: for all, then for this one."""
        told = self.settings.get("parameters", {})
        everywhere = {key: value for key, value in told.items() if not key.isdigit()}
        return everywhere | told.get(notebook[:2], {})

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
                            | {key: block[key] for key in _STAGE if key in block},
                        )
                    )
        return jobs


def load_profile(name: str | os.PathLike) -> Profile:
    """Return a profile by its name or the path of a TOML file.

    Raises
    ------
    MedcalError
        If there is no such profile, or its file says something that is not understood.
    """
    if os.fspath(name) in _RENAMED:
        print(f"profile {name} is now called {_RENAMED[os.fspath(name)]}", file=sys.stderr)
        name = _RENAMED[os.fspath(name)]
    names = sorted(path.stem for path in FOLDER.glob("*.toml"))
    path = Path(name).expanduser().resolve()
    if path.suffix != ".toml":
        path = FOLDER / f"{name}.toml"
    if not path.is_file():
        raise MedcalError(
            f"no profile {os.fspath(name)!r}: choose one of {', '.join(names)}, "
            "or give the path of a .toml file"
        )
    if path.parent != FOLDER and path.stem in names:
        raise MedcalError(f"{path}: a profile of that name comes with the package: rename the file")
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MedcalError(f"{path}: not valid TOML: {error}") from None
    _check(settings, path)
    return Profile(path.stem, settings.get("summary", ""), path, settings)


def _check(settings: dict[str, Any], path: Path) -> None:
    """Refuse keys that nobody reads and values of another kind."""

    def block(found, kind, where):
        if not isinstance(found, dict):
            raise MedcalError(f"{path}: {where}: write it as a table, not {found!r}")
        for key, value in found.items():
            if key not in _BLOCKS[kind]:
                known = ", ".join(sorted(_BLOCKS[kind]))
                raise MedcalError(f"{path}: {where}: unknown key {key!r}: known are {known}")
            if key in ("models", "strategies", "of", "levels") and not _names(value):
                raise MedcalError(f"{path}: {where}, {key}: give a list of names, not {value!r}")
            if key == "n" and (type(value) is not int or value < 1):
                raise MedcalError(f"{path}: {where}, n: give a whole number above 0, not {value!r}")

    if strange := set(settings) - _BLOCKS.keys() - {"summary", "seed", "source", "parameters"}:
        raise MedcalError(f"{path}: top level: unknown key {min(strange)!r}")
    asks = settings.get("ask", [])
    if not isinstance(asks, list):
        raise MedcalError(f"{path}: ask: write it as [[ask]] blocks")
    for number, asked in enumerate(asks, 1):
        where = f"[[ask]] block {number}"
        block(asked, "ask", where)
        if missing := _ASK - asked.keys():
            raise MedcalError(f"{path}: {where}: {min(missing)} is missing")
        for items in asked["items"] if isinstance(asked["items"], list) else [asked["items"]]:
            block(items, "items", f"{where}, items")
            if "dataset" not in items or items.get("split") not in (None, "fit", "test"):
                raise MedcalError(
                    f"{path}: {where}, items: give a dataset and split 'fit' or 'test', not {items}"
                )
    for kind in ("asking", "fast"):
        block(settings.get(kind, {}), kind, f"[{kind}]")
    models = settings.get("models", {})
    if not isinstance(models, dict):
        raise MedcalError(f"{path}: models: write it as [models.NAME] tables")
    for model, told in models.items():
        block(told, "models", f"[models.{model!r}]")


def _names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)
