"""``medcal calibrate`` as people call it."""

import numpy as np
import pytest
from scipy.special import expit, logit

from medcal_nb.answers import AnswerLog, load_answers
from medcal_nb.measure import brier_score
from tests.cli.test_answers_cli import medcal


@pytest.fixture
def log(tmp_path, rng):
    rows = []
    for domain, n in (("general", 300), ("medical", 200)):
        z = rng.normal(0, 2, n)
        gold = np.where(
            rng.random(n) < expit(z / 2), "yes", "no"
        )  # stated twice too sharp
        p = expit(z)
        for i in range(n):
            answer = "yes" if p[i] > 0.5 else "no"
            shares = {"yes": float(p[i]), "no": float(1 - p[i])}
            key = {
                "model": "m", "dataset": domain, "domain": domain, "item_id": f"q{i}",
                "image_id": f"im{i // 2}", "question_type": "closed", "gold": gold[i],
                "answer": answer, "correct": bool(answer == gold[i]),
            }  # fmt: skip
            rows.append(key | {"strategy": "option_probability", "sample": 0,
                               "confidence": max(shares.values()),
                               "option_probabilities": shares})  # fmt: skip
            rows += [
                key | {"strategy": "self_consistency", "sample": k} for k in range(3)
            ]
    path = tmp_path / "answers.sqlite"
    with AnswerLog(path) as answers:
        answers.append(rows)
    return path


def test_fit_on_general_apply_to_medical_under_the_old_name_of_temperature(
    log, tmp_path
):
    out = tmp_path / "corrected.sqlite"
    rows = ["--fit", "domain=general", "--fit", "strategy=option_probability"]
    rows += ["--apply", "domain=medical"]
    done = medcal(
        "calibrate", log, "--method", "option_temperature", *rows, "--to", out
    )
    assert "200 of 200 confidences corrected" in done.stdout
    assert (
        "200 rows have no map for their model and elicitation method and are left out"
        in done.stderr
    )
    corrected = load_answers(out)
    assert set(corrected.strategy) == {"option_probability+temperature"}
    assert set(corrected.domain) == {"medical"}
    fitted = logit(corrected.confidence_raw.astype(float)) / logit(corrected.confidence)
    np.testing.assert_allclose(fitted, fitted[0], rtol=1e-6)  # one temperature for all
    assert fitted[0] == pytest.approx(2, rel=0.3)
    right, raw = corrected.correct.astype(float), corrected.confidence_raw.astype(float)
    assert brier_score(corrected.confidence, right) < brier_score(raw, right)
    assert "200" in medcal("score", out, "--resamples", 20).stdout


def test_a_sampled_strategy_is_judged_before_it_is_corrected(log, tmp_path):
    out = tmp_path / "out.sqlite"
    rows = ["--fit", "domain=general", "--fit", "strategy=self_consistency"]
    rows += ["--apply", "domain=medical"]
    medcal("calibrate", log, "--method", "histogram", *rows, "--to", out)
    table = load_answers(out)
    assert len(table) == 200  # one graded answer of three samples
    assert (table.confidence_raw == 1).all()  # all three agreed
    general = load_answers(log)
    general = general[
        (general.domain == "general") & (general.strategy == "self_consistency")
    ]
    assert table.confidence.unique() == pytest.approx(
        [general.correct.astype(float).mean()]
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--fit", "domain=general"], "were used to fit"),
        ([], "give --fit COL=VALUE"),
        (
            ["--fit", "domain=general", "--method", "magic"],
            "method must be one of 'temperature', ",
        ),
        (
            ["--fit", "planet=earth"],
            "--fit planet=earth: write COL=VALUE, COL of model,",
        ),
        (["--fit", "domain=lunar"], "no rows with --fit domain=lunar; domain holds "),
        (["--fit", "domain"], "write COL=VALUE"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(log, tmp_path, arguments, told):
    out = tmp_path / "out.sqlite"
    done = medcal("calibrate", log, *arguments, "--to", out, ok=False)
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not out.exists()


def test_answers_go_to_a_log(log, tmp_path):
    done = medcal(
        "calibrate",
        log,
        "--fit",
        "domain=general",
        "--to",
        tmp_path / "c.csv",
        ok=False,
    )
    assert done.returncode == 2
    assert "end its name with .sqlite (`medcal export`" in done.stderr
    assert not (tmp_path / "c.csv").exists()


def test_one_data_set_is_cross_fitted_by_image(log, tmp_path):
    out = tmp_path / "c.sqlite"
    rows = ["--apply", "domain=general", "--apply", "strategy=option_probability"]
    done = medcal("calibrate", log, *rows, "--cross-fit", "5", "--to", out)
    assert "300 of 300 confidences corrected" in done.stdout
    corrected = load_answers(out)
    assert set(corrected.strategy) == {"option_probability+platt"}
    y = corrected.correct.astype(float)
    raw = corrected.confidence_raw.astype(float)
    assert brier_score(corrected.confidence, y) < brier_score(raw, y)
    # five maps, each of the images of the other parts: equal confidences differ by part
    assert corrected.groupby(raw.round(1))["confidence"].nunique().max() > 1
    both = medcal(
        "calibrate",
        log,
        "--cross-fit",
        "5",
        "--fit",
        "a=b",
        "--to",
        tmp_path / "d.db",
        ok=False,
    )
    neither = medcal("calibrate", log, "--to", tmp_path / "d.db", ok=False)
    assert both.returncode == neither.returncode == 2
    assert "--cross-fit K" in neither.stderr


def test_an_empty_log_that_a_full_disk_has_left_is_filled(log, tmp_path):
    out = tmp_path / "c.sqlite"
    AnswerLog(out).close()
    rows = ["--fit", "domain=general", "--apply", "domain=medical"]
    done = medcal("calibrate", log, *rows, "--to", out)
    assert "confidences corrected" in done.stdout
    done = medcal("calibrate", log, *rows, "--to", out, ok=False)
    assert done.returncode == 2
    assert "never replaced" in done.stderr


@pytest.mark.parametrize(
    ("prefix", "shift", "is_told"),
    [("img", 0.0, True), ("img", 0.1, True), ("", 0.0, True), ("", 0.1, False)],
)
def test_the_same_images_under_another_name_of_their_data_set_are_told(
    tmp_path, rng, prefix, shift, is_told
):
    path = tmp_path / "a.sqlite"
    rows = []
    for k in range(60):
        answer = {
            "model": "m",
            "strategy": "s",
            "item_id": f"{prefix}{k}",
            "image_id": f"{prefix}{k}",
            "correct": bool(rng.random() < 0.6),
        }
        sure = float(rng.uniform(0.3, 0.8))
        rows.append(answer | {"dataset": "one", "confidence": sure})
        rows.append(answer | {"dataset": "two", "confidence": sure + shift})
    with AnswerLog(path) as log:
        log.append(rows)
    sides = ["--fit", "dataset=one", "--apply", "dataset=two"]
    done = medcal("calibrate", path, *sides, "--to", tmp_path / "c.sqlite")
    assert done.returncode == 0
    assert ("images of source and target have the same ids" in done.stderr) == is_told
