"""Profiles: which models answer which items under which strategies, one TOML file each.

Where a study of a profile keeps its files stands here too, and is found from the package, never
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
#: What `medcal study` runs where no profile is named, in this order.
DEFAULT = ("recorded", "pocket", "logits", "text", "readers")
#: Old names of profiles that still work.
OLD_NAMES = {"real": "recorded"}


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


@dataclass(frozen=True, kw_only=True)
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
    settings: dict[str, Any]

    @property
    def world(self) -> str:
        """Whose answers to what it studies, in a sentence that opens each notebook."""
        return self.settings.get("world", "")

    @property
    def source(self) -> str:
        """Whose recorded answers these are, with licence; empty where the study asks itself."""
        return self.settings.get("source", "")

    @property
    def asks(self) -> bool:
        """Whether models are asked; other profiles take answers as they are."""
        return bool(self.settings.get("ask"))

    @property
    def recorded(self) -> dict[str, Any]:
        """The recorded table that it reads: its name, and the values of columns to keep."""
        return self.settings.get("recorded", {})

    @property
    def notebooks(self) -> list[str]:
        """Numbers of the notebooks that it runs; empty for all."""
        return self.settings.get("notebooks", [])

    def answers(self, *, fast: bool) -> Path:
        """Return the table of answers: the recorded one, else the log of its last study."""
        if not self.recorded:
            return self.build(fast=fast) / "answers.sqlite"
        from medcal_nb.answers.recorded import recorded_folder, recorded_manifest

        return recorded_folder() / recorded_manifest()[self.recorded["name"]]["file"]

    def reads_recorded(self, answers: Path, *, fast: bool) -> bool:
        """Return whether these answers are the recorded table, not a file of the user's."""
        return bool(self.recorded) and answers == self.answers(fast=fast)

    def build(self, *, fast: bool) -> Path:
        """Return the git-ignored folder of derived files: ``build[/fast]/<name>``."""
        return build_folder(fast=fast) / self.name

    def figures(self, *, fast: bool) -> Path:
        """Return where a study publishes: ``figures/<name>``, or a folder in ``build``.

        Full studies of profiles that come with the package and say so are published.
        """
        is_ours = self.path.parent == FOLDER and self.settings.get("publish", False)
        if fast or not is_ours:
            return self.build(fast=fast) / "figures"
        return checkout() / "figures" / self.name

    def parameters(self, number: str, *, fast: bool) -> dict[str, Any]:
        """Return what is set of the parameters of a notebook: for all, then for this one."""
        for_all = self.settings.get("parameters", {})
        name = self.name if self.path.parent == FOLDER else str(self.path)
        return for_all | for_all.get(number, {}) | {"PROFILE": name, "FAST": fast}

    def jobs(self, *, fast: bool = False) -> list[Job]:
        """Return the pieces of asking in the order of the file.

        Parameters
        ----------
        fast : bool
            Keep only the models and strategies that ``[fast]`` names, and at most its ``n``
            items of each set.
        """
        small = self.settings.get("fast", {}) if fast else {}
        asking = self.settings.get("asking", {})
        jobs = []
        for block in self.settings.get("ask", []):
            strategies = tuple(
                name
                for name in block["strategies"]
                if name in small.get("strategies", [name])
            )
            # who judges what
            stage = {key: block[key] for key in ("expert", "of") if key in block}
            for model in block["models"]:
                if not strategies or model not in small.get("models", [model]):
                    continue
                own = self.settings.get("models", {}).get(model, {})
                for items in block["items"]:
                    sizes = [part["n"] for part in (items, small) if "n" in part]
                    job = Job(
                        model=model,
                        dataset=items["dataset"],
                        split=items.get("split"),
                        n=min(sizes, default=None),
                        strategies=strategies,
                        seed=self.settings.get("seed", 0),
                        options=asking | own | stage,
                    )
                    jobs.append(job)
        return jobs


def build_folder(*, fast: bool) -> Path:
    """Return the git-ignored folder of all that studies derive: ``build``, ``build/fast``."""
    build = checkout() / "build"
    return build / "fast" if fast else build


def checkout() -> Path:
    """Return the folder that holds ``notebooks/``: ``$MEDCAL_ROOT``, or the package's parent.

    Raises
    ------
    MedcalError
        If there are no notebooks there, as for a package installed from a wheel.
    """
    root = Path(os.environ.get("MEDCAL_ROOT") or FOLDER.parents[2]).resolve()
    if not (root / "notebooks").is_dir():
        remedy = "clone the repository and `pip install -e` it, or set MEDCAL_ROOT to the clone"
        raise MedcalError(f"no notebooks/ in {root}: {remedy}")
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
    known = OLD_NAMES.get(str(name), name)
    path = Path(name).expanduser().resolve() if is_file else FOLDER / f"{known}.toml"
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
    return Profile(name=path.stem, path=path, settings=settings)
