"""Item tables by name: one's own, the synthetic benchmark and public sets through one door."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from medcal_nb.errors import MedcalError, check_known

if TYPE_CHECKING:
    import pandas as pd

_EMBEDDED = ("pocketvqa-general", "pocketvqa-medical")


def dataset_names() -> list[str]:
    """Names that :func:`load_items` knows, sorted.

    Examples
    --------
    >>> dataset_names()[:2]
    ['gmai-mmbench', 'gqa']
    """
    from medcal_nb.datasets import hub

    return sorted([*_EMBEDDED, *hub.HUB_SETS])


def dataset_lines() -> list[str]:
    """A line for each dataset: its name, title, domain, size, licence and source.

    Examples
    --------
    >>> dataset_lines()[1][:47]
    'gqa               GQA (balanced test-dev): gene'
    """
    from medcal_nb.datasets import hub

    lines = {
        name: f"{spec['title']}: {spec['domain']}, {spec['gigabytes']} GB, "
        f"{spec['licence']} ({spec['source']})"
        for name, spec in hub.HUB_SETS.items()
    }
    lines |= dict.fromkeys(_EMBEDDED, "synthetic images, in the checkout")
    return [f"{name:<18}{lines[name]}" for name in dataset_names()]


def load_items(
    name: str,
    *,
    split: str | None = None,
    n: int | None = None,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
) -> "pd.DataFrame":
    """The item table of a dataset.

    Parameters
    ----------
    name : str
        A name of :func:`dataset_names`, such as ``pocketvqa-medical``; a public set read from a
        copy on disk is ``NAME:FOLDER``, such as ``vqa-rad:/data/vqa_rad``. Or a table of one's own,
        such as ``mine.csv``, as :func:`medcal_nb.datasets.own.load` reads it.
    split : {"fit", "test"}, optional
        Both by default.
    n, seed : int, optional
        Keep `n` items, drawn at random by `seed`.
    columns : mapping, optional
        Of a table of one's own: which of its columns is which of ours, where its name does not say.

    Returns
    -------
    pandas.DataFrame
        One row an item, columns :data:`medcal_nb.datasets.items.ITEM_COLUMNS` and those that the
        set tells beside.

    Raises
    ------
    MedcalError
        For an unknown dataset or split, or one that can't be read.

    Examples
    --------
    >>> items = load_items("pocketvqa-medical", split="test", n=2)
    >>> items["question_type"].isin(["closed", "choice", "open"]).all().item()
    True
    """
    if split is not None:
        check_known(split, ["fit", "test"], "split")
    from medcal_nb.datasets import own

    if Path(name).suffix.lower() in own.SUFFIXES:
        return own.load(Path(name), split=split, n=n, seed=seed, columns=columns)
    if columns:
        raise MedcalError(
            f"{name}: says itself what is what: leave out {', '.join(columns)}"
        )
    if name in _EMBEDDED:
        from medcal_nb.datasets import pocket

        return pocket.load(name, split=split, n=n, seed=seed)
    from medcal_nb.datasets import hub

    first, colon, folder = name.partition(":")
    check_known(first, hub.HUB_SETS if colon else dataset_names(), "data set")
    return hub.load(first, split=split, n=n, seed=seed, folder=folder or None)
