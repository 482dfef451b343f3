"""Formats of further tools: small files made here, and real ones where they are at hand."""

import gzip
import json
import math
import os
import random
import zipfile

import openpyxl
import pandas as pd
import pytest

from medcal_nb.answers import load_answers
from medcal_nb.errors import MedcalError
from medcal_nb.logs import ColumnMap, import_file
from medcal_nb.logs.registry import Reader, readers

from .test_readers import bring, call, choice_sample, detect, lines
from .test_table import mapped, survive


def tokens(*logprobs):
    return [{"token": "t", "logprob": v} for v in logprobs]


# --- Inspect --------------------------------------------------------------------------------------


def inspect_sample(k, value, answer="A", logprobs=None, **more):
    choice = {"message": {"role": "assistant", "content": f"ANSWER: {answer}"}}
    choice |= {"logprobs": {"content": tokens(*logprobs)}} if logprobs else {}
    output = {
        "model": "m",
        "choices": [choice],
        "usage": {"input_tokens": 9, "output_tokens": 3},
    }
    scores = {"choice": {"value": value, "answer": answer}}
    base = {"id": k, "epoch": 1, "input": "q", "choices": ["x", "y"], "target": "A"}
    return base | {"output": output, "scores": scores} | more


INSPECT = {
    "version": 2,
    "status": "success",
    "eval": {
        "task": "t",
        "model": "lab/net",
        "dataset": {"name": "set"},
        "run_id": "r",
    },
    "plan": {},
    "results": {},
    "samples": [
        inspect_sample("a", "C", logprobs=[-0.1, -0.3]),
        inspect_sample("a", "I", "B", epoch=2),
        inspect_sample("b", 0.5, target=["A", "B"]),
        inspect_sample(
            "c", True, output={}, scores={"s": {"value": "C"}, "t": {"value": 1}}
        ),
    ],
}


def inspect_zip(path, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        header = {k: v for k, v in INSPECT.items() if k != "samples"}
        archive.writestr("header.json", json.dumps(header))
        for k, sample in enumerate(INSPECT["samples"]):
            archive.writestr(f"samples/{k}_epoch_1.json", json.dumps(sample))
    return path


@pytest.mark.parametrize("kind", ["eval", "json"])
def test_inspect(tmp_path, kind):
    path = tmp_path / f"log.{kind}"
    if kind == "eval":
        inspect_zip(path)
    else:
        path.write_text(json.dumps(INSPECT))
    assert detect(path) == "inspect"
    notes, frame = bring(path)
    frame = frame.set_index(["item_id", "sample"]).sort_index()
    assert set(frame["model"]) == {"lab/net"}
    assert set(frame["dataset"]) == {"set"}
    assert frame["correct"].astype(object).tolist()[:2] == [True, False]
    assert frame["correct"].isna()[("b", 0)], "half right is neither"
    assert frame["correct"][("c", 0)], "both scorers say so"
    assert frame["confidence"][("a", 0)] == pytest.approx(math.exp(-0.2))
    assert frame["strategy"].tolist()[:2] == ["sequence_probability", "generate"]
    assert frame["gold"][("b", 0)] == ["A", "B"]
    assert frame["new_tokens"].tolist()[0] == 3
    assert any("3 of 4 answers without 'confidence'" in n for n in notes)


def test_inspect_logs_that_are_none(tmp_path):
    (tmp_path / "a.eval").write_bytes(b"PK\x03\x04 no zip")
    with zipfile.ZipFile(tmp_path / "b.eval", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps(INSPECT | {"samples": None}))
    with zipfile.ZipFile(tmp_path / "c.eval", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("samples/1.json", b"0" * 300_000_000)
    (tmp_path / "d.json").write_text(json.dumps(INSPECT | {"samples": None}))
    for name, said in (
        ("a.eval", "cut off or damaged"),
        ("b.eval", "no rows in it"),
        ("c.eval", "unpacks to 300,000,000 bytes"),
        ("d.json", "no rows in it"),
    ):
        with pytest.raises(MedcalError, match=said):
            bring(tmp_path / name)
    assert not (tmp_path / "out.sqlite").exists()


# --- evalscope ------------------------------------------------------------------------------------


def review(k, answer, acc, **more):
    score = {
        "value": {"acc": acc},
        "extracted_prediction": answer,
        "prediction": f"so\u2028{answer}",
    }
    known = {"score": score, "sample_id": k, "group_id": k}
    return {"index": k, "target": "A", "messages": [], "sample_score": known} | more


def test_evalscope(tmp_path):
    path = tmp_path / "reviews" / "net" / "gpqa_diamond.jsonl"
    path.parent.mkdir(parents=True)
    rows = [
        review(1, "A", 1.0),
        review(2, "B", 0.0),
        review(2, "A", 1.0),
        review(3, "", 0.0),
    ]
    path.write_text(
        "\n".join(json.dumps(r, ensure_ascii=False) for r in rows), encoding="utf-8"
    )
    assert detect(path) == "evalscope"
    notes, frame = bring(path)
    assert frame[["model", "dataset"]].drop_duplicates().values.tolist() == [
        ["net", "gpqa_diamond"]
    ]
    assert frame["correct"].tolist() == [True, False, True, False]
    assert frame["sample"].tolist() == [0, 0, 1, 0]
    assert frame["raw"][0] == "so\u2028A"
    assert frame["parse_ok"].tolist() == [True, True, True, False]
    assert any("without 'confidence'" in n for n in notes)


# --- lighteval ------------------------------------------------------------------------------------


def test_lighteval(tmp_path):
    path = tmp_path / "details" / "org" / "net" / "2026-01-02T03-04-05.6"
    path.mkdir(parents=True)
    path = path / "details_lighteval|medqa|0_2026-01-02T03-04-05.6.parquet"
    choices = {"query": "q", "choices": [" A", " B"], "gold_index": [0]}
    pd.DataFrame(
        {
            "doc": [choices, choices, choices | {"id": "x"}],
            "model_response": [
                {"text": [], "logprobs": [-1.0, -2.0]},
                {"text": [], "logprobs": [-2.0, -1.5]},
                {"text": ["A, I think"], "logprobs": []},
            ],
            "metric": [{"acc": 1}, {"acc": 0}, {"acc": 1}],
        }
    ).to_parquet(path)
    assert detect(path) == "lighteval"
    notes, frame = bring(path)
    assert set(frame["model"]) == {"org/net"}
    assert set(frame["dataset"]) == {"lighteval|medqa|0"}
    frame = frame.set_index("item_id")
    assert frame["answer"][["1", "2", "x"]].tolist() == ["A", "B", "A, I think"]
    assert frame["correct"][["1", "2", "x"]].tolist() == [True, False, True]
    assert frame["confidence"]["1"] == pytest.approx(1 / (1 + math.exp(-1)))
    assert frame["option_probabilities"]["2"] == pytest.approx(
        {"A": 1 / (1 + math.exp(0.5)), "B": 1 / (1 + math.exp(-0.5))}
    )
    assert math.isnan(frame["confidence"]["x"])
    assert any("1 of 3 answers without 'confidence'" in n for n in notes)


def details(path, metrics):
    """A file of lighteval with generated replies and these metrics."""
    doc = {"query": "q", "choices": ["A"], "gold_index": [0]}
    reply = {"text": ["A"], "logprobs": []}
    rows = [{"doc": doc, "model_response": reply, "metric": m} for m in metrics]
    pd.DataFrame(rows).to_parquet(path)
    return path


def test_the_grade_is_the_metric_that_the_user_names_where_several_differ(tmp_path):
    failed = {"extract_fail": 0.0, "idk_freq": 0.0, "idk_score": 1.0, "trad_score": 1.0}
    right = {"extract_fail": 0.0, "idk_freq": 0.0, "idk_score": 0.0, "trad_score": 1.0}
    path = details(tmp_path / "d.parquet", [failed, right])
    names = "extract_fail, idk_freq, idk_score, trad_score"
    with pytest.raises(MedcalError, match=f"{names}; name the one .* --grade NAME"):
        bring(path)
    with pytest.raises(MedcalError, match=f"no metric 'acc' .*{names}"):
        bring(path, ColumnMap(grade="acc"))
    assert not (tmp_path / "out.sqlite").exists()
    _, frame = bring(path, ColumnMap(grade="trad_score"))
    assert frame["correct"].tolist() == [True, True]


def test_metrics_that_agree_are_one_and_the_format_may_name_its_main_one(tmp_path):
    _, frame = bring(
        details(tmp_path / "d.parquet", [{"a": 1, "b": 1}, {"a": 0, "b": 0}])
    )
    assert frame["correct"].tolist() == [True, False]
    row = review(1, "A", 1.0)
    row["sample_score"]["score"]["value"] = {"f1": 0.0, "acc": 1.0}
    path = lines(tmp_path / "r.jsonl", [row])
    with pytest.raises(MedcalError, match="acc, f1"):
        import_file(path, tmp_path / "r.sqlite")
    row["sample_score"]["score"]["main_score_name"] = "acc"
    import_file(lines(path, [row]), tmp_path / "r.sqlite")
    assert load_answers(tmp_path / "r.sqlite")["correct"].tolist() == [True]


def test_a_metric_that_says_neither_does_not_leave_the_grade_to_another(tmp_path):
    path = details(tmp_path / "d.parquet", [{"idk_freq": 0.0, "score": 0.7}])
    with pytest.raises(MedcalError, match="idk_freq, score"):
        bring(path)
    _, frame = bring(path, ColumnMap(grade="score"))
    assert frame["correct"].isna().all(), "0.7 is neither right nor wrong"


# --- HELM -----------------------------------------------------------------------------------------


def helm_state(k, text, logprob, **more):
    references = [
        {"output": {"text": "yes"}, "tags": ["correct"]},
        {"output": {"text": "no"}},
    ]
    completion = {
        "text": text,
        "logprob": logprob,
        "tokens": [{"text": text, "logprob": logprob}],
    }
    return {
        "instance": {"id": k, "references": references},
        "train_trial_index": 0,
        "output_mapping": {"A": "yes", "B": "no"},
        "request": {"model": "lab/net"},
        "result": {"completions": [completion]},
    } | more


@pytest.mark.parametrize("logprob", [0.0, -0.5])
def test_helm(tmp_path, logprob):
    path = tmp_path / "mmlu:subject=virology" / "scenario_state.json"
    path.parent.mkdir()
    states = [
        helm_state("i1", " A", logprob),
        helm_state("i2", "B", 0.0),
        helm_state("i3", "?", 0.0),
    ]
    spec = {"method": "multiple_choice_joint"}
    path.write_text(json.dumps({"adapter_spec": spec, "request_states": states}))
    assert detect(path) == "helm"
    notes, frame = bring(path)
    assert frame["correct"].tolist() == [True, False, False]
    assert frame["gold"].tolist() == ["A"] * 3
    assert frame["parse_ok"].tolist() == [True, True, False]
    assert set(frame["dataset"]) == {"mmlu:subject=virology"}
    if logprob:
        assert frame["confidence"].tolist() == pytest.approx([math.exp(-0.5), 1, 1])
    else:
        assert frame["confidence"].isna().all()
        assert any("3 of 3 answers without 'confidence'" in n for n in notes)


# --- uqlm: judges, BS detector, ensembles, density ------------------------------------------------

PAIR = {"prompts": ["p", "q"], "responses": ["yes", "no"]}


@pytest.mark.parametrize(
    ("value", "strategies"),
    [
        ({"data": PAIR | {"judge_1": [1, 0.5], "avg": [1, 0.5]}}, {"judge_1", "avg"}),
        (
            PAIR | {"confidence_scores": [0.5, 1], "correct_indicators": [True, False]},
            {"confidence_score"},
        ),
        (
            {
                "one": {"data": PAIR | {"ensemble_scores": [0.5, 1]}},
                "two": {"data": PAIR | {"judge_1": [0.5, 1]}},
            },
            {"one:ensemble_score", "two:judge_1"},
        ),
        ({"data": PAIR | {"semantic_density_values": [0.5, 1]}}, {"semantic_density"}),
        (
            PAIR | {"templates": {"likert": {"judge_result": {"scores": [0.75, 1]}}}},
            {"judge_likert"},
        ),
    ],
)
def test_uqlm_results_of_every_kind(tmp_path, value, strategies):
    path = tmp_path / "uq.json"
    path.write_text(json.dumps(value))
    assert detect(path) == "uqlm"
    _, frame = bring(path)
    assert set(frame["strategy"]) == strategies
    assert frame["correct"].notna().all() == ("correct_indicators" in value)
    assert len(frame) == 2 * len(strategies)


# --- traps ----------------------------------------------------------------------------------------


def test_what_simple_evaluate_returns(tmp_path):
    samples = {"pubmedqa": [choice_sample(0, [-1.0, -2.0, -4.0], 0)]}
    value = {"results": {}, "config": {"model_args": "pretrained=org/net,dtype=f"}}
    (tmp_path / "r.json").write_text(json.dumps(value | {"samples": samples}))
    assert detect(tmp_path / "r.json") == "lm-eval-results"
    _, frame = bring(tmp_path / "r.json")
    assert frame.loc[0, ["model", "dataset", "answer"]].tolist() == [
        "org/net",
        "pubmedqa",
        "yes",
    ]


def test_lm_eval_options_that_read_alike_are_numbered(tmp_path):
    sample = choice_sample(0, [-52.0, -43.5], 1) | {
        "target": "always got the easier cases."
    }
    for asked in sample["arguments"].values():
        asked["arg_1"] = "always got the easier cases."
    _, frame = bring(lines(tmp_path / "s.jsonl", [sample]))
    assert frame["answer"].tolist() == ["1"]
    assert frame["correct"].tolist() == [True]
    assert frame["gold"].isna().all()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "a.jsonl",
            "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "Git LFS",
        ),
        (
            "a.parquet",
            "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "line 1 .*LFS",
        ),
        ("a.jsonl", '{\n  "doc_id": 0\n}\n', "line 1 is not JSON.*over several lines"),
        (
            "a.jsonl",
            '{"custom_id": "a", "method": "POST", "url": "/v1", "body": {}}\n',
            "row 1 is a request of a batch",
        ),
    ],
)
def test_files_that_are_something_else_are_named(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(MedcalError, match=said):
        bring(tmp_path / name)
    assert not (tmp_path / "out.sqlite").exists()


def test_sheets_made_to_overwhelm_are_refused(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["index", "answer"])
    book.active.append([1, "A"])
    book.save(tmp_path / "a.xlsx")
    with zipfile.ZipFile(tmp_path / "a.xlsx") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    far = members | {
        sheet: members[sheet].replace(b'<row r="2"', b'<row r="99999999999"')
    }
    big = members | {sheet: members[sheet] + b" " * 400_000_000}
    for name, parts, said in (
        ("far.xlsx", far, "a row beyond 1,048,576"),
        ("big.xlsx", big, "unpacks to"),
    ):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in parts.items():
                archive.writestr(member, content)
        with pytest.raises(MedcalError, match=said):
            bring(tmp_path / name)


def test_another_package_may_add_a_reader(tmp_path, monkeypatch):
    def read(source):
        yield {
            "item_id": source.value["id"],
            "answer": "a",
            "confidence": 0.5,
            "correct": True,
        }

    class Point:
        def load(self):
            return Reader("mine", lambda first: "mine" in first, read)

    monkeypatch.setattr("medcal_nb.logs.registry.entry_points", lambda group: [Point()])
    readers.cache_clear()
    try:
        (tmp_path / "a.json").write_text('{"mine": 1, "id": 7}')
        notes, frame = bring(tmp_path / "a.json")
    finally:
        monkeypatch.undo()
        readers.cache_clear()
    assert "read as mine" in notes[0]
    assert frame["item_id"].tolist() == ["7"]


# --- odd values in every place --------------------------------------------------------------------

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


VALUES = {
    "inspect": INSPECT,
    "helm": {
        "adapter_spec": {"method": "multiple_choice_joint"},
        "request_states": [helm_state("i1", "A", -0.5), helm_state("i2", "B", -1.0)],
    },
    "evalscope": [review(1, "A", 1.0), review(2, "B", 0.0)],
    "lm-eval-results": {
        "results": {},
        "samples": {"t": [choice_sample(0, [-1.0, -2.0], 0)]},
    },
    "lmms-eval": [choice_sample(k, [-1.0, -2.0], 0) for k in range(2)],
    "openai-batch": [call(f"i{k}", "yes", logprobs=[-0.1]) for k in range(2)],
    "uqlm": {
        "data": PAIR | {"judge_1": [1, 0.5], "avg": [1, 0.5], "gold": ["yes", "no"]}
    },
}


@pytest.mark.parametrize("reader", VALUES)
def test_odd_values_in_any_place_come_in_or_are_named(tmp_path, reader):
    dice = random.Random(reader)
    came = 0
    for k in range(40):
        path = tmp_path / "in.json"
        path.write_text(json.dumps(bent(VALUES[reader], dice)))
        to = tmp_path / f"{k}.sqlite"
        try:
            import_file(path, to, reader="auto" if k % 4 == 0 else reader)
        except MedcalError:
            assert not to.exists()
        else:
            load_answers(to)
            came += 1
    assert came > 2


@pytest.mark.parametrize("kind", ["eval", "gz", "parquet"])
def test_damaged_packed_logs_raise_our_error_only(tmp_path, kind):
    path = tmp_path / f"in.{'json.gz' if kind == 'gz' else kind}"
    if kind == "eval":
        inspect_zip(path)
    elif kind == "gz":
        path.write_bytes(gzip.compress(json.dumps(VALUES["lmms-eval"]).encode()))
    else:
        doc = {"query": "q", "choices": ["A", "B"], "gold_index": [0]}
        reply = {"text": [], "logprobs": [-1.0, -2.0]}
        frame = {"doc": [doc], "model_response": [reply], "metric": [{"acc": 1}]}
        pd.DataFrame(frame).to_parquet(path)
    assert survive(path, path.read_bytes(), 30, 4) > 5


# --- real files -----------------------------------------------------------------------------------

REAL = {
    "native_logs/evalscope/reviews_first3.jsonl": ("evalscope", 3, 2),
    "native_logs/helm/scenario_state_mmlu_virology_claude-3-opus_first20.json": (
        "helm",
        20,
        12,
    ),
    "native_logs/inspect/2025-05-12T20-28-13-04-00_popularity.json": (
        "inspect",
        3,
        None,
    ),
    "native_logs/inspect/log_formats.eval": ("inspect", 1, 0),
    "native_logs/inspect/log_formats.json": ("inspect", 1, 0),
    "native_logs/inspect/log_images.json": ("inspect", 1, 0),
    "native_logs/inspect/mmlu-summary-choices.eval": ("inspect", 1, 0),
    "native_logs/lm_eval/samples_winogrande_2024-12-23T13-17-27.691350.jsonl": (
        "lm-eval",
        10,
        7,
    ),
    "native_logs/uqlm/bsdetector_results_file.json": ("uqlm", 6, 4),
    "native_logs/uqlm/ensemble_results_file.json": ("uqlm", 60, 0),
    "native_logs/uqlm/llmjudge_results_file.json": ("uqlm", 12, 0),
}


@pytest.mark.real
@pytest.mark.parametrize("name", REAL)
def test_real_logs_come_in(real_dir, tmp_path, name):
    reader, rows, right = REAL[name]
    assert detect(real_dir / name) == reader
    done = import_file(real_dir / name, tmp_path / "o.sqlite", mapped(model="m"))
    frame = load_answers(tmp_path / "o.sqlite")
    assert done.rows == len(frame) == rows
    if right is not None:
        assert frame["correct"].sum() == right
    assert os.path.getsize(tmp_path / "o.sqlite") > 0
    if reader in ("helm", "inspect", "evalscope"):
        assert frame["confidence"].isna().all()


@pytest.mark.real
def test_a_real_log_without_grades_is_refused_by_name(real_dir, tmp_path):
    path = real_dir / "native_logs/evalscope/predictions_first3.jsonl"
    with pytest.raises(MedcalError, match=r"predictions of evalscope.*folder reviews"):
        import_file(path, tmp_path / "o.sqlite")
    assert not (tmp_path / "o.sqlite").exists()


def test_predictions_of_evalscope_are_refused_by_name(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"index": 3, "model": "m", "model_output": {"choices": []}}\n')
    with pytest.raises(MedcalError, match=r"predictions of evalscope.*folder reviews"):
        import_file(path, tmp_path / "o.sqlite")


# --- replies of several models -------------------------------------------------------------------


def test_replies_of_several_models_become_answers_of_each(tmp_path):
    path = tmp_path / "replies.csv"
    path.write_text(
        "qid,image_name,image_organ,question,answer,answer_type,one-2.5,two\n"
        '7,x.jpg,ABD,Free air?,Yes,CLOSED,"Yes, there is.",\n'
        "8,x.jpg,HEAD,Where?,left,OPEN,left,left\n"
        "9,y.jpg,CHEST,Normal?,no,CLOSED,No.,yes\n"
    )
    log = tmp_path / "a.sqlite"
    done = import_file(path, log)
    assert any("than yes or no are left out" in note for note in done.notes)
    rows = load_answers(log).set_index(["model", "item_id"])
    assert len(rows) == 4
    assert rows["confidence"].isna().all()
    assert rows.loc[("one-2.5", "7"), ["answer", "modality", "image_id"]].tolist() == [
        "yes", "abdomen", "x.jpg",
    ]  # fmt: skip
    assert rows.loc[("one-2.5", "7"), "correct"]
    assert not rows.loc[("two", "9"), "correct"]
    assert rows.loc[[("two", "7")], "correct"].isna().all()


def test_a_number_in_a_reply_is_no_confidence_where_none_was_asked_for(tmp_path):
    path = tmp_path / "sheet.tsv"
    path.write_text(
        "index\tquestion\tanswer\tprediction\tA\tB\n"
        "1\thow many?\tB\tThe share is 30%, so B\tone\ttwo\n"
        "2\twhat?\ta chart\tThe chart shows 45%\t\t\n"
    )
    import_file(path, tmp_path / "a.sqlite")
    frame = load_answers(tmp_path / "a.sqlite")
    assert frame["confidence"].isna().all()
    assert set(frame["strategy"]) == {"generate"}
    assert frame["answer"][1] == "The chart shows 45%"


def test_a_log_without_grades_says_how_it_is_graded(tmp_path):
    path = tmp_path / "results.json"
    value = {
        "prompts": ["1 + 1", "2 + 2"],
        "responses": ["2", "5"],
        "exact_match": [1.0, 0.5],
    }
    path.write_text(json.dumps(value))
    columns = ColumnMap({"model": "m", "dataset": "d"})
    done = import_file(path, tmp_path / "bare.sqlite", columns)
    (note,) = [text for text in done.notes if "2 of 2 answers" in text]
    assert "--items TABLE" in note
    golds = tmp_path / "golds.csv"
    golds.write_text("item_id,gold\n1,2\n2,4\n")
    done = import_file(path, tmp_path / "graded.sqlite", columns, items=golds)
    graded = load_answers(tmp_path / "graded.sqlite")
    assert graded["correct"].tolist() == [True, False]
    assert not [text for text in done.notes if "answers without" in text]
