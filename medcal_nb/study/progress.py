"""Progress of notebooks that run at the same time: a bar each, or plain lines."""

from __future__ import annotations

import sys


class Progress:
    """Bars on a terminal; one line at start and end elsewhere, so that logs stay readable."""

    def __init__(self) -> None:
        self.bars: dict[str, object] = {}
        self.on_terminal = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_) -> None:
        for bar in self.bars.values():
            bar.close()
        self.bars.clear()

    def start(self, name: str, n_cells: int, reason: str) -> None:
        """Tell that a notebook starts, and why."""
        if not self.on_terminal:
            print(f"{name}: runs: {reason}", file=sys.stderr, flush=True)
            return
        from tqdm import tqdm

        self.bars[name] = tqdm(
            total=n_cells,
            desc=name,
            unit="cell",
            leave=False,
            bar_format="{desc:<26.26} {bar:24} cell {n_fmt}/{total_fmt}  {elapsed}",
        )

    def cell(self, name: str, index: int, total: int) -> None:
        """Tell that a cell starts."""
        bar = self.bars.get(name)
        if bar is not None:
            bar.total = total
            bar.n = index + 1
            bar.refresh()

    def refresh(self) -> None:
        """Let the clocks go on."""
        for bar in list(self.bars.values()):
            bar.refresh()

    def end(self, name: str, seconds: float, *, failed: bool) -> None:
        """Tell that a notebook is done."""
        line = f"{name}: {'failed' if failed else 'done'} after {seconds:.1f} s"
        bar = self.bars.pop(name, None)
        if bar is None:
            print(line, file=sys.stderr, flush=True)
        else:
            bar.close()
            bar.write(line, file=sys.stderr)
