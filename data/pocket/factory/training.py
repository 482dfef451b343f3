"""Training of the pocket models: see, then read, then both.

1. *vision*: the tower alone, under linear heads that name the facts of a scene and mark the cells
   of its findings; the heads are thrown away at the end.
2. *text*: the language model alone learns to read the tower: inventories of scenes, answers and
   letters.
3. *all*: everything together at half the rates, in every format of reply.

Matrices are trained with Muon (K. Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/),
the rest with AdamW. Several conversations about one image are packed into one row under a mask, so
that they share the image, and the conversations about one question share its words too, yet none
sees another. Every batch is drawn from (seed, stage, step): a training that was interrupted goes
on as if it had not been.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from medcal_nb.errors import MedcalError
from medcal_nb.files import new_file

from . import model as architecture
from . import scenes as world
from . import tokenizer as words
from . import turns
from .model import save_pocket, to_pixels
from .questions import VOCABULARY, draw_questions, stream

STAGES = ("vision", "text", "all")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a training makes, its seed included.

    Attributes
    ----------
    name, size : str
        `size` is one of ``model.SIZES``.
    parent : str or None
        Pocket model to start from; None starts from random weights.
    steps : dict
        Optimiser steps per stage.
    medical : float
        Share of medical images.
    votes : float
        Share of the turns that show the answers of others (for an expert).
    n_general, n_medical : int
        Images drawn per modality.
    rate : float
        Factor on the learning rates.
    tower, facts : float
        In stage *all*: factor on the rates of the tower, weight of the loss of its facts. Both
        keep what the tower knows while the language model still learns to read it.
    """

    name: str
    size: str
    parent: str | None = None
    steps: dict = field(default_factory=dict)
    medical: float = 0.12
    votes: float = 0.0
    n_general: int = 30_000
    n_medical: int = 2_500
    rate: float = 1.0
    seed: int = 0
    vision_batch: int = 64
    text_batch: int = 12
    row_tokens: int = 290
    conversations: int = 2
    tower: float = 0.4
    facts: float = 0.5
    muon: float = 0.02
    adamw: float = 2e-3
    bfloat16: bool = True


RECIPES = {
    "pocket-general": Recipe(
        "pocket-general", "small", steps={"vision": 6000, "text": 6000, "all": 1500}
    ),
    "pocket-medical": Recipe(
        "pocket-medical",
        "small",
        parent="pocket-general",
        steps={"vision": 1500, "text": 1000, "all": 800},
        medical=0.8,
        n_general=3_000,
        n_medical=6_000,
        rate=0.6,
    ),
    "pocket-general-large": Recipe(
        "pocket-general-large",
        "large",
        steps={"vision": 4000, "text": 2600, "all": 700},
    ),
    "pocket-medical-large": Recipe(
        "pocket-medical-large",
        "large",
        parent="pocket-general-large",
        steps={"vision": 800, "text": 400, "all": 350},
        medical=0.8,
        n_general=3_000,
        n_medical=6_000,
        rate=0.6,
    ),
    # the small models follow letters best, which typed decisions rest on; fresh scenes
    "pocket-expert": Recipe(
        "pocket-expert",
        "small",
        parent="pocket-medical",
        steps={"vision": 800, "text": 500, "all": 800},
        medical=0.85,
        votes=turns.EXPERT_VOTES,
        n_general=3_000,
        n_medical=6_000,
        rate=0.5,
        seed=10,
    ),
}


class Pool:
    """Scenes with their facts as class numbers, and questions about them.

    Attributes
    ----------
    images : uint8 array (n, 64, 64, 3)
    masks : uint8 array (n, 8, 8)
    labels : int16 array (n, facts)
        Class of every fact of every modality; −1 where a fact is of another modality.
    asked : list of list of Asked
        Questions per scene; empty where `questions` was 0.
    modality : int array (n,)
        Into ``scenes.MODALITIES``.
    """

    def __init__(self, counts, *, seed, questions=4, cache=None):
        from . import scenes as world
        from .questions import stream

        facts = fact_columns()
        images, masks, labels, self.asked, modality = [], [], [], [], []
        for number, name in enumerate(world.MODALITIES):
            n = counts.get(name, 0)
            if not n:
                continue
            drawn = _draw(name, n, seed=(seed, number, 0), cache=cache)
            images.append(drawn.images)
            masks.append(drawn.masks)
            label = np.full((n, len(facts)), -1, np.int16)
            for column, (of, fact, values) in enumerate(facts):
                if of == name:
                    codes = {value: code for code, value in enumerate(values)}
                    label[:, column] = [codes[value] for value in drawn.facts[fact]]
            labels.append(label)
            modality.append(np.full(n, number))
            rng = stream("training", seed, number, 1)
            if questions:
                self.asked.extend(asked_about(name, drawn, rng, per_image=questions))
        self.images, self.masks = np.concatenate(images), np.concatenate(masks)
        self.labels, self.modality = np.concatenate(labels), np.concatenate(modality)
        self.medical = self.modality >= len(world.GENERAL_MODALITIES)
        self.members = [
            np.flatnonzero(self.modality == m) for m in range(len(world.MODALITIES))
        ]

    def draw(self, rng, n, medical):
        """Draw `n` scenes: domain by the share `medical`, then modality, then scene."""
        from . import scenes as world

        rooms = [[], []]
        for number, members in enumerate(self.members):
            if len(members):
                rooms[number >= len(world.GENERAL_MODALITIES)].append(members)
        chosen = np.empty(n, int)
        for i, other in enumerate(rng.random(n) < medical):
            room = rooms[int(other)] or rooms[1 - int(other)]
            members = room[int(rng.integers(len(room)))]
            chosen[i] = members[int(rng.integers(len(members)))]
        return chosen


def fact_columns():
    """Return (modality, fact, values) of every fact that a scene may have."""
    return [
        (modality, fact, tuple(str(value) for value in values))
        for modality, attributes in world.ATTRIBUTES.items()
        for fact, values in attributes.items()
    ]


def _draw(modality, n, *, seed, cache=None):
    """Draw scenes of the training sites; `cache` is a folder that keeps them between runs.

    What is kept is found again only while the code that draws scenes stays the same.
    """
    import hashlib

    path = None
    if cache:
        sources = sorted(Path(world.__file__).parent.glob("*.py"))
        code = hashlib.sha256(
            b"".join(source.read_bytes() for source in sources)
        ).hexdigest()
        path = (
            Path(cache) / f"{modality}-{n}-{'-'.join(map(str, seed))}-{code[:12]}.npz"
        )
        if path.exists():
            return _kept(path)
    drawn = world.draw_scenes(
        modality, n, rng=stream("training", *seed), sites=world.TRAIN_SITES[modality]
    )
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        facts = {
            f"fact {name}": column.to_numpy(float if column.dtype.kind == "f" else str)
            for name, column in drawn.facts.items()
        }
        with new_file(path, force=True) as part, open(part, "wb") as file:
            np.savez(file, images=drawn.images, masks=drawn.masks, **facts)
    return drawn


def _kept(path):
    """Read kept scenes: arrays of numbers and text alone, never pickled objects."""
    import pandas as pd

    with np.load(path, allow_pickle=False) as kept:
        facts = {
            name.removeprefix("fact "): kept[name]
            for name in kept
            if name[:5] == "fact "
        }
        told = {
            k: v if v.dtype.kind == "f" else v.astype(object) for k, v in facts.items()
        }
        return world.Scenes(kept["images"], pd.DataFrame(told), kept["masks"])


def asked_about(modality, drawn, rng, *, per_image):
    """Ask about scenes: per scene a list of ``turns.Asked``."""
    table = draw_questions(drawn, rng=rng, per_image=per_image)
    attributes = world.ATTRIBUTES[modality]
    rows = drawn.facts.to_dict("records")
    said = [turns.describe(modality, row, attributes) for row in rows]
    facts = [
        (name, name.replace("_", " "), tuple(values))
        for name, values in attributes.items()
    ]
    shown = [
        tuple((said, row[name], values) for name, said, values in facts) for row in rows
    ]
    known = {}
    for template, gold in zip(table["template"], table["gold"], strict=True):
        known.setdefault(template, {})[_one(gold)] = None
    asked = [[] for _ in rows]
    columns = [
        "scene",
        "template",
        "question_type",
        "question",
        "options",
        "gold",
        "visibility",
    ]
    for scene, template, kind, question, options, gold, visibility, fact in zip(
        *(table[name] for name in [*columns, "fact"]), strict=True
    ):
        gold = _one(gold)
        options = tuple(options) if options is not None else ()
        others = [answer for answer in (options or known[template]) if answer != gold]
        wrong = tuple(others[i] for i in rng.permutation(len(others))[:7])
        row = rows[scene]
        reason = f"{fact.replace('_', ' ')} {row[fact]}" if fact in row else said[scene]
        asked[scene].append(
            turns.Asked(
                question=question,
                options=options,
                gold=gold,
                question_type=kind,
                wrong=wrong,
                visibility=1.0
                if visibility is None or np.isnan(visibility)
                else visibility,
                kind=modality,
                description=said[scene],
                reason=reason,
                known=shown[scene],
                medical=modality in world.MEDICAL_MODALITIES,
            )
        )
    return asked


def _one(gold):
    return gold if isinstance(gold, str) else gold[0]


# --- packing ------------------------------------------------------------------------------------


class Encoder:
    """Texts to token ids, remembering texts that come again."""

    def __init__(self, tokenizer):
        from functools import lru_cache

        self.tokenizer = tokenizer
        self.prefix = architecture.image_prefix(tokenizer)
        self.user, self.assistant, self.end, self.pad = tokenizer.convert_tokens_to_ids(
            [words.USER, words.ASSISTANT, words.END, words.PAD]
        )
        core = tokenizer.backend_tokenizer
        self.ids = lru_cache(maxsize=200_000)(
            lambda text: tuple(core.encode(text, add_special_tokens=False).ids)
        )

    def conversation(self, turns_):
        """Return (ids, learn) of the turns after a question block; `learn` marks what to say."""
        ids, learn = [], []
        for number, (text, is_reply, taught) in enumerate(turns_):
            pieces = ((text, taught),) if isinstance(text, str) else text
            body = [
                (token, says) for piece, says in pieces for token in self.ids(piece)
            ]
            body.append((self.end, taught))
            if is_reply:
                ids.append(self.assistant)
                learn.append(False)
            elif number:
                ids.append(self.user)
                learn.append(False)
            ids += [token for token, _ in body]
            learn += [says and is_reply for _, says in body]
        return ids, learn

    def prompt(self, turns_):
        """Return the ids of a conversation that waits for a reply, the image before it."""
        block, rest = turns_
        ids, _ = self.conversation(rest)
        return [*self.prefix, *self.ids(block), *ids, self.assistant]


def pack(encoder, rows):
    """Pack conversations into one batch.

    Parameters
    ----------
    encoder : Encoder
    rows : list of list of (str, list)
        Per image its conversations, as ``turns.draw_conversation`` gives them.

    Returns
    -------
    dict of arrays
        ``ids``, ``positions``, ``question``, ``conversation`` (batch, length) and ``targets``,
        which holds −100 where nothing is taught. A token sees the image (question 0), the block
        of its own question (conversation 0 of it) and its own conversation.
    """
    prefix = encoder.prefix
    packed = []
    for conversations in rows:
        ids, positions = list(prefix), list(range(len(prefix)))
        question, conversation = [0] * len(prefix), [0] * len(prefix)
        targets = [-100] * len(prefix)
        blocks = {}
        for block, turns_ in conversations:
            blocks.setdefault(block, []).append(turns_)
        for number, (block, branches) in enumerate(blocks.items(), 1):
            head = encoder.ids(block)
            start = len(prefix)
            ids += head
            positions += range(start, start + len(head))
            question += [number] * len(head)
            conversation += [0] * len(head)
            targets += [-100] * len(head)
            start += len(head)
            for branch, turns_ in enumerate(branches, 1):
                tokens, learn = encoder.conversation(turns_)
                ids += tokens
                positions += range(start, start + len(tokens))
                question += [number] * len(tokens)
                conversation += [branch] * len(tokens)
                following = [*tokens[1:], -100]
                taught = [*learn[1:], False]
                targets += [
                    t if yes else -100 for t, yes in zip(following, taught, strict=True)
                ]
        packed.append((ids, positions, question, conversation, targets))
    length = max(len(row[0]) for row in packed)
    fill = (encoder.pad, 0, -1, -1, -100)
    names = ("ids", "positions", "question", "conversation", "targets")
    batch = {
        name: np.full((len(packed), length), value)
        for name, value in zip(names, fill, strict=True)
    }
    for i, row in enumerate(packed):
        for name, values in zip(names, row, strict=True):
            batch[name][i, : len(values)] = values
    return batch


def fill_row(encoder, asked, annotator, formats, rng, recipe):
    """Draw conversations about one image until its row is full."""
    row, blocks = [], set()
    room = recipe.row_tokens - len(encoder.prefix)
    for number in rng.permutation(len(asked)):
        for _ in range(recipe.conversations):
            block, rest = turns.draw_conversation(
                asked[number], annotator, formats, rng
            )
            size = len(encoder.conversation(rest)[0])
            if block not in blocks:
                size += len(encoder.ids(block))
            if size > room and row:
                continue
            room -= size
            blocks.add(block)
            row.append((block, rest))
        if room < 40:
            break
    return row


def visible(batch):
    """Return the boolean attention mask (batch, 1, length, length) of a packed batch."""
    import torch

    question = torch.from_numpy(batch["question"])
    conversation = torch.from_numpy(batch["conversation"])
    same_question = question[:, :, None] == question[:, None, :]
    same = conversation[:, :, None] == conversation[:, None, :]
    shared = (conversation == 0)[:, None, :]
    image = (question == 0)[:, None, :]
    length = question.shape[1]
    before = torch.ones(length, length, dtype=torch.bool).tril()
    return (before & (image | (same_question & (shared | same))))[:, None]


# --- losses -------------------------------------------------------------------------------------


class VisionHeads:
    """Heads on the tower: every fact of a scene, and the cells of its findings.

    A fact has a query that looks for its place among the tokens; what is found there is
    classified by weights that facts with the same values share. So "red" is looked for where red
    is, and where that is is told in the same way for every colour: a language model that looks
    for words among tokens can read such a tower.
    """

    def __init__(self, width, *, seed):
        import torch

        columns = fact_columns()
        groups = {}
        for modality, _, values in columns:
            groups.setdefault((modality, values), len(groups))
        most = max(len(values) for _, values in groups)
        self.group = torch.tensor(
            [groups[modality, values] for modality, _, values in columns]
        )
        self.real = torch.zeros(len(columns), most, dtype=torch.bool)
        for row, (_, _, values) in enumerate(columns):
            self.real[row, : len(values)] = True
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.parts = torch.nn.ParameterDict(
                {
                    "queries": torch.randn(len(columns), width) * width**-0.5,
                    "classes": torch.randn(len(groups), most, width) * width**-0.5,
                    "offsets": torch.zeros(len(groups), most),
                    "cells": torch.randn(width) * width**-0.5,
                    "offset": torch.zeros(()),
                }
            )

    def parameters(self):
        """Return the parameters of both heads."""
        return [*self.parts.parameters()]

    def loss(self, tokens, labels, masks):
        """Return the loss of tower tokens (n, 64, width), and the share of facts named rightly."""
        from torch.nn import functional

        parts = self.parts
        look = (tokens @ parts["queries"].T).transpose(1, 2).softmax(-1)
        found = (look @ tokens).transpose(0, 1)
        scores = found @ parts["classes"][self.group].transpose(1, 2)
        scores = (
            (scores + parts["offsets"][self.group][:, None]).transpose(0, 1).float()
        )
        scores = scores.masked_fill(~self.real, -1e4)
        known = labels >= 0
        truth = labels.clamp(min=0)
        wrong = functional.cross_entropy(scores[known], truth[known])
        marked = (tokens @ parts["cells"] + parts["offset"]).float()
        cells = functional.binary_cross_entropy_with_logits(marked, masks)
        right = (scores.argmax(-1) == truth)[known].float().mean()
        return wrong + cells, float(right)

    def state_dict(self):
        """Return the state of both heads."""
        return self.parts.state_dict()

    def load_state_dict(self, state):
        """Take up a state that `state_dict` gave."""
        self.parts.load_state_dict(state)


def text_loss(model, seen, batch):
    """Return the mean loss over what is taught in a packed batch, given the tower's tokens.

    Among the n taught tokens of a conversation each weighs 1/√n, so that long replies do not
    drown the one letter or word of short ones.
    """
    import torch
    from torch.nn import functional

    core = model.model
    seen = core.connector(seen)
    embedded = core.text_model.get_input_embeddings()(torch.from_numpy(batch["ids"]))
    # the image tokens stand at a fixed place: <user> <fake…> <global-img> <image>×16 …
    start, stop = 3, 3 + seen.shape[1]
    embedded = torch.cat([embedded[:, :start], seen, embedded[:, stop:]], 1)
    hidden = core.text_model(
        inputs_embeds=embedded,
        attention_mask=visible(batch),
        position_ids=torch.from_numpy(batch["positions"]),
        use_cache=False,
    ).last_hidden_state
    targets = torch.from_numpy(batch["targets"])
    taught = targets >= 0
    losses = functional.cross_entropy(
        model.lm_head(hidden[taught]), targets[taught], reduction="none"
    )
    rows = np.arange(len(batch["ids"]))[:, None]
    owner = (rows * 1000 + batch["question"]) * 1000 + batch["conversation"]
    _, place, sizes = np.unique(
        owner[taught.numpy()], return_inverse=True, return_counts=True
    )
    weights = torch.from_numpy(sizes[place] ** -0.5).to(losses.dtype)
    return (losses * weights).sum() / weights.sum()


# --- optimiser ----------------------------------------------------------------------------------


class Optimizer:
    """Muon on the matrices inside the nets, AdamW on everything else, one schedule.

    Parameters
    ----------
    groups : list of (list, list, float)
        Matrices, other parameters, and a factor on the rates of both.
    muon, adamw : float
        Rates.
    steps : int
        Length of the schedule.
    """

    def __init__(self, groups, *, muon, adamw, steps):
        import torch

        self.parts = [
            torch.optim.AdamW(
                [{"params": others, "full": adamw * by} for _, others, by in groups],
                lr=adamw,
                betas=(0.9, 0.98),
                weight_decay=0.01,
            ),
            torch.optim.Muon(
                [{"params": matrices, "full": muon * by} for matrices, _, by in groups],
                lr=muon,
                momentum=0.95,
            ),
        ]
        self.parameters = [
            p for matrices, others, _ in groups for p in (*matrices, *others)
        ]
        self.steps = steps

    def factor(self, step):
        """Return the schedule: short warm-up, 40 % constant, then a cosine to 2 %."""
        warm = min(60, max(1, self.steps // 10))
        if step < warm:
            return (step + 1) / warm
        done = (step / self.steps - 0.4) / 0.6
        return (
            1.0
            if done <= 0
            else float(0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * min(done, 1.0))))
        )

    def step(self, loss, step):
        """Take one step down a loss."""
        import torch

        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = group["full"] * self.factor(step)
            part.step()
        for parameter in self.parameters:
            parameter.grad = None

    def state_dict(self):
        """Return the states of both optimisers."""
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states):
        """Take up states that `state_dict` gave."""
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)


def split_matrices(named):
    """Part named parameters into matrices inside the nets and all others."""
    inside = [
        parameter.ndim == 2 and "embed" not in name and "lm_head" not in name
        for name, parameter in named
    ]
    parted = [[], []]
    for (_, parameter), matrix in zip(named, inside, strict=True):
        parted[not matrix].append(parameter)
    return parted


def _optimizer(recipe, stage, model, heads):
    tower, rest = [], []
    for name, parameter in model.named_parameters():
        (tower if name.startswith("model.vision_model.") else rest).append(
            (name, parameter)
        )
    groups = []
    if stage != "text":
        matrices, others = split_matrices(tower)
        by = 1.0 if stage == "vision" else 0.5 * recipe.tower
        groups.append((matrices, others + heads.parameters(), by))
    if stage != "vision":
        groups.append((*split_matrices(rest), 1.0 if stage == "text" else 0.5))
    return Optimizer(
        groups,
        muon=recipe.muon * recipe.rate,
        adamw=recipe.adamw * recipe.rate,
        steps=recipe.steps[stage],
    )


# --- validation ---------------------------------------------------------------------------------


def reply(model, encoder, images, conversations, *, max_new_tokens=12, batch=100):
    """Let a model reply, greedily, to conversations about images: a list of texts."""
    import torch

    texts = []
    for start in range(0, len(images), batch):
        prompts = [
            encoder.prompt(turn) for turn in conversations[start : start + batch]
        ]
        length = max(map(len, prompts))
        ids = torch.tensor([[encoder.pad] * (length - len(p)) + p for p in prompts])
        with torch.inference_mode():
            made = model.generate(
                input_ids=ids,
                attention_mask=(ids != encoder.pad).long(),
                pixel_values=to_pixels(images[start : start + batch])[:, None],
                max_new_tokens=max_new_tokens,
            )
        texts += encoder.tokenizer.batch_decode(
            made[:, length:], skip_special_tokens=True
        )
    return [text.strip() for text in texts]


def right_answers(model, encoder, images, asked):
    """Return per question whether the plain reply is its gold answer."""
    texts = reply(model, encoder, images, [turns.plain(one) for one in asked])
    tokenizer = encoder.tokenizer
    return np.array(
        [
            text == tokenizer.decode(encoder.ids(one.gold)).strip()
            for text, one in zip(texts, asked, strict=True)
        ]
    )


def fit_annotator(model, encoder, *, seed, n=400):
    """Fix the annotator: the rate of right answers by question type and visibility.

    Asked are fresh general scenes of the training sites. Rates are drawn towards
    chance + (1 − chance)·visibility with the weight of four answers, and made to rise.
    """
    pool = Pool(
        {name: n // 2 for name in world.GENERAL_MODALITIES}, seed=seed, questions=3
    )
    asked = [one for row in pool.asked for one in row]
    images = pool.images[[i for i, row in enumerate(pool.asked) for _ in row]]
    right = right_answers(model, encoder, images, asked)
    first, bins = turns.Annotator(), turns.Annotator.BINS
    rates = {}
    for kind in sorted({one.question_type for one in asked}):
        of = np.array([one.question_type == kind for one in asked])
        level = np.array([min(int(one.visibility * bins), bins - 1) for one in asked])
        row = []
        for number in range(bins):
            here = right[of & (level == number)]
            prior = first.confidence(kind, (number + 0.5) / bins, 3)
            row.append((here.sum() + 4 * prior) / (len(here) + 4))
        rates[kind] = [round(float(rate), 3) for rate in np.maximum.accumulate(row)]
    return turns.Annotator(rates)


def validate(model, encoder, pool):
    """Return rates of right plain answers and letters, per domain, on a pool of fresh scenes."""
    where = [i for i, row in enumerate(pool.asked) for _ in row]
    asked = [one for row in pool.asked for one in row]
    images = pool.images[where]
    right = right_answers(model, encoder, images, asked)
    choice = np.array([bool(one.options) for one in asked])
    texts = reply(
        model,
        encoder,
        images[choice],
        [turns.lettered(one) for one in asked if one.options],
        max_new_tokens=3,
    )
    letters = np.zeros(len(asked), bool)
    letters[choice] = [
        text == "ABCDEFGH"[one.options.index(one.gold)]
        for text, one in zip(texts, (one for one in asked if one.options), strict=True)
    ]
    medical = np.array([one.medical for one in asked])
    closed = np.array([one.question_type == "closed" for one in asked])
    result = {}
    for domain, of in (("general", ~medical), ("medical", medical)):
        result[f"{domain}_answer"] = _rate(right[of])
        result[f"{domain}_answer_closed"] = _rate(right[of & closed])
        result[f"{domain}_answer_choice"] = _rate(right[of & choice])
        result[f"{domain}_letter"] = _rate(letters[of & choice])
    return result


def _rate(right):
    return round(float(right.mean()), 4) if len(right) else None


# --- the training -------------------------------------------------------------------------------


def vocabulary():
    """Return every text whose words a pocket model must know."""
    facts = [
        f"{modality} {fact.replace('_', ' ')} {' '.join(values)}"
        for modality, fact, values in fact_columns()
    ]
    return [*turns.texts(), *facts, *VOCABULARY, *world.MODALITIES]


def train_pocket(
    recipe,
    folder,
    *,
    checkpoint,
    resume=False,
    every=200,
    validate_every=400,
    cache=None,
    parent=None,
    progress=True,
    stop_after=None,
):
    """Train a pocket model and write it.

    Parameters
    ----------
    recipe : Recipe
    folder : path
        Where the model, ``training.csv`` and ``recipe.json`` are written.
    checkpoint : path
        File that holds the state every `every` steps; removed when the training is done.
    resume : bool
        Go on from `checkpoint` if it exists.
    validate_every : int
        Steps between two rows of the validation curve.
    cache : path, optional
        Folder that keeps drawn scenes for other trainings.
    parent : path, optional
        Folder of the model to start from, if the recipe has a parent.
    stop_after : int, optional
        Leave after so many steps of this call, the checkpoint written: for long trainings in
        pieces.

    Returns
    -------
    bool
        Whether the training is done.

    Raises
    ------
    MedcalError
        If the checkpoint belongs to another recipe, or the parent is missing.
    """
    import torch
    from tqdm import tqdm

    checkpoint, folder = Path(checkpoint), Path(folder)
    annotator = turns.Annotator()
    if recipe.parent is None:
        tokenizer = words.build_tokenizer(vocabulary())
        model = architecture.new_model(recipe.size, tokenizer, seed=recipe.seed)
        processor = architecture.new_processor(tokenizer)
    else:
        if parent is None:
            raise MedcalError(
                f"{recipe.name} starts from {recipe.parent}: give its folder"
            )
        model, processor = _load_parent(parent)
        annotator = turns.Annotator(
            json.loads((Path(parent) / "recipe.json").read_text())["annotator"]
        )
    # twice as fast as the fused kernel for 64 patches and bfloat16
    model.model.vision_model.set_attn_implementation("eager")
    encoder = Encoder(processor.tokenizer)
    heads = VisionHeads(model.config.vision_config.hidden_size, seed=recipe.seed)
    state = {"stage": 0, "step": 0, "rows": [], "rates": annotator.rates}
    saved = None
    if resume and checkpoint.exists():
        saved = read_checkpoint(checkpoint, recipe, model, heads)
        state = saved["state"]
        annotator = turns.Annotator(state["rates"])

    counts = {name: recipe.n_general for name in world.GENERAL_MODALITIES}
    counts |= {name: recipe.n_medical for name in world.MEDICAL_MODALITIES}
    pool = Pool(counts, seed=recipe.seed, questions=6, cache=cache)
    fresh = Pool(
        {
            name: 100 if name in world.GENERAL_MODALITIES else 40
            for name in world.MODALITIES
        },
        seed=recipe.seed + 1_000_000,
        questions=2,
    )
    total = sum(recipe.steps[stage] for stage in STAGES)
    done = (
        sum(recipe.steps[stage] for stage in STAGES[: state["stage"]]) + state["step"]
    )
    left = stop_after if stop_after is not None else total
    bar = tqdm(total=total, initial=done, desc=recipe.name, disable=not progress)
    while state["stage"] < len(STAGES):
        stage = STAGES[state["stage"]]
        optimizer = _optimizer(recipe, stage, model, heads)
        if saved is not None:
            optimizer.load_state_dict(saved["optimizer"])
        saved = None
        while state["step"] < recipe.steps[stage]:
            if left == 0:
                write_checkpoint(checkpoint, recipe, model, heads, optimizer, state)
                return False
            step = state["step"]
            if stage == "all" and recipe.parent is None and step in _refits(recipe):
                annotator = fit_annotator(
                    model.eval(), encoder, seed=recipe.seed + 2_000_000 + step
                )
                state["rates"] = annotator.rates
            model.train()
            rng = np.random.default_rng([recipe.seed, state["stage"], step])
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=recipe.bfloat16):
                loss, note = _one_step(
                    recipe, stage, model, heads, pool, encoder, annotator, rng
                )
            optimizer.step(loss, step)
            state["step"] += 1
            left -= 1
            bar.update()
            if step % 20 == 0:
                bar.set_postfix_str(
                    f"{stage} {float(loss.detach()):.3f}{note}", refresh=False
                )
            last = state["step"] == recipe.steps[stage]
            if state["step"] % validate_every == 0 or last:
                row = {
                    "stage": stage,
                    "step": state["step"],
                    "loss": round(float(loss.detach()), 4),
                }
                if stage == "vision":
                    row["facts"] = _validate_facts(model.eval(), heads, fresh)
                else:
                    row |= validate(model.eval(), encoder, fresh)
                state["rows"].append(row)
                bar.write(f"{recipe.name} {row}")
            if state["step"] % every == 0:
                write_checkpoint(checkpoint, recipe, model, heads, optimizer, state)
        state["stage"] += 1
        state["step"] = 0
    bar.close()
    _finish(recipe, folder, model.eval(), processor, state)
    checkpoint.unlink(missing_ok=True)
    return True


def _refits(recipe):
    steps = recipe.steps["all"]
    return (0, steps // 2, int(steps * 0.8))


def _one_step(recipe, stage, model, heads, pool, encoder, annotator, rng):
    import torch

    size = recipe.vision_batch if stage == "vision" else recipe.text_batch
    chosen = pool.draw(rng, size, recipe.medical)
    with torch.set_grad_enabled(stage != "text"):
        seen = model.model.vision_model(pixel_values=to_pixels(pool.images[chosen]))
        seen = seen.last_hidden_state
    loss, note = 0.0, ""
    if stage != "text":
        labels = torch.from_numpy(pool.labels[chosen].astype(np.int64))
        masks = torch.from_numpy(
            pool.masks[chosen].reshape(size, -1).astype(np.float32)
        )
        loss, right = heads.loss(seen, labels, masks)
        note = f" {right:.2f}"
    if stage == "vision":
        return loss, note
    rows = []
    for i in chosen:
        if stage == "text":
            formats = turns.READING_FORMATS
        elif pool.medical[i]:
            formats = turns.MEDICAL_FORMATS
        else:
            formats = turns.GENERAL_FORMATS
        if recipe.votes:
            formats = formats | {"votes": recipe.votes}
        rows.append(fill_row(encoder, pool.asked[i], annotator, formats, rng, recipe))
    return text_loss(model, seen, pack(encoder, rows)) + recipe.facts * loss, note


def _validate_facts(model, heads, pool):
    import torch

    with torch.inference_mode():
        seen = model.model.vision_model(
            pixel_values=to_pixels(pool.images)
        ).last_hidden_state
        masks = torch.from_numpy(
            pool.masks.reshape(len(pool.masks), -1).astype(np.float32)
        )
        labels = torch.from_numpy(pool.labels.astype(np.int64))
        rates = []
        for of in (~pool.medical, pool.medical):
            if of.any():
                rates.append(heads.loss(seen[of], labels[of], masks[of])[1])
    return " / ".join(f"{rate:.3f}" for rate in rates)


def _load_parent(folder):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    if not (Path(folder) / "model.safetensors").exists():
        raise MedcalError(f"{folder} holds no pocket model: train the parent first")
    how = {"dtype": "float32", "use_safetensors": True, "output_loading_info": True}
    model, told = AutoModelForImageTextToText.from_pretrained(folder, **how)
    if wrong := sorted(map(str, told["missing_keys"])):
        raise MedcalError(
            f"{folder}: weights are missing, {wrong[0]} is the first: train it again"
        )
    return model.eval(), AutoProcessor.from_pretrained(folder)


def write_checkpoint(path, recipe, model, heads, optimizer, state):
    """Write the whole state of a training, at once or not at all."""
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_suffix(".part")
    torch.save(
        {
            "recipe": asdict(recipe),
            "model": model.state_dict(),
            "heads": heads.state_dict(),
            "optimizer": optimizer.state_dict(),
            "state": state,
        },
        whole,
    )
    whole.replace(path)


def read_checkpoint(path, recipe, model, heads):
    """Read a checkpoint into model and heads, and return all of it.

    Only tensors and plain values are read, so that a file from elsewhere runs no code.

    Raises
    ------
    MedcalError
        If it is damaged, no checkpoint, or of another recipe.
    """
    import pickle

    import torch

    try:
        saved = torch.load(path, weights_only=True)
        of = saved["recipe"]
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
    ):
        raise MedcalError(
            f"{path} is no whole checkpoint of tensors and numbers: delete it, or leave out "
            "--resume"
        ) from None
    if of != asdict(recipe):
        raise MedcalError(
            f"{path} belongs to another recipe: delete it, or leave out --resume"
        )
    model.load_state_dict(saved["model"])
    heads.load_state_dict(saved["heads"])
    return saved


def _finish(recipe, folder, model, processor, state):
    save_pocket(model, processor, folder)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    write_log(recipe, folder, state, parameters=parameters, annotator=state["rates"])


def write_log(recipe, folder, state, **told):
    """Write ``training.csv``, the validation curve, and ``recipe.json``."""
    import csv
    import platform

    import torch
    import transformers

    names = list(dict.fromkeys(name for row in state["rows"] for name in row))
    with open(folder / "training.csv", "w", newline="") as file:
        table = csv.DictWriter(file, names, lineterminator="\n")
        table.writeheader()
        table.writerows(state["rows"])
    told = {
        **asdict(recipe),
        **told,
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    }
    (folder / "recipe.json").write_text(json.dumps(told, indent=2) + "\n")


def scaled(recipe, factor):
    """Return a recipe with every number of steps times `factor`, at least 2 a stage."""
    steps = {
        stage: n and max(2, round(n * factor)) for stage, n in recipe.steps.items()
    }
    return replace(recipe, steps=steps)
