"""Tiny networks of every architecture, randomly weighted, as their makers' library saves them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

LAYERS, WIDTH = 3, 32
BERT_VOCABULARY = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "de",
    "het",
    "maan",
    "zon",
    "bloem",
    "##bloem",
    "##en",
    "k",
    "##at",
]

_TEXT = {"num_hidden_layers": LAYERS, "hidden_size": WIDTH, "num_attention_heads": 4}
_SPEECH = {
    **_TEXT,
    "intermediate_size": 64,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "layerdrop": 0.0,
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "feat_proj_dropout": 0.0,
}
_STABLE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}


def _config(name: str) -> Any:
    import transformers as t

    gpt2 = {"n_layer": LAYERS, "n_embd": WIDTH, "n_head": 4}
    whisper = {
        "d_model": WIDTH,
        "encoder_layers": LAYERS,
        "decoder_layers": 1,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "max_source_positions": 100,
    }
    makers: dict[str, Callable[[], Any]] = {
        "gpt2": lambda: t.GPT2Config(**gpt2, n_positions=128),
        "bert": lambda: t.BertConfig(
            **_TEXT, intermediate_size=64, vocab_size=64, max_position_embeddings=64
        ),
        "roberta": lambda: t.RobertaConfig(
            **_TEXT, intermediate_size=64, vocab_size=50265, max_position_embeddings=130
        ),
        "llama": lambda: t.LlamaConfig(
            **_TEXT, intermediate_size=64, vocab_size=50257, num_key_value_heads=2
        ),
        "wav2vec2-group": lambda: t.Wav2Vec2Config(**_SPEECH),
        "wav2vec2-stable": lambda: t.Wav2Vec2Config(**_SPEECH, **_STABLE),
        "hubert": lambda: t.HubertConfig(**_SPEECH),
        "hubert-stable": lambda: t.HubertConfig(**_SPEECH, **_STABLE),
        "wavlm": lambda: t.WavLMConfig(**_SPEECH),
        "wavlm-stable": lambda: t.WavLMConfig(**_SPEECH, **_STABLE),
        "whisper": lambda: t.WhisperConfig(**whisper),
    }
    return makers[name]()


def entry(kind: str, **more: Any) -> dict[str, Any]:
    """A resolved catalogue entry of a tiny network."""
    from highgamma import catalogue

    raw = {"kind": kind, "source": {"folder": "x"}, "layers": LAYERS, "width": WIDTH, **more}
    return catalogue.resolve(catalogue.checked_catalogue({"tiny": raw}), "tiny")


def _roberta_tokenizer(folder: Path, gpt2: Path) -> None:
    """RoBERTa's: GPT-2's sub-words with <s> and </s> around a text."""
    from tokenizers import ByteLevelBPETokenizer
    from tokenizers.processors import RobertaProcessing
    from transformers import PreTrainedTokenizerFast

    inner = ByteLevelBPETokenizer(str(gpt2 / "vocab.json"), str(gpt2 / "merges.txt"))
    inner.add_special_tokens(["<s>", "</s>", "<pad>"])
    ids = {token: inner.token_to_id(token) for token in ("<s>", "</s>")}
    inner._tokenizer.post_processor = RobertaProcessing(
        ("</s>", ids["</s>"]), ("<s>", ids["<s>"]), add_prefix_space=False
    )
    PreTrainedTokenizerFast(
        tokenizer_object=inner._tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    ).save_pretrained(folder)


def save(name: str, folder: Path, gpt2_tokenizer: Path) -> None:
    """Save a tiny network, with a tokenizer where it reads text."""
    import torch
    import transformers

    torch.set_num_threads(1)
    torch.manual_seed(11)
    model = transformers.AutoModel.from_config(_config(name))
    # Fresh norms and biases are 1 and 0: shaken, so that a norm left out shows.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    if name in ("gpt2", "llama"):
        for path in gpt2_tokenizer.iterdir():
            shutil.copyfile(path, folder / path.name)
    if name == "roberta":
        _roberta_tokenizer(folder, gpt2_tokenizer)
    if name == "bert":
        (folder / "vocab.txt").write_text("\n".join(BERT_VOCABULARY), encoding="utf-8")
        vocabulary = str(folder / "vocab.txt")
        transformers.BertTokenizerFast(vocab_file=vocabulary, vocab=vocabulary).save_pretrained(
            folder
        )
