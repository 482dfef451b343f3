"""``medcal items``: look at what is asked, as a table and as a contact sheet."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("items")(items)


def items(
    dataset: str = typer.Option("pocketvqa-medical", help="Which items, such as vqa-rad:FOLDER."),
    split: str = typer.Option(None, help="fit or test; both if left out."),
    n: int = typer.Option(None, help="Show this many, drawn by --seed; all if left out."),
    seed: int = typer.Option(0, help="Which draw of --n items."),
    modality: str = typer.Option(None, help="Keep one modality, such as x-ray."),
    sheet: Path = typer.Option(None, help="Write the images and questions to this PNG."),
    to: Path = typer.Option(None, help="Write the table to this .csv, .jsonl or .parquet file."),
) -> None:
    """Print a dataset's items; draw a contact sheet of them; write them to a file."""
    from medcal_nb.errors import MedcalError
    from medcal_nb.items import load_items

    if n is not None and n < 1:
        raise MedcalError(f"--n {n}: give 1 or more items, or leave it out for all")
    table = load_items(dataset, split=split)
    if modality is not None:
        known = sorted(table["modality"].unique())
        if modality not in known:
            raise MedcalError(f"--modality {modality}: {dataset} has {', '.join(known)}")
        table = table[table["modality"] == modality].reset_index(drop=True)
    if n is not None and n < len(table):
        import numpy as np

        keep = np.sort(np.random.default_rng(seed).permutation(len(table))[:n])
        table = table.iloc[keep].reset_index(drop=True)
    typer.echo(_lines(table))
    if to is not None:
        write_items(table, to)
        typer.echo(f"wrote {to}")
    if sheet is not None:
        if sheet.suffix.lower() != ".png":
            raise MedcalError(f"--sheet {sheet}: a contact sheet is a .png file")
        _folder(sheet)
        contact_sheet(table, title=_title(dataset, modality)).save(sheet)
        typer.echo(f"wrote {sheet}")


def _title(dataset: str, modality: str | None) -> str:
    made = "synthetic phantoms, no patients" if dataset.startswith("pocket") else "items"
    return f"{dataset}{'' if modality is None else ', ' + modality} ({made})"


def _folder(path: Path) -> None:
    from medcal_nb.errors import MedcalError

    if not path.parent.is_dir():
        raise MedcalError(f"{path}: there is no folder {path.parent}; make it first")


def _lines(table: "pd.DataFrame") -> str:
    """The table as text, with the number of items and images below."""
    shown = table[["item_id", "modality", "question", "options", "gold"]].copy()
    shown["options"] = ["" if o is None else " / ".join(o) for o in table["options"]]
    shown["gold"] = [g if isinstance(g, str) else " | ".join(g) for g in table["gold"]]
    images = table["image_id"].nunique()
    return f"{shown.to_string(index=False)}\n{len(table)} items, {images} images"


def write_items(table: "pd.DataFrame", path: Path) -> None:
    """Write items to .csv (without images), .jsonl (images as base64) or .parquet."""
    import base64

    from medcal_nb.errors import MedcalError

    _folder(path)
    kind = path.suffix.lower()
    if kind == ".csv":
        flat = table.drop(columns="image")
        flat["options"] = ["" if o is None else "|".join(o) for o in flat["options"]]
        flat.to_csv(path, index=False, lineterminator="\n")
    elif kind == ".jsonl":
        plain = table.copy()
        plain["image"] = [
            base64.b64encode(i).decode() if isinstance(i, bytes) else str(i) for i in table["image"]
        ]
        plain.to_json(path, orient="records", lines=True, force_ascii=False)
    elif kind == ".parquet":
        table.to_parquet(path, index=False)
    else:
        raise MedcalError(f"--to {path}: unknown kind {kind!r}; use .csv, .jsonl or .parquet")


def contact_sheet(
    table: "pd.DataFrame", *, title: str, columns: int = 6, scale: int = 3
) -> "Image.Image":
    """The images of an item table in a grid, each with its question and gold answer.

    An image that several items ask about is shown once, with all of them. At most 60 images are
    shown; the title says so.
    """
    import textwrap

    from PIL import Image, ImageDraw, ImageFont

    from medcal_nb.items import open_image

    groups = list(table.groupby("image_id", sort=False))
    shown = groups[:60]
    if len(shown) < len(groups):
        title += f": {len(shown)} of {len(groups)} images"
    side = 64 * scale
    font, head = ImageFont.load_default(size=11), ImageFont.load_default(size=16)
    captions = []
    for _, rows in shown:
        lines = []
        for row in rows.to_dict("records"):
            gold = row["gold"] if isinstance(row["gold"], str) else " | ".join(row["gold"])
            lines += textwrap.wrap(f"{row['question']} → {gold}", width=side // 6)
        top = rows.iloc[0]
        lines.append(f"[{top['modality']}{', ' + top['site'] if 'site' in rows else ''}]")
        captions.append(lines)
    columns = max(1, min(columns, len(shown)))
    tall = side + 14 * max((len(c) for c in captions), default=0) + 12
    wide = side + 12
    sheet = Image.new(
        "RGB", (max(columns * wide, 420) + 12, -(-len(shown) // columns) * tall + 40), "white"
    )
    pen = ImageDraw.Draw(sheet)
    pen.text((12, 10), title, fill="black", font=head)
    for k, ((_, rows), lines) in enumerate(zip(shown, captions, strict=True)):
        x, y = 12 + k % columns * wide, 40 + k // columns * tall
        picture = open_image(rows.iloc[0]["image"])
        picture.thumbnail((side, side))
        size = (side, round(side * picture.height / picture.width))
        sheet.paste(picture.resize(size, Image.Resampling.BICUBIC), (x, y))
        for j, line in enumerate(lines):
            pen.text((x, y + side + 2 + 14 * j), line, fill="black", font=font)
    return sheet
