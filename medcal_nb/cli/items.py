"""``medcal items``: look at what is asked, as a table and as a contact sheet."""

from itertools import zip_longest
from pathlib import Path
from textwrap import fill

import typer

from medcal_nb.cli._app import Force, app, say
from medcal_nb.errors import MedcalError

_IMAGES, _COLUMNS = 60, 6


@app.command()
def items(
    dataset: str = typer.Option(None, help="Which items; their names are listed if left out."),
    split: str = typer.Option(None, help="fit or test; both if left out."),
    n: int = typer.Option(None, min=1, help="Show this many, drawn at random, else all."),
    sheet: Path = typer.Option(None, help="Write the images and questions to this PNG."),
    force: Force = False,
) -> None:
    """Print the items of a data set; draw a contact sheet of them.

    Example: medcal items --dataset vqa-rad --n 12 --sheet sheet.png
    """
    from medcal_nb.files import check_new_file, new_file
    from medcal_nb.items import dataset_names, load_items

    if dataset is None:
        say("\n".join(dataset_names()))
        return
    if sheet is not None:
        if sheet.suffix.lower() != ".png":
            raise MedcalError(f"{sheet}: give it a name that ends with .png")
        check_new_file(sheet, force=force)
    table = load_items(dataset, split=split)
    if n is not None and n < len(table):
        table = table.sample(n, random_state=0).sort_index().reset_index(drop=True)
    table = table.assign(options=_flat(table["options"], " / "), gold=_flat(table["gold"], " | "))
    shown = table[["item_id", "modality", "question", "options", "gold"]].to_string(index=False)
    say(f"{shown}\n{len(table)} items, {table['image_id'].nunique()} images")
    if sheet is not None:
        made = "synthetic phantoms, no patients" if dataset.startswith("pocket") else "items"
        drawn = contact_sheet(table, title=f"{dataset} ({made})")
        with new_file(sheet, force=force) as part:
            drawn.savefig(part, format="png", bbox_inches="tight")
        say(f"wrote {sheet}")


def _flat(values, between: str) -> list[str]:
    """Lists of texts as one text each."""
    return [v if isinstance(v, str) else between.join(v if v is not None else ()) for v in values]


def contact_sheet(table, *, title: str):
    """Draw the images of an item table in a grid, each once, with questions and right answers."""
    from matplotlib.figure import Figure

    from medcal_nb.items import open_image

    groups = [rows for _, rows in table.groupby("image_id", sort=False)]
    if len(groups) > _IMAGES:
        title += f": {_IMAGES} of {len(groups)} images"
    captions = []
    for rows in groups[:_IMAGES]:
        asked = zip(rows["question"], rows["gold"], strict=True)
        told = [text for question, gold in asked for text in (question, f"Answer: {gold}")]
        captions.append("\n".join([f"[{rows.iloc[0]['modality']}]", *(fill(t, 34) for t in told)]))
    columns, lines = min(_COLUMNS, len(captions)), max(c.count("\n") + 1 for c in captions)
    size, below = -(-len(captions) // columns), 0.08 * lines  # of an image's side
    fig = Figure(figsize=(2.1 * columns, 2 * size * (1 + below)), dpi=100)
    fig.subplots_adjust(0, 0, 1, 1, hspace=below)
    fig.suptitle(title, x=0, y=1.01, ha="left", va="bottom", parse_math=False)
    axes = fig.subplots(size, columns, squeeze=False).flat
    for ax, rows, caption in zip_longest(axes, groups[:_IMAGES], captions):
        ax.axis("off")
        if caption:
            ax.imshow(open_image(rows.iloc[0]["image"]))
            ax.text(0, -0.02, caption, va="top", size=7, parse_math=False, transform=ax.transAxes)
    return fig
