"""Content hashes: what changes them and what doesn't."""

import json
import os

import numpy as np
import pandas as pd
import pytest

from medcal_nb.answers import AnswerLog
from medcal_nb.files import file_hash
from medcal_nb.study import hashing
from medcal_nb.study.hashing import content_hash, sources_used


def rows(n=12):
    rng = np.random.default_rng(3)
    told = {
        "run_id": "r1",
        "model": "m",
        "dataset": "d",
        "domain": "medical",
        "question_type": "closed",
        "split": "test",
        "strategy": "verbalized",
        "sample": 0,
        "answer": "yes",
        "gold": "yes",
        "raw": "yes, 80 %",
        "parse_ok": True,
        "new_tokens": 4,
    }
    more = {
        "item_id": [f"i{i}" for i in range(n)],
        "confidence": rng.uniform(size=n).round(3),
        "option_probabilities": [{"yes": 0.25, "no": 0.75} if i % 2 else None for i in range(n)],
        "correct": [bool(i % 3) for i in range(n)],
        "seconds": rng.uniform(size=n),
    }
    return pd.DataFrame(more).assign(**told)


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
    assert content_hash(a, {}) == content_hash(b, {})
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
    changed = rows()
    changed[column] = changed[column].astype(object)
    changed.at[3, column] = value
    a = log_of(tmp_path / "a.sqlite", rows())
    b = log_of(tmp_path / "b.sqlite", changed)
    assert content_hash(a, {}) != content_hash(b, {})


def test_a_hash_is_reckoned_once_for_as_long_as_the_file_stays(tmp_path, monkeypatch):
    table, reckoned, known = rows(), [], {}
    real = hashing._content_hash
    monkeypatch.setattr(hashing, "_content_hash", lambda p: reckoned.append(p) or real(p))
    path = log_of(tmp_path / "a.sqlite", table.iloc[:-1])
    before = content_hash(path, known)
    known = json.loads(json.dumps(known))  # as it is kept between two studies
    assert content_hash(path, known) == before
    assert len(reckoned) == 1
    with AnswerLog(path) as log:  # the row waits beside the log while it is open
        log.append(table.iloc[-1:])
        assert path.with_name("a.sqlite-wal").stat().st_size
        assert content_hash(path, known) != before
    # an old time and an equal size hide nothing
    other = tmp_path / "a.csv"
    other.write_text("x\n1\n")
    first, stat = content_hash(other, known), other.stat()
    assert first == file_hash(other)
    other.write_text("x\n2\n")
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert content_hash(other, known) == file_hash(other) != first


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
    monkeypatch.setattr(hashing, "_PACKAGE", tmp_path / "medcal_nb")
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
