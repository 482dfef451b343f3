"""From answers to graded answers: one row per model, data set, item and strategy.

A strategy that asks once is graded as it stands; where it gives several answers to an item, its
own rule (:mod:`medcal_nb.ask.strategies`) says which of them counts and with what confidence.
Missing stays missing: without an answer there is no confidence and no grade.
"""

import numpy as np
import pandas as pd

from medcal_nb.answer_key import answer_key
from medcal_nb.answers import ANSWER_COLUMNS, GRADED_COLUMNS
from medcal_nb.ask.rows import agreement
from medcal_nb.ask.strategies import UNRANKED, find_strategy
from medcal_nb.errors import MedcalError

_KEY = ["model", "dataset", "item_id", "strategy"]
_SUMS = ["prompt_tokens", "new_tokens", "seconds"]
# names of earlier versions, in logs
_OLD_NAMES = {"image_ablation": "blank_image", "expert_blind": "expert_blank"}


def to_graded(answers: pd.DataFrame) -> pd.DataFrame:
    """Make one graded answer per model, data set, item and strategy.

    Parameters
    ----------
    answers : DataFrame
        The answers table, as it is loaded: columns ``ANSWER_COLUMNS``, others are carried along.

    Returns
    -------
    DataFrame
        Columns ``GRADED_COLUMNS`` and the extra ones, in order of first appearance. Tokens and
        seconds are summed over the answers, `n_answers` counts them; ``option_probabilities`` are
        those that the confidence is one of. Strategies bear the names of today.

    Raises
    ------
    MedcalError
        When a strategy without a rule has several answers to an item that state confidences.

    Notes
    -----
    Several answers of an unknown strategy without confidences are taken as samples: the answer
    given most often, and its share.

    Examples
    --------
    >>> from medcal_nb.answers import ANSWER_COLUMNS
    >>> replies = {"model": "m", "dataset": "d", "item_id": "q", "strategy": "self_consistency"}
    >>> answers = pd.DataFrame([replies | {"sample": k} for k in range(4)])
    >>> answers = answers.assign(answer=["yes", "yes", "no", "yes"])
    >>> answers["correct"] = pd.array([True, True, False, True], "boolean")
    >>> graded = to_graded(answers.reindex(columns=ANSWER_COLUMNS))
    >>> graded[["answer", "confidence", "n_answers"]].to_numpy().tolist()
    [['yes', 0.75, 4]]
    """
    frame = answers.assign(strategy=answers["strategy"].replace(_OLD_NAMES))
    rules = {
        name: getattr(find_strategy(name), "rule", None)
        for name in frame["strategy"].unique()
    }
    ruled = [name for name, rule in rules.items() if rule is not None]
    several = frame.duplicated(_KEY, keep=False) | frame["strategy"].isin(ruled)
    parts = [frame.loc[~several].assign(n_answers=1)]
    if several.any():
        parts.append(_summaries(frame.loc[several], rules))
    table = pd.concat([part for part in parts if len(part)] or parts[:1])
    extras = [name for name in frame if name not in ANSWER_COLUMNS]
    columns = list(dict.fromkeys((*GRADED_COLUMNS, *extras)))
    return (
        table.sort_index(kind="stable").reindex(columns=columns).reset_index(drop=True)
    )


def ranked(graded: pd.DataFrame) -> pd.DataFrame:
    """Return the graded answers of ways of asking that are compared with each other.

    Left out are probes (``blank_image``, ``none_of_the_above``), what was shown a blank image
    (``NAME_blank``), an expert's judgements and typed scores (``decision``).

    Examples
    --------
    >>> answers = pd.DataFrame({"strategy": ["verbalized", "blank_image", "top_k_blank"]})
    >>> ranked(answers)["strategy"].tolist()
    ['verbalized']
    """

    def is_apart(name):
        return (
            name.startswith("expert")
            or getattr(find_strategy(name), "family", "") in UNRANKED
        )

    apart = filter(is_apart, graded["strategy"].unique())
    return graded[~graded["strategy"].isin([*apart])].reset_index(drop=True)


def with_candidates(items: pd.DataFrame, graded: pd.DataFrame) -> pd.DataFrame:
    """Return what an expert can judge: the items that all strategies have answered.

    Parameters
    ----------
    items : DataFrame
        The item table.
    graded : DataFrame
        Graded answers of one model to one data set under the strategies whose answers are judged.

    Returns
    -------
    DataFrame
        An item without options has the different answers given, with a confidence, as its options;
        one without such answers is left out.
    """

    def different(said):
        return tuple({answer_key(answer): answer for answer in said[::-1]}.values())

    stated = graded.dropna(subset=["answer", "confidence"])
    named = stated.groupby("item_id")["answer"].agg(different)
    n_asked = items["item_id"].map(graded.groupby("item_id")["strategy"].nunique())
    options = items["options"].where(
        items["options"].notna(), items["item_id"].map(named)
    )
    whole = (n_asked == graded["strategy"].nunique()) & options.notna()
    return items.assign(options=options)[whole]


def _summaries(frame, rules):
    """Make one row of each item's several."""
    frame = frame.sort_values("sample", kind="stable")
    groups = frame.groupby(_KEY, sort=False)
    rows = frame[["answer", "option_probabilities"]].astype(object)
    rows = rows.where(rows.notna(), None).to_dict("records")
    stated = frame["confidence"].notna().to_numpy()
    found = []
    for (*_, item_id, strategy), where in groups.indices.items():
        rule = rules[strategy]
        if rule is None and stated[where].any():
            raise MedcalError(
                f"answers: item {item_id!r} has {len(where)} answers with confidences under "
                f"strategy {strategy!r}, for which there is no rule; keep one per item"
            )
        at, confidence, share = (rule or agreement)([rows[i] for i in where])
        found.append((where[at], frame.index[where].min(), confidence, share))
    chosen, first, confidences, shares = map(list, zip(*found, strict=True))
    sums = groups[_SUMS].transform("sum", skipna=False).astype(float)
    made = frame.assign(**sums, n_answers=groups["strategy"].transform("size")).iloc[
        chosen
    ]
    made["confidence"] = np.array(confidences, dtype=float)
    made["option_probabilities"] = pd.Series(shares, made.index, dtype=object)
    made.loc[made["answer"].isna(), "correct"] = pd.NA
    made.index = first
    return made
