"""What a run would send, before anything is sent: requests, images, tokens, a price."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from medcal_nb.ask.calls import Call, Decide, Generate, Similarity
from medcal_nb.ask.run import calls_of, ordered_items
from medcal_nb.ask.strategies import choose_strategies
from medcal_nb.ask.strategy import Plan, Strategy

#: Characters of an English text to a token, as tokenizers of large models have it.
_CHARACTERS = 4.0


@dataclass(frozen=True)
class Estimate:
    """What asking items under some methods sends and gets back, about.

    Attributes
    ----------
    questions, images : int
        How many questions are asked, about how many images.
    requests : int
        How many requests are sent at most, each with an image; equal ones are sent once.
    at_once : int
        How many where a server gives all samples of a question, or all typed decisions about an
        image, for one request.
    text_tokens, image_tokens : int
        Tokens that are sent: of texts, at four characters each, and of images.
    most_new_tokens : int
        Tokens of replies, if each is as long as it may be.
    """

    questions: int
    images: int
    requests: int
    at_once: int
    text_tokens: int
    image_tokens: int
    most_new_tokens: int

    def price(self, sent: float, written: float) -> float:
        """Return the price at so much for a million tokens sent and a million written."""
        tokens_in = self.text_tokens + self.image_tokens
        return (tokens_in * sent + self.most_new_tokens * written) / 1e6

    def lines(self) -> list[str]:
        """Return the estimate in lines for a reader."""
        requests = f"{self.requests:,} requests at most"
        if self.at_once < self.requests:
            requests += (
                f" ({self.at_once:,} where a server gives all samples, or all decisions about an "
                "image, for one request)"
            )
        return [
            f"{self.questions:,} questions about {self.images:,} images: {requests}",
            f"tokens sent: about {self.text_tokens:,} of text, {self.image_tokens:,} of images",
            f"tokens written: at most {self.most_new_tokens:,}",
        ]


def estimate(
    items: pd.DataFrame,
    strategies: str | list[str] | list[Strategy],
    *,
    tokens_an_image: int = 1000,
    **plan: Any,
) -> Estimate:
    """Count what :func:`medcal_nb.ask.run.ask` would send for these items; nothing is sent.

    Parameters
    ----------
    items, strategies, **plan
        As of :func:`medcal_nb.ask.run.ask`.
    tokens_an_image : int
        Tokens that an image costs: most models take 250 to 1,600 for a megapixel.

    Returns
    -------
    Estimate

    Examples
    --------
    >>> from medcal_nb.datasets import load_items
    >>> items = load_items("pocketvqa-medical", split="test", n=4)
    >>> estimate(items, "verbalized").requests
    4
    """
    asked = choose_strategies(strategies)
    settings = Plan(**plan)
    # equal calls about an image are asked once
    calls: dict[str, dict[Call, None]] = {}
    for item in ordered_items(items):
        about = calls.setdefault(str(item.image_id), {})
        for how in asked:
            if how.applies(item, settings) is None:
                about |= dict.fromkeys(calls_of(how, item, settings)[0])
    sent = [call for about in calls.values() for call in about]
    at_once = [
        call for call in sent if not (isinstance(call, Generate) and call.sample)
    ]
    n_alone = sum(not isinstance(call, Decide) for call in at_once)
    n_decided = sum(
        any(isinstance(call, Decide) for call in about) for about in calls.values()
    )
    return Estimate(
        questions=len(items),
        images=len(calls),
        requests=len(sent),
        at_once=n_alone + n_decided,
        text_tokens=round(sum(map(_characters, at_once)) / _CHARACTERS),
        image_tokens=tokens_an_image * (n_alone + n_decided),
        most_new_tokens=sum(_most_new(sent)),
    )


def _characters(call: Call) -> int:
    if isinstance(call, Decide):
        return len(call.question) + sum(map(len, call.options))
    texts = call.texts if isinstance(call, Similarity) else call.prompt.turns
    return sum(map(len, texts))


def _most_new(calls: Iterable[Call]) -> Iterable[int]:
    for call in calls:
        if not isinstance(call, Decide):
            yield call.max_new_tokens if isinstance(call, Generate) else 1
