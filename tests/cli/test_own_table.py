"""A researcher's own table, in German and as it lies there, through the commands."""

import html
import json
import os
import re
import shlex
import subprocess
import sys

import pandas as pd
import pytest
from PIL import Image

from medcal_nb.answers import load_answers
from medcal_nb.run import ROOT

N = 105
N_NAMED = 15
HOW = ("-c", "reply=Antwort des Modells", "-c", "gold=Referenz")
#: Seven ways in which a model writes an answer, of which four state a confidence that is read.
REPLIES = (
    "{said}. Sicherheit: {p} %",
    "Antwort: {said}, Konfidenz 0,{p}",
    "{said}, ich bin zu {p}% sicher.",
    "{said}. Confidence: {p} %",
    "{said} (Konfidenz: hoch)",
    "{said}.",
    "{said} – {tenth}/10",
)


@pytest.fixture
def own(tmp_path):
    """Answers with semicolons and a BOM; the first few name an image, three say nothing."""
    rows = []
    for k in range(N):
        is_right = k % 3 > 0
        gold, other = ("Ja", "Nein") if k % 2 else ("Nein", "Ja")
        said = gold if is_right else other
        reply = REPLIES[k % 7].format(said=said, p=60 + k % 37, tenth=7 + k % 3)
        row = {
            "Fall": k + 1,
            "Bild": f"bild_{k + 1}.png" if k < N_NAMED else "",
            "Modalität": ("Röntgen", "CT", "MRT")[k // 2 % 3],
            "Frage": "Ist eine Fraktur zu sehen?",
            "Antwort des Modells": "" if k in (40, 60, 80) else reply,
            "Referenz": gold,
        }
        rows.append(row)
    path = tmp_path / "antworten.csv"
    pd.DataFrame(rows).to_csv(path, sep=";", encoding="utf-8-sig", index=False)
    for k in range(N_NAMED):
        Image.new("L", (8, 8), 10 * k).save(tmp_path / f"bild_{k + 1}.png")
    return path


def text_of(page):
    """The words of a page."""
    source = page.read_text("utf-8")
    plain = re.sub(r"(?s)<style>.*?</style>|<[^>]+>", " ", source)
    return " ".join(html.unescape(plain).split())


def test_images_may_be_named_for_some_cases_alone(medcal, own):
    code, _, err = medcal("report", own.name, *HOW, "--images", ".", "--to", "out")
    assert code == 0
    assert f"{N - N_NAMED} of {N} answers name no image: each of their questions" in err
    text = text_of(own.parent / "out" / "report.html")
    counted = r"Intervals are by image \((\d+): (\d+) named, (\d+) questions that"
    of_all, named, others = map(int, re.search(counted, text).groups())
    answers = load_answers(own, reply="Antwort des Modells", gold="Referenz")
    graded = answers.dropna(subset=["confidence", "correct"])
    assert (of_all, named) == (len(graded), graded["image_id"].nunique())
    assert others == graded["image_id"].isna().sum() > 0
    code, _, _ = medcal("explore", own.name, *HOW, "--images", ".", "--to", "own.html")
    assert code == 0
    assert "Intervals are by image (" in (own.parent / "own.html").read_text("utf-8")


def test_files_of_images_are_no_names_of_them_where_another_column_is(own):
    how = {"reply": "Antwort des Modells", "gold": "Referenz", "image": "Bild"}
    assert load_answers(own, **how)["image_id"].count() == N_NAMED
    alone = load_answers(own, image_id="", **how)
    assert alone["image_id"].count() == 0
    assert alone["image"].dropna().tolist() == alone["Bild"].dropna().tolist()
    assert alone["image"].count() == N_NAMED
    both = load_answers(own, image_id="Frage", **how)
    assert both["image_id"].nunique() == 1
    assert both["image"].count() == N_NAMED


def test_all_that_is_missing_is_said_at_once_with_what_to_write(medcal, own):
    table = pd.read_csv(own, sep=";")
    odd = {"Antwort des Modells": "Was GPT schrieb", "Referenz": "Laut Facharzt"}
    table.rename(columns=odd).to_csv(own.parent / "odd.csv", sep=";", index=False)
    code, _, err = medcal("score", "odd.csv")
    assert code == 2
    assert "no column 'confidence'" in err
    assert "nothing says which answers are correct" in err
    _, told = err.strip().split("; perhaps ")
    options, keywords = told.removesuffix(")").split(" (in Python ")
    assert options == '-c "reply=Was GPT schrieb" -c "gold=Laut Facharzt"'
    _, known, _ = medcal("score", own.name, *HOW)
    code, out, _ = medcal("score", "odd.csv", *shlex.split(options))
    assert code == 0
    assert out.replace("odd", "antworten").split() == known.split()
    how = eval(f"dict({keywords})")
    assert load_answers(own.parent / "odd.csv", **how)["correct"].notna().any()


def test_a_column_may_be_called_as_it_is_in_the_file(medcal, own):
    code, out, _ = medcal("score", own.name, *HOW, "--by", "Modalität")
    assert code == 0
    assert out == medcal("score", own.name, *HOW, "--by", "modality")[1]
    report = ("report", own.name, *HOW)
    code, _, err = medcal(*report, "--group", "Modalität", "--to", "out")
    assert code == 0, err
    query = "Modalität == 'CT'"
    assert medcal(*report, "--transfer-from", query, "--to", "other")[0] == 0
    page = ("explore", own.name, *HOW, "--group", "Modalität", "--to", "own.html")
    assert medcal(*page)[0] == 0
    fit = ("--fit", "Modalität == 'CT'", "--apply", "Modalität != 'CT'")
    assert medcal("calibrate", own.name, *HOW, *fit, "--to", "a.csv")[0] == 0
    plan = ("--plan", "--accuracy", "0.6", "--rows", "Modalität == 'MRT'")
    assert medcal("certify", own.name, *HOW, *plan)[0] == 0
    code, _, err = medcal("score", own.name, *HOW, "--by", "Modalitt")
    assert code == 2
    assert "no column for --by 'Modalitt'" in err


@pytest.mark.notebooks
@pytest.mark.slow
def test_a_chapter_takes_names_of_columns(own):
    root = own.parent / "checkout"
    root.mkdir()
    for name in ("notebooks", "data"):
        (root / name).symlink_to(ROOT / name)
    table = pd.read_csv(own, sep=";").rename(columns={"Referenz": "Laut Facharzt"})
    table.to_csv(own, index=False)
    of_file = ("-p", f"ANSWERS={own.name}", "-p", "N_RESAMPLES=50")

    def study(*words):
        command = [sys.executable, "-m", "medcal_nb.cli", "study", "02", *words]
        env = os.environ | {"MEDCAL_ROOT": str(root)}
        return subprocess.run(
            command, env=env, cwd=own.parent, capture_output=True, text=True
        )

    failed = study(*of_file)
    assert failed.returncode == 1
    assert '; perhaps -c "gold=Laut Facharzt"' in failed.stderr
    ran = study(*of_file, "-c", "gold=Laut Facharzt")
    assert ran.returncode == 0, ran.stderr
    written = root / "build" / "trial" / "antworten.imported.csv"
    assert f"the chapters run on {written}, which was written from" in ran.stderr
    graded = load_answers(own, gold="Laut Facharzt")["correct"]
    assert load_answers(written)["correct"].tolist() == graded.tolist()
    results = root / "build" / "trial" / "results" / "02_metrics.json"
    assert json.loads(results.read_text("utf-8"))["parameters"]["answers"] == str(
        written
    )
    assert study("-c", "gold=Laut Facharzt").returncode == 2
