"""What is known about one answer before anyone trusts it.

Everything here is computed on answers to *other* images than the one in question.
"""

from __future__ import annotations

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


class LocalError(NamedTuple):
    """How often answers of like confidence were wrong.

    `n_wrong` of `n` answers about `n_images` images, with confidences from `nearest_low` to
    `nearest_high`; `share` with its interval (`low`, `high`). NaN where there is no other answer.
    """

    n: int
    n_wrong: int
    n_images: int
    share: float
    low: float
    high: float
    nearest_low: float
    nearest_high: float


def local_error(
    confidence, correct, at: float, *, images=None, nearest: int = NEAREST, level: float = 0.95
) -> LocalError:
    """Error rate among the answers whose confidence is nearest to `at`.

    All answers as near as the last one taken are taken too: ties are not broken by chance. Of
    few answers only a quarter is taken, at least ten, so that "near" keeps a meaning. The
    interval is Wilson's, wider where answers about the same image tend to be wrong together
    (:func:`medcal_nb.measure.clustered_interval`).

    Parameters
    ----------
    confidence, correct : (n,) arrays
        Of answers to other images.
    at : float
    images : (n,) array, optional
        Which image each answer is about; by default each about one of its own.
    nearest : int
        How many to take.
    level : float
        Of the interval.
    """
    c, y = np.asarray(confidence, float), np.asarray(correct, float)
    if len(c) == 0:
        return LocalError(0, 0, 0, *(math.nan,) * 5)
    about = np.arange(len(c)) if images is None else np.asarray(images)
    count = min(nearest, max(10, round(len(c) / 4)), len(c))
    distance = np.abs(c - at)
    mine = distance <= np.partition(distance, count - 1)[count - 1]
    n, wrong, about = int(mine.sum()), int((1 - y[mine]).sum()), about[mine]
    bounds = clustered_interval(1 - y[mine], about, level=level)
    near = float(c[mine].min()), float(c[mine].max())
    return LocalError(n, wrong, len(set(about.tolist())), wrong / n, *bounds, *near)


def case_error(book: Casebook, case: Case, **options) -> LocalError:
    """Return :func:`local_error` of a case, from the answers about other images."""
    others = book.others(case)
    return local_error(
        others["confidence"],
        others["correct"].astype(float),
        case.confidence,
        images=others["image_id"].to_numpy(str),
        **options,
    )


def past_cases(book: Casebook, case: Case, *, n: int = 3) -> list[Case]:
    """Return the library's cases of nearest confidence, whatever their outcome.

    One per image; of equally near ones, those of the same modality and kind of question first.
    """
    library = book.others(case)
    library = library[library["library"]]
    ranked = library.assign(
        far=(library["confidence"] - case.confidence).abs().round(6),
        unlike=(library["modality"] != case.modality).fillna(True).astype(int)
        + (library["question_type"] != case.question_type).fillna(True).astype(int),
    ).sort_values(["far", "unlike", "item_id"])
    nearest = ranked.drop_duplicates("image_id")["item_id"].head(n)
    return [book.case(item_id) for item_id in nearest]


def other_ways(book: Casebook, case: Case) -> pd.DataFrame:
    """Return what the model answered when asked in other ways.

    Returns
    -------
    pandas.DataFrame
        ``strategy, answer, confidence, agrees``; empty where it was asked in one way only.
    """
    verdicts = book.verdicts
    mine = verdicts[
        (verdicts["item_id"] == case.item_id)
        & ~verdicts["strategy"].isin([book.strategy, BLANK_STRATEGY])
        & verdicts["answer"].notna()
    ]
    table = mine[["strategy", "answer", "confidence"]].reset_index(drop=True)
    same = meaning(case.answer)
    table["agrees"] = np.array([meaning(answer) == same for answer in table["answer"]], dtype=bool)
    return table


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


class CheckRule(NamedTuple):
    """From which confidence on answers need no check, and what that rests on.

    `apart` tells whether the `n` answers it was chosen on are others than those shown.
    """

    threshold: float
    limit: float
    n: int
    apart: bool

    def flags(self, confidence: float) -> bool:
        """Return whether an answer of this confidence is to be checked."""
        return not confidence >= self.threshold


def check_rule(book: Casebook, *, limit: float, delta: float = 0.1) -> CheckRule:
    """Return the lowest threshold that keeps errors below a limit, certified on the library.

    With probability of at least 1 - `delta` over the draw of the library, no more than `limit`
    of the answers above the threshold are wrong; where nothing can be certified the threshold is
    infinite and every answer is flagged. Images, not questions, are taken as independent. A
    library of fewer than 100 graded answers certifies next to nothing: all graded answers are
    then used, which the result says.

    References
    ----------
    Angelopoulos et al., Learn then Test, Annals of Applied Statistics 2025, arXiv:2110.01052.
    """
    graded = book.rows[book.rows["correct"].notna()]
    library = graded[graded["library"]]
    apart = len(library) >= ENOUGH
    chosen_on = library if apart else graded
    if chosen_on.empty:
        return CheckRule(math.inf, limit, 0, apart)
    several = chosen_on["image_id"].duplicated().any()
    with warnings.catch_warnings():
        # that nothing is certified is told by the threshold
        warnings.simplefilter("ignore", MeasureWarning)
        chosen = selective_threshold(
            chosen_on["confidence"].to_numpy(float),
            chosen_on["correct"].astype(float).to_numpy(),
            target=limit,
            delta=delta,
            groups=chosen_on["image_id"].to_numpy(str) if several else None,
        )
    return CheckRule(float(chosen.threshold), limit, len(chosen_on), apart)


def grade(case: Case, answer: str | None) -> bool | None:
    """Return whether a reader's answer is right; None where that is not known."""
    if answer is None or case.gold is None:
        return None
    kind = case.question_type or ("choice" if case.options else "open")
    return is_correct(answer, case.gold, question_type=kind, options=list(case.options) or None)


class Summary(NamedTuple):
    """Human, model and both together on the cases decided so far.

    `table` has a row for each of them: ``who, n, n_right, accuracy, low, high``.
    """

    table: pd.DataFrame
    n_decided: int
    n_deferred: int
    n_mended: int
    n_spoiled: int
    n_missed: int
    n_flagged: int


def summarise(
    book: Casebook,
    decisions: dict[str, Decision],
    commitments: dict[str, Decision],
    *,
    level: float = 0.95,
) -> Summary:
    """Compare the model alone, the reader alone and the pair.

    The reader alone is measured where an own answer was committed to before the model's was
    shown. The pair's answer is the model's where accepted and the reader's where overridden;
    deferred cases have none and are counted apart. `n_mended` counts wrong answers that were
    overridden by right ones, `n_spoiled` right ones overridden by wrong ones, `n_missed` wrong
    ones that were accepted. Intervals are those of :func:`medcal_nb.measure.clustered_interval`.
    """
    # outcomes, each with the image it is about
    model, human, pair = [], [], []
    mended = spoiled = missed = deferred = 0
    for item_id, decision in decisions.items():
        if item_id not in book.rows.index:
            continue
        case = book.case(item_id)
        if case.correct is None:
            continue
        model.append((case.correct, case.image_id))
        if decision.action == "defer":
            deferred += 1
        elif decision.action == "accept":
            pair.append((case.correct, case.image_id))
            missed += not case.correct
        elif (right := grade(case, decision.answer)) is not None:
            pair.append((right, case.image_id))
            mended += right and not case.correct
            spoiled += case.correct and not right
    for item_id, commitment in commitments.items():
        if item_id in book.rows.index:
            case = book.case(item_id)
            right = grade(case, commitment.answer)
            human += [] if right is None else [(right, case.image_id)]
    rows = []
    for who, outcomes in (
        ("the model alone", model),
        ("you alone", human),
        ("you and the model", pair),
    ):
        n, right = len(outcomes), sum(correct for correct, _ in outcomes)
        low, high = clustered_interval(
            [float(correct) for correct, _ in outcomes],
            [image for _, image in outcomes],
            level=level,
        )
        share = right / n if n else math.nan
        rows.append(
            {"who": who, "n": n, "n_right": right, "accuracy": share, "low": low, "high": high}
        )
    return Summary(
        table=pd.DataFrame(rows),
        n_decided=len(decisions),
        n_deferred=deferred,
        n_mended=int(mended),
        n_spoiled=int(spoiled),
        n_missed=int(missed),
        n_flagged=sum(decision.flagged for decision in decisions.values()),
    )
