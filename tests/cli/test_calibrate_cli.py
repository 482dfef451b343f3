"""``medcal calibrate`` as people call it."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import expit

from medcal_nb.answers import AnswerLog, load_answers
from medcal_nb.cli import main


@pytest.fixture
def medcal(monkeypatch, capsys):
    """Run the command line in this process."""

    def run(*arguments, ok=True):
        monkeypatch.setattr(sys, "argv", ["medcal", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        out, err = capsys.readouterr()
        if ok:
            assert code == 0, err
        return SimpleNamespace(returncode=code, stdout=out, stderr=err)

    return run


@pytest.fixture
def log(tmp_path, rng):
    rows = []
    for domain, n in (("general", 300), ("medical", 200)):
        z = rng.normal(0, 2, n)
        gold = np.where(rng.random(n) < expit(z / 2), "yes", "no")  # stated twice too sharp
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
            rows += [key | {"strategy": "self_consistency", "sample": k} for k in range(3)]
    path = tmp_path / "answers.sqlite"
    with AnswerLog(path) as answers:
        answers.append(rows)
    return path


def test_fit_on_general_apply_to_medical_under_the_old_name_of_temperature(medcal, log, tmp_path):
    out, maps = tmp_path / "corrected.sqlite", tmp_path / "map.json"
    done = medcal("calibrate", log, "--method", "option_temperature", "--fit", "domain=general",
                  "--fit", "strategy=option_probability", "--apply", "domain=medical",
                  "--to", out, "--map", maps)  # fmt: skip
    assert "200 of 200 confidences corrected" in done.stdout
    assert "200 rows have no map for their model and strategy and are left out" in done.stderr
    corrected = load_answers(out)
    assert set(corrected.strategy) == {"option_probability+temperature"}
    assert set(corrected.domain) == {"medical"}
    saved = json.loads(maps.read_text())
    fitted = saved["maps"][0]["map"]["params"]["temperature"]
    assert fitted == pytest.approx(2, rel=0.3)
    raw = corrected.confidence_raw.astype(float)
    np.testing.assert_allclose(
        corrected.confidence, expit(np.log(raw / (1 - raw)) / fitted), atol=1e-9
    )
    scored = medcal("score", out, "--format", "json", "--resamples", 20)
    assert json.loads(scored.stdout)[0]["n"] == 200
    again = tmp_path / "again.sqlite"
    medcal("calibrate", log, "--use", maps, "--apply", "domain=medical", "--to", again)
    np.testing.assert_allclose(load_answers(again).confidence, corrected.confidence)


def test_a_sampled_strategy_is_judged_before_it_is_corrected(medcal, log, tmp_path):
    out = tmp_path / "out.sqlite"
    rows = ["--fit", "domain=general", "--fit", "strategy=self_consistency"]
    rows += ["--apply", "domain=medical"]
    medcal("calibrate", log, "--method", "histogram", *rows, "--to", out)
    table = load_answers(out)
    assert len(table) == 200  # one graded answer of three samples
    assert (table.confidence_raw == 1).all()  # all three agreed
    general = load_answers(log)
    general = general[(general.domain == "general") & (general.strategy == "self_consistency")]
    assert table.confidence.unique() == pytest.approx([general.correct.astype(float).mean()])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--fit", "domain=general"], "were used to fit"),
        ([], "give one of --fit"),
        (
            ["--fit", "domain=general", "--method", "magic"],
            "method must be one of 'temperature', ",
        ),
        (["--fit", "domain=general", "--use", "x.json"], "give one of --fit"),
        (["--fit", "planet=earth"], "--fit planet=earth: write COL=VALUE, COL of model,"),
        (["--fit", "domain=lunar"], "no rows with --fit domain=lunar"),
        (["--fit", "domain"], "write COL=VALUE"),
        (["--use", "nowhere.json"], "nowhere.json"),
        (["--use", "x.json", "--map", "y.json"], "--map needs a file of its own, and --fit"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(medcal, log, tmp_path, arguments, told):
    out = tmp_path / "out.sqlite"
    done = medcal("calibrate", log, *arguments, "--to", out, ok=False)
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not out.exists()


def maps(**changes):
    fitted = {
        "format": "medcal-recalibrator/2", "name": "temperature", "params": {"temperature": 2.0},
        "n_fit": 9, "clip": 0.001, "note": "", "fitted_on": [],
    } | changes  # fmt: skip
    group = {"model": "m", "strategy": "option_probability"}
    return {"format": "medcal-maps/2", "by": list(group), "fitted_on": "",
            "maps": [{"group": group, "map": fitted}]}  # fmt: skip


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (maps(params={"temperature": -1.0}), "a temperature map are out of range"),
        (maps(params={"temperature": float("nan")}), "a temperature map are out of range"),
        (maps(params={"temperature": 0}), "a temperature map are out of range"),
        (maps(params={"temperature": "two"}), "map.json: "),
        (maps(params=5), "map.json: "),
        (maps(name="magic"), "not a sound map: 'magic'"),
        ({"format": "medcal-maps/2", "by": []}, "not a file of maps"),
        ([1], "not a file of maps"),
    ],
)
def test_maps_of_another_form_are_refused_by_name(medcal, log, tmp_path, body, told):
    path = tmp_path / "map.json"
    path.write_text(json.dumps(body))
    out = tmp_path / "out.sqlite"
    done = medcal("calibrate", log, "--use", path, "--to", out, ok=False)
    assert done.returncode == 2
    assert told in done.stderr
    assert "map.json: " in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not out.exists()


def test_the_map_serves_and_parameters_come_first(medcal, log, tmp_path):
    from medcal_nb.measure import brier_score

    out, path = tmp_path / "c.sqlite", tmp_path / "map.json"
    rows = ["--fit", "domain=general", "--fit", "strategy=option_probability"]
    rows += ["--apply", "domain=medical", "--apply", "strategy=option_probability"]
    medcal("calibrate", log, *rows, "--to", out, "--map", path)
    table = load_answers(out)
    y, after = table.correct.to_numpy(float), table.confidence.to_numpy(float)
    assert brier_score(after, y) < brier_score(table.confidence_raw.to_numpy(float), y)
    keys = list(json.loads(path.read_text())["maps"][0]["map"])
    assert (keys[:2], keys[-1]) == (["name", "params"], "fitted_on")


def test_answers_go_to_a_log(medcal, log, tmp_path):
    done = medcal("calibrate", log, "--fit", "domain=general", "--to", tmp_path / "c.csv", ok=False)
    assert done.returncode == 2
    assert "c.csv: name a log, .sqlite; `medcal export`" in done.stderr
    assert not (tmp_path / "c.csv").exists()


def test_an_existing_file_is_not_overwritten(medcal, log):
    done = medcal("calibrate", log, "--fit", "domain=general", "--to", log, ok=False)
    assert done.returncode == 2
    assert "is what would be read" in done.stderr


@pytest.mark.slow
def test_the_installed_command_knows_it():
    done = subprocess.run(
        [sys.executable, "-m", "medcal_nb.cli", "calibrate", "--help"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "--map" in done.stdout
