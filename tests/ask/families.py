"""Tiny random checkpoints of the model families, with their real classes.

What a family's architecture does to asking (positions, masks, image tokens, templates) shows on
a checkpoint of a few thousand weights as on one of billions. :func:`family_table` runs every
strategy through each; the sizes are ours, classes and layouts are those of transformers.
"""

from collections.abc import Callable
from dataclasses import dataclass

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

_LLAMA3 = """\
{{- bos_token -}}
{%- for message in messages -%}
<|start_header_id|>{{ message.role }}<|end_header_id|>

{% if message.content is string %}{{ message.content }}{% else -%}
{%- for part in message.content -%}
{%- if part.type == 'image' %}<|image|>{% else %}{{ part.text }}{% endif -%}
{%- endfor -%}
{%- endif %}<|eot_id|>
{%- endfor -%}
{%- if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>

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
    core.decoder = decoders.Sequence([decoders.Replace(Regex("(?<=.)$"), " "), decoders.Fuse()])
    core.add_special_tokens([AddedToken(n, special=True, normalized=False) for n in names])
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


def _ids(tokenizer, *names):
    return [tokenizer.convert_tokens_to_ids(name) for name in names]


def _finish(model_class, config, processor, seed):
    import torch
    from transformers import GenerationConfig

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class(config)
        for name, weight in model.named_parameters():
            # the usual 0.02 leaves random logits nearly flat; wider, errors of position show
            if weight.dim() > 1 and "norm" not in name:
                torch.nn.init.normal_(weight, std=0.8 / weight[0].numel() ** 0.5)
    tokenizer = processor.tokenizer
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    return model.eval(), processor


def _idefics3(seed):
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessor,
        Idefics3Processor,
    )

    special = ["<image>", "<fake_token_around_image>", "<global-img>", "<|im_start|>"]
    special += [f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7)]
    tokenizer = tiny_tokenizer(special, eos="<end_of_utterance>", bos="<|im_start|>")
    (image,) = _ids(tokenizer, "<image>")
    config = Idefics3Config(
        vision_config=_vision(),
        text_config=_text("llama", tokenizer),
        scale_factor=2,
        image_token_id=image,
        pad_token_id=tokenizer.pad_token_id,
    )
    images = Idefics3ImageProcessor(
        size={"longest_edge": 64}, max_image_size={"longest_edge": 32}, do_image_splitting=True
    )
    processor = Idefics3Processor(images, tokenizer, image_seq_len=4, chat_template=_IDEFICS)
    return _finish(Idefics3ForConditionalGeneration, config, processor, seed)


def _smolvlm(seed):
    from transformers import (
        SmolVLMConfig,
        SmolVLMForConditionalGeneration,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
        SmolVLMVideoProcessor,
    )

    named = {
        "fake_image_token": "<fake_token_around_image>",
        "image_token": "<image>",
        "global_image_token": "<global-img>",
        "end_of_utterance_token": "<end_of_utterance>",
    }
    special = ["<|im_start|>"] + [f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7)]
    tokenizer = tiny_tokenizer(special, eos="<end_of_utterance>", bos="<|im_start|>", named=named)
    (image,) = _ids(tokenizer, "<image>")
    config = SmolVLMConfig(
        vision_config=_vision(patch_size=8, image_size=32),
        text_config=_text("llama", tokenizer),
        scale_factor=2,
        image_token_id=image,
        pad_token_id=tokenizer.pad_token_id,
    )
    sizes = {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}}
    images = SmolVLMImageProcessor(**sizes, do_image_splitting=True)
    videos = SmolVLMVideoProcessor(**sizes)
    processor = SmolVLMProcessor(images, tokenizer, videos, image_seq_len=4, chat_template=_IDEFICS)
    return _finish(SmolVLMForConditionalGeneration, config, processor, seed)


def _vision(**more):
    """Settings of a vision tower of a few thousand weights."""
    return {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
        **more,
    }


def _qwen_tokenizer():
    special = ["<|im_start|>", "<|vision_start|>", "<|vision_end|>"]
    special += ["<|image_pad|>", "<|video_pad|>"]
    return tiny_tokenizer(special, eos="<|im_end|>", pad="<|endoftext|>")


_QWEN = _CHATML.replace("IMAGE_HERE", "<|vision_start|><|image_pad|><|vision_end|>")


def _qwen_ids(tokenizer):
    names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    tokens = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    return dict(zip(names, _ids(tokenizer, *tokens), strict=True))


def _qwen_images(patch):
    from transformers import Qwen2VLImageProcessor

    side = patch * 2
    return Qwen2VLImageProcessor(
        patch_size=patch,
        merge_size=2,
        size={"shortest_edge": side * side * 4, "longest_edge": side * side * 16},
    )


def _qwen2_5_vl(seed):
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLVideoProcessor,
    )

    tokenizer = _qwen_tokenizer()
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    config = Qwen2_5_VLConfig(
        text_config=_text("qwen2_5_vl_text", tokenizer, rope_parameters=rope),
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "patch_size": 8,
            "window_size": 32,
            "out_hidden_size": 32,
            "fullatt_block_indexes": [1],
        },
        tie_word_embeddings=False,
        **_qwen_ids(tokenizer),
    )
    processor = Qwen2_5_VLProcessor(
        _qwen_images(8), tokenizer, Qwen2VLVideoProcessor(patch_size=8), chat_template=_QWEN
    )
    return _finish(Qwen2_5_VLForConditionalGeneration, config, processor, seed)


def _qwen3_vl(seed):
    from transformers import (
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    tokenizer = _qwen_tokenizer()
    rope = {
        "rope_type": "default",
        "mrope_section": [2, 1, 1],
        "mrope_interleaved": True,
        "rope_theta": 10000.0,
    }
    config = Qwen3VLConfig(
        text_config=_text("qwen3_vl_text", tokenizer, head_dim=8, rope_parameters=rope),
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "patch_size": 8,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        tie_word_embeddings=False,
        **_qwen_ids(tokenizer),
    )
    processor = Qwen3VLProcessor(
        _qwen_images(8), tokenizer, Qwen3VLVideoProcessor(patch_size=8), chat_template=_QWEN
    )
    return _finish(Qwen3VLForConditionalGeneration, config, processor, seed)


def _internvl(seed):
    from transformers import (
        GotOcr2ImageProcessor,
        InternVLConfig,
        InternVLForConditionalGeneration,
        InternVLProcessor,
        InternVLVideoProcessor,
    )

    named = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tokenizer = tiny_tokenizer(["<|im_start|>"], eos="<|im_end|>", pad="<|endoftext|>", named=named)
    config = InternVLConfig(
        vision_config=_vision(image_size=[32, 32], patch_size=[8, 8]),
        text_config=_text("qwen2", tokenizer),
        image_token_id=tokenizer.context_image_token_id,
        image_seq_length=4,
        tie_word_embeddings=False,
    )
    images = GotOcr2ImageProcessor(
        size={"height": 32, "width": 32}, crop_to_patches=True, max_patches=4
    )
    processor = InternVLProcessor(
        images,
        tokenizer,
        InternVLVideoProcessor(size={"height": 32, "width": 32}),
        image_seq_length=4,
        chat_template=_CHATML.replace("IMAGE_HERE", "<IMG_CONTEXT>\n"),
    )
    return _finish(InternVLForConditionalGeneration, config, processor, seed)


def _llava_tokenizer():
    return tiny_tokenizer(["<image>"], eos="</s>", bos="<s>")


def _clip_images(**more):
    return {
        "size": {"shortest_edge": 32},
        "crop_size": {"height": 32, "width": 32},
        **more,
    }


def _llava(seed):
    from transformers import (
        CLIPImageProcessor,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    tokenizer = _llava_tokenizer()
    (image,) = _ids(tokenizer, "<image>")
    config = LlavaConfig(
        vision_config=_vision(model_type="clip_vision_model"),
        text_config=_text("llama", tokenizer),
        image_token_index=image,
        image_seq_length=16,
    )
    processor = LlavaProcessor(
        CLIPImageProcessor(**_clip_images()),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_VICUNA,
    )
    return _finish(LlavaForConditionalGeneration, config, processor, seed)


def _llava_next(seed):
    from transformers import (
        LlavaNextConfig,
        LlavaNextForConditionalGeneration,
        LlavaNextImageProcessor,
        LlavaNextProcessor,
    )

    tokenizer = _llava_tokenizer()
    (image,) = _ids(tokenizer, "<image>")
    grid = [[32, 64], [64, 32], [64, 64]]
    config = LlavaNextConfig(
        vision_config=_vision(model_type="clip_vision_model"),
        text_config=_text("llama", tokenizer),
        image_token_index=image,
        image_grid_pinpoints=grid,
        image_seq_length=16,
    )
    processor = LlavaNextProcessor(
        LlavaNextImageProcessor(**_clip_images(image_grid_pinpoints=grid)),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_VICUNA,
    )
    return _finish(LlavaNextForConditionalGeneration, config, processor, seed)


def _llava_onevision(seed):
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
    )

    tokenizer = tiny_tokenizer(
        ["<|im_start|>", "<image>", "<video>"], eos="<|im_end|>", pad="<|endoftext|>"
    )
    image, video = _ids(tokenizer, "<image>", "<video>")
    grid = [[32, 32], [32, 64], [64, 32], [64, 64]]
    config = LlavaOnevisionConfig(
        vision_config=_vision(model_type="siglip_vision_model", vision_use_head=False),
        text_config=_text("qwen2", tokenizer),
        image_token_index=image,
        video_token_index=video,
        image_grid_pinpoints=grid,
    )
    size = {"height": 32, "width": 32}
    processor = LlavaOnevisionProcessor(
        LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=grid),
        tokenizer,
        LlavaOnevisionVideoProcessor(size=size),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=_CHATML.replace("IMAGE_HERE", "<image>\n"),
    )
    return _finish(LlavaOnevisionForConditionalGeneration, config, processor, seed)


def _gemma3(seed):
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3ImageProcessor,
        Gemma3Processor,
    )

    named = {
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
        "image_token": "<image_soft_token>",
    }
    special = ["<start_of_turn>", "<end_of_turn>"]
    tokenizer = tiny_tokenizer(special, eos="<end_of_turn>", bos="<bos>", named=named)
    text = _text("gemma3_text", tokenizer, head_dim=8, num_hidden_layers=2, sliding_window=512)
    text["layer_types"] = ["sliding_attention", "full_attention"]
    text["query_pre_attn_scalar"] = 8
    config = Gemma3Config(
        text_config=text,
        vision_config=_vision(model_type="siglip_vision_model", vision_use_head=False),
        mm_tokens_per_image=4,
        boi_token_index=tokenizer.boi_token_id,
        eoi_token_index=tokenizer.eoi_token_id,
        image_token_index=tokenizer.image_token_id,
    )
    processor = Gemma3Processor(
        Gemma3ImageProcessor(size={"height": 32, "width": 32}),
        tokenizer,
        image_seq_length=4,
        chat_template=_GEMMA,
    )
    return _finish(Gemma3ForConditionalGeneration, config, processor, seed)


def _paligemma(seed):
    from transformers import (
        PaliGemmaConfig,
        PaliGemmaForConditionalGeneration,
        PaliGemmaProcessor,
        SiglipImageProcessor,
    )

    tokenizer = tiny_tokenizer(
        [*(f"<loc{i:04d}>" for i in range(4))],
        eos="<eos>",
        bos="<bos>",
        named={"image_token": "<image>"},
    )
    images = SiglipImageProcessor(size={"height": 32, "width": 32})
    images.image_seq_length = 16
    processor = PaliGemmaProcessor(images, tokenizer)
    config = PaliGemmaConfig(
        vision_config=_vision(model_type="siglip_vision_model", vision_use_head=False),
        text_config=_text("gemma", tokenizer, head_dim=8),
        image_token_index=tokenizer.image_token_id,
        projection_dim=32,
        hidden_size=32,
    )
    return _finish(PaliGemmaForConditionalGeneration, config, processor, seed)


def _mllama(seed):
    from transformers import (
        MllamaConfig,
        MllamaForConditionalGeneration,
        MllamaImageProcessor,
        MllamaProcessor,
    )

    special = ["<|start_header_id|>", "<|end_header_id|>", "<|python_tag|>"]
    tokenizer = tiny_tokenizer(
        special, eos="<|eot_id|>", bos="<|begin_of_text|>", named={"image_token": "<|image|>"}
    )
    vision = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_global_layers": 1,
        "attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
        "max_num_tiles": 4,
        "intermediate_layers_indices": [0],
        "vision_output_dim": 64,
        "supported_aspect_ratios": [[1, 1], [1, 2], [1, 3], [1, 4], [2, 1], [2, 2], [3, 1], [4, 1]],
    }
    text = _text("mllama_text_model", tokenizer, num_hidden_layers=3, cross_attention_layers=[1])
    text["rope_parameters"] = {"rope_type": "default", "rope_theta": 10000.0}
    config = MllamaConfig(
        vision_config=vision, text_config=text, image_token_index=tokenizer.image_token_id
    )
    processor = MllamaProcessor(
        MllamaImageProcessor(size={"height": 32, "width": 32}, max_image_tiles=4),
        tokenizer,
        chat_template=_LLAMA3,
    )
    return _finish(MllamaForConditionalGeneration, config, processor, seed)


@dataclass(frozen=True)
class Family:
    """A model family: its name as readers know it, and how its tiny checkpoint is built."""

    name: str
    title: str
    build: Callable


FAMILIES = {
    family.name: family
    for family in (
        Family("qwen2_5_vl", "Qwen2.5-VL", _qwen2_5_vl),
        Family("qwen3_vl", "Qwen3-VL", _qwen3_vl),
        Family("internvl", "InternVL", _internvl),
        Family("llava", "LLaVA", _llava),
        Family("llava_next", "LLaVA-NeXT", _llava_next),
        Family("llava_onevision", "LLaVA-OneVision", _llava_onevision),
        Family("gemma3", "Gemma 3", _gemma3),
        Family("smolvlm", "SmolVLM", _smolvlm),
        Family("idefics3", "Idefics3", _idefics3),
        Family("paligemma", "PaliGemma", _paligemma),
        Family("mllama", "Mllama", _mllama),
    )
}


def build_family(name, *, seed=0):
    """Build the tiny random checkpoint of a family: model and processor."""
    return FAMILIES[name].build(seed)


# --- the table -----------------------------------------------------------------------------------


def _questions():
    """Three questions of three types about one image of noise."""
    import numpy as np
    from PIL import Image

    from medcal_nb.ask.calls import encode_png
    from medcal_nb.items import Item

    pixels = np.random.default_rng(0).integers(0, 255, (48, 48, 3), dtype=np.uint8)
    image = encode_png(Image.fromarray(pixels))
    asked = (
        ("closed", "Is there a mass?", ("yes", "no"), "yes"),
        ("choice", "Which organ is shown?", ("lung", "heart"), "heart"),
        ("open", "What colour is it?", None, "red"),
    )
    return [
        Item(
            item_id=kind,
            image_id="noise",
            dataset="families",
            domain="general",
            modality="drawing",
            question_type=kind,
            question=question,
            options=options,
            gold=gold,
            split="test",
            image=image,
        )
        for kind, question, options, gold in asked
    ]


def family_table(names=None):
    """Run every strategy through the tiny checkpoint of each family.

    Parameters
    ----------
    names : list of str, optional
        Families; all by default.

    Returns
    -------
    DataFrame
        One row per family: its title, ``prefix`` (``shared``, or ``whole`` where prompts are asked
        one by one), and per strategy ``runs`` or the reason why it is skipped.
    """
    import pandas as pd

    from medcal_nb.ask.backends.local import LocalModel
    from medcal_nb.ask.run import run_programs
    from medcal_nb.ask.strategies import STRATEGIES, Plan

    plan = Plan(dataset="families", samples=2, max_new_tokens=4)
    rows = []
    for name in names or FAMILIES:
        backend = LocalModel(*build_family(name), name=name, device="cpu")
        row = {
            "family": FAMILIES[name].title,
            "prefix": "shared" if backend.share else "whole",
        }
        programs, owners = [], []
        for strategy in STRATEGIES.values():
            row[strategy.name] = strategy.skips(backend.can, backend.cannot) or "runs"
            if row[strategy.name] == "runs":
                for item in _questions():
                    if strategy.applies(item) is None:
                        programs.append(strategy.ask(item, plan))
                        owners.append(strategy.name)
        with backend.session() as session:
            _, failed = run_programs(programs, session.run)
        row.update((owners[i], f"failed: {reason}") for i, reason in failed.items())
        rows.append(row)
    return pd.DataFrame(rows)


INTRODUCTION = """\
# Model families

Every strategy put to a tiny random checkpoint of each family, through the family's real classes in
transformers: *runs*, or skipped with the reason. *Shared*: image and question are computed once for
all strategies. Written by `tests/ask/test_families.py`.

"""


def format_table(table):
    """Write the table in Markdown: strategies in rows, and the reasons below."""
    names = [name for name in table if name not in ("family", "prefix")]
    names = [name for name in names if not table[name].str.contains("similarity").all()]
    notes = []
    lines = [["", *table["family"]], ["image prefix", *table["prefix"]]]
    for name in names:
        told = list(table[name])
        notes += [value for value in dict.fromkeys(told) if value not in ("runs", *notes)]
        lines.append(
            [name]
            + [
                value if value == "runs" else f"skipped ({notes.index(value) + 1})"
                for value in told
            ]
        )
    rows = ["| " + " | ".join(line) + " |" for line in lines]
    rows.insert(1, "|" + "---|" * len(lines[0]))
    return "\n".join(rows + [""] * bool(notes) + [f"({i}) {n}" for i, n in enumerate(notes, 1)])
