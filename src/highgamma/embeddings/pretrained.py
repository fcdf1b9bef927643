"""Loading transformers networks from local folders: trained, or untrained with seeded weights.

Nothing is fetched and no code from a model's folder is run; weights are read from safetensors,
else from PyTorch's own format with `weights_only`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from highgamma.errors import InputError
from highgamma.models.places import remedy
from highgamma.store import parse_json

if TYPE_CHECKING:
    import torch

logger = logging.getLogger("highgamma")

#: Parameters that a checkpoint may lack because no stored layer depends on them.
_UNUSED = ("pooler.", "masked_spec_embed")


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

    It computes in the precision of its parameters; what is stored is float32 whatever that is.
    """

    module: Any
    config: Any
    folder: Path
    layers: int
    width: int
    device: str

    def hidden(self, **inputs: torch.Tensor) -> list[torch.Tensor]:
        """Return layers 0 to L of one pass, each (batch, position, feature).

        They are on the network's device and in its precision.
        Layer k is what enters block k+1; the last is the network's output, which in networks with
        a final layer norm (XLS-R, GPT-2) is not what leaves the last block.
        """
        import torch

        with torch.inference_mode(), self._told():
            out = self.module(**self._cast(inputs), output_hidden_states=True, return_dict=True)
        states = list(out.hidden_states)
        if len(states) != self.layers + 1:
            raise InputError(
                f"the network gave {len(states)} layers, not {self.layers + 1}",
                where=self.folder,
                remedy="report the architecture; this software cannot number its layers",
            )
        return [*states[:-1], out.last_hidden_state]

    def logits(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits of a language model: (batch, position, token of vocabulary).

        Row t holds the unnormalised log probabilities of what follows position t.
        """
        import torch

        with torch.inference_mode(), self._told():
            out: torch.Tensor = self.module(**self._cast(inputs), return_dict=True).logits
        return out

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Name the model's folder where a network fails; too little memory stays what it is."""
        import torch

        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except (TypeError, ValueError, LookupError, ArithmeticError, RuntimeError) as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(
                f"the network cannot be computed: {first}",
                where=self.folder,
                expected="a configuration and weights that fit each other",
                remedy="compare the model's files with the published ones",
            ) from error

    def _cast(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Sound in the precision of the weights; token numbers as they are."""
        dtype = next(self.module.parameters()).dtype
        return {k: v.to(dtype) if v.is_floating_point() else v for k, v in inputs.items()}


def load_network(
    model: Mapping[str, Any], folder: Path, *, device: str = "auto", threads: int = 1
) -> Network:
    """Load the network of a resolved catalogue entry, without a head.

    An untrained network needs its config.json only: weights are drawn by the architecture's own
    initialisation from `seed`; the same seed gives the same weights.

    Parameters
    ----------
    model
        Resolved entry: kind, layers, width, untrained, seed, dtype.
    folder
        Folder in transformers' layout.
    device
        `auto`, `cpu` or `cuda`; `auto` takes a GPU where there is one.
    threads
        Threads of one operation on the CPU.

    Raises
    ------
    InputError
        If files are absent or broken, sizes are not the catalogue's, weights are missing, the
        architecture is unknown, or half precision is requested on a CPU.
    """
    config = read_config(model, folder)
    whole = _loaded(model, folder, config, "AutoModel", device=device, threads=threads)
    module = whole.get_encoder() if getattr(config, "is_encoder_decoder", False) else whole
    return _ready(module, model, folder, config, device=device)


def load_language_model(
    model: Mapping[str, Any], folder: Path, *, device: str = "auto", threads: int = 1
) -> Network:
    """Load a causal language model with the head that predicts the next token.

    Parameters and errors as in `load_network`; a missing head is an error here.

    Raises
    ------
    InputError
        Also if the architecture predicts no next token.
    """
    config = read_config(model, folder)
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise InputError(
            f"the architecture {config.model_type!r} predicts no next token",
            where=folder,
            expected="a causal language model, such as GPT-2",
            remedy="set `feature: states`, or take another model",
        )
    whole = _loaded(model, folder, config, "AutoModelForCausalLM", device=device, threads=threads)
    return _ready(whole, model, folder, config, device=device)


def _loaded(
    model: Mapping[str, Any], folder: Path, config: Any, maker: str, *, device: str, threads: int
) -> Any:
    """The whole network, float32 on the CPU, made by the class `maker` of transformers."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    import transformers

    precision(model, device_of(device))
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(max(1, threads))
    # Random masking of the input belongs to training; it is off in evaluation mode as well.
    config.apply_spec_augment = False
    if model.get("untrained"):
        # On the CPU whatever the device, so that the weights do not depend on it.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(model.get("seed", 0)))
            try:
                return getattr(transformers, maker).from_config(config, trust_remote_code=False)
            except Exception as error:  # sizes that do not fit fail in many classes
                raise _invalid_config(error, folder) from error
    return _trained(config, folder, model, maker)


def _ready(
    module: Any, model: Mapping[str, Any], folder: Path, config: Any, *, device: str
) -> Network:
    where = device_of(device)
    dtype = precision(model, where)
    module = module.float().eval().requires_grad_(False).to(device=where, dtype=dtype)
    layers, width = _size(_part(config))
    logger.info(
        "network %s, %d blocks, width %d, %s on %s",
        *(config.model_type, layers, width, str(dtype).removeprefix("torch."), where),
    )
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
        raw = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            "the model's files were not found",
            where=path,
            expected="a folder with config.json"
            + ("" if model.get("untrained") else ", the weights and the tokenizer or preprocessor"),
            remedy=remedy(model, models=folder.parent),
        ) from error
    except (ValueError, OSError) as error:
        raise InputError(
            f"the model's configuration cannot be read: {error}",
            where=path,
            remedy=remedy(model, models=folder.parent),
        ) from error
    from transformers import CONFIG_MAPPING, AutoConfig

    kind = raw.get("model_type") if isinstance(raw, dict) else None
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
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
    except Exception as error:  # the library's own check raises classes of its own
        raise _invalid_config(error, folder) from error
    for what, actual, stated in (
        ("blocks (layers)", layers, model.get("layers")),
        ("features (width)", width, model.get("width")),
    ):
        if stated is not None and actual != stated:
            raise InputError(
                f"the model's files have {actual} {what}, the catalogue states {stated}",
                where=path,
                expected=f"{stated} {what}",
                remedy="correct the catalogue entry, or put the right model's files there",
            )
    return config


def _invalid_config(error: Exception, folder: Path) -> InputError:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return InputError(
        f"the model's configuration is not valid: {first}",
        where=folder / "config.json",
        expected="the configuration of a network that transformers can build",
        remedy="compare the file with the published one",
    )


def preprocessor(folder: Path) -> dict[str, Any]:
    """Return the settings in preprocessor_config.json; empty if it does not exist."""
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return {}
    try:
        loaded = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"the file is not valid JSON: {error}", where=path) from error
    return loaded if isinstance(loaded, dict) else {}


def load_tokenizer(model: Mapping[str, Any], folder: Path) -> Any:
    """Load the tokenizer of a text model; raise an `InputError` if it is missing or unknown."""
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
            remedy=remedy(model, models=folder.parent),
        ) from error
    if not tokenizer.is_fast:
        raise InputError(
            "the tokenizer is of the slow kind, which does not say which tokens are special",
            where=folder,
            expected="tokenizer.json",
            remedy="convert it with transformers (AutoTokenizer, save_pretrained)",
        )
    ordinary = set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens)
    if not ordinary:
        raise InputError(
            "the tokenizer has no vocabulary: it knows no token but special ones",
            where=folder,
            expected="tokenizer.json, or vocab.json and merges.txt, vocab.txt or a .model file",
            remedy=remedy(model, models=folder.parent),
        )
    return tokenizer


def _trained(config: Any, folder: Path, model: Mapping[str, Any], maker: str) -> Any:
    import torch
    import transformers

    if not any(any(folder.glob(pattern)) for pattern in ("*.safetensors", "pytorch_model*.bin")):
        raise InputError(
            "the model has no weights",
            where=folder,
            expected="model.safetensors (or pytorch_model.bin)",
            remedy=remedy(model, models=folder.parent),
        )
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            whole, report = getattr(transformers, maker).from_pretrained(
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
            remedy=remedy(model, models=folder.parent),
        ) from error
    unused = _UNUSED if maker == "AutoModel" else ()
    if getattr(config, "is_encoder_decoder", False):
        # In any other network the decoder is what the layers are taken from.
        unused = (*unused, "decoder.")
    absent = [key for key in sorted(report["missing_keys"]) if not key.startswith(unused)]
    if absent:
        raise InputError(
            f"the model's weights lack {len(absent)} parameters, {absent[0]} among them",
            where=folder,
            expected="all weights; those missing would be random",
            remedy=remedy(model, models=folder.parent),
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


def device_of(device: str) -> str:
    """Return `cpu` or `cuda` for the configured device; raise an `InputError` without a GPU."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "PyTorch found no usable GPU",
            where="device",
            expected="a CUDA device and a PyTorch built for it",
            remedy="set `device: auto` or `device: cpu`",
        )
    return device


def precision(model: Mapping[str, Any], device: str) -> torch.dtype:
    """Return PyTorch's type for the entry's `dtype`; half precision requires a GPU."""
    import torch

    name = str(model.get("dtype", "float32"))
    if name != "float32" and device == "cpu":
        raise InputError(
            f"`dtype: {name}` is for GPUs, and this network would run on the CPU",
            where="dtype (model catalogue)",
            expected="float32, which is faster on a CPU and exact",
            remedy="set `dtype: float32`, or `device: cuda` on a machine that has a GPU",
        )
    if device == "cuda":
        # By default convolutions of float32 are cut to 10 bits on a GPU; float32 means float32.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
    return {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}[name]
