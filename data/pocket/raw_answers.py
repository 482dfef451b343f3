"""Write raw replies of a small model about synthetic images, with gold answers and no grade.

`python -m data.pocket.raw_answers --to data/raw_answers.csv` asks pocket-medical 300 questions of
pocketvqa-medical, verbalized, and keeps what a table of anybody's replies would have: chapter 10
shows with it how such a table is read and graded.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from medcal_nb.answers import AnswerLog
from medcal_nb.ask.models import resolve_model
from medcal_nb.ask.run import ask
from medcal_nb.datasets import load_items

MODEL = "pocket-medical"
DATASET = "pocketvqa-medical"
N_ITEMS = 300


def main(argv: list[str] | None = None) -> int:
    """Ask, and write the table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--n", type=int, default=N_ITEMS)
    options = parser.parse_args(argv)
    items = load_items(DATASET, split="test", n=options.n, seed=0)
    with (
        tempfile.TemporaryDirectory() as folder,
        AnswerLog(Path(folder) / "answers.sqlite") as log,
    ):
        ask(resolve_model(MODEL), items, ["verbalized"], log=log, seed=0)
        replies = log.read()[["item_id", "raw"]]
    table = items.drop(columns="image").merge(replies, on="item_id", validate="1:1")
    table = table.rename(columns={"raw": "output", "image_id": "image"})
    columns = ["image", "question", "output", "gold", "modality"]
    table[columns].to_csv(options.to, index=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
