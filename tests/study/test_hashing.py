"""Content hashes: what changes them and what doesn't."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.answers import AnswerLog
from medcal_nb.files import file_hash
from medcal_nb.study.hashing import content_hash, sources_used


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
    assert content_hash(a) == content_hash(b)
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
    assert content_hash(a) != content_hash(b)


def test_log_hash_sees_a_new_row_in_the_same_file(tmp_path):
    table = rows()
    path = log_of(tmp_path / "a.sqlite", table.iloc[:-1])
    before = content_hash(path)
    log_of(path, table.iloc[-1:])
    assert content_hash(path) != before


def test_other_files_are_hashed_as_they_are(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x\n1\n")
    assert content_hash(path) == file_hash(path)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package of the name in a folder of its own."""
    files = {
        "__init__.py": "",
        "errors.py": "",
        "a/__init__.py": "from . import one\n",
        "a/one.py": "def f():\n    from ..errors import MedcalError\n",
        "a/late.py": "",
        "other.py": "",
    }
    for name, text in files.items():
        (tmp_path / "medcal_nb" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "medcal_nb" / name).write_text(text)
    monkeypatch.setattr("medcal_nb.study.hashing._PACKAGE", tmp_path / "medcal_nb")
    return tmp_path / "medcal_nb"


@pytest.mark.parametrize(
    ("source", "uses"),
    [
        ("import medcal_nb.errors", {"errors.py"}),
        ("from medcal_nb import errors", {"errors.py"}),
        ("def f():\n    from medcal_nb.errors import MedcalError", {"errors.py"}),
        # relative imports, followed
        ("import medcal_nb.a", {"a/__init__.py", "a/one.py", "errors.py"}),
        # how registries name what they load late
        ("load('medcal_nb.a.late')", {"a/__init__.py", "a/one.py", "a/late.py", "errors.py"}),
        ("'medcal_nb is a package'\nimport numpy, medcal_nbx", set()),
    ],
)
def test_one_hash_of_the_sources_that_a_text_uses(package, source, uses):
    before = sources_used(source)
    for file in package.rglob("*.py"):
        text = file.read_text()
        file.write_text(text + "\n# changed\n")
        name = file.relative_to(package).as_posix()
        used = name in uses or (name == "__init__.py" and bool(uses))
        assert (sources_used(source) != before) == used, name
        file.write_text(text)


def test_the_runner_makes_no_notebook_stale():
    code = "from medcal_nb.study import context, notebook_context"
    with_runner = sources_used(code + "\nimport medcal_nb.study.run")
    assert sources_used(code) not in (with_runner, sources_used("import medcal_nb.show"))
