"""The table of docs/measures.md names what there is."""

import re

from medcal_nb import ask, certify, correct, measure, plots
from medcal_nb.ask import strategies
from medcal_nb.correct import MAPS
from medcal_nb.measure import METRICS

ROOMS = {"ask": ask, "certify": certify, "correct": correct}
ROOMS |= {"measure": measure, "plots": plots}


def _notebooks(root):
    return (root / "notebooks").glob("[0-9][0-9]_*.ipynb")


def test_every_name_of_the_field_has_its_function_or_a_reason(root):
    assert strategies.STRATEGIES
    text = (root / "docs" / "measures.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", text)[1:]
    assert len(rows) == 32
    called = set()
    pages = {path.name[:2]: path.read_text("utf-8") for path in _notebooks(root)}
    report = (root / "medcal_nb" / "report").glob("*.py")
    pages["report"] = "".join(path.read_text("utf-8") for path in report)
    for name, function, where in rows:
        assert len(where) > 1, name
        for room, attribute in re.findall(r"`(\w+)\.(\w+)`", function):
            assert hasattr(ROOMS[room], attribute), (name, attribute)
            called.add(getattr(ROOMS[room], attribute))
        for table, key in re.findall(r'`(MAPS|METRICS)\["(\w+)"\]`', function):
            assert key in {"MAPS": MAPS, "METRICS": METRICS}[table], (name, key)
        assert function == "–" or "`" in function, name
        names = {*re.findall(r"\w\.(\w+)`", function)}
        names |= {*re.findall(r'"(\w+)"', function)}
        names |= {key for key in METRICS if METRICS[key].value.__name__ in names}
        if names - {"strategies"}:  # methods are named by their rows
            for page in re.findall(r"\b\d\d\b|report", where):
                assert any(one in pages[page] for one in names), (name, page)
    theirs = {metric.value for metric in METRICS.values()}
    ours = {measure.accuracy, measure.mean_confidence, measure.calibration_gap}
    ours |= {measure.confidently_wrong, measure.brier_skill_score}
    ours |= {METRICS[f"accuracy_at_{share}"].value for share in (50, 80, 90)}
    assert theirs <= called | ours
    for name in MAPS:
        assert f'MAPS["{name}"]' in text
