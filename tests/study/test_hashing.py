"""Content hashes: what changes them and what doesn't."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.answers import AnswerLog
from medcal_nb.study.hashing import answers_hash, file_hash, modules_used, sources_used


def rows(n=40):
    rng = np.random.default_rng(3)
    confidence = rng.uniform(size=n).round(3)
    confidence[5] = np.nan
    return pd.DataFrame(
        {
            "run_id": "r1",
            "model": "m",
            "dataset": "d",
            "domain": "medical",
            "item_id": [f"i{i}" for i in range(n)],
            "image_id": [f"p{i // 2}" for i in range(n)],
            "modality": "ct",
            "question_type": "closed",
            "split": "test",
            "strategy": "verbalized",
            "sample": 0,
            "answer": "yes",
            "confidence": confidence,
            "option_probabilities": [
                {"yes": 0.25, "no": 0.75} if i % 2 else None for i in range(n)
            ],
            "correct": [bool(i % 3) for i in range(n)],
            "gold": "yes",
            "raw": "yes, 80 %",
            "parse_ok": True,
            "prompt_tokens": 10,
            "new_tokens": 4,
            "seconds": rng.uniform(size=n),
        }
    )


def log_of(path, *pieces):
    with AnswerLog(path) as log:
        for piece in pieces:
            log.append(piece)
    return path


def test_log_hash_ignores_order_run_and_seconds(tmp_path):
    table = rows()
    other = table.sample(frac=1, random_state=1).assign(run_id="r2", seconds=0.5)
    a = log_of(tmp_path / "a.sqlite", table)
    b = log_of(tmp_path / "b.sqlite", other.iloc[:7], other.iloc[7:])
    assert answers_hash(a) == answers_hash(b)
    assert file_hash(a) != file_hash(b)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("confidence", 0.123),
        ("confidence", np.nan),
        ("correct", None),
        ("answer", "no"),
        ("option_probabilities", {"yes": 0.75, "no": 0.25}),
        ("raw", "yes, 81 %"),
        ("new_tokens", 5),
    ],
)
def test_log_hash_sees_one_changed_value(tmp_path, column, value):
    table = rows()
    changed = table.copy()
    changed[column] = changed[column].astype(object)
    changed.at[3, column] = value
    a = log_of(tmp_path / "a.sqlite", table)
    b = log_of(tmp_path / "b.sqlite", changed)
    assert answers_hash(a) != answers_hash(b)


def test_log_hash_sees_a_new_row_in_the_same_file(tmp_path):
    table = rows()
    path = log_of(tmp_path / "a.sqlite", table.iloc[:-1])
    before = answers_hash(path)
    log_of(path, table.iloc[-1:])
    assert answers_hash(path) != before


def test_other_files_are_hashed_as_they_are(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x\n1\n")
    assert answers_hash(path) == file_hash(path)


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("import medcal_nb.errors", {"medcal_nb", "medcal_nb.errors"}),
        ("from medcal_nb import errors", {"medcal_nb", "medcal_nb.errors"}),
        ("from medcal_nb.errors import MedcalError", {"medcal_nb", "medcal_nb.errors"}),
        ("def f():\n    import medcal_nb.errors", {"medcal_nb", "medcal_nb.errors"}),
        ("load('medcal_nb.errors')", {"medcal_nb", "medcal_nb.errors"}),
        ("'medcal_nb.errors is a module'", set()),
        ("import numpy, medcal_nbx", set()),
    ],
)
def test_modules_used(source, named):
    assert modules_used(source) == named


def test_relative_imports_are_resolved():
    found = modules_used("from .places import checkout", module="medcal_nb.study.run")
    assert "medcal_nb.study.places" in found
    found = modules_used("from . import places", module="medcal_nb.study")
    assert "medcal_nb.study.places" in found
    found = modules_used("from ..errors import MedcalError", module="medcal_nb.study.run")
    assert "medcal_nb.errors" in found


def test_sources_are_followed_but_not_the_runner():
    used = sources_used("from medcal_nb.study import notebook_context")
    assert {"medcal_nb.study.context", "medcal_nb.errors", "medcal_nb.show.figures"} <= used.keys()
    # a change of the runner, or of a room the notebook doesn't use, makes no notebook stale
    assert not [name for name in used if name.startswith(("medcal_nb.study.run", "medcal_nb.cli"))]
    assert not [name for name in used if name.startswith(("medcal_nb.ask", "medcal_nb.correct"))]
