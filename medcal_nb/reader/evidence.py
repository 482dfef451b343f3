"""What is known about one answer before anyone trusts it.

A case is a row of :attr:`medcal_nb.reader.cases.Casebook.rows`. Everything here is computed on
answers to *other* images than its own.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd

from medcal_nb.ask.graded import meaning
from medcal_nb.ask.grading import is_correct
from medcal_nb.measure import clustered_interval, selective_threshold
from medcal_nb.reader.cases import Casebook
from medcal_nb.reader.decisions import Decision

#: How many like answers are looked at, and how many a condition on likeness has to leave.
NEAREST = 100
AT_LEAST = 20
#: How far the agreements of two answers that are like in it may be apart.
LIKE_AGREEMENT = 0.15
WORST_SHARE = 0.2
_RANKED = (
    2000  # cases among which the worst share is looked for; ranking takes their square
)


def _like(
    past: pd.DataFrame, case: pd.Series
) -> tuple[np.ndarray, list[str], list[str]]:
    """Return which rows are like a case, in what, and in what too few are: 20 have to be left."""
    mine = past["image_id"].to_numpy() != case["image_id"]
    like = []
    unlike = []
    likeness = {
        "kind": past["question_type"].to_numpy() == case["question_type"],
        "agreement": np.abs(past["agreement"].to_numpy() - case["agreement"])
        <= LIKE_AGREEMENT,
        "modality": past["modality"].to_numpy() == case["modality"],
    }
    for name, holds in likeness.items():
        if (mine & holds).sum() >= AT_LEAST:
            mine = mine & holds
            like = [*like, name]
        elif name != "agreement" or case["agreement"] >= 0:
            unlike.append(name)
    # the nearest in confidence, with all that are as near as the last of them
    apart = np.abs(past["confidence"].to_numpy(float) - case["confidence"])
    count = min(NEAREST, max(AT_LEAST, round(mine.sum() / 4)))
    return mine & (apart <= np.sort(apart[mine])[:count].max(initial=0)), like, unlike


def case_error(book: Casebook, case: pd.Series) -> dict | None:
    """Error rate of the answers that are most like a case's, about other images.

    Like means: the same kind of question, a like share of other ways of asking that agree, the
    same modality, each where it leaves at least 20 answers; of those left, the quarter (20 to
    100) with the nearest confidence and all that are as near. The interval is that of
    :func:`medcal_nb.measure.clustered_interval`, wider where answers about an image tend to be
    wrong together.

    Returns
    -------
    dict or None
        ``n`` answers about ``n_images`` images, ``n_wrong`` of them wrong, ``share`` with its
        ``interval`` of 95 %; ``confidence`` and ``agreement``, their least and greatest; ``like``,
        which of ``kind``, ``agreement``, ``modality`` they have in common, ``unlike``, which too
        few had. None where there is no other answer.
    """
    mine, like, unlike = _like(book.past, case)
    if not mine.any():
        return None
    mine = book.past[mine]
    wrong = 1 - mine["correct"].to_numpy()
    images = mine["image_id"].to_numpy(str)
    told = {"n": len(mine), "n_images": len(set(images)), "n_wrong": int(wrong.sum())}
    told |= {"share": wrong.mean(), "interval": clustered_interval(wrong, images)}
    told |= {
        name: (mine[name].min(), mine[name].max())
        for name in ("confidence", "agreement")
    }
    return told | {"like": like, "unlike": unlike}


def worst_cases(book: Casebook) -> set[str]:
    """Return the items that ring: the fifth with the highest error rate of answers like them.

    Of cases with one error rate those with less agreement come first, then those with less
    confidence; where nothing is graded these two alone decide.
    """
    rows = book.rows.loc[book.order[:_RANKED]]
    right = book.past["correct"]
    share = [right[_like(book.past, case)[0]].mean() for _, case in rows.iterrows()]
    rows = rows.assign(share=np.round(share, 6), agreement=rows["agreement"].fillna(1))
    worst = rows.sort_values(["share", "agreement", "confidence", "item_id"]).index
    return set(worst[: math.ceil(WORST_SHARE * len(worst))])


def certified_threshold(book: Casebook, limit: float) -> dict:
    """Return the lowest confidence above which errors stay below a limit.

    With a probability of at least 0.9 over the draw of the library, no more than `limit` of the
    answers above the threshold are wrong; it is infinite where nothing can be certified. Images,
    not questions, are taken as independent.

    Returns
    -------
    dict
        ``limit, threshold``, and ``n``, the answers of the library.

    References
    ----------
    Angelopoulos et al., Learn then Test, Annals of Applied Statistics 2025, arXiv:2110.01052.
    """
    on = book.past[book.past["library"]]
    told = {"limit": limit, "n": len(on), "threshold": math.inf}
    if len(on):
        # that nothing is certified is told by the threshold
        chosen = selective_threshold(
            on["confidence"],
            on["correct"],
            target=limit,
            delta=0.1,
            groups=on["image_id"],
        )
        told["threshold"] = float(chosen.threshold)
    return told


def past_cases(book: Casebook, case: pd.Series, *, n: int = 3) -> pd.DataFrame:
    """Return the library's cases most like this one, whatever their outcome, one per image.

    Those of the same kind of question and modality first, of these the nearest in confidence.
    Where the question may be *which* modality is shown, it is no reason to choose: it would tell.
    """
    library = book.past[
        book.past["library"] & (book.past["image_id"] != case["image_id"])
    ]
    gold = case["gold"] if isinstance(case["gold"], list | tuple) else [case["gold"]]
    answers = {meaning(answer) for answer in (*(case["options"] or ()), *gold)}
    unlike = (library["question_type"] != case["question_type"]).astype(int)
    if meaning(case["modality"]) not in answers:
        unlike += (library["modality"] != case["modality"]).astype(int)
    far = (library["confidence"] - case["confidence"]).abs().round(6)
    ranked = library.assign(unlike=unlike, far=far).sort_values(
        ["unlike", "far", "item_id"]
    )
    return ranked.drop_duplicates("image_id").head(n)


def other_ways(book: Casebook, case: pd.Series) -> pd.DataFrame:
    """Return what the model answered when asked in other ways.

    Returns
    -------
    pandas.DataFrame
        ``item_id, strategy, answer, confidence, meaning, agrees``; empty where there was none.
    """
    ways = book.ways[book.ways["item_id"] == case["item_id"]]
    ways = ways[ways["strategy"] != book.about["strategy"]]
    return ways.assign(agrees=ways["meaning"] == case["meaning"])


def blank_image(book: Casebook, case: pd.Series) -> tuple[float, float] | None:
    """Return the probability of the answer with the image and with a blank one; None if unknown."""
    mine = book.answers[book.answers["item_id"] == case["item_id"]]
    mine = mine[mine["strategy"] == "blank_image"].sort_values("sample")
    shares = mine["option_probabilities"].dropna()
    shares = [{meaning(option): p for option, p in share.items()} for share in shares]
    found = [
        float(share[case["meaning"]]) for share in shares if case["meaning"] in share
    ]
    return tuple(found) if len(found) == 2 else None


def summarise(book: Casebook, decisions: dict, commitments: dict) -> dict:
    """Compare the model alone, the reader alone and the pair, always on the same cases.

    The pair's answer is the model's where accepted and the reader's where overridden. Deferred
    cases have none and are left out for all.

    Parameters
    ----------
    book : Casebook
    decisions, commitments : dict of str to Decision
        By item, as :class:`medcal_nb.reader.decisions.DecisionLog` returns them.

    Returns
    -------
    dict
        ``table``: rows ``cases, who, n, n_right, low, high``, on the cases answered before the
        model's answer was shown for model, reader and pair, on all, if more, for model and pair;
        counts ``decided, deferred, flagged``, ``corrected`` (wrong answers overridden by right
        ones), ``broken`` (right ones by wrong ones), ``missed`` (wrong ones accepted); ``seconds``,
        the median time a case took.
    """
    found = []
    for item_id, made in decisions.items():
        case = book.rows.loc[item_id]
        own = commitments.get(item_id)
        right = case["correct"], own and _grade(case, own), _grade(case, made)
        found.append(
            (case["image_id"], made.action, made.flagged, made.seconds, *right)
        )
    columns = ["image_id", "action", "flagged", "seconds", "model", "you", "pair"]
    made = pd.DataFrame(found, columns=columns)
    cases = made.dropna(subset=["model", "pair"])
    first = cases.dropna(subset="you")
    table = [
        ("answered first", who, *_right(first, who)) for who in ("model", "you", "pair")
    ]
    if len(first) < len(cases):
        table += [("all", who, *_right(cases, who)) for who in ("model", "pair")]
    model = cases["model"].astype(bool)
    pair = cases["pair"].astype(bool)
    return {
        "table": pd.DataFrame(
            table, columns=["cases", "who", "n", "n_right", "low", "high"]
        ),
        "decided": len(made),
        "deferred": int((made["action"] == "defer").sum()),
        "flagged": int(made["flagged"].sum()),
        "corrected": int((pair & ~model).sum()),
        "broken": int((model & ~pair).sum()),
        "missed": int((~model & (cases["action"] == "accept")).sum()),
        "seconds": made["seconds"].astype(float).median(),
    }


def _grade(case: pd.Series, made: Decision) -> bool | None:
    """Return whether the answer that a decision stands for is right; None where not known."""
    if made.action == "accept":
        return case["correct"]
    kind = case["question_type"] or ("choice" if case["options"] else "open")
    return is_correct(
        made.answer, case["gold"], question_type=kind, options=case["options"]
    )


def _right(cases: pd.DataFrame, who: str) -> tuple:
    y = cases[who].to_numpy(float)
    return len(y), int(y.sum()), *clustered_interval(y, cases["image_id"].to_numpy(str))


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
        defer) or ``own answer first``. Kappa is NaN where both always said one and the same, for
        agreement by chance is then certain.

    References
    ----------
    Cohen, Educational and Psychological Measurement 1960, 20(1), 37-46.
    """
    columns = ["reader_a", "reader_b", "what", "n", "agree", "kappa"]
    if decisions["reader"].nunique() < 2:
        return pd.DataFrame(columns=columns)
    from sklearn.metrics import (
        cohen_kappa_score,  # takes seconds: not for a reader alone
    )

    keys = ["model", "dataset", "strategy", "item_id", "reader"]
    committed = decisions["action"] == "commit"
    own = (
        decisions[committed]
        .drop_duplicates(keys)
        .set_index(keys)["answer"]
        .map(meaning)
    )
    made = decisions[~committed & decisions["undone_at"].isna()]
    made = made.drop_duplicates(keys, keep="last").set_index(keys)["action"]
    of = {"decision": made, "own answer first": own}
    rows = []
    for what, values in of.items():
        wide = values.unstack("reader")
        for pair in itertools.combinations(wide.columns, 2):
            a, b = wide[list(pair)].dropna().to_numpy(str).T
            if len(a):
                kappa = cohen_kappa_score(a, b) if len({*a, *b}) > 1 else math.nan
                rows.append((*pair, what, len(a), (a == b).mean(), kappa))
    return pd.DataFrame(rows, columns=columns)
