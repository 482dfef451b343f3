"""How long each control of the explorer takes, by the clock, as a page and in JupyterLab.

    python -m tests.bench.bench_explore [--n 5000 100000] [--rounds 5] [--out build/bench]

From the change of a control until what it changed is painted (two frames later); in JupyterLab a
choice is computed by the kernel when it is first asked for, so each round has a panel of its own.
Medians over rounds, with the load of the machine beside them.
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from playwright.sync_api import sync_playwright

from medcal_nb.explore import write_page
from medcal_nb.measure import example_answers
from medcal_nb.run import ROOT
from tests.browser.conftest import ARGUMENTS, PATIENCE, started_lab

PANEL = ".medcal-explore[data-live]"
SLIDERS = ("threshold", "risk", "ratio", "share")
#: Choices in their order: each is asked for the first time.
CHOICES = (("map", "platt"), ("map", "isotonic"), ("column", "site"), ("value", "b"))
CHANGE = """async ([selector, name, value]) => {
  const root = document.querySelector(selector);
  const node = root.querySelector(`[name=${name}]`), before = root.medcal.part();
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const began = performance.now();
  node.value = value ?? (Number(node.value) === Number(node.min) ? node.max : node.min);
  node.dispatchEvent(new Event(value === null ? "input" : "change"));
  while (value !== null && root.medcal.part() === before) await frame();
  await frame();
  await frame();
  return performance.now() - began;
}"""
NOTEBOOK = """
import pandas as pd
from medcal_nb.explore import explore
explore(pd.read_csv({file!r}))
"""


def answers_of(n):
    """As many answers of one model by one method, at three sites."""
    answers = example_answers(n, strategies=["p_true"]).sample(n, random_state=0)
    return answers.assign(site=np.resize([*"abc"], n))


def timed(page):
    """Milliseconds of each control of the panel that a page shows."""
    page.locator(PANEL).get_by_text("pass unchecked at").wait_for()
    rows = {}
    for name in SLIDERS:
        rows[name] = page.evaluate(CHANGE, [PANEL, name, None])
        page.evaluate(CHANGE, [PANEL, name, None])  # back
    for name, value in CHOICES:
        rows[f"{name}: {value}"] = page.evaluate(CHANGE, [PANEL, name, value])
    return rows


def as_page(browser, answers, folder):
    """Each control of the page that is written of these answers."""
    file = Path(folder) / "page.html"
    write_page(answers, file, columns=["site"], force=True)
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(file.as_uri())
    rows = timed(page)
    page.close()
    return rows


def in_lab(lab, answers, name):
    """Each control of the panel in a notebook whose kernel computes it."""
    file = lab.folder / f"{name}.csv"
    answers.to_csv(file, index=False)
    lab.write(name, NOTEBOOK.format(file=str(file)))
    lab.run(name)
    return timed(lab.page)


def table_of(kind, n, rounds):
    """Medians over rounds, in seconds."""
    times = pd.DataFrame(rounds).median() / 1000
    load, _, _ = os.getloadavg()
    return [
        {"where": kind, "n": n, "control": name, "seconds": seconds, "load": load}
        for name, seconds in times.items()
    ]


def main(argv=None):
    """Measure, write explore.csv and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, nargs="+", default=[5000, 100_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    asked = parser.parse_args(argv)
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as home:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(PATIENCE)
        page.on("dialog", lambda dialog: dialog.accept())  # a notebook left unsaved
        with started_lab(page, ROOT, Path(home)) as lab:
            table = measured(browser, lab, asked.n, asked.rounds)
        browser.close()
    asked.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(asked.out / "explore.csv", index=False)
    print(table.round(3).to_string(index=False))
    return table


def measured(browser, lab, sizes, n_rounds):
    """A row a place, size and control."""
    rows = []
    for n in sizes:
        answers = answers_of(n)
        with tempfile.TemporaryDirectory() as folder:
            done = [as_page(browser, answers, folder) for _ in range(n_rounds)]
        rows += table_of("page", n, done)
        names = [f"panel_{n}_{k}" for k in range(n_rounds)]
        done = [in_lab(lab, answers, name) for name in names]
        rows += table_of("JupyterLab", n, done)
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
