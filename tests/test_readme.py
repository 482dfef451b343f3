"""README says what is so: its numbers are published findings, its code runs, chapters are named."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
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
