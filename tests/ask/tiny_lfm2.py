"""An untrained LFM2-VL: of the models that vLLM 0.32 asks for typed decisions, one that sees."""

from safetensors.torch import save_file

_SPECIAL = [
    "<|pad|>", "<|startoftext|>", "<|im_start|>", "<|im_end|>",
    "<image>", "<|image_start|>", "<|image_end|>", "<|img_thumbnail|>",
]  # fmt: skip
_TEMPLATE = """\
{% for turn in messages %}<|im_start|>{{ turn.role }}
{% if turn.content is string %}{{ turn.content }}{% else %}{% for part in turn.content %}\
{{ '<image>' if part.type == 'image' else part.text }}{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def _tokenizer():
    """A byte-level tokenizer in which yes, no, each letter and each digit is one token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    how = {
        "special_tokens": _SPECIAL,
        "initial_alphabet": letters,
        "show_progress": False,
    }
    core.train_from_iterator(
        ["yes no"] * 50, trainers.BpeTrainer(vocab_size=300, **how)
    )
    words = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<|startoftext|>",
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        chat_template=_TEMPLATE,
        additional_special_tokens=_SPECIAL[4:],
    )
    names = ("image_token", "image_start_token", "image_end_token", "image_thumbnail")
    for name, token in zip(names, _SPECIAL[4:], strict=True):
        setattr(words, name, token)
        words.init_kwargs[name] = token
    words.image_token_id = words.convert_tokens_to_ids("<image>")
    return words


def save_lfm2(folder):
    """Write an untrained model of two layers as vLLM 0.32 reads it; return model and processor."""
    import torch
    import transformers as tf

    words = _tokenizer()
    ids = {
        f"{name}_token_id": getattr(words, f"{name}_token_id")
        for name in ("pad", "bos", "eos")
    }
    # vLLM 0.32 reads names that configurations of the hub have and the class no longer writes
    older = {"conv_dim": 64, "conv_dim_out": 64, "block_dim": 64, "block_ff_dim": 128}
    older |= {"block_multiple_of": 32, "block_ffn_dim_multiplier": 1.0}
    text = {
        "model_type": "lfm2", "vocab_size": len(words), "hidden_size": 64,
        "intermediate_size": 128, "block_auto_adjust_ff_dim": False, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 2048,
        "layer_types": ["conv", "full_attention"], "conv_L_cache": 3, "conv_bias": False,
        "norm_eps": 1e-5, **ids, **older,
    }  # fmt: skip
    vision = {
        "model_type": "siglip2_vision_model", "hidden_size": 32, "intermediate_size": 48,
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_patches": 64, "patch_size": 8,
    }  # fmt: skip
    config = tf.Lfm2VlConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=words.image_token_id,
        projector_hidden_size=64,
        downsample_factor=2,
    )
    images = tf.Lfm2VlImageProcessor(
        downsample_factor=2,
        do_image_splitting=False,
        min_image_tokens=4,
        max_image_tokens=16,
        encoder_patch_size=8,
        tile_size=64,
        max_num_patches=64,
        use_thumbnail=False,
    )
    processor = tf.Lfm2VlProcessor(images, words, chat_template=_TEMPLATE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = tf.Lfm2VlForConditionalGeneration(config).eval()
        for part, weight in model.named_parameters():
            # wider than usual: nearly flat probabilities would hide a difference
            if weight.dim() > 1 and "norm" not in part:
                torch.nn.init.normal_(weight, std=0.8 / weight[0].numel() ** 0.5)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    own, theirs = "model.vision_tower.", "model.vision_tower.vision_model."
    weights = {
        name.replace(own, theirs): value.contiguous()
        for name, value in model.state_dict().items()
        if ".head." not in name
    }
    weights.pop("lm_head.weight", None)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return model, processor
