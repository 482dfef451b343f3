"""What every command shares: the application, and how it speaks."""

from pathlib import Path
from typing import Annotated

import typer

from medcal_nb.errors import printable

app = typer.Typer(
    name="medcal",
    help="Is the confidence of a multimodal LLM on medical images calibrated?",
    epilog="Exit status: 0 done; 1 something failed, the rest is done and told; 2 wrong use or "
    "wrong input, nothing was done; 130 interrupted.",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Table = Annotated[
    Path,
    typer.Argument(metavar="ANSWERS", help="A log, or a table with our column names."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]


def say(text: str, *, err: bool = False) -> None:
    """Print a text for a person: control characters in names stay out of the terminal."""
    typer.echo(printable(text), err=err)


def note(text: str) -> None:
    """Print a remark on standard error."""
    say(f"medcal: {text}", err=True)


def split_names(text: str | None) -> list[str]:
    """The parts of a list written with commas."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]
