"""The one option that says how somebody's table is to be read, for every command that reads one."""

from typing import Annotated

import typer

from medcal_nb.errors import MedcalError

Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--columns",
        "-c",
        metavar="NAME=VALUE",
        help="What is which, where the names of columns do not say; several times: item_id=COLUMN, "
        "image_id=, confidence=, correct=, answer=, gold=; model=, dataset=, domain=, split=, "
        "strategy= also one name for all rows; scale=percent, 10 or 1-5; logits=A,B or "
        "probabilities=A,B (columns of option scores); sheet= of Excel; grade=METRIC of a log.",
        show_default=False,
    ),
]
_SHORT = {"item": "item_id", "image": "image_id"}


def keywords(columns: list[str] | None) -> dict[str, str]:
    """The keywords of `medcal_nb.answers.read_answers` that were given as ``NAME=VALUE``.

    Examples
    --------
    >>> keywords(["item=case", "scale=1-5"])
    {'item_id': 'case', 'scale': '1-5'}
    """
    pairs = {}
    for text in columns or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise MedcalError(f"-c {text}: write NAME=VALUE, such as confidence=conf")
        pairs[_SHORT.get(name.strip(), name.strip())] = value.strip()
    return pairs
