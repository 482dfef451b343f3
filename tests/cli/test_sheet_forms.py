"""Sheets to fill in, in the form of the user's table, filled as a spreadsheet saves them."""

import csv
import json
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

from medcal_nb.answers import load_answers
from medcal_nb.tables import sheet_form, write_table

BOM = b"\xef\xbb\xbf"
N = 120


def rows_of(rng, *, graded=True):
    """Answers in French, decimal commas in the confidence."""
    p = rng.uniform(0.5, 1, N).round(2)
    table = pd.DataFrame({"N° cas": [f"é{k:03}" for k in range(N)]})
    table["question"] = "Y a-t-il un épanchement ?"
    table["réponse"] = ["oui", "non"] * (N // 2)
    table["confiance"] = [f"{x:.2f}".replace(".", ",") for x in p]
    if graded:
        table["correct"] = (rng.random(N) < p).astype(int)
    return table


def write(table, form):
    """The table as its user's Excel saves it; its name."""
    if form == "xlsx":
        table = table.replace("\x07", "", regex=True)  # Excel holds none
        table.to_excel("mesures.xlsx", index=False)
        return "mesures.xlsx"
    table.to_csv("mesures.csv", sep=form, index=False, encoding="utf-8-sig")
    return "mesures.csv"


def fill(name, grade, saved):
    """Open a sheet, fill its grades, and save it as a spreadsheet does."""
    path = Path(name)
    if path.suffix == ".xlsx":
        book = openpyxl.load_workbook(path)
        sheet = book.active
        heads = [cell.value for cell in sheet[1]]
        for row in range(2, sheet.max_row + 1):
            sheet.cell(row, heads.index("correct") + 1).value = grade
        book.save(path)
        return
    assert path.read_bytes().startswith(BOM)
    with path.open(encoding="utf-8-sig", newline="") as file:
        heads, *rows = csv.reader(file, delimiter=";")
    place = heads.index("correct")
    rows = [[*row[:place], str(grade), *row[place + 1 :]] for row in rows]
    encoding, mark = saved
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=mark).writerows([heads, *rows])


@pytest.mark.parametrize("form", [";", "xlsx"])
def test_recalibrated_answers_have_the_form_of_their_table(medcal, rng, form):
    file = write(rows_of(rng), form)
    code, out, err = medcal("calibrate", file)
    assert code == 0, err
    name = f"mesures_platt.{'xlsx' if form == 'xlsx' else 'csv'}"
    assert out.startswith(name)
    if form == "xlsx":
        table = pd.read_excel(name)
    else:
        assert Path(name).read_bytes().startswith(BOM)
        table = pd.read_csv(name, sep=";", decimal=",", encoding="utf-8-sig")
    again = load_answers(name)  # ours is the recalibrated one
    np.testing.assert_allclose(again["confidence"], table["confidence"])
    assert table["confidence_uncorrected"].between(0.5, 1).all()
    assert not np.allclose(table["confidence"], table["confidence_uncorrected"])
    assert again["correct"].tolist() == table["correct"].astype(bool).tolist()


@pytest.mark.parametrize("decimal", ["point", "comma"])
def test_numbers_between_semicolons_have_the_table_s_decimals(tmp_path, decimal):
    mark = {"point": ".", "comma": ","}[decimal]
    source = tmp_path / "a.csv"
    source.write_text(f"id;confidence\n1;0{mark}95\n2;1\n")
    table = pd.DataFrame({"x": [0.25, np.nan, -1e-7], "n": [1, 2, 3]})
    write_table(table, tmp_path / "b.csv", form=sheet_form(source))
    text = (tmp_path / "b.csv").read_text("utf-8-sig")
    assert f"0{mark}25" in text
    again = pd.read_csv(tmp_path / "b.csv", sep=";", decimal=mark, encoding="utf-8-sig")
    pd.testing.assert_frame_equal(again, table)


SAVED = [
    (";", ("utf-8-sig", ";")),
    (";", ("cp1252", ";")),
    (";", ("utf-16", "\t")),
    ("xlsx", None),
]


@pytest.mark.parametrize(("form", "saved"), SAVED)
def test_a_certificate_is_graded_in_the_form_of_the_table(medcal, rng, form, saved):
    file = write(rows_of(rng, graded=False), form)
    name = f"mesures.grades.{'xlsx' if form == 'xlsx' else 'csv'}"
    how = ("certify", file, "-c", "gold=", "--risk", "0.3", "--budget", "60")
    code, out, err = medcal(*how)
    assert code == 0, err
    assert f"{name}: grade 20 answers" in out
    fill(name, 1, saved)
    code, out, err = medcal(*how)
    assert code == 0, err
    assert "20 answers graded in all" in out
    lines = Path("mesures.certificate.jsonl").read_text("utf-8").splitlines()
    grades = [one for one in map(json.loads, lines) if one["kind"] == "grade"]
    assert {one["from"] for one in grades} == {name}
    assert len(grades) == 20
    assert all(one["item_id"].startswith("é") for one in grades)
    sheets = [path.name for path in Path().glob("*.grades.*")]
    assert sheets == [name]
    if form == "xlsx":
        assert openpyxl.load_workbook(name).active.max_row > 21
    elif saved[1] == ";":
        assert Path(name).read_bytes().startswith(BOM)
        assert "épanchement" in Path(name).read_text("utf-8-sig")


@pytest.mark.parametrize(("form", "saved"), SAVED)
def test_a_check_comes_back_in_the_form_of_the_table(medcal, rng, form, saved):
    file = write(rows_of(rng), form)
    name = f"mesures.checked.{'xlsx' if form == 'xlsx' else 'csv'}"
    code, out, err = medcal("check", file, "-c", "gold=", "--cases", "60")
    assert code == 0, err
    assert f"--checked {name}" in out
    fill(name, "1,0", saved)
    report = ("report", file, "-c", "gold=", "--checked", name, "--to", "out")
    code, _, err = medcal(*report)
    assert code == 0, err
    tables = [pd.read_csv(path) for path in Path("out").rglob("*.csv")]
    (checked,) = [table for table in tables if "n_checked" in table]
    assert (checked["n_checked"] == 60).all()


@pytest.mark.parametrize(("form", "saved"), SAVED)
def test_undecided_answers_come_back_in_the_form_of_the_table(medcal, rng, form, saved):
    table = rows_of(rng, graded=False)
    table["vérité"] = "épanchement"
    table.loc[::2, "réponse"] = "une opacité\r\nà droite\x07"
    table.loc[1::2, "réponse"] = "épanchement"
    file = write(table, form)
    name = f"mesures.undecided.{'xlsx' if form == 'xlsx' else 'csv'}"
    code, _, err = medcal("score", file, "-c", "gold=vérité")
    assert code == 0, err
    assert f"are in {name}" in err
    fill(name, 0, saved)
    code, out, err = medcal("score", file, "-c", "gold=vérité", "-c", f"grades={name}")
    assert code == 0, err
    assert f"60 answers graded by hand in {name}" in err
    # written again, what was filled in stays
    assert medcal("score", file, "-c", "gold=vérité")[0] == 0
    again = medcal("score", file, "-c", "gold=vérité", "-c", f"grades={name}")
    assert again[1] == out


def test_a_sheet_that_was_begun_with_commas_goes_on(medcal, rng):
    rows = rows_of(rng, graded=False)
    file = write(rows, ",")
    sheet = Path("mesures.grades.csv")
    Path(file).write_bytes(Path(file).read_bytes().removeprefix(BOM))
    how = ("certify", file, "-c", "gold=", "--risk", "0.3")
    assert medcal(*how)[0] == 0
    assert not sheet.read_bytes().startswith(BOM)
    pd.read_csv(sheet, dtype=str).assign(correct="1").to_csv(sheet, index=False)
    write(rows, ";")  # the table is saved anew
    code, out, err = medcal(*how)
    assert code == 0, err
    assert "20 answers graded in all" in out
    text = sheet.read_text("utf-8")
    assert ";" not in text
    assert len(pd.read_csv(sheet)) > 20


def test_two_sheets_are_asked_about(medcal, rng):
    file = write(rows_of(rng, graded=False), "xlsx")
    Path("mesures.grades.csv").write_text("item_id,correct\n")
    Path("mesures.grades.xlsx").write_text("")
    code, _, err = medcal("certify", file, "-c", "gold=", "--risk", "0.3")
    assert (code, "mesures.grades.xlsx is there, too" in err) == (2, True), err


def test_an_old_comma_sheet_beside_an_excel_table_goes_on(medcal, rng):
    file = write(rows_of(rng, graded=False), "xlsx")
    how = ("certify", file, "-c", "gold=", "--risk", "0.3")
    assert medcal(*how)[0] == 0
    old = pd.read_excel("mesures.grades.xlsx", dtype=str).assign(correct="1")
    Path("mesures.grades.xlsx").unlink()
    old.to_csv("mesures.grades.csv", index=False)
    code, out, err = medcal(*how)
    assert code == 0, err
    assert "20 answers graded in all" in out
    assert len(pd.read_csv("mesures.grades.csv")) > 20
    assert not Path("mesures.grades.xlsx").exists()


def test_decimal_commas_are_read(medcal, rng):
    table = rows_of(rng)
    plain = table.assign(confiance=table["confiance"].str.replace(",", "."))
    outs = []
    for rows in (table, plain):
        file = write(rows, ";")
        code, out, err = medcal("score", file, "-c", "gold=", "--csv")
        assert code == 0, err
        outs.append(out)
    assert outs[0] == outs[1]
