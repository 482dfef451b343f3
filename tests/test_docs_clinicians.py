"""What docs/clinicians.md tells of the study follows from the study's results."""

import json
import re

import pandas as pd
from scipy.stats import binomtest

from medcal_nb.answers import load_answers
from medcal_nb.wording import percent

ALLOWED = 0.2  # share wrong, of the sentence
N_TRIALS = 25


def results(root, name):
    path = root / "figures" / "results" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def words_of(root, page):
    return " ".join((root / "docs" / page).read_text(encoding="utf-8").split())


def test_what_the_findings_tell_of_the_best_of_all_methods_was_found(root):
    text = words_of(root, "findings.md")
    tables = results(root, "06_deferral")["tables"]
    grades = pd.DataFrame(tables["grades"])
    at_top = grades["grading"].eq("from the top") & grades["allowed"].eq(ALLOWED)
    grades = grades[at_top].set_index(["model", "strategy"])
    grades["halves"] = (N_TRIALS * grades["certified"]).round().astype(int)
    best = grades.sort_values("coverage").groupby("model").tail(1)
    best = best[best["certified"] > 0]
    names = ("InternVL", "Qwen3", "gemma")
    first, second, third = (best.filter(like=name, axis=0).iloc[0] for name in names)
    ways = best.index.get_level_values("strategy")
    assert ways.tolist().count("p_true") == 1
    assert ways.tolist().count("probe_pik") == 2
    written = grades.loc[
        (best.filter(like="InternVL", axis=0).index[0][0], "self_probing")
    ]
    assert (
        f"P(True) let most pass in InternVL3.5 ({percent(first.coverage)} %, of which "
        f"{percent(first.risk)} % wrong, {first.n_graded:.0f} grades, all {first.halves} halves; "
        f"the stated number {percent(written.coverage)} %, in {written.halves} of {N_TRIALS} "
        f"halves), P(IK) in Qwen3-VL ({percent(second.coverage)} %, in {second.halves} of "
        f"{N_TRIALS}) and in Gemma-3 ({percent(third.coverage)} %, in {third.halves} of {N_TRIALS})"
    ) in text


def test_what_is_told_of_written_and_computed_numbers_is_what_was_found(root):
    text = words_of(root, "clinicians.md")
    grades = pd.DataFrame(results(root, "06_deferral")["tables"]["grades"])
    at_top = grades["grading"].eq("from the top") & grades["allowed"].eq(ALLOWED)
    for way in ("p_true", "self_probing"):
        found = grades[at_top & grades["strategy"].eq(way)]["certified"]
        assert (found > 0).sum() == 1
    assert "each gave a cut-off for 20 % wrong in one of five models" in text
    answers = load_answers("vlcb").query(
        "dataset == 'GMAI-MMBench' and strategy == 'self_probing'"
    )
    values = answers.groupby("model", observed=True)["confidence"].nunique()
    assert f"few values: {values.min()} to {values.max()} in the five models" in text
    near = answers["confidence"].between(0.8499, 0.9501)
    stated = answers["confidence"].notna()
    assert (near.sum() / stated.sum()) > 0.5


def test_the_sensitivity_that_n_patients_show_is_an_exact_bound(root):
    text = (root / "docs" / "clinicians.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| (\d+) \| (\d+) % \|$", text)
    assert len(rows) == 5
    for n, least in rows:
        low = binomtest(int(n), int(n)).proportion_ci(0.95, "exact").low
        assert f"{100 * low:.0f}" == least
