"""Questions about scenes, in few words, that the words alone do not answer.

Each modality has templates of three types: closed (yes or no), choice (2-5 options) and open.
Which template an image is asked is weighted so that, within a template, every answer is about
equally frequent; a closed question about a value names the true one about half the time; the
distractors of a choice are drawn evenly and shuffled. :func:`blind_guess_accuracy` shows what a
guesser who sees no image makes of it.

Chance comes from one entropy and a *purpose* (see :func:`stream`), so that training, splits and
fresh draws never share a scene.
"""

import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from ..errors import MedcalError
from .scenes import (
    ATTRIBUTES,
    GENERAL_MODALITIES,
    MEDICAL_MODALITIES,
    SITES,
    TRAIN_SITES,
    Scenes,
    draw_facts,
    draw_scenes,
)
from .scenes.digit import INKS
from .scenes.digit import WORDS as DIGITS
from .scenes.drawing import COLOURS, PATTERNS, PLACES, SHAPES

ENTROPY = 20_250_923
#: First element of every SeedSequence spawn key. ``training`` belongs to the trainer alone.
PURPOSES = {"training": 0, "splits": 1, "fresh": 2, "reference": 3, "sample": 4}

#: Share of the questions that each trivial template gets, the same in every modality.
TRIVIAL_SHARE = 0.03

YES_NO = ("yes", "no")
DATASETS = {"pocket-general": GENERAL_MODALITIES, "pocket-medical": MEDICAL_MODALITIES}
#: Items per split. 451 is the size of VQA-RAD's test set.
SPLIT_ITEMS = {
    "pocket-general": {"fit": 1500, "test": 900},
    "pocket-medical": {"fit": 1500, "test": 451},
}
_DOMAIN = {"pocket-general": "general", "pocket-medical": "medical"}


def stream(purpose: str, *key: int) -> np.random.Generator:
    """The source of chance of a purpose: ``SeedSequence(ENTROPY, spawn_key=(purpose, *key))``.

    Purposes never share a stream: ``training`` is for models, ``splits`` for the fixed items,
    ``fresh`` for unlimited draws, ``reference`` for the balance of templates, ``sample`` for
    picking n of a split.
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


def _many(modality: str, *rows: dict) -> tuple[Template, ...]:
    return tuple(Template(modality=modality, **row) for row in rows)


def _modality_templates(modality: str, word: str, others: tuple[str, ...]) -> tuple[Template, ...]:
    """The trivial questions: what kind of image is this?"""
    return _many(
        modality,
        {
            "name": "modality_choice",
            "question_type": "choice",
            "kind": "value",
            "fact": "modality",
            "phrasings": ("what kind of image is this?", "which kind of image is shown?"),
            "values": others,
            "trivial": True,
            "weight": 0.25,
        },
        {
            "name": "modality_is",
            "question_type": "closed",
            "kind": "is",
            "fact": "modality",
            "phrasings": ("is this image of the kind {value}?", "is the kind of image {value}?"),
            "values": others,
            "trivial": True,
            "weight": 0.25,
        },
        {
            "name": "modality_open",
            "question_type": "open",
            "kind": "value",
            "fact": "modality",
            "phrasings": ("name the kind of this image", "how was this image made?"),
            "values": others,
            "trivial": True,
            "weight": 0.25,
        },
    )


def _finding(modality: str, kinds: tuple[str, ...], noun: str = "finding") -> tuple[Template, ...]:
    """The questions that every modality with a ``finding`` fact is asked."""
    see = "visibility_finding"
    return _many(
        modality,
        {
            "name": "finding_any",
            "question_type": "closed",
            "kind": "any",
            "fact": "finding",
            "phrasings": (
                f"is there a {noun}?",
                f"does this image show a {noun}?",
                f"can you see a {noun} here?",
            ),
            "visibility": see,
        },
        {
            "name": "finding_is",
            "question_type": "closed",
            "kind": "is",
            "fact": "finding",
            "phrasings": (
                "is there a sign of {value}?",
                "does this image show {value}?",
                "can you see {value} here?",
            ),
            "values": kinds,
            "visibility": see,
        },
        {
            "name": "finding_choice",
            "question_type": "choice",
            "kind": "value",
            "fact": "finding",
            "phrasings": (f"what is the {noun}?", f"which {noun} is shown?"),
            "values": kinds,
            "visibility": see,
        },
        {
            "name": "finding_open",
            "question_type": "open",
            "kind": "value",
            "fact": "finding",
            "phrasings": (f"name the {noun}", f"what {noun} does this image show?"),
            "values": kinds,
            "visibility": see,
        },
    )


_PLACE_WORDS = {
    "side": (
        ("is the {noun} on the {{value}} side?", "does the {noun} lie on the {{value}}?"),
        ("on which side is the {noun}?", "which side has the {noun}?"),
        ("name the side of the {noun}", "the {noun} is on which side?"),
    ),
    "zone": (
        ("is the {noun} in the {{value}} zone?", "does the {noun} lie in the {{value}} zone?"),
        ("in which zone is the {noun}?", "which zone has the {noun}?"),
        ("name the zone of the {noun}", "the {noun} is in which zone?"),
    ),
    "part": (
        ("is the {noun} in the {{value}} part?", "does the {noun} lie in the {{value}} part?"),
        ("in which part is the {noun}?", "which part has the {noun}?"),
        ("name the part with the {noun}", "the {noun} is in which part?"),
    ),
    "field": (
        ("is the {noun} in the {{value}} field?", "does the {noun} lie in the {{value}} field?"),
        ("in which field is the {noun}?", "which field has the {noun}?"),
        ("name the field of the {noun}", "the {noun} is in which field?"),
    ),
    "organ": (
        ("is the {noun} in the {{value}}?", "does the {noun} lie in the {{value}}?"),
        ("in which organ is the {noun}?", "which organ has the {noun}?"),
        ("name the organ of the {noun}", "the {noun} is in which organ?"),
    ),
}


def _where(
    modality: str,
    fact: str,
    values: tuple[str, ...],
    see: str | None,
    *,
    word: str | None = None,
    noun: str = "finding",
    weight: float = 0.7,
) -> tuple[Template, ...]:
    """Side, zone, depth or organ: a closed, a choice and an open way of asking."""
    asked = [tuple(t.format(noun=noun) for t in texts) for texts in _PLACE_WORDS[word or fact]]
    rows = zip(("is", "choice", "open"), ("closed", "choice", "open"), asked, strict=True)
    return _many(
        modality,
        *(
            {
                "name": f"{fact}_{suffix}",
                "question_type": question_type,
                "kind": "is" if suffix == "is" else "value",
                "fact": fact,
                "phrasings": phrasings,
                "values": values,
                "visibility": see,
                "weight": weight,
            }
            for suffix, question_type, phrasings in rows
        ),
    )


def _count(modality: str, fact: str, noun: str, see: str, values=("one", "two", "three")):
    return _many(
        modality,
        {
            "name": f"{fact}_open",
            "question_type": "open",
            "kind": "value",
            "fact": fact,
            "phrasings": (f"how many {noun} are there?", f"count the {noun}"),
            "values": values,
            "visibility": see,
            "weight": 2.0,
        },
        {
            "name": f"{fact}_choice",
            "question_type": "choice",
            "kind": "value",
            "fact": fact,
            "phrasings": (f"what is the number of {noun}?", f"which number of {noun} is shown?"),
            "values": values,
            "visibility": see,
            "weight": 1.5,
        },
    )


def _state(
    modality: str,
    fact: str,
    values: tuple[str, ...],
    see: str | None,
    closed: tuple[str, ...],
    choice: tuple[str, ...],
    *,
    weight: float = 1.0,
) -> tuple[Template, ...]:
    """A property that is always there, such as the size of the heart."""
    return _many(
        modality,
        {
            "name": f"{fact}_is",
            "question_type": "closed",
            "kind": "is",
            "fact": fact,
            "phrasings": closed,
            "values": values,
            "visibility": see,
            "weight": weight,
        },
        {
            "name": f"{fact}_choice",
            "question_type": "choice",
            "kind": "value",
            "fact": fact,
            "phrasings": choice,
            "values": values,
            "visibility": see,
            "weight": 0.7 * weight,
        },
    )


def _size_of(modality: str, fact: str, thing: str, values: tuple[str, ...], see: str):
    return _state(
        modality,
        fact,
        values,
        see,
        (f"is the {thing} {{value}}?", f"does the {thing} look {{value}}?"),
        (f"what is the size of the {thing}?", f"which size has the {thing}?"),
    )


def _present(modality: str, fact: str, noun: str, see: str | None, *, weight: float = 1.0):
    return _many(
        modality,
        {
            "name": f"{fact}_any",
            "question_type": "closed",
            "kind": "any",
            "fact": fact,
            "phrasings": (f"is there a {noun}?", f"can you see a {noun} here?"),
            "visibility": see,
            "weight": weight,
        },
    )


_SCENE = "visibility_scene"
_DRAWING = _many(
    "drawing",
    {
        "name": "count_open",
        "question_type": "open",
        "kind": "value",
        "fact": "count",
        "phrasings": ("how many shapes are there?", "count the shapes"),
        "values": ATTRIBUTES["drawing"]["count"],
        "visibility": _SCENE,
    },
    {
        "name": "count_choice",
        "question_type": "choice",
        "kind": "value",
        "fact": "count",
        "phrasings": ("what is the number of shapes?", "which number of shapes is shown?"),
        "values": ATTRIBUTES["drawing"]["count"],
        "visibility": _SCENE,
    },
    {
        "name": "pattern_choice",
        "question_type": "choice",
        "kind": "value",
        "fact": "pattern",
        "phrasings": ("what is the pattern behind the shapes?", "which pattern is shown?"),
        "values": PATTERNS,
        "visibility": "visibility_pattern",
    },
    {
        "name": "pattern_is",
        "question_type": "closed",
        "kind": "is",
        "fact": "pattern",
        "phrasings": (
            "is the pattern behind the shapes {value}?",
            "does the pattern look {value}?",
        ),
        "values": PATTERNS,
        "visibility": "visibility_pattern",
    },
    {
        "name": "largest_open",
        "question_type": "open",
        "kind": "value",
        "fact": "largest",
        "phrasings": ("what colour is the largest shape?", "name the colour of the largest shape"),
        "values": COLOURS,
        "visibility": _SCENE,
    },
    {
        "name": "largest_choice",
        "question_type": "choice",
        "kind": "value",
        "fact": "largest",
        "phrasings": ("which colour is the largest shape?", "which colour has the largest shape?"),
        "values": COLOURS,
        "visibility": _SCENE,
    },
    {
        "name": "colour_any",
        "question_type": "closed",
        "kind": "colour_any",
        "fact": "shape",
        "phrasings": ("is there a {a} shape?", "can you see a {a} shape here?"),
        "visibility": _SCENE,
    },
    {
        "name": "shape_is",
        "question_type": "closed",
        "kind": "colour_is",
        "fact": "shape",
        "phrasings": ("is the {a} shape a {value}?", "is there a {value} in {a}?"),
        "values": SHAPES,
        "visibility": _SCENE,
    },
    {
        "name": "shape_choice",
        "question_type": "choice",
        "kind": "colour_value",
        "fact": "shape",
        "phrasings": ("what is the {a} shape?", "which shape is {a}?"),
        "values": SHAPES,
        "visibility": _SCENE,
    },
    {
        "name": "place_open",
        "question_type": "open",
        "kind": "colour_value",
        "fact": "place",
        "phrasings": ("where is the {a} shape?", "say the place of the {a} shape"),
        "values": PLACES,
        "visibility": _SCENE,
    },
    {
        "name": "relation_is",
        "question_type": "closed",
        "kind": "relation",
        "fact": "place",
        "phrasings": ("is the {a} shape {value} the {b} shape?", "is {a} {value} {b}?"),
        "values": ("left of", "right of", "above", "below"),
        "visibility": _SCENE,
    },
)
_DIGIT = _many(
    "digit",
    {
        "name": "digits_is",
        "question_type": "closed",
        "kind": "is",
        "fact": "digits",
        "phrasings": ("is the number of digits {value}?", "does this image show {value} digits?"),
        "values": ("one", "two"),
        "visibility": _SCENE,
        "weight": 0.5,
    },
    {
        "name": "left_open",
        "question_type": "open",
        "kind": "value",
        "fact": "left_digit",
        "phrasings": ("which digit is on the left?", "name the digit on the left"),
        "values": DIGITS,
        "visibility": _SCENE,
    },
    {
        "name": "right_open",
        "question_type": "open",
        "kind": "value",
        "fact": "right_digit",
        "phrasings": ("which digit is on the right?", "name the digit on the right"),
        "values": DIGITS,
        "visibility": _SCENE,
    },
    {
        "name": "left_choice",
        "question_type": "choice",
        "kind": "value",
        "fact": "left_digit",
        "phrasings": ("what is the digit on the left?", "which of these is the left digit?"),
        "values": DIGITS,
        "visibility": _SCENE,
    },
    {
        "name": "right_is",
        "question_type": "closed",
        "kind": "is",
        "fact": "right_digit",
        "phrasings": ("is the digit on the right a {value}?", "is there a {value} on the right?"),
        "values": DIGITS,
        "visibility": _SCENE,
    },
    {
        "name": "left_is",
        "question_type": "closed",
        "kind": "is",
        "fact": "left_digit",
        "phrasings": ("is the digit on the left a {value}?", "is there a {value} on the left?"),
        "values": DIGITS,
        "visibility": _SCENE,
    },
    {
        "name": "larger_is",
        "question_type": "closed",
        "kind": "larger",
        "fact": "left_digit",
        "phrasings": ("is the {a} digit the larger number?", "is the number on the {a} larger?"),
        "values": ("left", "right"),
        "visibility": _SCENE,
    },
    {
        "name": "ink_choice",
        "question_type": "choice",
        "kind": "value",
        "fact": "ink",
        "phrasings": ("which colour is the ink?", "what is the colour of the ink?"),
        "values": INKS,
        "visibility": _SCENE,
    },
)
_KINDS = {m: tuple(v for v in ATTRIBUTES[m].get("finding", ()) if v != "none") for m in ATTRIBUTES}
_SEE = "visibility_finding"
_XRAY = (
    *_finding("x-ray", _KINDS["x-ray"]),
    *_where("x-ray", "side", ("left", "right"), _SEE),
    *_where("x-ray", "zone", ("upper", "middle", "lower"), _SEE),
    *_count("x-ray", "nodules", "nodules", _SEE),
    *_size_of("x-ray", "heart", "heart", ("normal", "large"), "visibility_heart"),
    *_present("x-ray", "pacemaker", "pacemaker", "visibility_pacemaker"),
)
_LEFT_RIGHT = ("left", "right")
_UP_DOWN = ("upper", "lower")
_CT = (
    *_finding("ct", _KINDS["ct"]),
    *_where("ct", "side", _LEFT_RIGHT, _SEE),
    *_where("ct", "organ", ("liver", "spleen", "kidney"), _SEE),
    *_size_of("ct", "size", "finding", ("small", "large"), _SEE),
    *_size_of("ct", "aorta", "aorta", ("normal", "large"), "visibility_aorta"),
    *_present("ct", "contrast", "sign of contrast", None, weight=0.35),
)
_MRI = (
    *_finding("mri", _KINDS["mri"]),
    *_where("mri", "side", _LEFT_RIGHT, _SEE),
    *_where("mri", "zone", ("front", "back"), _SEE, word="part"),
    *_count("mri", "plaques", "plaques", _SEE),
    *_state(
        "mri",
        "ventricles",
        ("normal", "large"),
        "visibility_ventricles",
        ("are the ventricles {value}?", "do the ventricles look {value}?"),
        ("what is the size of the ventricles?", "which size have the ventricles?"),
    ),
    *_state(
        "mri",
        "weighting",
        ("t1", "t2"),
        None,
        ("is the weighting {value}?", "is this image {value} weighted?"),
        ("what is the weighting?", "which weighting has this image?"),
        weight=0.35,
    ),
)
_ULTRASOUND = (
    *_finding("ultrasound", _KINDS["ultrasound"]),
    *_where("ultrasound", "side", _LEFT_RIGHT, _SEE),
    *_where("ultrasound", "depth", ("near", "far"), _SEE, word="field"),
    *_count("ultrasound", "stones", "stones", _SEE),
    *_state(
        "ultrasound",
        "texture",
        ("smooth", "coarse"),
        "visibility_texture",
        ("is the texture {value}?", "does the texture look {value}?"),
        ("what is the texture?", "which texture has the organ?"),
    ),
    *_present("ultrasound", "vessel", "vessel", "visibility_vessel"),
)
_PATHOLOGY = (
    *_finding("pathology", _KINDS["pathology"]),
    *_where("pathology", "side", _LEFT_RIGHT, _SEE),
    *_where("pathology", "zone", _UP_DOWN, _SEE),
    *_count("pathology", "mitoses", "mitoses", _SEE),
    *_state(
        "pathology",
        "cells",
        ("few", "many"),
        "visibility_cells",
        ("are there {value} cells?", "does this image show {value} cells?"),
        ("are the cells few or many?", "what is the number of cells?"),
    ),
    *_present("pathology", "gland", "gland", "visibility_gland"),
)
_FUNDUS = (
    *_finding("fundus", _KINDS["fundus"]),
    *_where("fundus", "side", _LEFT_RIGHT, _SEE),
    *_where("fundus", "zone", _UP_DOWN, _SEE),
    *_count("fundus", "spots", "spots", _SEE),
    *_size_of("fundus", "cup", "cup", ("normal", "large"), "visibility_cup"),
    *_where("fundus", "disc", _LEFT_RIGHT, None, word="side", noun="disc", weight=0.25),
)

TEMPLATES: tuple[Template, ...] = (
    *(
        t
        for name in GENERAL_MODALITIES
        for t in _modality_templates(name, name, GENERAL_MODALITIES)
    ),
    *(
        t
        for name in MEDICAL_MODALITIES
        for t in _modality_templates(name, name, MEDICAL_MODALITIES)
    ),
    *_DRAWING,
    *_DIGIT,
    *_XRAY,
    *_CT,
    *_MRI,
    *_ULTRASOUND,
    *_PATHOLOGY,
    *_FUNDUS,
)
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
                out[k] = "left" if DIGITS.index(left[k]) > DIGITS.index(right[k]) else "right"
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
    weights = [dict.fromkeys(known, t.weight) for known, t in zip(names, templates, strict=True)]
    for _ in range(40):
        table = np.zeros((len(templates), len(facts)))
        for t, known in enumerate(names):
            for c in known:
                table[t, where[t][c]] = weights[t][c]
        asked = _inclusion(table, per_image)
        for t, known in enumerate(names):
            got = {c: asked[t, where[t][c]].sum() for c in known}
            if templates[t].trivial and not all(other.trivial for other in templates):
                share = TRIVIAL_SHARE * per_image * len(facts) / max(sum(got.values()), 1e-9)
                weights[t] = {c: weights[t][c] * min(2.0, max(0.5, share)) for c in known}
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


def _ask(template: Template, row: dict, answer, truth_rate: float, rng) -> tuple[str, list, str]:
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
    facts = (scenes.facts if isinstance(scenes, Scenes) else scenes).reset_index(drop=True)
    rows = []
    for modality, group in facts.groupby("modality", sort=False):
        known = tuple(
            t
            for t in TEMPLATES
            if t.modality == modality and (templates is None or t.name in templates)
        )
        if not known:
            raise ValueError(f"templates: none of {list(templates or [])} is asked of {modality}")
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
                text, options, gold = _ask(template, row, classes[t][position], plan.truth[t], rng)
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
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


def _items(name: str, label: str, n_items: int, key: tuple, sites, scans: str) -> pd.DataFrame:
    """``n_items`` items of a dataset, two per image, spread evenly over its modalities."""
    modalities = DATASETS[name]
    n_images = -(-n_items // 2)
    frames = []
    for k, modality in enumerate(modalities):
        size = n_images // len(modalities) + (k < n_images % len(modalities))
        if not size:
            continue
        rng = stream(*key, _number(modality))
        scenes = draw_scenes(modality, size, rng=rng, sites=sites[modality], scans=scans)
        asked = draw_questions(scenes, rng=rng, per_image=2)
        pictures = [png_bytes(image) for image in scenes.images]
        ids = [f"{name}/{label}/{modality}/{i:05d}" for i in range(size)]
        scene = asked["scene"].to_numpy()
        part = asked.groupby("scene").cumcount().to_numpy()
        frames.append(
            pd.DataFrame(
                {
                    "item_id": [f"{ids[s]}/{p}" for s, p in zip(scene, part, strict=True)],
                    "image_id": [ids[s] for s in scene],
                    "dataset": name,
                    "domain": _DOMAIN[name],
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
                        for t, trivial in zip(asked["template"], asked["trivial"], strict=True)
                    ],
                    "trivial": asked["trivial"],
                    "fact": asked["fact"],
                }
            )
        )
    items = pd.concat(frames, ignore_index=True)
    # an odd number of items: the last image is asked one question
    return items.iloc[:n_items].reset_index(drop=True)


def _dataset(name: str) -> str:
    if name not in DATASETS:
        raise ValueError(f"dataset {name!r} is none of {', '.join(DATASETS)}")
    return name


@cache
def _split(name: str, split: str) -> pd.DataFrame:
    sites = TRAIN_SITES if split == "fit" else SITES
    key = ("splits", list(DATASETS).index(name), ("fit", "test").index(split))
    return _items(name, split, SPLIT_ITEMS[name][split], key, sites, split)


def pocket_items(
    name: str, *, split: str | None = None, n: int | None = None, seed: int = 0
) -> pd.DataFrame:
    """The items of a pocket dataset, by the item table's columns and a few of its own.

    Parameters
    ----------
    name : ``pocket-general`` or ``pocket-medical``
    split : ``fit``, ``test``, or None for both; images are never shared between them
    n : keep a random subset of this many items, drawn by ``seed``

    Notes
    -----
    ``pocket-medical`` *fit* comes from the training sites alone, *test* (451 items) from all.
    """
    _dataset(name)
    if split not in (None, "fit", "test"):
        raise ValueError(f"split {split!r} is neither fit nor test")
    parts = [_split(name, s) for s in (("fit", "test") if split is None else (split,))]
    items = pd.concat(parts, ignore_index=True)
    if n is not None and n < len(items):
        keep = np.sort(stream("sample", seed).permutation(len(items))[:n])
        items = items.iloc[keep].reset_index(drop=True)
    return items


def fresh_items(name: str, n: int, seed: int = 0) -> pd.DataFrame:
    """``n`` new items like the test split's, never drawn for it or for training.

    Fewer than two per modality leave out the last ones of `DATASETS`.

    Raises
    ------
    ValueError
        If ``n`` is below 1.
    """
    _dataset(name)
    if n < 1:
        raise ValueError(f"n = {n}: give 1 or more items")
    key = ("fresh", list(DATASETS).index(name), seed)
    return _items(name, f"fresh-{seed}", n, key, SITES, "test")


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
                guess = max(allowed, key=lambda a: tally.get(a, 0)) if len(allowed) else None
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


def load(name, *, split=None, n=None, seed=0, revision=None) -> pd.DataFrame:
    """:func:`pocket_items` for ``medcal_nb.items.load_items``; there are no revisions."""
    if revision is not None:
        raise MedcalError(f"{name} has no revisions, {revision!r} was asked for: leave it out")
    return pocket_items(name, split=split, n=n, seed=seed)
