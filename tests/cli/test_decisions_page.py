"""The commands and the code of docs/decisions.md run, at a server of that form on loopback."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from medcal_nb.answers import load_answers
from tests.ask.sold import Sold


def _page(name):
    """The report on a file of this name."""
    (page,) = (one for one in Path().glob("**/report.html") if name in one.parent.name)
    return page


def test_the_page_s_commands_ask_measure_and_certify(root, medcal, monkeypatch, capsys):
    text = (root / "docs" / "decisions.md").read_text(encoding="utf-8")
    ask, *others = re.findall(r"^medcal ([^#\n]*)", text, re.MULTILINE)
    rng = np.random.default_rng(0)
    levels = rng.choice(256, 60, replace=False)
    rows = []
    for i, level in enumerate(levels):
        Image.new("RGB", (8, 8), (int(level),) * 3).save(f"{i}.png")
        gold = "a" if rng.random() < level / 255 else "b"
        options = json.dumps(["a", "b"])
        rows.append(
            {
                "image": f"{i}.png",
                "question": "Which?",
                "options": options,
                "gold": gold,
            }
        )
    pd.DataFrame(rows).to_csv("mine.csv", index=False)
    table = {"choice": "a", "gold": ["a", "b"] * 20}
    table["probabilities"] = json.dumps({"a": 0.7, "b": 0.3})
    pd.DataFrame(table).to_csv("flat.csv", index=False)
    pairs = [{"value": "a", "probability": 0.7}, {"value": "b", "probability": 0.3}]
    answer = {
        "type": "choice",
        "choice": "a",
        "confidence": 0.4,
        "probabilities": pairs,
    }
    lines = [
        json.dumps({"id": i, "gold": "ab"[i % 2], "answers": [answer]})
        for i in range(40)
    ]
    Path("decisions.jsonl").write_text("\n".join(lines))
    with Sold() as sold:
        words = shlex.split(ask)
        words[words.index("--model") + 1] = sold.url
        words[words.index("--served-as") + 1] = "sold-1"
        code, _, err = medcal(*words)
    assert code == 0, err
    assert "typed decisions by /v1/decisions, the image in the message" in err
    for command in others:
        code, _, err = medcal(*shlex.split(command))
        assert code == 0, (command, err)
    answers = load_answers("sold.sqlite")
    best = [max(level, 1 - level) for level in np.round(levels / 255, 2)]
    assert np.allclose(np.sort(answers["confidence"]), np.sort(best))
    assert answers["correct"].notna().all()
    assert "vendor_number and is not scored" in _page("sold").read_text(
        encoding="utf-8"
    )
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(code, {})
    said = capsys.readouterr().out
    assert "may be one of four things" in said
    assert "[0.7, 0.6]" in said
