"""Which answers an expert judges, and typed scores: the two stages that need more than an item.

An expert is another model that is shown the question and the candidate answers, and whose
probability of each is read; it may see the image or not, and know how confident the others were or
not (strategies ``expert``, ``expert_blind``, ``expert_told``, ``expert_blind_told``).
"""

import hashlib
import json
import math

from medcal_nb.ask.grading import normalise
from medcal_nb.ask.run import Summary
from medcal_nb.items import open_image


def cases(graded, items, strategies):
    """Return what an expert is shown of each item that all strategies have answered.

    Parameters
    ----------
    graded : DataFrame
        Graded answers of one model to one data set under those strategies.
    items : list of Item
    strategies : sequence of str
        Whose answers are judged.

    Returns
    -------
    dict of str to (tuple of str, tuple of float)
        By item, the candidates in alphabetical order (the options where there are any, else the
        answers that were named; a single one is to be judged right or wrong), and the share of
        support that each has among the strategies, which sum to 1: the mean of what they give it,
        their confidence or what it leaves for each other candidate.
    """
    columns = ["item_id", "strategy", "answer", "confidence", "option_probabilities"]
    votes, found = {}, {}
    for item_id, strategy, *vote in graded[columns].itertuples(index=False):
        votes.setdefault(str(item_id), {})[strategy] = vote
    for item in items:
        of_item = votes.get(str(item.item_id), {})
        if set(of_item) == set(strategies):
            said = [vote for vote in of_item.values() if vote[0] == vote[0] and vote[1] == vote[1]]
            named = {}
            for answer, *_ in said:
                named.setdefault(normalise(answer), str(answer))
            shown = sorted(item.options or named.values())
            if shown:
                others = max(1, len(shown) - bool(item.options))
                found[str(item.item_id)] = tuple(shown), _support(said, shown, named, others)
    return found


def _support(votes, shown, named, others):
    """Return the support of each candidate shown; those that nobody named share what is left."""
    told = []
    for label in map(normalise, shown):
        given = []
        for answer, confidence, p in votes:
            stated = {normalise(answer): confidence}
            stated |= {normalise(name): share for name, share in (p or {}).items()}
            given.append(stated.get(label, (1 - confidence) / others))
        told.append(sum(given) / len(given) if label in named else None)
    left = max(0.0, 1 - math.fsum(share for share in told if share is not None))
    told = [left / told.count(None) if share is None else share for share in told]
    total = math.fsum(told)
    return tuple(round(share / total, 4) if total else 1 / len(told) for share in told)


def _decision_pipeline(name):
    """Return transformers' decision pipeline on a pocket model, a hub id or a folder."""
    from transformers import pipeline
    from transformers.utils import logging

    from medcal_nb.pocket import pocket_dir

    logging.disable_progress_bar()
    return pipeline("decision", model=str(pocket_dir(name) if name.startswith("pocket-") else name))


def ask_scores(name, items, levels, *, log):
    """Ask a model to score items on levels, as a typed decision of type ``score``, into a log.

    The rows have strategy ``decision``, ``question_type`` score, and ``option_probabilities`` over
    the levels in their order. What the log holds is not asked again.

    Parameters
    ----------
    name : str
        A pocket model, a hub id or a folder that transformers' decision pipeline takes.
    items : DataFrame
        Item table of one data set; those whose gold is a level are asked, whatever their options.
    levels : sequence of str
        From the lowest to the highest.
    log : AnswerLog

    Returns
    -------
    Summary
        Without rows, new or old, where no item's gold is a level.
    """
    done, levels = Summary(), list(levels)
    chosen = items[[isinstance(gold, str) and gold in levels for gold in items["gold"]]]
    keys = log.keys(model=name, dataset=items["dataset"].iloc[0], strategy="decision")
    left = chosen[~chosen["item_id"].isin({key[2] for key in keys})]
    done.done_before = len(chosen) - len(left)
    if chosen.empty:
        done.not_applicable["decision", "no answer is a level"] = len(items)
    if left.empty:
        return done
    run_id = hashlib.blake2b(json.dumps([name, levels]).encode(), digest_size=6).hexdigest()
    told = {"model": name, "strategy": "decision", "question_type": "score", "run_id": run_id}
    decide, rows = _decision_pipeline(name), []
    for item in left.drop(columns="options").to_dict("records"):
        question = {"type": "score", "instructions": item.pop("question"), "criteria": levels}
        assets = {"image": open_image(item.pop("image"))}
        request = {"state": "image", "assets": assets, "questions": {"q": question}}
        shares = decide(request)["q"]["probabilities"].values()
        p = dict(zip(levels, map(float, shares), strict=True))
        best = max(p, key=p.get)
        answer = {"option_probabilities": p, "answer": best, "confidence": p[best]}
        rows.append(item | told | answer | {"parse_ok": True, "correct": best == item["gold"]})
    done.rows = log.append(rows, if_exists="ignore")
    return done
