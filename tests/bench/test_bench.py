"""The benches run, on tiny sizes, and compare what they say they compare."""

import shutil
import subprocess
import sys

import pandas as pd
import pytest

from medcal_nb.ask.backends.local import LocalModel
from medcal_nb.ask.run import ordered_items
from medcal_nb.ask.strategies import STRATEGIES, Plan
from tests.ask.tiny import tiny_checkpoint, tiny_items
from tests.bench import bench_ask

pytestmark = pytest.mark.slow


def test_generate_gives_the_same_answers_for_more_positions():
    backend = LocalModel(*tiny_checkpoint(), name="tiny", device="cpu")
    plan = Plan(dataset="tiny", samples=2, max_new_tokens=5)
    # a pipeline decides by itself; there is no peer of it here
    others = [how for name, how in STRATEGIES.items() if name != "decision"]
    asked = [how for how in others if how.skips(backend) is None]
    frame = bench_ask.measure(backend, asked, ordered_items(tiny_items(4)), plan)
    positions = frame.set_index("way")["positions"]
    # 2.8 times; what is shared less costs more
    assert positions[["batched", "single"]].min() > 2.7 * positions["ours"]
    assert (
        positions["whole prompts"] > positions["method by method"] > positions["ours"]
    )
    assert frame["greedy"].equals(frame["greedy_equal"])
    assert frame["labels"].equals(frame["labels_close"])
    assert frame[["greedy", "labels"]].gt(0).all(axis=None)


def test_statistics_are_timed_beside_their_peers(tmp_path):
    pytest.importorskip("relplot", reason="make bench installs it")
    from tests.bench import bench_measure

    table = bench_measure.main(["--n", "1000", "--out", str(tmp_path)])
    assert (tmp_path / "measure.csv").is_file()
    loops = table[table["tool"].str.contains("loop")]
    assert len(loops) == 5
    assert loops["ratio"].gt(0).all()  # how many times is no matter of a test


def test_the_client_keeps_requests_under_way(tmp_path, root):
    command = [sys.executable, "-m", "tests.bench.bench_ask_client", "--items", "2"]
    command += ["--only", "late", "--out", str(tmp_path)]
    subprocess.run(command, check=True, cwd=root)
    (row,) = pd.read_csv(tmp_path / "ask_client.csv").to_dict("records")
    assert row["requests"] > 64
    # one at a time would be two a second
    assert row["steady_per_second"] > 20


@pytest.mark.browser
@pytest.mark.skipif(
    not (shutil.which("chromium") or shutil.which("chromium-browser")),
    reason="no chromium on this machine: `make browser` installs Debian's",
)
def test_each_control_of_the_explorer_is_timed_as_a_page_and_in_lab(tmp_path, root):
    command = [sys.executable, "-m", "tests.bench.bench_explore", "--n", "300"]
    command += ["--rounds", "1", "--out", str(tmp_path)]
    subprocess.run(command, check=True, cwd=root)
    table = pd.read_csv(tmp_path / "explore.csv")
    seconds = table.pivot(index="control", columns="where", values="seconds")
    assert len(seconds) == 8
    # at least a frame each; how long is no matter of a test
    assert seconds[["JupyterLab", "page"]].gt(0.001).all(axis=None)
