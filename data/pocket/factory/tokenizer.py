"""The word-level tokenizer of the pocket models.

Known words are one token each; any other word falls apart into letters, so that no text can
break it. Numbers from 0 to 100 and the newline are tokens of their own. Text is lower-cased,
except for the option letters A to H standing alone, which stay apart from the article "a".
"""

import string

PAD, UNKNOWN = "<pad>", "<unk>"
USER, ASSISTANT, END = "<user>", "<assistant>", "<end_of_utterance>"
IMAGE, IMAGE_EDGE, IMAGE_WHOLE = "<image>", "<fake_token_around_image>", "<global-img>"
# the decision pipeline's marks: known beforehand, so that it adds no token without an embedding
MARK, SPLIT = "<|mark|>", "<|split|>"
SPECIAL = (
    PAD,
    UNKNOWN,
    USER,
    ASSISTANT,
    END,
    IMAGE,
    IMAGE_EDGE,
    IMAGE_WHOLE,
    MARK,
    SPLIT,
)
LETTERS = tuple("ABCDEFGH")

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if message.role == 'assistant' %}<assistant>{% else %}<user>{% endif -%}
{%- if message.content is string -%}
{{- message.content -}}
{%- else -%}
{%- for part in message.content -%}
{%- if part.type in ('image', 'image_url') %}<image>{% else %}{{ part.text }}{% endif -%}
{%- endfor -%}
{%- endif -%}
<end_of_utterance>
{%- endfor -%}
{%- if add_generation_prompt %}<assistant>{% endif -%}
"""


def words_of(texts):
    """Return the distinct words and marks of some texts, sorted, as the tokenizer splits them."""
    normalise, split = _normalizer(), _pre_tokenizer()
    found = set()
    for text in texts:
        pieces = split.pre_tokenize_str(normalise.normalize_str(str(text)))
        found.update(piece for piece, _ in pieces)
    return sorted(found)


def build_tokenizer(texts):
    """Build the tokenizer that knows every word of `texts`.

    Parameters
    ----------
    texts : iterable of str
        Everything the model is trained on, in any order.

    Returns
    -------
    transformers.PreTrainedTokenizerFast
        Pads on the left; `model_max_length` 1024.
    """
    from tokenizers import AddedToken, Tokenizer, decoders
    from tokenizers.models import WordPiece
    from transformers import PreTrainedTokenizerFast

    characters = string.ascii_lowercase + string.digits
    entries = [
        *SPECIAL,
        "\n",
        "...",
        *LETTERS,
        *(str(number) for number in range(101)),
        *words_of(texts),
        *characters,
        *(f"##{character}" for character in characters),
        *string.punctuation,
    ]
    vocabulary = {}
    for entry in entries:
        vocabulary.setdefault(entry, len(vocabulary))
    core = Tokenizer(
        WordPiece(vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=200)
    )
    core.normalizer = _normalizer()
    core.pre_tokenizer = _pre_tokenizer()
    glue = [(f" {mark}", mark) for mark in ".,?!:;%)"] + [("( ", "("), (" \n ", "\n")]
    glue += [(" \n", "\n"), ("\n ", "\n"), (" - ", "-"), (" / ", "/")]
    core.decoder = decoders.Sequence(
        [decoders.WordPiece(prefix="##", cleanup=False), decoders.Fuse()]
        + [decoders.Replace(old, new) for old, new in glue]
    )
    core.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in SPECIAL]
    )
    core.add_tokens(
        [AddedToken(letter, single_word=True, normalized=False) for letter in LETTERS]
        + [AddedToken(token, normalized=False) for token in ("\n", "...")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        unk_token=UNKNOWN,
        eos_token=END,
        padding_side="left",
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )


def _normalizer():
    from tokenizers import normalizers

    return normalizers.Sequence(
        [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]
    )


def _pre_tokenizer():
    from tokenizers import pre_tokenizers

    return pre_tokenizers.BertPreTokenizer()
