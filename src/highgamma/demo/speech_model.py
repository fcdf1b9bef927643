"""A tiny speech model without weights: the shape of wav2vec 2.0, small enough for a demo."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path

from highgamma import store

N_LAYERS, WIDTH = 3, 48

# The seven convolutions of wav2vec 2.0: a frame every 320 samples, 20 ms at 16 kHz.
CONFIG = {
    "architectures": ["Wav2Vec2Model"],
    "model_type": "wav2vec2",
    "activation_dropout": 0.0,
    "apply_spec_augment": False,
    "attention_dropout": 0.0,
    "conv_bias": False,
    "conv_dim": [32, 32, 32, 32, 32, 32, 32],
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "do_stable_layer_norm": False,
    "feat_extract_activation": "gelu",
    "feat_extract_norm": "group",
    "feat_proj_dropout": 0.0,
    "final_dropout": 0.0,
    "hidden_act": "gelu",
    "hidden_dropout": 0.0,
    "hidden_size": WIDTH,
    # Ten times the usual: with small random weights each block hands its input on unchanged.
    "initializer_range": 0.2,
    "intermediate_size": 4 * WIDTH,
    "layerdrop": 0.0,
    "mask_time_prob": 0.0,
    "num_attention_heads": 4,
    "num_conv_pos_embedding_groups": 4,
    "num_conv_pos_embeddings": 16,
    "num_feat_extract_layers": 7,
    "num_hidden_layers": N_LAYERS,
    "vocab_size": 32,
}
PREPROCESSOR = {
    "do_normalize": True,
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "feature_size": 1,
    "padding_side": "right",
    "padding_value": 0.0,
    "return_attention_mask": False,
    "sampling_rate": 16000,
}


def write_speech_model(folder: str | PathLike[str]) -> list[Path]:
    """Write `config.json` and `preprocessor_config.json` of a model with random weights.

    The weights are made where the model is used, from a seed, so the folder holds none.
    """
    written = []
    for name, content in (("config.json", CONFIG), ("preprocessor_config.json", PREPROCESSOR)):
        path = Path(folder) / name
        with store.written_whole(path) as temporary:
            temporary.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", "utf-8")
        written.append(path)
    return written
