"""Logs of other tools: small files in the formats they write, real ones where they are at hand."""

import json
import random
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medcal_nb.answers import load_answers, read_answers
from medcal_nb.errors import MedcalError
from tests.damage import refusals


def lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


def tool(answers):
    """Which reader took a file."""
    (name,) = [t for t in answers.attrs["assumed"] if t.startswith("read as ")]
    return name.removeprefix("read as ")


def choice_sample(doc, scores, target, **more):
    """A multiple-choice sample: log-likelihoods and whether greedy, as texts."""
    asked = [{"arg_0": "q", "arg_1": f" {word}"} for word in ("yes", "no", "maybe")]
    arguments = {f"gen_args_{k}": asked[k] for k in range(len(scores))}
    pairs = [[str(score), "False"] for score in scores]
    acc = float(np.argmax(scores) == target)
    return {
        "doc_id": doc, "target": str(target), "arguments": arguments, "filter": "none",
        "resps": [[pair] for pair in pairs], "filtered_resps": pairs,
        "metrics": ["acc", "acc_norm"], "acc": acc, "acc_norm": 0.0,
    } | more  # fmt: skip


def text_sample(doc, reply, grade, filter_="none", **more):
    arguments = {"gen_args_0": {"arg_0": "2+2", "arg_1": {"until": ["\n"]}}}
    return {
        "doc_id": doc, "target": "4", "arguments": arguments, "filter": filter_,
        "resps": [["The answer is 4."]], "filtered_resps": [reply],
        "metrics": ["exact_match"], "exact_match": grade, "doc_hash": "0a",
    } | more  # fmt: skip


def lmms_sample(doc, reply, target, **metrics):
    return {"doc_id": doc, "target": target, "filtered_resps": [reply], "doc_hash": "0a",
            "token_counts": [{"output_tokens": 7}], "input": "A rib?"} | metrics  # fmt: skip


def test_lm_eval_multiple_choice(tmp_path):
    path = tmp_path / "org__net" / "samples_pubmedqa_2026-01-02T03-04-05.678901.jsonl"
    scores = ([-1.0, -2.0, -4.0], [-1.0, -0.5, -4.0])
    lines(path, [choice_sample(k, one, 0) for k, one in enumerate(scores)])
    answers = load_answers(path)
    assert tool(answers) == "lm-eval"
    assert answers["model"].tolist() == ["org/net"] * 2
    assert answers["dataset"].tolist() == ["pubmedqa"] * 2
    assert answers["strategy"].tolist() == ["option_probability"] * 2
    assert answers["answer"].tolist() == ["yes", "no"]
    assert answers["gold"].tolist() == ["yes", "yes"]
    assert answers["correct"].tolist() == [True, False]
    p = np.exp(scores[0]) / np.exp(scores[0]).sum()
    assert answers["confidence"][0] == pytest.approx(p[0])
    shares = dict(zip(("yes", "no", "maybe"), p, strict=True))
    assert answers["option_probabilities"][0] == pytest.approx(shares)


def test_lm_eval_generated_replies_have_no_confidence(tmp_path):
    rows = [text_sample(0, "4", 1.0, "strict"), text_sample(0, "4.", 0.0, "flexible"),
            text_sample(1, "[invalid]", 0.0, "strict")]  # fmt: skip
    path = lines(tmp_path / "samples_gsm8k_2026-01-02T03-04-05.6.jsonl", rows)
    answers = load_answers(path, model="net").set_index(["item_id", "strategy"])
    assert answers["confidence"].isna().all()
    assert answers["correct"].tolist() == [True, False, False]
    assert answers.loc[("0", "generate:flexible"), "answer"] == "4."
    assert pd.isna(answers.loc[("1", "generate:strict"), "answer"])


def test_lm_eval_options_that_read_alike_are_numbered(tmp_path):
    text = "always the easier cases."
    sample = choice_sample(0, [-52.0, -43.5], 1) | {"target": text}
    for asked in sample["arguments"].values():
        asked["arg_1"] = text
    answers = load_answers(lines(tmp_path / "s.jsonl", [sample]))
    assert answers[["answer", "correct"]].iloc[0].tolist() == ["1", True]
    assert answers["gold"].isna().all()


def test_of_several_metrics_one_is_named(tmp_path):
    grades = {"in_process": 0.0, "acc_norm": 1.0}
    samples = [
        choice_sample(0, [-1.0, -2.0, -4.0], 0),
        text_sample(1, "4", 1.0, metrics=[*grades], **grades),
    ]
    path = lines(tmp_path / "r.jsonl", samples)
    differ = r"differ: acc_norm, in_process; .*grade=NAME"
    none = "row 1: no metric 'in_process', there are acc, acc_norm"
    for grade, message in ((None, differ), ("in_process", none)):
        with pytest.raises(MedcalError, match=message):
            load_answers(path, grade=grade)
    answers = load_answers(path, grade="acc_norm")
    assert answers["correct"].tolist() == [False, True]


def test_lmms_eval(tmp_path):
    path = tmp_path / "org__vlm" / "20260102_030405_samples_vqa_rad.jsonl"
    rows = [
        lmms_sample(0, "yes", "yes", exact_match=1.0),
        lmms_sample(1, "No", "yes", mmmu_acc={"parsed_pred": "A", "answer": "B"}),
        lmms_sample(2, "x", "y", mme={"question_id": "1", "score": 1.0}),
        lmms_sample(3, "x", "y", bleu=0.31),
    ]
    answers = load_answers(lines(path, rows))
    assert tool(answers) == "lmms-eval"
    assert answers.loc[0, ["model", "dataset"]].tolist() == ["org/vlm", "vqa_rad"]
    assert answers["correct"].tolist()[:3] == [True, False, True]
    assert answers["correct"].isna()[3], "0.31 is neither right nor wrong"


SHEET = [
    {"index": k, "question": "q", "A": "lung", "B": "liver", "answer": gold, "prediction": reply}
    for k, (gold, reply) in enumerate(
        [("A", "A"), ("A", "(B)"), ("B", "Liver."), ("B", "B. liver"), ("B", "A lung or liver"),
         ("B", None)],
        1,
    )
]  # fmt: skip


def write_sheet(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tsv":
        pd.DataFrame(rows).to_csv(path, sep="\t", index=False)
        return path
    book = openpyxl.Workbook()
    for line in ([*rows[0]], *([*row.values()] for row in rows)):
        book.active.append(line)
    book.save(path)
    return path


@pytest.mark.parametrize("kind", ["xlsx", "tsv"])
def test_vlmevalkit_grades_only_plain_replies(tmp_path, kind):
    path = write_sheet(tmp_path / f"net_MMBench.{kind}", SHEET)
    answers = load_answers(path, model="net", dataset="MMBench")
    assert tool(answers) == "vlmevalkit"
    assert answers["correct"].tolist()[:4] == [True, False, True, True]
    assert answers["correct"].isna().tolist() == [False] * 4 + [True] * 2
    assert answers["confidence"].isna().all()
    assert "2 of 6 answers are not graded" in " ".join(answers.attrs["assumed"])


@pytest.mark.parametrize(
    ("name", "model", "dataset"),
    [
        ("net/net_MMBench_DEV_EN_openai_result", "net", "MMBench_DEV_EN"),
        ("net_1/net_1_MMMU_DEV_VAL_exact_matching_result", "net_1", "MMMU_DEV_VAL"),
        ("net/net_POPE_auxmatch", "net", "POPE"),
        ("net/net_MMVet_gpt-4-turbo", "net", "MMVet"),
        ("my_net/my_net_own_set_chatgpt-0125_result", "my_net", "own_set"),
        ("my_net/T2025_G1/my_net_own_set", "my_net", "own_set"),
        ("my_net_own_set", "unnamed", "my_net_own_set"),
    ],
)
def test_vlmevalkit_names_say_model_and_data_set(tmp_path, name, model, dataset):
    answers = load_answers(write_sheet(tmp_path / f"{name}.xlsx", SHEET))
    assert {*answers["model"]} == {model}
    assert {*answers["dataset"]} == {dataset}


def test_vlmevalkit_judged_and_yes_no_sheets(tmp_path):
    judged = [row | {"hit": k % 2, "category": "organ"} for k, row in enumerate(SHEET)]
    answers = load_answers(write_sheet(tmp_path / "judged.xlsx", judged))
    assert answers["correct"].tolist() == [False, True] * 3
    assert answers["category"].tolist() == ["organ"] * 6
    pairs = [
        ("Yes", "Yes."),
        ("Yes", "no"),
        ("Yes", "Yes, there is"),
        ("a rib", "Yes."),
    ]
    words = [
        {"index": k, "question": "q", "answer": gold, "prediction": reply}
        for k, (gold, reply) in enumerate(pairs)
    ]
    answers = load_answers(write_sheet(tmp_path / "words.xlsx", words))
    assert answers["correct"].tolist()[:3] == [True, False, True]
    assert answers["correct"].isna()[3], "an open reply is not graded by a guess"


def inspect_sample(k, value, answer="A", logprobs=None, **more):
    choice = {"message": {"role": "assistant", "content": f"ANSWER: {answer}"}}
    if logprobs:
        tokens = [{"token": "t", "logprob": value} for value in logprobs]
        choice["logprobs"] = {"content": tokens}
    output = {"choices": [choice], "usage": {"input_tokens": 9, "output_tokens": 3}}
    scores = {"choice": {"value": value, "answer": answer}}
    base = {"id": k, "epoch": 1, "input": "q", "choices": ["x", "y"], "target": "A"}
    return base | {"output": output, "scores": scores} | more


BOTH = {"s": {"value": "C"}, "t": {"value": 1}}
INSPECT = {
    "eval": {
        "task": "t",
        "model": "lab/net",
        "dataset": {"name": "set"},
        "run_id": "r",
    },
    "plan": {},
    "samples": [
        inspect_sample("a", "C", logprobs=[-0.1, -0.3]),
        inspect_sample("a", "I", "B", epoch=2),
        inspect_sample("b", 0.5, target=["A", "B"]),
        inspect_sample("c", True, output={}, scores=BOTH),
    ],
}
EMPTY = json.dumps(INSPECT | {"samples": None})


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def written(path, value):
    """Write a value as the kind of file that the name ends with."""
    text = json.dumps(value).encode()
    if path.suffix == ".eval":
        members = {"header.json": json.dumps(value | {"samples": None})}
        for k, sample in enumerate(value["samples"]):
            members[f"samples/{k}_epoch_1.json"] = json.dumps(sample)
        zipped(path, members)
    elif path.suffix == ".jsonl":
        lines(path, value)
    elif path.suffix in (".xlsx", ".tsv"):
        write_sheet(path, value)
    else:
        path.write_bytes(text)
    return path


@pytest.mark.parametrize("kind", ["eval", "json"])
def test_inspect(tmp_path, kind):
    answers = read_answers(written(tmp_path / f"log.{kind}", INSPECT))
    assert tool(answers) == "inspect"
    answers = answers.set_index(["item_id", "sample"]).sort_index()
    assert {*answers["model"]} == {"lab/net"}
    assert {*answers["dataset"]} == {"set"}
    assert answers["correct"].astype(object).tolist()[:2] == [True, False]
    assert answers["correct"].isna()[("b", 0)], "half right is neither"
    assert answers["correct"][("c", 0)], "both scorers say so"
    assert answers["strategy"].eq("generate").all()
    assert answers["answer"].tolist()[:2] == ["A", "B"]
    assert answers["gold"][("b", 0)] == '["A","B"]'


def test_inspect_choices_are_the_options(tmp_path):
    """A reply with its confidence is graded anew: the words of a choice are its letter."""
    text = "Answer: pleural effusion\nConfidence: 80%"
    reply = {"choices": [{"message": {"content": text}}]}
    more = {"choices": ["pneumonia", "pleural effusion"], "output": reply}
    more["scores"] = {"choice": {"value": "I", "answer": text}}
    sample = inspect_sample("a", "I", target="B", **more)
    (tmp_path / "log.json").write_text(json.dumps(INSPECT | {"samples": [sample]}))
    (right,) = load_answers(tmp_path / "log.json")["correct"]
    assert right


def test_inspect_scorers_that_differ_are_named(tmp_path):
    sample = inspect_sample("a", "C", scores={"s": {"value": "C"}, "t": {"value": "I"}})
    path = written(tmp_path / "a.json", INSPECT | {"samples": [sample]})
    with pytest.raises(MedcalError, match=r"they differ: s, t; .*grade=NAME"):
        load_answers(path)
    assert load_answers(path, grade="s")["correct"].tolist() == [True]


WORDS = ["Yes.", "No"] * 12
SURE = [0.8, 0.6] * 12


def stated(k, answer):
    """A reply with its confidence."""
    return f"{answer}\nConfidence: {SURE[k]}"


STATED = {
    "a.jsonl": [
        lmms_sample(k, word, "yes", resps=[[stated(k, word)]], exact_match=(k + 1) % 2)
        for k, word in enumerate(WORDS)
    ],
    "a.xlsx": [
        SHEET[0] | {"index": k, "prediction": stated(k, f"Answer: {'AB'[k % 2]}")}
        for k in range(24)
    ],
    "a.json": INSPECT
    | {
        "samples": [
            inspect_sample(
                k,
                None,
                stated(k, word),
                scores={"match": {"value": "CI"[k % 2], "answer": word}},
            )
            for k, word in enumerate(WORDS)
        ]
    },
}


@pytest.mark.parametrize("name", STATED)
def test_a_confidence_in_the_replies_of_a_log_comes_in(tmp_path, name):
    answers = load_answers(written(tmp_path / name, STATED[name]))
    assert answers["confidence"].tolist() == SURE
    assert answers["correct"].tolist() == [True, False] * 12
    assert any("24 of 24 replies" in text for text in answers.attrs["assumed"])
    assert not answers["answer"].str.contains("Confidence").any()


ODD = (None, True, -5, 1e300, "x", "", [], {}, [None], [[1]], {"a": 1}, 10**30, "nan")


def bent(value, dice):
    """A copy with something else in one place, or a member left out."""
    value = json.loads(json.dumps(value))
    at = value
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        key = dice.choice(keys)
        if not isinstance(at[key], dict | list) or not at[key] or dice.random() < 0.2:
            break
        at = at[key]
    if isinstance(at, dict) and dice.random() < 0.3:
        del at[key]
    else:
        at[key] = dice.choice(ODD)
    return value


TWO = [choice_sample(k, [-1.0, -2.0], 0) for k in range(2)]
VALUES = {
    "inspect": INSPECT,
    "lm-eval": TWO,
    "lmms-eval": [lmms_sample(k, "yes", "yes", exact_match=1.0) for k in range(2)],
    "vlmevalkit": SHEET,
}


@pytest.mark.parametrize("name", VALUES)
def test_odd_values_in_any_place_come_in_or_are_named(tmp_path, name):
    dice = random.Random(name)
    came = 0
    for _ in range(24):
        path = written(tmp_path / "in.json", bent(VALUES[name], dice))
        try:
            load_answers(path)
            came += 1
        except MedcalError:
            pass
    assert came > 2


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("jsonl", "lm-eval"),
        ("eval", "inspect"),
        ("json", "lmms-eval"),
        ("xlsx", "vlmevalkit"),
    ],
)
def test_damaged_logs_raise_our_error_only(tmp_path, kind, name):
    path = written(tmp_path / f"in.{kind}", VALUES[name])
    assert refusals(path, 25, 4) > 5


def test_files_that_unpack_to_more_than_they_say_are_read_no_further(tmp_path):
    path = tmp_path / "lie.eval"
    zipped(path, {"header.json": b"x" * 100_000_000})
    true, lie = (struct.pack("<I", size) for size in (100_000_000, 1_000))
    path.write_bytes(path.read_bytes().replace(true, lie))
    tracemalloc.start()
    with pytest.raises(MedcalError, match=r"lie\.eval"):
        load_answers(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 50e6


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("a.eval", lambda p: p.write_bytes(b"PK\x03\x04 no zip"), "cut off or damaged"),
        ("b.eval", lambda p: zipped(p, {"header.json": EMPTY}), "no answers"),
        ("c.eval", lambda p: zipped(p, {"samples/1.json": b"0" * 300_000_000}),
         "unpacks to far more than its size"),
        ("d.json", lambda p: p.write_text(EMPTY), "no answers in it"),
        ("g.parquet", lambda p: pq.write_table(pa.table({"raw": pa.DictionaryArray.from_arrays(
            np.zeros(20_000, "int32"), ["x" * 1_000_000])}), p),
         "unpacks to far more than its size"),
        ("h.parquet", lambda p: pq.write_table(pa.table({"gold": pa.ListArray.from_arrays(
            [0, 30_000_000], pa.array(np.zeros(30_000_000, "i1")))}), p),
         "unpacks to far more than its size"),
    ],
)  # fmt: skip
def test_files_made_to_overwhelm_are_refused(tmp_path, name, make, message):
    make(tmp_path / name)
    with pytest.raises(MedcalError, match=message):
        load_answers(tmp_path / name)


def test_sheets_that_reach_far_are_refused_at_once(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["index", "answer", "prediction"])
    for row in range(2, 2_502):
        book.active.cell(row=row, column=16_384, value=1)  # XFD, the last one there is
    book.save(tmp_path / "far.xlsx")
    started = time.process_time()
    with pytest.raises(MedcalError, match=r"far\.xlsx: row 1 has a value in a column"):
        load_answers(tmp_path / "far.xlsx")
    assert time.process_time() - started < 20
    write_sheet(tmp_path / "a.xlsx", SHEET)
    with zipfile.ZipFile(tmp_path / "a.xlsx") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = "xl/worksheets/sheet1.xml"
    members[name] = members[name].replace(b'<row r="2"', b'<row r="99999999999"')
    zipped(tmp_path / "low.xlsx", members)
    with pytest.raises(MedcalError, match="a row beyond 1,048,576"):
        load_answers(tmp_path / "low.xlsx")


REAL = {
    "inspect/2025-05-12T20-28-13-04-00_popularity.json": ("inspect", 3, None),
    "inspect/log_formats.eval": ("inspect", 1, 0),
    "inspect/log_formats.json": ("inspect", 1, 0),
    "inspect/log_images.json": ("inspect", 1, 0),
    "inspect/mmlu-summary-choices.eval": ("inspect", 1, 0),
    "lm_eval/samples_winogrande_2024-12-23T13-17-27.691350.jsonl": ("lm-eval", 10, 7),
}


@pytest.mark.real
@pytest.mark.parametrize("name", REAL)
def test_real_logs_come_in(real_dir, name):
    reader, n, right = REAL[name]
    answers = read_answers(real_dir / "native_logs" / name)
    assert tool(answers) == reader
    assert len(answers) == n
    assert right is None or answers["correct"].sum() == right
