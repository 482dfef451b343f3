"""A strategy, and the plan of a run."""

from collections.abc import Callable
from dataclasses import dataclass

from medcal_nb.ask.calls import Backend, Program
from medcal_nb.datasets import Item
from medcal_nb.errors import MedcalError

#: New tokens allowed per kind of reply.
LIMITS = {"answer": 64, "form": 96, "guesses": 96, "reasoning": 512, "description": 96}


@dataclass(frozen=True)
class Plan:
    """The choices a run makes for all strategies.

    `samples` replies are drawn at `temperature` by the sampled strategies; `lettered` reads
    option probabilities from letters instead of the options' own words; `max_new_tokens`
    stands in place of every limit of `LIMITS`.
    """

    dataset: str = ""
    seed: int = 0
    samples: int = 10
    temperature: float = 1.0
    lettered: bool = False
    max_new_tokens: int | None = None

    def __post_init__(self) -> None:
        if not (1 <= self.samples <= 1000 and 0.01 <= self.temperature <= 100):
            raise MedcalError(
                "settings: samples are 1 to 1000, temperature is 0.01 to 100"
            )

    def limit(self, kind: str) -> int:
        """Return the number of new tokens allowed for a kind of reply."""
        return self.max_new_tokens or LIMITS[kind]


@dataclass(frozen=True)
class Strategy:
    """How to ask a model how sure it is.

    Attributes
    ----------
    name, asks, source : str
        Name in the answers table, what is asked in one line, and where it comes from.
    family : str
        ``stated``, ``second turn``, ``likelihood``, ``agreement``, ``ablation`` (never ranked among
        the others) or ``apart`` (nor asked, unless by its name): gives its colour.
    needs : frozenset of str
        What a backend must be able to do (see :mod:`medcal_nb.ask.calls`).
    ask : callable
        (item, plan) → generator of calls that returns answer rows.
    rule : callable or None
        Rows of an item → (position of the row that is its answer, confidence, option
        probabilities or None).
    applies : callable
        (item, plan) → why an item cannot be asked this way, or None where it can.
    """

    name: str
    asks: str
    source: str
    family: str
    needs: frozenset[str]
    ask: Callable[[Item, Plan], Program]
    rule: Callable | None
    applies: Callable[[Item, Plan], str | None]

    def skips(self, backend: Backend) -> str | None:
        """Return why a backend cannot be asked this way, or None where it can."""
        missing = min(self.needs - backend.can, default="")
        if not missing:
            return None
        return backend.cannot.get(missing, f"the model gives no {missing}")


def applies_always(item: Item, plan: Plan) -> None:
    """No reason why an item could not be asked."""
