"""Numbers that others published, recomputed from the recorded answers that come with us."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wilcoxon

from medcal_nb import measure
from medcal_nb.answers.recorded import load_readings, load_recorded, recorded_folder

PUBLISHED = recorded_folder() / "published"
TABLES = list(pd.read_csv(PUBLISHED / "vlcb.csv").itertuples())
# those of other names than theirs
VLCB = {"PTRUE": "p_true", "SELF_PROBING": "self_probing_recorded"}
VLCB |= {"II": "probe_internalinspector"}


def ece_without_zeros(confidence, correct):
    """Ten bins (lo, hi], the first without 0: an answer with confidence 0 adds no gap."""
    above = confidence > 0
    if not above.any():
        return 0.0
    inside = measure.ece(confidence[above], correct[above], n_bins=10)
    return inside * above.mean()


def pair(rows, column="confidence"):
    rows = rows.dropna(subset=[column, "correct"])
    return rows[column].to_numpy(float), rows["correct"].to_numpy(float)


@pytest.fixture(scope="module")
def vlcb():
    answers = load_recorded("vlcb", complete=True)
    columns = ["model", "strategy", "confidence", "correct"]
    return dict(list(answers[columns].groupby(["model", "strategy"])))


@pytest.mark.parametrize("row", TABLES, ids=lambda row: f"{row.method}-{row.model}")
def test_vlcb(vlcb, row):
    """Khanmohammadi et al., arXiv 2605.10893: 35 tables of five models and seven methods."""
    answers = vlcb[row.model, VLCB.get(row.method, f"probe_{row.method.lower()}")]
    if (row.method, row.model) == ("II", "deepseek-vl2"):
        # one of its 30,472 labels is not in the table: with 1 there all published numbers come out
        assert answers.dropna(subset="confidence")["correct"].isna().sum() == 1
        answers = answers.fillna({"correct": True})
    confidence, correct = pair(answers)
    assert len(confidence) == row.n
    brier = measure.brier_score(confidence, correct)
    assert brier == pytest.approx(row.brier, abs=1e-7)
    assert measure.auroc(confidence, correct) == pytest.approx(row.auroc, abs=5e-5)
    ece = ece_without_zeros(confidence, correct)
    # in 32 bits values of a probe became 0.6 itself, an edge of a bin: which lay above it is lost
    moved_up = np.where(confidence == 0.6, 0.6 + 1e-7, confidence)
    ends = sorted([ece, ece_without_zeros(moved_up, correct)])
    assert ends[0] - 1e-7 <= row.ece <= ends[1] + 1e-7
    is_exact = (row.method, row.model) != ("CCPS", "Qwen3-VL-8B-Instruct")
    assert ece == pytest.approx(row.ece, abs=1e-7 if is_exact else 7e-4)


def test_vlm_uncertainty_bench():
    """Kostumov et al., arXiv 2402.14418: softmax of six logits, 15 bins, to 5 decimals."""
    answers = load_recorded("vlm_uncertainty_bench")
    published = pd.read_csv(PUBLISHED / "vlm_uncertainty_bench.csv", index_col=0)
    parts = answers.groupby(["model", "dataset"])
    assert parts.ngroups == published.size == 52
    for (model, dataset), rows in parts:
        expected = published.loc[model, f"ece_{dataset}"]
        assert measure.ece(*pair(rows)) == pytest.approx(expected, abs=5e-6)


# name in the authors' table; in how many cells there is a number, and in how many 32 bits made no
# new ties (ten closed models give no probabilities)
TEXT = {
    "verbalized_cot": ("verbal_numerical_confidence", 1_162, 1_162),
    "decisiveness": ("verbal_linguistic_confidence", 1_162, 1_024),
    "token_probability": ("logit_perplexity_confidence", 1_022, 569),
}


@pytest.fixture(scope="module")
def mmlu():
    """Each published cell and its rows: those with an answer, a stated and a rated confidence.

    LLM-Calibration-Study: 84 LLMs on 14 categories of MMLU-Pro.
    """
    stored = pd.read_parquet(recorded_folder() / "mmlu_pro_text.parquet")
    both = ["verbalized_cot", "decisiveness"]
    counted = stored[stored["answered"]].dropna(subset=both)
    published = pd.read_csv(PUBLISHED / "mmlu_pro_text.csv", index_col=0)
    published.index = published.index.str.lower()
    cells = []
    for (model, category), rows in counted.groupby(["model", "category"]):
        cell = published.loc[model.lower()].filter(regex=f"^{category}_")
        cells.append((cell.rename(lambda name: name.split("_", 1)[1]), rows))
    n_published = published.filter(like="_sample_size").notna().to_numpy().sum()
    assert n_published == len(cells) == 1_162
    return cells


def test_mmlu_pro_sizes_and_accuracies(mmlu):
    for cell, rows in mmlu:
        assert len(rows) == cell["sample_size"]
        assert rows["correct"].mean() == pytest.approx(cell["accuracy"], abs=1e-6)


@pytest.mark.parametrize("strategy", TEXT)
def test_mmlu_pro_calibration_errors_and_discrimination(mmlu, strategy):
    """ECE in every cell; AUROC too, but for the ties that 32 bits made."""
    name, *counts = TEXT[strategy]
    cells = [(cell, *pair(rows, strategy)) for cell, rows in mmlu]
    cells = [cell for cell in cells if not np.isnan(cell[0][f"ece_{name}"])]
    equal = 0
    for cell, confidence, correct in cells:
        ece = ece_without_zeros(confidence, correct)
        assert ece == pytest.approx(cell[f"ece_{name}"], abs=1e-6)
        expected = cell[f"auroc_{name}"]
        auroc = measure.auroc(confidence, correct)
        assert auroc == pytest.approx(expected, abs=2.5e-3)
        equal += abs(auroc - expected) < 1e-6
    assert [len(cells), equal] == counts


def reader_averaged_auc(rows):
    """Mean AUC of readers, weighted by their pairs of a case with and one without cancer."""
    readers = [pair(of_reader, "score") for _, of_reader in rows.groupby("reader")]
    readers = [(score, y) for score, y in readers if 0 < y.sum() < len(y)]
    areas = [measure.auroc(score / 201, y) for score, y in readers]
    return np.average(areas, weights=[y.sum() * (1 - y).sum() for _, y in readers])


def test_viper_differences_of_modalities():
    """Gallas et al. 2019: the largest difference of AUC, film − digital, is .047."""
    answers = load_recorded("viper")
    parts = answers.groupby(["dataset", "modality"])
    areas = pd.Series({key: reader_averaged_auc(rows) for key, rows in parts}).unstack()
    differences = areas["film"] - areas["digital"]
    assert differences["challengeHighP"] == pytest.approx(0.047, abs=0.0005)
    # film was never worse, and no other difference comes near
    assert differences.drop("challengeHighP").between(0, 0.03).all()


def test_two_radiologists_with_and_without_ai():
    """Di Noto et al. 2025: reading time; aneurysms and cases without that were read right."""
    readings = load_readings("aneurysm_readers")
    assert readings.drop_duplicates("case")["n_aneurysms"].sum() == 47
    # the authors' script gives these pairs of counts with the two settings' names exchanged
    expected = {"junior": (3.2e-4, 39, 37, 43, 45), "senior": (3.4e-5, 41, 41, 62, 63)}
    for reader, of_reader in readings.groupby("reader"):
        wide = of_reader.pivot(index="case", columns="setting")
        seconds = wide["seconds"]
        test = wilcoxon(seconds["assisted"], seconds["unassisted"])
        hits = wide["true_positives"].sum()
        clear = wide["n_marks"][wide["n_aneurysms"]["assisted"] == 0].eq(0).sum()
        p, *counts = expected[reader]
        assert test.pvalue == pytest.approx(p, rel=0.02)
        assert [*hits, *clear] == counts
