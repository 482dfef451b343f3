"""The embedded world: items with known truth, models that look at them, their recorded answers.

All of it is data: ``data/pocket`` of a checkout. Every file is compared with the SHA-256 of
``manifest.json`` before it is read. How it was made stands in ``data/pocket/factory``.
"""

from pathlib import Path

import pandas as pd

from medcal_nb.datasets.items import chosen
from medcal_nb.errors import check_known
from medcal_nb.files import check_shipped, checkout, read_manifest

MANIFEST = "manifest.json"


def pocket_home() -> Path:
    """Return the folder of the synthetic benchmark: ``data/pocket`` of a checkout."""
    return checkout() / "data" / "pocket"


def list_pocket() -> list[str]:
    """Return the names of the pocket models at hand, sorted."""
    return sorted(
        name for name in read_manifest(pocket_home()) if name.startswith("pocket-")
    )


def pocket_dir(name: str) -> Path:
    """Return the checked folder of a pocket model.

    Raises
    ------
    MedcalError
        If there is no such model, or a file of it is missing or damaged.
    """
    check_known(name, list_pocket(), "pocket model")
    for file in read_manifest(pocket_home())[name]:
        path = _checked(name, file)
    return path.parent


def load(
    name: str, *, split: str | None = None, n: int | None = None, seed: int = 0
) -> pd.DataFrame:
    """Return the items of an embedded data set, or a random `n` of them drawn by `seed`.

    Parameters
    ----------
    name : {"pocketvqa-general", "pocketvqa-medical", "quiz"}
    split : {"fit", "test"}, optional
        Both by default.

    Raises
    ------
    MedcalError
        If the file is missing or damaged.
    """
    items = pd.read_parquet(_checked("items", f"{name}.parquet"))
    items["options"] = items["options"].map(list, na_action="ignore")
    return chosen(items, split, n, seed).reset_index(drop=True)


def fresh_answers(dataset: str, model: str, strategy: str) -> pd.DataFrame:
    """Return graded answers to fresh items, which belong to no split and were asked once.

    Parameters
    ----------
    dataset : str
        An embedded data set.
    model : str
        A pocket model's name.
    strategy : str

    Returns
    -------
    DataFrame
        As `load_answers` makes it, without seconds; ``option_probabilities`` are kept of the
        strategy option_probability. Items that a strategy can't be asked have no row.

    Raises
    ------
    MedcalError
        If no answers of this model were recorded.
    """
    file = f"{dataset}--{model}.parquet"
    table = pd.read_parquet(_checked("fresh", file))
    table = table[table["strategy"] == strategy]
    table = table.drop(columns="number").reset_index(drop=True)
    options = table["option_probabilities"]
    return table.assign(option_probabilities=options.map(dict, na_action="ignore"))


def _checked(folder: str, file: str) -> Path:
    """Return the path of a file of the manifest whose content is what the manifest says."""
    home = pocket_home()
    path = home / folder / file
    expected = read_manifest(home).get(folder, {}).get(file, "nothing")
    return check_shipped(path, expected)
