"""Models that are only as large as the study's: word vectors, a GPT-2 and an XLS-R, all random.

Layers and width are those of FastText, GPT-2 small and XLS-R 300M, so that whatever is computed
from their embeddings costs what it costs in the study. Feed-forward parts, convolutions and
vocabulary are small: they decide only how long a pass takes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from highgamma import store
from highgamma.demo.speech_model import PREPROCESSOR

VECTORS = "fasttext-like.vec"
TEXT_MODEL = "gpt2-like"
SPEECH_MODEL = "xls-r-like"
FILES = (
    VECTORS,
    f"{TEXT_MODEL}/config.json",
    f"{TEXT_MODEL}/tokenizer.json",
    f"{TEXT_MODEL}/tokenizer_config.json",
    f"{SPEECH_MODEL}/config.json",
    f"{SPEECH_MODEL}/preprocessor_config.json",
)
"""What `write_models` writes below its folder."""

VECTOR_WIDTH = 300
VECTOR_SPREAD = 0.05  # standard deviation of a component, about FastText's
SEED = 0
END_OF_TEXT = "<|endoftext|>"
LETTERS = "abcdefghijklmnopqrstuvwxyz"

TEXT_CONFIG = {
    "architectures": ["GPT2Model"],
    "model_type": "gpt2",
    "bos_token_id": len(LETTERS),
    "eos_token_id": len(LETTERS),
    # With the usual 0.02 an untrained block hands its input on nearly unchanged.
    "initializer_range": 0.1,
    "n_embd": 768,
    "n_head": 12,
    "n_inner": 128,
    "n_layer": 12,
    "n_positions": 64,
    "vocab_size": len(LETTERS) + 1,
}
SPEECH_CONFIG = {
    "architectures": ["Wav2Vec2Model"],
    "model_type": "wav2vec2",
    "activation_dropout": 0.0,
    "apply_spec_augment": False,
    "attention_dropout": 0.0,
    "conv_bias": True,
    "conv_dim": [64] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "do_stable_layer_norm": True,
    "feat_extract_norm": "layer",
    "feat_proj_dropout": 0.0,
    "hidden_dropout": 0.0,
    "hidden_size": 1024,
    "initializer_range": 0.1,
    "intermediate_size": 128,
    "layerdrop": 0.0,
    "mask_time_prob": 0.0,
    "num_attention_heads": 16,
    "num_conv_pos_embedding_groups": 16,
    "num_conv_pos_embeddings": 16,
    "num_feat_extract_layers": 7,
    "num_hidden_layers": 24,
    "vocab_size": 32,
}
TOKENIZER_CONFIG = {"model_max_length": 64, "tokenizer_class": "PreTrainedTokenizerFast"}


def write_models(folder: str | PathLike[str], *, words: Iterable[str]) -> list[Path]:
    """Write `FILES` below a folder; the weights are made where the networks are used, from a seed.

    Parameters
    ----------
    words
        The words that have a vector: lower-case letters, as the tokenizer reads.
    """
    contents = {
        VECTORS: _vectors(sorted(words)),
        f"{TEXT_MODEL}/config.json": _json(TEXT_CONFIG),
        f"{TEXT_MODEL}/tokenizer.json": _json(_letter_tokenizer()),
        f"{TEXT_MODEL}/tokenizer_config.json": _json(TOKENIZER_CONFIG),
        f"{SPEECH_MODEL}/config.json": _json(SPEECH_CONFIG),
        f"{SPEECH_MODEL}/preprocessor_config.json": _json(PREPROCESSOR),
    }
    written = []
    for name in FILES:
        path = Path(folder) / name
        with store.written_whole(path) as temporary:
            temporary.write_text(contents[name], "utf-8")
        written.append(path)
    return written


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def _vectors(words: list[str]) -> str:
    """fastText's text format: a line of counts, then a line a word, four decimals."""
    vectors = VECTOR_SPREAD * np.random.default_rng(SEED).standard_normal(
        (len(words), VECTOR_WIDTH)
    )
    lines = [
        " ".join([word, *(f"{value:.4f}" for value in vector)])
        for word, vector in zip(words, vectors, strict=True)
    ]
    return "\n".join([f"{len(words)} {VECTOR_WIDTH}", *lines]) + "\n"


def _letter_tokenizer() -> dict[str, Any]:
    """A byte-level tokenizer, as GPT-2's, without merges: each letter is a token."""
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": len(LETTERS),
                "content": END_OF_TEXT,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
        ],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {letter: i for i, letter in enumerate([*LETTERS, END_OF_TEXT])},
            "merges": [],
        },
    }
