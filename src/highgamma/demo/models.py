"""Models that are only as large as the study's: word vectors, a GPT-2 and an XLS-R, all random.

Layers and width are those of FastText, GPT-2 small and XLS-R 300M, so that whatever is computed
from their embeddings costs what it costs in the study. Feed-forward parts, convolutions and
vocabulary are small: they decide only how long a pass takes.
"""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from highgamma.demo.files import (
    MODEL_FILES,
    SPEECH_MODEL,
    TEXT_MODEL,
    VECTORS,
    json_text,
    write_text,
)
from highgamma.demo.speech_model import PREPROCESSOR, wav2vec2_config

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
SPEECH_CONFIG = wav2vec2_config(
    conv_bias=True,
    conv_dim=[64] * 7,
    do_stable_layer_norm=True,
    feat_extract_norm="layer",
    hidden_size=1024,
    initializer_range=0.1,
    intermediate_size=128,
    num_attention_heads=16,
    num_conv_pos_embedding_groups=16,
    num_hidden_layers=24,
)
TOKENIZER_CONFIG = {"model_max_length": 64, "tokenizer_class": "PreTrainedTokenizerFast"}


def write_models(folder: str | PathLike[str], *, words: Iterable[str]) -> list[Path]:
    """Write `MODEL_FILES` below a folder; the networks' weights are drawn where they are used.

    Parameters
    ----------
    words
        The words that have a vector: lower-case letters, as the tokenizer reads.
    """
    contents = {
        VECTORS: _vectors(sorted(words)),
        f"{TEXT_MODEL}/config.json": json_text(TEXT_CONFIG, sort_keys=True),
        f"{TEXT_MODEL}/tokenizer.json": json_text(_letter_tokenizer(), sort_keys=True),
        f"{TEXT_MODEL}/tokenizer_config.json": json_text(TOKENIZER_CONFIG, sort_keys=True),
        f"{SPEECH_MODEL}/config.json": json_text(SPEECH_CONFIG, sort_keys=True),
        f"{SPEECH_MODEL}/preprocessor_config.json": json_text(PREPROCESSOR, sort_keys=True),
    }
    for name in MODEL_FILES:
        write_text(Path(folder) / name, contents[name])
    return [Path(folder) / name for name in MODEL_FILES]


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
