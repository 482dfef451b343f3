"""The two programs of docs/fleet.md, with a stand-in for what runs them on many machines."""

import asyncio
import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "fleet.md"
RAY, TROVE = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
LINE = {
    "custom_id": "q|verbalized|0",
    "body": {"messages": [{"role": "system", "content": "Be brief."}]},
}
REPLY = {"choices": [{"message": {"content": "yes"}, "logprobs": None}]}


@pytest.fixture
def run_folder(tmp_path):
    (tmp_path / "requests-01-000.jsonl").write_text(json.dumps(LINE) + "\n")
    return tmp_path


def run(monkeypatch, program, words, **names):
    """Run a program whose imports are the given names of modules that are not installed."""
    modules = {}
    for dotted, values in names.items():
        name = dotted.replace("__", ".")
        for i, _ in enumerate(parts := name.split(".")):
            modules.setdefault(".".join(parts[: i + 1]), ModuleType("stand-in"))
        vars(modules[name]).update(values)
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(sys, "argv", ["program", *map(str, words)])
    scope = {"MODEL": "m"}
    exec(compile(program, "docs/fleet.md", "exec"), scope)
    return scope


def test_the_program_for_ray_writes_a_result_for_every_request(run_folder, monkeypatch):
    sent = []

    def build_processor(config, preprocess, postprocess):
        def answer(rows):
            asked = [preprocess(row) for row in rows]
            sent.extend(asked)
            replies = [{**row, "http_response": REPLY} for row in asked]
            return SimpleNamespace(iter_rows=lambda: map(postprocess, replies))

        return answer

    def read_text(path):
        return [{"text": line} for line in Path(path).read_text().splitlines()]

    run(
        monkeypatch,
        RAY,
        [run_folder, "01", "http://gpu1:8000"],
        ray={"data": SimpleNamespace(read_text=read_text)},
        ray__data__llm={
            "HttpRequestProcessorConfig": dict,
            "build_processor": build_processor,
        },
    )
    (result,) = (run_folder / "results-01-000.jsonl").read_text().splitlines()
    result = json.loads(result)
    assert result["custom_id"] == LINE["custom_id"]
    # a column of Ray has one type: what a reply lacks comes back as None, and is left out
    assert result["response"]["body"] == {"choices": [{"message": {"content": "yes"}}]}
    assert sent[0]["payload"]["messages"][0]["content"] == [
        {"type": "text", "text": "Be brief."}
    ]


def test_the_program_for_datatrove_asks_and_tells_as_a_batch_does(
    run_folder, monkeypatch
):
    def nothing(*_, **__):
        return SimpleNamespace(run=lambda: None)

    scope = run(
        monkeypatch,
        TROVE,
        [run_folder, "01", "http://gpu1:8000"],
        datatrove__executor__local={"LocalPipelineExecutor": nothing},
        datatrove__pipeline__inference__run_inference={
            "InferenceConfig": nothing,
            "InferenceRunner": nothing,
        },
        datatrove__pipeline__readers={"JsonlReader": nothing},
        datatrove__pipeline__writers={"JsonlWriter": nothing},
    )

    async def generate(body):
        assert body == LINE["body"]
        return SimpleNamespace(text="yes", finish_reason="stop", usage={"total": 3})

    document = SimpleNamespace(**scope["read"](None, LINE, "path", 0))
    # in a thread of its own: a browser test may have left a loop running in this one
    with ThreadPoolExecutor(1) as own:
        reply = own.submit(asyncio.run, scope["ask"](document, generate)).result()
    document.metadata["rollout_results"] = [reply]
    result = scope["tell"](None, document)
    assert result["custom_id"] == LINE["custom_id"]
    assert result["response"]["body"]["choices"][0]["message"] == {"content": "yes"}
