"""Tiny random checkpoints of the model families, with their real classes.

What a family's architecture does to asking (positions, masks, image tokens, templates) shows on
a checkpoint of a few thousand weights as on one of billions. :func:`family_table` runs every
strategy through each; the sizes are ours, classes and layouts are those of transformers.
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
{%- if part.type == 'image' %}IMAGE_HERE{% else %}{{ part.text }}{% endif -%}
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
    return {
        "model_type": kind,
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "initializer_range": 0.02,
        **more,
    }


def _vision(kind=None, **more):
    """Settings of a vision tower of a few thousand weights."""
    return {
        **({"model_type": kind} if kind else {}),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
        **more,
    }


@dataclass(frozen=True)
class Family:
    """A model family: its name as readers know it, and what its tiny checkpoint is made of.

    ``prefix`` begins the names of its classes in transformers; ``images`` names the image
    processor where that is another family's. ``token`` is the image token, whose number the
    configuration has under ``id_name``; ``config`` makes the rest of it from the tokenizer, and
    ``video`` holds the settings of its video processor where it has one.
    """

    title: str
    prefix: str
    template: str
    tokenizer: dict
    token: str
    config: Callable
    image: dict
    images: str = ""
    id_name: str = "image_token_index"
    processor: dict = field(default_factory=dict)
    video: dict | None = None

    def build(self, seed):
        """Build model and processor, with random weights of `seed`."""
        import transformers

        def made(name, *parts, **settings):
            return getattr(transformers, name)(*parts, **settings)

        tokenizer = tiny_tokenizer(**self.tokenizer)
        images = made(self.images or f"{self.prefix}ImageProcessor", **self.image)
        parts = [images, tokenizer]
        if self.video is not None:
            video = "Qwen2VL" if self.prefix.startswith("Qwen2") else self.prefix
            parts.append(made(f"{video}VideoProcessor", **self.video))
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
_LLAVA = {"special": ["<image>"], "eos": "</s>", "bos": "<s>"}
_QWEN_MARKS = "<|im_start|> <|vision_start|> <|vision_end|> <|image_pad|> <|video_pad|>"
_QWEN = {"special": _QWEN_MARKS.split(), "eos": "<|im_end|>", "pad": "<|endoftext|>"}
_SEEN_AS_PATCHES = {
    "patch_size": 8,
    "vision_feature_select_strategy": "default",
    "num_additional_image_tokens": 1,
}


def _qwen(kind, tokenizer, *, rope, vision, **text):
    """Settings of a Qwen-VL, whose vision tower has names of its own."""
    others = {
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    rope = {"rope_type": "default", "rope_theta": 10000.0, **rope}
    return {
        "text_config": _text(kind, tokenizer, rope_parameters=rope, **text),
        "vision_config": {
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "patch_size": 8,
            "out_hidden_size": 32,
            **vision,
        },
        "tie_word_embeddings": False,
        **{
            name: tokenizer.convert_tokens_to_ids(token)
            for name, token in others.items()
        },
    }


def _qwen_family(title, prefix, config):
    return Family(
        title,
        prefix,
        template=_CHATML.replace(
            "IMAGE_HERE", "<|vision_start|><|image_pad|><|vision_end|>"
        ),
        tokenizer=_QWEN,
        token="<|image_pad|>",
        id_name="image_token_id",
        config=config,
        images="Qwen2VLImageProcessor",
        image={
            "patch_size": 8,
            "merge_size": 2,
            "size": {"shortest_edge": 16 * 16 * 4, "longest_edge": 16 * 16 * 16},
        },
        video={"patch_size": 8},
    )


def _gemma3_text(tokenizer):
    text = _text(
        "gemma3_text",
        tokenizer,
        head_dim=8,
        sliding_window=512,
        query_pre_attn_scalar=8,
    )
    return text | {"layer_types": ["sliding_attention", "full_attention"]}


def _idefics(tokenizer):
    return {
        "vision_config": _vision(),
        "text_config": _text("llama", tokenizer),
        "scale_factor": 2,
        "pad_token_id": tokenizer.pad_token_id,
    }


_SEEN_AS_TILES = {
    "template": _IDEFICS,
    "token": "<image>",
    "id_name": "image_token_id",
    "config": _idefics,
    "image": {**_SPLIT, "do_image_splitting": True},
    "processor": {"image_seq_len": 4},
}


FAMILIES = {
    "qwen2_5_vl": _qwen_family(
        "Qwen2.5-VL",
        "Qwen2_5_VL",
        lambda tokenizer: _qwen(
            "qwen2_5_vl_text",
            tokenizer,
            rope={"mrope_section": [1, 1, 2]},
            vision={"window_size": 32, "fullatt_block_indexes": [1]},
        ),
    ),
    "qwen2_vl": _qwen_family(
        "Qwen2-VL",
        "Qwen2VL",
        lambda tokenizer: _qwen(
            "qwen2_vl_text",
            tokenizer,
            rope={"mrope_section": [1, 1, 2]},
            vision={"embed_dim": 32, "mlp_ratio": 2},
        ),
    ),
    "qwen3_vl": _qwen_family(
        "Qwen3-VL",
        "Qwen3VL",
        lambda tokenizer: _qwen(
            "qwen3_vl_text",
            tokenizer,
            rope={"mrope_section": [2, 1, 1], "mrope_interleaved": True},
            vision={"num_position_embeddings": 64, "deepstack_visual_indexes": [0]},
            head_dim=8,
        ),
    ),
    "internvl": Family(
        "InternVL",
        "InternVL",
        template=_CHATML.replace("IMAGE_HERE", "<IMG_CONTEXT>\n"),
        tokenizer={
            "special": ["<|im_start|>"],
            "eos": "<|im_end|>",
            "pad": "<|endoftext|>",
            "named": {
                "start_image_token": "<img>",
                "end_image_token": "</img>",
                "context_image_token": "<IMG_CONTEXT>",
                "video_token": "<video>",
            },
        },
        token="<IMG_CONTEXT>",
        id_name="image_token_id",
        config=lambda tokenizer: {
            "vision_config": _vision(image_size=[32, 32], patch_size=[8, 8]),
            "text_config": _text("qwen2", tokenizer),
            "image_seq_length": 4,
            "tie_word_embeddings": False,
        },
        images="GotOcr2ImageProcessor",
        image={**_SQUARE, "crop_to_patches": True, "max_patches": 4},
        processor={"image_seq_length": 4},
        video=_SQUARE,
    ),
    "llava": Family(
        "LLaVA",
        "Llava",
        template=_VICUNA,
        tokenizer=_LLAVA,
        token="<image>",
        config=lambda tokenizer: {
            "vision_config": _vision("clip_vision_model"),
            "text_config": _text("llama", tokenizer),
            "image_seq_length": 16,
        },
        images="CLIPImageProcessor",
        image=_CLIP,
        processor=_SEEN_AS_PATCHES,
    ),
    "llava_next": Family(
        "LLaVA-NeXT",
        "LlavaNext",
        template=_VICUNA,
        tokenizer=_LLAVA,
        token="<image>",
        config=lambda tokenizer: {
            "vision_config": _vision("clip_vision_model"),
            "text_config": _text("llama", tokenizer),
            "image_grid_pinpoints": [[32, 64], [64, 32], [64, 64]],
            "image_seq_length": 16,
        },
        image={**_CLIP, "image_grid_pinpoints": [[32, 64], [64, 32], [64, 64]]},
        processor=_SEEN_AS_PATCHES,
    ),
    "llava_onevision": Family(
        "LLaVA-OneVision",
        "LlavaOnevision",
        template=_CHATML.replace("IMAGE_HERE", "<image>\n"),
        tokenizer={
            "special": ["<|im_start|>", "<image>", "<video>"],
            "eos": "<|im_end|>",
            "pad": "<|endoftext|>",
        },
        token="<image>",
        config=lambda tokenizer: {
            "vision_config": _vision("siglip_vision_model", vision_use_head=False),
            "text_config": _text("qwen2", tokenizer),
            "video_token_index": tokenizer.convert_tokens_to_ids("<video>"),
            "image_grid_pinpoints": [[32, 32], [32, 64], [64, 32], [64, 64]],
        },
        image={
            **_SQUARE,
            "image_grid_pinpoints": [[32, 32], [32, 64], [64, 32], [64, 64]],
        },
        processor={"num_image_tokens": 16, "vision_feature_select_strategy": "full"},
        video=_SQUARE,
    ),
    "gemma3": Family(
        "Gemma 3",
        "Gemma3",
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
    "smolvlm": Family(
        "SmolVLM",
        "SmolVLM",
        tokenizer={
            "special": ["<|im_start|>", *_TILES],
            "eos": "<end_of_utterance>",
            "bos": "<|im_start|>",
            "named": {
                "fake_image_token": "<fake_token_around_image>",
                "image_token": "<image>",
                "global_image_token": "<global-img>",
                "end_of_utterance_token": "<end_of_utterance>",
            },
        },
        **_SEEN_AS_TILES,
        video=_SPLIT,
    ),
    "idefics3": Family(
        "Idefics3",
        "Idefics3",
        tokenizer={
            "special": [
                *(
                    "<image>",
                    "<fake_token_around_image>",
                    "<global-img>",
                    "<|im_start|>",
                ),
                *_TILES,
            ],
            "eos": "<end_of_utterance>",
            "bos": "<|im_start|>",
        },
        **_SEEN_AS_TILES,
    ),
}


def build_family(name, *, seed=0):
    """Build the tiny random checkpoint of a family: model and processor."""
    return FAMILIES[name].build(seed)


# --- the table -----------------------------------------------------------------------------------


def family_table(names=None):
    """Run every strategy through the tiny checkpoint of each family.

    Parameters
    ----------
    names : list of str, optional
        Families; all by default.

    Returns
    -------
    DataFrame
        One row per family: its title, and per strategy ``runs`` or the reason why it is skipped.
    """
    import pandas as pd

    from medcal_nb.ask.backends.local import LocalModel
    from medcal_nb.ask.calls import Failure
    from medcal_nb.ask.run import ordered_items, run_programs
    from medcal_nb.ask.strategies import STRATEGIES, Plan
    from tests.ask.tiny import tiny_items

    plan = Plan(dataset="families", samples=2, max_new_tokens=4)
    questions = ordered_items(tiny_items(3, per_image=3))
    rows = []
    for name in names or FAMILIES:
        backend = LocalModel(*build_family(name), name=name, device="cpu")
        row = {"family": FAMILIES[name].title}
        programs, owners = [], []
        for strategy in STRATEGIES.values():
            row[strategy.name] = strategy.skips(backend) or "runs"
            if row[strategy.name] == "runs":
                for item in questions:
                    if strategy.applies(item, plan) is None:
                        programs.append(strategy.ask(item, plan))
                        owners.append(strategy.name)
        with backend.session() as session:
            outcomes = run_programs(programs, session.run)
        for owner, outcome in zip(owners, outcomes, strict=True):
            if isinstance(outcome, Failure):
                row[owner] = f"failed: {outcome.reason}"
        rows.append(row)
    return pd.DataFrame(rows)


INTRODUCTION = """\
# Model families

The types of models that are asked on this machine: image and question are computed once for all
elicitation methods. Each was put to a tiny random checkpoint, through the real classes of
transformers. Models of other types are asked through a server (`vllm serve`, `transformers serve`),
by its URL. Written by `tests/ask/test_families.py`.

"""


def format_table(table):
    """Write the table in Markdown: strategies in rows."""
    table = table.loc[
        :, ~table.apply(lambda told: told.str.contains("similarity").all())
    ]
    lines = [["", *table["family"]]]
    lines += [[name, *table[name]] for name in table if name != "family"]
    rows = ["| " + " | ".join(line) + " |" for line in lines]
    rows.insert(1, "|" + "---|" * len(lines[0]))
    return "\n".join(rows)
