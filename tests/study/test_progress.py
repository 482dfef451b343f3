"""What is shown while notebooks run: bars on a terminal, plain lines elsewhere."""

import io
import re

from medcal_nb.study.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_for_each_notebook_with_cell_and_elapsed_time(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    with Progress() as progress:
        progress.start("02_metrics", 7, "parameter N_BOOT changed")
        progress.start("03_modalities", 5, "no earlier run")
        assert len(progress.bars) == 2
        progress.cell("02_metrics", 2, 7)
        progress.cell("03_modalities", 0, 5)
        progress.refresh()
        shown = screen.getvalue()
        progress.end("02_metrics", 1.25, failed=False)
        progress.end("03_modalities", 0.5, failed=True)
        assert not progress.bars
    assert re.search(r"02_metrics .* cell 3/7  00:0\d", shown)
    assert re.search(r"03_modalities .* cell 1/5  00:0\d", shown)
    assert "02_metrics: done after 1.2 s\n" in screen.getvalue()
    assert "03_modalities: failed after 0.5 s\n" in screen.getvalue()


def test_lines_where_there_is_no_terminal(monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr("sys.stderr", log)
    with Progress() as progress:
        progress.start("02_metrics", 7, "parameter N_BOOT changed")
        progress.cell("02_metrics", 2, 7)
        progress.refresh()
        progress.end("02_metrics", 1.25, failed=True)
    assert log.getvalue() == (
        "02_metrics: runs: parameter N_BOOT changed\n02_metrics: failed after 1.2 s\n"
    )
