"""Answers and readers for the tests of this folder."""

import html
import re

import numpy as np
import pandas as pd
import pytest

from medcal_nb.reader.cases import Casebook
from medcal_nb.reader.view import Reader
from tests.reader_answers import DATASET, write_answers

ABOUT = {"reader": "ada", "model": "m", "dataset": "d", "strategy": "s"}


@pytest.fixture(scope="session")
def answers(tmp_path_factory):
    return write_answers(tmp_path_factory.mktemp("answers") / "answers.sqlite")


@pytest.fixture
def reader(answers, tmp_path):
    return Reader(
        answers,
        decisions=tmp_path / "d.sqlite",
        reader="ada",
        strategy="verbalized",
        model_first=True,
    )


@pytest.fixture(scope="session")
def book(answers):
    return Casebook(answers, dataset=DATASET, model="simulated", strategy="verbalized")


def text(markup):
    """What a reader sees of HTML."""
    plain = re.sub(r"<style>.*?</style>|<[^>]+>", " ", markup, flags=re.S)
    words = " ".join(html.unescape(plain).split())
    return re.sub(r" ([;,.:])", r"\1", words)


def table_of(n, *, strategy="s", seed=0, **columns):
    """Answers of one model to n items, each about an image of its own."""
    confidence = np.random.default_rng(seed).random(n).round(3)
    usual = {
        "model": "m",
        "dataset": "nowhere",
        "strategy": strategy,
        "sample": 0,
        "answer": "yes",
        "item_id": [f"q{i:04d}" for i in range(n)],
        "confidence": confidence,
        "gold": "yes",
        "question_type": "closed",
        "modality": "ct",
        "correct": True,
        "split": "test",
    }
    return pd.DataFrame(usual | columns)


def casebook(tmp_path, *tables, **chosen):
    path = tmp_path / "a.parquet"
    pd.concat(tables).to_parquet(path)
    return Casebook(path, **chosen)
