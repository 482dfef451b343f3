"""What every command shares: the application, and how it speaks."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from medcal_nb import __version__
from medcal_nb.errors import MedcalError, printable

app = typer.Typer(
    name="medcal",
    help="Is the confidence of a multimodal LLM on medical images calibrated?",
    epilog="Exit status: 0 done; 1 something failed, the rest is done and said; 2 wrong use, wrong "
    "input or no room to write, nothing is half written; 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

#: Seconds of work that nothing is said of.
SILENT = 3

Force = Annotated[bool, typer.Option("--force", help="Replace what is there already.")]


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.")
    ] = False,
) -> None:
    if version:
        say(f"medcal {__version__}")
        raise typer.Exit()


def say(text: str, *, err: bool = False) -> None:
    """Print a text for a person: control characters in names stay out of the terminal."""
    typer.echo(printable(text), err=err)


def note(text: str) -> None:
    """Print a remark on standard error."""
    say(f"medcal: {text}", err=True)


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """Show in a terminal, from the third second on, that work goes on, and since when."""
    if not sys.stderr.isatty():
        yield
        return
    done = threading.Event()
    began = time.monotonic()

    def tell() -> None:
        while not done.wait(1):
            seconds = time.monotonic() - began
            if seconds > SILENT:
                print(f"\r{what}: {seconds:.0f} s", end="", file=sys.stderr, flush=True)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()
        print("\r\033[K", end="", file=sys.stderr, flush=True)  # an empty line again


def command(name: str, file: Path, columns: list[str] | None) -> str:
    """A command on a file as a shell takes it, with what the user said of its columns."""
    from medcal_nb.wording import in_shell

    options = [f"-c {in_shell(column)}" for column in columns or ()]
    return " ".join(["medcal", name, in_shell(str(file)), *options])


def split_names(text: str) -> list[str]:
    """Parts of a list written with commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def assigned(texts: list[str] | None, option: str) -> dict[str, str]:
    """Values by name, of texts ``NAME=VALUE``."""
    values = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise MedcalError(f"{option} {text}: write NAME=VALUE")
        values[name] = value
    return values
