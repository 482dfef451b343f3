"""``medcal items``: look at what is asked, as a table and as a contact sheet."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

_IMAGES, _SIDE, _COLUMNS, _LINE = 60, 192, 6, 15


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("items")(items)


def items(
    dataset: str = typer.Option(None, help="Which items; their names are listed if left out."),
    split: str = typer.Option(None, help="fit or test; both if left out."),
    n: int = typer.Option(None, help="Show this many, drawn by --seed; all if left out."),
    seed: int = typer.Option(0, min=0, help="Which draw of --n items."),
    modality: str = typer.Option(None, help="Keep one modality, such as x-ray."),
    sheet: Path = typer.Option(None, help="Write the images and questions to this PNG."),
    to: Path = typer.Option(None, help="Write the table to this .csv, .jsonl or .parquet file."),
    force: bool = typer.Option(False, "--force", help="Replace --to and --sheet where there."),
) -> None:
    """Print the items of a data set; draw a contact sheet of them; write them to a file.

    Example: medcal items --dataset vqa-rad --n 12 --sheet sheet.png
    """
    from medcal_nb.cli import say
    from medcal_nb.errors import MedcalError
    from medcal_nb.files import check_new_file, new_file
    from medcal_nb.items import dataset_names, load_items

    if dataset is None:
        say("\n".join(dataset_names()))
        return
    if n is not None and n < 1:
        raise MedcalError(f"--n {n}: give 1 or more items, or leave it out for all")
    for path, kinds in ((to, (".csv", ".jsonl", ".parquet")), (sheet, (".png",))):
        if path is not None:
            if path.suffix.lower() not in kinds:
                raise MedcalError(f"{path}: unknown kind; use {', '.join(kinds)}")
            check_new_file(path, force=force)
    table = load_items(dataset, split=split)
    if modality is not None:
        known = sorted(table["modality"].unique())
        if modality not in known:
            raise MedcalError(f"--modality {modality}: {dataset} has {', '.join(known)}")
        table = table[table["modality"] == modality].reset_index(drop=True)
    if n is not None and n < len(table):
        table = table.sample(n, random_state=seed).sort_index().reset_index(drop=True)
    say(_lines(table))
    if to is not None:
        with new_file(to, force=force) as part:
            _write(table, part, to.suffix.lower())
        say(f"wrote {to}")
    if sheet is not None:
        made = "synthetic phantoms, no patients" if dataset.startswith("pocket") else "items"
        title = f"{dataset}{'' if modality is None else ', ' + modality} ({made})"
        with new_file(sheet, force=force) as part:
            contact_sheet(table, title=title).save(part, "PNG")
        say(f"wrote {sheet}")


def _lines(table: "pd.DataFrame") -> str:
    """The table as text, with the number of items and images below."""
    shown = table[["item_id", "modality", "question", "options", "gold"]].copy()
    shown["options"] = ["" if o is None else " / ".join(o) for o in table["options"]]
    shown["gold"] = [_gold(g) for g in table["gold"]]
    images = table["image_id"].nunique()
    return f"{shown.to_string(index=False)}\n{len(table)} items, {images} images"


def _gold(gold) -> str:
    return gold if isinstance(gold, str) else " | ".join(gold)


def _write(table: "pd.DataFrame", path: Path, kind: str) -> None:
    """Write items as CSV (without images), JSONL (images as base64) or Parquet."""
    import base64

    if kind == ".csv":
        flat = table.drop(columns="image")
        flat["options"] = ["" if o is None else "|".join(o) for o in flat["options"]]
        flat.to_csv(path, index=False, lineterminator="\n")
    elif kind == ".jsonl":
        plain = [
            base64.b64encode(i).decode() if isinstance(i, bytes) else i for i in table["image"]
        ]
        table = table.assign(image=plain)
        table.to_json(path, orient="records", lines=True, force_ascii=False)
    else:
        table.to_parquet(path, index=False)


def contact_sheet(table: "pd.DataFrame", *, title: str) -> "Image.Image":
    """The images of an item table in a grid, each once, with its questions and right answers."""
    from textwrap import wrap

    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    from medcal_nb.items import open_image

    groups = [rows for _, rows in table.groupby("image_id", sort=False)]
    if len(groups) > _IMAGES:
        title += f": {_IMAGES} of {len(groups)} images"
    groups = groups[:_IMAGES]
    captions = [
        [f"[{rows.iloc[0]['modality']}]"]
        + [
            line
            for row in rows.to_dict("records")
            for text in (row["question"], f"Answer: {_gold(row['gold'])}")
            for line in wrap(text, _SIDE // 6)
        ]
        for rows in groups
    ]
    file = f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"  # knows nearly every letter
    font, head = ImageFont.truetype(file, 11), ImageFont.truetype(file, 16)
    columns, wide = min(_COLUMNS, len(groups)), _SIDE + 12
    tall = _SIDE + _LINE * max(map(len, captions)) + 12
    size = max(columns * wide, 480) + 12, -(-len(groups) // columns) * tall + 40
    page = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(page)
    pen.text((12, 10), title, fill="black", font=head)
    for k, (rows, lines) in enumerate(zip(groups, captions, strict=True)):
        x, y = 12 + k % columns * wide, 40 + k // columns * tall
        picture = open_image(rows.iloc[0]["image"])
        scale = _SIDE / max(picture.size)
        picture = picture.resize([max(1, round(scale * length)) for length in picture.size])
        page.paste(picture, (x, y))
        pen.text((x, y + _SIDE + 2), "\n".join(lines), fill="black", font=font)
    return page
