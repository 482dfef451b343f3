"""Options that say which columns of a foreign table are which, for every command that reads one."""

from typing import Annotated, Literal

import typer


def _column(text: str, metavar: str = "COL") -> typer.models.OptionInfo:
    return typer.Option(metavar=metavar, help=text, show_default=False)


_EITHER = "COL_OR_NAME"
Confidence = Annotated[str | None, _column("Probability of being correct.")]
Correct = Annotated[str | None, _column("true/false, 1/0, right/wrong, ja/nein …")]
Answer = Annotated[str | None, _column("What the model said.")]
Gold = Annotated[str | None, _column("The right answer; grades the answers.")]
Item = Annotated[str | None, _column("Id of the item.")]
Image = Annotated[str | None, _column("Id of the image (groups intervals).")]
Modality = Annotated[str | None, _column("x-ray, ct, photo …")]
Model = Annotated[str | None, _column("A column, else a constant.", _EITHER)]
Dataset = Annotated[str | None, _column("A column, else a constant.", _EITHER)]
Strategy = Annotated[str | None, _column("How it was asked.", _EITHER)]
Domain = Annotated[
    Literal["general", "medical", "other"] | None, typer.Option(help="Of all items.")
]
Split = Annotated[Literal["fit", "test"] | None, typer.Option(help="Of all items.")]
Logits = Annotated[str | None, _column("Option scores, named …_OPTION.", "COL,COL,…")]
Percent = Annotated[
    bool, typer.Option("--percent", help="The confidence runs 0 to 100.")
]
Decimal = Annotated[
    Literal[".", ","], typer.Option(help="The decimal mark of option scores.")
]
