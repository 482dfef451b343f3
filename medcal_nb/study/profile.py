"""Profiles: which models answer which items under which strategies, one TOML file each.

Where a study of a profile keeps its files is told here too, and is found from the package, never
from the working directory.
"""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medcal_nb.errors import MedcalError

FOLDER = Path(__file__).resolve().parent / "profiles"


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
        Names of strategies; ``decision`` (typed scores) is asked in a way of its own, alone.
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
    seed: int
    options: dict[str, Any]


@dataclass(frozen=True)
class Profile:
    """What a profile file says.

    Attributes
    ----------
    name : str
        Its name.
    path : pathlib.Path
        The TOML file.
    settings : dict
        The whole file.
    source : str
        Whose recorded answers these are, in a sentence; empty where the study asks itself.
    asks : bool
        Whether models are asked; ``imported`` takes answers as they are.
    """

    name: str
    path: Path
    settings: dict[str, Any]
    source: str
    asks: bool

    def build(self, *, fast: bool) -> Path:
        """Return the git-ignored folder of derived files: ``build[/fast]/<name>``."""
        return checkout() / "build" / ("fast" if fast else "") / self.name

    def figures(self, *, fast: bool) -> Path:
        """Return where a study publishes: ``figures`` for the full pocket study, else in ``build``.

        Studies of recorded answers whose profile comes with the package and names their source
        publish in ``figures/<name>``.
        """
        if (
            fast
            or self.path.parent != FOLDER
            or not (self.source or self.name == "pocket")
        ):
            return self.build(fast=fast) / "figures"
        return checkout() / "figures" / (self.name if self.source else "")

    def parameters(self, number: str, *, fast: bool) -> dict[str, Any]:
        """Return what is set of the parameters of a notebook: for all, then for this one."""
        told = self.settings.get("parameters", {})
        name = self.name if self.path.parent == FOLDER else str(self.path)
        return told | told.get(number, {}) | {"PROFILE": name, "FAST": fast}

    def jobs(self, *, fast: bool = False) -> list[Job]:
        """Return the pieces of asking in the order of the file.

        Parameters
        ----------
        fast : bool
            Keep only the models and strategies that ``[fast]`` names, and at most its ``n``
            items of each set.
        """
        small = self.settings.get("fast", {}) if fast else {}
        jobs = []
        asking = self.settings.get("asking", {})
        seed = self.settings.get("seed", 0)
        for block in self.settings.get("ask", []):
            kept = tuple(
                s for s in block["strategies"] if s in small.get("strategies", [s])
            )
            stage = {
                key: block[key] for key in ("expert", "of") if key in block
            }  # who judges what
            for model in block["models"]:
                if not kept or model not in small.get("models", [model]):
                    continue
                options = (
                    asking | self.settings.get("models", {}).get(model, {}) | stage
                )
                for items in block["items"]:
                    n = min(
                        (one["n"] for one in (items, small) if "n" in one), default=None
                    )
                    told = items["dataset"], items.get("split"), n
                    jobs.append(Job(model, *told, kept, seed, options))
        return jobs


def checkout() -> Path:
    """Return the folder that holds ``notebooks/``: ``$MEDCAL_ROOT``, or the package's parent.

    Raises
    ------
    MedcalError
        If there are no notebooks there, as for a package installed from a wheel.
    """
    root = Path(os.environ.get("MEDCAL_ROOT") or FOLDER.parents[2]).resolve()
    if not (root / "notebooks").is_dir():
        told = "clone the repository and `pip install -e` it, or set MEDCAL_ROOT to the clone"
        raise MedcalError(f"no notebooks/ in {root}: {told}")
    return root


def load_profile(name: str | os.PathLike) -> Profile:
    """Return a profile by its name or the path of a TOML file.

    Raises
    ------
    MedcalError
        If there is no such profile, or its file says something that is not understood.
    """
    import fastjsonschema

    is_file = str(name).endswith(".toml")
    path = Path(name).expanduser().resolve() if is_file else FOLDER / f"{name}.toml"
    if not path.is_file():
        names = ", ".join(sorted(path.stem for path in FOLDER.glob("*.toml")))
        raise MedcalError(
            f"no profile {str(name)!r}: choose one of {names}, or give a .toml file"
        )
    schema = json.loads((FOLDER / "schema.json").read_text(encoding="utf-8"))
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
        fastjsonschema.compile(schema)(settings, name_prefix="profile")
    except (ValueError, fastjsonschema.JsonSchemaValueException) as error:
        raise MedcalError(f"{path}: no profile: {error}") from None
    told = settings.get("source", ""), bool(settings.get("ask"))
    return Profile(path.stem, path, settings, *told)
