"""What docs/clinicians.md tells of the study follows from the study's results."""

import json
import re

import pandas as pd

from medcal_nb.answers import load_answers
from medcal_nb.wording import percent

ALLOWED = 0.2  # share wrong, of the sentence
N_TRIALS = 25


def test_what_is_told_of_written_and_computed_numbers_is_what_was_found(root):
    text = (root / "docs" / "clinicians.md").read_text(encoding="utf-8")
    text = " ".join(text.split())
    tables = {}
    for name in ("06_deferral", "05_second_opinion"):
        path = root / "figures" / "results" / f"{name}.json"
        tables[name] = json.loads(path.read_text(encoding="utf-8"))
    grades = pd.DataFrame(tables["06_deferral"]["tables"]["grades"])
    at_top = grades["grading"].eq("from the top") & grades["allowed"].eq(ALLOWED)
    grades = grades[at_top].set_index(["strategy", "model"])
    computed, written = grades.loc["p_true"], grades.loc["self_probing"]
    (model,) = computed.index[computed["certified"] > 0]
    assert written.index[written["certified"] > 0].tolist() == [model]
    assert computed.loc[model, "certified"] == 1
    n_written = round(N_TRIALS * written.loc[model, "certified"])
    told = (
        f"gave a cut-off in all {N_TRIALS} trials for one model of five, and let "
        f"{percent(computed.loc[model, 'coverage'])} % of its answers pass; the number it wrote "
        f"gave one in {n_written} of {N_TRIALS}, and {percent(written.loc[model, 'coverage'])} % "
    )
    assert told in text
    alone = pd.DataFrame(tables["06_deferral"]["tables"]["one_method"])
    alone = alone.set_index(["strategy", "model"]).loc[("self_probing", model)]
    assert alone["coverage"] > written.loc[model, "coverage"]
    assert "alone, the written one does somewhat better" in text
    answers = load_answers("vlcb").query(
        "dataset == 'GMAI-MMBench' and strategy == 'self_probing'"
    )
    values = answers.groupby("model", observed=True)["confidence"].nunique()
    assert f"few values: {values.min()} to {values.max()} in the five models" in text
    near = answers["confidence"].between(0.8499, 0.9501)
    stated = answers["confidence"].notna()
    assert (near.sum() / stated.sum()) > 0.5
    first = tables["05_second_opinion"]["findings"][0]
    assert re.search(r"better in 3 of 5 models, worse in 0", first)
    assert "better than the best of them in three models of five, by little" in text
