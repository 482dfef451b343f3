"""``medcal report``: one page on anybody's answers, whole or not at all."""

import html
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import brier_score_loss, roc_auc_score
from statsmodels.stats.multitest import multipletests

from medcal_nb import cli, measure, report
from medcal_nb.errors import MedcalError, NotEnough
from medcal_nb.measure import Bootstrap
from medcal_nb.measure.decimals import half_up, percent
from medcal_nb.notebook import published
from medcal_nb.report import write_report
from medcal_nb.wording import latex, latex_table
from medcal_nb.words import bench_sentence

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = "<script>document.title='pwned'</script>"
FORMULA = "=cmd|' /C calc'!A0"

pytestmark = pytest.mark.filterwarnings("ignore::medcal_nb.report.ReportWarning")


def table_of(n=300, *, seed=0, shift=0.1, **columns):
    """Overconfident answers of one model, two an image."""
    rng = np.random.default_rng(seed)
    confidence = rng.integers(50, 101, n) / 100
    rows = {
        "item_id": [f"q{k}" for k in range(n)],
        "image_id": [f"i{k // 2}" for k in range(n)],
        "confidence": confidence,
        "correct": (rng.random(n) < confidence - shift).astype(int),
    }
    return pd.DataFrame(rows).assign(**columns)


def report_of(table, folder, to="report", **options):
    """The page of a table, its text and its numbers."""
    file = folder / "answers.csv"
    table.to_csv(file, index=False)
    page = write_report(file, folder / to, **{"ci": Bootstrap(n=200)} | options)
    source = page.read_text("utf-8")
    text = re.sub(r"(?s)<style>.*?</style>|<[^>]+>", " ", source)
    numbers = json.loads((page.parent / "report.json").read_text("utf-8"))
    return page, " ".join(html.unescape(text).split()), numbers


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A report of two models, one with a script for a name, on general and medical answers."""
    medical = table_of(seed=2, shift=0.2, dataset="scans", domain="medical")
    medical["modality"] = np.array(["ct", "mri", FORMULA])[np.arange(300) // 2 % 3]
    usual = {"shift": 0, "domain": "general"}
    general = [table_of(seed=k, dataset=f"photos {k}", **usual) for k in range(2)]
    first = pd.concat([medical, *general]).assign(model=SCRIPT)
    noise = np.random.default_rng(9).integers(0, 20, len(first)) / 100
    other = first.assign(model="other", confidence=first["confidence"] - noise)
    table = pd.concat([first, other], ignore_index=True)
    folder = tmp_path_factory.mktemp("two")
    return table[table["domain"] == "medical"], *report_of(table, folder)


def row_of(numbers, table, **values):
    rows = pd.DataFrame(numbers["tables"][table])
    for name, value in values.items():
        rows = rows[rows[name] == value]
    return rows.iloc[0]


def test_the_order_of_rows_and_the_name_of_a_file_move_no_report(tmp_path):
    pages = []
    for seed, name in enumerate(("zwei", "gemini-2.5-pro")):
        file = tmp_path / f"{name}.csv"
        rows = pd.concat(
            [table_of(seed=k, model=model) for k, model in enumerate("ab")]
        )
        rows.sample(frac=1, random_state=seed).to_csv(file, index=False)
        page = write_report(file, tmp_path / str(seed), ci=Bootstrap(n=50))
        text = page.read_text("utf-8").replace(name, "the file")
        # the table's own sum is of its bytes
        pages.append(re.sub("[0-9a-f]{64}", "", text))
    assert pages[0] == pages[1]


def test_the_order_of_rows_and_the_name_of_a_file_move_no_number(tmp_path):
    table = pd.concat([table_of(model=f"m{seed}", seed=seed) for seed in range(2)])
    for name, columns in (
        ("keyed", table),
        ("numbered", table.drop(columns="item_id")),
    ):
        numbers = []
        for seed in range(2):
            file = tmp_path / f"{name}-{seed}.csv"
            columns.sample(frac=1, random_state=seed).to_csv(file, index=False)
            page = write_report(file, tmp_path / f"{name}-{seed}", ci=Bootstrap(n=200))
            text = (page.parent / "report.json").read_text("utf-8")
            numbers.append(json.loads(text)["tables"])
            if name == "numbered":
                numbers[-1].pop("surest")  # which names rows by their place
        assert numbers[0] == numbers[1], name
        assert pd.DataFrame(numbers[0]["certified"])["certified"].between(0.01, 1).any()


@pytest.mark.parametrize("model", [SCRIPT, "other"])
def test_numbers_are_those_of_independent_code(two, model):
    rows = two[0][two[0]["model"] == model]
    own = row_of(two[3], "performance", model=model)
    y, c = rows["correct"].to_numpy(), rows["confidence"].to_numpy()
    base = y.mean() * (1 - y.mean())
    assert (own["n"], own["n_images"]) == (len(rows), rows["image_id"].nunique())
    assert own["gap"] == pytest.approx(c.mean() - y.mean(), abs=1e-12)
    assert own["brier"] == pytest.approx(brier_score_loss(y, c), abs=1e-12)
    assert own["brier_skill"] == pytest.approx(1 - own["brier"] / base, abs=1e-12)
    assert own["auroc"] == pytest.approx(roc_auc_score(y, c), abs=1e-12)
    bins = np.clip(np.ceil(c * 15 - 1e-9) - 1, 0, 14).astype(int)
    gaps = np.abs(np.bincount(bins, y - c, 15)).sum() / len(y)
    assert own["ece"] == pytest.approx(gaps, abs=1e-12)
    cost = row_of(two[3], "cost", model=model, ratio=5)
    paid = np.where(c < 0.8 - 1e-9, 1, 5 * (1 - y)).mean()
    assert cost["deferring"] == pytest.approx(paid, abs=1e-9)
    assert cost["checking_none"] == pytest.approx(5 * (1 - y).mean(), abs=1e-9)


def test_differences_are_paired_and_corrected_by_holm(two):
    table = pd.DataFrame(two[3]["tables"]["comparison"])
    scores = pd.DataFrame(two[3]["tables"]["performance"]).set_index("model")
    for row in table.itertuples():
        gap = scores.loc[row.a, row.metric] - scores.loc[row.b, row.metric]
        assert row.difference == pytest.approx(gap, abs=1e-12)
    holm = multipletests(table["p"], method="holm")[1]
    np.testing.assert_allclose(table["p_holm"], holm, atol=1e-12)
    # the same answers with other confidences: the pairing makes the difference narrower
    width = scores["brier_high"] - scores["brier_low"]
    first = table[table["metric"] == "brier"].iloc[0]
    assert first["difference_high"] - first["difference_low"] < width.min()
    assert scores["brier"].is_monotonic_increasing


def test_numbers_are_those_of_the_study(five):
    answers = five.query(
        "dataset == 'GMAI-MMBench' and strategy == 'self_probing' and model.str.contains('Qwen')"
    )
    own = report.performance(report.entries(answers), ci=Bootstrap()).iloc[0]
    published = json.loads((ROOT / "figures/results/02_metrics.json").read_text())
    scores = pd.DataFrame(published["tables"]["scores"])
    theirs = scores[scores["model"].str.contains("Qwen")].iloc[0].drop("model")
    names = theirs.index.intersection(own.index)
    assert {"accuracy", "slope_low", "ece_high", "auroc"} <= {*names}
    # published with eight places
    assert dict(own[names]) == pytest.approx(dict(theirs[names]), abs=1e-8)


def test_a_number_is_rounded_alike_wherever_it_stands(tmp_path):
    half = np.arange(200) % 2  # half a point is lost where sums are added up otherwise
    one = table_of(200, model="a", confidence=0.855, correct=half)
    other = table_of(200, model="b", confidence=0.8 - 0.01 * half, correct=half)
    _, text, _ = report_of(pd.concat([one, other]), tmp_path)
    shown = re.search(r"overconfidence (\d+)(?: \[.*?\])? (\d+) ", text).groups()
    assert f"{shown[0]} percentage points" in text
    assert "overconfidence b a 200 200 {} {} ".format(*shown) in text


def test_the_transfer_has_its_constant_and_its_control(two):
    table = pd.DataFrame(two[3]["tables"]["transfer"])
    names = list(table["transfer"].unique())
    assert names[0] == "photos 0, photos 1 → scans"
    assert set(names[1:]) == {"photos 1 → photos 0", "photos 0 → photos 1"}
    y = two[0].loc[two[0]["model"] == "other", "correct"]
    first = row_of(two[3], "transfer", transfer=names[0], model="other")
    assert first["brier_base"] == pytest.approx(y.mean() * (1 - y.mean()), abs=0.01)


def test_groups_have_intervals_that_hold_together(two):
    table = pd.DataFrame(two[3]["tables"]["by_modality"])
    scores = row_of(two[3], "performance", model="other")
    assert len(table) == 6
    whole = scores["gap_high"] - scores["gap_low"]
    assert (table["gap_high"] - table["gap_low"]).mean() > np.sqrt(3) * whole


@pytest.mark.parametrize(
    ("column", "values", "query", "judged", "note"),
    [
        ("domain", ["general", "medical"], "", 50, "transfer"),
        ("domain", ["a", "b"], "", 100, ""),
        ("domain", ["a", "b"], "domain == 'a'", 50, "transfer"),
        ("split", ["fit", "test"], "", 50, "test alone"),
        ("split", ["fit", "dev"], "", 100, ""),
        ("split", ["fit", "test"], "split == 'fit'", 50, "transfer"),
    ],
)
def test_nothing_is_pooled_in_silence(column, values, query, judged, note):
    table = table_of(100, model="m", domain=pd.NA, split=pd.NA)
    table[column] = np.resize(values, 100)
    source, rows, notes = report.sides(table, query)
    assert len(rows) == judged
    assert (source is not None) == (note == "transfer")
    assert note in " ".join(notes)
    for all_or_none in (f"{column} in {values}", f"{column} == 'another'"):
        with pytest.raises(MedcalError, match=values[0]):
            report.sides(table, all_or_none)


def test_a_folder_of_a_model_is_named_by_its_last_part(tmp_path):
    table = table_of(120, model=np.resize([f"{tmp_path}/mine", "org/theirs"], 120))
    page, text, numbers = report_of(table, tmp_path)
    assert str(tmp_path) not in page.read_text() + json.dumps(numbers)
    assert "org/theirs" in text
    twins = table.assign(model=np.resize(["/a/m", "/b/m"], 120), strategy="stated")
    with pytest.raises(MedcalError, match="one name"):
        report.entries(twins)


def test_patients_take_the_place_of_images(tmp_path):
    table = table_of(400, patient=np.arange(400) // 40)
    _, text, numbers = report_of(table, tmp_path, image_id="patient")
    assert row_of(numbers, "performance")["n_images"] == 10
    assert "by image (10)" in text
    with pytest.raises(MedcalError, match=r"scaner'.*patient"):
        report_of(table, tmp_path, "c", group=["scaner"])


SMALL = {
    "one answer": table_of(1),
    "one image": table_of(40, image_id="i"),
    "60 rows": table_of(60),
    "all correct": table_of(60, correct=1),
    "all wrong": table_of(60, correct=0),
    "no confidence": table_of(60, confidence=np.nan),
    "models unlike": pd.concat([table_of(90, model="a"), table_of(1, model="b")]),
}


@pytest.mark.parametrize("kind", SMALL)
def test_small_samples_make_a_page_that_says_what_it_cannot(kind, tmp_path):
    page, text, numbers = report_of(SMALL[kind], tmp_path, confidence="confidence")
    source = page.read_text()
    has_limits = re.search(r'id="limits">\s*<p>', source) is not None
    assert has_limits == (kind != "60 rows")
    is_firm = kind not in ("one answer", "one image", "no confidence")
    assert ('id="quote"' in source) == is_firm
    assert not re.search(r"P [=<]|<th[^>]*>P value \(Holm", source)
    assert not re.search(r"\b(nan|inf|None)\b", text)
    assert numbers["tables"]["performance"][0]["model"] in ("the model", "a")


@pytest.mark.parametrize(("n_open", "is_bounded"), [(4, False), (10, True)])
def test_what_is_not_graded_is_between_bounds(n_open, is_bounded, tmp_path):
    table = table_of(200, modality=np.resize(["ct", "mri"], 200))
    table["correct"] = table["correct"].astype("boolean")
    is_open = np.random.default_rng(1).permutation(200) < n_open
    table.loc[is_open, "correct"] = pd.NA
    _, text, numbers = report_of(table, tmp_path)
    least = table["correct"].fillna(False).mean()
    most = table["correct"].fillna(True).mean()
    sure = table["confidence"].mean()
    ends = [half_up(100 * (sure - share)) for share in (most, least)]
    said = f"{ends[0]:.0f} to {ends[1]:.0f} percentage"
    assert (said.replace("-", "−") in text) == is_bounded
    between = f"(accuracy {percent(least)} to {percent(most)} %, as {n_open} answers"
    assert (between in text) == is_bounded
    assert ("accuracy, between bounds" in text) == is_bounded
    own = row_of(numbers, "performance")
    if is_bounded:
        ends = own[["accuracy_least", "accuracy_most"]]
        assert list(ends) == pytest.approx([least, most], abs=1e-12)
        groups = pd.DataFrame(numbers["tables"]["by_modality"])
        assert (groups["gap_least"] < groups["gap"]).all()
    else:
        assert own["accuracy_least"] is None


def test_only_what_answers_do_not_allow_is_told_on_the_page(tmp_path, monkeypatch):
    broken = Mock(side_effect=NotEnough("each costs more than it saves"))
    monkeypatch.setattr(measure, "expected_cost_table", broken)
    _, text, numbers = report_of(table_of(60), tmp_path)
    assert "Cost Not computed: each costs more than it saves." in text
    assert "cost" not in numbers["tables"]
    broken.side_effect = ValueError("shapes (2,) and (3,) do not fit")
    with pytest.raises(ValueError, match="do not fit"):
        report_of(table_of(60), tmp_path, "broken")
    assert not (tmp_path / "broken").exists()


def test_how_replies_were_graded_is_said(tmp_path):
    replies = np.resize(["Yes.", "No", "I cannot say"], 120)
    table = table_of(120, answer=replies, gold="yes").drop(columns="correct")
    _, text, numbers = report_of(table, tmp_path)
    assert numbers["grading"].startswith("80 of 120 answers graded: read as yes or no")
    assert numbers["grading"] in text
    assert "40 of 120 answers are not graded" in text
    assert bench_sentence() in text
    _, text, _ = report_of(table_of(60), tmp_path, "as the file has them")
    assert bench_sentence() not in text


def test_names_from_outside_are_text_everywhere(two):
    page, source = two[1], two[1].read_text("utf-8")
    assert SCRIPT not in source
    assert html.escape(SCRIPT, quote=False)[:20] in source
    assert not re.search(r'(src|href)="(?!#|data:image/png)|<script', source)
    assert "default-src 'none'" in source
    for file in (page.parent / "tables").glob("*.csv"):
        assert not re.search(r"(?m)(^|,)\"?[=@]", file.read_text()), file.name
    svg = (page.parent / "figures" / "calibration.svg").read_text()
    assert "<script" not in svg


SIGNS = (
    '−0.1 < 5 % & 50 €, É ß ł, [a_b] {x} ~ ^ # $ \\ | " „x“ 脳 → τ² ≥ ½ ' + "long" * 22
)


def test_tables_compile_with_every_sign_and_fit_on_a_page(two, tmp_path):
    wide = [[f"model {k}, {SIGNS}", *["−0.68 [−0.50, 0.88]"] * 11] for k in range(3)]
    head = ["[model]", *[f"column {k}" for k in range(11)]]
    tables = [path.read_text() for path in two[1].parent.glob("tables/*.tex")]
    tables += [latex_table(head, wide), latex_table(["", "n"], [[SIGNS, "1"]])]
    for chapter in (ROOT / "notebooks").glob("*.ipynb"):
        for table in published(chapter.stem)["tables"].values():
            tables.append(latex(table.head(12)))
    for text in tables:
        assert re.fullmatch(r"[ -~\nÉßł]*", text)
        assert not re.search(r"[^\\][&%#_](?<! &)(?<!}%)", text.replace(" & ", "  "))
        # signs of mathematics stand between dollars, two by two
        outside = re.sub(r"\\[$]|[$][^$\n]+[$]|width>", "", text)
        assert not re.search("[$<>|]", outside)
    performance = next(text for text in tables if "mean confidence &" in text)
    assert "$-$" in performance
    for encoding in ("OT1", "T1") if shutil.which("pdflatex") else ():
        begin = rf"\documentclass{{article}}\usepackage[{encoding}]{{fontenc}}"
        begin += r"\usepackage{graphicx}"
        body = "\n\n\\noindent\n".join(
            ["\\begin{document}", *tables, "\\end{document}"]
        )
        (tmp_path / "a.tex").write_text(f"{begin}\n{body}", encoding="utf-8")
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:]
        assert not re.findall("(?m)^(?:Overfull|Missing|LaTeX Warning).*", done.stdout)


def test_only_a_report_is_replaced_and_only_if_asked(tmp_path):
    page, _, _ = report_of(table_of(40), tmp_path)
    with pytest.raises(MedcalError, match="--force"):
        report_of(table_of(40), tmp_path)
    report_of(table_of(40), tmp_path, force=True)
    (page.parent / "thesis.tex").write_text("mine")
    with pytest.raises(MedcalError, match=r"thesis\.tex"):
        report_of(table_of(40), tmp_path, force=True)
    assert (page.parent / "thesis.tex").read_text() == "mine"
    with pytest.raises(MedcalError):
        report_of(table_of(40).drop(columns="confidence"), tmp_path, "other")
    assert {path.name for path in tmp_path.iterdir()} == {"answers.csv", "report"}


def test_the_command_writes_and_notes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    mine = table_of(60).rename(columns={"confidence": "sure"})
    mine.to_csv("mine.v2.csv", index=False)
    argv = ["medcal", "report", "mine.v2.csv", "-c", "confidence=sure"]
    monkeypatch.setattr(sys, "argv", argv)
    for status in (0, 2):
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert (ended.value.code or 0) == status
        out, err = capsys.readouterr()
        assert (out.strip() == "mine.v2_report/report.html") == (status == 0)
        assert ("confidence from 'sure'" in err) == (status == 0)
    assert Path("mine.v2_report/report.html").is_file()


def test_heaped_confidences_are_drawn_value_by_value():
    heaped = table_of(model="m", confidence=np.resize([0.8, 0.9, 1], 300))
    fig, values = report.calibration_figure(heaped)
    assert values["confidence"].tolist() == [0.8, 0.9, 1]
    above, below = fig.axes
    bars = [bar.get_x() + bar.get_width() / 2 for bar in below.containers[0]]
    assert bars == pytest.approx([0.8, 0.9, 1])  # under their dots
    assert list(below.get_xticks()) == list(above.get_xticks())
    assert below.get_xlim() == above.get_xlim()
    fig.draw_without_rendering()
    square = above.get_window_extent()
    strip = below.get_window_extent()
    assert [strip.x0, strip.x1] == pytest.approx([square.x0, square.x1])
    assert square.height == pytest.approx(square.width)


def test_figures_are_of_a_journals_width_and_carry_their_fonts(two):
    pictures = sorted((two[1].parent / "figures").glob("*.png"))
    assert "flow" in [path.stem for path in pictures]
    for path in pictures:
        with Image.open(path) as picture:
            width = picture.size[0] / 300 * 25.4  # mm, at 300 dpi
        assert min(abs(width - 89), abs(width - 183)) < 0.2, path.stem
        assert b"/FontFile2" in path.with_suffix(".pdf").read_bytes(), path.stem
        drawing = path.with_suffix(".svg").read_text("utf-8")
        assert "<text" in drawing, path.stem
        assert "sans-serif" in drawing, path.stem


def test_rows_out_are_counted_and_the_surest_errors_have_their_images(tmp_path):
    table = table_of(60, image="scan.png", question="Is there a nodule?")
    table["correct"] = table["correct"].astype(float)
    table.loc[[0, 1], "correct"] = np.nan
    table.loc[[2, 3, 4], "confidence"] = np.nan
    table.loc[10, ["confidence", "correct", "image"]] = [1, 0, "../scan.png"]  # outside
    (tmp_path / "scans").mkdir()
    for folder in (tmp_path, tmp_path / "scans"):
        Image.new("L", (8, 8)).save(folder / "scan.png")
    page, text, numbers = report_of(table, tmp_path, images=tmp_path / "scans")
    steps = pd.DataFrame(numbers["tables"]["flow"]).set_index("step")["n"]
    assert steps["answers read"] == 60
    assert steps["not graded"] == 2
    assert steps["graded, without a confidence"] == 3
    assert steps["measured"] == 55
    surest = numbers["tables"]["surest"]
    assert (len(surest), surest[0]["item_id"]) == (10, "q10")
    assert page.read_text("utf-8").count('<img alt="Image of the question"') == 9
    (note,) = [note for note in numbers["notes"] if "could not be read" in note]
    assert note.endswith(": 1 of 10 images could not be read, the first '../scan.png'")
    with pytest.raises(MedcalError, match="nowhere: no such folder"):
        write_report(
            tmp_path / "answers.csv", tmp_path / "new", images=tmp_path / "nowhere"
        )
    assert "Is there a nodule?" in text
