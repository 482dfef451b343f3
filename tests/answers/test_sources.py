"""Where a grade and a confidence are from is known, and stays known in a log."""

import json

import pandas as pd
import pytest

from medcal_nb.answers import AnswerLog, load_answers, read_answers
from medcal_nb.errors import MedcalError
from medcal_nb.report import write_report

pytestmark = pytest.mark.filterwarnings("ignore::medcal_nb.report.ReportWarning")


def from_log(tmp_path, file, **how):
    """Answers of a file, by way of an answers log."""
    with AnswerLog(tmp_path / "log.sqlite") as log:
        log.append(read_answers(file, **how))
    return load_answers(tmp_path / "log.sqlite")


def sources(answers):
    pairs = answers[["grade_from", "confidence_from"]]
    return pairs.fillna("none").value_counts().to_dict()


@pytest.fixture
def tool_log(tmp_path):
    """A log of lmms-eval whose metric compared whole replies, confidence and all."""

    def write(n=40, *, filtered="{} Confidence: 80%"):
        lines = []
        for i in range(n):
            gold = ["yes", "no"][i % 2]
            said = "no" if i % 4 == 1 else "yes"
            lines.append({
                "doc_id": i, "doc": {"scan": f"im{i // 2}"}, "input": "?", "target": gold,
                "resps": [[f"{said} Confidence: 80%"]],
                "filtered_resps": [filtered.format(said)],
                "exact_match": float(filtered.format(said) == gold),
            })  # fmt: skip
        path = tmp_path / "1_samples_vqa.jsonl"
        path.write_text("\n".join(map(json.dumps, lines)), "utf-8")
        return path

    return write


def test_grades_of_rules_persons_and_columns_stay_what_they_are_in_a_log(tmp_path):
    file = tmp_path / "a.csv"
    table = {"item": range(4), "reply": ["Yes. Confidence: 80%"] * 3 + ["an opacity"]}
    table["gold"] = ["yes", "no", "yes", "mass"]
    pd.DataFrame(table).to_csv(file, index=False)
    case = {"question": "", "reply": "an opacity", "gold": "mass", "times": 1}
    by_hand = tmp_path / "hand.csv"
    pd.DataFrame([case | {"correct": 1}]).to_csv(by_hand, index=False)
    answers = from_log(tmp_path, file, grades=by_hand)
    assert sources(answers) == {("rule", "reply"): 3, ("a person", "none"): 1}
    page = write_report(tmp_path / "log.sqlite", tmp_path / "report")
    facts = json.loads((page.parent / "report.json").read_text("utf-8"))
    assert facts["grade_from"] == {"rule": 3, "a person": 1}
    text = page.read_text("utf-8")
    assert "by rule against gold answers, whatever the confidence (3)" in text
    assert "from reply (3)" in text


def test_columns_of_a_table_are_named(tmp_path):
    file = tmp_path / "a.csv"
    rows = {"id": range(3), "conf": [0.5, None, 1], "hit": [1, 0, None]}
    pd.DataFrame(rows).to_csv(file, index=False)
    known = load_answers(file)[["grade_from", "confidence_from"]].to_dict("list")
    assert known["grade_from"][:2] == ["column 'hit'"] * 2
    assert known["confidence_from"][::2] == ["column 'conf'"] * 2
    assert pd.isna(known["grade_from"][2])
    assert pd.isna(known["confidence_from"][1])


def test_a_metric_that_saw_the_confidence_is_graded_anew(tool_log):
    answers = load_answers(tool_log())
    assert answers["correct"].mean() == 0.75
    assert sources(answers) == {("rule", "reply"): 40}
    said = " ".join(answers.attrs["assumed"])
    assert "40 answers that metric exact_match graded with their confidence" in said
    assert "30 of 40 grades differ" in said


@pytest.mark.parametrize("how", [{"filtered": "{}"}, {"grade": "exact_match"}])
def test_other_metrics_count_as_they_are(tool_log, how):
    answers = load_answers(
        tool_log(filtered=how.pop("filtered", "{} Confidence: 80%")), **how
    )
    assert sources(answers) == {("metric exact_match", "reply"): 40}
    is_said = "all 40 grades say wrong" in " ".join(answers.attrs["assumed"])
    assert is_said == bool(how)


def test_a_member_of_a_log_that_is_named_is_looked_up_or_refused(tool_log):
    answers = load_answers(tool_log(), image_id="doc.scan", model="mine")
    assert answers["image_id"].nunique() == 20
    assert set(answers["model"]) == {"mine"}
    with pytest.raises(
        MedcalError, match=r"no 'scan' in its rows.*they hold doc_id, doc"
    ):
        load_answers(tool_log(), image_id="scan")
