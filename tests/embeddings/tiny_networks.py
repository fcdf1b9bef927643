"""Tiny networks of every architecture, randomly weighted, as their makers' library saves them."""

from __future__ import annotations

import json
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

#: Sub-words of the SentencePiece kind: "▁" stands for the space before a word.
PIECES = ["▁de", "▁het", "▁maan", "▁zon", "▁k", "at", "bloem", "en"]

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
#: Those that are saved with the head that the published ones have.
HEADS = {
    "llama-2": "AutoModelForCausalLM",
    "llama-3": "AutoModelForCausalLM",
    "xlm-r": "AutoModelForMaskedLM",
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
        "llama-2": lambda: _llama(tie_word_embeddings=False),
        "llama-3": lambda: _llama(tie_word_embeddings=True),
        "xlm-r": lambda: t.XLMRobertaConfig(
            **_TEXT, intermediate_size=64, vocab_size=64, max_position_embeddings=130
        ),
        "wav2vec2-group": lambda: t.Wav2Vec2Config(**_SPEECH),
        "wav2vec2-stable": lambda: t.Wav2Vec2Config(**_SPEECH, **_STABLE),
        "hubert": lambda: t.HubertConfig(**_SPEECH),
        "hubert-stable": lambda: t.HubertConfig(**_SPEECH, **_STABLE),
        "wavlm": lambda: t.WavLMConfig(**_SPEECH),
        "wavlm-stable": lambda: t.WavLMConfig(**_SPEECH, **_STABLE),
        "whisper": lambda: t.WhisperConfig(**whisper),
        "whisper-large-v3": lambda: t.WhisperConfig(**whisper, num_mel_bins=128),
    }
    return makers[name]()


def _llama(*, tie_word_embeddings: bool) -> Any:
    """Llama 2's kind has an output matrix of its own, the small Llama 3's kind has not."""
    import transformers as t

    return t.LlamaConfig(
        **_TEXT,
        intermediate_size=64,
        vocab_size=50257 if tie_word_embeddings else 512,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=tie_word_embeddings,
    )


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


def _llama_2_tokenizer(folder: Path) -> None:
    """As published: byte-pair encoding of SentencePiece, unknown characters as their bytes."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

    special = ("<unk>", "<s>", "</s>")
    letters = sorted({"▁", *"".join(PIECES)})
    tokens = [*special, *(f"<0x{n:02X}>" for n in range(256)), *letters]
    steps = [(piece[:k], piece[k]) for piece in PIECES for k in range(1, len(piece))]
    merges = list(dict.fromkeys(steps))
    vocabulary = {
        token: n for n, token in enumerate(dict.fromkeys(tokens + [a + b for a, b in merges]))
    }
    inner = Tokenizer(
        models.BPE(
            vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True
        )
    )
    inner.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    inner.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    inner.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    inner.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "legacy": False}
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "LlamaTokenizer", **settings}), encoding="utf-8"
    )


def _xlm_r_tokenizer(folder: Path) -> None:
    """The most probable of all divisions of a word into pieces, between <s> and </s>."""
    from transformers import XLMRobertaTokenizer

    letters = sorted({"▁", *"".join(PIECES)})
    vocabulary = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    vocabulary += [(piece, -1.0) for piece in PIECES] + [(letter, -5.0) for letter in letters]
    XLMRobertaTokenizer(vocab=[*vocabulary, ("<mask>", 0.0)]).save_pretrained(folder)


def network(name: str, maker: str = "AutoModel") -> Any:
    """A tiny network, made by a class of transformers: without a head, or with one."""
    import torch
    import transformers

    torch.set_num_threads(1)
    torch.manual_seed(11)
    model = getattr(transformers, maker).from_config(_config(name))
    # Fresh norms and biases are 1 and 0: shaken, so that a norm left out shows.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model.eval()


def save(name: str, folder: Path, gpt2_tokenizer: Path) -> None:
    """Save a tiny network, with a tokenizer where it reads text."""
    import transformers

    network(name, HEADS.get(name, "AutoModel")).save_pretrained(folder)
    if name in ("gpt2", "llama", "llama-3"):
        for path in gpt2_tokenizer.iterdir():
            shutil.copyfile(path, folder / path.name)
    if name == "llama-2":
        _llama_2_tokenizer(folder)
    if name == "xlm-r":
        _xlm_r_tokenizer(folder)
    if name == "roberta":
        _roberta_tokenizer(folder, gpt2_tokenizer)
    if name == "bert":
        (folder / "vocab.txt").write_text("\n".join(BERT_VOCABULARY), encoding="utf-8")
        vocabulary = str(folder / "vocab.txt")
        transformers.BertTokenizerFast(vocab_file=vocabulary, vocab=vocabulary).save_pretrained(
            folder
        )
