"""The options of a question as a value, and which of them a text names.

Options are letters (or the keys of a table) with their texts. They come as a list, a table by
letter, a text ("A) left lung B) right lung") or one of these as JSON or as Python writes it; texts
that carry their own letters ("A: left lung") are taken apart. A letter counts where it stands as a
letter, and the words of an option that begin a text count before it: "C. difficile infection" is no
choice of C.
"""

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from string import ascii_uppercase
from typing import Any

import numpy as np
import pandas as pd

from medcal_nb.errors import MedcalError
from medcal_nb.words.key import answer_key, is_nothing
from medcal_nb.words.lists import FILE

#: "A: left lung", "(A) left lung", "A. left lung": a letter, its sign, and the text of the option.
_LETTERED = re.compile(r"\s*[(\[]?\s*([A-Za-z])\s*([).:\]])\s*(?=\S)(.*)", re.DOTALL)
#: The same, or "A (left lung)": what stands behind a letter.
_MARKED = re.compile(r"\W*[A-Za-z]\s*[).:\](]+\s*(.*)", re.DOTALL)
#: Where an option begins in a text of several.
_BEGINS = re.compile(r"(?:^|(?<=[\s,;|]))[(\[]?([A-Z])(?:[)\]:]\s*|\.\s+)(?=\S)")
_KEY = re.compile(
    r"(?:option|opt|choice|op)?[\s_]*[(\[]?([A-Za-z]|\d{1,2}|[ivx]{1,4})[)\].:]*", re.I
)
_SPLITS = ("\n", "|", ";", "/")


@dataclass(frozen=True)
class Options:
    """The options of a question.

    Attributes
    ----------
    texts : tuple of str
        In the order in which they were shown.
    names : tuple of str
        The letter of each, or its key in capitals: ``("A", "B")``, ``("1", "2")``.

    Examples
    --------
    >>> Options.read({"B": "right lung", "A": "left lung"}).text_of("A")
    'left lung'
    >>> Options.read("A) left lung B) right lung").texts
    ('left lung', 'right lung')
    """

    texts: tuple[str, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    @classmethod
    def read(cls, cell: Any) -> "Options | None":
        """Options from what a cell holds, None where it holds nothing.

        Parameters
        ----------
        cell : Options, str, list, tuple, ndarray, Series, mapping or None
            A mapping is by letter or key; one of "label" and "text" holds two lists. Members that
            are missing are no options.

        Raises
        ------
        MedcalError
            Where it holds something that is no options.
        """
        if isinstance(cell, Options):
            return cell
        value = _parsed(cell)
        if value is None:
            return None
        if isinstance(value, Mapping):
            pairs = _of_table(value)
        else:
            pairs = _of_list([_text(one) for one in value])
        texts = tuple(text for text, _ in pairs)
        names = tuple(name for _, name in pairs)
        if len(set(names)) < len(names):
            raise _no_options(cell)
        return cls(texts, names) if pairs else None

    @classmethod
    def in_question(cls, question: str) -> "Options | None":
        """The options that a question ends with, by their letters; None where it has none.

        Examples
        --------
        >>> Options.in_question("Which side? A) left B) right")
        Options(texts=('left', 'right'), names=('A', 'B'))
        >>> Options.in_question("What is at A?") is None
        True
        """
        first = _FIRST_OPTION.search(question)
        parts = _lettered_parts(question[first.start(1) :]) if first else []
        # behind the last one may stand how to answer
        pairs = [(name, text.split("\n")[0].strip()) for name, text in parts]
        if not pairs or not all(text for _, text in pairs):
            return None
        names, texts = zip(*pairs, strict=True)
        return cls(texts, names)

    def text_of(self, name: object) -> str | None:
        """The text of the option of a letter or key, None where there is none."""
        key = str(name).strip().upper()
        return self.texts[self.names.index(key)] if key in self.names else None

    def named(self, text: str) -> frozenset[int]:
        """Which options a text may name, by their places: one, none, or several where in doubt.

        An option is named by its words alone, by its letter ("B", "(b)", "B. left lung", "The
        answer is B") or by its words among others, unless the words before reject it. Words that
        begin the text go before a letter. An option inside a longer one ("lung" in "left lung") is
        not meant by the longer one's words.

        Examples
        --------
        >>> sides = Options.read(["left lung", "right lung"])
        >>> sides.named("It is the right lung."), sides.named("B. left lung")
        (frozenset({1}), frozenset({0, 1}))
        """
        key = answer_key(text)
        same = self._same(text, key)
        letter = self._of_letter(text)
        if same:
            # "B" may be the text of one option and the letter of another
            is_bare = letter is not None and len(key) <= 2
            return same | {letter} if is_bare and letter is not None else same
        inside = self._inside(key)
        begun = inside[0] if inside and inside[0][1] == 0 else None
        if letter is None or (begun and _LETTERED.match(self.texts[begun[0]])):
            return self._by_words(text, key, inside)
        # "B. left lung", "left lung (B)": the words beside a letter may be those of another option
        marked = _MARKED.match(text)
        behind = self._inside(answer_key(marked[1])) if marked else []
        beside = {option for option, start, _ in [*behind, *inside] if start == 0}
        return frozenset({letter} | beside)

    def inside(self, text: str) -> frozenset[int]:
        """The options whose words stand in a text, by their places."""
        return frozenset(option for option, _, _ in self._inside(answer_key(text)))

    def index(self, text: str) -> int | None:
        """The place of the one option that a text names, or None.

        Examples
        --------
        >>> Options.read(["C. difficile", "E. coli"]).index("C. difficile infection")
        0
        """
        named = self.named(text)
        return next(iter(named)) if len(named) == 1 else None

    def _same(self, text: str, key: str) -> frozenset[int]:
        """The options whose words are all of a text."""
        same = [i for i, option in enumerate(self._keys) if option == key]
        if len(same) > 1:  # options that differ in case or an article only
            exact = [i for i in same if self.texts[i].strip() == text.strip()]
            same = exact or same
        return frozenset(same)

    def _of_letter(self, text: str) -> int | None:
        """The place of the option whose letter, or key, stands in a text as one."""
        letter = option_letter(text)
        if letter is None and any(
            len(name) > 1 or name.isdigit() for name in self.names
        ):
            number = _NUMBER.fullmatch(text.strip())
            letter = number[1].upper() if number else None
        if letter in self.names:
            place = self.names.index(letter)
            return None if self._is_abbreviation(text, place) else place
        # "Choice 3", "the second option", of options that have letters
        counted = _COUNTED.match(text.strip())
        if (
            counted
            and self.names[0].isalpha()
            and not any(map(_DIGIT.search, self.texts))
        ):
            place = (
                int(counted[1]) - 1
                if counted[1]
                else _ORDINALS.index(counted[2].lower())
            )
            return place if place < len(self) else None
        return None

    def _is_abbreviation(self, text: str, place: int) -> bool:
        """Whether the letter that begins a text is one of a name: "A. israelii"."""
        behind = _ABBREVIATED.match(text)
        if behind and any(
            not start
            for _, start, _ in self._inside(answer_key(text[behind.start(1) :]))
        ):
            return False  # "B. left lung"
        return behind is not None and not self._keys[place].startswith(
            answer_key(behind[1])
        )

    def _inside(self, key: str) -> list[tuple[int, int, int]]:
        """The options whose words stand in a key: place of the option, start and end of them."""
        inside = []
        for match in _any_of(self._keys).finditer(key):
            for i, option in enumerate(self._keys):
                if option == match[0]:
                    inside.append((i, match.start(), match.end()))
        return inside

    def _by_words(
        self, text: str, key: str, inside: list[tuple[int, int, int]]
    ) -> frozenset[int]:
        """The options named by their words among others, but for those that are rejected.

        Of several the one that alone stands in the first sentence, if the text begins with it.
        """
        named = set()
        last = 0
        for option, start, end in inside:
            before = key[last:start].split()[-3:]
            ruled_out = _RULED_OUT.match(key, end)
            last = ruled_out.end() if ruled_out else end
            if not ruled_out and not _REJECTING & {*before}:
                named.add(option)
        first = _FIRST.match(text)
        if len(named) > 1 and first and first.end() < len(text):
            begun = self.named(first[0])
            n_words = len(answer_key(first[0]).split())
            # "PAS shows them red. …" chooses nothing
            is_choice = 2 * len(key[: inside[0][2]].split()) >= n_words
            if len(begun) == 1 and inside[0][1] == 0 and is_choice:
                return begun
        rejected = {option for option, _, _ in inside} - named
        if (
            not named
            and len(rejected) == len(self) - 1
            and _SPEAKS_AGAINST.search(text)
        ):
            return frozenset(range(len(self))) - rejected  # all others are
        return frozenset(named)

    @property
    def _keys(self) -> tuple[str, ...]:
        return _keys_of(self.texts)


def options_of(cells: pd.Series) -> pd.Series:
    """The options of each row of a column: `Options`, or None where a cell holds nothing.

    Raises
    ------
    MedcalError
        Naming the row (counted from 1) of the first cell that holds no options.
    """
    known: dict[str, Options | None] = {}
    read = []
    for row, cell in enumerate(cells, 1):
        key = repr(cell)
        if key not in known:
            try:
                known[key] = Options.read(cell)
            except MedcalError as error:
                raise MedcalError(
                    f"row {row}, column '{cells.name}': {error}"
                ) from None
        read.append(known[key])
    return pd.Series(read, cells.index, dtype=object)


# --- from a cell ---------------------------------------------------------------------------------


def _no_options(cell: Any) -> MedcalError:
    return MedcalError(
        f"{str(cell)!r:.80} are no options; write a JSON list "
        '(["left lung", "right lung"]) or a table by letter ({"A": "left lung"})'
    )


def _parsed(cell: Any) -> Mapping | list | None:
    """A cell as a mapping or a list; None where it holds nothing."""
    if isinstance(cell, str):
        cell = _written(cell)
    if isinstance(cell, np.ndarray | pd.Series | tuple):
        cell = [*cell]
    if isinstance(cell, Mapping | list):
        return cell or None
    if cell is None or (pd.api.types.is_scalar(cell) and pd.isna(cell)):
        return None
    raise _no_options(cell)


def _written(cell: str) -> Mapping | list | None:
    """Options from a text: JSON, a list as Python or numpy writes it, or a text of several."""
    cell = cell.strip()
    if not re.search(r"\w", cell) or is_nothing(cell):
        return None
    literal = re.sub(r"^array\((.*?)(?:,\s*dtype=[^)]*)?\)$", r"\1", cell, flags=re.S)
    literal = re.sub(r"(?<=[\[,])\s*nan\b", " None", literal)
    # numpy writes no commas between texts
    literal = re.sub(r"(?<=['\"])\s+(?=['\"])", ", ", literal)
    for read, text in ((_json, cell), (_python, literal)):
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            value = read(text)
            if isinstance(value, list | dict | tuple):
                return value if isinstance(value, dict) else [*value]
    if parts := _lettered_parts(cell) or _numbered_parts(cell):
        return dict(parts)
    for sign in _SPLITS:
        texts = [part.strip() for part in cell.split(sign)]
        if len(texts) > 1:
            return [text for text in texts if text]
    raise _no_options(cell)


def _json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[Any, Any]]) -> dict:
    """Options by their keys; of a key that stands twice, nobody says which counts."""
    table = dict(pairs)
    if len(table) < len(pairs):
        ((key, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise MedcalError(f"two options are called '{key}'; leave one")
    return table


def _python(text: str) -> Any:
    body = ast.parse(text, mode="eval").body
    if isinstance(body, ast.Dict):
        pairs = zip(body.keys, body.values, strict=True)
        return _object(
            [(ast.literal_eval(k), ast.literal_eval(v)) for k, v in pairs if k]
        )
    return ast.literal_eval(body)


def _lettered_parts(text: str) -> list[tuple[str, str]]:
    """The options of a text such as "A) left lung B) right lung", by their letters."""
    marks = list(_BEGINS.finditer(text))
    if not marks or marks[0].start() != 0:
        return []
    in_order: list[re.Match[str]] = []
    for mark in marks:
        is_next = mark[1] == ascii_uppercase[len(in_order)]
        # "A. B. pertussis": an option is no empty text
        is_filled = not in_order or text[in_order[-1].end() : mark.start()].strip(
            " ,;|\n"
        )
        if is_next and is_filled and len(in_order) < len(ascii_uppercase) - 1:
            in_order.append(mark)
    chosen = in_order if len(in_order) > 1 else marks
    letters = [mark[1] for mark in chosen]
    if sorted(letters) != [*ascii_uppercase[: len(letters)]] or len(letters) < 2:
        return []
    ends = [(a.end(), b.start()) for a, b in pairwise(chosen)]
    ends.append((chosen[-1].end(), len(text)))
    texts = [text[start:end].strip(" \n\t,;|") for start, end in ends]
    return list(zip(letters, texts, strict=True))


def _numbered_parts(text: str) -> list[tuple[str, str]]:
    """The options of a text such as "(1) left lung (2) right lung", by their numbers."""
    first, *parts = re.split(r"(?:^|(?<=\s))\(?(\d{1,2})\)\s+(?=\S)", text)
    numbers, texts = parts[::2], [part.strip(" \n\t,;|") for part in parts[1::2]]
    in_order = [str(i) for i in range(1, len(numbers) + 1)]
    is_list = not first.strip() and numbers == in_order and len(numbers) > 1
    return list(zip(numbers, texts, strict=True)) if is_list else []


def _of_table(table: Mapping) -> list[tuple[str, str]]:
    """Texts with their keys from a mapping."""
    if {*map(str, table)} == {"label", "text"}:
        table = _object([*zip(table["label"], table["text"], strict=False)])
    pairs = []
    for key, value in table.items():
        name = _KEY.fullmatch(str(key).strip())
        text = _text(value)
        if name is None:
            raise _no_options(dict(table))
        if text:
            pairs.append((text, name[1].upper()))
    # a table may carry its letters in the texts, too
    own = [_LETTERED.match(text) for text, _ in pairs]
    if pairs and all(
        mark is not None and mark[1].upper() == name
        for mark, (_, name) in zip(own, pairs, strict=True)
    ):
        pairs = [(mark[3].strip(), mark[1].upper()) for mark in own if mark]
    return pairs


def _of_list(texts: list[str]) -> list[tuple[str, str]]:
    """Texts with their letters from a list, whose texts may carry them."""
    own = [_LETTERED.match(text) for text in texts]
    marks = [mark for mark in own if mark is not None]
    letters = [mark[1].upper() for mark in marks]
    first = ascii_uppercase.index(min(letters, default="A"))
    # "D: …", "E: …" go on from other options; "C. …", "D. …" may be names of organisms
    is_plain = first == 0 or all(mark[2] in ":)" for mark in marks)
    in_order = [*ascii_uppercase[first : first + len(texts)]]
    # "L: left", "R: right": letters of their own
    is_own = len({*letters}) == len(texts) > 1 and all(
        mark[2] in ":)" for mark in marks
    )
    if len(marks) == len(texts) and (
        is_own or (is_plain and sorted(letters) == in_order)
    ):
        return [(mark[3].strip(), mark[1].upper()) for mark in marks]
    names = [*ascii_uppercase, *map(str, range(27, len(texts) + 1))]
    return [(text, name) for text, name in zip(texts, names, strict=False) if text]


def _text(value: Any) -> str:
    """A member of options as text; "" where it is missing."""
    if isinstance(value, str):
        return value.strip()
    return (
        "" if value is None or (np.isscalar(value) and pd.isna(value)) else str(value)
    )


# --- a letter ------------------------------------------------------------------------------------

_OPTION = "option|choice|answer|letter|opción|opção|réponse|antwort|вариант|选项|选|選"
_ENDS = r"\s*(?:[.):,\]|;!-](?!\w)|[.):](?=\w)|$|\n|\(|\d{1,3}\s*(?:%|$)"
_ENDS += r"|(?:(?:it\s+)?is|because|since)\b)"
#: "(B)", "Option B", "B. left lung"; "I would choose B"; "left lung (B)".
_LETTER_FORMS = [
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"(?:(?:{_OPTION})\s*:?\s*)?(?:[(\[]\s*([A-Z])\s*[)\]]|([A-Z])(?={_ENDS}))",
        r"(?:\W*(?:i|d|ll|m|s|the|it|is|that|so|think|statement|diagnosis|picked|chose|going|believe|choose|pick|select|answer|option|letter|suggests"
        r"|correct|best|my|would|be|go"
        r"|with|say|most|likely)\W+){0,8}[(\[]?\s*([A-Z])\s*[)\]]?(?:\W*$|\s+(?:because|since|as|given)\b)",
        r".*[^\W\d].*\(([A-Z])\)\W*$",
    )
]
_TWO = re.compile(
    r"[(\[]?[A-Z][)\]]?\s*(?:,|/|and|or|&|\+)\s*[(\[]?[A-Z][)\]]?(?![\w'])", re.I
)
#: Where the options of a question begin.
_FIRST_OPTION = re.compile(r"(?:^|[\n?:.])\s*(\(?A[).:]\s)")
_LISTED = re.compile(r"(?<!\w)([A-Z])[:.)]\s")
#: "A is wrong" rejects it, and "A is …" may be an article gone astray.
_ASTRAY = re.compile(r"\s*is\b(?!\s+(?:the\s+)?(?:correct|right|best|answer)\b)")
#: "A. israelii": a letter, and a word in small letters that gives no reasons.
_ABBREVIATED = re.compile(
    r"\s*[A-Z]\.\s(?!(?:because|since|given|with|the|this|it|as|is|has|there|confiden\w*)\b)([a-z]{4,})"
)
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
#: "Choice 3", "the third one".
_COUNTED = re.compile(
    rf"\W*(?:the\s+)?(?:(?:option|choice|answer)\s*(?:number|no\.)?\s*(\d)\b"
    rf"|({'|'.join(_ORDINALS)})(?:\s+(?:one|option|choice|answer))(?:\s+listed)?\W*$)",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")
_NUMBER = re.compile(
    r"(?:(?:the|my|answer|is|option|choice|number)\W+){0,4}[(\[]?(\d{1,2}|[ivx]{1,4})(?:[)\].:]\s*.*)?",
    re.IGNORECASE | re.DOTALL,
)
#: The first sentence; the point of "E. coli" ends none.
_FIRST = re.compile(r".+?(?<!\b[A-Z])[.!?;](?=\s)", re.DOTALL)
_SPEAKS_AGAINST = re.compile(
    r"\b(?:not|against|neither|excludes?|excluded|rules? out|ruled out)\b", re.I
)
_REJECTING = frozenset(FILE["lists"]["rejecting"].split())
_RULED_OUT = re.compile(
    r"\s(?:(?:is|are|was|can be|has been) )?(?:excluded|ruled out|unlikely|not likely|wrong)\b"
)


def is_list_of_options(text: str) -> bool:
    """Whether a text goes through several options by their letters, and names none.

    Examples
    --------
    >>> is_list_of_options("A: no. B: yes."), is_list_of_options("B: yes.")
    (True, False)
    """
    return len(set(_LISTED.findall(text))) > 1


def option_letter(text: str) -> str | None:
    """Return the letter that a short text names as that of an option, or None.

    Examples
    --------
    >>> option_letter("(b)")
    'B'
    """
    text = text.strip()[:500]
    # two letters are no choice, nor is the whole list
    if _TWO.match(text) or len(set(_LISTED.findall(text.upper()))) > 1:
        return None
    for form in _LETTER_FORMS:
        if match := form.match(text):
            letter = match[match.lastindex or 0].upper()
            return None if _ASTRAY.match(text, match.end()) else letter
    return None


@lru_cache(maxsize=4096)
def _keys_of(texts: Sequence[str]) -> tuple[str, ...]:
    """The keys of options."""
    return tuple(answer_key(text) for text in texts)


@lru_cache(maxsize=4096)
def _any_of(keys: Iterable[str]) -> re.Pattern[str]:
    """What finds any of several texts as whole words, a longer one before those inside it."""
    longest = sorted({key for key in keys if key}, key=len, reverse=True)
    return re.compile(rf"(?<!\S)(?:{'|'.join(map(re.escape, longest))})(?!\S)(?<=\S)")
