"""Questions: true answers, even odds without the image, splits that share no image."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data.pocket.factory import questions as ask
from data.pocket.factory import scenes as world
from medcal_nb.datasets import ITEM_COLUMNS
from tests.item_schema import keeps_the_schema


def blind_guess_accuracy(items: pd.DataFrame) -> pd.DataFrame:
    """What language alone makes of the items, per template.

    The guesser knows the answers to the other half of the images (split by the order of their
    first appearance) and says the most frequent gold answer among items with the same question
    text, or of the same template if the text is new; of a choice, the option that was gold most
    often. Every item is guessed once.

    Returns
    -------
    DataFrame per template: ``template``, ``question_type``, ``trivial``, ``n``, ``answers``
    (different gold answers), ``chance`` (uniform over the options, or over the answers),
    ``blind`` (accuracy of the guesser) and ``majority`` (share of the most frequent answer).
    """
    image = pd.factorize(items["image_id"])[0] % 2
    rows = []
    for template, group in items.groupby("template", sort=True):
        half = image[group.index]
        gold = group["gold"].to_numpy(object)
        text = group["question"].to_numpy(object)
        options = list(group["options"])
        hits = 0
        for side in (0, 1):
            seen, asked = np.flatnonzero(half != side), np.flatnonzero(half == side)
            by_text: dict = {}
            overall: dict = {}
            for k in seen:
                by_text.setdefault(text[k], {}).setdefault(gold[k], 0)
                by_text[text[k]][gold[k]] += 1
                overall[gold[k]] = overall.get(gold[k], 0) + 1
            for k in asked:
                tally = by_text.get(text[k], overall)
                allowed = options[k] if options[k] is not None else sorted(overall)
                guess = (
                    max(allowed, key=lambda a: tally.get(a, 0))
                    if len(allowed)
                    else None
                )
                hits += guess == gold[k]
        counts = group["gold"].value_counts()
        chance = [1 / len(o) if o is not None else 1 / len(counts) for o in options]
        rows.append(
            {
                "template": template,
                "question_type": group["question_type"].iloc[0],
                "trivial": bool(group["trivial"].iloc[0]),
                "n": len(group),
                "answers": len(counts),
                "chance": float(np.mean(chance)),
                "blind": hits / len(group),
                "majority": float(counts.iloc[0] / len(group)),
            }
        )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def many():
    """Two questions about each of 4,000 scenes per modality, unrendered."""
    frames = []
    for modality in world.MODALITIES:
        rng = np.random.default_rng(11)
        facts = world.draw_facts(modality, 4000, rng=rng)
        asked = ask.draw_questions(facts, rng=rng, per_image=2)
        domain = "general" if modality in world.GENERAL_MODALITIES else "medical"
        asked["modality"] = modality
        asked["image_id"] = [f"{modality}/{scene}" for scene in asked["scene"]]
        asked["short"] = asked["template"]
        asked["template"] = [
            f"any-{domain}:{t}" if trivial else f"{modality}:{t}"
            for t, trivial in zip(asked["template"], asked["trivial"], strict=True)
        ]
        told = facts.add_prefix("fact_").iloc[asked["scene"]].reset_index(drop=True)
        frames.append(pd.concat([asked, told], axis=1))
    return pd.concat(frames, ignore_index=True)


def test_language_alone_guesses_at_chance(many):
    table = blind_guess_accuracy(many)
    assert len(table) == len(many["template"].unique())
    # four standard errors of a share of n answers, no allowance beside them
    error = np.sqrt(table["chance"] * (1 - table["chance"]) / table["n"])
    beyond = table[table["blind"] > table["chance"] + 4 * error]
    assert beyond.empty, beyond.to_string()


def test_answers_of_a_template_are_about_equally_frequent(many):
    table = blind_guess_accuracy(many)
    even = 1 / table["answers"]
    error = np.sqrt(even * (1 - even) / table["n"])
    beyond = table[table["majority"] > even + 0.03 + 4 * error]
    assert beyond.empty, beyond.to_string()


def test_every_template_is_asked_and_every_modality_has_the_three_types(many):
    for modality in world.MODALITIES:
        mine = many[many["modality"] == modality]
        known = {t.name for t in ask.TEMPLATES if t.modality == modality}
        assert set(mine["short"]) == known
        assert set(mine["question_type"]) == {"closed", "choice", "open"}
    for modality in world.MEDICAL_MODALITIES:
        on_findings = {
            t.name
            for t in ask.TEMPLATES
            if t.modality == modality and t.visibility == "visibility_finding"
        }
        assert len(on_findings) >= 3


def test_gold_of_plain_questions_is_the_fact(many):
    plain = {(t.modality, t.name): t for t in ask.TEMPLATES if t.kind == "value"}
    checked = 0
    for row in many.to_dict("records"):
        template = plain.get((row["modality"], row["short"]))
        if template is not None:
            assert row["gold"] == row[f"fact_{template.fact}"]
            checked += 1
    assert checked > 1000


def test_gold_of_closed_questions_is_the_fact(many):
    closed = {(t.modality, t.name): t for t in ask.TEMPLATES if t.kind in ("is", "any")}
    checked = 0
    for row in many.to_dict("records"):
        template = closed.get((row["modality"], row["short"]))
        if template is None:
            continue
        fact = row[f"fact_{template.fact}"]
        if template.kind == "any":
            truth = fact not in ("none", "no")
        else:
            truth = any(
                p.format(value=fact) == row["question"] for p in template.phrasings
            )
        assert row["gold"] == ("yes" if truth else "no"), row
        checked += 1
    assert checked > 1000


def test_gold_of_relations_follows_from_the_places(many):
    column = {"left": 0, "middle": 1, "right": 2}
    line = {"upper": 0, "middle": 1, "lower": 2}
    rows = many[many["short"] == "relation_is"]
    assert len(rows) > 300
    for row in rows.to_dict("records"):
        text = row["question"]
        name = next(r for r in ("left of", "right of", "above", "below") if r in text)
        a, b = (
            next(c for c in world.drawing.COLOURS if c in part)
            for part in text.split(name)
        )
        (ax, ay), (bx, by) = ((row[f"fact_{c}_place"].split() * 2)[:2] for c in (a, b))
        truth = {
            "left of": column[ax] < column[bx],
            "right of": column[ax] > column[bx],
            "above": line[ay] < line[by],
            "below": line[ay] > line[by],
        }[name]
        assert row["gold"] == ("yes" if truth else "no"), row


def test_gold_of_the_larger_digit_and_of_colours(many):
    for row in many[many["short"] == "larger_is"].to_dict("records"):
        digits = {
            side: ask.DIGITS.index(row[f"fact_{side}_digit"])
            for side in ("left", "right")
        }
        side = "left" if "left" in row["question"] else "right"
        other = "right" if side == "left" else "left"
        assert row["gold"] == ("yes" if digits[side] > digits[other] else "no")
    for row in many[many["short"].isin(["colour_any", "shape_is"])].to_dict("records"):
        colour = next(c for c in world.drawing.COLOURS if c in row["question"])
        shape = row[f"fact_{colour}_shape"]
        truth = (
            shape != "none"
            if row["short"] == "colour_any"
            else shape in row["question"]
        )
        assert row["gold"] == ("yes" if truth else "no"), row


def test_options_hold_the_gold_once_and_open_questions_have_none(many):
    for row in many.to_dict("records"):
        options = row["options"]
        if row["question_type"] == "open":
            assert options is None
            continue
        assert options == ["yes", "no"] or row["question_type"] == "choice"
        assert 2 <= len(options) <= 5
        assert len(set(options)) == len(options)
        assert row["gold"] in options


def test_choices_come_in_every_number_and_gold_in_every_place(many):
    choices = many[many["question_type"] == "choice"]
    number = choices["options"].map(len)
    assert set(number) == {2, 3, 4, 5}
    for k in (3, 4, 5):
        rows = choices[number == k]
        place = [o.index(g) for o, g in zip(rows["options"], rows["gold"], strict=True)]
        share = np.bincount(place, minlength=k) / len(place)
        np.testing.assert_allclose(share, 1 / k, atol=0.05)


def test_vocabulary_covers_every_word_and_stays_small(many):
    known = set(ask.VOCABULARY)
    assert len(ask.VOCABULARY) < 300
    assert list(ask.VOCABULARY) == sorted(known)
    said = set()
    for row in many.to_dict("records"):
        for text in (row["question"], row["gold"], *(row["options"] or ())):
            said.update(ask.words(text))
    assert said <= known
    assert len(known - said) <= 3


def test_visibility_is_that_of_what_is_asked(many):
    assert many["visibility"].between(0, 1).all()
    heart = many[many["fact"] == "heart"]
    np.testing.assert_array_equal(heart["visibility"], heart["fact_visibility_heart"])
    assert (many.loc[many["trivial"], "visibility"] == 1).all()


def test_templates_can_be_chosen_and_unknown_ones_are_refused():
    rng = np.random.default_rng(0)
    facts = world.draw_facts("ct", 50, rng=rng)
    asked = ask.draw_questions(facts, rng=rng, templates=["aorta_is"])
    assert set(asked["template"]) == {"aorta_is"}
    assert len(asked) == 50
    with pytest.raises(ValueError, match="none of \\['pulse'\\] is asked of ct"):
        ask.draw_questions(facts, rng=rng, templates=["pulse"])


def test_an_image_is_never_asked_a_template_twice():
    rng = np.random.default_rng(0)
    facts = world.draw_facts("fundus", 200, rng=rng)
    asked = ask.draw_questions(facts, rng=rng, per_image=6)
    assert not asked.duplicated(["scene", "template"]).any()
    assert (asked.groupby("scene").size() == 6).mean() > 0.9


def both_splits(name):
    return pd.concat(
        [ask.split_items(name, s) for s in ("fit", "test")], ignore_index=True
    )


class TestSplits:
    """The fixed items."""

    @pytest.fixture(scope="class")
    def medical(self):
        return both_splits("pocketvqa-medical")

    @pytest.fixture(scope="class")
    def general(self):
        return both_splits("pocketvqa-general")

    def test_sizes_and_schema(self, medical, general):
        assert medical["split"].value_counts().to_dict() == {"fit": 1500, "test": 451}
        assert general["split"].value_counts().to_dict() == {"fit": 1500, "test": 900}
        for items in (medical, general):
            assert list(items.columns[: len(ITEM_COLUMNS)]) == ITEM_COLUMNS
            keeps_the_schema(items)

    def test_no_image_is_in_both_splits(self, medical, general):
        for items in (medical, general):
            pixels = {s: set(g["image"]) for s, g in items.groupby("split")}
            assert not pixels["fit"] & pixels["test"]
            ids = {s: set(g["image_id"]) for s, g in items.groupby("split")}
            assert not ids["fit"] & ids["test"]

    def test_about_two_questions_an_image(self, medical):
        sizes = medical.groupby("image_id").size()
        assert sizes.max() == 2
        assert sizes.mean() > 1.95

    def test_medical_covers_modalities_and_keeps_sites_back(self, medical):
        counts = medical.groupby(["split", "modality"]).size()
        assert set(medical["modality"]) == set(world.MEDICAL_MODALITIES)
        assert counts["test"].min() >= 70
        sites = medical.groupby(["split", "modality"])["site"].unique()
        for modality in world.MEDICAL_MODALITIES:
            assert set(sites["fit", modality]) == set(world.TRAIN_SITES[modality])
            assert set(sites["test", modality]) == set(world.SITES[modality])

    def test_image_bytes_are_the_scene(self, medical):
        row = medical.iloc[0]
        image = Image.open(io.BytesIO(row["image"]))
        assert image.size == (64, 64)
        assert image.mode == "RGB"
        again = ask.png_bytes(np.asarray(image))
        assert again == row["image"]

    def test_fresh_items_are_new_and_repeat_by_seed(self, medical):
        one, same, other = (
            ask.fresh_items("pocketvqa-medical", 60, seed=s) for s in (4, 4, 5)
        )
        pd.testing.assert_frame_equal(one, same)
        assert len(one) == 60
        assert not set(one["image"]) & set(other["image"])
        assert not set(one["image"]) & set(medical["image"])
        keeps_the_schema(one)

    @pytest.mark.parametrize("n", [1, 2, 3, 7, 11, 12, 13])
    def test_a_few_fresh_items_are_as_many_as_asked_for(self, n):
        for name, modalities in ask.DATASETS.items():
            few = ask.fresh_items(name, n, seed=3)
            keeps_the_schema(few)
            assert len(few) == n
            assert set(few["modality"]) == set(modalities[: -(-n // 2)])
        with pytest.raises(ValueError, match="n = 0: give 1 or more"):
            ask.fresh_items("pocketvqa-medical", 0)

    def test_streams_of_different_purposes_differ(self):
        firsts = [ask.stream(p, 0).random() for p in ask.PURPOSES]
        assert len(set(firsts)) == len(firsts)


def test_png_of_a_large_image_takes_several_blocks():
    image = np.random.default_rng(0).integers(0, 256, (200, 150, 3), dtype=np.uint8)
    back = np.asarray(Image.open(io.BytesIO(ask.png_bytes(image))))
    np.testing.assert_array_equal(back, image)


def test_blind_guesser_is_right_where_language_tells():
    rows = [("is it day?", "yes")] * 6 + [("is it night?", "no")] * 6
    items = pd.DataFrame(rows, columns=["question", "gold"])
    items["image_id"] = [f"i{k}" for k in range(12)]
    items["template"] = "t"
    items["question_type"] = "closed"
    items["trivial"] = False
    items["options"] = [["yes", "no"]] * 12
    table = blind_guess_accuracy(items)
    assert table.loc[0, ["n", "chance", "blind", "majority"]].tolist() == [
        12,
        0.5,
        1.0,
        0.5,
    ]
