"""Transfer of the recorded answers, computed again in plain numpy."""

import json
import re

import pandas as pd
from sklearn.metrics import roc_auc_score


def arrays(rows, clip=0.0):
    """Confidence and grade of the rows that have both."""
    rows = rows.dropna(subset=["confidence", "correct"])
    confidence = rows["confidence"].to_numpy().clip(clip, 1 - clip)
    return confidence, rows["correct"].to_numpy(float)


def test_p_true_on_pope_is_no_confidence(five):
    """A model repeats its yes or no; so the data card says, and no source of 04 holds it."""
    rows = five.query("dataset == 'POPE' and strategy == 'p_true'")
    for model, part in rows.groupby("model"):
        confidence, correct = arrays(part)
        echoes = not model.startswith("llava")
        assert (roc_auc_score(correct, confidence) < 0.4) == echoes
        low = confidence < 0.1
        assert (0.5 < low.mean() < 0.8) == echoes
        assert not echoes or 0.88 < correct[low].mean() < 0.98


def test_the_study_has_its_controls_its_constant_and_all_models(root):
    """Maps between general sets, too; no confidence at all; thresholds on medical images."""
    notebooks = " ".join(path.read_text() for path in root.glob("notebooks/*.ipynb"))
    assert min(map(int, re.findall(r"N_RESAMPLES = (\d+)", notebooks))) >= 1000
    results = root / "figures" / "results"
    tables = json.loads((results / "04_transfer.json").read_text())["tables"]
    rows = pd.DataFrame(tables["fig04_control"])
    controls = {"GQA → POPE", "POPE → GQA", "MMMU-Pro, other → MMMU-Pro, medical"}
    assert controls < set(rows["transfer"])
    lead = rows[rows["transfer"].str.endswith("→ GMAI-MMBench")]
    tables = json.loads((results / "06_deferral.json").read_text())["tables"]
    shift = pd.DataFrame(tables["fig06_shift"])
    assert shift.groupby("side")["model"].nunique().min() == 5
    assert shift["side"].str.contains("everyday").any()
    for models in (lead["model"], shift["model"], tables["fig06_cost"]):
        assert len(pd.DataFrame(models)["model"].unique()) == 5
