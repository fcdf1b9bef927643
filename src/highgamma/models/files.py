"""Which files of a repository a model is read from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from highgamma import fetch
from highgamma.errors import InputError
from highgamma.store import parse_json

SETTINGS = (
    "config.json",
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "vocab.txt", "merges.txt", "normalizer.json"),
    *("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "spm.model"),
    *("preprocessor_config.json", "processor_config.json", "feature_extractor_config.json"),
)
"""Files of a repository that describe its network and how text or sound is put into it."""

WEIGHTS = (
    ("model.safetensors", "model.safetensors.index.json", r"model-\d{5}-of-\d{5}\.safetensors"),
    (
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
        r"pytorch_model-\d{5}-of-\d{5}\.bin",
    ),
)
"""Weights in one file, else the index of several and those; the first format that is there."""


@dataclass(frozen=True, slots=True)
class File:
    """What is known of a file before it is fetched; `git_blob` for small files, else `sha256`."""

    name: str
    size: int | None = None
    sha256: str | None = None
    git_blob: str | None = None

    def is_whole(self, folder: Path) -> bool:
        """Return whether the file exists in a folder, with its size and checksum."""
        return fetch.is_whole(
            fetch.foreign_path(folder, self.name),
            size=self.size,
            sha256=self.sha256,
            git_blob=self.git_blob,
        )


def is_weights(name: str) -> bool:
    """Return whether a file of a repository holds weights, or their index."""
    return any(
        name in (single, index) or re.fullmatch(shards, name) is not None
        for single, index, shards in WEIGHTS
    )


def needed(names: Iterable[str], *, weights: bool, where: str) -> list[str]:
    """Return the names of the required files among those of a repository.

    Parameters
    ----------
    names
        All files of the repository.
    weights
        Whether the weights are required.
    where
        The repository, for messages.

    Returns
    -------
    files
        Names of the required files.
    """
    there = set(names)
    if "config.json" not in there:
        raise InputError(
            "the repository has no config.json",
            where=where,
            expected="a model in transformers' layout",
            remedy="correct `source` in the catalogue",
        )
    files = [name for name in SETTINGS if name in there]
    if not weights:
        return files
    for single, index, shards in WEIGHTS:
        if single in there:
            return [*files, single]
        if index in there:
            return [*files, index, *sorted(n for n in there if re.fullmatch(shards, n))]
    raise InputError(
        "the repository has no weights that can be read",
        where=where,
        expected="model.safetensors or pytorch_model.bin (in one piece or several)",
        remedy="name a model that is published for PyTorch",
    )


def check_index(path: Path, files: list[File]) -> None:
    """Check that the index of weights in several files names those that are fetched, and no other.

    The names in it are foreign: whoever reads the weights later opens what it names.
    """
    if not path.name.endswith(".index.json"):
        return
    names: set[str] = set()
    try:
        names = set(parse_json(path.read_text("utf-8"))["weight_map"].values())
        wrong = sorted(names - {file.name for file in files}, key=str)
    except (ValueError, KeyError, TypeError, AttributeError):
        wrong = ["(no list of files)"]
    if wrong:
        raise InputError(
            f"the index of the weights names {wrong[0]!r}",
            where=path,
            expected="files of the repository such as model-00001-of-00002.safetensors",
            remedy="do not use this model; it is damaged or hostile",
        )
