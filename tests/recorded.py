"""The recorded answers that are at hand as tables, in the layout in which they were published.

``python -m tests.recorded TABLES LOG`` makes the log from which ``figures/real`` (TABLES a folder
called vlcb; plain replies of others added) or ``figures/logits`` (any other) is drawn.
"""

import gzip
import json
import pickle
import sys
import tempfile
from pathlib import Path

import pandas as pd

from medcal_nb import fetch

COLUMNS = {
    "PTRUE": "ptrue", "SELF_PROBING": "self_probing", "PIK": "pik", "SAPLMA": "saplma",
    "II": "internalinspector", "CCPS": "ccps", "BICR": "bicr_seed42",
}  # fmt: skip
LOGITS = {"ptrue_logit_no": "logit_a", "ptrue_logit_yes": "logit_b"}
# enough to fit in 32 bits: what was 0.8 is 0.8 again, not 0.800000012
AS_WRITTEN = dict.fromkeys(COLUMNS.values(), str)


def publish_vlcb(tables, folder):
    """Write the files of labels; return their paths."""
    items = pd.read_parquet(tables / "items.parquet").set_index("item")
    paths = []
    for table in sorted(tables.glob("*.parquet")):
        if table.stem == "items":
            continue
        whole = pd.read_parquet(table).astype(AS_WRITTEN)
        whole = whole.astype(dict.fromkeys([*AS_WRITTEN, *LOGITS], float))
        whole["hash_id"] = whole["item"].map(items["hash_id"]).map(bytes.hex)
        for method, column in COLUMNS.items():
            labels = fetch._METHODS[method][1]
            named = {column: "confidence_score", labels: "ground_truth_correctness"}
            named |= {"dataset": "dataset"} if method != "BICR" else {}
            named |= LOGITS if method == "PTRUE" else {}
            rows = (
                whole[["hash_id", *named]]
                .rename(columns=named)
                .assign(sample_id="unknown")
            )
            rows = rows.dropna(subset="confidence_score").astype(
                {"ground_truth_correctness": int}
            )
            path = (
                f"results/SPARROW/{method}/{table.stem}/VLCB_test/test_labels.json.gz"
            )
            (folder / path).parent.mkdir(parents=True)
            text = json.dumps(rows.to_dict("records"))
            (folder / path).write_bytes(gzip.compress(text.encode(), 1))
            paths.append(path)
    return paths


def publish_bench(tables, folder):
    """Write the pickles of option logits; return their paths."""
    paths = []
    for table in sorted(tables.glob("*.parquet")):
        for model, rows in pd.read_parquet(table).groupby("model"):
            path = f"output/{model}/{table.name.replace('.parquet', '.pkl')}"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            logits = rows[fetch._LOGITS].to_numpy()
            rows = rows.rename(columns={"item_id": "id", "gold": "answer"})
            rows = rows[["id", "answer", "category"]].to_dict("records")
            rows = [row | {"logits": x} for row, x in zip(rows, logits, strict=True)]
            (folder / path).write_bytes(pickle.dumps(rows))
            paths.append(path)
    return paths


def fetch_recorded(tables, log, folder):
    """As `fetch_answers` would write them, from files in a folder; nothing is fetched."""
    folder = Path(folder)
    source = "vlcb" if tables.name == "vlcb" else "vlm-uncertainty-bench"
    publish = publish_vlcb if source == "vlcb" else publish_bench
    (folder / f"{source}.txt").write_text("\n".join(publish(tables, folder)))
    theirs, fetch._REGISTRIES = fetch._REGISTRIES, folder
    try:
        return fetch.fetch_answers(source, log, folder)
    finally:
        fetch._REGISTRIES = theirs


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        print(fetch_recorded(Path(sys.argv[1]), sys.argv[2], made))
