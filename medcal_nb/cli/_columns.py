"""Options that say which columns of a foreign table are which, for every command that reads one."""

from typing import Annotated, Literal

import typer


def _column(text: str, metavar: str = "COL") -> typer.models.OptionInfo:
    return typer.Option(metavar=metavar, help=text, show_default=False)


_EITHER = "COL|NAME"
Confidence = Annotated[
    str | None, _column("Column of the probability of being correct.")
]
Correct = Annotated[
    str | None, _column("Column of the grade: true/false, 1/0, yes/no.")
]
Answer = Annotated[str | None, _column("Column of the reply.")]
Gold = Annotated[
    str | None, _column("Column of the right answer, by which replies are graded.")
]
Item = Annotated[str | None, _column("Column of the question's id.")]
Image = Annotated[
    str | None, _column("Column of the image's id; intervals are by image.")
]
Modality = Annotated[
    str | None, _column("Column of the modality, such as x-ray or CT.")
]
Model = Annotated[
    str | None, _column("Column of the model, or one name for all rows.", _EITHER)
]
Dataset = Annotated[
    str | None, _column("Column of the data set, or one name for all rows.", _EITHER)
]
Strategy = Annotated[
    str | None, _column("Column of the elicitation method, or one for all.", _EITHER)
]
Domain = Annotated[
    Literal["general", "medical", "other"] | None,
    typer.Option(
        metavar="NAME", help="general, medical or other: what all images are."
    ),
]
Split = Annotated[
    Literal["fit", "test"] | None,
    typer.Option(help="Whether maps are fitted or judged on these rows."),
]
Logits = Annotated[
    str | None, _column("Columns of option scores: score_yes,score_no.", "COL,COL,…")
]
Percent = Annotated[
    bool, typer.Option("--percent", help="The confidence runs from 0 to 100.")
]
Decimal = Annotated[
    Literal[".", ","], typer.Option(help="The decimal mark of numbers.")
]
