"""What is put to a model, and what comes back.

A `Backend` takes *calls* and gives *results*; strategies know nothing else of it:

===================  ===========================================  ==========================
call                 what it asks                                 needs (in ``backend.can``)
===================  ===========================================  ==========================
:class:`Generate`    a reply, greedy or sampled                   generate, sample
:class:`Labels`      probabilities of a few allowed answers       labels
:class:`Decide`      a typed decision: a probability an option     decisions
:class:`Similarity`  similarity of an image with some sentences   similarity
===================  ===========================================  ==========================

``turns`` (a second user turn) and ``logprobs`` (log-probabilities of the reply's own tokens)
are declared in the same set. Calls are values: equal calls are asked once.
"""

import io
import math
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from medcal_nb.datasets import Item, open_image
from medcal_nb.errors import MedcalError
from medcal_nb.logs.typed import Decision

if TYPE_CHECKING:
    from PIL import Image

GENERATE = "generate"
SAMPLE = "sample"
TURNS = "turns"
LABELS = "labels"
LOGPROBS = "logprobs"
SIMILARITY = "similarity"
DECISIONS = "decisions"

#: What a model that writes can be asked for.
WRITING = frozenset({GENERATE, SAMPLE, TURNS, LABELS, LOGPROBS})

#: Mild changes of an image, none of which should change an answer, and the blank image.
CHANGES = ("brighter", "darker", "turned", "cropped", "softer")
BLANK = "blank"


#: The changes of an image are asked for one after another.
_opened = lru_cache(maxsize=1)(open_image)


@dataclass(frozen=True)
class Picture:
    """An image and the change made to it before it is shown; equal when key and change are."""

    key: str
    source: bytes | str | Path = field(compare=False, repr=False, default=b"")
    change: str = ""

    def open(self) -> "Image.Image":
        """Return the changed image as an RGB ``PIL.Image``."""
        return change_image(_opened(self.source), self.change)


def change_image(image: "Image.Image", change: str) -> "Image.Image":
    """Change an RGB image mildly (one of `CHANGES`), blank it, or leave it (``""``).

    Nothing is mirrored: sides carry meaning in medical images. ``turned`` is by 4 degrees,
    ``cropped`` leaves 94 % of each side, brightness changes by 15 %, ``softer`` is a mild blur;
    ``blank`` is mid-grey.
    """
    from PIL import Image, ImageEnhance, ImageFilter

    width, height = image.size
    if change == "":
        return image
    if change == BLANK:
        return Image.new("RGB", image.size, (128, 128, 128))
    if change in ("brighter", "darker"):
        return ImageEnhance.Brightness(image).enhance(
            1.15 if change == "brighter" else 0.85
        )
    if change == "turned":
        return image.rotate(
            4, resample=Image.Resampling.BILINEAR, fillcolor=image.getpixel((0, 0))
        )
    if change == "cropped":
        dx = round(width * 0.03)
        dy = round(height * 0.03)
        box = (dx, dy, width - dx, height - dy)
        return image.crop(box).resize(image.size, Image.Resampling.BILINEAR)
    return image.filter(ImageFilter.GaussianBlur(max(0.4, min(width, height) / 200)))


@dataclass(frozen=True)
class Prompt:
    """A picture, then turns that alternate user, model, user …; the last is the user's.

    `block` is the beginning of the first turn that other prompts of the same item share.
    """

    picture: Picture
    turns: tuple[str, ...]
    block: str = field(compare=False, default="")


@dataclass(frozen=True)
class Generate:
    """Ask for a reply: greedy or, with a `seed`, sample number `sample` at `temperature`."""

    prompt: Prompt
    max_new_tokens: int
    seed: str = ""
    sample: int = 0
    temperature: float = 1.0


@dataclass(frozen=True)
class Labels:
    """Ask how probable each of a few replies is, as the very next words of the model."""

    prompt: Prompt
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Similarity:
    """Ask how well each sentence fits an image: similarity, softmax at the model's own scale."""

    picture: Picture
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Decide:
    """Ask for a typed decision about an image: a probability of each option, and no text.

    `kind` is ``noul`` (yes or no), ``choice`` or ``score`` (levels, from the lowest).
    """

    picture: Picture
    question: str
    options: tuple[str, ...]
    kind: str = "choice"


@dataclass(frozen=True)
class Reply:
    """A reply: text, summed log-probability of its tokens (NaN where unknown), tokens.

    `finished` is False where the limit of tokens cut it; `model` is who a server says replied.
    """

    text: str
    logprob: float = math.nan
    prompt_tokens: int = 0
    new_tokens: int = 0
    finished: bool = True
    model: str = ""


@dataclass(frozen=True)
class LabelProbabilities:
    """Probabilities of labels or sentences, summing to 1."""

    probabilities: dict[str, float]
    prompt_tokens: int = 0


@dataclass(frozen=True)
class Decided:
    """A typed decision, or that the question was refused."""

    decision: Decision
    prompt_tokens: int = 0
    model: str = ""


@dataclass(frozen=True)
class Failure:
    """A call that got no answer, and why; the item is reported and asked again next time."""

    reason: str

    @classmethod
    def of(cls, error: Exception, meaning: str = "") -> "Failure":
        """What ended a call or a program, in a line; `meaning` says what an error stands for."""
        if isinstance(error, MedcalError):
            return cls(str(error))
        line = " ".join(f"{meaning}{type(error).__name__}: {error}".split())
        return cls(line[:300])


Call: TypeAlias = Generate | Labels | Similarity | Decide
Result: TypeAlias = Reply | LabelProbabilities | Decided
#: An answer row, before it is graded.
Row: TypeAlias = dict[str, Any]
#: What a strategy's `ask` makes: it yields calls, is sent results, returns answer rows.
Program: TypeAlias = Generator[list[Call], list[Any], list[Row]]
#: What became of a program.
Outcome: TypeAlias = list[Row] | Failure
#: An item and the strategy under which it is asked.
Pair: TypeAlias = tuple[Item, Any]
#: What is asked of a batch.
Todo: TypeAlias = list[Pair]


class Backend(Protocol):
    """A model that can be asked, on this machine, behind a URL or through files.

    Attributes
    ----------
    name : str
        The name that stands in the answers table.
    can : frozenset of str
        What it can be asked: `GENERATE`, `SAMPLE` …
    cannot : dict
        Why it cannot be asked the others, by their names, where more is known.
    revision : str or None
        Which weights it holds, where it knows.
    provenance : dict
        Columns that stand in every row of its answers.
    offers : list of str
        What more was found out about it, in sentences.
    """

    name: str
    can: frozenset[str]
    cannot: dict[str, str]
    revision: str | None = None
    provenance: dict[str, str]
    offers: list[str] = []  # noqa: RUF012 (never changed in place)

    def stream(
        self, batches: Iterable[tuple[Todo, list[Program]]]
    ) -> Generator[tuple[Todo, list[Outcome]], None, None]:
        """Run the programs of many batches, which are read as they are needed.

        Parameters
        ----------
        batches : iterable of (list of (Item, Strategy), list of programs)

        Yields
        ------
        (list, list)
            What was to do of a batch, and what became of each program: its rows, or the `Failure`
            for which it could not go on.
        """
        ...


def encode_png(image: "Image.Image") -> bytes:
    """Return an RGB ``PIL.Image`` as PNG bytes, made quickly rather than small."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def grey_png() -> bytes:
    """A grey image, where there is none to show."""
    from PIL import Image

    return encode_png(Image.new("RGB", (64, 64), (128, 128, 128)))
