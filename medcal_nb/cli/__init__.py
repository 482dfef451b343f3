"""The command line: ``medcal COMMAND``.

Each module of this folder adds commands to the application and imports nothing but typer and the
standard library at its top, so that ``medcal --help`` answers at once.

Exit status: 0 done; 1 something failed, the rest is done and said; 2 wrong use, wrong input or no
room to write, nothing is half written; 130 interrupted.
"""

import os
import sys
import traceback

from medcal_nb.cli import answers, ask, certify, check, explore, reader, study
from medcal_nb.cli._app import app, note
from medcal_nb.errors import MedcalError

__all__ = [
    "answers",
    "app",
    "ask",
    "certify",
    "check",
    "explore",
    "main",
    "reader",
    "study",
]

app.command(rich_help_panel="Read")(reader.reader)

# Arrow's own pool hands pages back at every turn: seconds, for a million answers
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

#: What a library that is not installed is part of.
EXTRAS = {
    "ask": [
        "torch",
        "torchvision",
        "transformers",
        "open_clip",
        "huggingface_hub",
        "aiohttp",
        "anyio",
    ],
    "study": [
        "IPython",
        "papermill",
        "nbconvert",
        "jupyter_client",
        "ipywidgets",
        "jupyterlab",
    ],
}


def main() -> None:
    """Run the command line; what goes wrong is said in one line.

    Typer ends with 1 where a reader such as `head` has seen enough, and makes 130 of Ctrl-C.
    """
    try:
        code = app(prog_name="medcal", standalone_mode=False)
    except Exception as error:
        code, text = _explained(error)
        note(f"error: {' '.join(text.split())}")
    if code == 130:
        note("interrupted; the same command goes on where it was")
    sys.exit(code)


def _explained(error: Exception) -> tuple[int, str]:
    """The exit status of an error, and its line."""
    if isinstance(error, MedcalError):
        return 2, str(error)
    if hasattr(error, "format_message"):  # of typer: wrong words
        about = error.ctx.command_path if error.ctx else "medcal"
        return 2, f"{error.format_message().rstrip('.')}; `{about} --help` says more"
    if isinstance(error, ModuleNotFoundError):
        for extra, names in EXTRAS.items():
            if error.name in names:
                return 2, f"{error.name} is missing: pip install 'medcal-nb[{extra}]'"
    if isinstance(error, OSError) and error.filename:
        return 2, f"{error.filename}: {error.strerror}"
    if os.environ.get("MEDCAL_DEBUG"):
        traceback.print_exception(error)
    return 1, (
        f"unforeseen {type(error).__name__}: {str(error)[:300]}; please report it with what the "
        "same command prints with MEDCAL_DEBUG=1 before it"
    )
