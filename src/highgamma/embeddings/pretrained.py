"""Loading transformers networks from local folders: trained, or untrained with seeded weights.

Nothing is fetched and no code from a model's folder is run; weights are read from safetensors,
else from PyTorch's own format with `weights_only`.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from highgamma import catalogue
from highgamma.errors import InputError

if TYPE_CHECKING:
    import torch

logger = logging.getLogger("highgamma")

#: Parameters that a checkpoint may lack because no stored layer depends on them.
_UNUSED = ("pooler.", "masked_spec_embed", "lm_head", "cls.", "decoder.", "classifier")


@dataclass(frozen=True, slots=True)
class Network:
    """A network ready to be run.

    Parameters
    ----------
    module
        The encoder or causal model, in evaluation mode, on its device.
    config
        The network's own configuration (the audio or text part of it).
    folder
        Where its files lie.
    layers, width
        Number of blocks; features in each layer.
    device
        `cpu` or `cuda`.
    """

    module: Any
    config: Any
    folder: Path
    layers: int
    width: int
    device: str

    def hidden(self, **inputs: torch.Tensor) -> list[torch.Tensor]:
        """Layers 0 to L of one pass, each (batch, position, feature), float32 on the device.

        Layer k is what enters block k+1; the last is the network's output, which in networks with
        a final layer norm (XLS-R, GPT-2) is not what leaves the last block.
        """
        import torch

        with torch.inference_mode():
            out = self.module(**inputs, output_hidden_states=True, return_dict=True)
        states = list(out.hidden_states)
        if len(states) != self.layers + 1:
            raise InputError(
                f"the network gave {len(states)} layers, not {self.layers + 1}",
                where=self.folder,
                remedy="report the architecture; this software cannot number its layers",
            )
        return [*states[:-1], out.last_hidden_state]


def load_network(
    model: Mapping[str, Any], folder: Path, *, device: str = "auto", threads: int = 1
) -> Network:
    """Load the network of a resolved catalogue entry.

    An untrained network needs its config.json only: weights are drawn by the architecture's own
    initialisation from `seed`; the same seed gives the same weights.

    Parameters
    ----------
    model
        Resolved entry: kind, layers, width, untrained, seed.
    folder
        Folder in transformers' layout.
    device
        `auto`, `cpu` or `cuda`; `auto` takes a GPU where there is one.
    threads
        Threads of one operation on the CPU.

    Raises
    ------
    InputError
        If files are absent or broken, sizes are not the catalogue's, weights are missing, or the
        architecture is unknown.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    config = read_config(model, folder)
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(max(1, threads))
    where = _device(device)
    # Random masking of the input belongs to training; it is off in evaluation mode as well.
    config.apply_spec_augment = False
    if model.get("untrained"):
        # On the CPU whatever the device, so that the weights do not depend on it.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(model.get("seed", 0)))
            whole = transformers.AutoModel.from_config(config, trust_remote_code=False)
    else:
        whole = _trained(config, folder, model)
    module = whole.get_encoder() if getattr(config, "is_encoder_decoder", False) else whole
    module = module.float().eval().requires_grad_(False).to(where)
    layers, width = _size(_part(config))
    logger.info("network %s, %d blocks, width %d, on %s", config.model_type, layers, width, where)
    return Network(module, _part(config), folder, layers, width, where)


def read_config(model: Mapping[str, Any], folder: Path) -> Any:
    """Read config.json and check it against the catalogue's layers and width.

    Raises
    ------
    InputError
        If the file is absent, broken or of an unknown architecture, or its sizes are not the
        entry's; the message names both numbers.
    """
    path = folder / "config.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            "the model's files are not here",
            where=path,
            expected="a folder with config.json"
            + ("" if model.get("untrained") else ", the weights and the tokenizer or preprocessor"),
            remedy=catalogue.remedy(model, models=folder.parent),
        ) from error
    except (ValueError, OSError) as error:
        raise InputError(
            f"the model's configuration cannot be read: {error}",
            where=path,
            remedy=catalogue.remedy(model, models=folder.parent),
        ) from error
    from transformers import CONFIG_MAPPING, AutoConfig

    kind = raw.get("model_type") if isinstance(raw, dict) else None
    if kind not in CONFIG_MAPPING:
        raise InputError(
            f"the architecture {kind!r} is not one that transformers knows",
            where=path,
            expected="`model_type` of an encoder or a causal language model in transformers",
            remedy="take another model, or a newer transformers; code from a model is never run",
        )
    try:
        config = AutoConfig.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
        layers, width = _size(_part(config))
    except (ValueError, TypeError, AttributeError, KeyError, OSError) as error:
        raise InputError(
            f"the model's configuration makes no sense: {error}", where=path
        ) from error
    for what, found, stated in (
        ("blocks (layers)", layers, model.get("layers")),
        ("features (width)", width, model.get("width")),
    ):
        if stated is not None and found != stated:
            raise InputError(
                f"the model's files have {found} {what}, the catalogue says {stated}",
                where=path,
                expected=f"{stated} {what}",
                remedy="correct the catalogue entry, or put the right model's files there",
            )
    return config


def preprocessor(folder: Path) -> dict[str, Any]:
    """The settings in preprocessor_config.json; empty where there is none."""
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return {}
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"the file is no JSON: {error}", where=path) from error
    return loaded if isinstance(loaded, dict) else {}


def load_tokenizer(model: Mapping[str, Any], folder: Path) -> Any:
    """The tokenizer beside a text model; an `InputError` if it is absent or of no known kind."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False, use_fast=True
        )
    except Exception as error:  # its failures share no class but this one
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"the model has no tokenizer that can be read: {first}",
            where=folder,
            expected="tokenizer.json, or the vocabulary files of its tokenizer",
            remedy=catalogue.remedy(model, models=folder.parent),
        ) from error
    if not tokenizer.is_fast:
        raise InputError(
            "the tokenizer is of the slow kind, which does not say which tokens are special",
            where=folder,
            expected="tokenizer.json",
            remedy="convert it with transformers (AutoTokenizer, save_pretrained)",
        )
    return tokenizer


def _trained(config: Any, folder: Path, model: Mapping[str, Any]) -> Any:
    import torch
    import transformers

    if not any(any(folder.glob(pattern)) for pattern in ("*.safetensors", "pytorch_model*.bin")):
        raise InputError(
            "the model has no weights",
            where=folder,
            expected="model.safetensors (or pytorch_model.bin)",
            remedy=catalogue.remedy(model, models=folder.parent),
        )
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            whole, report = transformers.AutoModel.from_pretrained(
                str(folder),
                config=config,
                local_files_only=True,
                trust_remote_code=False,
                weights_only=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except Exception as error:  # broken files fail in many classes; the first line says how
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"the model's weights cannot be read: {first}",
            where=folder,
            remedy=catalogue.remedy(model, models=folder.parent),
        ) from error
    absent = [
        key for key in sorted(report["missing_keys"]) if not any(part in key for part in _UNUSED)
    ]
    if absent:
        raise InputError(
            f"the model's weights lack {len(absent)} parameters, {absent[0]} among them",
            where=folder,
            expected="all weights; those missing would be random",
            remedy=catalogue.remedy(model, models=folder.parent),
        )
    return whole


def _part(config: Any) -> Any:
    """The text or audio part of a configuration that has several."""
    for name in ("text_config", "audio_config"):
        if getattr(config, name, None) is not None:
            return getattr(config, name)
    return config


def _size(config: Any) -> tuple[int, int]:
    """Number of blocks and width of the encoder or causal model."""
    if getattr(config, "is_encoder_decoder", False):
        layers = getattr(config, "encoder_layers", None) or config.num_layers
        return int(layers), int(config.d_model)
    return int(config.num_hidden_layers), int(config.hidden_size)


def _device(device: str) -> str:
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "there is no GPU that PyTorch can use",
            where="device",
            expected="a CUDA device and a PyTorch built for it",
            remedy="set `device: auto` or `device: cpu`",
        )
    return device
