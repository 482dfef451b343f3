"""CONTRIBUTING.md shows five additions; each does what it says, as it stands there."""

import importlib
import re
from pathlib import Path
from unittest.mock import patch

import pytest

from medcal_nb import measure
from medcal_nb.answers import load_answers
from medcal_nb.ask import strategies
from medcal_nb.correct import fit
from medcal_nb.correct.families import MAPS
from medcal_nb.logs import formats, registry
from medcal_nb.measure import METRICS
from medcal_nb.measure.registry import INTERVALS, difference_of, mean_of, ratio_of
from medcal_nb.run import run_study, steps_of
from tests.ask.test_strategies import CLOSED, run, says
from tests.test_run import finding, write_notebook

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


@patch.dict(strategies.STRATEGIES)  # as it was once the test is over
def test_an_elicitation_method():
    added_to("medcal_nb/ask/strategies.py")
    shown_test("tests/ask/test_strategies.py", run=run, CLOSED=CLOSED, says=says)
    assert strategies.STRATEGIES["verbalized_frequency"].source.startswith("Gigerenzer")


def test_a_log_format(tmp_path, monkeypatch):
    (tmp_path / "votes.py").write_text(BLOCKS["medcal_nb/logs/formats/votes.py"])
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(tmp_path)])
    registry.readers.cache_clear()
    try:
        shown_test("tests/logs/test_formats.py", tmp_path, load_answers=load_answers)
    finally:
        registry.readers.cache_clear()


@patch.dict(measure.METRICS)
def test_a_metric():
    added_to("medcal_nb/measure/metrics.py")
    names = {"measure": measure, "pytest": pytest}
    shown_test("tests/measure/test_metrics.py", **names)


ALIKE = {  # a metric of each kind of interval, and what is summed for it
    "accuracy": (lambda c, y: mean_of(y), "share"),
    "gap": (lambda c, y: difference_of(c, y), "difference"),
    "observed_expected": (lambda c, y: ratio_of(y, c), "ratio"),
    "brier": (lambda c, y: mean_of((c - y) ** 2), "strata"),
    "brier_skill": (lambda c, y: METRICS["brier_skill"].sums(c, y), "skill"),
    "slope": (lambda c, y: METRICS["slope"].sums(c, y), "bootstrap"),
    "ece": (lambda c, y: METRICS["ece"].sums(c, y), "inversion"),
    "auroc": (lambda c, y: METRICS["auroc"].sums(c, y), "delong"),
    "ici": (lambda c, y: METRICS["ici"].sums(c, y), "none"),
}


@pytest.mark.parametrize("name", ALIKE)
@patch.dict(METRICS)
def test_a_new_metric_has_the_interval_of_its_kind(name):
    """Whatever it is called: `metrics_table` reads the kind and the metric's own sums."""
    sums, kind = ALIKE[name]
    assert {kind for _, kind in ALIKE.values()} == set(INTERVALS)
    known = {"bounds": METRICS[name].bounds, "outcomes": METRICS[name].outcomes}
    registered = measure.register("mine", sums=sums, interval=kind, **known)
    registered(lambda c, y, **options: sums(c, y).value())
    answers = measure.example_answers()
    names = ["mine", name]
    row = measure.metrics_table(answers, by=[], metrics=names).iloc[0]
    for end in ("_low", "_high"):
        other = pytest.approx(row[f"{name}{end}"], rel=1e-6, nan_ok=kind == "none")
        assert row[f"mine{end}"] == other


@patch.dict(MAPS)
def test_a_map():
    added_to("medcal_nb/correct/families.py")
    shown_test("tests/correct/test_maps.py", fit=fit, pytest=pytest)


@pytest.mark.notebooks
def test_a_notebook(tmp_path):
    (tmp_path / "notebooks").mkdir()
    cells = BLOCKS["notebooks/10_repeats.ipynb"].split("\n\n")
    write_notebook(tmp_path, "10_repeats", 'ANSWERS = ""  # a file\nOUT = ""', *cells)
    rows = ["dataset,domain,item,confidence,correct"]
    for domain in ("general", "medical"):
        rows += [f"{domain},{domain},{i},0.5,{int(i > 0)}" for i in range(4)]
    answers = tmp_path / "answers.csv"
    answers.write_text("\n".join(rows))
    mine = {"ANSWERS": str(answers)}
    steps = steps_of(assignments=mine, to=tmp_path / "out", root=tmp_path)
    assert run_study(steps)["10_repeats"].startswith("ran")
    assert "was 75 % (95 % CI 30" in finding(tmp_path / "out", "10_repeats")
    assert (tmp_path / "out" / "fig10_accuracy.png").is_file()
