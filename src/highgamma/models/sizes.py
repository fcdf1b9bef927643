"""How many blocks a network in a local folder has, and how wide it is, without loading it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from highgamma.store import parse_json

LARGEST = 4 << 20
"""Bytes of a config.json beyond which it is not read; real ones have a few thousand."""

BLOCKS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
ENCODER_BLOCKS = ("encoder_layers", "num_layers", "num_hidden_layers")
WIDTH = ("hidden_size", "n_embd", "d_model", "dim", "n_embed")
"""Names of both in the configurations of transformers' architectures; the first one there counts.
Of an encoder with a decoder, the encoder's."""

PARTS = ("text_config", "audio_config")
"""Parts of the configuration of a network of several, the one that is used first."""


def stated_size(folder: Path) -> dict[str, int]:
    """Return `layers` and `width` as config.json states them.

    Parameters
    ----------
    folder
        A folder in transformers' layout.

    Returns
    -------
    Those of the two that are there; none if the file is absent or of another form, which the stage
    `embeddings` reports when it loads the model.
    """
    path = folder / "config.json"
    try:
        if path.stat().st_size > LARGEST:
            return {}
        config = parse_json(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(config, dict):
        return {}
    part = next((config[name] for name in PARTS if isinstance(config.get(name), dict)), config)
    blocks = ENCODER_BLOCKS if part.get("is_encoder_decoder") else BLOCKS
    stated = {"layers": _first(part, blocks), "width": _first(part, WIDTH)}
    return {key: value for key, value in stated.items() if value is not None}


def _first(config: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    values = (config.get(name) for name in names)
    numbers = (v for v in values if isinstance(v, int) and not isinstance(v, bool) and v > 0)
    return next(numbers, None)
