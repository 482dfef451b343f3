"""What is done to a reply before it is read: reasoning and mark-up go, signs become plain ones.

The words that replies are read by lie in ``words.toml``.
"""

import re
import tomllib
import unicodedata
from pathlib import Path

FILE = tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))
WORDS = {name: "".join(text.split("\n")) for name, text in FILE.items() if isinstance(text, str)}
WORDS["filler"] = FILE["filler"]

_MAX_CHARS = 20_000  # replies that ran into a loop reach 80,000 characters; ends are enough

_REASONING_TAGS = WORDS["reasoning_tags"]
_REASONING_MARK = re.compile(
    rf"<\s{{0,3}}(?P<tag>{_REASONING_TAGS})\s{{0,3}}>|<\s{{0,3}}/\s{{0,3}}(?P<end>{_REASONING_TAGS})\s{{0,3}}>"
    rf"|\[(?P<bracket>{_REASONING_TAGS})\]|\[/(?P<bracket_end>{_REASONING_TAGS})\]"
    r"|(?P<kimi>◁think▷)|(?P<kimi_end>◁/think▷)|(?P<medgemma><unused94>)|(?P<medgemma_end><unused95>)"
    r"|(?P<channel><\|channel(?:\|>|>)?\s{0,3}(?:analysis|thought)\b(?:<\|message\|>)?)"
    r"|(?P<channel_end><\|end\|>|<channel\|>)"
    r"|(?P<thought><\|(?:start_of_thought|begin_of_thought)\|>)"
    r"|(?P<thought_end><\|end_of_thought\|>)",
    re.IGNORECASE,
)
_REASONING_END = {
    "tag": "end",
    "bracket": "bracket_end",
    "kimi": "kimi_end",
    "medgemma": "medgemma_end",
    "channel": "channel_end",
    "thought": "thought_end",
}
_CHANNEL = re.compile(r"<\|(?:start|channel)\|>[a-z]*|<\|message\|>", re.IGNORECASE)
_SPECIAL = re.compile(
    r"<\|[^|<>\n]{1,40}\|>|</?s>|<(?:bos|eos|pad|unk)>|<(?:start|end)_of_turn>"
    r"|<end_of_utterance>|\[/?INST\]",
    re.IGNORECASE,
)


def strip_reasoning(text):
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
    """
    if not isinstance(text, str):
        return ""
    kept, position, opened = [], 0, None
    for mark in _REASONING_MARK.finditer(text):
        kind, name = mark.lastgroup, mark[mark.lastgroup].lower()
        if opened is None and kind in _REASONING_END:
            kept.append(text[position : mark.start()])
            opened = (_REASONING_END[kind], name)
        elif opened is None and kind != "channel_end":
            kept, position = [], mark.end()
        elif opened is not None and kind == opened[0] and (kind != "end" or name == opened[1]):
            kept.append("\n")
            opened, position = None, mark.end()
    if opened is None:
        kept.append(text[position:])
    text = "".join(kept)
    text = _CHANNEL.sub("\n", text)
    return _SPECIAL.sub("\n", text).strip()


_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−﹣－"), "-")
_QUOTES = {ord(c): "'" for c in "‘’‛`´ʼ"} | {ord(c): '"' for c in "“”„«»「」『』"}
_SIGNS = {ord("٪"): "%", ord("﹪"): "%", ord("٫"): ".", ord("、"): ",", ord("。"): ". ",
          ord("∕"): "/", ord("⁄"): "/", ord("～"): "~", ord("〜"): "~"}  # fmt: skip
_TRANSLATE = _DASHES | _QUOTES | _SIGNS


def clean(text):
    """Strip reasoning, mark-up and typography; keep case, words and lines."""
    text = strip_reasoning(text)
    if len(text) > _MAX_CHARS:
        text = text[: _MAX_CHARS // 2] + "\n" + text[-_MAX_CHARS // 2 :]
    text = unicodedata.normalize("NFKC", text).translate(_TRANSLATE)
    text = "".join(
        c if c.isascii() or (d := unicodedata.decimal(c, None)) is None else str(d) for c in text
    )
    text = re.sub(r"\\(?:boxed|text|mathbf|mathrm|textbf|bf|fbox)\s*\{([^{}]*)\}", r" \1 ", text)
    text = re.sub(r"\\(?:boxed|text|mathbf|mathrm|textbf|bf|fbox)\s*\{([^{}]*)\}", r" \1 ", text)
    text = re.sub(r"\\d?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"\1/\2", text)
    text = text.replace("\\%", "%").replace("\\(", " ").replace("\\)", " ").replace("\\n", "\n")
    text = re.sub(r"</\s*[\w:-]{1,30}\s*>", "\n", text)
    text = re.sub(r"<\s*(\d[\d.,]{0,8}\s*%?)\s*>", r"\1", text)
    text = re.sub(r"<\s*br\s*/?\s*>", "\n", text, flags=re.IGNORECASE)
    text = re.sub(r"<\s*([A-Za-z][\w:-]{0,29})\s*>", r"\n\1: ", text)
    text = re.sub(r"\*+|_{2,}|~~|\$|^#+\s*|^>\s*|```\w*", "", text, flags=re.MULTILINE)
    text = re.sub(r"^\s*(?:assistant|model)\s*\n", "", text.replace("\u200b", ""))
    text = text.replace("\r", "\n")
    text = re.sub(r"[^\S\n]+", " ", text)
    return re.sub(r"\s*\n\s*", "\n", text).strip()
