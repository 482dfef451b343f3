"""README says what is so: its numbers are published findings, its code runs, chapters are named."""

import json
import re
from pathlib import Path

from medcal_nb.labels import label_of
from medcal_nb.notebook import published

ROOT = Path(__file__).resolve().parents[1]
#: chapters that the table of the models is of
CHAPTERS = ("02_metrics", "06_deferral", "07_teaching")
RESULTS = str(ROOT / "figures" / "results")
README = (ROOT / "README.md").read_text(encoding="utf-8")
#: a number, its sign aside; none that is a part of a name, as in LLaVA-1.6-13B
NUMBER = re.compile(r"(?<![\w.-])\d+(?:[.,]\d+)*(?![\w-])")


def test_numbers_of_the_findings_are_published():
    (told,) = re.findall(r"(?s)<!-- findings -->(.*?)<!-- /findings -->", README)
    told = re.sub(r"(?m)^\d+\. |\[[^]]*\]\([^)]*\)", "", told)  # a list's, links
    results = (ROOT / "figures" / "results").glob("*.json")
    findings = [json.loads(path.read_text("utf-8"))["findings"] for path in results]
    published = set(NUMBER.findall(str(findings)))
    numbers = NUMBER.findall(told)
    assert len(numbers) > 10
    assert [number for number in numbers if number not in published] == []


def test_the_models_table_is_what_chapters_published():
    of = {name: published(name, RESULTS)["tables"] for name in CHAPTERS}
    stated = of["02_metrics"]["scores"].set_index("model")
    sure = of["07_teaching"]["fig07_models"]
    sure = sure[sure["questions"].str.startswith("GMAI")].set_index("model")
    passes = of["06_deferral"]["one_method"].set_index(["model", "strategy"])
    rows = re.findall(r"(?m)^\| (\S*-\d+B|DeepSeek-VL2) \| (.*) \|$", README)
    assert len(rows) == len(stated)
    names = {label_of(model): model for model in stated.index}
    for name, cells in rows:
        model = names[name]
        row = stated.loc[model]
        shares = [row.n / (row.n + row.n_missing), row.accuracy, row.mean_confidence]
        told = [f"{100 * share:.0f} %" for share in shares]
        told += [f"{row.ece:.2f}", f"{row.auroc:.2f}"]
        told += [f"{100 * sure.loc[model, 'accuracy']:.0f} %"]
        for strategy in ("self_probing", "probe_bicr"):
            it = passes.loc[(model, strategy)]
            share = "no threshold"
            if it.certified:
                share = f"{100 * it.coverage:.0f} % ({100 * it.risk:.0f} %)"
            if 0 < it.certified < 0.5:
                found = it.certified * it.n_halves
                share += f", in {found:.0f} of {it.n_halves:.0f} halves"
            told.append(share)
        assert cells.split(" | ") == told


def test_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    snippets = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert snippets
    for snippet in snippets:
        exec(compile(snippet, "README.md", "exec"), {})
    assert (tmp_path / "calibration.png").stat().st_size > 5000


def test_it_is_a_page_and_names_every_chapter():
    assert len(README.splitlines()) <= 120
    for notebook in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
        name = notebook.stem
        (row,) = re.findall(rf"(?m)^\| {name.replace('_', ' ')} \|.*$", README)
        assert f"[read](figures/{name}.md)" in row
        assert f"[run](notebooks/{name}.ipynb)" in row
