"""The program of docs/fleet.md, with a stand-in for what runs it on many machines."""

import json
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

PAGE = Path(__file__).parents[1] / "docs" / "fleet.md"
LINE = {
    "custom_id": "q|verbalized|0",
    "body": {"messages": [{"role": "system", "content": "Be brief."}]},
}
REPLY = {"choices": [{"message": {"content": "yes"}, "logprobs": None}]}


def test_the_program_for_ray_writes_a_result_for_every_request(tmp_path, monkeypatch):
    (tmp_path / "requests-000.jsonl").write_text(json.dumps(LINE) + "\n")
    sent = []

    def build_processor(config, preprocess, postprocess):
        def answer(rows):
            asked = [preprocess(row) for row in rows]
            sent.extend(asked)
            replies = [row | {"http_response": REPLY} for row in asked]
            return SimpleNamespace(iter_rows=lambda: map(postprocess, replies))

        return answer

    def read_text(path):
        return [{"text": line} for line in Path(path).read_text().splitlines()]

    modules = {name: ModuleType(name) for name in ("ray", "ray.data", "ray.data.llm")}
    modules["ray"].data = SimpleNamespace(read_text=read_text)
    modules["ray.data.llm"].HttpRequestProcessorConfig = dict
    modules["ray.data.llm"].build_processor = build_processor
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(sys, "argv", ["program", str(tmp_path), "http://gpu1:8000"])
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    exec(compile(program, "docs/fleet.md", "exec"), {})
    (result,) = (tmp_path / "results-000.jsonl").read_text().splitlines()
    result = json.loads(result)
    assert result["custom_id"] == LINE["custom_id"]
    # a column of Ray has one type: what a reply lacks comes back as None, and is left out
    assert result["response"]["body"] == {"choices": [{"message": {"content": "yes"}}]}
    content = sent[0]["payload"]["messages"][0]["content"]
    assert content == [{"type": "text", "text": "Be brief."}]
