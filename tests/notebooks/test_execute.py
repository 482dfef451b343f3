"""Every notebook, executed at fast size through the runner into a folder of its own."""

import base64
import json
import math
import os
import re
import sys
from pathlib import Path

import pandas as pd
import pytest

from medcal_nb.study.profile import load_profile
from medcal_nb.study.run import Study
from tests.show.saved import read_figures
from tests.study.toy import load_results

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = load_profile("pocket").notebooks
NOTEBOOKS = sorted(
    path.stem
    for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")
    if path.stem[:2] in NUMBERS
)
#: Figures of what this profile has not: results of another profile, several readers.
BESIDE_OTHERS = {"fig00_control", "fig03_readers"}
#: What is left of widgets, empty cells and missing numbers where nobody is at a kernel.
LEFT_OVERS = (
    r"\d%\|| it/s|Explorer\(|is undefined|\b-?inf\b|\bNaN\b|<Figure|Empty DataFrame"
)

pytestmark = [pytest.mark.notebooks, pytest.mark.slow]


@pytest.fixture(scope="module")
def fast_study(tmp_path_factory):
    """The whole pocket study at fast size, with answers of its own."""
    if not (ROOT / "data" / "pocket" / "manifest.json").is_file():
        pytest.skip("no pocket weights in data/pocket: run `make pocket WEIGHTS=1`")
    folder = tmp_path_factory.mktemp("study")
    published = state_of(ROOT / "figures")
    done = Study("pocket", fast=True, out=folder, answers=folder / "answers.sqlite")
    done.run(keep_going=True)
    assert state_of(ROOT / "figures") == published, "a fast run touched figures/"
    return done


def state_of(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*")}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_runs_at_fast_size(fast_study, name):
    assert name not in fast_study.failed, fast_study.failed
    made = set(fast_study.notebooks[name].writes) - {"answers"} - BESIDE_OTHERS
    for file in fast_study.files(made):
        assert file.stat().st_size > 0, file


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_numbers_are_recorded(fast_study, name):
    file = fast_study.figures / "results" / f"{name}.json"
    results = load_results(file)
    assert results
    told = json.loads(file.read_text())["provenance"]
    assert (told["notebook"], told["profile"]) == (name, "pocket")
    assert told["parameters"]["FAST"]


def test_scores_are_in_range(fast_study):
    """Whatever a metric is called in a figure's table, it stays where it is defined."""
    ranges = {
        "accuracy": (0, 1),
        "mean_confidence": (0, 1),
        "ece": (0, 1),
        "brier": (0, 1),
        "auroc": (0, 1),
        "aurc": (0, 1),
        "log_loss": (0, math.inf),
    }
    seen = 0
    for name in read_figures(fast_study.figures):
        table = pd.read_csv(fast_study.figures / f"{name}.csv")
        for column, (low, high) in ranges.items():
            if column in table:
                values = table[column].dropna()
                assert values.between(low, high).all(), (name, column)
                seen += len(values)
    assert seen > 0


def test_no_figure_holds_wall_clock_time(fast_study):
    """Seconds differ from run to run, and `medcal verify` compares bytes."""
    for name in read_figures(fast_study.figures):
        columns = pd.read_csv(fast_study.figures / f"{name}.csv", nrows=0).columns
        assert not [c for c in columns if "second" in c], name


def outputs_of(executed: Path):
    for cell in json.loads(executed.read_text(encoding="utf-8"))["cells"]:
        yield from cell.get("outputs", ())


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_saved_figure_is_shown_once(fast_study, name):
    """The very bytes that are published, in the executed notebook."""
    done = fast_study
    found = read_figures(done.figures).items()
    saved = [figure for figure, told in found if told["provenance"]["notebook"] == name]
    pictures = [
        base64.b64decode(output["data"]["image/png"])
        for output in outputs_of(done.work / "notebooks" / f"{name}.ipynb")
        if "image/png" in output.get("data", {})
    ]
    assert saved or name.startswith("00_")  # which shows those of the others
    for figure in saved:
        published = (done.figures / f"{figure}.png").read_bytes()
        assert pictures.count(published) == 1, figure


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_outputs_hold_no_path_and_no_raw_warning(fast_study, name):
    for output in outputs_of(fast_study.work / "notebooks" / f"{name}.ipynb"):
        assert output.get("name") != "stderr", output["text"]
        told = json.dumps(
            {k: v for k, v in output.get("data", {}).items() if "image" not in k}
        )
        told += "".join(output.get("text", ()))
        for path in (ROOT, fast_study.figures, Path.home(), sys.prefix):
            assert f"{path}/" not in told
        assert not re.search(r"PosixPath\(|site-packages|\bWarning: |/tmp/", told), (
            told[:500]
        )


@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if name[:2] != "07"])
def test_outputs_hold_nothing_that_only_a_kernel_understands(fast_study, name):
    for output in outputs_of(fast_study.work / "notebooks" / f"{name}.ipynb"):
        data = output.get("data", {})
        shown = data.get("text/html", data.get("text/markdown", data.get("text/plain")))
        told = re.sub(r"<[^>]+>", " ", "".join(shown or ()))
        assert not re.search(LEFT_OVERS, told), told[:500]
        if output["output_type"] == "execute_result":
            assert told.strip(), "an empty output"


@pytest.mark.parametrize(
    ("number", "word", "told"),
    [
        (
            "02",
            'METRICS=["gap", "confidently_wrong", "accuracy", "log_loss"]',
            "log_loss",
        ),
        ("04", "MARGIN=0.02", "margin 0.02"),
        ("04", 'TARGET={"modality": "ct"}', " CT"),
    ],
)
def test_a_metric_a_margin_or_a_subset_is_one_word(
    fast_study, tmp_path, number, word, told
):
    """As docs/own_data.md says: a word of the parameters cell, or of the command."""
    where = {"fast": True, "out": tmp_path / "out", "answers": fast_study.answers}
    done = Study("pocket", only=[number], parameters=[word], **where).run()
    assert not done.failed
    page = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")
    assert f"-p '{word}'" in page or f"-p {word}" in page
    (executed,) = (done.work / "notebooks").glob(f"{number}_*.ipynb")
    shown = executed.read_text() + (tmp_path / "out" / "results").joinpath(
        f"{executed.stem}.json"
    ).read_text(encoding="utf-8")
    assert told in shown


def test_recorded_answers_alone_are_enough(fast_study, tmp_path):
    """What the pocket study answered, taken as a file of unknown origin: no model at hand."""
    from medcal_nb.answers import export_answers

    answers = tmp_path / "answers.parquet"
    export_answers(fast_study.answers, answers)
    done = Study(
        "imported", answers=answers, fast=True, out=tmp_path / "out", only=["02", "04"]
    )
    done.run()
    assert done.steps["01_elicitation"] == "left out: no model is asked"
    assert not done.failed
    assert (tmp_path / "out" / "results" / "02_metrics.json").is_file()


@pytest.mark.parametrize(
    ("only", "parameters"),
    [
        # a model that was asked under one of the strategies that others were asked under
        (["02", "03"], ["MODEL=pocket-medical"]),
        (["02", "03"], ['STRATEGY="p_true"']),
        (["02"], ["N_BOOT=300"]),
        (["02"], ["N_SAMPLES=50", "N_BINS=5"]),
    ],
)
def test_other_parameters_work(fast_study, tmp_path, only, parameters):
    from medcal_nb.answers import export_answers

    answers = tmp_path / "answers.parquet"
    export_answers(fast_study.answers, answers)
    rows = pd.read_parquet(answers)
    few = (rows["model"] != "pocket-medical") | (rows["strategy"] == "p_true")
    rows[few].to_parquet(answers)
    where = {"answers": answers, "out": tmp_path / "out", "only": only}
    assert not Study("imported", parameters=parameters, fast=True, **where).run().failed


def test_a_cluster_of_folders_is_not_needed(fast_study):
    """Nothing was written outside the folder that was asked for."""
    executed = fast_study.work / "notebooks"
    assert {path.stem for path in executed.glob("*.ipynb")} == set(NOTEBOOKS)
    text = "".join(path.read_text() for path in executed.glob("*.ipynb"))
    assert os.fspath(ROOT / "figures") not in text
