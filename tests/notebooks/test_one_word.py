"""A metric, a margin or a subset is changed by one word: of the command, or of the notebook."""

import json

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from medcal_nb.answers import AnswerLog
from medcal_nb.study.profile import checkout
from medcal_nb.study.run import Study

pytestmark = [pytest.mark.notebooks, pytest.mark.slow]

#: Notebook, parameter, what it is changed from and to.
CHANGES = {
    "metric": ("02_metrics", "METRICS", '"brier",', '"brier", "log_loss",'),
    "subset": ("03_modalities", "DOMAIN", '"medical"', '"general"'),
    "margin": ("04_temperature_transfer", "MARGIN", "0.005", "0.3"),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Answers of two models about two kinds of general and of medical images."""
    rng = np.random.default_rng(0)
    kinds = [("general", ["photo", "drawing"]), ("medical", ["ct", "mri"])]
    rows = []
    for domain, modalities in kinds:
        for modality in modalities:
            # overconfident on medical images, and more so on CT
            over = {"ct": 0.3, "mri": 0.15}.get(modality, 0.05)
            for i in range(60):
                for model in ("one", "two"):
                    confidence = round(rng.uniform(0.5, 1), 2)
                    rows.append(
                        {
                            "model": model,
                            "dataset": f"{domain}-set",
                            "domain": domain,
                            "modality": modality,
                            "item_id": f"{modality}{i}",
                            "strategy": "verbalized",
                            "confidence": confidence,
                            "correct": rng.random() < confidence - over,
                        }
                    )
    path = tmp_path_factory.mktemp("answers") / "answers.sqlite"
    with AnswerLog(path) as log:
        log.append(rows)
    return path


@pytest.fixture(scope="module")
def study(answers, tmp_path_factory):
    """Run the three notebooks with parameters of a command; return the folder of results."""

    def run(only, *words):
        folder = tmp_path_factory.mktemp("study") / "out"
        where = {"answers": answers, "out": folder, "fast": True}
        done = Study("imported", only=only, parameters=words, **where).run()
        assert not done.failed
        return folder

    return run


@pytest.fixture(scope="module")
def before(study):
    return study(["02", "03", "04"])


def value_of(notebook, name, change=("", "")):
    """The value of a parameter as the notebook writes it, with one word changed."""
    for cell in nbformat.read(source(notebook), 4).cells:
        if "parameters" in cell.metadata.get("tags", []):
            names = {}
            exec(cell.source.replace(*change), names)
            return names[name]
    raise AssertionError(notebook)


def source(notebook):
    return checkout() / "notebooks" / f"{notebook}.ipynb"


def edited(notebook, change, answers, folder):
    """Execute a notebook whose parameters cell was edited by hand; return its folder."""
    content = nbformat.read(source(notebook), 4)
    (cell,) = (c for c in content.cells if "parameters" in c.metadata.get("tags", []))
    for old, new in (
        change,
        ('PROFILE = "recorded"', 'PROFILE = "imported"'),
        ('ANSWERS = ""', f"ANSWERS = {str(answers)!r}"),
        ('OUT_DIR = ""', f"OUT_DIR = {str(folder)!r}"),
        ("FAST = False", "FAST = True"),
    ):
        assert cell.source.count(old) == 1, old
        cell.source = cell.source.replace(old, new)
    NotebookClient(content, kernel_name="python3").execute()
    return folder


def results(folder, notebook):
    return json.loads((folder / "results" / f"{notebook}.json").read_text())["results"]


def findings(folder, notebook):
    return (folder / "results" / f"{notebook}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CHANGES)
def test_one_word_changes_table_figure_and_finding(
    name, before, study, answers, tmp_path
):
    notebook, parameter, old, new = CHANGES[name]
    changed = value_of(notebook, parameter, (old, new))
    told = json.dumps(changed)
    by_command = study([notebook[:2]], f"{parameter}={told}")
    by_hand = edited(notebook, (old, new), answers, tmp_path)
    was = results(before, notebook)
    for folder in (by_command, by_hand):
        now = results(folder, notebook)
        if name == "metric":
            assert "log_loss" in now["scores"][0]
            assert "log_loss" not in was["scores"][0]
            assert findings(folder, notebook) == findings(before, notebook)
        if name == "subset":
            assert {row["group"] for row in now["groups"]} == {"photo", "drawing"}
            assert {row["group"] for row in was["groups"]} == {"ct", "mri"}
            assert "largest on CT" in findings(before, notebook)
            assert "CT" not in findings(folder, notebook)
            drawn = (folder / "fig03_models.csv").read_text()
            assert "photo" in drawn
            assert "mri" not in drawn
        if name == "margin":
            assert {row["margin"] for row in now["transfer"]} == {0.3}
            judged = [row["conclusion"] for row in now["transfer"]]
            assert judged != [row["conclusion"] for row in was["transfer"]]
            assert "inferior" not in judged
            drawn = (folder / "fig04_cost.csv").read_text()
            assert drawn != (before / "fig04_cost.csv").read_text()
    # the two ways are one
    assert results(by_command, notebook) == results(by_hand, notebook)


def test_a_finding_says_the_margin(study):
    folder = study(["04"], "MARGIN=0.3")
    (executed,) = folder.rglob("04_temperature_transfer.ipynb")
    assert "(margin 0.3)" in executed.read_text(encoding="utf-8")
