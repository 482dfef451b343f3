"""What every command shares: the application, and how it speaks."""

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup
from typer.models import OptionInfo

from medcal_nb.errors import MedcalError, printable


class _PlainHelp:
    """Help without types in Python's words: an argument by its name alone, a switch likewise."""

    def get_params(self, ctx: Any) -> list:
        params = super().get_params(ctx)
        for one in params:
            if isinstance(one, TyperArgument):
                one.display_type_rich = lambda ctx: ""
            elif one.metavar is None:
                one.metavar = ""  # every other option has one: `plain_options`
        return params

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        pieces = super().collect_usage_pieces(ctx)
        return [piece.replace("{", "").replace("}", "") for piece in pieces]


class PlainCommand(_PlainHelp, TyperCommand):
    """A command with plain help."""


class PlainGroup(_PlainHelp, TyperGroup):
    """The commands together, with plain help."""


app = typer.Typer(
    cls=PlainGroup,
    name="medcal",
    help="Is the confidence of a multimodal LLM on medical images calibrated?",
    epilog="Exit status: 0 done; 1 something failed, the rest is done and said; 2 wrong use or "
    "wrong input, nothing was done; 130 interrupted.",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

#: How help names the values of options.
_METAVARS = {bool: "", int: "N", float: "NUMBER", Path: "FILE", str: "TEXT"}

Table = Annotated[
    Path,
    typer.Argument(metavar="ANSWERS", help="Answers as `medcal import` writes them."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that are there.")]


def say(text: str, *, err: bool = False) -> None:
    """Print a text for a person: control characters in names stay out of the terminal."""
    typer.echo(printable(text), err=err)


def note(text: str) -> None:
    """Print a remark on standard error."""
    say(f"medcal: {text}", err=True)


def split_names(text: str | None) -> list[str]:
    """The parts of a list written with commas."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def plain_options(command: Callable) -> None:
    """Give the options of a command types in words, and limits that infinity does not pass.

    Help then says FILE, N, NUMBER or TEXT, and nothing for a switch. A limit that a number has to
    keep is checked by a function of our own, as "not a number" passes every comparison.
    """
    # annotations that are texts become what they say, as each evaluation makes new options
    command.__annotations__ = inspect.get_annotations(command, eval_str=True)
    for name, parameter in inspect.signature(command).parameters.items():
        option, kind = _option_of(parameter)
        if option is None:
            continue
        named = isinstance(option.default, str) and option.default.startswith("-")
        if kind is bool and not named and not option.param_decls:
            option.param_decls = (
                f"--{name.replace('_', '-')}",
            )  # a switch, without --no-…
        if option.metavar is None:
            is_choice = get_origin(kind) is Literal
            option.metavar = (
                "|".join(get_args(kind)) if is_choice else _METAVARS.get(kind)
            )
        if kind in (int, float):
            least = option.min
            most = option.max
            option.min = None
            option.max = None
            option.callback = within(least, most)


def _option_of(parameter: inspect.Parameter) -> tuple[OptionInfo | None, type]:
    """The option that a parameter declares, in its annotation or default, and its type."""
    kind = parameter.annotation
    declared = [parameter.default]
    if get_origin(kind) is Annotated:
        kind, *marks = get_args(kind)
        declared += marks
    options = [mark for mark in declared if isinstance(mark, OptionInfo)]
    if get_origin(kind) in (UnionType, Union):  # int | None
        kind = next(one for one in get_args(kind) if one is not NoneType)
    return (options[0] if options else None), kind


def within(least: float | None, most: float | None) -> Callable:
    """A check that a number is finite and within limits, for an option."""

    def check(value: float | None) -> float | None:
        if value is None:
            return None
        if not math.isfinite(value):
            raise typer.BadParameter(f"{value} is no finite number")
        if least is not None and value < least:
            raise typer.BadParameter(f"{value} is less than {least}")
        if most is not None and value > most:
            raise typer.BadParameter(f"{value} is more than {most}")
        return value

    return check


def check_log_name(path: Path) -> None:
    """Refuse a log whose name is that of another kind of file.

    Raises
    ------
    MedcalError
        If the name does not end as those of logs do.
    """
    from medcal_nb.answers import is_log

    if not is_log(path):
        raise MedcalError(
            f"{path}: --to names a log, which is an SQLite file: end its name with .sqlite "
            "(`medcal export` makes a CSV or Parquet file of a log)"
        )
