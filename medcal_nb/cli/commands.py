"""The commands in their groups, with the help and the example that each docstring gives."""

import inspect

from medcal_nb.cli import (  # noqa: F401
    answers,
    ask,
    calibrate,
    items,
    reader,
    study,
)
from medcal_nb.cli._app import PlainCommand, app, plain_options

#: The commands in their groups; the example at the end of each help ends its docstring.
GROUPS = {
    "Study": ("study", "verify", "doctor"),
    "Ask": ("items", "models", "strategies", "ask"),
    "Answers": ("import", "score", "calibrate"),
    "Teach": ("reader",),
}

app.command("import")(answers.import_)
app.command()(answers.score)
app.command()(calibrate.calibrate)

_known = {
    command.name or command.callback.__name__: command
    for command in app.registered_commands
}
app.registered_commands = [_known[name] for names in GROUPS.values() for name in names]
for _name, _command in _known.items():
    plain_options(_command.callback)
    _command.rich_help_panel = next(
        group for group, names in GROUPS.items() if _name in names
    )
    _command.cls = PlainCommand
    _help, _, _example = inspect.getdoc(_command.callback).partition("\n\nExample: ")
    # the terminal breaks lines, where it is as narrow as that
    _command.help = "\n\n".join(" ".join(p.split()) for p in _help.split("\n\n"))
    _command.epilog = f"Example: {_example}"
