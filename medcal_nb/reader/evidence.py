"""What is known about one answer before anyone trusts it.

Everything here is computed on answers to *other* images than the one in question.
"""

from __future__ import annotations

import itertools
import math
import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd

from medcal_nb.ask.graded import meaning
from medcal_nb.ask.grading import is_correct
from medcal_nb.measure import MeasureWarning, clustered_interval, selective_threshold
from medcal_nb.reader.cases import BLANK_STRATEGY, Case, Casebook
from medcal_nb.reader.decisions import Decision

NEAREST = 100
ENOUGH = 100
AT_LEAST = 30
"""Answers that have to be left when a condition on likeness is set."""
LIKE_AGREEMENT = 0.15
"""How far the agreements of two answers that are like in it may be apart."""
WORST_SHARE = 0.2
_RANKED = 2000  # cases among which the worst share is looked for; ranking takes their square


class LocalError(NamedTuple):
    """How often answers like one were wrong.

    `n_wrong` of `n` answers about `n_images` images, with confidences from `near_low` to
    `near_high`; `share` with its interval (`low`, `high`). NaN where there is no other answer.
    `like` names what else they have in common with the case: ``kind`` of question, ``agreement``
    among the ways of asking (from `agree_low` to `agree_high`), ``modality``.
    """

    n: int
    n_wrong: int
    n_images: int
    share: float
    low: float = math.nan
    high: float = math.nan
    near_low: float = math.nan
    near_high: float = math.nan
    like: tuple[str, ...] = ()
    agree_low: float = math.nan
    agree_high: float = math.nan


def _like(table: pd.DataFrame, case: Case) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return which rows are like a case, and in what: as much as leaves enough of them."""
    mine, like = np.ones(len(table), bool), []
    agreement = table["agreement"].to_numpy(float)
    conditions = {
        "kind": table["question_type"].to_numpy(object) == case.question_type,
        "agreement": np.abs(agreement - case.agreement) <= LIKE_AGREEMENT,
        "modality": table["modality"].to_numpy(object) == case.modality,
    }
    for name, holds in conditions.items():
        if (mine & holds).sum() >= AT_LEAST:
            mine, like = mine & holds, [*like, name]
    # the nearest in confidence, with all that are as near as the last of them
    apart = np.abs(table["confidence"].to_numpy(float) - case.confidence)
    count = min(NEAREST, max(AT_LEAST, round(mine.sum() / 4)), mine.sum())
    return mine & (apart <= np.partition(apart[mine], count - 1)[count - 1]), tuple(like)


def case_error(book: Casebook, case: Case, *, level: float = 0.95) -> LocalError:
    """Error rate of the answers that are most like a case's, about other images.

    Like means: the same kind of question, a like share of other ways of asking that agree, the
    same modality, each where it leaves at least 30 answers; of those left, the quarter (30 to
    100) with the nearest confidence and all that are as near. The interval is that of
    :func:`medcal_nb.measure.clustered_interval`, wider where answers about an image tend to be
    wrong together.
    """
    others = book.others(case)
    if others.empty:
        return LocalError(0, 0, 0, math.nan)
    mine, like = _like(others, case)
    mine = others[mine]
    wrong = 1 - mine["correct"].to_numpy()
    images = mine["image_id"].to_numpy(str)
    agreement = mine["agreement"] if "agreement" in like else pd.Series([math.nan])
    return LocalError(
        len(mine),
        int(wrong.sum()),
        len(set(images)),
        wrong.mean(),
        *clustered_interval(wrong, images, level=level),
        mine["confidence"].min(),
        mine["confidence"].max(),
        like,
        agreement.min(),
        agreement.max(),
    )


class Alarm(NamedTuple):
    """Which cases ring: the worst fifth, by estimated error; `n_cases` were ranked.

    `items` are those that ring; `threshold` is the confidence from which on errors are certified
    to be at most `limit`, chosen on `n` answers; `apart` tells whether these are others than
    those shown.
    """

    items: frozenset[str]
    n_cases: int
    threshold: float
    limit: float
    n: int
    apart: bool


def alarm(book: Casebook, *, limit: float) -> Alarm:
    """Rank the cases by the error rate of answers like them and certify a threshold.

    Of cases with one error rate those with less agreement come first, then those with less
    confidence; where nothing is graded these two alone decide.
    """
    ranked = sorted(book.order[:_RANKED], key=lambda item_id: _need(book, item_id), reverse=True)
    worst = ranked[: math.ceil(WORST_SHARE * len(ranked))]
    return Alarm(frozenset(worst), len(ranked), *_certified(book, limit))


def _need(book: Casebook, item_id: str) -> tuple:
    """Return what a case is ranked by: estimated error, doubt among the ways, own doubt."""
    row, others = book.rows.loc[item_id], book.past
    others = others[others["image_id"] != row["image_id"]]
    share = 0.0
    if len(others):
        mine, _ = _like(others, row)
        share = 1 - others["correct"].to_numpy()[mine].mean()
    return round(share, 6), -np.nan_to_num(row["agreement"], nan=1.0), -row["confidence"], item_id


def _certified(book: Casebook, limit: float, delta: float = 0.1) -> tuple[float, float, int, bool]:
    """Return the lowest threshold that keeps errors below a limit, and what that rests on.

    With probability of at least 1 - `delta` over the draw of the library, no more than `limit`
    of the answers above the threshold are wrong; infinite where nothing can be certified. Images,
    not questions, are taken as independent. A library of fewer than 100 answers certifies next
    to nothing: all answers are then used. Angelopoulos et al., Learn then Test, arXiv:2110.01052.
    """
    library = book.past[book.past["library"]]
    apart = len(library) >= ENOUGH
    chosen_on = library if apart else book.past
    if chosen_on.empty:
        return math.inf, limit, 0, apart
    several = chosen_on["image_id"].duplicated().any()
    with warnings.catch_warnings():
        # that nothing is certified is told by the threshold
        warnings.simplefilter("ignore", MeasureWarning)
        chosen = selective_threshold(
            chosen_on["confidence"].to_numpy(float),
            chosen_on["correct"].to_numpy(),
            target=limit,
            delta=delta,
            groups=chosen_on["image_id"].to_numpy(str) if several else None,
        )
    return float(chosen.threshold), limit, len(chosen_on), apart


def past_cases(book: Casebook, case: Case, *, n: int = 3) -> list[Case]:
    """Return the library's cases most like this one, whatever their outcome, one per image.

    Those of the same kind of question and modality first, of these the nearest in confidence.
    Where the question may be *which* modality is shown, it is no reason to choose: it would tell.
    """
    library = book.others(case)
    library = library[library["library"]]
    gold = case.gold if isinstance(case.gold, list | tuple) else [case.gold]
    told = meaning(case.modality) in {meaning(answer) for answer in (*case.options, *gold)}
    unlike = (library["question_type"] != case.question_type).fillna(True).astype(int)
    if not told:
        unlike += (library["modality"] != case.modality).fillna(True).astype(int)
    ranked = library.assign(
        unlike=unlike, far=(library["confidence"] - case.confidence).abs().round(6)
    ).sort_values(["unlike", "far", "item_id"])
    nearest = ranked.drop_duplicates("image_id")["item_id"].head(n)
    return [book.case(item_id) for item_id in nearest]


def other_ways(book: Casebook, case: Case) -> pd.DataFrame:
    """Return what the model answered when asked in other ways.

    Returns
    -------
    pandas.DataFrame
        ``strategy, answer, confidence, meaning, agrees``; empty where it was asked in one way.
    """
    ways = book.ways[
        (book.ways["item_id"] == case.item_id) & (book.ways["strategy"] != book.strategy)
    ]
    return ways.assign(agrees=ways["meaning"] == meaning(case.answer)).reset_index(drop=True)


class BlankImage(NamedTuple):
    """The probability of the model's answer with the image, and with a blank one instead."""

    answer: str
    seen: float
    blank: float


def blank_image(book: Casebook, case: Case) -> BlankImage | None:
    """Return what a blank image does to the answer; None where that was not asked."""
    answers = book.answers
    mine = answers[
        (answers["item_id"].astype(str) == case.item_id) & (answers["strategy"] == BLANK_STRATEGY)
    ]
    shares = dict(zip(mine["sample"].astype(int), mine["option_probabilities"], strict=True))
    seen, blank = shares.get(0), shares.get(1)
    if not isinstance(seen, dict) or not isinstance(blank, dict):
        return None
    for option, share in seen.items():
        if meaning(option) == meaning(case.answer) and option in blank:
            return BlankImage(option, float(share), float(blank[option]))
    return None


class Summary(NamedTuple):
    """Human, model and both together on the cases decided so far.

    `table` has rows ``cases, who, n, n_right, accuracy, low, high``: on all cases the model and
    the pair, on those answered before the model's answer was shown also the reader alone.
    """

    table: pd.DataFrame
    n_decided: int
    n_deferred: int
    n_flagged: int
    n_corrected: int
    n_broken: int
    n_missed: int
    seconds: float


def summarise(
    book: Casebook,
    decisions: dict[str, Decision],
    commitments: dict[str, Decision],
    *,
    level: float = 0.95,
) -> Summary:
    """Compare the model alone, the reader alone and the pair, always on the same cases.

    The pair's answer is the model's where accepted and the reader's where overridden. Deferred
    cases have none and are left out for all. `n_corrected` counts wrong answers overridden by
    right ones, `n_broken` right ones overridden by wrong ones, `n_missed` wrong ones accepted;
    `seconds` is the median time a case took.
    """
    found = []
    for item_id, made in decisions.items():
        if item_id not in book.rows.index or made.action == "defer":
            continue
        case = book.case(item_id)
        pair = case.correct if made.action == "accept" else _grade(case, made.answer)
        own = commitments.get(item_id)
        if case.correct is not None and pair is not None:
            alone = _grade(case, own.answer) if own else None
            found.append((case.image_id, made.action, case.correct, alone, pair))
    cases = pd.DataFrame(found, columns=["image_id", "action", "model", "you", "pair"])
    groups = {"all": (cases, ("model", "pair"))}
    if cases["you"].notna().any():
        groups["answered first"] = cases[cases["you"].notna()], ("model", "you", "pair")
    rows = [
        (name, who, *_accuracy(these[who], these["image_id"], level))
        for name, (these, whom) in groups.items()
        for who in whom
    ]
    overridden = cases[cases["action"] == "override"]
    times = [made.seconds for made in decisions.values() if made.seconds is not None]
    return Summary(
        pd.DataFrame(rows, columns=["cases", "who", "n", "n_right", "accuracy", "low", "high"]),
        n_decided=len(decisions),
        n_deferred=sum(made.action == "defer" for made in decisions.values()),
        n_flagged=sum(made.flagged for made in decisions.values()),
        n_corrected=int((overridden["pair"] > overridden["model"]).sum()),
        n_broken=int((overridden["pair"] < overridden["model"]).sum()),
        n_missed=int((~cases.loc[cases["action"] == "accept", "model"].astype(bool)).sum()),
        seconds=float(np.median(times)) if times else math.nan,
    )


def _grade(case: Case, answer: str | None) -> bool | None:
    """Return whether a reader's answer is right; None where that is not known."""
    if answer is None or case.gold is None:
        return None
    kind = case.question_type or ("choice" if case.options else "open")
    return is_correct(answer, case.gold, question_type=kind, options=list(case.options) or None)


def _accuracy(right: pd.Series, images: pd.Series, level: float) -> tuple:
    y = right.astype(float).to_numpy()
    share = y.mean() if len(y) else math.nan
    return len(y), int(y.sum()), share, *clustered_interval(y, images.to_numpy(str), level=level)


def readers_agreement(decisions: pd.DataFrame) -> pd.DataFrame:
    """Cohen's kappa of every two readers, on the cases that both decided.

    Parameters
    ----------
    decisions : pandas.DataFrame
        As :meth:`medcal_nb.reader.decisions.DecisionLog.read` returns them; undone ones are out.

    Returns
    -------
    pandas.DataFrame
        ``reader_a, reader_b, what, n, agree, kappa``; `what` is ``decision`` (accept, override,
        defer), ``final answer`` or ``own answer first``. Kappa is NaN where both always said one
        and the same, for agreement by chance is then certain.

    References
    ----------
    Cohen, Educational and Psychological Measurement 1960, 20(1), 37-46.
    """
    from sklearn.metrics import cohen_kappa_score

    about = ["model", "dataset", "strategy", "item_id"]
    first = decisions["action"] == "commit"
    standing = decisions[~first & decisions["undone_at"].isna()]
    standing = standing.drop_duplicates([*about, "reader"], keep="last")
    final = standing["answer"].where(standing["action"] == "override", standing["model_answer"])
    final = final.astype(str).map(meaning).where(standing["action"] != "defer", "(deferred)")
    own = decisions[first].drop_duplicates([*about, "reader"])
    said = {
        "decision": standing.assign(said=standing["action"]),
        "final answer": standing.assign(said=final),
        "own answer first": own.assign(said=own["answer"].astype(str).map(meaning)),
    }
    rows = []
    for what, table in said.items():
        wide = table.pivot(index=about, columns="reader", values="said")
        for a, b in itertools.combinations(wide.columns, 2):
            both = wide[[a, b]].dropna().astype(str)
            if len(both):
                same = (both[a] == both[b]).mean()
                several = len(set(both[a]) | set(both[b])) > 1
                kappa = cohen_kappa_score(both[a], both[b]) if several else math.nan
                rows.append((a, b, what, len(both), same, kappa))
    columns = ["reader_a", "reader_b", "what", "n", "agree", "kappa"]
    return pd.DataFrame(rows, columns=columns)
