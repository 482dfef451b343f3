"""Questions about scenes, in few words, that the words alone do not answer.

Each modality has templates of three types: closed (yes or no), choice (2-5 options) and open.
Which template an image is asked is weighted so that, within a template, every answer is about
equally frequent; a closed question about a value names the true one about half the time; the
distractors of a choice are drawn evenly and shuffled.

Chance comes from one entropy and a *purpose* (see :func:`stream`), so that training, splits and
fresh draws never share a scene. The templates stand in ``templates.csv``.
"""

import csv
import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from .scenes import (
    GENERAL_MODALITIES,
    MEDICAL_MODALITIES,
    SITES,
    TRAIN_SITES,
    Scenes,
    draw_facts,
    draw_scenes,
)
from .scenes.digit import WORDS as DIGITS
from .scenes.drawing import COLOURS, PLACES

ENTROPY = 20_250_923
#: First element of every SeedSequence spawn key. ``training`` belongs to the trainer alone.
PURPOSES = {"training": 0, "splits": 1, "fresh": 2, "reference": 3, "sample": 4}

#: Share of the questions that each trivial template gets, the same in every modality.
TRIVIAL_SHARE = 0.03

YES_NO = ("yes", "no")
DATASETS = {
    "pocketvqa-general": GENERAL_MODALITIES,
    "pocketvqa-medical": MEDICAL_MODALITIES,
}
#: Items per split. 451 is the size of VQA-RAD's test set.
SPLIT_ITEMS = {
    "pocketvqa-general": {"fit": 1500, "test": 900},
    "pocketvqa-medical": {"fit": 1500, "test": 451},
}


def stream(purpose: str, *key: int) -> np.random.Generator:
    """The source of chance of a purpose: ``SeedSequence(ENTROPY, spawn_key=(purpose, *key))``.

    Purposes never share a stream: ``training`` is for models, ``splits`` for the fixed items,
    ``fresh`` for unlimited draws, ``reference`` for the balance of templates; ``sample`` is the
    readers', who pick n of a split.
    """
    seed = np.random.SeedSequence(ENTROPY, spawn_key=(PURPOSES[purpose], *key))
    return np.random.Generator(np.random.PCG64(seed))


@dataclass(frozen=True)
class Template:
    """One way of asking about one fact.

    Attributes
    ----------
    name : unique within the modality
    modality, question_type : as in the item table
    kind : ``any`` (is there one?), ``is`` (is it this value?), ``value`` (which value?), or one
        of the drawing's own kinds about a colour or two
    fact : the fact asked about
    phrasings : texts; ``{value}``, ``{a}`` … are filled in
    values : the values that can be asked or answered
    visibility : the facts column that says how visible it is, or None
    trivial : answerable from the style of the image alone (which modality?)
    weight : how often it is asked, relative to the others
    """

    name: str
    modality: str
    question_type: str
    kind: str
    fact: str
    phrasings: tuple[str, ...]
    values: tuple[str, ...] = ()
    visibility: str | None = None
    trivial: bool = False
    weight: float = 1.0


def _read_templates() -> tuple[Template, ...]:
    """The rows of ``templates.csv``; several phrasings or values are parted by ``|``."""
    with open(
        Path(__file__).with_name("templates.csv"), encoding="utf-8", newline=""
    ) as file:
        return tuple(
            Template(
                **row
                | {
                    "phrasings": tuple(row["phrasings"].split("|")),
                    "values": tuple(row["values"].split("|")) if row["values"] else (),
                    "visibility": row["visibility"] or None,
                    "trivial": row["trivial"] == "yes",
                    "weight": float(row["weight"]),
                }
            )
            for row in csv.DictReader(file)
        )


TEMPLATES = _read_templates()
_RELATION = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}
_COLUMN = {p: k % 3 for k, p in enumerate(PLACES)}
_ROW = {p: k // 3 for k, p in enumerate(PLACES)}


def _classes(template: Template, facts: pd.DataFrame) -> np.ndarray:
    """The answer class that balance is kept over, None where the template can't be asked."""
    n = len(facts)
    if template.kind == "any":
        value = facts[template.fact].to_numpy(object)
        return np.where((value == "none") | (value == "no"), "no", "yes").astype(object)
    if template.kind in ("is", "value"):
        value = facts[template.fact].to_numpy(object).copy()
        known = set(template.values)
        absent_too = template.kind == "is" and template.fact == "finding"
        for k in range(n):
            if value[k] not in known:
                value[k] = "none" if absent_too else None
        return value
    if template.kind == "colour_any":
        return np.full(n, "some", object)
    if template.kind in ("colour_is", "colour_value"):
        return np.full(n, "some", object)
    if template.kind == "relation":
        return np.where(facts["count"] == "one", None, "some").astype(object)
    if template.kind == "larger":
        left = facts["left_digit"].to_numpy(object)
        right = facts["right_digit"].to_numpy(object)
        out = np.full(n, None, object)
        for k in range(n):
            if right[k] != "none" and left[k] != right[k]:
                out[k] = (
                    "left"
                    if DIGITS.index(left[k]) > DIGITS.index(right[k])
                    else "right"
                )
        return out
    raise AssertionError(template.kind)


@dataclass(frozen=True)
class _Plan:
    weights: tuple[dict, ...]  # per template: answer class -> selection weight
    truth: tuple[float, ...]  # per template: chance to name the true value


@cache
def _plan(modality: str, templates: tuple[Template, ...], per_image: int) -> _Plan:
    """Selection weights that make every answer class of a template equally frequent.

    Found by raking on 6,000 reference scenes: each class is scaled until the classes of a
    template have equal expected numbers of questions.
    """
    facts = draw_facts(modality, 6000, rng=stream("reference", _number(modality)))
    classes = [_classes(t, facts) for t in templates]
    names = [sorted({c for c in found if c is not None}) for found in classes]
    where = [
        {c: np.flatnonzero(found == c) for c in known}
        for found, known in zip(classes, names, strict=True)
    ]
    weights = [
        dict.fromkeys(known, t.weight)
        for known, t in zip(names, templates, strict=True)
    ]
    for _ in range(40):
        table = np.zeros((len(templates), len(facts)))
        for t, known in enumerate(names):
            for c in known:
                table[t, where[t][c]] = weights[t][c]
        asked = _inclusion(table, per_image)
        for t, known in enumerate(names):
            got = {c: asked[t, where[t][c]].sum() for c in known}
            if templates[t].trivial and not all(other.trivial for other in templates):
                share = (
                    TRIVIAL_SHARE
                    * per_image
                    * len(facts)
                    / max(sum(got.values()), 1e-9)
                )
                weights[t] = {
                    c: weights[t][c] * min(2.0, max(0.5, share)) for c in known
                }
                continue
            if len(known) < 2:
                continue
            target = _targets(templates[t], known, sum(got.values()))
            for c in known:
                weights[t][c] *= min(2.0, max(0.5, target[c] / max(got[c], 1e-9)))
            largest = max(weights[t].values())
            for c in known:
                weights[t][c] *= templates[t].weight / largest
    truth = []
    for t, template in enumerate(templates):
        got = {c: asked[t, where[t][c]].sum() for c in names[t]}
        total, absent = sum(got.values()), got.get("none", 0.0)
        if template.kind == "is" and total > absent:
            truth.append(min(1.0, 0.5 * total / (total - absent)))
        else:
            truth.append(0.5)
    return _Plan(tuple(weights), tuple(truth))


def _inclusion(weights: np.ndarray, k: int) -> np.ndarray:
    """The chance that a template is among the ``k`` (1 or 2) that a scene is asked.

    Drawn one after the other by weight, without repetition: with p the weights' shares, p for
    one, and p + sum over the others j of p_j p / (1 - p_j) for two.
    """
    share = weights / np.maximum(weights.sum(axis=0), 1e-9)
    if k == 1:
        return share
    odds = share / np.maximum(1 - share, 1e-9)
    return np.minimum(1.0, share + share * (odds.sum(axis=0) - odds))


def _targets(template: Template, known: list, total: float) -> dict:
    """Expected number per answer class: even, but a third for absence in ``is`` questions."""
    if template.kind == "is" and "none" in known:
        others = len(known) - 1
        return {c: total / 3 if c == "none" else total * 2 / 3 / others for c in known}
    return dict.fromkeys(known, total / len(known))


def _number(modality: str) -> int:
    return (*GENERAL_MODALITIES, *MEDICAL_MODALITIES).index(modality)


def _choose(rng, weights: np.ndarray, k: int) -> np.ndarray:
    """For each column, up to ``k`` different rows drawn by weight; -1 where none is left."""
    left = weights.copy()
    n = left.shape[1]
    out = np.full((n, k), -1)
    for j in range(k):
        edges = np.cumsum(left, axis=0)
        at = rng.random(n) * edges[-1]
        got = np.minimum((edges <= at).sum(axis=0), len(left) - 1)
        ok = edges[-1] > 0
        out[ok, j] = got[ok]
        left[got[ok], np.flatnonzero(ok)] = 0
    return out


def _other(rng, values: Sequence[str], truth: str) -> str:
    rest = [v for v in values if v != truth]
    return rest[int(rng.integers(0, len(rest)))]


def _ask(
    template: Template, row: dict, answer, truth_rate: float, rng
) -> tuple[str, list, str]:
    """Question text, options and gold of one template on one scene."""
    text = template.phrasings[int(rng.integers(0, len(template.phrasings)))]
    slots = {}
    options = list(YES_NO) if template.question_type == "closed" else None
    honest = rng.random() < truth_rate
    if template.kind == "any":
        gold = answer
    elif template.kind == "is":
        true = honest and answer != "none"
        slots["value"] = answer if true else _other(rng, template.values, answer)
        gold = "yes" if true else "no"
    elif template.kind == "value":
        gold = answer
    elif template.kind == "larger":
        slots["a"] = answer if honest else _other(rng, template.values, answer)
        gold = "yes" if honest else "no"
    elif template.kind == "colour_any":
        here = [c for c in COLOURS if (row[f"{c}_shape"] != "none") == honest]
        slots["a"] = here[int(rng.integers(0, len(here)))]
        gold = "yes" if honest else "no"
    elif template.kind in ("colour_is", "colour_value"):
        here = [c for c in COLOURS if row[f"{c}_shape"] != "none"]
        slots["a"] = here[int(rng.integers(0, len(here)))]
        gold = row[f"{slots['a']}_{template.fact}"]
        if template.kind == "colour_is":
            slots["value"] = gold if honest else _other(rng, template.values, gold)
            gold = "yes" if honest else "no"
    else:
        pairs = [
            (a, b, name)
            for a in COLOURS
            for b in COLOURS
            for name in template.values
            if a != b and _relates(row[f"{a}_place"], row[f"{b}_place"], name) == honest
        ]
        slots["a"], slots["b"], slots["value"] = pairs[int(rng.integers(0, len(pairs)))]
        gold = "yes" if honest else "no"
    if template.question_type == "choice":
        most = min(5, len(template.values))
        number = int(rng.integers(min(3, most), most + 1))
        rest = [v for v in template.values if v != gold]
        order = rng.permutation(len(rest))[: number - 1]
        options = [gold, *(rest[k] for k in order)]
        options = [options[k] for k in rng.permutation(number)]
    return text.format(**slots), options, gold


def _relates(a: str, b: str, name: str) -> bool | None:
    """Whether place ``a`` is ``name`` (left of, above …) place ``b``; None on the same line."""
    if a == "none" or b == "none":
        return None
    axis, sign = _RELATION[name]
    table = (_COLUMN, _ROW)[axis]
    gap = table[a] - table[b]
    return None if gap == 0 else gap * sign > 0


def draw_questions(
    scenes: Scenes | pd.DataFrame,
    *,
    rng: np.random.Generator,
    per_image: int = 1,
    templates: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Ask each scene up to ``per_image`` different questions.

    Parameters
    ----------
    scenes : scenes, or their table of facts
    templates : names of the templates to choose from (default: all of the scene's modality)

    Returns
    -------
    DataFrame with ``scene`` (row number of the scene), ``template``, ``question_type``,
    ``question``, ``options`` (list or None), ``gold``, ``visibility`` (0..1 of what is asked
    about, 1 if not graded), ``fact`` and ``trivial``, in order of the scenes.
    """
    facts = (scenes.facts if isinstance(scenes, Scenes) else scenes).reset_index(
        drop=True
    )
    rows = []
    for modality, group in facts.groupby("modality", sort=False):
        known = tuple(
            t
            for t in TEMPLATES
            if t.modality == modality and (templates is None or t.name in templates)
        )
        if not known:
            raise ValueError(
                f"templates: none of {list(templates or [])} is asked of {modality}"
            )
        plan = _plan(modality, known, min(per_image, 2))
        classes = [_classes(t, group) for t in known]
        weights = np.array(
            [
                [0.0 if c is None else table.get(c, 0.0) for c in found]
                for table, found in zip(plan.weights, classes, strict=True)
            ]
        )
        chosen = _choose(rng, weights, per_image)
        records = group.to_dict("records")
        for position, scene in enumerate(group.index):
            for t in chosen[position]:
                if t < 0:
                    continue
                template = known[t]
                row = records[position]
                text, options, gold = _ask(
                    template, row, classes[t][position], plan.truth[t], rng
                )
                rows.append(
                    (
                        scene,
                        template.name,
                        template.question_type,
                        text,
                        options,
                        gold,
                        float(row[template.visibility]) if template.visibility else 1.0,
                        template.fact,
                        template.trivial,
                    )
                )
    names = [
        "scene",
        "template",
        "question_type",
        "question",
        "options",
        "gold",
        "visibility",
        "fact",
        "trivial",
    ]
    out = pd.DataFrame(rows, columns=names)
    return out.sort_values("scene", kind="stable").reset_index(drop=True)


def words(text: str) -> list[str]:
    """The lower-case words and punctuation marks of a text."""
    return re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)*|[^\sa-z0-9]", text.lower())


def _vocabulary() -> tuple[str, ...]:
    found = set(YES_NO)
    for template in TEMPLATES:
        for text in (*template.phrasings, *template.values):
            found.update(words(re.sub(r"\{\w+\}", " ", text)))
        if template.kind.startswith("colour") or template.kind == "relation":
            found.update(COLOURS)
    return tuple(sorted(found))


#: Every word and mark that a question, an option or a gold answer can hold.
VOCABULARY: tuple[str, ...] = _vocabulary()


def png_bytes(image: np.ndarray) -> bytes:
    """An RGB image (h, w, 3) as PNG with stored blocks: the same bytes whatever zlib is in use."""
    height, width, _ = image.shape
    raw = np.zeros((height, 1 + 3 * width), np.uint8)
    raw[:, 1:] = image.reshape(height, 3 * width)
    data = raw.tobytes()
    blocks = [data[k : k + 65535] for k in range(0, len(data), 65535)]
    packed = b"\x78\x01" + b"".join(
        struct.pack("<BHH", k == len(blocks) - 1, len(b), 65535 - len(b)) + b
        for k, b in enumerate(blocks)
    )
    packed += struct.pack(">I", zlib.adler32(data))

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body))
            + kind
            + body
            + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", packed)
        + chunk(b"IEND", b"")
    )


def _items(
    name: str, label: str, n_items: int, key: tuple, sites, scans: str
) -> pd.DataFrame:
    """``n_items`` items of a dataset, two per image, spread evenly over its modalities."""
    modalities, domain = DATASETS[name], name.removeprefix("pocketvqa-")
    n_images = -(-n_items // 2)
    frames = []
    for k, modality in enumerate(modalities):
        size = n_images // len(modalities) + (k < n_images % len(modalities))
        if not size:
            continue
        rng = stream(*key, _number(modality))
        scenes = draw_scenes(
            modality, size, rng=rng, sites=sites[modality], scans=scans
        )
        asked = draw_questions(scenes, rng=rng, per_image=2)
        pictures = [png_bytes(image) for image in scenes.images]
        ids = [f"pocket-{domain}/{label}/{modality}/{i:05d}" for i in range(size)]
        scene = asked["scene"].to_numpy()
        part = asked.groupby("scene").cumcount().to_numpy()
        frames.append(
            pd.DataFrame(
                {
                    "item_id": [
                        f"{ids[s]}/{p}" for s, p in zip(scene, part, strict=True)
                    ],
                    "image_id": [ids[s] for s in scene],
                    "dataset": name,
                    "domain": domain,
                    "modality": modality,
                    "question_type": asked["question_type"],
                    "question": asked["question"],
                    "options": asked["options"],
                    "gold": asked["gold"],
                    "split": label if label in ("fit", "test") else "test",
                    "image": [pictures[s] for s in scene],
                    "site": scenes.facts["site"].to_numpy()[scene],
                    "visibility": asked["visibility"],
                    "template": [
                        f"{'any' if trivial else modality}:{t}"
                        for t, trivial in zip(
                            asked["template"], asked["trivial"], strict=True
                        )
                    ],
                    "trivial": asked["trivial"],
                    "fact": asked["fact"],
                }
            )
        )
    items = pd.concat(frames, ignore_index=True)
    # an odd number of items: the last image is asked one question
    return items.iloc[:n_items].reset_index(drop=True)


def split_items(name: str, split: str) -> pd.DataFrame:
    """The items of a split of a data set, by the item table's columns and a few of its own.

    `name` is one of `DATASETS`, `split` is ``fit`` or ``test``; the two never share an image. The
    medical *fit* comes from the training sites alone, *test* (451 items) from all.
    """
    sites = TRAIN_SITES if split == "fit" else SITES
    key = ("splits", list(DATASETS).index(name), ("fit", "test").index(split))
    return _items(name, split, SPLIT_ITEMS[name][split], key, sites, split)


def fresh_items(name: str, n: int, seed: int = 0) -> pd.DataFrame:
    """``n`` new items like the test split's, never drawn for it or for training.

    Fewer than two per modality leave out the last ones of `DATASETS`.

    Raises
    ------
    ValueError
        If ``n`` is below 1.
    """
    if n < 1:
        raise ValueError(f"n = {n}: give 1 or more items")
    key = ("fresh", list(DATASETS).index(name), seed)
    return _items(name, f"fresh-{seed}", n, key, SITES, "test")
