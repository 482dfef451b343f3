"""Answers for the tests of this folder."""

import pandas as pd
import pytest

from medcal_nb.reader.cases import open_casebook
from tests.reader_answers import write_answers


@pytest.fixture(scope="session")
def answers(tmp_path_factory):
    return write_answers(tmp_path_factory.mktemp("answers") / "answers.sqlite")


@pytest.fixture(scope="session")
def book(answers):
    return open_casebook(answers, rows="strategy == 'verbalized'")


@pytest.fixture
def book_of(tmp_path):
    """Open a casebook of tables, written as one Parquet file."""

    def opened(*tables, **chosen):
        path = tmp_path / "a.parquet"
        pd.concat(tables).to_parquet(path)
        return open_casebook(path, **chosen)

    return opened
