"""The same question in other words and with its options in another order."""

from collections.abc import Sequence
from itertools import permutations, product

import pandas as pd

from medcal_nb.ask.strategies import REWORDINGS


def variants(
    items: pd.DataFrame,
    *,
    words: Sequence[str] = ("{question}", *REWORDINGS),
    orders: int = 2,
) -> pd.DataFrame:
    """Put each question in several wordings and orders of its options.

    Nothing that is asked changes: a confidence that moves depends on the form alone.

    Parameters
    ----------
    items : DataFrame
        Items with options, as of `medcal_nb.datasets.load_items`.
    words : sequence of str
        Wordings, with ``{question}`` for the question: by default as it is, and four others.
    orders : int
        How many orders of the options: as they are, reversed, then others.

    Returns
    -------
    DataFrame
        A row an item, wording and order, each an item of its own:

        - item_id: the item's, with the numbers of wording and order
        - asked_of: the item_id of the question
        - wording, order: numbers from 1; 1 and 1 is the question as it is

    Examples
    --------
    >>> one = pd.DataFrame({"item_id": ["q"], "question": ["Which side?"], "options": [["l", "r"]]})
    >>> variants(one, words=["{question}", "Look. {question}"])[["item_id", "question", "options"]]
       item_id           question options
    0  q|w1|o1        Which side?  [l, r]
    1  q|w1|o2        Which side?  [r, l]
    2  q|w2|o1  Look. Which side?  [l, r]
    3  q|w2|o2  Look. Which side?  [r, l]
    """
    rows = []
    for item in items.to_dict("records"):
        ways = product(
            enumerate(words, 1), enumerate(_orders(item["options"], orders), 1)
        )
        for (wording, text), (order, options) in ways:
            about = {"asked_of": item["item_id"], "wording": wording, "order": order}
            name = f"{item['item_id']}|w{wording}|o{order}"
            question = text.format(question=item["question"].strip())
            rows.append(
                item
                | about
                | {"item_id": name, "question": question, "options": options}
            )
    return pd.DataFrame(rows)


def _orders(options: Sequence[str], most: int) -> list[list[str]]:
    """Different orders of options: as they are, reversed, then the others."""
    own = tuple(options)
    orders = dict.fromkeys([own, own[::-1], *permutations(own)])
    return [[*order] for order in orders][:most]
