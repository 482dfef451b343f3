"""Fetching recorded answers and items, from a server on loopback; refusing hostile pickles."""

import hashlib
import json
import os
import pickle
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from medcal_nb.answers import AnswerLog, load_answers
from medcal_nb.cli import app
from medcal_nb.errors import MedcalError
from medcal_nb.fetch import (
    DATASETS,
    MODELS,
    Remote,
    bench_files,
    bench_rows,
    download,
    fetch,
    hub_files,
    import_bench,
    load_pickle,
)

from .test_hub import make_vqa_rad

# --- a server on loopback ------------------------------------------------------------------------


class Server:
    """Serves files from memory, with ranges, and fails on demand.

    ``faults[path]`` is a list of what the next requests for a path meet: a status to answer, or
    ``("cut", n)``: promise all, send `n` bytes, hang up.
    """

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.ranges = True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                outer.answer(self)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, request):
        path, wanted = request.path, request.headers.get("Range")
        self.asked.append((path, wanted))
        fault = self.faults[path].pop(0) if self.faults.get(path) else None
        if isinstance(fault, int):
            request.send_response(fault)
            request.send_header("Content-Length", "0")
            if fault == 429:
                request.send_header("Retry-After", "7")
            request.end_headers()
            return
        if path not in self.files:
            request.send_error(404)
            return
        body, start = self.files[path], 0
        if wanted and self.ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                request.send_response(416)
                request.send_header("Content-Length", "0")
                request.end_headers()
                return
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(body) - start))
        request.end_headers()
        body = body[start:]
        if fault is not None:
            body = body[: fault[1]]
            request.close_connection = True
        request.wfile.write(body)


@pytest.fixture
def server():
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def sleep():
    waited = []

    def wait(seconds):
        waited.append(seconds)

    wait.waited = waited
    return wait


def bench_pickle(logits, gold, *, protocol=4, **more):
    """Return the bytes of a file as the benchmark's own script writes it."""
    rows = [
        {
            "id": i, "question": f"Question {i}?", "hint": None, "A": "one", "B": "two",
            "C": "three", "D": "four", "E": "I don't know", "F": "None of the above", "answer": g,
            "category": "attribute_recognition", "logits": np.asarray(x, dtype=np.float32), **more,
        }
        for i, (x, g) in enumerate(zip(logits, gold, strict=True))
    ]  # fmt: skip
    return pickle.dumps(rows, protocol=protocol)


def serve_bench(server, models=("Qwen-VL", "Yi-VL-6B"), datasets=("mmbench", "oodcv")):
    rng = np.random.default_rng(3)
    for model in models:
        for dataset in datasets:
            logits = rng.normal(15, 3, (30, 6))
            server.files[f"/output/{model}/{dataset}.pkl"] = bench_pickle(
                logits, [str(g) for g in rng.choice(list("ABCD"), 30)]
            )


# --- pickles -------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(3, 6))
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", "int64", "bool", "c8"])
def test_arrays_of_numbers_come_back(tmp_path, protocol, dtype):
    array = np.arange(12).reshape(3, 4).astype(dtype)
    wanted = {"x": array, "f": np.asfortranarray(array), "empty": array[:0], "y": np.float32(2.5),
              "z": None, "t": ("é", b"\0", 2**70, 0.5, [True])}  # fmt: skip
    data = pickle.dumps(wanted, protocol=protocol)
    (tmp_path / "a.pkl").write_bytes(data)
    found, plain = load_pickle(tmp_path / "a.pkl"), pickle.loads(data)
    for name in ("x", "f", "empty"):
        assert np.array_equal(found[name], plain[name])
        assert found[name].shape == plain[name].shape
        assert found[name].dtype.kind == array.dtype.kind
    assert found["y"] == 2.5
    assert (found["z"], found["t"]) == (None, wanted["t"])


def test_the_names_that_numpy_1_wrote(tmp_path):
    data = pickle.dumps(np.arange(6.0), protocol=3)
    old = data.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    assert b"cnumpy.core.multiarray\n" in old
    (tmp_path / "a.pkl").write_bytes(old)
    assert np.array_equal(load_pickle(tmp_path / "a.pkl"), np.arange(6.0))


class Evil:
    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(0, 6))
def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path, protocol):
    victim = tmp_path / "ran"
    for evil in (
        Evil(os.system, f"touch {victim}"),
        Evil(eval, f"open({str(victim)!r}, 'w')"),
        Evil(os.mkdir, str(victim)),
        Evil(getattr, "", "format"),
        Evil(np.fromfile, str(victim)),
        [{"id": 1, "logits": Evil(exec, f"open({str(victim)!r}, 'w')")}],
    ):
        path = tmp_path / "evil.pkl"
        path.write_bytes(pickle.dumps(evil, protocol=protocol))
        with pytest.raises(MedcalError, match=r"evil.pkl: is refused as a pickle: it asks for"):
            load_pickle(path)
        assert not victim.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy.lib.npyio\nload\n(S'x'\ntR.",
        b"cnumpy.testing._private.utils\nruncode\n.",
        b"c__builtin__\neval\n(S'1'\ntR.",
        b"cbuiltins\ngetattr\n.",
        b"c_codecs\nencode\n(S'x'\ntR.",
        b"ccopyreg\n_reconstructor\n.",
        b"\x80\x02\x82\x01.",  # extension registry
        b"Pwhatever\n.",  # persistent id
    ],
)
def test_names_that_are_not_arrays_are_refused(tmp_path, data):
    (tmp_path / "a.pkl").write_bytes(data)
    with pytest.raises(MedcalError, match=r"is refused as a pickle|is damaged"):
        load_pickle(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    "value",
    [np.array([{"a": 1}, None], dtype=object), np.array(["text"]), np.zeros(2, dtype="i4,f4"),
     np.array(["2026-01-01"], dtype="M8[D]")],
)  # fmt: skip
def test_arrays_of_anything_but_numbers_are_refused(tmp_path, value):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(MedcalError, match=r"is refused as a pickle: an array of .* holds more"):
        load_pickle(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    ("honest", "lie"),
    [
        # an empty array that has two thousand million cells
        (b"K\x00\x85", b"J\x00\x00\x00\x7f\x85"),
        # a type of number whose flags say that it holds objects
        (b"J\xff\xff\xff\xffK\x00t", b"J\xff\xff\xff\xffK\x3ft"),
        # more cells than bytes
        (b"K\x01K\x03K\x04\x86", b"K\x01K\x03K\x09\x86"),
        # filled from a list
        (b"\x89C", b"\x89]C"),
        # another class than the array's
        (b"cnumpy\nndarray", b"cnumpy\ndtype"),
    ],
)
def test_arrays_that_lie_about_themselves_are_refused(tmp_path, honest, lie):
    whole = pickle.dumps(np.arange(12, dtype="f4").reshape(3, 4), protocol=3)
    assert honest in whole
    (tmp_path / "a.pkl").write_bytes(whole.replace(honest, lie))
    with pytest.raises(MedcalError, match=r"is refused as a pickle|is damaged"):
        load_pickle(tmp_path / "a.pkl")


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_damaged_pickle_is_one_line_of_error_or_plain_values(tmp_path, data):
    whole = bytearray(bench_pickle(np.ones((3, 6)), "ABC"))
    kind = data.draw(st.sampled_from(["cut", "flip", "noise"]))
    if kind == "cut":
        broken = bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    elif kind == "flip":
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] ^= 1 << data.draw(st.integers(0, 7))
        broken = bytes(whole)
    else:
        broken = data.draw(st.binary(max_size=200))
    path = tmp_path / "Qwen-VL" / "mmbench.pkl"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(broken)
    message = str(path)
    try:
        bench_rows(path)
    except MedcalError as error:
        message = str(error)
    assert message.startswith(str(path))
    assert "\n" not in message


# --- downloading ---------------------------------------------------------------------------------


def test_download_and_its_hash(server, tmp_path):
    server.files["/a"] = os.urandom(700_000)
    seen = []
    digest = download(server.url + "/a", tmp_path / "b" / "a", progress=seen.append)
    assert (tmp_path / "b" / "a").read_bytes() == server.files["/a"]
    assert digest == hashlib.sha256(server.files["/a"]).hexdigest()
    assert sum(seen) == 700_000
    assert not (tmp_path / "b" / "a.part").exists()


def test_a_broken_connection_is_carried_on(server, tmp_path, sleep):
    server.files["/a"] = os.urandom(400_000)
    server.faults["/a"] = [("cut", 100_000), 503, ("cut", 50_000)]
    seen = []
    download(server.url + "/a", tmp_path / "a", progress=seen.append, sleep=sleep)
    assert (tmp_path / "a").read_bytes() == server.files["/a"]
    assert [r for _, r in server.asked] == [None, "bytes=100000-", "bytes=100000-", "bytes=150000-"]
    assert sum(seen) == 400_000


def test_an_interrupted_run_is_carried_on(server, tmp_path):
    server.files["/a"] = os.urandom(90_000)
    (tmp_path / "a.part").write_bytes(server.files["/a"][:30_000])
    download(server.url + "/a", tmp_path / "a")
    assert server.asked == [("/a", "bytes=30000-")]
    assert (tmp_path / "a").read_bytes() == server.files["/a"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_part_that_is_too_long_or_a_server_without_ranges(server, tmp_path, ranges):
    server.ranges = ranges
    server.files["/a"] = os.urandom(5_000)
    (tmp_path / "a.part").write_bytes(b"x" * (9_000 if ranges else 1_000))
    seen = []
    download(server.url + "/a", tmp_path / "a", progress=seen.append)
    assert (tmp_path / "a").read_bytes() == server.files["/a"]
    assert sum(seen) == 5_000


def test_it_gives_up_with_a_remedy_and_keeps_the_part(server, tmp_path, sleep):
    server.files["/a"] = os.urandom(50_000)
    server.faults["/a"] = [("cut", 20_000)] + [500] * 20
    with pytest.raises(MedcalError, match=r"stopped after 5 tries \(HTTP 500\); run the same"):
        download(server.url + "/a", tmp_path / "a", sleep=sleep)
    assert (tmp_path / "a.part").stat().st_size == 20_000
    assert sleep.waited == sorted(sleep.waited)
    server.faults.clear()
    download(server.url + "/a", tmp_path / "a", sleep=sleep)
    assert (tmp_path / "a").read_bytes() == server.files["/a"]


def test_a_named_pause_is_kept(server, tmp_path, sleep):
    server.files["/a"] = b"body"
    server.faults["/a"] = [429]
    download(server.url + "/a", tmp_path / "a", sleep=sleep)
    assert sleep.waited == [7.0]


def test_faults_of_a_download_say_what_to_do(server, tmp_path, sleep):
    with pytest.raises(MedcalError, match="HTTP 404, there is no such file"):
        download(server.url + "/a", tmp_path / "a", sleep=sleep)
    server.files["/b"] = b""
    server.faults["/b"] = [403]
    with pytest.raises(MedcalError, match="HTTP 403, access is refused"):
        download(server.url + "/b", tmp_path / "a", sleep=sleep)
    with pytest.raises(MedcalError, match="is no http or https address"):
        download("file:///etc/passwd", tmp_path / "a")
    with pytest.raises(MedcalError, match=r"stopped after 2 tries \(.*refused"):
        download("http://127.0.0.1:9/a", tmp_path / "a", attempts=2, sleep=sleep)
    (tmp_path / "plain").write_text("")
    with pytest.raises(MedcalError, match="can't be written"):
        download(server.url + "/b", tmp_path / "plain" / "a")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_told(server, tmp_path):
    server.files["/a"] = os.urandom(300_000)
    (tmp_path / "a.part").symlink_to("/dev/full")
    with pytest.raises(MedcalError, match="a: the disk is full; free some space and run the same"):
        download(server.url + "/a", tmp_path / "a")


def test_the_manifest_notices_changes(server, tmp_path):
    server.files["/a"] = b"first"
    remote = Remote("sub/a", server.url + "/a")
    assert fetch([remote], tmp_path, progress=False) == [tmp_path / "sub" / "a"]
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["sub/a"] == {
        "url": server.url + "/a",
        "sha256": hashlib.sha256(b"first").hexdigest(),
        "bytes": 5,
    }
    fetch([remote], tmp_path, progress=False)
    assert len(server.asked) == 1  # not asked for again

    (tmp_path / "sub" / "a").write_bytes(b"changed")
    with pytest.raises(MedcalError, match=r"sub/a: differs from manifest.json; delete it, or"):
        fetch([remote], tmp_path, progress=False)
    (tmp_path / "sub" / "a").unlink()
    server.files["/a"] = b"other"
    with pytest.raises(MedcalError, match=r"came with SHA-256 .* was expected; it was dropped"):
        fetch([remote], tmp_path, progress=False)
    assert not (tmp_path / "sub" / "a").exists()
    fetch([remote], tmp_path, progress=False, again=True)
    assert (tmp_path / "sub" / "a").read_bytes() == b"other"

    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(MedcalError, match=r"manifest.json: is no manifest"):
        fetch([remote], tmp_path, progress=False)


def test_a_stated_hash_is_checked_and_paths_stay_inside(server, tmp_path):
    server.files["/a"] = b"body"
    with pytest.raises(MedcalError, match="was expected"):
        fetch([Remote("a", server.url + "/a", sha256="0" * 64)], tmp_path, progress=False)
    for path in ("../a", "/etc/a", "a\\b", ""):
        with pytest.raises(MedcalError, match="is no path inside"):
            fetch([Remote(path, server.url + "/a")], tmp_path, progress=False)


def test_a_pointer_to_a_large_file_is_followed(server, tmp_path):
    body = b"the large file"
    pointer = (
        "version https://git-lfs.github.com/spec/v1\n"
        f"oid sha256:{hashlib.sha256(body).hexdigest()}\nsize {len(body)}\n"
    )
    server.files["/a"] = pointer.encode()
    server.files["/media/a"] = body
    (path,) = fetch([Remote("a", server.url + "/a")], tmp_path, progress=False)
    assert path.read_bytes() == body
    server.files["/media/a"] = b"another file"
    with pytest.raises(MedcalError, match="does not have the stated hash"):
        fetch([Remote("b", server.url + "/a")], tmp_path, progress=False)


# --- recorded logits -----------------------------------------------------------------------------


def test_the_list_of_files():
    assert (len(MODELS), len(DATASETS)) == (26, 5)
    assert len(bench_files()) == 130
    (one,) = bench_files(models=["Qwen-VL"], datasets=["oodcv"])
    assert one.path == "Qwen-VL/oodcv.pkl"
    assert one.url.startswith(
        "https://raw.githubusercontent.com/EnSec-AI/VLM-Uncertainty-Bench/24c9226f"
    )
    with pytest.raises(MedcalError, match="model 'gpt' is not known; known: MoE"):
        bench_files(models=["gpt"])
    with pytest.raises(MedcalError, match="benchmark 'mmlu' is not known; known: mmbench"):
        bench_files(datasets=["mmlu"])


def test_rows_become_answers(tmp_path):
    path = tmp_path / "Qwen-VL" / "mmbench.pkl"
    path.parent.mkdir()
    logits = np.log([[0.5, 0.2, 0.1, 0.1, 0.05, 0.05], [0.1, 0.1, 0.1, 0.6, 0.05, 0.05]])
    path.write_bytes(bench_pickle(logits, "AB", image_path="data/images/7.jpg"))
    assert import_bench([path], tmp_path / "log.sqlite", progress=False) == 2
    answers = load_answers(tmp_path / "log.sqlite")
    assert list(answers["answer"]) == ["A", "D"]
    assert list(answers["correct"]) == [True, False]
    assert answers["confidence"].to_numpy() == pytest.approx([0.5, 0.6], abs=1e-6)
    assert answers["option_probabilities"].iloc[0]["B"] == pytest.approx(0.2, abs=1e-6)
    first = answers.iloc[0]
    assert (first["model"], first["dataset"], first["domain"]) == ("Qwen-VL", "mmbench", "general")
    assert (first["strategy"], first["question_type"]) == ("option_probability", "choice")
    assert (first["item_id"], first["image_id"]) == ("0", "7.jpg")
    assert first["category"] == "attribute_recognition"
    # safe to repeat
    assert import_bench([path], tmp_path / "log.sqlite", progress=False) == 0


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ({"a": 1}, "holds no list of rows"),
        ([1], "holds no list of rows"),
        ([{"id": 1, "answer": "A"}], "row 1: no 'logits'"),
        ([{"id": 1, "answer": "A", "logits": np.ones(4)}], "row 1: 'logits' are not 6 finite"),
        ([{"id": 1, "answer": "A", "logits": np.full(6, np.nan)}], "row 1: 'logits' are not 6"),
        ([{"id": 1, "answer": "Z", "logits": np.ones(6)}], "row 1: 'answer' 'Z' is no letter"),
    ],
)
def test_rows_of_another_form_are_named(tmp_path, rows, says):
    path = tmp_path / "oodcv.pkl"
    path.write_bytes(pickle.dumps(rows))
    with pytest.raises(MedcalError, match=says):
        bench_rows(path)


def test_the_command_fetches_recorded_answers(server, tmp_path):
    serve_bench(server)
    command = ["fetch", "vlm-uncertainty-bench", "--models", "Qwen-VL,Yi-VL-6B", "--datasets",
               "mmbench,oodcv", "--to", str(tmp_path), "--mirror", server.url]  # fmt: skip
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0
    assert "120 new answers from 4 files" in done.output
    log = tmp_path / "vlm-uncertainty-bench.sqlite"
    with AnswerLog(log, read_only=True) as opened:
        assert len(opened) == 120
    asked = len(server.asked)
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert "0 new answers" in done.output
    assert len(server.asked) == asked


def test_the_command_leaves_no_half_import(server, tmp_path):
    serve_bench(server, models=["Qwen-VL"])
    server.files["/output/Qwen-VL/oodcv.pkl"] = pickle.dumps(Evil(os.system, "true"))
    command = ["fetch", "vlm-uncertainty-bench", "--models", "Qwen-VL", "--datasets",
               "oodcv", "--to", str(tmp_path), "--mirror", server.url]  # fmt: skip
    with pytest.raises(MedcalError, match="is refused as a pickle"):
        CliRunner().invoke(app, command, catch_exceptions=False)
    assert not (tmp_path / "vlm-uncertainty-bench.sqlite").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fetch", "gpt"], "fetch 'gpt': is not known; known: vlm-uncertainty-bench, vqa-rad"),
        (["fetch", "vqa-rad", "--models", "a"], "--log are for recorded answers"),
        (["fetch", "vlm-uncertainty-bench", "--revision", "x"], "--revision is for items"),
    ],
)
def test_faults_of_the_command(arguments, says):
    with pytest.raises(MedcalError, match=says):
        CliRunner().invoke(app, arguments, catch_exceptions=False)


# --- items ---------------------------------------------------------------------------------------


def serve_vqa_rad(server, folder, *, stated=None):
    make_vqa_rad(folder)
    tree = [{"type": "directory", "path": "data"}, {"type": "file", "path": "README.md", "size": 3}]
    for path in sorted((folder / "data").iterdir()):
        data = path.read_bytes()
        name = f"data/{path.name}"
        oid = stated or hashlib.sha256(data).hexdigest()
        tree.append({"type": "file", "path": name, "size": len(data), "lfs": {"oid": oid}})
        server.files[f"/datasets/flaviagiammarino/vqa-rad/resolve/main/{name}"] = data
    server.files["/api/datasets/flaviagiammarino/vqa-rad/tree/main?recursive=true"] = json.dumps(
        tree
    ).encode()


def test_the_command_fetches_items(server, tmp_path):
    serve_vqa_rad(server, tmp_path / "source")
    command = ["fetch", "vqa-rad", "--to", str(tmp_path / "to"), "--mirror", server.url]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0
    assert "5 items about 3 images in 2 files; ask with --dataset vqa-rad:" in done.output
    manifest = json.loads((tmp_path / "to" / "vqa-rad" / "manifest.json").read_text())
    assert list(manifest) == [
        "data/test-00000-of-00001.parquet",
        "data/train-00000-of-00001.parquet",
    ]


def test_items_that_come_with_another_hash_are_dropped(server, tmp_path):
    serve_vqa_rad(server, tmp_path / "source", stated="1" * 64)
    with pytest.raises(MedcalError, match="was expected; it was dropped"):
        fetch(hub_files("vqa-rad", mirror=server.url), tmp_path / "to", progress=False)


def test_a_repository_without_the_files_is_told(server, sleep):
    where = "/api/datasets/flaviagiammarino/vqa-rad/tree/v9?recursive=true"
    with pytest.raises(MedcalError, match="HTTP 404"):
        hub_files("vqa-rad", revision="v9", mirror=server.url, sleep=sleep)
    server.files[where] = b"[]"
    with pytest.raises(MedcalError, match=r"holds none of data/\*.parquet at v9"):
        hub_files("vqa-rad", revision="v9", mirror=server.url, sleep=sleep)
    server.files[where] = b"<html>"
    with pytest.raises(MedcalError, match="answers with something else than JSON"):
        hub_files("vqa-rad", revision="v9", mirror=server.url, sleep=sleep)


# --- the real values -----------------------------------------------------------------------------


@pytest.mark.real
def test_recorded_logits_give_the_published_calibration_errors(server, tmp_path, real_dir):
    """Serve the real logits in the benchmark's own format; fetch, import and score them."""
    from medcal_nb.measure import ece

    models = ["Qwen-VL", "llava-v1.5-7b", "Yi-VL-34B"]
    for dataset in ("mmbench", "oodcv"):
        table = pd.read_parquet(real_dir / "vlm_uncertainty_bench" / f"{dataset}.parquet")
        for model in models:
            rows = table[table["model"] == model]
            logits = rows[[f"logit_{letter}" for letter in "ABCDEF"]].to_numpy()
            server.files[f"/output/{model}/{dataset}.pkl"] = bench_pickle(logits, rows["gold"])
    files = bench_files(models=models, datasets=["mmbench", "oodcv"], mirror=server.url)
    import_bench(fetch(files, tmp_path, progress=False), tmp_path / "log.sqlite", progress=False)
    answers = load_answers(tmp_path / "log.sqlite")
    published = pd.read_csv(real_dir / "vlm_uncertainty_bench" / "published_ece.csv")
    published = published.set_index("model_name")
    for (model, dataset), rows in answers.groupby(["model", "dataset"]):
        found = ece(rows["confidence"].to_numpy(), rows["correct"].to_numpy(dtype=bool), n_bins=15)
        assert found == pytest.approx(published.loc[model, f"ece_{dataset}"], abs=5e-6)
