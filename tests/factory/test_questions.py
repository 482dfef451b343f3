"""Questions: even odds without the image, splits that share no image."""

from collections import Counter, defaultdict

import numpy as np
import pandas as pd
import pytest

from data.pocket.factory import questions as ask
from data.pocket.factory import scenes as world
from medcal_nb.datasets import ITEM_COLUMNS
from tests.item_schema import keeps_the_schema


@pytest.fixture(scope="module")
def many():
    """Two questions about each of 2,500 scenes per modality, unrendered."""
    frames = []
    for modality in world.MODALITIES:
        rng = np.random.default_rng(11)
        facts = world.draw_facts(modality, 2500, rng=rng)
        asked = ask.draw_questions(facts, rng=rng, per_image=2)
        domain = "general" if modality in world.GENERAL_MODALITIES else "medical"
        group = np.where(asked["trivial"], f"any-{domain}", modality)
        frames.append(asked.assign(template=group + ":" + asked["template"]))
    return pd.concat(frames, ignore_index=True)


def blind_accuracy(items):
    """Share right of language alone and of chance, by template.

    The guesser knows the gold answers to the other half of the images, and gives the most frequent
    one to the same text (of the template, if the text is new) among the options.
    """
    items = items.assign(half=items["scene"] % 2)
    tally = defaultdict(Counter)
    for row in items.itertuples():
        tally[row.half, row.template][row.gold] += 1
        tally[row.half, row.template, row.question][row.gold] += 1
    results = []
    for row in items.itertuples():
        every = tally[1 - row.half, row.template]
        counts = tally.get((1 - row.half, row.template, row.question), every)
        options = row.options or sorted(every)
        guess = max(options, key=counts.__getitem__)
        results.append((row.template, guess == row.gold, 1 / len(options)))
    table = pd.DataFrame(results, columns=["template", "blind", "chance"])
    return table.groupby("template").mean()


def test_language_alone_guesses_at_chance(many):
    n = many.groupby("template").size()
    blind, chance = blind_accuracy(many).to_numpy().T
    # four standard errors of a share of n answers, no allowance beside them
    assert (blind <= chance + 4 * np.sqrt(chance * (1 - chance) / n)).all()
    # where words tell, the guesser knows
    rows = [("is it day?", "yes")] * 6 + [("is it night?", "no")] * 6
    items = pd.DataFrame(rows, columns=["question", "gold"]).assign(template="t")
    items = items.assign(scene=items.index, options=[["yes", "no"]] * 12)
    assert blind_accuracy(items).loc["t"].tolist() == [1.0, 0.5]


@pytest.mark.parametrize(("name", "n_test"), [("general", 900), ("medical", 451)])
def test_splits_share_no_image_and_fresh_items_are_new(name, n_test):
    name = f"pocketvqa-{name}"
    fit, test = (ask.split_items(name, split) for split in ("fit", "test"))
    assert (len(fit), len(test)) == (1500, n_test)
    items = pd.concat([fit, test], ignore_index=True)
    assert list(items.columns[: len(ITEM_COLUMNS)]) == ITEM_COLUMNS
    keeps_the_schema(items)
    assert not set(fit["image"]) & set(test["image"])
    for modality in ask.DATASETS[name]:
        sites = items[items["modality"] == modality].groupby("split")["site"].unique()
        assert set(sites["fit"]) == set(world.TRAIN_SITES[modality])
        assert set(sites["test"]) == set(world.SITES[modality])
    for n in (1, 3, 60):
        few, again, other = (ask.fresh_items(name, n, seed=s) for s in (4, 4, 5))
        keeps_the_schema(few)
        pd.testing.assert_frame_equal(few, again)
        assert not set(few["image"]) & {*other["image"], *items["image"]}
        assert len(few) == n
        assert set(few["modality"]) == set(ask.DATASETS[name][: -(-n // 2)])
    with pytest.raises(ValueError, match="n = 0: give 1 or more"):
        ask.fresh_items(name, 0)
