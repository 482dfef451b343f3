"""The command line: ``medcal COMMAND``.

Each module of this folder adds commands to the application and imports nothing but typer and the
standard library at its top, so that ``medcal --help`` answers at once.

Exit status: 0 done; 1 something failed, the rest is done and said; 2 wrong use or wrong input,
nothing was done; 130 interrupted.
"""

import errno
import shlex
import sys
from itertools import pairwise

import typer

from medcal_nb import __version__
from medcal_nb.cli._app import note, say
from medcal_nb.cli.commands import app
from medcal_nb.errors import MedcalError

#: Old names that still work: of options, of one command's options, and of what an option names.
#: Those of data sets are known to `medcal_nb.datasets.items`.
RENAMED = {
    "--out": "--to",
    "--limit": "--max-risk",
    "--errors-allowed": "--max-risk",
    ("import", "--reader"): "--tool",
    ("--profile", "real"): "recorded",
    ("--strategies", "image_ablation"): "blank_image",
    ("--method", "option_temperature"): "temperature",
}


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version."),
    debug: bool = typer.Option(False, "--debug", help="Show where an error happened."),
) -> None:
    if context.invoked_subcommand is None:
        say(f"medcal {__version__}" if version else context.get_help())


def _renamed(words: list[str]) -> list[str]:
    """The words of a command line with old names replaced, each with a remark."""
    words = [
        w
        for word in words
        for w in (word.split("=", 1) if word[:2] == "--" else [word])
    ]
    out = []
    for option, word in pairwise(["", *words]):
        names = word.split(",")
        for i, name in enumerate(names):
            keys = (name, (option, name), (words[0], name))
            if new := next((RENAMED[key] for key in keys if key in RENAMED), None):
                note(f"'{name}' is now called '{new}'")
                names[i] = new
        out.append(",".join(names))
    return out


def main() -> None:
    """Run the command line; whatever goes wrong is said in one line (--debug shows more).

    Typer ends quietly with 1 where a reader such as `head` has seen enough, and makes 130 of
    Ctrl-C.
    """
    try:
        code = app(_renamed(sys.argv[1:]), prog_name="medcal", standalone_mode=False)
    except Exception as error:
        if sys.argv[1:2] == ["--debug"]:
            raise
        code, text = _said_of(error)
        note("error: " + " ".join(text.split("\n")))
    if code == 130:
        note("interrupted; the same command goes on where it was")
    sys.exit(code)


def _said_of(error: Exception) -> tuple[int, str]:
    """The exit status of an error and what is said of it."""
    if hasattr(
        error, "format_message"
    ):  # of typer: the words of the command line are wrong
        about = error.ctx.command_path if error.ctx else "medcal"
        return 2, f"{error.format_message().rstrip('.')}; `{about} --help` says more"
    if isinstance(error, MedcalError):
        return 2, str(error)
    if isinstance(error, OSError) and error.filename:
        code = 1 if error.errno in (errno.ENOSPC, errno.EDQUOT) else 2
        return (
            code,
            f"{error.filename}: {(error.strerror or '').lower()}: choose another",
        )
    first_line = (str(error).strip().splitlines() or ["no more is known"])[0][:300]
    again = shlex.join(["medcal", "--debug", *sys.argv[1:]])
    return 1, (
        f"unforeseen {type(error).__name__}: {first_line}; `{again}` shows where: please report it "
        "with what that prints"
    )
