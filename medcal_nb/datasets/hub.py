"""Public VQA sets as item tables: the study's benchmarks, and two sets of medical images.

``load_items("vqa-rad")`` fetches a set from the Hugging Face hub, where its files are public, and
keeps it in the hub's cache; ``load_items("vqa-rad:FOLDER")`` reads a copy on disk instead, laid out
as the hub repository. No code of a repository is ever run. The sets stand in ``hub_sets.toml``.

**The study's benchmarks** (GMAI-MMBench, MMMU-Pro, GQA, POPE) are all ``test``, and their items
carry the numbers and columns of the recorded answers (`medcal_nb.datasets.vlcb`), so that an answer
stands beside those of the five models to the same question.

**Splits** are grouped by image, so that no image is in both: every image in a set's own test split
is ``test`` with all its questions, the rest is ``fit``; the set's own split stays in the column
``official_split``. VQA-RAD shares 202 of its 203 test images with its training questions,
so that its 451 test questions (``official_split == "test"``) are a part of ``test`` here.

**Images** are named by the set's own id or, where it has none, by a hash of the file's content.

**Modality** is what the set states, in its own words; failing that, what its documentation tells;
failing that, ``unknown``.

**Question type**: a gold answer of yes or no makes a closed question, a list of options a choice
question, all else is open. Rows that can't be used (no image, no gold answer, options that can't
be distinguished) are left out and counted in ``table.attrs["left_out"]``.
"""

from __future__ import annotations

import base64
import csv
import os
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcal_nb.datasets import vlcb
from medcal_nb.datasets.asked import (
    ASKED,
    LeftOut,
    asked_plainly,
    image_of,
    one_line,
)
from medcal_nb.datasets.items import ITEM_COLUMNS, chosen
from medcal_nb.errors import MedcalError
from medcal_nb.files import PathLike, new_file

if TYPE_CHECKING:
    import pandas as pd

_LARGEST = 1 << 28  # of a cell of a table
#: What ``hub_sets.toml`` tells of each set, by our name for it.
HUB_SETS: dict[str, dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("hub_sets.toml").read_text(encoding="utf-8")
)

# --- where files come from -----------------------------------------------------------------------


_CONNECT = (
    "connect once, without HF_HUB_OFFLINE (where the set is gated, accept its terms on its page at "
    "huggingface.co and log in with `hf auth login`), or give a copy as NAME:FOLDER"
)


@contextmanager
def _plainly(what: Any, remedy: str = "fetch it again") -> Iterator[None]:
    """Turn whatever goes wrong in here into one line that says what to do."""
    try:
        yield
    except MedcalError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        message = f"can't be read ({type(error).__name__}: {reason})"
        raise MedcalError(f"{what}: {message}; {remedy}") from error


def fetch_set(name: str) -> Path:
    """Bring the files of a public set into the hub's cache; what is there stays.

    Returns
    -------
    pathlib.Path
        Where they lie.

    Raises
    ------
    MedcalError
        In one line: gated, no connection, and what else went wrong.
    """
    from huggingface_hub import snapshot_download

    repo = HUB_SETS[name]["repo"]
    wanted = {
        "repo_id": repo,
        "repo_type": "dataset",
        "allow_patterns": HUB_SETS[name]["files"],
        "ignore_patterns": ["*..*", "/*"],  # what might lead out of the folder
    }
    with _plainly(repo, _CONNECT):
        with suppress(Exception):  # nothing is asked where it is in the cache
            return Path(snapshot_download(**wanted, local_files_only=True))
        return Path(snapshot_download(**wanted))


class _Files:
    """The files of a set: a folder on disk, or a hub repository in the hub's cache."""

    def __init__(self, name: str, folder: PathLike | None = None):
        self.name = name
        self.spec = HUB_SETS[name]
        self.where = str(folder or self.spec["repo"])
        self.folder = Path(folder) if folder else fetch_set(name)
        if not self.folder.is_dir():
            raise MedcalError(f"{name}: {folder} is no folder; give the set's folder")

    def find(self, patterns: list[str]) -> list[Path]:
        """Return the files that match the first pattern that matches any."""
        for pattern in patterns:
            if found := sorted(p for p in self.folder.glob(pattern) if p.is_file()):
                return found
        return []

    def rows(self, patterns: list[str]) -> Iterator[dict[str, Any]]:
        """Yield the rows of a split's files as dicts, images as they are stored."""
        import pyarrow.parquet

        for path in self.find(patterns):
            with _plainly(path):
                if path.suffix == ".tsv":
                    yield from _cells(path)
                else:
                    for batch in pyarrow.parquet.ParquetFile(path).iter_batches(100):
                        yield from batch.to_pylist()

    def images(self, names: Iterable[str]) -> dict[str, str | bytes]:
        """Return images by their names: paths, or the bytes that a table of images holds."""
        if self.spec.get("image_cells"):
            return self._from_cells(set(names))
        rows = self.rows(self.spec["image_tables"])
        return {row["id"]: row["image"]["bytes"] for row in rows}

    def _from_cells(self, wanted: set[str]) -> dict[str, str | bytes]:
        """Make files of the images that stand as text in a table of gigabytes."""
        home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
        home = home / "medcal" / self.name
        home.mkdir(parents=True, exist_ok=True)
        places: dict[str, str | bytes] = {}
        for patterns in self.spec["rows"].values():
            for row in self.rows(patterns):
                name = vlcb.cell_id(
                    row["image"]
                )  # by its content: never another image's
                if name not in wanted or name in places:
                    continue
                path = home / f"{name}.png"
                if not path.is_file():
                    with new_file(path, force=True) as part:
                        part.write_bytes(base64.b64decode(row["image"]))
                places[name] = str(path)
        return places


def _cells(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a TSV, whose cells may hold whole images."""
    csv.field_size_limit(_LARGEST)
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t", strict=True):
            if None in row.values():
                raise ValueError("a row is cut off")
            yield row


# --- rows ----------------------------------------------------------------------------------------


def _item_of(row: dict[str, Any], split: str, i: int, name: str) -> dict[str, Any]:
    """The item of a stored row."""
    item = {"item_id": f"{split}-{i}"}
    item |= ASKED.get(name, asked_plainly)(row)
    if "image" not in item:
        item |= image_of(row["image"])
    spec = HUB_SETS[name]
    stated = row.get(spec.get("modality_column"))
    modality = one_line(spec.get("modality_rule", stated))
    item["modality"] = modality.lower() or "unknown"
    return item


# --- the table -----------------------------------------------------------------------------------


def load(
    name: str,
    *,
    split: str | None = None,
    n: int | None = None,
    seed: int = 0,
    folder: PathLike | None = None,
) -> pd.DataFrame:
    """Return a public set as an item table; see :func:`medcal_nb.datasets.load_items`.

    Its ``attrs`` hold ``left_out`` (reason → rows).

    Raises
    ------
    MedcalError
        If its files are not there or of another form.
    """
    import numpy as np
    import pandas as pd

    spec = HUB_SETS[name]
    files = _Files(name, folder)
    left_out: Counter[str] = Counter()
    table = pd.DataFrame(_items(files, left_out))
    if "hashes" in table:
        table, reasons = vlcb.numbered(table)
        left_out.update(reasons)
    if table.empty:
        raise MedcalError(
            f"{files.where}: no rows of {spec['title']} found; is it laid out as on the hub "
            f"({', '.join(spec['files'])})?"
        )
    is_tested = table["official_split"].isin(spec["official_test"])
    tested = table.loc[is_tested, "image_id"]
    table["split"] = np.where(table["image_id"].isin(tested), "test", "fit")
    table = chosen(table, split, n, seed)
    if len(table) and isinstance(table["image"].iloc[0], str):
        table = _with_images(table, files)
    extra = [column for column in table.columns if column not in ITEM_COLUMNS]
    table = table[[*ITEM_COLUMNS, *extra]].reset_index(drop=True)
    table.attrs["left_out"] = dict(left_out)
    return table


def _items(files: _Files, left_out: Counter[str]) -> list[dict[str, Any]]:
    """Return the items of all splits; count what is left out, by its reason."""
    spec = files.spec
    rows: list[dict[str, Any]] = []
    contents: dict[str, Any] = {}
    for split, patterns in spec["rows"].items():
        for i, stored in enumerate(files.rows(patterns)):
            try:
                row = _item_of(stored, split, i, files.name)
            except LeftOut as reason:
                left_out[str(reason)] += 1
                continue
            except (KeyError, TypeError, IndexError, AttributeError) as error:
                raise MedcalError(
                    f"{files.where}: row {len(rows)} has another form ({type(error).__name__}: "
                    f"{error}); is it {spec['title']}?"
                ) from None
            row |= {"dataset": files.name, "domain": spec["domain"]}
            row["official_split"] = split
            # rows about one image share one object
            row["image"] = contents.setdefault(row["image_id"], row["image"])
            rows.append(row)
    return rows


def _with_images(table: pd.DataFrame, files: _Files) -> pd.DataFrame:
    """The rows with what their images are, in place of their names."""
    images = table["image"].map(files.images(table["image"]))
    n_lacking = images.isna().sum()
    if n_lacking:
        raise MedcalError(
            f"{files.where}: the images of {n_lacking} questions are not there; fetch it again"
        )
    return table.assign(image=images)
