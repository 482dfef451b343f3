"""What an end says in plain words: too few cases, or too few grades; the page says the same."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from medcal_nb.answers import load_answers
from medcal_nb.certify.certification import Certification
from medcal_nb.certify.page import write_page
from medcal_nb.certify.result import plainly


@pytest.mark.parametrize(
    ("n", "budget", "what"),
    [(1000, 45, "grades"), (1000, 400, "cases"), (60, 45, "grades"), (60, 60, "cases")],
)
def test_not_shown_says_what_was_too_few(tmp_path, n, budget, what):
    """At 5 %, where 282 grades would show half of it with a chance of 80 %."""
    table = pd.DataFrame({"item_id": [f"q{i}" for i in range(n)], "answer": "yes"})
    table["confidence"] = np.linspace(1, 0.5, n)
    table.to_csv(tmp_path / "a.csv", index=False)
    answers = load_answers(tmp_path / "a.csv", ungraded=True)
    run = Certification(tmp_path / "a.csv", answers, risk=0.05, budget=budget)
    write_page(run)
    text = (tmp_path / "a.grading.html").read_text()
    of_page = json.loads(re.search('id="data">(.*?)</script>', text)[1])["ends"]
    # one in fifteen wrong
    place = run.pool.rows["item_id"].str[1:].astype(int)
    run.grades[:] = np.where(place % 15 == 7, 0, 1)
    stand = run.stand(1)
    [end] = stand.table.itertuples()
    assert end.state == "not shown"
    [plain] = plainly(stand, run.pool, 0.05, budget)
    assert f"These are too few {what} to tell" in plain
    seen = {"graded": end.group_graded, "errors": end.group_errors}
    assert plain == of_page["not shown"].format(**seen)
