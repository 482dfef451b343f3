r"""What is done to a reply before it is read: reasoning and mark-up go, signs become plain ones.

The words that replies are read by lie in ``words.toml``.
"""

import re
import tomllib
import unicodedata
from pathlib import Path

FILE = tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))
WORDS = {
    name: "".join(text.split("\n"))
    for name, text in FILE.items()
    if isinstance(text, str)
}

_MAX_CHARS = (
    20_000  # replies that ran into a loop reach 80,000 characters; ends are enough
)

_TAGS = WORDS["reasoning_tags"]
_BLOCKS = {  # how a block of reasoning opens and closes
    rf"<\s{{0,3}}(?P<tag>{_TAGS})\s{{0,3}}>": r"<\s{0,3}/\s{0,3}(?P=tag)\s{0,3}>",
    rf"\[(?:{_TAGS})\]": rf"\[/(?:{_TAGS})\]",
    "◁think▷": "◁/think▷",
    "<unused94>": "<unused95>",
    r"<\|(?:start|begin)_of_thought\|>": r"<\|end_of_thought\|>",
    r"<\|channel(?:\|?>)?\s{0,3}(?:analysis|thought)\b(?:<\|message\|>)?": r"<\|end\|>|<channel\|>",
}
_BLOCK = "|".join(rf"{start}.*?(?:{end}|\Z)" for start, end in _BLOCKS.items())
_BLOCK = re.compile(_BLOCK, re.DOTALL | re.IGNORECASE)
_ENDS = "|".join(list(_BLOCKS.values())[:-1]).replace("(?P=tag)", f"(?:{_TAGS})")
_BEFORE_END = re.compile(rf"\A.*(?:{_ENDS})", re.DOTALL | re.IGNORECASE)
_SPECIAL = re.compile(
    r"<\|(?:start|channel)\|>[a-z]*|<\|[^|<>\n]{1,40}\|>|</?s>|<(?:bos|eos|pad|unk)>"
    r"|<(?:start|end)_of_turn>|<end_of_utterance>|\[/?INST\]",
    re.IGNORECASE,
)


def strip_reasoning(text: str) -> str:
    """Remove reasoning blocks and the special tokens of chat templates from a reply.

    Known marks are ``<think>``, ``<thinking>``, ``<reasoning>``, ``<analysis>``, ``[THINK]``,
    ``◁think▷``, the channels of gpt-oss and Gemma and the ``<unused94>`` block of MedGemma. A
    block without an end swallows the rest; an end without a start swallows what came before it,
    as some chat templates write the opening mark into the prompt.

    Parameters
    ----------
    text : str
        The reply. Anything but a string is treated as an empty reply.

    Returns
    -------
    str
        The reply without reasoning, stripped of blanks at both ends.

    Examples
    --------
    >>> strip_reasoning("<think>Is it the left?</think>Answer: right")
    'Answer: right'
    """
    if not isinstance(text, str):
        return ""
    return _SPECIAL.sub("\n", _BEFORE_END.sub("", _BLOCK.sub("\n", text))).strip()


_SIGNS = dict.fromkeys(map(ord, "‐‑‒–—―−﹣－"), "-") | dict.fromkeys(
    map(ord, "“”„«»「」『』"), '"'
)
_SIGNS |= dict.fromkeys(map(ord, "‘’‛`´ʼ"), "'") | str.maketrans(
    "٪﹪٫、∕⁄～〜", "%%.,//~~"
)
_SIGNS |= {ord("。"): ". ", ord("\u200b"): "", ord("\r"): "\n"}
# patterns and what they become, in this order
_BOX = (r"\\(?:boxed|text|mathbf|mathrm|textbf|bf|fbox)\s*\{([^{}]*)\}", r" \1 ")
_MARKUP = (
    _BOX,
    _BOX,
    (r"\\d?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"\1/\2"),
    (r"\\%", "%"),
    (r"\\[()]", " "),
    (r"\\n", "\n"),
    (r"</\s*[\w:-]{1,30}\s*>|<\s*br\s*/?\s*>", "\n"),
    (r"<\s*(\d[\d.,]{0,8}\s*%?)\s*>", r"\1"),
    (r"<\s*([a-z][\w:-]{0,29})\s*>", r"\n\1: "),
    (r"\*+|_{2,}|~~|\$|^#+\s*|^>\s*|```\w*", ""),
    (r"\A\s*(?:assistant|model)\s*\n", ""),
    (r"[^\S\n]+", " "),
    (r"\s*\n\s*", "\n"),
)


def clean(text: str) -> str:
    """Strip reasoning, mark-up and typography; keep case, words and lines."""
    text = _ends(strip_reasoning(text))
    # one letter can become eighteen in the normal form, so the ends are taken again
    text = _ends(unicodedata.normalize("NFKC", text)).translate(_SIGNS)
    text = re.sub(r"\d", lambda digit: str(unicodedata.decimal(digit[0])), text)
    for pattern, plain in _MARKUP:
        text = re.sub(pattern, plain, text, flags=re.IGNORECASE | re.MULTILINE)
    return text.strip()


def _ends(text):
    """The beginning and the end of a text that is too long to be read whole."""
    if len(text) <= _MAX_CHARS:
        return text
    half = _MAX_CHARS // 2
    return text[:half] + "\n" + text[-half:]
