"""Tiny random checkpoints of the model families, with their real classes.

What a family's architecture does to asking (positions, masks, image tokens, templates) shows on
a checkpoint of a few thousand weights as on one of billions. The four differ in what matters:
images in tiles, positions of three kinds, a sliding window, none of these. The sizes are ours,
classes and layouts those of transformers.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from data.pocket.factory import turns

_WORDS = (
    "Is there a mass in the image? What colour side organ is shown yes no Yes No left right red "
    "blue lung heart none 1 2 3 80 50 0 100 % : . , ( ) ? - ... answer confidence model "
    "none of the above user assistant User Assistant USER ASSISTANT"
)

_CHATML = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}{% else -%}
{%- for part in message.content -%}
{%- if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>
{%- else %}{{ part.text }}{% endif -%}
{%- endfor -%}
{%- endif %}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif -%}
"""

_VICUNA = """\
{%- for message in messages -%}
{{ 'USER: ' if message.role == 'user' else 'ASSISTANT: ' }}
{%- for part in message.content -%}
{%- if part.type == 'image' %}<image>
{% else %}{{ part.text }}{% endif -%}
{%- endfor -%}
{{ ' ' if message.role == 'user' else '</s>' }}
{%- endfor -%}
{%- if add_generation_prompt %}ASSISTANT:{% endif -%}
"""

_GEMMA = """\
{{- bos_token -}}
{%- for message in messages -%}
<start_of_turn>{{ 'model' if message.role == 'assistant' else 'user' }}
{% if message.content is string %}{{ message.content }}{% else -%}
{%- for part in message.content -%}
{%- if part.type == 'image' %}<start_of_image>{% else %}{{ part.text }}{% endif -%}
{%- endfor -%}
{%- endif %}<end_of_turn>
{% endfor -%}
{%- if add_generation_prompt %}<start_of_turn>model
{% endif -%}
"""

_IDEFICS = """\
<|im_start|>
{%- for message in messages -%}
{{ message.role | capitalize }}{{ ':' if message.content[0].type == 'image' else ': ' }}
{%- for part in message.content -%}
{%- if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif -%}
{%- endfor -%}
<end_of_utterance>
{% endfor -%}
{%- if add_generation_prompt %}Assistant:{% endif -%}
"""


def tiny_tokenizer(special, *, eos, bos=None, pad="<pad>", named=None):
    """Build a word-level tokenizer that knows the prompts' words and the special tokens.

    `named` maps the attributes some processors read (``image_token`` …) to tokens.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    split = pre_tokenizers.Split(Regex(r"\n|\w+|[^\w\s]"), behavior="isolated")
    named = named or {}
    special = [*special, *named.values()]
    names = list(dict.fromkeys([pad, "<unk>", *([bos] if bos else []), eos, *special]))
    vocabulary = {name: i for i, name in enumerate(names)}
    for text in (*turns.texts(), _WORDS):
        for piece, _ in split.pre_tokenize_str(text):
            if piece.strip() or piece == "\n":
                vocabulary.setdefault(piece, len(vocabulary))
    core = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.Split(Regex(r"[ \t]+"), behavior="removed")]
    )
    core.decoder = decoders.Sequence(
        [decoders.Replace(Regex("(?<=.)$"), " "), decoders.Fuse()]
    )
    core.add_special_tokens(
        [AddedToken(n, special=True, normalized=False) for n in names]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=pad,
        unk_token="<unk>",
        eos_token=eos,
        bos_token=bos,
        padding_side="left",
        extra_special_tokens=[n for n in names if n not in (pad, eos, bos, "<unk>")],
    )
    for attribute, token in named.items():
        setattr(tokenizer, attribute, token)
        setattr(tokenizer, f"{attribute}_id", tokenizer.convert_tokens_to_ids(token))
    return tokenizer


def _text(kind, tokenizer, **more):
    """Settings of a text decoder of a few thousand weights."""
    ids = ("pad_token_id", "bos_token_id", "eos_token_id")
    return {
        "model_type": kind, "vocab_size": len(tokenizer), "hidden_size": 32,
        "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 2048,
        **{name: getattr(tokenizer, name) for name in ids}, **more,
    }  # fmt: skip


def _vision(kind=None, **more):
    """Settings of a vision tower of a few thousand weights."""
    return {
        **({"model_type": kind} if kind else {}), "hidden_size": 32,
        "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
        "image_size": 32, "patch_size": 8, **more,
    }  # fmt: skip


@dataclass(frozen=True)
class Family:
    """A model family: what its tiny checkpoint is made of.

    ``prefix`` begins the names of its classes in transformers; ``images`` names the image
    processor where that is another family's, ``video`` its video processor where it has one.
    ``token`` is the image token, whose number the configuration has under ``id_name``; ``config``
    makes the rest of it from the tokenizer.
    """

    prefix: str
    template: str
    tokenizer: dict
    token: str
    config: Callable
    image: dict
    images: str = ""
    id_name: str = "image_token_index"
    processor: dict = field(default_factory=dict)
    video: str = ""

    def build(self, seed):
        """Build model and processor, with random weights of `seed`."""
        import transformers

        def made(name, *parts, **settings):
            return getattr(transformers, name)(*parts, **settings)

        tokenizer = tiny_tokenizer(**self.tokenizer)
        images = made(self.images or f"{self.prefix}ImageProcessor", **self.image)
        parts = [images, tokenizer]
        if self.video:
            parts.append(made(self.video, patch_size=8))
        more = {"chat_template": self.template, **self.processor}
        processor = made(f"{self.prefix}Processor", *parts, **more)
        number = {self.id_name: tokenizer.convert_tokens_to_ids(self.token)}
        config = made(f"{self.prefix}Config", **self.config(tokenizer), **number)
        model_class = getattr(transformers, f"{self.prefix}ForConditionalGeneration")
        return _random(model_class, config, tokenizer, seed), processor


def _random(model_class, config, tokenizer, seed):
    import torch
    from transformers import GenerationConfig

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class(config)
        for name, weight in model.named_parameters():
            # the usual 0.02 leaves random logits nearly flat; wider, errors of position show
            if weight.dim() > 1 and "norm" not in name:
                torch.nn.init.normal_(weight, std=0.8 / weight[0].numel() ** 0.5)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    return model.eval()


_TILES = [f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7)]
_SPLIT = {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}}
_SQUARE = {"size": {"height": 32, "width": 32}}
_CLIP = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
_QWEN_MARKS = "<|im_start|> <|vision_start|> <|vision_end|> <|image_pad|> <|video_pad|>"


def _qwen(tokenizer):
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    number = tokenizer.convert_tokens_to_ids
    return {
        "text_config": _text("qwen2_5_vl_text", tokenizer, rope_parameters=rope),
        "vision_config": {
            "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2,
            "patch_size": 8, "out_hidden_size": 32, "window_size": 32,
            "fullatt_block_indexes": [1],
        },
        "tie_word_embeddings": False,
        "video_token_id": number("<|video_pad|>"),
        "vision_start_token_id": number("<|vision_start|>"),
        "vision_end_token_id": number("<|vision_end|>"),
    }  # fmt: skip


def _gemma3_text(tokenizer):
    more = {"head_dim": 8, "sliding_window": 512, "query_pre_attn_scalar": 8}
    text = _text("gemma3_text", tokenizer, **more)
    return text | {"layer_types": ["sliding_attention", "full_attention"]}


def _idefics(tokenizer):
    return {
        "vision_config": _vision(),
        "text_config": _text("llama", tokenizer),
        "scale_factor": 2,
        "pad_token_id": tokenizer.pad_token_id,
    }


FAMILIES = {
    "qwen2_5_vl": Family(
        prefix="Qwen2_5_VL",
        template=_CHATML,
        tokenizer={
            "special": _QWEN_MARKS.split(),
            "eos": "<|im_end|>",
            "pad": "<|endoftext|>",
        },
        token="<|image_pad|>",
        id_name="image_token_id",
        config=_qwen,
        images="Qwen2VLImageProcessor",
        image={
            "patch_size": 8,
            "merge_size": 2,
            "size": {"shortest_edge": 16 * 16 * 4, "longest_edge": 16 * 16 * 16},
        },
        video="Qwen2VLVideoProcessor",
    ),
    "llava": Family(
        prefix="Llava",
        template=_VICUNA,
        tokenizer={"special": ["<image>"], "eos": "</s>", "bos": "<s>"},
        token="<image>",
        config=lambda tokenizer: {
            "vision_config": _vision("clip_vision_model"),
            "text_config": _text("llama", tokenizer),
            "image_seq_length": 16,
        },
        images="CLIPImageProcessor",
        image=_CLIP,
        processor={
            "patch_size": 8,
            "vision_feature_select_strategy": "default",
            "num_additional_image_tokens": 1,
        },
    ),
    "gemma3": Family(
        prefix="Gemma3",
        template=_GEMMA,
        tokenizer={
            "special": ["<start_of_turn>", "<end_of_turn>"],
            "eos": "<end_of_turn>",
            "bos": "<bos>",
            "named": {
                "boi_token": "<start_of_image>",
                "eoi_token": "<end_of_image>",
                "image_token": "<image_soft_token>",
            },
        },
        token="<image_soft_token>",
        config=lambda tokenizer: {
            "text_config": _gemma3_text(tokenizer),
            "vision_config": _vision("siglip_vision_model", vision_use_head=False),
            "mm_tokens_per_image": 4,
            "boi_token_index": tokenizer.boi_token_id,
            "eoi_token_index": tokenizer.eoi_token_id,
        },
        image=_SQUARE,
        processor={"image_seq_length": 4},
    ),
    "idefics3": Family(
        prefix="Idefics3",
        tokenizer={
            "special": [
                "<image>",
                "<fake_token_around_image>",
                "<global-img>",
                "<|im_start|>",
                *_TILES,
            ],
            "eos": "<end_of_utterance>",
            "bos": "<|im_start|>",
        },
        template=_IDEFICS,
        token="<image>",
        id_name="image_token_id",
        config=_idefics,
        image={**_SPLIT, "do_image_splitting": True},
        processor={"image_seq_len": 4},
    ),
}


def build_family(name, *, seed=0):
    """Build the tiny random checkpoint of a family: model and processor."""
    return FAMILIES[name].build(seed)
