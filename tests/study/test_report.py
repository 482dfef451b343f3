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
    return write_report(path, folder / "report", named={}, **options)


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
    page = report_of(table, folder, transfer_from="general")
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
    leading = numbers["performance"]["leading"]
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
    "How many answers?": ("read", "n_measured"),
    "How many without a confidence?": ("read", "n_missing_confidence"),
    "What was resampled?": ("read", "intervals"),
    "Which file?": ("read", "sha256"),
    "How accurate?": ("performance", "leading", "accuracy", "estimate"),
    "The ECE's interval?": ("performance", "leading", "ece", "low"),
    "In how many bins?": ("methods", "n_bins"),
    "The calibration slope?": ("performance", "leading", "slope", "estimate"),
    "The worst group?": ("subgroups", "worst_group", "modality"),
    "Brier score once recalibrated?": ("recalibration", "brier_after", "estimate"),
    "Share kept at the certified risk?": ("selective", "coverage"),
    "The most confident error?": ("errors", "errors", 0, "item_id"),
    "Which seed?": ("methods", "seed"),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_reader_of_the_numbers_finds_an_answer(made, question):
    value = made[2]
    for step in QUESTIONS[question]:
        value = value[step]
    assert value is not None


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


@pytest.mark.parametrize(
    ("table", "section", "words"),
    [
        (answers(40), None, "too few"),
        (answers(60).assign(correct=True), "recalibration", "one grade"),
        (answers(60, modality="ct"), "subgroups", "No column names"),
    ],
    ids=["few", "one outcome", "one group"],
)
def test_small_data_say_what_they_cannot_give(table, section, words, tmp_path):
    if section is None:
        table = table.head(20)
    page = report_of(table, tmp_path)
    numbers = json.loads((tmp_path / "report" / "report.json").read_text())
    assert words in page.read_text(encoding="utf-8")
    if section:
        assert words in numbers[section]["not_computed"][0]


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
    with pytest.raises(MedcalError, match="transfer-from nowhere"):
        report_of(answers(50), tmp_path, transfer_from="nowhere")
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
    assert (tmp_path / "antworten_report" / "report.html").is_file()
