"""The log that answers go to."""

import pytest

from medcal_nb.answers import AnswerLog


@pytest.fixture
def log(tmp_path):
    with AnswerLog(tmp_path / "answers.sqlite") as log:
        yield log
