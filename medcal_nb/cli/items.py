"""``medcal items``: look at what is asked, as a table and as a sheet of images."""

from pathlib import Path
from typing import Annotated

import typer

from medcal_nb.cli._app import Force, app, say
from medcal_nb.errors import MedcalError

_PER_LINE = 6


@app.command()
def items(
    dataset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The data set; all are listed if left out."),
    ] = None,
    split: Annotated[
        str | None, typer.Option(metavar="fit|test", help="Both if left out.")
    ] = None,
    n: Annotated[
        int | None,
        typer.Option(min=1, help="N items only, those that `medcal ask --n N` asks."),
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Draw images, a line a modality, into this PNG.")
    ] = None,
    force: Force = False,
) -> None:
    """Print the items of a data set; draw a sheet of their images.

    Example: medcal items --dataset vqa-rad --n 12 --sheet sheet.png
    """
    from medcal_nb.datasets import dataset_names, load_items, open_image
    from medcal_nb.files import check_new_file, new_file

    if dataset is None:
        say("\n".join(dataset_names()))
        return
    if sheet is not None:
        if sheet.suffix.lower() != ".png":
            raise MedcalError(f"{sheet}: give it a name that ends with .png")
        check_new_file(sheet, force=force)
    table = load_items(dataset, split=split, n=n)
    shown = table[["item_id", "modality", "question", "options", "gold"]].to_string(
        index=False
    )
    say(f"{shown}\n{len(table)} items, {table['image_id'].nunique()} images")
    if sheet is not None:
        from medcal_nb.show.charts import image_sheet

        made = (
            "synthetic phantoms, no patients"
            if dataset.startswith("pocket")
            else "items"
        )
        table["modality"] = table["modality"].fillna("no modality").astype(str)
        some = (
            table.drop_duplicates("image_id")
            .groupby("modality", sort=False)
            .head(_PER_LINE)
        )
        some = some.assign(picture=some["image"].map(open_image))
        some["gold"] = [
            g if isinstance(g, str) else " | ".join(g) for g in some["gold"]
        ]
        drawn = image_sheet(some, per_row=_PER_LINE, title=f"{dataset} ({made})")
        with new_file(sheet, force=force) as part:
            drawn.savefig(part, format="png", dpi=200)
        say(f"wrote {sheet}")
