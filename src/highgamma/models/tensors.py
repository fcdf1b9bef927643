"""Weights in PyTorch's own format, stored as safetensors."""

from __future__ import annotations

import io
import json
import logging
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from highgamma.errors import InputError
from highgamma.models.files import WEIGHTS, File
from highgamma.store import parse_json, sha256, written_whole

logger = logging.getLogger("highgamma")

_ORIGIN = "converted_from_sha256"


class _Bounded(io.BufferedReader):
    """A file of which no more is read than it holds; otherwise Python makes room for it first."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = Path(path).stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes."""
        left = max(0, self._size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


def to_safetensors(source: str | Path, target: str | Path) -> None:
    """Store the tensors of a PyTorch file as safetensors; nothing else in it is unpickled.

    Tensors that share memory are stored one by one, so that the file reads the same whatever
    names a network ties together. The source's SHA-256 is kept in the new file's header.

    Raises
    ------
    InputError
        If the file holds anything but named tensors, or is damaged.
    """
    import torch
    from safetensors.torch import save_file

    try:
        if zipfile.is_zipfile(source):
            loaded = torch.load(source, map_location="cpu", weights_only=True, mmap=True)
        else:
            with _Bounded(source) as opened:
                loaded = torch.load(opened, map_location="cpu", weights_only=True)
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"the weights cannot be read as plain tensors: {first}",
            where=source,
            expected="a file that torch.load reads with weights_only=True",
            remedy="use a model that is published as safetensors",
        ) from error
    if not isinstance(loaded, Mapping) or not all(
        isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in loaded.items()
    ):
        raise InputError(
            "the weights don't map names to tensors",
            where=source,
            expected="the state of one network",
            remedy="use a model that is published as safetensors",
        )
    memory: set[int] = set()
    tensors = {}
    for name in sorted(loaded):
        tensor = loaded[name].detach().contiguous()
        start = tensor.untyped_storage().data_ptr()
        tensors[name] = tensor.clone() if start in memory else tensor
        memory.add(start)
    with written_whole(target) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt", _ORIGIN: sha256(source)})


def safe_name(name: str) -> str | None:
    """Return the safetensors name of a file in PyTorch's own format; `None` for other files."""
    single, index, shards = WEIGHTS[1]
    if name in (single, index) or re.fullmatch(shards, name):
        return name.replace("pytorch_model", "model", 1).replace(".bin", ".safetensors", 1)
    return None


def made_from(file: File, folder: Path) -> str | None:
    """Return the SHA-256 of the file that existing safetensors were converted from, or None."""
    target = safe_name(file.name)
    if target is None or not (folder / target).is_file():
        return None
    if target.endswith(".index.json"):
        return file.sha256
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / target, framework="pt") as opened:
            origin = (opened.metadata() or {}).get(_ORIGIN)
    except (SafetensorError, OSError):
        return None
    return origin if origin and origin == file.sha256 else None


def convert(folder: Path, checksums: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Turn weights in PyTorch's own format into safetensors; the originals are removed."""
    converted: dict[str, dict[str, str]] = {}
    # The index goes last: while it is there, so are all the files that it names.
    for name in sorted(checksums, key=lambda n: (n.endswith(".index.json"), n)):
        target = safe_name(name)
        if target is None:
            continue
        if (folder / name).is_file():
            if name.endswith(".index.json"):
                _convert_index(folder / name, folder / target)
            else:
                logger.info("%s: stored as %s", folder / name, target)
                to_safetensors(folder / name, folder / target)
            (folder / name).unlink()
        converted[target] = {"from": name, "from_sha256": str(checksums[name]["sha256"])}
    return converted


def _convert_index(source: Path, target: Path) -> None:
    index = parse_json(source.read_text("utf-8"))
    index["weight_map"] = {k: safe_name(v) or v for k, v in index["weight_map"].items()}
    with written_whole(target) as temporary:
        temporary.write_text(json.dumps(index, indent=1, sort_keys=True) + "\n", "utf-8")
