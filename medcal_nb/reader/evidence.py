"""What is known about one answer before anyone trusts it, and what readers made of it.

A case is a row of :attr:`medcal_nb.reader.cases.Casebook.rows`. Everything here is computed on
answers to *other* images than its own.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from medcal_nb.answer_key import answer_key
from medcal_nb.measure import clustered_interval
from medcal_nb.reader.cases import Casebook
from medcal_nb.reader.decisions import Decision

#: How many like answers are looked at, and how many a condition on likeness has to leave.
NEAREST = 100
AT_LEAST = 20
#: How many past cases are shown.
SHOWN = 3
#: How far the agreements of two answers that are like in it may be apart.
LIKE_AGREEMENT = 0.15


def _like(
    past: pd.DataFrame, case: pd.Series
) -> tuple[np.ndarray, list[str], list[str]]:
    """Return which rows are like a case, in what, and in what too few are: 20 have to be left."""
    mine = past["image_id"].to_numpy() != case["image_id"]
    like = []
    unlike = []
    apart = np.abs(past["agreement"].to_numpy() - case["agreement"])
    likeness = {
        "kind": past["question_type"].to_numpy() == case["question_type"],
        "agreement": apart <= LIKE_AGREEMENT,
        "modality": past["modality"].to_numpy() == case["modality"],
    }
    for name, holds in likeness.items():
        if (mine & holds).sum() >= AT_LEAST:
            mine = mine & holds
            like.append(name)
        elif name != "agreement" or case["agreement"] >= 0:
            unlike.append(name)
    # the nearest in confidence, with all that are as near as the last of them
    apart = np.abs(past["confidence"].to_numpy(float) - case["confidence"])
    count = min(NEAREST, max(AT_LEAST, round(mine.sum() / 4)))
    reach = np.sort(apart[mine])[:count].max(initial=0)
    return mine & (apart <= reach), like, unlike


def case_error(book: Casebook, case: pd.Series) -> dict | None:
    """Error rate of the answers that are most like a case's, about other images.

    Like means: the same kind of question, a like share of other elicitation methods that agree,
    the same modality, each where it leaves at least 20 answers; of those left, the quarter (20 to
    100) with the nearest confidence and all that are as near. The interval is that of
    :func:`medcal_nb.measure.clustered_interval`, wider where answers about an image tend to be
    wrong together.

    Returns
    -------
    dict or None
        None where there is no other answer; else

        - ``of_100``: how many of 100 such answers are wrong, a whole number: all that is shown of
          the error, so that no two sentences of the page can disagree;
        - ``n`` answers about ``n_images`` images, ``n_wrong`` of them wrong;
        - ``share`` wrong, with its ``interval`` of 95 %;
        - ``confidence``, ``agreement``: their least and greatest;
        - ``like``: which of ``kind``, ``agreement``, ``modality`` they have in common; ``unlike``:
          which too few had.
    """
    mine, like, unlike = _like(book.past, case)
    if not mine.any():
        return None
    rows = book.past[mine]
    wrong = 1 - rows["correct"].to_numpy()
    images = rows["image_id"].to_numpy(str)
    return {
        "of_100": round(100 * wrong.mean()),
        "n": len(rows),
        "n_images": len(set(images)),
        "n_wrong": int(wrong.sum()),
        "share": wrong.mean(),
        "interval": clustered_interval(wrong, images),
        "confidence": (rows["confidence"].min(), rows["confidence"].max()),
        "agreement": (rows["agreement"].min(), rows["agreement"].max()),
        "like": like,
        "unlike": unlike,
    }


def is_flagged(error: dict | None, limit: float) -> bool:
    """Whether a case is to be checked: more of 100 answers like it are wrong than the limit.

    Parameters
    ----------
    error : dict or None
        That of :func:`case_error`; where nothing is known, the case is to be checked.
    limit : float
        Share of wrong answers allowed, in (0, 1).
    """
    return error is None or error["of_100"] > 100 * limit


def past_cases(book: Casebook, case: pd.Series) -> pd.DataFrame:
    """Return the library's cases most like this one, whatever their outcome, one per image.

    Those of the same kind of question and modality first, of these the nearest in confidence.
    Where the question may be *which* modality is shown, it is no reason to choose: it would tell.
    """
    other = book.past["image_id"] != case["image_id"]
    library = book.past[book.past["library"] & other]
    gold = case["gold"] if isinstance(case["gold"], list | tuple) else [case["gold"]]
    answers = {answer_key(answer) for answer in (*(case["options"] or ()), *gold)}
    unlike = (library["question_type"] != case["question_type"]).astype(int)
    if answer_key(case["modality"]) not in answers:
        unlike += (library["modality"] != case["modality"]).astype(int)
    far = (library["confidence"] - case["confidence"]).abs().round(6)
    ranked = library.assign(unlike=unlike, far=far)
    ranked = ranked.sort_values(["unlike", "far", "item_id"])
    return ranked.drop_duplicates("image_id").head(SHOWN)


def other_ways(book: Casebook, case: pd.Series) -> pd.DataFrame:
    """Return what the model answered under other elicitation methods.

    Returns
    -------
    pandas.DataFrame
        ``item_id, strategy, answer, confidence, answer_key, agrees``; empty where there was none.
    """
    ways = book.ways[book.ways["item_id"] == case["item_id"]]
    ways = ways[ways["strategy"] != book.about["strategy"]]
    return ways.assign(agrees=ways["answer_key"] == case["answer_key"])


def summarise(
    decisions: dict[str, Decision], commitments: dict[str, Decision]
) -> dict[str, object]:
    """Compare the reader alone, the model alone and the reader with the model, on the same cases.

    These are the cases with a grade and an answer of everybody: deferred ones are left out for
    all, and the reader alone is there only where an answer was given before the model's was
    shown in every case that is left.

    Parameters
    ----------
    decisions, commitments : dict of str to Decision
        By item, as :class:`medcal_nb.reader.decisions.DecisionLog` returns them.

    Returns
    -------
    dict
        - ``table``: a row each for ``you``, ``model`` and ``both`` (column ``who``), with
          ``n``, ``n_right``, ``low, high`` (95 % interval of the accuracy), ``confidence`` (its
          mean) and ``brier``;
        - ``to_right``, ``to_wrong``: how many answers the reader changed after seeing the
          model's, from wrong to right and from right to wrong; the same with ``right_model`` and
          ``wrong_model``, how many right and wrong answers of the model there were;
        - ``decided, deferred, flagged, ungraded``: numbers of cases; ``seconds``, the median time
          from the model's answer to the decision.
    """
    final = pd.DataFrame(list(decisions.values()), columns=Decision._fields)
    final = final.set_index("item_id")
    alone = pd.DataFrame(list(commitments.values()), columns=Decision._fields)
    alone = alone.set_index("item_id").reindex(final.index)
    deferred = final["action"] == "defer"
    graded = final["correct"].notna() & final["model_correct"].notna() & ~deferred
    final_graded = final[graded]
    alone_graded = alone[graded]
    images = final_graded["image_id"].fillna(final_graded.index.to_series())
    rows = [
        _scores("model", final_graded, images, "model_"),
        _scores("both", final_graded, images, ""),
    ]
    summary = {"to_right": 0, "to_wrong": 0}
    if alone_graded["correct"].notna().all():
        rows.insert(0, _scores("you", alone_graded, images, ""))
        before = alone_graded["correct"].astype(bool)
        after = final_graded["correct"].astype(bool)
        summary["to_right"] = int((~before & after).sum())
        summary["to_wrong"] = int((before & ~after).sum())
    right_model = final_graded["model_correct"].astype(bool)
    return summary | {
        "table": pd.DataFrame(rows),
        "right_model": int(right_model.sum()),
        "decided": len(final),
        "deferred": int(deferred.sum()),
        "ungraded": int((~graded & ~deferred).sum()),
        "flagged": int(final["flagged"].astype(bool).sum()),
        "seconds": final["seconds"].astype(float).median(),
    }


def _scores(who: str, rows: pd.DataFrame, images: pd.Series, prefix: str) -> dict:
    """Return accuracy, mean confidence and Brier score of one of the three."""
    correct = rows[prefix + "correct"].astype(float)
    confidence = rows[prefix + "confidence"].astype(float)
    low, high = clustered_interval(correct.to_numpy(), images.to_numpy(str))
    return {
        "who": who,
        "n": len(correct),
        "n_right": int(correct.sum()),
        "low": low,
        "high": high,
        "confidence": confidence.mean(),
        "brier": ((confidence - correct) ** 2).mean(),
    }
