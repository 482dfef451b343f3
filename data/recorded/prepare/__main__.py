"""The command line: ``python -m data.recorded.prepare NAME FOLDER --to OUT``, in a checkout."""

import argparse
from pathlib import Path

from data.recorded.prepare.tables import SOURCES, prepare
from medcal_nb.errors import MedcalError


def main() -> None:
    """Make one table from the public files of its source."""
    parser = argparse.ArgumentParser(prog="python -m data.recorded.prepare")
    parser.add_argument("name", choices=sorted(SOURCES), help="which table")
    parser.add_argument("folder", type=Path, help="the public files, as in the source")
    parser.add_argument("--to", type=Path, required=True, help="a folder for the table")
    arguments = parser.parse_args()
    try:
        path = prepare(arguments.name, arguments.folder, arguments.to)
    except (MedcalError, OSError, ValueError) as error:
        where = SOURCES[arguments.name].__module__
        parser.error(f"{error}; {where} says which files are read, and where they lie")
    print(f"{path}: written")


if __name__ == "__main__":
    main()
