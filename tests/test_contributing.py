"""CONTRIBUTING.md shows five additions; each does what it says, as it stands there."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medcal_nb import measure
from medcal_nb.answers import AnswerLog, load_answers
from medcal_nb.ask import strategies
from medcal_nb.logs import ColumnMap, formats, import_file, registry
from medcal_nb.study.run import Study
from tests.ask.test_strategies import CLOSED, run, says
from tests.study.toy import write_notebook

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", TEXT, re.DOTALL))


def module_of(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


def added_to(path: str) -> None:
    """Run what is shown as if it stood at the end of that module."""
    module = importlib.import_module(module_of(path))
    names = dict(vars(module))
    exec(compile(BLOCKS[path], path, "exec"), names)


def shown_test(path: str, *arguments, **names) -> None:
    """Run the test that is shown."""
    names = {"__name__": path, **names}
    exec(compile(BLOCKS[path], path, "exec"), names)
    (test,) = [value for name, value in names.items() if name.startswith("test_")]
    test(*arguments)


@pytest.fixture
def registered(monkeypatch):
    """Let a registry, a dictionary, be as it was once the test is over."""
    before = []

    def keep(known):
        before.append((known, dict(known)))

    yield keep
    for known, content in before:
        known.clear()
        known.update(content)


def test_an_elicitation_method(registered):
    registered(strategies.STRATEGIES)
    added_to("medcal_nb/ask/strategies.py")
    shown_test("tests/ask/test_strategies.py", run=run, CLOSED=CLOSED, says=says)
    assert strategies.STRATEGIES["verbalized_frequency"].source.startswith("Gigerenzer")


def test_a_log_format(tmp_path, monkeypatch):
    (tmp_path / "votes.py").write_text(BLOCKS["medcal_nb/logs/formats/votes.py"])
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(tmp_path)])
    registry.readers.cache_clear()
    try:
        shown_test(
            "tests/logs/test_formats.py",
            tmp_path,
            ColumnMap=ColumnMap,
            import_file=import_file,
            load_answers=load_answers,
        )
    finally:
        registry.readers.cache_clear()


def test_a_metric(registered):
    registered(measure.METRICS)
    added_to("medcal_nb/measure/metrics.py")
    names = {"measure": measure, "pytest": pytest}
    shown_test("tests/measure/test_metrics.py", np.random.default_rng(0), **names)


def test_a_map(registered):
    from medcal_nb.correct import fit
    from medcal_nb.correct.families import MAPS

    registered(MAPS.own)
    added_to("medcal_nb/correct/families.py")
    shown_test("tests/correct/test_maps.py", fit=fit, pytest=pytest)


OUTSIDE = """
import numpy as np
from medcal_nb.correct import Family

SHRUNK = Family(
    name="shrunk",
    label="halfway to one half",
    parameters=("share",),
    unchanged=(1.0,),
    features=lambda confidence, clip: confidence - 0.5,
    fit=lambda features, right, weights, start=None: np.full((len(weights), 1), 0.5),
    apply=lambda theta, x: 0.5 + np.asarray(theta, float) * x,
)
"""
CALL = """
from medcal_nb.correct import fit
print(fit([0.9, 0.2] * 20, [1, 1, 0, 0] * 10, method="shrunk")([0.9]).round(2))
"""


def test_a_map_from_another_package(tmp_path):
    """Its metadata lie where Python looks for installed packages; nothing here changes."""
    (tmp_path / "its_module.py").write_text(OUTSIDE)
    metadata = tmp_path / "its_package-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Name: its-package\nVersion: 1\n")
    (point,) = re.findall(r'entry-points\."(medcal_nb.maps)"\]\n(\w+ = ".*")', TEXT)
    group, line = point
    (metadata / "entry_points.txt").write_text(f"[{group}]\n" + line.replace('"', ""))
    done = subprocess.run(
        [sys.executable, "-c", CALL],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "[0.7]\n", done.stderr


@pytest.mark.notebooks
def test_a_notebook(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setenv("MEDCAL_ROOT", str(tmp_path))
    write_notebook(
        tmp_path / "notebooks",
        "09_repeats",
        BLOCKS["notebooks/09_repeats.ipynb"].split("\n\n"),
        reads=["answers"],
        writes=["fig09_accuracy", "results/09_repeats.json"],
        shows={"fig09_accuracy": "Accuracy by kind of image"},
    )
    row = {"model": "m", "strategy": "verbalized", "sample": 0, "confidence": 0.5}
    rows = [
        row | {"dataset": domain, "domain": domain, "item_id": i, "correct": i != "a"}
        for domain in ("general", "medical")
        for i in "abcd"
    ]
    with AnswerLog(tmp_path / "answers.sqlite") as log:
        log.append(rows)
    study = Study("imported", answers=tmp_path / "answers.sqlite").run()
    assert not study.failed
    findings = (study.figures / "results" / "09_repeats.md").read_text()
    assert findings == "On medical images m was correct on 75 % of the questions.\n"
    assert (study.figures / "fig09_accuracy.png").is_file()
