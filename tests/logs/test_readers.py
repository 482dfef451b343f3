"""Readers of other tools' logs, on small files in the formats those tools write."""

import json
import math
import pathlib
import pickle
import random

import numpy as np
import openpyxl
import pandas as pd
import pytest

from medcal_nb.answers import load_answers
from medcal_nb.errors import MedcalError
from medcal_nb.logs import import_file
from medcal_nb.logs.registry import detect as _detect
from medcal_nb.logs.source import Source

from .test_table import mapped, survive


def detect(path):
    return _detect(Source(path))


def lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(r) for r in rows) + "\n")
    return path


def bring(path, columns=None, **options):
    to = path.with_name("out.sqlite")
    done = import_file(path, to, columns, **options)
    return done.notes, load_answers(to)


# --- lm-evaluation-harness ------------------------------------------------------------------------


def choice_sample(doc, scores, target, **more):
    """A multiple-choice sample: log-likelihoods and whether greedy, as texts."""
    options = (" yes", " no", " maybe")[: len(scores)]
    pairs = [[str(s), "False"] for s in scores]
    best = max(range(len(scores)), key=scores.__getitem__)
    return {
        "doc_id": doc,
        "doc": {"question": "q", "final_decision": "yes"},
        "target": str(target),
        "arguments": {
            f"gen_args_{k}": {"arg_0": "Question: q\nAnswer:", "arg_1": option}
            for k, option in enumerate(options)
        },
        "resps": [[p] for p in pairs],
        "filtered_resps": pairs,
        "filter": "none",
        "metrics": ["acc", "acc_norm"],
        "doc_hash": "0a",
        "prompt_hash": "0b",
        "target_hash": "0c",
        "acc": float(best == target),
        "acc_norm": 0.0,
    } | more


def text_sample(doc, reply, grade, filter_="none"):
    return {
        "doc_id": doc,
        "doc": {"question": "2+2"},
        "target": "4",
        "arguments": {"gen_args_0": {"arg_0": "2+2", "arg_1": {"until": ["\n"]}}},
        "resps": [["The answer is 4."]],
        "filtered_resps": [reply],
        "filter": filter_,
        "metrics": ["exact_match"],
        "doc_hash": "0a",
        "prompt_hash": "0b",
        "target_hash": "0c",
        "exact_match": grade,
    }


def test_lm_eval_multiple_choice(tmp_path):
    path = tmp_path / "org__net" / "samples_pubmedqa_2026-01-02T03-04-05.678901.jsonl"
    lines(
        path,
        [
            choice_sample(0, [-1.0, -2.0, -4.0], 0),
            choice_sample(1, [-1.0, -0.5, -4.0], 0),
        ],
    )
    assert detect(path) == "lm-eval"
    _, frame = bring(path)
    assert frame["model"].tolist() == ["org/net"] * 2
    assert frame["dataset"].tolist() == ["pubmedqa"] * 2
    assert frame["strategy"].tolist() == ["option_probability"] * 2
    assert frame["answer"].tolist() == ["yes", "no"]
    assert frame["gold"].tolist() == ["yes", "yes"]
    assert frame["correct"].tolist() == [True, False]
    p = np.exp([-1.0, -2.0, -4.0])
    assert frame["confidence"][0] == pytest.approx(p[0] / p.sum())
    assert frame["option_probabilities"][0] == pytest.approx(
        dict(zip(("yes", "no", "maybe"), p / p.sum(), strict=True))
    )
    assert frame["question_type"].tolist() == ["choice"] * 2


def test_lm_eval_two_options_are_closed_and_flags_win(tmp_path):
    path = lines(tmp_path / "samples.jsonl", [choice_sample(0, [-1.0, -2.0], 1)])
    notes, frame = bring(path, mapped(model="net", dataset="d", domain="medical"))
    assert frame.loc[0, ["model", "dataset", "domain"]].tolist() == [
        "net",
        "d",
        "medical",
    ]
    assert "read as lm-eval" in notes[0]


def test_lm_eval_generated_replies_have_no_confidence(tmp_path):
    rows = [
        text_sample(0, "4", 1.0, "strict-match"),
        text_sample(0, "4.", 0.0, "flexible-extract"),
        text_sample(1, "[invalid]", 0.0, "strict-match"),
    ]
    path = lines(tmp_path / "samples_gsm8k_2026-01-02T03-04-05.6.jsonl", rows)
    notes, frame = bring(path, mapped(model="net"))
    assert (
        frame["strategy"].tolist()
        == ["generate:flexible-extract"] + ["generate:strict-match"] * 2
    )
    assert frame["confidence"].isna().all()
    assert frame["correct"].tolist() == [False, True, False]
    assert frame["parse_ok"].tolist() == [True, True, False]
    assert frame["raw"].tolist() == ["The answer is 4."] * 3
    assert any("3 of 3 answers without 'confidence'" in n for n in notes)


# --- lmms-eval ------------------------------------------------------------------------------------


def lmms_sample(doc, reply, target, **metrics):
    return {
        "doc_id": doc,
        "target": target,
        "filtered_resps": [reply],
        "doc_hash": "0a",
        "token_counts": [{"output_tokens": 7}],
        "input": "Is there a fracture?",
    } | metrics


def test_lmms_eval(tmp_path):
    path = tmp_path / "org__vlm" / "20260102_030405_samples_vqa_rad.jsonl"
    lines(
        path,
        [
            lmms_sample(0, "yes", "yes", exact_match=1.0),
            lmms_sample(1, "No", "yes", mmmu_acc={"parsed_pred": "A", "answer": "B"}),
            lmms_sample(2, "x", "y", mme={"question_id": "1", "score": 1.0}),
            lmms_sample(3, "x", "y", bleu=0.31),
        ],
    )
    assert detect(path) == "lmms-eval"
    notes, frame = bring(path)
    assert frame["model"][0] == "org/vlm"
    assert frame["dataset"][0] == "vqa_rad"
    assert frame["correct"].tolist()[:3] == [True, False, True]
    assert frame["new_tokens"].tolist() == [7] * 4
    assert frame["confidence"].isna().all()
    assert frame["correct"].isna()[3], "an open reply is not graded by a guess"
    assert any("without 'confidence'" in n for n in notes)


# --- VLMEvalKit -----------------------------------------------------------------------------------

SHEET = [
    {
        "index": k,
        "question": "q",
        "A": "lung",
        "B": "liver",
        "answer": gold,
        "prediction": reply,
    }
    for k, (gold, reply) in enumerate(
        [
            ("A", "A"),
            ("A", "(B)"),
            ("B", "Liver."),
            ("B", "B. liver"),
            ("B", "A lung or a liver"),
            ("B", None),
        ],
        1,
    )
]


def write_sheet(path, rows):
    if path.suffix == ".tsv":
        pd.DataFrame(rows).to_csv(path, sep="\t", index=False)
        return path
    book = openpyxl.Workbook()
    book.active.append(list(rows[0]))
    for row in rows:
        book.active.append(list(row.values()))
    book.save(path)
    return path


@pytest.mark.parametrize("kind", ["xlsx", "tsv"])
def test_vlmevalkit_grades_only_plain_replies(tmp_path, kind):
    path = write_sheet(tmp_path / f"net_MMBench.{kind}", SHEET)
    assert detect(path) == "vlmevalkit"
    notes, frame = bring(path, mapped(model="net", dataset="MMBench"))
    assert frame["answer"].tolist()[:4] == ["lung", "liver", "liver", "liver"]
    assert frame["correct"].tolist()[:4] == [True, False, True, True]
    assert frame["correct"].isna().tolist() == [False] * 4 + [True] * 2
    assert frame["parse_ok"].tolist()[:5] == [True] * 4 + [False]
    assert frame["confidence"].isna().all()
    assert any("without 'confidence'" in n for n in notes)
    assert any("2 of 6 answers without 'correct'" in n for n in notes)


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
    path = tmp_path / f"{name}.xlsx"
    path.parent.mkdir(parents=True, exist_ok=True)
    notes, frame = bring(write_sheet(path, SHEET))
    assert set(frame["model"]) == {model}
    assert set(frame["dataset"]) == {dataset}
    assert any("--model" in n and "--dataset" in " ".join(notes) for n in notes) == (
        model == "unnamed"
    )


def test_vlmevalkit_judged_and_yes_no_sheets(tmp_path):
    judged = [row | {"hit": k % 2, "category": "organ"} for k, row in enumerate(SHEET)]
    _, frame = bring(write_sheet(tmp_path / "judged.xlsx", judged))
    assert frame["correct"].tolist() == [False, True] * 3
    assert frame["category"].tolist() == ["organ"] * 6
    (tmp_path / "out.sqlite").unlink()
    words = [
        {"index": k, "question": "q", "answer": "Yes", "prediction": p}
        for k, p in enumerate(["Yes.", "no", "Yes, there is"])
    ]
    words.append(words[0] | {"index": 3, "answer": "a rib"})
    _, frame = bring(write_sheet(tmp_path / "words.xlsx", words))
    assert frame["correct"].tolist()[:3] == [True, False, True]
    assert frame["correct"].isna()[3], "an open reply is not graded by a guess"


def test_another_excel_sheet_is_read_as_a_table(tmp_path):
    path = write_sheet(
        tmp_path / "own.xlsx",
        [
            {"item_id": 7, "confidence": 0.5, "correct": True},
            {"item_id": 8, "confidence": "0,25", "correct": "nein"},
        ],
    )
    for reader in ("auto", "table"):
        _, frame = bring(path, reader=reader)
        assert frame["item_id"].tolist() == ["7", "8"]
        assert frame["confidence"].tolist() == [0.5, 0.25]
        assert frame["correct"].tolist() == [True, False]


# --- uqlm -----------------------------------------------------------------------------------------

UQLM = {
    "prompts": ["p1", "p2"],
    "responses": ["yes", "no"],
    "sampled_responses": [["yes", "no"], ["no", "no"]],
    "semantic_negentropy": [0.25, 1.0],
    "exact_match": [0.5, 1.0],
}


def test_uqlm_dictionary(tmp_path):
    path = tmp_path / "uq.json"
    path.write_text(json.dumps({"data": UQLM, "metadata": {"temperature": 1.0}}))
    assert detect(path) == "uqlm"
    notes, frame = bring(path, mapped(model="net"))
    assert frame["strategy"].tolist() == ["exact_match", "semantic_negentropy"] * 2
    assert frame["confidence"].tolist() == [0.5, 0.25, 1.0, 1.0]
    assert frame["correct"].isna().all()
    assert any("4 of 4 answers without 'correct'" in n for n in notes)


def test_uqlm_table_with_grades(tmp_path):
    frame = pd.DataFrame(UQLM).rename(
        columns={"prompts": "prompt", "responses": "response"}
    )
    frame["sampled_responses"] = frame["sampled_responses"].map(str)
    frame["correct"] = [True, False]
    frame.to_csv(tmp_path / "uq.csv", index=False)
    _, read = bring(tmp_path / "uq.csv")
    assert read["item_id"].tolist() == ["1", "1", "2", "2"]
    assert read["correct"].tolist() == [True, True, False, False]
    frame["semantic_negentropy"] = [0.5, 3.0]
    frame.to_csv(tmp_path / "uq.csv", index=False)
    with pytest.raises(
        MedcalError, match=r"row 2, column 'semantic_negentropy': value '3.0'"
    ):
        bring(tmp_path / "uq.csv")


@pytest.mark.parametrize("kind", ["csv", "tsv", "json", "jsonl", "parquet"])
def test_uqlm_tables_are_recognised(tmp_path, kind):
    frame = pd.DataFrame(UQLM).rename(
        columns={"prompts": "prompt", "responses": "response"}
    )
    path = tmp_path / f"uq.{kind}"
    if kind == "parquet":
        frame.to_parquet(path)
    elif kind in ("json", "jsonl"):
        frame.to_json(path, orient="records", lines=kind == "jsonl")
    else:
        frame.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    notes, read = bring(path)
    assert "read as uqlm" in notes[0]
    assert read["strategy"].tolist() == ["exact_match", "semantic_negentropy"] * 2
    assert read["confidence"].tolist() == [0.5, 0.25, 1.0, 1.0]


def test_readers_grade_whole_numbers_written_as_floats(tmp_path):
    path = tmp_path / "uq.csv"
    path.write_text("prompt,response,p_true,gold\np,72,0.5,72.0\np,72,0.5,72.5\n")
    _, read = bring(path)
    assert read["correct"].tolist() == [True, False]


def test_a_table_that_only_resembles_uqlm_stays_a_table(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("prompt,response,conf\np,r,1\n")
    assert detect(path) == "table"
    path.write_text("prompt,response,confidence,p_true,correct\np,r,0.5,0.1,1\n")
    assert detect(path) == "table"
    path.write_text("prompt,response,p_true,ok\np,r,0.5,1\n")
    assert detect(path) == "uqlm"
    read = bring(path, mapped(confidence="p_true", correct="ok"))[1]
    assert read["strategy"].tolist() == ["stated"]


# --- pickles --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["run.man", "results.pkl", "net.pt"])
def test_pickles_are_refused_unopened(tmp_path, name):
    class Hostile:
        def __reduce__(self):
            return (pathlib.Path.touch, (tmp_path / "executed",))

    (tmp_path / name).write_bytes(pickle.dumps(Hostile()))
    for reader in ("auto", "table", "uqlm"):
        with pytest.raises(MedcalError, match="cannot tell the format from"):
            import_file(tmp_path / name, tmp_path / "o.sqlite", reader=reader)
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]


# --- OpenAI batches -------------------------------------------------------------------------------


def call(item, *texts, logprobs=None, status=200):
    return {
        "id": f"batch_req_{item}",
        "custom_id": item,
        "response": {
            "status_code": status,
            "request_id": "r",
            "body": {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "model": "gpt-x",
                "choices": [
                    {
                        "index": k,
                        "message": {
                            "role": "assistant",
                            "content": text,
                            "refusal": None,
                        },
                        "logprobs": None
                        if logprobs is None
                        else {
                            "content": [{"token": "t", "logprob": v} for v in logprobs]
                        },
                        "finish_reason": "stop",
                    }
                    for k, text in enumerate(texts)
                ],
                "usage": {
                    "prompt_tokens": 11,
                    "completion_tokens": 3,
                    "total_tokens": 14,
                },
            },
        },
        "error": None,
    }


FAILED = {
    "id": "batch_req_9",
    "custom_id": "failed",
    "response": None,
    "error": {"code": "batch_expired", "message": "expired"},
}


def test_openai_batch_with_the_items_beside_it(tmp_path):
    rows = [call("other", "", status=500), FAILED]
    rows += [call("a", "Yes", logprobs=[-0.1, -0.3]), call("b", "no", "Yes")]
    path = lines(tmp_path / "batch_output.jsonl", rows)
    (tmp_path / "items.csv").write_text(
        "item_id,gold,modality,question_type\na,yes,ct,closed\nb,no,mri,closed\n"
    )
    assert detect(path) == "openai-batch"
    notes, frame = bring(path, mapped(dataset="d"), items=tmp_path / "items.csv")
    frame = frame.set_index(["item_id", "sample"])
    assert frame["model"].tolist() == ["gpt-x"] * 3
    assert frame["confidence"][("a", 0)] == pytest.approx(math.exp(-0.2))
    assert frame["strategy"][("a", 0)] == "sequence_probability"
    assert frame["correct"].tolist() == [True, True, False]
    assert frame["modality"].tolist() == ["ct", "mri", "mri"]
    assert frame["prompt_tokens"].tolist() == [11, 11, 11]
    assert frame["new_tokens"].tolist() == [2, 3, 3], (
        "those that have a log-probability, if any"
    )
    assert any("2 calls failed" in n for n in notes)
    (tmp_path / "items.csv").write_text("item_id,gold\na,yes\n")
    with pytest.raises(MedcalError, match="item 'b' is not among"):
        bring(path, items=tmp_path / "items.csv")


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ({"options": '["a", "b"'}, "items.jsonl: row 1: JSONDecodeError"),
        (
            {"question_type": "odd"},
            "row 1, column 'question_type': value 'odd' is not one",
        ),
        ({"options": [1, 2], "gold": 1, "question_type": "choice"}, None),
    ],
)
def test_items_that_are_odd_are_named_or_read_as_text(tmp_path, item, says):
    path = lines(tmp_path / "out.jsonl", [call("a", "1")])
    items = lines(tmp_path / "items.jsonl", [{"item_id": "a", "gold": "1"} | item])
    how = {"items": items}
    if says is None:
        _, frame = bring(path, mapped(dataset="d"), **how)
        assert frame["correct"].tolist() == [True]
        return
    with pytest.raises(MedcalError, match=says):
        bring(path, mapped(dataset="d"), **how)


def test_openai_batch_replies_are_taken_apart(tmp_path):
    path = lines(
        tmp_path / "b.jsonl",
        [
            call("a", "Answer: Yes\nConfidence: 62%"),
            call("b", "No."),
            call("c", ""),
            call("d", None),
        ],
    )
    items = "item_id,gold,question_type\na,yes,closed\nb,no,closed\nc,no,closed\nd,no,closed\n"
    (tmp_path / "items.csv").write_text(items)
    _, frame = bring(path, items=tmp_path / "items.csv")
    frame = frame.sort_values("item_id", ignore_index=True)
    assert frame["answer"].tolist()[:2] == ["yes", "no"]
    assert frame["confidence"].tolist()[0] == 0.62
    assert frame["strategy"].tolist() == ["verbalized"] + ["generate"] * 3
    assert frame["correct"].tolist()[:2] == [True, True]
    assert frame["parse_ok"].tolist() == [True, True, False, False]
    assert frame["raw"].tolist()[0].startswith("Answer: Yes")


def test_openai_batch_of_the_responses_interface(tmp_path):
    row = call("a")
    row["response"]["body"] = {
        "object": "response",
        "model": "gpt-y",
        "output": [
            {"type": "reasoning", "summary": []},
            {"type": "message", "content": [{"type": "output_text", "text": "yes"}]},
        ],
        "usage": {"input_tokens": 5, "output_tokens": 2},
    }
    _, frame = bring(lines(tmp_path / "b.jsonl", [row]))
    assert frame.loc[0, ["answer", "model"]].tolist() == ["yes", "gpt-y"]
    assert frame.loc[0, ["prompt_tokens", "new_tokens"]].tolist() == [5, 2]


# --- damage ---------------------------------------------------------------------------------------

BAD = [
    ("lm-eval", [{"doc_id": 1, "target": "x"}], "row 1: no 'filtered_resps'"),
    ("lm-eval", [{"filtered_resps": ["x"], "target": "x"}], "row 1: no 'doc_id'"),
    (
        "lm-eval",
        [choice_sample(0, [-1, -2], 0) | {"filtered_resps": 5}],
        "row 1: TypeError",
    ),
    ("lmms-eval", [{"doc_id": 1, "filtered_resps": ["x"]}], "row 1: no 'target'"),
    ("openai-batch", [{"response": {}}], "row 1: no 'custom_id'"),
    ("openai-batch", [{"custom_id": "a"}], "row 1: no 'response'"),
    ("openai-batch", [call("a")], "row 1: no 'output'"),
    ("openai-batch", [call("a", "x"), call("a", "y")], "are the same answer"),
    ("uqlm", [{"prompt": "x", "p_true": 1}], "row 1: no 'response'"),
    ("vlmevalkit", [{"index": 1}], "row 1: no '(answer|prediction)'"),
    (
        "vqa-rad-replies",
        [{"qid": 1, "question": "q"}],
        "row 1: no '(answer|prediction)'",
    ),
]


@pytest.mark.parametrize(("reader", "rows", "message"), BAD)
def test_other_content_is_named_and_nothing_is_imported(
    tmp_path, reader, rows, message
):
    path = lines(tmp_path / "in.jsonl", rows)
    with pytest.raises(MedcalError, match=message):
        import_file(path, tmp_path / "out.sqlite", reader=reader)
    assert not (tmp_path / "out.sqlite").exists()


def test_sheets_without_the_columns_are_named(tmp_path):
    path = write_sheet(tmp_path / "a.xlsx", [{"index": 1, "answer": "A"}])
    with pytest.raises(MedcalError, match="row 1: no 'prediction'"):
        import_file(path, tmp_path / "out.sqlite", reader="vlmevalkit")
    path.write_bytes(b"PK\x03\x04 not a book")
    with pytest.raises(MedcalError, match=r"BadZipFile.*cut off or damaged"):
        import_file(path, tmp_path / "out.sqlite")


def test_items_go_with_a_reader_only(tmp_path):
    (tmp_path / "a.csv").write_text("item_id,confidence,correct\n1,0.5,1\n")
    with pytest.raises(MedcalError, match="--items goes with a reader"):
        import_file(tmp_path / "a.csv", tmp_path / "o.sqlite", items=tmp_path / "a.csv")


@pytest.mark.parametrize(
    "reader", ["lm-eval", "lmms-eval", "openai-batch", "vlmevalkit", "uqlm"]
)
def test_damaged_logs_raise_our_error_only(tmp_path, reader):
    path = tmp_path / "in.jsonl"
    if reader == "lm-eval":
        lines(path, [choice_sample(k, [-1.0, -k / 3, -2.0], k % 3) for k in range(6)])
    elif reader == "lmms-eval":
        lines(path, [lmms_sample(k, "yes", "yes", exact_match=1.0) for k in range(6)])
    elif reader == "openai-batch":
        lines(path, [call(f"i{k}", "yes", logprobs=[-0.1]) for k in range(4)])
    elif reader == "vlmevalkit":
        path = write_sheet(tmp_path / "in.xlsx", SHEET)
    else:
        path = tmp_path / "in.json"
        path.write_text(json.dumps({"data": UQLM}))
    rounds = 25 if reader == "vlmevalkit" else 40
    seed = random.Random(reader).randrange(100)
    assert survive(path, path.read_bytes(), rounds, seed, reader=reader) > 5
