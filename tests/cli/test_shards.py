"""A cluster's way: parts of the items asked by jobs of their own, then brought together."""

import pandas as pd
import pytest

from medcal_nb.answers import load_answers
from tests.ask.tiny import save_checkpoint
from tests.cli.test_answers_cli import medcal


@pytest.mark.slow
def test_parts_merged_are_the_whole_and_merging_is_safe_to_repeat(tmp_path):
    folder = save_checkpoint(tmp_path / "checkpoint")
    ask = [
        "ask",
        "--model",
        folder,
        "--dataset",
        "pocketvqa-medical",
        "--n",
        12,
        "--samples",
        2,
    ]
    ask += ["--strategies", "verbalized,sequence_probability,self_consistency"]
    ask += ["--max-new-tokens", 4]
    medcal(*ask, "--to", tmp_path / "whole.sqlite")
    parts = [tmp_path / f"part-{i}.sqlite" for i in (1, 2, 3)]
    for i, part in enumerate(parts, 1):
        medcal(*ask, "--shard", f"{i}/3", "--to", part)
    to = tmp_path / "answers.sqlite"
    merge = ["merge", *parts, "--to", to]
    whole = load_answers(tmp_path / "whole.sqlite")
    assert f"{len(whole)} answers added from 3 logs" in medcal(*merge).stdout
    assert "0 answers added from 3 logs" in medcal(*merge).stdout
    # a job that the scheduler starts again changes nothing
    again = medcal(*ask, "--shard", "2/3", "--to", parts[1])
    assert "0 answers written" in again.stderr
    assert "0 answers added from 3 logs" in medcal(*merge).stdout
    drop = ["run_id", "seconds"]
    pd.testing.assert_frame_equal(
        load_answers(to).drop(columns=drop), whole.drop(columns=drop)
    )
