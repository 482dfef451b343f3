"""The command line in a folder of its own."""

import sys

import pytest

from medcal_nb import cli


@pytest.fixture
def medcal(monkeypatch, capsys, tmp_path):
    """Run a command in a folder of its own; return its status, output and remarks."""
    monkeypatch.chdir(tmp_path)

    def called(*words):
        monkeypatch.setattr(sys, "argv", ["medcal", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return called
