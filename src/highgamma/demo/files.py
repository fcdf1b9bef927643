"""Names of the files that the demo writes, and how JSON is written; nothing heavy is imported."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from highgamma import store
from highgamma.errors import InputError

TASK = "wordProduction"
ROOT_FILES = ("README", ".bidsignore", "dataset_description.json", "participants.tsv")
SUFFIXES = (
    "ieeg.nwb",
    "ieeg.json",
    "channels.tsv",
    "events.tsv",
    "space-ACPC_electrodes.tsv",
    "space-ACPC_coordsystem.json",
)

VECTORS = "fasttext-like.vec"
TEXT_MODEL = "gpt2-like"
SPEECH_MODEL = "xls-r-like"
MODEL_FILES = (
    VECTORS,
    f"{TEXT_MODEL}/config.json",
    f"{TEXT_MODEL}/tokenizer.json",
    f"{TEXT_MODEL}/tokenizer_config.json",
    f"{SPEECH_MODEL}/config.json",
    f"{SPEECH_MODEL}/preprocessor_config.json",
)
"""What `models.write_models` writes below its folder."""
TINY_FILES = ("wav2vec2-tiny/config.json", "wav2vec2-tiny/preprocessor_config.json")
"""What `speech_model.write_speech_model` writes below the same folder."""


def participant_files(participant: str) -> list[str]:
    """Return the paths of a participant's files in the data set, the two truth tables last."""
    prefix = f"{participant}/ieeg/{participant}_task-{TASK}"
    return [f"{prefix}_{suffix}" for suffix in SUFFIXES] + [
        f"truth/{participant}.tsv",
        f"truth/{participant}_words.tsv",
    ]


def participant_number(participant: str) -> int:
    """Return the number in a label such as `sub-01`.

    Raises
    ------
    InputError
        If the label is another one.
    """
    if not re.fullmatch(r"sub-[0-9]{1,4}", participant):
        raise InputError(
            f"{participant!r} is not a participant of the demo",
            where="dataset.participants",
            expected="labels such as sub-01",
            remedy="name the participants sub-01, sub-02 and so on",
        )
    return int(participant.removeprefix("sub-"))


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with store.written_whole(path) as temporary:
        temporary.write_text(text, "utf-8")


def json_text(content: Mapping[str, Any], *, sort_keys: bool = False) -> str:
    """Return JSON with an indentation of 2 and a newline at the end."""
    return json.dumps(content, indent=2, ensure_ascii=False, sort_keys=sort_keys) + "\n"
