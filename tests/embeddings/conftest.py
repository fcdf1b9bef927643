"""Fixtures of the tests of the stage embeddings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_networks


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Callable[[str], Path]:
    """Folder of a tiny network by architecture, made once."""
    root = tmp_path_factory.mktemp("models")

    def make(name: str) -> Path:
        folder = root / name
        if not folder.exists():
            tiny_networks.save(name, folder, shared_data / "text_tokens" / "gpt2_tokenizer")
        return folder

    return make
