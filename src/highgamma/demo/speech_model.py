"""Speech models without weights: the shape of wav2vec 2.0, small enough for a demo."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from highgamma.demo.files import json_text, write_text

N_LAYERS, WIDTH = 3, 48


def wav2vec2_config(**values: Any) -> dict[str, Any]:
    """Return the configuration of a wav2vec 2.0 network; `values` are those of its size and kind.

    Its seven convolutions give a frame every 320 samples, 20 ms at 16 kHz.
    """
    return {
        "architectures": ["Wav2Vec2Model"],
        "model_type": "wav2vec2",
        "activation_dropout": 0.0,
        "apply_spec_augment": False,
        "attention_dropout": 0.0,
        "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
        "conv_stride": [5, 2, 2, 2, 2, 2, 2],
        "feat_proj_dropout": 0.0,
        "hidden_dropout": 0.0,
        "layerdrop": 0.0,
        "mask_time_prob": 0.0,
        "num_conv_pos_embeddings": 16,
        "num_feat_extract_layers": 7,
        "vocab_size": 32,
        **values,
    }


CONFIG = wav2vec2_config(
    conv_bias=False,
    conv_dim=[32] * 7,
    do_stable_layer_norm=False,
    feat_extract_activation="gelu",
    feat_extract_norm="group",
    final_dropout=0.0,
    hidden_act="gelu",
    hidden_size=WIDTH,
    # Ten times the usual: with small random weights each block returns its input unchanged.
    initializer_range=0.2,
    intermediate_size=4 * WIDTH,
    num_attention_heads=4,
    num_conv_pos_embedding_groups=4,
    num_hidden_layers=N_LAYERS,
)
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

    The weights are drawn from a seed where the model is used, so the folder holds none.
    """
    written = []
    for name, content in (("config.json", CONFIG), ("preprocessor_config.json", PREPROCESSOR)):
        written.append(Path(folder) / name)
        write_text(written[-1], json_text(content, sort_keys=True))
    return written
