"""From several replies to a question to one answer: the rules of elicitation methods that sample.

A method that asks once is taken as it stands. Where it gives several answers to an item, its own
rule says which of them counts and with what confidence.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from medcal_nb.errors import MedcalError
from medcal_nb.tables.columns import ANSWER_KEY, columns_of
from medcal_nb.words import answer_key

#: Position of the answer's row, confidence, option probabilities or None.
Grade = tuple[int, float, dict[str, float] | None]
Rule = Callable[[Sequence[dict]], Grade]

#: A probability is known to about this much from every backend; no ratio is taken below it.
LEAST_SHARE = 1e-3

_SUMS = columns_of("sum")


def agreement(rows: Sequence[dict]) -> Grade:
    """The answer most often given (ties: the first seen) and its share of all N replies.

    Examples
    --------
    >>> agreement([{"answer": "yes"}, {"answer": "no"}, {"answer": "yes"}, {"answer": None}])
    (0, 0.5, None)
    """
    labels, sizes = _labels(rows)
    if not sizes:
        return 0, math.nan, None
    ((best, n),) = sizes.most_common(1)
    return labels.index(best), n / len(rows), None


def entropy(rows: Sequence[dict]) -> Grade:
    r"""The answer most often given, and :math:`\exp(-H)` of the shares among replies that answer.

    1 when all agree, 1/N when none do, and the share of one group when all groups are equal.
    """
    first, share, _ = agreement(rows)
    _, sizes = _labels(rows)
    if not sizes:
        return first, share, None
    shares = [n / sizes.total() for n in sizes.values()]
    nats = -math.fsum(p * math.log(p) for p in shares)
    return first, math.exp(-nats), None


def first_answer_share(rows: Sequence[dict]) -> Grade:
    """The first answer, and the share of all replies, itself included, that give it."""
    labels, sizes = _labels(rows)
    first = labels[0]
    share = math.nan if first is None else sizes[first] / len(rows)
    return 0, share, None


def over_blank(rows: Sequence[dict]) -> Grade:
    """The answer with the image; its probability with each option's divided by the blank image's.

    Normalised over the options; no probability counts as less than `LEAST_SHARE`.
    """
    if len(rows) < 2 or rows[0]["answer"] is None:
        return 0, math.nan, None
    seen = rows[0]["option_probabilities"] or {}
    blank = rows[1]["option_probabilities"] or {}
    if not seen or set(seen) != set(blank):
        return 0, math.nan, None
    ratios = {}
    for name, p in seen.items():
        with_image = max(p, LEAST_SHARE)
        without = max(blank[name], LEAST_SHARE)
        ratios[name] = with_image / without
    total = math.fsum(ratios.values())
    shares = {name: ratio / total for name, ratio in ratios.items()}
    return 0, shares[rows[0]["answer"]], shares


#: The rule of each elicitation method that gives several answers to an item.
RULES: dict[str, Rule] = {
    "self_consistency": agreement,
    "paraphrase": agreement,
    "augment": agreement,
    "semantic_entropy": entropy,
    "challenge": first_answer_share,
    "blank_image": over_blank,
}


def one_answer_an_item(answers: pd.DataFrame, file: str) -> pd.DataFrame:
    """Make one answer of the several that a method gave to an item.

    Parameters
    ----------
    answers : DataFrame
        With the columns of `ANSWER_KEY` and ``answer``; without a column ``sample`` each is one.
    file : str
        For messages.

    Returns
    -------
    DataFrame
        In order of first appearance, with a column ``n_answers``. Tokens and seconds are summed,
        ``option_probabilities`` are those that the confidence is one of. Without an answer there
        is no confidence and no grade.

    Raises
    ------
    MedcalError
        Where a method without a rule has several answers to an item that state confidences.

    Notes
    -----
    Several answers of an unknown method without confidences are taken as samples: the answer given
    most often, and its share.
    """
    if "sample" not in answers:
        return answers
    method = answers["strategy"].str.removesuffix("_blank")
    several = answers.duplicated(ANSWER_KEY, keep=False) | method.isin(RULES)
    if not several.any():
        return answers.assign(n_answers=1)
    has_no_rule = several & answers["confidence"].notna() & ~method.isin(RULES)
    if has_no_rule.any():
        row = answers.loc[has_no_rule.idxmax()]
        raise MedcalError(
            f"{file}: item {row['item_id']!r} has several answers with confidences under "
            f"strategy {row['strategy']!r}, for which there is no rule; keep one per item"
        )
    one = _merged(answers[several])
    others = answers[~several].assign(n_answers=1)
    table = pd.concat([others, one])
    return table.sort_index(kind="stable", ignore_index=True)


def _merged(answers: pd.DataFrame) -> pd.DataFrame:
    """One answer of each item and method, where its first row stood."""
    frame = answers.sort_values("sample", kind="stable")
    groups = frame.groupby(ANSWER_KEY, sort=False)
    one = frame.assign(n_answers=groups["sample"].transform("size"))
    for name in one.columns.intersection(_SUMS):
        is_known = groups[name].transform("count") == one["n_answers"]
        one[name] = groups[name].transform("sum").where(is_known)
    rows = frame.reindex(columns=["answer", "option_probabilities"]).astype(object)
    rows = rows.where(rows.notna(), None).to_dict("records")
    chosen = {}
    for (*_, strategy), places in groups.indices.items():
        rule = RULES.get(strategy.removesuffix("_blank"), agreement)
        nth, confidence, shares = rule([rows[place] for place in places])
        chosen[places[nth]] = (confidence, shares, frame.index[places].min())
    one = one.iloc[[*chosen]]
    confidences, all_shares, first = zip(*chosen.values(), strict=True)
    one["confidence"] = np.array(confidences, dtype=float)
    one["option_probabilities"] = pd.Series(all_shares, one.index, dtype=object)
    one["correct"] = one["correct"].mask(one["answer"].isna())
    return one.set_axis([*first])


def _labels(rows: Sequence[dict]) -> tuple[list[str | None], Counter]:
    """Each row's answer, normalised (None without one), and how often each is given."""
    labels = []
    for row in rows:
        answer = row["answer"]
        labels.append(None if answer is None else answer_key(answer))
    return labels, Counter(label for label in labels if label is not None)
