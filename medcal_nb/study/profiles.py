"""Profiles: which models answer which items under which strategies, one TOML file each.

Where a study of a profile keeps its files is told here too, and is found from the package, never
from the working directory.
"""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medcal_nb.errors import MedcalError

FOLDER = Path(__file__).resolve().parents[1] / "profiles"
# of an expert that judges, and of typed scores
_STAGE = ("expert", "of", "levels")


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
    name : str
        Its name.
    path : pathlib.Path
        The TOML file.
    settings : dict
        The whole file.
    """

    name: str
    path: Path
    settings: dict[str, Any] = field(hash=False)

    @property
    def summary(self) -> str:
        """What it is for."""
        return self.settings.get("summary", "")

    @property
    def source(self) -> str:
        """Whose recorded answers these are, in a sentence; empty where the study asks itself."""
        return self.settings.get("source", "")

    @property
    def asks(self) -> bool:
        """Whether models are asked; ``imported`` takes answers as they are."""
        return bool(self.settings.get("ask"))

    def build(self, root: Path, *, fast: bool) -> Path:
        """Return the git-ignored folder of derived files: ``build[/fast]/<name>``."""
        return root / "build" / ("fast" if fast else "") / self.name

    def figures(self, root: Path, *, fast: bool) -> Path:
        """Return where a study publishes: ``figures`` for the full pocket study, else in ``build``.

        Studies of recorded answers whose profile comes with the package and names their source
        publish in ``figures/<name>``.
        """
        if self.name == "pocket" and not fast:
            return root / "figures"
        if self.source and self.path.parent == FOLDER and not fast:
            return root / "figures" / self.name
        return self.build(root, fast=fast) / "figures"

    def answers(self, root: Path, *, fast: bool) -> Path:
        """Return the answers log that the notebook that asks fills."""
        return self.build(root, fast=fast) / "answers.sqlite"

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
        small = self.settings.get("fast", {}) if fast else {}
        return [
            self._job(block, model, items, small)
            for block in self.settings.get("ask", [])
            if {*block["strategies"]} & {*small.get("strategies", block["strategies"])}
            for model in block["models"]
            if model in small.get("models", [model])
            for items in block["items"]
        ]

    def _job(self, block, model, items, small) -> Job:
        counts = [n for n in (items.get("n"), small.get("n")) if n is not None]
        return Job(
            model=model,
            dataset=items["dataset"],
            split=items.get("split"),
            n=min(counts, default=None),
            strategies=tuple(s for s in block["strategies"] if s in small.get("strategies", [s])),
            seed=self.settings.get("seed", 0),
            options=self.settings.get("asking", {})
            | self.settings.get("models", {}).get(model, {})
            | {key: block[key] for key in _STAGE if key in block},
        )


def checkout() -> Path:
    """Return the folder that holds ``notebooks/``: ``$MEDCAL_ROOT``, or the package's parent.

    Raises
    ------
    MedcalError
        If there are no notebooks there, as for a package installed from a wheel.
    """
    root = Path(os.environ.get("MEDCAL_ROOT") or FOLDER.parents[1]).resolve()
    if not (root / "notebooks").is_dir():
        raise MedcalError(
            f"no notebooks/ in {root}: clone the repository and `pip install -e` it, or set "
            "MEDCAL_ROOT to the clone"
        )
    return root


def load_profile(name: str | os.PathLike) -> Profile:
    """Return a profile by its name or the path of a TOML file.

    Raises
    ------
    MedcalError
        If there is no such profile, or its file says something that is not understood.
    """
    import fastjsonschema

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
    schema = json.loads((FOLDER / "schema.json").read_text(encoding="utf-8"))
    try:
        fastjsonschema.compile(schema)(settings, name_prefix="profile")
    except fastjsonschema.JsonSchemaValueException as error:
        raise MedcalError(f"{path}: {error.message}") from None
    return Profile(path.stem, path, settings)
