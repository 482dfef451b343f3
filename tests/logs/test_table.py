"""Import of any table, and what it refuses."""

import gzip
import json
import random
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medcal_nb.answers import ANSWER_COLUMNS, AnswerLog, export_answers, load_answers
from medcal_nb.errors import MedcalError
from medcal_nb.logs import ColumnMap, import_file
from tests.answers.test_answers import QUICK, answers
from tests.damage import damaged

HEAD = "item_id,confidence,correct\n"


def mapped(*, logits=(), percent=False, allow_missing=False, **named):
    """The map of columns that the options of the command line make."""
    ours = {"item": "item_id", "image": "image_id"}
    named = {ours.get(option, option): theirs for option, theirs in named.items()}
    return ColumnMap(named, logits, percent, allow_missing)


def bring(tmp_path, content, name="in.csv", columns=None, **options):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = import_file(path, tmp_path / "out.sqlite", columns, **options)
    return done, load_answers(tmp_path / "out.sqlite")


def test_what_is_not_said_is_filled_in_and_noted(tmp_path):
    done, frame = bring(tmp_path, HEAD + "007,0.5,true\n08,1,0\n", "scan.csv")
    assert frame["item_id"].tolist() == ["007", "08"]
    assert frame["model"].tolist() == ["unnamed"] * 2
    assert frame["dataset"].tolist() == ["scan"] * 2
    assert frame["strategy"].tolist() == ["stated"] * 2
    assert frame["correct"].tolist() == [True, False]
    assert done.rows == done.written == 2
    assert any("--model" in note for note in done.notes)
    done, frame = bring(tmp_path, "confidence,correct\n0.5,1\n0.5,1\n", "new.csv")
    assert any("rows are numbered" in note for note in done.notes)
    assert frame["item_id"].tolist() == ["1", "2", "007", "08"]
    assert frame["dataset"].tolist() == ["new", "new", "scan", "scan"]


def test_columns_are_mapped_and_others_kept(tmp_path):
    columns = mapped(
        dataset="d",
        domain="medical",
        split="test",
        model="net",
        strategy="stated",
        item="id",
        image="pic",
        modality="kind",
        confidence="sure",
        answer="said",
        gold="answer",
        percent=True,
    )
    _, frame = bring(
        tmp_path,
        "id,pic,kind,sure,said,answer,net,site\n"
        "1,p,ct,85%,Yes ,yes,gpt,east\n"
        "2,p,ct,8.5,no,yes,gpt,west\n",
        columns=columns,
    )
    assert frame["confidence"].tolist() == [0.85, 0.085]
    assert frame["correct"].tolist() == [True, False]
    assert frame["model"].tolist() == ["gpt"] * 2
    assert frame["strategy"].tolist() == ["stated"] * 2
    assert frame["site"].tolist() == ["east", "west"]
    assert frame["split"].tolist() == ["test"] * 2
    assert frame["image_id"].tolist() == ["p", "p"]
    assert frame["modality"].tolist() == ["ct", "ct"]


def test_whole_numbers_written_as_floats_are_graded_as_numbers(tmp_path):
    columns = mapped(gold="gold", allow_missing=True)
    rows = "1,0.5,1,1.0\n2,0.5,1.05,1.0\n3,0.5,2,\n4,0.5,10,1.0\n5,0.5,v1,v1.0\n6,0.5,-3.00,-3\n"
    _, frame = bring(
        tmp_path, "item_id,confidence,answer,gold\n" + rows, columns=columns
    )
    assert frame["correct"].fillna(False).tolist() == [
        True,
        False,
        False,
        False,
        False,
        True,
    ]
    assert frame["correct"].isna().tolist() == [False, False, True, False, False, False]
    lists = 'item_id,confidence,answer,gold\n7,0.5,1,"[""1.0"", ""one""]"\n'
    _, frame = bring(tmp_path, lists, columns=columns)
    assert frame["correct"][6]


def test_option_scores_become_probabilities(tmp_path):
    scores = np.array([[1000.0, 1001.0, -1000.0], [0.0, 0.0, -np.inf]])
    frame = pd.DataFrame(scores, columns=["s_x_A", "s_x_B%", 's_x_"C"'])
    frame["gold"] = ["b%", "B%"]
    frame["item_id"] = [1, 2]
    frame.to_parquet(tmp_path / "in.parquet")
    columns = mapped(logits=tuple(frame.columns[:3]), model="m")
    import_file(tmp_path / "in.parquet", tmp_path / "o.sqlite", columns)
    read = load_answers(tmp_path / "o.sqlite")
    assert read["answer"].tolist() == ["B%", "A"]
    assert read["correct"].tolist() == [True, False]
    assert read["strategy"].tolist() == ["option_probability"] * 2
    e = np.exp(1.0)
    assert read["confidence"].tolist() == pytest.approx([e / (1 + e), 0.5])
    assert read["option_probabilities"][0] == pytest.approx(
        {"A": 1 / (1 + e), "B%": e / (1 + e), '"C"': 0}
    )


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_every_format_gives_the_same_answers(tmp_path, kind):
    frame = pd.DataFrame(
        {
            "item_id": ["1", "2"],
            "answer": ["yes", 'a,\t"b"\nc'],
            "confidence": [0.5, 0.25],
            "correct": [True, False],
        }
    )
    path = tmp_path / f"in.{kind}"
    if kind in ("csv", "tsv"):
        frame.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    elif kind == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_json(path, orient="records", lines=kind == "jsonl")
    import_file(path, tmp_path / "out.sqlite")
    read = load_answers(tmp_path / "out.sqlite")
    pd.testing.assert_frame_equal(
        read[frame.columns.tolist()], frame, check_dtype=False
    )


def test_small_differences_of_csv(tmp_path):
    text = '\ufeffitem_id;confidence;correct;answer\r\n1;0.5;1;\r\n2;0.5;1;""\r\n'
    _, frame = bring(tmp_path, text)
    assert frame["answer"].tolist()[1] == ""
    assert pd.isna(frame["answer"][0])


def test_importing_again_changes_nothing_and_other_content_is_a_conflict(tmp_path):
    bring(tmp_path, HEAD + "1,0.5,1\n")
    done, _ = bring(tmp_path, HEAD + "1,0.5,1\n2,0.5,1\n")
    assert (done.rows, done.written) == (2, 1)
    with pytest.raises(MedcalError, match=r"there already with.*item_id=2"):
        bring(tmp_path, HEAD + "2,0.9,1\n3,0.5,1\n")
    assert len(load_answers(tmp_path / "out.sqlite")) == 2
    done, frame = bring(tmp_path, HEAD + "2,0.9,1\n3,0.5,1\n", if_exists="ignore")
    assert (done.written, frame["confidence"].tolist()) == (1, [0.5, 0.5, 0.5])
    done, frame = bring(tmp_path, HEAD + "2,0.9,1\n3,0.5,1\n", if_exists="replace")
    assert (done.written, frame["confidence"].tolist()) == (1, [0.5, 0.9, 0.5])


@QUICK
@given(answers, st.sampled_from(["csv", "parquet"]))
def test_importing_an_export_is_the_identity(tmp_path_factory, rows, kind):
    folder = tmp_path_factory.mktemp("identity")
    with AnswerLog(folder / "a.sqlite") as log:
        log.append(rows)
    export_answers(folder / "a.sqlite", folder / f"a.{kind}")
    import_file(folder / f"a.{kind}", folder / "b.sqlite")
    export_answers(folder / "b.sqlite", folder / f"b.{kind}")
    assert (folder / f"a.{kind}").read_bytes() == (folder / f"b.{kind}").read_bytes()
    pd.testing.assert_frame_equal(
        load_answers(folder / "a.sqlite"), load_answers(folder / "b.sqlite")
    )


PEAK = """
import resource, sys
from medcal_nb.logs import import_file
import_file(sys.argv[1], sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path, kind):
    peaks = []
    for n in (100_000, 500_000):
        frame = pd.DataFrame(
            {"item_id": np.arange(n), "confidence": np.linspace(0, 1, n)}
        )
        frame["correct"] = frame["item_id"] % 2
        frame["model"] = "m"
        path = tmp_path / f"{n}.{kind}"
        frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
        done = subprocess.run(
            [sys.executable, "-c", PEAK, path, tmp_path / f"{n}.sqlite"],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] < peaks[0] + 150, "megabytes; the whole table would be far more"


def test_missing_values_are_kept_only_when_asked_for(tmp_path):
    text = HEAD + "1,0.5,1\n2,,1\n3,0.5,\n"
    with pytest.raises(
        MedcalError, match=r"row 2, column 'confidence'.*--allow-missing"
    ):
        bring(tmp_path, text)
    done, frame = bring(tmp_path, text, columns=mapped(allow_missing=True))
    assert frame["confidence"].isna().tolist() == [False, True, False]
    assert frame["correct"].isna().tolist() == [False, False, True]
    assert sum("1 of 3 answers without" in note for note in done.notes) == 2


def test_a_column_in_percent_is_divided_when_it_is_said_to_be(tmp_path):
    text = HEAD + "1,0,1\n2,0.5,0\n3,1,0\n4,95,1\n5,100.00000001,1\n6,85%,1\n"
    with pytest.raises(
        MedcalError, match=r"row 6, column 'confidence': value '85%'.*--percent"
    ):
        bring(tmp_path, text)
    _, frame = bring(tmp_path, text, columns=mapped(percent=True))
    assert frame["confidence"].tolist() == [0, 0.005, 0.01, 0.95, 1, 0.85]


def test_what_rounding_puts_outside_is_clipped(tmp_path):
    _, frame = bring(
        tmp_path, HEAD + "1,1.0000000001,1\n2,-1e-9,0\n3,0.5,1\n4,1.0000009,1\n"
    )
    assert frame["confidence"].tolist() == [1, 0, 0.5, 1]


BAD = [
    (
        "percent column",
        HEAD + "1,0.5,1\n2,85,1\n",
        {},
        "row 2, column 'confidence': value '85'.*--percent",
    ),
    (
        "percent sign",
        HEAD + "1,0.5,1\n2,85%,1\n",
        {},
        "row 2, column 'confidence': value '85%'.*--percent",
    ),
    (
        "above 100 percent",
        HEAD + "1,850,1\n",
        {"percent": True},
        "'850' is outside 0 to 100",
    ),
    ("below 0", HEAD + "1,-0.2,1\n", {}, "value '-0.2' is outside"),
    ("NaN", HEAD + "1,nan,1\n", {}, "row 1, column 'confidence'.*missing"),
    ("infinite", HEAD + "1,inf,1\n", {}, "value 'inf' is outside"),
    ("text for a number", HEAD + "1,sure,1\n", {}, "value 'sure' is not a number"),
    (
        "two commas",
        HEAD + '1,"0,8,5",1\n',
        {},
        "'0,8,5' is not a number; .*write 0.85",
    ),
    ("grade in words", HEAD + "1,0.5,half\n", {}, "column 'correct': value 'half'"),
    ("missing grade", HEAD + "1,0.5,\n", {}, "column 'correct'.*is missing"),
    (
        "double keys",
        HEAD + "1,0.5,1\n2,0.5,1\n1,0.5,0\n",
        {},
        "rows 1 and 3 are the same answer",
    ),
    ("missing id", HEAD + ",0.5,1\n", {}, "column 'item_id'.*missing"),
    (
        "unknown column",
        HEAD + "1,0.5,1\n",
        {"confidence": "confidense"},
        "no column 'confidense', which was asked for; did you mean 'confidence'",
    ),
    (
        "unknown item",
        HEAD + "1,0.5,1\n",
        {"item": "nr"},
        "no column 'nr', which was asked for",
    ),
    (
        "no confidence",
        "item_id,correct\n1,1\n",
        {},
        "no column 'confidence'; name it by --confidence",
    ),
    (
        "no grade",
        "item_id,confidence\n1,1\n",
        {},
        "nothing says which answers are correct",
    ),
    (
        "gold without answer",
        "item_id,confidence,gold\n1,1,a\n",
        {},
        "nothing says which answers",
    ),
    (
        "other domain",
        "domain," + HEAD + "animals,1,0.5,1\n",
        {},
        "'animals' is not one of general, medical, other",
    ),
    (
        "fractional sample",
        "sample," + HEAD + "0.5,1,0.5,1\n",
        {},
        "0.5' is not a whole number",
    ),
    ("unknown logits", HEAD + "1,0.5,1\n", {"logits": ("a", "b")}, "no column 'a'"),
    ("one logit", "a_A,gold\n1,A\n", {"logits": ("a_A",)}, "needs two or more"),
    (
        "same options",
        "a_A,b_A,gold\n1,1,A\n",
        {"logits": ("a_A", "b_A")},
        "different options",
    ),
    (
        "missing logit",
        "a_A,a_B,gold\n1,,A\n",
        {"logits": ("a_A", "a_B")},
        "row 1, column 'a_B'.*is missing; write a number",
    ),
    (
        "no logit at all",
        "a_A,a_B,gold\n-inf,-inf,A\n",
        {"logits": ("a_A", "a_B")},
        "row 1, column 'option_probabilities'.*not a probability",
    ),
    ("empty file", "", {}, "the file is empty"),
    ("header only", HEAD, {}, "no rows"),
    ("blank header", "\n1,2\n3,4\n", {}, "no column .confidence.; .*columns are 1, 2"),
    (
        "double columns",
        "item_id,confidence,confidence,correct\n1,1,1,1\n",
        {},
        "two columns are called 'confidence'",
    ),
    (
        "cut off",
        HEAD + "1,0.5,1\n2,0.",
        {},
        "cut off.*Row #3: Expected 3 columns, got 2",
    ),
    ("too many cells", HEAD + "1,0.5,1,9\n", {}, "as many cells in every row"),
    (
        "latin-1",
        HEAD.encode() + "1,0.5,1\nm\xfcde,0.5,1\n".encode("latin-1"),
        {},
        "not a table in UTF-8.*Row #3: .*invalid UTF8",
    ),
    (
        "latin-1 header",
        "Gr\xf6\xdfe,confidence\n".encode("latin-1"),
        {},
        "not a table in UTF-8",
    ),
    ("utf-16", HEAD.encode("utf-16"), {}, "UTF-16.*save it as UTF-8"),
    (
        "windows-1252 name",
        "prénom,confidence\n".encode("latin-1"),
        {},
        "save it as 'CSV UTF-8'",
    ),
]


@pytest.mark.parametrize(
    ("content", "columns", "message"), [b[1:] for b in BAD], ids=[b[0] for b in BAD]
)
def test_bad_csv_is_refused_and_nothing_is_imported(
    tmp_path, content, columns, message
):
    with pytest.raises(MedcalError, match=rf"in.csv.*{message}") as caught:
        bring(tmp_path, content, columns=mapped(**columns))
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["in.csv"]


BAD_JSONL = [
    (
        "cut off",
        '{"item_id": 1, "confidence": 0.5, "correct": true}\n{"item_id": 2, "con',
        "line 2 is .*cut off",
    ),
    ("not JSON", '{"item_id": 1}\nitem 2\n', "line 2 is not JSON"),
    ("not objects", "[1, 2]\n", "row 1 is not an object"),
    (
        "latin-1",
        '{"item_id": "m\xfc"}\n'.encode("latin-1"),
        "line 1 is not JSON in UTF-8",
    ),
    (
        "broken unicode",
        '{"item_id": "\\ud800", "confidence": 1, "correct": 1}',
        "written as Unicode",
    ),
    (
        "nested number",
        '{"item_id": 1, "confidence": {"p": 1}, "correct": 1}',
        "not a number",
    ),
    (
        "boolean",
        '{"item_id": 1, "confidence": true, "correct": 1}',
        "True is not a number",
    ),
    ("deep", "[" * 100_000, "line 1 is .*cut off"),
]


@pytest.mark.parametrize(
    ("content", "message"), [b[1:] for b in BAD_JSONL], ids=[b[0] for b in BAD_JSONL]
)
def test_bad_jsonl_is_refused(tmp_path, content, message):
    with pytest.raises(MedcalError, match=rf"in.jsonl.*{message}"):
        bring(tmp_path, content, "in.jsonl")
    assert not (tmp_path / "out.sqlite").exists()


def test_other_files_are_refused(tmp_path):
    with pytest.raises(MedcalError, match="no such file"):
        import_file(tmp_path / "none.csv", tmp_path / "o.sqlite")
    with pytest.raises(MedcalError, match="a folder"):
        import_file(tmp_path, tmp_path / "o.sqlite")
    for name in ("notes.txt", "book.docx"):
        (tmp_path / name).write_text("x")
        with pytest.raises(MedcalError, match="cannot tell the format"):
            import_file(tmp_path / name, tmp_path / "o.sqlite")
    with pytest.raises(MedcalError, match=r"no column 'confidence'.*columns are a"):
        bring(tmp_path, '{"a": 1}', "a.json")
    with pytest.raises(MedcalError, match="row 1 is not an"):
        bring(tmp_path, "5", "a.json")
    with pytest.raises(MedcalError, match="not JSON in UTF-8, cut"):
        bring(tmp_path, '[{"a": 1}', "a.json")
    with pytest.raises(MedcalError, match="not a Parquet file"):
        bring(tmp_path, gzip.compress(b"x" * 99), "a.parquet")
    with pytest.raises(MedcalError, match="no reader 'magic'"):
        bring(tmp_path, HEAD + "1,0.5,1\n", reader="magic")


def test_a_fault_late_in_a_long_file_leaves_nothing(tmp_path):
    n = 150_000
    lines = "".join(f"{i},0.5,1\n" for i in range(n))
    with AnswerLog(tmp_path / "out.sqlite") as log:
        log.append([{"model": "m", "dataset": "d", "item_id": "x", "strategy": "s"}])
    with pytest.raises(
        MedcalError, match=f"row {n + 1}, column 'confidence': value '7'"
    ):
        bring(tmp_path, HEAD + lines + f"{n},7,1\n")
    with pytest.raises(MedcalError, match=f"rows 6 and {n + 1} are the same answer"):
        bring(tmp_path, HEAD + lines + "5,0.5,1\n")
    with pytest.raises(MedcalError, match="not a table in UTF-8"):
        bring(tmp_path, (HEAD + lines).encode() + b"\xff,0.5,1\n")
    assert len(load_answers(tmp_path / "out.sqlite")) == 1
    assert not list(tmp_path.glob(".*part*"))


def test_a_cell_longer_than_a_block_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("medcal_nb.answers.files.BLOCK", 4096)
    text = (
        "answer," + HEAD + "".join(f"{'x' * n},{n},0.5,1\n" for n in (10, 20_000, 10))
    )
    with pytest.raises(MedcalError, match=r"in\.csv: not a table"):
        bring(tmp_path, text)
    _, frame = bring(
        tmp_path, "answer," + HEAD + "".join(f"a,{n},0.5,1\n" for n in range(5000))
    )
    assert len(frame) == 5000


def test_columns_may_come_and_go_in_jsonl(tmp_path, monkeypatch):
    rows = [{"item_id": i, "confidence": 0.5, "correct": 1} for i in range(6)]
    rows[4]["site"] = "east"
    rows[5] |= {"answer": "late", "site": None}
    text = "\n".join(json.dumps(r) for r in rows)
    _, frame = bring(tmp_path, text, "in.jsonl")
    assert frame["answer"].tolist()[5] == "late"
    assert frame["site"].tolist()[4] == "east"


def test_columns_that_begin_after_the_first_block_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("medcal_nb.answers.files.CHUNK", 2)
    rows = [{"item_id": i, "confidence": 0.5, "correct": 1} for i in range(6)]
    rows[3] |= {"answer": "late", "site": "east"}
    text = "\n".join(json.dumps(r) for r in rows)
    _, frame = bring(tmp_path, text, "in.jsonl")
    assert frame["answer"].tolist()[3] == "late"
    assert frame["site"].tolist()[3] == "east"
    assert frame["answer"].isna().sum() == 5


# --- damage ---------------------------------------------------------------------------------------


def survive(path, whole, rounds, seed, **options):
    """Damaged files import whole or raise our error, and leave no half behind."""
    dice = random.Random(seed)
    said = []
    for k in range(rounds):
        path.write_bytes(damaged(whole, dice))
        to = path.with_name(f"out{k}.sqlite")
        try:
            import_file(path, to, **options)
        except MedcalError as error:
            said.append(str(error))
            assert not to.exists()
        else:
            load_answers(to)
            to.unlink()
    assert not list(path.parent.glob(".*part*"))
    assert not any("\n" in message for message in said)
    return len(said)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "json"])
def test_damaged_tables_raise_our_error_only(tmp_path, kind):
    n = 80
    frame = pd.DataFrame(
        {
            "item_id": [f"q{i}" for i in range(n)],
            "answer": [f"wörd {i}" for i in range(n)],
            "confidence": np.linspace(0, 1, n).round(3),
            "correct": np.arange(n) % 2 == 0,
        }
    )
    path = tmp_path / f"in.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "parquet":
        frame.to_parquet(path, row_group_size=20)
    else:
        frame.to_json(path, orient="records", lines=kind == "jsonl", force_ascii=False)
    assert survive(path, path.read_bytes(), 60, 3) > 15


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.binary(max_size=200), st.sampled_from(["csv", "tsv", "jsonl", "json", "parquet"])
)
def test_any_bytes_raise_our_error_only(tmp_path_factory, content, kind):
    folder = tmp_path_factory.mktemp("bytes")
    if content:
        with pytest.raises(MedcalError):
            bring(folder, content, f"in.{kind}")


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.tuples(st.text(max_size=5), st.text(max_size=6), st.text(max_size=4)),
        max_size=4,
    )
)
def test_any_cells_import_whole_or_not_at_all(tmp_path_factory, cells):
    folder = tmp_path_factory.mktemp("cells")
    rows = [{"item_id": a, "confidence": b, "correct": c} for a, b, c in cells]
    text = "\n".join(json.dumps(r) for r in rows)
    try:
        done, frame = bring(folder, text, "in.jsonl")
    except MedcalError:
        assert not (folder / "out.sqlite").exists()
    else:
        assert len(frame) == done.rows == len(rows)
        assert frame["confidence"].between(0, 1).all()


def test_a_missing_option_score_is_named_also_among_floats(tmp_path):
    table = {
        "item_id": [1, 2],
        "a_A": [1.0, 2.0],
        "a_B": [0.5, None],
        "gold": ["A", "B"],
    }
    pd.DataFrame(table).to_parquet(tmp_path / "in.parquet")
    columns = ColumnMap(logits=("a_A", "a_B"))
    with pytest.raises(MedcalError, match=r"row 2, column 'a_B'"):
        import_file(tmp_path / "in.parquet", tmp_path / "out.sqlite", columns)


# --- tables that were hard to read ----------------------------------------------------------------


def test_a_parquet_file_whose_row_labels_repeat(tmp_path):
    part = pd.DataFrame(
        {"item_id": [1, 2], "confidence": [0.5, 0.25], "correct": [True, False]}
    )
    frame = pd.concat([part, part.assign(item_id=[3, 4])])
    assert frame.index.has_duplicates
    frame.to_parquet(tmp_path / "in.parquet")
    import_file(tmp_path / "in.parquet", tmp_path / "out.sqlite")
    read = load_answers(tmp_path / "out.sqlite")
    assert read["item_id"].tolist() == ["1", "2", "3", "4"]
    assert read.columns.tolist() == ANSWER_COLUMNS
    frame.set_index("item_id").to_parquet(tmp_path / "named.parquet")
    import_file(tmp_path / "named.parquet", tmp_path / "named.sqlite")
    assert load_answers(tmp_path / "named.sqlite")["item_id"].tolist() == [
        "1",
        "2",
        "3",
        "4",
    ]


def test_thousands_of_columns_are_looked_at_once(tmp_path):
    head = ",".join(f"c{i}" for i in range(100_000))
    row = json.dumps({f"c{i}": i for i in range(200_000)})
    for name, content in (("in.csv", f"{head}\n{'1,' * 99_999}1\n"), ("in.jsonl", row)):
        with pytest.raises(MedcalError, match=r"[12]00,000 columns, more than 10,000"):
            bring(tmp_path, content, name)


@pytest.mark.parametrize(
    "deep", ['{"a":' * 700 + "1" + "}" * 700, "[" * 700 + "]" * 700]
)
def test_values_nested_hundreds_deep_are_refused(tmp_path, deep):
    text = f'{{"item_id": 1, "confidence": 1, "correct": 1, "note": {deep}}}'
    with pytest.raises(MedcalError, match=r"row 1, column 'note'.*64 deep"):
        bring(tmp_path, text, "in.jsonl")


def test_line_ends_within_json_texts_are_kept(tmp_path):
    rows = [
        {"item_id": i, "answer": "a\u2028b\x85c", "confidence": 1, "correct": 1}
        for i in (1, 2)
    ]
    text = "\n".join(json.dumps(r, ensure_ascii=False) for r in rows)
    _, frame = bring(tmp_path, text, "in.jsonl")
    assert frame["answer"].tolist() == ["a\u2028b\x85c"] * 2


# --- killed ---------------------------------------------------------------------------------------

IMPORT = """
import sys
import time
from medcal_nb.logs import ColumnMap, import_file
print("begun", flush=True)
import_file(sys.argv[1], sys.argv[2], ColumnMap({"dataset": sys.argv[3]}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("known", [False, True])
def test_an_import_killed_at_any_moment_leaves_nothing_half(tmp_path, known):
    n = 200_000
    frame = pd.DataFrame({"item_id": np.arange(n), "confidence": 0.5, "correct": True})
    frame.to_parquet(tmp_path / "in.parquet")
    log = tmp_path / "log.sqlite"
    if known:
        with AnswerLog(log) as opened:
            opened.append(
                [{"model": "m", "dataset": "d", "item_id": "x", "strategy": "s"}]
            )
    before = int(known)
    dice = random.Random(5)
    command = [sys.executable, "-c", IMPORT, tmp_path / "in.parquet", log]
    whole = subprocess.Popen([*command[:-1], tmp_path / "whole.sqlite", "set0"])
    started = time.monotonic()
    assert whole.wait() == 0
    k, deaths, took = 0, 0, time.monotonic() - started
    while deaths < 6:
        k += 1
        worker = subprocess.Popen([*command, f"set{k}"], stdout=subprocess.PIPE)
        worker.stdout.readline()
        time.sleep(dice.uniform(0, 0.8 * took))
        worker.kill()
        died = worker.wait() != 0
        worker.stdout.close()
        deaths += died
        took *= 1.0 if died else 0.7  # it was done before the kill: strike earlier
        if log.exists():
            AnswerLog(log).close()
            con = sqlite3.connect(log)
            sizes = con.execute(
                "SELECT COUNT(*) FROM answers GROUP BY dataset"
            ).fetchall()
            con.close()
            assert {size for (size,) in sizes} <= {n, before}
    done = import_file(tmp_path / "in.parquet", log, mapped(dataset="set0"))
    assert done.rows == n
    assert (load_answers(log)["dataset"] == "set0").sum() == n
    names = {p.name for p in tmp_path.iterdir()}
    # parts of those that were killed are gone
    assert names == {"in.parquet", "whole.sqlite", "log.sqlite"}


def test_option_scores_are_no_percent(tmp_path):
    table, logits = "id,l_A,l_B,gold\n1,2,0,A\n", ["l_A", "l_B"]
    columns = mapped(item="id", gold="gold", logits=logits, percent=True)
    _, frame = bring(tmp_path, table, columns=columns)
    assert frame["confidence"][0] == pytest.approx(1 / (1 + np.exp(-2)))


@pytest.mark.parametrize("quoted", [",", ',""'])
def test_an_empty_grade_is_missing_quoted_or_not(tmp_path, quoted):
    table = f'{HEAD}"1","0.8"{quoted}\n"2","0.7","true"\n'
    _, frame = bring(tmp_path, table, columns=mapped(allow_missing=True))
    assert frame["correct"].isna().tolist() == [True, False]


def test_maps_of_arrow_are_option_probabilities(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    options = pa.array(
        [[("yes", 0.8), ("no", 0.2)]], pa.map_(pa.string(), pa.float64())
    )
    table = {"item_id": ["1"], "confidence": [0.8], "correct": [True]}
    pq.write_table(
        pa.table(table | {"option_probabilities": options}), tmp_path / "in.parquet"
    )
    import_file(tmp_path / "in.parquet", tmp_path / "a.sqlite", mapped())
    assert load_answers(tmp_path / "a.sqlite")["option_probabilities"][0] == {
        "yes": 0.8,
        "no": 0.2,
    }


def test_percent_of_a_column_in_0_to_1_is_remarked_on(tmp_path):
    table = HEAD + "1,0.001,1\n2,0.9,1\n"
    done, _ = bring(tmp_path, table, columns=mapped(percent=True))
    assert any("is --percent right?" in note for note in done.notes)


PLAIN = [f"q{i},m,0.{i + 50},{i % 2}" for i in range(12)]


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        (
            "q\u200b0,m,0.5,1",
            r"row 13, column 'item_id': .*u200b.*nobody sees; take it",
        ),
        ("q0,M,0.5,1", r"row 13, column 'model': value 'M' and 'm' differ by case"),
        ("q0,m ,0.5,1", r"row 13, column 'model': value 'm ' and 'm' differ by"),
        ("q0,m\ufeff,0.5,1", r"row 13, column 'model'.* differ by .*unseen"),
    ],
)
def test_names_that_look_alike_are_refused(tmp_path, extra, told):
    path = tmp_path / "t.csv"
    lines = ["item_id,model,confidence,correct", *PLAIN, extra]
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(MedcalError, match=told):
        import_file(path, tmp_path / "o.sqlite")
    assert not (tmp_path / "o.sqlite").exists()


def test_a_name_that_stands_twice_in_an_object_is_refused(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(
        '{"item_id": "a", "confidence": 0.9, "confidence": 0.1, "correct": 1}'
    )
    with pytest.raises(MedcalError, match=r"line 1 .*'confidence' stands twice"):
        import_file(path, tmp_path / "o.sqlite")


def test_a_packed_table_is_to_be_unpacked(tmp_path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress("\n".join(PLAIN).encode()))
    with pytest.raises(MedcalError, match=r"t\.csv\.gz: .*unpack it first"):
        import_file(path, tmp_path / "o.sqlite")
