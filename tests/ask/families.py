"""Tiny random checkpoints of the model families, with their real classes.

What a family's architecture does to asking (positions, masks, image tokens, templates) shows on
a checkpoint of a few thousand weights as on one of billions. The seven differ in what matters:
images in tiles, positions of three kinds, a sliding window, embeddings of each layer, layers that
sum up what came before in one state, none of these. The sizes, the words
and the template are ours, classes and layouts those of transformers.
"""

from functools import cache

from data.pocket.factory import turns

_WORDS = (
    "Is there a mass in the image? What colour side organ is shown yes no Yes No left right red "
    "blue lung heart Heart Left none 1 2 3 80 50 0 100 % : . , ( ) ? - ... answer confidence model "
    "none of the above user assistant"
)
_SPECIAL = [
    "<pad>", "<unk>", "<s>", "</s>", "<image>", "<|image_pad|>", "<|video_pad|>",
    "<|vision_start|>", "<|vision_end|>", "<start_of_image>", "<end_of_image>",
    "<image_soft_token>", "<fake_token_around_image>", "<global-img>",
    "<|image_start|>", "<|image_end|>", "<|img_thumbnail|>", "<|audio|>",
    "<|audio_start|>", "<|audio_end|>",
    *(f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7)),
]  # fmt: skip

_TEMPLATE = """\
BEGIN{% for turn in messages %}{{ turn.role }}: {% for part in turn.content %}\
{{ 'IMAGE' if part.type == 'image' else part.text }}{% endfor %}</s>
{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"""


def _template(image, begin=""):
    """The chat template that shows an image so, and begins a text with the token `begin`."""
    return {"chat_template": _TEMPLATE.replace("IMAGE", image).replace("BEGIN", begin)}


def _tokenizer():
    """A word-level tokenizer that knows the prompts' words and the families' special tokens."""
    from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import WordLevel
    from tokenizers.trainers import WordLevelTrainer
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(WordLevel(unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"\n|\w+|[^\w\s]"), behavior="isolated"),
        pre_tokenizers.Split(Regex(r"[ \t]+"), behavior="removed"),
    ])  # fmt: skip
    blank_between = decoders.Replace(Regex("(?<=.)$"), " ")
    core.decoder = decoders.Sequence([blank_between, decoders.Fuse()])
    trainer = WordLevelTrainer(special_tokens=_SPECIAL, show_progress=False)
    core.train_from_iterator([*turns.texts(), _WORDS], trainer)
    ends = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<unk>", padding_side="left", **ends
    )


def _text(kind, words, **more):
    """Settings of a text decoder of a few thousand weights."""
    ids = ("pad_token_id", "bos_token_id", "eos_token_id")
    return {
        "model_type": kind, "vocab_size": len(words), "hidden_size": 32,
        "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 2048,
        **{name: getattr(words, name) for name in ids}, **more,
    }  # fmt: skip


def _vision(kind, **more):
    """Settings of a vision tower of a few thousand weights."""
    return {
        "model_type": kind, "hidden_size": 32, "intermediate_size": 48,
        "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32,
        "patch_size": 8, **more,
    }  # fmt: skip


def _qwen(tf, words):
    number = words.convert_tokens_to_ids
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    vision = {
        "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2,
        "patch_size": 8, "out_hidden_size": 32, "window_size": 32,
        "fullatt_block_indexes": [1],
    }  # fmt: skip
    config = tf.Qwen2_5_VLConfig(
        text_config=_text("qwen2_5_vl_text", words, rope_parameters=rope),
        vision_config=vision,
        tie_word_embeddings=False,
        image_token_id=number("<|image_pad|>"),
        video_token_id=number("<|video_pad|>"),
        vision_start_token_id=number("<|vision_start|>"),
        vision_end_token_id=number("<|vision_end|>"),
    )
    size = {"shortest_edge": 16 * 16 * 4, "longest_edge": 16 * 16 * 16}
    images = tf.Qwen2VLImageProcessor(patch_size=8, merge_size=2, size=size)
    video = tf.Qwen2VLVideoProcessor(patch_size=8)
    shown = _template("<|vision_start|><|image_pad|><|vision_end|>")
    return config, tf.Qwen2_5_VLProcessor(images, words, video, **shown)


def _llava(tf, words):
    config = tf.LlavaConfig(
        text_config=_text("llama", words),
        vision_config=_vision("clip_vision_model"),
        image_seq_length=16,
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )
    side = {"height": 32, "width": 32}
    images = tf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=side)
    how = {"patch_size": 8, "vision_feature_select_strategy": "default"}
    how |= {"num_additional_image_tokens": 1} | _template("<image>\n")
    return config, tf.LlavaProcessor(images, words, **how)


def _gemma(tf, words):
    numbers = {}
    for name, token in (
        ("boi_token", "<start_of_image>"),
        ("eoi_token", "<end_of_image>"),
        ("image_token", "<image_soft_token>"),
    ):
        numbers[f"{name}_index"] = words.convert_tokens_to_ids(token)
        setattr(words, name, token)
        setattr(words, f"{name}_id", numbers[f"{name}_index"])
    more = {"head_dim": 8, "sliding_window": 512, "query_pre_attn_scalar": 8}
    more["layer_types"] = ["sliding_attention", "full_attention"]
    config = tf.Gemma3Config(
        text_config=_text("gemma3_text", words, **more),
        vision_config=_vision("siglip_vision_model", vision_use_head=False),
        mm_tokens_per_image=4,
        **numbers,
    )
    images = tf.Gemma3ImageProcessor(size={"height": 32, "width": 32})
    how = {"image_seq_length": 4} | _template("<start_of_image>", "<s>")
    return config, tf.Gemma3Processor(images, words, **how)


def _idefics(tf, words):
    config = tf.Idefics3Config(
        text_config=_text("llama", words),
        vision_config=_vision("idefics3_vision"),
        scale_factor=2,
        pad_token_id=words.pad_token_id,
        image_token_id=words.convert_tokens_to_ids("<image>"),
    )
    images = tf.Idefics3ImageProcessor(
        size={"longest_edge": 64},
        max_image_size={"longest_edge": 32},
        do_image_splitting=True,
    )
    how = {"image_seq_len": 4} | _template("<image>", "<s>")
    return config, tf.Idefics3Processor(images, words, **how)


def _qwen3_5(tf, words):
    number = words.convert_tokens_to_ids
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    rope |= {"mrope_interleaved": True, "partial_rotary_factor": 1.0}
    linear = {"linear_key_head_dim": 8, "linear_value_head_dim": 8}
    linear |= {"linear_num_key_heads": 2, "linear_num_value_heads": 4}
    layers = ["linear_attention", "full_attention"]
    text = _text("qwen3_5_text", words, rope_parameters=rope, head_dim=8, **linear)
    vision = {
        "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2,
        "patch_size": 8, "out_hidden_size": 32, "num_position_embeddings": 64,
    }  # fmt: skip
    config = tf.Qwen3_5Config(
        text_config=text | {"layer_types": layers},
        vision_config=vision,
        tie_word_embeddings=False,
        image_token_id=number("<|image_pad|>"),
        video_token_id=number("<|video_pad|>"),
        vision_start_token_id=number("<|vision_start|>"),
        vision_end_token_id=number("<|vision_end|>"),
    )
    size = {"shortest_edge": 16 * 16 * 4, "longest_edge": 16 * 16 * 16}
    images = tf.Qwen2VLImageProcessor(patch_size=8, merge_size=2, size=size)
    video = tf.Qwen3VLVideoProcessor(patch_size=8)
    shown = _template("<|vision_start|><|image_pad|><|vision_end|>")
    return config, tf.Qwen3VLProcessor(images, words, video, **shown)


def _lfm2(tf, words):
    number = words.convert_tokens_to_ids
    layers = {
        "layer_types": ["conv", "full_attention"],
        "block_auto_adjust_ff_dim": False,
    }
    config = tf.Lfm2VlConfig(
        text_config=_text("lfm2", words, **layers),
        vision_config=_vision("siglip2_vision_model", num_patches=64),
        image_token_id=number("<image>"),
        projector_hidden_size=32,
    )
    how = {"tile_size": 32, "min_image_tokens": 2, "max_image_tokens": 8}
    how |= {"encoder_patch_size": 8, "downsample_factor": 2, "max_num_patches": 64}
    images = tf.Lfm2VlImageProcessor(**how)
    return config, tf.Lfm2VlProcessor(images, words, **_template("<image>", "<s>"))


def _gemma4(tf, words):
    number = words.convert_tokens_to_ids
    shown = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
    shown |= {"image_token": "<image_soft_token>", "audio_token": "<|audio|>"}
    shown |= {"boa_token": "<|audio_start|>", "eoa_token": "<|audio_end|>"}
    for name, token in shown.items():
        setattr(words, name, token)
        setattr(words, f"{name}_id", number(token))
    more = {"head_dim": 8, "global_head_dim": 8, "sliding_window": 512}
    more |= {"layer_types": ["sliding_attention", "full_attention"]}
    more |= {"vocab_size_per_layer_input": len(words), "hidden_size_per_layer_input": 8}
    vision = _vision("gemma4_vision", head_dim=16, num_key_value_heads=2)
    config = tf.Gemma4Config(
        text_config=_text("gemma4_text", words, **more),
        vision_config=vision
        | {"pooling_kernel_size": 2, "position_embedding_size": 64},
        audio_config=None,
        boi_token_id=number("<start_of_image>"),
        eoi_token_id=number("<end_of_image>"),
        image_token_id=number("<image_soft_token>"),
        audio_token_id=number("<|audio|>"),
    )
    images = tf.Gemma4ImageProcessor(
        patch_size=8, pooling_kernel_size=2, max_soft_tokens=70
    )
    video = tf.Gemma4VideoProcessor(patch_size=8, pooling_kernel_size=2)
    hears = tf.Gemma4AudioFeatureExtractor()
    how = {"image_seq_length": 4} | _template("<image_soft_token>", "<s>")
    return config, tf.Gemma4Processor(hears, images, words, video, **how)


#: What makes a family's configuration and processor.
FAMILIES = {
    "qwen2_5_vl": _qwen,
    "llava": _llava,
    "gemma3": _gemma,
    "idefics3": _idefics,
    "qwen3_5": _qwen3_5,
    "lfm2_vl": _lfm2,
    "gemma4": _gemma4,
}


@cache
def tiny_checkpoint(name="idefics3"):
    """Model and processor of a family, built once."""
    import torch
    import transformers

    config, processor = FAMILIES[name](transformers, _tokenizer())
    prefix = type(config).__name__.removesuffix("Config")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(transformers, f"{prefix}ForConditionalGeneration")(config)
        for part, weight in model.named_parameters():
            # the usual 0.02 leaves random logits nearly flat; wider, errors of position show
            if weight.dim() > 1 and "norm" not in part:
                torch.nn.init.normal_(weight, std=0.8 / weight[0].numel() ** 0.5)
    return model.eval(), processor
