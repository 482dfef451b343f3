"""From answers to verdicts: one row per model, data set, item and strategy.

A strategy that asks once is its own verdict. The others have a rule; with answers
:math:`a_0, \\dots, a_{N-1}` grouped by meaning (:func:`meaning`):

- ``agreement``: the answer of the largest group (ties: the group seen first) and its share
  of all N answers; a reply without an answer agrees with none.
- ``entropy``: the same answer; confidence :math:`\\exp(-H)` with :math:`H` the entropy of the
  group shares among the replies that hold an answer. 1 when all agree, 1/N when none do, and
  the share of one group when all groups are equal.
- ``kept``: the first answer; the share of all N replies, itself included, that give it.
- ``ablation``: the answer with the image; its probability after dividing each option's by the
  one it has with a blank image, normalised over the options.
- ``cross_model`` (:func:`cross_model_verdicts`): the share of other models that agree.

Missing stays missing: without an answer the verdict has no confidence and no grade.
"""

import math
import re

import numpy as np
import pandas as pd

from medcal_nb.answers import ANSWER_COLUMNS, GRADED_COLUMNS
from medcal_nb.errors import MedcalError

_KEY = ["model", "dataset", "item_id", "strategy"]
_DROPPED = {"run_id", "sample", "option_probabilities", "raw", "parse_ok"}
_SMALL = frozenset(("a", "an", "the", "of", "in", "on", "at", "is", "it", "there"))

#: Rule of each strategy that gives several answers to an item.
RULES = {
    "self_consistency": "agreement",
    "semantic_entropy": "entropy",
    "paraphrase": "agreement",
    "augment": "agreement",
    "challenge": "kept",
    "blank_image": "ablation",
}


def meaning(answer):
    """Return what two answers share when they mean the same: their words without small ones.

    Case, punctuation, articles and word order do not count ("The left lung." and "lung, left");
    an answer of small words alone keeps them. No model judges entailment here: two answers
    that say the same in other words count as two, which can only lower a confidence.
    """
    words = re.findall(r"\w+(?:[.,]\d+)?", str(answer).casefold())
    kept = [word for word in words if word not in _SMALL] or words
    return " ".join(sorted(kept))


def _agreement(rows, groups):
    best = groups.mode_first
    return best, groups.sizes[best] / len(rows)


def _entropy(rows, groups):
    shares = np.array(list(groups.sizes.values()), dtype=float)
    shares /= shares.sum()
    entropy = -math.fsum(share * math.log(share) for share in shares)
    return groups.mode_first, math.exp(-entropy)


def _kept(rows, groups):
    if groups.labels[0] is None:
        return None, math.nan
    return groups.labels[0], groups.sizes[groups.labels[0]] / len(rows)


def _ablation(rows, groups):
    first = groups.labels[0]
    if first is None:
        return None, math.nan
    if len(rows) < 2:
        return first, math.nan
    seen, blank = (rows[i]["option_probabilities"] for i in (0, 1))
    if not isinstance(seen, dict) or not isinstance(blank, dict) or set(seen) != set(blank):
        return first, math.nan
    floor = 1e-9
    ratios = {name: max(p, floor) / max(blank[name], floor) for name, p in seen.items()}
    return first, ratios[rows[0]["answer"]] / math.fsum(ratios.values())


_RULE = {"agreement": _agreement, "entropy": _entropy, "kept": _kept, "ablation": _ablation}


class _Groups:
    """Answers of one item grouped by meaning, in order of appearance."""

    def __init__(self, answers):
        self.labels = [None if pd.isna(answer) else meaning(answer) for answer in answers]
        self.sizes = {}
        for label in self.labels:
            if label is not None:
                self.sizes[label] = self.sizes.get(label, 0) + 1
        # max keeps the first of equals
        self.mode_first = max(self.sizes, key=self.sizes.get) if self.sizes else None


def _judge(rows, rule):
    """Return the row a verdict is made from and its confidence."""
    groups = _Groups([row["answer"] for row in rows])
    if not groups.sizes:
        return rows[0], math.nan
    label, confidence = _RULE[rule](rows, groups)
    if label is None:
        return rows[0], math.nan
    return rows[groups.labels.index(label)], confidence


def to_graded(answers):
    """Make one verdict per model, data set, item and strategy.

    Parameters
    ----------
    answers : DataFrame
        The answers table (columns ``ANSWER_COLUMNS``, others are carried along).

    Returns
    -------
    DataFrame
        Columns ``GRADED_COLUMNS`` and the extra ones, in order of first appearance. Tokens and
        seconds are summed over the answers, `n_answers` counts them.

    Raises
    ------
    MedcalError
        When a strategy without a rule has several answers to an item that state confidences.

    Notes
    -----
    Several answers of an unknown strategy without confidences are taken as samples: the rule
    is ``agreement``.
    """
    missing = [name for name in (*_KEY, "answer", "confidence") if name not in answers]
    if missing:
        raise MedcalError(f"answers: column {missing[0]!r} is missing; load them by load_answers")
    extras = [name for name in answers if name not in ANSWER_COLUMNS]
    columns = list(dict.fromkeys((*GRADED_COLUMNS, *extras)))
    frame = answers.drop(columns=[c for c in _DROPPED - {"sample"} if c in answers])
    if "sample" not in frame:
        frame = frame.assign(sample=0)
    several = frame.duplicated(_KEY, keep=False) | frame["strategy"].isin(RULES)
    single = frame.loc[~several].assign(n_answers=1)
    parts = [single]
    if several.any():
        parts.append(_summaries(answers.loc[several], frame.loc[several]))
    table = parts[0] if len(parts) == 1 else pd.concat([p for p in parts if len(p)])
    return table.sort_index(kind="stable").reindex(columns=columns).reset_index(drop=True)


def _summaries(answers, frame):
    needed = answers.reindex(columns=[*_KEY, "answer", "confidence", "option_probabilities"])
    needed = needed.assign(sample=frame["sample"])
    positions = {}
    for i, key in enumerate(zip(*(needed[name] for name in _KEY), strict=True)):
        positions.setdefault(key, []).append(i)
    answer, confidence = needed["answer"].tolist(), needed["confidence"].tolist()
    shares, sample = needed["option_probabilities"].tolist(), needed["sample"].tolist()
    chosen, confidences, members, first = [], [], [], []
    for key, where in positions.items():
        where.sort(key=lambda i: sample[i])
        rows = [{"answer": answer[i], "option_probabilities": shares[i], "at": i} for i in where]
        rule = RULES.get(key[-1])
        if rule is None and any(not pd.isna(confidence[i]) for i in where):
            raise MedcalError(
                f"answers: item {key[2]!r} has {len(where)} answers with confidences under "
                f"strategy {key[-1]!r}, for which there is no rule; keep one per item"
            )
        row, value = _judge(rows, rule or "agreement")
        chosen.append(row["at"])
        confidences.append(value)
        members.append(where)
        first.append(min(where))
    made = frame.iloc[chosen].copy()
    made["confidence"] = np.array(confidences, dtype=float)
    made["n_answers"] = [len(where) for where in members]
    for name in ("prompt_tokens", "new_tokens", "seconds"):
        if name in frame:
            values = pd.to_numeric(frame[name]).to_numpy(dtype=float, na_value=np.nan)
            made[name] = [values[where].sum() for where in members]
    if "correct" in made:
        made.loc[made["answer"].isna(), "correct"] = pd.NA
    made.index = frame.index[first]
    return made


def cross_model_verdicts(verdicts, *, base="verbalized"):
    """Judge each model's answer by the share of the other models that give the same.

    Parameters
    ----------
    verdicts : DataFrame
        As :func:`to_graded` returns them; rows of strategy `base` are used.
    base : str
        The strategy whose answers are compared.

    Returns
    -------
    DataFrame
        Verdicts with strategy ``cross_model``; `n_answers` is the number of models that were
        compared. Items that fewer than two models answered have no confidence.

    Raises
    ------
    MedcalError
        When strategy `base` has answers of fewer than two models.
    """
    table = verdicts.loc[verdicts["strategy"] == base].copy()
    if table["model"].nunique() < 2:
        raise MedcalError(
            f"cross_model compares at least two models: strategy {base!r} has "
            f"{table['model'].nunique()}; ask another model into the same log"
        )
    known = table["answer"].notna()
    table["_meaning"] = [
        meaning(answer) if ok else None for answer, ok in zip(table["answer"], known, strict=True)
    ]
    item = ["dataset", "item_id"]
    voters = table.loc[known].groupby(item)["_meaning"].size().rename("_voters")
    same = table.loc[known].groupby([*item, "_meaning"]).size().rename("_same")
    table = table.join(voters, on=item).join(same, on=[*item, "_meaning"])
    others = table["_voters"].to_numpy(dtype=float) - 1
    agreeing = table["_same"].to_numpy(dtype=float) - 1
    with np.errstate(invalid="ignore", divide="ignore"):
        table["confidence"] = np.where(others > 0, agreeing / others, np.nan)
    table["strategy"] = "cross_model"
    table["n_answers"] = table["_voters"].fillna(0).astype(int)
    return table.drop(columns=["_meaning", "_voters", "_same"]).reset_index(drop=True)
