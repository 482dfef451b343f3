"""README and its findings in full say what is so; its code runs, and it names every chapter."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from medcal_nb import correct, measure
from medcal_nb.answers import load_answers
from medcal_nb.labels import label_of
from medcal_nb.notebook import published

ROOT = Path(__file__).resolve().parents[1]
#: chapters that the table of the models is of
CHAPTERS = ("02_metrics", "06_deferral", "07_teaching")
RESULTS = str(ROOT / "figures" / "results")
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLINICIANS = (ROOT / "docs" / "clinicians.md").read_text(encoding="utf-8")
IN_FULL = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
#: a number, its sign aside; none that is a part of a name, as in LLaVA-1.6-13B
NUMBER = re.compile(r"(?<![\w.-])\d+(?:[.,]\d+)*(?![\w-])")

#: sentences of the findings in full that tests of their own hold against tables
TESTED_APART = re.compile(
    r"with and without one [^(]*|\(463 answers[^)]*|P\(True\) let most pass .*|"
    r"in the 14 subjects where [^;[]*|By the exact number: [^([]*"
)


@pytest.mark.parametrize("page", ["README", "in full"])
def test_numbers_of_the_findings_are_published(page):
    text = README.split("<!-- findings -->")[1].split("<!-- /findings -->")[0]
    results = (ROOT / "figures" / "results").glob("*.json")
    of_chapters = str(
        [json.loads(path.read_text("utf-8"))["findings"] for path in results]
    )
    if page == "in full":
        text = findings_in_full()
        # what the files lack, and slopes where a file's own numbers fill it
        of_chapters += (ROOT / "data" / "README.md").read_text(encoding="utf-8")
        filled = published("02_metrics", RESULTS)["tables"]["trends_recorded"]
        of_chapters += str([f"{slope:.2f}" for slope in filled["accuracy_slope"]])
        for number in set(NUMBER.findall(" ".join(TESTED_APART.findall(text)))):
            of_chapters += f" {number}"
    else:
        # the findings in full, of which each number is held against the chapters as well
        of_chapters += models_table() + findings_in_full()
    text = re.sub(r"(?m)^\d+\. |^## .*|\[[^]]*\]\([^)]*\)", "", text)  # a list's, links
    numbers = NUMBER.findall(text)
    assert len(numbers) > 10
    assert set(numbers) - set(NUMBER.findall(of_chapters)) == set()


def findings_in_full():
    return IN_FULL.split("\n## Finding 1")[1].split("\n## Limits")[0]


def models_table():
    """The table of the five models in the findings in full, which the next test recomputes."""
    return "\n".join(re.findall(r"(?m)^\| (?:\S*-\d+B|DeepSeek-VL2) \|.*$", IN_FULL))


def test_what_wrong_grades_could_change_follows_from_the_results():
    text = README.split("**What limits the findings**")[1].split("\n## ")[0]
    sure = published("07_teaching", RESULTS)["tables"]["fig07_models"]
    best = sure[sure["questions"].str.startswith("GMAI")]["accuracy"].max()
    assert f"take {100 * (0.9 - best):.0f} wrong grades in 100" in text
    passes = published("06_deferral", RESULTS)["tables"]["one_method"]
    room = 100 * (0.2 - passes.loc[passes["certified"].gt(0.5), "risk"])
    wrong = f"{room.min():.0f} to {room.max():.0f} wrong grades in 100 of the answers"
    assert wrong in text


def test_what_is_right_at_a_number_is_chapter_2s():
    table = published("02_metrics", RESULTS)["tables"]["fig02_calibration"]
    rows = {
        (label_of(row.model), f"{100 * row.confidence:.0f}"): row
        for row in table.itertuples()
    }
    (text,) = re.findall(r"By the exact number: (.*?) \(\[02]", IN_FULL)
    n_numbers = 0
    for part in text.split(". "):
        model, _, shares = part.partition(", ")
        for stated, right, n in re.findall(r"(\d+) %: (\d+) % of ([\d,]+)", shares):
            row = rows[(model, stated)]
            assert (f"{100 * row.accuracy:.0f}", f"{row.n:,}") == (right, n), part
            n_numbers += 1
    assert n_numbers == 9
    best = [
        f"{100 * rows[('InternVL3.5-14B', at)].accuracy:.0f}" for at in ("95", "85")
    ]
    worst = f"{100 * rows[('LLaVA-1.6-13B', '100')].accuracy:.0f}"
    text = f"{best[1]} % were right where it said 85 %, and {best[0]} % where it said 95 %."
    assert text in README
    assert f"answers called 100 % sure {worst} % were right" in README
    zeros = table[table["confidence"].eq(0) & table["model"].str.startswith("Qwen")]
    n, accuracy = zeros[["n", "accuracy"]].iloc[0]
    assert f"called {n:.0f} answers 0 % sure, of which {100 * accuracy:.0f} %" in README


def test_how_much_more_is_right_at_90_than_in_all_follows_from_the_chapters():
    sure = published("07_teaching", RESULTS)["tables"]["fig07_models"]
    sure = sure[sure["questions"].str.startswith("GMAI")].set_index("model")
    scores = published("02_metrics", RESULTS)["tables"]["scores"].set_index("model")
    more = 100 * (sure["accuracy"] - scores["accuracy"])
    assert f"That is at most {more.max():.0f} points more" in README


def test_what_a_threshold_saves_is_what_passes_less_its_errors():
    passes = published("06_deferral", RESULTS)["tables"]["one_method"]
    passes = passes[passes["certified"] > 0.5]
    saved = 100 * passes["coverage"] * (1 - 5 * passes["risk"])
    text = f"{saved.min():.0f} to {saved.max():.0f} checks in 100 answers"
    least, most = 100 * passes["risk"].agg(["min", "max"])
    words = " ".join(CLINICIANS.split())
    assert (
        f"of whose answers {least:.0f} to {most:.0f} % are wrong, save {text}" in words
    )
    assert text in IN_FULL
    low, high = (100 * passes["n_graded"] / saved).round(-3).agg(["min", "max"])
    assert f"repaid after {low:,.0f} to {high:,.0f} answers" in words
    assert f"costs more than {100 / least:.0f} checks they save nothing" in words


def test_an_isotonic_map_saves_what_a_logistic_one_does_not():
    answers = load_answers("vlcb").query("dataset == 'GMAI-MMBench'")
    own = answers.query(
        "strategy == 'self_probing' and model.str.startswith('InternVL')"
    )
    n = own["correct"].notna().sum()
    saved = {}
    for method in ("platt", "isotonic"):
        rng = np.random.default_rng(0)
        mapped = correct.corrected(None, own, method=method, rng=rng)
        right = mapped.loc[mapped["confidence"] >= 0.8, "correct"].astype(bool)
        saved[method] = (len(right) - 5 * (~right).sum()) / n
    assert f"and saves {saved['isotonic']:.2f} by the stated number, too" in IN_FULL
    assert saved["platt"] < saved["isotonic"] / 3
    sure = own.loc[own["confidence"] == 0.95, "correct"].astype(bool)
    text = f"calls 95 % sure below 80 %, though {100 * sure.mean():.0f} % of them are right"
    assert text in IN_FULL


def test_silence_is_told_as_chapter_6_found_it():
    shares = published("06_deferral", RESULTS)["tables"]["stated"]
    shares = shares[shares["share_missing"] > 0.01].set_index("model") * 100
    pairs = [
        f"{row.accuracy:.0f} and {row.accuracy_missing:.0f} %"
        for row in shares.itertuples()
    ]
    (text,) = re.findall(r"with and without one ([^(]*)", IN_FULL)
    assert sorted(re.findall(r"\d+ and \d+ %", text)) == sorted(pairs)


def test_what_missing_numbers_could_change_is_said_as_in_full():
    filled, left_out = re.findall(
        r"rise by (\S+) points with each point of accuracy; as it is, it rises by (\S+)",
        README,
    )[0]
    assert f"is taken as 50 %, the slope is {filled} (" in IN_FULL
    assert f"(1 would keep pace): {left_out} (95 % CI" in IN_FULL


def test_the_slope_where_most_answers_have_a_number_is_chapter_4s():
    slopes = published("04_transfer", RESULTS)["tables"]["finding_1"]
    numbers = slopes["number"].eq("confidence")
    (row,) = slopes[numbers & slopes["exam"].str.contains("10.*stated")].itertuples()
    low, high = row.accuracy_slope_low, row.accuracy_slope_high
    text = f"{row.accuracy_slope:.2f} ({low:.2f} to {high:.2f})".replace("-", "−")
    assert f"in the {row.n_groups} subjects where at most a quarter" in IN_FULL
    assert text in IN_FULL


def test_thresholds_that_everything_would_have_kept_are_counted():
    pairs = published("06_deferral", RESULTS)["tables"]["fig06_shift"]
    found = pairs[pairs["side"].eq("everyday images") & pairs["threshold"].notna()]
    easy = found[found["test_error"] < 0.2]
    assert (
        f"fewer than 20 % of all answers there were wrong, so that their {len(easy)} "
        in IN_FULL
    )
    assert easy["model"].nunique() == 2
    assert f"({found['n_test'].iloc[0]} answers a model, of which" in IN_FULL
    passed = (found["test_coverage"] * found["n_test"]).round().astype(int)
    assert f"of which {passed.min()} to {passed.max()} passed" in IN_FULL


def test_the_models_table_is_what_chapters_published():
    of = {name: published(name, RESULTS)["tables"] for name in CHAPTERS}
    stated = of["02_metrics"]["scores"].set_index("model")
    sure = of["07_teaching"]["fig07_models"]
    sure = sure[sure["questions"].str.startswith("GMAI")].set_index("model")
    passes = of["06_deferral"]["one_method"].set_index(["model", "strategy"])
    rows = re.findall(r"(?m)^\| (\S+) \| (.*) \|$", models_table())
    assert len(rows) == len(stated)
    names = {label_of(model): model for model in stated.index}
    for name, cells in rows:
        model = names[name]
        row = stated.loc[model]
        shares = [row.n / (row.n + row.n_missing), row.accuracy, row.mean_confidence]
        expected = [f"{100 * share:.0f} %" for share in shares]
        expected += [f"{row.ece:.2f}", f"{row.auroc:.2f}"]
        expected += [f"{100 * sure.loc[model, 'accuracy']:.0f} %"]
        for strategy in ("self_probing", "probe_bicr"):
            it = passes.loc[(model, strategy)]
            share = "no threshold"
            if it.certified:
                share = f"{100 * it.coverage:.0f} % ({100 * it.risk:.0f} %)"
            if 0 < it.certified < 0.5:
                found = it.certified * it.n_halves
                share += f", in {found:.0f} of {it.n_halves:.0f} halves"
            expected.append(share)
        assert cells.split(" | ") == expected


def kinds_table():
    """Each kind of confidence on the medical test: median of the models, lowest to highest."""
    names = {
        "AUROC": "auroc",
        "AURC": "aurc",
        "ECE": "ece",
        "Brier score": "brier_score",
    }
    answers = load_answers("vlcb").query("dataset == 'GMAI-MMBench'")
    answers = answers.dropna(subset="confidence")
    lines = [f"| kind | {' | '.join(names)} |", "|---" * 5 + "|"]
    for strategy, rows in answers.groupby("strategy"):
        cells = [label_of(strategy)]
        for name in names.values():
            number = getattr(measure, name)
            scores = [
                number(of["confidence"], of["correct"])
                for _, of in rows.groupby("model")
            ]
            low, middle, high = np.quantile(scores, [0, 0.5, 1])
            cells.append(f"{middle:.2f} ({low:.2f} to {high:.2f})")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def test_the_table_of_kinds_is_of_the_recorded_answers():
    assert kinds_table() in IN_FULL


def scores_table():
    """Scores of each model's stated confidence on the medical test, models in their order."""
    own = load_answers("vlcb").query(
        "dataset == 'GMAI-MMBench' and strategy == 'self_probing'"
    )
    lines = []
    for name in re.findall(r"(?m)^\| (\S+) \| ", models_table()):
        rows = own[own["model"].map(label_of).eq(name)].dropna(subset="confidence")
        confidence, right = rows["confidence"], rows["correct"]
        scores = [right.mean(), confidence.mean()]
        scores += [
            number(confidence, right)
            for number in (
                measure.ece,
                measure.brier_score,
                measure.auroc,
                measure.aurc,
            )
        ]
        cells = " | ".join(f"{score:.2f}" for score in scores)
        lines.append(f"| {name} | {len(rows):,} | {cells} |")
    return "\n".join(lines)


def test_the_table_of_scores_is_of_the_recorded_answers():
    assert scores_table() in README


def test_what_other_kinds_rank_is_the_table_of_kinds():
    pattern = r"(\S+) for the stated number, (\S+) for P\(True\) .* and (\S+) to (\S+) for five"
    stated, p_true, low, high = re.findall(pattern, README)[0]
    assert f"| P(True) | {p_true} (" in IN_FULL
    assert f"| self-probing | {stated} (" in IN_FULL
    probes = re.findall(r"(?m)^\| \S+ probe \| (\S+) \(", IN_FULL)
    assert len(probes) == 5
    assert (min(probes), max(probes)) == (low, high)


def test_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    snippets = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert snippets
    for snippet in snippets:
        exec(compile(snippet, "README.md", "exec"), {})
    assert (tmp_path / "calibration.png").stat().st_size > 5000


def test_code_runs_on_a_table_in_which_a_confidence_is_empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    rows = ["item_id,model,dataset,strategy,confidence,correct"]
    rows += [f"{i},Qwen,GMAI-MMBench,self_probing,0.9,{i % 2}" for i in range(50)]
    rows += ["50,Qwen,GMAI-MMBench,self_probing,,1"]
    (tmp_path / "own.csv").write_text("\n".join(rows), encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(snippet.replace('"vlcb"', '"own.csv"'), "README.md", "exec"), {})
    assert (tmp_path / "calibration.png").stat().st_size > 5000


def test_it_is_a_page_and_names_every_chapter():
    assert len(README.splitlines()) <= 120
    for notebook in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
        name = notebook.stem
        (row,) = re.findall(rf"(?m)^\| {name.replace('_', ' ')} \|.*$", README)
        assert f"[read](figures/{name}.md)" in row
        assert f"[run](notebooks/{name}.ipynb)" in row


def test_the_figure_shows_so_many_of_the_thresholds():
    pairs = published("06_deferral", RESULTS)["tables"]["fig06_shift"]
    found = pairs[pairs["side"].eq("GMAI-MMBench") & pairs["threshold"].notna()]
    n_drawn = found["strategy"].isin(["self_probing", "probe_bicr"]).sum()
    assert f"{n_drawn} of the {len(found)} thresholds" in README
