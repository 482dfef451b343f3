"""An expert's assessment of the answers that others gave.

Another model is shown the question and the candidate answers and returns a probability for each
(a typed decision). It may see the image or not, and may know how confident the others were or
not. What it adds is of two kinds: *judging* (telling which candidate is right, from the candidates
alone) and *knowing* (having the answer itself); they are reported apart.

Who decides is passed in as a callable, so that any model behind any interface can be the expert.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from .fusion import BY, Ballots, chosen, make_ballots, plain_answer, pool
from .maps import FITS, RecalibrationWarning, assign_folds, by_fold
from .paired import image_labels, mean, paired


@dataclass(frozen=True)
class Case:
    """What the expert is shown of one item.

    Attributes
    ----------
    candidates : tuple of str
        In alphabetical order; a single one is to be judged right or wrong.
    support : tuple of float, optional
        What the others gave each candidate, summing to 1; None where the expert may not know.
    image : object, optional
        As in the item table (bytes or path); None where the expert may not see it.
    """

    item_id: str
    question: str
    candidates: tuple[str, ...]
    support: tuple[float, ...] | None = None
    image: object = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Assessment:
    """The expert's probability of each candidate; none where it failed."""

    probabilities: Mapping[str, float] | None
    prompt_tokens: int = 0
    new_tokens: int = 0
    seconds: float = 0.0


Decide = Callable[[Sequence[Case]], Sequence[Assessment]]


def expert_name(*, sees_image: bool, knows_confidence: bool) -> str:
    """``expert``, ``expert_blind`` (no image), ``expert_told`` (confidences), or both."""
    return "expert" + ("" if sees_image else "_blind") + ("_told" if knows_confidence else "")


def expert_verdicts(
    verdicts: pd.DataFrame,
    items: pd.DataFrame,
    decide: Decide,
    *,
    sees_image: bool = True,
    knows_confidence: bool = False,
    strategies: Sequence[str] | None = None,
    name: str | None = None,
) -> pd.DataFrame:
    """Let an expert assess the candidates that a model's strategies named.

    Where the item's options are known, all of them are candidates; for open questions, the
    answers that were named. Equal cases of different models are decided once.

    Parameters
    ----------
    verdicts : DataFrame
        One row per model, data set, item and strategy.
    items : DataFrame
        item_id, question, options, gold, image of every item (the item table).
    decide : callable
        Takes cases, returns one :class:`Assessment` each.
    strategies : sequence of str, optional
        Whose candidates and support; all by default.
    name : str, optional
        Strategy name in the result; by default told by :func:`expert_name`.

    Returns
    -------
    DataFrame
        One verdict per model, data set and item, with ``option_probabilities``. Failed
        assessments have no confidence. Tokens and seconds are the expert's own;
        ``judges_answers`` tells where it had to be shown what the strategies answered, their
        candidates or their confidences, so that their cost is its cost, too.

    Raises
    ------
    ValueError
        If an item is not in ``items``, or ``decide`` returns another number of assessments or
        values that are no probabilities.
    """
    name = name or expert_name(sees_image=sees_image, knows_confidence=knows_confidence)
    known = items.drop_duplicates("item_id").set_index("item_id")
    frames, asked = [], {}
    for _, part in verdicts.groupby(list(BY), sort=True, observed=True):
        ballots = make_ballots(part, strategies=strategies)
        if lost := set(ballots.rows["item_id"]) - set(known.index):
            raise ValueError(f"items: {len(lost)} are missing, the first {min(lost)!r}")
        frames.append((ballots, _cases(ballots, known, sees_image, knows_confidence)))
        asked |= {case: None for case in frames[-1][1] if case is not None}
    cases = list(asked)
    answers = list(decide(cases))
    if len(answers) != len(cases):
        raise ValueError(f"decide: {len(answers)} assessments of {len(cases)} cases")
    asked = dict(zip(cases, (_checked(c, a) for c, a in zip(cases, answers, strict=True)),
                     strict=True))  # fmt: skip
    return pd.concat(
        [
            _expert_rows(ballots, own, asked, known, name).assign(
                judges_answers=[
                    knows_confidence or not _is_list(o) for o in _options(ballots, known)
                ]
            )
            for ballots, own in frames
        ],
        ignore_index=True,
    )


def _cases(ballots: Ballots, known, sees_image, knows_confidence):
    pooled = pool(ballots)
    cases = []
    for row, item_id in enumerate(ballots.rows["item_id"]):
        item = known.loc[item_id]
        support = {
            plain_answer(a): (str(a), s)
            for a, s in zip(ballots.answers[row], pooled[row], strict=True)
            if a is not None and s >= 0
        }
        options = item["options"] if "options" in known else None
        if _is_list(options):
            shown = sorted(map(str, options))
        else:
            shown = sorted(a for a, _ in support.values())
        if not shown:
            cases.append(None)  # open, and nothing was named
            continue
        told = None
        if knows_confidence:
            told = [support.get(plain_answer(a), ("", np.nan))[1] for a in shown]
            left = max(0.0, 1 - np.nansum(told))
            silent = np.isnan(told).sum()
            told = np.where(np.isnan(told), left / max(silent, 1), told)
            told = tuple((told / told.sum()).round(4).tolist()) if told.sum() else None
        image = item["image"] if sees_image and "image" in known else None
        cases.append(Case(str(item_id), str(item["question"]), tuple(shown), told, image))
    return cases


def _options(ballots: Ballots, known) -> list:
    """The known options of each item, None where there are none."""
    ids = ballots.rows["item_id"]
    return known.loc[ids, "options"].tolist() if "options" in known else [None] * len(ids)


def _is_list(value) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str) and len(value) > 1


def _checked(case: Case, answer: Assessment) -> Assessment:
    if answer.probabilities is None:
        return answer
    p = answer.probabilities
    if set(p) != set(case.candidates) or not all(0 <= v <= 1 + 1e-6 for v in p.values()):
        raise ValueError(f"decide: item {case.item_id!r}: expected a probability for each of "
                         f"{list(case.candidates)}, got {dict(p)}")  # fmt: skip
    return answer


def _expert_rows(ballots, cases, asked, known, name):
    out = ballots.rows.copy()
    made = {k: [] for k in ("answer", "confidence", "correct", "option_probabilities",
                            "prompt_tokens", "new_tokens", "seconds")}  # fmt: skip
    for row, case in enumerate(cases):
        got = Assessment(None) if case is None else asked[case]
        p = got.probabilities
        best = max(p, key=p.get) if p else None
        made["answer"].append(best)
        made["confidence"].append(np.nan if best is None else float(p[best]))
        made["correct"].append(_grade(best, row, ballots, known))
        made["option_probabilities"].append(None if p is None or len(p) < 2 else dict(p))
        made["prompt_tokens"].append(got.prompt_tokens)
        made["new_tokens"].append(got.new_tokens)
        made["seconds"].append(got.seconds)
    for column, values in made.items():
        out[column] = pd.Series(values, index=out.index)
    out["correct"] = out["correct"].astype("boolean")
    return out.assign(strategy=name, n_answers=1)


def _grade(answer, row, ballots, known):
    """As the answer was graded where a strategy named it; else by its match with the gold."""
    if answer is None:
        return None
    key = plain_answer(answer)
    for named, grade in zip(ballots.answers[row], ballots.right[row], strict=True):
        if named is not None and plain_answer(named) == key and not np.isnan(grade):
            return bool(grade)
    gold = known.loc[ballots.rows["item_id"].iloc[row], "gold"]
    golds = [gold] if isinstance(gold, str) else list(gold)
    return key in {plain_answer(g) for g in golds}


def lend_verdicts(verdicts: pd.DataFrame, models: Sequence[str], *, name: str) -> pd.DataFrame:
    """One model's verdicts as a strategy of others: what the expert answers by itself.

    Parameters
    ----------
    verdicts : DataFrame
        Of one model and one strategy.
    models : sequence of str
        Whose voter it becomes.
    name : str
        Strategy name there, such as ``expert_own``.

    Raises
    ------
    ValueError
        If the verdicts are of several models or strategies.
    """
    for column in ("model", "strategy"):
        if verdicts[column].nunique() != 1:
            raise ValueError(f"lend_verdicts: one {column}, got {verdicts[column].nunique()}")
    return pd.concat(
        [verdicts.assign(model=model, strategy=name) for model in models], ignore_index=True
    )


def expert_split_table(
    graded: pd.DataFrame, *, experts: Mapping[str, str], strategies: Sequence[str],
    n_folds: int = 5, rng: np.random.Generator, **settings,
) -> pd.DataFrame:  # fmt: skip
    """What an expert adds to the pool of strategies, and as what.

    Parameters
    ----------
    graded : DataFrame
        Of the strategies and of the expert's variants, one row per item and strategy.
    experts : mapping
        The expert's strategy → what it is, such as ``{"expert_blind": "judging",
        "expert_own": "knowing", "expert": "both"}``.
    strategies : sequence of str
        The pool without the expert.

    Returns
    -------
    DataFrame
        One row per expert: role, n (items that all answered), accuracy and brier (after Platt,
        cross-fitted by image) of the pool, of the expert alone and of both fused; accuracy_change
        and brier_change, fused - pool, with low and high of the bootstrap paired by image.
    """
    seed, frames = int(rng.integers(2**63)), []
    for key, part in graded.groupby(list(BY), sort=True, observed=True):
        for expert, role in experts.items():
            if expert not in set(part["strategy"]):
                continue
            ballots = make_ballots(part, strategies=[*strategies, expert])
            ballots = ballots.part(ballots.answered().all(axis=1) & ballots.graded())
            images = image_labels(ballots.rows)
            if len(set(images)) < n_folds:
                warnings.warn(
                    f"expert: {' '.join(map(str, key))}: {expert} shares {len(images)} items with "
                    "the strategies; left out",
                    RecalibrationWarning,
                    stacklevel=2,
                )
                continue
            fold = assign_folds(images, n_folds, rng=np.random.default_rng([seed, 0]))
            frame = ballots.rows.assign(expert=expert, role=role)
            whos = {"pool": strategies, "alone": [expert], "fused": [*strategies, expert]}
            for name, members in whos.items():
                own = ballots.of(members)
                rows = chosen(own, pool(own), name=name)
                c, y = rows["confidence"].to_numpy(float), rows["correct"].to_numpy(float)
                frame[f"accuracy_{name}"] = y
                frame[f"brier_{name}"] = (by_fold(FITS["platt"], c, y, fold) - y) ** 2
            frames.append(frame)

    def statistic(part, w):
        out = {}
        for loss in ("accuracy", "brier"):
            own = {name: mean(w, part[f"{loss}_{name}"]) for name in ("pool", "alone", "fused")}
            out |= {f"{loss}_{name}": float(v[0]) for name, v in own.items()}
            out[f"{loss}_change"] = own["fused"] - own["pool"]
        return out

    if not frames:
        return pd.DataFrame()
    return paired(
        pd.concat(frames), [*BY, "expert", "role"], statistic,
        rng=rng, **settings,
    )  # fmt: skip
