"""``medcal report``: one page from anybody's answers, whole or not at all."""

from __future__ import annotations

import json
import re
import sys

import numpy as np
import pandas as pd
import pytest

from medcal_nb import measure
from medcal_nb.errors import MedcalError
from medcal_nb.files import file_hash
from medcal_nb.logs import import_file
from medcal_nb.show import words
from medcal_nb.study.reporting import write_report

HOSTILE = "<script>document.title='pwned'</script>"
FEW = {"N_RESAMPLES": 200, "SEED": 1}


def answers(n=300, *, seed=0, shift=0.1, **columns):
    """Overconfident answers of one model, two an image."""
    rng = np.random.default_rng(seed)
    confidence = rng.integers(50, 101, n) / 100
    return pd.DataFrame(
        {
            "item_id": [f"q{k}" for k in range(n)],
            "image_id": [f"i{k // 2}" for k in range(n)],
            "confidence": confidence,
            "correct": rng.random(n) < confidence - shift,
        }
    ).assign(**columns)


def report_of(table, folder, name="answers.csv", **options):
    path = folder / name
    table.to_csv(path, index=False)
    options.setdefault("parameters", FEW)
    # a column without any value is not recognised
    blank = "confidence" in table and table["confidence"].isna().all()
    named = {"confidence": "confidence"} if blank else {}
    return write_report(path, folder / "report", named=named, **options)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A report on two data sets, three modalities and a model whose name is a script."""
    folder = tmp_path_factory.mktemp("report")
    general = answers(seed=1, shift=0.0, dataset="general", modality="photo")
    medical = answers(seed=2, shift=0.2, dataset="medical")
    medical["modality"] = np.array(["ct", "mri", "x-ray"])[np.arange(300) // 2 % 3]
    medical["item_id"] = "m" + medical["item_id"]
    medical["image_id"] = "m" + medical["image_id"]
    table = pd.concat([general, medical]).assign(model=HOSTILE)
    parameters = FEW | {"TRANSFER_FROM": "general"}
    page = report_of(table, folder, parameters=parameters)
    numbers = json.loads((folder / "report" / "report.json").read_text())
    return medical, page, numbers


def test_a_page_needs_no_other_file_and_no_other_host(made):
    text = made[1].read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!#|data:)', text)
    assert HOSTILE not in text
    assert "&lt;script&gt;" in text


def test_every_section_is_there_with_its_parts(made):
    _, page, numbers = made
    folder = page.parent
    assert not any(
        "not_computed" in numbers[name] for name in ("performance", "transfer")
    )
    assert {file.name for file in (folder / "figures").iterdir()} >= {
        "fig08_calibration.png",
        "fig08_calibration.svg",
        "fig08_calibration.csv",
        "fig08_decision.png",
    }
    assert (folder / "tables" / "by_modality.csv").is_file()


def test_numbers_are_those_of_the_functions(made):
    medical, _, numbers = made
    leading = numbers["performance"]
    pair = (medical["confidence"], medical["correct"])
    assert leading["ece"]["estimate"] == pytest.approx(measure.ece(*pair), abs=1e-12)
    assert leading["brier"]["estimate"] == pytest.approx(measure.brier_score(*pair))
    assert leading["auroc"]["estimate"] == pytest.approx(measure.auroc(*pair))
    assert leading["slope"]["estimate"] == pytest.approx(
        measure.calibration_slope(*pair), abs=1e-6
    )
    wrong = medical[~medical["correct"]]["confidence"].max()
    assert numbers["errors"]["errors"][0]["confidence"] == wrong


#: What a reader who sees only report.json asks, and the one place that answers.
QUESTIONS = {
    "How many answers?": "read.measured",
    "How many without a confidence?": "read.without_confidence",
    "What was resampled?": "read.intervals",
    "Which file?": "read.sha256",
    "How accurate?": "performance.accuracy.estimate",
    "The ECE's interval?": "performance.ece.low",
    "In how many bins?": "methods.n_bins",
    "The calibration slope?": "performance.slope.estimate",
    "The worst group?": "subgroups.worst_group.modality",
    "Brier score once recalibrated?": "recalibration.brier.estimate",
    "Share kept at the certified risk?": "selective.coverage",
    "What did the transfer cost?": "transfer.cost.estimate",
    "Which seed?": "methods.seed",
}


def places(numbers, path=""):
    """Every value of report.json by its place; tables are lists and findings a summary."""
    for name, value in numbers.items():
        if isinstance(value, dict):
            yield from places(value, f"{path}{name}.")
        elif not isinstance(value, list) or name == "not_computed":
            yield f"{path}{name}", value


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_reader_of_the_numbers_finds_one_answer(made, question):
    known = dict(places(made[2]))
    asked = QUESTIONS[question]
    assert known[asked] is not None
    same_name = [
        place for place in known if place.split(".")[-1] == asked.split(".")[-1]
    ]
    if isinstance(known[asked], float):
        same_name = [place for place, value in known.items() if value == known[asked]]
    assert same_name == [asked]


def test_every_link_of_the_page_leads_somewhere(made):
    text = made[1].read_text(encoding="utf-8")
    links = re.findall(r'href="#([^"]+)"', text)
    assert len(links) > 30
    assert set(links) <= set(re.findall(r'id="([^"]+)"', text))


def test_a_number_has_one_interval_on_the_page(made):
    """The uncorrected score beside the recalibrated one is that of the table of performance."""
    _, page, numbers = made
    stages = (
        page.read_text(encoding="utf-8").split('id="stages"')[1].split("</table>")[0]
    )
    brier = words.estimate(*numbers["performance"]["brier"].values())
    assert f">{brier}<" in stages


def test_guideline_items_have_a_value_or_a_reason(made):
    items = made[2]["guidelines"]["items"]
    tripod = {item["item"] for item in items if item["guideline"] == "TRIPOD+AI"}
    asked = [
        "10",
        "11",
        "12d",
        "12e",
        "12f",
        "13",
        "15",
        "16",
        "20c",
        "21",
        "23a",
        "23b",
        "24",
    ]
    assert tripod == set(asked)
    assert not any("{" in item["text"] for item in items)
    assert sum(item["computed"] for item in items) > len(items) / 2


@pytest.mark.parametrize("option", ["BY", "GROUP_BY"])
def test_a_column_to_split_by_that_is_not_there_is_refused(option, tmp_path):
    table = answers(40).assign(scanner="ct")
    with pytest.raises(MedcalError, match=r"no column 'scaner' .* 'scanner'"):
        report_of(table, tmp_path, parameters=FEW | {option: ["scaner"]})
    assert not (tmp_path / "report").exists()


THREE = answers(3).assign(correct=[True, False, True])


@pytest.mark.parametrize(
    ("table", "section", "reason"),
    [
        (answers(40), None, "too few"),
        (answers(60).assign(correct=True), "recalibration", "one grade"),
        (answers(60, modality="ct"), "subgroups", "--group names others"),
        (answers(60).assign(confidence=None), "selective", "No answer has a conf"),
        (THREE, "recalibration", "Too few different answers"),
    ],
    ids=["few", "one outcome", "one group", "no confidence", "three"],
)
def test_small_data_say_what_they_cannot_give(table, section, reason, tmp_path):
    if section is None:
        table = table.head(20)
    page = report_of(table, tmp_path)
    numbers = json.loads((tmp_path / "report" / "report.json").read_text())
    assert reason in page.read_text(encoding="utf-8")
    if section:
        assert reason in numbers[section]["not_computed"][0]


def test_the_same_seed_gives_the_same_numbers(tmp_path, made):
    table = answers(120)
    texts = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        report_of(table, tmp_path / name)
        texts.append((tmp_path / name / "report" / "report.json").read_text())
    assert texts[0] == texts[1]


def test_what_is_ambiguous_or_foreign_writes_nothing(tmp_path):
    table = answers(50).assign(prob=0.5, certainty=0.7).drop(columns="confidence")
    with pytest.raises(MedcalError, match="--confidence"):
        report_of(table, tmp_path)
    parameters = FEW | {"TRANSFER_FROM": "nowhere"}
    with pytest.raises(MedcalError, match="transfer-from nowhere"):
        report_of(answers(50), tmp_path, parameters=parameters)
    assert not (tmp_path / "report").exists()
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "thesis.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(MedcalError, match="holds something"):
            report_of(answers(50), tmp_path, force=force)
    assert (tmp_path / "report" / "thesis.txt").read_text() == "mine"


def test_the_command_says_what_it_recognised(tmp_path, monkeypatch, capsys):
    from medcal_nb.cli import main

    path = tmp_path / "antworten.csv"
    table = answers(40).drop(columns="image_id")
    table["confidence"] = [
        f"{100 * c:.1f}".replace(".", ",") for c in table["confidence"]
    ]
    table["correct"] = table["correct"].map({True: "ja", False: "nein"})
    table.to_csv(path, sep=";", index=False)
    monkeypatch.chdir(tmp_path)
    argv = ["medcal", "report", str(path), "--resamples", "100"]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as stop:
        main()
    told = capsys.readouterr()
    assert not stop.value.code, told.err
    assert "percent" in told.err
    page = (tmp_path / "antworten_report" / "report.html").read_text(encoding="utf-8")
    # how to make it again: the command, and the input by its hash
    assert f"medcal report {path} --resamples 100" in page
    assert f"SHA-256 {file_hash(path)}" in page


def test_several_readers_are_averaged_over_readers_and_cases(tmp_path):
    rng = np.random.default_rng(3)
    case = np.tile(np.arange(40), 5)
    cancer = np.arange(40) % 2 == 1
    table = pd.DataFrame({"case": case, "reader": np.repeat(list("abcde"), 40)})
    table["confidence"] = np.round(rng.beta(2 + 2 * cancer[case], 3), 3)
    table["correct"] = cancer[case]
    page = report_of(table, tmp_path)
    numbers = json.loads((page.parent / "report.json").read_text())
    assert numbers["read"]["intervals"] == "by reader and case"
    averages = measure.mrmc_table(table.assign(item_id=case)).set_index("metric")
    for name in ("auroc", "gap", "brier"):
        values = numbers["performance"][name]
        assert values["estimate"] == pytest.approx(averages.loc[name, "estimate"])
        assert values["low"] == pytest.approx(averages.loc[name, "low"])
    assert "5 readers are averages" in methods_of(page)
    assert "by reader and case" in methods_of(page)


def methods_of(page):
    text = page.read_text(encoding="utf-8")
    return text.split('id="methods"')[1].split("</section>")[0]


def test_methods_name_only_what_was_computed(tmp_path, made):
    computed = ("Non-inferiority", "cross-fitted", "certified on", "random-effects")
    page = report_of(answers(60).assign(correct=True), tmp_path)
    for word in computed:
        assert word in methods_of(made[1])
        assert word not in methods_of(page)


@pytest.mark.parametrize("name", ["answers.parquet", "answers.jsonl", "answers.xlsx"])
def test_other_tables_are_read_as_a_csv_is(name, tmp_path):
    table = answers(60)
    path = tmp_path / name
    if name.endswith("parquet"):
        table.to_parquet(path)
    elif name.endswith("jsonl"):
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_excel(path, index=False)
    page = write_report(path, tmp_path / "other", named={}, parameters=FEW)
    numbers = json.loads((page.parent / "report.json").read_text())["performance"]
    same = json.loads((report_of(table, tmp_path).parent / "report.json").read_text())
    same["performance"].pop("not_computed", None)
    assert numbers["ece"] == same["performance"]["ece"]


def test_a_log_and_another_tools_log_are_read(tmp_path):
    log = tmp_path / "answers.sqlite"
    answers(60).to_csv(tmp_path / "in.csv", index=False)
    import_file(tmp_path / "in.csv", log)
    rows = []
    for n in range(40):
        case = {"reader": "ada", "model": "m", "dataset": "d", "item_id": f"q{n}"}
        case |= {"strategy": "verbalized", "domain": "medical", "image_id": f"i{n}"}
        case |= {"model_answer": "yes", "model_confidence": 0.9, "model_correct": True}
        own = {"confidence": 0.5 + n / 80, "correct": n % 3 > 0, "answer": "no"}
        rows.append({"action": "commit"} | case | own)
    (tmp_path / "decisions.json").write_text(json.dumps(rows))
    for file in (log, tmp_path / "decisions.json"):
        page = write_report(file, tmp_path / file.stem, named={}, parameters=FEW)
        assert page.is_file()
