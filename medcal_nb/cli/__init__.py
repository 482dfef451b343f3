"""The command line: ``medcal COMMAND``.

Each module of this folder adds its commands through ``register(app)`` and imports nothing but
typer and the standard library at its top, so that ``medcal --help`` answers at once.
"""

import errno
import sys
from importlib import import_module
from importlib.util import find_spec

import typer

from medcal_nb import __version__
from medcal_nb.errors import MedcalError

ROOMS = ("study", "ask", "answers", "items", "calibrate", "reader", "pocket", "fetch")

app = typer.Typer(
    name="medcal",
    help="Is the confidence of a multimodal LLM on medical images honest?",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"medcal {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    pass


for _room in ROOMS:
    if find_spec(f"medcal_nb.cli.{_room}") is not None:
        import_module(f"medcal_nb.cli.{_room}").register(app)


def _complain(message: str) -> None:
    print(f"medcal: error: {message}", file=sys.stderr)


def _interrupted() -> None:
    print("medcal: interrupted; the same command goes on where it was", file=sys.stderr)


def main() -> None:
    """Run the command line; faults of the input are told in one line and exit with status 2."""
    try:
        app(prog_name="medcal")
    except MedcalError as error:
        _complain(" ".join(str(error).split("\n")))
        sys.exit(2)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            _complain(
                f"no space left on the disk writing {error.filename or 'a file'}: "
                "free some and run the same command again"
            )
        elif isinstance(error, PermissionError) and error.filename:
            _complain(f"{error.filename}: permission denied: change its mode or choose another")
        else:
            raise
        sys.exit(2)
    except KeyboardInterrupt:
        _interrupted()
        sys.exit(130)
    except SystemExit as end:
        if end.code == 130:  # typer has turned Ctrl-C into an exit of its own
            _interrupted()
        raise
