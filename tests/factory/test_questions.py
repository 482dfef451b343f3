"""Questions: true answers, even odds without the image, splits that share no image."""

from collections import Counter, defaultdict

import numpy as np
import pandas as pd
import pytest

from data.pocket.factory import questions as ask
from data.pocket.factory import scenes as world
from data.pocket.factory.scenes.drawing import COLOURS
from medcal_nb.datasets import ITEM_COLUMNS
from tests.item_schema import keeps_the_schema

TEMPLATES = {(t.modality, t.name): t for t in ask.TEMPLATES}
COLUMNS = ("left", "middle", "right")
LINES = ("upper", "middle", "lower")


@pytest.fixture(scope="module")
def many():
    """Two questions about each of 2,500 scenes per modality, with the facts, unrendered."""
    frames = []
    for modality in world.MODALITIES:
        rng = np.random.default_rng(11)
        facts = world.draw_facts(modality, 2500, rng=rng)
        asked = ask.draw_questions(facts, rng=rng, per_image=2)
        domain = "general" if modality in world.GENERAL_MODALITIES else "medical"
        asked = asked.assign(modality=modality, short=asked["template"])
        group = np.where(asked["trivial"], f"any-{domain}", modality)
        asked["template"] = group + ":" + asked["short"]
        facts = facts.add_prefix("fact_").iloc[asked["scene"]].reset_index(drop=True)
        frames.append(pd.concat([asked, facts], axis=1))
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


def true_answer(row):
    """The answer that follows from the facts of the scene and the words of the question."""
    template = TEMPLATES[row["modality"], row["short"]]
    text = row["question"]
    fact = row.get(f"fact_{template.fact}")
    colours = sorted((c for c in COLOURS if c in text), key=text.index)
    match template.kind:
        case "value":
            return fact
        case "colour_value":
            return row[f"fact_{colours[0]}_{template.fact}"]
        case "any":
            true = fact not in ("none", "no")
        case "is":
            true = text in [p.format(value=fact) for p in template.phrasings]
        case "colour_any":
            true = row[f"fact_{colours[0]}_shape"] != "none"
        case "colour_is":
            true = row[f"fact_{colours[0]}_{template.fact}"] in text
        case "larger":
            digits = [row[f"fact_{side}_digit"] for side in ("left", "right")]
            left, right = map(ask.DIGITS.index, digits)
            true = left > right if "left" in text else right > left
        case "relation":
            places = [(row[f"fact_{c}_place"].split() * 2)[:2] for c in colours]
            across = [COLUMNS.index(column) for column, _ in places]
            down = [LINES.index(line) for _, line in places]
            gaps = {"left of": across[1] - across[0], "above": down[1] - down[0]}
            gaps |= {"right of": -gaps["left of"], "below": -gaps["above"]}
            true = next(gap for words, gap in gaps.items() if words in text) > 0
    return "yes" if true else "no"


def test_gold_follows_from_the_facts(many):
    rows = many.iloc[::5].to_dict("records")
    for row in rows:
        assert row["gold"] == true_answer(row), row
        assert row["options"] is None or row["options"].count(row["gold"]) == 1
    assert set(zip(many["modality"], many["short"], strict=True)) == set(TEMPLATES)
    heart = many[many["fact"] == "heart"]
    np.testing.assert_array_equal(heart["visibility"], heart["fact_visibility_heart"])
    texts = {*many["question"], *many["gold"], *many["options"].dropna().explode()}
    assert {word for t in texts for word in ask.words(t)} <= set(ask.VOCABULARY)


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
