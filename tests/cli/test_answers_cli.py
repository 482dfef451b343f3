"""``medcal import``, ``score``, ``export`` and ``merge`` as people call them."""

import contextlib
import io
import json
import subprocess
import sys
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from medcal_nb.answers import AnswerLog, load_answers
from medcal_nb.answers.recorded import recorded_folder
from medcal_nb.cli import main
from medcal_nb.cli._score import METRICS, MORE_METRICS
from medcal_nb.measure import ece

# An interval of the ECE only where there is one that holds its level.
LOGITS = ",".join(f"logit_{c}" for c in "ABCDEF")


def medcal(*arguments, ok=True, process=False):
    """The command line in this process, or as people start it."""
    arguments = [str(a) for a in arguments]
    if process:
        command = [sys.executable, "-m", "medcal_nb.cli", *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
    else:
        out, err = io.StringIO(), io.StringIO()
        code = 0
        with (
            mock.patch.object(sys, "argv", ["medcal", *arguments]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                main()
            except SystemExit as exit_:
                code = exit_.code or 0
        done = subprocess.CompletedProcess(
            arguments, code, out.getvalue(), err.getvalue()
        )
    if ok:
        assert done.returncode == 0, done.stderr
    return done


def scores(log, *arguments):
    return pd.read_csv(
        io.StringIO(medcal("score", log, "--format", "csv", *arguments).stdout)
    )


@pytest.fixture
def answers_csv(tmp_path, rng):
    n = 60
    confidence = rng.uniform(0.3, 1, n).round(3)
    frame = pd.DataFrame(
        {
            "item_id": [f"q{i}" for i in range(n)],
            "model": np.where(np.arange(n) % 2, "b", "a"),
            "confidence": confidence,
            "correct": rng.random(n) < confidence,
            "site": np.where(np.arange(n) % 3, "east", "west"),
        }
    )
    path = tmp_path / "answers.csv"
    frame.to_csv(path, index=False)
    return path, frame


def test_import_then_score_gives_the_numbers_of_the_definitions(answers_csv, tmp_path):
    path, frame = answers_csv
    log = tmp_path / "answers.sqlite"
    options = ("--dataset", "d", "--domain", "medical", "--to", log)
    done = medcal("import", path, *options, process=True)
    assert "60 answers" in done.stdout
    table = scores(log)
    for name in METRICS:
        assert {name, f"{name}_low", f"{name}_high"} <= {*table.columns}
    assert not {*MORE_METRICS} & {*table.columns}
    every = scores(log, "--all", "--resamples", 50)
    assert {*METRICS, *MORE_METRICS, "yield_at_20_threshold"} <= {*every.columns}
    assert {"observed_expected", "e50", "e90", "clip"} <= {*every.columns}
    assert table["model"].tolist() == ["a", "b"]
    assert table["dataset"].tolist() == ["d", "d"]
    part = frame[frame["model"] == "a"]
    c, y = part["confidence"].to_numpy(), part["correct"].to_numpy(float)
    cell = np.clip(np.ceil(c * 15).astype(int) - 1, 0, 14)
    gaps = [abs(c[cell == k].sum() - y[cell == k].sum()) for k in range(15)]
    row = table.iloc[0]
    assert row["n"] == 30
    assert row["n_missing"] == 0
    assert row["accuracy"] == pytest.approx(y.mean())
    assert row["mean_confidence"] == pytest.approx(c.mean())
    assert row["brier"] == pytest.approx(((c - y) ** 2).mean())
    assert row["ece"] == pytest.approx(sum(gaps) / 30)
    assert row["brier_low"] <= row["brier"] <= row["brier_high"]


def test_score_by_any_column(answers_csv, tmp_path):
    path, frame = answers_csv
    log = tmp_path / "answers.sqlite"
    medcal("import", path, "--to", log)
    table = scores(log, "--by", "site")
    assert table["site"].tolist() == ["east", "west"]
    assert table["n"].tolist() == frame.groupby("site").size().tolist()
    told = medcal("score", log, "--by", "site").stdout
    for word in (
        "mean confidence, %",
        "calibration slope",
        "Brier skill score",
        "AUROC",
    ):
        assert word in told
    assert f"{table['brier'][0]:.3f} [{table['brier_low'][0]:.3f}, " in told
    assert f"with clip {table['clip'].min():g}" in told
    assert scores(log, "--by", "site").equals(table)


def test_score_chooses_a_strategy(tmp_path, answers_csv):
    log = tmp_path / "answers.sqlite"
    medcal("import", answers_csv[0], "--to", log)
    told = medcal(
        "score", log, "--choose", "--cost-check", 0.2, "--by", "dataset"
    ).stdout
    models = [line.split(": ")[0] for line in told.splitlines()]
    assert models == ["a, answers", "b, answers"]


def test_undefined_numbers_are_empty_and_the_reason_is_said(tmp_path):
    path = tmp_path / "right.csv"
    path.write_text("item_id,confidence,correct\n1,0.9,1\n2,0.8,1\n")
    log = tmp_path / "right.sqlite"
    medcal("import", path, "--model", "m", "--to", log)
    done = medcal("score", log, "--format", "csv")
    row = pd.read_csv(io.StringIO(done.stdout)).iloc[0]
    assert np.isnan(row["auroc"])
    assert row["accuracy"] == 1.0
    assert "nan" not in done.stdout.lower()
    assert "model=m" in done.stderr
    assert "undefined: all answers are correct or all are wrong" in done.stderr


def test_intervals_resample_images_where_they_are_named(tmp_path, rng):
    n = 200
    image = np.arange(n) // 20
    right = (image % 2).astype(int)
    frame = pd.DataFrame(
        {"item_id": range(n), "confidence": 0.7, "correct": right, "pic": image}
    )
    frame.to_csv(tmp_path / "a.csv", index=False)
    base = ("import", tmp_path / "a.csv", "--model", "m", "--dataset", "d")
    medcal(*base, "--to", tmp_path / "rows.sqlite")
    medcal(*base, "--image", "pic", "--to", tmp_path / "images.sqlite")
    rows, images = scores(tmp_path / "rows.sqlite"), scores(tmp_path / "images.sqlite")
    assert rows["ece"].equals(images["ece"])
    width = [float((t["brier_high"] - t["brier_low"]).iloc[0]) for t in (rows, images)]
    assert width[1] > 2 * width[0]


def test_groups_over_several_models_resample_items(tmp_path):
    frame = pd.DataFrame(
        [
            {"item_id": i, "model": m, "confidence": 0.6, "correct": i % 2}
            for i in range(60)
            for m in "abcdefgh"
        ]
    )
    frame.to_csv(tmp_path / "a.csv", index=False)
    medcal(
        "import", tmp_path / "a.csv", "--dataset", "d", "--to", tmp_path / "a.sqlite"
    )
    together = scores(tmp_path / "a.sqlite", "--by", "dataset")
    alone = scores(tmp_path / "a.sqlite").iloc[0]
    wide = float(together["brier_high"].iloc[0] - together["brier_low"].iloc[0])
    assert wide == pytest.approx(alone["brier_high"] - alone["brier_low"], rel=0.15)


def test_export_and_import_again(answers_csv, tmp_path):
    path, _ = answers_csv
    log = tmp_path / "a.sqlite"
    medcal("import", path, "--to", log)
    for kind in ("csv", "parquet"):
        file = tmp_path / f"out.{kind}"
        medcal("export", log, "--to", file)
        again = tmp_path / f"{kind}.sqlite"
        medcal("import", file, "--to", again)
        with (
            AnswerLog(log, read_only=True) as one,
            AnswerLog(again, read_only=True) as two,
        ):
            pd.testing.assert_frame_equal(one.read(), two.read())
    medcal("export", log, "--to", tmp_path / "out.csv", "--force", "--safe-csv")


def test_merge_is_safe_to_repeat_and_reports_conflicts(tmp_path):
    for name, confidence in (("a", 0.5), ("b", 0.6), ("c", 0.9)):
        item = "1" if name != "b" else "2"
        (tmp_path / f"{name}.csv").write_text(
            f"item_id,model,dataset,confidence,correct\n{item},m,d,{confidence},1\n"
        )
        medcal("import", tmp_path / f"{name}.csv", "--to", tmp_path / f"{name}.sqlite")
    to = tmp_path / "all.sqlite"
    a, b, c = (tmp_path / f"{n}.sqlite" for n in "abc")
    assert "2 answers added" in medcal("merge", a, b, "--to", to).stdout
    assert "0 answers added" in medcal("merge", a, b, "--to", to).stdout
    clash = medcal("merge", c, "--to", to, ok=False)
    assert clash.returncode == 2
    assert "item_id=1" in clash.stderr
    medcal("merge", c, "--to", to, "--if-exists", "replace")
    with AnswerLog(to, read_only=True) as log:
        assert log.read()["confidence"].tolist() == [0.9, 0.6]


def test_errors_are_one_line_with_status_2(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("item_id,confidence,correct\n1,85,1\n")
    done = medcal("import", path, "--to", tmp_path / "x.sqlite", ok=False, process=True)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("medcal: error: ")
    assert "--percent" in done.stderr
    assert not (tmp_path / "x.sqlite").exists()
    assert medcal("score", tmp_path / "no.sqlite", ok=False).returncode == 2


@pytest.mark.parametrize("name", ["mmbench", "oodcv"])
def test_published_calibration_errors(tmp_path, name):
    logits = pd.read_parquet(recorded_folder() / "vlm_uncertainty_bench.parquet")
    logits[logits["dataset"] == name].to_parquet(tmp_path / f"{name}.parquet")
    log = tmp_path / f"{name}.sqlite"
    options = ("--domain", "general", "--logits", LOGITS, "--gold", "gold")
    medcal(
        *("import", tmp_path / f"{name}.parquet", *options),
        *("--model", "model", "--item", "item", "--to", log),
    )
    scored = scores(log, "--resamples", "20").set_index("model")["ece"]
    published = pd.read_csv(
        recorded_folder() / "published" / "vlm_uncertainty_bench.csv",
        index_col="model_name",
    )[f"ece_{name}"]
    assert len(scored) == len(published) == 26
    assert (scored.loc[published.index] - published).abs().max() < 5e-6


@pytest.mark.real
@pytest.mark.parametrize("pattern", ["*100q*.json", "*250q*.json"])
def test_stored_numbers_of_a_text_study(real_dir, tmp_path, pattern):
    (path,) = (real_dir / "medqa_text").glob(pattern)
    stored = json.loads(path.read_text())["configurations"]
    frames = [
        pd.DataFrame(run["results"]).assign(strategy=name)
        for name, run in stored.items()
    ]
    pd.concat(frames).to_parquet(tmp_path / "text.parquet")
    log = tmp_path / "text.sqlite"
    medcal(
        *(
            "import",
            tmp_path / "text.parquet",
            "--item",
            "question_idx",
            "--allow-missing",
        ),
        *("--correct", "is_correct", "--domain", "medical", "--to", log),
    )
    found = scores(log, "--resamples", "20").set_index("strategy")
    answers = load_answers(log)
    for name, numbers in stored.items():
        for column in ("accuracy", "auroc"):
            assert found.loc[name, column] == pytest.approx(numbers[column], abs=1e-12)
        # a stated 0.8 lies in [0.8, 1] there and in (0.6, 0.8] here: bins of the mirrored pair
        rows = answers[answers["strategy"] == name].dropna(
            subset=["confidence", "correct"]
        )
        wrong, doubt = (
            1 - rows["correct"].astype(float),
            1 - rows["confidence"].astype(float),
        )
        assert ece(doubt, wrong, n_bins=5) == pytest.approx(numbers["ece"], abs=1e-12)


def test_a_log_is_not_named_like_a_table(answers_csv, tmp_path):
    path, _ = answers_csv
    for command in (
        ["import", path, "--to", tmp_path / "out.csv"],
        ["merge", tmp_path / "a.sqlite", "--to", tmp_path / "out.parquet"],
        ["ask", "--model", "m", "--dataset", "d", "--to", tmp_path / "out.csv"],
    ):
        done = medcal(*command, ok=False)
        assert done.returncode == 2
        assert "end its name with .sqlite" in done.stderr
    assert not (tmp_path / "out.csv").exists()


def test_a_data_set_is_a_column_or_a_name(answers_csv, tmp_path):
    path, frame = answers_csv
    medcal("import", path, "--dataset", "site", "--to", tmp_path / "a.sqlite")
    assert set(load_answers(tmp_path / "a.sqlite")["dataset"]) == set(frame["site"])
    medcal("import", path, "--dataset", "mine", "--to", tmp_path / "b.sqlite")
    assert set(load_answers(tmp_path / "b.sqlite")["dataset"]) == {"mine"}


@pytest.mark.parametrize("value", ["inf", "nan", "-inf"])
@pytest.mark.parametrize(
    "words",
    [
        ["ask", "--temperature"],
        ["ask", "--timeout"],
        ["score", "a.sqlite", "--cost-check"],
        ["score", "a.sqlite", "--max-risk"],
    ],
    ids=lambda words: words[-1],
)
def test_numbers_that_are_not_finite_are_refused(words, value):
    done = medcal(*words, value, ok=False)
    assert done.returncode == 2
    assert "is no finite number" in done.stderr


def test_what_steers_a_terminal_does_not_pass_through_a_pipe(tmp_path):
    rows = [{"model": "m\x1b[31m", "dataset": "d", "item_id": str(i), "strategy": "s",
             "confidence": 0.5, "correct": i % 2 == 0} for i in range(8)]  # fmt: skip
    with AnswerLog(tmp_path / "a.sqlite") as log:
        log.append(rows)
    done = medcal("score", tmp_path / "a.sqlite", "--format", "csv", process=True)
    assert "\x1b" not in done.stdout
    assert "m\ufffd[31m" in done.stdout
